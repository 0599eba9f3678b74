//! `output:NORMAL`: admit, learn, look up, forward or flood.

use std::sync::Arc;

use dpif::{DropReason, Effect, Thing};
use flow::layout as l;
use openflow::OfPort;

use super::{Sink, Walk};
use crate::normal::fdb::FdbKey;
use crate::normal::vlan::{Place, Retag, VlanConfig};
use crate::snapshot::port::Port;

/// 01:80:c2:00:00:00 to 0f are for the link alone (IEEE 802.1Q-2018, 8.6.3).
pub(super) const RESERVED: u64 = 0x0180_c200_0000;
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
        if let Some(port) = from.filter(|p| bridge.is_reserved(p)) {
            let why = format!("received packet on port {}, which is reserved exclusively for mirroring", port.name);
            return self.stop(DropReason::MirrorPort, &why);
        }
        let config = from.map_or(VlanConfig::default(), |p| p.vlan.clone());
        let Some(place) = config.admit(tci) else {
            return self.stop(DropReason::Vlan, "VLAN is not admitted on the input port, dropping");
        };
        let vlan = place.vlan;
        if bridge.settings.drop_own_source && in_port != OfPort::LOCAL {
            self.out.deps.things.push(Thing::Bridge(bridge.index));
            if bridge.ports.get(&OfPort::LOCAL).is_some_and(|p| p.mac == src && src != 0) {
                return self.stop(DropReason::OwnMac, "source is the bridge itself, dropping");
            }
        }
        let floods = bridge.settings.flood_vlans.as_ref().is_some_and(|v| v.has(vlan));
        if src & MULTICAST == 0 && from.is_some() && !floods {
            let effect = Effect::Learn { bridge: bridge.index, vlan, mac: src, port: in_port.0, gratuitous: false };
            self.out.effects.push(effect);
            let fixed = || bridge.fdb.get(FdbKey { vlan, mac: src }).is_some_and(|e| e.is_static());
            if src == dst && !self.sink.is_idle() && !fixed() {
                self.out.deps.things.push(Thing::Fdb { bridge: bridge.index, vlan, mac: src });
                // what it teaches comes before what it asks
                return self.stop(DropReason::InPortOutput, "learned port is input port, dropping");
            }
        }
        if dst & MULTICAST != 0 || floods {
            self.detail(|| "no learned MAC for destination, flooding".into());
            return self.flood_vlan(place, tci);
        }
        self.out.deps.things.push(Thing::Fdb { bridge: bridge.index, vlan, mac: dst });
        let Some(entry) = bridge.fdb.get(FdbKey { vlan, mac: dst }) else {
            self.detail(|| "no learned MAC for destination, flooding".into());
            return self.flood_vlan(place, tci);
        };
        let port = entry.port;
        if port == in_port {
            return self.stop(DropReason::InPortOutput, "learned port is input port, dropping");
        }
        match bridge.ports.get(&port) {
            Some(port) if bridge.is_reserved(port) => {
                self.stop(DropReason::MirrorPort, "learned port is reserved for mirroring, dropping");
            }
            Some(port) => {
                self.detail(|| "forwarding to learned port".into());
                // Its VLANs are looked at, as well as whether it is up.
                self.out.deps.things.push(port.device().map_or(Thing::Bridge(bridge.index), Thing::Port));
                self.output_vlan(port, place, tci);
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

    /// The VLAN of the tag below the one of the packet's VLAN. Where a key has one tag only, there is none below.
    fn customer(&mut self, place: Place, tci: u16) -> u16 {
        match place.below {
            Some(_) => tci & 0xfff,
            None if tci == 0 || self.snap.vlan_limit == 1 => 0,
            None => self.look_bits(l::VLAN1_TCI, 0xfff) as u16,
        }
    }

    fn flood_vlan(&mut self, place: Place, tci: u16) {
        let (bridge, in_port) = (self.bridge, self.st.in_port());
        self.out.deps.things.push(Thing::Bridge(bridge.index));
        self.reason(DropReason::InPortOutput);
        let to = bridge
            .local_first()
            .filter(|p| p.number != in_port && p.floods() && p.vlan.carries(place.vlan) && !bridge.is_reserved(p));
        let mut ports: Vec<&Arc<Port>> = to.collect();
        if ports.iter().any(|p| p.vlan.asks_customer()) {
            let customer = self.customer(place, tci);
            ports.retain(|p| p.vlan.lets_out(place, customer));
        }
        // Ports that need no other tag first, others with those that need the same: each change of tag costs the datapath a
        // step.
        ports.sort_by_key(|p| p.vlan.retag(place, tci));
        for port in ports {
            if self.failed() {
                break;
            }
            self.output_retagged(port, place, tci);
        }
    }

    /// Sends to `port`, if that carries the packet.
    fn output_vlan(&mut self, port: &Arc<Port>, place: Place, tci: u16) {
        let customer = if port.vlan.asks_customer() { self.customer(place, tci) } else { 0 };
        if !port.vlan.lets_out(place, customer) {
            return self.stop(DropReason::Vlan, "VLAN is not carried by the output port");
        }
        self.output_retagged(port, place, tci);
    }

    /// Sends to `port` with the tag that the packet has there.
    pub(super) fn output_retagged(&mut self, port: &Arc<Port>, place: Place, tci: u16) {
        let before = self.st.now.tagging();
        match port.vlan.retag(place, tci) {
            Retag::Keep => return self.output_to(port),
            Retag::Set(tag) => self.set_vlan(tag, 0xefff, false),
            Retag::Push { tpid, tci } => self.push_vlan(tpid, tci),
            Retag::Pop => self.pop_vlan(),
        }
        self.output_to(port);
        self.st.now.retag(before);
    }
}
