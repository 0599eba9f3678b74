//! Edits: what they do to the tables, to what readers see, and what is refused.

use std::time::Duration;

use base::clock::Instant;
use dpif::{Effect, PortNo, Reader};
use openflow::flow_mod::{Command, FlowFlags};
use openflow::text::{NoNames, parse_flows, parse_groups};
use openflow::{Action, FlowMod, OfPort, TableId};

use super::*;
use crate::snapshot::port::PortConfig;

const NOW: Instant = Instant::from_millis(10_000);

fn world() -> (Manager, Box<dyn Reader>) {
    let (mut m, t) = Manager::new(&Config::default()).unwrap();
    m.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, NOW).unwrap();
    for i in 1..4 {
        m.add_port("br0", PortConfig::device(&format!("p{i}"), OfPort(i), PortNo(i))).unwrap();
    }
    let reader = t.reader("test");
    (m, reader)
}

fn flow(text: &str) -> FlowMod {
    parse_flows(text, &NoNames).unwrap().pop().unwrap().flow
}

fn with(text: &str, command: Command) -> FlowMod {
    FlowMod { command, ..flow(text) }
}

fn listed(m: &Manager) -> Vec<(u8, u16, usize)> {
    let all = m.dump_flows("br0", &FlowFilter::default()).unwrap();
    all.into_iter().map(|(t, r)| (t.0, r.priority(), r.actions.len())).collect()
}

#[test]
fn flows_come_change_and_go() {
    let (mut m, _) = world();
    for text in ["priority=5,ip actions=1", "priority=7,tcp actions=1,2", "table=3,priority=1 actions=drop"] {
        m.flow_mod("br0", &flow(text), NOW).unwrap();
    }
    assert_eq!(listed(&m), [(0, 7, 2), (0, 5, 1), (3, 1, 0)]);
    // the same match and priority: replaced, counters kept unless told otherwise
    let stats = m.dump_flows("br0", &FlowFilter::default()).unwrap()[1].1.stats.clone();
    stats.add(3, 180, NOW);
    m.flow_mod("br0", &flow("priority=5,ip actions=1,2,3"), NOW).unwrap();
    let rule = m.dump_flows("br0", &FlowFilter::default()).unwrap()[1].1.clone();
    assert_eq!((rule.actions.len(), rule.stats.get().0), (3, 3));
    let reset =
        FlowMod { flags: FlowFlags { reset_counts: true, ..FlowFlags::default() }, ..flow("priority=5,ip actions=1") };
    m.flow_mod("br0", &reset, NOW).unwrap();
    assert_eq!(m.dump_flows("br0", &FlowFilter::default()).unwrap()[1].1.stats.get().0, 0);
    // loosely: everything within ip; strictly: this one
    let done = m.flow_mod("br0", &with("ip actions=2,2,2,2", Command::Modify), NOW).unwrap();
    assert_eq!((done.modified, listed(&m)), (2, vec![(0, 7, 4), (0, 5, 4), (3, 1, 0)]));
    let done = m.flow_mod("br0", &with("priority=5,ip actions=drop", Command::ModifyStrict), NOW).unwrap();
    assert_eq!((done.modified, listed(&m)), (1, vec![(0, 7, 4), (0, 5, 0), (3, 1, 0)]));
    let by_port = FlowMod { out_port: Some(OfPort(2)), ..with("actions=drop", Command::Delete) };
    let by_port = FlowMod { table: None, ..by_port };
    assert_eq!(m.flow_mod("br0", &by_port, NOW).unwrap().removed, 1);
    assert_eq!(
        m.flow_mod("br0", &with("table=0,priority=6,ip actions=drop", Command::DeleteStrict), NOW).unwrap().removed,
        0
    );
    let all = FlowMod { table: None, ..with("actions=drop", Command::Delete) };
    assert_eq!((m.flow_mod("br0", &all, NOW).unwrap().removed, listed(&m).len()), (2, 0));
}

