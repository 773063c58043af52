//! tailrace between two processes: a region in /dev/shm, opened by each side for itself.

use crate::pair::{Outcome, Placement};
use crate::subject::{CAPACITY, Look, Reader, Subject, Writer};
use std::hint::black_box;
use std::path::PathBuf;
use tailrace_core::region::{
    ChannelOptions, Consumer, ConsumerOptions, CreateOptions, HandleOptions, Kind, OpenOptions, Producer, Region,
};
use tailrace_core::ring::Strided;

const CHANNEL: &str = "bench";
const TYPE: u32 = 7;

/// One kind of channel, and one way to read it.
pub trait Channel: Sync {
    /// Queue or stream, and whose it is.
    fn options() -> ChannelOptions;
    /// Read in place, behind a claim, one word of each cache line.
    const IS_IN_PLACE: bool;
}

macro_rules! channels {
    ($($(#[$about:meta])* $name:ident { $($field:ident: $value:expr),* } $place:literal;)*) => {
        $(
            $(#[$about])*
            pub struct $name;
            impl Channel for $name {
                fn options() -> ChannelOptions {
                    ChannelOptions { capacity: CAPACITY as u64, $($field: $value,)* ..Default::default() }
                }
                const IS_IN_PLACE: bool = $place;
            }
        )*
    };
}
channels! {
    /// Many writers, many takers, with intents: copied out.
    Queue { kind: Kind::Queue } false;
    /// The same, read in place.
    QueueTake { kind: Kind::Queue } true;
    /// One writer, one taker.
    Exclusive { kind: Kind::Queue, exclusive_producer: true, exclusive_consumer: true } false;
    /// The same, read in place.
    ExclusiveTake { kind: Kind::Queue, exclusive_producer: true, exclusive_consumer: true } true;
    /// Many writers that wait for the slowest subscriber.
    Stream { kind: Kind::Stream, gated: true } false;
    /// One writer that waits for the slowest subscriber.
    ExclusiveStream { kind: Kind::Stream, exclusive_producer: true, gated: true } false;
}

/// A region with one channel.
pub struct Way<C> {
    path: PathBuf,
    channel: std::marker::PhantomData<C>,
}

/// A handle of one side; its region stays open with it.
pub struct Side<T, C> {
    handle: T,
    channel: std::marker::PhantomData<C>,
}

impl<C: Channel, const N: usize> Subject<N> for Way<C> {
    type Writer = Side<Producer, C>;
    type Reader = Side<Consumer, C>;
    const PLACEMENT: Placement = Placement::Processes;
    const LOOK: Look = if C::IS_IN_PLACE { Look::Lines } else { Look::Ends };

    /// Made and let go: what stays open would belong to the process before the fork.
    fn create(tag: &str) -> Outcome<Self> {
        let path = PathBuf::from(format!("/dev/shm/bench-tailrace-{tag}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let region = Region::create(&path, &CreateOptions::default())?;
        region.create_channel(CHANNEL, &C::options())?;
        Ok(Self { path, channel: std::marker::PhantomData })
    }

    fn writer(&self) -> Outcome<Side<Producer, C>> {
        let region = Region::open(&self.path, &OpenOptions::default())?;
        let handle = region.open_producer(CHANNEL, &HandleOptions::default())?;
        Ok(Side { handle, channel: self.channel })
    }

    fn reader(&self) -> Outcome<Side<Consumer, C>> {
        let region = Region::open(&self.path, &OpenOptions::default())?;
        let handle = region.open_consumer(CHANNEL, &ConsumerOptions::default())?;
        Ok(Side { handle, channel: self.channel })
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl<C, const N: usize> Writer<N> for Side<Producer, C> {
    #[inline(always)]
    fn write(&mut self, message: &[u8; N]) -> bool {
        self.handle.write(black_box(message), TYPE).unwrap_or(false)
    }

    #[inline(always)]
    fn write_batch(&mut self, messages: &[[u8; N]]) -> usize {
        let rows = Strided::new(messages.as_flattened(), N, N, messages.len());
        rows.and_then(|rows| self.handle.write_from(&rows, TYPE).ok()).unwrap_or(0)
    }
}

impl<C: Channel, const N: usize> Reader<N> for Side<Consumer, C> {
    #[inline(always)]
    fn read(&mut self, limit: usize, mut see: impl FnMut(&[u8])) -> usize {
        if C::IS_IN_PLACE {
            let Ok(taken) = self.handle.take(limit) else { return 0 };
            for message in taken.iter() {
                see(black_box(message.payload));
            }
            return taken.len();
        }
        let Ok(batch) = self.handle.poll(limit) else { return 0 };
        for message in batch.iter() {
            see(black_box(message.payload));
        }
        batch.len()
    }
}
