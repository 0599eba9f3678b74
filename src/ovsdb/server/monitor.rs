//! Monitors: what a client sees of a database, and the texts of updates. A monitor keeps what changed since its last update,
//! changes of one row merged, so that a client that does not read costs no more than the database.

use crate::data::{Members, TableSchema, kind};
use crate::error::Error;
use crate::json::{Json, Object};
use crate::table::{Change, Database, Row, UUID, VERSION};
use crate::txn::{Condition, column_name, column_type, find_column};
use crate::uuid::Uuid;
use indexmap::IndexMap;
use std::sync::Arc;

/// Which form of updates a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// `monitor`, `update`.
    One,
    /// `monitor_cond`, `update2`.
    Two,
    /// `monitor_cond_since`, `update3`.
    Three,
}

/// Kinds of changes that a column is wanted for, as bits.
mod select {
    pub(super) const INITIAL: u8 = 1;
    pub(super) const INSERT: u8 = 2;
    pub(super) const DELETE: u8 = 4;
    pub(super) const MODIFY: u8 = 8;
}

/// A table in a monitor.
#[derive(Debug)]
struct Watched {
    table: usize,
    schema: Arc<TableSchema>,
    columns: Vec<(usize, u8)>,
    /// All kinds that any column is wanted for.
    kinds: u8,
    condition: Condition,
}

/// A row before and after.
type Versions = (Option<Arc<Row>>, Option<Arc<Row>>);

/// A monitor of one client.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) id: Json,
    pub(crate) database: Arc<str>,
    pub(crate) version: Version,
    tables: Vec<Watched>,
    /// Rows as the client knows them and as they are.
    pending: IndexMap<(usize, Uuid), Versions>,
    /// The transaction that updates end with; zeros where transactions have no names.
    pub(crate) last: Uuid,
}

impl Watched {
    fn new(table: usize, schema: Arc<TableSchema>) -> Watched {
        Watched { table, schema, columns: Vec::new(), kinds: 0, condition: Condition::default() }
    }

    /// Adds what one `<monitor-request>` says.
    fn add(&mut self, json: &Json, conditional: bool) -> Result<(), Error> {
        let mut members = Members::new(json, format!("table {}", self.schema.name));
        let columns = members.optional("columns", kind::ARRAY);
        let wanted = members.optional("select", kind::OBJECT);
        let condition = if conditional { members.optional("where", kind::ARRAY) } else { None };
        members.finish()?;
        let mut kinds = select::INITIAL | select::INSERT | select::DELETE | select::MODIFY;
        if let Some(json) = wanted {
            let mut members = Members::new(json, format!("table {} select", self.schema.name));
            for (name, bit) in [
                ("initial", select::INITIAL),
                ("insert", select::INSERT),
                ("delete", select::DELETE),
                ("modify", select::MODIFY),
            ] {
                if members.boolean(name) == Some(false) {
                    kinds &= !bit;
                }
            }
            members.finish()?;
        }
        self.kinds |= kinds;
        match columns {
            Some(json) => {
                for name in json.as_array().unwrap_or_default() {
                    let bad = || Error::syntax(json, "array of column names expected");
                    let name = name.as_str().ok_or_else(bad)?;
                    let column = find_column(&self.schema, name);
                    let bad = || Error::syntax(json, format!("{name} is not a valid column name"));
                    self.add_column(column.ok_or_else(bad)?, kinds, json)?;
                }
            }
            None => {
                for column in (0..self.schema.columns.len()).chain([VERSION]) {
                    self.add_column(column, kinds, json)?;
                }
            }
        }
        if let Some(json) = condition {
            self.condition = Condition::from_json(&self.schema, json, &mut ())?;
        }
        Ok(())
    }

    fn add_column(&mut self, column: usize, kinds: u8, json: &Json) -> Result<(), Error> {
        if self.columns.iter().any(|&(c, _)| c == column) {
            let name = column_name(&self.schema, column);
            return Err(Error::syntax(json, format!("column {name} mentioned more than once")));
        }
        self.columns.push((column, kinds));
        Ok(())
    }

