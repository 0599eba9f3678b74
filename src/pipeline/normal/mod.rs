//! The learning switch that `output:NORMAL` is.
//!
//! [`vlan`] decides which VLAN a packet is in and how it leaves; [`fdb`] is the table of learned addresses. Which ports
//! a packet goes to is part of translation ([`crate::translate`]), since it un-wildcards what it looks at.

pub mod fdb;
pub mod vlan;
