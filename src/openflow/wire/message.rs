//! Messages as values: bytes to a [`Message`] and back.
//!
//! A message is the same value in every version; what only one version or extension has is said in the value
//! ([`super::packet::PacketInFormat`]), so that what was read is written as it was.
#![deny(clippy::indexing_slicing)]

use super::action::Cx;
use super::bytes::{Bytes, Put, set_u16};
use super::codes::*;
use super::error::{Error, Result, refuse};
use super::flow::{FlowModRequest, FlowRemoved};
use super::header::{HEADER, Header, MAX_MESSAGE, Xid};
use super::kind::{self, Kind};
use super::packet::{PacketIn, PacketInFormat, PacketOut};
use super::port::{PortDesc, PortMod, PortStats, PortStatus};
use super::stats::{Aggregate, Desc, FlowEntry, FlowRequest, TableStats};
use super::switch::{Features, FlowFormat, RoleRequest, RoleStatus, SwitchConfig};
use super::version::{Version, Versions, read_hello, write_hello};
use super::{flow, group, packet, port, stats, switch, table};
use crate::group_mod::GroupMod;
use crate::types::OfPort;
use ::flow::fields::tlv::TlvTable;

/// An error that a peer tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// None when its numbers are not known.
    pub code: Option<ErrorCode>,
    /// As they were on the wire.
    pub numbers: Numbers,
    /// The message that was refused, or its first bytes; a text where a hello failed.
    pub data: Vec<u8>,
}

/// What a controller does with a bundle (OpenFlow 1.4, section 7.3.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BundleCommand {
    OpenRequest,
    OpenReply,
    CloseRequest,
    CloseReply,
    CommitRequest,
    CommitReply,
    DiscardRequest,
    DiscardReply,
}

const BUNDLE_COMMANDS: [BundleCommand; 8] = [
    BundleCommand::OpenRequest,
    BundleCommand::OpenReply,
    BundleCommand::CloseRequest,
    BundleCommand::CloseReply,
    BundleCommand::CommitRequest,
    BundleCommand::CommitReply,
    BundleCommand::DiscardRequest,
    BundleCommand::DiscardReply,
];

/// Flags of a bundle.
pub const BUNDLE_ATOMIC: u16 = 1;
/// See [`BUNDLE_ATOMIC`].
pub const BUNDLE_ORDERED: u16 = 2;

/// Which bundle, and how it is to be carried out: bits [`BUNDLE_ATOMIC`] and [`BUNDLE_ORDERED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bundle {
    pub id: u32,
    pub flags: u16,
}

/// A part of an answer: `more` says that another message goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T> {
    pub entries: Vec<T>,
    pub more: bool,
}

