//! Mutations: arithmetic on numbers, members of sets and maps.

use crate::data::{Atom, AtomKind, Datum, Names, TableSchema, Type};
use crate::error::Error;
use crate::json::Json;
use crate::table::Row;

use super::condition::{column_name, column_type, find_column};

/// `<mutator>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Insert,
    Delete,
}

impl Mutator {
    const ALL: [(&'static str, Mutator); 7] = [
        ("+=", Mutator::Add),
        ("-=", Mutator::Subtract),
        ("*=", Mutator::Multiply),
        ("/=", Mutator::Divide),
        ("%=", Mutator::Remainder),
        ("insert", Mutator::Insert),
        ("delete", Mutator::Delete),
    ];
}

/// `<mutation>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    pub column: usize,
    name: &'static str,
    mutator: Mutator,
    argument: Datum,
}

impl Mutation {
    pub fn from_json(schema: &TableSchema, json: &Json, names: &mut dyn Names) -> Result<Mutation, Error> {
        let Some([Json::Str(column), Json::Str(mutator), argument]) = json.as_array() else {
            return Err(Error::syntax(json, "Parse error in mutation."));
        };
        let Some(number) = find_column(schema, column) else {
            let text = format!("No column {column} in table {}.", schema.name);
            return Err(Error::new("unknown column", text).at(json));
        };
        if !schema.columns.get(number).is_some_and(|c| c.mutable) {
            let text =
                format!("Cannot mutate immutable column {} in table {}.", column_name(schema, number), schema.name);
            return Err(Error::constraint(text).at(json));
        }
        let found = Mutator::ALL.into_iter().find(|(name, _)| *name == &**mutator);
        let Some((name, mutator)) = found else {
            return Err(Error::new("unknown mutator", format!("No mutator named {mutator}.")));
        };
        let ty = column_type(schema, number);
        let mismatch = || {
            let english = ty.english();
            let text =
                format!("Type mismatch: \"{name}\" operator may not be applied to column {column} of type {english}.");
            Err(Error::syntax(json, text))
        };
        let argument = match mutator {
            Mutator::Insert | Mutator::Delete => {
                if ty.is_scalar() {
                    return mismatch();
                }
                let many = Type { min: 0, ..ty.clone() };
                if mutator == Mutator::Insert {
                    Datum::from_json(&many, argument, names)?
                } else {
                    // a map's members may be given by key alone
                    let keys = Type { value: None, max: u32::MAX, ..many.clone() };
                    let many = Type { max: u32::MAX, ..many };
                    let is_map = matches!(argument.as_array(), Some([Json::Str(tag), _]) if &**tag == "map");
                    Datum::from_json(if is_map { &many } else { &keys }, argument, names)?
                }
            }
            _ => {
                let number = match ty.key.kind {
                    AtomKind::Integer => true,
                    AtomKind::Real => mutator != Mutator::Remainder,
                    _ => false,
                };
                if !number || ty.is_map() {
                    return mismatch();
                }
                // the column's constraints are for the result
                Datum::from_json(&Type::scalar(ty.key.kind), argument, names)?
            }
        };
        Ok(Mutation { column: number, name, mutator, argument })
    }

    /// Applies it to a row.
    pub fn apply(&self, schema: &TableSchema, row: &mut Row) -> Result<(), Error> {
        let ty = &schema.columns[self.column].ty;
        let datum = &row.columns[self.column];
        let result = match self.mutator {
            Mutator::Insert => datum.union(&self.argument),
            Mutator::Delete => datum.subtract(&self.argument),
            _ => {
                let n = datum.len();
                let atoms: Result<Vec<Atom>, Error> = datum.atoms().map(|atom| self.compute(atom)).collect();
                let atoms = atoms?;
                atoms.iter().try_for_each(|atom| ty.key.check(atom))?;
                let result = Datum::set(atoms);
                if result.len() < n {
                    let text = format!("Result of \"{}\" operation contains duplicates.", self.name);
                    return Err(Error::constraint(text));
                }
                result
            }
        };
        result.check_size(ty)?;
        row.columns[self.column] = result;
        Ok(())
    }

    fn compute(&self, atom: &Atom) -> Result<Atom, Error> {
        let range = || Error::new("range error", format!("Result of \"{}\" operation is out of range.", self.name));
        let zero = || Error::new("domain error", "Division by zero.");
        match (atom, self.argument.single()) {
            (&Atom::Integer(x), Some(&Atom::Integer(y))) => match self.mutator {
                Mutator::Add => x.checked_add(y),
                Mutator::Subtract => x.checked_sub(y),
                Mutator::Multiply => x.checked_mul(y),
                _ if y == 0 => return Err(zero()),
                Mutator::Divide => x.checked_div(y),
                // the one remainder that overflows is zero
                _ => Some(x.checked_rem(y).unwrap_or(0)),
            }
            .map(Atom::Integer)
            .ok_or_else(range),
            (&Atom::Real(x), Some(&Atom::Real(y))) => {
                let result = match self.mutator {
                    Mutator::Add => x + y,
                    Mutator::Subtract => x - y,
                    Mutator::Multiply => x * y,
                    _ if y == 0.0 => return Err(zero()),
                    _ => x / y,
                };
                if result.is_finite() { Ok(Atom::Real(result)) } else { Err(range()) }
            }
            _ => Err(Error::new("internal error", "a mutation's argument is of another type than its column")),
        }
    }
}
