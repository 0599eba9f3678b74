//! What a connection agreed on: version, role, forms of messages.

use std::collections::BTreeMap;

use openflow::action::PacketInReason;
use openflow::wire::packet::PacketInFormat;
use openflow::wire::switch::{Fragments, Role};
use openflow::wire::{Connection, Version, Versions};
use pipeline::BundleItem;

/// Bundles that a connection may have open.
pub(super) const BUNDLES: usize = 64;
/// Changes that a connection's open bundles may have together.
pub(super) const BUNDLED: usize = 1 << 20;

/// A bundle that is being put together.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    pub(super) flags: u16,
    pub(super) closed: bool,
    /// Each with the transaction and the bytes that an error is about.
    pub(super) items: Vec<(Vec<u8>, BundleItem)>,
}

/// One connection's state.
pub(super) struct Session {
    /// None until both have said hello.
    pub(super) version: Option<Version>,
    pub(super) role: Role,
    pub(super) controller_id: u16,
    pub(super) packet_in_format: PacketInFormat,
    /// OpenFlow 1.0's flow-mods name a table in their command (`NXT_FLOW_MOD_TABLE_ID`).
    pub(super) table_id: bool,
    pub(super) fragments: Fragments,
    /// Packets whose hop count ran out go to it.
    pub(super) invalid_ttl: bool,
    /// Bytes of a packet that no flow asked for; a tool's connection with 0 is told nothing that it did not ask for.
    pub(super) miss_send_len: u16,
    pub(super) bundles: BTreeMap<u32, Bundle>,
}

impl Session {
    /// Of a tool or controller that connected by itself.
    pub(super) fn service() -> Session {
        Session {
            version: None,
            role: Role::Equal,
            controller_id: 0,
            packet_in_format: PacketInFormat::Standard,
            table_id: false,
            fragments: Fragments::Normal,
            invalid_ttl: false,
            miss_send_len: 0,
            bundles: BTreeMap::new(),
        }
    }

    /// The versions that are spoken.
    pub(super) fn versions() -> Versions {
        Versions::ALL
    }

    /// Whether it wants what it did not ask for.
    pub(super) fn listens(&self) -> bool {
        self.version.is_some() && self.miss_send_len != 0
    }

    /// Whether packets that come for this reason go to it (OpenFlow 1.3.5 section 7.3.10: what a connection starts with).
    pub(super) fn wants_packet(&self, reason: PacketInReason) -> bool {
        self.listens()
            && self.role != Role::Secondary
            && match reason {
                PacketInReason::InvalidTtl => self.invalid_ttl,
                _ => true,
            }
    }

    /// What decoding its messages needs to know.
    pub(super) fn reading(&self) -> Connection<'static> {
        Connection { table_id: self.table_id, tlv: None }
    }

    /// Changes in open bundles.
    pub(super) fn bundled(&self) -> usize {
        self.bundles.values().map(|bundle| bundle.items.len()).sum()
    }
}
