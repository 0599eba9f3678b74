//! Time that is stopped and goes on by command: `time/stop`, `time/warp`. A step of time is over when what it made due is done,
//! here, on the workers and in the database; then comes the next.

use std::collections::VecDeque;
use std::time::Duration;

use base::clock::{Clock, Instant};

use crate::control::Call;
use crate::run::switch::Switch;

/// How long a step waits for others (the database, devices) by the machine's own clock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time that is to pass.
struct Warp {
    call: Call,
    left: Duration,
    step: Duration,
}

/// What of time is to pass, and how long the step under way may take.
pub(in crate::run) struct Warps {
    queue: VecDeque<Warp>,
    /// The machine's time, which nothing stops.
    real: Clock,
    patience: Option<Instant>,
}

impl Warps {
    pub(in crate::run) fn new() -> Warps {
        Warps { queue: VecDeque::new(), real: Clock::real(), patience: None }
    }

    /// Whether time is to pass.
    pub(in crate::run) fn are_due(&self) -> bool {
        !self.queue.is_empty()
    }
}

const ONLY: &str = "time can be stopped in deterministic mode alone (--enable-dummy)";

/// `time/stop`.
pub(in crate::run) fn stop(switch: &mut Switch, _: &[String]) -> Result<String, String> {
    if switch.config.dummy.is_none() {
        return Err(ONLY.into());
    }
    switch.clock.stop();
    Ok(String::new())
}

/// `time/warp [LARGE] MSECS`: LARGE milliseconds pass in steps of MSECS.
pub(in crate::run) fn warp(switch: &mut Switch, call: Call) {
    if switch.config.dummy.is_none() {
        return call.answer(Err(ONLY.into()));
    }
    let number = |text: &String| text.parse::<u32>().ok().filter(|n| *n > 0).map(|n| Duration::from_millis(n.into()));
    let (left, step) = match call.arguments.as_slice() {
        [large, step] => (number(large), number(step)),
        [step] => (number(step), number(step)),
        _ => (None, None),
    };
    match (left, step) {
        (Some(left), Some(step)) => switch.warps.queue.push_back(Warp { call, left, step }),
        _ => call.answer(Err("invalid MSECS".into())),
    }
}

impl Switch {
    /// Lets the next step of time pass when the last one is done.
    pub(in crate::run) fn pass_time(&mut self) {
        if self.warps.queue.is_empty() {
            return;
        }
        let now = self.warps.real.now();
        let until = *self.warps.patience.get_or_insert(now + PATIENCE);
        if !self.is_quiet() && now < until {
            return;
        }
        self.warps.patience = None;
        let Some(warp) = self.warps.queue.front_mut() else { return };
        if warp.left.is_zero() {
            if let Some(warp) = self.warps.queue.pop_front() {
                warp.call.answer(Ok("warped".into()));
            }
            return;
        }
        let step = warp.step.min(warp.left);
        warp.left -= step;
        self.clock.warp(step);
        if let Some(database) = &self.database {
            database.time_passed();
        }
    }

    /// Whether nothing is under way that time could wait for.
    fn is_quiet(&self) -> bool {
        self.jobs.waiting() == 0 && !self.manager.is_dirty() && self.database_is_quiet()
    }
}
