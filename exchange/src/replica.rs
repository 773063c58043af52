//! Replica: a book made from the records of a journal, and what it says; the same records give the same bytes.
//!
//! The journal's first record, its opening, says how large the book is and what its limits are. Every other record is a
//! command, or something that nobody should have written: what still names an account is answered with a rejection,
//! and the rest is counted and skipped. Which of the two it is depends on the record alone, so every replica does the
//! same with it.

use crate::output::{Counts, Origin, Sink, Told};
use crate::snapshot::file::Snapshot;
use std::hash::{BuildHasher, Hasher, RandomState};
use tailrace_core::book::message::{CancelOrder, MassCancel, NewOrder, Replace};
use tailrace_core::book::record::{OPENING_VERSION, Opening};
use tailrace_core::book::{Book, Command, Config, EVENT_LAST, EXEC_REJECTED, Event, Message, Reason};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::Record;
use tailrace_core::log::frame::Frame;

/// Events that the book makes at once.
pub const EVENTS: usize = 256;

/// A record of the journal.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The global sequence.
    pub sequence: u64,
    /// Nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// `FRAME_*` bits; 0 in a record that is a message.
    pub flags: u8,
    /// Its bytes.
    pub payload: &'a [u8],
}

impl<'a> Entry<'a> {
    /// One as a reader of the log has it.
    pub fn of_frame(frame: &Frame<'a>) -> Self {
        let header = frame.header;
        let (sequence, timestamp_ns, flags) = (header.sequence, header.timestamp_ns, header.flags);
        Self { sequence, timestamp_ns, flags, payload: frame.payload }
    }

    /// One as the recorder has it.
    pub fn of_record(sequence: u64, record: &Record<'a>) -> Self {
        Self { sequence, timestamp_ns: record.timestamp_ns, flags: record.flags, payload: record.payload }
    }

    /// The opening in it.
    ///
    /// # Errors
    /// CORRUPT: it is none; VERSION: of another version.
    pub fn opening(&self) -> Result<Opening> {
        let bytes = self.payload.try_into().ok().filter(|bytes: &&[u8; Opening::SIZE]| bytes[0] == Opening::TYPE);
        let (1, 0, Some(bytes)) = (self.sequence, self.flags, bytes) else {
            return Err(Error::new(Code::CORRUPT, "the journal does not begin with its opening"));
        };
        let opening = Opening::decode(bytes);
        if opening.version != OPENING_VERSION {
            let message = format!("the journal has version {}, and this program knows {OPENING_VERSION}", bytes[1]);
            return Err(Error::new(Code::VERSION, message));
        }
        Ok(opening)
    }
}

/// A book, how far in the journal it is, and how far in what is said.
pub struct Replica {
    opening: Opening,
    book: Book,
    told: Told,
    counts: Counts,
    origin: Origin,
    events: Box<[Event]>,
}

impl Replica {
    /// The book of a journal that begins with this record.
    ///
    /// # Errors
    /// CORRUPT, VERSION: see [`Entry::opening`], and what the opening says is outside what a book can be.
    pub fn open(first: &Entry<'_>) -> Result<Self> {
        let opening = first.opening()?;
        let book = Book::new(&config_of(&opening), random_key()).map_err(|fault| {
            Error::new(Code::CORRUPT, format!("the opening of the journal says {}, which no book can be", fault.value))
        })?;
        let origin = Origin { command_sequence: first.sequence, timestamp_ns: first.timestamp_ns };
        Ok(Self::new(opening, book, Told::default(), origin))
    }

    /// The book of a snapshot.
    ///
    /// # Errors
    /// CORRUPT: what is in it is no book, or another than its head says.
    pub fn restore(snapshot: &Snapshot) -> Result<Self> {
        let head = &snapshot.head;
        let sequence = head.journal_sequence;
        let wrong = |what: &str| Error::new(Code::CORRUPT, format!("the snapshot of {sequence} {what}"));
        let book = Book::restore(&config_of(&head.opening), random_key(), &snapshot.book)
            .map_err(|fault| wrong(&format!("holds no book: {}", fault.code.text())))?;
        if (book.state_hash(), book.market_sequence()) != (head.state_hash, head.market_sequence) {
            return Err(wrong("holds another book than its head says"));
        }
        let told = Told {
            report_ordinal: head.report_ordinal,
            market_sequence: head.market_sequence,
            output_hash: head.output_hash,
        };
        let origin = Origin { command_sequence: sequence, timestamp_ns: head.timestamp_ns };
        Ok(Self::new(head.opening, book, told, origin))
    }

