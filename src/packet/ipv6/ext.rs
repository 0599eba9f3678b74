//! IPv6 extension headers (RFC 8200 section 4) and the authentication header (RFC 4302): a bounded walk, and values.
#![deny(clippy::indexing_slicing)]

use crate::ip::{FragmentKind, IpProto};
#[cfg(test)]
use crate::wire::Wire;
use crate::wire::{Error, put, put_bytes, split, split_bytes};
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Most headers that a walk follows; more are malformed. RFC 8200 recommends seven at most.
pub const MAX: usize = 16;

/// Whether it is an extension header that [`walk`] steps over. ESP is not: what follows is opaque.
#[inline]
pub const fn is_extension(proto: IpProto) -> bool {
    matches!(proto, IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::FRAGMENT | IpProto::AH | IpProto::DESTINATION)
}

/// What a chain of extension headers comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk<'a> {
    /// Protocol of `payload`. In a later fragment, what the fragment header says.
    pub proto: IpProto,
    /// What follows the extension headers. In a later fragment, what follows the fragment header.
    pub payload: &'a [u8],
    /// Bytes of extension headers.
    pub len: usize,
    /// Number of extension headers.
    pub count: u8,
    /// The last fragment header.
    pub fragment: Option<Fragment>,
    /// Where the next-header byte that says `proto` is, counted from the end of the IPv6 header; None where it is in
    /// the IPv6 header itself.
    pub next_at: Option<usize>,
    /// The final destination and the segments left of a routing header, bytes from the end of the IPv6 header: where
    /// the last address is, when segments are left (the checksum's pseudo header then has that address).
    pub final_dst_at: Option<usize>,
}

impl Walk<'_> {
    /// Which part of a datagram the packet is.
    #[inline]
    pub fn kind(&self) -> FragmentKind {
        self.fragment.map_or(FragmentKind::No, Fragment::kind)
    }
}

/// Steps over extension headers from `first` on; a later fragment ends the walk, as what follows is not a header.
#[inline]
pub fn walk(first: IpProto, bytes: &[u8]) -> Result<Walk<'_>, Error> {
    let mut at =
        Walk { proto: first, payload: bytes, len: 0, count: 0, fragment: None, next_at: None, final_dst_at: None };
    while is_extension(at.proto) {
        if usize::from(at.count) == MAX {
            return Err(Error::Length);
        }
        let step = View::parse(at.proto, at.payload)?;
        let base = bytes.len() - at.payload.len();
        if at.proto == IpProto::FRAGMENT {
            at.fragment = step.fragment();
        } else if at.proto == IpProto::ROUTING {
            at.final_dst_at = final_dst(step.bytes).map(|offset| base + offset).or(at.final_dst_at);
        }
        at.next_at = Some(base);
        at.proto = step.next;
        at.payload = step.payload;
        at.len += step.bytes.len();
        at.count += 1;
        if at.kind() == FragmentKind::Later {
            break;
        }
    }
    Ok(at)
}

/// Where the final destination is in a routing header with segments left: type 0 and 2 (RFC 6275), the last address;
/// type 4 (RFC 8754), the first of the segment list.
fn final_dst(header: &[u8]) -> Option<usize> {
    let [_, len, kind, left, ..] = header else { return None };
    match (kind, left) {
        (_, 0) => None,
        (0 | 2, _) => (usize::from(*len) * 8).checked_sub(8),
        (4, _) => Some(8),
        _ => None,
    }
    .filter(|offset| offset + 16 <= header.len())
}