#[test]
fn what_is_wrong_is_refused() {
    let (mut m, _) = world();
    m.flow_mod("br0", &flow("priority=5,ip actions=1"), NOW).unwrap();
    let overlap = FlowMod {
        flags: FlowFlags { check_overlap: true, ..FlowFlags::default() },
        ..flow("priority=5,in_port=1 actions=1")
    };
    assert_eq!(m.flow_mod("br0", &overlap, NOW), Err(Error::Overlap));
    let back = FlowMod { table: Some(TableId(3)), ..flow("actions=goto_table:4") };
    assert!(m.flow_mod("br0", &back, NOW).is_ok());
    let back = FlowMod { table: Some(TableId(4)), ..back };
    assert_eq!(m.flow_mod("br0", &back, NOW), Err(Error::GotoBackward(TableId(4), TableId(4))));
    assert!(matches!(
        m.flow_mod("br0", &flow("actions=fin_timeout(idle_timeout=5)"), NOW),
        Err(Error::UnsupportedAction(_)) | Ok(_)
    ));
    assert_eq!(m.flow_mod("br9", &flow("actions=1"), NOW), Err(Error::NoSuchBridge("br9".into())));
    assert_eq!(m.add_port("br0", PortConfig::device("p1", OfPort(9), PortNo(9))), Err(Error::PortExists("p1".into())));
    assert_eq!(m.add_port("br0", PortConfig::device("q", OfPort(1), PortNo(9))), Err(Error::BadPortNumber(OfPort(1))));
    assert_eq!(
        m.add_port("br0", PortConfig::device("q", OfPort(9), PortNo(1))),
        Err(Error::DatapathPortInUse(PortNo(1)))
    );
    let group = |text: &str| parse_groups(text, &NoNames).unwrap().pop().unwrap();
    m.group_mod("br0", &group("group_id=1,type=all,bucket=actions=1"), NOW).unwrap();
    assert_eq!(
        m.group_mod("br0", &group("group_id=1,type=all,bucket=actions=1"), NOW),
        Err(Error::GroupExists(openflow::GroupId(1)))
    );
    m.group_mod("br0", &group("group_id=2,type=all,bucket=actions=group:1"), NOW).unwrap();
    let mut circle = group("group_id=1,type=all,bucket=actions=group:2");
    circle.command = openflow::group_mod::GroupCommand::Modify;
    assert_eq!(m.group_mod("br0", &circle, NOW), Err(Error::GroupLoop(openflow::GroupId(1))));
    for sends in ["group:7", "clone(group:7)", "write_actions(output:1,group:7)"] {
        let request = flow(&format!("actions={sends}"));
        assert_eq!(m.flow_mod("br0", &request, NOW), Err(Error::BadOutGroup(openflow::GroupId(7))), "{sends}");
    }
    // what is nested in what is written is looked at too
    let nested = |inside| vec![Action::WriteActions(vec![Action::Clone(vec![inside])])];
    for (inside, why) in [
        (Action::Group(openflow::GroupId(7)), Error::BadOutGroup(openflow::GroupId(7))),
        (Action::Exit, Error::BadSetAction("exit")),
    ] {
        let request = FlowMod { actions: nested(inside), ..flow("actions=drop") };
        assert_eq!(m.flow_mod("br0", &request, NOW), Err(why));
    }
    // a bucket may have them, and does nothing by them
    let idle = "group_id=8,type=all,bucket=actions=clone(1),note:00,exit,push:NXM_NX_REG0[]";
    m.group_mod("br0", &group(idle), NOW).unwrap();
}

