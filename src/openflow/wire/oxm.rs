//! Matches as lists of type, length and value: NXM and OXM, with Nicira's, ONF's and NSH's experimenters (OpenFlow 1.3,
//! section 7.2.2; ovs-fields(7)). Code points are the field table's.
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put, number, pad, set_len};
use super::codes::*;
use super::error::{Error, Result, refuse, refuse_because};
use super::version::Version;
use crate::subfield::FieldId;
use flow::fields::prereq::Prereq;
use flow::fields::tlv::{TlvTable, Wide};
use flow::fields::{Field, Kind, Masking, by_oxm};
use flow::layout::{PACKET_TYPE, VLAN_PRESENT, VLAN_TCI};
use flow::{Flow, Mask, Match};

/// The class whose entries begin with an experimenter's number.
const EXPERIMENTER: u16 = 0xffff;
/// NXM_NX_COOKIE, told from NXM_NX_MPLS_TTL by its length. It is no field of a packet.
const COOKIE: (u16, u8) = (1, 30);

/// The four bytes that an entry begins with, and the experimenter's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OxmHeader {
    pub class: u16,
    pub field: u8,
    pub masked: bool,
    /// Bytes of value and mask.
    pub len: usize,
    pub experimenter: u32,
}

impl OxmHeader {
    pub fn read(b: &mut Bytes) -> Result<OxmHeader> {
        let (class, field, len) = (b.u16()?, b.u8()?, usize::from(b.u8()?));
        let mut header = OxmHeader { class, field: field >> 1, masked: field & 1 != 0, len, experimenter: 0 };
        if class == EXPERIMENTER {
            header.experimenter = b.u32()?;
            header.len = len.checked_sub(4).ok_or(Error::new(OFPBMC_BAD_LEN))?;
        }
        Ok(header)
    }

    /// The field that it is about.
    pub fn id(&self) -> Option<FieldId> {
        by_oxm(self.class, self.field, self.experimenter)
    }

    fn is_cookie(&self) -> bool {
        (self.class, self.field) == COOKIE && self.len == if self.masked { 16 } else { 8 }
    }
}

/// Writes the header of `field` with `len` bytes of value (and as many of mask); `version` of `None` is NXM.
pub(super) fn write_header(out: &mut Vec<u8>, field: &Field, version: Option<Version>, masked: bool, len: usize) {
    let nxm = || field.oxm.iter().find(|o| o.since == 1);
    let point = match version {
        None => nxm().copied().or_else(|| field.oxm(Version::Of13.wire())),
        Some(v) => field.oxm(v.wire()),
    };
    // a field without a code point is never written
    let Some(point) = point else { return };
    let len = (if masked { 2 * len } else { len }) + if point.class == EXPERIMENTER { 4 } else { 0 };
    out.u16(point.class);
    out.u8(point.field << 1 | u8::from(masked));
    out.u8(len as u8);
    if point.class == EXPERIMENTER {
        out.u32(point.experimenter);
    }
}

/// Bytes of a whole value of `field`: a tunnel option's are what the table says, or all that it may have.
pub fn width(field: FieldId, tlv: Option<&TlvTable>) -> usize {
    match tlv.and_then(|t| t.of(field)) {
        Some(map) => usize::from(map.len),
        None => usize::from(field.row().bytes),
    }
}

/// Reads the header of a field that an action names; `bad` is the error for one that is not known.
pub fn read_field(b: &mut Bytes, bad: ErrorCode) -> Result<FieldId> {
    OxmHeader::read(b)?.id().ok_or(Error::new(bad))
}

/// Writes a header alone, as actions name fields.
pub fn write_field(out: &mut Vec<u8>, field: FieldId, version: Option<Version>, tlv: Option<&TlvTable>) {
    write_header(out, field.row(), version, false, width(field, tlv));
}

/// A field that is written, as [`write_value`] writes it. The value of a tunnel option ends in the number's bytes.
pub fn write_value(
    out: &mut Vec<u8>,
    field: FieldId,
    value: u128,
    mask: u128,
    version: Option<Version>,
    tlv: Option<&TlvTable>,
) {
    let (row, len) = (field.row(), width(field, tlv));
    let masked = mask & row.full_mask() != row.full_mask();
    write_header(out, row, version, masked, len);
    out.number(value, len);
    if masked {
        out.number(mask, len);
    }
}

