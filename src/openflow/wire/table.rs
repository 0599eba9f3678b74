//! What tables can do, as a switch says it (OpenFlow 1.3.5 and 1.4.1, section 7.3.5.5).

use super::bytes::{Bytes, Put, set_u16};
use super::codes::{OFPBRC_BAD_LEN, OFPTFFC_EPERM};
use super::error::{Error, Result, refuse};
use super::header::{Header, MAX_MESSAGE, Xid};
use super::oxm;
use super::version::Version;
use crate::types::TableId;
use flow::fields::{Field, Kind, Masking};

/// Type of a multipart reply since OpenFlow 1.1, and of this one.
const REPLY: u8 = 19;
/// See [`REPLY`].
const TABLE_FEATURES: u16 = 12;
/// It goes on in another message.
const MORE: u16 = 1;
/// Octets before the first table.
const HEAD: usize = 16;

const INSTRUCTIONS: u16 = 0;
const NEXT_TABLES: u16 = 2;
const WRITE_ACTIONS: u16 = 4;
const APPLY_ACTIONS: u16 = 6;
const MATCH: u16 = 8;
const WILDCARDS: u16 = 10;
const WRITE_SETFIELD: u16 = 12;
const APPLY_SETFIELD: u16 = 14;

/// Types of instructions: goto_table, write_metadata, write_actions, apply_actions, clear_actions.
const GOTO_TABLE: u16 = 1;
const OTHERS: [u16; 4] = [2, 3, 4, 5];
/// Types of actions: output, set_mpls_ttl, dec_mpls_ttl, push_vlan, pop_vlan, push_mpls, pop_mpls, group, set_nw_ttl,
/// dec_nw_ttl, set_field.
const ACTIONS: [u16; 11] = [0, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25];
/// Octets of the name.
const NAME: usize = 32;

/// Tables that are all alike, but that each can only go to later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    pub count: u8,
    /// Flows in each.
    pub max_entries: u32,
}

/// Reads a request. One that says how tables are to be is refused.
pub fn read_request(b: &mut Bytes) -> Result<()> {
    if b.is_empty() { Ok(()) } else { refuse(OFPTFFC_EPERM) }
}

/// Writes the answer, in as many messages as it takes.
pub fn features(tables: Tables, version: Version, xid: Xid) -> Result<Vec<Vec<u8>>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut body = Vec::new();
    for id in 0..tables.count {
        let one = table(id, tables, version)?;
        if HEAD + body.len() + one.len() > MAX_MESSAGE {
            messages.push(std::mem::take(&mut body));
        }
        body.extend(one);
    }
    messages.push(body);
    let last = messages.len() - 1;
    let whole = |(n, body): (usize, Vec<u8>)| {
        let len = u16::try_from(HEAD + body.len()).map_err(|_| Error::new(OFPBRC_BAD_LEN))?;
        let mut out = Vec::with_capacity(usize::from(len));
        Header { version: version.wire(), kind: REPLY, len, xid }.write(&mut out);
        out.u16(TABLE_FEATURES);
        out.u16(if n == last { 0 } else { MORE });
        out.zeros(4);
        out.bytes(&body);
        Ok(out)
    };
    messages.into_iter().enumerate().map(whole).collect()
}

/// The tables in the body of an answer, with their names. What is not whole is left out.
pub fn names(mut body: &[u8]) -> Vec<(TableId, String)> {
    let mut all = Vec::new();
    while let Some(length) = body.first_chunk().map(|n| usize::from(u16::from_be_bytes(*n)))
        && let Some((one, rest)) = body.split_at_checked(length.max(1))
    {
        if let (Some(id), Some(name)) = (one.get(2), one.get(8..8 + NAME)) {
            let end = name.iter().position(|b| *b == 0).unwrap_or(NAME);
            all.push((TableId(*id), String::from_utf8_lossy(name.get(..end).unwrap_or(name)).into_owned()));
        }
        body = rest;
    }
    all
}

