//! The field table: one row per field of ovs-fields(7), read by codecs, parser, printer, actions and classifier.
#![deny(clippy::indexing_slicing)]

use super::id::{FIELDS, FieldId};
use super::prereq::Prereq;
use crate::layout::{self as l, Slot};

/// How far a match on a field may be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// All or nothing.
    Exact,
    /// Any bits.
    Bitwise,
}

/// How a field's value is written in text: the formats of ovs-fields(7), "Format".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Decimal,
    Hex,
    Ethernet,
    Ipv4,
    Ipv6,
    /// 16-bit OpenFlow 1.0 port number or name.
    Port10,
    /// 32-bit OpenFlow 1.1+ port number or name.
    Port11,
    Frag,
    TcpFlags,
    CtState,
    TunnelFlags,
    PacketType,
}

/// What a field's value is to the bits of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same.
    Plain,
    /// OpenFlow 1.1+ number of the 16-bit port in the slot.
    WidePort,
    /// A whole tag; the TPID follows the present bit.
    VlanTci,
    /// VID, 0xffff meaning no tag (OpenFlow 1.0).
    DlVlan,
    /// VID with the present bit above it.
    VlanVid,
    /// PCP; setting it makes a tag present.
    VlanPcp,
    /// Traffic class byte of which the two ECN bits are not part of the field.
    Tos,
    /// A tunnel option, whose place the TLV table decides.
    TunMetadata,
}

/// The vendor of a header: none, or the experimenter id that follows an OXM of class 0xffff.
pub const NICIRA: u32 = 0x0000_2320;
/// Experimenter id of the NSH fields.
pub const NSH: u32 = 0x005a_d650;
/// Experimenter id of the Open Networking Foundation's extensions.
pub const ONF: u32 = 0x4f4e_4600;

/// An NXM or OXM code point (ovs-fields(7), "NXM"). Length and "has mask" of a header on the wire follow from the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Oxm {
    pub class: u16,
    pub field: u8,
    /// 0 unless the class is 0xffff.
    pub experimenter: u32,
    /// As in ovs-fields(7), `NXM_NX_REG0`.
    pub name: &'static str,
    /// First OpenFlow version whose standard has it, as on the wire (0x03 is 1.2); 0x01 for Nicira's NXM.
    pub since: u8,
}

/// Everything there is to know of a field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub id: FieldId,
    pub name: &'static str,
    pub alias: Option<&'static str>,
    /// Where it is in a flow; width 0 for tunnel options, whose place the TLV table decides.
    pub slot: Slot,
    /// Bytes of its value in NXM, OXM and action bodies.
    pub bytes: u8,
    /// Low bits of the value that may be other than 0.
    pub bits: u16,
    pub masking: Masking,
    pub format: Format,
    pub prereq: Prereq,
    /// May set_field, load and move change it?
    pub writable: bool,
    pub kind: Kind,
    /// Code points, best first.
    pub oxm: &'static [Oxm],
}

const fn point(class: u16, field: u8, experimenter: u32, since: u8, name: &'static str) -> Oxm {
    Oxm { class, field, experimenter, name, since }
}
/// OXM_OF since OpenFlow 1.2.
const fn of(field: u8, name: &'static str) -> Oxm {
    point(0x8000, field, 0, 0x03, name)
}
const fn nxm(field: u8, name: &'static str) -> Oxm {
    point(0, field, 0, 0x01, name)
}
const fn nx(field: u8, name: &'static str) -> Oxm {
    point(1, field, 0, 0x01, name)
}
const fn et(field: u8, name: &'static str) -> Oxm {
    point(0xffff, field, NICIRA, 0x01, name)
}
const fn nsh(field: u8, name: &'static str) -> Oxm {
    point(0xffff, field, NSH, 0x01, name)
}

