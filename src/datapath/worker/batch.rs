//! The stages of a burst: shape, extract, look up, group, execute.

use dpif::DropReason;
use flow::Key;
use flow::extract::{Depth, Layers, Metadata, extract_chained};
use packet::burst::BURST;
use packet::{Burst, Frame};

use super::Core;
use super::plain::{plain, plain_words};
use crate::cache::NONE;
use crate::cache::hash::{Base, Plain};
use crate::cache::slab::OUTPUT;
use crate::meta::{Meta, Waiting};
use crate::stats::QueueCounters;
use crate::tx::Shape;

/// In place of a megaflow: the frame has no whole Ethernet header.
const RUNT: u32 = NONE - 1;
/// In place of an action: the packet has no megaflow.
const MISSED: u32 = OUTPUT | 0x7fff_ffff;

/// What the stages find out about a packet.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Item {
    /// First tier of its key.
    base: Base,
    hash: u64,
    /// Hint, then the megaflow, [`NONE`] or [`RUNT`].
    found: u32,
    length: u32,
    action: u32,
    /// Its whole key was extracted; else there is nothing beyond `base`.
    whole: bool,
}

/// A burst and what the stages find out about it, by position.
pub(crate) struct Batch {
    pub(crate) burst: Burst,
    items: [Item; BURST],
    keys: Box<[Key; BURST]>,
    layers: Layers,
    /// Packets that are only sent, and the others; empty between bursts.
    kinds: [Burst; 2],
    /// Where in `items` these are.
    places: [[u8; BURST]; 2],
}

impl Batch {
    pub(crate) fn new() -> Box<Batch> {
        let item = Item { base: [0; 8], hash: 0, found: NONE, length: 0, action: MISSED, whole: false };
        Box::new(Batch {
            burst: Burst::new(),
            items: [item; BURST],
            keys: Box::new(std::array::from_fn(|_| Key::default())),
            layers: Layers::default(),
            kinds: [Burst::new(), Burst::new()],
            places: [[0; BURST]; 2],
        })
    }

    /// Drops whatever frames are in it.
    pub(crate) fn clear(&mut self) {
        self.burst.clear();
        self.kinds.iter_mut().for_each(Burst::clear);
    }
}

