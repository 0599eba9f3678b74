//! Descriptors by number, and those of each kind, so that a round costs what happens in it.

use super::upstream::LinkId;
use crate::replay::wait::Signals;
use crate::stream::{Listener, Stream};
use crate::unixctl::{Connection, Control};
use ovsdb::server::SessionId;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;

/// What a descriptor is.
pub(super) enum Source {
    Signals(Signals),
    /// Where the server is part of another program: it ends when the other side closes.
    Leash(UnixStream),
    Listener {
        method: String,
        listener: Listener,
    },
    Session {
        id: SessionId,
        method: String,
        stream: Stream,
        writing: bool,
        /// Nothing is read while it does not take what it is sent.
        deaf: bool,
    },
    Control(Control),
    Caller(Connection),
    /// A server that this one follows, by which method.
    Upstream {
        link: LinkId,
        method: String,
        stream: Stream,
        writing: bool,
    },
}

/// All descriptors.
#[derive(Default)]
pub(super) struct Sources {
    all: BTreeMap<u64, Source>,
    sessions: BTreeMap<SessionId, u64>,
    methods: BTreeMap<String, BTreeSet<u64>>,
    callers: BTreeSet<u64>,
    upstreams: BTreeSet<u64>,
}

impl Sources {
    pub(super) fn insert(&mut self, token: u64, source: Source) {
        match &source {
            Source::Session { id, method, .. } => {
                self.sessions.insert(*id, token);
                self.methods.entry(method.clone()).or_default().insert(token);
            }
            Source::Caller(_) => _ = self.callers.insert(token),
            Source::Upstream { .. } => _ = self.upstreams.insert(token),
            _ => {}
        }
        self.all.insert(token, source);
    }

    pub(super) fn remove(&mut self, token: u64) -> Option<Source> {
        let source = self.all.remove(&token)?;
        match &source {
            Source::Session { id, method, .. } => {
                self.sessions.remove(id);
                if let Some(of) = self.methods.get_mut(method) {
                    of.remove(&token);
                    if of.is_empty() {
                        self.methods.remove(method);
                    }
                }
            }
            Source::Caller(_) => _ = self.callers.remove(&token),
            Source::Upstream { .. } => _ = self.upstreams.remove(&token),
            _ => {}
        }
        Some(source)
    }

    pub(super) fn get(&self, token: u64) -> Option<&Source> {
        self.all.get(&token)
    }

    pub(super) fn get_mut(&mut self, token: u64) -> Option<&mut Source> {
        self.all.get_mut(&token)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Source)> {
        self.all.iter().map(|(token, source)| (*token, source))
    }

    pub(super) fn session(&self, id: SessionId) -> Option<u64> {
        self.sessions.get(&id).copied()
    }

    pub(super) fn callers(&self) -> Vec<u64> {
        self.callers.iter().copied().collect()
    }

    pub(super) fn upstreams(&self) -> impl Iterator<Item = (u64, &Source)> {
        self.upstreams.iter().filter_map(|token| Some((*token, self.all.get(token)?)))
    }

    /// How many clients there are by a method, or are to be.
    pub(super) fn connections(&self, method: &str) -> usize {
        self.methods.get(method).map_or(0, BTreeSet::len)
    }

    /// The same, when connections are made. By a method that waits for clients all are.
    pub(super) fn made_connections(&self, method: &str) -> usize {
        if crate::stream::is_passive(method) {
            return self.connections(method);
        }
        let made =
            |token: &&u64| matches!(self.all.get(token), Some(Source::Session { stream, .. }) if stream.is_connected());
        self.methods.get(method).into_iter().flatten().filter(made).count()
    }

    /// Everything, for the end.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Source> + use<> {
        std::mem::take(self).all.into_values()
    }
}
