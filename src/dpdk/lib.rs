//! Safe wrappers over DPDK: EAL, pools, ports, queues, statistics. Level 2.
//!
//! Bottom up: [`eal`] starts DPDK once per process, on a thread of its own; [`lcore`] makes a thread one of DPDK's,
//! which gives it the fast caches of pools; [`pool`] is where frames come from; `mbuf` ties DPDK's `struct rte_mbuf`
//! to [`packet::Frame`]; [`port`] attaches, configures and starts Ethernet devices and hands out their queues, which
//! implement [`packet::device`]; [`vdev`] writes the devargs of virtual devices; [`vhost`] is virtual machines' cards.
//!
//! Who keeps what alive: a queue keeps its port, a port its pool, all of them the EAL. A port cannot be stopped while
//! somebody holds one of its queues. A pool that is let go while frames of it are still about is set aside and freed
//! when they are back. Dropping the last holder of the EAL shuts DPDK down; there is no second start in a process.
#![warn(missing_docs)]

pub mod eal;
#[expect(unsafe_code, reason = "reads DPDK's per-thread error number")]
pub mod errno;
#[expect(unsafe_code, reason = "registers threads with DPDK")]
pub mod lcore;
mod logging;
#[expect(unsafe_code, reason = "frames of pools, and the layout shared with DPDK")]
mod mbuf;
#[expect(unsafe_code, reason = "owns mempools")]
pub mod pool;
pub mod port;
pub mod vdev;
pub mod vhost;

pub use eal::{Eal, EalConfig, EalError, Huge};
pub use errno::Errno;
pub use lcore::LcoreGuard;
pub use pool::{Pool, PoolConfig, PoolDemand, PoolError};
pub use port::{Port, PortConfig, PortError, PortInfo, RxQueue, TxQueue};
pub use vhost::{Vhost, VhostConfig, VhostError, VhostStatus};

/// The release that runs, like `DPDK 22.11.11`.
pub fn version() -> String {
    errno::dpdk_version()
}
