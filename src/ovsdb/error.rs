//! Errors as the protocol has them: a short name, details, and the piece of JSON to blame.

use crate::json::{Json, Object, ParseError};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// An `<error>` of RFC 7047, 3.1, with the names of ovsdb-server(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub tag: Cow<'static, str>,
    pub details: Option<String>,
    /// The text of the JSON that was wrong.
    pub syntax: Option<String>,
    /// What the operating system said.
    pub io: Option<String>,
}

impl Error {
    pub fn new(tag: &'static str, details: impl Into<String>) -> Error {
        Error { tag: Cow::Borrowed(tag), details: Some(details.into()), syntax: None, io: None }
    }

    pub fn bare(tag: &'static str) -> Error {
        Error { tag: Cow::Borrowed(tag), details: None, syntax: None, io: None }
    }

    /// With the JSON to blame.
    pub fn at(mut self, json: &Json) -> Error {
        self.syntax = Some(json.to_string());
        self
    }

    /// A malformed request.
    pub fn syntax(json: &Json, details: impl Into<String>) -> Error {
        Error::new("syntax error", details).at(json)
    }

    /// Of the file named first in `details`.
    pub fn io(details: impl Into<String>, error: &std::io::Error) -> Error {
        Error { io: Some(strerror(error)), ..Error::new("I/O error", details) }
    }

    /// A value outside what its column allows.
    pub fn constraint(details: impl Into<String>) -> Error {
        Error::new("constraint violation", details)
    }

    /// The object of the protocol.
    pub fn to_json(&self) -> Json {
        let mut object = Object::new();
        let mut member = |name: &str, text: &str| object.insert(Arc::from(name), Json::from(text));
        member("error", &self.tag);
        if let Some(details) = &self.details {
            member("details", details);
        }
        if let Some(syntax) = &self.syntax {
            member("syntax", syntax);
        }
        if let Some(io) = &self.io {
            member("io-error", io);
        }
        Json::Object(object)
    }
}

/// The system's words without the number that Rust adds.
pub fn strerror(error: &std::io::Error) -> String {
    if error.raw_os_error().is_none() && error.kind() == std::io::ErrorKind::UnexpectedEof {
        return "End of file".to_owned();
    }
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}

impl fmt::Display for Error {
    /// As the programs print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.syntax {
            write!(f, "syntax \"{syntax}\": ")?;
        }
        f.write_str(&self.tag)?;
        if let Some(details) = &self.details {
            write!(f, ": {details}")?;
        }
        if let Some(io) = &self.io {
            write!(f, " ({io})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Error {
        Error::new("syntax error", error.to_string())
    }
}
