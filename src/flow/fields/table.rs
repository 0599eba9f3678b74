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

const fn point(class: u16, field: u8, experimenter: u32, since: u8) -> Oxm {
    Oxm { class, field, experimenter, since }
}
/// OXM_OF since OpenFlow 1.2.
const fn of(field: u8) -> Oxm {
    point(0x8000, field, 0, 0x03)
}
const fn nxm(field: u8) -> Oxm {
    point(0, field, 0, 0x01)
}
const fn nx(field: u8) -> Oxm {
    point(1, field, 0, 0x01)
}
const fn et(field: u8) -> Oxm {
    point(0xffff, field, NICIRA, 0x01)
}
const fn nsh(field: u8) -> Oxm {
    point(0xffff, field, NSH, 0x01)
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
    row!(DpHash "dp_hash": l::DP_HASH, 4/32, Bitwise, Hex, None, ro, Plain, [nx(35)]),
    row!(RecircId "recirc_id": l::RECIRC_ID, 4/32, Exact, Decimal, None, ro, Plain, [nx(36)]),
    row!(PacketType "packet_type": l::PACKET_TYPE, 4/32, Exact, PacketType, None, ro, Plain, [point(0x8000, 44, 0, 0x06)]),
    row!(ConjId "conj_id": l::CONJ_ID, 4/32, Exact, Decimal, None, ro, Plain, [nx(37)]),
    row!(TunId "tun_id" aka "tunnel_id": l::TUN_ID, 8/64, Bitwise, Hex, None, rw, Plain, [point(0x8000, 38, 0, 0x04), nx(16)]),
    row!(TunSrc "tun_src": l::TUN_SRC, 4/32, Bitwise, Ipv4, None, rw, Plain, [nx(31)]),
    row!(TunDst "tun_dst": l::TUN_DST, 4/32, Bitwise, Ipv4, None, rw, Plain, [nx(32)]),
    row!(TunIpv6Src "tun_ipv6_src": l::TUN_IPV6_SRC, 16/128, Bitwise, Ipv6, None, rw, Plain, [nx(109)]),
    row!(TunIpv6Dst "tun_ipv6_dst": l::TUN_IPV6_DST, 16/128, Bitwise, Ipv6, None, rw, Plain, [nx(110)]),
    row!(TunFlags "tun_flags": part(l::TUN_FLAGS, 0, 1), 2/1, Bitwise, TunnelFlags, None, rw, Plain, [nx(104)]),
    row!(TunTtl "tun_ttl": l::TUN_TTL, 1/8, Exact, Decimal, None, rw, Plain, []),
    row!(TunTos "tun_tos": l::TUN_TOS, 1/8, Exact, Decimal, None, rw, Plain, []),
    row!(TunGbpId "tun_gbp_id": l::TUN_GBP_ID, 2/16, Bitwise, Decimal, None, rw, Plain, [nx(38)]),
    row!(TunGbpFlags "tun_gbp_flags": l::TUN_GBP_FLAGS, 1/8, Bitwise, Hex, None, rw, Plain, [nx(39)]),
    row!(TunErspanVer "tun_erspan_ver": l::TUN_ERSPAN_VER, 1/4, Bitwise, Decimal, None, rw, Plain, [et(12)]),
    row!(TunErspanIdx "tun_erspan_idx": l::TUN_ERSPAN_IDX, 4/20, Bitwise, Hex, None, rw, Plain, [et(11)]),
    row!(TunErspanDir "tun_erspan_dir": l::TUN_ERSPAN_DIR, 1/1, Bitwise, Decimal, None, rw, Plain, [et(13)]),
    row!(TunErspanHwid "tun_erspan_hwid": l::TUN_ERSPAN_HWID, 1/6, Bitwise, Hex, None, rw, Plain, [et(14)]),
    row!(TunGtpuFlags "tun_gtpu_flags": l::TUN_GTPU_FLAGS, 1/8, Bitwise, Hex, None, ro, Plain, [et(15)]),
    row!(TunGtpuMsgtype "tun_gtpu_msgtype": l::TUN_GTPU_MSGTYPE, 1/8, Bitwise, Decimal, None, ro, Plain, [et(16)]),
];

