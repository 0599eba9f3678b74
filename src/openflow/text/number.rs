//! Numbers as C's strtoull reads them in base 0: decimal, 0x hexadecimal, 0 octal.

use super::error::{Result, bail};

/// The number that `text` begins with, and what follows it.
pub fn prefix(text: &str) -> Option<(u128, &str)> {
    let (base, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', d, ..] if d.is_ascii_hexdigit() => (16, text.get(2..)?),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let end = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    let (number, rest) = digits.split_at_checked(end)?;
    let value =
        number.chars().try_fold(0u128, |n, c| n.checked_mul(base.into())?.checked_add(c.to_digit(base)?.into()))?;
    (!number.is_empty()).then_some((value, rest))
}

/// `text` as one number, whatever its size up to 128 bits.
pub fn whole(text: &str) -> Option<u128> {
    prefix(text).filter(|(_, rest)| rest.is_empty()).map(|(n, _)| n)
}

/// An 8-bit number that is called `what`.
pub fn u8_named(text: &str, what: &str) -> Result<u8> {
    match whole(text).and_then(|n| u8::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => bail!("invalid {what} \"{text}\""),
    }
}

/// A 16-bit number that is called `what`.
pub fn u16_named(text: &str, what: &str) -> Result<u16> {
    match whole(text).and_then(|n| u16::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => bail!("invalid {what} \"{text}\""),
    }
}

/// A 32-bit number; negative ones wrap.
pub fn u32_plain(text: &str) -> Result<u32> {
    let wide = u64_plain(text)?;
    match (text.starts_with('-'), u32::try_from(wide)) {
        (true, _) => Ok(wide as u32),
        (false, Ok(n)) => Ok(n),
        (false, Err(_)) => bail!("{text}: value does not fit into 32 bits"),
    }
}

/// A 64-bit number; negative ones wrap.
pub fn u64_plain(text: &str) -> Result<u64> {
    if text.is_empty() {
        bail!("missing required numeric argument");
    }
    let value = match text.strip_prefix('-') {
        Some(rest) => whole(rest).and_then(|n| u64::try_from(n).ok()).map(u64::wrapping_neg),
        None => whole(text).and_then(|n| u64::try_from(n).ok()),
    };
    match value {
        Some(n) => Ok(n),
        None => bail!("invalid numeric format {text}"),
    }
}

/// C's `%#x`: 0 has no prefix.
pub fn hex(value: impl Into<u128>) -> String {
    match value.into() {
        0 => "0".to_owned(),
        n => format!("{n:#x}"),
    }
}

/// Pairs of hexadecimal digits, periods between them allowed.
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut digits = text.chars().peekable();
    loop {
        while digits.next_if_eq(&'.').is_some() {}
        let Some(high) = digits.next() else {
            return Some(bytes);
        };
        let low = digits.next()?.to_digit(16)?;
        bytes.push((high.to_digit(16)? << 4 | low) as u8);
    }
}

/// Bytes as [`hex_bytes`] reads them.
pub fn bytes_text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(".")
}
