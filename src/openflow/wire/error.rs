//! What a peer did wrong, as an OpenFlow error that it is to be told.

use super::codes::ErrorCode;
use std::fmt;

/// A message was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: ErrorCode,
    /// Lines for the log: the part of the protocol, by the names that Open vSwitch's log has, and what is wrong.
    pub log: Vec<(&'static str, String)>,
}

impl Error {
    pub fn new(code: ErrorCode) -> Error {
        Error { code, log: Vec::new() }
    }

    /// The same with words for the log.
    pub fn because(code: ErrorCode, module: &'static str, detail: impl Into<String>) -> Error {
        Error { code, log: vec![(module, detail.into())] }
    }

    /// One more line for the log.
    pub fn and(mut self, module: &'static str, detail: impl Into<String>) -> Error {
        self.log.push((module, detail.into()));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log.first() {
            None => self.code.fmt(f),
            Some((_, detail)) => write!(f, "{detail} ({})", self.code),
        }
    }
}

impl std::error::Error for Error {}

/// Result of decoding.
pub type Result<T> = std::result::Result<T, Error>;

/// Gives up with `code`.
pub fn refuse<T>(code: ErrorCode) -> Result<T> {
    Err(Error::new(code))
}

/// Gives up with `code` and words for the log.
pub fn refuse_because<T>(code: ErrorCode, module: &'static str, detail: impl Into<String>) -> Result<T> {
    Err(Error::because(code, module, detail))
}

/// The errors of an action's check, whose codes are names.
impl From<crate::action::CheckError> for Error {
    fn from(e: crate::action::CheckError) -> Error {
        let code = ErrorCode::by_name(e.code).unwrap_or(super::codes::OFPBAC_BAD_ARGUMENT);
        if e.detail.is_empty() { Error::new(code) } else { Error::because(code, e.module(), e.detail) }
    }
}
