//! Values and what columns allow: atoms, sets and maps, types, schemas (RFC 7047, sections 3.2 and 5.1).

mod atom;
mod atoms;
mod datum;
mod members;
mod schema;
pub mod text;
mod types;

#[cfg(test)]
mod tests;

pub use atom::{Atom, AtomKind, Names};
pub use atoms::Atoms;
pub use datum::Datum;
pub(crate) use datum::changed;
pub use members::{Members, What, is_id, kind};
pub use schema::{Column, Schema, TableSchema, version_numbers};
pub use types::{BaseType, Reference, Type};
