//! Versions of the protocol, and which one two peers speak (OpenFlow 1.3.1, section 6.3.1).

use super::bytes::{Bytes, Put};
use super::codes::OFPHFC_INCOMPATIBLE;
use super::error::{Result, refuse};
use std::fmt;

/// A version, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Of10 = 1,
    Of11,
    Of12,
    Of13,
    Of14,
    Of15,
}

impl Version {
    pub const ALL: [Version; 6] =
        [Version::Of10, Version::Of11, Version::Of12, Version::Of13, Version::Of14, Version::Of15];

    /// Its number in a header.
    pub fn wire(self) -> u8 {
        self as u8
    }

    /// The version with this number in a header.
    pub fn from_wire(n: u8) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.wire() == n)
    }

    /// As a controller's row and `ovs-ofctl -O` name it: `OpenFlow13`.
    pub fn name(self) -> &'static str {
        match self {
            Version::Of10 => "OpenFlow10",
            Version::Of11 => "OpenFlow11",
            Version::Of12 => "OpenFlow12",
            Version::Of13 => "OpenFlow13",
            Version::Of14 => "OpenFlow14",
            Version::Of15 => "OpenFlow15",
        }
    }

    /// The version called `name`, also `OpenFlow1.3`.
    pub fn by_name(name: &str) -> Option<Version> {
        let plain = name.replace('.', "");
        Version::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(&plain))
    }

    /// `OF1.3`, as in the text of messages.
    pub fn short(self) -> &'static str {
        match self {
            Version::Of10 => "OF1.0",
            Version::Of11 => "OF1.1",
            Version::Of12 => "OF1.2",
            Version::Of13 => "OF1.3",
            Version::Of14 => "OF1.4",
            Version::Of15 => "OF1.5",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of versions; bit n is the version whose number is n, as in a hello's bitmap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Versions(pub u32);

impl Versions {
    /// All that this crate speaks.
    pub const ALL: Versions = Versions(0x7e);

    pub fn of(versions: impl IntoIterator<Item = Version>) -> Versions {
        Versions(versions.into_iter().fold(0, |bits, v| bits | 1 << v.wire()))
    }

    pub fn has(self, version: Version) -> bool {
        self.0 >> version.wire() & 1 != 0
    }

    /// The latest of it that this crate speaks.
    pub fn latest(self) -> Option<Version> {
        Version::ALL.into_iter().rev().find(|v| self.has(*v))
    }

    /// The version that two peers speak that said this of themselves: the latest that both have.
    pub fn common(self, other: Versions) -> Option<Version> {
        Versions(self.0 & other.0).latest()
    }

    /// All versions up to `n`, which is what a hello without a bitmap means.
    pub fn up_to(n: u8) -> Versions {
        match n {
            0 => Versions(0),
            1..31 => Versions((1 << (n + 1)) - 2),
            _ => Versions(u32::MAX - 1),
        }
    }
}

/// The element of a hello that has the bitmap.
const VERSION_BITMAP: u16 = 1;

/// Reads a hello's body. Elements that are unknown or do not fit are passed over, as the specification asks.
pub fn read_hello(version: u8, mut body: Bytes) -> Result<Versions> {
    let mut versions = Versions::up_to(version);
    while body.len() >= 4 {
        let Ok((kind, mut element)) = body.tlv(8) else { break };
        if kind == VERSION_BITMAP
            && let Ok(bits) = element.u32()
            // bit 0 is no version, and a hello must name one
            && bits & !1 != 0
        {
            versions = Versions(bits & !1);
        }
    }
    match versions {
        // version 0 and no bitmap
        Versions(0) => refuse(OFPHFC_INCOMPATIBLE),
        versions => Ok(versions),
    }
}

/// Writes a hello's body: a bitmap, unless the header's version says it all.
pub fn write_hello(out: &mut Vec<u8>, version: u8, versions: Versions) {
    if versions != Versions::up_to(version) {
        out.u16(VERSION_BITMAP);
        out.u16(8);
        out.u32(versions.0);
    }
}

/// What there is to log of a hello's bitmaps.
pub fn hello_notes(body: &[u8]) -> Vec<(&'static str, String)> {
    let (mut notes, mut b) = (Vec::new(), Bytes::new(body));
    while let Ok((kind, mut element)) = b.tlv(8) {
        let Some(bits) = element.u32().ok().filter(|_| kind == VERSION_BITMAP) else { continue };
        if bits & 1 != 0 {
            notes.push(("ofp_util", "peer claims to support invalid OpenFlow version 0x00".to_owned()));
        }
        if bits & !1 == 0 {
            let words = "peer does not support any OpenFlow version (between 0x01 and 0x1f)";
            notes.push(("ofp_util", words.to_owned()));
        }
    }
    notes
}

/// Is all of a hello's body known elements that say something?
pub fn hello_is_clean(body: &[u8]) -> bool {
    let mut b = Bytes::new(body);
    while !b.is_empty() {
        let Ok((VERSION_BITMAP, mut element)) = b.tlv(8) else { return false };
        if !element.u32().is_ok_and(|bits| bits & !1 != 0) {
            return false;
        }
    }
    true
}
