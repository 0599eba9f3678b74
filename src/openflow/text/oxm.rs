//! Matches entry by entry, under the names of their code points and with values in hexadecimal:
//! `NXM_OF_ETH_TYPE(0800), NXM_NX_REG0_W(a0000000/f0000000)`.

use super::error::{Result, bail};
use crate::wire::bytes::{Bytes, Put};
use crate::wire::oxm::OxmHeader;
use flow::fields::{Oxm, by_nxm_name};
use std::fmt::Write;

/// No entry.
const ANY: &str = "<any>";
/// The entry that is no field of a packet; it has the number of NXM_NX_MPLS_TTL.
const COOKIE: Oxm = Oxm { class: 1, field: 30, experimenter: 0, name: "NXM_NX_COOKIE", since: 1 };
/// Bytes of its value.
const COOKIE_LEN: usize = 8;
/// The class whose entries go on with an experimenter's number.
const EXPERIMENTER: u16 = 0xffff;

fn name(header: &OxmHeader) -> Option<&'static str> {
    let is = |o: &&Oxm| (o.class, o.field, o.experimenter) == (header.class, header.field, header.experimenter);
    if is(&&COOKIE) && header.len == if header.masked { 2 * COOKIE_LEN } else { COOKIE_LEN } {
        return Some(COOKIE.name);
    }
    header.id()?.row().oxm.iter().find(is).map(|o| o.name)
}

fn hex(out: &mut String, bytes: &[u8]) {
    bytes.iter().for_each(|b| {
        let _ = write!(out, "{b:02x}");
    });
}

/// The entries in `bytes`, as far as they are whole; none are `<any>`.
pub fn entries_text(bytes: &[u8]) -> String {
    let (mut b, mut all) = (Bytes::new(bytes), Vec::new());
    while let Ok(header) = OxmHeader::read(&mut b)
        && let Ok(body) = b.take(header.len)
    {
        let suffix = if header.masked { "_W" } else { "" };
        let mut text = match name(&header) {
            Some(name) => format!("{name}{suffix}("),
            None => format!("{}:{}{suffix}(", header.class, header.field),
        };
        let (value, mask) = body.split_at(if header.masked { body.len() / 2 } else { body.len() });
        hex(&mut text, value);
        if header.masked {
            text.push('/');
            hex(&mut text, mask);
        }
        all.push(text + ")");
    }
    if all.is_empty() { ANY.to_owned() } else { all.join(", ") }
}

fn digits(text: &str) -> Result<Vec<u8>> {
    let all: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    match all.as_deref().map(<[u32]>::as_chunks::<2>) {
        Some((pairs, [])) => Ok(pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect()),
        _ => bail!("{text}: hex digits expected"),
    }
}

/// Reads entries, which commas and spaces are between.
pub fn parse_entries(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.trim_matches([',', ' ', '\t']);
    if rest == ANY {
        return Ok(out);
    }
    while !rest.is_empty() {
        let Some((entry, tail)) = rest.split_once(')') else { bail!("{rest}: missing ) at end of an entry") };
        let Some((name, value)) = entry.split_once('(') else { bail!("{entry}: missing ( following field name") };
        entry_bytes(&mut out, name, value)?;
        rest = tail.trim_start_matches([',', ' ', '\t']);
    }
    Ok(out)
}

fn entry_bytes(out: &mut Vec<u8>, name: &str, text: &str) -> Result<()> {
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (digits(value)?, Some(digits(mask)?)),
        None => (digits(text)?, None),
    };
    if mask.as_ref().is_some_and(|m| m.len() != value.len()) {
        bail!("{text}: mask of another length than the value");
    }
    let (plain, masked) = name.strip_suffix("_W").map_or((name, false), |plain| (plain, true));
    let point = by_nxm_name(plain).and_then(|id| id.row().oxm.iter().find(|o| o.name == plain));
    match point.or((plain == COOKIE.name).then_some(&COOKIE)) {
        Some(_) if masked != mask.is_some() => bail!("{name}({text}): a mask goes with _W"),
        Some(o) => {
            let head = if o.class == EXPERIMENTER { 4 } else { 0 };
            out.u16(o.class);
            out.u8(o.field << 1 | u8::from(masked));
            out.u8((head + value.len() + mask.as_ref().map_or(0, Vec::len)) as u8);
            if o.class == EXPERIMENTER {
                out.u32(o.experimenter);
            }
        }
        None => match digits(name) {
            Ok(header) if matches!(header.len(), 4 | 8) => out.bytes(&header),
            _ => bail!("{name}: unknown field"),
        },
    }
    out.bytes(&value);
    out.bytes(&mask.unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_their_text_says() {
        for text in [
            "NXM_OF_IN_PORT(fffe), NXM_OF_ETH_DST_W(010000000000/010000000000)",
            "NXM_NX_COOKIE(84200000abcdef01), NXM_NX_COOKIE_W(0000000000000001/00000000000000ff)",
            "OXM_OF_ETH_TYPE(0800), OXM_OF_IP_PROTO(06), ONFOXM_ET_TCP_FLAGS(0fff)",
            "NXOXM_ET_ERSPAN_IDX_W(01020304/0fffffff)",
            "<any>",
        ] {
            assert_eq!(entries_text(&parse_entries(text).unwrap()), text);
        }
        let unknown = parse_entries("01020304(1111/3333) ffff020800002320(11112222)").unwrap();
        assert_eq!(unknown, digits("0102030411113333ffff02080000232011112222").unwrap());
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for text in [
            "NXM_OF_IN_PORT",
            "NXM_OF_IN_PORT(1",
            "NXM_OF_IN_PORT(1)",
            "NXM_OF_IN_PORT(0001/ffff)",
            "X(01)",
            "0102(01)",
        ] {
            assert!(parse_entries(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_that_end_early_are_told_as_far_as_they_go() {
        assert_eq!(entries_text(&[0, 0, 0, 2, 0, 1, 0, 0, 2]), "NXM_OF_IN_PORT(0001)");
    }
}
