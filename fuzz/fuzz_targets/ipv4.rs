//! The fuzz target `ipv4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("ipv4", bytes));
