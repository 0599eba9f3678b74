//! IPv4 (RFC 791) with options and fragments.
#![deny(clippy::indexing_slicing)]

use crate::checksum;
use crate::ip::{FragmentKind, IpProto};
use crate::wire::{Error, Wire, put_bytes, split, split_bytes};
use std::net::Ipv4Addr;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Most bytes of options.
pub const OPTIONS_MAX: usize = 40;

/// Flags and fragment offset: reserved, don't fragment, more fragments (a bit each), offset in units of 8 bytes (13 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment(pub u16);

impl Fragment {
    /// Don't fragment, whole.
    pub const DONT: Fragment = Fragment(0x4000);

    /// From its parts; `offset` in bytes, a multiple of 8 below 65,536.
    pub const fn new(offset: u16, more: bool, dont: bool) -> Fragment {
        Fragment(offset >> 3 | (more as u16) << 13 | (dont as u16) << 14)
    }

    /// Offset in bytes.
    #[inline]
    pub const fn offset(self) -> u16 {
        self.0 << 3
    }

    /// Whether more fragments follow.
    #[inline]
    pub const fn more(self) -> bool {
        self.0 & 0x2000 != 0
    }

    /// Whether fragmenting is forbidden.
    #[inline]
    pub const fn dont(self) -> bool {
        self.0 & 0x4000 != 0
    }

    /// Which part of a datagram it is.
    #[inline]
    pub const fn kind(self) -> FragmentKind {
        match (self.offset(), self.more()) {
            (0, false) => FragmentKind::No,
            (0, true) => FragmentKind::First,
            _ => FragmentKind::Later,
        }
    }
}

/// The header as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version (4 bits), header length in units of 4 bytes (4).
    pub version_ihl: u8,
    /// DSCP (6 bits), ECN (2).
    pub tos: u8,
    /// Bytes of header and payload.
    pub total_len: U16,
    /// Identification.
    pub ident: U16,
    /// Flags and fragment offset.
    pub fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub proto: u8,
    /// Header checksum.
    pub checksum: U16,
    /// Source.
    pub src: [u8; 4],
    /// Destination.
    pub dst: [u8; 4],
}

impl Header {
    /// Bytes of the header with options as it says; less than 20 in a malformed one.
    #[inline]
    pub const fn header_len(&self) -> usize {
        (self.version_ihl & 0xf) as usize * 4
    }
}

/// A packet cut to its stated length.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The fixed part of the header.
    pub header: &'a Header,
    /// Options, a multiple of 4 bytes.
    pub options: &'a [u8],
    /// Payload, without what pads the frame.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks version and lengths, not the checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, rest) = split::<Header>(bytes)?;
        if header.version_ihl >> 4 != 4 {
            return Err(Error::Version);
        }
        let total = usize::from(header.total_len.get());
        let options = header.header_len().checked_sub(HEADER_LEN).ok_or(Error::Length)?;
        let payload = total.checked_sub(header.header_len()).ok_or(Error::Length)?;
        let (options, rest) = split_bytes(rest, options)?;
        let (payload, _) = split_bytes(rest, payload)?;
        Ok(View { header, options, payload })
    }

    /// Source.
    #[inline]
    pub fn src(&self) -> Ipv4Addr {
        self.header.src.into()
    }

    /// Destination.
    #[inline]
    pub fn dst(&self) -> Ipv4Addr {
        self.header.dst.into()
    }

    /// Protocol of the payload.
    #[inline]
    pub fn proto(&self) -> IpProto {
        IpProto(self.header.proto)
    }

    /// Flags and fragment offset.
    #[inline]
    pub fn fragment(&self) -> Fragment {
        Fragment(self.header.fragment.get())
    }

    /// Whether the header checksum is right.
    pub fn checksum_ok(&self) -> bool {
        checksum::Sum::new().bytes(self.header.as_bytes()).bytes(self.options).finish() == 0
    }

    /// The options, up to the end marker or the first that is cut short.
    pub fn options(&self) -> Options<'a> {
        Options(self.options)
    }
}

