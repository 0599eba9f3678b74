//! Writing pcapng files (draft-ietf-opsawg-pcapng): a section, interfaces by name, packets with direction and comment, and
//! what was missed. Times are nanoseconds; everything is little endian.
#![deny(clippy::indexing_slicing)]

use std::io::{self, Write};

use crate::pcap::LINKTYPE_ETHERNET;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// Codes of options.
const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const SHB_USERAPPL: u16 = 4;
const EPB_FLAGS: u16 = 2;
const ISB_IFDROP: u16 = 5;

/// Which way a packet went, as seen from the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the switch.
    Inbound,
    /// From the switch.
    Outbound,
}

/// A packet to be written.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Number of the interface, in the order they were written.
    pub interface: u32,
    /// Nanoseconds since 1970 began (UTC).
    pub nanos: u64,
    /// Bytes that it had; `data` has less when it was captured in part.
    pub original_len: u32,
    /// Which way it went.
    pub direction: Direction,
    /// Something to say about it.
    pub comment: Option<&'a str>,
    /// The packet.
    pub data: &'a [u8],
}

/// A file being written, a block with each call.
pub struct Writer<W: Write> {
    out: W,
    /// The block at hand.
    body: Vec<u8>,
    interfaces: u32,
}

impl<W: Write> Writer<W> {
    /// Begins a section; `program` is who writes it.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn new(out: W, program: &str) -> io::Result<Self> {
        let mut w = Writer { out, body: Vec::new(), interfaces: 0 };
        w.put(&0x1a2b_3c4d_u32.to_le_bytes());
        w.put(&[1, 0, 0, 0]);
        w.put(&(-1_i64).to_le_bytes());
        w.option(SHB_USERAPPL, program.as_bytes());
        w.end(SECTION, true)?;
        Ok(w)
    }

    /// Adds an Ethernet interface; returns its number.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn interface(&mut self, name: &str, description: &str, snaplen: u32) -> io::Result<u32> {
        self.put(&(LINKTYPE_ETHERNET as u16).to_le_bytes());
        self.put(&[0, 0]);
        self.put(&snaplen.to_le_bytes());
        self.option(IF_NAME, name.as_bytes());
        if !description.is_empty() {
            self.option(IF_DESCRIPTION, description.as_bytes());
        }
        // 10 to the power of -9 seconds
        self.option(IF_TSRESOL, &[9]);
        self.end(INTERFACE, true)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Appends a packet.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        self.put(&packet.interface.to_le_bytes());
        self.time(packet.nanos);
        self.put(&(packet.data.len() as u32).to_le_bytes());
        self.put(&packet.original_len.to_le_bytes());
        self.put(packet.data);
        self.pad();
        let direction = match packet.direction {
            Direction::Inbound => 1_u32,
            Direction::Outbound => 2,
        };
        self.option(EPB_FLAGS, &direction.to_le_bytes());
        if let Some(comment) = packet.comment {
            self.option(COMMENT, comment.as_bytes());
        }
        self.end(PACKET, true)
    }

    /// Says how many packets of an interface found no room, at the end of the capture.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn statistics(&mut self, interface: u32, nanos: u64, missed: u64) -> io::Result<()> {
        self.put(&interface.to_le_bytes());
        self.time(nanos);
        self.option(ISB_IFDROP, &missed.to_le_bytes());
        self.end(STATISTICS, true)
    }

    /// Hands everything to whoever reads along.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    /// The upper half first, whatever the byte order.
    fn time(&mut self, nanos: u64) {
        self.put(&((nanos >> 32) as u32).to_le_bytes());
        self.put(&(nanos as u32).to_le_bytes());
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    /// Longer values than fit are cut.
    fn option(&mut self, code: u16, value: &[u8]) {
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        self.put(&code.to_le_bytes());
        self.put(&(value.len() as u16).to_le_bytes());
        self.put(value);
        self.pad();
    }

    fn end(&mut self, kind: u32, options: bool) -> io::Result<()> {
        if options {
            self.put(&[0; 4]);
        }
        let length = (self.body.len() as u32 + 12).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length)?;
        self.out.write_all(&self.body)?;
        self.out.write_all(&length)?;
        self.body.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (type, body) of the blocks; their lengths agree at both ends and are multiples of 4.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let number = |b: &[u8]| u32::from_le_bytes(b[..4].try_into().unwrap());
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let length = number(&bytes[4..]) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(number(&bytes[length - 4..]) as usize, length);
            out.push((number(bytes), bytes[8..length - 4].to_vec()));
            bytes = &bytes[length..];
        }
        out
    }

    #[test]
    fn blocks_are_whole_and_in_order() {
        let mut file = Vec::new();
        let mut w = Writer::new(&mut file, "test").unwrap();
        assert_eq!(w.interface("p1", "", 64).unwrap(), 0);
        assert_eq!(w.interface("p22", "a port", 64).unwrap(), 1);
        let nanos = 1_700_000_000_123_456_789;
        let direction = Direction::Outbound;
        let packet = Packet { interface: 1, nanos, original_len: 99, direction, comment: Some("why"), data: &[7; 5] };
        w.packet(&packet).unwrap();
        w.statistics(1, nanos, 3).unwrap();
        let blocks = blocks(&file);
        assert_eq!(blocks.iter().map(|b| b.0).collect::<Vec<_>>(), [SECTION, INTERFACE, INTERFACE, PACKET, STATISTICS]);
        let body = &blocks[3].1;
        let high = ((nanos >> 32) as u32).to_le_bytes();
        assert_eq!(
            (&body[..4], &body[4..8], &body[12..20]),
            (&[1, 0, 0, 0][..], &high[..], &[5, 0, 0, 0, 99, 0, 0, 0][..])
        );
        assert_eq!(&body[20..28], &[7, 7, 7, 7, 7, 0, 0, 0]);
        assert_eq!(&body[28..36], &[2, 0, 4, 0, 2, 0, 0, 0]);
        assert_eq!(&body[36..], b"\x01\0\x03\0why\0\0\0\0\0");
    }
}
