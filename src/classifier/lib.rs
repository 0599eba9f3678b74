//! Tuple space search over versioned rules: staged lookup, prefix tries, priorities. Level 3.
//!
//! A [`Classifier`] finds the highest-priority rule that a flow matches, and tells which bits of the flow that took.
//! It is a persistent structure: a clone is cheap and keeps what it has whatever happens to the original, so a writer
//! works on its own copy and publishes clones, and an old one costs only what has changed since.
//!
//! Bottom up: [`radix`] is a hash map and [`trie`] a set of prefixes, both sharing nodes between versions; [`shape`] is
//! a mask cut into stages; [`subtable`] holds all rules of one mask; [`order`] has the subtables by falling highest
//! priority, so that a [`lookup`] stops when no later one can do better; [`conjunction`] is for rules that count together
//! only; [`iter`] walks over rules.
//!
//! Method: "The Design and Implementation of Open vSwitch" (NSDI 2015), section 5; tuple space search is from Srinivasan,
//! Suri and Varghese (SIGCOMM 1999).
#![forbid(unsafe_code)]

mod conjunction;
mod iter;
mod lookup;
#[cfg(test)]
mod oracle;
mod order;
mod radix;
mod shape;
#[cfg(test)]
mod stock;
mod subtable;
#[cfg(test)]
mod tests;
mod trie;

use std::sync::Arc;

use flow::{Flow, Mask, Match};

use conjunction::is_clause;
pub use conjunction::{Clause, Conjunctive, Tried};
use order::{Order, Place};
use radix::{Hashed, Radix};
use shape::{ADDRESSES, Shape, mask_hash};
use subtable::Subtable;
use trie::{Hit, Trie};

/// What a classifier needs to know of a rule. Neither may change while the rule is in a classifier.
pub trait Rule {
    /// The flows that the rule applies to.
    fn matching(&self) -> &Match;
    /// Higher ones win; OpenFlow's are 0 to 65535.
    fn priority(&self) -> i32;
    /// The conditions that it is a part of. One that has any is never a result (see [`Classifier::lookup_conjunctive`]).
    fn clauses(&self) -> impl Iterator<Item = Clause> {
        std::iter::empty()
    }
}

/// A mask that some rule has, and where its subtable is.
#[derive(Clone)]
struct Known {
    hash: u32,
    max: i32,
    id: u64,
    shape: Arc<Shape>,
}

impl Hashed for Known {
    fn hash(&self) -> u32 {
        self.hash
    }
}

/// A set of rules in which a match and a priority together occur once.
pub struct Classifier<R> {
    order: Order<R>,
    masks: Radix<Known>,
    /// The prefixes of all rules, one trie for each of [`ADDRESSES`].
    ipv4: [Trie<u32>; 2],
    ipv6: [Trie<u128>; 2],
    len: usize,
    /// Rules that are clauses.
    clauses: usize,
    next_id: u64,
    seed: u64,
}

impl<R> Clone for Classifier<R> {
    fn clone(&self) -> Self {
        Classifier {
            order: self.order.clone(),
            masks: self.masks.clone(),
            ipv4: self.ipv4.clone(),
            ipv6: self.ipv6.clone(),
            ..*self
        }
    }
}

impl<R> Default for Classifier<R> {
    fn default() -> Self {
        Classifier::with_seed(0x51_7c_c1_b7_27_22_0a_95)
    }
}

/// How big a classifier is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub rules: usize,
    /// Distinct masks.
    pub subtables: usize,
    /// Separate pieces of memory, shared or not.
    pub nodes: usize,
    /// Bytes in them; the rules' own are not counted, nor what the allocator adds.
    pub bytes: usize,
}

impl<R> Classifier<R> {
    /// An empty classifier whose hashes depend on `seed`, so that who doesn't know it can't make rules collide.
    pub fn with_seed(seed: u64) -> Self {
        Classifier {
            order: Order::default(),
            masks: Radix::default(),
            ipv4: Default::default(),
            ipv6: Default::default(),
            len: 0,
            clauses: 0,
            next_id: 0,
            seed,
        }
    }

    /// Rules in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Distinct masks in it: the most hash lookups that one search can take.
    pub fn subtables(&self) -> usize {
        self.order.len()
    }

    /// The distinct masks with their number of rules and highest priority, in the order in which they are searched.
    pub fn masks(&self) -> impl Iterator<Item = (Mask, usize, i32)> {
        self.order.iter().map(|p| (Mask::from(&*p.table.shape), p.table.len, p.max))
    }

