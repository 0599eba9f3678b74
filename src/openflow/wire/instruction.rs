//! Instructions since OpenFlow 1.1 (OpenFlow 1.3, section 7.2.4), and the actions of a flow in any version.
#![deny(clippy::indexing_slicing)]

use super::action::{Cx, Place, read_list, write_list};
use super::bytes::{Bytes, Put, set_len};
use super::codes::*;
use super::error::{Error, Result, refuse, refuse_because};
use super::version::Version;
use crate::action::Action;
use crate::types::{MeterId, TableId};
use flow::Match;

const GOTO_TABLE: u16 = 1;
const WRITE_METADATA: u16 = 2;
const WRITE_ACTIONS: u16 = 3;
const APPLY_ACTIONS: u16 = 4;
const CLEAR_ACTIONS: u16 = 5;
const METER: u16 = 6;
const EXPERIMENTER: u16 = 0xffff;

/// Instructions as found, each once at most.
#[derive(Default)]
struct Found {
    meter: Option<Action>,
    apply: Option<Vec<Action>>,
    clear: Option<Action>,
    write: Option<Action>,
    metadata: Option<Action>,
    goto: Option<Action>,
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<()> {
    if place.replace(value).is_some() { refuse(OFPBIC_DUP_INST) } else { Ok(()) }
}

/// Reads what a flow does: actions in OpenFlow 1.0, else instructions; in the order of [`crate::action`].
pub fn read(mut b: Bytes, cx: Cx) -> Result<Vec<Action>> {
    if cx.version == Version::Of10 {
        return read_list(b, Place::Flow, cx);
    }
    let mut found = Found::default();
    if !b.len().is_multiple_of(8) {
        let words = format!("OpenFlow message instructions length {} is not a multiple of 8", b.len());
        return refuse_because(OFPBIC_BAD_LEN, "ofp_actions", words);
    }
    while !b.is_empty() {
        let mut head = Bytes::or(b.rest(), OFPBIC_BAD_LEN);
        let (kind, len) = (head.u16()?, usize::from(head.u16()?));
        if len < 8 || !len.is_multiple_of(8) || len > b.len() {
            return refuse(OFPBIC_BAD_LEN);
        }
        let mut body = Bytes::or(b.take(len)?, OFPBIC_BAD_LEN);
        body.skip(4)?;
        match kind {
            GOTO_TABLE => {
                once(&mut found.goto, Action::GotoTable(TableId(body.u8()?)))?;
                body.skip(3)?;
            }
            WRITE_METADATA => {
                body.skip(4)?;
                once(&mut found.metadata, Action::WriteMetadata { value: body.u64()?, mask: body.u64()? })?;
            }
            WRITE_ACTIONS => {
                body.skip(4)?;
                let inner = read_list(body.all(), Place::WriteActions, cx)?;
                once(&mut found.write, Action::WriteActions(inner))?;
            }
            APPLY_ACTIONS => {
                body.skip(4)?;
                once(&mut found.apply, read_list(body.all(), Place::Flow, cx)?)?;
            }
            CLEAR_ACTIONS => {
                body.skip(4)?;
                once(&mut found.clear, Action::ClearActions)?;
            }
            METER if (Version::Of13..Version::Of15).contains(&cx.version) => {
                once(&mut found.meter, Action::Meter(MeterId(body.u32()?)))?;
            }
            EXPERIMENTER => return refuse(OFPBIC_BAD_EXPERIMENTER),
            _ => return refuse(OFPBIC_UNKNOWN_INST),
        }
        body.end()?;
    }
    found.list()
}

impl Found {
    fn list(mut self) -> Result<Vec<Action>> {
        let mut apply = self.apply.unwrap_or_default();
        // Nicira's action stands for the instruction
        if let Some(at) = apply.iter().position(|a| matches!(a, Action::WriteMetadata { .. })) {
            once(&mut self.metadata, apply.remove(at)).map_err(|_| Error::new(OFPBIC_DUP_INST))?;
        }
        let mut list: Vec<Action> = self.meter.into_iter().collect();
        list.append(&mut apply);
        list.extend(self.clear.into_iter().chain(self.write).chain(self.metadata).chain(self.goto));
        Ok(list)
    }
}

fn instruction(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    set_len(out, start + 2, start);
}

/// Writes what a flow that matches `matching` does.
pub fn write(out: &mut Vec<u8>, actions: &[Action], matching: &Match, cx: Cx) {
    if cx.version == Version::Of10 {
        return write_list(out, actions, matching, cx);
    }
    let is_instruction = |a: &&Action| {
        matches!(
            a,
            Action::ClearActions | Action::WriteActions(_) | Action::WriteMetadata { .. } | Action::GotoTable(_)
        ) || matches!(a, Action::Meter(_)) && cx.version < Version::Of15
    };
    let meter = actions.iter().find_map(|a| if let Action::Meter(id) = a { Some(*id) } else { None });
    if let Some(id) = meter.filter(|_| (Version::Of13..Version::Of15).contains(&cx.version)) {
        instruction(out, METER, |o| o.u32(id.0));
    }
    let apply: Vec<Action> = actions.iter().filter(|a| !is_instruction(a)).cloned().collect();
    if !apply.is_empty() {
        instruction(out, APPLY_ACTIONS, |o| {
            o.zeros(4);
            write_list(o, &apply, matching, cx);
        });
    }
    for a in actions {
        match a {
            Action::ClearActions => instruction(out, CLEAR_ACTIONS, |o| o.zeros(4)),
            // nothing to add to the set
            Action::WriteActions(inner) if inner.is_empty() => {}
            Action::WriteActions(inner) => instruction(out, WRITE_ACTIONS, |o| {
                o.zeros(4);
                write_list(o, inner, matching, cx);
            }),
            Action::WriteMetadata { value, mask } => instruction(out, WRITE_METADATA, |o| {
                o.zeros(4);
                o.u64(*value);
                o.u64(*mask);
            }),
            Action::GotoTable(table) => instruction(out, GOTO_TABLE, |o| {
                o.u8(table.0);
                o.zeros(3);
            }),
            _ => {}
        }
    }
}
