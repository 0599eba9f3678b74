//! Connection tracking: `ct`, `nat`, `ct_clear`.

use super::read::Place;
use super::{Action, Printer, Reader};
use crate::subfield::{FieldId, Subfield};
use crate::text::error::{Result, bail};
use crate::text::names::{parse_table, table_text};
use crate::text::scan::{Item, Items};
use crate::text::{field, number};
use crate::types::TableId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which zone: a number or a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtZone {
    Number(u16),
    Field(Subfield),
}

/// Sends the packet through the connection tracker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ct {
    pub commit: bool,
    /// With `commit`: a connection whose original direction is the other way is replaced.
    pub force: bool,
    pub zone: CtZone,
    /// Where the tracked copy goes on; `None`: nowhere, the packet itself goes on untracked.
    pub table: Option<TableId>,
    /// The application helper by its control port: 21 is ftp, 69 is tftp, 0 is none.
    pub alg: u16,
    pub nat: Option<Nat>,
    /// What `exec(...)` has: sets of ct_mark and ct_label.
    pub exec: Vec<Action>,
}

/// Which address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// Only what an existing connection says.
    Existing,
    Source,
    Destination,
}

/// Network address translation inside [`Ct`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    pub kind: NatKind,
    pub range: NatRange,
    pub persistent: bool,
    /// The port is a hash of the addresses.
    pub hash: bool,
    /// The port is random.
    pub random: bool,
}

/// Addresses and ports to choose from, both ends included. Either may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NatRange {
    pub addrs: Option<(IpAddr, IpAddr)>,
    pub ports: Option<(u16, u16)>,
}

/// Application helpers by control port.
const ALGS: [(&str, u16); 2] = [("ftp", 21), ("tftp", 69)];

pub(super) fn parse(name: &str, item: &Item, cx: &Reader) -> Option<Result<Action>> {
    Some(match name {
        "ct" => ct(item.value, cx),
        "ct_clear" => Ok(Action::CtClear),
        _ => return None,
    })
}

fn ct(arg: &str, cx: &Reader) -> Result<Action> {
    let exec = Vec::new();
    let mut ct = Ct { commit: false, force: false, zone: CtZone::Number(0), table: None, alg: 0, nat: None, exec };
    for part in Items::new(arg) {
        match part.key {
            "commit" => ct.commit = true,
            "force" => ct.force = true,
            "table" => match parse_table(part.value, cx.names) {
                Some(TableId(TableId::ALL)) => bail!("invalid table {:#x}", TableId::ALL),
                Some(table) => ct.table = Some(table),
                None => bail!("unknown table {}", part.value),
            },
            "zone" => {
                ct.zone = match number::u16_named(part.value, "zone") {
                    Ok(zone) => CtZone::Number(zone),
                    Err(_) => CtZone::Field(field::parse(part.value)?),
                };
            }
            "alg" => match ALGS.iter().find(|(n, _)| *n == part.value) {
                Some((_, port)) => ct.alg = *port,
                None => bail!("invalid conntrack helper \"{}\"", part.value),
            },
            "nat" => ct.nat = Some(nat(part.value)?),
            "exec" => ct.exec = cx.nested(part.value, Place::Ct)?,
            _ => bail!("invalid argument to \"ct\" action: `{}'", part.whole),
        }
    }
    if ct.force && !ct.commit {
        bail!("\"force\" flag requires \"commit\" flag.");
    }
    Ok(Action::Ct(Box::new(ct)))
}

/// `exec` may set the connection's mark and label, and nothing else.
pub(super) fn check_exec(actions: &[Action]) -> Result<()> {
    for a in actions {
        let field = match a {
            Action::SetField(s) => s.field,
            Action::Move { dst, .. } => dst.field,
            other => bail!("ct action doesn't support nested action {}", other.name()),
        };
        if !matches!(field, FieldId::CtMark | FieldId::CtLabel) {
            bail!("ct action doesn't support nested modification of {}", field.row().name);
        }
    }
    Ok(())
}

fn nat(arg: &str) -> Result<Nat> {
    let range = NatRange::default();
    let mut nat = Nat { kind: NatKind::Existing, range, persistent: false, hash: false, random: false };
    for part in Items::new(arg) {
        match part.key {
            "src" | "dst" => {
                if nat.kind != NatKind::Existing {
                    bail!("May only specify one of \"src\" or \"dst\".");
                }
                nat.kind = if part.key == "src" { NatKind::Source } else { NatKind::Destination };
                if !part.value.is_empty() {
                    nat.range = nat_range(part.value)?;
                }
            }
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            key => bail!("invalid key \"{key}\" in \"nat\" argument"),
        }
    }
    if nat.kind == NatKind::Existing && (nat.persistent || nat.hash || nat.random) {
        bail!("Flags allowed only with \"src\" or \"dst\".");
    }
    if nat.hash && nat.random {
        bail!("Both \"hash\" and \"random\" are not allowed.");
    }
    Ok(nat)
}

