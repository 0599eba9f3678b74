//! `ovs-ofctl`: OpenFlow from the command line, ovs-ofctl(8). So far what needs no switch: messages, actions, hellos and
//! errors as bytes and as text. Commands that ask a switch say that they are not there yet.

mod bytes;
mod offline;

use crate::options::{self, Known, Parsed, Takes, option};
use crate::setup::{self, fatal, print};
use crate::{daemon, tls};
use std::fmt::Write;
use std::process::ExitCode;

const OPTIONS: [Known; 20] = [
    option("more", 'm', Takes::Nothing),
    option("strict", '\0', Takes::Nothing),
    option("read-only", '\0', Takes::Nothing),
    option("readd", '\0', Takes::Nothing),
    option("may-create", '\0', Takes::Nothing),
    option("bundle", '\0', Takes::Nothing),
    option("flow-format", 'F', Takes::Value),
    option("packet-in-format", 'P', Takes::Value),
    option("protocols", 'O', Takes::Value),
    option("timeout", 't', Takes::Value),
    option("timestamp", '\0', Takes::Nothing),
    option("sort", '\0', Takes::Maybe),
    option("rsort", '\0', Takes::Maybe),
    option("names", '\0', Takes::Nothing),
    option("no-names", '\0', Takes::Nothing),
    option("stats", '\0', Takes::Nothing),
    option("no-stats", '\0', Takes::Nothing),
    option("unixctl", '\0', Takes::Value),
    option("color", '\0', Takes::Maybe),
    option("colour", '\0', Takes::Maybe),
];

/// Parts of the log by the names that Open vSwitch has.
const MODULES: [&str; 8] =
    ["meta_flow", "nx_match", "ofp_actions", "ofp_bundle", "ofp_msgs", "ofp_packet", "ofp_port", "ofp_util"];

/// What a command has to work with.
struct Call<'a> {
    arguments: &'a [String],
    /// How often `-m` was given.
    verbosity: u8,
}

type Done = Result<(), String>;

/// A command: name, least and most arguments, their description, what it does, its function.
type Command = (&'static str, usize, usize, &'static str, &'static str, fn(&Call) -> Done);

const COMMANDS: [Command; 8] = [
    ("ofp-parse", 1, 1, "FILE", "print messages read from FILE", offline::ofp_parse),
    ("ofp-print", 1, 2, "HEX [VERBOSITY]", "print a message given in hexadecimal", offline::ofp_print),
    ("parse-actions", 1, 1, "VERSION", "print actions read as hexadecimal lines", offline::parse_actions),
    (
        "parse-instructions",
        1,
        1,
        "VERSION",
        "print instructions read as hexadecimal lines",
        offline::parse_instructions,
    ),
    ("print-error", 1, 1, "ERROR", "print the numbers of an error in each version", offline::print_error),
    ("encode-error-reply", 2, 2, "ERROR REQUEST", "print the reply to a refused message", offline::encode_error_reply),
    ("encode-hello", 1, 1, "BITMAP", "print the hello for a bitmap of versions", offline::encode_hello),
    ("parse-key-value", 1, usize::MAX, "STRING...", "print how lists are taken apart", offline::parse_key_value),
];

/// Commands of ovs-ofctl(8) that ask a switch.
const MISSING: [&str; 56] = [
    "show",
    "dump-desc",
    "dump-tables",
    "dump-table-features",
    "dump-table-desc",
    "mod-port",
    "mod-table",
    "get-frags",
    "set-frags",
    "dump-ports",
    "dump-ports-desc",
    "dump-flows",
    "dump-aggregate",
    "queue-stats",
    "add-flow",
    "add-flows",
    "mod-flows",
    "del-flows",
    "replace-flows",
    "diff-flows",
    "packet-out",
    "monitor",
    "snoop",
    "add-group",
    "add-groups",
    "mod-group",
    "del-groups",
    "insert-buckets",
    "remove-buckets",
    "dump-group-features",
    "dump-groups",
    "dump-group-stats",
    "queue-get-config",
    "add-meter",
    "mod-meter",
    "del-meter",
    "del-meters",
    "dump-meter",
    "dump-meters",
    "meter-stats",
    "meter-features",
    "add-tlv-map",
    "del-tlv-map",
    "dump-tlv-map",
    "dump-ipfix-bridge",
    "dump-ipfix-flow",
    "ct-flush-zone",
    "ct-flush",
    "probe",
    "ping",
    "benchmark",
    "bundle",
    "ofp-parse-pcap",
    "parse-flow",
    "parse-flows",
    "monitor-cancel",
];

fn known() -> Vec<Known> {
    [&setup::COMMON[..], &daemon::OPTIONS[..], &tls::OPTIONS[..], &OPTIONS[..]].concat()
}

fn usage() -> String {
    let mut text =
        "ovs-ofctl: OpenFlow switch management utility\nusage: ovs-ofctl [OPTIONS] COMMAND [ARG...]\n".to_owned();
    for (name, _, _, arguments, what, _) in COMMANDS {
        let _ = writeln!(text, "  {:<34} {what}", format!("{name} {arguments}"));
    }
    text.push_str(
        "\nOptions:\n  -m, --more                  be more verbose printing OpenFlow\n  -v[SPEC], --verbose[=SPEC]  log levels\n  --log-file[=FILE]           log to FILE\n  -h, --help                  this text\n  -V, --version               version\n",
    );
    text
}

/// Runs it.
pub fn main(program: &str, arguments: Vec<String>) -> ExitCode {
    let parsed = match options::parse(&known(), arguments) {
        Ok(parsed) => parsed,
        Err(text) => return fatal(program, text),
    };
    if parsed.has("help") || parsed.arguments.first().is_some_and(|c| c == "help") {
        print(&usage());
        return ExitCode::SUCCESS;
    }
    if parsed.has("version") {
        print(&setup::version(program));
        return ExitCode::SUCCESS;
    }
    if let Err(text) = setup::start_log(program, &parsed, base::log::Level::Warn, &MODULES) {
        return fatal(program, text);
    }
    match run(&parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fatal(program, text),
    }
}

fn run(parsed: &Parsed) -> Done {
    let Some((name, arguments)) = parsed.arguments.split_first() else {
        return Err("missing command name; use --help for help".to_owned());
    };
    let Some(&(_, least, most, _, _, command)) = COMMANDS.iter().find(|(known, ..)| known == name) else {
        return Err(match MISSING.contains(&name.as_str()) {
            true => format!("'{name}' is not supported yet"),
            false => format!("unknown command '{name}'; use --help for help"),
        });
    };
    if arguments.len() < least || arguments.len() > most {
        let (word, n) = if arguments.len() < least { ("at least", least) } else { ("at most", most) };
        return Err(format!("'{name}' command requires {word} {n} arguments"));
    }
    let verbosity = parsed.options.iter().filter(|(n, _)| *n == "more").count();
    command(&Call { arguments, verbosity: u8::try_from(verbosity).unwrap_or(u8::MAX) })
}
