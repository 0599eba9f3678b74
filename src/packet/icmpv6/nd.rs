//! Neighbour discovery messages and options (RFC 4861 section 4).
#![deny(clippy::indexing_slicing)]

use super::{NEIGHBOR_ADVERT, NEIGHBOR_SOLICIT, ROUTER_ADVERT, ROUTER_SOLICIT};
use crate::eth::MacAddr;
use crate::icmp;
use crate::wire::{Error, Wire, put, put_bytes, split};
use std::net::Ipv6Addr;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Flag of a neighbour advertisement: the sender is a router.
pub const ROUTER: u32 = 1 << 31;
/// Flag of a neighbour advertisement: it answers a solicitation.
pub const SOLICITED: u32 = 1 << 30;
/// Flag of a neighbour advertisement: it overrides a cached address.
pub const OVERRIDE: u32 = 1 << 29;

/// A neighbour solicitation or advertisement as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Neighbor {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub checksum: U16,
    /// Flags of advertisements, and reserved bits.
    pub reserved: U32,
    /// Target.
    pub target: [u8; 16],
}

/// A router advertisement as it lies in the packet, behind the ICMPv6 header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RouterTimes {
    reachable: U32,
    retransmit: U32,
}

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The fixed part.
    pub header: &'a Neighbor,
    /// Options.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks type, code 0 and length.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, payload) = split::<Neighbor>(bytes)?;
        if !matches!(header.kind, NEIGHBOR_SOLICIT | NEIGHBOR_ADVERT) || header.code != 0 {
            return Err(Error::Unsupported);
        }
        Ok(View { header, payload })
    }

    /// Target.
    #[inline]
    pub fn target(&self) -> Ipv6Addr {
        self.header.target.into()
    }

    /// The options; see [`options`].
    #[inline]
    pub fn options(&self) -> Options<'a> {
        options(self.payload)
    }
}

/// Walks options. A malformed one (no length, or beyond the end) yields an error and ends the walk.
#[inline]
pub fn options(bytes: &[u8]) -> Options<'_> {
    Options(bytes)
}

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdOption<'a> {
    /// Source link-layer address.
    SourceMac(MacAddr),
    /// Target link-layer address.
    TargetMac(MacAddr),
    /// Prefix information: prefix length, L and A flags and reserved bits, valid and preferred lifetime in seconds,
    /// prefix.
    Prefix(u8, u8, u32, u32, Ipv6Addr),
    /// MTU of the link, bytes.
    Mtu(u32),
    /// Any other type with its content, 6 bytes more than a multiple of 8.
    Unknown(u8, &'a [u8]),
}

/// Iterator over options.
#[derive(Clone, Debug)]
pub struct Options<'a>(&'a [u8]);

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PrefixOption {
    len: u8,
    flags: u8,
    valid: U32,
    preferred: U32,
    reserved: U32,
    prefix: [u8; 16],
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<NdOption<'a>, Error>;

    fn next(&mut self) -> Option<Result<NdOption<'a>, Error>> {
        let bytes = std::mem::take(&mut self.0);
        let [kind, len, ..] = bytes else {
            return (!bytes.is_empty()).then_some(Err(Error::Truncated));
        };
        if *len == 0 {
            return Some(Err(Error::Length));
        }
        let Some((option, rest)) = bytes.split_at_checked(usize::from(*len) * 8) else {
            return Some(Err(Error::Truncated));
        };
        self.0 = rest;
        let content = option.get(2..).unwrap_or_default();
        Some(Ok(match (kind, content) {
            (1, [a, b, c, d, e, f]) => NdOption::SourceMac(MacAddr([*a, *b, *c, *d, *e, *f])),
            (2, [a, b, c, d, e, f]) => NdOption::TargetMac(MacAddr([*a, *b, *c, *d, *e, *f])),
            (5, [0, 0, a, b, c, d]) => NdOption::Mtu(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => match PrefixOption::ref_from_bytes(content) {
                Ok(p) if *kind == 3 && p.reserved.get() == 0 => {
                    NdOption::Prefix(p.len, p.flags, p.valid.get(), p.preferred.get(), p.prefix.into())
                }
                _ => NdOption::Unknown(*kind, content),
            },
        }))
    }
}

