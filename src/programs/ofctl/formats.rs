//! Flow formats: which versions and which forms of matches may be spoken (ovs-ofctl(8), "-F" and "-O").

use std::fmt;
use std::ops::RangeInclusive;

use openflow::FlowMod;
use openflow::wire::flow::needs_nx;
use openflow::wire::{Version, Versions};

/// A set of formats, a bit for each of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Formats(u16);

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
const ALL: Formats = Formats(0x1ff);
/// Names of several.
const SETS: [(&str, Formats); 4] = [("any", ALL), ("OpenFlow10", STANDARD), ("NXM", NXM), ("OXM", OXM)];

impl Formats {
    /// Those of versions.
    pub(super) fn of_versions(versions: RangeInclusive<Version>) -> Formats {
        let bits = NAMES.iter().enumerate().filter(|(_, (_, version))| versions.contains(version));
        Formats(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }

    fn of(versions: Versions) -> Formats {
        let bits = NAMES.iter().enumerate().filter(|(_, (_, version))| versions.has(*version));
        Formats(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }

    /// What `-F` and `-O` leave. Without `-O` there is OpenFlow 1.0 alone, or 1.4 for bundles.
    pub(super) fn new(formats: Option<&str>, versions: Option<&str>, bundle: bool) -> Result<Formats, String> {
        let versions = match versions {
            None if bundle => Versions::of([Version::Of14]),
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
    pub(super) fn versions(self) -> Versions {
        let bits = NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 != 0);
        Versions::of(bits.map(|(_, (_, version))| *version))
    }

    fn has_any(self, of: Formats) -> bool {
        self.0 & of.0 != 0
    }

    /// Those that can say what a flow is.
    pub(super) fn of_flow(flow: &FlowMod) -> Formats {
        let extended = NXM.0 | OXM.0;
        if needs_nx(flow) { Formats(extended) } else { ALL }
    }

    /// Some format of `usable` must be allowed.
    pub(super) fn require(self, usable: Formats) -> Result<(), String> {
        if self.has_any(usable) {
            return Ok(());
        }
        Err(format!("none of the usable flow formats ({usable}) is among the allowed flow formats ({self})"))
    }

    /// Those in both.
    pub(super) fn and(self, other: Formats) -> Formats {
        Formats(self.0 & other.0)
    }

    /// Whether OpenFlow 1.0's own form may be used, and Nicira's.
    pub(super) fn has_standard(self) -> bool {
        self.has_any(STANDARD)
    }

    pub(super) fn has_nxm(self) -> bool {
        self.has_any(NXM)
    }

    /// Whether a table may be said in OpenFlow 1.0.
    pub(super) fn has_tables(self) -> bool {
        self.has_any(Formats(1 << 1 | 1 << 3))
    }
}

/// Those of `versions` from `least` on.
pub(super) fn between(versions: Versions, least: Version) -> Versions {
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
        while rest != 0 {
            let first = rest.trailing_zeros() as usize;
            let whole = SETS.iter().skip(1).find(|(_, set)| set.0 & 1 << first != 0 && rest & set.0 == set.0);
            match (whole, NAMES.get(first)) {
                (Some((name, set)), _) => {
                    names.push(*name);
                    rest &= !set.0;
                }
                (None, Some((name, _))) => {
                    names.push(*name);
                    rest &= !(1 << first);
                }
                (None, None) => break,
            }
        }
        f.write_str(&names.join(","))
    }
}
