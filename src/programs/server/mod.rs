//! `ovsdb-server`, ovsdb-server(1): sockets, signals and the control socket around [`ovsdb::server::Server`].
//!
//! One thread and one epoll. A round reads what all sockets have, lets the server work and wait for the disk once, then
//! writes.

mod commands;
mod embedded;
mod events;
pub(crate) use events::die_by;
mod relay;
mod remotes;
mod replication;
mod sources;
mod upstream;

use crate::daemon::{self, Daemon, Keep};
use crate::manual::About;
use crate::options::{self, Known, Parsed, Takes, option};
use crate::replay;
use crate::setup::{self, fatal};
use crate::tls;
use crate::unixctl::Control;
pub use embedded::Embedded;
use events::Events;
use ovsdb::server::Server;
use ovsdb::uuid::Source;
use relay::Relay;
use remotes::Remotes;
use replication::Replication;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};

const PROGRAM: &str = "ovsdb-server";

const OPTIONS: [Known; 7] = [
    option("remote", '\0', Takes::Value),
    option("unixctl", '\0', Takes::Value),
    option("run", '\0', Takes::Value),
    option("sync-from", '\0', Takes::Value),
    option("sync-exclude-tables", '\0', Takes::Value),
    option("active", '\0', Takes::Nothing),
    option("disable-file-column-diff", '\0', Takes::Nothing),
];

const MODULES: [&str; 16] = [
    "daemon_unix",
    "fatal_signal",
    "jsonrpc",
    "ovsdb_file",
    "ovsdb_jsonrpc_server",
    "ovsdb_log",
    "ovsdb_monitor",
    "ovsdb_server",
    "poll_loop",
    "reconnect",
    "replication",
    "relay",
    "socket_util",
    "stream_ssl",
    "timeval",
    "unixctl",
];

/// A server with all that belongs to it.
struct Program {
    server: Server,
    remotes: Remotes,
    events: Events,
    /// Databases as they were named, for a new start.
    files: BTreeSet<PathBuf>,
    /// `--run`'s command.
    run: Option<Child>,
    /// It is part of another program.
    embedded: bool,
    /// What it ends with, when it is to end.
    exit: Option<End>,
    started: base::clock::Clock,
    replication: Replication,
    /// By database.
    relays: BTreeMap<String, Relay>,
    /// As the options have it, which may name columns of databases.
    tls: tls::Settings,
}

/// How it ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Code(u8),
    Signal(nix::sys::signal::Signal),
}

