//! The Open vSwitch Database of RFC 7047 with the extensions of ovsdb-server(7): data, transactions, file, server, client. It knows
//! nothing of switches.
//!
//! | module | what for |
//! |---|---|
//! | [`json`] | values, a strict reader with bounded depth, a writer in the order that ovsdb-client prints |
//! | [`error`] | the error objects of the protocol, and how they read on a terminal |
//! | [`uuid`] | row names and where new ones come from |
//! | [`data`] | atoms, sets and maps, column types, schemas |
//! | [`table`] | a database in memory: rows, indexes, counts of strong references, who refers weakly to whom |
//! | [`txn`] | operations, conditions, mutations, and the checks of a commit |
//! | [`file`] | the standalone format of ovsdb(5): records with checksums, lock, compaction |
//! | [`server`] | sessions, monitors, locks, several databases: bytes in, bytes out |
//! | [`client`] | a replica of a database: rows as a server has them, what changed, transactions with conflicts |
//!
//! Nothing here reads a clock, and nothing but [`file`] touches the outside.
#![forbid(unsafe_code)]

pub mod client;
pub mod data;
pub mod error;
pub mod file;
pub mod json;
pub mod server;
pub mod table;
pub mod txn;
pub mod uuid;

pub use error::Error;
pub use json::Json;
pub use uuid::Uuid;
