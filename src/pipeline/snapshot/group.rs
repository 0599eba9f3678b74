//! Groups: buckets and how one is chosen.

use std::sync::Arc;

use base::clock::Instant;
use dpif::FlowStats;
use openflow::GroupId;
use openflow::group_mod::{Bucket, GroupCommand, GroupKind, GroupMod, HashField, SelectionMethod};

/// A group. Immutable but for its counters.
#[derive(Debug)]
pub struct Group {
    pub id: GroupId,
    pub kind: GroupKind,
    pub buckets: Vec<(Bucket, Arc<FlowStats>)>,
    pub method: SelectionMethod,
    pub selection_param: u64,
    pub fields: Vec<HashField>,
    pub stats: Arc<FlowStats>,
    pub created: Instant,
    /// For select groups by datapath hash: bucket index by the low bits of the hash. Its length is a power of two.
    pub by_hash: Vec<u16>,
}

impl Group {
    /// The request that makes it what it is.
    pub fn as_made(&self) -> GroupMod {
        GroupMod {
            command: GroupCommand::Add,
            id: self.id,
            kind: self.kind,
            buckets: self.buckets.iter().map(|(bucket, _)| bucket.clone()).collect(),
            command_bucket: None,
            selection_method: self.method,
            selection_param: self.selection_param,
            fields: self.fields.clone(),
        }
    }
}

/// Hash values per select group, at most; how fine weights are.
const MAX_HASHES: usize = 256;

/// Shares `slots` among `weights` so that each gets its part, by Webster's method (divisors 1, 3, 5, ...): no other way
/// of rounding is nearer to the weights. Returns the bucket of each slot; empty when all weights are 0.
pub fn share(weights: &[u16], slots: usize) -> Vec<u16> {
    let mut out = Vec::with_capacity(slots);
    let mut got = vec![0u32; weights.len()];
    for _ in 0..slots {
        // highest weight/divisor first; cross-multiplied so that it stays exact
        let best = weights.iter().zip(&got).enumerate().filter(|(_, (w, _))| **w > 0).max_by(|(i, a), (j, b)| {
            let (x, y) = (u64::from(*a.0) * u64::from(2 * b.1 + 1), u64::from(*b.0) * u64::from(2 * a.1 + 1));
            x.cmp(&y).then(j.cmp(i))
        });
        let Some((i, _)) = best else { return Vec::new() };
        got[i] += 1;
        out.push(i as u16);
    }
    out
}

/// The hash table of a select group: long enough that the smallest weight gets a slot, within bounds.
pub fn hash_table(weights: &[u16]) -> Vec<u16> {
    let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    let Some(least) = weights.iter().filter(|w| **w > 0).min() else { return Vec::new() };
    let wanted = (total / u64::from(*least)).max(16).next_power_of_two();
    share(weights, usize::try_from(wanted).unwrap_or(MAX_HASHES).min(MAX_HASHES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(weights: &[u16], table: &[u16]) -> Vec<usize> {
        (0..weights.len()).map(|i| table.iter().filter(|b| usize::from(**b) == i).count()).collect()
    }

    #[test]
    fn slots_follow_weights() {
        let cases: [(&[u16], &[usize]); 5] = [
            (&[1, 1], &[8, 8]),
            (&[1, 3], &[4, 12]),
            (&[100, 200, 100], &[4, 8, 4]),
            (&[0, 5], &[0, 16]),
            (&[1, 1, 1], &[6, 5, 5]),
        ];
        for (weights, want) in cases {
            let table = hash_table(weights);
            assert!(table.len().is_power_of_two());
            assert_eq!(counts(weights, &table), want, "{weights:?}");
        }
        assert!(hash_table(&[]).is_empty() && hash_table(&[0, 0]).is_empty());
        assert_eq!(hash_table(&[1, 65535]).len(), 256);
    }
}
