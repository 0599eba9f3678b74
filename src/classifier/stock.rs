//! How narrow masks are beside stock Open vSwitch 3.1: its megaflows were written down from `ofproto/trace`, the packet
//! being TCP from 10.0.0.9:33000 to 1.1.1.1:22 on port 1 unless said otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use flow::layout::{ETH_DST, ETH_TYPE, IN_PORT, IPV6_DST, IPV6_SRC, NW_DST, NW_PROTO, NW_SRC, Slot, TP_DST, TP_SRC};
use flow::{Flow, Mask, Match};

use crate::{Classifier, Rule};

struct Plain(Match, i32);

impl Rule for Plain {
    fn matching(&self) -> &Match {
        &self.0
    }
    fn priority(&self) -> i32 {
        self.1
    }
}

fn number(text: &str) -> u128 {
    if let Ok(a) = text.parse::<Ipv4Addr>() {
        u32::from(a).into()
    } else if let Ok(a) = text.parse::<Ipv6Addr>() {
        u128::from(a)
    } else if let Some(hex) = text.strip_prefix("0x") {
        u128::from_str_radix(hex, 16).unwrap()
    } else {
        text.parse().unwrap()
    }
}

/// `name=value`, `name=value/0xmask` or `name=address/length`, and words for the protocols.
fn parse(text: &str) -> (Flow, Mask, i32) {
    let (mut flow, mut mask, mut priority) = (Flow::default(), Mask::default(), 0);
    for part in text.split(',') {
        let mut set = |slot: Slot, text: &str| {
            let (value, m) = text.split_once('/').unwrap_or((text, ""));
            let all = u128::MAX >> (128 - slot.width);
            let m = match (m, m.strip_prefix("0x")) {
                ("", _) => all,
                (_, Some(_)) => number(m),
                (len, None) => all & !(all.checked_shr(len.parse().unwrap()).unwrap_or(0)),
            };
            flow.set(slot, number(value) & m);
            mask.set(slot, m);
        };
        match part.split_once('=') {
            None => {
                set(ETH_TYPE, if part.ends_with('6') { "0x86dd" } else { "0x800" });
                if part.starts_with("tcp") {
                    set(NW_PROTO, "6");
                }
            }
            Some(("priority", p)) => priority = p.parse().unwrap(),
            Some(("in_port", v)) => set(IN_PORT, v),
            Some(("eth_dst", v)) => set(ETH_DST, v),
            Some(("nw_src", v)) => set(NW_SRC, v),
            Some(("nw_dst", v)) => set(NW_DST, v),
            Some(("ipv6_dst", v)) => set(IPV6_DST, v),
            Some(("tp_src", v)) => set(TP_SRC, v),
            Some(("tp_dst", v)) => set(TP_DST, v),
            Some((name, _)) => panic!("{name}"),
        }
    }
    (flow, mask, priority)
}

/// The packets (what differs from the usual one) and the megaflow of each, without the fields that are exact in every
/// megaflow of stock (in_port, ethertype, fragment bits) and the protocol.
fn check(rules: &[&str], packets: &[(&str, &str)]) {
    let mut c = Classifier::default();
    for rule in rules {
        let (flow, mask, priority) = parse(rule);
        c.insert(Arc::new(Plain(Match::new(&flow, &mask), priority)));
    }
    for (packet, megaflow) in packets {
        let base = if packet.contains("ipv6") { "tcp6" } else { "tcp,nw_src=10.0.0.9,nw_dst=1.1.1.1" };
        let (flow, ..) = parse(&format!("{base},in_port=1,eth_dst=0x20000000002,tp_src=33000,tp_dst=22,{packet}"));
        let mut wc = Mask::default();
        c.lookup(&flow, &mut wc);
        let want = parse(&format!("priority=0{}{megaflow}", if megaflow.is_empty() { "" } else { "," }));
        for slot in [NW_SRC, NW_DST, TP_SRC, TP_DST, IPV6_SRC, IPV6_DST, ETH_DST] {
            assert_eq!(format!("{:x}", wc.get(slot)), format!("{:x}", want.1.get(slot)), "{slot:?} {rules:?} {packet}");
            assert_eq!(flow.get(slot) & wc.get(slot), want.0.get(slot), "{slot:?} {rules:?} {packet}");
        }
    }
}

