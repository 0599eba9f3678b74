//! Packets to controllers and from them.

use std::sync::{Arc, PoisonError};

use base::clock::Instant;
use dpif::{Change, FlowStats, RecircId, Thing};
use flow::layout::{ACTSET_OUTPUT, KEY_WORDS, METADATA, REGS_WORD, WORDS};
use flow::{Flow, Match};
use openflow::action::{SetField, SetStyle};
use openflow::wire::packet::PacketOut;
use openflow::wire::switch::Fragments;
use openflow::{Action, FieldId, OfPort, TableId};

use super::{Error, Manager};
use crate::recirc::{Frame, Frozen, Tables, Told};

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
        let differs = |b: &&Arc<crate::snapshot::Bridge>| b.misses_told != bridges.contains(&b.index);
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

    /// Where a packet that a controller sends to a bridge goes on, with its actions.
    ///
    /// # Errors
    /// No such bridge, actions that are not supported here, or too many states are in use.
    pub fn packet_out(&self, bridge: &str, packet: &PacketOut, now: Instant) -> Result<RecircId, Error> {
        self.freeze_out(self.index_of(bridge)?, packet, None, now).map(|(id, _)| id)
    }

    /// A packet in a bundle: it goes on in the tables as they are now, once the bundle is committed.
    pub(super) fn draft_packet_out(&self, index: u32, packet: &PacketOut, now: Instant) -> Result<Sent, Error> {
        let tables = Tables(Arc::new(self.work.clone()));
        let (id, held) = self.freeze_out(index, packet, Some(tables), now)?;
        Ok(Sent { packet: packet.packet.clone(), id, _held: held })
    }

    /// Packets of bundles that were committed.
    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    fn freeze_out(
        &self,
        index: u32,
        packet: &PacketOut,
        tables: Option<Tables>,
        now: Instant,
    ) -> Result<(RecircId, Arc<FlowStats>), Error> {
        self.check_actions(index, &packet.actions, TableId(0))?;
        let mut actions = beside(packet);
        actions.extend_from_slice(&packet.actions);
        let mut flow = Flow::default();
        flow.set(ACTSET_OUTPUT, u128::from(OfPort::UNSET.0));
        let frozen = Frozen {
            bridge: index,
            in_port: packet.in_port(),
            registers: flow.w.get(KEY_WORDS..WORDS).unwrap_or_default().into(),
            stack: Vec::new(),
            action_set: Vec::new(),
            mirrors: 0,
            packet_out: true,
            tables,
            frames: vec![Frame { table: 0, actions: actions.into() }],
        };
        self.shared.freeze(frozen, now).ok_or(Error::States)
    }
}

/// A packet that a committed bundle sends.
pub struct Sent {
    pub packet: Vec<u8>,
    /// Where it goes on.
    pub id: RecircId,
    /// Keeps what it goes on with.
    _held: Arc<FlowStats>,
}

/// What a controller says of a packet beside where it came from (OpenFlow 1.5.1, section 7.3.6), as actions.
fn beside(packet: &PacketOut) -> Vec<Action> {
    use FieldId::*;
    const FIELDS: [FieldId; 9] =
        [Metadata, PktMark, TunId, TunSrc, TunDst, TunIpv6Src, TunIpv6Dst, TunGbpId, TunGbpFlags];
    let (flow, mask) = packet.metadata.expand();
    let registers = (0..).map_while(FieldId::reg);
    let set = |field: FieldId| {
        let (value, mask) = field.row().get_match(&flow, &mask);
        (mask != 0).then_some(Action::SetField(SetField {
            field,
            value: value & mask,
            mask,
            style: SetStyle::SetField,
        }))
    };
    FIELDS.into_iter().chain(registers).filter_map(set).collect()
}
