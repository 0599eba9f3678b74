//! Controllers that watch flows: what they are told, and when they read too slowly for it.
//!
//! What becomes of flows is told behind each message that changes them, before anything that is answered later. A connection
//! that leaves too much unread is told that it is told no more; when it has read everything, it gets what differs from what it
//! knows ([`pipeline::watch`]). Many changes, and the flows that there are at first, are put into messages on another thread.

use std::sync::Arc;

use openflow::wire::codes::{OFPBRC_EPERM, OFPMOFC_MONITOR_EXISTS, OFPMOFC_UNKNOWN_MONITOR};
use openflow::wire::message::Part;
use openflow::wire::monitor::{FlowUpdate, MonitorRequest};
use openflow::wire::{Error, Message, Version, Xid, encode_all};
use pipeline::Bridge;
use pipeline::watch::{FlowChange, Next, Refused, Watcher, initial};

use super::connection::{Connection, Wait};
use crate::run::switch::Switch;

/// Octets that a watcher may leave unread.
const UNREAD: usize = 128 << 10;
/// Flows that are told of here; more are on another thread.
const FEW: usize = 500;

/// What a connection watches.
pub(super) struct Watching {
    watcher: Watcher,
    /// Messages are being made on another thread.
    under_way: bool,
}

type Updates = Box<dyn FnOnce() -> Vec<FlowUpdate> + Send>;

/// Does what monitor requests ask for.
pub(super) fn request(switch: &mut Switch, id: u64, xid: Xid, requests: Vec<MonitorRequest>) -> Result<(), Error> {
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    let watching = connection.watching.get_or_insert_with(|| Box::new(Watching::new(id)));
    let begun = watching.watcher.request(requests);
    switch.manager.watch_flows(true);
    let begun = begun.map_err(|e| match e {
        Refused::Exists => Error::new(OFPMOFC_MONITOR_EXISTS),
        Refused::Unknown => Error::new(OFPMOFC_UNKNOWN_MONITOR),
        Refused::TooMany => Error::because(OFPBRC_EPERM, "ofp_monitor", "the connection has too many monitors"),
    })?;
    let Some(bridge) = bridge_of(switch, id) else { return Ok(()) };
    if begun.is_empty() || bridge.flow_count() <= FEW {
        let updates = initial(&bridge, &begun);
        if let Some(connection) = switch.openflow.connection(id) {
            connection.send(&Message::FlowMonitorReply(Part::all(updates)), xid);
        }
        return Ok(());
    }
    if let Some(watching) = watching_of(switch, id) {
        watching.watcher.fall_behind(&bridge, false);
    }
    aside(switch, id, xid, true, Box::new(move || initial(&bridge, &begun)));
    Ok(())
}

/// Ends a monitor.
pub(super) fn cancel(switch: &mut Switch, id: u64, monitor: u32) -> Result<(), Error> {
    let known = watching_of(switch, id).is_some_and(|w| w.watcher.cancel(monitor));
    if known { Ok(()) } else { Err(Error::new(OFPMOFC_UNKNOWN_MONITOR)) }
}

/// Has changes noted while somebody watches, and tells those the rest that have read everything.
pub(super) fn turn(switch: &mut Switch) {
    flush(switch);
    let mut watched = false;
    let mut drained = Vec::new();
    for (id, connection) in &mut switch.openflow.connections {
        connection.watching.take_if(|w| w.watcher.is_idle() && !w.under_way);
        let Some(watching) = &connection.watching else { continue };
        watched = true;
        if watching.watcher.is_behind() && !watching.under_way && connection.peer.sink.is_drained() {
            drained.push(*id);
        }
    }
    switch.manager.watch_flows(watched);
    drained.into_iter().for_each(|id| catch_up(switch, id));
}

/// Tells of what became of flows.
pub(super) fn flush(switch: &mut Switch) {
    let changes = switch.manager.take_flow_changes();
    if changes.is_empty() {
        return;
    }
    let mut bridges: Vec<u32> = changes.iter().map(|c| c.bridge).collect();
    bridges.sort_unstable();
    bridges.dedup();
    if let [bridge] = bridges[..] {
        return tell(switch, bridge, changes);
    }
    for bridge in bridges {
        let of_bridge = changes.iter().filter(|c| c.bridge == bridge).cloned().collect();
        tell(switch, bridge, of_bridge);
    }
}

