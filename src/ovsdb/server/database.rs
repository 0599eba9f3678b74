//! A database that is served: rows, file, transactions that wait.

use super::{Now, SERVER_DB, Server, SessionId};
use crate::data::{Atom, Datum};
use crate::error::Error;
use crate::file::{DatabaseFile, History};
use crate::json::Json;
use crate::table::{Change, Database, Row};
use crate::txn::{Commit, Draw};
use crate::uuid::Uuid;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a database comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    Standalone,
    /// A cluster of one.
    Clustered,
    /// Another server's.
    Relay,
}

/// A transaction that waits.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) session: SessionId,
    pub(super) id: Json,
    pub(super) operations: Vec<Json>,
    pub(super) came: u64,
    /// Milliseconds after it came.
    pub(super) timeout: Option<u64>,
}

impl Trigger {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.timeout.map(|ms| self.came.saturating_add(ms))
    }
}

/// When a file is written anew: it has doubled, and not too often.
#[derive(Debug, Default)]
struct Growth {
    compacted_size: u64,
    compacted_at: u64,
    commits: u64,
}

/// Below this a file is small.
const SMALL: u64 = 10 << 20;
/// Transactions that are remembered at most.
const HISTORY: usize = 100;
const TEN_MINUTES: u64 = 600_000;
const DAY: u64 = 24 * 3_600_000;

/// A database that is served.
#[derive(Debug)]
pub struct Hosted {
    pub db: Database,
    file: Option<(PathBuf, DatabaseFile)>,
    pub(super) triggers: Vec<Trigger>,
    /// Triggers may have become true.
    pub(super) changed: bool,
    /// Commits that the disk may not have, and where the file ended before the first.
    unsynced: Vec<Vec<Change>>,
    synced_size: u64,
    durable: bool,
    growth: Growth,
    pub model: Model,
    /// Goes up with each commit.
    pub serial: u64,
    /// The name of the last transaction; zeros where they have none.
    pub last: Uuid,
    history: History,
    history_atoms: usize,
    /// Atoms in all rows, and where a round began: number and name of the last entry.
    atoms: usize,
    synced_entry: (i64, Uuid),
    /// Whether what it shows is up to date, as far as anybody knows.
    pub(super) connected: bool,
    /// Whether its schema is known.
    pub(super) available: bool,
    /// Who watches it.
    pub(super) watchers: super::watch::Watchers,
    /// Transactions that another server is to make.
    pub(super) forwards: VecDeque<super::relay::Forward>,
}

/// What a change costs to remember.
fn atoms_of(change: &Change) -> usize {
    let count = |row: &Option<Arc<Row>>, c: usize| row.as_ref().map_or(0, |row| row.columns[c].atom_count());
    change.columns().map(|c| count(&change.old, c) + count(&change.new, c)).sum()
}

fn atoms_of_row(row: &Option<Arc<Row>>) -> usize {
    row.as_ref().map_or(0, |row| row.columns.iter().map(Datum::atom_count).sum())
}

impl Hosted {
    pub(super) fn memory(db: Database) -> Hosted {
        Hosted {
            db,
            file: None,
            triggers: Vec::new(),
            changed: false,
            unsynced: Vec::new(),
            synced_size: 0,
            durable: false,
            growth: Growth::default(),
            model: Model::Standalone,
            serial: 0,
            last: Uuid::ZERO,
            history: History::new(),
            history_atoms: 0,
            atoms: 0,
            synced_entry: (0, Uuid::ZERO),
            connected: true,
            available: true,
            watchers: super::watch::Watchers::default(),
            forwards: VecDeque::new(),
        }
    }

    pub(super) fn with_file(db: Database, path: &Path, file: DatabaseFile, history: History) -> Hosted {
        let size = file.log.offset();
        let growth = Growth { compacted_size: size, ..Growth::default() };
        let (model, last) = match &file.cluster {
            None => (Model::Standalone, Uuid::ZERO),
            Some(cluster) => (Model::Clustered, cluster.entry),
        };
        let atoms = db.atom_count();
        let file = Some((path.to_path_buf(), file));
        let mut hosted = Hosted { file, synced_size: size, growth, model, last, atoms, history, ..Hosted::memory(db) };
        hosted.history_atoms = hosted.history.iter().flat_map(|(_, changes)| changes).map(atoms_of).sum();
        hosted.trim_history();
        hosted
    }

    /// A database of another server, not known yet.
    pub(super) fn relay(db: Database) -> Hosted {
        Hosted { model: Model::Relay, connected: false, available: false, ..Hosted::memory(db) }
    }

    /// What the other server has begins here.
    pub(super) fn begin_copy(&mut self, db: Database) {
        self.forget_history();
        (self.last, self.atoms, self.available) = (Uuid::ZERO, 0, true);
        self.db = db;
        self.serial += 1;
    }

    /// The cluster of a clustered file.
    pub fn cluster(&self) -> Option<&crate::file::cluster::Cluster> {
        self.file.as_ref().and_then(|(_, file)| file.cluster.as_ref())
    }

