//! Ports: what a port is, its changes, its configuration, its statistics (OpenFlow 1.0.0, section 5.2.1; OpenFlow 1.4,
//! section 7.2.1).
#![deny(clippy::indexing_slicing)]

use super::action::{port32, to_port16};
use super::bytes::{Bytes, Put, set_len};
use super::codes::*;
use super::error::{Result, refuse};
use super::version::Version;
use crate::types::OfPort;
use flow::fields::value::port_to_11;
use std::time::Duration;

/// What a link can do, one bit each, by the numbers of OpenFlow 1.1 and later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortFeatures(pub u32);

/// Bits of a feature word up to 10 Gbit/s are the same in all versions; copper and those after it moved up by four.
const SAME: u32 = 0x7f;
const MOVED: u32 = 4;

impl PortFeatures {
    fn read10(n: u32) -> PortFeatures {
        PortFeatures(n & SAME | (n & 0xf80) << MOVED)
    }

    fn to10(self) -> u32 {
        self.0 & SAME | self.0 >> MOVED & 0xf80
    }
}

/// Bits of a port's configuration.
pub mod config {
    pub const PORT_DOWN: u32 = 1 << 0;
    /// OpenFlow 1.0 alone has these three.
    pub const NO_STP: u32 = 1 << 1;
    pub const NO_RECV_STP: u32 = 1 << 3;
    pub const NO_FLOOD: u32 = 1 << 4;
    pub const NO_RECV: u32 = 1 << 2;
    pub const NO_FWD: u32 = 1 << 5;
    pub const NO_PACKET_IN: u32 = 1 << 6;
    pub(super) const OF10: u32 = 0x7f;
    pub(super) const OF11: u32 = PORT_DOWN | NO_RECV | NO_FWD | NO_PACKET_IN;
}

/// Bits of a port's state.
pub mod state {
    pub const LINK_DOWN: u32 = 1 << 0;
    /// OpenFlow 1.1 and later.
    pub const BLOCKED: u32 = 1 << 1;
    pub const LIVE: u32 = 1 << 2;
    /// OpenFlow 1.0's state of spanning tree, two bits.
    pub const STP: u32 = 3 << 8;
    pub(super) const OF10: u32 = LINK_DOWN | STP;
    pub(super) const OF11: u32 = LINK_DOWN | BLOCKED | LIVE;
}

/// A port as a switch describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDesc {
    pub port: OfPort,
    pub hw_addr: u64,
    pub name: String,
    /// Bits of [`config`] and [`state`].
    pub config: u32,
    pub state: u32,
    pub current: PortFeatures,
    pub advertised: PortFeatures,
    pub supported: PortFeatures,
    pub peer: PortFeatures,
    /// kbit/s; OpenFlow 1.0 does not say.
    pub current_speed: u32,
    pub max_speed: u32,
}

const NAME: usize = 16;

/// The least bytes of a port's description.
pub fn desc_len(version: Version) -> usize {
    match version {
        Version::Of10 => 48,
        Version::Of11 | Version::Of12 | Version::Of13 => 64,
        _ => 40,
    }
}

const ETHERNET: u16 = 0;

pub fn read_desc(b: &mut Bytes, version: Version) -> Result<PortDesc> {
    let mut p = PortDesc::default();
    if version == Version::Of10 {
        p.port = OfPort(port_to_11(b.u16()?));
        (p.hw_addr, p.name) = (b.mac()?, b.text(NAME)?);
        (p.config, p.state) = (b.u32()? & config::OF10, b.u32()? & state::OF10);
        let mut f = || b.u32().map(PortFeatures::read10);
        (p.current, p.advertised, p.supported, p.peer) = (f()?, f()?, f()?, f()?);
        return Ok(p);
    }
    let mut whole = *b;
    p.port = port32(b)?;
    let len = b.u16()?;
    b.skip(2)?;
    let modern = version >= Version::Of14;
    if modern {
        let mut all = whole.sub(usize::from(len).max(40))?;
        all.skip(8)?;
        read_desc_body(&mut all, &mut p)?;
        while !all.is_empty() {
            let (kind, mut v) = all.tlv(8)?;
            if kind == ETHERNET {
                v.skip(4)?;
                read_features(&mut v, &mut p)?;
            }
        }
        b.skip(b.len() - whole.len())?;
    } else {
        read_desc_body(b, &mut p)?;
        read_features(b, &mut p)?;
    }
    Ok(p)
}

