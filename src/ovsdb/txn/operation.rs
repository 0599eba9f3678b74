//! The operations of RFC 7047, 5.2, on the view of a transaction.

use super::condition::{Condition, column_name, column_type, find_column};
use super::mutation::Mutation;
use super::{Context, Draft, Stop, Txn};
use crate::data::{Datum, Members, TableSchema, What, is_id, kind};
use crate::error::Error;
use crate::json::{Json, Object};
use crate::table::{Row, UUID, VERSION};
use crate::uuid::Uuid;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Operations by name, and whether they may change something.
const OPERATIONS: [(&str, bool); 10] = [
    ("insert", true),
    ("select", false),
    ("update", true),
    ("mutate", true),
    ("delete", true),
    ("wait", false),
    ("commit", false),
    ("abort", false),
    ("comment", false),
    ("assert", false),
];

/// Columns that a row object sets.
type Cells = Vec<(usize, Datum)>;

/// A table by number with its schema.
#[derive(Clone)]
struct Target {
    table: usize,
    schema: Arc<TableSchema>,
}

impl Txn<'_> {
    pub(super) fn operate(&mut self, json: &Json, at: usize, of: usize, context: &Context<'_>) -> Result<Json, Stop> {
        let what = What::Operation(at, of);
        let mut members = Members::new(json, what.clone());
        let name = members.required("op", kind::STRING).and_then(Json::as_str).unwrap_or_default();
        members.check()?;
        let fail = |text: String| Error::syntax(json, format!("Parsing {what} failed: {text}"));
        let Some((name, writes)) = OPERATIONS.into_iter().find(|(known, _)| *known == name) else {
            return Err(fail(format!("No operation \"{name}\"")).into());
        };
        if writes && context.read_only {
            let text = format!("{name} operation not allowed when database server is in read only mode");
            return Err(Error::new("not allowed", text).into());
        }
        if writes && context.reserved {
            let database = &self.db.schema.name;
            let text = format!("{name} operation not allowed on table in reserved database {database}");
            return Err(Error::new("not allowed", text).into());
        }
        let mut target = None;
        if !matches!(name, "commit" | "abort" | "comment" | "assert") {
            let table = members.required("table", kind::STRING).and_then(Json::as_str);
            if let Some(table) = table {
                let Some(number) = self.db.schema.table(table) else {
                    return Err(fail(format!("No table named {table}.")).into());
                };
                target = Some(Target { table: number, schema: self.db.schema.tables[number].clone() });
            }
        }
        let Some(target) = target else { return self.plain(name, members, context) };
        match name {
            "insert" => self.insert(&target, members, context),
            "select" => self.select(&target, members),
            "update" => self.update(&target, json, members, context),
            "mutate" => self.mutate(&target, members, context),
            "delete" => self.delete_rows(&target, members, context),
            _ => self.wait(&target, members, context),
        }
    }

    /// Operations without a table.
    fn plain(&mut self, name: &str, mut members: Members<'_>, context: &Context<'_>) -> Result<Json, Stop> {
        match name {
            "commit" => {
                let durable = members.required("durable", kind::BOOL).and_then(Json::as_bool);
                members.finish()?;
                self.durable |= durable == Some(true);
            }
            "abort" => {
                members.finish()?;
                return Err(Error::new("aborted", "aborted by request").into());
            }
            "comment" => {
                let comment = members.string("comment");
                members.finish()?;
                if !self.comment.is_empty() {
                    self.comment.push('\n');
                }
                self.comment.push_str(comment);
            }
            "assert" => {
                let lock = members.required("lock", kind::ID).and_then(Json::as_str).unwrap_or_default();
                members.finish()?;
                if !(context.owns)(lock) {
                    return Err(Error::new("not owner", format!("Asserted lock {lock} not held.")).into());
                }
            }
            // a table is missing
            _ => members.finish()?,
        }
        Ok(Json::Object(Object::new()))
    }

    /// A row object.
    fn cells(&mut self, schema: &TableSchema, json: &Json) -> Result<Cells, Error> {
        let object = json.as_object().ok_or_else(|| Error::syntax(json, "row must be JSON object"))?;
        let mut cells = Vec::with_capacity(object.len());
        for (name, value) in object {
            let Some(column) = find_column(schema, name) else {
                let text = format!("No column {name} in table {}.", schema.name);
                return Err(Error::new("unknown column", text).at(json));
            };
            let ty = column_type(schema, column);
            cells.push((column, Datum::from_json(&ty, value, &mut self.names)?));
        }
        Ok(cells)
    }

    fn condition(&mut self, schema: &TableSchema, json: Option<&Json>) -> Result<Condition, Error> {
        match json {
            Some(json) => Condition::from_json(schema, json, &mut self.names),
            None => Ok(Condition::default()),
        }
    }

    fn insert(&mut self, target: &Target, mut members: Members<'_>, context: &Context<'_>) -> Result<Json, Stop> {
        let name = members.optional("uuid-name", kind::ID);
        let chosen = members.optional("uuid", kind::STRING);
        let row = members.required("row", kind::OBJECT);
        members.check()?;
        let Target { table, schema } = target;
        let mut uuid = None;
        if let Some(json) = chosen {
            let parsed = json.as_str().and_then(Uuid::parse).ok_or_else(|| Error::syntax(json, "bad uuid"))?;
            if self.drafts[*table].contains_key(&parsed) || self.db.row(*table, parsed).is_some() {
                let text = "This UUID would duplicate a UUID already present within the table or deleted within the same transaction.";
                return Err(Error::new("duplicate uuid", text).at(json).into());
            }
            uuid = Some(parsed);
        }
        if let Some(json) = name {
            let text = json.as_str().filter(|n| is_id(n)).unwrap_or_default();
            let Some(named) = self.names.declare(text, uuid) else {
                let text = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
                return Err(Error::new("duplicate uuid-name", text).at(json).into());
            };
            uuid = Some(named);
        }
        let uuid = uuid.unwrap_or_else(|| self.names.source.uuid());
        let cells = row.map_or(Ok(Vec::new()), |row| self.cells(schema, row))?;
        members.finish()?;
        let mut row = Row { version: self.names.source.uuid(), ..Row::new(schema, uuid) };
        for (number, column) in schema.columns.iter().enumerate() {
            // a default need not be a value that is allowed
            if !cells.iter().any(|(given, _)| *given == number) {
                row.columns[number].check_atoms(&column.ty)?;
            }
        }
        for (column, datum) in cells {
            // what a client says of _uuid and _version does not count
            if column != UUID && column != VERSION {
                row.columns[column] = datum;
            }
        }
        self.permit_insert(*table, &row, context)?;
        self.drafts[*table].insert(uuid, Draft { old: None, new: Some(Arc::new(row)) });
        Ok(Json::object([("uuid", Json::pair("uuid", uuid.to_string()))]))
    }

    fn columns(&self, schema: &TableSchema, json: Option<&Json>) -> Result<BTreeSet<usize>, Error> {
        let Some(json) = json else {
            return Ok((0..schema.columns.len()).chain([UUID, VERSION]).collect());
        };
        let expected = || Error::syntax(json, "array of distinct column names expected");
        let mut columns = BTreeSet::new();
        for name in json.as_array().ok_or_else(expected)? {
            let text = name.as_str().ok_or_else(expected)?;
            let column = find_column(schema, text)
                .ok_or_else(|| Error::syntax(json, format!("{text} is not a valid column name")))?;
            if !columns.insert(column) {
                return Err(expected());
            }
        }
        Ok(columns)
    }

    fn select(&mut self, target: &Target, mut members: Members<'_>) -> Result<Json, Stop> {
        let condition = members.required("where", kind::ARRAY);
        let columns = members.optional("columns", kind::ARRAY);
        let sort = members.optional("sort", kind::ARRAY);
        members.check()?;
        let schema = &target.schema;
        let condition = self.condition(schema, condition)?;
        let columns = self.columns(schema, columns)?;
        let sort = sort.map_or(Ok(BTreeSet::new()), |sort| self.columns(schema, Some(sort)))?;
        members.finish()?;
        let mut rows = self.matching(target.table, &condition);
        if !columns.contains(&UUID) {
            let mut seen = HashSet::new();
            rows.retain(|row| seen.insert(columns.iter().map(|&c| row.column(c)).collect::<Vec<_>>()));
        }
        if !sort.is_empty() {
            rows.sort_by_cached_key(|row| sort.iter().map(|&c| row.column(c)).collect::<Vec<_>>());
        }
        self.cells_read += rows.len() * columns.len();
        if self.cells_read > super::CELLS_MAX {
            let text = format!("a transaction may select {} cells at most", super::CELLS_MAX);
            return Err(Error::new("resources exhausted", text).into());
        }
        let object = |row: &Arc<Row>| {
            let cell = |&c: &usize| {
                let json = row.column(c).to_json_as(&column_type(schema, c));
                (Arc::from(column_name(schema, c)), json)
            };
            Json::Object(columns.iter().map(cell).collect())
        };
        Ok(Json::object([("rows", Json::Array(rows.iter().map(object).collect()))]))
    }

    fn update(
        &mut self,
        target: &Target,
        json: &Json,
        mut members: Members<'_>,
        context: &Context<'_>,
    ) -> Result<Json, Stop> {
        let condition = members.required("where", kind::ARRAY);
        let row = members.required("row", kind::OBJECT);
        members.check()?;
        let Target { table, schema } = target;
        let cells = row.map_or(Ok(Vec::new()), |row| self.cells(schema, row))?;
        for &(column, _) in &cells {
            if !schema.columns.get(column).is_some_and(|c| c.mutable) {
                let name = column_name(schema, column);
                let text = format!("Cannot update immutable column {name} in table {}.", schema.name);
                return Err(Error::constraint(text).at(json).into());
            }
        }
        let condition = self.condition(schema, condition)?;
        members.finish()?;
        let rows = self.matching(*table, &condition);
        let columns: Vec<usize> = cells.iter().map(|&(column, _)| column).collect();
        for row in &rows {
            self.permit_change(*table, row, &columns, context, "modification of")?;
            if cells.iter().all(|(column, datum)| row.columns[*column] == *datum) {
                continue;
            }
            if let Some(row) = self.modify(*table, row.uuid) {
                for (column, datum) in &cells {
                    row.columns[*column] = datum.clone();
                }
            }
        }
        Ok(count(rows.len()))
    }

    fn mutate(&mut self, target: &Target, mut members: Members<'_>, context: &Context<'_>) -> Result<Json, Stop> {
        let condition = members.required("where", kind::ARRAY);
        let mutations = members.required("mutations", kind::ARRAY);
        members.check()?;
        let Target { table, schema } = target;
        let mutations: Result<Vec<Mutation>, Error> = mutations
            .and_then(Json::as_array)
            .unwrap_or_default()
            .iter()
            .map(|m| Mutation::from_json(schema, m, &mut self.names))
            .collect();
        let mutations = mutations?;
        let condition = self.condition(schema, condition)?;
        members.finish()?;
        let rows = self.matching(*table, &condition);
        let columns: Vec<usize> = mutations.iter().map(|m| m.column).collect();
        for row in &rows {
            self.permit_change(*table, row, &columns, context, "mutate operation on")?;
            if let Some(row) = self.modify(*table, row.uuid) {
                mutations.iter().try_for_each(|m| m.apply(schema, row))?;
            }
        }
        Ok(count(rows.len()))
    }

    fn delete_rows(&mut self, target: &Target, mut members: Members<'_>, context: &Context<'_>) -> Result<Json, Stop> {
        let condition = members.required("where", kind::ARRAY);
        members.check()?;
        let condition = self.condition(&target.schema, condition)?;
        members.finish()?;
        let rows = self.matching(target.table, &condition);
        for row in &rows {
            self.permit_delete(target.table, row, context)?;
            self.delete(target.table, row.uuid);
        }
        Ok(count(rows.len()))
    }

    fn wait(&mut self, target: &Target, mut members: Members<'_>, context: &Context<'_>) -> Result<Json, Stop> {
        let timeout = members.optional("timeout", kind::NUMBER);
        let condition = members.required("where", kind::ARRAY);
        let columns = members.optional("columns", kind::ARRAY);
        let until = members.required("until", kind::STRING);
        let wanted = members.required("rows", kind::ARRAY);
        members.check()?;
        let schema = &target.schema;
        let condition = self.condition(schema, condition)?;
        let columns = self.columns(schema, columns)?;
        let equal = match until.and_then(Json::as_str) {
            Some("==") => true,
            Some("!=") => false,
            _ => return Err(Error::syntax(until.unwrap_or(&Json::Null), "\"until\" must be \"==\" or \"!=\"").into()),
        };
        let mut expected = HashSet::new();
        for json in wanted.and_then(Json::as_array).unwrap_or_default() {
            let cells = self.cells(schema, json)?;
            let cell = |&c: &usize| {
                let given = cells.iter().find(|(column, _)| *column == c).map(|(_, datum)| datum.clone());
                given.unwrap_or_else(|| column_type(schema, c).default_datum())
            };
            expected.insert(columns.iter().map(cell).collect::<Vec<_>>());
        }
        members.finish()?;
        let rows = self.matching(target.table, &condition);
        let actual: HashSet<_> =
            rows.iter().map(|row| columns.iter().map(|&c| row.column(c)).collect::<Vec<_>>()).collect();
        if (actual == expected) == equal {
            return Ok(Json::Object(Object::new()));
        }
        let timeout = match timeout {
            Some(Json::Int(ms)) => Some(u64::try_from(*ms).unwrap_or(0)),
            Some(Json::Real(ms)) => Some(*ms as u64),
            _ => None,
        };
        match timeout {
            Some(0) => Err(Error::new("timed out", "\"where\" clause test failed").into()),
            Some(ms) if context.elapsed >= ms => {
                Err(Error::new("timed out", format!("\"wait\" timed out after {} ms", context.elapsed)).into())
            }
            until => Err(Stop::Wait(until)),
        }
    }
}

fn count(n: usize) -> Json {
    Json::object([("count", Json::Int(n as i64))])
}
