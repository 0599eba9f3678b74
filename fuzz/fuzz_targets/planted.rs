//! The decoder with a mistake: what the fuzzer must find.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::planted(bytes));
