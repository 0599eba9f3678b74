//! Which flow goes when a table is full (ovs-vswitchd.conf.db(5), Flow_Table, "Eviction Policy"): of the flows with a timeout
//! in the largest group, that of the least importance which expires soonest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dpif::RuleId;
use openflow::Subfield;
use rustc_hash::FxHashMap;

use crate::snapshot::table::Rule;

/// Times of expiry that are brought up to date for one choice: packets put them off without telling.
const CORRECTIONS: usize = 4096;

/// What flows of a group have in common.
type Key = Box<[u128]>;
/// Flows of a group go in this order: importance, when they expire as far as is known, number.
type Place = (u16, u64, RuleId);
/// Groups in the order in which flows of theirs go: the largest first, then by the first flow of each.
type Rank = (std::cmp::Reverse<usize>, Place, Key);

/// Flows of one table that may have to go.
#[derive(Debug)]
pub(super) struct Evictor {
    fields: Arc<[Subfield]>,
    groups: BTreeMap<Key, BTreeSet<Place>>,
    ranks: BTreeSet<Rank>,
    flows: FxHashMap<RuleId, (Arc<Rule>, Place)>,
}

fn rank(key: &Key, flows: &BTreeSet<Place>) -> Option<Rank> {
    flows.first().map(|first| (std::cmp::Reverse(flows.len()), *first, key.clone()))
}

/// When a rule expires, if no packet comes any more; None for never.
pub(super) fn expires(rule: &Rule) -> Option<u64> {
    let after = |from: u64, seconds: u16| (seconds != 0).then(|| from + u64::from(seconds) * 1_000_000_000);
    let used = rule.stats.get().2.max(rule.modified.as_nanos());
    let hard = after(rule.renewed().as_nanos(), rule.hard_timeout);
    hard.into_iter().chain(after(used, rule.idle_timeout)).min()
}

impl Evictor {
    /// Of these rules, grouped by these fields.
    pub(super) fn new<'a>(fields: Arc<[Subfield]>, rules: impl Iterator<Item = &'a Arc<Rule>>) -> Evictor {
        let mut evictor =
            Evictor { fields, groups: BTreeMap::new(), ranks: BTreeSet::new(), flows: FxHashMap::default() };
        rules.for_each(|rule| evictor.insert(rule));
        evictor
    }

    fn key(&self, rule: &Rule) -> Key {
        // what a match leaves open is 0
        let (flow, _) = rule.matching.expand();
        self.fields.iter().map(|field| field.get(&flow)).collect()
    }

    /// Changes a group, so that its rank is right afterwards.
    fn change(&mut self, key: &Key, change: impl FnOnce(&mut BTreeSet<Place>)) {
        let flows = self.groups.entry(key.clone()).or_default();
        if let Some(rank) = rank(key, flows) {
            self.ranks.remove(&rank);
        }
        change(flows);
        match rank(key, flows) {
            Some(rank) => drop(self.ranks.insert(rank)),
            None => drop(self.groups.remove(key)),
        }
    }

    /// Takes a rule in, in the place of one with the same number. One without timeouts never goes.
    pub(super) fn insert(&mut self, rule: &Arc<Rule>) {
        self.remove(rule.id);
        if rule.is_hidden() {
            return;
        }
        if let Some(at) = expires(rule) {
            let place = (rule.importance, at, rule.id);
            let key = self.key(rule);
            self.change(&key, |flows| {
                flows.insert(place);
            });
            self.flows.insert(rule.id, (rule.clone(), place));
        }
    }

    /// A rule is gone.
    pub(super) fn remove(&mut self, id: RuleId) {
        if let Some((rule, place)) = self.flows.remove(&id) {
            let key = self.key(&rule);
            self.change(&key, |flows| {
                flows.remove(&place);
            });
        }
    }

    /// The rule that goes next.
    pub(super) fn choose(&mut self) -> Option<Arc<Rule>> {
        let mut corrections = 0;
        loop {
            let (_, place, key) = self.ranks.first()?;
            let (place, key) = (*place, key.clone());
            let (rule, _) = self.flows.get(&place.2)?;
            let rule = rule.clone();
            let at = expires(&rule).unwrap_or(u64::MAX);
            corrections += 1;
            if at <= place.1 || corrections > CORRECTIONS {
                return Some(rule);
            }
            let later = (place.0, at, place.2);
            self.change(&key, |flows| {
                flows.remove(&place);
                flows.insert(later);
            });
            self.flows.insert(rule.id, (rule, later));
        }
    }
}
