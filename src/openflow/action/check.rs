//! Do the actions fit the match? (ovs-actions(7), "Inconsistencies", and each action's own rules.)
//!
//! A [`CheckError`] is refused in every version. What OpenFlow 1.0 tolerates and later versions forbid (say, `dec_ttl`
//! in a flow that may match ARP) is told apart: [`check`] says whether the flow is consistent.

use super::{Action, CtZone, LearnSource, LearnTarget, SetField, SetStyle};
use crate::subfield::{FieldId, Subfield};
use crate::types::{MeterId, OfPort, TableId};
use flow::fields::Prereq;
use flow::fields::prereq::{CT_INVALID, CT_TRACKED, eth_type, ip_proto};
use flow::layout as l;
use flow::{Flow, Match};
use std::fmt;

/// Why actions are refused, by the name of OpenFlow's error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckError {
    /// As `OFPBAC_BAD_OUT_PORT`.
    pub code: &'static str,
    /// Which action, and what about it; may be empty.
    pub detail: String,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.detail.is_empty() {
            write!(f, "{}: ", self.detail)?;
        }
        write!(f, "actions are invalid with specified match ({})", self.code)
    }
}

impl std::error::Error for CheckError {}

impl CheckError {
    /// The module of OVS whose words the detail is in.
    pub fn module(&self) -> &'static str {
        let of_field = ["source field", "destination field"].iter().any(|w| self.detail.starts_with(w));
        if of_field { "meta_flow" } else { "ofp_actions" }
    }
}

const INCONSISTENT: &str = "OFPBAC_MATCH_INCONSISTENT";
const BAD_ARGUMENT: &str = "OFPBAC_BAD_ARGUMENT";
const BAD_SET: &str = "OFPBAC_BAD_SET_ARGUMENT";
const BAD_PORT: &str = "OFPBAC_BAD_OUT_PORT";

fn refuse<T>(code: &'static str, detail: impl Into<String>) -> Result<T, CheckError> {
    Err(CheckError { code, detail: detail.into() })
}

/// Checks the actions of a flow that matches `matching` in `table` (`None`: the switch chooses, which is table 0).
/// True when they are consistent as OpenFlow 1.1 and later ask.
pub fn check(actions: &[Action], matching: &Match, table: Option<TableId>) -> Result<bool, CheckError> {
    let (flow, mask) = matching.expand();
    let ct_invalid_known = mask.get64(l::CT_STATE) & u64::from(CT_INVALID) != 0;
    let mut c = Checker { flow, ct_invalid_known, table: table.unwrap_or_default(), consistent: true };
    c.list(actions)?;
    Ok(c.consistent)
}

struct Checker {
    /// What is known of the packet: the match, changed by the actions so far. Unknown fields are 0.
    flow: Flow,
    /// The match says whether ct_state has +inv.
    ct_invalid_known: bool,
    table: TableId,
    consistent: bool,
}

/// May an action set hold it? (ovs-actions(7), "Action Sets".)
fn fits_action_set(action: &Action) -> bool {
    match action {
        Action::Output { .. }
        | Action::Group(_)
        | Action::SetField(_)
        | Action::Move { .. }
        | Action::SetTunnel { .. }
        | Action::SetQueue(_)
        | Action::SetVlanVid { .. }
        | Action::SetVlanPcp { .. }
        | Action::StripVlan
        | Action::PushVlan(_)
        | Action::PushMpls(_)
        | Action::PopMpls(_)
        | Action::SetMplsLabel(_)
        | Action::SetMplsTc(_)
        | Action::SetMplsTtl(_)
        | Action::DecMplsTtl
        | Action::DecTtl(_)
        | Action::DecNshTtl
        | Action::Encap(_)
        | Action::Decap(_)
        | Action::Resubmit(_)
        | Action::Ct(_)
        | Action::CtClear => true,
        Action::Controller(c) => !c.pause,
        _ => false,
    }
}

/// Ports that `output` may name.
fn is_output_port(port: OfPort) -> bool {
    match port {
        OfPort::IN_PORT
        | OfPort::TABLE
        | OfPort::NORMAL
        | OfPort::FLOOD
        | OfPort::ALL
        | OfPort::CONTROLLER
        | OfPort::LOCAL => true,
        OfPort(n) => n < 0xff00,
    }
}

fn is_ct_field(field: FieldId) -> bool {
    matches!(field, FieldId::CtMark | FieldId::CtLabel)
}

impl Checker {
    fn list(&mut self, actions: &[Action]) -> Result<(), CheckError> {
        actions.iter().try_for_each(|a| self.one(a))
    }

    /// A list that works on a copy of the packet.
    fn nested(&mut self, actions: &[Action]) -> Result<(), CheckError> {
        let flow = self.flow.clone();
        let result = self.list(actions);
        self.flow = flow;
        result
    }

    /// Later versions ask for this.
    fn expect(&mut self, fits: bool) {
        self.consistent &= fits;
    }

