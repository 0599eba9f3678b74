//! Figures in words: what commands print, and the metrics of a scrape.

use std::fmt::Write as _;
use std::time::Duration;

use base::clock::Instant;
use flow::text::format::format_match;
use openflow::FlowMod;
use openflow::action::actions_text_in;
use openflow::flow_mod::DEFAULT_PRIORITY;
use openflow::text::{FlowStats, flow_text};
use openflow::view::Version;
use pipeline::{FlowFilter, Rule, Snapshot};

use super::names::{FlowNames, Names};
use super::switch::Switch;
use crate::http::metrics::Scrape;

/// What became of every packet: received, forwarded, consumed, dropped by reason, by port and in all.
pub(super) fn fates(switch: &Switch) -> String {
    let mut out = format!(
        "{:<16} {:>12} {:>12} {:>12} {:>12} {:>12}\n",
        "port", "received", "forwarded", "consumed", "dropped", "sent"
    );
    for (no, entry) in &switch.ports {
        let Some(f) = switch.control.port_figures(*no) else { continue };
        let _ = writeln!(
            out,
            "{:<16} {:>12} {:>12} {:>12} {:>12} {:>12}",
            entry.name,
            f.fates.received,
            f.fates.forwarded,
            f.fates.consumed,
            f.fates.drops(),
            f.tx_packets
        );
    }
    let total = switch.control.totals();
    let _ = writeln!(
        out,
        "{:<16} {:>12} {:>12} {:>12} {:>12}",
        "all",
        total.received,
        total.forwarded,
        total.consumed,
        total.drops()
    );
    for (reason, n) in &total.dropped {
        let _ = writeln!(out, "  dropped, {}: {n} ({})", reason.name(), reason.describe());
    }
    if total.parked != 0 {
        let _ = writeln!(out, "  waiting for translation: {}", total.parked);
    }
    out
}

/// What workers do beside receiving and sending: caches, rings, panics.
pub(super) fn workers(switch: &Switch) -> String {
    let mut out = String::new();
    for (id, name, c) in switch.control.workers() {
        let thread = switch.threads.iter().find(|t| t.name == name);
        let core = thread.and_then(|t| t.core).map_or_else(|| "not pinned".to_owned(), |c| format!("core {c}"));
        let (handoffs, refused) = switch.control.handoffs(id);
        let _ = writeln!(out, "{name} ({core}):");
        let _ = writeln!(out, "  translations: {} ({} not cached)", c.translations.get(), c.uncached.get());
        let _ = writeln!(out, "  megaflows: {} ({} masks)", c.megaflows.get(), c.masks.get());
        let _ = writeln!(out, "  megaflows found stale: {}, evicted: {}", c.stale.get(), c.evicted.get());
        let _ = writeln!(out, "  ring from other workers: {handoffs} waiting, {refused} refused");
        let _ = writeln!(out, "  panics: {}", c.panics.get());
    }
    out
}

/// Counters of ports, in the manner of `ovs-ofctl dump-ports`.
pub(super) fn port_stats(switch: &Switch, bridge: Option<&str>) -> String {
    let mut out = String::new();
    for (no, entry) in switch.ports.iter().filter(|(_, p)| bridge.is_none_or(|b| b == p.bridge)) {
        let Some(f) = switch.control.port_figures(*no) else { continue };
        let d = entry.device.stats();
        let _ = writeln!(
            out,
            "  port {:>3}: rx pkts={}, bytes={}, drop={}, errs={}, frame=0, over=0, crc=0",
            entry.name, f.fates.received, f.fates.received_bytes, d.rx_dropped, d.rx_errors
        );
        let _ = writeln!(
            out,
            "           tx pkts={}, bytes={}, drop={}, errs={}, coll=0",
            f.tx_packets,
            f.tx_bytes,
            f.tx_dropped,
            f.tx_errors + d.tx_errors
        );
    }
    out
}

fn as_flow(rule: &Rule, table: openflow::TableId) -> FlowMod {
    FlowMod {
        table: Some(table),
        priority: rule.priority(),
        new_cookie: Some(rule.cookie),
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        importance: rule.importance,
        flags: rule.flags,
        matching: rule.matching.clone(),
        actions: rule.actions.to_vec(),
        ..FlowMod::default()
    }
}

