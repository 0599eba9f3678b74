//! UDP (RFC 768).
#![deny(clippy::indexing_slicing)]

use crate::checksum::Sum;
use crate::wire::{Error, Wire, put, split, split_bytes, split_mut};
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// The header as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Bytes of header and payload.
    pub len: U16,
    /// Checksum; 0 says "none".
    pub checksum: U16,
}

/// A datagram cut to its stated length.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The header.
    pub header: &'a Header,
    /// Payload.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks the length, not the checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, rest) = split::<Header>(bytes)?;
        let len = usize::from(header.len.get()).checked_sub(HEADER_LEN).ok_or(Error::Length)?;
        let (payload, _) = split_bytes(rest, len)?;
        Ok(View { header, payload })
    }

    /// Whether the checksum is right under the sum of the pseudo header, or absent.
    pub fn checksum_ok(&self, pseudo: Sum) -> bool {
        self.header.checksum.get() == 0 || pseudo.bytes(self.header.as_bytes()).bytes(self.payload).finish() == 0
    }
}

/// The header as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Bytes of payload.
    pub payload_len: u16,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let View { header, payload } = View::parse(bytes)?;
        let payload_len = u16::try_from(payload.len()).map_err(|_| Error::Length)?;
        Ok((Value { src: header.src.get(), dst: header.dst.get(), payload_len }, payload))
    }

    fn wire_len(&self) -> usize {
        HEADER_LEN
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let len = self.payload_len.checked_add(HEADER_LEN as u16).ok_or(Error::Unrepresentable)?;
        put(out, &Header { src: self.src.into(), dst: self.dst.into(), len: len.into(), checksum: 0.into() })
    }
}

/// Makes the checksum of a whole datagram right under the sum of its pseudo header; never writes 0.
pub fn fill_checksum(datagram: &mut [u8], pseudo: Sum) -> Result<(), Error> {
    let (header, _) = split_mut::<Header>(datagram)?;
    header.checksum = 0.into();
    let sum = pseudo.bytes(datagram).finish_udp();
    let (header, _) = split_mut::<Header>(datagram)?;
    header.checksum = sum.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = [0x12, 0xb5, 0, 53, 0, 10, 0xbe, 0xef, 1, 2, 3];
        let view = View::parse(&bytes).unwrap();
        assert_eq!((view.header.src.get(), view.header.dst.get()), (4789, 53));
        assert_eq!(view.header.checksum.get(), 0xbeef);
        assert_eq!(view.payload, [1, 2]);
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(View::parse(&[0, 1, 0, 2, 0, 7, 0, 0]).map(|_| ()), Err(Error::Length));
        assert_eq!(View::parse(&[0, 1, 0, 2, 0, 9, 0, 0]).map(|_| ()), Err(Error::Truncated));
        assert_eq!(Value { payload_len: 65_528, ..Value::default() }.to_bytes(), Err(Error::Unrepresentable));
    }

    #[test]
    fn zero_is_written_as_ones() {
        let mut bytes = Value::default().to_bytes().unwrap();
        fill_checksum(&mut bytes, Sum::new().word(0xfff7)).unwrap();
        assert_eq!(bytes[6..], [0xff, 0xff]);
        assert!(View::parse(&bytes).unwrap().checksum_ok(Sum::new().word(0xfff7)));
        assert!(!View::parse(&bytes).unwrap().checksum_ok(Sum::new()));
        bytes[6..].fill(0);
        assert!(View::parse(&bytes).unwrap().checksum_ok(Sum::new()), "absent");
    }

    proptest! {
        #[test]
        fn round_trip(src: u16, dst: u16, payload: Vec<u8>, pseudo: u16) {
            let value = Value { src, dst, payload_len: payload.len() as u16 };
            check(&value, &payload);
            let mut bytes = value.to_bytes().unwrap();
            bytes.extend(&payload);
            let pseudo = Sum::new().word(pseudo);
            fill_checksum(&mut bytes, pseudo).unwrap();
            prop_assert!(View::parse(&bytes).unwrap().checksum_ok(pseudo));
        }
    }
}