    fn is(&self, prereq: Prereq) -> bool {
        prereq.ok(&self.flow)
    }

    fn has_tag(&self) -> bool {
        self.flow.get64(l::VLAN_TCI) & u64::from(l::VLAN_PRESENT) != 0
    }

    fn present(&self, field: FieldId) -> bool {
        match field {
            FieldId::VlanVid | FieldId::VlanPcp => self.has_tag(),
            field => self.is(field.row().prereq),
        }
    }

    /// Is there a code point to name it by? Registers have no need of one.
    fn named(&self, sf: Subfield) -> Result<(), CheckError> {
        let row = sf.field.row();
        if row.oxm.is_empty() && !row.name.starts_with("reg") {
            return refuse("OFPBMC_BAD_FIELD", format!("field {} has no code point", row.name));
        }
        Ok(())
    }

    fn source(&self, src: Subfield) -> Result<(), CheckError> {
        self.named(src)?;
        if !self.present(src.field) {
            return refuse(INCONSISTENT, format!("source field {} lacks correct prerequisites", src.field.row().name));
        }
        Ok(())
    }

    fn destination(&self, dst: Subfield) -> Result<(), CheckError> {
        let row = dst.field.row();
        if !self.present(dst.field) {
            return refuse(INCONSISTENT, format!("destination field {} lacks correct prerequisites", row.name));
        }
        if !row.writable {
            return refuse(BAD_SET, format!("destination field {} is not writable", row.name));
        }
        Ok(())
    }

    fn set(&mut self, s: &SetField) -> Result<(), CheckError> {
        let row = s.field.row();
        if !row.writable {
            return refuse(BAD_SET, format!("destination field {} is not writable", row.name));
        }
        match s.style {
            SetStyle::Mod => self.expect(s.applies(&self.flow)),
            _ if !self.present(s.field) => {
                return refuse(INCONSISTENT, format!("set_field {} lacks correct prerequisites", row.name));
            }
            _ => {}
        }
        // VLAN fields tell what follows whether there is a tag.
        if matches!(s.field, FieldId::VlanTci | FieldId::DlVlan | FieldId::VlanVid) && s.style != SetStyle::Mod {
            s.apply(&mut self.flow);
        }
        Ok(())
    }

