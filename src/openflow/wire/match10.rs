//! The match of OpenFlow 1.0: 40 bytes with a bitmap of wildcards (OpenFlow 1.0.0, section 5.2.3).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::error::Result;
use flow::layout as l;
use flow::text::parse::normalise;
use flow::{FieldId, Flow, Mask, Match};

/// Bytes of it.
pub const LEN: usize = 40;

const IN_PORT: u32 = 1 << 0;
const DL_VLAN: u32 = 1 << 1;
const DL_SRC: u32 = 1 << 2;
const DL_DST: u32 = 1 << 3;
const DL_TYPE: u32 = 1 << 4;
const NW_PROTO: u32 = 1 << 5;
const TP_SRC: u32 = 1 << 6;
const TP_DST: u32 = 1 << 7;
const NW_SRC_SHIFT: u32 = 8;
const NW_DST_SHIFT: u32 = 14;
const DL_VLAN_PCP: u32 = 1 << 20;
const NW_TOS: u32 = 1 << 21;
/// No VLAN tag.
const VLAN_NONE: u16 = 0xffff;

/// Low bits of an address that count for nothing: six bits, 32 and more are all.
fn prefix(wildcards: u32, shift: u32) -> u32 {
    let n = wildcards >> shift & 0x3f;
    if n >= 32 { 0 } else { u32::MAX << n }
}

/// Does the match that `b` begins with name every field? Such flows precede all others, whatever priority they say.
pub(super) fn is_exact(mut b: Bytes) -> bool {
    b.u32().is_ok_and(|wild| wild & 0x3f_ffff == 0)
}

/// Reads a match. What means nothing beside the other fields is left out, as the specification's figure 4 has it.
pub fn read(b: &mut Bytes) -> Result<Match> {
    read_all(b).map(|matching| normal(&matching))
}

/// A match without what means nothing in it.
pub fn normal(matching: &Match) -> Match {
    let (mut flow, mut mask) = matching.expand();
    normalise(&mut flow, &mut mask);
    Match::new(&flow, &mask)
}

/// Reads a match with all its fields, as who reports what was matched means them.
pub fn read_all(b: &mut Bytes) -> Result<Match> {
    let (mut flow, mut mask) = (Flow::default(), Mask::default());
    let wild = b.u32()?;
    let (in_port, dl_src, dl_dst, vlan) = (b.u16()?, b.mac()?, b.mac()?, b.u16()?);
    let pcp = b.u8()?;
    b.skip(1)?;
    let (kind, tos, proto) = (b.u16()?, b.u8()?, b.u8()?);
    b.skip(2)?;
    let (src, dst, tp_src, tp_dst) = (b.u32()?, b.u32()?, b.u16()?, b.u16()?);
    let mut put = |bit: u32, id: FieldId, value: u128| {
        if wild & bit == 0 {
            let row = id.row();
            row.set_match(&mut flow, &mut mask, value & row.full_mask(), row.full_mask());
        }
    };
    put(IN_PORT, FieldId::InPort, in_port.into());
    put(DL_SRC, FieldId::EthSrc, dl_src.into());
    put(DL_DST, FieldId::EthDst, dl_dst.into());
    put(DL_TYPE, FieldId::EthType, kind.into());
    put(NW_PROTO, FieldId::NwProto, proto.into());
    put(NW_TOS, FieldId::NwTos, u128::from(tos & 0xfc));
    put(TP_SRC, FieldId::TcpSrc, tp_src.into());
    put(TP_DST, FieldId::TcpDst, tp_dst.into());
    for (id, address, bits) in
        [(FieldId::IpSrc, src, prefix(wild, NW_SRC_SHIFT)), (FieldId::IpDst, dst, prefix(wild, NW_DST_SHIFT))]
    {
        id.row().set_match(&mut flow, &mut mask, u128::from(address & bits), bits.into());
    }
    let (tci, bits) = tci(wild, vlan, pcp);
    flow.set(l::VLAN_TCI, u128::from(tci & bits));
    mask.set(l::VLAN_TCI, bits.into());
    Ok(Match::new(&flow, &mask))
}

/// Value and mask of the tag's control information. A VID of 0xffff is a packet without a tag.
fn tci(wild: u32, vlan: u16, pcp: u8) -> (u16, u16) {
    let vid = (vlan & 0xfff) | l::VLAN_PRESENT;
    let priority = u16::from(pcp & 7) << 13 | l::VLAN_PRESENT;
    match (wild & DL_VLAN != 0, wild & DL_VLAN_PCP != 0) {
        (true, true) => (0, 0),
        (true, false) => (priority, 0xf000),
        (false, _) if vlan == VLAN_NONE => (0, 0xffff),
        (false, true) => (vid, 0x1fff),
        (false, false) => (vid | priority, 0xffff),
    }
}

/// True when `matching` asks for nothing that this match cannot say.
pub fn fits(matching: &Match) -> bool {
    let mut b = Vec::new();
    write(&mut b, matching);
    read(&mut Bytes::new(&b)).is_ok_and(|m| m == *matching)
}

/// Writes a match; what it cannot say is left out.
pub fn write(out: &mut Vec<u8>, matching: &Match) {
    let (flow, mask) = matching.expand();
    let mut wild = 0;
    let mut get = |bit: u32, id: FieldId| {
        let row = id.row();
        let (value, bits) = row.get_match(&flow, &mask);
        if bits == row.full_mask() {
            return value;
        }
        wild |= bit;
        0
    };
    let (in_port, src, dst) =
        (get(IN_PORT, FieldId::InPort), get(DL_SRC, FieldId::EthSrc), get(DL_DST, FieldId::EthDst));
    let (kind, proto, tos) =
        (get(DL_TYPE, FieldId::EthType), get(NW_PROTO, FieldId::NwProto), get(NW_TOS, FieldId::NwTos));
    let (tp_src, tp_dst) = (get(TP_SRC, FieldId::TcpSrc), get(TP_DST, FieldId::TcpDst));
    let mut addresses = [0u32; 2];
    for (to, slot, shift) in [(0, l::NW_SRC, NW_SRC_SHIFT), (1, l::NW_DST, NW_DST_SHIFT)] {
        let bits = mask.get(slot) as u32;
        wild |= if bits == 0 { 32 << shift } else { bits.trailing_zeros() << shift };
        if let Some(a) = addresses.get_mut(to) {
            *a = flow.get(slot) as u32;
        }
    }
    let (tci, bits) = (flow.get(l::VLAN_TCI) as u16, mask.get(l::VLAN_TCI) as u16);
    let (mut vlan, mut pcp) = (0, 0);
    if bits & l::VLAN_PRESENT != 0 && tci & l::VLAN_PRESENT == 0 {
        vlan = VLAN_NONE;
        wild |= if bits & 0xe000 == 0xe000 { 0 } else { DL_VLAN_PCP };
    } else {
        // some bits are told as all of them
        if bits & 0xfff != 0 {
            vlan = tci & 0xfff
        } else {
            wild |= DL_VLAN
        }
        if bits & 0xe000 != 0 { pcp = (tci >> 13) as u8 } else { wild |= DL_VLAN_PCP }
    }
    out.u32(wild);
    out.u16(in_port as u16);
    out.mac(src as u64);
    out.mac(dst as u64);
    out.u16(vlan);
    out.u8(pcp);
    out.u8(0);
    out.u16(kind as u16);
    out.u8(tos as u8);
    out.u8(proto as u8);
    out.zeros(2);
    for a in addresses {
        out.u32(a);
    }
    out.u16(tp_src as u16);
    out.u16(tp_dst as u16);
}
