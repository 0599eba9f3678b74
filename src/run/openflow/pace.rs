//! How many packets a controller gets in a second, where its row says (ovs-vswitchd.conf.db(5), `controller_rate_limit`):
//! those in excess wait, each port's by itself, and go in turn.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::clock::Instant;
use openflow::OfPort;

/// Packets of one kind on their way to a controller.
pub(super) struct Pace {
    /// Packets in a second, and how many may wait (and go at once after a rest).
    rate: u32,
    burst: u32,
    /// In nanoseconds of time that a packet takes; what is saved is bounded by the burst.
    saved: Duration,
    at: Instant,
    queues: BTreeMap<OfPort, VecDeque<Vec<u8>>>,
    backlog: usize,
    /// The port after whose turn it is.
    last: OfPort,
    bypassed: u64,
    queued: u64,
    dropped: u64,
}

impl Pace {
    pub(super) fn new((rate, burst): (u32, u32), now: Instant) -> Pace {
        let mut pace = Pace {
            rate,
            burst,
            saved: Duration::ZERO,
            at: now,
            queues: BTreeMap::new(),
            backlog: 0,
            last: OfPort(0),
            bypassed: 0,
            queued: 0,
            dropped: 0,
        };
        pace.saved = pace.most();
        pace
    }

    /// Takes other limits.
    pub(super) fn set(&mut self, (rate, burst): (u32, u32)) {
        (self.rate, self.burst) = (rate, burst);
        while self.backlog > burst as usize {
            self.shorten();
        }
    }

    fn of_packet(&self) -> Duration {
        Duration::from_secs(1) / self.rate.max(1)
    }

    fn most(&self) -> Duration {
        self.of_packet() * self.burst
    }

    fn pay(&mut self, now: Instant) -> bool {
        self.saved = (self.saved + now.since(self.at)).min(self.most());
        self.at = now;
        match self.saved.checked_sub(self.of_packet()) {
            Some(left) => {
                self.saved = left;
                true
            }
            None => false,
        }
    }

    /// A packet from `port`: given back when it may go at once.
    pub(super) fn take(&mut self, port: OfPort, packet: Vec<u8>, now: Instant) -> Option<Vec<u8>> {
        if self.backlog == 0 && self.pay(now) {
            self.bypassed += 1;
            return Some(packet);
        }
        self.queued += 1;
        if self.backlog >= self.burst as usize {
            self.shorten();
        }
        self.queues.entry(port).or_default().push_back(packet);
        self.backlog += 1;
        None
    }

    /// Drops a packet of the port that has most of them.
    fn shorten(&mut self) {
        let longest = self.queues.iter_mut().max_by_key(|(_, queue)| queue.len());
        let Some((port, queue)) = longest else { return };
        queue.pop_front();
        let (port, empty) = (*port, queue.is_empty());
        if empty {
            self.queues.remove(&port);
        }
        self.backlog -= 1;
        self.dropped += 1;
    }

    /// The next packet whose time has come.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.backlog == 0 || !self.pay(now) {
            return None;
        }
        let after = (std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded);
        let port = self.queues.range(after).chain(self.queues.iter()).next().map(|(port, _)| *port)?;
        let queue = self.queues.get_mut(&port)?;
        let packet = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&port);
        }
        self.last = port;
        self.backlog -= 1;
        packet
    }

    /// When the next packet's time comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.backlog != 0).then(|| self.at + self.of_packet().saturating_sub(self.saved))
    }

    /// What is shown of it, as `packet-in-KIND-bypassed` and others.
    pub(super) fn show(&self, kind: &str, out: &mut BTreeMap<String, String>) {
        let backlog = self.backlog as u64;
        for (what, n) in
            [("bypassed", self.bypassed), ("queued", self.queued), ("dropped", self.dropped), ("backlog", backlog)]
        {
            out.insert(format!("packet-in-{kind}-{what}"), n.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn packets_in_excess_wait_and_ports_take_turns() {
        let mut pace = Pace::new((100, 4), at(0));
        let packet = |n: u8| vec![n];
        for n in 0..4 {
            assert!(pace.take(OfPort(1), packet(n), at(0)).is_some());
        }
        for n in 0..3 {
            assert!(pace.take(OfPort(1), packet(10 + n), at(0)).is_none());
        }
        assert!(pace.take(OfPort(2), packet(20), at(0)).is_none());
        // the oldest of the port that has most goes
        assert!(pace.take(OfPort(2), packet(21), at(0)).is_none());
        assert_eq!((pace.next(at(0)), pace.deadline()), (None, Some(at(10))));
        let next: Vec<_> = (1..=4).map(|n| pace.next(at(10 * n))).collect();
        assert_eq!(next, [Some(vec![11]), Some(vec![20]), Some(vec![12]), Some(vec![21])]);
        assert_eq!((pace.next(at(1000)), pace.deadline()), (None, None));
        let mut shown = BTreeMap::new();
        pace.show("miss", &mut shown);
        let figures: Vec<&str> = shown.values().map(String::as_str).collect();
        assert_eq!(figures, ["0", "4", "1", "5"]);
        // as many at once as after the start, and no more
        assert_eq!((0..6).filter(|n| pace.take(OfPort(1), packet(*n), at(5000)).is_some()).count(), 4);
        pace.set((100, 1));
        assert_eq!(pace.backlog, 1);
    }
}
