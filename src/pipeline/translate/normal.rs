//! `output:NORMAL`: admit, learn, look up, forward or flood.

use std::sync::Arc;

use dpif::{DropReason, Effect, Thing};
use flow::layout as l;
use openflow::OfPort;

use super::{Sink, Walk};
use crate::normal::fdb::FdbKey;
use crate::normal::vlan::VlanConfig;
use crate::snapshot::port::Port;

/// 01:80:c2:00:00:00 to 0f are for the link alone (IEEE 802.1Q-2018, 8.6.3).
const RESERVED: u64 = 0x0180_c200_0000;
/// The group bit of an address.
const MULTICAST: u64 = 1 << 40;

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn normal(&mut self) {
        let (bridge, in_port) = (self.bridge, self.st.in_port());
        let (src, dst) = (self.look(l::ETH_SRC) as u64, self.look(l::ETH_DST) as u64);
        let tci = self.look(l::VLAN_TCI) as u16;
        // A packet that a controller sends from nowhere is in the VLAN that it is tagged with.
        let from = match bridge.ports.get(&in_port) {
            Some(port) => Some(port),
            None if matches!(in_port, OfPort::NONE | OfPort::CONTROLLER) => None,
            None => {
                self.out.deps.things.push(Thing::Bridge(bridge.index));
                return self.stop(DropReason::NoSuchPort, "received packet on unknown port, dropping");
            }
        };
        if let Some(port) = from {
            self.out.deps.things.push(port.device().map_or(Thing::Bridge(bridge.index), Thing::Port));
        }
        if dst & !0xf == RESERVED && !bridge.settings.forward_bpdu {
            return self.stop(DropReason::ReservedMac, "packet has reserved destination MAC, dropping");
        }
        let config = from.map_or(VlanConfig::default(), |p| p.vlan.clone());
        let Some(vlan) = config.input(tci) else {
            return self.stop(DropReason::Vlan, "VLAN is not admitted on the input port, dropping");
        };
        if bridge.settings.drop_own_source && in_port != OfPort::LOCAL {
            self.out.deps.things.push(Thing::Bridge(bridge.index));
            if bridge.ports.get(&OfPort::LOCAL).is_some_and(|p| p.mac == src && src != 0) {
                return self.stop(DropReason::OwnMac, "source is the bridge itself, dropping");
            }
        }
        if src & MULTICAST == 0 && from.is_some() {
            let effect = Effect::Learn { bridge: bridge.index, vlan, mac: src, port: in_port.0, gratuitous: false };
            self.out.effects.push(effect);
            let fixed = || bridge.fdb.get(FdbKey { vlan, mac: src }).is_some_and(|e| e.is_static());
            if src == dst && !fixed() {
                self.out.deps.things.push(Thing::Fdb { bridge: bridge.index, vlan, mac: src });
                // what it teaches comes before what it asks
                return self.stop(DropReason::InPortOutput, "learned port is input port, dropping");
            }
        }
        if dst & MULTICAST != 0 {
            self.detail(|| "no learned MAC for destination, flooding".into());
            return self.flood_vlan(vlan, tci);
        }
        self.out.deps.things.push(Thing::Fdb { bridge: bridge.index, vlan, mac: dst });
        let Some(entry) = bridge.fdb.get(FdbKey { vlan, mac: dst }) else {
            self.detail(|| "no learned MAC for destination, flooding".into());
            return self.flood_vlan(vlan, tci);
        };
        let port = entry.port;
        if port == in_port {
            return self.stop(DropReason::InPortOutput, "learned port is input port, dropping");
        }
        match bridge.ports.get(&port) {
            Some(port) => {
                self.detail(|| "forwarding to learned port".into());
                // Its VLANs are looked at, as well as whether it is up.
                self.out.deps.things.push(port.device().map_or(Thing::Bridge(bridge.index), Thing::Port));
                self.output_vlan(port, vlan, tci);
            }
            None => {
                self.out.deps.things.push(Thing::Bridge(bridge.index));
                self.stop(DropReason::NoSuchPort, "learned port is gone");
            }
        }
    }

    fn stop(&mut self, reason: DropReason, why: &str) {
        self.detail(|| why.to_owned());
        self.reason(reason);
    }

    fn flood_vlan(&mut self, vlan: u16, tci: u16) {
        let (bridge, in_port) = (self.bridge, self.st.in_port());
        self.out.deps.things.push(Thing::Bridge(bridge.index));
        self.reason(DropReason::InPortOutput);
        let to = bridge.local_first().filter(|p| p.number != in_port && p.floods() && p.vlan.carries(vlan));
        let mut ports: Vec<&Arc<Port>> = to.collect();
        // Ports that need no other tag first: each change of tag costs the datapath a step.
        ports.sort_by_key(|p| p.vlan.output(vlan, tci) != tci);
        for port in ports {
            if self.failed() {
                break;
            }
            self.output_vlan(port, vlan, tci);
        }
    }

    /// Sends to `port` with the tag that `vlan` has there.
    fn output_vlan(&mut self, port: &Arc<Port>, vlan: u16, tci: u16) {
        if !port.vlan.carries(vlan) {
            return self.stop(DropReason::Vlan, "VLAN is not carried by the output port");
        }
        let tag = port.vlan.output(vlan, tci);
        if tag == tci {
            return self.output_to(port);
        }
        let before = self.st.now.tagging();
        match (tci != 0, tag != 0) {
            (true, true) => self.set_vlan(tag, 0xefff, false),
            (false, _) => self.push_vlan(0x8100, tag),
            (true, false) => self.pop_vlan(),
        }
        self.output_to(port);
        self.st.now.retag(before);
    }
}
