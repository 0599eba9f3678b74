//! The appliance's configuration file: TOML read by serde, unknown keys refused, every error with file, line and key.
//!
//! [`Config::load`] reads and checks; nothing is opened or started. Topology is in OVSDB's words (Bridge, Port and
//! Interface columns of ovs-vswitchd.conf.db(5)), so what is learned here holds for the database too.

mod check;
mod database;
mod datapath;
mod dummy;
mod error;
mod topology;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use database::{Database, Running, knows};
pub use datapath::{Datapath, affinity};
pub use dummy::{Dummy, OPTIONS as DUMMY_OPTIONS};
pub use error::ConfigError;
pub use topology::{Bridge, FailMode, InterfaceType, Port, VlanMode};

/// Everything that the file can say. `config/appliance.toml` is the commented reference.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    pub switch: Switch,
    pub cpu: Cpu,
    pub dpdk: Dpdk,
    pub metrics: Metrics,
    pub log: Log,
    pub limits: Limits,
    /// Settings of the datapath, as in table Open_vSwitch.
    #[serde(rename = "other_config")]
    pub other_config: Map,
    #[serde(rename = "bridge")]
    pub bridges: Vec<Bridge>,
    /// The database that the switch is configured by; without it this file is its configuration.
    pub database: Option<Database>,
    /// Deterministic mode; set by command line alone.
    #[serde(skip)]
    pub dummy: Option<Dummy>,
    /// The kernel's interfaces are not to be touched (`--disable-system`).
    #[serde(skip)]
    pub no_system: bool,
    /// The folder that relative file names are relative to; set by [`Config::load`].
    #[serde(skip)]
    pub folder: PathBuf,
}

/// Where the switch keeps its sockets and its pid file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Switch {
    /// Folder of pid file and control socket; made when missing. One switch for each folder.
    pub run_dir: PathBuf,
}

/// Which cores do what.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Cpu {
    /// Core that management (and all other threads but the workers) runs on; not pinned when left out.
    pub management: Option<usize>,
    /// Cores with a busy-polling worker each; "auto" is the last core, or none on a machine with a single one.
    pub workers: Workers,
}

/// `workers = "auto"` or a list of core numbers.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(untagged, expecting = "\"auto\" or a list of core numbers such as [1, 3]")]
pub enum Workers {
    #[default]
    #[serde(skip_deserializing)]
    Auto,
    Named(WorkersAuto),
    Cores(Vec<usize>),
}

/// The word `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkersAuto {
    Auto,
}

/// How DPDK's environment layer is started.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Dpdk {
    /// "auto" starts it when a port needs it.
    pub enable: Enable,
    /// "auto" falls back to ordinary pages, with a warning, when there are no hugepages.
    pub hugepages: Enable,
    /// Megabytes taken at start.
    pub socket_mem: u32,
    /// The same for each memory node (other_config:dpdk-socket-mem); empty: not said.
    #[serde(skip)]
    pub socket_mem_nodes: Vec<u32>,
    /// EAL's `--file-prefix`.
    pub file_prefix: String,
    /// False leaves PCI devices alone (`--no-pci`).
    pub pci: bool,
    /// Further EAL arguments, as they are.
    pub extra: Vec<String>,
    /// Folder of the sockets that the switch listens at, relative to the run folder (other_config:vhost-sock-dir).
    pub vhost_sock_dir: PathBuf,
    /// other_config:vhost-iommu-support.
    pub vhost_iommu_support: bool,
    /// other_config:vhost-postcopy-support.
    pub vhost_postcopy_support: bool,
    /// Offer TCP segmentation to virtual machines (other_config:userspace-tso-enable).
    pub userspace_tso_enable: bool,
}

/// A switch with a third position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enable {
    #[default]
    Auto,
    Yes,
    No,
}