#[test]
fn bundles_are_all_or_nothing() {
    let (mut m, mut reader) = world();
    m.flow_mod("br0", &flow("priority=5,ip actions=1"), NOW).unwrap();
    m.publish();
    let before = listed(&m);
    let items = [
        BundleItem::Flow(with("actions=drop", Command::Delete)),
        BundleItem::Flow(flow("priority=9 actions=2")),
        BundleItem::Flow(FlowMod { table: Some(TableId(255)), ..flow("actions=2") }),
    ];
    let failed = m.bundle("br0", &items, NOW).unwrap_err();
    assert_eq!((failed, listed(&m), m.is_dirty()), ((2, Error::BadTable(TableId(255))), before, false));
    // a rule with a timeout that a failed bundle had removed still expires
    m.flow_mod("br0", &flow("priority=6,hard_timeout=10 actions=1"), NOW).unwrap();
    assert!(m.bundle("br0", &items, NOW).is_err());
    assert_eq!(listed(&m).len(), 2);
    m.process(NOW + Duration::from_secs(10));
    assert_eq!(listed(&m).len(), 1);
    m.publish();
    let version = m.snapshot().version;
    let done = m.bundle("br0", &items[..2], NOW).unwrap();
    assert_eq!((done.removed, done.added, listed(&m)), (1, 1, vec![(0, 9, 1)]));
    assert!(m.publish() == version + 1 && !m.passed(version + 1));
    assert_eq!((reader.refresh(), m.passed(version + 1)), (version + 1, true));
}

#[test]
fn a_draft_is_seen_when_it_is_whole_and_other_things_go_on() {
    let (mut m, mut reader) = world();
    m.flow_mod("br0", &flow("priority=6,hard_timeout=10 actions=1"), NOW).unwrap();
    m.publish();
    let late = NOW + Duration::from_secs(20);
    let mut draft = m.draft("br0").unwrap();
    let delete = BundleItem::Flow(with("priority=6 actions=drop", Command::DeleteStrict));
    m.change_draft(&mut draft, &BundleItem::Flow(flow("priority=9 actions=2")), NOW).unwrap();
    assert_eq!((listed(&m), m.is_dirty()), (vec![(0, 6, 1)], false));
    // packets teach and ports come; nothing expires that the draft has a copy of
    assert!(reader.apply(&Effect::Learn { bridge: 0, vlan: 0, mac: 0xa, port: 1, gratuitous: false }, late));
    assert!(m.process(late));
    m.add_port("br0", PortConfig::device("p4", OfPort(4), PortNo(4))).unwrap();
    m.publish();
    assert_eq!(listed(&m), [(0, 6, 1)]);
    m.change_draft(&mut draft, &delete, NOW).unwrap();
    let done = m.commit(draft).unwrap();
    assert_eq!((done.added, done.removed, listed(&m), m.is_dirty()), (1, 1, vec![(0, 9, 1)], true));
    let bridge = m.snapshot().bridge_named("br0").unwrap();
    assert_eq!((bridge.fdb.len(), bridge.ports.len()), (1, 4));
    // one that is given up leaves flows to expire
    m.flow_mod("br0", &flow("priority=7,hard_timeout=10 actions=1"), NOW).unwrap();
    let mut draft = m.draft("br0").unwrap();
    m.change_draft(&mut draft, &BundleItem::Flow(flow("priority=5 actions=2")), NOW).unwrap();
    m.process(late);
    assert_eq!(listed(&m), [(0, 9, 1), (0, 7, 1)]);
    drop(draft);
    m.process(late);
    assert_eq!(listed(&m), [(0, 9, 1)]);
}

#[test]
fn a_draft_does_not_undo_what_others_did() {
    let (mut m, _) = world();
    m.flow_mod("br0", &flow("priority=6 actions=1"), NOW).unwrap();
    let group = BundleItem::Group(parse_groups("group_id=1,type=all,bucket=output:1", &NoNames).unwrap().remove(0));
    for other in [BundleItem::Flow(flow("table=1 actions=1")), BundleItem::Flow(flow("priority=6 actions=2")), group] {
        let mut draft = m.draft("br0").unwrap();
        m.change_draft(&mut draft, &BundleItem::Flow(flow("priority=9 actions=2")), NOW).unwrap();
        m.bundle("br0", &[other], NOW).unwrap();
        let before = listed(&m);
        assert_eq!((m.commit(draft), listed(&m)), (Err(Error::Changed("br0".into())), before));
    }
    let draft = m.draft("br0").unwrap();
    m.del_bridge("br0").unwrap();
    assert_eq!(m.commit(draft), Err(Error::NoSuchBridge("br0".into())));
    assert_eq!(m.draft("br0").map(drop), Err(Error::NoSuchBridge("br0".into())));
}

