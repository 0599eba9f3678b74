//! Flow formats: which versions and which forms of matches may be spoken (ovs-ofctl(8), "-F" and "-O").

use std::fmt;
use std::ops::RangeInclusive;

use super::scan::Item;
use crate::action::{Action, SetStyle};
use crate::wire::flow::needs_nx;
use crate::wire::{Version, Versions, match10, match11};
use crate::{FieldId, FlowMod};
use flow::fields::Field;
use flow::fields::prereq::eth_type;
use flow::layout as l;
use flow::text::parse::SubField;

/// A set of formats, a bit for each of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats(u16);

impl Default for Formats {
    /// All of them.
    fn default() -> Formats {
        ALL
    }
}

/// Formats by their own names, with their versions.
const NAMES: [(&str, Version); 9] = [
    ("OpenFlow10-table_id", Version::Of10),
    ("OpenFlow10+table_id", Version::Of10),
    ("NXM-table_id", Version::Of10),
    ("NXM+table_id", Version::Of10),
    ("OpenFlow11", Version::Of11),
    ("OXM-OpenFlow12", Version::Of12),
    ("OXM-OpenFlow13", Version::Of13),
    ("OXM-OpenFlow14", Version::Of14),
    ("OXM-OpenFlow15", Version::Of15),
];

const STANDARD: Formats = Formats(3);
const NXM: Formats = Formats(3 << 2);
const OXM: Formats = Formats(0xf << 5);
const OF11: Formats = Formats(1 << 4);
const OF13: Formats = Formats(7 << 6);
/// Those that say a table beside the flow.
const TABLES: Formats = Formats(ALL.0 & !(1 | 1 << 2));
/// What masks and newer fields need, and what OpenFlow 1.1 has of it.
const EXTENDED: Formats = Formats(NXM.0 | OXM.0);
const EXTENDED11: Formats = Formats(EXTENDED.0 | OF11.0);
const ALL: Formats = Formats(0x1ff);
/// Names of several.
const SETS: [(&str, Formats); 4] = [("any", ALL), ("OpenFlow10", STANDARD), ("NXM", NXM), ("OXM", OXM)];

impl Formats {
    /// Those of versions.
    pub fn of_versions(versions: RangeInclusive<Version>) -> Formats {
        let bits = NAMES.iter().enumerate().filter(|(_, (_, version))| versions.contains(version));
        Formats(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }

    fn of(versions: Versions) -> Formats {
        let bits = NAMES.iter().enumerate().filter(|(_, (_, version))| versions.has(*version));
        Formats(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }

    /// What `-F` and `-O` leave. Without `-O` there is OpenFlow 1.0 alone; for bundles 1.4, as when `-O` names none that has them.
    pub fn new(formats: Option<&str>, versions: Option<&str>, bundle: bool) -> Result<Formats, String> {
        let versions = match versions {
            None => Versions::of([Version::Of10]),
            Some(text) => {
                let mut all = Vec::new();
                for name in text.split([',', ' ']).filter(|n| !n.is_empty()) {
                    let unknown = || format!("Unknown OpenFlow version: \"{name}\"");
                    all.push(Version::by_name(name).ok_or_else(unknown)?);
                }
                Versions::of(all)
            }
        };
        let bundles = Version::ALL.into_iter().any(|v| v >= Version::Of13 && versions.has(v));
        let versions = if bundle && !bundles { Versions::of([Version::Of14]) } else { versions };
        let formats = match formats {
            None => ALL,
            Some(text) => {
                let mut all = 0;
                for name in text.split(',').filter(|n| !n.is_empty()) {
                    all |= Formats::by_name(name).ok_or_else(|| format!("{name}: unknown flow protocol"))?.0;
                }
                Formats(all)
            }
        };
        let both = Formats(formats.0 & Formats::of(versions).0);
        if both.0 == 0 {
            let all = Version::ALL.into_iter().filter(|v| versions.has(*v));
            let versions = all.map(Version::name).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "None of the enabled OpenFlow versions ({versions}) supports any of the enabled flow formats ({formats}).  (Use -O to enable additional OpenFlow versions or -F to enable additional flow formats.)"
            ));
        }
        Ok(both)
    }

    fn by_name(name: &str) -> Option<Formats> {
        let same = |n: &str| n.eq_ignore_ascii_case(name);
        let set = SETS.iter().find(|(n, _)| same(n)).map(|(_, set)| *set);
        set.or_else(|| NAMES.iter().position(|(n, _)| same(n)).map(|bit| Formats(1 << bit)))
    }

