//! The command line: `run`, `check`, `trace` and `ctl`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Config;
use crate::control::client;

/// What `ironbridge run` uses without `--config`.
pub const DEMO: &str = include_str!("../../config/demo.toml");

/// An Open vSwitch-compatible virtual switch on DPDK.
#[derive(Parser)]
#[command(name = "ironbridge", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the switch until SIGTERM, SIGINT or the command `exit`.
    Run {
        /// The configuration file; the demo's when left out.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Reads a configuration file and says what is wrong with it.
    Check {
        #[arg(value_name = "FILE")]
        config: PathBuf,
    },
    /// Says what the switch would do with a packet: tables and rules visited, actions, megaflow.
    Trace {
        #[arg(value_name = "BRIDGE")]
        bridge: String,
        /// The packet in ovs-ofctl's flow syntax, such as in_port=1,tcp,nw_dst=10.0.0.1.
        #[arg(value_name = "FLOW")]
        flow: String,
        /// Asks the tables that this file describes instead of a running switch.
        #[arg(long, value_name = "FILE", conflicts_with = "run_dir")]
        config: Option<PathBuf>,
        #[arg(long, value_name = "FOLDER", default_value = "/var/run/ironbridge")]
        run_dir: PathBuf,
    },
    /// Sends a command to a running switch; `ctl list-commands` lists them.
    Ctl {
        #[arg(long, value_name = "FOLDER", default_value = "/var/run/ironbridge")]
        run_dir: PathBuf,
        /// The control socket itself.
        #[arg(long, short, value_name = "SOCKET")]
        target: Option<PathBuf>,
        #[arg(value_name = "COMMAND")]
        command: String,
        #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Prints the manual page, in roff.
    #[command(hide = true)]
    Man,
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { config } => load(config.as_deref()).and_then(|c| crate::run::run(c).map_err(|e| e.to_string())),
        Command::Check { config } => Config::load(&config)
            .map_err(|e| e.to_string())
            .and_then(|c| crate::run::check(&c).map_err(|e| e.to_string()))
            .map(|()| print(&format!("{}: good\n", config.display()))),
        Command::Trace { bridge, flow, config: Some(file), .. } => {
            load(Some(&file)).and_then(|c| crate::run::trace(&c, &bridge, &flow)).map(|text| print(&text))
        }
        Command::Trace { bridge, flow, run_dir, .. } => ctl(&run_dir, None, "ofproto/trace", &[bridge, flow]),
        Command::Man => man(),
        Command::Ctl { run_dir, target, command, arguments } => ctl(&run_dir, target.as_deref(), &command, &arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "ironbridge: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The manual page, with each subcommand's options.
fn man() -> Result<(), String> {
    let mut command = Arguments::command();
    command.build();
    let mut out = Vec::new();
    let failed = |e: std::io::Error| format!("manual page: {e}");
    let page = clap_mangen::Man::new(command.clone()).section("8").manual("Ironbridge");
    page.render(&mut out).map_err(failed)?;
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        let mut part = Vec::new();
        let page = clap_mangen::Man::new(sub.clone());
        page.render_synopsis_section(&mut part).map_err(failed)?;
        page.render_options_section(&mut part).map_err(failed)?;
        let text = String::from_utf8_lossy(&part)
            .replace(".SH SYNOPSIS", &format!(".SH IRONBRIDGE {}", sub.get_name().to_uppercase()));
        out.extend_from_slice(text.replace(".SH OPTIONS", ".PP").as_bytes());
    }
    print(&String::from_utf8_lossy(&out));
    Ok(())
}

fn load(file: Option<&Path>) -> Result<Config, String> {
    match file {
        Some(file) => Config::load(file),
        None => Config::parse(DEMO, Path::new("config/demo.toml (built in)")),
    }
    .map_err(|e| e.to_string())
}

fn ctl(run_dir: &Path, target: Option<&Path>, command: &str, arguments: &[String]) -> Result<(), String> {
    let socket = match target {
        Some(path) => path.to_path_buf(),
        None => client::socket_in(run_dir).map_err(|e| e.to_string())?,
    };
    let text = client::call(&socket, command, arguments).map_err(|e| e.to_string())?;
    print(&text);
    Ok(())
}

/// Writes to standard output; a reader that went away is no error.
fn print(text: &str) {
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(std::io::stdout(), "{text}{newline}");
}
