//! One packet: an owning pointer to a DPDK mbuf or to a heap block of the same layout, and its offload metadata.
//!
//! Accessors don't ask which of the two it is. A chain is of one kind throughout. Headers are made linear
//! ([`Frame::linearize_to`]); payload may stay spread over segments.

mod meta;
#[expect(unsafe_code, reason = "allocates heap frames and calls the pool's functions")]
mod raw;
#[cfg(test)]
mod tests;

pub use meta::{Checksum, L4Sum, Offload, Version, flags};
pub(crate) use raw::free_pooled;
pub use raw::{HEADROOM, PoolOps, RawFrame, SEGMENT_MAX, TAILROOM, set_pool_ops};

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Owns one packet. Dropping it frees it, to its pool or to the heap.
///
/// Invariants of the chain behind it, which all its unsafe code relies on: it alone reaches the chain (reference counts
/// are 1, no attached buffers); in each segment `data_off + data_len <= buf_len` and `buf_addr` is the start of
/// `buf_len` initialised bytes; `pkt_len` is the sum of the `data_len`s and `nb_segs` their number; all segments have a
/// null `pool` and were made by this crate, or all have pools.
#[repr(transparent)]
pub struct Frame(NonNull<RawFrame>);

// SAFETY: a frame is the only way to its chain (the invariant), whose memory is not bound to a thread: the pool's
// functions work from any thread by the contract of `set_pool_ops`, the heap's as well.
unsafe impl Send for Frame {}
// SAFETY: a shared frame only reads its chain.
unsafe impl Sync for Frame {}

impl Frame {
    /// A heap frame with a copy of `data`, with [`HEADROOM`] in front and [`TAILROOM`] behind.
    pub fn from_slice(data: &[u8]) -> Frame {
        Frame::with_headroom(data, HEADROOM)
    }

