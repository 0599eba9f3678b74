//! Changes of flows, told to controllers that watch them (OpenFlow 1.4.1, section 7.3.5.18; ONF's extension 187 for OpenFlow
//! 1.3; ovs-ofctl(8), "monitor", for Nicira's).
#![deny(clippy::indexing_slicing)]

use super::action::{Cx, port32, to_port16};
use super::bytes::{Bytes, Put, pad, set_len};
use super::codes::*;
use super::error::{Result, refuse, refuse_because};
use super::flow::{read_nx_match, table};
use super::instruction;
use super::oxm::{self, Strictness};
use super::version::Version;
use crate::action::Action;
use crate::text::number::hex;
use crate::types::{Cookie, GroupId, OfPort, TableId};
use flow::Match;
use flow::fields::value::port_to_11;

/// Whose form a monitor's messages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenFlow 1.0 to 1.2.
    Nx,
    /// OpenFlow 1.3.
    Onf,
    Standard,
}

impl Form {
    pub fn of(version: Version) -> Form {
        match version {
            Version::Of10 | Version::Of11 | Version::Of12 => Form::Nx,
            Version::Of13 => Form::Onf,
            _ => Form::Standard,
        }
    }
}

/// What a monitor watches, and how it is told: bits by OpenFlow 1.4's numbers.
pub mod watch {
    /// The flows that there are when the monitor begins.
    pub const INITIAL: u16 = 1;
    pub const ADD: u16 = 2;
    pub const DELETE: u16 = 4;
    pub const MODIFY: u16 = 8;
    /// Actions are told.
    pub const ACTIONS: u16 = 16;
    /// A controller's own changes are told.
    pub const OWN: u16 = 64;
    /// Whatever is watched for.
    pub(super) const WHAT: u16 = INITIAL | ADD | DELETE | MODIFY;
    /// All but 32, which has a controller's own changes told in full: they never are.
    pub(super) const NEW: u16 = 0x5f;
    /// [`OWN`] in the older forms.
    pub(super) const OLD_OWN: u16 = 32;
    pub(super) const OLD: u16 = 0x3f;
}

/// What a controller does with a monitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MonitorCommand {
    #[default]
    Add,
    Modify,
    Delete,
}

const COMMANDS: [MonitorCommand; 3] = [MonitorCommand::Add, MonitorCommand::Modify, MonitorCommand::Delete];

/// A request to watch flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorRequest {
    pub id: u32,
    pub command: MonitorCommand,
    /// Bits of [`watch`].
    pub flags: u16,
    pub out_port: Option<OfPort>,
    /// OpenFlow 1.4 and later.
    pub out_group: Option<GroupId>,
    pub table: Option<TableId>,
    pub matching: Match,
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FlowEvent {
    /// It was there when the monitor began; OpenFlow 1.4 and later, "added" before.
    Initial,
    #[default]
    Added,
    /// For this reason, by the numbers of flow-removed.
    Deleted(u8),
    Modified,
}

/// A flow that a monitor tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedFlow {
    pub event: FlowEvent,
    pub table: TableId,
    pub priority: u16,
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub cookie: Cookie,
    pub matching: Match,
    pub actions: Vec<Action>,
}

/// One thing that a monitor tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowUpdate {
    Full(WatchedFlow),
    /// The controller's own request with this transaction did what it asks.
    Abbreviated(u32),
    /// Too much waits for the controller; OpenFlow 1.4 and later, messages of their own before.
    Paused,
    Resumed,
}

