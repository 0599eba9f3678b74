//! A client's replica of a database without sockets: rows as the server has them, what changed, transactions. Bytes of one
//! connection in, bytes out.
//!
//! Its owner connects, calls [`Replica::connected`], passes on what comes ([`Replica::receive`]) and sends
//! [`Replica::output`]. The rows stay when a connection is lost; the next one fetches what changed meanwhile, or all of them
//! where the server cannot tell, and either way [`Replica::take_changes`] says how they differ from what was there before.
//! A server that is not fit (it has not the database, or it is a cluster's member without connection to the others or, where
//! the leader is wanted, not the leader) is an error: the owner goes on to the next one.

mod rows;
#[cfg(test)]
mod tests;
mod transaction;

pub use transaction::{Outcome, Ticket, Transaction};

use crate::data::Schema;
use crate::error::Error;
use crate::json::{Framer, Json, Object};
use crate::server::SERVER_DB;
use crate::table::{Change, Database};
use crate::uuid::{Source, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is wanted of a server.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub database: String,
    /// Tables that are followed, as far as the schema has them; all when empty.
    pub tables: Vec<String>,
    /// Of a cluster, the leader only.
    pub leader_only: bool,
    /// A lock that is asked for; without it [`Replica::has_lock`] is false.
    pub lock: Option<String>,
}

/// The longest message that a server may send.
const MESSAGE_MAX: usize = 1 << 30;

/// What a request was about.
#[derive(Debug)]
enum Asked {
    Nothing,
    Server,
    Schema,
    /// With the method.
    Monitor(&'static str),
    Lock,
    Transaction(Ticket),
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Off,
    /// It is asked what it is, for its schema and for rows.
    Asking,
    /// Rows are as the server's.
    Following,
}

/// Rows that differ from what they were.
#[derive(Debug, Default)]
pub struct Changes {
    /// There is another schema, and all rows are new.
    pub reset: bool,
    pub rows: Vec<Change>,
}

/// A replica. See the module.
#[derive(Debug)]
pub struct Replica {
    wanted: Wanted,
    stage: Stage,
    framer: Framer,
    output: Vec<u8>,
    asked: BTreeMap<i64, Asked>,
    next: i64,
    db: Option<Database>,
    /// The last transaction whose changes are in the rows, where the server names them.
    last: Uuid,
    changes: Changes,
    outcomes: Vec<(Ticket, Outcome)>,
    tickets: u64,
    /// What the server said of the lock.
    locked: Option<bool>,
    uuids: Source,
}

fn broken(what: impl Into<String>) -> Error {
    Error::new("protocol error", what)
}

fn unfit(why: impl Into<String>) -> Error {
    Error::new("unfit server", why)
}

/// Whether a server says that it does not know the method, as older ones do: there are simpler methods.
pub fn is_unknown_method(error: &Json) -> bool {
    error.as_str().or_else(|| error.get("error")?.as_str()) == Some("unknown method")
}

impl Replica {
    /// Nothing yet.
    pub fn new(wanted: Wanted) -> Replica {
        Replica {
            wanted,
            stage: Stage::Off,
            framer: Framer::default(),
            output: Vec::new(),
            asked: BTreeMap::new(),
            next: 0,
            db: None,
            last: Uuid::ZERO,
            changes: Changes::default(),
            outcomes: Vec::new(),
            tickets: 0,
            locked: None,
            uuids: Source::default(),
        }
    }

    /// A connection is there: asks it for everything.
    pub fn connected(&mut self) {
        self.disconnected();
        self.stage = Stage::Asking;
        // so that it tells of changes of databases rather than closes
        self.ask("set_db_change_aware", Json::Array(vec![Json::Bool(true)]), Asked::Nothing);
        let columns = ["name", "model", "connected", "leader"].map(Json::from).to_vec();
        let named = Json::Array(vec!["name".into(), "==".into(), self.wanted.database.as_str().into()]);
        let request = [("columns", Json::Array(columns)), ("where", Json::Array(vec![named]))];
        let tables = Json::object([("Database", Json::Array(vec![Json::object(request)]))]);
        self.ask("monitor_cond", Json::Array(vec![SERVER_DB.into(), SERVER_DB.into(), tables]), Asked::Server);
    }

    /// The connection is gone. What became of transactions under way nobody knows.
    pub fn disconnected(&mut self) {
        self.stage = Stage::Off;
        self.locked = None;
        self.framer = Framer::default();
        self.output.clear();
        let lost = std::mem::take(&mut self.asked).into_values();
        self.outcomes.extend(lost.filter_map(|asked| match asked {
            Asked::Transaction(ticket) => Some((ticket, Outcome::Unknown)),
            _ => None,
        }));
    }

