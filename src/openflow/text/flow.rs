//! Text of flows and of changes to them (ovs-ofctl(8), "Flow Syntax").

use super::error::{Result, bail};
use super::formats::Formats;
use super::names::{ForFlow, PortNames, parse_port, parse_table, port_text, table_text};
use super::number::{u16_named, u32_plain, u64_plain};
use super::scan::Items;
use crate::action::{actions_text_in, check, parse_actions};
use crate::flow_mod::{Command, DEFAULT_PRIORITY, FlowFlags, FlowMod};
use crate::types::{Cookie, GroupId, TableId};
use crate::view::Version;
use flow::layout::VLAN_TCI;
use flow::text::format::format_match;
use flow::text::parse::{MatchBuilder, Parsed};
use std::time::Duration;

/// Words for a command at the start of a line, longest first where one begins another.
const COMMANDS: [(&str, Command); 5] = [
    ("add", Command::Add),
    ("modify", Command::Modify),
    ("modify_strict", Command::ModifyStrict),
    ("delete", Command::Delete),
    ("delete_strict", Command::DeleteStrict),
];

impl Command {
    /// The word for it in a file of flows.
    pub fn name(self) -> &'static str {
        COMMANDS.iter().find(|(_, c)| *c == self).map_or("", |(n, _)| n)
    }

    /// The command called `name`.
    pub fn by_name(name: &str) -> Option<Command> {
        COMMANDS.iter().find(|(n, _)| *n == name).map(|(_, c)| *c)
    }

    fn deletes(self) -> bool {
        matches!(self, Command::Delete | Command::DeleteStrict)
    }
}

/// Flags by name, in the order in which they are printed.
type Flag = (&'static str, fn(&mut FlowFlags) -> &mut bool);
const FLAGS: [Flag; 5] = [
    ("send_flow_rem", |f| &mut f.send_flow_rem),
    ("check_overlap", |f| &mut f.check_overlap),
    ("reset_counts", |f| &mut f.reset_counts),
    ("no_packet_counts", |f| &mut f.no_packet_counts),
    ("no_byte_counts", |f| &mut f.no_byte_counts),
];

pub(super) fn flags_text(mut flags: FlowFlags) -> String {
    FLAGS.iter().filter(|(_, get)| *get(&mut flags)).map(|(n, _)| format!("{n} ")).collect()
}

/// A flow as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedFlow {
    pub flow: FlowMod,
    /// The actions fit the match as OpenFlow 1.1 and later ask; OpenFlow 1.0 takes those that do not.
    pub consistent: bool,
    /// What it can be said in.
    pub formats: Formats,
    /// The match as it was written, where that has fields that mean nothing beside the others.
    pub before: Option<String>,
}

impl ParsedFlow {
    /// Lines for the log about what was left out of the match.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        self.before.as_ref().map_or_else(Vec::new, |before| notes(before, &self.flow.matching))
    }
}

/// Lines for the log about a match that was written as `before`.
pub fn notes(before: &str, after: &flow::Match) -> Vec<(&'static str, String)> {
    let lines =
        ["normalization changed ofp_match, details:".to_owned(), format!(" pre: {before}"), format!("post: {after}")];
    lines.into_iter().map(|line| ("ofp_match", line)).collect()
}

/// Where `actions=` and what follows begin.
fn split_actions(text: &str) -> (&str, Option<&str>) {
    let Some(at) = text.find("action") else {
        return (text, None);
    };
    let (fields, rest) = text.split_at(at);
    (fields, rest.split_once('=').map(|(_, actions)| actions))
}