#[rustfmt::skip]
static METADATA_B: [Field; 17] = [
    row!(Metadata "metadata": l::METADATA, 8/64, Bitwise, Hex, None, rw, Plain, [of(2)]),
    row!(InPort "in_port": part(l::IN_PORT, 0, 16), 2/16, Exact, Port10, None, rw, Plain, [nxm(0)]),
    row!(InPortOxm "in_port_oxm": part(l::IN_PORT, 0, 16), 4/32, Exact, Port11, None, rw, WidePort, [of(0)]),
    row!(ActsetOutput "actset_output": part(l::ACTSET_OUTPUT, 0, 16), 4/32, Exact, Port11, None, ro, WidePort,
        [point(0x8000, 43, 0, 0x06), point(0xffff, 43, ONF, 0x04)]),
    row!(SkbPriority "skb_priority": l::SKB_PRIORITY, 4/32, Exact, Hex, None, ro, Plain, []),
    row!(PktMark "pkt_mark": l::PKT_MARK, 4/32, Bitwise, Hex, None, rw, Plain, [nx(33)]),
    row!(CtState "ct_state": l::CT_STATE, 4/32, Bitwise, CtState, None, ro, Plain, [nx(105)]),
    row!(CtZone "ct_zone": l::CT_ZONE, 2/16, Exact, Hex, None, ro, Plain, [nx(106)]),
    row!(CtMark "ct_mark": l::CT_MARK, 4/32, Bitwise, Hex, None, rw, Plain, [nx(107)]),
    row!(CtLabel "ct_label": l::CT_LABEL, 16/128, Bitwise, Hex, None, rw, Plain, [nx(108)]),
    row!(CtNwProto "ct_nw_proto": l::CT_NW_PROTO, 1/8, Exact, Decimal, Ct, ro, Plain, [nx(119)]),
    row!(CtNwSrc "ct_nw_src": l::CT_NW_SRC, 4/32, Bitwise, Ipv4, Ct, ro, Plain, [nx(120)]),
    row!(CtNwDst "ct_nw_dst": l::CT_NW_DST, 4/32, Bitwise, Ipv4, Ct, ro, Plain, [nx(121)]),
    row!(CtIpv6Src "ct_ipv6_src": l::CT_IPV6_SRC, 16/128, Bitwise, Ipv6, Ct, ro, Plain, [nx(122)]),
    row!(CtIpv6Dst "ct_ipv6_dst": l::CT_IPV6_DST, 16/128, Bitwise, Ipv6, Ct, ro, Plain, [nx(123)]),
    row!(CtTpSrc "ct_tp_src": l::CT_TP_SRC, 2/16, Bitwise, Decimal, Ct, ro, Plain, [nx(124)]),
    row!(CtTpDst "ct_tp_dst": l::CT_TP_DST, 2/16, Bitwise, Decimal, Ct, ro, Plain, [nx(125)]),
];

