//! Bridges and ports: add, change, remove, patches.

use std::sync::Arc;

use base::clock::Instant;
use dpif::{Change, PortNo, Thing};
use openflow::flow_mod::FlowMod;
use openflow::wire::switch::Fragments;
use openflow::{Action, OfPort};

use super::{BridgeConfig, Error, Manager};
use crate::normal::fdb::{Fdb, Learner};
use crate::snapshot::port::{PatchPeer, Port, PortConfig, PortKind};
use crate::snapshot::{Bridge, PortRef, Settings};

/// Highest datapath port number that is taken; it indexes an array.
const MAX_PORT: u32 = 65535;

impl Manager {
    /// Creates a bridge.
    pub fn add_bridge(&mut self, config: &BridgeConfig, now: Instant) -> Result<u32, Error> {
        if self.work.bridge_named(&config.name).is_some() {
            return Err(Error::BridgeExists(config.name.clone()));
        }
        let index = self.work.bridges.len() as u32;
        self.work.bridges.push(Some(Arc::new(Bridge {
            index,
            name: config.name.as_str().into(),
            datapath_id: config.datapath_id,
            ports: Arc::default(),
            tables: Vec::new(),
            groups: Arc::default(),
            meters: Arc::default(),
            fdb: Fdb::default(),
            settings: config.settings.clone(),
            misses_told: false,
            fragments: Fragments::default(),
            setups: Arc::default(),
            missed: (0..=u8::MAX).map(|_| Self::fresh_stats()).collect(),
        })));
        self.learners.push(Learner::default());
        self.changes.push(Change::Thing(Thing::Bridge(index)));
        if config.standalone {
            let normal = vec![Action::Output { port: OfPort::NORMAL, max_len: 0 }];
            self.flow_mod(&config.name, &FlowMod { priority: 0, actions: normal, ..FlowMod::default() }, now)?;
        }
        Ok(index)
    }

    /// Removes a bridge with its ports. Its datapath ports are free then.
    pub fn del_bridge(&mut self, name: &str) -> Result<(), Error> {
        let index = self.index_of(name)?;
        let ports = Arc::make_mut(&mut self.work.ports);
        for place in ports.iter_mut().filter(|p| p.is_some_and(|p| p.bridge == index)) {
            *place = None;
        }
        if let Some(bridge) = self.work.bridges.get_mut(index as usize) {
            let gone = bridge.take();
            gone.iter().flat_map(|b| b.meters.values()).for_each(|m| self.meters.free(m.meter.number()));
        }
        self.hidden.remove(&index);
        self.evictors.retain(|(bridge, _), _| *bridge != index);
        if let Some(learner) = self.learners.get_mut(index as usize) {
            self.gone = self.gone.plus(learner.events());
            *learner = Learner::default();
        }
        self.changes.push(Change::Everything);
        self.resolve_patches();
        Ok(())
    }

