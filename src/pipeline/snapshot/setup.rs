//! How tables are set: names, limits, what becomes of packets that match nothing (ovs-vswitchd.conf.db(5), Flow_Table;
//! OpenFlow 1.1 to 1.5, "Modify State Message").

use std::sync::Arc;

use openflow::{Subfield, TableId};

/// The last table that controllers may use; the one after it is the switch's own.
pub const LAST_TABLE: u8 = 253;

/// What becomes of a packet that no flow of a table matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Miss {
    /// Controllers that speak OpenFlow 1.2 or older get it, if there are any.
    #[default]
    ByVersion,
    Controller,
    /// It goes on to the next table, after the last one to controllers.
    Continue,
    Drop,
}

/// When controllers are told that a table fills or empties: percent of room that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacancy {
    pub down: u8,
    pub up: u8,
    /// The next thing to tell is that there is room again: one event comes before the next of its kind.
    pub up_next: bool,
}

/// What the database says of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableConfig {
    pub name: Option<Arc<str>>,
    /// Flows that it may have.
    pub limit: Option<u32>,
    /// overflow_policy is "evict".
    pub evicts: bool,
    /// By what flows are told apart so that no group of them takes all the room.
    pub groups: Arc<[Subfield]>,
}

/// How a table is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    pub config: TableConfig,
    /// What a controller calls it, which counts where the database does not.
    pub called: Option<Arc<str>>,
    pub miss: Miss,
    /// A controller asked for eviction.
    pub eviction: bool,
    pub vacancy: Option<Vacancy>,
}

impl Setup {
    /// Its name; empty where it has none.
    pub fn name(&self) -> &str {
        self.config.name.as_deref().or(self.called.as_deref()).unwrap_or_default()
    }

    /// Whether a flow that finds no room has another go.
    pub fn evicts(&self) -> bool {
        self.config.evicts || self.eviction
    }

    /// Percent of room that `flows` leave.
    pub fn vacancy_with(&self, flows: usize) -> u8 {
        let limit = u64::from(self.config.limit.unwrap_or(u32::MAX));
        let left = limit.saturating_sub(flows as u64);
        u8::try_from(left * 100 / limit.max(1)).unwrap_or(100)
    }
}

/// A table's setting that a controller changes; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableChange {
    /// None: all that controllers may use.
    pub table: Option<TableId>,
    pub miss: Option<Miss>,
    pub eviction: Option<bool>,
    /// Bounds, or that nothing is told.
    pub vacancy: Option<Option<(u8, u8)>>,
}

/// That a table has less room than its lower bound, or more than its upper bound again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEvent {
    pub bridge: u32,
    pub table: TableId,
    /// As it is then.
    pub setup: Setup,
    /// There is room again.
    pub up: bool,
    /// Percent of room.
    pub left: u8,
}
