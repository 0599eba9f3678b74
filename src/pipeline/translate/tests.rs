//! Translations of single packets: tables and packet in, actions and mask out.

use std::sync::Arc;

use base::clock::Instant;
use dpif::text::Actions;
use dpif::{Input, PortNo, Reader, Translate, Translation};
use flow::layout as l;
use flow::{Flow, Match};
use openflow::{Action, FlowMod, OfPort, TableId};

use crate::manager::{BridgeConfig, Config, Manager};
use crate::snapshot::port::PortConfig;

struct World {
    m: Manager,
    reader: Box<dyn Reader>,
    now: Instant,
}

impl World {
    /// br0 with ports 1 to 4 on datapath ports 1 to 4, LOCAL on 100.
    fn new() -> World {
        let (mut m, translate) = Manager::new(&Config::default()).unwrap();
        let now = Instant::from_millis(1000);
        m.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, now).unwrap();
        m.add_port("br0", PortConfig::device("br0", OfPort::LOCAL, PortNo(100))).unwrap();
        for i in 1..5 {
            m.add_port("br0", PortConfig::device(&format!("p{i}"), OfPort(i), PortNo(i))).unwrap();
        }
        m.publish();
        let translate: Arc<dyn Translate> = translate;
        World { reader: translate.reader("test"), m, now }
    }

    fn flow(&mut self, table: u8, priority: u16, matching: Match, actions: Vec<Action>) {
        let table = Some(TableId(table));
        self.m
            .flow_mod("br0", &FlowMod { table, priority, matching, actions, ..FlowMod::default() }, self.now)
            .unwrap();
    }

    fn send(&mut self, flow: &Flow) -> Translation {
        self.m.publish();
        self.reader.refresh();
        let mut out = Translation::default();
        self.reader.translate(&Input { flow, frame: None, now: self.now }, &mut out);
        for effect in &out.effects {
            assert!(self.reader.apply(effect, self.now));
        }
        self.m.process(self.now);
        out
    }
}

fn output(port: OfPort) -> Action {
    Action::Output { port, max_len: 0 }
}

fn packet(in_port: u32, src: u64, dst: u64) -> Flow {
    let mut flow = Flow::default();
    flow.set(l::IN_PORT, in_port.into());
    flow.set(l::ETH_SRC, src.into());
    flow.set(l::ETH_DST, dst.into());
    flow.set(l::ETH_TYPE, 0x1234);
    flow
}

#[test]
fn normal_learns_and_forwards() {
    let mut w = World::new();
    w.flow(0, 0, Match::default(), vec![output(OfPort::NORMAL)]);
    let out = w.send(&packet(1, 0xa, 0xb));
    assert_eq!(Actions(&out.actions).to_string(), "100,2,3,4");
    let out = w.send(&packet(2, 0xb, 0xa));
    assert_eq!(Actions(&out.actions).to_string(), "1");
    let out = w.send(&packet(1, 0xa, 0xb));
    assert_eq!(Actions(&out.actions).to_string(), "2");
    assert!(out.mask.get64(l::ETH_SRC) == 0xffff_ffff_ffff && out.cacheable);
}

impl World {
    fn flows(&mut self, bridge: &str, text: &str) {
        for f in openflow::text::parse_flows(text, &openflow::text::NoNames).unwrap() {
            self.m.flow_mod(bridge, &f.flow, self.now).unwrap();
        }
    }

    fn group(&mut self, text: &str) {
        for g in openflow::text::parse_groups(text, &openflow::text::NoNames).unwrap() {
            self.m.group_mod("br0", &g, self.now).unwrap();
        }
    }

    fn vlan(&mut self, port: &str, vlan: crate::VlanConfig) {
        self.m.modify_port("br0", port, |p| p.vlan = vlan).unwrap();
    }

    fn actions(&mut self, flow: &Flow) -> String {
        let out = self.send(flow);
        Actions(&out.actions).to_string()
    }
}

fn recirc(actions: &[dpif::Action]) -> dpif::RecircId {
    let mut ids = actions.iter().filter_map(|a| match a {
        dpif::Action::Recirc(id) => Some(*id),
        dpif::Action::Clone(steps) => Some(recirc(steps)),
        _ => None,
    });
    ids.next_back().unwrap()
}

fn tcp(in_port: u32) -> Flow {
    let mut flow = packet(in_port, 0xa, 0xb);
    for (slot, value) in [(l::ETH_TYPE, 0x800), (l::NW_PROTO, 6), (l::NW_TTL, 64), (l::NW_SRC, 1), (l::TP_DST, 80)] {
        flow.set(slot, value);
    }
    flow
}

