//! `virtio_net_hdr` (virtio 1.2 section 5.1.6; linux/virtio_net.h): what a VM or the kernel says in front of a packet,
//! from and to a frame's offload metadata.
//!
//! 10 bytes, or 12 with the number of buffers (`VIRTIO_NET_F_MRG_RXBUF`, or virtio 1). Fields are little endian, which
//! is what the kernel's tap and packet sockets use on little-endian machines.
#![deny(clippy::indexing_slicing)]

use crate::Frame;
use crate::frame::{Checksum, L4Sum, Offload, Version};
use crate::locate::{self, L4, Layers};
use crate::wire::{Error, put, split};
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the form without the number of buffers.
pub const SHORT_LEN: usize = 10;
/// Bytes of the form with it.
pub const LONG_LEN: usize = 12;

/// Flag: the checksum at `csum_start + csum_offset` is still to be made over what follows `csum_start`.
pub const NEEDS_CSUM: u8 = 1;
/// Flag: the checksum was validated.
pub const DATA_VALID: u8 = 2;

/// No segmentation.
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// UDP fragmentation.
pub const GSO_UDP: u8 = 3;
/// TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// Bit beside [`GSO_TCPV4`] and [`GSO_TCPV6`]: the segment has ECN's CWR set.
pub const GSO_ECN: u8 = 0x80;

/// The short form as it lies in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`NEEDS_CSUM`], [`DATA_VALID`].
    pub flags: u8,
    /// `GSO_*`.
    pub gso_type: u8,
    /// Bytes of headers, a hint.
    pub hdr_len: U16,
    /// Bytes of payload per segment.
    pub gso_size: U16,
    /// Where the checksum's data starts.
    pub csum_start: U16,
    /// Where the checksum goes, from there.
    pub csum_offset: U16,
}

/// The header and, in the long form, the number of buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The fields of both forms.
    pub header: Header,
    /// Number of buffers; None is the short form.
    pub buffers: Option<u16>,
}

impl Value {
    /// Reads a header of 10 or, if `long`, 12 bytes from the start of `bytes`, and returns what follows too.
    pub fn parse(bytes: &[u8], long: bool) -> Result<(Value, &[u8]), Error> {
        let (header, rest) = split::<Header>(bytes)?;
        let (buffers, rest) = match long {
            true => split::<U16>(rest).map(|(n, rest)| (Some(n.get()), rest))?,
            false => (None, rest),
        };
        Ok((Value { header: *header, buffers }, rest))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    pub const fn wire_len(&self) -> usize {
        if self.buffers.is_some() { LONG_LEN } else { SHORT_LEN }
    }

    /// Writes the header and returns the rest of the buffer.
    pub fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let out = put(out, &self.header)?;
        match self.buffers {
            Some(n) => put(out, &U16::new(n)),
            None => Ok(out),
        }
    }
}

/// Sets a frame's metadata from the header that came with it. Other metadata (a stripped tag) stays.
///
/// Refused as contradictory: checksums of protocols other than TCP, UDP and SCTP or at other places than theirs,
/// segmentation of what is no TCP, an MSS of zero. Refused as unsupported: segmentation of UDP. A sender is to blame,
/// so the frame is to be dropped.
pub fn apply(frame: &mut Frame, header: &Header) -> Result<(), Error> {
    let mut offload = frame.offload();
    offload.rx_l4 = Checksum::Unknown;
    if header.flags & NEEDS_CSUM == 0 {
        if header.gso_type != GSO_NONE {
            return Err(Error::Length);
        }
        if header.flags & DATA_VALID != 0 {
            offload.rx_l4 = Checksum::Good;
        }
        frame.set_offload(offload);
        return Ok(());
    }
    let layers = locate::layers(frame).ok_or(Error::Length)?;
    let (start, offset) = (usize::from(header.csum_start.get()), usize::from(header.csum_offset.get()));
    let (l4, place) = match layers.l4 {
        L4::Tcp { .. } => (L4Sum::Tcp, 16),
        L4::Udp => (L4Sum::Udp, 6),
        L4::Sctp => (L4Sum::Sctp, 8),
        _ => return Err(Error::Length),
    };
    if start != layers.l4_at || offset != place {
        return Err(Error::Length);
    }
    offload.segment = match (header.gso_type & !GSO_ECN, layers.version) {
        (GSO_NONE, _) => None,
        (GSO_TCPV4, Version::V4) | (GSO_TCPV6, Version::V6) if l4 == L4Sum::Tcp && header.gso_size.get() != 0 => {
            Some(header.gso_size.get())
        }
        (GSO_TCPV4 | GSO_TCPV6, _) => return Err(Error::Length),
        _ => return Err(Error::Unsupported),
    };
    offload.rx_l4 = Checksum::None;
    offload.l4_sum = l4;
    layers.describe(&mut offload);
    frame.set_offload(offload);
    Ok(())
}

