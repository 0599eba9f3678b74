//! Tests of the caches' parts against naive twins: slab, hashes, signatures, subtables, dependencies.

use std::collections::{BTreeSet, HashSet};

use dpif::{Deps, PortNo, RuleId, TableDep, TableKey, Thing};
use flow::layout::{ETH_DST, IPV6_DST, KEY_TIERS, KEY_WORDS, NW_DST, NW_SRC, TIER_WORDS, TP_DST};
use flow::{Flow, Key, Mask, Match, Slot};
use proptest::prelude::*;

use super::NONE;
use super::hash::{self, Base};
use super::index::{DepIndex, rewrites};
use super::signature::SignatureCache;
use super::slab::{self, Cold, Hot, ID_BITS, OUTPUT, Rate, Slab, is_plain};
use super::tuple::Subtable;

pub(super) fn hot() -> Hot {
    Hot {
        line: [0; TIER_WORDS],
        packets: 0,
        bytes: 0,
        used: 0,
        stamp: 0,
        action: OUTPUT,
        burst: 0,
        generation: 0,
        higher: false,
        plain: false,
        live: false,
        referenced: false,
    }
}

/// Puts a megaflow that has this hash into the slab.
pub(super) fn put(slab: &mut Slab, hash: u64) -> u32 {
    slab.insert(hot(), Box::new(Cold { hash, ..Cold::default() }))
}

pub(super) fn mask_of(slots: &[Slot]) -> Mask {
    let mut mask = Mask::default();
    slots.iter().for_each(|slot| mask.exact(*slot));
    mask
}

pub(super) fn flow_of(fields: &[(Slot, u128)]) -> Flow {
    let mut flow = Flow::default();
    fields.iter().for_each(|(slot, value)| flow.set(*slot, *value));
    flow
}

// ---- slab

#[test]
fn places_are_used_again_and_generations_tell() {
    let mut slab = Slab::new(0).unwrap();
    let all: Vec<u32> = (0..1024).map(|i| put(&mut slab, i)).collect();
    assert_eq!(all, (0..1024).collect::<Vec<_>>());
    assert!(slab.is_full() && slab.len() == 1024 && slab.places() == 1024);
    assert!(slab.get(1023).is_some_and(|h| h.live && h.generation == 1) && slab.get(1024).is_none());
    let (was, cold) = slab.remove(7).unwrap();
    assert!(was.live && cold.hash == 7);
    let gone = slab.get(7).unwrap();
    assert!(!gone.live && gone.line == [u64::MAX; TIER_WORDS]);
    assert!(slab.cold(7).is_none() && slab.both_mut(7).is_none() && slab.remove(7).is_none());
    assert!(!slab.is_full() && slab.len() == 1023 && slab.places() == 1024);
    assert_eq!(put(&mut slab, 70), 7);
    assert!(slab.get(7).is_some_and(|h| h.live && h.generation == 2) && slab.cold(7).is_some_and(|c| c.hash == 70));
    assert!(slab.is_full());
    // room for fewer changes nothing; for more keeps what there is
    slab.reserve(1024);
    assert!(slab.is_full());
    slab.reserve(3000);
    assert!(!slab.is_full() && slab.len() == 1024);
    assert!(slab.get(7).is_some_and(|h| h.live && h.generation == 2) && slab.get(2999).is_some());
    let (h, c) = slab.both_mut(7).unwrap();
    (h.packets, c.packets) = (1, 2);
    assert!(slab.get(7).is_some_and(|h| h.packets == 1) && slab.cold(7).is_some_and(|c| c.packets == 2));
    assert_eq!(slab.get_mut(7).map(|h| h.packets), Some(1));
    assert_eq!(put(&mut slab, 1), 1024);
}

#[test]
fn hits_are_counted() {
    let mut h = hot();
    h.count(3, 300, 50, 9);
    h.count(1, 60, 70, 10);
    assert_eq!((h.packets, h.bytes, h.used, h.burst, h.referenced), (4, 360, 70, 10, true));
}

