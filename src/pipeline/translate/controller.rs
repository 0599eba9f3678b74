//! Packets for controllers: a step that copies the packet to management, with a number that says what goes with it.

use dpif::action::Userspace;
use dpif::{Action as DpAction, DropReason, MeterRef, RecircId, Thing};
use flow::layout::{KEY_WORDS, PKT_MARK, TUN_ID};
use openflow::MeterId;
use openflow::action::{Controller, PacketInReason};

use super::state::View;
use super::{Sink, Walk};
use crate::recirc::PacketIn;

impl<S: Sink> Walk<'_, S> {
    /// Packets go on as far as the meter's rates allow. One that a group's bucket names and that is not there limits nothing.
    pub(crate) fn meter(&mut self, id: MeterId) {
        if let Some(meter) = self.meter_of(id) {
            self.commit();
            self.out.actions.push(DpAction::Meter(meter));
        }
    }

    fn meter_of(&mut self, id: MeterId) -> Option<MeterRef> {
        let bridge = self.bridge;
        self.out.deps.things.push(Thing::Meter { bridge: bridge.index, meter: id.0 });
        bridge.meters.get(&id).map(|m| m.meter.clone())
    }

    pub(crate) fn controller(&mut self, c: &Controller) {
        // who says no reason has that of where it is
        let reason = if c.reason == PacketInReason::Action { self.st.by.reason } else { c.reason };
        if c.pause {
            // all lists unwind first, and leave what is to be done later
            self.st.pausing = Some(Box::new(Controller { reason, ..c.clone() }));
            return self.freeze();
        }
        self.packet_in(c.controller_id, c.max_len, reason, &c.userdata, c.meter);
    }

    pub(crate) fn packet_in(
        &mut self,
        controller: u16,
        max_len: u16,
        reason: PacketInReason,
        userdata: &[u8],
        meter: Option<MeterId>,
    ) {
        self.commit();
        self.told(controller, max_len, reason, userdata, (meter, None));
    }

    /// The packet waits for a controller, and goes on with what is frozen as `resume`.
    pub(crate) fn paused(&mut self, c: &Controller, resume: RecircId) {
        self.told(c.controller_id, c.max_len, c.reason, &c.userdata, (c.meter, Some(resume)));
    }

    /// What actions wrote of the packet's mark and of its tunnel's fields.
    fn written(&self) -> Vec<(u8, u64, u64)> {
        let View { flow, written, .. } = &self.st.now;
        let mark = (usize::from(PKT_MARK.word), PKT_MARK.bits());
        let tunnel = (usize::from(TUN_ID.word)..KEY_WORDS).map(|word| (word, u64::MAX));
        let masks = std::iter::once(mark).chain(tunnel).map(|(word, bits)| (word, written.w[word] & bits));
        masks.filter(|(_, mask)| *mask != 0).map(|(word, mask)| (word as u8, flow.w[word] & mask, mask)).collect()
    }

    fn told(
        &mut self,
        controller: u16,
        max_len: u16,
        reason: PacketInReason,
        userdata: &[u8],
        (meter, resume): (Option<MeterId>, Option<RecircId>),
    ) {
        let what = PacketIn {
            bridge: self.bridge.index,
            table: self.st.table,
            in_port: self.st.in_port(),
            reason,
            cookie: self.st.by.cookie,
            table_miss: self.st.by.table_miss && reason == PacketInReason::Action,
            controller,
            max_len,
            userdata: userdata.to_vec(),
            resume,
            registers: self.st.now.flow.w[KEY_WORDS..].into(),
            written: self.written(),
        };
        let (reason, cookie) = (reason as u8, what.cookie);
        let Some((id, stats)) = self.shared.packet_in(what, self.input.now) else {
            self.out.cacheable = false;
            self.reason(DropReason::Translation);
            return;
        };
        self.out.stats.push(stats);
        let told = DpAction::Userspace(Userspace::Controller(dpif::action::PacketIn {
            id,
            reason,
            continuation: resume.is_some(),
            cookie: if cookie == u64::MAX { 0 } else { cookie },
            controller,
            max_len,
        }));
        // a meter for all that goes to controllers holds for what names no other
        let meter = self.meter_of(meter.unwrap_or(MeterId::CONTROLLER));
        self.out.actions.push(match meter {
            Some(meter) => DpAction::Clone(vec![DpAction::Meter(meter), told]),
            None => told,
        });
        self.st.outputs += 1;
    }
}