impl<T> Part<T> {
    /// A whole answer.
    pub fn all(entries: Vec<T>) -> Part<T> {
        Part { entries, more: false }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Hello(Versions),
    Error(ErrorMessage),
    EchoRequest(Vec<u8>),
    EchoReply(Vec<u8>),
    FeaturesRequest,
    FeaturesReply(Features),
    GetConfigRequest,
    GetConfigReply(SwitchConfig),
    SetConfig(SwitchConfig),
    PacketIn(PacketIn),
    /// A packet-in that a controller gives back.
    Resume(PacketIn),
    PacketOut(PacketOut),
    /// `nx`: in Nicira's form, which OpenFlow 1.0 needs for what its match cannot say.
    FlowMod {
        request: FlowModRequest,
        nx: bool,
    },
    FlowRemoved {
        removed: FlowRemoved,
        nx: bool,
    },
    GroupMod {
        group: GroupMod,
        nx: bool,
    },
    PortStatus(PortStatus),
    PortMod(PortMod),
    BarrierRequest,
    BarrierReply,
    RoleRequest(RoleRequest),
    RoleReply(RoleRequest),
    RoleStatus(RoleStatus),
    SetFlowFormat(FlowFormat),
    FlowModTableId(bool),
    SetPacketInFormat(PacketInFormat),
    /// Have OpenFlow 1.0's statistics say how long flows were idle.
    FlowAge,
    SetControllerId(u16),
    BundleControl {
        bundle: Bundle,
        command: BundleCommand,
    },
    /// A message that waits for its bundle's commit; it has the transaction of the message inside.
    BundleAdd {
        bundle: Bundle,
        message: Box<Message>,
    },
    DescRequest,
    DescReply(Desc),
    FlowStatsRequest {
        request: FlowRequest,
        nx: bool,
    },
    FlowStatsReply {
        flows: Part<FlowEntry>,
        nx: bool,
    },
    AggregateRequest {
        request: FlowRequest,
        nx: bool,
    },
    AggregateReply {
        aggregate: Aggregate,
        nx: bool,
    },
    TableStatsRequest,
    TableStatsReply(Part<TableStats>),
    /// Answered by [`super::table::features`].
    TableFeaturesRequest,
    /// NONE is all ports.
    PortStatsRequest(OfPort),
    PortStatsReply(Part<PortStats>),
    /// NONE is all ports; before OpenFlow 1.5 it always is.
    PortDescRequest(OfPort),
    PortDescReply(Part<PortDesc>),
}

/// What decoding needs to know of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection<'a> {
    /// The upper byte of OpenFlow 1.0's flow-mod commands is a table (`NXT_FLOW_MOD_TABLE_ID`).
    pub table_id: bool,
    /// Where tunnel options are.
    pub tlv: Option<&'a TlvTable>,
}

/// Reads one whole message. The version is its header's: whether that is the connection's is the caller's to ask.
pub fn decode(bytes: &[u8], on: Connection) -> Result<(Version, Xid, Message)> {
    let (header, version, mut b) = open(bytes)?;
    if header.kind == 0 {
        // whatever its version, a hello says which ones there are
        let v = Version::from_wire(header.version).unwrap_or(Version::Of15);
        return Ok((v, header.xid, Message::Hello(read_hello(header.version, b)?)));
    }
    let version = version.ok_or(Error::new(OFPBRC_BAD_VERSION))?;
    let (kind, more) = kind::read(header, version, &mut b)?;
    let message = body(kind, more, (version, header.xid), &mut b, on)?;
    b.end()?;
    Ok((version, header.xid, message))
}

/// The kind of the message that `bytes` are, as far as its numbers tell.
pub fn kind_of(bytes: &[u8]) -> Result<Kind> {
    let (header, version, mut b) = open(bytes)?;
    if header.kind == 0 {
        return Ok(Kind::Hello);
    }
    let version = version.ok_or(Error::new(OFPBRC_BAD_VERSION))?;
    kind::read(header, version, &mut b).map(|(kind, _)| kind)
}

fn open(bytes: &[u8]) -> Result<(Header, Option<Version>, Bytes<'_>)> {
    let mut b = Bytes::new(bytes);
    let header = Header::read(&mut b)?;
    if usize::from(header.len) != bytes.len() {
        return refuse(OFPBRC_BAD_LEN);
    }
    Ok((header, Version::from_wire(header.version), b))
}