/// The HTTP endpoint: the page, its figures and Prometheus's.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Metrics {
    /// Address and port; "off" is said by `enable = false`.
    pub listen: SocketAddr,
    pub enable: bool,
    /// A file with the token that clients must show.
    pub token_file: Option<PathBuf>,
    /// Certificate chain and key in PEM: then it is HTTPS.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// Certificates of those who sign clients' certificates, in PEM: then a client must have one.
    pub tls_client_ca: Option<PathBuf>,
}

/// Log destinations and levels.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Log {
    /// Level specifications as of `vlog/set`, such as "console:warn" or "bridge:file:dbg".
    pub levels: Vec<String>,
    /// A log file; reopened by `vlog/reopen`.
    pub file: Option<PathBuf>,
}

/// What bounds the caches.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Limits {
    /// Megaflows that each worker keeps at the most (other_config:flow-limit).
    pub flow_limit: u32,
    /// Milliseconds after which an unused megaflow goes (other_config:max-idle).
    pub max_idle: u32,
    /// Masks for each receiving port; past it megaflows become narrower instead.
    pub masks: u32,
    /// Translations that a port may cause in one loop of its worker.
    pub miss_budget: u32,
    /// Packets of new flows that may wait for each port.
    pub park: u32,
}

impl Default for Switch {
    fn default() -> Self {
        Switch { run_dir: PathBuf::from("/var/run/ironbridge") }
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Cpu { management: None, workers: Workers::Auto }
    }
}

impl Default for Dpdk {
    fn default() -> Self {
        Dpdk {
            enable: Enable::Auto,
            hugepages: Enable::Auto,
            socket_mem: 256,
            socket_mem_nodes: Vec::new(),
            file_prefix: "ironbridge".into(),
            pci: false,
            extra: Vec::new(),
            vhost_sock_dir: PathBuf::new(),
            vhost_iommu_support: false,
            vhost_postcopy_support: false,
            userspace_tso_enable: false,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            listen: SocketAddr::from(([127, 0, 0, 1], 9475)),
            enable: true,
            token_file: None,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { flow_limit: 200_000, max_idle: 10_000, masks: 64, miss_budget: 64, park: 512 }
    }
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown key or a value of the wrong type or range: with line and key.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { file: path.to_path_buf(), source })?;
        let mut config = Config::parse(&text, path)?;
        config.folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(config)
    }

    /// Reads and checks `text`; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|e| ConfigError::syntax(path, text, &e))?;
        check::check(&config).map_err(|problem| ConfigError::value(path, text, problem))?;
        Ok(config)
    }

    /// A file name of this configuration as one that can be opened.
    pub fn file(&self, name: &Path) -> PathBuf {
        self.folder.join(name)
    }

    /// The cores that workers run on, `available` being those that this process may use.
    pub fn worker_cores(&self, available: &[usize]) -> Vec<usize> {
        if let Some(cores) = Datapath::parse(&self.other_config).ok().and_then(|d| d.cores) {
            return cores;
        }
        match &self.cpu.workers {
            Workers::Cores(cores) => cores.clone(),
            _ if available.len() > 1 => available.last().copied().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// True when something in it needs DPDK.
    pub fn wants_dpdk(&self) -> bool {
        match self.dpdk.enable {
            Enable::Yes => true,
            Enable::No => false,
            Enable::Auto => self.bridges.iter().flat_map(|b| &b.ports).any(|p| p.interface_type.is_dpdk()),
        }
    }
}

/// Whether others than this machine can reach an address that is listened at.
pub fn is_reachable(listen: SocketAddr) -> bool {
    !listen.ip().to_canonical().is_loopback()
}

/// Checks a port that is added while running.
///
/// # Errors
/// The column and what was expected.
pub fn check_port(port: &Port) -> Result<(), String> {
    check::check_port(port).map_err(|p| format!("{}: {}", p.key.trim_start_matches("bridge.port."), p.message))
}

/// Whether a bridge's other_config has such a key.
///
/// # Errors
/// Its value cannot be.
pub fn check_bridge_setting(key: &str, value: &str) -> Result<bool, String> {
    check::bridge_setting(key, value)
}

/// Keys and values of an OVSDB map column.
pub type Map = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