/// Reads one entry for an action: field, value, mask.
pub fn read_value(b: &mut Bytes) -> Result<(FieldId, u128, u128)> {
    let header = OxmHeader::read(b)?;
    let id = header.id().ok_or(Error::new(OFPBAC_BAD_SET_TYPE))?;
    let (row, len) = (id.row(), if header.masked { header.len / 2 } else { header.len });
    let fixed = row.kind != Kind::TunMetadata;
    if fixed && len != usize::from(row.bytes) || header.masked && !header.len.is_multiple_of(2) {
        return refuse(OFPBAC_BAD_SET_LEN);
    }
    let value = number(b.take(len)?);
    let mask = if header.masked { number(b.take(len)?) } else { u128::MAX };
    Ok((id, value, mask))
}

/// A match as read, and the cookie that stood among its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub matching: Match,
    /// Value and mask; only NXM's flow-mods and requests have one.
    pub cookie: Option<(u64, u64)>,
}

/// How strictly a match is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// What is unknown, or lacks its prerequisites, is refused.
    Strict,
    /// What is unknown is passed over: metadata of packets and statistics of a newer switch.
    Loose,
}

/// Reads entries to the end of `b`.
pub fn read_fields(mut b: Bytes, strict: Strictness, tlv: Option<&TlvTable>) -> Result<Fields> {
    let (mut flow, mut mask) = (Flow::default(), Mask::default());
    let mut cookie = None;
    while !b.is_empty() {
        // padding that was counted
        if b.len() < 8 && b.rest().iter().all(|n| *n == 0) {
            break;
        }
        let (mut entry, before) = (Bytes::or(b.rest(), OFPBMC_BAD_LEN), b.len());
        let header = OxmHeader::read(&mut entry)?;
        let body = Bytes::or(entry.take(header.len)?, OFPBMC_BAD_LEN);
        b.skip(before - entry.len())?;
        if header.is_cookie() {
            let mut body = body;
            cookie = Some((body.u64()?, if header.masked { body.u64()? } else { u64::MAX }));
            continue;
        }
        match header.id() {
            Some(id) => one(&mut flow, &mut mask, id.row(), header, body, strict, tlv)?,
            None if strict == Strictness::Loose => {}
            None => return refuse(OFPBMC_BAD_FIELD),
        }
    }
    Ok(Fields { matching: Match::new(&flow, &mask), cookie })
}

fn one(
    flow: &mut Flow,
    mask: &mut Mask,
    field: &Field,
    header: OxmHeader,
    mut body: Bytes,
    strict: Strictness,
    tlv: Option<&TlvTable>,
) -> Result<()> {
    if header.masked && !header.len.is_multiple_of(2) {
        return refuse(OFPBMC_BAD_LEN);
    }
    let len = if header.masked { header.len / 2 } else { header.len };
    let value = body.take(len)?;
    let bits = if header.masked { Some(body.take(len)?) } else { None };
    if let Some(bits) = bits
        && value.iter().zip(bits).any(|(v, m)| v & !m != 0)
    {
        let OxmHeader { class, field, masked, len, experimenter } = header;
        let len = len + if class == EXPERIMENTER { 4 } else { 0 };
        let entry = format!("{experimenter}:{class}:{field}:{}:{len}", u8::from(masked));
        let words = format!("Rejecting NXM/OXM entry {entry} with 1-bits in value for bits wildcarded by the mask.");
        return refuse_because(OFPBMC_BAD_WILDCARDS, "nx_match", words);
    }
    if field.kind == Kind::TunMetadata {
        return option(flow, mask, field, value, bits, tlv);
    }
    if len != usize::from(field.bytes) {
        return refuse(OFPBMC_BAD_LEN);
    }
    let ones = |n: usize| if n >= 16 { u128::MAX } else { (1 << (8 * n)) - 1 };
    let (value, bits) = (number(value), bits.map_or(ones(len), number));
    if bits == 0 {
        // a field of Ethernet asks for a packet that has it, even when any value will do
        if field.prereq == Prereq::Ethernet && mask.get(PACKET_TYPE) == 0 {
            FieldId::PacketType.row().set_match(flow, mask, 0, u128::MAX);
        }
        return Ok(());
    }
    if field.masking == Masking::Exact && bits != ones(len) {
        return refuse(OFPBMC_BAD_MASK);
    }
    if !field.is_valid(value) {
        return refuse(OFPBMC_BAD_VALUE);
    }
    if strict == Strictness::Strict {
        if !field.prereq.ok_match(flow, mask) {
            return refuse(OFPBMC_BAD_PREREQ);
        }
        if field.get_match(flow, mask).1 != 0 {
            return refuse(OFPBMC_DUP_FIELD);
        }
    }
    match field.set_match(flow, mask, value, bits) {
        true => Ok(()),
        false => refuse(OFPBMC_BAD_MASK),
    }
}