/// Reads a flow: `table=0,priority=10,ip,nw_dst=10.0.0.0/8,actions=…`. Deletions need no actions.
pub fn parse_flow(text: &str, command: Command, names: &dyn PortNames) -> Result<ParsedFlow> {
    let (fields, actions) = split_actions(text);
    if !command.deletes() && actions.is_none() {
        bail!("must specify an action");
    }
    let mut flow = FlowMod { command, ..FlowMod::default() };
    let names_of_flow = ForFlow(names);
    let mut matching = MatchBuilder::new(&names_of_flow);
    let mut written = Formats::default();
    for item in Items::new(fields) {
        let (key, value) = (item.key, item.value);
        if let Some((_, get)) = FLAGS.iter().find(|(n, _)| *n == key && !command.deletes()) {
            *get(&mut flow.flags) = true;
            continue;
        }
        let bare = item.whole == key;
        if matches!(value, "*" | "ANY") && super::field::by_any_name(key).is_some() {
            continue;
        }
        if (!bare && setting(&mut flow, key, value, names)?) || matching.pair(key, (!bare).then_some(value))? {
            written = written.and(Formats::of_item(&item));
            continue;
        }
        if bare {
            bail!("field {key} missing value");
        }
        bail!("unknown keyword {key}");
    }
    let Parsed { matching, before, .. } = matching.finish()?;
    flow.matching = matching;
    let before = before.map(|m| m.to_string());
    if command == Command::Add && flow.cookie_mask != 0 {
        bail!("flow additions cannot use a cookie mask");
    }
    if command.deletes() {
        if actions.is_some() {
            bail!("unknown keyword actions");
        }
        let formats = Formats::of_parsed(&flow, written, true);
        return Ok(ParsedFlow { flow, consistent: true, formats, before });
    }
    let Some(actions) = actions else {
        bail!("must specify an action");
    };
    flow.actions = parse_actions(actions, names)?;
    match check(&flow.actions, &flow.matching, flow.table) {
        Ok(consistent) => {
            let formats = Formats::of_parsed(&flow, written, consistent);
            if formats.is_empty() {
                bail!("actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)");
            }
            Ok(ParsedFlow { flow, consistent, formats, before })
        }
        Err(e) => Err(e.into()),
    }
}

/// Reads one setting that is no field; false when `key` is none.
fn setting(flow: &mut FlowMod, key: &str, value: &str, names: &dyn PortNames) -> Result<bool> {
    match key {
        "table" => match parse_table(value, names) {
            Some(table) => flow.table = Some(table).filter(|t| t.0 != TableId::ALL),
            None => bail!("unknown table \"{value}\""),
        },
        // A deletion says which flows, not what they are.
        "priority" if flow.command == Command::Delete => return Ok(false),
        "idle_timeout" | "hard_timeout" | "importance" if flow.command.deletes() => return Ok(false),
        "priority" => flow.priority = u16_named(value, "priority")?,
        "idle_timeout" => flow.idle_timeout = u16_named(value, "idle_timeout")?,
        "hard_timeout" => flow.hard_timeout = u16_named(value, "hard_timeout")?,
        "importance" => flow.importance = u16_named(value, "importance")?,
        "cookie" => match value.split_once('/') {
            Some((cookie, mask)) => {
                flow.cookie = Cookie(u64_plain(cookie)?);
                flow.cookie_mask = u64_plain(mask)?;
            }
            None if flow.command.deletes() => {
                bail!("cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={value}/-1)")
            }
            None => flow.new_cookie = Some(Cookie(u64_plain(value)?)),
        },
        "out_port" if flow.command.deletes() => match parse_port(value, names) {
            Some(port) => flow.out_port = Some(port),
            None => bail!("{value} is not a valid OpenFlow port"),
        },
        "out_group" if flow.command.deletes() => match u32_plain(value) {
            Ok(group) => flow.out_group = Some(GroupId(group)),
            Err(_) => bail!("{value} is not a valid OpenFlow group"),
        },
        // What dump-flows prints beside a flow.
        "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
        _ => return Ok(false),
    }
    Ok(true)
}

/// `priority=…,` and the match; the default priority is not printed.
pub(super) fn rule_text(flow: &FlowMod, version: Version, names: &dyn PortNames) -> String {
    // "No tag" leaves out the priority bits since OpenFlow 1.2.
    let untagged = version == Version::Of15 && flow.matching.get(VLAN_TCI) == (0, 0xffff);
    let matching = if untagged { &flow.matching.with(VLAN_TCI, 0, 0x1fff) } else { &flow.matching };
    let matching = format_match(matching, &ForFlow(names));
    match (flow.priority, matching.as_str()) {
        (DEFAULT_PRIORITY, _) => matching,
        (p, "") => format!("priority={p}"),
        (p, m) => format!("priority={p},{m}"),
    }
}

