//! A packet that has a flow: what `netdev-dummy/receive` and `-generate` make of a key.
//!
//! Headers have the flow's fields and nothing else; layer 4 has 64 bytes of payload (0, 1, 2, …) where it carries data, as
//! the stock program composes packets.
#![deny(clippy::indexing_slicing)]

use packet::build::{Builder, Layer};
use packet::eth::{EtherType, MacAddr};
use packet::icmpv6::nd;
use packet::ip::IpProto;
use packet::{arp, icmp, igmp, ipv4, ipv6, mpls, nsh, tcp, vlan};

use crate::fields::prereq::{ND_ADVERT, ND_SOLICIT, eth_type, ip_proto};
use crate::layout::{self as l, FRAG_ANY, FRAG_LATER, Slot, VLAN_PRESENT};
use crate::words::Flow;

/// Bytes of payload where nobody says how many.
const PAYLOAD: usize = 64;
/// Where a fragment that is not the first is said to be, bytes.
const LATER: u16 = 800;

/// Why there is no such packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A field has a value that headers cannot have.
    #[error("no packet can have this flow")]
    Unrepresentable,
    /// Headers alone are longer than the packet is to be.
    #[error("too small packet len")]
    TooShort,
}

fn mac(flow: &Flow, slot: Slot) -> MacAddr {
    let [_, _, rest @ ..] = flow.get64(slot).to_be_bytes();
    MacAddr(rest)
}

/// The packet that has `flow`; of `len` bytes with zeros as payload where `len` is given.
///
/// # Errors
/// No packet can have it, or not one so short.
pub fn compose(flow: &Flow, len: Option<usize>) -> Result<Vec<u8>, ComposeError> {
    let bytes = |payload: &[u8]| compose_with(flow, payload);
    let Some(len) = len else {
        let counting: Vec<u8> = (0..PAYLOAD as u8).collect();
        return bytes(if carries(flow) { &counting } else { &[] });
    };
    let headers = bytes(&[])?.len();
    let rest = len.checked_sub(headers).ok_or(ComposeError::TooShort)?;
    bytes(&vec![0; rest])
}

/// The packet that has `flow` and carries `payload`.
///
/// # Errors
/// No packet can have it.
pub fn compose_with(flow: &Flow, payload: &[u8]) -> Result<Vec<u8>, ComposeError> {
    build(flow, payload).and_then(|b| b.bytes().ok()).ok_or(ComposeError::Unrepresentable)
}

/// Whether layer 4 is one that data follows.
fn carries(flow: &Flow) -> bool {
    let ip = matches!(flow.get64(l::ETH_TYPE) as u16, eth_type::IPV4 | eth_type::IPV6);
    if !ip || flow.get64(l::NW_FRAG) as u8 & FRAG_LATER != 0 {
        return false;
    }
    let kind = flow.get64(l::TP_SRC);
    match flow.get64(l::NW_PROTO) as u8 {
        ip_proto::UDP => true,
        ip_proto::TCP => {
            tcp::Flags(flow.get64(l::TCP_FLAGS) as u16).0 & (tcp::Flags::SYN.0 | tcp::Flags::FIN.0 | tcp::Flags::RST.0)
                == 0
        }
        ip_proto::ICMP => matches!(kind, 0 | 8),
        ip_proto::ICMPV6 => matches!(kind, 128 | 129),
        _ => false,
    }
}

