//! Changes of flows and what becomes of them: flow-mods in all forms, flow-removed (OpenFlow 1.0.0, sections 5.3.3 and
//! 5.4.3; OpenFlow 1.3, sections 7.3.4.1 and 7.4.2).
#![deny(clippy::indexing_slicing)]

use super::action::{Cx, port32, to_port16};
use super::bytes::{Bytes, Put, pad};
use super::codes::*;
use super::error::{Error, Result, refuse};
use super::oxm::{self, Strictness};
use super::version::Version;
use super::{instruction, match10, oxs};
use crate::flow_mod::{Command, FlowFlags, FlowMod};
use crate::types::{Cookie, GroupId, OfPort, TableId};
use flow::Match;
use flow::fields::value::port_to_11;
use std::time::Duration;

/// A flow-mod and what a request says beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowModRequest {
    pub flow: FlowMod,
    /// A packet that the switch holds and is to send through the flow.
    pub buffer: Option<u32>,
    /// As it was said; of a deletion it is [`FlowMod::out_port`] too, and other commands do not heed it.
    pub out_port: Option<OfPort>,
    /// Command byte and table were one number: whether the upper byte is a table, the connection's
    /// `NXT_FLOW_MOD_TABLE_ID` says. Of OpenFlow 1.0 and Nicira's flow-mods only.
    pub table_in_command: bool,
}

/// No packet is held.
pub const NO_BUFFER: u32 = u32::MAX;

const COMMANDS: [Command; 5] =
    [Command::Add, Command::Modify, Command::ModifyStrict, Command::Delete, Command::DeleteStrict];

const SEND_FLOW_REM: u16 = 1;
const CHECK_OVERLAP: u16 = 2;
/// OpenFlow 1.2 and later; in OpenFlow 1.0 an emergency flow.
const RESET_COUNTS: u16 = 4;
const NO_PACKET_COUNTS: u16 = 8;
const NO_BYTE_COUNTS: u16 = 16;

/// Flags as a flow-mod or a flow's statistics have them.
pub fn read_flags(raw: u16, version: Version) -> Result<FlowFlags> {
    let known = match version {
        Version::Of10 | Version::Of11 => SEND_FLOW_REM | CHECK_OVERLAP,
        Version::Of12 => SEND_FLOW_REM | CHECK_OVERLAP | RESET_COUNTS,
        _ => SEND_FLOW_REM | CHECK_OVERLAP | RESET_COUNTS | NO_PACKET_COUNTS | NO_BYTE_COUNTS,
    };
    if version == Version::Of10 && raw & RESET_COUNTS != 0 {
        // there are no emergency flows
        return refuse(OFPFMFC_TABLE_FULL);
    }
    if raw & !known != 0 {
        return refuse(OFPFMFC_BAD_FLAGS);
    }
    Ok(FlowFlags {
        send_flow_rem: raw & SEND_FLOW_REM != 0,
        check_overlap: raw & CHECK_OVERLAP != 0,
        reset_counts: raw & RESET_COUNTS != 0,
        no_packet_counts: raw & NO_PACKET_COUNTS != 0,
        no_byte_counts: raw & NO_BYTE_COUNTS != 0,
    })
}

/// The flags that `version` has.
pub fn flags(f: FlowFlags, version: Version) -> u16 {
    let bit = |on: bool, bit: u16, since: Version| if on && version >= since { bit } else { 0 };
    bit(f.send_flow_rem, SEND_FLOW_REM, Version::Of10)
        | bit(f.check_overlap, CHECK_OVERLAP, Version::Of10)
        | bit(f.reset_counts, RESET_COUNTS, Version::Of12)
        | bit(f.no_packet_counts, NO_PACKET_COUNTS, Version::Of13)
        | bit(f.no_byte_counts, NO_BYTE_COUNTS, Version::Of13)
}

fn command(n: u8) -> Result<Command> {
    COMMANDS.get(usize::from(n)).copied().ok_or(Error::new(OFPFMFC_BAD_COMMAND))
}

