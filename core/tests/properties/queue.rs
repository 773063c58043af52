//! Queues: messages wait in one list, and each leaves it once, by the handle that took it.
//!
//! What a closed consumer had taken is owed to whoever looks for it: when somebody does is a matter of time, so an heir
//! may be given either what is owed, lowest first, or what is next. At the end everything was delivered.

use crate::messages::{
    BUFFER_BYTES, Expected, Form, Given, capacities, expected_count, forms, given, granted, lengths, message_max,
    payload, shaped, slots_of, write,
};
use crate::{Place, config, timed};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error};
use tailrace_core::region::{ChannelOptions, Consumer, ConsumerOptions, HandleOptions, Producer};
use tailrace_core::ring::Records;

const PRODUCERS: usize = 2;
const CONSUMERS: usize = 3;

#[derive(Debug, Clone)]
enum Operation {
    Write { by: usize, form: Form, lengths: Vec<usize> },
    Send { by: usize, length: usize },
    Poll { by: usize, limit: usize },
    PollInto { by: usize, limit: usize, room: usize },
    TakeInto { by: usize, limit: usize, room: usize },
    Release { by: usize, count: Option<usize> },
    ReleaseEach { by: usize },
    Keep { by: usize },
    TakeInPlace { by: usize, limit: usize, release: usize, keeps: bool },
    Wait { by: usize },
    Reopen { by: usize },
    ReopenProducer { by: usize },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let writer = 0..PRODUCERS;
    let reader = 0..CONSUMERS;
    let limit = || prop_oneof![3 => 0..8_usize, 1 => Just(1_000)];
    let room = || prop_oneof![0..9_000_usize, Just(1 << 17)];
    let operation = prop_oneof![
        9 => (writer.clone(), forms(), lengths()).prop_map(|(by, form, lengths)| {
            Operation::Write { by, form, lengths: shaped(form, lengths) }
        }),
        1 => (writer.clone(), 0..3_000_usize).prop_map(|(by, length)| Operation::Send { by, length }),
        4 => (reader.clone(), limit()).prop_map(|(by, limit)| Operation::Poll { by, limit }),
        4 => (reader.clone(), limit(), room()).prop_map(|(by, limit, room)| Operation::PollInto { by, limit, room }),
        4 => (reader.clone(), limit(), room()).prop_map(|(by, limit, room)| Operation::TakeInto { by, limit, room }),
        4 => (reader.clone(), prop::option::of(0..5_usize)).prop_map(|(by, count)| Operation::Release { by, count }),
        2 => reader.clone().prop_map(|by| Operation::ReleaseEach { by }),
        3 => reader.clone().prop_map(|by| Operation::Keep { by }),
        3 => (reader.clone(), limit(), 0..5_usize, any::<bool>())
            .prop_map(|(by, limit, release, keeps)| Operation::TakeInPlace { by, limit, release, keeps }),
        1 => reader.clone().prop_map(|by| Operation::Wait { by }),
        1 => reader.prop_map(|by| Operation::Reopen { by }),
        1 => writer.prop_map(|by| Operation::ReopenProducer { by }),
    ];
    prop::collection::vec(operation, 1..60)
}

#[derive(Debug, Clone, Copy)]
struct Kindness {
    capacity: u64,
    exclusive_producer: bool,
    exclusive_consumer: bool,
    checksum: bool,
}

fn kindnesses() -> impl Strategy<Value = Kindness> {
    (capacities(), any::<[bool; 3]>()).prop_map(|(capacity, [exclusive_producer, exclusive_consumer, checksum])| {
        Kindness { capacity, exclusive_producer, exclusive_consumer, checksum }
    })
}

/// What one consumer has taken: the first `open` messages are handed out, the rest is kept for its next call.
#[derive(Default)]
struct Claim {
    messages: VecDeque<Expected>,
    open: usize,
    is_open: bool,
    is_again: bool,
}

struct Reader {
    handle: Consumer,
    claim: Claim,
}

struct Trial {
    kindness: Kindness,
    producers: Vec<Option<Producer>>,
    readers: Vec<Option<Reader>>,
    waiting: VecDeque<Expected>,
    owed: VecDeque<Expected>,
    is_free: Vec<bool>,
    tail: u64,
    seed: u64,
    delivered: u64,
    place: Place,
}

