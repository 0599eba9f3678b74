//! The commands that any database has: list, find, get, set, add, remove, clear, create, destroy, wait-until, comment.

use super::names::{self, column_name, column_type};
use super::text::{self, Ends, Operator};
use super::{Command, Context, Given, Needs, Stop};
use crate::table::{Cell, Table};
use ovsdb::Uuid;
use ovsdb::data::{Atom, Datum, Type};
use ovsdb::table::{Row, UUID};
use std::cmp::Ordering;

const ANY: usize = usize::MAX;

pub(super) const COMMANDS: [Command; 11] = [
    Command {
        name: "list",
        least: 1,
        most: ANY,
        arguments: "!TABLE *RECORD",
        options: &["--if-exists", "--columns="],
        needs: needs_list,
        run: list,
    },
    Command {
        name: "find",
        least: 1,
        most: ANY,
        arguments: "!TABLE *COLUMN?:KEY=VALUE",
        options: &["--columns="],
        needs: needs_find,
        run: find,
    },
    Command {
        name: "get",
        least: 2,
        most: ANY,
        arguments: "!TABLE !RECORD *COLUMN?:KEY",
        options: &["--if-exists", "--id="],
        needs: needs_record,
        run: get,
    },
    Command {
        name: "set",
        least: 3,
        most: ANY,
        arguments: "!TABLE !RECORD +COLUMN?:KEY=VALUE",
        options: &["--if-exists"],
        needs: needs_record,
        run: set,
    },
    Command {
        name: "add",
        least: 4,
        most: ANY,
        arguments: "!TABLE !RECORD !COLUMN +?KEY=VALUE",
        options: &["--if-exists"],
        needs: needs_one_column,
        run: add,
    },
    Command {
        name: "remove",
        least: 4,
        most: ANY,
        arguments: "!TABLE !RECORD !COLUMN +KEY|VALUE|KEY=VALUE",
        options: &["--if-exists"],
        needs: needs_one_column,
        run: remove,
    },
    Command {
        name: "clear",
        least: 3,
        most: ANY,
        arguments: "!TABLE !RECORD +COLUMN",
        options: &["--if-exists"],
        needs: needs_record,
        run: clear,
    },
    Command {
        name: "create",
        least: 2,
        most: ANY,
        arguments: "!TABLE +COLUMN?:KEY=VALUE",
        options: &["--id="],
        needs: needs_create,
        run: create,
    },
    Command {
        name: "destroy",
        least: 1,
        most: ANY,
        arguments: "!TABLE *RECORD",
        options: &["--if-exists", "--all"],
        needs: needs_rows,
        run: destroy,
    },
    Command {
        name: "wait-until",
        least: 2,
        most: ANY,
        arguments: "!TABLE !RECORD *COLUMN?:KEY=VALUE",
        options: &[],
        needs: needs_record,
        run: wait_until,
    },
    Command {
        name: "comment",
        least: 0,
        most: ANY,
        arguments: "*ARG",
        options: &[],
        needs: |_, _| Ok(()),
        run: |_, _| Ok(()),
    },
];

// ---- which rows ----

fn needs_rows(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    let table = names::table(needs.schema, given.argument(0))?;
    needs.ids(table);
    Ok(())
}

/// The columns that are listed.
fn listed(schema: &ovsdb::data::TableSchema, given: &Given) -> Result<Vec<usize>, String> {
    match given.value("--columns") {
        Some(text) => {
            let words = text.split([',', ' ']).filter(|word| !word.is_empty());
            words.map(|word| names::column(schema, word)).collect()
        }
        None => Ok(std::iter::once(UUID).chain(0..schema.columns.len()).collect()),
    }
}

fn needs_list(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    let table = names::table(needs.schema, given.argument(0))?;
    needs.ids(table);
    let columns = listed(&needs.schema.tables[table], given)?;
    columns.into_iter().for_each(|column| needs.column(table, column));
    Ok(())
}

fn needs_find(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    needs_list(needs, given)?;
    needs_arguments(needs, given, 1)
}

