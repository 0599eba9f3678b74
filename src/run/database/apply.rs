//! Steps of a plan as operations of the switch.

use std::collections::BTreeMap;

use bridge::desired::Mirror;
use bridge::{Bridge, Port, Step, Vlan};
use openflow::flow_mod::Command;
use openflow::{Action, FlowMod, OfPort};
use pipeline::{MirrorTo, Selected, Settings, TableConfig, Trunks};

use super::link::Order;
use super::{Database, PortState};
use crate::config::{self, Dummy, FailMode, InterfaceType, VlanMode};
use crate::control::Call;
use crate::run::devices::Device;
use crate::run::dummy;
use crate::run::openflow::OpenFlow;
use crate::run::queues::pins;
use crate::run::switch::{PortEntry, Switch, bridge_settings, own_port, vlan};

/// What is behind a port of a type, and the type's name for display, where it is another one's.
fn interface_type(kind: &str, dummy: Option<&Dummy>, in_memory: bool) -> Option<(InterfaceType, Option<String>)> {
    let kind = if kind.is_empty() { "system" } else { kind };
    if let Some(dummy) = dummy {
        match kind {
            "internal" if in_memory => return Some((InterfaceType::DummyInternal, None)),
            "dummy-internal" => return Some((InterfaceType::DummyInternal, None)),
            "dummy-pmd" => return Some((InterfaceType::DummyPmd, None)),
            _ if dummy.replaces(kind) => return Some((InterfaceType::Dummy, Some(kind.to_owned()))),
            _ => {}
        }
    }
    let kind = match kind {
        "system" => InterfaceType::Afpacket,
        "internal" | "tap" => InterfaceType::Tap,
        "dpdk" => InterfaceType::Dpdk,
        "dpdkvhostuser" => InterfaceType::Dpdkvhostuser,
        "dpdkvhostuserclient" => InterfaceType::Dpdkvhostuserclient,
        "patch" => InterfaceType::Patch,
        "dummy" => InterfaceType::Dummy,
        _ => return None,
    };
    Some((kind, None))
}

/// The port as the operations of the switch take it.
///
/// # Errors
/// What of it cannot be.
fn port_config(port: &Port, dummy: Option<&Dummy>, in_memory: bool) -> Result<config::Port, String> {
    let Some((interface_type, shown)) = interface_type(&port.kind, dummy, in_memory) else {
        return Err(format!("{}: type \"{}\" is not supported", port.name, port.kind));
    };
    let wanted: &[&str] = match interface_type {
        InterfaceType::Dpdk => &["dpdk-devargs"],
        InterfaceType::Dpdkvhostuserclient => &["vhost-server-path", "tx-retries-max"],
        InterfaceType::Dpdkvhostuser => &["tx-retries-max"],
        InterfaceType::Patch => &["peer"],
        kind if kind.is_dummy() => &config::DUMMY_OPTIONS,
        _ => &[],
    };
    let mut out = config::Port {
        name: port.name.clone(),
        interface_type,
        shown,
        left_down: true,
        ofport_request: u16::try_from(port.number).ok().filter(|_| port.number != bridge::desired::LOCAL),
        ..own_port(&port.name)
    };
    for (key, value) in &port.options {
        let number = |least: u16| {
            let n = value.parse::<u16>().ok().filter(|n| *n >= least);
            n.ok_or_else(|| format!("{}: options:{key} is \"{value}\", expected a number", port.name))
        };
        match key.as_str() {
            "n_rxq" => out.n_rxq = Some(number(1)?),
            "n_rxq_desc" => out.n_rxq_desc = Some(number(1)?),
            "n_txq_desc" => out.n_txq_desc = Some(number(1)?),
            key if wanted.contains(&key) => drop(out.options.insert(key.to_owned(), value.clone())),
            // named among what is unsupported
            _ => {}
        }
    }
    if let Some(mtu) = port.mtu_request {
        let fits = u16::try_from(mtu);
        out.mtu_request = Some(fits.map_err(|_| format!("{}: mtu_request {mtu} is too large", port.name))?);
    }
    if let Some(pins) = port.other_config.get("pmd-rxq-affinity") {
        out.other_config.insert("pmd-rxq-affinity".into(), pins.clone());
    }
    set_vlan(&mut out, &port.vlan);
    config::check_port(&out).map_err(|e| format!("{}: {e}", port.name))?;
    Ok(out)
}

