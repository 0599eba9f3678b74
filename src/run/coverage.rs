//! `coverage/*`, `memory/show` and `upcall/show`: how often things happened, and how much there is of what, in the words of
//! ovs-appctl(8). Counts are those that are kept anyway; a sample every 5 seconds makes rates of them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use base::clock::Instant;
use pipeline::normal::fdb::Events;

use super::switch::Switch;

type Answer = Result<String, String>;

/// Seconds between samples.
const INTERVAL: u64 = 5;
/// Samples of a minute, and minutes of an hour.
const OF_MINUTE: usize = 12;
const OF_HOUR: usize = 60;

/// Counts of a moment, in the order of [`counts`].
type Sample = Vec<u64>;

/// What is kept of the past.
#[derive(Default)]
pub(super) struct Coverage {
    next: Option<Instant>,
    /// Every 5 seconds, the newest last: those of a minute, and one more.
    samples: VecDeque<Sample>,
    /// Every minute.
    minutes: VecDeque<Sample>,
    taken: usize,
    /// Megaflows: the sum over samples, and the most.
    flows: (u64, u64),
}

impl Coverage {
    /// When it wants a sample.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        self.next.unwrap_or(now)
    }

    fn take(&mut self, sample: Sample, flows: u64) {
        if self.taken.is_multiple_of(OF_MINUTE) {
            push(&mut self.minutes, sample.clone(), OF_HOUR + 1);
        }
        push(&mut self.samples, sample, OF_MINUTE + 1);
        self.taken += 1;
        self.flows = (self.flows.0 + flows, self.flows.1.max(flows));
    }

    /// Averages in a second of count `at` over the last 5 seconds, minute and hour, as far as samples go back.
    fn rates(&self, at: usize) -> [f64; 3] {
        let last = |samples: &VecDeque<Sample>, back: usize, seconds: u64| {
            let newest = samples.back().and_then(|s| s.get(at)).copied().unwrap_or(0);
            let oldest = samples.len().checked_sub(back + 1).map_or_else(|| samples.front(), |i| samples.get(i));
            let oldest = oldest.and_then(|s| s.get(at)).copied().unwrap_or(0);
            newest.saturating_sub(oldest) as f64 / seconds as f64
        };
        let minute = INTERVAL * OF_MINUTE as u64;
        [
            last(&self.samples, 1, INTERVAL),
            last(&self.samples, OF_MINUTE, minute),
            last(&self.minutes, OF_HOUR, 60 * minute),
        ]
    }
}

fn push(samples: &mut VecDeque<Sample>, sample: Sample, most: usize) {
    samples.push_back(sample);
    if samples.len() > most {
        samples.pop_front();
    }
}

/// What is counted, by name; always the same names in the same order. Drops are there by reason, and by the counters that
/// Open vSwitch has for them.
fn counts(switch: &Switch) -> Vec<(String, u64)> {
    let fdb: Events = switch.manager.fdb_all_events();
    let totals = switch.control.totals();
    let workers = |of: fn(&datapath::stats::WorkerCounters) -> u64| switch.control.workers().map(|(.., c)| of(c)).sum();
    let mut out: Vec<(String, u64)> = [
        ("bridge_reconfigure", switch.reconfigured),
        ("mac_learning_evicted", fdb.evicted),
        ("mac_learning_expired", fdb.expired),
        ("mac_learning_learned", fdb.learned),
        ("mac_learning_moved", fdb.moved),
        ("mac_learning_static_none_move", fdb.refused),
        ("megaflow_evicted", workers(|c| c.evicted.get())),
        ("megaflow_stale", workers(|c| c.stale.get())),
        ("packet_consumed", totals.consumed),
        ("packet_forwarded", totals.forwarded),
        ("packet_received", totals.received),
        ("packet_recirculated", workers(|c| c.recirculated.get())),
        ("packet_sent", workers(|c| c.sent.get())),
        ("rconn_overflow", switch.openflow.dropped()),
        ("table_version", switch.manager.snapshot().version),
        ("translation", workers(|c| c.translations.get())),
        ("translation_uncached", workers(|c| c.uncached.get())),
        ("unixctl_received", switch.calls),
    ]
    .map(|(name, n)| (name.to_owned(), n))
    .into();
    out.extend(dpif::DropReason::ALL.iter().map(|r| (format!("drop_{}", r.name()), totals.dropped(*r))));
    let mut stock = BTreeMap::<&str, u64>::new();
    for reason in dpif::DropReason::ALL {
        if let Some(name) = reason.stock() {
            *stock.entry(name).or_default() += totals.dropped(*reason);
        }
    }
    out.extend(stock.into_iter().map(|(name, n)| (name.to_owned(), n)));
    out
}