#[test]
fn timeouts_remove_flows() {
    let (mut m, _) = world();
    let told = FlowFlags { send_flow_rem: true, ..FlowFlags::default() };
    m.flow_mod("br0", &FlowMod { flags: told, ..flow("priority=1,idle_timeout=10 actions=1") }, NOW).unwrap();
    m.flow_mod("br0", &FlowMod { flags: told, ..flow("priority=2,hard_timeout=15 actions=1") }, NOW).unwrap();
    let s = |n| NOW + Duration::from_secs(n);
    m.publish();
    assert_eq!((m.process(s(9)), m.deadline()), (false, Some(s(10))));
    // used at 9 s: idle until 19 s
    m.dump_flows("br0", &FlowFilter::default()).unwrap()[1].1.stats.add(1, 60, s(9));
    assert!(!m.process(s(10)) && m.process(s(15)));
    assert_eq!(listed(&m), [(0, 1, 1)]);
    assert!(m.process(s(19)));
    let removed: Vec<_> = m.take_removed().into_iter().map(|r| (r.rule.priority(), r.reason)).collect();
    assert_eq!(removed, [(2, RemovedReason::Hard), (1, RemovedReason::Idle)]);
    assert_eq!((listed(&m).len(), m.deadline()), (0, None));
}

#[test]
fn learning_refreshes_ages_and_follows_ports() {
    let (mut m, mut reader) = world();
    m.publish();
    reader.refresh();
    let learn = |port, mac| Effect::Learn { bridge: 0, vlan: 0, mac, port, gratuitous: false };
    let s = |n| NOW + Duration::from_secs(n);
    let shown =
        |m: &Manager, now| m.fdb_show("br0", now).unwrap().lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert!(reader.apply(&learn(1, 0xa), s(0)) && reader.apply(&learn(2, 0xb), s(1)));
    assert!(m.process(s(1)));
    assert_eq!(shown(&m, s(5)), ["    1     0  00:00:00:00:00:0a    5", "    2     0  00:00:00:00:00:0b    4"]);
    m.publish();
    reader.refresh();
    // known: no change; a move: one
    assert!(reader.apply(&learn(1, 0xa), s(200)) && !m.process(s(200)));
    assert!(reader.apply(&learn(3, 0xb), s(201)) && m.process(s(201)));
    assert_eq!(shown(&m, s(201)), ["    1     0  00:00:00:00:00:0a    1", "    3     0  00:00:00:00:00:0b    0"]);
    // what is heard late of an earlier packet does not move it back
    m.publish();
    assert!(reader.apply(&learn(2, 0xb), s(200)) && !m.process(s(201)));
    assert!(!m.process(s(499)) && m.process(s(500)));
    assert_eq!(shown(&m, s(500)).len(), 1);
    m.del_port("br0", "p3").unwrap();
    assert_eq!(shown(&m, s(500)).len(), 0);
    assert!(reader.apply(&learn(3, 0xc), s(501)));
    m.process(s(501));
    assert_eq!(shown(&m, s(501)).len(), 0, "the port is gone");
}

#[test]
fn a_full_ring_says_so() {
    let (mut m, mut reader) = world();
    m.publish();
    reader.refresh();
    let learn = |mac| Effect::Learn { bridge: 0, vlan: 0, mac, port: 1, gratuitous: false };
    let taken = (0..100_000u64).take_while(|mac| reader.apply(&learn(*mac), NOW)).count() as u64;
    assert!((1..100_000).contains(&taken) && !reader.apply(&learn(taken), NOW));
    m.process(NOW);
    assert!(reader.apply(&learn(taken), NOW));
}

