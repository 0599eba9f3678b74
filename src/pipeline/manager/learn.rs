//! Flows that packets teach (`learn`), timeouts that packets shorten (`fin_timeout`), and learned flows that go with those
//! that taught them (ovs-actions(7)).

use std::collections::BTreeSet;
use std::sync::Arc;

use base::clock::Instant;
use dpif::{Effect, RuleId, TableKey};
use openflow::flow_mod::Command;
use openflow::{Action, Cookie, FlowMod, OfPort, TableId};

use super::Manager;
use crate::normal::fdb::FdbKey;
use crate::snapshot::Bridge;
use crate::snapshot::table::Rule;

/// Effects on tables that wait for the end of a bundle.
const MAX_DEFERRED: usize = 65536;

/// Whose learned flows may have to go: bridge, table, cookie.
pub(super) type Taught = (u32, u8, Cookie);

impl Manager {
    /// Carries out what a packet that was seen then does to the tables.
    pub(super) fn carry_out(&mut self, effect: Effect, seen: Instant) {
        match effect {
            Effect::Learn { bridge, vlan, mac, port, .. } => {
                self.learn(bridge, FdbKey { vlan, mac }, OfPort(port), seen);
            }
            // a draft of a bundle has copies of the tables, which must not change meanwhile
            Effect::Flow { .. } | Effect::Ends { .. } if self.is_drafting() => {
                if self.deferred.len() < MAX_DEFERRED {
                    self.deferred.push_back((effect, seen));
                }
            }
            Effect::Flow { id } => self.learn_flow(id, seen),
            Effect::Ends { table, rule, idle, hard } => self.shorten(table, rule, idle, hard, seen),
            Effect::Packet { .. } => {}
        }
    }

    /// What waited for the end of a bundle.
    pub(super) fn carry_out_deferred(&mut self) {
        if !self.is_drafting() {
            for (effect, seen) in std::mem::take(&mut self.deferred) {
                self.carry_out(effect, seen);
            }
        }
    }

    fn learn_flow(&mut self, id: u32, seen: Instant) {
        let Some(taught) = self.shared.taught_of(id) else { return };
        let Some(bridge) = self.work.bridge(taught.bridge) else { return };
        if let Some(table) = bridge.table(taught.table) {
            let known = table.rules.find_exact(&taught.matching, taught.priority.into());
            if let Some(rule) = known.filter(|rule| taught.is(rule)) {
                return rule.refresh(seen);
            }
            if !taught.fits(table) {
                return;
            }
        }
        let flow_mod = FlowMod {
            command: Command::Add,
            table: Some(TableId(taught.table)),
            priority: taught.priority,
            new_cookie: Some(taught.cookie),
            idle_timeout: taught.idle_timeout,
            hard_timeout: taught.hard_timeout,
            flags: taught.flags(),
            matching: taught.matching.clone(),
            actions: taught.actions.to_vec(),
            ..FlowMod::default()
        };
        // told of packets that came before a flow was changed, it may not be added any more
        if let Err(e) = self.add_flow(taught.bridge, &flow_mod, seen) {
            log::debug!(target: "ofproto", "a flow was not learned: {e}");
        }
    }

    /// Gives a rule shorter timeouts.
    fn shorten(&mut self, at: TableKey, id: RuleId, idle: u16, hard: u16, now: Instant) {
        let Some(table) = self.work.bridge(at.bridge).and_then(|b| b.table(at.table)) else { return };
        // one with a timeout has its place noted; others are looked for once, as they have one then
        let found = match self.timed.get(&id) {
            Some(timed) => table.rules.find_exact(&timed.matching, timed.rank),
            None => table.rules().find(|r| r.id == id),
        };
        let Some(old) = found.filter(|r| r.id == id).cloned() else { return };
        let shorter = |old: u16, new: u16| if new != 0 && (old == 0 || new < old) { new } else { old };
        let (idle, hard) = (shorter(old.idle_timeout, idle), shorter(old.hard_timeout, hard));
        if (idle, hard) != (old.idle_timeout, old.hard_timeout) {
            let rule = Arc::new(Rule { idle_timeout: idle, hard_timeout: hard, ..old.with_same() });
            self.arm(at.bridge, at.table, &rule, now);
            self.put_rule(at.bridge, at.table, rule);
        }
    }

    /// A rule went, or its actions did: what it taught may have to go too.
    pub(super) fn taught_no_more(&mut self, index: u32, actions: &[Action]) {
        for key in deleted_with(actions) {
            self.orphans.insert((index, key.0, key.1));
        }
    }

    /// Removes learned flows whose last teacher is gone.
    pub(super) fn remove_orphans(&mut self) {
        while !self.orphans.is_empty() {
            let orphans = std::mem::take(&mut self.orphans);
            let bridges: BTreeSet<u32> = orphans.iter().map(|o| o.0).collect();
            for index in bridges {
                let Some(bridge) = self.work.bridge(index) else { continue };
                let live = teachers(bridge);
                let gone = orphans.iter().filter(|o| o.0 == index && !live.contains(&(o.1, o.2)));
                let gone: Vec<Taught> = gone.copied().collect();
                for (_, table, cookie) in gone {
                    let request = FlowMod {
                        command: Command::Delete,
                        table: Some(TableId(table)),
                        cookie,
                        cookie_mask: u64::MAX,
                        ..FlowMod::default()
                    };
                    self.delete_flows(index, &request);
                }
            }
        }
    }
}

/// Tables and cookies of flows that a bridge's flows teach and that are to go with them.
fn teachers(bridge: &Bridge) -> BTreeSet<(u8, Cookie)> {
    let rules = bridge.tables.iter().flatten().flat_map(|t| t.rules());
    rules.flat_map(|rule| deleted_with(&rule.actions)).collect()
}

/// Tables and cookies of flows that these actions teach and that are to go with them.
fn deleted_with(actions: &[Action]) -> Vec<(u8, Cookie)> {
    let mut found = Vec::new();
    super::check::any(actions, &mut |action| {
        if let Action::Learn(learn) = action
            && learn.delete_learned
        {
            found.push((learn.table.0, learn.cookie));
        }
        false
    });
    found
}
