//! Matches of OpenFlow 1.0 as they are on the wire, wildcards and all; that is what much verbosity asks for.
#![deny(clippy::indexing_slicing)]

use super::names::{NoNames, port_text};
use super::oxm::entries_text;
use super::value::mac_text;
use crate::types::OfPort;
use crate::wire::Version;
use crate::wire::bytes::Bytes;
use flow::fields::prereq::{eth_type, ip_proto};
use flow::fields::value::port_to_11;
use std::net::Ipv4Addr;

/// Bytes before the match of a flow-mod, and before the length of one in Nicira's form.
const BEFORE: usize = 8;
const BEFORE_NX: usize = 40;

/// The match of the flow-mod in `bytes`, where the version has such forms.
pub(super) fn flow_mod(bytes: &[u8], version: Version, nx: bool) -> Option<String> {
    match (version, nx) {
        (_, true) => {
            let mut b = Bytes::new(bytes.get(BEFORE_NX..)?);
            let len = usize::from(b.u16().ok()?);
            b.skip(6).ok()?;
            Some(entries_text(b.take(len).ok()?))
        }
        (Version::Of10, false) => match10(Bytes::new(bytes.get(BEFORE..)?)),
        _ => None,
    }
}

/// Fields by their bits of wildcards.
const DL_TYPE: u32 = 1 << 4;
const NW_PROTO: u32 = 1 << 5;

fn address(value: u32, wild: u32) -> String {
    match wild & 0x3f {
        0 => Ipv4Addr::from(value).to_string(),
        n @ 1..32 => format!("{}/{}", Ipv4Addr::from(value & (u32::MAX << n)), 32 - n),
        _ => "*".to_owned(),
    }
}

fn match10(mut b: Bytes) -> Option<String> {
    let wild = b.u32().ok()?;
    let (in_port, dl_src, dl_dst) = (b.u16().ok()?, b.mac().ok()?, b.mac().ok()?);
    let (vlan, pcp) = (b.u16().ok()?, b.u8().ok()?);
    b.skip(1).ok()?;
    let (kind, tos, proto) = (b.u16().ok()?, b.u8().ok()?, b.u8().ok()?);
    b.skip(2).ok()?;
    let (src, dst, tp_src, tp_dst) = (b.u32().ok()?, b.u32().ok()?, b.u16().ok()?, b.u16().ok()?);
    let (has_kind, has_proto) = (wild & DL_TYPE == 0, wild & NW_PROTO == 0);
    let mut out = Vec::new();
    // what the protocol's name says is not said again
    let name = match (has_kind, kind, has_proto, proto) {
        (true, eth_type::IPV4, true, ip_proto::ICMP) => Some(("icmp", true)),
        (true, eth_type::IPV4, true, ip_proto::TCP) => Some(("tcp", true)),
        (true, eth_type::IPV4, true, ip_proto::UDP) => Some(("udp", true)),
        (true, eth_type::IPV4, true, ip_proto::SCTP) => Some(("sctp", true)),
        (true, eth_type::IPV4, ..) => Some(("ip", false)),
        (true, eth_type::ARP, ..) => Some(("arp", false)),
        (true, eth_type::RARP, ..) => Some(("rarp", false)),
        _ => None,
    };
    out.extend(name.map(|(name, _)| name.to_owned()));
    let mut say = |field: &str, bit: u32, text: String| {
        out.push(format!("{field}={}", if wild & bit == 0 { text } else { "*".to_owned() }));
    };
    say("in_port", 1, port_text(OfPort(port_to_11(in_port)), &NoNames));
    say("dl_vlan", 1 << 1, vlan.to_string());
    say("dl_vlan_pcp", 1 << 20, pcp.to_string());
    say("dl_src", 1 << 2, mac_text(dl_src.into()));
    say("dl_dst", 1 << 3, mac_text(dl_dst.into()));
    if name.is_none() {
        say("dl_type", DL_TYPE, format!("{kind:#06x}"));
    }
    say("nw_src", 0, address(src, wild >> 8));
    say("nw_dst", 0, address(dst, wild >> 14));
    let arp = has_kind && matches!(kind, eth_type::ARP | eth_type::RARP);
    if !name.is_some_and(|(_, transport)| transport) {
        say(if arp { "arp_op" } else { "nw_proto" }, NW_PROTO, proto.to_string());
    }
    say("nw_tos", 1 << 21, tos.to_string());
    let icmp = has_kind && kind == eth_type::IPV4 && has_proto && proto == ip_proto::ICMP;
    let (first, second) = if icmp { ("icmp_type", "icmp_code") } else { ("tp_src", "tp_dst") };
    say(first, 1 << 6, tp_src.to_string());
    say(second, 1 << 7, tp_dst.to_string());
    Some(out.join(","))
}
