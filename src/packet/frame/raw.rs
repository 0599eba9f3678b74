//! The memory of a frame: `RawFrame` with the layout of `struct rte_mbuf` (DPDK 22.11), heap blocks of that layout, and
//! the functions by which the `dpdk` crate lends its pools.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU16;

/// One segment of a frame, with the fields of `struct rte_mbuf` at its offsets (asserted in the `dpdk` crate against
/// the headers it is built with). The first segment of a chain also holds what concerns the whole frame.
///
/// Having one is no licence to use its pointers: that takes a [`super::Frame`].
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RawFrame {
    /// Start of the segment's buffer.
    pub buf_addr: *mut u8,
    /// The same for devices.
    pub buf_iova: u64,
    /// Offset of the data in the buffer, bytes.
    pub data_off: u16,
    /// Reference count, always 1 here.
    pub refcnt: AtomicU16,
    /// Segments in the chain (first segment only).
    pub nb_segs: u16,
    /// Port the frame came from, as the device layer counts.
    pub port: u16,
    /// `RTE_MBUF_F_*`; see [`super::flags`].
    pub ol_flags: u64,
    /// Packet type as the device saw it, `RTE_PTYPE_*`.
    pub packet_type: u32,
    /// Bytes of all segments (first segment only).
    pub pkt_len: u32,
    /// Bytes in this segment.
    pub data_len: u16,
    /// Stripped VLAN tag, valid by a flag.
    pub vlan_tci: u16,
    /// The device's hash (first word), valid by a flag.
    pub hash: [u32; 2],
    /// Stripped outer VLAN tag, valid by a flag.
    pub vlan_tci_outer: u16,
    /// Bytes of the buffer.
    pub buf_len: u16,
    /// The pool that it goes back to; null for heap blocks.
    pub pool: *mut c_void,
    /// Next segment.
    pub next: *mut RawFrame,
    /// Bit field: l2_len 7, l3_len 9, l4_len 8, tso_segsz 16, outer_l3_len 9, outer_l2_len 7.
    pub tx_offload: u64,
    /// DPDK's.
    pub shinfo: *mut c_void,
    /// DPDK's.
    pub priv_size: u16,
    /// DPDK's.
    pub timesync: u16,
    /// DPDK's dynamic fields.
    pub dynfield: [u32; 9],
}

/// Room in front of the data of new frames, as DPDK's default.
pub const HEADROOM: usize = 128;
/// Room behind the data of new heap frames.
pub const TAILROOM: usize = 64;
/// Most data bytes that a heap segment is made with: with head and tail room it stays below what 16 bits count.
pub const SEGMENT_MAX: usize = 60_000;

const HEADER: usize = size_of::<RawFrame>();

const _: () = {
    assert!(HEADER == 128);
    assert!(SEGMENT_MAX + HEADROOM + TAILROOM <= u16::MAX as usize);
    assert!(offset_of!(RawFrame, buf_addr) == 0);
    assert!(offset_of!(RawFrame, buf_iova) == 8);
    assert!(offset_of!(RawFrame, data_off) == 16);
    assert!(offset_of!(RawFrame, refcnt) == 18);
    assert!(offset_of!(RawFrame, nb_segs) == 20);
    assert!(offset_of!(RawFrame, port) == 22);
    assert!(offset_of!(RawFrame, ol_flags) == 24);
    assert!(offset_of!(RawFrame, packet_type) == 32);
    assert!(offset_of!(RawFrame, pkt_len) == 36);
    assert!(offset_of!(RawFrame, data_len) == 40);
    assert!(offset_of!(RawFrame, vlan_tci) == 42);
    assert!(offset_of!(RawFrame, hash) == 44);
    assert!(offset_of!(RawFrame, vlan_tci_outer) == 52);
    assert!(offset_of!(RawFrame, buf_len) == 54);
    assert!(offset_of!(RawFrame, pool) == 56);
    assert!(offset_of!(RawFrame, next) == 64);
    assert!(offset_of!(RawFrame, tx_offload) == 72);
    assert!(offset_of!(RawFrame, shinfo) == 80);
    assert!(offset_of!(RawFrame, priv_size) == 88);
    assert!(offset_of!(RawFrame, timesync) == 90);
    assert!(offset_of!(RawFrame, dynfield) == 92);
};

