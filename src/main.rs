//! The `ironbridge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ironbridge::cli::main()
}