fn tell(switch: &mut Switch, bridge: u32, changes: Vec<FlowChange>) {
    let Some(bridge) = switch.manager.snapshot().bridge(bridge).cloned() else { return };
    let connections = &mut switch.openflow.connections;
    let watchers = connections.iter_mut().filter(|(_, c)| c.watching.is_some() && *c.bridge == *bridge.name);
    if changes.len() > FEW {
        let watchers: Vec<u64> = watchers.map(|(id, _)| *id).collect();
        let changes = Arc::new(changes);
        for id in watchers {
            let Some(Watching { watcher, .. }) = watching_of(switch, id) else { continue };
            if watcher.is_behind() {
                watcher.tell(&changes);
                continue;
            }
            watcher.fall_behind(&bridge, false);
            let telling = watcher.telling(changes.clone());
            aside(switch, id, Xid(0), false, Box::new(telling));
        }
        return;
    }
    for (_, connection) in watchers {
        let updates = connection.watching.as_mut().map(|w| w.watcher.tell(&changes)).unwrap_or_default();
        send(connection, updates);
        pause(connection, &bridge);
    }
}

fn send(connection: &Connection, updates: Vec<FlowUpdate>) {
    if !updates.is_empty() {
        connection.send(&Message::FlowMonitorReply(Part::all(updates)), Xid(0));
    }
}

/// Tells a connection nothing any more that has too much to read.
fn pause(connection: &mut Connection, bridge: &Arc<Bridge>) {
    let full = connection.peer.queued() >= UNREAD;
    let Some(watching) = connection.watching.as_mut().filter(|w| full && !w.watcher.is_behind()) else { return };
    watching.watcher.fall_behind(bridge, true);
    tell_state(connection, FlowUpdate::Paused, Message::FlowMonitorPaused);
}

fn tell_state(connection: &Connection, update: FlowUpdate, older: Message) {
    match connection.session.version {
        Some(version) if version >= Version::Of14 => send(connection, vec![update]),
        _ => connection.send(&older, Xid(0)),
    }
}

/// Has the rest made for one who was told nothing for a while.
fn catch_up(switch: &mut Switch, id: u64) {
    let Some(bridge) = bridge_of(switch, id) else { return };
    let difference = watching_of(switch, id).and_then(|w| w.watcher.catch_up(&bridge));
    if let Some(difference) = difference {
        aside(switch, id, Xid(0), false, Box::new(move || difference.updates()));
    }
}

/// Has messages made on another thread; `reply`: there is one if they are empty, too. What the connection asks for waits.
fn aside(switch: &mut Switch, id: u64, xid: Xid, reply: bool, updates: Updates) {
    let Some(connection) = switch.openflow.connection(id) else { return };
    let version = connection.session.version.unwrap_or(Version::Of10);
    let holds = connection.wait.is_none();
    if holds {
        connection.wait = Some(Wait::Answer);
    }
    if let Some(watching) = &mut connection.watching {
        watching.under_way = true;
    }
    let make = move || {
        let updates = updates();
        match updates.is_empty() && !reply {
            true => Ok(Vec::new()),
            false => encode_all(&Message::FlowMonitorReply(Part::all(updates)), version, xid, None),
        }
    };
    switch.jobs.aside(make, move |switch, made| {
        let Some(connection) = switch.openflow.connection(id) else { return };
        if holds {
            connection.wait = None;
        }
        match made {
            Ok(Ok(messages)) => messages.into_iter().for_each(|m| connection.put(m)),
            Ok(Err(e)) => log::warn!(target: "ofp_monitor", "{}: flows are not told of: {e}", connection.peer.name),
            // what it knows is not known any more
            Err(_) => connection.over = true,
        }
        done(switch, id);
    });
}

/// What was made has been sent; goes on.
fn done(switch: &mut Switch, id: u64) {
    let Some(bridge) = bridge_of(switch, id) else { return };
    let Some(connection) = switch.openflow.connection(id) else { return };
    let Some(watching) = &mut connection.watching else { return };
    watching.under_way = false;
    match watching.watcher.caught_up() {
        Next::Live { updates, resumed } => {
            send(connection, updates);
            if resumed {
                tell_state(connection, FlowUpdate::Resumed, Message::FlowMonitorResumed);
            }
            pause(connection, &bridge);
        }
        Next::Again if connection.peer.queued() >= UNREAD => {
            if watching.watcher.pause() {
                tell_state(connection, FlowUpdate::Paused, Message::FlowMonitorPaused);
            }
        }
        Next::Again => catch_up(switch, id),
    }
}

impl Watching {
    fn new(id: u64) -> Watching {
        Watching { watcher: Watcher::new(id), under_way: false }
    }
}

fn watching_of(switch: &mut Switch, id: u64) -> Option<&mut Watching> {
    switch.openflow.connection(id)?.watching.as_deref_mut()
}

fn bridge_of(switch: &Switch, id: u64) -> Option<Arc<Bridge>> {
    let connection = switch.openflow.connections.get(&id)?;
    switch.manager.snapshot().bridge_named(&connection.bridge).cloned()
}
