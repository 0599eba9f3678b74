//! The standard match of OpenFlow 1.1: 88 bytes, addresses with masks of any bits (OpenFlow 1.1.0, section A.2.3).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::codes::{OFPBMC_BAD_LEN, OFPBMC_BAD_VALUE};
use super::error::{Result, refuse, refuse_because};
use flow::fields::value::port_from_11;
use flow::layout as l;
use flow::text::parse::normalise;
use flow::{FieldId, Flow, Mask, Match};

/// Bytes of it, its header included.
pub const LEN: u16 = 88;

const IN_PORT: u32 = 1 << 0;
const DL_VLAN: u32 = 1 << 1;
const DL_VLAN_PCP: u32 = 1 << 2;
const DL_TYPE: u32 = 1 << 3;
const NW_TOS: u32 = 1 << 4;
const NW_PROTO: u32 = 1 << 5;
const TP_SRC: u32 = 1 << 6;
const TP_DST: u32 = 1 << 7;
const MPLS_LABEL: u32 = 1 << 8;
const MPLS_TC: u32 = 1 << 9;
/// Any tag.
const VID_ANY: u16 = 0xfffe;
/// No tag.
const VID_NONE: u16 = 0xffff;

/// Reads a match with its header. Masks are of wildcards: a bit that is set does not count.
pub fn read(b: &mut Bytes) -> Result<Match> {
    b.skip(2)?;
    if b.u16()? != LEN {
        return refuse(OFPBMC_BAD_LEN);
    }
    let (mut flow, mut mask) = (Flow::default(), Mask::default());
    let (in_port, wild) = (b.u32()?, b.u32()?);
    let mut masked = |id: FieldId, value: u128, not: u128| {
        let (row, bits) = (id.row(), !not & id.row().full_mask());
        row.set_match(&mut flow, &mut mask, value & bits, bits);
    };
    masked(FieldId::EthSrc, b.mac()?.into(), b.mac()?.into());
    masked(FieldId::EthDst, b.mac()?.into(), b.mac()?.into());
    let (vlan, pcp) = (b.u16()?, b.u8()?);
    b.skip(1)?;
    let (kind, tos, proto) = (b.u16()?, b.u8()?, b.u8()?);
    masked(FieldId::IpSrc, b.u32()?.into(), b.u32()?.into());
    masked(FieldId::IpDst, b.u32()?.into(), b.u32()?.into());
    let (tp_src, tp_dst, label, tc) = (b.u16()?, b.u16()?, b.u32()?, b.u8()?);
    b.skip(3)?;
    masked(FieldId::Metadata, b.u64()?.into(), b.u64()?.into());
    let mut put = |bit: u32, id: FieldId, value: u128| {
        if wild & bit == 0 {
            let row = id.row();
            row.set_match(&mut flow, &mut mask, value & row.full_mask(), row.full_mask());
        }
    };
    if wild & IN_PORT == 0 {
        let Some(port) = port_from_11(in_port) else {
            return refuse_because(OFPBMC_BAD_VALUE, "ofp_port", super::action::port_words(in_port));
        };
        put(IN_PORT, FieldId::InPort, port.into());
    }
    put(DL_TYPE, FieldId::EthType, kind.into());
    // the field has DSCP alone; its two low bits are ECN's
    if wild & NW_TOS == 0 && tos & 3 != 0 {
        return refuse(OFPBMC_BAD_VALUE);
    }
    put(NW_TOS, FieldId::NwTos, u128::from(tos));
    put(NW_PROTO, FieldId::NwProto, proto.into());
    put(TP_SRC, FieldId::TcpSrc, tp_src.into());
    put(TP_DST, FieldId::TcpDst, tp_dst.into());
    put(MPLS_LABEL, FieldId::MplsLabel, label.into());
    put(MPLS_TC, FieldId::MplsTc, tc.into());
    let (tci, bits) = tci(wild, vlan, pcp)?;
    flow.set(l::VLAN_TCI, u128::from(tci & bits));
    mask.set(l::VLAN_TCI, bits.into());
    normalise(&mut flow, &mut mask);
    Ok(Match::new(&flow, &mask))
}

fn tci(wild: u32, vlan: u16, pcp: u8) -> Result<(u16, u16)> {
    let pcp = if wild & DL_VLAN_PCP == 0 { (u16::from(pcp & 7) << 13, 0xe000) } else { (0, 0) };
    match vlan {
        _ if wild & DL_VLAN != 0 => Ok((0, 0)),
        VID_NONE => Ok((0, 0xffff)),
        VID_ANY => Ok((l::VLAN_PRESENT | pcp.0, l::VLAN_PRESENT | pcp.1)),
        0..0x1000 => Ok((l::VLAN_PRESENT | vlan | pcp.0, 0x1fff | pcp.1)),
        _ => refuse(OFPBMC_BAD_VALUE),
    }
}

