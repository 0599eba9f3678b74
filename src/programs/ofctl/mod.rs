//! `ovs-ofctl`: OpenFlow from the command line, ovs-ofctl(8).
//!
//! [`link`] is the connection to a switch, [`formats`] what may be spoken on it, [`names`] what ports and tables are called.
//! [`ask`], [`flows`], [`groups`], [`ports`], [`bundle`] and [`monitor`] are commands by what they are about; [`offline`], [`matches`] and [`capture`] are
//! those that need no switch.

mod ask;
mod bundle;
mod bytes;
mod capture;
mod colour;
mod flows;
mod groups;
mod link;
mod matches;
mod monitor;
mod names;
mod offline;
mod packets;
mod ports;

use openflow::text::Formats;

use crate::options::{self, Known, Parsed, Takes, option};
use crate::setup::{self, fatal, print};
use crate::{daemon, tls};
use std::cell::{Cell, RefCell};
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
#[derive(Clone, Copy)]
struct Call<'a> {
    arguments: &'a [String],
    parsed: &'a Parsed,
    /// How often `-m` was given.
    verbosity: u8,
    formats: Formats,
    /// Whether names are printed, where that was said.
    names: Option<bool>,
    /// Whether flows are printed with their counters.
    stats: bool,
    /// What the program ends with when nothing goes wrong.
    code: &'a Cell<u8>,
    /// What flows are coloured with.
    colours: Option<&'a colour::Palette>,
    /// What it is in the background.
    daemon: &'a RefCell<Option<daemon::Daemon>>,
}

impl Call<'_> {
    /// Prints flows, coloured where that was asked for.
    fn print_flows(&self, text: &str) {
        match self.colours {
            Some(palette) => print(&palette.flows(text)),
            None => print(text),
        }
    }

    /// An argument; the table of commands says how many there are.
    fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }
}

/// What a command came to; an empty text is an error that was told.
type Done = Result<(), String>;

