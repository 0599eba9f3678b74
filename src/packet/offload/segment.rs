//! TCP segmentation: one long packet into several of at most the maximum segment size.
//!
//! Each gets the headers with its own lengths, sequence number (RFC 9293 section 3.10), IPv4 identification (counted
//! up, as RFC 6864 asks of datagrams that may be fragmented) and checksums. FIN and PSH go to the last only, CWR to the
//! first only (RFC 3168 section 6.1.2).
#![deny(clippy::indexing_slicing)]

use super::{Failure, headers};
use crate::device::TxCaps;
use crate::frame::{L4Sum, Offload, Version};
use crate::locate::Layers;
use crate::tcp::Flags;
use crate::wire::split_mut;
use crate::{Frame, ipv4, ipv6, tcp};

/// Most packets that one is cut into: 64 KiB at the least segment size that Linux sends, 48 bytes.
pub const SEGMENTS_MAX: usize = 1366;

/// The packets, made one by one. Ends after the last, or after an error.
#[derive(Debug)]
pub struct Segments {
    source: Frame,
    layers: Layers,
    caps: TxCaps,
    offload: Offload,
    mss: usize,
    /// Bytes of headers in front of the payload.
    header_len: usize,
    /// The next payload byte, from the payload's start.
    at: usize,
    /// Bytes of payload; `at == len` is the end.
    len: usize,
    /// Packets made so far.
    made: u16,
}

impl Segments {
    /// `layers` are those of `source`, with TCP and whole headers in the first segment.
    pub(super) fn new(source: Frame, layers: &Layers, mss: u16, caps: &TxCaps) -> Result<Segments, Failure> {
        let header_len = layers.l4_at + layers.l4_len();
        let len = layers.end.checked_sub(header_len).ok_or(Failure::Malformed)?;
        let mss = usize::from(mss);
        if len.div_ceil(mss.max(1)) > SEGMENTS_MAX {
            return Err(Failure::TooMany);
        }
        if header_len + mss > caps.max_frame as usize {
            return Err(Failure::TooLong);
        }
        let offload = source.offload();
        Ok(Segments { source, layers: *layers, caps: *caps, offload, mss, header_len, at: 0, len, made: 0 })
    }

    /// How many packets are still to come.
    pub fn remaining(&self) -> usize {
        (self.len - self.at).div_ceil(self.mss.max(1))
    }

    fn make(&mut self) -> Result<Frame, Failure> {
        let n = self.mss.min(self.len - self.at);
        let total = self.header_len + n;
        let mut frame = self.source.alloc_like(total).ok_or(Failure::NoBuffer)?;
        if frame.tailroom() < total {
            // a pool of small buffers and a large segment size
            frame = Frame::with_capacity(total);
        }
        let room = frame.append(total).ok_or(Failure::NoBuffer)?;
        let (head, payload) = room.split_at_mut_checked(self.header_len).ok_or(Failure::Malformed)?;
        self.source.copy_to(0, head);
        if self.source.copy_to(self.header_len + self.at, payload) != n {
            return Err(Failure::Malformed);
        }
        self.rewrite(head, n)?;
        frame.copy_meta(&self.source);
        let offload = Offload { segment: None, l4_sum: L4Sum::Tcp, ip_sum: false, lro: false, ..self.offload };
        let layers = headers(&mut frame).ok_or(Failure::Malformed)?;
        super::checksums(&mut frame, offload, &layers, &self.caps)?;
        self.at += n;
        self.made = self.made.wrapping_add(1);
        Ok(frame)
    }

    /// Makes the headers those of the next packet, with `n` bytes of payload.
    fn rewrite(&self, head: &mut [u8], n: usize) -> Result<(), Failure> {
        let malformed = |_| Failure::Malformed;
        let ip = head.get_mut(self.layers.l3_at..).ok_or(Failure::Malformed)?;
        let l4_len = self.layers.l4_len() + n;
        let l3_len = self.layers.l4_at - self.layers.l3_at;
        match self.layers.version {
            Version::V4 => {
                let (header, _) = split_mut::<ipv4::Header>(ip).map_err(malformed)?;
                header.total_len = u16::try_from(l3_len + l4_len).map_err(|_| Failure::TooLong)?.into();
                header.ident = header.ident.get().wrapping_add(self.made).into();
                ipv4::fill_checksum(ip).map_err(malformed)?;
            }
            Version::V6 => {
                let (header, _) = split_mut::<ipv6::Header>(ip).map_err(malformed)?;
                let len = l3_len - ipv6::HEADER_LEN + l4_len;
                header.payload_len = u16::try_from(len).map_err(|_| Failure::TooLong)?.into();
            }
        }
        let segment = head.get_mut(self.layers.l4_at..).ok_or(Failure::Malformed)?;
        let (header, _) = split_mut::<tcp::Header>(segment).map_err(malformed)?;
        header.seq = header.seq.get().wrapping_add(self.at as u32).into();
        let mut flags = header.flags();
        if self.at != 0 {
            flags = flags.without(Flags::CWR);
        }
        if self.at + n != self.len {
            flags = flags.without(Flags::FIN.with(Flags::PSH));
        }
        header.set_flags(flags);
        Ok(())
    }
}

impl Iterator for Segments {
    type Item = Result<Frame, Failure>;

    fn next(&mut self) -> Option<Result<Frame, Failure>> {
        if self.at == self.len {
            return None;
        }
        let made = self.make();
        if made.is_err() {
            self.at = self.len;
        }
        Some(made)
    }
}
