//! What a table can do, as a controller reads it (OpenFlow 1.3.5 and 1.4.1, section 7.3.5.5); before OpenFlow 1.3 a table's
//! counters say some of it (OpenFlow 1.0.0, section 5.3.5; OpenFlow 1.1.0 and 1.2, section A.3.5.3).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put, set_len};
use super::codes::{OFPBPC_BAD_LEN, OFPTFFC_BAD_COMMAND, OFPTFFC_BAD_FEATURES};
use super::error::{Error, Result, refuse, refuse_because};
use super::oxm::{self, OxmHeader};
use super::stats::TableStats;
use super::table_mod::TableMiss;
use super::version::Version;
use crate::subfield::FieldId;
use crate::types::TableId;
use flow::fields::by_oxm;
use std::collections::BTreeSet;

/// What a request makes of tables that it has or has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// They are all tables.
    #[default]
    Replace,
    Modify,
    Enable,
    Disable,
}

const COMMANDS: [Command; 4] = [Command::Replace, Command::Modify, Command::Enable, Command::Disable];

/// Fields of a packet.
pub type Fields = BTreeSet<FieldId>;

/// What actions there may be in one place. Bits are the numbers of actions since OpenFlow 1.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    pub kinds: u32,
    /// What set_field may write.
    pub set: Fields,
}

/// What flows may do. Bits of `kinds` are the numbers of instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instructions {
    pub kinds: u8,
    /// Tables to go to.
    pub next: BTreeSet<u8>,
    pub write: Actions,
    pub apply: Actions,
}

impl Instructions {
    /// Is there nothing that a flow may do?
    pub fn is_empty(&self) -> bool {
        *self == Instructions::default()
    }
}

/// What flows may match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    pub fields: Fields,
    /// Those of them that may be masked, and that may be left out.
    pub masked: Fields,
    pub left_out: Fields,
}

/// What a table can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFeatures {
    pub table: TableId,
    /// What is to be done, of a request alone; OpenFlow 1.5 and later.
    pub command: Command,
    pub name: String,
    pub match_metadata: u64,
    pub write_metadata: u64,
    /// Before OpenFlow 1.3.
    pub miss: Option<TableMiss>,
    /// OpenFlow 1.4 and later.
    pub eviction: Option<bool>,
    pub vacancy_events: Option<bool>,
    pub max_entries: u32,
    /// Of the flow for packets that no other matches, and of the others.
    pub missing: Instructions,
    pub others: Instructions,
    pub matching: Matching,
}

/// Octets before the properties.
const FIXED: usize = 64;
const NAME: usize = 32;
/// Bits of a table's configuration since OpenFlow 1.4.
const EVICTION: u32 = 1 << 2;
const VACANCY: u32 = 1 << 3;
/// Properties that every table has: their odd neighbours say the same of packets that nothing matches, where that differs.
const REQUIRED: [u16; 8] = [0, 2, 4, 6, 8, 10, 12, 14];

/// Actions of OpenFlow 1.1, and of later versions: without those that set_field took the place of.
const ACTIONS11: u32 = 0x01ff_e7ff;
const ACTIONS12: u32 = 0x03ff_8001;
/// Instructions 1 to 5, and the meter of OpenFlow 1.3.
const INSTRUCTIONS: u8 = 0x3e;
const METER: u8 = 1 << 6;

/// Numbers at the beginning of elements that each say their length.
fn kinds(mut b: Bytes) -> Result<u128> {
    let mut bits = 0;
    while !b.is_empty() {
        let (kind, len) = (b.u16()?, usize::from(b.u16()?));
        b.skip(len.checked_sub(4).map_or_else(|| refuse(OFPBPC_BAD_LEN), Ok)?)?;
        bits |= if kind < 128 { 1 << kind } else { 0 };
    }
    Ok(bits)
}

/// Fields by their headers; those of them whose headers say a mask. What is not known is passed over.
fn fields(mut b: Bytes) -> Result<(Fields, Fields)> {
    let (mut all, mut masked) = (Fields::new(), Fields::new());
    while !b.is_empty() {
        let header = OxmHeader::read(&mut b)?;
        if let Some(id) = header.id() {
            all.insert(id);
            masked.extend(header.masked.then_some(id));
        }
    }
    Ok((all, masked))
}