fn body(kind: Kind, more: bool, (version, xid): (Version, Xid), b: &mut Bytes, on: Connection) -> Result<Message> {
    let cx = Cx::new(version, on.tlv);
    let nx10 = Cx::new(Version::Of10, on.tlv);
    Ok(match kind {
        Kind::FlowMod => Message::FlowMod { request: flow::read(b, on.table_id, cx)?, nx: false },
        Kind::NxFlowMod => Message::FlowMod { request: flow::read_nx(b, on.table_id, cx)?, nx: true },
        Kind::PacketIn => Message::PacketIn(packet::read_in(b, cx)?),
        Kind::NxPacketIn => Message::PacketIn(packet::read_nxt(b, cx)?),
        Kind::NxPacketIn2 => Message::PacketIn(packet::read_nxt2(b, cx)?),
        Kind::Resume => Message::Resume(packet::read_nxt2(b, cx)?),
        Kind::PacketOut => Message::PacketOut(packet::read_out(b, cx)?),
        Kind::Hello => Message::Hello(read_hello(version.wire(), b.all())?),
        Kind::Error => Message::Error(read_error(b, version)?),
        Kind::EchoRequest => Message::EchoRequest(b.take(b.len())?.to_vec()),
        Kind::EchoReply => Message::EchoReply(b.take(b.len())?.to_vec()),
        Kind::FeaturesRequest => Message::FeaturesRequest,
        Kind::FeaturesReply => Message::FeaturesReply(switch::read_features(b, version)?),
        Kind::GetConfigRequest => Message::GetConfigRequest,
        Kind::GetConfigReply => Message::GetConfigReply(switch::read_config(b, version)?),
        Kind::SetConfig => Message::SetConfig(switch::read_config(b, version)?),
        Kind::FlowRemoved => Message::FlowRemoved { removed: flow::read_removed(b, false, cx)?, nx: false },
        Kind::NxFlowRemoved => Message::FlowRemoved { removed: flow::read_removed(b, true, cx)?, nx: true },
        Kind::PortStatus => Message::PortStatus(port::read_status(b, version)?),
        Kind::PortMod => Message::PortMod(port::read_mod(b, version)?),
        Kind::GroupMod => Message::GroupMod { group: group::read(b, false, cx)?, nx: false },
        Kind::NxGroupMod => Message::GroupMod { group: group::read(b, true, cx)?, nx: true },
        Kind::BarrierRequest => Message::BarrierRequest,
        Kind::BarrierReply => Message::BarrierReply,
        Kind::RoleRequest => Message::RoleRequest(switch::read_role(b)?),
        Kind::RoleReply => Message::RoleReply(switch::read_role(b)?),
        Kind::NxRoleRequest => Message::RoleRequest(switch::read_nx_role(b)?),
        Kind::NxRoleReply => Message::RoleReply(switch::read_nx_role(b)?),
        Kind::RoleStatus | Kind::OnfRoleStatus => Message::RoleStatus(switch::read_role_status(b)?),
        Kind::SetFlowFormat => Message::SetFlowFormat(switch::read_flow_format(b)?),
        Kind::FlowModTableId => {
            let on = b.u8()? != 0;
            b.skip(7)?;
            Message::FlowModTableId(on)
        }
        Kind::SetPacketInFormat => Message::SetPacketInFormat(switch::read_packet_in_format(b)?),
        Kind::FlowAge => Message::FlowAge,
        Kind::SetControllerId => {
            b.zeros(6)?;
            Message::SetControllerId(b.u16()?)
        }
        Kind::BundleControl => read_bundle_control(b)?,
        Kind::BundleAdd => read_bundle_add(b, version, xid, on)?,
        Kind::DescRequest => Message::DescRequest,
        Kind::DescReply => Message::DescReply(stats::read_desc(b)?),
        Kind::FlowStatsRequest => Message::FlowStatsRequest { request: stats::read_request(b, false, cx)?, nx: false },
        Kind::NxFlowStatsRequest => {
            Message::FlowStatsRequest { request: stats::read_request(b, true, nx10)?, nx: true }
        }
        Kind::FlowStatsReply => {
            let entries = stats::list(b, |b| stats::read_entry(b, false, cx))?;
            Message::FlowStatsReply { flows: Part { entries, more }, nx: false }
        }
        Kind::NxFlowStatsReply => {
            let entries = stats::list(b, |b| stats::read_entry(b, true, nx10))?;
            Message::FlowStatsReply { flows: Part { entries, more }, nx: true }
        }
        Kind::AggregateRequest => Message::AggregateRequest { request: stats::read_request(b, false, cx)?, nx: false },
        Kind::NxAggregateRequest => {
            Message::AggregateRequest { request: stats::read_request(b, true, nx10)?, nx: true }
        }
        Kind::AggregateReply => Message::AggregateReply { aggregate: stats::read_aggregate(b, version)?, nx: false },
        Kind::NxAggregateReply => Message::AggregateReply { aggregate: stats::read_aggregate(b, version)?, nx: true },
        Kind::TableStatsRequest => Message::TableStatsRequest,
        Kind::TableFeaturesRequest => {
            table::read_request(b)?;
            Message::TableFeaturesRequest
        }
        Kind::TableStatsReply => {
            let entries = stats::list(b, |b| stats::read_table(b, version))?;
            Message::TableStatsReply(Part { entries, more })
        }
        Kind::PortStatsRequest => Message::PortStatsRequest(port::read_wanted(b, version)?),
        Kind::PortStatsReply => {
            let entries = stats::list(b, |b| port::read_stats(b, version))?;
            Message::PortStatsReply(Part { entries, more })
        }
        Kind::PortDescRequest if version >= Version::Of15 => Message::PortDescRequest(port::read_wanted(b, version)?),
        Kind::PortDescRequest => Message::PortDescRequest(OfPort::NONE),
        Kind::PortDescReply => Message::PortDescReply(Part { entries: switch::read_ports(b, version)?, more }),
    })
}

