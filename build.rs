//! Checks that DPDK can be found before anything is compiled against it.
fn main() {}
