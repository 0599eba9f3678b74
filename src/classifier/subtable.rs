//! The rules of one mask: a hash map of a stage, whose entries lead to maps of the next stage where more than one rule
//! shares the stage's values.
//!
//! A rule that is alone with its values so far is stored there and then, so a million rules that differ in addresses
//! take one entry each, not one in every stage.

use std::sync::Arc;

use crate::Rule;
use crate::radix::{Child, Hashed, Radix, prefetch_counts};
use crate::shape::{ADDRESSES, Hashes, PORTS, Shape};
use crate::trie::Trie;
use flow::layout::Slot;
use flow::{Flow, Match};

/// What is behind one hash of one level.
pub(crate) enum Entry<R> {
    /// The only rule with these values up to here.
    One(u32, Arc<R>),
    /// In the last level: several rules, highest priority first.
    Many(u32, Arc<Vec<Arc<R>>>),
    /// In the other levels: the next one.
    Deeper(u32, Arc<Radix<Entry<R>>>),
}

impl<R> Clone for Entry<R> {
    fn clone(&self) -> Self {
        match self {
            Entry::One(h, r) => Entry::One(*h, Arc::clone(r)),
            Entry::Many(h, all) => Entry::Many(*h, Arc::clone(all)),
            Entry::Deeper(h, map) => Entry::Deeper(*h, Arc::clone(map)),
        }
    }
}

impl<R> Hashed for Entry<R> {
    #[inline]
    fn hash(&self) -> u32 {
        match self {
            Entry::One(h, _) | Entry::Many(h, _) | Entry::Deeper(h, _) => *h,
        }
    }

    #[inline]
    fn prefetch(&self) {
        match self {
            Entry::One(_, rule) => prefetch_counts(rule),
            Entry::Many(_, all) => prefetch_counts(all),
            Entry::Deeper(_, map) => prefetch_counts(map),
        }
    }
}

/// All rules of one mask.
pub(crate) struct Subtable<R> {
    pub(crate) shape: Arc<Shape>,
    pub(crate) rules: Radix<Entry<R>>,
    /// The prefixes of the ports that rules have, for saying which bits tell a packet from all of them.
    pub(crate) ports: [Trie<u32>; PORTS.len()],
    /// The priorities of the rules, as [`rank`]s.
    priorities: Trie<u32>,
    /// Rules.
    pub(crate) len: usize,
    /// Identifies it among the subtables of its classifier, forever.
    pub(crate) id: u64,
}

impl<R> Clone for Subtable<R> {
    fn clone(&self) -> Self {
        Subtable {
            shape: Arc::clone(&self.shape),
            rules: self.rules.clone(),
            ports: self.ports.clone(),
            priorities: self.priorities.clone(),
            len: self.len,
            id: self.id,
        }
    }
}

/// A priority as a number that sorts the same without a sign.
fn rank(priority: i32) -> u32 {
    (priority as u32) ^ (1 << 31)
}

/// A port's value, aligned to the left as tries want it.
#[inline]
pub(crate) fn port_of(flow: &Flow, slot: Slot) -> u32 {
    (flow.get64(slot) as u32) << 16
}

impl<R: Rule> Subtable<R> {
    pub(crate) fn new(id: u64, shape: Arc<Shape>) -> Self {
        let (rules, ports, priorities) = (Radix::default(), Default::default(), Trie::default());
        Subtable { shape, rules, ports, priorities, len: 0, id }
    }

    /// The highest priority of its rules.
    pub(crate) fn max(&self) -> i32 {
        self.priorities.max().map_or(i32::MIN, |r| (r ^ (1 << 31)) as i32)
    }

    /// Adds a rule; the one it replaces (same match and priority) comes back.
    pub(crate) fn insert(&mut self, rule: Arc<R>) -> Option<Arc<R>> {
        let hashes = self.shape.hash_match(rule.matching());
        let old = insert(&mut self.rules, &self.shape, 0, &hashes, &rule);
        if old.is_none() {
            self.len += 1;
            self.priorities.insert(rank(rule.priority()), u32::BITS);
            for ((trie, slot), len) in self.ports.iter_mut().zip(PORTS).zip(self.shape.port) {
                if len != 0 {
                    trie.insert((rule.matching().get(slot).0 as u32) << 16, len.into());
                }
            }
        }
        old
    }

