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
use pipeline::{BundleItem, Draft, Manager, Snapshot};

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
    Bundle(Box<Draft>, IntoIter<BundleItem>, usize),
}

impl Longs {
    /// Whether there is something to do at once.
    pub(super) fn is_ready(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.work.is_some())
    }

    /// The call, unless it has to wait.
    pub(super) fn admit(&mut self, tables: &Snapshot, call: Call) -> Option<Call> {
        let Some(running) = &self.running else { return Some(call) };
        let same = |other: &Call| other.from == call.from && call.from != 0;
        let excluded = is_long(tables, &call) || running.bundle && changes_tables(&call.method);
        if excluded || same(&running.call) || self.waiting.iter().any(same) {
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
    let draft = |b: &str| switch.manager.draft(b).map_err(|e| e.to_string());
    let work = parsed.and_then(|parsed| match parsed {
        Parsed::Flows(flows) => Ok(Work::Flows(flows.into_iter(), 0)),
        Parsed::Bundle(items) => Ok(Work::Bundle(Box::new(draft(&running.bridge)?), items.into_iter(), 0)),
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
        Ok(None) => end(switch, running.call, Ok(())),
        Ok(work) => {
            running.work = work;
            switch.longs.running = Some(running);
        }
        Err((e, rest)) => {
            let e = if is_of_one(&running.call) { e.trim_start_matches("change 1: ").to_owned() } else { e };
            // as much may be freed as was made: not here
            switch.jobs.aside(move || drop(rest), |_, _| {});
            end(switch, running.call, Err(e));
        }
    }
}

type Step = Result<Option<Work>, (String, Option<Box<Draft>>)>;

/// Works until it is time to stop; None when it is done.
fn step(switch: &mut Switch, mut work: Work, bridge: &str, until: base::clock::Instant) -> Step {
    loop {
        let now = switch.clock.now();
        if now >= until {
            return Ok(Some(work));
        }
        let manager = &mut switch.manager;
        match &mut work {
            Work::Flows(left, done) => {
                for parsed in left.take(STEP) {
                    *done += 1;
                    let result = manager.flow_mod(bridge, &parsed.flow, now);
                    result.map_err(|e| (format!(" flow {done}: {e}"), None))?;
                }
                if left.len() == 0 {
                    return Ok(None);
                }
            }
            Work::Bundle(draft, left, done) => {
                if manager.continue_draft(draft, STEP) {
                    continue;
                }
                let mut failed = None;
                for item in left.take(STEP) {
                    *done += 1;
                    if let Err(e) = manager.change_draft(draft, &item, now) {
                        failed = Some(format!("change {done}: {e}"));
                        break;
                    }
                    if manager.continue_draft(draft, STEP) {
                        break;
                    }
                }
                if failed.is_none() && (left.len() != 0 || manager.continue_draft(draft, STEP)) {
                    continue;
                }
                let Work::Bundle(draft, ..) = work else { return Ok(None) };
                return match failed {
                    Some(e) => Err((e, Some(draft))),
                    None => commit(manager, *draft).map(|()| None),
                };
            }
        }
    }
}

fn commit(manager: &mut Manager, draft: Draft) -> Result<(), (String, Option<Box<Draft>>)> {
    manager.commit(draft).map(drop).map_err(|e| (e.to_string(), None))
}

/// Answers, and lets those go on that waited.
fn end(switch: &mut Switch, call: Call, result: Result<(), String>) {
    switch.published.push((call, result.map(|()| String::new())));
    for call in std::mem::take(&mut switch.longs.waiting) {
        commands::execute(switch, call);
    }
}
