//! Classic pcap files (draft-ietf-opsawg-pcap): reading in both byte orders and time resolutions, writing in ours.
#![deny(clippy::indexing_slicing)]

use std::io::{self, Read, Write};

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
/// Link type of Ethernet.
pub const LINKTYPE_ETHERNET: u32 = 1;
/// Longest record that is read, bytes.
pub const RECORD_MAX: u32 = 262_144;

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a pcap file: it begins with {0:#010x}")]
    Magic(u32),
    /// Something else than Ethernet was captured.
    #[error("link type {0} is not Ethernet (1)")]
    LinkType(u32),
    /// It ends amid a header or packet.
    #[error("cut short in record {0}")]
    Truncated(u64),
    /// A packet is longer than [`RECORD_MAX`].
    #[error("record {0} claims {1} bytes")]
    TooLong(u64, u32),
}

/// A packet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since 1970 began (UTC).
    pub nanos: u64,
    /// Bytes that the packet had; `data` has less when it was captured in part.
    pub original_len: u32,
    /// The packet.
    pub data: Vec<u8>,
}

/// Reads packets one by one.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    swapped: bool,
    nanos: bool,
    count: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the file header.
    pub fn new(mut input: R) -> Result<Reader<R>, Error> {
        let mut header = [0; 24];
        input.read_exact(&mut header).map_err(|error| cut(error, 0))?;
        let (words, _) = header.as_chunks::<4>();
        let [magic, .., link] = words else { return Err(Error::Truncated(0)) };
        let (swapped, nanos) = match u32::from_ne_bytes(*magic) {
            MICROS => (false, false),
            NANOS => (false, true),
            other => match other.swap_bytes() {
                MICROS => (true, false),
                NANOS => (true, true),
                _ => return Err(Error::Magic(other)),
            },
        };
        let reader = Reader { input, swapped, nanos, count: 0, ended: false };
        match reader.word(*link) & 0xffff {
            LINKTYPE_ETHERNET => Ok(reader),
            other => Err(Error::LinkType(other)),
        }
    }

    fn word(&self, bytes: [u8; 4]) -> u32 {
        let word = u32::from_ne_bytes(bytes);
        if self.swapped { word.swap_bytes() } else { word }
    }

    /// The next packet; None at the end.
    pub fn record(&mut self) -> Result<Option<Record>, Error> {
        let mut header = [0; 16];
        let (first, rest) = header.split_at_mut(1);
        loop {
            match self.input.read(first) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.count += 1;
        self.input.read_exact(rest).map_err(|error| cut(error, self.count))?;
        let (words, _) = header.as_chunks::<4>();
        let [secs, fraction, len, original] = words else { return Err(Error::Truncated(self.count)) };
        let (len, original_len) = (self.word(*len), self.word(*original));
        if len > RECORD_MAX {
            return Err(Error::TooLong(self.count, len));
        }
        let mut data = vec![0; len as usize];
        self.input.read_exact(&mut data).map_err(|error| cut(error, self.count))?;
        let unit = if self.nanos { 1 } else { 1000 };
        let nanos = u64::from(self.word(*secs)) * 1_000_000_000 + u64::from(self.word(*fraction)) * unit;
        Ok(Some(Record { nanos, original_len, data }))
    }
}

fn cut(error: io::Error, record: u64) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { Error::Truncated(record) } else { Error::Io(error) }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, Error>;

    /// Ends after an error, too: what follows has no known place.
    fn next(&mut self) -> Option<Result<Record, Error>> {
        if self.ended {
            return None;
        }
        let record = self.record();
        self.ended = !matches!(record, Ok(Some(_)));
        record.transpose()
    }
}

/// Writes packets with nanoseconds.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes the file header.
    pub fn new(mut output: W) -> io::Result<Writer<W>> {
        let mut header = Vec::with_capacity(24);
        header.extend(NANOS.to_ne_bytes());
        header.extend(2u16.to_ne_bytes());
        header.extend(4u16.to_ne_bytes());
        header.extend([0; 8]);
        header.extend(RECORD_MAX.to_ne_bytes());
        header.extend(LINKTYPE_ETHERNET.to_ne_bytes());
        output.write_all(&header)?;
        Ok(Writer { output })
    }

    /// Writes a packet seen `nanos` nanoseconds after 1970 began, given in pieces; cuts it to [`RECORD_MAX`] bytes.
    pub fn packet<'a>(&mut self, nanos: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut data: Vec<u8> = vec![0; 16];
        pieces.into_iter().for_each(|piece| data.extend(piece));
        let len = u32::try_from(data.len() - 16).unwrap_or(u32::MAX);
        let kept = len.min(RECORD_MAX);
        data.truncate(kept as usize + 16);
        let header = [(nanos / 1_000_000_000) as u32, (nanos % 1_000_000_000) as u32, kept, len];
        for (to, word) in data.chunks_exact_mut(4).zip(header) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        self.output.write_all(&data)
    }

    /// Flushes, and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(magic: u32, word: impl Fn(u32) -> [u8; 4], link: u32) -> Vec<u8> {
        let mut out = vec![];
        for value in [magic, 0x0004_0002, 0, 0, 65_535, link, 7, 5, 3, 60] {
            out.extend(word(value));
        }
        out.extend([1, 2, 3]);
        out
    }

    #[test]
    fn both_orders_and_resolutions() {
        for (magic, nanos) in [(MICROS, 7_000_005_000), (NANOS, 7_000_000_005)] {
            for word in [u32::to_le_bytes, u32::to_be_bytes] {
                let records: Result<Vec<_>, _> = Reader::new(&file(magic, word, 1)[..]).unwrap().collect();
                assert_eq!(records.unwrap(), [Record { nanos, original_len: 60, data: vec![1, 2, 3] }]);
            }
        }
    }

    #[test]
    fn bad_files_are_named() {
        let good = file(MICROS, u32::to_ne_bytes, 1);
        assert!(matches!(Reader::new(&file(MICROS, u32::to_ne_bytes, 113)[..]), Err(Error::LinkType(113))));
        assert!(matches!(Reader::new(&file(0x0a0d_0d0a, u32::to_ne_bytes, 1)[..]), Err(Error::Magic(0x0a0d_0d0a))));
        for len in 0..24 {
            assert!(matches!(Reader::new(&good[..len]), Err(Error::Truncated(0))));
        }
        for len in 25..good.len() {
            assert!(matches!(Reader::new(&good[..len]).unwrap().record(), Err(Error::Truncated(1))), "{len}");
        }
        let mut long = good.clone();
        long[32..36].copy_from_slice(&u32::MAX.to_ne_bytes());
        let mut records = Reader::new(&long[..]).unwrap();
        assert!(matches!(records.next(), Some(Err(Error::TooLong(1, u32::MAX)))));
        assert!(records.next().is_none(), "ends after an error");
    }

    proptest! {
        #[test]
        fn round_trip(packets in prop::collection::vec((0..1u64 << 60, any::<Vec<u8>>()), 0..5), cut in 0..10usize) {
            let mut writer = Writer::new(vec![]).unwrap();
            for (nanos, data) in &packets {
                let (a, b) = data.split_at(cut.min(data.len()));
                writer.packet(*nanos, [a, b]).unwrap();
            }
            let file = writer.finish().unwrap();
            let read: Vec<_> = Reader::new(&file[..]).unwrap().map(|r| r.map(|r| (r.nanos, r.data)).unwrap()).collect();
            prop_assert_eq!(read, packets);
        }
    }
}
