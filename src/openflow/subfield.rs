//! A run of bits of a field, what `load`, `move`, `output` and the stack work on.

use flow::layout::Slot;
use flow::{Flow, Mask};

/// Which field. Until the field table is there, a field is its place.
pub type FieldId = Slot;

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
    /// The whole field.
    pub fn whole(field: FieldId) -> Subfield {
        Subfield { field, ofs: 0, n_bits: field.width }
    }

    /// The mask of its bits in the field.
    pub fn mask(self) -> u128 {
        low_bits(self.n_bits).checked_shl(self.ofs.into()).unwrap_or(0)
    }

    /// Its bits in `flow` as a number.
    pub fn get(self, flow: &Flow) -> u128 {
        flow.get(self.field).checked_shr(self.ofs.into()).unwrap_or(0) & low_bits(self.n_bits)
    }

    /// Stores the low bits of `value` in `flow`.
    pub fn set(self, flow: &mut Flow, value: u128) {
        let mask = self.mask();
        let old = flow.get(self.field);
        flow.set(self.field, old & !mask | value.checked_shl(self.ofs.into()).unwrap_or(0) & mask);
    }

    /// Makes its bits exact in `mask`.
    pub fn unwildcard(self, mask: &mut Mask) {
        let old = mask.get(self.field);
        mask.set(self.field, old | self.mask());
    }
}