    /// The versions that these are of.
    pub fn versions(self) -> Versions {
        let bits = NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 != 0);
        Versions::of(bits.map(|(_, (_, version))| *version))
    }

    /// Whether any of `of` is among them.
    pub fn has_any(self, of: Formats) -> bool {
        self.0 & of.0 != 0
    }

    /// Those that can say what a change is, however it was written.
    pub fn of_flow(flow: &FlowMod) -> Formats {
        if needs_nx(flow) { EXTENDED11.and(Formats::of_match(&flow.matching)) } else { ALL }
    }

    /// Those that can say a match.
    fn of_match(matching: &flow::Match) -> Formats {
        // what only IPv4's match has is not said of IPv6
        let ipv6 = matching.get(l::ETH_TYPE) == (u128::from(eth_type::IPV6), 0xffff);
        if ipv6 && [l::NW_PROTO, l::NW_TOS].iter().any(|slot| matching.get(*slot).1 != 0) {
            return EXTENDED;
        }
        let old = if match10::fits(matching) { STANDARD.0 } else { 0 };
        let of11 = if match11::fits(matching) { OF11.0 } else { 0 };
        Formats(old | of11 | EXTENDED.0)
    }

    /// Those that have a field as its value was written; what is no field is in all.
    pub fn of_item(item: &Item) -> Formats {
        let Some((name, _)) = item.key.split_once('[') else {
            let Some(id) = super::field::by_any_name(item.key) else { return ALL };
            let row = id.row();
            return match item.value {
                "*" | "ANY" => ALL,
                "" if id.tun_metadata_index().is_none() => ALL,
                value if value.contains('/') => Formats::of_masked(row, value),
                _ => Formats::of_field(id),
            };
        };
        let whole = SubField::parse(item.key).is_ok_and(|s| s.bits() == s.field.row().bits);
        match super::field::by_any_name(name) {
            Some(id) if whole => Formats::of_field(id),
            Some(id) => Formats::of_part(id),
            None => ALL,
        }
    }

    fn of_masked(field: &'static Field, value: &str) -> Formats {
        match flow::text::value::parse(field, value, &flow::text::NoNames) {
            Ok((_, 0)) => ALL,
            Ok((_, mask)) if mask == field.full_mask() => Formats::of_field(field.id),
            // upper bits of an address, as OpenFlow 1.0 has them
            Ok((_, mask)) if field.full_mask() == 0xffff_ffff && (mask as u32).leading_ones() == mask.count_ones() => {
                Formats::of_field(field.id)
            }
            _ => Formats::of_part(field.id),
        }
    }

    /// Those that have all of a field.
    fn of_field(id: FieldId) -> Formats {
        use FieldId as F;
        match id {
            F::InPort | F::EthSrc | F::EthDst | F::EthType | F::VlanTci | F::DlVlan | F::DlVlanPcp | F::VlanVid => ALL,
            F::VlanPcp | F::IpSrc | F::IpDst | F::NwProto | F::NwTos | F::IpDscp | F::ArpOp | F::ArpSpa => ALL,
            F::ArpTpa | F::TcpSrc | F::TcpDst | F::UdpSrc | F::UdpDst | F::IcmpType | F::IcmpCode => ALL,
            F::InPortOxm | F::Metadata | F::MplsLabel | F::MplsTc | F::NwEcn | F::SctpSrc | F::SctpDst => EXTENDED11,
            // no code point, and not made of others that have one
            id if id.row().oxm.is_empty() => Formats(0),
            _ => EXTENDED,
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that have some bits of a field.
    fn of_part(id: FieldId) -> Formats {
        use FieldId as F;
        match id {
            F::EthSrc | F::EthDst | F::Metadata | F::IpSrc | F::IpDst | F::ArpSpa | F::ArpTpa => EXTENDED11,
            _ => EXTENDED,
        }
    }

    /// Those that have these actions.
    fn of_actions(actions: &[Action]) -> Formats {
        let of_one = |a: &Action| match a {
            Action::SetField(s) if s.style == SetStyle::SetField => Formats::of_field(s.field),
            Action::PushVlan(_) => Formats(OXM.0 | OF11.0),
            Action::Meter(_) | Action::Encap(_) => OF13,
            Action::WriteMetadata { .. } => EXTENDED11,
            Action::Clone(inner) | Action::WriteActions(inner) => Formats::of_actions(inner),
            Action::Ct(ct) => Formats::of_actions(&ct.exec),
            _ => ALL,
        };
        actions.iter().map(of_one).fold(ALL, Formats::and)
    }

    /// Those that can say a flow that was written in the words that `written` has, and whose actions are `consistent`
    /// as OpenFlow 1.1 asks.
    pub fn of_parsed(flow: &FlowMod, written: Formats, consistent: bool) -> Formats {
        let mut all = written.and(Formats::of_actions(&flow.actions));
        // one field may be several: IPv6's protocol is no field of what has IPv4 alone
        if flow.matching.get(l::ETH_TYPE) == (u128::from(eth_type::IPV6), 0xffff) {
            all = all.and(Formats::of_match(&flow.matching));
        }
        for (said, has) in [
            (flow.table.is_some(), TABLES),
            (!consistent, Formats(STANDARD.0 | NXM.0)),
            (flow.flags.reset_counts, OXM),
            (flow.flags.no_packet_counts || flow.flags.no_byte_counts, OF13),
            (flow.cookie_mask != 0, EXTENDED11),
        ] {
            if said {
                all = all.and(has);
            }
        }
        all
    }

    /// The first of them: its version, and whether flows are in Nicira's form and say their table.
    pub fn first(self) -> Option<(Formats, Version)> {
        let bit = self.0.trailing_zeros() as usize;
        NAMES.get(bit).map(|(_, version)| (Formats(1 << bit), *version))
    }

    /// Some format of `usable` must be allowed.
    pub fn require(self, usable: Formats) -> Result<(), String> {
        if self.has_any(usable) {
            return Ok(());
        }
        Err(format!("none of the usable flow formats ({usable}) is among the allowed flow formats ({self})"))
    }

    /// Those in either.
    pub fn or(self, other: Formats) -> Formats {
        Formats(self.0 | other.0)
    }

    /// Those in both.
    pub fn and(self, other: Formats) -> Formats {
        Formats(self.0 & other.0)
    }

    /// Whether OpenFlow 1.0's own form may be used, and Nicira's.
    pub fn has_standard(self) -> bool {
        self.has_any(STANDARD)
    }

    pub fn has_nxm(self) -> bool {
        self.has_any(NXM)
    }

    /// Whether a table may be said in OpenFlow 1.0.
    pub fn has_tables(self) -> bool {
        self.has_any(Formats(1 << 1 | 1 << 3))
    }
}

/// Those of `versions` from `least` on.
pub fn between(versions: Versions, least: Version) -> Versions {
    Versions::of(Version::ALL.into_iter().filter(|v| *v >= least && versions.has(*v)))
}

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == ALL {
            return f.write_str("any");
        }
        if self.0 == 0 {
            return f.write_str("none");
        }
        let (mut rest, mut names) = (self.0, Vec::new());
        for (name, set) in SETS.iter().skip(1) {
            if rest & set.0 == set.0 {
                names.push(*name);
                rest &= !set.0;
            }
        }
        names.extend(NAMES.iter().enumerate().filter(|(bit, _)| rest >> bit & 1 != 0).map(|(_, (name, _))| *name));
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NoNames, parse_flow};
    use crate::flow_mod::Command;

    /// As ovs-ofctl 3.1.0's parse-flow tells it.
    #[test]
    fn usable_formats_of_flows() {
        for (flow, usable) in [
            ("tcp,tp_src=80,actions=1", "any"),
            ("in_port_oxm=1,actions=1", "NXM,OXM,OpenFlow11"),
            ("sctp,sctp_src=1,actions=1", "NXM,OXM,OpenFlow11"),
            ("tcp,tp_src=80/0x80,actions=1", "NXM,OXM"),
            ("ip,nw_src=1.2.3.4/24,actions=1", "any"),
            ("ip,ip_src[0..3]=5,actions=1", "NXM,OXM,OpenFlow11"),
            ("ipv6,actions=1", "any"),
            ("ipv6,nw_proto=6,actions=1", "NXM,OXM"),
            ("reg0=0/0,actions=1", "any"),
            ("table=2,actions=1", "OXM,OpenFlow10+table_id,NXM+table_id,OpenFlow11"),
            ("tun_id=1,table=2,actions=1", "OXM,NXM+table_id"),
            ("reset_counts,actions=1", "OXM"),
            ("no_packet_counts,actions=1", "OXM-OpenFlow13,OXM-OpenFlow14,OXM-OpenFlow15"),
            ("actions=strip_vlan", "OpenFlow10,NXM"),
            ("actions=push_vlan:0x8100", "OXM,OpenFlow11"),
            ("actions=write_metadata:1", "NXM,OXM,OpenFlow11"),
            ("ip,actions=ct(commit,exec(set_field:1->ct_mark))", "NXM,OXM"),
            ("ip,actions=mod_tp_src:3", "OpenFlow10,NXM"),
        ] {
            let parsed = parse_flow(flow, Command::Add, &NoNames).unwrap();
            assert_eq!(parsed.formats.to_string(), usable, "{flow}");
        }
        for flow in ["tun_tos=0,actions=1", "actions=strip_vlan,push_vlan:0x8100"] {
            assert!(parse_flow(flow, Command::Add, &NoNames).is_err(), "{flow}");
        }
    }

    #[test]
    fn notes_tell_what_was_left_out() {
        let notes = |text| parse_flow(text, Command::Add, &NoNames).unwrap().notes();
        let [_, before, after] = &notes("nw_src=1.2.3.4,actions=5")[..] else { panic!("three lines") };
        assert_eq!((&*before.1, &*after.1), (" pre: nw_src=1.2.3.4", "post: "));
        assert!(notes("ip,nw_src=1.2.3.4,actions=5").is_empty());
    }
}
