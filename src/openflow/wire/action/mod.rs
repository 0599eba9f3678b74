//! Actions: cutting a list into actions, and the numbers of each (OpenFlow 1.0.0, section 5.2.4; OpenFlow 1.3,
//! section 7.2.5; ovs-actions(7)).
//!
//! [`standard10`] has those of OpenFlow 1.0, [`standard`] those of the later versions, [`nicira`] the extensions without
//! further structure, [`learn`], [`tracked`] (ct, nat), [`nested`] (controller, bundle, encap and others) the rest.
#![deny(clippy::indexing_slicing)]

mod learn;
mod nested;
mod nicira;
mod standard;
mod standard10;
mod tracked;

use super::bytes::{Bytes, Put, pad, set_len};
use super::codes::*;
use super::error::{Error, Result, refuse, refuse_because};
use super::version::Version;
use crate::action::{Action, SetField};
use crate::subfield::{FieldId, Subfield};
use crate::types::OfPort;
use crate::view;
use flow::Match;
use flow::fields::tlv::TlvTable;
use flow::fields::value::{port_from_11, port_to_11};

pub use nested::{reason, reason_number};

/// The part of the log that actions have in Open vSwitch.
pub(super) const MODULE: &str = "ofp_actions";
/// The type of an experimenter's action.
const EXPERIMENTER: u16 = 0xffff;
/// Actions may be nested so deep; the length of a message bounds it further.
const MAX_DEPTH: u8 = 64;

/// What reading and writing needs to know beside the bytes.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub version: Version,
    /// Where tunnel options are; `None`: nobody knows.
    pub tlv: Option<&'a TlvTable>,
    depth: u8,
}

impl<'a> Cx<'a> {
    pub fn new(version: Version, tlv: Option<&'a TlvTable>) -> Cx<'a> {
        Cx { version, tlv, depth: 0 }
    }

    fn deeper(self) -> Result<Cx<'a>> {
        if self.depth >= MAX_DEPTH { refuse(OFPBAC_TOO_MANY) } else { Ok(Cx { depth: self.depth + 1, ..self }) }
    }
}

/// Where a list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Of a flow of OpenFlow 1.0 or inside `apply_actions`: instructions may stand among actions as Nicira's extensions.
    Flow,
    /// Of a packet-out or bucket: no instructions.
    Plain,
    WriteActions,
    Clone,
    Ct,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Ct => "ct",
            Place::Clone => "clone",
            _ => "",
        }
    }
}

/// Reads a list of actions to the end of `b`.
pub fn read_list(mut b: Bytes, place: Place, cx: Cx) -> Result<Vec<Action>> {
    let (mut actions, whole) = (Vec::new(), b.rest());
    let end = b.len();
    while !b.is_empty() {
        let offset = end - b.len();
        match one(&mut b, cx) {
            Ok(action) => {
                allowed(&action, place)?;
                actions.push(action);
            }
            Err(e) => {
                let code = e.code;
                // what Open vSwitch has no more to say of than that it is no multiple of 8
                if e.log.iter().any(|(_, t)| t.contains("not a multiple")) {
                    return Err(e);
                }
                let dump = super::text::hex_dump(whole.get(offset..).unwrap_or(&[]), false);
                let words = format!("bad action at offset {offset:#x} ({code}):\n{}", dump.trim_end_matches('\n'));
                return Err(e.and(MODULE, words.replacen("offset 0x0 ", "offset 0 ", 1)));
            }
        }
    }
    Ok(actions)
}

/// May `action` stand in `place`?
fn allowed(action: &Action, place: Place) -> Result<()> {
    let instruction = matches!(
        action,
        Action::Meter(_)
            | Action::ClearActions
            | Action::WriteActions(_)
            | Action::WriteMetadata { .. }
            | Action::GotoTable(_)
    );
    match place {
        Place::Flow => Ok(()),
        _ if instruction && !matches!(action, Action::Meter(_)) => {
            refuse_because(OFPBIC_UNSUP_INST, MODULE, format!("{} instruction not allowed here", action.name()))
        }
        Place::Ct => match action {
            Action::SetField(SetField { field, .. }) | Action::Move { dst: Subfield { field, .. }, .. } => {
                match field {
                    FieldId::CtMark | FieldId::CtLabel => Ok(()),
                    other if !other.row().writable => refuse_because(
                        OFPBAC_BAD_SET_ARGUMENT,
                        "meta_flow",
                        format!("destination field {} is not writable", other.row().name),
                    ),
                    other => refuse_because(
                        OFPBAC_BAD_ARGUMENT,
                        MODULE,
                        format!("ct action doesn't support nested modification of {}", other.row().name),
                    ),
                }
            }
            other => refuse_because(
                OFPBAC_BAD_ARGUMENT,
                MODULE,
                format!("{} action doesn't support nested action {}", place.name(), other.name()),
            ),
        },
        _ => Ok(()),
    }
}

