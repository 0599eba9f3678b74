//! From a frame's bytes to a key: the parse that every packet goes through, as deep as its port's flows look.
//!
//! In: the first segment of a frame, how deep to look, the port, and what comes with the packet ([`Metadata`]). Out: a
//! [`Key`] and where the layers begin. Malformed or truncated layers leave their fields 0 and end the parse; only a
//! frame without a whole Ethernet header is refused. A deeper parse of the same frame only adds fields.
//!
//! Ethernet, at most one VLAN tag, IPv4 without options or fragments, TCP or UDP take the straight way in this file:
//! loads at fixed distances, tier 0 built in registers and stored once. Everything else goes through `general`, layer
//! by layer.
#![deny(clippy::indexing_slicing)]

mod bytes;
mod l2;
mod l3;
mod l4;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
pub mod tunnel;

use crate::fields::prereq::{eth_type, ip_proto};
use crate::words::{Flow, Key};
use bytes::{Cursor, be16, be64};
pub use tunnel::{CtTuple, Metadata, More, Tunnel};

/// How deep to look: each level has the fields of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// Metadata, Ethertype, VLAN tags, fragment bits.
    Simple,
    /// MAC addresses.
    L2,
    /// Addresses, protocol, TOS and TTL of IP; ARP, MPLS, NSH.
    L3,
    /// Ports, TCP flags, ICMP, IGMP, neighbour discovery: everything.
    #[default]
    L4,
}

const SIMPLE: u8 = Depth::Simple as u8;
const L2: u8 = Depth::L2 as u8;
const L3: u8 = Depth::L3 as u8;
const L4: u8 = Depth::L4 as u8;

/// "There is no such layer" in [`Layers`].
pub const NO_LAYER: u16 = 0xffff;

/// Where a frame's layers begin, in bytes from its start; [`NO_LAYER`] when absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// MPLS label stack.
    pub l2_5: u16,
    /// What is behind Ethernet, VLAN tags and MPLS labels. Being there does not mean being well-formed.
    pub l3: u16,
    /// What is behind a well-formed IP header and its extension headers.
    pub l4: u16,
    /// Bytes of padding at the frame's end, behind a well-formed IP datagram.
    pub l2_pad: u16,
}

impl Default for Layers {
    fn default() -> Self {
        Layers { l2_5: NO_LAYER, l3: NO_LAYER, l4: NO_LAYER, l2_pad: 0 }
    }
}

impl Layers {
    /// Bytes of Ethernet header and VLAN tags.
    pub fn l2_len(&self) -> u16 {
        if self.l2_5 != NO_LAYER { self.l2_5 } else { self.l3 }
    }
}

/// A frame too short for an Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runt;

impl std::fmt::Display for Runt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("frame is shorter than an Ethernet header")
    }
}

impl std::error::Error for Runt {}

/// Parses `frame` to `depth` into `key`, a packet that is one segment. See [`extract_chained`].
#[inline]
pub fn extract(
    frame: &[u8],
    depth: Depth,
    in_port: u32,
    md: &Metadata<'_>,
    key: &mut Key,
    layers: &mut Layers,
) -> Result<(), Runt> {
    extract_chained(frame, 0, depth, in_port, md, key, layers)
}

/// Parses a packet whose first segment is `head` and that has `rest` bytes more in further segments. Headers count as
/// truncated where they leave the first segment.
#[inline]
pub fn extract_chained(
    head: &[u8],
    rest: usize,
    depth: Depth,
    in_port: u32,
    md: &Metadata<'_>,
    key: &mut Key,
    layers: &mut Layers,
) -> Result<(), Runt> {
    match depth {
        Depth::Simple => straight::<SIMPLE>(head, rest, in_port, md, key, layers),
        Depth::L2 => straight::<L2>(head, rest, in_port, md, key, layers),
        Depth::L3 => straight::<L3>(head, rest, in_port, md, key, layers),
        Depth::L4 => straight::<L4>(head, rest, in_port, md, key, layers),
    }
}

/// Parses all of `frame` into a flow, for translation of a packet that has no key yet and for trace.
pub fn extract_flow(frame: &[u8], in_port: u32, md: &Metadata<'_>) -> Result<Flow, Runt> {
    let (mut key, mut layers) = (Key::default(), Layers::default());
    extract(frame, Depth::L4, in_port, md, &mut key, &mut layers)?;
    Ok(key.to_flow())
}

/// Tier 0 as far as the metadata fills it.
#[inline]
fn base_words(in_port: u32, md: &Metadata<'_>) -> [u64; 8] {
    let (w0, w6) = (u64::from(md.recirc_id), u64::from(md.packet_type));
    let ct = u64::from(md.ct_state) << 32 | u64::from(md.ct_zone) << 16;
    [w0 << 32 | u64::from(in_port), 0, 0, 0, 0, 0, w6 << 32 | u64::from(md.pkt_mark), ct]
}

