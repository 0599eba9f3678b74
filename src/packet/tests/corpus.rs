//! Replays saved inputs through every fuzz target, and throws arbitrary bytes at them: none may panic.
//!
//! `tests/corpus/NAME` holds inputs of target NAME, `tests/corpus/all` inputs for every target; each a file of
//! hexadecimal text, one packet a line, `#` starts a comment. Each crash found becomes a line here.

#![expect(clippy::unwrap_used, reason = "a test")]

use packet::fuzz::TARGETS;
use proptest::prelude::*;
use std::path::Path;

fn lines(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = vec![];
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        for (n, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            let text = line.split('#').next().unwrap_or_default().trim();
            if !text.is_empty() {
                out.push((format!("{}:{}", path.display(), n + 1), packet::hex::parse(text).unwrap()));
            }
        }
    }
    out
}

/// The target on every cut of the input and with every byte spoilt once.
fn run(target: fn(&[u8]), bytes: &[u8]) {
    target(bytes);
    for cut in 0..bytes.len() {
        target(&bytes[..cut]);
    }
    let mut spoilt = bytes.to_vec();
    for at in 0..spoilt.len().min(96) {
        for value in [0, 0xff, spoilt[at] ^ 0x80, spoilt[at].wrapping_add(1), spoilt[at].wrapping_sub(1)] {
            let old = std::mem::replace(&mut spoilt[at], value);
            target(&spoilt);
            spoilt[at] = old;
        }
    }
}

#[test]
fn saved_inputs() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let all = lines(&corpus.join("all"));
    assert!(all.len() > 5, "the corpus is there");
    for (name, target) in TARGETS {
        for (place, bytes) in lines(&corpus.join(name)).iter().chain(&all) {
            eprintln!("{name} {place}");
            run(*target, bytes);
            // the formats inside the frame as well, at every even place
            for at in (0..bytes.len()).step_by(2) {
                target(&bytes[at..]);
            }
        }
    }
}

#[test]
fn every_target_is_named_once() {
    let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}
