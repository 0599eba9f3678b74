//! What watchers of flows are told (OpenFlow 1.4.1, section 7.3.5.18).
//!
//! While somebody watches, the [`Manager`](crate::Manager) notes what becomes of flows. A [`Watcher`] tells of it at once, as
//! long as it keeps up. One that does not remembers the tables as it knows them, which costs what has changed since, and is
//! told the [`Difference`] once it can go on: what has gone, then what came and what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dpif::RuleId;
use openflow::wire::flow::RemovedReason as Wire;
use openflow::wire::monitor::{FlowEvent, FlowUpdate, MonitorCommand, MonitorRequest, WatchedFlow, watch};
use openflow::{Action, GroupId, OfPort, TableId};
use rustc_hash::FxHashMap;

use crate::manager::{FlowFilter, RemovedReason, check};
use crate::snapshot::Bridge;
use crate::snapshot::table::{Rule, Table};

/// Monitors that a connection may have.
const MAX_MONITORS: usize = 1024;
/// Changes that are kept while the difference to what was before them is made.
const MAX_LATE: usize = 1024;

/// Who asks for a change: the connection, and the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    pub connection: u64,
    pub xid: u32,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Added,
    Modified,
    Removed(RemovedReason),
}

/// One thing that became of a flow.
#[derive(Clone, Debug)]
pub struct FlowChange {
    /// The bridge's index.
    pub bridge: u32,
    pub table: u8,
    pub fate: Fate,
    pub rule: Arc<Rule>,
    /// The flow in whose place it is.
    pub before: Option<Arc<Rule>>,
    /// None where time or packets did it.
    pub by: Option<By>,
}

/// What is wrong with a request to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is a monitor with this number.
    Exists,
    /// There is none.
    Unknown,
    TooMany,
}

/// What a connection watches of a bridge.
#[derive(Debug)]
pub struct Watcher {
    me: u64,
    monitors: Arc<BTreeMap<u32, MonitorRequest>>,
    behind: Option<Behind>,
}

/// One that is not told of changes as they happen.
struct Behind {
    /// The bridge that it knows, or will as soon as what is being made for it is sent.
    base: Arc<Bridge>,
    /// Why flows went, where nobody deleted them.
    gone: FxHashMap<RuleId, RemovedReason>,
    /// What happened since; None when that was too much.
    late: Option<Vec<FlowChange>>,
    /// It knows that it is not told.
    told: bool,
}

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Behind").field("late", &self.late.as_ref().map(Vec::len)).field("told", &self.told).finish()
    }
}

/// What is left to tell a watcher that was behind.
#[derive(Debug)]
pub enum Next {
    /// It has been told everything; whether it is to be told that it goes on.
    Live { updates: Vec<FlowUpdate>, resumed: bool },
    /// Too much happened meanwhile: another difference.
    Again,
}

impl Watcher {
    /// Watches nothing yet, for connection `me`.
    pub fn new(me: u64) -> Watcher {
        Watcher { me, monitors: Arc::default(), behind: None }
    }

    /// Whether there is nothing that it watches.
    pub fn is_idle(&self) -> bool {
        self.monitors.is_empty()
    }

    /// Whether changes are kept from it.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Does what requests ask for, all or none; returns those whose flows are to be told.
    ///
    /// # Errors
    /// The first request that cannot be done.
    pub fn request(&mut self, requests: Vec<MonitorRequest>) -> Result<Vec<MonitorRequest>, Refused> {
        let mut monitors = BTreeMap::clone(&self.monitors);
        let mut begun = Vec::new();
        for request in requests {
            match (request.command, monitors.contains_key(&request.id)) {
                (MonitorCommand::Add, true) => return Err(Refused::Exists),
                (MonitorCommand::Modify | MonitorCommand::Delete, false) => return Err(Refused::Unknown),
                (MonitorCommand::Delete, true) => drop(monitors.remove(&request.id)),
                (MonitorCommand::Add, false) if monitors.len() >= MAX_MONITORS => return Err(Refused::TooMany),
                _ => {
                    begun.push(request.clone());
                    monitors.insert(request.id, request);
                }
            }
        }
        self.monitors = Arc::new(monitors);
        Ok(begun)
    }

    /// Ends a monitor; false when there is none of this number.
    pub fn cancel(&mut self, id: u32) -> bool {
        let found = Arc::make_mut(&mut self.monitors).remove(&id).is_some();
        if self.is_idle() {
            self.behind = None;
        }
        found
    }

    /// What it is told of changes: nothing while it is behind.
    pub fn tell(&mut self, changes: &[FlowChange]) -> Vec<FlowUpdate> {
        match &mut self.behind {
            None => told(&self.monitors, self.me, changes),
            Some(behind) => {
                behind.note(changes);
                Vec::new()
            }
        }
    }

