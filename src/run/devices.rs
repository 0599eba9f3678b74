//! Opens what is behind a port and keeps it: queues go to workers, the rest stays here until the queues come back.
//!
//! Opening and closing take their time (probing, system calls that wait for the kernel's locks): they are work for
//! [`super::jobs`], in the line that [`line`] names. What is asked of an open device answers at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use base::clock::Clock;
use datapath::{Queues, Serve, WorkerId};
use netdev::{afpacket, tap};
use packet::device::PortStats;

use super::dummy;
use crate::config::{Config, Dpdk, Enable, InterfaceType, Port};
use crate::http::metrics::Scrape;

/// What stays with management while workers have a port's queues.
pub(super) enum Device {
    #[cfg(feature = "dpdk")]
    Dpdk(dpdk::Port),
    #[cfg(feature = "dpdk")]
    Vhost(dpdk::Vhost),
    Kernel {
        status: netdev::Status,
        name: String,
    },
    Dummy(dummy::Device),
    /// Patch ports have no queues; neither has a LOCAL port without its tap device.
    None,
}

impl Device {
    /// What can be said of its state, for display; of a kernel interface its links say it.
    pub(super) fn state(&self) -> &'static str {
        match self {
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) if port.is_removed() => "gone",
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) if !port.link().up => "down",
            #[cfg(feature = "dpdk")]
            Device::Vhost(vhost) if !vhost.is_up() => "down",
            Device::Dummy(device) if !device.is_up() => "down",
            _ => "up",
        }
    }

    /// Whether frames can come by a receive queue: a guest has to have turned one of its rings on.
    pub(super) fn receives(&self, queue: u32) -> bool {
        let _ = queue;
        match self {
            #[cfg(feature = "dpdk")]
            Device::Vhost(vhost) => vhost.receives(queue),
            _ => true,
        }
    }

    /// Receive and transmit queues, of a port in memory that polling workers serve.
    pub(super) fn queues(&self) -> Option<(usize, usize)> {
        match self {
            Device::Dummy(device) => device.polled().map(|tx| (device.rx_queues(), tx)),
            _ => None,
        }
    }

    /// The memory node that the device is connected to, where it has one.
    pub(super) fn node(&self) -> Option<u32> {
        match self {
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) => port.info().node,
            Device::Dummy(device) => device.node(),
            _ => None,
        }
    }

    /// The device's own counters, where it has some.
    pub(super) fn stats(&self) -> PortStats {
        match self {
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) => port.stats(false),
            #[cfg(feature = "dpdk")]
            Device::Vhost(vhost) => PortStats { tx_errors: vhost.stats(false).tx_errors, ..PortStats::default() },
            Device::Kernel { status, .. } => {
                let c = status.counters();
                PortStats {
                    rx_errors: c.rx_errors + c.rx_malformed + c.rx_truncated,
                    tx_errors: c.tx_errors + c.tx_unrepresentable,
                    ..PortStats::default()
                }
            }
            _ => PortStats::default(),
        }
    }

    /// The device's own counters by name, where it has some.
    pub(super) fn extended(&self) -> Vec<(String, u64)> {
        match self {
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) => port.stats(true).extended,
            #[cfg(feature = "dpdk")]
            Device::Vhost(vhost) => vhost.stats(true).extended,
            _ => Vec::new(),
        }
    }

    /// What there is to say of a virtual machine behind it, and the counters of its rings.
    pub(super) fn describe_vhost(&self) -> Option<String> {
        match self {
            #[cfg(feature = "dpdk")]
            Device::Vhost(vhost) => Some(vhost::describe(vhost)),
            _ => None,
        }
    }

    /// What a scrape says of it beyond what it says of every port.
    pub(super) fn metrics(&self, port: &str, s: &mut Scrape) {
        let _ = (port, &s);
        #[cfg(feature = "dpdk")]
        if let Device::Vhost(vhost) = self {
            vhost::metrics(vhost, port, s);
        }
    }
}