    /// Has a match share its mask's memory with the rules that have the same.
    pub fn share(&self, m: &mut Match) {
        if let Some(known) = self.known(m) {
            m.share(known.shape.sparse());
        }
    }

    fn known(&self, m: &Match) -> Option<&Known> {
        self.masks.find(mask_hash(self.seed, m), |k| k.shape.is_mask_of(m))
    }

    /// What the trie of tracked address `i` says about `flow`.
    fn ask(&self, i: usize, flow: &Flow) -> Hit {
        let address = flow.get(ADDRESSES[i]);
        match i {
            0 | 1 => self.ipv4[i].find(address as u32),
            _ => self.ipv6[i - 2].find(address),
        }
    }
}

impl<R: Rule> Classifier<R> {
    /// Adds `rule`. If there is one of the same match and priority, it is replaced and comes back.
    pub fn insert(&mut self, rule: Arc<R>) -> Option<Arc<R>> {
        let m = rule.matching();
        let hash = mask_hash(self.seed, m);
        let found = self.masks.find(hash, |k| k.shape.is_mask_of(m)).map(|k| (k.max, k.id));
        let (max, id) = found.unwrap_or_else(|| {
            let (shape, max, id) = (Arc::new(Shape::new(self.seed, m)), rule.priority(), self.next_id);
            self.next_id += 1;
            self.masks.insert(Known { hash, max, id, shape: Arc::clone(&shape) });
            self.order.insert(Place { max, table: Arc::new(Subtable::new(id, shape)) });
            (max, id)
        });
        let table = self.order.find_mut(max, id)?;
        self.clauses += usize::from(is_clause(&*rule));
        if let Some(old) = table.insert(Arc::clone(&rule)) {
            self.clauses -= usize::from(is_clause(&*old));
            return Some(old);
        }
        for i in 0..ADDRESSES.len() {
            if let Some((address, len)) = table.address(i, m) {
                match i {
                    0 | 1 => self.ipv4[i].insert(address as u32, len),
                    _ => self.ipv6[i - 2].insert(address, len),
                }
            }
        }
        self.len += 1;
        if rule.priority() > max {
            self.move_to(hash, max, id, rule.priority());
        }
        None
    }

    /// Takes out the rule with exactly this match and priority.
    pub fn remove(&mut self, m: &Match, priority: i32) -> Option<Arc<R>> {
        // Looked for first, so that nothing is copied for a rule that isn't there.
        self.find_exact(m, priority)?;
        let known = self.known(m)?;
        let (hash, max, id) = (known.hash, known.max, known.id);
        let table = self.order.find_mut(max, id)?;
        let rule = table.remove(m, priority)?;
        for i in 0..ADDRESSES.len() {
            if let Some((address, len)) = table.address(i, m) {
                match i {
                    0 | 1 => self.ipv4[i].remove(address as u32, len),
                    _ => self.ipv6[i - 2].remove(address, len),
                }
            }
        }
        self.len -= 1;
        self.clauses -= usize::from(is_clause(&*rule));
        if table.len == 0 {
            self.order.remove(max, id);
            self.masks.remove(hash, |k| k.id == id);
        } else if priority == max {
            let now = table.max();
            if now != max {
                self.move_to(hash, max, id, now);
            }
        }
        Some(rule)
    }

    /// The rule with exactly this match and priority.
    pub fn find_exact(&self, m: &Match, priority: i32) -> Option<&Arc<R>> {
        let known = self.known(m)?;
        self.order.find(known.max, known.id)?.find(m, priority)
    }

    /// Moves a subtable in the order because its highest priority changed from `old` to `new`.
    fn move_to(&mut self, hash: u32, old: i32, id: u64, new: i32) {
        if let Some(place) = self.order.remove(old, id) {
            self.order.insert(Place { max: new, table: place.table });
        }
        if let Some(known) = self.masks.find_mut(hash, |k| k.id == id) {
            known.max = new;
        }
    }

    /// Counts everything, which takes time in proportion to the number of rules.
    pub fn stats(&self) -> Stats {
        let mut total = (0, size_of::<Self>());
        self.order.weigh(&mut total);
        radix::weigh(self.masks.root(), &mut total);
        self.ipv4.iter().for_each(|t| t.weigh(&mut total));
        self.ipv6.iter().for_each(|t| t.weigh(&mut total));
        self.order.iter().for_each(|p| p.table.weigh(&mut total));
        Stats { rules: self.len, subtables: self.order.len(), nodes: total.0, bytes: total.1 }
    }
}