pub fn read_request(b: &mut Bytes, form: Form, cx: Cx) -> Result<MonitorRequest> {
    let mut r = MonitorRequest { id: b.u32()?, ..MonitorRequest::default() };
    let wanted = |p: OfPort| (p != OfPort::NONE).then_some(p);
    let raw = match form {
        Form::Nx => {
            let flags = b.u16()?;
            r.out_port = wanted(OfPort(port_to_11(b.u16()?)));
            let len = b.u16()?;
            r.table = table(b.u8()?);
            b.skip(5)?;
            r.matching = read_nx_match(b, len.into(), cx)?.matching;
            flags
        }
        Form::Onf => {
            let flags = b.u16()?;
            b.skip(2)?;
            r.out_port = wanted(port32(b)?);
            r.table = table(b.u8()?);
            b.skip(3)?;
            r.matching = oxm::read_match(b, Strictness::Strict, cx.tlv)?.matching;
            flags
        }
        Form::Standard => {
            r.out_port = wanted(port32(b)?);
            r.out_group = Some(GroupId(b.u32()?)).filter(|g| *g != GroupId::ANY);
            let flags = b.u16()?;
            r.table = table(b.u8()?);
            let command = COMMANDS.get(usize::from(b.u8()?)).copied();
            r.matching = oxm::read_match(b, Strictness::Strict, cx.tlv)?.matching;
            let Some(command) = command else { return refuse(OFPMOFC_BAD_COMMAND) };
            r.command = command;
            flags
        }
    };
    let (known, name) = match form {
        Form::Nx => (watch::OLD, "NXST_FLOW_MONITOR"),
        Form::Onf => (watch::OLD, "ONFST_FLOW_MONITOR"),
        Form::Standard => (watch::NEW, "OFPST_FLOW_MONITOR"),
    };
    let nothing = raw & watch::WHAT == 0 && r.command != MonitorCommand::Delete;
    if raw & !known != 0 || nothing {
        return refuse_because(OFPMOFC_BAD_FLAGS, "ofp_monitor", format!("{name} has bad flags {}", hex(raw)));
    }
    r.flags = match form {
        Form::Standard => raw,
        _ if raw & watch::OLD_OWN != 0 => raw & !watch::OLD_OWN | watch::OWN,
        _ => raw,
    };
    Ok(r)
}

pub fn write_request(out: &mut Vec<u8>, r: &MonitorRequest, form: Form, cx: Cx) {
    let (port, table) = (r.out_port.unwrap_or(OfPort::NONE), r.table.map_or(TableId::ALL, |t| t.0));
    let own = if r.flags & watch::OWN != 0 { watch::OLD_OWN } else { 0 };
    let old = r.flags & !watch::OWN | own;
    out.u32(r.id);
    match form {
        Form::Nx => {
            let mut fields = Vec::new();
            oxm::write_fields(&mut fields, &r.matching, None, None, cx.tlv);
            out.u16(old);
            out.u16(to_port16(port));
            out.u16(fields.len() as u16);
            out.u8(table);
            out.zeros(5);
            out.bytes(&fields);
            pad(out, out.len() - fields.len(), 8);
        }
        Form::Onf => {
            let mut matching = Vec::new();
            oxm::write_match(&mut matching, &r.matching, cx.version, cx.tlv);
            out.u16(old);
            // the match's own length, without what fills it up
            out.bytes(matching.get(2..4).unwrap_or(&[0, 0]));
            out.u32(port.0);
            out.u8(table);
            out.zeros(3);
            out.bytes(&matching);
        }
        Form::Standard => {
            out.u32(port.0);
            out.u32(r.out_group.unwrap_or(GroupId::ANY).0);
            out.u16(r.flags);
            out.u8(table);
            out.u8(COMMANDS.iter().position(|c| *c == r.command).unwrap_or(0) as u8);
            oxm::write_match(out, &r.matching, cx.version, cx.tlv);
        }
    }
}

/// Numbers of events, in OpenFlow 1.4's form and in the older ones, which have no "initial".
mod event {
    pub(super) const INITIAL: u16 = 0;
    pub(super) const ADDED: u16 = 1;
    pub(super) const DELETED: u16 = 2;
    pub(super) const MODIFIED: u16 = 3;
    pub(super) const ABBREV: u16 = 4;
    pub(super) const PAUSED: u16 = 5;
    pub(super) const RESUMED: u16 = 6;
    /// What is to be added to the older forms' numbers.
    pub(super) const OLDER: u16 = 1;
}

