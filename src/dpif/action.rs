//! Datapath actions: what translation tells the datapath to do with a packet, in the vocabulary of OVS datapath flows.

use crate::drop::DropReason;
use crate::meter::MeterRef;
use crate::port::{PortNo, RecircId};

/// One step; a translation's steps run in order. A list without any output, recirculation or drop drops the packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sends a copy (the packet itself when it is the last step) to the port.
    Output(PortNo),
    /// Pushes a tag; `tci` has the present bit (0x1000) set, as in the flow.
    PushVlan {
        tpid: u16,
        tci: u16,
    },
    PopVlan,
    /// Pushes a label stack entry before the L3 header; `ethertype` is 0x8847 or 0x8848.
    PushMpls {
        lse: u32,
        ethertype: u16,
    },
    /// Pops a label stack entry; what is below becomes `ethertype`.
    PopMpls {
        ethertype: u16,
    },
    /// Rewrites header bits.
    Set(Set),
    /// Computes `dp_hash` of the packet (5-tuple, symmetric or not) with a basis.
    Hash {
        algorithm: HashAlgorithm,
        basis: u32,
    },
    /// Looks the packet up again as it is now, with this recirculation id. Nothing follows it but when it is in a Clone.
    Recirc(RecircId),
    /// Connection tracking. The tracker is not there yet: the packet gets ct_state invalid|tracked.
    Ct(Ct),
    CtClear,
    /// Runs the steps on a copy; what they change does not show outside.
    Clone(Vec<Action>),
    /// Runs one list or the other by whether the packet has more than so many bytes.
    CheckLen {
        size: u16,
        more: Vec<Action>,
        other: Vec<Action>,
    },
    /// Cuts later outputs of this packet to so many bytes (the next output only, as OVS).
    Trunc(u32),
    /// Drops the packet, or what a Clone made of it, when it is above a rate.
    Meter(MeterRef),
    /// Sends a copy to management, with what it is for.
    Userspace(Userspace),
    /// Drops the packet for this reason; always last.
    Drop(DropReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// Over the L3/L4 five-tuple.
    L4,
    /// The same for both directions.
    SymmetricL4,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ct {
    pub commit: bool,
    pub force: bool,
    pub zone: u16,
    /// (value, mask)
    pub mark: Option<(u32, u32)>,
    /// (value, mask)
    pub label: Option<(u128, u128)>,
}

/// What a packet copied to management is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Userspace {
    /// A protocol frame consumed by the switch itself.
    Protocol,
    /// A packet-in for a controller.
    Controller(PacketIn),
}

/// What is known of a packet-in from the megaflow; the rest is found by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PacketIn {
    /// Of the arguments that go with it, in the numbers of recirculations.
    pub id: u32,
    /// As OpenFlow has it.
    pub reason: u8,
    /// The packet waits for the controller to have it go on.
    pub continuation: bool,
    /// Of the flow that sends it.
    pub cookie: u64,
    pub controller: u16,
    pub max_len: u16,
}

/// A masked rewrite of one header; only bits under the mask change. Checksums follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Set {
    Eth {
        src: [u8; 6],
        src_mask: [u8; 6],
        dst: [u8; 6],
        dst_mask: [u8; 6],
    },
    /// Outer VLAN tag; the present bit is not part of it.
    Vlan {
        tci: u16,
        mask: u16,
    },
    /// Outermost label stack entry.
    Mpls {
        lse: u32,
        mask: u32,
    },
    Ipv4 {
        src: u32,
        src_mask: u32,
        dst: u32,
        dst_mask: u32,
        tos: u8,
        tos_mask: u8,
        ttl: u8,
        ttl_mask: u8,
    },
    Ipv6 {
        src: u128,
        src_mask: u128,
        dst: u128,
        dst_mask: u128,
        label: u32,
        label_mask: u32,
        tclass: u8,
        tclass_mask: u8,
        hlimit: u8,
        hlimit_mask: u8,
    },
    Tcp(Ports),
    Udp(Ports),
    Sctp(Ports),
    /// ICMP or ICMPv6 type and code.
    Icmp {
        kind: u8,
        kind_mask: u8,
        code: u8,
        code_mask: u8,
    },
    Arp {
        op: u16,
        op_mask: u16,
        spa: u32,
        spa_mask: u32,
        tpa: u32,
        tpa_mask: u32,
        sha: [u8; 6],
        sha_mask: [u8; 6],
        tha: [u8; 6],
        tha_mask: [u8; 6],
    },
    Nd {
        target: u128,
        target_mask: u128,
        sll: [u8; 6],
        sll_mask: [u8; 6],
        tll: [u8; 6],
        tll_mask: [u8; 6],
    },
    /// NSH base and service path headers, context headers of MD type 1.
    Nsh {
        flags: u8,
        flags_mask: u8,
        ttl: u8,
        ttl_mask: u8,
        path: u32,
        path_mask: u32,
        context: [u32; 4],
        context_mask: [u32; 4],
    },
    /// Metadata of the packet, not bytes of it.
    PktMark {
        value: u32,
        mask: u32,
    },
    SkbPriority {
        value: u32,
        mask: u32,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ports {
    pub src: u16,
    pub src_mask: u16,
    pub dst: u16,
    pub dst_mask: u16,
}
