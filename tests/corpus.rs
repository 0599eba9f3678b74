//! Replays every saved input of every fuzz target, whole, cut short and spoilt: what a fuzzer once reached, on stable Rust.
//!
//! Inputs are in `fuzz/corpus/TARGET/`. Those with a name of their own were found by hand or as crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../fuzz/src/targets.rs"]
#[allow(unreachable_pub, reason = "a library's module")]
mod targets;

/// What a target said when it panicked.
fn try_one(target: fn(&[u8]), bytes: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).map_err(|e| {
        let text = e.downcast_ref::<String>().cloned().or_else(|| e.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        format!("{} on {}", text.unwrap_or_default(), bytes.escape_ascii())
    })
}

/// The target on an input, on some of its prefixes and with some of its bytes changed. The first complaint.
fn replay(target: fn(&[u8]), bytes: &[u8]) -> Result<(), String> {
    try_one(target, bytes)?;
    let step = bytes.len() / 48 + 1;
    for cut in (0..bytes.len()).step_by(step) {
        try_one(target, &bytes[..cut])?;
    }
    let mut spoilt = bytes.to_vec();
    for at in (0..spoilt.len()).step_by(step) {
        for value in [0, 0xff, spoilt[at] ^ 0x80, spoilt[at].wrapping_add(1)] {
            let old = std::mem::replace(&mut spoilt[at], value);
            let result = try_one(target, &spoilt);
            spoilt[at] = old;
            result?;
        }
    }
    Ok(())
}

#[test]
fn saved_inputs_find_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut complaints = Vec::new();
    for (name, target) in targets::all() {
        let mut files: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|e| panic!("fuzz/corpus/{name}: {e}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "fuzz/corpus/{name} is empty");
        for file in files {
            if let Err(e) = replay(target, &fs::read(&file).unwrap()) {
                complaints.push(format!("{}: {e}", file.display()));
                break;
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_target_has_its_program() {
    let manifest: toml::Table = include_str!("../fuzz/Cargo.toml").parse().unwrap();
    let mut bins: Vec<_> = manifest["bin"].as_array().unwrap().iter().filter_map(|b| b["name"].as_str()).collect();
    bins.retain(|name| *name != "planted");
    bins.sort_unstable();
    let mut names: Vec<_> = targets::all().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, bins);
    for name in names {
        let file = format!("{}/fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(text.contains(&format!("run(\"{name}\", bytes)")), "{file} runs another target");
    }
}

/// Reads a length and a kind, and trusts both in one rare case.
fn planted(bytes: &[u8]) {
    if let [1, length, rest @ ..] = bytes {
        std::hint::black_box(&rest[..usize::from(*length)]);
    }
}

/// A replay that found nothing in a wrong decoder would be worth nothing.
#[test]
fn a_planted_bug_is_found() {
    assert_eq!(try_one(planted, b"\x01\x03abc"), Ok(()), "the saved input itself is harmless");
    let found = replay(planted, b"\x01\x03abc").unwrap_err();
    assert!(found.contains("out of range"), "{found}");
    assert_eq!(replay(|_| {}, b"\x01\x03abc"), Ok(()));
}
