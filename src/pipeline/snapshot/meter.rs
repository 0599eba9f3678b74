//! Meters as they were set, and what packets pass through.

use base::clock::Instant;
use dpif::MeterRef;
use openflow::wire::meter::MeterConfig;

/// A meter. One that is changed has new buckets and counters; it is as old as it was.
#[derive(Clone, Debug)]
pub struct Metered {
    pub config: MeterConfig,
    pub created: Instant,
    pub meter: MeterRef,
}
