//! Work that waits for devices, on threads of its own: probing, starting, stopping and unplugging what is behind ports.
//! The owner loop hands it out and is handed the results; it never waits for it.
//!
//! Work has a place in the line of its device ([`Jobs::reserve`]), taken when it is asked for and filled when it may
//! begin ([`Jobs::fill`]): a device whose queues workers still hold keeps its place, and what is asked for later waits
//! behind it. Lines of different devices run side by side. What follows from the work runs in the owner loop, with the
//! switch in hand.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::switch::Switch;

/// Threads at most; more devices than this wait for one another.
const THREADS: usize = 16;
/// How long an exit waits for work under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the owner loop does with the outcome.
pub(super) type Then = Box<dyn FnOnce(&mut Switch) + Send>;
type Work = Box<dyn FnOnce() -> Then + Send>;

/// A place in the line of a device. Dropping it does not give the place up; filling it does.
#[must_use = "what comes later waits for it"]
pub(super) struct Place {
    device: String,
    number: u64,
}

#[derive(Default)]
struct Line {
    /// In order; None is not filled yet.
    work: VecDeque<(u64, Option<Work>)>,
    /// Its first work is under way.
    running: bool,
}

#[derive(Default)]
struct Lines {
    lines: HashMap<String, Line>,
    threads: usize,
    stopping: bool,
}

impl Lines {
    /// The first work that may begin, with its device.
    fn next(&mut self) -> Option<(String, Work)> {
        if self.stopping {
            return None;
        }
        let ready = |l: &&mut Line| !l.running && l.work.front().is_some_and(|(_, w)| w.is_some());
        let first = |l: &Line| l.work.front().map_or(u64::MAX, |(n, _)| *n);
        let found = self.lines.iter_mut().map(|(d, l)| (first(l), d, l)).filter(|(_, _, l)| ready(l));
        let (_, device, line) = found.min_by_key(|(n, ..)| *n)?;
        line.running = true;
        let work = line.work.pop_front()?.1?;
        Some((device.clone(), work))
    }

    fn ended(&mut self, device: &str) {
        if let Some(line) = self.lines.get_mut(device) {
            line.running = false;
            if line.work.is_empty() {
                self.lines.remove(device);
            }
        }
    }
}

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    idle: Condvar,
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines and their threads. The owner loop has it.
pub(super) struct Jobs {
    shared: Arc<Shared>,
    numbers: u64,
    outcomes: mpsc::UnboundedSender<Then>,
    inbox: mpsc::UnboundedReceiver<Then>,
}

impl Jobs {
    /// No threads yet: each starts when there is work for it and ends when there is none.
    pub(super) fn new() -> Jobs {
        let (outcomes, inbox) = mpsc::unbounded_channel();
        Jobs { shared: Arc::default(), numbers: 0, outcomes, inbox }
    }

    /// Takes a place in the line of `device`: whatever asks later waits until this one is filled and done.
    pub(super) fn reserve(&mut self, device: &str) -> Place {
        self.numbers += 1;
        let mut lines = self.shared.lines();
        lines.lines.entry(device.to_owned()).or_default().work.push_back((self.numbers, None));
        Place { device: device.to_owned(), number: self.numbers }
    }