/// Type of a vendor's error in OpenFlow 1.0 and 1.1, and of an experimenter's since.
const ERROR_VENDOR: u16 = 0xb0c2;
/// See [`ERROR_VENDOR`].
const ERROR_EXPERIMENTER: u16 = 0xffff;

fn read_error(b: &mut Bytes, version: Version) -> Result<ErrorMessage> {
    let (kind, code) = (b.u16()?, b.u16()?);
    let numbers = match (kind, version < Version::Of12) {
        (ERROR_VENDOR, true) => Numbers { vendor: b.u32()?, kind: b.u16()?, code: b.u16()? },
        (ERROR_EXPERIMENTER, false) => Numbers { vendor: b.u32()?, kind: code, code: 0 },
        _ => Numbers { vendor: 0, kind, code },
    };
    let data = b.take(b.len())?.to_vec();
    Ok(ErrorMessage { code: ErrorCode::by_numbers(version, numbers), numbers, data })
}

fn write_error(out: &mut Vec<u8>, e: &ErrorMessage, version: Version) {
    let n = e.code.and_then(|c| c.numbers(version)).unwrap_or(e.numbers);
    if n.vendor == 0 {
        out.u16(n.kind);
        out.u16(n.code);
    } else if version < Version::Of12 {
        out.u16(ERROR_VENDOR);
        out.u16(0);
        out.u32(n.vendor);
        out.u16(n.kind);
        out.u16(n.code);
    } else {
        out.u16(ERROR_EXPERIMENTER);
        out.u16(n.kind);
        out.u32(n.vendor);
    }
    out.bytes(&e.data);
}

/// Bytes of a refused message that its sender gets back, and no less than this where it has them (OpenFlow 1.3, 7.5.4).
const ERROR_DATA: usize = 64;

/// The answer to a message that was refused: `request` are its bytes. A code that the version does not have is told as
/// "cannot be told".
pub fn error_reply(code: ErrorCode, version: Version, request: &[u8]) -> Vec<u8> {
    let code = if code.numbers(version).is_some() { code } else { NXBRC_UNENCODABLE_ERROR };
    let xid = request.get(4..8).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b));
    let data = request.get(..ERROR_DATA).unwrap_or(request).to_vec();
    let numbers = Numbers { vendor: 0, kind: 0, code: 0 };
    let message = Message::Error(ErrorMessage { code: Some(code), numbers, data });
    encode(&message, version, Xid(xid)).unwrap_or_default()
}

fn read_bundle_control(b: &mut Bytes) -> Result<Message> {
    let (id, t, flags) = (b.u32()?, b.u16()?, b.u16()?);
    let command = BUNDLE_COMMANDS.get(usize::from(t)).copied().ok_or(Error::new(OFPBFC_BAD_TYPE))?;
    // properties, of which there are none that are known
    b.skip(b.len())?;
    Ok(Message::BundleControl { bundle: Bundle { id, flags }, command })
}