/// What stands for the device behind a port: one thing at a time is done to it. None where nothing has to wait.
pub(super) fn line(port: &Port) -> Option<String> {
    let dpdk = || port.options.get("dpdk-devargs").and_then(|d| d.split(',').next()).unwrap_or_default();
    match port.interface_type {
        InterfaceType::Dpdk => Some(format!("dpdk {}", dpdk())),
        InterfaceType::Afpacket | InterfaceType::Tap => Some(format!("interface {}", port.name)),
        InterfaceType::Dpdkvhostuserclient => {
            Some(format!("vhost {}", port.options.get("vhost-server-path").map_or("", String::as_str)))
        }
        InterfaceType::Dpdkvhostuser => Some(format!("vhost {}", port.name)),
        InterfaceType::Dummy | InterfaceType::DummyInternal | InterfaceType::DummyPmd | InterfaceType::Patch => None,
    }
}

/// An open port: its queues for the workers that serve it.
pub(super) struct Opened {
    pub(super) device: Device,
    pub(super) queues: Queues,
    pub(super) serve: Serve,
}

/// Opens devices of every kind, on any thread. Clones share DPDK, started when first needed or at start.
#[derive(Clone)]
pub(super) struct Opener {
    slow: WorkerId,
    /// Where ports in memory are served.
    home: WorkerId,
    clock: Clock,
    addresses: Arc<dummy::Addresses>,
    fast: Arc<AtomicUsize>,
    /// Kernel interfaces are refused.
    no_system: bool,
    #[cfg(feature = "dpdk")]
    dpdk: Arc<dpdk_side::Side>,
    #[cfg(feature = "dpdk")]
    vhost: Arc<vhost::Maker>,
}

impl Opener {
    /// Nothing is started yet. `fast` is the number of polling workers.
    pub(super) fn new(config: &Config, slow: WorkerId, home: WorkerId, fast: usize, clock: &Clock) -> Opener {
        Opener {
            slow,
            home,
            clock: clock.clone(),
            addresses: Arc::default(),
            no_system: config.no_system,
            fast: Arc::new(AtomicUsize::new(fast)),
            #[cfg(feature = "dpdk")]
            dpdk: Arc::new(dpdk_side::Side::new(config.dpdk.clone(), config.cpu.management)),
            #[cfg(feature = "dpdk")]
            vhost: Arc::new(vhost::Maker::new(config)),
        }
    }

    /// Ports that are opened from now on are for so many polling workers.
    pub(super) fn set_fast(&self, fast: usize) {
        self.fast.store(fast, Relaxed);
    }

    /// Starts DPDK now, where the configuration wants it in any case.
    ///
    /// # Errors
    /// DPDK's reason.
    pub(super) fn start(&self, config: &Dpdk, wanted: bool) -> Result<(), String> {
        if config.enable == Enable::No || !wanted {
            return Ok(());
        }
        #[cfg(feature = "dpdk")]
        return self.dpdk.start().map(drop);
        #[cfg(not(feature = "dpdk"))]
        Err("this program was built without DPDK".into())
    }

