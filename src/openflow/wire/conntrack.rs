//! Requests to forget tracked connections (ovs-ofctl(8), "ct-flush-zone" and "ct-flush").
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put, set_len};
use super::codes::*;
use super::error::{Result, refuse};

/// One direction of a connection; 0 is "any".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtTuple {
    /// IPv4 addresses are mapped (::ffff:0:0/96).
    pub src: u128,
    pub dst: u128,
    pub src_port: u16,
    pub dst_port: u16,
    pub icmp_id: u16,
    pub icmp_type: u8,
    pub icmp_code: u8,
}

/// Which connections go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtFlush {
    /// Protocol of IP; 0 is any.
    pub proto: u8,
    pub zone: Option<u16>,
    pub original: CtTuple,
    pub reply: CtTuple,
}

impl CtFlush {
    /// All addresses that it names, or 0.
    pub fn addresses(&self) -> [u128; 4] {
        [self.original.src, self.original.dst, self.reply.src, self.reply.dst]
    }
}

/// Is it an IPv4 address in IPv6's form?
pub fn is_mapped(address: u128) -> bool {
    address >> 32 == 0xffff
}

const ORIGINAL: u16 = 0;
const REPLY: u16 = 1;
const ZONE: u16 = 2;

const SRC: u16 = 0;
const DST: u16 = 1;
const SRC_PORT: u16 = 2;
const DST_PORT: u16 = 3;
const ICMP_ID: u16 = 4;
const ICMP_TYPE: u16 = 5;
const ICMP_CODE: u16 = 6;

fn read_tuple(v: &mut Bytes) -> Result<CtTuple> {
    v.skip(4)?;
    let mut t = CtTuple::default();
    while !v.is_empty() {
        let (kind, mut v) = v.tlv(8)?;
        match kind {
            SRC => t.src = v.u128()?,
            DST => t.dst = v.u128()?,
            SRC_PORT => t.src_port = v.u16()?,
            DST_PORT => t.dst_port = v.u16()?,
            ICMP_ID => t.icmp_id = v.u16()?,
            ICMP_TYPE => t.icmp_type = v.u8()?,
            ICMP_CODE => t.icmp_code = v.u8()?,
            _ => return refuse(OFPBPC_BAD_TYPE),
        }
    }
    Ok(t)
}

fn write_tuple(out: &mut Vec<u8>, kind: u16, t: &CtTuple) {
    if *t == CtTuple::default() {
        return;
    }
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    out.u32(0);
    for (kind, address) in [(SRC, t.src), (DST, t.dst)] {
        if address != 0 {
            out.u16(kind);
            out.u16(20);
            out.u128(address);
            out.zeros(4);
        }
    }
    for (kind, n) in [(SRC_PORT, t.src_port), (DST_PORT, t.dst_port), (ICMP_ID, t.icmp_id)] {
        if n != 0 {
            out.u16(kind);
            out.u16(8);
            out.u16(n);
            out.zeros(2);
        }
    }
    for (kind, n) in [(ICMP_TYPE, t.icmp_type), (ICMP_CODE, t.icmp_code)] {
        if n != 0 {
            out.u16(kind);
            out.u16(5);
            out.u8(n);
            out.zeros(3);
        }
    }
    set_len(out, start + 2, start);
}

pub fn read(b: &mut Bytes) -> Result<CtFlush> {
    let mut f = CtFlush { proto: b.u8()?, ..CtFlush::default() };
    b.zeros(7)?;
    while !b.is_empty() {
        let (kind, mut v) = b.tlv(8)?;
        match kind {
            ORIGINAL => f.original = read_tuple(&mut v)?,
            REPLY => f.reply = read_tuple(&mut v)?,
            ZONE => f.zone = Some(v.u16()?),
            _ => return refuse(OFPBPC_BAD_TYPE),
        }
    }
    // all addresses are of one kind
    let given = f.addresses().into_iter().filter(|a| *a != 0);
    if given.clone().any(is_mapped) && !given.clone().all(is_mapped) {
        return refuse(OFPBPC_BAD_VALUE);
    }
    Ok(f)
}

pub fn write(out: &mut Vec<u8>, f: &CtFlush) {
    out.u8(f.proto);
    out.zeros(7);
    if let Some(zone) = f.zone {
        out.u16(ZONE);
        out.u16(8);
        out.u16(zone);
        out.zeros(2);
    }
    write_tuple(out, ORIGINAL, &f.original);
    write_tuple(out, REPLY, &f.reply);
}
