//! Text of extensions: tunnel options, tracked connections, IPFIX.

use super::super::number;
use crate::wire::conntrack::{CtFlush, CtTuple, is_mapped};
use crate::wire::ipfix::IpfixStats;
use crate::wire::tlv::{TlvCommand, TlvMap, TlvMod, TlvReply};
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

fn mappings(out: &mut String, all: &[TlvMap]) {
    out.push_str(" mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------");
    for m in all {
        let (class, kind) = (number::hex(m.class), number::hex(m.kind));
        let _ = write!(out, "\n {class:>6}  {kind:>4}  {:>6}  tun_metadata{}", m.len, m.index);
    }
}

pub(super) fn tlv_mod(out: &mut String, m: &TlvMod) {
    out.push_str(match m.command {
        TlvCommand::Add => "\n ADD",
        TlvCommand::Delete => "\n DEL",
        TlvCommand::Clear => "\n CLEAR",
    });
    if m.command != TlvCommand::Clear {
        mappings(out, &m.mappings);
    }
}

pub(super) fn tlv_reply(out: &mut String, r: &TlvReply) {
    let used: u32 = r.mappings.iter().map(|m| u32::from(m.len)).sum();
    let _ = write!(
        out,
        "\n max option space={} max fields={}\n allocated option space={used}\n\n",
        r.max_space, r.max_fields
    );
    mappings(out, &r.mappings);
}

fn address(a: u128) -> String {
    if is_mapped(a) { Ipv4Addr::from_bits(a as u32).to_string() } else { Ipv6Addr::from_bits(a).to_string() }
}

/// ICMP's numbers, of IPv4 and IPv6.
fn is_icmp(proto: u8) -> bool {
    matches!(proto, 1 | 58)
}

fn tuple(t: &CtTuple, proto: u8, ipv4: bool) -> String {
    let family = if ipv4 { "nw" } else { "ipv6" };
    let mut out = format!("ct_{family}_src={},ct_{family}_dst={}", address(t.src), address(t.dst));
    let _ = if is_icmp(proto) {
        write!(out, ",icmp_id={},icmp_type={},icmp_code={}", t.icmp_id, t.icmp_type, t.icmp_code)
    } else {
        write!(out, ",ct_tp_src={},ct_tp_dst={}", t.src_port, t.dst_port)
    };
    out
}

pub(super) fn flush(f: &CtFlush) -> String {
    let ipv4 = f.addresses().into_iter().any(is_mapped);
    let (original, reply) = (tuple(&f.original, f.proto, ipv4), tuple(&f.reply, f.proto, ipv4));
    format!(" zone={} '{original},ct_nw_proto={}' '{reply}'", f.zone.unwrap_or(0), f.proto)
}

fn ipfix(s: &IpfixStats, head: &str) -> String {
    let (a, b) = (
        format!(
            "flows={}, current flows={}, sampled pkts={}, ipv4 ok={}, ipv6 ok={}, tx pkts={}",
            s.flows, s.current_flows, s.packets, s.ipv4_packets, s.ipv6_packets, s.tx_packets
        ),
        format!(
            "pkts errs={}, ipv4 errs={}, ipv6 errs={}, tx errs={}",
            s.error_packets, s.ipv4_errors, s.ipv6_errors, s.tx_errors
        ),
    );
    format!("{head}{a}\n{:1$}{b}\n", "", head.len())
}

pub(super) fn ipfix_bridge(s: &IpfixStats) -> String {
    format!("\n{}", ipfix(s, "  bridge ipfix: "))
}

pub(super) fn ipfix_flows(all: &[IpfixStats]) -> String {
    let each: String = all.iter().map(|s| ipfix(s, &format!("  id {:>3}: ", s.collector_set))).collect();
    format!(" {} ids\n{each}", all.len())
}
