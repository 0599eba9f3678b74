//! Why a text was refused.

use crate::action::CheckError;
use std::fmt;

/// Why a text was refused, in the words of ovs-ofctl where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    message: String,
    /// What ovs-ofctl logs before a message without it, by module.
    note: Option<(&'static str, String)>,
}

impl ParseError {
    pub fn new(message: impl Into<String>) -> ParseError {
        ParseError { message: message.into(), note: None }
    }

    /// The message without its beginning, and that by the module which says it, where the two are told apart.
    pub fn parts(&self) -> (Option<(&'static str, &str)>, &str) {
        let Some((module, note)) = &self.note else { return (None, &self.message) };
        let rest = self.message.strip_prefix(note.as_str()).and_then(|rest| rest.strip_prefix(": "));
        (Some((module, note)), rest.unwrap_or(&self.message))
    }

    /// The same behind what ovs-ofctl logs first.
    pub(crate) fn noted(self, module: &'static str, note: String) -> ParseError {
        ParseError { message: format!("{note}: {}", self.message), note: Some((module, note)) }
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

impl From<flow::text::ParseError> for ParseError {
    fn from(e: flow::text::ParseError) -> ParseError {
        // a number that no port has is logged too, by who knows ports
        let port = e.0.split_once(": port value out of range").and_then(|(n, _)| n.parse::<u32>().ok());
        let note = port.map(|n| {
            format!("port {n} is outside the supported range 0 through ffff or 0xffffff00 through 0xffffffff")
        });
        match note {
            Some(note) => ParseError::new(e.0).noted("ofp_port", note),
            None => ParseError::new(e.0),
        }
    }
}

impl From<CheckError> for ParseError {
    fn from(e: CheckError) -> ParseError {
        let note = (!e.detail.is_empty()).then(|| (e.module(), e.detail.clone()));
        ParseError { message: e.to_string(), note }
    }
}

/// Result of reading text.
pub type Result<T> = std::result::Result<T, ParseError>;

macro_rules! bail {
    ($($arg:tt)*) => {
        return Err($crate::text::ParseError::new(format!($($arg)*)))
    };
}
pub(crate) use bail;
