//! Makes [`crate::view::Snapshot`] and megaflows for display of the switch as it is.

use datapath::worker::Megaflow;
use datapath::{Order, PortFigures, Wanted};
use dpif::PortNo;
use dpif::text::Named;
use flow::Match;
use flow::layout::{IN_PORT, KEY_WORDS, PACKET_TYPE, RECIRC_ID};
use flow::text::format::format_match;
use flow::text::parse::parse_match;
use openflow::OfPort;
use pipeline::{PortKind, VlanMode};

use super::names::{FlowNames, Names};
use super::switch::Switch;
use crate::view;

/// Most megaflows that "the best" may be.
const MOST: usize = 10_000;

/// The switch now; `hottest` comes from the workers.
pub(super) fn snapshot(switch: &Switch, hottest: Vec<Megaflow>) -> view::Snapshot {
    let ports = ports(switch);
    let totals = fates(&switch.control.totals());
    let gone = totals.without(ports.iter().map(|p| &p.received));
    let tables = switch.manager.snapshot();
    let bridges = tables.bridges.iter().flatten().map(|b| view::Bridge {
        name: b.name.to_string(),
        flows: b.flow_count(),
        groups: b.groups.len(),
        macs: b.fdb.len(),
    });
    let mut pools: Vec<view::Pool> =
        (switch.opener.pools().into_iter()).map(|(name, (used, frames))| view::Pool { name, used, frames }).collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    view::Snapshot {
        version: env!("CARGO_PKG_VERSION").into(),
        dpdk: switch.opener.dpdk_version(),
        at: switch.clock.now().as_nanos(),
        started: switch.started.as_nanos(),
        bridges: bridges.collect(),
        workers: workers(switch),
        gone,
        totals,
        matrix: matrix(switch),
        hottest: megaflows(switch, hottest, Some(Order::Rate)),
        pools,
        ports,
    }
}

/// Who sends to whom.
pub(super) fn matrix(switch: &Switch) -> Vec<view::Talk> {
    let talk = |((from, to), packets)| view::Talk { from: port_name(switch, from), to: port_name(switch, to), packets };
    switch.control.matrix().into_iter().map(talk).collect()
}

/// What is gone does not count bytes in the totals: they are summed over ports.
fn fates(f: &datapath::stats::Fates) -> view::Fates {
    let drops = f.dropped.iter().map(|(reason, packets)| view::Drop {
        reason: reason.name().into(),
        meaning: reason.describe().into(),
        packets: *packets,
    });
    view::Fates {
        packets: f.received,
        bytes: f.received_bytes,
        forwarded: f.forwarded,
        consumed: f.consumed,
        dropped: f.drops(),
        waiting: f.parked,
        drops: drops.collect(),
    }
}

fn port_name(switch: &Switch, port: PortNo) -> String {
    switch.ports.get(&port).map_or_else(|| port.to_string(), |p| p.name.clone())
}

fn ports(switch: &Switch) -> Vec<view::Port> {
    let tables = switch.manager.snapshot();
    let mut out = Vec::new();
    for bridge in tables.bridges.iter().flatten() {
        for port in bridge.ports.values() {
            let entry = switch.ports.iter().find(|(_, p)| p.name == *port.name);
            let Some((no, entry)) = entry else { continue };
            let figures = switch.control.port_figures(*no).unwrap_or_default();
            let PortFigures { tx_packets, tx_bytes, tx_dropped, tx_errors, .. } = figures;
            let device = entry.device.stats();
            let peer = match &port.kind {
                PortKind::Device(_) => None,
                PortKind::Patch { peer } => Some(view::Peer {
                    bridge: port
                        .peer
                        .and_then(|p| tables.bridge(p.bridge))
                        .map_or_else(String::new, |b| b.name.to_string()),
                    port: peer.clone(),
                }),
            };
            out.push(view::Port {
                bridge: bridge.name.to_string(),
                name: port.name.to_string(),
                number: Some(if port.number == OfPort::LOCAL { 65534 } else { port.number.0 }),
                datapath: port.device().map(|p| p.0),
                kind: entry.kind.name().into(),
                state: switch.state_of(&entry.device).into(),
                error: None,
                mtu: switch.mtu_of(&entry.device),
                tag: match port.vlan.mode {
                    VlanMode::Trunk => None,
                    VlanMode::Access(tag) | VlanMode::NativeTagged(tag) | VlanMode::NativeUntagged(tag) => Some(tag),
                    VlanMode::Dot1qTunnel { vlan, .. } => Some(vlan),
                },
                peer,
                received: fates(&figures.fates),
                sent: view::Sent { packets: tx_packets, bytes: tx_bytes, dropped: tx_dropped, errors: tx_errors },
                device: view::Device {
                    rx_dropped: device.rx_dropped,
                    rx_errors: device.rx_errors,
                    tx_errors: device.tx_errors,
                },
                queues: queues(switch, *no),
            });
        }
        let failed = switch.failed.iter().filter(|(b, ..)| *b == *bridge.name);
        out.extend(failed.map(|(bridge, name, kind, why)| view::Port {
            bridge: bridge.clone(),
            name: name.clone(),
            kind: kind.name().into(),
            state: "error".into(),
            error: Some(why.clone()),
            ..view::Port::default()
        }));
        let moving = switch.moving.values().filter(|m| m.bridge == *bridge.name);
        out.extend(moving.map(|m| view::Port {
            bridge: m.bridge.clone(),
            name: m.name.clone(),
            kind: m.kind.name().into(),
            state: m.way.words().into(),
            ..view::Port::default()
        }));
    }
    out
}

