//! A socket in place of a cable (`options:stream`, `options:pstream`): each packet goes behind its length in two bytes, the
//! higher one first, as between ports of the stock program's kind `dummy`.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use base::backoff::{Action, Backoff, Settings};
use base::clock::Instant;
use programs::stream::{Listener, Stream};

use super::strerror;
use crate::config::Port;

/// Packets that wait for a peer to take them; more are lost.
const WAITING: usize = 100;
/// Peers of a port that waits for them; the oldest makes room.
const PEERS: usize = 64;

/// A connection.
struct Peer {
    stream: Stream,
    /// What came and is not a whole packet yet.
    incoming: Vec<u8>,
    outgoing: VecDeque<Vec<u8>>,
    /// Bytes of the first of them that went.
    written: usize,
}

impl Peer {
    fn new(stream: Stream) -> Peer {
        Peer { stream, incoming: Vec::new(), outgoing: VecDeque::new(), written: 0 }
    }

    fn send(&mut self, bytes: &[u8]) {
        let Ok(len) = u16::try_from(bytes.len()) else { return };
        if self.outgoing.len() < WAITING {
            self.outgoing.push_back([&len.to_be_bytes(), bytes].concat());
        }
    }

    /// Writes what can be written. False when the connection is gone.
    fn write(&mut self) -> bool {
        while let Some(first) = self.outgoing.front() {
            match self.stream.write(first.get(self.written..).unwrap_or_default()) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
            if self.written >= first.len() {
                self.outgoing.pop_front();
                self.written = 0;
            }
        }
        true
    }

    /// Reads packets. False when the connection is gone.
    fn read(&mut self, frames: &mut Vec<Vec<u8>>) -> bool {
        let mut buffer = [0; 1 << 14];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break false,
                Ok(n) => self.incoming.extend(buffer.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => break e.kind() == ErrorKind::WouldBlock,
            }
            self.packets(frames);
        }
    }

    fn packets(&mut self, frames: &mut Vec<Vec<u8>>) {
        let mut at = 0;
        while let Some([a, b, rest @ ..]) = self.incoming.get(at..) {
            let len = usize::from(u16::from_be_bytes([*a, *b]));
            let Some(packet) = rest.get(..len) else { break };
            if len != 0 {
                frames.push(packet.to_vec());
            }
            at += 2 + len;
        }
        self.incoming.drain(..at);
    }
}

enum Kind {
    /// Connects, and again when it lost the connection.
    Active(Box<Backoff>),
    Passive(Listener),
}

/// The socket of a port with its connections.
pub(super) struct Cable {
    method: String,
    kind: Kind,
    peers: VecDeque<Peer>,
    /// Connections that had no name.
    unnamed: u64,
}

impl Cable {
    /// The one that the port's options ask for.
    ///
    /// # Errors
    /// It cannot be had.
    pub(super) fn new(port: &Port) -> Result<Option<Cable>, String> {
        let kind = match (port.options.get("stream"), port.options.get("pstream")) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err("options: stream and pstream exclude each other".into()),
            (Some(method), None) => {
                let never = Settings { probe: None, ..Settings::default() };
                (method, Kind::Active(Box::new(Backoff::new(never))))
            }
            (None, Some(method)) => {
                let listener =
                    Listener::listen(method).map_err(|e| format!("options:pstream: {method}: {}", strerror(&e)))?;
                (method, Kind::Passive(listener))
            }
        };
        let (method, kind) = kind;
        Ok(Some(Cable { method: method.clone(), kind, peers: VecDeque::new(), unnamed: 0 }))
    }

    pub(super) fn is_connected(&self) -> bool {
        !self.peers.is_empty()
    }

    /// A packet for whoever is at the other end.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        for peer in &mut self.peers {
            peer.send(bytes);
        }
    }

    /// Connects, writes and reads what can be; whether anything moved.
    pub(super) fn turn(&mut self, name: &str, now: Instant, frames: &mut Vec<Vec<u8>>) -> bool {
        let mut moved = self.meet(name, now);
        let (before, unread) = (self.peers.len(), frames.len());
        self.peers.retain_mut(|peer| {
            let waiting = peer.outgoing.len();
            let alive = peer.write() && peer.read(frames);
            moved |= peer.outgoing.len() != waiting;
            alive
        });
        if self.peers.len() != before {
            moved = true;
            if let Kind::Active(backoff) = &mut self.kind {
                log::info!(target: "netdev", "{name}: {}: connection closed by peer", self.method);
                backoff.disconnected(now);
            }
        }
        moved | (frames.len() != unread)
    }

    /// New connections.
    fn meet(&mut self, name: &str, now: Instant) -> bool {
        let mut moved = false;
        match &mut self.kind {
            Kind::Passive(listener) => {
                while let Ok((stream, _)) = listener.accept(&mut self.unnamed) {
                    if self.peers.len() >= PEERS {
                        self.peers.pop_front();
                    }
                    self.peers.push_back(Peer::new(stream));
                    moved = true;
                }
            }
            Kind::Active(backoff) => {
                if backoff.is_stopped() {
                    backoff.enable(now);
                }
                while let Some(action) = backoff.poll(now) {
                    match action {
                        Action::Connect => match Stream::begin(&self.method) {
                            Ok(stream) => {
                                backoff.connected(now);
                                self.peers.push_back(Peer::new(stream));
                                moved = true;
                            }
                            Err(e) => {
                                log::info!(target: "netdev", "{name}: {}: {}", self.method, strerror(&e));
                                backoff.disconnected(now);
                            }
                        },
                        Action::Disconnect => self.peers.clear(),
                        Action::Probe => {}
                    }
                }
            }
        }
        moved
    }
}
