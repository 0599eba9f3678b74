//! Builds packets layer by layer, for tests and for packets that the switch makes itself.
//!
//! Lengths, next-protocol fields and checksums follow from what is inside; a field that says something else is set
//! through the layer's own value ([`Builder::layer`]), and [`Builder::raw_type`] says what an unknown payload is.
#![deny(clippy::indexing_slicing)]

use crate::checksum::Sum;
use crate::eth::{EtherType, MacAddr};
use crate::ip::{FragmentKind, IpProto};
use crate::wire::{Error, Wire};
use crate::{Frame, arp, eth, icmp, icmpv6, igmp, ipv4, ipv6, mpls, nsh, sctp, tcp, udp, vlan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One layer of a packet.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the value of the module of that name")]
pub enum Layer {
    Eth(eth::Value),
    Vlan(EtherType, vlan::Tci),
    Mpls(EtherType, Vec<mpls::Entry>),
    Nsh(nsh::Value),
    Arp(arp::Value),
    Ipv4(ipv4::Value),
    Ipv6(ipv6::Value),
    Ext(ipv6::ext::Value),
    Tcp(tcp::Value),
    Udp(udp::Value),
    Sctp(sctp::Value),
    Icmp(icmp::Value),
    Icmpv6(icmpv6::Value),
    Nd(icmpv6::nd::Value, Vec<u8>),
    Igmp(igmp::Value),
    Payload(Vec<u8>),
}

/// A packet in the making, outermost layer first.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    layers: Vec<Layer>,
    raw_type: Option<u16>,
    pad: usize,
    junk_sums: bool,
}

/// A packet that begins with an Ethernet header.
pub fn eth(src: MacAddr, dst: MacAddr) -> Builder {
    Builder::default().layer(Layer::Eth(eth::Value { dst, src, ethertype: EtherType(0) }))
}

impl Builder {
    /// Adds a layer inside those added before.
    pub fn layer(mut self, layer: Layer) -> Builder {
        self.layers.push(layer);
        self
    }

    /// A customer tag.
    pub fn vlan(self, tci: vlan::Tci) -> Builder {
        self.layer(Layer::Vlan(EtherType::VLAN, tci))
    }

    /// A service tag.
    pub fn qinq(self, tci: vlan::Tci) -> Builder {
        self.layer(Layer::Vlan(EtherType::QINQ, tci))
    }

    /// A label stack; bottom bits are set as they belong.
    pub fn mpls(self, stack: &[mpls::Entry]) -> Builder {
        self.layer(Layer::Mpls(EtherType::MPLS, stack.to_vec()))
    }

    /// ARP.
    pub fn arp(self, operation: u16, sha: MacAddr, spa: Ipv4Addr, tha: MacAddr, tpa: Ipv4Addr) -> Builder {
        self.layer(Layer::Arp(arp::Value { operation, sha, spa, tha, tpa }))
    }

    /// IPv4.
    pub fn ipv4(self, src: Ipv4Addr, dst: Ipv4Addr) -> Builder {
        self.layer(Layer::Ipv4(ipv4::Value { src, dst, ..ipv4::Value::default() }))
    }

    /// IPv6.
    pub fn ipv6(self, src: Ipv6Addr, dst: Ipv6Addr) -> Builder {
        self.layer(Layer::Ipv6(ipv6::Value { src, dst, ..ipv6::Value::default() }))
    }

    /// An IPv6 extension header; its next-header field is set.
    pub fn ext(self, header: ipv6::ext::Value) -> Builder {
        self.layer(Layer::Ext(header))
    }

    /// TCP, with ACK set.
    pub fn tcp(self, src: u16, dst: u16) -> Builder {
        let (flags, window) = (tcp::Flags::ACK, 65_535);
        self.layer(Layer::Tcp(tcp::Value { src, dst, flags, window, ..tcp::Value::default() }))
    }

    /// UDP.
    pub fn udp(self, src: u16, dst: u16) -> Builder {
        self.layer(Layer::Udp(udp::Value { src, dst, payload_len: 0 }))
    }

    /// SCTP.
    pub fn sctp(self, src: u16, dst: u16) -> Builder {
        self.layer(Layer::Sctp(sctp::Value { src, dst, tag: 0 }))
    }

