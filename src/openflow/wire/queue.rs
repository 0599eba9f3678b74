//! Queues: how they are set and what they sent (OpenFlow 1.0.0, sections 5.2.2, 5.3.4 and 5.3.5; OpenFlow 1.3.5, sections
//! 7.2.2, 7.3.5.8 and 7.3.6; OpenFlow 1.4.1, section 7.3.5.10).
#![deny(clippy::indexing_slicing)]

use super::action::{port32, to_port16};
use super::bytes::{Bytes, Put, set_len};
use super::codes::OFPQOFC_BAD_PORT;
use super::error::{Result, refuse};
use super::flow::{read_duration, write_duration};
use super::version::Version;
use crate::types::OfPort;
use flow::fields::value::port_to_11;
use std::time::Duration;

/// Which queues are asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueRequest {
    /// None is all ports.
    pub port: Option<OfPort>,
    /// None is all queues.
    pub queue: Option<u32>,
}

/// All queues.
const ALL: u32 = u32::MAX;

/// Counters of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    pub port: OfPort,
    pub queue: u32,
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    /// OpenFlow 1.3 and later.
    pub duration: Option<Duration>,
}

/// How a queue is set; rates in tenths of a percent, above 1000 "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueConfig {
    pub port: OfPort,
    pub queue: u32,
    pub min_rate: Option<u16>,
    pub max_rate: Option<u16>,
}

fn read_port(b: &mut Bytes, version: Version) -> Result<OfPort> {
    if version > Version::Of10 {
        return port32(b);
    }
    let port = OfPort(port_to_11(b.u16()?));
    b.skip(2).map(|()| port)
}

fn write_port(out: &mut Vec<u8>, port: OfPort, version: Version) {
    if version > Version::Of10 {
        return out.u32(port.0);
    }
    out.u16(to_port16(port));
    out.zeros(2);
}

/// Reads which queues: of statistics, and of OpenFlow 1.4's descriptions.
pub fn read_request(b: &mut Bytes, version: Version) -> Result<QueueRequest> {
    let port = read_port(b, version)?;
    // OpenFlow 1.0 has "all" where later versions have "any"
    let any = port == OfPort::NONE || port == OfPort::ALL && version == Version::Of10;
    let queue = b.u32()?;
    Ok(QueueRequest { port: (!any).then_some(port), queue: (queue != ALL).then_some(queue) })
}

pub fn write_request(out: &mut Vec<u8>, r: QueueRequest, version: Version) {
    let any = if version == Version::Of10 { OfPort::ALL } else { OfPort::NONE };
    write_port(out, r.port.unwrap_or(any), version);
    out.u32(r.queue.unwrap_or(ALL));
}

/// Reads which port's queues: before OpenFlow 1.4.
pub fn read_config_request(b: &mut Bytes, version: Version) -> Result<QueueRequest> {
    let port = read_port(b, version)?;
    if version > Version::Of10 {
        b.skip(4)?;
    }
    if port.0 >= OfPort::MAX.0 && port != OfPort::NONE {
        return refuse(OFPQOFC_BAD_PORT);
    }
    Ok(QueueRequest { port: (port != OfPort::NONE).then_some(port), queue: None })
}

pub fn write_config_request(out: &mut Vec<u8>, r: QueueRequest, version: Version) {
    write_port(out, r.port.unwrap_or(OfPort::NONE), version);
    if version > Version::Of10 {
        out.zeros(4);
    }
}

pub fn read_stats(b: &mut Bytes, version: Version) -> Result<QueueStats> {
    if version < Version::Of14 {
        return read_stats_body(b, version);
    }
    let mut head = *b;
    let mut one = b.sub(usize::from(head.u16()?))?;
    one.skip(8)?;
    read_stats_body(&mut one, version)
}

