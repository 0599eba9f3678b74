//! Ports of TCP, UDP and SCTP; ICMP's type and code; NSH.

use dpif::Set;
use dpif::action::Ports;
use packet::Frame;

use super::Done;
use super::locate::{BAD, be16, be32, fix16, has, header_len, headers, ip_end, l3, l4, put, udp_zero};

pub(super) fn set_ports(frame: &mut Frame, proto: u8, ports: &Ports) -> Done {
    rewrite_ports(headers(frame), proto, ports).ok_or(BAD)
}

/// A packet whose header is cut short has no ports and stays as it is.
fn rewrite_ports(data: &mut [u8], proto: u8, ports: &Ports) -> Option<()> {
    let t = l4(data).filter(|t| t.proto == proto && !t.later)?;
    if !has(data, &t, header_len(proto)) {
        return Some(());
    }
    let sum = match proto {
        6 => Some(t.at + 16),
        17 => be16(data, t.at + 6).filter(|sum| *sum != 0).map(|_| t.at + 6),
        _ => None,
    };
    // the checksum of SCTP is no sum: what it was wrong by before is kept by the caller's device or peer
    let before = (proto == 132).then(|| crc(data, t.at)).flatten();
    for (at, value, mask) in [(t.at, ports.src, ports.src_mask), (t.at + 2, ports.dst, ports.dst_mask)] {
        let old = be16(data, at)?;
        let new = old & !mask | value & mask;
        put(data, at, &new.to_be_bytes())?;
        if let Some(sum) = sum {
            let _ = fix16(data, sum, old, new);
        }
    }
    if sum.is_some() {
        udp_zero(data, &t);
    }
    if let (Some(before), Some(after)) = (before, crc(data, t.at)) {
        // CRC is linear: the difference of the right values corrects a right one and keeps a wrong one wrong
        let sent = u32::from_le_bytes(*data.get(t.at + 8..)?.first_chunk()?);
        put(data, t.at + 8, &(sent ^ before ^ after).to_le_bytes())?;
    }
    Some(())
}

/// CRC32c (RFC 9260 appendix A) of an SCTP packet, its checksum field read as 0. None when the packet is not all in the first segment.
fn crc(data: &[u8], at: usize) -> Option<u32> {
    let packet = data.get(at..ip_end(data)?)?;
    let mut crc = !0u32;
    for (i, byte) in packet.iter().enumerate() {
        crc ^= u32::from(if (8..12).contains(&i) { 0 } else { *byte });
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    (packet.len() >= 12).then_some(!crc)
}

pub(super) fn set_icmp(frame: &mut Frame, kind: u8, kind_mask: u8, code: u8, code_mask: u8) -> Done {
    let data = headers(frame);
    let t = l4(data).filter(|t| matches!(t.proto, 1 | 58) && !t.later).ok_or(BAD)?;
    if !has(data, &t, 4) {
        return Ok(());
    }
    let old = be16(data, t.at).ok_or(BAD)?;
    let mask = u16::from(kind_mask) << 8 | u16::from(code_mask);
    let new = old & !mask | (u16::from(kind) << 8 | u16::from(code)) & mask;
    put(data, t.at, &new.to_be_bytes()).and_then(|()| fix16(data, t.at + 2, old, new)).ok_or(BAD)
}

/// RFC 8300: flags and TTL are in the first word, the service path in the second, four context words of MD type 1
/// behind.
pub(super) fn set_nsh(frame: &mut Frame, set: &Set) -> Done {
    rewrite_nsh(headers(frame), set).ok_or(BAD)
}

fn rewrite_nsh(data: &mut [u8], set: &Set) -> Option<()> {
    let Set::Nsh { flags, flags_mask, ttl, ttl_mask, path, path_mask, context, context_mask } = *set else {
        return None;
    };
    let at = l3(data).filter(|l| l.kind == 0x894f)?.at;
    let word = be32(data, at)?;
    // version 2 bits, O, unassigned, TTL 6, length 6, unassigned 4, MD type 4, next protocol 8
    let oam = |f: u8| u32::from(f & 1) << 29;
    let hops = |t: u8| u32::from(t & 0x3f) << 22;
    let mask = oam(flags_mask) | hops(ttl_mask);
    put(data, at, &(word & !mask | (oam(flags) | hops(ttl)) & mask).to_be_bytes())?;
    let old = be32(data, at + 4)?;
    put(data, at + 4, &(old & !path_mask | path & path_mask).to_be_bytes())?;
    if word >> 8 & 15 == 1 {
        for (i, (value, mask)) in context.iter().zip(context_mask).enumerate() {
            let old = be32(data, at + 8 + 4 * i)?;
            put(data, at + 8 + 4 * i, &(old & !mask | value & mask).to_be_bytes())?;
        }
    }
    Some(())
}
