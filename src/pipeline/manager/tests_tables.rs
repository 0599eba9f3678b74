//! Tables with limits against a naive one: which flows there are after any flow-mods, bundles, learned flows and changes of limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Instant;
use flow::FieldId;
use flow::Match;
use openflow::flow_mod::Command;
use openflow::{FlowMod, Subfield, TableId};
use proptest::prelude::*;

use super::{BridgeConfig, BundleItem, Config, Error, FlowFilter, Manager, RemovedReason};
use crate::snapshot::setup::{TableChange, TableConfig};

#[derive(Clone, Debug)]
enum Step {
    Add {
        port: u8,
        mac: u8,
        importance: u16,
        idle: u16,
        hard: u16,
    },
    Modify {
        port: u8,
        mac: u8,
    },
    Delete {
        port: u8,
    },
    Limit {
        limit: Option<u32>,
        evicts: bool,
        grouped: bool,
    },
    Bundle(Vec<Step>),
    Wait(u8),
    /// A packet of the flow comes.
    Packet {
        port: u8,
        mac: u8,
    },
}

/// A flow: what decides over it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flow {
    importance: u16,
    idle: u16,
    hard: u16,
    used: u64,
    modified: u64,
    number: u64,
}

#[derive(Clone, Debug, Default)]
struct Naive {
    flows: BTreeMap<(u8, u8), Flow>,
    limit: Option<u32>,
    evicts: bool,
    grouped: bool,
    numbers: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Flow {
    fn expires(&self) -> Option<u64> {
        let after = |from: u64, n: u16| (n != 0).then(|| from + u64::from(n) * SECOND);
        after(self.modified, self.hard).into_iter().chain(after(self.used, self.idle)).min()
    }
}

impl Naive {
    fn evict(&mut self) -> bool {
        let group = |port: u8| if self.grouped { port } else { 0 };
        let timed: Vec<_> = self.flows.iter().filter_map(|(k, f)| Some((*k, f, f.expires()?))).collect();
        let size = |port: u8| timed.iter().filter(|((p, _), ..)| group(*p) == group(port)).count();
        let next = timed.iter().min_by_key(|(k, f, at)| (std::cmp::Reverse(size(k.0)), f.importance, *at, f.number));
        let gone = next.filter(|_| self.evicts).map(|(k, ..)| *k);
        gone.is_some_and(|k| self.flows.remove(&k).is_some())
    }

    fn is_full(&self, more: usize) -> bool {
        self.limit.is_some_and(|limit| self.flows.len() + more > limit as usize)
    }

