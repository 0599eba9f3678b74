//! A request to change flows.

use crate::action::Action;
use crate::types::{Cookie, GroupId, OfPort, TableId};
use flow::Match;

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Command {
    #[default]
    Add,
    /// Gives all flows within the match new actions.
    Modify,
    /// The flow with exactly this match and priority.
    ModifyStrict,
    Delete,
    DeleteStrict,
}

/// Flags of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowFlags {
    pub send_flow_rem: bool,
    pub check_overlap: bool,
    pub reset_counts: bool,
    pub no_packet_counts: bool,
    pub no_byte_counts: bool,
}

/// Priority when none is given.
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// A request to add, modify or delete flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    pub command: Command,
    /// `None`: for an addition table 0, or the switch's choice; for the others all tables.
    pub table: Option<TableId>,
    pub priority: u16,
    /// The cookie to look for, under `cookie_mask`; not looked at when that is 0. Never for an addition.
    pub cookie: Cookie,
    pub cookie_mask: u64,
    /// The cookie that the flow gets; `None` leaves a modified flow's cookie as it is (an added flow gets 0).
    pub new_cookie: Option<Cookie>,
    /// A modification leaves cookies as they are: `new_cookie` is for a flow that it adds since it found none.
    pub keeps_cookie: bool,
    /// Seconds; 0 is none.
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub importance: u16,
    /// Filters of a deletion: only flows that output to this port or group.
    pub out_port: Option<OfPort>,
    pub out_group: Option<GroupId>,
    pub flags: FlowFlags,
    pub matching: Match,
    /// In OpenFlow 1.1+ order, see [`crate::action`].
    pub actions: Vec<Action>,
}

impl FlowMod {
    /// Whether it deletes flows, strictly or not.
    pub fn deletes(&self) -> bool {
        matches!(self.command, Command::Delete | Command::DeleteStrict)
    }
}

impl Default for FlowMod {
    fn default() -> Self {
        FlowMod {
            command: Command::Add,
            table: None,
            priority: DEFAULT_PRIORITY,
            cookie: Cookie(0),
            cookie_mask: 0,
            new_cookie: None,
            keeps_cookie: false,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            out_port: None,
            out_group: None,
            flags: FlowFlags::default(),
            matching: Match::default(),
            actions: Vec::new(),
        }
    }
}
