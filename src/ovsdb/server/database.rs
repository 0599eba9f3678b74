//! A database that is served: rows, file, transactions that wait.

use super::{Now, SERVER_DB, Server, SessionId};
use crate::data::{Atom, Datum};
use crate::error::Error;
use crate::file::DatabaseFile;
use crate::json::Json;
use crate::table::{Change, Database, Row};
use crate::txn::{Commit, Draw};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a database comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    Standalone,
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
        }
    }

    pub(super) fn with_file(db: Database, path: &Path, file: DatabaseFile) -> Hosted {
        let size = file.log.offset();
        let growth = Growth { compacted_size: size, ..Growth::default() };
        let file = Some((path.to_path_buf(), file));
        Hosted { file, synced_size: size, growth, ..Hosted::memory(db) }
    }

    /// The file as it was named.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Makes a commit: in the file first, where it may fail.
    pub(super) fn commit(&mut self, commit: &Commit, now: Now) -> Result<(), Error> {
        if let Some((_, file)) = &mut self.file {
            if self.unsynced.is_empty() {
                self.synced_size = file.log.offset();
            }
            if file.append(&self.db, commit, now.wall)? {
                self.growth.commits += 1;
            }
            self.durable |= commit.durable;
            self.unsynced.push(commit.changes.clone());
            if self.unsynced.len() > 1 << 12 && !self.durable {
                // nobody waits for the disk; these are not taken back
                self.unsynced.clear();
            }
        }
        if !commit.changes.is_empty() {
            self.db.apply(&commit.changes);
            self.changed = true;
            self.serial += 1;
        }
        Ok(())
    }

    /// Waits for the disk where somebody wants that.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        if self.durable
            && let Some((_, file)) = &mut self.file
        {
            file.log.sync()?;
        }
        self.durable = false;
        self.unsynced.clear();
        Ok(())
    }

    /// Undoes what the disk may not have.
    pub(super) fn take_back(&mut self) {
        for changes in std::mem::take(&mut self.unsynced).iter().rev() {
            self.db.revert(changes);
        }
        self.durable = false;
        if let Some((_, file)) = &mut self.file {
            file.log.truncate(self.synced_size);
        }
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
    pub(super) fn replace(&mut self, db: Database, now: Now) -> Result<(), Error> {
        let old = std::mem::replace(&mut self.db, db);
        let result = self.compact(now);
        if result.is_err() {
            self.db = old;
        }
        result
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
        let described = self.databases.get(name).map(|hosted| (hosted.db.schema.to_json().to_string(), hosted.model));
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
            Some((text, model)) => {
                let new = || Row::new(&schema, self.uuids.uuid());
                let mut row = existing.map_or_else(new, |row| Row::clone(&row));
                row.columns[column("name")] = string(name);
                row.columns[column("schema")] = string(&text);
                row.columns[column("connected")] = Datum::One(Atom::Boolean(true));
                row.columns[column("leader")] = Datum::One(Atom::Boolean(true));
                row.columns[column("model")] = string(match model {
                    Model::Standalone => "standalone",
                });
                draw.put(0, row);
            }
        }
        let commit = draw.commit(&mut self.uuids);
        if let Ok(commit) = commit {
            // in memory alone, where nothing fails
            let _ = self.make(SERVER_DB, &commit, Now::default());
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
        let made = draw.commit(&mut self.uuids).and_then(|commit| self.make(name, &commit, now));
        if let Err(error) = made {
            log::warn!(target: "ovsdb_server", "{name}: cannot report status: {error}");
        }
    }

    /// Makes a commit and tells those who watch.
    pub(super) fn make(&mut self, name: &str, commit: &Commit, now: Now) -> Result<(), Error> {
        let Some(hosted) = self.databases.get_mut(name) else { return Ok(()) };
        hosted.commit(commit, now)?;
        if !commit.changes.is_empty() {
            for session in self.sessions.values_mut() {
                for monitor in session.monitors.iter_mut().filter(|m| &*m.database == name) {
                    monitor.note(&commit.changes);
                }
            }
        }
        if hosted.is_overgrown(now)
            && let Err(error) = hosted.compact(now)
        {
            log::warn!(target: "ovsdb_server", "{name}: compaction failed: {error}");
        }
        Ok(())
    }
}
