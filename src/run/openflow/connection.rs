//! A connection as the owner loop has it: what waits to be done, what it is sent.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use base::clock::Instant;
use openflow::OfPort;
use openflow::action::PacketInReason;
use openflow::wire::codes::OFPBFC_TIMEOUT;
use openflow::wire::{ErrorCode, Message, Version, Xid, encode, encode_all, error_reply};

use super::UNREAD;
use super::pace::Pace;
use super::session::{Kind, Session};
use super::transport::{Peer, Sink};
use super::watch::Watching;

/// What a connection's next messages wait for.
pub(super) enum Wait {
    /// Workers are to pass a version, and so many packets of controllers to have gone; then a barrier is answered.
    Barrier { version: u64, packets: u64, xid: Xid, since: Instant },
    /// An answer is being made.
    Answer,
    /// Somebody else's bundle is under way.
    Bundle,
}

/// Who looks on at a bridge, by the number of the connection.
pub(super) type Onlookers = Rc<RefCell<BTreeMap<u64, Sink>>>;

/// A connection.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) bridge: String,
    pub(super) session: Session,
    /// The target of the row that it is of.
    pub(super) remote: Option<String>,
    /// Messages that came and were not looked at.
    pub(super) queue: VecDeque<Vec<u8>>,
    pub(super) wait: Option<Wait>,
    /// The peer has gone, or is to go, and why.
    pub(super) over: bool,
    pub(super) why: String,
    /// Something came since this was asked last; when.
    pub(super) spoke: bool,
    pub(super) heard: Instant,
    /// Silence before a sign of life is asked for, of who came by himself; whether that was done.
    pub(super) probe: Option<Duration>,
    probed: bool,
    /// Packets that may wait for the peer.
    queue_size: usize,
    /// Packets for want of a flow, and others.
    paces: Option<[Pace; 2]>,
    onlookers: Onlookers,
    /// Flows that it watches.
    pub(super) watching: Option<Box<Watching>>,
}

impl Connection {
    pub(super) fn new(peer: Peer, bridge: &str, session: Session, now: Instant) -> Connection {
        Connection {
            peer,
            bridge: bridge.to_owned(),
            session,
            remote: None,
            queue: VecDeque::new(),
            wait: None,
            over: false,
            why: String::new(),
            spoke: false,
            heard: now,
            probe: None,
            probed: false,
            queue_size: usize::MAX,
            paces: None,
            onlookers: Onlookers::default(),
            watching: None,
        }
    }

    /// Says hello.
    pub(super) fn greet(&self) {
        let versions = self.session.versions;
        let hello = encode(&Message::Hello(versions), versions.latest().unwrap_or(Version::Of10), Xid(0));
        hello.into_iter().for_each(|hello| self.put(hello));
    }

    /// Has what it says and is told copied to who looks on.
    pub(super) fn show_to(&mut self, onlookers: &Onlookers) {
        if self.session.kind == Kind::Primary {
            self.onlookers = onlookers.clone();
        }
    }

    /// Takes the limits of its row.
    pub(super) fn take_limits(&mut self, wanted: &bridge::Controller) {
        self.queue_size = wanted.queue;
        if !wanted.async_messages && self.session.version.is_none() {
            self.session.asks = super::session::Asks::default();
        }
        match (&mut self.paces, wanted.rate) {
            (Some(paces), Some(rate)) => paces.iter_mut().for_each(|pace| pace.set(rate)),
            (paces, rate) => *paces = rate.map(|rate| [Pace::new(rate, self.heard), Pace::new(rate, self.heard)]),
        }
    }

    /// Sends bytes as they are.
    pub(super) fn put(&self, message: Vec<u8>) {
        self.copy(&message);
        self.peer.sink.send(message);
    }

    fn copy(&self, message: &[u8]) {
        for sink in self.onlookers.borrow().values().filter(|sink| sink.queued() < UNREAD) {
            sink.send(message.to_vec());
        }
    }

    /// Sends a message in the connection's version.
    pub(super) fn send(&self, message: &Message, xid: Xid) {
        let version = self.session.version.unwrap_or(Version::Of10);
        match encode_all(message, version, xid, None) {
            Ok(parts) => parts.into_iter().for_each(|part| self.put(part)),
            Err(e) => log::debug!(target: "vconn", "{}: not sent: {e}", self.peer.name),
        }
    }

    /// Sends what nobody asked for, unless the peer leaves too much unread.
    pub(super) fn tell(&self, message: &Message) {
        if self.peer.queued() < UNREAD {
            self.send(message, Xid(0));
        }
    }

