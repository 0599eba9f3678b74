//! The slow twin: rules in a list.

use std::sync::Arc;

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