pub(super) fn queues(switch: &Switch, port: PortNo) -> Vec<view::Queue> {
    let name = |id: datapath::WorkerId| {
        switch.control.workers().find(|w| w.0 == id).map_or_else(String::new, |w| w.1.to_owned())
    };
    let queues = (0..).zip(switch.control.queues(port));
    let queues = queues.map(|(number, (worker, c))| view::Queue {
        number,
        worker: worker.map_or_else(String::new, &name),
        packets: c.packets.get(),
        bytes: c.bytes.get(),
        bursts: c.bursts.get(),
    });
    queues.collect()
}

fn workers(switch: &Switch) -> Vec<view::Worker> {
    let one = |(id, name, c): (datapath::WorkerId, &str, &datapath::stats::WorkerCounters)| {
        let thread = switch.threads.iter().find(|t| t.name == name);
        let (busy, time) = thread.map_or((0, 0), |t| t.load.get());
        let (ring_waiting, ring_refused) = switch.control.handoffs(id);
        view::Worker {
            name: name.to_owned(),
            core: thread.and_then(|t| t.core),
            busy,
            time,
            received: fates(&c.fates()),
            bursts: c.bursts.get().count(),
            hit_simple: c.hit_simple.get(),
            hit_signature: c.hit_signature.get(),
            hit_megaflow: c.hit_tuple.get(),
            miss: c.miss.get(),
            recirculated: c.recirculated.get(),
            translations: c.translations.get(),
            uncached: c.uncached.get(),
            stale: c.stale.get(),
            evicted: c.evicted.get(),
            megaflows: c.megaflows.get(),
            masks: c.masks.get(),
            ring_waiting,
            ring_refused,
            panics: c.panics.get(),
        }
    };
    switch.control.workers().map(one).collect()
}

/// Megaflows as they are shown, in order.
pub(super) fn megaflows(switch: &Switch, mut flows: Vec<Megaflow>, order: Option<Order>) -> Vec<view::Megaflow> {
    flows.sort_by_key(|f| {
        let score = match order {
            Some(Order::Rate) => f.rate.0,
            Some(Order::Bytes) => f.bytes,
            Some(Order::Age) => u64::MAX - f.created.as_nanos(),
            Some(Order::Packets) | None => f.packets,
        };
        (std::cmp::Reverse((score, f.packets)), f.in_port)
    });
    let now = switch.clock.now().as_nanos();
    let workers: Vec<String> = switch.control.workers().map(|w| w.1.to_owned()).collect();
    let none = Names { snapshot: switch.manager.snapshot(), bridge: "" };
    let shown = flows.iter().map(|f| {
        let in_port = port_name(switch, f.in_port);
        // what all packets as received have is left out
        let mut matching = f.matching.with(IN_PORT, 0, 0);
        for slot in [RECIRC_ID, PACKET_TYPE] {
            if matching.get(slot).0 == 0 {
                matching = matching.with(slot, 0, 0);
            }
        }
        let rest = format_match(&matching, &FlowNames(&none));
        let matching = if rest.is_empty() { format!("in_port={in_port}") } else { format!("in_port={in_port},{rest}") };
        view::Megaflow {
            bridge: switch.ports.get(&f.in_port).map_or_else(String::new, |p| p.bridge.clone()),
            in_port,
            worker: workers.get(f.worker).cloned().unwrap_or_default(),
            matching,
            actions: Named(&f.actions, &|port| port_name(switch, port)).to_string(),
            packets: f.packets,
            bytes: f.bytes,
            packet_rate: f.rate.0,
            byte_rate: f.rate.1,
            age: now.saturating_sub(f.created.as_nanos()),
            idle: now.saturating_sub(f.used.as_nanos()),
            drop: f.drop.map(|d| d.name().to_owned()),
        }
    });
    shown.collect()
}

