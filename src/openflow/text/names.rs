//! Names of ports and tables, to read and to print.

use crate::types::{OfPort, TableId};
use flow::fields::tlv::TlvTable;
use flow::fields::value::{port_from_11, port_to_11};

/// Which port or table has which name. Reserved ports are known without it.
pub trait PortNames {
    /// The port called `name`.
    fn number(&self, name: &str) -> Option<OfPort>;
    /// The name of `port`, when it is to be printed.
    fn name(&self, port: OfPort) -> Option<String>;
    /// The table called `name`.
    fn table_number(&self, _name: &str) -> Option<TableId> {
        None
    }
    /// The name of `table`, when it is to be printed.
    fn table_name(&self, _table: TableId) -> Option<String> {
        None
    }
    /// Where tunnel options are.
    fn tlv(&self) -> Option<&TlvTable> {
        None
    }
}

/// The same for the text of matches.
pub(crate) struct ForFlow<'a>(pub(crate) &'a dyn PortNames);

impl flow::text::Names for ForFlow<'_> {
    fn port(&self, name: &str) -> Option<u16> {
        self.0.number(&unquote(name)?).and_then(|p| port_from_11(p.0))
    }

    fn port_name(&self, port: u16) -> Option<String> {
        self.0.name(OfPort(port_to_11(port)))
    }

    fn tlv(&self) -> Option<&TlvTable> {
        self.0.tlv()
    }
}

/// No names: numbers and reserved ports alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl PortNames for NoNames {
    fn number(&self, _name: &str) -> Option<OfPort> {
        None
    }
    fn name(&self, _port: OfPort) -> Option<String> {
        None
    }
}

/// Reads a port: a decimal number, a reserved name in any case, or a name, quoted or not.
///
/// The 16-bit numbers of OpenFlow 1.0's reserved ports mean the 32-bit ones; other numbers that are no port are refused.
pub fn parse_port(text: &str, names: &dyn PortNames) -> Option<OfPort> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let n = text.parse::<u32>().ok()?;
        return match n {
            0..0xff00 => Some(OfPort(n)),
            0xff00..=0xffff => Some(OfPort(n | 0xffff_0000)),
            0xffff_ff00.. => Some(OfPort(n)),
            _ => None,
        };
    }
    OfPort::by_reserved_name(text).or_else(|| names.number(&unquote(text)?))
}

/// The text of a port: its name (quoted when it could be taken for something else), or its number.
pub fn port_text(port: OfPort, names: &dyn PortNames) -> String {
    match (port.reserved_name(), names.name(port)) {
        (Some(reserved), _) => reserved.to_owned(),
        (None, Some(name)) => quote(&name),
        (None, None) => port.0.to_string(),
    }
}

/// Reads a table: a number from 0 to 255, or a name.
pub fn parse_table(text: &str, names: &dyn PortNames) -> Option<TableId> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(TableId);
    }
    names.table_number(&unquote(text)?)
}

/// The text of a table.
pub fn table_text(table: TableId, names: &dyn PortNames) -> String {
    names.table_name(table).map_or_else(|| table.0.to_string(), |n| quote(&n))
}

/// Puts `name` in double quotes with JSON's escapes, unless it is a letter followed by letters and digits.
pub fn quote(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = name.bytes();
    if bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && bytes.all(plain) {
        return name.to_owned();
    }
    let mut out = String::from('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Undoes [`quote`]; a text that does not begin with a quote is itself.
pub fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let mut chars = inner.strip_suffix('"')?.chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'b' => out.push('\u{8}'),
                'f' => out.push('\u{c}'),
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    out.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
                }
                c @ ('"' | '\\' | '/') => out.push(c),
                _ => return None,
            },
            c => out.push(c),
        }
    }
    Some(out)
}
