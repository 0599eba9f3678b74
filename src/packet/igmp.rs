//! IGMP: versions 1 (RFC 1112), 2 (RFC 2236) and 3 (RFC 3376).
#![deny(clippy::indexing_slicing)]

use crate::checksum;
use crate::wire::{Error, Wire, put, put_bytes, split, split_mut};
use std::net::Ipv4Addr;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Type: membership query, of every version.
pub const QUERY: u8 = 0x11;
/// Type: version 1 report.
pub const REPORT_V1: u8 = 0x12;
/// Type: version 2 report.
pub const REPORT_V2: u8 = 0x16;
/// Type: version 2 leave.
pub const LEAVE: u8 = 0x17;
/// Type: version 3 report.
pub const REPORT_V3: u8 = 0x22;

/// The header as it lies in the packet; in version 3 reports, `group` is two reserved bytes and the number of records.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Type.
    pub kind: u8,
    /// Maximum response code, tenths of a second up to 127 (0 in version 1).
    pub code: u8,
    /// Checksum of the whole message.
    pub checksum: U16,
    /// Group.
    pub group: [u8; 4],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct QueryTail {
    flags: u8,
    interval: u8,
    sources: U16,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RecordHeader {
    kind: u8,
    aux_words: u8,
    sources: U16,
    group: [u8; 4],
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The header.
    pub header: &'a Header,
    /// What follows: nothing in versions 1 and 2.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks for the header, not the checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, payload) = split::<Header>(bytes)?;
        Ok(View { header, payload })
    }

    /// Group.
    #[inline]
    pub fn group(&self) -> Ipv4Addr {
        self.header.group.into()
    }

    /// Whether the checksum is right.
    pub fn checksum_ok(&self) -> bool {
        checksum::Sum::new().bytes(self.header.as_bytes()).bytes(self.payload).finish() == 0
    }

    /// The records of a version 3 report; none of other messages. The first that is cut short yields an error and
    /// ends the walk.
    pub fn records(&self) -> Records<'a> {
        let [_, _, a, b] = self.header.group;
        let left = if self.header.kind == REPORT_V3 { u16::from_be_bytes([a, b]) } else { 0 };
        Records { rest: self.payload, left }
    }
}

/// A group record of a version 3 report.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Type: 1 is include, 2 is exclude, 3 and 4 change to these, 5 allows and 6 blocks sources.
    pub kind: u8,
    /// Group.
    pub group: Ipv4Addr,
    sources: &'a [[u8; 4]],
    aux: &'a [u8],
}

impl<'a> Record<'a> {
    /// Sources.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ipv4Addr> + 'a {
        self.sources.iter().map(|source| Ipv4Addr::from(*source))
    }
}

/// Iterator over records.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Records<'a> {
    /// What follows the records walked so far.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn read(&mut self) -> Result<Record<'a>, Error> {
        let (header, rest) = split::<RecordHeader>(self.rest)?;
        let (sources, rest) = addresses(rest, header.sources.get())?;
        let (aux, rest) = crate::wire::split_bytes(rest, usize::from(header.aux_words) * 4)?;
        self.rest = rest;
        Ok(Record { kind: header.kind, group: header.group.into(), sources, aux })
    }
}

fn addresses(bytes: &[u8], count: u16) -> Result<(&[[u8; 4]], &[u8]), Error> {
    <[[u8; 4]]>::ref_from_prefix_with_elems(bytes, count.into()).map_err(|_| Error::Truncated)
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Error>;

    fn next(&mut self) -> Option<Result<Record<'a>, Error>> {
        self.left = self.left.checked_sub(1)?;
        let record = self.read();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

/// A group record as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordValue {
    /// Type.
    pub kind: u8,
    /// Group.
    pub group: Ipv4Addr,
    /// Sources.
    pub sources: Vec<Ipv4Addr>,
    /// Auxiliary data, a multiple of 4 bytes.
    pub aux: Vec<u8>,
}

impl RecordValue {
    fn wire_len(&self) -> usize {
        8 + self.sources.len() * 4 + self.aux.len()
    }
}