#[test]
fn overlapping_prefixes() {
    check(
        &[
            "priority=10,ip,nw_dst=10.0.0.0/8",
            "priority=20,ip,nw_dst=10.1.0.0/16",
            "priority=30,ip,nw_dst=10.1.2.0/24",
            "priority=40,ip,nw_dst=10.1.2.3",
        ],
        &[
            ("nw_dst=10.1.2.3", "nw_dst=10.1.2.3"),
            ("nw_dst=10.1.2.4", "nw_dst=10.1.2.4/30"),
            ("nw_dst=10.1.3.1", "nw_dst=10.1.3.0/24"),
            ("nw_dst=10.2.0.1", "nw_dst=10.2.0.0/15"),
            ("nw_dst=11.0.0.1", "nw_dst=11.0.0.0/8"),
            ("nw_dst=192.168.0.1", "nw_dst=128.0.0.0/1"),
        ],
    );
}

#[test]
fn a_host_and_a_default() {
    check(
        &["priority=32768,ip,nw_dst=10.0.0.1", "priority=1"],
        &[
            ("nw_dst=10.0.0.1", "nw_dst=10.0.0.1"),
            ("nw_dst=10.0.0.2", "nw_dst=10.0.0.2/31"),
            ("nw_dst=10.0.1.0", "nw_dst=10.0.1.0/24"),
            ("nw_dst=192.168.0.1", "nw_dst=128.0.0.0/1"),
        ],
    );
}

#[test]
fn a_host_below_a_prefix() {
    check(
        &["priority=50,ip,nw_dst=10.0.0.0/8", "priority=10,ip,nw_dst=10.1.2.3"],
        &[
            ("nw_dst=10.1.2.3", "nw_dst=10.0.0.0/8"),
            ("nw_dst=10.9.9.9", "nw_dst=10.0.0.0/8"),
            ("nw_dst=20.0.0.1", "nw_dst=16.0.0.0/4"),
        ],
    );
}

#[test]
fn equal_priorities() {
    check(
        &["priority=5,ip,nw_dst=10.1.1.1", "priority=5,ip,nw_dst=10.1.1.254", "priority=5,ip,nw_dst=20.0.0.0/8"],
        &[
            ("nw_dst=10.1.1.2", "nw_dst=10.1.1.2/31"),
            ("nw_dst=10.1.1.129", "nw_dst=10.1.1.128/26"),
            ("nw_dst=20.1.1.1", "nw_dst=20.0.0.0/8"),
            ("nw_dst=21.1.1.1", "nw_dst=21.0.0.0/8"),
            ("nw_dst=30.0.0.1", "nw_dst=24.0.0.0/5"),
        ],
    );
}

#[test]
fn source_and_destination() {
    check(
        &["priority=5,ip,nw_src=10.0.0.0/8,nw_dst=20.0.0.0/16", "priority=4,ip,nw_src=10.0.0.0/8"],
        &[
            ("nw_dst=20.0.0.1", "nw_src=10.0.0.0/8,nw_dst=20.0.0.0/16"),
            ("nw_dst=20.1.0.1", "nw_src=10.0.0.0/8,nw_dst=20.1.0.0/16"),
            ("nw_dst=99.0.0.1", "nw_src=10.0.0.0/8,nw_dst=64.0.0.0/2"),
        ],
    );
}

