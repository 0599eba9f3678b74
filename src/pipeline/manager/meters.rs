//! Meter-mods: adding, changing and removing meters.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::clock::Instant;
use dpif::meter::{Limit, Meter, MeterRef};
use dpif::{Change, Thing};
use openflow::wire::meter::{MeterCommand, MeterConfig, MeterMod, meter_flag};
use openflow::{Action, MeterId};

use super::flows::{Outcome, RemovedReason};
use super::{Error, Manager, check};
use crate::snapshot::meter::Metered;

/// Meters that there may be, of all bridges together.
pub const MAX_METERS: u32 = 1 << 18;

/// Numbers of the datapath's meters, the lowest that is free first.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    free: BTreeSet<u32>,
    next: u32,
}

impl Numbers {
    fn take(&mut self) -> Option<u32> {
        if let Some(number) = self.free.pop_first() {
            return Some(number);
        }
        (self.next < MAX_METERS).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    pub(super) fn free(&mut self, number: u32) {
        self.free.insert(number);
    }
}

impl Manager {
    /// Adds, modifies or deletes a meter; a deleted one's flows go too.
    ///
    /// # Errors
    /// Its number is reserved or in use, or there is none of it, or there are too many.
    pub fn meter_mod(&mut self, bridge: &str, request: &MeterMod, now: Instant) -> Result<Outcome, Error> {
        let index = self.index_of(bridge)?;
        let id = request.meter.id;
        let meters = self.work.bridge(index).map(|b| b.meters.clone()).unwrap_or_default();
        if request.command == MeterCommand::Delete {
            let gone: Vec<MeterId> = meters.keys().copied().filter(|m| id == MeterId::ALL || *m == id).collect();
            return Ok(self.delete_meters(index, &gone));
        }
        if !id.is_usable() {
            return Err(Error::BadMeter(id));
        }
        let (number, created) = match (request.command, meters.get(&id)) {
            (MeterCommand::Add, Some(_)) => return Err(Error::MeterExists(id)),
            (MeterCommand::Add, None) => (self.meters.take().ok_or(Error::ManyMeters(MAX_METERS))?, now),
            (_, Some(old)) => (old.meter.number(), old.created),
            (_, None) => return Err(Error::NoSuchMeter(id)),
        };
        let meter = MeterRef(Arc::new(build(&request.meter, number, now)));
        let added = Metered { config: request.meter.clone(), created, meter };
        self.set_meter(index, id, Some(added));
        let added = usize::from(request.command == MeterCommand::Add);
        Ok(Outcome { added, modified: 1 - added, removed: 0 })
    }

    /// Deletes meters, and the flows that use them.
    fn delete_meters(&mut self, index: u32, gone: &[MeterId]) -> Outcome {
        let mut outcome = Outcome::default();
        if gone.is_empty() {
            return outcome;
        }
        // in the order of their numbers, as they come from the table
        let uses = |a: &Action| matches!(a, Action::Meter(id) if gone.binary_search(id).is_ok());
        let rules: Vec<_> = self.work.bridge(index).map_or(Vec::new(), |b| {
            b.rules().filter(|(_, r)| check::any(&r.actions, &mut { uses })).map(|(t, r)| (t, r.clone())).collect()
        });
        for (table, rule) in &rules {
            self.remove_rule(index, *table, rule, RemovedReason::MeterDelete);
            outcome.removed += 1;
        }
        for id in gone {
            self.set_meter(index, *id, None);
            outcome.removed += 1;
        }
        outcome
    }

    fn set_meter(&mut self, index: u32, id: MeterId, meter: Option<Metered>) {
        let Some(bridge) = self.edit(index) else { return };
        let meters = Arc::make_mut(&mut bridge.meters);
        match meter {
            Some(meter) => drop(meters.insert(id, meter)),
            None => {
                if let Some(gone) = meters.remove(&id) {
                    self.meters.free(gone.meter.number());
                }
            }
        }
        self.changes.push(Change::Thing(Thing::Meter { bridge: index, meter: id.0 }));
    }
}

/// Without a burst, as much as a second's may come at once.
fn build(config: &MeterConfig, number: u32, now: Instant) -> Meter {
    let burst = config.flags & meter_flag::BURST != 0;
    let limit = |b: &openflow::wire::meter::Band| Limit { rate: b.rate, burst: if burst { b.burst } else { b.rate } };
    let limits: Vec<Limit> = config.bands.iter().map(limit).collect();
    Meter::new(number, config.flags & meter_flag::PKTPS != 0, &limits, now)
}
