//! `monitor`, `monitor-cond`, `monitor-cond-since`, `lock`, `steal`, `unlock`: connections that stay, with a control socket
//! when they are in the background.

use super::rpc::{Message, Rpc};
use super::{Call, Done, PROGRAM, parse_json};
use crate::replay::wait::{Signals, poll};
use crate::replay::{self, wall_ms};
use crate::setup::print;
use crate::table::{Cell, Style, Table};
use crate::unixctl::{self, Command, Connection, Control, command};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use ovsdb::Json;
use ovsdb::data::{AtomKind, BaseType, Datum, Schema, TableSchema, Type};
use ovsdb::json::Object;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

const COMMANDS: [Command; 8] = [
    command("exit", "", 0, usize::MAX),
    command("lock", "LOCK", 1, 1),
    command("ovsdb-client/block", "", 0, 0),
    command("ovsdb-client/cond_change", "TABLE COND", 2, 2),
    command("ovsdb-client/unblock", "", 0, 0),
    command("steal", "LOCK", 1, 1),
    command("unlock", "LOCK", 1, 1),
    command("memory/show", "", 0, 0),
];

/// The control socket and who calls.
#[derive(Default)]
struct Controls {
    control: Option<Control>,
    callers: Vec<Connection>,
    /// What ends a program in the background: it tidies up first.
    signals: Option<Signals>,
}