/// A change as `ovs-ofctl parse-flow` prints it: `ADD table:3 priority=5,ip cookie:0x1 actions=…`.
pub fn flow_mod_text(flow: &FlowMod, version: Version, names: &dyn PortNames) -> String {
    let command = match flow.command {
        Command::Add => "ADD",
        Command::Modify => "MOD",
        Command::ModifyStrict => "MOD_STRICT",
        Command::Delete => "DEL",
        Command::DeleteStrict => "DEL_STRICT",
    };
    let mut words = vec![command.to_owned()];
    words.extend(flow.table.filter(|t| t.0 != 0).map(|t| format!("table:{}", table_text(t, names))));
    words.extend(Some(rule_text(flow, version, names)).filter(|r| !r.is_empty()));
    words.extend(flow.new_cookie.filter(|c| c.0 != 0).map(|c| format!("cookie:{c}")));
    if flow.cookie_mask != 0 {
        words.push(format!("cookie:{:#x}/{:#x}", flow.cookie.0, flow.cookie_mask));
    }
    let mut number = |name: &str, n: u16| words.extend((n != 0).then(|| format!("{name}:{n}")));
    number("idle", flow.idle_timeout);
    number("hard", flow.hard_timeout);
    if version != Version::Of10 {
        number("importance", flow.importance);
    }
    words.extend(flow.out_port.map(|p| format!("out_port:{}", port_text(p, names))));
    words.extend(flow.out_group.map(|g| format!("out_group:{g}")));
    words.extend(Some(flags_text(flow.flags).trim_end().to_owned()).filter(|f| !f.is_empty()));
    words.push(format!("actions={}", actions_text_in(&flow.actions, version, &flow.matching, names)));
    words.join(" ")
}

/// What is known of a flow that is in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Since it was added.
    pub duration: Duration,
    pub n_packets: u64,
    pub n_bytes: u64,
    /// Whole seconds since a packet, and since it was last added or changed (when that differs from the duration).
    pub idle_age: Option<u64>,
    pub hard_age: Option<u64>,
}

/// A flow as `ovs-ofctl dump-flows` prints it, without the line's leading space; `stats` of `None` is `--no-stats`.
/// The flow's cookie is its `new_cookie`.
pub fn flow_text(flow: &FlowMod, stats: Option<&FlowStats>, version: Version, names: &dyn PortNames) -> String {
    let mut out = String::new();
    let mut number = |name: &str, n: u64, always: bool| {
        if always || n != 0 {
            out.push_str(&format!("{name}={n}, "));
        }
    };
    let cookie = flow.new_cookie.unwrap_or_default();
    let table = flow.table.unwrap_or_default();
    let table = || format!("table={}, ", table_text(table, names));
    match stats {
        Some(s) => {
            let (secs, milli) = (s.duration.as_secs(), s.duration.subsec_millis());
            let secs = if s.duration.subsec_nanos() == 0 { format!("{secs}s") } else { format!("{secs}.{milli:03}s") };
            number("n_packets", s.n_packets, true);
            number("n_bytes", s.n_bytes, true);
            out = format!("cookie={cookie}, duration={secs}, {}{out}", table());
        }
        None => {
            if cookie.0 != 0 {
                out.push_str(&format!("cookie={cookie}, "));
            }
            if flow.table.is_some_and(|t| t.0 != 0 || names.table_name(t).is_some()) {
                out.push_str(&table());
            }
        }
    }
    let mut number = |name: &str, n: u64, always: bool| {
        if always || n != 0 {
            out.push_str(&format!("{name}={n}, "));
        }
    };
    number("idle_timeout", flow.idle_timeout.into(), false);
    number("hard_timeout", flow.hard_timeout.into(), false);
    if version != Version::Of10 {
        out.push_str(&flags_text(flow.flags));
        if flow.importance != 0 {
            out.push_str(&format!("importance={}, ", flow.importance));
        }
    }
    for (name, age) in [("idle_age", stats.and_then(|s| s.idle_age)), ("hard_age", stats.and_then(|s| s.hard_age))] {
        if let Some(age) = age {
            out.push_str(&format!("{name}={age}, "));
        }
    }
    let rule = rule_text(flow, version, names);
    out.push_str(&rule);
    if !rule.is_empty() {
        out.push(' ');
    }
    out + "actions=" + &actions_text_in(&flow.actions, version, &flow.matching, names)
}
