//! Packets to and from controllers: packet-in in all forms, packet-out, resume (OpenFlow 1.0.0, sections 5.3.6 and
//! 5.4.1; OpenFlow 1.3, sections 7.3.7 and 7.4.1; ovs-ofctl(8), "nxt-packet-in").
#![deny(clippy::indexing_slicing)]

use super::action::{Cx, Place, port32, read_list, reason, reason_number, to_port16, write_list};
use super::bytes::{Bytes, Put, pad, set_len, set_u16};
use super::codes::*;
use super::error::{Error, Result, refuse};
use super::flow::NO_BUFFER;
use super::oxm::{self, Strictness};
use super::version::Version;
use crate::action::{Action, PacketInReason};
use crate::types::{Cookie, OfPort, TableId};
use flow::fields::value::port_to_11;
use flow::layout::IN_PORT;
use flow::{FieldId, Match};

/// Which message a packet-in is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PacketInFormat {
    /// The version's own.
    #[default]
    Standard,
    Nxt,
    Nxt2,
}

/// A packet for a controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketIn {
    pub format: PacketInFormat,
    /// As much of the packet as the controller gets.
    pub packet: Vec<u8>,
    /// Bytes of the whole packet.
    pub total_len: u32,
    pub buffer: Option<u32>,
    pub reason: PacketInReason,
    pub table: Option<TableId>,
    pub cookie: Option<Cookie>,
    /// The port that it came in by and its metadata.
    pub metadata: Match,
    pub userdata: Vec<u8>,
    /// What the switch needs to go on; a controller gives it back as it is. Of [`PacketInFormat::Nxt2`] alone.
    pub continuation: Option<Vec<u8>>,
}

impl PacketIn {
    /// The port that it came in by.
    pub fn in_port(&self) -> Option<OfPort> {
        let (value, mask) = self.metadata.get(IN_PORT);
        (mask != 0).then(|| OfPort(port_to_11(value as u16)))
    }
}

/// Metadata that is a port alone.
pub fn port_metadata(port: OfPort) -> Match {
    let (mut flow, mut mask) = (flow::Flow::default(), flow::Mask::default());
    let row = FieldId::InPortOxm.row();
    row.set_match(&mut flow, &mut mask, port.0.into(), row.full_mask());
    Match::new(&flow, &mask)
}

fn buffer(n: u32) -> Option<u32> {
    (n != NO_BUFFER).then_some(n)
}

/// What `version` has no number for is "action".
fn reason_in(r: PacketInReason, version: Version) -> u8 {
    match r {
        PacketInReason::ActionSet | PacketInReason::Group | PacketInReason::PacketOut if version < Version::Of14 => {
            reason_number(PacketInReason::Action)
        }
        r => reason_number(r),
    }
}

pub fn read_in(b: &mut Bytes, cx: Cx) -> Result<PacketIn> {
    let id = buffer(b.u32()?);
    let mut p = PacketIn { buffer: id, ..PacketIn::default() };
    match cx.version {
        Version::Of10 => {
            p.total_len = b.u16()?.into();
            p.metadata = port_metadata(OfPort(port_to_11(b.u16()?)));
            p.reason = reason(b.u8()?)?;
            b.skip(1)?;
        }
        Version::Of11 => {
            p.metadata = port_metadata(port32(b)?);
            b.skip(4)?;
            p.total_len = b.u16()?.into();
            p.reason = reason(b.u8()?)?;
            p.table = Some(TableId(b.u8()?));
        }
        v => {
            p.total_len = b.u16()?.into();
            p.reason = reason(b.u8()?)?;
            p.table = Some(TableId(b.u8()?));
            if v >= Version::Of13 {
                p.cookie = Some(Cookie(b.u64()?));
            }
            p.metadata = oxm::read_match(b, Strictness::Loose, cx.tlv)?.matching;
            b.skip(2)?;
        }
    }
    p.packet = b.take(b.len())?.to_vec();
    Ok(p)
}

/// Reads Nicira's older form.
pub fn read_nxt(b: &mut Bytes, cx: Cx) -> Result<PacketIn> {
    let id = buffer(b.u32()?);
    let (total_len, why, table, cookie) = (b.u16()?, reason(b.u8()?)?, b.u8()?, b.u64()?);
    let len = usize::from(b.u16()?);
    b.skip(6)?;
    let fields = Bytes::or(b.take(len)?, OFPBMC_BAD_LEN);
    b.skip(len.next_multiple_of(8) - len + 2)?;
    Ok(PacketIn {
        format: PacketInFormat::Nxt,
        packet: b.take(b.len())?.to_vec(),
        total_len: total_len.into(),
        buffer: id,
        reason: why,
        table: Some(TableId(table)),
        cookie: Some(Cookie(cookie)),
        metadata: oxm::read_fields(fields, Strictness::Loose, cx.tlv)?.matching,
        ..PacketIn::default()
    })
}