/// Columns that arguments begin with; what is wrong with one is told when the command runs.
fn needs_arguments(needs: &mut Needs<'_>, given: &Given, from: usize) -> Result<(), String> {
    let table = names::table(needs.schema, given.argument(0))?;
    for argument in given.arguments.iter().skip(from) {
        let end = argument.find([':', '=', '!', '<', '>', '{']).unwrap_or(argument.len());
        if let Ok(column) = names::column(&needs.schema.tables[table], argument[..end].trim_matches('"')) {
            needs.column(table, column);
        }
    }
    Ok(())
}

fn needs_record(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    needs_rows(needs, given)?;
    needs_arguments(needs, given, 2)
}

fn needs_one_column(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    needs_rows(needs, given)?;
    let table = names::table(needs.schema, given.argument(0))?;
    let column = names::column(&needs.schema.tables[table], given.argument(2))?;
    needs.column(table, column);
    Ok(())
}

fn needs_create(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    needs_rows(needs, given)
}

// ---- helpers ----

/// The table, and the row that a record names; none where it may be missing.
fn record(context: &Context<'_>, given: &Given, record: &str) -> Result<(usize, Option<Uuid>), Stop> {
    let table = names::table(context.state.schema(), given.argument(0))?;
    let row = names::row(&context.state, context.tool.ids, table, record, &context.symbols)?;
    match row {
        Some(row) => Ok((table, Some(row.uuid))),
        None if given.has("--if-exists") => Ok((table, None)),
        None => {
            let name = &context.state.table_schema(table).name;
            Err(Stop::Fatal(format!("no row \"{record}\" in table {name}")))
        }
    }
}

fn value(context: &Context<'_>, table: usize, uuid: Uuid, column: usize) -> Datum {
    context.state.get(table, uuid).map_or(Datum::Empty, |row| row.column(column))
}

/// Whether a column of the row may be written.
fn check_writable(context: &Context<'_>, table: usize, uuid: Uuid, column: usize) -> Result<(), String> {
    let schema = context.state.table_schema(table);
    let writable = schema.columns.get(column).is_some_and(|c| c.mutable || context.state.is_new(table, uuid));
    match writable {
        true => Ok(()),
        false => {
            Err(format!("cannot modify read-only column {} in table {}", column_name(schema, column), schema.name))
        }
    }
}

/// `COLUMN[:KEY]=VALUE` on a row.
pub(super) fn assign(context: &mut Context<'_>, table: usize, uuid: Uuid, argument: &str) -> Result<(), String> {
    let parsed = text::argument(argument, Ends::Assignment)?;
    let schema = context.state.table_schema(table).clone();
    let column = names::column(&schema, &parsed.column)?;
    check_writable(context, table, uuid, column)?;
    let ty = &schema.columns[column].ty;
    let Some((_, text)) = parsed.value else { return Ok(()) };
    if parsed.key.is_none() {
        let datum = text::datum(ty, text, &mut context.symbols)?;
        context.state.set(table, uuid, column, datum);
        return Ok(());
    }
    let Some(base) = &ty.value else {
        return Err(format!("cannot specify key to set for non-map column {}", schema.columns[column].name));
    };
    let Some(key) = parsed.key(&ty.key, &mut context.symbols)? else { return Ok(()) };
    let of_key = text::whole_value(base, text, &mut context.symbols)?;
    let old = value(context, table, uuid, column);
    let new = old.subtract(&Datum::One(key.clone())).union(&Datum::map(vec![(key, of_key)]));
    context.state.change(table, uuid, column, new);
    Ok(())
}

fn rows_table<'r>(schema: &ovsdb::data::TableSchema, columns: &[usize], rows: impl Iterator<Item = &'r Row>) -> Table {
    let mut table = Table::new(columns.iter().map(|&c| column_name(schema, c)));
    for row in rows {
        let cell = |&c: &usize| Cell::Data(row.column(c), Box::new(column_type(schema, c)));
        table.rows.push(columns.iter().map(cell).collect());
    }
    table
}

// ---- commands ----

