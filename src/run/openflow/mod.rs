//! OpenFlow: who is connected to which bridge, what they ask, what they are told.
//!
//! [`transport`] has the sockets and cuts messages out of streams, [`session`] what a connection agreed on, [`handle`] does
//! what is asked, [`stats`] answers questions about flows, tables and ports, [`packets`] brings packets to controllers and
//! theirs into the datapath. A bridge listens at `BRIDGE.mgmt` in the run folder, as `ovs-ofctl` expects.
//!
//! Requests of a connection are answered in their order: while one waits for something (workers that are to pass a barrier,
//! statistics), the connection's next ones wait too. Connections take turns, a few messages each, for a bounded time in each
//! turn of the owner loop. One whose peer does not read what it is sent is not served until it does.

mod handle;
mod packets;
mod session;
mod stats;
mod transport;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Instant;
use openflow::OfPort;
use openflow::wire::port::PortReason;
use openflow::wire::{ErrorCode, Message, Version, Xid, encode, encode_all, error_reply};
use pipeline::{Bridge, Port};

use super::switch::Switch;
use session::Session;
use transport::{Bell, Listener, Peer};

/// What a turn of the owner loop gives.
const SLICE: Duration = Duration::from_millis(2);
/// Messages of one connection before the next has its turn.
const AT_ONCE: usize = 16;
/// How long the loop looks again and again whether workers have passed a barrier, which takes a polling one a few
/// microseconds; after that it sleeps between two looks.
const SOON: Duration = Duration::from_micros(300);
/// Octets that a peer may leave unread before it is served no more.
const UNREAD: usize = 1 << 20;

/// What a connection's next messages wait for.
enum Wait {
    /// Workers are to pass a version; then a barrier is answered.
    Barrier { version: u64, xid: Xid, since: Instant },
    /// An answer is being made.
    Answer,
}

/// A connection.
struct Connection {
    peer: Peer,
    bridge: String,
    session: Session,
    /// Messages that came and were not looked at.
    queue: VecDeque<Vec<u8>>,
    wait: Option<Wait>,
    /// The peer has gone, or is to go.
    over: bool,
}

impl Connection {
    /// Sends a message in the connection's version.
    fn send(&self, message: &Message, xid: Xid) {
        let version = self.session.version.unwrap_or(Version::Of10);
        match encode_all(message, version, xid, None) {
            Ok(parts) => parts.into_iter().for_each(|part| self.peer.send(part)),
            Err(e) => log::debug!(target: "vconn", "{}: not sent: {e}", self.peer.name),
        }
    }

    /// Tells that a request got no answer.
    fn fail(&self, code: ErrorCode, xid: Xid) {
        let version = self.session.version.unwrap_or(Version::Of10);
        let mut request = [version.wire(), 0, 0, 8, 0, 0, 0, 0];
        request[4..].copy_from_slice(&xid.0.to_be_bytes());
        self.peer.send(error_reply(code, version, &request));
    }

    fn is_ready(&self) -> bool {
        self.wait.is_none() && !self.over && self.peer.queued() < UNREAD
    }
}

/// All of OpenFlow's connections.
pub(super) struct OpenFlow {
    bell: Bell,
    folder: PathBuf,
    /// By bridge.
    listeners: BTreeMap<String, Listener>,
    /// Bridges whose socket cannot be made, which was said.
    refused: Vec<String>,
    connections: BTreeMap<u64, Connection>,
    numbers: u64,
    /// Who has the next turn.
    next: u64,
    /// Whether a connection has something that was not looked at for want of time.
    left: bool,
    /// The bridges that sockets were made for.
    bridges: Vec<Arc<str>>,
    /// Ports of each bridge as connections know them.
    ports: BTreeMap<String, Arc<BTreeMap<OfPort, Arc<Port>>>>,
    /// The newest generation of roles, by bridge (OpenFlow 1.3.5 section 6.3.6).
    generations: BTreeMap<String, u64>,
}

impl OpenFlow {
    /// No connections; sockets are made in `folder`.
    pub(super) fn new(folder: PathBuf) -> OpenFlow {
        OpenFlow {
            bell: Bell::default(),
            folder,
            listeners: BTreeMap::new(),
            refused: Vec::new(),
            connections: BTreeMap::new(),
            numbers: 0,
            next: 0,
            left: false,
            bridges: Vec::new(),
            ports: BTreeMap::new(),
            generations: BTreeMap::new(),
        }
    }

