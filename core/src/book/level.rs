//! Level: the orders of one price and side, first come first served, and the arena of levels.
//!
//! A level exists while it has orders, so there are never more levels than orders, and the arena of levels has as many
//! slots as that of orders: an order that finds a slot finds a level.

use super::message::Side;
use super::order::{NIL, Order, Orders};
use alloc::vec;
use alloc::vec::Vec;

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

    /// Puts an order behind the others; the caller has told it who is before it.
    #[inline(always)]
    pub fn append(&mut self, orders: &mut Orders, level: u32, slot: u32, leaves: u64) {
        let level = &mut self.slots[level as usize];
        level.quantity += leaves;
        level.count += 1;
        match core::mem::replace(&mut level.tail, slot) {
            NIL => level.head = slot,
            previous => orders.get_mut(previous).next = slot,
        }
    }

    /// Takes an order out with what it has left; says whether the level is empty now.
    #[inline(always)]
    pub fn unlink(&mut self, orders: &mut Orders, order: &Order) -> bool {
        let level = &mut self.slots[order.level as usize];
        level.quantity -= order.leaves;
        level.count -= 1;
        match order.previous {
            NIL => level.head = order.next,
            previous => orders.get_mut(previous).next = order.next,
        }
        match order.next {
            NIL => level.tail = order.previous,
            next => orders.get_mut(next).previous = order.previous,
        }
        level.count == 0
    }
}