fn table(id: u8, tables: Tables, version: Version) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    out.u16(0);
    out.u8(id);
    out.zeros(5 + NAME);
    // any metadata may be looked at and written
    out.u64(u64::MAX);
    out.u64(u64::MAX);
    out.u32(0);
    out.u32(tables.max_entries);
    let types = |list: &[u16]| list.iter().flat_map(|t| [t.to_be_bytes(), [0, 4]].concat()).collect::<Vec<u8>>();
    let later: Vec<u8> = (id + 1..tables.count).collect();
    let goto: &[u16] = if later.is_empty() { &[] } else { &[GOTO_TABLE] };
    property(&mut out, INSTRUCTIONS, &types(&[goto, &OTHERS].concat()))?;
    property(&mut out, NEXT_TABLES, &later)?;
    property(&mut out, WRITE_ACTIONS, &types(&ACTIONS))?;
    property(&mut out, APPLY_ACTIONS, &types(&ACTIONS))?;
    property(&mut out, MATCH, &fields(version, true, |_| true))?;
    property(&mut out, WILDCARDS, &fields(version, false, |_| true))?;
    property(&mut out, WRITE_SETFIELD, &fields(version, false, |f| f.writable))?;
    property(&mut out, APPLY_SETFIELD, &fields(version, false, |f| f.writable))?;
    let len = u16::try_from(out.len()).map_err(|_| Error::new(OFPBRC_BAD_LEN))?;
    set_u16(&mut out, 0, len);
    Ok(out)
}

/// Headers of fields, with `masks` those of fields that take any mask with the bit for it.
fn fields(version: Version, masks: bool, wanted: impl Fn(&Field) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    // tunnel options are where a TLV table says, and experimenters' fields are known to whom they are of use
    let known = |f: &&Field| f.kind != Kind::TunMetadata && f.oxm(version.wire()).is_some_and(|o| o.experimenter == 0);
    for field in Field::all().filter(known).filter(|f| wanted(f)) {
        let masked = masks && field.masking == Masking::Bitwise;
        oxm::write_header(&mut out, field, Some(version), masked, usize::from(field.bytes));
    }
    out
}

fn property(out: &mut Vec<u8>, kind: u16, body: &[u8]) -> Result<()> {
    let len = 4 + body.len();
    out.u16(kind);
    out.u16(u16::try_from(len).map_err(|_| Error::new(OFPBRC_BAD_LEN))?);
    out.bytes(body);
    out.zeros(len.next_multiple_of(8) - len);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_goes_to_later_ones_alone() {
        let tables = Tables { count: 254, max_entries: 1_000_000 };
        let parts = features(tables, Version::Of13, Xid(7)).unwrap();
        assert!(parts.len() > 1);
        let mut ids = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            let length = usize::from(u16::from_be_bytes([part[2], part[3]]));
            assert_eq!((part[0], part[1], &part[4..10], length), (4, REPLY, &[0, 0, 0, 7, 0, 12][..], part.len()));
            assert_eq!(part[11] == 1, n + 1 < parts.len(), "more");
            let mut at = HEAD;
            while at < part.len() {
                let id = part[at + 2];
                let len = usize::from(u16::from_be_bytes([part[at], part[at + 1]]));
                assert!(len.is_multiple_of(8));
                // instructions, then the tables to go to
                let instructions = usize::from(part[at + 64 + 3]).next_multiple_of(8);
                let next = at + 64 + instructions;
                assert_eq!(part[next + 1], 2);
                assert_eq!(
                    usize::from(u16::from_be_bytes([part[next + 2], part[next + 3]])) - 4,
                    253 - usize::from(id)
                );
                ids.push(id);
                at += len;
            }
        }
        assert_eq!(ids, (0..254).collect::<Vec<u8>>());
    }

    #[test]
    fn tables_are_as_they_are() {
        assert!(read_request(&mut Bytes::new(&[])).is_ok());
        assert_eq!(read_request(&mut Bytes::new(&[0; 64])).unwrap_err().code, OFPTFFC_EPERM);
    }
}
