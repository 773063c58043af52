//! Large: a million resting orders. What is measured is printed, and judged only where it must not grow without bound.

use crate::EPOCH;
use crate::place::{Place, Process, answer, append};
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use tailrace_core::book::message::{NewOrder, ORDER_LIMIT, SIDE_BUY, SIDE_SELL};
use tailrace_exchange::snapshot::image::Image;

const ORDERS: u64 = 1_000_000;
const SLOTS: u32 = 1 << 20;
const REQUEST: [u8; 16] = [64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The book takes 130 bytes a slot, a file 48 and an image 40 bytes an order; of images there may be 256 MiB and one.
const BYTES_MAX: u64 = 130 * SLOTS as u64 + 48 * ORDERS + (256 << 20) + 40 * ORDERS + (64 << 20);

/// An order that rests far from all others' side.
fn order(number: u64) -> Vec<u8> {
    let level = (number * 7_919 % 50_000) as i64;
    let (side, price) =
        if number.is_multiple_of(2) { (SIDE_BUY, 99_999 - level) } else { (SIDE_SELL, 100_000 + level) };
    let order = NewOrder {
        side,
        order_type: ORDER_LIMIT,
        account: (number % 8) as u32,
        client_order_id: number,
        price,
        quantity: 1 + number % 100,
        ..NewOrder::BLANK
    };
    order.encode().to_vec()
}

fn memory_bytes(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("read");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the most it ever had");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("kilobytes") * 1_024
}

/// How long the service needs for somebody who wants nothing of the book: to see that it is no request, and end it.
fn attention(shadow: &mut Process) -> Duration {
    let mut stream = shadow.connect();
    let begun = Instant::now();
    stream.write_all(b"?").expect("sent");
    let _ = stream.read(&mut [0]);
    begun.elapsed()
}

#[test]
fn a_million_orders_are_given_to_many_without_standing_still() {
    let place = Place::new(250_000, SLOTS);
    let journal = place.journal(EPOCH, SLOTS);
    let mut shadow = place.run("shadow");
    for batch in 0..ORDERS / 1_000 {
        append(&journal, &(1 + batch * 1_000..=(batch + 1) * 1_000).map(order).collect::<Vec<_>>());
    }
    let begun = Instant::now();
    shadow.wait_for_sequence(ORDERS + 1);
    println!("behind the journal by {:?} when its last record was written", begun.elapsed());
    let expected = Image::of(&place.replayed()).bytes;
    let begun = Instant::now();
    assert!(shadow.snapshot() == expected);
    println!("{} MB, from the request to the last byte: {:?}", expected.len() / 1_000_000, begun.elapsed());

    let mut clients: Vec<_> = (0..24).map(|_| shadow.connect()).collect();
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    std::thread::scope(|scope| {
        let takers: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(index, stream)| {
                let (expected, journal) = (&expected, &journal);
                scope.spawn(move || {
                    // Every fourth asks for a newer image than the one before had, and takes its time.
                    let is_slow = index % 4 == 0;
                    if is_slow {
                        std::thread::sleep(Duration::from_millis(50 * index as u64));
                        append(journal, &[order(1)]);
                    }
                    stream.write_all(&REQUEST).expect("asked");
                    if is_slow {
                        std::thread::sleep(Duration::from_millis(300));
                    }
                    assert!(answer(stream) == *expected, "a duplicate is refused, so the book is the same");
                })
            })
            .collect();
        while takers.iter().any(|taker| !taker.is_finished()) {
            longest = longest.max(attention(&mut shadow));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    println!("{} clients in {:?}; others waited at most {longest:?}", clients.len(), begun.elapsed());
    let images = shadow.wait_for_sequence(ORDERS + 7)["images"].as_u64();
    let most = memory_bytes(&shadow);
    println!("{images:?} images; at most {} MB of memory", most / 1_000_000);
    assert!(most < BYTES_MAX, "{most} of {BYTES_MAX}");
    let (code, closed, _) = shadow.end();
    assert_eq!((code, closed["files_failed"].as_u64()), (Some(0), Some(0)));
    assert!(closed["ended"]["slow"] == 0 && closed["ended"]["displaced"] == 0 && closed["refused"] == 0, "{closed}");
}
