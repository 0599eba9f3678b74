//! Flow-mods: add, modify, delete.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Instant;
use classifier::Classifier;
use dpif::{Change, RuleId, TableKey};
use flow::Match;
use openflow::flow_mod::Command;
use openflow::{Action, Cookie, FlowMod, OfPort, TableId};
use rustc_hash::FxBuildHasher;

use super::{Error, Manager, check};
use crate::snapshot::Bridge;
use crate::snapshot::table::{Rule, Table};
use crate::watch::{Fate, is_same};

/// What a request did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub added: usize,
    pub modified: usize,
    pub removed: usize,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, o: Outcome) {
        self.added += o.added;
        self.modified += o.modified;
        self.removed += o.removed;
    }
}

/// Why a flow went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedReason {
    Idle,
    Hard,
    Delete,
    GroupDelete,
    MeterDelete,
    Eviction,
}

/// A flow that went and had asked that this be told.
#[derive(Clone, Debug)]
pub struct Removed {
    pub bridge: u32,
    pub table: TableId,
    pub rule: Arc<Rule>,
    pub reason: RemovedReason,
}

/// A flow of the switch's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    pub matching: Match,
    /// Above 65535.
    pub rank: i32,
    pub actions: Vec<Action>,
}

/// Lists of actions that rules had lately: most rules of a table have one of a few, and those of one content share it.
pub(super) struct Lists(Vec<Arc<[Action]>>);

impl Lists {
    pub(super) fn new() -> Lists {
        Lists(vec![Arc::default(); 256])
    }

    /// A list of these actions.
    fn of(&mut self, actions: &[Action]) -> Arc<[Action]> {
        let at = FxBuildHasher.hash_one(actions) as usize >> 7 & 255;
        match self.0.get_mut(at) {
            Some(lately) if **lately == *actions => lately.clone(),
            Some(lately) => {
                *lately = actions.into();
                lately.clone()
            }
            None => actions.into(),
        }
    }
}

/// Where a rule with a timeout is.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    pub(super) matching: Match,
    pub(super) rank: i32,
}

/// What a modification makes of rules.
pub(super) struct Rewrite {
    actions: Arc<[Action]>,
    cookie: Option<Cookie>,
    /// Counters begin anew.
    reset: bool,
    now: Instant,
}

impl Manager {
    /// Adds, modifies or deletes flows.
    pub fn flow_mod(&mut self, bridge: &str, request: &FlowMod, now: Instant) -> Result<Outcome, Error> {
        let index = self.index_of(bridge)?;
        if let Some(table) = request.table.filter(|t| t.0 == TableId::ALL) {
            return Err(Error::BadTable(table));
        }
        check::permitted(request)?;
        match request.command {
            Command::Add => self.add_flow(index, request, now),
            Command::Modify | Command::ModifyStrict => self.modify_flows(index, request, now),
            Command::Delete | Command::DeleteStrict => Ok(self.delete_flows(index, request)),
        }
        .inspect(|_| self.remove_orphans())
    }

    pub(super) fn add_flow(&mut self, index: u32, request: &FlowMod, now: Instant) -> Result<Outcome, Error> {
        let number = request.table.unwrap_or(TableId(0));
        self.check_actions(index, &request.actions, number)?;
        let priority = i32::from(request.priority);
        let old = self.work.bridge(index).and_then(|b| b.table(number.0));
        if request.flags.check_overlap
            && old.is_some_and(|t| {
                t.rules.overlapping(&request.matching).any(|r| r.rank == priority && r.matching != request.matching)
            })
        {
            return Err(Error::Overlap);
        }
        let before = old.and_then(|t| t.rules.find_exact(&request.matching, priority)).cloned();
        if before.is_none() {
            self.require_room(index, number.0)?;
        }
        let stats = before.as_ref().filter(|_| !request.flags.reset_counts).map(|r| r.stats.clone());
        let mut matching = request.matching.clone();
        if let Some(table) = self.work.bridge(index).and_then(|b| b.table(number.0)) {
            table.rules.share(&mut matching);
        }
        let rule = Arc::new(Rule {
            id: self.new_id(),
            matching,
            rank: priority,
            cookie: request.new_cookie.unwrap_or(Cookie(0)),
            idle_timeout: request.idle_timeout,
            hard_timeout: request.hard_timeout,
            importance: request.importance,
            flags: request.flags,
            actions: self.lists.of(&request.actions),
            stats: stats.unwrap_or_else(Self::fresh_stats),
            added: self.publisher.version() + 1,
            created: now,
            modified: now,
            refreshed: Default::default(),
        });
        self.arm(index, number.0, &rule, now);
        let key = TableKey { bridge: index, table: number.0 };
        if let Some(old) = &before {
            self.changes.push(Change::Gone { table: key, rule: old.id });
            self.taught_no_more(index, &old.actions);
        }
        // A rule that takes the place of one with the same match and priority wins where that one won, nowhere else.
        if before.is_none() {
            self.changes.push(Change::Added { table: key, priority, matching: rule.matching.clone() });
        }
        self.note(index, number.0, Fate::Added, &rule, before);
        self.put_rule(index, number.0, rule);
        Ok(Outcome { added: 1, ..Outcome::default() })
    }

