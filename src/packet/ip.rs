//! What both versions of IP share: protocol numbers and fragment state.

use std::fmt;

/// An IP protocol or IPv6 next-header number (IANA's registry).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProto(pub u8);

impl IpProto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: IpProto = IpProto(0);
    /// ICMP.
    pub const ICMP: IpProto = IpProto(1);
    /// IGMP.
    pub const IGMP: IpProto = IpProto(2);
    /// IPv4 in IP.
    pub const IPIP: IpProto = IpProto(4);
    /// TCP.
    pub const TCP: IpProto = IpProto(6);
    /// UDP.
    pub const UDP: IpProto = IpProto(17);
    /// IPv6 in IP.
    pub const IPV6: IpProto = IpProto(41);
    /// IPv6 routing header.
    pub const ROUTING: IpProto = IpProto(43);
    /// IPv6 fragment header.
    pub const FRAGMENT: IpProto = IpProto(44);
    /// GRE.
    pub const GRE: IpProto = IpProto(47);
    /// Encapsulating security payload.
    pub const ESP: IpProto = IpProto(50);
    /// Authentication header.
    pub const AH: IpProto = IpProto(51);
    /// ICMPv6.
    pub const ICMPV6: IpProto = IpProto(58);
    /// IPv6: no next header.
    pub const NONE: IpProto = IpProto(59);
    /// IPv6 destination options.
    pub const DESTINATION: IpProto = IpProto(60);
    /// SCTP.
    pub const SCTP: IpProto = IpProto(132);
}

impl fmt::Debug for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which part of a datagram a packet is, as `ip_frag` matches it (ovs-fields(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FragmentKind {
    /// All of it.
    #[default]
    No,
    /// The first of several fragments: has the layer 4 header.
    First,
    /// A later one: has no layer 4 header.
    Later,
}