#[test]
fn patches_meet_when_both_ends_are_there() {
    let (mut m, _) = world();
    m.add_bridge(&BridgeConfig { name: "br1".into(), standalone: true, ..BridgeConfig::default() }, NOW).unwrap();
    let peer = |m: &Manager, b: &str, p: &str| m.snapshot().bridge_named(b).unwrap().port_named(p).unwrap().peer;
    m.add_port("br0", PortConfig::patch("a", OfPort(10), "b")).unwrap();
    assert_eq!(peer(&m, "br0", "a"), None);
    m.add_port("br1", PortConfig::patch("b", OfPort(11), "a")).unwrap();
    assert_eq!(peer(&m, "br0", "a").map(|p| (p.bridge, p.port)), Some((1, OfPort(11))));
    assert_eq!(peer(&m, "br1", "b").map(|p| (p.bridge, p.port)), Some((0, OfPort(10))));
    m.del_port("br1", "b").unwrap();
    assert_eq!(peer(&m, "br0", "a"), None);
    m.del_bridge("br1").unwrap();
    assert!(m.snapshot().bridge_named("br1").is_none());
}

const LEARNS: &str = "priority=9,in_port=1 actions=learn(table=2,cookie=0x5,hard_timeout=10,delete_learned,limit=2,\
                      result_dst=reg0[3],NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
                      load:NXM_OF_IN_PORT[]->NXM_NX_REG1[16..31],output:NXM_OF_IN_PORT[]),resubmit(,1)";

/// Sends a packet from port 1 with this source; what came of it, when its effects are carried out.
fn teach(m: &mut Manager, reader: &mut Box<dyn Reader>, src: u64, now: Instant) -> dpif::Translation {
    use flow::layout as l;
    let mut key = flow::Flow::default();
    key.set(l::IN_PORT, 1);
    key.set(l::ETH_SRC, src.into());
    key.set(l::ETH_TYPE, 0x1234);
    m.publish();
    reader.refresh();
    let mut out = dpif::Translation::default();
    reader.translate(&dpif::Input { flow: &key, frame: None, now }, &mut out);
    for effect in &out.effects {
        assert!(reader.apply(effect, now));
    }
    m.process(now);
    out
}

fn sends(out: &dpif::Translation) -> String {
    dpif::text::Actions(&out.actions).to_string()
}