#[test]
fn normal_keeps_vlans_apart() {
    use crate::VlanConfig;
    let mut w = World::new();
    w.flows("br0", "actions=NORMAL");
    w.vlan("p1", VlanConfig::access(5));
    w.vlan("p2", VlanConfig::access(5));
    w.vlan("p3", VlanConfig::access(6));
    w.vlan("p4", VlanConfig::trunk(&[5, 6]));
    // LOCAL trunks everything. Untagged ports come first, then one push for those that tag.
    assert_eq!(w.actions(&packet(1, 0xa, 0xb)), "2,push_vlan(vid=5,pcp=0),100,4");
    let mut tagged = packet(4, 0xc, 0xa);
    tagged.set(l::VLAN_TCI, 0x7005);
    tagged.set(l::VLAN_TPID, 0x8100);
    assert_eq!(w.actions(&tagged), "pop_vlan,1");
    assert_eq!(w.actions(&packet(3, 0xa, 0xc)), "push_vlan(vid=6,pcp=0),100,4");
    tagged.set(l::VLAN_TCI, 0x1007);
    let out = w.send(&tagged);
    assert_eq!((out.drop, out.effects.len()), (Some(dpif::DropReason::Vlan), 0));
    let out = w.send(&packet(1, 0xa, 0x0180_c200_000e));
    assert_eq!(out.drop, Some(dpif::DropReason::ReservedMac));
    // A learned port that is the input port
    assert_eq!(w.send(&packet(1, 0xd, 0xa)).drop, Some(dpif::DropReason::InPortOutput));
}

#[test]
fn normal_tunnels_tags() {
    use crate::{Trunks, VlanConfig, VlanMode};
    let mut w = World::new();
    w.flows("br0", "actions=NORMAL");
    let tunnel = |customers: &[u16]| {
        let mode = VlanMode::Dot1qTunnel { vlan: 100, customers: Trunks::new(customers), tpid: 0x88a8 };
        VlanConfig { mode, ..VlanConfig::default() }
    };
    w.vlan("p1", tunnel(&[0, 5]));
    w.vlan("p2", tunnel(&[]));
    w.vlan("p3", VlanConfig::access(100));
    // the frames are those that Open vSwitch sends by these ports
    let tagged = |port: u32, tags: &[(u128, u128)]| {
        let mut flow = packet(port, 0xa, 0xff_ffff_ffff_ffff >> 8);
        for ((tci, tpid), tag) in [(l::VLAN_TCI, l::VLAN_TPID), (l::VLAN1_TCI, l::VLAN1_TPID)].into_iter().zip(tags) {
            flow.set(tpid, tag.0);
            flow.set(tci, tag.1);
        }
        flow
    };
    let on_top = "push_vlan(tpid=0x88a8,vid=100,pcp=0)";
    assert_eq!(w.actions(&tagged(1, &[])), format!("2,3,{on_top},100,4"));
    assert_eq!(w.actions(&tagged(1, &[(0x8100, 0x7005)])), format!("2,{on_top},100,4"));
    assert_eq!(w.send(&tagged(1, &[(0x8100, 0x1007)])).drop, Some(dpif::DropReason::Vlan));
    assert_eq!(w.actions(&tagged(2, &[(0x8100, 0x1007)])), format!("{on_top},100,4"));
    // a priority's tag goes where no tag may be
    assert_eq!(w.actions(&tagged(2, &[(0x8100, 0x7000)])), format!("1,{on_top},100,4,pop_vlan,pop_vlan,3"));
    // customers' tags below that of the VLAN are in sight or not
    let both = |vid: u128| tagged(4, &[(0x88a8, 0x1064), (0x8100, 0x1000 | vid)]);
    for vid in [0, 5, 7] {
        assert_eq!(w.actions(&both(vid)), "100,pop_vlan,1,2,3");
    }
    w.m.set_vlan_limit(0);
    for (vid, ports) in [(0, "1,2,3"), (5, "1,2"), (7, "2")] {
        assert_eq!(w.actions(&both(vid)), format!("100,pop_vlan,{ports}"));
    }
}