/// Reads one table.
pub fn read(b: &mut Bytes, version: Version) -> Result<TableFeatures> {
    let mut head = *b;
    let len = usize::from(head.u16()?);
    if len < FIXED || len > b.len() || !len.is_multiple_of(8) {
        return refuse(OFPBPC_BAD_LEN);
    }
    let mut b = Bytes::or(b.take(len)?, OFPBPC_BAD_LEN);
    b.skip(2)?;
    let mut t = TableFeatures { table: TableId(b.u8()?), ..TableFeatures::default() };
    let command = b.u8()?;
    if version >= Version::Of15 {
        let known = COMMANDS.get(usize::from(command));
        t.command = *known.ok_or(Error::new(OFPTFFC_BAD_COMMAND))?;
    }
    b.skip(4)?;
    t.name = b.text(NAME)?;
    (t.match_metadata, t.write_metadata) = (b.u64()?, b.u64()?);
    let config = b.u32()?;
    if version >= Version::Of14 {
        (t.eviction, t.vacancy_events) = (Some(config & EVICTION != 0), Some(config & VACANCY != 0));
    }
    t.max_entries = b.u32()?;
    let mut properties = Vec::new();
    while !b.is_empty() {
        properties.push(b.tlv(8)?);
    }
    // an odd one is of the flow for packets that no other matches, for which the even one before it holds otherwise
    properties.sort_by_key(|(kind, _)| kind & 1);
    for (kind, body) in &properties {
        property(&mut t.missing, &mut t.matching, kind & !1, *body)?;
        if kind & 1 == 0 {
            property(&mut t.others, &mut t.matching, *kind, *body)?;
        }
    }
    let lacking: Vec<u16> = REQUIRED.iter().copied().filter(|n| properties.iter().all(|(kind, _)| kind != n)).collect();
    if let Some(first) = lacking.first() {
        let n = lacking.len();
        let words = format!("table features message missing {n} required properties, including property {first}");
        return refuse_because(OFPTFFC_BAD_FEATURES, "ofp_table", words);
    }
    Ok(t)
}

/// Reads what a property says, by the number that it has for flows that are not for misses.
fn property(flows: &mut Instructions, matching: &mut Matching, kind: u16, mut body: Bytes) -> Result<()> {
    match kind {
        0 => flows.kinds = (kinds(body)? as u8) & (INSTRUCTIONS | METER),
        2 => flows.next = body.take(body.len())?.iter().copied().collect(),
        4 => flows.write.kinds = kinds(body)? as u32 & ACTIONS12,
        6 => flows.apply.kinds = kinds(body)? as u32 & ACTIONS12,
        8 => (matching.fields, matching.masked) = fields(body)?,
        10 => matching.left_out = fields(body)?.0,
        12 => flows.write.set = fields(body)?.0,
        14 => flows.apply.set = fields(body)?.0,
        _ => {}
    }
    Ok(())
}

/// Writes one table.
pub fn write(out: &mut Vec<u8>, t: &TableFeatures, version: Version) {
    let start = out.len();
    out.u16(0);
    out.u8(t.table.0);
    let command = COMMANDS.iter().position(|c| *c == t.command).unwrap_or(0) as u8;
    out.u8(if version >= Version::Of15 { command } else { 0 });
    out.zeros(4);
    out.text(&t.name, NAME);
    out.u64(t.match_metadata);
    out.u64(t.write_metadata);
    let bit = |on: Option<bool>, bit| if on == Some(true) { bit } else { 0 };
    out.u32(bit(t.eviction, EVICTION) | bit(t.vacancy_events, VACANCY));
    out.u32(t.max_entries);
    let types = |bits: u128| -> Vec<u8> {
        (0u16..128).filter(|n| bits >> n & 1 != 0).flat_map(|n| [n.to_be_bytes(), [0, 4]].concat()).collect()
    };
    let headers = |ids: &Fields, masked: &Fields| {
        let mut body = Vec::new();
        for id in ids {
            let row = id.row();
            oxm::write_header(&mut body, row, Some(version), masked.contains(id), usize::from(row.bytes));
        }
        body
    };
    let none = Fields::new();
    let of = |i: &Instructions| {
        [
            (0, types(i.kinds.into())),
            (2, i.next.iter().copied().collect()),
            (4, types(i.write.kinds.into())),
            (6, types(i.apply.kinds.into())),
            (12, headers(&i.write.set, &none)),
            (14, headers(&i.apply.set, &none)),
        ]
    };
    let mut all: Vec<(u16, Vec<u8>)> = of(&t.others).into();
    let differs = of(&t.missing).into_iter().zip(all.clone()).filter(|(a, b)| a != b);
    let differs: Vec<_> = differs.map(|((kind, body), _)| (kind + 1, body)).collect();
    all.extend(differs);
    all.push((8, headers(&t.matching.fields, &t.matching.masked)));
    all.push((10, headers(&t.matching.left_out, &none)));
    all.sort_by_key(|(kind, _)| *kind);
    for (kind, body) in all {
        let len = 4 + body.len();
        out.u16(kind);
        out.u16(len as u16);
        out.bytes(&body);
        out.zeros(len.next_multiple_of(8) - len);
    }
    set_len(out, start, start);
}