/// Flows of a bridge, a line each as `ovs-ofctl dump-flows` prints them.
pub(super) fn flows(tables: &Snapshot, bridge: &str, filter: &FlowFilter, now: Instant) -> String {
    if filter.hidden {
        return all_flows(tables, bridge, filter, now);
    }
    let names = Names { snapshot: tables, bridge };
    let mut out = String::new();
    for (table, rule) in tables.bridge_named(bridge).map(|b| b.flows(filter)).unwrap_or_default() {
        let (n_packets, n_bytes, used) = rule.stats.get();
        let since = |at: u64| Duration::from_nanos(now.as_nanos().saturating_sub(at));
        let stats = FlowStats {
            duration: since(rule.created.as_nanos()),
            n_packets,
            n_bytes,
            idle_age: (used != 0).then(|| since(used).as_secs()),
            hard_age: None,
        };
        let _ = writeln!(out, " {}", flow_text(&as_flow(&rule, table), Some(&stats), Version::Of10, &names));
    }
    out
}

/// All flows of a bridge, the switch's own too, as `bridge/dump-flows` prints them.
fn all_flows(tables: &Snapshot, bridge: &str, filter: &FlowFilter, now: Instant) -> String {
    let names = Names { snapshot: tables, bridge };
    let mut out = String::new();
    for (table, rule) in tables.bridge_named(bridge).map(|b| b.flows(filter)).unwrap_or_default() {
        let (packets, bytes, _) = rule.stats.get();
        if table.0 != 0 {
            let _ = write!(out, "table_id={}, ", table.0);
        }
        let _ = write!(out, "duration={}s, n_packets={packets}, n_bytes={bytes}, ", now.since(rule.created).as_secs());
        if rule.rank != i32::from(DEFAULT_PRIORITY) {
            let _ = write!(out, "priority={},", rule.rank);
        }
        if !rule.matching.is_any() {
            let _ = write!(out, "{},", format_match(&rule.matching, &FlowNames(&names)));
        }
        let _ = writeln!(out, "actions={}", actions_text_in(&rule.actions, Version::Of10, &rule.matching, &names));
    }
    out
}

/// The text of a scrape.
///
/// # Errors
/// A family contradicts itself.
pub(super) fn metrics(switch: &Switch) -> Result<String, String> {
    let mut s = Scrape::default();
    let version = [("version", env!("CARGO_PKG_VERSION")), ("dpdk", &switch.opener.dpdk_version())];
    s.gauge("ironbridge_info", "Version; always 1.", &version, 1.0);
    let up = switch.clock.now().as_nanos().saturating_sub(switch.started.as_nanos()) as f64 / 1e9;
    s.gauge("ironbridge_uptime_seconds", "Seconds since the switch started.", &[], up);
    port_metrics(switch, &mut s);
    failed_metrics(switch, &mut s);
    worker_metrics(switch, &mut s);
    for talk in super::snapshot::matrix(switch) {
        let labels = [("from", talk.from.as_str()), ("to", talk.to.as_str())];
        let help = "Packets from one port to another, copies included.";
        s.counter("ironbridge_matrix_packets_total", help, &labels, talk.packets);
    }
    let total = switch.control.totals();
    for (fate, n) in [
        ("received", total.received),
        ("forwarded", total.forwarded),
        ("consumed", total.consumed),
        ("dropped", total.drops()),
    ] {
        let help = "Packets by fate; forwarded, consumed, dropped and waiting sum to received.";
        s.counter("ironbridge_packets_total", help, &[("fate", fate)], n);
    }
    s.gauge("ironbridge_packets_waiting", "Packets that wait for translation.", &[], total.parked as f64);
    for reason in dpif::DropReason::ALL {
        let labels = [("reason", reason.name())];
        s.counter("ironbridge_dropped_total", "Packets dropped, by reason.", &labels, total.dropped(*reason));
    }
    for (pool, (used, all)) in switch.opener.pools() {
        let labels = [("pool", pool.as_str())];
        s.gauge("ironbridge_mempool_in_use_frames", "Frames taken from the pool.", &labels, f64::from(used));
        s.gauge("ironbridge_mempool_frames", "Frames of the pool.", &labels, f64::from(all));
    }
    for bridge in switch.manager.snapshot().bridges.iter().flatten() {
        let labels = [("bridge", &*bridge.name)];
        s.gauge("ironbridge_fdb_entries", "MAC addresses known.", &labels, bridge.fdb.len() as f64);
        let rules = bridge.flow_count() as f64;
        s.gauge("ironbridge_flows", "OpenFlow flows.", &labels, rules);
    }
    let (readers, kept) = switch.manager.readers();
    let jobs = switch.jobs.waiting() as f64;
    s.gauge("ironbridge_device_jobs", "Openings and closings of devices under way or waiting.", &[], jobs);
    s.gauge("ironbridge_table_version", "Newest version of the tables.", &[], switch.manager.snapshot().version as f64);
    s.gauge("ironbridge_table_versions_kept", "Old versions that a worker may still read.", &[], kept as f64);
    s.gauge("ironbridge_table_readers", "Threads that read tables.", &[], readers.len() as f64);
    if let Some(logger) = base::log::logger() {
        s.counter("ironbridge_log_lines_lost_total", "Log lines that no destination took.", &[], logger.lost());
    }
    s.text()
}

