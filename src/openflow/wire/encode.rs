//! Values to bytes: one message, or an answer cut into as many as it takes.
#![deny(clippy::indexing_slicing)]

use super::action::Cx;
use super::asynchronous::{self, AsyncConfig};
use super::bytes::{Put, set_u16};
use super::codes::{OFPBRC_BAD_LEN, OFPBRC_BAD_TYPE};
use super::error::{Error, Result, refuse};
use super::header::{MAX_MESSAGE, Xid};
use super::kind::{self, Kind};
use super::message::{BUNDLE_COMMANDS, ERROR_EXPERIMENTER, ERROR_VENDOR, ErrorMessage, Message, Part};
use super::monitor::{self, Form};
use super::packet::PacketInFormat;
use super::version::{Version, write_hello};
use super::{
    conntrack, flow, group, group_stats, ipfix, meter, packet, port, queue, stats, switch, table_features, table_mod,
    tlv,
};
use ::flow::fields::tlv::TlvTable;

/// The kind that a message is written as in `version`.
fn kind(message: &Message, version: Version) -> Kind {
    let pick = |nx: bool, yes: Kind, no: Kind| if nx { yes } else { no };
    let of10 = version == Version::Of10;
    let early = version <= Version::Of11;
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
        Message::GroupMod { nx, .. } => pick(*nx || of10, Kind::NxGroupMod, Kind::GroupMod),
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
        Message::TableFeaturesRequest(_) => Kind::TableFeaturesRequest,
        Message::TableFeaturesReply(_) => Kind::TableFeaturesReply,
        Message::PortStatsRequest(_) => Kind::PortStatsRequest,
        Message::PortStatsReply(_) => Kind::PortStatsReply,
        Message::PortDescRequest(_) => Kind::PortDescRequest,
        Message::PortDescReply(_) => Kind::PortDescReply,
        Message::MeterMod(_) => Kind::MeterMod,
        Message::MeterStatsRequest(_) => Kind::MeterStatsRequest,
        Message::MeterStatsReply(_) => Kind::MeterStatsReply,
        Message::MeterConfigRequest(_) => Kind::MeterConfigRequest,
        Message::MeterConfigReply(_) => Kind::MeterConfigReply,
        Message::MeterFeaturesRequest => Kind::MeterFeaturesRequest,
        Message::MeterFeaturesReply(_) => Kind::MeterFeaturesReply,
        Message::QueueStatsRequest(_) => Kind::QueueStatsRequest,
        Message::QueueStatsReply(_) => Kind::QueueStatsReply,
        Message::QueueConfigRequest(_) => {
            pick(version < Version::Of14, Kind::QueueConfigRequest, Kind::QueueDescRequest)
        }
        Message::QueueConfigReply { .. } => pick(version < Version::Of14, Kind::QueueConfigReply, Kind::QueueDescReply),
        Message::GroupStatsRequest(_) => pick(of10, Kind::NxGroupStatsRequest, Kind::GroupStatsRequest),
        Message::GroupStatsReply(_) => pick(of10, Kind::NxGroupStatsReply, Kind::GroupStatsReply),
        Message::GroupDescRequest(_) => pick(of10, Kind::NxGroupDescRequest, Kind::GroupDescRequest),
        Message::GroupDescReply(_) => pick(of10, Kind::NxGroupDescReply, Kind::GroupDescReply),
        Message::GroupFeaturesRequest => pick(early, Kind::NxGroupFeaturesRequest, Kind::GroupFeaturesRequest),
        Message::GroupFeaturesReply(_) => pick(early, Kind::NxGroupFeaturesReply, Kind::GroupFeaturesReply),
        Message::TableMod(_) => Kind::TableMod,
        Message::TableDescRequest => Kind::TableDescRequest,
        Message::TableDescReply(_) => Kind::TableDescReply,
        Message::TableStatus { .. } => Kind::TableStatus,
        Message::GetAsyncRequest => Kind::GetAsyncRequest,
        Message::GetAsyncReply(_) => Kind::GetAsyncReply,
        Message::SetAsync { config, nx: true } => pick(is_old(config), Kind::NxSetAsync, Kind::NxSetAsync2),
        Message::SetAsync { nx: false, .. } => Kind::SetAsync,
        Message::RequestForward { .. } => {
            form(version, [Kind::NxRequestForward, Kind::OnfRequestForward, Kind::RequestForward])
        }
        Message::FlowMonitorRequest(_) => {
            form(version, [Kind::NxFlowMonitorRequest, Kind::OnfFlowMonitorRequest, Kind::FlowMonitorRequest])
        }
        Message::FlowMonitorReply(_) => {
            form(version, [Kind::NxFlowMonitorReply, Kind::OnfFlowMonitorReply, Kind::FlowMonitorReply])
        }
        Message::FlowMonitorCancel(_) => {
            pick(version < Version::Of13, Kind::NxFlowMonitorCancel, Kind::OnfFlowMonitorCancel)
        }
        Message::FlowMonitorPaused => {
            pick(version < Version::Of13, Kind::NxFlowMonitorPaused, Kind::OnfFlowMonitorPaused)
        }
        Message::FlowMonitorResumed => {
            pick(version < Version::Of13, Kind::NxFlowMonitorResumed, Kind::OnfFlowMonitorResumed)
        }
        Message::TlvTableMod(_) => Kind::TlvTableMod,
        Message::TlvTableRequest => Kind::TlvTableRequest,
        Message::TlvTableReply(_) => Kind::TlvTableReply,
        Message::CtFlushZone(_) => Kind::CtFlushZone,
        Message::CtFlush(_) => Kind::CtFlush,
        Message::IpfixBridgeRequest => Kind::IpfixBridgeRequest,
        Message::IpfixBridgeReply(_) => Kind::IpfixBridgeReply,
        Message::IpfixFlowRequest => Kind::IpfixFlowRequest,
        Message::IpfixFlowReply(_) => Kind::IpfixFlowReply,
    }
}

