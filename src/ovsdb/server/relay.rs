//! A relay: a database of another server that is served from a copy in memory. What reads is answered here; what may change
//! something is handed to that server, and the client gets its answer behind the update that it makes.

use super::database::Hosted;
use super::{Now, SERVER_DB, Server, SessionId};
use crate::data::Schema;
use crate::error::Error;
use crate::file::changed_row;
use crate::json::{self, Json};
use crate::table::Database;
use crate::txn::{Commit, Draw};
use crate::uuid::Uuid;
use std::sync::Arc;

/// A transaction that another server is to make.
#[derive(Debug)]
pub struct Forward {
    pub session: SessionId,
    pub(super) id: Json,
    pub operations: Vec<Json>,
}

/// Whether a transaction is more than reading.
pub(super) fn changes_something(operations: &[Json]) -> bool {
    operations.iter().any(|operation| {
        let name = operation.get("op").and_then(Json::as_str).unwrap_or_default();
        matches!(name, "insert" | "update" | "mutate" | "delete" | "commit")
    })
}

impl Server {
    /// Serves a database of another server. What it is, [`Server::relay_schema`] says later.
    ///
    /// # Errors
    /// There is a database of that name.
    pub fn add_relay(&mut self, name: &str) -> Result<(), Error> {
        if self.databases.contains_key(name) {
            return Err(Error::new("ovsdb error", format!("{name}: duplicate database name")));
        }
        let nothing = format!("{{\"name\":\"{name}\",\"tables\":{{}}}}");
        let schema = json::parse(nothing.as_bytes()).map_err(|e| Error::new("syntax error", e.to_string()))?;
        let db = Database::new(Arc::new(Schema::from_json(&schema)?));
        let relay = Hosted::relay(db);
        self.databases.insert(Arc::from(name), relay);
        self.databases_changed(name);
        Ok(())
    }

    /// The schema that the other server has. A copy under another schema is no more.
    ///
    /// # Errors
    /// It is malformed, or another database's.
    pub fn relay_schema(&mut self, name: &str, json: &Json) -> Result<(), Error> {
        let schema = Schema::from_json(json)?;
        if &*schema.name != name || name == SERVER_DB {
            return Err(Error::new("ovsdb error", format!("schema of {} where {name} is expected", schema.name)));
        }
        let Some(hosted) = self.databases.get_mut(name) else { return Ok(()) };
        if hosted.available && *hosted.db.schema == schema {
            return Ok(());
        }
        let known = hosted.available;
        if known {
            self.cancel_all(name);
        }
        if let Some(hosted) = self.databases.get_mut(name) {
            hosted.begin_copy(Database::new(Arc::new(schema)));
        }
        if known {
            self.databases_changed(name);
        } else {
            self.describe(name);
        }
        Ok(())
    }

    /// Whether the other server is there.
    pub fn relay_connected(&mut self, name: &str, connected: bool) {
        if let Some(hosted) = self.databases.get_mut(name)
            && hosted.connected != connected
        {
            hosted.connected = connected;
            self.describe(name);
        }
    }

    /// Takes `<table-updates2>` over, after which the database is at the transaction `last`. With `reset` they are all there
    /// is.
    ///
    /// # Errors
    /// They do not fit what is there.
    pub fn relay_update(&mut self, name: &str, updates: &Json, last: Uuid, reset: bool, now: Now) -> Result<(), Error> {
        let Some(db) = self.databases.get(name).map(|hosted| &hosted.db) else { return Ok(()) };
        let mut draw = Draw::new(db, &mut self.uuids);
        if reset {
            for (number, table) in db.tables.iter().enumerate() {
                table.rows().for_each(|row| draw.delete(number, row.uuid));
            }
        }
        for (table, rows) in updates.as_object().into_iter().flatten() {
            let unknown = || Error::new("unknown table", format!("No table named {table}."));
            let number = db.schema.table(table).ok_or_else(unknown)?;
            let schema = &db.tables[number].schema;
            for (uuid, update) in rows.as_object().into_iter().flatten() {
                let bad = || Error::syntax(update, format!("\"{uuid}\" is not a valid update"));
                let uuid = Uuid::parse(uuid).ok_or_else(bad)?;
                let (kind, cells) = update.as_object().and_then(|u| u.iter().next()).ok_or_else(bad)?;
                let mut row = match &**kind {
                    "delete" => {
                        draw.delete(number, uuid);
                        continue;
                    }
                    "initial" | "insert" => changed_row(schema, None, uuid, cells, false)?,
                    "modify" => {
                        let old = draw.get(number, uuid).ok_or_else(bad)?;
                        changed_row(schema, Some(old), uuid, cells, true)?
                    }
                    _ => return Err(bad()),
                };
                row.version = self.uuids.uuid();
                draw.put(number, row);
            }
        }
        let same = |c: &crate::table::Change| match (&c.old, &c.new) {
            (Some(old), Some(new)) => old.columns == new.columns,
            (None, None) => true,
            _ => false,
        };
        let changes: Vec<_> = draw.changes().into_iter().filter(|c| !same(c)).collect();
        if reset && let Some(hosted) = self.databases.get_mut(name) {
            hosted.forget_history();
        }
        self.make_named(name, &Commit { changes, comment: String::new(), durable: false }, now, last);
        Ok(())
    }

    /// The next transaction that the other server is to make.
    pub fn next_forward(&mut self, name: &str) -> Option<Forward> {
        self.databases.get_mut(name)?.forwards.pop_front()
    }

    /// What the other server answered.
    pub fn forwarded(&mut self, forward: Forward, answer: Result<Json, Json>) {
        if let Some(session) = self.sessions.get_mut(&forward.session) {
            session.send_updates();
            match answer {
                Ok(result) => session.reply(forward.id, result),
                Err(error) => session.reply_error(forward.id, error),
            }
            self.active.insert(forward.session);
        }
    }
}
