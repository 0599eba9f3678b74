//! Port numbers of the datapath.

/// A datapath port; one number space for all bridges. The pipeline maps it to a bridge and an OpenFlow port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u32);

impl std::fmt::Display for PortNo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Recirculation id: which frozen translation a packet goes on with. 0 is a packet as received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecircId(pub u32);

/// An instance of a flow table: the bridge's index and the OpenFlow table number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey {
    pub bridge: u32,
    pub table: u8,
}

/// Names a rule for as long as the process lives; never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u64);
