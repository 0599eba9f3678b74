//! Attaching, configuring, describing and detaching ports.
use crate::*;

pub(crate) fn bad_devargs(eal: &Eal) {
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

pub(crate) fn one_user(eal: &Eal) {
    let port = Port::attach(eal, &vdev::sink(3)).unwrap();
    let error = Port::attach(eal, "net_null3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot attach \"net_null3\": device net_null3 is in use, attached by \"net_null3,no-rx=1\""
    );
    port.detach().unwrap();
    drop(Port::attach(eal, "net_null3").unwrap());
}

pub(crate) fn busy(eal: &Eal) {
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

pub(crate) fn fewer_queues(eal: &Eal) {
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

pub(crate) fn jumbo(eal: &Eal) {
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

pub(crate) fn configuration_errors(eal: &Eal) {
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

pub(crate) fn info_list_stats(eal: &Eal) {
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
    assert_eq!(link.to_string(), "up, 10000 Mbps, full duplex");
    assert_eq!((port.link_changes(), port.is_removed()), (0, false));
    let error = port.set_mac([2, 0, 0, 0, 0, 7]).unwrap_err();
    assert_eq!(error.to_string(), "port net_ring0: cannot set the Ethernet address: Operation not supported");
    assert!(!port.stats(true).extended.is_empty());
    assert!(port.stats(false).extended.is_empty());
    drop(queues);
    port.stop().unwrap();
    assert_eq!(port.link().to_string(), "down");
    let null = Port::attach(eal, &vdev::sink(0)).unwrap();
    let mac = [2, 0, 0, 0, 0, 7];
    drop(null.start(&PortConfig { mac: Some(mac), ..small() }, &pool).unwrap());
    assert_eq!(null.info().mac, mac);
    null.set_mac([2, 0, 0, 0, 0, 8]).unwrap();
    assert_eq!(null.info().mac[5], 8);
    null.set_promiscuous(false).unwrap_err();
}

pub(crate) fn hot_plug(eal: &Eal) {
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
