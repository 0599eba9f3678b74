//! Text of meters and queues.

use super::duration;
use crate::text::names::{PortNames, port_text};
use crate::types::{MeterId, OfPort};
use crate::wire::Version;
use crate::wire::meter::{Band, BandKind, MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats, meter_flag};
use crate::wire::queue::{QueueConfig, QueueRequest, QueueStats};
use std::fmt::Write;

const FLAGS: [(u16, &str); 4] = [
    (meter_flag::KBPS, "kbps"),
    (meter_flag::PKTPS, "pktps"),
    (meter_flag::BURST, "burst"),
    (meter_flag::STATS, "stats"),
];

/// A meter's number or the word for a reserved one (OpenFlow 1.3.5, section 7.3.4.3).
pub(super) fn meter_id(id: MeterId) -> String {
    match id.0 {
        0xffff_fffd => "slowpath".to_owned(),
        0xffff_fffe => "controller".to_owned(),
        0xffff_ffff => "all".to_owned(),
        n => n.to_string(),
    }
}

/// Names of flags, each followed by a space.
fn flags(bits: u16) -> String {
    let mut out: String = FLAGS.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| format!("{n} ")).collect();
    let unknown = bits & !FLAGS.iter().fold(0, |all, (b, _)| all | b);
    if unknown != 0 {
        let _ = write!(out, "flags:{unknown:#x} ");
    }
    out
}

fn band(b: &Band, bits: u16) -> String {
    let kind = if b.kind == BandKind::Drop { "drop" } else { "dscp_remark" };
    let mut out = format!("type={kind} rate={}", b.rate);
    if bits & meter_flag::BURST != 0 {
        let _ = write!(out, " burst_size={}", b.burst);
    }
    if let BandKind::DscpRemark(level) = b.kind {
        let _ = write!(out, " prec_level={level}");
    }
    out + "\n"
}

/// A meter with a line for each band.
pub(super) fn meter(m: &MeterConfig) -> String {
    let bands: String = m.bands.iter().map(|b| band(b, m.flags)).collect();
    format!("meter={} {}bands=\n{bands}", meter_id(m.id), flags(m.flags))
}

pub(super) fn meter_mod(m: &MeterMod) -> String {
    let command = match m.command {
        MeterCommand::Add => "ADD",
        MeterCommand::Modify => "MOD",
        MeterCommand::Delete => "DEL",
    };
    format!(" {command} {}", meter(&m.meter))
}

pub(super) fn meter_stats(out: &mut String, m: &MeterStats) {
    let _ = writeln!(
        out,
        "\nmeter:{} flow_count:{} packet_in_count:{} byte_in_count:{} duration:{} bands:",
        meter_id(m.id),
        m.flows,
        m.packets,
        m.bytes,
        duration(m.duration)
    );
    for (n, b) in m.bands.iter().enumerate() {
        let _ = writeln!(out, "{n}: packet_count:{} byte_count:{}", b.packets, b.bytes);
    }
}

pub(super) fn meter_features(out: &mut String, f: &MeterFeatures) {
    let named = |bits: u32, names: &[(u32, &'static str)]| {
        let found: Vec<_> = names.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect();
        if found.is_empty() { "0".to_owned() } else { found.join(" ") }
    };
    let capabilities = FLAGS.map(|(b, n)| (u32::from(b), n));
    let _ = write!(
        out,
        "\nmax_meter:{} max_bands:{} max_color:{}\nband_types: {}\ncapabilities: {}\n",
        f.max_meters,
        f.max_bands,
        f.max_color,
        named(f.band_types, &[(2, "drop"), (4, "dscp_remark")]),
        named(f.capabilities, &capabilities)
    );
}

fn port(port: Option<OfPort>, names: &dyn PortNames) -> String {
    port.map_or_else(|| "ANY".to_owned(), |p| port_text(p, names))
}

/// Which queues' counters are asked for.
pub(super) fn queues(r: QueueRequest, names: &dyn PortNames) -> String {
    let queue = r.queue.map_or_else(|| "ALL".to_owned(), |q| q.to_string());
    format!(" port={} queue={queue}", port(r.port, names))
}

/// Which queues' configuration is asked for; before OpenFlow 1.4 a port's, and all when no queue is named.
pub(super) fn queues_of(r: QueueRequest, version: Version, names: &dyn PortNames) -> String {
    let queue = r.queue.filter(|_| version >= Version::Of14).map_or_else(String::new, |q| format!(" queue={q}"));
    format!(" port={}{queue}", port(r.port, names))
}

pub(super) fn queue_stats(out: &mut String, queues: &[QueueStats], names: &dyn PortNames) {
    let _ = writeln!(out, " {} queues", queues.len());
    let number = |n: u64| if n == u64::MAX { "?".to_owned() } else { n.to_string() };
    for q in queues {
        let _ = writeln!(
            out,
            "  port {} queue {}: bytes={}, pkts={}, errors={}, duration={}",
            port_text(q.port, names),
            q.queue,
            number(q.bytes),
            number(q.packets),
            number(q.errors),
            q.duration.map_or_else(|| "?".to_owned(), duration)
        );
    }
}

/// Tenths of a percent, up to all of it.
fn rate(n: u16) -> String {
    if n <= 1000 { format!("{}.{}%", n / 10, n % 10) } else { "(disabled)".to_owned() }
}

/// Queues by port and number, each port named once.
pub(super) fn queue_configs(out: &mut String, queues: &[QueueConfig], names: &dyn PortNames) {
    let mut sorted: Vec<_> = queues.iter().collect();
    sorted.sort_by_key(|q| (q.port, q.queue));
    let mut last = None;
    for q in sorted {
        if last != Some(q.port) {
            let space = if last.is_none() { " " } else { "" };
            let _ = writeln!(out, "{space}port={}", port(Some(q.port).filter(|p| *p != OfPort::NONE), names));
            last = Some(q.port);
        }
        let _ = write!(out, "queue {}:", q.queue);
        for (name, n) in [("min_rate", q.min_rate), ("max_rate", q.max_rate)] {
            if let Some(n) = n {
                let _ = write!(out, " {name}:{}", rate(n));
            }
        }
        out.push('\n');
    }
}
