//! Frames and bursts against plain vectors.

use super::*;
use crate::burst::{BURST, Burst};
use proptest::prelude::*;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// A frame with one segment per length.
fn chained(lengths: &[usize]) -> (Frame, Vec<u8>) {
    let all = pattern(lengths.iter().sum());
    let mut frame = Frame::from_slice(&all[..lengths[0]]);
    let mut at = lengths[0];
    for &len in &lengths[1..] {
        frame.try_chain(Frame::with_headroom(&all[at..at + len], 0)).unwrap();
        at += len;
    }
    (frame, all)
}

fn check(frame: &Frame, want: &[u8]) {
    assert_eq!(frame.to_vec(), want);
    assert_eq!(frame.len(), want.len());
    assert_eq!(frame.segments().map(<[u8]>::len).sum::<usize>(), want.len());
    assert_eq!(frame.segments().count(), usize::from(frame.raw().nb_segs));
    assert_eq!(frame.is_linear(), frame.raw().nb_segs == 1);
    assert_eq!(frame.segments().next(), Some(frame.data()));
}

#[test]
fn longest_frame_is_chained() {
    let want = pattern(65_549);
    let frame = Frame::from_slice(&want);
    check(&frame, &want);
    assert_eq!(frame.raw().nb_segs, 2);
    check(&frame.try_clone().unwrap(), &want);
    assert!(frame.linearize().is_none(), "longer than a segment");
}

#[test]
fn room_is_what_was_asked_for() {
    let mut frame = Frame::from_slice(&[1, 2, 3]);
    assert_eq!((frame.headroom(), frame.tailroom()), (HEADROOM, TAILROOM));
    assert!(frame.append(TAILROOM + 1).is_none());
    frame.prepend(HEADROOM).unwrap().fill(9);
    assert_eq!(frame.headroom(), 0);
    // room behind the data serves when that in front is used up
    frame.prepend(4).unwrap().copy_from_slice(&[5, 6, 7, 8]);
    assert_eq!(&frame.data()[..6], &[5, 6, 7, 8, 9, 9]);
    assert_eq!(&frame.data()[132..], &[1, 2, 3]);
    assert!(frame.prepend(500).is_none());
    assert_eq!(frame.len(), 135);
}

#[test]
fn copies_cross_segments() {
    let (frame, want) = chained(&[3, 5, 1, 10]);
    let mut out = [0; 9];
    assert_eq!(frame.copy_to(2, &mut out), 9);
    assert_eq!(out, want[2..11]);
    assert_eq!(frame.copy_to(17, &mut out), 2);
    assert_eq!(frame.copy_to(19, &mut out), 0);
    assert_eq!(frame.copy_to(99, &mut out), 0);
}

#[test]
fn metadata_is_copied_and_bits_are_dpdks() {
    let mut frame = Frame::from_slice(&[0; 60]);
    let offload = Offload {
        rx_l4: Checksum::None,
        vlan: Some(0x2005),
        l4_sum: L4Sum::Udp,
        version: Some(Version::V6),
        segment: Some(1448),
        l2_len: 18,
        l3_len: 40,
        l4_len: 32,
        ..Offload::default()
    };
    frame.set_rss_hash(Some(77));
    frame.set_offload(offload);
    assert_eq!(frame.rss_hash(), Some(77));
    assert_eq!(
        frame.ol_flags(),
        1 << 0 | 1 << 1 | 1 << 6 | 1 << 3 | 1 << 8 | 3 << 52 | 1 << 56 | 1 << 50,
        "RX_VLAN, RSS_HASH, VLAN_STRIPPED, L4_CKSUM_NONE, UDP_CKSUM, IPV6, TCP_SEG"
    );
    assert_eq!(frame.raw().tx_offload, 18 | 40 << 7 | 32 << 16 | 1448 << 24);
    frame.set_port(3);
    let copy = frame.try_clone().unwrap();
    assert_eq!((copy.offload(), copy.rss_hash(), copy.port()), (offload, Some(77), 3));
    frame.clear_tx();
    assert!(!frame.has_tx_work() && frame.offload().vlan == Some(0x2005));
}

