//! The subtables by falling highest priority: a persistent sorted list of chunks.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::subtable::Subtable;

/// Subtables in a chunk before it is split.
const CHUNK: usize = 64;

/// A subtable and the highest priority of its rules.
pub(crate) struct Place<R> {
    pub(crate) max: i32,
    pub(crate) table: Arc<Subtable<R>>,
}

impl<R> Clone for Place<R> {
    fn clone(&self) -> Self {
        Place { max: self.max, table: Arc::clone(&self.table) }
    }
}

impl<R> Place<R> {
    /// What the list is sorted by. Of equal priorities the older subtable is first.
    fn key(&self) -> (Reverse<i32>, u64) {
        (Reverse(self.max), self.table.id)
    }
}

/// The list. No chunk is empty.
pub(crate) struct Order<R> {
    chunks: Arc<Vec<Arc<Vec<Place<R>>>>>,
    len: usize,
}

impl<R> Clone for Order<R> {
    fn clone(&self) -> Self {
        Order { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<R> Default for Order<R> {
    fn default() -> Self {
        Order { chunks: Arc::default(), len: 0 }
    }
}

impl<R> Order<R> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Place<R>> {
        self.chunks.iter().flat_map(|c| c.iter())
    }

    /// The chunk that a key is in, or would be.
    fn chunk(&self, key: (Reverse<i32>, u64)) -> usize {
        let n = self.chunks.partition_point(|c| c.last().is_some_and(|p| p.key() < key));
        n.min(self.chunks.len().saturating_sub(1))
    }

    /// The subtable `id` whose highest priority is `max`.
    pub(crate) fn find(&self, max: i32, id: u64) -> Option<&Subtable<R>> {
        let key = (Reverse(max), id);
        let chunk = self.chunks.get(self.chunk(key))?;
        let n = chunk.binary_search_by_key(&key, Place::key).ok()?;
        chunk.get(n).map(|p| &*p.table)
    }

    /// The same for changing it. What it is sorted by must stay.
    pub(crate) fn find_mut(&mut self, max: i32, id: u64) -> Option<&mut Subtable<R>> {
        let key = (Reverse(max), id);
        let n = self.chunk(key);
        let chunk = Arc::make_mut(Arc::make_mut(&mut self.chunks).get_mut(n)?);
        let n = chunk.binary_search_by_key(&key, Place::key).ok()?;
        chunk.get_mut(n).map(|p| Arc::make_mut(&mut p.table))
    }

    /// Puts a subtable where it belongs.
    pub(crate) fn insert(&mut self, place: Place<R>) {
        self.len += 1;
        let at = self.chunk(place.key());
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(at) else {
            chunks.push(Arc::new(vec![place]));
            return;
        };
        let chunk = Arc::make_mut(chunk);
        let (Ok(n) | Err(n)) = chunk.binary_search_by_key(&place.key(), Place::key);
        chunk.insert(n, place);
        if chunk.len() > CHUNK {
            let tail = chunk.split_off(CHUNK / 2);
            chunks.insert(at + 1, Arc::new(tail));
        }
    }

    /// Takes a subtable out.
    pub(crate) fn remove(&mut self, max: i32, id: u64) -> Option<Place<R>> {
        let key = (Reverse(max), id);
        let at = self.chunk(key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.get_mut(at)?);
        let n = chunk.binary_search_by_key(&key, Place::key).ok()?;
        let place = chunk.remove(n);
        self.len -= 1;
        // A chunk that is small beside its neighbour joins it.
        let left = chunk.len();
        if left == 0 {
            chunks.remove(at);
        } else if chunks.get(at + 1).is_some_and(|next| left + next.len() <= CHUNK / 2) {
            let next = chunks.remove(at + 1);
            if let Some(chunk) = chunks.get_mut(at) {
                Arc::make_mut(chunk).extend(next.iter().cloned());
            }
        }
        Some(place)
    }

    /// Bytes on the heap, the subtables' own not counted.
    pub(crate) fn weigh(&self, total: &mut (usize, usize)) {
        total.0 += self.chunks.len();
        total.1 += self.chunks.iter().map(|c| 48 + c.capacity() * size_of::<Place<R>>()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;
    use crate::shape::Shape;
    use flow::Match;
    use proptest::prelude::*;

    struct Never;

    impl Rule for Never {
        fn matching(&self) -> &Match {
            unreachable!()
        }
        fn priority(&self) -> i32 {
            unreachable!()
        }
    }

    fn place(max: i32, id: u64) -> Place<Never> {
        Place { max, table: Arc::new(Subtable::new(id, Arc::new(Shape::new(0, &Match::default())))) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
        #[test]
        fn stays_sorted(ops in prop::collection::vec((-3..40i32, any::<u32>(), 0..5u8), 1..600)) {
            let (mut order, mut list) = (Order::default(), Vec::new());
            let (mut old, mut then) = (order.clone(), list.clone());
            for (id, (max, pick, op)) in ops.into_iter().enumerate() {
                let id = id as u64;
                if list.len() < 150 && op < 2 || op < 1 || list.is_empty() {
                    order.insert(place(max, id));
                    list.push((Reverse(max), id));
                } else if op == 4 && pick % 16 == 0 {
                    (old, then) = (order.clone(), list.clone());
                } else if op == 4 {
                    prop_assert!(order.find(max, id).is_none() && order.remove(max, id).is_none());
                    prop_assert!(order.find_mut(max, id).is_none());
                } else if list.len() > 100 || op == 3 {
                    let (max, id) = list.swap_remove(pick as usize % list.len());
                    prop_assert_eq!(order.find(max.0, id).map(|t| t.id), Some(id));
                    prop_assert_eq!(order.find_mut(max.0, id).map(|t| t.id), Some(id));
                    prop_assert_eq!(order.remove(max.0, id).map(|p| p.key()), Some((max, id)));
                } else {
                    order.insert(place(max, id));
                    list.push((Reverse(max), id));
                }
            }
            for (order, mut list) in [(order, list), (old, then)] {
                list.sort();
                prop_assert_eq!(order.len(), list.len());
                prop_assert!(order.chunks.iter().all(|c| (1..=CHUNK).contains(&c.len())));
                prop_assert!(order.chunks.len() <= 1 + list.len() / 8);
                prop_assert_eq!(order.iter().map(Place::key).collect::<Vec<_>>(), list);
            }
        }
    }

    #[test]
    fn chunks_split_and_join() {
        let mut order = Order::default();
        (0..1000).for_each(|id| order.insert(place(5, id)));
        assert!((16..=32).contains(&order.chunks.len()));
        let old = order.clone();
        order.insert(place(5, 1000));
        let shared = old.chunks.iter().filter(|c| order.chunks.iter().any(|d| Arc::ptr_eq(c, d))).count();
        assert_eq!(shared, old.chunks.len() - 1);
        (0..990).for_each(|id| assert!(order.remove(5, id).is_some()));
        assert_eq!(order.chunks.len(), 1);
        let mut total = (0, 0);
        order.weigh(&mut total);
        assert_eq!(total, (1, 48 + order.chunks[0].capacity() * size_of::<Place<Never>>()));
        assert!(order.chunks[0].capacity() >= 11);
    }

    #[test]
    fn when_chunks_split_and_join() {
        let mut order = Order::default();
        let sizes = |order: &Order<Never>| order.chunks.iter().map(|c| c.len()).collect::<Vec<_>>();
        (0..CHUNK as u64).for_each(|id| order.insert(place(5, id)));
        assert_eq!(sizes(&order), [CHUNK]);
        order.insert(place(5, CHUNK as u64));
        assert_eq!(sizes(&order), [CHUNK / 2, CHUNK / 2 + 1]);
        let mut total = (0, 0);
        order.weigh(&mut total);
        let room: usize = order.chunks.iter().map(|c| c.capacity()).sum();
        assert_eq!(total, (2, 2 * 48 + room * size_of::<Place<Never>>()));
        // The last has no neighbour to join; the first joins it once both together are half a chunk.
        (0..20).for_each(|n| assert!(order.remove(5, CHUNK as u64 - n).is_some()));
        assert_eq!(sizes(&order), [32, 13]);
        (0..12).for_each(|id| assert!(order.remove(5, id).is_some()));
        assert_eq!(sizes(&order), [20, 13]);
        assert!(order.remove(5, 12).is_some());
        assert_eq!(sizes(&order), [32]);
        assert_eq!(order.iter().map(|p| p.table.id).collect::<Vec<_>>(), (13..45).collect::<Vec<_>>());
        // An empty one goes.
        (0..33).for_each(|id| order.insert(place(4, 100 + id)));
        assert_eq!(sizes(&order), [32, 33]);
        (13..45).for_each(|id| assert!(order.remove(5, id).is_some()));
        assert_eq!(sizes(&order), [33]);
    }
}
