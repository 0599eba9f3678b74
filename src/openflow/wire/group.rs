//! Changes of groups, and their buckets (OpenFlow 1.3, section 7.3.4.2; OpenFlow 1.5.1, section 7.3.4.3).
#![deny(clippy::indexing_slicing)]

use super::action::{Cx, Place, read_list, write_list};
use super::bytes::{Bytes, Put, pad, set_len, set_u16};
use super::codes::*;
use super::error::{Error, Result, refuse, refuse_because};
use super::oxm;
use super::version::Version;
use crate::group_mod::{Bucket, BucketRef, GroupCommand, GroupKind, GroupMod, HashField, SelectionMethod};
use crate::types::{GroupId, OfPort};
use flow::Match;

const KINDS: [GroupKind; 4] = [GroupKind::All, GroupKind::Select, GroupKind::Indirect, GroupKind::FastFailover];
/// Commands and their numbers.
const COMMANDS: [(GroupCommand, u16); 6] = [
    (GroupCommand::Add, 0),
    (GroupCommand::Modify, 1),
    (GroupCommand::Delete, 2),
    (GroupCommand::InsertBuckets, 3),
    (GroupCommand::RemoveBuckets, 5),
    (GroupCommand::AddOrModify, 0x8000),
];
const BUCKET_FIRST: u32 = 0xffff_fffd;
const BUCKET_LAST: u32 = 0xffff_fffe;
const BUCKET_ALL: u32 = 0xffff_ffff;

/// Netronome's property that says how a select group chooses.
const NTR: u32 = 0x0000_154d;
/// The same by another number that switches take.
const NTR_OTHER: u32 = 0x0000_1540;
const NTR_SELECTION: u32 = 1;
const METHOD: usize = 16;

/// Has it OpenFlow 1.5's form?
pub(super) fn modern(nx: bool, version: Version) -> bool {
    nx || version >= Version::Of15
}

pub fn kind(n: u8) -> Result<GroupKind> {
    KINDS.get(usize::from(n)).copied().ok_or(Error::new(OFPGMFC_BAD_TYPE))
}

pub fn kind_number(k: GroupKind) -> u8 {
    KINDS.iter().position(|x| *x == k).unwrap_or(0) as u8
}

pub fn read(b: &mut Bytes, nx: bool, cx: Cx) -> Result<GroupMod> {
    let (word, kind) = (b.u16()?, kind(b.u8()?)?);
    b.skip(1)?;
    let id = GroupId(b.u32()?);
    let command = COMMANDS.iter().find(|(_, n)| *n == word).map(|(c, _)| *c).ok_or(Error::new(OFPGMFC_BAD_COMMAND))?;
    let buckets_only = matches!(command, GroupCommand::InsertBuckets | GroupCommand::RemoveBuckets);
    let mut g = GroupMod {
        command,
        id,
        kind,
        buckets: Vec::new(),
        command_bucket: None,
        selection_method: SelectionMethod::Default,
        selection_param: 0,
        fields: Vec::new(),
    };
    if modern(nx, cx.version) {
        let len = usize::from(b.u16()?);
        b.skip(2)?;
        let bucket = b.u32()?;
        g.command_bucket = match bucket {
            _ if !buckets_only => None,
            BUCKET_FIRST => Some(BucketRef::First),
            BUCKET_LAST => Some(BucketRef::Last),
            BUCKET_ALL => Some(BucketRef::All),
            n if n > GroupId::MAX.0 => return refuse(OFPGMFC_BAD_BUCKET),
            n => Some(BucketRef::Id(n)),
        };
        g.buckets = read_buckets(b.sub(len)?, kind, true, cx)?;
        read_properties(b, &mut g)?;
    } else {
        if buckets_only {
            return refuse(OFPGMFC_BAD_COMMAND);
        }
        g.buckets = read_buckets(b.all(), kind, false, cx)?;
    }
    checked(g)
}