    /// ICMP, or ICMPv6 behind IPv6.
    pub fn icmp(self, kind: u8, code: u8) -> Builder {
        let value = icmp::Value { kind, code, rest: [0; 4] };
        let v6 = self.layers.iter().rev().find_map(|layer| match layer {
            Layer::Ipv4(_) => Some(false),
            Layer::Ipv6(_) => Some(true),
            _ => None,
        });
        self.layer(if v6 == Some(true) { Layer::Icmpv6(value) } else { Layer::Icmp(value) })
    }

    /// Neighbour discovery with options.
    pub fn nd(self, message: icmpv6::nd::Value, options: &[icmpv6::nd::NdOption<'_>]) -> Result<Builder, Error> {
        let mut bytes = Vec::new();
        for option in options {
            option.emit(&mut bytes)?;
        }
        Ok(self.layer(Layer::Nd(message, bytes)))
    }

    /// IGMP.
    pub fn igmp(self, message: igmp::Value) -> Builder {
        self.layer(Layer::Igmp(message))
    }

    /// NSH.
    pub fn nsh(self, header: nsh::Value) -> Builder {
        self.layer(Layer::Nsh(header))
    }

    /// Bytes.
    pub fn payload(self, bytes: &[u8]) -> Builder {
        self.layer(Layer::Payload(bytes.to_vec()))
    }

    /// Ethertype or protocol that the layer before the innermost payload says.
    pub fn raw_type(mut self, value: u16) -> Builder {
        self.raw_type = Some(value);
        self
    }

    /// Pads the frame with zeros to at least `len` bytes.
    pub fn pad(mut self, len: usize) -> Builder {
        self.pad = len;
        self
    }

    /// Leaves layer 4 checksums wrong, as a sender does that offloads them.
    pub fn without_sums(mut self) -> Builder {
        self.junk_sums = true;
        self
    }

    /// Sets type of service or traffic class of the innermost IP header.
    pub fn tos(self, tos: u8) -> Builder {
        self.change(|layer| match layer {
            Layer::Ipv4(v) => v.tos = tos,
            Layer::Ipv6(v) => v.traffic_class = tos,
            _ => {}
        })
    }

    /// Sets time to live or hop limit of the innermost IP header.
    pub fn ttl(self, ttl: u8) -> Builder {
        self.change(|layer| match layer {
            Layer::Ipv4(v) => v.ttl = ttl,
            Layer::Ipv6(v) => v.hop_limit = ttl,
            _ => {}
        })
    }

    /// Sets flags and fragment offset of the innermost IPv4 header.
    pub fn fragment(self, fragment: ipv4::Fragment) -> Builder {
        self.change(|layer| {
            if let Layer::Ipv4(v) = layer {
                v.fragment = fragment;
            }
        })
    }

    /// Sets the TCP flags.
    pub fn flags(self, flags: tcp::Flags) -> Builder {
        self.change(|layer| {
            if let Layer::Tcp(v) = layer {
                v.flags = flags;
            }
        })
    }

    /// Applies a change to every layer, for what has no method of its own.
    pub fn change(mut self, mut change: impl FnMut(&mut Layer)) -> Builder {
        self.layers.iter_mut().for_each(&mut change);
        self
    }

    /// The packet. Layers that can't say what they hold are the error.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for at in (0..self.layers.len()).rev() {
            let (outer, inner) = self.layers.split_at(at);
            if let [layer, inner @ ..] = inner {
                let mut bytes = self.emit(layer, outer, inner, out.len())?;
                bytes.append(&mut out);
                self.fill(layer, outer, &mut bytes)?;
                out = bytes;
            }
        }
        if out.len() < self.pad {
            out.resize(self.pad, 0);
        }
        Ok(out)
    }

    /// The packet as a heap frame.
    pub fn frame(&self) -> Result<Frame, Error> {
        Ok(Frame::from_slice(&self.bytes()?))
    }

    /// One layer's bytes, with `len` bytes inside it.
    fn emit(&self, layer: &Layer, outer: &[Layer], inner: &[Layer], len: usize) -> Result<Vec<u8>, Error> {
        let len = || u16::try_from(len).map_err(|_| Error::Unrepresentable);
        let next = inner.first();
        match layer {
            Layer::Eth(v) => {
                let ethertype = self.ethertype(next, v.ethertype);
                eth::Value { ethertype, ..*v }.to_bytes()
            }
            Layer::Vlan(_, tci) => vlan::Value { tci: *tci, ethertype: self.ethertype(next, EtherType(0)) }.to_bytes(),
            Layer::Mpls(_, stack) => mpls::Value { stack: stack.clone() }.to_bytes(),
            Layer::Nsh(v) => {
                let next = match next {
                    Some(Layer::Ipv4(_)) => nsh::NEXT_IPV4,
                    Some(Layer::Ipv6(_)) => nsh::NEXT_IPV6,
                    Some(Layer::Eth(_)) => nsh::NEXT_ETHERNET,
                    Some(Layer::Nsh(_)) => nsh::NEXT_NSH,
                    Some(Layer::Mpls(..)) => nsh::NEXT_MPLS,
                    _ => v.next,
                };
                nsh::Value { next, ..v.clone() }.to_bytes()
            }
            Layer::Arp(v) => v.to_bytes(),
            Layer::Ipv4(v) => {
                ipv4::Value { proto: self.proto(next, v.proto), payload_len: len()?, ..v.clone() }.to_bytes()
            }
            Layer::Ipv6(v) => {
                ipv6::Value { next: self.proto(next, v.next), payload_len: len()?, ..v.clone() }.to_bytes()
            }
            Layer::Ext(v) => {
                let mut v = v.clone();
                *v.next_mut() = self.proto(next, *v.next_mut());
                let mut out = vec![0; v.wire_len()];
                v.emit(&mut out)?;
                Ok(out)
            }
            Layer::Tcp(v) => v.to_bytes(),
            Layer::Udp(v) => {
                // the first fragment of a datagram says the length of all of it, which only the caller knows
                let payload_len = if fragmented(outer) && v.payload_len != 0 { v.payload_len } else { len()? };
                udp::Value { payload_len, ..*v }.to_bytes()
            }
            Layer::Sctp(v) => v.to_bytes(),
            Layer::Icmp(v) | Layer::Icmpv6(v) => v.to_bytes(),
            Layer::Nd(v, options) => Ok([v.to_bytes()?, options.clone()].concat()),
            Layer::Igmp(v) => v.to_bytes(),
            Layer::Payload(bytes) => Ok(bytes.clone()),
        }
    }

    fn ethertype(&self, next: Option<&Layer>, other: EtherType) -> EtherType {
        match next {
            Some(Layer::Vlan(tpid, _)) => *tpid,
            Some(Layer::Mpls(ethertype, _)) => *ethertype,
            Some(Layer::Nsh(_)) => EtherType::NSH,
            Some(Layer::Arp(_)) => EtherType::ARP,
            Some(Layer::Ipv4(_)) => EtherType::IPV4,
            Some(Layer::Ipv6(_)) => EtherType::IPV6,
            _ => self.raw_type.map_or(other, EtherType),
        }
    }

    fn proto(&self, next: Option<&Layer>, other: IpProto) -> IpProto {
        match next {
            Some(Layer::Ipv4(_)) => IpProto::IPIP,
            Some(Layer::Ipv6(_)) => IpProto::IPV6,
            Some(Layer::Ext(v)) => v.proto(),
            Some(Layer::Tcp(_)) => IpProto::TCP,
            Some(Layer::Udp(_)) => IpProto::UDP,
            Some(Layer::Sctp(_)) => IpProto::SCTP,
            Some(Layer::Icmp(_)) => IpProto::ICMP,
            Some(Layer::Icmpv6(_) | Layer::Nd(..)) => IpProto::ICMPV6,
            Some(Layer::Igmp(_)) => IpProto::IGMP,
            _ => self.raw_type.map_or(other, |raw| IpProto(raw as u8)),
        }
    }

    /// Makes the checksum of a layer right, over `bytes`, the layer and all that is in it.
    fn fill(&self, layer: &Layer, outer: &[Layer], bytes: &mut [u8]) -> Result<(), Error> {
        let len = bytes.len() as u32;
        let pseudo = |proto| match addresses(outer) {
            Some((src, dst)) => Sum::pseudo(src, dst, proto, len),
            None => Sum::new(),
        };
        if self.junk_sums {
            return Ok(());
        }
        match layer {
            Layer::Tcp(_) => tcp::fill_checksum(bytes, pseudo(IpProto::TCP)),
            Layer::Udp(_) => udp::fill_checksum(bytes, pseudo(IpProto::UDP)),
            Layer::Sctp(_) => sctp::fill_checksum(bytes),
            Layer::Icmp(_) => icmp::fill_checksum(bytes, Sum::new()),
            Layer::Icmpv6(_) | Layer::Nd(..) => icmp::fill_checksum(bytes, pseudo(IpProto::ICMPV6)),
            Layer::Igmp(_) => igmp::fill_checksum(bytes),
            _ => Ok(()),
        }
    }
}

