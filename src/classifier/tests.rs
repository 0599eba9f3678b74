//! Tests against the slow twin, and of what is shared and dropped.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow::layout::{self, Slot};
use flow::{Flow, Mask, Match};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::oracle::Oracle;
use crate::order::Place;
use crate::radix::Radix;
use crate::shape::{Shape, Term};
use crate::subtable::{Entry, Subtable};
use crate::{Classifier, Known, Rule, Stats};

/// A rule that counts how many of it there are.
#[derive(Debug)]
struct Counted {
    matching: Match,
    priority: i32,
    id: usize,
    alive: Arc<AtomicUsize>,
}

impl Rule for Counted {
    fn matching(&self) -> &Match {
        &self.matching
    }
    fn priority(&self) -> i32 {
        self.priority
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

fn rule(alive: &Arc<AtomicUsize>, matching: Match, priority: i32, id: usize) -> Arc<Counted> {
    alive.fetch_add(1, Ordering::Relaxed);
    Arc::new(Counted { matching, priority, id, alive: Arc::clone(alive) })
}

/// Fields of every stage, with values few enough that rules overlap and keys miss by a bit.
const FIELDS: [(Slot, u128, u128); 14] = [
    (layout::IN_PORT, 1, 3),
    (layout::METADATA, 0, 1),
    (layout::ETH_TYPE, 0x800, 0x86dd),
    (layout::ETH_DST, 0x0200_0000_0001, 0x0200_0000_0003),
    (layout::VLAN_TCI, 0x1001, 0x1002),
    (layout::NW_SRC, 0x0a00_0001, 0x0a01_0002),
    (layout::NW_DST, 0x0a00_0001, 0xc0a8_0001),
    (layout::NW_PROTO, 6, 17),
    (layout::TP_SRC, 0x1234, 0x1235),
    (layout::TP_DST, 80, 443),
    (layout::TCP_FLAGS, 2, 16),
    (layout::IPV6_SRC, 0x2001_0db8 << 96 | 1, 0x2001_0db8 << 96 | 1 << 64),
    (layout::IPV6_DST, 0xfe80 << 112 | 1, 0xfe80 << 112 | 2),
    (layout::IGMP_GROUP, 1, 2),
];

/// One of a field's two values, sometimes with a bit flipped.
fn value(f: usize) -> impl Strategy<Value = u128> {
    let (slot, a, b) = FIELDS[f];
    (any::<bool>(), 0..slot.width, 0..8u8)
        .prop_map(move |(first, bit, flip)| (if first { a } else { b }) ^ u128::from(flip == 0) << bit)
}

/// Exact, a prefix, or odd bits.
fn mask(f: usize) -> impl Strategy<Value = u128> {
    let width = u32::from(FIELDS[f].0.width);
    let all = u128::MAX >> (128 - width);
    prop_oneof![
        3 => Just(all),
        3 => (1..=width).prop_map(move |n| all << (width - n) & all),
        1 => (0..width).prop_map(move |n| all ^ 1 << n),
        1 => (0..width).prop_map(move |n| 1 << n),
    ]
}

fn matching() -> impl Strategy<Value = Match> {
    let field = (0..FIELDS.len()).prop_flat_map(|f| (Just(f), value(f), mask(f)));
    prop::collection::vec(field, 0..4)
        .prop_map(|all| all.into_iter().fold(Match::default(), |m, (f, v, k)| m.with(FIELDS[f].0, v, k)))
}

/// Matches of two address prefixes and two ports, as an access list has them: few subtables, many rules in each.
fn acl() -> impl Strategy<Value = Match> {
    let len = || prop::sample::select(vec![0u32, 8, 16, 24, 32]);
    let port = || prop::sample::select(vec![0u128, 0, 0xffff, 0xfff0]);
    (value(5), len(), value(6), len(), value(8), port(), value(9), port()).prop_map(|(s, sl, d, dl, sp, sm, dp, dm)| {
        let prefix = |l: u32| (u64::from(u32::MAX) << (32 - l)) as u32 as u128;
        Match::default()
            .with(layout::ETH_TYPE, 0x800, 0xffff)
            .with(layout::NW_SRC, s, prefix(sl))
            .with(layout::NW_DST, d, prefix(dl))
            .with(layout::TP_SRC, sp, sm)
            .with(layout::TP_DST, dp, dm)
    })
}

fn any_match() -> impl Strategy<Value = Match> {
    prop_oneof![matching(), acl()]
}

fn flow() -> impl Strategy<Value = Flow> {
    (0..FIELDS.len()).map(value).collect::<Vec<_>>().prop_map(|values| {
        let mut flow = Flow::default();
        values.into_iter().zip(FIELDS).for_each(|(v, (slot, ..))| flow.set(slot, v));
        flow
    })
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Match, i32),
    /// The match of an earlier rule again, with another priority.
    Again(Index, i32),
    Remove(Index),
    RemoveAbsent(Match, i32),
    RemoveWithin(Match),
    Publish,
}

fn ops(len: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (any_match(), 0..4i32).prop_map(|(m, p)| Op::Insert(m, p)),
        2 => (any::<Index>(), -1..5i32).prop_map(|(i, p)| Op::Again(i, p)),
        3 => any::<Index>().prop_map(Op::Remove),
        1 => (any_match(), 0..4i32).prop_map(|(m, p)| Op::RemoveAbsent(m, p)),
        1 => any_match().prop_map(Op::RemoveWithin),
        1 => Just(Op::Publish),
    ];
    prop::collection::vec(op, 1..len)
}