    /// Takes out a rule.
    pub(crate) fn remove(&mut self, m: &Match, priority: i32) -> Option<Arc<R>> {
        let hashes = self.shape.hash_match(m);
        let rule = remove(&mut self.rules, self.shape.last(), 0, &hashes, m, priority)?;
        self.len -= 1;
        self.priorities.remove(rank(priority), u32::BITS);
        for ((trie, slot), len) in self.ports.iter_mut().zip(PORTS).zip(self.shape.port) {
            if len != 0 {
                trie.remove((m.get(slot).0 as u32) << 16, len.into());
            }
        }
        Some(rule)
    }

    /// The rule of a match that has the subtable's mask.
    pub(crate) fn find(&self, m: &Match, priority: i32) -> Option<&Arc<R>> {
        let hashes = self.shape.hash_match(m);
        let mut map = &self.rules;
        for hash in hashes {
            match map.find(hash, |_| true)? {
                Entry::One(_, r) => return same(&**r, m, priority).then_some(r),
                Entry::Many(_, all) => return position(all, m, priority).ok().and_then(|n| all.get(n)),
                Entry::Deeper(_, next) => map = next,
            }
        }
        None
    }

    /// The rules of the same match as `rule`, which is one of them, highest priority first.
    pub(crate) fn peers<'a>(&'a self, rule: &'a Arc<R>) -> impl Iterator<Item = &'a Arc<R>> {
        let mut map = &self.rules;
        let mut all = std::slice::from_ref(rule);
        for hash in self.shape.hash_match(rule.matching()) {
            match map.find(hash, |_| true) {
                Some(Entry::Deeper(_, next)) => map = next,
                Some(Entry::Many(_, many)) => {
                    all = many;
                    break;
                }
                Some(Entry::One(..)) | None => break,
            }
        }
        all.iter().filter(|r| r.matching() == rule.matching())
    }

    /// The highest-priority rule of the last level's entry that `flow` matches.
    #[inline]
    pub(crate) fn best<'a>(entry: &'a Entry<R>, flow: &Flow) -> Option<&'a Arc<R>> {
        match entry {
            Entry::One(_, r) => r.matching().matches(flow).then_some(r),
            Entry::Many(_, all) => all.iter().find(|r| r.matching().matches(flow)),
            Entry::Deeper(..) => None,
        }
    }

    /// The part of the rules that could overlap `m`: all of them, or those that share the values of the first levels
    /// where `m` has all the bits.
    pub(crate) fn near(&self, m: &Match) -> Near<'_, R> {
        let levels = self.shape.covered_by(m);
        let hashes = self.shape.hash_match(m);
        let mut map = &self.rules;
        for hash in hashes.iter().take(levels) {
            match map.find(*hash, |_| true) {
                None => return Near::Nothing,
                Some(Entry::Deeper(_, next)) => map = next,
                Some(entry) => return Near::Entry(entry),
            }
        }
        Near::All(map)
    }

    /// The prefix that its rules have in tracked address `i`, of rule `m`.
    pub(crate) fn address(&self, i: usize, m: &Match) -> Option<(u128, u32)> {
        match self.shape.address[i] {
            0 => None,
            len => Some((m.get(ADDRESSES[i]).0, len.into())),
        }
    }

    /// Adds nodes and bytes on the heap, the rules' own memory not counted.
    pub(crate) fn weigh(&self, total: &mut (usize, usize)) {
        total.0 += 1;
        total.1 += size_of::<Self>() + 2 * size_of::<usize>() + self.shape.bytes();
        self.ports.iter().for_each(|t| t.weigh(total));
        self.priorities.weigh(total);
        weigh(&self.rules, total);
    }
}