    pub(super) fn check_actions(&self, index: u32, actions: &[Action], table: TableId) -> Result<(), Error> {
        let bridge = self.work.bridge(index);
        let has_group = |id| bridge.is_some_and(|b| b.groups.contains_key(&id));
        let has_meter = |id| bridge.is_some_and(|b| b.meters.contains_key(&id));
        check::actions(actions, table, has_group, has_meter)
    }

    fn new_id(&mut self) -> RuleId {
        self.next_rule += 1;
        RuleId(self.next_rule)
    }

    /// The rules of a table for editing; made when there is none. Never fails for a bridge that exists.
    pub(super) fn table_mut(&mut self, index: u32, number: u8) -> &mut Classifier<Rule> {
        let seed = self.seed;
        let bridge = match self.work.bridges.get_mut(index as usize).and_then(Option::as_mut) {
            Some(bridge) => Arc::make_mut(bridge),
            None => unreachable!("callers looked the bridge up"),
        };
        let i = usize::from(number);
        if bridge.tables.len() <= i {
            bridge.tables.resize(i + 1, None);
        }
        let table = bridge.tables[i].get_or_insert_with(|| Arc::new(Table { rules: Classifier::with_seed(seed) }));
        &mut Arc::make_mut(table).rules
    }

    /// Rules that a modification or deletion is about.
    fn selected(&self, index: u32, request: &FlowMod) -> Vec<(u8, Arc<Rule>)> {
        self.work.bridge(index).and_then(|bridge| select(bridge, request, usize::MAX)).unwrap_or_default()
    }

    fn modify_flows(&mut self, index: u32, request: &FlowMod, now: Instant) -> Result<Outcome, Error> {
        let rules = self.selected(index, request);
        if rules.is_empty() && adds(request) {
            return self.add_flow(index, request, now);
        }
        let change = self.rewrite(index, request, &rules, now)?;
        for (table, rule) in &rules {
            self.modify_rule(index, *table, rule, &change);
        }
        Ok(Outcome { modified: rules.len(), ..Outcome::default() })
    }

    /// What a modification makes of `rules`, once it is known that it can be made of all of them.
    pub(super) fn rewrite(
        &mut self,
        index: u32,
        request: &FlowMod,
        rules: &[(u8, Arc<Rule>)],
        now: Instant,
    ) -> Result<Rewrite, Error> {
        let tables: std::collections::BTreeSet<u8> = rules.iter().map(|(table, _)| *table).collect();
        for table in tables {
            self.check_actions(index, &request.actions, TableId(table))?;
        }
        let FlowMod { new_cookie, flags, .. } = request;
        let actions = self.lists.of(&request.actions);
        let cookie = new_cookie.filter(|_| !request.keeps_cookie);
        Ok(Rewrite { actions, cookie, reset: flags.reset_counts, now })
    }

    pub(super) fn modify_rule(&mut self, index: u32, table: u8, old: &Arc<Rule>, to: &Rewrite) {
        let rule = Arc::new(Rule {
            id: old.id,
            matching: old.matching.clone(),
            rank: old.rank,
            cookie: to.cookie.unwrap_or(old.cookie),
            idle_timeout: old.idle_timeout,
            hard_timeout: old.hard_timeout,
            importance: old.importance,
            flags: old.flags,
            actions: to.actions.clone(),
            stats: if to.reset { Self::fresh_stats() } else { old.stats.clone() },
            added: old.added,
            created: old.created,
            modified: to.now,
            refreshed: Default::default(),
        });
        if old.actions != rule.actions || to.reset {
            self.changes.push(Change::Gone { table: TableKey { bridge: index, table }, rule: old.id });
            self.taught_no_more(index, &old.actions);
        }
        if !is_same(old, &rule) {
            self.note(index, table, Fate::Modified, &rule, Some(old.clone()));
        }
        self.arm(index, table, &rule, to.now);
        self.put_rule(index, table, rule);
    }

    pub(super) fn delete_flows(&mut self, index: u32, request: &FlowMod) -> Outcome {
        let rules = self.selected(index, request);
        for (table, rule) in &rules {
            self.remove_rule(index, *table, rule, RemovedReason::Delete);
        }
        Outcome { removed: rules.len(), ..Outcome::default() }
    }

