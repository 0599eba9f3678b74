//! OpenFlow: who is connected to which bridge, what they ask, what they are told.
//!
//! [`sockets`] has the ways to connect, [`transport`] cuts messages out of streams, [`remotes`] keeps connections that rows
//! ask for, [`session`] has what a connection agreed on, [`handle`] does what is asked, [`stats`] answers questions about
//! flows and ports, [`tables`] those about tables, [`packets`] brings packets to controllers, as fast as [`pace`] lets it, and theirs into the
//! datapath, [`watch`] tells of flows that change. A bridge listens at `BRIDGE.mgmt` in the run folder, as `ovs-ofctl` expects, and at `BRIDGE.snoop` for who looks
//! on; what is on its way to its controllers has flows of its own ([`in_band`]).
//!
//! Requests of a connection are answered in their order: while one waits for something (workers that are to pass a barrier,
//! statistics), the connection's next ones wait too. Connections take turns, a few messages each, for a bounded time in each
//! turn of the owner loop. One whose peer does not read what it is sent is not served until it does.

mod connection;
mod groups;
mod handle;
mod in_band;
mod meters;
mod pace;
mod packets;
mod queues;
mod remotes;
mod session;
mod sockets;
mod stats;
mod tables;
mod transport;
mod watch;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Instant;
use openflow::OfPort;
use openflow::wire::port::PortReason;
use openflow::wire::{Message, Version};
use pipeline::{Bridge, Port};

use super::switch::Switch;
use connection::{Connection, Onlookers, Wait};
use in_band::InBand;
use remotes::Wishes;
use session::{Kind, Session};
use sockets::Listener;
use transport::Bell;
use work::Work;

/// What a turn of the owner loop gives.
const SLICE: Duration = Duration::from_millis(2);
/// Messages of one connection before the next has its turn.
const AT_ONCE: usize = 16;
/// How long the loop looks again and again whether workers have passed a barrier, which takes a polling one a few
/// microseconds; after that it sleeps between two looks.
const SOON: Duration = Duration::from_micros(300);
/// How long the loop looks for the next request after one before it sleeps: to be woken takes a peer that waits for each
/// answer as long as all the rest.
const LINGER: Duration = Duration::from_micros(50);
/// Turns that take as long at most, also where time stands still.
const LINGERS: u32 = 64;
/// Octets that a peer may leave unread before it is served no more.
const UNREAD: usize = 1 << 20;

/// All of OpenFlow's connections.
pub(super) struct OpenFlow {
    bell: Bell,
    folder: PathBuf,
    /// By bridge.
    doors: BTreeMap<String, Doors>,
    /// Bridges whose socket cannot be made, which was said.
    refused: Vec<String>,
    /// What rows ask for, by bridge.
    wishes: BTreeMap<String, Wishes>,
    connections: BTreeMap<u64, Connection>,
    numbers: u64,
    /// Who has the next turn.
    next: u64,
    /// Whether a connection has something that was not looked at for want of time, or may have it in a moment.
    left: bool,
    /// When a request was done, and turns since then.
    served: (Instant, u32),
    /// The bridges that sockets were made for.
    bridges: Vec<Arc<str>>,
    /// Ports of each bridge as connections know them.
    ports: BTreeMap<String, Arc<BTreeMap<OfPort, Arc<Port>>>>,
    /// The newest generation of roles, by bridge (OpenFlow 1.3.5 section 6.3.6).
    generations: BTreeMap<String, u64>,
    /// Packets that a controller was not sent, since it had too many to read.
    dropped: u64,
    in_band: InBand,
    /// How long a bundle is kept that nothing is heard of (other_config:bundle-idle-timeout).
    bundle_idle: Duration,
    /// A change that takes more than a turn.
    work: Option<Work>,
    /// Packets that controllers sent: so many, of which so many are known to have gone their way.
    sent: (u64, u64),
}

/// Sockets of a bridge.
struct Doors {
    service: Listener,
    snoop: Option<Listener>,
    onlookers: Onlookers,
}

impl OpenFlow {
    /// No connections; sockets are made in `folder`.
    pub(super) fn new(folder: PathBuf) -> OpenFlow {
        OpenFlow {
            bell: Bell::default(),
            folder,
            doors: BTreeMap::new(),
            refused: Vec::new(),
            wishes: BTreeMap::new(),
            connections: BTreeMap::new(),
            numbers: 0,
            next: 0,
            left: false,
            served: (Instant::ZERO, LINGERS),
            bridges: Vec::new(),
            ports: BTreeMap::new(),
            generations: BTreeMap::new(),
            dropped: 0,
            in_band: InBand::default(),
            bundle_idle: Duration::from_secs(10),
            work: None,
            sent: (0, 0),
        }
    }

