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

/// Hash values per select group that asks for this, at most; how fine weights are (ovs-ofctl(8), "dp_hash").
pub const MAX_HASHES: usize = 256;
/// The same where the switch chooses: each is a megaflow.
pub const MAX_DEFAULT_HASHES: usize = 64;

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

/// The hash table of a select group: long enough that the smallest weight gets a slot, empty where nothing has weight.
///
/// # Errors
/// It would be longer than `most`: so many.
pub fn hash_table(weights: &[u16], most: usize) -> Result<Vec<u16>, u64> {
    let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    let Some(least) = weights.iter().filter(|w| **w > 0).min() else { return Ok(Vec::new()) };
    let wanted = (total / u64::from(*least)).max(16).next_power_of_two();
    if wanted > most as u64 { Err(wanted) } else { Ok(share(weights, wanted as usize)) }
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
            let table = hash_table(weights, 64).unwrap();
            assert!(table.len().is_power_of_two());
            assert_eq!(counts(weights, &table), want, "{weights:?}");
        }
        assert!([&[][..], &[0, 0]].iter().all(|w| hash_table(w, 64) == Ok(Vec::new())));
        assert_eq!(hash_table(&[1, 65535], MAX_HASHES), Err(65536));
    }
}
