//! What travels with a packet inside a worker beside its frame.

use flow::Key;
use flow::extract::{Depth, Layers, Metadata, Runt, extract_chained};
use flow::layout::{CT_LABEL, CT_MARK, DP_HASH, SKB_PRIORITY};
use packet::Frame;

/// Metadata that actions make and a recirculated lookup sees. A packet as received has the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) recirc_id: u32,
    pub(crate) pkt_mark: u32,
    pub(crate) ct_state: u32,
    pub(crate) ct_zone: u16,
    /// How often it was recirculated.
    pub(crate) depth: u8,
    pub(crate) dp_hash: u32,
    pub(crate) skb_priority: u32,
    pub(crate) ct_mark: u32,
    pub(crate) ct_label: u128,
}

/// A packet that waits for its turn: recirculated, or parked.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) frame: Frame,
    /// Slot of the port it came from.
    pub(crate) slot: u16,
    /// False for a copy, which has no fate.
    pub(crate) primary: bool,
    pub(crate) meta: Meta,
}

/// Parses all of a packet. `in_port` is what the key's IN_PORT becomes.
pub(crate) fn extract_all(
    frame: &Frame,
    in_port: u32,
    meta: &Meta,
    vlan_limit: u8,
    key: &mut Key,
    layers: &mut Layers,
) -> Result<(), Runt> {
    let md = Metadata {
        recirc_id: meta.recirc_id,
        pkt_mark: meta.pkt_mark,
        ct_state: meta.ct_state,
        ct_zone: meta.ct_zone,
        vlan_limit,
        ..Metadata::default()
    };
    extract_chained(frame.data(), frame.len() - frame.seg_len(), Depth::L4, in_port, &md, key, layers)?;
    for (slot, value) in [(DP_HASH, meta.dp_hash), (SKB_PRIORITY, meta.skb_priority), (CT_MARK, meta.ct_mark)] {
        if value != 0 {
            key.set(slot, u128::from(value));
        }
    }
    if meta.ct_label != 0 {
        key.set(CT_LABEL, meta.ct_label);
    }
    Ok(())
}
