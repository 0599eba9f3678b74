//! `TimerQueue`: one deadline per key, earliest first. Arming, cancelling and expiring are O(log n).

use super::Instant;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Deadlines by key. A key has at most one; arming it again moves it. Timers of equal deadline expire in the order
/// in which they were armed, so a run is repeatable.
#[derive(Clone, Debug)]
pub struct TimerQueue<K> {
    /// Keyed by deadline, then by order of arming.
    queue: BTreeMap<(Instant, u64), K>,
    armed: HashMap<K, (Instant, u64)>,
    next: u64,
}

impl<K: Clone + Eq + Hash> TimerQueue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { queue: BTreeMap::new(), armed: HashMap::new(), next: 0 }
    }

    /// Arms `key` for `deadline`, in place of any deadline that it had.
    pub fn arm(&mut self, key: K, deadline: Instant) {
        let place = (deadline, self.next);
        self.next += 1;
        if let Some(old) = self.armed.insert(key.clone(), place) {
            self.queue.remove(&old);
        }
        self.queue.insert(place, key);
    }

    /// Disarms `key`; whether it was armed.
    pub fn cancel(&mut self, key: &K) -> bool {
        match self.armed.remove(key) {
            Some(place) => self.queue.remove(&place).is_some(),
            None => false,
        }
    }

    /// When `key` is due, if armed.
    pub fn deadline_of(&self, key: &K) -> Option<Instant> {
        self.armed.get(key).map(|place| place.0)
    }

    /// The earliest deadline, until which the owner may sleep.
    pub fn deadline(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Disarms and returns the next key due at `now`, the earliest first. Call until `None`; a handler that re-arms
    /// for `now` or earlier makes that loop endless.
    pub fn expired(&mut self, now: Instant) -> Option<K> {
        let first = self.queue.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let key = first.remove();
        self.armed.remove(&key);
        Some(key)
    }

    /// How many keys are armed.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl<K: Clone + Eq + Hash> Default for TimerQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    #[test]
    fn rearming_moves_and_equal_deadlines_keep_order() {
        let mut q = TimerQueue::new();
        q.arm("a", at(5));
        q.arm("b", at(5));
        q.arm("c", at(3));
        q.arm("a", at(5));
        assert_eq!((q.deadline(), q.len(), q.deadline_of(&"b")), (Some(at(3)), 3, Some(at(5))));
        assert_eq!(q.expired(at(2)), None);
        assert_eq!(q.expired(at(5)), Some("c"));
        assert_eq!(q.expired(at(5)), Some("b"));
        assert_eq!(q.expired(at(5)), Some("a"));
        assert_eq!(q.expired(Instant::MAX), None);
        assert!(q.is_empty() && q.armed.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Op {
        Arm(u8, u64),
        Cancel(u8),
        Expire(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0u8..12, 0u64..40).prop_map(|(k, t)| Op::Arm(k, t)),
            1 => (0u8..12).prop_map(Op::Cancel),
            1 => (0u64..40).prop_map(Op::Expire),
        ]
    }

    proptest! {
        /// Against a plain list searched linearly.
        #[test]
        fn as_a_list(ops in proptest::collection::vec(op(), 0..200)) {
            let mut q = TimerQueue::new();
            let mut list: Vec<(u8, u64)> = Vec::new();
            for op in ops {
                match op {
                    Op::Arm(k, t) => {
                        q.arm(k, at(t));
                        list.retain(|e| e.0 != k);
                        list.push((k, t));
                    }
                    Op::Cancel(k) => {
                        let had = list.iter().any(|e| e.0 == k);
                        list.retain(|e| e.0 != k);
                        prop_assert_eq!(q.cancel(&k), had);
                    }
                    Op::Expire(now) => {
                        // min_by_key returns the first of equal elements: the order of arming
                        let due = list.iter().enumerate().min_by_key(|(_, e)| e.1).filter(|(_, e)| e.1 <= now);
                        let due = due.map(|(i, _)| i).map(|i| list.remove(i).0);
                        prop_assert_eq!(q.expired(at(now)), due);
                    }
                }
                prop_assert_eq!(q.deadline(), list.iter().map(|e| at(e.1)).min());
                prop_assert_eq!(q.len(), list.len());
                for (k, t) in &list {
                    prop_assert_eq!(q.deadline_of(k), Some(at(*t)));
                }
            }
        }
    }
}
