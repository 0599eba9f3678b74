//! Flow tables and their rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::clock::Instant;
use classifier::{Classifier, Clause};
use dpif::{FlowStats, RuleId};
use flow::Match;
use openflow::flow_mod::FlowFlags;
use openflow::{Action, Cookie};

/// One flow table.
#[derive(Clone, Default)]
pub struct Table {
    pub rules: Classifier<Rule>,
}

/// One flow entry. Immutable but for its counters; a modification makes a new one that shares them.
#[derive(Debug)]
pub struct Rule {
    pub id: RuleId,
    pub matching: Match,
    /// What decides between rules that match: the priority, or above all priorities that of a flow of the switch's own.
    pub rank: i32,
    pub cookie: Cookie,
    /// Seconds without a packet after which it goes; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes; 0 for never.
    pub hard_timeout: u16,
    pub importance: u16,
    pub flags: FlowFlags,
    pub actions: Arc<[Action]>,
    pub stats: Arc<FlowStats>,
    /// The version that it appeared in.
    pub added: u64,
    pub created: Instant,
    /// When it got its present actions; hard_timeout counts from here.
    pub modified: Instant,
    /// When packets taught it again, in nanoseconds of the clock; 0 is never. hard_timeout counts from there too.
    pub refreshed: AtomicU64,
}

impl classifier::Rule for Rule {
    fn matching(&self) -> &Match {
        &self.matching
    }

    fn priority(&self) -> i32 {
        self.rank
    }

    fn clauses(&self) -> impl Iterator<Item = Clause> {
        self.actions.iter().filter_map(|action| match *action {
            Action::Conjunction { id, clause, n_clauses } => Some(Clause { id, of: n_clauses, clause }),
            _ => None,
        })
    }
}

impl Rule {
    /// Its priority; that of a flow of the switch's own is none that can be asked for.
    pub fn priority(&self) -> u16 {
        self.rank.try_into().unwrap_or(0)
    }

    /// When it was made, changed or last taught.
    pub fn renewed(&self) -> Instant {
        self.modified.max(Instant::from_nanos(self.refreshed.load(Ordering::Relaxed)))
    }

    /// Packets that came then taught it again.
    pub fn refresh(&self, seen: Instant) {
        self.refreshed.fetch_max(seen.as_nanos(), Ordering::Relaxed);
    }

    /// Another that is the same, with the same counters.
    pub fn with_same(&self) -> Rule {
        Rule {
            matching: self.matching.clone(),
            actions: self.actions.clone(),
            stats: self.stats.clone(),
            refreshed: AtomicU64::new(self.refreshed.load(Ordering::Relaxed)),
            ..*self
        }
    }

    /// Whether it is the switch's own, which controllers neither see nor change.
    pub fn is_hidden(&self) -> bool {
        u16::try_from(self.rank).is_err()
    }
}

impl Table {
    /// All its rules, in no order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }
}
