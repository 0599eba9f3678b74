//! The worker's side: which packets a capture takes, and the chunk that their copies go to. Runs only while there is a
//! capture.
#![deny(clippy::indexing_slicing)]

use dpif::{DropReason, PortNo};
use flow::Key;
use flow::extract::Layers;
use packet::Frame;
use packet::burst::BURST;

use super::record::{HEAD, head};
use super::{CHUNK, Lane, Point, SNAPLEN, Selection};
use crate::meta::{Meta, extract_all};

/// A chunk is handed over when its first record is so old, nanoseconds.
const OLD: u64 = 1_000_000;

/// One capture on one worker.
pub(crate) struct Tap {
    id: u64,
    selection: Selection,
    lane: Lane,
    /// Being filled, and the time of its first record.
    chunk: Option<Vec<u8>>,
    since: u64,
}

/// The captures of a worker, a bit each in the order of the list.
pub(crate) struct Taps {
    now: u64,
    vlan_limit: u8,
    list: Vec<Tap>,
    key: Box<Key>,
    layers: Layers,
    /// Copies of the frames of a burst that is being sent: what becomes of them is known only when they are gone.
    staged: Vec<Staged>,
    bytes: Vec<u8>,
}

struct Staged {
    /// Its position in the burst.
    at: usize,
    /// Captures that take it if it is sent, and if it is not.
    sent: u8,
    refused: u8,
    from: usize,
    captured: usize,
    length: u32,
}

impl Tap {
    pub(crate) fn new(id: u64, mut selection: Selection, lane: Lane) -> Tap {
        selection.snaplen = selection.snaplen.clamp(1, SNAPLEN);
        Tap { id, selection, lane, chunk: None, since: 0 }
    }

    fn wants(&self, point: Point, port: PortNo) -> bool {
        let s = &self.selection;
        let point = match point {
            Point::Ingress => s.ingress,
            Point::Egress => s.egress,
            Point::Drop(_) => s.drops,
        };
        point && s.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }

    /// Appends a record whose bytes `fill` writes.
    fn write(&mut self, now: u64, port: PortNo, point: Point, length: u32, most: usize, fill: impl FnOnce(&mut [u8])) {
        let captured = most.min(self.selection.snaplen as usize);
        if self.chunk.as_ref().is_some_and(|c| c.len() + HEAD + captured > CHUNK) {
            self.hand_over();
        }
        if self.chunk.is_none() {
            self.chunk = self.lane.empty.pop();
            self.since = now;
        }
        let Some(chunk) = &mut self.chunk else {
            self.lane.counts.missed.inc();
            return;
        };
        chunk.extend_from_slice(&head(now, port, point, length, captured as u32));
        let at = chunk.len();
        chunk.resize(at + captured, 0);
        if let Some(room) = chunk.get_mut(at..) {
            fill(room);
        }
        self.lane.counts.taken.inc();
    }

