//! What a message is by its numbers: one row per kind of message.
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::codes::{ErrorCode, NX, OFPBRC_BAD_STAT, OFPBRC_BAD_SUBTYPE, OFPBRC_BAD_TYPE, OFPBRC_BAD_VENDOR, ONF};
use super::error::{Result, refuse};
use super::header::Header;
use super::version::Version;

/// Numbers of a message: what tells it from others of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// A type.
    T(u8),
    /// An experimenter's message: who, and which.
    X(u32, u32),
    /// A multipart request, and the reply of the same number.
    Req(u16),
    Rep(u16),
    /// An experimenter's multipart request and reply.
    XReq(u32, u32),
    XRep(u32, u32),
}

use Number::{Rep, Req, T, X, XRep, XReq};

/// Type of an experimenter's message, in every version.
const EXPERIMENTER: u8 = 4;
/// Kind of an experimenter's multipart.
const EXPERIMENTER_PART: u16 = 0xffff;
/// A multipart goes on in another message.
const MORE: u16 = 1;

/// Types of a multipart's request and reply.
fn multipart(version: Version) -> (u8, u8) {
    if version == Version::Of10 { (16, 17) } else { (18, 19) }
}

/// One row.
struct Row {
    kind: Kind,
    name: &'static str,
    /// From version, to version, numbers there.
    numbers: &'static [(u8, u8, Number)],
}

macro_rules! kinds {
    ($($kind:ident $name:literal [$($number:expr),*];)*) => {
        /// What a message is. The names of the specification and of ovs-ofctl: [`Kind::name`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $name] $kind,)*
        }

        static ROWS: &[Row] = &[$(Row { kind: Kind::$kind, name: $name, numbers: &[$($number),*] }),*];
    };
}

