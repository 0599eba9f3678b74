//! Messages as values: bytes to a [`Message`]; [`super::encode`] is the way back.
//!
//! A message is the same value in every version; what only one version or extension has is said in the value
//! ([`super::packet::PacketInFormat`]), so that what was read is written as it was.
#![deny(clippy::indexing_slicing)]

use super::action::Cx;
use super::asynchronous::{self, AsyncConfig};
use super::bytes::Bytes;
use super::codes::*;
use super::conntrack::{self, CtFlush};
use super::encode::encode;
use super::error::{Error, Result, refuse};
use super::flow::{FlowModRequest, FlowRemoved};
use super::group_stats::{self, GroupFeatures, GroupStats};
use super::header::{HEADER, Header, Xid};
use super::ipfix::{self, IpfixStats};
use super::kind::{self, Kind};
use super::meter::{self, MeterConfig, MeterFeatures, MeterMod, MeterStats};
use super::monitor::{self, FlowUpdate, Form, MonitorRequest};
use super::packet::{PacketIn, PacketInFormat, PacketOut};
use super::port::{PortDesc, PortMod, PortStats, PortStatus};
use super::queue::{self, QueueConfig, QueueRequest, QueueStats};
use super::stats::{Aggregate, Desc, FlowEntry, FlowRequest, TableStats};
use super::switch::{Features, FlowFormat, RoleRequest, RoleStatus, SwitchConfig};
use super::table_features::{self, TableFeatures};
use super::table_mod::{self, TableDesc, TableMod, TableReason};
use super::tlv::{self, TlvMod, TlvReply};
use super::version::{Version, Versions, read_hello};
use super::{flow, group, packet, port, stats, switch};
use crate::group_mod::GroupMod;
use crate::types::{GroupId, MeterId, OfPort};
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

