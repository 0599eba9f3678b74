//! vhost-user ports, on DPDK's rte_vhost library: the switch's end of a virtual machine's network card.
//!
//! Read first: "vhost-user protocol" of QEMU's documentation, virtio 1.2 section 5.1, and the DPDK programmer's guide,
//! "Vhost Library".
//!
//! ```text
//! Vhost::open ──> registered socket, queues for workers        vhost's own thread (callbacks)
//!                    │                                            │
//!   RxQueue 0..n ────┤  takes from the rings the guest sends by   │ connection, guest ready, ring on or off,
//!   TxQueue 0..m ────┘  puts into those it receives by            │ guest gone
//!                    └──────────────── state ─────────────────────┘
//! ```
//!
//! **Rings and queues.** A guest has as many pairs of rings as it likes, and enables them as it likes; queues of the
//! switch are fixed when the port is made. Receive queue *i* of *n* serves pairs *i*, *i + n*, …; transmit queue *i*
//! sends to the *i*-th enabled pair, counted round. So nothing is redistributed when a guest comes, goes or changes.
//!
//! **Who may use a guest's memory.** Each ring has a gate: a lock that holds the guest's number while it is there. A
//! worker has it for a burst. A guest that goes is taken out of all gates, on vhost's thread, before its memory is
//! unmapped; so that thread waits for one burst of a worker and for nothing else.
//!
//! **Hostile guests.** Whatever is in rings and messages is checked by rte_vhost. What it does not check is contained
//! here: `peer` bounds how long a message may take that never ends; `fault` survives memory that a guest takes away.

#[expect(unsafe_code, reason = "reads rings that a guest writes")]
mod ahead;
#[expect(unsafe_code, reason = "functions that DPDK calls, and registration of sockets")]
mod callbacks;
#[expect(unsafe_code, reason = "handles a signal")]
mod fault;
#[expect(unsafe_code, reason = "looks at descriptors by number")]
mod peer;
#[expect(unsafe_code, reason = "moves frames between rings and bursts")]
mod queue;
mod state;

pub use queue::{RxQueue, TxQueue};
pub use state::RingStats;

use crate::{Eal, Pool};
use packet::device::{PortStats, TxCaps};
use state::State;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

/// The longest path of a socket (unix(7)).
const PATH_MAX: usize = 107;
/// Bytes around the payload that do not count to the MTU: Ethernet header, one VLAN tag.
const OVERHEAD: u32 = 18;

/// Who makes the socket and waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The switch connects, and connects again when the connection is lost.
    Client,
    /// The switch listens.
    Server,
}

/// What a vhost-user port is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostConfig {
    /// The socket.
    pub path: PathBuf,
    /// Who listens at it.
    pub side: Side,
    /// Receive queues to hand out.
    pub rx_queues: u16,
    /// Transmit queues to hand out.
    pub tx_queues: u16,
    /// Longest payload of layer 2, bytes.
    pub mtu: u16,
    /// Offer TCP segmentation to the guest, both ways.
    pub tso: bool,
    /// Let the guest's driver be behind an IOMMU.
    pub iommu: bool,
    /// Let the guest's memory arrive after it does (live migration).
    pub postcopy: bool,
    /// How often a burst that went in part is tried again.
    pub retries: u8,
}

/// Why there is no vhost-user port.
#[derive(Debug, thiserror::Error)]
pub enum VhostError {
    /// The path is none that a socket can have.
    #[error("socket {}: {reason}", path.display())]
    Path {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The library refused.
    #[error("socket {}: cannot {what}: {reason}", path.display())]
    Refused {
        /// As given.
        path: PathBuf,
        /// What was asked for.
        what: &'static str,
        /// What it logged.
        reason: String,
    },
}

/// What can be said of a port's guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostStatus {
    /// The socket.
    pub path: PathBuf,
    /// Who listens at it.
    pub side: Side,
    /// Somebody is at the other end.
    pub connected: bool,
    /// The guest's driver has started; its number in vhost.
    pub guest: Option<i32>,
    /// Feature bits that it negotiated (virtio 1.2 sections 5.1.3 and 6).
    pub features: u64,
    /// The memory node that it is on.
    pub node: Option<u32>,
    /// Ring pairs that it has spoken of.
    pub pairs: u16,
    /// Connections made so far.
    pub connections: u64,
    /// Connections refused, as there was one.
    pub refused: u64,
    /// The guest took memory away that it had shared: it is not served any more until it connects anew.
    pub broken: bool,
    /// Pages that guests took away so far.
    pub holes: u64,
}

/// A vhost-user port. Dropping it takes the socket away and ends the connection, for which it waits for vhost's thread:
/// not something for a thread that others wait for.
#[derive(Debug)]
pub struct Vhost {
    state: Arc<State>,
    config: VhostConfig,
    path: CString,
    _eal: Eal,
}