fn list(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let table = names::table(context.state.schema(), given.argument(0))?;
    let schema = context.state.table_schema(table);
    let columns = listed(schema, given)?;
    let mut rows = Vec::new();
    for name in &given.arguments[1..] {
        if let (_, Some(uuid)) = record(context, given, name)? {
            rows.extend(context.state.get(table, uuid));
        }
    }
    if given.arguments.len() == 1 {
        rows = context.state.sorted_rows(table);
    }
    context.table = Some(rows_table(schema, &columns, rows.into_iter()));
    Ok(())
}

fn find(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let table = names::table(context.state.schema(), given.argument(0))?;
    let schema = context.state.table_schema(table).clone();
    let columns = listed(&schema, given)?;
    let uuids: Vec<Uuid> = context.state.sorted_rows(table).iter().map(|row| row.uuid).collect();
    let mut found = Vec::new();
    for uuid in uuids {
        if meets(context, table, uuid, &given.arguments[1..])? {
            found.push(uuid);
        }
    }
    let rows = found.iter().filter_map(|uuid| context.state.get(table, *uuid));
    context.table = Some(rows_table(&schema, &columns, rows));
    Ok(())
}

fn get(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    if given.has("--if-exists") && given.has("--id") {
        return Err(Stop::Fatal("--if-exists and --id may not be specified together".into()));
    }
    let name = given.argument(1);
    let (table, Some(uuid)) = record(context, given, name)? else { return Ok(()) };
    if let Some(id) = given.value("--id") {
        let symbol = context.symbols.create(id)?;
        // the row is there, whoever refers to it
        (symbol.uuid, symbol.strong) = (uuid, true);
    }
    let schema = context.state.table_schema(table).clone();
    for argument in &given.arguments[2..] {
        let parsed = text::argument(argument, Ends::Column)?;
        let column = names::column(&schema, &parsed.column)?;
        let (datum, ty) = (value(context, table, uuid, column), column_type(&schema, column));
        if parsed.key.is_none() {
            let text = ovsdb::data::text::datum_as(&datum, &ty);
            context.line(&text);
            continue;
        }
        let column = column_name(&schema, column);
        if !ty.is_map() {
            return Err(Stop::Fatal(format!("cannot specify key to get for non-map column {column}")));
        }
        let Some(key) = parsed.key(&ty.key, &mut context.symbols)? else { continue };
        match datum.value(&key) {
            Some(atom) => {
                let text = ovsdb::data::text::atom(atom);
                context.line(&text);
            }
            None if given.has("--if-exists") => context.line(""),
            None => {
                let key = parsed.key.as_ref().map_or("", |(key, _)| key);
                let text = format!("no key \"{key}\" in {} record \"{name}\" column {column}", schema.name);
                return Err(Stop::Fatal(text));
            }
        }
    }
    Ok(())
}

/// What the arrangement of bridges takes from a row.
fn layout(context: &Context<'_>, table: usize, uuid: Uuid) -> Vec<Datum> {
    let schema = context.state.table_schema(table);
    let columns = super::vswitch::layout_columns(&schema.name).iter().filter_map(|name| schema.column(name));
    let row = context.state.get(table, uuid);
    columns.filter_map(|column| row.map(|row| row.columns[column].clone())).collect()
}

/// The arrangement of bridges stays known unless a change of that row touched it.
fn keep_bridges(context: &mut Context<'_>, table: usize, uuid: Uuid, before: &[Datum]) {
    if layout(context, table, uuid) != before {
        context.bridges = None;
    }
}

fn set(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, Some(uuid)) = record(context, given, given.argument(1))? else { return Ok(()) };
    let before = layout(context, table, uuid);
    for argument in &given.arguments[2..] {
        assign(context, table, uuid, argument)?;
    }
    keep_bridges(context, table, uuid, &before);
    Ok(())
}

/// A column that members are added to or taken from, with any number of them allowed.
fn members(context: &Context<'_>, table: usize, uuid: Uuid, name: &str) -> Result<(usize, Type), String> {
    let schema = context.state.table_schema(table);
    let column = names::column(schema, name)?;
    check_writable(context, table, uuid, column)?;
    let mut ty = schema.columns[column].ty.clone();
    (ty.min, ty.max) = (0, u32::MAX);
    Ok((column, ty))
}