fn read_bundle_add(b: &mut Bytes, version: Version, outer: Xid, on: Connection) -> Result<Message> {
    let id = b.u32()?;
    b.skip(2)?;
    let flags = b.u16()?;
    let mut head = *b;
    let inner = Header::read(&mut head)?;
    if inner.version != version.wire() {
        return refuse(OFPBFC_BAD_VERSION);
    }
    if inner.xid != outer {
        return refuse(OFPBFC_MSG_BAD_XID);
    }
    let (.., message) = match usize::from(inner.len) {
        len if len < HEADER || len > b.len() => return refuse(OFPBFC_MSG_BAD_LEN),
        len => decode_plain(b.take(len)?, on)?,
    };
    b.skip(b.len())?;
    Ok(Message::BundleAdd { bundle: Bundle { id, flags }, message: Box::new(message) })
}

/// What may stand in a bundle: changes, never another bundle.
fn decode_plain(bytes: &[u8], on: Connection) -> Result<(Version, Xid, Message)> {
    match kind_of(bytes)? {
        Kind::FlowMod | Kind::NxFlowMod | Kind::GroupMod | Kind::NxGroupMod | Kind::PortMod | Kind::PacketOut => {
            decode(bytes, on)
        }
        other => {
            let words = format!("{} message not allowed inside OFPT14_BUNDLE_ADD_MESSAGE", other.name());
            super::error::refuse_because(OFPBFC_MSG_UNSUP, "ofp_bundle", words)
        }
    }
}

/// The kind that a message is written as in `version`.
fn kind(message: &Message, version: Version) -> Kind {
    let pick = |nx: bool, yes: Kind, no: Kind| if nx { yes } else { no };
    match message {
        Message::Hello(_) => Kind::Hello,
        Message::Error(_) => Kind::Error,
        Message::EchoRequest(_) => Kind::EchoRequest,
        Message::EchoReply(_) => Kind::EchoReply,
        Message::FeaturesRequest => Kind::FeaturesRequest,
        Message::FeaturesReply(_) => Kind::FeaturesReply,
        Message::GetConfigRequest => Kind::GetConfigRequest,
        Message::GetConfigReply(_) => Kind::GetConfigReply,
        Message::SetConfig(_) => Kind::SetConfig,
        Message::PacketIn(p) => match p.format {
            PacketInFormat::Standard => Kind::PacketIn,
            PacketInFormat::Nxt => Kind::NxPacketIn,
            PacketInFormat::Nxt2 => Kind::NxPacketIn2,
        },
        Message::Resume(_) => Kind::Resume,
        Message::PacketOut(_) => Kind::PacketOut,
        Message::FlowMod { nx, .. } => pick(*nx, Kind::NxFlowMod, Kind::FlowMod),
        Message::FlowRemoved { nx, .. } => pick(*nx, Kind::NxFlowRemoved, Kind::FlowRemoved),
        Message::GroupMod { nx, .. } => pick(*nx || version == Version::Of10, Kind::NxGroupMod, Kind::GroupMod),
        Message::PortStatus(_) => Kind::PortStatus,
        Message::PortMod(_) => Kind::PortMod,
        Message::BarrierRequest => Kind::BarrierRequest,
        Message::BarrierReply => Kind::BarrierReply,
        Message::RoleRequest(_) => pick(version < Version::Of12, Kind::NxRoleRequest, Kind::RoleRequest),
        Message::RoleReply(_) => pick(version < Version::Of12, Kind::NxRoleReply, Kind::RoleReply),
        Message::RoleStatus(_) => pick(version < Version::Of14, Kind::OnfRoleStatus, Kind::RoleStatus),
        Message::SetFlowFormat(_) => Kind::SetFlowFormat,
        Message::FlowModTableId(_) => Kind::FlowModTableId,
        Message::SetPacketInFormat(_) => Kind::SetPacketInFormat,
        Message::FlowAge => Kind::FlowAge,
        Message::SetControllerId(_) => Kind::SetControllerId,
        Message::BundleControl { .. } => Kind::BundleControl,
        Message::BundleAdd { .. } => Kind::BundleAdd,
        Message::DescRequest => Kind::DescRequest,
        Message::DescReply(_) => Kind::DescReply,
        Message::FlowStatsRequest { nx, .. } => pick(*nx, Kind::NxFlowStatsRequest, Kind::FlowStatsRequest),
        Message::FlowStatsReply { nx, .. } => pick(*nx, Kind::NxFlowStatsReply, Kind::FlowStatsReply),
        Message::AggregateRequest { nx, .. } => pick(*nx, Kind::NxAggregateRequest, Kind::AggregateRequest),
        Message::AggregateReply { nx, .. } => pick(*nx, Kind::NxAggregateReply, Kind::AggregateReply),
        Message::TableStatsRequest => Kind::TableStatsRequest,
        Message::TableStatsReply(_) => Kind::TableStatsReply,
        Message::TableFeaturesRequest => Kind::TableFeaturesRequest,
        Message::PortStatsRequest(_) => Kind::PortStatsRequest,
        Message::PortStatsReply(_) => Kind::PortStatsReply,
        Message::PortDescRequest(_) => Kind::PortDescRequest,
        Message::PortDescReply(_) => Kind::PortDescReply,
    }
}

