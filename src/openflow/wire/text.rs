//! Bytes for people.

use std::fmt::Write;

/// Sixteen bytes a line with their offset, and what of them is ASCII when `ascii` says so.
pub fn hex_dump(bytes: &[u8], ascii: bool) -> String {
    let mut out = String::new();
    for (i, line) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:08x} ", 16 * i);
        for n in 0..16 {
            let gap = if n == 8 { '-' } else { ' ' };
            let _ = match line.get(n) {
                Some(b) => write!(out, "{}{b:02x}", if n == 0 { ' ' } else { gap }),
                None if n == line.len() && n == 8 => write!(out, "-{}", if ascii { "  " } else { "" }),
                None if ascii => write!(out, "   "),
                None => Ok(()),
            };
        }
        if ascii {
            let text = line.iter().map(|b| if (0x20..0x7f).contains(b) { *b as char } else { '.' }).collect::<String>();
            let _ = write!(out, " |{text:<16}|");
        }
        out.push('\n');
    }
    out
}