    /// Bytes from the server.
    ///
    /// # Errors
    /// The connection is of no use: the server is not fit, or it breaks the protocol.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.framer.push(bytes);
        while let Some(message) = self.framer.next_value().map_err(|e| broken(e.to_string()))? {
            self.message(message)?;
        }
        if self.framer.len() > MESSAGE_MAX {
            return Err(broken("a message is too long"));
        }
        Ok(())
    }

    /// Bytes for the server; what was sent is to be taken off the front.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Asks for a sign of life.
    pub fn probe(&mut self) {
        self.ask("echo", Json::Array(Vec::new()), Asked::Nothing);
    }

    /// Whether the rows are the server's at this time.
    pub fn is_following(&self) -> bool {
        self.stage == Stage::Following
    }

    /// Whether the lock is held, or none is wanted.
    pub fn has_lock(&self) -> bool {
        self.wanted.lock.is_none() || self.locked == Some(true)
    }

    /// Whether somebody else has the lock that is wanted.
    pub fn waits_for_lock(&self) -> bool {
        self.locked == Some(false)
    }

    /// The rows; none before there was a connection. Tables that are not followed are empty.
    pub fn database(&self) -> Option<&Database> {
        self.db.as_ref()
    }

    /// How the rows differ from what they were when this was last asked; a row that changed twice comes twice.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Transactions that are over.
    pub fn take_outcomes(&mut self) -> Vec<(Ticket, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// Sends a transaction; its outcome comes later. Without a connection it is [`Outcome::Unknown`] at once.
    pub fn transact(&mut self, transaction: Transaction) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if self.stage != Stage::Following {
            self.outcomes.push((ticket, Outcome::Unknown));
            return ticket;
        }
        let params = transaction.into_params(&self.wanted.database);
        self.ask("transact", params, Asked::Transaction(ticket));
        ticket
    }

    fn ask(&mut self, method: &str, params: Json, about: Asked) {
        self.next += 1;
        self.asked.insert(self.next, about);
        self.send([("id", Json::Int(self.next)), ("method", method.into()), ("params", params)]);
    }

    fn send(&mut self, message: [(&str, Json); 3]) {
        self.output.extend_from_slice(Json::object(message).to_string().as_bytes());
    }

    fn message(&mut self, message: Json) -> Result<(), Error> {
        let Json::Object(members) = message else { return Err(broken("a message is no object")) };
        let params = members.get("params").and_then(Json::as_array).unwrap_or_default();
        match members.get("method").and_then(Json::as_str) {
            Some("echo") => {
                let id = members.get("id").cloned().unwrap_or(Json::Null);
                self.send([("error", Json::Null), ("id", id), ("result", Json::Array(params.to_vec()))]);
                Ok(())
            }
            Some(method) => self.notified(method, params),
            None => {
                let id = members.get("id").and_then(Json::as_int);
                let Some(asked) = id.and_then(|id| self.asked.remove(&id)) else { return Ok(()) };
                let result = members.get("result").unwrap_or(&Json::Null);
                match members.get("error").filter(|e| **e != Json::Null) {
                    None => self.answered(asked, Ok(result)),
                    Some(error) => self.answered(asked, Err(error)),
                }
            }
        }
    }

