//! Answers about queues: each port has queue 0, which is not limited, and no counters of its own.

use openflow::OfPort;
use openflow::wire::codes::*;
use openflow::wire::message::Part;
use openflow::wire::queue::{QueueConfig, QueueRequest, QueueStats};
use openflow::wire::{Error, Message, Version, Xid};

use super::handle::reply;
use crate::run::switch::Switch;

/// What is not known is all ones.
const UNKNOWN: u64 = u64::MAX;

/// Ports whose queue is asked about.
fn wanted(switch: &Switch, bridge: &str, request: QueueRequest) -> Result<Vec<OfPort>, Error> {
    let Some(bridge) = switch.manager.snapshot().bridge_named(bridge) else { return Ok(Vec::new()) };
    let ports: Vec<OfPort> = bridge.ports.keys().copied().filter(|p| request.port.is_none_or(|w| w == *p)).collect();
    if ports.is_empty() && request.port.is_some() {
        return Err(Error::new(OFPQOFC_BAD_PORT));
    }
    if request.queue.is_some_and(|queue| queue != 0) {
        return Err(Error::new(OFPQOFC_BAD_QUEUE));
    }
    Ok(ports)
}

/// What queues sent.
pub(super) fn statistics(switch: &mut Switch, id: u64, xid: Xid, request: QueueRequest) -> Result<(), Error> {
    let Some((bridge, _)) = of(switch, id) else { return Ok(()) };
    let entry = |port| QueueStats { port, queue: 0, bytes: UNKNOWN, packets: UNKNOWN, errors: UNKNOWN, duration: None };
    let entries = wanted(switch, &bridge, request)?.into_iter().map(entry).collect();
    reply(switch, id, xid, Message::QueueStatsReply(Part::all(entries)))
}

/// How queues are set.
pub(super) fn configurations(switch: &mut Switch, id: u64, xid: Xid, request: QueueRequest) -> Result<(), Error> {
    let Some((bridge, version)) = of(switch, id) else { return Ok(()) };
    let entry = |port| QueueConfig { port, ..QueueConfig::default() };
    let entries = wanted(switch, &bridge, request)?.into_iter().map(entry).collect();
    let port = (version < Version::Of14).then_some(request.port).flatten();
    reply(switch, id, xid, Message::QueueConfigReply { port, queues: Part::all(entries) })
}

fn of(switch: &mut Switch, id: u64) -> Option<(String, Version)> {
    let connection = switch.openflow.connection(id)?;
    Some((connection.bridge.clone(), connection.session.version.unwrap_or(Version::Of10)))
}
