//! Queues that move and workers that come and go, under traffic: every packet arrives, those of one queue in order.

use std::collections::BTreeMap;

use dpif::{Action, PortNo};
use flow::Match;
use flow::layout::TP_SRC;
use proptest::prelude::*;

use super::{Happened, Queues, Serve, WorkerId};
use crate::Limits;
use crate::dummy::DummyPort;
use crate::testkit::{Rig, matching, udp};

/// A rig whose port 1 receives by two queues and port 3 by one; everything goes to port 2. Every source port is a flow;
/// with one flow for each queue, order is checked.
struct Moving {
    rig: Rig,
    queues: Vec<DummyPort>,
    /// Frames given to each queue, and the last that came out.
    given: Vec<u16>,
    came: Vec<u16>,
    flows: u16,
}

const PLACES: [(u32, u32); 3] = [(1, 0), (1, 1), (3, 0)];

impl Moving {
    fn new(workers: usize, flows: u16, limits: Limits) -> Moving {
        let mut rig = Rig::with_workers(0, workers, limits);
        let queues: Vec<DummyPort> = (0..4).map(|_| DummyPort::new()).collect();
        let pair = |i: usize| queues[i].queues();
        let ((rx0, tx0), (rx1, tx1), (rx2, tx2), (_, tx3)) = (pair(0), pair(1), pair(2), pair(3));
        let add = |rig: &mut Rig, no, rx, tx| {
            rig.control.add_port(PortNo(no), Queues { rx, tx }, Serve::Fast).map_err(|e| e.0).unwrap();
        };
        add(&mut rig, 1, vec![rx0, rx1], vec![tx0, tx1]);
        add(&mut rig, 2, vec![], vec![tx3]);
        add(&mut rig, 3, vec![rx2], vec![tx2]);
        rig.script.add(0, Match::default(), vec![Action::Output(PortNo(2))]);
        // makes the lookup depend on the source port
        rig.script.add(9, matching(&[(TP_SRC, 0xffff, 0xffff)]), vec![]);
        rig.steps(4);
        Moving { rig, queues, given: vec![0; 3], came: vec![0; 3], flows }
    }

    fn inject(&mut self, queue: usize, n: u16) {
        for _ in 0..n {
            self.given[queue] += 1;
            // the source address says which queue, the destination address the number
            let number = self.given[queue];
            let source = queue as u16 * 100 + number % self.flows;
            self.queues[queue].inject(udp(queue as u32 + 1, u32::from(number), source, 7));
        }
    }

    fn step(&mut self) -> Vec<Happened> {
        let happened = self.rig.step();
        for h in &happened {
            if let Happened::Retired(id) = h {
                let name = format!("pmd-{}", id.0);
                self.rig.workers.retain(|w| w.name() != name);
            }
        }
        for frame in self.queues[3].take_all() {
            let data = frame.data();
            let queue = usize::from(data[29]) - 1;
            let number = u16::from_be_bytes([data[32], data[33]]);
            self.came[queue] += 1;
            assert!(self.flows > 1 || number == self.came[queue], "queue {queue}: {number} out of order");
        }
        happened
    }

    fn move_to(&mut self, queue: usize, worker: usize) {
        let (port, number) = PLACES[queue];
        let fast: Vec<WorkerId> = self.rig.control.fast().map(|w| w.0).collect();
        self.rig.control.place(PortNo(port), number, Some(fast[worker % fast.len()]));
    }

    fn add_worker(&mut self) {
        if self.rig.control.fast().count() < 4 {
            let free = (0..64)
                .find(|n| {
                    let taken = |(id, name, _): (WorkerId, &str, _)| {
                        name == format!("pmd-{n}") && !self.rig.control.is_retired(id)
                    };
                    !self.rig.control.workers().any(taken)
                })
                .unwrap();
            self.rig.workers.push(self.rig.control.add_worker(&format!("pmd-{free}"), true).unwrap().1);
        }
    }

    fn retire(&mut self, worker: usize) {
        let fast: Vec<WorkerId> = self.rig.control.fast().map(|w| w.0).collect();
        let gone = fast[worker % fast.len()];
        if self.rig.control.retire(gone) {
            let on: BTreeMap<(u32, u32), Option<WorkerId>> =
                self.rig.control.rx_queues().map(|q| ((q.port.0, q.number), q.worker)).collect();
            for (queue, place) in PLACES.iter().enumerate() {
                if on[place] == Some(gone) {
                    self.move_to(queue, worker);
                }
            }
        }
    }

