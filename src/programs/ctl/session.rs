//! A run of a tool: connects, asks for the rows that the commands want, runs them, makes their transaction, and waits for
//! who follows it.

use super::state::{Rows, State, row_name};
use super::vswitch::Bridges;
use super::{Context, Given, Needs, Stop, Symbols, Tool};
use crate::client::rpc::{Message, Rpc};
use crate::options::Parsed;
use crate::setup::{self, print};
use crate::table::{Format, Style};
use crate::tls;
use nix::poll::{PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use ovsdb::client::is_unknown_method;
use ovsdb::data::Schema;
use ovsdb::json::Object;
use ovsdb::{Json, Uuid};
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::sync::Arc;

/// Milliseconds between attempts to connect.
const BACKOFF: u16 = 500;

const MODULES: [&str; 12] = [
    "db_ctl_base",
    "fatal_signal",
    "jsonrpc",
    "ovsdb_cs",
    "ovsdb_idl",
    "poll_loop",
    "reconnect",
    "socket_util",
    "stream_ssl",
    "timeval",
    "unixctl",
    "vlog",
];

/// What commands came to.
struct Ran {
    outputs: Vec<Output>,
    operations: Vec<Json>,
    made: Vec<String>,
    root: Option<Uuid>,
    root_is_new: bool,
    bridges: Option<Bridges>,
}

/// What a command prints.
struct Output {
    text: String,
    table: Option<crate::table::Table>,
    /// UUIDs in it are of rows that the server gives others to.
    creates: bool,
}

/// Ends the process by SIGALRM after so many seconds.
fn limit_time(seconds: u32) -> Result<(), String> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGALRM);
    mask.thread_block().map_err(|e| format!("signals: {e}"))?;
    let wait = move || {
        if mask.wait().is_ok() {
            log::warn!(target: "fatal_signal", "terminating with signal 14 (Alarm clock)");
            crate::server::die_by(Signal::SIGALRM);
        }
    };
    std::thread::Builder::new().name("alarm".into()).spawn(wait).map_err(|e| format!("thread: {e}"))?;
    nix::unistd::alarm::set(seconds);
    Ok(())
}

/// Runs the commands.
pub(super) fn run(tool: &Tool, parsed: &Parsed, given: &[Given], called: &[String]) -> Result<ExitCode, String> {
    let mut modules = MODULES.to_vec();
    modules.push(tool.module);
    setup::start_log(tool.program, parsed, base::log::Level::Warn, &modules)?;
    tls::configure_from(parsed)?;
    let seconds = match parsed.value("timeout").map(str::to_owned).or_else(|| std::env::var("OVS_CTL_TIMEOUT").ok()) {
        Some(text) => text.parse().map_err(|_| format!("value {text} on -t or --timeout is invalid"))?,
        None => 0,
    };
    if seconds > 0 {
        limit_time(seconds)?;
    }
    if !parsed.has("no-syslog") {
        log::info!(target: tool.module, "Called as {} {}", tool.program, called.join(" "));
    }
    let server = match parsed.value("db") {
        Some(server) => server.to_owned(),
        None => format!("unix:{}", setup::run_dir().join("db.sock").display()),
    };
    let retry = parsed.has("retry") || crate::stream::is_passive(&server);
    loop {
        let (error, connected) = match Rpc::connect(&server) {
            Ok(rpc) => match (Session { tool, parsed, given, called, rpc }).run() {
                Ok(code) => return Ok(code),
                Err(Broken::Fatal(text)) => return Err(text),
                Err(Broken::Connection(text)) => (text, true),
            },
            Err(text) => (text, false),
        };
        let why = error.rsplit_once(" (").map_or(error.clone(), |(_, why)| why.trim_end_matches(')').to_owned());
        if !retry {
            return Err(format!("{server}: database connection failed ({why})"));
        }
        log::info!(target: "reconnect", "{server}: connection {} ({why})", if connected { "lost" } else { "attempt failed" });
        let _ = poll(&mut [], PollTimeout::from(BACKOFF));
    }
}