    /// False: refused, and nothing is done.
    fn step(&mut self, step: &Step, now: u64) -> bool {
        match step {
            Step::Add { port, mac, importance, idle, hard } => {
                let key = (*port, *mac);
                if !self.flows.contains_key(&key) && self.is_full(1) && (!self.evict() || self.is_full(1)) {
                    return false;
                }
                self.numbers += 1;
                let used = self.flows.get(&key).map_or(0, |old| old.used).max(now);
                let (importance, idle, hard) = (*importance, *idle, *hard);
                self.flows.insert(key, Flow { importance, idle, hard, used, modified: now, number: self.numbers });
            }
            Step::Modify { port, mac } => {
                if let Some(flow) = self.flows.get_mut(&(*port, *mac)) {
                    (flow.modified, flow.used) = (now, flow.used.max(now));
                }
            }
            Step::Delete { port } => self.flows.retain(|(p, _), _| p != port),
            Step::Limit { limit, evicts, grouped } => {
                (self.limit, self.evicts, self.grouped) = (*limit, *evicts, *grouped);
                while self.is_full(0) && self.evict() {}
            }
            Step::Bundle(steps) => {
                let mut copy = self.clone();
                if !steps.iter().all(|step| copy.step(step, now)) {
                    return false;
                }
                *self = copy;
            }
            Step::Packet { port, mac } => {
                if let Some(flow) = self.flows.get_mut(&(*port, *mac)) {
                    flow.used = now;
                }
            }
            Step::Wait(_) => {}
        }
        true
    }
}

fn matching(port: u8, mac: Option<u8>) -> Match {
    let open = Match::default().with(FieldId::InPort.row().slot, port.into(), u128::from(u32::MAX));
    match mac {
        Some(mac) => open.with(FieldId::EthDst.row().slot, mac.into(), (1 << 48) - 1),
        None => open,
    }
}

fn flow_mod(step: &Step) -> Option<FlowMod> {
    let in_table = FlowMod { table: Some(TableId(3)), ..FlowMod::default() };
    Some(match *step {
        Step::Add { port, mac, importance, idle, hard } => FlowMod {
            command: Command::Add,
            matching: matching(port, Some(mac)),
            importance,
            idle_timeout: idle,
            hard_timeout: hard,
            ..in_table
        },
        Step::Modify { port, mac } => {
            FlowMod { command: Command::ModifyStrict, matching: matching(port, Some(mac)), ..in_table }
        }
        Step::Delete { port } => FlowMod { command: Command::Delete, matching: matching(port, None), ..in_table },
        _ => return None,
    })
}

fn flow_step() -> impl Strategy<Value = Step> {
    let timeout = || prop_oneof![Just(0u16), 1000u16..1020];
    prop_oneof![
        6 => (1u8..4, 0u8..6, 0u16..3, timeout(), timeout())
            .prop_map(|(port, mac, importance, idle, hard)| Step::Add { port, mac, importance, idle, hard }),
        1 => (1u8..4, 0u8..6).prop_map(|(port, mac)| Step::Modify { port, mac }),
        1 => (1u8..4).prop_map(|port| Step::Delete { port }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let limit = prop::option::weighted(0.8, 0u32..8);
    prop_oneof![
        8 => flow_step(),
        1 => (limit, any::<bool>(), any::<bool>())
            .prop_map(|(limit, evicts, grouped)| Step::Limit { limit, evicts, grouped }),
        1 => prop::collection::vec(flow_step(), 0..6).prop_map(Step::Bundle),
        1 => (1u8..5).prop_map(Step::Wait),
        2 => (1u8..4, 0u8..6).prop_map(|(port, mac)| Step::Packet { port, mac }),
    ]
}

fn bridge() -> Manager {
    let (mut manager, _) = Manager::new(&Config::default()).unwrap();
    manager.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, Instant::ZERO).unwrap();
    manager
}

proptest! {
    #[test]
    fn limits_are_kept_as_by_a_naive_table(steps in prop::collection::vec(step(), 1..60)) {
        let (mut manager, mut naive) = (bridge(), Naive::default());
        let mut now = SECOND;
        for step in &steps {
            let at = Instant::from_nanos(now);
            let fits = naive.step(step, now);
            let done = match step {
                Step::Limit { limit, evicts, grouped } => {
                    let fields: &[Subfield] = if *grouped { &[Subfield::whole(FieldId::InPort)] } else { &[] };
                    let config = TableConfig { limit: *limit, evicts: *evicts, groups: fields.into(), name: None };
                    manager.set_tables("br0", &BTreeMap::from([(3, config)]))
                }
                Step::Bundle(steps) => {
                    let items: Vec<_> = steps.iter().filter_map(flow_mod).map(BundleItem::Flow).collect();
                    manager.bundle("br0", &items, at).map(drop).map_err(|(_, e)| e)
                }
                Step::Wait(seconds) => {
                    now += u64::from(*seconds) * SECOND;
                    Ok(())
                }
                Step::Packet { port, mac } => {
                    let table = manager.snapshot().bridge_named("br0").and_then(|b| b.table(3).cloned());
                    let rule = table.and_then(|t| t.rules.find_exact(&matching(*port, Some(*mac)), 0x8000).cloned());
                    rule.iter().for_each(|rule| rule.stats.add(1, 60, at));
                    Ok(())
                }
                step => manager.flow_mod("br0", &flow_mod(step).unwrap(), at).map(drop),
            };
            prop_assert_eq!(done, if fits { Ok(()) } else { Err(Error::TableFull(TableId(3))) }, "{:?}", step);
            let flows = manager.dump_flows("br0", &FlowFilter::default()).unwrap();
            let mut there: Vec<Match> = flows.iter().map(|(_, rule)| rule.matching.clone()).collect();
            let mut wanted: Vec<Match> = naive.flows.keys().map(|(port, mac)| matching(*port, Some(*mac))).collect();
            let by = |m: &Match| format!("{m:?}");
            there.sort_by_key(by);
            wanted.sort_by_key(by);
            prop_assert_eq!(there, wanted, "{:?}", step);
        }
    }
}

fn add(manager: &mut Manager, n: u8) -> Result<(), Error> {
    let step = Step::Add { port: 1, mac: n, importance: 0, idle: 0, hard: 0 };
    manager.flow_mod("br0", &flow_mod(&step).unwrap(), Instant::ZERO).map(drop)
}

#[test]
fn room_is_told_once_each_way() {
    let mut manager = bridge();
    let config = TableConfig { limit: Some(10), ..TableConfig::default() };
    manager.set_tables("br0", &BTreeMap::from([(3, config)])).unwrap();
    let watch = TableChange { table: Some(TableId(3)), vacancy: Some(Some((20, 80))), ..TableChange::default() };
    manager.change_table("br0", &watch).unwrap();
    (0..10).for_each(|n| add(&mut manager, n).unwrap());
    let told = |manager: &mut Manager| manager.take_table_events().iter().map(|e| (e.up, e.left)).collect::<Vec<_>>();
    assert_eq!(told(&mut manager), [(false, 10)]);
    assert_eq!(add(&mut manager, 10), Err(Error::TableFull(TableId(3))));
    // a bundle that fails tells nothing, one that does not tells what came of it
    let delete = BundleItem::Flow(flow_mod(&Step::Delete { port: 1 }).unwrap());
    let bad = BundleItem::Flow(FlowMod { table: Some(TableId(255)), ..FlowMod::default() });
    assert!(manager.bundle("br0", &[delete.clone(), bad], Instant::ZERO).is_err());
    assert_eq!(told(&mut manager), []);
    manager.bundle("br0", &[delete], Instant::ZERO).unwrap();
    assert_eq!(told(&mut manager), [(true, 100)]);
}

#[test]
fn who_goes_for_another_is_told_why() {
    let mut manager = bridge();
    let config = TableConfig { limit: Some(1), evicts: true, ..TableConfig::default() };
    manager.set_tables("br0", &BTreeMap::from([(3, config)])).unwrap();
    let mut first = flow_mod(&Step::Add { port: 1, mac: 1, importance: 0, idle: 9, hard: 0 }).unwrap();
    first.flags.send_flow_rem = true;
    manager.flow_mod("br0", &first, Instant::ZERO).unwrap();
    add(&mut manager, 2).unwrap();
    assert_eq!(manager.take_removed().iter().map(|r| r.reason).collect::<Vec<_>>(), [RemovedReason::Eviction]);
    // one without a timeout stays
    assert!(add(&mut manager, 3).is_err());
}

#[test]
fn names_of_the_database_stay() {
    let mut manager = bridge();
    let name = |manager: &mut Manager, n: u8, name: &str| manager.name_tables("br0", &[(TableId(n), name.to_owned())]);
    let shown = |manager: &Manager, n: u8| manager.snapshot().bridge_named("br0").unwrap().setup(n).name().to_owned();
    name(&mut manager, 1, "one").unwrap();
    let config = TableConfig { name: Some(Arc::from("zero")), ..TableConfig::default() };
    manager.set_tables("br0", &BTreeMap::from([(0, config)])).unwrap();
    assert_eq!(name(&mut manager, 0, "other"), Err(Error::TableNamed(TableId(0))));
    name(&mut manager, 0, "zero").unwrap();
    assert_eq!(name(&mut manager, 254, "own"), Err(Error::NoSuchTable(TableId(254))));
    assert_eq!([shown(&manager, 0), shown(&manager, 1), shown(&manager, 2)], ["zero", "one", ""]);
    manager.set_tables("br0", &BTreeMap::new()).unwrap();
    name(&mut manager, 1, "").unwrap();
    assert_eq!([shown(&manager, 0), shown(&manager, 1)], ["", ""]);
}

/// Time goes on for a flow that is used.
#[test]
fn what_is_used_goes_later() {
    let mut manager = bridge();
    let config = TableConfig { limit: Some(2), evicts: true, ..TableConfig::default() };
    manager.set_tables("br0", &BTreeMap::from([(3, config)])).unwrap();
    for mac in [1, 2] {
        let idle = 10 + u16::from(mac);
        let step = Step::Add { port: 1, mac, importance: 0, idle, hard: 0 };
        manager.flow_mod("br0", &flow_mod(&step).unwrap(), Instant::ZERO).unwrap();
    }
    let find = |manager: &Manager, mac| {
        let table = manager.snapshot().bridge_named("br0").unwrap().table(3).unwrap().clone();
        table.rules.find_exact(&matching(1, Some(mac)), 0x8000).cloned()
    };
    find(&manager, 1).unwrap().stats.add(1, 60, Instant::ZERO + Duration::from_secs(5));
    add(&mut manager, 3).unwrap();
    assert!(find(&manager, 1).is_some() && find(&manager, 2).is_none());
}
