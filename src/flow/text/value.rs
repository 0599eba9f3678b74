//! Reading a field's value, with a mask where one is given, in the field's own format (ovs-fields(7), "Format").
#![deny(clippy::indexing_slicing)]

use std::net::{Ipv4Addr, Ipv6Addr};

use super::number::{self, Bad};
use super::{Names, ParseError, error, parse_port};
use crate::fields::value::port_to_11;
use crate::fields::{Field, Format};

/// Names of the bits of tcp_flags, lowest first (RFC 9293 and before it RFC 3540).
pub const TCP_FLAGS: &[(&str, u32)] = &[
    ("fin", 0x001),
    ("syn", 0x002),
    ("rst", 0x004),
    ("psh", 0x008),
    ("ack", 0x010),
    ("urg", 0x020),
    ("ece", 0x040),
    ("cwr", 0x080),
    ("ns", 0x100),
];

/// Names of the bits of ct_state, lowest first.
pub const CT_STATE: &[(&str, u32)] = &[
    ("new", 0x01),
    ("est", 0x02),
    ("rel", 0x04),
    ("rpl", 0x08),
    ("inv", 0x10),
    ("trk", 0x20),
    ("snat", 0x40),
    ("dnat", 0x80),
];

/// Names of the bits of tun_flags; only the first may be asked for in OpenFlow.
pub const TUN_FLAGS: &[(&str, u32)] = &[("oam", 0x1), ("df", 0x2), ("csum", 0x4), ("key", 0x8)];

/// Names of fragment kinds with value and mask of nw_frag.
pub const FRAGS: &[(&str, u8, u8)] =
    &[("no", 0, 3), ("yes", 1, 1), ("first", 1, 3), ("later", 3, 3), ("not_later", 0, 2)];

/// Reads `text` as a value of `field` and the bits of it that count. A field of more than 128 bits is not for this
/// function (see [`wide`]).
pub fn parse(field: &Field, text: &str, names: &dyn Names) -> Result<(u128, u128), ParseError> {
    let text = if text.is_empty() { "0/0" } else { text };
    let full = field.full_mask();
    match field.format {
        Format::Decimal | Format::Hex => {
            let (value, mask) = integers(field, text)?;
            let mask = match mask {
                None => full,
                Some(m) if m & full != 0 && m & full != full && field.masking == crate::fields::Masking::Exact => {
                    return error(format!("{text}: invalid mask for field {}", field.name));
                }
                Some(m) if m == all_ones(field) => full,
                Some(m) if m != 0 && field.masking == crate::fields::Masking::Exact => {
                    return error(format!("{text}: invalid mask for field {}", field.name));
                }
                Some(m) => m,
            };
            Ok((value, mask))
        }
        Format::Ethernet => {
            let bad = || ParseError(format!("{text}: invalid Ethernet address"));
            let (value, mask) = split(text);
            Ok((mac(value).ok_or_else(bad)?, mask.map_or(Some(full), mac).ok_or_else(bad)?))
        }
        Format::Ipv4 => {
            let (value, mask) = split(text);
            let address = ipv4(value).ok_or_else(|| ParseError(format!("{text}: invalid IP address")))?;
            let mask = match mask {
                None => u32::MAX,
                Some(m) => match (ipv4(m), m.parse::<i64>()) {
                    (Some(mask), _) => mask,
                    (None, Ok(bits @ 0..=32)) => (!0u64 << (32 - bits)) as u32,
                    (None, Ok(_)) => {
                        return error(format!("{text}: IPv4 network prefix bits not between 0 and 32, inclusive"));
                    }
                    (None, Err(_)) => return error(format!("{text}: invalid IP address")),
                },
            };
            Ok((u128::from(address), u128::from(mask)))
        }
        Format::Ipv6 => {
            let (value, mask) = split(text);
            let ipv6 = |t: &str| t.parse::<Ipv6Addr>().ok().map(|a| a.to_bits());
            let address = ipv6(value).ok_or_else(|| ParseError(format!("{text}: invalid IPv6 address")))?;
            let mask = match mask {
                None => u128::MAX,
                Some(m) => match (ipv6(m), m.parse::<i64>()) {
                    (Some(mask), _) => mask,
                    (None, Ok(0)) => 0,
                    (None, Ok(bits @ 1..=128)) => !0u128 << (128 - bits),
                    (None, Ok(_)) => {
                        return error(format!("{text}: IPv6 network prefix bits not between 0 and 128, inclusive"));
                    }
                    (None, Err(_)) => return error(format!("{text}: invalid IPv6 address")),
                },
            };
            Ok((address, mask))
        }
        Format::Port10 => match parse_port(text, names) {
            Some(port) => Ok((u128::from(port), full)),
            None => error(format!("{text}: invalid or unknown port for {}", field.name)),
        },
        Format::Port11 => match parse_port(text, names) {
            Some(port) => Ok((u128::from(port_to_11(port)), full)),
            None => error(format!("{text}: port value out of range for {}", field.name)),
        },
        Format::Frag => match FRAGS.iter().find(|(name, ..)| *name == text) {
            Some((_, value, mask)) => Ok((u128::from(*value), u128::from(*mask))),
            None => error(format!(
                "{text}: unknown fragment type (valid types are \"no\", \"yes\", \"first\", \"later\", \"not_later\""
            )),
        },
        Format::TcpFlags => flags(text, TCP_FLAGS, 0xfff, "TCP"),
        Format::CtState => flags(text, CT_STATE, 0xff, "ct_state"),
        Format::TunnelFlags => flags(text, TUN_FLAGS.get(..1).unwrap_or(&[]), 1, "tunnel"),
        Format::PacketType => packet_type(text),
    }
}