fn build(flow: &Flow, payload: &[u8]) -> Option<Builder> {
    let mut b = packet::build::eth(mac(flow, l::ETH_SRC), mac(flow, l::ETH_DST));
    for (tci, tpid) in [(l::VLAN_TCI, l::VLAN_TPID), (l::VLAN1_TCI, l::VLAN1_TPID)] {
        let tag = flow.get64(tci) as u16;
        if tag & VLAN_PRESENT != 0 {
            let tpid = match flow.get64(tpid) as u16 {
                0 => EtherType::VLAN,
                other => EtherType(other),
            };
            b = b.layer(Layer::Vlan(tpid, vlan::Tci(tag & !VLAN_PRESENT)));
        }
    }
    let kind = flow.get64(l::ETH_TYPE) as u16;
    b = match kind {
        eth_type::IPV4 => layer4(ipv4(b, flow), flow, payload)?,
        eth_type::IPV6 => layer4(ipv6(b, flow), flow, payload)?,
        eth_type::ARP | eth_type::RARP => {
            let [spa, tpa] = [l::NW_SRC, l::NW_DST].map(|s| (flow.get64(s) as u32).into());
            let value = arp::Value {
                operation: flow.get64(l::NW_PROTO) as u16,
                sha: mac(flow, l::ARP_SHA),
                spa,
                tha: mac(flow, l::ARP_THA),
                tpa,
            };
            b.layer(Layer::Arp(value)).payload(payload)
        }
        eth_type::MPLS | eth_type::MPLS_MULTICAST => {
            let entries = [l::MPLS0, l::MPLS1, l::MPLS2].map(|s| mpls::Entry(flow.get64(s) as u32));
            let bottom = entries.iter().position(|e| e.0 & 0x100 != 0).map_or(1, |at| at + 1);
            b.layer(Layer::Mpls(EtherType(kind), entries.into_iter().take(bottom).collect())).payload(payload)
        }
        eth_type::NSH => b.layer(Layer::Nsh(nsh(flow)?)).payload(payload),
        // no type: what is there instead is a length, of what follows the MAC addresses and the length itself
        eth_type::NONE => b.raw_type(u16::try_from(payload.len()).ok()?).payload(payload),
        other => b.raw_type(other).payload(payload),
    };
    Some(b)
}

fn ipv4(b: Builder, flow: &Flow) -> Builder {
    let frag = flow.get64(l::NW_FRAG) as u8;
    let fragment = match (frag & FRAG_ANY != 0, frag & FRAG_LATER != 0) {
        (false, _) => ipv4::Fragment::new(0, false, false),
        (true, false) => ipv4::Fragment::new(0, true, false),
        (true, true) => ipv4::Fragment::new(LATER, true, false),
    };
    let [src, dst] = [l::NW_SRC, l::NW_DST].map(|s| (flow.get64(s) as u32).into());
    b.layer(Layer::Ipv4(ipv4::Value {
        tos: flow.get64(l::NW_TOS) as u8,
        ttl: flow.get64(l::NW_TTL) as u8,
        proto: IpProto(flow.get64(l::NW_PROTO) as u8),
        fragment,
        src,
        dst,
        ..ipv4::Value::default()
    }))
}

fn ipv6(b: Builder, flow: &Flow) -> Builder {
    let [src, dst] = [l::IPV6_SRC, l::IPV6_DST].map(|s| flow.get(s).into());
    let b = b.layer(Layer::Ipv6(ipv6::Value {
        traffic_class: flow.get64(l::NW_TOS) as u8,
        flow_label: flow.get64(l::IPV6_LABEL) as u32 & 0xf_ffff,
        next: IpProto(flow.get64(l::NW_PROTO) as u8),
        hop_limit: flow.get64(l::NW_TTL) as u8,
        src,
        dst,
        ..ipv6::Value::default()
    }));
    let frag = flow.get64(l::NW_FRAG) as u8;
    if frag & FRAG_ANY == 0 {
        return b;
    }
    let offset = if frag & FRAG_LATER != 0 { LATER } else { 0 };
    let header = ipv6::ext::Fragment { bits: offset | 1, ident: 0 };
    b.ext(ipv6::ext::Value::Fragment(IpProto(flow.get64(l::NW_PROTO) as u8), header))
}

