//! What a command works on: the rows of a database, and over them what the commands before it in the same run have written.
//! In the end that is one transaction, which fails when something it relies on has changed meanwhile.

use ovsdb::data::{Atom, Datum, Schema, TableSchema};
use ovsdb::error::Error;
use ovsdb::file::changed_row;
use ovsdb::json::{Object, members, parse};
use ovsdb::table::Row;
use ovsdb::uuid::Source;
use ovsdb::{Json, Uuid};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The rows of a database as the server has them, as far as they were asked for.
#[derive(Debug)]
pub struct Rows {
    pub schema: Arc<Schema>,
    tables: Vec<FxHashMap<Uuid, Arc<Row>>>,
}

impl Rows {
    pub fn new(schema: Arc<Schema>) -> Rows {
        let tables = schema.tables.iter().map(|_| FxHashMap::default()).collect();
        Rows { schema, tables }
    }

    /// Takes `<table-updates2>` over.
    pub fn update2(&mut self, updates: &Json) -> Result<(), String> {
        self.take(updates, becomes2)
    }

    /// Takes `<table-updates>` of RFC 7047, 4.1.6 over.
    pub fn update(&mut self, updates: &Json) -> Result<(), String> {
        self.take(updates, becomes)
    }

    /// Takes the text of the first `<table-updates2>` over: no values are made of more than a row at a time.
    pub fn begin(&mut self, text: &[u8]) -> Result<(), Error> {
        members(text, |name, rows| {
            let Some(number) = self.schema.table(name) else { return Ok(()) };
            let (schema, table) = (&self.schema.tables[number], &mut self.tables[number]);
            members(rows, |uuid, update| take_row(schema, table, uuid, &parse(update)?, becomes2))
        })
    }

    fn take(&mut self, updates: &Json, becomes: Becomes) -> Result<(), String> {
        for (name, rows) in updates.as_object().into_iter().flatten() {
            let Some(number) = self.schema.table(name) else { continue };
            let (schema, table) = (&self.schema.tables[number], &mut self.tables[number]);
            for (uuid, update) in rows.as_object().into_iter().flatten() {
                take_row(schema, table, uuid, update, becomes).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }
}

/// What an update makes of a row; none is no row.
type Becomes = fn(&TableSchema, Option<&Arc<Row>>, Uuid, &Json) -> Result<Option<Arc<Row>>, Error>;

fn becomes(schema: &TableSchema, old: Option<&Arc<Row>>, uuid: Uuid, update: &Json) -> Result<Option<Arc<Row>>, Error> {
    match update.get("new") {
        Some(cells) => changed_row(schema, old, uuid, cells, false).map(|row| Some(Arc::new(row))),
        None => Ok(None),
    }
}

fn becomes2(
    schema: &TableSchema,
    old: Option<&Arc<Row>>,
    uuid: Uuid,
    update: &Json,
) -> Result<Option<Arc<Row>>, Error> {
    let Some((kind, cells)) = update.as_object().and_then(|u| u.iter().next()) else { return Ok(old.cloned()) };
    let row = match &**kind {
        "delete" => return Ok(None),
        "modify" => changed_row(schema, old, uuid, cells, true),
        _ => changed_row(schema, None, uuid, cells, false),
    };
    row.map(|row| Some(Arc::new(row)))
}

fn take_row(
    schema: &TableSchema,
    table: &mut FxHashMap<Uuid, Arc<Row>>,
    uuid: &str,
    update: &Json,
    becomes: Becomes,
) -> Result<(), Error> {
    let bad = || Error::syntax(update, format!("\"{uuid}\" is not a valid UUID"));
    let uuid = Uuid::parse(uuid).ok_or_else(bad)?;
    match becomes(schema, table.get(&uuid), uuid, update)? {
        Some(row) => table.insert(uuid, row),
        None => table.remove(&uuid),
    };
    Ok(())
}

/// A row that was written.
#[derive(Debug)]
struct Draft {
    /// None when it was deleted.
    row: Option<Row>,
    /// Its UUID is what the user has chosen.
    chosen: bool,
    /// Columns that are to be what they are now, whatever others did to them.
    whole: BTreeSet<usize>,
}

/// Rows with what was written.
#[derive(Debug)]
pub struct State<'r> {
    rows: &'r Rows,
    drafts: Vec<BTreeMap<Uuid, Draft>>,
    /// Names that are not to be taken when the transaction comes: table, column, name.
    free: BTreeSet<(usize, usize, String)>,
    uuids: Source,
    /// By table and column that was asked for: rows that have a value or once had it.
    index: RefCell<HashMap<(usize, usize), Index>>,
}

/// Rows by the text of a column's values.
type Index = FxHashMap<String, BTreeSet<Uuid>>;

/// A string, or JSON of another atom: how records are called.
fn texts(datum: &Datum) -> impl Iterator<Item = String> {
    datum.atoms().map(|atom| match atom {
        Atom::String(text) => text.to_string(),
        other => other.to_json().to_string(),
    })
}

impl<'r> State<'r> {
    pub fn new(rows: &'r Rows) -> State<'r> {
        let drafts = rows.schema.tables.iter().map(|_| BTreeMap::new()).collect();
        State { rows, drafts, free: BTreeSet::new(), uuids: Source::default(), index: RefCell::default() }
    }

    pub fn schema(&self) -> &'r Arc<Schema> {
        &self.rows.schema
    }

