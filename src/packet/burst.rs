//! Up to 32 frames in a fixed array, laid out so that its slots are an array of `struct rte_mbuf *`.

use crate::frame::{Frame, RawFrame};
use std::fmt;
use std::mem::MaybeUninit;

/// Most frames in a [`Burst`].
pub const BURST: usize = 32;

/// Up to [`BURST`] frames, in order. Dropping it frees what it holds, in bulk where frames come from a pool.
///
/// Invariant: the first `len` slots hold frames that the burst owns.
#[repr(C, align(64))]
pub struct Burst {
    slots: [MaybeUninit<Frame>; BURST],
    len: usize,
}

impl Burst {
    /// An empty burst.
    #[inline]
    pub const fn new() -> Burst {
        Burst { slots: [const { MaybeUninit::uninit() }; BURST], len: 0 }
    }

    /// Frames held.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is no room.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.len == BURST
    }

    /// How many more frames fit.
    #[inline]
    pub const fn room(&self) -> usize {
        BURST - self.len
    }

    /// Appends a frame, or hands it back when the burst is full.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                slot.write(frame);
                self.len += 1;
                Ok(())
            }
            None => Err(frame),
        }
    }

    /// Takes the last frame.
    #[inline]
    pub fn pop(&mut self) -> Option<Frame> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: by the invariant the slot at the old `len - 1` held an owned frame; `len` no longer covers it, so it
        // is read once.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// Takes frame `index` and puts the last in its place: order is not kept.
    #[inline]
    pub fn swap_remove(&mut self, index: usize) -> Option<Frame> {
        if index >= self.len {
            return None;
        }
        let last = self.len - 1;
        self.as_mut_slice().swap(index, last);
        self.pop()
    }

    /// The frames, in order.
    #[inline]
    pub fn as_slice(&self) -> &[Frame] {
        // SAFETY: by the invariant the first `len` slots are initialised; `MaybeUninit<Frame>` has `Frame`'s layout.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    /// The frames, in order.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [Frame] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    /// Frame `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Frame> {
        self.as_slice().get(index)
    }

    /// Frame `index`.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Frame> {
        self.as_mut_slice().get_mut(index)
    }

    /// Iterates over the frames.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Frame> {
        self.as_slice().iter()
    }

    /// Iterates over the frames.
    #[inline]
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Frame> {
        self.as_mut_slice().iter_mut()
    }

    /// Leaves this burst empty and returns what it held.
    #[inline]
    pub fn take(&mut self) -> Burst {
        let mut out = Burst::new();
        out.append(self);
        out
    }

    /// Moves frames from the front of `other` to the end of this burst while there is room; returns how many.
    #[inline]
    pub fn append(&mut self, other: &mut Burst) -> usize {
        let n = self.room().min(other.len);
        // SAFETY: source slots `0..n` are initialised and target slots `len..len + n` are in range (n <= room); the
        // bursts are distinct, both being borrowed exclusively.
        unsafe { std::ptr::copy_nonoverlapping(other.slots.as_ptr(), self.slots.as_mut_ptr().add(self.len), n) };
        self.len += n;
        // SAFETY: ownership of the first `n` frames of `other` moved to `self` above.
        unsafe { other.forget_front(n) };
        n
    }

    /// Takes all frames, one by one and in order; those not taken are freed.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let len = std::mem::take(&mut self.len);
        Drain { burst: self, at: 0, len }
    }

    /// Frees the first `n` frames (or all, if there are fewer); the rest moves to the front.
    pub fn drain_front(&mut self, n: usize) {
        let n = n.min(self.len);
        let (front, _) = self.slots.split_at_mut(n);
        // SAFETY: the first `n <= len` slots hold owned frames, which `forget_front` below makes the burst forget. A
        // panic in between can't happen: freeing does not unwind.
        unsafe { free_slots(front) };
        // SAFETY: the first `n` frames were freed above.
        unsafe { self.forget_front(n) };
    }

    /// Frees all frames.
    #[inline]
    pub fn clear(&mut self) {
        self.drain_front(self.len);
    }

    /// Where foreign code may write frames: the address of the first free slot and how many are free.
    #[inline]
    pub fn spare(&mut self) -> (*mut *mut RawFrame, usize) {
        let room = self.room();
        (self.slots[self.len..].as_mut_ptr().cast(), room)
    }

    /// Address of the first slot, for foreign code that consumes frames.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut *mut RawFrame {
        self.slots.as_mut_ptr().cast()
    }

    /// States that the first `len` slots hold frames.
    ///
    /// # Safety
    /// `len <= BURST`, and each slot below it holds a pointer that satisfies [`Frame::from_raw`], owned by nobody
    /// else. Frames in slots that the new length leaves out are forgotten, not freed.
    #[inline]
    pub unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= BURST);
        self.len = len;
    }

    /// Forgets the first `n` frames, whose owner is now somebody else; the rest moves to the front.
    ///
    /// # Safety
    /// `n <= len()`, and the first `n` frames were handed over.
    #[inline]
    pub unsafe fn forget_front(&mut self, n: usize) {
        debug_assert!(n <= self.len);
        let rest = self.len - n;
        if rest != 0 && n != 0 {
            let base = self.slots.as_mut_ptr();
            // SAFETY: `n..n + rest` is `n..len`, in range; overlapping is what `copy` is for.
            unsafe { std::ptr::copy(base.add(n), base, rest) };
        }
        self.len = rest;
    }
}