#[rustfmt::skip]
static PACKET: [Field; 54] = [
    row!(EthSrc "eth_src" aka "dl_src": l::ETH_SRC, 6/48, Bitwise, Ethernet, Ethernet, rw, Plain, [of(4), nxm(2)]),
    row!(EthDst "eth_dst" aka "dl_dst": l::ETH_DST, 6/48, Bitwise, Ethernet, Ethernet, rw, Plain, [of(3), nxm(1)]),
    row!(EthType "eth_type" aka "dl_type": l::ETH_TYPE, 2/16, Exact, Hex, Ethernet, ro, Plain, [of(5), nxm(3)]),
    row!(VlanTci "vlan_tci": l::VLAN_TCI, 2/16, Bitwise, Hex, Ethernet, rw, VlanTci, [nxm(4)]),
    row!(DlVlan "dl_vlan": part(l::VLAN_TCI, 0, 12), 2/12, Exact, Decimal, Ethernet, rw, DlVlan, []),
    row!(VlanVid "vlan_vid": part(l::VLAN_TCI, 0, 13), 2/12, Bitwise, Decimal, Ethernet, rw, VlanVid, [of(6)]),
    row!(DlVlanPcp "dl_vlan_pcp": part(l::VLAN_TCI, 13, 3), 1/3, Exact, Decimal, Ethernet, rw, VlanPcp, []),
    row!(VlanPcp "vlan_pcp": part(l::VLAN_TCI, 13, 3), 1/3, Exact, Decimal, Vlan, rw, VlanPcp, [of(7)]),
    row!(MplsLabel "mpls_label": part(l::MPLS0, 12, 20), 4/20, Exact, Decimal, Mpls, rw, Plain, [of(34)]),
    row!(MplsTc "mpls_tc": part(l::MPLS0, 9, 3), 1/3, Exact, Decimal, Mpls, rw, Plain, [of(35)]),
    row!(MplsBos "mpls_bos": part(l::MPLS0, 8, 1), 1/1, Exact, Decimal, Mpls, ro, Plain, [point(0x8000, 36, 0, 0x04)]),
    row!(MplsTtl "mpls_ttl": part(l::MPLS0, 0, 8), 1/8, Exact, Decimal, Mpls, rw, Plain, [nx(30)]),
    row!(IpSrc "ip_src" aka "nw_src": l::NW_SRC, 4/32, Bitwise, Ipv4, Ipv4, rw, Plain, [of(11), nxm(7)]),
    row!(IpDst "ip_dst" aka "nw_dst": l::NW_DST, 4/32, Bitwise, Ipv4, Ipv4, rw, Plain, [of(12), nxm(8)]),
    row!(Ipv6Src "ipv6_src": l::IPV6_SRC, 16/128, Bitwise, Ipv6, Ipv6, rw, Plain, [of(26), nx(19)]),
    row!(Ipv6Dst "ipv6_dst": l::IPV6_DST, 16/128, Bitwise, Ipv6, Ipv6, rw, Plain, [of(27), nx(20)]),
    row!(Ipv6Label "ipv6_label": l::IPV6_LABEL, 4/20, Bitwise, Hex, Ipv6, rw, Plain, [of(28), nx(27)]),
    row!(NwProto "nw_proto" aka "ip_proto": l::NW_PROTO, 1/8, Exact, Decimal, Ip, ro, Plain, [of(10), nxm(6)]),
    row!(IpDscp "ip_dscp": part(l::NW_TOS, 2, 6), 1/6, Exact, Decimal, Ip, rw, Plain, [of(8)]),
    row!(NwTos "nw_tos": l::NW_TOS, 1/8, Exact, Decimal, Ip, rw, Tos, [nxm(5)]),
    row!(NwEcn "nw_ecn" aka "ip_ecn": part(l::NW_TOS, 0, 2), 1/2, Exact, Decimal, Ip, rw, Plain, [of(9), nx(28)]),
    row!(NwTtl "nw_ttl": l::NW_TTL, 1/8, Exact, Decimal, Ip, rw, Plain, [nx(29)]),
    row!(IpFrag "ip_frag" aka "nw_frag": part(l::NW_FRAG, 0, 2), 1/2, Bitwise, Frag, Ip, ro, Plain, [nx(26)]),
    row!(ArpOp "arp_op": l::NW_PROTO, 2/8, Exact, Decimal, Arp, rw, Plain, [of(21), nxm(15)]),
    row!(ArpSpa "arp_spa": l::NW_SRC, 4/32, Bitwise, Ipv4, Arp, rw, Plain, [of(22), nxm(16)]),
    row!(ArpTpa "arp_tpa": l::NW_DST, 4/32, Bitwise, Ipv4, Arp, rw, Plain, [of(23), nxm(17)]),
    row!(ArpSha "arp_sha": l::ARP_SHA, 6/48, Bitwise, Ethernet, Arp, rw, Plain, [of(24), nx(17)]),
    row!(ArpTha "arp_tha": l::ARP_THA, 6/48, Bitwise, Ethernet, Arp, rw, Plain, [of(25), nx(18)]),
    row!(TcpSrc "tcp_src" aka "tp_src": l::TP_SRC, 2/16, Bitwise, Decimal, Tcp, rw, Plain, [of(13), nxm(9)]),
    row!(TcpDst "tcp_dst" aka "tp_dst": l::TP_DST, 2/16, Bitwise, Decimal, Tcp, rw, Plain, [of(14), nxm(10)]),
    row!(TcpFlags "tcp_flags": part(l::TCP_FLAGS, 0, 12), 2/12, Bitwise, TcpFlags, Tcp, ro, Plain,
        [point(0x8000, 42, 0, 0x06), point(0xffff, 42, ONF, 0x04), nx(34)]),
    row!(UdpSrc "udp_src": l::TP_SRC, 2/16, Bitwise, Decimal, Udp, rw, Plain, [of(15), nxm(11)]),
    row!(UdpDst "udp_dst": l::TP_DST, 2/16, Bitwise, Decimal, Udp, rw, Plain, [of(16), nxm(12)]),
    row!(SctpSrc "sctp_src": l::TP_SRC, 2/16, Bitwise, Decimal, Sctp, rw, Plain, [of(17)]),
    row!(SctpDst "sctp_dst": l::TP_DST, 2/16, Bitwise, Decimal, Sctp, rw, Plain, [of(18)]),
    row!(IcmpType "icmp_type": l::TP_SRC, 1/8, Exact, Decimal, Icmpv4, rw, Plain, [of(19), nxm(13)]),
    row!(IcmpCode "icmp_code": l::TP_DST, 1/8, Exact, Decimal, Icmpv4, rw, Plain, [of(20), nxm(14)]),
    row!(Icmpv6Type "icmpv6_type": l::TP_SRC, 1/8, Exact, Decimal, Icmpv6, rw, Plain, [of(29), nx(21)]),
    row!(Icmpv6Code "icmpv6_code": l::TP_DST, 1/8, Exact, Decimal, Icmpv6, rw, Plain, [of(30), nx(22)]),
    row!(NdTarget "nd_target": l::ND_TARGET, 16/128, Bitwise, Ipv6, Nd, rw, Plain, [of(31), nx(23)]),
    row!(NdSll "nd_sll": l::ARP_SHA, 6/48, Bitwise, Ethernet, NdSolicit, rw, Plain, [of(32), nx(24)]),
    row!(NdTll "nd_tll": l::ARP_THA, 6/48, Bitwise, Ethernet, NdAdvert, rw, Plain, [of(33), nx(25)]),
    row!(NdReserved "nd_reserved": l::ND_RESERVED, 4/32, Exact, Decimal, Nd, rw, Plain, [point(0x1000, 1, 0, 0x01)]),
    row!(NdOptionsType "nd_options_type": l::ND_OPTIONS_TYPE, 1/8, Exact, Decimal, Nd, rw, Plain, [point(0x1000, 2, 0, 0x01)]),
    row!(NshFlags "nsh_flags": l::NSH_FLAGS, 1/8, Bitwise, Decimal, Nsh, rw, Plain, [nsh(1)]),
    row!(NshTtl "nsh_ttl": l::NSH_TTL, 1/8, Exact, Decimal, Nsh, rw, Plain, [nsh(10)]),
    row!(NshMdtype "nsh_mdtype": l::NSH_MDTYPE, 1/8, Exact, Decimal, Nsh, ro, Plain, [nsh(2)]),
    row!(NshNp "nsh_np": l::NSH_NP, 1/8, Exact, Decimal, Nsh, ro, Plain, [nsh(3)]),
    row!(NshSpi "nsh_spi" aka "nsp": l::NSH_SPI, 4/24, Exact, Hex, Nsh, rw, Plain, [nsh(4)]),
    row!(NshSi "nsh_si" aka "nsi": l::NSH_SI, 1/8, Exact, Decimal, Nsh, rw, Plain, [nsh(5)]),
    row!(NshC1 "nsh_c1" aka "nshc1": l::NSH_C1, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(6)]),
    row!(NshC2 "nsh_c2" aka "nshc2": l::NSH_C2, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(7)]),
    row!(NshC3 "nsh_c3" aka "nshc3": l::NSH_C3, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(8)]),
    row!(NshC4 "nsh_c4" aka "nshc4": l::NSH_C4, 4/32, Bitwise, Hex, Nsh, rw, Plain, [nsh(9)]),
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
const fn pkt_reg(n: u8) -> Oxm {
    point(0x8001, n, 0, 0x04)
}

