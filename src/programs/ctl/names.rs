//! Tables, columns and rows by the names that people give them: in any case, `-` for `_`, no longer than needed.

use super::state::State;
use super::{RowIds, Symbols};
use ovsdb::Uuid;
use ovsdb::data::{Atom, AtomKind, Schema, TableSchema, Type};
use ovsdb::table::{Row, UUID, VERSION};

fn plain(name: &str) -> String {
    name.replace('-', "_").to_ascii_lowercase()
}

/// The one that is meant: the same name, or the only one that begins so. Otherwise those that begin so.
fn pick<'n>(names: impl Iterator<Item = (usize, &'n str)>, wanted: &str) -> Result<usize, Vec<&'n str>> {
    let wanted = plain(wanted);
    let mut near = Vec::new();
    for (number, name) in names {
        let name_plain = plain(name);
        if name_plain == wanted {
            return Ok(number);
        }
        if name_plain.starts_with(&wanted) {
            near.push((number, name));
        }
    }
    match near[..] {
        [(only, _)] => Ok(only),
        _ => Err(near.into_iter().map(|(_, name)| name).collect()),
    }
}

pub(super) fn table(schema: &Schema, name: &str) -> Result<usize, String> {
    pick(schema.tables.iter().enumerate().map(|(at, t)| (at, &*t.name)), name).map_err(|near| match near[..] {
        [] => format!("unknown table \"{name}\""),
        _ => format!("\"{name}\" matches multiple table names: {}", near.join(", ")),
    })
}

/// A column, `_uuid` and `_version` too.
pub(super) fn column(schema: &TableSchema, name: &str) -> Result<usize, String> {
    let own = schema.columns.iter().enumerate().map(|(at, c)| (at, &*c.name));
    pick(own.chain([(UUID, "_uuid"), (VERSION, "_version")]), name).map_err(|near| match near[..] {
        [] => format!("{} does not contain a column whose name matches \"{name}\"", schema.name),
        _ => {
            format!("{} contains more than one column whose name matches \"{name}\": {}", schema.name, near.join(", "))
        }
    })
}

pub(super) fn column_name(schema: &TableSchema, column: usize) -> &str {
    match column {
        UUID => "_uuid",
        VERSION => "_version",
        other => &schema.columns[other].name,
    }
}

pub(super) fn column_type(schema: &TableSchema, column: usize) -> Type {
    match column {
        UUID | VERSION => Type::scalar(AtomKind::Uuid),
        other => schema.columns[other].ty.clone(),
    }
}

/// The ways to name rows of a table, beside UUIDs.
pub(super) fn ids<'i>(all: &'i [RowIds], table: &str) -> impl Iterator<Item = &'i RowIds> {
    let table = table.to_owned();
    all.iter().filter(move |ids| ids.table == table)
}

/// The row that `record` names.
pub(super) fn row<'s>(
    state: &'s State<'_>,
    all: &[RowIds],
    table: usize,
    record: &str,
    symbols: &Symbols,
) -> Result<Option<&'s Row>, String> {
    let schema = state.table_schema(table);
    if let Some(row) = Uuid::parse(record).and_then(|uuid| state.get(table, uuid)) {
        return Ok(Some(row));
    }
    if let Some(row) = symbols.get(record).and_then(|symbol| state.get(table, symbol.uuid)) {
        return Ok(Some(row));
    }
    let several = || format!("multiple rows in {} match \"{record}\"", schema.name);
    for ids in ids(all, &schema.name) {
        let Some(name) = ids.name else {
            // the only row
            if record == "." {
                let mut rows = state.rows(table);
                if let (Some(row), None) = (rows.next(), rows.next()) {
                    return Ok(Some(row));
                }
            }
            continue;
        };
        let (from, via) = match ids.via {
            None => (table, None),
            Some((other, column)) => match state.schema().table(other) {
                Some(number) => (number, Some(column)),
                None => continue,
            },
        };
        let Some(name) = state.table_schema(from).column(name) else { continue };
        let mut found = state.rows_named(from, name, record);
        if let Some(column) = via {
            let Some(column) = state.table_schema(from).column(column) else { continue };
            let to = found.iter().flat_map(|row| row.columns[column].atoms()).filter_map(Atom::uuid);
            found = to.filter_map(|uuid| state.get(table, uuid)).collect();
        }
        match found[..] {
            [] => {}
            [one] => return Ok(Some(one)),
            _ => return Err(several()),
        }
    }
    // the beginning of a UUID
    if record.len() >= 4 && record.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        let mut found = state.rows(table).filter(|row| row.uuid.to_string().starts_with(record));
        match (found.next(), found.next()) {
            (Some(row), None) => return Ok(Some(row)),
            (Some(_), Some(_)) => return Err(several()),
            _ => {}
        }
    }
    Ok(None)
}
