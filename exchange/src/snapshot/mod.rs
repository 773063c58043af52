//! Snapshot: the state between two commands, for who starts again (`file`) and for who comes late: the bytes (`image`),
//! one client of them (`client`), and all clients (`service`).

pub mod client;
pub mod file;
pub mod guard;
pub mod image;
pub mod service;