fn read_stats_body(b: &mut Bytes, version: Version) -> Result<QueueStats> {
    let (port, queue) = (read_port(b, version)?, b.u32()?);
    let (bytes, packets, errors) = (b.u64()?, b.u64()?, b.u64()?);
    let duration = if version >= Version::Of13 {
        let mut seconds = *b;
        let d = read_duration(b)?;
        (seconds.u32()? != u32::MAX).then_some(d)
    } else {
        None
    };
    Ok(QueueStats { port, queue, bytes, packets, errors, duration })
}

pub fn write_stats(out: &mut Vec<u8>, q: &QueueStats, version: Version) {
    let start = out.len();
    if version >= Version::Of14 {
        out.zeros(8);
    }
    write_port(out, q.port, version);
    out.u32(q.queue);
    out.u64(q.bytes);
    out.u64(q.packets);
    out.u64(q.errors);
    if version >= Version::Of13 {
        match q.duration {
            Some(d) => write_duration(out, d),
            None => out.u64(u64::MAX),
        }
    }
    if version >= Version::Of14 {
        set_len(out, start, start);
    }
}

const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;

fn read_properties(b: &mut Bytes, q: &mut QueueConfig, version: Version) -> Result<()> {
    while !b.is_empty() {
        let (kind, mut v) = b.tlv(8)?;
        if version < Version::Of14 {
            v.skip(4)?;
        }
        match kind {
            MIN_RATE => q.min_rate = Some(v.u16()?),
            MAX_RATE => q.max_rate = Some(v.u16()?),
            // others mean nothing to us
            _ => {}
        }
    }
    Ok(())
}

/// Reads the configuration of one queue: of `port` before OpenFlow 1.4, whatever port it may name itself.
fn read_config(b: &mut Bytes, port: OfPort, version: Version) -> Result<QueueConfig> {
    let mut head = *b;
    let mut q = QueueConfig { port, ..QueueConfig::default() };
    let (first, second) = (head.u32()?, *head.rest().first_chunk::<4>().unwrap_or(&[0; 4]));
    let fixed = match version {
        Version::Of10 | Version::Of11 => 8,
        _ => 16,
    };
    q.queue = first;
    if version >= Version::Of14 {
        (q.port, q.queue) = (port32(&mut b.clone())?, u32::from_be_bytes(second));
    }
    if fixed == 16 {
        head.skip(4)?;
    }
    let mut one = b.sub(usize::from(head.u16()?))?;
    one.skip(fixed)?;
    read_properties(&mut one, &mut q, version)?;
    Ok(q)
}

pub fn write_config(out: &mut Vec<u8>, q: &QueueConfig, version: Version) {
    let start = out.len();
    if version >= Version::Of14 {
        out.u32(q.port.0);
        out.u32(q.queue);
    } else {
        out.u32(q.queue);
        if version >= Version::Of12 {
            out.u32(q.port.0);
        }
    }
    let at = out.len();
    out.zeros(if version >= Version::Of12 { 8 } else { 4 });
    for (kind, rate) in [(MIN_RATE, q.min_rate), (MAX_RATE, q.max_rate)] {
        let Some(rate) = rate else { continue };
        out.u16(kind);
        if version >= Version::Of14 {
            out.u16(8);
            out.u16(rate);
            out.zeros(2);
        } else {
            out.u16(16);
            out.zeros(4);
            out.u16(rate);
            out.zeros(6);
        }
    }
    set_len(out, at, start);
}

/// Reads the configurations of queues, in the form before OpenFlow 1.4 after their port.
pub fn read_configs(b: &mut Bytes, version: Version) -> Result<(Option<OfPort>, Vec<QueueConfig>)> {
    let mut port = None;
    if version < Version::Of14 {
        port = Some(read_port(b, version)?);
        b.skip(4)?;
    }
    let of = port.unwrap_or_default();
    Ok((port, super::stats::list(b, |b| read_config(b, of, version))?))
}

/// What precedes the queues of an answer before OpenFlow 1.4: their port.
pub fn write_port_of(out: &mut Vec<u8>, port: Option<OfPort>, version: Version) {
    write_port(out, port.unwrap_or(OfPort::NONE), version);
    out.zeros(4);
}
