//! Reading and writing a field's value in a flow, and asking for it in a match.
//!
//! A value is a number in the low [`super::Field::bits`] bits of a `u128`, as it stands in an NXM or OXM body.
//! Tunnel options can be wider and have no fixed place: [`super::tlv`] deals with them.
#![deny(clippy::indexing_slicing)]

use super::table::{Field, Kind, Masking};
use crate::layout::{self as l, Slot, VLAN_PRESENT};
use crate::words::{Flow, Mask};

const VID_PRESENT: Slot = Slot::new(l::VLAN_TCI.word as usize, l::VLAN_TCI.shift as usize, 13);
const PCP_PRESENT: Slot = Slot::new(l::VLAN_TCI.word as usize, l::VLAN_TCI.shift as usize + 12, 4);
const DSCP: Slot = Slot::new(l::NW_TOS.word as usize, l::NW_TOS.shift as usize + 2, 6);
const PRESENT: u128 = VLAN_PRESENT as u128;

/// OpenFlow 1.0 ports from 0xff00 on are reserved and get a sign-extended number in OpenFlow 1.1.
const RESERVED_PORTS: u128 = 0xff00;

/// The OpenFlow 1.1+ number of the OpenFlow 1.0 port `port`.
pub const fn port_to_11(port: u16) -> u32 {
    if port as u128 >= RESERVED_PORTS { port as u32 | 0xffff_0000 } else { port as u32 }
}

/// The OpenFlow 1.0 number of the OpenFlow 1.1+ port `port`, if it has one.
pub const fn port_from_11(port: u32) -> Option<u16> {
    if port < RESERVED_PORTS as u32 || port >= 0xffff_0000 | RESERVED_PORTS as u32 { Some(port as u16) } else { None }
}

impl Field {
    /// Its value in `flow`; of a tunnel option 0 (see [`super::tlv::TlvTable`]).
    pub fn get(&self, flow: &Flow) -> u128 {
        match self.kind {
            Kind::Plain | Kind::VlanTci | Kind::VlanVid | Kind::VlanPcp => flow.get(self.slot),
            Kind::WidePort => u128::from(port_to_11(flow.get64(self.slot) as u16)),
            Kind::DlVlan => {
                if flow.get64(l::VLAN_TCI) == 0 {
                    0xffff
                } else {
                    flow.get(self.slot)
                }
            }
            Kind::Tos => flow.get(self.slot) & 0xfc,
            Kind::TunMetadata => 0,
        }
    }

    /// Stores `value` in `flow`. Bits that the field does not have are ignored, a tunnel option altogether.
    ///
    /// VLAN fields keep the tag's other bits and make it present, except that dl_vlan=0xffff, vlan_vid=0 and
    /// vlan_tci=0 take it away.
    pub fn set(&self, flow: &mut Flow, value: u128) {
        match self.kind {
            Kind::Plain | Kind::VlanTci => flow.set(self.slot, value & self.max()),
            Kind::WidePort => flow.set(self.slot, u128::from(port_from_11(value as u32).unwrap_or(0xffff))),
            Kind::DlVlan if value == 0xffff => flow.set(l::VLAN_TCI, 0),
            Kind::DlVlan => flow.set(VID_PRESENT, value & 0xfff | PRESENT),
            Kind::VlanVid if value == 0 => flow.set(l::VLAN_TCI, 0),
            Kind::VlanVid => flow.set(VID_PRESENT, value & 0xfff | PRESENT),
            Kind::VlanPcp => {
                let tci = flow.get(l::VLAN_TCI) & 0x1fff;
                flow.set(l::VLAN_TCI, tci | (value & 7) << 13 | PRESENT);
            }
            Kind::Tos => {
                let ecn = flow.get(self.slot) & 3;
                flow.set(self.slot, value & 0xfc | ecn);
            }
            Kind::TunMetadata => {}
        }
        if matches!(self.kind, Kind::VlanTci | Kind::DlVlan | Kind::VlanVid | Kind::VlanPcp) {
            fix_tpid(flow);
        }
    }

    /// May the field have this value? (Out-of-range bits; DSCP with ECN bits; unknown bits of flag fields.)
    pub fn is_valid(&self, value: u128) -> bool {
        match self.kind {
            Kind::Tos => value & !0xfc == 0,
            Kind::VlanVid => value & !0x1fff == 0,
            Kind::WidePort => value <= 0xffff_ffff && port_from_11(value as u32).is_some(),
            Kind::DlVlan => value & !0xfff == 0 || value == 0xffff,
            Kind::TunMetadata => true,
            Kind::Plain | Kind::VlanTci | Kind::VlanPcp => value <= self.max(),
        }
    }

