//! Printing matches and values in the order and the forms of ovs-ofctl.
#![deny(clippy::indexing_slicing)]

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::parse::protocol_name;
use super::value::{CT_STATE, FRAGS, TCP_FLAGS, TUN_FLAGS};
use super::{Names, NoNames, format_port};

use crate::fields::prereq::{eth_type, ip_proto};
use crate::fields::value::port_from_11;
use crate::fields::{Field, FieldId, Format, Kind};
use crate::layout::{self as l, Slot, VLAN_PRESENT};
use crate::matching::Match;
use crate::words::{Flow, Mask};

/// Appends the text of `value` under `mask` (of the field's full width when it is exact) as ovs-ofctl prints the field
/// in a match and in set_field.
pub fn value(out: &mut String, field: &Field, value: u128, mask: u128, names: &dyn Names) {
    // a VID alone is not exact: whether there is a tag is part of this field
    let exact = mask == field.full_mask() || mask == field.max() && field.id != FieldId::VlanVid;
    // Writing to a String cannot fail.
    let _ = match field.format {
        Format::Decimal if exact => write!(out, "{value}"),
        Format::Decimal if field.bytes == 1 => write!(out, "0x{value:02x}/0x{mask:02x}"),
        Format::Decimal => write!(out, "0x{value:x}/0x{mask:x}"),
        Format::Hex if field.id == FieldId::EthType => write!(out, "0x{value:04x}"),
        Format::Hex if field.id == FieldId::VlanTci && exact => write!(out, "0x{value:04x}"),
        Format::Hex if field.id == FieldId::VlanTci => write!(out, "0x{value:04x}/0x{mask:04x}"),
        Format::Hex if field.id == FieldId::Ipv6Label && exact => write!(out, "0x{value:05x}"),
        Format::Hex if field.id == FieldId::Ipv6Label => write!(out, "0x{value:05x}/0x{mask:05x}"),
        Format::Hex if field.id == FieldId::CtZone => write!(out, "{value}"),
        Format::Hex if field.id == FieldId::NshSpi => write!(out, "0x{value:x}"),
        Format::Hex if exact => write!(out, "{}", hex(value)),
        Format::Hex => write!(out, "{}/{}", hex(value), hex(mask)),
        Format::Ethernet => {
            mac(out, value);
            if exact {
                return;
            }
            out.push('/');
            mac(out, mask);
            Ok(())
        }
        Format::Ipv4 => {
            let (address, m) = (Ipv4Addr::from_bits(value as u32), mask as u32);
            let _ = write!(out, "{address}");
            match m.leading_ones() {
                32 => Ok(()),
                n if n == m.count_ones() => write!(out, "/{n}"),
                _ => write!(out, "/{}", Ipv4Addr::from_bits(m)),
            }
        }
        Format::Ipv6 => {
            ipv6(out, value);
            match mask.leading_ones() {
                128 => Ok(()),
                n if n == mask.count_ones() => write!(out, "/{n}"),
                _ => {
                    out.push('/');
                    ipv6(out, mask);
                    Ok(())
                }
            }
        }
        Format::Port10 => out.write_str(&format_port(value as u16, names)),
        Format::Port11 => match port_from_11(value as u32) {
            Some(port) => out.write_str(&format_port(port, names)),
            None => write!(out, "{value}"),
        },
        Format::Frag => {
            let kind = FRAGS.iter().find(|(_, v, m)| (u128::from(*v), u128::from(*m)) == (value & mask, mask));
            match (kind, mask) {
                (Some((name, ..)), _) => out.write_str(name),
                (None, 1) => out.write_str("no"),
                (None, _) => out.write_str("later"),
            }
        }
        Format::TcpFlags => flags(out, TCP_FLAGS, value as u32, mask as u32, exact),
        Format::CtState => flags(out, CT_STATE, value as u32, mask as u32, exact),
        Format::TunnelFlags => flags(out, TUN_FLAGS, value as u32, mask as u32, mask > 0xff),
        Format::PacketType if value >> 16 == 1 => write!(out, "(1,{})", hex(value & 0xffff)),
        Format::PacketType => write!(out, "({},{})", value >> 16, value & 0xffff),
    };
}

