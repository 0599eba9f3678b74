//! How tables are configured: what becomes of packets that match nothing, eviction, vacancy (OpenFlow 1.1.0, section A.3.3;
//! OpenFlow 1.4.1, sections 7.3.4.1, 7.3.5.16 and 7.4.5).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put, set_len};
use super::codes::*;
use super::error::{Result, refuse};
use super::flow::table;
use super::version::Version;
use crate::types::TableId;

/// What becomes of a packet that no flow of a table matches; OpenFlow 1.1 and 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableMiss {
    Controller,
    /// It goes on to the next table.
    Continue,
    Drop,
}

const MISSES: [TableMiss; 3] = [TableMiss::Controller, TableMiss::Continue, TableMiss::Drop];

/// When controllers are told that a table fills: percent of room that is left. OpenFlow 1.4 and later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vacancy {
    pub down: u8,
    pub up: u8,
    /// What is left now; of a switch alone.
    pub now: u8,
}

/// A change of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMod {
    /// `None`: all.
    pub table: Option<TableId>,
    /// Says nothing since OpenFlow 1.3.
    pub miss: Option<TableMiss>,
    /// OpenFlow 1.4 and later.
    pub eviction: Option<bool>,
    /// What eviction goes by, which a switch alone says: bits of [`eviction`].
    pub eviction_flags: Option<u32>,
    /// Whether vacancy is told of; OpenFlow 1.4 and later.
    pub vacancy_events: Option<bool>,
    pub vacancy: Option<Vacancy>,
}

/// A table as it is configured (OpenFlow 1.4 and later).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableDesc {
    pub table: TableId,
    pub eviction: bool,
    pub eviction_flags: Option<u32>,
    pub vacancy_events: bool,
    pub vacancy: Option<Vacancy>,
}

/// What eviction goes by.
pub mod eviction {
    pub const OTHER: u32 = 1;
    pub const IMPORTANCE: u32 = 2;
    pub const LIFETIME: u32 = 4;
}

/// Why a switch tells of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableReason {
    VacancyDown,
    VacancyUp,
}

const EVICTION: u32 = 1 << 2;
const VACANCY: u32 = 1 << 3;
const EVICTION_PROPERTY: u16 = 2;
const VACANCY_PROPERTY: u16 = 3;

/// Reads properties to the end of `b`.
fn read_properties(b: &mut Bytes) -> Result<(Option<u32>, Option<Vacancy>)> {
    let mut found = (None, None);
    while !b.is_empty() {
        let (kind, mut v) = b.tlv(8)?;
        match kind {
            EVICTION_PROPERTY => found.0 = Some(v.u32()?),
            VACANCY_PROPERTY => found.1 = Some(Vacancy { down: v.u8()?, up: v.u8()?, now: v.u8()? }),
            _ => return refuse(OFPBRC_BAD_TYPE),
        }
    }
    Ok(found)
}

fn write_properties(out: &mut Vec<u8>, eviction_flags: Option<u32>, vacancy: Option<Vacancy>) {
    if let Some(flags) = eviction_flags {
        out.u16(EVICTION_PROPERTY);
        out.u16(8);
        out.u32(flags);
    }
    if let Some(v) = vacancy {
        out.u16(VACANCY_PROPERTY);
        out.u16(8);
        out.u8(v.down);
        out.u8(v.up);
        out.u8(v.now);
        out.u8(0);
    }
}

pub fn read_mod(b: &mut Bytes, version: Version) -> Result<TableMod> {
    let table = table(b.u8()?);
    b.skip(3)?;
    let config = b.u32()?;
    let mut change =
        TableMod { table, miss: None, eviction: None, eviction_flags: None, vacancy_events: None, vacancy: None };
    match version {
        Version::Of11 | Version::Of12 => {
            let Some(miss) = MISSES.get(config as usize) else { return refuse(OFPTMFC_BAD_CONFIG) };
            change.miss = Some(*miss);
        }
        v if v >= Version::Of14 => {
            if config & !(EVICTION | VACANCY | 3) != 0 {
                return refuse(OFPTMFC_BAD_CONFIG);
            }
            change.eviction = Some(config & EVICTION != 0);
            change.vacancy_events = Some(config & VACANCY != 0);
            (change.eviction_flags, change.vacancy) = read_properties(b)?;
        }
        _ => {}
    }
    Ok(change)
}

pub fn write_mod(out: &mut Vec<u8>, m: &TableMod, version: Version) {
    out.u8(m.table.map_or(TableId::ALL, |t| t.0));
    out.zeros(3);
    match version {
        Version::Of11 | Version::Of12 => {
            out.u32(MISSES.iter().position(|x| Some(*x) == m.miss).unwrap_or(0) as u32);
        }
        v if v >= Version::Of14 => {
            out.u32(config(m.eviction == Some(true), m.vacancy_events == Some(true)));
            write_properties(out, m.eviction_flags, m.vacancy);
        }
        _ => out.u32(0),
    }
}

fn config(eviction: bool, vacancy: bool) -> u32 {
    (if eviction { EVICTION } else { 0 }) | if vacancy { VACANCY } else { 0 }
}

pub fn read_desc(b: &mut Bytes) -> Result<TableDesc> {
    let mut head = *b;
    let mut one = b.sub(usize::from(head.u16()?))?;
    one.skip(2)?;
    let table = TableId(one.u8()?);
    one.skip(1)?;
    let config = one.u32()?;
    let (eviction_flags, vacancy) = read_properties(&mut one)?;
    let (eviction, vacancy_events) = (config & EVICTION != 0, config & VACANCY != 0);
    Ok(TableDesc { table, eviction, eviction_flags, vacancy_events, vacancy })
}

pub fn write_desc(out: &mut Vec<u8>, t: &TableDesc) {
    let start = out.len();
    out.u16(0);
    out.u8(t.table.0);
    out.u8(0);
    out.u32(config(t.eviction, t.vacancy_events));
    write_properties(out, t.eviction_flags, t.vacancy);
    set_len(out, start, start);
}

pub fn read_status(b: &mut Bytes) -> Result<(TableReason, TableDesc)> {
    let reason = match b.u8()? {
        3 => TableReason::VacancyDown,
        4 => TableReason::VacancyUp,
        _ => return refuse(OFPBPC_BAD_VALUE),
    };
    b.skip(7)?;
    Ok((reason, read_desc(b)?))
}

pub fn write_status(out: &mut Vec<u8>, reason: TableReason, t: &TableDesc) {
    out.u8(if reason == TableReason::VacancyDown { 3 } else { 4 });
    out.zeros(7);
    write_desc(out, t);
}
