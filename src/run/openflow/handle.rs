//! Does what a connection asks.

use std::sync::Arc;
use std::time::Duration;

use openflow::flow_mod::{Command, FlowMod};
use openflow::wire::codes::*;
use openflow::wire::message::{Bundle as Which, BundleCommand, kind_of};
use openflow::wire::port::{PortMod, config};
use openflow::wire::switch::{Fragments, Role, RoleReason, RoleRequest, RoleStatus, SwitchConfig};
use openflow::wire::{Error, ErrorCode, Header, Message, Version, Xid, bytes::Bytes, decode, error_reply};
use pipeline::watch::By;
use pipeline::{BundleItem, Port};

use super::connection::Wait;
use super::session::{BUNDLED, BUNDLES, Bundle, Kind};
use super::{groups, meters, packets, queues, stats, tables, watch, work};
use crate::run::switch::Switch;

type Done = Result<(), Error>;

fn refuse(code: ErrorCode) -> Done {
    Err(Error::new(code))
}

/// A message of connection `id`, whole as it came.
pub(super) fn handle(switch: &mut Switch, id: u64, bytes: Vec<u8>) {
    let Some(connection) = switch.openflow.connection(id) else { return };
    if connection.session.kind == Kind::Snoop {
        return;
    }
    let agreed = connection.session.version;
    let reading = connection.session.reading();
    let done = match (agreed, decode(&bytes, reading)) {
        (None, Ok((_, _, Message::Hello(theirs)))) => return hello(switch, id, theirs),
        (None, _) => {
            log::warn!(target: "vconn", "{}: the first message is no hello", connection.peer.name);
            (connection.over, connection.why) = (true, "Protocol error".into());
            return;
        }
        // one more does no harm
        (Some(_), Ok((_, _, Message::Hello(_)))) => Ok(()),
        (Some(agreed), Ok((version, ..))) if version != agreed => refuse(OFPBRC_BAD_VERSION),
        (Some(_), Ok((_, xid, message))) => execute(switch, id, xid, message, &bytes),
        (Some(agreed), Err(e)) => match Header::read(&mut Bytes::new(&bytes)) {
            // answering errors with errors would never end
            Ok(header) if header.kind == 1 => Ok(()),
            Ok(header) if header.version != agreed.wire() => refuse(OFPBRC_BAD_VERSION),
            _ => Err(e),
        },
    };
    // before any answer that is made later
    watch::flush(switch);
    if let Err(e) = done {
        refused(switch, id, &e, &bytes);
    }
}

/// Tells a peer that its message was refused.
pub(super) fn refused(switch: &mut Switch, id: u64, e: &Error, bytes: &[u8]) {
    let Some(connection) = switch.openflow.connection(id) else { return };
    log::debug!(target: "ofproto", "{}: {e}", connection.peer.name);
    // in the version that it speaks, be it another than was agreed on
    let version = bytes.first().and_then(|v| Version::from_wire(*v)).unwrap_or(Version::Of10);
    connection.put(error_reply(e.code, version, bytes));
}

fn hello(switch: &mut Switch, id: u64, theirs: openflow::wire::Versions) {
    let Some(connection) = switch.openflow.connection(id) else { return };
    let ours = connection.session.versions;
    match ours.common(theirs) {
        Some(version) => connection.session.version = Some(version),
        None => {
            log::warn!(target: "vconn", "{}: no version of OpenFlow in common", connection.peer.name);
            connection.put(error_reply(OFPHFC_INCOMPATIBLE, Version::Of10, &[]));
            (connection.over, connection.why) = (true, "Protocol error".into());
        }
    }
}

