//! Writing fields: `set_field`, `load`, `mod_*`, `move`, `push`, `pop`.

use super::{Action, Printer, Reader};
use crate::subfield::{FieldId, Subfield, low_bits};
use crate::text::error::{Result, bail};
use crate::text::scan::Item;
use crate::text::{field, number, value};
use flow::Flow;
use flow::fields::Prereq;
use std::net::Ipv4Addr;

/// Which action wrote it down; the effect is the same but for what it asks of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetStyle {
    /// `set_field:value/mask->field`; the match has the field's prerequisites.
    SetField,
    /// `load:value->field[ofs..ofs+n]`; as `set_field`.
    Load,
    /// A `mod_*`; does nothing to a packet that lacks the header. `mod_tp_src` and `mod_tp_dst` have TCP's field and
    /// write UDP's and SCTP's too.
    Mod,
}

/// Writes the bits `mask` of `field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetField {
    pub field: FieldId,
    /// No bit outside `mask`.
    pub value: u128,
    pub mask: u128,
    pub style: SetStyle,
}

impl SetField {
    /// Does the packet have what it writes? What the answer depends on is in [`SetField::prereqs`].
    pub fn applies(&self, flow: &Flow) -> bool {
        self.prereqs().iter().any(|p| p.ok(flow))
    }

    /// The prerequisites of which one must hold.
    pub fn prereqs(&self) -> &'static [Prereq] {
        const TRANSPORT: &[Prereq] = &[Prereq::Tcp, Prereq::Udp, Prereq::Sctp];
        match self.field {
            FieldId::TcpSrc | FieldId::TcpDst if self.style == SetStyle::Mod => TRANSPORT,
            field => std::slice::from_ref(&field.row().prereq),
        }
    }

    /// Writes to `flow`, whatever the packet is.
    pub fn apply(&self, flow: &mut Flow) {
        let row = self.field.row();
        let old = row.get(flow);
        row.set(flow, old & !self.mask | self.value & self.mask);
    }
}

/// `mod_*`: name, field, and how its value is read.
const MODS: [(&str, FieldId, ModKind); 9] = [
    ("mod_dl_src", FieldId::EthSrc, ModKind::Mac),
    ("mod_dl_dst", FieldId::EthDst, ModKind::Mac),
    ("mod_nw_src", FieldId::IpSrc, ModKind::Ip),
    ("mod_nw_dst", FieldId::IpDst, ModKind::Ip),
    ("mod_nw_tos", FieldId::NwTos, ModKind::Byte("TOS")),
    ("mod_nw_ecn", FieldId::NwEcn, ModKind::Byte("ECN")),
    ("mod_nw_ttl", FieldId::NwTtl, ModKind::Byte("TTL")),
    ("mod_tp_src", FieldId::TcpSrc, ModKind::Port("source port")),
    ("mod_tp_dst", FieldId::TcpDst, ModKind::Port("destination port")),
];

#[derive(Clone, Copy)]
enum ModKind {
    Mac,
    Ip,
    Byte(&'static str),
    Port(&'static str),
}

pub(super) fn parse(name: &str, item: &Item, cx: &Reader) -> Option<Result<Action>> {
    // OpenFlow 1.1's names of the same actions.
    let alias = match name {
        "set_nw_ttl" => "mod_nw_ttl",
        "set_nw_ecn" => "mod_nw_ecn",
        name => name,
    };
    if let Some((_, field, kind)) = MODS.iter().find(|(n, ..)| *n == alias) {
        return Some(modify(item.value, *field, *kind));
    }
    Some(match name {
        "set_field" => set_field(item, cx),
        "load" => load(item),
        "move" => parse_move(item.value),
        "push" => field::parse(item.value).map(Action::StackPush),
        "pop" => field::parse(item.value).map(Action::StackPop),
        "set_tunnel" | "set_tunnel64" => number::u64_plain(item.value).map(|id| {
            let wide = name == "set_tunnel64" || id > u64::from(u32::MAX);
            Action::SetTunnel { id, wide }
        }),
        "set_queue" => number::u32_plain(item.value).map(Action::SetQueue),
        "pop_queue" => Ok(Action::PopQueue),
        "delete_field" => match field::by_any_name(item.value.trim_end_matches("[]")) {
            Some(field) => Ok(Action::DeleteField(field)),
            None => Err(crate::text::ParseError::new(format!("unknown field `{}'", item.value))),
        },
        _ => return None,
    })
}

fn modify(arg: &str, field: FieldId, kind: ModKind) -> Result<Action> {
    let value = match kind {
        ModKind::Mac => match value::parse_mac(arg) {
            Some(mac) => u128::from(mac),
            None => bail!("invalid mac address {arg}"),
        },
        ModKind::Ip => match arg.parse::<Ipv4Addr>() {
            Ok(ip) => u128::from(u32::from(ip)),
            Err(_) => bail!("{arg}: could not convert to IP address"),
        },
        ModKind::Byte(what) => {
            let byte = u128::from(number::u8_named(arg, what)?);
            if !field.row().is_valid(byte) {
                bail!("{arg}: not a valid {what}");
            }
            byte
        }
        ModKind::Port(what) => u128::from(number::u16_named(arg, what)?),
    };
    Ok(Action::SetField(SetField { field, value, mask: field.row().full_mask(), style: SetStyle::Mod }))
}

/// The two sides of `->`.
pub(super) fn arrow<'a>(item: &Item<'a>) -> Result<(&'a str, &'a str)> {
    match item.arrow() {
        Some((value, "")) => bail!("{value}->: missing field name following `->'"),
        Some(both) => Ok(both),
        None => bail!("{}: missing `->'", item.value),
    }
}

fn set_field(item: &Item, cx: &Reader) -> Result<Action> {
    let (text, name) = arrow(item)?;
    let Some(field) = flow::fields::by_name(name) else {
        bail!("{name} is not a valid OXM field name");
    };
    let row = field.row();
    if !row.writable {
        bail!("{name} is read-only");
    }
    let (value, mask) = value::parse(text, row, cx.names)?;
    Ok(Action::SetField(SetField { field, value, mask, style: SetStyle::SetField }))
}

/// Reads a literal of `load` and `learn` for `dst`; `whole` is what errors quote.
pub(super) fn literal(text: &str, dst: Subfield, whole: &str) -> Result<u128> {
    let bytes = u32::from(dst.field.row().bytes);
    let Some(value) = number::whole(text).filter(|v| v.checked_shr(8 * bytes).unwrap_or(0) == 0) else {
        let digits = text.strip_prefix("0x").filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()));
        if bytes == 16 && digits.is_some_and(|d| d.trim_start_matches('0').len() > 32) {
            bail!("{whole}: value does not fit into {} bits", dst.n_bits);
        }
        bail!("{whole}: cannot parse integer value");
    };
    if value > low_bits(dst.n_bits) {
        bail!("{whole}: value {text} does not fit into {} bits", dst.n_bits);
    }
    Ok(value)
}

