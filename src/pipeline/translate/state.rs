//! What changes while a packet is translated.

use dpif::RuleId;
use flow::layout::{self as l, KEY_WORDS, Slot, WORDS};
use flow::{Flow, Mask};
use openflow::action::{Controller, PacketInReason};
use openflow::{Action, OfPort};

use super::vlan::Tags;
use crate::recirc::Frame;

/// Whose actions are carried out, as controllers are told.
#[derive(Clone, Copy)]
pub(crate) struct By {
    pub(crate) reason: PacketInReason,
    pub(crate) cookie: u64,
    /// It is a table's flow for packets that match no other.
    pub(crate) table_miss: bool,
    pub(crate) rule: Option<RuleId>,
}

impl Default for By {
    fn default() -> By {
        By { reason: PacketInReason::Action, cookie: u64::MAX, table_miss: false, rule: None }
    }
}

/// The packet on its way through the tables.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// As tables see it.
    pub(crate) now: View,
    /// As the packet is where the datapath actions emitted so far end.
    pub(crate) base: View,
    /// Counts what was done to the packet that cannot be undone by another rewrite (MPLS, conntrack).
    pub(crate) epoch: u32,
    pub(crate) table: u8,
    pub(crate) by: By,
    /// The cookie of the bridge's first flow for the packet.
    pub(crate) first: Option<u64>,
    /// What `push` put there: value and width in bits.
    pub(crate) stack: Vec<(u128, u16)>,
    pub(crate) stack_bytes: usize,
    pub(crate) action_set: Vec<Action>,
    /// Resubmits to the same or an earlier table that are open.
    pub(crate) depth: u32,
    pub(crate) nest: u32,
    pub(crate) lookups: u32,
    /// Nothing more of this pipeline is to run.
    pub(crate) exit: bool,
    /// What is left to do after a recirculation, innermost first; Some while lists unwind.
    pub(crate) freezing: Option<Vec<Frame>>,
    /// It waits for a controller then.
    pub(crate) pausing: Option<Box<Controller>>,
    /// A label stack was popped and what is below has not been parsed.
    pub(crate) was_mpls: bool,
    pub(crate) outputs: u32,
    /// Mirrors of this bridge that have a copy, a bit each.
    pub(crate) mirrors: u32,
    /// Bytes that are sent of a packet at most; 0 for all.
    pub(crate) snaplen: u16,
}

/// A flow, which of its bits translation wrote (the others are the packet's own), and its VLAN tags once one was
/// pushed or popped.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) flow: Flow,
    pub(crate) written: Mask,
    /// Words that may have a bit in `written`, and registers that may be other than 0.
    pub(crate) touched: u128,
    pub(crate) tags: Option<Tags>,
}

/// Words that hold VLAN tags.
const TAG_WORDS: [usize; 2] = [l::VLAN_TCI.word as usize, l::VLAN_TPID.word as usize];

/// A view's tags at some time.
pub(crate) struct Tagging {
    words: [(u64, u64); 2],
    touched: u128,
    tags: Option<Tags>,
}

impl State {
    /// Starts over for a packet with this key.
    pub(crate) fn start(&mut self, key: &Flow) {
        self.now.start(key);
        self.base.start(key);
        self.epoch = 0;
        self.table = 0;
        self.by = By::default();
        self.first = None;
        self.stack.clear();
        self.stack_bytes = 0;
        self.action_set.clear();
        self.depth = 0;
        self.nest = 0;
        self.lookups = 0;
        self.exit = false;
        self.freezing = None;
        self.pausing = None;
        self.was_mpls = false;
        self.outputs = 0;
        self.mirrors = 0;
        self.snaplen = 0;
    }

    /// Writes the bits `mask` of `slot`; all values are in the low bits.
    pub(crate) fn write(&mut self, slot: Slot, value: u128, mask: u128) {
        let old = self.now.flow.get(slot);
        self.now.flow.set(slot, old & !mask | value & mask);
        let written = self.now.written.get(slot);
        self.now.written.set(slot, written | mask);
        self.now.touch(slot);
    }