/// Where to look for rules that overlap a match.
pub(crate) enum Near<'a, R> {
    Nothing,
    Entry(&'a Entry<R>),
    All(&'a Radix<Entry<R>>),
}

fn same<R: Rule>(rule: &R, m: &Match, priority: i32) -> bool {
    rule.priority() == priority && rule.matching() == m
}

/// Where in a list (highest priority first) the rule is, or would go.
fn position<R: Rule>(all: &[Arc<R>], m: &Match, priority: i32) -> Result<usize, usize> {
    let start = all.partition_point(|r| r.priority() > priority);
    let equal = all.iter().skip(start).take_while(|r| r.priority() == priority);
    match equal.clone().position(|r| r.matching() == m) {
        Some(n) => Ok(start + n),
        None => Err(start + equal.count()),
    }
}

fn insert<R: Rule>(
    map: &mut Radix<Entry<R>>,
    shape: &Shape,
    level: usize,
    hashes: &Hashes,
    rule: &Arc<R>,
) -> Option<Arc<R>> {
    let hash = hashes[level];
    let Some(entry) = map.find_mut(hash, |_| true) else {
        map.insert(Entry::One(hash, Arc::clone(rule)));
        return None;
    };
    match entry {
        Entry::One(_, other) if same(&**other, rule.matching(), rule.priority()) => {
            Some(std::mem::replace(other, Arc::clone(rule)))
        }
        Entry::One(_, other) if level == shape.last() => {
            let mut all = vec![Arc::clone(other), Arc::clone(rule)];
            all.sort_by_key(|r| std::cmp::Reverse(r.priority()));
            *entry = Entry::Many(hash, Arc::new(all));
            None
        }
        Entry::One(_, other) => {
            let mut next = Radix::default();
            next.insert(Entry::One(shape.hash_match(other.matching())[level + 1], Arc::clone(other)));
            let old = insert(&mut next, shape, level + 1, hashes, rule);
            *entry = Entry::Deeper(hash, Arc::new(next));
            old
        }
        Entry::Many(_, all) => {
            let all = Arc::make_mut(all);
            match position(all, rule.matching(), rule.priority()) {
                Ok(n) => all.get_mut(n).map(|r| std::mem::replace(r, Arc::clone(rule))),
                Err(n) => {
                    all.insert(n, Arc::clone(rule));
                    None
                }
            }
        }
        Entry::Deeper(_, next) => insert(Arc::make_mut(next), shape, level + 1, hashes, rule),
    }
}

fn remove<R: Rule>(
    map: &mut Radix<Entry<R>>,
    last: usize,
    level: usize,
    hashes: &Hashes,
    m: &Match,
    priority: i32,
) -> Option<Arc<R>> {
    let hash = hashes[level];
    match map.find_mut(hash, |_| true)? {
        Entry::One(_, r) if same(&**r, m, priority) => match map.remove(hash, |_| true)? {
            Entry::One(_, r) => Some(r),
            _ => None,
        },
        Entry::One(..) => None,
        entry => {
            let (old, left) = match entry {
                Entry::Many(_, all) => {
                    let all = Arc::make_mut(all);
                    let old = all.remove(position(all, m, priority).ok()?);
                    (old, if let [one] = &all[..] { Some(Arc::clone(one)) } else { None })
                }
                Entry::Deeper(_, next) if level < last => {
                    let next = Arc::make_mut(next);
                    let old = remove(next, last, level + 1, hashes, m, priority)?;
                    match next.only() {
                        Some(Entry::One(_, r)) => (old, Some(Arc::clone(r))),
                        _ => (old, None),
                    }
                }
                _ => return None,
            };
            if let Some(r) = left {
                *entry = Entry::One(hash, r);
            }
            Some(old)
        }
    }
}

fn weigh<R>(map: &Radix<Entry<R>>, total: &mut (usize, usize)) {
    crate::radix::weigh(map.root(), total);
    let mut stack = vec![map.root()];
    while let Some(at) = stack.pop() {
        match at {
            Child::Empty => {}
            Child::Node(kids) => stack.extend(kids.iter()),
            Child::Leaf(entries) => {
                for entry in entries.iter() {
                    match entry {
                        Entry::One(..) => {}
                        Entry::Many(_, all) => {
                            total.0 += 1;
                            total.1 += size_of::<Vec<Arc<R>>>() + 16 + all.capacity() * size_of::<Arc<R>>();
                        }
                        Entry::Deeper(_, next) => {
                            total.0 += 1;
                            total.1 += size_of::<Radix<Entry<R>>>() + 16;
                            weigh(next, total);
                        }
                    }
                }
            }
        }
    }
}
