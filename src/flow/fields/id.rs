//! The names of the fields as an enum, in the order of ovs-fields(7) by layer.
#![deny(clippy::indexing_slicing)]

/// A field of a flow. The row that says everything about it is [`FieldId::row`].
#[rustfmt::skip]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FieldId {
    DpHash, RecircId, PacketType, ConjId, TunId, TunSrc, TunDst, TunIpv6Src, TunIpv6Dst, TunFlags, TunTtl,
    TunTos, TunGbpId, TunGbpFlags, TunErspanVer, TunErspanIdx, TunErspanDir, TunErspanHwid, TunGtpuFlags,
    TunGtpuMsgtype,
    TunMetadata0, TunMetadata1, TunMetadata2, TunMetadata3, TunMetadata4, TunMetadata5, TunMetadata6,
    TunMetadata7, TunMetadata8, TunMetadata9, TunMetadata10, TunMetadata11, TunMetadata12, TunMetadata13,
    TunMetadata14, TunMetadata15, TunMetadata16, TunMetadata17, TunMetadata18, TunMetadata19, TunMetadata20,
    TunMetadata21, TunMetadata22, TunMetadata23, TunMetadata24, TunMetadata25, TunMetadata26, TunMetadata27,
    TunMetadata28, TunMetadata29, TunMetadata30, TunMetadata31, TunMetadata32, TunMetadata33, TunMetadata34,
    TunMetadata35, TunMetadata36, TunMetadata37, TunMetadata38, TunMetadata39, TunMetadata40, TunMetadata41,
    TunMetadata42, TunMetadata43, TunMetadata44, TunMetadata45, TunMetadata46, TunMetadata47, TunMetadata48,
    TunMetadata49, TunMetadata50, TunMetadata51, TunMetadata52, TunMetadata53, TunMetadata54, TunMetadata55,
    TunMetadata56, TunMetadata57, TunMetadata58, TunMetadata59, TunMetadata60, TunMetadata61, TunMetadata62,
    TunMetadata63,
    Metadata, InPort, InPortOxm, ActsetOutput, SkbPriority, PktMark, CtState, CtZone, CtMark, CtLabel,
    CtNwProto, CtNwSrc, CtNwDst, CtIpv6Src, CtIpv6Dst, CtTpSrc, CtTpDst,
    Reg0, Reg1, Reg2, Reg3, Reg4, Reg5, Reg6, Reg7, Reg8, Reg9, Reg10, Reg11, Reg12, Reg13, Reg14, Reg15,
    Reg16, Reg17, Reg18, Reg19, Reg20, Reg21, Reg22, Reg23, Reg24, Reg25, Reg26, Reg27, Reg28, Reg29, Reg30,
    Reg31,
    Xreg0, Xreg1, Xreg2, Xreg3, Xreg4, Xreg5, Xreg6, Xreg7, Xreg8, Xreg9, Xreg10, Xreg11, Xreg12, Xreg13,
    Xreg14, Xreg15,
    Xxreg0, Xxreg1, Xxreg2, Xxreg3, Xxreg4, Xxreg5, Xxreg6, Xxreg7,
    EthSrc, EthDst, EthType, VlanTci, DlVlan, VlanVid, DlVlanPcp, VlanPcp, MplsLabel, MplsTc, MplsBos,
    MplsTtl, IpSrc, IpDst, Ipv6Src, Ipv6Dst, Ipv6Label, NwProto, IpDscp, NwTos, NwEcn, NwTtl, IpFrag, ArpOp,
    ArpSpa, ArpTpa, ArpSha, ArpTha, TcpSrc, TcpDst, TcpFlags, UdpSrc, UdpDst, SctpSrc, SctpDst, IcmpType,
    IcmpCode, Icmpv6Type, Icmpv6Code, NdTarget, NdSll, NdTll, NdReserved, NdOptionsType, NshFlags, NshTtl,
    NshMdtype, NshNp, NshSpi, NshSi, NshC1, NshC2, NshC3, NshC4,
}

/// How many fields there are.
pub const FIELDS: usize = 211;

