//! A persistent hash map: 16-way nodes over the bits of a 32-bit hash, leaves of up to 16 items.
//!
//! Cloning shares everything. A change copies the nodes on its way that somebody else holds and edits the others in
//! place, so a batch of changes costs what it changes, once. An item knows its own hash; equal hashes live side by side
//! and the caller tells them apart.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use base::prefetch::prefetch_write;

/// Bits of the hash that one node looks at.
const STEP: u32 = 4;
/// Children of a node.
const WAYS: usize = 1 << STEP;
/// Items in a leaf before it is split.
const LEAF: usize = 16;

/// What a [`Radix`] stores.
pub(crate) trait Hashed: Clone {
    fn hash(&self) -> u32;
    /// Asks for the memory that cloning and dropping it touch.
    fn prefetch(&self) {}
}

/// Asks for the counts of what is shared.
#[inline]
pub(crate) fn prefetch_counts<T: ?Sized>(shared: &Arc<T>) {
    // they are in front of it
    prefetch_write(Arc::as_ptr(shared).cast::<u8>().wrapping_sub(2 * size_of::<usize>()));
}

#[derive(Clone)]
pub(crate) enum Child<T: Hashed> {
    Empty,
    Leaf(Arc<Leaf<T>>),
    Node(Arc<Kids<T>>),
}

/// The items of a leaf. To copy or drop it is to count each that is shared up or down, one miss of the cache after another
/// unless all are asked for before.
pub(crate) struct Leaf<T: Hashed>(Vec<T>);

/// The children of a node, of which the same holds.
pub(crate) struct Kids<T: Hashed>([Child<T>; WAYS]);

impl<T: Hashed> Deref for Leaf<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Hashed> DerefMut for Leaf<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T: Hashed> Clone for Leaf<T> {
    fn clone(&self) -> Self {
        self.0.iter().for_each(T::prefetch);
        // a copy is made to be changed, most often by one more
        let mut items = Vec::with_capacity(self.0.len() + 1);
        items.extend_from_slice(&self.0);
        Leaf(items)
    }
}

impl<T: Hashed> Drop for Leaf<T> {
    fn drop(&mut self) {
        self.0.iter().for_each(T::prefetch);
    }
}

impl<T: Hashed> Deref for Kids<T> {
    type Target = [Child<T>; WAYS];
    fn deref(&self) -> &[Child<T>; WAYS] {
        &self.0
    }
}

impl<T: Hashed> DerefMut for Kids<T> {
    fn deref_mut(&mut self) -> &mut [Child<T>; WAYS] {
        &mut self.0
    }
}

impl<T: Hashed> Kids<T> {
    fn prefetch(&self) {
        for kid in &self.0 {
            match kid {
                Child::Empty => {}
                Child::Leaf(items) => prefetch_counts(items),
                Child::Node(kids) => prefetch_counts(kids),
            }
        }
    }
}

impl<T: Hashed> Clone for Kids<T> {
    fn clone(&self) -> Self {
        self.prefetch();
        Kids(self.0.clone())
    }
}

impl<T: Hashed> Drop for Kids<T> {
    fn drop(&mut self) {
        self.prefetch();
    }
}

/// The map. `len` is the number of items.
#[derive(Clone)]
pub(crate) struct Radix<T: Hashed> {
    root: Child<T>,
    len: usize,
}

impl<T: Hashed> Default for Radix<T> {
    fn default() -> Self {
        Radix { root: Child::Empty, len: 0 }
    }
}

/// Which child of a node `depth` steps below the root `hash` belongs to; high bits first.
#[inline]
fn way(hash: u32, depth: u32) -> usize {
    (hash << (depth * STEP) >> (u32::BITS - STEP)) as usize
}

/// Leaves grow by a few items at a time, because there are many and most stay small.
fn push<T>(leaf: &mut Vec<T>, item: T) {
    if leaf.len() == leaf.capacity() {
        leaf.reserve_exact(if leaf.is_empty() { 1 } else { 4 });
    }
    leaf.push(item);
}

impl<T: Hashed> Radix<T> {
    pub(crate) fn root(&self) -> &Child<T> {
        &self.root
    }

