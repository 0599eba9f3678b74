//! Which messages a controller gets without asking (OpenFlow 1.3.5, section 7.3.10; OpenFlow 1.4.1, section 7.3.10;
//! ovs-ofctl(8) for Nicira's).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::codes::*;
use super::error::{Result, refuse_because};

/// Messages that come unasked, by the place of their masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unasked {
    PacketIn,
    PortStatus,
    FlowRemoved,
    RoleStatus,
    TableStatus,
    RequestForward,
}

impl Unasked {
    pub const ALL: [Unasked; 6] = [
        Unasked::PacketIn,
        Unasked::PortStatus,
        Unasked::FlowRemoved,
        Unasked::RoleStatus,
        Unasked::TableStatus,
        Unasked::RequestForward,
    ];

    /// Reasons that there are, a bit each.
    pub fn reasons(self) -> u32 {
        match self {
            Unasked::PacketIn | Unasked::FlowRemoved => 0x3f,
            Unasked::PortStatus | Unasked::RoleStatus => 7,
            Unasked::TableStatus => 0x18,
            Unasked::RequestForward => 3,
        }
    }

    /// Those that OpenFlow 1.3 and Nicira's message have.
    fn old(self) -> u32 {
        match self {
            Unasked::PacketIn | Unasked::PortStatus => 7,
            Unasked::FlowRemoved => 0xf,
            _ => 0,
        }
    }

    /// Its name in text and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Unasked::PacketIn => "PACKET_IN",
            Unasked::PortStatus => "PORT_STATUS",
            Unasked::FlowRemoved => "FLOW_REMOVED",
            Unasked::RoleStatus => "ROLE_STATUS",
            Unasked::TableStatus => "TABLE_STATUS",
            Unasked::RequestForward => "REQUESTFORWARD",
        }
    }
}

/// For which reasons a controller gets each message, a bit for each reason by its number; `None` is "as it was".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncConfig {
    /// While it is primary or equal, in the order of [`Unasked::ALL`].
    pub primary: [Option<u32>; 6],
    /// While it is secondary.
    pub secondary: [Option<u32>; 6],
}

/// Reads OpenFlow 1.3's and Nicira's form. Bits that are unknown are passed over.
pub fn read_masks(b: &mut Bytes) -> Result<AsyncConfig> {
    let mut c = AsyncConfig::default();
    for (kind, (primary, secondary)) in Unasked::ALL.iter().zip(c.primary.iter_mut().zip(&mut c.secondary)).take(3) {
        *primary = Some(b.u32()? & kind.old());
        *secondary = Some(b.u32()? & kind.old());
    }
    Ok(c)
}

pub fn write_masks(out: &mut Vec<u8>, c: &AsyncConfig) {
    for (kind, (primary, secondary)) in Unasked::ALL.iter().zip(c.primary.iter().zip(&c.secondary)).take(3) {
        out.u32(primary.unwrap_or(0) & kind.old());
        out.u32(secondary.unwrap_or(0) & kind.old());
    }
}

/// Reads properties, OpenFlow 1.4's form; what is unknown is passed over when `loose` (a switch's answer).
pub fn read_properties(b: &mut Bytes, loose: bool) -> Result<AsyncConfig> {
    let mut c = AsyncConfig::default();
    while !b.is_empty() {
        let (kind, mut v) = b.tlv(8)?;
        let masks = if kind & 1 == 0 { &mut c.secondary } else { &mut c.primary };
        let place = usize::from(kind / 2);
        let Some((what, mask)) = Unasked::ALL.get(place).copied().zip(masks.get_mut(place)) else {
            if loose {
                continue;
            }
            let words = format!("unknown async config property type {kind}");
            return refuse_because(OFPACFC_UNSUPPORTED, "ofp_monitor", words);
        };
        let (bits, allowed) = (v.u32()?, what.reasons());
        if bits & !allowed != 0 && !loose {
            let words = format!("bad value {bits:#x} for {} (allowed mask {allowed:#x})", what.name());
            return refuse_because(OFPACFC_INVALID, "ofp_monitor", words);
        }
        *mask = Some(bits & allowed);
    }
    Ok(c)
}

pub fn write_properties(out: &mut Vec<u8>, c: &AsyncConfig) {
    let all = c.secondary.iter().zip(&c.primary).flat_map(|(s, p)| [s, p]);
    for (kind, mask) in all.enumerate().filter_map(|(n, mask)| Some((n as u16, (*mask)?))) {
        out.u16(kind);
        out.u16(8);
        out.u32(mask);
    }
}