    fn notified(&mut self, method: &str, params: &[Json]) -> Result<(), Error> {
        let id = params.first().and_then(Json::as_str).unwrap_or_default();
        let own = id == self.wanted.database;
        match (method, params) {
            ("update2", [_, updates]) if id == SERVER_DB => self.judge(updates),
            ("update", [_, updates]) if own => self.take(updates, rows::Form::Plain, false),
            ("update2", [_, updates]) if own => self.take(updates, rows::Form::Differences, false),
            ("update3", [_, last, updates]) if own => {
                self.last = last.as_str().and_then(Uuid::parse).unwrap_or(Uuid::ZERO);
                self.take(updates, rows::Form::Differences, false)
            }
            // it was converted, most likely: from the beginning
            ("monitor_canceled", _) if own => {
                self.stage = Stage::Asking;
                self.ask_schema();
                Ok(())
            }
            ("locked" | "stolen", _) if Some(id) == self.wanted.lock.as_deref() => {
                self.locked = Some(method == "locked");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn answered(&mut self, asked: Asked, answer: Result<&Json, &Json>) -> Result<(), Error> {
        match (asked, answer) {
            (Asked::Nothing, _) => Ok(()),
            (Asked::Server, answer) => {
                // servers before 2.9 don't describe themselves
                answer.map_or(Ok(()), |rows| self.judge(rows))?;
                self.ask_schema();
                Ok(())
            }
            (Asked::Schema, Ok(schema)) => self.schema(schema),
            (Asked::Schema, Err(error)) => Err(unfit(format!("no schema of {}: {error}", self.wanted.database))),
            (Asked::Monitor(method), Ok(result)) => self.begin(method, result),
            (Asked::Monitor(method), Err(error)) => {
                let unknown = is_unknown_method(error);
                match method {
                    "monitor_cond_since" if unknown => self.ask_rows("monitor_cond"),
                    "monitor_cond" if unknown => self.ask_rows("monitor"),
                    _ => return Err(unfit(format!("{method}: {error}"))),
                }
                Ok(())
            }
            (Asked::Lock, answer) => {
                self.locked = Some(answer.is_ok_and(|a| a.get("locked").and_then(Json::as_bool) == Some(true)));
                Ok(())
            }
            (Asked::Transaction(ticket), answer) => {
                self.outcomes.push((ticket, Outcome::of(answer)));
                Ok(())
            }
        }
    }

    /// What the server says of the database.
    fn judge(&self, updates: &Json) -> Result<(), Error> {
        let rows = updates.get("Database").and_then(Json::as_object).into_iter().flat_map(Object::values);
        for row in rows {
            let (first, modified) = (row.get("initial").or(row.get("insert")), row.get("modify"));
            let Some(cells) = first.or(modified) else { continue };
            // of a standalone database neither ever changes
            let clustered = first.is_none() || cells.get("model").and_then(Json::as_str) == Some("clustered");
            // what is false is left out of a new row
            let silent = first.map(|_| false);
            let says = |name: &str| cells.get(name).and_then(Json::as_bool).or(silent);
            if clustered && says("connected") == Some(false) {
                return Err(unfit("it is not connected to its cluster"));
            }
            if clustered && self.wanted.leader_only && says("leader") == Some(false) {
                return Err(unfit("it is not the cluster's leader"));
            }
        }
        Ok(())
    }

    fn ask_schema(&mut self) {
        let params = Json::Array(vec![self.wanted.database.as_str().into()]);
        self.ask("get_schema", params, Asked::Schema);
    }

    fn schema(&mut self, json: &Json) -> Result<(), Error> {
        let schema = Schema::from_json(json)?;
        if self.db.as_ref().is_none_or(|db| *db.schema != schema) {
            self.db = Some(Database::new(Arc::new(schema)));
            self.last = Uuid::ZERO;
            self.changes = Changes { reset: true, rows: Vec::new() };
        }
        self.ask_rows("monitor_cond_since");
        Ok(())
    }

    fn ask_rows(&mut self, method: &'static str) {
        let Some(db) = &self.db else { return };
        let wanted = |name: &str| self.wanted.tables.is_empty() || self.wanted.tables.iter().any(|t| t == name);
        let tables = db.schema.tables.iter().filter(|t| wanted(&t.name));
        let requests: Object = tables
            .map(|t| {
                let columns = t.columns.iter().map(|c| Json::Str(c.name.clone())).collect();
                (t.name.clone(), Json::object([("columns", Json::Array(columns))]))
            })
            .collect();
        let name = || Json::from(self.wanted.database.as_str());
        let mut params = vec![name(), name(), Json::Object(requests)];
        if method == "monitor_cond_since" {
            params.push(self.last.to_string().into());
        }
        self.ask(method, Json::Array(params), Asked::Monitor(method));
    }

    /// The first rows of a connection.
    fn begin(&mut self, method: &str, result: &Json) -> Result<(), Error> {
        match (method, result.as_array()) {
            ("monitor_cond_since", Some([Json::Bool(found), last, updates])) => {
                self.last = last.as_str().and_then(Uuid::parse).unwrap_or(Uuid::ZERO);
                self.take(updates, rows::Form::Differences, !found)?;
            }
            ("monitor_cond", _) => self.take(result, rows::Form::Differences, true)?,
            ("monitor", _) => self.take(result, rows::Form::Plain, true)?,
            _ => return Err(broken(format!("answer to {method}"))),
        }
        self.stage = Stage::Following;
        if let Some(lock) = &self.wanted.lock
            && self.locked.is_none()
        {
            let params = Json::Array(vec![lock.as_str().into()]);
            self.ask("lock", params, Asked::Lock);
        }
        Ok(())
    }

    /// Takes rows over; with `all` there are no others.
    fn take(&mut self, updates: &Json, form: rows::Form, all: bool) -> Result<(), Error> {
        let Some(db) = &mut self.db else { return Err(broken("rows without a schema")) };
        let changes = rows::changes(db, updates, form, all, &mut self.uuids)?;
        db.apply(&changes);
        if !self.changes.reset {
            self.changes.rows.extend(changes);
        }
        Ok(())
    }
}
