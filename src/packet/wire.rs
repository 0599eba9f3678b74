//! What wire formats share: errors, and the trait of values that are parsed from bytes and written to bytes.
//!
//! Each format has a `View`, which borrows bytes and checks their length once, and a `Value`, which holds what the
//! bytes say and from which they are written. Lengths and checksums that follow from the rest are no part of values:
//! lengths are derived, checksums over payload are written as zero and filled by the format's `fill_checksum`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Why bytes are not the format that they should be, or a value can't be written. The sender is to blame for all but
/// `NoRoom` and `Unrepresentable`, which are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the format, or a length in it, says.
    #[error("truncated")]
    Truncated,
    /// A version that the format doesn't have.
    #[error("wrong version")]
    Version,
    /// A length that contradicts the format or another length.
    #[error("contradictory length")]
    Length,
    /// A value that the format rules out, or that this reader doesn't serve (hardware types of ARP).
    #[error("unsupported value")]
    Unsupported,
    /// The buffer to write to is too short.
    #[error("no room")]
    NoRoom,
    /// The value holds more than the format can say (options that are too long, say).
    #[error("not representable")]
    Unrepresentable,
}

/// A value of a wire format.
pub trait Wire: Sized {
    /// Reads the value at the start of `bytes` and returns it with the payload: what follows, cut to the length that
    /// the value states, where it states one.
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Error>;

    /// Bytes that [`emit`](Self::emit) writes.
    fn wire_len(&self) -> usize;

    /// Writes every one of the first [`wire_len`](Self::wire_len) bytes of `out` and returns the rest.
    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error>;

    /// The bytes as a vector.
    fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; self.wire_len()];
        self.emit(&mut out)?;
        Ok(out)
    }
}

/// The header at the start of `bytes`, and what follows.
#[inline]
pub(crate) fn split<T>(bytes: &[u8]) -> Result<(&T, &[u8]), Error>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_prefix(bytes).map_err(|_| Error::Truncated)
}

/// The header at the start of `bytes`, to change in place, and what follows.
#[inline]
pub fn split_mut<T>(bytes: &mut [u8]) -> Result<(&mut T, &mut [u8]), Error>
where
    T: FromBytes + IntoBytes + KnownLayout + Unaligned,
{
    T::mut_from_prefix(bytes).map_err(|_| Error::Truncated)
}

/// `n` bytes from the front, and what follows.
#[inline]
pub(crate) fn split_bytes(bytes: &[u8], n: usize) -> Result<(&[u8], &[u8]), Error> {
    bytes.split_at_checked(n).ok_or(Error::Truncated)
}

/// Writes a header and returns the rest of the buffer.
#[inline]
pub(crate) fn put<'a, T: IntoBytes + Immutable>(out: &'a mut [u8], value: &T) -> Result<&'a mut [u8], Error> {
    put_bytes(out, value.as_bytes())
}

/// Writes bytes and returns the rest of the buffer.
#[inline]
pub(crate) fn put_bytes<'a>(out: &'a mut [u8], bytes: &[u8]) -> Result<&'a mut [u8], Error> {
    let (to, rest) = out.split_at_mut_checked(bytes.len()).ok_or(Error::NoRoom)?;
    to.copy_from_slice(bytes);
    Ok(rest)
}

#[cfg(test)]
pub(crate) mod testing {
    //! Checks that hold for every format.

    use super::*;
    use std::fmt::Debug;

    /// parse(emit(v)) == v, over junk, with the length stated; no strict prefix parses; no shorter buffer is written.
    pub(crate) fn check<V: Wire + PartialEq + Debug>(value: &V, payload: &[u8]) {
        let len = value.wire_len();
        let mut first: Option<Vec<u8>> = None;
        for junk in [0xa5, 0x5a] {
            let mut out = vec![junk; len + payload.len() + 3];
            let rest = value.emit(&mut out).unwrap();
            assert_eq!(rest.len(), payload.len() + 3, "stated length is written length");
            assert!(rest.iter().all(|&b| b == junk), "wrote beyond its length");
            rest[..payload.len()].copy_from_slice(payload);
            out.truncate(len + payload.len());
            let (again, rest) = V::parse(&out).unwrap();
            assert_eq!(&again, value);
            assert_eq!(rest, payload);
            if let Some(first) = &first {
                assert_eq!(first, &out, "some bytes are not written");
            }
            first = Some(out);
        }
        let bytes = first.unwrap_or_default();
        assert_prefixes_refused::<V>(&bytes[..len]);
        for short in 0..len {
            assert_eq!(value.emit(&mut vec![0; short]).map(|_| ()), Err(Error::NoRoom));
        }
    }

    /// No strict prefix of a valid message is valid.
    pub(crate) fn assert_prefixes_refused<V: Wire + Debug>(bytes: &[u8]) {
        for short in 0..bytes.len() {
            let read = V::parse(&bytes[..short]);
            assert!(read.is_err(), "{short} of {} bytes were read as {read:?}", bytes.len());
        }
    }
}
