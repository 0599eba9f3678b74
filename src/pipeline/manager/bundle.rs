//! Bundles: everything in them or nothing, at once or a few changes at a time while packets and ports go on changing tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::clock::Instant;
use dpif::Change;
use openflow::flow_mod::Command;
use openflow::wire::packet::PacketOut;
use openflow::{FlowMod, GroupMod, TableId};

use super::evict::Evictor;
use super::flows::{Outcome, Removed, RemovedReason, Rewrite, adds, select};
use super::packets::Sent;
use super::{Error, Manager};
use crate::snapshot::setup::TableEvent;
use crate::snapshot::table::Rule;
use crate::snapshot::{Bridge, Snapshot};
use crate::watch::FlowChange;

/// One step of a bundle.
#[derive(Clone, Debug)]
pub enum BundleItem {
    Flow(FlowMod),
    Group(GroupMod),
    /// It finds the tables as the changes before it left them, and goes once all are made.
    Packet(Box<PacketOut>),
}

/// A bundle under way: tables that nobody else sees. Dropping it leaves no trace. While there is one, no flow expires.
pub struct Draft {
    index: u32,
    name: String,
    work: Snapshot,
    changes: Vec<Change>,
    removed: Vec<Removed>,
    noted: Vec<FlowChange>,
    sent: Vec<Sent>,
    evictors: BTreeMap<(u32, u8), Evictor>,
    /// Not told: whether room passes a bound is seen when all is done.
    table_events: Vec<TableEvent>,
    outcome: Outcome,
    /// Flows that the last change is about, by table; what is done to them.
    chosen: Vec<(u8, Arc<Rule>)>,
    /// None: they are removed.
    rewrite: Option<Rewrite>,
    /// The bridge as it was.
    before: Arc<Bridge>,
    _open: Arc<()>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Done,
    /// It is about many flows, which are not chosen yet.
    Chooses,
}

/// Flows that a change is about.
pub struct Choice(Vec<(u8, Arc<Rule>)>);

impl Draft {
    /// What chooses the flows that `flow_mod` is about, on whatever thread: it takes as long as there are flows.
    pub fn choice(&self, flow_mod: FlowMod) -> impl FnOnce() -> Choice + Send + 'static {
        let bridge = self.work.bridge(self.index).cloned();
        move || Choice(bridge.and_then(|b| select(&b, &flow_mod, usize::MAX)).unwrap_or_default())
    }
}

impl Manager {
    /// Everything in `items`, in order, or nothing at all; the index of the one that failed comes with the error.
    pub fn bundle(&mut self, bridge: &str, items: &[BundleItem], now: Instant) -> Result<Outcome, (usize, Error)> {
        let mut draft = self.draft(bridge).map_err(|e| (0, e))?;
        for (i, item) in items.iter().enumerate() {
            self.change_draft(&mut draft, item, now).map_err(|e| (i, e))?;
        }
        self.commit(draft).map_err(|e| (items.len(), e))
    }

    /// Begins a bundle.
    pub fn draft(&self, bridge: &str) -> Result<Draft, Error> {
        let found = self.work.bridge_named(bridge).ok_or_else(|| Error::NoSuchBridge(bridge.into()))?;
        Ok(Draft {
            index: found.index,
            name: bridge.to_owned(),
            work: self.work.clone(),
            changes: Vec::new(),
            removed: Vec::new(),
            noted: Vec::new(),
            sent: Vec::new(),
            evictors: BTreeMap::new(),
            table_events: Vec::new(),
            outcome: Outcome::default(),
            chosen: Vec::new(),
            rewrite: None,
            before: found.clone(),
            _open: self.drafts.clone(),
        })
    }

    /// One change of it. After an error the draft is of no use. Flows that are to be modified or deleted are only chosen:
    /// [`continue_draft`](Self::continue_draft) does it by and by, the next change or the commit at once.
    pub fn change_draft(&mut self, draft: &mut Draft, item: &BundleItem, now: Instant) -> Result<(), Error> {
        self.begin_change(draft, item, usize::MAX, now).map(drop)
    }

    /// The same, unless more than `most` flows would have to be looked at: then nothing is done, and the flows are for
    /// [`Draft::choice`] to choose elsewhere and for [`take_choice`](Self::take_choice) to take.
    ///
    /// # Errors
    /// What the tables refuse.
    pub fn begin_change(
        &mut self,
        draft: &mut Draft,
        item: &BundleItem,
        most: usize,
        now: Instant,
    ) -> Result<Begun, Error> {
        self.continue_draft(draft, usize::MAX);
        if let BundleItem::Flow(flow_mod) = item
            && flow_mod.command != Command::Add
        {
            super::check::permitted(flow_mod)?;
            let Some(bridge) = draft.work.bridge(draft.index) else {
                return Err(Error::NoSuchBridge(draft.name.clone()));
            };
            return match select(bridge, flow_mod, most) {
                Some(rules) => self.take_choice(draft, flow_mod, Choice(rules), now).map(|()| Begun::Done),
                None => Ok(Begun::Chooses),
            };
        }
        self.swap(draft);
        let done = match item {
            BundleItem::Flow(flow_mod) => self.flow_mod(&draft.name, flow_mod, now),
            BundleItem::Group(group_mod) => self.group_mod(&draft.name, group_mod, now),
            BundleItem::Packet(packet) => self.draft_packet_out(draft.index, packet, now).map(|sent| {
                draft.sent.push(sent);
                Outcome::default()
            }),
        };
        self.swap(draft);
        done.map(|outcome| {
            draft.outcome += outcome;
            Begun::Done
        })
    }