/// Frees the frames of `slots`: in bulk when all come from pools.
///
/// # Safety
/// Every slot holds an owned frame, and the caller forgets them all.
unsafe fn free_slots(slots: &mut [MaybeUninit<Frame>]) {
    // SAFETY: the caller says that every slot is initialised.
    let frames = unsafe { std::slice::from_raw_parts(slots.as_ptr().cast::<Frame>(), slots.len()) };
    if !frames.is_empty() && frames.iter().all(Frame::is_pooled) {
        // SAFETY: all are pool frames, owned by the caller, who forgets them.
        unsafe { crate::frame::free_pooled(slots.as_mut_ptr().cast(), slots.len()) };
        return;
    }
    for slot in slots {
        // SAFETY: initialised, and dropped once: the caller forgets it.
        unsafe { slot.assume_init_drop() };
    }
}

impl Drop for Burst {
    #[inline]
    fn drop(&mut self) {
        if self.len != 0 {
            self.clear();
        }
    }
}

impl Default for Burst {
    fn default() -> Self {
        Burst::new()
    }
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// Fills a burst from an iterator, which is left where the burst was full.
impl Extend<Frame> for Burst {
    fn extend<I: IntoIterator<Item = Frame>>(&mut self, frames: I) {
        for frame in frames.into_iter().take(self.room()) {
            let full = self.push(frame);
            debug_assert!(full.is_ok());
        }
    }
}

impl<'a> IntoIterator for &'a Burst {
    type Item = &'a Frame;
    type IntoIter = std::slice::Iter<'a, Frame>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Burst {
    type Item = &'a mut Frame;
    type IntoIter = std::slice::IterMut<'a, Frame>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// Iterator of [`Burst::drain`]. The burst is empty while it lives; slots `at..len` are the iterator's.
pub struct Drain<'a> {
    burst: &'a mut Burst,
    at: usize,
    len: usize,
}

impl Iterator for Drain<'_> {
    type Item = Frame;

    #[inline]
    fn next(&mut self) -> Option<Frame> {
        if self.at == self.len {
            return None;
        }
        let slot = &self.burst.slots[self.at];
        self.at += 1;
        // SAFETY: slots `at..len` held owned frames when the iterator was made and the burst's length is zero since;
        // `at` moved on, so this one is read once.
        Some(unsafe { slot.assume_init_read() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len - self.at, Some(self.len - self.at))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        let (at, len) = (self.at, self.len);
        self.at = len;
        // SAFETY: slots `at..len` are owned by the iterator, which ends here.
        unsafe { free_slots(&mut self.burst.slots[at..len]) };
    }
}

const _: () = {
    assert!(std::mem::size_of::<MaybeUninit<Frame>>() == std::mem::size_of::<*mut RawFrame>());
    assert!(std::mem::align_of::<MaybeUninit<Frame>>() == std::mem::align_of::<*mut RawFrame>());
};