/// Iterator over options: kind and content. Padding is left out.
#[derive(Clone, Debug)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        loop {
            match self.0 {
                [] | [0, ..] => return None,
                [1, rest @ ..] => self.0 = rest,
                [kind, len, ..] => {
                    let (option, rest) = self.0.split_at_checked(usize::from(*len))?;
                    self.0 = rest;
                    return Some((*kind, option.get(2..)?));
                }
                [_] => return None,
            }
        }
    }
}

/// The header as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// DSCP (6 bits), ECN (2).
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// Flags and fragment offset.
    pub fragment: Fragment,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub proto: IpProto,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Options: a multiple of 4 bytes, at most [`OPTIONS_MAX`].
    pub options: Vec<u8>,
    /// Bytes of payload.
    pub payload_len: u16,
}

impl Default for Value {
    fn default() -> Value {
        Value {
            tos: 0,
            ident: 0,
            fragment: Fragment::DONT,
            ttl: 64,
            proto: IpProto(0),
            src: Ipv4Addr::UNSPECIFIED,
            dst: Ipv4Addr::UNSPECIFIED,
            options: Vec::new(),
            payload_len: 0,
        }
    }
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(bytes)?;
        let value = Value {
            tos: view.header.tos,
            ident: view.header.ident.get(),
            fragment: view.fragment(),
            ttl: view.header.ttl,
            proto: view.proto(),
            src: view.src(),
            dst: view.dst(),
            options: view.options.to_vec(),
            payload_len: u16::try_from(view.payload.len()).map_err(|_| Error::Length)?,
        };
        Ok((value, view.payload))
    }

    fn wire_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes a right checksum.
    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        if self.options.len() > OPTIONS_MAX || !self.options.len().is_multiple_of(4) {
            return Err(Error::Unrepresentable);
        }
        let total = usize::from(self.payload_len) + self.wire_len();
        let mut header = Header {
            version_ihl: 0x40 | (self.wire_len() / 4) as u8,
            tos: self.tos,
            total_len: u16::try_from(total).map_err(|_| Error::Unrepresentable)?.into(),
            ident: self.ident.into(),
            fragment: self.fragment.0.into(),
            ttl: self.ttl,
            proto: self.proto.0,
            checksum: 0.into(),
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        header.checksum = checksum::Sum::new().bytes(header.as_bytes()).bytes(&self.options).finish().into();
        put_bytes(put_bytes(out, header.as_bytes())?, &self.options)
    }
}

