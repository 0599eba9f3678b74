//! Copies for mirrors: of packets as they came in, and as they went out; one for each mirror, however often it selects the
//! packet.

use std::sync::Arc;

use dpif::Thing;
use flow::layout as l;

use super::normal::RESERVED;
use super::{Sink, Walk};
use crate::normal::vlan::{Place, Retag};
use crate::snapshot::mirror::{Mirror, MirrorTo, Selected};
use crate::snapshot::port::Port;
use crate::snapshot::{Bridge, MAX_MIRRORS};

/// The part of a TCI that says the VLAN: all but the priority.
const VLAN: u128 = 0x1fff;

impl Bridge {
    /// Whether a port is there for a mirror's copies alone.
    pub(crate) fn is_reserved(&self, port: &Port) -> bool {
        self.settings.mirrors.iter().any(|m| matches!(&m.to, MirrorTo::Port(name) if *name == *port.name))
    }
}

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn mirror_in(&mut self, port: &Arc<Port>) {
        self.mirror(port, |m| &m.sources);
    }

    pub(crate) fn mirror_out(&mut self, port: &Arc<Port>) {
        self.mirror(port, |m| &m.destinations);
    }

    fn mirror(&mut self, port: &Arc<Port>, by: fn(&Mirror) -> &Selected) {
        let bridge = self.bridge;
        for (i, mirror) in bridge.settings.mirrors.iter().enumerate().take(MAX_MIRRORS) {
            if self.st.mirrors & 1 << i != 0 || !by(mirror).has(&port.name) || self.failed() {
                continue;
            }
            self.out.deps.things.push(Thing::Bridge(bridge.index));
            let tci = self.look_bits(l::VLAN_TCI, VLAN) as u16;
            let Some(place) = port.vlan.admit(tci) else { continue };
            if mirror.vlans.as_ref().is_some_and(|vlans| !vlans.has(place.vlan)) {
                continue;
            }
            // of several to the same place, one is enough
            for (j, _) in bridge.settings.mirrors.iter().enumerate().filter(|(_, other)| other.to == mirror.to) {
                self.st.mirrors |= 1_u32.checked_shl(j as u32).unwrap_or(0);
            }
            let snaplen = std::mem::replace(&mut self.st.snaplen, mirror.snaplen);
            match &mirror.to {
                MirrorTo::Port(name) => {
                    if let Some(to) = bridge.port_named(name) {
                        self.mirror_to(to, place, tci);
                    }
                }
                MirrorTo::Vlan(vlan) if *vlan != place.vlan => self.mirror_to_vlan(Place { vlan: *vlan, ..place }, tci),
                MirrorTo::Vlan(_) => {}
            }
            self.st.snaplen = snaplen;
        }
    }

    /// To all ports of the VLAN, also where the packet came from; but for frames that are for the link alone.
    fn mirror_to_vlan(&mut self, place: Place, tci: u16) {
        let bridge = self.bridge;
        if self.look_bits(l::ETH_DST, !0xf) as u64 == RESERVED {
            return;
        }
        for port in bridge.local_first().filter(|p| p.vlan.carries(place.vlan) && !bridge.is_reserved(p)) {
            self.mirror_to(port, place, tci);
        }
    }

    fn mirror_to(&mut self, port: &Arc<Port>, place: Place, tci: u16) {
        let mut tci = tci;
        if port.vlan.retag(place, tci) != Retag::Keep {
            tci = self.look(l::VLAN_TCI) as u16;
        }
        self.output_retagged(port, place, tci);
    }
}
