//! Pools: counting, copying, ending.
use crate::*;

pub(crate) fn pool_counts(eal: &Eal) {
    let pool = pool(eal);
    assert_eq!((pool.in_use(), pool.available(), pool.frames()), (0, 4096, 4096));
    let frame = pool.alloc().unwrap();
    assert!(frame.is_pooled());
    assert_eq!((frame.len(), frame.headroom(), frame.tailroom()), (0, 128, 2048));
    assert_eq!((pool.in_use(), pool.available()), (1, 4095));
    drop(frame);
    let mut frames = Vec::new();
    while let Some(frame) = pool.alloc() {
        frames.push(frame);
    }
    assert_eq!((frames.len(), pool.available()), (4096, 0));
    assert!(frames[0].try_clone().is_none());
    assert!(pool.frame(b"x").is_none());
    let mut burst = Burst::new();
    assert!(!pool.alloc_burst(&mut burst, 1));
    frames.truncate(4096 - 10);
    assert!(!pool.alloc_burst(&mut burst, 11) && burst.is_empty());
    assert!(pool.alloc_burst(&mut burst, 10) && burst.len() == 10);
    assert!(!pool.alloc_burst(&mut burst, 23), "more than the burst has room for");
    drop((frames, burst));
    assert_eq!(pool.in_use(), 0);
}

pub(crate) fn pool_lingers(eal: &Eal) {
    let pool = pool(eal);
    let frame = pool.frame(b"still here").unwrap();
    drop(pool);
    eal.sweep();
    eal.sweep();
    assert_eq!(eal.lingering_pools(), 1);
    assert_eq!(frame.data(), b"still here");
    drop(frame);
    eal.sweep();
    assert_eq!(eal.lingering_pools(), 1, "one look is not enough");
    eal.sweep();
    assert_eq!(eal.lingering_pools(), 0);
}

pub(crate) fn pool_shrinks(eal: &Eal) {
    let pool = Pool::create(eal, &PoolConfig { frames: 1 << 20, least: 1024, mtu: 1500, node: None }).unwrap();
    assert!((1024..1 << 20).contains(&pool.frames()), "{pool:?}");
    assert!(logged(&format!("memory is short: pool {} has {} frames", pool.name(), pool.frames())));
    let error = Pool::create(eal, &PoolConfig { frames: 1 << 20, least: 1 << 20, mtu: 1500, node: None }).unwrap_err();
    assert_eq!(error.to_string(), "cannot make a pool of 1048576 frames of 2176 bytes: Cannot allocate memory");
}

pub(crate) fn copies_and_chains(eal: &Eal) {
    let pool = pool(eal);
    let bytes: Vec<u8> = (0..9000u32).map(|i| (i * 7) as u8).collect();
    let mut heap = Frame::from_slice(&bytes);
    let offload = Offload { segment: Some(1460), l2_len: 14, vlan: Some(5), ..Offload::default() };
    heap.set_offload(offload);
    let frame = pool.copy(&heap).unwrap();
    // 9,000 bytes in rooms of 2,048
    assert_eq!((frame.raw().nb_segs, frame.len(), pool.in_use()), (5, 9000, 5));
    assert_eq!(frame.segments().count(), 5);
    assert_eq!(frame.to_vec(), bytes);
    assert_eq!(frame.offload(), heap.offload());
    // DPDK's copy, from the same pool
    let mut clone = frame.try_clone().unwrap();
    assert!(clone.is_pooled());
    assert_eq!((clone.to_vec(), clone.offload(), pool.in_use()), (bytes.clone(), frame.offload(), 10));
    clone.data_mut()[0] ^= 0xff;
    assert_eq!(frame.to_vec(), bytes, "the copy is deep");
    drop(frame);
    assert_eq!(pool.in_use(), 5);
    clone.trim(3000);
    assert_eq!((clone.raw().nb_segs, pool.in_use()), (2, 2));
    assert!(clone.linearize_to(2100));
    assert_eq!(clone.data()[1..2100], bytes[1..2100]);
    drop(clone);
    // the second chain does not fit what is left
    let hold: Vec<Frame> = (0..4096 - 7).map(|_| pool.alloc().unwrap()).collect();
    let first = pool.copy(&heap).unwrap();
    assert!(pool.copy(&heap).is_none() && first.try_clone().is_none());
    assert_eq!(pool.in_use(), 4096 - 2);
    drop((hold, first));
    assert_eq!(pool.in_use(), 0);
}

/// Copies of chains cut anywhere, empty segments included, hold the same bytes.
pub(crate) fn copies_of_any_shape(eal: &Eal) {
    let pool = pool(eal);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..500 {
        let mut expected = Vec::new();
        let mut chain: Option<Frame> = None;
        for _ in 0..=random(5) {
            let bytes: Vec<u8> = (0..random(4000)).map(|_| random(256) as u8).collect();
            expected.extend_from_slice(&bytes);
            let segment = Frame::with_headroom(&bytes, random(300) as usize);
            match &mut chain {
                None => chain = Some(segment),
                Some(chain) => chain.try_chain(segment).unwrap(),
            }
        }
        let chain = chain.unwrap();
        let copy = pool.copy(&chain).unwrap();
        assert_eq!(copy.to_vec(), expected);
        assert_eq!(copy.len(), expected.len());
        assert_eq!(usize::from(copy.raw().nb_segs), expected.len().div_ceil(2048).max(1));
        assert_eq!(copy.segments().map(<[u8]>::len).sum::<usize>(), expected.len());
        assert_eq!(copy.try_clone().unwrap().to_vec(), expected);
    }
    assert_eq!(pool.in_use(), 0);
}
