//! Tests of what a worker keeps of one port and of all: masks, classes, megaflows made, found, verified and evicted.

use std::collections::HashSet;
use std::sync::Arc;

use base::clock::Instant;
use dpif::{Action, FlowStats, PortNo, TableKey, Translation};
use flow::extract::Depth;
use flow::layout::{
    CT_STATE, ETH_DST, ETH_SRC, ETH_TYPE, IN_PORT, IPV6_DST, KEY_WORDS, NW_DST, NW_FRAG, NW_SRC, PACKET_TYPE,
    RECIRC_ID, TCP_FLAGS, TIERS_BITS, TIERS_WORD, TP_DST, TUN_ID, VLAN_TCI,
};
use flow::{Flow, Key, Mask, Slot};

use super::NONE;
use super::flows::{Flows, Limits};
use super::hash::Base;
use super::port::PortCache;
use super::slab::{OUTPUT, Slab};
use super::tests::{deps, flow_of, mask_of, put};
use crate::program::Program;
use crate::stats::WorkerCounters;

// ---- one port

#[test]
fn packets_are_parsed_as_deep_as_masks_look() {
    let narrowed = |slots: &[Slot]| {
        let mut port = PortCache::new(PortNo(1), 0, 0);
        port.number(false, &mask_of(slots), 64);
        let space = &port.spaces[0];
        assert_eq!(port.spaces[1].depth, Depth::Simple);
        (space.depth, space.simple, space.plain, space.tiers)
    };
    assert_eq!(narrowed(&[]), (Depth::Simple, true, true, 0));
    assert_eq!(narrowed(&[ETH_TYPE, NW_FRAG, PACKET_TYPE, RECIRC_ID, IN_PORT]), (Depth::Simple, true, true, 0));
    assert_eq!(narrowed(&[VLAN_TCI]), (Depth::Simple, true, true, 0));
    assert_eq!(narrowed(&[ETH_TYPE, ETH_DST]), (Depth::L2, false, false, 0));
    assert_eq!(narrowed(&[ETH_SRC]), (Depth::L2, false, false, 0));
    assert_eq!(narrowed(&[NW_SRC]), (Depth::L4, false, true, 0));
    assert_eq!(narrowed(&[TCP_FLAGS]), (Depth::L4, false, false, 0));
    assert_eq!(narrowed(&[IPV6_DST]), (Depth::L4, false, false, 1 << 1));
    assert_eq!(narrowed(&[TUN_ID, ETH_DST]), (Depth::L4, false, false, 1 << 4));
}

#[test]
fn hashes_are_under_the_union_and_the_same_by_either_way() {
    let all: &[&[Slot]] = &[&[NW_SRC], &[ETH_DST, NW_DST], &[TCP_FLAGS], &[IPV6_DST, NW_SRC]];
    for slots in all {
        let mut port = PortCache::new(PortNo(1), 3, 0);
        assert_eq!(port.id(), 3 << 16);
        port.number(false, &mask_of(slots), 64);
        let space = &port.spaces[0];
        let mut flow = flow_of(&[(ETH_TYPE, 0x800), (NW_SRC, 1), (NW_DST, 2), (ETH_DST, 3), (TCP_FLAGS, 4)]);
        let hash = |flow: &Flow| {
            let key = Key::from(flow);
            let mut base = *key.base();
            base[0] = port.id();
            if key.tiers() == 0 {
                assert_eq!(space.hash_of(&base, 9), space.hash(&base, &key, 9));
            }
            space.hash(&base, &key, 9)
        };
        let mut before = hash(&flow);
        for slot in [NW_SRC, NW_DST, ETH_DST, TCP_FLAGS, IPV6_DST, TUN_ID] {
            flow.set(slot, 0x55);
            let now = hash(&flow);
            assert_eq!(now != before, slots.contains(&slot), "{slots:?} {slot:?}");
            before = now;
        }
    }
}

