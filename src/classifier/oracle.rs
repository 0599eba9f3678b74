//! The slow twin: rules in a list.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow::layout::CONJ_ID;
use flow::{Flow, Match};

use crate::Rule;

/// What a classifier does, one rule after the other.
pub(crate) struct Oracle<R> {
    pub(crate) rules: Vec<Arc<R>>,
}

impl<R> Clone for Oracle<R> {
    fn clone(&self) -> Self {
        Oracle { rules: self.rules.clone() }
    }
}

impl<R: Rule> Oracle<R> {
    fn position(&self, m: &Match, priority: i32) -> Option<usize> {
        self.rules.iter().position(|r| r.matching() == m && r.priority() == priority)
    }

    pub(crate) fn insert(&mut self, rule: Arc<R>) -> Option<Arc<R>> {
        let old = self.remove(rule.matching(), rule.priority());
        self.rules.push(rule);
        old
    }

    pub(crate) fn remove(&mut self, m: &Match, priority: i32) -> Option<Arc<R>> {
        Some(self.rules.swap_remove(self.position(m, priority)?))
    }

    pub(crate) fn find_exact(&self, m: &Match, priority: i32) -> Option<&Arc<R>> {
        self.rules.get(self.position(m, priority)?)
    }

    /// All rules of the highest priority that `flow` matches.
    pub(crate) fn best(&self, flow: &Flow) -> Vec<&Arc<R>> {
        let matching: Vec<_> = self.rules.iter().filter(|r| r.matching().matches(flow)).collect();
        let max = matching.iter().map(|r| r.priority()).max();
        matching.into_iter().filter(|r| Some(r.priority()) == max).collect()
    }
}

/// Conjunctive match as ovs-fields(7) tells it, priority by priority.
pub(crate) fn conjunctive<'a, R: Rule>(rules: &'a [Arc<R>], flow: &Flow) -> Vec<&'a Arc<R>> {
    let hard = |r: &&Arc<R>| r.clauses().next().is_none();
    let highest = |found: Vec<&'a Arc<R>>| {
        let max = found.iter().map(|r| r.priority()).max();
        found.into_iter().filter(|r| Some(r.priority()) == max).collect::<Vec<_>>()
    };
    let matching: Vec<_> = rules.iter().filter(|r| r.matching().matches(flow)).collect();
    for priority in matching.iter().map(|r| r.priority()).collect::<BTreeSet<_>>().into_iter().rev() {
        let here = || matching.iter().copied().filter(|r| r.priority() == priority);
        if here().any(|r| hard(&r)) {
            return here().filter(hard).collect();
        }
        let parts: BTreeSet<_> = here().flat_map(|r| r.clauses()).map(|c| (c.id, c.of, c.clause)).collect();
        for id in parts.iter().map(|c| (c.0, c.1)).collect::<BTreeSet<_>>() {
            if (0..id.1).any(|n| !parts.contains(&(id.0, id.1, n))) {
                continue;
            }
            let mut marked = flow.clone();
            marked.set(CONJ_ID, id.0.into());
            let found = highest(rules.iter().filter(hard).filter(|r| r.matching().matches(&marked)).collect());
            if !found.is_empty() {
                return found;
            }
        }
    }
    Vec::new()
}
