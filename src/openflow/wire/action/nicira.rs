//! Nicira's actions, by subtype, that have no structure of their own (ovs-actions(7)).
#![deny(clippy::indexing_slicing)]

use super::{Cx, Place, field, nx, port16, put_field, range, read_range, subfield, to_port16};
use super::{learn, nested, tracked};
use crate::action::{Action, Decap, Resubmit, SetField, SetStyle};
use crate::subfield::{FieldId, Subfield, low_bits};
use crate::types::{GroupId, TableId};
use crate::wire::bytes::{Bytes, Put};
use crate::wire::codes::*;
use crate::wire::error::{Result, refuse};
use crate::wire::oxm;
use flow::fields::prereq::eth_type;

const RESUBMIT: u16 = 1;
const SET_TUNNEL: u16 = 2;
const SET_QUEUE: u16 = 4;
const POP_QUEUE: u16 = 5;
const REG_MOVE: u16 = 6;
const REG_LOAD: u16 = 7;
const NOTE: u16 = 8;
const SET_TUNNEL64: u16 = 9;
const MULTIPATH: u16 = 10;
const BUNDLE: u16 = 12;
const BUNDLE_LOAD: u16 = 13;
const RESUBMIT_TABLE: u16 = 14;
const OUTPUT_REG: u16 = 15;
const LEARN: u16 = 16;
const EXIT: u16 = 17;
const DEC_TTL: u16 = 18;
const FIN_TIMEOUT: u16 = 19;
const CONTROLLER: u16 = 20;
const DEC_TTL_CNT_IDS: u16 = 21;
const WRITE_METADATA: u16 = 22;
const PUSH_MPLS: u16 = 23;
const POP_MPLS: u16 = 24;
const SET_MPLS_TTL: u16 = 25;
const DEC_MPLS_TTL: u16 = 26;
const STACK_PUSH: u16 = 27;
const STACK_POP: u16 = 28;
const SAMPLE: u16 = 29;
const SET_MPLS_LABEL: u16 = 30;
const SET_MPLS_TC: u16 = 31;
const OUTPUT_REG2: u16 = 32;
const REG_LOAD2: u16 = 33;
const CONJUNCTION: u16 = 34;
const CT: u16 = 35;
const CONTROLLER2: u16 = 37;
const SAMPLE2: u16 = 38;
const OUTPUT_TRUNC: u16 = 39;
const GROUP: u16 = 40;
const SAMPLE3: u16 = 41;
const CLONE: u16 = 42;
const CT_CLEAR: u16 = 43;
const RESUBMIT_TABLE_CT: u16 = 44;
const LEARN2: u16 = 45;
const ENCAP: u16 = 46;
const DECAP: u16 = 47;
const DEC_NSH_TTL: u16 = 48;
const CHECK_PKT_LARGER: u16 = 49;
const DELETE_FIELD: u16 = 50;
const DEBUG_SLOW: u16 = 254;
const DEBUG_RECIRC: u16 = 255;

/// "What the next header says", as the packet type that `decap` names.
const NEXT_PROTO: u32 = 0xfffe;
/// A `load` that is this wide at most.
const LOAD_BITS: u16 = 64;

/// The name of the action that `bytes` begin with, for the log.
pub(super) fn name(kind: u16, bytes: &[u8]) -> Option<&'static str> {
    let mut b = Bytes::new(bytes);
    b.skip(8).ok()?;
    (kind == super::EXPERIMENTER && b.u16().ok()? == DEC_TTL_CNT_IDS).then_some("NXAST_DEC_TTL_CNT_IDS")
}

