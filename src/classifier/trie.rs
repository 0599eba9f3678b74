//! A persistent set of counted prefixes, and what it says about an address.
//!
//! A path-compressed radix tree of 16-way nodes whose leaves hold up to 32 prefixes in no order. A lookup tells which
//! prefix lengths have a prefix that covers the address, and how many leading bits of the address prove that no other
//! length does: what lets a classifier skip a subtable without looking at the whole address (tuple space search with
//! prefix tracking, "The Design and Implementation of Open vSwitch", NSDI 2015, section 5.4).

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::radix::prefetch_counts;

/// Bits that one node looks at; every node's depth is a multiple of it.
const STEP: u32 = 4;
/// Children of a node.
const WAYS: usize = 1 << STEP;
/// Prefixes in a leaf before it is split. At least 31, the number of prefixes that a node at the greatest depth could
/// hold, so that no leaf ever ends below a last full step.
const LEAF: usize = 32;

/// An address, most significant bit first. Shorter ones (ports) are aligned to the left.
pub(crate) trait Key: Copy + Eq + Ord {
    const BITS: u32;
    /// How many leading bits are equal.
    fn common(self, other: Self) -> u32;
    /// The `STEP` bits from `depth` on.
    fn way(self, depth: u32) -> usize;
    /// The first `len` bits, the rest 0.
    fn prefix(self, len: u32) -> Self;
}

macro_rules! key {
    ($($t:ty),*) => {$(
        impl Key for $t {
            const BITS: u32 = <$t>::BITS;
            #[inline]
            fn common(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }
            #[inline]
            fn way(self, depth: u32) -> usize {
                (self << depth >> (<$t>::BITS - STEP)) as usize
            }
            #[inline]
            fn prefix(self, len: u32) -> Self {
                if len == 0 { 0 } else { self >> (<$t>::BITS - len) << (<$t>::BITS - len) }
            }
        }
    )*};
}
key!(u32, u128);

/// A prefix (`key` has no bit beyond `len`) and how many times it was inserted.
#[derive(Clone, Copy)]
struct Prefix<K> {
    key: K,
    count: u32,
    len: u8,
}

#[derive(Clone)]
enum Child<K> {
    Empty,
    Leaf(Arc<Vec<Prefix<K>>>),
    Node(Arc<Node<K>>),
}

/// All prefixes below agree with `key` in the first `depth` bits. Those shorter than `depth + STEP` are in `short`.
#[derive(Clone)]
struct Node<K> {
    key: K,
    depth: u32,
    short: Vec<Prefix<K>>,
    kids: Kids<K>,
}

/// To copy or drop children is to count each up or down, one miss of the cache after another unless all are asked for
/// before.
struct Kids<K>([Child<K>; WAYS]);

impl<K> Kids<K> {
    fn prefetch(&self) {
        for kid in &self.0 {
            match kid {
                Child::Empty => {}
                Child::Leaf(all) => prefetch_counts(all),
                Child::Node(node) => prefetch_counts(node),
            }
        }
    }
}

impl<K: Clone> Clone for Kids<K> {
    fn clone(&self) -> Self {
        self.prefetch();
        Kids(self.0.clone())
    }
}

impl<K> Drop for Kids<K> {
    fn drop(&mut self) {
        self.prefetch();
    }
}

impl<K> Deref for Kids<K> {
    type Target = [Child<K>; WAYS];
    fn deref(&self) -> &[Child<K>; WAYS] {
        &self.0
    }
}

impl<K> DerefMut for Kids<K> {
    fn deref_mut(&mut self) -> &mut [Child<K>; WAYS] {
        &mut self.0
    }
}

/// The set.
#[derive(Clone)]
pub(crate) struct Trie<K> {
    root: Child<K>,
}

impl<K> Default for Trie<K> {
    fn default() -> Self {
        Trie { root: Child::Empty }
    }
}

/// What a [`Trie`] says about one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Bit `len - 1` is set if a prefix of length `len` covers the address.
    lengths: u128,
    /// All addresses that agree in so many leading bits get the same answer.
    bits: u32,
}