fn number(command: Command) -> u8 {
    COMMANDS.iter().position(|c| *c == command).unwrap_or(0) as u8
}

pub fn table(n: u8) -> Option<TableId> {
    (n != TableId::ALL).then_some(TableId(n))
}

fn wanted_port(port: OfPort) -> Option<OfPort> {
    (port != OfPort::NONE).then_some(port)
}

/// Reads OpenFlow 1.0's flow-mod, with the upper byte of its command as the table when `table_id` says so.
fn read10(b: &mut Bytes, table_id: bool, cx: Cx) -> Result<FlowModRequest> {
    let exact = match10::is_exact(*b);
    let matching = match10::read(b)?;
    let (cookie, word) = (Cookie(b.u64()?), b.u16()?);
    let (table, command) = command_word(word, table_id)?;
    let (idle_timeout, hard_timeout, priority, buffer) = (b.u16()?, b.u16()?, b.u16()?, b.u32()?);
    let (out_port, raw) = (OfPort(port_to_11(b.u16()?)), b.u16()?);
    let mut flow = FlowMod {
        command,
        table,
        priority: if exact { u16::MAX } else { priority },
        new_cookie: Some(cookie),
        idle_timeout,
        hard_timeout,
        flags: read_flags(raw, Version::Of10)?,
        matching,
        ..FlowMod::default()
    };
    if flow.deletes() {
        (flow.out_port, flow.new_cookie) = (wanted_port(out_port), None);
    }
    finish(flow, buffer, wanted_port(out_port), b, cx, table_id)
}

/// Table and command in 16 bits.
fn command_word(word: u16, table_id: bool) -> Result<(Option<TableId>, Command)> {
    let [high, low] = word.to_be_bytes();
    match (table_id, high) {
        (true, t) => Ok((table(t), command(low)?)),
        (false, 0) => Ok((None, command(low)?)),
        (false, _) => refuse(OFPFMFC_BAD_COMMAND),
    }
}

/// What all forms end with: actions, and what follows from the rest.
fn finish(
    mut flow: FlowMod,
    buffer: u32,
    out_port: Option<OfPort>,
    b: &mut Bytes,
    cx: Cx,
    table_in_command: bool,
) -> Result<FlowModRequest> {
    // an addition always resets counters before OpenFlow 1.2
    if cx.version < Version::Of12 && flow.command == Command::Add {
        flow.flags.reset_counts = true;
    }
    flow.actions = instruction::read(b.all(), cx)?;
    if !flow.deletes() {
        super::check::actions(&flow.actions, &flow.matching, flow.table, cx.version)?;
    }
    Ok(FlowModRequest { flow, buffer: (buffer != NO_BUFFER).then_some(buffer), out_port, table_in_command })
}

/// Reads Nicira's flow-mod.
pub fn read_nx(b: &mut Bytes, table_id: bool, cx: Cx) -> Result<FlowModRequest> {
    let (cookie, word) = (b.u64()?, b.u16()?);
    let (table, command) = command_word(word, table_id)?;
    let (idle_timeout, hard_timeout, priority, buffer) = (b.u16()?, b.u16()?, b.u16()?, b.u32()?);
    let (out_port, raw, match_len) = (OfPort(port_to_11(b.u16()?)), b.u16()?, usize::from(b.u16()?));
    b.skip(6)?;
    let fields = read_nx_match(b, match_len, cx)?;
    if command == Command::Add && fields.cookie.is_some() {
        return refuse(NXBRC_NXM_INVALID);
    }
    let mut flow = FlowMod {
        command,
        table,
        priority,
        new_cookie: Some(Cookie(cookie)),
        idle_timeout,
        hard_timeout,
        flags: read_flags(raw, Version::Of10)?,
        matching: fields.matching,
        ..FlowMod::default()
    };
    // a flow that is added for want of one has 0
    if cookie == u64::MAX {
        (flow.new_cookie, flow.keeps_cookie) = (Some(Cookie(0)), command != Command::Add);
    }
    if let Some((value, mask)) = fields.cookie {
        (flow.cookie, flow.cookie_mask) = (Cookie(value), mask);
    }
    if flow.deletes() {
        (flow.out_port, flow.new_cookie, flow.keeps_cookie) = (wanted_port(out_port), None, false);
    }
    let cx = Cx::new(Version::Of10, cx.tlv);
    finish(flow, buffer, wanted_port(out_port), b, cx, table_id)
}