/// A message as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Any message but a version 3 report, up to the group.
    Basic {
        /// Type.
        kind: u8,
        /// Maximum response code.
        code: u8,
        /// Group.
        group: Ipv4Addr,
    },
    /// A version 3 query: longer than 8 bytes (RFC 3376 section 7.1).
    Query3 {
        /// Maximum response code.
        code: u8,
        /// Group.
        group: Ipv4Addr,
        /// Reserved (4 bits), suppress (1), robustness (3).
        flags: u8,
        /// Querier's query interval code.
        interval: u8,
        /// Sources.
        sources: Vec<Ipv4Addr>,
    },
    /// A version 3 report.
    Report3(Vec<RecordValue>),
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(bytes)?;
        let Header { kind, code, .. } = *view.header;
        match kind {
            REPORT_V3 => {
                let mut records = view.records();
                let read = records.by_ref().map(|record| {
                    let record = record?;
                    let sources = record.sources().collect();
                    Ok(RecordValue { kind: record.kind, group: record.group, sources, aux: record.aux.to_vec() })
                });
                let read = read.collect::<Result<_, Error>>()?;
                Ok((Value::Report3(read), records.rest()))
            }
            QUERY if !view.payload.is_empty() => {
                let (tail, rest) = split::<QueryTail>(view.payload)?;
                let (sources, rest) = addresses(rest, tail.sources.get())?;
                let sources = sources.iter().map(|source| Ipv4Addr::from(*source)).collect();
                let (flags, interval) = (tail.flags, tail.interval);
                Ok((Value::Query3 { code, group: view.group(), flags, interval, sources }, rest))
            }
            _ => Ok((Value::Basic { kind, code, group: view.group() }, view.payload)),
        }
    }

    fn wire_len(&self) -> usize {
        8 + match self {
            Value::Basic { .. } => 0,
            Value::Query3 { sources, .. } => 4 + sources.len() * 4,
            Value::Report3(records) => records.iter().map(RecordValue::wire_len).sum(),
        }
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let count = |n: usize| u16::try_from(n).map_err(|_| Error::Unrepresentable);
        let head = |kind, code, group| Header { kind, code, checksum: 0.into(), group };
        let put_all = |out: &'a mut [u8], sources: &[Ipv4Addr]| {
            sources.iter().try_fold(out, |out, source| put_bytes(out, &source.octets()))
        };
        match self {
            Value::Basic { kind, code, group } => put(out, &head(*kind, *code, group.octets())),
            Value::Query3 { code, group, flags, interval, sources } => {
                let out = put(out, &head(QUERY, *code, group.octets()))?;
                let sources_len = count(sources.len())?.into();
                let out = put(out, &QueryTail { flags: *flags, interval: *interval, sources: sources_len })?;
                put_all(out, sources)
            }
            Value::Report3(records) => {
                let [a, b] = count(records.len())?.to_be_bytes();
                let mut out = put(out, &head(REPORT_V3, 0, [0, 0, a, b]))?;
                for record in records {
                    let aux = u8::try_from(record.aux.len() / 4).map_err(|_| Error::Unrepresentable)?;
                    if !record.aux.len().is_multiple_of(4) {
                        return Err(Error::Unrepresentable);
                    }
                    let header = RecordHeader {
                        kind: record.kind,
                        aux_words: aux,
                        sources: count(record.sources.len())?.into(),
                        group: record.group.octets(),
                    };
                    out = put_bytes(put_all(put(out, &header)?, &record.sources)?, &record.aux)?;
                }
                Ok(out)
            }
        }
    }
}

/// Makes the checksum of a whole message right.
pub fn fill_checksum(message: &mut [u8]) -> Result<(), Error> {
    let (header, _) = split_mut::<Header>(message)?;
    header.checksum = 0.into();
    let sum = checksum::of(message);
    let (header, _) = split_mut::<Header>(message)?;
    header.checksum = sum.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = [0x16, 100, 0xab, 0xcd, 224, 1, 2, 3];
        let view = View::parse(&bytes).unwrap();
        assert_eq!((view.header.kind, view.header.code, view.header.checksum.get()), (REPORT_V2, 100, 0xabcd));
        assert_eq!(view.group(), Ipv4Addr::new(224, 1, 2, 3));
        assert_eq!(view.records().count(), 0);
        let bytes = [0x22, 0, 0, 0, 0, 0, 0, 1, 4, 1, 0, 1, 224, 0, 0, 9, 10, 0, 0, 1, 7, 7, 7, 7];
        let record = View::parse(&bytes).unwrap().records().next().unwrap().unwrap();
        assert_eq!((record.kind, record.group), (4, Ipv4Addr::new(224, 0, 0, 9)));
        assert_eq!(record.sources().collect::<Vec<_>>(), [Ipv4Addr::new(10, 0, 0, 1)]);
        assert_eq!(record.aux, [7; 4]);
        let bytes = [0x11, 5, 0, 0, 224, 0, 0, 9, 0x0a, 125, 0, 1, 10, 0, 0, 1];
        let query = Value::Query3 {
            code: 5,
            group: Ipv4Addr::new(224, 0, 0, 9),
            flags: 0x0a,
            interval: 125,
            sources: vec![Ipv4Addr::new(10, 0, 0, 1)],
        };
        assert_eq!(Value::parse(&bytes).unwrap().0, query);
    }

    #[test]
    fn records_beyond_the_end_are_an_error_once() {
        let bytes = [0x22, 0, 0, 0, 0, 0, 0xff, 0xff, 4, 0, 0, 0, 224, 0, 0, 9, 1, 2, 3];
        let records: Vec<_> = View::parse(&bytes).unwrap().records().collect();
        assert_eq!(records.len(), 2);
        assert!(records[0].is_ok() && records[1].is_err());
    }

    proptest! {
        #[test]
        fn round_trip(kind in 0x12..0x20u8, a: u8, b: u8, c: u8, group: [u8; 4], sources in prop::collection::vec(any::<[u8; 4]>(), 0..4), aux in prop::collection::vec(any::<[u8; 4]>(), 0..3), payload: Vec<u8>) {
            let sources: Vec<Ipv4Addr> = sources.into_iter().map(Into::into).collect();
            let group = group.into();
            check(&Value::Basic { kind, code: a, group }, &payload);
            let record = RecordValue { kind: a, group, sources: sources.clone(), aux: aux.concat() };
            check(&Value::Report3(vec![record.clone(), record]), &payload);
            // without a payload a version 3 query's first 8 bytes are one of version 2: checked without prefixes
            let query = Value::Query3 { code: a, group, flags: b, interval: c, sources };
            let mut bytes = query.to_bytes().unwrap();
            prop_assert_eq!(Value::parse(&bytes).unwrap().0, query);
            for short in (0..8).chain(9..bytes.len()) {
                prop_assert!(Value::parse(&bytes[..short]).is_err());
            }
            fill_checksum(&mut bytes).unwrap();
            prop_assert!(View::parse(&bytes).unwrap().checksum_ok());
            bytes[1] ^= 1;
            prop_assert!(!View::parse(&bytes).unwrap().checksum_ok());
        }
    }
}