#[test]
fn agreement_is_of_all_masked_bits() {
    let line: Base = std::array::from_fn(|i| 0x0123_4567_89ab_cdef_u64.rotate_left(9 * i as u32));
    let h = Hot { line, plain: true, ..hot() };
    let not_plain = Hot { line, ..hot() };
    let words = (line[3], line[4]);
    assert!(slab::agrees(&h, &line, &[u64::MAX; 8]) && slab::agrees_plain(&h, line[0], words, &[u64::MAX; 8]));
    assert!(!slab::agrees_plain(&not_plain, line[0], words, &[u64::MAX; 8]));
    for word in 0..8 {
        for bit in 0..64 {
            let mut other = line;
            other[word] ^= 1 << bit;
            let mut only = [0; 8];
            only[word] = 1 << bit;
            let but: Base = std::array::from_fn(|i| !only[i]);
            for mask in [[u64::MAX; 8], only] {
                assert!(!slab::agrees(&h, &other, &mask));
            }
            assert!(slab::agrees(&h, &other, &but) && slab::agrees(&h, &other, &[0; 8]));
            let plain = |mask: &Base| slab::agrees_plain(&h, other[0], (other[3], other[4]), mask);
            // of word 0 the mask number is not compared, and the rest is, whatever the mask
            let want = match word {
                0 => bit >= 16,
                3 | 4 => true,
                _ => false,
            };
            assert_eq!(plain(&[u64::MAX; 8]), !want, "{word} {bit}");
            assert_eq!(plain(&only), !want);
            assert_eq!(plain(&but), word != 0 || !want);
        }
    }
    // the same difference in two words is still one
    for (a, b) in (0..8).flat_map(|a| (0..a).map(move |b| (a, b))) {
        let mut other = line;
        other[a] ^= 1 << 20;
        other[b] ^= 1 << 20;
        assert!(!slab::agrees(&h, &other, &[u64::MAX; 8]));
        let plain = slab::agrees_plain(&h, other[0], (other[3], other[4]), &[u64::MAX; 8]);
        assert_eq!(plain, ![a, b].iter().any(|w| matches!(w, 0 | 3 | 4)));
    }
    assert_eq!(ID_BITS, 0xffff_ffff_ffff_0000);
}

#[test]
fn tiers_above_the_first_agree_or_not() {
    for word in TIER_WORDS..KEY_WORDS {
        for bit in [0, 17, 63] {
            let mut flow = Flow::default();
            flow.w[word] = 1 << bit | 1 << 30;
            let mut mask = Mask::default();
            mask.w[word] = 1 << bit;
            let cold = |value: u64| {
                let mut key = Flow::default();
                key.w[word] = value;
                Cold { key, mask: mask.clone(), ..Cold::default() }
            };
            assert!(slab::agrees_higher(&cold(1 << bit), &Key::from(&flow)));
            assert!(!slab::agrees_higher(&cold(0), &Key::from(&flow)));
            assert!(!slab::agrees_higher(&cold(1 << bit), &Key::default()));
            assert!(slab::agrees_higher(&cold(0), &Key::default()));
            let mut two = cold(0);
            let next = if word + 1 < KEY_WORDS { word + 1 } else { TIER_WORDS };
            two.mask.w[next] = 1 << bit;
            flow.w[next] = 1 << bit;
            assert!(!slab::agrees_higher(&two, &Key::from(&flow)));
        }
    }
}

#[test]
fn plain_is_what_plain_packets_agree_in() {
    let line: Base = [5, 0x0800, 0, 7, 8, 0, 0, 0];
    let whole: Base = [u64::MAX, 0xffff, 0xffff, u64::MAX, u64::MAX, !0xffff, u64::MAX, u64::MAX];
    assert!(is_plain(&line, &whole) && is_plain(&line, &[0; 8]));
    for word in 0..8 {
        for bit in 0..64 {
            let (mut other, mut mask) = (line, whole);
            other[word] ^= 1 << bit;
            mask[word] |= 1 << bit;
            // words 0, 3 and 4 are theirs to differ in; a MAC address or TCP flags may not be looked at
            let free = matches!(word, 0 | 3 | 4);
            let varies = matches!(word, 1 | 2) && bit >= 16 || word == 5 && bit < 16;
            assert_eq!(is_plain(&line, &mask), !varies, "{word} {bit}");
            assert_eq!(is_plain(&other, &whole), free || varies, "{word} {bit}");
            assert!(is_plain(&other, &[0; 8]));
        }
    }
}

// ---- hash

