//! VLANs of ports: which VLAN a packet that comes in is in, and which tag it leaves with.
//!
//! Read first: ovs-vswitchd.conf.db(5), table Port, columns vlan_mode, tag, trunks, cvlans, other_config:priority-tags and
//! other_config:qinq-ethtype.

use std::sync::Arc;

use flow::layout::VLAN_PRESENT;

/// Which VLANs a port trunks: a bit for each of 4096, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trunks(Option<Arc<[u64; 64]>>);

impl Trunks {
    /// All VLANs.
    pub const ALL: Trunks = Trunks(None);

    /// These; an empty list means all, as in the database.
    pub fn new(vlans: &[u16]) -> Trunks {
        if vlans.is_empty() {
            return Trunks::ALL;
        }
        let mut bits = [0; 64];
        for v in vlans {
            if let Some(word) = bits.get_mut(usize::from(v / 64)) {
                *word |= 1 << (v % 64);
            }
        }
        Trunks(Some(Arc::new(bits)))
    }

    /// Is `vlan` one of them?
    pub fn has(&self, vlan: u16) -> bool {
        self.0.as_ref().is_none_or(|bits| bits.get(usize::from(vlan / 64)).is_some_and(|w| w >> (vlan % 64) & 1 != 0))
    }
}

/// How a port treats VLANs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VlanMode {
    /// Tagged frames of the trunked VLANs; untagged ones are in VLAN 0.
    Trunk,
    /// Untagged frames, in this VLAN.
    Access(u16),
    /// As a trunk, but untagged frames are in this VLAN.
    NativeTagged(u16),
    /// As native-tagged, and frames of the native VLAN leave untagged.
    NativeUntagged(u16),
    /// As access, but frames may have tags, which are the customers': they stay below the tag of the VLAN.
    Dot1qTunnel {
        vlan: u16,
        /// The VLANs of customers' tags, 0 for frames without one.
        customers: Trunks,
        /// What the VLAN's tag has as its TPID where it is put on.
        tpid: u16,
    },
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub vlan: u16,
    /// It came in by a tunnel: its own tag, if any, is a customer's, and `vlan` goes on top of it, with this TPID.
    pub below: Option<u16>,
}

/// What becomes of a packet's outer tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retag {
    Keep,
    Set(u16),
    Push { tpid: u16, tci: u16 },
    Pop,
}

/// When a frame of VLAN 0 leaves with a tag, other than one that came with a priority to a port that does not untag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityTags {
    #[default]
    Never,
    IfNonzero,
    /// Whenever it had one.
    Always,
}

/// VLAN configuration of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VlanConfig {
    pub mode: VlanMode,
    /// Not looked at in access mode.
    pub trunks: Trunks,
    pub priority_tags: PriorityTags,
}

impl Default for VlanConfig {
    fn default() -> Self {
        VlanConfig { mode: VlanMode::Trunk, trunks: Trunks::ALL, priority_tags: PriorityTags::Never }
    }
}

impl VlanConfig {
    /// An access port of `vlan`.
    pub fn access(vlan: u16) -> VlanConfig {
        VlanConfig { mode: VlanMode::Access(vlan), ..VlanConfig::default() }
    }

    /// A trunk of these VLANs (none means all).
    pub fn trunk(vlans: &[u16]) -> VlanConfig {
        VlanConfig { trunks: Trunks::new(vlans), ..VlanConfig::default() }
    }

    /// Does the port carry `vlan`?
    pub fn carries(&self, vlan: u16) -> bool {
        match self.mode {
            VlanMode::Access(own) | VlanMode::Dot1qTunnel { vlan: own, .. } => vlan == own,
            VlanMode::Trunk => self.trunks.has(vlan),
            // without a list all VLANs but 0, whose frames the other end would take for the native VLAN's
            VlanMode::NativeTagged(native) | VlanMode::NativeUntagged(native) => {
                vlan == native || self.trunks.has(vlan) && (vlan != 0 || self.trunks != Trunks::ALL)
            }
        }
    }

    /// The VLAN that a packet coming in with `tci` (0: no tag) is in; None when it is not admitted.
    pub fn input(&self, tci: u16) -> Option<u16> {
        let vid = tci & 0xfff;
        match &self.mode {
            // An access port takes priority-tagged frames, but no VLAN tag, not even its own.
            VlanMode::Access(own) => (vid == 0).then_some(*own),
            VlanMode::Trunk => self.carries(vid).then_some(vid),
            VlanMode::NativeTagged(native) | VlanMode::NativeUntagged(native) => {
                let vlan = if vid == 0 { *native } else { vid };
                self.carries(vlan).then_some(vlan)
            }
            VlanMode::Dot1qTunnel { vlan, customers, .. } => customers.has(vid).then_some(*vlan),
        }
    }

