//! Raw bindings to DPDK, generated at build time; only crate `dpdk` uses them.
//!
//! Names beginning with `rte_` are DPDK's own. Names beginning with `ib_` or `IB_` are shims of `wrapper.h`: constants
//! that are macros in DPDK, per-thread variables, offsets of `struct rte_mbuf` (whose anonymous unions change between
//! releases, so nothing here names their paths) and calls whose structures moved between 22.11 and 24.11.
#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    unreachable_pub,
    reason = "generated"
)]
#![allow(clippy::all, clippy::undocumented_unsafe_blocks, reason = "generated")]
include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