#[test]
fn hashes_of_narrow_and_plain_keys_depend_on_every_word_and_the_seed() {
    let base: Base = [0x1_0000, 0x0800, 0, 0x0a00_0001_0a00_0002, 0x0050_0051_1100_0000, 0, 0, 0];
    let all = [u64::MAX; 8];
    type Hash = fn(&Base, &Base, u64) -> u64;
    let hashes: [(Hash, &[usize]); 2] = [(hash::narrow, &[0, 1, 2, 3, 4]), (hash::plain, &[0, 1, 2, 3, 4])];
    for (hash, words) in hashes {
        let mut seen = HashSet::new();
        for seed in 0..64 {
            assert!(seen.insert(hash(&base, &all, 1 << seed)));
        }
        let own = hash(&base, &all, 7);
        for word in words {
            for bit in 0..64 {
                let mut other = base;
                other[*word] ^= 1 << bit;
                let changed = (own ^ hash(&other, &all, 7)).count_ones();
                assert!((8..=56).contains(&changed), "word {word} bit {bit}: {changed}");
                let mut mask = all;
                mask[*word] ^= 1 << bit;
                assert_eq!(hash(&other, &mask, 7), hash(&base, &mask, 7));
            }
        }
        // as many bits of the results are 1 as 0
        let ones: u32 =
            (0..4096u64).map(|i| hash(&[i << 16, 0x0800, 0, i, i << 32, 0, 0, 0], &all, 3).count_ones()).sum();
        assert!((4096 * 31..4096 * 33).contains(&ones), "{ones}");
        // different words of the same values are different
        let swapped: Base = [0x1_0000, 0x0800, 0, base[4], base[3], 0, 0, 0];
        assert_ne!(own, hash(&swapped, &all, 7));
    }
    // sequential flows spread, with the plain hash too
    let mut buckets = vec![0u32; 1024];
    for i in 0..65536u64 {
        let h = hash::plain(&[1 << 16, 0x0800, 0, 0x0a00_0001_0a00_0000 + i, 0x0050_0050_1100_0000, 0, 0, 0], &all, 3);
        buckets[(h & 1023) as usize] += 1;
        buckets[(h >> 32 & 1023) as usize] += 1;
    }
    let (least, most) = (buckets.iter().min().unwrap(), buckets.iter().max().unwrap());
    assert!(*least > 64 && *most < 210, "{least} to {most}");
}

#[test]
fn tiers_are_hashed_where_they_have_something() {
    for tier in 1..KEY_TIERS {
        let mut mask = Mask::default();
        mask.w[(tier + 1) * TIER_WORDS - 1] = 0xff;
        assert_eq!(hash::tiers(&mask), 1 << tier);
        mask.w[tier * TIER_WORDS] = 0xff;
        mask.w[TIER_WORDS] |= 1;
        assert_eq!(hash::tiers(&mask), 1 << tier | 1 << 1);
    }
    let mut low = Mask::default();
    low.w[..TIER_WORDS].fill(u64::MAX);
    assert_eq!(hash::tiers(&low), 0);
    let all = Mask { w: [u64::MAX; flow::layout::WORDS] };
    let tiers = hash::tiers(&all);
    assert_eq!(tiers, (1 << KEY_TIERS) - 2);
    let own = hash::higher(99, &Key::default(), &all, tiers);
    assert_eq!(own, 99);
    let mut seen = HashSet::from([own]);
    for word in TIER_WORDS..KEY_WORDS {
        let mut flow = Flow::default();
        flow.w[word] = 5;
        let key = Key::from(&flow);
        let h = hash::higher(99, &key, &all, tiers);
        // the constants of words that are 64 apart are the same
        assert!(seen.insert(h) || word >= TIER_WORDS + 64, "{word}");
        assert!(((h ^ 99).count_ones() as i32 - 32).abs() <= 24);
        assert_ne!(h, hash::higher(98, &key, &all, tiers));
        // a tier that is not asked for, and bits that the mask lacks
        assert_eq!(hash::higher(99, &key, &all, tiers & !(1 << (word / TIER_WORDS))), 99);
        let mut mask = all.clone();
        mask.w[word] = !5;
        assert_eq!(hash::higher(99, &key, &mask, tiers), 99);
        mask.w[word] = 5;
        flow.w[word] |= 0xff00;
        assert_eq!(hash::higher(99, &Key::from(&flow), &mask, tiers), h);
    }
    // each bit of a word changes much
    for bit in 0..64 {
        let mut flow = Flow::default();
        flow.w[20] = 0x0123_4567_89ab_cdef;
        let before = hash::higher(99, &Key::from(&flow), &all, tiers);
        flow.w[20] ^= 1 << bit;
        let changed = (before ^ hash::higher(99, &Key::from(&flow), &all, tiers)).count_ones();
        assert!((8..=56).contains(&changed), "{bit}: {changed}");
    }
}

