//! What can be wrong with a request, sorted so that it maps to OpenFlow errors and to text.

use openflow::{GroupId, MeterId, OfPort, TableId};

/// Why an edit was refused. Nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no bridge named {0}")]
    NoSuchBridge(String),
    #[error("a bridge named {0} exists")]
    BridgeExists(String),
    #[error("no port {0} in bridge {1}")]
    NoSuchPort(String, String),
    #[error("a port named {0} exists")]
    PortExists(String),
    #[error("port number {0} is in use or reserved")]
    BadPortNumber(OfPort),
    #[error("datapath port {0} is in use")]
    DatapathPortInUse(dpif::PortNo),
    #[error("table {0} does not exist")]
    BadTable(TableId),
    #[error("{0} is the switch's own")]
    Internal(&'static str),
    #[error("table {0} does not exist, or is the switch's own")]
    NoSuchTable(TableId),
    #[error("the database has another name for table {0}")]
    TableNamed(TableId),
    #[error("table {0} is full")]
    TableFull(TableId),
    #[error("goto_table:{1} in table {0} does not go forward")]
    GotoBackward(TableId, TableId),
    #[error("another flow of the same priority overlaps")]
    Overlap,
    #[error("action {0} is not supported")]
    UnsupportedAction(&'static str),
    #[error("action {0} is not allowed in an action set")]
    BadSetAction(&'static str),
    #[error("an action sends to group {0}, which does not exist")]
    BadOutGroup(GroupId),
    #[error("actions nest too deep")]
    TooDeep,
    #[error("too many packets wait in the middle of their actions")]
    States,
    #[error("group {0} exists")]
    GroupExists(GroupId),
    #[error("no group {0}")]
    NoSuchGroup(GroupId),
    #[error("group number {0} is reserved")]
    BadGroup(GroupId),
    #[error("an indirect group has exactly one bucket")]
    IndirectBuckets,
    #[error("group {0} would contain itself")]
    GroupLoop(GroupId),
    #[error("bucket {0} does not exist")]
    BadBucket(u32),
    #[error("bucket {0} exists")]
    BucketExists(u32),
    #[error("there is no meter {0}, or its number is reserved")]
    BadMeter(MeterId),
    #[error("meter {0} exists")]
    MeterExists(MeterId),
    #[error("no meter {0}")]
    NoSuchMeter(MeterId),
    #[error("there are {0} meters already")]
    ManyMeters(u32),
    #[error("flows or groups of bridge {0} were changed by others meanwhile")]
    Changed(String),
}

/// Whose fault it is, as OpenFlow sorts errors (type of OFPT_ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    BadRequest,
    BadAction,
    FlowModFailed,
    GroupModFailed,
    MeterModFailed,
    PortModFailed,
    TableModFailed,
}

impl Error {
    /// The type of OpenFlow error that it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NoSuchBridge(_)
            | Error::BridgeExists(_)
            | Error::Changed(_)
            | Error::States
            | Error::Internal(_) => Kind::BadRequest,
            Error::NoSuchPort(..) | Error::PortExists(_) | Error::BadPortNumber(_) | Error::DatapathPortInUse(_) => {
                Kind::PortModFailed
            }
            Error::BadTable(_) | Error::GotoBackward(..) | Error::Overlap | Error::TableFull(_) => Kind::FlowModFailed,
            Error::NoSuchTable(_) | Error::TableNamed(_) => Kind::TableModFailed,
            Error::UnsupportedAction(_) | Error::BadSetAction(_) | Error::BadOutGroup(_) | Error::TooDeep => {
                Kind::BadAction
            }
            Error::GroupExists(_)
            | Error::NoSuchGroup(_)
            | Error::BadGroup(_)
            | Error::IndirectBuckets
            | Error::GroupLoop(_)
            | Error::BadBucket(_)
            | Error::BucketExists(_) => Kind::GroupModFailed,
            Error::BadMeter(_) | Error::MeterExists(_) | Error::NoSuchMeter(_) | Error::ManyMeters(_) => {
                Kind::MeterModFailed
            }
        }
    }
}
