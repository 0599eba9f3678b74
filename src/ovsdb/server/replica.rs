//! A database that follows another server's: rows are taken as that server sends them, without checks of its own, because
//! tables may be left out.

use super::{Now, Server};
use crate::data::{Datum, TableSchema};
use crate::error::Error;
use crate::json::Json;
use crate::table::Row;
use crate::txn::{Commit, Draw};
use crate::uuid::{Source, Uuid};
use std::sync::Arc;

/// The row that an update leaves behind.
fn updated(
    schema: &TableSchema,
    old: Option<&Arc<Row>>,
    uuid: Uuid,
    new: &Json,
    uuids: &mut Source,
) -> Result<Row, Error> {
    let mut row = old.map_or_else(|| Row::new(schema, uuid), |row| Row::clone(row));
    row.version = uuids.uuid();
    let cells = new.as_object().ok_or_else(|| Error::syntax(new, "row must be JSON object"))?;
    for (name, value) in cells {
        // what the other server has more than this one is left out
        let Some(column) = schema.column(name) else { continue };
        row.columns[column] = Datum::from_json(&schema.columns[column].ty, value, &mut ())?;
    }
    Ok(row)
}

impl Server {
    /// The server's own name, by which one that follows itself is found out.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Takes `<table-updates>` of a `monitor` over. With `reset` they are all there is in `tables`.
    pub fn follow(&mut self, name: &str, updates: &Json, reset: Option<&[String]>, now: Now) -> Result<(), Error> {
        let Some(db) = self.databases.get(name).map(|hosted| &hosted.db) else { return Ok(()) };
        let mut draw = Draw::new(db, &mut self.uuids);
        for table in reset.unwrap_or_default() {
            let Some(number) = db.schema.table(table) else { continue };
            let uuids: Vec<Uuid> = db.tables[number].rows().map(|row| row.uuid).collect();
            uuids.into_iter().for_each(|uuid| draw.delete(number, uuid));
        }
        for (table, rows) in updates.as_object().into_iter().flatten() {
            let Some(number) = db.schema.table(table) else { continue };
            for (uuid, update) in rows.as_object().into_iter().flatten() {
                let bad = || Error::syntax(update, format!("\"{uuid}\" is not a valid UUID"));
                let uuid = Uuid::parse(uuid).ok_or_else(bad)?;
                match update.get("new") {
                    None => draw.delete(number, uuid),
                    Some(new) => {
                        let old = draw.get(number, uuid);
                        let row = updated(&db.tables[number].schema, old, uuid, new, &mut self.uuids)?;
                        draw.put(number, row);
                    }
                }
            }
        }
        let same = |c: &crate::table::Change| match (&c.old, &c.new) {
            (Some(old), Some(new)) => old.columns == new.columns,
            (None, None) => true,
            _ => false,
        };
        let changes = draw.changes().into_iter().filter(|c| !same(c)).collect();
        self.make(name, &Commit { changes, comment: String::new(), durable: false }, now);
        Ok(())
    }
}
