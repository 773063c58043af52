//! What the twins keep of a message, how a batch is written, and what is compared with it.

use proptest::prelude::*;
use tailrace_core::error::{Code, Error};
use tailrace_core::layout::{RECORD_HEADER_BYTES, SLOT_PAYLOAD};
use tailrace_core::region::Producer;
use tailrace_core::ring::{Message, Packed, Strided};

/// What a handle's own buffer holds; no message of these rings needs more.
pub const BUFFER_BYTES: usize = 64 << 10;

/// A message that a twin expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub position: u64,
    pub length: usize,
    pub message_type: u32,
    /// What its payload is made from.
    pub seed: u64,
    /// How often it was handed out.
    pub deliveries: u16,
}

impl Expected {
    pub fn slots(&self) -> u64 {
        slots_of(self.length)
    }

    /// Bytes of its record.
    pub fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES as usize + self.length.next_multiple_of(8)
    }

    pub fn payload(&self) -> Vec<u8> {
        payload(self.seed, self.length)
    }
}

pub fn slots_of(length: usize) -> u64 {
    length.div_ceil(SLOT_PAYLOAD as usize).max(1) as u64
}

pub fn payload(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| ((seed * 31 + index) % 251) as u8).collect()
}

/// How a batch is given to the writer.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    Single,
    List,
    Packed,
    Strided,
}

pub fn forms() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Single), Just(Form::List), Just(Form::Packed), Just(Form::Strided)]
}

/// Lengths of a batch: mostly short, at times the edges of a slot, at times long.
pub fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let edges = prop::sample::select(vec![0, 1, 959, 960, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 4_096]);
    let length = prop_oneof![4 => 0..100_usize, 2 => edges, 1 => 1_000..17_000_usize];
    prop::collection::vec(length, 1..12)
}

pub fn capacities() -> impl Strategy<Value = u64> {
    (1..=6_u32).prop_map(|power| 1 << power)
}

/// The longest message of a ring.
pub fn message_max(capacity: u64) -> usize {
    (capacity / 4).max(1) as usize * SLOT_PAYLOAD as usize
}

/// What a form makes of a batch: one message, or rows of one length.
pub fn shaped(form: Form, mut lengths: Vec<usize>) -> Vec<usize> {
    match form {
        Form::Single => lengths.truncate(1),
        Form::Strided => {
            let first = lengths[0];
            lengths.fill(first);
        }
        Form::List | Form::Packed => {}
    }
    lengths
}

/// Writes a batch in its form.
pub fn write(producer: &mut Producer, form: Form, payloads: &[Vec<u8>], message_type: u32) -> Result<usize, Error> {
    let lengths: Vec<u32> = payloads.iter().map(|payload| payload.len() as u32).collect();
    match form {
        Form::Single => producer.write(&payloads[0], message_type).map(usize::from),
        Form::List => {
            let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            producer.write_batch(&slices, message_type)
        }
        Form::Packed => {
            let mut bytes = Vec::new();
            for payload in payloads {
                bytes.resize(bytes.len().next_multiple_of(8), 0xEE);
                bytes.extend(payload);
            }
            producer.write_from(&Packed::new(&bytes, &lengths).expect("inside"), message_type)
        }
        Form::Strided => {
            let (length, stride) = (payloads[0].len(), payloads[0].len() + 5);
            let mut bytes = vec![0xEE; stride * payloads.len()];
            for (row, payload) in bytes.chunks_mut(stride).zip(payloads) {
                row[..length].copy_from_slice(payload);
            }
            let rows = Strided::new(&bytes, stride, length, payloads.len()).expect("inside");
            producer.write_from(&rows, message_type)
        }
    }
}

/// A handle, or the refusal of an exclusive role.
pub fn granted<T>(opened: Result<T, Error>, is_only: bool) -> Option<T> {
    match opened {
        Ok(handle) => {
            assert!(is_only, "a second holder of an exclusive role");
            Some(handle)
        }
        Err(error) => {
            assert!(!is_only, "{error}");
            assert_eq!((error.code(), error.value()), (Code::BUSY, std::process::id().into()));
            None
        }
    }
}

/// What the ring handed out.
#[derive(Debug)]
pub struct Given {
    pub sequence: u64,
    pub message_type: u32,
    pub is_again: bool,
    pub delivery_count: u16,
    pub payload: Vec<u8>,
}

pub fn given<'a>(messages: impl Iterator<Item = Message<'a>>) -> Vec<Given> {
    messages
        .map(|message| Given {
            sequence: message.sequence,
            message_type: message.message_type,
            is_again: message.is_redelivered(),
            delivery_count: message.delivery_count,
            payload: message.payload.to_vec(),
        })
        .collect()
}

/// How many of the first messages a call hands out.
pub fn expected_count<'a>(messages: impl Iterator<Item = &'a Expected>, limit: usize, room: usize) -> usize {
    let fits = |used: &mut usize, message: &Expected| {
        *used += message.record_bytes();
        (*used <= room).then_some(())
    };
    messages.take(limit).scan(0_usize, fits).count()
}