fn option(
    flow: &mut Flow,
    mask: &mut Mask,
    field: &Field,
    value: &[u8],
    bits: Option<&[u8]>,
    tlv: Option<&TlvTable>,
) -> Result<()> {
    let Some(map) = tlv.and_then(|t| t.of(field.id)) else {
        return refuse(OFPBMC_BAD_FIELD);
    };
    if value.len() != usize::from(map.len) {
        return refuse(OFPBMC_BAD_LEN);
    }
    let ones = [0xff; 124];
    let bits = bits.or(ones.get(..value.len())).unwrap_or(&[]);
    let (Some(value), Some(bits)) = (Wide::new(value), Wide::new(bits)) else {
        return refuse(OFPBMC_BAD_LEN);
    };
    map.set_match(flow, mask, &value, &bits);
    Ok(())
}

/// Fields in the order in which stock switches write them. A run of others ends the list: registers and tunnel options
/// are written where their first one stands.
#[rustfmt::skip]
const ORDER: &[FieldId] = {
    use FieldId::*;
    &[
        DpHash, RecircId, ConjId, PacketType, InPort, InPortOxm, ActsetOutput, EthSrc, EthDst, EthType, VlanTci,
        MplsTc, MplsBos, MplsTtl, MplsLabel,
        IpSrc, IpDst, Ipv6Src, Ipv6Dst, IpFrag, Ipv6Label, NwTos, IpDscp, NwEcn, NwTtl, NwProto,
        TcpSrc, TcpDst, TcpFlags, UdpSrc, UdpDst, SctpSrc, SctpDst, IcmpType, IcmpCode, Icmpv6Type, Icmpv6Code,
        NdTarget, NdReserved, NdOptionsType, NdSll, NdTll, ArpOp, ArpSpa, ArpTpa, ArpSha, ArpTha,
        NshFlags, NshTtl, NshMdtype, NshNp, NshSpi, NshSi, NshC1, NshC2, NshC3, NshC4,
        TunId, TunFlags, TunSrc, TunDst, TunIpv6Src, TunIpv6Dst, TunGbpId, TunGbpFlags, TunErspanVer, TunErspanIdx,
        TunErspanDir, TunErspanHwid, TunGtpuFlags, TunGtpuMsgtype, TunMetadata0, Reg0,
        PktMark, CtState, CtZone, CtMark, CtLabel, CtNwSrc, CtNwDst, CtIpv6Src, CtIpv6Dst, CtNwProto, CtTpSrc, CtTpDst,
        Metadata,
    ]
};

/// Writes the entries of a match; `version` of `None` is NXM.
pub fn write_fields(
    out: &mut Vec<u8>,
    matching: &Match,
    cookie: Option<(u64, u64)>,
    version: Option<Version>,
    tlv: Option<&TlvTable>,
) {
    let (flow, mask) = matching.expand();
    let mut w = FieldWriter { out, flow: &flow, mask: &mask, version, tlv };
    ORDER.iter().for_each(|id| w.field(*id));
    if let Some((value, bits)) = cookie.filter(|(_, bits)| *bits != 0) {
        let masked = bits != u64::MAX;
        out.u16(COOKIE.0);
        out.u8(COOKIE.1 << 1 | u8::from(masked));
        out.u8(if masked { 16 } else { 8 });
        out.u64(value & bits);
        if masked {
            out.u64(bits);
        }
    }
}

struct FieldWriter<'a> {
    out: &'a mut Vec<u8>,
    flow: &'a Flow,
    mask: &'a Mask,
    version: Option<Version>,
    tlv: Option<&'a TlvTable>,
}