    /// A heap frame with a copy of `data` and room for `headroom` bytes (at most 4,096) in front of it. Over
    /// [`SEGMENT_MAX`] bytes it has several segments.
    pub fn with_headroom(data: &[u8], headroom: usize) -> Frame {
        let headroom = headroom.min(4096);
        let (first, mut rest) = data.split_at(data.len().min(SEGMENT_MAX));
        let mut frame = Frame::heap(first.len(), headroom);
        if let Some(room) = frame.append(first.len()) {
            room.copy_from_slice(first);
        }
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(SEGMENT_MAX));
            let mut segment = Frame::heap(now.len(), 0);
            if let Some(room) = segment.append(now.len()) {
                room.copy_from_slice(now);
            }
            frame.chain(segment);
            rest = later;
        }
        frame
    }

    /// An empty heap frame with room for `len` bytes (at most [`SEGMENT_MAX`]) of data and the usual room around it.
    pub fn with_capacity(len: usize) -> Frame {
        Frame::heap(len.min(SEGMENT_MAX), HEADROOM)
    }

    fn heap(len: usize, headroom: usize) -> Frame {
        let buf_len = u16::try_from(len + headroom + TAILROOM).unwrap_or(u16::MAX);
        Frame(raw::alloc_heap(buf_len, headroom as u16))
    }

    /// An empty frame from where this one came from: its pool, or the heap when it is a heap frame. Room for data is the
    /// pool's, respectively `len` bytes. None when the pool is empty.
    pub fn alloc_like(&self, len: usize) -> Option<Frame> {
        let pool = self.raw().pool;
        if pool.is_null() {
            return Some(Frame::with_capacity(len));
        }
        // SAFETY: `pool` is that of a live pool frame.
        let seg = NonNull::new(unsafe { (raw::pool_ops()?.alloc)(pool) })?;
        // SAFETY: what `alloc` returns is a frame, by the contract of `set_pool_ops`.
        Some(unsafe { Frame::from_raw(seg) })
    }

    /// Takes ownership of a chain.
    ///
    /// # Safety
    /// The chain satisfies the invariants that the type's documentation lists.
    #[inline]
    pub unsafe fn from_raw(seg: NonNull<RawFrame>) -> Frame {
        Frame(seg)
    }

    /// Gives ownership away: whoever has the pointer frees it, for instance by [`Frame::from_raw`].
    #[inline]
    pub fn into_raw(self) -> NonNull<RawFrame> {
        ManuallyDrop::new(self).0
    }

    /// Address of the first segment. What is written through it must keep the type's invariants.
    #[inline]
    pub fn as_ptr(&self) -> *mut RawFrame {
        self.0.as_ptr()
    }

    /// The first segment's header.
    #[inline]
    pub fn raw(&self) -> &RawFrame {
        // SAFETY: a frame owns a live chain.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn raw_mut(&mut self) -> &mut RawFrame {
        // SAFETY: a frame owns a live chain, and is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }

    /// Whether it belongs to a pool, rather than to the heap.
    #[inline]
    pub fn is_pooled(&self) -> bool {
        !self.raw().pool.is_null()
    }

    /// Bytes of all segments.
    #[expect(clippy::len_without_is_empty, reason = "an empty packet is nothing one asks for")]
    #[inline]
    pub fn len(&self) -> usize {
        self.raw().pkt_len as usize
    }

    /// Bytes of the first segment.
    #[inline]
    pub fn seg_len(&self) -> usize {
        usize::from(self.raw().data_len)
    }

    /// Whether there is one segment only.
    #[inline]
    pub fn is_linear(&self) -> bool {
        self.raw().next.is_null()
    }

    /// Bytes that can still be put in front of the first segment without moving it.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.raw().data_off)
    }

    /// Bytes that can still be put behind the last segment.
    pub fn tailroom(&self) -> usize {
        tailroom(self.last())
    }

    /// The first segment's bytes.
    #[inline]
    pub fn data(&self) -> &[u8] {
        bytes(self.raw())
    }

    /// The first segment's bytes.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let raw = self.raw_mut();
        // SAFETY: `data_off <= buf_len`, so the address is inside the buffer or one past its end.
        let start = unsafe { raw.buf_addr.add(usize::from(raw.data_off)) };
        // SAFETY: `data_len` initialised bytes follow inside the buffer (the invariant), reachable only through this
        // frame, which is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(start, usize::from(raw.data_len)) }
    }

    /// The bytes of each segment, in order. Their lengths add up to [`len`](Self::len).
    #[inline]
    pub fn segments(&self) -> Segments<'_> {
        Segments { next: Some(self.raw()) }
    }

    /// The whole packet, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        for segment in self.segments() {
            out.extend_from_slice(segment);
        }
        out
    }

    /// Copies bytes from `offset` on into `out`, over segment borders; returns how many there were to copy.
    pub fn copy_to(&self, mut offset: usize, out: &mut [u8]) -> usize {
        let mut done = 0;
        for segment in self.segments() {
            let Some(from) = segment.get(offset..) else {
                offset -= segment.len();
                continue;
            };
            offset = 0;
            let Some(to) = out.get_mut(done..) else { break };
            let n = from.len().min(to.len());
            if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
                to.copy_from_slice(from);
            }
            done += n;
        }
        done
    }

    /// Puts `n` bytes in front, which hold whatever was there, and returns them. Moves the segment's data back when
    /// there is too little room in front but enough in all; None when there is not.
    #[inline]
    pub fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        if self.headroom() < n {
            self.shift_back(n)?;
        }
        let raw = self.raw_mut();
        let len = u16::try_from(usize::from(raw.data_len) + n).ok()?;
        raw.data_off -= n as u16;
        raw.data_len = len;
        raw.pkt_len += n as u32;
        self.data_mut().get_mut(..n)
    }

    /// Moves the first segment's data so that at least `n` bytes are free in front.
    #[cold]
    fn shift_back(&mut self, n: usize) -> Option<()> {
        let raw = self.raw_mut();
        let (off, len, room) = (usize::from(raw.data_off), usize::from(raw.data_len), usize::from(raw.buf_len));
        let free = room - len;
        if free < n {
            return None;
        }
        // as far back as keeps half of what is free behind, so that a run of pushes does not move it each time
        let new = n.max(free / 2);
        // SAFETY: source and target are `len` bytes inside the buffer: `off + len <= room`, `new + len <= room`.
        unsafe { std::ptr::copy(raw.buf_addr.add(off), raw.buf_addr.add(new), len) };
        raw.data_off = new as u16;
        Some(())
    }

    /// Removes `n` bytes in front; false when the first segment has fewer.
    #[inline]
    pub fn pull(&mut self, n: usize) -> bool {
        if n > self.seg_len() {
            return false;
        }
        let raw = self.raw_mut();
        raw.data_off += n as u16;
        raw.data_len -= n as u16;
        raw.pkt_len -= n as u32;
        true
    }

    /// Puts `n` bytes behind the last segment, which hold whatever was there, and returns them; None when there is too
    /// little room.
    pub fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let mut last = self.last_ptr();
        // SAFETY: a live segment of this frame's chain, which is borrowed exclusively.
        let raw = unsafe { last.as_mut() };
        if tailroom(raw) < n {
            return None;
        }
        let old = usize::from(raw.data_len);
        raw.data_len += n as u16;
        // SAFETY: `data_off + old + n <= buf_len` was checked above.
        let start = unsafe { raw.buf_addr.add(usize::from(raw.data_off) + old) };
        self.raw_mut().pkt_len += n as u32;
        // SAFETY: `n` initialised bytes of the buffer, reachable only through this frame, borrowed exclusively.
        Some(unsafe { std::slice::from_raw_parts_mut(start, n) })
    }

    /// Shortens the packet to `len` bytes; segments that fall behind are freed. Does nothing to a shorter one.
    pub fn trim(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let mut left = len;
        let mut count = 1;
        let mut at = self.0;
        let rest = loop {
            // SAFETY: a live segment of this frame's chain, which is borrowed exclusively.
            let raw = unsafe { at.as_mut() };
            let here = usize::from(raw.data_len);
            if left <= here {
                raw.data_len = left as u16;
                break std::mem::replace(&mut raw.next, std::ptr::null_mut());
            }
            left -= here;
            match NonNull::new(raw.next) {
                Some(next) => at = next,
                None => break std::ptr::null_mut(),
            }
            count += 1;
        };
        self.raw_mut().pkt_len = len as u32;
        self.raw_mut().nb_segs = count;
        if let Some(rest) = NonNull::new(rest) {
            self.free_tail(rest);
        }
    }

    /// Frees segments that were cut off this chain.
    fn free_tail(&mut self, mut rest: NonNull<RawFrame>) {
        let mut count = 0;
        let mut at = Some(rest);
        while let Some(seg) = at {
            count += 1;
            // SAFETY: a live segment, owned by this frame until it was cut off.
            at = NonNull::new(unsafe { seg.as_ref() }.next);
        }
        // freeing a chain by the pool's function wants its head to know the number of segments
        // SAFETY: as above, and nobody else has it.
        unsafe { rest.as_mut() }.nb_segs = count;
        // SAFETY: the part that was cut off is owned here and not used afterwards.
        unsafe { raw::free_chain(rest) };
    }

    /// Makes the first `n` bytes contiguous in the first segment. False when the packet is shorter, or the first
    /// segment's buffer is.
    #[inline]
    pub fn linearize_to(&mut self, n: usize) -> bool {
        if n <= self.seg_len() {
            return true;
        }
        self.gather(n)
    }

    #[cold]
    fn gather(&mut self, n: usize) -> bool {
        if n > self.len() || n > usize::from(self.raw().buf_len) {
            return false;
        }
        let raw = self.raw_mut();
        let len = usize::from(raw.data_len);
        if usize::from(raw.data_off) + n > usize::from(raw.buf_len) {
            // SAFETY: source and target are `len` bytes at `data_off` and at the start of the buffer, inside it.
            unsafe { std::ptr::copy(raw.buf_addr.add(usize::from(raw.data_off)), raw.buf_addr, len) };
            raw.data_off = 0;
        }
        while let Some(mut next) = NonNull::new(self.raw().next) {
            let want = n - self.seg_len();
            // SAFETY: a live segment of this frame's chain, borrowed exclusively.
            let from = unsafe { next.as_mut() };
            // empty segments go too, so that gathering all leaves one
            if want == 0 && from.data_len != 0 {
                break;
            }
            let take = want.min(usize::from(from.data_len));
            let to = self.raw_mut();
            let end = usize::from(to.data_off) + usize::from(to.data_len);
            // SAFETY: `take` bytes are in the source's data; in the target `data_off + n <= buf_len` holds and at most
            // `n - data_len` bytes are added. The buffers of two segments are distinct.
            unsafe {
                std::ptr::copy_nonoverlapping(from.buf_addr.add(usize::from(from.data_off)), to.buf_addr.add(end), take)
            };
            to.data_len += take as u16;
            from.data_off += take as u16;
            from.data_len -= take as u16;
            if from.data_len == 0 {
                to.next = std::mem::replace(&mut from.next, std::ptr::null_mut());
                to.nb_segs -= 1;
                self.free_tail(next);
            }
        }
        self.seg_len() >= n
    }

    /// The packet with one segment: itself where it has one; copied into a new heap frame else. None when it is longer
    /// than [`SEGMENT_MAX`].
    pub fn linearize(mut self) -> Option<Frame> {
        if self.is_linear() || self.gather(self.len()) {
            return Some(self);
        }
        if self.len() > SEGMENT_MAX {
            return None;
        }
        let mut out = Frame::from_slice(&self.to_vec());
        out.copy_meta(&self);
        Some(out)
    }

    /// Appends the segments of `tail`, whose metadata is lost. `tail` comes back when one of the two is of the heap and
    /// the other of a pool, or past 65,535 segments.
    pub fn try_chain(&mut self, tail: Frame) -> Result<(), Frame> {
        let segments = self.raw().nb_segs.checked_add(tail.raw().nb_segs);
        let (Some(segments), true) = (segments, self.is_pooled() == tail.is_pooled()) else { return Err(tail) };
        let len = tail.raw().pkt_len;
        let tail = tail.into_raw();
        // SAFETY: the last live segment of this frame's chain, borrowed exclusively.
        unsafe { self.last_ptr().as_mut() }.next = tail.as_ptr();
        let raw = self.raw_mut();
        raw.nb_segs = segments;
        raw.pkt_len += len;
        Ok(())
    }

    fn chain(&mut self, tail: Frame) {
        let done = self.try_chain(tail);
        debug_assert!(done.is_ok());
    }

    /// A deep copy with the metadata: from the frame's pool, or the heap for heap frames. None when the pool is empty.
    pub fn try_clone(&self) -> Option<Frame> {
        if self.is_pooled() {
            // SAFETY: a live pool frame, borrowed.
            let copy = NonNull::new(unsafe { (raw::pool_ops()?.copy)(self.as_ptr()) })?;
            // SAFETY: what `copy` returns is a frame, by the contract of `set_pool_ops`.
            return Some(unsafe { Frame::from_raw(copy) });
        }
        let mut segments = self.segments();
        let mut out = Frame::with_headroom(segments.next().unwrap_or_default(), self.headroom().max(HEADROOM));
        for segment in segments {
            out.chain(Frame::with_headroom(segment, 0));
        }
        out.copy_meta(self);
        Some(out)
    }

    /// Takes over port, hash, packet type and offload metadata from another frame.
    pub fn copy_meta(&mut self, from: &Frame) {
        let from = from.raw();
        let to = self.raw_mut();
        to.port = from.port;
        to.ol_flags = (to.ol_flags & flags::BUFFER) | (from.ol_flags & !flags::BUFFER);
        to.packet_type = from.packet_type;
        to.vlan_tci = from.vlan_tci;
        to.vlan_tci_outer = from.vlan_tci_outer;
        to.hash = from.hash;
        to.tx_offload = from.tx_offload;
    }

    fn last_ptr(&self) -> NonNull<RawFrame> {
        let mut at = self.0;
        // SAFETY: live segments of this frame's chain.
        while let Some(next) = NonNull::new(unsafe { at.as_ref() }.next) {
            at = next;
        }
        at
    }

    fn last(&self) -> &RawFrame {
        // SAFETY: a live segment of this frame's chain, borrowed as the frame is.
        unsafe { self.last_ptr().as_ref() }
    }

    /// Brings the header's first cache line near.
    #[inline]
    pub fn prefetch_header(&self) {
        prefetch(self.0.as_ptr().cast());
    }

    /// Brings the first cache line of the data near; reads the header.
    #[inline]
    pub fn prefetch_data(&self) {
        let raw = self.raw();
        prefetch(raw.buf_addr.wrapping_add(usize::from(raw.data_off)));
    }
}

#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that cannot fault, whatever the address; SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

fn tailroom(raw: &RawFrame) -> usize {
    usize::from(raw.buf_len) - usize::from(raw.data_off) - usize::from(raw.data_len)
}

/// A segment's bytes. Private: sound only for segments of frames.
#[inline]
fn bytes(raw: &RawFrame) -> &[u8] {
    // SAFETY: `data_off <= buf_len`, so the address is inside the buffer or one past its end.
    let start = unsafe { raw.buf_addr.add(usize::from(raw.data_off)) };
    // SAFETY: `data_len` initialised bytes follow inside the buffer (the frame's invariant), shared as `raw` is.
    unsafe { std::slice::from_raw_parts(start, usize::from(raw.data_len)) }
}

/// Iterator of [`Frame::segments`].
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    next: Option<&'a RawFrame>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let raw = self.next?;
        // SAFETY: null or a live segment of the same chain, borrowed as the frame is.
        self.next = unsafe { raw.next.as_ref() };
        Some(bytes(raw))
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the chain is this frame's alone, and the frame ends here.
        unsafe { raw::free_chain(self.0) }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes in {} segments, flags {:#x})", self.len(), self.raw().nb_segs, self.raw().ol_flags)
    }
}
