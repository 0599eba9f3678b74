//! The command line: `run` and `check`; what an operator looks at (`show`, `stats`, `flows`, `top`, `capture`); `trace` and
//! `ctl`.

mod capture;
mod show;
mod table;
mod top;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use programs::manual;

use crate::config::Config;
use crate::control::client;
use crate::view::{Megaflow, Snapshot};

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
        /// Remotes of the OVSDB server whose database the switch is configured by, such as tcp:10.0.0.1:6640.
        #[arg(long, value_name = "REMOTES", value_delimiter = ',')]
        db: Vec<String>,
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
    /// Says in words what becomes of a packet that a port receives: which rule of each table did what to it, and why those
    /// of higher priority did not match.
    Explain {
        #[arg(long, value_name = "FOLDER", default_value = "/var/run/ironbridge")]
        run_dir: PathBuf,
        /// Name of the port.
        #[arg(value_name = "PORT")]
        port: String,
        /// A capture (pcap), - for one on standard input, or a packet's bytes in hexadecimal.
        #[arg(value_name = "PCAP|HEX")]
        packet: String,
        /// At most so many packets of a capture.
        #[arg(long, short, value_name = "N", default_value_t = 10)]
        count: usize,
    },
    /// Shows bridges and their ports: type, state, queues, errors.
    Show {
        #[command(flatten)]
        from: From,
        /// What the database has set and the switch does not do yet, a line each.
        #[arg(long, conflicts_with = "json")]
        unsupported: bool,
    },
    /// Shows what became of every packet: by port, worker and reason, with totals.
    Stats {
        #[command(flatten)]
        from: From,
    },
    /// Shows megaflows: what the datapath has cached of the flows.
    Flows {
        #[command(flatten)]
        from: From,
        /// Those that packets of this match may have, in ovs-ofctl's flow syntax, such as tcp,nw_dst=10.0.0.1.
        #[arg(value_name = "MATCH")]
        matching: Option<String>,
        /// Those of packets received on this bridge's ports.
        #[arg(long, value_name = "NAME")]
        bridge: Option<String>,
        /// Only the first so many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        top: Option<u32>,
        #[arg(long, value_enum, default_value_t = Order::Packets)]
        sort: Order,
    },
    /// Shows live rates by port and queue, load by core, the hottest megaflows, drops by reason, who sends to whom.
    Top {
        #[command(flatten)]
        from: From,
        /// One frame as text, without a terminal.
        #[arg(long, conflicts_with = "batch")]
        once: bool,
        /// So many frames as text, without a terminal.
        #[arg(long, value_name = "N")]
        batch: Option<u64>,
        /// Seconds between frames.
        #[arg(long, short, default_value_t = 1.0, value_name = "SECONDS", value_parser = interval)]
        interval: f64,
        #[arg(long, value_enum, default_value_t = top::Sort::Rx)]
        sort: top::Sort,
        /// How many of the hottest megaflows.
        #[arg(long, value_name = "N", default_value_t = 10)]
        flows: usize,
    },
    /// Captures packets as ports receive and send them, or as they are dropped.
    ///
    /// Without -w, a line for each packet in the syntax of flows. To see them in full while it runs:
    /// `ironbridge capture p1 -w - | tshark -r -`.
    Capture {
        #[command(flatten)]
        from: From,
        /// Names of ports; all when left out.
        #[arg(value_name = "PORT")]
        ports: Vec<String>,
        /// A pcapng file, or - for standard output.
        #[arg(long, short, value_name = "FILE")]
        write: Option<PathBuf>,
        /// Where: as received, as sent, when dropped.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Point::Ingress, Point::Egress])]
        points: Vec<Point>,
        /// Packets of this match, in ovs-ofctl's flow syntax, such as tcp,tp_dst=80.
        #[arg(long, short, value_name = "MATCH")]
        filter: Option<String>,
        /// All ports of this bridge, where no port is named; and the one whose port numbers the filter means.
        #[arg(long, value_name = "NAME")]
        bridge: Option<String>,
        /// Bytes of each packet.
        #[arg(long, short, value_name = "BYTES", default_value_t = datapath::tap::SNAPLEN)]
        snaplen: u32,
        /// Ends after so many packets.
        #[arg(long, short, value_name = "N")]
        count: Option<u64>,
        /// Ends after this time.
        #[arg(long, value_name = "SECONDS", value_parser = interval)]
        seconds: Option<f64>,
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
    Man {
        /// A program of Open vSwitch, such as ovs-vsctl.
        program: Option<String>,
    },
    /// Prints a script that completes command lines.
    #[command(hide = true)]
    Completion { shell: Completed },
}

