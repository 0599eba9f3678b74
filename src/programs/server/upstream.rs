//! Connections to servers whose databases this one has too: the active server of a backup, the sources of relays. One of
//! each is kept, made anew when it is lost.

use super::Program;
use super::sources::Source;
use crate::stream::Stream;
use nix::sys::epoll::EpollFlags;
use ovsdb::Json;
use ovsdb::json::Framer;
use ovsdb::server::Now;
use std::io::{ErrorKind, Read, Write};

/// Which connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkId {
    Active,
    /// By its database.
    Relay(String),
}

/// Milliseconds of silence after which the other side is asked for a sign of life.
pub(super) const PROBE: u64 = 60_000;

/// Between attempts to connect, in milliseconds: the first, and at most.
const BACKOFF: (u64, u64) = (1000, 8000);

/// Messages of a connection.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) framer: Framer,
    /// To be sent.
    pub(super) output: Vec<u8>,
    next: i64,
    heard_at: u64,
    probed: bool,
}

/// When to try again.
#[derive(Clone, Copy, Default)]
pub(super) struct Retry {
    at: u64,
    backoff: u64,
}

impl Wire {
    fn push(&mut self, message: &Json) {
        self.output.extend_from_slice(message.to_string().as_bytes());
    }

    /// Sends a request; its number.
    pub(super) fn ask(&mut self, method: &str, params: Vec<Json>) -> i64 {
        self.next += 1;
        let message = [("id", Json::Int(self.next)), ("method", method.into()), ("params", Json::Array(params))];
        self.push(&Json::object(message));
        self.next
    }

    /// Whether a message was about the connection alone, and is answered.
    pub(super) fn answer(&mut self, message: &Json) -> bool {
        if message.get("method").and_then(Json::as_str) == Some("echo") {
            let member = |name: &str| message.get(name).cloned().unwrap_or(Json::Null);
            let reply = [("id", member("id")), ("result", member("params")), ("error", Json::Null)];
            self.push(&Json::object(reply));
            return true;
        }
        message.get("id").and_then(Json::as_str) == Some("echo")
    }

    fn probe(&mut self, interval: u64, now: Now) -> bool {
        if interval == 0 || now.monotonic < self.heard_at + interval {
            return true;
        }
        if self.probed {
            return false;
        }
        (self.probed, self.heard_at) = (true, now.monotonic);
        let echo = [("id", "echo".into()), ("method", "echo".into()), ("params", Json::Array(Vec::new()))];
        self.push(&Json::object(echo));
        true
    }
}

impl Program {
    fn link_ids(&self) -> Vec<LinkId> {
        let active = self.replication.backup.then_some(LinkId::Active);
        active.into_iter().chain(self.relays.keys().map(|name| LinkId::Relay(name.clone()))).collect()
    }

    /// The method by which a connection is to be made.
    fn link_method(&self, id: &LinkId) -> Option<String> {
        match id {
            LinkId::Active => self.replication.active.clone().filter(|_| self.replication.backup),
            LinkId::Relay(name) => self.relays.get(name).map(|relay| relay.method().to_owned()),
        }
    }

    fn wire(&mut self, id: &LinkId) -> Option<&mut Wire> {
        match id {
            LinkId::Active => self.replication.connection.as_mut().map(|c| &mut c.wire),
            LinkId::Relay(name) => self.relays.get_mut(name)?.connection.as_mut().map(|c| &mut c.wire),
        }
    }

    fn has_wire(&self, id: &LinkId) -> bool {
        match id {
            LinkId::Active => self.replication.connection.is_some(),
            LinkId::Relay(name) => self.relays.get(name).is_some_and(|r| r.connection.is_some()),
        }
    }

    /// When a connection is to be tried again, or one that is silent is to be asked.
    pub(super) fn links_deadline(&self) -> Option<u64> {
        let due = |id: &LinkId| match id {
            _ if !self.has_wire(id) => Some(self.events.retries.get(id).map_or(0, |retry| retry.at)),
            LinkId::Active => self.replication.connection.as_ref().map(|c| c.wire.heard_at + self.replication.probe),
            LinkId::Relay(name) => self.relays.get(name)?.connection.as_ref().map(|c| c.wire.heard_at + PROBE),
        };
        self.link_ids().iter().filter_map(due).min()
    }