#[rustfmt::skip]
family! { TUN_METADATA, 64, 124/992, TunMetadata, tun_metadata_slot;
    TunMetadata0 "tun_metadata0" 0 [nx(40)];
    TunMetadata1 "tun_metadata1" 1 [nx(41)];
    TunMetadata2 "tun_metadata2" 2 [nx(42)];
    TunMetadata3 "tun_metadata3" 3 [nx(43)];
    TunMetadata4 "tun_metadata4" 4 [nx(44)];
    TunMetadata5 "tun_metadata5" 5 [nx(45)];
    TunMetadata6 "tun_metadata6" 6 [nx(46)];
    TunMetadata7 "tun_metadata7" 7 [nx(47)];
    TunMetadata8 "tun_metadata8" 8 [nx(48)];
    TunMetadata9 "tun_metadata9" 9 [nx(49)];
    TunMetadata10 "tun_metadata10" 10 [nx(50)];
    TunMetadata11 "tun_metadata11" 11 [nx(51)];
    TunMetadata12 "tun_metadata12" 12 [nx(52)];
    TunMetadata13 "tun_metadata13" 13 [nx(53)];
    TunMetadata14 "tun_metadata14" 14 [nx(54)];
    TunMetadata15 "tun_metadata15" 15 [nx(55)];
    TunMetadata16 "tun_metadata16" 16 [nx(56)];
    TunMetadata17 "tun_metadata17" 17 [nx(57)];
    TunMetadata18 "tun_metadata18" 18 [nx(58)];
    TunMetadata19 "tun_metadata19" 19 [nx(59)];
    TunMetadata20 "tun_metadata20" 20 [nx(60)];
    TunMetadata21 "tun_metadata21" 21 [nx(61)];
    TunMetadata22 "tun_metadata22" 22 [nx(62)];
    TunMetadata23 "tun_metadata23" 23 [nx(63)];
    TunMetadata24 "tun_metadata24" 24 [nx(64)];
    TunMetadata25 "tun_metadata25" 25 [nx(65)];
    TunMetadata26 "tun_metadata26" 26 [nx(66)];
    TunMetadata27 "tun_metadata27" 27 [nx(67)];
    TunMetadata28 "tun_metadata28" 28 [nx(68)];
    TunMetadata29 "tun_metadata29" 29 [nx(69)];
    TunMetadata30 "tun_metadata30" 30 [nx(70)];
    TunMetadata31 "tun_metadata31" 31 [nx(71)];
    TunMetadata32 "tun_metadata32" 32 [nx(72)];
    TunMetadata33 "tun_metadata33" 33 [nx(73)];
    TunMetadata34 "tun_metadata34" 34 [nx(74)];
    TunMetadata35 "tun_metadata35" 35 [nx(75)];
    TunMetadata36 "tun_metadata36" 36 [nx(76)];
    TunMetadata37 "tun_metadata37" 37 [nx(77)];
    TunMetadata38 "tun_metadata38" 38 [nx(78)];
    TunMetadata39 "tun_metadata39" 39 [nx(79)];
    TunMetadata40 "tun_metadata40" 40 [nx(80)];
    TunMetadata41 "tun_metadata41" 41 [nx(81)];
    TunMetadata42 "tun_metadata42" 42 [nx(82)];
    TunMetadata43 "tun_metadata43" 43 [nx(83)];
    TunMetadata44 "tun_metadata44" 44 [nx(84)];
    TunMetadata45 "tun_metadata45" 45 [nx(85)];
    TunMetadata46 "tun_metadata46" 46 [nx(86)];
    TunMetadata47 "tun_metadata47" 47 [nx(87)];
    TunMetadata48 "tun_metadata48" 48 [nx(88)];
    TunMetadata49 "tun_metadata49" 49 [nx(89)];
    TunMetadata50 "tun_metadata50" 50 [nx(90)];
    TunMetadata51 "tun_metadata51" 51 [nx(91)];
    TunMetadata52 "tun_metadata52" 52 [nx(92)];
    TunMetadata53 "tun_metadata53" 53 [nx(93)];
    TunMetadata54 "tun_metadata54" 54 [nx(94)];
    TunMetadata55 "tun_metadata55" 55 [nx(95)];
    TunMetadata56 "tun_metadata56" 56 [nx(96)];
    TunMetadata57 "tun_metadata57" 57 [nx(97)];
    TunMetadata58 "tun_metadata58" 58 [nx(98)];
    TunMetadata59 "tun_metadata59" 59 [nx(99)];
    TunMetadata60 "tun_metadata60" 60 [nx(100)];
    TunMetadata61 "tun_metadata61" 61 [nx(101)];
    TunMetadata62 "tun_metadata62" 62 [nx(102)];
    TunMetadata63 "tun_metadata63" 63 [nx(103)];
}

