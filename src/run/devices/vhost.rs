//! vhost-user ports as management holds them: from configuration to socket, and what is shown of them.

use std::path::PathBuf;

use datapath::Queues;
use dpdk::vhost::{Side, VhostStatus};
use dpdk::{PortConfig, Vhost, VhostConfig};

use super::dpdk_side;
use crate::config::{Config, Dpdk, InterfaceType, Port};
use crate::http::metrics::Scrape;

/// Retries of a burst that went in part, where the port does not say (options:tx-retries-max).
const RETRIES: u8 = 8;

/// Makes ports.
pub(super) struct Maker {
    config: Dpdk,
    folder: PathBuf,
}

impl Maker {
    pub(super) fn new(config: &Config) -> Maker {
        Maker { config: config.dpdk.clone(), folder: config.switch.run_dir.join(&config.dpdk.vhost_sock_dir) }
    }

    /// One receive and one transmit queue for each worker, unless the port asks for more receive queues: they share the
    /// guest's rings out.
    pub(super) fn open(&self, dpdk: &dpdk_side::Side, port: &Port, workers: u16) -> Result<(Vhost, Queues), String> {
        let eal = dpdk.start()?;
        let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", port.name);
        let (side, path) = match port.interface_type {
            InterfaceType::Dpdkvhostuserclient => {
                (Side::Client, port.options.get("vhost-server-path").map(PathBuf::from).unwrap_or_default())
            }
            _ => (Side::Server, self.folder.join(&port.name)),
        };
        let mtu = port.mtu_request.unwrap_or(1500);
        let config = VhostConfig {
            path,
            side,
            rx_queues: port.n_rxq.unwrap_or(workers).max(1),
            tx_queues: workers,
            mtu,
            tso: self.config.userspace_tso_enable,
            iommu: self.config.vhost_iommu_support,
            postcopy: self.config.vhost_postcopy_support,
            retries: port.options.get("tx-retries-max").and_then(|n| n.parse().ok()).unwrap_or(RETRIES),
        };
        let like = PortConfig { mtu, rx_queues: config.rx_queues, tx_queues: workers, ..PortConfig::default() };
        let pool = dpdk.pool(&eal, &like, u32::from(workers)).map_err(|e| fail(&e))?;
        let (vhost, queues) = Vhost::open(&eal, &config, &pool).map_err(|e| fail(&e))?;
        let rx = queues.rx.into_iter().map(|q| Box::new(q) as _).collect();
        let tx = queues.tx.into_iter().map(|q| Box::new(q) as _).collect();
        Ok((vhost, Queues { rx, tx }))
    }
}

/// A port's guest and its rings in a scrape.
pub(super) fn metrics(vhost: &Vhost, port: &str, s: &mut Scrape) {
    let labels = [("port", port)];
    let status = vhost.status();
    s.gauge(
        "ironbridge_vhost_up",
        "Whether a guest's driver uses the port.",
        &labels,
        f64::from(u8::from(vhost.is_up())),
    );
    s.counter("ironbridge_vhost_connections_total", "Connections made.", &labels, status.connections);
    s.counter("ironbridge_vhost_refused_total", "Connections refused, as there was one.", &labels, status.refused);
    s.counter("ironbridge_vhost_holes_total", "Pages that guests took away.", &labels, status.holes);
    let help = "Packets sent while the guest had no ring on.";
    s.counter("ironbridge_vhost_no_ring_total", help, &labels, vhost.unrouted());
    for ring in vhost.rings() {
        let pair = ring.pair.to_string();
        let labels = [("port", port), ("pair", pair.as_str())];
        if !ring.to_guest {
            s.counter("ironbridge_vhost_rx_packets_total", "Packets of the guest by ring pair.", &labels, ring.packets);
            s.counter("ironbridge_vhost_rx_bytes_total", "Bytes of the guest by ring pair.", &labels, ring.bytes);
            continue;
        }
        for (name, help, n) in [
            ("ironbridge_vhost_tx_packets_total", "Packets to the guest by ring pair.", ring.packets),
            ("ironbridge_vhost_tx_bytes_total", "Bytes to the guest by ring pair.", ring.bytes),
            ("ironbridge_vhost_overruns_total", "Packets that the guest's ring had no room for.", ring.full),
            ("ironbridge_vhost_retries_total", "Attempts to send the rest of a burst.", ring.retries),
            ("ironbridge_vhost_tx_errors_total", "Packets that could not be made what the guest takes.", ring.errors),
        ] {
            s.counter(name, help, &labels, n);
        }
    }
}

/// What can be said of a port's guest, a line each.
pub(super) fn describe(vhost: &Vhost) -> String {
    let VhostStatus { path, side, connected, guest, features, node, pairs, connections, refused, broken, holes } =
        vhost.status();
    let state = match (connected, guest) {
        _ if broken => "broken: the guest took memory away that it had shared",
        (_, Some(_)) => "up",
        (true, None) => "connected, its driver has not started",
        (false, None) => "disconnected",
    };
    let mut out = format!("  {} {}: {state}\n", side.name(), path.display());
    out.push_str(&format!("  connections: {connections}, refused: {refused}, pages taken away: {holes}\n"));
    if guest.is_some() {
        let node = node.map(|n| format!(", memory node {n}")).unwrap_or_default();
        out.push_str(&format!("  features: {features:#x}{node}, ring pairs: {pairs}\n"));
    }
    for ring in vhost.rings() {
        let (pair, packets, bytes) = (ring.pair, ring.packets, ring.bytes);
        let state = if ring.enabled { "" } else { " (off)" };
        if ring.to_guest {
            let (full, retries, errors) = (ring.full, ring.retries, ring.errors);
            out.push_str(&format!(
                "  tx {pair}{state}: packets {packets}, bytes {bytes}, overruns {full}, retries {retries}, errors {errors}\n"
            ));
        } else {
            out.push_str(&format!("  rx {pair}{state}: packets {packets}, bytes {bytes}\n"));
        }
    }
    out.push_str(&format!("  sent while no ring was on: {}\n", vhost.unrouted()));
    out
}
