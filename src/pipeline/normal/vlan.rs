//! VLANs of ports: which VLAN a packet that comes in is in, and which tag it leaves with.
//!
//! Read first: ovs-vswitchd.conf.db(5), table Port, columns vlan_mode, tag, trunks and other_config:priority-tags.

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
}

/// When a frame of VLAN 0 leaves with a tag, other than one that came with a priority to a port that does not untag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityTags {
    #[default]
    Never,
    IfNonzero,
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
            VlanMode::Access(own) => vlan == own,
            VlanMode::Trunk => self.trunks.has(vlan),
            VlanMode::NativeTagged(native) | VlanMode::NativeUntagged(native) => {
                vlan == native || self.trunks.has(vlan)
            }
        }
    }

    /// The VLAN that a packet coming in with `tci` (0: no tag) is in; None when it is not admitted.
    pub fn input(&self, tci: u16) -> Option<u16> {
        let vid = tci & 0xfff;
        match self.mode {
            // An access port takes priority-tagged frames, but no VLAN tag, not even its own.
            VlanMode::Access(own) => (vid == 0).then_some(own),
            VlanMode::Trunk => self.carries(vid).then_some(vid),
            VlanMode::NativeTagged(native) | VlanMode::NativeUntagged(native) => {
                let vlan = if vid == 0 { native } else { vid };
                self.carries(vlan).then_some(vlan)
            }
        }
    }

    /// The tag with which a packet of `vlan` leaves, `pcp` (in the upper 3 bits) kept: a TCI with the present bit, or 0
    /// for none. Ask [`VlanConfig::carries`] first.
    pub fn output(&self, vlan: u16, pcp: u16) -> u16 {
        // a port that takes the tag off takes the priority in it off too
        let (vid, strips) = match self.mode {
            VlanMode::Access(_) => (0, true),
            VlanMode::NativeUntagged(native) if native == vlan => (0, true),
            _ => (vlan, false),
        };
        let pcp = pcp & 0xe000;
        let tagged = vid != 0
            || match self.priority_tags {
                PriorityTags::Never => pcp != 0 && !strips,
                PriorityTags::IfNonzero => pcp != 0,
                PriorityTags::Always => true,
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
        assert_eq!((priority(PriorityTags::Always, 0), priority(PriorityTags::Never, 0x6000)), (VLAN_PRESENT, PRIO));
        assert_eq!(mode(VlanMode::NativeUntagged(0), &[]).output(0, 0x6000), 0);
        assert!(VlanConfig::access(5).carries(5) && !VlanConfig::access(5).carries(0));
    }
}