// ---- signature cache

#[test]
fn signatures_are_found_until_pushed_out() {
    let mut cache = SignatureCache::new().unwrap();
    let of = |set: u64, signature: u64| signature << 32 | set;
    assert_eq!(cache.find(of(5, 1)), NONE);
    for (n, signature) in (1..=4u64).enumerate() {
        cache.insert(of(5, signature), n as u32 * 10);
    }
    for (n, signature) in (1..=4u64).enumerate() {
        assert_eq!(cache.find(of(5, signature)), n as u32 * 10);
        assert_eq!(cache.find(of(6, signature)), NONE);
    }
    // the same signature again takes its own place
    cache.insert(of(5, 3), 77);
    assert_eq!([1, 2, 3, 4].map(|s| cache.find(of(5, s))), [0, 10, 77, 30]);
    // signatures that differ in one bit are told apart
    for bit in 0..32 {
        assert_eq!(
            cache.find(of(5, 3 ^ 1 << bit)),
            [0, 10, NONE, 30][if bit == 1 {
                0
            } else if bit == 0 {
                1
            } else {
                2
            }]
        );
    }
    // a signature of 0 is one, too
    cache.insert(of(9, 0), 123);
    assert_eq!((cache.find(of(9, 0)), cache.find(of(9, 1))), (123, NONE));
    cache.insert(of(9, 0), 124);
    assert_eq!(cache.find(of(9, 0)), 124);
    // a fifth pushes one out, not always the same
    let mut gone = HashSet::new();
    for extra in 5..300u64 {
        let before: Vec<u64> = (1..extra).filter(|s| cache.find(of(5, *s)) != NONE).collect();
        cache.insert(of(5, extra), 9);
        let after: Vec<u64> = (1..=extra).filter(|s| cache.find(of(5, *s)) != NONE).collect();
        assert!(after.len() == 4 && after.contains(&extra));
        let way = before.iter().position(|s| !after.contains(s)).unwrap();
        gone.insert(way);
    }
    assert_eq!(gone.len(), 4);
}

/// How many of so many hashes a cache has room for.
fn kept(cache: &mut SignatureCache, n: u32) -> usize {
    let of = |i: u32| u64::from(i) << 32 | u64::from(i);
    (0..n).for_each(|i| cache.insert(of(i), i));
    (0..n).filter(|i| cache.find(of(*i)) == *i).count()
}

#[test]
fn it_grows_with_megaflows_and_when_it_thrashes() {
    const FIRST: u32 = 1 << 14;
    let mut cache = SignatureCache::new().unwrap();
    assert_eq!(kept(&mut cache, FIRST), FIRST as usize);
    // room for half as many again as there are megaflows, by powers of two
    cache.fit(10_922);
    assert_eq!(kept(&mut cache, FIRST), FIRST as usize);
    assert_eq!(cache.find(1 << 32 | 1), 1);
    cache.fit(10_923);
    assert_eq!(cache.find(1 << 32 | 1), 1, "16384 entries hold 16384");
    cache.fit(10_924);
    assert_eq!(cache.find(1 << 32 | 1), NONE, "entries are lost when it grows");
    assert_eq!(kept(&mut cache, 2 * FIRST), 2 * FIRST as usize);
    // pushed out as often as there are entries, and once more
    let of = |i: u32| u64::from(i) << 32 | 3;
    (0..2 * FIRST + 2).for_each(|i| cache.insert(of(1_000_000 + i), i));
    cache.fit(0);
    assert_eq!(kept(&mut cache, 4 * FIRST), 4 * FIRST as usize);
    // without more such it stays
    cache.fit(0);
    assert_eq!(cache.find(2 << 32 | 2), 2);
    // and there is a most
    cache.fit(1 << 24);
    assert_eq!(kept(&mut cache, 1 << 20), 1 << 20);
    cache.fit(1 << 25);
    assert_eq!(cache.find(2 << 32 | 2), 2);
}