    /// Gives up bundles that nothing was heard of for so many seconds.
    pub(super) fn set_bundle_idle(&mut self, seconds: u64) {
        self.bundle_idle = Duration::from_secs(seconds);
    }

    /// Waits until a connection has something.
    pub(super) async fn rung(&self) {
        self.bell.rung().await;
    }

    /// Packets that a controller was not sent, since it had too many to read.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether there is something to do at once.
    pub(super) fn is_ready(&self) -> bool {
        self.left || self.work.as_ref().is_some_and(Work::is_ready)
    }

    /// Whether flows, groups and bridges are to stay as they are, but for a bundle that is under way.
    pub(super) fn has_bundle(&self) -> bool {
        self.work.is_some()
    }

    /// Whether something is waited for that wakes nobody.
    pub(super) fn waits(&self) -> bool {
        self.connections.values().any(|c| matches!(c.wait, Some(Wait::Barrier { .. })))
    }

    /// A connection, unless it is gone.
    fn connection(&mut self, id: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Takes in who came and what was sent.
    fn receive(&mut self, now: Instant) {
        for (bridge, doors) in &mut self.doors {
            let protocols = self.wishes.get(bridge).and_then(|w| w.protocols);
            while let Some(peer) = doors.service.arrived() {
                self.numbers += 1;
                let connection = Connection::new(peer, bridge, Session::new(Kind::Service, protocols), now);
                connection.greet();
                self.connections.insert(self.numbers, connection);
            }
            while let Some(peer) = doors.snoop.as_mut().and_then(Listener::arrived) {
                self.numbers += 1;
                doors.onlookers.borrow_mut().insert(self.numbers, peer.sink.clone());
                let connection = Connection::new(peer, bridge, Session::new(Kind::Snoop, None), now);
                connection.greet();
                self.connections.insert(self.numbers, connection);
            }
        }
        for connection in self.connections.values_mut() {
            if connection.queue.is_empty() && connection.is_ready() {
                connection.receive(now);
            }
        }
        remotes::follow(self, now);
        let gone = |c: &Connection| c.over && !matches!(c.wait, Some(Wait::Answer));
        for (id, connection) in self.connections.iter().filter(|(_, c)| gone(c)) {
            if let Some(doors) = self.doors.get(&connection.bridge) {
                doors.onlookers.borrow_mut().remove(id);
            }
        }
        self.connections.retain(|_, c| !gone(c));
    }

    /// The connection whose turn it is.
    fn due(&mut self) -> Option<u64> {
        let ready = |(_, c): &(&u64, &Connection)| c.is_ready() && !c.queue.is_empty();
        let after = self.connections.range(self.next..).find(ready);
        let (id, _) = after.or_else(|| self.connections.iter().find(ready))?;
        self.next = id + 1;
        Some(*id)
    }
}

/// Serves connections for a while.
pub(super) fn turn(switch: &mut Switch) {
    let now = switch.clock.now();
    listen(switch);
    remotes::turn(switch, now);
    tell_of_ports(switch);
    packets::flows_removed(switch);
    tables::tell(switch);
    packets::bring(switch, now);
    watch::turn(switch);
    packets::committed(switch);
    barriers(switch);
    let until = now + SLICE;
    let openflow = &mut switch.openflow;
    openflow.receive(now);
    openflow.dropped += openflow.connections.values_mut().map(|c| c.turn(now)).sum::<u64>();
    let idle = openflow.bundle_idle;
    openflow.connections.values_mut().for_each(|c| c.expire_bundles(now, idle));
    work::turn(switch);
    if !switch.openflow.has_bundle() && !switch.longs.has_bundle() {
        switch.openflow.connections.values_mut().for_each(Connection::go_on);
    }
    while let Some(id) = switch.openflow.due() {
        for _ in 0..AT_ONCE {
            let Some(connection) = switch.openflow.connection(id).filter(|c| c.is_ready()) else { break };
            let Some(message) = connection.next() else { break };
            handle::handle(switch, id, message);
        }
        let now = switch.clock.now();
        switch.openflow.served = (now, 0);
        if now >= until {
            break;
        }
        switch.openflow.receive(now);
    }
    // who has agreed on a version by now counts as connected
    remotes::follow(&mut switch.openflow, now);
    // a bundle under way would find tables that it does not know
    if !switch.openflow.has_bundle() && !switch.longs.has_bundle() {
        remotes::fail_modes(switch, now);
        in_band::turn(switch, now);
    }
    let now = switch.clock.now();
    let (served, turns) = &mut switch.openflow.served;
    let lingers = *turns < LINGERS && now < *served + LINGER;
    *turns = turns.saturating_add(1);
    let connections = &switch.openflow.connections;
    let soon = |c: &Connection| matches!(c.wait, Some(Wait::Barrier { since, .. }) if now < since + SOON);
    // what waits in a channel rang when it came, which may have been long ago
    let left =
        connections.values().any(|c| c.is_ready() && (!c.queue.is_empty() || c.peer.has_more()) || soon(c)) || lingers;
    let with = |test: &dyn Fn(&Session) -> bool| -> Vec<u32> {
        let of = |bridge: &&Arc<Bridge>| {
            connections.values().any(|c| c.session.listens() && *c.bridge == *bridge.name && test(&c.session))
        };
        switch.manager.snapshot().bridges.iter().flatten().filter(of).map(|b| b.index).collect()
    };
    // from OpenFlow 1.3 on a flow says what becomes of packets that match no other
    let older = |s: &Session| s.version.is_some_and(|v| v < Version::Of13) && s.controller_id == 0;
    let (listening, told) = (with(&|_| true), with(&older));
    switch.openflow.left = left;
    switch.manager.set_listening(&listening);
    switch.manager.tell_misses(&told);
}

/// Has sockets for each bridge, and none for bridges that are gone.
fn listen(switch: &mut Switch) {
    let bridges = || switch.manager.snapshot().bridges.iter().flatten();
    let openflow = &mut switch.openflow;
    let known = openflow.bridges.iter();
    if known.len() == bridges().count() && known.zip(bridges()).all(|(known, bridge)| Arc::ptr_eq(known, &bridge.name))
    {
        return;
    }
    openflow.bridges = bridges().map(|b| b.name.clone()).collect();
    let there = |name: &str| bridges().any(|b| &*b.name == name);
    openflow.doors.retain(|name, _| there(name));
    openflow.refused.retain(|name| there(name));
    openflow.ports.retain(|name, _| there(name));
    openflow.generations.retain(|name, _| there(name));
    openflow.connections.retain(|_, c| there(&c.bridge));
    for bridge in bridges() {
        let name = &*bridge.name;
        if openflow.doors.contains_key(name) || openflow.refused.iter().any(|r| r == name) {
            continue;
        }
        // a name leads to no other folder
        let path = |kind: &str| match name.contains('/') {
            true => Err(std::io::ErrorKind::InvalidFilename.into()),
            false => Ok(openflow.folder.join(format!("{name}.{kind}"))),
        };
        let open = |kind: &str| path(kind).and_then(|path| Listener::unix(&path, &openflow.bell));
        let refused = |kind: &str, e: std::io::Error| {
            log::warn!(target: "connmgr", "{name}: no socket {name}.{kind} in {}: {e}", openflow.folder.display());
        };
        match open("mgmt") {
            Ok(service) => {
                let snoop = open("snoop").map_err(|e| refused("snoop", e)).ok();
                let doors = Doors { service, snoop, onlookers: Onlookers::default() };
                openflow.doors.insert(name.to_owned(), doors);
            }
            Err(e) => {
                refused("mgmt", e);
                openflow.refused.push(name.to_owned());
            }
        }
    }
}

/// Tells connections which ports came, went and changed.
fn tell_of_ports(switch: &mut Switch) {
    let tables = switch.manager.snapshot();
    let changed = |bridge: &&Arc<Bridge>| {
        let known = switch.openflow.ports.get(&*bridge.name);
        !known.is_some_and(|known| Arc::ptr_eq(known, &bridge.ports))
    };
    let bridges: Vec<Arc<Bridge>> = tables.bridges.iter().flatten().filter(changed).cloned().collect();
    for bridge in bridges {
        let known = switch.openflow.ports.get(&*bridge.name);
        let mut told = Vec::new();
        if let Some(known) = known {
            for (number, port) in known.iter() {
                match bridge.ports.get(number) {
                    None => told.push((PortReason::Delete, port.clone())),
                    Some(now) if stats::differ(now, port) => told.push((PortReason::Modify, now.clone())),
                    Some(_) => {}
                }
            }
            let new = bridge.ports.iter().filter(|(number, _)| !known.contains_key(number));
            told.extend(new.map(|(_, port)| (PortReason::Add, port.clone())));
        }
        switch.openflow.ports.insert(bridge.name.to_string(), bridge.ports.clone());
        for (reason, port) in told {
            let message = Message::PortStatus(stats::port_status(switch, reason, &port));
            let of_bridge = switch.openflow.connections.values().filter(|c| *c.bridge == *bridge.name);
            of_bridge.filter(|c| c.session.wants_port(reason)).for_each(|c| c.tell(&message));
        }
    }
}

/// Answers barriers that workers have passed.
fn barriers(switch: &mut Switch) {
    for connection in switch.openflow.connections.values_mut() {
        if let Some(Wait::Barrier { version, packets, xid, .. }) = connection.wait
            && switch.manager.passed(version)
            && packets <= switch.openflow.sent.1
        {
            connection.wait = None;
            connection.send(&Message::BarrierReply, xid);
        }
    }
}
