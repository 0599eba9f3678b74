//! From a packet to datapath actions: a function over a snapshot that changes nothing.
//!
//! [`state`] is what changes on the way: the flow as tables see it and as the packet is at this point of the output, and
//! which of its bits were written. [`walk`] looks up tables and runs action lists; the families are [`set`], [`vlan`],
//! [`mpls`], [`output`], [`group`], [`normal`], [`learn`], [`select`], [`ct`], [`controller`], [`action_set`]. [`commit`] turns the difference
//! between the two flows into datapath actions when something is sent. [`freeze`] stops a translation where only the
//! datapath can say how it goes on, and [`Walk::run`] takes it up again.
//!
//! # Masks
//! A bit of the packet's key becomes exact when translation reads or writes it and has not written it before: as in OVS,
//! and a rewrite of what the packet has already is left out. A rewritten IP or ARP header makes its protocol exact too.

mod action_set;
mod commit;
mod controller;
mod ct;
mod freeze;
mod group;
mod learn;
mod mirror;
mod mpls;
mod normal;
mod output;
mod select;
mod set;
pub(crate) mod state;
mod vlan;
mod walk;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use dpif::RecircId;
use flow::Flow;

pub(crate) use state::State;
pub(crate) use walk::{Start, Walk, run, run_from};

/// Where a translation's story goes: a tree of lines. [`Silent`] costs nothing.
pub trait Sink {
    /// Adds a line.
    fn tell(&mut self, kind: Kind, line: impl FnOnce() -> String);
    /// What follows is part of the last line.
    fn down(&mut self);
    /// Ports are told by their names.
    #[inline]
    fn names(&self) -> bool {
        false
    }
    /// What the packet would do to tables is not done.
    #[inline]
    fn is_idle(&self) -> bool {
        false
    }
    /// Why a table answered as it did.
    #[inline]
    fn why(&mut self, _lines: impl FnOnce() -> Vec<String>) {}
    /// Undoes `down`, `levels` times.
    fn up(&mut self, levels: usize);
    /// The packet goes round and comes back with that key.
    fn recirculated(&mut self, id: RecircId, key: impl FnOnce() -> Flow);
}

/// What a line of the story is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bridge,
    Table,
    Action,
    Bucket,
    /// Why a table's rules did not match.
    Why,
    /// What came of it.
    Detail,
    /// What did not work.
    Warning,
    /// What ended the translation.
    Error,
}

/// Tells no one.
pub struct Silent;

impl Sink for Silent {
    #[inline]
    fn tell(&mut self, _: Kind, _: impl FnOnce() -> String) {}
    #[inline]
    fn down(&mut self) {}
    #[inline]
    fn up(&mut self, _: usize) {}
    #[inline]
    fn recirculated(&mut self, _: RecircId, _: impl FnOnce() -> Flow) {}
}

/// Levels that resubmits to the same or an earlier table may nest (ovs-actions(7), resubmit).
pub const MAX_DEPTH: u32 = 64;
/// Lookups that one packet may take (ovs-actions(7), resubmit).
pub const MAX_LOOKUPS: u32 = 4096;
/// Levels that anything may nest, resubmits to later tables, groups, clones and patches included: what a worker's
/// stack has room for.
pub const MAX_NEST: u32 = 512;
/// Bytes that the stack of `push` and `pop` may hold (ovs-actions(7), push).
pub const MAX_STACK: usize = 65536;
/// Datapath actions that one packet may take; more is a mistake in the tables, or an attack by who writes them.
pub const MAX_STEPS: usize = 32768;
