//! `<database-schema>`: tables, columns, which tables are roots, which sets of columns are unique.

use super::members::{Members, is_id, kind};
use super::{BaseType, Type};
use crate::error::Error;
use crate::json::{Json, Object};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// `<column-schema>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: Arc<str>,
    pub ty: Type,
    pub mutable: bool,
    /// Not ephemeral: written to the file.
    pub persistent: bool,
}

/// `<table-schema>`. Columns are numbered in order of their names.
#[derive(Clone, Debug)]
pub struct TableSchema {
    pub name: Arc<str>,
    pub columns: Vec<Column>,
    by_name: FxHashMap<Arc<str>, usize>,
    pub mutable: bool,
    pub max_rows: u32,
    pub is_root: bool,
    /// Columns of each index.
    pub indexes: Vec<Vec<usize>>,
}

impl PartialEq for TableSchema {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.columns == other.columns
            && self.mutable == other.mutable
            && self.max_rows == other.max_rows
            && self.is_root == other.is_root
            && self.indexes == other.indexes
    }
}

/// `<database-schema>`. Tables are numbered in order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub name: Arc<str>,
    pub version: String,
    pub cksum: String,
    pub tables: Vec<Arc<TableSchema>>,
    by_name: FxHashMap<Arc<str>, usize>,
}

impl TableSchema {
    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    fn from_json(name: &Arc<str>, json: &Json) -> Result<TableSchema, Error> {
        let mut members = Members::new(json, format!("table schema for table {name}"));
        let columns = members.required("columns", kind::OBJECT);
        let mutable = members.boolean("mutable").unwrap_or(true);
        let max_rows = members.integer("maxRows");
        let is_root = members.boolean("isRoot").unwrap_or(false);
        let indexes = members.optional("indexes", kind::ARRAY);
        members.finish()?;
        let max_rows = match max_rows {
            None => u32::MAX,
            Some(n) if n <= 0 => return Err(Error::syntax(json, "maxRows must be at least 1")),
            Some(n) => u32::try_from(n).unwrap_or(u32::MAX),
        };
        let described = columns.and_then(Json::as_object).filter(|c| !c.is_empty());
        let described = described.ok_or_else(|| Error::syntax(json, "table must have at least one column"))?;
        let mut columns = Vec::with_capacity(described.len());
        for (column, json) in described {
            if column.starts_with('_') {
                return Err(Error::syntax(json, "names beginning with \"_\" are reserved"));
            }
            if !is_id(column) {
                return Err(Error::syntax(json, format!("name must be a valid id: \"{column}\"")));
            }
            columns.push(Column::from_json(column, json)?);
        }
        let by_name = columns.iter().enumerate().map(|(at, c)| (c.name.clone(), at)).collect();
        let name = name.clone();
        let mut table = TableSchema { name, columns, by_name, mutable, max_rows, is_root, indexes: Vec::new() };
        for index in indexes.and_then(Json::as_array).unwrap_or_default() {
            let index = table.index_from_json(index)?;
            table.indexes.push(index);
        }
        Ok(table)
    }

    fn index_from_json(&self, json: &Json) -> Result<Vec<usize>, Error> {
        let distinct = || Error::syntax(json, "array of distinct column names expected");
        let names = json.as_array().ok_or_else(distinct)?;
        if names.is_empty() {
            return Err(Error::syntax(json, "index must have at least one column"));
        }
        let mut index = Vec::with_capacity(names.len());
        for name in names {
            let column = self.column_from_json(name, "array of distinct column names expected", json)?;
            if index.contains(&column) {
                return Err(distinct());
            }
            if !self.columns[column].persistent {
                let name = &self.columns[column].name;
                let text = format!("ephemeral columns (such as {name}) may not be indexed");
                return Err(Error::syntax(json, text));
            }
            index.push(column);
        }
        Ok(index)
    }

    /// The column that `name` names, as part of `all`.
    pub fn column_from_json(&self, name: &Json, expected: &str, all: &Json) -> Result<usize, Error> {
        let text = name.as_str().ok_or_else(|| Error::syntax(all, expected))?;
        self.column(text).ok_or_else(|| Error::syntax(all, format!("{text} is not a valid column name")))
    }

