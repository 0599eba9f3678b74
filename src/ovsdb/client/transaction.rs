//! Transactions of a client: written against the rows that it has, refused when those have changed meanwhile.

use crate::data::Datum;
use crate::json::{Json, Object};
use crate::table::{Database, Row};
use crate::uuid::Uuid;
use std::sync::Arc;

/// A transaction that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is made; the results of its operations.
    Committed(Vec<Json>),
    /// Rows that it was written against have changed: nothing was done, try again with the rows as they are now.
    Conflict,
    /// Refused, in the server's words.
    Refused(String),
    /// The connection was lost before the answer came: it may have been made or not.
    Unknown,
}

impl Outcome {
    pub(super) fn of(answer: Result<&Json, &Json>) -> Outcome {
        let results = match answer {
            Ok(result) => result.as_array().unwrap_or_default(),
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let failed = results.iter().find_map(|r| Some((r.get("error")?.as_str()?, r.get("details"))));
        match failed {
            None => Outcome::Committed(results.to_vec()),
            // a `wait` that nobody waits for: what it looked for is not so
            Some(("timed out", _)) => Outcome::Conflict,
            Some((error, details)) => {
                let details = details.and_then(Json::as_str).unwrap_or_default();
                Outcome::Refused(format!("{error}: {details}"))
            }
        }
    }
}

/// Operations, made all or none.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    operations: Vec<Json>,
    /// Operations that change something.
    changes: usize,
}

fn by_uuid(uuid: Uuid) -> Json {
    let named = Json::pair("uuid", uuid.to_string());
    Json::Array(vec![Json::Array(vec!["_uuid".into(), "==".into(), named])])
}

fn cells(cells: &[(&str, Json)]) -> Json {
    Json::Object(cells.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect())
}

impl Transaction {
    pub fn new() -> Transaction {
        Transaction::default()
    }

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// How many changes it has.
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// It is only made if these columns of the row are still as `row` has them.
    pub fn verify(&mut self, db: &Database, table: &str, row: &Row, columns: &[&str]) {
        let Some(schema) = db.table(table).map(|t| &t.schema) else { return };
        let known: Vec<(Arc<str>, usize)> =
            columns.iter().filter_map(|c| schema.column(c).map(|n| (schema.columns[n].name.clone(), n))).collect();
        let values: Object =
            known.iter().map(|(name, n)| (name.clone(), row.columns[*n].to_json_as(&schema.columns[*n].ty))).collect();
        let names = known.into_iter().map(|(name, _)| Json::Str(name)).collect();
        self.operations.push(Json::object([
            ("op", "wait".into()),
            ("timeout", Json::Int(0)),
            ("table", table.into()),
            ("where", by_uuid(row.uuid)),
            ("columns", Json::Array(names)),
            ("until", "==".into()),
            ("rows", Json::Array(vec![Json::Object(values)])),
        ]));
    }

    /// Sets columns of a row; of one that is gone, nothing.
    pub fn update(&mut self, table: &str, uuid: Uuid, values: &[(&str, Json)]) {
        self.changes += 1;
        self.operations.push(Json::object([
            ("op", "update".into()),
            ("table", table.into()),
            ("where", by_uuid(uuid)),
            ("row", cells(values)),
        ]));
    }

    /// Sets those columns of a row that differ from what they are to be.
    pub fn set(&mut self, db: &Database, table: &str, row: &Row, values: &[(&str, Datum)]) {
        let Some(schema) = db.table(table).map(|t| &t.schema) else { return };
        let differ = values.iter().filter_map(|(name, datum)| {
            let n = schema.column(name)?;
            (row.columns[n] != *datum).then(|| (*name, datum.to_json_as(&schema.columns[n].ty)))
        });
        let differ: Vec<(&str, Json)> = differ.collect();
        if !differ.is_empty() {
            self.update(table, row.uuid, &differ);
        }
    }

    /// A new row; `name` stands for it in this transaction, see [`Transaction::named`].
    pub fn insert(&mut self, table: &str, name: &str, values: &[(&str, Json)]) {
        self.changes += 1;
        self.operations.push(Json::object([
            ("op", "insert".into()),
            ("table", table.into()),
            ("uuid-name", name.into()),
            ("row", cells(values)),
        ]));
    }

    /// The row that is or will be inserted under a name.
    pub fn named(name: &str) -> Json {
        Json::pair("named-uuid", name)
    }

    /// Adds members to a column, or takes them away.
    pub fn mutate(&mut self, table: &str, uuid: Uuid, column: &str, mutator: &str, value: Json) {
        self.changes += 1;
        let mutation = Json::Array(vec![column.into(), mutator.into(), value]);
        self.operations.push(Json::object([
            ("op", "mutate".into()),
            ("table", table.into()),
            ("where", by_uuid(uuid)),
            ("mutations", Json::Array(vec![mutation])),
        ]));
    }

    /// Takes a row away.
    pub fn delete(&mut self, table: &str, uuid: Uuid) {
        self.changes += 1;
        self.operations.push(Json::object([
            ("op", "delete".into()),
            ("table", table.into()),
            ("where", by_uuid(uuid)),
        ]));
    }

    /// What the server keeps beside it.
    pub fn comment(&mut self, text: &str) {
        self.operations.push(Json::object([("op", "comment".into()), ("comment", text.into())]));
    }

    /// The operations, as a server's database runs them.
    pub fn operations(&self) -> &[Json] {
        &self.operations
    }

    pub(super) fn into_params(self, database: &str) -> Json {
        let mut params = vec![Json::from(database)];
        params.extend(self.operations);
        Json::Array(params)
    }
}