    pub fn table_schema(&self, table: usize) -> &'r Arc<TableSchema> {
        &self.rows.schema.tables[table]
    }

    /// The number of a table that a command needs.
    pub fn table(&self, name: &str) -> Result<usize, String> {
        self.rows.schema.table(name).ok_or_else(|| format!("the database has no table {name}"))
    }

    /// The number of a column that a command needs.
    pub fn column(&self, table: usize, name: &str) -> Result<usize, String> {
        let schema = self.table_schema(table);
        let missing = || format!("{} table in the database has no {name} column", schema.name);
        schema.column(name).ok_or_else(missing)
    }

    pub fn get(&self, table: usize, uuid: Uuid) -> Option<&Row> {
        match self.drafts[table].get(&uuid) {
            Some(draft) => draft.row.as_ref(),
            None => self.rows.tables[table].get(&uuid).map(|row| &**row),
        }
    }

    /// All rows of a table.
    pub fn rows(&self, table: usize) -> impl Iterator<Item = &Row> {
        let drafts = &self.drafts[table];
        let stored = self.rows.tables[table].values().filter(|row| !drafts.contains_key(&row.uuid));
        stored.map(|row| &**row).chain(drafts.values().filter_map(|draft| draft.row.as_ref()))
    }

    /// The same in the order of their UUIDs.
    pub fn sorted_rows(&self, table: usize) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows(table).collect();
        rows.sort_by_key(|row| row.uuid);
        rows
    }

    /// Whether the row was made by this run.
    pub fn is_new(&self, table: usize, uuid: Uuid) -> bool {
        !self.rows.tables[table].contains_key(&uuid)
    }

    fn draft(&mut self, table: usize, uuid: Uuid) -> Option<&mut Draft> {
        if !self.drafts[table].contains_key(&uuid) {
            let row = Row::clone(self.rows.tables[table].get(&uuid)?);
            self.drafts[table].insert(uuid, Draft { row: Some(row), chosen: false, whole: BTreeSet::new() });
        }
        self.drafts[table].get_mut(&uuid)
    }

    /// A new row of defaults, under a UUID that is none the server will know it by.
    pub fn insert(&mut self, table: usize) -> Uuid {
        let uuid = self.uuids.uuid();
        self.insert_as(table, uuid, false);
        uuid
    }

    /// The same under this UUID, which the row keeps when it was `chosen`.
    pub fn insert_as(&mut self, table: usize, uuid: Uuid, chosen: bool) {
        let row = Row::new(self.table_schema(table), uuid);
        for (column, datum) in row.columns.iter().enumerate() {
            self.note(table, uuid, column, datum);
        }
        self.drafts[table].insert(uuid, Draft { row: Some(row), chosen, whole: BTreeSet::new() });
    }

    /// Keeps the index.
    fn note(&self, table: usize, uuid: Uuid, column: usize, datum: &Datum) {
        if let Some(index) = self.index.borrow_mut().get_mut(&(table, column)) {
            for text in texts(datum) {
                index.entry(text).or_default().insert(uuid);
            }
        }
    }

    /// Rows that may have a value by that text in a column: no look at all rows for each name of a long command line.
    fn candidates(&self, table: usize, column: usize, text: &str) -> Vec<Uuid> {
        let mut all = self.index.borrow_mut();
        let index = all.entry((table, column)).or_insert_with(|| {
            let mut index = Index::default();
            for row in self.rows.tables[table].values().map(|row| &**row).chain(self.rows(table)) {
                for text in texts(&row.columns[column]) {
                    index.entry(text).or_default().insert(row.uuid);
                }
            }
            index
        });
        index.get(text).into_iter().flatten().copied().collect()
    }

    /// Rows that have a value by that text in a column.
    pub fn rows_named(&self, table: usize, column: usize, text: &str) -> Vec<&Row> {
        let rows = self.candidates(table, column, text).into_iter().filter_map(|uuid| self.get(table, uuid));
        rows.filter(|row| texts(&row.columns[column]).any(|known| known == text)).collect()
    }

    pub fn delete(&mut self, table: usize, uuid: Uuid) {
        if let Some(draft) = self.draft(table, uuid) {
            draft.row = None;
        }
    }

    /// Makes a column of a row what it is to be, whatever others make of it.
    pub fn set(&mut self, table: usize, uuid: Uuid, column: usize, datum: Datum) {
        self.note(table, uuid, column, &datum);
        if let Some(draft) = self.draft(table, uuid)
            && let Some(row) = &mut draft.row
        {
            row.columns[column] = datum;
            draft.whole.insert(column);
        }
    }

    /// Adds and removes members of a column; others may change others.
    pub fn change(&mut self, table: usize, uuid: Uuid, column: usize, datum: Datum) {
        self.note(table, uuid, column, &datum);
        if let Some(draft) = self.draft(table, uuid)
            && let Some(row) = &mut draft.row
        {
            row.columns[column] = datum;
        }
    }

    /// The same by name.
    pub fn set_named(&mut self, table: usize, uuid: Uuid, name: &str, datum: Datum) -> Result<(), String> {
        let column = self.column(table, name)?;
        self.set(table, uuid, column, datum);
        Ok(())
    }

    /// A column by name; empty where the schema does not have it.
    pub fn datum(&self, table: usize, row: &'_ Row, name: &str) -> Datum {
        self.table_schema(table).column(name).map_or(Datum::Empty, |c| row.columns[c].clone())
    }

    /// A column's references.
    pub fn references(&self, table: usize, uuid: Uuid, name: &str) -> Vec<Uuid> {
        let row = self.get(table, uuid).map(|row| self.datum(table, row, name));
        row.map_or_else(Vec::new, |d| d.atoms().filter_map(Atom::uuid).collect())
    }

    /// Adds a reference to a column of references, or takes it away.
    pub fn refer(&mut self, table: usize, uuid: Uuid, name: &str, to: Uuid, add: bool) -> Result<(), String> {
        let column = self.column(table, name)?;
        let one = Datum::One(Atom::Uuid(to));
        let Some(row) = self.get(table, uuid) else { return Ok(()) };
        let datum = if add { row.columns[column].union(&one) } else { row.columns[column].subtract(&one) };
        self.change(table, uuid, column, datum);
        Ok(())
    }

    /// Relies on it that no row has this name.
    pub fn rely_on_free(&mut self, table: usize, column: &str, name: &str) {
        let Some(column) = self.table_schema(table).column(column) else { return };
        let stored = |uuid: &Uuid| self.rows.tables[table].get(uuid).and_then(|row| row.columns[column].string());
        let taken = self.candidates(table, column, name).iter().any(|uuid| stored(uuid) == Some(name));
        if !taken {
            self.free.insert((table, column, name.to_owned()));
        }
    }

    /// The transaction that makes it true, without the database's name; empty when nothing changes.
    pub fn operations(&self) -> Vec<Json> {
        let new: HashSet<Uuid> = (self.drafts.iter().enumerate())
            .flat_map(|(table, drafts)| drafts.iter().filter(move |(uuid, _)| self.is_new(table, **uuid)))
            .filter(|(_, draft)| !draft.chosen && draft.row.is_some())
            .map(|(uuid, _)| *uuid)
            .collect();
        let (mut relied, mut changes) = (Vec::new(), Vec::new());
        for (table, drafts) in self.drafts.iter().enumerate() {
            for (&uuid, draft) in drafts {
                let old = self.rows.tables[table].get(&uuid);
                self.row_operations(table, uuid, old, draft, &new, &mut relied, &mut changes);
            }
        }
        if changes.is_empty() {
            return changes;
        }
        let mut all: Vec<Json> =
            self.free.iter().map(|(table, column, name)| self.no_row(*table, *column, name)).collect();
        all.extend(relied);
        all.extend(changes);
        all
    }

    fn no_row(&self, table: usize, column: usize, name: &str) -> Json {
        let column = Json::Str(self.table_schema(table).columns[column].name.clone());
        let clause = Json::Array(vec![column.clone(), "==".into(), name.into()]);
        wait(&self.table_schema(table).name, clause, vec![column], Vec::new())
    }

    #[expect(clippy::too_many_arguments, reason = "one row's part of a walk")]
    fn row_operations(
        &self,
        table: usize,
        uuid: Uuid,
        old: Option<&Arc<Row>>,
        draft: &Draft,
        new: &HashSet<Uuid>,
        relied: &mut Vec<Json>,
        changes: &mut Vec<Json>,
    ) {
        let schema = self.table_schema(table);
        let operation = |name: &str, more: Vec<(&str, Json)>| {
            let mut object = Object::from([
                (Arc::from("op"), Json::from(name)),
                (Arc::from("table"), Json::Str(schema.name.clone())),
            ]);
            object.extend(more.into_iter().map(|(name, value)| (Arc::from(name), value)));
            Json::Object(object)
        };
        let this = || Json::Array(vec!["_uuid".into(), "==".into(), Json::pair("uuid", uuid.to_string())]);
        let only = || Json::Array(vec![this()]);
        let value = |row: &Row, c: usize| rename(row.columns[c].to_json_as(&schema.columns[c].ty), new);
        match (old, &draft.row) {
            (None, None) => {}
            (None, Some(row)) => {
                let set = (0..row.columns.len()).filter(|&c| !schema.columns[c].ty.is_default(&row.columns[c]));
                let cells: Object = set.map(|c| (schema.columns[c].name.clone(), value(row, c))).collect();
                let name = match draft.chosen {
                    true => ("uuid", Json::from(uuid.to_string())),
                    false => ("uuid-name", Json::from(row_name(uuid))),
                };
                changes.push(operation("insert", vec![name, ("row", Json::Object(cells))]));
            }
            (Some(_), None) if schema.is_root => changes.push(operation("delete", vec![("where", only())])),
            // it goes when nothing refers to it any more, and no sooner: that is for the server to say
            (Some(_), None) => {}
            (Some(old), Some(row)) => {
                let (mut cells, mut mutations) = (Object::new(), Vec::new());
                for (c, column) in schema.columns.iter().enumerate() {
                    let (was, is) = (&old.columns[c], &row.columns[c]);
                    if was == is {
                        continue;
                    }
                    let few = !column.ty.is_map() && column.ty.max == 1;
                    if few || column.ty.min > 0 || draft.whole.contains(&c) {
                        cells.insert(column.name.clone(), value(row, c));
                        continue;
                    }
                    let name = || Json::Str(column.name.clone());
                    let kept: Vec<Atom> = was.keys().filter(|key| stays(was, is, key)).cloned().collect();
                    let gone: Vec<Atom> = was.keys().filter(|key| !stays(was, is, key)).cloned().collect();
                    let more = is.subtract(&Datum::set(kept));
                    if !gone.is_empty() {
                        let keys = Json::pair("set", gone.iter().map(Atom::to_json).collect::<Vec<_>>());
                        mutations.push(Json::Array(vec![name(), "delete".into(), keys]));
                    }
                    if !more.is_empty() {
                        let more = rename(more.to_json_as(&column.ty), new);
                        mutations.push(Json::Array(vec![name(), "insert".into(), more]));
                    }
                }
                if cells.is_empty() && mutations.is_empty() {
                    return;
                }
                // the row is to be there still
                let id = Json::object([("_uuid", Json::pair("uuid", uuid.to_string()))]);
                relied.push(wait(&schema.name, this(), vec!["_uuid".into()], vec![id]));
                if !cells.is_empty() {
                    changes.push(operation("update", vec![("where", only()), ("row", Json::Object(cells))]));
                }
                if !mutations.is_empty() {
                    changes.push(operation("mutate", vec![("where", only()), ("mutations", mutations.into())]));
                }
            }
        }
    }
}

/// Whether a member is in both, with the same value where it has one.
fn stays(was: &Datum, is: &Datum, key: &Atom) -> bool {
    is.contains_key(key) && was.value(key) == is.value(key)
}

fn wait(table: &Arc<str>, clause: Json, columns: Vec<Json>, rows: Vec<Json>) -> Json {
    Json::object([
        ("op", "wait".into()),
        ("table", Json::Str(table.clone())),
        ("timeout", Json::Int(0)),
        ("where", Json::Array(vec![clause])),
        ("columns", Json::Array(columns)),
        ("until", "==".into()),
        ("rows", Json::Array(rows)),
    ])
}

/// What a new row is called in the transaction that makes it.
pub(super) fn row_name(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}

/// References to new rows go by their names.
fn rename(json: Json, new: &HashSet<Uuid>) -> Json {
    match json {
        Json::Array(elements) => {
            if let [Json::Str(tag), Json::Str(text)] = &elements[..]
                && &**tag == "uuid"
                && let Some(uuid) = Uuid::parse(text).filter(|uuid| new.contains(uuid))
            {
                return Json::pair("named-uuid", row_name(uuid));
            }
            Json::Array(elements.into_iter().map(|element| rename(element, new)).collect())
        }
        other => other,
    }
}
