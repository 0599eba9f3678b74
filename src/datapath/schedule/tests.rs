//! The planner on the examples of the documentation, and on anything against what must hold.

use super::balance::{self, dry_run, is_overloaded, is_possible, percent, variance};
use super::history::{History, KEPT, intervals};
use super::*;
use proptest::prelude::*;

fn cores(numbers: &[usize]) -> Vec<Core> {
    numbers.iter().map(|number| Core { number: *number, node: 0 }).collect()
}

fn loads(loads: &[u64]) -> Vec<Queue> {
    loads.iter().map(|cycles| Queue { cycles: *cycles, ..Queue::default() }).collect()
}

fn by_core(plan: &Plan, core: usize) -> Vec<usize> {
    (0..plan.places.len()).filter(|q| plan.places[*q] == Some(core)).collect()
}

/// Cores 3, 7, 8 and five or six queues, as in the documentation of queue assignment.
#[test]
fn documented_examples() {
    let cores = cores(&[3, 7, 8]);
    // Q0 30, Q1 80, Q2 10, Q3 50, Q4 70, Q5 60 percent
    let queues = loads(&[30, 80, 10, 50, 70, 60]);
    let p = plan(&cores, &queues, Policy::Cycles, true);
    assert_eq!([by_core(&p, 0), by_core(&p, 1), by_core(&p, 2)], [vec![1, 2], vec![0, 4], vec![3, 5]]);
    let p = plan(&cores, &queues, Policy::RoundRobin, true);
    assert_eq!([by_core(&p, 0), by_core(&p, 1), by_core(&p, 2)], [vec![0, 3], vec![1, 4], vec![2, 5]]);
    let p = plan(&cores, &queues, Policy::Group, true);
    // 80; 70 + 30; 60 + 50, and the last one where least is: 80 + 10
    assert_eq!([by_core(&p, 0), by_core(&p, 1), by_core(&p, 2)], [vec![1, 2], vec![0, 4], vec![3, 5]]);
}

/// Six cores on two nodes, seven queues, two of them pinned, one to a core without a worker: as the stock switch does it.
#[test]
fn as_the_peer_assigns() {
    let six: Vec<Core> = (0..6).map(|n| Core { number: n, node: u32::from(n > 3) }).collect();
    let on = |node, pin| Queue { node: Some(node), pin, cycles: 0 };
    let queues = [on(0, None), on(0, None), on(0, None), on(1, None), on(1, None), on(0, Some(3)), on(0, Some(77))];
    let places = |policy| plan(&six, &queues, policy, true).places.into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(places(Policy::Cycles), [0, 1, 2, 4, 5, 3, 2]);
    assert_eq!(places(Policy::RoundRobin), [0, 1, 2, 4, 5, 3, 0]);
    assert_eq!(places(Policy::Group), [0, 1, 2, 4, 5, 3, 0]);
    let p = plan(&six, &queues, Policy::Cycles, true);
    assert_eq!(p.isolated, [false, false, false, true, false, false]);
    assert_eq!(p.notes[..2], [Note::Pinned(5, 3), Note::NoCore(6, 77)]);
    // two cores left, none on node 1
    let p = plan(&six[..2], &queues, Policy::RoundRobin, true);
    assert!(p.notes.contains(&Note::OtherNode(3, 0)) && p.notes.contains(&Note::NoCore(5, 3)));
    assert!(p.places.iter().all(Option::is_some));
    // all cores isolated: the others are not polled
    let pinned = [on(0, Some(0)), on(0, Some(1)), on(0, None)];
    let p = plan(&six[..2], &pinned, Policy::Cycles, true);
    assert_eq!((p.places[2], p.notes[2]), (None, Note::Unpolled(2)));
    let p = plan(&six[..2], &pinned, Policy::Group, false);
    assert!(p.places[2].is_some());
}

fn any_plan() -> impl Strategy<Value = (Vec<Core>, Vec<Queue>, Policy, bool)> {
    let core = (0usize..12, 0u32..3).prop_map(|(number, node)| Core { number, node });
    let cores = prop::collection::vec(core, 0..7).prop_map(|mut cores| {
        cores.sort_by_key(|c| c.number);
        cores.dedup_by_key(|c| c.number);
        cores
    });
    let pin = prop_oneof![4 => Just(None), 1 => (0usize..12).prop_map(Some)];
    let queue = (prop::option::of(0u32..3), pin, 0u64..100).prop_map(|(node, pin, cycles)| Queue { node, pin, cycles });
    let policy = prop_oneof![Just(Policy::Cycles), Just(Policy::Group), Just(Policy::RoundRobin)];
    (cores, prop::collection::vec(queue, 0..20), policy, any::<bool>())
}