// Those of which there are many come first: the table is searched in order.
#[rustfmt::skip]
kinds! {
    FlowMod "OFPT_FLOW_MOD" [(1, 6, T(14))];
    NxFlowMod "NXT_FLOW_MOD" [(1, 6, X(NX, 13))];
    PacketIn "OFPT_PACKET_IN" [(1, 6, T(10))];
    NxPacketIn "NXT_PACKET_IN" [(1, 6, X(NX, 17))];
    NxPacketIn2 "NXT_PACKET_IN2" [(1, 6, X(NX, 30))];
    Resume "NXT_RESUME" [(1, 6, X(NX, 28))];
    PacketOut "OFPT_PACKET_OUT" [(1, 6, T(13))];
    Hello "OFPT_HELLO" [(1, 6, T(0))];
    Error "OFPT_ERROR" [(1, 6, T(1))];
    EchoRequest "OFPT_ECHO_REQUEST" [(1, 6, T(2))];
    EchoReply "OFPT_ECHO_REPLY" [(1, 6, T(3))];
    FeaturesRequest "OFPT_FEATURES_REQUEST" [(1, 6, T(5))];
    FeaturesReply "OFPT_FEATURES_REPLY" [(1, 6, T(6))];
    GetConfigRequest "OFPT_GET_CONFIG_REQUEST" [(1, 6, T(7))];
    GetConfigReply "OFPT_GET_CONFIG_REPLY" [(1, 6, T(8))];
    SetConfig "OFPT_SET_CONFIG" [(1, 6, T(9))];
    FlowRemoved "OFPT_FLOW_REMOVED" [(1, 6, T(11))];
    NxFlowRemoved "NXT_FLOW_REMOVED" [(1, 6, X(NX, 14))];
    PortStatus "OFPT_PORT_STATUS" [(1, 6, T(12))];
    PortMod "OFPT_PORT_MOD" [(1, 1, T(15)), (2, 6, T(16))];
    GroupMod "OFPT_GROUP_MOD" [(2, 6, T(15))];
    NxGroupMod "NXT_GROUP_MOD" [(1, 5, X(NX, 31))];
    BarrierRequest "OFPT_BARRIER_REQUEST" [(1, 1, T(18)), (2, 6, T(20))];
    BarrierReply "OFPT_BARRIER_REPLY" [(1, 1, T(19)), (2, 6, T(21))];
    RoleRequest "OFPT_ROLE_REQUEST" [(3, 6, T(24))];
    RoleReply "OFPT_ROLE_REPLY" [(3, 6, T(25))];
    NxRoleRequest "NXT_ROLE_REQUEST" [(1, 2, X(NX, 10))];
    NxRoleReply "NXT_ROLE_REPLY" [(1, 2, X(NX, 11))];
    RoleStatus "OFPT_ROLE_STATUS" [(5, 6, T(30))];
    OnfRoleStatus "ONFT_ROLE_STATUS" [(4, 4, X(ONF, 1911))];
    SetFlowFormat "NXT_SET_FLOW_FORMAT" [(1, 6, X(NX, 12))];
    FlowModTableId "NXT_FLOW_MOD_TABLE_ID" [(1, 6, X(NX, 15))];
    SetPacketInFormat "NXT_SET_PACKET_IN_FORMAT" [(1, 6, X(NX, 16))];
    FlowAge "NXT_FLOW_AGE" [(1, 6, X(NX, 18))];
    SetControllerId "NXT_SET_CONTROLLER_ID" [(1, 6, X(NX, 20))];
    BundleControl "OFPT_BUNDLE_CONTROL" [(5, 6, T(33)), (4, 4, X(ONF, 2300))];
    BundleAdd "OFPT_BUNDLE_ADD_MESSAGE" [(5, 6, T(34)), (4, 4, X(ONF, 2301))];
    DescRequest "OFPST_DESC request" [(1, 6, Req(0))];
    DescReply "OFPST_DESC reply" [(1, 6, Rep(0))];
    FlowStatsRequest "OFPST_FLOW request" [(1, 6, Req(1))];
    FlowStatsReply "OFPST_FLOW reply" [(1, 6, Rep(1))];
    NxFlowStatsRequest "NXST_FLOW request" [(1, 1, XReq(NX, 0))];
    NxFlowStatsReply "NXST_FLOW reply" [(1, 1, XRep(NX, 0))];
    AggregateRequest "OFPST_AGGREGATE request" [(1, 6, Req(2))];
    AggregateReply "OFPST_AGGREGATE reply" [(1, 6, Rep(2))];
    NxAggregateRequest "NXST_AGGREGATE request" [(1, 1, XReq(NX, 1))];
    NxAggregateReply "NXST_AGGREGATE reply" [(1, 1, XRep(NX, 1))];
    TableStatsRequest "OFPST_TABLE request" [(1, 6, Req(3))];
    TableStatsReply "OFPST_TABLE reply" [(1, 6, Rep(3))];
    TableFeaturesRequest "OFPST_TABLE_FEATURES request" [(4, 6, Req(12))];
    TableFeaturesReply "OFPST_TABLE_FEATURES reply" [(4, 6, Rep(12))];
    PortStatsRequest "OFPST_PORT request" [(1, 6, Req(4))];
    PortStatsReply "OFPST_PORT reply" [(1, 6, Rep(4))];
    PortDescRequest "OFPST_PORT_DESC request" [(1, 6, Req(13))];
    PortDescReply "OFPST_PORT_DESC reply" [(1, 6, Rep(13))];
    MeterMod "OFPT_METER_MOD" [(4, 6, T(29))];
    MeterStatsRequest "OFPST_METER request" [(4, 6, Req(9))];
    MeterStatsReply "OFPST_METER reply" [(4, 6, Rep(9))];
    MeterConfigRequest "OFPST_METER_CONFIG request" [(4, 6, Req(10))];
    MeterConfigReply "OFPST_METER_CONFIG reply" [(4, 6, Rep(10))];
    MeterFeaturesRequest "OFPST_METER_FEATURES request" [(4, 6, Req(11))];
    MeterFeaturesReply "OFPST_METER_FEATURES reply" [(4, 6, Rep(11))];
    QueueStatsRequest "OFPST_QUEUE request" [(1, 6, Req(5))];
    QueueStatsReply "OFPST_QUEUE reply" [(1, 6, Rep(5))];
    QueueConfigRequest "OFPT_QUEUE_GET_CONFIG_REQUEST" [(1, 1, T(20)), (2, 4, T(22))];
    QueueConfigReply "OFPT_QUEUE_GET_CONFIG_REPLY" [(1, 1, T(21)), (2, 4, T(23))];
    QueueDescRequest "OFPST_QUEUE_DESC request" [(5, 6, Req(15))];
    QueueDescReply "OFPST_QUEUE_DESC reply" [(5, 6, Rep(15))];
    GroupStatsRequest "OFPST_GROUP request" [(2, 6, Req(6))];
    GroupStatsReply "OFPST_GROUP reply" [(2, 6, Rep(6))];
    NxGroupStatsRequest "NXST_GROUP request" [(1, 1, XReq(NX, 7))];
    NxGroupStatsReply "NXST_GROUP reply" [(1, 1, XRep(NX, 7))];
    GroupDescRequest "OFPST_GROUP_DESC request" [(2, 6, Req(7))];
    GroupDescReply "OFPST_GROUP_DESC reply" [(2, 6, Rep(7))];
    NxGroupDescRequest "NXST_GROUP_DESC request" [(1, 1, XReq(NX, 8))];
    NxGroupDescReply "NXST_GROUP_DESC reply" [(1, 1, XRep(NX, 8))];
    GroupFeaturesRequest "OFPST_GROUP_FEATURES request" [(3, 6, Req(8))];
    GroupFeaturesReply "OFPST_GROUP_FEATURES reply" [(3, 6, Rep(8))];
    NxGroupFeaturesRequest "NXST_GROUP_FEATURES request" [(1, 2, XReq(NX, 9))];
    NxGroupFeaturesReply "NXST_GROUP_FEATURES reply" [(1, 2, XRep(NX, 9))];
    TableMod "OFPT_TABLE_MOD" [(2, 6, T(17))];
    TableDescRequest "OFPST_TABLE_DESC request" [(5, 6, Req(14))];
    TableDescReply "OFPST_TABLE_DESC reply" [(5, 6, Rep(14))];
    TableStatus "OFPT_TABLE_STATUS" [(5, 6, T(31))];
    GetAsyncRequest "OFPT_GET_ASYNC_REQUEST" [(4, 6, T(26))];
    GetAsyncReply "OFPT_GET_ASYNC_REPLY" [(4, 6, T(27))];
    SetAsync "OFPT_SET_ASYNC" [(4, 6, T(28))];
    NxSetAsync "NXT_SET_ASYNC_CONFIG" [(1, 6, X(NX, 19))];
    NxSetAsync2 "NXT_SET_ASYNC_CONFIG2" [(1, 4, X(NX, 27))];
    RequestForward "OFPT_REQUESTFORWARD" [(5, 6, T(32))];
    OnfRequestForward "ONFT_REQUESTFORWARD" [(4, 4, X(ONF, 2350))];
    NxRequestForward "NXT_REQUESTFORWARD" [(1, 3, X(NX, 132))];
    FlowMonitorRequest "OFPST_FLOW_MONITOR request" [(5, 6, Req(16))];
    FlowMonitorReply "OFPST_FLOW_MONITOR reply" [(5, 6, Rep(16))];
    OnfFlowMonitorRequest "ONFST_FLOW_MONITOR request" [(4, 4, XReq(ONF, 1870))];
    OnfFlowMonitorReply "ONFST_FLOW_MONITOR reply" [(4, 4, XRep(ONF, 1870))];
    NxFlowMonitorRequest "NXST_FLOW_MONITOR request" [(1, 3, XReq(NX, 2))];
    NxFlowMonitorReply "NXST_FLOW_MONITOR reply" [(1, 3, XRep(NX, 2))];
    NxFlowMonitorCancel "NXT_FLOW_MONITOR_CANCEL" [(1, 3, X(NX, 21))];
    NxFlowMonitorPaused "NXT_FLOW_MONITOR_PAUSED" [(1, 3, X(NX, 22))];
    NxFlowMonitorResumed "NXT_FLOW_MONITOR_RESUMED" [(1, 3, X(NX, 23))];
    OnfFlowMonitorCancel "ONFT_FLOW_MONITOR_CANCEL" [(4, 4, X(ONF, 1870))];
    OnfFlowMonitorPaused "ONFT_FLOW_MONITOR_PAUSED" [(4, 4, X(ONF, 1871))];
    OnfFlowMonitorResumed "ONFT_FLOW_MONITOR_RESUMED" [(4, 4, X(ONF, 1872))];
    TlvTableMod "NXT_TLV_TABLE_MOD" [(1, 6, X(NX, 24))];
    TlvTableRequest "NXT_TLV_TABLE_REQUEST" [(1, 6, X(NX, 25))];
    TlvTableReply "NXT_TLV_TABLE_REPLY" [(1, 6, X(NX, 26))];
    CtFlushZone "NXT_CT_FLUSH_ZONE" [(1, 6, X(NX, 29))];
    CtFlush "NXT_CT_FLUSH" [(1, 6, X(NX, 32))];
    IpfixBridgeRequest "NXST_IPFIX_BRIDGE request" [(1, 6, XReq(NX, 3))];
    IpfixBridgeReply "NXST_IPFIX_BRIDGE reply" [(1, 6, XRep(NX, 3))];
    IpfixFlowRequest "NXST_IPFIX_FLOW request" [(1, 6, XReq(NX, 4))];
    IpfixFlowReply "NXST_IPFIX_FLOW reply" [(1, 6, XRep(NX, 4))];
}

