//! The fuzz target `ovsdb_transact`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("ovsdb_transact", bytes));