    /// The first item of `hash` that `wanted` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut wanted: impl FnMut(&T) -> bool) -> Option<&T> {
        let (mut at, mut depth) = (&self.root, 0);
        loop {
            match at {
                Child::Empty => return None,
                Child::Leaf(items) => return items.iter().find(|i| i.hash() == hash && wanted(i)),
                Child::Node(kids) => at = &kids[way(hash, depth)],
            }
            depth += 1;
        }
    }

    /// As [`Radix::find`], for changing the item (not its hash). Copies what is shared on the way even if there is no
    /// such item.
    pub(crate) fn find_mut(&mut self, hash: u32, mut wanted: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let (mut at, mut depth) = (&mut self.root, 0);
        loop {
            match at {
                Child::Empty => return None,
                Child::Leaf(items) => {
                    let n = items.iter().position(|i| i.hash() == hash && wanted(i))?;
                    return Arc::make_mut(items).get_mut(n);
                }
                Child::Node(kids) => at = &mut Arc::make_mut(kids)[way(hash, depth)],
            }
            depth += 1;
        }
    }

    /// Adds an item beside whatever is there.
    pub(crate) fn insert(&mut self, item: T) {
        self.len += 1;
        let hash = item.hash();
        let (mut at, mut depth) = (&mut self.root, 0);
        while let Child::Node(kids) = at {
            at = &mut Arc::make_mut(kids)[way(hash, depth)];
            depth += 1;
        }
        match at {
            Child::Leaf(items) => {
                let items = Arc::make_mut(items);
                push(items, item);
                if items.len() > LEAF && depth * STEP < u32::BITS {
                    *at = split(std::mem::take(&mut items.0), depth);
                }
            }
            _ => *at = Child::Leaf(Arc::new(Leaf(vec![item]))),
        }
    }

    /// Takes out the first item of `hash` that `wanted` accepts.
    pub(crate) fn remove(&mut self, hash: u32, mut wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let item = remove(&mut self.root, hash, 0, &mut wanted)?;
        self.len -= 1;
        Some(item)
    }

    /// The item, if there is exactly one.
    pub(crate) fn only(&self) -> Option<&T> {
        match &self.root {
            Child::Leaf(items) if self.len == 1 => items.first(),
            _ => None,
        }
    }
}

/// A node `depth` steps below the root that holds `items`.
fn split<T: Hashed>(items: Vec<T>, depth: u32) -> Child<T> {
    let mut leaves: [Vec<T>; WAYS] = Default::default();
    for item in items {
        push(&mut leaves[way(item.hash(), depth)], item);
    }
    Child::Node(Arc::new(Kids(leaves.map(|leaf| match leaf.len() {
        0 => Child::Empty,
        n if n > LEAF && (depth + 1) * STEP < u32::BITS => split(leaf, depth + 1),
        _ => Child::Leaf(Arc::new(Leaf(leaf))),
    }))))
}

fn remove<T: Hashed>(at: &mut Child<T>, hash: u32, depth: u32, wanted: &mut impl FnMut(&T) -> bool) -> Option<T> {
    match at {
        Child::Empty => None,
        Child::Leaf(items) => {
            let n = items.iter().position(|i| i.hash() == hash && wanted(i))?;
            let items = Arc::make_mut(items);
            let item = items.swap_remove(n);
            if items.is_empty() {
                *at = Child::Empty;
            } else if items.capacity() >= items.len() + 8 {
                items.shrink_to_fit();
            }
            Some(item)
        }
        Child::Node(kids) => {
            let kids = Arc::make_mut(kids);
            let kid = &mut kids[way(hash, depth)];
            let item = remove(kid, hash, depth + 1, wanted)?;
            // A node with one leaf left is that leaf; a node with one node left stays, its depth being its place.
            if !matches!(kid, Child::Node(_)) {
                let mut rest = kids.iter_mut().filter(|k| !matches!(k, Child::Empty));
                if let (Some(kid @ Child::Leaf(_)), None) = (rest.next(), rest.next()) {
                    *at = std::mem::replace(kid, Child::Empty);
                }
            }
            Some(item)
        }
    }
}

