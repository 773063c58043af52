//! Book: the core's book, between batches of bytes. Used by the C ABI and by Node.
//!
//! Commands and events cross the border as bytes of any alignment; a [`Seat`] keeps the memory in which they are turned
//! into the core's structures and back, so a call allocates nothing. A batch is read whole before any of it is applied:
//! bytes that are no command are a mistake of the program, not of a client, and are refused together. What a client may
//! get wrong is inside a readable command, and the book answers that with an event.

use std::hash::{BuildHasher, RandomState};

use tailrace_core::book::record::{AccountRecord, BookSummary, DepthLevel, StampedCommand};
use tailrace_core::book::{Book, Command, Config, Depth, Event, Message, Side};
use tailrace_core::error::{Code, Error, Fault, Result};

/// Commands that are turned at a time.
const COMMANDS: usize = 256;
/// Events that are turned at a time.
const EVENTS: usize = 512;

/// A book, and the memory for its batches.
pub struct Seat {
    book: Book,
    commands: Vec<Command>,
    events: Vec<Event>,
}

/// What a batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Commands that were taken.
    pub consumed: usize,
    /// Events that were written.
    pub produced: usize,
}

fn argument(message: impl Into<String>) -> Error {
    Error::new(Code::ARGUMENT, message)
}

/// What is wrong with a configuration, or with a snapshot, in words.
fn explained(fault: Fault, config: &Config) -> Error {
    match fault.code {
        Code::ARGUMENT => argument(format!(
            "a book cannot have slot_count {}, account_count {}, band_ticks {} and quantity_max {}: slots and accounts are 1 \
             to 2^28, band_ticks a power of two from 64 to 262,144, quantity_max at most 2^63 / slot_count",
            config.slot_count, config.account_count, config.band_ticks, config.quantity_max
        )),
        Code::NO_SPACE => {
            Error::new(Code::NO_SPACE, "the snapshot needs more slots or accounts, or fewer slots for its quantity_max")
                .with_value(fault.value)
        }
        Code::CORRUPT => Error::new(Code::CORRUPT, "these bytes are not a whole snapshot of a book"),
        _ => fault.into(),
    }
}

/// The side with this number.
///
/// # Errors
/// `ARGUMENT`.
pub fn side(number: u32) -> Result<Side> {
    u8::try_from(number)
        .ok()
        .and_then(Side::from_number)
        .ok_or_else(|| argument(format!("side is {number}: 1 is for bids, 2 for asks")))
}

/// The key of a book: what was given, or two numbers that start from the system's random bytes.
///
/// # Errors
/// `ARGUMENT` for another length than 16.
pub fn key(given: &[u8]) -> Result<[u64; 2]> {
    if given.is_empty() {
        return Ok([0, 1].map(|number: u64| RandomState::new().hash_one(number)));
    }
    let bytes = given.try_into().map_err(|_| argument(format!("the key has {} bytes; give 16", given.len())))?;
    let whole = u128::from_le_bytes(bytes);
    Ok([whole as u64, (whole >> 64) as u64])
}

impl Seat {
    fn new(book: Book) -> Self {
        Self { book, commands: Vec::with_capacity(COMMANDS), events: vec![Event::BLANK; EVENTS] }
    }

    /// A book without orders.
    ///
    /// # Errors
    /// `ARGUMENT`: a number is outside its range.
    pub fn create(config: &Config, key: [u64; 2]) -> Result<Self> {
        Book::new(config, key).map(Self::new).map_err(|fault| explained(fault, config))
    }

    /// The book of a snapshot.
    ///
    /// # Errors
    /// `CORRUPT`, `NO_SPACE`, `ARGUMENT`.
    pub fn restore(config: &Config, key: [u64; 2], snapshot: &[u8]) -> Result<Self> {
        Book::restore(config, key, snapshot).map(Self::new).map_err(|fault| explained(fault, config))
    }

    /// Applies [`StampedCommand`]s and writes [`Event`]s, as many as there is room for.
    ///
    /// # Errors
    /// `ARGUMENT`, with the index of the first command that cannot be read; nothing is applied then.
    pub fn apply(&mut self, commands: &[u8], events: &mut [u8]) -> Result<Applied> {
        let (commands, rest) = commands.as_chunks::<{ StampedCommand::SIZE }>();
        let (events, more) = events.as_chunks_mut::<{ Event::SIZE }>();
        if !rest.is_empty() || !more.is_empty() {
            return Err(argument(format!(
                "commands have {} bytes each and events {}; {} and {} bytes are left over",
                StampedCommand::SIZE,
                Event::SIZE,
                rest.len(),
                more.len()
            )));
        }
        for (index, bytes) in commands.iter().enumerate() {
            StampedCommand::decode(bytes).command().map_err(|_| unreadable(index, bytes[16]))?;
        }
        let mut done = Applied { consumed: 0, produced: 0 };
        while done.produced < events.len() {
            self.commands.clear();
            let next = commands[done.consumed..].iter().take(COMMANDS);
            self.commands.extend(next.filter_map(|bytes| StampedCommand::decode(bytes).command().ok()));
            let room = EVENTS.min(events.len() - done.produced);
            let (consumed, produced) = self.book.apply(&self.commands, &mut self.events[..room]);
            for (place, event) in events[done.produced..].iter_mut().zip(&self.events[..produced]) {
                *place = event.encode();
            }
            done.consumed += consumed;
            done.produced += produced;
            if produced == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// Hash, best prices, sequences and counts.
    pub fn state(&self) -> BookSummary {
        self.book.summary()
    }

    /// What the book knows of an account.
    ///
    /// # Errors
    /// `ARGUMENT`: there is no room for such an account.
    pub fn account(&self, account: u32) -> Result<AccountRecord> {
        let known = self.book.account(account).ok_or_else(|| argument(format!("the book has no account {account}")))?;
        Ok(known.into())
    }

    /// Writes [`DepthLevel`]s of a side, best first, as many as fit; says how many.
    pub fn depth(&self, side: Side, levels: &mut [u8]) -> usize {
        let (levels, _) = levels.as_chunks_mut::<{ DepthLevel::SIZE }>();
        let mut all = vec![Depth::default(); levels.len().min(self.book.order_count() as usize)];
        let count = self.book.depth(side, &mut all);
        for (level, depth) in levels.iter_mut().zip(&all[..count]) {
            *level = DepthLevel::from(*depth).encode();
        }
        count
    }

    /// Bytes of a snapshot taken now.
    pub fn snapshot_bytes(&self) -> usize {
        self.book.snapshot_bytes()
    }

    /// Writes the state to the start of `bytes`; says how many bytes it has.
    ///
    /// # Errors
    /// `BUSY` while a command is pending; `TOO_LARGE`.
    pub fn snapshot(&self, bytes: &mut [u8]) -> Result<usize> {
        self.book.snapshot(bytes).map_err(|fault| match fault.code {
            Code::BUSY => Error::new(Code::BUSY, "events of a command wait for room; apply goes on with it"),
            _ => fault.into(),
        })
    }
}

#[cold]
fn unreadable(index: usize, message_type: u8) -> Error {
    let what = match Message::size_of_type(message_type) {
        Some(size) => format!("is of type {message_type}, and what follows its {size} bytes is not zero"),
        None => format!("is of type {message_type}, which is no command"),
    };
    argument(format!("command {index} of the batch {what}; nothing of the batch was applied")).with_value(index as u64)
}
