//! Requests that would hold the owner loop: files of flows and bundles are read on a thread and applied a slice in each turn,
//! one after another.
//!
//! Meanwhile other commands go on, with two exceptions that wait: what the same connection asks for, since it may count on
//! the change, and, while a bundle is on its way, what changes flows, groups or bridges. A file that is no bundle is in the
//! tables bit by bit; a bundle at once, when all of it is applied to a copy ([`pipeline::Draft`]).

use std::collections::VecDeque;
use std::time::Duration;
use std::vec::IntoIter;

use openflow::text::ParsedFlow;
use openflow::text::file::Change;
use pipeline::{BundleItem, Snapshot};

use super::bundles::{self, Bundle, Progress};
use super::commands;
use super::names::Names;
use super::switch::Switch;
use crate::control::Call;

/// Text of this length is read and applied in less time than a slice has.
const SHORT: usize = 8 << 10;
/// What a turn of the loop gives.
const SLICE: Duration = Duration::from_millis(2);
/// Changes between two looks at the clock.
const STEP: usize = 16;

/// Flows that can all be removed or modified in less time than a slice has.
const FEW: usize = 500;
/// These are about all flows that match: bundles of one change, as far as they are long.
const DELETION: &str = "ofctl/del-flows";
const MODIFICATION: &str = "ofctl/mod-flows";

/// What is under way, and who waits for it.
#[derive(Default)]
pub(super) struct Longs {
    running: Option<Running>,
    waiting: VecDeque<Call>,
}

struct Running {
    call: Call,
    bridge: String,
    bundle: bool,
    /// None while it is read.
    work: Option<Work>,
}

/// What a file said.
pub(super) enum Parsed {
    Flows(Vec<ParsedFlow>),
    Bundle(Vec<BundleItem>),
}

/// What is left of it, and how many changes were made.
enum Work {
    Flows(IntoIter<ParsedFlow>, usize),
    Bundle(Bundle),
}

impl Longs {
    /// Whether there is something to do at once.
    pub(super) fn is_ready(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.work.is_some())
    }

    /// Whether flows, groups and bridges are to stay as they are, but for what is under way.
    pub(super) fn has_bundle(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.bundle)
    }

    /// Whether anything is under way.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The call, unless it has to wait. `elsewhere`: there is a bundle of another kind of connection.
    pub(super) fn admit(&mut self, tables: &Snapshot, call: Call, elsewhere: bool) -> Option<Call> {
        if self.running.is_none() && !elsewhere {
            return Some(call);
        }
        let same = |other: &Call| other.from == call.from && call.from != 0;
        let bundle = elsewhere || self.has_bundle();
        let excluded = is_long(tables, &call) || bundle && changes_tables(&call.method);
        let running = self.running.as_ref().is_some_and(|running| same(&running.call));
        if excluded || running || self.waiting.iter().any(same) {
            self.waiting.push_back(call);
            return None;
        }
        Some(call)
    }
}

/// Whether a command is for [`begin`].
pub(super) fn is_long(tables: &Snapshot, call: &Call) -> bool {
    let argument = |n: usize| call.arguments.get(n).map(String::as_str);
    match call.method.as_str() {
        "ofctl/add-flows" | "ofctl/bundle" => argument(1).is_some_and(|text| text.len() > SHORT),
        DELETION | MODIFICATION => {
            let bridge = argument(0).and_then(|name| tables.bridge_named(name));
            argument(1) != Some("--strict") && bridge.is_some_and(|b| b.flow_count() > FEW)
        }
        _ => false,
    }
}

/// Whether it is a bundle of one change, which has no number in errors.
fn is_of_one(call: &Call) -> bool {
    matches!(call.method.as_str(), DELETION | MODIFICATION)
}

fn changes_tables(method: &str) -> bool {
    let changes = ["ofctl/add-", "ofctl/mod-", "ofctl/del-", "bridge/add", "bridge/del"];
    method == "ofctl/bundle" || changes.iter().any(|c| method.starts_with(c))
}

/// Reads a file of flows.
///
/// # Errors
/// `LINE: what is wrong`.
pub(super) fn parse_flows(text: &str, names: &Names<'_>) -> Result<Vec<ParsedFlow>, String> {
    openflow::text::parse_flows(text, names).map_err(|e| e.to_string())
}

/// Reads a bundle: lines are flows, or begin with `flow` or `group`.
///
/// # Errors
/// `LINE: what is wrong`.
pub(super) fn parse_bundle(text: &str, names: &Names<'_>) -> Result<Vec<BundleItem>, String> {
    if !text.lines().any(|l| l.starts_with("flow ") || l.starts_with("group ")) {
        return Ok(parse_flows(text, names)?.into_iter().map(|parsed| BundleItem::Flow(parsed.flow)).collect());
    }
    let changes = openflow::text::parse_bundle(text, names).map_err(|e| e.to_string())?;
    let item = |c| match c {
        Change::Flow(parsed) => BundleItem::Flow(parsed.flow),
        Change::Group(group) => BundleItem::Group(group),
        Change::PacketOut(packet) => BundleItem::Packet(Box::new(packet)),
    };
    Ok(changes.into_iter().map(item).collect())
}

