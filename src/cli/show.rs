//! `show`, `stats` and `flows`: one look at a running switch, as text.

use std::fmt::Write as _;

use super::table::{Column, Table, short, span};
use crate::view::{Fates, Megaflow, Port, Snapshot};

/// Bridges with their ports: type, state, queues, errors.
pub(super) fn show(s: &Snapshot) -> String {
    let mut out = format!("ironbridge {}, {}, up {}\n", s.version, s.dpdk, span(s.at.saturating_sub(s.started)));
    for bridge in &s.bridges {
        let (flows, groups, macs) = (bridge.flows, bridge.groups, bridge.macs);
        let _ = writeln!(out, "Bridge {}: {flows} flows, {groups} groups, {macs} MAC addresses", bridge.name);
        for port in s.ports.iter().filter(|p| p.bridge == bridge.name) {
            one_port(&mut out, port);
        }
    }
    out
}

fn one_port(out: &mut String, port: &Port) {
    let number = match port.number {
        Some(65534) => " (LOCAL)".to_owned(),
        Some(n) => format!(" ({n})"),
        None => String::new(),
    };
    let mut facts = vec![port.kind.clone(), port.state.clone()];
    facts.extend(port.mtu.map(|m| format!("mtu {m}")));
    facts.extend(port.tag.map(|t| format!("tag {t}")));
    facts.extend(port.peer.as_ref().map(|p| match p.bridge.as_str() {
        "" => format!("to {}, which is not there", p.port),
        bridge => format!("to {} of {bridge}", p.port),
    }));
    let _ = writeln!(out, "    Port {}{number}: {}", port.name, facts.join(", "));
    if let Some(error) = &port.error {
        let _ = writeln!(out, "        error: {error}");
        return;
    }
    if port.peer.is_some() {
        return;
    }
    let (rx, tx, device) = (&port.received, &port.sent, &port.device);
    let _ = writeln!(out, "        received {} packets, {} bytes; dropped {}", rx.packets, rx.bytes, reasons(rx));
    let _ = writeln!(out, "        sent {} packets, {} bytes; no room for {}", tx.packets, tx.bytes, tx.dropped);
    let _ = writeln!(
        out,
        "        errors: {} receiving, {} sending; the device had no room for {}",
        device.rx_errors,
        tx.errors + device.tx_errors,
        device.rx_dropped
    );
    for queue in &port.queues {
        let _ = writeln!(out, "        queue {} on {}: {} packets", queue.number, queue.worker, queue.packets);
    }
}

/// `7 (rule 5, runt 2)`.
fn reasons(f: &Fates) -> String {
    let list: Vec<String> = f.drops.iter().map(|d| format!("{} {}", d.reason, d.packets)).collect();
    if list.is_empty() { f.dropped.to_string() } else { format!("{} ({})", f.dropped, list.join(", ")) }
}

/// Counters by port, worker and reason, with totals that add up.
pub(super) fn stats(s: &Snapshot) -> String {
    use Column::{Number, Text};
    let numbers = ["received", "forwarded", "consumed", "dropped", "waiting"].map(Number);
    let cells = |name: &str, f: &Fates| {
        let numbers = [f.packets, f.forwarded, f.consumed, f.dropped, f.waiting];
        std::iter::once(name.to_owned()).chain(numbers.map(|n| n.to_string())).collect::<Vec<_>>()
    };
    let sent = ["sent", "no room", "errors"].map(Number);
    let mut ports = Table::new("Ports", &[&[Text("port")][..], &numbers, &sent].concat());
    for port in s.ports.iter().filter(|p| p.datapath.is_some()) {
        let sent = [port.sent.packets, port.sent.dropped, port.sent.errors + port.device.tx_errors];
        ports.row(cells(&port.name, &port.received).into_iter().chain(sent.map(|n| n.to_string())));
    }
    if s.gone.packets != 0 {
        ports.row(cells("(gone)", &s.gone));
    }
    ports.row(cells("all", &s.totals));
    let lookups = ["simple", "signature", "megaflow", "miss", "megaflows", "busy"].map(Number);
    let mut workers = Table::new("Workers", &[&[Text("worker"), Text("core")][..], &numbers[..4], &lookups].concat());
    for w in &s.workers {
        let f = &w.received;
        let core = w.core.map_or_else(|| "-".to_owned(), |c| c.to_string());
        let busy = if w.time == 0 { 0.0 } else { 100.0 * w.busy as f64 / w.time as f64 };
        let numbers = [
            f.packets,
            f.forwarded,
            f.consumed,
            f.dropped,
            w.hit_simple,
            w.hit_signature,
            w.hit_megaflow,
            w.miss,
            w.megaflows,
        ];
        let numbers = numbers.into_iter().map(|n| n.to_string());
        workers.row([w.name.clone(), core].into_iter().chain(numbers).chain([format!("{busy:.1}%")]));
    }
    let mut drops = Table::new("Drops", &[Text("reason"), Number("packets"), Text("meaning")]);
    for d in &s.totals.drops {
        drops.row([d.reason.clone(), d.packets.to_string(), d.meaning.clone()]);
    }
    let t = &s.totals;
    let sum = t.forwarded + t.consumed + t.dropped + t.waiting;
    let verdict = if sum == t.packets { "as it should be" } else { "packets are on their way" };
    let account = format!(
        "{} received = {} forwarded + {} consumed + {} dropped + {} waiting: {verdict}\n",
        t.packets, t.forwarded, t.consumed, t.dropped, t.waiting
    );
    let drops = if drops.rows.is_empty() { "No drops\n".to_owned() } else { drops.text() };
    [ports.text(), workers.text(), drops, account].join("\n")
}

/// A line for each megaflow.
pub(super) fn flows(flows: &[Megaflow]) -> String {
    use Column::{Number, Text};
    let heads = [Number("packets"), Number("bytes"), Number("pkt/s"), Number("bit/s"), Number("age"), Number("idle")];
    let title = format!("{} megaflows", flows.len());
    let mut table = Table::new(title, &[&heads[..], &[Text("worker"), Text("match"), Text("actions")]].concat());
    for f in flows {
        let actions = match &f.drop {
            Some(reason) if f.actions == "drop" => format!("drop ({reason})"),
            _ => f.actions.clone(),
        };
        table.row([
            f.packets.to_string(),
            f.bytes.to_string(),
            short(f.packet_rate),
            short(f.byte_rate.saturating_mul(8)),
            span(f.age),
            span(f.idle),
            f.worker.clone(),
            f.matching.clone(),
            actions,
        ]);
    }
    table.text()
}
