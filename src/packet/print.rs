//! One line about a packet, for logs and traces.
#![deny(clippy::indexing_slicing)]

use crate::eth::{self, EtherType};
use crate::ip::{FragmentKind, IpProto};
use crate::{arp, icmp, ipv4, ipv6, mpls, nsh, sctp, tcp, udp, vlan};
use std::fmt;

/// Prints bytes of a frame as one line, layer by layer as far as they make sense.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a [u8]);

/// IP in IP and Ethernet in NSH are followed this deep.
const DEPTH: usize = 4;

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ethernet(f, self.0, DEPTH)
    }
}

fn ethernet(f: &mut fmt::Formatter<'_>, bytes: &[u8], depth: usize) -> fmt::Result {
    let Ok(view) = eth::View::parse(bytes) else { return write!(f, "{} bytes, no Ethernet header", bytes.len()) };
    write!(f, "{} > {}", view.header.src, view.header.dst)?;
    let mut tags = vlan::tags(view.ethertype(), view.payload);
    for (tpid, tci) in tags.by_ref() {
        let kind = if tpid == EtherType::QINQ { "svlan" } else { "vlan" };
        write!(f, ", {kind} {} pcp {}", tci.vlan(), tci.pcp())?;
    }
    let (ethertype, rest) = tags.rest();
    network(f, ethertype, rest, depth)
}

fn network(f: &mut fmt::Formatter<'_>, ethertype: EtherType, bytes: &[u8], depth: usize) -> fmt::Result {
    let Some(depth) = depth.checked_sub(1) else { return write!(f, ", and so on") };
    match ethertype {
        EtherType::IPV4 => match ipv4::View::parse(bytes) {
            Ok(view) => {
                write!(f, ", ipv4 {} > {} ttl {}", view.src(), view.dst(), view.header.ttl)?;
                let fragment = view.fragment();
                if fragment.kind() != FragmentKind::No {
                    write!(f, " frag {}{}", fragment.offset(), if fragment.more() { "+" } else { "" })?;
                }
                transport(f, view.proto(), fragment.kind(), view.payload, depth)
            }
            Err(error) => write!(f, ", ipv4 {error}"),
        },
        EtherType::IPV6 => match ipv6::View::parse(bytes).and_then(|view| Ok((view, view.extensions()?))) {
            Ok((view, walk)) => {
                write!(f, ", ipv6 {} > {} hlim {}", view.src(), view.dst(), view.header.hop_limit)?;
                if let Some(fragment) = walk.fragment {
                    write!(f, " frag {}{}", fragment.offset(), if fragment.more() { "+" } else { "" })?;
                }
                transport(f, walk.proto, walk.kind(), walk.payload, depth)
            }
            Err(error) => write!(f, ", ipv6 {error}"),
        },
        EtherType::ARP | EtherType::RARP => match arp::View::parse(bytes) {
            Ok(arp::View { header, .. }) => {
                let (spa, tpa) = (std::net::Ipv4Addr::from(header.spa), std::net::Ipv4Addr::from(header.tpa));
                match header.operation.get() {
                    arp::REQUEST => write!(f, ", arp who has {tpa}, tell {spa} at {}", header.sha),
                    arp::REPLY => write!(f, ", arp {spa} is at {}, told {tpa}", header.sha),
                    other => write!(f, ", arp operation {other} {spa} > {tpa}"),
                }
            }
            Err(error) => write!(f, ", arp {error}"),
        },
        EtherType::MPLS | EtherType::MPLS_MCAST => match mpls::View::parse(bytes) {
            Ok(view) => {
                write!(f, ", mpls")?;
                view.entries().try_for_each(|entry| write!(f, " {}", entry.label()))?;
                write!(f, ", {} bytes", view.payload.len())
            }
            Err(error) => write!(f, ", mpls {error}"),
        },
        EtherType::NSH => match nsh::View::parse(bytes) {
            Ok(view) => {
                write!(f, ", nsh spi {:#x} si {}", view.header.spi(), view.header.si())?;
                match view.header.next {
                    nsh::NEXT_IPV4 => network(f, EtherType::IPV4, view.payload, depth),
                    nsh::NEXT_IPV6 => network(f, EtherType::IPV6, view.payload, depth),
                    nsh::NEXT_MPLS => network(f, EtherType::MPLS, view.payload, depth),
                    nsh::NEXT_NSH => network(f, EtherType::NSH, view.payload, depth),
                    nsh::NEXT_ETHERNET => {
                        write!(f, ", ")?;
                        ethernet(f, view.payload, depth)
                    }
                    next => write!(f, ", next {next}, {} bytes", view.payload.len()),
                }
            }
            Err(error) => write!(f, ", nsh {error}"),
        },
        other if other.is_length() => write!(f, ", 802.3, {} bytes", bytes.len()),
        other => write!(f, ", type {other}, {} bytes", bytes.len()),
    }
}

