//! Multiparts about the switch, flows and tables (OpenFlow 1.0.0, section 5.3.5; OpenFlow 1.3, section 7.3.5).
#![deny(clippy::indexing_slicing)]

use super::action::{Cx, port32, to_port16};
use super::bytes::{Bytes, Put, pad, set_len};
use super::codes::*;
use super::error::{Result, refuse};
use super::flow::{flags, read_duration, read_flags, read_nx_match, table, write_duration};
use super::oxm::{self, Strictness};
use super::version::Version;
use super::{instruction, match10, oxs};
use crate::action::Action;
use crate::flow_mod::FlowFlags;
use crate::types::{Cookie, GroupId, OfPort, TableId};
use flow::Match;
use flow::fields::value::port_to_11;
use std::time::Duration;

/// What a switch says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desc {
    pub manufacturer: String,
    pub hardware: String,
    pub software: String,
    pub serial: String,
    pub datapath: String,
}

const TEXT: usize = 256;
const SERIAL: usize = 32;

pub fn read_desc(b: &mut Bytes) -> Result<Desc> {
    Ok(Desc {
        manufacturer: b.text(TEXT)?,
        hardware: b.text(TEXT)?,
        software: b.text(TEXT)?,
        serial: b.text(SERIAL)?,
        datapath: b.text(TEXT)?,
    })
}

pub fn write_desc(out: &mut Vec<u8>, d: &Desc) {
    for (text, n) in
        [(&d.manufacturer, TEXT), (&d.hardware, TEXT), (&d.software, TEXT), (&d.serial, SERIAL), (&d.datapath, TEXT)]
    {
        out.text(text, n);
    }
}

/// Which flows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowRequest {
    pub matching: Match,
    /// `None`: all.
    pub table: Option<TableId>,
    pub out_port: Option<OfPort>,
    pub out_group: Option<GroupId>,
    pub cookie: Cookie,
    pub cookie_mask: u64,
}

pub fn read_request(b: &mut Bytes, nx: bool, cx: Cx) -> Result<FlowRequest> {
    let mut r = FlowRequest::default();
    let wanted = |p: OfPort| (p != OfPort::NONE).then_some(p);
    if nx {
        r.out_port = wanted(OfPort(port_to_11(b.u16()?)));
        let len = b.u16()?;
        r.table = table(b.u8()?);
        b.skip(3)?;
        let fields = read_nx_match(b, len.into(), cx)?;
        if let Some((value, mask)) = fields.cookie {
            (r.cookie, r.cookie_mask) = (Cookie(value), mask);
        }
        r.matching = fields.matching;
    } else if cx.version == Version::Of10 {
        r.matching = match10::read(b)?;
        r.table = table(b.u8()?);
        b.skip(1)?;
        r.out_port = wanted(OfPort(port_to_11(b.u16()?)));
    } else {
        r.table = table(b.u8()?);
        b.skip(3)?;
        r.out_port = wanted(port32(b)?);
        r.out_group = Some(GroupId(b.u32()?)).filter(|g| *g != GroupId::ANY);
        b.skip(4)?;
        (r.cookie, r.cookie_mask) = (Cookie(b.u64()?), b.u64()?);
        r.matching = oxm::read_match(b, Strictness::Strict, cx.tlv)?.matching;
        // which counters are wanted; all are told
        if cx.version >= Version::Of15 && !b.is_empty() {
            oxs::read(b)?;
        }
    }
    Ok(r)
}

pub fn write_request(out: &mut Vec<u8>, r: &FlowRequest, nx: bool, cx: Cx) {
    let (port, table) = (r.out_port.unwrap_or(OfPort::NONE), r.table.map_or(TableId::ALL, |t| t.0));
    if nx {
        let mut fields = Vec::new();
        oxm::write_fields(&mut fields, &r.matching, Some((r.cookie.0, r.cookie_mask)), None, cx.tlv);
        out.u16(to_port16(port));
        out.u16(fields.len() as u16);
        out.u8(table);
        out.zeros(3);
        out.bytes(&fields);
        pad(out, out.len() - fields.len(), 8);
    } else if cx.version == Version::Of10 {
        match10::write(out, &r.matching);
        out.u8(table);
        out.u8(0);
        out.u16(to_port16(port));
    } else {
        out.u8(table);
        out.zeros(3);
        out.u32(port.0);
        out.u32(r.out_group.unwrap_or(GroupId::ANY).0);
        out.zeros(4);
        out.u64(r.cookie.0);
        out.u64(r.cookie_mask);
        oxm::write_match(out, &r.matching, cx.version, cx.tlv);
    }
}

/// Must a request be Nicira's in OpenFlow 1.0?
pub fn needs_nx(r: &FlowRequest) -> bool {
    r.cookie_mask != 0 || !match10::fits(&r.matching)
}

