//! The fuzz target `ovsdb_condition`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("ovsdb_condition", bytes));
