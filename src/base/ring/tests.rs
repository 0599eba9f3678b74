//! Order, counters, and sleeping readers in real threads.

#![expect(clippy::unwrap_used, reason = "tests; helpers are outside the lint's own exception")]

use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::sync::Arc;

/// Whether the waker's descriptor is readable within `ms`.
fn readable(waker: &Waker, ms: u16) -> bool {
    let mut fds = [PollFd::new(waker.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(ms)).unwrap() == 1
}

#[test]
fn counts_what_it_takes_and_refuses() {
    let ring = Ring::new(4).unwrap();
    let mut back = Vec::new();
    assert_eq!(ring.push_burst(0..6, |item| back.push(item)), 4);
    assert_eq!(back, [4, 5]);
    assert_eq!(ring.push(9), Err(9));
    assert_eq!((ring.pushed(), ring.full(), ring.len(), ring.capacity()), (4, 3, 4, 4));
    assert_eq!(ring.pop(), Some(0));
    assert_eq!(ring.drain(2).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(ring.drain(9).collect::<Vec<_>>(), [3]);
    assert!(ring.is_empty() && ring.pop().is_none());
    assert_eq!(Ring::<u8>::new(0).unwrap().capacity(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no poll")]
fn only_a_sleeping_reader_is_signalled() {
    let ring = Ring::new(8).unwrap();
    ring.push(1).unwrap();
    assert!(!readable(ring.waker(), 0));
    assert!(!ring.prepare_sleep(), "an item is there");
    ring.push(2).unwrap();
    assert_eq!((readable(ring.waker(), 0), ring.waker().signals()), (false, 0));
    assert_eq!(ring.drain(9).count(), 2);

    assert!(ring.prepare_sleep());
    ring.push(3).unwrap();
    ring.push(4).unwrap();
    assert_eq!((readable(ring.waker(), 0), ring.waker().signals()), (true, 1));
    ring.waker().awake();
    assert!(!readable(ring.waker(), 0));
    assert_eq!(ring.drain(9).count(), 2);

    assert!(ring.prepare_sleep());
    ring.waker().awake();
    ring.push(5).unwrap();
    assert!(!readable(ring.waker(), 0), "it woke by itself before");
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no poll")]
fn rings_share_a_waker() {
    let waker = Arc::new(Waker::new().unwrap());
    let a = Ring::with_waker(2, waker.clone());
    let b = Ring::with_waker(2, waker.clone());
    let idle = || a.is_empty() && b.is_empty();
    assert!(waker.prepare_sleep(idle));
    b.push(1u8).unwrap();
    assert!(readable(&waker, 0));
    waker.awake();
    assert!(!waker.prepare_sleep(idle));
    b.pop();
    assert!(waker.prepare_sleep(idle));
    a.push('x').unwrap();
    assert!(readable(&waker, 0));
}

/// Three writers against a reader that sleeps whenever it can; a lost wake-up times out.
#[test]
#[cfg_attr(miri, ignore = "Miri has no poll")]
fn nothing_is_lost_or_reordered() {
    const EACH: u64 = 20_000;
    let ring = Ring::new(64).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..3u64 {
            let ring = &ring;
            scope.spawn(move || {
                for n in 0..EACH {
                    let mut item = (writer, n);
                    while let Err(back) = ring.push(item) {
                        item = back;
                        std::thread::yield_now();
                    }
                    if n % 1024 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let (mut next, mut sleeps) = ([0; 3], 0);
        while next != [EACH; 3] {
            while let Some((writer, n)) = ring.pop() {
                assert_eq!(n, next[writer as usize]);
                next[writer as usize] += 1;
            }
            if next != [EACH; 3] && ring.prepare_sleep() {
                sleeps += 1;
                assert!(readable(ring.waker(), 30_000), "lost wake-up after {next:?}");
                ring.waker().awake();
            }
        }
        assert!(sleeps > 0);
    });
    assert_eq!(ring.pushed(), 3 * EACH);
}
