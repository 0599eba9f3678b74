//! TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), ICMP (RFC 792), IGMP, ICMPv6 with neighbour discovery (RFC 4861).
//! A header that is not whole has no fields.
#![deny(clippy::indexing_slicing)]

use super::bytes::{Cursor, be16, be32, be64, mac};
use crate::fields::prereq::{ND_ADVERT, ND_SOLICIT, ip_proto};
use crate::words::Key;

/// Source and target link-layer address options.
const OPT_SOURCE: u8 = 1;
const OPT_TARGET: u8 = 2;

#[inline]
fn ports(b: [u8; 4], w: &mut [u64; 8]) {
    w[4] |= u64::from(be32(b)) << 32;
}

/// What an IP packet that is not a later fragment carries. As in Open vSwitch, ICMP, IGMP and ICMPv6 are what their
/// protocol number says, whichever version of IP carries them.
#[inline]
pub(super) fn over_ip(proto: u8, c: &mut Cursor<'_>, w: &mut [u64; 8], key: &mut Key) {
    match proto {
        ip_proto::TCP => {
            // a header that says it is shorter than one can be, or longer than the packet, is not whole
            if let Some(h) = c.peek::<20>()
                && h[12] >> 4 >= 5
                && usize::from(h[12] >> 4) * 4 <= c.size()
            {
                ports([h[0], h[1], h[2], h[3]], w);
                w[5] |= u64::from(be16([h[12], h[13]]) & 0x0fff);
            }
        }
        ip_proto::UDP => {
            if let Some(&[a, b, d, e, ..]) = c.peek::<8>() {
                ports([a, b, d, e], w);
            }
        }
        ip_proto::SCTP => {
            if let Some(&[a, b, d, e, ..]) = c.peek::<12>() {
                ports([a, b, d, e], w);
            }
        }
        ip_proto::ICMP => {
            if let Some(h) = c.peek::<8>() {
                kind_and_code(h, w);
            }
        }
        ip_proto::IGMP => {
            if let Some(h) = c.peek::<8>() {
                kind_and_code(h, w);
                key.tier_mut(1)[4] |= u64::from(be32([h[4], h[5], h[6], h[7]]));
            }
        }
        ip_proto::ICMPV6 => {
            if let Some(h) = c.pull::<8>() {
                kind_and_code(h, w);
                if h[1] == 0 && (h[0] == ND_SOLICIT || h[0] == ND_ADVERT) {
                    neighbour(u64::from(be32([h[4], h[5], h[6], h[7]])), c, key);
                }
            }
        }
        _ => {}
    }
}

#[inline]
fn kind_and_code(h: &[u8; 8], w: &mut [u64; 8]) {
    w[4] |= u64::from(h[0]) << 48 | u64::from(h[1]) << 32;
}

/// Target and options of a neighbour solicitation or advertisement. A link-layer address given twice makes all of the
/// message but its reserved bits unknown.
fn neighbour(reserved: u64, c: &mut Cursor<'_>, key: &mut Key) {
    key.tier_mut(1)[5] = reserved << 32;
    let Some(t) = c.pull::<16>() else { return };
    let (mut sll, mut tll, mut first) = (0, 0, 0);
    while let Some(o) = c.peek::<8>() {
        let (option, len) = (o[0], usize::from(o[1]) * 8);
        if len == 0 || len > c.size() {
            break;
        }
        let address = mac(&[o[2], o[3], o[4], o[5], o[6], o[7]]);
        if len == 8 {
            let slot = match option {
                OPT_SOURCE => Some(&mut sll),
                OPT_TARGET => Some(&mut tll),
                _ => None,
            };
            if let Some(slot) = slot {
                if *slot != 0 {
                    return;
                }
                *slot = address;
                if first == 0 {
                    first = u64::from(option);
                }
            }
        }
        if c.skip(len).is_none() {
            break;
        }
    }
    let tier = key.tier_mut(1);
    tier[5] |= first << 24;
    tier[6] = sll << 16;
    tier[7] = tll << 16;
    let (high, low) = (t.first_chunk().map_or(0, be64), t.last_chunk().map_or(0, be64));
    let tier = key.tier_mut(2);
    tier[0] = high;
    tier[1] = low;
}