    fn new(opening: Opening, book: Book, told: Told, origin: Origin) -> Self {
        let events = vec![Event::BLANK; EVENTS].into_boxed_slice();
        Self { opening, book, told, counts: Counts::default(), origin, events }
    }

    /// Takes the next record, and says what follows from it as far as the sink has room, which is one event at least. Then
    /// [`Self::is_pending`] says whether there is more to say.
    ///
    /// # Errors
    /// CORRUPT: it is not the next one; nothing has changed.
    #[inline]
    pub fn take<S: Sink>(&mut self, entry: &Entry<'_>, sink: &mut S) -> Result<()> {
        let Entry { sequence, timestamp_ns, .. } = *entry;
        if sequence != self.origin.command_sequence.wrapping_add(1) {
            return Err(out_of_order(sequence, self.origin.command_sequence));
        }
        self.origin = Origin { command_sequence: sequence, timestamp_ns };
        match Message::decode(entry.payload) {
            Ok(message) if entry.flags == 0 => {
                self.counts.commands += 1;
                self.apply(&[Command { sequence, timestamp_ns, message }], sink);
                if self.book.is_pending() {
                    self.go_on(sink);
                }
            }
            _ => self.refuse(entry, sink),
        }
        Ok(())
    }

    /// Says more of the last record, as far as the sink has room.
    #[cold]
    pub fn go_on<S: Sink>(&mut self, sink: &mut S) {
        while self.book.is_pending() && sink.room() > 0 {
            self.apply(&[], sink);
        }
    }

    /// Whether there is more to say of the last record.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.book.is_pending()
    }

    #[inline]
    fn apply<S: Sink>(&mut self, commands: &[Command], sink: &mut S) {
        let room = sink.room().min(self.events.len());
        let (_, produced) = self.book.apply(commands, &mut self.events[..room]);
        for event in &self.events[..produced] {
            self.told.tell(event, self.origin, &mut self.counts, sink);
        }
    }

    /// Answers what should not be in the journal, or skips it.
    #[cold]
    fn refuse<S: Sink>(&mut self, entry: &Entry<'_>, sink: &mut S) {
        let words = entry.payload.as_chunks::<8>().0;
        let is_clients = entry.flags == 0
            && matches!(
                entry.payload.first(),
                Some(&(NewOrder::TYPE | CancelOrder::TYPE | Replace::TYPE | MassCancel::TYPE))
            );
        let account = words.first().map(|word| (u64::from_le_bytes(*word) >> 32) as u32);
        match account {
            Some(account) if is_clients && account < self.opening.account_count => {
                let event = Event {
                    exec_type: EXEC_REJECTED,
                    reason: Reason::MALFORMED as u8,
                    flags: EVENT_LAST,
                    account,
                    client_order_id: words.get(1).map_or(0, |word| u64::from_le_bytes(*word)),
                    ..Event::BLANK
                };
                self.told.tell(&event, self.origin, &mut self.counts, sink);
            }
            _ => self.counts.skipped += 1,
        }
    }

    /// What the journal opened with.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The book.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// How far everything that was said goes.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// What was counted since it was made.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The last record that it took.
    pub fn sequence(&self) -> u64 {
        self.origin.command_sequence
    }

    /// That record's time, nanoseconds since 1970.
    pub fn timestamp_ns(&self) -> u64 {
        self.origin.timestamp_ns
    }
}

/// The book that an opening speaks of.
fn config_of(opening: &Opening) -> Config {
    Config {
        slot_count: opening.slot_count,
        account_count: opening.account_count,
        band_ticks: opening.band_ticks,
        quantity_max: opening.quantity_max,
        open_orders_max: opening.open_orders_max,
        collar_ticks: opening.collar_ticks,
    }
}

