//! Every interleaving of a writer and readers, by loom: `RUSTFLAGS="--cfg loom" cargo test -p base --lib --release loom`.
//!
//! The value is a loom cell that its destructor writes, so a read that is not ordered before the free, or comes after
//! it, fails the model. Two readers at once are left to the stress test: slots are independent, and the states explode.

use super::*;
use loom::cell::UnsafeCell;
use loom::thread;

struct Tracked(UnsafeCell<u64>);

// SAFETY: loom's cell reports unordered access instead of performing it.
unsafe impl Sync for Tracked {}

impl Tracked {
    fn new(v: u64) -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(v)))
    }
    fn read(&self) -> u64 {
        // SAFETY: the cell checks that no write is concurrent.
        self.0.with(|p| unsafe { *p })
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // SAFETY: the cell checks that no access is concurrent.
        self.0.with_mut(|p| unsafe { *p = 0 });
    }
}

#[test]
fn loom_refresh_against_reclaim() {
    loom::model(|| {
        let mut p = Publisher::new(Tracked::new(1));
        let mut r = p.reader("r");
        let reader = thread::spawn(move || {
            let a = r.refresh().read();
            assert_eq!((a, r.current().read()), (r.version(), a));
            let b = r.refresh().read();
            assert!(b >= a && a >= 1);
        });
        p.publish(Tracked::new(2));
        p.reclaim();
        p.publish(Tracked::new(3));
        p.reclaim();
        reader.join().unwrap();
        p.reclaim();
        assert_eq!(p.pending(), 0);
    });
}

#[test]
fn loom_coming_online_against_reclaim() {
    loom::model(|| {
        let mut p = Publisher::new(Tracked::new(1));
        let parked = p.registry().offline_reader("r");
        let reader = thread::spawn(move || {
            let mut r = parked.online();
            let a = r.current().read();
            assert_eq!(a, r.version());
            r.offline(|| {});
            assert!(r.current().read() >= a);
        });
        p.publish(Tracked::new(2));
        p.reclaim();
        reader.join().unwrap();
    });
}

#[test]
fn loom_registering_and_leaving_against_reclaim() {
    loom::model(|| {
        let mut p = Publisher::new(Tracked::new(1));
        let registry = p.registry();
        let reader = thread::spawn(move || {
            let r = registry.reader("r");
            assert_eq!(r.current().read(), r.version());
        });
        p.publish(Tracked::new(2));
        p.reclaim();
        reader.join().unwrap();
        assert!(p.readers().is_empty());
    });
}

/// After `passed(v)` no reader acts on anything older, and what it did before is visible.
#[test]
fn loom_barrier() {
    use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
    loom::model(|| {
        let mut p = Publisher::new(Tracked::new(1));
        let mut r = p.reader("r");
        let acted = loom::sync::Arc::new(AtomicU64::new(0));
        let log = acted.clone();
        let reader = thread::spawn(move || {
            log.store(r.refresh().read(), Relaxed);
            r.offline(|| {});
            log.store(r.current().read(), Relaxed);
            r
        });
        let v = p.publish(Tracked::new(2));
        if p.passed(v) {
            // the old version's last act came before, and nothing after it can be old
            let seen = acted.load(Relaxed);
            let r = reader.join().unwrap();
            assert!(seen != 1 || acted.load(Relaxed) == 2);
            assert_eq!(r.version(), 2);
        } else {
            reader.join().unwrap();
        }
    });
}
