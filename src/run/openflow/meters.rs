//! Meters: their changes and answers about them.

use std::collections::BTreeMap;

use openflow::wire::codes::*;
use openflow::wire::message::Part;
use openflow::wire::meter::{BandKind, BandStats, MeterCommand, MeterFeatures, MeterMod, MeterStats, meter_flag};
use openflow::wire::{Error, ErrorCode, Message, Xid, encode_all};
use openflow::{Action, MeterId};
use pipeline::manager::MAX_METERS;
use pipeline::{Bridge, Metered};

use super::handle::{reply, told};
use super::stats::{collected, since};
use crate::run::switch::Switch;

type Done = Result<(), Error>;

/// Bands that a meter may have.
const BANDS: u8 = 8;
const CAPABILITIES: u16 = meter_flag::KBPS | meter_flag::PKTPS | meter_flag::BURST | meter_flag::STATS;
/// Bands that drop; those that remark are not there.
const DROP: u32 = 1 << 1;

/// What there can be of meters.
pub(super) fn features() -> MeterFeatures {
    MeterFeatures {
        max_meters: MAX_METERS,
        band_types: DROP,
        capabilities: CAPABILITIES.into(),
        max_bands: BANDS,
        max_color: 0,
    }
}

/// Adds, changes or removes meters.
pub(super) fn change(switch: &mut Switch, bridge: &str, request: &MeterMod) -> Done {
    let meter = &request.meter;
    let known = switch.manager.snapshot().bridge_named(bridge).is_some_and(|b| b.meters.contains_key(&meter.id));
    if request.command == MeterCommand::Modify && !known && MeterId::is_usable(meter.id) {
        return Err(Error::new(OFPMMFC_UNKNOWN_METER));
    }
    if request.command != MeterCommand::Delete {
        let refuse = |code: ErrorCode| Err(Error::new(code));
        if meter.flags & !CAPABILITIES != 0 {
            return refuse(OFPMMFC_BAD_FLAGS);
        }
        if meter.bands.len() > usize::from(BANDS) {
            return refuse(OFPMMFC_OUT_OF_BANDS);
        }
        if meter.bands.iter().any(|band| band.kind != BandKind::Drop) {
            return refuse(OFPMMFC_BAD_BAND);
        }
    }
    let now = switch.clock.now();
    switch.manager.meter_mod(bridge, request, now).map(drop).map_err(|e| told(&e))
}

/// The meters that are asked about.
fn wanted(bridge: &Bridge, id: MeterId) -> Result<Vec<&Metered>, Error> {
    if id != MeterId::ALL && !bridge.meters.contains_key(&id) {
        return Err(Error::new(OFPMMFC_UNKNOWN_METER));
    }
    Ok(bridge.meters.iter().filter(|(meter, _)| id == MeterId::ALL || **meter == id).map(|(_, m)| m).collect())
}

/// How meters are set.
pub(super) fn configurations(switch: &mut Switch, id: u64, xid: Xid, meter: MeterId) -> Done {
    let name = switch.openflow.connection(id).map(|c| c.bridge.clone()).unwrap_or_default();
    let Some(bridge) = switch.manager.snapshot().bridge_named(&name) else { return Ok(()) };
    let entries = wanted(bridge, meter)?.into_iter().map(|m| m.config.clone()).collect();
    reply(switch, id, xid, Message::MeterConfigReply(Part::all(entries)))
}

/// What meters counted.
pub(super) fn statistics(switch: &mut Switch, id: u64, xid: Xid, meter: MeterId) -> Done {
    collected(switch, id, xid, move |bridge, version, now| {
        let users = users(bridge);
        let entries = wanted(bridge, meter)?.into_iter().map(|m| {
            let (packets, bytes) = m.meter.counted();
            MeterStats {
                id: m.config.id,
                flows: users.get(&m.config.id).copied().unwrap_or(0),
                packets,
                bytes,
                duration: since(now, m.created.as_nanos()),
                bands: m.meter.dropped().map(|(packets, bytes)| BandStats { packets, bytes }).collect(),
            }
        });
        encode_all(&Message::MeterStatsReply(Part::all(entries.collect())), version, xid, None)
    })
}

/// Flows that use each meter.
fn users(bridge: &Bridge) -> BTreeMap<MeterId, u32> {
    let mut all = BTreeMap::new();
    if bridge.meters.is_empty() {
        return all;
    }
    for (_, rule) in bridge.rules() {
        // a meter is an instruction: it is in no other action
        for action in rule.actions.iter() {
            if let Action::Meter(id) = action {
                *all.entry(*id).or_default() += 1;
            }
        }
    }
    all
}
