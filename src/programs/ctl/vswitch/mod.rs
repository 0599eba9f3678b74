//! `ovs-vsctl`, ovs-vsctl(8): the commands of database `Open_vSwitch`.

mod bridges;
mod layout;
mod settings;
mod zones;

pub use layout::Bridges;
pub(super) use layout::layout_columns;
pub(super) use settings::retarget;

use super::show::Shown;
use super::state::State;
use super::{Command, Given, Needs, RowIds, Tool, database, show};
use ovsdb::data::{Atom, Datum};
use std::process::ExitCode;

const fn by(table: &'static str, name: &'static str) -> RowIds {
    RowIds { table, name: Some(name), via: None }
}

const fn via(table: &'static str, other: &'static str, column: &'static str) -> RowIds {
    RowIds { table, name: Some("name"), via: Some((other, column)) }
}

const fn only(table: &'static str) -> RowIds {
    RowIds { table, name: None, via: None }
}

const IDS: [RowIds; 15] = [
    via("AutoAttach", "Bridge", "auto_attach"),
    by("Bridge", "name"),
    via("Controller", "Bridge", "controller"),
    by("Flow_Sample_Collector_Set", "id"),
    by("Flow_Table", "name"),
    via("IPFIX", "Bridge", "ipfix"),
    by("Interface", "name"),
    by("Mirror", "name"),
    by("Manager", "target"),
    via("NetFlow", "Bridge", "netflow"),
    only("Open_vSwitch"),
    by("Port", "name"),
    via("QoS", "Port", "qos"),
    only("SSL"),
    via("sFlow", "Bridge", "sflow"),
];

const SHOW: [Shown; 6] = [
    Shown { table: "Open_vSwitch", name: None, columns: &["manager_options", "bridges", "ovs_version"] },
    Shown { table: "Bridge", name: Some("name"), columns: &["controller", "fail_mode", "datapath_type", "ports"] },
    Shown { table: "Port", name: Some("name"), columns: &["tag", "trunks", "interfaces"] },
    Shown { table: "Interface", name: Some("name"), columns: &["type", "options", "error"] },
    Shown { table: "Controller", name: Some("target"), columns: &["is_connected"] },
    Shown { table: "Manager", name: Some("target"), columns: &["is_connected"] },
];

const WHOLE: [Command; 2] = [
    Command { name: "init", least: 0, most: 0, arguments: "", options: &[], needs: nothing, run: |_, _| Ok(()) },
    Command { name: "show", least: 0, most: 0, arguments: "", options: &[], needs: show::needs, run: show::run },
];

pub(crate) static TOOL: Tool = Tool {
    program: "ovs-vsctl",
    database: "Open_vSwitch",
    module: "vsctl",
    commands: &[&WHOLE, &bridges::COMMANDS, &settings::COMMANDS, &zones::COMMANDS, &database::COMMANDS],
    ids: &IDS,
    show: &SHOW,
    root: "Open_vSwitch",
    has_daemon: true,
    usage: USAGE,
    followed: failures,
};

/// Runs `ovs-vsctl`.
pub fn main(_: &str, arguments: Vec<String>) -> ExitCode {
    super::main(&TOOL, arguments)
}

fn nothing(_: &mut Needs<'_>, _: &Given) -> Result<(), String> {
    Ok(())
}

/// What went wrong with interfaces that this run has asked for.
fn failures(state: &State<'_>, made: &[String]) -> Vec<String> {
    let Ok(table) = state.table("Interface") else { return Vec::new() };
    let mut lines = Vec::new();
    for row in state.sorted_rows(table) {
        let name = state.datum(table, row, "name");
        let Some(name) = name.string().filter(|name| made.iter().any(|made| made == name)) else { continue };
        // -1 says that it could not be had, none that its bridge could not
        if matches!(state.datum(table, row, "ofport").single(), Some(&Atom::Integer(n)) if n != -1) {
            continue;
        }
        let error = match state.datum(table, row, "error") {
            Datum::One(Atom::String(text)) => format!(": {text}"),
            _ => String::new(),
        };
        lines.push(format!("Error detected while setting up '{name}'{error}.  See ovs-vswitchd log for details."));
    }
    if !lines.is_empty() {
        let folder = crate::setup::log_dir();
        lines.push(format!("The default log directory is \"{}\".", folder.display()));
    }
    lines
}

const USAGE: &str = "ovs-vsctl: ovs-vswitchd management utility
usage: ovs-vsctl [OPTIONS] COMMAND [ARG...]

