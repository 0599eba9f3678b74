//! Commands that set what is no flow: ports, tables, fragments; and packets sent by hand.

use openflow::action::parse_actions;
use openflow::text::{parse_port, parse_table};
use openflow::wire::message::Part;
use openflow::wire::packet::{PacketOut, port_metadata};
use openflow::wire::port::{PortMod, config};
use openflow::wire::switch::{Fragments, SwitchConfig};
use openflow::wire::table_features::Command;
use openflow::wire::table_mod::{TableDesc, TableMiss, TableMod, Vacancy};
use openflow::wire::{Message, Version};
use openflow::{OfPort, TableId};

use super::ask::{features, since};
use super::flows::unread;
use super::link::Link;
use super::names;
use super::{Call, Done};
use openflow::text::Formats;

/// What can be done to a port: bit, and whether it is set.
const PORT: [(&str, u32, bool); 17] = [
    ("up", config::PORT_DOWN, false),
    ("down", config::PORT_DOWN, true),
    ("no-stp", config::NO_STP, true),
    ("stp", config::NO_STP, false),
    ("receive", config::NO_RECV, false),
    ("no-receive", config::NO_RECV, true),
    ("receive-stp", config::NO_RECV_STP, false),
    ("no-receive-stp", config::NO_RECV_STP, true),
    ("flood", config::NO_FLOOD, false),
    ("no-flood", config::NO_FLOOD, true),
    ("forward", config::NO_FWD, false),
    ("no-forward", config::NO_FWD, true),
    ("packet-in", config::NO_PACKET_IN, false),
    ("no-packet-in", config::NO_PACKET_IN, true),
    // other words that mean the same
    ("noflood", config::NO_FLOOD, true),
    ("no-recv", config::NO_RECV, true),
    ("no-fwd", config::NO_FWD, true),
];

pub(super) fn mod_port(call: &Call) -> Done {
    let (switch, port, action) = (call.argument(0), call.argument(1), call.argument(2));
    let mut link = call.link()?;
    let all = names::ports(&mut link)?;
    let number = parse_port(port, &openflow::text::NoNames);
    let wanted = all.iter().find(|p| Some(p.port) == number || p.name == port);
    let wanted = wanted.ok_or_else(|| format!("{switch}: couldn't find port `{port}'"))?;
    // "noflood" is "no-flood"
    let same = |name: &str| {
        name.eq_ignore_ascii_case(action)
            || name.strip_prefix("no-").zip(action.get(2..)).is_some_and(|(name, rest)| {
                action.get(..2).is_some_and(|no| no.eq_ignore_ascii_case("no")) && name.eq_ignore_ascii_case(rest)
            })
    };
    let known = PORT.iter().find(|(name, ..)| same(name));
    let &(_, mask, on) = known.ok_or_else(|| format!("unknown mod-port command '{action}'"))?;
    let request = PortMod {
        port: wanted.port,
        hw_addr: wanted.hw_addr,
        config: if on { mask } else { 0 },
        mask,
        ..PortMod::default()
    };
    link.change(&[Message::PortMod(request)])
}

/// Versions that a change of a table is in.
fn of_table(action: &str, versions: std::ops::RangeInclusive<Version>, link: &Link) -> Done {
    if versions.contains(&link.version) {
        return Ok(());
    }
    let all = Version::ALL.into_iter().filter(|v| versions.contains(v)).map(Version::name).collect::<Vec<_>>();
    Err(format!("table_mod '{action}' requires one of the OpenFlow versions {}", all.join(", ")))
}

/// How a table is set.
fn described(link: &mut Link, wanted: TableId) -> Result<TableDesc, String> {
    let mut found = None;
    link.ask_all(&Message::TableDescRequest, |part| {
        if let Ok(Message::TableDescReply(part)) = super::link::value(part) {
            found = found.or_else(|| part.entries.into_iter().find(|t| t.table == wanted));
        }
    })?;
    found.ok_or_else(|| format!("table {wanted} is not described"))
}

/// Gives a table a name: all tables are said as they are to be, in OpenFlow 1.5 the one that changes.
fn rename(call: &Call, table: Option<TableId>, name: &str) -> Done {
    let table = table.ok_or("mod-table: one table at a time has a name")?;
    let mut link = since(call, "mod-table name:", Version::Of13)?;
    let mut tables = features(&mut link)?;
    let wanted = tables.iter_mut().find(|t| t.table == table).ok_or_else(|| format!("there is no table {table}"))?;
    name.clone_into(&mut wanted.name);
    if link.version >= Version::Of15 {
        tables.retain(|t| t.table == table);
        tables.iter_mut().for_each(|t| t.command = Command::Modify);
    }
    link.change(&[Message::TableFeaturesRequest(Part::all(tables))])
}