impl Trial {
    fn new(kindness: Kindness) -> Self {
        let place = Place::new();
        let options = ChannelOptions {
            capacity: kindness.capacity,
            exclusive_producer: kindness.exclusive_producer,
            exclusive_consumer: kindness.exclusive_consumer,
            checksum: kindness.checksum,
            ..ChannelOptions::default()
        };
        place.region.create_channel("q", &options).expect("a channel");
        let mut trial = Self {
            kindness,
            producers: Vec::new(),
            readers: Vec::new(),
            waiting: VecDeque::new(),
            owed: VecDeque::new(),
            is_free: vec![true; kindness.capacity as usize],
            tail: 0,
            seed: 0,
            delivered: 0,
            place,
        };
        for by in 0..PRODUCERS {
            let producer = trial.open_producer(by);
            trial.producers.push(producer);
        }
        for by in 0..CONSUMERS {
            let reader = trial.open_reader(by);
            trial.readers.push(reader);
        }
        trial
    }

    fn open_producer(&self, by: usize) -> Option<Producer> {
        let is_only = by == 0 || !self.kindness.exclusive_producer;
        granted(self.place.region.open_producer("q", &HandleOptions::default()), is_only)
    }

    fn open_reader(&self, by: usize) -> Option<Reader> {
        let is_only = by == 0 || !self.kindness.exclusive_consumer;
        let handle = granted(self.place.region.open_consumer("q", &ConsumerOptions::default()), is_only)?;
        Some(Reader { handle, claim: Claim::default() })
    }

    fn write(&mut self, by: usize, form: Form, lengths: &[usize]) {
        let Some(producer) = self.producers[by].as_mut() else { return };
        let message_type = self.seed as u32;
        let payloads: Vec<Vec<u8>> = (self.seed..).zip(lengths).map(|(seed, length)| payload(seed, *length)).collect();
        let wrote = write(producer, form, &payloads, message_type);
        let most = message_max(self.kindness.capacity);
        if lengths.iter().any(|length| *length > most) {
            let error = wrote.expect_err("too large");
            assert_eq!((error.code(), error.value()), (Code::TOO_LARGE, most as u64));
            return;
        }
        let written = self.expect_written(lengths, message_type);
        assert_eq!(wrote.expect("written"), written);
    }

    /// Puts down the first messages that there is room for.
    fn expect_written(&mut self, lengths: &[usize], message_type: u32) -> usize {
        let mask = self.kindness.capacity - 1;
        for (index, length) in lengths.iter().enumerate() {
            let positions = self.tail..self.tail + slots_of(*length);
            if !positions.clone().all(|position| self.is_free[(position & mask) as usize]) {
                return index;
            }
            for position in positions.clone() {
                self.is_free[(position & mask) as usize] = false;
            }
            let position = self.tail;
            let message = Expected { position, length: *length, message_type, seed: self.seed, deliveries: 0 };
            self.waiting.push_back(message);
            self.seed += 1;
            self.tail = positions.end;
        }
        lengths.len()
    }

    fn send(&mut self, by: usize, length: usize) {
        let Some(producer) = self.producers[by].as_mut() else { return };
        let sent = producer.send(&payload(self.seed, length), self.seed as u32, Some(Duration::ZERO));
        if length > message_max(self.kindness.capacity) {
            assert_eq!(sent.expect_err("too large").code(), Code::TOO_LARGE);
            return;
        }
        let position = self.tail;
        match self.expect_written(&[length], self.seed as u32) {
            0 => assert_eq!(sent.expect_err("full").code(), Code::TIMED_OUT),
            _ => assert_eq!(sent.expect("sent"), position + 1),
        }
    }

    /// Takes what the ring handed out from the claim, from what is owed, or from what waits; says whether it was out
    /// before. Everything is checked: order, bytes, flags.
    fn accept(&mut self, by: usize, messages: &[Given], limit: usize, room: usize) {
        let reader = self.readers[by].as_mut().expect("there");
        let is_kept = !reader.claim.messages.is_empty();
        if is_kept {
            let open = expected_count(reader.claim.messages.iter(), limit, room);
            assert_eq!(messages.len(), open, "what was kept comes first");
        } else {
            let is_inherited = messages.first().is_some_and(|message| message.is_again);
            let source = if is_inherited { &mut self.owed } else { &mut self.waiting };
            if !is_inherited {
                assert_eq!(messages.len(), expected_count(source.iter(), limit, room));
            }
            reader.claim = Claim { is_again: is_inherited, ..Claim::default() };
            reader.claim.messages.extend(source.drain(..messages.len()));
        }
        reader.claim.is_open = !messages.is_empty();
        reader.claim.open = messages.len();
        let is_again = reader.claim.is_again;
        for (expected, given) in reader.claim.messages.iter_mut().zip(messages) {
            expected.deliveries += 1;
            assert_eq!(given.sequence, expected.position + 1);
            assert_eq!((given.message_type, given.is_again), (expected.message_type, is_again));
            assert_eq!(given.delivery_count, expected.deliveries, "deliveries of {}", given.sequence);
            assert!(given.payload == expected.payload(), "payload of {}", given.sequence);
        }
    }

