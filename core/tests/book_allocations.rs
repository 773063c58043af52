//! The book takes no memory after its start: an allocator that counts, and commands of every kind.
//!
//! A global allocator is a whole program's, so this test has one to itself.
#![allow(missing_docs, reason = "a test")]

#[path = "allocations/mod.rs"]
mod allocations;

#[path = "book/flow.rs"]
#[allow(dead_code, reason = "the book's own tests use all of it")]
mod flow;

use allocations::calls_of;
use flow::{Flow, Kind};
use tailrace_core::book::message::MassCancel;
use tailrace_core::book::{Book, Command, Config, Depth, Event, Side};

#[test]
fn a_book_takes_no_memory_after_its_start() {
    for (kind, slot_count, account_count) in [(Kind::Nasdaq, 1 << 16, 64), (Kind::Adversarial, 150, 4)] {
        let config = Config { slot_count, account_count, band_ticks: 256, ..Config::default() };
        let mut book = Book::new(&config, [1, 2]).expect("a book");
        let mut commands = Flow::new(kind, &config, 1).take(100_000);
        for account in 0..account_count {
            let message = MassCancel { account, ..MassCancel::BLANK }.into();
            commands.push(Command { sequence: 1 << 20, timestamp_ns: 0, message });
        }
        let mut events = vec![Event::BLANK; 256];
        let mut bytes = vec![0; 1 << 20];
        let mut depth = vec![Depth::default(); 20];
        let mut produced_in_all = 0;
        let calls = calls_of(|| {
            let mut rest = &commands[..];
            while !rest.is_empty() || book.is_pending() {
                let (consumed, produced) = book.apply(&rest[..rest.len().min(64)], &mut events);
                rest = &rest[consumed..];
                produced_in_all += produced;
            }
        });
        assert_eq!(calls, 0, "{kind:?}");
        assert!(produced_in_all >= commands.len());
        let calls = calls_of(|| {
            if !book.is_pending() {
                book.snapshot(&mut bytes).expect("a snapshot");
            }
            book.depth(Side::Buy, &mut depth);
            book.audit().expect("it is in order");
            std::hint::black_box(book.state_hash());
        });
        assert_eq!(calls, 0, "{kind:?}");
    }
}