    /// The same, and whether the packet's tag is a customer's.
    pub fn admit(&self, tci: u16) -> Option<Place> {
        let below = match self.mode {
            VlanMode::Dot1qTunnel { tpid, .. } => Some(tpid),
            _ => None,
        };
        self.input(tci).map(|vlan| Place { vlan, below })
    }

    /// Whether it takes the customer's VLAN to know if a packet leaves by this port.
    pub fn asks_customer(&self) -> bool {
        match &self.mode {
            VlanMode::Access(_) => true,
            VlanMode::Dot1qTunnel { customers, .. } => *customers != Trunks::ALL,
            _ => false,
        }
    }

    /// Whether a packet leaves by this port; `customer` is the VLAN of the tag below the one of its VLAN, 0 for none.
    pub fn lets_out(&self, place: Place, customer: u16) -> bool {
        self.carries(place.vlan)
            && match &self.mode {
                // what is left when the tag is off has to be a frame without VLAN
                VlanMode::Access(_) => customer == 0,
                VlanMode::Dot1qTunnel { customers, .. } => customers.has(customer),
                _ => true,
            }
    }

    /// What becomes of the outer tag `tci` (0: none) of a packet that leaves by this port.
    pub fn retag(&self, place: Place, tci: u16) -> Retag {
        let without = if tci == 0 { Retag::Keep } else { Retag::Pop };
        let Some(tpid) = place.below else {
            return match (self.output(place.vlan, tci), tci) {
                (tag, tci) if tag == tci => Retag::Keep,
                (0, _) => Retag::Pop,
                (tci, 0) => Retag::Push { tpid: 0x8100, tci },
                (tag, _) => Retag::Set(tag),
            };
        };
        match self.mode {
            VlanMode::Dot1qTunnel { .. } => Retag::Keep,
            VlanMode::NativeUntagged(native) if native == place.vlan => Retag::Keep,
            VlanMode::Access(_) => without,
            // VLAN 0 has no tag that could go on top: the customer's must not be taken for one of ours
            _ if place.vlan == 0 => without,
            // as Open vSwitch has it, with the customer's priority where the port is to have priorities
            _ => {
                let pcp = if self.priority_tags == PriorityTags::Never { 0 } else { tci & 0xe000 };
                Retag::Push { tpid, tci: place.vlan | pcp | VLAN_PRESENT }
            }
        }
    }

