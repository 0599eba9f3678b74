//! `ovsdb-tool`: databases in files, ovsdb-tool(1). What only a clustered database has is not there and says so.

use crate::manual::{self, About};
use crate::options::{self, Known, Parsed, Takes, option};
use crate::setup::{self, fatal, print};
use ovsdb::data::{Datum, Schema, Type, version_numbers};
use ovsdb::file::{self, Kind, Mode, cluster};
use ovsdb::json::{self, Object};
use ovsdb::txn::{Context, Outcome, execute};
use ovsdb::uuid::Source;
use ovsdb::{Json, Uuid};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const OPTIONS: [Known; 4] = [
    option("more", 'm', Takes::Nothing),
    option("rbac-role", '\0', Takes::Value),
    option("election-timer", '\0', Takes::Value),
    option("cid", '\0', Takes::Value),
];

/// What a command has to work with.
struct Call<'a> {
    parsed: &'a Parsed,
    arguments: &'a [String],
    uuids: Source,
}

/// A failure of a command: its words, and the exit status.
struct Failure(String, u8);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string(), 1)
    }
}

type Done = Result<ExitCode, Failure>;

/// A command: name, least and most arguments, their description, what it does, its function.
type Command = (&'static str, usize, usize, &'static str, &'static str, fn(&mut Call<'_>) -> Done);

const COMMANDS: [Command; 23] = [
    ("create", 0, 2, "[DB [SCHEMA]]", "make a database file with a schema", create),
    ("compact", 0, 2, "[DB [TARGET]]", "write a database without what is no more", compact),
    ("convert", 0, 3, "[DB [SCHEMA [TARGET]]]", "write a database under another schema", convert),
    ("needs-conversion", 0, 2, "[DB [SCHEMA]]", "tell whether the schemas differ", needs_conversion),
    ("db-name", 0, 1, "[DB]", "print the name of a database", db_name),
    ("db-version", 0, 1, "[DB]", "print the version of its schema", db_version),
    ("db-cksum", 0, 1, "[DB]", "print the checksum of its schema", db_cksum),
    ("db-cid", 1, 1, "DB", "print the cluster ID of a clustered database", db_cid),
    ("db-sid", 1, 1, "DB", "print the server ID of a clustered database", db_sid),
    ("db-local-address", 1, 1, "DB", "print the address of a clustered database", db_local_address),
    ("db-is-clustered", 1, 1, "DB", "succeed if it is clustered", db_is_clustered),
    ("db-is-standalone", 1, 1, "DB", "succeed if it is standalone", db_is_standalone),
    ("schema-name", 0, 1, "[SCHEMA]", "print the name in a schema", schema_name),
    ("schema-version", 0, 1, "[SCHEMA]", "print the version in a schema", schema_version),
    ("schema-cksum", 0, 1, "[SCHEMA]", "print the checksum in a schema", schema_cksum),
    ("compare-versions", 3, 3, "A OP B", "compare schema versions", compare_versions),
    ("query", 1, 2, "[DB] TRANSACTION", "run a transaction without any effect", query),
    ("transact", 1, 2, "[DB] TRANSACTION", "run a transaction", transact),
    ("show-log", 0, 1, "[DB]", "print what is in a file; with -m and -mm more of it", show_log),
    ("create-cluster", 3, 3, "DB CONTENTS LOCAL", "make the file of a cluster of one", create_cluster),
    ("join-cluster", 3, usize::MAX, "DB NAME LOCAL REMOTE...", "make a file that joins a cluster", join_cluster),
    ("cluster-to-standalone", 2, 2, "DB CLUSTERDB", "take a database out of a cluster", to_standalone),
    ("check-cluster", 1, usize::MAX, "DB...", "not supported", no_check),
];