/// Wildcards of OpenFlow 1.0, each a field.
const FIELDS10: [(u32, FieldId); 12] = {
    use FieldId::*;
    [
        (1 << 0, InPort),
        (1 << 1, VlanVid),
        (1 << 2, EthSrc),
        (1 << 3, EthDst),
        (1 << 4, EthType),
        (1 << 5, NwProto),
        (1 << 6, TcpSrc),
        (1 << 7, TcpDst),
        (0x3f << 8, IpSrc),
        (0x3f << 14, IpDst),
        (1 << 20, VlanPcp),
        (1 << 21, NwTos),
    ]
};

/// The same of OpenFlow 1.1, by their bits.
const FIELDS11: [(u32, FieldId); 15] = {
    use FieldId::*;
    [
        (0, InPort),
        (1, VlanVid),
        (2, VlanPcp),
        (3, EthType),
        (4, NwTos),
        (5, NwProto),
        (6, TcpSrc),
        (7, TcpDst),
        (8, MplsLabel),
        (9, MplsTc),
        (11, EthSrc),
        (12, EthDst),
        (13, IpSrc),
        (14, IpDst),
        (15, Metadata),
    ]
};

/// Fields of OpenFlow 1.2 by their numbers.
fn fields12(bits: u64) -> Fields {
    (0..64u8).filter(|n| bits >> n & 1 != 0).filter_map(|n| by_oxm(0x8000, n, 0)).collect()
}

const MISSES: [TableMiss; 3] = [TableMiss::Controller, TableMiss::Continue, TableMiss::Drop];

/// What the counters of a table say of what it can do; nothing since OpenFlow 1.3.
pub fn of_stats(stats: &TableStats, version: Version) -> Option<TableFeatures> {
    let mut t = TableFeatures {
        table: stats.table,
        name: stats.name.clone(),
        max_entries: stats.max_entries,
        ..TableFeatures::default()
    };
    let mut b = Bytes::new(&stats.features);
    let miss = |config: u32| Some(MISSES.get((config & 3) as usize).copied().unwrap_or(TableMiss::Controller));
    let both = |t: &mut TableFeatures, i: Instructions| (t.missing, t.others) = (i.clone(), i);
    match version {
        Version::Of10 => {
            let bits = b.u32().ok()?;
            t.matching.left_out = FIELDS10.iter().filter(|(n, _)| bits & n != 0).map(|(_, id)| *id).collect();
            t.matching.fields = t.matching.left_out.clone();
        }
        Version::Of11 => {
            let mut word = || b.u32().ok();
            let (left_out, matched, instructions) = (word()?, word()?, word()?);
            // those of apply-actions are told no different
            let (write, _, config) = (word()?, word()?, word()?);
            let fields =
                |bits: u32| FIELDS11.iter().filter(|(n, _)| bits >> n & 1 != 0).map(|(_, id)| *id).collect::<Fields>();
            t.matching.left_out = fields(left_out);
            t.matching.fields = fields(left_out | matched);
            let actions = Actions { kinds: write & ACTIONS11, set: Fields::new() };
            let (write, apply) = (actions.clone(), actions);
            both(&mut t, Instructions { kinds: instructions as u8 & INSTRUCTIONS, write, apply, ..Default::default() });
            t.miss = miss(config);
        }
        Version::Of12 => {
            let (matched, left_out) = (b.u64().ok()?, b.u64().ok()?);
            let (write, apply) = (b.u32().ok()?, b.u32().ok()?);
            let (write_set, apply_set) = (b.u64().ok()?, b.u64().ok()?);
            (t.match_metadata, t.write_metadata) = (b.u64().ok()?, b.u64().ok()?);
            let (instructions, config) = (b.u32().ok()?, b.u32().ok()?);
            t.matching.left_out = fields12(left_out);
            t.matching.fields = fields12(left_out | matched);
            let actions = |kinds: u32, set| Actions { kinds: kinds & ACTIONS12, set: fields12(set) };
            let (write, apply) = (actions(write, write_set), actions(apply, apply_set));
            both(&mut t, Instructions { kinds: instructions as u8 & INSTRUCTIONS, write, apply, ..Default::default() });
            t.miss = miss(config);
        }
        _ => return None,
    }
    Some(t)
}