    /// Tells that a request got no answer.
    pub(super) fn fail(&self, code: ErrorCode, xid: Xid) {
        let version = self.session.version.unwrap_or(Version::Of10);
        let mut request = [version.wire(), 0, 0, 8, 0, 0, 0, 0];
        request[4..].copy_from_slice(&xid.0.to_be_bytes());
        self.put(error_reply(code, version, &request));
    }

    /// Has a packet go to the controller as soon as its row allows; false when it is dropped.
    pub(super) fn bring(&mut self, message: &Message, port: OfPort, reason: PacketInReason, now: Instant) -> bool {
        let version = self.session.version.unwrap_or(Version::Of10);
        let Ok(bytes) = encode(message, version, Xid(0)) else { return false };
        let kind = usize::from(reason != PacketInReason::NoMatch);
        let bytes = match self.paces.as_mut().and_then(|paces| paces.get_mut(kind)) {
            Some(pace) => match pace.take(port, bytes, now) {
                Some(bytes) => bytes,
                None => return true,
            },
            None => bytes,
        };
        self.deliver(bytes)
    }

    fn deliver(&self, packet: Vec<u8>) -> bool {
        if self.peer.sink.packets() >= self.queue_size || self.peer.queued() >= UNREAD {
            return false;
        }
        self.copy(&packet);
        self.peer.sink.send_packet(packet);
        true
    }

    /// Sends packets whose time has come, and asks a silent peer for a sign of life. Returns how many packets were dropped.
    pub(super) fn turn(&mut self, now: Instant) -> u64 {
        let mut dropped = 0;
        for kind in 0..2 {
            while let Some(packet) = self.paces.as_mut().and_then(|p| p.get_mut(kind)).and_then(|p| p.next(now)) {
                dropped += u64::from(!self.deliver(packet));
            }
        }
        if self.spoke || self.is_busy() {
            self.heard = now;
            self.probed = false;
        }
        if let Some(probe) = self.probe {
            if self.probed && now >= self.heard + 2 * probe {
                log::error!(target: "rconn", "{}: no response to inactivity probe, disconnecting", self.peer.name);
                self.over = true;
            } else if !self.probed && now >= self.heard + probe {
                self.probed = true;
                if self.session.version.is_some() {
                    self.send(&Message::EchoRequest(Vec::new()), Xid(0));
                }
            }
        }
        dropped
    }

    /// Gives up bundles that nothing was heard of for `idle`.
    pub(super) fn expire_bundles(&mut self, now: Instant, idle: Duration) {
        let Some(version) = self.session.version.filter(|_| !self.session.bundles.is_empty()) else { return };
        let expired: Vec<u32> =
            self.session.bundles.iter().filter(|(_, b)| now >= b.used + idle).map(|(id, _)| *id).collect();
        for id in expired {
            let Some(bundle) = self.session.bundles.remove(&id) else { continue };
            self.put(error_reply(OFPBFC_TIMEOUT, version, &bundle.opened));
        }
    }

    /// When [`Connection::turn`] or [`Connection::expire_bundles`] has something to do.
    pub(super) fn deadline(&self, idle: Duration) -> Option<Instant> {
        let paces = self.paces.iter().flatten().filter_map(Pace::deadline);
        let silent = self.probe.map(|probe| self.heard + if self.probed { 2 * probe } else { probe });
        let bundles = self.session.bundles.values().map(|b| b.used + idle);
        paces.chain(silent).chain(bundles).min()
    }

    /// What is shown of its limits.
    pub(super) fn limits_shown(&self, out: &mut BTreeMap<String, String>) {
        for (pace, kind) in self.paces.iter().flatten().zip(["miss", "action"]) {
            pace.show(kind, out);
        }
    }

    /// Takes in what came.
    pub(super) fn receive(&mut self, now: Instant) {
        match self.peer.take() {
            Ok(Some(batch)) => {
                (self.spoke, self.heard, self.probed) = (true, now, false);
                self.queue.extend(batch);
            }
            Ok(None) => {}
            Err(why) => {
                if why != "End of file" && why != "Connection reset by peer" {
                    log::warn!(target: "rconn", "{}: {why}", self.peer.name);
                }
                (self.over, self.why) = (true, why);
            }
        }
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.queue.pop_front()?;
        self.copy(&message);
        Some(message)
    }

    /// Others' bundles are done.
    pub(super) fn go_on(&mut self) {
        if matches!(self.wait, Some(Wait::Bundle)) {
            self.wait = None;
        }
    }

    /// Whether what it asked for is not done yet: its silence is the switch's.
    pub(super) fn is_busy(&self) -> bool {
        self.wait.is_some() || !self.queue.is_empty()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.wait.is_none() && !self.over && self.peer.queued() < UNREAD
    }
}
