//! Writing fields: `set_field`, `load`, `mod_*`, `move`, `push`, `pop`.

use crate::subfield::FieldId;

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