/// Writes a column after `verb` when it has as many members then as it may have.
fn put_members(
    context: &mut Context<'_>,
    verb: &str,
    (table, uuid, column): (usize, Uuid, usize),
    datum: Datum,
) -> Result<(), Stop> {
    let schema = context.state.table_schema(table);
    let ty = &schema.columns[column].ty;
    let beyond = match datum.len() {
        // at the end of a run the server says so, as to any change that nothing else relies on
        n if n > ty.max as usize => (!context.last || verb != "add").then_some(("maximum", ty.max)),
        n if n < ty.min as usize => Some(("minimum", ty.min)),
        _ => None,
    };
    if let Some((which, number)) = beyond {
        return Err(Stop::Fatal(format!(
            "\"{verb}\" operation would put {} {} in column {} of table {} but the {which} number is {number}",
            datum.len(),
            if ty.is_map() { "pairs" } else { "values" },
            schema.columns[column].name,
            schema.name,
        )));
    }
    let before = layout(context, table, uuid);
    context.state.change(table, uuid, column, datum);
    keep_bridges(context, table, uuid, &before);
    Ok(())
}

fn add(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, Some(uuid)) = record(context, given, given.argument(1))? else { return Ok(()) };
    let (column, any) = members(context, table, uuid, given.argument(2))?;
    let mut datum = value(context, table, uuid, column);
    for argument in &given.arguments[3..] {
        let more = text::datum(&any, argument, &mut context.symbols)?;
        datum = datum.union(&more);
    }
    put_members(context, "add", (table, uuid, column), datum)
}

fn remove(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, Some(uuid)) = record(context, given, given.argument(1))? else { return Ok(()) };
    let (column, any) = members(context, table, uuid, given.argument(2))?;
    let mut datum = value(context, table, uuid, column);
    for argument in &given.arguments[3..] {
        let gone = match text::datum(&any, argument, &mut context.symbols) {
            Err(_) if any.is_map() => {
                let keys = Type { value: None, ..any.clone() };
                text::datum(&keys, argument, &mut context.symbols)?
            }
            other => other?,
        };
        datum = datum.subtract(&gone);
    }
    put_members(context, "remove", (table, uuid, column), datum)
}

fn clear(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, Some(uuid)) = record(context, given, given.argument(1))? else { return Ok(()) };
    let schema = context.state.table_schema(table).clone();
    for name in &given.arguments[2..] {
        let column = names::column(&schema, name)?;
        check_writable(context, table, uuid, column)?;
        if schema.columns[column].ty.min > 0 {
            return Err(Stop::Fatal(format!(
                "\"clear\" operation cannot be applied to column {} of table {}, which is not allowed to be empty",
                schema.columns[column].name, schema.name
            )));
        }
        context.state.set(table, uuid, column, Datum::Empty);
    }
    context.bridges = None;
    Ok(())
}

fn create(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let table = names::table(context.state.schema(), given.argument(0))?;
    let schema = context.state.table_schema(table).clone();
    let uuid = match given.value("--id") {
        None => {
            if !schema.is_root {
                log::warn!(
                    target: "db_ctl_base",
                    "applying \"create\" command to table {} without --id option will have no effect", schema.name
                );
            }
            context.state.insert(table)
        }
        Some(id) => match Uuid::parse(id) {
            Some(uuid) => {
                if context.state.get(table, uuid).is_some() {
                    return Err(Stop::Fatal(format!("a row with UUID {uuid} exists in table {}", schema.name)));
                }
                context.state.insert_as(table, uuid, true);
                uuid
            }
            None => {
                let uuid = context.symbols.create(id)?.uuid;
                context.state.insert_as(table, uuid, false);
                uuid
            }
        },
    };
    for argument in &given.arguments[1..] {
        assign(context, table, uuid, argument)?;
    }
    context.line(&uuid.to_string());
    context.bridges = None;
    Ok(())
}

