//! IPv4 (RFC 791), IPv6 with extension headers (RFC 8200), ARP (RFC 826), MPLS (RFC 3032), NSH (RFC 8300).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Cursor, be16, be32, be64, mac};
use super::{L3, L4, Layers, l4};
use crate::layout::{FRAG_ANY, FRAG_LATER};
use crate::words::Key;

/// Labels that a key holds.
const MPLS_LABELS: usize = 3;

/// An IPv4 header and what it carries. A header that is not whole, or whose total length is not, has no fields.
pub(super) fn ipv4<const D: u8>(c: &mut Cursor<'_>, w: &mut [u64; 8], key: &mut Key, layers: &mut Layers) {
    layers.l3 = c.at();
    let Some(h) = c.peek::<20>() else { return };
    let header = usize::from(h[0] & 0xf) * 4;
    let len = usize::from(be16([h[2], h[3]]));
    let size = c.size();
    if header < 20 || len < header || len > size || size - len > usize::from(u16::MAX) {
        return;
    }
    let (flags, proto) = (be16([h[6], h[7]]), h[9]);
    let frag = match flags & 0x3fff {
        0 => 0,
        f if f & 0x1fff == 0 => FRAG_ANY,
        _ => FRAG_ANY | FRAG_LATER,
    };
    let pad = size - len;
    c.trim(len);
    if c.skip(header).is_none() {
        return;
    }
    layers.l2_pad = pad as u16;
    layers.l4 = c.at();
    w[4] |= u64::from(frag);
    if D >= L3 {
        w[3] |= u64::from(be32([h[12], h[13], h[14], h[15]])) << 32 | u64::from(be32([h[16], h[17], h[18], h[19]]));
        w[4] |= u64::from(proto) << 24 | u64::from(h[1]) << 16 | u64::from(h[8]) << 8;
    }
    if D >= L4 && frag & FRAG_LATER == 0 {
        l4::over_ip(proto, c, w, key);
    }
}

/// An IPv6 header, its extension headers and what they carry.
pub(super) fn ipv6<const D: u8>(c: &mut Cursor<'_>, w: &mut [u64; 8], key: &mut Key, layers: &mut Layers) {
    layers.l3 = c.at();
    let Some(h) = c.peek::<40>() else { return };
    let len = usize::from(be16([h[4], h[5]]));
    let size = c.size() - 40;
    if len > size || size - len > usize::from(u16::MAX) {
        return;
    }
    let pad = size - len;
    c.pull::<40>();
    c.trim(len);
    layers.l2_pad = pad as u16;
    if D >= L3 {
        let (_, addresses) = h.split_at(8);
        let t = key.tier_mut(1);
        for (to, from) in t.iter_mut().zip(addresses.as_chunks::<8>().0) {
            *to = be64(from);
        }
    }
    let Some((proto, frag)) = extension_headers(h[6], c) else { return };
    layers.l4 = c.at();
    w[4] |= u64::from(frag);
    if D >= L3 {
        let first = be32([h[0], h[1], h[2], h[3]]);
        key.tier_mut(1)[4] |= u64::from(first & 0xf_ffff) << 32;
        w[4] |= u64::from(proto) << 24 | u64::from(first >> 20 & 0xff) << 16 | u64::from(h[7]) << 8;
    }
    if D >= L4 && frag & FRAG_LATER == 0 {
        l4::over_ip(proto, c, w, key);
    }
}