impl Kind {
    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|r| r.kind == self)
    }

    /// All kinds.
    pub fn all() -> impl Iterator<Item = Kind> {
        ROWS.iter().map(|row| row.kind)
    }

    /// Its name as ovs-ofctl prints it.
    pub fn name(self) -> &'static str {
        self.row().map_or("", |r| r.name)
    }

    /// Its numbers in `version`, if the version has it.
    pub fn number(self, version: Version) -> Option<Number> {
        let v = version.wire();
        self.row()?.numbers.iter().find(|(from, to, _)| (*from..=*to).contains(&v)).map(|(.., n)| *n)
    }

    /// What a peer is told that does not carry out messages of this kind.
    pub fn unsupported(self, version: Version) -> ErrorCode {
        match self.number(version) {
            Some(X(..) | XReq(..) | XRep(..)) => OFPBRC_BAD_SUBTYPE,
            Some(Req(_) | Rep(_)) => OFPBRC_BAD_STAT,
            Some(T(_)) | None => OFPBRC_BAD_TYPE,
        }
    }

    /// The kind with these numbers.
    pub fn by_number(version: Version, number: Number) -> Option<Kind> {
        let v = version.wire();
        let is = |r: &&Row| r.numbers.iter().any(|(from, to, n)| *n == number && (*from..=*to).contains(&v));
        ROWS.iter().find(is).map(|r| r.kind)
    }
}