Open vSwitch commands:
  init                        initialize database, if not yet initialized
  show                        print overview of database contents
  emer-reset                  reset configuration to clean state

Bridge commands:
  add-br BRIDGE               create a new bridge named BRIDGE
  add-br BRIDGE PARENT VLAN   create new fake BRIDGE in PARENT on VLAN
  del-br BRIDGE               delete BRIDGE and all of its ports
  list-br                     print the names of all the bridges
  br-exists BRIDGE            exit 2 if BRIDGE does not exist
  br-to-vlan BRIDGE           print the VLAN which BRIDGE is on
  br-to-parent BRIDGE         print the parent of BRIDGE
  br-set-external-id BRIDGE KEY [VALUE]  set KEY on BRIDGE to VALUE, or unset it
  br-get-external-id BRIDGE [KEY]  print value of KEY, or all of them

Port commands (a bond is considered to be a single port):
  list-ports BRIDGE           print the names of all the ports on BRIDGE
  add-port BRIDGE PORT        add network device PORT to BRIDGE
  add-bond BRIDGE PORT IFACE...  add bonded port PORT in BRIDGE from IFACES
  del-port [BRIDGE] PORT      delete PORT (which may be bonded) from BRIDGE
  port-to-br PORT             print name of bridge that contains PORT
  add-bond-iface BOND IFACE   add IFACE to BOND
  del-bond-iface [BOND] IFACE  take IFACE from its bond

Interface commands (a bond consists of multiple interfaces):
  list-ifaces BRIDGE          print the names of all interfaces on BRIDGE
  iface-to-br IFACE           print name of bridge that contains IFACE

Controller, manager and TLS commands:
  get-controller|del-controller BRIDGE, [--inactivity-probe=MSECS] set-controller BRIDGE TARGET...
  get-fail-mode|del-fail-mode BRIDGE, set-fail-mode BRIDGE MODE
  get-manager, del-manager, [--inactivity-probe=MSECS] set-manager TARGET...
  get-ssl, del-ssl, [--bootstrap] set-ssl PRIV-KEY CERT CA-CERT

Auto Attach, conntrack zone and datapath commands:
  add-aa-mapping|del-aa-mapping BRIDGE I-SID VLAN, get-aa-mapping BRIDGE
  add-zone-tp DATAPATH zone=ID KEY=VALUE..., del-zone-tp DATAPATH zone=ID, list-zone-tp DATAPATH
  list-dp-cap DATAPATH

Database commands:
  list TBL [REC]              list RECord (or all records) in TBL
  find TBL CONDITION...       list records satisfying CONDITION in TBL
  get TBL REC COL[:KEY]       print values of COLumns in RECord in TBL
  set TBL REC COL[:KEY]=VALUE set COLumn values in RECord in TBL
  add TBL REC COL [KEY=]VALUE add (KEY=)VALUE to COLumn in RECord in TBL
  remove TBL REC COL [KEY=]VALUE  remove (KEY=)VALUE from COLumn
  clear TBL REC COL           clear values from COLumn in RECord in TBL
  create TBL COL[:KEY]=VALUE  create and initialize new record
  destroy TBL REC             delete RECord from TBL
  wait-until TBL REC [COL[:KEY]=VALUE]  wait until condition is true
  comment [ARG...]            goes to the database's log

Options:
  --db=DATABASE               connect to DATABASE
                              (default: db.sock in the folder of sockets)
  --no-wait                   do not wait for ovs-vswitchd to reconfigure
  --retry                     keep trying to connect to server forever
  -t, --timeout=SECS          wait at most SECS seconds for ovs-vswitchd
  --dry-run                   do not commit changes to database
  --oneline                   print exactly one line of output per command
  -f, --format=FORMAT         table, list, html, csv or json
  -d, --data=FORMAT           string, bare or json
  --no-headings, --pretty, --bare, --max-column-width=N
  -v[SPEC], --verbose[=SPEC]  set logging levels
  --log-file[=FILE]           enable logging to specified FILE
  --no-syslog                 equivalent to --verbose=vsctl:syslog:warn
  -p, --private-key=FILE, -c, --certificate=FILE, -C, --ca-cert=FILE,
  --bootstrap-ca-cert=FILE, --peer-ca-cert=FILE, --ssl-protocols=PROTOS, --ssl-ciphers=CIPHERS
  -h, --help                  display this help message
  -V, --version               display version information
";
