//! Order: one resting order in one cache line, and the arena that holds them all.
//!
//! An order is in two lists at once: its level's, in order of time, and its account's, in order of acceptance. Links
//! are indices into the arena. A slot that was freed last is taken first, so a small book stays in the cache however
//! large the arena is.
//!
//! Whether an order has neighbours is as good as random, so the lists are kept without asking: what is told to a
//! neighbour that is not there goes to a place that is nobody's, and heads and tails are selected, not branched upon.
//!
//! An order keeps what it adds to the state hash, so that whoever takes it out need not fold it again.

use super::COUNT_MAX;
use super::account::Account;
use super::hash::fold;
use super::message::{FLAGS_END, Side};
use alloc::vec;
use alloc::vec::Vec;
use core::hint::select_unpredictable;

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
    /// What it adds to the sum now; 0: nothing yet.
    pub part: u64,
    /// Whose it is, and above that its flags.
    pub owner: Owner,
    pub level: u32,
    pub next: u32,
    pub previous: u32,
    pub account_next: u32,
    pub account_previous: u32,
}

const _: () = assert!(size_of::<Order>() == 64);

impl Order {
    pub const FREE: Self = Self {
        order_id: 0,
        client_order_id: 0,
        leaves: 0,
        executed: 0,
        part: 0,
        owner: Owner(0),
        level: NIL,
        next: NIL,
        previous: NIL,
        account_next: NIL,
        account_previous: NIL,
    };

    #[inline(always)]
    pub fn account(&self) -> u32 {
        self.owner.account()
    }

    /// As in the message that gave it its present form.
    #[inline(always)]
    pub fn flags(&self) -> u8 {
        self.owner.flags()
    }

    pub fn set_flags(&mut self, flags: u8) {
        self.owner = Owner::new(self.account(), flags);
    }

    /// Its part of the state hash.
    #[inline(always)]
    pub fn hash(&self, price: i64, side: Side) -> u64 {
        fold([
            price as u64,
            side as u64,
            self.order_id,
            self.order_id,
            u64::from(self.account()),
            self.client_order_id,
            self.leaves,
            self.executed,
            u64::from(self.flags()),
        ])
    }
}

/// An account below 2^28 and flags below 16, in one word, so that an order fits its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner(u32);

const _: () = assert!(FLAGS_END <= 1 << (u32::BITS - Owner::FLAGS_SHIFT));

impl Owner {
    const FLAGS_SHIFT: u32 = COUNT_MAX.trailing_zeros();

    #[inline(always)]
    pub fn new(account: u32, flags: u8) -> Self {
        Self(account | u32::from(flags) << Self::FLAGS_SHIFT)
    }

    #[inline(always)]
    pub fn account(self) -> u32 {
        self.0 & (COUNT_MAX - 1)
    }

    #[inline(always)]
    pub fn flags(self) -> u8 {
        (self.0 >> Self::FLAGS_SHIFT) as u8
    }
}

/// All slots for orders.
pub(super) struct Orders {
    /// The first one is nobody's: it hears what a neighbour would that is not there.
    slots: Vec<Order>,
    free: u32,
    /// Slots never taken so far start here.
    fresh: u32,
    pub count: u32,
    /// The sum over all of them.
    pub sum: u64,
}

impl Orders {
    pub fn new(slot_count: u32) -> Self {
        let slots = vec![Order::FREE; slot_count as usize + 1];
        Self { slots, free: NIL, fresh: 0, count: 0, sum: 0 }
    }

    pub fn capacity(&self) -> u32 {
        self.slots.len() as u32 - 1
    }

    pub fn is_full(&self) -> bool {
        self.count == self.capacity()
    }

    #[inline(always)]
    pub fn get(&self, slot: u32) -> &Order {
        &self.slots[Self::index(slot)]
    }

    #[inline(always)]
    pub fn get_mut(&mut self, slot: u32) -> &mut Order {
        &mut self.slots[Self::index(slot)]
    }

    /// Where a slot stands. NIL wraps to nobody's place, so no link needs a question before it is followed.
    #[inline(always)]
    fn index(slot: u32) -> usize {
        slot.wrapping_add(1) as usize
    }

    /// Something of what stands in a slot.
    #[inline(always)]
    pub fn peek(&self, slot: u32) -> u64 {
        self.slots[Self::index(slot)].client_order_id
    }

    /// Puts an order into a free slot; the caller knows that there is one.
    #[inline(always)]
    pub fn take(&mut self, order: Order) -> u32 {
        self.count += 1;
        let slot = if self.free == NIL {
            self.fresh += 1;
            self.fresh - 1
        } else {
            let next = self.slots[Self::index(self.free)].next;
            core::mem::replace(&mut self.free, next)
        };
        self.sum = self.sum.wrapping_add(order.part);
        self.slots[Self::index(slot)] = order;
        slot
    }

    #[inline(always)]
    pub fn free(&mut self, slot: u32) {
        let order = &mut self.slots[Self::index(slot)];
        self.sum = self.sum.wrapping_sub(order.part);
        order.level = NIL;
        order.next = core::mem::replace(&mut self.free, slot);
        self.count -= 1;
    }

    /// Appends to the account's list; the caller has told the order who is before it.
    #[inline(always)]
    pub fn link(&mut self, account: &mut Account, slot: u32) {
        let previous = core::mem::replace(&mut account.tail, slot);
        account.head = select_unpredictable(previous == NIL, slot, account.head);
        self.get_mut(previous).account_next = slot;
        account.open_count += 1;
    }

    /// Takes out of the account's list what stands in a slot.
    #[inline(always)]
    pub fn unlink(&mut self, account: &mut Account, slot: u32) {
        let order = self.get(slot);
        let (previous, next) = (order.account_previous, order.account_next);
        account.head = select_unpredictable(previous == NIL, next, account.head);
        account.tail = select_unpredictable(next == NIL, previous, account.tail);
        account.open_count -= 1;
        self.get_mut(previous).account_next = next;
        self.get_mut(next).account_previous = previous;
    }

    /// Brings the sum up to date with an order as it stands now.
    #[inline(always)]
    pub fn recount(&mut self, slot: u32, price: i64, side: Side) {
        let order = &mut self.slots[Self::index(slot)];
        let part = order.hash(price, side);
        self.sum = self.sum.wrapping_sub(order.part).wrapping_add(part);
        order.part = part;
    }
}