impl Controls {
    fn new(call: &Call<'_>) -> Result<Controls, String> {
        if !call.parsed.has("detach") && call.parsed.value("unixctl").is_none() {
            return Ok(Controls::default());
        }
        let control = Control::listen(PROGRAM, call.parsed.value("unixctl"), &COMMANDS);
        let control = control.map_err(|e| format!("control socket: {}", ovsdb::error::strerror(&e)))?;
        let signals = Signals::new([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        let signals = signals.map_err(|e| format!("signals: {e}"))?;
        Ok(Controls { control, callers: Vec::new(), signals: Some(signals) })
    }

    /// Waits for the connection, unless `blocked`, or for a caller. Whether the connection has something.
    fn wait(&mut self, rpc: &Rpc, blocked: bool) -> bool {
        let mut fds = Vec::new();
        if !blocked {
            fds.push(PollFd::new(rpc.stream.as_fd(), PollFlags::POLLIN));
        }
        fds.extend(self.signals.iter().filter_map(Signals::fd).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.control.iter().map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.callers.iter().map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
        let ready = poll(&mut fds, PollTimeout::NONE);
        let ready = !blocked && ready.first() == Some(&true);
        if let Some(control) = &self.control {
            while let Ok(caller) = control.accept() {
                self.callers.push(caller);
            }
            self.callers.iter_mut().for_each(|caller| control.receive(caller));
        }
        ready
    }

    /// Does what callers want; false when it is to end.
    fn run(&mut self, mut f: impl FnMut(&unixctl::Call) -> Result<String, String>) -> Result<bool, String> {
        if let Some(end) = replay::over() {
            return end.map(|()| false);
        }
        if self.signals.as_ref().is_some_and(|signals| signals.next().is_some()) {
            return Ok(false);
        }
        for caller in &mut self.callers {
            while let Some(call) = caller.next_call() {
                if call.command == "exit" {
                    caller.answer(call, Ok(String::new()));
                    return Ok(false);
                }
                let result = f(&call);
                caller.answer(call, result);
            }
        }
        self.callers.retain(|caller| !caller.is_done());
        Ok(true)
    }
}

/// A table that is watched, for printing.
struct Watched {
    schema: Arc<TableSchema>,
    /// With types that take differences, too, and their own.
    columns: Vec<(String, Type, Type)>,
}

/// Which requests and notifications belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Conditional,
    Since,
}

impl Watched {
    /// The requests for one table.
    fn new(
        schema: &Schema,
        table: &str,
        groups: &[String],
        condition: Option<&Json>,
    ) -> Result<(Watched, Json), String> {
        let number = schema.table(table).ok_or_else(|| format!("No table \"{table}\" found."))?;
        let (database, schema) = (&schema.name, schema.tables[number].clone());
        let mut watched = Watched { schema: schema.clone(), columns: Vec::new() };
        let mut requests = Vec::new();
        let all = [String::new()];
        for group in if groups.is_empty() { &all[..] } else { groups } {
            let mut select = Object::new();
            let mut names: Vec<String> = Vec::new();
            for word in group.split([',', ' ']).filter(|w| !w.is_empty()) {
                match word.strip_prefix('!') {
                    Some(kind @ ("initial" | "insert" | "delete" | "modify")) => {
                        select.insert(Arc::from(kind), Json::Bool(false));
                    }
                    Some(_) => return Err(format!("{word}: unknown kind of change")),
                    None if word.starts_with('_') || schema.column(word).is_some() => names.push(word.to_owned()),
                    None => {
                        let text = "does not have a column named";
                        return Err(format!("table \"{table}\" in {database} {text} \"{word}\""));
                    }
                }
            }
            if names.is_empty() {
                names = schema.columns.iter().map(|c| c.name.to_string()).collect();
                names.push("_version".to_owned());
            }
            let columns: Vec<Json> = names.iter().map(|n| Json::from(n.as_str())).collect();
            let mut request = Object::from([(Arc::from("columns"), Json::Array(columns))]);
            if !select.is_empty() {
                request.insert(Arc::from("select"), Json::Object(select));
            }
            if let Some(condition) = condition {
                request.insert(Arc::from("where"), condition.clone());
            }
            requests.push(Json::Object(request));
            for name in names {
                let ty = schema.column(&name).map_or(Type::scalar(AtomKind::Uuid), |c| schema.columns[c].ty.clone());
                let any = |base: &BaseType| BaseType::any(base.kind);
                let wide = Type { key: any(&ty.key), value: ty.value.as_ref().map(any), min: 0, max: u32::MAX };
                watched.columns.push((name, wide, ty));
            }
        }
        Ok((watched, Json::Array(requests)))
    }

    fn row(&self, uuid: &str, action: &str, cells: &Json) -> Vec<Cell> {
        let mut row = vec![Cell::Text(uuid.to_owned()), Cell::Text(action.to_owned())];
        row.extend(self.columns.iter().map(|(name, wide, ty)| match cells.get(name) {
            None => Cell::Empty,
            Some(json) => match Datum::from_json(wide, json, &mut ()) {
                Ok(datum) => Cell::Data(datum, Box::new(ty.clone())),
                Err(_) => Cell::Json(json.clone()),
            },
        }));
        row
    }

    /// `<table-update>`.
    fn rows1(&self, uuid: &str, update: &Json, initial: bool, rows: &mut Vec<Vec<Cell>>) {
        match (update.get("old"), update.get("new")) {
            (Some(old), Some(new)) => {
                rows.push(self.row(uuid, "old", old));
                rows.push(self.row("", "new", new));
            }
            (Some(old), None) => rows.push(self.row(uuid, "delete", old)),
            (None, Some(new)) => rows.push(self.row(uuid, if initial { "initial" } else { "insert" }, new)),
            (None, None) => {}
        }
    }

    /// `<table-update2>`.
    fn rows2(&self, uuid: &str, update: &Json, rows: &mut Vec<Vec<Cell>>) {
        for action in ["initial", "insert", "delete", "modify"] {
            if let Some(cells) = update.get(action) {
                rows.push(self.row(uuid, action, cells));
            }
        }
    }
}

/// What is printed of updates.
struct Printer {
    stamped: bool,
    style: Style,
    watched: Vec<Watched>,
    kind: Kind,
    first: bool,
}

impl Printer {
    fn print(&mut self, updates: &Json, initial: bool) {
        let stamp = self.stamped.then(wall_ms);
        for watched in &self.watched {
            let Some(updates) = updates.get(&watched.schema.name).and_then(Json::as_object) else { continue };
            let headings =
                ["row", "action"].into_iter().chain(watched.columns.iter().map(|(name, _, _)| name.as_str()));
            let mut table = Table::new(headings);
            if self.watched.len() > 1 {
                table.caption = Some(watched.schema.name.to_string());
            }
            table.timestamp = stamp;
            for (uuid, update) in updates {
                match self.kind {
                    Kind::Plain => watched.rows1(uuid, update, initial, &mut table.rows),
                    _ => watched.rows2(uuid, update, &mut table.rows),
                }
            }
            if !table.rows.is_empty() {
                print(&table.format(&self.style, &mut self.first));
            }
        }
    }

    /// The last transaction's name, on a line of its own.
    fn print_id(&mut self, found: Option<bool>, id: &Json) {
        let id = id.as_str().unwrap_or_default();
        match found {
            Some(found) => print(&format!("found: {found}, last_id: {id}\n")),
            None => {
                print(&format!("\nlast_id: {id}\n"));
                // the line was apart already
                self.first = true;
            }
        }
    }
}

pub(super) fn monitor(call: Call<'_>) -> Done {
    watch(call, Kind::Plain)
}

pub(super) fn monitor_cond(call: Call<'_>) -> Done {
    watch(call, Kind::Conditional)
}

pub(super) fn monitor_cond_since(call: Call<'_>) -> Done {
    watch(call, Kind::Since)
}

fn watch(mut call: Call<'_>, kind: Kind) -> Done {
    let schema = call.schema()?;
    let mut arguments = std::mem::take(&mut call.arguments);
    let mut since = ovsdb::Uuid::ZERO.to_string();
    if kind == Kind::Since && ovsdb::Uuid::parse(&arguments[0]).is_some() {
        since = arguments.remove(0);
    }
    let condition = match kind {
        Kind::Plain => None,
        _ => Some(parse_json(&arguments.remove(0))?),
    };
    let Some((table, groups)) = arguments.split_first() else { return Err("which table?".into()) };
    let mut watched = Vec::new();
    let mut requests = Object::new();
    let names: Vec<&str> = match &**table {
        "ALL" if groups.is_empty() => schema.tables.iter().map(|t| &*t.name).collect(),
        one => vec![one],
    };
    for name in names {
        let (table, request) = Watched::new(&schema, name, groups, condition.as_ref())?;
        requests.insert(table.schema.name.clone(), request);
        watched.push(table);
    }
    let mut controls = Controls::new(&call)?;
    let method = match kind {
        Kind::Plain => "monitor",
        Kind::Conditional => "monitor_cond",
        Kind::Since => "monitor_cond_since",
    };
    let mut params = vec![Json::from(call.database.as_str()), Json::Null, Json::Object(requests)];
    if kind == Kind::Since {
        params.push(Json::from(since));
    }
    let reply = call.call(method, params)?;
    let Call { mut rpc, parsed, database, style, mut daemon, .. } = call;
    let mut printer = Printer { stamped: parsed.has("timestamp"), style, watched, kind, first: true };
    match (kind, reply.as_array()) {
        (Kind::Since, Some([Json::Bool(found), id, updates])) => {
            printer.print_id(Some(*found), id);
            printer.print(updates, true);
        }
        _ => printer.print(&reply, true),
    }
    daemon.ready(crate::daemon::Keep::Output);
    let mut blocked = false;
    let failed = |e: String| format!("{database}: receive failed ({e})");
    loop {
        while !blocked && let Some(message) = rpc.next().map_err(failed)? {
            match message {
                Message::Notification(method, params) => match (&*method, params.as_array().unwrap_or_default()) {
                    ("update" | "update2", [Json::Null, updates]) => printer.print(updates, false),
                    ("update3", [Json::Null, id, updates]) => {
                        printer.print_id(None, id);
                        printer.print(updates, false);
                    }
                    ("monitor_canceled", [Json::Null]) => {
                        return Err(format!("{database} database was removed"));
                    }
                    _ => {}
                },
                Message::Reply(_, Err(error)) => log::warn!(target: "ovsdb_client", "server returned error: {error}"),
                Message::Reply(..) => {}
            }
        }
        if controls.wait(&rpc, blocked) && !rpc.fill().map_err(failed)? {
            return Err(failed("End of file".into()));
        }
        let goes_on = controls.run(|command| {
            match command.command {
                "ovsdb-client/block" => blocked = true,
                "ovsdb-client/unblock" => blocked = false,
                "ovsdb-client/cond_change" => {
                    let table = Arc::from(command.arguments[0].as_str());
                    let change = Json::object([("where", parse_json(&command.arguments[1])?)]);
                    let tables = Object::from([(table, Json::Array(vec![change]))]);
                    rpc.send("monitor_cond_change", Json::Array(vec![Json::Null, Json::Null, tables.into()]))?;
                }
                other => return Err(format!("{other}: not for a monitor")),
            }
            Ok(String::new())
        });
        if !goes_on? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

pub(super) fn lock(call: Call<'_>) -> Done {
    hold(call, "lock")
}

pub(super) fn steal(call: Call<'_>) -> Done {
    hold(call, "steal")
}

pub(super) fn unlock(call: Call<'_>) -> Done {
    hold(call, "unlock")
}

/// Locks, and prints all that comes of it.
fn hold(mut call: Call<'_>, method: &str) -> Done {
    let mut controls = Controls::new(&call)?;
    let name = call.arguments[0].clone();
    let params = |name: &str| Json::Array(vec![Json::from(name)]);
    call.rpc.send(method, params(&name))?;
    let failed = |e: String| format!("receive failed ({e})");
    loop {
        while let Some(message) = call.rpc.next().map_err(failed)? {
            match message {
                Message::Notification(method, params) => print(&format!("{method}\n{params}\n")),
                Message::Reply(_, Ok(result) | Err(result)) => {
                    print(&format!("{result}\n"));
                    call.daemon.ready(crate::daemon::Keep::Results);
                }
            }
        }
        if controls.wait(&call.rpc, false) && !call.rpc.fill().map_err(failed)? {
            return Err(failed("End of file".into()));
        }
        let goes_on = controls.run(|command| match command.command {
            name @ ("lock" | "steal" | "unlock") => {
                call.rpc.send(name, params(&command.arguments[0])).map(|_| String::new())
            }
            other => Err(format!("{other}: not for locks")),
        });
        if !goes_on? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
