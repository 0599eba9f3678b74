//! Counters of flows since OpenFlow 1.5, a list of type, length and value (OpenFlow 1.5.1, section 7.2.4).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put, pad, set_len};
use super::codes::OFPBRC_BAD_LEN;
use super::error::{Result, refuse};
use super::flow::{read_duration, write_duration};
use std::time::Duration;

const CLASS: u16 = 0x8002;
const DURATION: u8 = 0;
const IDLE_TIME: u8 = 1;
const FLOW_COUNT: u8 = 3;
const PACKET_COUNT: u8 = 4;
const BYTE_COUNT: u8 = 5;

/// What a list says; what it does not say is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub duration: Option<Duration>,
    pub idle: Option<Duration>,
    pub flows: Option<u32>,
    pub packets: Option<u64>,
    pub bytes: Option<u64>,
}

/// Reads a list with its header and padding. Counters that are unknown are passed over.
pub(super) fn read(b: &mut Bytes) -> Result<Counters> {
    let mut head = *b;
    head.skip(2)?;
    let len = usize::from(head.u16()?);
    let mut list = Bytes::new(b.take(len)?);
    list.skip(4)?;
    b.skip((len.next_multiple_of(8) - len).min(b.len()))?;
    let mut c = Counters::default();
    while !list.is_empty() {
        let (class, field, len) = (list.u16()?, list.u8()? >> 1, usize::from(list.u8()?));
        let mut v = list.sub(len)?;
        if class != CLASS {
            continue;
        }
        match field {
            DURATION => c.duration = Some(read_duration(&mut v)?),
            IDLE_TIME => c.idle = Some(read_duration(&mut v)?),
            FLOW_COUNT => c.flows = Some(v.u32()?),
            PACKET_COUNT => c.packets = Some(v.u64()?),
            BYTE_COUNT => c.bytes = Some(v.u64()?),
            _ => continue,
        }
        if !v.is_empty() {
            return refuse(OFPBRC_BAD_LEN);
        }
    }
    Ok(c)
}

/// Writes a list with its header and padding.
pub(super) fn write(out: &mut Vec<u8>, c: &Counters) {
    let start = out.len();
    out.u32(0);
    let entry = |out: &mut Vec<u8>, field: u8, len: u8| {
        out.u16(CLASS);
        out.u8(field << 1);
        out.u8(len);
    };
    if let Some(d) = c.duration {
        entry(out, DURATION, 8);
        write_duration(out, d);
    }
    if let Some(d) = c.idle {
        entry(out, IDLE_TIME, 8);
        write_duration(out, d);
    }
    if let Some(n) = c.flows {
        entry(out, FLOW_COUNT, 4);
        out.u32(n);
    }
    if let Some(n) = c.packets {
        entry(out, PACKET_COUNT, 8);
        out.u64(n);
    }
    if let Some(n) = c.bytes {
        entry(out, BYTE_COUNT, 8);
        out.u64(n);
    }
    set_len(out, start + 2, start);
    pad(out, start, 8);
}