#[test]
fn classes_are_remembered_while_the_match_is_simple() {
    let mut slab = Slab::new(1024).unwrap();
    let mut port = PortCache::new(PortNo(1), 0, 0);
    let (a, b) = (put(&mut slab, 1), put(&mut slab, 2));
    let space = &mut port.spaces[0];
    assert_eq!(space.class(0x800, &slab), NONE);
    // nothing was learned of type 0 either
    assert_eq!(space.class(0, &slab), NONE);
    space.learn_class(0x800, a, &slab);
    space.learn_class(0x806, b, &slab);
    assert_eq!((space.class(0x800, &slab), space.class(0x806, &slab)), (a, b));
    // one with the same place is another class; the newer stays
    assert_eq!(space.class(0x0008, &slab), NONE);
    space.learn_class(0x0008, b, &slab);
    assert_eq!((space.class(0x800, &slab), space.class(0x0008, &slab)), (NONE, b));
    // sixteen types next to each other have places of their own
    (0..16).for_each(|i| space.learn_class(0x8800 + i, a, &slab));
    assert!((0..16).all(|i| space.class(0x8800 + i, &slab) == a));
    // types whose upper bytes differ do, too
    (0..16).for_each(|i| space.learn_class(i << 8, b, &slab));
    assert!((0..16).all(|i| space.class(i << 8, &slab) == b));
    // gone, or another one in its place
    space.learn_class(0x806, b, &slab);
    slab.remove(b);
    assert_eq!(space.class(0x806, &slab), NONE);
    assert_eq!(put(&mut slab, 3), b);
    assert_eq!(space.class(0x806, &slab), NONE);
    space.learn_class(0x806, 9999, &slab);
    assert_eq!(space.class(0x806, &slab), NONE);
    // a mask that looks further ends it, and all is forgotten
    space.learn_class(0x806, a, &slab);
    port.number(false, &mask_of(&[ETH_TYPE]), 64);
    assert_eq!(port.spaces[0].class(0x806, &slab), a);
    port.number(false, &mask_of(&[NW_SRC]), 64);
    let space = &mut port.spaces[0];
    assert_eq!(space.class(0x806, &slab), NONE);
    space.learn_class(0x806, a, &slab);
    assert_eq!(space.class(0x806, &slab), NONE);
}

#[test]
fn masks_get_numbers_and_lose_them() {
    let mut slab = Slab::new(1024).unwrap();
    let mut port = PortCache::new(PortNo(1), 0, 0);
    let (src, dst, both) = (mask_of(&[NW_SRC]), mask_of(&[NW_DST]), mask_of(&[NW_SRC, NW_DST]));
    assert_eq!(port.number(false, &both, 3), (0, false));
    assert_eq!(port.number(false, &both, 3), (0, false));
    // of recirculated packets it is another
    assert_eq!(port.number(true, &both, 3), (1, false));
    let wide = mask_of(&[NW_SRC, NW_DST, TP_DST]);
    assert_eq!(port.number(false, &wide, 3), (2, false));
    assert_eq!((port.masks(), port.bases.len(), port.bases[0][3]), (3, 3, u64::MAX));
    let index = put(&mut slab, 1);
    for n in 0..3 {
        port.tables[n].as_mut().unwrap().insert(1, index, &slab);
    }
    // past the cap the least superset of the same kind
    assert_eq!(port.number(false, &src, 3), (0, true));
    assert_eq!(port.number(true, &dst, 3), (1, true));
    assert_eq!(port.number(false, &mask_of(&[TP_DST]), 3), (2, true));
    // an empty one makes room, and what it looked at is looked at no more
    port.tables[2].as_mut().unwrap().remove(1, index, &slab);
    assert_ne!(port.spaces[0].union[4], 0);
    assert_eq!(port.number(false, &src, 3), (2, false));
    assert_eq!((port.spaces[0].union[4], port.spaces[0].union[3]), (0, u64::MAX));
    assert_eq!(port.masks(), 3);
    // empty for long enough
    let at = Instant::from_nanos;
    port.recycle(at(1000), 50);
    assert_eq!((port.masks(), port.tables[2].as_ref().map(|t| t.empty_since)), (3, Some(1000)));
    port.recycle(at(1049), 50);
    assert_eq!(port.masks(), 3);
    // used in between it starts anew
    port.tables[2].as_mut().unwrap().insert(1, index, &slab);
    port.recycle(at(1060), 50);
    port.tables[2].as_mut().unwrap().remove(1, index, &slab);
    port.recycle(at(1070), 50);
    port.recycle(at(1119), 50);
    assert_eq!(port.masks(), 3);
    port.recycle(at(1120), 50);
    assert_eq!(port.masks(), 2);
    assert!(port.tables[2].is_none());
    // the number is given again
    assert_eq!(port.number(true, &src, 64), (2, false));
    assert_eq!(port.number(true, &dst, 64), (3, false));
    // at the very start of the clock, too
    port.recycle(at(0), 50);
    port.recycle(at(49), 50);
    assert_eq!(port.masks(), 4);
    port.recycle(at(51), 50);
    assert_eq!(port.masks(), 2);
    assert_eq!(port.spaces[1].union[3], u64::MAX);
}

