//! `fdb/*`: addresses that bridges learned or were told, in the words of ovs-vswitchd(8).

use openflow::OfPort;
use packet::eth::MacAddr;

use super::ports::shown_number;
use super::switch::Switch;

type Answer = Result<String, String>;

fn arg(arguments: &[String], n: usize) -> &str {
    arguments.get(n).map_or("", String::as_str)
}

/// The bridges that arguments name: one, or all.
fn bridges(switch: &Switch, arguments: &[String]) -> Vec<String> {
    match arguments.first() {
        Some(name) => vec![name.clone()],
        None => switch.manager.snapshot().bridges.iter().flatten().map(|b| b.name.to_string()).collect(),
    }
}

fn address(vlan: &str, mac: &str) -> Result<(u16, u64), String> {
    let vlan: u16 =
        vlan.parse().ok().filter(|v| *v < 4096).ok_or_else(|| format!("{vlan}: expected a VLAN, 0 to 4095"))?;
    let mac: MacAddr = mac.parse().map_err(|_| "bad MAC address")?;
    Ok((vlan, mac.to_u64()))
}

/// `fdb/show BRIDGE`.
pub(super) fn show(switch: &mut Switch, arguments: &[String]) -> Answer {
    let now = switch.clock.now();
    switch.manager.fdb_show(arg(arguments, 0), now).map_err(|e| e.to_string())
}

/// `fdb/flush [BRIDGE]`: what was learned; static addresses stay.
pub(super) fn flush(switch: &mut Switch, arguments: &[String]) -> Answer {
    for name in bridges(switch, arguments) {
        switch.manager.fdb_flush(&name).map_err(|e| e.to_string())?;
    }
    Ok("table successfully flushed\n".into())
}

/// `fdb/add BRIDGE PORT VLAN MAC`: a static address.
pub(super) fn add(switch: &mut Switch, arguments: &[String]) -> Answer {
    let (bridge, port) = (arg(arguments, 0), arg(arguments, 1));
    let (vlan, mac) = address(arg(arguments, 2), arg(arguments, 3))?;
    let number = {
        let snapshot = switch.manager.snapshot();
        let found = snapshot.bridge_named(bridge).ok_or_else(|| format!("no bridge named {bridge}"))?;
        let by_number = |n: u32| found.ports.get(&OfPort(n)).map(|p| p.number);
        let named = found.port_named(port).map(|p| p.number);
        named.or_else(|| port.parse().ok().and_then(by_number)).ok_or_else(|| format!("unknown port {port}"))?
    };
    let before = switch.manager.fdb_add(bridge, number, vlan, mac).map_err(|e| e.to_string())?;
    Ok(match before {
        Some((port, is_static)) if port != number || !is_static => {
            let kind = if is_static { "static" } else { "dynamic" };
            format!("Overriding already existing {kind} entry on {}\n", shown_number(port))
        }
        _ => String::new(),
    })
}

/// `fdb/del BRIDGE VLAN MAC`: a static address.
pub(super) fn del(switch: &mut Switch, arguments: &[String]) -> Answer {
    let (vlan, mac) = address(arg(arguments, 1), arg(arguments, 2))?;
    match switch.manager.fdb_del(arg(arguments, 0), vlan, mac).map_err(|e| e.to_string())? {
        true => Ok(String::new()),
        false => Err("could not find static mac entry".into()),
    }
}

/// `fdb/stats-show BRIDGE`.
pub(super) fn stats(switch: &mut Switch, arguments: &[String]) -> Answer {
    let name = arg(arguments, 0);
    let events = switch.manager.fdb_events(name).map_err(|e| e.to_string())?;
    let snapshot = switch.manager.snapshot();
    let bridge = snapshot.bridge_named(name).ok_or_else(|| format!("no bridge named {name}"))?;
    let cleared = switch.fdb_cleared.get(name).copied().unwrap_or_default();
    let events = events.since(&cleared);
    let lines = [
        ("Current static MAC entries in the table ", bridge.fdb.iter().filter(|e| e.is_static()).count() as u64),
        ("Total number of learned MAC entries     ", events.learned),
        ("Total number of expired MAC entries     ", events.expired),
        ("Total number of evicted MAC entries     ", events.evicted),
        ("Total number of port moved MAC entries  ", events.moved),
    ];
    let (current, most) = (bridge.fdb.len(), bridge.settings.mac_table_size);
    let head =
        format!("Statistics for bridge \"{name}\":\n  Current/maximum MAC entries in the table: {current}/{most}\n");
    Ok(lines.iter().fold(head, |out, (what, n)| out + &format!("  {what}: {n}\n")))
}

/// `fdb/stats-clear [BRIDGE]`: displays count from now on.
pub(super) fn clear(switch: &mut Switch, arguments: &[String]) -> Answer {
    for name in bridges(switch, arguments) {
        let events = switch.manager.fdb_events(&name).map_err(|e| e.to_string())?;
        switch.fdb_cleared.insert(name, events);
    }
    Ok("statistics successfully cleared\n".into())
}
