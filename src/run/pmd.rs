//! The `dpif-netdev/pmd-*` commands, in the words of ovs-vswitchd(8).

use std::fmt::Write as _;
use std::time::Duration;

use base::clock::Instant;
use datapath::WorkerId;
use datapath::figures::WorkerFigures;
use datapath::histogram::{Figures, upper};
use datapath::schedule::balance::percent;
use datapath::schedule::history::{INTERVAL, intervals};

use super::switch::Switch;

/// What the arguments of these commands say.
#[derive(Default)]
struct Choice {
    core: Option<usize>,
    seconds: u64,
    /// `-nh`.
    no_histograms: bool,
}

/// The datapath's names: there is one.
const NAMES: [&str; 5] = ["netdev@ovs-netdev", "ovs-netdev", "dummy@ovs-dummy", "ovs-dummy", "ironbridge"];

fn choice(arguments: &[String]) -> Result<Choice, String> {
    let mut out = Choice::default();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        let mut number = |what: &str| {
            let value = rest.next().ok_or_else(|| format!("{what}: expected a number after it"))?;
            // a number below 0 says nothing, as for the stock switch
            let n = value.parse::<i64>().map_err(|_| format!("{what}: {value}: expected a number"))?;
            Ok::<u64, String>(u64::try_from(n).unwrap_or(0))
        };
        match word {
            "-pmd" => out.core = Some(number(word)? as usize),
            "-secs" => out.seconds = number(word)?,
            "-nh" => out.no_histograms = true,
            "-it" | "-ms" if number(word)? != 0 => {
                return Err(format!("{word}: a history of single iterations is not kept; histograms and totals are"));
            }
            "-it" | "-ms" => {}
            name if NAMES.contains(&name) => {}
            _ => return Err("please specify an existing datapath".into()),
        }
    }
    Ok(out)
}

/// A worker that is shown.
struct Shown {
    id: WorkerId,
    /// Core and memory node; None for the one that sleeps, which is called main.
    place: Option<(usize, u32)>,
    figures: WorkerFigures,
    /// When the figures began.
    since: Instant,
}

fn shown(switch: &mut Switch, choice: &Choice) -> Vec<Shown> {
    let mut out = Vec::new();
    let workers: Vec<(WorkerId, Option<usize>, WorkerFigures)> = switch
        .control
        .workers()
        .filter(|(id, ..)| !switch.control.is_retired(*id))
        .map(|(id, name, c)| {
            let core = switch.threads.iter().find(|t| t.name == name).and_then(|t| t.core);
            (id, core, WorkerFigures::of(c))
        })
        .collect();
    for (id, core, figures) in workers {
        let (figures, since) = match switch.scheduler.cleared.get(&id) {
            Some((cleared, when)) => (figures.since(cleared), *when),
            None => (figures, switch.started),
        };
        let place = core.map(|core| (core, switch.scheduler.node(core)));
        out.push(Shown { id, place, figures, since });
    }
    out.retain(|s| choice.core.is_none() || s.place.map(|p| p.0) == choice.core);
    out.sort_by_key(|s| s.place.map_or((1, 0), |(core, _)| (0, core)));
    out
}