// ---- all of a worker

fn worker(megaflows: usize) -> Flows {
    let limits = Limits { megaflows, ..Limits::default() };
    let mut flows = Flows::new(limits, 42).unwrap();
    flows.ports.push(None);
    flows.ports.extend([1, 2].map(|n| Some(Box::new(PortCache::new(PortNo(n + 10), n as u16, 0)))));
    flows
}

fn program(to: u32) -> Program {
    Program::new(&[Action::Output(PortNo(to))], None)
}

/// Makes the megaflow of a flow under a mask.
fn make(f: &mut Flows, slot: u16, flow: &Flow, mask: &Mask, c: &WorkerCounters) -> Option<u32> {
    let stats = vec![Arc::new(FlowStats::default())];
    let mut t = Translation { mask: mask.clone(), deps: deps(&[1], &[]), stats, ..Translation::default() };
    f.insert(slot, flow, &mut t, &program(3), Instant::from_nanos(5), c)
}

/// First tier and key of a packet that came in at a slot.
fn packet(slot: u16, flow: &Flow) -> (Base, Key) {
    let key = Key::from(flow);
    let mut base = *key.base();
    base[0] = flow.get64(RECIRC_ID) << 32 | u64::from(slot) << 16;
    (base, key)
}

#[test]
fn megaflows_are_made_found_and_gone() {
    let (mut f, c) = (worker(1000), WorkerCounters::default());
    let masks = [mask_of(&[NW_SRC]), mask_of(&[NW_DST, TP_DST]), mask_of(&[IPV6_DST, ETH_DST])];
    let flow = |i: u128, recirculated: u128| {
        flow_of(&[
            (RECIRC_ID, recirculated * 5),
            (IN_PORT, 11),
            (ETH_TYPE, 0x800),
            (NW_SRC, i),
            (NW_DST, i + 1),
            (TP_DST, i + 2),
            (IPV6_DST, (i + 3) << 70),
            (ETH_DST, i + 4),
        ])
    };
    for (m, mask) in masks.iter().enumerate() {
        for recirculated in [0, 1] {
            for slot in [1, 2] {
                let base = m as u128 * 1000;
                for i in 0..20 {
                    let index = make(&mut f, slot, &flow(base + i, recirculated), mask, &c).unwrap();
                    for j in 0..25 {
                        let (b, k) = packet(slot, &flow(base + j, recirculated));
                        assert_eq!(f.find(slot, &b, &k, &c) != NONE, j <= i);
                        let port = f.port(slot).unwrap();
                        assert_eq!(f.verify(port, index, &b, || &k), i == j);
                        // as if the cache had the hash: another port's packets are not it
                        let (other, k) = packet(3 - slot, &flow(base + i, recirculated));
                        assert!(!f.verify(f.port(slot).unwrap(), index, &other, || &k));
                        let (other, k) = packet(slot, &flow(base + i, 1 - recirculated));
                        assert!(!f.verify(f.port(slot).unwrap(), index, &other, || &k));
                    }
                    // found once, the signature cache has it
                    let (b, k) = packet(slot, &flow(base + i, recirculated));
                    assert_eq!(f.find(slot, &b, &k, &c), index);
                    let space = &f.port(slot).unwrap().spaces[recirculated as usize];
                    assert_eq!(f.signatures.find(space.hash(&b, &k, f.seed)), index);
                }
            }
        }
    }
    assert_eq!((f.slab.len(), f.masks()), (240, 12));
    assert_eq!([1, 2].map(|s| f.port(s).unwrap().megaflows), [120, 120]);
    assert_eq!((f.slot(PortNo(11)), f.slot(PortNo(12)), f.slot(PortNo(1))), (Some(1), Some(2), None));
    assert!(f.port(0).is_none() && f.port(9).is_none());
    // one by one, and those of a slot
    assert!(f.port(1).unwrap().index.asked(&TableKey { bridge: 1, table: 1 }));
    for index in 0..f.slab.places() {
        f.remove_of(index, 1);
    }
    assert_eq!([1, 2].map(|s| f.port(s).unwrap().megaflows), [0, 120]);
    assert!(!f.port(1).unwrap().index.asked(&TableKey { bridge: 1, table: 1 }));
    assert!(f.port(1).unwrap().tables.iter().flatten().all(|t| t.len() == 0));
    let (b, k) = packet(1, &flow(3, 0));
    assert_eq!(f.find(1, &b, &k, &c), NONE);
    let (b, k) = packet(2, &flow(3, 0));
    assert_ne!(f.find(2, &b, &k, &c), NONE);
    f.set_limits(f.limits);
    assert_eq!(f.slab.len(), 120);
    f.set_limits(Limits { caches: false, ..f.limits });
    assert_eq!((f.slab.len(), f.limits.caches, f.port(2).unwrap().megaflows), (0, false, 0));
}