#[test]
fn what_normal_saw_is_what_it_depends_on() {
    let mut w = World::new();
    w.flows("br0", "actions=NORMAL");
    let key = packet(1, 0xa, 0xb);
    let out = w.send(&key);
    let version = w.m.snapshot().version;
    let touched = |w: &World, since, t: &Translation, key: &Flow| {
        let mut any = false;
        assert!(w.m.snapshot().log.visit(since, &mut |c| any |= t.deps.touched_by(c, key, &t.mask)));
        any
    };
    // what it taught itself does not concern it; another address neither; its destination does
    w.m.publish();
    assert!(!touched(&w, version, &out, &key));
    w.send(&packet(3, 0xe, 0xf));
    w.m.publish();
    assert!(!touched(&w, version, &out, &key));
    w.send(&packet(2, 0xb, 0xf));
    w.m.publish();
    assert!(touched(&w, version, &out, &key));
    let out = w.send(&key);
    let version = w.m.snapshot().version;
    assert!(w.m.set_link("br0", "p3", false).unwrap());
    w.m.publish();
    assert!(!touched(&w, version, &out, &key), "unicast does not depend on other ports");
    assert!(w.m.set_link("br0", "p2", false).unwrap());
    w.m.publish();
    assert!(touched(&w, version, &out, &key));
}

#[test]
fn patches_go_on_in_the_other_bridge() {
    let mut w = World::new();
    w.m.add_bridge(&BridgeConfig { name: "br1".into(), ..BridgeConfig::default() }, w.now).unwrap();
    w.m.add_port("br0", PortConfig::patch("to1", OfPort(20), "to0")).unwrap();
    w.m.add_port("br1", PortConfig::patch("to0", OfPort(21), "to1")).unwrap();
    w.m.add_port("br1", PortConfig::device("q1", OfPort(1), PortNo(41))).unwrap();
    w.flows("br0", "in_port=1 actions=load:7->NXM_NX_REG0[],set_field:02:00:00:00:00:01->eth_dst,20,2");
    w.flows("br1", "in_port=21,reg0=0 actions=push_vlan:0x8100,set_field:4101->vlan_vid,1");
    let sent = w.actions(&packet(1, 0xa, 0xb));
    assert_eq!(sent, "set(eth(dst=02:00:00:00:00:01)),push_vlan(vid=5,pcp=0),41,pop_vlan,2");
    // Two patches in a circle end.
    w.flows("br1", "priority=60000 actions=in_port");
    w.flows("br0", "priority=60000,in_port=20 actions=in_port");
    assert_eq!(w.send(&packet(1, 0xa, 0xb)).drop, Some(dpif::DropReason::Depth));
}

#[test]
fn a_hash_group_comes_back() {
    let mut w = World::new();
    w.group("group_id=1,type=select,bucket=weight=1,actions=2,bucket=weight=1,actions=set_field:02:00:00:00:00:09->eth_dst,3");
    w.flows(
        "br0",
        "in_port=1 actions=load:3->NXM_NX_REG1[],group:1,load:4->NXM_NX_REG1[],resubmit(,1)\ntable=1,reg1=4 actions=4",
    );
    let mut key = tcp(1);
    let out = w.send(&key);
    let id = recirc(&out.actions);
    assert_eq!(Actions(&out.actions).to_string(), format!("hash(sym_l4(0)),recirc({:#x})", id.0));
    // Nothing of the five-tuple is in the mask: one megaflow for all.
    assert_eq!((out.mask.get64(l::NW_SRC), out.mask.get64(l::TP_DST)), (0, 0));
    assert_eq!(recirc(&w.send(&key).actions), id, "the same state has the same number");
    key.set(l::RECIRC_ID, id.0.into());
    let mut seen = std::collections::BTreeSet::new();
    for hash in 1..64u32 {
        key.set(l::DP_HASH, hash.into());
        let out = w.send(&key);
        assert_eq!(out.mask.get64(l::DP_HASH), 15);
        seen.insert(Actions(&out.actions).to_string());
    }
    let set = "set(eth(dst=02:00:00:00:00:09))";
    assert!(seen.contains("2,4") && seen.iter().any(|s| s.starts_with(&format!("{set},3,set(eth(dst="))), "{seen:?}");
    assert_eq!(seen.len(), 2);
    key.set(l::RECIRC_ID, 0x7777);
    assert_eq!(w.send(&key).drop, Some(dpif::DropReason::Recirculation));
}

