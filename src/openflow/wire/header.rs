//! The header of every message, and cutting a stream into messages (OpenFlow 1.3, section 7.1).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::codes::OFPBRC_BAD_LEN;
use super::error::{Error, Result};

/// Bytes of a header.
pub const HEADER: usize = 8;
/// The longest message.
pub const MAX_MESSAGE: usize = 0xffff;

/// What ties a reply to its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub u32);

/// The first eight bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// As it is on the wire: a hello may have any.
    pub version: u8,
    pub kind: u8,
    pub len: u16,
    pub xid: Xid,
}

impl Header {
    pub fn read(bytes: &mut Bytes) -> Result<Header> {
        Ok(Header { version: bytes.u8()?, kind: bytes.u8()?, len: bytes.u16()?, xid: Xid(bytes.u32()?) })
    }

    pub fn write(self, out: &mut Vec<u8>) {
        out.u8(self.version);
        out.u8(self.kind);
        out.u16(self.len);
        out.u32(self.xid.0);
    }
}

/// Cuts a stream into messages. It holds one message at most beside what was read with it.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were handed out.
    used: usize,
}

impl Frames {
    pub fn new() -> Frames {
        Frames::default()
    }

    /// Takes what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their message.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// The next whole message, if there is one. A length shorter than a header ends the connection: where the next
    /// message begins cannot be told.
    pub fn message(&mut self) -> Result<Option<&[u8]>> {
        let waiting = self.buffer.get(self.used..).unwrap_or(&[]);
        let Ok(header) = Header::read(&mut Bytes::new(waiting)) else { return Ok(None) };
        let len = usize::from(header.len);
        if len < HEADER {
            return Err(Error::because(OFPBRC_BAD_LEN, "vconn", format!("message of {len} bytes")));
        }
        let message = waiting.get(..len);
        if message.is_some() {
            self.used += len;
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_wherever_the_stream_is() {
        let one = [1, 2, 0, 10, 0, 0, 0, 7, 0xaa, 0xbb];
        let two = [4, 0, 0, 8, 0, 0, 0, 9];
        let stream = [one.as_slice(), &two].concat();
        for cut in 0..=stream.len() {
            let (a, b) = stream.split_at(cut);
            let (mut frames, mut got) = (Frames::new(), Vec::new());
            for part in [a, b] {
                frames.push(part);
                while let Some(m) = frames.message().unwrap() {
                    got.push(m.to_vec());
                }
            }
            assert_eq!(got, [one.to_vec(), two.to_vec()]);
            assert_eq!(frames.pending(), 0);
        }
    }

    #[test]
    fn a_length_below_a_headers_is_refused() {
        for len in 0..8 {
            let mut frames = Frames::new();
            frames.push(&[1, 0, 0, len, 0, 0, 0, 0]);
            assert_eq!(frames.message().unwrap_err().code, OFPBRC_BAD_LEN);
        }
    }
}
