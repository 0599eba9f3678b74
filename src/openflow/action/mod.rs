//! Actions and instructions, one file per family.
//!
//! An action list is in OpenFlow 1.1+ order: actions to apply, then instructions (`clear_actions`, `write_actions`,
//! `write_metadata`, `goto_table`), which are variants here too, as in the text. `drop` is the empty list.

pub mod check;
pub mod conntrack;
pub mod control;
pub mod encap;
mod header;
mod instruction;
pub mod learn;
pub mod output;
mod read;
pub mod select;
pub mod set;
mod vlan;

pub use check::{CheckError, check};
pub use conntrack::{Ct, CtZone, Nat, NatKind, NatRange};
pub use control::{Resubmit, Sample, SampleDirection};
pub use encap::{Decap, Encap, EncapProperty};
pub use learn::{Learn, LearnLimit, LearnSource, LearnSpec, LearnTarget};
pub use output::{Controller, PacketInReason};
pub(crate) use read::parse_bucket_actions;
pub use read::{Printer, Reader, actions_text, actions_text_in, actions_text_raw, parse_actions};
pub use select::{Bundle, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};
pub use set::{SetField, SetStyle};

use crate::subfield::Subfield;
use crate::types::{GroupId, MeterId, OfPort, TableId};

/// One action or instruction, independent of the version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To a port; `max_len` is how many bytes go to [`OfPort::CONTROLLER`], and means nothing for other ports.
    Output {
        port: OfPort,
        max_len: u16,
    },
    /// To the port whose number is in a field.
    OutputReg {
        src: Subfield,
        max_len: u16,
    },
    /// To a port, cut to at most `max_len` bytes (14 or more).
    OutputTrunc {
        port: OfPort,
        max_len: u32,
    },
    /// To a queue of a port.
    Enqueue {
        port: OfPort,
        queue: u32,
    },
    Controller(Box<Controller>),
    Group(GroupId),
    /// A member port of several.
    Bundle(Box<Bundle>),

    /// `set_field`, `load` and the `mod_*` other than VLAN's.
    SetField(SetField),
    Move {
        src: Subfield,
        dst: Subfield,
    },
    StackPush(Subfield),
    StackPop(Subfield),
    /// A tunnel key; `wide` says that it was given as 64 bits (`set_tunnel64`).
    SetTunnel {
        id: u64,
        wide: bool,
    },
    SetQueue(u32),
    PopQueue,
    /// Removes a tunnel option.
    DeleteField(crate::FieldId),

    /// `vid` 0 to 4095. `push` puts a tag on a packet that has none (`mod_vlan_vid`); without it (`set_vlan_vid`) such a
    /// packet stays as it is.
    SetVlanVid {
        vid: u16,
        push: bool,
    },
    /// `pcp` 0 to 7; `push` as in [`Action::SetVlanVid`].
    SetVlanPcp {
        pcp: u8,
        push: bool,
    },
    /// Removes the outer tag, if there is one.
    StripVlan,
    /// Pushes a tag with this ethertype, 0x8100 or 0x88a8; VID 0 and PCP 0 unless a tag was there to copy.
    PushVlan(u16),

    PushMpls(u16),
    /// Pops an entry; the ethertype is what is below the last one.
    PopMpls(u16),
    SetMplsLabel(u32),
    SetMplsTc(u8),
    SetMplsTtl(u8),
    DecMplsTtl,
    /// Decrements IP's TTL; with TTL 0 or 1, sends the packet to the controllers with these ids and stops. No ids is the
    /// plain `dec_ttl`, which means id 0.
    DecTtl(Vec<u16>),
    DecNshTtl,
    Encap(Box<Encap>),
    Decap(Decap),

    Resubmit(Resubmit),
    Clone(Vec<Action>),
    Note(Vec<u8>),
    /// Ends the pipeline for this packet.
    Exit,
    Learn(Box<Learn>),
    Conjunction {
        id: u32,
        clause: u8,
        n_clauses: u8,
    },
    Multipath(Box<Multipath>),
    Sample(Box<Sample>),
    /// New timeouts in seconds once a TCP FIN or RST is seen; 0 leaves one as it is.
    FinTimeout {
        idle: u16,
        hard: u16,
    },
    /// Sets a bit to 1 when the packet is longer than `len` bytes, else to 0.
    CheckPktLarger {
        len: u16,
        dst: Subfield,
    },
    Ct(Box<Ct>),
    CtClear,
    /// Test aids: force a recirculation, force the slow path.
    DebugRecirc,
    DebugSlow,

    Meter(MeterId),
    ClearActions,
    WriteActions(Vec<Action>),
    WriteMetadata {
        value: u64,
        mask: u64,
    },
    GotoTable(TableId),
}

impl Action {
    /// What it is called in text.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Output { port: OfPort::CONTROLLER, .. } | Action::Controller(_) => "controller",
            Action::Output { .. } | Action::OutputReg { .. } | Action::OutputTrunc { .. } => "output",
            Action::Enqueue { .. } => "enqueue",
            Action::Group(_) => "group",
            Action::Bundle(b) if b.dst.is_some() => "bundle_load",
            Action::Bundle(_) => "bundle",
            Action::SetField(s) if s.style == SetStyle::Load => "load",
            Action::SetField(_) => "set_field",
            Action::Move { .. } => "move",
            Action::StackPush(_) => "push",
            Action::StackPop(_) => "pop",
            Action::SetTunnel { .. } => "set_tunnel",
            Action::SetQueue(_) => "set_queue",
            Action::PopQueue => "pop_queue",
            Action::DeleteField(_) => "delete_field",
            Action::SetVlanVid { .. } => "set_vlan_vid",
            Action::SetVlanPcp { .. } => "set_vlan_pcp",
            Action::StripVlan => "strip_vlan",
            Action::PushVlan(_) => "push_vlan",
            Action::PushMpls(_) => "push_mpls",
            Action::PopMpls(_) => "pop_mpls",
            Action::SetMplsLabel(_) => "set_mpls_label",
            Action::SetMplsTc(_) => "set_mpls_tc",
            Action::SetMplsTtl(_) => "set_mpls_ttl",
            Action::DecMplsTtl => "dec_mpls_ttl",
            Action::DecTtl(_) => "dec_ttl",
            Action::DecNshTtl => "dec_nsh_ttl",
            Action::Encap(_) => "encap",
            Action::Decap(_) => "decap",
            Action::Resubmit(_) => "resubmit",
            Action::Clone(_) => "clone",
            Action::Note(_) => "note",
            Action::Exit => "exit",
            Action::Learn(_) => "learn",
            Action::Conjunction { .. } => "conjunction",
            Action::Multipath(_) => "multipath",
            Action::Sample(_) => "sample",
            Action::FinTimeout { .. } => "fin_timeout",
            Action::CheckPktLarger { .. } => "check_pkt_larger",
            Action::Ct(_) => "ct",
            Action::CtClear => "ct_clear",
            Action::DebugRecirc => "debug_recirc",
            Action::DebugSlow => "debug_slow",
            Action::Meter(_) => "meter",
            Action::ClearActions => "clear_actions",
            Action::WriteActions(_) => "write_actions",
            Action::WriteMetadata { .. } => "write_metadata",
            Action::GotoTable(_) => "goto_table",
        }
    }
}
