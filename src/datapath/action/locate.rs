//! Where a frame's headers are, for actions that rewrite them: found anew per action, since actions move them.

use dpif::DropReason;
use packet::Frame;

/// Offsets into a frame's first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct L3 {
    /// Ethertype of what is at `at`.
    pub(super) kind: u16,
    /// Where the header behind Ethernet and VLAN tags begins.
    pub(super) at: usize,
}

/// An IP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct L4 {
    pub(super) proto: u8,
    pub(super) at: usize,
    /// Not the first fragment: what is at `at` is no transport header.
    pub(super) later: bool,
}

pub(super) const BAD: DropReason = DropReason::Malformed;

#[inline]
pub(super) fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

#[inline]
pub(super) fn be32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

#[inline]
pub(super) fn be128(data: &[u8], at: usize) -> Option<u128> {
    Some(u128::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

/// Writes bytes; None when they don't fit.
#[inline]
pub(super) fn put(data: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    data.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(())
}

/// Where the type field of the Ethernet header or the last VLAN tag is; at most two tags.
#[inline]
pub(super) fn l3(data: &[u8]) -> Option<L3> {
    behind_tags(data, 2)
}

/// The same when flows look at `tags` tags (0: as many as they can): more are payload.
#[inline]
pub(super) fn behind_tags(data: &[u8], tags: u8) -> Option<L3> {
    let mut at = 14;
    let mut kind = be16(data, 12)?;
    for _ in 0..if tags == 0 { 2 } else { tags.min(2) } {
        if kind != 0x8100 && kind != 0x88a8 {
            break;
        }
        kind = be16(data, at + 2)?;
        at += 4;
    }
    Some(L3 { kind, at })
}

/// The start of an IPv4 header whose length field is plausible, and the length of it.
pub(super) fn ipv4(data: &[u8]) -> Option<(usize, usize)> {
    let l3 = l3(data)?;
    let first = *data.get(l3.at)?;
    let len = usize::from(first & 15) * 4;
    (l3.kind == 0x0800 && first >> 4 == 4 && len >= 20 && data.len() >= l3.at + len).then_some((l3.at, len))
}

/// The start of an IPv6 header.
pub(super) fn ipv6(data: &[u8]) -> Option<usize> {
    let l3 = l3(data)?;
    (l3.kind == 0x86dd && data.get(l3.at)? >> 4 == 6 && data.len() >= l3.at + 40).then_some(l3.at)
}

/// Where an IP packet ends by its own account; padding may follow.
pub(super) fn ip_end(data: &[u8]) -> Option<usize> {
    if let Some((at, _)) = ipv4(data) {
        return Some(at + usize::from(be16(data, at + 2)?));
    }
    let at = ipv6(data)?;
    Some(at + 40 + usize::from(be16(data, at + 4)?))
}

/// The transport header of an IP packet.
pub(super) fn l4(data: &[u8]) -> Option<L4> {
    if let Some((at, len)) = ipv4(data) {
        let later = be16(data, at + 6)? & 0x1fff != 0;
        return Some(L4 { proto: *data.get(at + 9)?, at: at + len, later });
    }
    let start = ipv6(data)?;
    let (mut proto, mut at, mut later) = (*data.get(start + 6)?, start + 40, false);
    // hop-by-hop, routing, destination options, AH, fragment (RFC 8200 section 4)
    for _ in 0..8 {
        let next = match proto {
            0 | 43 | 60 => at + (usize::from(*data.get(at + 1)?) + 1) * 8,
            51 => at + (usize::from(*data.get(at + 1)?) + 2) * 4,
            44 => {
                later |= be16(data, at + 2)? & 0xfff8 != 0;
                at + 8
            }
            _ => return Some(L4 { proto, at, later }),
        };
        proto = *data.get(at)?;
        at = next;
        if later {
            return Some(L4 { proto, at, later });
        }
    }
    None
}

/// Does the IP packet have `n` bytes of its transport header? What is behind its end is padding.
pub(super) fn has(data: &[u8], l4: &L4, n: usize) -> bool {
    !l4.later && ip_end(data).is_some_and(|end| l4.at + n <= end)
}

/// Bytes of a transport protocol's header without options, where ports or a checksum of it are rewritten.
pub(super) fn header_len(proto: u8) -> usize {
    match proto {
        6 => 20,
        132 => 12,
        _ => 8,
    }
}

/// Corrects a ones' complement checksum at `at` for a 16-bit word that changed (RFC 1624).
#[inline]
pub(super) fn fix16(data: &mut [u8], at: usize, old: u16, new: u16) -> Option<()> {
    let sum = be16(data, at)?;
    let mut s = u32::from(!sum) + u32::from(!old) + u32::from(new);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    put(data, at, &(!(s as u16)).to_be_bytes())
}

/// The same for a 32-bit field.
#[inline]
pub(super) fn fix32(data: &mut [u8], at: usize, old: u32, new: u32) -> Option<()> {
    fix16(data, at, (old >> 16) as u16, (new >> 16) as u16)?;
    fix16(data, at, old as u16, new as u16)
}

/// The same for a 128-bit field.
pub(super) fn fix128(data: &mut [u8], at: usize, old: u128, new: u128) -> Option<()> {
    for i in 0..4 {
        fix32(data, at, (old >> (96 - 32 * i)) as u32, (new >> (96 - 32 * i)) as u32)?;
    }
    Some(())
}

/// Where the checksum of a TCP, UDP or ICMPv6 header is that covers the IP addresses too; None when there is none or it
/// is not used (UDP over IPv4 with 0).
pub(super) fn pseudo_sum(data: &[u8], l4: &L4, v6: bool) -> Option<usize> {
    let needed = if l4.proto == 58 { 4 } else { header_len(l4.proto) };
    if !has(data, l4, needed) {
        return None;
    }
    match l4.proto {
        6 => Some(l4.at + 16),
        17 => be16(data, l4.at + 6).filter(|sum| v6 || *sum != 0).map(|_| l4.at + 6),
        58 if v6 => Some(l4.at + 2),
        _ => None,
    }
}

/// UDP sends a computed 0 as all ones.
pub(super) fn udp_zero(data: &mut [u8], l4: &L4) {
    if l4.proto == 17 && be16(data, l4.at + 6) == Some(0) {
        let _ = put(data, l4.at + 6, &[0xff, 0xff]);
    }
}

/// Makes the headers of a frame linear: as many bytes as actions look at.
#[inline]
pub(super) fn headers(frame: &mut Frame) -> &mut [u8] {
    if !frame.is_linear() && frame.seg_len() < 256 {
        let n = frame.len().min(256);
        let _ = frame.linearize_to(n);
    }
    frame.data_mut()
}