fn execute(switch: &mut Switch, id: u64, xid: Xid, message: Message, bytes: &[u8]) -> Done {
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    let bridge = connection.bridge.clone();
    let session = &mut connection.session;
    let version = session.version.unwrap_or(Version::Of10);
    let changes = matches!(
        message,
        Message::FlowMod { .. }
            | Message::GroupMod { .. }
            | Message::MeterMod(_)
            | Message::PortMod(_)
            | Message::PacketOut(_)
            | Message::Resume(_)
            | Message::BundleControl { .. }
            | Message::BundleAdd { .. }
            | Message::CtFlushZone(_)
            | Message::CtFlush(_)
            | Message::TableMod(_)
    ) || matches!(&message, Message::TableFeaturesRequest(part) if part.more || !part.entries.is_empty());
    if changes && session.role == Role::Secondary {
        return refuse(OFPBRC_IS_SECONDARY);
    }
    let commits = matches!(message, Message::BundleControl { command: BundleCommand::CommitRequest, .. });
    let excluded =
        commits || matches!(message, Message::FlowMod { .. } | Message::GroupMod { .. } | Message::MeterMod(_));
    // what changes the same tables waits for a bundle, and a bundle for all that is long
    if excluded && (switch.openflow.has_bundle() || switch.longs.has_bundle() || commits && switch.longs.is_running()) {
        let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
        connection.queue.push_front(bytes.to_vec());
        connection.wait = Some(Wait::Bundle);
        return Ok(());
    }
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    let session = &mut connection.session;
    match message {
        Message::EchoRequest(data) => connection.send(&Message::EchoReply(data), xid),
        Message::EchoReply(_) | Message::Error(_) => {}
        Message::FeaturesRequest => {
            let features = stats::features(switch, &bridge);
            return reply(switch, id, xid, Message::FeaturesReply(features));
        }
        Message::GetConfigRequest => {
            let tables = switch.manager.snapshot();
            let config = SwitchConfig {
                fragments: tables.bridge_named(&bridge).map_or(Fragments::Normal, |b| b.fragments),
                invalid_ttl_to_controller: Some(session.invalid_ttl()),
                miss_send_len: session.miss_send_len,
            };
            connection.send(&Message::GetConfigReply(config), xid);
        }
        Message::SetConfig(config) => {
            session.miss_send_len = config.miss_send_len;
            config.invalid_ttl_to_controller.into_iter().for_each(|on| session.set_invalid_ttl(on));
            let secondary = session.role == Role::Secondary;
            // nobody puts fragments together, and a secondary changes nothing of the switch's
            if config.fragments != Fragments::Reassemble && !secondary {
                switch.manager.set_fragments(&bridge, config.fragments).map_err(|e| told(&e))?;
            }
        }
        Message::RoleRequest(request) => return role(switch, id, xid, request),
        // statistics and packets are in Nicira's form where the match needs it, whatever was asked for
        Message::SetFlowFormat(_) | Message::FlowAge => {}
        Message::FlowModTableId(on) => session.table_id = on,
        Message::SetPacketInFormat(format) => session.packet_in_format = format,
        Message::SetControllerId(n) => session.controller_id = n,
        Message::BarrierRequest => {
            let (version, since) = (switch.manager.publish(), switch.clock.now());
            let packets = packets::follow(switch);
            let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
            connection.wait = Some(Wait::Barrier { version, packets, xid, since });
            // most have passed by now
            super::barriers(switch);
        }
        Message::FlowMod { request, .. } => {
            let flow = &request.flow;
            let strict = matches!(flow.command, Command::ModifyStrict | Command::DeleteStrict);
            let tables = switch.manager.snapshot();
            let many = tables.bridge_named(&bridge).is_some_and(|b| b.flow_count() > FEW);
            let whole = request.buffer.is_none() && !switch.longs.is_running();
            if flow.command != Command::Add && !strict && many && whole {
                work::change(switch, id, request.flow, bytes);
                return Ok(());
            }
            acting(switch, id, xid, |switch| flow_mod(switch, &bridge, flow))?;
            if request.buffer.is_some() {
                return refuse(OFPBRC_BUFFER_UNKNOWN);
            }
        }
        Message::GroupMod { group, .. } => {
            acting(switch, id, xid, |switch| {
                let now = switch.clock.now();
                switch.manager.group_mod(&bridge, &group, now).map_err(|e| told(&e)).map(drop)
            })?;
            forward(switch, id, xid, 0, Message::GroupMod { group, nx: false });
        }
        Message::MeterMod(meter) => {
            acting(switch, id, xid, |switch| meters::change(switch, &bridge, &meter))?;
            forward(switch, id, xid, 1, Message::MeterMod(meter));
        }
        Message::PortMod(port) => return port_mod(switch, &bridge, &port),
        Message::PacketOut(packet) => return packets::send(switch, &bridge, packet),
        Message::Resume(packet) => return packets::resume(switch, &bridge, &packet),
        Message::BundleControl { bundle, command } => return bundle_control(switch, id, xid, bundle, command, bytes),
        Message::BundleAdd { bundle, message } => return bundle_add(switch, id, bundle, *message, bytes),
        Message::DescRequest => {
            let description = stats::description(switch, &bridge);
            return reply(switch, id, xid, Message::DescReply(description));
        }
        Message::FlowStatsRequest { request, nx } => return stats::flows(switch, id, xid, request, nx),
        Message::AggregateRequest { request, nx } => return stats::aggregate(switch, id, xid, request, nx),
        Message::TableFeaturesRequest(asked) => return tables::features(switch, id, xid, asked),
        Message::TableDescRequest => return tables::descriptions(switch, id, xid),
        Message::TableMod(wanted) => return tables::modify(switch, &bridge, &wanted),
        Message::TableStatsRequest => return tables::statistics(switch, id, xid),
        Message::PortStatsRequest(port) => return stats::ports(switch, id, xid, port),
        Message::PortDescRequest(port) => {
            let ports = stats::descriptions(switch, &bridge, port);
            return reply(switch, id, xid, Message::PortDescReply(ports));
        }
        Message::SetAsync { config, .. } => session.take_asks(&config),
        Message::GetAsyncRequest => {
            let config = session.asks.config();
            connection.send(&Message::GetAsyncReply(config), xid);
        }
        Message::FlowMonitorRequest(requests) => return watch::request(switch, id, xid, requests),
        Message::FlowMonitorCancel(monitor) => return watch::cancel(switch, id, monitor),
        Message::GroupDescRequest(wanted) => return groups::descriptions(switch, id, xid, wanted),
        Message::GroupStatsRequest(wanted) => return groups::statistics(switch, id, xid, wanted),
        Message::GroupFeaturesRequest => {
            return reply(switch, id, xid, Message::GroupFeaturesReply(groups::features(version)));
        }
        Message::MeterConfigRequest(wanted) => return meters::configurations(switch, id, xid, wanted),
        Message::MeterStatsRequest(wanted) => return meters::statistics(switch, id, xid, wanted),
        Message::QueueStatsRequest(wanted) => return queues::statistics(switch, id, xid, wanted),
        Message::QueueConfigRequest(wanted) => return queues::configurations(switch, id, xid, wanted),
        Message::MeterFeaturesRequest => {
            return reply(switch, id, xid, Message::MeterFeaturesReply(meters::features()));
        }
        // no IPFIX exporter is configured
        Message::IpfixBridgeRequest | Message::IpfixFlowRequest => return refuse(NXST_NOT_CONFIGURED),
        // nothing is tracked that could be forgotten
        Message::CtFlushZone(_) | Message::CtFlush(_) => {}
        // what only a switch says, and what is not there yet
        _ => return refuse(kind_of(bytes).map_or(OFPBRC_BAD_TYPE, |kind| kind.unsupported(version))),
    }
    Ok(())
}

