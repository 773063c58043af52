//! Replay: the same commands give the same book, however they are cut, and from a snapshot on.

use crate::desk::{Desk, KEY, SMALL, apply_in_pieces, buy, depth, mass_cancel, sell};
use crate::flow::{Chance, Flow, Kind};
use tailrace_core::book::message::{CancelOrder, NewOrder, ORDER_LIMIT};
use tailrace_core::book::{Book, Command, Config, Event, Message, Side};
use tailrace_core::error::Code;

const CONFIG: Config = Config { slot_count: 2_000, account_count: 16, band_ticks: 64, ..SMALL };
const SEEDS: [(Kind, u64); 4] = [(Kind::Nasdaq, 1), (Kind::Nasdaq, 2), (Kind::Adversarial, 3), (Kind::Adversarial, 4)];

fn command(sequence: u64, message: impl Into<Message>) -> Command {
    Command { sequence, timestamp_ns: sequence, message: message.into() }
}

#[test]
fn the_same_commands_give_the_same_events_however_they_are_cut() {
    for (kind, seed) in SEEDS {
        let commands = Flow::new(kind, &CONFIG, seed).take(20_000);
        let mut whole = Book::new(&CONFIG, KEY).expect("a book");
        let events = apply_in_pieces(&mut whole, &commands, 1 << 20);
        // Another key: it must show nowhere.
        let mut cut = Book::new(&CONFIG, [seed, !seed]).expect("a book");
        let mut chance = Chance(seed);
        let (mut again, mut rest) = (Vec::new(), &commands[..]);
        while !rest.is_empty() || cut.is_pending() {
            let mut window = vec![Event::BLANK; 1 + chance.below(9) as usize];
            let given = rest.len().min(chance.below(7) as usize);
            let (consumed, produced) = cut.apply(&rest[..given], &mut window);
            again.extend_from_slice(&window[..produced]);
            rest = &rest[consumed..];
        }
        assert!(events == again, "{kind:?} {seed}");
        assert_eq!(whole.state_hash(), cut.state_hash());
        assert_eq!(events.iter().filter(|event| event.is_last()).count(), commands.len());
        let market: Vec<u64> =
            events.iter().map(|event| event.market_sequence).filter(|&sequence| sequence > 0).collect();
        assert!(market.iter().copied().eq(1..=market.len() as u64), "market sequences are dense");
    }
}

#[test]
fn a_snapshot_and_the_rest_are_the_whole() {
    for (kind, seed) in SEEDS {
        let commands = Flow::new(kind, &CONFIG, seed).take(12_000);
        let mut whole = Book::new(&CONFIG, KEY).expect("a book");
        for half in [3_000, 6_000, 9_000] {
            apply_in_pieces(&mut whole, &commands[half - 3_000..half], 1_000);
            let mut bytes = vec![0; whole.snapshot_bytes() + 10];
            let length = whole.snapshot(&mut bytes).expect("a snapshot");
            assert_eq!(length, whole.snapshot_bytes());
            let (mut pieces, mut rests) = (vec![0; length], 0);
            whole.snapshot_in_pieces(&mut pieces, || rests += 1).expect("a snapshot");
            assert!(pieces == bytes[..length]);
            assert_eq!(rests, whole.order_count() / 1_024);
            let mut restored = Book::restore(&CONFIG, [seed, seed], &bytes[..length]).expect("the same book");
            restored.audit().expect("it is in order");
            assert_eq!((restored.sequence(), restored.state_hash()), (whole.sequence(), whole.state_hash()));
            let mut original = Book::restore(&CONFIG, KEY, &bytes[..length]).expect("the same book");
            let rest = &commands[half..];
            assert!(apply_in_pieces(&mut restored, rest, 100) == apply_in_pieces(&mut original, rest, 1_000));
            let mut straight = Book::new(&CONFIG, KEY).expect("a book");
            apply_in_pieces(&mut straight, &commands, 1_000);
            assert_eq!(restored.state_hash(), straight.state_hash(), "{kind:?} {seed} {half}");
            for side in [Side::Buy, Side::Sell] {
                assert!(restored.resting(side).eq(straight.resting(side)));
            }
        }
    }
}

