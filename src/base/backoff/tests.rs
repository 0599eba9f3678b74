//! The reconnect machine in virtual time.

use super::*;
use proptest::prelude::*;

fn at(ms: u64) -> Instant {
    Instant::from_millis(100_000 + ms)
}

fn started() -> Backoff {
    let mut b = Backoff::new(Settings::default());
    b.enable(at(0));
    assert_eq!(b.poll(at(0)), Some(Action::Connect));
    b
}

#[test]
fn waits_double_up_to_the_limit() {
    let mut b = started();
    let mut now = at(0);
    for wait in [1, 2, 4, 8, 8, 8] {
        b.disconnected(now);
        assert_eq!((b.deadline(), b.state_name()), (Some(now + Duration::from_secs(wait)), "BACKOFF"));
        now += Duration::from_secs(wait);
        assert_eq!(b.poll(now - Duration::from_nanos(1)), None);
        assert_eq!((b.poll(now), b.poll(now)), (Some(Action::Connect), None));
    }
    assert_eq!(b.attempts(), (7, 0));
}

#[test]
fn an_attempt_times_out() {
    let mut b = started();
    assert_eq!((b.state_name(), b.deadline()), ("CONNECTING", Some(at(1000))));
    assert_eq!((b.poll(at(999)), b.poll(at(1000))), (None, Some(Action::Disconnect)));
    assert_eq!((b.deadline(), b.poll(at(2000))), (Some(at(2000)), Some(Action::Connect)));
    // the second try has as long as was waited for it
    assert_eq!(b.deadline(), Some(at(3000)));
}

#[test]
fn silence_is_probed_then_given_up() {
    let mut b = started();
    b.connected(at(10));
    assert!(b.is_connected());
    b.received(at(2000));
    assert_eq!((b.poll(at(6999)), b.poll(at(7000)), b.poll(at(7000))), (None, Some(Action::Probe), None));
    assert_eq!(b.state_name(), "IDLE");
    b.received(at(8000));
    assert_eq!((b.state_name(), b.deadline(), b.changed()), ("ACTIVE", Some(at(13_000)), at(10)));
    assert_eq!(b.poll(at(13_000)), Some(Action::Probe));
    assert_eq!((b.poll(at(17_999)), b.poll(at(18_000))), (None, Some(Action::Disconnect)));
    // it had held: the wait starts over
    assert_eq!((b.is_connected(), b.deadline()), (false, Some(at(19_000))));
}

#[test]
fn a_connection_that_flaps_does_not_reset_the_wait() {
    let mut b = started();
    b.connected(at(1));
    b.disconnected(at(2));
    assert_eq!(b.deadline(), Some(at(1002)));
    b.poll(at(1002));
    b.connected(at(1003));
    b.disconnected(at(1004));
    assert_eq!(b.deadline(), Some(at(3004)));
    b.poll(at(3004));
    b.connected(at(3005));
    b.disconnected(at(3005 + 8000));
    assert_eq!(b.deadline(), Some(at(3005 + 9000)));
}

#[test]
fn tries_probes_and_orders_from_above() {
    let mut b = Backoff::new(Settings { tries: Some(2), probe: None, ..Settings::default() });
    assert_eq!((b.poll(at(0)), b.deadline(), b.is_stopped()), (None, None, true));
    b.enable(at(0));
    assert_eq!(b.poll(at(0)), Some(Action::Connect));
    b.connected(at(0));
    assert_eq!((b.deadline(), b.poll(Instant::MAX)), (None, None));
    b.force_reconnect(at(5));
    assert_eq!((b.poll(at(5)), b.poll(at(5))), (Some(Action::Disconnect), Some(Action::Connect)));
    b.disconnected(at(6));
    assert!(!b.is_stopped());
    b.force_reconnect(at(7));
    assert_eq!(b.poll(at(7)), Some(Action::Connect));
    b.disconnected(at(8));
    assert_eq!((b.is_stopped(), b.state_name()), (true, "VOID"));
    b.enable(at(9));
    b.disable(at(9));
    assert_eq!(b.poll(Instant::MAX), None);
}

proptest! {
    /// Any sequence of events: never busy (poll twice at one time ends in None), never asleep with something due,
    /// connected only after a success, and the wait within its limits.
    #[test]
    fn any_order_of_events(events in proptest::collection::vec((0u8..7, 0u64..6000), 0..100)) {
        let mut b = Backoff::new(Settings::default());
        let mut now = at(0);
        for (event, ms) in events {
            now += Duration::from_millis(ms);
            match event {
                0 => b.enable(now),
                1 => b.disable(now),
                2 => b.connected(now),
                3 => b.disconnected(now),
                4 => b.received(now),
                5 => b.force_reconnect(now),
                _ => {}
            }
            let mut actions = 0;
            loop {
                let due = b.deadline().is_some_and(|d| d <= now);
                let action = b.poll(now);
                prop_assert_eq!(due, action.is_some());
                if action.is_none() {
                    break;
                }
                actions += 1;
                prop_assert!(actions < 4);
            }
            prop_assert!(b.deadline().is_none_or(|d| d > now && d.since(now) <= Duration::from_secs(8)));
            prop_assert!(!b.is_connected() || b.attempts().1 > 0);
        }
    }
}
