//! Datapaths as `dpctl/*` and `dpif/*` show them. There is one; bridges whose ports are in memory are shown in one of type
//! `dummy`, the others in one of type `netdev`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dpif::PortNo;

use super::ports::shown_number;
use super::switch::{PortEntry, Switch};
use crate::control::Call;

/// The types, with the datapath's own port, where there is one that bridges don't have.
const TYPES: [(&str, Option<&str>); 2] = [("dummy", Some("dummy-internal")), ("netdev", None)];

/// An error as these commands tell it.
pub(super) fn told(error: &str) -> String {
    format!("{}: {error}", crate::vswitchd::NAME)
}

/// What a datapath has looked up.
#[derive(Default)]
struct Lookups {
    hit: u64,
    missed: u64,
    lost: u64,
}

/// The type of the datapath that a bridge is in.
fn kind_of(switch: &Switch, bridge: &str) -> &'static str {
    if switch.dummy_bridges.contains(bridge) { "dummy" } else { "netdev" }
}

/// Bridges by the type of their datapath, by name.
fn by_type<'a>(switch: &'a Switch, kind: &str) -> BTreeMap<&'a str, &'a pipeline::Bridge> {
    let all = switch.manager.snapshot().bridges.iter().flatten();
    all.filter(|b| kind_of(switch, &b.name) == kind).map(|b| (&*b.name, &**b)).collect()
}

/// Ports of a datapath that are in it, by number.
pub(super) fn ports_of<'a>(switch: &'a Switch, kind: &'a str) -> impl Iterator<Item = (PortNo, &'a PortEntry)> {
    let ports = switch.ports.iter().filter(move |(_, p)| kind_of(switch, &p.bridge) == kind);
    let there = ports.filter(|(no, _)| switch.control.port_figures(**no).is_some());
    there.map(|(no, p)| (*no, p))
}

fn lookups(switch: &Switch, kind: &str) -> Lookups {
    let mut sum = Lookups::default();
    for (no, _) in ports_of(switch, kind) {
        let Some(f) = switch.control.port_figures(no) else { continue };
        let lost =
            f.fates.dropped.iter().find(|(reason, _)| *reason == dpif::DropReason::Budget).map_or(0, |(_, n)| *n);
        sum.missed += f.misses;
        sum.lost += lost;
        sum.hit += f.fates.received.saturating_sub(f.misses + lost + f.fates.parked);
    }
    sum
}

/// What there is to say of a port beside its type: queues of those that have any to speak of.
fn details(entry: &PortEntry) -> String {
    entry.device.queues().map_or_else(String::new, |(rx, tx)| {
        let both = |n: &str| format!("{n}_rx_queues={rx}, {n}_tx_queues={tx}");
        format!(": {}, {}", both("configured"), both("requested"))
    })
}

/// `dpif/show`: bridges and ports, with their numbers in OpenFlow and in the datapath.
pub(super) fn dpif_show(switch: &Switch) -> String {
    let mut out = String::new();
    let entries: BTreeMap<&str, &PortEntry> = switch.ports.values().map(|p| (p.name.as_str(), p)).collect();
    for (kind, _) in TYPES {
        let bridges = by_type(switch, kind);
        if bridges.is_empty() {
            continue;
        }
        let Lookups { hit, missed, .. } = lookups(switch, kind);
        let _ = writeln!(out, "{kind}@ovs-{kind}: hit:{hit} missed:{missed}");
        for bridge in bridges.values() {
            let _ = writeln!(out, "  {}:", bridge.name);
            let mut ports: Vec<_> = bridge.ports.values().collect();
            ports.sort_by(|a, b| a.name.cmp(&b.name));
            for port in ports {
                let Some(entry) = entries.get(&*port.name) else { continue };
                let dp = port.device().map_or_else(|| "none".to_owned(), |p| p.to_string());
                let number = shown_number(port.number);
                let more = if entry.kind.is_dummy() {
                    details(entry)
                } else {
                    let mtu = switch.mtu_of(&entry.device).map(|m| format!(", mtu={m}")).unwrap_or_default();
                    format!(": {}{mtu}", switch.state_of(&entry.device))
                };
                let _ = writeln!(out, "    {} {number}/{dp}: ({}{more})", port.name, entry.shown);
            }
            for (_, name, kind, why) in switch.failed.iter().filter(|(b, ..)| *b == *bridge.name) {
                let _ = writeln!(out, "    {name}: ({}: error: {why})", kind.name());
            }
            for m in switch.moving.values().filter(|m| m.bridge == *bridge.name) {
                let _ = writeln!(out, "    {}: ({}: {})", m.name, m.kind.name(), m.way.words());
            }
        }
    }
    out
}

