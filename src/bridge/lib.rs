//! The switch as database `Open_vSwitch` has it: rows to what is desired, its difference from what is as a plan, and what is
//! told back in rows. Values in, values out: no sockets, no devices.
//!
//! | module | what for |
//! |---|---|
//! | [`schema`] | the schema of database `Open_vSwitch` |
//! | [`rows`] | rows as values with fields |
//! | [`desired`] | what rows ask for: bridges, ports, numbers, settings |
//! | [`control`] | what they ask for of OpenFlow's connections |
//! | [`plan`] | steps from what is to what is desired |
//! | [`status`] | what the switch says of itself |
//! | [`unsupported`] | what is set and not done yet |
#![forbid(unsafe_code)]

pub mod control;
pub mod desired;
pub mod plan;
pub mod rows;
pub mod schema;
pub mod status;
#[cfg(test)]
mod tests;
pub mod unsupported;

pub use control::{Controller, Tls};
pub use desired::{Bridge, Desired, Port, Reading, Vlan};
pub use plan::{Step, plan};
