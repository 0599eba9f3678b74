//! The fuzz target `mpls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("mpls", bytes));