    /// Writes all of `slot`.
    pub(crate) fn put(&mut self, slot: Slot, value: u128) {
        self.now.flow.set(slot, value);
        self.now.written.exact(slot);
        self.now.touch(slot);
    }

    /// The port that the packet came from, as tables see it. Always exact in the mask.
    pub(crate) fn in_port(&self) -> OfPort {
        from16(self.now.flow.get64(l::IN_PORT) as u16)
    }

    pub(crate) fn set_in_port(&mut self, port: OfPort) {
        self.put(l::IN_PORT, u128::from(to16(port)));
    }

    /// Zeroes registers and metadata, as a packet that enters a bridge has them.
    pub(crate) fn clear_registers(&mut self) {
        self.now.flow.w[KEY_WORDS..].fill(0);
        self.put(l::ACTSET_OUTPUT, u128::from(OfPort::UNSET.0));
    }
}

impl View {
    fn start(&mut self, key: &Flow) {
        self.flow.clone_from(key);
        self.written.w.fill(0);
        // Registers and metadata are never the packet's.
        self.flow.w[KEY_WORDS..].fill(0);
        self.written.w[KEY_WORDS..WORDS].fill(u64::MAX);
        self.touched = 0;
        self.tags = None;
    }

    /// The words of `slot` are no longer as they came.
    fn touch(&mut self, slot: Slot) {
        self.touched |= ((1 << slot.words()) - 1) << slot.word;
    }

    /// Nor are any registers.
    pub(crate) fn touch_registers(&mut self) {
        self.touched |= u128::MAX << KEY_WORDS & ((1 << WORDS) - 1);
    }

    /// What a change of tags changes.
    pub(crate) fn tagging(&self) -> Tagging {
        let words = TAG_WORDS.map(|i| (self.flow.w[i], self.written.w[i]));
        Tagging { words, touched: self.touched, tags: self.tags }
    }

    /// Takes a change of tags back.
    pub(crate) fn retag(&mut self, before: Tagging) {
        for (i, (flow, written)) in TAG_WORDS.into_iter().zip(before.words) {
            (self.flow.w[i], self.written.w[i]) = (flow, written);
        }
        (self.touched, self.tags) = (before.touched, before.tags);
    }

    /// Makes the transport ports, and the ICMP type and code, 0 until they are put [`View::back`].
    pub(crate) fn hide_ports(&mut self) -> (u64, u64, u128) {
        const WORD: usize = l::TP_SRC.word as usize;
        const _: () = assert!(WORD == l::TP_DST.word as usize);
        let before = (self.flow.w[WORD], self.written.w[WORD], self.touched);
        for slot in [l::TP_SRC, l::TP_DST] {
            self.flow.set(slot, 0);
        }
        before
    }

    /// Says that hidden ports were written.
    pub(crate) fn own_up(&mut self) {
        for slot in [l::TP_SRC, l::TP_DST] {
            self.put_own(slot, 0, u16::MAX);
        }
    }

    /// See [`View::hide_ports`].
    pub(crate) fn back(&mut self, before: (u64, u64, u128)) {
        let word = usize::from(l::TP_SRC.word);
        (self.flow.w[word], self.written.w[word], self.touched) = before;
    }

    /// Stores the bits of one of the packet's own fields that were written, where it has its own place.
    pub(crate) fn put_own(&mut self, slot: Slot, value: u16, written: u16) {
        self.flow.set(slot, value.into());
        self.written.set(slot, written.into());
        self.touch(slot);
    }

    /// Makes words zero whatever they were.
    pub(crate) fn zero(&mut self, words: &[usize]) {
        for word in words {
            self.flow.w[*word] = 0;
            self.written.w[*word] = u64::MAX;
            self.touched |= 1 << word;
        }
    }
}

/// Number of a port in a flow: the 16 bits of OpenFlow 1.0.
pub(crate) fn to16(port: OfPort) -> u16 {
    flow::fields::value::port_from_11(port.0).unwrap_or(0xffff)
}

/// The port with this number in a flow.
pub(crate) fn from16(port: u16) -> OfPort {
    OfPort(flow::fields::value::port_to_11(port))
}
