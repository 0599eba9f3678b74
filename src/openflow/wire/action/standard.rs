//! The actions of OpenFlow 1.1 and later (OpenFlow 1.1.0, section A.2.5; OpenFlow 1.5.1, section 7.2.6).
#![deny(clippy::indexing_slicing)]

use super::{Cx, plain, port32, subfield};
use crate::action::{Action, SetField, SetStyle};
use crate::subfield::{FieldId, Subfield};
use crate::types::{GroupId, MeterId, OfPort};
use crate::wire::bytes::{Bytes, Put, number, pad, set_len};
use crate::wire::codes::*;
use crate::wire::error::{Result, refuse};
use crate::wire::oxm;
use crate::wire::version::Version;
use flow::fields::prereq::eth_type;

/// ONF's extension of OpenFlow 1.3 that became OpenFlow 1.5's copy_field.
pub(super) const ONF_COPY_FIELD: u16 = 3200;

/// OpenFlow 1.1's actions that write a field: type, field, bytes of the value, bytes after it.
const SETS: [(u16, FieldId, usize, usize); 8] = [
    (3, FieldId::EthSrc, 6, 6),
    (4, FieldId::EthDst, 6, 6),
    (5, FieldId::IpSrc, 4, 0),
    (6, FieldId::IpDst, 4, 0),
    (7, FieldId::NwTos, 1, 3),
    (8, FieldId::NwEcn, 1, 3),
    (9, FieldId::TcpSrc, 2, 2),
    (10, FieldId::TcpDst, 2, 2),
];
const SET_VLAN_VID: u16 = 1;
const SET_VLAN_PCP: u16 = 2;
const SET_MPLS_LABEL: u16 = 13;
const SET_MPLS_TC: u16 = 14;
const SET_NW_TTL: u16 = 23;
const SET_FIELD: u16 = 25;
const COPY_FIELD: u16 = 28;
const METER: u16 = 29;