    /// Keeps changes from it from now on: it knows `base`, or will when what is being made for it is sent. `told`: it knows.
    pub fn fall_behind(&mut self, base: &Arc<Bridge>, told: bool) {
        match &mut self.behind {
            Some(behind) => behind.told |= told,
            behind => {
                *behind = Some(Behind { base: base.clone(), gone: FxHashMap::default(), late: Some(Vec::new()), told })
            }
        }
    }

    /// Has one that is behind wait until it can read more; whether it is to be told.
    pub fn pause(&mut self) -> bool {
        self.behind.as_mut().is_some_and(|behind| !std::mem::replace(&mut behind.told, true))
    }

    /// What it has to be told to know `now`, which it will know then.
    pub fn catch_up(&mut self, now: &Arc<Bridge>) -> Option<Difference> {
        let behind = self.behind.as_mut()?;
        let base = std::mem::replace(&mut behind.base, now.clone());
        let gone = std::mem::take(&mut behind.gone);
        behind.late = Some(Vec::new());
        Some(Difference { monitors: self.monitors.clone(), base, now: now.clone(), gone })
    }

    /// What it was behind by has been sent; what happened meanwhile is next.
    pub fn caught_up(&mut self) -> Next {
        let Some(behind) = self.behind.take() else { return Next::Live { updates: Vec::new(), resumed: false } };
        match &behind.late {
            Some(late) => {
                let updates = told(&self.monitors, self.me, late);
                Next::Live { updates, resumed: behind.told }
            }
            None => {
                self.behind = Some(behind);
                Next::Again
            }
        }
    }

    /// What makes updates of many changes, on whatever thread.
    pub fn telling(&self, changes: Arc<Vec<FlowChange>>) -> impl FnOnce() -> Vec<FlowUpdate> + Send + 'static {
        let (monitors, me) = (self.monitors.clone(), self.me);
        move || told(&monitors, me, &changes)
    }
}

impl Behind {
    fn note(&mut self, changes: &[FlowChange]) {
        for change in changes {
            let Fate::Removed(reason) = change.fate else { continue };
            let table = self.base.table(change.table);
            let known = table.and_then(|t| t.rules.find_exact(&change.rule.matching, change.rule.rank));
            if reason != RemovedReason::Delete && known.is_some_and(|r| r.id == change.rule.id) {
                self.gone.insert(change.rule.id, reason);
            }
        }
        match &mut self.late {
            Some(late) if late.len() + changes.len() <= MAX_LATE => late.extend_from_slice(changes),
            late => *late = None,
        }
    }
}

/// Two versions of a bridge, of which one is known to who watches.
pub struct Difference {
    monitors: Arc<BTreeMap<u32, MonitorRequest>>,
    base: Arc<Bridge>,
    now: Arc<Bridge>,
    gone: FxHashMap<RuleId, RemovedReason>,
}

impl Difference {
    /// What is to be told; takes as long as there are flows in tables that differ.
    pub fn updates(self) -> Vec<FlowUpdate> {
        let mut out = Vec::new();
        let all = |b: &Bridge, n: usize| b.tables.get(n).cloned().flatten();
        let tables = self.base.tables.len().max(self.now.tables.len());
        let differ: Vec<_> = (0..tables)
            .map(|n| (n as u8, all(&self.base, n), all(&self.now, n)))
            .filter(|(_, a, b)| !matches!((a, b), (Some(a), Some(b)) if Arc::ptr_eq(a, b)))
            .collect();
        let same = |table: &Option<Arc<Table>>, r: &Rule| -> Option<Arc<Rule>> {
            table.as_ref()?.rules.find_exact(&r.matching, r.rank).cloned()
        };
        let mut tell = |table: u8, rule: &Arc<Rule>, before: Option<&Rule>, fate: Fate| {
            let flags = wanted(&self.monitors, table, rule, before, fate);
            if flags != 0 {
                out.push(full(table, rule, event_of(fate), flags));
            }
        };
        for (n, before, after) in &differ {
            for rule in before.iter().flat_map(|t| t.rules()).filter(|r| same(after, r).is_none()) {
                let reason = self.gone.get(&rule.id).copied().unwrap_or(RemovedReason::Delete);
                tell(*n, rule, None, Fate::Removed(reason));
            }
        }
        for (n, before, after) in &differ {
            for rule in after.iter().flat_map(|t| t.rules()) {
                let old = same(before, rule);
                match &old {
                    Some(old) if Arc::ptr_eq(old, rule) => {}
                    Some(old) if old.id == rule.id && is_same(old, rule) => {}
                    Some(old) if old.id == rule.id => tell(*n, rule, Some(old), Fate::Modified),
                    _ => tell(*n, rule, old.as_deref(), Fate::Added),
                }
            }
        }
        out
    }
}