impl Hit {
    /// None if a prefix of length `len` (1 to 128) covers the address; else how many leading bits prove that none does.
    #[inline]
    pub(crate) fn missing(&self, len: u32) -> Option<u32> {
        (self.lengths >> (len - 1) & 1 == 0).then(|| self.bits.min(len))
    }

    #[inline]
    fn see<K: Key>(&mut self, address: K, p: &Prefix<K>) {
        let (common, len) = (address.common(p.key), u32::from(p.len));
        if common >= len {
            self.lengths |= 1 << (len - 1);
            self.bits = self.bits.max(len);
        } else {
            self.bits = self.bits.max(common + 1);
        }
    }
}

impl<K: Key> Trie<K> {
    /// What the set says about `address`.
    pub(crate) fn find(&self, address: K) -> Hit {
        let (mut hit, mut at) = (Hit::default(), &self.root);
        loop {
            match at {
                Child::Empty => return hit,
                Child::Leaf(all) => {
                    all.iter().for_each(|p| hit.see(address, p));
                    return hit;
                }
                Child::Node(node) => {
                    let common = address.common(node.key);
                    if common < node.depth {
                        hit.bits = hit.bits.max(common + 1);
                        return hit;
                    }
                    node.short.iter().for_each(|p| hit.see(address, p));
                    let way = address.way(node.depth);
                    at = &node.kids[way];
                    // What is below the siblings is ruled out by the first bit that differs; a child that is not
                    // empty has something that agrees for longer.
                    if matches!(at, Child::Empty) {
                        for (i, kid) in node.kids.iter().enumerate() {
                            if !matches!(kid, Child::Empty) {
                                let same = ((i ^ way) as u32).leading_zeros() - (u32::BITS - STEP);
                                hit.bits = hit.bits.max(node.depth + same + 1);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Counts the first `len` bits (at least 1) of `key` once more.
    pub(crate) fn insert(&mut self, key: K, len: u32) {
        debug_assert!((1..=K::BITS).contains(&len));
        let key = key.prefix(len);
        let new = Prefix { key, count: 1, len: len as u8 };
        let mut at = &mut self.root;
        loop {
            if let Child::Node(node) = at {
                let common = key.common(node.key).min(len);
                if common < node.depth {
                    // Goes aside above this node: put a node between.
                    let (depth, way) = (common / STEP * STEP, node.key.way(common / STEP * STEP));
                    let mut kids = [const { Child::Empty }; WAYS];
                    kids[way] = std::mem::replace(at, Child::Empty);
                    *at = Child::Node(Arc::new(Node { key, depth, short: Vec::new(), kids: Kids(kids) }));
                }
            }
            match at {
                Child::Empty => {
                    *at = Child::Leaf(Arc::new(vec![new]));
                    return;
                }
                Child::Leaf(all) => {
                    let all = Arc::make_mut(all);
                    count(all, new);
                    if all.len() > LEAF {
                        *at = split(std::mem::take(all));
                    }
                    return;
                }
                Child::Node(node) => {
                    let node = Arc::make_mut(node);
                    if len < node.depth + STEP {
                        return count(&mut node.short, new);
                    }
                    at = &mut node.kids[key.way(node.depth)];
                }
            }
        }
    }

    /// Undoes one [`Trie::insert`]. Nothing happens if there is no such prefix.
    pub(crate) fn remove(&mut self, key: K, len: u32) {
        remove(&mut self.root, key.prefix(len), len);
    }

    /// The greatest key of a set that holds full-length keys only.
    pub(crate) fn max(&self) -> Option<K> {
        let mut at = &self.root;
        loop {
            match at {
                Child::Empty => return None,
                Child::Leaf(all) => return all.iter().map(|p| p.key).max(),
                Child::Node(node) => at = node.kids.iter().rev().find(|k| !matches!(k, Child::Empty))?,
            }
        }
    }

    /// Adds the nodes and bytes on the heap that the set takes.
    pub(crate) fn weigh(&self, total: &mut (usize, usize)) {
        weigh(&self.root, total);
    }
}

/// Counts `new` in a list of prefixes.
fn count<K: Key>(all: &mut Vec<Prefix<K>>, new: Prefix<K>) {
    match all.iter_mut().find(|p| p.key == new.key && p.len == new.len) {
        Some(p) => p.count = p.count.saturating_add(1),
        None => {
            if all.len() == all.capacity() {
                all.reserve_exact(if all.is_empty() { 1 } else { 4 });
            }
            all.push(new);
        }
    }
}

/// The node that a leaf of more than one prefix becomes.
fn split<K: Key>(all: Vec<Prefix<K>>) -> Child<K> {
    let Some(first) = all.first().copied() else { return Child::Empty };
    // Prefixes are distinct, so they part, or the shorter of two ends, before the last bit.
    let common = all.iter().map(|p| p.key.common(first.key).min(u32::from(p.len))).min().unwrap_or(0);
    let depth = common.min(K::BITS - 1) / STEP * STEP;
    let (mut short, mut lists) = (Vec::new(), [const { Vec::new() }; WAYS]);
    for p in all {
        let list = if u32::from(p.len) < depth + STEP { &mut short } else { &mut lists[p.key.way(depth)] };
        list.push(p);
    }
    short.shrink_to_fit();
    let kids = lists.map(|mut list| {
        list.shrink_to_fit();
        if list.is_empty() { Child::Empty } else { Child::Leaf(Arc::new(list)) }
    });
    Child::Node(Arc::new(Node { key: first.key, depth, short, kids: Kids(kids) }))
}

/// Takes `key`/`len` out of a list once; true if it was there.
fn uncount<K: Key>(all: &mut Vec<Prefix<K>>, key: K, len: u32) -> bool {
    let Some(n) = all.iter().position(|p| p.key == key && u32::from(p.len) == len) else { return false };
    if let Some(p) = all.get_mut(n) {
        p.count -= 1;
        if p.count == 0 {
            all.swap_remove(n);
            if all.capacity() >= all.len() + 8 {
                all.shrink_to_fit();
            }
        }
    }
    true
}

fn remove<K: Key>(at: &mut Child<K>, key: K, len: u32) -> bool {
    match at {
        Child::Empty => false,
        Child::Leaf(all) => {
            let all = Arc::make_mut(all);
            let found = uncount(all, key, len);
            if all.is_empty() {
                *at = Child::Empty;
            }
            found
        }
        Child::Node(node) => {
            if key.common(node.key).min(len) < node.depth {
                return false;
            }
            let node = Arc::make_mut(node);
            let found = if len < node.depth + STEP {
                uncount(&mut node.short, key, len)
            } else {
                let kid = &mut node.kids[key.way(node.depth)];
                let found = remove(kid, key, len);
                if !matches!(kid, Child::Empty) {
                    return found;
                }
                found
            };
            // Less than two things left: the node is not needed.
            let mut rest = node.kids.iter_mut().filter(|k| !matches!(k, Child::Empty));
            match (rest.next(), rest.next()) {
                (None, _) if node.short.is_empty() => *at = Child::Empty,
                (None, _) => *at = Child::Leaf(Arc::new(std::mem::take(&mut node.short))),
                (Some(kid), None) if node.short.is_empty() => *at = std::mem::replace(kid, Child::Empty),
                _ => {}
            }
            found
        }
    }
}

fn weigh<K>(at: &Child<K>, total: &mut (usize, usize)) {
    const COUNTS: usize = 2 * size_of::<usize>();
    match at {
        Child::Empty => {}
        Child::Leaf(all) => {
            total.0 += 1;
            total.1 += COUNTS + size_of::<Vec<Prefix<K>>>() + all.capacity() * size_of::<Prefix<K>>();
        }
        Child::Node(node) => {
            total.0 += 1;
            total.1 += COUNTS + size_of::<Node<K>>() + node.short.capacity() * size_of::<Prefix<K>>();
            node.kids.iter().for_each(|k| weigh(k, total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sixteen-bit addresses, close together half of the time.
    fn address() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u16>(), any::<u16>().prop_map(|a| a & 0x0f3)].prop_map(|a| u32::from(a) << 16)
    }

    fn prefix() -> impl Strategy<Value = (u32, u32)> {
        (address(), 1u32..=16).prop_map(|(a, l)| (a.prefix(l), l))
    }

    fn slow(all: &[(u32, u32)], address: u32, len: u32) -> bool {
        all.iter().any(|(k, l)| *l == len && address.prefix(*l) == *k)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn agrees_with_a_list(
            ops in prop::collection::vec((prefix(), any::<prop::sample::Index>(), 0..10u8), 1..150),
            asked in prop::collection::vec(address(), 1..20),
        ) {
            let (mut trie, mut list) = (Trie::<u32>::default(), Vec::new());
            let mut old = (trie.clone(), list.clone());
            for (p, at, op) in ops {
                if op < 7 || list.is_empty() {
                    trie.insert(p.0, p.1);
                    list.push(p);
                } else if op == 7 {
                    old = (trie.clone(), list.clone());
                } else {
                    let p = list.swap_remove(at.index(list.len()));
                    trie.remove(p.0, p.1);
                }
            }
            for (trie, list) in [(&trie, &list), (&old.0, &old.1)] {
                for address in asked.iter().copied() {
                    let hit = trie.find(address);
                    for len in 1..=16 {
                        match hit.missing(len) {
                            None => prop_assert!(slow(list, address, len)),
                            Some(bits) => {
                                prop_assert!(bits <= len);
                                prop_assert!(!slow(list, address, len));
                                // Whatever the other bits are, there is no such prefix, and the answer is the same;
                                // with one bit less something would be different.
                                for (k, l) in list {
                                    prop_assert!(*l != len || k.common(address) < bits);
                                }
                                let need = |(k, l): &(u32, u32)| (k.common(address) + 1).min(*l) >= bits;
                                prop_assert!(bits == 0 || list.iter().any(need));
                                for flip in bits..32 {
                                    prop_assert_eq!(trie.find(address ^ 1 << (31 - flip)).missing(len), Some(bits));
                                }
                            }
                        }
                    }
                }
            }
            for (k, l) in list {
                trie.remove(k, l);
            }
            prop_assert!(matches!(trie.root, Child::Empty));
        }
    }

    #[test]
    fn only_bits_that_tell_apart() {
        let mut t = Trie::<u32>::default();
        assert_eq!(t.find(5).missing(8), Some(0));
        t.insert(0x0a00_0000, 8);
        t.insert(0x0a01_0000, 16);
        // 10.2/16 parts from 10.1/16 at the 15th bit; 11/8 from 10/8 at the eighth.
        assert_eq!(t.find(0x0a02_0000).missing(16), Some(15));
        assert_eq!(t.find(0x0a02_0000).missing(8), None);
        assert_eq!(t.find(0x0b02_0000).missing(8), Some(8));
        assert_eq!(t.find(0x8000_0000).missing(8), Some(1));
        assert_eq!(t.find(0x8000_0000).missing(16), Some(1));
    }

    #[test]
    fn greatest_and_counts() {
        let mut t = Trie::<u32>::default();
        assert_eq!(t.max(), None);
        for i in 0..5000u32 {
            t.insert(i * 7, 32);
            t.insert(i * 7, 32);
        }
        for i in (0..5000u32).rev() {
            assert_eq!(t.max(), Some(i * 7));
            t.remove(i * 7, 32);
            assert_eq!(t.max(), Some(i * 7));
            t.remove(i * 7, 32);
        }
        assert_eq!(t.max(), None);
        t.remove(1, 32);
        let mut all = (0, 0);
        t.weigh(&mut all);
        assert_eq!(all, (0, 0));
    }

    /// What the set weighs, with room for so many prefixes in leaves and nodes.
    fn weight(leaves: usize, nodes: usize, room: usize) -> (usize, usize) {
        let leaf = 16 + size_of::<Vec<Prefix<u32>>>();
        (leaves + nodes, leaves * leaf + nodes * (16 + size_of::<Node<u32>>()) + room * size_of::<Prefix<u32>>())
    }

    fn weighed(t: &Trie<u32>) -> (usize, usize) {
        let mut total = (0, 0);
        t.weigh(&mut total);
        total
    }

    #[test]
    fn lists_take_little_more_than_they_need() {
        let mut t = Trie::<u32>::default();
        for n in 0..32u32 {
            t.insert(n, 32);
            assert_eq!(weighed(&t), weight(1, 0, 1 + n.div_ceil(4) as usize * 4), "{n}");
        }
        // counted again, nothing grows
        (0..32).for_each(|n| t.insert(n, 32));
        assert_eq!(weighed(&t), weight(1, 0, 33));
        (0..32).for_each(|n| t.remove(n, 32));
        assert_eq!(weighed(&t), weight(1, 0, 33));
        for n in 0..32usize {
            t.remove(n as u32, 32);
            // shrinks to what it holds when that is eight less than there is room for
            let left = 31 - n;
            let room = if left == 0 {
                0
            } else if left > 25 {
                33
            } else {
                25 - (25 - left) / 8 * 8
            };
            assert_eq!(weighed(&t).1, if left == 0 { 0 } else { weight(1, 0, room).1 }, "{left}");
        }
    }

    #[test]
    fn when_leaves_split() {
        // 33 of one way down to the last six bits: a node there, leaves of at most sixteen
        let mut t = Trie::<u32>::default();
        (0..33).for_each(|n| t.insert(0x0a00_0000 | n, 32));
        let Child::Node(node) = &t.root else { panic!() };
        assert_eq!((node.depth, node.short.len()), (24, 0));
        assert_eq!(weighed(&t), weight(3, 1, 33));
        // what parts above the node is told by the first bit that differs, whatever is below
        for (address, bits) in [(0x0b00_0000, 8), (0x8a00_0000, 1), (0x0a80_0000, 9), (0x0a00_0100, 24)] {
            assert_eq!(t.find(address).missing(32), Some(bits), "{address:x}");
        }
        // those that end before the step is over stay with the node
        let mut t = Trie::<u32>::default();
        (0..30).for_each(|n| t.insert(0x0a00_0000 | n << 16, 16));
        (9..12).for_each(|len| t.insert(0x0a00_0000, len));
        let Child::Node(node) = &t.root else { panic!() };
        assert_eq!((node.depth, node.short.len()), (8, 3));
        assert_eq!(weighed(&t), weight(2, 1, 33));
        // one more with the node, by fours
        t.insert(0x0a80_0000, 9);
        assert_eq!(weighed(&t), weight(2, 1, 33 + 4));
        t.insert(0x0a00_0000, 12);
        let Child::Node(node) = &t.root else { panic!() };
        assert_eq!(node.short.len(), 4);
        // a prefix that parts above the node makes one there; its way is the node's
        t.insert(0x0b00_0000, 8);
        let Child::Node(top) = &t.root else { panic!() };
        assert_eq!((top.depth, top.short.len()), (4, 0));
        assert!(matches!(top.kids[0xa], Child::Node(_)) && matches!(top.kids[0xb], Child::Leaf(_)));
        // gone again, the node above is not needed
        t.remove(0x0b00_0000, 8);
        assert!(matches!(&t.root, Child::Node(node) if node.depth == 8));
        // what was never there changes nothing
        let before = weighed(&t);
        for (key, len) in [(0x0b00_0000, 8), (0x0a00_0000, 8), (0x0a00_0000, 13), (0x0a00_0000, 17), (0x0aff_0000, 16)]
        {
            t.remove(key, len);
        }
        assert_eq!(weighed(&t), before);
        // with no kid left, what the node has itself becomes a leaf
        (0..30).for_each(|n| t.remove(0x0a00_0000 | n << 16, 16));
        t.remove(0x0a00_0000, 12);
        let Child::Leaf(all) = &t.root else { panic!() };
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn absent_ways_are_told_by_the_first_bit_that_differs() {
        // Forty /8s below 0x40 and hosts below 0x80, so that the root is a node with empty ways.
        let mut t = Trie::<u32>::default();
        (0..40u32).for_each(|n| t.insert(n << 24, 8));
        assert!(matches!(&t.root, Child::Node(_)));
        for (address, bits) in [(0x8000_0000, 1), (0x4000_0000, 2), (0x3000_0000, 4), (0x2900_0000, 5)] {
            assert_eq!(t.find(address).missing(8), Some(bits), "{address:x}");
        }
        assert_eq!(t.find(0x2700_0000).missing(8), None);
    }
}
