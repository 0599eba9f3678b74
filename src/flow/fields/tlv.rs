//! Where tunnel options live: the TLV table of `ovs-ofctl add-tlv-map` (ovs-fields(7), "tun_metadata").
//!
//! A mapped option has up to 124 bytes, a multiple of 4, in the 256 bytes that a flow has for options, and a bit in
//! TUN_METADATA_MAP that says whether the packet has it. Option bytes are kept in wire order, the first one most
//! significant in its word.
#![deny(clippy::indexing_slicing)]

use super::id::FieldId;
use crate::layout::{Slot, TUN_METADATA_MAP, TUN_METADATA_WORD};
use crate::words::{Flow, Mask};

/// Four-byte units that a flow has for options.
const UNITS: usize = 64;

/// A value of a tunnel option: big-endian, as many bytes as the option has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wide {
    bytes: [u8; 124],
    len: u8,
}

impl Wide {
    /// The value `bytes` (at most 124).
    pub fn new(bytes: &[u8]) -> Option<Wide> {
        let mut all = [0; 124];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Wide { bytes: all, len: bytes.len() as u8 })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Its low 128 bits as a number.
    pub fn low(&self) -> u128 {
        self.bytes().iter().fold(0, |n, b| n << 8 | u128::from(*b))
    }
}

impl std::fmt::Debug for Wide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x")?;
        self.bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// One mapping of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlvMapping {
    /// Option class and type as in Geneve (RFC 8926).
    pub class: u16,
    pub kind: u8,
    /// Bytes of the option's body, a multiple of 4 up to 124.
    pub len: u8,
    /// Which tun_metadata it is.
    pub index: u8,
    unit: u8,
}

/// Why a mapping cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvError {
    /// Not a multiple of 4 from 4 to 124.
    BadLength,
    /// There is no such tun_metadata.
    BadIndex,
    /// The index or the option is mapped already.
    Duplicate,
    /// The 256 bytes are used up.
    Full,
}

impl std::fmt::Display for TlvError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TlvError::BadLength => "option length must be a multiple of 4 from 4 to 124",
            TlvError::BadIndex => "tun_metadata index must be 0 to 63",
            TlvError::Duplicate => "option or tun_metadata field is mapped already",
            TlvError::Full => "no space left for tunnel options",
        })
    }
}

impl std::error::Error for TlvError {}

/// Which tunnel option is which tun_metadata field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlvTable {
    maps: Vec<TlvMapping>,
    /// Bit n: unit n is used.
    used: u64,
}

impl TlvTable {
    /// The mappings.
    pub fn iter(&self) -> impl Iterator<Item = &TlvMapping> {
        self.maps.iter()
    }

    /// Maps option (`class`, `kind`) of `len` bytes to tun_metadata`index`.
    pub fn add(&mut self, class: u16, kind: u8, len: u8, index: u8) -> Result<(), TlvError> {
        if !(4..=124).contains(&len) || !len.is_multiple_of(4) {
            return Err(TlvError::BadLength);
        }
        if index > 63 {
            return Err(TlvError::BadIndex);
        }
        if self.maps.iter().any(|m| m.index == index || (m.class, m.kind) == (class, kind)) {
            return Err(TlvError::Duplicate);
        }
        let units = len / 4;
        let run = |unit: u8| ((1u64 << units) - 1) << unit;
        let unit = (0..=UNITS as u8 - units).find(|u| self.used & run(*u) == 0).ok_or(TlvError::Full)?;
        self.used |= run(unit);
        self.maps.push(TlvMapping { class, kind, len, index, unit });
        Ok(())
    }

    /// Takes tun_metadata`index` away; says whether it was there.
    pub fn remove(&mut self, index: u8) -> bool {
        let Some(at) = self.maps.iter().position(|m| m.index == index) else { return false };
        let m = self.maps.remove(at);
        self.used &= !(((1u64 << (m.len / 4)) - 1) << m.unit);
        true
    }

    /// The mapping of `field`, if it is a mapped tunnel option.
    pub fn of(&self, field: FieldId) -> Option<&TlvMapping> {
        let n = field.tun_metadata_index()?;
        self.maps.iter().find(|m| usize::from(m.index) == n)
    }

    /// The mapping of the option (`class`, `kind`).
    pub fn option(&self, class: u16, kind: u8) -> Option<&TlvMapping> {
        self.maps.iter().find(|m| (m.class, m.kind) == (class, kind))
    }
}

impl TlvMapping {
    /// The places of its bytes, four at a time, first one first.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let first = usize::from(self.unit);
        (first..first + usize::from(self.len / 4)).map(|u| Slot {
            word: (TUN_METADATA_WORD + u / 2) as u8,
            shift: if u.is_multiple_of(2) { 32 } else { 0 },
            width: 32,
        })
    }

    /// Is the option there?
    pub fn is_present(&self, flow: &Flow) -> bool {
        flow.get64(TUN_METADATA_MAP) >> self.index & 1 != 0
    }

    /// Its value in `flow`; zeros when it is not there.
    pub fn get(&self, flow: &Flow) -> Wide {
        self.read(|s| flow.get64(s))
    }

    /// Its bits in `mask`.
    pub fn get_mask(&self, mask: &Mask) -> Wide {
        self.read(|s| mask.get64(s))
    }

    fn read(&self, at: impl Fn(Slot) -> u64) -> Wide {
        let mut wide = Wide { bytes: [0; 124], len: self.len };
        for (chunk, slot) in wide.bytes.chunks_exact_mut(4).zip(self.slots()) {
            chunk.copy_from_slice(&(at(slot) as u32).to_be_bytes());
        }
        wide
    }

    /// The value `wide`, right-aligned to the option's length (excess high bytes are cut off), by slot.
    fn units(&self, wide: &Wide) -> impl Iterator<Item = (Slot, u128)> {
        let (len, bytes) = (usize::from(self.len), wide.bytes());
        let mut all = [0u8; 124];
        for (to, from) in all.iter_mut().take(len).rev().zip(bytes.iter().rev()) {
            *to = *from;
        }
        let units = all.as_chunks::<4>().0.iter().map(|c| u128::from(u32::from_be_bytes(*c))).collect::<Vec<_>>();
        self.slots().zip(units)
    }

    /// Stores a value; the option is there from now on.
    pub fn set(&self, flow: &mut Flow, value: &Wide) {
        self.units(value).for_each(|(s, v)| flow.set(s, v));
        let map = flow.get(TUN_METADATA_MAP);
        flow.set(TUN_METADATA_MAP, map | 1 << self.index);
    }

    /// Makes the match `flow` under `mask` ask for the option to be there and have `value` in `bits`.
    pub fn set_match(&self, flow: &mut Flow, mask: &mut Mask, value: &Wide, bits: &Wide) {
        let bits: Vec<_> = self.units(bits).collect();
        for ((slot, v), (_, m)) in self.units(value).zip(bits) {
            flow.set(slot, v & m);
            mask.set(slot, m);
        }
        let bit = 1u128 << self.index;
        flow.set(TUN_METADATA_MAP, flow.get(TUN_METADATA_MAP) | bit);
        mask.set(TUN_METADATA_MAP, mask.get(TUN_METADATA_MAP) | bit);
    }
}
