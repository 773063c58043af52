//! Ids: from (account, client order id) to the slot of the live order.
//!
//! Two tables, both as large as they can ever need to be and made at the start, with open addressing. Of the current
//! one only as much is in use as keeps it half full at most, so a small book stays in the cache; while it is small, an
//! eighth, so that nearly every id is found at the first place. When it must grow or may shrink, the other one takes
//! over and entries move at most 8 a command; until they have, both are asked.
//!
//! An entry is `slot << 32 | tag`, the tag being 32 bits of a mix under a key nobody outside knows: no client can
//! choose ids that collide, and where an entry stands shows nowhere. Deletion shifts back what follows, so there are
//! no tombstones and no rehash.
//!
//! A move ends before the next must start: a table of S grows at S / 2 entries or fewer and has moved them and looked
//! at its S places after S / 16 + S / 64 commands; it shrinks below S / 32 entries, which takes S / 256 + S / 64. A
//! command inserts once.

use super::hash::mix;
use alloc::vec;
use alloc::vec::Vec;

const EMPTY: u64 = u64::MAX;
/// The smallest part of a table that is used.
const LENGTH_MIN: usize = 64;
/// Up to this length a table is kept an eighth full.
const SPARSE_MAX: usize = 1 << 15;
/// Entries moved, and places looked at, by one command.
const MOVES_MAX: u32 = 8;
const LOOKS_MAX: u32 = 64;

struct Table {
    entries: Vec<u64>,
    mask: usize,
    count: usize,
}

impl Table {
    fn new(length: usize) -> Self {
        Self { entries: vec![EMPTY; length], mask: 0, count: 0 }
    }

    #[inline(always)]
    fn insert(&mut self, entry: u64) {
        let mut index = entry as u32 as usize & self.mask;
        while self.entries[index] != EMPTY {
            index = (index + 1) & self.mask;
        }
        self.entries[index] = entry;
        self.count += 1;
    }

    /// The index of the first entry with this tag that `is_it`.
    #[inline(always)]
    fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut index = tag as usize & self.mask;
        loop {
            let entry = self.entries[index];
            if entry == EMPTY {
                return None;
            }
            if entry as u32 == tag && is_it((entry >> 32) as u32) {
                return Some(index);
            }
            index = (index + 1) & self.mask;
        }
    }

    #[inline(always)]
    fn remove_at(&mut self, index: usize) {
        self.entries[index] = EMPTY;
        self.count -= 1;
        if self.entries[(index + 1) & self.mask] != EMPTY {
            self.close(index);
        }
    }

    /// Shifts back what follows a hole.
    #[inline(never)]
    fn close(&mut self, mut hole: usize) {
        let mut index = hole;
        loop {
            index = (index + 1) & self.mask;
            let entry = self.entries[index];
            if entry == EMPTY {
                break;
            }
            let home = entry as u32 as usize & self.mask;
            // Whoever is at least as far from home as from the hole may go there.
            if index.wrapping_sub(home) & self.mask >= index.wrapping_sub(hole) & self.mask {
                self.entries[hole] = entry;
                hole = index;
            }
        }
        self.entries[hole] = EMPTY;
    }
}

/// Where an id stands, until the tables change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub slot: u32,
    index: usize,
    is_former: bool,
}

pub(super) struct Ids {
    current: Table,
    /// What has not moved yet.
    former: Table,
    /// Where the former table is looked at next.
    cursor: usize,
    /// Entries of the current table at which it grows.
    grows_at: usize,
    /// Entries below which it shrinks.
    shrinks_below: usize,
    key: [u64; 2],
}

impl Ids {
    pub fn new(slot_count: u32, key: [u64; 2]) -> Self {
        let length = (2 * slot_count as usize).next_power_of_two().max(LENGTH_MIN);
        let mut current = Table::new(length);
        current.mask = LENGTH_MIN - 1;
        let mut ids = Self { current, former: Table::new(length), cursor: 0, grows_at: 0, shrinks_below: 0, key };
        ids.set_bounds();
        ids
    }

    /// The tag of an id.
    #[inline(always)]
    pub fn tag(&self, account: u32, client_order_id: u64) -> u32 {
        mix(self.key, client_order_id, u64::from(account)) as u32
    }

    /// The slot in an entry where one with this tag may stand, or NIL.
    #[inline(always)]
    pub fn peek(&self, tag: u32) -> u32 {
        (self.current.entries[tag as usize & self.current.mask] >> 32) as u32
    }

    #[inline(always)]
    pub fn insert(&mut self, tag: u32, slot: u32) {
        if self.current.count >= self.grows_at {
            self.turn(2 * (self.current.mask + 1));
        }
        self.current.insert(u64::from(slot) << 32 | u64::from(tag));
    }

