//! rtrb: one writer and one reader, threads of one process.

use crate::pair::{Outcome, Placement};
use crate::subject::{CAPACITY, Reader, Subject, Writer};
use rtrb::{Consumer, Producer, RingBuffer};
use std::hint::black_box;
use std::sync::Mutex;

type Ends<const N: usize> = (Option<Producer<[u8; N]>>, Option<Consumer<[u8; N]>>);

/// `push` and `pop` of whole elements.
pub struct Single<const N: usize>(Mutex<Ends<N>>);
/// Its chunks, which no other ring here has.
pub struct Chunks<const N: usize>(Mutex<Ends<N>>);

/// The side that writes whole elements.
pub struct SingleWriter<const N: usize>(Producer<[u8; N]>);
/// The side that reads whole elements.
pub struct SingleReader<const N: usize>(Consumer<[u8; N]>);
/// The side that writes chunks.
pub struct ChunkWriter<const N: usize>(Producer<[u8; N]>);
/// The side that reads chunks.
pub struct ChunkReader<const N: usize>(Consumer<[u8; N]>);

macro_rules! subject {
    ($name:ident, $writer:ident, $reader:ident) => {
        impl<const N: usize> Subject<N> for $name<N> {
            type Writer = $writer<N>;
            type Reader = $reader<N>;
            const PLACEMENT: Placement = Placement::Threads;

            fn create(_tag: &str) -> Outcome<Self> {
                let (producer, consumer) = RingBuffer::new(CAPACITY);
                Ok(Self(Mutex::new((Some(producer), Some(consumer)))))
            }

            fn writer(&self) -> Outcome<$writer<N>> {
                let mut ends = self.0.lock().map_err(|_| "a side panicked")?;
                Ok($writer(ends.0.take().ok_or("one writer only")?))
            }

            fn reader(&self) -> Outcome<$reader<N>> {
                let mut ends = self.0.lock().map_err(|_| "a side panicked")?;
                Ok($reader(ends.1.take().ok_or("one reader only")?))
            }
        }
    };
}
subject!(Single, SingleWriter, SingleReader);
subject!(Chunks, ChunkWriter, ChunkReader);

impl<const N: usize> Writer<N> for SingleWriter<N> {
    #[inline(always)]
    fn write(&mut self, message: &[u8; N]) -> bool {
        self.0.push(black_box(*message)).is_ok()
    }
}

impl<const N: usize> Reader<N> for SingleReader<N> {
    #[inline(always)]
    fn read(&mut self, limit: usize, mut see: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit {
            let Ok(message) = self.0.pop() else { break };
            see(&black_box(message));
            count += 1;
        }
        count
    }
}

impl<const N: usize> Writer<N> for ChunkWriter<N> {
    fn write(&mut self, message: &[u8; N]) -> bool {
        self.0.push(black_box(*message)).is_ok()
    }

    fn write_batch(&mut self, messages: &[[u8; N]]) -> usize {
        let count = messages.len().min(self.0.slots());
        match self.0.write_chunk_uninit(count) {
            Ok(chunk) => chunk.fill_from_iter(messages.iter().copied()),
            Err(_) => 0,
        }
    }
}

impl<const N: usize> Reader<N> for ChunkReader<N> {
    fn read(&mut self, limit: usize, mut see: impl FnMut(&[u8])) -> usize {
        let count = limit.min(self.0.slots());
        let Ok(chunk) = self.0.read_chunk(count) else { return 0 };
        let (first, second) = chunk.as_slices();
        for message in first.iter().chain(second) {
            see(black_box(message));
        }
        chunk.commit_all();
        count
    }
}