/// What a script of completion is for.
#[derive(Clone, Copy, ValueEnum)]
enum Completed {
    /// `ironbridge`, in bash.
    Bash,
    /// `ironbridge`, in zsh.
    Zsh,
    /// The programs of Open vSwitch, in bash.
    Ovs,
}

/// Which switch, and how its answer is printed.
#[derive(Args)]
struct From {
    #[arg(long, value_name = "FOLDER", default_value = "/var/run/ironbridge")]
    run_dir: PathBuf,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl From {
    fn socket(&self) -> Result<PathBuf, String> {
        client::socket_in(&self.run_dir).map_err(|e| e.to_string())
    }

    /// The switch's answer, printed as it is or put into words.
    fn ask<T: serde::de::DeserializeOwned>(
        &self,
        command: &str,
        arguments: &[String],
        words: impl FnOnce(&T) -> String,
    ) -> Result<(), String> {
        let text = client::call(&self.socket()?, command, arguments).map_err(|e| e.to_string())?;
        if self.json {
            print(&text);
        } else {
            let value = serde_json::from_str(&text).map_err(|e| format!("the switch's answer: {e}"))?;
            print(&words(&value));
        }
        Ok(())
    }
}

/// What comes first among megaflows.
#[derive(Clone, Copy, ValueEnum)]
enum Order {
    Packets,
    Bytes,
    /// Packets a second of late.
    Rate,
    /// The oldest.
    Age,
}

/// Where a capture takes packets.
#[derive(Clone, Copy, ValueEnum)]
enum Point {
    Ingress,
    Egress,
    Drops,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.01..=1e6).contains(s));
    seconds.ok_or_else(|| "expected seconds, 0.01 or more".into())
}