#[test]
fn a_port() {
    check(
        &["priority=5,tcp,tp_dst=80", "priority=1"],
        &[
            ("tp_dst=80", "tp_dst=80"),
            ("tp_dst=81", "tp_dst=81"),
            ("tp_dst=22", "tp_dst=0/0xffc0"),
            ("tp_dst=8080", "tp_dst=0x1000/0xf000"),
            ("tp_dst=40000", "tp_dst=0x8000/0x8000"),
        ],
    );
}

#[test]
fn two_ports() {
    check(
        &["priority=5,tcp,tp_dst=80", "priority=5,tcp,tp_dst=443", "priority=1"],
        &[
            ("tp_dst=80", "tp_dst=80"),
            ("tp_dst=81", "tp_dst=81"),
            ("tp_dst=442", "tp_dst=442"),
            ("tp_dst=22", "tp_dst=0/0xffc0"),
            ("tp_dst=40000", "tp_dst=0x8000/0x8000"),
        ],
    );
}

#[test]
fn a_host_and_ports() {
    check(
        &["priority=9,tcp,nw_dst=10.0.0.1,tp_dst=80", "priority=5,tcp,tp_dst=23", "priority=7,ip,nw_dst=10.0.0.0/24"],
        &[
            ("nw_dst=10.0.0.1", "nw_dst=10.0.0.1,tp_dst=0/0xffc0"),
            ("nw_dst=10.0.0.2", "nw_dst=10.0.0.2/31"),
            ("nw_dst=10.0.1.1", "nw_dst=10.0.1.0/24,tp_dst=22"),
        ],
    );
}

#[test]
fn both_ports() {
    check(
        &["priority=9,tcp,tp_src=1000,tp_dst=80", "priority=1"],
        &[
            ("tp_src=1000,tp_dst=80", "tp_src=1000,tp_dst=80"),
            ("tp_src=1001,tp_dst=80", "tp_src=1001"),
            // Stock: tp_src=1000,tp_dst=81.
            ("tp_src=1000,tp_dst=81", "tp_dst=81"),
            ("tp_src=4,tp_dst=80", "tp_src=0/0xfe00"),
            // Stock: tp_src=1000,tp_dst=0/0xffc0.
            ("tp_src=1000,tp_dst=22", "tp_dst=0/0xffc0"),
        ],
    );
}

#[test]
fn port_prefixes() {
    check(
        &["priority=9,tcp,tp_dst=0x1000/0xf000", "priority=8,tcp,tp_dst=0x1234", "priority=1"],
        &[
            ("tp_dst=4096", "tp_dst=0x1000/0xf000"),
            ("tp_dst=4660", "tp_dst=0x1000/0xf000"),
            ("tp_dst=8192", "tp_dst=0x2000/0xe000"),
            ("tp_dst=100", "tp_dst=0/0xf000"),
        ],
    );
}

#[test]
fn earlier_stages() {
    check(
        &["priority=9,in_port=2,tcp,tp_dst=80", "priority=8,eth_dst=0x20000000009,tcp,nw_dst=10.0.0.1", "priority=1"],
        &[("nw_dst=10.0.0.1", "eth_dst=0x20000000002"), ("tp_dst=80", "eth_dst=0x20000000002")],
    );
}

#[test]
fn ipv6_prefixes() {
    // Stock 3.1 tracks no IPv6 prefixes: its last two are the whole address.
    check(
        &["priority=9,ip6,ipv6_dst=2001:db8::/32", "priority=8,ip6,ipv6_dst=2001:db8:1::1", "priority=1"],
        &[
            ("ipv6_dst=2001:db8::1", "ipv6_dst=2001:db8::/32"),
            ("ipv6_dst=2001:db9::1", "ipv6_dst=2001:db9::/32"),
            ("ipv6_dst=fe80::1", "ipv6_dst=8000::/1"),
        ],
    );
}

#[test]
fn a_low_priority_is_not_looked_at() {
    check(&["priority=9,tcp", "priority=8,ip,nw_dst=10.0.0.1", "priority=7,tcp,tp_dst=80"], &[("nw_dst=10.0.0.1", "")]);
}