/// A key that nobody knows, of this process.
fn random_key() -> [u64; 2] {
    [0, 1].map(|_| RandomState::new().build_hasher().finish())
}

#[cold]
fn out_of_order(sequence: u64, last: u64) -> Error {
    Error::new(Code::CORRUPT, format!("record {sequence} of the journal came after {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Nobody;
    use tailrace_core::book::message::{ORDER_LIMIT, SIDE_BUY, SetState};
    use tailrace_core::log::layout::FRAME_TOMBSTONE;

    fn opening() -> Opening {
        Opening {
            version: OPENING_VERSION,
            slot_count: 100,
            account_count: 4,
            band_ticks: 64,
            epoch: 5,
            ..Opening::BLANK
        }
    }

    fn entry(sequence: u64, payload: &[u8]) -> Entry<'_> {
        Entry { sequence, timestamp_ns: 10 * sequence, flags: 0, payload }
    }

    fn replica() -> Replica {
        Replica::open(&entry(1, &opening().encode())).expect("opened")
    }

    #[derive(Default)]
    struct Reports(Vec<tailrace_core::book::record::KeptReport>);

    impl Sink for Reports {
        fn report(&mut self, bytes: &[u8; 64], _origin: Origin) {
            self.0.push(tailrace_core::book::record::KeptReport::decode(bytes));
        }
        fn market(&mut self, _bytes: &[u8], _origin: Origin) {}
    }

    #[test]
    fn a_journal_begins_with_its_opening() {
        let bytes = opening().encode();
        let refusal = |entry: &Entry<'_>| Replica::open(entry).err().map(|error| error.code());
        assert_eq!(refusal(&entry(2, &bytes)), Some(Code::CORRUPT));
        assert_eq!(refusal(&entry(1, &bytes[..55])), Some(Code::CORRUPT));
        assert_eq!(refusal(&entry(1, &Opening { version: 2, ..opening() }.encode())), Some(Code::VERSION));
        assert_eq!(refusal(&entry(1, &Opening { band_ticks: 65, ..opening() }.encode())), Some(Code::CORRUPT));
        assert_eq!(replica().sequence(), 1);
    }

    #[test]
    fn what_is_no_command_is_answered_when_it_names_an_account_and_skipped_else() {
        let order =
            NewOrder { side: SIDE_BUY, order_type: ORDER_LIMIT, account: 3, client_order_id: 77, ..NewOrder::BLANK };
        let whole = order.encode();
        let (mut replica, mut reports) = (replica(), Reports::default());
        let hash = replica.book().state_hash();
        let state = SetState { state: 1, ..SetState::BLANK }.encode();
        let wrong: [(&[u8], u8); 8] = [
            (&whole[..31], 0),
            (&[&whole[..], &[0]].concat(), 0),
            (&whole[..8], 0),
            (&whole[..7], 0),
            (&NewOrder { account: 4, ..order }.encode()[..31], 0),
            (&state[..7], 0),
            (&whole, FRAME_TOMBSTONE),
            (&opening().encode(), 0),
        ];
        for (index, (payload, flags)) in wrong.into_iter().enumerate() {
            replica.take(&Entry { flags, ..entry(index as u64 + 2, payload) }, &mut reports).expect("in order");
        }
        let told: Vec<_> =
            reports.0.iter().map(|kept| (kept.command_sequence, kept.report[1], kept.report[2])).collect();
        assert_eq!(told, [2, 3, 4].map(|sequence| (sequence, EXEC_REJECTED, Reason::MALFORMED as u8)));
        assert_eq!(reports.0[0].report[16..24], 77_u64.to_le_bytes());
        assert_eq!(reports.0[2].report[16..24], [0; 8]);
        assert_eq!((replica.counts().rejected, replica.counts().skipped, replica.counts().commands), (3, 5, 0));
        assert_eq!(replica.book().state_hash(), hash, "nothing has changed");
        assert_eq!(replica.take(&entry(11, &state), &mut Nobody).expect_err("10 is next").code(), Code::CORRUPT);
        replica.take(&entry(10, &state), &mut Nobody).expect("in order");
        assert!(replica.book().is_halted());
    }
}
