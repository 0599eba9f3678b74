//! Checks that DPDK can be found before anything is compiled against it.
use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    if env::var_os("CARGO_FEATURE_DPDK").is_none() {
        return;
    }
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let found = Command::new(program).args(["--atleast-version=22.11", "libdpdk"]).status().is_ok_and(|s| s.success());
    if !found {
        println!(
            "cargo::error=DPDK 22.11 or newer (libdpdk) was not found: run scripts/setup, \
             or build with --no-default-features to leave DPDK out."
        );
    }
}
