//! What fuzzers call: bytes in, nothing out, a panic when something that must hold does not.
#![deny(clippy::indexing_slicing)]

use crate::extract::{Depth, Metadata, extract_chained};
use crate::text::{NoNames, format, parse};
use crate::words::{Flow, Key};

/// Extraction: no panic, and a deeper parse only adds bits. The first byte says how the packet is cut into segments.
pub fn extract(data: &[u8]) {
    let Some((cut, frame)) = data.split_first() else { return };
    let rest = frame.len().saturating_sub(usize::from(*cut) + 1);
    let head = frame.get(..frame.len() - rest).unwrap_or(frame);
    let mut before = Flow::default();
    for depth in [Depth::Simple, Depth::L2, Depth::L3, Depth::L4] {
        let (mut key, mut layers) = (Key::default(), crate::Layers::default());
        let md = Metadata { vlan_limit: cut & 3, ..Metadata::default() };
        if extract_chained(head, rest, depth, 1, &md, &mut key, &mut layers).is_ok() {
            let flow = key.to_flow();
            assert!(flow.w.iter().zip(&before.w).all(|(now, then)| now & then == *then), "deeper parse lost bits");
            before = flow;
        }
    }
}

/// Text of matches: no panic, and what is printed is read back without error unless the text set bits that have no name.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(parsed) = parse::parse_match(text, &NoNames) {
        let printed = format::format_match(&parsed.matching, &NoNames);
        let _ = parse::parse_match(&printed, &NoNames);
    }
    let _ = parse::SubField::parse(text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus() {
        for (folder, run) in [("extract", super::extract as fn(&[u8])), ("text", super::text)] {
            let mut n = 0;
            let path = format!("{}/tests/corpus/{folder}", env!("CARGO_MANIFEST_DIR"));
            for file in std::fs::read_dir(path).unwrap() {
                let data = std::fs::read(file.unwrap().path()).unwrap();
                for cut in [0, 20, 255] {
                    run(&[&[cut], data.as_slice()].concat());
                }
                run(&data);
                n += 1;
            }
            assert!(n >= 5, "{folder}");
        }
    }
}