fn port_metrics(switch: &Switch, s: &mut Scrape) {
    for (no, entry) in &switch.ports {
        let Some(f) = switch.control.port_figures(*no) else { continue };
        let labels = [("bridge", entry.bridge.as_str()), ("port", entry.name.as_str())];
        let d = entry.device.stats();
        for (name, help, n) in [
            ("ironbridge_port_rx_packets_total", "Packets received.", f.fates.received),
            ("ironbridge_port_rx_bytes_total", "Bytes received.", f.fates.received_bytes),
            ("ironbridge_port_rx_forwarded_total", "Packets received here and forwarded.", f.fates.forwarded),
            ("ironbridge_port_rx_consumed_total", "Packets received here and consumed.", f.fates.consumed),
            ("ironbridge_port_rx_dropped_total", "Packets received here and dropped.", f.fates.drops()),
            ("ironbridge_port_rx_device_dropped_total", "Packets the device had no room for.", d.rx_dropped),
            ("ironbridge_port_rx_errors_total", "Damaged packets.", d.rx_errors),
            ("ironbridge_port_tx_packets_total", "Packets sent.", f.tx_packets),
            ("ironbridge_port_tx_bytes_total", "Bytes sent.", f.tx_bytes),
            ("ironbridge_port_tx_dropped_total", "Packets the device had no room for.", f.tx_dropped),
            ("ironbridge_port_tx_errors_total", "Packets that failed to be sent.", f.tx_errors + d.tx_errors),
        ] {
            s.counter(name, help, &labels, n);
        }
        for (name, help, n) in [
            ("ironbridge_port_misses_total", "Translations that packets received here caused.", f.misses),
            (
                "ironbridge_port_over_budget_total",
                "Packets of new flows received here when the port's translations were used up: they waited or were dropped.",
                f.over_budget,
            ),
            (
                "ironbridge_port_masks_capped_total",
                "Megaflows made narrower by the port's cap on masks.",
                f.masks_capped,
            ),
            ("ironbridge_port_evictions_total", "Megaflows evicted for those of the port.", f.evictions),
            (
                "ironbridge_port_fdb_evictions_total",
                "MAC addresses learned here that had to go because the port had too many.",
                switch.manager.fdb_evictions(&entry.bridge, entry.number),
            ),
        ] {
            s.counter(name, help, &labels, n);
        }
        s.gauge(
            "ironbridge_port_waiting",
            "Packets received here that wait for translation.",
            &labels,
            f.fates.parked as f64,
        );
        for (q, (_, c)) in super::snapshot::queues(switch, *no).into_iter().zip(switch.control.queues(*no)) {
            let number = q.number.to_string();
            let labels = [labels[0], labels[1], ("queue", number.as_str()), ("worker", q.worker.as_str())];
            s.counter("ironbridge_queue_rx_packets_total", "Packets received from a queue.", &labels, q.packets);
            s.counter("ironbridge_queue_rx_bytes_total", "Bytes received from a queue.", &labels, q.bytes);
            let help = "Cycles spent on the packets of a queue.";
            s.counter("ironbridge_queue_rx_cycles_total", help, &labels, c.cycles.get());
            let help =
                "Turns at which a queue was passed over, having had more of its worker's time than others that wait.";
            s.counter("ironbridge_queue_rx_passed_over_total", help, &labels, c.passed_over.get());
        }
        entry.device.metrics(&entry.name, s);
        let up = f64::from(u8::from(switch.state_of(&entry.device) == "up"));
        s.gauge("ironbridge_port_up", "Whether the port's link is up.", &labels, up);
        for (reason, n) in &f.fates.dropped {
            let labels = [labels[0], labels[1], ("reason", reason.name())];
            let help = "Packets received here and dropped, by reason.";
            s.counter("ironbridge_port_rx_dropped_reason_total", help, &labels, *n);
        }
    }
}

/// Ports that are wanted and not there are down, without counters.
fn failed_metrics(switch: &Switch, s: &mut Scrape) {
    for (bridge, name, ..) in &switch.failed {
        let labels = [("bridge", bridge.as_str()), ("port", name.as_str())];
        s.gauge("ironbridge_port_up", "Whether the port's link is up.", &labels, 0.0);
    }
}

