//! Packets for controllers: a step that copies the packet to management, with a number that says what goes with it.

use dpif::action::Userspace;
use dpif::{Action as DpAction, DropReason};
use flow::layout::KEY_WORDS;
use openflow::action::{Controller, PacketInReason};

use super::{Sink, Walk};
use crate::recirc::PacketIn;

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn controller(&mut self, c: &Controller) {
        // who says no reason has that of where it is
        let reason = if c.reason == PacketInReason::Action { self.st.by.reason } else { c.reason };
        self.packet_in(c.controller_id, c.max_len, reason, &c.userdata);
    }

    pub(crate) fn packet_in(&mut self, controller: u16, max_len: u16, reason: PacketInReason, userdata: &[u8]) {
        self.commit();
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
            registers: self.st.now.flow.w[KEY_WORDS..].into(),
        };
        let Some((cookie, stats)) = self.shared.packet_in(what, self.input.now) else {
            self.out.cacheable = false;
            self.reason(DropReason::Translation);
            return;
        };
        self.out.stats.push(stats);
        self.out.actions.push(DpAction::Userspace(Userspace::Controller(cookie)));
        self.st.outputs += 1;
    }
}
