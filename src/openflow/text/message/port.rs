//! Text of ports, their configuration and counters.

use crate::types::OfPort;
use crate::wire::port::{PortDesc, PortFeatures, PortMod, PortReason, PortStats, PortStatus, config, state};
use crate::wire::port_stats::{NAMES, Way};
use std::fmt::Write;

const FEATURES: [&str; 16] = [
    "10MB-HD",
    "10MB-FD",
    "100MB-HD",
    "100MB-FD",
    "1GB-HD",
    "1GB-FD",
    "10GB-FD",
    "40GB-FD",
    "100GB-FD",
    "1TB-FD",
    "OTHER",
    "COPPER",
    "FIBER",
    "AUTO_NEG",
    "AUTO_PAUSE",
    "AUTO_PAUSE_ASYM",
];

/// Mbit/s of the features that are speeds, lowest first.
const SPEEDS: [u32; 10] = [10, 10, 100, 100, 1000, 1000, 10_000, 40_000, 100_000, 1_000_000];

const CONFIG: [(u32, &str); 7] = [
    (config::PORT_DOWN, "PORT_DOWN"),
    (config::NO_STP, "NO_STP"),
    (config::NO_RECV, "NO_RECV"),
    (config::NO_RECV_STP, "NO_RECV_STP"),
    (config::NO_FLOOD, "NO_FLOOD"),
    (config::NO_FWD, "NO_FWD"),
    (config::NO_PACKET_IN, "NO_PACKET_IN"),
];

const STATE: [(u32, &str); 3] = [(state::LINK_DOWN, "LINK_DOWN"), (state::BLOCKED, "BLOCKED"), (state::LIVE, "LIVE")];

/// Names of the bits set, or "0".
fn bits(value: u32, names: &[(u32, &str)]) -> String {
    let found: Vec<_> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, n)| *n).collect();
    if found.is_empty() { "0".to_owned() } else { found.join(" ") }
}

fn state_text(value: u32) -> String {
    // "listening", which is 0, is not told
    let stp = match value & state::STP {
        0x100 => "STP_LEARN",
        0x200 => "STP_FORWARD",
        0x300 => "STP_BLOCK",
        _ => return bits(value, &STATE),
    };
    match bits(value, &STATE).as_str() {
        "0" => stp.to_owned(),
        others => format!("{others} {stp}"),
    }
}

fn features(f: PortFeatures) -> String {
    let named: Vec<_> = FEATURES.iter().enumerate().filter(|(i, _)| f.0 >> i & 1 != 0).map(|(_, n)| *n).collect();
    named.join(" ")
}

/// Mbit/s of the fastest that `f` has.
fn speed(f: PortFeatures) -> u32 {
    SPEEDS.iter().enumerate().rev().find(|(i, _)| f.0 >> i & 1 != 0).map_or(0, |(_, s)| *s)
}

fn mac(address: u64) -> String {
    crate::text::value::mac_text(address.into())
}

/// A port with all its lines.
pub(super) fn desc(p: &PortDesc) -> String {
    let mut out = format!("{}({}): addr:{}\n", p.port, printable(&p.name), mac(p.hw_addr));
    let _ = writeln!(out, "     config:     {}", bits(p.config, &CONFIG));
    let _ = writeln!(out, "     state:      {}", state_text(p.state));
    for (name, f) in [
        ("current:   ", p.current),
        ("advertised:", p.advertised),
        ("supported: ", p.supported),
        ("peer:      ", p.peer),
    ] {
        if f.0 != 0 {
            let _ = writeln!(out, "     {name} {}", features(f));
        }
    }
    let now = if p.current_speed == 0 { speed(p.current) } else { p.current_speed / 1000 };
    let max = if p.max_speed == 0 { speed(p.supported) } else { p.max_speed / 1000 };
    let _ = writeln!(out, "     speed: {now} Mbps now, {max} Mbps max");
    out
}

/// Ports in the order of their numbers, each indented by one.
pub(super) fn list(ports: &[PortDesc]) -> String {
    let mut sorted: Vec<_> = ports.iter().collect();
    sorted.sort_by_key(|p| p.port);
    sorted.iter().map(|p| format!(" {}", desc(p))).collect()
}

pub(super) fn status(s: &PortStatus) -> String {
    let what = match s.reason {
        PortReason::Add => "ADD",
        PortReason::Delete => "DEL",
        PortReason::Modify => "MOD",
    };
    format!(" {what}: {}", desc(&s.port))
}

pub(super) fn modify(m: &PortMod) -> String {
    let advertise = if m.advertise.0 == 0 { "UNCHANGED".to_owned() } else { features(m.advertise) };
    format!(
        " port: {}: addr:{}\n     config: {}\n     mask:   {}\n     advertise: {advertise}\n",
        m.port,
        mac(m.hw_addr),
        bits(m.config, &CONFIG),
        bits(m.mask, &CONFIG)
    )
}

/// A filter's port, of which NONE is any.
pub(super) fn wanted(port: OfPort) -> String {
    if port == OfPort::NONE { "ANY".to_owned() } else { port.to_string() }
}

pub(super) fn stats(ports: &[PortStats]) -> String {
    let mut out = format!(" {} ports\n", ports.len());
    let number = |n: u64| if n == u64::MAX { "?".to_owned() } else { n.to_string() };
    for p in ports {
        let port = if p.port.reserved_name().is_some() { p.port.to_string() } else { format!("{:>2}", p.port.0) };
        let line = |names: &[(&str, u64)]| {
            names.iter().map(|(n, v)| format!("{n}={}", number(*v))).collect::<Vec<_>>().join(", ")
        };
        let rx = line(&[
            ("pkts", p.rx_packets),
            ("bytes", p.rx_bytes),
            ("drop", p.rx_dropped),
            ("errs", p.rx_errors),
            ("frame", p.rx_frame_err),
            ("over", p.rx_over_err),
            ("crc", p.rx_crc_err),
        ]);
        let tx = line(&[
            ("pkts", p.tx_packets),
            ("bytes", p.tx_bytes),
            ("drop", p.tx_dropped),
            ("errs", p.tx_errors),
            ("coll", p.collisions),
        ]);
        let _ = writeln!(out, "  port {port}: rx {rx}\n           tx {tx}");
        if let Some(d) = p.duration.filter(|d| d.as_secs() != u64::from(u32::MAX)) {
            let _ = writeln!(out, "           duration={}", super::duration(d));
        }
        out.push_str(&more(p));
    }
    out
}

/// Counters beyond the protocol's own, of which those that are not known are left out.
fn more(p: &PortStats) -> String {
    let mut out = String::new();
    for (way, word) in [(Way::Rx, "rx"), (Way::Tx, "tx")] {
        let counters = p.rfc2819.iter().flat_map(|all| NAMES.iter().zip(all.iter()));
        let known = counters.filter(|((w, _), n)| *w == way && **n != u64::MAX);
        let texts: String = known.map(|((_, name), n)| format!("{name}={n}, ")).collect();
        if !texts.is_empty() {
            let _ = writeln!(out, "           {word} rfc2819 {texts}");
        }
    }
    if !p.custom.is_empty() {
        out.push_str("           CUSTOM Statistics\n");
    }
    for three in p.custom.chunks(3) {
        let texts: Vec<_> = three.iter().map(|(name, n)| format!("{}={n}", printable(name))).collect();
        let _ = writeln!(out, "                      {},", texts.join(", "));
    }
    out
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}