fn read_desc_body(b: &mut Bytes, p: &mut PortDesc) -> Result<()> {
    p.hw_addr = b.mac()?;
    b.skip(2)?;
    p.name = b.text(NAME)?;
    (p.config, p.state) = (b.u32()? & config::OF11, b.u32()? & state::OF11);
    Ok(())
}

fn read_features(b: &mut Bytes, p: &mut PortDesc) -> Result<()> {
    let mut f = || b.u32().map(PortFeatures);
    (p.current, p.advertised, p.supported, p.peer) = (f()?, f()?, f()?, f()?);
    (p.current_speed, p.max_speed) = (b.u32()?, b.u32()?);
    Ok(())
}

pub fn write_desc(out: &mut Vec<u8>, p: &PortDesc, version: Version) {
    let start = out.len();
    let features = [p.current, p.advertised, p.supported, p.peer];
    if version == Version::Of10 {
        out.u16(to_port16(p.port));
        out.mac(p.hw_addr);
        out.text(&p.name, NAME);
        out.u32(p.config & config::OF10);
        out.u32(p.state & state::OF10);
        return features.iter().for_each(|f| out.u32(f.to10()));
    }
    out.u32(p.port.0);
    out.zeros(4);
    out.mac(p.hw_addr);
    out.zeros(2);
    out.text(&p.name, NAME);
    out.u32(p.config & config::OF11);
    out.u32(p.state & state::OF11);
    let modern = version >= Version::Of14;
    if modern {
        out.u16(ETHERNET);
        out.u16(32);
        out.zeros(4);
    }
    features.iter().for_each(|f| out.u32(f.0));
    out.u32(p.current_speed);
    out.u32(p.max_speed);
    if modern {
        set_len(out, start + 4, start);
    }
}

/// Why a switch tells of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortReason {
    Add,
    Delete,
    Modify,
}

/// A port came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    pub reason: PortReason,
    pub port: PortDesc,
}

pub fn read_status(b: &mut Bytes, version: Version) -> Result<PortStatus> {
    let reason = match b.u8()? {
        0 => PortReason::Add,
        1 => PortReason::Delete,
        2 => PortReason::Modify,
        _ => return refuse(NXBRC_BAD_REASON),
    };
    b.skip(7)?;
    Ok(PortStatus { reason, port: read_desc(b, version)? })
}

pub fn write_status(out: &mut Vec<u8>, s: &PortStatus, version: Version) {
    out.u8(match s.reason {
        PortReason::Add => 0,
        PortReason::Delete => 1,
        PortReason::Modify => 2,
    });
    out.zeros(7);
    write_desc(out, &s.port, version);
}

/// A request to change a port's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMod {
    pub port: OfPort,
    pub hw_addr: u64,
    pub config: u32,
    pub mask: u32,
    pub advertise: PortFeatures,
}

pub fn read_mod(b: &mut Bytes, version: Version) -> Result<PortMod> {
    if version == Version::Of10 {
        let (port, hw_addr) = (OfPort(port_to_11(b.u16()?)), b.mac()?);
        let (config, mask) = (b.u32()? & config::OF10, b.u32()? & config::OF10);
        let advertise = PortFeatures::read10(b.u32()?);
        b.skip(4)?;
        return Ok(PortMod { port, hw_addr, config, mask, advertise });
    }
    let port = port32(b)?;
    b.skip(4)?;
    let hw_addr = b.mac()?;
    b.skip(2)?;
    let (config, mask) = (b.u32()? & config::OF11, b.u32()? & config::OF11);
    let mut advertise = PortFeatures::default();
    if version >= Version::Of14 {
        while !b.is_empty() {
            let (kind, mut v) = b.tlv(8)?;
            if kind == ETHERNET {
                advertise = PortFeatures(v.u32()?);
            }
        }
    } else {
        advertise = PortFeatures(b.u32()?);
        b.skip(4)?;
    }
    Ok(PortMod { port, hw_addr, config, mask, advertise })
}

pub fn write_mod(out: &mut Vec<u8>, m: &PortMod, version: Version) {
    if version == Version::Of10 {
        out.u16(to_port16(m.port));
        out.mac(m.hw_addr);
        out.u32(m.config & config::OF10);
        out.u32(m.mask & config::OF10);
        out.u32(m.advertise.to10());
        return out.zeros(4);
    }
    out.u32(m.port.0);
    out.zeros(4);
    out.mac(m.hw_addr);
    out.zeros(2);
    out.u32(m.config & config::OF11);
    out.u32(m.mask & config::OF11);
    if version >= Version::Of14 {
        out.u16(ETHERNET);
        out.u16(8);
        out.u32(m.advertise.0);
    } else {
        out.u32(m.advertise.0);
        out.zeros(4);
    }
}

