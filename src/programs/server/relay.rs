//! Relays: databases of other servers, each followed over a connection of its own. Transactions that change something go
//! to the source.

use super::Program;
use super::upstream::Wire;
use ovsdb::data::Schema;
use ovsdb::json::Object;
use ovsdb::server::{Forward, Now};
use ovsdb::{Json, Uuid};
use std::collections::BTreeMap;

/// What a request was about.
enum Asked {
    Schema,
    Monitor,
    Transaction(Forward),
}

/// A connection to a source.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) wire: Wire,
    asked: BTreeMap<i64, Asked>,
    /// What there is here is what is there.
    synced: bool,
}

/// A database of another server.
pub(super) struct Relay {
    /// Where it is to be had; one after the other is tried.
    methods: Vec<String>,
    at: usize,
    pub(super) connection: Option<Connection>,
}

impl Relay {
    pub(super) fn method(&self) -> &str {
        self.methods.get(self.at % self.methods.len().max(1)).map_or("", String::as_str)
    }
}

/// `relay:DB:METHOD[,METHOD]…` taken apart.
pub(super) fn parse(text: &str) -> Option<Result<(&str, &str), String>> {
    let rest = text.strip_prefix("relay:")?;
    Some(match rest.split_once(':') {
        Some((name, methods)) if !name.is_empty() && methods.contains(':') => Ok((name, methods)),
        _ => Err(format!("{text}: invalid syntax, relay:DB:REMOTE is expected")),
    })
}

impl Program {
    pub(super) fn add_relay(&mut self, name: &str, methods: &str) -> Result<(), String> {
        let methods = crate::stream::split_methods(methods);
        if let Some(bad) = methods.iter().find(|m| !["unix:", "tcp:", "ssl:"].iter().any(|k| m.starts_with(k))) {
            return Err(format!("{bad}: not an active connection method"));
        }
        self.server.add_relay(name).map_err(|e| e.to_string())?;
        self.relays.insert(name.to_owned(), Relay { methods, at: 0, connection: None });
        Ok(())
    }

    /// As they were named.
    pub(super) fn relay_texts(&self) -> impl Iterator<Item = String> {
        self.relays.iter().map(|(name, relay)| format!("relay:{name}:{}", relay.methods.join(",")))
    }

    /// Whether all relays have something to show.
    pub(super) fn relays_are_ready(&self) -> bool {
        self.relays.values().all(|r| r.connection.as_ref().is_some_and(|c| c.synced))
    }

    pub(super) fn begin_relay(&mut self, name: &str) {
        let Some(relay) = self.relays.get_mut(name) else { return };
        let mut connection = Connection::default();
        let id = connection.wire.ask("get_schema", vec![name.into()]);
        connection.asked.insert(id, Asked::Schema);
        relay.connection = Some(connection);
    }

    /// The connection is gone. Who waits for a transaction cannot know what became of it.
    pub(super) fn lose_relay(&mut self, name: &str) {
        let Some(relay) = self.relays.get_mut(name) else { return };
        relay.at = relay.at.wrapping_add(1);
        let asked = relay.connection.take().map(|c| c.asked).unwrap_or_default();
        self.server.relay_connected(name, false);
        for forward in asked.into_values() {
            if let Asked::Transaction(forward) = forward {
                let error = [("error", "disconnected".into()), ("details", "the relay's source is gone".into())];
                self.server.forwarded(forward, Err(Json::object(error)));
            }
        }
    }

    /// Hands transactions on.
    pub(super) fn send_forwards(&mut self) {
        for (name, relay) in &mut self.relays {
            let Some(connection) = relay.connection.as_mut().filter(|c| c.synced) else { continue };
            while let Some(forward) = self.server.next_forward(name) {
                let mut params = vec![Json::from(name.as_str())];
                params.extend(forward.operations.iter().cloned());
                let id = connection.wire.ask("transact", params);
                connection.asked.insert(id, Asked::Transaction(forward));
            }
        }
    }

