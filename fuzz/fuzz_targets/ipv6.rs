//! The fuzz target `ipv6`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("ipv6", bytes));
