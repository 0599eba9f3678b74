//! Counters of ports beyond the protocol's own: experimenters' properties with those of RFC 2819, and with named ones (seen from
//! the stock switch and its ovs-ofctl).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put, pad, set_len};
use super::codes::{OFPBPC_BAD_EXP_TYPE, OFPBPC_BAD_EXPERIMENTER};
use super::error::{Result, refuse};
use super::port::PortStats;

/// The property's type.
pub(super) const EXPERIMENTER: u16 = 0xffff;
const INTEL: u32 = 0x0000_aa01;
const RFC2819: u32 = 1;
const CUSTOM: u32 = 2;

/// Which way frames went that a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Rx,
    Tx,
}

/// Counters of RFC 2819, in the order of the wire.
pub const NAMES: [(Way, &str); 21] = [
    (Way::Rx, "1_to_64_packets"),
    (Way::Rx, "65_to_127_packets"),
    (Way::Rx, "128_to_255_packets"),
    (Way::Rx, "256_to_511_packets"),
    (Way::Rx, "512_to_1023_packets"),
    (Way::Rx, "1024_to_1522_packets"),
    (Way::Rx, "1523_to_max_packets"),
    (Way::Tx, "1_to_64_packets"),
    (Way::Tx, "65_to_127_packets"),
    (Way::Tx, "128_to_255_packets"),
    (Way::Tx, "256_to_511_packets"),
    (Way::Tx, "512_to_1023_packets"),
    (Way::Tx, "1024_to_1522_packets"),
    (Way::Tx, "1523_to_max_packets"),
    (Way::Tx, "multicast_packets"),
    (Way::Rx, "broadcast_packets"),
    (Way::Tx, "broadcast_packets"),
    (Way::Rx, "undersized_errors"),
    (Way::Rx, "oversize_errors"),
    (Way::Rx, "rx_fragmented_errors"),
    (Way::Rx, "rx_jabber_errors"),
];

/// Reads an experimenter's property after its length.
pub(super) fn read(v: &mut Bytes, s: &mut PortStats) -> Result<()> {
    if v.u32()? != INTEL {
        return refuse(OFPBPC_BAD_EXPERIMENTER);
    }
    match v.u32()? {
        RFC2819 => {
            v.skip(4)?;
            let mut counters = Box::new([0; NAMES.len()]);
            for n in counters.iter_mut() {
                *n = v.u64()?;
            }
            s.rfc2819 = Some(counters);
        }
        CUSTOM => {
            v.skip(2)?;
            for _ in 0..v.u16()? {
                let len = usize::from(v.u8()?);
                let name = v.text(len)?;
                s.custom.push((name, v.u64()?));
            }
        }
        _ => return refuse(OFPBPC_BAD_EXP_TYPE),
    }
    Ok(())
}

/// Writes what there is; names are cut after 255 octets.
pub(super) fn write(out: &mut Vec<u8>, s: &PortStats) {
    if let Some(counters) = &s.rfc2819 {
        let start = head(out, RFC2819);
        out.zeros(4);
        counters.iter().for_each(|n| out.u64(*n));
        set_len(out, start + 2, start);
    }
    if s.custom.is_empty() {
        return;
    }
    let start = head(out, CUSTOM);
    out.zeros(2);
    let count = out.len();
    out.u16(0);
    let mut written = 0u16;
    for (name, n) in &s.custom {
        let name = name.as_bytes();
        let name = name.get(..255).unwrap_or(name);
        // an entry has room for so much, its padding included
        if out.len() - start + name.len() + 9 > ROOM {
            break;
        }
        out.u8(name.len() as u8);
        out.bytes(name);
        out.u64(*n);
        written += 1;
    }
    super::bytes::set_u16(out, count, written);
    set_len(out, start + 2, start);
    pad(out, start, 8);
}

/// Octets of named counters at most: an entry, and the message it is in, are below 64 kB.
const ROOM: usize = 60_000;

fn head(out: &mut Vec<u8>, kind: u32) -> usize {
    let start = out.len();
    out.u16(EXPERIMENTER);
    out.u16(0);
    out.u32(INTEL);
    out.u32(kind);
    start
}
