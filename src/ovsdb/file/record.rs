//! Transaction records: what a commit changes, in the form of ovsdb(5). Like the stock server since 2.17 we write for a row
//! that is modified how its columns differ, `"_is_diff": true`.

use crate::data::{Datum, TableSchema};
use crate::error::Error;
use crate::json::{Json, Object};
use crate::table::{Change, Database, Row};
use crate::txn::{Commit, Draw};
use crate::uuid::{Source, Uuid};
use std::sync::Arc;

/// What an inserted row has beyond defaults.
fn full_row(schema: &TableSchema, row: &Row) -> Json {
    let cells = schema.columns.iter().zip(&row.columns).filter(|(c, datum)| c.persistent && !c.ty.is_default(datum));
    Json::Object(cells.map(|(c, datum)| (c.name.clone(), datum.to_json_as(&c.ty))).collect())
}

/// The record of a commit; none when it changes nothing that is kept.
pub fn record_json(db: &Database, commit: &Commit, date_ms: i64) -> Option<Json> {
    let mut tables: Vec<Object> = db.tables.iter().map(|_| Object::new()).collect();
    let mut is_diff = false;
    for change in &commit.changes {
        let schema = &db.tables[change.table].schema;
        let json = match (&change.old, &change.new) {
            (_, None) => Json::Null,
            (None, Some(new)) => full_row(schema, new),
            (Some(old), Some(new)) => {
                let columns = change.columns().filter(|&c| schema.columns[c].persistent);
                let cell = |c: usize| {
                    let column = &schema.columns[c];
                    let diff = old.columns[c].diff(&new.columns[c], &column.ty);
                    (column.name.clone(), diff.to_json_as(&column.ty))
                };
                let cells: Object = columns.map(cell).collect();
                if cells.is_empty() {
                    continue;
                }
                is_diff = true;
                Json::Object(cells)
            }
        };
        tables[change.table].insert(Arc::from(change.uuid.to_string()), json);
    }
    let named = db.tables.iter().zip(tables).filter(|(_, rows)| !rows.is_empty());
    let mut record: Object = named.map(|(table, rows)| (table.schema.name.clone(), Json::Object(rows))).collect();
    if record.is_empty() && commit.comment.is_empty() {
        return None;
    }
    if record.is_empty() && commit.changes.is_empty() {
        // a comment on nothing
        return None;
    }
    record.insert(Arc::from("_date"), Json::Int(date_ms));
    if !commit.comment.is_empty() {
        record.insert(Arc::from("_comment"), Json::from(commit.comment.as_str()));
    }
    if is_diff {
        record.insert(Arc::from("_is_diff"), Json::Bool(true));
    }
    Some(Json::Object(record))
}

/// All rows, as one record that inserts them.
pub fn rows_json(db: &Database) -> Object {
    let tables = db.tables.iter().filter(|table| !table.is_empty());
    let rows = |table: &crate::table::Table| {
        let row = |row: &Arc<Row>| (Arc::from(row.uuid.to_string()), full_row(&table.schema, row));
        Json::Object(table.rows().map(row).collect())
    };
    tables.map(|table| (table.schema.name.clone(), rows(table))).collect()
}

/// What a record changes. References are not checked: they were when it was written.
pub(super) fn changes(db: &Database, json: &Json, uuids: &mut Source) -> Result<Vec<Change>, Error> {
    let object = json.as_object().ok_or_else(|| Error::syntax(json, "object expected"))?;
    let is_diff = object.get("_is_diff").and_then(Json::as_bool).unwrap_or(false);
    let mut draw = Draw::new(db, uuids);
    for (name, rows) in object {
        if name.starts_with('_') {
            continue;
        }
        let unknown = || Error::new("unknown table", format!("No table named {name}.")).at(json);
        let table = db.schema.table(name).ok_or_else(unknown)?;
        let rows = rows.as_object().ok_or_else(|| Error::syntax(rows, "object expected"))?;
        for (uuid, cells) in rows {
            let bad = || Error::syntax(cells, format!("\"{uuid}\" is not a valid UUID"));
            let uuid = Uuid::parse(uuid).ok_or_else(bad)?;
            match cells {
                Json::Null if draw.get(table, uuid).is_none() => {
                    let text = format!("attempting to delete nonexistent row {uuid}");
                    return Err(Error::new("ovsdb error", text));
                }
                Json::Null => draw.delete(table, uuid),
                cells => {
                    let schema = &db.tables[table].schema;
                    let row = changed_row(schema, draw.get(table, uuid), uuid, cells, is_diff)?;
                    draw.put(table, Row { version: uuids.uuid(), ..row });
                }
            }
        }
    }
    Ok(draw.changes())
}

/// The row that cells make of `old`, or of defaults; differences where `is_diff` and there is an old one.
pub fn changed_row(
    schema: &TableSchema,
    old: Option<&Arc<Row>>,
    uuid: Uuid,
    cells: &Json,
    is_diff: bool,
) -> Result<Row, Error> {
    let mut row = old.map_or_else(|| Row::new(schema, uuid), |row| Row::clone(row));
    let object = cells.as_object().ok_or_else(|| Error::syntax(cells, "row must be a JSON object"))?;
    for (name, value) in object {
        let unknown = || Error::new("unknown column", format!("No column {name} in table {}.", schema.name)).at(cells);
        let column = schema.column(name).ok_or_else(unknown)?;
        let ty = &schema.columns[column].ty;
        if is_diff && old.is_some() {
            // a difference may have more members than the column, or fewer
            let any =
                crate::data::Type { min: 0, max: if ty.max == 1 && !ty.is_map() { 1 } else { u32::MAX }, ..ty.clone() };
            let diff = Datum::from_json(&any, value, &mut ())?;
            let result = row.columns[column].apply_diff(&diff, ty);
            result.check_size(ty)?;
            row.columns[column] = result;
        } else {
            row.columns[column] = Datum::from_json(ty, value, &mut ())?;
        }
    }
    Ok(row)
}