/// A flow and its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowEntry {
    pub table: TableId,
    pub duration: Duration,
    pub priority: u16,
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    /// Whole seconds; Nicira's statistics alone.
    pub idle_age: Option<u16>,
    pub hard_age: Option<u16>,
    /// OpenFlow 1.3 and later.
    pub flags: FlowFlags,
    /// OpenFlow 1.4 and later.
    pub importance: u16,
    pub cookie: Cookie,
    /// All ones is "not known".
    pub packets: u64,
    pub bytes: u64,
    pub matching: Match,
    pub actions: Vec<Action>,
}

/// Reads one flow of OpenFlow 1.5.
fn read_entry15(mut b: Bytes, cx: Cx) -> Result<FlowEntry> {
    b.skip(4)?;
    let mut e = FlowEntry { table: TableId(b.u8()?), ..FlowEntry::default() };
    b.skip(1)?;
    (e.priority, e.idle_timeout, e.hard_timeout) = (b.u16()?, b.u16()?, b.u16()?);
    (e.flags, e.importance) = (read_flags(b.u16()?, cx.version)?, b.u16()?);
    e.cookie = Cookie(b.u64()?);
    e.matching = oxm::read_match(&mut b, Strictness::Strict, cx.tlv)?.matching;
    let counters = oxs::read(&mut b)?;
    e.duration = counters.duration.unwrap_or_default();
    e.idle_age = counters.idle.map(|d| u16::try_from(d.as_secs()).unwrap_or(u16::MAX));
    (e.packets, e.bytes) = (counters.packets.unwrap_or(u64::MAX), counters.bytes.unwrap_or(u64::MAX));
    e.actions = instruction::read(b.all(), cx)?;
    Ok(e)
}

fn write_entry15(out: &mut Vec<u8>, e: &FlowEntry, cx: Cx) {
    let start = out.len();
    out.u32(0);
    out.u8(e.table.0);
    out.u8(0);
    out.u16(e.priority);
    out.u16(e.idle_timeout);
    out.u16(e.hard_timeout);
    out.u16(flags(e.flags, cx.version));
    out.u16(e.importance);
    out.u64(e.cookie.0);
    oxm::write_match(out, &e.matching, cx.version, cx.tlv);
    let known = |n: u64| (n != u64::MAX).then_some(n);
    let counters = oxs::Counters {
        duration: Some(e.duration),
        idle: e.idle_age.map(|s| Duration::from_secs(s.into())),
        flows: None,
        packets: known(e.packets),
        bytes: known(e.bytes),
    };
    oxs::write(out, &counters);
    instruction::write(out, &e.actions, &e.matching, cx);
    set_len(out, start, start);
}

/// Reads one flow.
pub fn read_entry(b: &mut Bytes, nx: bool, cx: Cx) -> Result<FlowEntry> {
    let mut head = *b;
    let mut b = b.sub(usize::from(head.u16()?))?;
    if cx.version >= Version::Of15 {
        return read_entry15(b, cx);
    }
    b.skip(2)?;
    let mut e = FlowEntry { table: TableId(b.u8()?), ..FlowEntry::default() };
    b.skip(1)?;
    let of10 = cx.version == Version::Of10;
    let exact = of10 && !nx && match10::is_exact(b);
    if of10 && !nx {
        e.matching = match10::read_all(&mut b)?;
    }
    e.duration = read_duration(&mut b)?;
    (e.priority, e.idle_timeout, e.hard_timeout) = (b.u16()?, b.u16()?, b.u16()?);
    // lengths and ages in Nicira's form, flags and importance in later versions
    if exact {
        e.priority = u16::MAX;
    }
    let (first, second, third) = (b.u16()?, b.u16()?, b.u16()?);
    if nx {
        // one more than the age, 0 being "not known"
        (e.idle_age, e.hard_age) = (second.checked_sub(1), third.checked_sub(1));
    } else if cx.version >= Version::Of13 {
        e.flags = read_flags(first, cx.version)?;
        e.importance = if cx.version >= Version::Of14 { second } else { 0 };
    }
    (e.cookie, e.packets, e.bytes) = (Cookie(b.u64()?), b.u64()?, b.u64()?);
    if nx {
        e.matching = read_nx_match(&mut b, first.into(), cx)?.matching;
    } else if !of10 {
        e.matching = oxm::read_match(&mut b, Strictness::Strict, cx.tlv)?.matching;
    }
    e.actions = instruction::read(b.all(), cx)?;
    Ok(e)
}

