//! IPv4, IPv6, ARP and neighbour discovery. Checksums are corrected, not made anew: a wrong one stays wrong.

use dpif::Set;
use packet::Frame;

use super::Done;
use super::locate::{
    BAD, L4, be16, be32, be128, fix16, fix32, fix128, headers, ipv4, ipv6, l3, l4, pseudo_sum, put, udp_zero,
};

pub(super) fn set_ipv4(frame: &mut Frame, set: &Set) -> Done {
    let data = headers(frame);
    // what is no whole header has no fields: flows see zeros, and there is nothing to rewrite
    if ipv4(data).is_none() { Ok(()) } else { rewrite_ipv4(data, set).ok_or(BAD) }
}

fn rewrite_ipv4(data: &mut [u8], set: &Set) -> Option<()> {
    let Set::Ipv4 { src, src_mask, dst, dst_mask, tos, tos_mask, ttl, ttl_mask } = *set else { return None };
    let (at, _) = ipv4(data)?;
    if tos_mask | ttl_mask != 0 {
        for (word, byte, value, mask) in [(0, 1, tos, tos_mask), (8, 8, ttl, ttl_mask)] {
            let old = be16(data, at + word)?;
            let to = data.get_mut(at + byte)?;
            *to = *to & !mask | value & mask;
            let new = be16(data, at + word)?;
            fix16(data, at + 10, old, new)?;
        }
    }
    if src_mask | dst_mask != 0 {
        let transport = l4(data);
        let sum = transport.as_ref().and_then(|t| pseudo_sum(data, t, false));
        for (offset, value, mask) in [(12, src, src_mask), (16, dst, dst_mask)] {
            let old = be32(data, at + offset)?;
            let new = old & !mask | value & mask;
            if new == old {
                continue;
            }
            put(data, at + offset, &new.to_be_bytes())?;
            fix32(data, at + 10, old, new)?;
            if let Some(sum) = sum {
                // beyond a truncated header there is no checksum to keep
                let _ = fix32(data, sum, old, new);
            }
        }
        if let (Some(t), Some(_)) = (transport, sum) {
            udp_zero(data, &t);
        }
    }
    Some(())
}

pub(super) fn set_ipv6(frame: &mut Frame, set: &Set) -> Done {
    let data = headers(frame);
    if ipv6(data).is_none() { Ok(()) } else { rewrite_ipv6(data, set).ok_or(BAD) }
}

fn rewrite_ipv6(data: &mut [u8], set: &Set) -> Option<()> {
    let Set::Ipv6 { src, src_mask, dst, dst_mask, label, label_mask, tclass, tclass_mask, hlimit, hlimit_mask } = *set
    else {
        return None;
    };
    let at = ipv6(data)?;
    let first = be32(data, at)?;
    let mask = label_mask & 0xf_ffff | u32::from(tclass_mask) << 20;
    let value = label & 0xf_ffff | u32::from(tclass) << 20;
    put(data, at, &(first & !mask | value & mask).to_be_bytes())?;
    let limit = data.get_mut(at + 7)?;
    *limit = *limit & !hlimit_mask | hlimit & hlimit_mask;
    if src_mask | dst_mask != 0 {
        let transport = l4(data);
        let routed = has_routing(data, at);
        let sum = transport.as_ref().and_then(|t| pseudo_sum(data, t, true));
        for (offset, value, mask) in [(8, src, src_mask), (24, dst, dst_mask)] {
            let old = be128(data, at + offset)?;
            let new = old & !mask | value & mask;
            put(data, at + offset, &new.to_be_bytes())?;
            // with a routing header the checksum covers the final destination (RFC 8200 section 8.1)
            if let Some(sum) = sum.filter(|_| offset == 8 || !routed) {
                let _ = fix128(data, sum, old, new);
            }
        }
        if let (Some(t), Some(_)) = (transport, sum) {
            udp_zero(data, &t);
        }
    }
    Some(())
}

/// Whether there is a routing header with segments left.
fn has_routing(data: &[u8], at: usize) -> bool {
    let (mut next, mut at) = (data.get(at + 6).copied(), at + 40);
    for _ in 0..4 {
        match next {
            Some(43) => return data.get(at + 3).is_some_and(|left| *left != 0),
            Some(0 | 60) => {
                next = data.get(at).copied();
                at += (usize::from(data.get(at + 1).copied().unwrap_or(0)) + 1) * 8;
            }
            _ => return false,
        }
    }
    false
}

pub(super) fn set_arp(frame: &mut Frame, set: &Set) -> Done {
    let data = headers(frame);
    let Set::Arp { op, op_mask, spa, spa_mask, tpa, tpa_mask, sha, sha_mask, tha, tha_mask } = *set else {
        return Err(BAD);
    };
    let l3 = l3(data).filter(|l| matches!(l.kind, 0x0806 | 0x8035)).ok_or(BAD)?;
    // Ethernet and IPv4 (RFC 826)
    let arp = data.get_mut(l3.at..l3.at + 28).ok_or(BAD)?;
    if !arp.starts_with(&[0, 1, 8, 0, 6, 4]) {
        return Err(BAD);
    }
    merge(arp, 6, &op.to_be_bytes(), &op_mask.to_be_bytes());
    merge(arp, 8, &sha, &sha_mask);
    merge(arp, 14, &spa.to_be_bytes(), &spa_mask.to_be_bytes());
    merge(arp, 18, &tha, &tha_mask);
    merge(arp, 24, &tpa.to_be_bytes(), &tpa_mask.to_be_bytes());
    Ok(())
}

fn merge(data: &mut [u8], at: usize, value: &[u8], mask: &[u8]) {
    for ((to, v), m) in data.iter_mut().skip(at).zip(value).zip(mask) {
        *to = *to & !m | v & m;
    }
}

pub(super) fn set_nd(frame: &mut Frame, set: &Set) -> Done {
    rewrite_nd(headers(frame), set).ok_or(BAD)
}

fn rewrite_nd(data: &mut [u8], set: &Set) -> Option<()> {
    let Set::Nd { target, target_mask, sll, sll_mask, tll, tll_mask } = *set else { return None };
    let t: L4 = l4(data).filter(|t| t.proto == 58 && !t.later)?;
    let kind = *data.get(t.at)?;
    if !matches!(kind, 135 | 136) {
        return None;
    }
    let sum = t.at + 2;
    if target_mask != 0 {
        let old = be128(data, t.at + 8)?;
        let new = old & !target_mask | target & target_mask;
        put(data, t.at + 8, &new.to_be_bytes())?;
        fix128(data, sum, old, new)?;
    }
    let mut at = t.at + 24;
    // options of eight-byte units (RFC 4861 section 4.6): 1 source, 2 target link-layer address
    while let (Some(kind), Some(units)) = (data.get(at).copied(), data.get(at + 1).copied())
        && units != 0
    {
        let (value, mask) = match kind {
            1 => (&sll, &sll_mask),
            2 => (&tll, &tll_mask),
            _ => {
                at += usize::from(units) * 8;
                continue;
            }
        };
        for i in (0..6).step_by(2) {
            let old = be16(data, at + 2 + i)?;
            merge(data, at + 2 + i, value.get(i..i + 2)?, mask.get(i..i + 2)?);
            let new = be16(data, at + 2 + i)?;
            fix16(data, sum, old, new)?;
        }
        at += usize::from(units) * 8;
    }
    Some(())
}
