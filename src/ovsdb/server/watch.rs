//! Who watches what: for a change the sessions whose monitors may show it, found by the values that their conditions name. So a
//! commit costs those who see it, however many others there are.

use super::SessionId;
use super::monitor::Monitor;
use crate::data::Datum;
use crate::table::Change;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a monitor may show of a table, by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Any row.
    Table(usize),
    /// Rows that have this value in a column.
    Value(usize, usize, Datum),
}

/// The sessions that watch a database.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    sessions: HashMap<Key, BTreeSet<SessionId>>,
    /// For each table the columns that keys name, with how many keys.
    columns: HashMap<usize, BTreeMap<usize, usize>>,
}

impl Watchers {
    pub(super) fn add(&mut self, key: &Key, id: SessionId) {
        let sessions = self.sessions.entry(key.clone()).or_default();
        if sessions.is_empty()
            && let Key::Value(table, column, _) = key
        {
            *self.columns.entry(*table).or_default().entry(*column).or_default() += 1;
        }
        sessions.insert(id);
    }

    pub(super) fn remove(&mut self, key: &Key, id: SessionId) {
        let Some(sessions) = self.sessions.get_mut(key) else { return };
        sessions.remove(&id);
        if !sessions.is_empty() {
            return;
        }
        self.sessions.remove(key);
        if let Key::Value(table, column, _) = key
            && let Some(columns) = self.columns.get_mut(table)
            && let Some(n) = columns.get_mut(column)
        {
            *n -= 1;
            if *n == 0 {
                columns.remove(column);
            }
        }
    }

    /// Sessions that may have to do with a change, each once.
    pub(super) fn of(&self, change: &Change) -> BTreeSet<SessionId> {
        if self.sessions.is_empty() {
            return BTreeSet::new();
        }
        let mut found = self.sessions.get(&Key::Table(change.table)).cloned().unwrap_or_default();
        for &column in self.columns.get(&change.table).into_iter().flat_map(BTreeMap::keys) {
            for row in change.old.iter().chain(&change.new) {
                let key = Key::Value(change.table, column, row.column(column));
                found.extend(self.sessions.get(&key).into_iter().flatten());
            }
        }
        found
    }
}

impl super::Server {
    /// The monitors of a session are others than before.
    pub(super) fn rewatch(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let wanted = session.monitors.iter().flat_map(|m| m.keys().into_iter().map(|key| (m.database.clone(), key)));
        let wanted: Vec<_> = wanted.collect();
        for (name, key) in std::mem::replace(&mut session.watched, wanted) {
            if let Some(hosted) = self.databases.get_mut(&name) {
                hosted.watchers.remove(&key, id);
            }
        }
        for (name, key) in &session.watched {
            if let Some(hosted) = self.databases.get_mut(name) {
                hosted.watchers.add(key, id);
            }
        }
    }

    /// The same of all sessions, where a database became another one.
    pub(super) fn rewatch_all(&mut self) {
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.rewatch(id);
        }
    }

    /// Tells monitors of changes that were made.
    pub(super) fn note(&mut self, name: &str, changes: &[Change]) {
        let Some(hosted) = self.databases.get(name) else { return };
        for change in changes {
            for id in hosted.watchers.of(change) {
                let Some(session) = self.sessions.get_mut(&id) else { continue };
                for monitor in session.monitors.iter_mut().filter(|m| &*m.database == name) {
                    monitor.note(std::slice::from_ref(change));
                    monitor.last = hosted.last;
                }
                self.active.insert(id);
            }
        }
    }
}

impl Monitor {
    /// Where it is to be found by changes.
    fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for (table, clauses) in self.conditions() {
            let Some(clauses) = clauses.filter(|clauses| !clauses.is_empty()) else {
                keys.push(Key::Table(table));
                continue;
            };
            for clause in clauses {
                use crate::txn::{Clause, Function};
                match clause {
                    Clause::Constant(false) => {}
                    Clause::Compare { column, function: Function::Equal, argument } => {
                        keys.push(Key::Value(table, *column, argument.clone()));
                    }
                    _ => keys.push(Key::Table(table)),
                }
            }
        }
        keys
    }
}