#[test]
fn hash_of_fields_looks_at_those_alone() {
    let mut w = World::new();
    w.group("group_id=1,type=select,selection_method=hash,fields(ip_src),bucket=weight=1,actions=2,bucket=weight=1,watch_port=3,actions=3");
    w.flows("br0", "ip actions=group:1");
    let mut seen = std::collections::BTreeSet::new();
    for src in 0..64u32 {
        let mut key = tcp(1);
        key.set(l::NW_SRC, src.into());
        let out = w.send(&key);
        assert_eq!((out.mask.get64(l::NW_SRC), out.mask.get64(l::TP_DST)), (0xffff_ffff, 0));
        seen.insert(Actions(&out.actions).to_string());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["2", "3"]);
    assert!(w.m.set_link("br0", "p3", false).unwrap());
    for src in 0..64u32 {
        let mut key = tcp(1);
        key.set(l::NW_SRC, src.into());
        assert_eq!(w.actions(&key), "2", "the bucket that watches a port without link is not taken");
    }
    assert!(!w.m.set_link("br0", "p3", false).unwrap(), "that is no news");
    assert!(w.m.set_link("br0", "p9", false).is_err());
    w.flows("br0", "in_port=1,arp actions=3");
    let mut arp = packet(1, 0xa, 0xb);
    arp.set(l::ETH_TYPE, 0x0806);
    assert_eq!(w.actions(&arp), "3", "whoever names a port without link has the packet sent there");
}

#[test]
fn what_is_behind_labels_is_parsed_again() {
    let mut w = World::new();
    w.flows("br0", "mpls actions=pop_mpls:0x0800,dec_ttl,2\nip actions=push_mpls:0x8847,3,pop_mpls:0x0800,4");
    let mut mpls = packet(1, 0xa, 0xb);
    mpls.set(l::ETH_TYPE, 0x8847);
    mpls.set(l::MPLS0, 0x0000_a140);
    let out = w.send(&mpls);
    let id = recirc(&out.actions);
    assert_eq!(Actions(&out.actions).to_string(), format!("pop_mpls(eth_type=0x800),recirc({:#x})", id.0));
    assert_eq!(out.mask.get64(l::MPLS0), 0x100);
    let mut ip = tcp(1);
    ip.set(l::RECIRC_ID, id.0.into());
    assert_eq!(w.actions(&ip), "set(ipv4(ttl=63)),2");
    assert_eq!(w.actions(&tcp(1)), "push_mpls(label=0,tc=0,ttl=64,bos=1,eth_type=0x8847),3,pop_mpls(eth_type=0x800),4");
    // What a clone does to labels it does to a copy.
    w.flows("br0", "priority=60000,ip actions=clone(push_mpls:0x8847,3),dec_ttl,4");
    let clone = "clone(push_mpls(label=0,tc=0,ttl=64,bos=1,eth_type=0x8847),3)";
    assert_eq!(w.actions(&tcp(1)), format!("{clone},set(ipv4(ttl=63)),4"));
}

#[test]
fn connections_go_round_and_the_packet_goes_on() {
    let mut w = World::new();
    w.flows(
        "br0",
        "ip,ct_state=-trk actions=load:9->NXM_NX_REG2[],ct(table=5,zone=7),3\ntable=5,reg2=9,ct_state=+trk actions=2",
    );
    let out = w.send(&tcp(1));
    let id = recirc(&out.actions);
    assert_eq!(Actions(&out.actions).to_string(), format!("ct(zone=7),clone(recirc({:#x})),3", id.0));
    let mut back = tcp(1);
    back.set(l::RECIRC_ID, id.0.into());
    back.set(l::CT_STATE, 0x21);
    assert_eq!(w.actions(&back), "2");
    // No output follows: the packet itself goes round.
    w.flows("br0", "ip,ct_state=-trk actions=load:9->NXM_NX_REG2[],ct(table=5,zone=7)");
    assert_eq!(w.actions(&tcp(1)), format!("ct(zone=7),recirc({:#x})", id.0));
}

#[test]
fn endless_tables_end() {
    let mut w = World::new();
    w.flows("br0", "actions=2,resubmit(,0)");
    let out = w.send(&packet(1, 0xa, 0xb));
    assert_eq!((out.drop, Actions(&out.actions).to_string()), (Some(dpif::DropReason::Depth), "drop".into()));
    // 2^40 lookups if nothing counted them
    let doubling: String =
        (0..40).map(|t| format!("table={t} actions=resubmit(,{0}),resubmit(,{0})\n", t + 1)).collect();
    w.flows("br0", &doubling);
    assert_eq!(w.send(&packet(1, 0xa, 0xb)).drop, Some(dpif::DropReason::Resubmits));
    // A long way forward is none of that.
    let chain: String = (0..253).map(|t| format!("table={t} actions=resubmit(,{}),\n", t + 1)).collect();
    w.flows("br0", &chain.replace(",\n", "\n").replace("resubmit(,253)", "goto_table:253"));
    w.flows("br0", "table=253 actions=3");
    assert_eq!(w.actions(&packet(1, 0xa, 0xb)), "3");
}

