//! A client: what it sent in part, what is on its way to it, what it watches.

use super::Now;
use super::monitor::Monitor;
use crate::error::Error;
use crate::json::{Framer, Json};
use std::sync::Arc;

/// The longest request in bytes.
pub(super) const REQUEST_MAX: usize = 64 << 20;

/// A client's output above this many bytes is one that it does not read; it is cut off.
const OUTPUT_MAX: usize = 1 << 30;

/// A client by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// Who the client is, and what it may.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// For the log.
    pub name: String,
    /// Its role, and who it is by its certificate.
    pub role: Option<String>,
    pub id: Option<String>,
    pub read_only: bool,
    /// Milliseconds of silence after which the client is asked for a sign of life; after as many more it is gone. Zero: never.
    pub probe: u64,
}

/// What is on its way to a client.
#[derive(Debug)]
pub(super) enum Out {
    Plain(Json),
    /// An update of what may be taken back.
    Update(Json),
    /// The reply to a transaction in a database: id and result.
    Committed(Arc<str>, Json, Json),
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: Peer,
    pub(super) framer: Framer,
    pub(super) monitors: Vec<Monitor>,
    pub(super) change_aware: bool,
    /// To be sent when the round is over.
    queue: Vec<Out>,
    pub(super) output: Vec<u8>,
    close: Option<&'static str>,
    last_active: u64,
    probed: bool,
}

impl Session {
    pub(super) fn new(peer: Peer, now: Now) -> Session {
        Session {
            peer,
            framer: Framer::default(),
            monitors: Vec::new(),
            change_aware: false,
            queue: Vec::new(),
            output: Vec::new(),
            close: None,
            last_active: now.monotonic,
            probed: false,
        }
    }

    pub(super) fn active(&mut self, now: Now) {
        (self.last_active, self.probed) = (now.monotonic, false);
    }

    /// Ends it after what is on its way.
    pub(super) fn close(&mut self, why: &'static str) {
        self.close.get_or_insert(why);
    }

    pub(super) fn closing(&self) -> Option<&'static str> {
        self.close
    }

    pub(super) fn push(&mut self, out: Out) {
        self.queue.push(out);
    }

    pub(super) fn notify(&mut self, method: &str, params: Vec<Json>) {
        let message = [("id", Json::Null), ("method", method.into()), ("params", params.into())];
        self.push(Out::Plain(Json::object(message)));
    }

    pub(super) fn reply(&mut self, id: Json, result: Json) {
        self.push(Out::Plain(reply(id, result)));
    }

    pub(super) fn reply_error(&mut self, id: Json, error: Json) {
        self.push(Out::Plain(failure(id, error)));
    }

    /// Updates for all that changed, before what comes next.
    pub(super) fn send_updates(&mut self) {
        for monitor in self.monitors.iter_mut().filter(|m| m.is_pending()) {
            self.queue.extend(monitor.update().map(Out::Update));
        }
    }

    /// What was queued goes out.
    pub(super) fn settle(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let mut text = String::new();
        for out in self.queue.drain(..) {
            match out {
                Out::Plain(json) | Out::Update(json) => json.write_to(&mut text),
                Out::Committed(_, id, result) => reply(id, result).write_to(&mut text),
            }
        }
        if self.output.len() + text.len() > OUTPUT_MAX {
            self.output.clear();
            return self.close("it does not read what it is sent");
        }
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Commits to a database were undone.
    pub(super) fn fail_commits(&mut self, database: &str, error: &Error) {
        for monitor in self.monitors.iter_mut().filter(|m| &*m.database == database) {
            monitor.forget();
        }
        self.queue.retain(|out| !matches!(out, Out::Update(_)));
        for out in &mut self.queue {
            if let Out::Committed(name, id, _) = out
                && &**name == database
            {
                *out = Out::Plain(reply(id.clone(), Json::Array(vec![error.to_json()])));
            }
        }
    }

    /// Asks a silent client for a sign of life, and gives it up.
    pub(super) fn probe(&mut self, now: Now) {
        if self.deadline().is_none_or(|at| now.monotonic < at) {
            return;
        }
        if self.probed {
            log::error!(
                target: "reconnect",
                "{}: no response to inactivity probe after {} seconds, disconnecting",
                self.peer.name,
                self.peer.probe as f64 / 1000.0
            );
            self.close("no response to inactivity probe");
            return;
        }
        self.probed = true;
        self.last_active = now.monotonic;
        let echo = [("id", "echo".into()), ("method", "echo".into()), ("params", Json::Array(Vec::new()))];
        self.push(Out::Plain(Json::object(echo)));
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        (self.peer.probe > 0 && self.close.is_none()).then(|| self.last_active + self.peer.probe)
    }
}

pub(super) fn reply(id: Json, result: Json) -> Json {
    Json::object([("error", Json::Null), ("id", id), ("result", result)])
}

fn failure(id: Json, error: Json) -> Json {
    Json::object([("error", error), ("id", id), ("result", Json::Null)])
}
