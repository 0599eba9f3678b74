//! The slow twin: executes OpenFlow actions on a packet directly, and datapath actions on a packet directly.
//!
//! Both give the list of (port, packet as sent). Nothing is shared with translation but the field table.

use dpif::{Action as DpAction, PortNo, Set, action::Ports};
use flow::fields::Kind;
use flow::layout::{self as l, Slot, VLAN_PRESENT};
use flow::{Field, Flow, Mask};
use openflow::group_mod::GroupKind;
use openflow::{Action, OfPort, Subfield};

use super::action_set::order;
use super::state::{from16, to16};
use crate::snapshot::Bridge;
use crate::snapshot::setup::{LAST_TABLE, Miss};

/// A packet: its flow, and all its tags (of which the flow shows two).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) flow: Flow,
    pub(crate) tags: Vec<(u16, u16)>,
}

impl Packet {
    pub(crate) fn new(flow: &Flow) -> Packet {
        let both = [(l::VLAN_TPID, l::VLAN_TCI), (l::VLAN1_TPID, l::VLAN1_TCI)];
        let tags = both.map(|(p, t)| (flow.get64(p) as u16, flow.get64(t) as u16));
        Packet { flow: flow.clone(), tags: tags.into_iter().take_while(|t| t.1 & VLAN_PRESENT != 0).collect() }
    }

    fn show_tags(&mut self) {
        for (i, (tpid, tci)) in [(l::VLAN_TPID, l::VLAN_TCI), (l::VLAN1_TPID, l::VLAN1_TCI)].into_iter().enumerate() {
            let (p, t) = self.tags.get(i).copied().unwrap_or((0, 0));
            self.flow.set(tpid, p.into());
            self.flow.set(tci, t.into());
        }
    }

    fn push(&mut self, tpid: u16, tci: u16) {
        self.tags.insert(0, (tpid, tci | VLAN_PRESENT));
        self.show_tags();
    }

    fn pop(&mut self) {
        if !self.tags.is_empty() {
            self.tags.remove(0);
        }
        self.show_tags();
    }

    /// What of it is on the wire or goes with it: header words and tags.
    pub(crate) fn sent(&self) -> (Vec<u64>, Vec<(u16, u16)>) {
        let mut flow = self.flow.clone();
        for slot in [l::VLAN_TCI, l::VLAN_TPID, l::VLAN1_TCI, l::VLAN1_TPID, l::IN_PORT] {
            flow.set(slot, 0);
        }
        ([1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17].map(|i| flow.w[i]).to_vec(), self.tags.clone())
    }

    fn set(&mut self, row: &Field, value: u128, mask: u128) {
        if !row.prereq.ok(&self.flow) {
            return;
        }
        let had = !self.tags.is_empty();
        let merged = row.get(&self.flow) & !mask | value & mask;
        row.set(&mut self.flow, merged);
        if matches!(row.kind, Kind::VlanTci | Kind::DlVlan | Kind::VlanVid | Kind::VlanPcp) {
            let tci = self.flow.get64(l::VLAN_TCI) as u16;
            match (had, tci & VLAN_PRESENT != 0) {
                (true, true) => self.tags[0].1 = tci,
                (false, true) => self.tags.push((0x8100, tci)),
                (true, false) => drop(self.tags.remove(0)),
                (false, false) => {}
            }
            self.show_tags();
        }
    }
}

/// Executes tables and actions.
pub(crate) struct Naive<'a> {
    pub(crate) bridge: &'a Bridge,
    pub(crate) sent: Vec<(PortNo, Packet)>,
    stack: Vec<u128>,
    set: Vec<Action>,
    exit: bool,
    table: u8,
    lookups: u32,
    depth: u32,
    pub(crate) failed: bool,
}