/// Writes `value` to all of `field`, refusing what it cannot have.
pub(super) fn modify(field: FieldId, value: u128) -> Result<Action> {
    let row = field.row();
    if !row.is_valid(value) {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    Ok(Action::SetField(SetField { field, value, mask: row.full_mask(), style: SetStyle::Mod }))
}

fn output_port(port: OfPort) -> Result<OfPort> {
    let reserved = port.reserved_name().is_some() && port != OfPort::NONE;
    if port < OfPort::MAX || reserved { Ok(port) } else { refuse(OFPBAC_BAD_OUT_PORT) }
}

pub(super) fn read(kind: u16, b: &mut Bytes, cx: Cx) -> Result<Action> {
    let v = cx.version;
    if v == Version::Of11 && kind <= SET_MPLS_TC && kind != 0 {
        return read11(kind, b);
    }
    Ok(match kind {
        0 => {
            let (port, max_len) = (output_port(port32(b)?)?, b.u16()?);
            b.skip(6)?;
            Action::Output { port, max_len }
        }
        15 => Action::SetMplsTtl(first_byte(b)?),
        16 => padding(b, Action::DecMplsTtl)?,
        17 => match first_word(b)? {
            t @ (eth_type::VLAN | eth_type::QINQ) => Action::PushVlan(t),
            _ => return refuse(OFPBAC_BAD_ARGUMENT),
        },
        18 => padding(b, Action::StripVlan)?,
        19 => match first_word(b)? {
            t @ (eth_type::MPLS | eth_type::MPLS_MULTICAST) => Action::PushMpls(t),
            _ => return refuse(OFPBAC_BAD_ARGUMENT),
        },
        20 => Action::PopMpls(first_word(b)?),
        21 => Action::SetQueue(b.u32()?),
        22 => Action::Group(GroupId(b.u32()?)),
        SET_NW_TTL => modify(FieldId::NwTtl, first_byte(b)?.into())?,
        24 => padding(b, Action::DecTtl(Vec::new()))?,
        SET_FIELD if v >= Version::Of12 => set_field(b, v)?,
        COPY_FIELD if v >= Version::Of15 => copy_field(b)?,
        METER if v >= Version::Of15 => Action::Meter(MeterId(b.u32()?)),
        _ => return refuse(OFPBAC_BAD_TYPE),
    })
}

fn read11(kind: u16, b: &mut Bytes) -> Result<Action> {
    if let Some((_, field, bytes, after)) = SETS.iter().find(|(k, ..)| *k == kind) {
        let value = number(b.take(*bytes)?);
        b.skip(*after)?;
        return modify(*field, value);
    }
    match kind {
        SET_VLAN_VID => match first_word(b)? {
            vid @ 0..0x1000 => Ok(Action::SetVlanVid { vid, push: false }),
            _ => refuse(OFPBAC_BAD_ARGUMENT),
        },
        SET_VLAN_PCP => match first_byte(b)? {
            pcp @ 0..8 => Ok(Action::SetVlanPcp { pcp, push: false }),
            _ => refuse(OFPBAC_BAD_ARGUMENT),
        },
        SET_MPLS_LABEL => Ok(Action::SetMplsLabel(b.u32()? & 0xf_ffff)),
        SET_MPLS_TC => Ok(Action::SetMplsTc(first_byte(b)? & 7)),
        _ => refuse(OFPBAC_BAD_TYPE),
    }
}

fn padding(b: &mut Bytes, action: Action) -> Result<Action> {
    b.skip(4).map(|()| action)
}

fn first_byte(b: &mut Bytes) -> Result<u8> {
    let n = b.u8()?;
    b.skip(3).map(|()| n)
}

fn first_word(b: &mut Bytes) -> Result<u16> {
    let n = b.u16()?;
    b.skip(2).map(|()| n)
}

/// `set_field`: a field with its value, padded. Masks came with OpenFlow 1.5.
fn set_field(b: &mut Bytes, version: Version) -> Result<Action> {
    let before = b.len();
    let masked = b.rest().get(2).is_some_and(|f| f & 1 != 0);
    let (field, value, mask) = oxm::read_value(b)?;
    let used = before - b.len() + 4;
    b.zeros((used.next_multiple_of(8) - used).min(b.len()))?;
    if masked && version < Version::Of15 {
        return refuse(OFPBAC_BAD_SET_MASK);
    }
    written(field, value, mask)
}

/// The action that writes `value` under `mask`; refuses what the field cannot have.
pub(super) fn written(field: FieldId, value: u128, mask: u128) -> Result<Action> {
    let row = field.row();
    if !row.writable {
        return crate::wire::error::refuse_because(
            OFPBAC_BAD_SET_ARGUMENT,
            super::MODULE,
            format!("destination field {} is not writable", row.name),
        );
    }
    if mask != u128::MAX && value & !mask != 0 {
        return refuse(OFPBMC_BAD_WILDCARDS);
    }
    if row.kind != flow::fields::Kind::TunMetadata && !row.is_valid(value) {
        return refuse(OFPBAC_BAD_SET_ARGUMENT);
    }
    let mask = mask & row.full_mask();
    Ok(Action::SetField(SetField { field, value: value & mask, mask, style: SetStyle::SetField }))
}

/// Bits, two offsets, two fields; after what precedes the bits.
pub(super) fn copy_field(b: &mut Bytes) -> Result<Action> {
    let (n_bits, src_ofs, dst_ofs) = (b.u16()?, b.u16()?, b.u16()?);
    b.skip(2)?;
    let (src, dst) = (super::field(b)?, super::field(b)?);
    b.zeros(b.len().min(7))?;
    let n = n_bits;
    Ok(Action::Move { src: subfield(src, src_ofs, n)?, dst: subfield(dst, dst_ofs, n)? })
}

/// Writes what the version has an action for; false when it is an extension's.
pub(super) fn write(out: &mut Vec<u8>, action: &Action, cx: Cx) -> bool {
    let v = cx.version;
    match action {
        Action::Output { port, max_len } => plain(out, 0, |o| {
            o.u32(port.0);
            o.u16(*max_len);
        }),
        Action::SetVlanVid { vid, .. } if v == Version::Of11 => plain(out, SET_VLAN_VID, |o| o.u16(*vid)),
        Action::SetVlanPcp { pcp, .. } if v == Version::Of11 => plain(out, SET_VLAN_PCP, |o| o.u8(*pcp)),
        Action::SetMplsLabel(label) if v == Version::Of11 => plain(out, SET_MPLS_LABEL, |o| o.u32(*label)),
        Action::SetMplsTc(tc) if v == Version::Of11 => plain(out, SET_MPLS_TC, |o| o.u8(*tc)),
        Action::SetMplsTtl(ttl) => plain(out, 15, |o| o.u8(*ttl)),
        Action::DecMplsTtl => plain(out, 16, |_| {}),
        Action::PushVlan(t) => plain(out, 17, |o| o.u16(*t)),
        Action::StripVlan => plain(out, 18, |_| {}),
        Action::PushMpls(t) => plain(out, 19, |o| o.u16(*t)),
        Action::PopMpls(t) => plain(out, 20, |o| o.u16(*t)),
        Action::SetQueue(queue) => plain(out, 21, |o| o.u32(*queue)),
        Action::Group(id) => plain(out, 22, |o| o.u32(id.0)),
        Action::DecTtl(ids) if ids.is_empty() => plain(out, 24, |_| {}),
        Action::SetField(s) => write_set(out, s, cx),
        Action::Move { src, dst } if v >= Version::Of15 => {
            write_copy(out, *src, *dst, cx);
            true
        }
        Action::Meter(id) => v < Version::Of15 || plain(out, METER, |o| o.u32(id.0)),
        _ => false,
    }
}

fn write_set(out: &mut Vec<u8>, s: &SetField, cx: Cx) -> bool {
    let whole = s.mask == s.field.row().full_mask();
    if s.field == FieldId::NwTtl && s.style == SetStyle::Mod {
        return plain(out, SET_NW_TTL, |o| o.u8(s.value as u8));
    }
    let load = s.style == SetStyle::Load;
    if s.style == SetStyle::Mod
        && matches!(s.field, FieldId::TcpSrc | FieldId::TcpDst)
        && let Some((kind, _, bytes, after)) = SETS.iter().find(|(_, f, ..)| *f == s.field)
    {
        return plain(out, *kind, |o| {
            o.number(s.value, *bytes);
            o.zeros(*after);
        });
    }
    match cx.version {
        v if load && v < Version::Of15 => false,
        Version::Of11 => whole && write_set11(out, s),
        v if !whole && v < Version::Of15 => false,
        v => plain(out, SET_FIELD, |o| oxm::write_value(o, s.field, s.value, s.mask, Some(v), cx.tlv)),
    }
}

fn write_set11(out: &mut Vec<u8>, s: &SetField) -> bool {
    use FieldId as F;
    let (field, value) = match s.field {
        F::IpDscp => (F::NwTos, s.value << 2),
        F::UdpSrc => (F::TcpSrc, s.value),
        F::UdpDst => (F::TcpDst, s.value),
        other => (other, s.value),
    };
    if let Some((kind, _, bytes, after)) = SETS.iter().find(|(_, f, ..)| *f == field) {
        return plain(out, *kind, |o| {
            o.number(value, *bytes);
            o.zeros(*after);
        });
    }
    match field {
        F::VlanVid => plain(out, SET_VLAN_VID, |o| o.u16(value as u16 & 0xfff)),
        F::VlanPcp => plain(out, SET_VLAN_PCP, |o| o.u8(value as u8)),
        _ => false,
    }
}

fn write_copy(out: &mut Vec<u8>, src: Subfield, dst: Subfield, cx: Cx) {
    let start = out.len();
    out.u16(COPY_FIELD);
    out.u16(0);
    out.u16(src.n_bits);
    out.u16(src.ofs);
    out.u16(dst.ofs);
    out.u16(0);
    for f in [src.field, dst.field] {
        oxm::write_field(out, f, Some(cx.version), cx.tlv);
    }
    pad(out, start, 8);
    set_len(out, start + 2, start);
}
