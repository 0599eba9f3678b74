//! Text of matches and field values as ovs-ofctl(8) reads and prints it (ovs-fields(7)).
//!
//! [`parse`] reads matches ([`parse::MatchBuilder`] takes them field by field, for those who read more than a match),
//! [`value`] reads values, [`mod@format`] prints both. Names of ports and places of tunnel options come through [`Names`].
#![deny(clippy::indexing_slicing)]

pub mod format;
pub mod number;
pub mod odp;
pub mod odp_parse;
pub mod parse;
#[cfg(test)]
mod tests;
pub mod value;

use crate::fields::tlv::TlvTable;

/// What text needs to know of the switch it is about.
pub trait Names {
    /// The OpenFlow 1.0 number of the port called `name`.
    fn port(&self, _name: &str) -> Option<u16> {
        None
    }

    /// The name to print for a port; its number is printed when there is none.
    fn port_name(&self, _port: u16) -> Option<String> {
        None
    }

    /// Where tunnel options are.
    fn tlv(&self) -> Option<&TlvTable> {
        None
    }
}

/// No port has a name, no tunnel option a place.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {}

/// Why text cannot be read: what and where, in the words of ovs-ofctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(pub String);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

pub(crate) fn error<T>(text: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError(text.into()))
}

/// Reserved OpenFlow ports (OpenFlow 1.0 numbers) and their names; the first name of a number is what is printed.
const RESERVED: [(&str, u16); 10] = [
    ("UNSET", 0xfff7),
    ("IN_PORT", 0xfff8),
    ("TABLE", 0xfff9),
    ("NORMAL", 0xfffa),
    ("FLOOD", 0xfffb),
    ("ALL", 0xfffc),
    ("CONTROLLER", 0xfffd),
    ("LOCAL", 0xfffe),
    ("ANY", 0xffff),
    ("NONE", 0xffff),
];

/// The OpenFlow 1.0 number of a port given by number (of either version, decimal), reserved name or name.
pub fn parse_port(text: &str, names: &dyn Names) -> Option<u16> {
    if let Ok(n) = text.parse::<u32>() {
        // Ports 0xff00 to 0xfff7 have no meaning but are representable.
        return match n {
            0..=0xffff => Some(n as u16),
            _ => crate::fields::value::port_from_11(n),
        };
    }
    let bare = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let reserved = || RESERVED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, n)| *n);
    match bare {
        Some(name) => names.port(name),
        None => names.port(text).or_else(reserved),
    }
}

/// The text of a port: reserved name, quoted where the name would not be read back otherwise, or number.
pub fn format_port(port: u16, names: &dyn Names) -> String {
    if let Some((name, _)) = RESERVED.iter().find(|(_, n)| *n == port) {
        return (*name).to_owned();
    }
    match names.port_name(port) {
        Some(name) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let reserved = RESERVED.iter().any(|(r, _)| r.eq_ignore_ascii_case(&name));
            let number = name.starts_with(|c: char| c.is_ascii_digit());
            if name.chars().all(plain) && !reserved && !number && !name.is_empty() { name } else { format!("{name:?}") }
        }
        None => port.to_string(),
    }
}
