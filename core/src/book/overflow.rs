//! Overflow: the levels whose prices lie outside the ladder's band, in one ordered tree.
//!
//! A treap: a search tree by price, a heap by a keyed mix of the price. Its shape depends on nothing but the prices in
//! it and the key, so it needs no balancing and no client can make it deep; depth is O(log levels) as expected over
//! keys. Its nodes are the levels' own numbers, so it never runs out. A red-black tree would bound the depth for
//! certain, at three times the code.

use super::hash::mix;
use super::level::Levels;
use super::order::NIL;
use alloc::vec;
use alloc::vec::Vec;

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// A place that names a node: a child of a node, or with NIL the root.
type Hook = (u32, usize);

pub(super) struct Overflow {
    children: Vec<[u32; 2]>,
    root: u32,
    key: [u64; 2],
}

impl Overflow {
    pub fn new(slot_count: u32, key: [u64; 2]) -> Self {
        Self { children: vec![[NIL; 2]; slot_count as usize], root: NIL, key }
    }

    fn child(&self, node: u32, side: usize) -> u32 {
        self.children[node as usize][side]
    }

    fn set(&mut self, (parent, side): Hook, node: u32) {
        match parent {
            NIL => self.root = node,
            parent => self.children[parent as usize][side] = node,
        }
    }

    fn rank(&self, levels: &Levels, node: u32) -> u64 {
        mix(self.key, levels.get(node).price as u64, 0)
    }

    /// The level at `price`, or NIL.
    pub fn find(&self, levels: &Levels, price: i64) -> u32 {
        let mut node = self.root;
        while node != NIL {
            let other = levels.get(node).price;
            if other == price {
                break;
            }
            node = self.child(node, if price < other { LEFT } else { RIGHT });
        }
        node
    }

    /// The highest level below `price`, or NIL.
    pub fn below(&self, levels: &Levels, price: i64) -> u32 {
        let (mut node, mut found) = (self.root, NIL);
        while node != NIL {
            if levels.get(node).price < price {
                (found, node) = (node, self.child(node, RIGHT));
            } else {
                node = self.child(node, LEFT);
            }
        }
        found
    }

    /// The lowest level above `price`, or NIL.
    pub fn above(&self, levels: &Levels, price: i64) -> u32 {
        let (mut node, mut found) = (self.root, NIL);
        while node != NIL {
            if levels.get(node).price > price {
                (found, node) = (node, self.child(node, LEFT));
            } else {
                node = self.child(node, RIGHT);
            }
        }
        found
    }

    /// Puts a level in; there is none at its price.
    pub fn insert(&mut self, levels: &Levels, level: u32) {
        let (price, rank) = (levels.get(level).price, self.rank(levels, level));
        let (mut hook, mut node) = ((NIL, LEFT), self.root);
        while node != NIL && self.rank(levels, node) >= rank {
            let side = if price < levels.get(node).price { LEFT } else { RIGHT };
            (hook, node) = ((node, side), self.child(node, side));
        }
        self.set(hook, level);
        // What stood here has a lower rank: it is split by price into the new level's children.
        let mut hooks = [(level, LEFT), (level, RIGHT)];
        while node != NIL {
            let side = if levels.get(node).price < price { LEFT } else { RIGHT };
            self.set(hooks[side], node);
            hooks[side] = (node, 1 - side);
            node = self.child(node, 1 - side);
        }
        self.set(hooks[LEFT], NIL);
        self.set(hooks[RIGHT], NIL);
    }

    /// Takes a level out.
    pub fn remove(&mut self, levels: &Levels, level: u32) {
        let price = levels.get(level).price;
        let (mut hook, mut node) = ((NIL, LEFT), self.root);
        while node != level {
            let side = if price < levels.get(node).price { LEFT } else { RIGHT };
            (hook, node) = ((node, side), self.child(node, side));
        }
        let [mut left, mut right] = self.children[level as usize];
        while left != NIL && right != NIL {
            if self.rank(levels, left) >= self.rank(levels, right) {
                self.set(hook, left);
                (hook, left) = ((left, RIGHT), self.child(left, RIGHT));
            } else {
                self.set(hook, right);
                (hook, right) = ((right, LEFT), self.child(right, LEFT));
            }
        }
        self.set(hook, if left == NIL { right } else { left });
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Side;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_orders_as_a_map_does() {
        let mut levels = Levels::new(512);
        let mut tree = Overflow::new(512, [3, 5]);
        let mut twin = BTreeMap::new();
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let price = (state >> 40) as i64 % 400 - 200;
            match twin.remove(&price) {
                Some(level) => {
                    tree.remove(&levels, level);
                    levels.free(level);
                }
                None => {
                    let level = levels.take(price, Side::Buy);
                    tree.insert(&levels, level);
                    twin.insert(price, level);
                }
            }
            let probe = (state >> 20) as i64 % 420 - 210;
            assert_eq!(tree.find(&levels, probe), twin.get(&probe).copied().unwrap_or(NIL));
            assert_eq!(tree.below(&levels, probe), twin.range(..probe).next_back().map_or(NIL, |(_, &level)| level));
            assert_eq!(tree.above(&levels, probe), twin.range(probe + 1..).next().map_or(NIL, |(_, &level)| level));
        }
    }

    #[test]
    fn a_run_of_prices_does_not_make_it_deep() {
        let mut levels = Levels::new(100_000);
        let mut tree = Overflow::new(100_000, [7, 11]);
        for price in 0..100_000 {
            let level = levels.take(price, Side::Sell);
            tree.insert(&levels, level);
        }
        let depth_of = |price: i64| {
            let (mut node, mut depth) = (tree.root, 0);
            while levels.get(node).price != price {
                node = tree.child(node, if price < levels.get(node).price { LEFT } else { RIGHT });
                depth += 1;
            }
            depth
        };
        let deepest = (0..100_000).map(depth_of).max();
        assert!(deepest < Some(64), "{deepest:?}");
    }
}
