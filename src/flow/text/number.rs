//! Numbers as C's `strtoull` reads them with base 0: decimal, `0x` hexadecimal, leading `0` octal, a sign.
#![deny(clippy::indexing_slicing)]

/// Why a number cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    Syntax,
    TooLarge,
}

/// A number of at most 64 bits; negative ones wrap around.
pub fn u64(text: &str) -> Result<u64, Bad> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    let (digits, radix) = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        (hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    // from_str_radix would take a second sign.
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return Err(Bad::Syntax);
    }
    let n = u64::from_str_radix(digits, radix).map_err(|_| Bad::TooLarge)?;
    Ok(if negative { n.wrapping_neg() } else { n })
}

/// A number of `bytes` bytes, big-endian. Beyond 64 bits it must be hexadecimal.
pub fn wide(text: &str, bytes: usize) -> Result<Vec<u8>, Bad> {
    let mut out = vec![0; bytes];
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Bad::Syntax);
        }
        let digits = hex.trim_start_matches('0').bytes().rev();
        if digits.len() > bytes * 2 {
            return Err(Bad::TooLarge);
        }
        for (i, d) in digits.enumerate() {
            let d = char::from(d).to_digit(16).unwrap_or(0) as u8;
            if let Some(b) = out.iter_mut().rev().nth(i / 2) {
                *b |= d << (4 * (i % 2));
            }
        }
        return Ok(out);
    }
    let n = u64(text)?;
    if bytes < 8 && n >> (8 * bytes) != 0 {
        return Err(Bad::TooLarge);
    }
    for (to, from) in out.iter_mut().rev().zip(n.to_le_bytes()) {
        *to = from;
    }
    Ok(out)
}

/// A number of at most 16 bytes.
pub fn u128(text: &str, bytes: usize) -> Result<u128, Bad> {
    Ok(wide(text, bytes)?.iter().fold(0, |n, b| n << 8 | u128::from(*b)))
}
