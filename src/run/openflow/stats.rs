//! Answers to questions: what the switch is, its flows, tables and ports.

use std::sync::Arc;
use std::time::Duration;

use base::clock::Instant;
use openflow::wire::codes::*;
use openflow::wire::message::Part;
use openflow::wire::port::{PortDesc, PortReason, PortStats, PortStatus, config, state};
use openflow::wire::stats::{Aggregate, Desc, FlowEntry, FlowRequest};
use openflow::wire::switch::{Features, capability};
use openflow::wire::{Error, Message, Version, Xid, encode_all};
use openflow::{Action, GroupId, OfPort, TableId};
use pipeline::{Bridge, FlowFilter, Port, Rule, Snapshot};

use super::connection::Wait;
use super::handle::{reply, seconds};
use super::remotes::Wishes;
use super::tables::TABLES;
use crate::run::devices::Device;
use crate::run::switch::{Later, Switch};

type Done = Result<(), Error>;

/// Actions of OpenFlow 1.0, one bit each: all twelve.
const ACTIONS: u32 = 0xfff;

/// What the switch can do.
pub(super) fn features(switch: &Switch, bridge: &str) -> Features {
    let tables = switch.manager.snapshot();
    let found = tables.bridge_named(bridge);
    let known = switch.database.as_ref().and_then(|d| d.datapath_id_of(bridge));
    // without a database it is the least address of the ports, as with one
    let addresses = || found.into_iter().flat_map(|b| b.ports.values()).map(|p| address(switch, p));
    let datapath_id = known.or_else(|| addresses().filter(|a| *a != 0).min()).unwrap_or(0);
    Features {
        datapath_id,
        n_buffers: 0,
        n_tables: TABLES,
        auxiliary_id: 0,
        capabilities: capability::FLOW_STATS
            | capability::TABLE_STATS
            | capability::PORT_STATS
            | capability::GROUP_STATS
            | capability::QUEUE_STATS
            | capability::ARP_MATCH_IP
            | capability::BUNDLES,
        actions: ACTIONS,
        ports: found.map(|b| b.ports.values().map(|p| described(switch, p)).collect()).unwrap_or_default(),
    }
}

/// Who made it, in the words that controllers choose their drivers by.
pub(super) fn description(switch: &Switch, bridge: &str) -> Desc {
    let wishes = switch.openflow.wishes.get(bridge);
    let text = |of: fn(&Wishes) -> &Option<String>| wishes.and_then(|w| of(w).clone()).unwrap_or_else(|| "None".into());
    Desc {
        manufacturer: "Nicira, Inc.".into(),
        hardware: "Open vSwitch".into(),
        software: programs::setup::OVS_VERSION.into(),
        serial: text(|w| &w.serial),
        datapath: text(|w| &w.description),
    }
}

/// Whether what controllers are told of two ports differs.
pub(super) fn differ(a: &Port, b: &Port) -> bool {
    (a.flags, a.up, a.mac, &a.name) != (b.flags, b.up, b.mac, &b.name)
}

/// A port's Ethernet address: what it was given, else its device's.
pub(super) fn address(switch: &Switch, port: &Port) -> u64 {
    let device = || port.device().and_then(|no| switch.mac_of(&switch.ports.get(&no)?.device));
    match port.mac {
        0 => device().map_or(0, |mac| mac.iter().fold(0, |all, b| all << 8 | u64::from(*b))),
        mac => mac,
    }
}

fn described(switch: &Switch, port: &Port) -> PortDesc {
    let flags = &port.flags;
    let device = port.device().and_then(|no| switch.ports.get(&no));
    let down = flags.down || device.is_some_and(|p| !switch.is_admin_up(&p.device));
    let bits = [
        (down, config::PORT_DOWN),
        (flags.no_stp, config::NO_STP),
        (flags.no_receive, config::NO_RECV),
        (flags.no_flood, config::NO_FLOOD),
        (flags.no_forward, config::NO_FWD),
        (flags.no_packet_in, config::NO_PACKET_IN),
    ];
    PortDesc {
        port: port.number,
        hw_addr: address(switch, port),
        name: port.name.to_string(),
        config: bits.into_iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit),
        state: if port.is_live() { state::LIVE } else { state::LINK_DOWN },
        ..PortDesc::default()
    }
}

/// That a port came, went or changed.
pub(super) fn port_status(switch: &Switch, reason: PortReason, port: &Port) -> PortStatus {
    PortStatus { reason, port: described(switch, port) }
}

/// The ports of a bridge, or one.
pub(super) fn descriptions(switch: &Switch, bridge: &str, wanted: OfPort) -> Part<PortDesc> {
    Part::all(chosen(switch, bridge, wanted).iter().map(|p| described(switch, p)).collect())
}