/// How frames of pools are made and freed. Registered once by the crate that owns the pools.
#[derive(Debug)]
pub struct PoolOps {
    /// Takes one empty segment (data offset [`HEADROOM`] or what the pool has, no data, no flags) from a pool; null when
    /// the pool is empty.
    ///
    /// Safety: the argument is the `pool` of a live pool frame.
    pub alloc: unsafe fn(pool: *mut c_void) -> *mut RawFrame,
    /// Frees a frame with all its segments.
    ///
    /// Safety: the argument is a pool frame that nobody uses afterwards.
    pub free: unsafe fn(frame: *mut RawFrame),
    /// Frees `count` frames, each with all its segments.
    ///
    /// Safety: as for `free`, for each of `count` pointers at the given address.
    pub free_bulk: unsafe fn(frames: *mut *mut RawFrame, count: usize),
    /// Deep copy of a frame with its metadata, from the same pool; null when the pool is empty.
    ///
    /// Safety: the argument is a live pool frame, not changed meanwhile.
    pub copy: unsafe fn(frame: *const RawFrame) -> *mut RawFrame,
}

static POOL_OPS: OnceLock<&'static PoolOps> = OnceLock::new();

/// Registers the functions for frames whose `pool` is not null. The first call counts; later ones return false.
///
/// # Safety
/// The functions do what [`PoolOps`] says, from any thread, do not unwind, and what `alloc` and `copy` return satisfies
/// [`super::Frame::from_raw`] when not null.
pub unsafe fn set_pool_ops(ops: &'static PoolOps) -> bool {
    POOL_OPS.set(ops).is_ok()
}

#[inline]
pub(super) fn pool_ops() -> Option<&'static PoolOps> {
    POOL_OPS.get().copied()
}

/// Frees pool frames in bulk.
///
/// # Safety
/// `frames` points at `count` owned pool frames that nobody uses afterwards.
pub(crate) unsafe fn free_pooled(frames: *mut *mut RawFrame, count: usize) {
    if let Some(ops) = pool_ops() {
        // SAFETY: the caller's promise is the function's contract.
        unsafe { (ops.free_bulk)(frames, count) }
    }
}

/// A heap segment with an all-zero buffer of `buf_len` bytes behind its header, no data, data offset `data_off`.
pub(super) fn alloc_heap(buf_len: u16, data_off: u16) -> NonNull<RawFrame> {
    debug_assert!(data_off <= buf_len);
    let layout = heap_layout(buf_len);
    // SAFETY: the layout's size is not zero: it includes the header.
    let block = unsafe { alloc_zeroed(layout) };
    let Some(seg) = NonNull::new(block.cast::<RawFrame>()) else { handle_alloc_error(layout) };
    // SAFETY: the block is `HEADER + buf_len` bytes, so its buffer starts inside it or one past its end.
    let buf_addr = unsafe { block.add(HEADER) };
    // SAFETY: the block is new, aligned to 64 and large enough for the header.
    unsafe {
        seg.write(RawFrame {
            buf_addr,
            buf_iova: 0,
            data_off,
            refcnt: AtomicU16::new(1),
            nb_segs: 1,
            port: u16::MAX,
            ol_flags: 0,
            packet_type: 0,
            pkt_len: 0,
            data_len: 0,
            vlan_tci: 0,
            hash: [0; 2],
            vlan_tci_outer: 0,
            buf_len,
            pool: null_mut(),
            next: null_mut(),
            tx_offload: 0,
            shinfo: null_mut(),
            priv_size: 0,
            timesync: 0,
            dynfield: [0; 9],
        });
    }
    seg
}

fn heap_layout(buf_len: u16) -> Layout {
    // SAFETY: 64 is a power of two, and 128 + 65,535 rounded up to it is far below `isize::MAX`.
    unsafe { Layout::from_size_align_unchecked(HEADER + usize::from(buf_len), align_of::<RawFrame>()) }
}

/// Frees a chain: of one pool, or of heap blocks.
///
/// # Safety
/// `seg` is the first segment of an owned chain that nobody uses afterwards.
pub(super) unsafe fn free_chain(seg: NonNull<RawFrame>) {
    // SAFETY: the chain is owned, so reading its header is fine.
    if !unsafe { seg.as_ref() }.pool.is_null() {
        if let Some(ops) = pool_ops() {
            // SAFETY: an owned pool frame, not used afterwards.
            unsafe { (ops.free)(seg.as_ptr()) };
        }
        return;
    }
    let mut at = Some(seg);
    while let Some(seg) = at {
        // SAFETY: a live segment of the owned chain.
        let (next, buf_len) = unsafe { (seg.as_ref().next, seg.as_ref().buf_len) };
        // SAFETY: `alloc_heap` made it with this layout, as `pool` is null and `buf_len` never changes.
        unsafe { dealloc(seg.as_ptr().cast(), heap_layout(buf_len)) };
        at = NonNull::new(next);
    }
}