pub fn read_update(b: &mut Bytes, form: Form, cx: Cx) -> Result<FlowUpdate> {
    let mut head = *b;
    let mut one = b.sub(usize::from(head.u16()?))?;
    one.skip(2)?;
    let number = one.u16()?;
    let number = if form == Form::Standard { number } else { number.saturating_add(event::OLDER) };
    let event = match number {
        event::ABBREV => return Ok(FlowUpdate::Abbreviated(one.u32()?)),
        event::PAUSED if form == Form::Standard => return Ok(FlowUpdate::Paused),
        event::RESUMED if form == Form::Standard => return Ok(FlowUpdate::Resumed),
        event::INITIAL => FlowEvent::Initial,
        event::ADDED => FlowEvent::Added,
        event::DELETED => FlowEvent::Deleted(0),
        event::MODIFIED => FlowEvent::Modified,
        _ => return refuse(NXBRC_FM_BAD_EVENT),
    };
    let mut flow = WatchedFlow { event, ..WatchedFlow::default() };
    let reason;
    if form == Form::Standard {
        flow.table = TableId(one.u8()?);
        reason = one.u8()?.into();
        (flow.idle_timeout, flow.hard_timeout, flow.priority) = (one.u16()?, one.u16()?, one.u16()?);
        one.skip(4)?;
        flow.cookie = Cookie(one.u64()?);
        flow.matching = oxm::read_match(&mut one, Strictness::Strict, cx.tlv)?.matching;
    } else {
        (reason, flow.priority) = (one.u16()?, one.u16()?);
        (flow.idle_timeout, flow.hard_timeout) = (one.u16()?, one.u16()?);
        let len = one.u16()?;
        flow.table = TableId(one.u8()?);
        one.skip(1)?;
        flow.cookie = Cookie(one.u64()?);
        flow.matching = if form == Form::Nx {
            read_nx_match(&mut one, len.into(), cx)?.matching
        } else {
            oxm::read_match(&mut one, Strictness::Strict, cx.tlv)?.matching
        };
    }
    if let FlowEvent::Deleted(why) = &mut flow.event {
        *why = reason as u8;
    }
    // the older form has actions alone, as OpenFlow 1.0's flows do
    let cx = if form == Form::Nx { Cx::new(Version::Of10, cx.tlv) } else { cx };
    flow.actions = instruction::read(one.all(), cx)?;
    Ok(FlowUpdate::Full(flow))
}

pub fn write_update(out: &mut Vec<u8>, u: &FlowUpdate, form: Form, cx: Cx) {
    let start = out.len();
    let number = |n: u16| if form == Form::Standard { n } else { n.max(event::OLDER) - event::OLDER };
    out.u16(8);
    let flow = match u {
        FlowUpdate::Full(flow) => flow,
        FlowUpdate::Abbreviated(xid) => {
            out.u16(number(event::ABBREV));
            return out.u32(*xid);
        }
        FlowUpdate::Paused | FlowUpdate::Resumed => {
            out.u16(if *u == FlowUpdate::Paused { event::PAUSED } else { event::RESUMED });
            return out.u32(0);
        }
    };
    let (n, reason) = match flow.event {
        FlowEvent::Initial => (event::INITIAL, 0),
        FlowEvent::Added => (event::ADDED, 0),
        FlowEvent::Deleted(reason) => (event::DELETED, reason),
        FlowEvent::Modified => (event::MODIFIED, 0),
    };
    out.u16(number(n));
    if form == Form::Standard {
        out.u8(flow.table.0);
        out.u8(reason);
        out.u16(flow.idle_timeout);
        out.u16(flow.hard_timeout);
        out.u16(flow.priority);
        out.u32(0);
        out.u64(flow.cookie.0);
        oxm::write_match(out, &flow.matching, cx.version, cx.tlv);
    } else {
        let mut matching = Vec::new();
        let len = if form == Form::Nx {
            oxm::write_fields(&mut matching, &flow.matching, None, None, cx.tlv);
            let len = matching.len() as u16;
            pad(&mut matching, 0, 8);
            len
        } else {
            oxm::write_match(&mut matching, &flow.matching, cx.version, cx.tlv);
            matching.get(2..4).and_then(|n| n.first_chunk()).map_or(0, |n| u16::from_be_bytes(*n))
        };
        out.u16(reason.into());
        out.u16(flow.priority);
        out.u16(flow.idle_timeout);
        out.u16(flow.hard_timeout);
        out.u16(len);
        out.u8(flow.table.0);
        out.u8(0);
        out.u64(flow.cookie.0);
        out.bytes(&matching);
    }
    let cx = if form == Form::Nx { Cx::new(Version::Of10, cx.tlv) } else { cx };
    instruction::write(out, &flow.actions, &flow.matching, cx);
    set_len(out, start, start);
}
