//! Egress resolution of offload metadata in software: checksums still to be made, TCP packets still to be cut, chains
//! that a device can't take, stripped tags.
//!
//! [`ready`] and [`passes`] are the tests per packet; all else is off the fast path. [`resolve`] leaves to the device what [`TxCaps`]
//! says it can, with the metadata and the pseudo header sum in place that it wants.
#![deny(clippy::indexing_slicing)]

mod segment;
#[cfg(test)]
mod tests;

pub use segment::{SEGMENTS_MAX, Segments};

use crate::checksum::{Sum, crc32c};
use crate::device::TxCaps;
use crate::eth::EtherType;
use crate::frame::{L4Sum, Offload, Version, flags};
use crate::locate::{L4, Layers, layers};
use crate::{Frame, ipv4, vlan};

/// Why a frame can't be sent; each is a reason to drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The headers are not those that the metadata asks work on: the sender is to blame.
    #[error("headers do not fit the offload that is asked for")]
    Malformed,
    /// Longer than the device takes.
    #[error("longer than the device takes")]
    TooLong,
    /// It would be cut into more than [`SEGMENTS_MAX`] packets: the sender is to blame.
    #[error("maximum segment size is too small")]
    TooMany,
    /// Checksums of outer headers are not made here.
    #[error("tunnel offload is not resolved in software")]
    Unsupported,
    /// The pool is empty, or the headers have no room.
    #[error("no buffer")]
    NoBuffer,
}

/// What a frame becomes.
#[derive(Debug)]
pub enum Resolved {
    /// One frame, ready to be sent.
    Frame(Frame),
    /// Several, made as they are asked for.
    Segments(Segments),
}

/// Whether a frame can be sent as it is: no work to be done, a shape that the device takes.
#[inline]
pub fn ready(frame: &Frame, caps: &TxCaps) -> bool {
    !frame.has_tx_work() && frame.len() <= caps.max_frame as usize && (frame.is_linear() || caps.multi_segment)
}

/// Whether a frame that nobody changed since it was received can be sent as it is. Besides those that are [`ready`] that is
/// one whose sender left the checksum of layer 4 to others, where the device makes it: the pseudo header's sum is in place.
#[inline]
pub fn passes(frame: &Frame, caps: &TxCaps) -> bool {
    let work = frame.ol_flags() & flags::TX_WORK;
    let makes = match work {
        0 => true,
        flags::TX_TCP_CKSUM => caps.tcp_checksum,
        flags::TX_UDP_CKSUM => caps.udp_checksum,
        _ => false,
    };
    makes && frame.len() <= caps.max_frame as usize && (frame.is_linear() || caps.multi_segment)
}

/// Makes a frame what the device takes.
pub fn resolve(mut frame: Frame, caps: &TxCaps) -> Result<Resolved, Failure> {
    if frame.has_tx_work() {
        let offload = frame.offload();
        if offload.outer_ip_sum || offload.outer_udp_sum || offload.tunnel != 0 {
            return Err(Failure::Unsupported);
        }
        let layers = headers(&mut frame).ok_or(Failure::Malformed)?;
        match (offload.segment, layers.l4) {
            (None, _) => checksums(&mut frame, offload, &layers, caps)?,
            (Some(_), L4::Tcp { .. }) if caps.tso => {
                let l4_sum = L4Sum::Tcp;
                checksums(&mut frame, Offload { l4_sum, ip_sum: true, ..offload }, &layers, caps)?;
                return shape(frame, &TxCaps { max_frame: u32::MAX, ..*caps }).map(Resolved::Frame);
            }
            (Some(mss), L4::Tcp { .. }) => {
                let payload = layers.end - layers.l4_at - layers.l4_len();
                if payload > usize::from(mss) {
                    return Segments::new(frame, &layers, mss, caps).map(Resolved::Segments);
                }
                let offload = Offload { segment: None, l4_sum: L4Sum::Tcp, ip_sum: true, ..offload };
                checksums(&mut frame, offload, &layers, caps)?;
            }
            _ => return Err(Failure::Malformed),
        }
    }
    shape(frame, caps).map(Resolved::Frame)
}

/// Checks the length, and makes the frame linear for devices that want it so.
fn shape(frame: Frame, caps: &TxCaps) -> Result<Frame, Failure> {
    if frame.len() > caps.max_frame as usize {
        return Err(Failure::TooLong);
    }
    if frame.is_linear() || caps.multi_segment {
        return Ok(frame);
    }
    frame.linearize().ok_or(Failure::TooLong)
}

