//! When to assign queues anew without being asked: `other_config:pmd-auto-lb` of ovs-vswitchd.conf.db(5).
//!
//! A core is overloaded when its load was at the threshold or above in every interval of the last minute. Then, at most
//! once per `interval`, a plan is made and not carried out: only if the variance of the loads of cores that are not
//! isolated would fall by enough is it worth moving queues.

use super::history::KEPT;
use super::{Core, Plan, Policy, Queue, plan};

/// Settings, with the defaults of ovs-vswitchd.conf.db(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub enabled: bool,
    /// Percent of a core's cycles (`pmd-auto-lb-load-threshold`).
    pub load: u32,
    /// Percent by which the variance has to fall (`pmd-auto-lb-improvement-threshold`).
    pub improvement: u32,
    /// Minutes between two attempts (`pmd-auto-lb-rebal-interval`).
    pub interval: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { enabled: false, load: 95, improvement: 25, interval: 1 }
    }
}

/// Whether balancing can do anything: there are two cores or more that are not isolated, and one of them has two queues or
/// more, and queues are assigned by what they cost.
pub fn is_possible(now: &Plan, policy: Policy) -> bool {
    let mut queues = vec![0; now.isolated.len()];
    for at in now.places.iter().flatten() {
        if let Some(n) = queues.get_mut(*at) {
            *n += 1;
        }
    }
    let open = |at: &usize| now.isolated.get(*at) == Some(&false);
    policy != Policy::RoundRobin
        && (0..now.isolated.len()).filter(open).count() > 1
        && (0..now.isolated.len()).filter(open).any(|at| queues.get(at).is_some_and(|n| *n > 1))
}

/// Whether queues that may move are polled from other memory nodes than their own, and there are several to choose from: what
/// a queue costs elsewhere is not known then.
pub fn is_across_nodes(cores: &[Core], queues: &[Queue], now: &Plan) -> bool {
    let several = cores.iter().any(|core| cores.first().is_some_and(|first| first.node != core.node));
    let across = |(queue, place): (&Queue, &Option<usize>)| {
        let core = place.and_then(|at| cores.get(at));
        queue.pin.is_none() && core.is_some_and(|core| queue.node.is_some_and(|node| node != core.node))
    };
    several && queues.iter().zip(&now.places).any(across)
}

/// Whether a core with these (busy, all) cycles by interval was overloaded all of the last minute.
pub fn is_overloaded(intervals: impl Iterator<Item = (u64, u64)>, threshold: u32) -> bool {
    let over = |(busy, all): &(u64, u64)| *all != 0 && percent(*busy, *all) >= u64::from(threshold);
    intervals.take(KEPT).filter(over).count() == KEPT
}

/// A share in percent.
pub fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

/// The mean square of what differs from the mean.
pub fn variance(values: &[u64]) -> u64 {
    let n = values.len().max(1) as u128;
    let mean = values.iter().map(|v| u128::from(*v)).sum::<u128>() / n;
    let sum: u128 = values.iter().map(|v| u128::from(*v).abs_diff(mean).pow(2)).sum();
    u64::try_from(sum / n).unwrap_or(u64::MAX)
}

/// What a dry run found: the variance of loads as it is and as it would be, and the improvement in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DryRun {
    pub current: u64,
    pub estimate: u64,
    pub improvement: u64,
}

/// What a new plan would be worth. `whole` are the cycles of a core in the time that the queues' cycles are of.
pub fn dry_run(cores: &[Core], queues: &[Queue], now: &Plan, policy: Policy, isolate: bool, whole: u64) -> DryRun {
    let then = plan(cores, queues, policy, isolate);
    let loads = |plan: &Plan| {
        let loads = plan.loads(queues).into_iter().zip(&now.isolated);
        loads.filter(|(_, isolated)| !**isolated).map(|(load, _)| percent(load, whole)).collect::<Vec<_>>()
    };
    let (current, estimate) = (variance(&loads(now)), variance(&loads(&then)));
    let improvement = if estimate < current { 100 - percent(estimate, current) } else { 0 };
    DryRun { current, estimate, improvement }
}
