//! `transact`, `query`, `dump`, `backup`, `restore`.

use super::{Call, Done, parse_json};
use crate::replay::wall_ms;
use crate::setup::print;
use crate::table::{Cell, Table};
use ovsdb::Json;
use ovsdb::data::{AtomKind, Datum, Schema, TableSchema, Type};
use ovsdb::file;
use ovsdb::json::Object;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

fn run(call: &mut Call<'_>, transaction: Json) -> Result<Json, String> {
    let id = call.rpc.send("transact", transaction).map_err(|e| format!("transaction failed ({e})"))?;
    call.ready();
    loop {
        match call.rpc.receive().map_err(|e| format!("transaction failed ({e})"))? {
            super::rpc::Message::Reply(got, result) if got == id => {
                return result.map_err(|e| format!("transaction returned error: {e}"));
            }
            _ => {}
        }
    }
}

pub(super) fn transact(mut call: Call<'_>) -> Done {
    let transaction = parse_json(&call.arguments[0])?;
    let result = run(&mut call, transaction)?;
    call.print_json(&result);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn query(mut call: Call<'_>) -> Done {
    let mut transaction = parse_json(&call.arguments[0])?;
    let Json::Array(operations) = &mut transaction else { return Err("not a valid OVSDB query".into()) };
    if operations.first().and_then(Json::as_str).is_none() {
        return Err("not a valid OVSDB query".into());
    }
    operations.push(Json::object([("op", "abort".into())]));
    let n = operations.len() - 1;
    let mut result = run(&mut call, transaction)?;
    if let Json::Array(results) = &mut result
        && results.len() == n
        && results.last().and_then(|r| r.get("error")).and_then(Json::as_str) == Some("aborted")
    {
        results.pop();
    }
    call.print_json(&result);
    Ok(ExitCode::SUCCESS)
}

fn select(table: &TableSchema, columns: &[String]) -> Json {
    Json::object([
        ("op", "select".into()),
        ("table", Json::Str(table.name.clone())),
        ("where", Json::Array(Vec::new())),
        ("columns", Json::Array(columns.iter().map(|c| Json::from(c.as_str())).collect())),
    ])
}

/// The rows of tables, one transaction for all.
fn read(call: &mut Call<'_>, wanted: &[(Arc<TableSchema>, Vec<String>)]) -> Result<Vec<Vec<Json>>, String> {
    let mut transaction = vec![Json::from(call.database.as_str())];
    transaction.extend(wanted.iter().map(|(table, columns)| select(table, columns)));
    let result = run(call, Json::Array(transaction))?;
    let results = result.as_array().unwrap_or_default();
    let mut all = Vec::new();
    for result in results.iter().take(wanted.len()) {
        let rows = result.get("rows").and_then(Json::as_array);
        all.push(rows.ok_or_else(|| format!("transaction returned error: {result}"))?.to_vec());
    }
    Ok(all)
}

fn column_type(table: &TableSchema, name: &str) -> Type {
    table.column(name).map_or(Type::scalar(AtomKind::Uuid), |c| table.columns[c].ty.clone())
}

pub(super) fn dump(mut call: Call<'_>) -> Done {
    let schema = call.schema()?;
    let mut wanted = Vec::new();
    match call.arguments.split_first() {
        None => {
            for table in &schema.tables {
                let own = table.columns.iter().map(|c| c.name.to_string());
                wanted.push((table.clone(), std::iter::once("_uuid".to_owned()).chain(own).collect()));
            }
        }
        Some((name, columns)) => {
            let number = schema.table(name).ok_or_else(|| format!("No table \"{name}\" found."))?;
            let table = schema.tables[number].clone();
            let mut columns = columns.to_vec();
            if let Some(bad) = columns.iter().find(|c| !c.starts_with('_') && table.column(c).is_none()) {
                return Err(format!("Table \"{name}\" has no column {bad}."));
            }
            if columns.is_empty() {
                columns.push("_uuid".into());
                columns.extend(table.columns.iter().map(|c| c.name.to_string()));
            }
            // `_uuid` comes before all letters
            columns.sort();
            columns.dedup();
            wanted.push((table, columns));
        }
    }
    let all = read(&mut call, &wanted)?;
    let mut first = true;
    for ((schema, columns), rows) in wanted.iter().zip(all) {
        let mut table = Table::new(columns.iter().map(String::as_str));
        table.caption = Some(format!("{} table", schema.name));
        let types: Vec<Type> = columns.iter().map(|c| column_type(schema, c)).collect();
        let mut data = Vec::with_capacity(rows.len());
        for row in &rows {
            let cell = |(name, ty): (&String, &Type)| {
                let json = row.get(name).unwrap_or(&Json::Null);
                // a row of the server is as it is, whatever the column's constraints
                let any = Type {
                    key: ovsdb::data::BaseType::any(ty.key.kind),
                    value: ty.value.as_ref().map(|v| ovsdb::data::BaseType::any(v.kind)),
                    min: 0,
                    max: u32::MAX,
                };
                Datum::from_json(&any, json, &mut ()).map_err(|e| e.to_string())
            };
            data.push(columns.iter().zip(&types).map(cell).collect::<Result<Vec<Datum>, String>>()?);
        }
        // by what is there, but not by the names that are random
        data.sort_by(|a, b| {
            let part = |row: &Vec<Datum>| {
                columns.iter().zip(row).filter(|(c, _)| !c.starts_with('_')).map(|(_, d)| d.clone()).collect::<Vec<_>>()
            };
            part(a).cmp(&part(b)).then_with(|| a.cmp(b))
        });
        let cells =
            |row: Vec<Datum>| row.into_iter().zip(&types).map(|(d, ty)| Cell::Data(d, Box::new(ty.clone()))).collect();
        table.rows = data.into_iter().map(cells).collect();
        print(&table.format(&call.style, &mut first));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is kept in a file.
fn persistent(schema: &Schema) -> Vec<(Arc<TableSchema>, Vec<String>)> {
    let columns = |t: &Arc<TableSchema>| {
        let own = t.columns.iter().filter(|c| c.persistent).map(|c| c.name.to_string());
        std::iter::once("_uuid".to_owned()).chain(own).collect()
    };
    schema.tables.iter().map(|t| (t.clone(), columns(t))).collect()
}

pub(super) fn backup(mut call: Call<'_>) -> Done {
    let json = call.schema_json()?;
    let schema = Schema::from_json(&json).map_err(|e| e.to_string())?;
    let wanted = persistent(&schema);
    let all = read(&mut call, &wanted)?;
    let mut record = Object::from([
        (Arc::from("_date"), Json::Int(wall_ms())),
        (Arc::from("_comment"), Json::from("produced by \"ovsdb-client backup\"")),
    ]);
    for ((table, _), rows) in wanted.iter().zip(all) {
        let mut object = Object::new();
        for row in rows {
            let Json::Object(mut cells) = row else { continue };
            let Some(Json::Array(uuid)) = cells.remove("_uuid") else { continue };
            let Some(Json::Str(uuid)) = uuid.get(1).cloned() else { continue };
            cells.retain(|name, value| {
                let ty = column_type(table, name);
                !Datum::from_json(&Type { min: 0, max: u32::MAX, ..ty.clone() }, value, &mut ())
                    .is_ok_and(|d| ty.is_default(&d))
            });
            object.insert(uuid, Json::Object(cells));
        }
        if !object.is_empty() {
            record.insert(table.name.clone(), Json::Object(object));
        }
    }
    print(&(file::record_text(&json.to_string()) + &file::record_text(&Json::Object(record).to_string())));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(mut call: Call<'_>) -> Done {
    let schema = call.schema()?;
    let mut snapshot = Vec::new();
    std::io::stdin().read_to_end(&mut snapshot).map_err(|e| format!("standard input: {e}"))?;
    let db = file::parse_snapshot(&snapshot).map_err(|e| format!("standard input: {e}"))?;
    if *db.schema != schema && !call.parsed.has("force") {
        return Err(
            "database schema and snapshot schema differ, use --force to continue anyway or convert the database first"
                .into(),
        );
    }
    let mut transaction = vec![Json::from(call.database.as_str())];
    for table in &schema.tables {
        transaction.push(Json::object([
            ("op", "delete".into()),
            ("table", Json::Str(table.name.clone())),
            ("where", Json::Array(Vec::new())),
        ]));
    }
    let name = |uuid: &str| format!("row{}", uuid.replace('-', "_"));
    let known: std::collections::HashSet<String> =
        db.tables.iter().flat_map(|t| t.rows()).map(|row| row.uuid.to_string()).collect();
    for (table, rows) in file::rows_json(&db) {
        for (uuid, cells) in rows.as_object().into_iter().flatten() {
            transaction.push(Json::object([
                ("op", "insert".into()),
                ("table", Json::Str(table.clone())),
                ("uuid-name", name(uuid).into()),
                ("row", rename(cells, &|uuid| known.contains(uuid).then(|| name(uuid)))),
            ]));
        }
    }
    transaction
        .push(Json::object([("op", "comment".into()), ("comment", "restored by \"ovsdb-client restore\"".into())]));
    let result = run(&mut call, Json::Array(transaction))?;
    match result.as_array().unwrap_or_default().iter().find(|r| r.get("error").is_some()) {
        Some(error) => Err(format!("restoring failed: {error}")),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// UUIDs of rows become names of rows that are inserted together.
fn rename(json: &Json, name: &dyn Fn(&str) -> Option<String>) -> Json {
    match json {
        Json::Array(elements) => match &elements[..] {
            [Json::Str(tag), Json::Str(uuid)] if &**tag == "uuid" => match name(uuid) {
                Some(name) => Json::pair("named-uuid", name),
                None => json.clone(),
            },
            _ => Json::Array(elements.iter().map(|e| rename(e, name)).collect()),
        },
        Json::Object(members) => Json::Object(members.iter().map(|(k, v)| (k.clone(), rename(v, name))).collect()),
        other => other.clone(),
    }
}