pub(super) fn read(subtype: u16, b: &mut Bytes, cx: Cx) -> Result<Action> {
    Ok(match subtype {
        RESUBMIT => {
            let in_port = port16(b)?;
            b.skip(4)?;
            Action::Resubmit(Resubmit { in_port, table: None, with_ct: false })
        }
        RESUBMIT_TABLE | RESUBMIT_TABLE_CT => {
            let (in_port, table) = (port16(b)?, b.u8()?);
            b.zeros(3)?;
            let table = (table != TableId::ALL).then_some(TableId(table));
            Action::Resubmit(Resubmit { in_port, table, with_ct: subtype == RESUBMIT_TABLE_CT })
        }
        SET_TUNNEL => {
            b.skip(2)?;
            Action::SetTunnel { id: b.u32()?.into(), wide: false }
        }
        SET_TUNNEL64 => {
            b.skip(6)?;
            Action::SetTunnel { id: b.u64()?, wide: true }
        }
        SET_QUEUE => {
            b.skip(2)?;
            Action::SetQueue(b.u32()?)
        }
        POP_QUEUE => rest(b, Action::PopQueue)?,
        REG_MOVE => {
            let (n_bits, src_ofs, dst_ofs) = (b.u16()?, b.u16()?, b.u16()?);
            let (src, dst) = (field(b)?, field(b)?);
            b.zeros(b.len().min(7))?;
            Action::Move { src: subfield(src, src_ofs, n_bits)?, dst: writable(subfield(dst, dst_ofs, n_bits)?)? }
        }
        REG_LOAD => load(b)?,
        NOTE => Action::Note(b.take(b.len())?.to_vec()),
        MULTIPATH => nested::read_multipath(b)?,
        BUNDLE | BUNDLE_LOAD => nested::read_bundle(b, subtype == BUNDLE_LOAD)?,
        OUTPUT_REG | OUTPUT_REG2 => output_reg(b, subtype == OUTPUT_REG)?,
        LEARN | LEARN2 => learn::read(b, subtype == LEARN2)?,
        EXIT => rest(b, Action::Exit)?,
        DEC_TTL => rest(b, Action::DecTtl(Vec::new()))?,
        FIN_TIMEOUT => {
            let (idle, hard) = (b.u16()?, b.u16()?);
            b.zeros(2)?;
            Action::FinTimeout { idle, hard }
        }
        CONTROLLER => nested::read_controller(b)?,
        CONTROLLER2 => nested::read_controller2(b)?,
        DEC_TTL_CNT_IDS => {
            let n = b.u16()?;
            b.zeros(4)?;
            if n == 0 {
                return refuse(OFPBAC_BAD_LEN);
            }
            let ids = (0..n).map(|_| b.u16()).collect::<Result<_>>()?;
            rest(b, Action::DecTtl(ids))?
        }
        WRITE_METADATA => {
            b.zeros(6)?;
            Action::WriteMetadata { value: b.u64()?, mask: b.u64()? }
        }
        PUSH_MPLS => match b.u16()? {
            t @ (eth_type::MPLS | eth_type::MPLS_MULTICAST) => rest(b, Action::PushMpls(t))?,
            _ => return refuse(OFPBAC_BAD_ARGUMENT),
        },
        POP_MPLS => {
            let t = b.u16()?;
            rest(b, Action::PopMpls(t))?
        }
        SET_MPLS_TTL => {
            let ttl = b.u8()?;
            rest(b, Action::SetMplsTtl(ttl))?
        }
        DEC_MPLS_TTL => rest(b, Action::DecMplsTtl)?,
        STACK_PUSH | STACK_POP => {
            let (ofs, id, n_bits) = (b.u16()?, field(b)?, b.u16()?);
            b.zeros(b.len().min(6))?;
            let sf = subfield(id, ofs, n_bits)?;
            if subtype == STACK_PUSH { Action::StackPush(sf) } else { Action::StackPop(writable(sf)?) }
        }
        SAMPLE | SAMPLE2 | SAMPLE3 => {
            nested::read_sample(b, u8::from(subtype != SAMPLE) + u8::from(subtype == SAMPLE3))?
        }
        SET_MPLS_LABEL => {
            b.zeros(2)?;
            Action::SetMplsLabel(b.u32()? & 0xf_ffff)
        }
        SET_MPLS_TC => {
            let tc = b.u8()? & 7;
            rest(b, Action::SetMplsTc(tc))?
        }
        REG_LOAD2 => {
            let (id, value, mask) = oxm::read_value(b)?;
            b.zeros(b.len().min(7))?;
            super::standard::written(id, value, mask)?
        }
        CONJUNCTION => {
            let (clause, n_clauses, id) = (b.u8()?, b.u8()?, b.u32()?);
            if !(2..=64).contains(&n_clauses) || clause >= n_clauses {
                return refuse(NXBAC_BAD_CONJUNCTION);
            }
            Action::Conjunction { id, clause, n_clauses }
        }
        CT => tracked::read(b, cx)?,
        OUTPUT_TRUNC => {
            let (port, max_len) = (port16(b)?, b.u32()?);
            if max_len < 14 {
                return refuse(OFPBAC_BAD_ARGUMENT);
            }
            Action::OutputTrunc { port, max_len }
        }
        GROUP => {
            b.skip(2)?;
            Action::Group(GroupId(b.u32()?))
        }
        CLONE => {
            b.skip(6)?;
            Action::Clone(super::read_list(b.all(), Place::Clone, cx.deeper()?)?)
        }
        CT_CLEAR => rest(b, Action::CtClear)?,
        ENCAP => nested::read_encap(b)?,
        DECAP => {
            b.skip(2)?;
            let t = b.u32()?;
            Action::Decap(Decap { packet_type: (t != NEXT_PROTO).then_some(t) })
        }
        DEC_NSH_TTL => rest(b, Action::DecNshTtl)?,
        CHECK_PKT_LARGER => {
            let (len, ofs, id) = (b.u16()?, b.u16()?, field(b)?);
            b.zeros(b.len().min(10))?;
            Action::CheckPktLarger { len, dst: writable(subfield(id, ofs, 1)?)? }
        }
        DELETE_FIELD => {
            let id = field(b)?;
            b.zeros(b.len().min(10))?;
            if id.tun_metadata_index().is_none() {
                return refuse(OFPBAC_BAD_ARGUMENT);
            }
            Action::DeleteField(id)
        }
        DEBUG_SLOW => rest(b, Action::DebugSlow)?,
        DEBUG_RECIRC => rest(b, Action::DebugRecirc)?,
        _ => return refuse(OFPBAC_BAD_VENDOR_TYPE),
    })
}