/// Why a session ended without a result.
enum Broken {
    Fatal(String),
    /// Another connection may do.
    Connection(String),
}

impl From<String> for Broken {
    fn from(text: String) -> Broken {
        Broken::Fatal(text)
    }
}

fn lost(text: String) -> Broken {
    Broken::Connection(text)
}

struct Session<'a> {
    tool: &'a Tool,
    parsed: &'a Parsed,
    given: &'a [Given],
    called: &'a [String],
    rpc: Rpc,
}

impl Session<'_> {
    fn run(mut self) -> Result<ExitCode, Broken> {
        let database = Json::from(self.tool.database);
        let reply = self.rpc.call("get_schema", Json::Array(vec![database])).map_err(lost)?;
        let json = reply.map_err(|e| format!("{}: {e}", self.tool.database))?;
        let schema = Arc::new(Schema::from_json(&json).map_err(|e| e.to_string())?);
        // the process ends with it: thousands of rows are not freed one by one
        let mut rows = ManuallyDrop::new(Rows::new(schema.clone()));
        self.fetch(&schema, &mut rows)?;
        loop {
            match self.commands(&rows) {
                Ok(ran) => {
                    if let Some(code) = self.finish(ran, &mut rows)? {
                        return Ok(code);
                    }
                }
                Err(Stop::Fatal(text)) => return Err(Broken::Fatal(text)),
                Err(Stop::Exit(code)) => return Ok(ExitCode::from(code)),
                Err(Stop::Again) => self.wait(&mut rows)?,
            }
        }
    }

    fn waits_for_daemon(&self) -> bool {
        self.tool.has_daemon && !self.parsed.has("no-wait") && !self.parsed.has("dry-run")
    }

    /// Asks for rows and to be told of changes.
    fn fetch(&mut self, schema: &Schema, rows: &mut Rows) -> Result<(), Broken> {
        let mut needs = Needs { schema, tool: self.tool, tables: Default::default() };
        needs.named(self.tool.root, &[]);
        if self.waits_for_daemon() {
            needs.named(self.tool.root, &["cur_cfg"]);
            needs.named("Interface", &["name", "ofport", "error"]);
        }
        for given in self.given {
            (given.command.needs)(&mut needs, given)?;
        }
        let mut requests = Object::new();
        for (&table, columns) in &needs.tables {
            let table = &schema.tables[table];
            let all = 0..table.columns.len();
            let wanted = all.filter(|c| columns.as_ref().is_none_or(|columns| columns.contains(c)));
            let names = wanted.map(|c| Json::Str(table.columns[c].name.clone())).collect();
            let request = Json::object([("columns", Json::Array(names))]);
            requests.insert(table.name.clone(), Json::Array(vec![request]));
        }
        let params = Json::Array(vec![self.tool.database.into(), "rows".into(), Json::Object(requests)]);
        match self.rpc.call_for_text("monitor_cond", params.clone(), |text| rows.begin(text)).map_err(lost)? {
            Ok(begun) => begun.map_err(|e| e.to_string())?,
            // servers before 2.5, and those that were told to be like them
            Err(error) if is_unknown_method(&error) => {
                let reply = self.rpc.call("monitor", params).map_err(lost)?;
                rows.update(&reply.map_err(|e| format!("monitor: {e}"))?)?;
            }
            Err(error) => return Err(Broken::Fatal(format!("monitor_cond: {error}"))),
        }
        Ok(())
    }

    /// Takes what has come.
    fn take(&mut self, message: &Message, rows: &mut Rows) -> Result<(), Broken> {
        if let Message::Notification(method, params) = message
            && let Some([_, updates]) = params.as_array()
        {
            match &**method {
                "update" => rows.update(updates)?,
                "update2" => rows.update2(updates)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Until something changes.
    fn wait(&mut self, rows: &mut Rows) -> Result<(), Broken> {
        let message = self.rpc.receive().map_err(lost)?;
        self.take(&message, rows)
    }

    /// Runs all commands on the rows as they are.
    fn commands(&self, rows: &Rows) -> Result<Ran, Stop> {
        let mut context = Context {
            tool: self.tool,
            state: State::new(rows),
            out: String::new(),
            table: None,
            symbols: Symbols::default(),
            bridges: None,
            last: false,
            made: Vec::new(),
        };
        let table = context.state.table(self.tool.root)?;
        let mut root = context.state.rows(table).next().map(|row| row.uuid);
        let root_is_new = root.is_none();
        if root_is_new {
            // any command begins a database
            root = Some(context.state.insert(table));
        }
        let mut outputs = Vec::new();
        for (at, given) in self.given.iter().enumerate() {
            context.last = at + 1 == self.given.len();
            (given.command.run)(&mut context, given)?;
            let creates = given.command.name == "create";
            outputs.push(Output { text: std::mem::take(&mut context.out), table: context.table.take(), creates });
        }
        self.check_symbols(&context)?;
        let Context { state, made, bridges, .. } = context;
        Ok(Ran { outputs, operations: state.operations(), made, root, root_is_new, bridges })
    }

    fn check_symbols(&self, context: &Context<'_>) -> Result<(), Stop> {
        for (name, symbol) in &context.symbols.all {
            if !symbol.created {
                let text = format!(
                    "row id \"{name}\" is referenced but never created (e.g. with \"-- --id={name} create ...\")"
                );
                return Err(Stop::Fatal(text));
            }
            let state = &context.state;
            let roots = (0..state.schema().tables.len()).filter(|&t| state.table_schema(t).is_root);
            let in_root = roots.into_iter().any(|t| state.get(t, symbol.uuid).is_some());
            if !symbol.strong && !in_root {
                let what = if symbol.weak { "only a weak reference to it was" } else { "no reference to it was" };
                let what = what.replacen("only", "but only", 1).replacen("no ", "but no ", 1);
                log::warn!(
                    target: self.tool.module,
                    "row id \"{name}\" was created {what} inserted, so it will not actually appear in the database"
                );
            }
        }
        Ok(())
    }

    /// Makes the transaction and prints. None when the commands are to run again.
    fn finish(&mut self, ran: Ran, rows: &mut Rows) -> Result<Option<ExitCode>, Broken> {
        let Ran { outputs, operations, made, root, root_is_new, bridges } = ran;
        let mut names = HashMap::new();
        let mut wanted = None;
        if !operations.is_empty() && !self.parsed.has("dry-run") {
            let count = self.waits_for_daemon().then_some(root).flatten().map(|uuid| (uuid, root_is_new));
            let Some(results) = self.commit(&operations, count, rows)? else { return Ok(None) };
            for (operation, result) in operations.iter().zip(&results) {
                let name = operation.get("uuid-name").and_then(Json::as_str);
                let uuid = result.get("uuid").and_then(Json::as_array).and_then(|u| u.get(1)).and_then(Json::as_str);
                if let (Some(name), Some(uuid)) = (name, uuid) {
                    names.insert(name.to_owned(), uuid.to_owned());
                }
            }
            let selected = results.iter().rev().find_map(|r| r.get("rows")?.as_array()?.first()?.get("next_cfg"));
            wanted = count.and_then(|_| selected.and_then(Json::as_int));
        }
        self.print(outputs, &names)?;
        // as the rows
        std::mem::forget(bridges);
        if let Some(wanted) = wanted {
            self.wait_for_daemon(wanted, rows)?;
            let state = State::new(rows);
            for text in (self.tool.followed)(&state, &made) {
                eprintln!("{}: {text}", self.tool.program);
            }
        }
        Ok(Some(ExitCode::SUCCESS))
    }

    /// The results of the operations; none when something that they rely on was not so.
    fn commit(
        &mut self,
        operations: &[Json],
        count: Option<(Uuid, bool)>,
        rows: &mut Rows,
    ) -> Result<Option<Vec<Json>>, Broken> {
        let mut params = vec![Json::from(self.tool.database)];
        params.extend_from_slice(operations);
        if let Some((root, is_new)) = count {
            let id = match is_new {
                true => Json::pair("named-uuid", row_name(root)),
                false => Json::pair("uuid", root.to_string()),
            };
            let only = Json::Array(vec![Json::Array(vec!["_uuid".into(), "==".into(), id])]);
            let table = || Json::from(self.tool.root);
            let more = Json::Array(vec!["next_cfg".into(), "+=".into(), Json::Int(1)]);
            params.push(Json::object([
                ("op", "mutate".into()),
                ("table", table()),
                ("where", only.clone()),
                ("mutations", Json::Array(vec![more])),
            ]));
            params.push(Json::object([
                ("op", "select".into()),
                ("table", table()),
                ("where", only),
                ("columns", Json::Array(vec!["next_cfg".into()])),
            ]));
        }
        let comment = format!("{}{}: {} {}", self.tool.program, invoked_by(), self.tool.program, quoted(self.called));
        params.push(Json::object([("op", "comment".into()), ("comment", comment.into())]));
        let id = self.rpc.send("transact", Json::Array(params)).map_err(lost)?;
        let reply = loop {
            let message = self.rpc.receive().map_err(lost)?;
            match message {
                Message::Reply(got, result) if got == id => break result,
                other => self.take(&other, rows)?,
            }
        };
        let results = reply.map_err(|e| format!("transaction error: {e}"))?;
        let results = results.as_array().unwrap_or_default().to_vec();
        let failed = results.iter().find(|result| result.get("error").is_some());
        match failed {
            None => Ok(Some(results)),
            Some(error) if error.get("error").and_then(Json::as_str) == Some("timed out") => Ok(None),
            Some(error) => {
                log::warn!(target: "ovsdb_idl", "transaction error: {error}");
                Err(Broken::Fatal(format!("transaction error: {error}")))
            }
        }
    }

    fn wait_for_daemon(&mut self, wanted: i64, rows: &mut Rows) -> Result<(), Broken> {
        loop {
            let reached = {
                let state = State::new(rows);
                let table = state.table(self.tool.root)?;
                let current = state.rows(table).next().map(|row| state.datum(table, row, "cur_cfg"));
                let current = current.as_ref().and_then(|d| d.single()).map(ovsdb::data::Atom::to_json);
                current.and_then(|json| json.as_int()).is_some_and(|current| current >= wanted)
            };
            if reached {
                return Ok(());
            }
            self.wait(rows)?;
        }
    }

    fn print(&self, outputs: Vec<Output>, names: &HashMap<String, String>) -> Result<(), Broken> {
        let style = Style::new(self.parsed, Format::List)?;
        let (mut first, mut text) = (true, String::new());
        for output in outputs {
            if let Some(table) = output.table {
                text.push_str(&table.format(&style, &mut first));
                continue;
            }
            let mut lines = output.text;
            if output.creates
                && let Some(uuid) = Uuid::parse(lines.trim_end())
                && let Some(real) = names.get(&row_name(uuid))
            {
                lines = format!("{real}\n");
            }
            if self.parsed.has("oneline") {
                let lines = lines.strip_suffix('\n').unwrap_or(&lines);
                text.push_str(&lines.replace('\\', "\\\\").replace('\n', "\\n"));
                text.push('\n');
            } else {
                text.push_str(&lines);
            }
        }
        print(&text);
        Ok(())
    }
}

/// Who started this process, for the database's log.
fn invoked_by() -> String {
    let parent = nix::unistd::getppid();
    match std::fs::read_to_string(format!("/proc/{parent}/comm")) {
        Ok(name) if parent.as_raw() > 1 => format!(" (invoked by {})", name.trim_end()),
        _ => String::new(),
    }
}

/// Arguments with quotes where a shell would need them.
fn quoted(words: &[String]) -> String {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_@%+=:,./-[]{}".contains(c));
    let words = words.iter().map(|word| match plain(word) {
        true => word.clone(),
        false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
    });
    words.collect::<Vec<_>>().join(" ")
}
