//! The `ironbridge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // called by the name of a program of Open vSwitch, it is that program
    programs::called(std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect())
        .unwrap_or_else(ironbridge::cli::main)
}
