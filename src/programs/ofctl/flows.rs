//! Commands about flows: add, modify, delete, dump, replace, compare.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use openflow::action::actions_text_in;
use openflow::flow_mod::{Command, FlowFlags};
use openflow::text::message::Teller;
use openflow::text::{
    FlowStats, LineError, ParseError, ParsedFlow, PortNames, flow_text, parse_flow, parse_flows, table_text,
};
use openflow::wire::encode::encode_with;
use openflow::wire::flow::{FlowModRequest, needs_nx};
use openflow::wire::stats::{FlowEntry, FlowRequest};
use openflow::wire::switch::FlowFormat;
use openflow::wire::text::hex_dump;
use openflow::wire::{Message, Version, Xid};
use openflow::{Cookie, FieldId, FlowMod, TableId, view};

use super::bundle;
use super::link::{Link, ON, log, value};
use super::names::Names;
use super::offline::contents;
use super::{Call, Done};
use crate::setup::print;
use openflow::text::Formats;

/// Messages between two looks at what became of them, once as many were sent one by one.
const AT_ONCE: usize = 512;
const ONE_BY_ONE: usize = 64;

/// A file's text, or standard input's for `-`.
pub(super) fn text_of(path: &str) -> Result<String, String> {
    let bytes = match path {
        "-" => contents(path)?,
        path => {
            let failed = |e: &std::io::Error| format!("{path}: open failed ({})", ovsdb::error::strerror(e));
            std::fs::read(path).map_err(|e| failed(&e))?
        }
    };
    String::from_utf8(bytes).map_err(|e| format!("{path}: {e}"))
}

/// The flows of a file.
fn flows_of(path: &str, names: &dyn PortNames) -> Result<Vec<ParsedFlow>, String> {
    parse_flows(&text_of(path)?, names).map_err(|e| unread_line(path, &e))
}

/// A connection for changes of flows, in the forms that are allowed and can say them.
pub(super) struct Writer {
    pub(super) link: Link,
    formats: Formats,
    /// Forms that the switch was told of (OpenFlow 1.0 alone).
    nxm: bool,
    tables: bool,
    /// Messages are printed: as a table of bytes when it is 5, as one number when it is more.
    verbosity: u8,
}

impl Writer {
    pub(super) fn open(call: &Call, usable: Formats) -> Result<Writer, String> {
        call.formats.require(usable)?;
        let formats = call.formats.and(usable);
        let link = Link::open(call.argument(0), formats.versions())?;
        Ok(Writer { link, formats, nxm: false, tables: false, verbosity: 0 })
    }

    /// Has the switch take the forms that changes need.
    pub(super) fn agree(&mut self, nxm: bool, tables: bool) -> Done {
        if self.link.version != Version::Of10 {
            return Ok(());
        }
        if nxm && !self.nxm {
            self.link.change(&[Message::SetFlowFormat(FlowFormat::Nxm)])?;
            self.nxm = true;
        }
        if tables && !self.tables {
            self.link.change(&[Message::FlowModTableId(true)])?;
            self.tables = true;
        }
        Ok(())
    }

    /// The same for flows.
    pub(super) fn agree_on(&mut self, flows: &[FlowMod]) -> Done {
        let nxm = !self.formats.has_standard() || self.formats.has_nxm() && flows.iter().any(needs_nx);
        let tables = self.formats.has_tables() && flows.iter().any(|f| f.table.is_some());
        self.agree(nxm, tables)
    }

    /// The message of a change.
    pub(super) fn message(&self, flow: FlowMod) -> Message {
        let flow = whole(flow);
        let nx = self.link.version == Version::Of10 && self.nxm;
        let request = FlowModRequest { out_port: flow.out_port, flow, buffer: None, table_in_command: self.tables };
        Message::FlowMod { request, nx }
    }

    /// Prints a message for who wants to see everything.
    fn show(&self, message: &[u8]) {
        match self.verbosity {
            0..5 => {}
            5 => print(&hex_dump(message, true)),
            _ => {
                let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
                print(&format!("0x{}\n", hex.trim_start_matches('0')));
            }
        }
    }

