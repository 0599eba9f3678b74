//! SCTP common header and chunks (RFC 9260 section 3).
#![deny(clippy::indexing_slicing)]

use crate::checksum::crc32c;
use crate::wire::{Error, Wire, put, split, split_mut};
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the common header.
pub const HEADER_LEN: usize = 12;

/// The common header as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Verification tag.
    pub tag: U32,
    /// CRC32c of header and chunks with this field zero, least significant byte first.
    pub checksum: [u8; 4],
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The common header.
    pub header: &'a Header,
    /// Chunks.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks for the common header, not the checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, payload) = split::<Header>(bytes)?;
        Ok(View { header, payload })
    }

    /// Whether the checksum is right.
    pub fn checksum_ok(&self) -> bool {
        let header = Header { checksum: [0; 4], ..*self.header };
        crc32c([header.as_bytes(), self.payload]).to_le_bytes() == self.header.checksum
    }

    /// The chunks, up to the first that is malformed.
    pub fn chunks(&self) -> Chunks<'a> {
        Chunks(self.payload)
    }
}

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Type: 0 DATA, 1 INIT, 2 INIT ACK …
    pub kind: u8,
    /// Flags, by type.
    pub flags: u8,
    /// Content, without padding.
    pub content: &'a [u8],
}

/// Iterator over chunks.
#[derive(Clone, Debug)]
pub struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let [kind, flags, a, b, rest @ ..] = self.0 else { return None };
        let len = usize::from(u16::from_be_bytes([*a, *b])).checked_sub(4)?;
        let (content, rest) = rest.split_at_checked(len)?;
        // padding of the last chunk may be left out
        self.0 = rest.get(len.next_multiple_of(4) - len..).unwrap_or_default();
        Some(Chunk { kind: *kind, flags: *flags, content })
    }
}

impl Chunk<'_> {
    /// Appends the chunk, padded; contents over 65,531 bytes are not representable.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let len = u16::try_from(self.content.len() + 4).map_err(|_| Error::Unrepresentable)?;
        out.extend([self.kind, self.flags]);
        out.extend(len.to_be_bytes());
        out.extend(self.content);
        out.resize(out.len() + usize::from(len).next_multiple_of(4) - usize::from(len), 0);
        Ok(())
    }
}

/// The common header as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Verification tag.
    pub tag: u32,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let View { header, payload } = View::parse(bytes)?;
        Ok((Value { src: header.src.get(), dst: header.dst.get(), tag: header.tag.get() }, payload))
    }

    fn wire_len(&self) -> usize {
        HEADER_LEN
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        put(out, &Header { src: self.src.into(), dst: self.dst.into(), tag: self.tag.into(), checksum: [0; 4] })
    }
}

/// Makes the checksum of a whole packet right.
pub fn fill_checksum(packet: &mut [u8]) -> Result<(), Error> {
    let (header, _) = split_mut::<Header>(packet)?;
    header.checksum = [0; 4];
    let sum = crc32c([&*packet]);
    let (header, _) = split_mut::<Header>(packet)?;
    header.checksum = sum.to_le_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = [0, 100, 0, 200, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 0, 5, 9, 0, 0, 0, 14, 0, 0, 4];
        let view = View::parse(&bytes).unwrap();
        assert_eq!((view.header.src.get(), view.header.dst.get()), (100, 200));
        assert_eq!(view.header.tag.get(), 0x0102_0304);
        assert_eq!(view.header.checksum, [5, 6, 7, 8]);
        let chunks: Vec<_> = view.chunks().collect();
        assert_eq!(chunks[0], Chunk { kind: 1, flags: 2, content: &[9] });
        assert_eq!(chunks[1], Chunk { kind: 14, flags: 0, content: &[] });
    }

    #[test]
    fn junk_ends_the_chunks() {
        for junk in [&[1, 2, 0][..], &[1, 2, 0, 3], &[1, 2, 0, 5], &[1, 2, 0xff, 0xff, 0, 0]] {
            assert_eq!(Chunks(junk).count(), 0, "{junk:?}");
        }
        assert_eq!(Chunks(&[1, 2, 0, 5, 0]).count(), 1, "unpadded");
        assert_eq!(Chunk { kind: 0, flags: 0, content: &[0; 65_532] }.emit(&mut vec![]), Err(Error::Unrepresentable));
    }

    proptest! {
        #[test]
        fn round_trip(src: u16, dst: u16, tag: u32, contents in prop::collection::vec(any::<(u8, u8, Vec<u8>)>(), 0..4)) {
            let value = Value { src, dst, tag };
            let mut payload = vec![];
            let chunks: Vec<_> =
                contents.iter().map(|(kind, flags, content)| Chunk { kind: *kind, flags: *flags, content }).collect();
            for chunk in &chunks {
                chunk.emit(&mut payload).unwrap();
            }
            check(&value, &payload);
            let mut bytes = value.to_bytes().unwrap();
            bytes.extend(&payload);
            fill_checksum(&mut bytes).unwrap();
            let view = View::parse(&bytes).unwrap();
            prop_assert!(view.checksum_ok());
            prop_assert_eq!(view.chunks().collect::<Vec<_>>(), chunks);
            bytes[1] ^= 1;
            prop_assert!(!View::parse(&bytes).unwrap().checksum_ok());
        }
    }
}
