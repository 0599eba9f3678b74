//! Requests by method: what each wants, and its reply.

use super::monitor::{Monitor, Version};
use super::session::Out;
use super::{Now, SERVER_DB, Server, SessionId, Trigger};
use crate::data::{Schema, is_id};
use crate::error::Error;
use crate::file;
use crate::json::{Json, Object};
use crate::txn::{Context, Outcome, execute};
use crate::uuid::Uuid;
use std::sync::Arc;

/// What it costs to look at a row, beside a byte of a request.
const ROW: usize = 10;

/// What a request comes to at once: a result, an error, or nothing yet.
type Reply = Result<Option<Json>, Error>;

impl Server {
    /// A message of a client: a request, a notification or a reply.
    pub(super) fn message(&mut self, id: SessionId, message: Json, now: Now) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let bad = match &message {
            Json::Object(members) => match (members.get("method"), members.get("params")) {
                (Some(Json::Str(_)), Some(Json::Array(_))) => None,
                (Some(Json::Str(_)), _) => Some("\"params\" must be JSON array"),
                (Some(_), _) => Some("method is not a JSON string"),
                // an answer to an echo
                (None, _) if members.contains_key("result") || members.contains_key("error") => return,
                (None, _) => Some("neither request nor reply"),
            },
            _ => Some("message is not a JSON object"),
        };
        if let Some(bad) = bad {
            log::warn!(target: "jsonrpc", "{}: received bad JSON-RPC message: {bad}", session.peer.name);
            session.close("Protocol error");
            return;
        }
        let Json::Object(mut members) = message else { return };
        let method = members.remove("method");
        let method = method.as_ref().and_then(Json::as_str).unwrap_or_default();
        let params = match members.remove("params") {
            Some(Json::Array(params)) => params,
            _ => Vec::new(),
        };
        let request_id = members.remove("id").unwrap_or(Json::Null);
        if request_id == Json::Null {
            // of notifications clients have one
            if method == "cancel" {
                self.cancel(id, &params);
            }
            return;
        }
        let reply = match method {
            "transact" => self.transact(id, &request_id, params, now),
            _ => self.request(id, &request_id, method, &Json::Array(params), now),
        };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match reply {
            Ok(Some(result)) => session.reply(request_id, result),
            Ok(None) => {}
            // errors without details are bare words
            Err(error) if error.details.is_none() => session.reply_error(request_id, Json::from(&*error.tag)),
            Err(error) => session.reply_error(request_id, error.to_json()),
        }
    }

    /// A request that is answered at once.
    fn request(&mut self, id: SessionId, request_id: &Json, method: &str, params: &Json, now: Now) -> Reply {
        let empty = || Ok(Some(Json::Object(Object::new())));
        match method {
            "echo" => Ok(Some(params.clone())),
            "list_dbs" => Ok(Some(Json::Array(self.databases.keys().map(|n| Json::Str(n.clone())).collect()))),
            "get_server_id" => Ok(Some(Json::from(self.id.to_string()))),
            "get_schema" => {
                let name = self.database_param(method, params)?;
                Ok(self.databases.get(&name).map(|hosted| hosted.db.schema.to_json()))
            }
            "monitor" => self.monitor(id, request_id, method, params, Version::One),
            "monitor_cond" | "monitor_cond_since" | "monitor_cond_change" if self.no_conditions => {
                Err(Error::bare("unknown method"))
            }
            "monitor_cond" => self.monitor(id, request_id, method, params, Version::Two),
            "monitor_cond_since" => self.monitor(id, request_id, method, params, Version::Three),
            "monitor_cond_change" => self.monitor_change(id, params),
            "monitor_cancel" => {
                let session = self.sessions.get_mut(&id).ok_or_else(|| Error::bare("unknown monitor"))?;
                let wanted = params.as_array().and_then(<[Json]>::first);
                let at = session.monitors.iter().position(|m| Some(&m.id) == wanted);
                session.monitors.remove(at.ok_or_else(|| Error::bare("unknown monitor"))?);
                self.rewatch(id);
                empty()
            }
            "lock" | "steal" | "unlock" => self.lock(id, method, params),
            "set_db_change_aware" => {
                let Some([Json::Bool(aware)]) = params.as_array() else {
                    return Err(Error::syntax(params, "set_db_change_aware: true or false parameter expected"));
                };
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.change_aware = *aware;
                }
                empty()
            }
            "convert" => self.convert(params, now),
            _ => Err(Error::bare("unknown method")),
        }
    }

    /// The database that the first parameter names.
    fn database_param(&self, method: &str, params: &Json) -> Result<Arc<str>, Error> {
        self.named_database(method, params.as_array().and_then(<[Json]>::first), || params.clone())
    }

    /// The database of that name; errors show `params`.
    fn named_database(
        &self,
        method: &str,
        name: Option<&Json>,
        params: impl FnOnce() -> Json,
    ) -> Result<Arc<str>, Error> {
        let Some(Json::Str(name)) = name else {
            return Err(Error::syntax(&params(), format!("{method} request params must begin with <db-name>")));
        };
        match self.databases.get_key_value(name) {
            Some((name, hosted)) if hosted.available => Ok(name.clone()),
            Some((name, _)) => {
                let text = format!("{method} request specifies database {name} whose source is not connected yet");
                Err(Error::new("database not available", text).at(&params()))
            }
            None => {
                let text = format!("{method} request specifies unknown database {name}");
                Err(Error::new("unknown database", text).at(&params()))
            }
        }
    }

    fn transact(&mut self, id: SessionId, request_id: &Json, params: Vec<Json>, now: Now) -> Reply {
        let name = self.named_database("transact", params.first(), || Json::Array(params.clone()))?;
        let mut operations = params;
        operations.remove(0);
        if let Some(hosted) = self.databases.get_mut(&name)
            && hosted.model == super::Model::Relay
            && super::relay::changes_something(&operations)
        {
            hosted.forwards.push_back(super::relay::Forward { session: id, id: request_id.clone(), operations });
            return Ok(None);
        }
        let trigger = Trigger { session: id, id: request_id.clone(), operations, came: now.monotonic, timeout: None };
        if let Some(waiting) = self.attempt(&name, trigger, now)
            && let Some(hosted) = self.databases.get_mut(&name)
        {
            hosted.triggers.push(waiting);
        }
        Ok(None)
    }

    /// Runs a transaction; it comes back when it has to wait.
    fn attempt(&mut self, name: &Arc<str>, mut trigger: Trigger, now: Now) -> Option<Trigger> {
        let (hosted, session) = (self.databases.get(name)?, self.sessions.get(&trigger.session)?);
        let (locks, id) = (&self.locks, trigger.session);
        let owns = |lock: &str| locks.owns(id, lock);
        let mut context = Context {
            read_only: self.read_only || session.peer.read_only,
            reserved: &**name == SERVER_DB,
            role: session.peer.role.as_deref(),
            id: session.peer.id.as_deref(),
            owns: &owns,
            elapsed: now.monotonic.saturating_sub(trigger.came),
            uuids: &mut self.uuids,
            rows_seen: 0,
        };
        let outcome = execute(&hosted.db, &trigger.operations, &mut context);
        self.cost += ROW * context.rows_seen;
        let (result, commit) = match outcome {
            Outcome::Wait(timeout) => {
                trigger.timeout = timeout;
                return Some(trigger);
            }
            Outcome::Done(result, commit) => (result, commit),
        };
        if let Some(commit) = commit {
            self.make(name, &commit, now);
        }
        if let Some(session) = self.sessions.get_mut(&trigger.session) {
            // a client knows what changed before it knows that it did that
            session.send_updates();
            session.push(Out::Committed(name.clone(), trigger.id, result));
            self.active.insert(trigger.session);
        }
        None
    }

    /// Tries what waits, where something changed or the time is over. Whether anything ran.
    pub(super) fn run_triggers(&mut self, now: Now) -> bool {
        let mut ran = false;
        let names: Vec<Arc<str>> = self.databases.keys().cloned().collect();
        for name in names {
            let Some(hosted) = self.databases.get_mut(&name) else { continue };
            let changed = std::mem::take(&mut hosted.changed);
            let due = |t: &Trigger| changed || t.deadline().is_some_and(|at| at <= now.monotonic);
            let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut hosted.triggers).into_iter().partition(due);
            hosted.triggers = rest;
            for trigger in due {
                ran = true;
                if let Some(waiting) = self.attempt(&name, trigger, now)
                    && let Some(hosted) = self.databases.get_mut(&name)
                {
                    hosted.triggers.push(waiting);
                }
            }
        }
        // a round in which all went on waiting changed nothing
        ran && self.databases.values().any(|h| h.changed)
    }

    fn cancel(&mut self, id: SessionId, params: &[Json]) {
        let Some(wanted) = params.first() else { return };
        let mut found = false;
        for hosted in self.databases.values_mut() {
            hosted.triggers.retain(|t| {
                let this = t.session == id && t.id == *wanted;
                found |= this;
                !this
            });
        }
        if let Some(session) = self.sessions.get_mut(&id).filter(|_| found) {
            session.reply_error(wanted.clone(), "canceled".into());
        }
    }

    /// Ends what waits for a database or watches it, when it goes or becomes another.
    pub(super) fn cancel_all(&mut self, name: &str) {
        let triggers = self.databases.get_mut(name).map(|h| std::mem::take(&mut h.triggers));
        for trigger in triggers.into_iter().flatten() {
            if let Some(session) = self.sessions.get_mut(&trigger.session).filter(|s| s.change_aware) {
                session.reply_error(trigger.id, "canceled".into());
                self.active.insert(trigger.session);
            }
        }
        // the others are sent away and find out when they come again
        for (id, session) in self.sessions.iter_mut().filter(|(_, s)| s.change_aware) {
            session.send_updates();
            self.active.insert(*id);
            let gone = session.monitors.extract_if(.., |m| &*m.database == name).map(|m| m.id);
            for id in gone.collect::<Vec<_>>() {
                session.notify("monitor_canceled", vec![id]);
            }
        }
        self.rewatch_all();
    }

    fn monitor(&mut self, id: SessionId, request_id: &Json, method: &str, params: &Json, version: Version) -> Reply {
        let name = self.database_param(method, params)?;
        let (monitor_id, requests, since) = match (params.as_array().unwrap_or_default(), version) {
            ([_, id, requests, since], Version::Three) => (id, requests, Some(since)),
            ([_, id, requests], Version::One | Version::Two) => (id, requests, None),
            _ => return Err(Error::syntax(params, format!("invalid parameters of {method}"))),
        };
        if let Some(since) = since
            && since.as_str().and_then(Uuid::parse).is_none()
        {
            return Err(Error::syntax(since, "last-txn-id must be a UUID"));
        }
        let (Some(hosted), Some(session)) = (self.databases.get(&name), self.sessions.get_mut(&id)) else {
            return Ok(None);
        };
        if session.monitors.iter().any(|m| m.id == *monitor_id) {
            return Err(Error::syntax(monitor_id, "duplicate monitor ID"));
        }
        let mut monitor = Monitor::new(&hosted.db, monitor_id.clone(), name, version, requests)?;
        monitor.last = hosted.last;
        let since = since.and_then(Json::as_str).and_then(Uuid::parse).unwrap_or(Uuid::ZERO);
        let found = if version == Version::Three { hosted.since(since) } else { None };
        let known = found.is_some();
        let changes = found.map(|changes| monitor.catch_up(changes));
        session.reply_text(request_id, |text| {
            if version == Version::Three {
                let last = monitor.last;
                text.push_str(&format!("[{known},\"{last}\","));
            }
            match changes {
                Some(updates) => updates.write_to(text),
                None => monitor.write_initial(&hosted.db, text),
            }
            text.push_str(if version == Version::Three { "]" } else { "" });
        });
        session.monitors.push(monitor);
        self.rewatch(id);
        Ok(None)
    }

    fn monitor_change(&mut self, id: SessionId, params: &Json) -> Reply {
        let Some([old, new, requests]) = params.as_array() else {
            return Err(Error::syntax(params, "invalid parameters of monitor_cond_change"));
        };
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(None) };
        let unknown = || Error::syntax(old, "unknown monitor session");
        let at = session.monitors.iter().position(|m| m.id == *old).ok_or_else(unknown)?;
        if old != new && session.monitors.iter().any(|m| m.id == *new) {
            return Err(Error::syntax(new, "duplicate monitor ID"));
        }
        // what happened before is told as it was to be seen then
        session.send_updates();
        let monitor = &mut session.monitors[at];
        let Some(hosted) = self.databases.get(&monitor.database).filter(|_| monitor.version != Version::One) else {
            return Err(unknown());
        };
        // the client's view is the newest then, and nothing of before is to be told again
        monitor.last = hosted.last;
        let update = monitor.change(&hosted.db, new.clone(), requests)?;
        if let Some(update) = update {
            session.push(Out::Plain(update));
        }
        self.rewatch(id);
        Ok(Some(Json::Object(Object::new())))
    }

    fn lock(&mut self, id: SessionId, method: &str, params: &Json) -> Reply {
        let name = match params.as_array() {
            Some([Json::Str(name)]) if is_id(name) => name.clone(),
            _ => return Err(Error::syntax(params, format!("{method} request params must be <id>"))),
        };
        if method == "unlock" {
            if !self.locks.has(id, &name) {
                return Err(Error::syntax(params, "unlock: \"unlock\" without \"lock\" or \"steal\""));
            }
            if let Some(next) = self.locks.unlock(id, &name) {
                self.notify_lock(next, "locked", &name);
            }
            return Ok(Some(Json::Object(Object::new())));
        }
        if self.locks.has(id, &name) {
            return Err(Error::syntax(params, format!("must issue \"unlock\" before new \"{method}\"")));
        }
        let locked = if method == "steal" {
            if let Some(victim) = self.locks.steal(id, &name) {
                self.notify_lock(victim, "stolen", &name);
            }
            true
        } else {
            self.locks.lock(id, &name)
        };
        Ok(Some(Json::object([("locked", Json::Bool(locked))])))
    }

    fn convert(&mut self, params: &Json, now: Now) -> Reply {
        let name = self.database_param("convert", params)?;
        let Some([_, json]) = params.as_array() else {
            return Err(Error::syntax(params, "invalid parameters of convert"));
        };
        if &*name == SERVER_DB {
            return Err(Error::new("not allowed", "cannot convert reserved database _Server"));
        }
        if self.read_only {
            return Err(Error::new("not allowed", "convert not allowed when database server is in read only mode"));
        }
        let schema = Schema::from_json(json)?;
        if schema.name != name {
            let text = format!("new schema name ({}) does not match database name ({name})", schema.name);
            return Err(Error::new("invalid parameters", text));
        }
        self.write_out(&name);
        let Some(hosted) = self.databases.get(&name) else { return Ok(None) };
        if hosted.model == super::Model::Relay {
            return Err(Error::new("not allowed", "convert not allowed on a relay database"));
        }
        let id = self.uuids.uuid();
        let db = file::convert(&hosted.db, Arc::new(schema), &mut self.uuids)?;
        self.cancel_all(&name);
        if let Some(hosted) = self.databases.get_mut(&name) {
            hosted.replace(db, now, id)?;
        }
        self.databases_changed(&name);
        Ok(Some(Json::Object(Object::new())))
    }
}
