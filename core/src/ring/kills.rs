//! By brute force: an operation is killed at each of its steps, and the others must go on with nothing acknowledged
//! lost, nothing torn, nothing delivered twice without a flag, and no entry left behind.

use super::testing::{Boxed, LONG, World, drain, killed_at, message, numbers, read, write};
use crate::layout::{
    CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_GATED, CHANNEL_QUEUE, CHANNEL_STREAM, STATE_FREE,
    STATE_LIVE,
};
use crate::sync::Ordering;

#[test]
fn killed_at_every_step_of_a_write() {
    let kinds = [
        CHANNEL_QUEUE,
        CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER,
        CHANNEL_STREAM | CHANNEL_GATED,
        CHANNEL_STREAM | CHANNEL_GATED | CHANNEL_EXCLUSIVE_PRODUCER,
    ];
    let operations = [vec![message(2, 8)], vec![message(2, 8), message(3, 9)], vec![message(2, LONG), message(3, 9)]];
    let mut kills = 0;
    for (flags, operation) in kinds.iter().flat_map(|flags| operations.iter().map(move |op| (*flags, op))) {
        for at in 0.. {
            let boxed = Boxed::new(flags, 16);
            let host = World::default();
            let is_stream = flags & CHANNEL_STREAM != 0;
            let mut subscriber = is_stream.then(|| boxed.subscriber().1);
            let (dying, mut writer) = boxed.writer(&host);
            assert_eq!(write(&mut writer, &host, &[message(1, 8)]), 1);
            let killed = killed_at(at, || write(&mut writer, &host, operation));
            let Err(step) = killed else { break };
            kills += 1;
            host.kill(dying);
            if flags & CHANNEL_EXCLUSIVE_PRODUCER != 0 {
                boxed.ring().free_members(&host);
            }
            let (_, mut other) = boxed.writer(&host);
            let mut taker = (!is_stream).then(|| boxed.taker().1);
            let mut got = Vec::new();
            let mut more: Vec<_> = (4..30).map(|number| message(number, 8)).collect();
            for _ in 0..200 {
                let written = write(&mut other, &host, &more);
                more.drain(..written);
                if let Some(taker) = &mut taker {
                    got.extend(drain(taker, &host).into_iter().map(|(number, again)| {
                        assert!(!again);
                        number
                    }));
                }
                if let Some(subscriber) = &mut subscriber {
                    got.extend(read(subscriber, &host));
                }
            }
            let of_the_dead: Vec<u8> = got.iter().copied().filter(|number| matches!(number, 2 | 3)).collect();
            assert!(got.starts_with(&[1]) && got.ends_with(&(4..30).collect::<Vec<_>>()), "{step}: {got:?}");
            assert!([&[][..], &[2], &[2, 3], &[3]].contains(&&of_the_dead[..]), "{step}: {got:?}");
            if boxed.participants[dying as usize].state.load(Ordering::Relaxed) != STATE_FREE {
                boxed.ring().repair_members(&host);
            }
            let left = boxed.participants[dying as usize].state.load(Ordering::Relaxed);
            assert!(left == STATE_FREE || boxed.intent(dying) == 0 && left == STATE_LIVE, "{step}: entry {left}");
        }
    }
    assert!(kills > 60, "{kills} kills");
}

#[test]
fn killed_at_every_step_of_a_take() {
    let mut kills = 0;
    for flags in [CHANNEL_QUEUE, CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_CONSUMER] {
        for at in 0.. {
            let boxed = Boxed::new(flags, 16);
            let host = World::default();
            let (_, mut writer) = boxed.writer(&host);
            let (dying, mut first) = boxed.taker();
            assert_eq!(write(&mut writer, &host, &[message(1, 8), message(2, LONG), message(3, 8)]), 3);
            let mut buffer = vec![0; 64 << 10];
            let mut acknowledged = Vec::new();
            let killed = killed_at(at, || {
                let taken = first.take(&host, &mut buffer, 2).expect("taken");
                acknowledged = numbers(&buffer[..taken.bytes]);
                first.release(&host, None).expect("released");
                taken.count
            });
            let Err(step) = killed else { break };
            kills += 1;
            host.kill(dying);
            boxed.ring().repair_members(&host);
            let (_, mut heir) = boxed.taker();
            assert_eq!(write(&mut writer, &host, &[message(4, 8)]), 1);
            let got = drain(&mut heir, &host);
            for number in 1..=4 {
                let times = got.iter().filter(|(seen, _)| *seen == number).count();
                let is_with_the_dead = acknowledged.iter().any(|(seen, _)| *seen == number);
                assert!(times == 1 || times == 0 && is_with_the_dead, "{step}: {number} in {got:?}");
                let again = got.iter().any(|(seen, again)| *seen == number && *again);
                assert!(!is_with_the_dead || times == 0 || again, "{step}: {number} twice without a flag");
            }
            boxed.ring().repair_members(&host);
            assert_eq!(boxed.participants[dying as usize].state.load(Ordering::Relaxed), STATE_FREE, "{step}");
            assert!((0..4).all(|x| boxed.sequence(x) >= 16), "{step}: a slot is stuck");
        }
    }
    assert!(kills > 15, "{kills} kills");
}

/// The one who repairs is killed too, at each of its steps, and the next one does it again.
#[test]
fn killed_at_every_step_of_a_repair() {
    let mut kills = 0;
    for flags in [CHANNEL_QUEUE, CHANNEL_STREAM] {
        for at in 0.. {
            let boxed = Boxed::new(flags, 8);
            let host = World::default();
            let (dying, mut writer) = boxed.writer(&host);
            let batch = [message(1, 8), message(2, 8), message(3, 8)];
            assert_eq!(killed_at(3, || write(&mut writer, &host, &batch)), Err("write.writing"));
            host.kill(dying);
            let killed = killed_at(at, || boxed.ring().repair_hole(&host, 0));
            let again = (0..3).map(|x| boxed.ring().repair_hole(&host, x)).collect::<Vec<_>>();
            assert!((0..3).all(|x| boxed.sequence(x) == x + 1), "{killed:?} then {again:?}");
            boxed.ring().repair_members(&host);
            assert_eq!(boxed.participants[dying as usize].state.load(Ordering::Relaxed), STATE_FREE);
            if killed.is_ok() {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 12, "{kills} kills");
}

#[test]
fn killed_at_every_step_of_an_inheritance() {
    let mut kills = 0;
    for at in 0.. {
        let boxed = Boxed::new(CHANNEL_QUEUE, 16);
        let host = World::default();
        let (_, mut writer) = boxed.writer(&host);
        let (first_index, mut first) = boxed.taker();
        let (second_index, mut second) = boxed.taker();
        let (_, mut third) = boxed.taker();
        write(&mut writer, &host, &[message(1, 8), message(2, LONG)]);
        let mut buffer = vec![0; 16 << 10];
        assert_eq!(first.take(&host, &mut buffer, 2).expect("taken").count, 2);
        host.kill(first_index);
        second.note_sleep(true);
        let killed = killed_at(at, || second.take(&host, &mut buffer, 2).expect("taken over").count);
        let is_killed = killed.is_err();
        host.kill(second_index);
        assert_eq!(drain(&mut third, &host), [(1, true), (2, true)], "{killed:?}");
        for index in [first_index, second_index] {
            boxed.ring().repair_members(&host);
            assert_eq!(boxed.participants[index as usize].state.load(Ordering::Relaxed), STATE_FREE, "{killed:?}");
        }
        if !is_killed {
            break;
        }
        kills += 1;
    }
    assert!(kills > 5, "{kills} kills");
}
