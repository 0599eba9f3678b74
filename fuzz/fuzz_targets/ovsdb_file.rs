//! The fuzz target `ovsdb_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("ovsdb_file", bytes));
