//! Conjunctive match: rules that are clauses of a condition and count only together (ovs-fields(7), "Conjunctive Match
//! Fields").
//!
//! A rule whose actions are `conjunction` is never the result. When a packet matches rules of one priority that have all
//! clauses of an id between them, the table is searched once more, with that id in the packet's `conj_id` and without
//! such rules; what that finds is the result. Otherwise it is as if those rules were not there.

use std::sync::Arc;

use flow::layout::CONJ_ID;
use flow::{Flow, Mask};
use smallvec::SmallVec;

use crate::lookup::Search;
use crate::{Classifier, Rule};

/// A rule's part in a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clause {
    /// The value of `conj_id` that stands for the condition.
    pub id: u32,
    /// How many clauses it has, 2 to 64. The same id with another number is another condition.
    pub of: u8,
    /// Which of them this is, from 0.
    pub clause: u8,
}

/// An id, and what the search with it found.
pub type Tried<'a, R> = (u32, Option<&'a Arc<R>>);

/// What [`Classifier::lookup_conjunctive`] found, and why.
#[derive(Debug)]
pub struct Conjunctive<'a, R> {
    /// The result.
    pub rule: Option<&'a Arc<R>>,
    /// Rules of lower priorities made no difference to the first search; `i32::MIN` if all did.
    pub priority: i32,
    /// The clauses that the packet matches, by falling priority; those above `priority` are all here.
    pub clauses: SmallVec<[&'a Arc<R>; 8]>,
    /// The ids whose clauses were all there, and what the search for each found.
    pub tried: SmallVec<[Tried<'a, R>; 2]>,
    /// So many of `clauses` have been put together.
    settled: usize,
}

/// Is the rule a clause?
pub(crate) fn is_clause<R: Rule>(rule: &R) -> bool {
    rule.clauses().next().is_some()
}

/// The ids of which all clauses are among those of `rules`, smallest first.
fn complete<R: Rule>(rules: &[&Arc<R>]) -> SmallVec<[u32; 4]> {
    let mut all: SmallVec<[Clause; 16]> = rules.iter().flat_map(|r| r.clauses()).collect();
    all.sort_unstable();
    all.dedup();
    let same = |a: &Clause, b: &Clause| (a.id, a.of) == (b.id, b.of);
    let whole = all.chunk_by(same).filter(|c| c.first().is_some_and(|f| c.len() == usize::from(f.of)));
    whole.filter_map(|c| c.first()).map(|c| c.id).collect()
}

impl<R: Rule> Classifier<R> {
    /// True if [`Classifier::lookup_conjunctive`] says something else than [`Classifier::lookup`].
    pub fn is_conjunctive(&self) -> bool {
        self.clauses != 0
    }

    /// As [`Classifier::lookup`], with clauses being what they are. A rule that isn't one wins over a condition of the
    /// same priority.
    pub fn lookup_conjunctive(&self, flow: &Flow, wc: &mut Mask) -> Conjunctive<'_, R> {
        let (clauses, tried) = Default::default();
        let mut found = Conjunctive { rule: None, priority: i32::MIN, clauses, tried, settled: 0 };
        let mut search = Search::new(self, flow, wc);
        for place in self.order.iter() {
            // Everything above this subtable's highest priority is known now.
            let above = place.max.max(found.priority);
            if self.settle(&mut found, above, &mut search) {
                return found;
            }
            if found.rule.is_some() && found.priority >= place.max {
                break;
            }
            let Some(best) = search.subtable(&place.table) else { continue };
            for rule in place.table.peers(best) {
                let priority = rule.priority();
                if found.rule.is_some() && found.priority >= priority {
                    break;
                }
                if !is_clause(&**rule) {
                    (found.rule, found.priority) = (Some(rule), priority);
                    break;
                }
                let at = found.clauses.partition_point(|r| r.priority() >= priority);
                found.clauses.insert(at, rule);
            }
        }
        let above = found.priority;
        self.settle(&mut found, above, &mut search);
        found
    }

    /// Puts clauses of priorities higher than `above` together. True if that gave the result.
    fn settle<'a>(&'a self, found: &mut Conjunctive<'a, R>, above: i32, search: &mut Search<'a, '_, R>) -> bool {
        while let Some(first) = found.clauses.get(found.settled)
            && first.priority() > above
        {
            let priority = first.priority();
            let rest = found.clauses.get(found.settled..).unwrap_or(&[]);
            let group = rest.get(..rest.partition_point(|r| r.priority() >= priority)).unwrap_or(&[]);
            let ids = complete(group);
            found.settled += group.len();
            for id in ids {
                let rule = self.result_of(id, search);
                found.tried.push((id, rule));
                if rule.is_some() {
                    (found.rule, found.priority) = (rule, priority);
                    return true;
                }
            }
        }
        false
    }

    /// The rule that a packet finds which meets the condition `id`.
    fn result_of<'a>(&'a self, id: u32, search: &mut Search<'a, '_, R>) -> Option<&'a Arc<R>> {
        let mut flow = search.flow.clone();
        flow.set(CONJ_ID, id.into());
        let mut search = search.with(&flow);
        let mut best: Option<&Arc<R>> = None;
        for place in self.order.iter() {
            if best.is_some_and(|b| b.priority() >= place.max) {
                break;
            }
            let Some(first) = search.subtable(&place.table) else { continue };
            if let Some(rule) = place.table.peers(first).find(|r| !is_clause(&***r))
                && best.is_none_or(|b| rule.priority() > b.priority())
            {
                best = Some(rule);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::conjunctive;
    use flow::Match;
    use flow::layout::{IN_PORT, NW_DST, NW_SRC, Slot, TP_DST, WORDS};
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Part(Match, i32, Vec<Clause>);

    impl Rule for Part {
        fn matching(&self) -> &Match {
            &self.0
        }
        fn priority(&self) -> i32 {
            self.1
        }
        fn clauses(&self) -> impl Iterator<Item = Clause> {
            self.2.iter().copied()
        }
    }

    const FIELDS: [(Slot, [u128; 3]); 5] = [
        (IN_PORT, [1, 2, 3]),
        (NW_SRC, [0x0a00_0001, 0x0a00_0002, 0x0a01_0000]),
        (NW_DST, [0x0a00_0001, 0x1400_0002, 0x1e00_0003]),
        (TP_DST, [80, 81, 443]),
        (CONJ_ID, [1, 2, 3]),
    ];

    /// Of one field mostly, whole or its upper half.
    fn matching(conditions: bool) -> impl Strategy<Value = Match> {
        let fields: usize = if conditions { 5 } else { 4 };
        let field = (0..fields, 0..3usize, prop::sample::select(vec![false, false, true]));
        prop::collection::vec(field, if conditions { 0..3 } else { 1..3 }).prop_map(|all| {
            all.into_iter().fold(Match::default(), |m, (f, v, half)| {
                let (slot, values) = FIELDS[f];
                let width = u32::from(slot.width);
                let mask = u128::MAX >> (128 - width) & if half { u128::MAX << (width / 2) } else { u128::MAX };
                m.with(slot, values[v] & mask, mask)
            })
        })
    }

    fn clause() -> impl Strategy<Value = Clause> {
        (1..4u32, 2..4u8, 0..3u8).prop_map(|(id, of, clause)| Clause { id, of, clause: clause % of })
    }

    fn part() -> impl Strategy<Value = Part> {
        let clauses = prop::collection::vec(clause(), 1..5);
        let plain = (matching(true), 0..4i32).prop_map(|(m, p)| Part(m, p, Vec::new()));
        prop_oneof![1 => plain, 2 => (matching(false), 1..4i32, clauses).prop_map(|(m, p, c)| Part(m, p, c))]
    }

    fn flow() -> impl Strategy<Value = Flow> {
        [0..3usize, 0..3, 0..3, 0..3].prop_map(|values| {
            let mut flow = Flow::default();
            FIELDS.iter().zip(values).for_each(|((slot, all), v)| flow.set(*slot, all[v]));
            flow
        })
    }

    type Noise = Vec<(usize, u32)>;

    fn noise() -> impl Strategy<Value = Noise> {
        prop::collection::vec((0..4usize, 0..32u32), 1..6)
    }

    fn check(c: &Classifier<Part>, rules: &[Arc<Part>], flow: &Flow, noise: &Noise) {
        let mut wc = Mask::default();
        let found = c.lookup_conjunctive(flow, &mut wc);
        let want = conjunctive(rules, flow);
        let got = |rule: Option<&Arc<Part>>| rule.map(|r| (r.0.clone(), r.1));
        assert_eq!(found.rule.is_none(), want.is_empty(), "{found:?} {want:?}");
        assert!(found.rule.is_none_or(|r| want.iter().any(|w| Arc::ptr_eq(r, w))), "{found:?} {want:?}");
        if !c.is_conjunctive() {
            assert_eq!(got(c.lookup_fast(flow)), got(found.rule));
        }
        assert!(found.clauses.is_sorted_by_key(|r| -r.1) && found.clauses.iter().all(|r| r.0.matches(flow)));
        let above = rules.iter().filter(|r| is_clause(&***r) && r.1 > found.priority && r.0.matches(flow)).count();
        assert_eq!(found.clauses.iter().filter(|r| r.1 > found.priority).count(), above);
        // Any flow that agrees on the mask finds the same.
        let mut other = flow.clone();
        for (f, bit) in noise {
            let mut flip = Flow::default();
            flip.set(FIELDS[*f].0, (1 << bit) & (u128::MAX >> (128 - FIELDS[*f].0.width)));
            (0..WORDS).for_each(|i| other.w[i] ^= flip.w[i] & !wc.w[i]);
        }
        let again = c.lookup_conjunctive(&other, &mut Mask::default());
        assert_eq!(got(again.rule), got(found.rule), "{flow:?} {other:?} {wc:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
        #[test]
        fn finds_what_the_twin_finds(
            parts in prop::collection::vec(part(), 1..40), flows in prop::collection::vec((flow(), noise()), 12),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let (mut c, mut rules) = (Classifier::default(), Vec::<Arc<Part>>::new());
            for part in parts.into_iter().map(Arc::new) {
                let old = c.insert(Arc::clone(&part));
                rules.retain(|r| old.as_ref().is_none_or(|o| !Arc::ptr_eq(r, o)));
                rules.push(part);
            }
            flows.iter().for_each(|(flow, noise)| check(&c, &rules, flow, noise));
            for index in gone {
                if !rules.is_empty() {
                    let rule = rules.swap_remove(index.index(rules.len()));
                    prop_assert!(c.remove(&rule.0, rule.1).is_some());
                }
            }
            prop_assert_eq!(c.is_conjunctive(), rules.iter().any(|r| is_clause(&**r)));
            flows.iter().for_each(|(flow, noise)| check(&c, &rules, flow, noise));
        }
    }
}
