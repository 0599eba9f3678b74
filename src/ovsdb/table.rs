//! A database in memory. Rows are shared and immutable; what a commit replaces it names, so that the price of a change is
//! the change. Beside the rows: how many strong references point to each, who points weakly to it, and its index entries.

use crate::data::{Datum, Schema, TableSchema, Type, changed};
use crate::uuid::Uuid;
use indexmap::IndexMap;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// A version of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub uuid: Uuid,
    pub version: Uuid,
    /// In the schema's order.
    pub columns: Box<[Datum]>,
}

/// Rows outside the schema: `_uuid` and `_version` have these numbers.
pub const UUID: usize = usize::MAX;
pub const VERSION: usize = usize::MAX - 1;

impl Row {
    /// A row of defaults.
    pub fn new(schema: &TableSchema, uuid: Uuid) -> Row {
        let columns = schema.columns.iter().map(|c| c.ty.default_datum()).collect();
        Row { uuid, version: Uuid::ZERO, columns }
    }

    /// A column by number, `_uuid` and `_version` too.
    pub fn column(&self, column: usize) -> Datum {
        use crate::data::Atom;
        match column {
            UUID => Datum::One(Atom::Uuid(self.uuid)),
            VERSION => Datum::One(Atom::Uuid(self.version)),
            other => self.columns[other].clone(),
        }
    }
}

/// A row and the number of strong references that other rows have to it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) row: Arc<Row>,
    pub(crate) strong: u32,
}

/// Columns of an index.
pub(crate) type Key = Box<[Datum]>;

/// Rows of a table that refer weakly to one row, with how often.
pub(crate) type Referrers = HashMap<(usize, Uuid), u32>;

/// A column that refers to a table.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) column: usize,
    /// Of a map, the values rather than the keys.
    pub(crate) in_value: bool,
    pub(crate) table: usize,
    pub(crate) weak: bool,
}

/// A table of a database.
#[derive(Clone, Debug)]
pub struct Table {
    pub schema: Arc<TableSchema>,
    pub(crate) rows: IndexMap<Uuid, Slot>,
    pub(crate) indexes: Vec<HashMap<Key, Uuid>>,
    /// By the row referred to.
    pub(crate) referrers: HashMap<Uuid, Referrers>,
    pub(crate) links: Vec<Link>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn get(&self, uuid: Uuid) -> Option<&Arc<Row>> {
        self.rows.get(&uuid).map(|slot| &slot.row)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.values().map(|slot| &slot.row)
    }

    pub(crate) fn key(&self, index: usize, row: &Row) -> Key {
        self.schema.indexes[index].iter().map(|&column| row.columns[column].clone()).collect()
    }

    /// Calls `visit` for every reference that a change of a row takes (-1) or makes (1): what both versions have costs no
    /// more than a comparison.
    pub(crate) fn references(
        &self,
        old: Option<&Row>,
        new: Option<&Row>,
        weak: bool,
        mut visit: impl FnMut(&Link, Uuid, i32),
    ) {
        for link in self.links.iter().filter(|link| link.weak == weak) {
            let (was, is) = (old.map(|r| &r.columns[link.column]), new.map(|r| &r.columns[link.column]));
            let (was, is) = (was.unwrap_or(&Datum::Empty), is.unwrap_or(&Datum::Empty));
            if link.in_value {
                if was != is {
                    was.pairs().iter().filter_map(|(_, v)| v.uuid()).for_each(|uuid| visit(link, uuid, -1));
                    is.pairs().iter().filter_map(|(_, v)| v.uuid()).for_each(|uuid| visit(link, uuid, 1));
                }
                continue;
            }
            for (order, atom) in was.differences(is) {
                let n = if order.is_lt() { -1 } else { 1 };
                atom.uuid().into_iter().for_each(|uuid| visit(link, uuid, n));
            }
            let pairs = changed(was.pairs(), is.pairs());
            let mut was = pairs.0.iter().map(|(key, _)| key).peekable();
            let mut is = pairs.1.iter().map(|(key, _)| key).peekable();
            loop {
                let order = match (was.peek(), is.peek()) {
                    (None, None) => break,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some(a), Some(b)) => a.cmp(b),
                };
                let before = if order.is_le() { was.next() } else { None };
                let after = if order.is_ge() { is.next() } else { None };
                match (before, after) {
                    (Some(atom), None) => atom.uuid().into_iter().for_each(|uuid| visit(link, uuid, -1)),
                    (None, Some(atom)) => atom.uuid().into_iter().for_each(|uuid| visit(link, uuid, 1)),
                    _ => {}
                }
            }
        }
    }
}

/// A change of one row: inserted without `old`, deleted without `new`.
#[derive(Clone, Debug)]
pub struct Change {
    pub table: usize,
    pub uuid: Uuid,
    pub old: Option<Arc<Row>>,
    pub new: Option<Arc<Row>>,
}

