//! The server without sockets: bytes of sessions in, bytes out, the time passed in. Databases with their files, sessions with
//! their monitors and locks, transactions that wait.
//!
//! Whoever owns a [`Server`] gives it what came from all sessions that have something ([`Server::receive`]), then lets it
//! finish ([`Server::flush`]): one fsync for all durable commits of the round, then updates and replies. Nothing is to be
//! sent before.

mod database;
mod lock;
mod monitor;
mod relay;
mod replica;
mod request;
mod session;
mod tlog;
mod turns;
mod watch;

#[cfg(test)]
mod tests;

pub use database::{Hosted, Model};
pub use relay::Forward;
pub use session::{Peer, SessionId};

use crate::data::Schema;
use crate::error::Error;
use crate::file;
use crate::json::{self, Json};
use crate::table::Database;
use crate::uuid::{Source, Uuid};
use database::Trigger;
use lock::Locks;
use session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The name of the database that describes the server.
pub const SERVER_DB: &str = "_Server";

const SERVER_SCHEMA: &str = r#"{"name":"_Server","version":"1.2.0","tables":{"Database":{"columns":{
  "name":{"type":"string"},
  "model":{"type":{"key":{"type":"string","enum":["set",["standalone","clustered","relay"]]}}},
  "connected":{"type":"boolean"},
  "leader":{"type":"boolean"},
  "schema":{"type":{"key":{"type":"string"},"min":0,"max":1}},
  "cid":{"type":{"key":{"type":"uuid"},"min":0,"max":1}},
  "sid":{"type":{"key":{"type":"uuid"},"min":0,"max":1}},
  "index":{"type":{"key":{"type":"integer"},"min":0,"max":1}}}}}}"#;

/// Milliseconds on a clock that only goes forward, and since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub monotonic: u64,
    pub wall: i64,
}

/// Databases and those who use them.
#[derive(Debug)]
pub struct Server {
    databases: BTreeMap<Arc<str>, Hosted>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    /// Sessions with something to do at the end of the round.
    active: BTreeSet<SessionId>,
    /// Sessions with requests that wait until their client has read.
    held: BTreeSet<SessionId>,
    turns: turns::Turns,
    /// What the request in work costs beyond its bytes and its reply's.
    cost: usize,
    /// Bytes of requests that are not done.
    buffered: usize,
    /// Room to write messages in.
    scratch: String,
    /// Sessions with something to send, or to be closed.
    ready: BTreeSet<SessionId>,
    /// When to look whether a session is silent: not after its deadline.
    probes: BTreeSet<(u64, SessionId)>,
    locks: Locks,
    uuids: Source,
    id: Uuid,
    tlog: tlog::Tlog,
    /// All of it refuses changes, as a backup does.
    pub read_only: bool,
    /// Monitors with conditions are refused, as by servers that do not know of them.
    pub no_conditions: bool,
}

impl Server {
    /// A server with no database but its own. Where all that it is given is the same again, and `uuids` as well, it does the
    /// same again.
    ///
    /// # Errors
    /// The built-in schema is wrong.
    pub fn new(mut uuids: Source) -> Result<Server, Error> {
        let json = json::parse(SERVER_SCHEMA.as_bytes()).map_err(|e| Error::new("internal error", e.to_string()))?;
        let own = Hosted::memory(Database::new(Arc::new(Schema::from_json(&json)?)));
        let mut server = Server {
            databases: BTreeMap::from([(Arc::from(SERVER_DB), own)]),
            sessions: BTreeMap::new(),
            next_session: 0,
            active: BTreeSet::new(),
            held: BTreeSet::new(),
            turns: turns::Turns::default(),
            cost: 0,
            buffered: 0,
            scratch: String::new(),
            ready: BTreeSet::new(),
            probes: BTreeSet::new(),
            locks: Locks::default(),
            id: uuids.uuid(),
            uuids,
            tlog: tlog::Tlog::default(),
            read_only: false,
            no_conditions: false,
        };
        server.describe(SERVER_DB);
        Ok(server)
    }