fn set_vlan(port: &mut config::Port, vlan: &Vlan) {
    port.vlan_mode = match vlan.mode.as_deref() {
        // an access port without a tag is what a port without either is
        Some("access") if vlan.tag.is_some() => Some(VlanMode::Access),
        Some("trunk") => Some(VlanMode::Trunk),
        Some("native-tagged") => Some(VlanMode::NativeTagged),
        Some("native-untagged") => Some(VlanMode::NativeUntagged),
        Some("dot1q-tunnel") => Some(VlanMode::Dot1qTunnel),
        _ => None,
    };
    (port.tag, port.trunks, port.cvlans) = (vlan.tag, vlan.trunks.clone(), vlan.cvlans.clone());
    port.other_config.extend(vlan.other_config.clone());
}

fn mirror(mirror: &Mirror) -> pipeline::Mirror {
    let selected = |names: &[String]| if mirror.all { Selected::All } else { Selected::Named(names.to_vec()) };
    // a port comes before a VLAN, where somebody named both
    let to = match (&mirror.to_port, mirror.to_vlan) {
        (Some(port), _) => MirrorTo::Port(port.clone()),
        (None, vlan) => MirrorTo::Vlan(vlan.unwrap_or_default()),
    };
    pipeline::Mirror {
        name: mirror.name.clone(),
        sources: selected(&mirror.sources),
        destinations: selected(&mirror.destinations),
        vlans: Some(&mirror.vlans).filter(|v| !v.is_empty()).map(|v| Trunks::new(v)),
        to,
        snaplen: mirror.snaplen,
    }
}

/// Settings of a bridge as far as they can be; the others are said to be wrong.
fn settings(bridge: &Bridge) -> Settings {
    let mut map = bridge.other_config.clone();
    // forced into a range, ovs-vswitchd.conf.db(5)
    for (key, least, most) in [("mac-aging-time", 15, 3600), ("mac-table-size", 10, 1_000_000)] {
        if let Some(value) = map.get_mut(key)
            && let Ok(n) = value.parse::<u64>()
            && n != 0
        {
            *value = n.clamp(least, most).to_string();
        }
    }
    map.retain(|key, value| match config::check_bridge_setting(key, value) {
        Ok(known) => known,
        Err(e) => {
            log::warn!(target: "bridge", "bridge {}: other_config:{e}", bridge.name);
            false
        }
    });
    let flood_vlans = Some(&bridge.flood_vlans).filter(|v| !v.is_empty()).map(|v| Trunks::new(v));
    let mirrors = bridge.mirrors.iter().map(mirror).collect();
    Settings { flood_vlans, mirrors, ..bridge_settings(&map) }
}

/// Tables of a bridge; fields that are none are passed over.
fn tables(bridge: &Bridge) -> BTreeMap<u8, TableConfig> {
    let fields = |texts: &[String]| texts.iter().filter_map(|text| openflow::text::field::parse(text).ok()).collect();
    let one = |table: &bridge::desired::Table| TableConfig {
        name: table.name.as_deref().map(Into::into),
        limit: table.flow_limit,
        evicts: table.evicts,
        groups: fields(&table.groups),
    };
    bridge.tables.iter().map(|(number, table)| (*number, one(table))).collect()
}

impl Switch {
    /// Carries an order out, as far as that can be begun.
    pub(super) fn carry_out(&mut self, database: &mut Database, order: Order) {
        // what could not be had is tried again
        for (name, state) in &mut database.ports {
            if state.error.is_some() && state.adding.is_none() {
                for bridge in database.now.bridges.values_mut() {
                    bridge.ports.remove(name);
                }
            }
        }
        self.reconfigured += 1;
        let steps = bridge::plan(&database.now, &order.reading.desired);
        (database.reading, database.unsupported) = (order.reading, order.unsupported);
        (database.done, database.version) = (None, None);
        for step in steps {
            self.step(database, &step);
            database.now.apply(&step);
        }
        let wanted = &database.now.bridges;
        database.ports.retain(|name, _| wanted.values().any(|b| b.ports.contains_key(name)));
    }

