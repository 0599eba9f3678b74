//! Bursts through queues.
use crate::*;

pub(crate) fn ring_loops_frames(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
    let mut frames = burst(&pool, 32);
    assert_eq!(tx.transmit(&mut frames), 32);
    assert!(frames.is_empty());
    assert_eq!(pool.in_use(), 32);
    // behind what the burst holds already, in order, no more than fit
    let mut received = burst(&pool, 4);
    assert_eq!(rx.receive(&mut received), 28);
    assert_eq!(received.len(), 32);
    for (i, frame) in received.iter().skip(4).enumerate() {
        assert_eq!(frame.data(), [i as u8; 60]);
    }
    assert_eq!(rx.receive(&mut received), 0, "no room");
    received.clear();
    assert_eq!(rx.receive(&mut received), 4);
    assert_eq!(rx.receive(&mut received), 0);
    let stats = port.stats(false);
    assert_eq!((stats.rx_packets, stats.tx_packets, stats.tx_dropped), (32, 32, 0));
    drop((received, queues));
    port.detach().unwrap();
    assert_eq!(pool.in_use(), 0);
}

pub(crate) fn ring_full(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
    let mut sent = 0;
    let left = loop {
        let mut frames = burst(&pool, 32);
        sent += tx.transmit(&mut frames);
        if !frames.is_empty() {
            break frames;
        }
    };
    assert!((1000..=1024).contains(&sent), "a ring of 1,024 took {sent}");
    // what stays is the end of the burst, in order
    let kept = left.len();
    for (i, frame) in left.iter().enumerate() {
        assert_eq!(frame.data(), [(32 - kept + i) as u8; 60]);
    }
    assert_eq!(pool.in_use() as usize, sent + kept);
    // full, and a frame that must be copied first: nothing is lost, order is kept
    let mut mixed = burst(&pool, 2);
    mixed.push(Frame::from_slice(&[2; 60])).unwrap();
    assert_eq!(tx.transmit(&mut mixed), 0);
    assert_eq!(mixed.iter().map(|f| f.data()[0]).collect::<Vec<_>>(), [0, 1, 2]);
    drop((left, mixed));
    let mut received = Burst::new();
    let mut count = 0;
    while rx.receive(&mut received) > 0 {
        count += received.len();
        received.clear();
    }
    assert_eq!(count, sent);
    assert_eq!(pool.in_use(), 0);
    // frames that are still in the device when it goes come back too
    assert_eq!(tx.transmit(&mut burst(&pool, 7)), 7);
    drop(queues);
    port.stop().unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    while queues.rx[0].receive(&mut received) > 0 {
        received.clear();
    }
    drop(queues);
    port.detach().unwrap();
    assert_eq!(pool.in_use(), 0);
}

pub(crate) fn heap_frames(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
    let mut frames = burst(&pool, 2);
    frames.push(Frame::from_slice(&[2; 5000])).unwrap();
    frames.push(pool.frame(&[3; 60]).unwrap()).unwrap();
    frames.push(Frame::from_slice(&[4; 60])).unwrap();
    assert_eq!(tx.transmit(&mut frames), 5);
    assert!(frames.is_empty());
    let mut received = Burst::new();
    assert_eq!(rx.receive(&mut received), 5);
    for (i, frame) in received.iter().enumerate() {
        assert!(frame.is_pooled());
        assert_eq!(frame.to_vec(), vec![i as u8; if i == 2 { 5000 } else { 60 }]);
    }
    assert_eq!(received.get(2).unwrap().raw().nb_segs, 3);
    assert_eq!(tx.failed(), 0);
    drop((received, queues));
    port.detach().unwrap();
    assert_eq!(pool.in_use(), 0);
}

