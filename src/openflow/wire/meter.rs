//! Meters: their changes, configuration, counters and what there can be of them (OpenFlow 1.3.5, sections 7.3.4.3 and
//! 7.3.5.12 to 7.3.5.14).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put, set_len};
use super::codes::*;
use super::error::{Error, Result, refuse};
use super::flow::{read_duration, write_duration};
use crate::types::MeterId;
use std::time::Duration;

/// Bits of a meter's flags.
pub mod meter_flag {
    pub const KBPS: u16 = 1;
    pub const PKTPS: u16 = 2;
    pub const BURST: u16 = 4;
    pub const STATS: u16 = 8;
}

/// What a controller does with a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MeterCommand {
    #[default]
    Add,
    Modify,
    Delete,
}

const COMMANDS: [MeterCommand; 3] = [MeterCommand::Add, MeterCommand::Modify, MeterCommand::Delete];

/// What becomes of packets above a band's rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BandKind {
    #[default]
    Drop,
    /// The drop precedence of DSCP rises by so much.
    DscpRemark(u8),
}

/// One rate of a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Band {
    pub kind: BandKind,
    /// kbit/s or packets/s, as the meter's flags say.
    pub rate: u32,
    /// kbit or packets; meant only where the meter's flags say so.
    pub burst: u32,
}

/// A meter as it is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterConfig {
    pub id: MeterId,
    /// Bits of [`meter_flag`].
    pub flags: u16,
    pub bands: Vec<Band>,
}

/// A change of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterMod {
    pub command: MeterCommand,
    pub meter: MeterConfig,
}

/// What a band caught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandStats {
    pub packets: u64,
    pub bytes: u64,
}

/// Counters of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    pub id: MeterId,
    pub flows: u32,
    pub packets: u64,
    pub bytes: u64,
    pub duration: Duration,
    pub bands: Vec<BandStats>,
}

/// What there can be of meters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFeatures {
    pub max_meters: u32,
    /// A bit for each kind: 1 is drop, 2 is remark.
    pub band_types: u32,
    /// Bits of [`meter_flag`].
    pub capabilities: u32,
    pub max_bands: u8,
    pub max_color: u8,
}

const DROP: u16 = 1;
const REMARK: u16 = 2;
const BAND: u16 = 16;

/// Reads bands to the end of `b`.
fn read_bands(b: &mut Bytes) -> Result<Vec<Band>> {
    super::stats::list(b, |b| {
        let (kind, len) = (b.u16()?, b.u16()?);
        if len != BAND {
            return refuse(OFPBRC_BAD_LEN);
        }
        let (rate, burst, level) = (b.u32()?, b.u32()?, b.u8()?);
        b.skip(3)?;
        let kind = match kind {
            DROP => BandKind::Drop,
            REMARK => BandKind::DscpRemark(level),
            _ => return refuse(OFPMMFC_BAD_BAND),
        };
        Ok(Band { kind, rate, burst })
    })
}

fn write_bands(out: &mut Vec<u8>, bands: &[Band]) {
    for band in bands {
        let (kind, level) = match band.kind {
            BandKind::Drop => (DROP, 0),
            BandKind::DscpRemark(level) => (REMARK, level),
        };
        out.u16(kind);
        out.u16(BAND);
        out.u32(band.rate);
        out.u32(band.burst);
        out.u8(level);
        out.zeros(3);
    }
}

pub fn read_mod(b: &mut Bytes) -> Result<MeterMod> {
    let (word, flags, id) = (b.u16()?, b.u16()?, MeterId(b.u32()?));
    let command = COMMANDS.get(usize::from(word)).copied().ok_or(Error::new(OFPMMFC_BAD_COMMAND))?;
    let mut change = MeterMod { command, meter: MeterConfig { id, ..MeterConfig::default() } };
    if command == MeterCommand::Delete {
        b.skip(b.len())?;
        return Ok(change);
    }
    let rates = meter_flag::KBPS | meter_flag::PKTPS;
    if flags & rates == rates {
        return refuse(OFPMMFC_BAD_FLAGS);
    }
    change.meter.flags = flags;
    change.meter.bands = read_bands(b)?;
    Ok(change)
}

pub fn write_mod(out: &mut Vec<u8>, m: &MeterMod) {
    out.u16(COMMANDS.iter().position(|c| *c == m.command).unwrap_or(0) as u16);
    out.u16(m.meter.flags);
    out.u32(m.meter.id.0);
    write_bands(out, &m.meter.bands);
}

/// The meter that a request is about.
pub fn read_wanted(b: &mut Bytes) -> Result<MeterId> {
    let id = MeterId(b.u32()?);
    b.skip(4).map(|()| id)
}

pub fn write_wanted(out: &mut Vec<u8>, id: MeterId) {
    out.u32(id.0);
    out.zeros(4);
}

pub fn read_config(b: &mut Bytes) -> Result<MeterConfig> {
    let mut head = *b;
    let mut one = b.sub(usize::from(head.u16()?))?;
    one.skip(2)?;
    let flags = one.u16()?;
    Ok(MeterConfig { flags, id: MeterId(one.u32()?), bands: read_bands(&mut one)? })
}

pub fn write_config(out: &mut Vec<u8>, m: &MeterConfig) {
    let start = out.len();
    out.u16(0);
    out.u16(m.flags);
    out.u32(m.id.0);
    write_bands(out, &m.bands);
    set_len(out, start, start);
}

/// Bytes of a meter's counters without bands.
const STATS: usize = 40;

pub fn read_stats(b: &mut Bytes) -> Result<MeterStats> {
    let id = MeterId(b.u32()?);
    let len = usize::from(b.u16()?);
    b.skip(6)?;
    let (flows, packets, bytes, duration) = (b.u32()?, b.u64()?, b.u64()?, read_duration(b)?);
    let Some(bands) = len.checked_sub(STATS) else { return refuse(OFPBRC_BAD_LEN) };
    let mut bands = b.sub(bands)?;
    let bands = super::stats::list(&mut bands, |b| Ok(BandStats { packets: b.u64()?, bytes: b.u64()? }))?;
    Ok(MeterStats { id, flows, packets, bytes, duration, bands })
}

pub fn write_stats(out: &mut Vec<u8>, m: &MeterStats) {
    let start = out.len();
    out.u32(m.id.0);
    out.zeros(8);
    out.u32(m.flows);
    out.u64(m.packets);
    out.u64(m.bytes);
    write_duration(out, m.duration);
    for band in &m.bands {
        out.u64(band.packets);
        out.u64(band.bytes);
    }
    set_len(out, start + 4, start);
}

pub fn read_features(b: &mut Bytes) -> Result<MeterFeatures> {
    let (max_meters, band_types, capabilities) = (b.u32()?, b.u32()?, b.u32()?);
    let features = MeterFeatures { max_meters, band_types, capabilities, max_bands: b.u8()?, max_color: b.u8()? };
    b.skip(2)?;
    // OpenFlow 1.5 says more
    b.skip(b.len())?;
    Ok(features)
}

pub fn write_features(out: &mut Vec<u8>, m: MeterFeatures) {
    out.u32(m.max_meters);
    out.u32(m.band_types);
    out.u32(m.capabilities);
    out.u8(m.max_bands);
    out.u8(m.max_color);
    out.zeros(2);
}