/// A port that is not there is none, and no error, as in OVS.
fn chosen(switch: &Switch, bridge: &str, wanted: OfPort) -> Vec<Arc<Port>> {
    let Some(bridge) = switch.manager.snapshot().bridge_named(bridge) else { return Vec::new() };
    bridge.ports.values().filter(|p| wanted == OfPort::NONE || p.number == wanted).cloned().collect()
}

/// Counters of ports.
pub(super) fn ports(switch: &mut Switch, id: u64, xid: Xid, wanted: OfPort) -> Done {
    let Some(bridge) = switch.openflow.connection(id).map(|c| c.bridge.clone()) else { return Ok(()) };
    let ports = chosen(switch, &bridge, wanted);
    let entries = ports.iter().map(|port| counters(switch, port)).collect();
    reply(switch, id, xid, Message::PortStatsReply(Part::all(entries)))
}

fn counters(switch: &Switch, port: &Port) -> PortStats {
    let unknown = u64::MAX;
    let mut stats = PortStats {
        port: port.number,
        rx_frame_err: unknown,
        rx_over_err: unknown,
        rx_crc_err: unknown,
        collisions: unknown,
        duration: Some(Duration::from_nanos(switch.clock.now().as_nanos().saturating_sub(switch.started.as_nanos()))),
        ..PortStats::default()
    };
    let Some((no, entry)) = port.device().and_then(|no| switch.ports.get_key_value(&no)) else { return stats };
    let device = entry.device.stats();
    if let Some(f) = switch.control.port_figures(*no) {
        stats.rx_packets = f.fates.received;
        stats.rx_bytes = f.fates.received_bytes;
        stats.tx_packets = f.tx_packets;
        stats.tx_bytes = f.tx_bytes;
        stats.rx_dropped = device.rx_dropped;
        stats.tx_dropped = f.tx_dropped;
        stats.rx_errors = device.rx_errors;
        stats.tx_errors = f.tx_errors + device.tx_errors;
        (stats.rx_frame_err, stats.rx_over_err, stats.rx_crc_err, stats.collisions) = (0, 0, 0, 0);
    }
    // ports in memory count what goes through them, and know of nothing that could go wrong
    if matches!(entry.device, Device::Dummy(_)) {
        let wrong = [&mut stats.rx_dropped, &mut stats.tx_dropped, &mut stats.rx_errors, &mut stats.tx_errors];
        wrong.into_iter().for_each(|n| *n = unknown);
        let details = [&mut stats.rx_frame_err, &mut stats.rx_over_err, &mut stats.rx_crc_err, &mut stats.collisions];
        details.into_iter().for_each(|n| *n = unknown);
    }
    stats.custom = custom(&entry.device, &stats);
    stats
}

/// A device's counters by name.
fn custom(device: &Device, stats: &PortStats) -> Vec<(String, u64)> {
    let Device::Dummy(dummy) = device else { return device.extended() };
    // what is received is counted twice over, for the sake of having such counters
    let mut all = vec![("rx_custom_packets_1", stats.rx_packets), ("rx_custom_packets_2", stats.rx_packets)];
    // of several queues it is not known which one it was
    if dummy.rx_queues() == 1 {
        all.extend([("rx_q0_bytes", stats.rx_bytes), ("rx_q0_packets", stats.rx_packets)]);
    }
    if dummy.polled().is_none_or(|queues| queues == 1) {
        all.extend([("tx_q0_bytes", stats.tx_bytes), ("tx_q0_packets", stats.tx_packets)]);
    }
    all.into_iter().map(|(name, n)| (name.to_owned(), n)).collect()
}

/// Which flows are asked about.
fn wanted(bridge: &Bridge, request: &FlowRequest) -> Vec<(TableId, Arc<Rule>)> {
    let filter = FlowFilter {
        table: request.table,
        matching: request.matching.clone(),
        cookie: (request.cookie.0, request.cookie_mask),
        hidden: false,
    };
    let mut flows = bridge.flows(&filter);
    if let Some(port) = request.out_port {
        flows.retain(|(_, rule)| sends(&rule.actions, port));
    }
    if let Some(group) = request.out_group {
        flows.retain(|(_, rule)| has(&rule.actions, &|a| *a == Action::Group(GroupId(group.0))));
    }
    flows
}

fn sends(actions: &[Action], wanted: OfPort) -> bool {
    has(
        actions,
        &|a| matches!(a, Action::Output { port, .. } | Action::Enqueue { port, .. } | Action::OutputTrunc { port, .. } if *port == wanted),
    )
}