/// As C's `%#x`: 0 has no prefix.
fn hex(n: u128) -> String {
    if n == 0 { "0".to_owned() } else { format!("{n:#x}") }
}

fn mac(out: &mut String, address: u128) {
    for i in (0..6).rev() {
        let _ = write!(out, "{:02x}", address >> (8 * i) & 0xff);
        if i != 0 {
            out.push(':');
        }
    }
}

/// IPv6 text; addresses that embed an IPv4 one end in dotted form, as inet_ntop(3) has it.
fn ipv6(out: &mut String, address: u128) {
    let _ = if address >> 32 == 0 && address >> 16 != 0 {
        write!(out, "::{}", Ipv4Addr::from_bits(address as u32))
    } else {
        write!(out, "{}", Ipv6Addr::from_bits(address))
    };
}

fn flags(out: &mut String, table: &[(&str, u32)], value: u32, mask: u32, exact: bool) -> std::fmt::Result {
    let known = table.iter().fold(0, |bits, (_, bit)| bits | bit);
    if exact {
        if value == 0 {
            return out.write_str("0");
        }
        let mut first = true;
        for (name, _) in table.iter().filter(|(_, bit)| value & bit != 0) {
            write!(out, "{}{name}", if first { "" } else { "|" })?;
            first = false;
        }
        for bit in (0..32).map(|n| 1 << n).filter(|bit| value & !known & bit != 0) {
            write!(out, "{}[{bit:x}]", if first { "" } else { "|" })?;
            first = false;
        }
        return Ok(());
    }
    for (name, bit) in table.iter().filter(|(_, bit)| mask & bit != 0) {
        write!(out, "{}{name}", if value & bit != 0 { '+' } else { '-' })?;
    }
    let (set, clear) = (value & mask & !known, !value & mask & !known);
    if set != 0 {
        write!(out, "+[{set:x}]")?;
    }
    if clear != 0 {
        write!(out, "-[{clear:x}]")?;
    }
    Ok(())
}

/// Prints one match.
struct Printer<'a> {
    out: String,
    flow: &'a Flow,
    mask: &'a Mask,
    names: &'a dyn Names,
    /// Fields of protocols that it does not ask for are printed too.
    whole: bool,
}