    /// A row's cells of a kind; defaults left out where the form allows it.
    fn cells(&self, row: &Row, kinds: u8, sparse: bool) -> Json {
        let wanted = self.columns.iter().filter(|&&(_, k)| k & kinds != 0);
        let cells = wanted.filter_map(|&(c, _)| {
            let datum = row.column(c);
            let ty = column_type(&self.schema, c);
            let skip = sparse && c != VERSION && c != UUID && ty.is_default(&datum);
            (!skip).then(|| (Arc::from(column_name(&self.schema, c)), datum.to_json_as(&ty)))
        });
        Json::Object(cells.collect())
    }

    /// `<row-update>`, RFC 7047, 4.1.6.
    fn update1(&self, old: Option<&Row>, new: Option<&Row>) -> Option<Json> {
        match (old, new) {
            (None, Some(new)) => (self.kinds & select::INSERT != 0)
                .then(|| Json::object([("new", self.cells(new, select::INSERT, false))])),
            (Some(old), None) => (self.kinds & select::DELETE != 0)
                .then(|| Json::object([("old", self.cells(old, select::DELETE, false))])),
            (Some(old), Some(new)) if self.kinds & select::MODIFY != 0 => {
                let (mut before, mut after) = (Object::new(), Object::new());
                for &(c, kinds) in &self.columns {
                    if kinds & select::MODIFY == 0 {
                        continue;
                    }
                    let ty = column_type(&self.schema, c);
                    let name: Arc<str> = Arc::from(column_name(&self.schema, c));
                    let (was, is) = (old.column(c), new.column(c));
                    if was != is {
                        before.insert(name.clone(), was.to_json_as(&ty));
                    }
                    after.insert(name, is.to_json_as(&ty));
                }
                (!before.is_empty()).then(|| Json::object([("old", before.into()), ("new", after.into())]))
            }
            _ => None,
        }
    }

    /// `<row-update2>`, ovsdb-server(7), 4.1.14. A row that begins to meet the condition is inserted for the client.
    fn update2(&self, old: Option<&Row>, new: Option<&Row>) -> Option<Json> {
        match (old, new) {
            (None, Some(new)) => (self.kinds & select::INSERT != 0)
                .then(|| Json::object([("insert", self.cells(new, select::INSERT, true))])),
            (Some(_), None) => (self.kinds & select::DELETE != 0).then(|| Json::object([("delete", Json::Null)])),
            (Some(old), Some(new)) if self.kinds & select::MODIFY != 0 => {
                let mut cells = Object::new();
                for &(c, kinds) in &self.columns {
                    let (was, is) = (old.column(c), new.column(c));
                    if kinds & select::MODIFY != 0 && was != is {
                        let ty = column_type(&self.schema, c);
                        let diff = was.diff(&is, &ty).to_json_as(&ty);
                        cells.insert(Arc::from(column_name(&self.schema, c)), diff);
                    }
                }
                (!cells.is_empty()).then(|| Json::object([("modify", cells.into())]))
            }
            _ => None,
        }
    }

