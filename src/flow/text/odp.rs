//! Printing megaflows as `ovs-appctl dpctl/dump-flows` does: `recirc_id(0),in_port(1),eth_type(0x0800),ipv4(proto=6)`.
#![deny(clippy::indexing_slicing)]

use std::fmt::Write;

use super::NoNames;
use super::format::value;
use super::value::{CT_STATE, TCP_FLAGS, TUN_FLAGS};
use crate::fields::FieldId as F;
use crate::fields::prereq::{eth_type, ip_proto};
use crate::layout::{self as l, Slot, VLAN_PRESENT};
use crate::words::{Flow, Mask};

struct Printer<'a> {
    out: String,
    flow: &'a Flow,
    mask: &'a Mask,
}

impl Printer<'_> {
    fn comma(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('(') {
            self.out.push(',');
        }
    }

    /// Value and mask of a slot, in hexadecimal where `hex`; nothing when the mask has none of it.
    fn number(&self, slot: Slot, hex: bool) -> Option<String> {
        let (v, m) = (self.flow.get(slot), self.mask.get(slot));
        let full = if slot.width >= 128 { u128::MAX } else { (1 << slot.width) - 1 };
        let show = |n: u128| if hex && n != 0 { format!("{n:#x}") } else { n.to_string() };
        match m {
            0 => None,
            m if m == full => Some(show(v)),
            m => Some(format!("{}/{m:#x}", show(v))),
        }
    }

    /// `name(value)`.
    fn single(&mut self, name: &str, slot: Slot, hex: bool) {
        if let Some(text) = self.number(slot, hex) {
            self.comma();
            let _ = write!(self.out, "{name}({text})");
        }
    }

    /// `name(+flag-flag)`.
    fn flags(&mut self, name: &str, slot: Slot, table: &[(&str, u32)]) {
        let (v, m) = (self.flow.get64(slot) as u32, self.mask.get64(slot) as u32);
        if m != 0 {
            self.comma();
            let _ = write!(self.out, "{name}(");
            for (flag, bit) in table.iter().filter(|(_, bit)| m & bit != 0) {
                let _ = write!(self.out, "{}{flag}", if v & bit != 0 { '+' } else { '-' });
            }
            self.out.push(')');
        }
    }

    /// `name(part=value,…)` of the parts that the mask has anything of; nothing when it has none.
    fn group(&mut self, name: &str, parts: &[(&str, F)], numbers: &[(&str, Slot, bool)], frag: bool) {
        let mut inner = Vec::new();
        for (part, id) in parts {
            let row = id.row();
            let (v, m) = row.get_match(self.flow, self.mask);
            if m != 0 {
                let mut text = String::new();
                // Addresses under any mask are written with the mask in their own form.
                match u32::try_from(m) {
                    Ok(bits) if row.format == crate::fields::Format::Ipv4 && bits != u32::MAX => {
                        let at = |n: u32| std::net::Ipv4Addr::from_bits(n);
                        let _ = write!(text, "{}/{}", at(v as u32), at(bits));
                    }
                    _ if row.format == crate::fields::Format::Ipv6 && m != u128::MAX => {
                        let at = |n: u128| std::net::Ipv6Addr::from_bits(n);
                        let _ = write!(text, "{}/{}", at(v), at(m));
                    }
                    _ => value(&mut text, row, v, m, &NoNames),
                }
                inner.push(format!("{part}={text}"));
            }
        }
        for (part, slot, hex) in numbers {
            inner.extend(self.number(*slot, *hex).map(|text| format!("{part}={text}")));
        }
        if frag && self.mask.get64(l::NW_FRAG) != 0 {
            let kind = match self.flow.get64(l::NW_FRAG) & 3 {
                0 => "no",
                1 => "first",
                _ => "later",
            };
            inner.push(format!("frag={kind}"));
        }
        if !inner.is_empty() {
            self.comma();
            let _ = write!(self.out, "{name}({})", inner.join(","));
        }
    }

    fn metadata(&mut self) {
        self.single("skb_priority", l::SKB_PRIORITY, true);
        // a packet that came by no tunnel has none of this
        if self.flow.get(l::TUN_DST) | self.flow.get(l::TUN_IPV6_DST) != 0 {
            self.tunnel();
        }
        self.single("skb_mark", l::PKT_MARK, true);
        self.flags("ct_state", l::CT_STATE, CT_STATE);
        self.single("ct_zone", l::CT_ZONE, true);
        self.single("ct_mark", l::CT_MARK, true);
        self.single("ct_label", l::CT_LABEL, true);
        self.single("recirc_id", l::RECIRC_ID, true);
        self.single("dp_hash", l::DP_HASH, true);
        self.single("in_port", l::IN_PORT, false);
        if self.mask.get64(l::PACKET_TYPE) != 0 {
            let t = self.flow.get64(l::PACKET_TYPE);
            self.comma();
            let id = if t & 0xffff == 0 { "0".to_owned() } else { format!("{:#x}", t & 0xffff) };
            let _ = write!(self.out, "packet_type(ns={},id={id})", t >> 16);
        }
        self.group("eth", &[("src", F::EthSrc), ("dst", F::EthDst)], &[], false);
    }

    fn tunnel(&mut self) {
        self.group(
            "tunnel",
            &[("src", F::TunSrc), ("dst", F::TunDst), ("ipv6_src", F::TunIpv6Src), ("ipv6_dst", F::TunIpv6Dst)],
            &[
                ("tun_id", l::TUN_ID, true),
                ("tos", l::TUN_TOS, true),
                ("ttl", l::TUN_TTL, false),
                ("tp_src", l::TUN_TP_SRC, false),
                ("tp_dst", l::TUN_TP_DST, false),
            ],
            false,
        );
        self.flags("tun_flags", l::TUN_FLAGS, TUN_FLAGS);
    }

    /// One VLAN tag; says whether what follows is encapsulated in it.
    fn vlan(&mut self, tci: Slot, tpid: Slot) -> bool {
        let (v, m) = (self.flow.get64(tci), self.mask.get64(tci));
        let tagged = v & u64::from(VLAN_PRESENT) != 0;
        if m == 0 || !tagged {
            return false;
        }
        let kind = if self.flow.get64(tpid) == 0 { u64::from(eth_type::VLAN) } else { self.flow.get64(tpid) };
        self.comma();
        let _ = write!(self.out, "eth_type(0x{kind:04x})");
        // a part that the mask has nothing of is there when the packet had it
        let part = |name: &str, shift: u32, all: u64| {
            let (v, m) = (v >> shift & all, m >> shift & all);
            let text = || if m == all { format!("{name}={v}") } else { format!("{name}={v}/{m:#x}") };
            (v | m != 0).then(text)
        };
        let parts: Vec<String> = [part("vid", 0, 0xfff), part("pcp", 13, 7)].into_iter().flatten().collect();
        let _ = write!(self.out, ",vlan({}),encap(", parts.join(","));
        true
    }

    fn layer3(&mut self) {
        if self.mask.get64(l::ETH_TYPE) == 0 {
            return;
        }
        let kind = self.flow.get64(l::ETH_TYPE) as u16;
        if kind != eth_type::NONE {
            self.comma();
            let _ = write!(self.out, "eth_type(0x{kind:04x})");
        }
        let [proto, tos, ttl] = [("proto", l::NW_PROTO, false), ("tos", l::NW_TOS, true), ("ttl", l::NW_TTL, false)];
        match kind {
            eth_type::IPV4 => self.group("ipv4", &[("src", F::IpSrc), ("dst", F::IpDst)], &[proto, tos, ttl], true),
            eth_type::IPV6 => self.group(
                "ipv6",
                &[("src", F::Ipv6Src), ("dst", F::Ipv6Dst)],
                &[
                    ("label", Slot::new(12, 32, 20), true),
                    proto,
                    ("tclass", l::NW_TOS, true),
                    ("hlimit", l::NW_TTL, false),
                ],
                true,
            ),
            eth_type::ARP | eth_type::RARP => self.group(
                "arp",
                &[("sip", F::ArpSpa), ("tip", F::ArpTpa), ("op", F::ArpOp), ("sha", F::ArpSha), ("tha", F::ArpTha)],
                &[],
                false,
            ),
            eth_type::MPLS | eth_type::MPLS_MULTICAST => self.mpls(),
            eth_type::NSH => self.group(
                "nsh",
                &[
                    ("flags", F::NshFlags),
                    ("ttl", F::NshTtl),
                    ("mdtype", F::NshMdtype),
                    ("np", F::NshNp),
                    ("spi", F::NshSpi),
                    ("si", F::NshSi),
                    ("c1", F::NshC1),
                    ("c2", F::NshC2),
                    ("c3", F::NshC3),
                    ("c4", F::NshC4),
                ],
                &[],
                false,
            ),
            _ => {}
        }
        if matches!(kind, eth_type::IPV4 | eth_type::IPV6) {
            self.layer4();
        }
    }

    /// The label stack as far as the mask has anything of it, each entry whole.
    fn mpls(&mut self) {
        let entries = [l::MPLS0, l::MPLS1, l::MPLS2].map(|slot| (self.flow.get64(slot), self.mask.get64(slot)));
        let Some(last) = entries.iter().rposition(|(_, m)| *m != 0) else { return };
        let text = entries.iter().take(last + 1).map(|(v, m)| {
            let parts = [v >> 12, v >> 9 & 7, v & 0xff, v >> 8 & 1];
            let [label, tc, ttl, bos] = parts;
            if *m == 0xffff_ffff {
                return format!("label={label},tc={tc},ttl={ttl},bos={bos}");
            }
            let (label_m, tc_m, ttl_m, bos_m) = (m >> 12, m >> 9 & 7, m & 0xff, m >> 8 & 1);
            format!("label={label}/{label_m:#x},tc={tc}/{tc_m:x},ttl={ttl}/{ttl_m:#x},bos={bos}/{bos_m:x}")
        });
        let text = text.collect::<Vec<_>>().join(",");
        self.comma();
        let _ = write!(self.out, "mpls({text})");
    }

    fn layer4(&mut self) {
        let ports = [("src", l::TP_SRC, false), ("dst", l::TP_DST, false)];
        let kinds = [("type", l::TP_SRC, false), ("code", l::TP_DST, false)];
        match self.flow.get64(l::NW_PROTO) as u8 {
            ip_proto::TCP => {
                self.group("tcp", &[], &ports, false);
                self.flags("tcp_flags", l::TCP_FLAGS, TCP_FLAGS);
            }
            ip_proto::UDP => self.group("udp", &[], &ports, false),
            ip_proto::SCTP => self.group("sctp", &[], &ports, false),
            ip_proto::ICMP => self.group("icmp", &[], &kinds, false),
            ip_proto::ICMPV6 => {
                self.group("icmpv6", &[], &kinds, false);
                self.group("nd", &[("target", F::NdTarget), ("sll", F::NdSll), ("tll", F::NdTll)], &[], false);
            }
            _ => {}
        }
    }
}

