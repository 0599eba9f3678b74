//! Checked reading of bytes: what the layers are parsed with.
#![deny(clippy::indexing_slicing)]

/// What is left of a packet: bytes of the first segment, and how many follow in others.
pub(super) struct Cursor<'a> {
    data: &'a [u8],
    rest: usize,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(data: &'a [u8], rest: usize) -> Self {
        Cursor { data, rest, at: 0 }
    }

    /// Bytes from the frame's start to here; 0xffff where that is not a number that [`super::Layers`] can hold.
    pub(super) fn at(&self) -> u16 {
        u16::try_from(self.at).unwrap_or(super::NO_LAYER)
    }

    /// Bytes left, in all segments.
    pub(super) fn size(&self) -> usize {
        self.data.len() + self.rest
    }

    /// Keeps the first `size` of the bytes left and says how many there were behind them.
    pub(super) fn trim(&mut self, size: usize) -> usize {
        let cut = self.size().saturating_sub(size);
        if size <= self.data.len() {
            self.data = self.data.get(..size).unwrap_or(self.data);
            self.rest = 0;
        } else {
            self.rest = self.rest.saturating_sub(cut);
        }
        cut
    }

    /// The next `N` bytes, staying here.
    #[inline]
    pub(super) fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.data.first_chunk()
    }

    /// The next `N` bytes.
    #[inline]
    pub(super) fn pull<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, tail) = self.data.split_first_chunk()?;
        self.data = tail;
        self.at += N;
        Some(head)
    }

    /// Goes on `n` bytes; `None` (and stays) when there are fewer.
    pub(super) fn skip(&mut self, n: usize) -> Option<()> {
        self.data = self.data.get(n..)?;
        self.at += n;
        Some(())
    }
}

#[inline]
pub(super) fn be16(b: [u8; 2]) -> u16 {
    u16::from_be_bytes(b)
}

#[inline]
pub(super) fn be32(b: [u8; 4]) -> u32 {
    u32::from_be_bytes(b)
}

#[inline]
pub(super) fn be64(b: &[u8; 8]) -> u64 {
    u64::from_be_bytes(*b)
}

/// 48 bits.
#[inline]
pub(super) fn mac(b: &[u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
}
