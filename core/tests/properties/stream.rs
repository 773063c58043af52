//! Streams: cursors over a list of everything written.
//!
//! The twin keeps all messages. A subscriber that was lapped goes on at the first whole message not older than tail -
//! capacity, and the next batch says how many positions lie between what it read last and what it reads now.

use crate::messages::{
    BUFFER_BYTES, Expected, Form, capacities, forms, lengths, message_max, payload, shaped, slots_of, write,
};
use crate::{Place, config, timed};
use proptest::prelude::*;
use tailrace_core::error::Code;
use tailrace_core::region::{ChannelOptions, Consumer, ConsumerOptions, From, HandleOptions, Kind, Producer};
use tailrace_core::ring::Records;

const PRODUCERS: usize = 2;
const SUBSCRIBERS: usize = 3;

#[derive(Debug, Clone)]
enum Operation {
    Write { by: usize, form: Form, lengths: Vec<usize> },
    Poll { by: usize, limit: usize },
    PollInto { by: usize, limit: usize, room: usize },
    Wait { by: usize },
    Reopen { by: usize, oldest: bool },
    ReopenProducer { by: usize },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let writer = 0..PRODUCERS;
    let reader = 0..SUBSCRIBERS;
    let limit = || prop_oneof![3 => 0..8_usize, 1 => Just(1_000)];
    let operation = prop_oneof![
        8 => (writer.clone(), forms(), lengths()).prop_map(|(by, form, lengths)| {
            Operation::Write { by, form, lengths: shaped(form, lengths) }
        }),
        4 => (reader.clone(), limit()).prop_map(|(by, limit)| Operation::Poll { by, limit }),
        4 => (reader.clone(), limit(), 0..9_000_usize)
            .prop_map(|(by, limit, room)| Operation::PollInto { by, limit, room }),
        1 => reader.clone().prop_map(|by| Operation::Wait { by }),
        1 => (reader, any::<bool>()).prop_map(|(by, oldest)| Operation::Reopen { by, oldest }),
        1 => writer.prop_map(|by| Operation::ReopenProducer { by }),
    ];
    prop::collection::vec(operation, 1..60)
}

#[derive(Debug, Clone, Copy)]
struct Kindness {
    capacity: u64,
    gated: bool,
    exclusive: bool,
    checksum: bool,
    /// Subscriber 0 gates, whatever the channel says.
    one_gates: bool,
}

fn kindnesses() -> impl Strategy<Value = Kindness> {
    (capacities(), any::<[bool; 4]>()).prop_map(|(capacity, [gated, exclusive, checksum, one_gates])| Kindness {
        capacity,
        gated,
        exclusive,
        checksum,
        one_gates,
    })
}

struct Subscriber {
    handle: Consumer,
    is_gating: bool,
    cursor: u64,
    /// Behind the last position that was handed out; where it joined, before any was.
    read: u64,
    has_read: bool,
    lost: u64,
}

struct Trial {
    kindness: Kindness,
    producers: Vec<Option<Producer>>,
    subscribers: Vec<Subscriber>,
    written: Vec<Expected>,
    tail: u64,
    place: Place,
}

impl Trial {
    fn new(kindness: Kindness) -> Self {
        let place = Place::new();
        let options = ChannelOptions {
            kind: Kind::Stream,
            capacity: kindness.capacity,
            gated: kindness.gated,
            exclusive_producer: kindness.exclusive,
            checksum: kindness.checksum,
            ..ChannelOptions::default()
        };
        place.region.create_channel("s", &options).expect("a channel");
        let mut trial =
            Self { kindness, producers: Vec::new(), subscribers: Vec::new(), written: Vec::new(), tail: 0, place };
        for by in 0..PRODUCERS {
            let producer = trial.open_producer(by);
            trial.producers.push(producer);
        }
        for by in 0..SUBSCRIBERS {
            let subscriber = trial.subscribe(by, false);
            trial.subscribers.push(subscriber);
        }
        trial
    }

    /// The first producer; or one more, which an exclusive stream does not have.
    fn open_producer(&self, by: usize) -> Option<Producer> {
        match self.place.region.open_producer("s", &HandleOptions::default()) {
            Ok(producer) => {
                assert!(by == 0 || !self.kindness.exclusive);
                Some(producer)
            }
            Err(error) => {
                assert!(by > 0 && self.kindness.exclusive);
                assert_eq!((error.code(), error.value()), (Code::BUSY, std::process::id().into()));
                None
            }
        }
    }

    fn subscribe(&self, by: usize, oldest: bool) -> Subscriber {
        let gating = by == 0 && self.kindness.one_gates;
        let is_gating = gating || self.kindness.gated;
        // A gating subscriber that asks for the oldest may be lapped while it joins: not for a twin.
        let from = if oldest && !is_gating { From::Oldest } else { From::Latest };
        let options = ConsumerOptions { from: Some(from), gating, ..ConsumerOptions::default() };
        let handle = self.place.region.open_consumer("s", &options).expect("a subscriber");
        let cursor = if from == From::Oldest { self.oldest() } else { self.tail };
        Subscriber { handle, is_gating, cursor, read: cursor, has_read: false, lost: 0 }
    }

    fn oldest(&self) -> u64 {
        self.tail.saturating_sub(self.kindness.capacity)
    }

    fn gate(&self) -> u64 {
        let cursors = self.subscribers.iter().filter(|known| known.is_gating).map(|known| known.cursor);
        cursors.min().unwrap_or(self.tail)
    }

