//! Answers about groups: what they are, what they counted, what there can be of them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use dpif::FlowStats;
use openflow::group_mod::GroupMod;
use openflow::wire::group_stats::{BucketStats, GroupFeatures, GroupStats};
use openflow::wire::message::Part;
use openflow::wire::{Error, Message, Version, Xid, encode_all};
use openflow::{Action, GroupId};
use pipeline::{Bridge, Group};

use super::handle::reply;
use super::stats::{collected, has, since};
use crate::run::switch::Switch;

type Done = Result<(), Error>;

/// All, select, indirect and fast failover.
const TYPES: u32 = 0xf;
/// Weights, liveness, chaining; loops are not looked for when a group is made.
const CAPABILITIES: u32 = 7;
/// Numbers from there on are reserved (OFPG_MAX).
const MAX_GROUPS: u32 = 0xffff_ff00;

/// What there can be of groups; actions are told by a bit each, by their number in the version.
pub(super) fn features(version: Version) -> GroupFeatures {
    let actions = match version {
        // all of its own
        Version::Of10 => 0xfff,
        // all but copies of TTL (11 and 12)
        Version::Of11 => 0x01ff_e7ff,
        // output, MPLS's TTL (from 15 on), tags, labels, queues, groups, IP's TTL, fields (25)
        _ => 0x03ff_8001,
    };
    GroupFeatures { types: TYPES, capabilities: CAPABILITIES, max_groups: [MAX_GROUPS; 4], actions: [actions; 4] }
}

/// The groups that are asked about.
fn wanted(bridge: &Bridge, id: GroupId) -> impl Iterator<Item = &Group> {
    bridge.groups.values().map(|g| &**g).filter(move |g| id == GroupId::ALL || g.id == id)
}

/// What groups are.
pub(super) fn descriptions(switch: &mut Switch, id: u64, xid: Xid, group: GroupId) -> Done {
    let name = switch.openflow.connection(id).map(|c| c.bridge.clone()).unwrap_or_default();
    let bridge = switch.manager.snapshot().bridge_named(&name);
    let entries: Vec<GroupMod> = bridge.iter().flat_map(|b| wanted(b, group)).map(Group::as_made).collect();
    reply(switch, id, xid, Message::GroupDescReply(Part::all(entries)))
}

/// What groups counted, as soon as workers have told theirs.
pub(super) fn statistics(switch: &mut Switch, id: u64, xid: Xid, group: GroupId) -> Done {
    collected(switch, id, xid, move |bridge, version, now| {
        let references = references(bridge);
        let entries = wanted(bridge, group).map(|g| {
            let (packets, bytes, _) = g.stats.get();
            let bucket = |stats: &FlowStats| {
                let (packets, bytes, _) = stats.get();
                BucketStats { packets, bytes }
            };
            GroupStats {
                id: g.id,
                references: references.get(&g.id).copied().unwrap_or(0),
                packets,
                bytes,
                duration: Some(since(now, g.created.as_nanos())),
                buckets: g.buckets.iter().map(|(_, stats)| bucket(stats)).collect(),
            }
        });
        encode_all(&Message::GroupStatsReply(Part::all(entries.collect())), version, xid, None)
    })
}

/// Flows that go to each group.
fn references(bridge: &Bridge) -> BTreeMap<GroupId, u32> {
    let all = RefCell::new(BTreeMap::new());
    for (_, rule) in bridge.rules() {
        has(&rule.actions, &|action| {
            if let Action::Group(id) = action {
                *all.borrow_mut().entry(*id).or_default() += 1;
            }
            false
        });
    }
    all.into_inner()
}
