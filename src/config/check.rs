//! What serde cannot check: ranges, names that must differ, options that a type needs.

use std::collections::HashMap;

use super::topology::{Bridge, InterfaceType, Port, VlanMode};
use super::{Config, Metrics, Workers, is_reachable};

/// Something wrong with a value. `index` counts the tables of that name before it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) key: String,
    pub(super) index: usize,
    pub(super) message: String,
}

fn problem<T>(key: &str, index: usize, message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem { key: key.to_owned(), index, message: message.into() })
}

/// The longest interface name that the kernel takes (IFNAMSIZ less the final 0).
const NAME_MAX: usize = 15;

pub(super) fn check(config: &Config) -> Result<(), Problem> {
    if let Workers::Cores(cores) = &config.cpu.workers {
        for (i, core) in cores.iter().enumerate() {
            if cores.iter().take(i).any(|c| c == core) {
                return problem("cpu.workers", 0, format!("core {core} is listed twice, expected different cores"));
            }
        }
    }
    metrics_ok(&config.metrics)?;
    if let Some(remote) = config.database.iter().flat_map(|d| &d.remotes).find(|r| !super::Database::is_remote(r)) {
        let wanted = "expected unix:FILE, tcp:IP:PORT or ssl:IP:PORT";
        return problem("database.remotes", 0, format!("has \"{remote}\", {wanted}"));
    }
    if let Some(d) = &config.database {
        let names = [("tls-cert", &d.tls_cert), ("tls-key", &d.tls_key), ("tls-ca", &d.tls_ca)];
        if names.iter().any(|(_, file)| file.is_some())
            && let Some((missing, _)) = names.iter().find(|(_, file)| file.is_none())
        {
            let wanted = "tls-cert, tls-key and tls-ca go together";
            return problem("database", 0, format!("has no {missing}, expected it: {wanted}"));
        }
    }
    if let Err(e) = super::Datapath::parse(&config.other_config) {
        return problem("other_config", 0, e);
    }
    if config.limits.flow_limit == 0 {
        return problem("limits.flow-limit", 0, "is 0, expected at least 1");
    }
    if !(2..=1024).contains(&config.limits.masks) {
        return problem("limits.masks", 0, format!("is {}, expected 2 to 1024", config.limits.masks));
    }
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut port_index = 0;
    for (i, bridge) in config.bridges.iter().enumerate() {
        name_ok("bridge.name", i, &bridge.name)?;
        if names.insert(&bridge.name, "bridge").is_some() {
            return problem("bridge.name", i, format!("\"{}\" is used before, expected a new name", bridge.name));
        }
        bridge_ok(bridge, i)?;
        let mut numbers: HashMap<u16, &str> = HashMap::new();
        for port in &bridge.ports {
            name_ok("bridge.port.name", port_index, &port.name)?;
            if names.insert(&port.name, "port").is_some() {
                return problem(
                    "bridge.port.name",
                    port_index,
                    format!("\"{}\" is used before, expected a new name", port.name),
                );
            }
            port_ok(port, port_index)?;
            if let Some(other) = port.ofport_request.and_then(|n| numbers.insert(n, &port.name)) {
                let key = "bridge.port.ofport_request";
                return problem(key, port_index, format!("port \"{other}\" asks for the same number"));
            }
            port_index += 1;
        }
    }
    peers(config)
}

/// Whoever can reach the endpoint from elsewhere must show something.
fn metrics_ok(m: &Metrics) -> Result<(), Problem> {
    match (&m.tls_cert, &m.tls_key, &m.tls_client_ca) {
        (Some(_), None, _) => return problem("metrics.tls-cert", 0, "expected metrics.tls-key beside it"),
        (None, Some(_), _) => return problem("metrics.tls-key", 0, "expected metrics.tls-cert beside it"),
        (None, None, Some(_)) => {
            return problem("metrics.tls-client-ca", 0, "expected metrics.tls-cert and metrics.tls-key beside it");
        }
        _ => {}
    }
    if m.enable && is_reachable(m.listen) && m.token_file.is_none() && m.tls_client_ca.is_none() {
        let wanted = "expected metrics.token-file or metrics.tls-client-ca beside it";
        return problem("metrics.listen", 0, format!("is {}, which others can reach, {wanted}", m.listen));
    }
    Ok(())
}

/// What can be said of a port by itself.
pub(super) fn check_port(port: &Port) -> Result<(), Problem> {
    name_ok("bridge.port.name", 0, &port.name)?;
    port_ok(port, 0)
}

fn name_ok(key: &str, index: usize, name: &str) -> Result<(), Problem> {
    if name.is_empty()
        || name.len() > NAME_MAX
        || name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
    {
        return problem(
            key,
            index,
            format!("is {name:?}, expected 1 to {NAME_MAX} characters without '/' and white space"),
        );
    }
    Ok(())
}

/// Keys of a bridge's other_config, with what they may be.
const BRIDGE_KEYS: [(&str, &str); 3] = [
    ("mac-aging-time", "15 to 3600 seconds"),
    ("mac-table-size", "10 to 1000000 entries"),
    ("forward-bpdu", "\"true\" or \"false\""),
];

/// Whether there is such a key; the error is a value that cannot be.
pub(super) fn bridge_setting(key: &str, value: &str) -> Result<bool, String> {
    let Some((_, wanted)) = BRIDGE_KEYS.iter().find(|(k, _)| *k == key) else { return Ok(false) };
    let ok = match key {
        "mac-aging-time" => value.parse::<u32>().is_ok_and(|v| (15..=3600).contains(&v)),
        "mac-table-size" => value.parse::<u32>().is_ok_and(|v| (10..=1_000_000).contains(&v)),
        _ => matches!(value, "true" | "false"),
    };
    if ok { Ok(true) } else { Err(format!("{key} is \"{value}\", expected {wanted}")) }
}

