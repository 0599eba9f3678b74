//! Makes a running switch of a configuration, and takes it down again.
//!
//! [`instance`] guards the run folder, [`threads`] runs workers, [`devices`] opens ports, [`jobs`] does on threads what takes
//! time, [`links`] knows the kernel's interfaces, [`long`] does in slices what takes long, [`switch`] owns tables and ports, [`ports`] makes ports come and go, [`commands`] is what the control socket can
//! ask, [`queues`] gives workers their queues, [`pmd`] shows how they do, [`dpctl`] what datapaths there are, [`megaflows`] what they cache, [`fdb`] what bridges learned, [`coverage`] how often what happened, [`tracing`] tells what would become of a packet, [`report`] puts figures into words and metrics,
//! [`database`] follows OVSDB, [`dummy`] are ports in memory and time that is stopped,
//! [`openflow`] serves controllers and `ovs-ofctl`,
//! [`snapshot`] into one value, [`capture`] streams copies of packets, [`owner`] is the loop that everything but forwarding
//! happens in, [`service`] tells a service manager about it.

mod bundles;
mod capture;
mod commands;
mod coverage;
mod database;
mod devices;
mod dpctl;
mod dummy;
mod fdb;
mod instance;
mod jobs;
mod links;
mod long;
mod megaflows;
mod names;
mod openflow;
mod owner;
mod pmd;
mod ports;
mod queues;
mod report;
mod service;
mod snapshot;
mod switch;
mod threads;
mod tracing;

use std::io;
use std::path::Path;

use base::clock::Clock;

use crate::config::Config;
use crate::http;
use instance::Instance;
pub use instance::InstanceError;
use switch::Switch;

/// Why the switch does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Instance(#[from] InstanceError),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{0}")]
    Setup(String),
}

impl RunError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> RunError {
        let what = what.into();
        move |source| RunError::Io { what, source }
    }
}

/// Log modules that `vlog/list` shows from the start.
pub const MODULES: [&str; 15] = [
    "bridge",
    "connmgr",
    "dpdk",
    "dpif_netdev",
    "http",
    "netdev",
    "ofproto",
    "ovsdb_idl",
    "ovsdb_server",
    "rconn",
    "switch",
    "unixctl",
    "vconn",
    "vswitchd",
    "worker",
];

/// Runs until a signal or the command `exit`.
///
/// # Errors
/// What kept it from starting. A port that cannot be opened does not: it is logged and shown with its error.
pub fn run(config: Config) -> Result<(), RunError> {
    start_log(&config, &Clock::real())?;
    let instance = Instance::take(&config.switch.run_dir)?;
    let hello = format!("ironbridge {} runs (process {})", env!("CARGO_PKG_VERSION"), std::process::id());
    run_at(config, &instance.control_socket(), Some(&hello), &mut || {})
}

/// The same with the log and the run folder as they are, with its control socket at `socket`. `hello` is logged when that is there; `ready` is called when what
/// the configuration asks for is there.
///
/// # Errors
/// As [`run`].
pub fn run_at(mut config: Config, socket: &Path, hello: Option<&str>, ready: &mut dyn FnMut()) -> Result<(), RunError> {
    let clock = Clock::real();
    if let Some(dummy) = &config.dummy {
        dummy.announce();
    }
    let followed = database::start(&mut config, &clock).map_err(RunError::Setup)?;
    let available = cores_of(&config);
    let cores = config.worker_cores(&available);
    if let Some(missing) = cores.iter().chain(&config.cpu.management).find(|c| !available.contains(c)) {
        return Err(RunError::Setup(format!("core {missing} is not among the cores that may be used: {available:?}")));
    }
    let http = http::Settings::load(&config).map_err(RunError::Setup)?;
    let mut switch = Switch::new(config.clone(), clock.clone(), &cores)?;
    if let Some((database, orders)) = followed {
        (switch.database, switch.orders) = (Some(database), orders);
    }
    if let Some(core) = config.cpu.management {
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
    }
    switch.start()?;
    let result = owner::serve(&mut switch, socket, hello, ready, http);
    let level = switch.end_level();
    switch.stop();
    log::log!(target: "switch", level, "stopped");
    result
}

/// The cores that the process may use.
fn available_cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|c| c.id).collect()
}

/// The same, or those of a machine that is made up.
fn cores_of(config: &Config) -> Vec<usize> {
    match &config.dummy {
        Some(dummy) if !dummy.nodes.is_empty() => (0..dummy.nodes.len()).collect(),
        _ => available_cores(),
    }
}

fn start_log(config: &Config, clock: &Clock) -> Result<(), RunError> {
    let mut options = base::log::Options::new("ironbridge", clock.clone());
    options.syslog = base::log::Level::Off;
    options.modules = MODULES.iter().map(|m| (*m).to_owned()).collect();
    let logger = base::log::init(options);
    for spec in &config.log.levels {
        logger.set(spec).map_err(|e| RunError::Setup(format!("log.levels: {spec:?}: {e}")))?;
    }
    if let Some(file) = &config.log.file {
        let file = config.file(file);
        logger.open_file(&file).map_err(RunError::io(format!("log.file: {}", file.display())))?;
    }
    Ok(())
}

/// Loads the files that a configuration names, as `run` would.
///
/// # Errors
/// A file of flows or groups, a token or a certificate cannot be read: with the file, and the line or the key.
pub fn check(config: &Config) -> Result<(), RunError> {
    http::Settings::load(config).map_err(RunError::Setup)?;
    tables_only(config).map(drop)
}

/// What the tables of a configuration would do with a packet, without running it.
///
/// # Errors
/// The configuration, the bridge or the flow is wrong.
pub fn trace(config: &Config, bridge: &str, flow: &str) -> Result<String, String> {
    let mut switch = tables_only(config).map_err(|e| e.to_string())?;
    tracing::trace(&mut switch, &[bridge.to_owned(), flow.to_owned()])
}

/// Tables and ports without any device or thread.
fn tables_only(config: &Config) -> Result<Switch, RunError> {
    let mut switch = Switch::new(config.clone(), Clock::real(), &[])?;
    switch.describe_all()?;
    Ok(switch)
}