/// Runs `ovsdb-tool`.
pub fn main(program: &str, arguments: Vec<String>) -> ExitCode {
    let known = [&setup::COMMON[..], &OPTIONS[..]].concat();
    let parsed = match options::parse(&known, arguments) {
        Ok(parsed) => parsed,
        Err(text) => return fatal(program, text),
    };
    if parsed.has("help") || parsed.arguments.first().is_some_and(|c| c == "help") {
        print(&usage(program));
        return ExitCode::SUCCESS;
    }
    if parsed.has("version") {
        print(&setup::version(program));
        return ExitCode::SUCCESS;
    }
    if let Err(text) = setup::start_log(program, &parsed, base::log::Level::Warn, &["ovsdb_file", "lockfile"]) {
        return fatal(program, text);
    }
    let Some((name, rest)) = parsed.arguments.split_first() else {
        return fatal(program, "missing command name; use --help for help");
    };
    let Some(&(_, least, most, _, _, run)) = COMMANDS.iter().find(|(known, ..)| known == name) else {
        return fatal(program, format!("unknown command '{name}'; use --help for help"));
    };
    if rest.len() < least || rest.len() > most {
        let (word, n) = if rest.len() < least { ("at least", least) } else { ("at most", most) };
        return fatal(program, format!("'{name}' command requires {word} {n} arguments"));
    }
    let mut call = Call { parsed: &parsed, arguments: rest, uuids: Source::default() };
    match run(&mut call) {
        Ok(code) => code,
        Err(Failure(text, 1)) => fatal(program, text),
        Err(Failure(text, code)) => {
            eprintln!("{text}");
            ExitCode::from(code)
        }
    }
}

pub(crate) fn about() -> About {
    let commands =
        COMMANDS.iter().map(|&(name, _, _, arguments, ..)| manual::Command { name, arguments, options: &[] });
    About {
        name: "ovsdb-tool",
        usage: usage("ovsdb-tool"),
        options: [&setup::COMMON[..], &OPTIONS[..]].concat(),
        commands: commands.collect(),
        tables: Vec::new(),
    }
}

fn usage(program: &str) -> String {
    let mut text = format!("{program}: database files\nusage: {program} [OPTIONS] COMMAND [ARG...]\n");
    for (name, _, _, arguments, what, _) in COMMANDS {
        let _ = writeln!(text, "  {:<34} {what}", format!("{name} {arguments}"));
    }
    let _ = write!(
        text,
        "The default DB is {}.\nThe default SCHEMA is {}.\n\nOptions:\n  -m, --more                  more of show-log\n  --rbac-role=ROLE            role for transact and query\n  -v[SPEC], --verbose[=SPEC]  log levels\n  --log-file[=FILE]           log to FILE\n  -h, --help                  this text\n  -V, --version               version\n",
        setup::default_db().display(),
        setup::default_schema().display()
    );
    text
}

impl Call<'_> {
    fn path(&self, at: usize, otherwise: PathBuf) -> PathBuf {
        self.arguments.get(at).map_or(otherwise, PathBuf::from)
    }

    fn db(&self) -> PathBuf {
        self.path(0, setup::default_db())
    }

    fn schema_at(&self, at: usize) -> Result<(Json, Schema), Failure> {
        Ok(read_schema(&self.path(at, setup::default_schema()))?)
    }
}

/// Reads a schema file.
pub fn read_schema(path: &Path) -> Result<(Json, Schema), String> {
    let name = path.display();
    let text = std::fs::read(path)
        .map_err(|e| format!("I/O error: {name}: failed to read schema ({})", ovsdb::error::strerror(&e)))?;
    let json = json::parse(&text).map_err(|e| format!("\"{name}\": error parsing schema: {e}"))?;
    let schema = Schema::from_json(&json).map_err(|e| e.to_string())?;
    Ok((json, schema))
}

fn done(text: &str) -> Done {
    print(&format!("{text}\n"));
    Ok(ExitCode::SUCCESS)
}

fn create(call: &mut Call<'_>) -> Done {
    let (json, schema) = call.schema_at(1)?;
    // as it was given, but valid
    drop(json);
    file::create(&call.db(), &schema.to_json())?;
    Ok(ExitCode::SUCCESS)
}