// ---- one subtable

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Hashes that share homes, the last ones wrapping around.
    #[test]
    fn a_table_has_what_was_put_in(ops in prop::collection::vec((any::<u8>(), 0..12u64, any::<bool>(), 0..3u8), 1..120)) {
        let mut slab = Slab::new(1024).unwrap();
        let (mut table, mut list) = (Subtable::new(Mask::default(), false), Vec::<(u64, u32)>::new());
        for (pick, low, high, op) in ops {
            if op == 0 && !list.is_empty() {
                let (hash, index) = list.swap_remove(usize::from(pick) % list.len());
                prop_assert!(table.remove(hash, index, &slab));
                slab.remove(index);
                prop_assert!(!table.remove(hash, index, &slab));
            } else {
                let hash = u64::from(high) << 32 | low.wrapping_sub(6) & 0xff | u64::from(pick & 1) << 40;
                let index = put(&mut slab, hash);
                prop_assert!(!table.remove(hash, index, &slab));
                table.insert(hash, index, &slab);
                list.push((hash, index));
            }
            prop_assert_eq!(table.len(), list.len());
            let have: BTreeSet<u32> = table.indexes().collect();
            prop_assert_eq!(have, list.iter().map(|l| l.1).collect::<BTreeSet<_>>());
            prop_assert_eq!(table.indexes().count(), list.len());
        }
        // each is reached from its home, whichever went before
        for (hash, index) in list {
            prop_assert!(table.remove(hash, index, &slab), "{hash:x} {index}");
            slab.remove(index);
        }
        prop_assert_eq!((table.len(), table.indexes().count()), (0, 0));
    }
}

#[test]
fn a_table_hashes_all_that_its_mask_looks_at() {
    let table = Subtable::new(mask_of(&[NW_SRC, IPV6_DST]), false);
    let hash = |flow: &Flow| table.hash(Key::from(flow).base(), &Key::from(flow), 3);
    let mut flow = flow_of(&[(NW_SRC, 1)]);
    let mut seen = HashSet::from([hash(&flow)]);
    for value in 1..100 {
        flow.set(IPV6_DST, value);
        assert!(seen.insert(hash(&flow)));
        flow.set(NW_SRC, value + 1);
        assert!(seen.insert(hash(&flow)));
        flow.set(ETH_DST, value);
        assert!(!seen.insert(hash(&flow)));
    }
}

// ---- what megaflows depend on

pub(super) fn deps(rules: &[u64], things: &[Thing]) -> Deps {
    let table = |rule: &u64| TableDep {
        table: TableKey { bridge: 1, table: *rule as u8 % 4 },
        rule: Some(RuleId(*rule)),
        priority: 0,
        rewritten: Box::default(),
    };
    Deps { tables: rules.iter().map(table).collect(), things: things.to_vec() }
}

