//! Groups: all, indirect, select by hash, fast failover.

use dpif::action::HashAlgorithm;
use dpif::{DropReason, Thing};
use flow::layout as l;
use openflow::GroupId;
use openflow::action::PacketInReason;
use openflow::group_mod::{Bucket, GroupKind, SelectionMethod};

use super::{Kind, MAX_LOOKUPS, MAX_NEST, Sink, Walk};
use crate::snapshot::group::Group;

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn group(&mut self, id: GroupId) {
        let bridge = self.bridge;
        self.out.deps.things.push(Thing::Group { bridge: bridge.index, group: id.0 });
        let Some(group) = bridge.groups.get(&id) else {
            self.warn(|| "no such group".into());
            self.reason(DropReason::Group);
            return;
        };
        if self.st.nest >= MAX_NEST || self.st.depth >= super::MAX_DEPTH {
            self.fail(DropReason::Depth);
            return;
        }
        self.reason(DropReason::Group);
        match group.kind {
            GroupKind::All | GroupKind::Indirect => {
                self.out.stats.push(group.stats.clone());
                for i in 0..group.buckets.len() {
                    if self.failed() {
                        break;
                    }
                    self.bucket(group, i);
                }
            }
            GroupKind::FastFailover => {
                let first = (0..group.buckets.len()).find(|i| self.is_live(&group.buckets[*i].0, 0));
                self.chosen(group, first);
            }
            GroupKind::Select => match group.method {
                _ if group.by_hash.is_empty() => {
                    let hash = self.hash_fields(group);
                    let bucket = self.weighted(group, hash);
                    self.chosen(group, bucket);
                }
                _ => self.by_datapath_hash(group),
            },
        }
    }

    fn chosen(&mut self, group: &Group, bucket: Option<usize>) {
        match bucket {
            Some(i) => {
                self.out.stats.push(group.stats.clone());
                self.bucket(group, i);
            }
            None => self.warn(|| "no live bucket".into()),
        }
    }

    fn bucket(&mut self, group: &Group, i: usize) {
        let (bucket, stats) = &group.buckets[i];
        self.tell(Kind::Bucket, || format!("bucket {}", bucket.id));
        // Groups of groups multiply; they count as lookups do.
        self.st.lookups += 1;
        if self.st.lookups > MAX_LOOKUPS {
            return self.fail(DropReason::Resubmits);
        }
        self.out.stats.push(stats.clone());
        self.st.depth += 1;
        self.sink.down();
        self.isolated(|w| {
            w.st.by.reason = PacketInReason::Group;
            w.as_action_set(&bucket.actions);
        });
        self.sink.up(1);
        self.st.depth = self.st.depth.saturating_sub(1);
    }

    /// Is what a bucket watches up? `level` bounds chains of groups that watch groups.
    fn is_live(&mut self, bucket: &Bucket, level: usize) -> bool {
        let bridge = self.bridge;
        if let Some(port) = bucket.watch_port {
            let found = bridge.ports.get(&port);
            let device = found.and_then(|p| p.device());
            self.out.deps.things.push(device.map_or(Thing::Bridge(bridge.index), Thing::Port));
            if !found.is_some_and(|p| p.is_live()) {
                return false;
            }
        }
        if let Some(id) = bucket.watch_group {
            self.out.deps.things.push(Thing::Group { bridge: bridge.index, group: id.0 });
            let Some(watched) = bridge.groups.get(&id).filter(|_| level < 8) else { return false };
            return watched.buckets.iter().any(|(b, _)| self.is_live(b, level + 1));
        }
        true
    }

    /// Asks the datapath for the packet's hash, once, then takes the bucket in the slot that its low bits say.
    fn by_datapath_hash(&mut self, group: &Group) {
        let slots = group.by_hash.len();
        if self.st.now.flow.get64(l::DP_HASH) == 0 {
            // one that was not here before has none
            if self.input.flow.get64(l::RECIRC_ID) != 0 {
                self.look(l::DP_HASH);
            }
            // ovs-ofctl(8), "dp_hash": the algorithm is in the upper half of the parameter; without a method, it is chosen
            let algorithm = match (group.method, group.selection_param >> 32) {
                (SelectionMethod::DpHash, 0) => HashAlgorithm::L4,
                _ => HashAlgorithm::SymmetricL4,
            };
            self.freeze_for_hash(algorithm, group.selection_param as u32);
            // the group itself is what the packet comes back to
            let (table, id) = (self.st.table, group.id);
            if let Some(frames) = &mut self.st.freezing {
                let actions = [openflow::Action::Group(id)].as_slice().into();
                frames.push(crate::recirc::Frame { table, actions });
            }
            return;
        }
        let slot = self.look_bits(l::DP_HASH, slots as u128 - 1) as usize;
        let preferred = usize::from(group.by_hash[slot]);
        let n = group.buckets.len();
        let usable = |i: usize| group.buckets.get(i).is_some_and(|(b, _)| b.weight > 0);
        let bucket = (0..n).map(|k| (preferred + k) % n).find(|i| usable(*i) && self.is_live(&group.buckets[*i].0, 0));
        self.chosen(group, bucket);
    }

    /// A hash of the group's fields, or of the five-tuple.
    fn hash_fields(&mut self, group: &Group) -> u64 {
        let mut hash = group.selection_param ^ 0x9e37_79b9_7f4a_7c15;
        let mut mix = |value: u128| {
            for part in [value as u64, (value >> 64) as u64] {
                let product = u128::from(hash ^ part) * 0xa076_1d64_78bd_642f;
                hash = (product as u64) ^ ((product >> 64) as u64) ^ hash.rotate_left(29);
            }
        };
        if group.fields.is_empty() {
            let slots = [l::ETH_SRC, l::ETH_DST, l::NW_SRC, l::NW_DST, l::IPV6_SRC, l::IPV6_DST, l::NW_PROTO];
            for slot in slots.into_iter().chain([l::TP_SRC, l::TP_DST]) {
                mix(self.look(slot));
            }
            return hash;
        }
        for f in &group.fields {
            let row = f.field.row();
            if row.slot.width > 0 && self.has(row.prereq) {
                self.look_bits(row.slot, f.mask);
                mix(row.get(&self.st.now.flow) & f.mask);
            }
        }
        hash
    }

    /// The live bucket with the highest score, each scoring by hash and weight: a bucket that dies moves only its own
    /// flows (highest random weight, RFC 2991).
    fn weighted(&mut self, group: &Group, hash: u64) -> Option<usize> {
        let mut best = None;
        for (i, (bucket, _)) in group.buckets.iter().enumerate() {
            if bucket.weight == 0 || !self.is_live(bucket, 0) {
                continue;
            }
            let mixed =
                (hash ^ u64::from(bucket.id).wrapping_mul(0xff51_afd7_ed55_8ccd)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
            let score = (mixed ^ mixed >> 32) as u32 as u64 * u64::from(bucket.weight);
            if best.is_none_or(|(s, _)| score > s) {
                best = Some((score, i));
            }
        }
        best.map(|(_, i)| i)
    }
}