/// A row of `$field`: name, alias, slot, bytes, bits, masking, format, prerequisite, access, kind, code points.
macro_rules! row {
    ($id:ident $name:literal $(aka $alias:literal)? : $slot:expr, $bytes:literal/$bits:literal, $mask:ident, $format:ident,
     $pre:ident, $rw:ident, $kind:ident, [$($oxm:expr),*]) => {
        Field {
            id: FieldId::$id,
            name: $name,
            alias: row!(@alias $($alias)?),
            slot: $slot,
            bytes: $bytes,
            bits: $bits,
            masking: Masking::$mask,
            format: Format::$format,
            prereq: Prereq::$pre,
            writable: row!(@$rw),
            kind: Kind::$kind,
            oxm: &[$($oxm),*],
        }
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
    (@rw) => { true };
    (@ro) => { false };
}

/// A run of bits within another slot: `width` bits, `shift` above its end.
const fn part(slot: Slot, shift: usize, width: usize) -> Slot {
    Slot::new(slot.word as usize, slot.shift as usize + shift, width)
}

#[rustfmt::skip]
static METADATA_A: [Field; 20] = [
    row!(DpHash "dp_hash": l::DP_HASH, 4/32, Bitwise, Hex, None, ro, Plain, [nx(35, "NXM_NX_DP_HASH"), et(0, "NXOXM_ET_DP_HASH")]),
    row!(RecircId "recirc_id": l::RECIRC_ID, 4/32, Exact, Decimal, None, ro, Plain, [nx(36, "NXM_NX_RECIRC_ID")]),
    row!(PacketType "packet_type": l::PACKET_TYPE, 4/32, Exact, PacketType, None, ro, Plain, [point(0x8000, 44, 0, 0x06, "OXM_OF_PACKET_TYPE")]),
    row!(ConjId "conj_id": l::CONJ_ID, 4/32, Exact, Decimal, None, ro, Plain, [nx(37, "NXM_NX_CONJ_ID")]),
    row!(TunId "tun_id" aka "tunnel_id": l::TUN_ID, 8/64, Bitwise, Hex, None, rw, Plain, [point(0x8000, 38, 0, 0x04, "OXM_OF_TUNNEL_ID"), nx(16, "NXM_NX_TUN_ID")]),
    row!(TunSrc "tun_src": l::TUN_SRC, 4/32, Bitwise, Ipv4, None, rw, Plain, [nx(31, "NXM_NX_TUN_IPV4_SRC")]),
    row!(TunDst "tun_dst": l::TUN_DST, 4/32, Bitwise, Ipv4, None, rw, Plain, [nx(32, "NXM_NX_TUN_IPV4_DST")]),
    row!(TunIpv6Src "tun_ipv6_src": l::TUN_IPV6_SRC, 16/128, Bitwise, Ipv6, None, rw, Plain, [nx(109, "NXM_NX_TUN_IPV6_SRC")]),
    row!(TunIpv6Dst "tun_ipv6_dst": l::TUN_IPV6_DST, 16/128, Bitwise, Ipv6, None, rw, Plain, [nx(110, "NXM_NX_TUN_IPV6_DST")]),
    row!(TunFlags "tun_flags": part(l::TUN_FLAGS, 0, 1), 2/1, Bitwise, TunnelFlags, None, rw, Plain, [nx(104, "NXM_NX_TUN_FLAGS")]),
    row!(TunTtl "tun_ttl": l::TUN_TTL, 1/8, Exact, Decimal, None, ro, Plain, []),
    row!(TunTos "tun_tos": l::TUN_TOS, 1/8, Exact, Decimal, None, ro, Plain, []),
    row!(TunGbpId "tun_gbp_id": l::TUN_GBP_ID, 2/16, Bitwise, Decimal, None, rw, Plain, [nx(38, "NXM_NX_TUN_GBP_ID")]),
    row!(TunGbpFlags "tun_gbp_flags": l::TUN_GBP_FLAGS, 1/8, Bitwise, Hex, None, rw, Plain, [nx(39, "NXM_NX_TUN_GBP_FLAGS")]),
    row!(TunErspanVer "tun_erspan_ver": l::TUN_ERSPAN_VER, 1/4, Bitwise, Decimal, None, rw, Plain, [et(12, "NXOXM_ET_ERSPAN_VER")]),
    row!(TunErspanIdx "tun_erspan_idx": l::TUN_ERSPAN_IDX, 4/20, Bitwise, Hex, None, rw, Plain, [et(11, "NXOXM_ET_ERSPAN_IDX")]),
    row!(TunErspanDir "tun_erspan_dir": l::TUN_ERSPAN_DIR, 1/1, Bitwise, Decimal, None, rw, Plain, [et(13, "NXOXM_ET_ERSPAN_DIR")]),
    row!(TunErspanHwid "tun_erspan_hwid": l::TUN_ERSPAN_HWID, 1/6, Bitwise, Hex, None, rw, Plain, [et(14, "NXOXM_ET_ERSPAN_HWID")]),
    row!(TunGtpuFlags "tun_gtpu_flags": l::TUN_GTPU_FLAGS, 1/8, Bitwise, Hex, None, ro, Plain, [et(15, "NXOXM_ET_GTPU_FLAGS")]),
    row!(TunGtpuMsgtype "tun_gtpu_msgtype": l::TUN_GTPU_MSGTYPE, 1/8, Bitwise, Decimal, None, ro, Plain, [et(16, "NXOXM_ET_GTPU_MSGTYPE")]),
];

#[rustfmt::skip]
static METADATA_B: [Field; 17] = [
    row!(Metadata "metadata": l::METADATA, 8/64, Bitwise, Hex, None, rw, Plain, [of(2, "OXM_OF_METADATA")]),
    row!(InPort "in_port": part(l::IN_PORT, 0, 16), 2/16, Exact, Port10, None, rw, Plain, [nxm(0, "NXM_OF_IN_PORT")]),
    row!(InPortOxm "in_port_oxm": part(l::IN_PORT, 0, 16), 4/32, Exact, Port11, None, rw, WidePort, [of(0, "OXM_OF_IN_PORT")]),
    row!(ActsetOutput "actset_output": part(l::ACTSET_OUTPUT, 0, 16), 4/32, Exact, Port11, None, ro, WidePort,
        [point(0x8000, 43, 0, 0x06, "OXM_OF_ACTSET_OUTPUT"), point(0xffff, 43, ONF, 0x04, "ONFOXM_ET_ACTSET_OUTPUT")]),
    row!(SkbPriority "skb_priority": l::SKB_PRIORITY, 4/32, Exact, Hex, None, ro, Plain, []),
    row!(PktMark "pkt_mark": l::PKT_MARK, 4/32, Bitwise, Hex, None, rw, Plain, [nx(33, "NXM_NX_PKT_MARK")]),
    row!(CtState "ct_state": part(l::CT_STATE, 0, 8), 4/8, Bitwise, CtState, None, ro, Plain, [nx(105, "NXM_NX_CT_STATE")]),
    row!(CtZone "ct_zone": l::CT_ZONE, 2/16, Exact, Hex, None, ro, Plain, [nx(106, "NXM_NX_CT_ZONE")]),
    row!(CtMark "ct_mark": l::CT_MARK, 4/32, Bitwise, Hex, None, rw, Plain, [nx(107, "NXM_NX_CT_MARK")]),
    row!(CtLabel "ct_label": l::CT_LABEL, 16/128, Bitwise, Hex, None, rw, Plain, [nx(108, "NXM_NX_CT_LABEL")]),
    row!(CtNwProto "ct_nw_proto": l::CT_NW_PROTO, 1/8, Exact, Decimal, Ct, ro, Plain, [nx(119, "NXM_NX_CT_NW_PROTO")]),
    row!(CtNwSrc "ct_nw_src": l::CT_NW_SRC, 4/32, Bitwise, Ipv4, CtIpv4, ro, Plain, [nx(120, "NXM_NX_CT_NW_SRC")]),
    row!(CtNwDst "ct_nw_dst": l::CT_NW_DST, 4/32, Bitwise, Ipv4, CtIpv4, ro, Plain, [nx(121, "NXM_NX_CT_NW_DST")]),
    row!(CtIpv6Src "ct_ipv6_src": l::CT_IPV6_SRC, 16/128, Bitwise, Ipv6, CtIpv6, ro, Plain, [nx(122, "NXM_NX_CT_IPV6_SRC")]),
    row!(CtIpv6Dst "ct_ipv6_dst": l::CT_IPV6_DST, 16/128, Bitwise, Ipv6, CtIpv6, ro, Plain, [nx(123, "NXM_NX_CT_IPV6_DST")]),
    row!(CtTpSrc "ct_tp_src": l::CT_TP_SRC, 2/16, Bitwise, Decimal, Ct, ro, Plain, [nx(124, "NXM_NX_CT_TP_SRC")]),
    row!(CtTpDst "ct_tp_dst": l::CT_TP_DST, 2/16, Bitwise, Decimal, Ct, ro, Plain, [nx(125, "NXM_NX_CT_TP_DST")]),
];

#[rustfmt::skip]
static PACKET: [Field; 54] = [
    row!(EthSrc "eth_src" aka "dl_src": l::ETH_SRC, 6/48, Bitwise, Ethernet, Ethernet, rw, Plain, [of(4, "OXM_OF_ETH_SRC"), nxm(2, "NXM_OF_ETH_SRC")]),
    row!(EthDst "eth_dst" aka "dl_dst": l::ETH_DST, 6/48, Bitwise, Ethernet, Ethernet, rw, Plain, [of(3, "OXM_OF_ETH_DST"), nxm(1, "NXM_OF_ETH_DST")]),
    row!(EthType "eth_type" aka "dl_type": l::ETH_TYPE, 2/16, Exact, Hex, Ethernet, ro, Plain, [of(5, "OXM_OF_ETH_TYPE"), nxm(3, "NXM_OF_ETH_TYPE")]),
    row!(VlanTci "vlan_tci": l::VLAN_TCI, 2/16, Bitwise, Hex, Ethernet, rw, VlanTci, [nxm(4, "NXM_OF_VLAN_TCI")]),
    row!(DlVlan "dl_vlan": part(l::VLAN_TCI, 0, 12), 2/12, Exact, Decimal, Ethernet, rw, DlVlan, []),
    row!(VlanVid "vlan_vid": part(l::VLAN_TCI, 0, 13), 2/12, Bitwise, Decimal, Ethernet, rw, VlanVid, [of(6, "OXM_OF_VLAN_VID")]),
    row!(DlVlanPcp "dl_vlan_pcp": part(l::VLAN_TCI, 13, 3), 1/3, Exact, Decimal, Ethernet, rw, VlanPcp, []),
    row!(VlanPcp "vlan_pcp": part(l::VLAN_TCI, 13, 3), 1/3, Exact, Decimal, Vlan, rw, VlanPcp, [of(7, "OXM_OF_VLAN_PCP")]),
    row!(MplsLabel "mpls_label": part(l::MPLS0, 12, 20), 4/20, Exact, Decimal, Mpls, rw, Plain, [of(34, "OXM_OF_MPLS_LABEL")]),
    row!(MplsTc "mpls_tc": part(l::MPLS0, 9, 3), 1/3, Exact, Decimal, Mpls, rw, Plain, [of(35, "OXM_OF_MPLS_TC")]),
    row!(MplsBos "mpls_bos": part(l::MPLS0, 8, 1), 1/1, Exact, Decimal, Mpls, ro, Plain, [point(0x8000, 36, 0, 0x04, "OXM_OF_MPLS_BOS")]),
    row!(MplsTtl "mpls_ttl": part(l::MPLS0, 0, 8), 1/8, Exact, Decimal, Mpls, rw, Plain, [nx(30, "NXM_NX_MPLS_TTL")]),
    row!(IpSrc "ip_src" aka "nw_src": l::NW_SRC, 4/32, Bitwise, Ipv4, Ipv4, rw, Plain, [of(11, "OXM_OF_IPV4_SRC"), nxm(7, "NXM_OF_IP_SRC")]),
    row!(IpDst "ip_dst" aka "nw_dst": l::NW_DST, 4/32, Bitwise, Ipv4, Ipv4, rw, Plain, [of(12, "OXM_OF_IPV4_DST"), nxm(8, "NXM_OF_IP_DST")]),
    row!(Ipv6Src "ipv6_src": l::IPV6_SRC, 16/128, Bitwise, Ipv6, Ipv6, rw, Plain, [of(26, "OXM_OF_IPV6_SRC"), nx(19, "NXM_NX_IPV6_SRC")]),
    row!(Ipv6Dst "ipv6_dst": l::IPV6_DST, 16/128, Bitwise, Ipv6, Ipv6, rw, Plain, [of(27, "OXM_OF_IPV6_DST"), nx(20, "NXM_NX_IPV6_DST")]),
    row!(Ipv6Label "ipv6_label": l::IPV6_LABEL, 4/20, Bitwise, Hex, Ipv6, rw, Plain, [of(28, "OXM_OF_IPV6_FLABEL"), nx(27, "NXM_NX_IPV6_LABEL")]),
    row!(NwProto "nw_proto" aka "ip_proto": l::NW_PROTO, 1/8, Exact, Decimal, Ip, ro, Plain, [of(10, "OXM_OF_IP_PROTO"), nxm(6, "NXM_OF_IP_PROTO")]),
    row!(IpDscp "ip_dscp": part(l::NW_TOS, 2, 6), 1/6, Exact, Decimal, Ip, rw, Plain, [of(8, "OXM_OF_IP_DSCP")]),
    row!(NwTos "nw_tos": l::NW_TOS, 1/8, Exact, Decimal, Ip, rw, Tos, [nxm(5, "NXM_OF_IP_TOS")]),
    row!(NwEcn "nw_ecn" aka "ip_ecn": part(l::NW_TOS, 0, 2), 1/2, Exact, Decimal, Ip, rw, Plain, [of(9, "OXM_OF_IP_ECN"), nx(28, "NXM_NX_IP_ECN")]),
    row!(NwTtl "nw_ttl": l::NW_TTL, 1/8, Exact, Decimal, Ip, rw, Plain, [nx(29, "NXM_NX_IP_TTL")]),
    row!(IpFrag "ip_frag" aka "nw_frag": part(l::NW_FRAG, 0, 2), 1/2, Bitwise, Frag, Ip, ro, Plain, [nx(26, "NXM_NX_IP_FRAG")]),
    row!(ArpOp "arp_op": l::NW_PROTO, 2/8, Exact, Decimal, Arp, rw, Plain, [of(21, "OXM_OF_ARP_OP"), nxm(15, "NXM_OF_ARP_OP")]),
    row!(ArpSpa "arp_spa": l::NW_SRC, 4/32, Bitwise, Ipv4, Arp, rw, Plain, [of(22, "OXM_OF_ARP_SPA"), nxm(16, "NXM_OF_ARP_SPA")]),
    row!(ArpTpa "arp_tpa": l::NW_DST, 4/32, Bitwise, Ipv4, Arp, rw, Plain, [of(23, "OXM_OF_ARP_TPA"), nxm(17, "NXM_OF_ARP_TPA")]),
    row!(ArpSha "arp_sha": l::ARP_SHA, 6/48, Bitwise, Ethernet, Arp, rw, Plain, [of(24, "OXM_OF_ARP_SHA"), nx(17, "NXM_NX_ARP_SHA")]),
    row!(ArpTha "arp_tha": l::ARP_THA, 6/48, Bitwise, Ethernet, Arp, rw, Plain, [of(25, "OXM_OF_ARP_THA"), nx(18, "NXM_NX_ARP_THA")]),
    row!(TcpSrc "tcp_src" aka "tp_src": l::TP_SRC, 2/16, Bitwise, Decimal, Tcp, rw, Plain, [of(13, "OXM_OF_TCP_SRC"), nxm(9, "NXM_OF_TCP_SRC")]),
    row!(TcpDst "tcp_dst" aka "tp_dst": l::TP_DST, 2/16, Bitwise, Decimal, Tcp, rw, Plain, [of(14, "OXM_OF_TCP_DST"), nxm(10, "NXM_OF_TCP_DST")]),
    row!(TcpFlags "tcp_flags": part(l::TCP_FLAGS, 0, 12), 2/12, Bitwise, TcpFlags, Tcp, ro, Plain,
        [point(0x8000, 42, 0, 0x06, "OXM_OF_TCP_FLAGS"), point(0xffff, 42, ONF, 0x04, "ONFOXM_ET_TCP_FLAGS"), nx(34, "NXM_NX_TCP_FLAGS")]),
    row!(UdpSrc "udp_src": l::TP_SRC, 2/16, Bitwise, Decimal, Udp, rw, Plain, [of(15, "OXM_OF_UDP_SRC"), nxm(11, "NXM_OF_UDP_SRC")]),
    row!(UdpDst "udp_dst": l::TP_DST, 2/16, Bitwise, Decimal, Udp, rw, Plain, [of(16, "OXM_OF_UDP_DST"), nxm(12, "NXM_OF_UDP_DST")]),
    row!(SctpSrc "sctp_src": l::TP_SRC, 2/16, Bitwise, Decimal, Sctp, rw, Plain, [of(17, "OXM_OF_SCTP_SRC")]),
    row!(SctpDst "sctp_dst": l::TP_DST, 2/16, Bitwise, Decimal, Sctp, rw, Plain, [of(18, "OXM_OF_SCTP_DST")]),
    row!(IcmpType "icmp_type": l::TP_SRC, 1/8, Exact, Decimal, Icmpv4, rw, Plain, [of(19, "OXM_OF_ICMPV4_TYPE"), nxm(13, "NXM_OF_ICMP_TYPE")]),
    row!(IcmpCode "icmp_code": l::TP_DST, 1/8, Exact, Decimal, Icmpv4, rw, Plain, [of(20, "OXM_OF_ICMPV4_CODE"), nxm(14, "NXM_OF_ICMP_CODE")]),
    row!(Icmpv6Type "icmpv6_type": l::TP_SRC, 1/8, Exact, Decimal, Icmpv6, rw, Plain, [of(29, "OXM_OF_ICMPV6_TYPE"), nx(21, "NXM_NX_ICMPV6_TYPE")]),
    row!(Icmpv6Code "icmpv6_code": l::TP_DST, 1/8, Exact, Decimal, Icmpv6, rw, Plain, [of(30, "OXM_OF_ICMPV6_CODE"), nx(22, "NXM_NX_ICMPV6_CODE")]),
    row!(NdTarget "nd_target": l::ND_TARGET, 16/128, Bitwise, Ipv6, Nd, rw, Plain, [of(31, "OXM_OF_IPV6_ND_TARGET"), nx(23, "NXM_NX_ND_TARGET")]),
    row!(NdSll "nd_sll": l::ARP_SHA, 6/48, Bitwise, Ethernet, NdSolicit, rw, Plain, [of(32, "OXM_OF_IPV6_ND_SLL"), nx(24, "NXM_NX_ND_SLL")]),
    row!(NdTll "nd_tll": l::ARP_THA, 6/48, Bitwise, Ethernet, NdAdvert, rw, Plain, [of(33, "OXM_OF_IPV6_ND_TLL"), nx(25, "NXM_NX_ND_TLL")]),
    row!(NdReserved "nd_reserved": l::ND_RESERVED, 4/32, Exact, Decimal, Nd, rw, Plain, [point(0x1000, 1, 0, 0x01, "ERICOXM_OF_ICMPV6_ND_RESERVED")]),
    row!(NdOptionsType "nd_options_type": l::ND_OPTIONS_TYPE, 1/8, Exact, Decimal, Nd, rw, Plain, [point(0x1000, 2, 0, 0x01, "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE")]),
    row!(NshFlags "nsh_flags": l::NSH_FLAGS, 1/8, Bitwise, Decimal, Nsh, rw, Plain, [nsh(1, "NXOXM_NSH_FLAGS")]),
    row!(NshTtl "nsh_ttl": l::NSH_TTL, 1/8, Exact, Decimal, Nsh, rw, Plain, [nsh(10, "NXOXM_NSH_TTL")]),
    row!(NshMdtype "nsh_mdtype": l::NSH_MDTYPE, 1/8, Exact, Decimal, Nsh, ro, Plain, [nsh(2, "NXOXM_NSH_MDTYPE")]),
    row!(NshNp "nsh_np": l::NSH_NP, 1/8, Exact, Decimal, Nsh, ro, Plain, [nsh(3, "NXOXM_NSH_NP")]),
    row!(NshSpi "nsh_spi" aka "nsp": l::NSH_SPI, 4/24, Exact, Hex, Nsh, rw, Plain, [nsh(4, "NXOXM_NSH_SPI")]),
    row!(NshSi "nsh_si" aka "nsi": l::NSH_SI, 1/8, Exact, Decimal, Nsh, rw, Plain, [nsh(5, "NXOXM_NSH_SI")]),
    row!(NshC1 "nsh_c1" aka "nshc1": l::NSH_C1, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(6, "NXOXM_NSH_C1")]),
    row!(NshC2 "nsh_c2" aka "nshc2": l::NSH_C2, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(7, "NXOXM_NSH_C2")]),
    row!(NshC3 "nsh_c3" aka "nshc3": l::NSH_C3, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(8, "NXOXM_NSH_C3")]),
    row!(NshC4 "nsh_c4" aka "nshc4": l::NSH_C4, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(9, "NXOXM_NSH_C4")]),
];