fn title(place: Option<(usize, u32)>) -> String {
    match place {
        Some((core, node)) => format!("pmd thread numa_id {node} core_id {core}:"),
        None => "main thread:".into(),
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `dpif-netdev/pmd-stats-show [-pmd core] [dp]`.
pub(super) fn stats(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let mut out = String::new();
    for Shown { place, figures: f, .. } in shown(switch, &choice(arguments)?) {
        let _ = writeln!(out, "{}", title(place));
        let _ = writeln!(out, "  packets received: {}", f.received);
        let _ = writeln!(out, "  packet recirculations: {}", f.recirculated);
        let _ = writeln!(out, "  avg. datapath passes per packet: {:.2}", ratio(f.lookups(), f.received));
        let _ = writeln!(out, "  phwol hits: 0\n  mfex opt hits: 0");
        let _ = writeln!(out, "  simple match hits: {}", f.hit_simple);
        let _ = writeln!(out, "  emc hits: 0\n  smc hits: {}", f.hit_signature);
        let _ = writeln!(out, "  megaflow hits: {}", f.hit_tuple);
        let subtables = ratio(f.subtables, f.hit_tuple);
        let _ = writeln!(out, "  avg. subtable lookups per megaflow hit: {subtables:.2}");
        let _ = writeln!(out, "  miss with success upcall: {}", f.miss);
        let _ = writeln!(out, "  miss with failed upcall: {}", f.over_budget);
        let _ = writeln!(out, "  avg. packets per output batch: {:.2}", ratio(f.sent, f.sent_bursts));
        let all = f.cycles();
        if place.is_none() || all == 0 {
            continue;
        }
        let (idle, busy) = (f.idle_cycles, f.busy_cycles);
        let _ = writeln!(out, "  idle cycles: {idle} ({:.2}%)", 100.0 * ratio(idle, all));
        let _ = writeln!(out, "  processing cycles: {busy} ({:.2}%)", 100.0 * ratio(busy, all));
        let n = f.received;
        if n != 0 {
            let _ = writeln!(out, "  avg cycles per packet: {:.2} ({all}/{n})", ratio(all, n));
            let _ = writeln!(out, "  avg processing cycles per packet: {:.2} ({busy}/{n})", ratio(busy, n));
        }
    }
    Ok(out)
}

/// `dpif-netdev/pmd-stats-clear [-pmd core] [dp]`: displays count from now on.
pub(super) fn clear(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let choice = choice(arguments)?;
    let ids: Vec<WorkerId> = shown(switch, &choice).into_iter().map(|s| s.id).collect();
    let now = switch.clock.now();
    for (id, _, counters) in switch.control.workers().filter(|(id, ..)| ids.contains(id)) {
        switch.scheduler.cleared.insert(id, (WorkerFigures::of(counters), now));
    }
    Ok(String::new())
}

/// `dpif-netdev/pmd-rxq-show [-pmd core] [-secs secs] [dp]`.
pub(super) fn rxqs(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let choice = choice(arguments)?;
    let n = intervals(choice.seconds);
    let mut out = format!("Displaying last {} seconds pmd usage %\n", n as u64 * INTERVAL);
    for Shown { id, place, .. } in shown(switch, &choice) {
        let Some(place) = place else { continue };
        let _ = writeln!(out, "{}\n  isolated : {}", title(Some(place)), switch.scheduler.is_isolated(id));
        let sums = switch.scheduler.workers.get(&id).and_then(|h| h.sum(n));
        let usage = |part: Option<u64>| match (part, sums) {
            (Some(part), Some([busy, idle])) => format!("{:2} %", percent(part, busy + idle)),
            _ => "NOT AVAIL".into(),
        };
        let (mut known, mut some) = (Some(0), false);
        for queue in switch.control.rx_queues().filter(|q| q.worker == Some(id)) {
            let port = switch.ports.get(&queue.port);
            let name = port.map_or("?", |p| p.name.as_str());
            let on = port.is_none_or(|p| p.device.receives(queue.number));
            let on = if on { "(enabled) " } else { "(disabled)" };
            let cycles = switch.scheduler.queues.get(&(queue.port, queue.number)).and_then(|h| h.sum(n)).map(|[c]| c);
            known = known.zip(cycles).map(|(a, b)| a + b);
            let usage = usage(cycles);
            some = true;
            let _ = writeln!(out, "  port: {name:<16}  queue-id: {:2} {on}  pmd usage: {usage}", queue.number);
        }
        let rest = known.zip(sums).map(|(queues, [busy, _])| busy.saturating_sub(queues));
        if some {
            let _ = writeln!(out, "  overhead: {}", usage(rest));
        }
    }
    Ok(out)
}

/// `dpif-netdev/pmd-rxq-rebalance [dp]`.
pub(super) fn rebalance(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    choice(arguments)?;
    switch.assign();
    Ok("pmd rxq rebalance requested.\n".into())
}

/// `dpif-netdev/pmd-perf-show [-nh] [-pmd core] [dp]`.
pub(super) fn perf(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let choice = choice(arguments)?;
    let now = switch.clock.now();
    let hertz = switch.hertz().max(1.0);
    let mut out = String::new();
    for Shown { place, figures: f, since, .. } in shown(switch, &choice) {
        if place.is_none() {
            continue;
        }
        let seconds = (now.as_nanos().saturating_sub(since.as_nanos()) as f64 / 1e9).max(1e-9);
        let used = f.cycles();
        let idle = f.steps.saturating_sub(f.busy_steps);
        let per_step = 1e6 * seconds / f.steps.max(1) as f64;
        let pc = |part: u64, whole: u64| 100.0 * ratio(part, whole);
        let time = wall(switch);
        let _ = writeln!(out, "\nTime: {time}\nMeasurement duration: {seconds:.3} s\n\n{}\n", title(place));
        let _ = writeln!(out, "  Iterations:         {:12}  ({per_step:.2} us/it)", f.steps);
        let share = 100.0 * used as f64 / (hertz * seconds);
        let _ = writeln!(out, "  - Used TSC cycles:  {used:12}  ({share:5.1} % of total cycles)");
        let (idle_pc, busy_pc) = (pc(f.idle_cycles, used), pc(f.busy_cycles, used));
        let _ = writeln!(out, "  - idle iterations:  {idle:12}  ({idle_pc:5.1} % of used cycles)");
        let _ = writeln!(out, "  - busy iterations:  {:12}  ({busy_pc:5.1} % of used cycles)", f.busy_steps);
        let _ = writeln!(out, "  - sleep iterations: {:12}  ({:5.1} % of iterations)", f.sleeps, pc(f.sleeps, f.steps));
        let (slept, each) = (f.slept / 1000, ratio(f.slept / 1000, f.steps));
        let _ = writeln!(out, "  Sleep time (us):    {slept:12}  ({each:3.0} us/iteration avg.)");
        if f.received == 0 {
            let _ = writeln!(out, "  Rx packets:         {:12}", 0);
        } else {
            let kpps = f.received as f64 / seconds / 1e3;
            let cycles = ratio(f.busy_cycles, f.received);
            let _ = writeln!(out, "  Rx packets:         {:12}  ({kpps:.0} Kpps, {cycles:.0} cycles/pkt)", f.received);
            let all = f.lookups();
            let passes = ratio(all, f.received);
            let _ = writeln!(out, "  Datapath passes:    {all:12}  ({passes:.2} passes/pkt)");
            for (what, n) in [
                ("- PHWOL hits:       ", 0),
                ("- MFEX Opt hits:    ", 0),
                ("- Simple Match hits:", f.hit_simple),
                ("- EMC hits:         ", 0),
                ("- SMC hits:         ", f.hit_signature),
            ] {
                let _ = writeln!(out, "  {what}{n:12}  ({:5.1} %)", pc(n, all));
            }
            let subtables = ratio(f.subtables, f.hit_tuple);
            let share = pc(f.hit_tuple, all);
            let _ = writeln!(
                out,
                "  - Megaflow hits:    {:12}  ({share:5.1} %, {subtables:.2} subtbl lookups/hit)",
                f.hit_tuple
            );
            let (share, micros) = (pc(f.miss, all), 1e6 * f.miss_cycles.average() / hertz);
            let _ = writeln!(out, "  - Upcalls:          {:12}  ({share:5.1} %, {micros:.1} us/upcall)", f.miss);
            let lost = pc(f.over_budget, all);
            let _ = writeln!(out, "  - Lost upcalls:     {:12}  ({lost:5.1} %)", f.over_budget);
        }
        if f.sent == 0 {
            let _ = writeln!(out, "  Tx packets:         {:12}", 0);
        } else {
            let kpps = f.sent as f64 / seconds / 1e3;
            let _ = writeln!(out, "  Tx packets:         {:12}  ({kpps:.0} Kpps)", f.sent);
            let each = ratio(f.sent, f.sent_bursts);
            let _ = writeln!(out, "  Tx batches:         {:12}  ({each:.2} pkts/batch)", f.sent_bursts);
        }
        if !choice.no_histograms {
            histograms(&mut out, &f);
        }
    }
    Ok(out)
}

/// Wall-clock time of day, as these displays begin.
fn wall(switch: &Switch) -> String {
    let since = switch.clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let s = since.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", s / 3600, s / 60 % 60, s % 60, since.subsec_millis())
}

/// Rows of a histogram by magnitude in which something is, or between such.
fn rows(figures: &Figures) -> Vec<(u64, u64)> {
    let first = figures.counts.iter().position(|n| *n != 0).unwrap_or(0);
    let last = figures.counts.iter().rposition(|n| *n != 0).unwrap_or(0);
    let rows = figures.counts.iter().enumerate().skip(first).take(last + 1 - first);
    rows.filter(|(at, _)| *at != 1).map(|(at, n)| (upper(at), *n)).collect()
}

/// Three columns: the largest value of a row, and how many values are in it.
fn histograms(out: &mut String, f: &WorkerFigures) {
    let linear = f.bursts.counts.iter().enumerate().skip(1).map(|(value, n)| (value as u64, *n));
    let columns = [
        ("cycles/pkt", rows(&f.packet_cycles)),
        ("pkts/batch", linear.collect()),
        ("cycles/upcall", rows(&f.miss_cycles)),
    ];
    let _ = writeln!(out, "\nHistograms");
    let line = |cells: Vec<String>| format!("   {}", cells.join("   ")).trim_end().to_owned();
    let _ = writeln!(out, "{}", line(columns.iter().map(|(name, _)| format!("{name:<25}")).collect()));
    let longest = columns.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
    for at in 0..longest {
        let cell = |(_, rows): &(&str, Vec<(u64, u64)>)| match rows.get(at) {
            Some((bound, n)) => format!("{bound:<12} {n:<12}"),
            None => " ".repeat(25),
        };
        let _ = writeln!(out, "{}", line(columns.iter().map(cell).collect()));
    }
    let _ = writeln!(out, "{}", "-".repeat(84));
    let averages = [f.packet_cycles.average(), f.bursts.average(), f.miss_cycles.average()];
    let _ = writeln!(out, "{}", line(averages.iter().map(|a| format!("{a:<25.1}")).collect()));
}