/// The kind of a message that has three forms.
fn form(version: Version, [nx, onf, standard]: [Kind; 3]) -> Kind {
    match Form::of(version) {
        Form::Nx => nx,
        Form::Onf => onf,
        Form::Standard => standard,
    }
}

/// Does it say what Nicira's first message can, which has all masks of three messages and no others?
fn is_old(c: &AsyncConfig) -> bool {
    [c.primary, c.secondary].iter().all(|m| m.iter().enumerate().all(|(n, mask)| mask.is_some() == (n < 3)))
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
        Message::MeterStatsReply(meters) => w.parts(meters, meter::write_stats)?,
        Message::MeterConfigReply(meters) => w.parts(meters, meter::write_config)?,
        Message::QueueStatsReply(queues) => w.parts(queues, |o, q| queue::write_stats(o, q, version))?,
        Message::QueueConfigReply { queues, .. } if version >= Version::Of14 => {
            w.parts(queues, |o, q| queue::write_config(o, q, version))?;
        }
        Message::GroupStatsReply(groups) => {
            w.parts(groups, |o, g| group_stats::write_stats(o, g, version == Version::Of10, version))?;
        }
        Message::GroupDescReply(groups) => {
            w.parts(groups, |o, g| group_stats::write_desc(o, g, version == Version::Of10, cx))?;
        }
        Message::TableFeaturesRequest(tables) | Message::TableFeaturesReply(tables) => {
            w.parts(tables, |o, t| table_features::write(o, t, version))?;
        }
        Message::TableDescReply(tables) => w.parts(tables, table_mod::write_desc)?,
        Message::FlowMonitorReply(updates) => {
            w.parts(updates, |o, u| monitor::write_update(o, u, Form::of(version), cx))?;
        }
        Message::IpfixFlowReply(sets) => w.parts(sets, ipfix::write)?,
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
        Message::MeterMod(m) => meter::write_mod(o, m),
        Message::MeterStatsRequest(id) | Message::MeterConfigRequest(id) => meter::write_wanted(o, *id),
        Message::MeterFeaturesReply(f) => meter::write_features(o, *f),
        Message::QueueStatsRequest(r) => queue::write_request(o, *r, version),
        Message::QueueConfigRequest(r) if version >= Version::Of14 => queue::write_request(o, *r, version),
        Message::QueueConfigRequest(r) => queue::write_config_request(o, *r, version),
        // not cut: a port has few queues
        Message::QueueConfigReply { port, queues } => {
            queue::write_port_of(o, *port, version);
            queues.entries.iter().for_each(|q| queue::write_config(o, q, version));
        }
        Message::GroupStatsRequest(id) => group_stats::write_wanted(o, *id),
        Message::GroupDescRequest(_) if version > Version::Of10 && version < Version::Of15 => {}
        Message::GroupDescRequest(id) => group_stats::write_wanted(o, *id),
        Message::GroupFeaturesReply(f) => group_stats::write_features(o, f),
        Message::TableMod(m) => table_mod::write_mod(o, m, version),
        Message::TableStatus { reason, table } => table_mod::write_status(o, *reason, table),
        Message::GetAsyncReply(c) | Message::SetAsync { config: c, nx: false } if version < Version::Of14 => {
            asynchronous::write_masks(o, c);
        }
        Message::SetAsync { config, nx: true } if is_old(config) => asynchronous::write_masks(o, config),
        Message::GetAsyncReply(c) | Message::SetAsync { config: c, .. } => asynchronous::write_properties(o, c),
        Message::RequestForward { xid, message } => o.bytes(&encode_with(message, version, *xid, cx.tlv)?),
        Message::FlowMonitorRequest(all) => {
            all.iter().for_each(|r| monitor::write_request(o, r, Form::of(version), cx));
        }
        Message::FlowMonitorCancel(id) => o.u32(*id),
        Message::TlvTableMod(m) => tlv::write_mod(o, m),
        Message::TlvTableReply(r) => tlv::write_reply(o, r),
        Message::CtFlushZone(zone) => {
            o.zeros(6);
            o.u16(*zone);
        }
        Message::CtFlush(f) => conntrack::write(o, f),
        Message::IpfixBridgeReply(s) => ipfix::write(o, s),
        Message::FeaturesRequest
        | Message::MeterFeaturesRequest
        | Message::GroupFeaturesRequest
        | Message::TableDescRequest
        | Message::GetAsyncRequest
        | Message::FlowMonitorPaused
        | Message::FlowMonitorResumed
        | Message::TlvTableRequest
        | Message::IpfixBridgeRequest
        | Message::IpfixFlowRequest
        | Message::GetConfigRequest
        | Message::BarrierRequest
        | Message::BarrierReply
        | Message::FlowAge
        | Message::DescRequest
        | Message::TableStatsRequest
        | Message::TableFeaturesRequest(_)
        | Message::PortDescRequest(_)
        // written in parts
        | Message::FlowStatsReply { .. }
        | Message::TableStatsReply(_)
        | Message::TableFeaturesReply(_)
        | Message::PortStatsReply(_)
        | Message::PortDescReply(_)
        | Message::MeterStatsReply(_)
        | Message::MeterConfigReply(_)
        | Message::QueueStatsReply(_)
        | Message::GroupStatsReply(_)
        | Message::GroupDescReply(_)
        | Message::TableDescReply(_)
        | Message::FlowMonitorReply(_)
        | Message::IpfixFlowReply(_) => {}
    }
    Ok(())
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