impl Printer<'_> {
    fn word(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.push(',');
        }
        self.out.push_str(text);
    }

    /// Prints `field` as `name=value` where the match asks for any of its bits.
    fn named(&mut self, id: FieldId, name: &str) {
        let field = id.row();
        let (v, m) = field.get_match(self.flow, self.mask);
        if m == 0 {
            return;
        }
        self.word(name);
        self.out.push('=');
        value(&mut self.out, field, v & m, m, self.names);
    }

    fn field(&mut self, id: FieldId) {
        self.named(id, id.row().name);
    }

    fn all(&mut self, ids: &[FieldId]) {
        ids.iter().for_each(|id| self.field(*id));
    }

    fn exact(&self, slot: Slot) -> Option<u64> {
        (self.mask.get64(slot) == slot.bits() >> slot.shift).then(|| self.flow.get64(slot))
    }

    fn metadata(&mut self) {
        use FieldId as F;
        self.all(&[F::PktMark]);
        if self.mask.get64(l::RECIRC_ID) != 0 {
            let id = self.flow.get64(l::RECIRC_ID);
            self.word(&format!("recirc_id={}", hex(u128::from(id))));
        }
        self.all(&[
            F::DpHash,
            F::ConjId,
            F::SkbPriority,
            F::ActsetOutput,
            F::CtState,
            F::CtZone,
            F::CtMark,
            F::CtLabel,
        ]);
        self.all(&[F::CtNwSrc, F::CtNwDst, F::CtIpv6Src, F::CtIpv6Dst, F::CtNwProto, F::CtTpSrc, F::CtTpDst]);
    }

    fn tunnel(&mut self) {
        use FieldId as F;
        self.all(&[F::TunId, F::TunSrc, F::TunDst, F::TunIpv6Src, F::TunIpv6Dst, F::TunGbpId, F::TunGbpFlags]);
        self.all(&[F::TunTos, F::TunTtl, F::TunErspanVer, F::TunErspanIdx, F::TunErspanDir, F::TunErspanHwid]);
        self.named(F::TunGtpuFlags, "gtpu_flags");
        self.named(F::TunGtpuMsgtype, "gtpu_msgtype");
        let m = self.mask.get64(l::TUN_FLAGS) as u32;
        if m != 0 {
            self.word("tun_flags=");
            let _ = flags(&mut self.out, TUN_FLAGS, self.flow.get64(l::TUN_FLAGS) as u32, m, m > 0xff);
        }
        let present = self.flow.get64(l::TUN_METADATA_MAP) & self.mask.get64(l::TUN_METADATA_MAP);
        let Some(table) = self.names.tlv() else { return };
        let mut maps: Vec<_> = table.iter().filter(|m| present >> m.index & 1 != 0).collect();
        maps.sort_by_key(|m| m.index);
        for map in maps {
            self.word(&format!("tun_metadata{}", map.index));
            let (v, m) = (map.get(self.flow), map.get_mask(self.mask));
            let digits = |bytes: &[u8]| {
                let text = bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
                let short = text.trim_start_matches('0');
                if short.is_empty() { "0".to_owned() } else { format!("0x{short}") }
            };
            if m.bytes().iter().any(|b| *b != 0) {
                let _ = write!(self.out, "={}", digits(v.bytes()));
                if m.bytes().iter().any(|b| *b != 0xff) {
                    let _ = write!(self.out, "/{}", digits(m.bytes()));
                }
            }
        }
    }

    fn vlan(&mut self, slot: Slot, tci_name: &str) {
        let (tci, mask) = (self.flow.get64(slot) as u16, self.mask.get64(slot) as u16);
        let tagged = tci & mask & VLAN_PRESENT != 0;
        let (vid, pcp) = (tci & 0xfff, tci >> 13);
        match mask {
            0 => {}
            0xffff if tagged => self.word(&format!("dl_vlan{0}={vid},dl_vlan_pcp{0}={pcp}", suffix(tci_name))),
            0x1fff if tagged => self.word(&format!("dl_vlan{}={vid}", suffix(tci_name))),
            0xf000 if tagged => self.word(&format!("dl_vlan_pcp{}={pcp}", suffix(tci_name))),
            0xffff => self.word(&format!("{tci_name}=0x{tci:04x}")),
            _ => self.word(&format!("{tci_name}=0x{tci:04x}/0x{mask:04x}")),
        }
    }

    /// Ethertype and protocol as a shorthand; says which Ethertype the match is about, and whether the shorthand named
    /// it and the protocol.
    fn protocol(&mut self) -> (u16, bool, bool) {
        let packet_type = self.exact(l::PACKET_TYPE).unwrap_or(0) as u32;
        if packet_type != 0 {
            self.field(FieldId::PacketType);
        } else if self.mask.get64(l::RECIRC_ID) != 0
            && (self.mask.get64(l::PACKET_TYPE) | self.mask.get64(l::ETH_TYPE)) != 0
        {
            self.word("eth");
        }
        let outer = if packet_type >> 16 == 1 { packet_type as u16 } else { 0 };
        let Some(eth) = self.exact(l::ETH_TYPE) else { return (outer, outer != 0, false) };
        let eth = eth as u16;
        let ip = matches!(eth, eth_type::IPV4 | eth_type::IPV6);
        let proto = self.exact(l::NW_PROTO).filter(|_| ip);
        let with = proto.and_then(|p| protocol_name(eth, Some(p as u8)));
        match (with, protocol_name(eth, None)) {
            (Some(name), _) => {
                self.word(name);
                (eth, true, true)
            }
            (None, Some(name)) => {
                self.word(name);
                (eth, true, false)
            }
            (None, None) => (eth, false, false),
        }
    }

    fn layer3(&mut self, eth: u16, named: bool, proto_named: bool) {
        use FieldId as F;
        if !named {
            self.named(F::EthType, "dl_type");
        }
        let arp = matches!(eth, eth_type::ARP | eth_type::RARP);
        if eth == eth_type::IPV6 {
            self.all(&[F::Ipv6Src, F::Ipv6Dst, F::Ipv6Label]);
        } else if arp {
            self.all(&[F::ArpSpa, F::ArpTpa]);
        } else {
            self.named(F::IpSrc, "nw_src");
            self.named(F::IpDst, "nw_dst");
        }
        if arp {
            self.all(&[F::ArpOp, F::ArpSha, F::ArpTha]);
            if self.whole {
                self.field(F::NwTos);
            }
            return;
        }
        if eth == eth_type::NSH {
            self.all(&[F::NshFlags, F::NshTtl, F::NshMdtype, F::NshNp, F::NshSpi, F::NshSi]);
            self.all(&[F::NshC1, F::NshC2, F::NshC3, F::NshC4]);
        }
        if !self.whole
            && !matches!(
                eth,
                eth_type::IPV4 | eth_type::IPV6 | eth_type::NSH | eth_type::MPLS | eth_type::MPLS_MULTICAST | 0
            )
        {
            return;
        }
        if !proto_named {
            self.field(F::NwProto);
        }
        self.all(&[F::NwTos, F::NwEcn, F::NwTtl, F::MplsLabel, F::MplsTc, F::MplsTtl, F::MplsBos]);
        for (slot, name) in [(l::MPLS1, "mpls_lse1"), (l::MPLS2, "mpls_lse2")] {
            if self.mask.get64(slot) != 0 {
                let v = self.flow.get64(slot);
                self.word(&format!("{name}={v}"));
            }
        }
        self.named(F::IpFrag, "nw_frag");
    }

    fn layer4(&mut self, eth: u16) {
        use FieldId as F;
        let proto = self.exact(l::NW_PROTO).unwrap_or(0) as u8;
        match (eth, proto) {
            (eth_type::IPV4, ip_proto::ICMP) => self.all(&[F::IcmpType, F::IcmpCode]),
            (eth_type::IPV6, ip_proto::ICMPV6) => {
                self.named(F::Icmpv6Type, "icmp_type");
                self.named(F::Icmpv6Code, "icmp_code");
                self.all(&[F::NdTarget, F::NdSll, F::NdTll, F::NdReserved, F::NdOptionsType]);
            }
            (eth_type::IPV4 | eth_type::IPV6, _) => {
                self.named(F::TcpSrc, "tp_src");
                self.named(F::TcpDst, "tp_dst");
                self.field(F::TcpFlags);
            }
            _ if self.whole => {
                self.named(F::TcpSrc, "tp_src");
                self.named(F::TcpDst, "tp_dst");
            }
            _ => {}
        }
    }

    fn print(&mut self) {
        use FieldId as F;
        self.metadata();
        let (eth, named, proto_named) = self.protocol();
        for n in 0..32 {
            if let Some(reg) = F::reg(n) {
                self.field(reg);
            }
        }
        self.tunnel();
        self.all(&[F::Metadata, F::InPort]);
        self.vlan(l::VLAN_TCI, "vlan_tci");
        self.vlan(l::VLAN1_TCI, "vlan_tci1");
        self.named(F::EthSrc, "dl_src");
        self.named(F::EthDst, "dl_dst");
        self.layer3(eth, named, proto_named);
        self.layer4(eth);
    }
}

