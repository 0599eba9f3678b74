//! Bytes in and out: a cursor that never runs past its end, and what is written in network order.
#![deny(clippy::indexing_slicing)]

use super::codes::{ErrorCode, NXBRC_MUST_BE_ZERO, OFPBRC_BAD_LEN};
use super::error::{Error, Result};

/// Bytes that have not been read. What is too short is an error of the kind that the cursor was made with.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    data: &'a [u8],
    short: ErrorCode,
}

impl<'a> Bytes<'a> {
    /// `data`, which a message says is there.
    pub fn new(data: &'a [u8]) -> Bytes<'a> {
        Bytes { data, short: OFPBRC_BAD_LEN }
    }

    /// `data`; reading past its end is the error `short`.
    pub fn or(data: &'a [u8], short: ErrorCode) -> Bytes<'a> {
        Bytes { data, short }
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All that is left, without reading it.
    pub fn rest(&self) -> &'a [u8] {
        self.data
    }

    /// The error for what is too short or too long.
    pub fn bad_len(&self) -> Error {
        Error::new(self.short)
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.data.split_at_checked(n).ok_or(Error::new(self.short))?;
        self.data = tail;
        Ok(head)
    }

    /// The next `n` bytes as a cursor of their own.
    pub fn sub(&mut self, n: usize) -> Result<Bytes<'a>> {
        Ok(Bytes { data: self.take(n)?, short: self.short })
    }

    /// All that is left as a cursor of its own.
    pub fn all(&mut self) -> Bytes<'a> {
        Bytes { data: std::mem::take(&mut self.data), short: self.short }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.data.split_first_chunk().ok_or(Error::new(self.short))?;
        self.data = tail;
        Ok(*head)
    }

    pub fn skip(&mut self, n: usize) -> Result<()> {
        self.take(n).map(|_| ())
    }

    /// Skips `n` bytes that must be 0.
    pub fn zeros(&mut self, n: usize) -> Result<()> {
        match self.take(n)?.iter().all(|b| *b == 0) {
            true => Ok(()),
            false => Err(Error::new(NXBRC_MUST_BE_ZERO)),
        }
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn u128(&mut self) -> Result<u128> {
        self.array().map(u128::from_be_bytes)
    }

    /// An Ethernet address.
    pub fn mac(&mut self) -> Result<u64> {
        Ok(number(self.take(6)?) as u64)
    }

    /// A text in `n` bytes, ended by a NUL where it is shorter.
    pub fn text(&mut self, n: usize) -> Result<String> {
        let all = self.take(n)?;
        let end = all.iter().position(|b| *b == 0).unwrap_or(n);
        Ok(String::from_utf8_lossy(all.get(..end).unwrap_or(all)).into_owned())
    }

    /// An element whose first 16 bits are its type and the next its length, which counts these four bytes; the next
    /// element begins at a multiple of `align`. Gives the type and what follows the length.
    pub fn tlv(&mut self, align: usize) -> Result<(u16, Bytes<'a>)> {
        let mut head = *self;
        let (kind, len) = (head.u16()?, usize::from(head.u16()?));
        let mut body = self.sub(len)?;
        body.skip(4)?;
        // the last one's padding may be missing
        self.skip((len.next_multiple_of(align) - len).min(self.len()))?;
        Ok((kind, body))
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(Error::new(self.short)) }
    }
}

/// Bytes as a number; of more than 16 bytes the last ones.
pub fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

/// Writing in network order.
pub trait Put {
    fn bytes(&mut self, bytes: &[u8]);
    fn u8(&mut self, n: u8) {
        self.bytes(&[n]);
    }
    fn u16(&mut self, n: u16) {
        self.bytes(&n.to_be_bytes());
    }
    fn u32(&mut self, n: u32) {
        self.bytes(&n.to_be_bytes());
    }
    fn u64(&mut self, n: u64) {
        self.bytes(&n.to_be_bytes());
    }
    fn u128(&mut self, n: u128) {
        self.bytes(&n.to_be_bytes());
    }
    fn mac(&mut self, n: u64) {
        self.bytes(n.to_be_bytes().get(2..).unwrap_or(&[]));
    }
    fn zeros(&mut self, n: usize) {
        for _ in 0..n {
            self.u8(0);
        }
    }
    /// The low `n` bytes of a number, zeros before them when there are more than 16.
    fn number(&mut self, value: u128, n: usize) {
        self.zeros(n.saturating_sub(16));
        self.bytes(value.to_be_bytes().get(16usize.saturating_sub(n)..).unwrap_or(&[]));
    }
    /// `text` in exactly `n` bytes, cut and NUL-ended when it is too long.
    fn text(&mut self, text: &str, n: usize) {
        let end = text.len().min(n.saturating_sub(1));
        self.bytes(text.as_bytes().get(..end).unwrap_or(&[]));
        self.zeros(n - end);
    }
}

impl Put for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Pads what was written since `start` to a multiple of `align` bytes.
pub fn pad(out: &mut Vec<u8>, start: usize, align: usize) {
    let len = out.len() - start;
    out.zeros(len.next_multiple_of(align) - len);
}

/// Stores at `at` how many bytes there are from `start` on; what is too long wraps, which [`super::message`] refuses.
pub fn set_len(out: &mut [u8], at: usize, start: usize) {
    let len = (out.len() - start) as u16;
    set_u16(out, at, len);
}

/// Overwrites the 16 bits at `at`.
pub fn set_u16(out: &mut [u8], at: usize, n: u16) {
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&n.to_be_bytes());
    }
}
