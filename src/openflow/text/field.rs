//! Names of fields in actions, and subfields: `reg0`, `NXM_NX_REG0[]`, `reg0[4..7]`.

use super::error::{Result, bail};
use crate::subfield::Subfield;
use flow::fields::{FieldId, by_name, by_nxm_name};

/// A field by its name, its alias, or the name of one of its code points.
pub fn by_any_name(name: &str) -> Option<FieldId> {
    by_name(name).or_else(|| by_nxm_name(name))
}

/// The name that actions print: its NXM name where it has one.
pub fn name_in_actions(field: FieldId) -> &'static str {
    let row = field.row();
    row.nxm_name().unwrap_or(row.name)
}

/// Reads the subfield that `text` begins with; also gives what follows it.
pub fn parse_prefix(text: &str) -> Result<(Subfield, &str)> {
    let end = text.find(['[', '-']).unwrap_or(text.len());
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
    let width = u32::from(Subfield::whole(field).n_bits);
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