    /// Gives a bridge new settings.
    pub fn set_settings(&mut self, bridge: &str, settings: Settings) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        if let Some(bridge) = self.edit(index) {
            let aging = settings.mac_aging;
            let fdb = bridge.fdb.clone();
            bridge.settings = settings;
            if let Some(learner) = self.learners.get_mut(index as usize) {
                learner.rearm(&fdb, aging);
            }
            self.changes.push(Change::Everything);
        }
        Ok(())
    }

    /// Adds a port to a bridge.
    pub fn add_port(&mut self, bridge: &str, config: PortConfig) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        if self.work.bridges.iter().flatten().any(|b| b.port_named(&config.name).is_some()) {
            return Err(Error::PortExists(config.name));
        }
        let number = config.number;
        // ovs-vswitchd.conf.db(5), Interface, ofport_request: 1 to 65279
        let valid = number == OfPort::LOCAL || (1..0xff00).contains(&number.0);
        if !valid || self.work.bridge(index).is_some_and(|b| b.ports.contains_key(&number)) {
            return Err(Error::BadPortNumber(number));
        }
        if let PortKind::Device(device) = config.kind {
            if device.0 > MAX_PORT || self.work.port(device).is_some() {
                return Err(Error::DatapathPortInUse(device));
            }
            self.place(device, Some(PortRef { bridge: index, port: number }));
        }
        self.store_port(index, Port::from_config(config));
        Ok(())
    }

    /// Changes a port; `change` gets its configuration and may not rename it nor move it to another device.
    pub fn modify_port(&mut self, bridge: &str, name: &str, change: impl FnOnce(&mut Port)) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        let found = self.work.bridge(index).and_then(|b| b.port_named(name));
        let Some(old) = found else { return Err(Error::NoSuchPort(name.into(), bridge.into())) };
        let mut port = Port::clone(old);
        change(&mut port);
        let kind = match (&old.kind, port.kind) {
            (PortKind::Patch { .. }, PortKind::Patch { peer }) => PortKind::Patch { peer },
            (kind, _) => kind.clone(),
        };
        let port = Port { number: old.number, name: old.name.clone(), kind, peer: old.peer, ..port };
        if port != **old {
            self.store_port(index, port);
        }
        Ok(())
    }

    /// Says whether a port has link. Translations that do not look at this port are not concerned. Returns whether it is news.
    ///
    /// # Errors
    /// There is no such bridge or port.
    pub fn set_link(&mut self, bridge: &str, name: &str, up: bool) -> Result<bool, Error> {
        let index = self.index_of(bridge)?;
        let found = self.work.bridge(index).and_then(|b| b.port_named(name));
        let Some(old) = found else { return Err(Error::NoSuchPort(name.into(), bridge.into())) };
        if old.up == up {
            return Ok(false);
        }
        let port = Port { up, ..Port::clone(old) };
        let thing = port.device().map_or(Thing::Bridge(index), Thing::Port);
        self.changes.push(Change::Thing(thing));
        if let Some(bridge) = self.edit(index) {
            Arc::make_mut(&mut bridge.ports).insert(port.number, Arc::new(port));
        }
        Ok(true)
    }

    /// Removes a port and what was learned on it.
    pub fn del_port(&mut self, bridge: &str, name: &str) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        let found = self.work.bridge(index).and_then(|b| b.port_named(name)).cloned();
        let Some(port) = found else { return Err(Error::NoSuchPort(name.into(), bridge.into())) };
        if let Some(bridge) = self.edit(index) {
            Arc::make_mut(&mut bridge.ports).remove(&port.number);
        }
        if let Some(device) = port.device() {
            self.place(device, None);
            self.changes.push(Change::Thing(Thing::Port(device)));
        }
        self.flush_port(index, Some(port.number));
        self.changes.push(Change::Thing(Thing::Bridge(index)));
        self.resolve_patches();
        Ok(())
    }

    fn place(&mut self, device: PortNo, at: Option<PortRef>) {
        let ports = Arc::make_mut(&mut self.work.ports);
        let i = device.0 as usize;
        if ports.len() <= i {
            ports.resize(i + 1, None);
        }
        if let Some(place) = ports.get_mut(i) {
            *place = at;
        }
    }

    fn store_port(&mut self, index: u32, port: Port) {
        if let Some(device) = port.device() {
            self.changes.push(Change::Thing(Thing::Port(device)));
        }
        self.changes.push(Change::Thing(Thing::Bridge(index)));
        if let Some(bridge) = self.edit(index) {
            Arc::make_mut(&mut bridge.ports).insert(port.number, Arc::new(port));
        }
        self.resolve_patches();
    }

    /// Connects each patch to the port that it names, if that one names it too.
    fn resolve_patches(&mut self) {
        let mut moved = Vec::new();
        let bridges = self.work.bridges.iter().flatten();
        for (bridge, port) in bridges.flat_map(|b| b.ports.values().map(move |p| (b.index, p))) {
            let PortKind::Patch { peer } = &port.kind else { continue };
            let end = self.work.bridges.iter().flatten().find_map(|b| b.port_named(peer).map(|p| (b.index, p)));
            let back = end.filter(|(_, p)| matches!(&p.kind, PortKind::Patch { peer } if *peer == *port.name));
            let peer = back.map(|(bridge, p)| PatchPeer { bridge, port: p.number });
            if peer != port.peer {
                moved.push((bridge, Port { peer, ..Port::clone(port) }));
            }
        }
        for (index, port) in moved {
            self.changes.push(Change::Thing(Thing::Bridge(index)));
            if let Some(bridge) = self.edit(index) {
                Arc::make_mut(&mut bridge.ports).insert(port.number, Arc::new(port));
            }
        }
    }

    /// Forgets what was learned on `port`, static addresses too, or what was learned on all.
    pub(super) fn flush_port(&mut self, index: u32, port: Option<OfPort>) -> usize {
        let Some(bridge) = self.work.bridges.get_mut(index as usize).and_then(Option::as_mut) else { return 0 };
        let Some(learner) = self.learners.get_mut(index as usize) else { return 0 };
        let gone = learner.flush(&mut Arc::make_mut(bridge).fdb, port);
        if port.is_none() && !gone.is_empty() {
            self.changes.push(Change::Thing(Thing::FdbAll { bridge: index }));
        } else {
            let each = gone.iter().map(|k| Change::Thing(Thing::Fdb { bridge: index, vlan: k.vlan, mac: k.mac }));
            self.changes.extend(each);
        }
        gone.len()
    }
}
