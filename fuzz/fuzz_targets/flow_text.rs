//! The fuzz target `flow_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ironbridge_fuzz::run("flow_text", bytes));