    fn step(&mut self, database: &mut Database, step: &Step) {
        match step {
            Step::DelPort { name, .. } => {
                let state = database.ports.remove(name).unwrap_or_default();
                if state.error.is_none() || state.adding.is_some() {
                    let (call, answer) = Call::own("port/del");
                    self.del_port(name, call);
                    database.removing.push(answer);
                }
            }
            Step::DelBridge { name } => {
                self.dummy_bridges.remove(name);
                database.ids.remove(name);
                self.openflow.forget(name);
                self.fdb_cleared.remove(name);
                if let Err(e) = self.manager.del_bridge(name) {
                    log::warn!(target: "bridge", "bridge {name}: {e}");
                }
            }
            Step::AddBridge(bridge) => self.make_bridge(database, bridge),
            Step::SetBridge { from, to } => {
                let set = self.manager.set_settings(&to.name, settings(to));
                if let Err(e) = set.and_then(|()| self.manager.set_tables(&to.name, &tables(to))) {
                    log::warn!(target: "bridge", "bridge {}: {e}", to.name);
                }
                self.openflow.configure(to, self.clock.now());
                // controllers take over from the bridge's own flows, and give back
                let (before, after) = (OpenFlow::has_primary(from), OpenFlow::has_primary(to));
                if from.secure != to.secure && !after {
                    self.empty(&to.name);
                } else if before != after {
                    self.flush_flows(&to.name);
                }
                if !to.secure && !after && (from.secure || before) {
                    self.learn_by_itself(&to.name);
                }
            }
            Step::SetVlan { bridge, name, vlan: wanted } => {
                let mut config = own_port(name);
                set_vlan(&mut config, wanted);
                let wanted = vlan(&config);
                // one that is not there gets it when it comes
                let _ = self.manager.modify_port(bridge, name, |port| port.vlan = wanted);
            }
            Step::SetMac { bridge, name, mac } => {
                let _ = bridge;
                if let Some(mac) = *mac {
                    self.set_mac(name, mac);
                }
            }
            Step::SetPort { bridge, port } => self.set_port(bridge, port),
            Step::AddPort { bridge, port } => {
                let before = database.ports.remove(&port.name).and_then(|s| s.error);
                let state = self.add_wanted(bridge, port);
                let fresh = state.error.as_ref().filter(|e| before.as_ref() != Some(*e));
                if let Some(e) = fresh {
                    log::warn!(target: "bridge", "could not add interface {}: {e}", port.name);
                }
                // kept while it is tried again, so that the same error is not said again
                let error = state.error.or(before.filter(|_| state.adding.is_some()));
                database.ports.insert(port.name.clone(), PortState { error, ..state });
            }
            Step::Tls(wanted) => {
                // without a row, what the configuration says of the database stays
                if let Some(wanted) = wanted.clone() {
                    programs::tls::configure(programs::tls::Settings {
                        private_key: wanted.private_key,
                        certificate: wanted.certificate,
                        ca_cert: wanted.ca_cert,
                        bootstrap: wanted.bootstrap,
                        ..programs::tls::Settings::default()
                    });
                }
            }
            Step::Settings(map) => {
                let running = self.config.running(map);
                for wrong in &running.wrong {
                    log::warn!(target: "bridge", "{wrong}");
                }
                for bent in &running.bent {
                    log::info!(target: "bridge", "{bent}");
                }
                database.interval = std::time::Duration::from_millis(running.stats_interval);
                database.statistics = database.statistics.min(self.clock.now() + database.interval);
                self.run_with(running);
            }
        }
    }

    fn add_wanted(&mut self, bridge: &str, port: &Port) -> PortState {
        let failed = |error: String| PortState { error: Some(error), ..PortState::default() };
        let in_memory = self.dummy_bridges.contains(bridge);
        let config = match port_config(port, self.config.dummy.as_ref(), in_memory) {
            Ok(config) => config,
            Err(e) => return failed(e),
        };
        if config.interface_type == InterfaceType::DummyPmd
            && let Err(e) = self.poll_something()
        {
            return failed(e);
        }
        let (call, answer) = Call::own("port/add");
        let number = (port.number == bridge::desired::LOCAL).then_some(OfPort::LOCAL);
        self.add_port_as(bridge, config, number, call);
        PortState { adding: Some(answer), ..PortState::default() }
    }

