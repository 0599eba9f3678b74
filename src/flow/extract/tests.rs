//! Extraction against what the stock switch says of the same frames, and against a slow twin.
use super::*;
use crate::text::NoNames;
use crate::text::format::format_flow;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Frames in hexadecimal, each with the flow that ofproto/trace of Open vSwitch 3.1 shows for it (vlan-limit 1). A line
/// that begins with `!` is where we differ on purpose: an NSH header that says it is shorter than it is has no fields.
#[test]
fn frames_as_the_stock_switch_sees_them() {
    let mut bad = Vec::new();
    for line in include_str!("../tests/transcripts/packets.txt").lines() {
        let line = line.strip_prefix("! ").unwrap_or(line);
        let (hex, want) = line.split_once(' ').unwrap();
        let got = format_flow(&extract_flow(&unhex(hex), 1, &Metadata::default()).unwrap(), &NoNames);
        if got != want {
            bad.push(format!("{hex}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(bad.is_empty(), "{} differ:\n{}", bad.len(), bad.join("\n"));
}