// NXM numbers exist for 16 registers; those from 16 on have text names alone.
#[rustfmt::skip]
family! { REGS, 32, 4/32, Plain, l::reg;
    Reg0 "reg0" 0 [nx(0)];
    Reg1 "reg1" 1 [nx(1)];
    Reg2 "reg2" 2 [nx(2)];
    Reg3 "reg3" 3 [nx(3)];
    Reg4 "reg4" 4 [nx(4)];
    Reg5 "reg5" 5 [nx(5)];
    Reg6 "reg6" 6 [nx(6)];
    Reg7 "reg7" 7 [nx(7)];
    Reg8 "reg8" 8 [nx(8)];
    Reg9 "reg9" 9 [nx(9)];
    Reg10 "reg10" 10 [nx(10)];
    Reg11 "reg11" 11 [nx(11)];
    Reg12 "reg12" 12 [nx(12)];
    Reg13 "reg13" 13 [nx(13)];
    Reg14 "reg14" 14 [nx(14)];
    Reg15 "reg15" 15 [nx(15)];
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
    Xreg0 "xreg0" 0 [pkt_reg(0)];
    Xreg1 "xreg1" 1 [pkt_reg(1)];
    Xreg2 "xreg2" 2 [pkt_reg(2)];
    Xreg3 "xreg3" 3 [pkt_reg(3)];
    Xreg4 "xreg4" 4 [pkt_reg(4)];
    Xreg5 "xreg5" 5 [pkt_reg(5)];
    Xreg6 "xreg6" 6 [pkt_reg(6)];
    Xreg7 "xreg7" 7 [pkt_reg(7)];
    Xreg8 "xreg8" 8 [pkt_reg(8)];
    Xreg9 "xreg9" 9 [pkt_reg(9)];
    Xreg10 "xreg10" 10 [pkt_reg(10)];
    Xreg11 "xreg11" 11 [pkt_reg(11)];
    Xreg12 "xreg12" 12 [pkt_reg(12)];
    Xreg13 "xreg13" 13 [pkt_reg(13)];
    Xreg14 "xreg14" 14 [pkt_reg(14)];
    Xreg15 "xreg15" 15 [pkt_reg(15)];
}

#[rustfmt::skip]
family! { XXREGS, 8, 16/128, Plain, xxreg_slot;
    Xxreg0 "xxreg0" 0 [nx(111)];
    Xxreg1 "xxreg1" 1 [nx(112)];
    Xxreg2 "xxreg2" 2 [nx(113)];
    Xxreg3 "xxreg3" 3 [nx(114)];
    Xxreg4 "xxreg4" 4 [nx(115)];
    Xxreg5 "xxreg5" 5 [nx(116)];
    Xxreg6 "xxreg6" 6 [nx(117)];
    Xxreg7 "xxreg7" 7 [nx(118)];
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