    fn make_bridge(&mut self, database: &Database, bridge: &Bridge) {
        let kind = bridge.datapath_type.as_str();
        if self.config.dummy.as_ref().is_some_and(|d| d.has_datapath(kind)) {
            self.dummy_bridges.insert(bridge.name.clone());
        } else if kind == "dummy" {
            let only = "taken as \"netdev\", there being no other one without --enable-dummy";
            log::warn!(target: "bridge", "bridge {}: datapath_type \"dummy\": {only}", bridge.name);
        }
        let file = database.files.iter().find(|b| b.name == bridge.name);
        let config = config::Bridge {
            name: bridge.name.clone(),
            fail_mode: if bridge.secure || OpenFlow::has_primary(bridge) {
                FailMode::Secure
            } else {
                FailMode::Standalone
            },
            other_config: Default::default(),
            local: false,
            flows: file.and_then(|f| f.flows.clone()),
            groups: file.and_then(|f| f.groups.clone()),
            ports: Vec::new(),
        };
        let made = self.add_bridge(&config).map_err(|e| e.to_string());
        let made = made.and_then(|()| {
            let set = self.manager.set_settings(&bridge.name, settings(bridge));
            let set = set.and_then(|()| self.manager.set_tables(&bridge.name, &tables(bridge)));
            set.map_err(|e| e.to_string())
        });
        match made {
            Ok(()) => {
                self.openflow.configure(bridge, self.clock.now());
                self.announce();
            }
            Err(e) => log::warn!(target: "bridge", "bridge {}: {e}", bridge.name),
        }
    }

    /// Takes a bridge's flows and groups away.
    fn empty(&mut self, bridge: &str) {
        self.flush_flows(bridge);
        if let Err(e) = self.manager.delete_all_groups(bridge) {
            log::warn!(target: "bridge", "bridge {bridge}: {e}");
        }
    }

    /// Takes a bridge's flows away.
    pub(in crate::run) fn flush_flows(&mut self, bridge: &str) {
        self.change_flows(bridge, &FlowMod { command: Command::Delete, ..FlowMod::default() });
    }

    /// Has a bridge without controllers learn, in a flow that anybody may change.
    fn learn_by_itself(&mut self, bridge: &str) {
        let normal = vec![Action::Output { port: OfPort::NORMAL, max_len: 0 }];
        self.change_flows(bridge, &FlowMod { priority: 0, actions: normal, ..FlowMod::default() });
    }

    fn change_flows(&mut self, bridge: &str, change: &FlowMod) {
        if let Err(e) = self.manager.flow_mod(bridge, change, self.clock.now()) {
            log::warn!(target: "bridge", "bridge {bridge}: {e}");
        }
    }

    /// Sets the address of a kernel's interface or of a port in memory.
    pub(super) fn set_mac(&mut self, name: &str, mac: [u8; 6]) {
        let entry = self.ports.values().find(|p| p.name == name);
        if let Some(Device::Dummy(device)) = entry.map(|e| &e.device) {
            return device.set_mac(mac);
        }
        let Some(line) = entry.filter(|e| e.kind == InterfaceType::Tap).and_then(|e| e.line.clone()) else { return };
        let interface = name.to_owned();
        self.jobs.run(
            &line,
            move || netdev::link::set_mac(&interface, mac).map_err(|e| e.to_string()),
            |_, done| {
                if let Err(e) = done.and_then(|d| d) {
                    log::warn!(target: "bridge", "{e}");
                }
            },
        );
    }