type Pair = (Classifier<Counted>, Oracle<Counted>);

fn ids<'a>(rules: impl Iterator<Item = &'a Arc<Counted>>) -> Vec<usize> {
    let mut all: Vec<usize> = rules.map(|r| r.id).collect();
    all.sort_unstable();
    all
}

/// Everything that can be asked of a classifier is what the list says.
fn compare((c, o): &Pair, flows: &[Flow], matches: &[Match]) {
    assert_eq!(c.len(), o.rules.len());
    assert_eq!(c.is_empty(), o.rules.is_empty());
    assert_eq!(ids(c.iter()), ids(o.rules.iter()));
    let masks: HashSet<Mask> = o.rules.iter().map(|r| r.matching.mask()).collect();
    assert_eq!(c.subtables(), masks.len());
    assert!(c.masks().zip(c.masks().skip(1)).all(|(a, b)| a.2 >= b.2));
    for (mask, rules, max) in c.masks() {
        let same: Vec<_> = o.rules.iter().filter(|r| r.matching.mask() == mask).collect();
        assert_eq!((rules, Some(max)), (same.len(), same.iter().map(|r| r.priority).max()));
    }
    for r in &o.rules {
        assert_eq!(c.find_exact(&r.matching, r.priority).map(|r| r.id), Some(r.id));
    }
    for m in matches {
        assert_eq!(ids(c.overlapping(m)), ids(o.rules.iter().filter(|r| r.matching.overlaps(m))));
        assert_eq!(ids(c.within(m)), ids(o.rules.iter().filter(|r| r.matching.is_within(m))));
        assert_eq!(c.find_exact(m, 1).map(|r| r.id), o.find_exact(m, 1).map(|r| r.id));
    }
    for flow in flows {
        look(c, o, flow);
    }
}

/// One lookup: the result is right, and so is the mask.
fn look(c: &Classifier<Counted>, o: &Oracle<Counted>, flow: &Flow) -> Mask {
    let mut wc = Mask::default();
    let got = c.lookup(flow, &mut wc).map(|r| r.id);
    let best: Vec<usize> = o.best(flow).iter().map(|r| r.id).collect();
    assert_eq!(got.is_none(), best.is_empty());
    assert!(got.is_none_or(|id| best.contains(&id)));
    assert_eq!(c.lookup_fast(flow).map(|r| r.id), got);
    // A mask that is exact already gets no narrower and changes nothing.
    let mut full = Mask { w: [u64::MAX; layout::WORDS] };
    assert_eq!(c.lookup(flow, &mut full).map(|r| r.id), got);
    assert!(full.w.iter().all(|w| *w == u64::MAX));
    wc
}

/// Bits of the fields above.
fn all_bits() -> Vec<(usize, u64)> {
    let mut all = Vec::new();
    for (slot, ..) in FIELDS {
        for n in 0..usize::from(slot.width) {
            let (word, bit) = (usize::from(slot.word) + n / 64, n % 64 + usize::from(slot.shift));
            all.push((word, 1 << bit));
        }
    }
    all
}

