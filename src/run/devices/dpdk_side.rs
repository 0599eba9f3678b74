//! DPDK as management holds it: the EAL, pools shared by ports of the same MTU, ports.
//!
//! Ports are opened and closed by several threads at a time; what only looks never waits for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datapath::Queues;
use dpdk::{Eal, EalConfig, Huge, Pool, PoolConfig, PoolDemand, PortConfig};

use crate::config::{Dpdk, Enable, Port};

/// Frames of a pool that ports share: what several ports with thousands of descriptors can hold, as a power of two.
const SHARED: u32 = 1 << 18;

/// Nothing runs until [`Side::start`].
pub(super) struct Side {
    config: Dpdk,
    main_cpu: Option<usize>,
    /// The EAL runs: for those who ask often.
    runs: AtomicBool,
    /// Held while the EAL starts or a pool is made: by those who open ports.
    making: Mutex<()>,
    /// Held to look only.
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    eal: Option<Eal>,
    pools: Vec<Pool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Side {
    pub(super) fn new(config: Dpdk, main_cpu: Option<usize>) -> Side {
        Side { config, main_cpu, runs: AtomicBool::new(false), making: Mutex::default(), made: Mutex::default() }
    }

    pub(super) fn runs(&self) -> bool {
        self.runs.load(Relaxed)
    }

    pub(super) fn running(&self) -> Option<Eal> {
        locked(&self.made).eal.clone()
    }

    pub(super) fn start(&self) -> Result<Eal, String> {
        let _one = locked(&self.making);
        if let Some(eal) = self.running() {
            return Ok(eal);
        }
        if self.config.enable == Enable::No {
            return Err("DPDK is switched off (dpdk.enable = \"no\")".into());
        }
        let in_memory = self.config.file_prefix.is_empty();
        let config = EalConfig {
            huge: match self.config.hugepages {
                Enable::Auto => Huge::Auto,
                Enable::Yes => Huge::Yes,
                Enable::No => Huge::No,
            },
            memory: self.config.socket_mem,
            socket_mem: self.config.socket_mem_nodes.clone(),
            main_cpu: self.main_cpu,
            file_prefix: (!in_memory).then(|| self.config.file_prefix.clone()),
            in_memory,
            no_pci: !self.config.pci,
            extra: self.config.extra.clone(),
            ..EalConfig::default()
        };
        let eal = Eal::start(&config).map_err(|e| e.to_string())?;
        log::info!(target: "dpdk", "{} runs: {}", dpdk::version(), eal.arguments());
        locked(&self.made).eal = Some(eal.clone());
        self.runs.store(true, Relaxed);
        Ok(eal)
    }

    pub(super) fn open(&self, port: &Port, devargs: &str, workers: usize) -> Result<(dpdk::Port, Queues), String> {
        let eal = self.start()?;
        let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", port.name);
        let workers = u16::try_from(workers).unwrap_or(u16::MAX);
        let config = PortConfig {
            rx_queues: port.n_rxq.unwrap_or(1),
            tx_queues: workers,
            rx_descriptors: port.n_rxq_desc.unwrap_or(2048),
            tx_descriptors: port.n_txq_desc.unwrap_or(2048),
            mtu: port.mtu_request.unwrap_or(1500),
            ..PortConfig::default()
        };
        let device = dpdk::Port::attach(&eal, devargs).map_err(|e| fail(&e))?;
        let pool = self.pool(&eal, &config, u32::from(workers)).map_err(|e| fail(&e))?;
        match device.start(&config, &pool) {
            Ok(q) => {
                let rx = q.rx.into_iter().map(|q| Box::new(q) as _).collect();
                let tx = q.tx.into_iter().map(|q| Box::new(q) as _).collect();
                Ok((device, Queues { rx, tx }))
            }
            Err(e) => {
                let message = fail(&e);
                if let Err((_, e)) = device.detach() {
                    log::warn!(target: "dpdk", "{}: not detached: {e}", port.name);
                }
                Err(message)
            }
        }
    }

    /// The pool for ports of this MTU, made when there is none.
    pub(super) fn pool(&self, eal: &Eal, config: &PortConfig, workers: u32) -> Result<Pool, String> {
        let demand = PoolDemand {
            rx_queues: u32::from(config.rx_queues),
            rx_descriptors: u32::from(config.rx_descriptors),
            tx_queues: u32::from(config.tx_queues),
            tx_descriptors: u32::from(config.tx_descriptors),
            workers: workers + 2,
            parked: 4096,
        };
        let mut wanted = PoolConfig::for_demand(&demand, config.mtu, None);
        let _one = locked(&self.making);
        if let Some(pool) = locked(&self.made).pools.iter().find(|p| p.data_room() == wanted.data_room()) {
            return Ok(pool.clone());
        }
        // as many as fit into half of the memory, at most SHARED: a pool serves all ports of its MTU
        let bytes = u64::from(self.config.socket_mem) << 20;
        let fit = u32::try_from(bytes / 2 / (u64::from(wanted.data_room()) + 192)).unwrap_or(SHARED);
        wanted.frames = wanted.frames.max(fit.min(SHARED));
        let pool = Pool::create(eal, &wanted).map_err(|e| e.to_string())?;
        locked(&self.made).pools.push(pool.clone());
        Ok(pool)
    }

    pub(super) fn pools(&self) -> HashMap<String, (u32, u32)> {
        locked(&self.made).pools.iter().map(|p| (p.name().to_owned(), (p.in_use(), p.frames()))).collect()
    }

    /// Frees what could not be freed while frames were out.
    pub(super) fn sweep(&self) {
        if let Some(eal) = self.running() {
            eal.sweep();
        }
    }
}