/// NXM fields of `len` bytes, padded to a multiple of 8.
pub fn read_nx_match(b: &mut Bytes, len: usize, cx: Cx) -> Result<oxm::Fields> {
    let fields = Bytes::or(b.take(len)?, OFPBMC_BAD_LEN);
    b.skip(len.next_multiple_of(8) - len)?;
    oxm::read_fields(fields, Strictness::Strict, cx.tlv)
}

/// Reads a flow-mod. `table_id` is whether the connection has the upper byte of OpenFlow 1.0's command be a table.
pub fn read(b: &mut Bytes, table_id: bool, cx: Cx) -> Result<FlowModRequest> {
    if cx.version == Version::Of10 {
        return read10(b, table_id, cx);
    }
    let (cookie, mask, table_byte) = (b.u64()?, b.u64()?, b.u8()?);
    let command = command(b.u8()?)?;
    let (idle_timeout, hard_timeout, priority, buffer) = (b.u16()?, b.u16()?, b.u16()?, b.u32()?);
    let (port, group) = (b.u32()?, b.u32()?);
    let (raw, importance) = (b.u16()?, b.u16()?);
    let fields = oxm::read_match(b, Strictness::Strict, cx.tlv)?;
    // OpenFlow 1.1 has no word for all tables
    if table_byte == TableId::ALL && (command == Command::Add || cx.version == Version::Of11) {
        return refuse(OFPFMFC_BAD_TABLE_ID);
    }
    let mut flow = FlowMod {
        command,
        table: table(table_byte),
        priority,
        idle_timeout,
        hard_timeout,
        importance: if cx.version >= Version::Of14 { importance } else { 0 },
        flags: read_flags(raw, cx.version)?,
        matching: fields.matching,
        ..FlowMod::default()
    };
    match command {
        // additions have no mask, and OpenFlow 1.1's modifications without one may add
        Command::Add => flow.new_cookie = Some(Cookie(cookie)),
        Command::Modify | Command::ModifyStrict if mask == 0 && cx.version == Version::Of11 => {
            (flow.new_cookie, flow.keeps_cookie) = (Some(Cookie(cookie)), true);
        }
        _ => (flow.cookie, flow.cookie_mask) = (Cookie(cookie), mask),
    }
    let out_port = wanted_port(port32(&mut Bytes::new(&port.to_be_bytes()))?);
    if flow.deletes() {
        flow.out_port = out_port;
        flow.out_group = (group != GroupId::ANY.0).then_some(GroupId(group));
    }
    finish(flow, buffer, out_port, b, cx, false)
}

/// Must it be Nicira's form in OpenFlow 1.0?
pub fn needs_nx(flow: &FlowMod) -> bool {
    flow.cookie_mask != 0 || flow.keeps_cookie || !match10::fits(&flow.matching)
}

fn write10_head(out: &mut Vec<u8>, r: &FlowModRequest) {
    let f = &r.flow;
    let table = if r.table_in_command { f.table.map_or(TableId::ALL, |t| t.0) } else { 0 };
    out.u8(table);
    out.u8(number(f.command));
    out.u16(f.idle_timeout);
    out.u16(f.hard_timeout);
    out.u16(f.priority);
    out.u32(r.buffer.unwrap_or(NO_BUFFER));
    out.u16(to_port16(r.out_port.or(f.out_port).unwrap_or(OfPort::NONE)));
    out.u16(flags(f.flags, Version::Of10));
}

