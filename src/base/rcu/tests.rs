//! Versions, barriers and reclamation, one thread at a time and then all at once.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// A value that checks it is alive and counts its death.
struct Canary {
    number: u64,
    twin: u64,
    deaths: Arc<AtomicUsize>,
}

impl Canary {
    fn new(number: u64, deaths: &Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { number, twin: !number, deaths: deaths.clone() })
    }
    fn check(&self) -> u64 {
        assert_eq!(self.twin, !self.number);
        self.number
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.twin = self.number;
        self.deaths.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_reader_keeps_its_version_until_it_refreshes() {
    let deaths = Arc::new(AtomicUsize::new(0));
    let mut p = Publisher::new(Canary::new(1, &deaths));
    let mut r = p.reader("pmd0");
    assert_eq!((r.version(), r.is_stale()), (1, false));
    assert_eq!(p.publish(Canary::new(2, &deaths)), 2);
    assert_eq!(p.publish(Canary::new(3, &deaths)), 3);
    assert_eq!((p.reclaim(), p.pending(), p.oldest(), r.is_stale()), (0, 2, 1, true));
    assert_eq!(r.current().check(), 1);
    assert!(p.passed(1) && !p.passed(2));
    assert_eq!(p.readers(), [ReaderState { name: "pmd0".into(), version: Some(1) }]);
    assert_eq!(r.refresh().check(), 3);
    assert!(p.passed(3) && !p.passed(4));
    assert_eq!((p.reclaim(), p.pending(), p.oldest()), (2, 0, 3));
    assert_eq!(deaths.load(SeqCst), 2);
    assert_eq!((p.current().check(), p.version()), (3, 3));
    let offline = r.into_offline();
    assert!(p.passed(3) && !p.passed(4));
    r = offline.online();
    drop(p);
    assert_eq!(r.current().check(), 3);
    assert_eq!(r.refresh().check(), 3);
    drop(r);
    assert_eq!(deaths.load(SeqCst), 3);
}

#[test]
fn the_slowest_reader_decides() {
    let deaths = Arc::new(AtomicUsize::new(0));
    let mut p = Publisher::new(Canary::new(1, &deaths));
    let (mut a, mut b) = (p.reader("a"), p.reader("b"));
    p.publish(Canary::new(2, &deaths));
    a.refresh();
    p.publish(Canary::new(3, &deaths));
    assert_eq!((p.reclaim(), p.oldest()), (0, 1));
    b.refresh();
    assert_eq!((p.reclaim(), p.oldest()), (1, 2));
    assert_eq!((a.current().check(), b.current().check()), (2, 3));
    drop(a);
    assert_eq!((p.reclaim(), p.readers().len()), (1, 1));
}

#[test]
fn offline_readers_hold_nothing_and_return_to_the_newest() {
    let deaths = Arc::new(AtomicUsize::new(0));
    let mut p = Publisher::new(Canary::new(1, &deaths));
    let mut r = p.reader("slow");
    let freed = r.offline(|| {
        p.publish(Canary::new(2, &deaths));
        assert!(p.passed(2));
        assert_eq!(p.readers()[0].version, None);
        p.reclaim()
    });
    assert_eq!((freed, r.current().check(), r.version()), (1, 2, 2));

    let parked = r.into_offline();
    p.publish(Canary::new(3, &deaths));
    assert_eq!(p.reclaim(), 1);
    let mut r = parked.online();
    assert_eq!(r.current().check(), 3);

    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| r.offline(|| panic!("while blocked"))));
    assert!(caught.is_err());
    p.publish(Canary::new(4, &deaths));
    assert_eq!((p.reclaim(), r.current().check()), (0, 3));
    assert_eq!(r.refresh().check(), 4);
    drop(p.registry().offline_reader("never ran"));
    assert_eq!(p.readers().len(), 1);
}

/// Readers that refresh, rest and come and go, against a writer that publishes and frees without pause.
#[test]
fn stress() {
    const VERSIONS: u64 = if cfg!(miri) { 200 } else { 100_000 };
    let deaths = Arc::new(AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    let mut p = Publisher::new(Canary::new(1, &deaths));
    std::thread::scope(|scope| {
        for n in 0..3u64 {
            let (registry, stop) = (p.registry(), &stop);
            scope.spawn(move || {
                let mut r = registry.reader("stress");
                let (mut last, mut round) = (0, n);
                while !stop.load(SeqCst) {
                    round += 1;
                    let now = r.refresh().check();
                    assert!(now >= last, "versions went backwards");
                    assert_eq!(r.version(), now);
                    last = now;
                    for _ in 0..round % 64 {
                        assert_eq!(r.current().check(), now);
                    }
                    match round % 256 {
                        0 => r.offline(std::thread::yield_now),
                        1 => r = r.into_offline().online(),
                        2 => r = registry.reader("again"),
                        _ => {}
                    }
                }
            });
        }
        let mut freed = 0;
        for v in 2..=VERSIONS {
            assert_eq!(p.publish(Canary::new(v, &deaths)), v);
            freed += p.reclaim();
            if v % 64 == 0 {
                std::thread::yield_now();
            }
        }
        stop.store(true, SeqCst);
        assert_eq!(freed, deaths.load(SeqCst));
    });
    p.reclaim();
    assert!(p.passed(VERSIONS));
    assert_eq!((p.readers().len(), p.pending()), (0, 0));
    assert_eq!(deaths.load(SeqCst) as u64, VERSIONS - 1);
    drop(p);
    assert_eq!(deaths.load(SeqCst) as u64, VERSIONS);
}
