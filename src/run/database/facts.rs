//! What is told of ports and bridges: links, addresses, counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::clock::Instant;
use bridge::{Bridge, Port, status};
use openflow::OfPort;

use super::Database;
use super::link::Facts;
use crate::config::InterfaceType;
use crate::run::devices::Device;
use crate::run::switch::{PortEntry, Switch};

impl Switch {
    /// A bridge's address: what other_config:hwaddr says, else the lowest of its ports' that are not made by the switch, else
    /// one of its own that stays ([`Bridge::mac`]).
    pub(super) fn bridge_mac(&self, bridge: &Bridge) -> [u8; 6] {
        let of_bridge = self.ports.values().filter(|p| p.bridge == bridge.name);
        let real = of_bridge.filter(|p| {
            matches!(
                p.kind,
                InterfaceType::Afpacket | InterfaceType::Dpdk | InterfaceType::Dummy | InterfaceType::DummyPmd
            )
        });
        let lowest = || real.filter_map(|p| self.mac_of(&p.device)).filter(|m| m[0] & 1 == 0 && *m != [0; 6]).min();
        bridge.hwaddr.or_else(lowest).unwrap_or_else(|| bridge.mac())
    }

    /// What OpenFlow knows the bridge by: what other_config:datapath-id says, else its address.
    pub(super) fn datapath_id(&self, bridge: &Bridge) -> u64 {
        let of_mac = || self.bridge_mac(bridge).iter().fold(0, |id, b| id << 8 | u64::from(*b));
        bridge.datapath_id.unwrap_or_else(of_mac)
    }

    /// Hands over what changed since the last time.
    pub(super) fn report(&mut self, database: &mut Database, now: Instant) {
        let Some((root, _)) = database.reading.root else { return };
        let _ = root;
        let with_statistics = now >= database.statistics;
        if with_statistics {
            database.statistics = now + database.interval;
        }
        let mut facts = Facts {
            done: database.done,
            switch: super::start::constants(self.opener.dpdk_version(), self.opener.dpdk_runs()),
            ..Facts::default()
        };
        let by_name: BTreeMap<&str, (dpif::PortNo, &PortEntry)> =
            self.ports.iter().map(|(no, p)| (p.name.as_str(), (*no, p))).collect();
        for bridge in database.reading.desired.bridges.values() {
            facts.bridges.insert(bridge.uuid, self.datapath_id(bridge));
            for port in bridge.ports.values().filter(|p| !p.uuid.is_zero()) {
                let state = database.ports.entry(port.name.clone()).or_default();
                let entry = by_name.get(port.name.as_str()).filter(|(_, e)| e.bridge == bridge.name);
                let mut is = match entry {
                    Some((no, entry)) if state.error.is_none() || state.adding.is_some() => {
                        let mut is = self.interface(entry, port);
                        if with_statistics {
                            is.statistics = Some(self.statistics(*no, entry));
                        } else {
                            let before = database.sent.interfaces.get(&port.uuid);
                            is.statistics = before.and_then(|b| b.statistics.clone());
                        }
                        is
                    }
                    _ => status::Interface::default(),
                };
                if is.link_up.is_some() && state.up.is_some() && is.link_up != state.up {
                    state.resets += 1;
                }
                state.up = is.link_up.or(state.up);
                is.link_resets = is.link_up.map(|_| state.resets);
                if let Some(e) = state.error.as_ref().filter(|_| state.adding.is_none()) {
                    (is.error, is.ofport) = (Some(e.clone()), Some(-1));
                }
                // those that are as they were are the same value, so that nobody compares them again
                let before = database.sent.interfaces.get(&port.uuid).filter(|before| ***before == is);
                facts.interfaces.insert(port.uuid, before.cloned().unwrap_or_else(|| Arc::new(is)));
            }
        }
        for (uuid, why) in &database.reading.refused {
            let (ofport, error) = (Some(-1), Some(why.clone()));
            let is = status::Interface { ofport, error, ..status::Interface::default() };
            let before = database.sent.interfaces.get(uuid).filter(|before| ***before == is);
            facts.interfaces.insert(*uuid, before.cloned().unwrap_or_else(|| Arc::new(is)));
        }
        facts.controllers = self.openflow.controllers(now, with_statistics).into_iter().collect();
        if facts != database.sent {
            database.sent = facts.clone();
            database.link.say(facts);
        }
    }

