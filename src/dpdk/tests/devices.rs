//! Everything that needs DPDK running: one EAL without huge pages, virtual devices, one case after another.
//!
//! A harness of our own, because EAL starts once per process and the ports of one case must be gone before the next.
//! `cargo test -p dpdk --test devices -- NAME` runs the cases whose name contains NAME.

use dpdk::{Eal, EalConfig, EalError, Huge, LcoreGuard, Pool, PoolConfig, Port, PortConfig, PortError, vdev};
use packet::Burst;
use packet::Frame;
use packet::frame::Offload;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

/// What was logged under target `dpdk`, for the case that looks at it.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "dpdk" {
            LOGGED.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }
    fn flush(&self) {}
}

fn logged(part: &str) -> bool {
    LOGGED.lock().unwrap().iter().any(|line| line.contains(part))
}

/// A pool for two small ports.
fn pool(eal: &Eal) -> Pool {
    Pool::create(eal, &PoolConfig { frames: 4096, least: 4096, mtu: 1500, node: None }).unwrap()
}

fn small() -> PortConfig {
    PortConfig { rx_descriptors: 256, tx_descriptors: 256, ..PortConfig::default() }
}

/// `count` frames of `pool` with distinct contents.
fn burst(pool: &Pool, count: u8) -> Burst {
    let mut burst = Burst::new();
    for i in 0..count {
        burst.push(pool.frame(&[i; 60]).unwrap()).unwrap();
    }
    burst
}