    fn finish(mut self) {
        for _ in 0..5_000 {
            self.step();
            let quiet = self.queues.iter().all(|q| q.pending() == 0) && !self.rig.control.is_settling();
            if quiet && self.came == self.given && self.rig.control.totals().parked == 0 {
                break;
            }
        }
        assert_eq!(self.came, self.given);
        assert!(!self.rig.control.is_settling());
        self.rig.check_fates();
        let t = self.rig.control.totals();
        assert_eq!((t.forwarded, t.drops()), (self.given.iter().map(|n| u64::from(*n)).sum(), 0));
        let counted: u64 = self.rig.control.rx_queues().map(|q| q.counters.packets.get()).sum();
        assert_eq!(counted, t.received);
        let figures = self.rig.control.port_figures(PortNo(2)).unwrap();
        assert_eq!(figures.tx_packets, t.forwarded);
        // everything comes back in the end
        let mut back = 0;
        for port in [1, 2, 3] {
            assert!(self.rig.control.remove_port(PortNo(port)));
        }
        for _ in 0..50 {
            for h in self.rig.step() {
                if let Happened::Removed { queues, .. } = h {
                    back += queues.rx.len() + queues.tx.len();
                }
            }
        }
        assert_eq!(back, 3 + 4);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Inject(usize, u16),
    Step,
    Move(usize, usize),
    Add,
    Retire(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0usize..3, 1u16..60).prop_map(|(q, n)| Op::Inject(q, n)),
        4 => Just(Op::Step),
        3 => (0usize..3, 0usize..4).prop_map(|(q, w)| Op::Move(q, w)),
        1 => Just(Op::Add),
        1 => (0usize..4).prop_map(Op::Retire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_order_stays(
        ops in prop::collection::vec(op(), 1..60),
        workers in 1usize..4,
        flows in prop_oneof![Just(1u16), Just(50)],
        translations in prop_oneof![Just(1u32), Just(3), Just(64)],
    ) {
        // few translations: packets wait in park queues when their queue moves
        let mut m = Moving::new(workers, flows, Limits { translations, park: 100_000, ..Limits::default() });
        for op in ops {
            match op {
                Op::Inject(queue, n) => m.inject(queue, n),
                Op::Step => {
                    m.step();
                }
                Op::Move(queue, worker) => m.move_to(queue, worker),
                Op::Add => m.add_worker(),
                Op::Retire(worker) => m.retire(worker),
            }
        }
        m.finish();
    }
}

#[test]
fn a_queue_moves_with_its_parked_packets_first() {
    let mut m = Moving::new(2, 50, Limits { translations: 1, ..Limits::default() });
    let home = |m: &Moving| m.rig.control.rx_queues().next().unwrap().worker.unwrap();
    let first = home(&m);
    m.inject(0, 40);
    m.step();
    assert!(m.rig.control.totals().parked > 20);
    m.move_to(0, 1 - first.0);
    m.step();
    assert!(m.rig.control.is_settling(), "it waits for its packets");
    m.inject(0, 40);
    assert_ne!(home(&m), first);
    m.finish();
}

#[test]
fn a_port_goes_while_its_queue_moves() {
    let mut m = Moving::new(2, 50, Limits { translations: 1, ..Limits::default() });
    m.inject(0, 40);
    m.step();
    for worker in [0, 1] {
        m.move_to(0, worker);
        m.move_to(1, worker);
    }
    assert!(m.rig.control.remove_port(PortNo(1)));
    assert!(!m.rig.control.remove_port(PortNo(1)));
    let mut removed = 0;
    for _ in 0..20 {
        for h in m.rig.step() {
            if let Happened::Removed { port, queues } = h {
                assert_eq!((port, queues.rx.len(), queues.tx.len()), (PortNo(1), 2, 2));
                removed += 1;
            }
        }
    }
    assert_eq!(removed, 1);
    m.rig.check_fates_of_totals();
}

#[test]
fn a_port_goes_while_a_worker_retires() {
    for steps in 0..8 {
        let mut m = Moving::new(2, 50, Limits::default());
        m.retire(0);
        for _ in 0..steps {
            m.step();
        }
        assert!(m.rig.control.remove_port(PortNo(1)));
        let mut removed = 0;
        for _ in 0..20 {
            for h in m.step() {
                if let Happened::Removed { queues, .. } = h {
                    assert_eq!((queues.rx.len(), queues.tx.len()), (2, 2), "after {steps} steps");
                    removed += 1;
                }
            }
        }
        assert_eq!((removed, m.rig.workers.len()), (1, 1), "after {steps} steps");
        assert!(!m.rig.control.is_settling());
    }
}

#[test]
fn the_last_worker_stays() {
    let mut m = Moving::new(1, 50, Limits::default());
    assert!(!m.rig.control.retire(WorkerId(0)));
    assert!(!m.rig.control.retire(WorkerId(7)));
    m.add_worker();
    m.step();
    assert!(m.rig.control.retire(WorkerId(0)));
    assert!(!m.rig.control.retire(WorkerId(0)));
}
