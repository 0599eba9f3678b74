//! The only writer: edits a working copy of the tables, publishes it, applies what packets taught.
//!
//! One thread owns the [`Manager`]. Everything here is synchronous and short; a caller publishes after a batch or a
//! millisecond. [`ports`], [`flows`], [`groups`], [`meters`] are the edits, [`expire`] and [`learn`] are what time and packets do, [`packets`] come
//! from controllers and go to them, [`setup`] keeps tables to their limits, [`show`] is what people ask.
//! from controllers and go to them, [`watched`] notes what became of flows, [`show`] is what people ask.

mod bundle;
pub(crate) mod check;
mod error;
mod evict;
mod expire;
mod flows;
mod groups;
mod learn;
mod meters;
mod packets;
mod ports;
mod setup;
mod show;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_tables;
mod watched;

use std::io;
use std::sync::Arc;

use base::clock::{Instant, TimerQueue};
use base::rcu::{Publisher, ReaderState};
use dpif::{Change, FlowStats, RuleId, Translate};

pub use bundle::{Begun, BundleItem, Choice, Draft};
pub use check::permitted;
pub use error::Error;
pub use flows::{Hidden, Outcome, Removed, RemovedReason};
pub use meters::MAX_METERS;
pub use packets::Sent;
pub use show::{FlowFilter, TableStats};

use crate::normal::fdb::{Events, Learner};
use crate::reader::Translator;
use crate::recirc::Shared;
use crate::snapshot::log::Log;
use crate::snapshot::setup::TableEvent;
use crate::snapshot::{Bridge, Settings, Snapshot};

/// What a manager is made with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Seeds hashes, so that nobody outside can make addresses or rules collide.
    pub seed: u64,
}

/// A new bridge.
#[derive(Clone, Debug, Default)]
pub struct BridgeConfig {
    pub name: String,
    pub datapath_id: u64,
    /// fail_mode: a standalone bridge starts as a learning switch, a secure one drops.
    pub standalone: bool,
    pub settings: Settings,
}

/// Owner of the tables.
pub struct Manager {
    work: Snapshot,
    publisher: Publisher<Snapshot>,
    shared: Arc<Shared>,
    /// What the next version changes.
    changes: Vec<Change>,
    /// By bridge index.
    learners: Vec<Learner>,
    /// What happened to addresses of bridges that are gone.
    gone: Events,
    timeouts: TimerQueue<(u32, u8, RuleId)>,
    timed: rustc_hash::FxHashMap<RuleId, flows::Timed>,
    lists: flows::Lists,
    next_rule: u64,
    /// Of meters in the datapath.
    meters: meters::Numbers,
    seed: u64,
    swept: Instant,
    /// Shared with each draft of a bundle.
    drafts: Arc<()>,
    removed: Vec<Removed>,
    watched: watched::Watched,
    sent: Vec<Sent>,
    /// What packets do to tables once no bundle is under way.
    deferred: std::collections::VecDeque<(dpif::Effect, Instant)>,
    orphans: std::collections::BTreeSet<learn::Taught>,
    /// Flows of the switch's own, by bridge.
    hidden: std::collections::BTreeMap<u32, Vec<Hidden>>,
    /// Which flows go where tables are full, by bridge and table; made when first needed. Those of what is edited now.
    evictors: std::collections::BTreeMap<(u32, u8), evict::Evictor>,
    table_events: Vec<TableEvent>,
    /// Learned addresses that were refused or evicted others.
    pub evictions: u64,
}

impl Manager {
    /// An empty manager, and what the datapath asks. Fails when out of file descriptors.
    pub fn new(config: &Config) -> io::Result<(Manager, Arc<dyn Translate>)> {
        let work = Snapshot { version: 1, log: Log::since(1), vlan_limit: 1, ..Snapshot::default() };
        let publisher = Publisher::new(Arc::new(work.clone()));
        let shared = Arc::new(Shared::new()?);
        let translator = Translator { versions: publisher.registry(), shared: shared.clone() };
        let manager = Manager {
            work,
            publisher,
            shared,
            changes: Vec::new(),
            learners: Vec::new(),
            gone: Events::default(),
            timeouts: TimerQueue::new(),
            timed: Default::default(),
            lists: flows::Lists::new(),
            next_rule: 1,
            meters: Default::default(),
            seed: config.seed,
            swept: Instant::ZERO,
            drafts: Arc::default(),
            removed: Vec::new(),
            watched: Default::default(),
            sent: Vec::new(),
            deferred: Default::default(),
            orphans: Default::default(),
            hidden: Default::default(),
            evictors: Default::default(),
            table_events: Vec::new(),
            evictions: 0,
        };
        Ok((manager, Arc::new(translator)))
    }

    /// Says how many VLAN tags the datapath's keys have from now on.
    pub fn set_vlan_limit(&mut self, limit: u8) {
        self.work.vlan_limit = limit;
        self.changes.push(Change::Everything);
    }

    /// The working copy: what the next version will be.
    pub fn snapshot(&self) -> &Snapshot {
        &self.work
    }

    /// Makes all edits so far visible to readers; returns the version that has them.
    pub fn publish(&mut self) -> u64 {
        if !self.changes.is_empty() {
            self.work.version = self.publisher.version() + 1;
            self.work.log.push(self.work.version, std::mem::take(&mut self.changes));
            self.publisher.publish(Arc::new(self.work.clone()));
        }
        self.publisher.reclaim();
        self.publisher.version()
    }

    /// Are there edits that no version has yet?
    pub fn is_dirty(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Has every reader come to `version`?
    pub fn passed(&self, version: u64) -> bool {
        self.publisher.passed(version)
    }

    /// Frees versions that nobody reads any more; returns how many.
    pub fn reclaim(&mut self) -> usize {
        self.publisher.reclaim()
    }

    /// Who reads which version, and how many old versions are kept for them.
    pub fn readers(&self) -> (Vec<ReaderState>, usize) {
        (self.publisher.readers(), self.publisher.pending())
    }

    /// The waker of the ring by which packets teach: when it is readable, [`Manager::process`] has something to do.
    pub fn waker(&self) -> &Arc<base::ring::Waker> {
        self.shared.effects.waker()
    }

    /// Announces a wait for the waker; false when something is there already. See [`base::ring`].
    pub fn prepare_sleep(&self) -> bool {
        let (effects, told) = (&self.shared.effects, &self.shared.told);
        effects.waker().prepare_sleep(|| effects.is_empty() && told.is_empty())
    }

    #[cfg(test)]
    pub(crate) fn shared_for_tests(&self) -> &Shared {
        &self.shared
    }

    fn index_of(&self, bridge: &str) -> Result<u32, Error> {
        self.work.bridge_named(bridge).map(|b| b.index).ok_or_else(|| Error::NoSuchBridge(bridge.into()))
    }

    /// The bridge for editing.
    fn edit(&mut self, index: u32) -> Option<&mut Bridge> {
        self.work.bridges.get_mut(index as usize)?.as_mut().map(Arc::make_mut)
    }

    fn fresh_stats() -> Arc<FlowStats> {
        Arc::default()
    }
}
