//! Commands that ask a switch and print what it says: show, dump-*, queue and meter statistics, probe, ping, benchmark.

use std::io::Write as _;
use std::time::Instant;

use openflow::group_mod::GroupCommand;
use openflow::text::message::Teller;
use openflow::text::message::tables::Tables;
use openflow::text::others::RESERVED_METERS;
use openflow::text::{parse_group, parse_port};
use openflow::wire::message::Part;
use openflow::wire::queue::QueueRequest;
use openflow::wire::table_features::TableFeatures;
use openflow::wire::{Message, Version};
use openflow::{GroupId, MeterId, OfPort};

use super::link::{Link, ON, is_error, log, tell, value};
use super::names::Names;
use super::{Call, Done};
use crate::setup::print;
use openflow::text::formats::{self, Formats};

impl Call<'_> {
    /// The switch that the first argument names.
    pub(super) fn link(&self) -> Result<Link, String> {
        Link::open(self.argument(0), self.formats.versions())
    }

    /// What the switch calls its ports and tables.
    pub(super) fn names(&self) -> Names {
        Names::of(self.argument(0), self.formats.versions(), self.names == Some(true))
    }

    fn printed(&self, bytes: &[u8], names: &Names) {
        let told = Teller { names, verbosity: self.verbosity, on: ON }.tell(bytes);
        log(&told.log);
        print(&told.text);
    }

    /// Asks and prints each part of the answer.
    fn dump(&self, link: &mut Link, request: &Message) -> Done {
        let names = self.names();
        link.ask_all(request, |part| self.printed(part, &names))
    }

    /// A port by number or name; None is said by `NONE` and `ANY`.
    fn port(&self, text: &str) -> Result<OfPort, String> {
        parse_port(text, &self.names()).ok_or_else(|| format!("{}: unknown port `{text}'", self.argument(0)))
    }
}

pub(super) fn show(call: &Call) -> Done {
    let mut link = call.link()?;
    let features = link.ask(&Message::FeaturesRequest)?;
    print(&tell(&features, call.verbosity));
    if link.version >= Version::Of13 {
        link.ask_all(&Message::PortDescRequest(OfPort::NONE), |part| print(&tell(part, call.verbosity)))?;
    }
    let config = link.ask(&Message::GetConfigRequest)?;
    print(&tell(&config, call.verbosity));
    Ok(())
}

pub(super) fn dump_desc(call: &Call) -> Done {
    call.dump(&mut call.link()?, &Message::DescRequest)
}

pub(super) fn dump_tables(call: &Call) -> Done {
    call.dump(&mut call.link()?, &Message::TableStatsRequest)
}

/// A link of a version from which on the command's message is there.
pub(super) fn since(call: &Call, command: &str, least: Version) -> Result<Link, String> {
    let link = call.link()?;
    if link.version < least {
        let (name, n) = (least.name(), least.short().trim_start_matches("OF"));
        return Err(format!("{command} needs OpenFlow {n} or later ('-O {name}')"));
    }
    Ok(link)
}

pub(super) fn dump_table_features(call: &Call) -> Done {
    let mut link = since(call, "dump-table-features", Version::Of13)?;
    let tables = features(&mut link)?;
    // a table is told as far as it differs from the one before, whichever message that was in
    let text = Tables::of_features(&tables, &call.names());
    print(&format!("{}\n", text.strip_prefix('\n').unwrap_or(&text)));
    Ok(())
}

/// What tables can do.
pub(super) fn features(link: &mut Link) -> Result<Vec<TableFeatures>, String> {
    let (mut tables, mut refused) = (Vec::new(), None);
    link.ask_all(&Message::TableFeaturesRequest(Part::all(Vec::new())), |part| match value(part) {
        Ok(Message::TableFeaturesReply(part)) => tables.extend(part.entries),
        Ok(_) => {}
        Err(e) => {
            refused.get_or_insert(e);
        }
    })?;
    refused.map_or(Ok(tables), Err)
}

pub(super) fn dump_table_desc(call: &Call) -> Done {
    let mut link = since(call, "dump-table-desc", Version::Of14)?;
    call.dump(&mut link, &Message::TableDescRequest)
}

