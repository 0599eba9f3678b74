//! Network service header (RFC 8300 section 2).
#![deny(clippy::indexing_slicing)]

use crate::wire::{Error, Wire, put, put_bytes, split, split_bytes};
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of base and service path header.
pub const BASE_LEN: usize = 8;
/// Bytes of a header with metadata of type 1.
pub const MD1_LEN: usize = 24;
/// Most bytes of a header.
pub const MAX_LEN: usize = 63 * 4;

/// Next protocol: IPv4.
pub const NEXT_IPV4: u8 = 1;
/// Next protocol: IPv6.
pub const NEXT_IPV6: u8 = 2;
/// Next protocol: Ethernet.
pub const NEXT_ETHERNET: u8 = 3;
/// Next protocol: NSH.
pub const NEXT_NSH: u8 = 4;
/// Next protocol: MPLS.
pub const NEXT_MPLS: u8 = 5;

/// Base and service path header as they lie in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version (2 bits), OAM (1), unassigned (1), TTL (6), length in units of 4 bytes (6).
    pub version_flags_ttl_len: U16,
    /// Unassigned (4 bits), metadata type (4).
    pub md_type: u8,
    /// Next protocol.
    pub next: u8,
    /// Service path identifier (24 bits), service index (8).
    pub path_index: U32,
}

impl Header {
    /// Whether it is an OAM packet.
    #[inline]
    pub fn oam(&self) -> bool {
        self.version_flags_ttl_len.get() & 0x2000 != 0
    }

    /// Time to live, 6 bits.
    #[inline]
    pub fn ttl(&self) -> u8 {
        (self.version_flags_ttl_len.get() >> 6 & 0x3f) as u8
    }

    /// Bytes of the header as it says.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_flags_ttl_len.get() & 0x3f) * 4
    }

    /// Metadata type.
    #[inline]
    pub fn md_type(&self) -> u8 {
        self.md_type & 0xf
    }

    /// Service path identifier.
    #[inline]
    pub fn spi(&self) -> u32 {
        self.path_index.get() >> 8
    }

    /// Service index.
    #[inline]
    pub fn si(&self) -> u8 {
        self.path_index.get() as u8
    }
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Base and service path header.
    pub header: &'a Header,
    /// Context headers.
    pub metadata: &'a [u8],
    /// What follows.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks version and lengths: of type 1, exactly 24 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, rest) = split::<Header>(bytes)?;
        if header.version_flags_ttl_len.get() >> 14 != 0 {
            return Err(Error::Version);
        }
        let len = header.header_len().checked_sub(BASE_LEN).ok_or(Error::Length)?;
        if header.md_type() == 1 && header.header_len() != MD1_LEN {
            return Err(Error::Length);
        }
        let (metadata, payload) = split_bytes(rest, len)?;
        Ok(View { header, metadata, payload })
    }

    /// The four context words of type 1.
    #[inline]
    pub fn context(&self) -> Option<[u32; 4]> {
        let words = <[U32; 4]>::ref_from_bytes(self.metadata).ok()?;
        (self.header.md_type() == 1).then(|| words.map(U32::get))
    }

    /// The context headers of type 2; none of other types.
    pub fn tlvs(&self) -> Tlvs<'a> {
        Tlvs(if self.header.md_type() == 2 { self.metadata } else { &[] })
    }
}

/// A context header of metadata type 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Metadata class.
    pub class: u16,
    /// Type.
    pub kind: u8,
    /// Content, without padding; at most 127 bytes.
    pub content: &'a [u8],
}

impl Tlv<'_> {
    /// Appends the context header, padded to a multiple of 4 bytes.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.content.len() > 127 {
            return Err(Error::Unrepresentable);
        }
        out.extend(self.class.to_be_bytes());
        out.extend([self.kind, self.content.len() as u8]);
        out.extend(self.content);
        let padding = self.content.len().next_multiple_of(4) - self.content.len();
        out.resize(out.len() + padding, 0);
        Ok(())
    }
}

/// Iterator over context headers, up to the first that is cut short.
#[derive(Clone, Debug)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let [a, b, kind, len, rest @ ..] = self.0 else { return None };
        let len = usize::from(len & 0x7f);
        let (padded, rest) = rest.split_at_checked(len.next_multiple_of(4))?;
        self.0 = rest;
        Some(Tlv { class: u16::from_be_bytes([*a, *b]), kind: *kind, content: padded.get(..len)? })
    }
}

/// Metadata by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// Type 1: four words.
    Fixed([u32; 4]),
    /// Type 2: context headers as they lie in the packet, a multiple of 4 bytes; see [`Tlv`].
    Variable(Vec<u8>),
    /// Any other type (4 bits), with its content, a multiple of 4 bytes.
    Unknown(u8, Vec<u8>),
}