    /// The tag with which a packet of `vlan` leaves, the priority of the one that it had, `pcp` (a TCI, 0 for none), kept: a
    /// TCI with the present bit, or 0 for none. Ask [`VlanConfig::carries`] first.
    pub fn output(&self, vlan: u16, pcp: u16) -> u16 {
        // a port that takes the tag off takes the priority in it off too
        let (vid, strips) = match self.mode {
            VlanMode::Access(_) | VlanMode::Dot1qTunnel { .. } => (0, true),
            VlanMode::NativeUntagged(native) if native == vlan => (0, true),
            _ => (vlan, false),
        };
        let (had, pcp) = (pcp & VLAN_PRESENT != 0, pcp & 0xe000);
        let tagged = vid != 0
            || match self.priority_tags {
                PriorityTags::Never => pcp != 0 && !strips,
                PriorityTags::IfNonzero => pcp != 0,
                PriorityTags::Always => had,
            };
        if tagged { vid | pcp | VLAN_PRESENT } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG5: u16 = 0x6005 | VLAN_PRESENT;
    const TAG9: u16 = 0x0009 | VLAN_PRESENT;
    const PRIO: u16 = 0x6000 | VLAN_PRESENT;

    fn mode(mode: VlanMode, trunks: &[u16]) -> VlanConfig {
        VlanConfig { mode, trunks: Trunks::new(trunks), priority_tags: PriorityTags::Never }
    }

    #[test]
    fn modes_admit_as_the_manual_says() {
        // (config, VLAN of: untagged, priority-tagged, VLAN 5, VLAN 9)
        let cases = [
            (VlanConfig::default(), [Some(0), Some(0), Some(5), Some(9)]),
            (VlanConfig::trunk(&[5]), [None, None, Some(5), None]),
            (VlanConfig::trunk(&[0, 9]), [Some(0), Some(0), None, Some(9)]),
            (VlanConfig::access(5), [Some(5), Some(5), None, None]),
            (mode(VlanMode::NativeTagged(7), &[5]), [Some(7), Some(7), Some(5), None]),
            (mode(VlanMode::NativeUntagged(9), &[5]), [Some(9), Some(9), Some(5), Some(9)]),
        ];
        for (config, want) in cases {
            assert_eq!([0, PRIO, TAG5, TAG9].map(|tci| config.input(tci)), want, "{config:?}");
        }
    }

    #[test]
    fn modes_tag_as_the_manual_says() {
        let cases = [
            (VlanConfig::default(), [0, TAG5, TAG9]),
            (VlanConfig::access(5), [0, 0, 0]),
            (mode(VlanMode::NativeTagged(9), &[]), [0, TAG5, TAG9]),
            (mode(VlanMode::NativeUntagged(9), &[]), [0, TAG5, 0]),
        ];
        for (config, want) in cases {
            assert_eq!([config.output(0, 0), config.output(5, 0x6000), config.output(9, 0)], want, "{config:?}");
        }
        let priority = |priority_tags, pcp| VlanConfig { priority_tags, ..VlanConfig::default() }.output(0, pcp);
        assert_eq!((priority(PriorityTags::IfNonzero, 0), priority(PriorityTags::IfNonzero, 0x6000)), (0, PRIO));
        // a tag without VLAN and priority is retained; none is made
        assert_eq!(
            (priority(PriorityTags::Always, VLAN_PRESENT), priority(PriorityTags::Always, 0)),
            (VLAN_PRESENT, 0)
        );
        assert_eq!(priority(PriorityTags::Never, 0x6000), PRIO);
        assert_eq!(mode(VlanMode::NativeUntagged(0), &[]).output(0, 0x6000), 0);
        assert!(VlanConfig::access(5).carries(5) && !VlanConfig::access(5).carries(0));
    }

    fn tunnel(vlan: u16, customers: &[u16], tpid: u16) -> VlanConfig {
        mode(VlanMode::Dot1qTunnel { vlan, customers: Trunks::new(customers), tpid }, &[])
    }

    #[test]
    fn tunnels_put_their_vlan_on_top() {
        let port = tunnel(9, &[0, 5], 0x88a8);
        assert_eq!([0, PRIO, TAG5, TAG9].map(|tci| port.input(tci)), [Some(9), Some(9), Some(9), None]);
        let place = port.admit(TAG5).unwrap();
        assert_eq!(place, Place { vlan: 9, below: Some(0x88a8) });
        let with = |pcp| Retag::Push { tpid: 0x88a8, tci: TAG9 | pcp };
        let on_top = [with(0); 3];
        let if_nonzero = VlanConfig { priority_tags: PriorityTags::IfNonzero, ..VlanConfig::default() };
        // (where to, whether it leaves there, what becomes of: no tag, a priority's, VLAN 5)
        let keep = Retag::Keep;
        let cases = [
            (VlanConfig::default(), true, on_top),
            (if_nonzero, true, [with(0), with(0x6000), with(0x6000)]),
            (VlanConfig::access(9), false, [keep, Retag::Pop, Retag::Pop]),
            (mode(VlanMode::NativeTagged(9), &[]), true, on_top),
            (mode(VlanMode::NativeUntagged(9), &[]), true, [keep, keep, keep]),
            (mode(VlanMode::NativeUntagged(8), &[]), true, on_top),
            (tunnel(9, &[], 0x8100), true, [keep, keep, keep]),
            (tunnel(9, &[6], 0x8100), false, [keep, keep, keep]),
            (tunnel(8, &[], 0x8100), false, [keep, keep, keep]),
        ];
        for (to, leaves, retags) in cases {
            assert_eq!(to.lets_out(place, 5), leaves, "{to:?}");
            assert_eq!([0, PRIO, TAG5].map(|tci| to.retag(place, tci)), retags, "{to:?}");
        }
        assert!(VlanConfig::access(9).lets_out(place, 0));
        // from a trunk, the outer tag is the VLAN's and comes off
        let trunk = VlanConfig::default().admit(TAG9).unwrap();
        assert!(port.lets_out(trunk, 5) && !port.lets_out(trunk, 6) && port.asks_customer());
        assert_eq!(port.retag(trunk, TAG9), Retag::Pop);
        // a tunnel without a VLAN of its own never lets a customer's tag be taken for a VLAN
        let place = tunnel(0, &[], 0x88a8).admit(TAG5).unwrap();
        assert_eq!([0, TAG5].map(|tci| VlanConfig::default().retag(place, tci)), [keep, Retag::Pop]);
    }
}
