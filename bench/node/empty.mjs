/** Empty: what Node's own start costs. */
