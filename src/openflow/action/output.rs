//! Sending: `output`, `enqueue`, `controller`, `group`.

use crate::types::MeterId;

/// Why a controller gets a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PacketInReason {
    NoMatch,
    #[default]
    Action,
    InvalidTtl,
    ActionSet,
    Group,
    PacketOut,
}

/// The extended action that sends to a controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// Bytes of the packet; 65535 is all.
    pub max_len: u16,
    pub controller_id: u16,
    pub reason: PacketInReason,
    pub userdata: Vec<u8>,
    /// Translation stops and may be resumed by the controller.
    pub pause: bool,
    pub meter: Option<MeterId>,
}

impl Default for Controller {
    fn default() -> Self {
        let userdata = Vec::new();
        Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: PacketInReason::Action,
            userdata,
            pause: false,
            meter: None,
        }
    }
}