/// Reads `text` as a value of a tunnel option of `bytes` bytes and its mask.
pub fn wide(field: &Field, text: &str, bytes: usize) -> Result<(Vec<u8>, Vec<u8>), ParseError> {
    let (value, mask) = split(text);
    let number = |t: &str, what| {
        number::wide(t, bytes).map_err(|bad| match bad {
            Bad::TooLarge => ParseError(format!("{text}: value too large for {bytes}-byte field {}", field.name)),
            Bad::Syntax => ParseError(format!("{text}: bad syntax for {} {what}", field.name)),
        })
    };
    Ok((number(value, "value")?, mask.map_or_else(|| Ok(vec![0xff; bytes]), |m| number(m, "mask"))?))
}

fn all_ones(field: &Field) -> u128 {
    if field.bytes >= 16 { u128::MAX } else { (1 << (8 * field.bytes)) - 1 }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((value, mask)) => (value, Some(mask)),
        None => (text, None),
    }
}

fn integers(field: &Field, text: &str) -> Result<(u128, Option<u128>), ParseError> {
    let (value, mask) = split(text);
    let number = |t: &str, what| {
        number::u128(t, usize::from(field.bytes)).map_err(|bad| match bad {
            Bad::TooLarge => {
                ParseError(format!("{text}: value too large for {}-byte field {}", field.bytes, field.name))
            }
            Bad::Syntax => ParseError(format!("{text}: bad syntax for {} {what}", field.name)),
        })
    };
    Ok((number(value, "value")?, mask.map(|m| number(m, "mask")).transpose()?))
}

/// An Ethernet address: six groups of hexadecimal digits.
pub fn mac(text: &str) -> Option<u128> {
    let mut groups = 0;
    let mut address = 0;
    for group in text.split(':') {
        if group.is_empty() || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        address = address << 8 | u128::from(u64::from_str_radix(group, 16).ok().filter(|n| *n < 256)?);
        groups += 1;
        if groups > 6 {
            return None;
        }
    }
    (groups == 6).then_some(address)
}

/// Four decimal numbers below 256. Unlike the standard library, leading zeros are allowed.
fn ipv4(text: &str) -> Option<u32> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).to_bits())
}

/// Flags in one of three forms: `+set-clear`, `one|two` (all others clear), `value/mask` in numbers.
fn flags(text: &str, table: &[(&str, u32)], allowed: u32, what: &str) -> Result<(u128, u128), ParseError> {
    let unknown = |t: &str| ParseError(format!("{t}: unknown {what} flag(s)"));
    let one = |name: &str| -> Option<u32> {
        let bits = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => table.iter().find(|(n, _)| *n == name).map(|(_, bit)| *bit),
        };
        bits.filter(|b| b & !allowed == 0 && *b != 0)
    };
    if text.starts_with(['+', '-']) {
        let (mut value, mut mask) = (0, 0);
        let mut rest = text;
        while let Some(sign) = rest.bytes().next() {
            let tail = rest.get(1..).unwrap_or("");
            let end = tail.find(['+', '-']).unwrap_or(tail.len());
            let (name, next) = tail.split_at_checked(end).unwrap_or((tail, ""));
            let bit = one(name).ok_or_else(|| unknown(name))?;
            if mask & bit != 0 {
                return error(format!("{name}: Each {what} flag can be specified only once"));
            }
            mask |= bit;
            value |= if sign == b'+' { bit } else { 0 };
            rest = next;
        }
        return Ok((u128::from(value), u128::from(mask)));
    }
    let (value, mask) = split(text);
    if let Ok(n) = number::u64(value) {
        let mask = match mask {
            None => u64::from(allowed),
            Some(m) => number::u64(m).map_err(|_| unknown(text))?,
        };
        if (n | mask) & !u64::from(allowed) != 0 {
            return Err(unknown(text));
        }
        return Ok((u128::from(n), u128::from(mask)));
    }
    let bits = text.split('|').try_fold(0, |bits, name| one(name).map(|bit| bits | bit));
    Ok((u128::from(bits.ok_or_else(|| unknown(text))?), u128::from(allowed)))
}

/// `(name space,type)`.
fn packet_type(text: &str) -> Result<(u128, u128), ParseError> {
    let bad = |why: &str| ParseError(format!("{text}: bad syntax for packet type {why}"));
    let inner = text.strip_prefix('(').ok_or_else(|| bad("missing '('"))?;
    let inner = inner.strip_suffix(')').ok_or_else(|| bad("missing ')'"))?;
    let (ns, kind) = inner.split_once(',').ok_or_else(|| bad("missing ','"))?;
    let ns = number::u64(ns.trim()).ok().and_then(|n| u16::try_from(n).ok()).ok_or_else(|| bad("ns"))?;
    let kind = number::u64(kind.trim()).ok().and_then(|n| u16::try_from(n).ok()).ok_or_else(|| bad("ns_type"))?;
    Ok((u128::from(ns) << 16 | u128::from(kind), 0xffff_ffff))
}
