//! What watchers of flows are told: applied to the flows that there were at first, it gives the flows that there are, however
//! often a watcher falls behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use base::clock::Instant;
use dpif::PortNo;
use openflow::flow_mod::Command;
use openflow::text::{NoNames, parse_flow, parse_flows, parse_groups};
use openflow::wire::flow::RemovedReason as Why;
use openflow::wire::monitor::{FlowEvent, FlowUpdate, MonitorCommand, MonitorRequest, watch};
use openflow::{Action, FlowMod, GroupMod, OfPort, TableId};
use pipeline::watch::{By, Next, Refused, Watcher, initial};
use pipeline::{Bridge, BridgeConfig, BundleItem, Config, FlowFilter, Manager, PortConfig};
use proptest::prelude::*;

const NOW: Instant = Instant::from_millis(1000);
const ALL: u16 = watch::INITIAL | watch::ADD | watch::DELETE | watch::MODIFY | watch::ACTIONS | watch::OWN;

fn manager() -> Manager {
    let (mut m, _) = Manager::new(&Config::default()).unwrap();
    m.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, NOW).unwrap();
    for i in 1..5 {
        m.add_port("br0", PortConfig::device(&format!("p{i}"), OfPort(i), PortNo(i))).unwrap();
    }
    let clear = FlowMod { command: Command::Delete, ..FlowMod::default() };
    m.flow_mod("br0", &clear, NOW).unwrap();
    m.watch_flows(true);
    m
}

fn bridge(m: &Manager) -> Arc<Bridge> {
    m.snapshot().bridge_named("br0").unwrap().clone()
}

fn flow(text: &str, command: Command) -> FlowMod {
    parse_flow(text, command, &NoNames).unwrap().flow
}

fn group(text: &str, command: openflow::group_mod::GroupCommand) -> GroupMod {
    GroupMod { command, ..parse_groups(text, &NoNames).unwrap().pop().unwrap() }
}

type Flows = BTreeMap<(u8, u16, String), (u64, Vec<Action>)>;

fn table(m: &Manager) -> Flows {
    let flows = bridge(m).flows(&FlowFilter::default());
    let text = |m: &flow::Match| format!("{m:?}");
    flows.iter().map(|(t, r)| ((t.0, r.priority(), text(&r.matching)), (r.cookie.0, r.actions.to_vec()))).collect()
}

/// Has a watcher's knowledge follow what it is told; what cannot be true is an error.
fn apply(known: &mut Flows, updates: Vec<FlowUpdate>) {
    for update in updates {
        let FlowUpdate::Full(f) = update else { panic!("{update:?}") };
        let key = (f.table.0, f.priority, format!("{:?}", f.matching));
        match f.event {
            FlowEvent::Deleted(_) => assert!(known.remove(&key).is_some(), "{key:?} was not there"),
            FlowEvent::Modified => assert!(known.insert(key, (f.cookie.0, f.actions)).is_some()),
            FlowEvent::Initial | FlowEvent::Added => drop(known.insert(key, (f.cookie.0, f.actions))),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Change(Command, u8, u16, u8, u8),
    Bundle(Vec<Step>),
    Groups,
    FallBehind,
    CatchUp,
    /// Changes while the difference is made, and so many that they are too many to keep.
    CatchUpLate(Vec<Step>, bool),
}

fn flow_step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        4 => Just(Command::Add),
        1 => Just(Command::Modify),
        1 => Just(Command::ModifyStrict),
        1 => Just(Command::Delete),
        2 => Just(Command::DeleteStrict)
    ];
    (command, 0u8..3, 1u16..3, 0u8..5, 0u8..5).prop_map(|(c, t, p, m, a)| Step::Change(c, t, p, m, a))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(flow_step(), 0..6);
    let step = prop_oneof![
        8 => flow_step(),
        1 => some().prop_map(Step::Bundle),
        1 => Just(Step::Groups),
        1 => Just(Step::FallBehind),
        1 => Just(Step::CatchUp),
        1 => (some(), any::<bool>()).prop_map(|(s, many)| Step::CatchUpLate(s, many)),
    ];
    prop::collection::vec(step, 1..40)
}