const PACKET: u16 = 0;
const FULL_LEN: u16 = 1;
const BUFFER_ID: u16 = 2;
const TABLE_ID: u16 = 3;
const COOKIE: u16 = 4;
const REASON: u16 = 5;
const METADATA: u16 = 6;
const USERDATA: u16 = 7;
const CONTINUATION: u16 = 8;

/// Reads Nicira's newer form, which a controller's resume has too.
pub fn read_nxt2(b: &mut Bytes, cx: Cx) -> Result<PacketIn> {
    // what is not said is the number 0
    let mut p = PacketIn { format: PacketInFormat::Nxt2, reason: PacketInReason::NoMatch, ..PacketIn::default() };
    let (mut packet, mut total) = (None, None);
    while !b.is_empty() {
        let mut body = Bytes::or(b.rest(), OFPBPC_BAD_LEN);
        let (kind, mut v) = body.tlv(8)?;
        b.skip(b.len() - body.len())?;
        match kind {
            PACKET => packet = Some(v.take(v.len())?.to_vec()),
            FULL_LEN => total = Some(v.u32()?),
            BUFFER_ID => p.buffer = buffer(v.u32()?),
            TABLE_ID => p.table = Some(TableId(v.u8()?)),
            COOKIE => {
                v.skip(4)?;
                p.cookie = Some(Cookie(v.u64()?));
            }
            REASON => p.reason = reason(v.u8()?)?,
            METADATA => {
                let fields = Bytes::or(v.take(v.len())?, OFPBMC_BAD_LEN);
                p.metadata = oxm::read_fields(fields, Strictness::Loose, cx.tlv)?.matching;
            }
            USERDATA => p.userdata = v.take(v.len())?.to_vec(),
            CONTINUATION => p.continuation = Some(v.take(v.len())?.to_vec()),
            // properties below 0x8000 may be passed over
            other if other & 0x8000 == 0 => {}
            _ => return refuse(OFPBPC_BAD_TYPE),
        }
    }
    p.packet = packet.ok_or(Error::new(OFPBRC_BAD_LEN))?;
    let len = u32::try_from(p.packet.len()).unwrap_or(u32::MAX);
    p.total_len = total.unwrap_or(len);
    if p.total_len < len {
        return refuse(OFPBRC_BAD_LEN);
    }
    Ok(p)
}

fn property(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    set_len(out, start + 2, start);
    pad(out, start, 8);
}

pub fn write_in(out: &mut Vec<u8>, p: &PacketIn, cx: Cx) {
    let table = p.table.map_or(0, |t| t.0);
    let port = p.in_port().unwrap_or(OfPort::NONE);
    let total = u16::try_from(p.total_len).unwrap_or(u16::MAX);
    match p.format {
        PacketInFormat::Nxt2 => return write_nxt2(out, p, cx),
        PacketInFormat::Nxt => {
            out.u32(p.buffer.unwrap_or(NO_BUFFER));
            out.u16(total);
            out.u8(reason_in(p.reason, cx.version));
            out.u8(table);
            out.u64(p.cookie.unwrap_or_default().0);
            let mut fields = Vec::new();
            oxm::write_fields(&mut fields, &p.metadata, None, None, cx.tlv);
            out.u16(fields.len() as u16);
            out.zeros(6);
            out.bytes(&fields);
            pad(out, out.len() - fields.len(), 8);
            out.zeros(2);
        }
        PacketInFormat::Standard => {
            out.u32(p.buffer.unwrap_or(NO_BUFFER));
            let why = reason_in(p.reason, cx.version);
            match cx.version {
                Version::Of10 => {
                    out.u16(total);
                    out.u16(to_port16(port));
                    out.u8(why);
                    out.u8(0);
                }
                Version::Of11 => {
                    out.u32(port.0);
                    out.u32(port.0);
                    out.u16(total);
                    out.u8(why);
                    out.u8(table);
                }
                v => {
                    out.u16(total);
                    out.u8(why);
                    out.u8(table);
                    if v >= Version::Of13 {
                        out.u64(p.cookie.map_or(u64::MAX, |c| c.0));
                    }
                    oxm::write_match(out, &p.metadata, v, cx.tlv);
                    out.zeros(2);
                }
            }
        }
    }
    out.bytes(&p.packet);
}

