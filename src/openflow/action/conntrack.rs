//! Connection tracking: `ct`, `nat`, `ct_clear`.

use super::Action;
use crate::subfield::Subfield;
use crate::types::TableId;
use std::net::IpAddr;

/// Which zone: a number or a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtZone {
    Number(u16),
    Field(Subfield),
}

/// Sends the packet through the connection tracker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ct {
    pub commit: bool,
    /// With `commit`: a connection whose original direction is the other way is replaced.
    pub force: bool,
    pub zone: CtZone,
    /// Where the tracked copy goes on; `None`: nowhere, the packet itself goes on untracked.
    pub table: Option<TableId>,
    /// The application helper by its control port: 21 is ftp, 69 is tftp, 0 is none.
    pub alg: u16,
    pub nat: Option<Nat>,
    /// What `exec(...)` has: sets of ct_mark and ct_label.
    pub exec: Vec<Action>,
}

/// Which address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// Only what an existing connection says.
    Existing,
    Source,
    Destination,
}

/// Network address translation inside [`Ct`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    pub kind: NatKind,
    pub range: NatRange,
    pub persistent: bool,
    /// The port is a hash of the addresses.
    pub hash: bool,
    /// The port is random.
    pub random: bool,
}

/// Addresses and ports to choose from, both ends included. Either may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NatRange {
    pub addrs: Option<(IpAddr, IpAddr)>,
    pub ports: Option<(u16, u16)>,
}