/// Rows that differ in a number alone: name, slot and code points are functions of it.
macro_rules! family {
    ($table:ident, $count:literal, $bytes:literal/$bits:literal, $kind:ident, $slot:expr;
     $($id:ident $name:literal $n:literal [$($oxm:expr),*];)*) => {
        static $table: [Field; $count] = [
            $(row!($id $name: $slot($n), $bytes/$bits, Bitwise, Hex, None, rw, $kind, [$($oxm),*])),*
        ];
    };
}

const fn xreg_slot(n: usize) -> Slot {
    Slot::new(l::REGS_WORD + n, 0, 64)
}
const fn xxreg_slot(n: usize) -> Slot {
    Slot::new(l::REGS_WORD + 2 * n, 0, 128)
}
const fn tun_metadata_slot(_: usize) -> Slot {
    Slot { word: l::TUN_METADATA_WORD as u8, shift: 0, width: 0 }
}
/// OXM_OF_PKT_REG since OpenFlow 1.3's extension, standard from 1.5.
const fn pkt_reg(n: u8, name: &'static str) -> Oxm {
    point(0x8001, n, 0, 0x04, name)
}

#[rustfmt::skip]
family! { TUN_METADATA, 64, 124/992, TunMetadata, tun_metadata_slot;
    TunMetadata0 "tun_metadata0" 0 [nx(40, "NXM_NX_TUN_METADATA0")];
    TunMetadata1 "tun_metadata1" 1 [nx(41, "NXM_NX_TUN_METADATA1")];
    TunMetadata2 "tun_metadata2" 2 [nx(42, "NXM_NX_TUN_METADATA2")];
    TunMetadata3 "tun_metadata3" 3 [nx(43, "NXM_NX_TUN_METADATA3")];
    TunMetadata4 "tun_metadata4" 4 [nx(44, "NXM_NX_TUN_METADATA4")];
    TunMetadata5 "tun_metadata5" 5 [nx(45, "NXM_NX_TUN_METADATA5")];
    TunMetadata6 "tun_metadata6" 6 [nx(46, "NXM_NX_TUN_METADATA6")];
    TunMetadata7 "tun_metadata7" 7 [nx(47, "NXM_NX_TUN_METADATA7")];
    TunMetadata8 "tun_metadata8" 8 [nx(48, "NXM_NX_TUN_METADATA8")];
    TunMetadata9 "tun_metadata9" 9 [nx(49, "NXM_NX_TUN_METADATA9")];
    TunMetadata10 "tun_metadata10" 10 [nx(50, "NXM_NX_TUN_METADATA10")];
    TunMetadata11 "tun_metadata11" 11 [nx(51, "NXM_NX_TUN_METADATA11")];
    TunMetadata12 "tun_metadata12" 12 [nx(52, "NXM_NX_TUN_METADATA12")];
    TunMetadata13 "tun_metadata13" 13 [nx(53, "NXM_NX_TUN_METADATA13")];
    TunMetadata14 "tun_metadata14" 14 [nx(54, "NXM_NX_TUN_METADATA14")];
    TunMetadata15 "tun_metadata15" 15 [nx(55, "NXM_NX_TUN_METADATA15")];
    TunMetadata16 "tun_metadata16" 16 [nx(56, "NXM_NX_TUN_METADATA16")];
    TunMetadata17 "tun_metadata17" 17 [nx(57, "NXM_NX_TUN_METADATA17")];
    TunMetadata18 "tun_metadata18" 18 [nx(58, "NXM_NX_TUN_METADATA18")];
    TunMetadata19 "tun_metadata19" 19 [nx(59, "NXM_NX_TUN_METADATA19")];
    TunMetadata20 "tun_metadata20" 20 [nx(60, "NXM_NX_TUN_METADATA20")];
    TunMetadata21 "tun_metadata21" 21 [nx(61, "NXM_NX_TUN_METADATA21")];
    TunMetadata22 "tun_metadata22" 22 [nx(62, "NXM_NX_TUN_METADATA22")];
    TunMetadata23 "tun_metadata23" 23 [nx(63, "NXM_NX_TUN_METADATA23")];
    TunMetadata24 "tun_metadata24" 24 [nx(64, "NXM_NX_TUN_METADATA24")];
    TunMetadata25 "tun_metadata25" 25 [nx(65, "NXM_NX_TUN_METADATA25")];
    TunMetadata26 "tun_metadata26" 26 [nx(66, "NXM_NX_TUN_METADATA26")];
    TunMetadata27 "tun_metadata27" 27 [nx(67, "NXM_NX_TUN_METADATA27")];
    TunMetadata28 "tun_metadata28" 28 [nx(68, "NXM_NX_TUN_METADATA28")];
    TunMetadata29 "tun_metadata29" 29 [nx(69, "NXM_NX_TUN_METADATA29")];
    TunMetadata30 "tun_metadata30" 30 [nx(70, "NXM_NX_TUN_METADATA30")];
    TunMetadata31 "tun_metadata31" 31 [nx(71, "NXM_NX_TUN_METADATA31")];
    TunMetadata32 "tun_metadata32" 32 [nx(72, "NXM_NX_TUN_METADATA32")];
    TunMetadata33 "tun_metadata33" 33 [nx(73, "NXM_NX_TUN_METADATA33")];
    TunMetadata34 "tun_metadata34" 34 [nx(74, "NXM_NX_TUN_METADATA34")];
    TunMetadata35 "tun_metadata35" 35 [nx(75, "NXM_NX_TUN_METADATA35")];
    TunMetadata36 "tun_metadata36" 36 [nx(76, "NXM_NX_TUN_METADATA36")];
    TunMetadata37 "tun_metadata37" 37 [nx(77, "NXM_NX_TUN_METADATA37")];
    TunMetadata38 "tun_metadata38" 38 [nx(78, "NXM_NX_TUN_METADATA38")];
    TunMetadata39 "tun_metadata39" 39 [nx(79, "NXM_NX_TUN_METADATA39")];
    TunMetadata40 "tun_metadata40" 40 [nx(80, "NXM_NX_TUN_METADATA40")];
    TunMetadata41 "tun_metadata41" 41 [nx(81, "NXM_NX_TUN_METADATA41")];
    TunMetadata42 "tun_metadata42" 42 [nx(82, "NXM_NX_TUN_METADATA42")];
    TunMetadata43 "tun_metadata43" 43 [nx(83, "NXM_NX_TUN_METADATA43")];
    TunMetadata44 "tun_metadata44" 44 [nx(84, "NXM_NX_TUN_METADATA44")];
    TunMetadata45 "tun_metadata45" 45 [nx(85, "NXM_NX_TUN_METADATA45")];
    TunMetadata46 "tun_metadata46" 46 [nx(86, "NXM_NX_TUN_METADATA46")];
    TunMetadata47 "tun_metadata47" 47 [nx(87, "NXM_NX_TUN_METADATA47")];
    TunMetadata48 "tun_metadata48" 48 [nx(88, "NXM_NX_TUN_METADATA48")];
    TunMetadata49 "tun_metadata49" 49 [nx(89, "NXM_NX_TUN_METADATA49")];
    TunMetadata50 "tun_metadata50" 50 [nx(90, "NXM_NX_TUN_METADATA50")];
    TunMetadata51 "tun_metadata51" 51 [nx(91, "NXM_NX_TUN_METADATA51")];
    TunMetadata52 "tun_metadata52" 52 [nx(92, "NXM_NX_TUN_METADATA52")];
    TunMetadata53 "tun_metadata53" 53 [nx(93, "NXM_NX_TUN_METADATA53")];
    TunMetadata54 "tun_metadata54" 54 [nx(94, "NXM_NX_TUN_METADATA54")];
    TunMetadata55 "tun_metadata55" 55 [nx(95, "NXM_NX_TUN_METADATA55")];
    TunMetadata56 "tun_metadata56" 56 [nx(96, "NXM_NX_TUN_METADATA56")];
    TunMetadata57 "tun_metadata57" 57 [nx(97, "NXM_NX_TUN_METADATA57")];
    TunMetadata58 "tun_metadata58" 58 [nx(98, "NXM_NX_TUN_METADATA58")];
    TunMetadata59 "tun_metadata59" 59 [nx(99, "NXM_NX_TUN_METADATA59")];
    TunMetadata60 "tun_metadata60" 60 [nx(100, "NXM_NX_TUN_METADATA60")];
    TunMetadata61 "tun_metadata61" 61 [nx(101, "NXM_NX_TUN_METADATA61")];
    TunMetadata62 "tun_metadata62" 62 [nx(102, "NXM_NX_TUN_METADATA62")];
    TunMetadata63 "tun_metadata63" 63 [nx(103, "NXM_NX_TUN_METADATA63")];
}

