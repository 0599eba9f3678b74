//! Where megaflows live: two cache lines each that packets touch, and the rest apart.

use std::io;
use std::sync::Arc;

use base::pages::HugeVec;
use dpif::{Deps, DropReason, Effect, FlowStats};
use flow::layout::TIER_WORDS;
use flow::{Flow, Key, Mask};
use zerocopy::FromZeros;

use super::hash::Base;

/// What a packet touches of a megaflow. The first line decides whether it matches, the second is written when it does.
#[derive(Clone, Debug, FromZeros)]
#[repr(C, align(128))]
pub(crate) struct Hot {
    /// The masked first tier, but for word 0: recirculation id (32 bits), slot of the in_port (16), mask number (16).
    pub(crate) line: Base,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// When its last packet came, nanoseconds.
    pub(crate) used: u64,
    /// The number of pending changes of its port that it was checked against.
    pub(crate) stamp: u64,
    /// What to do: [`OUTPUT`] and a port number, or a program's index.
    pub(crate) action: u32,
    /// The burst in which it was last hit: not evicted in the same.
    pub(crate) burst: u32,
    /// Changes when the place is used for another megaflow.
    pub(crate) generation: u32,
    /// Its mask looks beyond the first tier.
    pub(crate) higher: bool,
    /// Of a plain packet (untagged, whole IPv4, TCP or UDP, as received) only words 0, 3 and 4 decide.
    pub(crate) plain: bool,
    pub(crate) live: bool,
    /// Hit since the eviction hand passed.
    pub(crate) referenced: bool,
}

const _: () = assert!(size_of::<Hot>() == 128);

impl Hot {
    /// Packets hit it.
    #[inline(always)]
    pub(crate) fn count(&mut self, packets: u64, bytes: u64, now: u64, burst: u32) {
        self.packets += packets;
        self.bytes += bytes;
        self.used = now;
        self.burst = burst;
        self.referenced = true;
    }
}

/// Bit of [`Hot::action`]: send as it is to the port in the other bits.
pub(crate) const OUTPUT: u32 = 1 << 31;

/// Bits of word 0 that are compared: all but the mask number.
pub(crate) const ID_BITS: u64 = !0xffff;

/// The rest of a megaflow.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    /// The key under the mask, IN_PORT being the port itself.
    pub(crate) key: Flow,
    pub(crate) mask: Mask,
    /// Words of `key` with the bits that the mask leaves out, as the packet had them that it was made for.
    pub(crate) whole: Box<[(u8, u64)]>,
    pub(crate) deps: Deps,
    pub(crate) effects: Vec<Effect>,
    pub(crate) stats: Vec<Arc<FlowStats>>,
    pub(crate) drop: Option<DropReason>,
    /// Hash in its subtable.
    pub(crate) hash: u64,
    /// Totals, without what `Hot` has counted since the last fold.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Bytes of the packet that it was made for, which `packets` and `bytes` count too.
    pub(crate) first: u64,
    /// When it was made, and its last packet before the last fold, nanoseconds.
    pub(crate) created: u64,
    pub(crate) folded: u64,
    pub(crate) rate: Rate,
}

/// A megaflow's rate over the last window of time, and what the one at hand has so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// Packets and bytes per second.
    last: (u64, u64),
    from: u64,
    packets: u64,
    bytes: u64,
}

impl Rate {
    /// A window is at least so long, nanoseconds.
    const WINDOW: u64 = 250_000_000;

    pub(crate) fn new(now: u64) -> Rate {
        Rate { from: now, ..Rate::default() }
    }

    /// Packets came, the last of them at `used`.
    fn count(&mut self, packets: u64, bytes: u64, used: u64) {
        self.packets += packets;
        self.bytes += bytes;
        if used.saturating_sub(self.from) >= Rate::WINDOW {
            *self = Rate { last: self.over(used), from: used, packets: 0, bytes: 0 };
        }
    }

    fn over(&self, to: u64) -> (u64, u64) {
        let passed = u128::from(to.saturating_sub(self.from).max(Rate::WINDOW));
        let per_second = |n: u64| (u128::from(n) * 1_000_000_000 / passed) as u64;
        (per_second(self.packets), per_second(self.bytes))
    }

    /// Packets and bytes per second; `hot` is what was not folded yet.
    pub(crate) fn get(mut self, hot: &Hot) -> (u64, u64) {
        self.count(hot.packets, hot.bytes, hot.used);
        if self.last.0 == 0 { self.over(hot.used) } else { self.last }
    }
}

impl Cold {
    /// Adds what was counted since the last fold, the last packet at `used`.
    pub(crate) fn fold(&mut self, packets: u64, bytes: u64, used: u64) {
        self.packets += packets;
        self.bytes += bytes;
        self.folded = used;
        self.rate.count(packets, bytes, used);
    }
}

