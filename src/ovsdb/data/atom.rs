//! Single values: integer, real, boolean, string, UUID.

use crate::error::Error;
use crate::json::Json;
use crate::uuid::Uuid;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The type of an atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtomKind {
    Integer,
    Real,
    Boolean,
    String,
    Uuid,
}

impl AtomKind {
    pub const ALL: [AtomKind; 5] =
        [AtomKind::Integer, AtomKind::Real, AtomKind::Boolean, AtomKind::String, AtomKind::Uuid];

    pub const fn name(self) -> &'static str {
        match self {
            AtomKind::Integer => "integer",
            AtomKind::Real => "real",
            AtomKind::Boolean => "boolean",
            AtomKind::String => "string",
            AtomKind::Uuid => "uuid",
        }
    }

    pub fn parse(json: &Json) -> Result<AtomKind, Error> {
        let name = json.as_str().ok_or_else(|| Error::syntax(json, "atomic-type expected"))?;
        let found = AtomKind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| Error::syntax(json, format!("\"{name}\" is not an atomic-type")))
    }

    /// The default of RFC 7047, 5.2.1.
    pub fn default_atom(self) -> Atom {
        match self {
            AtomKind::Integer => Atom::Integer(0),
            AtomKind::Real => Atom::Real(0.0),
            AtomKind::Boolean => Atom::Boolean(false),
            AtomKind::String => Atom::String(Arc::from("")),
            AtomKind::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }
}

/// A single value. Reals are ordered, zero is one number, and there is no NaN, as JSON has none.
#[derive(Clone, Debug)]
pub enum Atom {
    Integer(i64),
    Real(f64),
    Boolean(bool),
    String(Arc<str>),
    Uuid(Uuid),
}

/// What `named-uuid` stands for while a transaction is read.
pub trait Names {
    /// The UUID of the row that is or will be named so; none where rows have no names.
    fn named(&mut self, name: &str) -> Option<Uuid>;

    /// Whether rows have names here.
    fn any(&self) -> bool {
        true
    }
}

/// Nothing has a name.
impl Names for () {
    fn named(&mut self, _: &str) -> Option<Uuid> {
        None
    }

    fn any(&self) -> bool {
        false
    }
}

impl Atom {
    pub const fn kind(&self) -> AtomKind {
        match self {
            Atom::Integer(_) => AtomKind::Integer,
            Atom::Real(_) => AtomKind::Real,
            Atom::Boolean(_) => AtomKind::Boolean,
            Atom::String(_) => AtomKind::String,
            Atom::Uuid(_) => AtomKind::Uuid,
        }
    }

    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// Reads an atom of `kind`; constraints are the column's business.
    pub fn from_json(kind: AtomKind, json: &Json, names: &mut dyn Names) -> Result<Atom, Error> {
        match (kind, json) {
            (AtomKind::Integer, Json::Int(i)) => Ok(Atom::Integer(*i)),
            (AtomKind::Real, Json::Int(i)) => Ok(Atom::Real(*i as f64)),
            (AtomKind::Real, Json::Real(r)) => Ok(Atom::Real(*r)),
            (AtomKind::Boolean, Json::Bool(b)) => Ok(Atom::Boolean(*b)),
            (AtomKind::String, Json::Str(s)) => Ok(Atom::String(s.clone())),
            (AtomKind::Uuid, _) => Atom::uuid_from_json(json, names),
            _ => Err(Error::syntax(json, format!("expected {}", kind.name()))),
        }
    }

    fn uuid_from_json(json: &Json, names: &mut dyn Names) -> Result<Atom, Error> {
        let bad = || Error::syntax(json, "expected [\"uuid\", <string>]");
        match json.as_array() {
            Some([Json::Str(tag), Json::Str(text)]) if &**tag == "uuid" => Uuid::parse(text)
                .map(Atom::Uuid)
                .ok_or_else(|| Error::syntax(json, format!("\"{text}\" is not a valid UUID"))),
            Some([Json::Str(tag), Json::Str(name)]) if &**tag == "named-uuid" => {
                if names.any() && !super::is_id(name) {
                    return Err(Error::syntax(json, "named-uuid string is not a valid <id>"));
                }
                names.named(name).map(Atom::Uuid).ok_or_else(bad)
            }
            _ => Err(bad()),
        }
    }

    pub fn to_json(&self) -> Json {
        match self {
            Atom::Integer(i) => Json::Int(*i),
            // as the reader has it, so that the text is the same
            Atom::Real(r) if r.fract() == 0.0 && r.abs() < 9.2e18 => Json::Int(*r as i64),
            Atom::Real(r) => Json::Real(*r),
            Atom::Boolean(b) => Json::Bool(*b),
            Atom::String(s) => Json::Str(s.clone()),
            Atom::Uuid(uuid) => Json::pair("uuid", uuid.to_string()),
        }
    }

    /// Appends the text of its JSON.
    pub(crate) fn write_to(&self, out: &mut String) {
        match self {
            Atom::Uuid(uuid) => {
                out.push_str("[\"uuid\",\"");
                uuid.write_to(out);
                out.push_str("\"]");
            }
            other => other.to_json().write_to(out),
        }
    }

    /// Whether it is its kind's default.
    pub fn is_default(&self) -> bool {
        match self {
            Atom::Integer(i) => *i == 0,
            Atom::Real(r) => *r == 0.0,
            Atom::Boolean(b) => !b,
            Atom::String(s) => s.is_empty(),
            Atom::Uuid(uuid) => uuid.is_zero(),
        }
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Atom) -> bool {
        match (self, other) {
            (Atom::Uuid(a), Atom::Uuid(b)) => a == b,
            (Atom::String(a), Atom::String(b)) => a == b,
            _ => self.cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Atom) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Atom) -> Ordering {
        match (self, other) {
            (Atom::Integer(a), Atom::Integer(b)) => a.cmp(b),
            (Atom::Real(a), Atom::Real(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Atom::Boolean(a), Atom::Boolean(b)) => a.cmp(b),
            (Atom::String(a), Atom::String(b)) => a.cmp(b),
            (Atom::Uuid(a), Atom::Uuid(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Atom::Integer(i) => i.hash(state),
            // both zeros are one number
            Atom::Real(r) => (if *r == 0.0 { 0 } else { r.to_bits() }).hash(state),
            Atom::Boolean(b) => b.hash(state),
            Atom::String(s) => s.hash(state),
            Atom::Uuid(uuid) => uuid.hash(state),
        }
    }
}
