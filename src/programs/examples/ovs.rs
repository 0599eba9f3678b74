//! The programs alone, called by the name of a link: for tests that need no switch.

use std::process::ExitCode;

fn main() -> ExitCode {
    programs::called(std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect())
        .unwrap_or(ExitCode::FAILURE)
}