    /// Makes changes, in order. The first that is refused ends it. Of many not each is waited for: some that follow a
    /// refused one may be done by then.
    pub(super) fn change(&mut self, flows: Vec<FlowMod>) -> Done {
        self.agree_on(&flows)?;
        let mut bytes = Vec::new();
        let count = flows.len();
        for (n, flow) in flows.into_iter().enumerate() {
            let message = self.message(flow);
            let xid = self.link.fresh();
            let encoded = self.link.encoded(&message, xid)?;
            self.show(&encoded);
            bytes.extend(encoded);
            if n < ONE_BY_ONE || n % AT_ONCE == 0 || n + 1 == count {
                self.link.change_bytes(std::mem::take(&mut bytes))?;
            }
        }
        Ok(())
    }
}

/// An addition says what cookie the flow gets.
fn whole(mut flow: FlowMod) -> FlowMod {
    if flow.command == Command::Add {
        flow.new_cookie.get_or_insert_default();
    }
    flow
}

/// The message of a change in a version that needs no forms.
pub(super) fn modern(flow: FlowMod) -> Message {
    let flow = whole(flow);
    let request = FlowModRequest { out_port: flow.out_port, flow, buffer: None, table_in_command: false };
    Message::FlowMod { request, nx: false }
}

fn change(call: &Call, flows: Vec<ParsedFlow>) -> Done {
    let usable = flows.iter().fold(Formats::default(), |all, f| all.and(f.formats));
    flows.iter().for_each(|f| tell_notes(&f.notes()));
    let flows: Vec<FlowMod> = flows.into_iter().map(|f| whole(f.flow)).collect();
    let mut writer = Writer::open(call, usable)?;
    if call.parsed.has("bundle") {
        let messages = flows.into_iter().map(|flow| writer.message(flow)).collect();
        return bundle::send(&mut writer.link, messages);
    }
    writer.verbosity = call.verbosity;
    writer.change(flows)
}

/// Matches of which it is told what was left out; a file may have very many.
const NOTES: u32 = 5;

/// Logs what was left out of a match.
pub(super) fn tell_notes(notes: &[(&'static str, String)]) {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    if notes.is_empty() || TOLD.fetch_add(1, Relaxed) >= NOTES {
        return;
    }
    for (module, line) in notes {
        log::info!(target: module, "{line}");
    }
}

/// The words for a text that cannot be read; what ovs-ofctl logs of it is logged.
pub(super) fn unread(e: &ParseError) -> String {
    let (note, rest) = e.parts();
    if let Some((module, line)) = note {
        log::warn!(target: module, "{line}");
    }
    rest.to_owned()
}

/// The words for a file that cannot be read.
pub(super) fn unread_line(path: &str, e: &LineError) -> String {
    format!("{path}:{}: {}", e.line, unread(&e.error))
}

/// Prints what flows can be said in, and the messages of the first form that is allowed.
fn parsed(call: &Call, flows: Vec<ParsedFlow>, names: &Names) -> Done {
    let usable = flows.iter().fold(Formats::default(), |all, f| all.and(f.formats));
    flows.iter().for_each(|f| tell_notes(&f.notes()));
    print(&format!("usable protocols: {usable}\n"));
    let (form, version) = call.formats.and(usable).first().ok_or("no usable protocol")?;
    print(&format!("chosen protocol: {form}\n"));
    let teller = Teller { names, verbosity: call.verbosity, on: names.on() };
    for (n, parsed) in flows.into_iter().enumerate() {
        let flow = whole(parsed.flow);
        let table_in_command = version == Version::Of10 && form.has_tables();
        let request = FlowModRequest { out_port: flow.out_port, flow, buffer: None, table_in_command };
        let message = Message::FlowMod { request, nx: form.has_nxm() };
        let xid = Xid(u32::try_from(n + 1).unwrap_or(u32::MAX));
        let bytes = encode_with(&message, version, xid, names.on().tlv).map_err(|e| e.to_string())?;
        let told = teller.tell(&bytes);
        log(&told.log);
        print(&call.colours.map_or(told.text.clone(), |palette| palette.changes(&told.text)));
    }
    Ok(())
}

pub(super) fn parse_one(call: &Call) -> Done {
    let text = call.argument(0);
    let names = Names::nowhere(text);
    let flow = parse_flow(text, Command::Add, &names).map_err(|e| unread(&e))?;
    parsed(call, vec![flow], &names)
}

pub(super) fn parse_file(call: &Call) -> Done {
    let path = call.argument(0);
    let text = text_of(path)?;
    let names = Names::nowhere(&text);
    let flows = lines_of(path, &text, Command::Add, &names)?;
    parsed(call, flows, &names)
}

/// Flows of a file whose lines say no command.
fn lines_of(path: &str, text: &str, command: Command, names: &Names) -> Result<Vec<ParsedFlow>, String> {
    let mut flows = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if !line.is_empty() {
            flows.push(parse_flow(line, command, names).map_err(|e| format!("{path}:{}: {e}", n + 1))?);
        }
    }
    Ok(flows)
}