const CASES: &[(&str, fn(&Eal))] = &[
    ("second_start_is_refused", second_start_is_refused),
    ("log_arrives", log_arrives),
    ("threads_register", threads_register),
    ("pool_counts", pool_counts),
    ("pool_lingers_until_frames_are_back", pool_lingers),
    ("pool_shrinks_when_memory_is_short", pool_shrinks),
    ("copies_and_chains", copies_and_chains),
    ("ring_loops_frames", ring_loops_frames),
    ("ring_full_leaves_the_rest", ring_full),
    ("heap_frames_become_mbufs", heap_frames),
    ("no_memory_for_heap_frames_is_counted", heap_frames_dropped),
    ("wanted_offloads_pass_the_driver", offloads_pass),
    ("pcap_to_null", pcap_to_null),
    ("bad_devargs_name_themselves", bad_devargs),
    ("device_has_one_user", one_user),
    ("port_is_busy_while_queues_live", busy),
    ("fewer_queues_than_asked", fewer_queues),
    ("jumbo_and_mtu", jumbo),
    ("configuration_errors", configuration_errors),
    ("info_list_stats_link", info_list_stats),
    ("hot_plug_leaks_nothing", hot_plug),
    ("queues_move_between_threads", threads),
];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    if std::env::args().any(|a| a == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    log::set_logger(&Recorder).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let config = EalConfig { huge: Huge::No, memory: 256, no_pci: true, ..EalConfig::default() };
    let eal = Eal::start(&config).unwrap();
    let mut failed = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&filter)) {
        let ok = catch_unwind(AssertUnwindSafe(|| {
            case(&eal);
            assert_eq!(dpdk::port::list(&eal), [], "ports are left over");
            eal.sweep();
            eal.sweep();
            assert_eq!(eal.lingering_pools(), 0, "frames are lost");
        }))
        .is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        failed += usize::from(!ok);
    }
    drop(eal);
    println!("{failed} failed");
    assert!(!logged("clean-up failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn second_start_is_refused(_: &Eal) {
    let error = Eal::start(&EalConfig { huge: Huge::No, ..EalConfig::default() }).unwrap_err();
    assert!(matches!(error, EalError::Started), "{error}");
    // a wrong setting is named first
    let error = Eal::start(&EalConfig { memory: 0, ..EalConfig::default() }).unwrap_err();
    assert_eq!(error.to_string(), "DPDK setting memory: must be at least 1 MB");
}

fn log_arrives(eal: &Eal) {
    assert!(logged("INFO DPDK 2"), "{:?}", LOGGED.lock().unwrap());
    assert!(logged("--no-huge -m 256"));
    assert!(logged("INFO EAL: "));
    assert!(!eal.has_huge_pages());
    assert!(dpdk::version().starts_with("DPDK "));
}

fn threads_register(eal: &Eal) {
    assert_eq!(dpdk::lcore::current(), None);
    let barrier = std::sync::Barrier::new(3);
    let ids: Vec<u32> = std::thread::scope(|scope| {
        let run = || {
            let guard = LcoreGuard::register(eal).unwrap();
            assert_eq!(dpdk::lcore::current(), Some(guard.id()));
            barrier.wait();
            let id = guard.id();
            drop(guard);
            assert_eq!(dpdk::lcore::current(), None);
            id
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 3, "{ids:?}");
}

fn pool_counts(eal: &Eal) {
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

fn pool_lingers(eal: &Eal) {
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

fn pool_shrinks(eal: &Eal) {
    let pool = Pool::create(eal, &PoolConfig { frames: 1 << 20, least: 1024, mtu: 1500, node: None }).unwrap();
    assert!((1024..1 << 20).contains(&pool.frames()), "{pool:?}");
    assert!(logged(&format!("memory is short: pool {} has {} frames", pool.name(), pool.frames())));
    let error = Pool::create(eal, &PoolConfig { frames: 1 << 20, least: 1 << 20, mtu: 1500, node: None }).unwrap_err();
    assert_eq!(error.to_string(), "cannot make a pool of 1048576 frames of 2176 bytes: Cannot allocate memory");
}

fn copies_and_chains(eal: &Eal) {
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

fn ring_loops_frames(eal: &Eal) {
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

fn ring_full(eal: &Eal) {
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

fn heap_frames(eal: &Eal) {
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

fn heap_frames_dropped(eal: &Eal) {
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

fn burst_of(frame: Frame) -> Burst {
    let mut burst = Burst::new();
    burst.push(frame).unwrap();
    burst
}

fn offloads_pass(eal: &Eal) {
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

/// A classic capture file of `count` frames of 60 bytes.
fn capture(name: &str, count: u8) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ironbridge-dpdk-{}-{name}.pcap", std::process::id()));
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for i in 0..count {
        for word in [0, 0, 60, 60_u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend([i; 60]);
    }
    std::fs::write(&path, file).unwrap();
    path
}

fn pcap_to_null(eal: &Eal) {
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

fn bad_devargs(eal: &Eal) {
    let error = |devargs: &str| Port::attach(eal, devargs).unwrap_err().to_string();
    for devargs in
        ["net_nothing0", "net_pcap0,rx_pcap=/no/such/file", "0000:ff:1f.7", "net_null0,bogus=1", "a\0b", "", ","]
    {
        let text = error(devargs);
        assert!(text.starts_with(&format!("cannot attach \"{devargs}\": ")), "{text}");
    }
    assert!(error("net_pcap0,rx_pcap=/no/such/file").contains("open /no/such/file"));
    assert!(error("net_nothing0").contains("no driver knows it (DPDK: "));
    assert!(error("net_null0,bogus=1").contains("the driver refuses it (DPDK: "));
    assert!(error("0000:ff:1f.7").contains("No such device (DPDK: "));
    // and none of them left something behind that a right one would stumble over
    Port::attach(eal, "net_null0").unwrap().detach().unwrap();
}

fn one_user(eal: &Eal) {
    let port = Port::attach(eal, &vdev::sink(3)).unwrap();
    let error = Port::attach(eal, "net_null3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot attach \"net_null3\": device net_null3 is in use, attached by \"net_null3,no-rx=1\""
    );
    port.detach().unwrap();
    drop(Port::attach(eal, "net_null3").unwrap());
}

fn busy(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    assert!(!port.is_running() && port.config().is_none());
    let mut queues = port.start(&small(), &pool).unwrap();
    assert_eq!(port.queues_in_use(), 2);
    for result in [port.stop(), port.start(&small(), &pool).map(drop)] {
        assert!(matches!(result, Err(PortError::Busy { queues: 2, .. })), "{result:?}");
    }
    let (port, error) = port.detach().unwrap_err();
    assert_eq!(error.to_string(), "port net_ring0: cannot detach while 2 of its queues are in use");
    queues.rx.clear();
    assert_eq!(port.queues_in_use(), 1);
    // a queue outlives its port's handle, and takes the device with it
    drop(port);
    assert_eq!(dpdk::port::list(eal).len(), 1);
    assert_eq!(queues.tx[0].transmit(&mut burst(&pool, 1)), 1);
    drop(queues);
    assert_eq!(dpdk::port::list(eal), []);
    // net_ring keeps its ring, with the frame in it, for the next of the same name
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&small(), &pool).unwrap();
    let mut received = Burst::new();
    queues.rx[0].receive(&mut received);
    drop((received, queues));
    port.stop().unwrap();
    port.stop().unwrap();
    assert!(!port.is_running());
    let queues = port.start(&PortConfig { rx_descriptors: 512, ..small() }, &pool).unwrap();
    assert_eq!(port.config().unwrap().rx_descriptors, 512);
    assert_eq!((queues.rx_descriptors, queues.tx_descriptors), (512, 256));
    drop(queues);
    drop(port);
    assert_eq!(pool.in_use(), 0);
}

fn fewer_queues(eal: &Eal) {
    let pool = pool(eal);
    let file = capture("queues", 1);
    // net_pcap has as many queues as files
    let port = Port::attach(eal, &vdev::pcap(0, &file)).unwrap();
    let queues = port.start(&PortConfig { rx_queues: 4, tx_queues: 8, ..small() }, &pool).unwrap();
    let info = port.info();
    assert_eq!(
        (queues.rx.len(), queues.tx.len()),
        (usize::from(info.max_rx_queues.min(4)), usize::from(info.max_tx_queues.min(8)))
    );
    assert_eq!((info.rx_queues, usize::from(info.tx_queues)), (1, queues.tx.len()));
    assert!(queues.rx.len() < 4);
    drop((queues, port));
    std::fs::remove_file(file).unwrap();
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let queues = port.start(&PortConfig { rx_queues: 3, tx_queues: 2, ..small() }, &pool).unwrap();
    assert_eq!((queues.rx.len(), queues.tx.len()), (3, 2));
    assert_eq!(queues.rx.iter().map(|q| q.number()).collect::<Vec<_>>(), [0, 1, 2]);
}

fn jumbo(eal: &Eal) {
    let pool = Pool::create(eal, &PoolConfig { frames: 2048, least: 2048, mtu: 9000, node: None }).unwrap();
    assert!(pool.mtu() >= 9000);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let mut queues = port.start(&PortConfig { mtu: 9000, ..small() }, &pool).unwrap();
    assert_eq!(port.info().mtu, 9000);
    let caps = queues.tx[0].capabilities();
    assert_eq!(caps.max_frame, 9000 + 14 + 8);
    assert!(!caps.tso);
    let bytes: Vec<u8> = (0..9014u32).map(|i| i as u8).collect();
    assert_eq!(queues.tx[0].transmit(&mut burst_of(pool.frame(&bytes).unwrap())), 1);
    let mut received = Burst::new();
    assert_eq!(queues.rx[0].receive(&mut received), 1);
    assert!(received.get(0).unwrap().is_linear());
    assert_eq!(received.get(0).unwrap().data(), bytes);
    let error = port.set_mtu(9500).unwrap_err();
    assert!(error.to_string().starts_with("port net_ring0: mtu: 9500 is more than the "), "{error}");
}

fn configuration_errors(eal: &Eal) {
    let pool = pool(eal);
    // net_pcap cannot scatter a frame over several mbufs
    let file = capture("configuration", 1);
    let port = Port::attach(eal, &vdev::pcap(0, &file)).unwrap();
    let text = |config: PortConfig| port.start(&config, &pool).unwrap_err().to_string();
    assert_eq!(text(PortConfig { rx_queues: 0, ..small() }), "port net_pcap0: rx_queues: must be at least 1");
    assert_eq!(
        text(PortConfig { mtu: 9000, ..small() }),
        format!("port net_pcap0: mtu: 9000 is more than the {} that its pool has room for", pool.mtu())
    );
    assert!(!port.is_running());
    // as the device is: none of that broke it
    drop(port.start(&small(), &pool).unwrap());
    std::fs::remove_file(file).unwrap();
}

fn info_list_stats(eal: &Eal) {
    let pool = pool(eal);
    let port = Port::attach(eal, &vdev::ring(0)).unwrap();
    let listed = dpdk::port::list(eal);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0], port.info());
    let info = port.info();
    assert_eq!(
        (info.name.as_str(), info.driver.as_str(), info.devargs.as_deref()),
        ("net_ring0", "net_ring", Some("net_ring0"))
    );
    assert_eq!(info.features.to_string().contains("tso"), info.features.tso);
    let queues = port.start(&small(), &pool).unwrap();
    let link = port.link();
    assert!(link.up && link.full_duplex && link.speed == Some(10_000), "{link:?}");
    assert_eq!((port.link_changes(), port.is_removed()), (0, false));
    let error = port.set_mac([2, 0, 0, 0, 0, 7]).unwrap_err();
    assert_eq!(error.to_string(), "port net_ring0: cannot set the Ethernet address: Operation not supported");
    assert!(!port.stats(true).extended.is_empty());
    assert!(port.stats(false).extended.is_empty());
    drop(queues);
    port.stop().unwrap();
    assert!(!port.link().up);
    let null = Port::attach(eal, &vdev::sink(0)).unwrap();
    let mac = [2, 0, 0, 0, 0, 7];
    drop(null.start(&PortConfig { mac: Some(mac), ..small() }, &pool).unwrap());
    assert_eq!(null.info().mac, mac);
    null.set_mac([2, 0, 0, 0, 0, 8]).unwrap();
    assert_eq!(null.info().mac[5], 8);
    null.set_promiscuous(false).unwrap_err();
}

fn hot_plug(eal: &Eal) {
    let pool = pool(eal);
    let (threads, files) = (count("/proc/self/task"), count("/proc/self/fd"));
    let mut resident = 0;
    for round in 0..200 {
        let port = Port::attach(eal, &vdev::sink(round % 3)).unwrap();
        let mut queues = port.start(&small(), &pool).unwrap();
        assert_eq!(queues.tx[0].transmit(&mut burst(&pool, 8)), 8);
        drop(queues);
        port.detach().unwrap();
        assert_eq!(pool.in_use(), 0);
        let own = Pool::create(eal, &PoolConfig { frames: 1024, least: 1024, mtu: 1500, node: None }).unwrap();
        drop(own);
        if round == 20 {
            resident = memory_kb();
        }
    }
    assert_eq!((count("/proc/self/task"), count("/proc/self/fd")), (threads, files));
    assert!(memory_kb() < resident + 4096, "{} kB became {}", resident, memory_kb());
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn threads(eal: &Eal) {
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
