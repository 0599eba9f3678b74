//! `multipath`, `bundle` and `bundle_load`: one of several by a hash of the packet (ovs-actions(7)).

use dpif::Thing;
use flow::Mask;
use flow::hash::{HashFields as Hashed, hash_fields, mask_hash_fields};
use openflow::OfPort;
use openflow::action::{Bundle, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};

use super::state::to16;
use super::{Sink, Walk};

/// Tries of `iter_hash` before it gives up: a link above the number of links comes each time with the odds of 1 - n_links/arg.
const TRIES: u32 = 128;

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn multipath(&mut self, m: &Multipath) {
        let n = u64::from(m.n_links.max(1));
        let hash = self.hashed(m.fields, m.basis.into());
        let link = match m.algorithm {
            MultipathAlgorithm::ModuloN => u64::from(hash) % n,
            // RFC 2992
            MultipathAlgorithm::HashThreshold => (u64::from(hash) * n) >> 32,
            MultipathAlgorithm::Hrw => {
                let best = (0..m.n_links).max_by_key(|link| (weight(hash, *link), std::cmp::Reverse(*link)));
                best.unwrap_or(0).into()
            }
            MultipathAlgorithm::IterHash => {
                let of = if u64::from(m.arg) < n { n } else { u64::from(m.arg) };
                let mut links = (0..TRIES).map(|i| u64::from(weight(hash, i)) % of);
                links.find(|link| *link < n).unwrap_or(u64::from(hash) % n)
            }
        };
        self.store_subfield(m.dst, link.into());
        self.tell_value(m.dst);
    }

    pub(crate) fn bundle(&mut self, b: &Bundle) {
        let port = match b.algorithm {
            BundleAlgorithm::ActiveBackup => b.members.iter().copied().find(|port| self.member_is_live(*port)),
            BundleAlgorithm::Hrw => {
                let hash = self.hashed(b.fields, b.basis.into());
                let live = (0..).zip(&b.members).filter(|(_, port)| self.member_is_live(**port));
                live.max_by_key(|(i, _)| (weight(hash, *i), std::cmp::Reverse(*i))).map(|(_, port)| *port)
            }
        };
        match b.dst {
            Some(dst) => {
                self.store_subfield(dst, to16(port.unwrap_or(OfPort::NONE)).into());
                self.tell_value(dst);
            }
            None => {
                if let Some(port) = port {
                    self.output(port, 0);
                }
            }
        }
    }

    fn member_is_live(&mut self, port: OfPort) -> bool {
        let bridge = self.bridge;
        let found = bridge.ports.get(&port);
        let device = found.and_then(|p| p.device());
        self.out.deps.things.push(device.map_or(Thing::Bridge(bridge.index), Thing::Port));
        found.is_some_and(|p| p.is_live())
    }

    /// The result depends on what is hashed.
    fn hashed(&mut self, fields: HashFields, basis: u32) -> u32 {
        let fields = match fields {
            HashFields::EthSrc => Hashed::EthSrc { vlan: false },
            HashFields::SymmetricL4 => Hashed::SymmetricL4,
            HashFields::SymmetricL3L4 => Hashed::SymmetricL3L4 { udp: false },
            HashFields::SymmetricL3L4Udp => Hashed::SymmetricL3L4 { udp: true },
            HashFields::SymmetricL3 => Hashed::SymmetricL3,
            HashFields::NwSrc => Hashed::IpSrc,
            HashFields::NwDst => Hashed::IpDst,
        };
        let mut looked = Mask::default();
        mask_hash_fields(&self.st.now.flow, &mut looked, fields);
        self.looked(&looked);
        hash_fields(&self.st.now.flow, fields, basis)
    }
}

/// What a link scores with a hash, spread over 32 bits (highest random weight, RFC 2991).
fn weight(hash: u32, link: u32) -> u32 {
    let mixed = (u64::from(hash) << 32 | u64::from(link)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 32) as u32
}
