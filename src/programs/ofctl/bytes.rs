//! Hexadecimal digits to bytes, and lines of bytes.

/// The bytes that pairs of digits in `text` are; white space may stand anywhere.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).ok_or_else(|| format!("Trailing garbage in hex data: {c}")))
        .collect::<Result<_, _>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("Trailing garbage in hex data: an odd number of digits".to_owned());
    }
    Ok(pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect())
}

/// Where what was read and what is written of it differ, as far as `known` bytes.
pub(super) fn differences(read: &[u8], written: &[u8]) -> String {
    let byte = |b: Option<&u8>| b.map_or_else(|| "(none)".to_owned(), |b| format!("{b:02x}"));
    let lines = (0..read.len().max(written.len())).filter_map(|i| {
        let (a, b) = (read.get(i), written.get(i));
        (a != b).then(|| format!("{i:2}: {} -> {}\n", byte(a), byte(b)))
    });
    lines.collect()
}