/// An address that `text` begins with: IPv4, or IPv6, in brackets when a port may follow.
fn address(text: &str) -> Option<(IpAddr, &str)> {
    if let Some(inside) = text.strip_prefix('[') {
        let (addr, rest) = inside.split_once(']')?;
        return Some((addr.parse::<Ipv6Addr>().ok()?.into(), rest));
    }
    let v4 = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (addr, rest) = text.split_at(v4);
    if let Ok(addr) = addr.parse::<Ipv4Addr>() {
        return Some((addr.into(), rest));
    }
    let v6 = text.find(|c: char| !(c.is_ascii_hexdigit() || c == ':' || c == '.')).unwrap_or(text.len());
    let (addr, rest) = text.split_at(v6);
    Some((addr.parse::<Ipv6Addr>().ok()?.into(), rest))
}

fn port_number(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

fn nat_range(text: &str) -> Result<NatRange> {
    let mut range = NatRange::default();
    let mut rest = text;
    if let Some((first, after)) = address(text) {
        rest = after;
        let mut last = first;
        if let Some(after) = rest.strip_prefix('-') {
            let Some((addr, after)) = address(after).filter(|(a, _)| a.is_ipv4() == first.is_ipv4() && *a >= first)
            else {
                bail!("invalid nat range \"{text}\"");
            };
            (last, rest) = (addr, after);
        }
        range.addrs = Some((first, last));
    }
    if let Some((first, after)) = rest.strip_prefix(':').and_then(port_number) {
        rest = after;
        let mut last = first;
        if let Some(after) = rest.strip_prefix('-') {
            let Some((port, after)) = port_number(after).filter(|(p, _)| *p >= first) else {
                bail!("invalid nat range \"{text}\"");
            };
            (last, rest) = (port, after);
        }
        // Port 0 means that ports are as they come, and ports without an address mean nothing.
        range.ports = (last != 0 && range.addrs.is_some()).then_some((first, last));
    }
    if !rest.is_empty() {
        bail!("garbage ({rest}) after nat range \"{text}\" (pos: {})", text.len() - rest.len());
    }
    Ok(range)
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    match action {
        Action::Ct(ct) => Some(ct_text(ct, p)),
        _ => None,
    }
}

fn ct_text(ct: &Ct, p: &Printer) -> String {
    let mut parts = Vec::new();
    if ct.commit {
        parts.push("commit".to_owned());
    }
    if ct.force {
        parts.push("force".to_owned());
    }
    if let Some(table) = ct.table {
        parts.push(format!("table={}", table_text(table, p.names)));
    }
    match ct.zone {
        CtZone::Number(0) => {}
        CtZone::Number(zone) => parts.push(format!("zone={zone}")),
        CtZone::Field(src) => parts.push(format!("zone={}", field::text(src))),
    }
    parts.extend(ct.nat.as_ref().map(nat_text));
    if !ct.exec.is_empty() {
        parts.push(format!("exec({})", p.list(&ct.exec)));
    }
    match ALGS.iter().find(|(_, port)| *port == ct.alg) {
        Some((name, _)) => parts.push(format!("alg={name}")),
        None if ct.alg != 0 => parts.push(format!("alg={}", ct.alg)),
        None => {}
    }
    format!("ct({})", parts.join(","))
}

fn nat_text(nat: &Nat) -> String {
    let kind = match nat.kind {
        NatKind::Existing => return "nat".to_owned(),
        NatKind::Source => "src",
        NatKind::Destination => "dst",
    };
    let mut text = format!("nat({kind}");
    if let Some((first, last)) = nat.range.addrs {
        let one = |a: IpAddr| match (a, nat.range.ports) {
            (IpAddr::V6(a), Some(_)) => format!("[{a}]"),
            (a, _) => a.to_string(),
        };
        text += &format!("={}", one(first));
        if first != last {
            text += &format!("-{}", one(last));
        }
        if let Some((first, last)) = nat.range.ports {
            text += &format!(":{first}");
            if first != last {
                text += &format!("-{last}");
            }
        }
    }
    for (flag, name) in [(nat.persistent, ",persistent"), (nat.hash, ",hash"), (nat.random, ",random")] {
        text += if flag { name } else { "" };
    }
    text + ")"
}