    fn remember(&mut self, id: Uuid, changes: &[Change]) {
        self.last = id;
        if id.is_zero() {
            return;
        }
        self.history_atoms += changes.iter().map(atoms_of).sum::<usize>();
        self.history.push_back((id, changes.to_vec()));
        self.trim_history();
    }

    /// The history is no longer than the database, so that it costs no more.
    fn trim_history(&mut self) {
        while self.history.len() > HISTORY || (self.history.len() > 1 && self.history_atoms > self.atoms) {
            let Some((_, changes)) = self.history.pop_front() else { break };
            self.history_atoms -= changes.iter().map(atoms_of).sum::<usize>();
        }
    }

    pub(super) fn forget_history(&mut self) {
        self.history.clear();
        self.history_atoms = 0;
    }

    /// What was changed after the transaction of that name; none when nobody remembers it.
    pub(super) fn since(&self, id: Uuid) -> Option<impl Iterator<Item = &Vec<Change>>> {
        if id.is_zero() {
            return None;
        }
        let at = match self.history.iter().position(|(known, _)| *known == id) {
            Some(at) => at + 1,
            None if id == self.last => self.history.len(),
            None => return None,
        };
        Some(self.history.range(at..).map(|(_, changes)| changes))
    }

    /// Transactions remembered, and atoms in them.
    pub(super) fn history_size(&self) -> (usize, usize) {
        (self.history.len(), self.history_atoms)
    }

    pub(super) fn atom_count(&self) -> usize {
        self.atoms
    }

    /// The file as it was named.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Makes a commit. Until [`Hosted::sync`] it may be taken back. `id` names it where transactions have names.
    pub(super) fn commit(&mut self, commit: &Commit, now: Now, id: Uuid) {
        let mut named = self.model == Model::Relay;
        if let Some((_, file)) = &mut self.file {
            if self.unsynced.is_empty() {
                self.synced_size = file.log.offset();
                self.synced_entry = file.cluster.as_ref().map_or((0, Uuid::ZERO), |c| (c.index, c.entry));
            }
            if file.append(&self.db, commit, now.wall, id) {
                self.growth.commits += 1;
                named = file.cluster.is_some();
            }
            // a cluster promises that what is acknowledged stays
            self.durable |= commit.durable || file.cluster.is_some();
            self.unsynced.push(commit.changes.clone());
        }
        if !commit.changes.is_empty() {
            self.count_atoms(&commit.changes, false);
            self.db.apply(&commit.changes);
            self.changed = true;
            self.serial += 1;
        }
        if named {
            self.remember(id, &commit.changes);
        }
    }

    fn count_atoms(&mut self, changes: &[Change], undo: bool) {
        for change in changes {
            let (old, new) = (atoms_of_row(&change.old), atoms_of_row(&change.new));
            let (less, more) = if undo { (new, old) } else { (old, new) };
            self.atoms = (self.atoms + more).saturating_sub(less);
        }
    }

    /// Commits since the last time that it was written.
    pub(super) fn unwritten(&self) -> usize {
        self.unsynced.len()
    }

    /// Writes commits, and waits for the disk where somebody wants that.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        if let Some((_, file)) = &mut self.file {
            file.log.write()?;
            if self.durable {
                file.log.sync()?;
            }
        }
        self.durable = false;
        self.unsynced.clear();
        Ok(())
    }

    /// Undoes what the disk may not have. Returns the changes that this makes.
    pub(super) fn take_back(&mut self) -> Vec<Change> {
        let mut undone = Vec::new();
        for changes in std::mem::take(&mut self.unsynced).iter().rev() {
            self.count_atoms(changes, true);
            undone.extend(self.db.revert(changes));
        }
        self.serial += 1;
        self.durable = false;
        if let Some((_, file)) = &mut self.file {
            file.log.truncate(self.synced_size);
            if let Some(cluster) = &mut file.cluster {
                (cluster.index, cluster.entry) = self.synced_entry;
                let last = cluster.entry;
                self.forget_history();
                self.last = last;
            }
        }
        undone
    }

    pub(super) fn compact(&mut self, now: Now) -> Result<(), Error> {
        if let Some((_, file)) = &mut self.file {
            file.compact(&self.db, "compacting database online", now.wall)?;
            let size = file.log.offset();
            self.growth = Growth { compacted_size: size, compacted_at: now.monotonic, commits: 0 };
            self.unsynced.clear();
        }
        Ok(())
    }

    /// Replaces all, as a conversion does.
    pub(super) fn replace(&mut self, db: Database, now: Now, id: Uuid) -> Result<(), Error> {
        if let Some((_, file)) = &mut self.file {
            file.replace(&db, "converted by ovsdb-server", now.wall, id)?;
            if file.cluster.is_some() {
                self.last = id;
            }
            let size = file.log.offset();
            self.growth = Growth { compacted_size: size, compacted_at: now.monotonic, commits: 0 };
        }
        self.unsynced.clear();
        self.forget_history();
        self.atoms = db.atom_count();
        self.db = db;
        Ok(())
    }

    /// Whether the file should be written anew.
    pub(super) fn is_overgrown(&self, now: Now) -> bool {
        let Some((_, file)) = &self.file else { return false };
        let growth = &self.growth;
        let (size, age) = (file.log.offset(), now.monotonic.saturating_sub(growth.compacted_at));
        let many = growth.commits >= 100;
        let doubled = size > SMALL && size > 2 * growth.compacted_size;
        (doubled && (many || age > TEN_MINUTES)) || (many && age > DAY)
    }
}

