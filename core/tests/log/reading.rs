//! Reading: what readers give of a directory, and whether they agree with the plain opinion.

use crate::plain;
use crate::simulated::Simulated;
use std::collections::BTreeMap;
use tailrace_core::error::Error;
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::ring::Records;
use tailrace_core::start::From;

/// Payloads by sequence.
pub type Messages = BTreeMap<u64, Vec<u8>>;

/// What a reader gives, and the error that ends it, if one does.
///
/// # Panics
/// When it gives one twice, or not in order.
pub fn read(directory: &Simulated) -> (Messages, Option<Error>) {
    let mut messages = Messages::new();
    let options = ReadOptions { from: From::Oldest, is_durable_only: false };
    let mut reader = match LogReader::open_on(directory.storage(), &options) {
        Ok(reader) => reader,
        Err(error) => return (messages, Some(error)),
    };
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.poll_into(&mut buffer, 100) {
            Ok(polled) if polled.count == 0 => return (messages, None),
            Ok(polled) => {
                for message in Records::new(&buffer[..polled.bytes]) {
                    let newest = messages.keys().next_back().copied().unwrap_or(0);
                    assert!(message.sequence > newest, "{} was read after {newest}", message.sequence);
                    messages.insert(message.sequence, message.payload.to_vec());
                }
            }
            Err(error) => return (messages, Some(error)),
        }
    }
}

/// Every message of a log that is whole.
pub fn read_all(directory: &Simulated) -> Result<Messages, String> {
    let (messages, error) = read(directory);
    if let Some(error) = error {
        return Err(format!("reading: {} {}", error.code().name(), error.message()));
    }
    let opinion = plain::records(&directory.image());
    for (sequence, stored) in &opinion {
        if stored.is_some() && messages.get(sequence) != stored.as_ref() {
            return Err(format!(
                "a reader gives {:?} for {sequence}, and stored is {stored:?}",
                messages.get(sequence)
            ));
        }
    }
    if !messages.keys().eq(opinion.keys()) {
        return Err(format!("a reader gives {:?}, and stored are {:?}", messages.keys(), opinion.keys()));
    }
    Ok(messages)
}