/// Sends an answer.
pub(super) fn reply(switch: &mut Switch, id: u64, xid: Xid, message: Message) -> Done {
    if let Some(connection) = switch.openflow.connection(id) {
        connection.send(&message, xid);
    }
    Ok(())
}

/// Does what a connection asks for in its name.
fn acting(switch: &mut Switch, id: u64, xid: Xid, change: impl FnOnce(&mut Switch) -> Done) -> Done {
    switch.manager.act_for(Some(By { connection: id, xid: xid.0 }));
    let done = change(switch);
    switch.manager.act_for(None);
    done
}

fn flow_mod(switch: &mut Switch, bridge: &str, flow: &FlowMod) -> Done {
    let now = switch.clock.now();
    switch.manager.flow_mod(bridge, flow, now).map(drop).map_err(|e| told(&e))
}

/// What a peer is told of a change that the tables refuse.
pub(super) fn told(e: &pipeline::Error) -> Error {
    use pipeline::Error as E;
    let code = match e {
        E::NoSuchBridge(_) | E::BridgeExists(_) | E::States | E::Internal(_) => OFPBRC_EPERM,
        E::NoSuchPort(..) | E::PortExists(_) | E::BadPortNumber(_) | E::DatapathPortInUse(_) => OFPPMFC_BAD_PORT,
        E::NoSuchTable(_) => OFPTMFC_BAD_TABLE,
        E::TableNamed(_) => OFPTFFC_EPERM,
        E::TableFull(_) => OFPFMFC_TABLE_FULL,
        E::BadTable(_) => OFPFMFC_BAD_TABLE_ID,
        E::GotoBackward(..) => OFPBIC_BAD_TABLE_ID,
        E::Overlap => OFPFMFC_OVERLAP,
        E::UnsupportedAction(_) => OFPBAC_BAD_TYPE,
        E::BadSetAction(_) => OFPBAC_BAD_ARGUMENT,
        E::BadOutGroup(_) => OFPBAC_BAD_OUT_GROUP,
        E::TooDeep => OFPBAC_TOO_MANY,
        E::GroupExists(_) => OFPGMFC_GROUP_EXISTS,
        E::NoSuchGroup(_) => OFPGMFC_UNKNOWN_GROUP,
        E::BadGroup(_) | E::IndirectBuckets => OFPGMFC_INVALID_GROUP,
        E::GroupLoop(_) => OFPGMFC_LOOP,
        E::BadBucket(_) => OFPGMFC_UNKNOWN_BUCKET,
        E::BucketExists(_) => OFPGMFC_BUCKET_EXISTS,
        E::BadMeter(_) => OFPMMFC_INVALID_METER,
        E::MeterExists(_) => OFPMMFC_METER_EXISTS,
        E::NoSuchMeter(_) => OFPMMFC_UNKNOWN_METER,
        E::ManyMeters(_) => OFPMMFC_OUT_OF_METERS,
        E::Changed(_) => OFPBFC_MSG_CONFLICT,
    };
    Error::because(code, "ofproto", e.to_string())
}

