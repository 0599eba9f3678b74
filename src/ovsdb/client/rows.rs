//! What a server says of rows (`<table-updates>`, `<table-updates2>`) as changes of the rows that are there.

use crate::data::{Datum, TableSchema, Type};
use crate::error::Error;
use crate::json::Json;
use crate::table::{Change, Database, Row};
use crate::txn::Draw;
use crate::uuid::{Source, Uuid};
use std::collections::HashSet;

/// How rows are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 7047, 4.1.6: the new row, or none.
    Plain,
    /// ovsdb-server(7), 4.1.14: what is not default, or how it differs.
    Differences,
}

/// Sets cells; of columns that were not asked for nothing is said.
fn set(schema: &TableSchema, row: &mut Row, cells: &Json, differences: bool) -> Result<(), Error> {
    let cells = cells.as_object().ok_or_else(|| Error::syntax(cells, "row must be JSON object"))?;
    for (name, value) in cells {
        let Some(column) = schema.column(name) else { continue };
        let ty = &schema.columns[column].ty;
        row.columns[column] = if differences {
            // a difference may have more members than the column allows
            let max = if ty.max == 1 && !ty.is_map() { 1 } else { u32::MAX };
            let wide = Type { min: 0, max, ..ty.clone() };
            let result = row.columns[column].apply_diff(&Datum::from_json(&wide, value, &mut ())?, ty);
            result.check_size(ty)?;
            result
        } else {
            Datum::from_json(ty, value, &mut ())?
        };
    }
    Ok(())
}

/// The row that an update leaves; none when it is gone.
fn updated(
    schema: &TableSchema,
    old: Option<&Row>,
    uuid: Uuid,
    update: &Json,
    form: Form,
) -> Result<Option<Row>, Error> {
    let fresh = || Row::new(schema, uuid);
    match form {
        Form::Plain => {
            let Some(cells) = update.get("new") else { return Ok(None) };
            let mut row = old.cloned().unwrap_or_else(fresh);
            set(schema, &mut row, cells, false)?;
            Ok(Some(row))
        }
        Form::Differences => {
            if let Some(cells) = update.get("initial").or(update.get("insert")) {
                let mut row = fresh();
                set(schema, &mut row, cells, false)?;
                return Ok(Some(row));
            }
            if let Some(cells) = update.get("modify") {
                let old = old.ok_or_else(|| Error::syntax(update, format!("there is no row {uuid} to modify")))?;
                let mut row = old.clone();
                set(schema, &mut row, cells, true)?;
                return Ok(Some(row));
            }
            Ok(None)
        }
    }
}

/// The changes that `updates` come to. With `all`, rows of which it says nothing are gone.
pub(super) fn changes(
    db: &Database,
    updates: &Json,
    form: Form,
    all: bool,
    uuids: &mut Source,
) -> Result<Vec<Change>, Error> {
    let mut draw = Draw::new(db, uuids);
    let mut named = HashSet::new();
    let tables = updates.as_object().ok_or_else(|| Error::syntax(updates, "updates must be JSON object"))?;
    for (table, rows) in tables {
        let Some(number) = db.schema.table(table) else { continue };
        for (text, update) in rows.as_object().into_iter().flatten() {
            let uuid = Uuid::parse(text).ok_or_else(|| Error::syntax(update, format!("\"{text}\" is no UUID")))?;
            named.insert((number, uuid));
            let row = updated(&db.tables[number].schema, draw.get(number, uuid).map(|r| &**r), uuid, update, form)?;
            match row {
                Some(row) => draw.put(number, row),
                None => draw.delete(number, uuid),
            }
        }
    }
    if all {
        for (number, table) in db.tables.iter().enumerate() {
            let gone = table.rows().map(|row| row.uuid).filter(|uuid| !named.contains(&(number, *uuid)));
            gone.for_each(|uuid| draw.delete(number, uuid));
        }
    }
    let same = |c: &Change| match (&c.old, &c.new) {
        (Some(old), Some(new)) => old.columns == new.columns,
        (None, None) => true,
        _ => false,
    };
    Ok(draw.changes().into_iter().filter(|c| !same(c)).collect())
}
