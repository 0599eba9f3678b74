//! Tables, rules, groups, translation, NORMAL, learning, tracing. Level 4.
//!
//! Bottom up: [`snapshot`] is the immutable value that all threads read: bridges, their ports, tables, groups and MAC
//! tables, and a log of what changed. [`normal`] is the learning switch over it. [`translate`] turns a packet into
//! datapath actions, a mask, dependencies and effects, and touches nothing else. [`recirc`] keeps what a packet needs to
//! go on after a recirculation. [`manager`] is the only writer: it edits a working copy, publishes it, and applies what
//! packets taught. [`watch`] says what who watches flows is told. [`reader`] is a worker's handle, behind `dpif`'s traits.
#![forbid(unsafe_code)]

mod explain;
pub mod manager;
pub mod normal;
pub mod reader;
pub mod recirc;
pub mod snapshot;
pub mod trace;
pub mod translate;
pub mod watch;

pub use manager::{
    Begun, BridgeConfig, BundleItem, Choice, Config, Draft, Error, FlowFilter, Hidden, Manager, permitted,
};
pub use normal::vlan::{PriorityTags, Trunks, VlanConfig, VlanMode};
pub use snapshot::group::Group;
pub use snapshot::meter::Metered;
pub use snapshot::mirror::{Mirror, MirrorTo, Selected};
pub use snapshot::port::{PatchPeer, Port, PortConfig, PortFlags, PortKind};
pub use snapshot::setup::{Miss, Setup, TableChange, TableConfig, TableEvent};
pub use snapshot::table::Rule;
pub use snapshot::{Bridge, Settings, Snapshot};
