//! The signature cache: from a hash under a port's union mask to a megaflow, four ways to a set, eight bytes an entry.
//!
//! An entry is a hint. Whoever follows it compares the packet with the megaflow under the megaflow's own mask, so a
//! collision or an entry of a megaflow that is gone costs time and nothing else.

use std::io;

use base::pages::HugeVec;

use super::NONE;

const WAYS: usize = 4;
type Set = [u64; WAYS];

/// Fewest and most entries.
const MIN: usize = 1 << 14;
const MAX: usize = 1 << 20;

pub(crate) struct SignatureCache {
    /// Signature in the upper half, megaflow index plus one in the lower; 0 is empty.
    sets: HugeVec<Set>,
    turn: u32,
    /// Entries written over others since it last grew.
    pushed_out: usize,
}

impl SignatureCache {
    pub(crate) fn new() -> io::Result<SignatureCache> {
        Ok(SignatureCache { sets: HugeVec::new(MIN / WAYS)?, turn: 0, pushed_out: 0 })
    }

    #[inline(always)]
    fn at(&self, hash: u64) -> usize {
        hash as usize & (self.sets.len() - 1)
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(set) = self.sets.get(self.at(hash)) {
            crate::prefetch(set);
        }
    }

    /// The megaflow that the hash was last seen with, or [`NONE`].
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64) -> u32 {
        let Some(set) = self.sets.get(self.at(hash)) else { return NONE };
        // without branches: which way it is in is as random as the flows are. Two ways never have the same signature.
        let mut found = 0;
        for entry in set {
            let differs = (entry ^ hash) >> 32;
            // all ones where the upper halves agree
            found |= *entry & (differs.wrapping_sub(1) as i64 >> 63) as u64;
        }
        (found as u32).wrapping_sub(1)
    }

    /// Remembers `index` for the hash: over the entry of the same signature, an empty one, or any.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, index: u32) {
        let at = self.at(hash);
        self.turn = self.turn.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let victim = (self.turn >> 30) as usize;
        let Some(set) = self.sets.get_mut(at) else { return };
        let way = set
            .iter()
            .position(|e| e >> 32 == hash >> 32 && *e != 0)
            .or_else(|| set.iter().position(|e| *e == 0))
            .unwrap_or_else(|| {
                self.pushed_out += 1;
                victim
            });
        if let Some(entry) = set.get_mut(way) {
            *entry = (hash >> 32) << 32 | u64::from(index.wrapping_add(1));
        }
    }

    /// Makes room when many packets' hashes find no place: classes of packets under the union may be many more than
    /// megaflows. Entries are lost when it grows. Called now and then.
    pub(crate) fn fit(&mut self, megaflows: usize) {
        let entries = self.sets.len() * WAYS;
        let thrashed = self.pushed_out > entries;
        let wanted = if thrashed { entries * 2 } else { (megaflows + megaflows / 2).next_power_of_two() }.min(MAX);
        if wanted > entries {
            let entries = wanted;
            self.pushed_out = 0;
            if let Ok(sets) = HugeVec::new(entries / WAYS) {
                self.sets = sets;
            }
        }
    }
}