/// The common packets, every load at a fixed distance from the frame's start or the tag's end. `None` sends the packet
/// the general way.
#[inline]
fn straight<const D: u8>(
    head: &[u8],
    rest: usize,
    in_port: u32,
    md: &Metadata<'_>,
    key: &mut Key,
    layers: &mut Layers,
) -> Result<(), Runt> {
    if let Some((w, l)) = common::<D>(head, rest, in_port, md) {
        key.start(w);
        *layers = l;
        if let Some(more) = md.more {
            more.store(key);
        }
        return Ok(());
    }
    general::<D>(head, rest, in_port, md, key, layers)
}

#[inline]
fn common<const D: u8>(head: &[u8], rest: usize, in_port: u32, md: &Metadata<'_>) -> Option<([u64; 8], Layers)> {
    let (eth, behind) = head.split_first_chunk::<14>()?;
    let mut w = base_words(in_port, md);
    // Destination and two bytes more; source and Ethertype.
    let (dst, src) = (be64(eth.first_chunk()?), be64(eth.last_chunk()?));
    let mut kind = src as u16;
    let mut ip = behind;
    let mut l3 = 14;
    let mut tci = 0;
    if kind == eth_type::VLAN {
        let (tag, after) = behind.split_first_chunk::<4>()?;
        tci = be16([tag[0], tag[1]]) | 0x1000;
        kind = be16([tag[2], tag[3]]);
        ip = after;
        l3 = 18;
        w[5] = u64::from(eth_type::VLAN) << 48;
    }
    // 34 bytes: an IPv4 header and TCP up to its flags. Shorter packets go the general way.
    let h = ip.first_chunk::<34>()?;
    let a = be64(h.first_chunk()?);
    let len = (a >> 32) as u16;
    let size = ip.len() + rest;
    // Version 4 and five words of header; neither fragment offset nor "more fragments".
    let plain = kind == eth_type::IPV4 && a & 0xff00_0000_0000_3fff == 0x4500_0000_0000_0000;
    let proto = h[9];
    let tcp = proto == ip_proto::TCP;
    // What a shallower parse does not look at may be anything.
    let words = u16::from(h[32] >> 4);
    let (carries, need) = match D {
        L4 if tcp => (words >= 5, 20 + 4 * words),
        L4 => (proto == ip_proto::UDP, 28),
        _ => (true, 20),
    };
    if !plain || !carries || len < need || usize::from(len) > size || md.packet_type != 0 {
        return None;
    }
    let pad = u16::try_from(size - usize::from(len)).ok()?;
    w[1] = u64::from(kind);
    w[2] = u64::from(tci);
    if D >= L2 {
        w[1] |= dst & !0xffff;
        w[2] |= src & !0xffff;
    }
    if D >= L3 {
        let b = be64(h.get(8..16)?.first_chunk()?);
        let c = be64(h.get(16..24)?.first_chunk()?);
        w[3] = b << 32 | c >> 32;
        w[4] = u64::from(proto) << 24 | (a >> 48 & 0xff) << 16 | (b >> 56) << 8;
        if D >= L4 {
            w[4] |= c << 32;
            let flags = be16([h[32], h[33]]) & 0x0fff;
            w[5] |= u64::from(if tcp { flags } else { 0 });
        }
    }
    Some((w, Layers { l2_5: NO_LAYER, l3, l4: l3 + 20, l2_pad: pad }))
}

/// Any packet, layer by layer.
#[inline(never)]
fn general<const D: u8>(
    head: &[u8],
    rest: usize,
    in_port: u32,
    md: &Metadata<'_>,
    key: &mut Key,
    layers: &mut Layers,
) -> Result<(), Runt> {
    let mut w = base_words(in_port, md);
    *layers = Layers::default();
    key.start([0; 8]);
    let mut c = Cursor::new(head, rest);
    let kind = match md.packet_type {
        0 => l2::ethernet::<D>(&mut c, md.vlan_limit, &mut w).ok_or(Runt)?,
        // Name space 1: the packet starts behind where an Ethernet header would end, and its type is an Ethertype.
        t if t >> 16 == 1 => t as u16,
        _ => 0,
    };
    w[1] |= u64::from(kind);
    match kind {
        eth_type::IPV4 => l3::ipv4::<D>(&mut c, &mut w, key, layers),
        eth_type::IPV6 => l3::ipv6::<D>(&mut c, &mut w, key, layers),
        eth_type::MPLS | eth_type::MPLS_MULTICAST => l3::mpls::<D>(&mut c, key, layers),
        eth_type::ARP | eth_type::RARP => l3::arp::<D>(&mut c, &mut w, key, layers),
        eth_type::NSH => l3::nsh::<D>(&mut c, key, layers),
        _ => layers.l3 = c.at(),
    }
    key.set_base(w);
    if let Some(more) = md.more {
        more.store(key);
    }
    Ok(())
}