/// Makes the checksum of the header at the start of `bytes` right; truncated when there is none.
pub fn fill_checksum(bytes: &mut [u8]) -> Result<(), Error> {
    let len = split::<Header>(bytes)?.0.header_len();
    let header = bytes.get_mut(..len).ok_or(Error::Truncated)?;
    let (fixed, _) = Header::mut_from_prefix(header).map_err(|_| Error::Length)?;
    fixed.checksum = 0.into();
    let sum = checksum::of(header);
    let (fixed, _) = Header::mut_from_prefix(header).map_err(|_| Error::Length)?;
    fixed.checksum = sum.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    /// A UDP packet of 192.168.0.1, with the checksum of the worked example on header sums.
    const BYTES: [u8; 20] = [
        0x45, 0x00, 0x00, 0x14, 0x12, 0x34, 0x60, 0x05, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00,
        0xc7,
    ];

    #[test]
    fn each_field_is_where_it_belongs() {
        let mut bytes = BYTES.to_vec();
        bytes[1] = 0xb9;
        let view = View::parse(&bytes).unwrap();
        assert_eq!((view.header.tos >> 2, view.header.tos & 3), (46, 1));
        assert_eq!(view.header.ident.get(), 0x1234);
        assert!(view.fragment().dont() && view.fragment().more());
        assert_eq!(view.fragment().offset(), 40);
        assert_eq!(view.header.ttl, 64);
        assert_eq!(view.proto(), IpProto::UDP);
        assert_eq!(view.src(), Ipv4Addr::new(192, 168, 0, 1));
        assert_eq!(view.dst(), Ipv4Addr::new(192, 168, 0, 199));
        assert!(view.payload.is_empty() && view.options.is_empty());
    }

    #[test]
    fn checksum_of_the_well_known_example() {
        // 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7
        let value = Value {
            payload_len: 0x73 - 20,
            proto: IpProto::UDP,
            src: Ipv4Addr::new(192, 168, 0, 1),
            dst: Ipv4Addr::new(192, 168, 0, 199),
            ..Value::default()
        };
        let mut bytes = value.to_bytes().unwrap();
        assert_eq!(bytes[10..12], [0xb8, 0x61]);
        bytes[10..12].fill(0x77);
        fill_checksum(&mut bytes).unwrap();
        assert_eq!(bytes[10..12], [0xb8, 0x61]);
        bytes.resize(0x73, 0);
        assert!(View::parse(&bytes).unwrap().checksum_ok());
        bytes[8] -= 1;
        assert!(!View::parse(&bytes).unwrap().checksum_ok());
    }

    #[test]
    fn contradictions_are_refused() {
        for (at, value, error) in [
            (0, 0x65, Error::Version),
            (0, 0x44, Error::Length),
            (0, 0x46, Error::Length), // header beyond the total
            (3, 19, Error::Length),
            (3, 21, Error::Truncated),
        ] {
            let mut bytes = BYTES;
            bytes[at] = value;
            assert_eq!(View::parse(&bytes).map(|_| ()), Err(error), "byte {at} = {value:#x}");
        }
        assert_eq!(fill_checksum(&mut [0x44; 20]), Err(Error::Length));
        assert_eq!(fill_checksum(&mut [0x4f; 40]), Err(Error::Truncated));
    }

    #[test]
    fn fragments() {
        for (bits, kind) in [
            (0x4000, FragmentKind::No),
            (0x2000, FragmentKind::First),
            (0x2001, FragmentKind::Later),
            (0x0001, FragmentKind::Later),
            (0x8000, FragmentKind::No),
        ] {
            assert_eq!(Fragment(bits).kind(), kind, "{bits:#x}");
        }
        assert_eq!(Fragment::new(1480, true, false), Fragment(0x20b9));
    }

    #[test]
    fn padding_is_no_payload_and_options_are_walked() {
        let value = Value { options: vec![1, 0x94, 4, 0, 0, 7, 3, 4], payload_len: 2, ..Value::default() };
        let mut bytes = value.to_bytes().unwrap();
        bytes.extend([1, 2, 0, 0, 0]);
        let view = View::parse(&bytes).unwrap();
        assert_eq!(view.payload, [1, 2]);
        assert_eq!(view.options().collect::<Vec<_>>(), [(0x94, &[0u8, 0][..]), (7, &[4])]);
        for junk in [&[0x94][..], &[0x94, 0, 1], &[0x94, 1], &[0x94, 9, 9]] {
            assert_eq!(Options(junk).count(), 0, "{junk:?}");
        }
    }

    #[test]
    fn what_can_not_be_said_is_refused() {
        for options in [vec![0; 3], vec![0; 44]] {
            assert_eq!(Value { options, ..Value::default() }.to_bytes(), Err(Error::Unrepresentable));
        }
        assert_eq!(Value { payload_len: 65_516, ..Value::default() }.to_bytes(), Err(Error::Unrepresentable));
    }

    proptest! {
        #[test]
        fn round_trip(
            tos: u8, ident: u16, fragment: u16, ttl: u8, proto: u8, src: [u8; 4], dst: [u8; 4],
            options in prop::collection::vec(any::<[u8; 4]>(), 0..=10), payload in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let value = Value {
                tos, ident, fragment: Fragment(fragment), ttl, proto: IpProto(proto), src: src.into(), dst: dst.into(),
                options: options.concat(), payload_len: payload.len() as u16,
            };
            check(&value, &payload);
        }
    }
}