/// Writes one message. Refuses what the version does not have ([`OFPBRC_BAD_TYPE`]) and what does not fit into one
/// message ([`OFPBRC_BAD_LEN`]); answers that are long are cut by [`encode_all`].
pub fn encode(message: &Message, version: Version, xid: Xid) -> Result<Vec<u8>> {
    encode_with(message, version, xid, None)
}

/// As [`encode`], with the places of tunnel options.
pub fn encode_with(message: &Message, version: Version, xid: Xid, tlv: Option<&TlvTable>) -> Result<Vec<u8>> {
    let mut all = encode_all(message, version, xid, tlv)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => refuse(OFPBRC_BAD_LEN),
    }
}

/// Writes a message, an answer that does not fit into one as several.
pub fn encode_all(message: &Message, version: Version, xid: Xid, tlv: Option<&TlvTable>) -> Result<Vec<Vec<u8>>> {
    let cx = Cx::new(version, tlv);
    let mut w = Writer { kind: kind(message, version), version, xid, done: Vec::new() };
    match message {
        Message::FlowStatsReply { flows, nx } => w.parts(flows, |o, e| stats::write_entry(o, e, *nx, cx))?,
        Message::TableStatsReply(tables) => w.parts(tables, |o, t| stats::write_table(o, t, version))?,
        Message::PortStatsReply(ports) => w.parts(ports, |o, p| port::write_stats(o, p, version))?,
        Message::PortDescReply(ports) => w.parts(ports, |o, p| port::write_desc(o, p, version))?,
        other => w.one(|o| write_body(o, other, xid, cx))?,
    }
    Ok(w.done)
}

struct Writer {
    kind: Kind,
    version: Version,
    xid: Xid,
    done: Vec<Vec<u8>>,
}

impl Writer {
    fn start(&self, more: bool) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        kind::write(&mut out, self.kind, self.version, self.xid, more).ok_or(Error::new(OFPBRC_BAD_TYPE))?;
        Ok(out)
    }

    fn finish(&mut self, mut out: Vec<u8>) -> Result<()> {
        let len = u16::try_from(out.len()).map_err(|_| Error::new(OFPBRC_BAD_LEN))?;
        set_u16(&mut out, 2, len);
        self.done.push(out);
        Ok(())
    }

    fn one(&mut self, body: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let mut out = self.start(false)?;
        body(&mut out)?;
        self.finish(out)
    }

    fn parts<T>(&mut self, part: &Part<T>, one: impl Fn(&mut Vec<u8>, &T)) -> Result<()> {
        let head = self.start(true)?.len();
        let mut body: Vec<u8> = Vec::new();
        let mut entry = Vec::new();
        for e in &part.entries {
            entry.clear();
            one(&mut entry, e);
            if head + entry.len() > MAX_MESSAGE {
                return refuse(OFPBRC_BAD_LEN);
            }
            if head + body.len() + entry.len() > MAX_MESSAGE {
                let mut out = self.start(true)?;
                out.append(&mut body);
                self.finish(out)?;
            }
            body.append(&mut entry);
        }
        let mut out = self.start(part.more)?;
        out.append(&mut body);
        self.finish(out)
    }
}