/// Writes one flow.
pub fn write_entry(out: &mut Vec<u8>, e: &FlowEntry, nx: bool, cx: Cx) {
    if cx.version >= Version::Of15 {
        return write_entry15(out, e, cx);
    }
    let (start, of10) = (out.len(), cx.version == Version::Of10);
    out.u16(0);
    out.u8(e.table.0);
    out.u8(0);
    let mut fields = Vec::new();
    if nx {
        oxm::write_fields(&mut fields, &e.matching, None, None, cx.tlv);
    } else if of10 {
        match10::write(out, &e.matching);
    }
    write_duration(out, e.duration);
    out.u16(e.priority);
    out.u16(e.idle_timeout);
    out.u16(e.hard_timeout);
    let age = |a: Option<u16>| a.map_or(0, |a| a.saturating_add(1));
    let words = match (nx, cx.version) {
        (true, _) => [fields.len() as u16, age(e.idle_age), age(e.hard_age)],
        (_, v) if v >= Version::Of14 => [flags(e.flags, v), e.importance, 0],
        (_, v) if v >= Version::Of13 => [flags(e.flags, v), 0, 0],
        _ => [0; 3],
    };
    words.iter().for_each(|w| out.u16(*w));
    out.u64(e.cookie.0);
    out.u64(e.packets);
    out.u64(e.bytes);
    if nx {
        out.bytes(&fields);
        pad(out, out.len() - fields.len(), 8);
    } else if !of10 {
        oxm::write_oxm_match(out, &e.matching, cx.version, cx.tlv);
    }
    instruction::write(out, &e.actions, &e.matching, cx);
    set_len(out, start, start);
}

/// Counters of many flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    pub packets: u64,
    pub bytes: u64,
    pub flows: u32,
}

pub fn read_aggregate(b: &mut Bytes, version: Version) -> Result<Aggregate> {
    if version >= Version::Of15 {
        let c = oxs::read(b)?;
        return Ok(Aggregate {
            packets: c.packets.unwrap_or_default(),
            bytes: c.bytes.unwrap_or_default(),
            flows: c.flows.unwrap_or_default(),
        });
    }
    let a = Aggregate { packets: b.u64()?, bytes: b.u64()?, flows: b.u32()? };
    b.skip(4).map(|()| a)
}

pub fn write_aggregate(out: &mut Vec<u8>, a: Aggregate, version: Version) {
    if version >= Version::Of15 {
        let (flows, packets, bytes) = (Some(a.flows), Some(a.packets), Some(a.bytes));
        return oxs::write(out, &oxs::Counters { flows, packets, bytes, ..oxs::Counters::default() });
    }
    out.u64(a.packets);
    out.u64(a.bytes);
    out.u32(a.flows);
    out.u32(0);
}

/// Counters of a table; what else there is of it in older versions comes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    pub table: TableId,
    pub active: u32,
    pub lookups: u64,
    pub matched: u64,
    /// Before OpenFlow 1.3.
    pub name: String,
    pub max_entries: u32,
    /// What the table can do, in the version's own words: the bytes between name and `max_entries`.
    pub features: Vec<u8>,
}

const TABLE_NAME: usize = 32;

/// Bytes of a table's features in each version that has them.
fn features_len(version: Version) -> usize {
    match version {
        Version::Of10 => 4,
        Version::Of11 => 24,
        Version::Of12 => 64,
        _ => 0,
    }
}

pub fn read_table(b: &mut Bytes, version: Version) -> Result<TableStats> {
    let mut t = TableStats { table: TableId(b.u8()?), ..TableStats::default() };
    if version >= Version::Of13 {
        b.skip(3)?;
        t.active = b.u32()?;
    } else {
        b.skip(if version == Version::Of10 { 3 } else { 7 })?;
        t.name = b.text(TABLE_NAME)?;
        t.features = b.take(features_len(version))?.to_vec();
        (t.max_entries, t.active) = (b.u32()?, b.u32()?);
    }
    (t.lookups, t.matched) = (b.u64()?, b.u64()?);
    Ok(t)
}

pub fn write_table(out: &mut Vec<u8>, t: &TableStats, version: Version) {
    out.u8(t.table.0);
    if version >= Version::Of13 {
        out.zeros(3);
        out.u32(t.active);
    } else {
        out.zeros(if version == Version::Of10 { 3 } else { 7 });
        out.text(&t.name, TABLE_NAME);
        let n = features_len(version);
        let known = t.features.get(..n.min(t.features.len())).unwrap_or(&[]);
        out.bytes(known);
        out.zeros(n - known.len());
        out.u32(t.max_entries);
        out.u32(t.active);
    }
    out.u64(t.lookups);
    out.u64(t.matched);
}

/// Reads elements to the end.
pub fn list<'a, T>(b: &mut Bytes<'a>, mut one: impl FnMut(&mut Bytes<'a>) -> Result<T>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while !b.is_empty() {
        let before = b.len();
        all.push(one(b)?);
        if b.len() == before {
            return refuse(OFPBRC_BAD_LEN);
        }
    }
    Ok(all)
}
