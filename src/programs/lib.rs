//! Programs of Open vSwitch by name: a binary that is called by such a name, or with it as first argument, behaves as that
//! program.
//!
//! | module | what for |
//! |---|---|
//! | [`options`] | command lines in GNU style |
//! | [`setup`] | folders, log, what every program takes |
//! | [`daemon`] | background, pid file, a monitor that starts it again |
//! | [`replay`] | a run recorded, and run again |
//! | [`stream`] | `unix:`, `tcp:`, `ssl:`, `punix:`, `ptcp:`, `pssl:` as sockets |
//! | [`tls`] | settings of TLS, verification by chain |
//! | [`manual`] | manual pages and completion, of what programs say of themselves |
//! | [`table`] | tables as text, list, CSV, JSON, HTML |
//! | [`tool`] | `ovsdb-tool` |
//! | [`client`] | `ovsdb-client` |
//! | [`ctl`] | `ovs-vsctl`, `vtep-ctl` |
//! | [`appctl`] | `ovs-appctl` |
//! | [`ofctl`] | `ovs-ofctl`, as far as it needs no switch |
//! | [`server`] | `ovsdb-server` |
#![forbid(unsafe_code)]

pub mod appctl;
pub mod client;
pub mod ctl;
pub mod daemon;
pub mod manual;
pub mod ofctl;
pub mod options;
mod replay;
pub mod server;
pub mod setup;
pub mod stream;
pub mod table;
pub mod tls;
pub mod tool;
pub mod unixctl;

use std::path::Path;
use std::process::ExitCode;

/// A program: its name and the arguments behind it.
type Program = fn(&str, Vec<String>) -> ExitCode;

const PROGRAMS: [(&str, Program); 7] = [
    ("ovsdb-tool", tool::main),
    ("ovsdb-client", client::main),
    ("ovsdb-server", server::main),
    ("ovs-vsctl", ctl::vswitch::main),
    ("vtep-ctl", ctl::vtep::main),
    ("ovs-ofctl", ofctl::main),
    ("ovs-appctl", appctl::main),
];

/// The names of all programs.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|(name, _)| *name)
}

/// What each of them says of itself.
pub fn abouts() -> Vec<manual::About> {
    vec![tool::about(), client::about(), server::about(), ctl::about(&ctl::vswitch::TOOL), ctl::about(&ctl::vtep::TOOL)]
}

/// Runs the program that the arguments name, if they do.
pub fn called(mut arguments: Vec<String>) -> Option<ExitCode> {
    let find = |name: &str| {
        let name = Path::new(name).file_name()?.to_str()?;
        PROGRAMS.iter().find(|(known, _)| *known == name)
    };
    if let Some((name, program)) = arguments.first().and_then(|name| find(name)) {
        arguments.remove(0);
        return Some(program(name, arguments));
    }
    let (name, program) = arguments.get(1).and_then(|name| find(name))?;
    arguments.drain(..2);
    Some(program(name, arguments))
}
