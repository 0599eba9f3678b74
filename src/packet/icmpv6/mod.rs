//! ICMPv6 (RFC 4443). Its header is ICMP's, its checksum covers a pseudo header. Neighbour discovery is in [`nd`].
#![deny(clippy::indexing_slicing)]

pub mod nd;

use crate::checksum::Sum;
use crate::ip::IpProto;
use std::net::Ipv6Addr;

pub use crate::icmp::{HEADER_LEN, Header, Value, View, fill_checksum};

/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Type: packet too big; the header's last four bytes are the MTU.
pub const TOO_BIG: u8 = 2;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type: echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Type: MLD query (RFC 2710, RFC 3810).
pub const MLD_QUERY: u8 = 130;
/// Type: MLD report (RFC 2710).
pub const MLD_REPORT: u8 = 131;
/// Type: MLD done (RFC 2710).
pub const MLD_DONE: u8 = 132;
/// Type: router solicitation.
pub const ROUTER_SOLICIT: u8 = 133;
/// Type: router advertisement.
pub const ROUTER_ADVERT: u8 = 134;
/// Type: neighbour solicitation.
pub const NEIGHBOR_SOLICIT: u8 = 135;
/// Type: neighbour advertisement.
pub const NEIGHBOR_ADVERT: u8 = 136;
/// Type: redirect.
pub const REDIRECT: u8 = 137;
/// Type: MLDv2 report (RFC 3810).
pub const MLD2_REPORT: u8 = 143;

/// Whether a type reports an error, and so quotes a packet (RFC 4443 section 2.1).
#[inline]
pub const fn is_error(kind: u8) -> bool {
    kind < 128
}

/// The sum that the checksum of a message of `len` bytes starts from.
#[inline]
pub fn pseudo(src: Ipv6Addr, dst: Ipv6Addr, len: u32) -> Sum {
    Sum::pseudo_v6(src, dst, IpProto::ICMPV6, len)
}