/// All fields in order: what makes a number a [`FieldId`] without unsafe code.
#[rustfmt::skip]
pub static ALL: [FieldId; FIELDS] = {
    use FieldId::*;
    [
        DpHash, RecircId, PacketType, ConjId, TunId, TunSrc, TunDst, TunIpv6Src, TunIpv6Dst, TunFlags, TunTtl,
        TunTos, TunGbpId, TunGbpFlags, TunErspanVer, TunErspanIdx, TunErspanDir, TunErspanHwid, TunGtpuFlags,
        TunGtpuMsgtype, TunMetadata0, TunMetadata1, TunMetadata2, TunMetadata3, TunMetadata4, TunMetadata5,
        TunMetadata6, TunMetadata7, TunMetadata8, TunMetadata9, TunMetadata10, TunMetadata11, TunMetadata12,
        TunMetadata13, TunMetadata14, TunMetadata15, TunMetadata16, TunMetadata17, TunMetadata18, TunMetadata19,
        TunMetadata20, TunMetadata21, TunMetadata22, TunMetadata23, TunMetadata24, TunMetadata25, TunMetadata26,
        TunMetadata27, TunMetadata28, TunMetadata29, TunMetadata30, TunMetadata31, TunMetadata32, TunMetadata33,
        TunMetadata34, TunMetadata35, TunMetadata36, TunMetadata37, TunMetadata38, TunMetadata39, TunMetadata40,
        TunMetadata41, TunMetadata42, TunMetadata43, TunMetadata44, TunMetadata45, TunMetadata46, TunMetadata47,
        TunMetadata48, TunMetadata49, TunMetadata50, TunMetadata51, TunMetadata52, TunMetadata53, TunMetadata54,
        TunMetadata55, TunMetadata56, TunMetadata57, TunMetadata58, TunMetadata59, TunMetadata60, TunMetadata61,
        TunMetadata62, TunMetadata63, Metadata, InPort, InPortOxm, ActsetOutput, SkbPriority, PktMark, CtState,
        CtZone, CtMark, CtLabel, CtNwProto, CtNwSrc, CtNwDst, CtIpv6Src, CtIpv6Dst, CtTpSrc, CtTpDst, Reg0, Reg1,
        Reg2, Reg3, Reg4, Reg5, Reg6, Reg7, Reg8, Reg9, Reg10, Reg11, Reg12, Reg13, Reg14, Reg15, Reg16, Reg17,
        Reg18, Reg19, Reg20, Reg21, Reg22, Reg23, Reg24, Reg25, Reg26, Reg27, Reg28, Reg29, Reg30, Reg31, Xreg0,
        Xreg1, Xreg2, Xreg3, Xreg4, Xreg5, Xreg6, Xreg7, Xreg8, Xreg9, Xreg10, Xreg11, Xreg12, Xreg13, Xreg14,
        Xreg15, Xxreg0, Xxreg1, Xxreg2, Xxreg3, Xxreg4, Xxreg5, Xxreg6, Xxreg7, EthSrc, EthDst, EthType, VlanTci,
        DlVlan, VlanVid, DlVlanPcp, VlanPcp, MplsLabel, MplsTc, MplsBos, MplsTtl, IpSrc, IpDst, Ipv6Src, Ipv6Dst,
        Ipv6Label, NwProto, IpDscp, NwTos, NwEcn, NwTtl, IpFrag, ArpOp, ArpSpa, ArpTpa, ArpSha, ArpTha, TcpSrc,
        TcpDst, TcpFlags, UdpSrc, UdpDst, SctpSrc, SctpDst, IcmpType, IcmpCode, Icmpv6Type, Icmpv6Code, NdTarget,
        NdSll, NdTll, NdReserved, NdOptionsType, NshFlags, NshTtl, NshMdtype, NshNp, NshSpi, NshSi, NshC1, NshC2,
        NshC3, NshC4,
    ]
};

impl FieldId {
    /// The field with number `n`.
    pub fn from_index(n: usize) -> Option<FieldId> {
        ALL.get(n).copied()
    }

    /// Its number, 0 to [`FIELDS`] - 1.
    pub const fn index(self) -> usize {
        self as usize
    }

    fn nth(first: FieldId, count: usize, n: usize) -> Option<FieldId> {
        if n < count { Self::from_index(first.index() + n) } else { None }
    }

    /// 32-bit register `n`, 0 to 31.
    pub fn reg(n: usize) -> Option<FieldId> {
        Self::nth(FieldId::Reg0, 32, n)
    }

    /// 64-bit register `n`, 0 to 15.
    pub fn xreg(n: usize) -> Option<FieldId> {
        Self::nth(FieldId::Xreg0, 16, n)
    }

    /// 128-bit register `n`, 0 to 7.
    pub fn xxreg(n: usize) -> Option<FieldId> {
        Self::nth(FieldId::Xxreg0, 8, n)
    }

    /// Tunnel option field `n`, 0 to 63.
    pub fn tun_metadata(n: usize) -> Option<FieldId> {
        Self::nth(FieldId::TunMetadata0, 64, n)
    }

    /// Which of tun_metadata0 to 63 it is, if one of them.
    pub fn tun_metadata_index(self) -> Option<usize> {
        self.index().checked_sub(FieldId::TunMetadata0.index()).filter(|n| *n < 64)
    }
}