/// Walks extension headers; returns the protocol behind them and the fragment bits, `None` when one is not whole.
fn extension_headers(mut proto: u8, c: &mut Cursor<'_>) -> Option<(u8, u8)> {
    let mut frag = 0;
    loop {
        match proto {
            // Hop-by-hop, routing, destination options: length in units of eight bytes beyond the first.
            0 | 43 | 60 => {
                let &[next, units, ..] = c.peek::<8>()?;
                c.skip((usize::from(units) + 1) * 8)?;
                proto = next;
            }
            // Authentication header: length in words of four bytes, less two (RFC 4302).
            51 => {
                let &[next, words, ..] = c.peek::<8>()?;
                c.skip((usize::from(words) + 2) * 4)?;
                proto = next;
            }
            // Fragment: offset in the upper 13 bits, "more" in the lowest; 0 is a whole packet (RFC 6946).
            44 => {
                let &[next, _, o0, o1, ..] = c.pull::<8>()?;
                let offset = be16([o0, o1]);
                // What a later fragment carries is its own: its protocol stays 44.
                // As Open vSwitch: reserved bits make a fragment too (RFC 8200 has receivers ignore them).
                if offset != 0 {
                    frag = FRAG_ANY;
                    if offset & 0xfff8 != 0 {
                        return Some((proto, FRAG_ANY | FRAG_LATER));
                    }
                }
                proto = next;
            }
            _ => return Some((proto, frag)),
        }
    }
}

/// ARP or RARP for IPv4 over Ethernet.
pub(super) fn arp<const D: u8>(c: &mut Cursor<'_>, w: &mut [u64; 8], key: &mut Key, layers: &mut Layers) {
    layers.l3 = c.at();
    if D < L3 {
        return;
    }
    let Some(h) = c.peek::<28>() else { return };
    // Hardware Ethernet, protocol IPv4, address lengths six and four.
    let [0, 1, 8, 0, 6, 4, o0, o1, ..] = *h else { return };
    w[3] |= u64::from(be32([h[14], h[15], h[16], h[17]])) << 32 | u64::from(be32([h[24], h[25], h[26], h[27]]));
    if o0 == 0 {
        w[4] |= u64::from(o1) << 24;
    }
    let t = key.tier_mut(1);
    t[6] = mac(&[h[8], h[9], h[10], h[11], h[12], h[13]]) << 16;
    t[7] = mac(&[h[18], h[19], h[20], h[21], h[22], h[23]]) << 16;
}

/// A label stack down to its bottom; the first three labels are fields. Nothing is known of what follows.
pub(super) fn mpls<const D: u8>(c: &mut Cursor<'_>, key: &mut Key, layers: &mut Layers) {
    layers.l2_5 = c.at();
    let mut labels = [0u64; MPLS_LABELS];
    let mut n = 0;
    while let Some(&entry) = c.pull::<4>() {
        if let Some(label) = labels.get_mut(n) {
            *label = u64::from(be32(entry));
        }
        n += 1;
        if entry[2] & 1 != 0 {
            break;
        }
    }
    layers.l3 = c.at();
    if D >= L3 && n > 0 {
        let t = key.tier_mut(2);
        t[2] = labels[0] << 32 | labels[1];
        t[3] |= labels[2] << 32;
    }
}

/// A network service header of either metadata type. What it carries is another packet's affair.
pub(super) fn nsh<const D: u8>(c: &mut Cursor<'_>, key: &mut Key, layers: &mut Layers) {
    layers.l3 = c.at();
    if D < L3 {
        return;
    }
    let Some(h) = c.peek::<8>() else { return };
    let first = be16([h[0], h[1]]);
    let (version, len) = (first >> 14, usize::from(first & 0x3f) * 4);
    if version != 0 || len < 8 || len > c.size() {
        return;
    }
    let contexts = match (h[2], len) {
        (1, 24) => match c.peek::<24>() {
            Some(h) => [be64(&[h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]]), {
                be64(&[h[16], h[17], h[18], h[19], h[20], h[21], h[22], h[23]])
            }],
            None => return,
        },
        (1, _) => return,
        _ => [0, 0],
    };
    let flags = u64::from(first >> 12 & 3);
    let ttl = u64::from(first >> 6 & 0x3f);
    let path = u64::from(be32([h[4], h[5], h[6], h[7]]));
    let t = key.tier_mut(3);
    t[5] = flags << 56 | ttl << 48 | u64::from(h[2]) << 40 | u64::from(h[3]) << 32 | path;
    t[6] = contexts[0];
    t[7] = contexts[1];
}
