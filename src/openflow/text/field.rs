//! Names of fields in actions, and subfields: `reg0`, `NXM_NX_REG0[]`, `reg0[4..7]`.

use super::error::{Result, bail};
use crate::subfield::Subfield;
use flow::fields::{ALL, Field, FieldId, NICIRA, NSH, ONF, Oxm};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The name of a code point where it differs from the field's own (ovs-fields(7)).
const UNLIKE: [(FieldId, &str); 6] = [
    (FieldId::TunSrc, "TUN_IPV4_SRC"),
    (FieldId::TunDst, "TUN_IPV4_DST"),
    (FieldId::NwTos, "IP_TOS"),
    (FieldId::NwProto, "IP_PROTO"),
    (FieldId::NwEcn, "IP_ECN"),
    (FieldId::NwTtl, "IP_TTL"),
];

/// The same for OXM_OF.
const UNLIKE_OXM: [(FieldId, &str); 10] = [
    (FieldId::InPortOxm, "IN_PORT"),
    (FieldId::IpSrc, "IPV4_SRC"),
    (FieldId::IpDst, "IPV4_DST"),
    (FieldId::Ipv6Label, "IPV6_FLABEL"),
    (FieldId::IcmpType, "ICMPV4_TYPE"),
    (FieldId::IcmpCode, "ICMPV4_CODE"),
    (FieldId::NdTarget, "IPV6_ND_TARGET"),
    (FieldId::NdSll, "IPV6_ND_SLL"),
    (FieldId::NdTll, "IPV6_ND_TLL"),
    (FieldId::TunId, "TUNNEL_ID"),
];

fn oxm_name(field: &Field, oxm: Oxm) -> String {
    let find = |table: &[(FieldId, &'static str)]| table.iter().find(|(f, _)| *f == field.id).map(|(_, n)| *n);
    let own = || find(&UNLIKE).map_or_else(|| field.name.to_uppercase(), str::to_owned);
    match (oxm.class, oxm.experimenter) {
        (0x0000, _) => format!("NXM_OF_{}", own()),
        (0x0001, _) => format!("NXM_NX_{}", own()),
        (0x8000, _) => format!("OXM_OF_{}", find(&UNLIKE_OXM).map_or_else(own, str::to_owned)),
        (0x8001, _) => format!("OXM_OF_PKT_REG{}", oxm.field),
        (0x1000, _) => format!("ERICOXM_OF_ICMPV6_{}", own()),
        (0xffff, NICIRA) => format!("NXOXM_ET_{}", own().trim_start_matches("TUN_")),
        (0xffff, NSH) => format!("NXOXM_{}", own()),
        (0xffff, ONF) => format!("ONFOXM_ET_{}", own()),
        (class, experimenter) => format!("OXM_{class:04X}_{experimenter:X}_{}", oxm.field),
    }
}

/// Code points' names to fields.
static BY_OXM_NAME: LazyLock<HashMap<String, FieldId>> =
    LazyLock::new(|| Field::all().flat_map(|f| f.oxm.iter().map(|o| (oxm_name(f, *o), f.id))).collect());

/// What a field is called in `load`, `move` and their like, by number of the field: its NXM name, else the extension's,
/// else the standard's, else its own.
static IN_ACTIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let name = |id: &FieldId| {
        let row = id.row();
        let rank = |o: &&Oxm| (o.class > 1, o.class != 0xffff);
        row.oxm.iter().min_by_key(rank).map_or_else(|| row.name.to_owned(), |o| oxm_name(row, *o))
    };
    ALL.iter().map(name).collect()
});

/// A field by its name, its alias, or the name of one of its code points.
pub fn by_any_name(name: &str) -> Option<FieldId> {
    flow::fields::by_name(name).or_else(|| BY_OXM_NAME.get(name).copied())
}

/// The name that actions print.
pub fn name_in_actions(field: FieldId) -> &'static str {
    IN_ACTIONS.get(field.index()).map_or("", String::as_str)
}

/// Reads the subfield that `text` begins with; also gives what follows it.
pub fn parse_prefix(text: &str) -> Result<(Subfield, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(field) = by_any_name(name) else {
        bail!("{text}: unknown field `{name}'");
    };
    let Some(inside) = rest.strip_prefix('[') else {
        return Ok((Subfield::whole(field), rest));
    };
    let Some((range, rest)) = inside.split_once(']') else {
        bail!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]");
    };
    if range.is_empty() {
        return Ok((Subfield::whole(field), rest));
    }
    let (first, last) = range.split_once("..").unwrap_or((range, range));
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u32>().ok()).flatten();
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        bail!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]");
    };
    let width = u32::from(field.row().bits);
    if first > last {
        bail!("{text}: starting bit {first} is after ending bit {last}");
    } else if first >= width {
        bail!("{text}: starting bit {first} is not valid because field is only {width} bits wide");
    } else if last >= width {
        bail!("{text}: ending bit {last} is not valid because field is only {width} bits wide");
    }
    Ok((Subfield { field, ofs: first as u16, n_bits: (last - first + 1) as u16 }, rest))
}

/// Reads `text` as a subfield and nothing else.
pub fn parse(text: &str) -> Result<Subfield> {
    let (subfield, rest) = parse_prefix(text)?;
    if !rest.is_empty() {
        bail!("unexpected input following field syntax");
    }
    Ok(subfield)
}

/// The text of a subfield: `NXM_NX_REG0[4..7]`.
pub fn text(sf: Subfield) -> String {
    let name = name_in_actions(sf.field);
    match (sf.is_whole(), sf.n_bits) {
        (true, _) => format!("{name}[]"),
        (false, 1) => format!("{name}[{}]", sf.ofs),
        (false, n) => format!("{name}[{}..{}]", sf.ofs, sf.ofs + n - 1),
    }
}
