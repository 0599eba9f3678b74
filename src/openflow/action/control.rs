//! What steers translation: `resubmit`, `clone`, `note`, `exit`, `sample`, `conjunction`, `fin_timeout`.

use crate::types::{OfPort, TableId};

/// Looks the packet up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resubmit {
    /// The in_port for that lookup; [`OfPort::IN_PORT`] keeps the present one.
    pub in_port: OfPort,
    /// `None`: the table that this is in.
    pub table: Option<TableId>,
    /// Swaps in the original direction's tuple of the connection for the lookup.
    pub with_ct: bool,
}

/// Which way a sampled packet goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SampleDirection {
    #[default]
    Default,
    Ingress,
    Egress,
}

/// Samples packets to an IPFIX collector set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Of 65536; at least 1.
    pub probability: u16,
    pub collector_set: u32,
    pub obs_domain: u32,
    pub obs_point: u32,
    pub sampling_port: Option<OfPort>,
    pub direction: SampleDirection,
}