pub fn write_nx(out: &mut Vec<u8>, r: &FlowModRequest, cx: Cx) {
    let f = &r.flow;
    let none = if f.deletes() { 0 } else { u64::MAX };
    out.u64(f.new_cookie.filter(|_| !f.keeps_cookie).map_or(none, |c| c.0));
    write10_head(out, r);
    let mut fields = Vec::new();
    oxm::write_fields(&mut fields, &f.matching, Some((f.cookie.0, f.cookie_mask)), None, cx.tlv);
    out.u16(fields.len() as u16);
    out.zeros(6);
    out.bytes(&fields);
    pad(out, out.len() - fields.len(), 8);
    instruction::write(out, &f.actions, &f.matching, Cx::new(Version::Of10, cx.tlv));
}

pub fn write(out: &mut Vec<u8>, r: &FlowModRequest, cx: Cx) {
    let f = &r.flow;
    if cx.version == Version::Of10 {
        match10::write(out, &f.matching);
        out.u64(f.new_cookie.map_or(0, |c| c.0));
        write10_head(out, r);
        return instruction::write(out, &f.actions, &f.matching, cx);
    }
    let (cookie, mask) = match f.cookie_mask {
        0 => (f.new_cookie.map_or(f.cookie.0, |c| c.0), 0),
        mask => (f.cookie.0, mask),
    };
    out.u64(cookie);
    out.u64(mask);
    let all = if f.command == Command::Add || cx.version == Version::Of11 { 0 } else { TableId::ALL };
    out.u8(f.table.map_or(all, |t| t.0));
    out.u8(number(f.command));
    out.u16(f.idle_timeout);
    out.u16(f.hard_timeout);
    out.u16(f.priority);
    out.u32(r.buffer.unwrap_or(NO_BUFFER));
    out.u32(r.out_port.or(f.out_port).unwrap_or(OfPort::NONE).0);
    out.u32(f.out_group.unwrap_or(GroupId::ANY).0);
    out.u16(flags(f.flags, cx.version));
    out.u16(if cx.version >= Version::Of14 { f.importance } else { 0 });
    oxm::write_match(out, &f.matching, cx.version, cx.tlv);
    instruction::write(out, &f.actions, &f.matching, cx);
}

/// Why a flow went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemovedReason {
    IdleTimeout,
    HardTimeout,
    Delete,
    GroupDelete,
    MeterDelete,
    Eviction,
}

const REASONS: [RemovedReason; 6] = [
    RemovedReason::IdleTimeout,
    RemovedReason::HardTimeout,
    RemovedReason::Delete,
    RemovedReason::GroupDelete,
    RemovedReason::MeterDelete,
    RemovedReason::Eviction,
];

/// A flow is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    pub matching: Match,
    pub cookie: Cookie,
    pub priority: u16,
    pub reason: RemovedReason,
    /// OpenFlow 1.0 does not say.
    pub table: Option<TableId>,
    pub duration: Duration,
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub packets: u64,
    pub bytes: u64,
}

/// Seconds and nanoseconds.
pub fn read_duration(b: &mut Bytes) -> Result<Duration> {
    let (secs, nanos) = (b.u32()?, b.u32()?);
    // more than a second's nanoseconds carry over
    Ok(Duration::from_secs(secs.into()) + Duration::from_nanos(nanos.into()))
}

pub fn write_duration(out: &mut Vec<u8>, d: Duration) {
    out.u32(u32::try_from(d.as_secs()).unwrap_or(u32::MAX));
    out.u32(d.subsec_nanos());
}

fn reason(n: u8) -> Result<RemovedReason> {
    REASONS.get(usize::from(n)).copied().ok_or(Error::new(OFPBRC_BAD_LEN))
}

fn reason_number(r: RemovedReason) -> u8 {
    REASONS.iter().position(|x| *x == r).unwrap_or(0) as u8
}