fn megaflows(switch: &Switch) -> u64 {
    switch.control.workers().map(|(.., c)| c.megaflows.get()).sum()
}

impl Switch {
    /// Takes a sample when one is due.
    pub(super) fn sample(&mut self, now: Instant) {
        if now < self.coverage.deadline(now) {
            return;
        }
        self.coverage.next = Some(now + std::time::Duration::from_secs(INTERVAL));
        let sample = counts(self).into_iter().map(|(_, n)| n).collect();
        let flows = megaflows(self);
        self.coverage.take(sample, flows);
    }
}

/// `coverage/show`.
pub(super) fn show(switch: &mut Switch, _: &[String]) -> Answer {
    let mut out = String::from("Event coverage, avg rate over last: 5 seconds, last minute, last hour:\n");
    let mut never = 0;
    for (at, (name, n)) in counts(switch).iter().enumerate() {
        if *n == 0 {
            never += 1;
            continue;
        }
        let [five, minute, hour] = switch.coverage.rates(at);
        let _ = writeln!(out, "{name:<24} {five:5.1}/sec {minute:9.3}/sec {hour:13.4}/sec   total: {n}");
    }
    let _ = writeln!(out, "{never} events never hit");
    Ok(out)
}

/// `coverage/read-counter COUNTER`.
pub(super) fn read(switch: &mut Switch, arguments: &[String]) -> Answer {
    let found = counts(switch).into_iter().find(|(name, _)| arguments.first() == Some(name));
    found.map(|(_, n)| format!("{n}\n")).ok_or_else(|| "No such counter".into())
}

/// `memory/show`: how much there is of what takes memory.
pub(super) fn memory(switch: &mut Switch, _: &[String]) -> Answer {
    let bridges = || switch.manager.snapshot().bridges.iter().flatten();
    let (_, versions) = switch.manager.readers();
    let all = [
        ("fdb-entries", bridges().map(|b| b.fdb.len()).sum()),
        ("groups", bridges().map(|b| b.groups.len()).sum()),
        ("megaflows", megaflows(switch) as usize),
        ("ports", switch.ports.len()),
        ("rules", bridges().map(|b| b.flow_count()).sum()),
        ("table-versions-kept", versions),
        ("workers", switch.threads.len()),
    ];
    let shown = all.iter().filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name}:{n}"));
    Ok(shown.collect::<Vec<_>>().join(" ") + "\n")
}

/// `upcall/show`: megaflows of each datapath that has bridges, all of which share the limit, and of each worker.
pub(super) fn upcalls(switch: &mut Switch, _: &[String]) -> Answer {
    let (sum, most) = switch.coverage.flows;
    let now = megaflows(switch);
    let (average, most) = (sum / (switch.coverage.taken as u64).max(1), most.max(now));
    let limit = switch.control.limits().megaflows;
    let mut out = String::new();
    for name in super::dpctl::datapaths(switch).lines() {
        let _ =
            writeln!(out, "{name}:\n  flows         : (current {now}) (avg {average}) (max {most}) (limit {limit})");
        let _ = writeln!(out, "  ufid enabled : false\n");
        for (at, (_, worker, c)) in switch.control.workers().enumerate() {
            let _ = writeln!(out, "  {at}: (keys {}) {worker}", c.megaflows.get());
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_go_back_as_far_as_samples() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.rates(0), [0.0; 3]);
        // 10 a second for two hours, nothing in the last minute
        for at in 0..=2 * 720 {
            let n = (50 * at).min(50 * (2 * 720 - 12));
            coverage.take(vec![n as u64], 7);
        }
        let [five, minute, hour] = coverage.rates(0);
        assert_eq!((five, minute), (0.0, 0.0));
        assert!((hour - 10.0 * 59.0 / 60.0).abs() < 0.01, "{hour}");
        assert_eq!((coverage.samples.len(), coverage.minutes.len()), (OF_MINUTE + 1, OF_HOUR + 1));
        assert_eq!(coverage.flows, (7 * (2 * 720 + 1), 7));
    }
}