// NXM numbers exist for 16 registers; those from 16 on have text names alone.
#[rustfmt::skip]
family! { REGS, 32, 4/32, Plain, l::reg;
    Reg0 "reg0" 0 [nx(0, "NXM_NX_REG0")];
    Reg1 "reg1" 1 [nx(1, "NXM_NX_REG1")];
    Reg2 "reg2" 2 [nx(2, "NXM_NX_REG2")];
    Reg3 "reg3" 3 [nx(3, "NXM_NX_REG3")];
    Reg4 "reg4" 4 [nx(4, "NXM_NX_REG4")];
    Reg5 "reg5" 5 [nx(5, "NXM_NX_REG5")];
    Reg6 "reg6" 6 [nx(6, "NXM_NX_REG6")];
    Reg7 "reg7" 7 [nx(7, "NXM_NX_REG7")];
    Reg8 "reg8" 8 [nx(8, "NXM_NX_REG8")];
    Reg9 "reg9" 9 [nx(9, "NXM_NX_REG9")];
    Reg10 "reg10" 10 [nx(10, "NXM_NX_REG10")];
    Reg11 "reg11" 11 [nx(11, "NXM_NX_REG11")];
    Reg12 "reg12" 12 [nx(12, "NXM_NX_REG12")];
    Reg13 "reg13" 13 [nx(13, "NXM_NX_REG13")];
    Reg14 "reg14" 14 [nx(14, "NXM_NX_REG14")];
    Reg15 "reg15" 15 [nx(15, "NXM_NX_REG15")];
    Reg16 "reg16" 16 [];
    Reg17 "reg17" 17 [];
    Reg18 "reg18" 18 [];
    Reg19 "reg19" 19 [];
    Reg20 "reg20" 20 [];
    Reg21 "reg21" 21 [];
    Reg22 "reg22" 22 [];
    Reg23 "reg23" 23 [];
    Reg24 "reg24" 24 [];
    Reg25 "reg25" 25 [];
    Reg26 "reg26" 26 [];
    Reg27 "reg27" 27 [];
    Reg28 "reg28" 28 [];
    Reg29 "reg29" 29 [];
    Reg30 "reg30" 30 [];
    Reg31 "reg31" 31 [];
}

