//! The files of ovsdb(5): the schema, then a record for each commit; or the log of a cluster of one.

pub mod cluster;
mod lock;
mod log;
mod record;

#[cfg(test)]
mod tests;

pub use log::{Log, Mode};
pub use record::changed_row;
pub use record::{record_json, rows_json};

use crate::data::Schema;
use crate::error::Error;
use crate::json::{Json, Object};
use crate::table::{Change, Database};
use crate::txn::{Commit, Draw};
use crate::uuid::{Source, Uuid};
use cluster::Cluster;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// The last transactions that have names, with what each changed.
pub type History = VecDeque<(Uuid, Vec<Change>)>;

/// A database and the file that holds it.
#[derive(Debug)]
pub struct DatabaseFile {
    pub log: Log,
    /// What was wrong with the end of the file, which the next commit cuts off.
    pub torn: Option<Error>,
    /// What a clustered file has beside rows.
    pub cluster: Option<Cluster>,
}

/// What a file of records is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Standalone,
    Clustered,
}

/// What the file at `path` is.
pub fn identify(path: &Path) -> Result<Kind, Error> {
    Ok(match Log::open(path, Mode::ReadOnly)?.magic() {
        "CLUSTER" => Kind::Clustered,
        _ => Kind::Standalone,
    })
}

fn open_standalone(path: &Path, mode: Mode) -> Result<Log, Error> {
    let log = Log::open(path, mode)?;
    if log.magic() != "JSON" {
        let name = path.display();
        let text = format!("{name}: cannot apply this operation to clustered database file");
        return Err(Error::new("ovsdb error", text));
    }
    Ok(log)
}

fn no_schema(path: &Path) -> Error {
    Error::new("I/O error", format!("{}: database file contains no schema", path.display()))
}

/// The schema in a file.
pub fn read_schema(path: &Path) -> Result<Schema, Error> {
    let mut log = open_standalone(path, Mode::ReadOnly)?;
    Schema::from_json(&log.read()?.ok_or_else(|| no_schema(path))?)
}

/// All records of a file, for people; with the error that ended it, if one did.
pub fn read_records(path: &Path) -> Result<(Vec<Json>, Option<Error>), Error> {
    let mut log = open_standalone(path, Mode::ReadOnly)?;
    let mut records = Vec::new();
    loop {
        match log.read() {
            Ok(Some(json)) => records.push(json),
            Ok(None) => return Ok((records, None)),
            Err(error) => return Ok((records, Some(error))),
        }
    }
}

/// Makes a new file with a schema and no rows.
pub fn create(path: &Path, schema: &Json) -> Result<(), Error> {
    let mut log = Log::open(path, Mode::Create)?;
    log.append(&schema.to_string())?;
    log.sync()
}