impl Change {
    /// The columns that differ; all of an inserted or deleted row.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        let n = self.old.as_ref().or(self.new.as_ref()).map_or(0, |row| row.columns.len());
        (0..n).filter(|&c| match (&self.old, &self.new) {
            (Some(old), Some(new)) => old.columns[c] != new.columns[c],
            _ => true,
        })
    }
}

/// Rows of tables under a schema. All constraints hold, always.
#[derive(Clone, Debug)]
pub struct Database {
    pub schema: Arc<Schema>,
    pub tables: Vec<Table>,
}

fn links(schema: &Schema, table: &TableSchema) -> Vec<Link> {
    let mut links = Vec::new();
    for (column, Type { key, value, .. }) in table.columns.iter().map(|c| &c.ty).enumerate() {
        for (base, in_value) in [(Some(key), false), (value.as_ref(), true)] {
            if let Some(to) = base.and_then(|b| b.reference.as_ref())
                && let Some(target) = schema.table(&to.table)
            {
                links.push(Link { column, in_value, table: target, weak: to.weak });
            }
        }
    }
    links
}

impl Database {
    /// No rows.
    pub fn new(schema: Arc<Schema>) -> Database {
        let table = |t: &Arc<TableSchema>| Table {
            schema: t.clone(),
            rows: IndexMap::new(),
            indexes: vec![HashMap::new(); t.indexes.len()],
            referrers: HashMap::new(),
            links: links(&schema, t),
        };
        let tables = schema.tables.iter().map(table).collect();
        Database { schema, tables }
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.schema.table(name).map(|at| &self.tables[at])
    }

    pub fn row(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        self.tables[table].get(uuid)
    }

    /// Makes changes that a transaction has checked.
    pub fn apply(&mut self, changes: &[Change]) {
        // entries of old versions first: two rows may have swapped their values
        for Change { table, old, .. } in changes {
            if let Some(old) = old {
                let table = &mut self.tables[*table];
                for index in 0..table.indexes.len() {
                    let key = table.key(index, old);
                    table.indexes[index].remove(&key);
                }
            }
        }
        for Change { table, uuid, new, .. } in changes {
            let table = &mut self.tables[*table];
            let Some(new) = new else {
                table.rows.swap_remove(uuid);
                continue;
            };
            let slot = table.rows.entry(*uuid);
            slot.and_modify(|slot| slot.row = new.clone()).or_insert_with(|| Slot { row: new.clone(), strong: 0 });
            for index in 0..table.indexes.len() {
                let key = table.key(index, new);
                table.indexes[index].insert(key, *uuid);
            }
        }
        for change in changes {
            self.count_references(change);
        }
    }

    /// Undoes them. Returns the changes that this takes.
    pub fn revert(&mut self, changes: &[Change]) -> Vec<Change> {
        let inverse = |c: &Change| Change { table: c.table, uuid: c.uuid, old: c.new.clone(), new: c.old.clone() };
        let undo: Vec<_> = changes.iter().map(inverse).collect();
        self.apply(&undo);
        undo
    }

    fn count_references(&mut self, Change { table, uuid, old, new }: &Change) {
        let (old, new) = (old.as_deref(), new.as_deref());
        let mut counts = Vec::new();
        self.tables[*table].references(old, new, false, |link, to, n| {
            // a reference of a row to itself does not keep it
            if (link.table, to) != (*table, *uuid) {
                counts.push((link.table, to, n));
            }
        });
        for (table, to, n) in counts.drain(..) {
            if let Some(slot) = self.tables[table].rows.get_mut(&to) {
                slot.strong = slot.strong.saturating_add_signed(n);
            }
        }
        self.tables[*table].references(old, new, true, |link, to, n| counts.push((link.table, to, n)));
        for (target, to, n) in counts {
            let referrers = &mut self.tables[target].referrers;
            let from = referrers.entry(to).or_default();
            let count = from.entry((*table, *uuid)).or_default();
            *count = count.saturating_add_signed(n);
            if *count == 0 {
                from.remove(&(*table, *uuid));
            }
            if from.is_empty() {
                referrers.remove(&to);
            }
        }
    }

    /// Weak references between rows.
    pub fn weak_count(&self) -> usize {
        let referrers = self.tables.iter().flat_map(|t| t.referrers.values());
        referrers.flat_map(|from| from.values()).map(|&n| n as usize).sum()
    }

    /// Atoms in all rows, a figure of size.
    pub fn atom_count(&self) -> usize {
        let rows = self.tables.iter().flat_map(|t| t.rows());
        rows.flat_map(|row| row.columns.iter()).map(Datum::atom_count).sum()
    }
}