fn arb_offload() -> impl Strategy<Value = Offload> {
    let sum = || prop_oneof![Just(Checksum::Unknown), Just(Checksum::Bad), Just(Checksum::Good), Just(Checksum::None)];
    let version = || prop_oneof![Just(None), Just(Some(Version::V4)), Just(Some(Version::V6))];
    let l4 = prop_oneof![Just(L4Sum::None), Just(L4Sum::Tcp), Just(L4Sum::Sctp), Just(L4Sum::Udp)];
    let lens = (0..128u8, 0..512u16, any::<u8>(), 0..128u8, 0..512u16);
    (
        (sum(), sum(), any::<Option<u16>>(), any::<Option<u16>>(), any::<[bool; 4]>(), l4),
        (version(), version(), proptest::option::of(1..=u16::MAX), 0..16u8),
        lens,
    )
        .prop_map(
            |((rx_ip, rx_l4, vlan, outer_vlan, b, l4_sum), (version, outer_version, segment, tunnel), lens)| Offload {
                rx_ip,
                rx_l4,
                vlan,
                outer_vlan,
                lro: b[0],
                ip_sum: b[1],
                l4_sum,
                version,
                segment,
                tunnel,
                outer_version,
                outer_ip_sum: b[2],
                outer_udp_sum: b[3],
                l2_len: lens.0,
                l3_len: lens.1,
                l4_len: lens.2,
                outer_l2_len: lens.3,
                outer_l3_len: lens.4,
            },
        )
}

#[derive(Clone, Debug)]
enum Op {
    Prepend(usize),
    Pull(usize),
    Append(usize),
    Trim(usize),
    Linear(usize),
    Clone,
    Linearize,
}

fn arb_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..80usize).prop_map(Op::Prepend),
        (0..80usize).prop_map(Op::Pull),
        (0..40usize).prop_map(Op::Append),
        (0..300usize).prop_map(Op::Trim),
        (0..300usize).prop_map(Op::Linear),
        Just(Op::Clone),
        Just(Op::Linearize),
    ]
}

/// A pool of test frames: heap blocks that claim to be of a pool. `IN_USE` counts segments.
mod pool {
    use super::*;
    use std::cell::Cell;
    use std::sync::Once;

