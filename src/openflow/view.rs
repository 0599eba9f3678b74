//! How a list of actions looks to a client of a version of the protocol.
//!
//! A switch keeps what a controller meant; when another asks in an older or newer version, what that version lacks is
//! put in its own words (ovs-actions(7), "Inter-Version Compatibility" and the actions' "Conformance"). `ovs-ofctl
//! dump-flows` asks in OpenFlow 1.0 with Nicira's extensions unless told otherwise.

use crate::action::{Action, Resubmit, SetField, SetStyle};
use crate::subfield::FieldId;
use crate::types::{OfPort, TableId};
use flow::fields::prereq::{eth_type, ip_proto};
use flow::layout as l;
use flow::{Flow, Match};

/// A version of OpenFlow, as far as the text of actions differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// As it was meant: nothing is translated.
    #[default]
    Meant,
    /// OpenFlow 1.0 with Nicira's extensions.
    Of10,
    /// OpenFlow 1.1, which has actions of its own for some fields.
    Of11,
    /// OpenFlow 1.2 to 1.4.
    Of12,
    /// OpenFlow 1.5.
    Of15,
}

/// Does it set a TCI of a tag that is there?
fn tagged(s: &SetField) -> bool {
    s.value & u128::from(l::VLAN_PRESENT) != 0
}

/// The widest value of a `load`.
const LOAD_BITS: u16 = 64;

/// `actions` of a flow that matches `matching` in the words of `version`.
pub fn seen(actions: &[Action], version: Version, matching: &Match) -> Vec<Action> {
    let mut view = View { version, flow: matching.expand().0, out: Vec::new() };
    view.list(actions);
    view.out
}

struct View {
    version: Version,
    /// What is known of the packet: the match, changed by the actions so far.
    flow: Flow,
    out: Vec<Action>,
}

impl View {
    fn list(&mut self, actions: &[Action]) {
        for a in actions {
            match self.version {
                Version::Meant => self.out.push(a.clone()),
                Version::Of10 => self.of10(a),
                Version::Of11 => self.of11(a),
                Version::Of12 => self.of12(a),
                Version::Of15 => self.of15(a),
            }
        }
    }

    fn nested(&self, actions: &[Action]) -> Vec<Action> {
        let mut inner = View { version: self.version, flow: self.flow.clone(), out: Vec::new() };
        inner.list(actions);
        inner.out
    }

    /// The kinds that hold other actions, and those that are the same everywhere.
    fn common(&mut self, action: &Action) {
        let action = match action {
            Action::Clone(inner) => Action::Clone(self.nested(inner)),
            Action::WriteActions(inner) => Action::WriteActions(self.nested(inner)),
            Action::Ct(ct) => {
                let mut ct = ct.clone();
                ct.exec = self.nested(&ct.exec);
                Action::Ct(ct)
            }
            other => other.clone(),
        };
        self.out.push(action);
    }

    fn of10(&mut self, action: &Action) {
        match action {
            Action::SetField(s) => self.of10_set(s),
            Action::SetVlanVid { vid, .. } => self.out.push(Action::SetVlanVid { vid: *vid, push: true }),
            Action::SetVlanPcp { pcp, .. } => self.out.push(Action::SetVlanPcp { pcp: *pcp, push: true }),
            Action::GotoTable(table) => self.out.push(Action::Resubmit(Resubmit {
                in_port: OfPort::IN_PORT,
                table: Some(TableId(table.0)),
                with_ct: false,
            })),
            // What OpenFlow 1.0 has no words for is left out.
            Action::WriteActions(_) | Action::ClearActions | Action::Meter(_) => {}
            other => self.common(other),
        }
    }

    fn of10_set(&mut self, s: &SetField) {
        let (row, whole) = (s.field.row(), s.mask == s.field.row().full_mask());
        let modify = |field: FieldId, value: u128| {
            let mask = field.row().full_mask();
            Action::SetField(SetField { field, value, mask, style: SetStyle::Mod })
        };
        match (s.style, s.field) {
            (SetStyle::Mod, FieldId::NwEcn | FieldId::NwTtl) => self.load(s),
            (SetStyle::Mod, _) => self.out.push(Action::SetField(*s)),
            // Fields whose code points `load` cannot name.
            (_, field) if field.tun_metadata_index().is_some() || row.oxm.iter().all(|o| o.class == 0xffff) => {
                self.out.push(Action::SetField(SetField { style: SetStyle::SetField, ..*s }));
            }
            (SetStyle::Load, _) => self.load(s),
            (_, _) if !whole => self.load(s),
            (_, FieldId::EthSrc | FieldId::EthDst | FieldId::IpSrc | FieldId::IpDst | FieldId::NwTos) => {
                self.out.push(modify(s.field, s.value));
            }
            (_, FieldId::IpDscp) => self.out.push(modify(FieldId::NwTos, s.value << 2)),
            (_, FieldId::TcpSrc | FieldId::UdpSrc) => {
                self.out.push(modify(FieldId::TcpSrc, s.value));
            }
            (_, FieldId::TcpDst | FieldId::UdpDst) => {
                self.out.push(modify(FieldId::TcpDst, s.value));
            }
            (_, FieldId::VlanVid) => {
                self.out.push(Action::SetVlanVid { vid: (s.value & 0xfff) as u16, push: true });
            }
            (_, FieldId::VlanPcp) => self.out.push(Action::SetVlanPcp { pcp: (s.value & 7) as u8, push: true }),
            (_, FieldId::VlanTci) if !tagged(s) => self.out.push(Action::StripVlan),
            (_, FieldId::VlanTci) => {
                self.out.push(Action::SetVlanVid { vid: (s.value & 0xfff) as u16, push: true });
                self.out.push(Action::SetVlanPcp { pcp: (s.value >> 13 & 7) as u8, push: true });
            }
            _ => self.load(s),
        }
    }

