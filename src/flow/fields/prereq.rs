//! What must hold before a field means anything: the prerequisites of ovs-fields(7).
#![deny(clippy::indexing_slicing)]

use crate::layout as l;
use crate::layout::Slot;
use crate::words::{Flow, Mask};

/// A field's prerequisite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prereq {
    None,
    Ethernet,
    /// A VLAN tag.
    Vlan,
    /// ARP or RARP.
    Arp,
    Ipv4,
    Ipv6,
    /// IPv4 or IPv6.
    Ip,
    Nsh,
    /// IP, and tracked so that there is an original tuple: new, established, related, reply, or tracked and not invalid.
    Ct,
    CtIpv4,
    CtIpv6,
    Mpls,
    Tcp,
    Udp,
    Sctp,
    Icmpv4,
    Icmpv6,
    /// Neighbour solicitation or advertisement.
    Nd,
    NdSolicit,
    NdAdvert,
}

/// Ethertypes that prerequisites name.
pub mod eth_type {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const RARP: u16 = 0x8035;
    pub const VLAN: u16 = 0x8100;
    pub const QINQ: u16 = 0x88a8;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const NSH: u16 = 0x894f;
    /// What a frame without an Ethertype has (ovs-fields(7), "eth_type").
    pub const NONE: u16 = 0x05ff;
}

/// IP protocols that prerequisites name.
pub mod ip_proto {
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
}

/// ICMPv6 types of neighbour discovery (RFC 4861).
pub const ND_SOLICIT: u8 = 135;
/// See [`ND_SOLICIT`].
pub const ND_ADVERT: u8 = 136;

/// Bits of ct_state (ovs-fields(7)).
pub const CT_NEW: u32 = 0x01;
/// Part of a connection that exists.
pub const CT_ESTABLISHED: u32 = 0x02;
/// Related to a connection that exists.
pub const CT_RELATED: u32 = 0x04;
/// In the reply direction.
pub const CT_REPLY: u32 = 0x08;
/// The tracker could not place it.
pub const CT_INVALID: u32 = 0x10;
/// It has been through the tracker.
pub const CT_TRACKED: u32 = 0x20;
/// Its source was translated.
pub const CT_SNAT: u32 = 0x40;
/// Its destination was translated.
pub const CT_DNAT: u32 = 0x80;

/// A flow that may be partly wildcarded: the bits of `flow` outside `mask` are unknown.
struct Known<'a> {
    flow: &'a Flow,
    mask: Option<&'a Mask>,
}

