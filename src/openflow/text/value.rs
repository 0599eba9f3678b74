//! Values of fields as `set_field`, `learn` and a group's `fields` read and print them (ovs-fields(7), "Format").

use super::error::{Result, bail};
use super::names::{PortNames, parse_port, port_text};
use super::number::{hex, prefix};
use crate::types::OfPort;
use flow::fields::value::{port_from_11, port_to_11};
use flow::fields::{Field, Format, Kind, Masking};
use std::net::{Ipv4Addr, Ipv6Addr};

/// OAM, the only flag of a tunnel that has a name.
const TUN_OAM: u128 = 1;

/// A mask of the upper `n` of `width` bits.
fn prefix_mask(width: u32, n: u32) -> u128 {
    let all = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
    all & !(if n >= width {
        0
    } else if width - n >= 128 {
        u128::MAX
    } else {
        (1 << (width - n)) - 1
    })
}

/// How many bits a mask has when they are its upper ones.
fn prefix_len(width: u32, mask: u128) -> Option<u32> {
    let n = mask.count_ones();
    (mask == prefix_mask(width, n)).then_some(n)
}

/// An Ethernet address that `text` begins with, and what follows.
fn mac(text: &str) -> Option<(u128, &str)> {
    let (mut rest, mut value) = (text, 0);
    for i in 0..6 {
        rest = if i == 0 { rest } else { rest.strip_prefix(':')? };
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len()).min(2);
        let (digits, after) = rest.split_at(end);
        value = value << 8 | u128::from(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some((value, rest))
}

/// An Ethernet address alone.
pub fn parse_mac(text: &str) -> Option<u64> {
    mac(text).filter(|(_, rest)| rest.is_empty()).map(|(n, _)| n as u64)
}

/// `xx:xx:xx:xx:xx:xx`.
pub fn mac_text(value: u128) -> String {
    let bytes = (value as u64).to_be_bytes();
    bytes.iter().skip(2).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

fn integer(text: &str, field: &Field, full: u128) -> Result<(u128, u128)> {
    let Some((value, rest)) = prefix(text) else {
        bail!("{text}: bad syntax for {} value", field.name);
    };
    let max = if field.bytes >= 16 { u128::MAX } else { (1 << (8 * u32::from(field.bytes))) - 1 };
    if value > max {
        bail!("{text}: value too large for {}-byte field {}", field.bytes, field.name);
    }
    let mask = match rest.strip_prefix('/') {
        None if rest.is_empty() => return Ok((value, full)),
        None => bail!("{text}: bad syntax for {} value", field.name),
        Some(mask) => mask,
    };
    match prefix(mask.strip_prefix('-').unwrap_or(mask)) {
        Some((_, "")) if mask.starts_with('-') => {
            bail!("{text}: mask too large for {}-byte field {}", field.bytes, field.name)
        }
        Some((mask, "")) if mask > max => {
            bail!("{text}: mask too large for {}-byte field {}", field.bytes, field.name)
        }
        // All the bits that the field has on the wire are as good as those that it has.
        Some((mask, "")) => Ok((value, if mask == max { full } else { mask })),
        _ => bail!("{text}: bad syntax for {} mask", field.name),
    }
}

fn ethernet(text: &str, full: u128) -> Result<(u128, u128)> {
    match mac(text) {
        Some((value, "")) => return Ok((value, full)),
        Some((value, rest)) => {
            if let Some((mask, "")) = rest.strip_prefix('/').and_then(mac) {
                return Ok((value, mask));
            }
        }
        None => {}
    }
    bail!("{text}: invalid Ethernet address")
}

fn ipv4(text: &str, full: u128) -> Result<(u128, u128)> {
    let (addr, mask) = text.split_once('/').map_or((text, None), |(a, m)| (a, Some(m)));
    let Ok(addr) = addr.parse::<Ipv4Addr>() else {
        bail!("{text}: invalid IP address");
    };
    let value = u128::from(u32::from(addr));
    let Some(mask) = mask else {
        return Ok((value, full));
    };
    if let Ok(mask) = mask.parse::<Ipv4Addr>() {
        return Ok((value, u128::from(u32::from(mask))));
    }
    match mask.parse::<u32>() {
        Ok(n) if n <= 32 => Ok((value, prefix_mask(32, n))),
        Ok(_) => bail!("{text}: IPv4 network prefix bits not between 0 and 32, inclusive"),
        Err(_) => bail!("{text}: invalid IP address"),
    }
}

fn ipv6(text: &str, full: u128) -> Result<(u128, u128)> {
    let (addr, mask) = text.split_once('/').map_or((text, None), |(a, m)| (a, Some(m)));
    let Ok(addr) = addr.parse::<Ipv6Addr>() else {
        bail!("{text}: invalid IPv6 address");
    };
    let Some(mask) = mask else {
        return Ok((addr.into(), full));
    };
    if let Ok(mask) = mask.parse::<Ipv6Addr>() {
        return Ok((addr.into(), mask.into()));
    }
    match mask.parse::<u32>() {
        Ok(n) if n <= 128 => Ok((addr.into(), prefix_mask(128, n))),
        Ok(_) => bail!("{text}: IPv6 network prefix bits not between 0 and 128, inclusive"),
        Err(_) => bail!("{text}: invalid IPv6 address"),
    }
}

fn tunnel_flags(text: &str, full: u128) -> Result<(u128, u128)> {
    match text {
        "oam" | "+oam" | "1" | "0x1" => Ok((TUN_OAM, full)),
        "-oam" | "0" => Ok((0, full)),
        _ => bail!("{text}: unknown tunnel flag(s)"),
    }
}

fn packet_type(text: &str, full: u128) -> Option<(u128, u128)> {
    let (ns, kind) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let (ns, kind) = (super::number::whole(ns)?, super::number::whole(kind)?);
    (ns <= 0xffff && kind <= 0xffff).then_some((ns << 16 | kind, full))
}

/// Reads `value` or `value/mask` of `field`. Bits of the value outside the mask are dropped.
pub fn parse(text: &str, field: &Field, names: &dyn PortNames) -> Result<(u128, u128)> {
    let full = field.full_mask();
    let (value, mask) = match field.format {
        Format::Ethernet => ethernet(text, full)?,
        Format::Ipv4 => ipv4(text, full)?,
        Format::Ipv6 => ipv6(text, full)?,
        Format::TunnelFlags => tunnel_flags(text, full)?,
        Format::Port10 | Format::Port11 => {
            let Some(port) = parse_port(text, names) else {
                bail!("{text}: invalid or unknown port for {}", field.name);
            };
            let narrow = || port_from_11(port.0).map(u128::from);
            let number = if field.kind == Kind::WidePort { Some(u128::from(port.0)) } else { narrow() };
            match number {
                Some(n) => (n, full),
                None => bail!("{text}: invalid or unknown port for {}", field.name),
            }
        }
        Format::PacketType => match packet_type(text, full) {
            Some(both) => both,
            None => bail!("{text}: bad syntax for {} value", field.name),
        },
        Format::Decimal | Format::Hex | Format::Frag | Format::TcpFlags | Format::CtState => {
            integer(text, field, full)?
        }
    };
    if field.masking == Masking::Exact && mask != full && mask != 0 {
        bail!("{text}: invalid mask for field {}", field.name);
    }
    Ok((value & mask, mask))
}

/// The text of `value` under `mask` of `field`.
pub fn text(value: u128, mask: u128, field: &Field, names: &dyn PortNames) -> String {
    let full = field.full_mask();
    if mask == 0 {
        return "ANY".to_owned();
    }
    let exact = mask & full == full;
    let masked = |v: String, m: String| if exact { v } else { format!("{v}/{m}") };
    match field.format {
        Format::Decimal => masked(value.to_string(), hex(mask)),
        Format::Hex | Format::Frag | Format::TcpFlags | Format::CtState => masked(hex(value), hex(mask)),
        Format::Ethernet => masked(mac_text(value), mac_text(mask)),
        Format::Ipv4 => masked(
            Ipv4Addr::from(value as u32).to_string(),
            prefix_len(32, mask).map_or_else(|| Ipv4Addr::from(mask as u32).to_string(), |n| n.to_string()),
        ),
        Format::Ipv6 => masked(
            Ipv6Addr::from(value).to_string(),
            prefix_len(128, mask).map_or_else(|| Ipv6Addr::from(mask).to_string(), |n| n.to_string()),
        ),
        Format::Port10 => port_text(OfPort(port_to_11(value as u16)), names),
        Format::Port11 => port_text(OfPort(value as u32), names),
        Format::TunnelFlags => (if value & TUN_OAM == 0 { "0" } else { "oam" }).to_owned(),
        Format::PacketType => format!("({},{})", value >> 16, hex(value & 0xffff)),
    }
}
