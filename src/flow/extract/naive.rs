//! A slow extractor for tests, written field by field from the layer descriptions, without sharing code with the fast one.
use super::{Layers, NO_LAYER};
use crate::layout as l;
use crate::words::Flow;

fn num(b: &[u8], at: usize, n: usize) -> Option<u128> {
    Some(b.get(at..at + n)?.iter().fold(0, |v, b| v << 8 | u128::from(*b)))
}

/// What the fast extractor should say of `b`, received on `in_port`; `None` for a runt.
pub(super) fn naive(b: &[u8], in_port: u128, vlan_limit: u8) -> Option<(Flow, Layers)> {
    let mut f = Flow::default();
    let mut layers = Layers { l2_5: NO_LAYER, l3: NO_LAYER, l4: NO_LAYER, l2_pad: 0 };
    if b.len() < 14 {
        return None;
    }
    f.set(l::IN_PORT, in_port);
    f.set(l::ETH_DST, num(b, 0, 6)?);
    f.set(l::ETH_SRC, num(b, 6, 6)?);
    let mut at = 12;
    let tags = [(l::VLAN_TPID, l::VLAN_TCI), (l::VLAN1_TPID, l::VLAN1_TCI)];
    for (tpid, tci) in tags.iter().take(if vlan_limit == 0 { 2 } else { usize::from(vlan_limit) }) {
        let kind = num(b, at, 2)?;
        if (kind == 0x8100 || kind == 0x88a8) && b.len() >= at + 6 {
            f.set(*tpid, kind);
            f.set(*tci, num(b, at + 2, 2)? | 0x1000);
            at += 4;
        } else {
            break;
        }
    }
    let mut kind = num(b, at, 2)?;
    at += 2;
    if kind < 0x600 {
        let snap = num(b, at, 6) == Some(0xaaaa_0300_0000);
        kind = 0x5ff;
        if snap && num(b, at + 6, 2).is_some_and(|k| k >= 0x600) {
            kind = num(b, at + 6, 2)?;
            at += 8;
        }
    }
    f.set(l::ETH_TYPE, kind);
    layers.l3 = at as u16;
    let rest = &b[at..];
    match kind {
        0x800 => {
            ipv4(rest, at, &mut f, &mut layers);
        }
        0x86dd => {
            ipv6(rest, at, &mut f, &mut layers);
        }
        0x806 | 0x8035 => {
            arp(rest, &mut f);
        }
        0x8847 | 0x8848 => {
            layers.l2_5 = at as u16;
            let mut n = 0;
            while let Some(entry) = num(rest, 4 * n, 4) {
                if let Some(slot) = [l::MPLS0, l::MPLS1, l::MPLS2].get(n) {
                    f.set(*slot, entry);
                }
                n += 1;
                if entry & 0x100 != 0 {
                    break;
                }
            }
            layers.l3 = (at + 4 * n) as u16;
        }
        0x894f => {
            nsh(rest, &mut f);
        }
        _ => {}
    }
    Some((f, layers))
}

fn ipv4(b: &[u8], at: usize, f: &mut Flow, layers: &mut Layers) -> Option<()> {
    num(b, 0, 20)?;
    let header = usize::from(b[0] % 16) * 4;
    let len = num(b, 2, 2)? as usize;
    if header < 20 || header > len || len > b.len() {
        return None;
    }
    f.set(l::NW_TOS, num(b, 1, 1)?);
    f.set(l::NW_TTL, num(b, 8, 1)?);
    f.set(l::NW_PROTO, num(b, 9, 1)?);
    f.set(l::NW_SRC, num(b, 12, 4)?);
    f.set(l::NW_DST, num(b, 16, 4)?);
    layers.l4 = (at + header) as u16;
    layers.l2_pad = (b.len() - len) as u16;
    let (more, offset) = (b[6] & 0x20 != 0, num(b, 6, 2)? & 0x1fff);
    f.set(l::NW_FRAG, if offset != 0 { 3 } else { u128::from(more) });
    if offset == 0 {
        layer4(b[9], &b[header..len], f);
    }
    Some(())
}

