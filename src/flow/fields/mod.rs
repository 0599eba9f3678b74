//! The field table: what each field of ovs-fields(7) is called, where it is, how wide, how it is masked, written,
//! encoded, and what must hold for it to mean anything.
//!
//! [`FieldId`] names a field, [`FieldId::row`] is its [`Field`]; lookups by name and by NXM or OXM code point are
//! here. Values are numbers of up to 128 bits ([`value`]); tunnel options are apart ([`tlv`]).
#![deny(clippy::indexing_slicing)]

mod id;
pub mod prereq;
mod table;
#[cfg(test)]
mod tests;
pub mod tlv;
pub mod value;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use id::{ALL, FIELDS, FieldId};
pub use prereq::Prereq;
pub use table::{Field, Format, Kind, Masking, NICIRA, NSH, ONF, Oxm};

static BY_NAME: LazyLock<HashMap<&'static str, FieldId>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for f in Field::all() {
        names.insert(f.name, f.id);
        if let Some(alias) = f.alias {
            names.insert(alias, f.id);
        }
    }
    // Names that ovs-ofctl takes beside those of ovs-fields(7).
    names.insert("ip_ttl", FieldId::NwTtl);
    names
});

/// Classes whose code points are looked up most, each with all its fields: NXM's two and OXM's basic one.
const COMMON: [u16; 3] = [0x0000, 0x0001, 0x8000];

static BY_COMMON: LazyLock<[[Option<FieldId>; 128]; COMMON.len()]> = LazyLock::new(|| {
    let of = |class, field| BY_OXM.get(&(class, field, 0)).copied();
    COMMON.map(|class| std::array::from_fn(|field| of(class, field as u8)))
});

static BY_OXM: LazyLock<HashMap<(u16, u8, u32), FieldId>> = LazyLock::new(|| {
    Field::all().flat_map(|f| f.oxm.iter().map(|o| ((o.class, o.field, o.experimenter), f.id))).collect()
});

/// The field called `name` (or its alias), in lower case as ovs-fields(7) has it.
pub fn by_name(name: &str) -> Option<FieldId> {
    BY_NAME.get(name).copied()
}

static BY_NXM_NAME: LazyLock<HashMap<&'static str, FieldId>> =
    LazyLock::new(|| Field::all().flat_map(|f| f.oxm.iter().map(|o| (o.name, f.id))).collect());

/// The field whose code point is called `name`, as `NXM_NX_REG0`.
pub fn by_nxm_name(name: &str) -> Option<FieldId> {
    BY_NXM_NAME.get(name).copied()
}

/// The field with an NXM or OXM code point; `experimenter` is 0 unless the class is 0xffff.
pub fn by_oxm(class: u16, field: u8, experimenter: u32) -> Option<FieldId> {
    match COMMON.iter().position(|common| *common == class) {
        Some(at) if experimenter == 0 => *BY_COMMON.get(at)?.get(usize::from(field))?,
        _ => BY_OXM.get(&(class, field, experimenter)).copied(),
    }
}