impl NdOption<'_> {
    /// Appends the option; contents of a length that the format can't say are not representable.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut put = |kind, content: &[u8]| {
            let len = content.len() + 2;
            if !len.is_multiple_of(8) || len > 255 * 8 {
                return Err(Error::Unrepresentable);
            }
            out.extend([kind, (len / 8) as u8]);
            out.extend(content);
            Ok(())
        };
        match self {
            NdOption::SourceMac(mac) => put(1, &mac.0),
            NdOption::TargetMac(mac) => put(2, &mac.0),
            NdOption::Prefix(len, flags, valid, preferred, prefix) => {
                let (valid, preferred) = ((*valid).into(), (*preferred).into());
                let option = PrefixOption {
                    len: *len,
                    flags: *flags,
                    valid,
                    preferred,
                    reserved: 0.into(),
                    prefix: prefix.octets(),
                };
                put(3, option.as_bytes())
            }
            NdOption::Mtu(mtu) => put(5, &[&[0, 0], &mtu.to_be_bytes()[..]].concat()),
            NdOption::Unknown(kind, content) => put(*kind, content),
        }
    }
}

/// A message without its options, which are its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Who has the target?
    NeighborSolicit {
        /// Target.
        target: Ipv6Addr,
    },
    /// The target is here.
    NeighborAdvert {
        /// [`ROUTER`], [`SOLICITED`], [`OVERRIDE`], and reserved bits.
        flags: u32,
        /// Target.
        target: Ipv6Addr,
    },
    /// Is there a router?
    RouterSolicit,
    /// A router, and what its link is like.
    RouterAdvert {
        /// Hop limit for hosts, 0 if unsaid.
        hop_limit: u8,
        /// M and O flags (0x80, 0x40) and others.
        flags: u8,
        /// Lifetime as a default router, seconds.
        lifetime: u16,
        /// Reachable time, milliseconds.
        reachable: u32,
        /// Retransmission time, milliseconds.
        retransmit: u32,
    },
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let (header, rest) = split::<icmp::Header>(bytes)?;
        match (header.kind, header.code) {
            (ROUTER_SOLICIT, 0) => Ok((Value::RouterSolicit, rest)),
            (ROUTER_ADVERT, 0) => {
                let (times, rest) = split::<RouterTimes>(rest)?;
                let [hop_limit, flags, a, b] = header.rest;
                let lifetime = u16::from_be_bytes([a, b]);
                let (reachable, retransmit) = (times.reachable.get(), times.retransmit.get());
                Ok((Value::RouterAdvert { hop_limit, flags, lifetime, reachable, retransmit }, rest))
            }
            _ => {
                let view = View::parse(bytes)?;
                let target = view.target();
                let value = match header.kind {
                    NEIGHBOR_SOLICIT => Value::NeighborSolicit { target },
                    _ => Value::NeighborAdvert { flags: view.header.reserved.get(), target },
                };
                Ok((value, view.payload))
            }
        }
    }

    fn wire_len(&self) -> usize {
        match self {
            Value::NeighborSolicit { .. } | Value::NeighborAdvert { .. } => 24,
            Value::RouterSolicit => 8,
            Value::RouterAdvert { .. } => 16,
        }
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let head = |kind, rest| icmp::Value { kind, code: 0, rest };
        match *self {
            Value::NeighborSolicit { target } => put_bytes(head(NEIGHBOR_SOLICIT, [0; 4]).emit(out)?, &target.octets()),
            Value::NeighborAdvert { flags, target } => {
                put_bytes(head(NEIGHBOR_ADVERT, flags.to_be_bytes()).emit(out)?, &target.octets())
            }
            Value::RouterSolicit => head(ROUTER_SOLICIT, [0; 4]).emit(out),
            Value::RouterAdvert { hop_limit, flags, lifetime, reachable, retransmit } => {
                let [a, b] = lifetime.to_be_bytes();
                let out = head(ROUTER_ADVERT, [hop_limit, flags, a, b]).emit(out)?;
                put(out, &RouterTimes { reachable: reachable.into(), retransmit: retransmit.into() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    #[test]
    fn each_field_is_where_it_belongs() {
        let mut bytes = vec![136, 0, 0x12, 0x34, 0xa0, 0, 0, 0];
        bytes.extend(1..=16);
        bytes.extend([2, 1, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 1, 1, 1, 2, 3, 4, 5, 6]);
        let view = View::parse(&bytes).unwrap();
        assert_eq!(view.header.checksum.get(), 0x1234);
        assert_eq!(view.header.reserved.get(), ROUTER | OVERRIDE);
        assert_eq!(view.target().to_string(), "102:304:506:708:90a:b0c:d0e:f10");
        let options: Vec<_> = view.options().collect();
        assert_eq!(options[0], Ok(NdOption::TargetMac(MacAddr([10, 11, 12, 13, 14, 15]))));
        assert_eq!(options[1], Ok(NdOption::SourceMac(MacAddr([1, 2, 3, 4, 5, 6]))));
        bytes[0] = 134;
        let advert = Value::RouterAdvert {
            hop_limit: 0xa0,
            flags: 0,
            lifetime: 0,
            reachable: 0x0102_0304,
            retransmit: 0x0506_0708,
        };
        assert_eq!(Value::parse(&bytes).unwrap().0, advert);
    }

    #[test]
    fn other_messages_are_unsupported() {
        for (at, value) in [(0, 137), (0, 132), (1, 1)] {
            let mut bytes = Value::NeighborSolicit { target: Ipv6Addr::LOCALHOST }.to_bytes().unwrap();
            bytes[at] = value;
            assert_eq!(Value::parse(&bytes), Err(Error::Unsupported));
        }
    }

    #[test]
    fn malformed_options_end_the_walk() {
        for (bytes, error) in [
            (&[1][..], Error::Truncated),
            (&[1, 0, 0, 0, 0, 0, 0, 0], Error::Length),
            (&[1, 2, 0, 0, 0, 0, 0, 0], Error::Truncated),
        ] {
            assert_eq!(options(bytes).collect::<Vec<_>>(), [Err(error)]);
        }
        assert_eq!(NdOption::Unknown(9, &[0; 7]).emit(&mut vec![]), Err(Error::Unrepresentable));
        assert_eq!(NdOption::Unknown(9, &[0; 2046]).emit(&mut vec![]), Err(Error::Unrepresentable));
    }

    proptest! {
        #[test]
        fn options_round_trip(mac: [u8; 6], prefix: [u8; 16], a: u32, b: u32, c: u8, d: u8, words in prop::collection::vec(any::<[u8; 8]>(), 0..3)) {
            let content = [&[1; 6][..], &words.concat()].concat();
            let all = [
                NdOption::SourceMac(MacAddr(mac)),
                NdOption::TargetMac(MacAddr(mac)),
                NdOption::Prefix(c, d, a, b, prefix.into()),
                NdOption::Mtu(a),
                NdOption::Unknown(14, &content),
                NdOption::Unknown(1, &[0; 14]),
                NdOption::Unknown(5, &[1; 6]),
            ];
            let mut bytes = vec![];
            for option in all {
                option.emit(&mut bytes).unwrap();
            }
            prop_assert_eq!(options(&bytes).collect::<Result<Vec<_>, _>>().unwrap(), all);
        }

        #[test]
        fn round_trip(target: [u8; 16], flags: u32, a: u8, b: u8, c: u16, d: u32, payload: Vec<u8>) {
            check(&Value::NeighborSolicit { target: target.into() }, &payload);
            check(&Value::NeighborAdvert { flags, target: target.into() }, &payload);
            check(&Value::RouterSolicit, &payload);
            check(&Value::RouterAdvert { hop_limit: a, flags: b, lifetime: c, reachable: d, retransmit: flags }, &payload);
        }
    }
}
