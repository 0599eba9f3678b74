//! ICMP (RFC 792), and the header that ICMPv6 shares with it.
#![deny(clippy::indexing_slicing)]

use crate::checksum::Sum;
use crate::wire::{Error, Wire, put, split, split_mut};
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// Type: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: fragmentation needed; the next hop's MTU is in the last two header bytes (RFC 1191).
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// Type: source quench.
pub const SOURCE_QUENCH: u8 = 4;
/// Type: redirect.
pub const REDIRECT: u8 = 5;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// The header as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Type.
    pub kind: u8,
    /// Code, by type.
    pub code: u8,
    /// Checksum of header and payload (ICMPv6: and pseudo header).
    pub checksum: U16,
    /// Four bytes by type.
    pub rest: [u8; 4],
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The header.
    pub header: &'a Header,
    /// What follows: echoed data, or the start of the packet that an error is about.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks for the header, not the checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, payload) = split::<Header>(bytes)?;
        Ok(View { header, payload })
    }

    /// Whether it reports an error, and so quotes a packet (RFC 1122 section 3.2.2).
    #[inline]
    pub fn is_error(&self) -> bool {
        matches!(self.header.kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }

    /// Whether the checksum is right; `pseudo` is empty for ICMP.
    pub fn checksum_ok(&self, pseudo: Sum) -> bool {
        pseudo.bytes(self.header.as_bytes()).bytes(self.payload).finish() == 0
    }
}

/// The header as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Type.
    pub kind: u8,
    /// Code, by type.
    pub code: u8,
    /// Four bytes by type.
    pub rest: [u8; 4],
}

impl Value {
    /// An echo request or reply of `kind`.
    pub const fn echo(kind: u8, ident: u16, sequence: u16) -> Value {
        let ([a, b], [c, d]) = (ident.to_be_bytes(), sequence.to_be_bytes());
        Value { kind, code: 0, rest: [a, b, c, d] }
    }

    /// Identifier of an echo.
    pub const fn ident(&self) -> u16 {
        let [a, b, _, _] = self.rest;
        u16::from_be_bytes([a, b])
    }

    /// Sequence number of an echo; MTU of [`FRAGMENTATION_NEEDED`].
    pub const fn sequence(&self) -> u16 {
        let [_, _, a, b] = self.rest;
        u16::from_be_bytes([a, b])
    }
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let View { header, payload } = View::parse(bytes)?;
        Ok((Value { kind: header.kind, code: header.code, rest: header.rest }, payload))
    }

    fn wire_len(&self) -> usize {
        HEADER_LEN
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        put(out, &Header { kind: self.kind, code: self.code, checksum: 0.into(), rest: self.rest })
    }
}

/// Makes the checksum of a whole message right; `pseudo` is empty for ICMP.
pub fn fill_checksum(message: &mut [u8], pseudo: Sum) -> Result<(), Error> {
    let (header, _) = split_mut::<Header>(message)?;
    header.checksum = 0.into();
    let sum = pseudo.bytes(message).finish();
    let (header, _) = split_mut::<Header>(message)?;
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
        let bytes = [8, 1, 0x12, 0x34, 5, 6, 7, 8, 9];
        let view = View::parse(&bytes).unwrap();
        assert_eq!((view.header.kind, view.header.code, view.header.checksum.get()), (8, 1, 0x1234));
        let value = Value::parse(&bytes).unwrap().0;
        assert_eq!((value.ident(), value.sequence()), (0x0506, 0x0708));
        assert_eq!(view.payload, [9]);
        assert!(!view.is_error());
        assert_eq!(Value::echo(8, 0x0506, 0x0708), Value { code: 0, ..value });
    }

    #[test]
    fn errors_are_told_from_queries() {
        for kind in 0..=255u8 {
            let error = View::parse(&[kind, 0, 0, 0, 0, 0, 0, 0]).unwrap().is_error();
            assert_eq!(error, [3, 4, 5, 11, 12].contains(&kind), "type {kind}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(kind: u8, code: u8, rest: [u8; 4], payload: Vec<u8>) {
            let value = Value { kind, code, rest };
            check(&value, &payload);
            let mut bytes = value.to_bytes().unwrap();
            bytes.extend(&payload);
            fill_checksum(&mut bytes, Sum::new()).unwrap();
            prop_assert!(View::parse(&bytes).unwrap().checksum_ok(Sum::new()));
            bytes[1] ^= 1;
            prop_assert!(!View::parse(&bytes).unwrap().checksum_ok(Sum::new()));
        }
    }
}
