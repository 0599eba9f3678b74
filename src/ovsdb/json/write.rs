//! JSON text out of values: compact, or indented for people.

use super::Json;
use std::fmt::{self, Display, Formatter, Write};

impl Display for Json {
    /// Compact, without any space.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        value(f, self)
    }
}

impl Json {
    /// With a member or element on each line.
    pub fn pretty(&self) -> String {
        let mut text = String::new();
        // writing to a String cannot fail
        let _ = indented(&mut text, self, 0);
        text
    }

    /// Appends its compact text.
    pub fn write_to(&self, out: &mut String) {
        // writing to a String cannot fail
        let _ = value(out, self);
    }
}

fn value(out: &mut impl Write, json: &Json) -> fmt::Result {
    match json {
        Json::Array(elements) => {
            out.write_char('[')?;
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                value(out, element)?;
            }
            out.write_char(']')
        }
        Json::Object(members) => {
            out.write_char('{')?;
            for (i, (name, member)) in members.iter().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                string(out, name)?;
                out.write_char(':')?;
                value(out, member)?;
            }
            out.write_char('}')
        }
        scalar => leaf(out, scalar),
    }
}

fn leaf(out: &mut impl Write, json: &Json) -> fmt::Result {
    match json {
        Json::Bool(b) => write!(out, "{b}"),
        Json::Int(i) => write!(out, "{i}"),
        Json::Real(r) => out.write_str(&real(*r)),
        Json::Str(s) => string(out, s),
        _ => out.write_str("null"),
    }
}

fn indented(out: &mut String, json: &Json, depth: usize) -> fmt::Result {
    let pad = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth * 2));
    };
    match json {
        Json::Array(elements) if !elements.is_empty() => {
            out.push('[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                pad(out, depth + 1);
                indented(out, element, depth + 1)?;
            }
            out.push(']');
            Ok(())
        }
        Json::Object(members) if !members.is_empty() => {
            out.push('{');
            for (i, (name, member)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                pad(out, depth + 1);
                string(out, name)?;
                out.push_str(": ");
                indented(out, member, depth + 1)?;
            }
            out.push('}');
            Ok(())
        }
        other => value(out, other),
    }
}

/// A JSON string literal.
pub(crate) fn string(out: &mut impl Write, s: &str) -> fmt::Result {
    out.write_char('"')?;
    // most strings are as they are, which the compiler finds out many bytes at a time
    if !s.bytes().fold(false, |escaped, b| escaped | (b < 32) | (b == b'"') | (b == b'\\')) {
        out.write_str(s)?;
        return out.write_char('"');
    }
    let mut plain = 0;
    for (at, byte) in s.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            8 => "\\b",
            12 => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..32 => "",
            _ => continue,
        };
        out.write_str(&s[plain..at])?;
        match short {
            "" => write!(out, "\\u{byte:04x}")?,
            short => out.write_str(short)?,
        }
        plain = at + 1;
    }
    out.write_str(&s[plain..])?;
    out.write_char('"')
}

/// A real number in C's `%.15g`, with as many digits more as it takes to read the same number back.
fn real(r: f64) -> String {
    if !r.is_finite() {
        return "null".into();
    }
    let fifteen = general(r, 15);
    match fifteen.parse::<f64>() {
        Ok(back) if back == r => fifteen,
        _ => general(r, 17),
    }
}

/// `%.{digits}g` of C.
fn general(r: f64, digits: usize) -> String {
    let scientific = format!("{:.*e}", digits - 1, r);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| match s.contains('.') {
        true => s.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => s.to_owned(),
    };
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    } else {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        trim(&format!("{r:.decimals$}"))
    }
}