fn write_body(o: &mut Vec<u8>, message: &Message, xid: Xid, cx: Cx) -> Result<()> {
    let version = cx.version;
    match message {
        Message::Hello(versions) => write_hello(o, version.wire(), *versions),
        Message::Error(e) => write_error(o, e, version),
        Message::EchoRequest(data) | Message::EchoReply(data) => o.bytes(data),
        Message::FeaturesReply(f) => switch::write_features(o, f, version),
        Message::GetConfigReply(c) | Message::SetConfig(c) => switch::write_config(o, *c, version),
        Message::PacketIn(p) => packet::write_in(o, p, cx),
        Message::Resume(p) => packet::write_nxt2(o, p, cx),
        Message::PacketOut(p) => packet::write_out(o, p, cx),
        Message::FlowMod { request, nx: false } => flow::write(o, request, cx),
        Message::FlowMod { request, nx: true } => flow::write_nx(o, request, cx),
        Message::FlowRemoved { removed, nx } => flow::write_removed(o, removed, *nx, cx),
        Message::GroupMod { group, nx } => group::write(o, group, *nx || version == Version::Of10, cx),
        Message::PortStatus(s) => port::write_status(o, s, version),
        Message::PortMod(m) => port::write_mod(o, m, version),
        Message::RoleRequest(r) | Message::RoleReply(r) if version < Version::Of12 => switch::write_nx_role(o, *r),
        Message::RoleRequest(r) | Message::RoleReply(r) => switch::write_role(o, *r),
        Message::RoleStatus(s) => switch::write_role_status(o, *s),
        Message::SetFlowFormat(f) => switch::write_flow_format(o, *f),
        Message::FlowModTableId(on) => {
            o.u8(u8::from(*on));
            o.zeros(7);
        }
        Message::SetPacketInFormat(f) => switch::write_packet_in_format(o, *f),
        Message::SetControllerId(id) => {
            o.zeros(6);
            o.u16(*id);
        }
        Message::BundleControl { bundle, command } => {
            o.u32(bundle.id);
            o.u16(BUNDLE_COMMANDS.iter().position(|c| c == command).unwrap_or(0) as u16);
            o.u16(bundle.flags);
        }
        Message::BundleAdd { bundle, message } => {
            o.u32(bundle.id);
            o.u16(0);
            o.u16(bundle.flags);
            o.bytes(&encode_with(message, version, xid, cx.tlv)?);
        }
        Message::DescReply(d) => stats::write_desc(o, d),
        Message::FlowStatsRequest { request, nx } | Message::AggregateRequest { request, nx } => {
            stats::write_request(o, request, *nx, cx);
        }
        Message::AggregateReply { aggregate, .. } => stats::write_aggregate(o, *aggregate, version),
        Message::PortStatsRequest(p) => port::write_wanted(o, *p, version),
        Message::PortDescRequest(p) if version >= Version::Of15 => port::write_wanted(o, *p, version),
        Message::FeaturesRequest
        | Message::GetConfigRequest
        | Message::BarrierRequest
        | Message::BarrierReply
        | Message::FlowAge
        | Message::DescRequest
        | Message::TableStatsRequest
        | Message::TableFeaturesRequest
        | Message::PortDescRequest(_)
        // written in parts
        | Message::FlowStatsReply { .. }
        | Message::TableStatsReply(_)
        | Message::PortStatsReply(_)
        | Message::PortDescReply(_) => {}
    }
    Ok(())
}
