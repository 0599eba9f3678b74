//! The stages of a burst: shape, extract, look up, group, execute.

use dpif::DropReason;
use flow::Key;
use flow::extract::{Depth, Layers, Metadata, extract_chained};
use packet::burst::BURST;
use packet::{Burst, Frame};

use super::Core;
use super::plain::plain;
use crate::cache::NONE;
use crate::cache::slab::OUTPUT;
use crate::meta::{Meta, Waiting};
use crate::tx::Shape;

/// In place of a megaflow: the frame has no whole Ethernet header.
const RUNT: u32 = NONE - 1;
/// In place of an action: the packet has no megaflow.
const MISSED: u32 = OUTPUT | 0x7fff_ffff;

/// A burst and what the stages find out about it, by position.
pub(crate) struct Batch {
    pub(crate) burst: Burst,
    keys: [Key; BURST],
    hashes: [u64; BURST],
    /// Hint, then the megaflow, [`NONE`] or [`RUNT`].
    found: [u32; BURST],
    lengths: [u32; BURST],
    actions: [u32; BURST],
    layers: Layers,
}

impl Batch {
    pub(crate) fn new() -> Box<Batch> {
        Box::new(Batch {
            burst: Burst::new(),
            keys: std::array::from_fn(|_| Key::default()),
            hashes: [0; BURST],
            found: [NONE; BURST],
            lengths: [0; BURST],
            actions: [0; BURST],
            layers: Layers::default(),
        })
    }
}

/// The ethertype of a frame that is certainly in the class of untagged, unfragmented packets of it. Others return 0 and
/// are parsed: tags, 802.3 lengths, fragments, IPv6 with extension headers, short frames.
///
/// Fragment bits are 0 in the key of a malformed IPv4 header too, so bits that are 0 here need no further check.
#[inline(always)]
pub(super) fn quick_class(frame: &Frame) -> u16 {
    let Some(head) = frame.data().first_chunk::<24>() else { return 0 };
    let ethertype = u16::from_be_bytes([head[12], head[13]]);
    match ethertype {
        0x0800 if u16::from_be_bytes([head[20], head[21]]) & 0x3fff == 0 => ethertype,
        // TCP, UDP, ICMPv6
        0x86dd if matches!(head[20], 6 | 17 | 58) => ethertype,
        0x0800 | 0x86dd | 0x8100 | 0x88a8 | 0x9100 => 0,
        0x0600.. => ethertype,
        _ => 0,
    }
}

impl Core {
    /// Takes a burst that was received on `slot` all the way to transmit buffers and queues.
    pub(crate) fn process(&mut self, batch: &mut Batch, slot: u16) {
        self.flows.burst = self.flows.burst.wrapping_add(1);
        let n = batch.burst.len();
        if self.flows.port(slot).is_none_or(|p| p.version != self.version) {
            self.catch_up(slot);
        }
        let Some(port) = self.flows.port(slot) else {
            batch.burst.clear();
            return;
        };
        let simple = port.spaces[0].simple;
        let mut shape = Shape::default();
        if simple {
            let frames = batch.burst.as_slice();
            let class = frames.first().map_or(0, quick_class);
            let mut other = 0;
            for (frame, length) in frames.iter().zip(&mut batch.lengths) {
                *length = shape.add(frame);
                other |= class ^ quick_class(frame);
            }
            self.out.tx.fates.received(slot, n as u64, shape.bytes);
            self.out.tx.fates.worker.bursts.add(1);
            if other == 0 && class != 0 {
                let index = port.spaces[0].class(class, &self.flows.slab);
                if index != NONE {
                    self.out.tx.fates.worker.hit_simple.add(n as u64);
                    let stamp = port.pending.now();
                    let (now, number) = (self.now.as_nanos(), self.flows.burst);
                    if let Some(hot) = self.flows.slab.get_mut(index)
                        && hot.stamp == stamp
                        && hot.action & OUTPUT != 0
                    {
                        hot.count(n as u64, shape.bytes, now, number);
                        self.out.tx.output_burst(hot.action & !OUTPUT, &mut batch.burst, slot, shape);
                    } else {
                        batch.found.get_mut(..n).unwrap_or_default().fill(index);
                        self.execute(batch, slot, n, shape);
                    }
                    return;
                }
            }
        } else {
            for (frame, length) in batch.burst.as_slice().iter().zip(&mut batch.lengths) {
                frame.prefetch_data();
                *length = shape.add(frame);
            }
            self.out.tx.fates.received(slot, n as u64, shape.bytes);
            self.out.tx.fates.worker.bursts.add(1);
        }
        if simple {
            self.look_up::<true>(batch, slot)
        } else {
            self.look_up::<false>(batch, slot)
        }
        self.execute(batch, slot, n, shape);
    }

