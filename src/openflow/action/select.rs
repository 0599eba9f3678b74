//! Choosing by hash: `multipath`, `bundle`, `bundle_load`.

use crate::subfield::Subfield;
use crate::types::OfPort;

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashFields {
    EthSrc,
    SymmetricL4,
    SymmetricL3L4,
    SymmetricL3L4Udp,
    NwSrc,
    NwDst,
    SymmetricL3,
}

/// How a link is made of the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MultipathAlgorithm {
    ModuloN,
    HashThreshold,
    Hrw,
    IterHash,
}

/// Stores a link number in a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Multipath {
    pub fields: HashFields,
    /// Seeds the hash.
    pub basis: u16,
    pub algorithm: MultipathAlgorithm,
    pub n_links: u32,
    /// For [`MultipathAlgorithm::IterHash`].
    pub arg: u32,
    pub dst: Subfield,
}

/// How a member is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BundleAlgorithm {
    ActiveBackup,
    /// Highest random weight.
    Hrw,
}

/// Sends to one of several ports, or stores its number in a field (`bundle_load`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundle {
    pub fields: HashFields,
    pub basis: u16,
    pub algorithm: BundleAlgorithm,
    pub members: Vec<OfPort>,
    pub dst: Option<Subfield>,
}
