//! The `ironbridge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // called by the name of a program of Open vSwitch, it is that program
    let arguments = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    match ironbridge::vswitchd::called(arguments) {
        Ok(code) => code,
        Err(arguments) => programs::called(arguments).unwrap_or_else(ironbridge::cli::main),
    }
}