#[test]
fn one_of_several_by_hash_and_by_link() {
    let mut w = World::new();
    w.flows(
        "br0",
        "in_port=1 actions=bundle(eth_src,0,active_backup,ofport,members:2,3)\n\
         in_port=2 actions=bundle_load(eth_src,7,hrw,ofport,NXM_NX_REG0[0..15],members:3,4),output:NXM_NX_REG0[]\n\
         in_port=3 actions=multipath(eth_src,1,modulo_n,3,0,NXM_NX_REG1[0..7]),resubmit(,1)\n\
         in_port=4 actions=multipath(eth_src,1,iter_hash,3,5,NXM_NX_REG1[0..7]),resubmit(,1)\n\
         table=1,reg1=0 actions=1\ntable=1,reg1=1 actions=2\ntable=1,reg1=2 actions=100",
    );
    let out = w.send(&packet(1, 0xa, 0xb));
    assert_eq!(Actions(&out.actions).to_string(), "2");
    assert_eq!(out.mask.get64(l::ETH_SRC), 0, "the first that is up needs no hash");
    assert!(w.m.set_link("br0", "p2", false).unwrap());
    assert_eq!(w.actions(&packet(1, 0xa, 0xb)), "3");
    assert!(w.m.set_link("br0", "p3", false).unwrap());
    assert_eq!(w.actions(&packet(1, 0xa, 0xb)), "drop");
    for port in ["p2", "p3"] {
        assert!(w.m.set_link("br0", port, true).unwrap());
    }
    let by_source = |w: &mut World, port| (0..64).map(|src| w.actions(&packet(port, src, 0xb))).collect::<Vec<_>>();
    let both = by_source(&mut w, 2);
    assert!(
        both.iter().any(|s| s == "3") && both.iter().any(|s| s == "4") && both.iter().all(|s| s == "3" || s == "4")
    );
    assert_eq!(w.send(&packet(2, 1, 0xb)).mask.get64(l::ETH_SRC), 0xffff_ffff_ffff);
    // a member that goes moves its own packets alone
    assert!(w.m.set_link("br0", "p4", false).unwrap());
    assert!(by_source(&mut w, 2).iter().all(|s| s == "3"));
    for port in [3, 4] {
        let seen: std::collections::BTreeSet<String> = by_source(&mut w, port).into_iter().collect();
        assert_eq!(seen.len(), 3, "{seen:?}");
    }
}

#[test]
fn lists_go_on_by_a_packets_length() {
    let mut w = World::new();
    w.flows(
        "br0",
        "in_port=1 actions=check_pkt_larger(200)->NXM_NX_REG0[0],set_field:02:00:00:00:00:09->eth_dst,resubmit(,1),4\n\
         in_port=4 actions=clone(check_pkt_larger(100)->NXM_NX_REG0[0],resubmit(,1)),1\n\
         table=1,reg0=1/1 actions=2\ntable=1,reg0=0/1 actions=3",
    );
    let set = "set(eth(dst=02:00:00:00:00:09))";
    assert_eq!(w.actions(&packet(1, 0xa, 0xb)), format!("check_pkt_len(size=200,gt({set},2,4),le({set},3,4))"));
    assert_eq!(w.actions(&packet(4, 0xa, 0xb)), "check_pkt_len(size=100,gt(2),le(3)),1");
}

/// What stock's `ofproto/trace` shows as well.
#[test]
fn what_is_written_is_looked_at() {
    let mut w = World::new();
    let mut key = tcp(1);
    key.set(l::NW_SRC, 0xc0a8_0001);
    let mut sent = |actions: &str| {
        w.flows("br0", &format!("tcp actions={actions}"));
        let out = w.send(&key);
        let exact = [l::NW_SRC, l::NW_PROTO, l::TP_SRC].map(|slot| out.mask.get64(slot));
        (Actions(&out.actions).to_string(), exact)
    };
    assert_eq!(sent("mod_nw_src:1.2.3.4,2"), ("set(ipv4(src=1.2.3.4)),2".into(), [0xffff_ffff, 0xff, 0]));
    // nothing to rewrite, and so it is for no other packet of the megaflow
    assert_eq!(sent("mod_nw_src:192.168.0.1,2"), ("2".into(), [0xffff_ffff, 0xff, 0]));
    let part = ("set(ipv4(src=0.0.0.4/0.0.0.255)),2".into(), [0xff, 0xff, 0]);
    assert_eq!(sent("load:4->ip_src[0..7],2"), part);
    assert_eq!(sent("mod_tp_src:5,2"), ("set(tcp(src=5)),2".into(), [0, 0xff, 0xffff]));
}