/// What OpenFlow asks of a group in any version.
pub(super) fn checked(g: GroupMod) -> Result<GroupMod> {
    let defines = matches!(g.command, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify);
    if g.kind == GroupKind::Indirect && defines && g.buckets.len() != 1 {
        return refuse(OFPGMFC_INVALID_GROUP);
    }
    if matches!(g.command, GroupCommand::Delete | GroupCommand::RemoveBuckets) && !g.buckets.is_empty() {
        return refuse(OFPGMFC_INVALID_GROUP);
    }
    let watched = |b: &Bucket| b.watch_port.is_some() || b.watch_group.is_some();
    for b in &g.buckets {
        match g.kind {
            GroupKind::FastFailover if !watched(b) => return refuse(OFPGMFC_INVALID_GROUP),
            GroupKind::All | GroupKind::Indirect if watched(b) => return refuse(OFPGMFC_WATCH_UNSUPPORTED),
            _ => {}
        }
        if b.weight != 0 && g.kind != GroupKind::Select && defines {
            return refuse(OFPGMFC_INVALID_GROUP);
        }
    }
    let ids: std::collections::HashSet<u32> = g.buckets.iter().map(|b| b.id).collect();
    if ids.len() != g.buckets.len() {
        return refuse_because(OFPGMFC_BAD_BUCKET, "ofp_group", "Duplicate bucket id");
    }
    Ok(g)
}

/// Reads buckets to the end of `b`. Before OpenFlow 1.5 their ids are their places.
pub fn read_buckets(mut b: Bytes, kind: GroupKind, modern: bool, cx: Cx) -> Result<Vec<Bucket>> {
    let mut buckets = Vec::new();
    while !b.is_empty() {
        let mut head = b;
        let len = usize::from(head.u16()?);
        let mut one = b.sub(len).map_err(|_| Error::new(OFPGMFC_BAD_BUCKET))?;
        one.skip(2)?;
        buckets.push(if modern {
            read_bucket15(&mut one, kind, cx)?
        } else {
            let (weight, port, group) = (one.u16()?, one.u32()?, one.u32()?);
            one.skip(4)?;
            let actions = read_list(Bytes::or(one.all().rest(), OFPBAC_BAD_LEN), Place::Plain, cx)?;
            bucket(buckets.len() as u32, weight, port, group, actions)
        });
    }
    Ok(buckets)
}

fn bucket(id: u32, weight: u16, port: u32, group: u32, actions: Vec<crate::Action>) -> Bucket {
    let watch_port = (port != OfPort::NONE.0).then_some(OfPort(port));
    let watch_group = (group != GroupId::ANY.0).then_some(GroupId(group));
    Bucket { id, weight, watch_port, watch_group, actions }
}

const WEIGHT: u16 = 0;
const WATCH_PORT: u16 = 1;
const WATCH_GROUP: u16 = 2;

fn read_bucket15(one: &mut Bytes, kind: GroupKind, cx: Cx) -> Result<Bucket> {
    let (len, id) = (usize::from(one.u16()?), one.u32()?);
    if id > GroupId::MAX.0 {
        return refuse(OFPGMFC_BAD_BUCKET);
    }
    let actions = read_list(Bytes::or(one.take(len)?, OFPBAC_BAD_LEN), Place::Plain, cx)?;
    let (mut weight, mut port, mut group) = (u16::from(kind == GroupKind::Select), OfPort::NONE.0, GroupId::ANY.0);
    while !one.is_empty() {
        let (t, mut v) = one.tlv(8)?;
        match t {
            WEIGHT => weight = v.u16()?,
            WATCH_PORT => port = v.u32()?,
            WATCH_GROUP => group = v.u32()?,
            _ => return refuse(OFPBPC_BAD_TYPE),
        }
    }
    Ok(bucket(id, weight, port, group, actions))
}

const EXPERIMENTER: u16 = 0xffff;

