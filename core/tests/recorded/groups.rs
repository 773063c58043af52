//! Groups: each message to one member, whoever dies, and positions that survive what shared memory does not.

mod commits;
mod desk;
mod members;
mod processes;