    fn interface(&self, entry: &PortEntry, port: &Port) -> status::Interface {
        let device = &entry.device;
        let number = if entry.number == OfPort::LOCAL { bridge::desired::LOCAL } else { entry.number.0 };
        let patch = entry.kind == InterfaceType::Patch;
        let link = device.link();
        let mut is = status::Interface {
            ofport: Some(i64::from(number)),
            mac_in_use: self
                .mac_of(device)
                .or_else(|| Some(port.mac.unwrap_or_else(|| bridge::desired::mac_of(port.uuid)))),
            ifindex: self.ifindex_of(device).map(i64::from),
            admin_up: Some(self.is_admin_up(device)),
            link_up: Some(self.state_of(device) == "up"),
            link_speed: link.and_then(|(speed, _)| speed),
            full_duplex: link.map(|(_, full)| full),
            mtu: self.mtu_of(device).map(i64::from),
            status: device.describe(),
            ..status::Interface::default()
        };
        if patch {
            let snapshot = self.manager.snapshot();
            let own = snapshot.bridge_named(&entry.bridge).and_then(|b| b.port_named(&entry.name));
            if own.is_some_and(|p| p.peer.is_none()) {
                let peer = port.options.get("peer").map_or("", String::as_str);
                is.error = Some(format!("no usable peer '{peer}' exists in 'ironbridge' datapath."));
                is.link_up = Some(false);
            }
        }
        is
    }

    fn statistics(&self, no: dpif::PortNo, entry: &PortEntry) -> BTreeMap<&'static str, i64> {
        let device = entry.device.stats();
        let Some(f) = self.control.port_figures(no) else { return BTreeMap::new() };
        let figures = [
            ("rx_packets", f.fates.received),
            ("rx_bytes", f.fates.received_bytes),
            ("rx_dropped", device.rx_dropped),
            ("rx_errors", device.rx_errors),
            ("tx_packets", f.tx_packets),
            ("tx_bytes", f.tx_bytes),
            ("tx_dropped", f.tx_dropped),
            ("tx_errors", f.tx_errors + device.tx_errors),
        ];
        figures.into_iter().map(|(name, n)| (name, i64::try_from(n).unwrap_or(i64::MAX))).collect()
    }
}

impl Device {
    /// Bits per second, where known, and whether both directions go at a time.
    fn link(&self) -> Option<(Option<i64>, bool)> {
        match self {
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) => {
                let link = port.link();
                Some((link.speed.map(|mbps| i64::from(mbps) * 1_000_000), link.full_duplex)).filter(|_| link.up)
            }
            _ => None,
        }
    }

    /// Interface:status.
    fn describe(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let mut say = |key: &str, value: String| drop(out.insert(key.to_owned(), value));
        match self {
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) => {
                let info = port.info();
                say("driver_name", info.driver);
                say("port_no", info.id.to_string());
                say("numa_id", info.node.unwrap_or(0).to_string());
                say("max_rx_queues", info.max_rx_queues.to_string());
                say("max_tx_queues", info.max_tx_queues.to_string());
                say("n_rxq", info.rx_queues.to_string());
                say("n_txq", info.tx_queues.to_string());
            }
            #[cfg(feature = "dpdk")]
            Device::Vhost(vhost) => {
                let is = vhost.status();
                let connected = if is.connected { "connected" } else { "disconnected" };
                say("mode", is.side.name().to_owned());
                say("socket", is.path.display().to_string());
                say("status", connected.to_owned());
                say("num_of_vrings", (2 * u32::from(is.pairs)).to_string());
            }
            Device::Kernel { .. } => say("driver_name", "kernel".into()),
            _ => {}
        }
        out
    }
}
