//! The fuzz target `ipv6_ext`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("ipv6_ext", bytes));