fn bridge_ok(bridge: &Bridge, i: usize) -> Result<(), Problem> {
    for (key, value) in &bridge.other_config {
        match bridge_setting(key, value) {
            Ok(true) => {}
            Ok(false) => {
                let known = "expected mac-aging-time, mac-table-size or forward-bpdu";
                return problem("bridge.other_config", i, format!("unknown key \"{key}\", {known}"));
            }
            Err(e) => return problem("bridge.other_config", i, e),
        }
    }
    Ok(())
}

fn one_of(value: &str, words: &[&str]) -> Result<(), String> {
    let list = || words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" or ");
    words.contains(&value).then_some(()).ok_or_else(|| format!("is \"{value}\", expected {}", list()))
}

fn port_ok(port: &Port, i: usize) -> Result<(), Problem> {
    if let Some(tag) = port.tag.filter(|t| *t > 4095) {
        return problem("bridge.port.tag", i, format!("is {tag}, expected 0 to 4095"));
    }
    if let Some(vlan) = port.trunks.iter().find(|t| **t > 4095) {
        return problem("bridge.port.trunks", i, format!("has {vlan}, expected VLANs 0 to 4095"));
    }
    if let Some(vlan) = port.cvlans.iter().find(|t| **t > 4095) {
        return problem("bridge.port.cvlans", i, format!("has {vlan}, expected VLANs 0 to 4095"));
    }
    if port.vlan_mode == Some(VlanMode::Access) && port.tag.is_none() {
        return problem("bridge.port.vlan_mode", i, "is \"access\" without a tag, expected `tag` beside it");
    }
    if let Some(n) = port.ofport_request.filter(|n| !(1..=65279).contains(n)) {
        return problem("bridge.port.ofport_request", i, format!("is {n}, expected 1 to 65279"));
    }
    if let Some(mtu) = port.mtu_request.filter(|m| !(68..=9702).contains(m)) {
        return problem("bridge.port.mtu_request", i, format!("is {mtu}, expected 68 to 9702 bytes"));
    }
    for (key, value) in [
        ("bridge.port.n_rxq", port.n_rxq),
        ("bridge.port.n_rxq_desc", port.n_rxq_desc),
        ("bridge.port.n_txq_desc", port.n_txq_desc),
    ] {
        let descriptors = key.ends_with("desc");
        if let Some(n) = value.filter(|n| *n == 0 || descriptors && !(n.is_power_of_two() && *n <= 4096)) {
            let wanted = if descriptors { "a power of two up to 4096" } else { "at least 1" };
            return problem(key, i, format!("is {n}, expected {wanted}"));
        }
    }
    for (key, value) in &port.other_config {
        let checked = match key.as_str() {
            "pmd-rxq-affinity" => super::affinity(value).map(drop),
            "priority-tags" => one_of(value, &["never", "if-nonzero", "always"]),
            "qinq-ethtype" => one_of(value, &["802.1ad", "802.1q"]),
            _ => {
                let known = "expected pmd-rxq-affinity, priority-tags or qinq-ethtype";
                return problem("bridge.port.other_config", i, format!("unknown key \"{key}\", {known}"));
            }
        };
        if let Err(e) = checked {
            return problem("bridge.port.other_config", i, format!("{key} {e}"));
        }
    }
    let (needed, optional): (&[&str], &[&str]) = match port.interface_type {
        InterfaceType::Dpdk => (&["dpdk-devargs"], &[]),
        InterfaceType::Dpdkvhostuserclient => (&["vhost-server-path"], &["tx-retries-max"]),
        InterfaceType::Dpdkvhostuser => (&[], &["tx-retries-max"]),
        InterfaceType::Patch => (&["peer"], &[]),
        InterfaceType::Dummy | InterfaceType::DummyInternal | InterfaceType::DummyPmd => (&[], &super::DUMMY_OPTIONS),
        InterfaceType::Afpacket | InterfaceType::Tap => (&[], &[]),
    };
    if let Some(key) = port.options.keys().find(|k| ![needed, optional].concat().contains(&k.as_str())) {
        let allowed = [needed, optional].concat();
        let list = if allowed.is_empty() { "no options".to_owned() } else { allowed.join(", ") };
        let name = port.interface_type.name();
        return problem("bridge.port.options", i, format!("unknown key \"{key}\" for type {name}, expected {list}"));
    }
    if let Some(key) = needed.iter().find(|k| !port.options.contains_key(**k)) {
        let name = port.interface_type.name();
        return problem("bridge.port.options", i, format!("type {name} expected \"{key}\""));
    }
    if let Some(n) = port.options.get("tx-retries-max").filter(|n| !n.parse::<u8>().is_ok_and(|n| n <= 32)) {
        return problem("bridge.port.options", i, format!("tx-retries-max is \"{n}\", expected 0 to 32"));
    }
    Ok(())
}

/// Patch ports name each other.
fn peers(config: &Config) -> Result<(), Problem> {
    let all: Vec<&Port> = config.bridges.iter().flat_map(|b| &b.ports).collect();
    for (i, port) in all.iter().enumerate().filter(|(_, p)| p.interface_type == InterfaceType::Patch) {
        let peer = port.options.get("peer").map(String::as_str).unwrap_or_default();
        let mutual = all.iter().any(|p| {
            p.name == peer
                && p.interface_type == InterfaceType::Patch
                && p.options.get("peer").is_some_and(|back| *back == port.name)
        });
        if !mutual {
            let message = format!("peer \"{peer}\" is no patch port whose peer is \"{}\"", port.name);
            return problem("bridge.port.options", i, message);
        }
    }
    Ok(())
}