pub fn write_nxt2(out: &mut Vec<u8>, p: &PacketIn, cx: Cx) {
    property(out, PACKET, |o| o.bytes(&p.packet));
    if p.total_len as usize != p.packet.len() {
        property(out, FULL_LEN, |o| o.u32(p.total_len));
    }
    if let Some(id) = p.buffer {
        property(out, BUFFER_ID, |o| o.u32(id));
    }
    if let Some(t) = p.table {
        property(out, TABLE_ID, |o| o.u8(t.0));
    }
    if let Some(c) = p.cookie {
        property(out, COOKIE, |o| {
            o.zeros(4);
            o.u64(c.0);
        });
    }
    property(out, REASON, |o| o.u8(reason_in(p.reason, cx.version)));
    property(out, METADATA, |o| oxm::write_fields(o, &p.metadata, None, Some(Version::Of15), cx.tlv));
    if !p.userdata.is_empty() {
        property(out, USERDATA, |o| o.bytes(&p.userdata));
    }
    if let Some(c) = &p.continuation {
        property(out, CONTINUATION, |o| o.bytes(c));
    }
}

/// A packet that a controller sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketOut {
    pub packet: Vec<u8>,
    pub buffer: Option<u32>,
    /// Where it is to have come from: `in_port`, and from OpenFlow 1.5 on other metadata.
    pub metadata: Match,
    pub actions: Vec<Action>,
}

impl PacketOut {
    pub fn in_port(&self) -> OfPort {
        let (value, mask) = self.metadata.get(IN_PORT);
        if mask == 0 { OfPort::NONE } else { OfPort(port_to_11(value as u16)) }
    }
}

/// Ports that a packet-out may have come from.
fn source(port: OfPort) -> Result<OfPort> {
    let special = matches!(port, OfPort::LOCAL | OfPort::NONE | OfPort::CONTROLLER);
    if port < OfPort::MAX || special {
        return Ok(port);
    }
    let words = format!("packet-out has bad input port {:#x}", to_port16(port));
    super::error::refuse_because(OFPBRC_BAD_PORT, "ofp_packet", words)
}

/// How the names of fields begin that are no part of a packet, and come with it.
const PIPELINE: [&str; 12] = [
    "tun_",
    "metadata",
    "in_port",
    "ct_",
    "reg",
    "xreg",
    "xxreg",
    "actset_output",
    "packet_type",
    "dp_hash",
    "recirc_id",
    "skb_priority",
];

/// May a controller say the field of this name of a packet that it sends?
pub(crate) fn is_pipeline(name: &str) -> bool {
    PIPELINE.iter().any(|prefix| name.starts_with(prefix))
}

pub fn read_out(b: &mut Bytes, cx: Cx) -> Result<PacketOut> {
    let id = buffer(b.u32()?);
    let (metadata, len) = match cx.version {
        Version::Of10 => (port_metadata(source(OfPort(port_to_11(b.u16()?)))?), b.u16()?),
        Version::Of15 => {
            let len = b.u16()?;
            b.skip(2)?;
            // what is not of the pipeline is refused for that, whatever else it lacks
            let all = oxm::read_match(&mut b.clone(), Strictness::Loose, cx.tlv)?.matching.expand();
            if (0..)
                .map_while(FieldId::from_index)
                .any(|id| !is_pipeline(id.row().name) && id.row().get_match(&all.0, &all.1).1 != 0)
            {
                return refuse(OFPBRC_PIPELINE_FIELDS_ONLY);
            }
            let metadata = oxm::read_match(b, Strictness::Strict, cx.tlv)?.matching;
            if metadata.get(IN_PORT).1 == 0 {
                return refuse(OFPBRC_BAD_PORT);
            }
            (metadata, len)
        }
        _ => {
            let (port, len) = (source(port32(b)?)?, b.u16()?);
            b.skip(6)?;
            (port_metadata(port), len)
        }
    };
    let actions = read_list(Bytes::or(b.take(len.into())?, OFPBAC_BAD_LEN), Place::Plain, cx)?;
    Ok(PacketOut { packet: b.take(b.len())?.to_vec(), buffer: id, metadata, actions })
}

pub fn write_out(out: &mut Vec<u8>, p: &PacketOut, cx: Cx) {
    out.u32(p.buffer.unwrap_or(NO_BUFFER));
    let at = match cx.version {
        Version::Of10 => {
            out.u16(to_port16(p.in_port()));
            out.u16(0);
            out.len() - 2
        }
        Version::Of15 => {
            out.u32(0);
            let at = out.len() - 4;
            oxm::write_match(out, &p.metadata, cx.version, cx.tlv);
            at
        }
        _ => {
            out.u32(p.in_port().0);
            out.zeros(8);
            out.len() - 8
        }
    };
    let start = out.len();
    write_list(out, &p.actions, &p.metadata, cx);
    let len = (out.len() - start) as u16;
    set_u16(out, at, len);
    out.bytes(&p.packet);
}