fn run(ops: Vec<Op>, flows: &[Flow], matches: &[Match]) {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut now: Pair = (Classifier::default(), Oracle { rules: Vec::new() });
    let mut published: Vec<Pair> = Vec::new();
    for (id, op) in ops.into_iter().enumerate() {
        let (c, o) = &mut now;
        match op {
            Op::Insert(m, p) => {
                let r = rule(&alive, m, p, id);
                assert_eq!(c.insert(Arc::clone(&r)).map(|r| r.id), o.insert(r).map(|r| r.id));
            }
            Op::Again(at, p) if !o.rules.is_empty() => {
                let m = at.get(&o.rules).matching.clone();
                let r = rule(&alive, m, p, id);
                assert_eq!(c.insert(Arc::clone(&r)).map(|r| r.id), o.insert(r).map(|r| r.id));
            }
            Op::Remove(at) if !o.rules.is_empty() => {
                let r = Arc::clone(at.get(&o.rules));
                assert_eq!(c.remove(&r.matching, r.priority).map(|r| r.id), Some(r.id));
                o.remove(&r.matching, r.priority);
            }
            Op::RemoveAbsent(m, p) => {
                assert_eq!(c.remove(&m, p).map(|r| r.id), o.remove(&m, p).map(|r| r.id));
            }
            Op::RemoveWithin(m) => {
                let all: Vec<_> = c.within(&m).cloned().collect();
                for r in all {
                    assert!(c.remove(&r.matching, r.priority).is_some());
                    assert!(o.remove(&r.matching, r.priority).is_some());
                }
            }
            Op::Publish => published.push(now.clone()),
            Op::Again(..) | Op::Remove(_) => {}
        }
    }
    compare(&now, flows, matches);
    // What was published is as it was.
    published.iter().for_each(|p| compare(p, flows, matches));
    drop(published);
    // Rules that are gone from the last version are gone from memory.
    assert_eq!(alive.load(Ordering::Relaxed), now.1.rules.len());
    for r in std::mem::take(&mut now.1.rules) {
        assert!(now.0.remove(&r.matching, r.priority).is_some());
    }
    assert_eq!(now.0.subtables(), 0);
    assert_eq!((now.0.stats().nodes, now.0.len()), (0, 0));
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_a_list(
        ops in ops(25),
        flows in prop::collection::vec(flow(), 1..5),
        matches in prop::collection::vec(any_match(), 1..3),
    ) {
        run(ops, &flows, &matches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_a_long_list(
        ops in ops(600),
        flows in prop::collection::vec(flow(), 40),
        matches in prop::collection::vec(any_match(), 5),
    ) {
        run(ops, &flows, &matches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
    /// The mask is a witness: flows that agree in its bits get the same rule.
    #[test]
    fn ignored_bits_do_not_matter(
        rules in prop::collection::vec((any_match(), 0..4i32), 1..40),
        flow in flow(),
        others in prop::collection::vec(flow(), 10),
        flips in prop::collection::vec(any::<Index>(), 20),
    ) {
        let alive = Arc::default();
        let (mut c, mut o) = (Classifier::default(), Oracle { rules: Vec::new() });
        for (id, (m, p)) in rules.into_iter().enumerate() {
            let r = rule(&alive, m, p, id);
            c.insert(Arc::clone(&r));
            o.insert(r);
        }
        let wc = look(&c, &o, &flow);
        let want = c.lookup_fast(&flow).map(|r| r.id);
        let free: Vec<_> = all_bits().into_iter().filter(|(i, bit)| wc.w[*i] & bit == 0).collect();
        for (i, bit) in &free {
            let mut other = flow.clone();
            other.w[*i] ^= bit;
            prop_assert_eq!(c.lookup_fast(&other).map(|r| r.id), want);
        }
        let mut other = flow.clone();
        for at in flips {
            if !free.is_empty() {
                let (i, bit) = at.get(&free);
                other.w[*i] ^= bit;
                prop_assert_eq!(c.lookup_fast(&other).map(|r| r.id), want);
            }
        }
        for o in others {
            let mut other = flow.clone();
            other.w.iter_mut().zip(&o.w).zip(&wc.w).for_each(|((a, b), m)| *a = *a & m | b & !m);
            prop_assert_eq!(c.lookup_fast(&other).map(|r| r.id), want);
        }
    }
}

fn plain(matching: Match, priority: i32) -> Arc<Counted> {
    rule(&Arc::new(AtomicUsize::new(0)), matching, priority, 0)
}

/// Two values of METADATA that a subtable of that field takes for each other until it compares.
fn twins(c: &Classifier<Counted>, slot: Slot) -> (u128, u128) {
    let shape = Shape::new(c.seed, &Match::default().with(slot, 0, u128::from(u64::MAX)));
    let mut seen = HashMap::new();
    for value in 0..1_000_000u128 {
        let hash = shape.hash_match(&Match::default().with(slot, value, u128::from(u64::MAX)))[0];
        if let Some(other) = seen.insert(hash, value) {
            return (other, value);
        }
    }
    panic!("a million values and no two of one hash");
}

#[test]
fn equal_hashes_are_told_apart() {
    let mut c = Classifier::default();
    let (a, b) = twins(&c, layout::METADATA);
    let of = |v: u128| Match::default().with(layout::METADATA, v, u128::from(u64::MAX));
    let with_port = |v: u128| of(v).with(layout::TP_DST, 80, 0xffff);
    let flow = |v: u128, port: u128| {
        let mut flow = Flow::default();
        flow.set(layout::METADATA, v);
        flow.set(layout::TP_DST, port);
        flow
    };
    let both = |c: &Classifier<Counted>, flow: &Flow| {
        let (mut wc, fast) = (Mask::default(), c.lookup_fast(flow).map(|r| (r.priority, r.matching.clone())));
        assert_eq!(c.lookup(flow, &mut wc).map(|r| (r.priority, r.matching.clone())), fast);
        fast
    };
    // Of one level, alone and together, in either order.
    c.insert(plain(of(a), 1));
    assert_eq!(both(&c, &flow(b, 0)), None);
    assert!(c.find_exact(&of(b), 1).is_none() && c.remove(&of(b), 1).is_none());
    assert!(c.overlapping(&of(b)).next().is_none() && c.within(&of(b)).next().is_none());
    for p in [2, 1, 3] {
        assert!(c.insert(plain(of(b), p)).is_none());
        let best = c.masks().next().map(|m| m.2);
        assert_eq!(both(&c, &flow(a, 0)), Some((1, of(a))));
        assert_eq!(both(&c, &flow(b, 0)), best.map(|p| (p, of(b))));
        assert!(c.find_exact(&of(a), p).is_none_or(|r| r.matching == of(a)));
        assert_eq!(c.find_exact(&of(b), p).map(|r| r.priority), Some(p));
    }
    assert_eq!((c.len(), c.subtables()), (4, 1));
    assert!(c.remove(&of(a), 1).is_some() && c.remove(&of(a), 1).is_none());
    assert_eq!(both(&c, &flow(a, 0)), None);
    assert_eq!(c.insert(plain(of(b), 1)).map(|r| r.matching.clone()), Some(of(b)));
    assert_eq!(c.len(), 3);
    // Of two levels: the first does not tell them apart, the second has the same value.
    let mut c = Classifier::default();
    c.insert(plain(with_port(a), 1));
    for port in [80, 81] {
        assert_eq!(both(&c, &flow(b, port)), None);
    }
    c.insert(plain(with_port(b), 1));
    assert_eq!(both(&c, &flow(a, 80)), Some((1, with_port(a))));
    assert_eq!(both(&c, &flow(b, 80)), Some((1, with_port(b))));
    assert_eq!(both(&c, &flow(b, 81)), None);
    assert!(c.remove(&with_port(a), 1).is_some());
    assert_eq!((both(&c, &flow(a, 80)), c.len()), (None, 1));
}

#[test]
fn of_equals_the_first_in_order_is_found() {
    // Both subtables have a better rule, which the flow does not match, so both are searched.
    let mut c = Classifier::default();
    let (port, meta) = (
        |v| Match::default().with(layout::IN_PORT, v, 0xffff_ffff),
        |v| Match::default().with(layout::METADATA, v, u128::from(u64::MAX)),
    );
    for (m, p) in [(port(9), 5), (port(0), 3), (meta(9), 4), (meta(0), 3)] {
        c.insert(plain(m, p));
    }
    assert_eq!(c.lookup_fast(&Flow::default()).map(|r| r.matching.clone()), Some(port(0)));
    // Once the other one comes first, its rule does.
    c.insert(plain(meta(8), 6));
    assert_eq!(c.lookup_fast(&Flow::default()).map(|r| r.matching.clone()), Some(meta(0)));
}

#[test]
fn a_witness_has_the_stages_up_to_the_miss() {
    // After an address was missed, tries are asked before the address stage only: what an earlier stage rules out
    // is ruled out by that stage.
    let ip = |m: Match| m.with(layout::ETH_TYPE, 0x800, 0xffff).with(layout::NW_DST, 0x0a00_0001, 0xffff_ffff);
    let mac = (1u128 << 48) - 1;
    let mut flow = Flow::default();
    flow.set(layout::ETH_TYPE, 0x800);
    flow.set(layout::NW_DST, 0xc0a8_0001);
    flow.set(layout::ETH_DST, 2);
    let mut c = Classifier::default();
    c.insert(plain(ip(Match::default()), 9));
    let mut wc = Mask::default();
    assert!(c.lookup(&flow, &mut wc).is_none());
    assert_eq!((wc.get(layout::NW_DST), wc.get(layout::ETH_DST)), (0x8000_0000, 0));
    c.insert(plain(ip(Match::default()).with(layout::ETH_DST, 1, mac), 8));
    let mut wc = Mask::default();
    assert!(c.lookup(&flow, &mut wc).is_none());
    assert_eq!((wc.get(layout::NW_DST), wc.get(layout::ETH_DST)), (0x8000_0000, mac));
    // Where the earlier stage agrees, the address is what rules out, and a stage behind it is not looked at.
    flow.set(layout::ETH_DST, 1);
    c.insert(plain(ip(Match::default()).with(layout::TP_DST, 80, 0xffff), 7));
    let mut wc = Mask::default();
    assert!(c.lookup(&flow, &mut wc).is_none());
    assert_eq!((wc.get(layout::NW_DST), wc.get(layout::TP_DST)), (0x8000_0000, 0));
}

#[test]
fn of_two_reasons_the_one_that_is_exact_already() {
    let ip = Match::default().with(layout::ETH_TYPE, 0x800, 0xffff);
    let all = 0xffff_ffff;
    let mut flow = Flow::default();
    flow.set(layout::ETH_TYPE, 0x800);
    flow.set(layout::NW_SRC, 0xc0a8_0001);
    flow.set(layout::NW_DST, 0xc0a8_0001);
    let both = ip.clone().with(layout::NW_SRC, 0x0a00_0001, all).with(layout::NW_DST, 0x0a00_0001, all);
    for (first, other) in [(layout::NW_SRC, layout::NW_DST), (layout::NW_DST, layout::NW_SRC)] {
        let mut c = Classifier::default();
        c.insert(plain(ip.clone().with(first, 0x0a00_0001, all), 9));
        c.insert(plain(both.clone(), 8));
        let mut wc = Mask::default();
        assert!(c.lookup(&flow, &mut wc).is_none());
        assert_eq!((wc.get(first), wc.get(other)), (0x8000_0000, 0));
    }
    flow.set(layout::TP_SRC, 0xf000);
    flow.set(layout::TP_DST, 0xf000);
    let both = Match::default().with(layout::TP_SRC, 80, 0xffff).with(layout::TP_DST, 80, 0xffff);
    for (first, other) in [(layout::TP_SRC, layout::TP_DST), (layout::TP_DST, layout::TP_SRC)] {
        let mut c = Classifier::default();
        c.insert(plain(Match::default().with(first, 80, 0xffff), 9));
        c.insert(plain(both.clone(), 8));
        let mut wc = Mask::default();
        assert!(c.lookup(&flow, &mut wc).is_none());
        assert_eq!((wc.get(first), wc.get(other)), (0x8000, 0));
    }
}

/// Bytes of one piece of memory behind an `Arc`.
fn piece<T>() -> usize {
    16 + size_of::<T>()
}

/// Of a leaf with room for `n`.
fn leaf<T>(n: usize) -> usize {
    piece::<Vec<T>>() + n * size_of::<T>()
}

#[test]
fn everything_is_weighed() {
    // as `trie::Prefix` has them
    let prefixes = |n: usize, bits: usize| piece::<Vec<u8>>() + n * if bits == 32 { 12 } else { 32 };
    let table = |terms: usize| piece::<Subtable<Counted>>() + size_of::<Shape>() + terms * size_of::<Term>();
    let empty = size_of::<Classifier<Counted>>();
    let fixed = leaf::<Place<Counted>>(1) + 8 + leaf::<Known>(1);
    let stats = |c: &Classifier<Counted>, rules: usize, nodes: usize, bytes: usize| {
        assert_eq!(c.stats(), Stats { rules, subtables: c.subtables(), nodes, bytes });
    };
    let mut c = Classifier::default();
    stats(&c, 0, 0, empty);
    // the chunk of the order, the masks, the subtable, its ports, priorities and rules
    let port = |p: u128| Match::default().with(layout::TP_DST, p, 0xffff);
    c.insert(plain(port(80), 1));
    let one = empty + fixed + table(1) + prefixes(1, 32);
    stats(&c, 1, 6, one + prefixes(1, 32) + leaf::<Entry<Counted>>(1));
    // one of another priority: a list of two
    c.insert(plain(port(80), 2));
    stats(&c, 2, 7, one + prefixes(5, 32) + leaf::<Entry<Counted>>(1) + leaf::<Arc<Counted>>(2));
    // the same value again is no prefix more; it is replaced
    assert!(c.insert(plain(port(80), 2)).is_some());
    stats(&c, 2, 7, one + prefixes(5, 32) + leaf::<Entry<Counted>>(1) + leaf::<Arc<Counted>>(2));
    c.insert(plain(port(81), 2));
    let two = empty + fixed + table(1) + prefixes(5, 32);
    stats(&c, 3, 7, two + prefixes(5, 32) + leaf::<Entry<Counted>>(5) + leaf::<Arc<Counted>>(2));

    // Two levels, and what they share: a map in the map.
    let deep = |p: u128| port(p).with(layout::METADATA, 1, 1);
    let mut c = Classifier::default();
    c.insert(plain(deep(80), 1));
    c.insert(plain(deep(81), 1));
    let maps = leaf::<Entry<Counted>>(1) + piece::<Radix<Entry<Counted>>>() + leaf::<Entry<Counted>>(5);
    stats(&c, 2, 8, empty + fixed + table(2) + prefixes(5, 32) + prefixes(1, 32) + maps);
    c.remove(&deep(81), 1);
    assert_eq!(c.stats().nodes, 6);

    // Addresses, one trie each.
    for (slot, bits) in [(layout::NW_SRC, 32), (layout::NW_DST, 32), (layout::IPV6_SRC, 128), (layout::IPV6_DST, 128)] {
        let mut c = Classifier::default();
        let m = Match::default().with(slot, 1, u128::MAX >> (128 - bits));
        c.insert(plain(m.clone(), 1));
        let rest = prefixes(1, bits) + prefixes(1, 32) + leaf::<Entry<Counted>>(1);
        stats(&c, 1, 6, empty + fixed + table(bits.div_ceil(64)) + rest);
        c.remove(&m, 1);
        stats(&c, 0, 0, empty);
    }
}

#[test]
fn prefixes_of_rules_that_are_gone_are_gone() {
    let port = |slot: Slot, p: u128| Match::default().with(slot, p, 0xffff);
    for slot in [layout::TP_SRC, layout::TP_DST] {
        let mut c = Classifier::default();
        let mut flow = Flow::default();
        flow.set(slot, 442);
        let witness = |c: &Classifier<Counted>| {
            let mut wc = Mask::default();
            assert!(c.lookup(&flow, &mut wc).is_none());
            wc.get(slot)
        };
        c.insert(plain(port(slot, 80), 1));
        assert_eq!(witness(&c), 0xff00);
        c.insert(plain(port(slot, 443), 1));
        assert_eq!(witness(&c), 0xffff);
        assert!(c.remove(&port(slot, 443), 1).is_some());
        assert_eq!(witness(&c), 0xff00);
    }
}
