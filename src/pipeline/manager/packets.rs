//! Packets to controllers and from them.

use std::sync::PoisonError;

use base::clock::Instant;
use dpif::{Change, RecircId, Thing};
use flow::layout::{ACTSET_OUTPUT, KEY_WORDS, METADATA, REGS_WORD, WORDS};
use flow::{Flow, Match};
use openflow::wire::switch::Fragments;
use openflow::{Action, OfPort, TableId};

use super::{Error, Manager};
use crate::recirc::{Frame, Frozen, Told};

/// Words of registers that packet-ins have: metadata, and 16 registers.
const TOLD_WORDS: usize = 9;
const _: () = assert!(METADATA.word as usize == KEY_WORDS && REGS_WORD == KEY_WORDS + 1);

impl Manager {
    /// The bridges (by index) with controllers that packets go to. Those for controllers of others are dropped.
    pub fn set_listening(&self, bridges: &[u32]) {
        let known = self.shared.listening.read().unwrap_or_else(PoisonError::into_inner);
        if *known != bridges {
            drop(known);
            *self.shared.listening.write().unwrap_or_else(PoisonError::into_inner) = bridges.to_vec();
        }
    }

    /// The bridges (by index) whose packets that match nothing go to controllers.
    pub fn tell_misses(&mut self, bridges: &[u32]) {
        let differs = |b: &&std::sync::Arc<crate::snapshot::Bridge>| b.misses_told != bridges.contains(&b.index);
        let changed: Vec<u32> = self.work.bridges.iter().flatten().filter(differs).map(|b| b.index).collect();
        for index in changed {
            if let Some(bridge) = self.edit(index) {
                bridge.misses_told = !bridge.misses_told;
                self.changes.push(Change::Thing(Thing::Bridge(index)));
            }
        }
    }

    /// Says how a bridge treats IP fragments.
    ///
    /// # Errors
    /// There is no such bridge.
    pub fn set_fragments(&mut self, bridge: &str, fragments: Fragments) -> Result<(), Error> {
        let index = self.index_of(bridge)?;
        if self.work.bridge(index).is_some_and(|b| b.fragments != fragments)
            && let Some(bridge) = self.edit(index)
        {
            bridge.fragments = fragments;
            self.changes.push(Change::Thing(Thing::Bridge(index)));
        }
        Ok(())
    }

    /// Whether megaflows are made of all bits of a packet's key from now on, or of those that were looked at.
    pub fn set_exact(&mut self, exact: bool) {
        self.shared.exact.store(exact, std::sync::atomic::Ordering::Relaxed);
        self.changes.push(Change::Everything);
    }

    /// The next packet for controllers.
    pub fn take_packet(&self) -> Option<Told> {
        self.shared.told.pop()
    }

    /// Where a packet goes on that waited for a controller, which gives it back with this metadata.
    ///
    /// # Errors
    /// What is to be done with it is known no more, or too many states are in use.
    pub fn resume(&self, bridge: &str, id: RecircId, metadata: &Match, now: Instant) -> Result<RecircId, Error> {
        let index = self.index_of(bridge)?;
        let frozen = self.shared.frozen(id).filter(|f| f.bridge == index).ok_or(Error::States)?;
        let mut frozen = Frozen::clone(&frozen);
        // metadata and the registers that a packet-in has are what the controller says they are; what it leaves out is 0
        let (flow, _) = metadata.expand();
        let told = flow.w.get(KEY_WORDS..).unwrap_or_default();
        frozen.registers.iter_mut().zip(told).take(TOLD_WORDS).for_each(|(word, told)| *word = *told);
        self.shared.freeze(frozen, now).map(|(id, _)| id).ok_or(Error::States)
    }

    /// Where a packet that a controller sends to a bridge goes on, with these actions. It came from `in_port`.
    ///
    /// # Errors
    /// No such bridge, actions that are not supported here, or too many states are in use.
    pub fn packet_out(
        &self,
        bridge: &str,
        in_port: OfPort,
        actions: &[Action],
        now: Instant,
    ) -> Result<RecircId, Error> {
        let index = self.index_of(bridge)?;
        self.check_actions(index, actions, TableId(0))?;
        let mut flow = Flow::default();
        flow.set(ACTSET_OUTPUT, u128::from(OfPort::UNSET.0));
        let frozen = Frozen {
            bridge: index,
            in_port,
            registers: flow.w.get(KEY_WORDS..WORDS).unwrap_or_default().into(),
            stack: Vec::new(),
            action_set: Vec::new(),
            mirrors: 0,
            packet_out: true,
            frames: vec![Frame { table: 0, actions: actions.into() }],
        };
        self.shared.freeze(frozen, now).map(|(id, _)| id).ok_or(Error::States)
    }
}