pub(super) fn mod_table(call: &Call) -> Done {
    let (table, action) = (call.argument(1), call.argument(2));
    let all = table.eq_ignore_ascii_case("all");
    let number = if all { None } else { parse_table(table, &call.names()) };
    if number.is_none_or(|t| t.0 == TableId::ALL) && !all {
        return Err(format!("unknown table \"{table}\""));
    }
    let mut request = TableMod { table: number, ..TableMod::default() };
    let (old, new) = (Version::Of11..=Version::Of12, Version::Of14..=Version::Of15);
    let versions = match action.split_once(':').unwrap_or((action, "")) {
        ("controller", "") => {
            request.miss = Some(TableMiss::Controller);
            old
        }
        ("continue", "") => {
            request.miss = Some(TableMiss::Continue);
            old
        }
        ("drop", "") => {
            request.miss = Some(TableMiss::Drop);
            old
        }
        (word @ ("evict" | "noevict"), "") => {
            request.eviction = Some(word == "evict");
            new
        }
        ("novacancy", "") => {
            request.vacancy_events = Some(false);
            new
        }
        ("vacancy", limits) => {
            let bad = || "vacancy value is illegal, vacancy should be in the form vacancy:low,high".to_owned();
            let (down, up) = limits.split_once(',').ok_or_else(bad)?;
            let percent = |text: &str| text.trim().parse::<u8>().ok().filter(|n| *n <= 100).ok_or_else(bad);
            let (down, up) = (percent(down)?, percent(up)?);
            if up < down {
                return Err("Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)"
                    .to_owned());
            }
            request.vacancy_events = Some(true);
            request.vacancy = Some(Vacancy { down, up, now: 0 });
            new
        }
        ("name", name) => return rename(call, number, name),
        _ => return Err(format!("invalid table_mod setting {action}")),
    };
    let mut link = call.link()?;
    of_table(action, versions, &link)?;
    if link.version >= Version::Of14
        && let Some(table) = request.table
    {
        // what is not said stays as it is
        let now = described(&mut link, table)?;
        request.eviction.get_or_insert(now.eviction);
        request.vacancy_events.get_or_insert(now.vacancy_events);
        if request.vacancy_events == Some(true) {
            request.vacancy = request.vacancy.or(now.vacancy.map(|v| Vacancy { now: 0, ..v }));
        }
    }
    link.change(&[Message::TableMod(request)])
}

const FRAGMENTS: [(&str, Fragments); 4] = [
    ("normal", Fragments::Normal),
    ("drop", Fragments::Drop),
    ("reassemble", Fragments::Reassemble),
    ("nx-match", Fragments::NxMatch),
];

/// What a way to treat fragments is called.
pub(super) fn fragments_name(fragments: Fragments) -> &'static str {
    FRAGMENTS.iter().find(|(_, f)| *f == fragments).map_or("unknown", |(name, _)| name)
}

/// How a switch is set.
pub(super) fn configuration(link: &mut Link) -> Result<SwitchConfig, String> {
    match link.value(&Message::GetConfigRequest)? {
        Message::GetConfigReply(config) => Ok(config),
        _ => Err("no configuration came".to_owned()),
    }
}

pub(super) fn set_frags(call: &Call) -> Done {
    let word = call.argument(1);
    let known = FRAGMENTS.iter().find(|(name, _)| *name == word).map(|(_, f)| *f);
    let fragments = known.ok_or_else(|| format!("{word}: unknown fragment handling mode"))?;
    let mut link = call.link()?;
    let now = configuration(&mut link)?;
    if now.fragments == fragments {
        return Ok(());
    }
    link.change(&[Message::SetConfig(SwitchConfig { fragments, ..now })])?;
    if configuration(&mut link)?.fragments != fragments {
        return Err(format!(
            "{}: setting fragment handling mode failed (this switch probably doesn't support mode \"{word}\")",
            call.argument(0)
        ));
    }
    Ok(())
}

/// A packet given by its octets.
fn packet(hex: &str) -> Result<Vec<u8>, String> {
    openflow::text::number::hex_bytes(hex)
        .filter(|b| b.len() >= 14)
        .ok_or_else(|| format!("{hex}: not a packet in hexadecimal"))
}

pub(super) fn packet_out(call: &Call) -> Done {
    let names = call.names();
    let all = Formats::of_versions(Version::Of10..=Version::Of15);
    if call.arguments.len() == 2 {
        let out = openflow::text::parse_packet_out(call.argument(1), &names).map_err(|e| unread(&e))?;
        let mut writer = super::flows::Writer::open(call, all)?;
        return writer.link.change(&[Message::PacketOut(out)]);
    }
    // the older form: port, actions, packets
    if call.arguments.len() < 4 {
        return Err("wrong number of arguments: switch, then \"in_port=... packet=... actions=...\"".to_owned());
    }
    let port = parse_port(call.argument(1), &names).unwrap_or(OfPort::NONE);
    let actions = parse_actions(call.argument(2), &names).map_err(|e| unread(&e))?;
    let mut link = call.link()?;
    for hex in call.arguments.iter().skip(3) {
        let out =
            PacketOut { packet: packet(hex)?, buffer: None, metadata: port_metadata(port), actions: actions.clone() };
        link.change(&[Message::PacketOut(out)])?;
    }
    Ok(())
}
