//! Bundles a slice at a time: changes are made to a copy of the tables that nobody sees until it is whole, for as long as a turn
//! of the owner loop has; flows that a change is about are chosen on another thread where they are many.

use std::vec::IntoIter;

use base::clock::Instant;
use openflow::FlowMod;
use pipeline::watch::By;
use pipeline::{Begun, BundleItem, Choice, Draft, Error, Manager};

/// Changes between two looks at the clock.
const STEP: usize = 16;
/// Flows that are looked at here for one change.
const FEW: usize = 500;

/// A bundle under way.
pub(super) struct Bundle {
    draft: Box<Draft>,
    items: IntoIter<BundleItem>,
    /// Changes that were begun.
    begun: usize,
    chooses: Option<FlowMod>,
    /// Whose it is, and the transactions of its changes.
    by: (u64, Vec<u32>),
}

/// Where a bundle is.
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// Flows of a change are to be chosen.
    Chooses,
    /// All changes are made; [`Bundle::commit`] shows them.
    Done,
}

/// The number of the change that failed, from 0, and why; None: what failed is to show them.
pub(super) type Failed = (Option<usize>, Error);

impl Bundle {
    /// Begins.
    ///
    /// # Errors
    /// No such bridge.
    pub(super) fn new(manager: &Manager, bridge: &str, items: Vec<BundleItem>) -> Result<Bundle, Error> {
        let draft = Box::new(manager.draft(bridge)?);
        Ok(Bundle { draft, items: items.into_iter(), begun: 0, chooses: None, by: (0, Vec::new()) })
    }

    /// Says whose it is, with the transactions of its changes.
    pub(super) fn of(self, connection: u64, transactions: Vec<u32>) -> Bundle {
        Bundle { by: (connection, transactions), ..self }
    }

    /// Who asked for the change that was begun last.
    fn by(&self) -> Option<By> {
        let (connection, transactions) = &self.by;
        let xid = *transactions.get(self.begun.checked_sub(1)?)?;
        Some(By { connection: *connection, xid })
    }

    /// A few changes. After an error the bundle is of no use.
    pub(super) fn step(&mut self, manager: &mut Manager, now: Instant) -> Result<Progress, Failed> {
        let progress = self.changes(manager, now);
        manager.act_for(None);
        progress
    }

    fn changes(&mut self, manager: &mut Manager, now: Instant) -> Result<Progress, Failed> {
        manager.act_for(self.by());
        if manager.continue_draft(&mut self.draft, STEP) {
            return Ok(Progress::More);
        }
        for _ in 0..STEP {
            let Some(item) = self.items.next() else { return Ok(Progress::Done) };
            self.begun += 1;
            manager.act_for(self.by());
            let begun = manager.begin_change(&mut self.draft, &item, FEW, now);
            let begun = begun.map_err(|e| (Some(self.begun - 1), e))?;
            match (begun, item) {
                (Begun::Chooses, BundleItem::Flow(flow)) => {
                    self.chooses = Some(flow);
                    return Ok(Progress::Chooses);
                }
                _ if manager.continue_draft(&mut self.draft, STEP) => return Ok(Progress::More),
                _ => {}
            }
        }
        Ok(Progress::More)
    }

    /// The work of choosing, for another thread.
    pub(super) fn choice(&self) -> Option<impl FnOnce() -> Choice + Send + 'static> {
        self.chooses.as_ref().map(|flow| self.draft.choice(flow.clone()))
    }

    /// What was chosen.
    pub(super) fn chosen(&mut self, manager: &mut Manager, choice: Choice, now: Instant) -> Result<(), Failed> {
        let Some(flow) = self.chooses.take() else { return Ok(()) };
        manager.act_for(self.by());
        let taken = manager.take_choice(&mut self.draft, &flow, choice, now);
        manager.act_for(None);
        taken.map_err(|e| (Some(self.begun - 1), e))
    }

    /// Shows all changes.
    ///
    /// # Errors
    /// Somebody else changed the same tables.
    pub(super) fn commit(self, manager: &mut Manager) -> Result<(), Failed> {
        manager.act_for(self.by());
        let committed = manager.commit(*self.draft);
        manager.act_for(None);
        committed.map(drop).map_err(|e| (None, e))
    }
}