/// Cuts off one action and reads it.
fn one(b: &mut Bytes, cx: Cx) -> Result<Action> {
    let mut head = Bytes::or(b.rest(), OFPBAC_BAD_LEN);
    let (kind, len) = (head.u16()?, usize::from(head.u16()?));
    let name = standard_name(kind, cx.version);
    if len > b.len() {
        let words = format!("OpenFlow action {name} length {len} exceeds action buffer length {}", b.len());
        return refuse_because(OFPBAC_BAD_LEN, MODULE, words);
    }
    if len < 8 || !len.is_multiple_of(8) {
        let name = nicira::name(kind, b.rest()).unwrap_or(name);
        let words = format!("OpenFlow action {name} length {len} is not a multiple of 8");
        return refuse_because(OFPBAC_BAD_LEN, MODULE, words);
    }
    let mut body = Bytes::or(b.take(len)?, OFPBAC_BAD_LEN);
    body.skip(4)?;
    let action = match (kind, cx.version) {
        (EXPERIMENTER, _) => experimenter(&mut body, cx)?,
        (_, Version::Of10) => standard10::read(kind, &mut body)?,
        _ => standard::read(kind, &mut body, cx)?,
    };
    if !body.is_empty() {
        let used = len - body.len();
        let words = format!("OpenFlow action {name} length {len} not in valid range [{used},{used}]");
        return refuse_because(OFPBAC_BAD_LEN, MODULE, words);
    }
    Ok(action)
}

fn standard_name(kind: u16, version: Version) -> &'static str {
    match (kind, version) {
        (0, _) => "OFPAT_OUTPUT",
        _ => "OFPAT",
    }
}

fn experimenter(body: &mut Bytes, cx: Cx) -> Result<Action> {
    match body.u32()? {
        NX => {
            let subtype = body.u16()?;
            nicira::read(subtype, body, cx)
        }
        ONF => match body.u16()? {
            standard::ONF_COPY_FIELD if cx.version >= Version::Of13 => {
                body.skip(2)?;
                standard::copy_field(body)
            }
            _ => refuse(OFPBAC_BAD_VENDOR_TYPE),
        },
        _ => refuse(OFPBAC_BAD_VENDOR),
    }
}

/// Writes a list in the words of the version; `matching` is what is known of packets.
pub fn write_list(out: &mut Vec<u8>, actions: &[Action], matching: &Match, cx: Cx) {
    let version = match cx.version {
        Version::Of10 => view::Version::Of10,
        Version::Of11 => view::Version::Of11,
        Version::Of15 => view::Version::Of15,
        _ => view::Version::Of12,
    };
    for a in view::seen(actions, version, matching) {
        write_one(out, &a, cx);
    }
}

/// Writes a list that is in the version's words already.
fn write_nested(out: &mut Vec<u8>, actions: &[Action], cx: Cx) {
    for a in actions {
        write_one(out, a, cx);
    }
}

fn write_one(out: &mut Vec<u8>, action: &Action, cx: Cx) {
    let written = match cx.version {
        Version::Of10 => standard10::write(out, action),
        _ => standard::write(out, action, cx),
    };
    if !written {
        nicira::write(out, action, cx);
    }
}

/// A port of 16 bits.
fn port16(b: &mut Bytes) -> Result<OfPort> {
    b.u16().map(|p| OfPort(port_to_11(p)))
}

/// The 16-bit number of a port; NONE when it has none.
pub(super) fn to_port16(port: OfPort) -> u16 {
    port_from_11(port.0).unwrap_or(0xffff)
}

/// A port of 32 bits.
pub(super) fn port32(b: &mut Bytes) -> Result<OfPort> {
    let port = b.u32()?;
    if port_from_11(port).is_none() {
        return refuse_because(OFPBAC_BAD_OUT_PORT, "ofp_port", port_words(port));
    }
    Ok(OfPort(port))
}

/// What is said of a number that is no port.
pub(super) fn port_words(port: u32) -> String {
    format!("port {port} is outside the supported range 0 through 65279 or 0xffffff00 through 0xffffffff")
}

/// First bit and number of bits minus one in 16 bits.
fn read_range(b: &mut Bytes) -> Result<(u16, u16)> {
    b.u16().map(|n| (n >> 6, (n & 0x3f) + 1))
}

fn range(sf: Subfield) -> u16 {
    sf.ofs << 6 | (sf.n_bits - 1) & 0x3f
}

/// A subfield of which there is such a run of bits.
fn subfield(field: FieldId, ofs: u16, n_bits: u16) -> Result<Subfield> {
    let (row, width) = (field.row(), Subfield::whole(field).n_bits);
    if n_bits == 0 || ofs >= width {
        let words = format!("bit offset {ofs} exceeds {width}-bit width of field {}", row.name);
        return refuse_because(OFPBAC_BAD_SET_LEN, "meta_flow", words);
    }
    if u32::from(ofs) + u32::from(n_bits) > u32::from(width) {
        let words = format!("bit offset {ofs} and width {n_bits} exceeds {width}-bit width of field {}", row.name);
        return refuse_because(OFPBAC_BAD_SET_LEN, "meta_flow", words);
    }
    Ok(Subfield { field, ofs, n_bits })
}

/// The header of a field that an action names.
fn field(b: &mut Bytes) -> Result<FieldId> {
    super::oxm::read_field(b, OFPBAC_BAD_SET_TYPE)
}

/// Writes the header of a field in one of Nicira's actions, which prefer NXM's code points.
fn put_field(out: &mut Vec<u8>, field: FieldId, cx: Cx) {
    super::oxm::write_field(out, field, None, cx.tlv);
}

/// Writes an action of one of Nicira's subtypes; `body` is padded to eight bytes.
fn nx(out: &mut Vec<u8>, subtype: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(EXPERIMENTER);
    out.u16(0);
    out.u32(NX);
    out.u16(subtype);
    body(out);
    pad(out, start, 8);
    set_len(out, start + 2, start);
}

/// Writes a standard action, padded to eight bytes.
fn plain(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    pad(out, start, 8);
    set_len(out, start + 2, start);
    true
}

/// An error without words.
fn bad_argument() -> Error {
    Error::new(OFPBAC_BAD_ARGUMENT)
}