    /// Gives a port that is there another MTU and other pins.
    fn set_port(&mut self, bridge: &str, port: &Port) {
        let config = port_config(port, self.config.dummy.as_ref(), self.dummy_bridges.contains(bridge));
        let Ok(config) = config.inspect_err(|e| log::warn!(target: "bridge", "{e}")) else { return };
        let Some(entry) = self.ports.values_mut().find(|p| p.name == port.name) else { return };
        entry.pins = pins(&config);
        if let Device::Dummy(device) = &entry.device {
            device.set_mtu(config.mtu_request.unwrap_or(dummy::MTU));
        }
        let kernel = matches!(entry.kind, InterfaceType::Tap | InterfaceType::Afpacket);
        if let Some(line) = entry.line.clone().filter(|_| kernel) {
            // without a wish, a tap device goes back to what it was made with
            let back = (entry.kind == InterfaceType::Tap).then_some(1500);
            if let Some(mtu) = config.mtu_request.or(back) {
                let name = port.name.clone();
                self.jobs.run(
                    &line,
                    move || match netdev::link::mtu(&name) {
                        Ok(now) if now == u32::from(mtu) => Ok(()),
                        _ => netdev::link::set_mtu(&name, u32::from(mtu)).map_err(|e| e.to_string()),
                    },
                    |_, done| {
                        if let Err(e) = done.and_then(|d| d) {
                            log::warn!(target: "bridge", "{e}");
                        }
                    },
                );
            }
        }
        self.assign();
    }

    /// Puts settings into effect.
    fn run_with(&mut self, running: config::Running) {
        let config::Running { datapath, flow_limit, max_idle, vlan_limit, bundle_idle, .. } = running;
        let limits = self.control.limits();
        let wanted =
            datapath::Limits { megaflows: flow_limit as usize, max_idle: u64::from(max_idle) * 1_000_000, ..limits };
        self.control.set_limits(wanted);
        if vlan_limit != self.vlan_limit {
            self.vlan_limit = vlan_limit;
            self.control.set_vlan_limit(vlan_limit);
            self.manager.set_vlan_limit(vlan_limit);
        }
        self.openflow.set_bundle_idle(bundle_idle);
        if let Err(e) = self.set_other_config(datapath) {
            log::warn!(target: "bridge", "Open_vSwitch: other_config: {e}");
        }
    }

    /// What is to be done when an order is carried out: addresses that depend on ports, files of flows.
    pub(super) fn settled(&mut self, database: &mut Database) {
        for bridge in std::mem::take(&mut database.files) {
            let there = self.manager.snapshot().bridge_named(&bridge.name).is_some();
            if let Err(e) = if there { self.load(&bridge) } else { Ok(()) } {
                log::error!(target: "bridge", "bridge {}: {e}", bridge.name);
            }
        }
        for bridge in database.now.bridges.values() {
            let own = bridge.ports.get(&bridge.name);
            let wanted = own.and_then(|p| p.mac).unwrap_or_else(|| self.bridge_mac(bridge));
            let others = bridge.ports.values().filter(|p| p.name != bridge.name);
            let others = others.filter_map(|p| p.mac.map(|mac| (p.name.as_str(), mac)));
            let wanted: BTreeMap<&str, [u8; 6]> = others.chain([(bridge.name.as_str(), wanted)]).collect();
            let differ = |p: &&PortEntry| {
                let wanted = wanted.get(p.name.as_str());
                wanted.is_some_and(|wanted| self.mac_of(&p.device).is_some_and(|now| now != *wanted))
            };
            let names: Vec<String> = self.ports.values().filter(differ).map(|p| p.name.clone()).collect();
            for name in names {
                self.set_mac(&name, wanted[name.as_str()]);
            }
            self.set_internal_mtus(bridge);
            let id = self.datapath_id(bridge);
            if database.ids.insert(bridge.name.clone(), id) != Some(id) {
                log::info!(target: "bridge", "bridge {}: using datapath ID {id:016x}", bridge.name);
            }
        }
    }

    /// Ports in memory that a bridge makes have the least MTU of its other ports, unless they ask for one.
    fn set_internal_mtus(&self, bridge: &Bridge) {
        let of_bridge = || self.ports.values().filter(|p| p.bridge == bridge.name);
        let others = of_bridge().filter(|p| p.kind != InterfaceType::DummyInternal && p.kind != InterfaceType::Tap);
        let least = others.filter_map(|p| self.mtu_of(&p.device)).filter_map(|mtu| u16::try_from(mtu).ok()).min();
        for entry in of_bridge() {
            let asks = bridge.ports.get(&entry.name).is_some_and(|p| p.mtu_request.is_some());
            match &entry.device {
                Device::Dummy(device) if entry.kind == InterfaceType::DummyInternal && !asks => {
                    device.set_mtu(least.unwrap_or(dummy::MTU));
                }
                _ => {}
            }
        }
    }
}
