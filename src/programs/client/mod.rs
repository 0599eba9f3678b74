//! `ovsdb-client`: one command to a server, ovsdb-client(1).

mod data;
mod monitor;
pub(crate) mod rpc;
mod wait;

use crate::daemon::{self, Daemon, Keep};
use crate::manual::{self, About};
use crate::options::{self, Known, Parsed, Takes, option};
use crate::replay;
use crate::setup::{self, fatal, print};
use crate::table::{self, Cell, Format, Style, Table};
use crate::tls;
use crate::tool::read_schema;
use ovsdb::Json;
use ovsdb::data::{Schema, TableSchema};
use ovsdb::json;
use rpc::Rpc;
use std::path::Path;
use std::process::ExitCode;

const PROGRAM: &str = "ovsdb-client";

const OPTIONS: [Known; 7] = [
    option("timeout", 't', Takes::Value),
    option("force", '\0', Takes::Nothing),
    option("db-change-aware", '\0', Takes::Nothing),
    option("no-db-change-aware", '\0', Takes::Nothing),
    option("leader-only", '\0', Takes::Nothing),
    option("no-leader-only", '\0', Takes::Nothing),
    option("unixctl", '\0', Takes::Value),
];

/// Which database a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// None.
    Server,
    /// One that is named or is there by default.
    Database,
}

/// What a command has to work with.
struct Call<'a> {
    rpc: Rpc,
    parsed: &'a Parsed,
    database: String,
    arguments: Vec<String>,
    style: Style,
    daemon: Daemon,
}

type Done = Result<ExitCode, String>;