/// A command: name, least and most arguments, their description, what it does, its function.
type Command = (&'static str, usize, usize, &'static str, &'static str, fn(&Call) -> Done);

const MANY: usize = usize::MAX;

#[rustfmt::skip]
const COMMANDS: [Command; 73] = [
    ("show", 1, 1, "SWITCH", "show what a switch is", ask::show),
    ("dump-desc", 1, 1, "SWITCH", "print a switch's description", ask::dump_desc),
    ("dump-tables", 1, 1, "SWITCH", "print counters of tables", ask::dump_tables),
    ("dump-table-features", 1, 1, "SWITCH", "print what tables can do", ask::dump_table_features),
    ("dump-table-desc", 1, 1, "SWITCH", "print how tables are set", ask::dump_table_desc),
    ("mod-port", 3, 3, "SWITCH PORT ACTION", "set a port", ports::mod_port),
    ("mod-table", 3, 3, "SWITCH TABLE ACTION", "set a table", ports::mod_table),
    ("get-frags", 1, 1, "SWITCH", "print how fragments are treated", ask::get_frags),
    ("set-frags", 2, 2, "SWITCH MODE", "say how fragments are treated", ports::set_frags),
    ("dump-ports", 1, 2, "SWITCH [PORT]", "print counters of ports", ask::dump_ports),
    ("dump-ports-desc", 1, 2, "SWITCH [PORT]", "print descriptions of ports", ask::dump_ports_desc),
    ("dump-flows", 1, 2, "SWITCH [FLOW]", "print flows", flows::dump_flows),
    ("dump-aggregate", 1, 2, "SWITCH [FLOW]", "print the sum of flows' counters", flows::dump_aggregate),
    ("queue-stats", 1, 3, "SWITCH [PORT [QUEUE]]", "print counters of queues", ask::queue_stats),
    ("queue-get-config", 1, 3, "SWITCH [PORT [QUEUE]]", "print how queues are set", ask::queue_config),
    ("add-flow", 2, 2, "SWITCH FLOW", "add a flow", flows::add_flow),
    ("add-flows", 2, 2, "SWITCH FILE", "add flows from a file", flows::add_flows),
    ("mod-flows", 2, 2, "SWITCH FLOW", "change flows' actions", flows::mod_flows),
    ("del-flows", 1, 2, "SWITCH [FLOW]", "delete flows", flows::del_flows),
    ("replace-flows", 2, 2, "SWITCH FILE", "make flows those of a file", flows::replace_flows),
    ("diff-flows", 2, 2, "SOURCE1 SOURCE2", "compare flows of switches or files", flows::diff_flows),
    ("packet-out", 2, MANY, "SWITCH \"in_port=... packet=... actions=...\"", "send a packet", ports::packet_out),
    ("add-group", 2, 2, "SWITCH GROUP", "add a group", groups::add_group),
    ("add-groups", 2, 2, "SWITCH FILE", "add groups from a file", groups::add_groups),
    ("mod-group", 2, 2, "SWITCH GROUP", "change a group", groups::mod_group),
    ("del-groups", 1, 2, "SWITCH [GROUP]", "delete groups", groups::del_groups),
    ("insert-buckets", 2, 2, "SWITCH GROUP", "add buckets to a group", groups::insert_buckets),
    ("remove-buckets", 2, 2, "SWITCH GROUP", "take buckets out of a group", groups::remove_buckets),
    ("dump-group-features", 1, 1, "SWITCH", "print what groups can be", ask::dump_group_features),
    ("dump-groups", 1, 2, "SWITCH [GROUP]", "print groups", ask::dump_groups),
    ("dump-group-stats", 1, 2, "SWITCH [GROUP]", "print counters of groups", ask::dump_group_stats),
    ("add-meter", 2, 2, "SWITCH METER", "add a meter", groups::add_meter),
    ("mod-meter", 2, 2, "SWITCH METER", "change a meter", groups::mod_meter),
    ("del-meters", 1, 2, "SWITCH [METER]", "delete meters", groups::del_meters),
    ("del-meter", 1, 2, "SWITCH [METER]", "delete meters", groups::del_meters),
    ("dump-meters", 1, 2, "SWITCH [METER]", "print meters", ask::dump_meters),
    ("dump-meter", 1, 2, "SWITCH [METER]", "print meters", ask::dump_meters),
    ("meter-stats", 1, 2, "SWITCH [METER]", "print counters of meters", ask::meter_stats),
    ("meter-features", 1, 1, "SWITCH", "print what meters can be", ask::meter_features),
    ("add-tlv-map", 2, 2, "SWITCH MAP", "say where tunnel options are", groups::add_options),
    ("del-tlv-map", 1, 2, "SWITCH [MAP]", "forget where tunnel options are", groups::del_options),
    ("dump-tlv-map", 1, 1, "SWITCH", "print where tunnel options are", ask::tlv_map),
    ("dump-ipfix-bridge", 1, 1, "SWITCH", "print a bridge's IPFIX counters", ask::ipfix_bridge),
    ("dump-ipfix-flow", 1, 1, "SWITCH", "print flows' IPFIX counters", ask::ipfix_flow),
    ("ct-flush-zone", 2, 2, "SWITCH ZONE", "forget tracked connections of a zone", groups::flush_zone),
    ("ct-flush", 1, 4, "SWITCH [zone=N] [TUPLE [REPLY]]", "forget tracked connections", groups::flush_connections),
    ("bundle", 2, 2, "SWITCH FILE", "make changes all together or not at all", bundle::command),
    ("probe", 1, 1, "SWITCH", "see whether a switch answers", ask::probe),
    ("ping", 1, 2, "SWITCH [N]", "time echoes of N bytes", ask::ping),
    ("benchmark", 3, 3, "SWITCH N COUNT", "time COUNT echoes of N bytes", ask::benchmark),
    ("monitor", 1, MANY, "SWITCH [MISSLEN] [invalid_ttl] [resume] [watch:[...]]", "print what a switch tells", monitor::monitor),
    ("snoop", 1, 1, "SWITCH", "print what a switch and its controllers say", monitor::snoop),
    ("ofp-parse", 1, 1, "FILE", "print messages read from FILE", offline::ofp_parse),
    ("ofp-parse-pcap", 1, MANY, "FILE [PORT...]", "print messages captured into a pcap FILE", capture::ofp_parse_pcap),
    ("ofp-print", 1, 2, "HEX [VERBOSITY]", "print a message given in hexadecimal", offline::ofp_print),
    ("parse-actions", 1, 1, "VERSION", "print actions read as hexadecimal lines", offline::parse_actions),
    ("parse-instructions", 1, 1, "VERSION", "print instructions read as hexadecimal lines", offline::parse_instructions),
    ("parse-nx-match", 0, 0, "", "print matches read as NXM, as a switch writes them", matches::parse_nxm),
    ("parse-nxm", 0, 0, "", "print matches read as NXM, as a switch writes them", matches::parse_nxm),
    ("parse-pcap", 1, MANY, "FILE...", "print the flows of packets captured into pcap FILEs", capture::parse_pcap),
    ("parse-oxm", 1, 1, "VERSION", "print matches read as OXM, as a switch writes them", matches::parse_oxm),
    ("parse-flow", 1, 1, "FLOW", "print a flow as the message that adds it", flows::parse_one),
    ("parse-flows", 1, 1, "FILE", "print flows of a file as the messages that add them", flows::parse_file),
    ("parse-group", 1, 1, "GROUP", "print a group as the message that adds it", groups::parse),
    ("parse-ofp10-match", 0, 0, "", "print matches read as OpenFlow 1.0's", matches::parse_match10),
    ("parse-ofp11-match", 0, 0, "", "print matches read as OpenFlow 1.1's", matches::parse_match11),
    ("check-vlan", 2, 2, "TCI MASK", "print a match of a tag in each form", matches::check_vlan),
    ("print-error", 1, 1, "ERROR", "print the numbers of an error in each version", offline::print_error),
    ("encode-error-reply", 2, 2, "ERROR REQUEST", "print the reply to a refused message", offline::encode_error_reply),
    ("encode-hello", 1, 1, "BITMAP", "print the hello for a bitmap of versions", offline::encode_hello),
    ("compose-packet", 1, 2, "FLOW [PAYLOAD]", "print a packet that has a flow", packets::compose_packet),
    ("parse-packet", 0, 0, "", "print the flow of a packet read as bytes", packets::parse_packet),
    ("parse-key-value", 1, MANY, "STRING...", "print how lists are taken apart", offline::parse_key_value),
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
    if let Err(text) = setup::start_log(program, &parsed, base::log::Level::Info, &MODULES) {
        return fatal(program, text);
    }
    let code = Cell::new(0);
    match run(&parsed, &code) {
        Ok(()) => ExitCode::from(code.get()),
        // it was said
        Err(text) if text.is_empty() => ExitCode::FAILURE,
        Err(text) => fatal(program, text),
    }
}

fn run(parsed: &Parsed, code: &Cell<u8>) -> Done {
    let bundle = parsed.has("bundle") || parsed.arguments.first().is_some_and(|name| name == "bundle");
    let formats = Formats::new(parsed.value("flow-format"), parsed.value("protocols"), bundle)?;
    let Some((name, arguments)) = parsed.arguments.split_first() else {
        return Err("missing command name; use --help for help".to_owned());
    };
    let Some(&(_, least, most, _, _, command)) = COMMANDS.iter().find(|(known, ..)| known == name) else {
        return Err(format!("unknown command '{name}'; use --help for help"));
    };
    if arguments.len() < least {
        return Err(format!("'{name}' command requires at least {least} arguments"));
    }
    if arguments.len() > most {
        return Err(format!("'{name}' command takes at most {most} arguments"));
    }
    let when =
        ["color", "colour"].into_iter().find(|name| parsed.has(name)).map(|name| parsed.value(name).unwrap_or(""));
    let colours = colour::Palette::new(when, std::env::var("OVS_COLORS").ok().as_deref())?;
    if let Some(text) = parsed.value("timeout") {
        let seconds = text.parse().map_err(|_| format!("value {text} on -t or --timeout is invalid"))?;
        nix::unistd::alarm::set(seconds);
    }
    tls::configure_from(parsed)?;
    let last = |on: &str, off: &str| {
        let said = parsed.options.iter().rev().find(|(name, _)| *name == on || *name == off);
        said.map(|(name, _)| *name == on)
    };
    let verbosity = parsed.options.iter().filter(|(n, _)| *n == "more").count();
    let call = Call {
        arguments,
        parsed,
        verbosity: u8::try_from(verbosity).unwrap_or(u8::MAX),
        formats,
        names: last("names", "no-names"),
        stats: last("stats", "no-stats").unwrap_or(true),
        code,
        colours: colours.as_ref(),
        daemon: &RefCell::new(None),
    };
    command(&call)
}