#[test]
fn plain_packets_are_verified_by_two_words() {
    let (mut f, c) = (worker(1000), WorkerCounters::default());
    let flow = |dst: u128| flow_of(&[(IN_PORT, 11), (ETH_TYPE, 0x800), (NW_SRC, 7), (NW_DST, dst), (TP_DST, 80)]);
    let a = make(&mut f, 1, &flow(1), &mask_of(&[ETH_TYPE, NW_DST]), &c).unwrap();
    let b = make(&mut f, 1, &flow(2), &mask_of(&[ETH_TYPE, NW_DST, TP_DST]), &c).unwrap();
    let mac = make(&mut f, 1, &flow(3), &mask_of(&[ETH_TYPE, NW_DST, ETH_DST]), &c).unwrap();
    let six = make(&mut f, 1, &flow(4), &mask_of(&[ETH_TYPE, NW_DST, IPV6_DST]), &c).unwrap();
    assert_eq!(
        [a, b, mac, six].map(|i| f.slab.get(i).map(|h| (h.plain, h.higher))),
        [Some((true, false)), Some((true, false)), Some((false, false)), Some((false, true))]
    );
    let port = f.port(1).unwrap();
    for (index, dst) in [(a, 1), (b, 2), (mac, 3), (six, 4)] {
        for other in 1..5 {
            let (base, _) = packet(1, &flow(other));
            let want = dst == other && (index == a || index == b);
            assert_eq!(f.verify_plain(port, index, port.id(), (base[3], base[4])), want, "{index} {other}");
            assert!(!f.verify_plain(port, index, 2 << 16, (base[3], base[4])));
        }
    }
    let (mut base, _) = packet(1, &flow(1));
    base[4] ^= 1 << 32;
    assert!(f.verify_plain(port, a, port.id(), (base[3], base[4])));
    let (mut base, _) = packet(1, &flow(2));
    base[4] ^= 1 << 32;
    assert!(!f.verify_plain(port, b, port.id(), (base[3], base[4])));
    assert!(!f.verify_plain(port, 999_999, port.id(), (0, 0)));
}