/// The text of a packet's whole key, as the stock program's messages have it.
pub fn format_packet(flow: &Flow) -> String {
    let mut mask = Mask::default();
    for word in &mut mask.w {
        *word = u64::MAX;
    }
    let mut p = Printer { out: String::new(), flow, mask: &mask };
    p.metadata();
    // no connection's state is a number, what there is of it a list of flags
    let none = format!("ct_state({})", CT_STATE.iter().map(|(name, _)| format!("-{name}")).collect::<String>());
    p.out = p.out.replacen(&none, "ct_state(0)", 1);
    finish(p)
}

/// The text of a megaflow: what `mask` has of `flow`. Values keep bits outside their mask, as the stock program's do.
pub fn format_megaflow(flow: &Flow, mask: &Mask) -> String {
    let mut p = Printer { out: String::new(), flow, mask };
    p.metadata();
    finish(p)
}

/// What follows the metadata.
fn finish(mut p: Printer<'_>) -> String {
    let outer = p.vlan(l::VLAN_TCI, l::VLAN_TPID);
    let inner = outer && p.vlan(l::VLAN1_TCI, l::VLAN1_TPID);
    p.layer3();
    for _ in 0..usize::from(outer) + usize::from(inner) {
        p.out.push(')');
    }
    p.out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::Match;

    /// As dpctl/dump-flows of Open vSwitch 3.1 printed flows that such packets (left) made with such masks (middle).
    #[test]
    fn as_the_stock_program() {
        let samples = [
            (
                "tcp,dl_dst=01:00:00:00:00:01,nw_dst=10.1.1.1,tp_dst=80,tcp_flags=+syn",
                "tcp,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,nw_dst=10.0.0.0/8,nw_frag=no,tp_dst=80/0xfff0,tcp_flags=+syn",
                "eth(dst=01:00:00:00:00:01/01:00:00:00:00:00),eth_type(0x0800),ipv4(dst=10.1.1.1/255.0.0.0,proto=6,frag=no),tcp(dst=80/0xfff0),tcp_flags(+syn)",
            ),
            (
                "tcp6,dl_vlan=5,ipv6_dst=::1,ipv6_label=3,nw_ttl=3,tp_dst=80",
                "tcp6,dl_vlan=5,ipv6_dst=::1,ipv6_label=3,nw_ttl=3,nw_frag=no,tp_dst=80",
                "eth_type(0x8100),vlan(vid=5),encap(eth_type(0x86dd),ipv6(dst=::1,label=0x3,proto=6,hlimit=3,frag=no),tcp(dst=80))",
            ),
            (
                "arp,arp_spa=1.2.3.4,arp_op=1,arp_sha=00:00:00:00:00:01",
                "arp,arp_spa=1.2.3.4/24,arp_op=1,arp_sha=00:00:00:00:00:01",
                "eth_type(0x0806),arp(sip=1.2.3.4/255.255.255.0,op=1,sha=00:00:00:00:00:01)",
            ),
            (
                "icmp6,icmp_type=135,icmp_code=0,nd_target=::2,nd_sll=00:00:00:00:00:07",
                "icmp6,icmp_type=135,icmp_code=0,nd_target=::2,nd_sll=00:00:00:00:00:07,nw_frag=no",
                "eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=135,code=0),nd(target=::2,sll=00:00:00:00:00:07)",
            ),
            (
                "icmp,icmp_type=8,nw_tos=4",
                "icmp,icmp_type=8,nw_tos=4,nw_frag=no",
                "eth_type(0x0800),ipv4(proto=1,tos=0x4/0xfc,frag=no),icmp(type=8)",
            ),
            (
                "udp,dl_vlan=3,dl_vlan_pcp=1,nw_src=1.2.3.4,nw_tos=4",
                "udp,pkt_mark=0,ct_state=-trk,ct_mark=0,ct_label=0,dl_vlan=3,dl_vlan_pcp=1,nw_src=1.2.3.4,nw_tos=4,nw_frag=no",
                "skb_mark(0),ct_state(-trk),ct_mark(0),ct_label(0),eth_type(0x8100),vlan(vid=3,pcp=1),encap(eth_type(0x0800),ipv4(src=1.2.3.4,proto=17,tos=0x4/0xfc,frag=no))",
            ),
            ("dl_type=0x1234", "dl_type=0x1234", "eth_type(0x1234)"),
        ];
        for (packet, mask, want) in samples {
            let flow = packet.parse::<Match>().unwrap().expand().0;
            let mask = mask.parse::<Match>().unwrap().mask();
            let got = format_megaflow(&flow, &mask);
            assert_eq!(got, want);
        }
        let (flow, mut mask) = (Flow::default(), Mask::default());
        for slot in [l::RECIRC_ID, l::IN_PORT, l::PACKET_TYPE] {
            mask.exact(slot);
        }
        assert_eq!(format_megaflow(&flow, &mask), "recirc_id(0),in_port(0),packet_type(ns=0,id=0)");
    }
}