/// One extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// Its own protocol number.
    pub proto: IpProto,
    /// What follows it.
    pub next: IpProto,
    /// The header.
    pub bytes: &'a [u8],
    /// What follows.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Reads the header of protocol `proto` from the start of `bytes`; unsupported if that is no extension header.
    #[inline]
    pub fn parse(proto: IpProto, bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let [next, len, ..] = bytes else { return Err(Error::Truncated) };
        let len = usize::from(*len);
        let len = match proto {
            IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::DESTINATION => (len + 1) * 8,
            IpProto::FRAGMENT => 8,
            // in units of 4 bytes, less 2 (RFC 4302 section 2.2)
            IpProto::AH => (len + 2) * 4,
            _ => return Err(Error::Unsupported),
        };
        let (header, payload) = split_bytes(bytes, len)?;
        if proto == IpProto::AH && len < 12 {
            return Err(Error::Length);
        }
        Ok(View { proto, next: IpProto(*next), bytes: header, payload })
    }

    /// Offset and flags of a fragment header.
    #[inline]
    pub fn fragment(&self) -> Option<Fragment> {
        match self.bytes {
            [_, _, a, b, c, d, e, f] if self.proto == IpProto::FRAGMENT => {
                Some(Fragment { bits: u16::from_be_bytes([*a, *b]), ident: u32::from_be_bytes([*c, *d, *e, *f]) })
            }
            _ => None,
        }
    }
}

/// What a fragment header says: offset in units of 8 bytes (13 bits), reserved (2), more fragments (1); identification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Offset and flags.
    pub bits: u16,
    /// Identification.
    pub ident: u32,
}

impl Fragment {
    /// Offset in bytes.
    #[inline]
    pub const fn offset(self) -> u16 {
        self.bits & !7
    }

    /// Whether more fragments follow.
    #[inline]
    pub const fn more(self) -> bool {
        self.bits & 1 != 0
    }

    /// Which part of a datagram it is. An atomic fragment (offset 0, no more) counts as none (RFC 6946).
    #[inline]
    pub const fn kind(self) -> FragmentKind {
        match (self.offset(), self.more()) {
            (0, false) => FragmentKind::No,
            (0, true) => FragmentKind::First,
            _ => FragmentKind::Later,
        }
    }
}

/// An extension header as a value, with the protocol number that is written in the header before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Hop-by-hop (RFC 8200 section 4.3): options, 6 bytes more than a multiple of 8.
    HopByHop(IpProto, Vec<u8>),
    /// Destination options (section 4.6), likewise.
    Destination(IpProto, Vec<u8>),
    /// Routing (section 4.4): from the type on, 6 bytes more than a multiple of 8.
    Routing(IpProto, Vec<u8>),
    /// Fragment (section 4.5).
    Fragment(IpProto, Fragment),
    /// Authentication (RFC 4302): SPI, sequence number, integrity check value (a multiple of 4 bytes).
    Auth(IpProto, u32, u32, Vec<u8>),
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FragmentHeader {
    next: u8,
    reserved: u8,
    bits: U16,
    ident: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct AuthHeader {
    next: u8,
    len: u8,
    reserved: U16,
    spi: U32,
    sequence: U32,
}

impl Value {
    /// Its protocol number.
    pub fn proto(&self) -> IpProto {
        match self {
            Value::HopByHop(..) => IpProto::HOP_BY_HOP,
            Value::Destination(..) => IpProto::DESTINATION,
            Value::Routing(..) => IpProto::ROUTING,
            Value::Fragment(..) => IpProto::FRAGMENT,
            Value::Auth(..) => IpProto::AH,
        }
    }

    /// What follows it.
    pub fn next_mut(&mut self) -> &mut IpProto {
        match self {
            Value::HopByHop(next, _)
            | Value::Destination(next, _)
            | Value::Routing(next, _)
            | Value::Fragment(next, _)
            | Value::Auth(next, ..) => next,
        }
    }

    /// Reads the header of protocol `proto`, which the header before it says, and returns what follows too.
    pub fn parse(proto: IpProto, bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(proto, bytes)?;
        let (next, content) = (view.next, view.bytes.get(2..).unwrap_or_default().to_vec());
        let value = match proto {
            IpProto::HOP_BY_HOP => Value::HopByHop(next, content),
            IpProto::DESTINATION => Value::Destination(next, content),
            IpProto::ROUTING => Value::Routing(next, content),
            IpProto::FRAGMENT => Value::Fragment(next, view.fragment().ok_or(Error::Length)?),
            _ => {
                let (auth, icv) = split::<AuthHeader>(view.bytes)?;
                Value::Auth(next, auth.spi.get(), auth.sequence.get(), icv.to_vec())
            }
        };
        Ok((value, view.payload))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    pub fn wire_len(&self) -> usize {
        match self {
            Value::HopByHop(_, content) | Value::Destination(_, content) | Value::Routing(_, content) => {
                2 + content.len()
            }
            Value::Fragment(..) => 8,
            Value::Auth(.., icv) => 12 + icv.len(),
        }
    }

    /// Writes the header and returns the rest of the buffer.
    pub fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let len = self.wire_len();
        match self {
            Value::HopByHop(next, content) | Value::Destination(next, content) | Value::Routing(next, content) => {
                if !len.is_multiple_of(8) || len == 0 || len > 2048 {
                    return Err(Error::Unrepresentable);
                }
                put_bytes(put_bytes(out, &[next.0, (len / 8 - 1) as u8])?, content)
            }
            Value::Fragment(next, fragment) => {
                let (bits, ident) = (fragment.bits.into(), fragment.ident.into());
                put(out, &FragmentHeader { next: next.0, reserved: 0, bits, ident })
            }
            Value::Auth(next, spi, sequence, icv) => {
                if !len.is_multiple_of(4) || len > (255 + 2) * 4 {
                    return Err(Error::Unrepresentable);
                }
                let header = AuthHeader {
                    next: next.0,
                    len: (len / 4 - 2) as u8,
                    reserved: 0.into(),
                    spi: (*spi).into(),
                    sequence: (*sequence).into(),
                };
                put_bytes(put(out, &header)?, icv)
            }
        }
    }
}

/// A chain of extension headers as a value, led by the protocol number of its first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain(pub Vec<Value>);

impl Chain {
    /// Links the headers: each says what the next is, and the last `last`. Returns what the IPv6 header has to say.
    pub fn link(&mut self, last: IpProto) -> IpProto {
        self.0.iter_mut().rev().fold(last, |next, header| {
            *header.next_mut() = next;
            header.proto()
        })
    }

    /// Bytes of all headers.
    pub fn wire_len(&self) -> usize {
        self.0.iter().map(Value::wire_len).sum()
    }

    /// Writes all headers and returns the rest of the buffer.
    pub fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        self.0.iter().try_fold(out, |out, header| header.emit(out))
    }
}