    fn to_json(&self, any_root: bool) -> Json {
        let mut object = Object::new();
        let mut member = |name: &str, value: Json| object.insert(Arc::from(name), value);
        let columns: Object = self.columns.iter().map(|c| (c.name.clone(), c.to_json())).collect();
        member("columns", Json::Object(columns));
        if !self.mutable {
            member("mutable", Json::Bool(false));
        }
        if self.max_rows != u32::MAX {
            member("maxRows", Json::Int(i64::from(self.max_rows)));
        }
        // without any root in a schema all tables are roots
        if any_root && self.is_root {
            member("isRoot", Json::Bool(true));
        }
        if !self.indexes.is_empty() {
            let names = |index: &Vec<usize>| {
                Json::Array(index.iter().map(|&c| Json::Str(self.columns[c].name.clone())).collect())
            };
            member("indexes", Json::Array(self.indexes.iter().map(names).collect()));
        }
        Json::Object(object)
    }
}

impl Column {
    fn from_json(name: &Arc<str>, json: &Json) -> Result<Column, Error> {
        let mut members = Members::new(json, format!("schema for column {name}"));
        let mutable = members.boolean("mutable").unwrap_or(true);
        let ephemeral = members.boolean("ephemeral").unwrap_or(false);
        let ty = members.required("type", kind::STRING | kind::OBJECT);
        members.finish()?;
        let ty = ty.map_or_else(|| Err(Error::syntax(json, "no type")), Type::from_json)?;
        // what a weak reference names may go, and then the column must change
        let weak = |base: &BaseType| base.reference.as_ref().is_some_and(|r| r.weak);
        let mutable = mutable || weak(&ty.key) || ty.value.as_ref().is_some_and(weak);
        Ok(Column { name: name.clone(), ty, mutable, persistent: !ephemeral })
    }

    fn to_json(&self) -> Json {
        let mut object = Object::from([(Arc::from("type"), self.ty.to_json())]);
        if !self.mutable {
            object.insert(Arc::from("mutable"), Json::Bool(false));
        }
        if !self.persistent {
            object.insert(Arc::from("ephemeral"), Json::Bool(true));
        }
        Json::Object(object)
    }
}

impl Schema {
    /// The number of a table.
    pub fn table(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub fn from_json(json: &Json) -> Result<Schema, Error> {
        let mut members = Members::new(json, "database schema");
        let name = members.required("name", kind::ID);
        let version = members.optional("version", kind::STRING).and_then(Json::as_str).unwrap_or_default();
        let cksum = members.optional("cksum", kind::STRING).and_then(Json::as_str).unwrap_or_default();
        let described = members.required("tables", kind::OBJECT);
        // where schema files name their own schema
        members.optional("$schema", kind::ANY);
        members.finish()?;
        if !version.is_empty() && version_numbers(version).is_none() {
            return Err(Error::syntax(json, format!("schema version \"{version}\" not in format x.y.z")));
        }
        let mut tables = Vec::new();
        for (name, table) in described.and_then(Json::as_object).into_iter().flatten() {
            if name.starts_with('_') {
                return Err(Error::syntax(table, "names beginning with \"_\" are reserved"));
            }
            if !is_id(name) {
                return Err(Error::syntax(table, format!("name must be a valid id: \"{name}\"")));
            }
            tables.push(TableSchema::from_json(name, table)?);
        }
        if tables.iter().all(|t| !t.is_root) {
            tables.iter_mut().for_each(|t| t.is_root = true);
        }
        let by_name: FxHashMap<Arc<str>, usize> =
            tables.iter().enumerate().map(|(at, t)| (t.name.clone(), at)).collect();
        for table in &tables {
            for column in &table.columns {
                for base in [Some(&column.ty.key), column.ty.value.as_ref()].into_iter().flatten() {
                    if let Some(to) = base.reference.as_ref().filter(|r| !by_name.contains_key(&r.table)) {
                        let text = format!("column {} type refers to undefined table {}", column.name, to.table);
                        return Err(Error::syntax(json, format!("Table {}: {text}", table.name)));
                    }
                }
            }
        }
        Ok(Schema {
            name: Arc::from(name.and_then(Json::as_str).unwrap_or_default()),
            version: version.to_owned(),
            cksum: cksum.to_owned(),
            tables: tables.into_iter().map(Arc::new).collect(),
            by_name,
        })
    }

    pub fn to_json(&self) -> Json {
        let mut object = Object::new();
        let mut member = |name: &str, value: Json| object.insert(Arc::from(name), value);
        member("name", Json::Str(self.name.clone()));
        if !self.version.is_empty() {
            member("version", Json::from(self.version.as_str()));
        }
        if !self.cksum.is_empty() {
            member("cksum", Json::from(self.cksum.as_str()));
        }
        let any_root = self.tables.iter().any(|t| !t.is_root);
        let tables: Object = self.tables.iter().map(|t| (t.name.clone(), t.to_json(any_root))).collect();
        member("tables", Json::Object(tables));
        Json::Object(object)
    }
}

/// `x.y.z`.
pub fn version_numbers(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}
