//! The switch as a library: configuration, threads, control socket, metrics and the command line, over the crates below it.
//!
//! [`config`] reads the appliance's file. [`control`] is the unixctl socket. [`http`] serves `/metrics`. [`run`] makes
//! threads, ports and bridges of a configuration and keeps them. [`view`] is what one look at it shows, [`cli`] is
//! what a shell sees, [`vswitchd`] what starts the stock daemon.

pub mod cli;
pub mod config;
pub mod control;
pub mod http;
pub mod run;
pub mod view;
pub mod vswitchd;