/// Runs `ovsdb-server`.
pub fn main(program: &str, arguments: Vec<String>) -> ExitCode {
    let parsed = match options::parse(&known(), arguments) {
        Ok(parsed) => parsed,
        Err(text) => return fatal(program, text),
    };
    if parsed.has("help") {
        setup::print(&usage());
        return ExitCode::SUCCESS;
    }
    if parsed.has("version") {
        setup::print(&setup::version(program));
        return ExitCode::SUCCESS;
    }
    let daemon = match daemon::start(program, &parsed) {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    if let Err(text) = setup::start_log(program, &parsed, base::log::Level::Info, &MODULES) {
        return fatal(program, text);
    }
    // a run that is started again would write over the one that crashed
    if let Err(text) = replay::start(program, &parsed, &["monitor", "run"]) {
        return fatal(program, text);
    }
    allow_many_clients();
    match run(&parsed, daemon) {
        Ok(End::Code(code)) => ExitCode::from(code),
        Ok(End::Signal(signal)) => {
            // by now its handler is the default, and everything is tidied up
            events::die_by(signal);
            ExitCode::FAILURE
        }
        Err(text) => fatal(program, replay::cause(text)),
    }
}

/// As many descriptors as the system allows.
fn allow_many_clients() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn known() -> Vec<Known> {
    [&setup::COMMON[..], &daemon::OPTIONS[..], &tls::OPTIONS[..], &replay::OPTIONS[..], &OPTIONS[..]].concat()
}

pub(crate) fn about() -> About {
    About { name: "ovsdb-server", usage: usage(), options: known(), commands: Vec::new(), tables: Vec::new() }
}

fn usage() -> String {
    "ovsdb-server: Open vSwitch database server\n\
     usage: ovsdb-server [OPTIONS] [DATABASE...]\n\
     where each DATABASE is a database file in ovsdb format, or relay:DB:REMOTE;\n\
     the default DATABASE is conf.db of the folder of databases.\n\n\
     JSON-RPC options (may be specified any number of times):\n  \
     --remote=REMOTE         connect or listen to REMOTE: punix:FILE, ptcp:PORT[:IP],\n                          \
     pssl:PORT[:IP], unix:FILE, tcp:IP[:PORT], ssl:IP[:PORT],\n                          db:DB,TABLE,COLUMN\n\
     TLS options:\n  \
     -p, --private-key=FILE  file with private key\n  \
     -c, --certificate=FILE  file with certificate for private key\n  \
     -C, --ca-cert=FILE      file with peer CA certificate\n  \
     --bootstrap-ca-cert=FILE  file with peer CA certificate to read or create\n  \
     --peer-ca-cert=FILE     file with CA certificate to show to peers\n  \
     --ssl-protocols=PROTOS  TLSv1.2, TLSv1.3 or both\n  \
     --ssl-ciphers=CIPHERS   list of cipher suites\n\
     Replication options:\n  \
     --sync-from=SERVER      be a backup of SERVER\n  \
     --sync-exclude-tables=DB:TABLE,...  exclude some tables\n  \
     --active                with --sync-from, start as active server\n\
     Daemon options:\n  \
     --detach                run in background as daemon\n  \
     --monitor               start it again when it crashes\n  \
     --no-chdir              do not chdir to '/'\n  \
     --pidfile[=FILE]        create pidfile\n  \
     --overwrite-pidfile     with --pidfile, start even if already running\n\
     Logging options:\n  \
     -vSPEC, --verbose=SPEC  set logging levels\n  \
     --log-file[=FILE]       enable logging to specified FILE\n\
     Other options:\n  \
     --run COMMAND           run COMMAND as subprocess then exit\n  \
     --unixctl=SOCKET        override default control socket name\n  \
     --record[=DIR]          record what happens, in DIR\n  \
     --replay[=DIR]          do again what is recorded in DIR\n  \
     -h, --help              display this help message\n  \
     -V, --version           display version information\n"
        .to_owned()
}

/// What the options say of TLS. Names of columns are not looked up yet.
fn settings(parsed: &Parsed) -> Result<tls::Settings, String> {
    let named = |name: &str| parsed.value(name).is_some_and(|value| value.starts_with("db:"));
    if named("ssl-protocols") || named("ssl-ciphers") {
        let mut plain = parsed.clone();
        plain.options.retain(|(name, _)| !matches!(*name, "ssl-protocols" | "ssl-ciphers"));
        let text = |name: &str| parsed.value(name).unwrap_or_default().to_owned();
        let settings = tls::Settings::new(&plain)?;
        return Ok(tls::Settings { protocols: text("ssl-protocols"), ciphers: text("ssl-ciphers"), ..settings });
    }
    tls::Settings::new(parsed)
}

/// Milliseconds that the start waits for the sources of relays.
const RELAY_PATIENCE: u64 = 2000;

fn run(parsed: &Parsed, mut daemon: Daemon) -> Result<End, String> {
    let mut program = Program {
        server: Server::new(Source::new(replay::seed(Source::seed()))).map_err(|e| e.to_string())?,
        remotes: Remotes::default(),
        events: Events::new().map_err(|e| format!("epoll: {e}"))?,
        files: BTreeSet::new(),
        run: None,
        embedded: false,
        exit: None,
        started: base::clock::Clock::real(),
        replication: Replication {
            active: parsed.value("sync-from").map(str::to_owned),
            exclude: parsed.value("sync-exclude-tables").unwrap_or_default().to_owned(),
            ..Replication::default()
        },
        relays: BTreeMap::new(),
        tls: settings(parsed)?,
    };
    let kept = daemon::state_file().and_then(|path| std::fs::read_to_string(path).ok());
    match &kept {
        Some(kept) => {
            for line in kept.lines() {
                match line.split_once(' ') {
                    Some(("db", path)) => program.open(path)?,
                    Some(("remote", remote)) => program.remotes.add(remote),
                    _ => {}
                }
            }
        }
        None => {
            let default = [setup::default_db().display().to_string()];
            let files = if parsed.arguments.is_empty() { &default[..] } else { &parsed.arguments[..] };
            for file in files {
                program.open(file)?;
            }
            for remote in parsed.values("remote") {
                remotes::check(&program.server, remote)?;
                program.remotes.add(remote);
            }
        }
    }
    program.set_backup(parsed.has("sync-from") && !parsed.has("active"));
    program.update_remotes(false)?;
    let control = Control::listen(PROGRAM, parsed.value("unixctl"), &commands::COMMANDS);
    if let Some(control) = control.map_err(|e| format!("control socket: {}", ovsdb::error::strerror(&e)))? {
        program.events.control(control).map_err(|e| e.to_string())?;
    }
    if let Some(command) = parsed.value("run") {
        let mut shell = std::process::Command::new("/bin/sh");
        let child = events::unblocked(daemon::forget(shell.arg("-c").arg(command)));
        program.run = Some(child.map_err(|e| format!("--run: {e}"))?);
    }
    program.report_status(ovsdb::server::Now::default());
    program.save();
    // most relays know in no time what they are to show; others are shown when they come
    let patience = program.now().monotonic + RELAY_PATIENCE;
    while program.exit.is_none() && !program.relays_are_ready() && program.now().monotonic < patience {
        program.round_until(Some(patience))?;
    }
    daemon.ready(Keep::Nothing);
    // with --run it is more like a tool
    if program.run.is_none() {
        log::info!(target: "ovsdb_server", "ovsdb-server (Open vSwitch) {}", setup::OVS_VERSION);
    }
    loop {
        program.round()?;
        if let Some(end) = program.exit {
            program.finish();
            return Ok(end);
        }
    }
}

impl Program {
    /// Serves a file or a relay.
    fn open(&mut self, name: &str) -> Result<(), String> {
        match relay::parse(name) {
            Some(parts) => {
                let (db, methods) = parts?;
                self.add_relay(db, methods)
            }
            None => self.open_file(Path::new(name)),
        }
    }

    fn open_file(&mut self, path: &Path) -> Result<(), String> {
        self.server.open(path).map_err(|e| e.to_string())?;
        self.files.insert(setup::absolute(path));
        Ok(())
    }

    /// TLS is as the options and the databases say.
    fn configure_tls(&self) {
        let mut settings = self.tls.clone();
        let tls::Settings { private_key, certificate, ca_cert, peer_ca_cert, protocols, ciphers, .. } = &mut settings;
        for text in [private_key, certificate, ca_cert, peer_ca_cert, protocols, ciphers] {
            *text = remotes::text_in(&self.server, text);
        }
        tls::configure(settings);
    }

    /// Keeps what it was told, for a new start.
    fn save(&self) {
        let Some(path) = daemon::state_file() else { return };
        let files = self.files.iter().map(|f| format!("db {}\n", f.display()));
        let relays = self.relay_texts().map(|text| format!("db {text}\n"));
        let text: String =
            files.chain(relays).chain(self.remotes.configured().map(|r| format!("remote {r}\n"))).collect();
        if let Err(e) = std::fs::write(&path, text) {
            log::warn!(target: "ovsdb_server", "{}: {e}", path.display());
        }
    }
}