#[test]
fn a_megaflow_has_the_masked_key_and_an_empty_count() {
    let (mut f, c) = (worker(1000), WorkerCounters::default());
    let flow = flow_of(&[(RECIRC_ID, 9), (IN_PORT, 11), (NW_SRC, 7), (NW_DST, 8)]);
    let mut mask = mask_of(&[NW_SRC]);
    mask.w[KEY_WORDS] = 5;
    let index = make(&mut f, 1, &flow, &mask, &c).unwrap();
    let (hot, cold) = (f.slab.get(index).unwrap(), f.slab.cold(index).unwrap());
    let number = hot.line[0] & 0xffff;
    assert_eq!((hot.line[0], hot.line[3]), (9 << 32 | 1 << 16 | number, 7 << 32));
    assert!(hot.live && hot.referenced && !hot.higher);
    assert_eq!((hot.used, hot.action, hot.burst), (5, OUTPUT | 3, 0));
    assert_eq!((cold.key.get(IN_PORT), cold.key.get(RECIRC_ID), cold.key.get(NW_DST)), (11, 9, 0));
    assert_eq!(
        (cold.mask.get(IN_PORT), cold.mask.get(RECIRC_ID), cold.mask.w[KEY_WORDS]),
        (0xffff_ffff, 0xffff_ffff, 0)
    );
    // counted, and folded once
    f.slab.get_mut(index).unwrap().count(3, 300, 77, 1);
    assert!(f.fold(index) && !f.fold(index) && !f.fold(5000));
    let cold = f.slab.cold(index).unwrap();
    assert_eq!((cold.packets, cold.bytes, cold.folded, cold.created), (3, 300, 77, 5));
    assert_eq!((cold.stats[0].get().0, cold.stats[0].get().1), (3, 300));
    // what came since is folded when it goes
    let stats = cold.stats[0].clone();
    f.slab.get_mut(index).unwrap().count(1, 60, 78, 1);
    f.remove(index);
    assert_eq!((stats.get().0, stats.get().1, f.slab.len()), (4, 360, 0));
    f.remove(index);
    assert_eq!((f.slab.len(), f.port(1).unwrap().megaflows), (0, 0));
}

#[test]
fn the_one_that_was_not_hit_makes_room() {
    let (mut f, c) = (worker(4), WorkerCounters::default());
    let flow = |i: u128| flow_of(&[(IN_PORT, 11), (NW_SRC, i)]);
    let mask = mask_of(&[NW_SRC]);
    // all of the burst at hand: none may go
    for i in 0..4 {
        assert!(make(&mut f, 1, &flow(i), &mask, &c).is_some());
    }
    assert_eq!((make(&mut f, 1, &flow(9), &mask, &c), f.slab.len(), c.evicted.get()), (None, 4, 0));
    // later the first that was not hit since the hand passed; it starts behind place 0
    f.burst = 1;
    f.slab.get_mut(2).unwrap().count(1, 60, 1, 1);
    assert_eq!(make(&mut f, 1, &flow(10), &mask, &c), Some(1));
    assert_eq!((f.slab.len(), c.evicted.get()), (4, 1));
    f.burst = 2;
    // all but the new one and the one just hit were passed once
    assert_eq!(make(&mut f, 1, &flow(11), &mask, &c), Some(3));
    f.slab.get_mut(0).unwrap().referenced = true;
    f.burst = 3;
    let went = make(&mut f, 1, &flow(12), &mask, &c);
    assert!(went.is_some() && went != Some(0), "{went:?}");
    assert_eq!((f.slab.len(), c.evicted.get()), (4, 3));
    // fewer may be: as many go as are too many
    f.burst = 4;
    f.set_limits(Limits { megaflows: 2, ..f.limits });
    assert!(make(&mut f, 1, &flow(13), &mask, &c).is_some());
    assert_eq!((f.slab.len(), c.evicted.get()), (2, 6));
}

