//! Generic headers: `encap` and `decap`.

use super::{Action, Printer, Reader};
use crate::text::error::{Result, bail};
use crate::text::number;
use crate::text::scan::{Item, Items};

/// Adds a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encap {
    /// Packet type of the new header: name space in the upper 16 bits, 0 is Ethernet, 0x1894f is NSH, 0x18847 MPLS.
    pub packet_type: u32,
    pub properties: Vec<EncapProperty>,
}

/// What the new header has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EncapProperty {
    NshMdType(u8),
    NshTlv { class: u16, kind: u8, data: Vec<u8> },
}

/// Removes the outermost header; `packet_type` is what the packet is then, `None`: what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decap {
    pub packet_type: Option<u32>,
}

/// Headers and their packet types (name space 1 is Ethertypes).
const HEADERS: [(&str, u32); 4] = [("ethernet", 0), ("nsh", NSH), ("mpls", 0x1_8847), ("mpls_mc", 0x1_8848)];
const NSH: u32 = 0x1_894f;

pub(super) fn parse(name: &str, item: &Item, _: &Reader) -> Option<Result<Action>> {
    Some(match name {
        "encap" => encap(item.value),
        "decap" => decap(item.value),
        _ => return None,
    })
}

fn encap(arg: &str) -> Result<Action> {
    let Some(header) = Items::new(arg).next() else {
        bail!("Missing encap hdr: {arg}");
    };
    let Some((_, packet_type)) = HEADERS.iter().find(|(n, _)| *n == header.key) else {
        bail!("Encap hdr not supported: {}", header.key);
    };
    let mut properties = Vec::new();
    for part in Items::new(header.value) {
        match (part.key, *packet_type) {
            ("md_type", NSH) => match part.value {
                "1" => properties.push(EncapProperty::NshMdType(1)),
                "2" => properties.push(EncapProperty::NshMdType(2)),
                _ => bail!("invalid md_type"),
            },
            ("tlv", NSH) => properties.push(tlv(part.value)?),
            (key, _) => bail!("Invalid property: {key}"),
        }
    }
    Ok(Action::Encap(Box::new(Encap { packet_type: *packet_type, properties })))
}

fn tlv(arg: &str) -> Result<EncapProperty> {
    let mut parts = arg.splitn(3, ',');
    let (Some(class), Some(kind), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("Invalid NSH TLV header: {arg}");
    };
    let class = number::u16_named(class, "tlv class")?;
    let kind = number::u8_named(kind, "tlv type")?;
    match data.strip_prefix("0x").and_then(number::hex_bytes) {
        // One byte of an NSH TLV's length is its own header's; 127 four-byte units would not fit anyway (RFC 8300).
        Some(data) if data.len() <= 124 => Ok(EncapProperty::NshTlv { class, kind, data }),
        _ => bail!("Invalid NSH TLV data: {data}"),
    }
}

fn decap(arg: &str) -> Result<Action> {
    let mut packet_type = None;
    for part in Items::new(arg) {
        if part.key != "packet_type" {
            bail!("Invalid decap argument: {}", part.key);
        }
        let (mut ns, mut kind) = (0, 0);
        for half in Items::new(part.value) {
            match half.key {
                "ns" => ns = number::u16_named(half.value, "packet_type namespace")?,
                "type" => kind = number::u16_named(half.value, "packet_type type")?,
                key => bail!("Invalid decap packet_type argument: {key}"),
            }
        }
        packet_type = Some(u32::from(ns) << 16 | u32::from(kind));
    }
    Ok(Action::Decap(Decap { packet_type }))
}

pub(super) fn format(action: &Action, _: &Printer) -> Option<String> {
    match action {
        Action::Encap(e) => Some(encap_text(e)),
        Action::Decap(Decap { packet_type: None }) => Some("decap()".to_owned()),
        Action::Decap(Decap { packet_type: Some(t) }) => {
            Some(format!("decap(packet_type(ns={},type={}))", t >> 16, number::hex(t & 0xffff)))
        }
        _ => None,
    }
}

fn encap_text(e: &Encap) -> String {
    let header = HEADERS.iter().find(|(_, t)| *t == e.packet_type).map_or("?", |(n, _)| n);
    let property = |p: &EncapProperty| match p {
        EncapProperty::NshMdType(n) => format!("md_type={n}"),
        EncapProperty::NshTlv { class, kind, data } => {
            let data = data.iter().map(|b| format!("{b:02x}")).collect::<String>();
            format!("tlv({class:#06x},{kind},0x{data})")
        }
    };
    match e.properties.as_slice() {
        [] => format!("encap({header})"),
        some => format!("encap({header}({}))", some.iter().map(property).collect::<Vec<_>>().join(",")),
    }
}
