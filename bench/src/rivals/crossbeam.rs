//! crossbeam's ArrayQueue: many writers and many readers, threads of one process.

use crate::pair::{Outcome, Placement};
use crate::subject::{CAPACITY, Reader, Subject, Writer};
use crossbeam_queue::ArrayQueue;
use std::hint::black_box;
use std::sync::Arc;

/// The queue, or one of its sides.
pub struct Array<const N: usize>(Arc<ArrayQueue<[u8; N]>>);

impl<const N: usize> Subject<N> for Array<N> {
    type Writer = Self;
    type Reader = Self;
    const PLACEMENT: Placement = Placement::Threads;

    fn create(_tag: &str) -> Outcome<Self> {
        Ok(Self(Arc::new(ArrayQueue::new(CAPACITY))))
    }

    fn writer(&self) -> Outcome<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    fn reader(&self) -> Outcome<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }
}

impl<const N: usize> Writer<N> for Array<N> {
    #[inline(always)]
    fn write(&mut self, message: &[u8; N]) -> bool {
        self.0.push(black_box(*message)).is_ok()
    }
}

impl<const N: usize> Reader<N> for Array<N> {
    #[inline(always)]
    fn read(&mut self, limit: usize, mut see: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit {
            let Some(message) = self.0.pop() else { break };
            see(&black_box(message));
            count += 1;
        }
        count
    }
}