/// A command: name, what it wants, least and most arguments behind that, their description, its function.
type Command = (&'static str, Wants, usize, usize, &'static str, fn(Call<'_>) -> Done);

const COMMANDS: [Command; 20] = [
    ("list-dbs", Wants::Server, 0, 0, "", list_dbs),
    ("get-schema", Wants::Database, 0, 0, "", get_schema),
    ("get-schema-version", Wants::Database, 0, 0, "", get_schema_version),
    ("get-schema-cksum", Wants::Database, 0, 0, "", get_schema_cksum),
    ("list-tables", Wants::Database, 0, 0, "", list_tables),
    ("list-columns", Wants::Database, 0, 1, "[TABLE]", list_columns),
    ("transact", Wants::Server, 1, 1, "TRANSACTION", data::transact),
    ("query", Wants::Server, 1, 1, "TRANSACTION", data::query),
    ("dump", Wants::Database, 0, usize::MAX, "[TABLE [COLUMN...]]", data::dump),
    ("backup", Wants::Database, 0, 0, "", data::backup),
    ("restore", Wants::Database, 0, 0, "", data::restore),
    ("monitor", Wants::Database, 1, usize::MAX, "TABLE [COLUMN,...]... | ALL", monitor::monitor),
    ("monitor-cond", Wants::Database, 2, usize::MAX, "CONDITION TABLE [COLUMN,...]...", monitor::monitor_cond),
    (
        "monitor-cond-since",
        Wants::Database,
        2,
        usize::MAX,
        "[LASTID] CONDITION TABLE [COLUMN,...]...",
        monitor::monitor_cond_since,
    ),
    ("convert", Wants::Server, 1, 1, "SCHEMA", convert),
    ("needs-conversion", Wants::Server, 1, 1, "SCHEMA", needs_conversion),
    ("wait", Wants::Server, 2, 2, "DATABASE STATE", wait::unreached),
    ("lock", Wants::Server, 1, 1, "LOCK", monitor::lock),
    ("steal", Wants::Server, 1, 1, "LOCK", monitor::steal),
    ("unlock", Wants::Server, 1, 1, "LOCK", monitor::unlock),
];

/// Runs `ovsdb-client`.
pub fn main(program: &str, arguments: Vec<String>) -> ExitCode {
    let parsed = match options::parse(&known(), arguments) {
        Ok(parsed) => parsed,
        Err(text) => return fatal(program, text),
    };
    if parsed.has("help") || parsed.arguments.first().is_some_and(|c| c == "help") {
        print(&usage());
        return ExitCode::SUCCESS;
    }
    if parsed.has("version") {
        print(&setup::version(program));
        return ExitCode::SUCCESS;
    }
    match run(program, &parsed) {
        Ok(code) => code,
        Err(End::Text(text)) => fatal(program, replay::cause(text)),
        Err(End::Code(code)) => code,
    }
}

/// How it ends without a command's result.
enum End {
    Text(String),
    Code(ExitCode),
}

impl From<String> for End {
    fn from(text: String) -> End {
        End::Text(text)
    }
}

fn run(program: &str, parsed: &Parsed) -> Result<ExitCode, End> {
    let Some((name, rest)) = parsed.arguments.split_first() else {
        return Err("missing command name; use --help for help".to_owned().into());
    };
    let Some(&(_, wants, least, most, _, function)) = COMMANDS.iter().find(|(known, ..)| known == name) else {
        return Err(format!("unknown command '{name}'; use --help for help").into());
    };
    if let Some(seconds) = parsed.value("timeout") {
        let seconds = seconds.parse().map_err(|_| format!("value {seconds} on -t or --timeout is invalid"))?;
        nix::unistd::alarm::set(seconds);
    }
    let style = Style::new(parsed, Format::Table)?;
    let mut rest = rest.to_vec();
    let is_method =
        |text: &String| ["unix:", "tcp:", "ssl:", "punix:", "ptcp:", "pssl:"].iter().any(|k| text.starts_with(k));
    // a server may be left out where what comes first is not one
    let server = if rest.first().is_some_and(is_method)
        && rest.len() > least.saturating_sub(usize::from(wants == Wants::Database))
    {
        rest.remove(0)
    } else {
        format!("unix:{}", setup::run_dir().join("db.sock").display())
    };
    let daemon = daemon::start(program, parsed).map_err(End::Code)?;
    let modules = ["jsonrpc", "reconnect", "timeval", "unixctl", "daemon_unix", "poll_loop", "fatal_signal"];
    setup::start_log(program, parsed, base::log::Level::Warn, &modules)?;
    tls::configure_from(parsed)?;
    replay::start(program, parsed, &["monitor"])?;
    if name == "wait" {
        let [database, state] = &rest[..] else {
            return Err("'wait' command requires a database and a state".to_owned().into());
        };
        return wait::wait(&server, database, state).map_err(End::Text);
    }
    let mut rpc = Rpc::connect(&server)?;
    let mut database = String::new();
    if wants == Wants::Database {
        let known = list(&mut rpc)?;
        let named = rest.first().filter(|first| known.contains(first)).cloned();
        database = match named {
            Some(name) if rest.len() > least => {
                rest.remove(0);
                name
            }
            _ => default_database(&known)?,
        };
    }
    if rest.len() < least {
        return Err(format!("'{name}' command requires at least {least} arguments").into());
    }
    if rest.len() > most {
        return Err(format!("invalid syntax for '{name}' (use --help for help)").into());
    }
    // a monitor of a database knows of changes by itself; another says so if it is told to
    let aware = parsed.has("db-change-aware") || (name.starts_with("monitor") && !parsed.has("no-db-change-aware"));
    if aware {
        let reply = rpc.call("set_db_change_aware", Json::Array(vec![Json::Bool(true)]))?;
        if let Err(error) = reply {
            log::debug!(target: "ovsdb_client", "set_db_change_aware: {error}");
        }
    }
    function(Call { rpc, parsed, database, arguments: rest, style, daemon }).map_err(End::Text)
}

fn known() -> Vec<Known> {
    [
        &setup::COMMON[..],
        &daemon::OPTIONS[..],
        &table::OPTIONS[..],
        &tls::OPTIONS[..],
        &replay::OPTIONS[..],
        &OPTIONS[..],
    ]
    .concat()
}

pub(crate) fn about() -> About {
    let commands =
        COMMANDS.iter().map(|&(name, _, _, _, arguments, _)| manual::Command { name, arguments, options: &[] });
    About { name: PROGRAM, usage: usage(), options: known(), commands: commands.collect(), tables: Vec::new() }
}

fn usage() -> String {
    let mut text = "ovsdb-client: Open vSwitch database JSON-RPC client\nusage: ovsdb-client [OPTIONS] COMMAND [ARG...]\n\nValid commands are:\n".to_owned();
    for (name, wants, _, _, arguments, _) in COMMANDS {
        let database = if wants == Wants::Database { "[DATABASE] " } else { "" };
        text += &format!("  {name} [SERVER] {database}{arguments}\n");
    }
    text + "The default SERVER is unix:DB_SOCK in the folder of sockets, the default DATABASE is Open_vSwitch.\n\n\
        Output formatting options:\n  -f, --format=table|list|html|csv|json\n  -d, --data=string|bare|json\n  \
        --no-headings --pretty --bare --max-column-width=N --timestamp\nOther options:\n  \
        -t, --timeout=SECS          give up after SECS seconds\n  \
        --record[=DIR]              record what happens, in DIR\n  \
        --replay[=DIR]              do again what is recorded in DIR\n  -h, --help                  display this help message\n  \
        -V, --version               display version information\n"
}

fn list(rpc: &mut Rpc) -> Result<Vec<String>, String> {
    let reply = rpc.call("list_dbs", Json::Array(Vec::new()))?;
    let names = reply.map_err(|e| format!("list_dbs returned error: {e}"))?;
    Ok(names.as_array().unwrap_or_default().iter().filter_map(Json::as_str).map(str::to_owned).collect())
}

/// `Open_vSwitch`, or the only one that is no server's own.
fn default_database(known: &[String]) -> Result<String, String> {
    if known.iter().any(|n| n == "Open_vSwitch") {
        return Ok("Open_vSwitch".into());
    }
    let mut others = known.iter().filter(|name| !name.starts_with('_'));
    match (others.next(), others.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err("no default database for this server, please specify a database name".into()),
    }
}

impl Call<'_> {
    fn call(&mut self, method: &str, params: Vec<Json>) -> Result<Json, String> {
        let reply = self.rpc.call(method, Json::Array(params)).map_err(|e| format!("{method} failed ({e})"))?;
        reply.map_err(|e| format!("{method} returned error: {e}"))
    }

    fn schema_json(&mut self) -> Result<Json, String> {
        let name = Json::from(self.database.as_str());
        self.call("get_schema", vec![name])
    }

    fn schema(&mut self) -> Result<Schema, String> {
        let json = self.schema_json()?;
        Schema::from_json(&json).map_err(|e| format!("failed to parse server's schema: {e}"))
    }

    fn print_json(&self, json: &Json) {
        let text = if self.style.pretty { json.pretty() } else { json.to_string() };
        print(&format!("{text}\n"));
    }

    fn print_table(&self, table: &Table) {
        print(&table.format(&self.style, &mut true));
    }

    fn ready(&mut self) {
        self.daemon.ready(Keep::Output);
    }
}

fn list_dbs(mut call: Call<'_>) -> Done {
    let mut names = list(&mut call.rpc)?;
    names.sort();
    print(&names.iter().map(|n| format!("{n}\n")).collect::<String>());
    Ok(ExitCode::SUCCESS)
}

fn get_schema(mut call: Call<'_>) -> Done {
    let schema = call.schema_json()?;
    call.print_json(&schema);
    Ok(ExitCode::SUCCESS)
}

fn get_schema_version(mut call: Call<'_>) -> Done {
    print(&format!("{}\n", call.schema()?.version));
    Ok(ExitCode::SUCCESS)
}

fn get_schema_cksum(mut call: Call<'_>) -> Done {
    print(&format!("{}\n", call.schema()?.cksum));
    Ok(ExitCode::SUCCESS)
}

fn list_tables(mut call: Call<'_>) -> Done {
    let schema = call.schema()?;
    let mut table = Table::new(["Table"]);
    table.rows = schema.tables.iter().map(|t| vec![Cell::Text(t.name.to_string())]).collect();
    call.print_table(&table);
    Ok(ExitCode::SUCCESS)
}

fn list_columns(mut call: Call<'_>) -> Done {
    let schema = call.schema()?;
    let wanted = call.arguments.first();
    // of one table the lines need not name it
    let headings = ["Table", "Column", "Type"];
    let mut table = Table::new(headings.into_iter().skip(usize::from(wanted.is_some())));
    if let Some(name) = wanted.filter(|name| schema.table(name).is_none()) {
        return Err(format!("No table \"{name}\" found."));
    }
    for t in schema.tables.iter().filter(|t| wanted.is_none_or(|w| **w == *t.name)) {
        for (name, ty) in named_columns(t) {
            let mut row = vec![Cell::Text(name), Cell::Json(ty)];
            if wanted.is_none() {
                row.insert(0, Cell::Text(t.name.to_string()));
            }
            table.rows.push(row);
        }
    }
    call.print_table(&table);
    Ok(ExitCode::SUCCESS)
}

fn named_columns(table: &TableSchema) -> Vec<(String, Json)> {
    let pseudo = ["_uuid", "_version"].map(|name| (name.to_owned(), Json::from("uuid")));
    let own = table.columns.iter().map(|c| (c.name.to_string(), c.ty.to_json()));
    pseudo.into_iter().chain(own).collect()
}

fn convert(mut call: Call<'_>) -> Done {
    let (json, schema) = read_schema(Path::new(&call.arguments[0]))?;
    call.call("convert", vec![Json::Str(schema.name), json])?;
    Ok(ExitCode::SUCCESS)
}

fn needs_conversion(mut call: Call<'_>) -> Done {
    let (_, schema) = read_schema(Path::new(&call.arguments[0]))?;
    call.database = schema.name.to_string();
    let own = call.schema()?;
    print(if own == schema { "no\n" } else { "yes\n" });
    Ok(ExitCode::SUCCESS)
}

/// Reads an argument that is JSON.
fn parse_json(text: &str) -> Result<Json, String> {
    json::parse(text.as_bytes()).map_err(|e| format!("\"{text}\": {e}"))
}