    /// The ring has no room for the first message, of those that it may hand out first.
    fn refuse(&self, by: usize, error: &Error, room: usize) {
        assert_eq!(error.code(), Code::TOO_LARGE);
        let kept = self.readers[by].as_ref().expect("there").claim.messages.front();
        let first = match kept {
            Some(kept) => [Some(kept), None],
            None => [self.owed.front(), self.waiting.front()],
        };
        let needed: Vec<usize> = first.into_iter().flatten().map(Expected::record_bytes).collect();
        assert!(needed.contains(&(error.value() as usize)), "{} of {needed:?}", error.value());
        assert!(error.value() as usize > room);
    }

    /// Whether a claim is open, so that polling and taking are refused.
    fn is_busy(&self, by: usize) -> bool {
        self.readers[by].as_ref().is_some_and(|reader| reader.claim.is_open)
    }

    fn poll(&mut self, by: usize, limit: usize) {
        let is_busy = self.is_busy(by);
        let Some(reader) = self.readers[by].as_mut() else { return };
        let polled = reader.handle.poll(limit).map(|batch| given(batch.iter()));
        if is_busy {
            assert_eq!(polled.expect_err("open").code(), Code::BUSY);
            return;
        }
        let messages = polled.expect("polled");
        self.accept(by, &messages, limit, BUFFER_BYTES);
        self.expect_released(by, None);
    }

    fn copy(&mut self, by: usize, limit: usize, room: usize, releases: bool) {
        let is_busy = self.is_busy(by);
        let Some(reader) = self.readers[by].as_mut() else { return };
        let mut buffer = vec![0xEE; room];
        let polled = if releases {
            reader.handle.poll_into(&mut buffer, limit)
        } else {
            reader.handle.take_into(&mut buffer, limit)
        };
        if is_busy {
            assert_eq!(polled.expect_err("open").code(), Code::BUSY);
            return;
        }
        match polled {
            Err(error) => self.refuse(by, &error, room),
            Ok(polled) => {
                let messages = given(Records::new(&buffer[..polled.bytes]));
                assert_eq!(messages.len(), polled.count);
                self.accept(by, &messages, limit, room);
                if releases {
                    self.expect_released(by, None);
                }
            }
        }
    }

    fn take_in_place(&mut self, by: usize, limit: usize, release: usize, keeps: bool) {
        let is_busy = self.is_busy(by);
        let Some(reader) = self.readers[by].as_mut() else { return };
        let taken = reader.handle.take(limit);
        if is_busy {
            assert_eq!(taken.err().expect("open").code(), Code::BUSY);
            return;
        }
        let mut taken = taken.expect("taken");
        let messages = given(taken.iter());
        assert_eq!(messages.len(), taken.len());
        let released = taken.release(Some(release)).ok();
        let rest: Vec<u64> = taken.iter().map(|message| message.sequence).collect();
        let kept = if keeps {
            Some(taken.keep().expect("kept"))
        } else {
            drop(taken);
            None
        };
        self.accept(by, &messages, limit, usize::MAX);
        let expected = match messages.len() {
            0 => Some(0),
            count => (release <= count).then_some(release),
        };
        assert_eq!(released, expected);
        let done = expected.unwrap_or(0);
        let left: Vec<u64> = messages[done..].iter().map(|message| message.sequence).collect();
        assert_eq!(rest, left);
        if done > 0 {
            self.expect_released(by, Some(done));
        }
        match kept {
            Some(kept) => self.expect_kept(by, kept),
            None => self.expect_released(by, None),
        }
    }

    /// The first `count` open messages leave the ring, or all.
    fn expect_released(&mut self, by: usize, count: Option<usize>) {
        let claim = &mut self.readers[by].as_mut().expect("there").claim;
        let count = count.unwrap_or(claim.open);
        for message in claim.messages.drain(..count) {
            for position in message.position..message.position + message.slots() {
                self.is_free[(position & (self.kindness.capacity - 1)) as usize] = true;
            }
            self.delivered += 1;
        }
        claim.open -= count;
        claim.is_open &= claim.open > 0;
        claim.is_again &= !claim.messages.is_empty();
    }