/// Reads a group's properties to the end of `b`.
pub fn read_properties(b: &mut Bytes, g: &mut GroupMod) -> Result<()> {
    while !b.is_empty() {
        let (t, mut v) = b.tlv(8)?;
        if t != EXPERIMENTER {
            return refuse(OFPBPC_BAD_TYPE);
        }
        if !matches!(v.u32()?, NTR | NTR_OTHER) {
            return refuse(OFPBPC_BAD_EXPERIMENTER);
        }
        if v.u32()? != NTR_SELECTION {
            return refuse(OFPBPC_BAD_EXP_TYPE);
        }
        v.skip(4)?;
        g.selection_method = match v.text(METHOD)?.as_str() {
            "hash" => SelectionMethod::Hash,
            "dp_hash" => SelectionMethod::DpHash,
            _ => return refuse(OFPBPC_BAD_VALUE),
        };
        if g.kind != GroupKind::Select {
            return refuse(OFPBPC_BAD_VALUE);
        }
        g.selection_param = v.u64()?;
        while !v.is_empty() {
            let (field, value, _) = oxm::read_value(&mut v).map_err(|e| {
                Error::new(if e.code == OFPBAC_BAD_SET_TYPE { OFPBMC_BAD_FIELD } else { OFPBMC_BAD_LEN })
            })?;
            // what stands for the value is the mask
            g.fields.push(HashField { field, mask: value & field.row().full_mask() });
        }
    }
    Ok(())
}

pub fn write(out: &mut Vec<u8>, g: &GroupMod, nx: bool, cx: Cx) {
    let word = COMMANDS.iter().find(|(c, _)| *c == g.command).map_or(0, |(_, n)| *n);
    out.u16(word);
    out.u8(kind_number(g.kind));
    out.u8(0);
    out.u32(g.id.0);
    let modern = modern(nx, cx.version);
    let at = out.len();
    if modern {
        out.u32(0);
        out.u32(match g.command_bucket {
            Some(BucketRef::Id(n)) => n,
            Some(BucketRef::First) => BUCKET_FIRST,
            Some(BucketRef::Last) => BUCKET_LAST,
            Some(BucketRef::All) | None => BUCKET_ALL,
        });
    }
    let start = out.len();
    write_buckets(out, &g.buckets, g.kind, modern, cx);
    if modern {
        let len = (out.len() - start) as u16;
        set_u16(out, at, len);
        write_properties(out, g, cx.version);
    }
}

pub fn write_properties(out: &mut Vec<u8>, g: &GroupMod, version: Version) {
    let method = match g.selection_method {
        SelectionMethod::Default => return,
        SelectionMethod::Hash => "hash",
        SelectionMethod::DpHash => "dp_hash",
    };
    let start = out.len();
    out.u16(EXPERIMENTER);
    out.u16(0);
    out.u32(NTR);
    out.u32(NTR_SELECTION);
    out.u32(0);
    out.text(method, METHOD);
    out.u64(g.selection_param);
    for f in &g.fields {
        oxm::write_value(out, f.field, f.mask, u128::MAX, Some(version).filter(|v| *v >= Version::Of12), None);
    }
    set_len(out, start + 2, start);
    pad(out, start, 8);
}

pub fn write_buckets(out: &mut Vec<u8>, buckets: &[Bucket], kind: GroupKind, modern: bool, cx: Cx) {
    for b in buckets {
        let start = out.len();
        out.u16(0);
        let (port, group) = (b.watch_port.unwrap_or(OfPort::NONE), b.watch_group.unwrap_or(GroupId::ANY));
        if modern {
            out.u16(0);
            out.u32(b.id);
            let actions = out.len();
            write_list(out, &b.actions, &Match::default(), cx);
            let len = (out.len() - actions) as u16;
            set_u16(out, start + 2, len);
            if kind == GroupKind::Select || b.weight != 0 {
                out.u16(WEIGHT);
                out.u16(8);
                out.u16(b.weight);
                out.u16(0);
            }
            for (t, value, none) in [(WATCH_PORT, port.0, OfPort::NONE.0), (WATCH_GROUP, group.0, GroupId::ANY.0)] {
                if value != none {
                    out.u16(t);
                    out.u16(8);
                    out.u32(value);
                }
            }
        } else {
            out.u16(b.weight);
            out.u32(port.0);
            out.u32(group.0);
            out.zeros(4);
            write_list(out, &b.actions, &Match::default(), cx);
        }
        set_len(out, start, start);
    }
}
