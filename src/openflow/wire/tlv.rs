//! Where tunnel options are, as a controller says and asks it (ovs-ofctl(8), "add-tlv-map").
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::codes::*;
use super::error::{Error, Result};

/// One option and the field that it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlvMap {
    pub class: u16,
    pub kind: u8,
    /// Bytes of its body.
    pub len: u8,
    /// Number of its field tun_metadata.
    pub index: u16,
}

/// What a controller does with mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlvCommand {
    #[default]
    Add,
    Delete,
    /// All go.
    Clear,
}

const COMMANDS: [TlvCommand; 3] = [TlvCommand::Add, TlvCommand::Delete, TlvCommand::Clear];

/// A change of mappings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlvMod {
    pub command: TlvCommand,
    pub mappings: Vec<TlvMap>,
}

/// The mappings that there are, and what there is room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlvReply {
    pub max_space: u32,
    pub max_fields: u16,
    pub mappings: Vec<TlvMap>,
}

fn read_mappings(b: &mut Bytes) -> Result<Vec<TlvMap>> {
    super::stats::list(b, |b| {
        let map = TlvMap { class: b.u16()?, kind: b.u8()?, len: b.u8()?, index: b.u16()? };
        b.skip(2).map(|()| map)
    })
}

fn write_mappings(out: &mut Vec<u8>, mappings: &[TlvMap]) {
    for m in mappings {
        out.u16(m.class);
        out.u8(m.kind);
        out.u8(m.len);
        out.u16(m.index);
        out.zeros(2);
    }
}

/// The longest option, and the fields that there are.
const MAX_LEN: u8 = 124;
const FIELDS: u16 = 64;

pub fn read_mod(b: &mut Bytes) -> Result<TlvMod> {
    let word = b.u16()?;
    let command = COMMANDS.get(usize::from(word)).copied().ok_or(Error::new(NXTTMFC_BAD_COMMAND))?;
    b.skip(6)?;
    let mappings = read_mappings(b)?;
    for m in &mappings {
        if m.index >= FIELDS {
            return Err(Error::new(NXTTMFC_BAD_FIELD_IDX));
        }
        if m.len > MAX_LEN || !m.len.is_multiple_of(4) || m.len == 0 {
            return Err(Error::new(NXTTMFC_BAD_OPT_LEN));
        }
    }
    Ok(TlvMod { command, mappings })
}

pub fn write_mod(out: &mut Vec<u8>, m: &TlvMod) {
    out.u16(COMMANDS.iter().position(|c| *c == m.command).unwrap_or(0) as u16);
    out.zeros(6);
    write_mappings(out, &m.mappings);
}

pub fn read_reply(b: &mut Bytes) -> Result<TlvReply> {
    let (max_space, max_fields) = (b.u32()?, b.u16()?);
    b.skip(10)?;
    Ok(TlvReply { max_space, max_fields, mappings: read_mappings(b)? })
}

pub fn write_reply(out: &mut Vec<u8>, r: &TlvReply) {
    out.u32(r.max_space);
    out.u16(r.max_fields);
    out.zeros(10);
    write_mappings(out, &r.mappings);
}
