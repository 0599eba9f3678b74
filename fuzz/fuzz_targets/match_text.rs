//! The fuzz target `match_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("match_text", bytes));