    /// Waits until a connection has something.
    pub(super) async fn rung(&self) {
        self.bell.rung().await;
    }

    /// Whether there is something to do at once.
    pub(super) fn is_ready(&self) -> bool {
        self.left
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
    fn receive(&mut self) {
        for (bridge, listener) in &mut self.listeners {
            while let Some(peer) = listener.arrived() {
                self.numbers += 1;
                let connection = Connection {
                    peer,
                    bridge: bridge.clone(),
                    session: Session::service(),
                    queue: VecDeque::new(),
                    wait: None,
                    over: false,
                };
                let versions = Session::versions();
                let hello = encode(&Message::Hello(versions), versions.latest().unwrap_or(Version::Of10), Xid(0));
                hello.into_iter().for_each(|hello| connection.peer.send(hello));
                self.connections.insert(self.numbers, connection);
            }
        }
        for connection in self.connections.values_mut() {
            if !connection.queue.is_empty() || !connection.is_ready() {
                continue;
            }
            match connection.peer.take() {
                Ok(Some(batch)) => connection.queue.extend(batch),
                Ok(None) => {}
                Err(()) => connection.over = true,
            }
        }
        self.connections.retain(|_, c| !c.over || matches!(c.wait, Some(Wait::Answer)));
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
    listen(switch);
    tell_of_ports(switch);
    packets::flows_removed(switch);
    packets::bring(switch);
    barriers(switch);
    let until = switch.clock.now() + SLICE;
    switch.openflow.receive();
    while let Some(id) = switch.openflow.due() {
        for _ in 0..AT_ONCE {
            let Some(connection) = switch.openflow.connection(id).filter(|c| c.is_ready()) else { break };
            let Some(message) = connection.queue.pop_front() else { break };
            handle::handle(switch, id, message);
        }
        if switch.clock.now() >= until {
            break;
        }
        switch.openflow.receive();
    }
    let connections = &switch.openflow.connections;
    let now = switch.clock.now();
    let soon = |c: &Connection| matches!(c.wait, Some(Wait::Barrier { since, .. }) if now < since + SOON);
    let left = connections.values().any(|c| c.is_ready() && !c.queue.is_empty() || soon(c));
    let of = |bridge: &&Arc<Bridge>| connections.values().any(|c| c.session.listens() && *c.bridge == *bridge.name);
    let listening: Vec<u32> = switch.manager.snapshot().bridges.iter().flatten().filter(of).map(|b| b.index).collect();
    switch.openflow.left = left;
    switch.manager.set_listening(&listening);
}

/// Has a socket for each bridge, and none for bridges that are gone.
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
    openflow.listeners.retain(|name, _| there(name));
    openflow.refused.retain(|name| there(name));
    openflow.ports.retain(|name, _| there(name));
    openflow.generations.retain(|name, _| there(name));
    openflow.connections.retain(|_, c| there(&c.bridge));
    for bridge in bridges() {
        let name = &*bridge.name;
        if openflow.listeners.contains_key(name) || openflow.refused.iter().any(|r| r == name) {
            continue;
        }
        let path = openflow.folder.join(format!("{name}.mgmt"));
        // a name leads to no other folder
        let made = match name.contains('/') {
            true => Err(std::io::ErrorKind::InvalidFilename.into()),
            false => Listener::unix(&path, &openflow.bell),
        };
        match made {
            Ok(listener) => drop(openflow.listeners.insert(name.to_owned(), listener)),
            Err(e) => {
                log::warn!(target: "connmgr", "{name}: no socket {} for ovs-ofctl: {e}", path.display());
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
            of_bridge.filter(|c| c.session.listens()).for_each(|c| c.send(&message, Xid(0)));
        }
    }
}

/// Answers barriers that workers have passed.
fn barriers(switch: &mut Switch) {
    for connection in switch.openflow.connections.values_mut() {
        if let Some(Wait::Barrier { version, xid, .. }) = connection.wait
            && switch.manager.passed(version)
        {
            connection.wait = None;
            connection.send(&Message::BarrierReply, xid);
        }
    }
}
