//! Flow tables and their rules.

use std::sync::Arc;
use std::time::Duration;

use base::clock::Instant;
use classifier::Classifier;
use dpif::{FlowStats, RuleId};
use flow::Match;
use openflow::flow_mod::FlowFlags;
use openflow::{Action, Cookie};

/// One flow table.
#[derive(Clone, Default)]
pub struct Table {
    pub rules: Classifier<Rule>,
    /// Lookups that found nothing.
    pub missed: Arc<FlowStats>,
}

/// One flow entry. Immutable but for its counters; a modification makes a new one that shares them.
#[derive(Debug)]
pub struct Rule {
    pub id: RuleId,
    pub matching: Arc<Match>,
    pub priority: u16,
    /// Of flows of the switch's own, which controllers neither see nor change: a rank above all priorities in place of one.
    pub hidden: Option<i32>,
    pub cookie: Cookie,
    pub idle_timeout: Duration,
    pub hard_timeout: Duration,
    pub importance: u16,
    pub flags: FlowFlags,
    pub actions: Arc<[Action]>,
    pub stats: Arc<FlowStats>,
    /// The version that it appeared in.
    pub added: u64,
    pub created: Instant,
    /// When it got its present actions; hard_timeout counts from here.
    pub modified: Instant,
}

impl classifier::Rule for Rule {
    fn matching(&self) -> &Match {
        &self.matching
    }

    fn priority(&self) -> i32 {
        self.rank()
    }
}

impl Rule {
    /// What decides between rules that match.
    pub fn rank(&self) -> i32 {
        self.hidden.unwrap_or(self.priority.into())
    }
}

impl Table {
    /// All its rules, in no order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }
}