    /// The entry with this tag whose slot `is_it`.
    #[inline(always)]
    pub fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<Found> {
        if let Some(index) = self.current.find(tag, &is_it) {
            let slot = (self.current.entries[index] >> 32) as u32;
            return Some(Found { slot, index, is_former: false });
        }
        self.find_former(tag, is_it)
    }

    #[cold]
    fn find_former(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<Found> {
        if self.former.count == 0 {
            return None;
        }
        let index = self.former.find(tag, is_it)?;
        Some(Found { slot: (self.former.entries[index] >> 32) as u32, index, is_former: true })
    }

    /// Takes the entry with this tag out whose slot `is_it`; gives that slot.
    #[inline(always)]
    pub fn take(&mut self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let Some(index) = self.current.find(tag, &is_it) else { return self.take_former(tag, is_it) };
        let slot = (self.current.entries[index] >> 32) as u32;
        self.current.remove_at(index);
        Some(slot)
    }

    #[cold]
    fn take_former(&mut self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.find_former(tag, is_it)?;
        self.former.remove_at(found.index);
        Some(found.slot)
    }

    /// Takes an entry out; nothing changed since it was found.
    #[inline(always)]
    pub fn remove(&mut self, found: &Found) {
        if found.is_former { self.former.remove_at(found.index) } else { self.current.remove_at(found.index) }
    }

    /// A command's share of the work.
    #[inline(always)]
    pub fn migrate(&mut self) {
        if self.former.count != 0 {
            self.move_some();
        } else if self.current.count < self.shrinks_below {
            self.turn(self.current.mask.div_ceil(2));
        }
    }

    /// The other table takes over.
    #[cold]
    fn turn(&mut self, length: usize) {
        debug_assert!(self.former.count == 0, "a move ends before the next starts");
        core::mem::swap(&mut self.current, &mut self.former);
        self.current.mask = length - 1;
        self.cursor = 0;
        self.set_bounds();
    }

    fn set_bounds(&mut self) {
        let length = self.current.mask + 1;
        let part = if length <= SPARSE_MAX { 8 } else { 2 };
        self.grows_at = if length < self.current.entries.len() { length / part } else { usize::MAX };
        self.shrinks_below = if length > LENGTH_MIN { length / 32 } else { 0 };
    }

    fn move_some(&mut self) {
        let (mut moves, mut looks) = (0, 0);
        while moves < MOVES_MAX && looks < LOOKS_MAX && self.former.count != 0 {
            let entry = self.former.entries[self.cursor];
            if entry == EMPTY {
                self.cursor = (self.cursor + 1) & self.former.mask;
                looks += 1;
            } else {
                self.former.remove_at(self.cursor);
                self.current.insert(entry);
                moves += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// The longest walk from home to an entry.
    fn longest_walk(ids: &Ids) -> usize {
        let walk = |table: &Table| {
            let placed = table.entries.iter().enumerate().filter(|&(_, &entry)| entry != EMPTY);
            placed.map(|(index, &entry)| index.wrapping_sub(entry as u32 as usize) & table.mask).max().unwrap_or(0)
        };
        walk(&ids.current).max(walk(&ids.former))
    }

    #[test]
    fn it_finds_what_a_map_finds_while_it_grows_and_shrinks() {
        const SLOTS: u32 = 4_096;
        let mut ids = Ids::new(SLOTS, [1, 2]);
        let mut twin = HashMap::new();
        let mut free: Vec<u32> = (0..SLOTS).collect();
        let mut keys = vec![0; SLOTS as usize];
        let mut state = 9_u64;
        for step in 0..200_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let wanted = if step / 20_000 % 2 == 0 { 9 } else { 3 };
            if (state >> 60) % 12 < wanted && !free.is_empty() {
                let slot = free.pop().expect("one is free");
                ids.insert(ids.tag(5, step), slot);
                twin.insert(step, slot);
                keys[slot as usize] = step;
            } else if let Some((&id, &slot)) = twin.iter().next() {
                let tag = ids.tag(5, id);
                let found = ids.find(tag, |slot| keys[slot as usize] == id).expect("it is there");
                assert_eq!(found.slot, slot);
                ids.remove(&found);
                twin.remove(&id);
                free.push(slot);
                assert_eq!(ids.find(tag, |slot| keys[slot as usize] == id), None);
            }
            ids.migrate();
            assert_eq!(ids.current.count + ids.former.count, twin.len());
            assert!(2 * ids.current.count <= ids.current.mask + 1, "at most half full");
        }
    }

    #[test]
    fn ids_chosen_to_collide_do_not() {
        for step in [1, 1 << 12, 1 << 20, 1 << 32, 1 << 44, 0x9E37_79B9_7F4A_7C15] {
            let mut ids = Ids::new(1 << 16, [0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344]);
            for count in 0..1_u64 << 16 {
                ids.insert(ids.tag(1, count.wrapping_mul(step)), count as u32);
                ids.migrate();
            }
            assert!(longest_walk(&ids) < 64, "step {step}: {}", longest_walk(&ids));
        }
    }
}