#[test]
fn one_that_only_its_first_packet_hit_goes_before_others() {
    let (mut f, c) = (worker(4), WorkerCounters::default());
    let flow = |i: u128| flow_of(&[(IN_PORT, 11), (NW_SRC, i)]);
    let mask = mask_of(&[NW_SRC]);
    let at: Vec<u32> = (0..4).map(|i| make(&mut f, 1, &flow(i), &mask, &c).unwrap()).collect();
    f.burst = 1;
    at.iter().for_each(|i| f.slab.get_mut(*i).unwrap().count(1, 60, 1, 1));
    f.is_new(at[3]);
    // the storm's flows follow each other in that place, however often the others were passed
    for n in 2..20 {
        f.burst = n;
        at[..3].iter().for_each(|i| f.slab.get_mut(*i).unwrap().referenced = true);
        let new = make(&mut f, 1, &flow(100 + u128::from(n)), &mask, &c);
        assert_eq!(new, Some(at[3]), "{n}");
        f.slab.get_mut(at[3]).unwrap().count(1, 60, 1, n);
        f.is_new(at[3]);
    }
}

#[test]
fn the_busiest_mask_is_searched_first() {
    let (mut f, c) = (worker(1000), WorkerCounters::default());
    let masks = [mask_of(&[NW_SRC]), mask_of(&[NW_DST]), mask_of(&[TP_DST])];
    let flow = |m: usize| flow_of(&[(IN_PORT, 11), ([NW_SRC, NW_DST, TP_DST][m], 7)]);
    for (m, mask) in masks.iter().enumerate() {
        make(&mut f, 1, &flow(m), mask, &c).unwrap();
    }
    let visits = |f: &mut Flows, m: usize| {
        let before = c.subtables.get();
        let (b, k) = packet(1, &flow(m));
        assert_ne!(f.find(1, &b, &k, &c), NONE);
        c.subtables.get() - before
    };
    assert_eq!([0, 1, 2].map(|m| visits(&mut f, m)), [1, 2, 3]);
    let (b, k) = packet(1, &flow_of(&[(IN_PORT, 11)]));
    assert_eq!((f.find(1, &b, &k, &c), c.subtables.get()), (NONE, 9));
    // ranked every so many lookups: until then nothing changes
    for n in 5..8192 {
        let m = if n % 4 == 0 { 1 } else { 2 };
        assert_eq!(visits(&mut f, m), m as u64 + 1, "{n}");
    }
    assert_eq!([2, 1, 0].map(|m| visits(&mut f, m)), [1, 2, 3]);
    // what was long ago counts half each time
    let mut at = 0;
    while visits(&mut f, 0) != 1 {
        at += 1;
        assert!(at < 3 * 8192);
    }
    assert!(at > 8000, "{at}");
}

#[test]
fn connection_state_beside_the_tier_bits_is_looked_at() {
    let (mut f, c) = (worker(1000), WorkerCounters::default());
    let mask = mask_of(&[NW_SRC, CT_STATE]);
    let flow = |state: u128| flow_of(&[(IN_PORT, 11), (NW_SRC, 1), (CT_STATE, state)]);
    let made: Vec<u32> = (1..5).map(|s| make(&mut f, 1, &flow(s), &mask, &c).unwrap()).collect();
    let mut hashes = HashSet::new();
    for state in 0..6 {
        let (b, k) = packet(1, &flow(state));
        let want = if state == 0 { NONE } else { made.get(state as usize - 1).copied().unwrap_or(NONE) };
        assert_eq!(f.find(1, &b, &k, &c), want);
        let port = f.port(1).unwrap();
        assert!(made.iter().all(|i| f.verify(port, *i, &b, || &k) == (*i == want)));
        assert!(hashes.insert(port.spaces[0].hash(&b, &k, 1)));
    }
    // equal bits of the words that only wide hashes have do not cancel out
    for words in [[5, 6], [5, 7], [6, 7]] {
        let mut port = PortCache::new(PortNo(1), 0, 0);
        let mut mask = Mask::default();
        words.iter().for_each(|w| mask.w[*w] = 1 << 20);
        port.number(false, &mask, 64);
        for word in words {
            let mut base = [0; 8];
            let before = port.spaces[0].hash_of(&base, 1);
            base[word] = 1 << 20;
            assert_ne!(port.spaces[0].hash_of(&base, 1), before, "{words:?} {word}");
        }
    }
}