    /// A connection is gone; another try later.
    fn lose_link(&mut self, id: &LinkId, now: Now) {
        match id {
            LinkId::Active => self.replication.connection = None,
            LinkId::Relay(name) => self.lose_relay(name),
        }
        let retry = self.events.retries.entry(id.clone()).or_default();
        retry.backoff = (retry.backoff * 2).clamp(BACKOFF.0, BACKOFF.1);
        retry.at = now.monotonic + retry.backoff;
    }

    /// Reads what a connection has.
    pub(super) fn link_input(&mut self, token: u64, now: Now) {
        let Some(Source::Upstream { link, stream, .. }) = self.events.sources.get_mut(token) else { return };
        let (link, mut buffer, mut bytes, mut ended) = (link.clone(), [0; 65536], Vec::new(), false);
        while bytes.len() < 1 << 20 || stream.has_buffered() {
            match stream.read(&mut buffer) {
                Ok(0) => ended = true,
                Ok(n) => {
                    bytes.extend_from_slice(&buffer[..n]);
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => ended = e.kind() != ErrorKind::WouldBlock,
            }
            break;
        }
        if let Some(wire) = self.wire(&link).filter(|_| !bytes.is_empty()) {
            (wire.heard_at, wire.probed) = (now.monotonic, false);
            wire.framer.push(&bytes);
            // it was worth while
            self.events.retries.remove(&link);
        }
        let good = match &link {
            LinkId::Active => self.follow(now),
            LinkId::Relay(name) => self.relay_input(name, now),
        };
        if !good || ended {
            self.events.sources.remove(token);
            self.lose_link(&link, now);
        }
    }

    /// Sends what is to be sent; false when the connection is broken.
    fn link_output(&mut self, token: u64, id: &LinkId, now: Now) -> bool {
        let probe = if *id == LinkId::Active { self.replication.probe } else { PROBE };
        let Some(wire) = self.wire(id) else { return false };
        if !wire.probe(probe, now) {
            return false;
        }
        let mut output = std::mem::take(&mut wire.output);
        let super::events::Events { poller, sources, .. } = &mut self.events;
        let Some(Source::Upstream { stream, writing, .. }) = sources.get_mut(token) else { return false };
        let mut sent = 0;
        while sent < output.len() {
            match stream.write(&output[sent..]) {
                Ok(n) => sent += n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        output.drain(..sent);
        let waits = !output.is_empty() || stream.wants_to_send();
        if waits != *writing {
            *writing = waits;
            let flags = if waits { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
            poller.modify(stream, token, flags);
        }
        if let Some(wire) = self.wire(id) {
            wire.output = output;
        }
        true
    }

    /// Keeps the connections that there are to be.
    pub(super) fn keep_links(&mut self, now: Now) {
        self.send_forwards();
        let ids = self.link_ids();
        let there: Vec<(u64, LinkId, String)> = (self.events.sources.upstreams())
            .filter_map(|(token, source)| match source {
                Source::Upstream { link, method, .. } => Some((token, link.clone(), method.clone())),
                _ => None,
            })
            .collect();
        for (token, id, method) in &there {
            let wanted = ids.contains(id) && self.has_wire(id) && self.link_method(id).as_ref() == Some(method);
            if !wanted {
                self.events.sources.remove(*token);
            } else if !self.link_output(*token, id, now) {
                self.events.sources.remove(*token);
                self.lose_link(id, now);
            }
        }
        self.events.retries.retain(|id, _| ids.contains(id));
        for id in ids {
            let due = self.events.retries.get(&id).is_none_or(|retry| retry.at <= now.monotonic);
            let Some(method) = self.link_method(&id).filter(|_| due && !self.has_wire(&id)) else { continue };
            match Stream::begin(&method) {
                Ok(stream) => {
                    match &id {
                        LinkId::Active => self.replication.begin(),
                        LinkId::Relay(name) => self.begin_relay(name),
                    }
                    if let Some(wire) = self.wire(&id) {
                        wire.heard_at = now.monotonic;
                    }
                    let source = Source::Upstream { link: id.clone(), method, stream, writing: false };
                    match self.events.add(source) {
                        Ok(token) => {
                            if !self.link_output(token, &id, now) {
                                self.events.sources.remove(token);
                                self.lose_link(&id, now);
                            }
                        }
                        Err(_) => self.lose_link(&id, now),
                    }
                }
                Err(e) => {
                    let why = ovsdb::error::strerror(&e);
                    log::info!(target: "reconnect", "{method}: connection attempt failed ({why})");
                    self.lose_link(&id, now);
                }
            }
        }
    }
}
