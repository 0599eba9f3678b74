//! Tools that read and write a database by commands, `ovs-vsctl` and `vtep-ctl`: the command line, one transaction for all
//! commands of a run, output.
//!
//! | module | what for |
//! |---|---|
//! | [`state`] | rows, what was written over them, the transaction that comes of it |
//! | [`names`] | tables, columns and rows by what people call them |
//! | [`text`] | values as people write them |
//! | [`database`] | the commands that any database has |
//! | [`session`] | the connection: asks for rows, makes the transaction, waits |
//! | [`vswitch`], [`vtep`] | the tools |

mod database;
mod names;
mod session;
mod show;
mod state;
mod text;
pub mod vswitch;
pub mod vtep;

use crate::manual::{self, About};
use crate::options::{self, Known, Parsed, Takes, option};
use crate::setup::{self, fatal, print};
use crate::table::{Format, Style, Table};
use crate::{table, tls};
use ovsdb::Uuid;
use ovsdb::data::Schema;
use ovsdb::uuid::Source;
use state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

const OPTIONS: [Known; 13] = [
    option("db", '\0', Takes::Value),
    option("no-syslog", '\0', Takes::Nothing),
    option("no-wait", '\0', Takes::Nothing),
    option("dry-run", '\0', Takes::Nothing),
    option("oneline", '\0', Takes::Nothing),
    option("timeout", 't', Takes::Value),
    option("retry", '\0', Takes::Nothing),
    option("commands", '\0', Takes::Nothing),
    option("options", '\0', Takes::Nothing),
    option("leader-only", '\0', Takes::Nothing),
    option("no-leader-only", '\0', Takes::Nothing),
    option("shuffle-remotes", '\0', Takes::Nothing),
    option("no-shuffle-remotes", '\0', Takes::Nothing),
];

/// A tool.
pub struct Tool {
    pub program: &'static str,
    pub database: &'static str,
    /// What its log lines are called by.
    pub module: &'static str,
    pub commands: &'static [&'static [Command]],
    pub ids: &'static [RowIds],
    pub show: &'static [show::Shown],
    /// The table whose only row everything hangs on.
    pub root: &'static str,
    /// Whether a daemon tells how far it has followed, in `cur_cfg` of the root.
    pub has_daemon: bool,
    pub usage: &'static str,
    /// What to say when the daemon has followed.
    pub followed: fn(&State<'_>, &[String]) -> Vec<String>,
}

/// A way to name a row: `.` without a name; by a column of its own; by one of another table's row that refers to it.
pub struct RowIds {
    pub table: &'static str,
    pub name: Option<&'static str>,
    pub via: Option<(&'static str, &'static str)>,
}

/// A command: its name, least and most arguments, their description, its options (with `=` where one has a value), which
/// rows it wants, what it does.
pub struct Command {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
    pub arguments: &'static str,
    pub options: &'static [&'static str],
    pub needs: fn(&mut Needs<'_>, &Given) -> Result<(), String>,
    pub run: fn(&mut Context<'_>, &Given) -> Result<(), Stop>,
}

/// A command as it was given.
pub struct Given {
    pub command: &'static Command,
    options: BTreeMap<&'static str, String>,
    pub arguments: Vec<String>,
}

/// Why a command did not end well.
pub enum Stop {
    Fatal(String),
    /// With that status, and no words.
    Exit(u8),
    /// When the database has changed.
    Again,
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Fatal(text)
    }
}

/// A name beginning with `@`.
#[derive(Clone, Debug)]
pub struct Symbol {
    pub uuid: Uuid,
    pub created: bool,
    pub strong: bool,
    pub weak: bool,
}

/// Names beginning with `@`.
#[derive(Debug, Default)]
pub struct Symbols {
    all: BTreeMap<String, Symbol>,
    /// UUIDs that were referred to as such.
    noted: BTreeSet<Uuid>,
    uuids: Source,
}

/// The rows that commands want: tables, with the columns or all of them.
pub struct Needs<'a> {
    pub schema: &'a Schema,
    tool: &'a Tool,
    tables: BTreeMap<usize, Option<BTreeSet<usize>>>,
}

/// What commands work with.
pub struct Context<'a> {
    pub tool: &'a Tool,
    pub state: State<'a>,
    /// What the command prints, by lines or as a table.
    pub out: String,
    pub table: Option<Table>,
    pub symbols: Symbols,
    pub bridges: Option<vswitch::Bridges>,
    /// Whether no command follows the one that runs.
    pub last: bool,
    /// Interfaces that the daemon is to make.
    pub made: Vec<String>,
}

