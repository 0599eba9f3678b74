//! Values of fields as `set_field`, `learn` and a group's `fields` read and print them (ovs-fields(7), "Format").

use super::error::{Result, bail};
use super::names::{ForFlow, PortNames, port_text};
use super::number::hex;
use crate::types::OfPort;
use flow::fields::value::port_to_11;
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

/// An Ethernet address alone.
pub fn parse_mac(text: &str) -> Option<u64> {
    flow::text::value::mac(text).map(|n| n as u64)
}

/// `xx:xx:xx:xx:xx:xx`.
pub fn mac_text(value: u128) -> String {
    let bytes = (value as u64).to_be_bytes();
    bytes.iter().skip(2).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// Reads `value` or `value/mask` of `field`. Bits of the value outside the mask are dropped.
pub fn parse(text: &str, field: &Field, names: &dyn PortNames) -> Result<(u128, u128)> {
    // What is empty means a wildcard in a match, and nothing here.
    if text.is_empty() && matches!(field.format, Format::Decimal | Format::Hex) {
        bail!("{text}: bad syntax for {} value", field.name);
    }
    // Of a tunnel option's up to 124 bytes the lowest 16 can be told here.
    if field.kind == Kind::TunMetadata && text.len() > 2 + 2 * size_of::<u128>() {
        bail!("{text}: values of more than 16 bytes are not supported for field {}", field.name);
    }
    let (value, mask) = flow::text::value::parse(field, text, &ForFlow(names))?;
    if field.masking == Masking::Exact && mask != field.full_mask() && mask != 0 {
        bail!("{text}: invalid mask for field {}", field.name);
    }
    if !field.is_valid(value) {
        bail!("{text} is not a valid value for field {}", field.name);
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
