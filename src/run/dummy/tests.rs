//! A port's two ends.

use std::time::Duration;

use packet::pcap::Reader;

use super::*;
use crate::config::{InterfaceType, Map};

fn port(name: &str, options: &[(&str, &str)]) -> Port {
    let options: Map = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Port { interface_type: InterfaceType::Dummy, options, ..crate::run::switch::own_port(name) }
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("ironbridge-dummy-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn transmit(queues: &mut Queues, bytes: &[u8]) {
    let mut burst = Burst::new();
    burst.push(Frame::from_slice(bytes)).unwrap();
    assert_eq!(queues.tx[0].transmit(&mut burst), 1);
}

fn receive(queues: &mut Queues) -> Vec<Vec<u8>> {
    let mut burst = Burst::new();
    queues.rx[0].receive(&mut burst);
    burst.iter().map(|f| f.to_vec()).collect()
}

#[test]
fn captures_have_what_comes_and_goes() {
    let folder = folder("pcap");
    let path = |name: &str| folder.join(name).display().to_string();
    let both = port("p1", &[("pcap", &path("both"))]);
    let each = port("p2", &[("rxq_pcap", &path("rx")), ("tx_pcap", &path("tx"))]);
    let (addresses, clock) = (Addresses::default(), Clock::real());
    for port in [both, each] {
        let (device, mut queues) = Device::open(&port, &addresses, &clock, 1).unwrap();
        assert!(device.inject(0, &[1; 20]) && !device.inject(1, &[1; 20]));
        transmit(&mut queues, &[2; 20]);
        assert_eq!(receive(&mut queues), [[1; 20]]);
        assert_eq!(device.take_all().len(), 1);
    }
    for (name, want) in [("both", &[1, 2][..]), ("rx", &[1]), ("tx", &[2])] {
        let file = std::fs::read(path(name)).unwrap();
        let mut reader = Reader::new(&file[..]).unwrap();
        for byte in want {
            assert_eq!(reader.record().unwrap().unwrap().data, [*byte; 20], "{name}");
        }
        assert!(reader.record().unwrap().is_none());
    }
    assert!(Device::open(&port("p3", &[("pcap", &path("no/such"))]), &addresses, &clock, 1).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_cable_between_two_ports() {
    let folder = folder("cable");
    let socket = folder.join("p1.sock").display().to_string();
    let (addresses, clock) = (Addresses::default(), Clock::stopped_at(Instant::from_millis(5)));
    let open = |name, key, method: String| Device::open(&port(name, &[(key, &method)]), &addresses, &clock, 1).unwrap();
    let (b, mut b_queues) = open("b", "stream", format!("unix:{socket}"));
    // nobody is there yet: it tries again a second later
    b.turn(clock.now());
    assert_eq!(b.cable(), Some(false));
    let (a, mut a_queues) = open("a", "pstream", format!("punix:{socket}"));
    b.turn(clock.now());
    assert_eq!((a.cable(), b.cable()), (Some(false), Some(false)));
    clock.warp(Duration::from_secs(1));
    b.turn(clock.now());
    a.turn(clock.now());
    assert_eq!((a.cable(), b.cable()), (Some(true), Some(true)));
    for bytes in [vec![7; 60], vec![8; 9000]] {
        transmit(&mut a_queues, &bytes);
        a.turn(clock.now());
        b.turn(clock.now());
        assert_eq!(receive(&mut b_queues), std::slice::from_ref(&bytes));
        transmit(&mut b_queues, &bytes);
        b.turn(clock.now());
        assert!(a.turn(clock.now()));
        assert_eq!(receive(&mut a_queues), [bytes]);
    }
    assert!(!a.turn(clock.now()) && !b.turn(clock.now()));
    drop((a, a_queues));
    b.turn(clock.now());
    assert_eq!(b.cable(), Some(false));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn addresses_are_counted() {
    let (addresses, clock) = (Addresses::default(), Clock::real());
    let macs: Vec<[u8; 6]> =
        ["p1", "p2"].iter().map(|n| Device::open(&port(n, &[]), &addresses, &clock, 1).unwrap().0.mac()).collect();
    assert_eq!(macs, [[0xaa, 0x55, 0xaa, 0x55, 0, 1], [0xaa, 0x55, 0xaa, 0x55, 0, 2]]);
}