fn layer4(b: Builder, flow: &Flow, payload: &[u8]) -> Option<Builder> {
    if flow.get64(l::NW_FRAG) as u8 & FRAG_LATER != 0 {
        return Some(b.payload(payload));
    }
    let [src, dst] = [l::TP_SRC, l::TP_DST].map(|s| flow.get64(s) as u16);
    let v6 = flow.get64(l::ETH_TYPE) as u16 == eth_type::IPV6;
    let b = match flow.get64(l::NW_PROTO) as u8 {
        ip_proto::TCP => {
            let flags = tcp::Flags(flow.get64(l::TCP_FLAGS) as u16);
            b.layer(Layer::Tcp(tcp::Value { src, dst, flags, ..tcp::Value::default() }))
        }
        ip_proto::UDP => b.udp(src, dst),
        ip_proto::SCTP => b.sctp(src, dst),
        ip_proto::ICMP if !v6 => {
            let (kind, code) = (u8::try_from(src).ok()?, u8::try_from(dst).ok()?);
            b.layer(Layer::Icmp(icmp::Value { kind, code, rest: [0; 4] }))
        }
        ip_proto::ICMPV6 if v6 => {
            let (kind, code) = (u8::try_from(src).ok()?, u8::try_from(dst).ok()?);
            let target = flow.get(l::ND_TARGET).into();
            let flags = flow.get64(l::ND_RESERVED) as u32;
            let message = match kind {
                ND_SOLICIT => Some(nd::Value::NeighborSolicit { target }),
                ND_ADVERT => Some(nd::Value::NeighborAdvert { flags, target }),
                _ => None,
            };
            match message.filter(|_| code == 0) {
                Some(message) => {
                    let (sll, tll) = (mac(flow, l::ARP_SHA), mac(flow, l::ARP_THA));
                    let mut options = Vec::new();
                    options.extend((sll != MacAddr([0; 6])).then_some(nd::NdOption::SourceMac(sll)));
                    options.extend((tll != MacAddr([0; 6])).then_some(nd::NdOption::TargetMac(tll)));
                    b.nd(message, &options).ok()?
                }
                None => b.layer(Layer::Icmpv6(icmp::Value { kind, code, rest: [0; 4] })),
            }
        }
        ip_proto::IGMP if !v6 => {
            let group = (flow.get64(l::IGMP_GROUP) as u32).to_be_bytes();
            let header = [[u8::try_from(src).ok()?, u8::try_from(dst).ok()?, 0, 0], group].concat();
            let header = with_sum(header)?;
            return Some(b.raw_type(ip_proto::IGMP.into()).payload(&[&header[..], payload].concat()));
        }
        other => return Some(b.change(|layer| set_proto(layer, other)).payload(payload)),
    };
    Some(b.payload(payload))
}

/// A header of IGMP with its checksum.
fn with_sum(mut header: Vec<u8>) -> Option<Vec<u8>> {
    igmp::fill_checksum(&mut header).ok()?;
    Some(header)
}

fn set_proto(layer: &mut Layer, proto: u8) {
    match layer {
        Layer::Ipv4(v) => v.proto = IpProto(proto),
        Layer::Ipv6(v) => v.next = IpProto(proto),
        _ => {}
    }
}

