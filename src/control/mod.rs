//! The control socket: OVS's unixctl protocol, so that `ovs-appctl -t` drives the switch.
//!
//! A client sends JSON-RPC requests back to back on a stream socket: `{"method": NAME, "params": [STRING…], "id": ID}`,
//! and gets `{"result": TEXT, "error": null, "id": ID}` or `{"result": null, "error": TEXT, "id": ID}` for each
//! (ovs-appctl(8)). [`frame`] cuts the stream into requests and bounds their size; [`server`] accepts and answers, one
//! task for each connection; what commands do is the owner loop's business. [`client`] is the other side.

pub mod client;
mod frame;
pub mod server;

pub use frame::Request;
pub use server::{Call, Server};