/// A flow of the command line, or a file of them.
fn one(call: &Call, command: Command, missing: &str) -> Done {
    let names = call.names();
    match call.arguments.get(1).map_or(missing, String::as_str) {
        "-" => of_file(call, "-", command),
        text => change(call, vec![parse_flow(text, command, &names).map_err(|e| unread(&e))?]),
    }
}

/// Lines of a file for which the command is said.
fn of_file(call: &Call, path: &str, command: Command) -> Done {
    let names = call.names();
    if command == Command::Add {
        return change(call, flows_of(path, &names)?);
    }
    let flows = lines_of(path, &text_of(path)?, command, &names)?;
    change(call, flows)
}

pub(super) fn add_flow(call: &Call) -> Done {
    one(call, Command::Add, "")
}

pub(super) fn add_flows(call: &Call) -> Done {
    of_file(call, call.argument(1), Command::Add)
}

pub(super) fn mod_flows(call: &Call) -> Done {
    one(call, if call.parsed.has("strict") { Command::ModifyStrict } else { Command::Modify }, "")
}

pub(super) fn del_flows(call: &Call) -> Done {
    one(call, if call.parsed.has("strict") { Command::DeleteStrict } else { Command::Delete }, "")
}

/// Which flows an argument asks for.
fn request(call: &Call, names: &Names) -> Result<FlowRequest, String> {
    let text = call.arguments.get(1).map_or("", String::as_str);
    let flow = parse_flow(text, Command::Delete, names).map_err(|e| unread(&e))?.flow;
    Ok(FlowRequest {
        matching: flow.matching,
        table: flow.table,
        out_port: flow.out_port,
        out_group: flow.out_group,
        cookie: flow.cookie,
        cookie_mask: flow.cookie_mask,
    })
}

/// A link for questions about flows; whether they are asked in Nicira's form.
fn asking(call: &Call, request: &FlowRequest) -> Result<(Link, bool), String> {
    let needs = FlowMod {
        command: Command::Delete,
        matching: request.matching.clone(),
        cookie_mask: request.cookie_mask,
        ..FlowMod::default()
    };
    let mut writer = Writer::open(call, Formats::of_flow(&needs))?;
    // which says more, where there is a choice
    let nx = writer.link.version == Version::Of10 && writer.formats.has_nxm();
    writer.agree(nx, false)?;
    Ok((writer.link, nx))
}

pub(super) fn dump_aggregate(call: &Call) -> Done {
    let names = call.names();
    let request = request(call, &names)?;
    let (mut link, nx) = asking(call, &request)?;
    link.ask_all(&Message::AggregateRequest { request, nx }, |part| {
        let told = Teller { names: &names, verbosity: call.verbosity, on: ON }.tell(part);
        log(&told.log);
        print(&told.text);
    })
}

pub(super) fn dump_flows(call: &Call) -> Done {
    let names = call.names();
    let request = request(call, &names)?;
    let (mut link, nx) = asking(call, &request)?;
    let message = Message::FlowStatsRequest { request, nx };
    let sorts = sorts(call)?;
    if sorts.is_empty() && call.stats && call.names != Some(true) {
        return link.ask_all(&message, |part| {
            let told = Teller { names: &names, verbosity: call.verbosity, on: ON }.tell(part);
            log(&told.log);
            call.print_flows(&told.text);
        });
    }
    let mut flows = entries(&mut link, &message)?;
    flows.sort_by(|a, b| sorts.iter().map(|s| s.compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal));
    let out: String = flows.iter().map(|e| format!(" {}\n", line(e, call.stats, &names))).collect();
    call.print_flows(&out);
    Ok(())
}

/// All flows of an answer.
fn entries(link: &mut Link, message: &Message) -> Result<Vec<FlowEntry>, String> {
    let (mut flows, mut refused) = (Vec::new(), None);
    link.ask_all(message, |part| match value(part) {
        Ok(Message::FlowStatsReply { flows: part, .. }) => flows.extend(part.entries),
        Ok(_) => {}
        Err(e) => {
            refused.get_or_insert(e);
        }
    })?;
    refused.map_or(Ok(flows), Err)
}