fn ipv6(b: &[u8], at: usize, f: &mut Flow, layers: &mut Layers) -> Option<()> {
    num(b, 0, 40)?;
    let len = num(b, 4, 2)? as usize + 40;
    if len > b.len() {
        return None;
    }
    layers.l2_pad = (b.len() - len) as u16;
    f.set(l::IPV6_SRC, num(b, 8, 16)?);
    f.set(l::IPV6_DST, num(b, 24, 16)?);
    let b = &b[..len];
    let (mut next, mut p, mut frag) = (b[6], 40, 0);
    while [0, 43, 44, 51, 60].contains(&next) && frag != 3 {
        num(b, p, 8)?;
        let here = match next {
            44 => 8,
            51 => usize::from(b[p + 1]) * 4 + 8,
            _ => usize::from(b[p + 1]) * 8 + 8,
        };
        num(b, p, here)?;
        if next == 44 && num(b, p + 2, 2)? != 0 {
            frag = if num(b, p + 2, 2)? >= 8 { 3 } else { 1 };
        }
        if frag != 3 {
            next = b[p];
        }
        p += here;
    }
    f.set(l::NW_FRAG, frag);
    f.set(l::NW_TOS, num(b, 0, 4)? >> 20);
    f.set(l::IPV6_LABEL, num(b, 0, 4)? & 0xfffff);
    f.set(l::NW_PROTO, u128::from(next));
    f.set(l::NW_TTL, num(b, 7, 1)?);
    layers.l4 = (at + p) as u16;
    if frag != 3 {
        layer4(next, &b[p..], f);
    }
    Some(())
}

fn layer4(proto: u8, b: &[u8], f: &mut Flow) -> Option<()> {
    let need = [(6, 20), (17, 8), (132, 12), (1, 8), (2, 8), (58, 8)].iter().find(|(p, _)| *p == proto)?.1;
    num(b, 0, need)?;
    if proto == 6 {
        let len = 4 * (num(b, 12, 1)? >> 4) as usize;
        if len < 20 || len > b.len() {
            return None;
        }
    }
    let each = if need == 8 && proto != 17 { 1 } else { 2 };
    f.set(l::TP_SRC, num(b, 0, each)?);
    f.set(l::TP_DST, num(b, each, each)?);
    if proto == 6 {
        f.set(l::TCP_FLAGS, num(b, 12, 2)? & 0xfff);
    }
    if proto == 2 {
        f.set(l::IGMP_GROUP, num(b, 4, 4)?);
    }
    if proto == 58 && (b[0] == 135 || b[0] == 136) && b[1] == 0 {
        f.set(l::ND_RESERVED, num(b, 4, 4)?);
        let target = num(b, 8, 16)?;
        let (mut p, mut found) = (24, Vec::new());
        while let Some(units) = num(b, p + 1, 1).filter(|_| b.len() >= p + 8) {
            let len = units as usize * 8;
            if len == 0 || p + len > b.len() {
                break;
            }
            if len == 8 && (b[p] == 1 || b[p] == 2) {
                let address = num(b, p + 2, 6)?;
                if found.iter().any(|(kind, a)| *kind == b[p] && *a != 0) {
                    return None;
                }
                found.push((b[p], address));
            }
            p += len;
        }
        f.set(l::ND_TARGET, target);
        f.set(l::ND_OPTIONS_TYPE, found.first().map_or(0, |(kind, _)| u128::from(*kind)));
        for (kind, address) in found {
            f.set(if kind == 1 { l::ARP_SHA } else { l::ARP_THA }, address);
        }
    }
    Some(())
}

fn arp(b: &[u8], f: &mut Flow) -> Option<()> {
    num(b, 0, 28)?;
    if num(b, 0, 6)? != 0x0001_0800_0604 {
        return None;
    }
    if num(b, 6, 2)? < 256 {
        f.set(l::NW_PROTO, num(b, 6, 2)?);
    }
    f.set(l::ARP_SHA, num(b, 8, 6)?);
    f.set(l::NW_SRC, num(b, 14, 4)?);
    f.set(l::ARP_THA, num(b, 18, 6)?);
    f.set(l::NW_DST, num(b, 24, 4)?);
    Some(())
}

fn nsh(b: &[u8], f: &mut Flow) -> Option<()> {
    let first = num(b, 0, 2)?;
    num(b, 0, 8)?;
    let len = (first & 0x3f) as usize * 4;
    if first >= 0x4000 || len < 8 || len > b.len() || b[2] == 1 && len != 24 {
        return None;
    }
    let values = [
        (l::NSH_FLAGS, first >> 12 & 3),
        (l::NSH_TTL, first >> 6 & 0x3f),
        (l::NSH_MDTYPE, num(b, 2, 1)?),
        (l::NSH_NP, num(b, 3, 1)?),
        (l::NSH_SPI, num(b, 4, 3)?),
        (l::NSH_SI, num(b, 7, 1)?),
    ];
    values.iter().for_each(|(slot, v)| f.set(*slot, *v));
    if b[2] == 1 {
        for (n, slot) in [l::NSH_C1, l::NSH_C2, l::NSH_C3, l::NSH_C4].iter().enumerate() {
            f.set(*slot, num(b, 8 + 4 * n, 4)?);
        }
    }
    Some(())
}
