//! Reading megaflows and packets as `ovs-appctl dpctl/dump-flows` prints them:
//! `in_port(1),eth_type(0x8100),vlan(vid=5),encap(eth_type(0x0800),ipv4(proto=6,frag=no))`.
#![deny(clippy::indexing_slicing)]

use std::net::{Ipv4Addr, Ipv6Addr};

use super::number;
use super::value::{CT_STATE, TCP_FLAGS, TUN_FLAGS, mac};
use super::{ParseError, error};
use crate::fields::prereq::{eth_type, ip_proto};
use crate::layout::{self as l, FRAG_ANY, FRAG_LATER, Slot, VLAN_PRESENT};
use crate::words::{Flow, Mask};

/// Finds a datapath port by its name.
pub type PortNumbers<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// Encapsulations that are read: two VLAN tags.
const MAX_DEPTH: usize = 3;

struct Parser<'a> {
    flow: Flow,
    mask: Mask,
    ports: PortNumbers<'a>,
    tags: usize,
    labels: usize,
}

/// How a value is written.
#[derive(Clone, Copy)]
enum Form {
    Number,
    Mac,
    Ipv4,
    Ipv6,
}

type Part = (&'static str, Slot, Form);

const fn number(name: &'static str, slot: Slot) -> Part {
    (name, slot, Form::Number)
}

const IPV6_LABEL: Slot = Slot::new(12, 32, 20);

/// Keys with one value.
const SINGLES: &[(&str, Slot)] = &[
    ("skb_priority", l::SKB_PRIORITY),
    ("skb_mark", l::PKT_MARK),
    ("recirc_id", l::RECIRC_ID),
    ("dp_hash", l::DP_HASH),
    ("ct_zone", l::CT_ZONE),
    ("ct_mark", l::CT_MARK),
    ("ct_label", l::CT_LABEL),
];

const TUNNEL: &[Part] = &[
    number("tun_id", l::TUN_ID),
    ("src", l::TUN_SRC, Form::Ipv4),
    ("dst", l::TUN_DST, Form::Ipv4),
    ("ipv6_src", l::TUN_IPV6_SRC, Form::Ipv6),
    ("ipv6_dst", l::TUN_IPV6_DST, Form::Ipv6),
    number("tos", l::TUN_TOS),
    number("ttl", l::TUN_TTL),
    number("tp_src", l::TUN_TP_SRC),
    number("tp_dst", l::TUN_TP_DST),
];

/// Keys with several values, but for those that have more to them.
const GROUPS: &[(&str, &[Part])] = &[
    ("eth", &[("src", l::ETH_SRC, Form::Mac), ("dst", l::ETH_DST, Form::Mac)]),
    (
        "ipv4",
        &[
            ("src", l::NW_SRC, Form::Ipv4),
            ("dst", l::NW_DST, Form::Ipv4),
            number("proto", l::NW_PROTO),
            number("tos", l::NW_TOS),
            number("ttl", l::NW_TTL),
        ],
    ),
    (
        "ipv6",
        &[
            ("src", l::IPV6_SRC, Form::Ipv6),
            ("dst", l::IPV6_DST, Form::Ipv6),
            number("label", IPV6_LABEL),
            number("proto", l::NW_PROTO),
            number("tclass", l::NW_TOS),
            number("hlimit", l::NW_TTL),
        ],
    ),
    ("tcp", &[number("src", l::TP_SRC), number("dst", l::TP_DST)]),
    ("udp", &[number("src", l::TP_SRC), number("dst", l::TP_DST)]),
    ("sctp", &[number("src", l::TP_SRC), number("dst", l::TP_DST)]),
    ("icmp", &[number("type", l::TP_SRC), number("code", l::TP_DST)]),
    ("icmpv6", &[number("type", l::TP_SRC), number("code", l::TP_DST)]),
    ("nd", &[("target", l::ND_TARGET, Form::Ipv6), ("sll", l::ARP_SHA, Form::Mac), ("tll", l::ARP_THA, Form::Mac)]),
    (
        "arp",
        &[
            ("sip", l::NW_SRC, Form::Ipv4),
            ("tip", l::NW_DST, Form::Ipv4),
            number("op", l::NW_PROTO),
            ("sha", l::ARP_SHA, Form::Mac),
            ("tha", l::ARP_THA, Form::Mac),
        ],
    ),
    (
        "nsh",
        &[
            number("flags", l::NSH_FLAGS),
            number("ttl", l::NSH_TTL),
            number("mdtype", l::NSH_MDTYPE),
            number("np", l::NSH_NP),
            number("spi", l::NSH_SPI),
            number("si", l::NSH_SI),
            number("c1", l::NSH_C1),
            number("c2", l::NSH_C2),
            number("c3", l::NSH_C3),
            number("c4", l::NSH_C4),
        ],
    ),
    (
        "ct_tuple4",
        &[
            ("src", l::CT_NW_SRC, Form::Ipv4),
            ("dst", l::CT_NW_DST, Form::Ipv4),
            number("proto", l::CT_NW_PROTO),
            number("tp_src", l::CT_TP_SRC),
            number("tp_dst", l::CT_TP_DST),
        ],
    ),
    (
        "ct_tuple6",
        &[
            ("src", l::CT_IPV6_SRC, Form::Ipv6),
            ("dst", l::CT_IPV6_DST, Form::Ipv6),
            number("proto", l::CT_NW_PROTO),
            number("tp_src", l::CT_TP_SRC),
            number("tp_dst", l::CT_TP_DST),
        ],
    ),
];

fn full(slot: Slot) -> u128 {
    if slot.width >= 128 { u128::MAX } else { (1 << slot.width) - 1 }
}

fn syntax<T>(at: &str) -> Result<T, ParseError> {
    error(format!("syntax error at {at}"))
}

/// Cuts text at commas and spaces that are outside of parentheses; parts without anything are left out.
fn parts(text: &str) -> Vec<&str> {
    let (mut out, mut depth, mut from) = (Vec::new(), 0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && (c == ',' || c.is_whitespace()) => {
                out.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    out.extend(text.get(from..));
    out.retain(|part| !part.is_empty());
    out
}

/// `name(inside)`.
fn call(part: &str) -> Option<(&str, &str)> {
    let (name, rest) = part.split_once('(')?;
    Some((name, rest.strip_suffix(')')?))
}

fn one(text: &str, form: Form, slot: Slot) -> Option<u128> {
    let value = match form {
        Form::Number => number::u128(text, 16).ok(),
        Form::Mac => mac(text),
        Form::Ipv4 => text.parse::<Ipv4Addr>().ok().map(|a| a.to_bits().into()),
        Form::Ipv6 => text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits),
    };
    value.filter(|v| *v <= full(slot))
}

/// `value` or `value/mask`.
fn masked(text: &str, form: Form, slot: Slot) -> Option<(u128, u128)> {
    let (value, mask) = text.split_once('/').map_or((text, None), |(v, m)| (v, Some(m)));
    let value = one(value, form, slot)?;
    let prefix = |m: &str, bits: u32| m.parse::<u32>().ok().filter(|n| *n <= bits).map(|n| bits - n);
    let mask = match (mask, form) {
        (None, _) => full(slot),
        (Some(m), Form::Ipv4) if !m.contains('.') => full(slot).unbounded_shl(prefix(m, 32)?) & full(slot),
        (Some(m), Form::Ipv6) if !m.contains(':') => full(slot).unbounded_shl(prefix(m, 128)?),
        (Some(m), _) => one(m, form, slot)?,
    };
    Some((value, mask))
}

/// Flags as `+set-clear`, `one|two` or `value/mask`.
fn flags(text: &str, table: &[(&str, u32)]) -> Option<(u128, u128)> {
    let named = |name: &str| table.iter().find(|(n, _)| *n == name).map(|(_, bit)| u128::from(*bit));
    let all = table.iter().fold(0, |all, (_, bit)| all | u128::from(*bit));
    if text.starts_with(['+', '-']) {
        let (mut value, mut mask, mut rest) = (0, 0, text);
        while let Some(sign) = rest.chars().next() {
            let tail = rest.get(1..)?;
            let (name, next) = tail.split_at_checked(tail.find(['+', '-']).unwrap_or(tail.len()))?;
            let bit = named(name)?;
            mask |= bit;
            value |= if sign == '+' { bit } else { 0 };
            rest = next;
        }
        return Some((value, mask));
    }
    let sum = |text: &str| match number::u64(text) {
        Ok(n) => Some(u128::from(n)),
        Err(_) => text.split('|').filter(|t| !t.is_empty()).try_fold(0, |sum, name| Some(sum | named(name)?)),
    };
    match text.split_once('/') {
        Some((value, mask)) => Some((sum(value)?, sum(mask)?)),
        None => Some((sum(text)?, all)),
    }
}

impl Parser<'_> {
    fn put(&mut self, slot: Slot, value: u128, mask: u128) {
        self.flow.set(slot, value);
        self.mask.set(slot, mask);
    }

    fn list(&mut self, text: &str, depth: usize) -> Result<(), ParseError> {
        for part in parts(text) {
            if part.starts_with("ufid:") {
                continue;
            }
            let rest = || text.find(part).and_then(|at| text.get(at..)).unwrap_or(part);
            let Some((name, inside)) = call(part) else { return syntax(rest()) };
            if self.key(name, inside, depth)?.is_none() {
                return syntax(part);
            }
        }
        Ok(())
    }

    /// Reads one key; None where its value cannot be.
    fn key(&mut self, name: &str, inside: &str, depth: usize) -> Result<Option<()>, ParseError> {
        if name == "encap" {
            return if depth < MAX_DEPTH { self.list(inside, depth + 1).map(Some) } else { Ok(None) };
        }
        if let Some((_, slot)) = SINGLES.iter().find(|(n, _)| *n == name) {
            return Ok(masked(inside, Form::Number, *slot).map(|(v, m)| self.put(*slot, v, m)));
        }
        if let Some((_, group)) = GROUPS.iter().find(|(n, _)| *n == name) {
            return Ok(self.group(name, inside, group));
        }
        Ok(match name {
            "in_port" => self.in_port(inside),
            "eth_type" => self.eth_type(inside),
            "vlan" => self.vlan(inside),
            "mpls" => self.mpls(inside),
            "packet_type" => self.packet_type(inside),
            "tunnel" => self.tunnel(inside),
            "ct_state" => flags(inside, CT_STATE).map(|(v, m)| self.put(l::CT_STATE, v, m)),
            "tcp_flags" => flags(inside, TCP_FLAGS).map(|(v, m)| self.put(l::TCP_FLAGS, v, m)),
            _ => return error(format!("{name}: unknown or unsupported key of a datapath flow")),
        })
    }

    fn group(&mut self, name: &str, inside: &str, group: &[Part]) -> Option<()> {
        for part in parts(inside) {
            let (key, text) = part.split_once('=')?;
            if key == "frag" && matches!(name, "ipv4" | "ipv6") {
                self.frag(text)?;
                continue;
            }
            let (_, slot, form) = group.iter().find(|(n, ..)| *n == key)?;
            let (value, mask) = masked(text, *form, *slot)?;
            self.put(*slot, value, mask);
        }
        // what the key's presence says
        let protos = [
            ("tcp", ip_proto::TCP),
            ("udp", ip_proto::UDP),
            ("sctp", ip_proto::SCTP),
            ("icmp", ip_proto::ICMP),
            ("icmpv6", ip_proto::ICMPV6),
        ];
        if let Some((_, proto)) = protos.iter().find(|(n, _)| *n == name)
            && self.mask.get(l::NW_PROTO) == full(l::NW_PROTO)
            && self.flow.get(l::NW_PROTO) != u128::from(*proto)
        {
            return None;
        }
        Some(())
    }

    fn frag(&mut self, text: &str) -> Option<()> {
        let (kind, mask) = text.split_once('/').map_or((text, 3), |(kind, m)| (kind, number::u64(m).unwrap_or(3)));
        let value = match kind {
            "no" => 0,
            "first" => FRAG_ANY,
            "later" => FRAG_ANY | FRAG_LATER,
            _ => return None,
        };
        self.put(l::NW_FRAG, value.into(), if mask == 0 { 0 } else { 3 });
        Some(())
    }

    fn in_port(&mut self, inside: &str) -> Option<()> {
        let named = (self.ports)(inside).map(|n| (u128::from(n), full(l::IN_PORT)));
        let (value, mask) = named.or_else(|| masked(inside, Form::Number, l::IN_PORT))?;
        self.put(l::IN_PORT, value, mask);
        Some(())
    }

    fn eth_type(&mut self, inside: &str) -> Option<()> {
        let (value, mask) = masked(inside, Form::Number, l::ETH_TYPE)?;
        self.put(l::ETH_TYPE, value, mask);
        Some(())
    }

    /// The type that came before was the tag's.
    fn vlan(&mut self, inside: &str) -> Option<()> {
        let (tci, tpid) = match self.tags {
            0 => (l::VLAN_TCI, l::VLAN_TPID),
            1 => (l::VLAN1_TCI, l::VLAN1_TPID),
            _ => return None,
        };
        self.tags += 1;
        let kind = self.flow.get(l::ETH_TYPE);
        if !matches!(kind as u16, eth_type::VLAN | eth_type::QINQ) {
            return None;
        }
        self.put(tpid, kind, full(tpid));
        self.put(l::ETH_TYPE, 0, 0);
        let (mut value, mut mask) = (u128::from(VLAN_PRESENT), u128::from(VLAN_PRESENT));
        for part in parts(inside) {
            let (key, text) = part.split_once('=')?;
            let (shift, width) = match key {
                "vid" => (0, 12),
                "pcp" => (13, 3),
                "cfi" => (12, 1),
                "tci" => (0, 16),
                _ => return None,
            };
            let (v, m) = masked(text, Form::Number, Slot::new(0, 0, width))?;
            if key == "tci" {
                (value, mask) = (v, m);
            } else {
                (value, mask) = (value & !(((1 << width) - 1) << shift) | v << shift, mask | m << shift);
            }
        }
        self.put(tci, value, mask);
        Some(())
    }

    /// One label stack entry after the other, outermost first.
    fn mpls(&mut self, inside: &str) -> Option<()> {
        let slots = [l::MPLS0, l::MPLS1, l::MPLS2];
        let mut seen: Vec<&str> = Vec::new();
        for part in parts(inside) {
            let (key, text) = part.split_once('=')?;
            if seen.contains(&key) {
                self.labels += 1;
                seen.clear();
            }
            seen.push(key);
            let (shift, width) = match key {
                "label" => (12, 20),
                "tc" => (9, 3),
                "bos" => (8, 1),
                "ttl" => (0, 8),
                _ => return None,
            };
            let slot = *slots.get(self.labels)?;
            let (v, m) = masked(text, Form::Number, Slot::new(0, 0, width))?;
            let (value, mask) = (self.flow.get(slot) | v << shift, self.mask.get(slot) | m << shift);
            self.put(slot, value, mask);
        }
        Some(())
    }

    fn packet_type(&mut self, inside: &str) -> Option<()> {
        let mut value = 0;
        for part in parts(inside) {
            let (key, text) = part.split_once('=')?;
            let (n, _) = masked(text, Form::Number, Slot::new(0, 0, 16))?;
            match key {
                "ns" => value |= n << 16,
                "id" => value |= n,
                _ => return None,
            }
        }
        self.put(l::PACKET_TYPE, value, full(l::PACKET_TYPE));
        Some(())
    }

    fn tunnel(&mut self, inside: &str) -> Option<()> {
        for part in parts(inside) {
            if let Some((name, text)) = call(part) {
                if name != "flags" {
                    return None;
                }
                let (value, mask) = flags(text, TUN_FLAGS)?;
                self.put(l::TUN_FLAGS, value, mask);
                continue;
            }
            let (key, text) = part.split_once('=')?;
            let (_, slot, form) = TUNNEL.iter().find(|(n, ..)| *n == key)?;
            let (value, mask) = masked(text, *form, *slot)?;
            self.put(*slot, value, mask);
        }
        Some(())
    }
}

/// Reads the text of a megaflow: values, and the bits of them that count. What the text does not name is 0 in both.
/// `ports` knows the datapath's ports by name.
///
/// # Errors
/// The part that cannot be read.
pub fn parse_megaflow(text: &str, ports: PortNumbers<'_>) -> Result<(Flow, Mask), ParseError> {
    let mut parser = Parser { flow: Flow::default(), mask: Mask::default(), ports, tags: 0, labels: 0 };
    // what a dump tells a megaflow by is no part of it, nor is white space
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let named = text.strip_prefix("ufid:").and_then(|rest| rest.split_once(','));
    parser.list(named.map_or(text.as_str(), |(_, rest)| rest), 0)?;
    Ok((parser.flow, parser.mask))
}

/// Reads the text of a packet's key: a megaflow's, whose packets without an Ethernet type are of none.
///
/// # Errors
/// The part that cannot be read.
pub fn parse_packet(text: &str, ports: PortNumbers<'_>) -> Result<Flow, ParseError> {
    let (mut flow, mask) = parse_megaflow(text, ports)?;
    if mask.get(l::ETH_TYPE) == 0 && flow.get(l::PACKET_TYPE) == 0 {
        flow.set(l::ETH_TYPE, eth_type::NONE.into());
    }
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::odp::format_megaflow;
    use proptest::prelude::*;

    fn read(text: &str) -> (Flow, Mask) {
        parse_megaflow(text, &|name| (name == "p7").then_some(7)).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for text in [
            "recirc_id(0),in_port(3),packet_type(ns=0,id=0),eth(src=50:54:00:00:00:01,dst=01:00:00:00:00:00/01:00:00:00:00:00),eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0,proto=6,tos=0x4/0xfc,frag=no),tcp(dst=80/0xfff0),tcp_flags(+syn-ack)",
            "recirc_id(0x5),dp_hash(0x1/0x7),in_port(1),eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x86dd),ipv6(dst=::1,label=0x3,proto=58,hlimit=3,frag=no),icmpv6(type=135,code=0),nd(target=::3,sll=00:00:00:00:00:07))",
            "in_port(1),eth_type(0x88a8),vlan(vid=5),encap(eth_type(0x8100),vlan(vid=6,pcp=1),encap(eth_type(0xabcd)))",
            "skb_priority(0x7),skb_mark(0x1/0xff),ct_state(+new+trk),ct_zone(0x5),ct_mark(0x3),ct_label(0x1),in_port(1),eth_type(0x0806),arp(sip=1.2.3.4,op=1,sha=00:00:00:00:00:01)",
            "in_port(1),eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)",
        ] {
            let (flow, mask) = read(text);
            assert_eq!(format_megaflow(&flow, &mask), text);
        }
    }

    #[test]
    fn other_ways_to_write_it() {
        let (a, b) = (read("in_port(p7), eth()"), read("ufid:1-2-3,in_port(7)"));
        assert_eq!(a, b);
        assert_eq!(read("tcp_flags(syn|ack)").0.get(l::TCP_FLAGS), 0x12);
        assert_eq!(read("ipv4(src=10.1.2.3/8)").1.get(l::NW_SRC), 0xff00_0000);
        assert_eq!(read("ipv4(src=10.1.2.3/0)").1.get(l::NW_SRC), 0);
        let (flow, _) = read("eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=0,label=50,tc=0,ttl=32,bos=1)");
        assert_eq!((flow.get(l::MPLS0), flow.get(l::MPLS1)), (100 << 12 | 3 << 9 | 64, 50 << 12 | 1 << 8 | 32));
        assert_eq!(parse_packet("in_port(1),eth()", &|_| None).unwrap().get(l::ETH_TYPE), 0x5ff);
        assert_eq!(read("skb_priority(0/0),ct_state(0/0),ct_label(0/0)").1, Mask::default());
    }

    #[test]
    fn what_cannot_be() {
        for text in [
            "eth(sr",
            "zz",
            "eth(src=1)",
            "vlan(vid=4096)",
            "vlan(vid=1)",
            "in_port(no)",
            "ipv4(frag=maybe)",
            "eth_type(0x12345)",
            "ipv4(proto=300)",
            "tcp_flags(x)",
            "mpls(label=1,label=2,label=3,label=4)",
            "zz(1)",
            "eth_type(0x0800),ipv4(proto=17),tcp(src=1)",
            "ipv4(src=1.2.3.4/33)",
            "encap(encap(encap(encap())))",
        ] {
            let read = parse_megaflow(text, &|_| None);
            assert!(read.is_err(), "{text}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([a-z_0-9]{0,6}[(),=/|+-]){0,12}") {
            let _ = parse_megaflow(&text, &|_| None);
        }
    }
}
