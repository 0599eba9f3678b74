//! Bytes as hexadecimal text, as `ovs-appctl ofproto/trace` and `ovs-ofctl packet-out` take and print them.

/// The text is no hexadecimal string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHex {
    /// Something else than a digit, at this byte of the text.
    #[error("no hexadecimal digit at position {0}")]
    Digit(usize),
    /// A digit is missing.
    #[error("odd number of hexadecimal digits")]
    Odd,
}

/// Reads bytes of two digits; white space anywhere is ignored.
pub fn parse(text: &str) -> Result<Vec<u8>, BadHex> {
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let digit = c.to_digit(16).ok_or(BadHex::Digit(at))? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => out.push(high << 4 | digit),
        }
    }
    if high.is_some() { Err(BadHex::Odd) } else { Ok(out) }
}

/// Writes bytes as two lower-case digits each.
pub fn dump(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |n: u8| DIGITS[usize::from(n & 15)];
    bytes.iter().flat_map(|&b| [digit(b >> 4), digit(b)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_checked() {
        assert_eq!(parse(" 0aF\n0 "), Ok(vec![0x0a, 0xf0]));
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(parse("0a0"), Err(BadHex::Odd));
        assert_eq!(parse("0a:"), Err(BadHex::Digit(2)));
        assert_eq!(parse("0é"), Err(BadHex::Digit(1)));
    }

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            prop_assert_eq!(parse(&dump(&bytes)), Ok(bytes));
        }
    }
}