pub(super) const BUNDLE_COMMANDS: [BundleCommand; 8] = [
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
    /// With tables: how they are to be. With none: a question.
    TableFeaturesRequest(Part<TableFeatures>),
    TableFeaturesReply(Part<TableFeatures>),
    /// NONE is all ports.
    PortStatsRequest(OfPort),
    PortStatsReply(Part<PortStats>),
    /// NONE is all ports; before OpenFlow 1.5 it always is.
    PortDescRequest(OfPort),
    PortDescReply(Part<PortDesc>),
    MeterMod(MeterMod),
    MeterStatsRequest(MeterId),
    MeterStatsReply(Part<MeterStats>),
    MeterConfigRequest(MeterId),
    MeterConfigReply(Part<MeterConfig>),
    MeterFeaturesRequest,
    MeterFeaturesReply(MeterFeatures),
    QueueStatsRequest(QueueRequest),
    QueueStatsReply(Part<QueueStats>),
    /// How queues are set; before OpenFlow 1.4 of one port, all its queues.
    QueueConfigRequest(QueueRequest),
    QueueConfigReply {
        /// Before OpenFlow 1.4.
        port: Option<OfPort>,
        queues: Part<QueueConfig>,
    },
    /// ANY is all groups.
    GroupStatsRequest(GroupId),
    GroupStatsReply(Part<GroupStats>),
    /// ALL is all groups; before OpenFlow 1.5 it always is, except in OpenFlow 1.0 in Nicira's form.
    GroupDescRequest(GroupId),
    /// Each the change that would add it.
    GroupDescReply(Part<GroupMod>),
    GroupFeaturesRequest,
    GroupFeaturesReply(GroupFeatures),
    TableMod(TableMod),
    TableDescRequest,
    TableDescReply(Part<TableDesc>),
    TableStatus {
        reason: TableReason,
        table: TableDesc,
    },
    GetAsyncRequest,
    GetAsyncReply(AsyncConfig),
    /// `nx`: by Nicira's messages.
    SetAsync {
        config: AsyncConfig,
        nx: bool,
    },
    /// A change that another controller made: of a group or meter, with its own transaction.
    RequestForward {
        xid: Xid,
        message: Box<Message>,
    },
    FlowMonitorRequest(Vec<MonitorRequest>),
    FlowMonitorReply(Part<FlowUpdate>),
    /// Before OpenFlow 1.4, as the next two.
    FlowMonitorCancel(u32),
    FlowMonitorPaused,
    FlowMonitorResumed,
    TlvTableMod(TlvMod),
    TlvTableRequest,
    TlvTableReply(TlvReply),
    CtFlushZone(u16),
    CtFlush(CtFlush),
    IpfixBridgeRequest,
    IpfixBridgeReply(IpfixStats),
    IpfixFlowRequest,
    IpfixFlowReply(Part<IpfixStats>),
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
            let entries = stats::list(b, |b| table_features::read(b, version))?;
            Message::TableFeaturesRequest(Part { entries, more })
        }
        Kind::TableFeaturesReply => {
            let entries = stats::list(b, |b| table_features::read(b, version))?;
            Message::TableFeaturesReply(Part { entries, more })
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
        Kind::MeterMod => Message::MeterMod(meter::read_mod(b)?),
        Kind::MeterStatsRequest => Message::MeterStatsRequest(meter::read_wanted(b)?),
        Kind::MeterStatsReply => Message::MeterStatsReply(Part { entries: stats::list(b, meter::read_stats)?, more }),
        Kind::MeterConfigRequest => Message::MeterConfigRequest(meter::read_wanted(b)?),
        Kind::MeterConfigReply => {
            Message::MeterConfigReply(Part { entries: stats::list(b, meter::read_config)?, more })
        }
        Kind::MeterFeaturesRequest => Message::MeterFeaturesRequest,
        Kind::MeterFeaturesReply => Message::MeterFeaturesReply(meter::read_features(b)?),
        Kind::QueueStatsRequest => Message::QueueStatsRequest(queue::read_request(b, version)?),
        Kind::QueueStatsReply => {
            let entries = stats::list(b, |b| queue::read_stats(b, version))?;
            Message::QueueStatsReply(Part { entries, more })
        }
        Kind::QueueConfigRequest => Message::QueueConfigRequest(queue::read_config_request(b, version)?),
        Kind::QueueDescRequest => Message::QueueConfigRequest(queue::read_request(b, version)?),
        Kind::QueueConfigReply | Kind::QueueDescReply => {
            let (port, entries) = queue::read_configs(b, version)?;
            Message::QueueConfigReply { port, queues: Part { entries, more } }
        }
        Kind::GroupStatsRequest | Kind::NxGroupStatsRequest => Message::GroupStatsRequest(group_stats::read_wanted(b)?),
        Kind::GroupStatsReply | Kind::NxGroupStatsReply => {
            let nx = kind == Kind::NxGroupStatsReply;
            let entries = stats::list(b, |b| group_stats::read_stats(b, nx, version))?;
            Message::GroupStatsReply(Part { entries, more })
        }
        Kind::GroupDescRequest if version < Version::Of15 => Message::GroupDescRequest(GroupId::ALL),
        Kind::GroupDescRequest | Kind::NxGroupDescRequest => Message::GroupDescRequest(group_stats::read_wanted(b)?),
        Kind::GroupDescReply | Kind::NxGroupDescReply => {
            let nx = kind == Kind::NxGroupDescReply;
            let entries = stats::list(b, |b| group_stats::read_desc(b, nx, cx))?;
            Message::GroupDescReply(Part { entries, more })
        }
        Kind::GroupFeaturesRequest | Kind::NxGroupFeaturesRequest => Message::GroupFeaturesRequest,
        Kind::GroupFeaturesReply | Kind::NxGroupFeaturesReply => {
            Message::GroupFeaturesReply(group_stats::read_features(b)?)
        }
        Kind::TableMod => Message::TableMod(table_mod::read_mod(b, version)?),
        Kind::TableDescRequest => Message::TableDescRequest,
        Kind::TableDescReply => Message::TableDescReply(Part { entries: stats::list(b, table_mod::read_desc)?, more }),
        Kind::TableStatus => {
            let (reason, table) = table_mod::read_status(b)?;
            Message::TableStatus { reason, table }
        }
        Kind::GetAsyncRequest => Message::GetAsyncRequest,
        Kind::GetAsyncReply if version >= Version::Of14 => {
            Message::GetAsyncReply(asynchronous::read_properties(b, true)?)
        }
        Kind::GetAsyncReply => Message::GetAsyncReply(asynchronous::read_masks(b)?),
        Kind::SetAsync if version >= Version::Of14 => {
            Message::SetAsync { config: asynchronous::read_properties(b, false)?, nx: false }
        }
        Kind::SetAsync => Message::SetAsync { config: asynchronous::read_masks(b)?, nx: false },
        Kind::NxSetAsync => Message::SetAsync { config: asynchronous::read_masks(b)?, nx: true },
        Kind::NxSetAsync2 => Message::SetAsync { config: asynchronous::read_properties(b, false)?, nx: true },
        Kind::RequestForward | Kind::OnfRequestForward | Kind::NxRequestForward => read_forwarded(b, version, on)?,
        Kind::FlowMonitorRequest | Kind::OnfFlowMonitorRequest | Kind::NxFlowMonitorRequest => {
            Message::FlowMonitorRequest(stats::list(b, |b| monitor::read_request(b, Form::of(version), cx))?)
        }
        Kind::FlowMonitorReply | Kind::OnfFlowMonitorReply | Kind::NxFlowMonitorReply => {
            let entries = stats::list(b, |b| monitor::read_update(b, Form::of(version), cx))?;
            Message::FlowMonitorReply(Part { entries, more })
        }
        Kind::NxFlowMonitorCancel | Kind::OnfFlowMonitorCancel => Message::FlowMonitorCancel(b.u32()?),
        Kind::NxFlowMonitorPaused | Kind::OnfFlowMonitorPaused => Message::FlowMonitorPaused,
        Kind::NxFlowMonitorResumed | Kind::OnfFlowMonitorResumed => Message::FlowMonitorResumed,
        Kind::TlvTableMod => Message::TlvTableMod(tlv::read_mod(b)?),
        Kind::TlvTableRequest => Message::TlvTableRequest,
        Kind::TlvTableReply => Message::TlvTableReply(tlv::read_reply(b)?),
        Kind::CtFlushZone => {
            b.zeros(6)?;
            Message::CtFlushZone(b.u16()?)
        }
        Kind::CtFlush => Message::CtFlush(conntrack::read(b)?),
        Kind::IpfixBridgeRequest => Message::IpfixBridgeRequest,
        Kind::IpfixBridgeReply => Message::IpfixBridgeReply(ipfix::read(b)?),
        Kind::IpfixFlowRequest => Message::IpfixFlowRequest,
        Kind::IpfixFlowReply => Message::IpfixFlowReply(Part { entries: stats::list(b, ipfix::read)?, more }),
    })
}

/// Reads a change that another controller made.
fn read_forwarded(b: &mut Bytes, version: Version, on: Connection) -> Result<Message> {
    let inner = b.take(b.len())?;
    match kind_of(inner)? {
        Kind::GroupMod | Kind::NxGroupMod | Kind::MeterMod if inner.first() == Some(&version.wire()) => {
            let (_, xid, message) = decode(inner, on)?;
            Ok(Message::RequestForward { xid, message: Box::new(message) })
        }
        _ => refuse(OFPBRC_BAD_TYPE),
    }
}

/// Type of a vendor's error in OpenFlow 1.0 and 1.1, and of an experimenter's since.
pub(super) const ERROR_VENDOR: u16 = 0xb0c2;
/// See [`ERROR_VENDOR`].
pub(super) const ERROR_EXPERIMENTER: u16 = 0xffff;

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

/// Bytes of a refused message that its sender gets back: all of it that there is room for (OpenFlow 1.3, 7.5.4, asks for 64 at
/// least).
const ERROR_DATA: usize = 65_535 - 20;

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