/// Starts reading; [`turn`] goes on. Nothing else may be running.
pub(super) fn begin(switch: &mut Switch, mut call: Call) {
    let mut arguments = std::mem::take(&mut call.arguments).into_iter();
    let bridge = arguments.next().unwrap_or_default();
    if is_of_one(&call) {
        let rest: Vec<String> = arguments.collect();
        let flow = match call.method == DELETION {
            true => commands::deletion(switch, &bridge, &rest),
            false => commands::modification(switch, &bridge, &rest),
        };
        switch.longs.running = Some(Running { call, bridge, bundle: true, work: None });
        return read(switch, flow.map(|flow| Parsed::Bundle(vec![BundleItem::Flow(flow)])));
    }
    let text = arguments.next().unwrap_or_default();
    let bundle = call.method == "ofctl/bundle";
    let tables = switch.manager.snapshot().clone();
    if tables.bridge_named(&bridge).is_none() {
        return call.answer(Err(format!("no bridge named {bridge}")));
    }
    switch.longs.running = Some(Running { call, bridge: bridge.clone(), bundle, work: None });
    switch.jobs.aside(
        move || {
            let names = Names { snapshot: &tables, bridge: &bridge };
            match bundle {
                true => parse_bundle(&text, &names).map(Parsed::Bundle),
                false => parse_flows(&text, &names).map(Parsed::Flows),
            }
        },
        |switch, parsed| read(switch, parsed.and_then(|p| p)),
    );
}

fn read(switch: &mut Switch, parsed: Result<Parsed, String>) {
    let Some(mut running) = switch.longs.running.take() else { return };
    let bundle = |b: &str, items| Bundle::new(&switch.manager, b, items).map_err(|e| e.to_string());
    let work = parsed.and_then(|parsed| match parsed {
        Parsed::Flows(flows) => Ok(Work::Flows(flows.into_iter(), 0)),
        Parsed::Bundle(items) => Ok(Work::Bundle(bundle(&running.bridge, items)?)),
    });
    match work {
        Ok(work) => {
            running.work = Some(work);
            switch.longs.running = Some(running);
        }
        Err(e) => end(switch, running.call, Err(e)),
    }
}

/// A slice of what is under way. What ends is answered when it is published.
pub(super) fn turn(switch: &mut Switch) {
    if !switch.longs.is_ready() {
        return;
    }
    let Some(mut running) = switch.longs.running.take() else { return };
    let Some(work) = running.work.take() else { return };
    let until = switch.clock.now() + SLICE;
    match step(switch, work, &running.bridge, until) {
        Ok(Stepped::Done) => end(switch, running.call, Ok(())),
        Ok(Stepped::More(work)) => {
            running.work = Some(work);
            switch.longs.running = Some(running);
        }
        Ok(Stepped::Chooses(bundle)) => {
            switch.longs.running = Some(running);
            choose(switch, bundle);
        }
        Err((e, rest)) => failed(switch, running.call, e, rest),
    }
}

/// Has flows that a change is about chosen on another thread.
fn choose(switch: &mut Switch, mut bundle: Bundle) {
    let Some(choice) = bundle.choice() else { return };
    switch.jobs.aside(choice, move |switch, chosen| {
        let Some(mut running) = switch.longs.running.take() else { return };
        let now = switch.clock.now();
        let taken = match chosen {
            Ok(chosen) => bundle.chosen(&mut switch.manager, chosen, now).map_err(|e| told(&e)),
            Err(e) => Err(e),
        };
        match taken {
            Ok(()) => {
                running.work = Some(Work::Bundle(bundle));
                switch.longs.running = Some(running);
            }
            Err(e) => failed(switch, running.call, e, Some(Box::new(bundle))),
        }
    });
}

fn failed(switch: &mut Switch, call: Call, e: String, rest: Option<Box<Bundle>>) {
    let e = if is_of_one(&call) { e.trim_start_matches("change 1: ").to_owned() } else { e };
    // as much may be freed as was made: not here
    switch.jobs.aside(move || drop(rest), |_, _| {});
    end(switch, call, Err(e));
}

fn told((at, e): &bundles::Failed) -> String {
    at.map_or_else(|| e.to_string(), |at| format!("change {}: {e}", at + 1))
}

enum Stepped {
    More(Work),
    Chooses(Bundle),
    Done,
}

type Step = Result<Stepped, (String, Option<Box<Bundle>>)>;

/// Works until it is time to stop.
fn step(switch: &mut Switch, mut work: Work, bridge: &str, until: base::clock::Instant) -> Step {
    loop {
        let now = switch.clock.now();
        if now >= until {
            return Ok(Stepped::More(work));
        }
        let manager = &mut switch.manager;
        match work {
            Work::Flows(ref mut left, ref mut done) => {
                for parsed in left.take(STEP) {
                    *done += 1;
                    let result = manager.flow_mod(bridge, &parsed.flow, now);
                    result.map_err(|e| (format!(" flow {done}: {e}"), None))?;
                }
                if left.len() == 0 {
                    return Ok(Stepped::Done);
                }
            }
            Work::Bundle(mut bundle) => match bundle.step(manager, now) {
                Ok(Progress::More) => work = Work::Bundle(bundle),
                Ok(Progress::Chooses) => return Ok(Stepped::Chooses(bundle)),
                Ok(Progress::Done) => {
                    bundle.commit(manager).map_err(|e| (told(&e), None))?;
                    return Ok(Stepped::Done);
                }
                Err(e) => return Err((told(&e), Some(Box::new(bundle)))),
            },
        }
    }
}

/// Answers, and lets those go on that waited.
fn end(switch: &mut Switch, call: Call, result: Result<(), String>) {
    switch.published.push((call, result.map(|()| String::new())));
    wake(switch);
}

/// Lets those go on that waited.
pub(super) fn wake(switch: &mut Switch) {
    for call in std::mem::take(&mut switch.longs.waiting) {
        commands::execute(switch, call);
    }
}
