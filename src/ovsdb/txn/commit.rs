//! The checks of a commit, in the stock server's order: strong references, garbage, number of rows, weak references,
//! indexes. Each looks at what changed and at what that touches.

use super::{Commit, Txn};
use crate::data::{Datum, text};
use crate::error::Error;
use crate::table::{Change, Key, Row};
use crate::uuid::{Source, Uuid};
use std::collections::HashMap;
use std::sync::Arc;

/// A row by table and UUID.
type Place = (usize, Uuid);

impl Txn<'_> {
    pub(super) fn commit(mut self, uuids: &mut Source) -> Result<Commit, Error> {
        self.drop_unchanged();
        if self.drafts.iter().any(|drafts| !drafts.is_empty()) {
            let deltas = self.check_strong()?;
            self.collect_garbage(deltas);
            self.check_row_counts()?;
            self.prune_weak()?;
            self.drop_unchanged();
            self.check_indexes()?;
            for draft in self.drafts.iter_mut().flat_map(|drafts| drafts.values_mut()) {
                if let Some(new) = &mut draft.new {
                    Arc::make_mut(new).version = uuids.uuid();
                }
            }
        }
        let (comment, durable) = (std::mem::take(&mut self.comment), self.durable);
        Ok(Commit { changes: self.changes(), comment, durable })
    }

    /// What differs from the database.
    pub(super) fn changes(self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (table, drafts) in self.drafts.into_iter().enumerate() {
            let change = |(uuid, draft): (Uuid, super::Draft)| Change { table, uuid, old: draft.old, new: draft.new };
            changes.extend(drafts.into_iter().map(change).filter(|c| c.old.is_some() || c.new.is_some()));
        }
        changes
    }

    fn drop_unchanged(&mut self) {
        for drafts in &mut self.drafts {
            drafts.retain(|_, draft| match (&draft.old, &draft.new) {
                (Some(old), Some(new)) => !Arc::ptr_eq(old, new) && old.columns != new.columns,
                (None, None) => false,
                _ => true,
            });
        }
    }

    /// Rows that may not be there any more, or are there and have an old version: what a draft says.
    fn touched(&self) -> Vec<Place> {
        self.drafts.iter().enumerate().flat_map(|(table, d)| d.keys().map(move |uuid| (table, *uuid))).collect()
    }

    /// The number of strong references to a row after the transaction.
    fn strong(&self, deltas: &HashMap<Place, i64>, (table, uuid): Place) -> i64 {
        let stored = self.db.tables[table].rows.get(&uuid).map_or(0, |slot| i64::from(slot.strong));
        stored + deltas.get(&(table, uuid)).copied().unwrap_or(0)
    }

    /// What strong references point to is there; what is deleted has none. Returns how their numbers change.
    fn check_strong(&self) -> Result<HashMap<Place, i64>, Error> {
        let mut deltas = HashMap::new();
        for (table, drafts) in self.drafts.iter().enumerate() {
            let stored = &self.db.tables[table];
            for (&uuid, draft) in drafts {
                let mut missing = None;
                stored.references(draft.old.as_deref(), draft.new.as_deref(), false, |link, to, n| {
                    if (link.table, to) != (table, uuid) {
                        *deltas.entry((link.table, to)).or_default() += i64::from(n);
                    }
                    let known = || self.drafts[link.table].contains_key(&to) || self.db.row(link.table, to).is_some();
                    if n > 0 && missing.is_none() && !known() {
                        missing = Some((link.column, link.table, to));
                    }
                });
                if let Some((column, target, to)) = missing {
                    let (name, column) = (&stored.schema.name, &stored.schema.columns[column].name);
                    let target = &self.db.tables[target].schema.name;
                    let text = format!(
                        "Table {name} column {column} row {uuid} references nonexistent row {to} in table {target}."
                    );
                    return Err(Error::new("referential integrity violation", text));
                }
            }
        }
        for (table, drafts) in self.drafts.iter().enumerate() {
            for (&uuid, draft) in drafts {
                if draft.new.is_none() {
                    let n = self.strong(&deltas, (table, uuid));
                    if n > 0 {
                        let name = &self.db.tables[table].schema.name;
                        let text = format!("cannot delete {name} row {uuid} because of {n} remaining reference(s)");
                        return Err(Error::new("referential integrity violation", text));
                    }
                }
            }
        }
        Ok(deltas)
    }

    /// Rows of tables that are no roots live as long as something refers to them strongly.
    fn collect_garbage(&mut self, mut deltas: HashMap<Place, i64>) {
        let mut work = self.touched();
        let touched = work.len();
        work.extend(deltas.iter().filter(|&(_, &n)| n < 0).map(|(&place, _)| place));
        // of a hash table, but the same changes are to come in the same order
        work[touched..].sort_unstable();
        while let Some((table, uuid)) = work.pop() {
            let root = self.db.tables[table].schema.is_root;
            if root || self.get(table, uuid).is_none() || self.strong(&deltas, (table, uuid)) > 0 {
                continue;
            }
            let row = self.get(table, uuid).cloned();
            self.delete(table, uuid);
            self.db.tables[table].references(row.as_deref(), None, false, |link, to, n| {
                if (link.table, to) != (table, uuid) {
                    *deltas.entry((link.table, to)).or_default() += i64::from(n);
                    work.push((link.table, to));
                }
            });
        }
    }

    fn check_row_counts(&self) -> Result<(), Error> {
        for (table, drafts) in self.db.tables.iter().zip(&self.drafts) {
            let inserted = drafts.values().filter(|d| d.old.is_none() && d.new.is_some()).count();
            let deleted = drafts.values().filter(|d| d.old.is_some() && d.new.is_none()).count();
            let (rows, most) = (table.len() + inserted - deleted, table.schema.max_rows as usize);
            if inserted > deleted && rows > most {
                return Err(Error::constraint(format!(
                    "transaction causes \"{}\" table to contain {rows} rows, greater than the schema-defined limit of {most} row(s)",
                    table.schema.name
                )));
            }
        }
        Ok(())
    }

    /// Weak references to rows that are not there go.
    fn prune_weak(&mut self) -> Result<(), Error> {
        let mut work = Vec::new();
        for (table, drafts) in self.drafts.iter().enumerate() {
            for (&uuid, draft) in drafts {
                if draft.new.is_some() {
                    work.push((table, uuid));
                } else if let Some(from) = self.db.tables[table].referrers.get(&uuid) {
                    work.extend(from.keys());
                }
            }
        }
        work.sort_unstable();
        work.dedup();
        for (table, uuid) in work {
            self.prune_row(table, uuid)?;
        }
        Ok(())
    }

    fn prune_row(&mut self, table: usize, uuid: Uuid) -> Result<(), Error> {
        let db = self.db;
        let Some(row) = self.get(table, uuid).cloned() else { return Ok(()) };
        let stored = &db.tables[table];
        for link in stored.links.iter().filter(|link| link.weak) {
            let datum = &row.columns[link.column];
            let gone = |to: Uuid| self.get(link.table, to).is_none();
            let dead = match link.in_value {
                false => datum.keys().filter(|k| k.uuid().is_some_and(gone)).cloned().collect(),
                true => {
                    let pairs = datum.pairs().iter();
                    pairs.filter(|(_, v)| v.uuid().is_some_and(gone)).map(|(k, _)| k.clone()).collect::<Vec<_>>()
                }
            };
            if dead.is_empty() {
                continue;
            }
            let (n, keys) = (dead.len(), Datum::set(dead));
            let zero = !link.in_value && keys.atoms().any(|a| a.uuid().is_some_and(Uuid::is_zero));
            let left = datum.subtract(&keys);
            let column = &stored.schema.columns[link.column];
            if left.check_size(&column.ty).is_err() {
                let (column, name) = (&column.name, &stored.schema.name);
                let inserted = self.drafts[table].get(&uuid).is_some_and(|draft| draft.old.is_none());
                let inserted = if inserted { " (inserted within this transaction)" } else { "" };
                return Err(Error::constraint(if zero {
                    format!(
                        "Weak reference column \"{column}\" in \"{name}\" row {uuid}{inserted} contained all-zeros UUID (probably as the default value for this column) but deleting this value caused a constraint volation because this column is not allowed to be empty."
                    )
                } else {
                    format!(
                        "Deletion of {n} weak reference(s) to deleted (or never-existing) rows from column \"{column}\" in \"{name}\" row {uuid}{inserted} caused this column to become empty, but constraints on this column disallow an empty column."
                    )
                }));
            }
            if let Some(row) = self.modify(table, uuid) {
                // another link may have taken something from the column meanwhile
                row.columns[link.column] = row.columns[link.column].subtract(&keys);
            }
        }
        Ok(())
    }

    fn check_indexes(&self) -> Result<(), Error> {
        for (table, drafts) in self.db.tables.iter().zip(&self.drafts) {
            for index in 0..table.schema.indexes.len() {
                let mut seen: HashMap<Key, &Arc<Row>> = HashMap::new();
                for (uuid, draft) in drafts {
                    let Some(row) = &draft.new else { continue };
                    let key = table.key(index, row);
                    // drafts are compared with each other, the rest by the index
                    if let Some(stored) = table.indexes[index].get(&key)
                        && stored != uuid
                        && !drafts.contains_key(stored)
                        && let Some(stored) = table.get(*stored)
                    {
                        return Err(self.duplicate(table, drafts, index, stored, row));
                    }
                    if let Some(other) = seen.insert(key, row) {
                        return Err(self.duplicate(table, drafts, index, row, other));
                    }
                }
            }
        }
        Ok(())
    }

    fn duplicate(
        &self,
        table: &crate::table::Table,
        drafts: &indexmap::IndexMap<Uuid, super::Draft>,
        index: usize,
        first: &Row,
        second: &Row,
    ) -> Error {
        let schema = &table.schema;
        let columns = &schema.indexes[index];
        let names: Vec<String> = columns.iter().map(|&c| format!("\"{}\"", schema.columns[c].name)).collect();
        let names = match &names[..] {
            [one] => format!("column {one}"),
            [all @ .., last] => format!("columns {} and {last}", all.join(", ")),
            [] => String::new(),
        };
        let values = |row: &Row| {
            let values = columns.iter().map(|&c| text::datum(&row.columns[c], schema.columns[c].ty.is_map()));
            values.collect::<Vec<_>>().join(", ")
        };
        let history = |row: &Row| {
            match drafts.get(&row.uuid) {
            None => "existed in the database before this transaction and was not modified by the transaction".to_owned(),
            Some(super::Draft { old: None, .. }) => "was inserted by this transaction".to_owned(),
            Some(super::Draft { old: Some(old), .. }) if table.key(index, old) == table.key(index, row) => {
                "existed in the database before this transaction, which modified some of the row's columns but not any columns in this index".to_owned()
            }
            Some(super::Draft { old: Some(old), .. }) => {
                format!("had the following index values before the transaction: {}", values(old))
            }
        }
        };
        Error::constraint(format!(
            "Transaction causes multiple rows in \"{}\" table to have identical values ({}) for index on {names}.  First row, with UUID {}, {}.  Second row, with UUID {}, {}.",
            schema.name,
            values(first),
            first.uuid,
            history(first),
            second.uuid,
            history(second),
        ))
    }
}
