//! Translation against its slow twin, over random tables and packets: same packets out of the same ports, for every
//! packet of the megaflow, and until a change says otherwise.

use base::clock::Instant;
use dpif::{Action as DpAction, Change, Input, PortNo, Translation};
use flow::fields::FieldId as F;
use flow::layout as l;
use flow::{Flow, Mask, Match};
use openflow::action::{Resubmit, SetField, SetStyle};
use openflow::flow_mod::Command;
use openflow::group_mod::{Bucket, GroupCommand, GroupKind, SelectionMethod};
use openflow::{Action, FlowMod, GroupId, GroupMod, OfPort, Subfield, TableId};
use proptest::prelude::*;

use super::naive::{Naive, Packet, execute, vary};
use crate::manager::{BridgeConfig, Config, Manager};
use crate::snapshot::port::PortConfig;
use crate::translate::{Silent, State, run};

/// Fields that rules match and actions write, each with the values that are likely to meet.
const FIELDS: &[(F, &[u128])] = &[
    (F::InPort, &[1, 2]),
    (F::EthDst, &[0xa, 0xb, 0x0100_0000_0001]),
    (F::EthSrc, &[0xa, 0xb]),
    (F::EthType, &[0x800, 0x806, 0x86dd]),
    (F::VlanTci, &[0, 0x1005, 0x3005, 0x1006]),
    (F::IpSrc, &[0x0a00_0001, 0x0a00_0002, 0x0a00_0102]),
    (F::IpDst, &[0x0a00_0001, 0x0a00_0002, 0x0b00_0002]),
    (F::Ipv6Dst, &[0x20 << 120 | 1, 0x20 << 120 | 2]),
    (F::NwProto, &[6, 17]),
    (F::NwTtl, &[0, 1, 2, 64]),
    (F::NwTos, &[0, 4, 0xfc]),
    (F::TcpDst, &[80, 443]),
    (F::UdpSrc, &[53, 80]),
    (F::ArpTpa, &[0x0a00_0001]),
    (F::Reg0, &[0, 1, 0xffff_0001]),
    (F::Reg1, &[0, 2]),
    (F::Metadata, &[0, 1 << 40]),
    (F::PktMark, &[0, 7]),
];

fn field() -> impl Strategy<Value = (F, u128)> {
    prop::sample::select(FIELDS).prop_flat_map(|(f, values)| (Just(f), prop::sample::select(values)))
}

fn masks(f: F) -> BoxedStrategy<u128> {
    let full = f.row().full_mask();
    if f.row().masking == flow::fields::Masking::Exact {
        return Just(full).boxed();
    }
    let half = u32::from(f.row().bits / 2);
    prop_oneof![4 => Just(full), 1 => Just(full >> half << half), 1 => Just(full >> half), 1 => Just(1u128)].boxed()
}

fn masked() -> impl Strategy<Value = (F, u128, u128)> {
    field().prop_flat_map(|(f, v)| (Just(f), Just(v), masks(f)))
}

fn matching() -> impl Strategy<Value = Match> {
    prop::collection::vec(masked(), 0..4).prop_map(|parts| {
        let (mut flow, mut mask) = (Flow::default(), Mask::default());
        for (f, value, bits) in parts {
            // What a field needs is matched too, as ovs-ofctl would have it.
            let needs = match f {
                F::TcpDst => vec![(F::EthType, 0x800), (F::NwProto, 6)],
                F::UdpSrc => vec![(F::EthType, 0x800), (F::NwProto, 17)],
                F::IpSrc | F::IpDst | F::NwProto | F::NwTtl | F::NwTos => vec![(F::EthType, 0x800)],
                F::Ipv6Dst => vec![(F::EthType, 0x86dd)],
                F::ArpTpa => vec![(F::EthType, 0x806)],
                _ => vec![],
            };
            for (n, v) in needs {
                n.row().set_match(&mut flow, &mut mask, v, n.row().full_mask());
            }
            f.row().set_match(&mut flow, &mut mask, value & bits, bits);
        }
        Match::new(&flow, &mask)
    })
}

