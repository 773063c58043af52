//! Order: one resting order in one cache line, and the arena that holds them all.
//!
//! An order is in two lists at once: its level's, in order of time, and its account's, in order of acceptance. Links
//! are indices into the arena. A slot that was freed last is taken first, so a small book stays in the cache however
//! large the arena is.

use super::account::Account;
use super::hash::fold;
use super::message::Side;
use alloc::vec;
use alloc::vec::Vec;

/// No index.
pub(super) const NIL: u32 = u32::MAX;

/// A resting order; its price and side are its level's. Its id is also its priority: who was accepted first, or lost
/// its place last, has the lower one.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Order {
    pub order_id: u64,
    pub client_order_id: u64,
    pub leaves: u64,
    pub executed: u64,
    pub account: u32,
    pub level: u32,
    pub next: u32,
    pub previous: u32,
    pub account_next: u32,
    pub account_previous: u32,
    /// As in the message that gave it its present form.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

const _: () = assert!(size_of::<Order>() == 64);

impl Order {
    pub const FREE: Self = Self {
        order_id: 0,
        client_order_id: 0,
        leaves: 0,
        executed: 0,
        account: 0,
        level: NIL,
        next: NIL,
        previous: NIL,
        account_next: NIL,
        account_previous: NIL,
        flags: 0,
        padding: 0,
    };

    /// Its part of the state hash.
    #[inline(always)]
    pub fn hash(&self, price: i64, side: Side) -> u64 {
        fold([
            price as u64,
            side as u64,
            self.order_id,
            self.order_id,
            u64::from(self.account),
            self.client_order_id,
            self.leaves,
            self.executed,
            u64::from(self.flags),
        ])
    }
}

/// All slots for orders.
pub(super) struct Orders {
    slots: Vec<Order>,
    free: u32,
    /// Slots never taken so far start here.
    fresh: u32,
    pub count: u32,
}

impl Orders {
    pub fn new(slot_count: u32) -> Self {
        Self { slots: vec![Order::FREE; slot_count as usize], free: NIL, fresh: 0, count: 0 }
    }

    pub fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    pub fn is_full(&self) -> bool {
        self.count as usize == self.slots.len()
    }

    #[inline(always)]
    pub fn get(&self, slot: u32) -> &Order {
        &self.slots[slot as usize]
    }

    #[inline(always)]
    pub fn get_mut(&mut self, slot: u32) -> &mut Order {
        &mut self.slots[slot as usize]
    }

    /// Puts an order into a free slot; the caller knows that there is one.
    #[inline(always)]
    pub fn take(&mut self, order: Order) -> u32 {
        self.count += 1;
        let slot = if self.free == NIL {
            self.fresh += 1;
            self.fresh - 1
        } else {
            let next = self.slots[self.free as usize].next;
            core::mem::replace(&mut self.free, next)
        };
        self.slots[slot as usize] = order;
        slot
    }

    #[inline(always)]
    pub fn free(&mut self, slot: u32) {
        let order = &mut self.slots[slot as usize];
        order.level = NIL;
        order.next = self.free;
        self.free = slot;
        self.count -= 1;
    }

    /// Appends to the account's list; the caller has told the order who is before it.
    #[inline(always)]
    pub fn link(&mut self, account: &mut Account, slot: u32) {
        match core::mem::replace(&mut account.tail, slot) {
            NIL => account.head = slot,
            previous => self.get_mut(previous).account_next = slot,
        }
        account.open_count += 1;
    }

    /// Takes out of the account's list; `order` is what stands in the slot.
    #[inline(always)]
    pub fn unlink(&mut self, account: &mut Account, order: &Order) {
        match order.account_previous {
            NIL => account.head = order.account_next,
            previous => self.get_mut(previous).account_next = order.account_next,
        }
        match order.account_next {
            NIL => account.tail = order.account_previous,
            next => self.get_mut(next).account_previous = order.account_previous,
        }
        account.open_count -= 1;
    }
}