    /// Finds the megaflow of each packet: four passes, so that what one asks memory for is there in the next.
    fn look_up<const SIMPLE: bool>(&mut self, batch: &mut Batch, slot: u16) {
        let Some(port) = self.flows.port(slot) else { return };
        if !self.flows.limits.caches {
            batch.found.fill(NONE);
            return;
        }
        let space = &port.spaces[0];
        let md = Metadata { vlan_limit: self.out.vlan_limit, ..Metadata::default() };
        let (id, depth, seed) = (port.id() as u32, space.depth, self.flows.seed);
        // positions that need no lookup
        let mut settled = 0u32;
        let mut runts = 0u32;
        let Batch { burst, keys, hashes, found, layers, .. } = batch;
        let frames = burst.as_slice();
        let n = frames.len();
        let (Some(keys), Some(hashes), Some(found)) = (keys.get_mut(..n), hashes.get_mut(..n), found.get_mut(..n))
        else {
            return;
        };
        for (i, (((frame, key), hash), found)) in
            frames.iter().zip(keys.iter_mut()).zip(hashes.iter_mut()).zip(found.iter_mut()).enumerate()
        {
            if SIMPLE {
                let class = quick_class(frame);
                *found = if class != 0 { space.class(class, &self.flows.slab) } else { NONE };
                if *found != NONE {
                    settled |= 1 << i;
                    continue;
                }
            }
            if !SIMPLE && let Some(base) = plain(frame, u64::from(id)) {
                *hash = space.hash_of(&base, seed);
                key.start(base);
                self.flows.signatures.prefetch(*hash);
                continue;
            }
            let rest = if frame.is_linear() { 0 } else { frame.len() - frame.seg_len() };
            if extract_chained(frame.data(), rest, depth, id, &md, key, layers).is_err() {
                runts |= 1 << i;
                *found = RUNT;
                continue;
            }
            *hash = space.hash(key.base(), key, seed);
            self.flows.signatures.prefetch(*hash);
        }
        let worker = &self.out.tx.fates.worker;
        worker.hit_simple.add(u64::from(settled.count_ones()));
        settled |= runts;
        let mut missed = 0u32;
        if settled == 0 {
            for (hash, found) in hashes.iter().zip(found.iter_mut()) {
                *found = self.flows.signatures.find(*hash);
                self.flows.slab.prefetch(*found);
            }
            for (i, (key, found)) in keys.iter().zip(found.iter_mut()).enumerate() {
                if !self.flows.verify(port, *found, key.base(), key) {
                    *found = NONE;
                    missed |= 1 << i;
                }
            }
        } else {
            for (i, ((key, hash), found)) in keys.iter().zip(hashes.iter()).zip(found.iter_mut()).enumerate() {
                if settled >> i & 1 != 0 {
                    continue;
                }
                *found = self.flows.signatures.find(*hash);
                if !self.flows.verify(port, *found, key.base(), key) {
                    *found = NONE;
                    missed |= 1 << i;
                }
            }
        }
        worker.hit_signature.add(n as u64 - u64::from((settled | missed).count_ones()));
        if SIMPLE {
            missed |= !settled;
        }
        if missed != 0 {
            self.look_up_tuples(batch, slot, missed);
        }
    }

    /// What the signature cache did not know; `positions` is a bit map.
    #[cold]
    fn look_up_tuples(&mut self, batch: &mut Batch, slot: u16, positions: u32) {
        let worker = self.out.tx.fates.worker.clone();
        let Batch { burst, keys, found, .. } = batch;
        for (i, ((frame, key), found)) in burst.iter().zip(keys.iter()).zip(found.iter_mut()).enumerate() {
            if positions >> i & 1 == 0 {
                continue;
            }
            if *found == NONE {
                *found = self.flows.find(slot, key.base(), key, &worker);
                worker.hit_tuple.add(u64::from(*found != NONE));
            }
            if *found != NONE {
                self.learn_class(slot, Some(frame), *found);
            }
        }
    }

    /// Remembers the class of a packet for the simple match, where that is what the port does.
    pub(super) fn learn_class(&mut self, slot: u16, frame: Option<&Frame>, index: u32) {
        let class = frame.map_or(0, quick_class);
        if class != 0
            && let Some(Some(port)) = self.flows.ports.get_mut(usize::from(slot))
        {
            let space = &mut port.spaces[0];
            if space.simple && space.depth == Depth::Simple {
                space.learn_class(class, index, &self.flows.slab);
            }
        }
    }

    /// Counts each run of one megaflow once and does what it says: all at once when all packets go to one port.
    fn execute(&mut self, batch: &mut Batch, slot: u16, n: usize, shape: Shape) {
        let Some(port) = self.flows.port(slot) else { return };
        let (stamp, now, number) = (port.pending.now(), self.now.as_nanos(), self.flows.burst);
        let mut i = 0;
        let mut only = None;
        let mut uniform = true;
        while i < n.min(BURST) {
            let index = batch.found[i];
            let mut bytes = u64::from(batch.lengths[i]);
            let mut j = i + 1;
            while j < n.min(BURST) && batch.found[j] == index {
                bytes += u64::from(batch.lengths[j]);
                j += 1;
            }
            let mut hot = self.flows.slab.get_mut(index);
            if hot.as_ref().is_some_and(|hot| hot.stamp != stamp) {
                hot = if self.is_current(slot, index) { self.flows.slab.get_mut(index) } else { None };
                if hot.is_none() {
                    batch.found.get_mut(i..j).unwrap_or_default().fill(NONE);
                }
            }
            let mut action = MISSED;
            if let Some(hot) = hot {
                hot.count((j - i) as u64, bytes, now, number);
                action = hot.action;
            }
            batch.actions.get_mut(i..j).unwrap_or_default().fill(action);
            uniform &= *only.get_or_insert(action) == action;
            i = j;
        }
        let only = only.unwrap_or(MISSED);
        if uniform && only & OUTPUT != 0 && only != MISSED {
            self.out.tx.output_burst(only & !OUTPUT, &mut batch.burst, slot, shape);
            return;
        }
        let Batch { burst, actions, found, .. } = batch;
        for ((frame, action), index) in burst.drain().zip(actions.iter()).zip(found.iter()) {
            if *action == MISSED {
                if *index == RUNT {
                    self.out.tx.fates.dropped(slot, DropReason::Runt, 1);
                } else {
                    self.single(Waiting { frame, slot, primary: true, meta: Meta::default() }, false);
                }
            } else if action & OUTPUT != 0 {
                self.out.tx.output(action & !OUTPUT, frame, slot);
            } else {
                self.program(*action, Waiting { frame, slot, primary: true, meta: Meta::default() });
            }
        }
    }
}