    /// Appends rows as they are when the monitor begins, by their UUIDs. A first look may be at all of a database: it is
    /// written as text, of which nothing else is made before.
    fn write_initial(&self, rows: &[&Row], sparse: bool, out: &mut String) {
        let wanted = self.columns.iter().filter(|&&(_, k)| k & select::INITIAL != 0);
        let mut columns: Vec<_> =
            wanted.map(|&(c, _)| (column_name(&self.schema, c), c, column_type(&self.schema, c))).collect();
        columns.sort_unstable_by_key(|&(name, ..)| name);
        for (at, row) in rows.iter().enumerate() {
            out.push_str(if at > 0 { ",\"" } else { "\"" });
            row.uuid.write_to(out);
            out.push_str(if sparse { "\":{\"initial\":{" } else { "\":{\"new\":{" });
            let mut first = true;
            for (name, c, ty) in &columns {
                let own;
                let datum = match *c {
                    UUID | VERSION => {
                        own = row.column(*c);
                        &own
                    }
                    c => &row.columns[c],
                };
                if sparse && *c != VERSION && *c != UUID && ty.is_default(datum) {
                    continue;
                }
                out.push_str(if std::mem::take(&mut first) { "\"" } else { ",\"" });
                // an identifier: nothing in it needs escaping
                out.push_str(name);
                out.push_str("\":");
                datum.write_as(ty, out);
            }
            out.push_str("}}");
        }
    }
}

/// Updates by table and row.
#[derive(Default)]
struct Updates(IndexMap<usize, Object>);

impl Updates {
    fn add(&mut self, table: usize, uuid: Uuid, update: Option<Json>) {
        if let Some(update) = update {
            self.0.entry(table).or_default().insert(Arc::from(uuid.to_string()), update);
        }
    }
}

impl Monitor {
    /// Reads the third parameter of a request.
    pub(crate) fn new(
        db: &Database,
        id: Json,
        database: Arc<str>,
        version: Version,
        requests: &Json,
    ) -> Result<Monitor, Error> {
        let requests =
            requests.as_object().ok_or_else(|| Error::syntax(requests, "<monitor-requests> must be an object"))?;
        let mut tables = Vec::with_capacity(requests.len());
        for (name, request) in requests {
            let unknown = || Error::new("syntax error", format!("no table named {name}"));
            let table = db.schema.table(name).ok_or_else(unknown)?;
            let mut watched = Watched::new(table, db.schema.tables[table].clone());
            let all = request.as_array().unwrap_or(std::slice::from_ref(request));
            all.iter().try_for_each(|json| watched.add(json, version != Version::One))?;
            tables.push(watched);
        }
        Ok(Monitor { id, database, version, tables, pending: IndexMap::new(), last: Uuid::ZERO })
    }

