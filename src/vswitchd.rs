//! `ovs-vswitchd`, ovs-vswitchd(8): the switch under that name, with its options, folders, pid file and control socket, and
//! configured by a database alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use programs::daemon::{self, Keep};
use programs::manual::About;
use programs::options::{self, Known, Takes, option};
use programs::setup::{self, fatal};
use programs::tls;

use crate::config::{Config, Database, Dummy, Metrics, Switch};
use crate::run;

/// The program's name.
pub const NAME: &str = "ovs-vswitchd";

const OPTIONS: [Known; 8] = [
    option("unixctl", '\0', Takes::Value),
    option("mlockall", '\0', Takes::Nothing),
    option("disable-system", '\0', Takes::Nothing),
    option("disable-system-route", '\0', Takes::Nothing),
    option("enable-dummy", '\0', Takes::Maybe),
    option("dummy-numa", '\0', Takes::Value),
    option("dpdk", '\0', Takes::Nothing),
    option("hw-rawio-access", '\0', Takes::Nothing),
];

/// Log modules that people who know the stock daemon name in its options and in `vlog/set`, besides [`run::MODULES`]: what
/// the like is logged under here or will be.
const STOCK_MODULES: [&str; 23] = [
    "bond",
    "coverage",
    "ct_dpif",
    "daemon",
    "dpif",
    "in_band",
    "jsonrpc",
    "lacp",
    "memory",
    "netdev_dpdk",
    "netdev_dummy",
    "netdev_linux",
    "ofproto_dpif",
    "ofproto_dpif_monitor",
    "ofproto_dpif_upcall",
    "ofproto_dpif_xlate",
    "ovs_numa",
    "poll_loop",
    "reconnect",
    "stream_ssl",
    "timeval",
    "tunnel",
    "util",
];

/// Runs it when the arguments name it.
pub fn called(mut arguments: Vec<String>) -> Result<ExitCode, Vec<String>> {
    let is = |a: Option<&String>| a.and_then(|a| Path::new(a).file_name()?.to_str()) == Some(NAME);
    let by_name = is(arguments.first());
    if !by_name && arguments.get(1).is_none_or(|a| a != NAME) {
        return Err(arguments);
    }
    arguments.drain(..if by_name { 1 } else { 2 });
    Ok(main(arguments))
}

fn known() -> Vec<Known> {
    [&setup::COMMON[..], &daemon::OPTIONS[..], &tls::OPTIONS[..], &OPTIONS[..]].concat()
}

/// What it says of itself.
pub fn about() -> About {
    About { name: NAME, usage: usage(), options: known(), commands: Vec::new(), tables: Vec::new() }
}