fn subfield() -> impl Strategy<Value = Subfield> {
    let writable = || FIELDS.iter().map(|(f, _)| *f).filter(|f| f.row().writable).collect::<Vec<_>>();
    (prop::sample::select(writable()), 0u16..8, 1u16..9).prop_map(|(field, ofs, n_bits)| {
        let bits = field.row().bits;
        // Whole fields of VLAN and DSCP: parts of them are the same code, told apart by their rows.
        if bits <= 16 { Subfield::whole(field) } else { Subfield { field, ofs: ofs * 2, n_bits } }
    })
}

fn port() -> impl Strategy<Value = OfPort> {
    prop_oneof![
        6 => (1u32..6).prop_map(OfPort),
        1 => Just(OfPort::IN_PORT),
        1 => Just(OfPort::FLOOD),
    ]
}

fn output() -> impl Strategy<Value = Action> {
    port().prop_map(|port| Action::Output { port, max_len: 0 })
}

fn set() -> impl Strategy<Value = Action> {
    masked().prop_filter("writable", |(f, ..)| f.row().writable && *f != F::InPort).prop_map(|(field, v, mask)| {
        let value = if field == F::NwTos { v & 0xfc } else { v } & mask;
        Action::SetField(SetField { field, value, mask, style: SetStyle::Load })
    })
}