/// The queues of a port, for workers.
#[derive(Debug)]
pub struct VhostQueues {
    /// Where frames of the guest come from.
    pub rx: Vec<RxQueue>,
    /// Where frames to the guest go.
    pub tx: Vec<TxQueue>,
}

impl Vhost {
    /// Makes the socket, or starts to connect to it. `pool` is where frames of the guest are copied to.
    pub fn open(eal: &Eal, config: &VhostConfig, pool: &Pool) -> Result<(Vhost, VhostQueues), VhostError> {
        let wrong = |reason: &str| VhostError::Path { path: config.path.clone(), reason: reason.into() };
        let bytes = config.path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(wrong("the path is empty"));
        }
        if bytes.len() > PATH_MAX {
            return Err(wrong("the path is longer than 107 bytes"));
        }
        let path = CString::new(bytes).map_err(|_| wrong("the path has a NUL byte"))?;
        if config.side == Side::Server {
            clear(config)?;
        }
        let caps = TxCaps {
            ip_checksum: false,
            tcp_checksum: true,
            udp_checksum: true,
            sctp_checksum: false,
            tso: config.tso,
            multi_segment: true,
            max_frame: u32::from(config.mtu) + OVERHEAD,
        };
        fault::watch();
        let state = Arc::new(State::new(&config.path, config.tx_queues, caps, config.postcopy));
        callbacks::register(&state, &path, config)?;
        let rx = (0..config.rx_queues).map(|i| RxQueue::new(&state, i, config.rx_queues, pool)).collect();
        let tx = (0..config.tx_queues).map(|i| TxQueue::new(&state, i, config.retries, caps)).collect();
        Ok((Vhost { state, config: config.clone(), path, _eal: eal.clone() }, VhostQueues { rx, tx }))
    }

    /// Whether a guest is there whose driver has started.
    pub fn is_up(&self) -> bool {
        self.state.is_up()
    }

    /// Whether a guest is up that sends by one of the rings that a receive queue serves.
    pub fn receives(&self, queue: u32) -> bool {
        u16::try_from(queue).is_ok_and(|queue| self.state.receives(queue, self.config.rx_queues))
    }

    /// The MTU that it was made with.
    pub fn mtu(&self) -> u16 {
        self.config.mtu
    }

    /// What can be said of the guest.
    pub fn status(&self) -> VhostStatus {
        self.state.status(&self.config)
    }

    /// Counters of every ring that the guest has spoken of: by pair, what it sends first.
    pub fn rings(&self) -> Vec<RingStats> {
        self.state.rings()
    }

    /// Frames that could not be sent as the guest had no ring to receive them by, or was not there.
    pub fn unrouted(&self) -> u64 {
        self.state.unrouted()
    }

    /// Counters since it was opened. With `extended`, each ring's, by names of the kind that Open vSwitch uses.
    pub fn stats(&self, extended: bool) -> PortStats {
        let mut stats = PortStats::default();
        let (mut full, mut retries) = (0, 0);
        for ring in self.rings() {
            let direction = if ring.to_guest { "tx" } else { "rx" };
            let mut named = vec![("good_packets", ring.packets), ("good_bytes", ring.bytes)];
            if ring.to_guest {
                stats.tx_packets += ring.packets;
                stats.tx_bytes += ring.bytes;
                stats.tx_errors += ring.errors;
                full += ring.full;
                retries += ring.retries;
                named.extend([("overruns", ring.full), ("retries", ring.retries)]);
            } else {
                stats.rx_packets += ring.packets;
                stats.rx_bytes += ring.bytes;
            }
            if extended {
                let name = |what| format!("{direction}_q{}_{what}", ring.pair);
                stats.extended.extend(named.into_iter().map(|(what, n)| (name(what), n)));
            }
        }
        let unrouted = self.unrouted();
        stats.tx_dropped = full + unrouted;
        if extended {
            let sums = [("ovs_tx_failure_drops", full), ("tx_no_ring_drops", unrouted), ("ovs_tx_retries", retries)];
            stats.extended.extend(sums.into_iter().map(|(name, n)| (name.to_owned(), n)));
        }
        stats
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        callbacks::unregister(&self.state, &self.path);
        // rte_vhost takes away only the sockets that it bound
        if self.config.side == Side::Server {
            let _ = std::fs::remove_file(&self.config.path);
        }
    }
}

/// Takes away the socket that a process left which was killed: nobody listens at it.
fn clear(config: &VhostConfig) -> Result<(), VhostError> {
    let wrong = |reason: String| VhostError::Path { path: config.path.clone(), reason };
    match std::fs::symlink_metadata(&config.path) {
        Err(_) => Ok(()),
        Ok(found) if !found.file_type().is_socket() => Err(wrong("there is a file that is no socket".into())),
        Ok(_) if UnixStream::connect(&config.path).is_ok() => Err(wrong("another process listens there".into())),
        Ok(_) => std::fs::remove_file(&config.path).map_err(|e| wrong(e.to_string())),
    }
}