/// One header with its protocol number in front, so that the checks for every format serve.
#[cfg(test)]
#[derive(Debug, PartialEq)]
struct Prefixed(Value);

#[cfg(test)]
impl Wire for Prefixed {
    fn parse(bytes: &[u8]) -> Result<(Prefixed, &[u8]), Error> {
        let [proto, bytes @ ..] = bytes else { return Err(Error::Truncated) };
        Value::parse(IpProto(*proto), bytes).map(|(value, rest)| (Prefixed(value), rest))
    }

    fn wire_len(&self) -> usize {
        1 + self.0.wire_len()
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        self.0.emit(put_bytes(out, &[self.0.proto().0])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    fn header(value: Value) -> Vec<u8> {
        let mut out = vec![0; value.wire_len()];
        value.emit(&mut out).unwrap();
        out
    }

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = [6, 0, 0x05, 0xc9, 0xde, 0xad, 0xbe, 0xef];
        let view = View::parse(IpProto::FRAGMENT, &bytes).unwrap();
        let fragment = view.fragment().unwrap();
        assert_eq!((fragment.offset(), fragment.more(), fragment.ident), (0x5c8, true, 0xdead_beef));
        assert_eq!(view.next, IpProto::TCP);
        let bytes = [17, 2, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 9, 9, 9, 9];
        let auth = Value::parse(IpProto::AH, &bytes).unwrap().0;
        assert_eq!(auth, Value::Auth(IpProto::UDP, 0x102, 0x304, vec![9; 4]));
        let bytes = [6, 0, 1, 4, 0, 0, 0, 0];
        let options = Value::parse(IpProto::HOP_BY_HOP, &bytes).unwrap().0;
        assert_eq!(options, Value::HopByHop(IpProto::TCP, vec![1, 4, 0, 0, 0, 0]));
    }

    #[test]
    fn the_walk_ends_at_the_payload() {
        let mut chain = Chain(vec![
            Value::HopByHop(IpProto(0), vec![1, 4, 0, 0, 0, 0]),
            Value::Routing(IpProto(0), vec![0; 6]),
            Value::Fragment(IpProto(0), Fragment { bits: 1, ident: 5 }),
            Value::Auth(IpProto(0), 1, 2, vec![3; 12]),
            Value::Destination(IpProto(0), vec![1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ]);
        let first = chain.link(IpProto::UDP);
        assert_eq!(first, IpProto::HOP_BY_HOP);
        let mut bytes = vec![0; chain.wire_len()];
        chain.emit(&mut bytes).unwrap();
        bytes.extend([1, 2, 3]);
        let walk = walk(first, &bytes).unwrap();
        assert_eq!((walk.proto, walk.payload, walk.len, walk.count), (IpProto::UDP, &[1u8, 2, 3][..], 64, 5));
        assert_eq!(walk.kind(), FragmentKind::First);
        assert_eq!(walk.next_at, Some(48));
    }

    #[test]
    fn a_later_fragment_ends_the_walk() {
        let mut bytes = header(Value::Fragment(IpProto::DESTINATION, Fragment { bits: 0x10, ident: 5 }));
        bytes.extend([1, 2, 3]);
        let walk = walk(IpProto::FRAGMENT, &bytes).unwrap();
        assert_eq!((walk.proto, walk.payload), (IpProto::DESTINATION, &[1u8, 2, 3][..]));
        assert_eq!(walk.kind(), FragmentKind::Later);
        assert_eq!(Fragment { bits: 6, ident: 0 }.kind(), FragmentKind::No, "atomic");
    }

    #[test]
    fn the_final_destination_is_found() {
        for (kind, left, segments, at) in [
            (0, 2, 3, Some(8 + 32)),
            (2, 1, 1, Some(8)),
            (4, 1, 3, Some(8)),
            (0, 0, 2, None),
            (3, 1, 1, None),
            (0, 1, 0, None),
        ] {
            let mut content = vec![kind, left, 0, 0, 0, 0];
            content.extend(vec![7; segments * 16]);
            let bytes = header(Value::Routing(IpProto::UDP, content));
            assert_eq!(walk(IpProto::ROUTING, &bytes).unwrap().final_dst_at, at, "type {kind} left {left}");
        }
    }

    #[test]
    fn the_walk_is_bounded() {
        let hop = |next, count| [header(Value::Destination(next, vec![0; 6])).repeat(count), vec![17; 8]].concat();
        assert_eq!(walk(IpProto::DESTINATION, &hop(IpProto::DESTINATION, MAX)), Err(Error::Length));
        assert_eq!(walk(IpProto::DESTINATION, &[60, 9, 0, 0]), Err(Error::Truncated));
        assert_eq!(walk(IpProto::ESP, &[1]).unwrap().len, 0);
        assert_eq!(View::parse(IpProto::AH, &[0; 8]), Err(Error::Length));
    }

    #[test]
    fn what_can_not_be_said_is_refused() {
        for value in [
            Value::HopByHop(IpProto(0), vec![0; 7]),
            Value::Destination(IpProto(0), vec![0; 2054]),
            Value::Auth(IpProto(0), 0, 0, vec![0; 3]),
            Value::Auth(IpProto(0), 0, 0, vec![0; 1020]),
        ] {
            assert_eq!(value.emit(&mut [0; 4096]).map(|_| ()), Err(Error::Unrepresentable));
        }
    }

    proptest! {
        #[test]
        fn round_trip(kind in 0..5, next: u8, words in prop::collection::vec(any::<[u8; 8]>(), 0..5), a: u32, b: u32, payload: Vec<u8>) {
            let (next, words) = (IpProto(next), words.concat());
            let content = [&[1; 6][..], &words].concat();
            check(&Prefixed(match kind {
                0 => Value::HopByHop(next, content),
                1 => Value::Destination(next, content),
                2 => Value::Routing(next, content),
                3 => Value::Fragment(next, Fragment { bits: a as u16, ident: b }),
                _ => Value::Auth(next, a, b, words),
            }), &payload);
        }
    }
}
