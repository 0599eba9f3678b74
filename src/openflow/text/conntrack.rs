//! Connections as `ovs-ofctl ct-flush` is told of them (ovs-ofctl(8)): fields of one direction, in commas.

use super::error::{Result, bail};
use super::number;
use super::scan::Items;
use crate::wire::conntrack::{CtFlush, CtTuple, is_mapped};
use flow::fields::prereq::ip_proto;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Reads arguments: a zone, or none, and up to two directions, the second of which is the reply's.
pub fn parse_flush(arguments: &[String]) -> Result<CtFlush> {
    let mut flush = CtFlush::default();
    let mut tuples = arguments;
    if let Some((first, rest)) = arguments.split_first()
        && let Some(zone) = first.strip_prefix("zone=")
    {
        match number::whole(zone).and_then(|n| u16::try_from(n).ok()) {
            Some(zone) => flush.zone = Some(zone),
            None => bail!("Failed to parse zone"),
        }
        tuples = rest;
    }
    if tuples.len() > 2 {
        bail!("Invalid arguments: a zone and two tuples at most");
    }
    for (at, text) in tuples.iter().enumerate() {
        let read = tuple(text, &mut flush);
        match read {
            Err(e) => bail!("Failed to parse ct-tuple: {e}"),
            Ok(tuple) if at == 0 => flush.original = tuple,
            Ok(tuple) => flush.reply = tuple,
        }
    }
    Ok(flush)
}

fn tuple(text: &str, flush: &mut CtFlush) -> Result<CtTuple> {
    let mut t = CtTuple::default();
    let (mut seen, mut proto): (Vec<&str>, u8) = (Vec::new(), 0);
    for item in Items::new(text) {
        let (key, value) = (item.key, item.value);
        if item.whole == key {
            bail!("field {key} missing value");
        }
        if seen.contains(&key) {
            bail!("{key} is set multiple times");
        }
        seen.push(key);
        let failed = || super::ParseError::new(format!("failed to parse field {key}"));
        let number = |max: u16| {
            let n = number::whole(value).and_then(|n| u16::try_from(n).ok()).filter(|n| *n <= max);
            n.ok_or_else(failed)
        };
        let small = || number(u8::MAX.into()).map(|n| n as u8);
        match key {
            "ct_nw_src" | "ct_nw_dst" | "ct_ipv6_src" | "ct_ipv6_dst" => {
                let address: u128 = if key.starts_with("ct_nw") {
                    value.parse::<Ipv4Addr>().map_err(|_| failed())?.to_ipv6_mapped().into()
                } else {
                    value.parse::<Ipv6Addr>().map_err(|_| failed())?.into()
                };
                let mut others = flush.addresses().into_iter().chain([t.src, t.dst]).filter(|a| *a != 0);
                if others.any(|other| is_mapped(other) != is_mapped(address)) {
                    bail!("the L3 protocol does not match {value}");
                }
                if key.ends_with("_src") { t.src = address } else { t.dst = address }
            }
            "ct_nw_proto" => proto = small()?,
            "ct_tp_src" => t.src_port = number(u16::MAX)?,
            "ct_tp_dst" => t.dst_port = number(u16::MAX)?,
            "icmp_id" => t.icmp_id = number(u16::MAX)?,
            "icmp_type" => t.icmp_type = small()?,
            "icmp_code" => t.icmp_code = small()?,
            _ => bail!("invalid conntrack tuple field: {key}"),
        }
    }
    let icmp = matches!(proto, ip_proto::ICMP | ip_proto::ICMPV6);
    if !icmp && seen.iter().any(|key| key.starts_with("icmp_")) {
        bail!("invalid L4 fields");
    }
    if proto == 0 && t.src_port | t.dst_port != 0 {
        bail!("port is set without protocol");
    }
    if proto != 0 {
        flush.proto = proto;
    }
    Ok(t)
}

#[cfg(test)]
mod tests {
    use super::parse_flush;

    fn read(arguments: &[&str]) -> Result<crate::wire::conntrack::CtFlush, String> {
        let owned: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        parse_flush(&owned).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn both_directions_and_a_zone() {
        let f = read(&["zone=5", "", "ct_nw_src=10.1.1.3,ct_nw_proto=17,ct_tp_src=1"]).unwrap();
        assert_eq!((f.zone, f.proto, f.reply.src_port, f.original), (Some(5), 17, 1, Default::default()));
        assert_eq!(f.reply.src, 0xffff_0a01_0103);
        let f = read(&["ct_ipv6_dst=::1,ct_nw_proto=58,icmp_type=128,icmp_id=7"]).unwrap();
        assert_eq!((f.zone, f.original.dst, f.original.icmp_type, f.original.icmp_id), (None, 1, 128, 7));
    }

    /// As ovs-ofctl 3.1.0 says it.
    #[test]
    fn refusals() {
        for (arguments, error) in [
            (&["zone=x"][..], "Failed to parse zone"),
            (&["foo"], "Failed to parse ct-tuple: field foo missing value"),
            (&["foo=3"], "Failed to parse ct-tuple: invalid conntrack tuple field: foo"),
            (&["zone=1", "zone=2"], "Failed to parse ct-tuple: invalid conntrack tuple field: zone"),
            (&["ct_nw_src=1.2.3.4/24"], "Failed to parse ct-tuple: failed to parse field ct_nw_src"),
            (&["ct_nw_src=1.2.3.4,ct_tp_src=1"], "Failed to parse ct-tuple: port is set without protocol"),
            (&["ct_nw_src=1.2.3.4", "ct_ipv6_src=::1"], "Failed to parse ct-tuple: the L3 protocol does not match ::1"),
            (&["ct_nw_proto=6,icmp_type=3"], "Failed to parse ct-tuple: invalid L4 fields"),
            (&["ct_nw_src=1.1.1.1,ct_nw_src=2.2.2.2"], "Failed to parse ct-tuple: ct_nw_src is set multiple times"),
        ] {
            assert_eq!(read(arguments).unwrap_err(), error, "{arguments:?}");
        }
    }
}