/// Reads what follows the header up to a message's own body: its kind, and whether a multipart goes on.
pub fn read(header: Header, version: Version, b: &mut Bytes) -> Result<(Kind, bool)> {
    let (request, reply) = multipart(version);
    let mut more = false;
    let (number, unknown) = match header.kind {
        EXPERIMENTER => {
            let vendor = b.u32()?;
            if vendor != NX && vendor != ONF {
                return refuse(OFPBRC_BAD_VENDOR);
            }
            (X(vendor, b.u32()?), OFPBRC_BAD_SUBTYPE)
        }
        t if t == request || t == reply => {
            let (kind, flags) = (b.u16()?, b.u16()?);
            more = flags & MORE != 0;
            if version > Version::Of10 {
                b.skip(4)?;
            }
            if kind == EXPERIMENTER_PART {
                let (vendor, subtype) = (b.u32()?, b.u32()?);
                if version == Version::Of10 {
                    b.skip(4)?;
                }
                if vendor != NX && vendor != ONF {
                    return refuse(OFPBRC_BAD_VENDOR);
                }
                let number = if t == request { XReq(vendor, subtype) } else { XRep(vendor, subtype) };
                (number, OFPBRC_BAD_SUBTYPE)
            } else {
                (if t == request { Req(kind) } else { Rep(kind) }, OFPBRC_BAD_STAT)
            }
        }
        t => (T(t), OFPBRC_BAD_TYPE),
    };
    match Kind::by_number(version, number) {
        Some(kind) => Ok((kind, more)),
        None => refuse(unknown),
    }
}

/// The flags of a multipart message; 0 of others.
pub fn flags(header: Header, version: Version, mut b: Bytes) -> u16 {
    let (request, reply) = multipart(version);
    if header.kind != request && header.kind != reply {
        return 0;
    }
    b.skip(2).and_then(|()| b.u16()).unwrap_or(0)
}

/// Writes what precedes a message's body, with a length of 0; none when the version does not have the message.
pub fn write(out: &mut Vec<u8>, kind: Kind, version: Version, xid: super::header::Xid, more: bool) -> Option<()> {
    let number = kind.number(version)?;
    let (request, reply) = multipart(version);
    let t = match number {
        T(t) => t,
        X(..) => EXPERIMENTER,
        Req(_) | XReq(..) => request,
        Rep(_) | XRep(..) => reply,
    };
    Header { version: version.wire(), kind: t, len: 0, xid }.write(out);
    let part = |out: &mut Vec<u8>, kind: u16| {
        out.u16(kind);
        out.u16(if more { MORE } else { 0 });
        out.zeros(if version > Version::Of10 { 4 } else { 0 });
    };
    match number {
        T(_) => {}
        X(vendor, subtype) => {
            out.u32(vendor);
            out.u32(subtype);
        }
        Req(n) | Rep(n) => part(out, n),
        XReq(vendor, subtype) | XRep(vendor, subtype) => {
            part(out, EXPERIMENTER_PART);
            out.u32(vendor);
            out.u32(subtype);
            out.zeros(if version == Version::Of10 { 4 } else { 0 });
        }
    }
    Some(())
}
