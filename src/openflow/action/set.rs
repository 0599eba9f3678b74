//! Writing fields: `set_field`, `load`, `mod_*`, `move`, `push`, `pop`.

use crate::subfield::FieldId;
use flow::Flow;
use flow::fields::Prereq;

/// Which action wrote it down; the effect is the same but for what it asks of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetStyle {
    /// `set_field:value/mask->field`; the match has the field's prerequisites.
    SetField,
    /// `load:value->field[ofs..ofs+n]`; as `set_field`.
    Load,
    /// A `mod_*`; does nothing to a packet that lacks the header. `mod_tp_src` and `mod_tp_dst` have TCP's field and
    /// write UDP's and SCTP's too.
    Mod,
}

/// Writes the bits `mask` of `field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetField {
    pub field: FieldId,
    /// No bit outside `mask`.
    pub value: u128,
    pub mask: u128,
    pub style: SetStyle,
}

impl SetField {
    /// Does the packet have what it writes? What the answer depends on is in [`SetField::prereqs`].
    pub fn applies(&self, flow: &Flow) -> bool {
        self.prereqs().iter().any(|p| p.ok(flow))
    }

    /// The prerequisites of which one must hold.
    pub fn prereqs(&self) -> &'static [Prereq] {
        const TRANSPORT: &[Prereq] = &[Prereq::Tcp, Prereq::Udp, Prereq::Sctp];
        match self.field {
            FieldId::TcpSrc | FieldId::TcpDst if self.style == SetStyle::Mod => TRANSPORT,
            field => std::slice::from_ref(&field.row().prereq),
        }
    }

    /// Writes to `flow`, whatever the packet is.
    pub fn apply(&self, flow: &mut Flow) {
        let row = self.field.row();
        let old = row.get(flow);
        row.set(flow, old & !self.mask | self.value & self.mask);
    }
}