impl Known<'_> {
    fn is(&self, slot: Slot, value: u64) -> bool {
        self.flow.get64(slot) == value && self.mask.is_none_or(|m| m.get64(slot) == slot.bits() >> slot.shift)
    }

    fn has(&self, slot: Slot, bits: u64) -> bool {
        self.flow.get64(slot) & self.mask.map_or(u64::MAX, |m| m.get64(slot)) & bits == bits
    }

    /// By Ethertype, or by packet type where the packet has no Ethernet header.
    fn eth(&self, kind: u16) -> bool {
        self.is(l::ETH_TYPE, u64::from(kind)) || self.is(l::PACKET_TYPE, 1 << 16 | u64::from(kind))
    }

    fn ct_valid(&self) -> bool {
        let positive = u64::from(CT_NEW | CT_ESTABLISHED | CT_RELATED | CT_REPLY);
        let known = self.mask.map_or(u64::MAX, |m| m.get64(l::CT_STATE));
        self.flow.get64(l::CT_STATE) & known & positive != 0
            || self.has(l::CT_STATE, u64::from(CT_TRACKED))
                && known & u64::from(CT_INVALID) != 0
                && !self.has(l::CT_STATE, u64::from(CT_INVALID))
    }

    fn proto(&self, proto: u8) -> bool {
        self.is(l::NW_PROTO, u64::from(proto))
    }

    fn ip(&self) -> bool {
        self.eth(eth_type::IPV4) || self.eth(eth_type::IPV6)
    }

    fn transport(&self, proto: u8) -> bool {
        self.ip() && self.proto(proto) && !self.has(l::NW_FRAG, u64::from(l::FRAG_LATER))
    }

    /// A match may ask for types in later fragments, as OVS takes it, though these have none.
    fn icmp(&self, kind: u16, proto: u8) -> bool {
        let whole = self.mask.is_some() || !self.has(l::NW_FRAG, u64::from(l::FRAG_LATER));
        self.eth(kind) && self.proto(proto) && whole
    }

    fn icmpv6(&self) -> bool {
        self.icmp(eth_type::IPV6, ip_proto::ICMPV6)
    }

    fn nd(&self, kind: u8) -> bool {
        // A match may leave the code open, as ovs-ofctl takes it.
        self.icmpv6() && self.is(l::TP_SRC, u64::from(kind)) && self.flow.get64(l::TP_DST) == 0
    }

    fn ok(&self, prereq: Prereq) -> bool {
        match prereq {
            Prereq::None => true,
            // A packet type that a match does not mention is Ethernet.
            Prereq::Ethernet => self.flow.get64(l::PACKET_TYPE) == 0,
            Prereq::Vlan => self.has(l::VLAN_TCI, u64::from(l::VLAN_PRESENT)),
            Prereq::Arp => self.eth(eth_type::ARP) || self.eth(eth_type::RARP),
            Prereq::Ipv4 => self.eth(eth_type::IPV4),
            Prereq::Ipv6 => self.eth(eth_type::IPV6),
            Prereq::Ip => self.ip(),
            Prereq::Nsh => self.eth(eth_type::NSH),
            Prereq::Ct => self.ip() && self.ct_valid(),
            Prereq::CtIpv4 => self.eth(eth_type::IPV4) && self.ct_valid(),
            Prereq::CtIpv6 => self.eth(eth_type::IPV6) && self.ct_valid(),
            Prereq::Mpls => self.eth(eth_type::MPLS) || self.eth(eth_type::MPLS_MULTICAST),
            Prereq::Tcp => self.transport(ip_proto::TCP),
            Prereq::Udp => self.transport(ip_proto::UDP),
            Prereq::Sctp => self.transport(ip_proto::SCTP),
            Prereq::Icmpv4 => self.icmp(eth_type::IPV4, ip_proto::ICMP),
            Prereq::Icmpv6 => self.icmpv6(),
            Prereq::Nd => self.nd(ND_SOLICIT) || self.nd(ND_ADVERT),
            Prereq::NdSolicit => self.nd(ND_SOLICIT),
            Prereq::NdAdvert => self.nd(ND_ADVERT),
        }
    }
}

impl Prereq {
    /// Does the packet `flow` meet it?
    pub fn ok(self, flow: &Flow) -> bool {
        Known { flow, mask: None }.ok(self)
    }

    /// Does every packet that matches `flow` under `mask` meet it?
    pub fn ok_match(self, flow: &Flow, mask: &Mask) -> bool {
        Known { flow, mask: Some(mask) }.ok(self)
    }

    /// Makes exact in `mask` whatever [`Prereq::ok`] looks at: what a translation that asked has depended on.
    pub fn add_mask(self, mask: &mut Mask) {
        let mut exact = |slots: &[Slot]| slots.iter().for_each(|s| mask.exact(*s));
        match self {
            Prereq::None => {}
            Prereq::Ethernet => exact(&[l::PACKET_TYPE]),
            Prereq::Vlan => mask.w.iter_mut().skip(usize::from(l::VLAN_TCI.word)).take(1).for_each(|w| {
                *w |= u64::from(l::VLAN_PRESENT) << l::VLAN_TCI.shift;
            }),
            Prereq::Arp | Prereq::Ipv4 | Prereq::Ipv6 | Prereq::Ip | Prereq::Nsh | Prereq::Mpls => {
                exact(&[l::ETH_TYPE]);
            }
            Prereq::Ct | Prereq::CtIpv4 | Prereq::CtIpv6 => exact(&[l::ETH_TYPE, l::CT_STATE]),
            Prereq::Tcp | Prereq::Udp | Prereq::Sctp | Prereq::Icmpv4 | Prereq::Icmpv6 => {
                exact(&[l::ETH_TYPE, l::NW_PROTO, l::NW_FRAG]);
            }
            Prereq::Nd | Prereq::NdSolicit | Prereq::NdAdvert => {
                exact(&[l::ETH_TYPE, l::NW_PROTO, l::NW_FRAG, l::TP_SRC, l::TP_DST]);
            }
        }
    }
}
