//! `ct` and the `nat` in it (ovs-actions(7), "The ct action").
#![deny(clippy::indexing_slicing)]

use super::{Cx, Place, bad_argument, field, nx, put_field, range, read_range, subfield};
use crate::action::{Action, Ct, CtZone, Nat, NatKind, NatRange};
use crate::types::TableId;
use crate::wire::bytes::{Bytes, Put};
use crate::wire::codes::*;
use crate::wire::error::{Result, refuse};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const COMMIT: u16 = 1;
const FORCE: u16 = 2;

const NAT: u16 = 36;
const NAT_SRC: u16 = 1;
const NAT_DST: u16 = 2;
const NAT_PERSISTENT: u16 = 4;
const NAT_HASH: u16 = 8;
const NAT_RANDOM: u16 = 16;

const IPV4_MIN: u16 = 1;
const IPV4_MAX: u16 = 2;
const IPV6_MIN: u16 = 4;
const IPV6_MAX: u16 = 8;
const PORT_MIN: u16 = 16;
const PORT_MAX: u16 = 32;

pub(super) fn read(b: &mut Bytes, cx: Cx) -> Result<Action> {
    let flags = b.u16()?;
    let zone = {
        let mut at = *b;
        if at.u32()? == 0 {
            b.skip(4)?;
            CtZone::Number(b.u16()?)
        } else {
            let id = field(b)?;
            let (ofs, n_bits) = read_range(b)?;
            if n_bits != 16 {
                let words = format!("zone n_bits {n_bits} not within valid range [16..16]");
                return crate::wire::error::refuse_because(OFPBAC_BAD_SET_LEN, super::MODULE, words);
            }
            CtZone::Field(subfield(id, ofs, n_bits)?)
        }
    };
    let table = b.u8()?;
    b.zeros(3)?;
    let alg = b.u16()?;
    if flags & !(COMMIT | FORCE) != 0 || flags & (COMMIT | FORCE) == FORCE {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    let (nat, exec) = read_nested(b, cx.deeper()?)?;
    Ok(Action::Ct(Box::new(Ct {
        commit: flags & COMMIT != 0,
        force: flags & FORCE != 0,
        zone,
        table: (table != TableId::ALL).then_some(TableId(table)),
        alg,
        nat,
        exec,
    })))
}

/// The actions inside: one `nat` at most, and sets of mark and label.
fn read_nested(b: &mut Bytes, cx: Cx) -> Result<(Option<Nat>, Vec<Action>)> {
    let (mut nat, mut exec) = (None, Vec::new());
    while !b.is_empty() {
        let mut head = *b;
        let (kind, len) = (head.u16()?, usize::from(head.u16()?));
        if len < 8 || len > b.len() || !len.is_multiple_of(8) {
            return refuse(OFPBAC_BAD_LEN);
        }
        let is_nat = kind == super::EXPERIMENTER && head.u32()? == NX && head.u16()? == NAT;
        let mut one = b.sub(len)?;
        if is_nat {
            one.skip(10)?;
            if nat.replace(read_nat(&mut one)?).is_some() {
                return refuse(OFPBAC_BAD_ARGUMENT);
            }
        } else {
            exec.extend(super::read_list(one, Place::Ct, cx)?);
        }
    }
    Ok((nat, exec))
}

fn read_nat(b: &mut Bytes) -> Result<Nat> {
    b.zeros(2)?;
    let (flags, present) = (b.u16()?, b.u16()?);
    let kind = match flags & (NAT_SRC | NAT_DST) {
        0 => NatKind::Existing,
        NAT_SRC => NatKind::Source,
        NAT_DST => NatKind::Destination,
        _ => return refuse(OFPBAC_BAD_ARGUMENT),
    };
    let known = NAT_SRC | NAT_DST | NAT_PERSISTENT | NAT_HASH | NAT_RANDOM;
    if flags & !known != 0 || flags & NAT_HASH != 0 && flags & NAT_RANDOM != 0 {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    let modifies = NAT_PERSISTENT | NAT_HASH | NAT_RANDOM;
    if kind == NatKind::Existing && (flags & modifies != 0 || present != 0) {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    let v4 = range_of(b, present, IPV4_MIN, IPV4_MAX, |b| b.u32().map(|a| IpAddr::V4(Ipv4Addr::from_bits(a))))?;
    let v6 = range_of(b, present, IPV6_MIN, IPV6_MAX, |b| b.u128().map(|a| IpAddr::V6(Ipv6Addr::from_bits(a))))?;
    let ports = range_of(b, present, PORT_MIN, PORT_MAX, |b| b.u16())?;
    if v4.is_some() && v6.is_some() || ports.is_some_and(|(low, _)| low == 0) {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    b.zeros(b.len().min(7))?;
    b.end()?;
    Ok(Nat {
        kind,
        range: NatRange { addrs: v4.or(v6), ports },
        persistent: flags & NAT_PERSISTENT != 0,
        hash: flags & NAT_HASH != 0,
        random: flags & NAT_RANDOM != 0,
    })
}

/// A range whose second end is missing is one value; one that runs backwards is refused.
fn range_of<T: Copy + PartialOrd>(
    b: &mut Bytes,
    present: u16,
    min: u16,
    max: u16,
    one: impl Fn(&mut Bytes) -> Result<T>,
) -> Result<Option<(T, T)>> {
    if present & min == 0 {
        return if present & max == 0 { Ok(None) } else { Err(bad_argument()) };
    }
    let low = one(b)?;
    let high = if present & max == 0 { low } else { one(b)? };
    if high < low { Err(bad_argument()) } else { Ok(Some((low, high))) }
}

pub(super) fn write(o: &mut Vec<u8>, ct: &Ct, cx: Cx) {
    let flag = |on: bool, bit: u16| if on { bit } else { 0 };
    o.u16(flag(ct.commit, COMMIT) | flag(ct.force, FORCE));
    match ct.zone {
        CtZone::Number(zone) => {
            o.u32(0);
            o.u16(zone);
        }
        CtZone::Field(src) => {
            put_field(o, src.field, cx);
            o.u16(range(src));
        }
    }
    o.u8(ct.table.map_or(TableId::ALL, |t| t.0));
    o.zeros(3);
    o.u16(ct.alg);
    if let Some(nat) = &ct.nat {
        nx(o, NAT, |o| write_nat(o, nat));
    }
    super::write_nested(o, &ct.exec, cx);
}

fn write_nat(o: &mut Vec<u8>, nat: &Nat) {
    let flag = |on: bool, bit: u16| if on { bit } else { 0 };
    let kind = match nat.kind {
        NatKind::Existing => 0,
        NatKind::Source => NAT_SRC,
        NatKind::Destination => NAT_DST,
    };
    o.u16(0);
    o.u16(kind | flag(nat.persistent, NAT_PERSISTENT) | flag(nat.hash, NAT_HASH) | flag(nat.random, NAT_RANDOM));
    let NatRange { addrs, ports } = nat.range;
    let mut present = match addrs {
        None => 0,
        Some((IpAddr::V4(_), _)) => IPV4_MIN,
        Some((IpAddr::V6(_), _)) => IPV6_MIN,
    };
    // the maximum's bit stands above the minimum's
    present |= flag(addrs.is_some_and(|(a, b)| a != b), present << 1);
    present |= flag(ports.is_some(), PORT_MIN) | flag(ports.is_some_and(|(a, b)| a != b), PORT_MAX);
    o.u16(present);
    if let Some((low, high)) = addrs {
        for a in std::iter::once(low).chain((low != high).then_some(high)) {
            match a {
                IpAddr::V4(a) => o.u32(a.to_bits()),
                IpAddr::V6(a) => o.u128(a.to_bits()),
            }
        }
    }
    if let Some((low, high)) = ports {
        o.u16(low);
        if low != high {
            o.u16(high);
        }
    }
}