/// True when `matching` asks for nothing that this match cannot say. ECN's bits are no reason: they are left out.
pub(crate) fn fits(matching: &Match) -> bool {
    let without = |m: &Match| {
        let (mut flow, mut mask) = m.expand();
        FieldId::NwEcn.row().set_match(&mut flow, &mut mask, 0, 0);
        Match::new(&flow, &mask)
    };
    let mut b = Vec::new();
    write(&mut b, matching);
    read(&mut Bytes::new(&b)).is_ok_and(|m| without(&m) == without(matching))
}

/// Writes a match with its header; what it cannot say is left out.
pub fn write(out: &mut Vec<u8>, matching: &Match) {
    let (flow, mask) = matching.expand();
    let mut wild = 0;
    let mut get = |bit: u32, id: FieldId| {
        let row = id.row();
        let (value, bits) = row.get_match(&flow, &mask);
        if bits == row.full_mask() && row.prereq.ok_match(&flow, &mask) {
            return value;
        }
        wild |= bit;
        0
    };
    let in_port = get(IN_PORT, FieldId::InPortOxm);
    // of ARP the operation and addresses stand where those of IP do
    let arp = FieldId::ArpOp.row().prereq.ok_match(&flow, &mask);
    let of_arp = |arp_field, ip_field| if arp { arp_field } else { ip_field };
    let proto = of_arp(FieldId::ArpOp, FieldId::NwProto);
    let (kind, tos, proto) = (get(DL_TYPE, FieldId::EthType), get(NW_TOS, FieldId::NwTos), get(NW_PROTO, proto));
    let either = |bit: u32, ids: [FieldId; 4]| {
        let found = ids
            .into_iter()
            .map(|id| id.row())
            .find(|row| row.get_match(&flow, &mask).1 == row.full_mask() && row.prereq.ok_match(&flow, &mask));
        found.map_or(Err(bit), |row| Ok(row.get_match(&flow, &mask).0))
    };
    use FieldId as F;
    let tp_src = either(TP_SRC, [F::TcpSrc, F::UdpSrc, F::SctpSrc, F::IcmpType]);
    let tp_dst = either(TP_DST, [F::TcpDst, F::UdpDst, F::SctpDst, F::IcmpCode]);
    let (label, tc) = (get(MPLS_LABEL, F::MplsLabel), get(MPLS_TC, F::MplsTc));
    wild |= tp_src.err().unwrap_or(0) | tp_dst.err().unwrap_or(0);
    let (tci, bits) = (flow.get(l::VLAN_TCI) as u16, mask.get(l::VLAN_TCI) as u16);
    let (mut vlan, mut pcp) = (0, 0);
    if bits & l::VLAN_PRESENT != 0 && tci & l::VLAN_PRESENT == 0 {
        vlan = VID_NONE;
        wild |= DL_VLAN_PCP;
    } else {
        // some bits are told as all of them
        match bits & 0xfff {
            0 if bits == 0 => wild |= DL_VLAN,
            0 => vlan = VID_ANY,
            _ => vlan = tci & 0xfff,
        }
        if bits & 0xe000 != 0 { pcp = (tci >> 13) as u8 } else { wild |= DL_VLAN_PCP }
    }
    out.u16(0);
    out.u16(LEN);
    out.u32(in_port as u32);
    out.u32(wild);
    let masked = |out: &mut Vec<u8>, id: FieldId, bytes: usize| {
        let (value, bits) = id.row().get_match(&flow, &mask);
        let met = id.row().prereq.ok_match(&flow, &mask);
        let (value, bits) = if met { (value & bits, bits) } else { (0, 0) };
        out.number(value, bytes);
        out.number(!bits, bytes);
    };
    masked(out, F::EthSrc, 6);
    masked(out, F::EthDst, 6);
    out.u16(vlan);
    out.u8(pcp);
    out.u8(0);
    out.u16(kind as u16);
    out.u8(tos as u8);
    out.u8(proto as u8);
    masked(out, of_arp(F::ArpSpa, F::IpSrc), 4);
    masked(out, of_arp(F::ArpTpa, F::IpDst), 4);
    out.u16(tp_src.unwrap_or(0) as u16);
    out.u16(tp_dst.unwrap_or(0) as u16);
    out.u32(label as u32);
    out.u8(tc as u8);
    out.zeros(3);
    masked(out, F::Metadata, 8);
}