pub(super) fn has(actions: &[Action], test: &dyn Fn(&Action) -> bool) -> bool {
    actions.iter().any(|a| match a {
        Action::WriteActions(inner) | Action::Clone(inner) => has(inner, test),
        a => test(a),
    })
}

/// In whole milliseconds, as the stock switch says it.
pub(super) fn since(now: Instant, at: u64) -> Duration {
    Duration::from_millis(now.as_nanos().saturating_sub(at) / 1_000_000)
}

fn entry(table: TableId, rule: &Rule, now: Instant) -> FlowEntry {
    let (packets, bytes, used) = rule.stats.get();
    let created = rule.created.as_nanos();
    FlowEntry {
        table,
        duration: since(now, created),
        priority: rule.priority(),
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        idle_age: Some(seconds(since(now, used.max(created)))),
        hard_age: Some(seconds(since(now, rule.renewed().as_nanos()))),
        flags: rule.flags,
        importance: rule.importance,
        cookie: rule.cookie,
        packets,
        bytes,
        matching: rule.matching.clone(),
        actions: rule.actions.to_vec(),
    }
}

/// Flows with their counters, as soon as workers have told what they counted.
pub(super) fn flows(switch: &mut Switch, id: u64, xid: Xid, request: FlowRequest, nx: bool) -> Done {
    collected(switch, id, xid, move |bridge, version, now| {
        let rules = wanted(bridge, &request);
        let entries = || rules.iter().map(|(table, rule)| entry(*table, rule, now));
        let encode =
            |entries| encode_all(&Message::FlowStatsReply { flows: Part::all(entries), nx }, version, xid, None);
        match encode(entries().collect()) {
            Err(e) if e.code == OFPBRC_BAD_LEN => encode(entries().filter(|e| fits(e, encode)).collect()),
            made => made,
        }
    })
}

/// Whether an answer can have the flow; it is logged when there is no room even alone.
fn fits(entry: &FlowEntry, encode: impl Fn(Vec<FlowEntry>) -> Result<Vec<Vec<u8>>, Error>) -> bool {
    let fits = encode(vec![entry.clone()]).is_ok();
    if !fits {
        let words = "Flow exceeded the maximum flow statistics reply size and was excluded from the response set";
        log::warn!(target: "ofp_flow", "{words}");
    }
    fits
}

/// The sum of flows' counters.
pub(super) fn aggregate(switch: &mut Switch, id: u64, xid: Xid, request: FlowRequest, nx: bool) -> Done {
    collected(switch, id, xid, move |bridge, version, _| {
        let mut aggregate = Aggregate::default();
        for (_, rule) in wanted(bridge, &request) {
            let (packets, bytes, _) = rule.stats.get();
            aggregate.packets += packets;
            aggregate.bytes += bytes;
            aggregate.flows += 1;
        }
        encode_all(&Message::AggregateReply { aggregate, nx }, version, xid, None)
    })
}

/// Makes an answer of the tables as they are now, with counters as they are when workers have told theirs; on another
/// thread, as there may be many. The connection's next request waits.
pub(super) fn collected(
    switch: &mut Switch,
    id: u64,
    xid: Xid,
    make: impl FnOnce(&Bridge, Version, Instant) -> Result<Vec<Vec<u8>>, Error> + Send + 'static,
) -> Done {
    let tables: Snapshot = switch.manager.snapshot().clone();
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    connection.wait = Some(Wait::Answer);
    let (bridge, version) = (connection.bridge.clone(), connection.session.version.unwrap_or(Version::Of10));
    let ticket = switch.control.collect();
    let then = move |switch: &mut Switch| {
        let now = switch.clock.now();
        switch.jobs.aside(
            move || tables.bridge_named(&bridge).map_or(Ok(Vec::new()), |bridge| make(bridge, version, now)),
            move |switch, made| answered(switch, id, xid, made),
        );
    };
    switch.tickets.insert(ticket, Later::Then(Box::new(then)));
    Ok(())
}

fn answered(switch: &mut Switch, id: u64, xid: Xid, made: Result<Result<Vec<Vec<u8>>, Error>, String>) {
    let Some(connection) = switch.openflow.connection(id) else { return };
    connection.wait = None;
    match made {
        Ok(Ok(parts)) => parts.into_iter().for_each(|part| connection.put(part)),
        Ok(Err(e)) => connection.fail(e.code, xid),
        Err(e) => {
            log::error!(target: "ofproto", "{}: no answer to {:#x}: {e}", connection.peer.name, xid.0);
            connection.fail(OFPBRC_EPERM, xid);
        }
    }
}
