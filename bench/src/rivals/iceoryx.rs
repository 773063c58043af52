//! iceoryx2: publish and subscribe between processes, samples loaned and written in place.

use crate::pair::{Outcome, Placement};
use crate::subject::{CAPACITY, Reader, Subject, Writer};
use iceoryx2::port::{publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::*;
use std::hint::black_box;

type Port<T> = Outcome<T>;

/// The service's name.
pub struct PublishSubscribe(String);
/// The side that writes.
pub struct Publishing<const N: usize> {
    publisher: Publisher<ipc::Service, [u8; N], ()>,
    _node: Node<ipc::Service>,
}
/// The side that reads.
pub struct Subscribing<const N: usize> {
    subscriber: Subscriber<ipc::Service, [u8; N], ()>,
    _node: Node<ipc::Service>,
}

impl PublishSubscribe {
    fn service<const N: usize>(
        &self,
        node: &Node<ipc::Service>,
    ) -> Port<iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, [u8; N], ()>> {
        Ok(node
            .service_builder(&self.0.as_str().try_into()?)
            .publish_subscribe::<[u8; N]>()
            .enable_safe_overflow(false)
            .history_size(0)
            .subscriber_max_buffer_size(CAPACITY)
            .subscriber_max_borrowed_samples(2)
            .max_publishers(2)
            .max_subscribers(2)
            .open_or_create()?)
    }
}

impl<const N: usize> Subject<N> for PublishSubscribe {
    type Writer = Publishing<N>;
    type Reader = Subscribing<N>;
    const PLACEMENT: Placement = Placement::Processes;

    fn create(tag: &str) -> Outcome<Self> {
        set_log_level(LogLevel::Error);
        Ok(Self(format!("tailrace-bench/{tag}/{N}/{}", std::process::id())))
    }

    fn writer(&self) -> Outcome<Publishing<N>> {
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let publisher = self
            .service::<N>(&node)?
            .publisher_builder()
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        Ok(Publishing { publisher, _node: node })
    }

    fn reader(&self) -> Outcome<Subscribing<N>> {
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let subscriber = self.service::<N>(&node)?.subscriber_builder().buffer_size(CAPACITY).create()?;
        Ok(Subscribing { subscriber, _node: node })
    }
}

impl<const N: usize> Writer<N> for Publishing<N> {
    fn write(&mut self, message: &[u8; N]) -> bool {
        let Ok(sample) = self.publisher.loan_uninit() else { return false };
        sample.write_payload(black_box(*message)).send().is_ok()
    }
}

impl<const N: usize> Reader<N> for Subscribing<N> {
    fn read(&mut self, limit: usize, mut see: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit {
            let Ok(Some(sample)) = self.subscriber.receive() else { break };
            see(black_box(sample.payload()));
            count += 1;
        }
        count
    }
}
