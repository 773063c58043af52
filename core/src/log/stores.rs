//! Stores: positions of groups stored while processes die, disks refuse and the power fails.

use super::cursors::Cursors;
use super::memory::{Memory, dice};
use super::positions::{self, encode};
use super::storage::Storage;
use super::testing::LOG_ID;
use crate::error::Code;
use std::sync::Arc;

fn on(memory: &Memory) -> Cursors {
    Cursors::open_on(Arc::new(memory.clone()), LOG_ID)
}

#[test]
fn a_store_cut_short_anywhere_loses_nothing_that_was_stored() {
    for mode in 0..3_u32 {
        for first in 0..24 {
            for seed in 0..32 {
                let memory = Memory::default();
                // Two processes by turns; at one moment the process, or only one of its operations, fails.
                let processes = [on(&memory), on(&memory)];
                let mut stored = 0;
                memory.fail(first, if mode == 0 { u64::MAX } else { 1 });
                for turn in 1..=8 {
                    match processes[turn as usize % 2].store(&[("group", turn)]) {
                        Ok(()) => stored = turn,
                        Err(error) => {
                            assert_eq!(error.code(), Code::IO);
                            if mode == 1 {
                                break;
                            }
                        }
                    }
                }
                memory.fail(0, 0);
                memory.lose(dice(seed));
                let found = on(&memory).get("group").expect("never damaged").unwrap_or(0);
                assert!((stored..=8).contains(&found), "{mode} {first} {seed}: {found} of {stored}");
                if mode != 2 {
                    assert!(found <= stored + 1, "{mode} {first} {seed}: {found} after {stored}");
                }
            }
        }
    }
}

#[test]
fn who_died_before_its_sync_does_not_cost_the_other_copy() {
    for seed in 0..200 {
        let memory = Memory::default();
        let living = on(&memory);
        living.store(&[("group", 1)]).expect("stored");
        memory.lose(|| true);
        // The other process writes its copy and dies before the sync: nothing fails, nothing is taken back.
        let file = memory.open(positions::NAME, true).expect("opened");
        let mut newest = positions::newest(&*file, &memory, &LOG_ID).expect("read");
        newest.positions.generation += 1;
        newest.positions.list[0].sequence = 2;
        file.write_at(&encode(&newest.positions, &LOG_ID), newest.other_offset()).expect("written");
        // The living one stores, and the power is cut at its last sync.
        memory.fail(3, u64::MAX);
        living.store(&[("group", 3)]).expect_err("cut");
        memory.lose(dice(seed));
        memory.fail(0, 0);
        let found = on(&memory).get("group").expect("never damaged");
        assert!(matches!(found, Some(2 | 3)), "{seed}: {found:?}");
    }
}