/// Finds the layers, with the headers made linear where need be.
fn headers(frame: &mut Frame) -> Option<Layers> {
    if let Some(found) = layers(frame) {
        return Some(found);
    }
    let most = frame.len().min(512);
    if frame.is_linear() || !frame.linearize_to(most) { None } else { layers(frame) }
}

/// Fills the checksums that the device can't, and prepares those that it can.
fn checksums(frame: &mut Frame, offload: Offload, layers: &Layers, caps: &TxCaps) -> Result<(), Failure> {
    let (place, capable) = match (offload.l4_sum, layers.l4) {
        (L4Sum::None, _) => (None, false),
        (L4Sum::Tcp, L4::Tcp { .. }) => (Some(16), caps.tcp_checksum || (offload.segment.is_some() && caps.tso)),
        (L4Sum::Udp, L4::Udp) => (Some(6), caps.udp_checksum),
        (L4Sum::Sctp, L4::Sctp) => (Some(8), caps.sctp_checksum),
        _ => return Err(Failure::Malformed),
    };
    let mut left = Offload { ip_sum: false, l4_sum: L4Sum::None, ..offload };
    if offload.ip_sum && layers.version == Version::V4 {
        // a right checksum serves every device; it is 20 bytes, and computing it is cheaper than telling a device to
        let header = frame.data_mut().get_mut(layers.l3_at..).ok_or(Failure::Malformed)?;
        ipv4::fill_checksum(header).map_err(|_| Failure::Malformed)?;
        left.ip_sum = caps.ip_checksum && offload.segment.is_some();
    }
    if let Some(place) = place {
        let at = layers.l4_at + place;
        let len = layers.end - layers.l4_at;
        if offload.l4_sum == L4Sum::Sctp {
            write(frame, at, [0; 4])?;
            if !capable {
                let crc = crc32c(slices(frame, layers.l4_at, layers.end));
                write(frame, at, crc.to_le_bytes())?;
            }
        } else if capable {
            write(frame, at, layers.pseudo(len).partial().to_be_bytes())?;
        } else {
            write(frame, at, [0; 2])?;
            let sum = slices(frame, layers.l4_at, layers.end).fold(layers.pseudo(len), Sum::bytes);
            let sum = if offload.l4_sum == L4Sum::Udp { sum.finish_udp() } else { sum.finish() };
            write(frame, at, sum.to_be_bytes())?;
        }
        if capable {
            left.l4_sum = offload.l4_sum;
        }
    }
    if left.l4_sum == L4Sum::None {
        frame.clear_tx();
    } else {
        let ip_sum = left.ip_sum;
        layers.describe(&mut left);
        left.ip_sum = ip_sum;
        frame.set_offload(left);
    }
    Ok(())
}

/// Bytes `from..to` of a frame, by segment.
fn slices(frame: &Frame, from: usize, to: usize) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    frame.segments().filter_map(move |segment| {
        let start = at;
        at += segment.len();
        let end = to.saturating_sub(start).min(segment.len());
        segment.get(from.saturating_sub(start).min(end)..end)
    })
}

/// Writes into the headers.
fn write<const N: usize>(frame: &mut Frame, at: usize, bytes: [u8; N]) -> Result<(), Failure> {
    frame.data_mut().get_mut(at..at + N).ok_or(Failure::Malformed)?.copy_from_slice(&bytes);
    Ok(())
}

/// Puts tags that the device stripped back into the data: the tag itself with `tpid`, an outer one as service tag.
/// Nothing changes where there is none, or no room (which is the failure).
pub fn restore_vlan(frame: &mut Frame, tpid: EtherType) -> Result<(), Failure> {
    let offload = frame.offload();
    let tags = usize::from(offload.vlan.is_some()) + usize::from(offload.outer_vlan.is_some());
    if tags == 0 {
        return Ok(());
    }
    // both or none
    if frame.prepend(tags * vlan::TAG_LEN).is_none() || !frame.pull(tags * vlan::TAG_LEN) {
        return Err(Failure::NoBuffer);
    }
    for (tci, tpid) in [(offload.vlan, tpid), (offload.outer_vlan, EtherType::QINQ)] {
        if let Some(tci) = tci
            && !vlan::push(frame, tpid, vlan::Tci(tci))
        {
            return Err(Failure::Malformed);
        }
    }
    frame.set_offload(Offload { vlan: None, outer_vlan: None, ..offload });
    Ok(())
}