    fn hand_over(&mut self) {
        if let Some(bytes) = self.chunk.take() {
            // as many fit as there are
            let _ = self.lane.full.push(super::Chunk { worker: self.lane.worker, bytes });
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl Taps {
    /// In the loop that began at `now`.
    pub(crate) fn new(now: u64, vlan_limit: u8) -> Taps {
        Taps {
            now,
            vlan_limit,
            list: Vec::with_capacity(super::MOST),
            key: Box::default(),
            layers: Layers::default(),
            staged: Vec::with_capacity(BURST),
            bytes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, tap: Tap) {
        if self.list.len() < super::MOST {
            self.list.push(tap);
        }
    }

    /// Ends a capture: what was copied is handed over. True when none is left.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.list.retain(|t| t.id != id);
        self.list.is_empty()
    }

    /// A loop of the worker begins.
    pub(crate) fn begin(&mut self, now: u64, vlan_limit: u8) {
        (self.now, self.vlan_limit) = (now, vlan_limit);
    }

    /// It ends: chunks that are old go. Before the thread sleeps, all.
    pub(crate) fn end(&mut self, sleeping: bool) {
        let now = self.now;
        let due = |t: &&mut Tap| sleeping || now.saturating_sub(t.since) >= OLD;
        self.list.iter_mut().filter(due).for_each(Tap::hand_over);
    }

    /// Frames came in.
    pub(crate) fn ingress(&mut self, port: PortNo, frames: &[Frame]) {
        let wanted = self.wanting(Point::Ingress, port);
        if wanted != 0 {
            frames.iter().for_each(|frame| self.take(wanted, Point::Ingress, port, port, frame));
        }
    }

    /// A frame that came from `port` is dropped.
    pub(crate) fn dropped(&mut self, port: PortNo, reason: DropReason, frame: &Frame) {
        let wanted = self.wanting(Point::Drop(reason), port);
        if wanted != 0 {
            self.take(wanted, Point::Drop(reason), port, port, frame);
        }
    }

    /// The captures that take packets at a point of a port, by bit.
    fn wanting(&self, point: Point, port: PortNo) -> u8 {
        self.list.iter().enumerate().filter(|(_, t)| t.wants(point, port)).fold(0, |bits, (i, _)| bits | 1 << i)
    }

    /// Those of `wanted` whose match the frame has.
    fn passing(&mut self, wanted: u8, in_port: PortNo, frame: &Frame) -> u8 {
        let asks = |(i, t): &(usize, &Tap)| wanted >> i & 1 != 0 && !t.selection.matching.is_any();
        if !self.list.iter().enumerate().any(|t| asks(&t)) {
            return wanted;
        }
        // a frame without an Ethernet header has no key: no match is about it
        let (key, layers) = (&mut self.key, &mut self.layers);
        let runt = extract_all(frame, in_port.0, &Meta::default(), self.vlan_limit, key, layers).is_err();
        let refuse = |t: &Tap| runt || t.selection.matching.iter().any(|(i, p)| self.key.word(i) & p.mask != p.value);
        let refused = self.list.iter().enumerate().filter(asks).filter(|(_, t)| refuse(t));
        refused.fold(wanted, |bits, (i, _)| bits & !(1 << i))
    }

    fn take(&mut self, wanted: u8, point: Point, port: PortNo, in_port: PortNo, frame: &Frame) {
        let passing = self.passing(wanted, in_port, frame);
        let length = frame.len();
        for (i, tap) in self.list.iter_mut().enumerate() {
            if passing >> i & 1 != 0 {
                tap.write(self.now, port, point, length as u32, length, |room| {
                    frame.copy_to(0, room);
                });
            }
        }
    }

    /// Copies frames that are about to be sent to `port`. `from` is the port that a frame came from, and whether it is no
    /// copy: only then its drop counts.
    pub(crate) fn stage(&mut self, port: PortNo, frames: &[Frame], from: impl Fn(usize) -> (PortNo, bool)) {
        self.staged.clear();
        self.bytes.clear();
        let egress = self.wanting(Point::Egress, port);
        for (at, frame) in frames.iter().enumerate() {
            let (in_port, primary) = from(at);
            let drop = if primary { self.wanting(Point::Drop(DropReason::TxFull), in_port) } else { 0 };
            if egress | drop == 0 {
                continue;
            }
            let passing = self.passing(egress | drop, in_port, frame);
            if passing == 0 {
                continue;
            }
            let captured = frame.len().min(SNAPLEN as usize);
            let begin = self.bytes.len();
            self.bytes.resize(begin + captured, 0);
            if let Some(room) = self.bytes.get_mut(begin..) {
                frame.copy_to(0, room);
            }
            let (sent, refused) = (passing & egress, passing & drop);
            self.staged.push(Staged { at, sent, refused, from: begin, captured, length: frame.len() as u32 });
        }
    }

    /// What became of the staged frames: the first `sent` were taken, unless they went to another worker's ring, which
    /// sends them; the others were dropped.
    pub(crate) fn settle(
        &mut self,
        port: PortNo,
        sent: usize,
        remote: bool,
        reason: DropReason,
        from: impl Fn(usize) -> PortNo,
    ) {
        for s in &self.staged {
            let (wanted, point, at) = match s.at < sent {
                true if remote => continue,
                true => (s.sent, Point::Egress, port),
                false => (s.refused, Point::Drop(reason), from(s.at)),
            };
            let bytes = self.bytes.get(s.from..s.from + s.captured).unwrap_or_default();
            for (i, tap) in self.list.iter_mut().enumerate() {
                if wanted >> i & 1 != 0 {
                    tap.write(self.now, at, point, s.length, s.captured, |room| {
                        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                    });
                }
            }
        }
        self.staged.clear();
    }
}