/// `dpif/dump-dps`: a line for each bridge.
pub(super) fn bridges(switch: &Switch) -> String {
    let lines = |kind| by_type(switch, kind).into_keys().map(move |name| format!("{kind}@{name}\n"));
    TYPES.iter().flat_map(|(kind, _)| lines(*kind)).collect()
}

/// `dpctl/dump-dps`: a line for each datapath.
pub(super) fn datapaths(switch: &Switch) -> String {
    let there = TYPES.iter().filter(|(kind, _)| !by_type(switch, kind).is_empty());
    there.map(|(kind, _)| format!("{kind}@ovs-{kind}\n")).collect()
}

/// The type of the datapath that is called so: `type@name`, or its name.
///
/// # Errors
/// There is none.
pub(super) fn named(switch: &Switch, name: &str) -> Result<&'static str, String> {
    let is = |kind: &str| name == format!("{kind}@ovs-{kind}") || name == format!("ovs-{kind}");
    let found = TYPES.iter().map(|(kind, _)| *kind).find(|kind| is(kind) && !by_type(switch, kind).is_empty());
    found.ok_or_else(|| "opening datapath (No such device)".to_owned())
}

/// Whether a datapath is called so.
pub(super) fn is_datapath(switch: &Switch, name: &str) -> bool {
    named(switch, name).is_ok()
}

/// `dpctl/show [DP...]`: ports by their number in the datapath.
pub(super) fn show(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let mut kinds: Vec<&str> = Vec::new();
    for name in arguments {
        kinds.push(named(switch, name).map_err(|e| told(&e))?);
    }
    if arguments.is_empty() {
        kinds.extend(TYPES.iter().map(|(kind, _)| *kind).filter(|kind| !by_type(switch, kind).is_empty()));
    }
    let mut out = String::new();
    for kind in kinds {
        let Lookups { hit, missed, lost } = lookups(switch, kind);
        let flows: u64 = switch.control.workers().map(|(.., c)| c.megaflows.get()).sum();
        let _ = writeln!(out, "{kind}@ovs-{kind}:\n  lookups: hit:{hit} missed:{missed} lost:{lost}\n  flows: {flows}");
        let own = TYPES.iter().find(|(k, _)| *k == kind).and_then(|(_, own)| *own);
        if let Some(own) = own {
            let _ = writeln!(out, "  port 0: ovs-{kind} ({own})");
        }
        for (no, entry) in ports_of(switch, kind) {
            let _ = writeln!(out, "  port {no}: {} ({}{})", entry.name, entry.shown, details(entry));
        }
    }
    Ok(out)
}

/// `dpctl/del-if DP IFACE...`: takes ports out of the datapath. Where a database asks for one, it comes again with the next
/// change there.
pub(super) fn del_if(switch: &mut Switch, call: Call) {
    match wanted(switch, &call.arguments) {
        Err(e) => call.answer(Err(told(&e))),
        Ok(names) => {
            // the last one's end is the answer
            let mut call = Some(call);
            for (at, name) in names.iter().enumerate() {
                let last = if at + 1 == names.len() { call.take() } else { None };
                switch.del_port(name, last.unwrap_or_else(|| Call::own("port/del").0));
                if let Some(database) = &mut switch.database {
                    database.lost(name);
                }
            }
        }
    }
}

/// The ports that are named after a datapath's name, by name or number.
fn wanted(switch: &Switch, arguments: &[String]) -> Result<Vec<String>, String> {
    let [datapath, ports @ ..] = arguments else { return Ok(Vec::new()) };
    let kind = named(switch, datapath)?;
    let find = |port: &String| {
        let number = port.parse::<u32>().ok().map(PortNo);
        let found = ports_of(switch, kind).find(|(no, p)| p.name == *port || Some(*no) == number);
        found.map(|(_, p)| p.name.clone()).ok_or_else(|| format!("no port named {port}"))
    };
    ports.iter().map(find).collect()
}
