//! Flows of the switch's own, which controllers neither see nor change: what lets a bridge reach its controllers through
//! itself, whatever its tables say, and what has it learn by itself while they cannot be reached.
//!
//! In-band control (Open vSwitch's documentation, "In-Band Control"): DHCP requests of the local port, ARP of it and of
//! controllers, and TCP to and from them are switched as NORMAL. Left out are the rules about a gateway's ARP, which need
//! the kernel's neighbours, and remotes with IPv6 addresses, which stock has no rules for either.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use base::clock::Instant;
use openflow::flow_mod::Command;
use openflow::text::{NoNames, parse_flow};
use openflow::{Action, OfPort};
use pipeline::Hidden;

use super::stats;
use crate::run::switch::Switch;

/// How often the local ports' addresses are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The rank of the first rule of in-band control; each kind has the next.
const FIRST: i32 = 180_000;
/// The rank of the one that a bridge learns by while it is alone.
const ALONE: i32 = 0xf0_f0f0;

/// What flows are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Needs {
    alone: bool,
    local: Option<u64>,
    remotes: Vec<(Ipv4Addr, u16)>,
}

/// What bridges have by now.
#[derive(Default)]
pub(super) struct InBand {
    have: BTreeMap<String, Needs>,
    look: Option<Instant>,
    /// What rows ask for has changed.
    pub(super) changed: bool,
}

/// Gives bridges the flows that they need.
pub(super) fn turn(switch: &mut Switch, now: Instant) {
    let in_band = &mut switch.openflow.in_band;
    if !std::mem::take(&mut in_band.changed) && in_band.look.is_some_and(|at| now < at) {
        return;
    }
    in_band.look = Some(now + LOOK);
    let bridges: Vec<String> = switch.openflow.wishes.keys().cloned().collect();
    switch.openflow.in_band.have.retain(|name, _| bridges.contains(name));
    for bridge in bridges {
        let needs = needs(switch, &bridge);
        let had = switch.openflow.in_band.have.get(&bridge);
        if had.map_or(needs == Needs::default(), |had| *had == needs) {
            continue;
        }
        // a bridge that is not there yet gets them when it is
        if switch.manager.set_hidden(&bridge, &flows(&needs), now).is_ok() {
            switch.openflow.in_band.have.insert(bridge, needs);
        }
    }
}

fn needs(switch: &Switch, bridge: &str) -> Needs {
    let Some(wishes) = switch.openflow.wishes.get(bridge) else { return Needs::default() };
    let addresses = wishes.in_band().filter_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some((ip, address.port())),
        IpAddr::V6(_) => None,
    });
    let mut remotes: Vec<_> = addresses.collect();
    remotes.sort_unstable();
    remotes.dedup();
    let tables = switch.manager.snapshot();
    let port = tables.bridge_named(bridge).and_then(|b| b.ports.get(&OfPort::LOCAL));
    let local = port.map(|port| stats::address(switch, port)).filter(|mac| *mac != 0 && !remotes.is_empty());
    Needs { alone: wishes.is_alone(), local, remotes }
}

fn flows(needs: &Needs) -> Vec<Hidden> {
    let mut out: Vec<Hidden> = Vec::new();
    let mut add = |rank: i32, text: String| {
        let Ok(parsed) = parse_flow(&format!("{text} actions=NORMAL"), Command::Add, &NoNames) else { return };
        let actions = vec![Action::Output { port: OfPort::NORMAL, max_len: 0 }];
        let hidden = Hidden { matching: parsed.flow.matching, rank, actions };
        if !out.contains(&hidden) {
            out.push(hidden);
        }
    };
    if needs.alone {
        add(ALONE, String::new());
    }
    if let Some(mac) = needs.local {
        let mac = openflow::text::value::mac_text(mac.into());
        add(FIRST, format!("udp,in_port=LOCAL,dl_src={mac},tp_src=68,tp_dst=67"));
        add(FIRST + 1, format!("arp,dl_dst={mac},arp_op=2"));
        add(FIRST + 2, format!("arp,dl_src={mac},arp_op=1"));
    }
    for (ip, port) in &needs.remotes {
        add(FIRST + 5, format!("arp,arp_tpa={ip},arp_op=2"));
        add(FIRST + 6, format!("arp,arp_spa={ip},arp_op=1"));
        add(FIRST + 7, format!("tcp,nw_dst={ip},tp_dst={port}"));
        add(FIRST + 8, format!("tcp,nw_src={ip},tp_src={port}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_of_two_controllers_on_a_host() {
        let ip = Ipv4Addr::new(10, 0, 0, 1);
        let needs = Needs { alone: true, local: Some(0x0200_0000_0001), remotes: vec![(ip, 6653), (ip, 6654)] };
        let flows = flows(&needs);
        let ranks: Vec<i32> = flows.iter().map(|f| f.rank - FIRST).collect();
        assert_eq!(ranks, [ALONE - FIRST, 0, 1, 2, 5, 6, 7, 8, 7, 8]);
        assert!(flows.iter().all(|f| f.rank > i32::from(u16::MAX)));
        assert_eq!(super::flows(&Needs::default()), []);
    }
}