/// `key=name of the choice`.
fn word(key: &str, choices: &[impl ValueEnum]) -> String {
    let names: Vec<_> = choices.iter().filter_map(|c| Some(c.to_possible_value()?.get_name().to_owned())).collect();
    format!("{key}={}", names.join(","))
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { config, db } => load(config.as_deref())
            .and_then(|c| with_database(c, db))
            .and_then(|c| crate::run::run(c).map_err(|e| e.to_string())),
        Command::Check { config } => Config::load(&config)
            .map_err(|e| e.to_string())
            .and_then(|c| crate::run::check(&c).map_err(|e| e.to_string()))
            .map(|()| {
                print(&format!("{}: good\n", config.display()));
            }),
        Command::Trace { bridge, flow, config: Some(file), .. } => {
            load(Some(&file)).and_then(|c| crate::run::trace(&c, &bridge, &flow)).map(|text| {
                print(&text);
            })
        }
        Command::Trace { bridge, flow, run_dir, .. } => ctl(&run_dir, None, "ofproto/trace", &[bridge, flow]),
        Command::Explain { run_dir, port, packet, count } => explain(&run_dir, &port, &packet, count),
        Command::Man { program: None } => man(),
        Command::Man { program: Some(name) } => match abouts().iter().find(|a| a.name == name) {
            Some(about) => {
                print(&manual::page(about));
                Ok(())
            }
            None => Err(format!("{name}: no such program")),
        },
        Command::Completion { shell } => {
            print(&completion(shell));
            Ok(())
        }
        Command::Show { from, unsupported: true } => ctl(&from.run_dir, None, "ironbridge/unsupported", &[]),
        Command::Show { from, .. } => from.ask::<Snapshot>("ironbridge/snapshot", &["0".into()], show::show),
        Command::Stats { from } => from.ask::<Snapshot>("ironbridge/snapshot", &["0".into()], show::stats),
        Command::Flows { from, matching, bridge, top, sort } => {
            let mut words = vec![word("sort", &[sort])];
            words.extend(bridge.map(|b| format!("bridge={b}")));
            words.extend(matching.map(|m| format!("match={m}")));
            words.extend(top.map(|n| format!("top={n}")));
            from.ask::<Vec<Megaflow>>("ironbridge/flows", &words, |f| show::flows(f))
        }
        Command::Top { from, once, batch, interval, sort, flows } => from.socket().and_then(|socket| {
            top::run(&top::Wish {
                socket,
                interval: Duration::from_secs_f64(interval),
                batch: if once { Some(1) } else { batch },
                json: from.json,
                sort,
                flows,
            })
        }),
        Command::Capture { from, ports, write, points, filter, bridge, snaplen, count, seconds } => {
            let mut words = vec![word("points", &points), format!("snaplen={snaplen}")];
            words.extend((!ports.is_empty()).then(|| format!("ports={}", ports.join(","))));
            words.extend(bridge.map(|b| format!("bridge={b}")));
            words.extend(filter.map(|m| format!("match={m}")));
            from.socket().and_then(|socket| {
                let seconds = seconds.map(Duration::from_secs_f64);
                capture::run(&capture::Wish { socket, words, snaplen, write, json: from.json, count, seconds })
            })
        }
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

/// Programs of Open vSwitch that the binary is under their names.
fn abouts() -> Vec<manual::About> {
    programs::abouts().into_iter().chain([crate::vswitchd::about()]).collect()
}

fn completion(shell: Completed) -> String {
    let shell = match shell {
        Completed::Bash => clap_complete::Shell::Bash,
        Completed::Zsh => clap_complete::Shell::Zsh,
        Completed::Ovs => return manual::bash(&abouts()),
    };
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "ironbridge", &mut out);
    String::from_utf8_lossy(&out).into_owned()
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

/// The configuration with these remotes, if there are some.
fn with_database(mut config: Config, remotes: Vec<String>) -> Result<Config, String> {
    if let Some(bad) = remotes.iter().find(|r| !crate::config::Database::is_remote(r)) {
        return Err(format!("--db: {bad}: expected unix:FILE, tcp:IP:PORT or ssl:IP:PORT"));
    }
    if !remotes.is_empty() {
        config.database.get_or_insert_default().remotes = remotes;
    }
    Ok(config)
}

/// Packets of a capture, or one, explained by a running switch.
fn explain(run_dir: &Path, port: &str, packet: &str, count: usize) -> Result<(), String> {
    let socket = client::socket_in(run_dir).map_err(|e| e.to_string())?;
    let ask = |hex: String| client::call(&socket, "explain", &[port.to_owned(), hex]).map_err(|e| e.to_string());
    if packet != "-" && !Path::new(packet).exists() {
        let bytes = packet::hex::parse(packet);
        let bytes = bytes.map_err(|_| format!("{packet}: neither a capture nor a packet in hexadecimal"))?;
        print(&ask(packet::hex::dump(&bytes))?);
        return Ok(());
    }
    let input: Box<dyn std::io::Read> = match packet {
        "-" => Box::new(std::io::stdin().lock()),
        path => Box::new(std::fs::File::open(path).map_err(|e| format!("{path}: {e}"))?),
    };
    let wrong = |e: packet::pcap::Error| format!("{packet}: {e}");
    let mut reader = packet::pcap::Reader::new(std::io::BufReader::new(input)).map_err(wrong)?;
    for n in 1..=count {
        let Some(record) = reader.record().map_err(wrong)? else { break };
        print(&format!("{}packet {n}, {} bytes:", if n > 1 { "\n" } else { "" }, record.data.len()));
        print(&ask(packet::hex::dump(&record.data))?);
    }
    Ok(())
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

/// Writes to standard output; false when whoever read went away, which is no error.
fn print(text: &str) -> bool {
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut out = std::io::stdout();
    write!(out, "{text}{newline}").and_then(|()| out.flush()).is_ok()
}
