//! By brute force: a member is killed at each of its steps, and the others must go on with every sequence delivered
//! once, or again with a flag, `committed` never above what is not released, and no entry left behind.

use super::claims::{Claims, Run};
use super::testing::{Boxed, Delivered, drain, finish, take};
use crate::ring::testing::{World, killed_at};
use crate::sync::Ordering;

const END: u64 = 6;

/// Everything was delivered, twice only with a flag the second time, and nothing is left behind.
fn check(boxed: &Boxed, living: &Claims<'_>, host: &World, before: &[Delivered], what: &str) {
    let committed = living.count_committed();
    let released = |sequence: u64| before.iter().any(|(seen, _)| *seen == sequence);
    assert!((0..committed).all(released), "{what}: {committed} is committed of {before:?}");
    let mut got = before.to_vec();
    got.extend(drain(living, host, END));
    for sequence in 0..END {
        let times: Vec<bool> = got.iter().filter(|(seen, _)| *seen == sequence).map(|(_, again)| *again).collect();
        assert!(!times.is_empty(), "{what}: {sequence} is lost, of {got:?}");
        assert!(times.iter().skip(1).all(|again| *again), "{what}: {sequence} twice without a flag, of {got:?}");
    }
    assert_eq!(living.count_committed(), END, "{what}: everything is released");
    let free = boxed.participants.iter().filter(|member| member.state.load(Ordering::Relaxed) == 0).count();
    assert_eq!(free + 1, boxed.participants.len(), "{what}: the entries of the dead");
}

#[test]
fn killed_at_every_step_of_a_claim() {
    let mut kills = 0;
    for step in 0.. {
        let (boxed, host) = (Boxed::new(), World::default());
        let (dying, living) = (boxed.join(), boxed.join());
        let mut got: Vec<Delivered> = vec![(0, false)];
        finish(&living, 1);
        let killed = killed_at(step, || {
            let run = take(&dying, 2);
            got.extend((run.first..run.end()).map(|sequence| (sequence, false)));
            dying.release();
            dying.count_committed();
        });
        let Err(what) = killed else { break };
        kills += 1;
        host.kill(dying.me);
        check(&boxed, &living, &host, &got, what);
    }
    assert!(kills > 8, "{kills} kills");
}

#[test]
fn killed_at_every_step_of_a_claim_that_is_lost() {
    let mut kills = 0;
    for step in 0.. {
        let (boxed, host) = (Boxed::new(), World::default());
        let (dying, living) = (boxed.join(), boxed.join());
        let old = Run { first: dying.next(), count: 2 };
        finish(&living, 1);
        let Err(what) = killed_at(step, || assert!(!dying.claim(old))) else { break };
        kills += 1;
        host.kill(dying.me);
        check(&boxed, &living, &host, &[(0, false)], what);
    }
    assert_eq!(kills, 3);
}

#[test]
fn killed_at_every_step_of_a_take_over() {
    let mut kills = 0;
    for step in 0.. {
        let (boxed, host) = (Boxed::new(), World::default());
        let (first, second, heir, living) = (boxed.join(), boxed.join(), boxed.join(), boxed.join());
        // One died trying over what others claimed, and another one behind it in the middle of its work.
        assert!(killed_at(0, || first.claim(Run { first: 0, count: 3 })).is_err());
        let mut got: Vec<Delivered> = vec![(0, false)];
        finish(&living, 1);
        take(&second, 2);
        host.kill(first.me);
        host.kill(second.me);
        let killed = killed_at(step, || {
            let run = heir.take_over(&host).expect("something is owed");
            got.extend((run.first..run.end()).map(|sequence| (sequence, true)));
            heir.release();
            heir.count_committed();
        });
        let is_killed = killed.is_err();
        host.kill(heir.me);
        check(&boxed, &living, &host, &got, killed.err().unwrap_or("at the end"));
        if !is_killed {
            break;
        }
        kills += 1;
    }
    assert!(kills > 15, "{kills} kills");
}