#[rustfmt::skip]
family! { XREGS, 16, 8/64, Plain, xreg_slot;
    Xreg0 "xreg0" 0 [pkt_reg(0, "OXM_OF_PKT_REG0")];
    Xreg1 "xreg1" 1 [pkt_reg(1, "OXM_OF_PKT_REG1")];
    Xreg2 "xreg2" 2 [pkt_reg(2, "OXM_OF_PKT_REG2")];
    Xreg3 "xreg3" 3 [pkt_reg(3, "OXM_OF_PKT_REG3")];
    Xreg4 "xreg4" 4 [pkt_reg(4, "OXM_OF_PKT_REG4")];
    Xreg5 "xreg5" 5 [pkt_reg(5, "OXM_OF_PKT_REG5")];
    Xreg6 "xreg6" 6 [pkt_reg(6, "OXM_OF_PKT_REG6")];
    Xreg7 "xreg7" 7 [pkt_reg(7, "OXM_OF_PKT_REG7")];
    Xreg8 "xreg8" 8 [pkt_reg(8, "OXM_OF_PKT_REG8")];
    Xreg9 "xreg9" 9 [pkt_reg(9, "OXM_OF_PKT_REG9")];
    Xreg10 "xreg10" 10 [pkt_reg(10, "OXM_OF_PKT_REG10")];
    Xreg11 "xreg11" 11 [pkt_reg(11, "OXM_OF_PKT_REG11")];
    Xreg12 "xreg12" 12 [pkt_reg(12, "OXM_OF_PKT_REG12")];
    Xreg13 "xreg13" 13 [pkt_reg(13, "OXM_OF_PKT_REG13")];
    Xreg14 "xreg14" 14 [pkt_reg(14, "OXM_OF_PKT_REG14")];
    Xreg15 "xreg15" 15 [pkt_reg(15, "OXM_OF_PKT_REG15")];
}