pub(super) fn dump_ports(call: &Call) -> Done {
    let port = call.arguments.get(1).map_or(Ok(OfPort::NONE), |text| call.port(text))?;
    call.dump(&mut call.link()?, &Message::PortStatsRequest(port))
}

pub(super) fn dump_ports_desc(call: &Call) -> Done {
    let mut link = call.link()?;
    // before OpenFlow 1.5 a switch cannot be asked for one
    let port = match call.arguments.get(1) {
        Some(text) if link.version >= Version::Of15 => call.port(text)?,
        _ => OfPort::NONE,
    };
    call.dump(&mut link, &Message::PortDescRequest(port))
}

fn queue_request(call: &Call) -> Result<QueueRequest, String> {
    let any = |text: &String| text.eq_ignore_ascii_case("any") || text.eq_ignore_ascii_case("all");
    let port = call.arguments.get(1).filter(|t| !any(t)).map(|text| call.port(text)).transpose()?;
    let queue = call.arguments.get(2).filter(|t| !any(t));
    let number = |text: &String| text.parse().map_err(|_| format!("invalid queue ID \"{text}\""));
    Ok(QueueRequest { port, queue: queue.map(number).transpose()? })
}

pub(super) fn queue_stats(call: &Call) -> Done {
    let request = queue_request(call)?;
    call.dump(&mut call.link()?, &Message::QueueStatsRequest(request))
}

pub(super) fn queue_config(call: &Call) -> Done {
    let request = queue_request(call)?;
    let mut link = call.link()?;
    if link.version != Version::Of10 || request.port.is_some() {
        return call.dump(&mut link, &Message::QueueConfigRequest(request));
    }
    // OpenFlow 1.0 has no way to ask about all ports
    let Message::FeaturesReply(features) = link.value(&Message::FeaturesRequest)? else {
        return Err("no description of ports came".to_owned());
    };
    let usual = |p: &OfPort| p.reserved_name().is_none();
    for port in features.ports.iter().map(|p| p.port).filter(usual) {
        call.dump(&mut link, &Message::QueueConfigRequest(QueueRequest { port: Some(port), ..request }))?;
    }
    Ok(())
}

/// The group that the second argument names, as its number or as `group_id=`.
fn group(call: &Call) -> Result<GroupId, String> {
    let Some(text) = call.arguments.get(1) else { return Ok(GroupId::ALL) };
    if text.eq_ignore_ascii_case("all") {
        return Ok(GroupId::ALL);
    }
    let group = parse_group(text, GroupCommand::Delete, &call.names()).map_err(|e| e.to_string())?;
    Ok(group.id)
}

pub(super) fn dump_groups(call: &Call) -> Done {
    let all = ["all", "any"];
    let wanted = match call.arguments.get(1) {
        Some(text) if !all.contains(&text.to_ascii_lowercase().as_str()) => {
            text.parse().map(GroupId).map_err(|_| format!("{text}: no such group"))?
        }
        _ => GroupId::ALL,
    };
    call.dump(&mut call.link()?, &Message::GroupDescRequest(wanted))
}

pub(super) fn dump_group_stats(call: &Call) -> Done {
    let group = group(call)?;
    call.dump(&mut call.link()?, &Message::GroupStatsRequest(group))
}

pub(super) fn dump_group_features(call: &Call) -> Done {
    call.dump(&mut call.link()?, &Message::GroupFeaturesRequest)
}

/// The meter that the second argument names.
fn meter(call: &Call) -> Result<MeterId, String> {
    let text = call.arguments.get(1).map_or("all", String::as_str);
    let number = text.strip_prefix("meter=").unwrap_or(text);
    if let Some((_, id)) = RESERVED_METERS.iter().find(|(name, _)| *name == number) {
        return Ok(*id);
    }
    number.parse().map(MeterId).map_err(|_| format!("unknown keyword {text}"))
}

fn metered(call: &Call) -> Result<Link, String> {
    call.formats.require(Formats::of_versions(Version::Of13..=Version::Of15))?;
    let versions = formats::between(call.formats.versions(), Version::Of13);
    Link::open(call.argument(0), versions)
}

