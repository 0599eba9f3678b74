//! Why a text was refused.

use std::fmt;

/// Why a text was refused, in the words of ovs-ofctl where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl ParseError {
    pub fn new(message: impl Into<String>) -> ParseError {
        ParseError(message.into())
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

impl From<flow::text::ParseError> for ParseError {
    fn from(e: flow::text::ParseError) -> ParseError {
        ParseError(e.0)
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