/// Reads OpenFlow 1.5's form.
fn read_removed15(b: &mut Bytes, cx: Cx) -> Result<FlowRemoved> {
    let (table_byte, why, priority) = (b.u8()?, reason(b.u8()?)?, b.u16()?);
    let (idle_timeout, hard_timeout, cookie) = (b.u16()?, b.u16()?, Cookie(b.u64()?));
    let matching = oxm::read_match(b, Strictness::Strict, cx.tlv)?.matching;
    let counters = oxs::read(b)?;
    Ok(FlowRemoved {
        matching,
        cookie,
        priority,
        reason: why,
        table: table(table_byte),
        duration: counters.duration.unwrap_or_default(),
        idle_timeout,
        hard_timeout,
        packets: counters.packets.unwrap_or(u64::MAX),
        bytes: counters.bytes.unwrap_or(u64::MAX),
    })
}

fn write_removed15(out: &mut Vec<u8>, r: &FlowRemoved, cx: Cx) {
    out.u8(r.table.map_or(TableId::ALL, |t| t.0));
    out.u8(reason_number(r.reason));
    out.u16(r.priority);
    out.u16(r.idle_timeout);
    out.u16(r.hard_timeout);
    out.u64(r.cookie.0);
    oxm::write_match(out, &r.matching, cx.version, cx.tlv);
    let known = |n: u64| (n != u64::MAX).then_some(n);
    let (packets, bytes) = (known(r.packets), known(r.bytes));
    oxs::write(out, &oxs::Counters { duration: Some(r.duration), packets, bytes, ..oxs::Counters::default() });
}

pub fn read_removed(b: &mut Bytes, nx: bool, cx: Cx) -> Result<FlowRemoved> {
    if cx.version >= Version::Of15 && !nx {
        return read_removed15(b, cx);
    }
    let matching10 = if !nx && cx.version == Version::Of10 { Some(match10::read_all(b)?) } else { None };
    let (cookie, priority, why, table_byte) = (Cookie(b.u64()?), b.u16()?, reason(b.u8()?)?, b.u8()?);
    let (duration, idle_timeout, word) = (read_duration(b)?, b.u16()?, b.u16()?);
    let (packets, bytes) = (b.u64()?, b.u64()?);
    // Nicira's has the match's length, later versions the hard timeout
    let (matching, table, hard_timeout) = match matching10 {
        Some(m) => (m, None, 0),
        None if nx => (read_nx_match(b, word.into(), cx)?.matching, table_byte.checked_sub(1).map(TableId), 0),
        None => (oxm::read_match(b, Strictness::Strict, cx.tlv)?.matching, table(table_byte), word),
    };
    Ok(FlowRemoved {
        matching,
        cookie,
        priority,
        reason: why,
        table,
        duration,
        idle_timeout,
        hard_timeout,
        packets,
        bytes,
    })
}

pub fn write_removed(out: &mut Vec<u8>, r: &FlowRemoved, nx: bool, cx: Cx) {
    if cx.version >= Version::Of15 && !nx {
        return write_removed15(out, r, cx);
    }
    let of10 = !nx && cx.version == Version::Of10;
    let mut fields = Vec::new();
    if of10 {
        match10::write(out, &r.matching);
    } else if nx {
        oxm::write_fields(&mut fields, &r.matching, None, None, cx.tlv);
    }
    out.u64(r.cookie.0);
    out.u16(r.priority);
    out.u8(reason_number(r.reason));
    out.u8(match (of10, nx) {
        (true, _) => 0,
        (_, true) => r.table.map_or(0, |t| t.0 + 1),
        _ => r.table.map_or(TableId::ALL, |t| t.0),
    });
    write_duration(out, r.duration);
    out.u16(r.idle_timeout);
    out.u16(match (of10, nx) {
        (true, _) => 0,
        (_, true) => fields.len() as u16,
        _ => r.hard_timeout,
    });
    out.u64(r.packets);
    out.u64(r.bytes);
    if nx {
        out.bytes(&fields);
        pad(out, out.len() - fields.len(), 8);
    } else if !of10 {
        oxm::write_match(out, &r.matching, cx.version, cx.tlv);
    }
}