impl FieldWriter<'_> {
    fn field(&mut self, id: FieldId) {
        use FieldId as F;
        let nxm = self.version.is_none();
        match id {
            F::VlanTci if !nxm => return self.vlan(),
            F::InPort | F::NwTos if !nxm => return,
            F::InPortOxm | F::IpDscp if nxm => return,
            F::Reg0 => return self.registers(),
            F::TunMetadata0 => return self.options(),
            _ => {}
        }
        self.plain(id);
    }

    fn plain(&mut self, id: FieldId) {
        let row = id.row();
        let (value, bits) = row.get_match(self.flow, self.mask);
        if bits != 0 && row.prereq.ok_match(self.flow, self.mask) {
            self.value(id, value, bits);
        }
    }

    fn value(&mut self, id: FieldId, value: u128, bits: u128) {
        write_value(self.out, id, value & bits, bits, self.version, self.tlv);
    }

    fn vlan(&mut self) {
        let (tci, bits) = (self.flow.get(VLAN_TCI), self.mask.get(VLAN_TCI));
        let tagged = tci & bits & u128::from(VLAN_PRESENT) != 0;
        if bits & 0x1fff != 0 {
            self.value(FieldId::VlanVid, tci & 0x1fff, bits & 0x1fff);
        }
        if tagged && bits & 0xe000 != 0 {
            self.value(FieldId::VlanPcp, tci >> 13, 7);
        }
    }

    /// In pairs where the version has them (OXM_OF_PKT_REG, OpenFlow 1.5).
    fn registers(&mut self) {
        let wide = self.version == Some(Version::Of15);
        for n in 0..16 {
            let pair = FieldId::xreg(n).filter(|_| wide && n < 8);
            let halves = [FieldId::reg(2 * n), FieldId::reg(2 * n + 1)];
            match pair {
                Some(pair) => self.plain(pair),
                None => halves.into_iter().flatten().filter(|r| !r.row().oxm.is_empty()).for_each(|r| self.plain(r)),
            }
        }
    }

    fn options(&mut self) {
        let Some(table) = self.tlv else { return };
        let present = self.flow.get64(flow::layout::TUN_METADATA_MAP) & self.mask.get64(flow::layout::TUN_METADATA_MAP);
        let mut maps: Vec<_> = table.iter().filter(|m| present >> m.index & 1 != 0).collect();
        maps.sort_by_key(|m| m.index);
        for map in maps {
            let Some(id) = FieldId::tun_metadata(map.index.into()) else { continue };
            let (value, bits) = (map.get(self.flow), map.get_mask(self.mask));
            let masked = bits.bytes().iter().any(|b| *b != 0xff);
            write_header(self.out, id.row(), self.version, masked, map.len.into());
            self.out.bytes(value.bytes());
            if masked {
                self.out.bytes(bits.bytes());
            }
        }
    }
}

/// The types of a match since OpenFlow 1.1.
const MATCH_STANDARD: u16 = 0;
const MATCH_OXM: u16 = 1;

/// Reads a match since OpenFlow 1.1 with its header and padding.
pub fn read_match(b: &mut Bytes, strict: Strictness, tlv: Option<&TlvTable>) -> Result<Fields> {
    let mut head = *b;
    match head.u16()? {
        MATCH_STANDARD => {
            let matching = super::match11::read(b)?;
            Ok(Fields { matching, cookie: None })
        }
        MATCH_OXM => {
            let len = usize::from(head.u16()?);
            let Some(body) = len.checked_sub(4) else { return refuse(OFPBMC_BAD_LEN) };
            if len.next_multiple_of(8) > b.len() {
                return refuse(OFPBMC_BAD_LEN);
            }
            let fields = Bytes::or(head.take(body)?, OFPBMC_BAD_LEN);
            b.skip(len.next_multiple_of(8))?;
            read_fields(fields, strict, tlv)
        }
        _ => refuse(OFPBMC_BAD_TYPE),
    }
}

/// Writes a match as `version` (1.1 or later) has it, padded.
pub fn write_match(out: &mut Vec<u8>, matching: &Match, version: Version, tlv: Option<&TlvTable>) {
    if version == Version::Of11 {
        return super::match11::write(out, matching);
    }
    write_oxm_match(out, matching, version, tlv);
}

/// As [`write_match`], in OpenFlow 1.1 by fields as well: its own form of a match has no place for all of what flows match,
/// and OVS tells them so.
pub fn write_oxm_match(out: &mut Vec<u8>, matching: &Match, version: Version, tlv: Option<&TlvTable>) {
    let start = out.len();
    out.u16(MATCH_OXM);
    out.u16(0);
    write_fields(out, matching, None, Some(version), tlv);
    set_len(out, start + 2, start);
    pad(out, start, 8);
}