#[test]
fn dependants_are_found_by_rule_table_and_thing() {
    let mut slab = Slab::new(1024).unwrap();
    let mut index = DepIndex::default();
    let fdb = |mac| Thing::Fdb { bridge: 3, vlan: 1, mac };
    let all = Thing::FdbAll { bridge: 3 };
    let mut made = Vec::new();
    for i in 0..100u64 {
        let place = put(&mut slab, i);
        let d = deps(&[i % 5, 10 + i], &[fdb(i % 3), Thing::Port(PortNo(i as u32 % 2))]);
        index.add(&d, place, slab.get(place).unwrap().generation);
        made.push((place, d));
    }
    let rule = |index: &DepIndex, slab: &Slab, r, most| {
        index.of_rule(RuleId(r), slab, most).map(|mut v| {
            v.sort_unstable();
            v
        })
    };
    let mut left: Vec<u64> = (0..100).collect();
    // one after the other goes, places being used again by megaflows that depend on nothing
    for step in 0..100usize {
        for r in 0..5 {
            let want: Vec<u32> = left.iter().filter(|i| *i % 5 == r).map(|i| *i as u32).collect();
            assert_eq!(rule(&index, &slab, r, 1000), Some(want.clone()), "{step}");
            assert_eq!(rule(&index, &slab, r, want.len()), Some(want.clone()));
            if !want.is_empty() {
                assert_eq!(rule(&index, &slab, r, want.len() - 1), None);
            }
        }
        for mac in 0..3 {
            let want = left.iter().filter(|i| *i % 3 == mac).count();
            assert_eq!(index.of_thing(&fdb(mac), &slab, 1000).map(|v| v.len()), Some(want));
        }
        assert_eq!(index.of_thing(&all, &slab, 1000).map(|v| v.len()), Some(left.len()));
        for table in 0..4u8 {
            let key = TableKey { bridge: 1, table };
            let want = left.iter().any(|i| [i % 5, 10 + i].iter().any(|r| *r as u8 % 4 == table));
            assert_eq!(index.asked(&key), want, "{step} {table}");
        }
        let i = left.remove(step * 7 % left.len());
        let (place, d) = &made[i as usize];
        slab.remove(*place);
        index.remove(d, &slab);
        assert_eq!(put(&mut slab, 0), *place);
        slab.remove(*place);
        assert_eq!(rule(&index, &slab, 10 + i, 0), Some(Vec::new()));
    }
    assert_eq!(index.of_thing(&all, &slab, 0), Some(Vec::new()));
    assert!(!index.asked(&TableKey { bridge: 1, table: 0 }));
}

#[test]
fn a_place_used_again_is_nobodys_dependant() {
    let mut slab = Slab::new(1024).unwrap();
    let mut index = DepIndex::default();
    let d = deps(&[1], &[]);
    for i in 0..10 {
        assert_eq!(put(&mut slab, 0), i);
        index.add(&d, i, 1);
    }
    slab.remove(4);
    index.remove(&d, &slab);
    let others: Vec<u32> = (0..10).filter(|i| *i != 4).collect();
    assert_eq!(index.of_rule(RuleId(1), &slab, 9), Some(others.clone()));
    assert_eq!(put(&mut slab, 0), 4);
    assert_eq!(index.of_rule(RuleId(1), &slab, 9), Some(others));
}

#[test]
fn rewriting_is_of_words_of_the_key_but_the_first() {
    let with = |words: &[u8]| {
        let mut d = deps(&[1, 2], &[]);
        d.tables[1].rewritten = words.iter().map(|w| (*w, 1, 1)).collect();
        rewrites(&d)
    };
    assert!(!with(&[]) && !with(&[0]) && with(&[1]) && with(&[0, 79]) && !with(&[80]) && !with(&[0, 80, 103]));
}

// ---- a second way in

