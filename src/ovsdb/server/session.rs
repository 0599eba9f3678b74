//! A client: what it sent in part, what is on its way to it, what it watches.

use super::Now;
use super::monitor::Monitor;
use super::watch::Key;
use crate::error::Error;
use crate::json::{Framer, Json};
use std::sync::Arc;

/// The longest request in bytes.
pub(super) const REQUEST_MAX: usize = 64 << 20;

/// All requests that have not come whole, in bytes.
pub(super) const REQUESTS_MAX: usize = 256 << 20;

/// While a client has more than this many bytes to read, nothing is done for it.
const UNREAD: usize = 1 << 20;

/// A client's output above this many bytes is cut off.
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
    /// A message as text.
    Text(String),
    /// The reply to a transaction in a database: id and result.
    Committed(Arc<str>, Json, Json),
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: Peer,
    pub(super) framer: Framer,
    pub(super) monitors: Vec<Monitor>,
    /// Under which keys it is found by changes.
    pub(super) watched: Vec<(Arc<str>, Key)>,
    pub(super) change_aware: bool,
    /// It is in line to be served; its clock, and its place in the line.
    pub(super) waiting: bool,
    pub(super) clock: u64,
    pub(super) place: u64,
    /// To be sent when the round is over.
    queue: Vec<Out>,
    /// About how many bytes these are.
    queued: usize,
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
            watched: Vec::new(),
            change_aware: false,
            waiting: false,
            clock: 0,
            place: 0,
            queue: Vec::new(),
            queued: 0,
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
        self.queued += match &out {
            Out::Plain(json) | Out::Committed(_, _, json) => json.weight(),
            Out::Text(text) => text.len(),
        };
        self.queue.push(out);
    }

    /// About how many bytes wait to be sent when the round is over.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether it has enough to read for now.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() + self.queued > UNREAD
    }

    pub(super) fn notify(&mut self, method: &str, params: Vec<Json>) {
        let message = [("id", Json::Null), ("method", method.into()), ("params", params.into())];
        self.push(Out::Plain(Json::object(message)));
    }

    pub(super) fn reply(&mut self, id: Json, result: Json) {
        self.push(Out::Plain(reply(id, result)));
    }

    /// The result is written as text.
    pub(super) fn reply_text(&mut self, id: &Json, result: impl FnOnce(&mut String)) {
        let mut text = String::new();
        write_reply(id, &mut text, result);
        self.push(Out::Text(text));
    }

    pub(super) fn reply_error(&mut self, id: Json, error: Json) {
        self.push(Out::Plain(failure(id, error)));
    }

    /// Updates for all that changed, before what comes next.
    pub(super) fn send_updates(&mut self) {
        for at in 0..self.monitors.len() {
            if let Some(update) = self.monitors[at].update() {
                self.push(Out::Plain(update));
            }
        }
    }

    /// What was queued goes out.
    pub(super) fn settle(&mut self, text: &mut String) {
        if self.queue.is_empty() {
            return;
        }
        text.clear();
        text.shrink_to(1 << 20);
        self.queued = 0;
        for out in self.queue.drain(..) {
            match out {
                Out::Plain(json) => json.write_to(text),
                Out::Text(message) => text.push_str(&message),
                Out::Committed(_, id, result) => write_reply(&id, text, |text| result.write_to(text)),
            }
        }
        if self.output.len() + text.len() > OUTPUT_MAX {
            self.output.clear();
            return self.close("it does not read what it is sent");
        }
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Commits to a database were undone: who waits for one gets the error.
    pub(super) fn fail_commits(&mut self, database: &str, error: &Error) {
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

/// The text of [`reply`].
fn write_reply(id: &Json, text: &mut String, result: impl FnOnce(&mut String)) {
    text.push_str("{\"error\":null,\"id\":");
    id.write_to(text);
    text.push_str(",\"result\":");
    result(text);
    text.push('}');
}

fn failure(id: Json, error: Json) -> Json {
    Json::object([("error", error), ("id", id), ("result", Json::Null)])
}
