//! Transactions: operations on a view that lies over the database, then the checks of a commit. Nothing changes in the
//! database until its owner applies the changes that come out, so an error costs nothing to undo.

mod commit;
mod condition;
mod mutation;
mod operation;
mod rbac;

#[cfg(test)]
mod tests;

pub use condition::{Clause, Condition, Function};
pub(crate) use condition::{column_name, column_type, find_column};
pub use mutation::{Mutation, Mutator};

use crate::data::Names;
use crate::error::Error;
use crate::json::Json;
use crate::table::{Change, Database, Row};
use crate::uuid::{Source, Uuid};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::sync::Arc;

/// Who runs a transaction, and under which circumstances.
pub struct Context<'a> {
    /// Nothing may change.
    pub read_only: bool,
    /// The database is the server's own, which no client changes.
    pub reserved: bool,
    /// The role of the client's connection, if it has one, and its name.
    pub role: Option<&'a str>,
    pub id: Option<&'a str>,
    /// Whether the client owns a lock.
    pub owns: &'a dyn Fn(&str) -> bool,
    /// Milliseconds since the request came.
    pub elapsed: u64,
    pub uuids: &'a mut Source,
    /// Rows that were looked at are counted here.
    pub rows_seen: usize,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Outcome {
    /// It is over: the reply's result, and what it changes, if it succeeded.
    Done(Json, Option<Commit>),
    /// It waits for the database to change, at most so many milliseconds after it came.
    Wait(Option<u64>),
}

/// What a transaction changes, checked.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub changes: Vec<Change>,
    pub comment: String,
    /// The reply waits for the disk.
    pub durable: bool,
}