/// Flows that are there as monitors begin, in the order of flow statistics; each once.
pub fn initial(bridge: &Bridge, begun: &[MonitorRequest]) -> Vec<FlowUpdate> {
    let mut flows = BTreeMap::new();
    for monitor in begun.iter().filter(|m| m.flags & watch::INITIAL != 0) {
        let filter = FlowFilter { table: monitor.table, matching: monitor.matching.clone(), ..FlowFilter::default() };
        for (table, rule) in bridge.flows(&filter) {
            if outputs(monitor, &rule, None) {
                let at = (table.0, std::cmp::Reverse(rule.rank), rule.id);
                flows.entry(at).or_insert((rule, 0)).1 |= monitor.flags;
            }
        }
    }
    flows.iter().map(|((table, ..), (rule, flags))| full(*table, rule, FlowEvent::Initial, *flags)).collect()
}

/// Whether nothing changed that is told.
pub(crate) fn is_same(old: &Rule, new: &Rule) -> bool {
    old.cookie == new.cookie && old.actions == new.actions
}

fn told(monitors: &BTreeMap<u32, MonitorRequest>, me: u64, changes: &[FlowChange]) -> Vec<FlowUpdate> {
    let mut out = Vec::new();
    let mut abbreviated = BTreeSet::new();
    for change in changes {
        let flags = wanted(monitors, change.table, &change.rule, change.before.as_deref(), change.fate);
        if flags == 0 {
            continue;
        }
        match change.by {
            Some(by) if by.connection == me && flags & watch::OWN == 0 => {
                if abbreviated.insert(by.xid) {
                    out.push(FlowUpdate::Abbreviated(by.xid));
                }
            }
            _ => out.push(full(change.table, &change.rule, event_of(change.fate), flags)),
        }
    }
    out
}

fn event_of(fate: Fate) -> FlowEvent {
    match fate {
        Fate::Added => FlowEvent::Added,
        Fate::Modified => FlowEvent::Modified,
        Fate::Removed(reason) => FlowEvent::Deleted(reason.wire() as u8),
    }
}

/// Flags of the monitors that are for this, together; 0 when there is none.
fn wanted(monitors: &BTreeMap<u32, MonitorRequest>, table: u8, rule: &Rule, before: Option<&Rule>, fate: Fate) -> u16 {
    let kind = match fate {
        Fate::Added => watch::ADD,
        Fate::Modified => watch::MODIFY,
        Fate::Removed(_) => watch::DELETE,
    };
    let about = |m: &&MonitorRequest| {
        m.flags & kind != 0
            && m.table.is_none_or(|t| t.0 == table)
            && rule.matching.is_within(&m.matching)
            && outputs(m, rule, before)
    };
    monitors.values().filter(about).fold(0, |all, m| all | m.flags)
}

/// Whether a flow sends where a monitor is about. One that did and does no more is told of for a port, not for a group, as by
/// the stock switch.
fn outputs(monitor: &MonitorRequest, rule: &Rule, before: Option<&Rule>) -> bool {
    let port = |p: OfPort| {
        let sends = |a: &Action| matches!(a, Action::Output { port, .. } | Action::Enqueue { port, .. } | Action::OutputTrunc { port, .. } if *port == p);
        std::iter::once(rule).chain(before).any(|r| check::any(&r.actions, &mut { sends }))
    };
    let group = |g: GroupId| check::any(&rule.actions, &mut |a: &Action| *a == Action::Group(g));
    monitor.out_port.is_none_or(port) && monitor.out_group.is_none_or(group)
}

fn full(table: u8, rule: &Rule, event: FlowEvent, flags: u16) -> FlowUpdate {
    FlowUpdate::Full(WatchedFlow {
        event,
        table: TableId(table),
        priority: rule.priority(),
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        cookie: rule.cookie,
        matching: rule.matching.clone(),
        actions: if flags & watch::ACTIONS != 0 { rule.actions.to_vec() } else { Vec::new() },
    })
}

impl RemovedReason {
    /// As it is told.
    pub fn wire(self) -> Wire {
        match self {
            RemovedReason::Idle => Wire::IdleTimeout,
            RemovedReason::Hard => Wire::HardTimeout,
            RemovedReason::Delete => Wire::Delete,
            RemovedReason::GroupDelete => Wire::GroupDelete,
            RemovedReason::MeterDelete => Wire::MeterDelete,
            RemovedReason::Eviction => Wire::Eviction,
        }
    }
}
