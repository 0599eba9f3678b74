//! The numbers of OpenFlow, each a type of its own, and the reserved ones among them.

use std::fmt;

/// An OpenFlow port number, 32 bits as since OpenFlow 1.1. Reserved ports are those of 1.1 and later; the 16-bit ones
/// of OpenFlow 1.0 (0xff00 to 0xffff) are converted where they come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfPort(pub u32);

impl OfPort {
    /// Highest number that a physical or logical port can have. In OVS port numbers stay below the 16-bit reserved ones.
    pub const MAX: OfPort = OfPort(0xffff_ff00);
    /// The action set's output has not been set.
    pub const UNSET: OfPort = OfPort(0xffff_fff7);
    pub const IN_PORT: OfPort = OfPort(0xffff_fff8);
    /// In a packet-out: submit to the flow tables.
    pub const TABLE: OfPort = OfPort(0xffff_fff9);
    pub const NORMAL: OfPort = OfPort(0xffff_fffa);
    pub const FLOOD: OfPort = OfPort(0xffff_fffb);
    pub const ALL: OfPort = OfPort(0xffff_fffc);
    pub const CONTROLLER: OfPort = OfPort(0xffff_fffd);
    pub const LOCAL: OfPort = OfPort(0xffff_fffe);
    /// Any port in a filter; no port elsewhere.
    pub const NONE: OfPort = OfPort(0xffff_ffff);

    /// Reserved ports and their names in text (ovs-ofctl(8), "Port names").
    pub const RESERVED: [(OfPort, &'static str); 9] = [
        (OfPort::UNSET, "UNSET"),
        (OfPort::IN_PORT, "IN_PORT"),
        (OfPort::TABLE, "TABLE"),
        (OfPort::NORMAL, "NORMAL"),
        (OfPort::FLOOD, "FLOOD"),
        (OfPort::ALL, "ALL"),
        (OfPort::CONTROLLER, "CONTROLLER"),
        (OfPort::LOCAL, "LOCAL"),
        (OfPort::NONE, "NONE"),
    ];

    /// The name of a reserved port.
    pub fn reserved_name(self) -> Option<&'static str> {
        Self::RESERVED.iter().find(|(p, _)| *p == self).map(|(_, n)| *n)
    }

    /// The reserved port called `name`, in upper or lower case; `ANY` is another name of `NONE`.
    pub fn by_reserved_name(name: &str) -> Option<OfPort> {
        if name.eq_ignore_ascii_case("ANY") {
            return Some(OfPort::NONE);
        }
        Self::RESERVED.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(p, _)| *p)
    }
}

impl fmt::Display for OfPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reserved_name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// An OpenFlow table: 0 to 254. 255 stands for "all tables" where a filter allows it, and is `None` in our values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u8);

impl TableId {
    /// "All tables" on the wire.
    pub const ALL: u8 = 255;
    /// The switch's own table.
    pub const INTERNAL: TableId = TableId(254);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a controller labels a flow with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A group. Numbers above [`GroupId::MAX`] are reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    pub const MAX: GroupId = GroupId(0xffff_ff00);
    pub const ALL: GroupId = GroupId(0xffff_fffc);
    /// Any group in a filter; no group elsewhere.
    pub const ANY: GroupId = GroupId(0xffff_ffff);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId(pub u32);

impl MeterId {
    /// The highest number of an ordinary meter.
    pub const MAX: MeterId = MeterId(0xffff_0000);
    /// The meter of packets on the way between datapath and management (OFPM_SLOWPATH).
    pub const SLOWPATH: MeterId = MeterId(0xffff_fffd);
    /// The meter of packets for controllers (OFPM_CONTROLLER).
    pub const CONTROLLER: MeterId = MeterId(0xffff_fffe);
    /// All meters, where that can be meant.
    pub const ALL: MeterId = MeterId(0xffff_ffff);

    /// Can a meter have this number? Two of the reserved ones can.
    pub fn is_usable(self) -> bool {
        (1..=MeterId::MAX.0).contains(&self.0) || [MeterId::CONTROLLER, MeterId::SLOWPATH].contains(&self)
    }
}

impl fmt::Display for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
