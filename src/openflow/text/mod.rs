//! Text of flows, actions and groups as ovs-ofctl(8) reads and prints it.
//!
//! [`error`] is what a refusal looks like; [`names`] maps port and table names; [`number`], [`scan`], [`field`] and
//! [`value`] are the pieces; the actions' own text is with them in [`crate::action`]; [`message`] tells of whole messages.

pub mod conntrack;
pub mod error;
pub mod field;
pub mod file;
pub mod flow;
pub mod formats;
pub mod group;
pub mod message;
pub mod names;
pub mod number;
pub mod others;
pub mod oxm;
mod raw;
pub mod scan;
pub mod value;

pub use error::ParseError;
pub use file::{Change, LineError, parse_bundle, parse_flows, parse_groups};
pub use flow::{FlowStats, ParsedFlow, flow_mod_text, flow_text, parse_flow};
pub use formats::Formats;
pub use group::{group_text, parse_group};
pub use names::{NoNames, PortNames, parse_port, parse_table, table_text};
pub use others::{parse_meter, parse_packet_out, parse_tlv_maps};