fn nsh(flow: &Flow) -> Option<nsh::Value> {
    let metadata = match flow.get64(l::NSH_MDTYPE) {
        1 => {
            let words = [l::NSH_C1, l::NSH_C2, l::NSH_C3, l::NSH_C4].map(|s| flow.get64(s) as u32);
            nsh::Metadata::Fixed(words)
        }
        _ => return None,
    };
    Some(nsh::Value {
        oam: flow.get64(l::NSH_FLAGS) & 1 != 0,
        ttl: flow.get64(l::NSH_TTL) as u8,
        next: flow.get64(l::NSH_NP) as u8,
        spi: flow.get64(l::NSH_SPI) as u32,
        si: flow.get64(l::NSH_SI) as u8,
        metadata,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::{Metadata, extract_flow};
    use crate::text::odp_parse::parse_packet;

    fn flow(text: &str) -> Flow {
        parse_packet(text, &|_| None).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    const COUNTING: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

    /// What Open vSwitch 3.1 wrote to a port's rxq_pcap.
    #[test]
    fn as_the_stock_program() {
        let eth = "eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a)";
        for (text, want, counting) in [
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)",
                "08004500005c000000004001669f0a0000020a000001080013fc00000000",
                true,
            ),
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=1,tos=0,ttl=64,frag=no),icmp(type=3,code=1)",
                "08004500001c00000000400166df0a0000020a0000010301fcfe00000000",
                false,
            ),
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=6,tos=1,ttl=63,frag=no),tcp(src=1,dst=2),tcp_flags(syn)",
                "080045010028000000003f0667cd0a0000020a000001000100020000000000000000500200009bdd0000",
                false,
            ),
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=6,tos=1,ttl=63,frag=no),tcp(src=1,dst=2)",
                "080045010068000000003f06678d0a0000020a00000100010002000000000000000050000000b79b0000",
                true,
            ),
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=17,tos=1,ttl=63,frag=no),udp(src=1,dst=2)",
                "08004501005c000000003f11678e0a0000020a0000010001000200480755",
                true,
            ),
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=2,tos=1,ttl=63,frag=no)",
                "08004501001c000000003f0267dd0a0000020a0000010000ffff00000000",
                false,
            ),
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=99,tos=1,ttl=63,frag=no)",
                "080045010014000000003f6367840a0000020a000001",
                false,
            ),
            (
                "eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=17,tos=1,ttl=63,frag=later)",
                "080045010014000020643f1147720a0000020a000001",
                false,
            ),
            (
                "eth_type(0x86dd),ipv6(src=::1,dst=::2,label=5,proto=58,tclass=7,hlimit=128,frag=no),icmpv6(type=128,code=0)",
                "86dd6070000500483a80000000000000000000000000000000010000000000000000000000000000000280009b7600000000",
                true,
            ),
            (
                "eth_type(0x86dd),ipv6(src=::1,dst=::2,label=0,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=135,code=0),nd(target=::3,sll=00:01:02:03:04:05,tll=00:00:00:00:00:00)",
                "86dd6000000000203aff00000000000000000000000000000001000000000000000000000000000000028700719500000000000000000000000000000000000000030101000102030405",
                false,
            ),
            (
                "eth_type(0x0806),arp(sip=192.168.0.1,tip=192.168.0.2,op=1,sha=50:54:00:00:00:05,tha=00:00:00:00:00:00)",
                "08060001080006040001505400000005c0a80001000000000000c0a80002",
                false,
            ),
            (
                "eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=17,tos=1,ttl=63,frag=no),udp(src=1,dst=2))",
                "8100600508004501005c000000003f11678e0a0000020a0000010001000200480755",
                true,
            ),
            (
                "eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=0,label=50,tc=0,ttl=32,bos=1)",
                "88470006464000032120",
                false,
            ),
            ("eth_type(0x1234)", "1234", false),
        ] {
            let text = format!("in_port(1),{eth},{text}");
            let got = compose(&flow(&text), None).unwrap();
            let rest = if counting { COUNTING } else { "" };
            assert_eq!(hex(&got), format!("50540000000a505400000009{want}{rest}"), "{text}");
        }
        let udp = flow(&format!(
            "{eth},eth_type(0x0800),ipv4(src=10.0.0.2,dst=10.0.0.1,proto=17,tos=1,ttl=63,frag=no),udp(src=1,dst=2)"
        ));
        let got = compose(&udp, Some(60)).unwrap();
        let want = "50540000000a50540000000908004501002e000000003f1167bc0a0000020a00000100010002001aceb4";
        assert_eq!(got.len(), 60);
        assert_eq!(hex(&got)[..80], want[..80]);
        assert_eq!(compose(&udp, Some(20)), Err(ComposeError::TooShort));
    }

    #[test]
    fn the_packet_has_the_flow() {
        for text in [
            "in_port(1),eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a),eth_type(0x88a8),vlan(vid=5,pcp=3),encap(eth_type(0xabcd))",
            "in_port(1),eth(src=50:54:00:00:00:09),eth_type(0x86dd),ipv6(src=::1,dst=::2,proto=17,hlimit=9,frag=first),udp(src=3,dst=4)",
            "in_port(1),eth(src=50:54:00:00:00:09),eth_type(0x0800),ipv4(src=1.1.1.1,proto=132,ttl=3),sctp(src=3,dst=4)",
            "in_port(1),eth(src=50:54:00:00:00:09)",
        ] {
            let want = flow(text);
            let got = extract_flow(&compose(&want, None).unwrap(), 1, &Metadata::default()).unwrap();
            assert_eq!(got, want, "{text}");
        }
    }
}