impl Given {
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    pub fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// As it was given.
    pub fn text(&self) -> String {
        let options = self.options.iter().map(|(name, value)| match value.is_empty() {
            true => (*name).to_owned(),
            false => format!("{name}={value}"),
        });
        let words = options.chain([self.command.name.to_owned()]).chain(self.arguments.iter().cloned());
        words.collect::<Vec<_>>().join(" ")
    }
}

impl Symbols {
    pub fn get(&self, name: &str) -> Option<&Symbol> {
        self.all.get(name)
    }

    /// The symbol of that name, which may be made later.
    pub fn refer(&mut self, name: &str) -> &mut Symbol {
        let uuids = &mut self.uuids;
        let new = || Symbol { uuid: uuids.uuid(), created: false, strong: false, weak: false };
        self.all.entry(name.to_owned()).or_insert_with(new)
    }

    fn note(&mut self, uuid: Uuid, _weak: bool) {
        self.noted.insert(uuid);
    }

    /// The symbol that `--id` names, made now.
    pub fn create(&mut self, name: &str) -> Result<&mut Symbol, String> {
        if !name.starts_with('@') {
            return Err(format!("row id \"{name}\" does not begin with \"@\""));
        }
        let symbol = self.refer(name);
        if symbol.created {
            return Err(format!("row id \"{name}\" may only be specified on one --id option"));
        }
        symbol.created = true;
        Ok(symbol)
    }
}

impl Needs<'_> {
    /// A table with all columns.
    pub fn all(&mut self, table: usize) {
        self.tables.insert(table, None);
    }

    pub fn column(&mut self, table: usize, column: usize) {
        if let Some(columns) = self.tables.entry(table).or_insert_with(|| Some(BTreeSet::new()))
            && column < self.schema.tables[table].columns.len()
        {
            columns.insert(column);
        }
    }

    /// Columns by name, as far as the schema has them.
    pub fn named(&mut self, table: &str, columns: &[&str]) {
        let Some(table) = self.schema.table(table) else { return };
        self.tables.entry(table).or_insert_with(|| Some(BTreeSet::new()));
        for name in columns {
            if let Some(column) = self.schema.tables[table].column(name) {
                self.column(table, column);
            }
        }
    }

    /// What it takes to find rows of a table by name.
    pub fn ids(&mut self, table: usize) {
        self.tables.entry(table).or_insert_with(|| Some(BTreeSet::new()));
        let name = self.schema.tables[table].name.clone();
        let tool = self.tool;
        for ids in names::ids(tool.ids, &name) {
            match (ids.name, ids.via) {
                (Some(name), Some((other, column))) => self.named(other, &[name, column]),
                (Some(own), None) => self.named(&name, &[own]),
                _ => {}
            }
        }
    }
}

impl Context<'_> {
    /// Prints a line.
    pub fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Prints lines in order.
    pub fn sorted(&mut self, mut lines: Vec<String>) {
        lines.sort();
        lines.iter().for_each(|line| self.line(line));
    }
}

/// Runs a tool.
pub fn main(tool: &'static Tool, arguments: Vec<String>) -> ExitCode {
    let called = arguments.clone();
    match prepare(tool, arguments) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((parsed, given))) => match session::run(tool, &parsed, &given, &called) {
            Ok(code) => code,
            Err(text) => fatal(tool.program, text),
        },
        Err(text) => fatal(tool.program, text),
    }
}

fn known() -> Vec<Known> {
    [&setup::COMMON[..], &tls::OPTIONS[..], &table::OPTIONS[..], &OPTIONS[..]].concat()
}

pub(crate) fn about(tool: &'static Tool) -> About {
    let commands = all_commands(tool);
    About {
        name: tool.program,
        usage: tool.usage.to_owned(),
        options: known(),
        commands: commands
            .map(|c| manual::Command { name: c.name, arguments: c.arguments, options: c.options })
            .collect(),
        tables: tool.ids.iter().map(|ids| ids.table).collect(),
    }
}

