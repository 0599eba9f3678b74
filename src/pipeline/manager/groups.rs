//! Group-mods: adding, changing and removing groups and their buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::clock::Instant;
use dpif::{Change, Thing};
use openflow::group_mod::{Bucket, BucketRef, GroupCommand, GroupKind, SelectionMethod};
use openflow::{Action, GroupId, GroupMod};

use super::flows::{Outcome, RemovedReason};
use super::{Error, Manager, check};
use crate::snapshot::group::{Group, MAX_DEFAULT_HASHES, MAX_HASHES, hash_table};

impl Manager {
    /// Deletes all groups of a bridge, and the flows that use them.
    ///
    /// # Errors
    /// No such bridge.
    pub fn delete_all_groups(&mut self, bridge: &str) -> Result<Outcome, Error> {
        let index = self.index_of(bridge)?;
        let groups = self.work.bridge(index).map(|b| b.groups.clone()).unwrap_or_default();
        Ok(self.delete_groups(index, GroupId::ALL, &groups))
    }

    /// Adds, modifies or deletes a group or its buckets.
    pub fn group_mod(&mut self, bridge: &str, request: &GroupMod, now: Instant) -> Result<Outcome, Error> {
        let index = self.index_of(bridge)?;
        let groups = self.work.bridge(index).map(|b| b.groups.clone()).unwrap_or_default();
        let id = request.id;
        let old = groups.get(&id);
        if request.command == GroupCommand::Delete {
            return Ok(self.delete_groups(index, id, &groups));
        }
        if id > GroupId::MAX {
            return Err(Error::BadGroup(id));
        }
        for bucket in &request.buckets {
            check::bucket(&bucket.actions)?;
        }
        let group = match (request.command, old) {
            (GroupCommand::Add, Some(_)) => return Err(Error::GroupExists(id)),
            (GroupCommand::Add | GroupCommand::AddOrModify, None) => build(request, &request.buckets, None, now),
            (GroupCommand::Modify | GroupCommand::AddOrModify, Some(old)) => {
                build(request, &request.buckets, Some(old), now)
            }
            (GroupCommand::InsertBuckets | GroupCommand::RemoveBuckets, Some(old)) => {
                let buckets = edit_buckets(old, request)?;
                let as_before = GroupMod {
                    kind: old.kind,
                    selection_method: old.method,
                    selection_param: old.selection_param,
                    fields: old.fields.clone(),
                    ..request.clone()
                };
                build(&as_before, &buckets, Some(old), now)
            }
            (_, None) => return Err(Error::NoSuchGroup(id)),
            (GroupCommand::Delete, _) => return Ok(Outcome::default()),
        };
        if group.kind == GroupKind::Indirect && group.buckets.len() != 1 {
            return Err(Error::IndirectBuckets);
        }
        if reaches(&groups, &group, id, 0) {
            return Err(Error::GroupLoop(id));
        }
        let outcome =
            Outcome { added: usize::from(old.is_none()), modified: usize::from(old.is_some()), ..Outcome::default() };
        if let Some(bridge) = self.edit(index) {
            Arc::make_mut(&mut bridge.groups).insert(id, Arc::new(group));
        }
        self.changes.push(Change::Thing(Thing::Group { bridge: index, group: id.0 }));
        Ok(outcome)
    }

    /// Deletes a group, or all, and the flows that send to it.
    fn delete_groups(&mut self, index: u32, id: GroupId, groups: &BTreeMap<GroupId, Arc<Group>>) -> Outcome {
        let gone: Vec<GroupId> = groups.keys().copied().filter(|g| id == GroupId::ALL || *g == id).collect();
        let mut outcome = Outcome::default();
        if gone.is_empty() {
            return outcome;
        }
        let rules: Vec<_> = self.work.bridge(index).map_or(Vec::new(), |b| {
            let uses = |a: &Action| matches!(a, Action::Group(g) if gone.contains(g));
            b.rules().filter(|(_, r)| check::any(&r.actions, &mut { uses })).map(|(t, r)| (t, r.clone())).collect()
        });
        for (table, rule) in &rules {
            self.remove_rule(index, *table, rule, RemovedReason::GroupDelete);
            outcome.removed += 1;
        }
        for group in gone {
            if let Some(bridge) = self.edit(index) {
                Arc::make_mut(&mut bridge.groups).remove(&group);
            }
            self.changes.push(Change::Thing(Thing::Group { bridge: index, group: group.0 }));
            outcome.removed += 1;
        }
        outcome
    }
}

