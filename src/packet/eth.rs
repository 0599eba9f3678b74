//! Ethernet II and IEEE 802.3 headers (IEEE 802.3 clause 3), MAC addresses, ethertypes, LLC with SNAP (IEEE 802-2014
//! clause 9.4, RFC 1042).
#![deny(clippy::indexing_slicing)]

use crate::wire::{Error, Wire, put, split};
use std::fmt;
use std::str::FromStr;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an untagged header.
pub const HEADER_LEN: usize = 14;

/// A MAC address, in transmission order. Printed `aa:bb:cc:dd:ee:ff`; read with one or two digits for each byte.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All zero.
    pub const ZERO: MacAddr = MacAddr([0; 6]);
    /// All stations.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);

    /// Whether it addresses a group (IEEE 802 I/G bit); true of broadcast.
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it is the broadcast address.
    #[inline]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// Whether it is all zero.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// Whether it is administered locally (U/L bit).
    #[inline]
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// Whether bridges must not forward it: 01:80:c2:00:00:00 to :0f (IEEE 802.1Q table 8-1).
    #[inline]
    pub const fn is_reserved(self) -> bool {
        self.to_u64() & !0xf == 0x0180_c200_0000
    }

    /// The 48 bits as a number.
    #[inline]
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// From the low 48 bits of a number.
    #[inline]
    pub const fn from_u64(value: u64) -> MacAddr {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        MacAddr([a, b, c, d, e, f])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address has six bytes of two hexadecimal digits, separated by colons")]
pub struct BadMac;

impl FromStr for MacAddr {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<MacAddr, BadMac> {
        let mut parts = text.split(':');
        let mut out = [0; 6];
        for byte in &mut out {
            let part = parts.next().ok_or(BadMac)?;
            if part.is_empty() || part.len() > 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(BadMac);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| BadMac)?;
        }
        if parts.next().is_some() { Err(BadMac) } else { Ok(MacAddr(out)) }
    }
}

/// An ethertype (IEEE RA's registry); below 0x600 a length.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// ARP.
    pub const ARP: EtherType = EtherType(0x0806);
    /// Transparent Ethernet bridging: GRE's and NSH's payload.
    pub const TEB: EtherType = EtherType(0x6558);
    /// Reverse ARP.
    pub const RARP: EtherType = EtherType(0x8035);
    /// IEEE 802.1Q customer tag.
    pub const VLAN: EtherType = EtherType(0x8100);
    /// IPv6.
    pub const IPV6: EtherType = EtherType(0x86dd);
    /// Slow protocols: LACP, marker, OAM.
    pub const SLOW: EtherType = EtherType(0x8809);
    /// MPLS unicast.
    pub const MPLS: EtherType = EtherType(0x8847);
    /// MPLS multicast.
    pub const MPLS_MCAST: EtherType = EtherType(0x8848);
    /// IEEE 802.1ad service tag.
    pub const QINQ: EtherType = EtherType(0x88a8);
    /// LLDP.
    pub const LLDP: EtherType = EtherType(0x88cc);
    /// IEEE 802.1ag connectivity fault management.
    pub const CFM: EtherType = EtherType(0x8902);
    /// NSH.
    pub const NSH: EtherType = EtherType(0x894f);

    /// Whether a VLAN tag follows.
    #[inline]
    pub const fn is_vlan(self) -> bool {
        matches!(self, EtherType::VLAN | EtherType::QINQ)
    }

    /// Whether an MPLS label follows.
    #[inline]
    pub const fn is_mpls(self) -> bool {
        matches!(self, EtherType::MPLS | EtherType::MPLS_MCAST)
    }

    /// Whether it is an 802.3 length rather than a type (IEEE 802.3 clause 3.2.6).
    #[inline]
    pub const fn is_length(self) -> bool {
        self.0 < 0x600
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// The header as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// Ethertype, TPID of a tag, or 802.3 length.
    pub ethertype: U16,
}