/// The whole key of a packet, made now if it was not.
#[inline(always)]
fn whole<'a>(base: &Base, done: &mut bool, key: &'a mut Key) -> &'a Key {
    if !std::mem::replace(done, true) {
        key.start(*base);
    }
    key
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
    /// Takes a burst that was received from `queue` of `slot` all the way to transmit buffers and queues.
    pub(crate) fn process(&mut self, batch: &mut Batch, slot: u16, queue: &QueueCounters) {
        self.flows.burst = self.flows.burst.wrapping_add(1);
        let n = batch.burst.len();
        if self.flows.port(slot).is_none_or(|p| p.version != self.version) {
            self.catch_up(slot);
        }
        let Some(port) = self.flows.port(slot) else {
            batch.burst.clear();
            return;
        };
        if let Some(taps) = &mut self.out.tx.fates.taps {
            taps.ingress(port.port, batch.burst.as_slice());
        }
        let simple = port.spaces[0].simple;
        let mut shape = Shape::default();
        if simple {
            let frames = batch.burst.as_slice();
            let class = frames.first().map_or(0, quick_class);
            let mut other = 0;
            for (frame, item) in frames.iter().zip(&mut batch.items) {
                item.length = shape.add(frame);
                other |= class ^ quick_class(frame);
            }
            self.out.tx.fates.received(slot, n as u64, shape.bytes);
            queue.count(n as u64, shape.bytes);
            self.out.tx.fates.worker.bursts.add(n);
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
                        batch.items.iter_mut().for_each(|item| item.found = index);
                        self.execute(batch, slot, n, shape);
                    }
                    return;
                }
            }
        } else {
            for (frame, item) in batch.burst.as_slice().iter().zip(&mut batch.items) {
                frame.prefetch_data();
                item.length = shape.add(frame);
            }
            self.out.tx.fates.received(slot, n as u64, shape.bytes);
            queue.count(n as u64, shape.bytes);
            self.out.tx.fates.worker.bursts.add(n);
        }
        if simple {
            self.look_up::<true>(batch, slot);
        } else if !port.spaces[0].plain || !self.look_up_plain(batch, slot) {
            self.look_up::<false>(batch, slot);
        }
        self.execute(batch, slot, n, shape);
    }

    /// Finds the megaflow of each packet: four passes, so that what one asks memory for is there in the next.
    fn look_up<const SIMPLE: bool>(&mut self, batch: &mut Batch, slot: u16) {
        let Some(port) = self.flows.port(slot) else { return };
        if !self.flows.limits.caches {
            batch.items.iter_mut().for_each(|item| item.found = NONE);
            return;
        }
        let space = &port.spaces[0];
        let md = Metadata { vlan_limit: self.out.vlan_limit, ..Metadata::default() };
        let (id, depth, seed) = (port.id(), space.depth, self.flows.seed);
        // positions that need no lookup
        let mut settled = 0u32;
        let mut runts = 0u32;
        let Batch { burst, items, keys, layers, .. } = batch;
        let frames = burst.as_slice();
        let n = frames.len();
        let Some(items) = items.get_mut(..n) else { return };
        for (i, (frame, item)) in frames.iter().zip(items.iter_mut()).enumerate() {
            if SIMPLE {
                let class = quick_class(frame);
                item.found = if class != 0 { space.class(class, &self.flows.slab) } else { NONE };
                if item.found != NONE {
                    settled |= 1 << i;
                    continue;
                }
            } else if let Some(base) = plain(frame, id) {
                item.base = base;
                item.whole = false;
                item.hash = space.hash_of(&base, seed);
                self.flows.signatures.prefetch(item.hash);
                continue;
            }
            let key = &mut keys[i % BURST];
            let rest = if frame.is_linear() { 0 } else { frame.len() - frame.seg_len() };
            if extract_chained(frame.data(), rest, depth, id as u32, &md, key, layers).is_err() {
                runts |= 1 << i;
                item.found = RUNT;
                continue;
            }
            item.base = *key.base();
            item.whole = true;
            item.hash = space.hash(&item.base, key, seed);
            self.flows.signatures.prefetch(item.hash);
        }
        let worker = &self.out.tx.fates.worker;
        worker.hit_simple.add(u64::from(settled.count_ones()));
        settled |= runts;
        let mut missed = 0u32;
        for item in items.iter_mut() {
            // a hint for a settled packet would be of its place's last packet
            let hint = self.flows.signatures.find(item.hash);
            if settled == 0 {
                item.found = hint;
                self.flows.slab.prefetch(hint);
            }
        }
        for (i, item) in items.iter_mut().enumerate() {
            if settled != 0 {
                if settled >> i & 1 != 0 {
                    continue;
                }
                item.found = self.flows.signatures.find(item.hash);
            }
            let key = &mut keys[i % BURST];
            let (base, done) = (&item.base, &mut item.whole);
            if !self.flows.verify(port, item.found, base, || whole(base, done, key)) {
                item.found = NONE;
                missed |= 1 << i;
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

    /// The same for a burst of plain packets on a port where nothing but their words 3 and 4 matters; false for others.
    fn look_up_plain(&mut self, batch: &mut Batch, slot: u16) -> bool {
        let Some(port) = self.flows.port(slot).filter(|_| self.flows.limits.caches) else { return false };
        let id = port.id();
        let hash = Plain::new(&[id, 0x0800, 0, 0, 0, 0, 0, 0], &port.spaces[0].union, self.flows.seed);
        let n = batch.burst.len();
        let Some(items) = batch.items.get_mut(..n) else { return false };
        for (frame, item) in batch.burst.iter().zip(items.iter_mut()) {
            let Some(words) = plain_words(frame) else { return false };
            (item.base[3], item.base[4]) = words;
            item.hash = hash.of(words);
            self.flows.signatures.prefetch(item.hash);
        }
        for item in items.iter_mut() {
            item.found = self.flows.signatures.find(item.hash);
            self.flows.slab.prefetch(item.found);
        }
        let mut missed = 0u32;
        for (i, item) in items.iter_mut().enumerate() {
            if !self.flows.verify_plain(port, item.found, id, (item.base[3], item.base[4])) {
                item.found = NONE;
                missed |= 1 << i;
            }
        }
        self.out.tx.fates.worker.hit_signature.add(n as u64 - u64::from(missed.count_ones()));
        if missed != 0 {
            for (i, (frame, item)) in batch.burst.iter().zip(items.iter_mut()).enumerate() {
                if missed >> i & 1 != 0
                    && let Some(base) = plain(frame, id)
                {
                    item.base = base;
                    item.whole = false;
                }
            }
            self.look_up_tuples(batch, slot, missed);
        }
        true
    }

    /// What the signature cache did not know; `positions` is a bit map.
    #[cold]
    fn look_up_tuples(&mut self, batch: &mut Batch, slot: u16, positions: u32) {
        let worker = self.out.tx.fates.worker.clone();
        let Batch { burst, items, keys, .. } = batch;
        for (i, ((frame, item), key)) in burst.iter().zip(items.iter_mut()).zip(keys.iter_mut()).enumerate() {
            if positions >> i & 1 == 0 {
                continue;
            }
            if item.found == NONE {
                let key = whole(&item.base, &mut item.whole, key);
                item.found = self.flows.find(slot, &item.base, key, &worker);
                worker.hit_tuple.add(u64::from(item.found != NONE));
            }
            if item.found != NONE {
                self.learn_class(slot, Some(frame), item.found);
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

    /// Counts each packet for its megaflow and does what that says: packets that are only sent first, then the others,
    /// each kind in order. Packets of one flow are of one kind.
    ///
    /// Which megaflow a packet has, and of which kind it is, is as random as the traffic: no branch depends on it.
    fn execute(&mut self, batch: &mut Batch, slot: u16, n: usize, shape: Shape) {
        let Some(port) = self.flows.port(slot) else { return };
        let (stamp, now, number) = (port.pending.now(), self.now.as_nanos(), self.flows.burst);
        let Batch { burst, items, kinds, places, .. } = batch;
        let Some(these) = items.get_mut(..n) else { return };
        // the first packet's action, and in what others' differ
        let (mut only, mut differ) = (None, 0);
        for item in these.iter_mut() {
            let mut action = MISSED;
            let mut hot = self.flows.slab.get_mut(item.found);
            if hot.as_ref().is_some_and(|hot| hot.stamp != stamp) {
                hot = if self.is_current(slot, item.found) { self.flows.slab.get_mut(item.found) } else { None };
                if hot.is_none() {
                    item.found = NONE;
                }
            }
            if let Some(hot) = hot {
                hot.count(1, u64::from(item.length), now, number);
                action = hot.action;
            }
            item.action = action;
            differ |= *only.get_or_insert(action) ^ action;
        }
        let only = only.unwrap_or(MISSED);
        if differ == 0 && only & OUTPUT != 0 && only != MISSED {
            self.out.tx.output_burst(only & !OUTPUT, burst, slot, shape);
            return;
        }
        if differ != 0 || only == MISSED {
            // of those that are only sent: the first one's action, in what others' differ, their bytes
            let (mut port, mut ports, mut bytes) = (None, 0, 0);
            for (at, (frame, item)) in burst.drain().zip(these.iter()).enumerate() {
                let kind = usize::from(item.action & OUTPUT == 0) | usize::from(item.action == MISSED);
                let Some(to) = kinds.get_mut(kind) else { continue };
                if let Some(place) = places.get_mut(kind).and_then(|p| p.get_mut(to.len())) {
                    *place = at as u8;
                }
                to.extend([frame]);
                let sent = 0u32.wrapping_sub(1 - kind as u32);
                port = port.or((kind == 0).then_some(item.action));
                ports |= (port.unwrap_or(0) ^ item.action) & sent;
                bytes += u64::from(item.length & sent);
            }
            let [sent, others] = kinds;
            if let Some(port) = port
                && ports == 0
            {
                self.out.tx.output_burst(port & !OUTPUT, sent, slot, Shape { bytes, ..shape });
            } else {
                for (frame, at) in sent.drain().zip(places[0].iter()) {
                    let action = these.get(usize::from(*at)).map_or(0, |item| item.action);
                    self.out.tx.output_received(action & !OUTPUT, frame, slot);
                }
            }
            std::mem::swap(burst, others);
        } else {
            places[1] = std::array::from_fn(|i| i as u8);
        }
        for (mut frame, at) in burst.drain().zip(places[1].iter()) {
            let Some(Item { action, found, .. }) = these.get(usize::from(*at)) else { continue };
            if *action == MISSED {
                if *found == RUNT {
                    self.out.tx.fates.lost(slot, DropReason::Runt, &frame);
                } else {
                    self.single(Waiting { frame, slot, primary: true, meta: Meta::default() }, false);
                }
                continue;
            }
            if let Some(quick) = self.flows.programs.quick(*action)
                && quick.rewrite(&mut frame)
            {
                self.out.tx.output(quick.port, frame, slot);
                continue;
            }
            self.program(*action, Waiting { frame, slot, primary: true, meta: Meta::default() });
        }
    }
}