impl<'a> Naive<'a> {
    /// What comes out for `flow` coming in on `port`.
    pub(crate) fn run(bridge: &'a Bridge, flow: &Flow, port: OfPort) -> Naive<'a> {
        let (sent, stack, set) = (Vec::new(), Vec::new(), Vec::new());
        let (exit, failed) = (false, false);
        let mut n = Naive { bridge, sent, stack, set, exit, table: 0, lookups: 0, depth: 0, failed };
        let mut packet = Packet::new(flow);
        packet.flow.set(l::IN_PORT, to16(port).into());
        packet.flow.set(l::ACTSET_OUTPUT, OfPort::UNSET.0.into());
        n.lookup(&mut packet, 0);
        let set = order(&std::mem::take(&mut n.set));
        n.list(&mut packet, &set);
        if n.failed {
            n.sent.clear();
        }
        n
    }

    fn lookup(&mut self, packet: &mut Packet, table: u8) {
        let matches = |t: u8| self.bridge.table(t).is_some_and(|t| t.rules().any(|r| r.matching.matches(&packet.flow)));
        let stops = |t: &u8| *t >= LAST_TABLE || matches(*t) || self.bridge.miss(*t) != Miss::Continue;
        let end = (table..=u8::MAX).find(stops).unwrap_or(table);
        self.lookups += u32::from(end - table);
        self.lookup_from(packet, end, None);
    }

    /// A lookup as if from a port, which actions do not see.
    fn lookup_from(&mut self, packet: &mut Packet, table: u8, from: Option<u16>) {
        self.lookups += 1;
        self.failed |= self.lookups > super::MAX_LOOKUPS;
        let saved = std::mem::replace(&mut self.table, table);
        let rules = self.bridge.table(table).into_iter().flat_map(|t| t.rules());
        let mut seen = packet.flow.clone();
        let fragment = seen.get64(l::NW_FRAG) as u8;
        if fragment != 0 && fragment & l::FRAG_LATER == 0 {
            seen.set(l::TP_SRC, 0);
            seen.set(l::TP_DST, 0);
        }
        if let Some(port) = from {
            seen.set(l::IN_PORT, port.into());
        }
        let best = rules.filter(|r| r.matching.matches(&seen)).max_by_key(|r| r.rank);
        if let Some(rule) = best
            && !self.failed
        {
            self.list(packet, &rule.actions.clone());
        }
        self.table = saved;
    }

    fn list(&mut self, packet: &mut Packet, list: &[Action]) {
        for action in list {
            if self.exit || self.failed || self.action(packet, action) {
                break;
            }
        }
    }

    fn port(&mut self, packet: &Packet, port: OfPort) {
        let found = self.bridge.ports.get(&port).filter(|p| p.sends()).and_then(|p| p.device());
        self.sent.extend(found.map(|d| (d, packet.clone())));
    }

    fn get(packet: &Packet, from: Subfield) -> Option<u128> {
        from.field.row().prereq.ok(&packet.flow).then(|| from.get(&packet.flow))
    }

    fn put(packet: &mut Packet, to: Subfield, value: u128) {
        packet.set(to.field.row(), value << to.ofs, to.mask());
    }

    fn isolated(&mut self, packet: &Packet, list: &[Action]) {
        let saved = (self.stack.clone(), self.set.clone(), self.table);
        self.list(&mut packet.clone(), list);
        (self.stack, self.set, self.table) = saved;
        self.exit = false;
    }

    /// True when the rest of the list does not run.
    fn action(&mut self, packet: &mut Packet, action: &Action) -> bool {
        let in_port = from16(packet.flow.get64(l::IN_PORT) as u16);
        match action {
            Action::Output { port: OfPort::IN_PORT, .. } => self.port(packet, in_port),
            Action::Output { port: OfPort::FLOOD | OfPort::ALL, .. } => {
                let all = self.bridge.local_first().map(|p| p.number);
                let ports: Vec<_> = all.filter(|p| *p != in_port).collect();
                ports.into_iter().for_each(|p| self.port(packet, p));
            }
            Action::Output { port, .. } if *port != in_port => self.port(packet, *port),
            Action::OutputReg { src, .. } => {
                let port = from16(src.get(&packet.flow) as u16);
                if port != in_port {
                    self.port(packet, port);
                }
            }
            Action::SetField(set) => packet.set(set.field.row(), set.value, set.mask),
            Action::Move { src, dst } => {
                if let Some(value) = Self::get(packet, *src) {
                    Self::put(packet, *dst, value);
                }
            }
            Action::StackPush(src) => self.stack.push(Self::get(packet, *src).unwrap_or(0)),
            Action::StackPop(dst) => {
                if let Some(value) = self.stack.pop() {
                    Self::put(packet, *dst, value);
                }
            }
            Action::SetVlanVid { vid, push } if *push || !packet.tags.is_empty() => {
                if packet.tags.is_empty() {
                    packet.push(0x8100, 0);
                }
                packet.tags[0].1 = packet.tags[0].1 & 0xf000 | vid;
                packet.show_tags();
            }
            Action::SetVlanPcp { pcp, push } if *push || !packet.tags.is_empty() => {
                if packet.tags.is_empty() {
                    packet.push(0x8100, 0);
                }
                packet.tags[0].1 = packet.tags[0].1 & 0x1fff | u16::from(*pcp) << 13;
                packet.show_tags();
            }
            Action::StripVlan => packet.pop(),
            Action::PushVlan(tpid) => packet.push(*tpid, 0),
            Action::DecTtl(_) if flow::fields::Prereq::Ip.ok(&packet.flow) => {
                let ttl = packet.flow.get64(l::NW_TTL);
                if ttl <= 1 {
                    return true;
                }
                packet.flow.set(l::NW_TTL, u128::from(ttl - 1));
            }
            Action::Resubmit(r) => {
                let table = r.table.map_or(self.table, |t| t.0);
                let from = (r.in_port != OfPort::IN_PORT).then(|| to16(r.in_port));
                let deepens = u32::from(table <= self.table);
                self.failed |= deepens == 1 && self.depth >= super::MAX_DEPTH;
                self.depth += deepens;
                if !self.failed {
                    self.lookup_from(packet, table, from);
                }
                self.depth -= deepens;
            }
            Action::GotoTable(table) => {
                self.lookup(packet, table.0);
                return true;
            }
            Action::Clone(list) => {
                let saved = (self.stack.clone(), self.set.clone(), self.table);
                let mut copy = packet.clone();
                self.list(&mut copy, list);
                let set = order(&std::mem::take(&mut self.set));
                self.list(&mut copy, &set);
                (self.stack, self.set, self.table) = saved;
            }
            Action::Group(id) => {
                let group = self.bridge.groups.get(id).cloned();
                for (bucket, _) in group.iter().filter(|g| g.kind != GroupKind::Select).flat_map(|g| &g.buckets) {
                    self.isolated(packet, &order(&bucket.actions));
                }
            }
            Action::Exit => self.exit = true,
            Action::ClearActions => self.set.clear(),
            Action::WriteActions(list) => {
                for a in list {
                    match a {
                        Action::Group(_) => packet.flow.set(l::ACTSET_OUTPUT, OfPort::UNSET.0.into()),
                        Action::Output { port, .. } if !self.set.iter().any(|a| matches!(a, Action::Group(_))) => {
                            packet.flow.set(l::ACTSET_OUTPUT, port.0.into());
                        }
                        _ => {}
                    }
                    self.set.push(a.clone());
                }
            }
            Action::WriteMetadata { value, mask } => {
                let old = packet.flow.get64(l::METADATA);
                packet.flow.set(l::METADATA, (old & !mask | value & mask).into());
            }
            _ => {}
        }
        false
    }
}

/// Executes datapath actions on `packet`.
pub(crate) fn execute(packet: &mut Packet, actions: &[DpAction], sent: &mut Vec<(PortNo, Packet)>) {
    for action in actions {
        match action {
            DpAction::Output(port) => sent.push((*port, packet.clone())),
            DpAction::PushVlan { tpid, tci } => packet.push(*tpid, *tci),
            DpAction::PopVlan => {
                assert!(!packet.tags.is_empty(), "pop_vlan without a tag");
                packet.pop();
            }
            DpAction::Set(Set::Vlan { tci, mask }) => {
                packet.tags[0].1 = packet.tags[0].1 & !mask | tci;
                packet.show_tags();
            }
            DpAction::Set(set) => apply(&mut packet.flow, set),
            DpAction::Clone(steps) => execute(&mut packet.clone(), steps, sent),
            DpAction::Drop(_) => return,
            // a packet whose TTL is exceeded, for controllers
            DpAction::Userspace(_) => {}
            other => panic!("{other} is not in this test"),
        }
    }
}

fn number(mac: &[u8; 6]) -> u128 {
    mac.iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

fn apply(flow: &mut Flow, set: &Set) {
    let mut put = |slot: Slot, value: u128, mask: u128| {
        assert_eq!(value & !mask, 0, "bits outside the mask");
        let old = flow.get(slot);
        flow.set(slot, old & !mask | value);
    };
    match set {
        Set::Eth { src, src_mask, dst, dst_mask } => {
            put(l::ETH_SRC, number(src), number(src_mask));
            put(l::ETH_DST, number(dst), number(dst_mask));
        }
        Set::Ipv4 { src, src_mask, dst, dst_mask, tos, tos_mask, ttl, ttl_mask } => {
            put(l::NW_SRC, (*src).into(), (*src_mask).into());
            put(l::NW_DST, (*dst).into(), (*dst_mask).into());
            put(l::NW_TOS, (*tos).into(), (*tos_mask).into());
            put(l::NW_TTL, (*ttl).into(), (*ttl_mask).into());
        }
        Set::Ipv6 { src, src_mask, dst, dst_mask, label, label_mask, tclass, tclass_mask, hlimit, hlimit_mask } => {
            put(l::IPV6_SRC, *src, *src_mask);
            put(l::IPV6_DST, *dst, *dst_mask);
            put(l::IPV6_LABEL, (*label).into(), (*label_mask).into());
            put(l::NW_TOS, (*tclass).into(), (*tclass_mask).into());
            put(l::NW_TTL, (*hlimit).into(), (*hlimit_mask).into());
        }
        Set::Tcp(p) | Set::Udp(p) | Set::Sctp(p) => {
            let Ports { src, src_mask, dst, dst_mask } = *p;
            put(l::TP_SRC, src.into(), src_mask.into());
            put(l::TP_DST, dst.into(), dst_mask.into());
        }
        Set::Arp { op, op_mask, spa, spa_mask, tpa, tpa_mask, sha, sha_mask, tha, tha_mask } => {
            put(l::NW_PROTO, (*op).into(), (*op_mask & 0xff).into());
            put(l::NW_SRC, (*spa).into(), (*spa_mask).into());
            put(l::NW_DST, (*tpa).into(), (*tpa_mask).into());
            put(l::ARP_SHA, number(sha), number(sha_mask));
            put(l::ARP_THA, number(tha), number(tha_mask));
        }
        Set::PktMark { value, mask } => put(l::PKT_MARK, (*value).into(), (*mask).into()),
        other => panic!("{other} is not in this test"),
    }
}

/// `flow` with bits flipped that `mask` leaves open: those of `noise`.
pub(crate) fn vary(flow: &Flow, mask: &Mask, noise: &Flow) -> Flow {
    let mut other = flow.clone();
    for i in 0..l::KEY_WORDS {
        let all = if i == l::TIERS_WORD { !l::TIERS_BITS } else { u64::MAX };
        other.w[i] ^= noise.w[i] & !mask.w[i] & all;
    }
    other
}