#[rustfmt::skip]
family! { XXREGS, 8, 16/128, Plain, xxreg_slot;
    Xxreg0 "xxreg0" 0 [nx(111, "NXM_NX_XXREG0")];
    Xxreg1 "xxreg1" 1 [nx(112, "NXM_NX_XXREG1")];
    Xxreg2 "xxreg2" 2 [nx(113, "NXM_NX_XXREG2")];
    Xxreg3 "xxreg3" 3 [nx(114, "NXM_NX_XXREG3")];
    Xxreg4 "xxreg4" 4 [nx(115, "NXM_NX_XXREG4")];
    Xxreg5 "xxreg5" 5 [nx(116, "NXM_NX_XXREG5")];
    Xxreg6 "xxreg6" 6 [nx(117, "NXM_NX_XXREG6")];
    Xxreg7 "xxreg7" 7 [nx(118, "NXM_NX_XXREG7")];
}

const GROUPS: [&[Field]; 7] = [&METADATA_A, &TUN_METADATA, &METADATA_B, &REGS, &XREGS, &XXREGS, &PACKET];

/// All rows in the order of [`FieldId`]. Its making fails to compile if a group is out of order or short.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a bad index is an error")]
static TABLE: [&Field; FIELDS] = {
    let mut table: [&Field; FIELDS] = [&METADATA_A[0]; FIELDS];
    let (mut group, mut at) = (0, 0);
    while group < GROUPS.len() {
        let mut i = 0;
        while i < GROUPS[group].len() {
            assert!(GROUPS[group][i].id as usize == at);
            table[at] = &GROUPS[group][i];
            i += 1;
            at += 1;
        }
        group += 1;
    }
    assert!(at == FIELDS);
    table
};

