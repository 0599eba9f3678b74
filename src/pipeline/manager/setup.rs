//! Setting tables: by the database, by controllers; keeping to their limits, and telling of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dpif::{Change, Thing};
use openflow::TableId;

use super::evict::Evictor;
use super::flows::RemovedReason;
use super::{Error, Manager};
use crate::snapshot::setup::{LAST_TABLE, Setup, TableChange, TableConfig, TableEvent, Vacancy};
use crate::snapshot::table::Rule;

impl Manager {
    /// Sets a bridge's tables as the database has them. Where a table that evicts has more flows than it may have by now, some go.
    ///
    /// # Errors
    /// No such bridge.
    pub fn set_tables(&mut self, bridge: &str, wanted: &BTreeMap<u8, TableConfig>) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        let known = self.work.bridge(index).map(|b| b.setups.keys().copied().collect::<Vec<u8>>()).unwrap_or_default();
        for table in known.into_iter().chain(wanted.keys().copied()) {
            let config = wanted.get(&table).cloned().unwrap_or_default();
            let Some(setup) = self.edit(index).map(|b| b.setup_mut(table)) else { continue };
            if setup.config == config {
                continue;
            }
            if setup.config.name != config.name {
                setup.called = None;
            }
            setup.config = config;
            self.evictors.remove(&(index, table));
            while self.is_full(index, table, 0) && self.make_room(index, table) {}
            self.watch_room(index, table);
        }
        Ok(())
    }

    /// Changes settings of tables as a controller asks.
    ///
    /// # Errors
    /// No such bridge, no such table.
    pub fn change_table(&mut self, bridge: &str, change: &TableChange) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        let tables = match change.table {
            Some(table) if table.0 > LAST_TABLE => return Err(Error::NoSuchTable(table)),
            Some(table) => table.0..=table.0,
            None => 0..=LAST_TABLE,
        };
        for table in tables {
            let flows = self.flows_in(index, table);
            let Some(setup) = self.edit(index).map(|b| b.setup_mut(table)) else { continue };
            setup.miss = change.miss.unwrap_or(setup.miss);
            setup.eviction = change.eviction.unwrap_or(setup.eviction);
            if let Some(bounds) = change.vacancy
                && bounds != setup.vacancy.map(|v| (v.down, v.up))
            {
                let up_next = |up| setup.vacancy_with(flows) < up;
                setup.vacancy = bounds.map(|(down, up)| Vacancy { down, up, up_next: up_next(up) });
            }
        }
        if change.miss.is_some() {
            self.changes.push(Change::Thing(Thing::Bridge(index)));
        }
        Ok(())
    }

    /// Gives tables names as a controller asks, all or none; an empty one takes it away.
    ///
    /// # Errors
    /// No such bridge or table, or the database has another name for it.
    pub fn name_tables(&mut self, bridge: &str, names: &[(TableId, String)]) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        let unchanged = Setup::default();
        let found = self.work.bridge(index).map(|b| b.setups.clone()).unwrap_or_default();
        let setup = |table: &TableId| found.get(&table.0).unwrap_or(&unchanged);
        for (table, name) in names {
            if table.0 > LAST_TABLE {
                return Err(Error::NoSuchTable(*table));
            }
            if setup(table).config.name.as_deref().is_some_and(|set| set != name) {
                return Err(Error::TableNamed(*table));
            }
        }
        for (table, name) in names.iter().filter(|(table, name)| setup(table).name() != name) {
            if let Some(bridge) = self.edit(index) {
                bridge.setup_mut(table.0).called = Some(name.as_str()).filter(|n| !n.is_empty()).map(Arc::from);
            }
        }
        Ok(())
    }

    /// Tables that filled or emptied since the last call, where a controller asked that this be told.
    pub fn take_table_events(&mut self) -> Vec<TableEvent> {
        std::mem::take(&mut self.table_events)
    }

    /// Flows of a table, without the switch's own.
    fn flows_in(&self, index: u32, table: u8) -> usize {
        let all = self.work.bridge(index).and_then(|b| b.table(table)).map_or(0, |t| t.rules.len());
        let own = if table == 0 { self.hidden.get(&index).map_or(0, Vec::len) } else { 0 };
        all.saturating_sub(own)
    }

    fn setup(&self, index: u32, table: u8) -> Option<&Setup> {
        self.work.bridge(index)?.setups.get(&table)
    }

    /// Whether so many more flows are more than a table may have.
    fn is_full(&self, index: u32, table: u8, more: usize) -> bool {
        let limit = self.setup(index, table).and_then(|setup| setup.config.limit);
        limit.is_some_and(|limit| self.flows_in(index, table) + more > limit as usize)
    }

    /// Has a flow of a table go; false when none may.
    fn make_room(&mut self, index: u32, table: u8) -> bool {
        let Some(setup) = self.setup(index, table).filter(|setup| setup.evicts()) else { return false };
        let fields = setup.config.groups.clone();
        let rules = self.work.bridge(index).and_then(|b| b.table(table)).cloned();
        let made = || Evictor::new(fields, rules.iter().flat_map(|t| t.rules()));
        let Some(rule) = self.evictors.entry((index, table)).or_insert_with(made).choose() else { return false };
        self.remove_rule(index, table, &rule, RemovedReason::Eviction);
        true
    }

    /// Makes room for one more flow.
    ///
    /// # Errors
    /// The table is full, and no flow may go.
    pub(super) fn require_room(&mut self, index: u32, table: u8) -> Result<(), Error> {
        match !self.is_full(index, table, 1) || self.make_room(index, table) && !self.is_full(index, table, 1) {
            true => Ok(()),
            false => Err(Error::TableFull(TableId(table))),
        }
    }

    /// Puts a rule into its table.
    pub(super) fn put_rule(&mut self, index: u32, table: u8, rule: Arc<Rule>) {
        if let Some(evictor) = self.evictors.get_mut(&(index, table)) {
            let before = self.work.bridge(index).and_then(|b| b.table(table));
            let before = before.and_then(|t| t.rules.find_exact(&rule.matching, rule.rank));
            before.into_iter().for_each(|old| evictor.remove(old.id));
            evictor.insert(&rule);
        }
        let hidden = rule.is_hidden();
        self.table_mut(index, table).insert(rule);
        if !hidden {
            self.watch_room(index, table);
        }
    }

    /// Takes a rule out of its table; false when it is not there.
    pub(super) fn take_rule(&mut self, index: u32, table: u8, rule: &Rule) -> bool {
        let Some(gone) = self.table_mut(index, table).remove(&rule.matching, rule.rank) else { return false };
        if let Some(evictor) = self.evictors.get_mut(&(index, table)) {
            evictor.remove(gone.id);
        }
        if !rule.is_hidden() {
            self.watch_room(index, table);
        }
        true
    }

    /// Tells that a table's room passed a bound that somebody wants to know of.
    pub(super) fn watch_room(&mut self, index: u32, table: u8) {
        let Some(setup) = self.setup(index, table) else { return };
        let Some(vacancy) = setup.vacancy else { return };
        let left = setup.vacancy_with(self.flows_in(index, table));
        let passed = if vacancy.up_next { left > vacancy.up } else { left < vacancy.down };
        if !passed {
            return;
        }
        let Some(setup) = self.edit(index).map(|b| b.setup_mut(table)) else { return };
        setup.vacancy = Some(Vacancy { up_next: !vacancy.up_next, ..vacancy });
        let event =
            TableEvent { bridge: index, table: TableId(table), setup: setup.clone(), up: vacancy.up_next, left };
        self.table_events.push(event);
    }
}
