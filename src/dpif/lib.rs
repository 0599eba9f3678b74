//! What pipeline and datapath say to each other: ports, actions, translations, changes, drop reasons. Level 3.
//!
//! Bottom up: [`port`] names things; [`drop`] lists why packets are dropped; [`action`] is what the datapath can do to a
//! packet; [`meter`] is what limits rates; [`change`] says what a translation depended on and what a new version changed; [`translate`] is the call
//! between the two sides; [`text`] writes actions as people know them.
#![forbid(unsafe_code)]

pub mod action;
pub mod change;
pub mod drop;
pub mod meter;
pub mod port;
pub mod text;
pub mod translate;

pub use action::{Action, Set};
pub use change::{Change, Deps, TableDep, Thing};
pub use drop::DropReason;
pub use meter::{Meter, MeterRef};
pub use port::{PortNo, RecircId, RuleId, TableKey};
pub use translate::{Effect, FlowStats, Input, Reader, Translate, Translation};