fn flow_mod(step: &Step) -> Option<FlowMod> {
    let Step::Change(command, table, priority, matching, actions) = step else { return None };
    let matching = ["", "in_port=1", "in_port=2,ip", "tcp", "tcp,tp_dst=80"][usize::from(*matching)];
    let actions = ["drop", "output:1", "output:2,output:3", "group:1", "group:2"][usize::from(*actions)];
    let (priority, text) = match command {
        Command::Modify | Command::Delete => (String::new(), *command),
        c => (format!("priority={priority},"), *c),
    };
    let cookie = if *command == Command::Add { "cookie=7," } else { "" };
    let actions = match text {
        Command::Delete | Command::DeleteStrict => String::new(),
        _ => format!("actions={actions}"),
    };
    Some(flow(&format!("table={table},{priority}{cookie}{matching} {actions}"), text))
}

fn groups(m: &mut Manager) {
    use openflow::group_mod::GroupCommand::{AddOrModify, Delete};
    m.group_mod("br0", &group("group_id=1,type=all,bucket=output:1", Delete), NOW).unwrap();
    for id in 1..3 {
        let group = group(&format!("group_id={id},type=all,bucket=output:1"), AddOrModify);
        m.group_mod("br0", &group, NOW).unwrap();
    }
}

fn change(m: &mut Manager, step: &Step) {
    // what is refused changes nothing
    if let Some(request) = flow_mod(step) {
        let _ = m.flow_mod("br0", &request, NOW);
    }
}

fn many(m: &mut Manager) {
    for n in 0..1100 {
        let text = format!("table=2,priority=9,reg1={n} actions=output:{}", n % 4);
        m.flow_mod("br0", &flow(&text, Command::Add), NOW).unwrap();
    }
    m.flow_mod("br0", &flow("table=2,reg1=0x0/0x1", Command::Delete), NOW).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_gives_the_tables(before in steps(), after in steps()) {
        let mut m = manager();
        groups(&mut m);
        before.iter().for_each(|s| change(&mut m, s));
        m.take_flow_changes();
        let mut watcher = Watcher::new(1);
        let request = MonitorRequest { id: 5, flags: ALL, ..MonitorRequest::default() };
        let begun = watcher.request(vec![request]).unwrap();
        let mut known = Flows::new();
        apply(&mut known, initial(&bridge(&m), &begun));
        prop_assert_eq!(&known, &table(&m));
        for step in &after {
            match step {
                Step::Change(..) => change(&mut m, step),
                Step::Bundle(steps) => {
                    let items: Vec<_> = steps.iter().filter_map(flow_mod).map(BundleItem::Flow).collect();
                    let _ = m.bundle("br0", &items, NOW);
                }
                Step::Groups => groups(&mut m),
                Step::FallBehind => watcher.fall_behind(&bridge(&m), true),
                Step::CatchUp | Step::CatchUpLate(..) => {
                    let Some(mut difference) = watcher.catch_up(&bridge(&m)) else { continue };
                    if let Step::CatchUpLate(steps, lots) = step {
                        if *lots {
                            many(&mut m);
                        }
                        steps.iter().for_each(|s| change(&mut m, s));
                        prop_assert!(watcher.tell(&m.take_flow_changes()).is_empty());
                    }
                    loop {
                        apply(&mut known, difference.updates());
                        match watcher.caught_up() {
                            Next::Live { updates, resumed } => {
                                prop_assert!(resumed);
                                apply(&mut known, updates);
                                break;
                            }
                            Next::Again => difference = watcher.catch_up(&bridge(&m)).unwrap(),
                        }
                    }
                }
            }
            let changes = m.take_flow_changes();
            apply(&mut known, watcher.tell(&changes));
            if !watcher.is_behind() {
                prop_assert_eq!(&known, &table(&m));
            }
        }
    }
}

