//! ringfire: one writer, readers in other processes; lossless, so that every message can be checked.

use crate::pair::{Outcome, Placement};
use crate::subject::{CAPACITY, Reader, Subject, Writer};
use ringfire::{FlowControl, RingConsumer, RingConsumerBuilder, RingProducer, RingProducerBuilder};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The ring's file.
pub struct Lossless(PathBuf);
/// The side that writes.
pub struct LosslessWriter<const N: usize>(RingProducer<[u8; N]>);
/// The side that reads.
pub struct LosslessReader<const N: usize>(RingConsumer<[u8; N]>);

impl<const N: usize> Subject<N> for Lossless {
    type Writer = LosslessWriter<N>;
    type Reader = LosslessReader<N>;
    const PLACEMENT: Placement = Placement::Processes;

    fn create(tag: &str) -> Outcome<Self> {
        let path = PathBuf::from(format!("/dev/shm/bench-ringfire-{tag}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Ok(Self(path))
    }

    fn writer(&self) -> Outcome<LosslessWriter<N>> {
        let builder =
            RingProducerBuilder::new(CAPACITY as u64).flow_control(FlowControl::LosslessBackpressure).max_readers(4);
        Ok(LosslessWriter(builder.build(&self.0)?))
    }

    /// The writer makes the file, on the other side, so it may take a moment.
    fn reader(&self) -> Outcome<LosslessReader<N>> {
        let start = Instant::now();
        loop {
            match RingConsumerBuilder::new().start_from_oldest().attach(&self.0) {
                Ok(consumer) => return Ok(LosslessReader(consumer)),
                Err(error) if start.elapsed() > Duration::from_secs(5) => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl<const N: usize> Writer<N> for LosslessWriter<N> {
    #[inline(always)]
    fn write(&mut self, message: &[u8; N]) -> bool {
        self.0.push(black_box(message));
        true
    }

    #[inline(always)]
    fn write_batch(&mut self, messages: &[[u8; N]]) -> usize {
        self.0.push_batch(messages);
        messages.len()
    }
}

impl<const N: usize> Reader<N> for LosslessReader<N> {
    #[inline(always)]
    fn read(&mut self, limit: usize, mut see: impl FnMut(&[u8])) -> usize {
        let mut buffer = [[0; N]; 32];
        let count = self.0.recv_batch(&mut buffer[..limit.min(32)]);
        for message in &buffer[..count] {
            see(black_box(message));
        }
        count
    }
}
