//! The `ironbridge` program.
fn main() {}
