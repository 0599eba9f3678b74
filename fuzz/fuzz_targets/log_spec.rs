//! The fuzz target `log_spec`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("log_spec", bytes));