    /// What a worker's thread does until it returns something: takes a place among DPDK's threads, as soon as DPDK runs.
    pub(super) fn enter(&self) -> impl FnMut() -> Option<Box<dyn std::any::Any>> + Send + 'static {
        #[cfg(feature = "dpdk")]
        let dpdk = self.dpdk.clone();
        move || {
            #[cfg(feature = "dpdk")]
            if let Some(eal) = dpdk.runs().then(|| dpdk.running()).flatten() {
                return Some(match dpdk::LcoreGuard::register(&eal) {
                    Ok(guard) => Box::new(guard),
                    Err(e) => {
                        log::warn!(target: "worker", "not registered with DPDK, hence slower: {e}");
                        Box::new(())
                    }
                });
            }
            None
        }
    }

    /// Opens what is behind `port`.
    ///
    /// # Errors
    /// What failed, in words that name the device.
    pub(super) fn open(&self, port: &Port) -> Result<Opened, String> {
        match port.interface_type {
            InterfaceType::Dpdk => self.open_dpdk(port),
            InterfaceType::Dpdkvhostuserclient | InterfaceType::Dpdkvhostuser => self.open_vhost(port),
            InterfaceType::Afpacket if self.no_system => {
                Err(format!("{}: the kernel's interfaces are not used (--disable-system)", port.name))
            }
            InterfaceType::Afpacket => {
                let p = afpacket::open(&port.name).map_err(|e| e.to_string())?;
                self.mtu(port)?;
                Ok(self.kernel(&port.name, p.status, Box::new(p.rx), Box::new(p.tx)))
            }
            InterfaceType::Tap => {
                let p = tap::create(&port.name, !port.left_down).map_err(|e| e.to_string())?;
                self.mtu(port)?;
                Ok(self.kernel(&port.name, p.status, Box::new(p.rx), Box::new(p.tx)))
            }
            InterfaceType::Dummy | InterfaceType::DummyInternal | InterfaceType::DummyPmd => {
                let fast = self.fast.load(Relaxed);
                let polled = port.interface_type == InterfaceType::DummyPmd && fast != 0;
                let workers = if polled { fast } else { 1 };
                let (device, queues) = dummy::Device::open(port, &self.addresses, &self.clock, workers)?;
                let serve = if polled { Serve::Fast } else { Serve::Only(self.home) };
                Ok(Opened { device: Device::Dummy(device), queues, serve })
            }
            InterfaceType::Patch => {
                Ok(Opened { device: Device::None, queues: Queues::default(), serve: Serve::Only(self.slow) })
            }
        }
    }

    fn mtu(&self, port: &Port) -> Result<(), String> {
        let Some(mtu) = port.mtu_request else { return Ok(()) };
        netdev::link::set_mtu(&port.name, u32::from(mtu)).map_err(|e| e.to_string())
    }

    fn kernel(
        &self,
        name: &str,
        status: netdev::Status,
        rx: Box<dyn packet::device::RxQueue>,
        tx: Box<dyn packet::device::TxQueue>,
    ) -> Opened {
        let queues = Queues { rx: vec![rx], tx: vec![tx] };
        Opened { device: Device::Kernel { status, name: name.to_owned() }, queues, serve: Serve::Only(self.slow) }
    }

    #[cfg(not(feature = "dpdk"))]
    fn open_dpdk(&self, port: &Port) -> Result<Opened, String> {
        Err(format!("{}: this program was built without DPDK", port.name))
    }

    #[cfg(feature = "dpdk")]
    fn open_dpdk(&self, port: &Port) -> Result<Opened, String> {
        let devargs = port.options.get("dpdk-devargs").map(String::as_str).unwrap_or_default();
        let fast = self.fast.load(Relaxed);
        let (device, queues) = self.dpdk.open(port, devargs, fast.max(1))?;
        let serve = if fast == 0 { Serve::Only(self.slow) } else { Serve::Fast };
        Ok(Opened { device: Device::Dpdk(device), queues, serve })
    }

    #[cfg(not(feature = "dpdk"))]
    fn open_vhost(&self, port: &Port) -> Result<Opened, String> {
        self.open_dpdk(port)
    }

    #[cfg(feature = "dpdk")]
    fn open_vhost(&self, port: &Port) -> Result<Opened, String> {
        let fast = self.fast.load(Relaxed);
        let workers = u16::try_from(fast.max(1)).unwrap_or(u16::MAX);
        let (vhost, queues) = self.vhost.open(&self.dpdk, port, workers)?;
        let serve = if fast == 0 { Serve::Only(self.slow) } else { Serve::Fast };
        Ok(Opened { device: Device::Vhost(vhost), queues, serve })
    }

    /// Closes what is left when the queues are back.
    pub(super) fn close(&self, device: Device, queues: Queues) {
        drop(queues);
        #[cfg(feature = "dpdk")]
        match device {
            Device::Dpdk(port) => {
                let name = port.name().to_owned();
                if let Err((_, e)) = port.detach() {
                    log::warn!(target: "dpdk", "{name}: not detached: {e}");
                }
                self.dpdk.sweep();
            }
            device => drop(device),
        }
        #[cfg(not(feature = "dpdk"))]
        drop(device);
    }

    /// Pools by name: (frames in use, frames in all).
    pub(super) fn pools(&self) -> HashMap<String, (u32, u32)> {
        #[cfg(feature = "dpdk")]
        return self.dpdk.pools();
        #[cfg(not(feature = "dpdk"))]
        HashMap::new()
    }

    /// Whether DPDK runs.
    pub(super) fn dpdk_runs(&self) -> bool {
        #[cfg(feature = "dpdk")]
        return self.dpdk.runs();
        #[cfg(not(feature = "dpdk"))]
        false
    }

    /// The version of DPDK, or that there is none.
    pub(super) fn dpdk_version(&self) -> String {
        #[cfg(feature = "dpdk")]
        return dpdk::version();
        #[cfg(not(feature = "dpdk"))]
        "none".into()
    }
}

#[cfg(feature = "dpdk")]
mod dpdk_side;
#[cfg(feature = "dpdk")]
mod vhost;
