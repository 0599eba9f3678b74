//! How tables are set, what they can do, their counters: questions, changes, and telling of room that runs out.

use std::sync::Arc;

use openflow::TableId;
use openflow::wire::codes::*;
use openflow::wire::message::Part;
use openflow::wire::stats::TableStats;
use openflow::wire::table::{features as features_of, words};
use openflow::wire::table_features::{Command, TableFeatures};
use openflow::wire::table_mod::{TableDesc, TableMiss, TableMod, TableReason, Vacancy, eviction};
use openflow::wire::{Error, Message, Version, Xid, encode_all};
use pipeline::{Bridge, Miss, Setup, TableChange};

use super::handle::told;
use super::stats::collected;
use crate::run::switch::Switch;

type Done = Result<(), Error>;

/// Tables that a controller can use (0 to 253; 254 is the switch's own).
pub(super) const TABLES: u8 = 254;
/// Flows that a table may have as far as controllers are told, where no other limit is set.
const MAX_ENTRIES: u32 = 1_000_000;
/// Names that a controller may give in one request of several messages.
const NAMED: usize = 4 * TABLES as usize;

/// Names that come in several messages.
#[derive(Debug)]
pub(super) struct Naming {
    xid: Xid,
    names: Vec<(TableId, String)>,
}

fn max_entries(setup: &Setup) -> u32 {
    setup.config.limit.unwrap_or(MAX_ENTRIES)
}

/// Changes how tables are set.
pub(super) fn modify(switch: &mut Switch, bridge: &str, wanted: &TableMod) -> Done {
    if wanted.table.is_some_and(|t| t.0 == TABLES) {
        return Err(Error::new(OFPTMFC_EPERM));
    }
    // a switch alone says what eviction goes by, and how much room there is
    let bounds = wanted.vacancy.unwrap_or_default();
    if wanted.eviction_flags.is_some() || bounds.now != 0 || bounds.down > bounds.up || bounds.up > 100 {
        return Err(Error::new(OFPBPC_BAD_VALUE));
    }
    let change = TableChange {
        table: wanted.table,
        miss: wanted.miss.map(|miss| match miss {
            TableMiss::Controller => Miss::Controller,
            TableMiss::Continue => Miss::Continue,
            TableMiss::Drop => Miss::Drop,
        }),
        eviction: wanted.eviction,
        vacancy: wanted.vacancy_events.map(|on| on.then_some((bounds.down, bounds.up))),
    };
    switch.manager.change_table(bridge, &change).map_err(|e| told(&e))
}

fn described(table: TableId, setup: &Setup, left: u8) -> TableDesc {
    TableDesc {
        table,
        eviction: setup.eviction,
        eviction_flags: Some(eviction::OTHER | eviction::IMPORTANCE | eviction::LIFETIME),
        vacancy_events: setup.vacancy.is_some(),
        vacancy: setup.vacancy.map(|v| Vacancy { down: v.down, up: v.up, now: left }),
    }
}

/// Tells how tables are set.
pub(super) fn descriptions(switch: &mut Switch, id: u64, xid: Xid) -> Done {
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    let (name, version) = (connection.bridge.clone(), connection.session.version.unwrap_or(Version::Of10));
    let Some(bridge) = switch.manager.snapshot().bridge_named(&name).cloned() else { return Ok(()) };
    let one = |n: u8| {
        let setup = bridge.setup(n);
        described(TableId(n), &setup, setup.vacancy_with(flows_in(&bridge, n)))
    };
    let all = Message::TableDescReply(Part::all((0..TABLES).map(one).collect()));
    put(switch, id, encode_all(&all, version, xid, None)?)
}

fn put(switch: &mut Switch, id: u64, parts: Vec<Vec<u8>>) -> Done {
    if let Some(connection) = switch.openflow.connection(id) {
        parts.into_iter().for_each(|part| connection.put(part));
    }
    Ok(())
}

/// Flows of a table, without the switch's own.
fn flows_in(bridge: &Bridge, number: u8) -> usize {
    bridge.table(number).map_or(0, |t| t.rules().filter(|r| !r.is_hidden()).count())
}

/// What tables can do, and how they are called; takes other names for them. Nothing else of them can be changed.
pub(super) fn features(switch: &mut Switch, id: u64, xid: Xid, asked: Part<TableFeatures>) -> Done {
    let Some(connection) = switch.openflow.connection(id) else { return Ok(()) };
    let (bridge, version) = (connection.bridge.clone(), connection.session.version.unwrap_or(Version::Of10));
    let more = asked.more;
    let mut naming = connection.session.naming.take().filter(|n| n.xid == xid);
    if more || naming.is_some() || !asked.entries.is_empty() {
        if asked.entries.iter().any(|t| matches!(t.command, Command::Enable | Command::Disable)) {
            return Err(Error::new(OFPTFFC_EPERM));
        }
        let naming = naming.get_or_insert(Naming { xid, names: Vec::new() });
        naming.names.extend(asked.entries.into_iter().map(|t| (t.table, t.name)));
        if naming.names.len() > NAMED {
            return Err(Error::new(OFPTFFC_TOO_MANY));
        }
    }
    if more {
        connection.session.naming = naming;
        return Ok(());
    }
    if let Some(naming) = naming {
        switch.manager.name_tables(&bridge, &naming.names).map_err(|e| told(&e))?;
    }
    let Some(bridge) = switch.manager.snapshot().bridge_named(&bridge) else { return Ok(()) };
    let one = |n: u8| {
        let setup = bridge.setup(n);
        features_of(TableId(n), TABLES, setup.name(), max_entries(&setup), version)
    };
    let all = Message::TableFeaturesReply(Part::all((0..TABLES).map(one).collect()));
    put(switch, id, encode_all(&all, version, xid, None)?)
}

/// Counters of all tables.
pub(super) fn statistics(switch: &mut Switch, id: u64, xid: Xid) -> Done {
    collected(switch, id, xid, move |bridge, version, _| {
        let entries = (0..TABLES).map(|number| counters(bridge, number, version)).collect();
        encode_all(&Message::TableStatsReply(Part::all(entries)), version, xid, None)
    })
}

fn counters(bridge: &Bridge, number: u8, version: Version) -> TableStats {
    let setup = bridge.setup(number);
    let miss = match setup.miss {
        Miss::ByVersion => None,
        Miss::Controller => Some(TableMiss::Controller),
        Miss::Continue => Some(TableMiss::Continue),
        Miss::Drop => Some(TableMiss::Drop),
    };
    let rules = || bridge.table(number).into_iter().flat_map(|t| t.rules()).filter(|r| !r.is_hidden());
    let matched: u64 = rules().map(|r| r.stats.get().0).sum();
    TableStats {
        table: TableId(number),
        name: setup.name().to_owned(),
        max_entries: max_entries(&setup),
        active: rules().count() as u32,
        matched,
        lookups: matched + bridge.missed_in(number),
        features: words(number + 1 == TABLES, miss, version),
    }
}

/// Tells of tables that fill or empty.
pub(super) fn tell(switch: &mut Switch) {
    for event in switch.manager.take_table_events() {
        let Some(name) = switch.manager.snapshot().bridge(event.bridge).map(|b| Arc::clone(&b.name)) else { continue };
        let reason = if event.up { TableReason::VacancyUp } else { TableReason::VacancyDown };
        let table = described(event.table, &event.setup, event.left);
        let of_bridge = switch.openflow.connections.values().filter(|c| *c.bridge == *name);
        let message = Message::TableStatus { reason, table };
        of_bridge.filter(|c| c.session.wants_table(reason)).for_each(|c| c.tell(&message));
    }
}