/// Nodes and bytes on the heap that a map itself takes (not what its items point at).
pub(crate) fn weigh<T: Hashed>(at: &Child<T>, total: &mut (usize, usize)) {
    const COUNTS: usize = 2 * size_of::<usize>();
    match at {
        Child::Empty => {}
        Child::Leaf(items) => {
            total.0 += 1;
            total.1 += COUNTS + size_of::<Vec<T>>() + items.capacity() * size_of::<T>();
        }
        Child::Node(kids) => {
            total.0 += 1;
            total.1 += COUNTS + size_of_val(&**kids);
            kids.iter().for_each(|k| weigh(k, total));
        }
    }
}

#[cfg(test)]
impl<T: Hashed> Radix<T> {
    /// Room in the only leaf.
    fn capacity(&self) -> usize {
        if let Child::Leaf(items) = &self.root { items.capacity() } else { 0 }
    }

    /// Where its nodes are in memory.
    pub(crate) fn places(&self) -> std::collections::HashSet<usize> {
        let (mut all, mut stack) = (std::collections::HashSet::new(), vec![&self.root]);
        while let Some(at) = stack.pop() {
            match at {
                Child::Empty => {}
                Child::Leaf(items) => drop(all.insert(Arc::as_ptr(items).addr())),
                Child::Node(kids) => {
                    all.insert(Arc::as_ptr(kids).addr());
                    stack.extend(kids.iter());
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A hash and something that tells items of one hash apart.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Item(u32, u32);

    impl Hashed for Item {
        fn hash(&self) -> u32 {
            self.0
        }
    }

    fn all(map: &Radix<Item>) -> Vec<Item> {
        let (mut all, mut stack) = (Vec::new(), vec![&map.root]);
        while let Some(at) = stack.pop() {
            match at {
                Child::Empty => {}
                Child::Leaf(items) => {
                    assert!(!items.is_empty());
                    all.extend(items.iter().cloned());
                }
                Child::Node(kids) => {
                    assert!(kids.iter().any(|k| !matches!(k, Child::Empty)));
                    stack.extend(kids.iter());
                }
            }
        }
        all.sort();
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
        #[test]
        fn agrees_with_a_list(ops in prop::collection::vec(
            // Hashes that part in the first, in the last, or in no four bits.
            (prop_oneof![any::<u32>(), 0..20u32, (0..40u32).prop_map(|h| h << 26), Just(7)], 0..4u8, any::<u32>()),
            1..300,
        )) {
            let (mut map, mut list) = (Radix::<Item>::default(), Vec::<Item>::new());
            let mut old = (map.clone(), list.clone());
            for (id, (hash, op, pick)) in ops.into_iter().enumerate() {
                match op {
                    0 if !list.is_empty() => {
                        let item = list.swap_remove(pick as usize % list.len());
                        prop_assert_eq!(map.remove(item.0, |i| i.1 == item.1), Some(item));
                    }
                    1 if pick % 8 == 0 => {
                        prop_assert_eq!(all(&map), { list.sort(); list.clone() });
                        old = (map.clone(), list.clone());
                    }
                    _ => {
                        let item = Item(hash, id as u32 * 2 + 2);
                        prop_assert_eq!(map.remove(hash, |i| i.1 == 1), None);
                        map.insert(item.clone());
                        prop_assert_eq!(map.find(hash, |i| i.1 == item.1), Some(&item));
                        if let Some(found) = map.find_mut(hash, |i| i.1 == item.1) {
                            found.1 += 1;
                        }
                        list.push(Item(hash, item.1 + 1));
                    }
                }
                prop_assert_eq!(map.len, list.len());
                let only = if let [one] = &list[..] { Some(one) } else { None };
                prop_assert_eq!(map.only(), only);
            }
            for (mut map, mut list) in [(map, list), old] {
                list.sort();
                prop_assert_eq!(all(&map), list.clone());
                for item in list {
                    prop_assert_eq!(map.find(item.0, |i| i == &item), Some(&item));
                    prop_assert_eq!(map.remove(item.0, |i| i == &item), Some(item));
                }
                prop_assert!(matches!(map.root, Child::Empty));
            }
        }
    }

    #[test]
    fn a_change_copies_its_way_only() {
        let mut map = Radix::default();
        for i in 0..100_000u32 {
            map.insert(Item(i.wrapping_mul(0x9e37_79b9), i));
        }
        let (old, before) = (map.clone(), map.places());
        assert!(before.len() > 6_000 && before.len() < 80_000, "{}", before.len());
        map.insert(Item(1, 0));
        // Five levels at most, and 16 leaves if one was split.
        assert!(map.places().difference(&before).count() <= 5 + 16);
        map.remove(1, |i| i.1 == 0);
        assert!(map.places().difference(&before).count() <= 5 + 16);
        // What nobody else holds is edited where it is.
        drop(old);
        let before = map.places();
        map.find_mut(0x9e37_79b9, |_| true).unwrap().1 = 5;
        assert_eq!(map.places(), before);
    }

    #[test]
    fn equal_hashes_share_a_leaf() {
        let mut map = Radix::default();
        (0..1000).for_each(|i| map.insert(Item(0xdead_beef, i)));
        assert_eq!(map.places().len(), 9);
        (0..999).for_each(|i| assert!(map.remove(0xdead_beef, |x| x.1 == i).is_some()));
        assert_eq!((map.places().len(), map.only()), (1, Some(&Item(0xdead_beef, 999))));
        let mut total = (0, 0);
        weigh(map.root(), &mut total);
        assert_eq!((total.0, total.1), (1, 16 + 24 + map.capacity() * 8));
    }

    /// Room in a leaf of so many items: a few more than there are.
    #[test]
    fn leaves_take_little_more_than_they_need() {
        let mut map = Radix::default();
        let rooms = [1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13, 17, 17, 17];
        for (n, room) in rooms.into_iter().enumerate() {
            map.insert(Item(3, n as u32));
            assert_eq!((map.places().len(), map.capacity()), (1, room));
            let mut total = (0, 0);
            weigh(map.root(), &mut total);
            assert_eq!(total, (1, 16 + 24 + room * 8));
        }
        for (n, room) in [17, 17, 17, 17, 17, 17, 9, 9, 9, 9, 9, 9, 9, 9, 1, 0].into_iter().enumerate() {
            assert!(map.remove(3, |i| i.1 == n as u32).is_some());
            assert_eq!(map.capacity(), room, "{n}");
        }
        assert!(matches!(map.root, Child::Empty));
    }

    /// A leaf is split when it has more than its number, and as often as that takes.
    #[test]
    fn when_leaves_split_and_join() {
        let build = |hashes: &[u32]| {
            let mut map = Radix::default();
            hashes.iter().for_each(|h| map.insert(Item(*h, 0)));
            map
        };
        assert_eq!(build(&[7; 16]).places().len(), 1);
        assert_eq!(build(&[7; 17]).places().len(), 9);
        // sixteen of one way stay a leaf
        let mut hashes = [7; 17];
        hashes[16] = 0xf000_0000;
        assert_eq!(build(&hashes).places().len(), 3);
        // seventeen that part in the third and the last step
        let thirds: Vec<u32> = (0..17).map(|i| 0xab00_0000 | ((i % 2) << 20)).collect();
        assert_eq!(build(&thirds).places().len(), 3 + 2);
        let lasts: Vec<u32> = (0..17).map(|i| 0xabcd_ef00 | (i % 16)).collect();
        let mut map = build(&lasts);
        assert_eq!(map.places().len(), 8 + 16);
        let mut total = (0, 0);
        weigh(map.root(), &mut total);
        let (leaf, node) = (16 + 24, 16 + WAYS * size_of::<Child<Item>>());
        let Child::Node(kids) = &map.root else { panic!() };
        assert_eq!((total.0, size_of_val(&**kids)), (8 + 16, WAYS * size_of::<Child<Item>>()));
        let items = total.1 - 16 * leaf - 8 * node;
        // one leaf has two items and room for five, the others one
        assert_eq!(items, (15 + 5) * 8);
        for i in 0..15 {
            assert!(map.remove(0xabcd_ef00 | i, |_| true).is_some());
        }
        // item 0 was twice there; with 15 it makes two leaves
        assert_eq!(map.places().len(), 8 + 2);
        assert!(map.remove(0xabcd_ef0f, |_| true).is_some());
        assert_eq!((map.places().len(), map.only()), (1, Some(&Item(0xabcd_ef00, 0))));
    }
}
