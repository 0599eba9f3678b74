//! Writing fields: set_field, load, mod_*, move, the stack, TTLs.

use dpif::DropReason;
use flow::fields::{Field, Kind, Prereq};
use flow::layout::{self as l, Slot};
use openflow::action::{PacketInReason, SetField};
use openflow::{FieldId, Subfield};

use super::walk::Step;
use super::{Kind as Line, MAX_STACK, Sink, Walk};

/// Fields of headers that say which protocol follows, and of ARP.
const L3: [FieldId; 13] = [
    FieldId::IpSrc,
    FieldId::IpDst,
    FieldId::Ipv6Src,
    FieldId::Ipv6Dst,
    FieldId::Ipv6Label,
    FieldId::NwTos,
    FieldId::NwEcn,
    FieldId::NwTtl,
    FieldId::ArpOp,
    FieldId::ArpSpa,
    FieldId::ArpTpa,
    FieldId::ArpSha,
    FieldId::ArpTha,
];

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn set_field(&mut self, set: &SetField) {
        let mut applies = false;
        for prereq in set.prereqs() {
            applies |= self.has(*prereq);
        }
        if applies {
            // as in OVS, whose megaflows have the protocol where a header that says it is written so
            if L3.contains(&set.field) {
                self.look(l::NW_PROTO);
            }
            self.store(set.field.row(), set.value, set.mask);
        }
    }

    /// Writes the bits `mask` of a field that the packet has.
    fn store(&mut self, row: &Field, value: u128, mask: u128) {
        match row.kind {
            // a message's type and code are looked at together, as in OVS
            Kind::Plain if [Prereq::Icmpv4, Prereq::Icmpv6].contains(&row.prereq) => {
                self.look_bits(l::TP_SRC, 0xff);
                self.look_bits(l::TP_DST, 0xff);
                self.st.write(row.slot, value, mask);
            }
            Kind::Plain => self.write(row.slot, value, mask),
            Kind::Tos => self.write(row.slot, value, mask & 0xfc),
            Kind::WidePort => {
                let mut flow = self.st.now.flow.clone();
                row.set(&mut flow, value);
                let port = flow.get(row.slot);
                self.write(row.slot, port, u128::MAX);
            }
            Kind::TunMetadata => {}
            Kind::VlanTci | Kind::DlVlan | Kind::VlanVid | Kind::VlanPcp => self.store_vlan(row, value, mask),
        }
    }

    /// Writes the bits `mask` of `slot`. What the packet has there is part of the result: a rewrite that changes nothing
    /// is not sent.
    pub(crate) fn write(&mut self, slot: Slot, value: u128, mask: u128) {
        self.look_bits(slot, mask);
        self.st.write(slot, value, mask);
    }

    /// The value of a subfield, on which the result then depends; None when the packet does not have it.
    pub(crate) fn load(&mut self, from: Subfield) -> Option<u128> {
        let row = from.field.row();
        if !self.has(row.prereq) {
            return None;
        }
        match row.kind {
            Kind::Plain | Kind::Tos => {
                self.look_bits(row.slot, from.mask());
            }
            Kind::WidePort | Kind::TunMetadata => {}
            Kind::VlanTci | Kind::DlVlan | Kind::VlanVid | Kind::VlanPcp => {
                self.look(l::VLAN_TCI);
            }
        }
        Some(from.get(&self.st.now.flow))
    }

    pub(crate) fn store_subfield(&mut self, to: Subfield, value: u128) {
        if self.has(to.field.row().prereq) {
            let value = value.checked_shl(to.ofs.into()).unwrap_or(0);
            self.store(to.field.row(), value & to.mask(), to.mask());
        }
    }

    pub(crate) fn copy(&mut self, src: Subfield, dst: Subfield) {
        if let Some(value) = self.load(src) {
            self.store_subfield(dst, value);
            self.tell_value(dst);
        }
    }

    pub(crate) fn push(&mut self, src: Subfield) {
        // with its length, which takes a byte
        let bytes = usize::from(src.n_bits).div_ceil(8) + 1;
        if self.st.stack_bytes + bytes > MAX_STACK {
            self.fail(DropReason::StackTooDeep);
            return;
        }
        // A field that the packet lacks reads as 0.
        let value = self.load(src).unwrap_or(0);
        self.st.stack.push((value, src.n_bits));
        self.st.stack_bytes += bytes;
    }

    pub(crate) fn pop(&mut self, dst: Subfield) {
        let Some((value, bits)) = self.st.stack.pop() else {
            // OVS logs this and goes on (ovs-actions(7), pop).
            self.detail(|| "the stack is empty".into());
            return;
        };
        self.st.stack_bytes -= usize::from(bits).div_ceil(8) + 1;
        self.store_subfield(dst, value);
        self.tell_value(dst);
    }

    pub(crate) fn tell_value(&mut self, of: Subfield) {
        let flow = &self.st.now.flow;
        self.sink.tell(Line::Detail, || crate::trace::value_text(of, flow));
    }

    pub(crate) fn dec_ttl(&mut self, controllers: &[u16]) -> Step {
        if !self.has(Prereq::Ip) {
            return Step::Go;
        }
        self.look(l::NW_PROTO);
        let ttl = self.look(l::NW_TTL);
        if ttl > 1 {
            self.st.put(l::NW_TTL, ttl - 1);
            return Step::Go;
        }
        let version = if self.has(Prereq::Ipv4) { "IPv4" } else { "IPv6" };
        self.ttl_exceeded(version, controllers)
    }

    pub(crate) fn ttl_exceeded(&mut self, what: &str, controllers: &[u16]) -> Step {
        self.warn(|| format!("{what} decrement TTL exception"));
        let plain: &[u16] = &[0];
        for id in if controllers.is_empty() { plain } else { controllers } {
            self.packet_in(*id, u16::MAX, PacketInReason::InvalidTtl, &[], None);
        }
        self.reason(DropReason::TtlExceeded);
        Step::Stop
    }
}
