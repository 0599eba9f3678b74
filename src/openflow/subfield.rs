//! A run of bits of a field, what `load`, `move`, `output` and the stack work on.

pub use flow::FieldId;
use flow::{Flow, Mask};

/// Bits `ofs` (0 is the least significant) to `ofs + n_bits - 1` of `field`; text `reg0[4..7]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subfield {
    pub field: FieldId,
    pub ofs: u16,
    pub n_bits: u16,
}

/// The lowest `n` bits set.
pub fn low_bits(n: u16) -> u128 {
    if n >= 128 { u128::MAX } else { (1 << n) - 1 }
}

impl Subfield {
    /// The whole field: of vlan_vid the VID without the bit that says that there is a tag, of ct_state the unused bits too,
    /// of arp_op all 16 bits, though a key has the low ones alone.
    pub fn whole(field: FieldId) -> Subfield {
        let n_bits = match field {
            FieldId::VlanVid => 12,
            FieldId::CtState => 32,
            FieldId::ArpOp => 16,
            field => field.row().bits,
        };
        Subfield { field, ofs: 0, n_bits }
    }

    /// True when it is the whole field.
    pub fn is_whole(self) -> bool {
        self == Subfield::whole(self.field)
    }

    /// The mask of its bits in the field.
    pub fn mask(self) -> u128 {
        low_bits(self.n_bits).checked_shl(self.ofs.into()).unwrap_or(0)
    }

    /// Its bits in `flow` as a number.
    pub fn get(self, flow: &Flow) -> u128 {
        self.field.row().get(flow).checked_shr(self.ofs.into()).unwrap_or(0) & low_bits(self.n_bits)
    }

    /// Stores the low bits of `value` in `flow`. Whether the packet has the field is the caller's to ask.
    pub fn set(self, flow: &mut Flow, value: u128) {
        let (row, mask) = (self.field.row(), self.mask());
        let old = row.get(flow);
        row.set(flow, old & !mask | value.checked_shl(self.ofs.into()).unwrap_or(0) & mask);
    }

    /// Makes its bits exact in `mask`; the field's prerequisites are the caller's.
    pub fn unwildcard(self, mask: &mut Mask) {
        let slot = self.field.row().slot;
        if slot.width > 0 {
            let old = mask.get(slot);
            mask.set(slot, old | self.mask());
        }
    }
}
