//! What a translation depended on, what a published version changed, and whether the one touches the other.
//!
//! A megaflow is stale exactly when one of its lookups could come out differently. For a flow table that is decided from
//! the flow as it was at that lookup: bits that the packet brought are known where the megaflow's mask is exact, bits that
//! actions had written are known to the last one. "Could match" errs to the side of translating again.

use flow::layout::KEY_WORDS;
use flow::{Flow, Mask, Match};

use crate::port::{PortNo, RuleId, TableKey};

/// Everything that one translation looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deps {
    pub tables: Vec<TableDep>,
    pub things: Vec<Thing>,
}

/// One lookup in a flow table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDep {
    pub table: TableKey,
    /// What it found; None is a table miss.
    pub rule: Option<RuleId>,
    /// The found rule's priority, -1 for a miss: rules below it do not matter.
    pub priority: i32,
    /// Bits that translation had written before that lookup: (word, which bits, their values). Words that the datapath's
    /// key does not have (registers, metadata) are known as a whole, and 0 when they are not in here.
    pub rewritten: Box<[(u8, u64, u64)]>,
}

/// Something other than a flow table that a translation looked at or a version changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// A MAC learning entry, there or not.
    Fdb {
        bridge: u32,
        vlan: u16,
        mac: u64,
    },
    /// All MAC learning entries of a bridge.
    FdbAll {
        bridge: u32,
    },
    Group {
        bridge: u32,
        group: u32,
    },
    Meter {
        bridge: u32,
        meter: u32,
    },
    /// A port's configuration and state.
    Port(PortNo),
    /// A bridge's set of ports and its settings (what flooding depends on).
    Bridge(u32),
}

/// One change that a published version made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A rule was added: lookups that it overlaps and whose result it outranks (or equals) may differ.
    Added {
        table: TableKey,
        priority: i32,
        matching: Match,
    },
    /// A rule was removed or its actions changed: lookups that found it differ.
    Gone {
        table: TableKey,
        rule: RuleId,
    },
    Thing(Thing),
    /// Anything may have changed.
    Everything,
}

impl Deps {
    /// True when `change` may alter the translation that has these dependencies, for the packets of the megaflow
    /// (`key` under `mask`).
    pub fn touched_by(&self, change: &Change, key: &Flow, mask: &Mask) -> bool {
        match change {
            Change::Everything => true,
            Change::Thing(Thing::FdbAll { bridge }) => self
                .things
                .iter()
                .any(|t| matches!(t, Thing::Fdb { bridge: b, .. } | Thing::FdbAll { bridge: b } if b == bridge)),
            Change::Thing(thing) => self.things.contains(thing),
            Change::Gone { table, rule } => self.tables.iter().any(|d| d.table == *table && d.rule == Some(*rule)),
            Change::Added { table, priority, matching } => self
                .tables
                .iter()
                .any(|d| d.table == *table && *priority >= d.priority && d.may_match(matching, key, mask)),
        }
    }
}

impl TableDep {
    /// True when a packet of the megaflow may have matched `matching` at this lookup.
    pub fn may_match(&self, matching: &Match, key: &Flow, mask: &Mask) -> bool {
        matching.iter().all(|(i, want)| {
            let (mut value, mut known) = if i < KEY_WORDS { (key.w[i] & mask.w[i], mask.w[i]) } else { (0, u64::MAX) };
            if let Some((_, bits, written)) = self.rewritten.iter().find(|(w, ..)| usize::from(*w) == i) {
                value = value & !bits | written & bits;
                known |= bits;
            }
            (value ^ want.value) & want.mask & known == 0
        })
    }
}
