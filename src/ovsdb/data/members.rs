//! Takes an object apart, member by member: what is missing, of another type or unknown is an error that names it.

use crate::error::Error;
use crate::json::Json;
use std::fmt;

/// Kinds of JSON values that a member may have, as bits.
pub mod kind {
    pub const NULL: u8 = 1;
    pub const BOOL: u8 = 2;
    pub const INT: u8 = 4;
    pub const REAL: u8 = 8;
    pub const STRING: u8 = 16;
    pub const ARRAY: u8 = 32;
    pub const OBJECT: u8 = 64;
    /// A string that is an `<id>`.
    pub const ID: u8 = 128;
    pub const NUMBER: u8 = INT | REAL;
    pub const ANY: u8 = NULL | BOOL | NUMBER | STRING | ARRAY | OBJECT;
}

/// Whether `text` is an `<id>`: letters, digits and underscores, not a digit first.
pub fn is_id(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn kind_of(json: &Json) -> u8 {
    match json {
        Json::Null => kind::NULL,
        Json::Bool(_) => kind::BOOL,
        Json::Int(_) => kind::INT,
        Json::Real(_) => kind::REAL,
        Json::Str(s) if is_id(s) => kind::STRING | kind::ID,
        Json::Str(_) => kind::STRING,
        Json::Array(_) => kind::ARRAY,
        Json::Object(_) => kind::OBJECT,
    }
}

/// What an object is, for errors: put into words when there is one.
#[derive(Clone, Debug)]
pub enum What {
    Named(String),
    /// An operation of a transaction, of how many.
    Operation(usize, usize),
}

impl From<String> for What {
    fn from(name: String) -> What {
        What::Named(name)
    }
}

impl From<&str> for What {
    fn from(name: &str) -> What {
        What::Named(name.to_owned())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Named(name) => f.write_str(name),
            What::Operation(at, of) => write!(f, "ovsdb operation {at} of {of}"),
        }
    }
}

/// An object that is being read. The first error stays; [`Members::finish`] returns it.
pub struct Members<'a> {
    json: &'a Json,
    what: What,
    used: Vec<&'a str>,
    error: Option<String>,
}

impl<'a> Members<'a> {
    /// Reads `json`, which errors call `what`.
    pub fn new(json: &'a Json, what: impl Into<What>) -> Self {
        let error = json.as_object().is_none().then(|| "Object expected.".to_owned());
        Members { json, what: what.into(), used: Vec::new(), error }
    }

    /// A member that must be there.
    pub fn required(&mut self, name: &str, kinds: u8) -> Option<&'a Json> {
        let value = self.optional(name, kinds);
        if value.is_none() {
            self.fail(|| format!("Required '{name}' member is missing."));
        }
        value
    }

    /// A member that may be there.
    pub fn optional(&mut self, name: &str, kinds: u8) -> Option<&'a Json> {
        let (name, value) = self.json.as_object()?.get_key_value(name)?;
        self.used.push(name);
        if kind_of(value) & kinds == 0 {
            self.fail(|| format!("Type mismatch for member '{name}'."));
        }
        Some(value)
    }

    /// A string member that must be there.
    pub fn string(&mut self, name: &str) -> &'a str {
        self.required(name, kind::STRING).and_then(Json::as_str).unwrap_or_default()
    }

    /// A boolean member that may be there.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.optional(name, kind::BOOL).and_then(Json::as_bool)
    }

    /// An integer member that may be there.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        self.optional(name, kind::INT).and_then(Json::as_int)
    }

    fn fail(&mut self, text: impl FnOnce() -> String) {
        if self.error.is_none() {
            self.error = Some(text());
        }
    }

    /// The first error so far.
    pub fn check(&self) -> Result<(), Error> {
        match &self.error {
            None => Ok(()),
            Some(text) => {
                let error = Error::new("syntax error", format!("Parsing {} failed: {text}", self.what));
                // what is no object at all is not shown
                Err(if self.json.as_object().is_some() { error.at(self.json) } else { error })
            }
        }
    }

    /// The first error, counting members that nobody asked for.
    pub fn finish(mut self) -> Result<(), Error> {
        let unknown = self.json.as_object().and_then(|o| o.keys().find(|&k| !self.used.contains(&&**k)));
        if let Some(name) = unknown {
            self.fail(|| format!("Member '{name}' is present but not allowed here."));
        }
        self.check()
    }
}
