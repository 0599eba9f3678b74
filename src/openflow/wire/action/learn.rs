//! `learn`: a fixed part and a list of specifications (ovs-actions(7), "The learn action").
#![deny(clippy::indexing_slicing)]

use super::{Cx, field, put_field, subfield};
use crate::action::{Action, Learn, LearnLimit, LearnSource, LearnSpec, LearnTarget};
use crate::subfield::{Subfield, low_bits};
use crate::types::{Cookie, TableId};
use crate::wire::bytes::{Bytes, Put, number};
use crate::wire::codes::*;
use crate::wire::error::{Result, refuse};

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 2;
const WRITE_RESULT: u16 = 4;

/// A specification's header: ten bits of width, what it does, where its value is.
const N_BITS: u16 = 0x3ff;
const DST: u16 = 3 << 11;
const DST_MATCH: u16 = 0 << 11;
const DST_LOAD: u16 = 1 << 11;
const DST_OUTPUT: u16 = 2 << 11;
const SRC_IMMEDIATE: u16 = 1 << 13;

pub(super) fn read(b: &mut Bytes, limited: bool) -> Result<Action> {
    let (idle_timeout, hard_timeout, priority, cookie) = (b.u16()?, b.u16()?, b.u16()?, Cookie(b.u64()?));
    let (flags, table) = (b.u16()?, b.u8()?);
    b.zeros(1)?;
    let (fin_idle_timeout, fin_hard_timeout) = (b.u16()?, b.u16()?);
    let known = if limited { SEND_FLOW_REM | DELETE_LEARNED | WRITE_RESULT } else { SEND_FLOW_REM | DELETE_LEARNED };
    if flags & !known != 0 || table == TableId::ALL {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    let limit = if limited { read_limit(b, flags)? } else { None };
    let mut specs = Vec::new();
    while b.len() >= 2 {
        let head = b.u16()?;
        if head == 0 {
            break;
        }
        specs.push(read_spec(b, head)?);
    }
    b.zeros(b.len().min(7))?;
    Ok(Action::Learn(Box::new(Learn {
        table: TableId(table),
        priority,
        cookie,
        idle_timeout,
        hard_timeout,
        fin_idle_timeout,
        fin_hard_timeout,
        send_flow_rem: flags & SEND_FLOW_REM != 0,
        delete_learned: flags & DELETE_LEARNED != 0,
        limit,
        specs,
    })))
}

fn read_limit(b: &mut Bytes, flags: u16) -> Result<Option<LearnLimit>> {
    let (flows, ofs) = (b.u32()?, b.u16()?);
    b.zeros(2)?;
    let result = if flags & WRITE_RESULT != 0 {
        let id = field(b)?;
        Some(super::nicira::writable(subfield(id, ofs, 1)?)?)
    } else {
        None
    };
    Ok((flows != 0).then_some(LearnLimit { flows, result }))
}

fn read_spec(b: &mut Bytes, head: u16) -> Result<LearnSpec> {
    let n_bits = head & N_BITS;
    if n_bits == 0 || head & !(N_BITS | DST | SRC_IMMEDIATE) != 0 {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    let source = if head & SRC_IMMEDIATE != 0 {
        LearnSource::Value(number(b.take(immediate(n_bits))?) & low_bits(n_bits))
    } else {
        LearnSource::Field(part(b, n_bits)?)
    };
    let target = match head & DST {
        DST_MATCH => LearnTarget::Match(part(b, n_bits)?),
        DST_LOAD => LearnTarget::Load(super::nicira::writable(part(b, n_bits)?)?),
        DST_OUTPUT if head & SRC_IMMEDIATE == 0 => LearnTarget::Output,
        _ => return refuse(OFPBAC_BAD_ARGUMENT),
    };
    Ok(LearnSpec { source, target })
}

/// Bytes of an immediate value: whole 16-bit words.
fn immediate(n_bits: u16) -> usize {
    2 * usize::from(n_bits).div_ceil(16)
}

fn part(b: &mut Bytes, n_bits: u16) -> Result<Subfield> {
    let id = field(b)?;
    subfield(id, b.u16()?, n_bits)
}

pub(super) fn write(o: &mut Vec<u8>, l: &Learn, cx: Cx) {
    let result = l.limit.and_then(|limit| limit.result);
    o.u16(l.idle_timeout);
    o.u16(l.hard_timeout);
    o.u16(l.priority);
    o.u64(l.cookie.0);
    let flag = |on: bool, bit: u16| if on { bit } else { 0 };
    o.u16(
        flag(l.send_flow_rem, SEND_FLOW_REM)
            | flag(l.delete_learned, DELETE_LEARNED)
            | flag(result.is_some(), WRITE_RESULT),
    );
    o.u8(l.table.0);
    o.u8(0);
    o.u16(l.fin_idle_timeout);
    o.u16(l.fin_hard_timeout);
    if let Some(limit) = l.limit {
        o.u32(limit.flows);
        o.u16(result.map_or(0, |dst| dst.ofs));
        o.u16(0);
        if let Some(dst) = result {
            put_field(o, dst.field, cx);
        }
    }
    l.specs.iter().for_each(|s| write_spec(o, s, cx));
}

fn write_spec(o: &mut Vec<u8>, s: &LearnSpec, cx: Cx) {
    let (dst, sf) = match s.target {
        LearnTarget::Match(sf) => (DST_MATCH, Some(sf)),
        LearnTarget::Load(sf) => (DST_LOAD, Some(sf)),
        LearnTarget::Output => (DST_OUTPUT, None),
    };
    let put = |o: &mut Vec<u8>, sf: Subfield| {
        put_field(o, sf.field, cx);
        o.u16(sf.ofs);
    };
    match s.source {
        LearnSource::Field(src) => {
            o.u16(src.n_bits | dst);
            put(o, src);
        }
        LearnSource::Value(value) => {
            let n_bits = sf.map_or(16, |sf| sf.n_bits);
            o.u16(n_bits | dst | SRC_IMMEDIATE);
            o.number(value, immediate(n_bits));
        }
    }
    if let Some(sf) = sf {
        put(o, sf);
    }
}