fn line(e: &FlowEntry, stats: bool, names: &dyn PortNames) -> String {
    let flow = FlowMod {
        table: Some(e.table),
        priority: e.priority,
        new_cookie: Some(e.cookie),
        idle_timeout: e.idle_timeout,
        hard_timeout: e.hard_timeout,
        importance: e.importance,
        flags: e.flags,
        matching: e.matching.clone(),
        actions: e.actions.clone(),
        ..FlowMod::default()
    };
    let counters = FlowStats { duration: e.duration, n_packets: e.packets, n_bytes: e.bytes, ..FlowStats::default() };
    flow_text(&flow, stats.then_some(&counters), view::Version::Meant, names)
}

/// What flows are sorted by, and which way.
struct Sort {
    /// None is the priority.
    field: Option<FieldId>,
    down: bool,
}

fn sorts(call: &Call) -> Result<Vec<Sort>, String> {
    let mut all = Vec::new();
    for (option, value) in &call.parsed.options {
        let down = match *option {
            "sort" => false,
            "rsort" => true,
            _ => continue,
        };
        let field = match value.as_deref() {
            None | Some("" | "priority") => None,
            Some(name) => {
                let unknown = || format!("{name}: unknown field name");
                Some(openflow::text::field::by_any_name(name).ok_or_else(unknown)?)
            }
        };
        all.push(Sort { field, down });
    }
    Ok(all)
}

impl Sort {
    fn compare(&self, a: &FlowEntry, b: &FlowEntry) -> Ordering {
        let ordered = match self.field {
            None => a.priority.cmp(&b.priority),
            Some(field) => {
                // None of its bits is asked for: after those that ask for some, either way
                let value = |e: &FlowEntry| {
                    let (flow, mask) = e.matching.expand();
                    let (value, mask) = field.row().get_match(&flow, &mask);
                    (mask != 0).then_some(value)
                };
                match (value(a), value(b)) {
                    (Some(a), Some(b)) => a.cmp(&b),
                    (Some(_), None) => return Ordering::Less,
                    (None, Some(_)) => return Ordering::Greater,
                    (None, None) => Ordering::Equal,
                }
            }
        };
        if self.down { ordered.reverse() } else { ordered }
    }
}

/// What a flow is beside where it is: its cookie, timeouts, importance, flags and actions.
#[derive(Clone, PartialEq)]
struct What {
    cookie: Cookie,
    idle: u16,
    hard: u16,
    importance: u16,
    flags: FlowFlags,
    actions: Vec<openflow::Action>,
    matching: openflow::Match,
}

/// Table, priority falling, how many words the match looks at falling, its text.
type Place = (u8, std::cmp::Reverse<u16>, std::cmp::Reverse<u32>, String);
type Set = BTreeMap<Place, What>;

fn place(table: TableId, priority: u16, matching: &openflow::Match) -> Place {
    let words = matching.map().count_ones();
    (table.0, std::cmp::Reverse(priority), std::cmp::Reverse(words), matching.to_string())
}

fn set_of_file(path: &str, names: &dyn PortNames) -> Result<Set, String> {
    let mut all = Set::new();
    for ParsedFlow { flow: f, .. } in flows_of(path, names)? {
        let what = What {
            cookie: f.new_cookie.unwrap_or_default(),
            idle: f.idle_timeout,
            hard: f.hard_timeout,
            importance: f.importance,
            flags: FlowFlags { check_overlap: false, reset_counts: false, ..f.flags },
            actions: f.actions,
            matching: f.matching.clone(),
        };
        all.insert(place(f.table.unwrap_or_default(), f.priority, &f.matching), what);
    }
    Ok(all)
}

fn set_of_switch(link: &mut Link, nx: bool) -> Result<Set, String> {
    let request = FlowRequest::default();
    let mut all = Set::new();
    for e in entries(link, &Message::FlowStatsRequest { request, nx })? {
        let what = What {
            cookie: e.cookie,
            idle: e.idle_timeout,
            hard: e.hard_timeout,
            importance: e.importance,
            flags: FlowFlags { check_overlap: false, reset_counts: false, ..e.flags },
            actions: e.actions,
            matching: e.matching.clone(),
        };
        all.insert(place(e.table, e.priority, &e.matching), what);
    }
    Ok(all)
}

/// Whether two are the same as far as `version` can say.
fn same(a: &What, b: &What, version: Version) -> bool {
    let plain = |w: &What| What {
        importance: if version >= Version::Of14 { w.importance } else { 0 },
        flags: if version >= Version::Of13 { w.flags } else { FlowFlags::default() },
        ..w.clone()
    };
    plain(a) == plain(b)
}