    /// Takes the flows that a modification or deletion is about.
    ///
    /// # Errors
    /// What the tables refuse.
    pub fn take_choice(
        &mut self,
        draft: &mut Draft,
        flow_mod: &FlowMod,
        choice: Choice,
        now: Instant,
    ) -> Result<(), Error> {
        if let Some(table) = flow_mod.table.filter(|t| t.0 == TableId::ALL) {
            return Err(Error::BadTable(table));
        }
        let rules = choice.0;
        if rules.is_empty() && adds(flow_mod) {
            self.swap(draft);
            let added = self.add_flow(draft.index, flow_mod, now);
            self.swap(draft);
            draft.outcome += added?;
            return Ok(());
        }
        draft.rewrite = match flow_mod.deletes() {
            true => None,
            false => {
                self.swap(draft);
                let rewrite = self.rewrite(draft.index, flow_mod, &rules, now);
                self.swap(draft);
                Some(rewrite?)
            }
        };
        draft.chosen = rules;
        Ok(())
    }

    /// Modifies or removes so many of the flows that the last change is about; true when there may be more.
    pub fn continue_draft(&mut self, draft: &mut Draft, most: usize) -> bool {
        if draft.chosen.is_empty() {
            return false;
        }
        self.swap(draft);
        let from = draft.chosen.len().saturating_sub(most);
        for (table, rule) in draft.chosen.split_off(from) {
            match &draft.rewrite {
                Some(rewrite) => {
                    self.modify_rule(draft.index, table, &rule, rewrite);
                    draft.outcome.modified += 1;
                }
                None => {
                    self.remove_rule(draft.index, table, &rule, RemovedReason::Delete);
                    draft.outcome.removed += 1;
                }
            }
        }
        self.remove_orphans();
        self.swap(draft);
        true
    }

    fn swap(&mut self, draft: &mut Draft) {
        std::mem::swap(&mut self.work, &mut draft.work);
        std::mem::swap(&mut self.changes, &mut draft.changes);
        std::mem::swap(&mut self.removed, &mut draft.removed);
        std::mem::swap(&mut self.watched.noted, &mut draft.noted);
        std::mem::swap(&mut self.evictors, &mut draft.evictors);
        std::mem::swap(&mut self.table_events, &mut draft.table_events);
    }

    /// Puts flows and groups of the draft in the place of the bridge's. Ports and learned addresses are those of now.
    ///
    /// # Errors
    /// The bridge is gone, or its flows or groups were changed otherwise since the draft was begun.
    pub fn commit(&mut self, mut draft: Draft) -> Result<Outcome, Error> {
        self.continue_draft(&mut draft, usize::MAX);
        let gone = || Error::NoSuchBridge(draft.name.clone());
        let now = self.work.bridge(draft.index).ok_or_else(gone)?;
        let same = |(a, b): (&Option<Arc<_>>, &Option<Arc<_>>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let tables =
            now.tables.len() == draft.before.tables.len() && now.tables.iter().zip(&draft.before.tables).all(same);
        if !tables || !Arc::ptr_eq(&now.groups, &draft.before.groups) {
            return Err(Error::Changed(draft.name));
        }
        let (Some(to), Some(from)) = (self.edit(draft.index), draft.work.bridge(draft.index)) else {
            return Err(Error::NoSuchBridge(draft.name));
        };
        to.tables.clone_from(&from.tables);
        to.groups.clone_from(&from.groups);
        let set: Vec<u8> = to.setups.keys().copied().collect();
        self.evictors.retain(|(bridge, _), _| *bridge != draft.index);
        self.evictors.append(&mut draft.evictors);
        set.into_iter().for_each(|table| self.watch_room(draft.index, table));
        self.changes.append(&mut draft.changes);
        self.removed.append(&mut draft.removed);
        self.watched.noted.append(&mut draft.noted);
        self.sent.append(&mut draft.sent);
        Ok(draft.outcome)
    }

    /// Whether there are drafts.
    pub(super) fn is_drafting(&self) -> bool {
        Arc::strong_count(&self.drafts) > 1
    }
}
