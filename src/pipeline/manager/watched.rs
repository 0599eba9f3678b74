//! What became of flows, noted for who watches them; nothing while nobody does.

use std::sync::Arc;

use super::Manager;
use crate::snapshot::table::Rule;
use crate::watch::{By, Fate, FlowChange};

/// What was noted since it was taken last.
#[derive(Default)]
pub(super) struct Watched {
    on: bool,
    by: Option<By>,
    pub(super) noted: Vec<FlowChange>,
}

impl Manager {
    /// Has changes of flows noted or not.
    pub fn watch_flows(&mut self, on: bool) {
        self.watched.on = on;
    }

    /// Says who asks for the changes that follow; None: nobody any more.
    pub fn act_for(&mut self, by: Option<By>) {
        self.watched.by = by;
    }

    /// What became of flows since the last call, in order.
    pub fn take_flow_changes(&mut self) -> Vec<FlowChange> {
        std::mem::take(&mut self.watched.noted)
    }

    pub(super) fn note(&mut self, bridge: u32, table: u8, fate: Fate, rule: &Arc<Rule>, before: Option<Arc<Rule>>) {
        if self.watched.on && !rule.is_hidden() {
            let Watched { by, noted, .. } = &mut self.watched;
            noted.push(FlowChange { bridge, table, fate, rule: rule.clone(), before, by: *by });
        }
    }
}