/// The header as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Whether it is an OAM packet.
    pub oam: bool,
    /// Time to live, 6 bits.
    pub ttl: u8,
    /// Next protocol.
    pub next: u8,
    /// Service path identifier, 24 bits.
    pub spi: u32,
    /// Service index.
    pub si: u8,
    /// Metadata.
    pub metadata: Metadata,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(bytes)?;
        let header = view.header;
        let metadata = match (header.md_type(), view.context()) {
            (_, Some(context)) => Metadata::Fixed(context),
            (2, None) => Metadata::Variable(view.metadata.to_vec()),
            (kind, None) => Metadata::Unknown(kind, view.metadata.to_vec()),
        };
        let (oam, ttl, next) = (header.oam(), header.ttl(), header.next);
        Ok((Value { oam, ttl, next, spi: header.spi(), si: header.si(), metadata }, view.payload))
    }

    fn wire_len(&self) -> usize {
        BASE_LEN
            + match &self.metadata {
                Metadata::Fixed(_) => 16,
                Metadata::Variable(content) | Metadata::Unknown(_, content) => content.len(),
            }
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let len = self.wire_len();
        let kind = match &self.metadata {
            Metadata::Fixed(_) => 1,
            Metadata::Variable(_) => 2,
            Metadata::Unknown(kind, _) => *kind,
        };
        if !len.is_multiple_of(4) || len > MAX_LEN || self.ttl > 0x3f || self.spi >> 24 != 0 || kind > 0xf {
            return Err(Error::Unrepresentable);
        }
        let header = Header {
            version_flags_ttl_len: (u16::from(self.oam) << 13 | u16::from(self.ttl) << 6 | (len / 4) as u16).into(),
            md_type: kind,
            next: self.next,
            path_index: (self.spi << 8 | u32::from(self.si)).into(),
        };
        let out = put(out, &header)?;
        match &self.metadata {
            Metadata::Fixed(words) => put(out, &words.map(U32::new)),
            Metadata::Variable(content) | Metadata::Unknown(_, content) => put_bytes(out, content),
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
        let mut bytes = vec![0x2f, 0xc6, 0x01, 0x03, 0x12, 0x34, 0x56, 0xff];
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 99]);
        let view = View::parse(&bytes).unwrap();
        assert!(view.header.oam());
        assert_eq!(view.header.ttl(), 63);
        assert_eq!(view.header.next, NEXT_ETHERNET);
        assert_eq!((view.header.spi(), view.header.si()), (0x123456, 255));
        assert_eq!(view.context(), Some([1, 2, 3, 4]));
        assert_eq!(view.tlvs().count(), 0);
        assert_eq!(view.payload, [99]);
    }

    #[test]
    fn contradictions_are_refused() {
        for (bytes, error) in [
            ([0x40, 6, 1, 3, 0, 0, 0, 0], Error::Version),
            ([0x00, 1, 2, 3, 0, 0, 0, 0], Error::Length),
            ([0x00, 5, 1, 3, 0, 0, 0, 0], Error::Length),
            ([0x00, 6, 1, 3, 0, 0, 0, 0], Error::Truncated),
        ] {
            assert_eq!(View::parse(&bytes).map(|_| ()), Err(error), "{bytes:?}");
        }
        let value = Value { oam: false, ttl: 0, next: 0, spi: 0, si: 0, metadata: Metadata::Variable(vec![]) };
        for bad in [
            Value { ttl: 64, ..value.clone() },
            Value { spi: 1 << 24, ..value.clone() },
            Value { metadata: Metadata::Variable(vec![0; 3]), ..value.clone() },
            Value { metadata: Metadata::Variable(vec![0; 248]), ..value.clone() },
            Value { metadata: Metadata::Unknown(16, vec![]), ..value.clone() },
        ] {
            assert_eq!(bad.to_bytes(), Err(Error::Unrepresentable));
        }
    }

    #[test]
    fn context_headers_round_trip() {
        let tlvs =
            [Tlv { class: 0x102, kind: 3, content: &[1, 2, 3, 4, 5] }, Tlv { class: 0xffff, kind: 0x83, content: &[] }];
        let mut content = vec![];
        for tlv in tlvs {
            tlv.emit(&mut content).unwrap();
        }
        assert_eq!(Tlvs(&content).collect::<Vec<_>>(), tlvs);
        for junk in [&[1, 2, 3][..], &[1, 2, 3, 1], &[1, 2, 3, 5, 0, 0, 0, 0]] {
            assert_eq!(Tlvs(junk).count(), 0, "{junk:?}");
        }
        assert_eq!(Tlv { class: 0, kind: 0, content: &[0; 128] }.emit(&mut content), Err(Error::Unrepresentable));
    }

    proptest! {
        #[test]
        fn round_trip(oam: bool, ttl in 0..64u8, next: u8, spi in 0..1u32 << 24, si: u8, words: [u32; 4], kind in 3..16u8, content in prop::collection::vec(any::<[u8; 4]>(), 0..8), payload: Vec<u8>) {
            let content = content.concat();
            for metadata in [Metadata::Fixed(words), Metadata::Variable(content.clone()), Metadata::Unknown(kind, content)] {
                check(&Value { oam, ttl, next, spi, si, metadata }, &payload);
            }
        }
    }
}