fn main(arguments: Vec<String>) -> ExitCode {
    let parsed = match options::parse(&known(), arguments) {
        Ok(parsed) => parsed,
        Err(text) => return fatal(NAME, text),
    };
    if parsed.has("help") {
        setup::print(&usage());
        return ExitCode::SUCCESS;
    }
    if parsed.has("version") {
        setup::print(&setup::version(NAME));
        return ExitCode::SUCCESS;
    }
    if parsed.has("dpdk") {
        return fatal(NAME, "--dpdk is not an option any more: set other_config:dpdk-init in table Open_vSwitch");
    }
    if let Err(text) = tls::configure_from(&parsed) {
        return fatal(NAME, text);
    }
    let mode = match dummy(&parsed) {
        Ok(mode) => mode,
        Err(text) => return fatal(NAME, text),
    };
    let remote = match &parsed.arguments[..] {
        [] => format!("unix:{}", setup::absolute(&setup::run_dir().join("db.sock")).display()),
        [remote] => remote.clone(),
        _ => return fatal(NAME, "at most one non-option argument accepted; use --help for usage"),
    };
    let remotes: Vec<String> = remote.split(',').map(str::to_owned).collect();
    if let Some(bad) = remotes.iter().find(|r| !Database::is_remote(r)) {
        return fatal(NAME, format!("{bad}: expected unix:FILE, tcp:IP:PORT or ssl:IP:PORT"));
    }
    let mut daemon = match daemon::start(NAME, &parsed) {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    if let Err(text) =
        setup::start_log(NAME, &parsed, base::log::Level::Info, &[&run::MODULES[..], &STOCK_MODULES[..]].concat())
    {
        return fatal(NAME, text);
    }
    let ours = env!("CARGO_PKG_VERSION");
    log::info!(target: "vswitchd", "{NAME} (Open vSwitch) {}, ironbridge {ours}", setup::OVS_VERSION);
    if parsed.has("mlockall") {
        log::warn!(target: "vswitchd", "--mlockall is not supported yet: of the memory, that in huge pages is locked");
    }
    let run_dir = setup::absolute(&setup::run_dir());
    let socket = match parsed.value("unixctl") {
        Some(path) => setup::absolute(&setup::in_run_dir(path)),
        None => run_dir.join(format!("{NAME}.{}.ctl", std::process::id())),
    };
    // the pid file goes with `daemon`
    let mut ready = || daemon.ready(Keep::Nothing);
    let config = Config { dummy: mode, no_system: parsed.has("disable-system"), ..config(run_dir, remotes) };
    match run::run_at(config, &socket, None, &mut ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fatal(NAME, e),
    }
}

/// Deterministic mode, where it is asked for.
fn dummy(parsed: &options::Parsed) -> Result<Option<Dummy>, String> {
    let nodes = parsed.value("dummy-numa").map(Dummy::parse_nodes).transpose()?;
    if !parsed.has("enable-dummy") {
        return match nodes {
            Some(_) => Err("--dummy-numa needs --enable-dummy".into()),
            None => Ok(None),
        };
    }
    let mode = Dummy::parse(parsed.value("enable-dummy"))?;
    Ok(Some(Dummy { nodes: nodes.unwrap_or_default(), ..mode }))
}

/// The stock daemon's ways: no page, no bridges but the database's, polling workers when something is to be polled.
fn config(run_dir: PathBuf, remotes: Vec<String>) -> Config {
    let database = Database { remotes, polls_when_needed: true, ..Database::default() };
    Config {
        switch: Switch { run_dir },
        metrics: Metrics { enable: false, ..Metrics::default() },
        database: Some(database),
        ..Config::default()
    }
}

fn usage() -> String {
    format!(
        "{NAME}: Open vSwitch daemon\n\
         usage: {NAME} [OPTIONS] [DATABASE]\n\
         where DATABASE is a socket on which ovsdb-server is listening\n      \
         (default: \"unix:{}\").\n\n\
         Daemon options:\n  \
         --detach                run in background as daemon\n  \
         --monitor               start it again when it crashes\n  \
         --no-chdir              do not chdir to '/'\n  \
         --pidfile[=FILE]        create pidfile\n  \
         --overwrite-pidfile     with --pidfile, start even if already running\n\
         PKI configuration (required to use SSL):\n  \
         -p, --private-key=FILE  file with private key\n  \
         -c, --certificate=FILE  file with certificate for private key\n  \
         -C, --ca-cert=FILE      file with peer CA certificate\n  \
         --bootstrap-ca-cert=FILE  file with peer CA certificate to read or create\n\
         Logging options:\n  \
         -vSPEC, --verbose=SPEC  set logging levels\n  \
         --log-file[=FILE]       enable logging to specified FILE\n\
         Other options:\n  \
         --unixctl=SOCKET        override default control socket name\n  \
         --mlockall              lock the process's memory\n  \
         --disable-system        leave the kernel's interfaces alone\n  \
         --enable-dummy[=system|override]\n  \
         \x20                       deterministic mode, with ports in memory (in place of\n  \
         \x20                       the kernel's interfaces, or of all), see time/stop\n  \
         --dummy-numa=NODE,...   memory nodes of the cores of a machine that is made up\n  \
         -h, --help              display this help message\n  \
         -V, --version           display version information\n",
        setup::run_dir().join("db.sock").display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn called_by_its_name_alone() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(called(words("/usr/sbin/ovs-vswitchd --version")).is_ok());
        assert!(called(words("ironbridge ovs-vswitchd -V")).is_ok());
        assert_eq!(called(words("ironbridge run")), Err(words("ironbridge run")));
        assert_eq!(called(words("ironbridge")), Err(words("ironbridge")));
    }
}
