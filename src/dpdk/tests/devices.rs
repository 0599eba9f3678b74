//! Devices.
fn main() {}
