//! Multiparts about groups: counters, what they are, what there can be of them (OpenFlow 1.3.5, sections 7.3.5.9 to
//! 7.3.5.11; OpenFlow 1.5.1, section 7.3.5.10).
#![deny(clippy::indexing_slicing)]

use super::action::Cx;
use super::bytes::{Bytes, Put, set_len, set_u16};
use super::codes::OFPBRC_BAD_LEN;
use super::error::{Result, refuse};
use super::flow::{read_duration, write_duration};
use super::group::{kind, kind_number, modern, read_buckets, read_properties, write_buckets, write_properties};
use super::version::Version;
use crate::group_mod::{GroupCommand, GroupKind, GroupMod, SelectionMethod};
use crate::types::GroupId;
use std::time::Duration;

/// What a bucket sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketStats {
    pub packets: u64,
    pub bytes: u64,
}

/// Counters of a group; all ones is "not known".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    pub id: GroupId,
    /// Flows and groups that go to it.
    pub references: u32,
    pub packets: u64,
    pub bytes: u64,
    /// OpenFlow 1.3 and later, and Nicira's.
    pub duration: Option<Duration>,
    pub buckets: Vec<BucketStats>,
}

/// What there can be of groups, in the order all, select, indirect, fast failover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFeatures {
    /// A bit for each kind.
    pub types: u32,
    /// Weights, liveness, chaining, checks of loops.
    pub capabilities: u32,
    pub max_groups: [u32; 4],
    /// A bit for each action by its number in the version.
    pub actions: [u32; 4],
}

/// The group that a request is about.
pub fn read_wanted(b: &mut Bytes) -> Result<GroupId> {
    let id = GroupId(b.u32()?);
    b.skip(4).map(|()| id)
}

pub fn write_wanted(out: &mut Vec<u8>, id: GroupId) {
    out.u32(id.0);
    out.zeros(4);
}

fn timed(nx: bool, version: Version) -> bool {
    nx || version >= Version::Of13
}

pub fn read_stats(b: &mut Bytes, nx: bool, version: Version) -> Result<GroupStats> {
    let mut head = *b;
    let mut one = b.sub(usize::from(head.u16()?))?;
    one.skip(4)?;
    let (id, references) = (GroupId(one.u32()?), one.u32()?);
    one.skip(4)?;
    let (packets, bytes) = (one.u64()?, one.u64()?);
    let duration = if timed(nx, version) { Some(read_duration(&mut one)?) } else { None };
    let buckets = super::stats::list(&mut one, |b| Ok(BucketStats { packets: b.u64()?, bytes: b.u64()? }))?;
    Ok(GroupStats { id, references, packets, bytes, duration, buckets })
}

pub fn write_stats(out: &mut Vec<u8>, g: &GroupStats, nx: bool, version: Version) {
    let start = out.len();
    out.u32(0);
    out.u32(g.id.0);
    out.u32(g.references);
    out.u32(0);
    out.u64(g.packets);
    out.u64(g.bytes);
    if timed(nx, version) {
        write_duration(out, g.duration.unwrap_or_default());
    }
    for b in &g.buckets {
        out.u64(b.packets);
        out.u64(b.bytes);
    }
    set_len(out, start, start);
}

/// Reads what a group is: the change that would add it.
pub fn read_desc(b: &mut Bytes, nx: bool, cx: Cx) -> Result<GroupMod> {
    let mut head = *b;
    let mut one = b.sub(usize::from(head.u16()?))?;
    one.skip(2)?;
    let kind = kind(one.u8()?)?;
    one.skip(1)?;
    let mut g = GroupMod {
        command: GroupCommand::Add,
        id: GroupId(one.u32()?),
        kind,
        buckets: Vec::new(),
        command_bucket: None,
        selection_method: SelectionMethod::Default,
        selection_param: 0,
        fields: Vec::new(),
    };
    if modern(nx, cx.version) {
        let len = usize::from(one.u16()?);
        one.skip(6)?;
        g.buckets = read_buckets(one.sub(len)?, kind, true, cx)?;
        read_properties(&mut one, &mut g)?;
    } else {
        g.buckets = read_buckets(one.all(), kind, false, cx)?;
    }
    // what a switch has is told as it is, but for what says nothing
    if kind != GroupKind::Select {
        g.buckets.iter_mut().for_each(|b| b.weight = 0);
    }
    Ok(g)
}

pub fn write_desc(out: &mut Vec<u8>, g: &GroupMod, nx: bool, cx: Cx) {
    let start = out.len();
    out.u16(0);
    out.u8(kind_number(g.kind));
    out.u8(0);
    out.u32(g.id.0);
    let modern = modern(nx, cx.version);
    let at = out.len();
    if modern {
        out.zeros(8);
    }
    let buckets = out.len();
    write_buckets(out, &g.buckets, g.kind, modern, cx);
    if modern {
        let len = (out.len() - buckets) as u16;
        set_u16(out, at, len);
        write_properties(out, g, cx.version);
    }
    set_len(out, start, start);
}

pub fn read_features(b: &mut Bytes) -> Result<GroupFeatures> {
    let mut f = GroupFeatures { types: b.u32()?, capabilities: b.u32()?, ..GroupFeatures::default() };
    for n in f.max_groups.iter_mut().chain(&mut f.actions) {
        *n = b.u32()?;
    }
    if b.is_empty() { Ok(f) } else { refuse(OFPBRC_BAD_LEN) }
}

pub fn write_features(out: &mut Vec<u8>, f: &GroupFeatures) {
    out.u32(f.types);
    out.u32(f.capabilities);
    f.max_groups.iter().chain(&f.actions).for_each(|n| out.u32(*n));
}