/// How an operation ended without a result.
enum Stop {
    Error(Error),
    Wait(Option<u64>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

/// A row as a transaction sees it.
struct Draft {
    old: Option<Arc<Row>>,
    new: Option<Arc<Row>>,
}

/// A transaction in work.
struct Txn<'a> {
    db: &'a Database,
    /// Rows that were touched, for each table, in order.
    drafts: Vec<IndexMap<Uuid, Draft>>,
    names: RowNames,
    comment: String,
    durable: bool,
    /// Cells that were read for the reply.
    cells_read: usize,
    rows_seen: usize,
}

/// The most cells that a transaction's selects may come to: some hundred megabytes.
const CELLS_MAX: usize = 8 << 20;

/// The rows that a transaction names.
#[derive(Default)]
struct RowNames {
    uuids: HashMap<Arc<str>, (Uuid, bool)>,
    source: Source,
}

impl RowNames {
    /// The UUID for an insert that may have chosen one; none when the name is taken.
    fn declare(&mut self, name: &str, chosen: Option<Uuid>) -> Option<Uuid> {
        let source = &mut self.source;
        let new = || (chosen.unwrap_or_else(|| source.uuid()), false);
        let (uuid, declared) = self.uuids.entry(Arc::from(name)).or_insert_with(new);
        // operations before may have used the name already, with a UUID that was made up
        (!std::mem::replace(declared, true)).then_some(*uuid)
    }
}

impl Names for RowNames {
    fn named(&mut self, name: &str) -> Option<Uuid> {
        let source = &mut self.source;
        Some(self.uuids.entry(Arc::from(name)).or_insert_with(|| (source.uuid(), false)).0)
    }
}

impl<'a> Txn<'a> {
    fn new(db: &'a Database, source: &mut Source) -> Txn<'a> {
        let drafts = db.tables.iter().map(|_| IndexMap::new()).collect();
        let names = RowNames { uuids: HashMap::new(), source: source.fork() };
        Txn { db, drafts, names, comment: String::new(), durable: false, cells_read: 0, rows_seen: 0 }
    }

    /// The row as the transaction sees it.
    fn get(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        match self.drafts[table].get(&uuid) {
            Some(draft) => draft.new.as_ref(),
            None => self.db.row(table, uuid),
        }
    }

    /// A draft of a row that exists.
    fn draft(&mut self, table: usize, uuid: Uuid) -> Option<&mut Draft> {
        let db = self.db;
        match self.drafts[table].entry(uuid) {
            indexmap::map::Entry::Occupied(at) => Some(at.into_mut()),
            indexmap::map::Entry::Vacant(at) => {
                let row = db.row(table, uuid)?.clone();
                Some(at.insert(Draft { old: Some(row.clone()), new: Some(row) }))
            }
        }
    }

    /// The row to change, copied when it is first changed.
    fn modify(&mut self, table: usize, uuid: Uuid) -> Option<&mut Row> {
        self.draft(table, uuid)?.new.as_mut().map(Arc::make_mut)
    }

    fn delete(&mut self, table: usize, uuid: Uuid) {
        if let Some(draft) = self.draft(table, uuid) {
            draft.new = None;
        }
    }

    /// Rows that meet a condition.
    fn matching(&mut self, table: usize, condition: &Condition) -> Vec<Arc<Row>> {
        let candidates = self.candidates(table, condition);
        self.rows_seen += candidates.as_ref().map_or_else(|| self.db.tables[table].len(), Vec::len);
        match candidates {
            Some(uuids) => {
                let rows = uuids.into_iter().filter_map(|uuid| self.get(table, uuid));
                rows.filter(|row| condition.matches(row)).cloned().collect()
            }
            None => {
                let drafts = &self.drafts[table];
                let unchanged = self.db.tables[table].rows().filter(|row| !drafts.contains_key(&row.uuid));
                let changed = drafts.values().filter_map(|draft| draft.new.as_ref());
                unchanged.chain(changed).filter(|row| condition.matches(row)).cloned().collect()
            }
        }
    }

    /// The only rows that can match, when the condition names a row or all columns of an index.
    fn candidates(&self, table: usize, condition: &Condition) -> Option<Vec<Uuid>> {
        if let Some(uuid) = condition.uuid() {
            return Some(vec![uuid]);
        }
        let stored = &self.db.tables[table];
        for (index, columns) in stored.schema.indexes.iter().enumerate() {
            let key: Option<Box<[_]>> = columns.iter().map(|&c| condition.equal_to(c).cloned()).collect();
            if let Some(key) = key {
                let found = stored.indexes[index].get(&key).copied();
                let touched = self.drafts[table].keys().copied().filter(|uuid| Some(*uuid) != found);
                return Some(found.into_iter().chain(touched).collect());
            }
        }
        None
    }
}

/// Runs the operations of a `transact` request: `params` without the database's name.
pub fn execute(db: &Database, operations: &[Json], context: &mut Context<'_>) -> Outcome {
    let mut txn = Txn::new(db, context.uuids);
    let mut results = Vec::with_capacity(operations.len());
    for (at, operation) in operations.iter().enumerate() {
        let result = txn.operate(operation, at + 1, operations.len(), context);
        context.rows_seen = txn.rows_seen;
        match result {
            Ok(result) => results.push(result),
            Err(Stop::Wait(until)) => return Outcome::Wait(until),
            Err(Stop::Error(error)) => {
                results.push(error.to_json());
                results.resize(operations.len(), Json::Null);
                return Outcome::Done(Json::Array(results), None);
            }
        }
    }
    match txn.commit(context.uuids) {
        Ok(commit) => Outcome::Done(Json::Array(results), Some(commit)),
        Err(error) => {
            results.push(error.to_json());
            Outcome::Done(Json::Array(results), None)
        }
    }
}

/// A transaction that a program writes rather than a client: rows set and deleted by number, then checked as any other.
pub struct Draw<'a>(Txn<'a>);

impl<'a> Draw<'a> {
    pub fn new(db: &'a Database, uuids: &mut Source) -> Draw<'a> {
        Draw(Txn::new(db, uuids))
    }

    /// Makes `row` the row of that UUID, new or old.
    pub fn put(&mut self, table: usize, row: Row) {
        let uuid = row.uuid;
        let old = self.0.db.row(table, uuid).cloned();
        let new = Some(Arc::new(row));
        self.0.drafts[table].entry(uuid).and_modify(|draft| draft.new = new.clone()).or_insert(Draft { old, new });
    }

    pub fn get(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        self.0.get(table, uuid)
    }

    pub fn delete(&mut self, table: usize, uuid: Uuid) {
        self.0.delete(table, uuid);
    }

    /// What it changes, when all constraints hold.
    pub fn commit(self, uuids: &mut Source) -> Result<Commit, Error> {
        self.0.commit(uuids)
    }

    /// What it changes, unchecked: of a file that was checked when it was written.
    pub fn changes(self) -> Vec<Change> {
        self.0.changes()
    }
}