fn suffix(tci_name: &str) -> &str {
    tci_name.trim_start_matches("vlan_tci")
}

/// The text of a match, without priority.
pub fn format_match(matching: &Match, names: &dyn Names) -> String {
    let (flow, mask) = matching.expand();
    let mut p = Printer { out: String::new(), flow: &flow, mask: &mask, names, whole: true };
    p.print();
    p.out
}

/// The text of a flow under a mask: a match, or a megaflow (which has its recirculation id exact).
pub fn format_masked(flow: &Flow, mask: &Mask, names: &dyn Names) -> String {
    let mut p = Printer { out: String::new(), flow, mask, names, whole: false };
    p.print();
    p.out
}

/// The text of a packet's fields, as the first line of a trace shows them: all that such a packet has, and of
/// metadata what is not 0.
pub fn format_flow(flow: &Flow, names: &dyn Names) -> String {
    format_masked(flow, &packet_mask(flow), names)
}

/// Exact on every field that a packet like `flow` has.
pub fn packet_mask(flow: &Flow) -> Mask {
    let mut mask = Mask::default();
    // Wide registers are other names of the 32-bit ones.
    let twice = |f: &Field| (FieldId::Xreg0..=FieldId::Xxreg7).contains(&f.id);
    for f in Field::all().filter(|f| f.kind != Kind::TunMetadata && f.slot.width != 0 && !twice(f)) {
        use crate::fields::Prereq as P;
        let wanted = match f.prereq {
            P::None | P::Ct | P::CtIpv4 | P::CtIpv6 => f.id == FieldId::InPort || flow.get(f.slot) != 0,
            P::Vlan => false,
            P::Ethernet => flow.get64(l::PACKET_TYPE) == 0,
            P::Nd | P::NdSolicit | P::NdAdvert => {
                P::Nd.ok(flow) && !matches!(f.id, FieldId::NdReserved | FieldId::NdOptionsType)
            }
            p => p.ok(flow),
        };
        if wanted {
            mask.exact(f.slot);
        }
    }
    let ports = [ip_proto::ICMP, ip_proto::IGMP, ip_proto::TCP, ip_proto::UDP, ip_proto::ICMPV6, ip_proto::SCTP];
    let later = flow.get64(l::NW_FRAG) & u64::from(l::FRAG_LATER) != 0;
    if later {
        mask.set(l::TP_SRC, 0);
        mask.set(l::TP_DST, 0);
    } else if mask.get64(l::NW_FRAG) != 0 && ports.contains(&(flow.get64(l::NW_PROTO) as u8)) {
        mask.exact(l::TP_SRC);
        mask.exact(l::TP_DST);
    }
    mask.exact(l::VLAN_TCI);
    if flow.get64(l::VLAN_TCI) & u64::from(VLAN_PRESENT) != 0 {
        mask.exact(l::VLAN1_TCI);
    }
    if flow.get64(l::PACKET_TYPE) != 0 {
        mask.set(l::VLAN_TCI, 0);
    }
    if mask.get64(l::NSH_SPI) != 0 {
        for slot in [l::NW_PROTO, l::NW_TOS, l::NW_TTL, l::NW_FRAG] {
            mask.exact(slot);
        }
        if flow.get64(l::NSH_MDTYPE) != 1 {
            for slot in [l::NSH_C1, l::NSH_C2, l::NSH_C3, l::NSH_C4] {
                mask.set(slot, 0);
            }
        }
    }
    // Labels down to the bottom of the stack.
    for (above, slot) in [(l::MPLS0, l::MPLS1), (l::MPLS1, l::MPLS2)] {
        if mask.get64(above) != 0 && flow.get64(above) & 0x100 == 0 {
            mask.exact(slot);
        }
    }
    // a packet of a tunnel has its ends; a key alone may have been written
    if flow.get64(l::TUN_DST) != 0 || flow.get(l::TUN_IPV6_DST) != 0 {
        for slot in [l::TUN_SRC, l::TUN_DST, l::TUN_TOS, l::TUN_TTL, l::TUN_FLAGS] {
            mask.exact(slot);
        }
    }
    mask
}

impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format_match(self, &NoNames))
    }
}
