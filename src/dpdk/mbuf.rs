//! Ties `struct rte_mbuf` to `packet::Frame`: asserts the layouts equal, and lends DPDK's pools to crate `packet`.
//!
//! Read first: the DPDK programmer's guide, "Mbuf Library". A frame that comes out of a pool satisfies what
//! `packet::Frame` wants: `rte_pktmbuf_alloc` resets the header, the reference count is 1 and nothing here attaches
//! buffers; buffers are pages that the kernel zeroed, so all their bytes are initialised.

use dpdk_sys::{rte_mbuf, rte_mempool};
use packet::Frame;
use packet::frame::{PoolOps, RawFrame, flags, set_pool_ops};
use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::NonNull;

macro_rules! same_offsets {
    ($($ours:ident = $theirs:ident),* $(,)?) => {
        $(const _: () = assert!(offset_of!(RawFrame, $ours) as u64 == dpdk_sys::$theirs, stringify!($ours));)*
    };
}
same_offsets!(
    buf_addr = IB_MBUF_OFFSET_buf_addr,
    buf_iova = IB_MBUF_OFFSET_buf_iova,
    data_off = IB_MBUF_OFFSET_data_off,
    refcnt = IB_MBUF_OFFSET_refcnt,
    nb_segs = IB_MBUF_OFFSET_nb_segs,
    port = IB_MBUF_OFFSET_port,
    ol_flags = IB_MBUF_OFFSET_ol_flags,
    packet_type = IB_MBUF_OFFSET_packet_type,
    pkt_len = IB_MBUF_OFFSET_pkt_len,
    data_len = IB_MBUF_OFFSET_data_len,
    vlan_tci = IB_MBUF_OFFSET_vlan_tci,
    hash = IB_MBUF_OFFSET_hash,
    vlan_tci_outer = IB_MBUF_OFFSET_vlan_tci_outer,
    buf_len = IB_MBUF_OFFSET_buf_len,
    pool = IB_MBUF_OFFSET_pool,
    next = IB_MBUF_OFFSET_next,
    tx_offload = IB_MBUF_OFFSET_tx_offload,
    shinfo = IB_MBUF_OFFSET_shinfo,
    priv_size = IB_MBUF_OFFSET_priv_size,
    timesync = IB_MBUF_OFFSET_timesync,
    dynfield = IB_MBUF_OFFSET_dynfield1,
);
const _: () = {
    assert!(size_of::<RawFrame>() as u64 == dpdk_sys::IB_MBUF_SIZE);
    assert!(packet::frame::HEADROOM as u32 == dpdk_sys::IB_PKTMBUF_HEADROOM);
    // the bit-field of tx_offload, in its order
    assert!(dpdk_sys::IB_MBUF_L2_LEN_BITS == 7);
    assert!(dpdk_sys::IB_MBUF_L3_LEN_BITS == 9);
    assert!(dpdk_sys::IB_MBUF_L4_LEN_BITS == 8);
    assert!(dpdk_sys::IB_MBUF_TSO_SEGSZ_BITS == 16);
    assert!(dpdk_sys::IB_MBUF_OUTL3_LEN_BITS == 9);
    assert!(dpdk_sys::IB_MBUF_OUTL2_LEN_BITS == 7);
};