#[test]
fn packets_teach_flows() {
    let (mut m, mut reader) = world();
    for text in [LEARNS, "table=1,reg0=0x8/0x8 actions=2", "table=1,priority=1 actions=3"] {
        m.flow_mod("br0", &flow(text), NOW).unwrap();
    }
    let learned = |m: &Manager| {
        let all = m.dump_flows("br0", &FlowFilter { table: Some(TableId(2)), ..FlowFilter::default() }).unwrap();
        all.into_iter().map(|(_, rule)| rule).collect::<Vec<_>>()
    };
    let out = teach(&mut m, &mut reader, 0xa, NOW);
    // the bit says at once that the flow is learned; nothing depends on the rest of the packet but what was copied
    assert_eq!(sends(&out), "2");
    assert_eq!(out.mask.get64(flow::layout::ETH_SRC), 0xffff_ffff_ffff);
    assert_eq!(out.mask.get64(flow::layout::ETH_DST), 0);
    let rule = learned(&m).pop().unwrap();
    let text = openflow::action::actions_text(&rule.actions, &NoNames);
    assert_eq!(text, "load:0x1->NXM_NX_REG1[16..31],output:1");
    let wanted = flow("table=2,vlan_tci=0/0xfff,dl_dst=00:00:00:00:00:0a actions=drop").matching;
    assert_eq!((&rule.matching, rule.cookie.0, rule.hard_timeout, rule.priority()), (&wanted, 5, 10, 0x8000));
    // again, it is the same flow, which lasts longer
    let later = NOW + Duration::from_secs(6);
    teach(&mut m, &mut reader, 0xa, later);
    assert_eq!(learned(&m).len(), 1);
    assert!(std::sync::Arc::ptr_eq(&rule, &learned(&m)[0]));
    m.process(NOW + Duration::from_secs(11));
    assert_eq!(learned(&m).len(), 1, "10 seconds count from when it was last taught");
    // two, and no third
    assert_eq!(sends(&teach(&mut m, &mut reader, 0xb, later)), "2");
    assert_eq!(sends(&teach(&mut m, &mut reader, 0xc, later)), "3");
    assert_eq!(learned(&m).len(), 2);
    assert_eq!(sends(&teach(&mut m, &mut reader, 0xb, later)), "2", "what is there needs no room");
    m.process(NOW + Duration::from_secs(17));
    assert!(learned(&m).is_empty());
    // what was learned goes with the last flow that taught it
    let end = NOW + Duration::from_secs(20);
    m.flow_mod("br0", &FlowMod { priority: 8, ..flow(LEARNS) }, end).unwrap();
    teach(&mut m, &mut reader, 0xa, end);
    m.flow_mod("br0", &with("priority=9,in_port=1 actions=drop", Command::ModifyStrict), end).unwrap();
    assert_eq!(learned(&m).len(), 1);
    let bundle = [BundleItem::Flow(with("priority=8,in_port=1 actions=drop", Command::DeleteStrict))];
    m.bundle("br0", &bundle, end).unwrap();
    assert!(learned(&m).is_empty());
}

#[test]
fn what_packets_teach_waits_for_the_end_of_a_bundle() {
    let (mut m, mut reader) = world();
    m.flow_mod("br0", &flow("actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])"), NOW)
        .unwrap();
    let mut draft = m.draft("br0").unwrap();
    m.change_draft(&mut draft, &BundleItem::Flow(flow("table=3 actions=2")), NOW).unwrap();
    teach(&mut m, &mut reader, 0xa, NOW);
    assert_eq!(listed(&m).len(), 1);
    m.commit(draft).unwrap();
    m.process(NOW);
    assert_eq!(listed(&m), [(0, 0x8000, 1), (2, 0x8000, 1), (3, 0x8000, 1)]);
}

#[test]
fn connections_that_end_shorten_timeouts() {
    use flow::layout as l;
    let (mut m, mut reader) = world();
    m.flow_mod("br0", &flow("tcp,idle_timeout=60 actions=fin_timeout(idle_timeout=5,hard_timeout=7),2"), NOW).unwrap();
    let timeouts = |m: &Manager| {
        let rule = m.dump_flows("br0", &FlowFilter::default()).unwrap().remove(0).1;
        (rule.idle_timeout, rule.hard_timeout)
    };
    let mut send = |m: &mut Manager, flags: u128| {
        let mut key = flow::Flow::default();
        for (slot, value) in [(l::IN_PORT, 1), (l::ETH_TYPE, 0x800), (l::NW_PROTO, 6), (l::TCP_FLAGS, flags)] {
            key.set(slot, value);
        }
        m.publish();
        reader.refresh();
        let mut out = dpif::Translation::default();
        reader.translate(&dpif::Input { flow: &key, frame: None, now: NOW }, &mut out);
        out.effects.iter().for_each(|effect| assert!(reader.apply(effect, NOW)));
        m.process(NOW);
        assert_eq!(out.mask.get(l::TCP_FLAGS), 5, "FIN and RST decide, no other flag");
    };
    send(&mut m, 0x2);
    assert_eq!(timeouts(&m), (60, 0));
    send(&mut m, 0x11);
    assert_eq!(timeouts(&m), (5, 7));
    m.process(NOW + Duration::from_secs(6));
    assert!(listed(&m).is_empty());
}