fn rewrite(call: &mut Call<'_>, schema: Option<Arc<Schema>>, target: Option<PathBuf>, comment: &str) -> Done {
    let mode = if target.is_some() { Mode::ReadOnly } else { Mode::ReadWrite };
    let (db, mut file) = file::open(&call.db(), mode, schema, &mut call.uuids)?;
    if let Some(torn) = &file.torn {
        log::warn!(target: "ovsdb_file", "{torn}");
    }
    let now = setup::wall_ms();
    match target {
        Some(path) => file::write_new(&path, &db, comment, now)?,
        None => file.compact(&db, comment, now)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn compact(call: &mut Call<'_>) -> Done {
    let target = call.arguments.get(1).map(PathBuf::from);
    rewrite(call, None, target, "compacted by ovsdb-tool")
}

fn convert(call: &mut Call<'_>) -> Done {
    let (_, schema) = call.schema_at(1)?;
    let target = call.arguments.get(2).map(PathBuf::from);
    rewrite(call, Some(Arc::new(schema)), target, "converted by ovsdb-tool")
}

fn needs_conversion(call: &mut Call<'_>) -> Done {
    let own = file::read_schema(&call.db())?;
    let (_, schema) = call.schema_at(1)?;
    done(if own == schema { "no" } else { "yes" })
}

fn db_name(call: &mut Call<'_>) -> Done {
    let path = call.db();
    if file::identify(&path)? == Kind::Standalone {
        return done(&file::read_schema(&path)?.name);
    }
    done(&cluster::member(&path)?.name)
}

fn db_version(call: &mut Call<'_>) -> Done {
    done(&file::read_schema(&call.db())?.version)
}

fn db_cksum(call: &mut Call<'_>) -> Done {
    done(&file::read_schema(&call.db())?.cksum)
}

/// Who wrote a clustered file.
fn member(call: &Call<'_>) -> Result<(cluster::Member, String), Failure> {
    let path = call.db();
    let name = path.display().to_string();
    match file::identify(&path)? {
        Kind::Standalone => Err(format!("{name}: not a clustered database").into()),
        Kind::Clustered => Ok((cluster::member(&path)?, name)),
    }
}

fn db_cid(call: &mut Call<'_>) -> Done {
    let (member, name) = member(call)?;
    let id = member.cluster.ok_or_else(|| Failure(format!("{name}: cluster ID not yet known"), 2))?;
    done(&id.to_string())
}

fn db_sid(call: &mut Call<'_>) -> Done {
    done(&member(call)?.0.server.to_string())
}

fn db_local_address(call: &mut Call<'_>) -> Done {
    done(&member(call)?.0.address)
}

fn no_check(_: &mut Call<'_>) -> Done {
    Err("check-cluster is not supported; use ovsdb-tool of Open vSwitch".into())
}

/// Whether a server of a cluster can be reached there.
fn check_address(address: &str) -> Result<(), Failure> {
    match address.split_once(':') {
        Some(("unix" | "tcp" | "ssl", rest)) if !rest.is_empty() => Ok(()),
        _ => Err(format!("{address}: invalid syntax for an address of a cluster's server").into()),
    }
}

fn create_cluster(call: &mut Call<'_>) -> Done {
    let [path, contents, address] = call.arguments else { return Err("arguments are missing".into()) };
    check_address(address)?;
    let timer = match call.parsed.value("election-timer") {
        None => None,
        Some(text) => match text.parse::<i64>() {
            Ok(ms) if (100..=600_000).contains(&ms) => Some(ms),
            _ => return Err(format!("{text}: invalid election timer, 100 to 600000 milliseconds").into()),
        },
    };
    let is_file = std::fs::read(contents).is_ok_and(|bytes| bytes.starts_with(b"OVSDB "));
    let db = if is_file {
        file::open(Path::new(contents), Mode::ReadOnly, None, &mut call.uuids)?.0
    } else {
        ovsdb::table::Database::new(Arc::new(read_schema(Path::new(contents))?.1))
    };
    cluster::create(Path::new(path), &db, address, timer, &mut call.uuids)?;
    Ok(ExitCode::SUCCESS)
}

fn join_cluster(call: &mut Call<'_>) -> Done {
    let [path, name, address, remotes @ ..] = call.arguments else { return Err("arguments are missing".into()) };
    if !ovsdb::data::is_id(name) {
        return Err(format!("{name}: not a valid schema name").into());
    }
    check_address(address)?;
    remotes.iter().try_for_each(|remote| check_address(remote))?;
    let cid = match call.parsed.value("cid") {
        None => None,
        Some(text) => Some(Uuid::parse(text).ok_or_else(|| format!("{text}: not a valid UUID"))?),
    };
    cluster::join(Path::new(path), name, address, remotes, cid, &mut call.uuids)?;
    Ok(ExitCode::SUCCESS)
}

fn to_standalone(call: &mut Call<'_>) -> Done {
    let [path, from] = call.arguments else { return Err("arguments are missing".into()) };
    let loaded = cluster::load(Path::new(from), Mode::ReadOnly, &mut call.uuids)?;
    if let Some(torn) = &loaded.torn {
        log::warn!(target: "ovsdb_file", "{torn}");
    }
    file::write_new(Path::new(path), &loaded.db, "converted from a cluster by ovsdb-tool", setup::wall_ms())?;
    Ok(ExitCode::SUCCESS)
}

fn is(call: &Call<'_>, kind: Kind) -> Done {
    Ok(ExitCode::from(if file::identify(&call.db())? == kind { 0 } else { 2 }))
}

fn db_is_clustered(call: &mut Call<'_>) -> Done {
    is(call, Kind::Clustered)
}

fn db_is_standalone(call: &mut Call<'_>) -> Done {
    is(call, Kind::Standalone)
}

fn schema_name(call: &mut Call<'_>) -> Done {
    done(&call.schema_at(0)?.1.name)
}

fn schema_version(call: &mut Call<'_>) -> Done {
    done(&call.schema_at(0)?.1.version)
}

fn schema_cksum(call: &mut Call<'_>) -> Done {
    done(&call.schema_at(0)?.1.cksum)
}

fn compare_versions(call: &mut Call<'_>) -> Done {
    let numbers = |text: &String| {
        version_numbers(text).ok_or_else(|| format!("{text}: not an OVSDB version number in format x.y.z"))
    };
    let order = numbers(&call.arguments[0])?.cmp(&numbers(&call.arguments[2])?);
    let holds = match &*call.arguments[1] {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        "==" => order.is_eq(),
        ">=" => order.is_ge(),
        ">" => order.is_gt(),
        "!=" => order.is_ne(),
        other => return Err(format!("{other}: not a relational operator").into()),
    };
    Ok(ExitCode::from(if holds { 0 } else { 2 }))
}

fn run(call: &mut Call<'_>, write: bool) -> Done {
    let (path, text) = match call.arguments {
        [path, text] => (PathBuf::from(path), text),
        [text] => (setup::default_db(), text),
        _ => return Err("a transaction is missing".into()),
    };
    let params = json::parse(text.as_bytes()).map_err(|e| format!("\"{text}\": {e}"))?;
    let mode = if write { Mode::ReadWrite } else { Mode::ReadOnly };
    let (db, mut file) = file::open(&path, mode, None, &mut call.uuids)?;
    if let Some(torn) = &file.torn {
        log::warn!(target: "ovsdb_file", "{torn}");
    }
    let role = call.parsed.value("rbac-role");
    let owns = |_: &str| false;
    let mut context = Context {
        read_only: false,
        reserved: false,
        role,
        id: None,
        owns: &owns,
        elapsed: 0,
        uuids: &mut call.uuids,
        rows_seen: 0,
    };
    let syntax = |text: &str| ovsdb::Error::syntax(&params, text).to_json();
    let result = match params.as_array() {
        None => syntax("array expected"),
        Some([Json::Str(name), operations @ ..]) if *name == db.schema.name => {
            match execute(&db, operations, &mut context) {
                Outcome::Done(result, commit) => {
                    if let Some(commit) = commit.filter(|_| write) {
                        file.append(&db, &commit, setup::wall_ms(), Uuid::ZERO);
                        file.log.write()?;
                        if commit.durable {
                            file.log.sync()?;
                        }
                    }
                    result
                }
                Outcome::Wait(_) => return Err("the transaction would wait".into()),
            }
        }
        Some(_) => syntax("database name expected as first parameter"),
    };
    done(&result.to_string())
}

fn query(call: &mut Call<'_>) -> Done {
    run(call, false)
}

fn transact(call: &mut Call<'_>) -> Done {
    run(call, true)
}

fn show_log(call: &mut Call<'_>) -> Done {
    let more = call.parsed.options.iter().filter(|(name, _)| *name == "more").count();
    let path = call.db();
    let (records, torn) = file::read_records(&path)?;
    let mut text = String::new();
    let mut schema = None;
    // what rows are called by, as far as the log has said
    let mut names: HashMap<(Arc<str>, Arc<str>), String> = HashMap::new();
    for (at, record) in records.iter().enumerate() {
        let _ = write!(text, "record {at}:");
        let Some(object) = record.as_object() else { continue };
        if at == 0 {
            let read = Schema::from_json(record)?;
            let _ =
                writeln!(text, " \"{}\" schema, version=\"{}\", cksum=\"{}\"\n", read.name, read.version, read.cksum);
            schema = Some(read);
            continue;
        }
        if let Some(date) = object.get("_date").and_then(Json::as_int) {
            // early versions counted seconds
            let ms = if date < 1 << 32 { date * 1000 } else { date };
            let _ = write!(text, " {}", setup::date(ms));
        }
        if let Some(comment) = object.get("_comment").and_then(Json::as_str) {
            let _ = write!(text, " \"{comment}\"");
        }
        text.push('\n');
        if more > 0 {
            show_record(&mut text, object, schema.as_ref(), &mut names, more);
            text.push('\n');
        }
    }
    print(&text);
    match torn {
        Some(error) => Err(error.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn show_record(
    text: &mut String,
    record: &Object,
    schema: Option<&Schema>,
    names: &mut HashMap<(Arc<str>, Arc<str>), String>,
    more: usize,
) {
    let is_diff = record.get("_is_diff").and_then(Json::as_bool).unwrap_or(false);
    for (table, rows) in record.iter().filter(|(name, _)| !name.starts_with('_')) {
        let columns = schema.and_then(|s| s.table(table).map(|t| s.tables[t].clone()));
        for (uuid, cells) in rows.as_object().into_iter().flatten() {
            let key = (table.clone(), uuid.clone());
            let short = Uuid::parse(uuid).map_or(uuid.to_string(), |u| u.to_string()[..8].to_owned());
            let fresh = !names.contains_key(&key);
            let name = cells.get("name").and_then(Json::as_str).map(|name| format!("\"{name}\" ({short})"));
            if fresh || name.is_some() {
                names.insert(key.clone(), name.unwrap_or_else(|| short.clone()));
            }
            let name = &names[&key];
            let _ = match (fresh, is_diff) {
                (true, _) => writeln!(text, "  table {table} insert row {name}:"),
                (false, true) => writeln!(text, "  table {table} row {name} diff:"),
                (false, false) => writeln!(text, "  table {table} row {name}:"),
            };
            let Some(cells) = cells.as_object() else {
                text.push_str("    delete row\n");
                names.remove(&key);
                continue;
            };
            for (column, value) in cells.iter().filter(|_| more > 1) {
                let ty = columns.as_ref().and_then(|t| t.column(column).map(|c| t.columns[c].ty.clone()));
                let datum = ty.and_then(|ty| {
                    // a difference may have more members than the column
                    let any = Type { min: 0, max: u32::MAX, ..ty.clone() };
                    Datum::from_json(&any, value, &mut ()).ok().map(|d| (d, ty))
                });
                let shown = datum.map_or_else(|| value.to_string(), |(d, ty)| short_text(&d, &ty));
                let _ = writeln!(text, "    {column}={shown}");
            }
        }
    }
}

/// A value with UUIDs cut short.
fn short_text(datum: &Datum, ty: &Type) -> String {
    use ovsdb::data::{Atom, text};
    let atom = |atom: &Atom| match atom {
        Atom::Uuid(uuid) => uuid.to_string()[..8].to_owned(),
        other => text::atom(other),
    };
    let bracketed = ty.max > 1;
    match datum {
        Datum::Map(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", atom(k), atom(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Datum::One(one) if !bracketed => atom(one),
        Datum::Empty => text::datum(datum, ty.is_map()),
        other => format!("[{}]", other.atoms().map(atom).collect::<Vec<_>>().join(", ")),
    }
}