fn load(item: &Item) -> Result<Action> {
    let (text, dst) = arrow(item)?;
    let dst = field::parse(dst)?;
    let value = literal(text, dst, item.value)?;
    let value = value.checked_shl(dst.ofs.into()).unwrap_or(0);
    Ok(Action::SetField(SetField::loaded(dst, value)))
}

/// Reads `src->dst`; the two are as wide as each other.
pub(super) fn parse_move(text: &str) -> Result<Action> {
    let (src, rest) = field::parse_prefix(text)?;
    let Some(dst) = rest.strip_prefix("->") else {
        bail!("{text}: missing `->' following source");
    };
    let dst = field::parse(dst)?;
    if src.n_bits != dst.n_bits {
        bail!("{text}: source field is {} bits wide but destination is {} bits wide", src.n_bits, dst.n_bits);
    }
    Ok(Action::Move { src, dst })
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    Some(match action {
        Action::SetField(s) => set_text(s, p),
        Action::Move { src, dst } => format!("move:{}->{}", field::text(*src), field::text(*dst)),
        Action::StackPush(src) => format!("push:{}", field::text(*src)),
        Action::StackPop(dst) => format!("pop:{}", field::text(*dst)),
        Action::SetTunnel { id, wide } => {
            format!("{}:{}", if *wide { "set_tunnel64" } else { "set_tunnel" }, hexes(*id))
        }
        Action::SetQueue(queue) => format!("set_queue:{queue}"),
        Action::DeleteField(field) => format!("delete_field:{}", field.row().name),
        _ => return None,
    })
}

/// C's `%#x` but that 0 keeps its prefix.
fn hexes(value: u64) -> String {
    format!("{value:#x}")
}

fn set_text(s: &SetField, p: &Printer) -> String {
    let row = s.field.row();
    match s.style {
        SetStyle::SetField => {
            format!("set_field:{}->{}", value::text(s.value, s.mask, row, p.names), row.name)
        }
        SetStyle::Mod => {
            let name = MODS.iter().find(|(_, f, _)| *f == s.field).map_or("set_field", |(n, ..)| n);
            format!("{name}:{}", value::text(s.value, row.full_mask(), row, p.names))
        }
        SetStyle::Load => {
            let dst = s.subfield();
            format!("load:{}->{}", number::hex(s.value.checked_shr(dst.ofs.into()).unwrap_or(0)), field::text(dst))
        }
    }
}

impl SetField {
    /// A `load` of `value`, which is in its place already.
    pub fn loaded(dst: Subfield, value: u128) -> SetField {
        let whole = dst.field == FieldId::ArpOp && dst.is_whole();
        let mask = if whole { dst.field.row().full_mask() } else { dst.mask() };
        SetField { field: dst.field, value: value & mask, mask, style: SetStyle::Load }
    }

    /// The bits from its mask's lowest to its highest: what a `load` writes.
    pub fn subfield(&self) -> Subfield {
        if self.field == FieldId::ArpOp && self.mask == self.field.row().full_mask() {
            return Subfield::whole(self.field);
        }
        let ofs = self.mask.trailing_zeros().min(127) as u16;
        let end = 128 - self.mask.leading_zeros() as u16;
        Subfield { field: self.field, ofs, n_bits: end.saturating_sub(ofs).max(1) }
    }
}