    /// Does `work` when everything before it in its line is done, and `then` in the owner loop with what it returned; the
    /// error is a panic of `work`.
    pub(super) fn fill<R: Send + 'static>(
        &mut self,
        place: Place,
        work: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut Switch, Result<R, String>) + Send + 'static,
    ) {
        let device = place.device.clone();
        let work: Work = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
                log::error!(target: "switch", "work on {device} ended by a panic");
                format!("{device}: internal error")
            });
            Box::new(move |switch: &mut Switch| then(switch, outcome))
        });
        let mut lines = self.shared.lines();
        let line = lines.lines.get_mut(&place.device);
        if let Some(slot) = line.and_then(|l| l.work.iter_mut().find(|(n, _)| *n == place.number)) {
            slot.1 = Some(work);
        }
        if lines.threads >= THREADS {
            return;
        }
        lines.threads += 1;
        drop(lines);
        let (shared, outcomes) = (self.shared.clone(), self.outcomes.clone());
        let started = std::thread::Builder::new().name("devices".into()).spawn(move || serve(&shared, &outcomes));
        if let Err(e) = started {
            log::error!(target: "switch", "no thread for work on devices, doing it here: {e}");
            serve(&self.shared, &self.outcomes);
        }
    }

    /// [`reserve`](Self::reserve) and [`fill`](Self::fill) at once.
    pub(super) fn run<R: Send + 'static>(
        &mut self,
        device: &str,
        work: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut Switch, Result<R, String>) + Send + 'static,
    ) {
        let place = self.reserve(device);
        self.fill(place, work, then);
    }

    /// Does work that waits for no device beside the owner loop, and `then` in it; the error is a panic of `work`. Few at a
    /// time, in no order.
    pub(super) fn aside<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut Switch, Result<R, String>) + Send + 'static,
    ) {
        let outcomes = self.outcomes.clone();
        let work = move || {
            let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
                log::error!(target: "switch", "work beside the loop ended by a panic");
                "internal error".to_owned()
            });
            // refused when the owner loop is gone: nobody wants to know
            let _ = outcomes.send(Box::new(move |switch: &mut Switch| then(switch, outcome)));
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            // before the loop turns there is nothing to hold up
            Err(_) => work(),
        }
    }

    /// The next outcome, for the owner loop to run.
    pub(super) async fn outcome(&mut self) -> Option<Then> {
        self.inbox.recv().await
    }

    /// Work that was asked for and is not done.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lines().lines.values().map(|l| l.work.len() + usize::from(l.running)).sum()
    }

    /// Begins nothing any more and waits for what is under way. Outcomes are dropped, and with them what they hold.
    pub(super) fn stop(&mut self) {
        let mut lines = self.shared.lines();
        lines.stopping = true;
        let left = self.shared.idle.wait_timeout_while(lines, PATIENCE, |l| l.threads != 0);
        let (mut lines, timeout) = left.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let stuck: Vec<&str> = lines.lines.iter().filter(|(_, l)| l.running).map(|(d, _)| d.as_str()).collect();
            log::error!(target: "switch", "not waiting any longer for {}", stuck.join(", "));
        }
        let left = std::mem::take(&mut lines.lines);
        drop(lines);
        drop(left);
        while let Ok(outcome) = self.inbox.try_recv() {
            drop(outcome);
        }
    }
}

/// A thread: does what is ready, and ends when nothing is.
fn serve(shared: &Shared, outcomes: &mpsc::UnboundedSender<Then>) {
    let mut lines = shared.lines();
    while let Some((device, work)) = lines.next() {
        drop(lines);
        // refused when the owner loop is gone: nobody wants to know
        let _ = outcomes.send(work());
        lines = shared.lines();
        lines.ended(&device);
    }
    lines.threads -= 1;
    if lines.threads == 0 {
        shared.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// Work that waits for `go` and says its name.
    fn named(
        name: &'static str,
        go: std::sync::mpsc::Receiver<()>,
        said: &std::sync::mpsc::Sender<&'static str>,
    ) -> impl FnOnce() + Send + 'static {
        let said = said.clone();
        move || {
            go.recv().unwrap();
            said.send(name).unwrap();
        }
    }

    #[test]
    fn one_device_keeps_order_and_others_do_not_wait() {
        let mut jobs = Jobs::new();
        let (said, heard) = channel();
        let gates: Vec<_> = (0..4).map(|_| channel()).collect();
        let mut goes = Vec::new();
        let mut gate = gates.into_iter().map(|(go, wait)| {
            goes.push(go);
            wait
        });
        let mut next = || gate.next().unwrap();
        let held = jobs.reserve("a");
        jobs.run("a", named("a2", next(), &said), |_, _| {});
        jobs.run("b", named("b1", next(), &said), |_, _| {});
        jobs.run("b", named("b2", next(), &said), |_, _| {});
        let a1 = named("a1", next(), &said);
        // everything may run but what waits in line: a2 for a place that is not filled, b2 for b1
        for n in [0, 2] {
            goes[n].send(()).unwrap();
        }
        assert!(heard.try_recv().is_err());
        goes[1].send(()).unwrap();
        assert_eq!((heard.recv().unwrap(), heard.recv().unwrap()), ("b1", "b2"));
        assert!(heard.try_recv().is_err());
        goes[3].send(()).unwrap();
        jobs.fill(held, a1, |_, _| {});
        assert_eq!((heard.recv().unwrap(), heard.recv().unwrap()), ("a1", "a2"));
        jobs.stop();
        assert_eq!(jobs.waiting(), 0);
    }

    #[test]
    fn a_panic_does_not_stop_the_line_and_stop_waits() {
        let mut jobs = Jobs::new();
        let (said, heard) = channel();
        jobs.run("a", || panic!("as planned"), |_, _: Result<(), String>| {});
        jobs.run("a", move || said.send(7).unwrap(), |_, _| {});
        assert_eq!(heard.recv().unwrap(), 7);
        let (started, under_way) = channel();
        let done = Arc::new(Mutex::new(false));
        let d = done.clone();
        jobs.run(
            "b",
            move || {
                started.send(()).unwrap();
                (0..50).for_each(|_| std::thread::yield_now());
                *d.lock().unwrap() = true;
            },
            |_, _| {},
        );
        under_way.recv().unwrap();
        let never = jobs.reserve("c");
        jobs.stop();
        assert!(*done.lock().unwrap());
        let _ = never;
    }
}