pub(super) fn replace_flows(call: &Call) -> Done {
    let names = call.names();
    let wanted = set_of_file(call.argument(1), &names)?;
    let all = Formats::of_versions(Version::Of10..=Version::Of15);
    let mut writer = Writer::open(call, all)?;
    let nx = writer.link.version == Version::Of10 && writer.formats.has_nxm();
    writer.agree(nx, writer.formats.has_tables())?;
    let there = set_of_switch(&mut writer.link, nx)?;
    let (version, readd) = (writer.link.version, call.parsed.has("readd"));
    let flow = |place: &Place, what: &What, command| FlowMod {
        command,
        table: Some(TableId(place.0)),
        priority: place.1.0,
        matching: what.matching.clone(),
        ..FlowMod::default()
    };
    let mut changes = Vec::new();
    let places: std::collections::BTreeSet<&Place> = there.keys().chain(wanted.keys()).collect();
    for place in places {
        let Some(what) = wanted.get(place) else {
            changes.extend(there.get(place).map(|what| flow(place, what, Command::DeleteStrict)));
            continue;
        };
        if readd || !there.get(place).is_some_and(|now| same(now, what, version)) {
            changes.push(FlowMod {
                new_cookie: Some(what.cookie),
                idle_timeout: what.idle,
                hard_timeout: what.hard,
                importance: what.importance,
                flags: what.flags,
                actions: what.actions.clone(),
                ..flow(place, what, Command::Add)
            });
        }
    }
    if call.parsed.has("bundle") {
        let messages = changes.into_iter().map(|flow| writer.message(flow)).collect();
        return bundle::send(&mut writer.link, messages);
    }
    writer.change(changes)
}

/// One of two flows that differ, as diff-flows shows it.
fn shown(sign: char, place: &Place, what: &What, version: Version, names: &dyn PortNames) -> String {
    let rule = FlowMod { priority: place.1.0, matching: what.matching.clone(), ..FlowMod::default() };
    let mut out = String::from(sign);
    if place.0 != 0 {
        out += &format!("table={} ", table_text(TableId(place.0), names));
    }
    let text = flow_text(&rule, None, view::Version::Meant, names);
    out += text.strip_suffix("actions=drop").unwrap_or(&text).trim_end();
    if what.cookie.0 != 0 {
        out += &format!(" cookie={}", what.cookie);
    }
    for (name, n) in [("idle_timeout", what.idle), ("hard_timeout", what.hard)] {
        if n != 0 {
            out += &format!(" {name}={n}");
        }
    }
    if what.importance != 0 && version >= Version::Of14 {
        out += &format!(" importance={}", what.importance);
    }
    out + " actions=" + &actions_text_in(&what.actions, view::Version::Meant, &what.matching, names) + "\n"
}

pub(super) fn diff_flows(call: &Call) -> Done {
    let mut sets = Vec::new();
    let mut version = Version::Of10;
    // names are those of the switch, whichever of the two is one
    let is_file = |path: &str| std::fs::metadata(path).is_ok_and(|m| m.is_file());
    let switch = call.arguments.iter().find(|a| !is_file(a));
    let names = switch.map_or_else(Names::default, |s| Names::of(s, call.formats.versions(), call.names == Some(true)));
    for argument in call.arguments.iter().take(2) {
        if is_file(argument) {
            sets.push(set_of_file(argument, &names)?);
            continue;
        }
        let own = Call { arguments: std::slice::from_ref(argument), ..*call };
        let (mut link, nx) = asking(&own, &FlowRequest::default())?;
        version = link.version;
        sets.push(set_of_switch(&mut link, nx)?);
    }
    let [a, b] = &sets[..] else { return Err("'diff-flows' command requires at least 2 arguments".to_owned()) };
    let places: std::collections::BTreeSet<&Place> = a.keys().chain(b.keys()).collect();
    let mut differ = false;
    for place in places {
        let (before, after) = (a.get(place), b.get(place));
        if let (Some(before), Some(after)) = (before, after)
            && same(before, after, version)
        {
            continue;
        }
        differ = true;
        let minus = before.map(|what| shown('-', place, what, version, &names));
        let plus = after.map(|what| shown('+', place, what, version, &names));
        print(&format!("{}{}", minus.unwrap_or_default(), plus.unwrap_or_default()));
    }
    if differ {
        call.code.set(2);
    }
    Ok(())
}
