//! `netdev-dummy/*`: what control commands do to ports in memory.

use flow::compose::compose;
use flow::text::odp_parse::parse_packet;

use super::Device;
use crate::run::devices;
use crate::run::switch::Switch;

type Answer = Result<String, String>;

fn device(switch: &Switch, name: &str) -> Option<Device> {
    let entry = switch.ports.values().find(|p| p.name == name)?;
    match &entry.device {
        devices::Device::Dummy(device) => Some(device.clone()),
        _ => None,
    }
}

/// All of them, by name.
fn all(switch: &Switch) -> Vec<(String, Device)> {
    let dummies = switch.ports.values().filter_map(|p| match &p.device {
        devices::Device::Dummy(device) => Some((p.name.clone(), device.clone())),
        _ => None,
    });
    let mut all: Vec<(String, Device)> = dummies.collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// `netdev-dummy/receive NAME [--qid QUEUE] PACKET|FLOW [--len BYTES]...`: packets in hexadecimal digits or flows that they
/// have.
pub(in crate::run) fn receive(switch: &mut Switch, arguments: &[String]) -> Answer {
    let mut words = arguments.iter().map(String::as_str).peekable();
    let name = words.next().unwrap_or_default();
    let port = device(switch, name).ok_or("no such dummy netdev")?;
    let mut queue = 0;
    if words.next_if_eq(&"--qid").is_some() {
        let number = words.next().and_then(|q| q.parse::<usize>().ok());
        queue = number.filter(|q| *q < port.rx_queues()).ok_or("bad rx queue id.")?;
    }
    let number = |name: &str| switch.ports.iter().find(|(_, p)| p.name == name).map(|(no, _)| no.0);
    let mut packets = Vec::new();
    while let Some(word) = words.next() {
        if let Ok(bytes) = packet::hex::parse(word)
            && !bytes.is_empty()
        {
            packets.push(bytes);
            continue;
        }
        let flow = parse_packet(word, &number).map_err(|e| e.to_string())?;
        let len = match words.next_if_eq(&"--len") {
            None => None,
            Some(_) => {
                Some(words.next().and_then(|n| n.parse().ok()).filter(|n| *n <= 0xffff).ok_or("bad packet len")?)
            }
        };
        packets.push(compose(&flow, len).map_err(|e| e.to_string())?);
    }
    for bytes in packets {
        port.inject(queue, &bytes);
    }
    Ok(String::new())
}

/// `netdev-dummy/sent NAME`: the frames that a port sent since the last call, in hexadecimal digits, a line each.
pub(in crate::run) fn sent(switch: &mut Switch, arguments: &[String]) -> Answer {
    let name = arguments.first().map_or("", String::as_str);
    let frames = device(switch, name).ok_or("no such dummy netdev")?.take_all();
    let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    Ok(frames.iter().map(|f| hex(f.to_vec()) + "\n").collect())
}

/// `netdev-dummy/set-admin-state [NAME] up|down`: of one or of all.
pub(in crate::run) fn set_admin_state(switch: &mut Switch, arguments: &[String]) -> Answer {
    let up = match arguments.last().map(String::as_str) {
        Some("up") => true,
        Some("down") => false,
        _ => return Err("Invalid Admin State".into()),
    };
    match arguments {
        [name, _] => device(switch, name).ok_or("Unknown Dummy Interface")?.set_up(up),
        _ => all(switch).iter().for_each(|(_, device)| device.set_up(up)),
    }
    switch.follow_links(switch.clock.now());
    if let Some(database) = &mut switch.database {
        database.tell_now();
    }
    Ok("OK".into())
}

/// `netdev-dummy/conn-state [NAME]`: whether somebody is at the other end of a port's cable.
pub(in crate::run) fn conn_state(switch: &mut Switch, arguments: &[String]) -> Answer {
    let state = |device: &Device| match device.cable() {
        None => "unknown",
        Some(true) => "connected",
        Some(false) => "disconnected",
    };
    Ok(match arguments.first() {
        Some(name) => format!("{name}: {}\n", device(switch, name).map_or("unknown", |d| state(&d))),
        None => {
            let cables = all(switch).into_iter().filter(|(_, device)| device.cable().is_some());
            cables.map(|(name, device)| format!("{name}: {}\n", state(&device))).collect()
        }
    })
}

/// `netdev-dummy/ip4addr` and `ip6addr`, which routes and tunnels would need.
pub(in crate::run) fn address(_: &mut Switch, _: &[String]) -> Answer {
    Err("addresses of dummy ports are not supported yet: there are no routes and no tunnels to use them".into())
}
