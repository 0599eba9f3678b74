//! Text of what comes unasked: its configuration, and monitors of flows.

use super::Teller;
use crate::action::actions_text_raw;
use crate::text::names::{ForFlow, port_text, table_text};
use crate::text::number::hex;
use crate::wire::Version;
use crate::wire::asynchronous::{AsyncConfig, Unasked};
use crate::wire::monitor::{FlowEvent, FlowUpdate, MonitorCommand, MonitorRequest, WatchedFlow, watch};
use std::fmt::Write;

/// Names of reasons, by bit.
fn reasons(what: Unasked) -> &'static [&'static str] {
    match what {
        Unasked::PacketIn => &["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"],
        Unasked::PortStatus => &["add", "delete", "modify"],
        Unasked::FlowRemoved => &["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"],
        Unasked::RoleStatus => &["primary_request", "configuration_changed", "experimenter_data_changed"],
        Unasked::TableStatus => &["", "", "", "vacancy_down", "vacancy_up"],
        Unasked::RequestForward => &["group_mod_request", "meter_mod_request"],
    }
}

pub(super) fn config(out: &mut String, c: &AsyncConfig) {
    for (role, masks) in [("primary", c.primary), ("secondary", c.secondary)] {
        let _ = writeln!(out, "\n {role}:");
        for (what, mask) in Unasked::ALL.iter().zip(masks) {
            let bits = mask.unwrap_or(0);
            let named: Vec<_> =
                reasons(*what).iter().enumerate().filter(|(i, _)| bits >> i & 1 != 0).map(|(_, name)| *name).collect();
            let named = if named.is_empty() { "(off)".to_owned() } else { named.join(" ") };
            let _ = writeln!(out, "{:>16}: {named}", what.name());
        }
    }
}

const WATCH: [(u16, &str); 6] = [
    (watch::INITIAL, "initial"),
    (watch::ADD, "add"),
    (watch::DELETE, "delete"),
    (watch::MODIFY, "modify"),
    (watch::ACTIONS, "actions"),
    (watch::OWN, "own"),
];

/// Reasons of a deletion, by the numbers of flow-removed.
const REMOVED: [&str; 6] = ["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"];

impl Teller<'_> {
    pub(super) fn monitor(&self, out: &mut String, r: &MonitorRequest) {
        let _ = write!(out, "\n id={}", r.id);
        if r.command == MonitorCommand::Delete {
            out.push_str(" command=delete");
            return;
        }
        let named: Vec<_> = WATCH.iter().filter(|(bit, _)| r.flags & bit != 0).map(|(_, name)| *name).collect();
        let _ = write!(out, " flags={}", named.join(","));
        if let Some(p) = r.out_port {
            let _ = write!(out, " out_port={}", port_text(p, self.names));
        }
        if let Some(g) = r.out_group {
            let _ = write!(out, " out_group={g}");
        }
        if let Some(t) = r.table {
            let _ = write!(out, " table={}", table_text(t, self.names));
        }
        let matching = flow::text::format::format_match(&r.matching, &ForFlow(self.names));
        if !matching.is_empty() {
            let _ = write!(out, " {matching}");
        }
    }

    pub(super) fn update(&self, out: &mut String, u: &FlowUpdate, version: Version) {
        out.push_str("\n event=");
        let _ = match u {
            FlowUpdate::Abbreviated(xid) => write!(out, "ABBREV xid={xid:#x}"),
            FlowUpdate::Paused => write!(out, "PAUSED"),
            FlowUpdate::Resumed => write!(out, "RESUMED"),
            FlowUpdate::Full(f) => write!(out, "{}", self.watched(f, version)),
        };
    }

    fn watched(&self, f: &WatchedFlow, version: Version) -> String {
        let mut out = match f.event {
            FlowEvent::Initial => "INITIAL".to_owned(),
            FlowEvent::Added => "ADDED".to_owned(),
            FlowEvent::Modified => "MODIFIED".to_owned(),
            FlowEvent::Deleted(n) => {
                let reason = REMOVED.get(usize::from(n)).map_or_else(|| n.to_string(), |r| (*r).to_owned());
                format!("DELETED reason={reason}")
            }
        };
        let _ = write!(out, " table={}", table_text(f.table, self.names));
        for (name, n) in [("idle_timeout", f.idle_timeout), ("hard_timeout", f.hard_timeout)] {
            if n != 0 {
                let _ = write!(out, " {name}={n}");
            }
        }
        let _ = write!(out, " cookie={}", hex(f.cookie.0));
        let matching = flow::text::format::format_match(&f.matching, &ForFlow(self.names));
        if !matching.is_empty() {
            let _ = write!(out, " {matching}");
        }
        if !f.actions.is_empty() {
            let _ = write!(out, " actions={}", actions_text_raw(&f.actions, version > Version::Of10, self.names));
        }
        out
    }
}
