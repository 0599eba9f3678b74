//! What tables of this switch can do, in each version's words (OpenFlow 1.0.0, section 5.3.5; OpenFlow 1.1.0 and 1.2, section
//! A.3.5.3; OpenFlow 1.3.5 and 1.4.1, section 7.3.5.5). They are all alike, but that each can only go to later ones.
#![deny(clippy::indexing_slicing)]

use std::collections::BTreeSet;

use super::bytes::Put;
use super::table_features::{Actions, Instructions, Matching, TableFeatures};
use super::table_mod::TableMiss;
use super::version::Version;
use crate::subfield::FieldId;
use crate::types::TableId;
use flow::fields::{Field, Masking, by_oxm};

/// Octets of a table before its name, and of the name, in an answer.
const BEFORE_NAME: usize = 8;
const NAME: usize = 32;

/// OFPFW_ALL: what a flow of OpenFlow 1.0 may leave open.
const WILDCARDS10: u32 = 0x003f_ffff;
/// What a flow of OpenFlow 1.1 may match or leave open: all but the reserved bit 10.
const FIELDS11: u32 = 0xfbff;
/// Actions of OpenFlow 1.1: all but those that copy a TTL; those of later versions, in which set_field took the place of some.
const ACTIONS11: u32 = 0x01ff_e7ff;
const ACTIONS12: u32 = 0x03ff_8001;
/// Instructions: goto_table, the four others of OpenFlow 1.1, the meter of OpenFlow 1.3.
const GOTO_TABLE: u8 = 1 << 1;
const OTHERS: u8 = 0b11_1100;
const METER: u8 = 1 << 6;
/// Numbers that OXM fields have in OpenFlow 1.2.
const FIELDS12: std::ops::RangeInclusive<u8> = 0..=35;

/// Whether it is made of registers after the sixteenth, which have no names of their own.
fn is_nameless(id: FieldId) -> bool {
    let after = |first: FieldId, last: FieldId| (first.index()..=last.index()).contains(&id.index());
    after(FieldId::Xreg8, FieldId::Xreg15) || after(FieldId::Xxreg4, FieldId::Xxreg7)
}

/// A table as its features tell of it (OpenFlow 1.3 and later), of `count` tables.
pub fn features(table: TableId, count: u8, name: &str, max_entries: u32, version: Version) -> TableFeatures {
    let all = || Field::all().filter(|f| f.oxm(version.wire()).is_some() && !is_nameless(f.id));
    let actions = Actions { kinds: ACTIONS12, set: all().filter(|f| f.writable).map(|f| f.id).collect() };
    let next: BTreeSet<u8> = (table.0.saturating_add(1)..count).collect();
    let goto = if next.is_empty() { 0 } else { GOTO_TABLE };
    let flows = Instructions { kinds: OTHERS | METER | goto, next, write: actions.clone(), apply: actions };
    let said = (version >= Version::Of14).then_some(false);
    let fields: BTreeSet<FieldId> = all().map(|f| f.id).collect();
    TableFeatures {
        table,
        name: name.to_owned(),
        // any metadata may be looked at and written
        match_metadata: u64::MAX,
        write_metadata: u64::MAX,
        eviction: said,
        vacancy_events: said,
        max_entries,
        missing: flows.clone(),
        others: flows,
        matching: Matching {
            masked: all().filter(|f| f.masking != Masking::Exact).map(|f| f.id).collect(),
            left_out: fields.clone(),
            fields,
        },
        ..TableFeatures::default()
    }
}

/// What the counters of a table say of what it can do, before OpenFlow 1.3. `last` cannot go to another.
pub fn words(last: bool, miss: Option<TableMiss>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    let instructions = u32::from(OTHERS | if last { 0 } else { GOTO_TABLE });
    let config = match miss {
        Some(TableMiss::Controller) => 0,
        Some(TableMiss::Continue) => 1,
        Some(TableMiss::Drop) => 2,
        // as it is by default, which no bit says
        None => 3,
    };
    match version {
        Version::Of10 => out.u32(WILDCARDS10),
        Version::Of11 => {
            [FIELDS11, FIELDS11, instructions, ACTIONS11, ACTIONS11, config].into_iter().for_each(|word| out.u32(word));
        }
        Version::Of12 => {
            let bits = |wanted: fn(&Field) -> bool| {
                let known = FIELDS12.filter(|n| by_oxm(0x8000, *n, 0).is_some_and(|id| wanted(id.row())));
                known.fold(0u64, |all, n| all | 1 << n)
            };
            let (fields, set) = (bits(|_| true), bits(|f| f.writable));
            [fields, fields].into_iter().for_each(|word| out.u64(word));
            [ACTIONS12, ACTIONS12].into_iter().for_each(|word| out.u32(word));
            [set, set, u64::MAX, u64::MAX].into_iter().for_each(|word| out.u64(word));
            [instructions, config].into_iter().for_each(|word| out.u32(word));
        }
        _ => {}
    }
    out
}

/// The tables in the body of an answer, with their names. What is not whole is left out.
pub fn names(mut body: &[u8]) -> Vec<(TableId, String)> {
    let mut all = Vec::new();
    while let Some(length) = body.first_chunk().map(|n| usize::from(u16::from_be_bytes(*n)))
        && let Some((one, rest)) = body.split_at_checked(length.max(1))
    {
        if let (Some(id), Some(name)) = (one.get(2), one.get(BEFORE_NAME..BEFORE_NAME + NAME)) {
            let end = name.iter().position(|b| *b == 0).unwrap_or(NAME);
            all.push((TableId(*id), String::from_utf8_lossy(name.get(..end).unwrap_or(name)).into_owned()));
        }
        body = rest;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Part;
    use crate::wire::stats::TableStats;
    use crate::wire::table_features::of_stats;
    use crate::wire::{Message, Xid, decode, encode_all};

    /// What is told is what a controller reads, in all versions and over several messages.
    #[test]
    fn what_is_told_is_read() {
        for version in [Version::Of13, Version::Of14, Version::Of15] {
            let told: Vec<_> = (0..254).map(|n| features(TableId(n), 254, "t", 77, version)).collect();
            let parts =
                encode_all(&Message::TableFeaturesReply(Part::all(told.clone())), version, Xid(7), None).unwrap();
            assert!(parts.len() > 1);
            let mut read = Vec::new();
            for part in &parts {
                let Ok((_, _, Message::TableFeaturesReply(part))) = decode(part, Default::default()) else { panic!() };
                read.extend(part.entries);
            }
            assert_eq!(read, told);
            let last = told.last().unwrap();
            assert!(last.others.next.is_empty() && last.others.kinds & GOTO_TABLE == 0);
        }
    }

    #[test]
    fn counters_say_it_in_older_versions() {
        for version in [Version::Of11, Version::Of12] {
            let of = |last, miss| {
                let stats = TableStats { features: words(last, miss, version), ..TableStats::default() };
                of_stats(&stats, version).unwrap()
            };
            assert_eq!(of(false, None).miss, Some(TableMiss::Controller));
            assert_eq!(of(false, Some(TableMiss::Drop)).miss, Some(TableMiss::Drop));
            assert_eq!(of(false, None).others.kinds ^ of(true, None).others.kinds, GOTO_TABLE);
            assert!(of(false, None).matching.fields.contains(&FieldId::EthSrc));
            assert!(of(false, None).matching.fields.contains(&FieldId::Metadata));
        }
    }
}
