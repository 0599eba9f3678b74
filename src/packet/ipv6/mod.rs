//! IPv6 (RFC 8200). Extension headers are in [`ext`].
#![deny(clippy::indexing_slicing)]

pub mod ext;

use crate::ip::IpProto;
use crate::wire::{Error, Wire, put, split, split_bytes};
use std::net::Ipv6Addr;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header.
pub const HEADER_LEN: usize = 40;

/// The header as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_label: U32,
    /// Bytes of extension headers and payload.
    pub payload_len: U16,
    /// First next header.
    pub next: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source.
    pub src: [u8; 16],
    /// Destination.
    pub dst: [u8; 16],
}

/// A packet cut to its stated length.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The header.
    pub header: &'a Header,
    /// Extension headers and what follows, without what pads the frame.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks version and length. Jumbograms (RFC 2675) are taken as empty packets.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, rest) = split::<Header>(bytes)?;
        if header.version_class_label.get() >> 28 != 6 {
            return Err(Error::Version);
        }
        let (payload, _) = split_bytes(rest, usize::from(header.payload_len.get()))?;
        Ok(View { header, payload })
    }

    /// Source.
    #[inline]
    pub fn src(&self) -> Ipv6Addr {
        self.header.src.into()
    }

    /// Destination.
    #[inline]
    pub fn dst(&self) -> Ipv6Addr {
        self.header.dst.into()
    }

    /// Traffic class: DSCP (6 bits), ECN (2).
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (self.header.version_class_label.get() >> 20) as u8
    }

    /// Flow label, 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        self.header.version_class_label.get() & 0xf_ffff
    }

    /// The extension headers.
    pub fn extensions(&self) -> Result<ext::Walk<'a>, Error> {
        ext::walk(IpProto(self.header.next), self.payload)
    }
}

/// The header as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// First next header.
    pub next: IpProto,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// Bytes of extension headers and payload.
    pub payload_len: u16,
}

impl Default for Value {
    fn default() -> Value {
        Value {
            traffic_class: 0,
            flow_label: 0,
            next: IpProto::NONE,
            hop_limit: 64,
            src: Ipv6Addr::UNSPECIFIED,
            dst: Ipv6Addr::UNSPECIFIED,
            payload_len: 0,
        }
    }
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(bytes)?;
        let value = Value {
            traffic_class: view.traffic_class(),
            flow_label: view.flow_label(),
            next: IpProto(view.header.next),
            hop_limit: view.header.hop_limit,
            src: view.src(),
            dst: view.dst(),
            payload_len: view.header.payload_len.get(),
        };
        Ok((value, view.payload))
    }

    fn wire_len(&self) -> usize {
        HEADER_LEN
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        if self.flow_label >> 20 != 0 {
            return Err(Error::Unrepresentable);
        }
        let header = Header {
            version_class_label: (6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label).into(),
            payload_len: self.payload_len.into(),
            next: self.next.0,
            hop_limit: self.hop_limit,
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        put(out, &header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0x6b, 0x91, 0x23, 0x45, 0, 2, 17, 63];
        bytes.extend(1..=32);
        bytes.extend([0xca, 0xfe, 0, 0]);
        bytes
    }

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = bytes();
        let view = View::parse(&bytes).unwrap();
        assert_eq!(view.traffic_class(), 0xb9);
        assert_eq!(view.flow_label(), 0x12345);
        assert_eq!(view.header.next, 17);
        assert_eq!(view.header.hop_limit, 63);
        assert_eq!(view.src().to_string(), "102:304:506:708:90a:b0c:d0e:f10");
        assert_eq!(view.dst().to_string(), "1112:1314:1516:1718:191a:1b1c:1d1e:1f20");
        assert_eq!(view.payload, [0xca, 0xfe], "without padding");
    }

    #[test]
    fn contradictions_are_refused() {
        let mut short = bytes();
        short[5] = 5;
        assert_eq!(View::parse(&short).map(|_| ()), Err(Error::Truncated));
        let mut v4 = bytes();
        v4[0] = 0x45;
        assert_eq!(View::parse(&v4).map(|_| ()), Err(Error::Version));
        assert_eq!(Value { flow_label: 1 << 20, ..Value::default() }.to_bytes(), Err(Error::Unrepresentable));
    }

    proptest! {
        #[test]
        fn round_trip(
            traffic_class: u8, flow_label in 0..1u32 << 20, next: u8, hop_limit: u8, src: [u8; 16], dst: [u8; 16],
            payload in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let value = Value {
                traffic_class, flow_label, next: IpProto(next), hop_limit, src: src.into(), dst: dst.into(),
                payload_len: payload.len() as u16,
            };
            check(&value, &payload);
        }
    }
}