fn transport(
    f: &mut fmt::Formatter<'_>,
    proto: IpProto,
    kind: FragmentKind,
    bytes: &[u8],
    depth: usize,
) -> fmt::Result {
    if kind == FragmentKind::Later {
        return write!(f, ", proto {proto}, {} bytes", bytes.len());
    }
    match proto {
        IpProto::TCP => match tcp::View::parse(bytes) {
            Ok(view) => {
                let header = view.header;
                write!(f, ", tcp {} > {} [{}]", header.src, header.dst, header.flags())?;
                write!(f, " seq {} ack {}, {} bytes", header.seq, header.ack, view.payload.len())
            }
            Err(error) => write!(f, ", tcp {error}"),
        },
        // the first fragment's length is the datagram's, so only the header is looked at
        IpProto::UDP => match crate::wire::split::<udp::Header>(bytes) {
            Ok((header, rest)) => write!(f, ", udp {} > {}, {} bytes", header.src, header.dst, rest.len()),
            Err(error) => write!(f, ", udp {error}"),
        },
        IpProto::SCTP => match sctp::View::parse(bytes) {
            Ok(view) => {
                write!(f, ", sctp {} > {}", view.header.src, view.header.dst)?;
                view.chunks().take(8).try_for_each(|chunk| write!(f, " chunk {}", chunk.kind))
            }
            Err(error) => write!(f, ", sctp {error}"),
        },
        IpProto::ICMP | IpProto::ICMPV6 => {
            let name = if proto == IpProto::ICMP { "icmp" } else { "icmp6" };
            match icmp::View::parse(bytes) {
                Ok(view) => {
                    let (header, len) = (view.header, view.payload.len());
                    write!(f, ", {name} type {} code {}, {len} bytes", header.kind, header.code)
                }
                Err(error) => write!(f, ", {name} {error}"),
            }
        }
        IpProto::IPIP => network(f, EtherType::IPV4, bytes, depth),
        IpProto::IPV6 => network(f, EtherType::IPV6, bytes, depth),
        other => write!(f, ", proto {other}, {} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use crate::eth::MacAddr;
    use std::net::Ipv4Addr;

    #[test]
    fn lines() {
        let (a, b) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let (x, y) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let line = |packet: build::Builder| Summary(&packet.bytes().unwrap()).to_string();
        let macs = "02:00:00:00:00:01 > 02:00:00:00:00:02";
        assert_eq!(
            line(build::eth(a, b).vlan(vlan::Tci(0x2064)).ipv4(x, y).tcp(1, 2).payload(&[0; 5])),
            format!("{macs}, vlan 100 pcp 1, ipv4 10.0.0.1 > 10.0.0.2 ttl 64, tcp 1 > 2 [ack] seq 0 ack 0, 5 bytes")
        );
        assert_eq!(
            line(build::eth(a, b).arp(arp::REQUEST, a, x, b, y)),
            format!("{macs}, arp who has 10.0.0.2, tell 10.0.0.1 at 02:00:00:00:00:01")
        );
        assert_eq!(
            line(build::eth(a, b).ipv6(x.to_ipv6_mapped(), y.to_ipv6_mapped()).udp(53, 54)),
            format!("{macs}, ipv6 ::ffff:10.0.0.1 > ::ffff:10.0.0.2 hlim 64, udp 53 > 54, 0 bytes")
        );
        assert_eq!(
            line(
                build::eth(a, b).ipv4(x, y).fragment(ipv4::Fragment::new(8, true, false)).payload(&[0; 4]).raw_type(6)
            ),
            format!("{macs}, ipv4 10.0.0.1 > 10.0.0.2 ttl 64 frag 8+, proto 6, 4 bytes")
        );
        let deep = (0..6).fold(build::eth(a, b), |packet, _| packet.ipv4(x, y));
        assert!(line(deep).ends_with(", and so on"));
        assert_eq!(Summary(&[1, 2]).to_string(), "2 bytes, no Ethernet header");
    }
}