/// Each byte of a snapshot, turned: an error, or (never, with a checksum) the same book; nothing panics.
#[test]
fn a_damaged_snapshot_is_refused() {
    let mut desk = Desk::new();
    desk.accept(buy(1, 1, 100, 5));
    desk.accept(sell(2, 1, 101, 5));
    desk.accept(buy(1, 2, 100, 5));
    let mut bytes = vec![0; desk.book.snapshot_bytes()];
    assert_eq!(desk.book.snapshot(&mut bytes[1..]).map_err(|fault| fault.code), Err(Code::TOO_LARGE));
    desk.book.snapshot(&mut bytes).expect("a snapshot");
    let code = |bytes: &[u8]| Book::restore(&SMALL, KEY, bytes).err().map(|fault| fault.code);
    assert_eq!(code(&bytes), None);
    for length in 0..bytes.len() {
        assert_eq!(code(&bytes[..length]), Some(Code::CORRUPT), "{length}");
    }
    for index in 0..bytes.len() {
        let mut turned = bytes.clone();
        turned[index] ^= 0x41;
        assert_eq!(code(&turned), Some(Code::CORRUPT), "{index}");
        // With a checksum that fits, what is in it is judged.
        let end = turned.len() - 8;
        let checksum = crc32(&turned[..end]);
        turned[end..].copy_from_slice(&u64::from(checksum).to_le_bytes());
        match Book::restore(&SMALL, KEY, &turned) {
            Ok(book) => book.audit().expect("it is in order"),
            Err(fault) => assert!(matches!(fault.code, Code::CORRUPT | Code::NO_SPACE), "{index}: {fault:?}"),
        }
    }
    let small = Config { slot_count: 2, ..SMALL };
    assert_eq!(Book::restore(&small, KEY, &bytes).err().map(|fault| fault.code), Some(Code::NO_SPACE));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

/// A mass cancel of many through a window of one: other commands wait, and no snapshot can be taken in between.
#[test]
fn a_command_whose_events_do_not_fit_goes_on_in_the_next_call() {
    let mut desk = Desk::new();
    for id in 1..=20 {
        desk.accept(buy(1, id, 100 - id as i64, 5));
    }
    let commands = [command(100, mass_cancel(1, 21)), command(101, buy(1, 22, 50, 1))];
    let book = &mut desk.book;
    assert_eq!(book.apply(&commands, &mut []), (0, 0));
    let mut window = [Event::BLANK; 1];
    assert_eq!(book.apply(&commands, &mut window), (1, 1));
    assert!(book.is_pending());
    assert_eq!(book.snapshot(&mut [0; 4_096]).map_err(|fault| fault.code), Err(Code::BUSY));
    for _ in 0..20 {
        assert_eq!(book.apply(&commands[1..], &mut window), (0, 1));
    }
    assert!(window[0].is_last() && !book.is_pending());
    assert_eq!(book.apply(&commands[1..], &mut window), (1, 1));
    assert_eq!(depth(book, Side::Buy), [(50, 1, 1)]);
}

/// Two crowds of levels far apart, and a best price that jumps between them: the band is always on its way, and no
/// command moves more than its share.
#[test]
fn price_ping_pong_over_the_edge_of_the_band_moves_at_most_64_levels_a_command() {
    let config = Config { slot_count: 4_000, band_ticks: 256, ..SMALL };
    let mut book = Book::new(&config, KEY).expect("a book");
    let (mut id, mut worst, mut bound) = (0, 0, 0);
    let mut send = |book: &mut Book, message: Message| {
        let before = book.level_moves();
        apply_in_pieces(book, &[command(1, message)], 10);
        let moves = book.level_moves() - before;
        worst = worst.max(moves);
        bound += u32::from(moves >= 63);
    };
    let order = |id: u64, price: i64| NewOrder {
        side: 1,
        order_type: ORDER_LIMIT,
        account: 1,
        client_order_id: id,
        price,
        quantity: 1,
        ..NewOrder::BLANK
    };
    for place in [0, 5_000] {
        for step in 0..500 {
            id += 1;
            send(&mut book, order(id, place + step).into());
        }
    }
    let mut chance = Chance(1);
    for round in 0..2_000 {
        id += 1;
        send(&mut book, order(id, [5_700, 5_563, 1 << 40][round % 3]).into());
        for _ in 0..chance.below(6) {
            send(&mut book, CancelOrder { account: 2, client_order_id: 1, ..CancelOrder::BLANK }.into());
        }
        if round % 100 == 0 {
            book.audit().expect("it is in order");
        }
        send(&mut book, CancelOrder { account: 1, client_order_id: id, ..CancelOrder::BLANK }.into());
    }
    book.audit().expect("it is in order");
    assert!(worst <= 64, "{worst}");
    assert!(bound > 100, "the bound was reached {bound} times");
}

/// Within a quarter of the band nothing moves, however often the best price comes and goes.
#[test]
fn small_steps_of_the_best_price_move_nothing() {
    let config = Config { band_ticks: 256, ..SMALL };
    let mut desk = Desk::with(&config);
    for id in 1..=20 {
        desk.accept(buy(1, id, 1_000 - id as i64, 1));
    }
    let moves = desk.book.level_moves();
    for id in 1..200 {
        desk.accept(buy(2, id, 1_000 + (id % 50) as i64, 1));
        desk.accept(CancelOrder { account: 2, client_order_id: id, ..CancelOrder::BLANK });
    }
    assert_eq!(desk.book.level_moves(), moves);
}

/// Ids that would all fall into one place of a table without a key.
#[test]
fn adversarial_ids_are_found_like_any_others() {
    let config = Config { slot_count: 20_000, account_count: 4, ..SMALL };
    for step in [1 << 15, 1 << 20, 1 << 32, 1 << 48] {
        let mut book = Book::new(&config, KEY).expect("a book");
        let id = |count: u64| (count + 1) * step;
        let news = (0..10_000).map(|count| command(count, sell(1, id(count), count as i64 % 100, 1)));
        apply_in_pieces(&mut book, &news.collect::<Vec<_>>(), 1_000);
        assert_eq!(book.order_count(), 10_000);
        let cancels = (0..10_000).map(|count| command(count, crate::desk::cancel(1, id(count))));
        apply_in_pieces(&mut book, &cancels.collect::<Vec<_>>(), 1_000);
        assert_eq!(book.order_count(), 0);
        book.audit().expect("it is in order");
    }
}