/// Tells other controllers of a change of a group or meter (OpenFlow 1.4.1, section 7.4.6), by what it is about.
fn forward(switch: &mut Switch, id: u64, xid: Xid, about: u32, message: Message) {
    let openflow = &switch.openflow;
    let Some(source) = openflow.connections.get(&id) else { return };
    let others = openflow.connections.iter().filter(|(n, c)| **n != id && c.bridge == source.bridge);
    let mut others = others.map(|(_, c)| c).filter(|c| c.session.wants_forwarded(about)).peekable();
    if others.peek().is_some() {
        let forwarded = Message::RequestForward { xid, message: Box::new(message) };
        others.for_each(|c| c.tell(&forwarded));
    }
}

/// OpenFlow 1.3.5 sections 6.3.6 and 7.3.9.
fn role(switch: &mut Switch, id: u64, xid: Xid, request: RoleRequest) -> Done {
    let Some(bridge) = switch.openflow.connection(id).map(|c| c.bridge.clone()) else { return Ok(()) };
    if matches!(request.role, Role::Primary | Role::Secondary)
        && let Some(new) = request.generation
    {
        let generations = &mut switch.openflow.generations;
        if generations.get(&bridge).is_some_and(|known| (new.wrapping_sub(*known) as i64) < 0) {
            return refuse(OFPRRFC_STALE);
        }
        generations.insert(bridge.clone(), new);
    }
    if request.role == Role::Primary {
        let others = switch.openflow.connections.iter_mut().filter(|(n, c)| **n != id && c.bridge == bridge);
        let generation = request.generation;
        for (_, other) in others.filter(|(_, c)| c.session.role == Role::Primary) {
            other.session.role = Role::Secondary;
            let reason = RoleReason::PrimaryRequest;
            if other.session.wants_role() {
                other.tell(&Message::RoleStatus(RoleStatus { role: Role::Secondary, reason, generation }));
            }
        }
    }
    if let Some(database) = switch.database.as_mut().filter(|_| request.role != Role::NoChange) {
        database.tell_now();
    }
    let generation = switch.openflow.generations.get(&bridge).copied();
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    if request.role != Role::NoChange {
        connection.session.role = request.role;
    }
    let answer = RoleRequest { role: connection.session.role, generation };
    connection.send(&Message::RoleReply(answer), xid);
    Ok(())
}

/// The port that a change is about.
pub(super) fn port_of(switch: &Switch, bridge: &str, wanted: &PortMod) -> Result<Arc<Port>, Error> {
    let found = switch.manager.snapshot().bridge_named(bridge).and_then(|b| b.ports.get(&wanted.port).cloned());
    let port = found.ok_or(Error::new(OFPPMFC_BAD_PORT))?;
    if stats::address(switch, &port) != wanted.hw_addr {
        return Err(Error::new(OFPPMFC_BAD_HW_ADDR));
    }
    Ok(port)
}

pub(super) fn port_mod(switch: &mut Switch, bridge: &str, wanted: &PortMod) -> Done {
    let port = port_of(switch, bridge, wanted)?;
    let change = |port: &mut Port| {
        let flags = &mut port.flags;
        for (bit, flag) in [
            (config::PORT_DOWN, &mut flags.down),
            (config::NO_STP, &mut flags.no_stp),
            (config::NO_RECV, &mut flags.no_receive),
            (config::NO_FLOOD, &mut flags.no_flood),
            (config::NO_FWD, &mut flags.no_forward),
            (config::NO_PACKET_IN, &mut flags.no_packet_in),
        ] {
            if wanted.mask & bit != 0 {
                *flag = wanted.config & bit != 0;
            }
        }
    };
    switch.manager.modify_port(bridge, &port.name, change).map_err(|e| told(&e))?;
    if wanted.mask & config::PORT_DOWN != 0 {
        switch.set_admin_up(&port.name, wanted.config & config::PORT_DOWN == 0);
    }
    Ok(())
}

