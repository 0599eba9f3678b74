//! Rates between two snapshots. A port, worker or pair that one of them lacks counts from 0, and a counter that went back
//! (the switch was started again) counts as 0.

use super::{Snapshot, Worker};

/// What went on between two snapshots, per second.
pub struct Rates<'a> {
    before: &'a Snapshot,
    /// Nanoseconds between them.
    passed: u64,
}

impl<'a> Rates<'a> {
    /// `before` of another run of the switch gives rates since its start.
    pub fn between(before: &'a Snapshot, after: &Snapshot) -> Rates<'a> {
        Rates { before, passed: after.at.saturating_sub(before.at).max(1) }
    }

    /// The rate of a counter that was `before` and is `after`.
    pub fn of(&self, before: u64, after: u64) -> u64 {
        let more = u128::from(after.saturating_sub(before));
        u64::try_from(more * 1_000_000_000 / u128::from(self.passed)).unwrap_or(u64::MAX)
    }

    /// A port's counter.
    pub fn port(&self, port: &super::Port, of: impl Fn(&super::Port) -> u64) -> u64 {
        let same = |p: &&super::Port| p.name == port.name && p.datapath == port.datapath;
        self.of(self.before.ports.iter().find(same).map_or(0, &of), of(port))
    }

    /// A queue's counter.
    pub fn queue(&self, port: &super::Port, queue: &super::Queue, of: impl Fn(&super::Queue) -> u64) -> u64 {
        let same = |p: &&super::Port| p.name == port.name && p.datapath == port.datapath;
        let before = self.before.ports.iter().find(same);
        let before = before.and_then(|p| p.queues.iter().find(|q| q.number == queue.number));
        self.of(before.map_or(0, &of), of(queue))
    }

    /// A worker's counter.
    pub fn worker(&self, worker: &Worker, of: impl Fn(&Worker) -> u64) -> u64 {
        self.of(self.before.workers.iter().find(|w| w.name == worker.name).map_or(0, &of), of(worker))
    }

    /// The share of its time that a worker was busy, 0 to 1.
    pub fn load(&self, worker: &Worker) -> f64 {
        let before = self.before.workers.iter().find(|w| w.name == worker.name);
        let busy = worker.busy.saturating_sub(before.map_or(0, |w| w.busy));
        let time = worker.time.saturating_sub(before.map_or(0, |w| w.time));
        if time == 0 { 0.0 } else { (busy as f64 / time as f64).min(1.0) }
    }

    /// Packets from one port to another.
    pub fn talk(&self, talk: &super::Talk) -> u64 {
        let same = |t: &&super::Talk| t.from == talk.from && t.to == talk.to;
        self.of(self.before.matrix.iter().find(same).map_or(0, |t| t.packets), talk.packets)
    }

    /// Drops for one reason.
    pub fn drop(&self, drop: &super::Drop) -> u64 {
        let before = self.before.totals.drops.iter().find(|d| d.reason == drop.reason);
        self.of(before.map_or(0, |d| d.packets), drop.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fates, Port, Talk};
    use super::*;

    fn look(at: u64, packets: u64) -> Snapshot {
        let received = Fates { packets, ..Fates::default() };
        let port = Port { name: "p1".into(), received, ..Port::default() };
        let talk = Talk { from: "p1".into(), to: "p2".into(), packets };
        let worker = Worker { name: "w".into(), busy: packets, time: at, ..Worker::default() };
        Snapshot { at, ports: vec![port], matrix: vec![talk], workers: vec![worker], ..Snapshot::default() }
    }

    #[test]
    fn rates_are_per_second() {
        let (before, after) = (look(1_000_000_000, 500_000_000), look(3_000_000_000, 1_500_000_000));
        let rates = Rates::between(&before, &after);
        assert_eq!(rates.port(&after.ports[0], |p| p.received.packets), 500_000_000);
        assert_eq!(rates.talk(&after.matrix[0]), 500_000_000);
        assert_eq!(rates.load(&after.workers[0]), 0.5);
    }

    #[test]
    fn another_run_has_no_negative_rates() {
        let (before, after) = (look(9_000_000_000, 900), look(1_000_000_000, 10));
        let rates = Rates::between(&before, &after);
        assert_eq!(rates.port(&after.ports[0], |p| p.received.packets), 0);
        assert_eq!(rates.load(&after.workers[0]), 0.0);
    }
}