#[test]
fn megaflows_alike_are_found_after_some_rules_of_a_shape() {
    let mut slab = Slab::new(1024).unwrap();
    let mask = mask_of(&[NW_SRC, NW_DST, TP_DST]);
    let mut table = Subtable::new(mask.clone(), false);
    let key = |i: u32| flow_of(&[(NW_SRC, u128::from(i % 4)), (NW_DST, u128::from(i % 8)), (TP_DST, u128::from(i))]);
    let add = |slab: &mut Slab, table: &mut Subtable, i: u32| {
        let cold = Cold { key: key(i), mask: mask.clone(), hash: u64::from(i) * 77, ..Cold::default() };
        let index = slab.insert(hot(), Box::new(cold));
        table.insert(u64::from(i) * 77, index, slab);
        index
    };
    (0..40).for_each(|i| assert_eq!(add(&mut slab, &mut table, i), i));
    let of = |slot: Slot, v: u128| Match::default().with(slot, v, u128::MAX >> (128 - slot.width));
    // no bit in common: nothing to go by, ever
    for _ in 0..10 {
        assert_eq!(table.alike(&of(ETH_DST, 1), &slab, 1000), None);
    }
    for _ in 0..4 {
        assert_eq!(table.alike(&of(NW_SRC, 1), &slab, 1000), None);
    }
    let sorted = |v: Option<Vec<u32>>| {
        v.map(|mut v| {
            v.sort_unstable();
            v
        })
    };
    let want: Vec<u32> = (0..40).filter(|i| i % 4 == 1).collect();
    assert_eq!(sorted(table.alike(&of(NW_SRC, 1), &slab, 1000)), Some(want.clone()));
    assert_eq!(sorted(table.alike(&of(NW_SRC, 1), &slab, want.len())), Some(want.clone()));
    assert_eq!(table.alike(&of(NW_SRC, 1), &slab, want.len() - 1), None);
    assert_eq!(table.alike(&of(NW_SRC, 9), &slab, 0), Some(Vec::new()));
    // a field that the mask does not have is not gone by
    assert_eq!(sorted(table.alike(&of(NW_SRC, 1).with(ETH_DST, 5, 0xff), &slab, 1000)), Some(want));
    // kept up to date: as they go, as they come, however many
    let mut left: BTreeSet<u32> = (0..40).collect();
    for i in (0..40).step_by(3).chain([1, 5, 13, 17, 25, 29]) {
        table.remove(u64::from(i) * 77, i, &slab);
        slab.remove(i);
        left.remove(&i);
        for v in 0..4 {
            let want: Vec<u32> = left.iter().copied().filter(|i| i % 4 == v).collect();
            assert_eq!(sorted(table.alike(&of(NW_SRC, v.into()), &slab, want.len())), Some(want), "{i} {v}");
        }
    }
    let new = add(&mut slab, &mut table, 41);
    let got = table.alike(&of(NW_SRC, 1), &slab, 1000).unwrap();
    assert!(got.contains(&new) && got.iter().all(|i| slab.get(*i).is_some_and(|h| h.live)));
    // two bits of values in words of their own are not mixed up
    for _ in 0..5 {
        table.alike(&of(NW_DST, 0), &slab, 1000);
    }
    assert_eq!(table.shapes.len(), 2);
    let want: Vec<u32> = left.iter().copied().filter(|i| i % 8 == 2).collect();
    assert_eq!(sorted(table.alike(&of(NW_DST, 2), &slab, 1000)), Some(want));
    // a third shape takes the place of the one that fewer rules had
    assert_eq!(table.alike(&of(TP_DST, 2), &slab, 1000), None);
    assert_eq!(table.shapes.len(), 2);
    assert!(table.alike(&of(NW_SRC, 1), &slab, 1000).is_some());
    assert_eq!(table.alike(&of(NW_DST, 2), &slab, 1000), None);
}

#[test]
fn lists_of_megaflows_alike_go_with_the_last_of_them() {
    let mut slab = Slab::new(1024).unwrap();
    let mask = mask_of(&[NW_SRC, TP_DST]);
    let mut table = Subtable::new(mask.clone(), false);
    let rule = Match::default().with(NW_SRC, 1, u128::from(u32::MAX));
    (0..10).for_each(|_| drop(table.alike(&rule, &slab, 1000)));
    let mut all = Vec::new();
    for i in 0..20u32 {
        let key = flow_of(&[(NW_SRC, u128::from(i % 2)), (TP_DST, u128::from(i))]);
        let cold = Cold { key, mask: mask.clone(), hash: u64::from(i), ..Cold::default() };
        let index = slab.insert(hot(), Box::new(cold));
        table.insert(u64::from(i), index, &slab);
        all.push((i, index));
    }
    assert_eq!(table.shapes[0].lists(), (2, 20));
    for (n, (i, index)) in all.into_iter().enumerate() {
        assert!(table.remove(u64::from(i), index, &slab));
        slab.remove(index);
        // no more than half of a list is of no use
        let (_, entries) = table.shapes[0].lists();
        assert!(entries <= 2 * (19 - n) + 2, "{entries} after {n}");
    }
    assert_eq!(table.shapes[0].lists(), (0, 0));
}

#[test]
fn rates_are_of_the_last_window_or_of_what_there_is() {
    let second = 1_000_000_000;
    let mut cold = Cold { rate: Rate::new(second), ..Cold::default() };
    let mut hot = hot();
    hot.count(50, 5000, second + second / 10, 1);
    // less than a window has passed: it counts as one
    assert_eq!(cold.rate.get(&hot), (200, 20_000));
    cold.fold(100, 10_000, 2 * second);
    (hot.packets, hot.bytes, hot.used) = (1, 60, 2 * second + 1);
    assert_eq!(cold.rate.get(&hot), (100, 10_000), "the whole window's, not of what came since");
}
