//! Ethernet devices: attach by devargs, configure and start, use the queues, stop, detach.
//!
//! ```text
//! Port::attach(devargs) ── start(config) ──> Queues ── given to workers, one each
//!        │                                      │
//!        │      stop() <── all queues dropped ──┘
//!        └── detach(), or drop
//! ```
//!
//! A queue is a value that one thread has at a time; while one is about the port refuses to stop, change or detach
//! ([`PortError::Busy`]). A port that is dropped under its queues goes down when the last of them does, on that thread.

#[expect(unsafe_code, reason = "finds, probes and removes devices")]
mod attach;
mod config;
#[expect(unsafe_code, reason = "asks devices about themselves")]
mod info;
#[expect(unsafe_code, reason = "receives and transmits bursts")]
mod queue;
#[expect(unsafe_code, reason = "configures, starts and stops devices")]
mod start;
#[expect(unsafe_code, reason = "reads counters and link state")]
mod stats;

pub use attach::list;
pub use config::PortConfig;
pub use info::{Features, Link, PortInfo};
pub use queue::{RxQueue, TxQueue};
pub use start::Queues;

use crate::{Eal, Errno, Pool, PoolError, logging};
use packet::device::PortStats;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why something could not be done to a port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The devargs name no device that can be had.
    #[error("cannot attach \"{devargs}\": {reason}")]
    Attach {
        /// As given.
        devargs: String,
        /// DPDK's error, and what it logged.
        reason: String,
    },
    /// Somebody has the device already.
    #[error("cannot attach \"{devargs}\": device {name} is in use, attached by \"{by}\"")]
    InUse {
        /// As given.
        devargs: String,
        /// The device's name.
        name: String,
        /// The devargs of its user.
        by: String,
    },
    /// Queues are still held.
    #[error("port {port}: cannot {what} while {queues} of its queues are in use")]
    Busy {
        /// The device's name.
        port: String,
        /// What was asked for.
        what: &'static str,
        /// Queues that somebody holds.
        queues: usize,
    },
    /// The configuration asks for what the device or its pool cannot do.
    #[error("port {port}: {setting}: {reason}")]
    Config {
        /// The device's name.
        port: String,
        /// The setting, as in [`PortConfig`].
        setting: &'static str,
        /// Why not.
        reason: String,
    },
    /// The device refused.
    #[error("port {port}: cannot {what}: {reason}")]
    Device {
        /// The device's name.
        port: String,
        /// What was asked for.
        what: &'static str,
        /// Its error, and what DPDK logged.
        reason: String,
    },
    /// There is no pool to receive into.
    #[error("port {port}: {source}")]
    Pool {
        /// The device's name.
        port: String,
        /// Why not.
        source: PoolError,
    },
}

/// An Ethernet device that this process has. Dropping it detaches it.
#[derive(Debug)]
pub struct Port(Arc<Inner>);

/// What the port and its queues share.
struct Inner {
    id: u16,
    /// DPDK's name of the device.
    name: String,
    devargs: String,
    /// For DPDK's control functions, which want one caller per port at a time.
    control: Mutex<Control>,
    /// Frames that `TxQueue`s dropped, by queue; each has one writer.
    tx_failed: Vec<AtomicU64>,
    eal: Eal,
}

#[derive(Default)]
struct Control {
    running: Option<Running>,
    /// The last start, kept while the device holds buffers of its pool: stopped devices may.
    pool: Option<Pool>,
    xstat_names: Vec<String>,
}

/// What is known of a started port.
struct Running {
    rx_queues: u16,
    tx_queues: u16,
    config: PortConfig,
}

impl Inner {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn device_error(&self, what: &'static str, complaints: &logging::Complaints, errno: Errno) -> PortError {
        PortError::Device { port: self.name.clone(), what, reason: complaints.explain(errno) }
    }

    fn config_error(&self, setting: &'static str, reason: impl fmt::Display) -> PortError {
        PortError::Config { port: self.name.clone(), setting, reason: reason.to_string() }
    }

    /// Calls a DPDK function that returns `-errno`.
    fn call(&self, what: &'static str, function: impl FnOnce() -> std::ffi::c_int) -> Result<(), PortError> {
        let complaints = logging::Complaints::begin();
        match crate::errno::check(function()) {
            Ok(_) => Ok(()),
            Err(errno) => Err(self.device_error(what, &complaints, errno)),
        }
    }
}