    /// As `load`s: one for each run of bits, none wider than it can be.
    fn load(&mut self, s: &SetField) {
        let mut bits = s.mask;
        while bits != 0 {
            let ofs = bits.trailing_zeros();
            let run = (bits >> ofs).trailing_ones().min(LOAD_BITS.into());
            let mask = ((1u128 << run) - 1) << ofs;
            bits &= !mask;
            self.out.push(Action::SetField(SetField { value: s.value & mask, mask, style: SetStyle::Load, ..*s }));
        }
    }

    fn of11(&mut self, action: &Action) {
        match action {
            Action::SetTunnel { .. } | Action::SetMplsLabel(_) | Action::SetMplsTc(_) => self.common(action),
            Action::SetField(SetField { style: SetStyle::Load | SetStyle::Mod, .. }) => self.common(action),
            Action::SetField(s) if s.field == FieldId::VlanTci && s.mask == s.field.row().full_mask() => {
                if tagged(s) {
                    self.out.push(Action::SetVlanVid { vid: (s.value & 0xfff) as u16, push: false });
                    self.out.push(Action::SetVlanPcp { pcp: (s.value >> 13 & 7) as u8, push: false });
                } else {
                    self.out.push(Action::StripVlan);
                }
            }
            other => self.of15(other),
        }
    }

    fn of12(&mut self, action: &Action) {
        match action {
            Action::SetField(s) if s.style == SetStyle::Load => self.out.push(action.clone()),
            other => self.of15(other),
        }
    }

    fn of15(&mut self, action: &Action) {
        let set = |field: FieldId, value: u128| {
            let mask = field.row().full_mask();
            Action::SetField(SetField { field, value, mask, style: SetStyle::SetField })
        };
        match action {
            Action::SetField(s) if s.style == SetStyle::Mod => match s.field {
                FieldId::NwTos => self.out.push(set(FieldId::IpDscp, s.value >> 2)),
                FieldId::NwTtl => self.out.push(action.clone()),
                FieldId::TcpSrc | FieldId::TcpDst => match self.transport(s.field) {
                    Some(field) => self.out.push(set(field, s.value)),
                    // the match leaves the protocol open
                    None => self.out.push(action.clone()),
                },
                field => self.out.push(set(field, s.value)),
            },
            Action::SetField(s) => {
                self.out.push(Action::SetField(SetField { style: SetStyle::SetField, ..*s }));
            }
            Action::SetTunnel { id, .. } => self.out.push(set(FieldId::TunId, u128::from(*id))),
            Action::SetMplsLabel(n) => self.out.push(set(FieldId::MplsLabel, u128::from(*n))),
            Action::SetMplsTc(n) => self.out.push(set(FieldId::MplsTc, u128::from(*n))),
            Action::SetVlanVid { vid, push } => {
                self.tag(*push);
                self.out.push(set(FieldId::VlanVid, u128::from(vid | l::VLAN_PRESENT)));
            }
            Action::SetVlanPcp { pcp, push } => {
                self.tag(*push);
                self.out.push(set(FieldId::VlanPcp, u128::from(*pcp)));
            }
            Action::PushVlan(_) => {
                self.flow.set(l::VLAN_TCI, l::VLAN_PRESENT.into());
                self.out.push(action.clone());
            }
            Action::StripVlan => {
                self.flow.set(l::VLAN_TCI, 0);
                self.out.push(action.clone());
            }
            Action::Enqueue { port, queue } => self.out.extend([
                Action::SetQueue(*queue),
                Action::Output { port: *port, max_len: 0 },
                Action::PopQueue,
            ]),
            other => self.common(other),
        }
    }

    /// Pushes a tag where a packet may have none.
    fn tag(&mut self, push: bool) {
        if push && self.flow.get64(l::VLAN_TCI) & u64::from(l::VLAN_PRESENT) == 0 {
            self.flow.set(l::VLAN_TCI, l::VLAN_PRESENT.into());
            self.out.push(Action::PushVlan(eth_type::VLAN));
        }
    }

    /// The port field of the protocol that the match asks for, in place of TCP's; none without a protocol that has ports.
    fn transport(&self, tcp: FieldId) -> Option<FieldId> {
        let (src, proto) = (tcp == FieldId::TcpSrc, self.flow.get64(l::NW_PROTO) as u8);
        match (proto, src) {
            (ip_proto::TCP, _) => Some(tcp),
            (ip_proto::UDP, true) => Some(FieldId::UdpSrc),
            (ip_proto::UDP, false) => Some(FieldId::UdpDst),
            (ip_proto::SCTP, true) => Some(FieldId::SctpSrc),
            (ip_proto::SCTP, false) => Some(FieldId::SctpDst),
            _ => None,
        }
    }
}