macro_rules! same_flags {
    ($($name:ident = $theirs:ident),* $(,)?) => {
        $(const _: () = assert!(flags::$name == dpdk_sys::$theirs, stringify!($name));)*
    };
}
same_flags!(
    RX_VLAN = IB_MBUF_F_RX_VLAN,
    RX_RSS_HASH = IB_MBUF_F_RX_RSS_HASH,
    RX_L4_CKSUM_BAD = IB_MBUF_F_RX_L4_CKSUM_BAD,
    RX_IP_CKSUM_BAD = IB_MBUF_F_RX_IP_CKSUM_BAD,
    RX_OUTER_IP_CKSUM_BAD = IB_MBUF_F_RX_OUTER_IP_CKSUM_BAD,
    RX_VLAN_STRIPPED = IB_MBUF_F_RX_VLAN_STRIPPED,
    RX_IP_CKSUM_GOOD = IB_MBUF_F_RX_IP_CKSUM_GOOD,
    RX_L4_CKSUM_GOOD = IB_MBUF_F_RX_L4_CKSUM_GOOD,
    RX_QINQ_STRIPPED = IB_MBUF_F_RX_QINQ_STRIPPED,
    RX_LRO = IB_MBUF_F_RX_LRO,
    RX_QINQ = IB_MBUF_F_RX_QINQ,
    RX_IP_CKSUM_MASK = IB_MBUF_F_RX_IP_CKSUM_NONE,
    RX_L4_CKSUM_MASK = IB_MBUF_F_RX_L4_CKSUM_NONE,
    TX_OUTER_UDP_CKSUM = IB_MBUF_F_TX_OUTER_UDP_CKSUM,
    TX_TUNNEL_MASK = IB_MBUF_F_TX_TUNNEL_MASK,
    TX_TCP_SEG = IB_MBUF_F_TX_TCP_SEG,
    TX_TCP_CKSUM = IB_MBUF_F_TX_TCP_CKSUM,
    TX_SCTP_CKSUM = IB_MBUF_F_TX_SCTP_CKSUM,
    TX_UDP_CKSUM = IB_MBUF_F_TX_UDP_CKSUM,
    TX_L4_MASK = IB_MBUF_F_TX_L4_MASK,
    TX_IP_CKSUM = IB_MBUF_F_TX_IP_CKSUM,
    TX_IPV4 = IB_MBUF_F_TX_IPV4,
    TX_IPV6 = IB_MBUF_F_TX_IPV6,
    TX_OUTER_IP_CKSUM = IB_MBUF_F_TX_OUTER_IP_CKSUM,
    TX_OUTER_IPV4 = IB_MBUF_F_TX_OUTER_IPV4,
    TX_OUTER_IPV6 = IB_MBUF_F_TX_OUTER_IPV6,
    EXTERNAL = IB_MBUF_F_EXTERNAL,
    INDIRECT = IB_MBUF_F_INDIRECT,
);
const _: () = {
    assert!(dpdk_sys::IB_MBUF_F_TX_TUNNEL_VXLAN >> flags::TX_TUNNEL_SHIFT == 1);
    assert!(dpdk_sys::IB_MBUF_F_TX_TUNNEL_GRE >> flags::TX_TUNNEL_SHIFT == 2);
    // every bit that asks the device for work is among those that `rte_eth_tx_prepare` looks at
    assert!(flags::TX_WORK & !dpdk_sys::IB_MBUF_F_TX_OFFLOAD_MASK == 0);
};

static OPS: PoolOps = PoolOps { alloc, free, free_bulk, copy };

/// Makes crate `packet` free and copy frames of pools by DPDK's functions.
pub(crate) fn register() {
    // SAFETY: the functions below do what `PoolOps` says, from any thread (mempools are safe for many producers and
    // consumers), and are C functions, which do not unwind. What they return is a frame by this module's
    // documentation.
    let first = unsafe { set_pool_ops(&OPS) };
    debug_assert!(first, "somebody else's pool functions are registered");
}

unsafe fn alloc(pool: *mut c_void) -> *mut RawFrame {
    // SAFETY: `pool` is that of a live frame (the caller's promise), so it is a mempool of ours that is not freed yet.
    unsafe { dpdk_sys::rte_pktmbuf_alloc(pool.cast()).cast() }
}

unsafe fn free(frame: *mut RawFrame) {
    // SAFETY: an owned chain of a pool (the caller's promise).
    unsafe { dpdk_sys::rte_pktmbuf_free(frame.cast()) }
}

unsafe fn free_bulk(frames: *mut *mut RawFrame, count: usize) {
    // SAFETY: `count` owned chains of pools (the caller's promise); a burst is far below 2^32.
    unsafe { dpdk_sys::rte_pktmbuf_free_bulk(frames.cast(), count as u32) }
}

unsafe fn copy(frame: *const RawFrame) -> *mut RawFrame {
    // SAFETY: a live frame (the caller's promise).
    let pool = unsafe { (*frame).pool };
    // SAFETY: the frame is only read, and its pool is a mempool of ours, alive while the frame is.
    unsafe { dpdk_sys::rte_pktmbuf_copy(frame.cast(), pool.cast(), 0, u32::MAX).cast() }
}

/// Takes an empty frame from a pool.
///
/// # Safety
/// The mempool is alive, and stays so while frames of it are about.
#[inline]
pub(crate) unsafe fn take(pool: NonNull<rte_mempool>) -> Option<Frame> {
    // SAFETY: alive by the caller's promise.
    let mbuf: *mut rte_mbuf = unsafe { dpdk_sys::rte_pktmbuf_alloc(pool.as_ptr()) };
    let raw = NonNull::new(mbuf.cast::<RawFrame>())?;
    // SAFETY: a fresh mbuf is a frame, by this module's documentation.
    Some(unsafe { Frame::from_raw(raw) })
}

/// Fills `burst` up by `count` empty frames: all of them, or none when the pool has too few.
///
/// # Safety
/// As for [`take`].
pub(crate) unsafe fn take_bulk(pool: NonNull<rte_mempool>, burst: &mut packet::Burst, count: usize) -> bool {
    let (slots, room) = burst.spare();
    if count > room {
        return false;
    }
    // SAFETY: the mempool is alive by the caller's promise; `count <= room` slots may be written.
    if unsafe { dpdk_sys::rte_pktmbuf_alloc_bulk(pool.as_ptr(), slots.cast(), count as u32) } != 0 {
        return false;
    }
    let len = burst.len() + count;
    // SAFETY: `count` fresh mbufs were written behind the first `len - count` frames; each is a frame.
    unsafe { burst.set_len(len) };
    true
}
