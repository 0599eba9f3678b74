//! Sending: `output`, `enqueue`, `controller`, `group`.

use super::{Action, Printer, Reader};
use crate::text::error::{Result, bail};
use crate::text::names::parse_port;
use crate::text::scan::{Item, Items};
use crate::text::{field, number};
use crate::types::{GroupId, MeterId, OfPort};

/// Why a controller gets a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PacketInReason {
    NoMatch,
    #[default]
    Action,
    InvalidTtl,
    ActionSet,
    Group,
    PacketOut,
}

const REASONS: [(PacketInReason, &str); 6] = [
    (PacketInReason::NoMatch, "no_match"),
    (PacketInReason::Action, "action"),
    (PacketInReason::InvalidTtl, "invalid_ttl"),
    (PacketInReason::ActionSet, "action_set"),
    (PacketInReason::Group, "group"),
    (PacketInReason::PacketOut, "packet_out"),
];

impl PacketInReason {
    /// Its name in text.
    pub fn name(self) -> &'static str {
        REASONS.iter().find(|(r, _)| *r == self).map_or("", |(_, n)| n)
    }
}

/// The extended action that sends to a controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// Bytes of the packet; 65535 is all.
    pub max_len: u16,
    pub controller_id: u16,
    pub reason: PacketInReason,
    pub userdata: Vec<u8>,
    /// Translation stops and may be resumed by the controller.
    pub pause: bool,
    pub meter: Option<MeterId>,
}

impl Default for Controller {
    fn default() -> Self {
        let userdata = Vec::new();
        Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: PacketInReason::Action,
            userdata,
            pause: false,
            meter: None,
        }
    }
}

/// A packet cannot be cut shorter than an Ethernet header.
const MIN_TRUNCATED: u32 = 14;

pub(super) fn parse(name: &str, item: &Item, cx: &Reader) -> Option<Result<Action>> {
    Some(match name {
        "output" => output(item, cx),
        "controller" => controller(item),
        "enqueue" => enqueue(item, cx),
        "group" => number::u32_plain(item.value).map(|n| Action::Group(GroupId(n))),
        _ => return None,
    })
}

fn output(item: &Item, cx: &Reader) -> Result<Action> {
    let arg = item.value;
    if let Some(port) = parse_port(arg, cx.names) {
        let max_len = if port == OfPort::CONTROLLER { u16::MAX } else { 0 };
        return Ok(Action::Output { port, max_len });
    }
    if arg.contains("port") && arg.contains("max_len") {
        return truncated(arg, cx);
    }
    match field::parse(arg) {
        Ok(src) => Ok(Action::OutputReg { src, max_len: u16::MAX }),
        Err(_) => bail!("{arg}: output to unknown port"),
    }
}

fn truncated(arg: &str, cx: &Reader) -> Result<Action> {
    let (mut port, mut max_len) = (None, None);
    for part in Items::new(arg) {
        match part.key {
            "port" => {
                let Some(p) = parse_port(part.value, cx.names) else {
                    bail!("output to unknown truncate port: {}", part.value);
                };
                if p.reserved_name().is_some() && !matches!(p, OfPort::LOCAL | OfPort::IN_PORT) {
                    bail!("output to unsupported truncate port: {}", part.value);
                }
                port = Some(p);
            }
            "max_len" => max_len = Some(number::u32_plain(part.value)?),
            key => bail!("invalid key '{key}' in output_trunc argument"),
        }
    }
    let (Some(port), Some(max_len)) = (port, max_len) else {
        bail!("{arg}: output needs both port and max_len");
    };
    if max_len < MIN_TRUNCATED {
        bail!("max_len {max_len} is less than the minimum value {MIN_TRUNCATED}");
    }
    Ok(Action::OutputTrunc { port, max_len })
}

fn controller(item: &Item) -> Result<Action> {
    let mut c = Controller::default();
    if item.value.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        let max_len = number::u16_named(item.value, "max_len")?;
        return Ok(Action::Output { port: OfPort::CONTROLLER, max_len });
    }
    for part in Items::new(item.value) {
        match part.key {
            "max_len" => c.max_len = number::u16_named(part.value, "max_len")?,
            "id" => c.controller_id = number::u16_named(part.value, "id")?,
            "reason" => {
                let Some((reason, _)) = REASONS.iter().find(|(_, n)| *n == part.value) else {
                    bail!("unknown reason \"{}\"", part.value);
                };
                c.reason = *reason;
            }
            "userdata" => {
                let Some(bytes) = number::hex_bytes(part.value) else {
                    bail!("bad hex digit in `controller' action `userdata'");
                };
                c.userdata = bytes;
            }
            "pause" => c.pause = true,
            "meter_id" => c.meter = Some(MeterId(number::u32_plain(part.value)?)),
            key => bail!("unknown key \"{key}\" parsing controller action"),
        }
    }
    let plain = Controller { max_len: c.max_len, ..Controller::default() };
    if c == plain {
        return Ok(Action::Output { port: OfPort::CONTROLLER, max_len: c.max_len });
    }
    Ok(Action::Controller(Box::new(c)))
}

fn enqueue(item: &Item, cx: &Reader) -> Result<Action> {
    let Some((port, queue)) = item.value.split_once([':', ',']) else {
        bail!("\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\"");
    };
    let port = cx.port(port, "enqueue")?;
    Ok(Action::Enqueue { port, queue: number::u32_plain(queue)? })
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    Some(match action {
        Action::Output { port: OfPort::CONTROLLER, max_len } => format!("CONTROLLER:{max_len}"),
        Action::Output { port, .. } if port.reserved_name().is_some() => p.port(*port),
        Action::Output { port, .. } => format!("output:{}", p.port(*port)),
        Action::OutputReg { src, .. } => format!("output:{}", field::text(*src)),
        Action::OutputTrunc { port, max_len } => format!("output(port={},max_len={max_len})", p.port(*port)),
        Action::Enqueue { port, queue } => format!("enqueue:{}:{queue}", p.port(*port)),
        Action::Group(id) => format!("group:{id}"),
        Action::Controller(c) => controller_text(c),
        _ => return None,
    })
}

fn controller_text(c: &Controller) -> String {
    let default = Controller::default();
    let mut parts = Vec::new();
    if c.reason != default.reason {
        parts.push(format!("reason={}", c.reason.name()));
    }
    if c.max_len != default.max_len {
        parts.push(format!("max_len={}", c.max_len));
    }
    if c.controller_id != 0 {
        parts.push(format!("id={}", c.controller_id));
    }
    if !c.userdata.is_empty() {
        parts.push(format!("userdata={}", number::bytes_text(&c.userdata)));
    }
    if c.pause {
        parts.push("pause".to_owned());
    }
    if let Some(m) = c.meter {
        parts.push(format!("meter_id={}", m.0));
    }
    format!("controller({})", parts.join(","))
}