    /// The names of all databases.
    pub fn database_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.databases.keys()
    }

    pub fn database(&self, name: &str) -> Option<&Hosted> {
        self.databases.get(name)
    }

    /// Opens the database in a file and serves it. Returns its name.
    pub fn open(&mut self, path: &Path) -> Result<Arc<str>, Error> {
        let resolved = path.canonicalize().ok();
        let open = self.databases.values().filter_map(Hosted::path).any(|p| p.canonicalize().ok() == resolved);
        if open && resolved.is_some() {
            return Err(Error::new("ovsdb error", format!("{}: already open", path.display())));
        }
        let (db, file, history) = file::open_to_serve(path, &mut self.uuids)?;
        let name = db.schema.name.clone();
        if self.databases.contains_key(&name) {
            return Err(Error::new("ovsdb error", format!("{}: duplicate database name {name}", path.display())));
        }
        if let Some(torn) = &file.torn {
            log::warn!(target: "ovsdb_file", "{torn}");
        }
        self.databases.insert(name.clone(), Hosted::with_file(db, path, file, history));
        self.databases_changed(&name);
        Ok(name)
    }

    /// Serves a database that is in memory alone.
    pub fn host(&mut self, db: Database) {
        let name = db.schema.name.clone();
        self.databases.insert(name.clone(), Hosted::memory(db));
        self.databases_changed(&name);
    }

    /// Stops serving a database. False when there is none of that name.
    pub fn close(&mut self, name: &str) -> bool {
        if name == SERVER_DB || !self.databases.contains_key(name) {
            return false;
        }
        self.cancel_all(name);
        self.write_out(name);
        self.databases.remove(name);
        self.databases_changed(name);
        true
    }

    /// The description in `_Server` follows, and who does not know of that is sent away.
    fn databases_changed(&mut self, name: &str) {
        for (id, session) in self.sessions.iter_mut().filter(|(_, s)| !s.change_aware) {
            session.monitors.clear();
            session.close("databases changed");
            self.active.insert(*id);
        }
        self.rewatch_all();
        self.describe(name);
    }

    /// Sends all clients away, to come again.
    pub fn reconnect_all(&mut self) {
        for (id, session) in &mut self.sessions {
            session.close("by request");
            self.active.insert(*id);
        }
    }

    /// A client that connected.
    pub fn connect(&mut self, peer: Peer, now: Now) -> SessionId {
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let session = Session::new(peer, now);
        self.probes.extend(session.deadline().map(|at| (at, id)));
        self.sessions.insert(id, session);
        id
    }

    /// A client that is gone.
    pub fn disconnect(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.monitors.clear();
            self.buffered -= session.framer.len();
        }
        self.rewatch(id);
        self.unqueue(id);
        self.sessions.remove(&id);
        self.held.remove(&id);
        for hosted in self.databases.values_mut() {
            hosted.triggers.retain(|trigger| trigger.session != id);
            hosted.forwards.retain(|forward| forward.session != id);
        }
        for (owner, name) in self.locks.disconnect(id) {
            self.notify_lock(owner, "locked", &name);
        }
    }

    fn notify_lock(&mut self, id: SessionId, method: &str, name: &str) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.notify(method, vec![Json::from(name)]);
            self.active.insert(id);
        }
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Changes what a session's peer may do, as its row in a database says now.
    pub fn peer_mut(&mut self, id: SessionId) -> Option<&mut Peer> {
        // it may be asked for signs of life more often than before
        self.probes.insert((0, id));
        self.sessions.get_mut(&id).map(|session| &mut session.peer)
    }

    /// Bytes from a client, for [`Server::flush`] to work on.
    pub fn receive(&mut self, id: SessionId, bytes: &[u8], now: Now) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.active(now);
        self.buffered += bytes.len();
        session.framer.push(bytes);
        if self.buffered > session::REQUESTS_MAX && session.framer.len() > 1 << 20 {
            session.close("requests of all clients are too long");
        }
        self.active.insert(id);
        self.queue(id);
    }

    /// Whether nothing is to be read from a client: what it asked for waits until it has read.
    pub fn is_held(&self, id: SessionId) -> bool {
        self.held.contains(&id) || self.sessions.get(&id).is_some_and(|session| session.waiting)
    }

    /// Works on what clients ask for, and finishes the round ([`Server::finish`]).
    pub fn flush(&mut self, now: Now) {
        self.work(now);
        self.finish(now);
    }

    /// Finishes a round: transactions that waited, the disk, then updates. What [`Server::output`] has is then to be sent.
    pub fn finish(&mut self, now: Now) {
        // a transaction that waited may be what another one waits for
        for _ in 0..16 {
            if !self.run_triggers(now) {
                break;
            }
        }
        let names: Vec<Arc<str>> = self.databases.keys().cloned().collect();
        for name in names {
            self.write_out(&name);
        }
        self.probe(now);
        for id in std::mem::take(&mut self.active) {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            // to a client that has not read what it was sent, updates come later and fewer
            if session.output.is_empty() {
                session.send_updates();
            }
            session.settle(&mut self.scratch);
            self.ready.insert(id);
        }
    }

    /// Asks those who have been silent for signs of life.
    fn probe(&mut self, now: Now) {
        while let Some(&(at, id)) = self.probes.first().filter(|(at, _)| *at <= now.monotonic) {
            self.probes.remove(&(at, id));
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.probe(now);
            self.active.insert(id);
            // never at once again, or this would not end
            self.probes.extend(session.deadline().map(|at| (at.max(now.monotonic + 1), id)));
        }
    }

    /// Sessions with something to send, or to be closed, since the last call.
    pub fn take_ready(&mut self) -> impl Iterator<Item = SessionId> + use<> {
        std::mem::take(&mut self.ready).into_iter()
    }

    /// Commits of the round go to the file.
    fn write_out(&mut self, name: &str) {
        let written = self.databases.get_mut(name).map_or(Ok(()), Hosted::sync);
        if let Err(error) = written {
            self.take_back(name, &error);
        }
    }

    /// The disk failed after commits were made: they are undone, and who waits for them is told.
    fn take_back(&mut self, name: &str, error: &Error) {
        log::error!(target: "ovsdb_server", "{name}: {error}");
        let undone = self.databases.get_mut(name).map(Hosted::take_back).unwrap_or_default();
        // who was told of a change already is told that it is undone, others see nothing
        self.note(name, &undone);
        for session in self.sessions.values_mut() {
            session.fail_commits(name, error);
        }
    }

    /// When something is due without any input.
    pub fn deadline(&self) -> Option<u64> {
        let triggers = self.databases.values().flat_map(|h| &h.triggers).filter_map(Trigger::deadline);
        triggers.chain(self.probes.first().map(|(at, _)| *at)).min()
    }

    /// Bytes for a client; what was sent is to be taken off the front.
    pub fn output(&mut self, id: SessionId) -> Option<&mut Vec<u8>> {
        self.sessions.get_mut(&id).map(|session| &mut session.output)
    }

    /// Updates that were held back while a client did not read; whether there were any.
    pub fn refill(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        session.send_updates();
        session.settle(&mut self.scratch);
        !session.output.is_empty()
    }

    /// Why a session is to be closed, once its output is sent or does not go.
    pub fn closing(&self, id: SessionId) -> Option<&'static str> {
        self.sessions.get(&id).and_then(Session::closing)
    }

    /// Writes a file anew, without what is no more.
    pub fn compact(&mut self, name: &str, now: Now) -> Result<(), Error> {
        match self.databases.get_mut(name) {
            Some(hosted) => hosted.compact(now),
            None => Err(Error::new("unknown database", format!("no database named {name}"))),
        }
    }

    /// Whether changes of a table are logged.
    ///
    /// # Errors
    /// There is no such database or table.
    pub fn log_table(&mut self, database: &str, table: &str, on: bool) -> Result<(), &'static str> {
        let hosted = self.databases.get(database).ok_or("no such database")?;
        hosted.db.schema.table(table).ok_or("no such table")?;
        self.tlog.set(database, table, on);
        Ok(())
    }

    pub fn is_table_logged(&self, database: &str, table: &str) -> bool {
        self.tlog.has(database, table)
    }

    /// Figures for `memory/show`.
    pub fn usage(&self) -> BTreeMap<&'static str, usize> {
        let user = || self.databases.iter().filter(|(name, _)| &***name != SERVER_DB).map(|(_, hosted)| hosted);
        let mut usage = BTreeMap::new();
        usage.insert("atoms", user().map(Hosted::atom_count).sum());
        usage.insert("txn-history", user().map(|h| h.history_size().0).sum());
        usage.insert("txn-history-atoms", user().map(|h| h.history_size().1).sum());
        let cells = |h: &Hosted| h.db.tables.iter().map(|t| t.len() * (t.schema.columns.len() + 2)).sum::<usize>();
        usage.insert("cells", user().map(cells).sum());
        usage.insert("monitors", self.sessions.values().map(|s| s.monitors.len()).sum());
        usage.insert("n-weak-refs", user().map(|h| h.db.weak_count()).sum());
        usage.insert("sessions", self.sessions.len());
        usage.insert("triggers", self.databases.values().map(|h| h.triggers.len()).sum());
        usage.retain(|name, n| *n > 0 || matches!(*name, "atoms" | "cells" | "monitors" | "n-weak-refs"));
        usage
    }
}