#[test]
fn the_last_resort_looks_at_every_bit_but_the_tiers() {
    let slab = Slab::new(1024).unwrap();
    let mut port = PortCache::new(PortNo(1), 0, 0);
    let mut number = 0;
    for word in 1..KEY_WORDS {
        let mut mask = Mask::default();
        mask.w[word] = 1 << 40;
        number = port.number(false, &mask, 0).0;
        let table = port.tables[usize::from(number)].as_mut().unwrap();
        assert_eq!(table.mask.w[TIERS_WORD] & TIERS_BITS, 0);
        assert!(table.mask.w[word] >> 40 & 1 == 1);
        table.insert(1, 0, &slab);
    }
    let mask = &port.tables[usize::from(number)].as_ref().unwrap().mask;
    for (word, bits) in mask.w.iter().enumerate() {
        let want = if word == TIERS_WORD { !TIERS_BITS } else { u64::MAX };
        assert_eq!(*bits, if word < KEY_WORDS { want } else { 0 }, "{word}");
    }
}

#[test]
fn masks_that_stay_are_searched_after_others_went() {
    let (mut f, c) = (worker(1000), WorkerCounters::default());
    let masks = [mask_of(&[NW_SRC]), mask_of(&[NW_DST]), mask_of(&[TP_DST])];
    let flow = |m: usize, r: u128| flow_of(&[(RECIRC_ID, r), (IN_PORT, 11), ([NW_SRC, NW_DST, TP_DST][m], 7)]);
    let first = make(&mut f, 1, &flow(0, 0), &masks[0], &c).unwrap();
    let second = make(&mut f, 1, &flow(1, 0), &masks[1], &c).unwrap();
    let third = make(&mut f, 1, &flow(2, 9), &masks[2], &c).unwrap();
    f.remove(first);
    let port = f.ports[1].as_mut().unwrap();
    port.recycle(Instant::from_nanos(1), 5);
    port.recycle(Instant::from_nanos(6), 5);
    assert_eq!(port.masks(), 2);
    // each space looks at what its own masks look at
    assert_eq!((port.spaces[0].union[3], port.spaces[0].union[4]), (0xffff_ffff, 0));
    assert_eq!((port.spaces[1].union[3], port.spaces[1].union[4]), (0, TP_DST.bits()));
    for (m, r, index) in [(1, 0, second), (2, 9, third), (0, 0, NONE)] {
        let (b, k) = packet(1, &flow(m, r));
        assert_eq!(f.find(1, &b, &k, &c), index);
    }
}

#[test]
fn megaflows_of_rewritten_lookups_are_counted() {
    let (mut f, c) = (worker(1000), WorkerCounters::default());
    let mut made = Vec::new();
    for i in 0..4 {
        let mut d = deps(&[1], &[]);
        d.tables[0].rewritten = if i % 2 == 0 { Box::from([(3, 1, 1)]) } else { Box::default() };
        let mut t = Translation { mask: mask_of(&[NW_SRC]), deps: d, ..Translation::default() };
        let flow = flow_of(&[(IN_PORT, 11), (NW_SRC, i)]);
        made.push(f.insert(1, &flow, &mut t, &program(3), Instant::from_nanos(5), &c).unwrap());
    }
    let count = |f: &Flows| f.port(1).unwrap().tables[0].as_ref().unwrap().rewriters;
    let counts: Vec<u32> = made
        .iter()
        .map(|index| {
            let before = count(&f);
            f.remove(*index);
            before
        })
        .collect();
    assert_eq!((counts, count(&f)), (vec![2, 1, 1, 0], 0));
}