    fn one(&mut self, action: &Action) -> Result<(), CheckError> {
        match action {
            Action::Output { port, .. } if !is_output_port(*port) => refuse(BAD_PORT, ""),
            Action::Enqueue { port, .. } => match *port {
                OfPort::IN_PORT | OfPort::LOCAL => Ok(()),
                OfPort(n) if n < 0xff00 => Ok(()),
                _ => refuse(BAD_PORT, ""),
            },
            Action::OutputReg { src, .. } | Action::StackPush(src) => self.source(*src),
            Action::StackPop(dst) | Action::CheckPktLarger { dst, .. } => self.destination(*dst),
            Action::Multipath(m) => self.destination(m.dst),
            Action::Bundle(b) => match b.dst {
                Some(dst) if dst.n_bits < 16 => {
                    refuse(BAD_ARGUMENT, "bundle_load action requires at least 16 bit destination")
                }
                Some(dst) => self.destination(dst),
                None => Ok(()),
            },
            Action::SetField(s) if is_ct_field(s.field) => outside_ct(),
            Action::SetField(s) => self.set(s),
            Action::Move { dst, .. } if is_ct_field(dst.field) => outside_ct(),
            Action::Move { src, dst } => self.source(*src).and_then(|()| self.destination(*dst)),
            Action::DeleteField(field) if field.tun_metadata_index().is_none() => refuse(BAD_ARGUMENT, ""),
            Action::SetVlanVid { push, .. } | Action::SetVlanPcp { push, .. } => {
                self.expect(*push || self.has_tag());
                self.flow.set(l::VLAN_TCI, l::VLAN_PRESENT.into());
                Ok(())
            }
            Action::StripVlan => {
                self.expect(self.has_tag());
                self.flow.set(l::VLAN_TCI, 0);
                Ok(())
            }
            Action::PushVlan(_) => {
                self.flow.set(l::VLAN_TCI, l::VLAN_PRESENT.into());
                Ok(())
            }
            Action::PushMpls(kind) => {
                self.flow.set(l::ETH_TYPE, u128::from(*kind));
                Ok(())
            }
            Action::PopMpls(kind) => {
                self.expect(self.is(Prereq::Mpls));
                self.flow.set(l::ETH_TYPE, u128::from(*kind));
                Ok(())
            }
            Action::SetMplsLabel(_) | Action::SetMplsTc(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => {
                self.expect(self.is(Prereq::Mpls));
                Ok(())
            }
            Action::DecTtl(_) => {
                self.expect(self.is(Prereq::Ip));
                Ok(())
            }
            Action::DecNshTtl => {
                self.expect(self.is(Prereq::Nsh));
                Ok(())
            }
            Action::Encap(e) => {
                self.flow.set(l::PACKET_TYPE, u128::from(e.packet_type));
                if e.packet_type != 0 {
                    self.flow.set(l::ETH_TYPE, u128::from(e.packet_type & 0xffff));
                }
                Ok(())
            }
            Action::Decap(_) => {
                if self.flow.get64(l::PACKET_TYPE) == 0 {
                    // Without its Ethernet header the packet is what its Ethertype says.
                    let kind = self.flow.get(l::ETH_TYPE);
                    self.flow.set(l::PACKET_TYPE, 1 << 16 | kind);
                }
                Ok(())
            }
            Action::Resubmit(r) if r.with_ct && !self.is_tracked() => refuse(INCONSISTENT, "resubmit with ct"),
            Action::FinTimeout { .. } => {
                self.expect(self.is(Prereq::Tcp));
                Ok(())
            }
            Action::Clone(inner) => self.nested(inner),
            Action::WriteActions(inner) => match inner.iter().find(|a| !fits_action_set(a)) {
                Some(a) => refuse("OFPBAC_BAD_TYPE", format!("disallowed action {} in action set", a.name())),
                // It runs when and on what nobody can tell, so only prerequisites count.
                None => {
                    let consistent = self.consistent;
                    let result = self.nested(inner);
                    self.consistent = consistent;
                    result
                }
            },
            Action::Ct(ct) => self.ct(ct),
            Action::Learn(learn) => self.learn(learn),
            Action::Meter(MeterId(0)) => refuse("OFPMMFC_INVALID_METER", ""),
            Action::GotoTable(to) if *to <= self.table => refuse("OFPBIC_BAD_TABLE_ID", ""),
            _ => Ok(()),
        }
    }

    /// Must every packet here have been tracked, with an original tuple?
    fn is_tracked(&self) -> bool {
        let state = self.flow.get64(l::CT_STATE) as u32;
        let connection = state & 0xf != 0;
        self.is(Prereq::Ip)
            && (connection || state & CT_TRACKED != 0 && self.ct_invalid_known && state & CT_INVALID == 0)
    }

    fn ct(&mut self, ct: &super::Ct) -> Result<(), CheckError> {
        if !self.is(Prereq::Ip) {
            return refuse(INCONSISTENT, "ct of what may not be IP");
        }
        let proto = self.flow.get64(l::NW_PROTO) as u8;
        let wanted = match ct.alg {
            21 => Some(ip_proto::TCP),
            69 => Some(ip_proto::UDP),
            _ => None,
        };
        if wanted.is_some_and(|w| w != proto) {
            return refuse(INCONSISTENT, "alg of another protocol");
        }
        if let CtZone::Field(src) = ct.zone {
            self.source(src)?;
            if src.n_bits != 16 {
                return refuse(
                    "OFPBAC_BAD_SET_LEN",
                    format!("zone n_bits {} not within valid range [16..16]", src.n_bits),
                );
            }
        }
        if let Some(nat) = &ct.nat {
            let eth = self.flow.get64(l::ETH_TYPE) as u16;
            let fits = nat.range.addrs.is_none_or(|(a, _)| (eth == eth_type::IPV4) == a.is_ipv4());
            if !fits {
                return refuse(INCONSISTENT, "nat of another family");
            }
        }
        let rewrites = ct.nat.as_ref().is_some_and(|n| n.kind != super::NatKind::Existing);
        if !ct.commit && (rewrites || !ct.exec.is_empty()) {
            return refuse(BAD_ARGUMENT, "ct without commit has exec or nat with arguments");
        }
        for a in &ct.exec {
            match a {
                Action::Move { src, dst } => self.source(*src).and_then(|()| self.destination(*dst))?,
                Action::SetField(s) => self.set(s)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn learn(&mut self, learn: &super::Learn) -> Result<(), CheckError> {
        let made = Checker { flow: Flow::default(), ct_invalid_known: false, table: self.table, consistent: true };
        let mut made = made;
        for spec in &learn.specs {
            if let LearnSource::Field(src) = spec.source {
                self.source(src)?;
            }
            match (spec.target, spec.source) {
                (LearnTarget::Match(dst), source) => {
                    if !made.is(dst.field.row().prereq) && dst.field != FieldId::VlanPcp {
                        let name = dst.field.row().name;
                        return refuse(INCONSISTENT, format!("source field {name} lacks correct prerequisites"));
                    }
                    if let LearnSource::Value(v) = source {
                        dst.set(&mut made.flow, v);
                    }
                }
                (LearnTarget::Load(dst), _) => made.destination(dst)?,
                (LearnTarget::Output, _) => {}
            }
        }
        match learn.limit.and_then(|limit| limit.result) {
            Some(dst) => self.destination(dst),
            None => Ok(()),
        }
    }
}

fn outside_ct() -> Result<(), CheckError> {
    refuse("OFPBAC_BAD_SET_ARGUMENT", "cannot set CT fields outside of ct action")
}
