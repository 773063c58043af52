"""The command line for those who only look: `python -m tailrace ls | top | tail | log`."""