/// The padding of an action is not looked at.
fn rest(b: &mut Bytes, action: Action) -> Result<Action> {
    b.skip(b.len().min(6)).map(|()| action)
}

/// A field that may be written.
pub(super) fn writable(dst: Subfield) -> Result<Subfield> {
    let row = dst.field.row();
    if row.writable {
        return Ok(dst);
    }
    let words = format!("destination field {} is not writable", row.name);
    crate::wire::error::refuse_because(OFPBAC_BAD_SET_ARGUMENT, "meta_flow", words)
}

fn load(b: &mut Bytes) -> Result<Action> {
    let (ofs, n_bits) = read_range(b)?;
    let (id, value) = (field(b)?, u128::from(b.u64()?));
    let dst = writable(subfield(id, ofs, n_bits)?)?;
    if value & !low_bits(n_bits) != 0 {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    let value = value.checked_shl(ofs.into()).unwrap_or(0);
    Ok(Action::SetField(SetField::loaded(dst, value)))
}

fn output_reg(b: &mut Bytes, old: bool) -> Result<Action> {
    let (ofs, n_bits) = read_range(b)?;
    let (src, max_len) = if old {
        let id = field(b)?;
        (id, b.u16()?)
    } else {
        let max_len = b.u16()?;
        (field(b)?, max_len)
    };
    b.zeros(b.len().min(6))?;
    Ok(Action::OutputReg { src: subfield(src, ofs, n_bits)?, max_len })
}

/// Writes what the version has no action for.
pub(super) fn write(out: &mut Vec<u8>, action: &Action, cx: Cx) {
    match action {
        Action::Resubmit(r) if r.table.is_none() && !r.with_ct => nx(out, RESUBMIT, |o| o.u16(to_port16(r.in_port))),
        Action::Resubmit(r) => {
            nx(out, if r.with_ct { RESUBMIT_TABLE_CT } else { RESUBMIT_TABLE }, |o| {
                o.u16(to_port16(r.in_port));
                o.u8(r.table.map_or(TableId::ALL, |t| t.0));
            });
        }
        Action::SetTunnel { id, wide } => set_tunnel(out, *id, *wide),
        Action::SetQueue(queue) => nx(out, SET_QUEUE, |o| {
            o.u16(0);
            o.u32(*queue);
        }),
        Action::PopQueue => nx(out, POP_QUEUE, |_| {}),
        Action::Move { src, dst } => nx(out, REG_MOVE, |o| {
            o.u16(src.n_bits);
            o.u16(src.ofs);
            o.u16(dst.ofs);
            put_field(o, src.field, cx);
            put_field(o, dst.field, cx);
        }),
        Action::SetField(s) => write_set(out, s, cx),
        Action::Note(bytes) => nx(out, NOTE, |o| o.bytes(bytes)),
        Action::Multipath(m) => nx(out, MULTIPATH, |o| nested::write_multipath(o, m, cx)),
        Action::Bundle(b) => {
            nx(out, if b.dst.is_some() { BUNDLE_LOAD } else { BUNDLE }, |o| nested::write_bundle(o, b, cx));
        }
        Action::OutputReg { src, max_len } => write_output_reg(out, *src, *max_len, cx),
        Action::Learn(l) => nx(out, if l.limit.is_some() { LEARN2 } else { LEARN }, |o| learn::write(o, l, cx)),
        Action::Exit => nx(out, EXIT, |_| {}),
        Action::DecTtl(ids) if ids.is_empty() => nx(out, DEC_TTL, |_| {}),
        Action::DecTtl(ids) => nx(out, DEC_TTL_CNT_IDS, |o| {
            o.u16(ids.len() as u16);
            o.zeros(4);
            ids.iter().for_each(|id| o.u16(*id));
        }),
        Action::FinTimeout { idle, hard } => nx(out, FIN_TIMEOUT, |o| {
            o.u16(*idle);
            o.u16(*hard);
        }),
        Action::Controller(c) if nested::is_plain(c) => nx(out, CONTROLLER, |o| nested::write_controller(o, c)),
        Action::Controller(c) => nx(out, CONTROLLER2, |o| nested::write_controller2(o, c)),
        Action::WriteMetadata { value, mask } => nx(out, WRITE_METADATA, |o| {
            o.zeros(6);
            o.u64(*value);
            o.u64(*mask);
        }),
        Action::PushMpls(t) => nx(out, PUSH_MPLS, |o| o.u16(*t)),
        Action::PopMpls(t) => nx(out, POP_MPLS, |o| o.u16(*t)),
        Action::SetMplsTtl(ttl) => nx(out, SET_MPLS_TTL, |o| o.u8(*ttl)),
        Action::DecMplsTtl => nx(out, DEC_MPLS_TTL, |_| {}),
        Action::StackPush(sf) => stack(out, STACK_PUSH, *sf, cx),
        Action::StackPop(sf) => stack(out, STACK_POP, *sf, cx),
        Action::Sample(s) => nested::write_sample(out, s, [SAMPLE, SAMPLE2, SAMPLE3]),
        Action::SetMplsLabel(label) => nx(out, SET_MPLS_LABEL, |o| {
            o.u16(0);
            o.u32(*label);
        }),
        Action::SetMplsTc(tc) => nx(out, SET_MPLS_TC, |o| o.u8(*tc)),
        Action::Conjunction { id, clause, n_clauses } => nx(out, CONJUNCTION, |o| {
            o.u8(*clause);
            o.u8(*n_clauses);
            o.u32(*id);
        }),
        Action::Ct(ct) => nx(out, CT, |o| tracked::write(o, ct, cx)),
        Action::OutputTrunc { port, max_len } => nx(out, OUTPUT_TRUNC, |o| {
            o.u16(to_port16(*port));
            o.u32(*max_len);
        }),
        Action::Group(id) => nx(out, GROUP, |o| {
            o.u16(0);
            o.u32(id.0);
        }),
        Action::Clone(inner) => nx(out, CLONE, |o| {
            o.zeros(6);
            super::write_nested(o, inner, cx);
        }),
        Action::CtClear => nx(out, CT_CLEAR, |_| {}),
        Action::Encap(e) => nx(out, ENCAP, |o| nested::write_encap(o, e)),
        Action::Decap(d) => nx(out, DECAP, |o| {
            o.u16(0);
            o.u32(d.packet_type.unwrap_or(NEXT_PROTO));
        }),
        Action::DecNshTtl => nx(out, DEC_NSH_TTL, |_| {}),
        Action::CheckPktLarger { len, dst } => nx(out, CHECK_PKT_LARGER, |o| {
            o.u16(*len);
            o.u16(dst.ofs);
            put_field(o, dst.field, cx);
            o.zeros(6);
        }),
        Action::DeleteField(id) => nx(out, DELETE_FIELD, |o| {
            put_field(o, *id, cx);
            o.zeros(10);
        }),
        Action::DebugSlow => nx(out, DEBUG_SLOW, |_| {}),
        Action::DebugRecirc => nx(out, DEBUG_RECIRC, |_| {}),
        // The standard's in every version that has them, and left out in those that do not: the view takes them away
        // from OpenFlow 1.0, and instructions are written by their own module.
        Action::Output { .. }
        | Action::Enqueue { .. }
        | Action::SetVlanVid { .. }
        | Action::SetVlanPcp { .. }
        | Action::StripVlan
        | Action::PushVlan(_)
        | Action::Meter(_)
        | Action::ClearActions
        | Action::WriteActions(_)
        | Action::GotoTable(_) => {}
    }
}

fn stack(out: &mut Vec<u8>, subtype: u16, sf: Subfield, cx: Cx) {
    nx(out, subtype, |o| {
        o.u16(sf.ofs);
        put_field(o, sf.field, cx);
        o.u16(sf.n_bits);
        o.zeros(6);
    });
}

fn write_output_reg(out: &mut Vec<u8>, src: Subfield, max_len: u16, cx: Cx) {
    let mut header = Vec::new();
    put_field(&mut header, src.field, cx);
    if header.len() == 4 {
        return nx(out, OUTPUT_REG, |o| {
            o.u16(range(src));
            o.bytes(&header);
            o.u16(max_len);
            o.zeros(6);
        });
    }
    nx(out, OUTPUT_REG2, |o| {
        o.u16(range(src));
        o.u16(max_len);
        o.bytes(&header);
    });
}

/// A `load` for each run of bits; fields whose header does not fit there are written whole.
fn write_set(out: &mut Vec<u8>, s: &SetField, cx: Cx) {
    let mut header = Vec::new();
    put_field(&mut header, s.field, cx);
    if s.style == SetStyle::SetField && cx.version == crate::wire::Version::Of10
        || header.len() != 4
        || s.field.tun_metadata_index().is_some()
        || s.mask == 0
    {
        return nx(out, REG_LOAD2, |o| oxm::write_value(o, s.field, s.value, s.mask, None, cx.tlv));
    }
    let mut bits = if s.field == FieldId::ArpOp { s.subfield().mask() } else { s.mask };
    // the bit above a VID is no part of what can be loaded
    if s.field == FieldId::VlanVid {
        bits &= 0xfff;
    }
    while bits != 0 {
        let ofs = bits.trailing_zeros() as u16;
        let n_bits = ((bits >> ofs).trailing_ones() as u16).min(LOAD_BITS);
        let run = Subfield { field: s.field, ofs, n_bits };
        bits &= !run.mask();
        nx(out, REG_LOAD, |o| {
            o.u16(range(run));
            o.bytes(&header);
            o.u64((s.value >> ofs & low_bits(n_bits)) as u64);
        });
    }
}

/// In 32 bits where the value fits and was not given as 64.
pub(super) fn set_tunnel(out: &mut Vec<u8>, id: u64, wide: bool) {
    match (wide, u32::try_from(id)) {
        (false, Ok(id)) => nx(out, SET_TUNNEL, |o| {
            o.u16(0);
            o.u32(id);
        }),
        _ => nx(out, SET_TUNNEL64, |o| {
            o.zeros(6);
            o.u64(id);
        }),
    }
}
