//! The fuzz target `ovsdb_schema`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("ovsdb_schema", bytes));
