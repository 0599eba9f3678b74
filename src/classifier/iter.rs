//! Walking over rules: all, those that overlap a match, those within it.

use std::slice;
use std::sync::Arc;

use flow::Match;

use crate::radix::{Child, Radix};
use crate::subtable::{Entry, Near};
use crate::{Classifier, Rule};

enum Frame<'a, R> {
    Children(slice::Iter<'a, Child<Entry<R>>>),
    Entries(slice::Iter<'a, Entry<R>>),
    Rules(slice::Iter<'a, Arc<R>>),
}

/// The rules of one subtable or a part of it.
struct Walk<'a, R> {
    stack: Vec<Frame<'a, R>>,
}

impl<'a, R> Walk<'a, R> {
    fn new(near: Near<'a, R>) -> Self {
        let stack = match near {
            Near::Nothing => Vec::new(),
            Near::Entry(entry) => vec![Frame::Entries(slice::from_ref(entry).iter())],
            Near::All(map) => vec![Frame::Children(slice::from_ref(map.root()).iter())],
        };
        Walk { stack }
    }

    fn all(map: &'a Radix<Entry<R>>) -> Self {
        Walk::new(Near::All(map))
    }
}

impl<'a, R> Iterator for Walk<'a, R> {
    type Item = &'a Arc<R>;

    fn next(&mut self) -> Option<&'a Arc<R>> {
        loop {
            let more = match self.stack.last_mut()? {
                Frame::Children(kids) => match kids.next() {
                    None => None,
                    Some(Child::Empty) => continue,
                    Some(Child::Leaf(entries)) => Some(Frame::Entries(entries.iter())),
                    Some(Child::Node(kids)) => Some(Frame::Children(kids.iter())),
                },
                Frame::Entries(entries) => match entries.next() {
                    None => None,
                    Some(Entry::One(_, rule)) => return Some(rule),
                    Some(Entry::Many(_, all)) => Some(Frame::Rules(all.iter())),
                    Some(Entry::Deeper(_, next)) => Some(Frame::Children(slice::from_ref(next.root()).iter())),
                },
                Frame::Rules(rules) => match rules.next() {
                    None => None,
                    some => return some,
                },
            };
            match more {
                Some(frame) => self.stack.push(frame),
                None => drop(self.stack.pop()),
            }
        }
    }
}

impl<R: Rule> Classifier<R> {
    /// All rules, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.order.iter().flat_map(|place| Walk::all(&place.table.rules))
    }

    /// The rules that some flow can match together with `m`, whatever their priority.
    pub fn overlapping<'a>(&'a self, m: &'a Match) -> impl Iterator<Item = &'a Arc<R>> {
        let walk = |near| Walk::new(near);
        self.order.iter().flat_map(move |p| walk(p.table.near(m))).filter(|r| r.matching().overlaps(m))
    }

    /// The rules whose every flow matches `m` too: what a loose modification or deletion means.
    pub fn within<'a>(&'a self, m: &'a Match) -> impl Iterator<Item = &'a Arc<R>> {
        let covering = self.order.iter().filter(|p| p.table.shape.covers(m));
        covering.flat_map(|p| Walk::new(p.table.near(m))).filter(|r| r.matching().is_within(m))
    }
}