/// Addresses of the innermost IP header of `outer`.
fn addresses(outer: &[Layer]) -> Option<(IpAddr, IpAddr)> {
    outer.iter().rev().find_map(|layer| match layer {
        Layer::Ipv4(v) => Some((v.src.into(), v.dst.into())),
        Layer::Ipv6(v) => Some((v.src.into(), v.dst.into())),
        _ => None,
    })
}

fn fragmented(outer: &[Layer]) -> bool {
    outer.iter().any(|layer| match layer {
        Layer::Ipv4(v) => v.fragment.kind() != FragmentKind::No,
        Layer::Ext(ipv6::ext::Value::Fragment(_, f)) => f.kind() != FragmentKind::No,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    fn mac(n: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, n])
    }

    #[test]
    fn a_whole_packet_by_hand() {
        let packet = eth(mac(1), mac(2))
            .vlan(vlan::Tci(0x2064))
            .ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))
            .tos(0xb8)
            .ttl(3)
            .udp(1, 2)
            .payload(&[0xff; 3]);
        // checksums by hand: 0x4500.. sums; UDP over pseudo header 0a00 0001 0a00 0002 0011 000b
        let want = hex::parse(
            "020000000002 020000000001 8100 2064 0800
             45b8001f 00004000 0311 6258 0a000001 0a000002
             0001 0002 000b eac8 ffffff",
        )
        .unwrap();
        let bytes = packet.bytes().unwrap();
        let view = ipv4::View::parse(&bytes[18..]).unwrap();
        assert!(view.checksum_ok());
        let pseudo = Sum::pseudo_v4(view.src(), view.dst(), IpProto::UDP, 11);
        assert!(udp::View::parse(view.payload).unwrap().checksum_ok(pseudo));
        // but for the two sums, which were checked
        let mut same = bytes.clone();
        same[28..30].copy_from_slice(&want[28..30]);
        same[44..46].copy_from_slice(&want[44..46]);
        assert_eq!(hex::dump(&same), hex::dump(&want));
        assert_eq!(packet.pad(64).frame().unwrap().len(), 64);
    }

    #[test]
    fn layers_say_what_follows() {
        let v6 = |n| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n);
        let bytes = eth(mac(1), mac(2))
            .mpls(&[mpls::Entry::new(5, 0, false, 64), mpls::Entry::new(6, 0, false, 64)])
            .ipv6(v6(1), v6(2))
            .ext(ipv6::ext::Value::HopByHop(IpProto(0), vec![1, 4, 0, 0, 0, 0]))
            .ext(ipv6::ext::Value::Destination(IpProto(0), vec![1, 4, 0, 0, 0, 0]))
            .icmp(icmpv6::ECHO_REQUEST, 0)
            .payload(&[1, 2, 3])
            .bytes()
            .unwrap();
        let view = eth::View::parse(&bytes).unwrap();
        assert_eq!(view.ethertype(), EtherType::MPLS);
        let stack = mpls::View::parse(view.payload).unwrap();
        assert_eq!(stack.entries().map(mpls::Entry::is_bottom).collect::<Vec<_>>(), [false, true]);
        let ip = ipv6::View::parse(stack.payload).unwrap();
        let walk = ip.extensions().unwrap();
        assert_eq!((walk.proto, walk.count), (IpProto::ICMPV6, 2));
        let pseudo = icmpv6::pseudo(ip.src(), ip.dst(), walk.payload.len() as u32);
        assert!(icmpv6::View::parse(walk.payload).unwrap().checksum_ok(pseudo));
    }

    #[test]
    fn what_can_not_be_said_is_an_error() {
        let ip = eth(mac(1), mac(2)).ipv4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        assert_eq!(ip.clone().payload(&[0; 65_536]).bytes(), Err(Error::Unrepresentable));
        let bytes = ip.payload(&[7]).raw_type(253).bytes().unwrap();
        assert_eq!(bytes[23], 253);
    }
}
