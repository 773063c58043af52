//! Snapshot: the state between two commands, for who starts again (`file`) and for who comes late (`image`, `service`).

pub mod file;
