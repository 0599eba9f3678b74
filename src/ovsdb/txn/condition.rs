//! Conditions: clauses that a row must meet, all of them for a `where`, any of them for a conditional monitor.

use crate::data::{Atom, AtomKind, Datum, Names, TableSchema, Type};
use crate::error::Error;
use crate::json::Json;
use crate::table::{Row, UUID, VERSION};
use crate::uuid::Uuid;

/// `<function>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Includes,
    Excludes,
}

impl Function {
    const ALL: [(&'static str, Function); 8] = [
        ("<", Function::Less),
        ("<=", Function::LessOrEqual),
        ("==", Function::Equal),
        ("!=", Function::NotEqual),
        (">=", Function::GreaterOrEqual),
        (">", Function::Greater),
        ("includes", Function::Includes),
        ("excludes", Function::Excludes),
    ];
}

/// `<condition>`; a boolean instead is ovsdb-server(7)'s extension.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    Constant(bool),
    Compare { column: usize, function: Function, argument: Datum },
}

/// Clauses in the order given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    pub clauses: Vec<Clause>,
}

/// The type of a column by number, `_uuid` and `_version` too.
pub(crate) fn column_type(schema: &TableSchema, column: usize) -> Type {
    match column {
        UUID | VERSION => Type::scalar(AtomKind::Uuid),
        other => schema.columns[other].ty.clone(),
    }
}

/// The name of a column by number.
pub(crate) fn column_name(schema: &TableSchema, column: usize) -> &str {
    match column {
        UUID => "_uuid",
        VERSION => "_version",
        other => &schema.columns[other].name,
    }
}

/// A column by name, `_uuid` and `_version` too.
pub(crate) fn find_column(schema: &TableSchema, name: &str) -> Option<usize> {
    match name {
        "_uuid" => Some(UUID),
        "_version" => Some(VERSION),
        other => schema.column(other),
    }
}

impl Condition {
    pub fn from_json(schema: &TableSchema, json: &Json, names: &mut dyn Names) -> Result<Condition, Error> {
        let clauses = json.as_array().ok_or_else(|| Error::syntax(json, "array expected"))?;
        let clauses: Result<_, _> = clauses.iter().map(|c| Clause::from_json(schema, c, names)).collect();
        Ok(Condition { clauses: clauses? })
    }

    /// Whether a row meets all clauses.
    pub fn matches(&self, row: &Row) -> bool {
        self.clauses.iter().all(|clause| clause.matches(row))
    }

    /// Whether a row meets any clause; one of no clauses is met by all.
    pub fn matches_any(&self, row: &Row) -> bool {
        self.clauses.is_empty() || self.clauses.iter().any(|clause| clause.matches(row))
    }

    /// The row that it names.
    pub fn uuid(&self) -> Option<Uuid> {
        self.equal_to(UUID).and_then(Datum::single).and_then(Atom::uuid)
    }

    /// What a column must be equal to.
    pub fn equal_to(&self, column: usize) -> Option<&Datum> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Compare { column: c, function: Function::Equal, argument } if *c == column => Some(argument),
            _ => None,
        })
    }

    pub fn to_json(&self, schema: &TableSchema) -> Json {
        Json::Array(self.clauses.iter().map(|clause| clause.to_json(schema)).collect())
    }
}

impl Clause {
    fn from_json(schema: &TableSchema, json: &Json, names: &mut dyn Names) -> Result<Clause, Error> {
        if let Json::Bool(constant) = json {
            return Ok(Clause::Constant(*constant));
        }
        let Some([Json::Str(column), Json::Str(function), argument]) = json.as_array() else {
            return Err(Error::syntax(json, "Parse error in condition."));
        };
        let Some(number) = find_column(schema, column) else {
            let text = format!("No column {column} in table {}.", schema.name);
            return Err(Error::new("unknown column", text).at(json));
        };
        let found = Function::ALL.into_iter().find(|(name, _)| *name == &**function);
        let (_, function_kind) =
            found.ok_or_else(|| Error::new("unknown function", format!("No function named {function}.")))?;
        let mut ty = column_type(schema, number);
        match function_kind {
            Function::Less | Function::LessOrEqual | Function::Greater | Function::GreaterOrEqual => {
                let ordered = matches!(ty.key.kind, AtomKind::Integer | AtomKind::Real);
                if !ordered || !(ty.is_scalar() || ty.is_optional_scalar()) {
                    let english = ty.english();
                    let text = format!(
                        "Type mismatch: \"{function}\" operator may not be applied to column {column} of type {english}."
                    );
                    return Err(Error::syntax(json, text));
                }
                ty.min = 1;
            }
            Function::Includes | Function::Excludes => {
                if !ty.is_scalar() {
                    ty.min = 0;
                    ty.max = u32::MAX;
                }
            }
            Function::Equal | Function::NotEqual => {}
        }
        let argument = Datum::from_json(&ty, argument, names)?;
        Ok(Clause::Compare { column: number, function: function_kind, argument })
    }

    pub fn matches(&self, row: &Row) -> bool {
        let (column, function, argument) = match self {
            Clause::Constant(constant) => return *constant,
            Clause::Compare { column, function, argument } => (*column, *function, argument),
        };
        let pseudo;
        let value = match column {
            UUID | VERSION => {
                pseudo = row.column(column);
                &pseudo
            }
            other => &row.columns[other],
        };
        match function {
            Function::Equal => value == argument,
            Function::NotEqual => value != argument,
            Function::Includes => value.includes(argument),
            Function::Excludes => value.excludes(argument),
            _ => {
                // of an empty column nothing is true
                let (Some(value), Some(argument)) = (value.single(), argument.single()) else { return false };
                match function {
                    Function::Less => value < argument,
                    Function::LessOrEqual => value <= argument,
                    Function::Greater => value > argument,
                    _ => value >= argument,
                }
            }
        }
    }

    fn to_json(&self, schema: &TableSchema) -> Json {
        match self {
            Clause::Constant(constant) => Json::Bool(*constant),
            Clause::Compare { column, function, argument } => {
                let name = Function::ALL.into_iter().find(|(_, f)| f == function).map_or("==", |(name, _)| name);
                let ty = column_type(schema, *column);
                Json::Array(vec![column_name(schema, *column).into(), name.into(), argument.to_json_as(&ty)])
            }
        }
    }
}