    fn write(&mut self, by: usize, form: Form, lengths: &[usize]) {
        let gate = self.gate();
        let Some(producer) = self.producers[by].as_mut() else { return };
        let message_type = self.written.len() as u32;
        let seed = |index: usize| (self.written.len() + index) as u64;
        let payloads: Vec<Vec<u8>> =
            lengths.iter().enumerate().map(|(index, length)| payload(seed(index), *length)).collect();
        let wrote = write(producer, form, &payloads, message_type);
        let most = message_max(self.kindness.capacity);
        if lengths.iter().any(|length| *length > most) {
            let error = wrote.expect_err("too large");
            assert_eq!((error.code(), error.value()), (Code::TOO_LARGE, most as u64));
            return;
        }
        let mut expected = 0;
        for (index, length) in lengths.iter().enumerate() {
            let slots = slots_of(*length);
            // With nobody gating, the gate is where tail is: a lap ahead.
            let gate = if self.subscribers.iter().any(|known| known.is_gating) { gate } else { self.tail };
            if self.tail + slots > gate + self.kindness.capacity {
                break;
            }
            let seed = index as u64 + u64::from(message_type);
            let message = Expected { position: self.tail, length: *length, message_type, seed, deliveries: 1 };
            self.written.push(message);
            self.tail += slots;
            expected += 1;
        }
        assert_eq!(wrote.expect("written"), expected);
        if expected > 0 {
            let last = self.written.last().expect("written").position;
            assert_eq!(self.producers[by].as_ref().expect("there").last_sequence(), last + 1);
        }
    }

    /// What a poll must give: messages, or the bytes that the first one needs.
    fn expect(&mut self, by: usize, limit: usize, room: usize) -> Result<(Vec<Expected>, u64), usize> {
        let oldest = self.oldest();
        let subscriber = &mut self.subscribers[by];
        let mut messages: Vec<Expected> = Vec::new();
        let mut used = 0;
        if limit == 0 {
            return Ok((messages, 0));
        }
        assert!(!subscriber.is_gating || subscriber.cursor >= oldest, "a gating subscriber is never lapped");
        // Who joins inside a message has not lost it.
        let is_lapped = subscriber.read < oldest;
        subscriber.cursor = subscriber.cursor.max(oldest);
        if !subscriber.has_read && !is_lapped {
            let whole = self.written.iter().find(|message| message.position >= subscriber.cursor);
            subscriber.cursor = whole.map_or(self.tail, |message| message.position);
            subscriber.read = subscriber.cursor;
        }
        for message in self.written.iter().filter(|message| message.position >= subscriber.cursor) {
            if messages.len() == limit {
                break;
            }
            if used + message.record_bytes() > room {
                if messages.is_empty() {
                    return Err(message.record_bytes());
                }
                break;
            }
            used += message.record_bytes();
            messages.push(message.clone());
        }
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok((messages, 0)) };
        let missing = first.position - subscriber.read;
        subscriber.lost += missing;
        subscriber.has_read = true;
        subscriber.cursor = last.position + last.slots();
        subscriber.read = subscriber.cursor;
        Ok((messages, missing))
    }

    fn poll(&mut self, by: usize, limit: usize) {
        let expected = self.expect(by, limit, BUFFER_BYTES).expect("room for the longest");
        let batch = self.subscribers[by].handle.poll(limit).expect("polled");
        assert_eq!((batch.len(), batch.lost()), (expected.0.len(), expected.1));
        compare(batch.iter(), &expected.0);
    }

    fn poll_into(&mut self, by: usize, limit: usize, room: usize) {
        let expected = self.expect(by, limit, room);
        let mut buffer = vec![0xEE; room];
        let polled = self.subscribers[by].handle.poll_into(&mut buffer, limit);
        match expected {
            Ok((messages, missing)) => {
                let polled = polled.expect("polled");
                assert_eq!((polled.count, polled.lost), (messages.len(), missing));
                compare(Records::new(&buffer[..polled.bytes]), &messages);
            }
            Err(needed) => {
                let error = polled.expect_err("no room");
                assert_eq!((error.code(), error.value()), (Code::TOO_LARGE, needed as u64));
            }
        }
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Write { by, form, lengths } => self.write(*by, *form, lengths),
            Operation::Poll { by, limit } => self.poll(*by, *limit),
            Operation::PollInto { by, limit, room } => self.poll_into(*by, *limit, *room),
            Operation::Wait { by } => {
                let is_behind = self.subscribers[*by].cursor < self.tail;
                let timeout = Some(std::time::Duration::ZERO);
                assert_eq!(self.subscribers[*by].handle.wait(timeout).expect("waited"), is_behind);
            }
            Operation::Reopen { by, oldest } => {
                self.subscribers[*by].handle.close();
                self.subscribers[*by] = self.subscribe(*by, *oldest);
            }
            Operation::ReopenProducer { by } => {
                self.producers[*by] = None;
                self.producers[*by] = self.open_producer(*by);
            }
        }
        for subscriber in &self.subscribers {
            assert_eq!(subscriber.handle.lost(), subscriber.lost);
        }
    }
}

fn compare<'a>(messages: impl Iterator<Item = tailrace_core::ring::Message<'a>>, expected: &[Expected]) {
    let mut count = 0;
    for (message, expected) in messages.zip(expected) {
        assert_eq!((message.sequence, message.message_type), (expected.position + 1, expected.message_type));
        assert_eq!((message.flags, message.delivery_count), (0, 1));
        assert!(message.payload == expected.payload(), "payload of {}", message.sequence);
        count += 1;
    }
    assert_eq!(count, expected.len());
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_stream_is_a_list_with_cursors(kindness in kindnesses(), operations in operations()) {
        timed(&(kindness, &operations), || {
            let mut trial = Trial::new(kindness);
            for operation in &operations {
                trial.perform(operation);
            }
            for by in 0..SUBSCRIBERS {
                trial.poll(by, usize::MAX);
            }
        });
    }
}