/// Megaflows by index. Indexes are used again; [`Hot::generation`] tells.
pub(crate) struct Slab {
    /// Address space for as many as there may be; memory comes when they are used.
    hot: HugeVec<Hot>,
    /// Places of `hot` that were ever used.
    used: u32,
    cold: Vec<Option<Box<Cold>>>,
    free: Vec<u32>,
    live: usize,
}

impl Slab {
    /// Room for `most` megaflows. Fails when the address space is short.
    pub(crate) fn new(most: usize) -> io::Result<Slab> {
        let hot = HugeVec::new(most.max(1024))?;
        Ok(Slab { hot, used: 0, cold: Vec::new(), free: Vec::new(), live: 0 })
    }

    /// Makes room for `most` megaflows if there is address space.
    pub(crate) fn reserve(&mut self, most: usize) {
        if most > self.hot.len()
            && let Ok(mut hot) = HugeVec::<Hot>::new(most)
        {
            for (to, from) in hot.iter_mut().zip(self.hot.iter()) {
                to.clone_from(from);
            }
            self.hot = hot;
        }
    }

    /// Whether no place is left.
    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.used as usize >= self.hot.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Places that were ever used: indexes are below it.
    pub(crate) fn places(&self) -> u32 {
        self.used
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> Option<&Hot> {
        self.hot.get(index as usize)
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Hot> {
        self.hot.get_mut(index as usize)
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(hot) = self.hot.get(index as usize) {
            crate::prefetch(&hot.line);
            crate::prefetch(&hot.packets);
        }
    }

    pub(crate) fn cold(&self, index: u32) -> Option<&Cold> {
        self.cold.get(index as usize)?.as_deref()
    }

    pub(crate) fn both_mut(&mut self, index: u32) -> Option<(&mut Hot, &mut Cold)> {
        Some((self.hot.get_mut(index as usize)?, self.cold.get_mut(index as usize)?.as_deref_mut()?))
    }

    /// Stores a megaflow, when not full; its generation is set here.
    pub(crate) fn insert(&mut self, mut hot: Hot, cold: Box<Cold>) -> u32 {
        self.live += 1;
        hot.live = true;
        if let Some(index) = self.free.pop()
            && let (Some(h), Some(c)) = (self.hot.get_mut(index as usize), self.cold.get_mut(index as usize))
        {
            hot.generation = h.generation.wrapping_add(1);
            *h = hot;
            *c = Some(cold);
            return index;
        }
        let index = self.used;
        hot.generation = 1;
        if let Some(h) = self.hot.get_mut(index as usize) {
            *h = hot;
        }
        self.cold.push(Some(cold));
        self.used += 1;
        index
    }

    /// Takes a megaflow out. Its line stops matching anything.
    pub(crate) fn remove(&mut self, index: u32) -> Option<(Hot, Box<Cold>)> {
        let cold = self.cold.get_mut(index as usize)?.take()?;
        let hot = self.hot.get_mut(index as usize)?;
        let was = hot.clone();
        hot.live = false;
        // no slot has this number, so no packet's word 0 equals it
        hot.line = [u64::MAX; TIER_WORDS];
        self.live -= 1;
        self.free.push(index);
        Some((was, cold))
    }
}

/// Whether the packet (`base`, `key`) agrees with the megaflow under `mask`, whose tiers beyond the first are in `full`.
#[inline(always)]
pub(crate) fn agrees(hot: &Hot, base: &Base, mask: &Base) -> bool {
    let mut difference = 0;
    for i in 0..TIER_WORDS {
        difference |= (hot.line[i] ^ base[i]) & mask[i];
    }
    difference == 0
}

/// The same for a plain packet by its words 3 and 4.
#[inline(always)]
pub(crate) fn agrees_plain(hot: &Hot, id: u64, words: (u64, u64), mask: &Base) -> bool {
    let difference =
        (hot.line[0] ^ id) & ID_BITS | (hot.line[3] ^ words.0) & mask[3] | (hot.line[4] ^ words.1) & mask[4];
    (difference == 0) & hot.plain
}

/// Whether plain packets agree with `line` under `mask` in all words but 0, 3 and 4.
pub(crate) fn is_plain(line: &Base, mask: &Base) -> bool {
    let plain: Base = [0, 0x0800, 0, 0, 0, 0, 0, 0];
    // what differs between plain packets: MAC addresses, TCP flags
    let varies: Base = [0, !0xffff, !0xffff, 0, 0, 0xffff, 0, 0];
    [1, 2, 5, 6, 7].iter().all(|&i| mask[i] & varies[i] == 0 && (line[i] ^ plain[i]) & mask[i] == 0)
}

/// The same for the tiers above the first.
#[cold]
pub(crate) fn agrees_higher(cold: &Cold, key: &Key) -> bool {
    let words = cold.mask.w.iter().zip(&cold.key.w).enumerate().take(flow::layout::KEY_WORDS).skip(TIER_WORDS);
    words.fold(0, |d, (i, (mask, want))| d | (key.word(i) ^ want) & mask) == 0
}