fn events(updates: &[FlowUpdate]) -> Vec<FlowEvent> {
    updates.iter().filter_map(|u| if let FlowUpdate::Full(f) = u { Some(f.event) } else { None }).collect()
}

#[test]
fn monitors_choose_what_they_are_told() {
    let mut m = manager();
    let mut watcher = Watcher::new(1);
    let only = |id, flags| MonitorRequest { id, flags, ..MonitorRequest::default() };
    let ports = MonitorRequest { out_port: Some(OfPort(2)), ..only(1, ALL & !watch::ACTIONS) };
    let inner = MonitorRequest { table: Some(TableId(3)), ..only(2, watch::ADD) };
    watcher.request(vec![ports.clone(), inner]).unwrap();
    assert_eq!(watcher.request(vec![only(3, ALL), ports.clone()]), Err(Refused::Exists));
    assert_eq!(
        watcher.request(vec![MonitorRequest { command: MonitorCommand::Delete, ..only(3, ALL) }]),
        Err(Refused::Unknown)
    );
    let mut told = |m: &mut Manager, text: &str, command| {
        m.act_for(Some(By { connection: 1, xid: 77 }));
        m.flow_mod("br0", &flow(text, command), NOW).unwrap();
        m.act_for(None);
        watcher.tell(&m.take_flow_changes())
    };
    assert_eq!(told(&mut m, "in_port=1 actions=output:1", Command::Add), []);
    // the other monitor has no "own"
    assert_eq!(told(&mut m, "table=3,in_port=1 actions=output:1", Command::Add), [FlowUpdate::Abbreviated(77)]);
    let added = told(&mut m, "table=3,in_port=2 actions=output:2", Command::Add);
    assert_eq!(events(&added), [FlowEvent::Added]);
    assert!(matches!(&added[..], [FlowUpdate::Full(f)] if f.actions.is_empty()));
    // it leads there no more
    assert_eq!(events(&told(&mut m, "in_port=2 actions=output:3", Command::Modify)), [FlowEvent::Modified]);
    // nothing changes
    assert_eq!(told(&mut m, "in_port=2 actions=output:3", Command::Modify), []);
    assert_eq!(told(&mut m, "in_port=2", Command::Delete), []);
    assert!(!watcher.cancel(9) && watcher.cancel(1) && watcher.cancel(2) && watcher.is_idle());
}

#[test]
fn why_flows_went_is_told_late_too() {
    let mut m = manager();
    let mut watcher = Watcher::new(1);
    let add = |m: &mut Manager, text: &str| m.flow_mod("br0", &flow(text, Command::Add), NOW).unwrap();
    add(&mut m, "in_port=1,hard_timeout=1 actions=output:1");
    add(&mut m, "in_port=2 actions=output:1");
    m.take_flow_changes();
    watcher.request(vec![MonitorRequest { flags: ALL, ..MonitorRequest::default() }]).unwrap();
    watcher.fall_behind(&bridge(&m), true);
    m.process(Instant::from_millis(3000));
    m.flow_mod("br0", &flow("in_port=2", Command::Delete), NOW).unwrap();
    assert!(watcher.tell(&m.take_flow_changes()).is_empty());
    let mut told = events(&watcher.catch_up(&bridge(&m)).unwrap().updates());
    told.sort_by_key(|e| if let FlowEvent::Deleted(why) = e { *why } else { u8::MAX });
    let deleted = |why: Why| FlowEvent::Deleted(why as u8);
    assert_eq!(told, [deleted(Why::HardTimeout), deleted(Why::Delete)]);
    assert!(matches!(watcher.caught_up(), Next::Live { resumed: true, .. }));
}

#[test]
fn nothing_is_noted_while_nobody_watches() {
    let mut m = manager();
    m.watch_flows(false);
    for parsed in parse_flows("in_port=1 actions=2\nin_port=2 actions=1", &NoNames).unwrap() {
        m.flow_mod("br0", &parsed.flow, NOW).unwrap();
    }
    assert!(m.take_flow_changes().is_empty());
}
