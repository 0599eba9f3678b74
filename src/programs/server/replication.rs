//! The backup's side of active-backup replication: follows the databases of an active server, refuses changes meanwhile.

use super::Program;
use super::upstream::{PROBE, Wire};
use ovsdb::Json;
use ovsdb::data::Schema;
use ovsdb::json::Object;
use ovsdb::server::{Now, SERVER_DB};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a request was about.
enum Asked {
    ServerId,
    Databases,
    Schema(String),
    Monitor(String),
}

/// A connection to the active server.
#[derive(Default)]
pub(super) struct Following {
    pub(super) wire: Wire,
    asked: BTreeMap<i64, Asked>,
    /// Databases that follow.
    databases: BTreeSet<String>,
}

/// Whether and whom this server follows.
pub(super) struct Replication {
    pub(super) active: Option<String>,
    pub(super) exclude: String,
    /// It is a backup now.
    pub(super) backup: bool,
    pub(super) connection: Option<Following>,
    /// Milliseconds of silence after which the active server is asked for a sign of life; zero: never.
    pub(super) probe: u64,
}

impl Default for Replication {
    fn default() -> Self {
        Replication { active: None, exclude: String::new(), backup: false, connection: None, probe: PROBE }
    }
}

impl Following {
    fn ask(&mut self, method: &str, params: Vec<Json>, about: Asked) {
        let id = self.wire.ask(method, params);
        self.asked.insert(id, about);
    }
}

/// Whether every table and column of `from` is in `to`, of the same type.
fn fits(from: &Schema, to: &Schema) -> bool {
    from.tables.iter().all(|table| {
        let Some(own) = to.table(&table.name).map(|t| &to.tables[t]) else { return false };
        table.columns.iter().all(|c| own.column(&c.name).is_some_and(|o| own.columns[o].ty == c.ty))
    })
}

impl Replication {
    /// What `sync-status` prints.
    pub(super) fn status(&self) -> String {
        if !self.backup {
            return "state: active".into();
        }
        let active = self.active.as_deref().unwrap_or_default();
        let following = self.connection.as_ref().filter(|c| !c.databases.is_empty());
        match following {
            Some(connection) => {
                let names: Vec<&str> = connection.databases.iter().map(String::as_str).collect();
                let mut text = format!("state: backup\nreplicating: {active}\ndatabase: {}", names.join(","));
                if !self.exclude.is_empty() {
                    text += &format!("\nexclude: {}", self.exclude);
                }
                text
            }
            None => format!("state: backup\nconnecting: {active}"),
        }
    }

    /// The tables of a database that follow.
    fn tables(&self, database: &str, schema: &Schema) -> Vec<String> {
        let excluded =
            |table: &str| self.exclude.split(',').any(|entry| entry.split_once(':') == Some((database, table)));
        schema.tables.iter().map(|t| t.name.to_string()).filter(|t| !excluded(t)).collect()
    }

    /// A connection was made.
    pub(super) fn begin(&mut self) {
        let mut following = Following::default();
        following.ask("get_server_id", Vec::new(), Asked::ServerId);
        self.connection = Some(following);
    }
}

impl Program {
    /// Becomes a backup, or no more.
    pub(super) fn set_backup(&mut self, backup: bool) {
        self.replication.backup = backup;
        self.replication.connection = None;
        self.server.read_only = backup;
        self.server.reconnect_all();
    }

    /// What came from the active server. False when the connection is of no use.
    pub(super) fn follow(&mut self, now: Now) -> bool {
        loop {
            let Some(connection) = &mut self.replication.connection else { return false };
            match connection.wire.framer.next_value() {
                Ok(None) => return true,
                Ok(Some(message)) => {
                    if let Err(error) = self.heard(&message, now) {
                        // better no backup than a wrong one
                        log::warn!(target: "replication", "{error}");
                        self.set_backup(false);
                        return false;
                    }
                }
                Err(e) => {
                    log::warn!(target: "replication", "error parsing stream: {e}");
                    return false;
                }
            }
        }
    }

    fn heard(&mut self, message: &Json, now: Now) -> Result<(), String> {
        let Some(connection) = &mut self.replication.connection else { return Ok(()) };
        if connection.wire.answer(message) {
            return Ok(());
        }
        let params = message.get("params").and_then(Json::as_array).unwrap_or_default();
        match message.get("method").and_then(Json::as_str) {
            Some("update") => {
                if let [Json::Str(database), updates] = params {
                    self.server.follow(database, updates, None, now).map_err(|e| e.to_string())?;
                }
                return Ok(());
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let asked = message.get("id").and_then(Json::as_int).and_then(|id| connection.asked.remove(&id));
        let result = message.get("result").unwrap_or(&Json::Null);
        let Some(asked) = asked else { return Ok(()) };
        if let Some(error) = message.get("error").filter(|e| **e != Json::Null) {
            return Err(format!("the active server refuses: {error}"));
        }
        match asked {
            Asked::ServerId => {
                if result.as_str() == Some(&self.server.id().to_string()) {
                    return Err("Self replicating is not allowed".into());
                }
                connection.ask("list_dbs", Vec::new(), Asked::Databases);
            }
            Asked::Databases => {
                for name in result.as_array().unwrap_or_default().iter().filter_map(Json::as_str) {
                    if name != SERVER_DB && self.server.database(name).is_some() {
                        connection.ask("get_schema", vec![name.into()], Asked::Schema(name.to_owned()));
                    }
                }
            }
            Asked::Schema(name) => {
                let Some(own) = self.server.database(&name).map(|hosted| hosted.db.schema.clone()) else {
                    return Ok(());
                };
                let theirs = Schema::from_json(result).map_err(|e| e.to_string())?;
                if theirs.version != own.version || theirs != *own {
                    log::info!(
                        target: "replication",
                        "Schema version mismatch, checking if {name} can still be replicated or not."
                    );
                    if !fits(&theirs, &own) {
                        return Err(format!("{name} cannot be replicated"));
                    }
                    log::info!(target: "replication", "{name} can be replicated");
                }
                let wanted = |table: &str| {
                    let columns = theirs.table(table).map(|t| &theirs.tables[t].columns)?;
                    let columns = columns.iter().map(|c| Json::Str(c.name.clone())).collect();
                    Some((Arc::from(table), Json::object([("columns", Json::Array(columns))])))
                };
                let tables = self.replication.tables(&name, &own);
                let requests: Object = tables.iter().filter_map(|t| wanted(t)).collect();
                let params = vec![name.as_str().into(), name.as_str().into(), requests.into()];
                if let Some(connection) = &mut self.replication.connection {
                    connection.ask("monitor", params, Asked::Monitor(name));
                }
            }
            Asked::Monitor(name) => {
                let Some(own) = self.server.database(&name).map(|hosted| hosted.db.schema.clone()) else {
                    return Ok(());
                };
                let tables = self.replication.tables(&name, &own);
                self.server.follow(&name, result, Some(&tables), now).map_err(|e| e.to_string())?;
                if let Some(connection) = &mut self.replication.connection {
                    connection.databases.insert(name);
                }
            }
        }
        Ok(())
    }
}