/// Turns what rte_vhost says of a frame that a virtual machine sent into work for transmit: a checksum that is not in the
/// data yet is still to be made, and a packet with a segment size still to be cut. Where the headers do not bear that out
/// the frame counts as whole: its receiver finds the checksum wrong.
pub fn adopt(frame: &mut Frame) {
    let mut offload = frame.offload();
    let (unmade, long) = (offload.rx_l4 == Checksum::None, offload.lro);
    if !unmade && !long {
        return;
    }
    let mss = (frame.raw().tx_offload >> 24) as u16;
    frame.clear_offload();
    offload = Offload::default();
    let Some(layers) = locate::layers(frame) else { return };
    offload.l4_sum = match layers.l4 {
        L4::Tcp { .. } => L4Sum::Tcp,
        L4::Udp => L4Sum::Udp,
        L4::Sctp => L4Sum::Sctp,
        _ => return,
    };
    offload.segment = (long && mss != 0 && offload.l4_sum == L4Sum::Tcp).then_some(mss);
    offload.rx_l4 = Checksum::None;
    layers.describe(&mut offload);
    frame.set_offload(offload);
}

/// The header that says what a frame's metadata says, for a receiver that understands it. Checksums to be made of
/// protocols or at places that the frame's headers don't show are an error (ours).
pub fn header_of(frame: &Frame) -> Result<Header, Error> {
    let offload = frame.offload();
    if offload.l4_sum == L4Sum::None && offload.segment.is_none() {
        let flags = if offload.rx_l4 == Checksum::Good { DATA_VALID } else { 0 };
        return Ok(Header { flags, ..Header::default() });
    }
    let layers: Layers = locate::layers(frame).ok_or(Error::Length)?;
    from_layers(&offload, &layers)
}

fn from_layers(offload: &Offload, layers: &Layers) -> Result<Header, Error> {
    let place = match (layers.l4, offload.l4_sum) {
        (L4::Tcp { .. }, L4Sum::Tcp | L4Sum::None) => 16,
        (L4::Udp, L4Sum::Udp) => 6,
        (L4::Sctp, L4Sum::Sctp) => 8,
        _ => return Err(Error::Unrepresentable),
    };
    let place_of = |n: usize| u16::try_from(n).map_err(|_| Error::Unrepresentable);
    let (gso_type, gso_size) = match (offload.segment, layers.version, layers.l4) {
        (None, ..) => (GSO_NONE, 0),
        (Some(mss), Version::V4, L4::Tcp { .. }) => (GSO_TCPV4, mss),
        (Some(mss), Version::V6, L4::Tcp { .. }) => (GSO_TCPV6, mss),
        _ => return Err(Error::Unrepresentable),
    };
    let headers = layers.l4_at + layers.l4_len();
    Ok(Header {
        flags: NEEDS_CSUM,
        gso_type,
        hdr_len: place_of(headers)?.into(),
        gso_size: gso_size.into(),
        csum_start: place_of(layers.l4_at)?.into(),
        csum_offset: U16::new(place),
    })
}

#[cfg(test)]
mod tests;
