//! Files of flows and of changes: a line each, `#` begins a comment (ovs-ofctl(8), "add-flows", "bundle").

use super::error::{ParseError, Result, bail};
use super::flow::{ParsedFlow, parse_flow};
use super::group::parse_group;
use super::names::PortNames;
use crate::flow_mod::Command;
use crate::group_mod::{GroupCommand, GroupMod};
use crate::wire::packet::PacketOut;
use std::fmt;

/// Why a file was refused: the first bad line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// From 1.
    pub line: usize,
    pub error: ParseError,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Behind the name of the file: "FILE:LINE: what".
        write!(f, "{}: {}", self.line, self.error)
    }
}

impl std::error::Error for LineError {}

/// One line of a bundle's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Flow(Box<ParsedFlow>),
    Group(GroupMod),
    PacketOut(PacketOut),
}

/// Applies `read` to each line that has something, giving up at the first that is bad.
fn lines<T>(text: &str, read: impl Fn(&str) -> Result<T>) -> std::result::Result<Vec<T>, LineError> {
    let mut all = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if !line.is_empty() {
            all.push(read(line).map_err(|error| LineError { line: i + 1, error })?);
        }
    }
    Ok(all)
}

/// The first word of `line`, and the rest.
fn word(line: &str) -> (&str, &str) {
    line.split_once(|c: char| c.is_ascii_whitespace()).map_or((line, ""), |(w, rest)| (w, rest.trim_start()))
}

fn flow_line(line: &str, names: &dyn PortNames) -> Result<ParsedFlow> {
    let (first, rest) = word(line);
    match Command::by_name(first) {
        Some(command) => parse_flow(rest, command, names),
        None => parse_flow(line, Command::Add, names),
    }
}

/// Reads a file of flows: each line a flow to add, or `add`, `modify`, `modify_strict`, `delete`, `delete_strict` and
/// a flow.
pub fn parse_flows(text: &str, names: &dyn PortNames) -> std::result::Result<Vec<ParsedFlow>, LineError> {
    lines(text, |line| flow_line(line, names))
}

/// Reads a file of groups: each line a group to add, or a command and a group.
pub fn parse_groups(text: &str, names: &dyn PortNames) -> std::result::Result<Vec<GroupMod>, LineError> {
    lines(text, |line| group_line(line, names))
}

fn group_line(line: &str, names: &dyn PortNames) -> Result<GroupMod> {
    let (first, rest) = word(line);
    match GroupCommand::by_name(first) {
        Some(command) => parse_group(rest, command, names),
        None => parse_group(line, GroupCommand::Add, names),
    }
}

/// Reads a bundle's file: `flow …` or `group …` in each line, in the order in which they apply.
pub fn parse_bundle(text: &str, names: &dyn PortNames) -> std::result::Result<Vec<Change>, LineError> {
    lines(text, |line| {
        let (kind, rest) = word(line);
        match kind {
            "flow" => flow_line(rest, names).map(|f| Change::Flow(Box::new(f))),
            "group" => group_line(rest, names).map(Change::Group),
            "packet-out" => super::others::parse_packet_out(rest, names).map(Change::PacketOut),
            other if other.contains(',') => {
                bail!("Unsupported bundle message type: {}", other.split(',').next().unwrap_or(other))
            }
            other => bail!("Unsupported bundle message type: {other}"),
        }
    })
}