/// Reads a database. With `schema` in place of its own, rows are taken as far as that knows them and checked again.
pub fn open(
    path: &Path,
    mode: Mode,
    schema: Option<Arc<Schema>>,
    uuids: &mut Source,
) -> Result<(Database, DatabaseFile), Error> {
    let mut log = open_standalone(path, mode)?;
    let first = log.read()?.ok_or_else(|| no_schema(path))?;
    let own = Arc::new(Schema::from_json(&first)?);
    let converting = schema.is_some();
    let mut db = Database::new(schema.unwrap_or_else(|| own.clone()));
    // rows of a file are whole only under its own schema, where differences may be told
    let mut original = converting.then(|| Database::new(own));
    let mut torn = None;
    loop {
        let before = log.offset();
        let read = match log.read() {
            Ok(None) => break,
            Ok(Some(json)) => {
                let target = original.as_mut().unwrap_or(&mut db);
                record::changes(target, &json, uuids).map(|changes| target.apply(&changes))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            log.rewind(before);
            torn = Some(error);
            break;
        }
    }
    if let Some(original) = original {
        db = convert(&original, db.schema.clone(), uuids)?;
    }
    Ok((db, DatabaseFile { log, torn, cluster: None }))
}

/// Opens a database of either kind to serve it, with the history that its file has. A clustered one begins a term.
pub fn open_to_serve(path: &Path, uuids: &mut Source) -> Result<(Database, DatabaseFile, History), Error> {
    if identify(path)? == Kind::Standalone {
        let (db, file) = open(path, Mode::ReadWrite, None, uuids)?;
        return Ok((db, file, History::default()));
    }
    let cluster::Loaded { db, mut cluster, history, mut log, torn } = cluster::load(path, Mode::ReadWrite, uuids)?;
    for json in cluster.begin_term() {
        log.append(&json.to_string())?;
    }
    log.sync()?;
    Ok((db, DatabaseFile { log, torn, cluster: Some(cluster) }, history))
}

/// The rows of a database under another schema: what that does not know is left out, what it adds is default, and all its
/// constraints must hold.
pub fn convert(db: &Database, schema: Arc<Schema>, uuids: &mut Source) -> Result<Database, Error> {
    let mut new = Database::new(schema.clone());
    let mut draw = Draw::new(&new, uuids);
    for table in &db.tables {
        let Some(number) = schema.table(&table.schema.name) else { continue };
        let target = &schema.tables[number];
        for row in table.rows() {
            let mut converted = crate::table::Row::new(target, row.uuid);
            for (column, datum) in table.schema.columns.iter().zip(&row.columns) {
                let Some(to) = target.column(&column.name) else { continue };
                let ty = &target.columns[to].ty;
                let datum = match datum.is_empty() {
                    true => datum.clone(),
                    // through JSON, so that every difference of types is seen
                    false => crate::data::Datum::from_json(ty, &datum.to_json_as(&column.ty), &mut ())?,
                };
                datum.check_size(ty)?;
                converted.columns[to] = datum;
            }
            draw.put(number, converted);
        }
    }
    let commit = draw.commit(uuids)?;
    new.apply(&commit.changes);
    Ok(new)
}

impl DatabaseFile {
    /// Takes a commit that [`Log::write`] is to write; in a clustered file it gets the name `id`. False when there is nothing
    /// to write.
    pub fn append(&mut self, db: &Database, commit: &Commit, date_ms: i64, id: Uuid) -> bool {
        let Some(json) = record_json(db, commit, date_ms) else { return false };
        match &mut self.cluster {
            None => {
                let mut text = String::new();
                json.write_to(&mut text);
                self.log.append_later(&text);
            }
            Some(cluster) => {
                self.log.append_later(&cluster.entry(id, Json::Null, json).to_string());
                (cluster.index, cluster.entry) = (cluster.index + 1, id);
                // it helps those who look at the file; the entry does without
                self.log.append_later(&cluster.committed().to_string());
            }
        }
        true
    }

    /// Writes all of a database that has another schema now.
    pub fn replace(&mut self, db: &Database, comment: &str, date_ms: i64, id: Uuid) -> Result<(), Error> {
        let Some(cluster) = &mut self.cluster else { return self.compact(db, comment, date_ms) };
        let rows = dated(rows_json(db), comment, date_ms);
        self.log.append(&cluster.entry(id, db.schema.to_json(), Json::Object(rows)).to_string())?;
        (cluster.index, cluster.entry) = (cluster.index + 1, id);
        self.log.sync()
    }

    /// Replaces the file by one that has what `db` has and nothing else.
    pub fn compact(&mut self, db: &Database, comment: &str, date_ms: i64) -> Result<(), Error> {
        let rows = rows_json(db);
        let rows = if rows.is_empty() { rows } else { dated(rows, comment, date_ms) };
        let records = match &self.cluster {
            Some(cluster) => vec![cluster.snapshot(db, rows), cluster.vote()],
            None if rows.is_empty() => vec![db.schema.to_json()],
            None => vec![db.schema.to_json(), Json::Object(rows)],
        };
        self.log.replace(records.iter().map(Json::to_string))
    }
}

fn dated(mut rows: Object, comment: &str, date_ms: i64) -> Object {
    rows.insert(Arc::from("_date"), Json::Int(date_ms));
    if !comment.is_empty() {
        rows.insert(Arc::from("_comment"), Json::from(comment));
    }
    rows
}

/// Writes a snapshot of a database to a new file.
pub fn write_new(path: &Path, db: &Database, comment: &str, date_ms: i64) -> Result<(), Error> {
    create(path, &db.schema.to_json())?;
    let rows = rows_json(db);
    if rows.is_empty() {
        return Ok(());
    }
    let rows = dated(rows, comment, date_ms);
    let mut log = Log::open(path, Mode::ReadWrite)?;
    while log.read()?.is_some() {}
    log.append(&Json::Object(rows).to_string())?;
    log.sync()
}

/// A record as it is in a file.
pub fn record_text(json: &str) -> String {
    log::record("JSON", json)
}

/// Reads a database out of what a file has.
pub fn parse_snapshot(bytes: &[u8]) -> Result<Database, Error> {
    let mut records = log::records(bytes);
    let first = records.next().unwrap_or_else(|| Err(Error::new("ovsdb error", "cannot identify file type")))?;
    let mut db = Database::new(Arc::new(Schema::from_json(&first)?));
    let mut uuids = Source::default();
    for json in records {
        let changes = record::changes(&db, &json?, &mut uuids)?;
        db.apply(&changes);
    }
    Ok(db)
}