    thread_local! {
        pub(super) static IN_USE: Cell<isize> = const { Cell::new(0) };
        pub(super) static BULK: Cell<usize> = const { Cell::new(0) };
        pub(super) static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    const ROOM: u16 = 512;

    unsafe fn alloc(pool: *mut std::ffi::c_void) -> *mut RawFrame {
        if LEFT.get() == 0 {
            return std::ptr::null_mut();
        }
        LEFT.set(LEFT.get() - 1);
        IN_USE.set(IN_USE.get() + 1);
        let mut seg = raw::alloc_heap(ROOM, HEADROOM as u16);
        // SAFETY: new, and nobody else's.
        unsafe { seg.as_mut() }.pool = pool;
        seg.as_ptr()
    }

    unsafe fn free(frame: *mut RawFrame) {
        let mut at = NonNull::new(frame);
        let mut count = 0;
        // SAFETY: the caller gives a chain away.
        let said = unsafe { (*frame).nb_segs };
        while let Some(mut seg) = at {
            // SAFETY: a live segment of that chain.
            let raw = unsafe { seg.as_mut() };
            at = NonNull::new(std::mem::replace(&mut raw.next, std::ptr::null_mut()));
            raw.pool = std::ptr::null_mut();
            // SAFETY: a heap block again, alone.
            unsafe { raw::free_chain(seg) };
            count += 1;
        }
        assert_eq!(said, count, "the chain's head knows its segments");
        IN_USE.set(IN_USE.get() - count as isize);
    }

    unsafe fn free_bulk(frames: *mut *mut RawFrame, count: usize) {
        BULK.set(BULK.get() + 1);
        for i in 0..count {
            // SAFETY: as the caller promises for each.
            unsafe { free(*frames.add(i)) };
        }
    }

    unsafe fn copy(frame: *const RawFrame) -> *mut RawFrame {
        // SAFETY: a live pool frame, which stays the caller's.
        let from = ManuallyDrop::new(unsafe { Frame::from_raw(NonNull::new(frame.cast_mut()).unwrap()) });
        let Some(mut to) = from.alloc_like(0) else { return std::ptr::null_mut() };
        to.append(from.len()).unwrap().copy_from_slice(&from.to_vec());
        to.copy_meta(&from);
        to.into_raw().as_ptr()
    }

    static OPS: PoolOps = PoolOps { alloc, free, free_bulk, copy };

    /// A pool frame with these bytes.
    pub(super) fn frame(bytes: &[u8]) -> Frame {
        static ONCE: Once = Once::new();
        // SAFETY: the functions above are such as the contract wants, but for the thread: tests don't cross threads.
        ONCE.call_once(|| assert!(unsafe { set_pool_ops(&OPS) }));
        // SAFETY: `alloc` asks nothing of the pool's address.
        let seg = unsafe { alloc(NonNull::<u8>::dangling().as_ptr().cast()) };
        // SAFETY: a new segment that satisfies the invariants.
        let mut frame = unsafe { Frame::from_raw(NonNull::new(seg).unwrap()) };
        frame.append(bytes.len()).unwrap().copy_from_slice(bytes);
        frame
    }
}

#[test]
fn pool_frames_go_back_to_their_pool() {
    use pool::{BULK, IN_USE, LEFT};
    let mut frame = pool::frame(&[1; 100]);
    assert!(frame.is_pooled());
    assert!(frame.try_chain(Frame::from_slice(&[2; 9])).is_err(), "heap and pool don't mix");
    frame.try_chain(pool::frame(&[2; 100])).unwrap();
    frame.try_chain(pool::frame(&[3; 100])).unwrap();
    let clone = frame.try_clone().unwrap();
    assert!(clone.is_pooled() && clone.to_vec() == frame.to_vec());
    assert_eq!(IN_USE.get(), 4);
    assert!(frame.linearize_to(150));
    assert_eq!(IN_USE.get(), 4, "part of the second segment is left");
    assert!(frame.linearize_to(200));
    assert_eq!(IN_USE.get(), 3);
    frame.trim(10);
    assert_eq!(IN_USE.get(), 2);
    assert!(frame.alloc_like(9).unwrap().is_pooled());
    LEFT.set(0);
    assert!(frame.try_clone().is_none() && frame.alloc_like(9).is_none(), "an empty pool is no panic");
    LEFT.set(usize::MAX);
    drop(clone);
    drop(frame);
    assert_eq!(IN_USE.get(), 0);

    let mut burst = Burst::new();
    burst.extend((0..20).map(|i| pool::frame(&[i; 60])));
    burst.drain_front(5);
    assert_eq!((BULK.get(), IN_USE.get()), (1, 15));
    burst.drain().next();
    assert_eq!((BULK.get(), IN_USE.get()), (2, 0), "what a drain leaves is freed in bulk");
    burst.push(pool::frame(&[1])).unwrap();
    burst.push(Frame::from_slice(&[1])).unwrap();
    drop(burst);
    assert_eq!((BULK.get(), IN_USE.get()), (2, 0), "mixed frames are freed one by one");
}

#[test]
fn raw_frames_keep_their_owner() {
    let raw = pool::frame(&[7; 60]).into_raw();
    assert_eq!(pool::IN_USE.get(), 1, "whoever has the pointer frees it");
    let mut burst = Burst::new();
    let (slot, room) = burst.spare();
    assert_eq!(room, BURST);
    // SAFETY: the first slot is in range and gets an owned frame, which `set_len` then counts.
    unsafe {
        slot.write(raw.as_ptr());
        burst.set_len(1);
    }
    assert_eq!(burst.get(0).map(Frame::to_vec), Some(vec![7; 60]));
    // SAFETY: the one slot's frame is taken over here, and the burst forgets it.
    let frame = unsafe {
        let frame = Frame::from_raw(NonNull::new(*burst.as_mut_ptr()).unwrap());
        burst.forget_front(1);
        frame
    };
    assert!(burst.is_empty());
    drop(frame);
    assert_eq!(pool::IN_USE.get(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 2000 }))]

    #[test]
    fn offload_round_trips(offload in arb_offload()) {
        let mut frame = Frame::from_slice(&[]);
        frame.set_offload(offload);
        prop_assert_eq!(frame.offload(), offload);
    }

    #[test]
    fn operations_as_on_a_vector(lengths in prop::collection::vec(0..90usize, 1..6), ops in prop::collection::vec(arb_op(), 0..20)) {
        let (mut frame, mut want) = chained(&lengths);
        check(&frame, &want);
        for (i, op) in ops.into_iter().enumerate() {
            match op {
                Op::Prepend(n) => if let Some(room) = frame.prepend(n) {
                    room.fill(i as u8);
                    want.splice(0..0, vec![i as u8; n]);
                } else {
                    prop_assert!(frame.headroom() < n);
                },
                Op::Pull(n) => if frame.pull(n) {
                    want.drain(..n);
                } else {
                    prop_assert!(n > frame.seg_len());
                },
                Op::Append(n) => if let Some(room) = frame.append(n) {
                    room.fill(i as u8);
                    want.resize(want.len() + n, i as u8);
                } else {
                    prop_assert!(frame.tailroom() < n);
                },
                Op::Trim(n) => {
                    frame.trim(n);
                    want.truncate(n);
                }
                Op::Linear(n) => if frame.linearize_to(n) {
                    prop_assert!(frame.seg_len() >= n);
                } else {
                    prop_assert!(n > want.len() || n > usize::from(frame.raw().buf_len));
                },
                Op::Clone => frame = frame.try_clone().unwrap(),
                Op::Linearize => {
                    frame = frame.linearize().unwrap();
                    prop_assert!(frame.is_linear());
                }
            }
            check(&frame, &want);
        }
    }

    #[test]
    fn burst_as_a_deque(ops in prop::collection::vec((0..6u8, 0..40usize), 0..60)) {
        let mut burst = Burst::new();
        let mut want = std::collections::VecDeque::new();
        for (i, (op, n)) in ops.into_iter().enumerate() {
            match op {
                0 | 1 => for k in 0..n {
                    let id = [i as u8, k as u8];
                    match burst.push(Frame::from_slice(&id)) {
                        Ok(()) => want.push_back(id.to_vec()),
                        Err(_) => prop_assert_eq!(want.len(), BURST),
                    }
                },
                2 => prop_assert_eq!(burst.pop().map(|f| f.to_vec()), want.pop_back()),
                3 => {
                    burst.drain_front(n);
                    want.drain(..n.min(want.len()));
                }
                4 => {
                    let mut other = burst.take();
                    prop_assert!(burst.is_empty());
                    burst.extend(other.drain().take(n));
                    want.truncate(n);
                }
                _ => prop_assert_eq!(
                    burst.swap_remove(n).map(|f| f.to_vec()),
                    if n < want.len() { want.swap_remove_back(n) } else { None }
                ),
            }
            prop_assert_eq!(burst.iter().map(Frame::to_vec).collect::<Vec<_>>(), want.iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(burst.get(n).is_some(), n < want.len());
            prop_assert_eq!(burst.room(), BURST - want.len());
        }
    }
}