impl FieldId {
    /// Its row in the table.
    #[expect(clippy::indexing_slicing, reason = "the table has a row for every variant")]
    pub fn row(self) -> &'static Field {
        TABLE[self as usize]
    }
}

impl Field {
    /// All rows, in order.
    pub fn all() -> impl Iterator<Item = &'static Field> {
        TABLE.iter().copied()
    }

    /// The largest value of a field of at most 128 bits.
    pub const fn max(&self) -> u128 {
        if self.bits >= 128 { u128::MAX } else { (1 << self.bits) - 1 }
    }

    /// The name that actions give it, as in `load:1->NXM_NX_REG0[]`: NXM's where it has one.
    pub fn nxm_name(&self) -> Option<&'static str> {
        self.oxm.iter().find(|o| o.since == 0x01).or(self.oxm.first()).map(|o| o.name)
    }

    /// Its code point for OpenFlow `version` (0x01 is 1.0): OXM once the version has it, else NXM, else whatever there is.
    pub fn oxm(&self, version: u8) -> Option<Oxm> {
        let (is_nxm, mut points) = (|o: &&Oxm| o.since == 0x01, self.oxm.iter());
        points
            .find(|o| o.since <= version && !is_nxm(o))
            .or_else(|| self.oxm.iter().find(is_nxm))
            .or_else(|| self.oxm.last())
            .copied()
    }
}
