//! Level: the orders of one price and side, first come first served, and the arena of levels.
//!
//! A level exists while it has orders, so there are never more levels than orders, and the arena of levels has as many
//! slots as that of orders: an order that finds a slot finds a level.

use super::message::Side;
use super::order::{NIL, Order, Orders};
use alloc::vec;
use alloc::vec::Vec;
use core::hint::select_unpredictable;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Level {
    pub price: i64,
    /// What all its orders ask for; the limits on quantities keep it from overflowing.
    pub quantity: u64,
    pub head: u32,
    pub tail: u32,
    pub count: u32,
    pub side: Side,
}

const _: () = assert!(size_of::<Level>() == 32);

impl Level {
    /// Puts an order behind the others; the caller has told it who is before it.
    #[inline(always)]
    pub fn append(&mut self, orders: &mut Orders, slot: u32, leaves: u64) {
        self.quantity += leaves;
        self.count += 1;
        let previous = core::mem::replace(&mut self.tail, slot);
        self.head = select_unpredictable(previous == NIL, slot, self.head);
        orders.get_mut(previous).next = slot;
    }
}

/// All slots for levels.
pub(super) struct Levels {
    slots: Vec<Level>,
    /// A free level's `head` is the next free one.
    free: u32,
    fresh: u32,
}

impl Levels {
    pub fn new(slot_count: u32) -> Self {
        let free = Level { price: 0, quantity: 0, head: NIL, tail: NIL, count: 0, side: Side::Buy };
        Self { slots: vec![free; slot_count as usize], free: NIL, fresh: 0 }
    }

    #[inline(always)]
    pub fn get(&self, level: u32) -> &Level {
        &self.slots[level as usize]
    }

    #[inline(always)]
    pub fn get_mut(&mut self, level: u32) -> &mut Level {
        &mut self.slots[level as usize]
    }

    pub fn take(&mut self, price: i64, side: Side) -> u32 {
        let level = if self.free == NIL {
            self.fresh += 1;
            self.fresh - 1
        } else {
            let next = self.slots[self.free as usize].head;
            core::mem::replace(&mut self.free, next)
        };
        self.slots[level as usize] = Level { price, quantity: 0, head: NIL, tail: NIL, count: 0, side };
        level
    }

    pub fn free(&mut self, level: u32) {
        self.slots[level as usize].head = self.free;
        self.free = level;
    }

    /// Takes out, with what it has left, the order in a slot; gives its level if that is empty now.
    #[inline(always)]
    pub fn unlink(&mut self, orders: &mut Orders, slot: u32) -> Option<u32> {
        let &Order { level: at, previous, next, leaves, .. } = orders.get(slot);
        let level = &mut self.slots[at as usize];
        level.quantity -= leaves;
        level.count -= 1;
        level.head = select_unpredictable(previous == NIL, next, level.head);
        level.tail = select_unpredictable(next == NIL, previous, level.tail);
        let is_empty = level.count == 0;
        orders.get_mut(previous).next = next;
        orders.get_mut(next).previous = previous;
        is_empty.then_some(at)
    }
}
