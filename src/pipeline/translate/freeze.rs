//! Stopping where only the datapath can say how it goes on, and going on.

use dpif::action::HashAlgorithm;
use dpif::{Action as DpAction, DropReason, RecircId};
use flow::layout::KEY_WORDS;
use openflow::action::PacketInReason;

use super::walk::Next;
use super::{Kind, Sink, Walk};
use crate::recirc::{Frame, Frozen};

impl<S: Sink> Walk<'_, S> {
    /// Stops here: lists that are open leave their rest behind as they unwind.
    pub(crate) fn freeze(&mut self) {
        self.st.exit = true;
        self.st.freezing.get_or_insert_default();
    }

    /// As [`Walk::freeze`], after having the datapath compute the packet's hash.
    pub(crate) fn freeze_for_hash(&mut self, algorithm: HashAlgorithm, basis: u32) {
        self.commit();
        self.out.actions.push(DpAction::Hash { algorithm, basis });
        self.freeze();
    }

    /// All lists have unwound: sends the packet round.
    pub(crate) fn finish_freezing(&mut self) {
        let frames = self.st.freezing.take().unwrap_or_default();
        self.commit();
        if let Some(controller) = self.st.pausing.take() {
            if let Some(id) = self.frozen(frames) {
                self.paused(&controller, id);
            }
        } else if let Some(recirc) = self.recirculate(frames) {
            self.out.actions.push(recirc);
        }
    }

    /// The step that makes a packet go on with `frames`.
    pub(crate) fn recirculate(&mut self, frames: Vec<Frame>) -> Option<DpAction> {
        let id = self.frozen(frames)?;
        let (base, made) = (&self.st.base.flow, self.out.actions.last());
        self.sink.recirculated(id, || crate::trace::recirculated(base, self.input.flow, made, id));
        Some(DpAction::Recirc(id))
    }

    /// The number of what is to be done later.
    fn frozen(&mut self, frames: Vec<Frame>) -> Option<RecircId> {
        let frozen = Frozen {
            bridge: self.bridge.index,
            in_port: self.st.in_port(),
            registers: self.st.now.flow.w[KEY_WORDS..].into(),
            stack: self.st.stack.clone(),
            action_set: self.st.action_set.clone(),
            mirrors: self.st.mirrors,
            packet_out: false,
            tables: None,
            frames,
        };
        let Some((id, stats)) = self.shared.freeze(frozen, self.input.now) else {
            self.out.cacheable = false;
            self.fail(DropReason::Recirculation);
            return None;
        };
        self.out.stats.push(stats);
        self.st.outputs += 1;
        Some(id)
    }

    /// Goes on with a packet that came back.
    pub(crate) fn resume(&mut self, frozen: &Frozen) {
        self.tell_bridge();
        self.sink.down();
        self.tell(Kind::Table, || "thaw".into());
        self.sink.down();
        for frame in &frozen.frames {
            let bridge = self.sink.names().then_some(self.bridge);
            self.tell(Kind::Table, || match frame.actions.is_empty() {
                true => format!("Resuming from table {}", frame.table),
                false => format!("Restoring actions: {}", crate::trace::actions_text(&frame.actions, bridge)),
            });
        }
        self.sink.up(1);
        self.st.set_in_port(frozen.in_port);
        for (word, saved) in self.st.now.flow.w[KEY_WORDS..].iter_mut().zip(&frozen.registers) {
            *word = *saved;
        }
        self.st.now.touch_registers();
        self.st.stack.clone_from(&frozen.stack);
        self.st.stack_bytes = self.st.stack.iter().map(|(_, bits)| usize::from(*bits).div_ceil(8) + 1).sum();
        self.st.action_set.clone_from(&frozen.action_set);
        self.st.mirrors = frozen.mirrors;
        if frozen.packet_out {
            self.st.by.reason = PacketInReason::PacketOut;
        }
        for (i, frame) in frozen.frames.iter().enumerate() {
            if self.st.exit {
                if let Some(frames) = &mut self.st.freezing {
                    frames.extend_from_slice(&frozen.frames[i..]);
                }
                break;
            }
            self.st.table = frame.table;
            if frame.actions.is_empty() {
                self.table(frame.table, false);
            } else if let Next::Table(table) = self.actions(&frame.actions) {
                self.table(table, false);
            }
        }
        self.end_of_pipeline();
        self.sink.up(1);
    }
}
