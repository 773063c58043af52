//! The book: against its twin, against books that others wrote down, and rule by rule.
#![allow(missing_docs, reason = "a test")]

mod desk;
mod differential;
mod flow;
mod lobster;
mod oracles;
mod replay;
mod rules;
mod twin;
