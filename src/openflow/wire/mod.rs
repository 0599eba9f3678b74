//! The wire: bytes of OpenFlow 1.0 to 1.5 to values and back, with the extensions of Nicira and ONF.
//!
//! Bottom up: [`bytes`] is a cursor that cannot run past its end; [`codes`] and [`error`] are what a peer is told;
//! [`version`] and [`header`] begin every message; [`oxm`], [`match10`], [`match11`] are matches, [`action`] and
//! [`instruction`] what flows do; [`kind`] has a row for each message, and the families ([`flow`], [`group`],
//! [`group_stats`], [`meter`], [`packet`], [`port`], [`queue`], [`switch`], [`asynchronous`], [`stats`], [`table`],
//! [`table_features`], [`table_mod`], [`monitor`], [`tlv`], [`conntrack`], [`ipfix`]) their bodies; [`message`] reads the whole, [`encode`] writes it.
//!
//! Decoding is total: any bytes give a value, or an error with the code that the peer is to be told.

pub mod action;
pub mod asynchronous;
pub mod bytes;
mod check;
pub mod codes;
pub mod conntrack;
pub mod encode;
pub mod error;
pub mod flow;
pub mod group;
pub mod group_stats;
pub mod header;
pub mod instruction;
pub mod ipfix;
pub mod kind;
pub mod match10;
pub mod match11;
pub mod message;
pub mod meter;
pub mod monitor;
pub mod oxm;
mod oxs;
pub mod packet;
pub mod port;
pub mod port_stats;
pub mod queue;
pub mod stats;
pub mod switch;
pub mod table;
pub mod table_features;
pub mod table_mod;
pub mod text;
pub mod tlv;
pub mod version;

pub use codes::{ErrorCode, Numbers};
pub use encode::{encode, encode_all};
pub use error::Error;
pub use header::{Frames, Header, Xid};
pub use kind::Kind;
pub use message::{Connection, Message, decode, error_reply};
pub use version::{Version, Versions};
