//! Witness: an innocent session at work while others misbehave.

use super::client::Client;
use super::stand::until;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use tailrace_core::book::message::PRICE_LIMIT;
use tailrace_core::book::{EXEC_ACCEPTED, EXEC_CANCELLED};

/// Sends orders and cancels, and fails when a report is late, missing or wrong.
pub struct Witness {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    /// A session of this account, at work.
    pub fn start(address: SocketAddr, account: u32) -> Self {
        let (rounds, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (its_rounds, its_stop) = (Arc::clone(&rounds), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut client = Client::log_in(address, account);
            // Nobody sells for less, so nobody trades with it.
            client.price = 1 - PRICE_LIMIT;
            let mut id = 0;
            while !its_stop.load(Ordering::Relaxed) {
                id += 1;
                let (order, cancel) = (client.order(id), client.cancel(id));
                client.send(&order);
                client.send(&cancel);
                for (exec_type, sequence) in [(EXEC_ACCEPTED, 2 * id - 1), (EXEC_CANCELLED, 2 * id)] {
                    let report = client.report();
                    assert_eq!((report.exec_type, report.sequence, report.client_order_id), (exec_type, sequence, id));
                }
                its_rounds.store(id, Ordering::Relaxed);
            }
            client.log_out();
        });
        let witness = Self { rounds, stop, thread: Some(thread) };
        witness.is_served();
        witness
    }

    /// Waits until it has got answers to some more orders.
    pub fn is_served(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        until("the witness gets its reports", || {
            let thread = self.thread.as_ref().expect("it has not ended");
            assert!(!thread.is_finished(), "the witness suffers");
            self.rounds.load(Ordering::Relaxed) >= before + 5
        });
    }

    /// Ends it, in good order.
    pub fn end(mut self) {
        self.is_served();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("ended once").join().expect("the witness got all its reports");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