fn all_commands(tool: &'static Tool) -> impl Iterator<Item = &'static Command> {
    tool.commands.iter().flat_map(|commands| commands.iter())
}

/// Takes the command line apart. None when there is nothing left to do.
fn prepare(tool: &'static Tool, arguments: Vec<String>) -> Result<Option<(Parsed, Vec<Given>)>, String> {
    let known = known();
    let (mut global, mut local) = (Vec::new(), Vec::new());
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next_if(|a| a.starts_with('-') && a.len() > 1) {
        if argument == "--" {
            break;
        }
        let Some(long) = argument.strip_prefix("--") else {
            // of a short one the value may be the next word
            let takes = |letter: char| known.iter().find(|o| o.short == letter).map(|o| o.takes);
            let wants = argument.len() == 2 && argument.chars().nth(1).and_then(takes) == Some(Takes::Value);
            global.push(argument);
            if wants {
                global.extend(rest.next());
            }
            continue;
        };
        let name = long.split_once('=').map_or(long, |(name, _)| name);
        let fits = |option: &&&str| option.trim_start_matches("--").trim_end_matches('=') == name;
        if let Some(option) = all_commands(tool).find_map(|c| c.options.iter().find(fits)) {
            match rest.next_if(|_| option.ends_with('=') && !long.contains('=')) {
                Some(value) => local.push(format!("{argument}={value}")),
                None => local.push(argument),
            }
            continue;
        }
        let takes = known.iter().find(|o| o.long == name).or_else(|| known.iter().find(|o| o.long.starts_with(name)));
        let wants = takes.is_some_and(|o| o.takes == Takes::Value) && !long.contains('=');
        global.push(argument);
        if wants {
            global.extend(rest.next());
        }
    }
    let parsed = options::parse(&known, global)?;
    if parsed.has("help") {
        print(tool.usage);
        return Ok(None);
    }
    if parsed.has("version") {
        print(&setup::version(tool.program));
        print(&format!("DB Schema {}\n", tool.database));
        return Ok(None);
    }
    if parsed.has("commands") {
        for command in all_commands(tool) {
            let options: String = command.options.iter().map(|o| format!("[{o}] ")).collect();
            print(&format!("{options},{},{}\n", command.name, command.arguments));
        }
        return Ok(None);
    }
    if parsed.has("options") {
        for option in &known {
            let value = if option.takes == Takes::Nothing { "" } else { "=ARG" };
            print(&format!("--{}{value}\n", option.long));
            if option.short != '\0' {
                print(&format!("-{}{}\n", option.short, value.replace('=', " ")));
            }
        }
        return Ok(None);
    }
    let rest: Vec<String> = rest.collect();
    let mut given = Vec::new();
    let mut groups: Vec<Vec<String>> = rest.split(|word| word == "--").map(<[String]>::to_vec).collect();
    groups.retain(|group| !group.is_empty());
    if !local.is_empty() {
        match groups.first_mut() {
            Some(first) => first.splice(0..0, local).for_each(drop),
            None => groups.push(local),
        }
    }
    for group in groups {
        given.push(command(tool, group)?);
    }
    if given.is_empty() {
        return Err("missing command name (use --help for help)".into());
    }
    Style::new(&parsed, Format::List)?;
    Ok(Some((parsed, given)))
}

fn command(tool: &'static Tool, words: Vec<String>) -> Result<Given, String> {
    let mut words = words.into_iter().peekable();
    let mut options = Vec::new();
    while let Some(option) = words.next_if(|word| word.starts_with('-') && word.len() > 1) {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (option, None),
        };
        if options.iter().any(|(known, _)| *known == name) {
            return Err(format!("'{name}' option specified multiple times"));
        }
        options.push((name, value));
    }
    let name = words.next().ok_or("missing command name (use --help for help)")?;
    let found = all_commands(tool).find(|command| command.name == name);
    let command = found.ok_or_else(|| format!("unknown command '{name}'; use --help for help"))?;
    let mut checked = BTreeMap::new();
    for (option, value) in options {
        let known = command.options.iter().find(|known| known.trim_end_matches('=') == option);
        let known = known.ok_or_else(|| format!("'{name}' command has no '{option}' option"))?;
        match (known.strip_suffix('='), value) {
            (Some(known), Some(value)) => checked.insert(known, value),
            (Some(_), None) => return Err(format!("missing argument to '{option}' option on '{name}' command")),
            (None, Some(_)) => return Err(format!("'{option}' option on '{name}' does not accept an argument")),
            (None, None) => checked.insert(known, String::new()),
        };
    }
    let arguments: Vec<String> = words.collect();
    let n = arguments.len();
    if n < command.least {
        return Err(format!("'{name}' command requires at least {} arguments", command.least));
    }
    if n > command.most {
        return Err(format!("'{name}' command takes at most {} arguments", command.most));
    }
    Ok(Given { command, options: checked, arguments })
}