fn simple() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => output(),
        6 => set(),
        1 => (subfield(), subfield()).prop_map(|(src, mut dst)| {
            dst.n_bits = dst.n_bits.min(src.n_bits);
            let src = Subfield { n_bits: dst.n_bits, ..src };
            if dst.field.row().bits <= 16 { Action::Exit } else { Action::Move { src, dst } }
        }),
        1 => Just(Action::Output { port: OfPort::ALL, max_len: 0 }),
        1 => Just(Action::OutputReg { src: Subfield { field: F::Reg0, ofs: 0, n_bits: 16 }, max_len: 0 }),
        2 => Just(Action::StripVlan),
        2 => prop::sample::select(vec![0x8100u16, 0x88a8]).prop_map(Action::PushVlan),
        1 => (0u16..4, any::<bool>()).prop_map(|(vid, push)| Action::SetVlanVid { vid, push }),
        1 => (0u8..3, any::<bool>()).prop_map(|(pcp, push)| Action::SetVlanPcp { pcp, push }),
        2 => Just(Action::DecTtl(vec![])),
        1 => subfield().prop_map(Action::StackPush),
        1 => subfield().prop_map(Action::StackPop),
        1 => (1u32..3).prop_map(|g| Action::Group(GroupId(g))),
        1 => Just(Action::WriteMetadata { value: 1 << 40, mask: 0xff << 40 }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let list = || prop::collection::vec(simple(), 0..4);
    let set_list = || prop::collection::vec(prop_oneof![output(), set(), Just(Action::StripVlan)], 0..4);
    let resubmit = (0u8..4, prop::option::of(1u32..4)).prop_map(|(t, p)| {
        let in_port = p.map_or(OfPort::IN_PORT, OfPort);
        Action::Resubmit(Resubmit { in_port, table: Some(TableId(t)), with_ct: false })
    });
    prop_oneof![
        12 => simple(),
        3 => resubmit,
        1 => list().prop_map(Action::Clone),
        1 => set_list().prop_map(Action::WriteActions),
        1 => Just(Action::ClearActions),
        1 => Just(Action::Exit),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    (prop::collection::vec(action(), 0..6), prop::option::weighted(0.3, 4u8..6)).prop_map(|(mut list, goto)| {
        list.extend(goto.map(|t| Action::GotoTable(TableId(t))));
        list
    })
}

/// A rule: table, match, actions. Its priority is its place in the list, so no two are equal.
fn rule() -> impl Strategy<Value = (u8, Match, Vec<Action>)> {
    (prop_oneof![3 => Just(0u8), 2 => 1u8..4], matching(), actions()).prop_map(|(t, m, mut a)| {
        a.retain(|x| !matches!(x, Action::GotoTable(to) if to.0 <= t));
        (t, m, a)
    })
}

fn late_rule() -> impl Strategy<Value = (u8, Match, Vec<Action>)> {
    (4u8..6, matching(), prop::collection::vec(simple(), 0..4))
}

fn bucket_actions() -> impl Strategy<Value = Vec<Action>> {
    let one = prop_oneof![output(), set(), Just(Action::StripVlan), Just(Action::PushVlan(0x8100))];
    prop::collection::vec(one, 0..4)
}

fn packet() -> impl Strategy<Value = Flow> {
    let frag = prop::sample::select(vec![0u128, 0, 0, 1, 3]);
    (prop::collection::vec(field(), 4..16), 1u32..4, frag, any::<bool>()).prop_map(|(parts, port, frag, double)| {
        let mut flow = Flow::default();
        let mut parts = parts;
        // Ethertype first, then what hangs on it, so that most packets have addresses and ports.
        parts.sort_by_key(|(f, _)| !matches!(f, F::EthType | F::NwProto) as u8);
        if parts.iter().all(|(f, _)| *f != F::EthType) {
            flow.set(l::ETH_TYPE, 0x800);
        }
        flow.set(l::NW_PROTO, 6);
        for (f, v) in parts {
            let packets_own = !matches!(f, F::Reg0 | F::Reg1 | F::Metadata | F::InPort);
            if packets_own && (f == F::NwProto || f.row().prereq.ok(&flow)) {
                f.row().set(&mut flow, v);
            }
        }
        let ip = matches!(flow.get64(l::ETH_TYPE), 0x800 | 0x86dd);
        flow.set(l::NW_FRAG, if ip { frag } else { 0 });
        if frag == 3 {
            flow.set(l::TP_SRC, 0);
            flow.set(l::TP_DST, 0);
        }
        if double && flow.get64(l::VLAN_TCI) != 0 {
            flow.set(l::VLAN_TPID, 0x88a8);
            flow.set(l::VLAN1_TPID, 0x8100);
            flow.set(l::VLAN1_TCI, 0x1009);
        }
        flow.set(l::IN_PORT, port.into());
        flow
    })
}

type Rules = Vec<(u8, Match, Vec<Action>)>;

fn tables() -> impl Strategy<Value = (Rules, Vec<Vec<Action>>)> {
    let rules = (prop::collection::vec(rule(), 1..8), prop::collection::vec(late_rule(), 0..3));
    let buckets = prop::collection::vec(bucket_actions(), 0..3);
    (
        rules.prop_map(|(mut a, b)| {
            a.extend(b);
            a
        }),
        buckets,
    )
}

fn noise() -> impl Strategy<Value = Flow> {
    let word = prop_oneof![3 => Just(0u64), 2 => any::<u64>(), 2 => (0u32..64).prop_map(|b| 1 << b)];
    prop::collection::vec(word, l::KEY_WORDS).prop_map(|words| {
        let mut flow = Flow::default();
        flow.w[..l::KEY_WORDS].copy_from_slice(&words);
        flow
    })
}

const NOW: Instant = Instant::from_millis(1000);

struct World {
    m: Manager,
    state: Box<State>,
    next: u16,
}

impl World {
    fn new((rules, buckets): &(Rules, Vec<Vec<Action>>)) -> World {
        let (mut m, _) = Manager::new(&Config::default()).unwrap();
        m.add_bridge(&BridgeConfig { name: "br".into(), ..BridgeConfig::default() }, NOW).unwrap();
        for i in 1..5 {
            m.add_port("br", PortConfig::device(&format!("p{i}"), OfPort(i), PortNo(10 + i))).unwrap();
        }
        let mut w = World { m, state: Box::default(), next: 1 };
        w.group(1, GroupKind::All, buckets);
        w.group(2, GroupKind::Indirect, &[buckets.first().cloned().unwrap_or_default()]);
        for (table, matching, actions) in rules {
            w.rule(*table, matching, actions, w.next);
            w.next += 10;
        }
        w
    }

    fn rule(&mut self, table: u8, matching: &Match, actions: &[Action], priority: u16) {
        let (matching, actions) = (matching.clone(), actions.to_vec());
        let table = Some(TableId(table));
        let request = FlowMod { table, priority, matching, actions, ..FlowMod::default() };
        self.m.flow_mod("br", &request, NOW).unwrap();
    }

    fn group(&mut self, id: u32, kind: GroupKind, buckets: &[Vec<Action>]) {
        let bucket = |(i, actions): (usize, &Vec<Action>)| Bucket {
            id: i as u32,
            weight: 1,
            watch_port: None,
            watch_group: None,
            actions: actions.clone(),
        };
        let request = GroupMod {
            command: GroupCommand::AddOrModify,
            id: GroupId(id),
            kind,
            buckets: buckets.iter().enumerate().map(bucket).collect(),
            command_bucket: None,
            selection_method: SelectionMethod::Default,
            selection_param: 0,
            fields: vec![],
        };
        self.m.group_mod("br", &request, NOW).unwrap();
    }

    /// The key as the datapath has it, for a packet that comes in on OpenFlow port IN_PORT.
    fn key(flow: &Flow) -> Flow {
        let mut key = flow.clone();
        key.set(l::IN_PORT, u128::from(10 + flow.get64(l::IN_PORT)));
        key
    }

    fn translate(&mut self, key: &Flow) -> Translation {
        let mut out = Translation::default();
        let (snap, shared) = (self.m.snapshot(), self.m.shared_for_tests());
        let input = Input { flow: key, frame: None, now: NOW };
        run(snap, shared, &input, &mut self.state, &mut out, Silent);
        out
    }
}

/// Ports, and what is sent to each: header words and tags.
type Outcome = Vec<(PortNo, (Vec<u64>, Vec<(u16, u16)>))>;

fn outcome(packet: &Flow, actions: &[DpAction]) -> Outcome {
    let mut sent = Vec::new();
    execute(&mut Packet::new(packet), actions, &mut sent);
    sent.into_iter().map(|(p, packet)| (p, packet.sent())).collect()
}

fn rules_of(t: &Translation) -> Vec<(dpif::TableKey, Option<dpif::RuleId>)> {
    t.deps.tables.iter().map(|d| (d.table, d.rule)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sends_what_the_twin_sends(tables in tables(), flow in packet(), noise in noise()) {
        let mut w = World::new(&tables);
        let key = World::key(&flow);
        let t = w.translate(&key);
        let naive = |flow: &Flow, w: &World| {
            let mut flow = flow.clone();
            let port = OfPort(flow.get64(l::IN_PORT) as u32 - 10);
            flow.set(l::IN_PORT, port.0.into());
            let n = Naive::run(w.m.snapshot().bridge(0).unwrap(), &flow, port);
            (n.failed, n.sent.into_iter().map(|(p, packet)| (p, packet.sent())).collect::<Vec<_>>())
        };
        let (failed, want) = naive(&key, &w);
        if !(t.drop.is_some() && (failed || t.drop == Some(dpif::DropReason::Translation))) {
            prop_assert_eq!(outcome(&key, &t.actions), want, "{}", dpif::text::Actions(&t.actions));
        }
        // Any packet that agrees on the mask gets the same.
        let other = vary(&key, &t.mask, &noise);
        let again = w.translate(&other);
        // A wider mask may save a rewrite, so the steps may differ, but not what is sent.
        prop_assert_eq!(outcome(&other, &again.actions), outcome(&other, &t.actions));
        prop_assert_eq!(rules_of(&again), rules_of(&t));
        if !(t.drop.is_some() && (failed || t.drop == Some(dpif::DropReason::Translation))) {
            // Flipped bits may make a packet that cannot be (a tag below none): the twin would see it otherwise.
            let sane = (other.w[5] ^ key.w[5], other.w[2] ^ key.w[2]) == (0, 0) || t.actions.iter().all(plain);
            if sane {
                prop_assert_eq!(outcome(&other, &t.actions).len(), naive(&other, &w).1.len());
            }
        }
    }

    #[test]
    fn no_stale_flow(
        tables in tables(), flow in packet(), noise in noise(),
        more in prop::collection::vec((rule(), 0u16..120, 0u8..6), 1..4),
    ) {
        let mut w = World::new(&tables);
        let key = World::key(&flow);
        let before = w.m.publish();
        let t = w.translate(&key);
        for ((table, matching, actions), priority, kind) in more {
            match kind {
                // odd priorities do not meet those that exist
                0..4 => w.rule(table, &matching, &actions, priority * 2),
                4 => {
                    let (table, command) = (Some(TableId(table)), Command::Delete);
                    let request = FlowMod { command, table, matching, ..FlowMod::default() };
                    w.m.flow_mod("br", &request, NOW).unwrap();
                }
                _ => w.m.modify_port("br", "p2", |p| p.flags.no_flood = !p.flags.no_flood).unwrap(),
            }
        }
        w.m.publish();
        let mut touched = false;
        let known = w.m.snapshot().log.visit(before, &mut |c| touched |= t.deps.touched_by(c, &key, &t.mask));
        prop_assert!(known);
        if !touched {
            for key in [key.clone(), vary(&key, &t.mask, &noise)] {
                let again = w.translate(&key);
                // A wider mask may save a rewrite, so the steps may differ, but not what is sent.
                prop_assert_eq!(outcome(&key, &again.actions), outcome(&key, &t.actions));
                prop_assert_eq!(rules_of(&again), rules_of(&t));
            }
        }
    }
}

fn plain(action: &DpAction) -> bool {
    matches!(action, DpAction::Output(_) | DpAction::Drop(_))
}

#[test]
fn unrelated_changes_touch_nothing() {
    // A flow through two tables with a register and a rewrite in between.
    let m = |parts: &[(F, u128)]| {
        let (mut flow, mut mask) = (Flow::default(), Mask::default());
        parts.iter().for_each(|(f, v)| assert!(f.row().set_match(&mut flow, &mut mask, *v, f.row().full_mask())));
        Match::new(&flow, &mask)
    };
    let load = |field: F, value| {
        let mask = field.row().full_mask();
        Action::SetField(SetField { field, value, mask, style: SetStyle::Load })
    };
    let out = |n| Action::Output { port: OfPort(n), max_len: 0 };
    let rules = vec![
        (0, m(&[(F::InPort, 1)]), vec![load(F::Reg0, 5), load(F::EthDst, 9), Action::GotoTable(TableId(1))]),
        (1, m(&[(F::Reg0, 5)]), vec![out(2)]),
    ];
    let mut w = World::new(&(rules, vec![]));
    let mut flow = Flow::default();
    flow.set(l::IN_PORT, 1);
    flow.set(l::ETH_TYPE, 0x800);
    flow.set(l::NW_DST, 0x0a00_0001);
    let key = World::key(&flow);
    let t = w.translate(&key);
    assert_eq!(dpif::text::Actions(&t.actions).to_string(), "set(eth(dst=00:00:00:00:00:09)),12");
    // (table, priority, match, does it touch?)
    let cases = [
        (0, 100, m(&[(F::InPort, 2)]), false),
        (0, 100, m(&[(F::InPort, 1)]), true),
        (0, 0, m(&[(F::InPort, 1)]), false),
        (0, 100, m(&[(F::Reg0, 5)]), false),
        (0, 100, m(&[(F::EthDst, 9)]), false),
        (0, 100, m(&[(F::EthDst, 0)]), true),
        (1, 100, m(&[(F::Reg0, 6)]), false),
        (1, 100, m(&[(F::Reg1, 1)]), false),
        (1, 100, m(&[(F::EthDst, 8)]), false),
        (1, 100, m(&[(F::EthDst, 9)]), true),
        (1, 100, m(&[(F::EthType, 0x800), (F::IpDst, 0x0b00_0001)]), true),
        (1, 100, m(&[(F::EthType, 0x806)]), false),
        (2, 100, m(&[]), false),
    ];
    for (table, priority, matching, want) in cases {
        let change = Change::Added { table: dpif::TableKey { bridge: 0, table }, priority, matching: matching.clone() };
        assert_eq!(t.deps.touched_by(&change, &key, &t.mask), want, "table {table} {priority} {matching:?}");
    }
}