fn build(request: &GroupMod, buckets: &[Bucket], old: Option<&Arc<Group>>, now: Instant) -> Group {
    let same = |id: u32| old.and_then(|g| g.buckets.iter().find(|(b, _)| b.id == id)).map(|(_, s)| s.clone());
    let by_hash = if request.kind == GroupKind::Select { choose_hash(request, buckets) } else { Vec::new() };
    Group {
        id: request.id,
        kind: request.kind,
        buckets: buckets.iter().map(|b| (b.clone(), same(b.id).unwrap_or_default())).collect(),
        method: request.selection_method,
        selection_param: request.selection_param,
        fields: request.fields.clone(),
        stats: old.map(|g| g.stats.clone()).unwrap_or_default(),
        created: old.map_or(now, |g| g.created),
        by_hash,
    }
}

/// How a select group chooses: the table for the datapath's hash, empty where translation hashes. Tells why, as the stock
/// switch does for who asks.
fn choose_hash(request: &GroupMod, buckets: &[Bucket]) -> Vec<u16> {
    const LOG: &str = "ofproto_dpif";
    let weights: Vec<u16> = buckets.iter().map(|b| b.weight).collect();
    log::debug!(target: LOG, "Constructing select group {}", request.id.0);
    let most = match request.selection_method {
        SelectionMethod::Default => {
            log::debug!(target: LOG, "No selection method specified. Trying dp_hash.");
            MAX_DEFAULT_HASHES
        }
        SelectionMethod::DpHash => {
            log::debug!(target: LOG, "Selection method specified: dp_hash.");
            MAX_HASHES
        }
        SelectionMethod::Hash => {
            log::debug!(target: LOG, "Selection method specified: hash.");
            if request.fields.is_empty() {
                log::debug!(target: LOG, "No hash fields. Falling back to default hash method.");
            }
            return Vec::new();
        }
    };
    let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    let table = hash_table(&weights, most);
    match (weights.iter().filter(|w| **w > 0).min(), &table) {
        (None, _) => log::debug!(target: LOG, "  Don't apply dp_hash method without buckets."),
        (Some(least), Ok(table)) => {
            log::debug!(target: LOG, "  Minimum weight: {least}, total weight: {total}");
            log::debug!(target: LOG, "  Using {} hash values:", table.len());
            for (i, weight) in weights.iter().enumerate() {
                let hits = table.iter().filter(|b| usize::from(**b) == i).count();
                let target = f64::from(*weight) * table.len() as f64 / total as f64;
                log::debug!(target: LOG, "  Bucket {i}: weight={weight}, target={target:.2} hits={hits}");
            }
            let algorithm = u8::from(request.selection_method == SelectionMethod::Default);
            let values = table.len();
            log::debug!(target: LOG, "Use dp_hash with {values} hash values using algorithm {algorithm}.");
        }
        (Some(least), Err(wanted)) => {
            log::debug!(target: LOG, "  Minimum weight: {least}, total weight: {total}");
            log::debug!(target: LOG, "  Too many hash values required: {wanted}");
        }
    }
    let table = table.unwrap_or_default();
    if table.is_empty() {
        log::debug!(target: LOG, "Falling back to default hash method.");
    }
    table
}

fn edit_buckets(old: &Group, request: &GroupMod) -> Result<Vec<Bucket>, Error> {
    let mut buckets: Vec<Bucket> = old.buckets.iter().map(|(b, _)| b.clone()).collect();
    let position = |id: u32| old.buckets.iter().position(|(b, _)| b.id == id).ok_or(Error::BadBucket(id));
    let at = request.command_bucket.unwrap_or(BucketRef::Last);
    if request.command == GroupCommand::RemoveBuckets {
        match at {
            BucketRef::All => buckets.clear(),
            BucketRef::First => drop(buckets.drain(..buckets.len().min(1))),
            BucketRef::Last => drop(buckets.pop()),
            BucketRef::Id(id) => drop(buckets.remove(position(id)?)),
        }
        return Ok(buckets);
    }
    if let Some(twice) = request.buckets.iter().find(|new| buckets.iter().any(|b| b.id == new.id)) {
        return Err(Error::BucketExists(twice.id));
    }
    let place = match at {
        BucketRef::First => 0,
        BucketRef::Last | BucketRef::All => buckets.len(),
        BucketRef::Id(id) => position(id)? + 1,
    };
    buckets.splice(place..place, request.buckets.iter().cloned());
    Ok(buckets)
}

/// Can a packet in `group` get to group `id`?
fn reaches(groups: &BTreeMap<GroupId, Arc<Group>>, group: &Group, id: GroupId, level: usize) -> bool {
    // Deeper chains are refused too: translation would stop there.
    if level > 32 {
        return true;
    }
    group.buckets.iter().any(|(bucket, _)| {
        check::any(&bucket.actions, &mut |a| match a {
            Action::Group(next) if *next == id => true,
            Action::Group(next) => groups.get(next).is_some_and(|g| reaches(groups, g, id, level + 1)),
            _ => false,
        })
    })
}
