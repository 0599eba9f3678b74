//! Texts that the stock programs were seen to read and print, and round trips.
use super::parse::parse_match;
use super::*;
use crate::fields::tlv::TlvTable;

struct Test(TlvTable);

impl Names for Test {
    fn tlv(&self) -> Option<&TlvTable> {
        Some(&self.0)
    }
}

fn names() -> Test {
    let mut table = TlvTable::default();
    for (n, len) in [(0, 4), (1, 4), (3, 4), (5, 4), (63, 20)] {
        table.add(0xffff, n, len, n).unwrap();
    }
    Test(table)
}

/// Every line of the transcript: input, then what ovs-ofctl 3.1 prints for it or its error. A line that begins with `!`
/// is where we differ on purpose (the comment above it has ovs-ofctl's answer): what it loses, takes as an error or
/// reports by the switch's refusal.
#[test]
fn transcript() {
    let names = names();
    let mut bad = Vec::new();
    for line in include_str!("../tests/transcripts/match.txt").lines().filter(|l| !l.starts_with('#')) {
        let line = line.strip_prefix("! ").unwrap_or(line);
        let (input, want) = line.split_once(" => ").unwrap();
        let got = match parse_match(input, &names) {
            Ok(p) => format::format_match(&p.matching, &names),
            Err(e) => format!("error: {e}"),
        };
        if got != want {
            bad.push(format!("{input} => {got}\n  want {want}"));
        }
    }
    assert!(bad.is_empty(), "{} differ:\n{}", bad.len(), bad.join("\n"));
}