proptest! {
    #[test]
    fn what_must_hold((cores, queues, policy, isolate) in any_plan()) {
        let p = plan(&cores, &queues, policy, isolate);
        prop_assert_eq!(&p, &plan(&cores, &queues, policy, isolate));
        let open: Vec<usize> = (0..cores.len()).filter(|c| !p.isolated[*c]).collect();
        for (i, queue) in queues.iter().enumerate() {
            let pin = queue.pin.and_then(|n| cores.iter().position(|c| c.number == n));
            match (pin, p.places[i]) {
                // a pin wins
                (Some(pin), place) => prop_assert_eq!(place, Some(pin)),
                // others are never on an isolated core, and on their node when that has a core for them
                (None, Some(at)) => {
                    prop_assert!(!p.isolated[at]);
                    let local = queue.node.filter(|n| open.iter().any(|c| cores[*c].node == *n));
                    prop_assert!(local.is_none_or(|n| cores[at].node == n));
                }
                (None, None) => prop_assert!(open.is_empty()),
            }
        }
        for (core, isolated) in p.isolated.iter().enumerate() {
            let pinned = queues.iter().any(|q| q.pin == Some(cores[core].number));
            prop_assert_eq!(*isolated, isolate && pinned);
        }
        prop_assert_eq!(p.loads(&queues).len(), cores.len());
    }

    /// By load, no core could give its least queue away and leave the other below what it had itself.
    #[test]
    fn groups_are_level(cycles in prop::collection::vec(1u64..100, 1..20), n in 1usize..6) {
        let (cores, queues) = (cores(&(0..n).collect::<Vec<_>>()), loads(&cycles));
        let p = plan(&cores, &queues, Policy::Group, true);
        let sums = p.loads(&queues);
        for (queue, place) in queues.iter().zip(&p.places) {
            let from = sums[place.unwrap()];
            let smallest = p.places.iter().zip(&queues).filter(|(at, _)| *at == place).map(|(_, q)| q.cycles).min();
            if Some(queue.cycles) == smallest {
                prop_assert!(sums.iter().all(|to| to + queue.cycles >= from));
            }
        }
        // turns give every core as many queues as the others, or one more or less
        for (policy, most) in [(Policy::RoundRobin, 1), (Policy::Cycles, 2)] {
            let p = plan(&cores, &queues, policy, true);
            let counts: Vec<usize> = (0..n).map(|c| by_core(&p, c).len()).collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= most);
        }
    }

    #[test]
    fn variance_is_what_it_is(values in prop::collection::vec(0u64..1000, 1..9)) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<u64>() as f64 / n;
        let exact = values.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / n;
        // whole numbers: the mean is rounded down by less than one
        prop_assert!((variance(&values) as f64 - exact).abs() <= 2.0);
    }
}

#[test]
fn overload_and_dry_run() {
    let full = |n: usize| std::iter::repeat_n((95, 100), n);
    assert!(is_overloaded(full(12), 95) && !is_overloaded(full(11), 95) && !is_overloaded(full(12), 96));
    assert!(!is_overloaded(full(5).chain([(94, 100)]).chain(full(7)), 95));
    assert!(!is_overloaded(std::iter::repeat_n((0, 0), 12), 0));
    // both queues on core 0: 90 and 0 percent become 50 and 40
    let (cores, queues) = (cores(&[0, 1]), loads(&[50, 40]));
    let now = Plan { places: vec![Some(0), Some(0)], isolated: vec![false; 2], notes: Vec::new() };
    assert!(is_possible(&now, Policy::Cycles) && !is_possible(&now, Policy::RoundRobin));
    let run = dry_run(&cores, &queues, &now, Policy::Cycles, true, 100);
    assert_eq!((run.current, run.estimate, run.improvement), (2025, 25, 99));
    let then = plan(&cores, &queues, Policy::Cycles, true);
    assert!(!is_possible(&then, Policy::Cycles));
    assert_eq!(dry_run(&cores, &queues, &then, Policy::Cycles, true, 100).improvement, 0);
    let alone = Plan { isolated: vec![false, true], ..now };
    assert!(!is_possible(&alone, Policy::Cycles));
    assert_eq!((percent(1, 0), percent(u64::MAX, u64::MAX)), (100, 100));
    assert_eq!(balance::Settings::default().load, 95);
}

#[test]
fn history_of_a_minute() {
    let mut h = History::<2>::default();
    assert_eq!(h.sum(1), None);
    h.sample([10, 5]);
    assert_eq!(h.sum(12), None);
    for n in 1..=20u64 {
        h.sample([10 + n * n, 5]);
    }
    assert_eq!(h.sum(1), Some([400 - 361, 0]));
    assert_eq!(h.sum(KEPT), Some([400 - 64, 0]));
    assert_eq!((h.sum(99), h.intervals().count()), (h.sum(KEPT), KEPT));
    h.clear();
    h.sample([500, 5]);
    assert_eq!(h.sum(3), Some([90, 0]));
    assert_eq!(
        [intervals(0), intervals(1), intervals(5), intervals(7), intervals(60), intervals(99)],
        [12, 1, 1, 2, 12, 12]
    );
}

#[test]
fn across_nodes() {
    let two = [Core { number: 0, node: 1 }, Core { number: 1, node: 2 }];
    let queue = |node, pin| Queue { node: Some(node), pin, cycles: 0 };
    let check = |cores: &[Core], queue: Queue| {
        let p = plan(cores, &[queue], Policy::Group, false);
        balance::is_across_nodes(cores, &[queue], &p)
    };
    assert!(check(&two, queue(0, None)));
    assert!(!check(&two, queue(1, None)) && !check(&two, queue(0, Some(1))) && !check(&two[..1], queue(0, None)));
}