    fn expect_kept(&mut self, by: usize, kept: usize) {
        let claim = &mut self.readers[by].as_mut().expect("there").claim;
        assert_eq!(kept, claim.messages.len());
        claim.is_open = false;
        claim.is_again = !claim.messages.is_empty();
        claim.open = 0;
    }

    fn release(&mut self, by: usize, count: Option<usize>) {
        let Some(reader) = self.readers[by].as_mut() else { return };
        let open = if reader.claim.is_open { reader.claim.open } else { 0 };
        let released = reader.handle.release(count);
        match count {
            Some(count) if count > open && reader.claim.is_open => {
                assert_eq!(released.expect_err("too many").code(), Code::ARGUMENT);
            }
            count => {
                let expected = count.unwrap_or(open).min(open);
                assert_eq!(released.expect("released"), expected);
                if reader.claim.is_open {
                    self.expect_released(by, Some(expected));
                }
            }
        }
    }

    fn keep(&mut self, by: usize) {
        let Some(reader) = self.readers[by].as_mut() else { return };
        let kept = reader.handle.keep().expect("kept");
        self.expect_kept(by, kept);
    }

    fn wait(&mut self, by: usize) {
        let Some(reader) = self.readers[by].as_mut() else { return };
        let is_ready = !self.waiting.is_empty() || !reader.claim.messages.is_empty();
        let waited = reader.handle.wait(Some(Duration::ZERO)).expect("waited");
        // True may come for nothing: for what is owed, or was.
        assert!(waited || !is_ready, "waited: {waited}");
    }

    fn reopen(&mut self, by: usize) {
        let Some(mut reader) = self.readers[by].take() else { return };
        reader.handle.close();
        self.owed.extend(reader.claim.messages);
        self.owed.make_contiguous().sort_by_key(|message| message.position);
        self.readers[by] = self.open_reader(by);
    }

    fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Write { by, form, ref lengths } => self.write(by, form, lengths),
            Operation::Send { by, length } => self.send(by, length),
            Operation::Poll { by, limit } => self.poll(by, limit),
            Operation::PollInto { by, limit, room } => self.copy(by, limit, room, true),
            Operation::TakeInto { by, limit, room } => self.copy(by, limit, room, false),
            Operation::Release { by, count } => self.release(by, count),
            Operation::ReleaseEach { by } => {
                while self.is_busy(by) {
                    self.release(by, Some(1));
                }
            }
            Operation::Keep { by } => self.keep(by),
            Operation::TakeInPlace { by, limit, release, keeps } => self.take_in_place(by, limit, release, keeps),
            Operation::Wait { by } => self.wait(by),
            Operation::Reopen { by } => self.reopen(by),
            Operation::ReopenProducer { by } => {
                self.producers[by] = None;
                self.producers[by] = self.open_producer(by);
            }
        }
    }

    /// Everything written was delivered, once everybody has released and polled.
    fn drain(&mut self) {
        for by in 0..CONSUMERS {
            self.release(by, None);
        }
        let end = Instant::now() + Duration::from_secs(30);
        while self.delivered < self.seed {
            assert!(Instant::now() < end, "{} of {} messages were delivered", self.delivered, self.seed);
            (0..CONSUMERS).for_each(|by| self.poll(by, 1_000));
        }
        assert!(self.is_free.iter().all(|is_free| *is_free));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_queue_is_a_list_that_each_message_leaves_once(kindness in kindnesses(), operations in operations()) {
        timed(&(kindness, &operations), || {
            let mut trial = Trial::new(kindness);
            for operation in &operations {
                trial.perform(operation);
            }
            trial.drain();
        });
    }
}

#[test]
fn a_limit_of_nothing_ends_although_something_is_kept() {
    let kindness = Kindness { capacity: 4, exclusive_producer: false, exclusive_consumer: false, checksum: false };
    let operations = [
        Operation::Write { by: 0, form: Form::Single, lengths: vec![5] },
        Operation::TakeInPlace { by: 0, limit: 1, release: 0, keeps: true },
        Operation::Poll { by: 0, limit: 0 },
        Operation::TakeInto { by: 0, limit: 0, room: 0 },
        Operation::TakeInPlace { by: 0, limit: 0, release: 0, keeps: true },
    ];
    timed(&operations, || {
        let mut trial = Trial::new(kindness);
        operations.iter().for_each(|operation| trial.perform(operation));
        trial.drain();
    });
}
