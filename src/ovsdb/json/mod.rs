//! JSON values as the protocol needs them: integers and reals apart, members in order of their names, strings shared.
//!
//! Of a member that is given twice the last one counts (ovsdb-server(7), 3.1). A number that is written with a fraction but
//! has none is an integer, so `1.0` is `1`.

mod parse;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use parse::{Framer, MAX_DEPTH, ParseError, members, parse};
pub(crate) use write::string as quote;

/// Members by name.
pub type Object = BTreeMap<Arc<str>, Json>;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Str(Arc<str>),
    Array(Vec<Json>),
    Object(Object),
}

impl Json {
    /// An array of two, such as `["uuid", …]`.
    pub fn pair(first: impl Into<Json>, second: impl Into<Json>) -> Json {
        Json::Array(vec![first.into(), second.into()])
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        Json::Object(members.into_iter().map(|(name, value)| (Arc::from(name), value)).collect())
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Json::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(a) => Some(a),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Json::Object(o) => Some(o),
            _ => None,
        }
    }

    /// About how many bytes it takes, as text or in memory.
    pub(crate) fn weight(&self) -> usize {
        let more = match self {
            Json::Str(text) => text.len(),
            Json::Array(elements) => elements.iter().map(Json::weight).sum(),
            Json::Object(members) => members.iter().map(|(name, value)| name.len() + value.weight()).sum(),
            _ => 0,
        };
        more + 8
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }
}

impl From<&str> for Json {
    fn from(s: &str) -> Json {
        Json::Str(Arc::from(s))
    }
}

impl From<String> for Json {
    fn from(s: String) -> Json {
        Json::Str(Arc::from(s))
    }
}

impl From<Arc<str>> for Json {
    fn from(s: Arc<str>) -> Json {
        Json::Str(s)
    }
}

impl From<bool> for Json {
    fn from(b: bool) -> Json {
        Json::Bool(b)
    }
}

impl From<i64> for Json {
    fn from(i: i64) -> Json {
        Json::Int(i)
    }
}

impl From<Vec<Json>> for Json {
    fn from(a: Vec<Json>) -> Json {
        Json::Array(a)
    }
}

impl From<Object> for Json {
    fn from(o: Object) -> Json {
        Json::Object(o)
    }
}
