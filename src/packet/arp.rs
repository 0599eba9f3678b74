//! ARP for IPv4 over Ethernet (RFC 826), which is also the format of RARP (RFC 903).
#![deny(clippy::indexing_slicing)]

use crate::eth::{EtherType, MacAddr};
use crate::wire::{Error, Wire, put, split};
use std::net::Ipv4Addr;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the packet.
pub const LEN: usize = 28;

/// `ares_op$req`.
pub const REQUEST: u16 = 1;
/// `ares_op$rep`.
pub const REPLY: u16 = 2;

/// The packet as it lies in the frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Hardware type: 1.
    pub hardware: U16,
    /// Protocol type: IPv4's ethertype.
    pub protocol: U16,
    /// Bytes of a hardware address: 6.
    pub hardware_len: u8,
    /// Bytes of a protocol address: 4.
    pub protocol_len: u8,
    /// Operation.
    pub operation: U16,
    /// Sender's MAC address.
    pub sha: MacAddr,
    /// Sender's IP address.
    pub spa: [u8; 4],
    /// Target's MAC address.
    pub tha: MacAddr,
    /// Target's IP address.
    pub tpa: [u8; 4],
}

/// The packet, and padding.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The packet.
    pub header: &'a Header,
    /// What follows: padding, as a rule.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks length and types; hardware other than Ethernet and protocols other than IPv4 are unsupported.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, payload) = split::<Header>(bytes)?;
        let kind = (header.hardware.get(), header.protocol.get(), header.hardware_len, header.protocol_len);
        if kind != (1, EtherType::IPV4.0, 6, 4) {
            return Err(Error::Unsupported);
        }
        Ok(View { header, payload })
    }
}

/// The packet as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Operation: [`REQUEST`], [`REPLY`] or another.
    pub operation: u16,
    /// Sender's MAC address.
    pub sha: MacAddr,
    /// Sender's IP address.
    pub spa: Ipv4Addr,
    /// Target's MAC address.
    pub tha: MacAddr,
    /// Target's IP address.
    pub tpa: Ipv4Addr,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let View { header, payload } = View::parse(bytes)?;
        let value = Value {
            operation: header.operation.get(),
            sha: header.sha,
            spa: header.spa.into(),
            tha: header.tha,
            tpa: header.tpa.into(),
        };
        Ok((value, payload))
    }

    fn wire_len(&self) -> usize {
        LEN
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let header = Header {
            hardware: 1.into(),
            protocol: EtherType::IPV4.0.into(),
            hardware_len: 6,
            protocol_len: 4,
            operation: self.operation.into(),
            sha: self.sha,
            spa: self.spa.octets(),
            tha: self.tha,
            tpa: self.tpa.octets(),
        };
        put(out, &header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    const REQUEST_BYTES: [u8; LEN] =
        [0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2];

    #[test]
    fn each_field_is_where_it_belongs() {
        let value = Value::parse(&REQUEST_BYTES).unwrap().0;
        assert_eq!(value.operation, REQUEST);
        assert_eq!(value.sha.to_string(), "52:54:00:12:34:56");
        assert_eq!(value.spa, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(value.tha, MacAddr::ZERO);
        assert_eq!(value.tpa, Ipv4Addr::new(10, 0, 0, 2));
    }

    #[test]
    fn other_types_are_unsupported() {
        for at in [0, 1, 2, 3, 4, 5] {
            let mut bytes = REQUEST_BYTES;
            bytes[at] ^= 0x40;
            assert_eq!(Value::parse(&bytes), Err(Error::Unsupported), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(operation: u16, sha: [u8; 6], spa: [u8; 4], tha: [u8; 6], tpa: [u8; 4], payload: Vec<u8>) {
            let value =
                Value { operation, sha: MacAddr(sha), spa: spa.into(), tha: MacAddr(tha), tpa: tpa.into() };
            check(&value, &payload);
        }
    }
}