pub(super) fn dump_meters(call: &Call) -> Done {
    let meter = meter(call)?;
    call.dump(&mut metered(call)?, &Message::MeterConfigRequest(meter))
}

pub(super) fn meter_stats(call: &Call) -> Done {
    let meter = meter(call)?;
    call.dump(&mut metered(call)?, &Message::MeterStatsRequest(meter))
}

pub(super) fn meter_features(call: &Call) -> Done {
    call.dump(&mut metered(call)?, &Message::MeterFeaturesRequest)
}

pub(super) fn tlv_map(call: &Call) -> Done {
    call.dump(&mut call.link()?, &Message::TlvTableRequest)
}

pub(super) fn ipfix_bridge(call: &Call) -> Done {
    call.dump(&mut call.link()?, &Message::IpfixBridgeRequest)
}

pub(super) fn ipfix_flow(call: &Call) -> Done {
    call.dump(&mut call.link()?, &Message::IpfixFlowRequest)
}

pub(super) fn get_frags(call: &Call) -> Done {
    let mut link = call.link()?;
    let Message::GetConfigReply(config) = link.value(&Message::GetConfigRequest)? else {
        return Err(format!("{}: no configuration came", call.argument(0)));
    };
    print(&format!("{}\n", super::ports::fragments_name(config.fragments)));
    Ok(())
}

/// Whether a switch answers at all.
pub(super) fn probe(call: &Call) -> Done {
    let mut link = call.link()?;
    match value(&link.ask(&Message::EchoRequest(Vec::new()))?)? {
        Message::EchoReply(data) if data.is_empty() => Ok(()),
        _ => Err("reply does not match request".to_owned()),
    }
}

fn number(call: &Call, at: usize, usual: usize) -> Result<usize, String> {
    let Some(text) = call.arguments.get(at) else { return Ok(usual) };
    text.parse().map_err(|_| format!("{text}: not a number"))
}

/// Octets that an echo may carry.
const MOST: usize = 65535 - 8;

#[expect(clippy::disallowed_methods, reason = "a program that times what it does")]
fn now() -> Instant {
    Instant::now()
}

pub(super) fn ping(call: &Call) -> Done {
    let size = number(call, 1, 64)?;
    if size > MOST {
        return Err(format!("payload must be between 0 and {MOST} bytes"));
    }
    let mut link = call.link()?;
    let mut payload = vec![0; size];
    for round in 0..10 {
        let fill = |(i, b): (usize, &mut u8)| *b = (i.wrapping_mul(31) ^ (round * 17)) as u8;
        payload.iter_mut().enumerate().for_each(fill);
        let begun = now();
        let answer = link.ask(&Message::EchoRequest(payload.clone()))?;
        let took = (now() - begun).as_secs_f64() * 1e3;
        let xid = super::link::header(&answer)?.xid;
        match value(&answer) {
            Ok(Message::EchoReply(data)) if data == payload => {
                print(&format!("{size} bytes from {}: xid={:08x} time={took:.1} ms\n", call.argument(0), xid.0));
            }
            _ => print(&format!("Reply does not match request:\n{}", tell(&answer, 2))),
        }
    }
    Ok(())
}

pub(super) fn benchmark(call: &Call) -> Done {
    let (size, count) = (number(call, 1, 0)?, number(call, 2, 0)?);
    if size > MOST {
        return Err(format!("payload must be between 0 and {MOST} bytes"));
    }
    let mut link = call.link()?;
    let octets = size + 8;
    print(&format!("Sending {count} packets * {octets} bytes (with header) = {} bytes total\n", count * octets));
    let begun = now();
    for _ in 0..count {
        let answer = link.ask(&Message::EchoRequest(vec![0; size]))?;
        if is_error(&answer) {
            return Err(tell(&answer, 2));
        }
    }
    let took = (now() - begun).as_secs_f64();
    print(&format!(
        "Finished in {:.1} ms ({:.0} packets/s) ({:.0} bytes/s)\n",
        took * 1e3,
        count as f64 / took,
        (count * octets) as f64 / took
    ));
    let _ = std::io::stdout().flush();
    Ok(())
}