impl Server {
    /// Writes the row of a database in `_Server`, or takes it away.
    pub(super) fn describe(&mut self, name: &str) {
        let described = self.databases.get(name).map(|hosted| {
            let schema = hosted.available.then(|| hosted.db.schema.to_json().to_string());
            let member = hosted.cluster().map(|c| (c.member.cluster.unwrap_or(Uuid::ZERO), c.member.server, c.index));
            (schema, hosted.model, hosted.connected, member)
        });
        let Some(own) = self.databases.get(SERVER_DB) else { return };
        let table = &own.db.tables[0];
        let schema = table.schema.clone();
        let column = |name: &str| schema.column(name).unwrap_or(0);
        let string = |s: &str| Datum::One(Atom::String(Arc::from(s)));
        let existing = table.rows().find(|row| row.columns[column("name")].string() == Some(name)).cloned();
        let mut draw = Draw::new(&own.db, &mut self.uuids);
        match described {
            None => {
                if let Some(row) = existing {
                    draw.delete(0, row.uuid);
                }
            }
            Some((text, model, connected, member)) => {
                let new = || Row::new(&schema, self.uuids.uuid());
                let mut row = existing.map_or_else(new, |row| Row::clone(&row));
                row.columns[column("name")] = string(name);
                row.columns[column("schema")] = text.map_or(Datum::Empty, |text| string(&text));
                row.columns[column("connected")] = Datum::One(Atom::Boolean(connected));
                // a relay is nobody's leader
                row.columns[column("leader")] = Datum::One(Atom::Boolean(model != Model::Relay));
                if let Some((cluster, server, index)) = member {
                    row.columns[column("cid")] = Datum::One(Atom::Uuid(cluster));
                    row.columns[column("sid")] = Datum::One(Atom::Uuid(server));
                    row.columns[column("index")] = Datum::One(Atom::Integer(index));
                }
                row.columns[column("model")] = string(match model {
                    Model::Standalone => "standalone",
                    Model::Clustered => "clustered",
                    Model::Relay => "relay",
                });
                draw.put(0, row);
            }
        }
        if let Ok(commit) = draw.commit(&mut self.uuids) {
            self.make(SERVER_DB, &commit, Now::default());
        }
    }

    /// Sets columns of a row, as far as there are such columns and they have other values: what the server tells of itself.
    pub fn report(&mut self, name: &str, table: usize, uuid: crate::Uuid, cells: &[(&str, Datum)], now: Now) {
        let Some(db) = self.databases.get(name).map(|hosted| &hosted.db) else { return };
        let Some(row) = db.tables.get(table).and_then(|t| t.get(uuid)) else { return };
        let mut new = Row::clone(row);
        for (column, datum) in cells {
            let Some(number) = db.tables[table].schema.column(column) else { continue };
            let ty = &db.tables[table].schema.columns[number].ty;
            if datum.keys().all(|atom| atom.kind() == ty.key.kind) && datum.check_size(ty).is_ok() {
                new.columns[number] = datum.clone();
            }
        }
        if new.columns == row.columns {
            return;
        }
        let mut draw = Draw::new(db, &mut self.uuids);
        draw.put(table, new);
        match draw.commit(&mut self.uuids) {
            Ok(commit) => self.make(name, &commit, now),
            Err(error) => log::warn!(target: "ovsdb_server", "{name}: cannot report status: {error}"),
        }
    }

    /// Makes a commit and tells those who watch.
    pub(super) fn make(&mut self, name: &str, commit: &Commit, now: Now) {
        let id = self.uuids.uuid();
        self.make_named(name, commit, now, id);
    }

    /// The same, with a name for it where transactions have names.
    pub(super) fn make_named(&mut self, name: &str, commit: &Commit, now: Now, id: Uuid) {
        let Some(hosted) = self.databases.get_mut(name) else { return };
        hosted.commit(commit, now, id);
        self.tlog.note(name, &hosted.db.schema.tables, &commit.changes, now);
        self.note(name, &commit.changes);
        if let Some(hosted) = self.databases.get_mut(name).filter(|hosted| hosted.is_overgrown(now))
            && let Err(error) = hosted.compact(now)
        {
            log::warn!(target: "ovsdb_server", "{name}: compaction failed: {error}");
        }
    }
}
