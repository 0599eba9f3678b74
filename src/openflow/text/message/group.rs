//! Text of groups' counters and of what there can be of them.

use super::duration;
use crate::types::GroupId;
use crate::wire::Version;
use crate::wire::group_stats::{GroupFeatures, GroupStats};
use std::fmt::Write;

/// The group of a request.
pub(super) fn id(id: GroupId) -> String {
    match id {
        GroupId::ALL => "ALL".to_owned(),
        GroupId::ANY => "ANY".to_owned(),
        id => id.to_string(),
    }
}

pub(super) fn stats(out: &mut String, g: &GroupStats) {
    let _ = write!(out, "\n group_id={},", g.id);
    if let Some(d) = g.duration {
        let _ = write!(out, "duration={},", duration(d));
    }
    let _ = write!(out, "ref_count={},packet_count={},byte_count={}", g.references, g.packets, g.bytes);
    for (n, b) in g.buckets.iter().enumerate().filter(|(_, b)| b.packets != u64::MAX) {
        let _ = write!(out, ",bucket{n}:packet_count={},byte_count={}", b.packets, b.bytes);
    }
}

/// Actions by their numbers in OpenFlow 1.0, in the order in which they are told.
const ACTIONS10: [(u32, &str); 12] = super::ACTIONS;

/// The same since OpenFlow 1.2 (OpenFlow 1.3.5, section 7.2.5).
pub(super) const ACTIONS: [(u32, &str); 12] = [
    (0, "output"),
    (22, "group"),
    (25, "set_field"),
    (18, "strip_vlan"),
    (17, "push_vlan"),
    (23, "mod_nw_ttl"),
    (24, "dec_ttl"),
    (15, "set_mpls_ttl"),
    (16, "dec_mpls_ttl"),
    (19, "push_mpls"),
    (20, "pop_mpls"),
    (21, "set_queue"),
];

const KINDS: [&str; 4] = ["all", "select", "indirect", "fast failover"];

pub(super) fn features(out: &mut String, f: &GroupFeatures, version: Version) {
    let _ = write!(out, "\n Group table:\n    Types:  {:#x}\n    Capabilities:  {:#x}\n", f.types, f.capabilities);
    let names = if version == Version::Of10 { &ACTIONS10 } else { &ACTIONS };
    let each = KINDS.iter().zip(f.max_groups).zip(f.actions).enumerate();
    for (_, ((kind, max), actions)) in each.filter(|(n, _)| f.types >> n & 1 != 0) {
        let known: Vec<_> = names.iter().filter(|(n, _)| actions >> n & 1 != 0).map(|(_, name)| *name).collect();
        let known = if known.is_empty() { "<none>".to_owned() } else { known.join(" ") };
        let _ = write!(out, "    {kind} group:\n       max_groups={max:#x}\n       actions: {known}\n");
    }
}
