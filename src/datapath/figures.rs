//! A worker's counters at one moment, and what was counted between two moments: what displays show, and what
//! `pmd-stats-clear` starts anew without touching a counter.

use dpif::DropReason;

use crate::histogram::Figures;
use crate::stats::WorkerCounters;

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A copy of [`WorkerCounters`], or the difference of two.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct WorkerFigures {
            $($(#[$doc])* pub $name: u64,)*
            /// Packets of flows that found no room to wait for translation.
            pub over_budget: u64,
            pub bursts: Figures,
            pub packet_cycles: Figures,
            pub miss_cycles: Figures,
        }

        impl WorkerFigures {
            /// The counters now.
            pub fn of(counters: &WorkerCounters) -> WorkerFigures {
                WorkerFigures {
                    $($name: counters.$name.get(),)*
                    over_budget: counters.dropped.get(DropReason::Budget as usize).map_or(0, |c| c.get()),
                    bursts: counters.bursts.get(),
                    packet_cycles: counters.packet_cycles.get(),
                    miss_cycles: counters.miss_cycles.get(),
                }
            }

            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &WorkerFigures) -> WorkerFigures {
                WorkerFigures {
                    $($name: self.$name.saturating_sub(earlier.$name),)*
                    over_budget: self.over_budget.saturating_sub(earlier.over_budget),
                    bursts: self.bursts.since(&earlier.bursts),
                    packet_cycles: self.packet_cycles.since(&earlier.packet_cycles),
                    miss_cycles: self.miss_cycles.since(&earlier.miss_cycles),
                }
            }
        }
    };
}

figures! {
    received,
    recirculated,
    hit_simple,
    hit_signature,
    hit_tuple,
    subtables,
    miss,
    busy_cycles,
    idle_cycles,
    steps,
    busy_steps,
    sleeps,
    slept,
    sent,
    sent_bursts,
}

impl WorkerFigures {
    /// Lookups, whatever answered them.
    pub fn lookups(&self) -> u64 {
        self.hit_simple + self.hit_signature + self.hit_tuple + self.miss
    }

    /// Cycles of all loops.
    pub fn cycles(&self) -> u64 {
        self.busy_cycles + self.idle_cycles
    }
}