    pub(super) fn remove_rule(&mut self, index: u32, table: u8, rule: &Arc<Rule>, reason: RemovedReason) {
        if !self.take_rule(index, table, rule) {
            return;
        }
        self.changes.push(Change::Gone { table: TableKey { bridge: index, table }, rule: rule.id });
        self.taught_no_more(index, &rule.actions);
        self.note(index, table, Fate::Removed(reason), rule, None);
        if rule.flags.send_flow_rem {
            self.removed.push(Removed { bridge: index, table: TableId(table), rule: rule.clone(), reason });
        }
    }

    /// Gives a bridge flows of the switch's own, in table 0, in place of those that it had: matches, ranks above all
    /// priorities, and actions.
    ///
    /// # Errors
    /// No such bridge.
    pub fn set_hidden(&mut self, bridge: &str, wanted: &[Hidden], now: Instant) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        let had = self.hidden.remove(&index).unwrap_or_default();
        for old in had.iter().filter(|old| !wanted.contains(old)) {
            let table = self.work.bridge(index).and_then(|b| b.table(0));
            if let Some(rule) = table.and_then(|t| t.rules.find_exact(&old.matching, old.rank)).cloned() {
                self.remove_rule(index, 0, &rule, RemovedReason::Delete);
            }
        }
        for new in wanted.iter().filter(|new| !had.contains(new)) {
            let rule = Arc::new(Rule {
                id: self.new_id(),
                matching: new.matching.clone(),
                rank: new.rank,
                cookie: Cookie(0),
                idle_timeout: 0,
                hard_timeout: 0,
                importance: 0,
                flags: Default::default(),
                actions: new.actions.as_slice().into(),
                stats: Self::fresh_stats(),
                added: self.publisher.version() + 1,
                created: now,
                modified: now,
                refreshed: Default::default(),
            });
            let table = TableKey { bridge: index, table: 0 };
            self.changes.push(Change::Added { table, priority: new.rank, matching: rule.matching.clone() });
            self.put_rule(index, 0, rule);
        }
        if !wanted.is_empty() {
            self.hidden.insert(index, wanted.to_vec());
        }
        Ok(())
    }

    /// Flows that went since the last call and had asked that this be told.
    pub fn take_removed(&mut self) -> Vec<Removed> {
        std::mem::take(&mut self.removed)
    }

    /// Starts the timeouts of a rule.
    pub(super) fn arm(&mut self, index: u32, table: u8, rule: &Arc<Rule>, now: Instant) {
        let shortest = [rule.idle_timeout, rule.hard_timeout].into_iter().filter(|t| *t != 0).min();
        if let Some(timeout) = shortest {
            self.timed.insert(rule.id, Timed { matching: rule.matching.clone(), rank: rule.rank });
            self.timeouts.arm((index, table, rule.id), now + Duration::from_secs(timeout.into()));
        }
    }
}

/// Does a modification that finds no flow add one? Where a cookie comes with it, as OpenFlow 1.0 and 1.1 have it.
pub(super) fn adds(request: &FlowMod) -> bool {
    !request.deletes() && request.new_cookie.is_some() && request.cookie_mask == 0
}

/// Rules that a modification or deletion is about, by table; None when there are more than `most`.
pub(super) fn select(bridge: &Bridge, request: &FlowMod, most: usize) -> Option<Vec<(u8, Arc<Rule>)>> {
    let strict = matches!(request.command, Command::ModifyStrict | Command::DeleteStrict);
    let deletes = request.deletes();
    let sends_to = |a: &Action, to: OfPort| matches!(a, Action::Output { port, .. } | Action::Enqueue { port, .. } | Action::OutputTrunc { port, .. } if *port == to);
    let wanted = |r: &Rule| {
        if r.is_hidden() {
            return false;
        }
        r.cookie.0 & request.cookie_mask == request.cookie.0 & request.cookie_mask
            && !(deletes && request.out_port.is_some_and(|p| !outputs_to(&r.actions, |a| sends_to(a, p))))
            && !(deletes && request.out_group.is_some_and(|g| !outputs_to(&r.actions, |a| *a == Action::Group(g))))
    };
    let mut out = Vec::new();
    let mut seen = 0;
    for (number, table) in (0..=u8::MAX).zip(&bridge.tables) {
        let Some(table) = table else { continue };
        if request.table.is_some_and(|t| t.0 != number) {
            continue;
        }
        let exact = strict.then(|| table.rules.find_exact(&request.matching, request.priority.into()));
        let within = (!strict).then(|| table.rules.within(&request.matching));
        for rule in exact.flatten().into_iter().chain(within.into_iter().flatten()) {
            seen += 1;
            if seen > most {
                return None;
            }
            if wanted(rule) {
                out.push((number, rule.clone()));
            }
        }
    }
    Some(out)
}

/// Does an action, a nested or written one too, meet `test`?
fn outputs_to(actions: &[Action], mut test: impl FnMut(&Action) -> bool) -> bool {
    check::any(actions, &mut test)
}
