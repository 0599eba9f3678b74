//! `learn`: adds a flow made from the packet at hand.

use crate::subfield::Subfield;
use crate::types::{Cookie, TableId};

/// The flow to add or refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learn {
    pub table: TableId,
    pub priority: u16,
    pub cookie: Cookie,
    /// Seconds; 0 is none.
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub fin_idle_timeout: u16,
    pub fin_hard_timeout: u16,
    pub send_flow_rem: bool,
    /// The learned flows go when the flow with this action goes.
    pub delete_learned: bool,
    pub limit: Option<LearnLimit>,
    pub specs: Vec<LearnSpec>,
}

/// At most this many learned flows with this cookie in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnLimit {
    /// Not 0.
    pub flows: u32,
    /// Gets 1 when the flow was learned, 0 when the limit kept it out.
    pub result: Option<Subfield>,
}

/// One piece of the learned flow's match or actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    pub source: LearnSource,
    pub target: LearnTarget,
}

/// Where the value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnSource {
    Field(Subfield),
    /// Its width is the target's.
    Value(u128),
}

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnTarget {
    Match(Subfield),
    Load(Subfield),
    /// `output`; the source has the port.
    Output,
}
