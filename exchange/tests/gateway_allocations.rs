//! A gateway at work takes no memory: an allocator that counts, and clients over real sockets.
//!
//! A global allocator is a whole program's, so this test has one to itself.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test")]

#[path = "../../core/tests/allocations/mod.rs"]
mod allocations;

#[path = "gateway/client.rs"]
#[allow(dead_code, reason = "the gateway's own tests use all of it")]
mod client;
#[path = "gateway/stand.rs"]
#[allow(dead_code, reason = "the gateway's own tests use all of it")]
mod stand;

use allocations::calls_of;
use client::{Client, framed};
use stand::{Choices, PATIENCE, Stand};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tailrace_core::book::message::CancelOrder;
use tailrace_exchange::agent::Agent;
use tailrace_exchange::gateway::Gateway;

const CLIENTS: u32 = 3;
/// Rounds of all clients until every buffer is as large as it gets, and until the end. Where reports are is remembered for
/// ever, 32 bytes for 4,096 of them: that grows for the first time when there are four times as many, which is later.
const WARM: u64 = 200;
const END: u64 = 800;

/// Orders, cancels and refusals, some at a time, until somebody says that it is enough.
fn trade(mut client: Client, rounds: &AtomicU64) {
    let mut id = 0;
    while rounds.load(Ordering::Relaxed) < END {
        let mut frames = Vec::new();
        for _ in 0..8 {
            id += 1;
            frames.extend(framed(&client.order(id)));
            frames.extend(framed(&client.cancel(id)));
            frames.extend(framed(&CancelOrder { account: 400, client_order_id: id, ..CancelOrder::BLANK }.encode()));
        }
        client.send_bytes(&frames);
        client.reports(24);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    client.leave();
}

#[test]
fn what_is_passed_on_and_routed_takes_no_memory() {
    let stand = Stand::new(&Choices::default());
    let mut gateway = Gateway::start(&stand.config).expect("a gateway");
    let address = gateway.address();
    let rounds = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|account| {
            let rounds = Arc::clone(&rounds);
            std::thread::spawn(move || trade(Client::log_in(address, account), &rounds))
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    let (mut calls, mut counted) = (0, 0_u64);
    loop {
        let done = rounds.load(Ordering::Relaxed);
        let mut worked = 0;
        let taken = calls_of(|| worked = gateway.turn().expect("a turn"));
        if (WARM..END - u64::from(CLIENTS)).contains(&done) {
            calls += taken;
            counted += u64::from(worked > 0);
        } else if done >= END {
            break;
        }
        if worked == 0 {
            gateway.wait(Duration::from_millis(1)).expect("to wait");
        }
        assert!(Instant::now() < deadline, "{done} rounds in time");
    }
    assert!(counted > 200, "{counted} turns with work");
    assert_eq!(calls, 0, "in {counted} turns");
    while clients.iter().any(|client| !client.is_finished()) {
        gateway.turn().expect("a turn");
        assert!(Instant::now() < deadline, "the clients end in time");
    }
    for client in clients {
        client.join().expect("it got its reports");
    }
    gateway.close().expect("to close");
}
