//! Commands that change groups and meters, tunnel options and tracked connections.

use openflow::GroupMod;
use openflow::group_mod::GroupCommand;
use openflow::text::{parse_group, parse_groups};
use openflow::wire::meter::MeterCommand;
use openflow::wire::tlv::{TlvCommand, TlvMod};
use openflow::wire::{Message, Version, Xid, encode};

use super::bundle;
use super::flows::{text_of, unread, unread_line};
use super::link::{Link, tell};
use super::names::Names;
use super::{Call, Done};
use crate::setup::print;
use openflow::text::formats::{Formats, between};

fn send(call: &Call, groups: Vec<GroupMod>) -> Done {
    let mut link = Link::open(call.argument(0), call.formats.versions())?;
    let nx = link.version == Version::Of10;
    let messages: Vec<Message> = groups.into_iter().map(|group| Message::GroupMod { group, nx }).collect();
    match call.parsed.has("bundle") {
        true => bundle::send(&mut link, messages),
        false => messages.chunks(256).try_for_each(|some| link.change(some)),
    }
}

fn one(call: &Call, command: GroupCommand) -> Done {
    let names = call.names();
    let text = call.arguments.get(1).map_or("", String::as_str);
    if text == "-" {
        return of_file(call, "-", command);
    }
    let group = parse_group(text, command, &names).map_err(|e| unread(&e))?;
    send(call, vec![group])
}

fn of_file(call: &Call, path: &str, command: GroupCommand) -> Done {
    let (names, text) = (call.names(), text_of(path)?);
    let groups = match command {
        GroupCommand::Add => parse_groups(&text, &names).map_err(|e| unread_line(path, &e))?,
        command => {
            let lines = text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).enumerate();
            let read = |(n, line): (usize, &str)| {
                parse_group(line, command, &names).map_err(|e| format!("{path}:{}: {e}", n + 1))
            };
            lines.filter(|(_, line)| !line.is_empty()).map(read).collect::<Result<_, _>>()?
        }
    };
    send(call, groups)
}

/// Prints the message of a group.
pub(super) fn parse(call: &Call) -> Done {
    let names = Names::default();
    let group = parse_group(call.argument(0), GroupCommand::Add, &names).map_err(|e| unread(&e))?;
    print(&format!("usable protocols: {}\n", Formats::default()));
    let (_, version) = call.formats.first().ok_or("no usable protocol")?;
    print(&format!("chosen version: {}\n", version.name()));
    let message = Message::GroupMod { group, nx: version == Version::Of10 };
    let bytes = encode(&message, version, Xid(1)).map_err(|e| e.to_string())?;
    print(&tell(&bytes, call.verbosity));
    Ok(())
}

pub(super) fn add_group(call: &Call) -> Done {
    one(call, GroupCommand::Add)
}

pub(super) fn add_groups(call: &Call) -> Done {
    of_file(call, call.argument(1), GroupCommand::Add)
}

pub(super) fn mod_group(call: &Call) -> Done {
    one(call, if call.parsed.has("may-create") { GroupCommand::AddOrModify } else { GroupCommand::Modify })
}

pub(super) fn del_groups(call: &Call) -> Done {
    one(call, GroupCommand::Delete)
}

/// Buckets of a group are there to be changed by themselves from OpenFlow 1.5 on, and in Nicira's form.
fn with_buckets(call: &Call) -> Formats {
    let modern = Formats::of_versions(Version::Of15..=Version::Of15);
    // bundles have no Nicira's form
    if call.parsed.has("bundle") { modern } else { modern.or(Formats::of_versions(Version::Of10..=Version::Of10)) }
}

pub(super) fn insert_buckets(call: &Call) -> Done {
    if !call.formats.has_any(with_buckets(call)) {
        return Err("insert-bucket needs OpenFlow 1.5 or later ('-O OpenFlow15')".to_owned());
    }
    one(call, GroupCommand::InsertBuckets)
}

pub(super) fn remove_buckets(call: &Call) -> Done {
    call.formats.require(with_buckets(call))?;
    one(call, GroupCommand::RemoveBuckets)
}

fn meter(call: &Call, command: MeterCommand) -> Done {
    call.formats.require(Formats::of_versions(Version::Of13..=Version::Of15))?;
    let text = call.arguments.get(1).map_or("", String::as_str);
    let text = match (command, text) {
        (MeterCommand::Delete, "" | "all") => "meter=all",
        _ => text,
    };
    let meter = openflow::text::parse_meter(text, command).map_err(|e| e.to_string())?;
    let mut link = Link::open(call.argument(0), between(call.formats.versions(), Version::Of13))?;
    link.change(&[Message::MeterMod(meter)])
}

pub(super) fn add_meter(call: &Call) -> Done {
    meter(call, MeterCommand::Add)
}

pub(super) fn mod_meter(call: &Call) -> Done {
    meter(call, MeterCommand::Modify)
}

pub(super) fn del_meters(call: &Call) -> Done {
    meter(call, MeterCommand::Delete)
}

fn options(call: &Call, command: TlvCommand) -> Done {
    let mappings = match (command, call.arguments.get(1)) {
        (TlvCommand::Clear, _) | (_, None) => Vec::new(),
        (_, Some(text)) => openflow::text::parse_tlv_maps(text).map_err(|e| e.to_string())?,
    };
    call.link()?.change(&[Message::TlvTableMod(TlvMod { command, mappings })])
}

pub(super) fn add_options(call: &Call) -> Done {
    options(call, TlvCommand::Add)
}

pub(super) fn del_options(call: &Call) -> Done {
    options(call, if call.arguments.len() > 1 { TlvCommand::Delete } else { TlvCommand::Clear })
}

/// Tracked connections are forgotten, those of a zone or of addresses and ports, or all.
pub(super) fn flush_connections(call: &Call) -> Done {
    let rest = call.arguments.get(1..).unwrap_or_default();
    let flush = openflow::text::conntrack::parse_flush(rest).map_err(|e| e.to_string())?;
    call.link()?.change(&[Message::CtFlush(flush)])
}

/// A tracked connection's zone is forgotten.
pub(super) fn flush_zone(call: &Call) -> Done {
    let text = call.argument(1);
    let zone = text.parse().map_err(|_| format!("{text}: not a zone"))?;
    call.link()?.change(&[Message::CtFlushZone(zone)])
}