fn destroy(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let table = names::table(context.state.schema(), given.argument(0))?;
    let records = &given.arguments[1..];
    match (given.has("--all"), records.is_empty()) {
        (true, false) => {
            return Err(Stop::Fatal("--all and records argument should not be specified together".into()));
        }
        (true, true) if given.has("--if-exists") => {
            return Err(Stop::Fatal("--all and --if-exists should not be specified together".into()));
        }
        (true, true) => {
            let all: Vec<Uuid> = context.state.rows(table).map(|row| row.uuid).collect();
            all.into_iter().for_each(|uuid| context.state.delete(table, uuid));
        }
        (false, true) => log::warn!(target: "db_ctl_base", "either --all or records argument should be specified"),
        (false, false) => {
            for name in records {
                if let (_, Some(uuid)) = record(context, given, name)? {
                    context.state.delete(table, uuid);
                }
            }
        }
    }
    context.bridges = None;
    Ok(())
}

fn wait_until(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let table = names::table(context.state.schema(), given.argument(0))?;
    let row = names::row(&context.state, context.tool.ids, table, given.argument(1), &context.symbols)?;
    let uuid = row.map(|row| row.uuid);
    // what is wrong with a condition is wrong before there is a row
    let schema = context.state.table_schema(table);
    for argument in &given.arguments[2..] {
        names::column(schema, &text::argument(argument, Ends::Condition)?.column)?;
    }
    let Some(uuid) = uuid else { return Err(Stop::Again) };
    if meets(context, table, uuid, &given.arguments[2..])? { Ok(()) } else { Err(Stop::Again) }
}

// ---- conditions ----

fn meets(context: &mut Context<'_>, table: usize, uuid: Uuid, conditions: &[String]) -> Result<bool, String> {
    for condition in conditions {
        if !meets_one(context, table, uuid, condition)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn meets_one(context: &mut Context<'_>, table: usize, uuid: Uuid, condition: &str) -> Result<bool, String> {
    let parsed = text::argument(condition, Ends::Condition)?;
    let schema = context.state.table_schema(table).clone();
    let column = names::column(&schema, &parsed.column)?;
    let Some((operator, text)) = parsed.value else { return Ok(true) };
    let (mut ty, mut datum) = (column_type(&schema, column), value(context, table, uuid, column));
    if parsed.key.is_some() {
        let Some(base) = ty.value.take() else {
            let name = column_name(&schema, column);
            return Err(format!("cannot specify key to check for non-map column {name}"));
        };
        let Some(key) = parsed.key(&ty.key, &mut context.symbols)? else { return Ok(false) };
        datum = datum.value(&key).cloned().map_or(Datum::Empty, Datum::One);
        ty = Type { key: base, value: None, min: 1, max: 1 };
        if !operator.is_of_sets() && datum.is_empty() {
            return Ok(false);
        }
    }
    if operator.is_of_sets() {
        (ty.min, ty.max) = (0, u32::MAX);
    }
    let wanted = match parsed.key.is_some() && !operator.is_of_sets() {
        true => Datum::One(text::whole_value(&ty.key, text, &mut context.symbols)?),
        false => text::datum(&ty, text, &mut context.symbols)?,
    };
    Ok(holds(operator, &datum, &wanted))
}

/// More members are more; of as many, the first that differs decides, keys before values.
fn order(a: &Datum, b: &Datum) -> Ordering {
    let values = |d: &Datum| d.pairs().iter().map(|(_, value)| value.clone()).collect::<Vec<Atom>>();
    a.len().cmp(&b.len()).then_with(|| a.keys().cmp(b.keys())).then_with(|| values(a).cmp(&values(b)))
}

fn holds(operator: Operator, a: &Datum, b: &Datum) -> bool {
    match operator {
        Operator::Equal | Operator::SetEqual => a == b,
        Operator::NotEqual | Operator::SetNotEqual => a != b,
        Operator::Less => order(a, b).is_lt(),
        Operator::Greater => order(a, b).is_gt(),
        Operator::LessOrEqual => order(a, b).is_le(),
        Operator::GreaterOrEqual => order(a, b).is_ge(),
        Operator::Subset | Operator::In => b.includes(a),
        Operator::ProperSubset => b.includes(a) && a != b,
        Operator::Superset => a.includes(b),
        Operator::ProperSuperset => a.includes(b) && a != b,
        Operator::NotIn => a.excludes(b),
    }
}
