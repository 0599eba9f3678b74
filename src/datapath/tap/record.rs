//! Records of captured packets in a row of bytes: a head of 24 bytes, then the packet.
//!
//! Little endian: bytes that follow (4), bytes that the packet had (4), time in nanoseconds of the switch's clock (8),
//! datapath port (4), point (1), reason of a drop (1), zeros (2).
#![deny(clippy::indexing_slicing)]

use dpif::{DropReason, PortNo};

/// Bytes before the packet.
pub const HEAD: usize = 24;

/// Where a packet was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Received.
    Ingress,
    /// Sent.
    Egress,
    /// Dropped.
    Drop(DropReason),
}

/// A captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds of the switch's clock: the time of the worker's loop.
    pub time: u64,
    /// Where it was received or sent; for a drop, where it was received.
    pub port: PortNo,
    pub point: Point,
    /// Bytes that the packet had.
    pub length: u32,
    /// The first of them.
    pub bytes: &'a [u8],
}

/// The head of a record of `captured` bytes.
pub(crate) fn head(time: u64, port: PortNo, point: Point, length: u32, captured: u32) -> [u8; HEAD] {
    let (kind, reason) = match point {
        Point::Ingress => (0, 0),
        Point::Egress => (1, 0),
        Point::Drop(reason) => (2, reason as u8),
    };
    let mut out = [0; HEAD];
    let parts: [&[u8]; 5] =
        [&captured.to_le_bytes(), &length.to_le_bytes(), &time.to_le_bytes(), &port.0.to_le_bytes(), &[kind, reason]];
    out.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    out
}

impl<'a> Record<'a> {
    /// The first record and what follows it; None where the bytes end early or are no record.
    pub fn read(bytes: &'a [u8]) -> Option<(Record<'a>, &'a [u8])> {
        let (captured, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (port, rest) = rest.split_first_chunk()?;
        let ([kind, reason, _, _], rest) = rest.split_first_chunk()?;
        let point = match kind {
            0 => Point::Ingress,
            1 => Point::Egress,
            2 => Point::Drop(*DropReason::ALL.get(usize::from(*reason))?),
            _ => return None,
        };
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*captured) as usize)?;
        let port = PortNo(u32::from_le_bytes(*port));
        let (time, length) = (u64::from_le_bytes(*time), u32::from_le_bytes(*length));
        Some((Record { time, port, point, length, bytes }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_prefixes_are_refused() {
        for point in [Point::Ingress, Point::Egress, Point::Drop(DropReason::Vlan)] {
            let mut bytes = head(7 << 40, PortNo(3), point, 1500, 4).to_vec();
            bytes.extend([1, 2, 3, 4]);
            for n in 0..bytes.len() {
                assert_eq!(Record::read(&bytes[..n]), None, "{n}");
            }
            bytes.push(9);
            let want = Record { time: 7 << 40, port: PortNo(3), point, length: 1500, bytes: &[1, 2, 3, 4] };
            assert_eq!(Record::read(&bytes), Some((want, &[9][..])));
        }
        let mut bytes = head(0, PortNo(0), Point::Ingress, 0, 0);
        (bytes[20], bytes[21]) = (2, 255);
        assert_eq!(Record::read(&bytes), None);
        bytes[20] = 3;
        assert_eq!(Record::read(&bytes), None);
    }
}
