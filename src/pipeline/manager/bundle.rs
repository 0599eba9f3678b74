//! Bundles: everything in them or nothing, at once or a few changes at a time while packets and ports go on changing tables.

use std::sync::Arc;

use base::clock::Instant;
use dpif::Change;
use openflow::{FlowMod, GroupMod};

use super::flows::{Outcome, Removed, RemovedReason};
use super::{Error, Manager};
use crate::snapshot::table::Rule;
use crate::snapshot::{Bridge, Snapshot};

/// One step of a bundle.
#[derive(Clone, Debug)]
pub enum BundleItem {
    Flow(FlowMod),
    Group(GroupMod),
}

/// A bundle under way: tables that nobody else sees. Dropping it leaves no trace. While there is one, no flow expires.
pub struct Draft {
    index: u32,
    name: String,
    work: Snapshot,
    changes: Vec<Change>,
    removed: Vec<Removed>,
    outcome: Outcome,
    /// Flows that the last change removes.
    removing: Vec<(u8, Arc<Rule>)>,
    /// The bridge as it was.
    before: Arc<Bridge>,
    _open: Arc<()>,
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
            outcome: Outcome::default(),
            removing: Vec::new(),
            before: found.clone(),
            _open: self.drafts.clone(),
        })
    }

    /// One change of it. After an error the draft is of no use. Flows that are to be deleted are only chosen:
    /// [`remove_from_draft`](Self::remove_from_draft) does it by and by, the next change or the commit at once.
    pub fn change_draft(&mut self, draft: &mut Draft, item: &BundleItem, now: Instant) -> Result<(), Error> {
        self.remove_from_draft(draft, usize::MAX);
        self.swap(draft);
        let done = match item {
            BundleItem::Flow(flow_mod) if flow_mod.deletes() => {
                let chosen = self.chosen(draft.index, flow_mod);
                chosen.map(|rules| {
                    draft.removing = rules;
                    Outcome::default()
                })
            }
            BundleItem::Flow(flow_mod) => self.flow_mod(&draft.name, flow_mod, now),
            BundleItem::Group(group_mod) => self.group_mod(&draft.name, group_mod, now),
        };
        self.swap(draft);
        done.map(|outcome| draft.outcome += outcome)
    }

    /// Removes so many of the flows that the last change removes; true when there may be more.
    pub fn remove_from_draft(&mut self, draft: &mut Draft, most: usize) -> bool {
        if draft.removing.is_empty() {
            return false;
        }
        self.swap(draft);
        let from = draft.removing.len().saturating_sub(most);
        for (table, rule) in draft.removing.split_off(from) {
            self.remove_rule(draft.index, table, &rule, RemovedReason::Delete);
            draft.outcome.removed += 1;
        }
        self.swap(draft);
        true
    }

    fn swap(&mut self, draft: &mut Draft) {
        std::mem::swap(&mut self.work, &mut draft.work);
        std::mem::swap(&mut self.changes, &mut draft.changes);
        std::mem::swap(&mut self.removed, &mut draft.removed);
    }

    /// Puts flows and groups of the draft in the place of the bridge's. Ports and learned addresses are those of now.
    ///
    /// # Errors
    /// The bridge is gone, or its flows or groups were changed otherwise since the draft was begun.
    pub fn commit(&mut self, mut draft: Draft) -> Result<Outcome, Error> {
        self.remove_from_draft(&mut draft, usize::MAX);
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
        self.changes.append(&mut draft.changes);
        self.removed.append(&mut draft.removed);
        Ok(draft.outcome)
    }

    /// Whether there are drafts.
    pub(super) fn is_drafting(&self) -> bool {
        Arc::strong_count(&self.drafts) > 1
    }
}
