//! Values as ovs-vsctl(8), "Database Values", writes them.

use super::{Atom, Datum};
use crate::json::{self, Json};

/// An atom; a string in quotes where it could be taken for something else.
pub fn atom(atom: &Atom) -> String {
    match atom {
        Atom::String(s) if is_bare_word(s) => s.to_string(),
        Atom::Uuid(uuid) => uuid.to_string(),
        other => other.to_json().to_string(),
    }
}

/// Whether a string needs no quotes: a word of letters, digits, `_`, `-`, `.` that begins with a letter or underscore and
/// is neither a boolean nor a UUID.
fn is_bare_word(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && s != "true"
        && s != "false"
        && crate::Uuid::parse(s).is_none()
}

/// A set in brackets, a map in braces, one member of a set bare; `map` tells an empty map from an empty set.
pub fn datum(datum: &Datum, map: bool) -> String {
    match datum {
        Datum::Empty => (if map { "{}" } else { "[]" }).into(),
        Datum::One(one) => atom(one),
        Datum::Set(atoms) => format!("[{}]", join(atoms.iter().map(atom), ", ")),
        Datum::Map(pairs) => {
            format!("{{{}}}", join(pairs.iter().map(|(k, v)| format!("{}={}", atom(k), atom(v))), ", "))
        }
    }
}

/// The same of a column's type: one member is in brackets where there could be more.
pub fn datum_as(value: &Datum, ty: &super::Type) -> String {
    match value {
        Datum::One(one) if ty.max > 1 => format!("[{}]", atom(one)),
        other => datum(other, ty.is_map()),
    }
}

/// Without brackets, commas and quotes.
pub fn bare(datum: &Datum) -> String {
    let plain = |atom: &Atom| match atom {
        Atom::String(s) => s.to_string(),
        Atom::Uuid(uuid) => uuid.to_string(),
        other => other.to_json().to_string(),
    };
    match datum {
        Datum::Map(pairs) => join(pairs.iter().map(|(k, v)| format!("{}={}", plain(k), plain(v))), " "),
        other => join(other.atoms().map(plain), " "),
    }
}

fn join(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// A string in JSON's quotes.
pub fn quoted(s: &str) -> String {
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = json::quote(&mut text, s);
    text
}

/// Any JSON as text for a table's cell.
pub fn cell(json: &Json) -> String {
    match json {
        Json::Str(s) => s.to_string(),
        other => other.to_string(),
    }
}