    /// Tables with the clauses of which a row meets one; none where every row is shown.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = (usize, Option<&[crate::txn::Clause]>)> {
        let conditional = self.version != Version::One;
        self.tables.iter().map(move |w| (w.table, conditional.then_some(&*w.condition.clauses)))
    }

    fn watched(&self, table: usize) -> Option<&Watched> {
        self.tables.iter().find(|w| w.table == table)
    }

    fn row_update(&self, watched: &Watched, old: Option<&Row>, new: Option<&Row>) -> Option<Json> {
        if self.version == Version::One {
            return watched.update1(old, new);
        }
        let visible = |row: &&Row| watched.condition.matches_any(row);
        watched.update2(old.filter(visible), new.filter(visible))
    }

    fn json(&self, updates: Updates) -> Json {
        let named = updates.0.into_iter().filter_map(|(table, rows)| {
            let watched = self.watched(table)?;
            Some((watched.schema.name.clone(), Json::Object(rows)))
        });
        Json::Object(named.collect())
    }

    /// Appends what is there when the monitor begins.
    pub(crate) fn write_initial(&self, db: &Database, out: &mut String) {
        let sparse = self.version != Version::One;
        out.push('{');
        let mut first = true;
        for watched in self.tables.iter().filter(|w| w.kinds & select::INITIAL != 0) {
            let rows = db.tables[watched.table].rows().map(|row| &**row);
            let mut rows: Vec<&Row> = rows.filter(|row| !sparse || watched.condition.matches_any(row)).collect();
            if rows.is_empty() {
                continue;
            }
            rows.sort_unstable_by_key(|row| row.uuid);
            out.push_str(if std::mem::take(&mut first) { "\"" } else { ",\"" });
            out.push_str(&watched.schema.name);
            out.push_str("\":{");
            watched.write_initial(&rows, sparse, out);
            out.push('}');
        }
        out.push('}');
    }

    /// Takes note of changes.
    pub(crate) fn note(&mut self, changes: &[Change]) {
        for Change { table, uuid, old, new } in changes {
            let Some(watched) = self.tables.iter().find(|w| w.table == *table) else { continue };
            let visible = |row: &Option<Arc<Row>>| row.as_ref().is_some_and(|row| watched.condition.matches_any(row));
            let key = (*table, *uuid);
            if self.version != Version::One && !visible(old) && !visible(new) && !self.pending.contains_key(&key) {
                continue;
            }
            let pending = self.pending.entry(key).or_insert_with(|| (old.clone(), None));
            pending.1 = new.clone();
        }
    }

    /// The notification of what changed since the last.
    pub(crate) fn update(&mut self) -> Option<Json> {
        if self.pending.is_empty() {
            return None;
        }
        let updates = self.take();
        (!updates.0.is_empty()).then(|| self.notification(updates))
    }

    /// What the changes come to, for a client that knows what was before.
    pub(crate) fn catch_up<'c>(&mut self, changes: impl Iterator<Item = &'c Vec<Change>>) -> Json {
        changes.for_each(|changes| self.note(changes));
        let updates = self.take();
        self.json(updates)
    }

    fn take(&mut self) -> Updates {
        let mut updates = Updates::default();
        for ((table, uuid), (old, new)) in std::mem::take(&mut self.pending) {
            if let Some(watched) = self.watched(table) {
                updates.add(table, uuid, self.row_update(watched, old.as_deref(), new.as_deref()));
            }
        }
        updates
    }

    fn notification(&self, updates: Updates) -> Json {
        let updates = self.json(updates);
        let (method, params) = match self.version {
            Version::One => ("update", vec![self.id.clone(), updates]),
            Version::Two => ("update2", vec![self.id.clone(), updates]),
            Version::Three => ("update3", vec![self.id.clone(), self.last.to_string().into(), updates]),
        };
        Json::object([("id", Json::Null), ("method", method.into()), ("params", Json::Array(params))])
    }

    /// `monitor_cond_change`: other conditions for some tables; the update that makes the client's view fit, if any.
    pub(crate) fn change(&mut self, db: &Database, id: Json, requests: &Json) -> Result<Option<Json>, Error> {
        let requests =
            requests.as_object().ok_or_else(|| Error::syntax(requests, "monitored tables must be an object"))?;
        let mut conditions = Vec::with_capacity(requests.len());
        for (name, request) in requests {
            let unknown = || Error::new("syntax error", format!("no table named {name}"));
            let at = db
                .schema
                .table(name)
                .and_then(|t| self.tables.iter().position(|w| w.table == t))
                .ok_or_else(unknown)?;
            let all = request.as_array().unwrap_or(std::slice::from_ref(request));
            for json in all {
                let mut members = Members::new(json, format!("table {name}"));
                members.optional("columns", kind::ARRAY);
                let condition = members.optional("where", kind::ARRAY);
                members.finish()?;
                if let Some(json) = condition {
                    conditions.push((at, Condition::from_json(&self.tables[at].schema, json, &mut ())?));
                }
            }
        }
        let mut updates = Updates::default();
        for (at, condition) in conditions {
            let watched = &mut self.tables[at];
            let before = std::mem::replace(&mut watched.condition, condition);
            let watched = &self.tables[at];
            for row in db.tables[watched.table].rows() {
                let (was, is) = (before.matches_any(row), watched.condition.matches_any(row));
                if was != is {
                    let row = Some(&**row);
                    let (old, new) = if was { (row, None) } else { (None, row) };
                    updates.add(watched.table, row.map_or(Uuid::ZERO, |r| r.uuid), watched.update2(old, new));
                }
            }
        }
        self.id = id;
        Ok((!updates.0.is_empty()).then(|| self.notification(updates)))
    }
}