pub(crate) fn heap_frames_dropped(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    let mut frames = burst(&pool, 1);
    frames.push(Frame::from_slice(&[9; 60])).unwrap();
    let hold: Vec<Frame> = std::iter::from_fn(|| pool.alloc()).collect();
    let mut last = burst_of(Frame::from_slice(&[8; 60]));
    frames.append(&mut last);
    let before = port.stats(false);
    // the mbuf goes, the two heap frames are gone too, but counted
    assert_eq!(queues.tx[0].transmit(&mut frames), 3);
    assert_eq!(queues.tx[0].failed(), 2);
    let after = port.stats(false);
    assert_eq!((after.tx_packets - before.tx_packets, after.tx_dropped - before.tx_dropped), (1, 2));
    let mut received = Burst::new();
    assert_eq!(queues.rx[0].receive(&mut received), 1);
    drop((hold, received, queues));
    port.detach().unwrap();
    assert_eq!(pool.in_use(), 0);
}

pub(crate) fn offloads_pass(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    let mut frames = burst(&pool, 3);
    frames.get_mut(1).unwrap().set_offload(Offload { ip_sum: true, l2_len: 14, l3_len: 20, ..Offload::default() });
    // net_ring has no opinion; what matters is that the prepared way sends all and in order
    assert_eq!(queues.tx[0].transmit(&mut frames), 3);
    let mut received = Burst::new();
    assert_eq!(queues.rx[0].receive(&mut received), 3);
    assert_eq!(received.iter().map(|f| f.data()[0]).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(received.get(1).unwrap().offload().ip_sum);
    drop((received, queues));
    port.detach().unwrap();
    assert_eq!(pool.in_use(), 0);
}

pub(crate) fn pcap_to_null(eal: &Eal) {
    let pool = pool(eal);
    let file = capture("endless", 10);
    let source = Port::attach(eal, &vdev::endless_pcap(0, &file)).unwrap();
    let sink = Port::attach(eal, &vdev::sink(0)).unwrap();
    let idle = pool.in_use();
    let mut from = source.start(&small(), &pool).unwrap();
    let mut to = sink.start(&small(), &pool).unwrap();
    let started = pool.in_use();
    let (rx, tx) = (&mut from.rx[0], &mut to.tx[0]);
    let mut frames = Burst::new();
    let mut expected = 0;
    for _ in 0..1000 {
        assert_eq!(rx.receive(&mut frames), 32);
        for frame in &frames {
            assert_eq!(frame.data(), [expected; 60]);
            assert_eq!(frame.raw().port, source.id());
            expected = (expected + 1) % 10;
        }
        assert_eq!(tx.transmit(&mut frames), 32);
    }
    assert_eq!(pool.in_use(), started, "the sink frees what it swallows");
    let mut out = Burst::new();
    assert_eq!(to.rx[0].receive(&mut out), 0, "no-rx");
    let (received, sent) = (source.stats(true), sink.stats(true));
    assert_eq!((received.rx_packets, received.rx_bytes), (32_000, 32_000 * 60));
    // net_null does not count bytes
    assert_eq!((sent.tx_packets, sent.tx_dropped), (32_000, 0));
    let named = |name: &str| received.extended.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
    assert_eq!(named("rx_good_packets"), Some(32_000), "{:?}", received.extended);
    assert!(sent.extended.iter().any(|(n, v)| n == "tx_good_packets" && *v == 32_000));
    drop((from, to));
    source.detach().unwrap();
    sink.detach().unwrap();
    std::fs::remove_file(file).unwrap();
    assert_eq!(pool.in_use(), idle);
}

pub(crate) fn threads(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    let (mut rx, mut tx) = (queues.rx.remove(0), queues.tx.remove(0));
    drop(queues);
    const TOTAL: usize = 20_000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _lcore = LcoreGuard::register(eal).unwrap();
            let mut received = Burst::new();
            let mut count = 0;
            while count < TOTAL {
                count += rx.receive(&mut received);
                received.clear();
                std::thread::yield_now();
            }
            assert_eq!(count, TOTAL);
        });
        let pool = &pool;
        scope.spawn(move || {
            let _lcore = LcoreGuard::register(eal).unwrap();
            let mut left = TOTAL;
            let mut frames = Burst::new();
            while left > 0 {
                if frames.is_empty() && !pool.alloc_burst(&mut frames, left.min(32)) {
                    continue;
                }
                left -= tx.transmit(&mut frames);
                std::thread::yield_now();
            }
        });
    });
    assert_eq!(port.queues_in_use(), 0);
    assert_eq!(pool.in_use(), 0);
    port.detach().unwrap();
}