/// A frame's header and payload.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The header.
    pub header: &'a Header,
    /// What follows, tags included.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks for 14 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, payload) = split::<Header>(bytes)?;
        Ok(View { header, payload })
    }

    /// What the type field says.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(self.header.ethertype.get())
    }

    /// The ethertype and payload behind tags and an LLC/SNAP header: tags are skipped, however many.
    pub fn inner(&self) -> (EtherType, &'a [u8]) {
        let mut at = (self.ethertype(), self.payload);
        while at.0.is_vlan()
            && let Ok(tag) = crate::vlan::View::parse(at.1)
        {
            at = (tag.ethertype(), tag.payload);
        }
        match snap(at.1) {
            Some((ethertype, payload)) if at.0.is_length() => (ethertype, payload),
            _ => at,
        }
    }
}

/// The ethertype and payload behind an LLC header with SNAP and OUI 0 (aa aa 03 00 00 00), where there is one.
pub fn snap(bytes: &[u8]) -> Option<(EtherType, &[u8])> {
    match bytes {
        [0xaa, 0xaa, 0x03, 0, 0, 0, a, b, payload @ ..] => Some((EtherType(u16::from_be_bytes([*a, *b])), payload)),
        _ => None,
    }
}

/// The header as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// Type, or 802.3 length.
    pub ethertype: EtherType,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(bytes)?;
        Ok((Value { dst: view.header.dst, src: view.header.src, ethertype: view.ethertype() }, view.payload))
    }

    fn wire_len(&self) -> usize {
        HEADER_LEN
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        put(out, &Header { dst: self.dst, src: self.src, ethertype: self.ethertype.0.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = [1, 2, 3, 4, 5, 6, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 0x86, 0xdd, 99];
        let view = View::parse(&bytes).unwrap();
        assert_eq!(view.header.dst, MacAddr([1, 2, 3, 4, 5, 6]));
        assert_eq!(view.header.src, MacAddr([10, 11, 12, 13, 14, 15]));
        assert_eq!(view.ethertype(), EtherType::IPV6);
        assert_eq!(view.payload, [99]);
    }

    #[test]
    fn kinds_of_addresses() {
        let of = |text: &str| text.parse::<MacAddr>().unwrap();
        assert!(of("01:00:5e:00:00:01").is_multicast() && !of("00:00:5e:00:00:01").is_multicast());
        assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
        assert!(!of("ff:ff:ff:ff:ff:fe").is_broadcast());
        assert!(of("02:00:00:00:00:00").is_local() && !of("04:00:00:00:00:00").is_local());
        assert!(of("01:80:c2:00:00:0f").is_reserved() && of("01:80:c2:00:00:00").is_reserved());
        assert!(!of("01:80:c2:00:00:10").is_reserved() && !of("01:80:c2:00:01:00").is_reserved());
        assert!(MacAddr::ZERO.is_zero() && !of("00:00:00:00:00:01").is_zero());
    }

    #[test]
    fn text_of_addresses() {
        assert_eq!("aa:BB:c:00:1:ff".parse::<MacAddr>().unwrap().to_string(), "aa:bb:0c:00:01:ff");
        for bad in
            ["", "aa:bb:cc:dd:ee", "aa:bb:cc:dd:ee:ff:00", "aaa:b:c:d:e:f", "g:0:0:0:0:0", "a:b:c:d:e:", "+a:0:0:0:0:0"]
        {
            assert_eq!(bad.parse::<MacAddr>(), Err(BadMac), "{bad}");
        }
    }

    #[test]
    fn payload_behind_tags_and_snap() {
        let mut bytes = vec![0; 12];
        bytes.extend([0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0, 10, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 42]);
        assert_eq!(View::parse(&bytes).unwrap().inner(), (EtherType::IPV4, &[42][..]));
        bytes[25] = 1; // another OUI: a length, and LLC
        assert_eq!(View::parse(&bytes).unwrap().inner().0, EtherType(10));
        bytes.truncate(17); // a tag cut short stays where it is
        assert_eq!(View::parse(&bytes).unwrap().inner().0, EtherType::QINQ);
    }

    proptest! {
        #[test]
        fn round_trip(dst: [u8; 6], src: [u8; 6], ethertype: u16, payload: Vec<u8>) {
            check(&Value { dst: MacAddr(dst), src: MacAddr(src), ethertype: EtherType(ethertype) }, &payload);
            prop_assert_eq!(MacAddr::from_u64(MacAddr(dst).to_u64()), MacAddr(dst));
            prop_assert_eq!(MacAddr(dst).to_string().parse(), Ok(MacAddr(dst)));
        }
    }
}
