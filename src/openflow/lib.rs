//! OpenFlow values and their text: actions, instructions, matches, flow-mods, groups. Level 3.
//!
//! Bottom up: [`types`] are the numbers (ports, tables, cookies, groups); [`subfield`] is a run of bits of a field;
//! [`action`] has every action and instruction, one file per family, each with its text; [`flow_mod`] and [`group_mod`]
//! are requests; [`view`] puts actions in the words of a version of the protocol; [`text`] reads and prints all of it as
//! `ovs-ofctl` does (ovs-ofctl(8), ovs-actions(7)); [`wire`] has the bytes of every version. Values do not depend on a
//! version, and nothing here knows a switch.
#![forbid(unsafe_code)]

pub mod action;
pub mod flow_mod;
pub mod group_mod;
pub mod subfield;
pub mod text;
pub mod types;
pub mod view;
pub mod wire;

pub use ::flow::Match;
pub use action::Action;
pub use flow::fields::tlv::TlvTable;
pub use flow::layout::VLAN_TCI;
pub use flow_mod::FlowMod;
pub use group_mod::GroupMod;
pub use subfield::{FieldId, Subfield};
pub use types::{Cookie, GroupId, MeterId, OfPort, TableId};