    /// The mask that means an exact match on it.
    pub const fn full_mask(&self) -> u128 {
        match self.kind {
            Kind::VlanVid => 0x1fff,
            Kind::Tos => 0xfc,
            Kind::WidePort => 0xffff_ffff,
            Kind::DlVlan => 0xffff,
            _ => self.max(),
        }
    }

    /// Makes the match `flow` under `mask` ask for `value` in the bits `bits` of this field; `bits` of 0 wildcards it.
    /// Says no when the field cannot be masked so.
    pub fn set_match(&self, flow: &mut Flow, mask: &mut Mask, value: u128, bits: u128) -> bool {
        let full = self.full_mask();
        let bits = bits & full;
        if self.masking == Masking::Exact && bits != 0 && bits != full {
            return false;
        }
        let exact = bits == full;
        let mut put = |slot: Slot, v: u128, m: u128| {
            flow.set(slot, v & m);
            mask.set(slot, m);
        };
        let all = u128::from(self.slot.bits() >> self.slot.shift);
        match self.kind {
            Kind::Plain if self.slot.width <= 64 && exact => put(self.slot, value & full, all),
            Kind::Plain | Kind::VlanTci => put(self.slot, value, bits),
            Kind::Tos => {
                put(DSCP, value >> 2, if bits == 0 { 0 } else { 0x3f });
            }
            Kind::WidePort if bits == 0 => put(self.slot, 0, 0),
            Kind::WidePort => match port_from_11(value as u32) {
                Some(port) => put(self.slot, u128::from(port), all),
                None => return false,
            },
            Kind::DlVlan if bits == 0 => put(VID_PRESENT, 0, 0),
            Kind::DlVlan if value == 0xffff => put(l::VLAN_TCI, 0, 0xffff),
            Kind::DlVlan => put(VID_PRESENT, value & 0xfff | PRESENT, 0x1fff),
            Kind::VlanVid => put(self.slot, value, bits),
            Kind::VlanPcp => {
                // Asking for a priority asks for a tag; the VID part of the match stays.
                let vid_value = flow.get(l::VLAN_TCI) & 0x0fff;
                let vid_mask = mask.get(l::VLAN_TCI) & 0x0fff;
                let (v, m) = if bits == 0 {
                    (flow.get(l::VLAN_TCI) & 0x1000, mask.get(l::VLAN_TCI) & 0x1000)
                } else {
                    ((value & 7) << 13 | PRESENT, 0xf000)
                };
                flow.set(l::VLAN_TCI, vid_value | v);
                mask.set(l::VLAN_TCI, vid_mask | m);
            }
            Kind::TunMetadata => return false,
        }
        true
    }

    /// What the match `flow` under `mask` asks of this field: value and bits; bits of 0 mean nothing.
    pub fn get_match(&self, flow: &Flow, mask: &Mask) -> (u128, u128) {
        let m = mask.get(self.slot);
        match self.kind {
            Kind::Plain | Kind::VlanTci | Kind::VlanVid | Kind::VlanPcp => (flow.get(self.slot), m & self.full_mask()),
            Kind::Tos => (flow.get(self.slot) & 0xfc, m & 0xfc),
            Kind::WidePort => (self.get(flow), if m == 0 { 0 } else { self.full_mask() }),
            Kind::DlVlan => (self.get(flow), if m == 0 { 0 } else { self.full_mask() }),
            Kind::TunMetadata => (0, 0),
        }
    }

    /// Is the field's prerequisite met by `flow`?
    pub fn prereqs_ok(&self, flow: &Flow) -> bool {
        self.prereq.ok(flow)
    }

    /// Makes exact in `mask` the field and what its prerequisites look at.
    pub fn add_mask(&self, mask: &mut Mask) {
        match self.kind {
            Kind::TunMetadata => {}
            Kind::Tos => mask.exact(DSCP),
            Kind::DlVlan => mask.exact(VID_PRESENT),
            Kind::VlanPcp => mask.exact(PCP_PRESENT),
            _ => mask.exact(self.slot),
        }
        self.prereq.add_mask(mask);
    }
}

/// A tag has a TPID, no tag has none; a tag that a field made is 802.1Q.
fn fix_tpid(flow: &mut Flow) {
    if flow.get(l::VLAN_TCI) & PRESENT == 0 {
        flow.set(l::VLAN_TPID, 0);
    } else if flow.get64(l::VLAN_TPID) == 0 {
        flow.set(l::VLAN_TPID, 0x8100);
    }
}