fn worker_metrics(switch: &Switch, s: &mut Scrape) {
    for (id, name, c) in switch.control.workers() {
        let labels = [("worker", name)];
        for (level, n) in [
            ("simple", c.hit_simple.get()),
            ("signature", c.hit_signature.get()),
            ("megaflow", c.hit_tuple.get()),
            ("miss", c.miss.get()),
        ] {
            let both = [labels[0], ("level", level)];
            s.counter("ironbridge_lookups_total", "Lookups, by what answered them.", &both, n);
        }
        for (name, help, n) in [
            ("ironbridge_worker_received_total", "Packets received.", c.received.get()),
            ("ironbridge_worker_bursts_total", "Bursts with a packet.", c.bursts.get().count()),
            ("ironbridge_worker_sent_total", "Packets sent, copies included.", c.sent.get()),
            ("ironbridge_worker_sent_bursts_total", "Bursts sent.", c.sent_bursts.get()),
            ("ironbridge_worker_busy_cycles_total", "Cycles of loops that had packets.", c.busy_cycles.get()),
            ("ironbridge_worker_idle_cycles_total", "Cycles of other loops, and asleep.", c.idle_cycles.get()),
            ("ironbridge_worker_busy_loops_total", "Loops that had packets.", c.busy_steps.get()),
            ("ironbridge_worker_sleeps_total", "Sleeps for want of packets.", c.sleeps.get()),
            ("ironbridge_worker_recirculations_total", "Recirculations.", c.recirculated.get()),
            ("ironbridge_worker_translations_total", "Translations.", c.translations.get()),
            ("ironbridge_worker_uncached_total", "Translations not cached.", c.uncached.get()),
            ("ironbridge_worker_stale_total", "Megaflows removed by a change.", c.stale.get()),
            ("ironbridge_worker_evicted_total", "Megaflows evicted at the limit.", c.evicted.get()),
            (
                "ironbridge_worker_masks_capped_total",
                "Megaflows made narrower by the cap on masks.",
                c.masks_capped.get(),
            ),
            ("ironbridge_worker_effects_lost_total", "Effects that found no room.", c.lost.get()),
            ("ironbridge_worker_panics_total", "Panics caught.", c.panics.get()),
            ("ironbridge_worker_loops_total", "Loops run.", c.steps.get()),
        ] {
            s.counter(name, help, &labels, n);
        }
        s.gauge("ironbridge_megaflows", "Megaflows cached.", &labels, c.megaflows.get() as f64);
        s.gauge("ironbridge_masks", "Masks of megaflows, over all ports.", &labels, c.masks.get() as f64);
        let (waiting, refused) = switch.control.handoffs(id);
        s.gauge("ironbridge_ring_waiting", "Packets in the ring from other workers.", &labels, waiting as f64);
        s.counter("ironbridge_ring_refused_total", "Packets that found this ring full.", &labels, refused);
        if let Some(thread) = switch.threads.iter().find(|t| t.name == name) {
            let (busy, total) = thread.load.get();
            s.seconds("ironbridge_worker_busy_seconds_total", "Time in loops that did something.", &labels, busy);
            s.seconds("ironbridge_worker_seconds_total", "Time in loops.", &labels, total);
            let polls = f64::from(u8::from(thread.core.is_some()));
            s.gauge("ironbridge_worker_polls", "Whether it has a core and polls; else it sleeps.", &labels, polls);
            let ratio = if total == 0 { 0.0 } else { busy as f64 / total as f64 };
            s.gauge("ironbridge_worker_busy_ratio", "Share of the time since the start that was busy.", &labels, ratio);
        }
        let bursts = c.bursts.get();
        let mut sum = 0;
        let buckets: Vec<(u64, u64)> = (0..)
            .zip(&bursts.counts)
            .skip(1)
            .map(|(value, n)| {
                sum += n;
                (value, sum)
            })
            .collect();
        let help = "Packets of each receive call that gave some.";
        s.histogram("ironbridge_worker_burst_packets", help, &labels, &buckets, sum, bursts.sum);
        for (name, help, figures, least, most) in [
            (
                "ironbridge_worker_packet_cycles",
                "Cycles for each packet, receive call to transmit buffer, the average of its burst.",
                c.packet_cycles.get(),
                1 << 3,
                1 << 16,
            ),
            (
                "ironbridge_worker_miss_cycles",
                "Cycles of each miss: translation and making the megaflow.",
                c.miss_cycles.get(),
                1 << 9,
                1 << 24,
            ),
        ] {
            s.histogram(name, help, &labels, &figures.cumulative(least, most), figures.count(), figures.sum);
        }
    }
    s.gauge("ironbridge_cycles_per_second", "Rate of the counter that cycles are counted by.", &[], switch.hertz());
}
