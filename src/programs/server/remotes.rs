//! Connection methods: those of the command line, and those that rows of databases name.

use ovsdb::data::{Atom, Datum, TableSchema};
use ovsdb::server::{Peer, SERVER_DB, Server};
use ovsdb::table::Row;
use std::collections::{BTreeMap, BTreeSet};

/// What a connection method has beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) read_only: bool,
    pub(super) role: Option<String>,
    /// Milliseconds; none for the method's own.
    pub(super) probe: Option<u64>,
    /// The row that it is from: database, table, UUID.
    pub(super) row: Option<(String, usize, ovsdb::Uuid)>,
}

impl Options {
    /// What a client that comes this way may do.
    pub(super) fn peer(&self, name: String, method: &str) -> Peer {
        let probe = if crate::stream::needs_probe(method) { 5000 } else { 0 };
        let (role, read_only) = (self.role.clone(), self.read_only);
        Peer { name, role, id: None, read_only, probe: self.probe.unwrap_or(probe) }
    }
}

/// The connection methods that were given.
#[derive(Debug, Default)]
pub(super) struct Remotes(BTreeSet<String>);

fn parse_db(remote: &str) -> Option<Option<[&str; 3]>> {
    let mut parts = remote.strip_prefix("db:")?.splitn(3, ',');
    Some((|| Some([parts.next()?, parts.next()?, parts.next()?]))())
}

/// Whether a remote can be: one of a database names a table and a column of a type that fits.
pub(super) fn check(server: &Server, remote: &str) -> Result<(), String> {
    let Some(parts) = parse_db(remote) else { return Ok(()) };
    let Some([db, table, column]) = parts else {
        return Err(format!("\"{remote}\": invalid syntax"));
    };
    let hosted = server.database(db).filter(|_| db != SERVER_DB);
    let schema = &hosted.ok_or_else(|| format!("\"{remote}\": no database named {db}"))?.db.schema;
    let number = schema.table(table).ok_or_else(|| format!("\"{remote}\": no table named {table}"))?;
    let found = schema.tables[number].column(column);
    let found = found.ok_or_else(|| format!("\"{remote}\": table \"{table}\" has no column \"{column}\""))?;
    let key = &schema.tables[number].columns[found].ty.key;
    let fits = key.kind == ovsdb::data::AtomKind::String || key.reference.is_some();
    if fits { Ok(()) } else { Err(format!("\"{remote}\": type mismatch for column \"{column}\" in table \"{table}\"")) }
}

/// A file's name that may be in a database, `db:DB,TABLE,COLUMN`: the first that is not empty.
pub(super) fn text_in(server: &Server, text: &str) -> String {
    let Some(Some([db, table, column])) = parse_db(text) else { return text.to_owned() };
    let found = (|| {
        let table = server.database(db)?.db.table(table)?;
        let column = table.schema.column(column)?;
        let atoms = table.rows().flat_map(|row| row.columns[column].atoms());
        atoms
            .filter_map(|atom| match atom {
                Atom::String(text) if !text.is_empty() => Some(text.to_string()),
                _ => None,
            })
            .next()
    })();
    found.unwrap_or_default()
}

fn cell<'r>(schema: &TableSchema, row: &'r Row, name: &str) -> Option<&'r Datum> {
    schema.column(name).map(|column| &row.columns[column])
}

impl Remotes {
    pub(super) fn add(&mut self, remote: &str) {
        self.0.insert(remote.to_owned());
    }

    pub(super) fn remove(&mut self, remote: &str) -> bool {
        self.0.remove(remote)
    }

    pub(super) fn configured(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// The methods that all of it comes to.
    pub(super) fn resolve(&self, server: &Server) -> BTreeMap<String, Options> {
        let mut all = BTreeMap::new();
        for remote in &self.0 {
            match parse_db(remote) {
                None => {
                    all.insert(remote.clone(), Options::default());
                }
                Some(Some([db, table, column])) => rows(server, db, table, column, &mut all),
                Some(None) => {}
            }
        }
        all
    }
}

fn rows(server: &Server, name: &str, table: &str, column: &str, all: &mut BTreeMap<String, Options>) {
    let Some(db) = server.database(name).map(|hosted| &hosted.db) else { return };
    let Some(table) = db.table(table) else { return };
    let Some(column) = table.schema.column(column) else { return };
    let target_table = table.schema.columns[column].ty.key.reference.as_ref().and_then(|r| db.schema.table(&r.table));
    for row in table.rows() {
        for atom in row.columns[column].atoms() {
            match (atom, target_table) {
                (Atom::String(target), _) if !target.is_empty() => {
                    all.insert(target.to_string(), Options::default());
                }
                (Atom::Uuid(uuid), Some(number)) => {
                    let schema = &db.tables[number].schema;
                    let Some(row) = db.row(number, *uuid) else { continue };
                    let text = |name: &str| cell(schema, row, name).and_then(Datum::string).filter(|s| !s.is_empty());
                    let Some(target) = text("target") else { continue };
                    let probe = match cell(schema, row, "inactivity_probe").and_then(Datum::single) {
                        Some(Atom::Integer(ms)) => u64::try_from(*ms).ok(),
                        _ => None,
                    };
                    let read_only =
                        cell(schema, row, "read_only").and_then(Datum::single) == Some(&Atom::Boolean(true));
                    let role = text("role").map(str::to_owned);
                    let row = Some((name.to_owned(), number, *uuid));
                    all.insert(target.to_owned(), Options { read_only, role, probe, row });
                }
                _ => {}
            }
        }
    }
}