/// OpenFlow 1.4.1 section 7.3.9.
fn bundle_control(switch: &mut Switch, id: u64, xid: Xid, which: Which, command: BundleCommand, bytes: &[u8]) -> Done {
    let now = switch.clock.now();
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    let bundles = &mut connection.session.bundles;
    let answer = match command {
        BundleCommand::OpenRequest => {
            if bundles.remove(&which.id).is_some() {
                return refuse(OFPBFC_BAD_ID);
            }
            if bundles.len() >= BUNDLES {
                return refuse(OFPBFC_OUT_OF_BUNDLES);
            }
            bundles.insert(which.id, Bundle::new(which.flags, bytes, now));
            BundleCommand::OpenReply
        }
        BundleCommand::CloseRequest => {
            let Some(bundle) = bundles.get_mut(&which.id) else { return refuse(OFPBFC_BAD_ID) };
            if bundle.closed || bundle.flags != which.flags {
                let code = if bundle.closed { OFPBFC_BUNDLE_CLOSED } else { OFPBFC_BAD_FLAGS };
                bundles.remove(&which.id);
                return refuse(code);
            }
            (bundle.closed, bundle.used) = (true, now);
            BundleCommand::CloseReply
        }
        BundleCommand::CommitRequest => {
            let Some(bundle) = bundles.remove(&which.id) else { return refuse(OFPBFC_BAD_ID) };
            if bundle.flags != which.flags {
                return refuse(OFPBFC_BAD_FLAGS);
            }
            work::commit(switch, id, xid, which, bundle, bytes);
            return Ok(());
        }
        BundleCommand::DiscardRequest => {
            if bundles.remove(&which.id).is_none() {
                return refuse(OFPBFC_BAD_ID);
            }
            BundleCommand::DiscardReply
        }
        _ => return refuse(OFPBFC_BAD_TYPE),
    };
    reply(switch, id, xid, Message::BundleControl { bundle: Which { flags: 0, ..which }, command: answer })
}

fn bundle_add(switch: &mut Switch, id: u64, which: Which, message: Message, bytes: &[u8]) -> Done {
    let now = switch.clock.now();
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    let session = &mut connection.session;
    if session.bundled() >= BUNDLED {
        return refuse(OFPBFC_MSG_TOO_MANY);
    }
    // without one that is open, it opens
    let room = session.bundles.len() < BUNDLES || session.bundles.contains_key(&which.id);
    if !room {
        return refuse(OFPBFC_OUT_OF_BUNDLES);
    }
    let new = || Bundle::new(which.flags, bytes, now);
    let bundle = session.bundles.entry(which.id).or_insert_with(new);
    bundle.used = now;
    if bundle.closed {
        session.bundles.remove(&which.id);
        return refuse(OFPBFC_BUNDLE_CLOSED);
    }
    if bundle.flags != which.flags {
        session.bundles.remove(&which.id);
        return refuse(OFPBFC_BAD_FLAGS);
    }
    // what the error is about is the message in it
    let inner = bytes.get(before_inner(bytes)..).unwrap_or(bytes).to_vec();
    let item = match message {
        Message::PortMod(port) => {
            bundle.ports.push((inner, port));
            return Ok(());
        }
        Message::FlowMod { request, .. } => {
            pipeline::permitted(&request.flow).map_err(|e| told(&e))?;
            BundleItem::Flow(request.flow)
        }
        Message::GroupMod { group, .. } => BundleItem::Group(group),
        Message::PacketOut(packet) => {
            packets::check(&packet)?;
            BundleItem::Packet(Box::new(packet))
        }
        _ => return refuse(OFPBFC_MSG_UNSUP),
    };
    bundle.items.push((inner, item));
    Ok(())
}

/// Flows that can all be removed or modified in less time than a slice has.
const FEW: usize = 500;

/// Octets before the message that a bundle is to take: OFPT_BUNDLE_ADD_MESSAGE has 16, ONF's extension of OpenFlow 1.3 has
/// them behind an experimenter's header, whose type is 4.
fn before_inner(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&4) { 24 } else { 16 }
}

/// Seconds, as much as 16 bits have.
pub(super) fn seconds(time: Duration) -> u16 {
    u16::try_from(time.as_secs()).unwrap_or(u16::MAX)
}