/// The megaflows that words like `bridge=br0`, `sort=rate`, `top=20`, `match=tcp,nw_dst=10.0.0.1` ask for.
///
/// # Errors
/// The word and what was expected.
pub(super) fn wanted(switch: &Switch, words: &[String]) -> Result<(Wanted, Order), String> {
    let (mut bridge, mut order, mut top, mut text) = (None, Order::Packets, None, "");
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word}: expected key=value"))?;
        match key {
            "bridge" => bridge = Some(value),
            "match" => text = value,
            "top" => {
                top = Some(value.parse::<usize>().map_err(|_| format!("{word}: expected a number"))?.clamp(1, MOST))
            }
            "sort" => {
                order = match value {
                    "packets" => Order::Packets,
                    "bytes" => Order::Bytes,
                    "rate" => Order::Rate,
                    "age" => Order::Age,
                    _ => return Err(format!("{word}: expected packets, bytes, rate or age")),
                }
            }
            _ => return Err(format!("{word}: expected bridge, match, sort or top")),
        }
    }
    let mut wanted = Wanted { best: top.map(|n| (n, order)), ..Wanted::default() };
    if let Some(bridge) = bridge {
        let tables = switch.manager.snapshot();
        let found = tables.bridge_named(bridge).ok_or_else(|| format!("no bridge named {bridge}"))?;
        wanted.in_ports = Some(found.ports.values().filter_map(|p| p.device()).collect());
    }
    wanted.matching = megaflow_match(switch, bridge, text)?;
    Ok((wanted, order))
}

/// A match in the syntax of flows, for packets as received: in_port becomes the datapath port.
///
/// # Errors
/// What cannot be read, or what packets as received do not have.
pub(super) fn megaflow_match(switch: &Switch, bridge: Option<&str>, text: &str) -> Result<Match, String> {
    let tables = switch.manager.snapshot();
    let of_bridge = |b: &str| tables.bridge_named(b).ok_or_else(|| format!("no bridge named {b}"));
    // without a bridge a name tells which is meant, and a number only where there is one bridge
    let mut all = tables.bridges.iter().flatten();
    let bridge = match (bridge, all.next(), all.next()) {
        (Some(b), ..) => Some(of_bridge(b)?),
        (None, only, None) => only,
        _ => {
            let named = text.split([',', ' ']).find_map(|w| w.trim().strip_prefix("in_port="));
            let named = named.and_then(|name| switch.ports.values().find(|p| p.name == name));
            named.and_then(|p| tables.bridge_named(&p.bridge))
        }
    };
    let names = Names { snapshot: tables, bridge: bridge.map_or("", |b| &b.name) };
    let parsed = parse_match(text, &FlowNames(&names)).map_err(|e| e.to_string())?;
    let matching = parsed.matching;
    let (in_port, mask) = matching.get(IN_PORT);
    let matching = if mask == 0 {
        matching
    } else {
        let bridge = bridge.ok_or("in_port: a number needs a bridge")?;
        let number = u32::try_from(in_port).unwrap_or(u32::MAX);
        let number = if number == OfPort::LOCAL.0 & 0xffff { OfPort::LOCAL } else { OfPort(number) };
        let port =
            bridge.ports.get(&number).ok_or_else(|| format!("in_port: bridge {} has no port {number}", bridge.name))?;
        let port =
            port.device().ok_or_else(|| format!("in_port: {} is a patch: no packet is received there", port.name))?;
        matching.with(IN_PORT, u128::from(port.0), u128::from(u32::MAX))
    };
    if matching.iter().any(|(i, _)| i >= KEY_WORDS) {
        return Err("registers and metadata exist only while flows are looked up: packets don't have them".into());
    }
    Ok(matching)
}
