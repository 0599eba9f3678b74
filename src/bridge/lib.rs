//! The switch as database `Open_vSwitch` has it: its schema.
//!
//! | module | what for |
//! |---|---|
//! | [`schema`] | the schema of database `Open_vSwitch` |
#![forbid(unsafe_code)]

pub mod schema;
