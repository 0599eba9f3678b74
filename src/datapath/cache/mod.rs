//! The flow caches of a worker: signature cache, tuple spaces per in_port, and the slab where megaflows live.

pub(crate) mod flows;
pub(crate) mod hash;
pub(crate) mod index;
pub(crate) mod port;
pub(crate) mod shape;
pub(crate) mod signature;
pub(crate) mod slab;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_worker;
pub(crate) mod tuple;

/// No megaflow.
pub(crate) const NONE: u32 = u32::MAX;