impl Port {
    /// Takes the device that `devargs` names: a PCI address (`0000:03:00.0`), a virtual device with its parameters
    /// (`net_pcap0,rx_pcap=FILE`; see [`crate::vdev`]), or a device by its address (`class=eth,mac=…`). It is plugged
    /// in if it is not there yet.
    pub fn attach(eal: &Eal, devargs: &str) -> Result<Port, PortError> {
        eal.sweep();
        let (id, name) = attach::claim(eal, devargs)?;
        let queues = usize::from(info::limits(id).1.max(1));
        Ok(Port(Arc::new(Inner {
            id,
            name,
            devargs: devargs.to_string(),
            control: Mutex::default(),
            tx_failed: std::iter::repeat_with(AtomicU64::default).take(queues).collect(),
            eal: eal.clone(),
        })))
    }

    /// DPDK's number for it, also found in the `port` of received frames.
    pub fn id(&self) -> u16 {
        self.0.id
    }

    /// DPDK's name for it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it was attached by.
    pub fn devargs(&self) -> &str {
        &self.0.devargs
    }

    /// Queues that somebody holds.
    pub fn queues_in_use(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// Configures and starts the device, and hands out its queues. `pool` is where receive queues take frames from
    /// and transmit queues copy heap frames to. A running port is stopped first.
    pub fn start(&self, config: &PortConfig, pool: &Pool) -> Result<Queues, PortError> {
        self.idle("start")?;
        start::start(&self.0, config, pool)
    }

    /// Stops the device. A stopped port starts again with any configuration.
    pub fn stop(&self) -> Result<(), PortError> {
        self.idle("stop")?;
        start::stop(&self.0)
    }

    /// Stops, closes and unplugs the device. Hands the port back with the error when queues are in use.
    pub fn detach(self) -> Result<(), (Port, PortError)> {
        match self.idle("detach") {
            Ok(()) => {
                let eal = self.0.eal.clone();
                drop(self);
                eal.sweep();
                Ok(())
            }
            Err(error) => Err((self, error)),
        }
    }

    fn idle(&self, what: &'static str) -> Result<(), PortError> {
        match self.queues_in_use() {
            0 => Ok(()),
            queues => Err(PortError::Busy { port: self.0.name.clone(), what, queues }),
        }
    }

    /// Whether it is started.
    pub fn is_running(&self) -> bool {
        self.0.control().running.is_some()
    }

    /// What it was started with.
    pub fn config(&self) -> Option<PortConfig> {
        self.0.control().running.as_ref().map(|running| running.config.clone())
    }

    /// What the device is and can do.
    pub fn info(&self) -> PortInfo {
        let control = self.0.control();
        let mut info = info::of(self.0.id);
        info.devargs = Some(self.0.devargs.clone());
        if let Some(running) = &control.running {
            info.rx_queues = running.rx_queues;
            info.tx_queues = running.tx_queues;
        }
        info
    }

    /// The link, without waiting for a negotiation under way.
    pub fn link(&self) -> Link {
        let _one = self.0.control();
        stats::link(self.0.id)
    }

    /// How often the device reported a change of its link, when started with [`PortConfig::link_interrupt`].
    pub fn link_changes(&self) -> u64 {
        stats::link_changes(self.0.id)
    }

    /// Whether the device said that it was unplugged.
    pub fn is_removed(&self) -> bool {
        stats::is_removed(self.0.id)
    }

    /// Counters since it was attached. With `extended`, also the device's own, by name.
    pub fn stats(&self, extended: bool) -> PortStats {
        let mut control = self.0.control();
        let mut stats = stats::read(self.0.id);
        stats.tx_dropped += self.0.tx_failed.iter().map(|c| c.load(Ordering::Relaxed)).sum::<u64>();
        if extended {
            stats.extended = stats::extended(self.0.id, &mut control.xstat_names);
        }
        stats
    }

    /// Sets the Ethernet address.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), PortError> {
        let _one = self.0.control();
        start::set_mac(&self.0, mac)
    }

    /// Sets the MTU of a running port, as far as the segments of its pool allow; for more, stop and start it with
    /// another. Queues that are out keep the `max_frame` that they were made with.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), PortError> {
        let control = self.0.control();
        let fits = control.pool.as_ref().map_or(u16::MAX, Pool::mtu);
        if mtu > fits {
            return Err(self
                .0
                .config_error("mtu", format_args!("{mtu} is more than the {fits} that its pool has room for")));
        }
        start::set_mtu(&self.0, mtu)
    }

    /// Receives all frames, or only those addressed to the device.
    pub fn set_promiscuous(&self, on: bool) -> Result<(), PortError> {
        let _one = self.0.control();
        start::set_promiscuous(&self.0, on)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = start::stop(self) {
            log::warn!(target: "dpdk", "{error}");
        }
        if let Err(error) = attach::release(self) {
            log::warn!(target: "dpdk", "{error}");
        }
        // after the device has given its buffers back
        self.control.get_mut().unwrap_or_else(PoisonError::into_inner).pool = None;
    }
}