    /// What came from a source. False when the connection is of no use.
    pub(super) fn relay_input(&mut self, name: &str, now: Now) -> bool {
        loop {
            let Some(connection) = self.relays.get_mut(name).and_then(|r| r.connection.as_mut()) else { return false };
            match connection.wire.framer.next_value() {
                Ok(None) => return true,
                Ok(Some(message)) => {
                    if let Err(error) = self.relay_message(name, &message, now) {
                        log::warn!(target: "relay", "{name}: {error}");
                        return false;
                    }
                }
                Err(e) => {
                    log::warn!(target: "relay", "{name}: error parsing stream: {e}");
                    return false;
                }
            }
        }
    }

    fn relay_message(&mut self, name: &str, message: &Json, now: Now) -> Result<(), String> {
        let Some(relay) = self.relays.get_mut(name) else { return Ok(()) };
        let method = relay.method().to_owned();
        let Some(connection) = &mut relay.connection else { return Ok(()) };
        if connection.wire.answer(message) {
            return Ok(());
        }
        if let Some(kind) = message.get("method").and_then(Json::as_str) {
            let params = message.get("params").unwrap_or(&Json::Null);
            log::debug!(target: "jsonrpc", "{method}: received notification, method=\"{kind}\", params={params}");
            return match (kind, params.as_array()) {
                ("update3", Some([_, last, updates])) => self.relay_changes(name, last, updates, false, now),
                ("monitor_canceled", _) => Err("the source's database is another now".into()),
                _ => Ok(()),
            };
        }
        let asked = message.get("id").and_then(Json::as_int).and_then(|id| connection.asked.remove(&id));
        let result = message.get("result").unwrap_or(&Json::Null);
        let error = message.get("error").filter(|e| **e != Json::Null);
        match (asked, error) {
            (Some(Asked::Transaction(forward)), error) => {
                self.server.forwarded(forward, error.map_or_else(|| Ok(result.clone()), |e| Err(e.clone())));
                Ok(())
            }
            (Some(_), Some(error)) => Err(format!("{method} refuses: {error}")),
            (Some(Asked::Schema), None) => {
                let requests = requests(result)?;
                self.server.relay_schema(name, result).map_err(|e| e.to_string())?;
                let last = self.server.database(name).map_or(Uuid::ZERO, |hosted| hosted.last);
                let monitor = Json::pair("monid", name);
                let params = vec![name.into(), monitor, requests, last.to_string().into()];
                if let Some(connection) = self.relays.get_mut(name).and_then(|r| r.connection.as_mut()) {
                    let id = connection.wire.ask("monitor_cond_since", params);
                    connection.asked.insert(id, Asked::Monitor);
                }
                Ok(())
            }
            (Some(Asked::Monitor), None) => {
                let Some([Json::Bool(found), last, updates]) = result.as_array() else {
                    return Err("the reply to monitor_cond_since is malformed".into());
                };
                self.relay_changes(name, last, updates, !found, now)?;
                if let Some(connection) = self.relays.get_mut(name).and_then(|r| r.connection.as_mut()) {
                    connection.synced = true;
                }
                self.server.relay_connected(name, true);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn relay_changes(&mut self, name: &str, last: &Json, updates: &Json, reset: bool, now: Now) -> Result<(), String> {
        let last = last.as_str().and_then(Uuid::parse).ok_or("a transaction's name is malformed")?;
        self.server.relay_update(name, updates, last, reset, now).map_err(|e| e.to_string())
    }
}

/// What is to be watched of a schema: all of it.
fn requests(schema: &Json) -> Result<Json, String> {
    let schema = Schema::from_json(schema).map_err(|e| e.to_string())?;
    let table = |t: &std::sync::Arc<ovsdb::data::TableSchema>| {
        let columns = t.columns.iter().map(|c| Json::Str(c.name.clone())).collect();
        let request = Json::object([("columns", Json::Array(columns))]);
        (t.name.clone(), Json::Array(vec![request]))
    };
    Ok(Json::Object(schema.tables.iter().map(table).collect::<Object>()))
}