/// Counters of a port; all ones is "not known".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    pub port: OfPort,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_frame_err: u64,
    pub rx_over_err: u64,
    pub rx_crc_err: u64,
    pub collisions: u64,
    /// OpenFlow 1.3 and later.
    pub duration: Option<Duration>,
    /// Counters of RFC 2819 by [`super::port_stats::NAMES`], and others by name: OpenFlow 1.4 and later.
    pub rfc2819: Option<Box<[u64; super::port_stats::NAMES.len()]>>,
    pub custom: Vec<(String, u64)>,
}

impl PortStats {
    fn traffic(&mut self) -> [&mut u64; 8] {
        [
            &mut self.rx_packets,
            &mut self.tx_packets,
            &mut self.rx_bytes,
            &mut self.tx_bytes,
            &mut self.rx_dropped,
            &mut self.tx_dropped,
            &mut self.rx_errors,
            &mut self.tx_errors,
        ]
    }

    fn ethernet(&mut self) -> [&mut u64; 4] {
        [&mut self.rx_frame_err, &mut self.rx_over_err, &mut self.rx_crc_err, &mut self.collisions]
    }
}

pub fn read_stats(b: &mut Bytes, version: Version) -> Result<PortStats> {
    let mut s = PortStats::default();
    if version >= Version::Of14 {
        let mut head = *b;
        let len = usize::from(head.u16()?);
        let mut all = b.sub(len)?;
        all.skip(4)?;
        s.port = port32(&mut all)?;
        s.duration = known_duration(&mut all)?;
        for n in s.traffic() {
            *n = all.u64()?;
        }
        for n in s.ethernet() {
            *n = u64::MAX;
        }
        while !all.is_empty() {
            let (kind, mut v) = all.tlv(8)?;
            if kind == ETHERNET {
                v.skip(4)?;
                for n in s.ethernet() {
                    *n = v.u64()?;
                }
            } else if kind == super::port_stats::EXPERIMENTER {
                super::port_stats::read(&mut v, &mut s)?;
            }
        }
        return Ok(s);
    }
    if version == Version::Of10 {
        s.port = OfPort(port_to_11(b.u16()?));
        b.skip(6)?;
    } else {
        s.port = port32(b)?;
        b.skip(4)?;
    }
    for n in s.traffic() {
        *n = b.u64()?;
    }
    for n in s.ethernet() {
        *n = b.u64()?;
    }
    if version >= Version::Of13 {
        s.duration = known_duration(b)?;
    }
    Ok(s)
}

/// All ones is "not known".
fn known_duration(b: &mut Bytes) -> Result<Option<Duration>> {
    let mut seconds = *b;
    let d = super::flow::read_duration(b)?;
    Ok((seconds.u32()? != u32::MAX).then_some(d))
}

pub fn write_stats(out: &mut Vec<u8>, s: &PortStats, version: Version) {
    let (start, mut s) = (out.len(), s.clone());
    let known = s.duration;
    let duration = |out: &mut Vec<u8>| match known {
        Some(d) => super::flow::write_duration(out, d),
        None => out.u64(u64::MAX),
    };
    if version >= Version::Of14 {
        out.zeros(4);
        out.u32(s.port.0);
        duration(out);
        s.traffic().iter().for_each(|n| out.u64(**n));
        out.u16(ETHERNET);
        out.u16(40);
        out.zeros(4);
        s.ethernet().iter().for_each(|n| out.u64(**n));
        super::port_stats::write(out, &s);
        return set_len(out, start, start);
    }
    if version == Version::Of10 {
        out.u16(to_port16(s.port));
        out.zeros(6);
    } else {
        out.u32(s.port.0);
        out.zeros(4);
    }
    s.traffic().iter().for_each(|n| out.u64(**n));
    s.ethernet().iter().for_each(|n| out.u64(**n));
    if version >= Version::Of13 {
        duration(out);
    }
}

/// The port that a request for statistics names; NONE is all.
pub fn read_wanted(b: &mut Bytes, version: Version) -> Result<OfPort> {
    if version == Version::Of10 {
        let port = OfPort(port_to_11(b.u16()?));
        b.skip(6).map(|()| port)
    } else {
        let port = port32(b)?;
        b.skip(4).map(|()| port)
    }
}

pub fn write_wanted(out: &mut Vec<u8>, port: OfPort, version: Version) {
    if version == Version::Of10 {
        out.u16(to_port16(port));
        out.zeros(6);
    } else {
        out.u32(port.0);
        out.zeros(4);
    }
}
