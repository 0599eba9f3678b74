//! `Backoff`: when to connect, when to wait, when a silent peer is dead. A machine without sockets or clock.
//!
//! The owner has the socket: it asks `poll` what to do, tells what happened, and sleeps until `deadline`.
//!
//! ```text
//!            enable             Connect            connected
//!  Stopped ─────────► Waiting ──────────► Connecting ──────► Active ◄───┐
//!     ▲                  ▲                    │                │        │ received
//!     │ disable          └────────────────────┴── disconnected─┤        │
//!     └── from any            by failure, time-out or loss     └─► Probing (Probe sent)
//! ```
//!
//! The wait before a try starts at `min`, doubles with every failure up to `max` and starts over once a connection has
//! held for `max`. A peer that was silent for `probe` is asked for a sign of life; another `probe` later it is given up.
//! The names and defaults are those of `max_backoff` and `inactivity_probe` in ovs-vswitchd.conf.db(5).

#[cfg(test)]
mod tests;

use crate::clock::Instant;
use std::time::Duration;

/// How a connection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The first wait after a failure; also how long a try may take at least.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
    /// Silence before a probe; `None`: never probe.
    pub probe: Option<Duration>,
    /// Give up after this many failed tries in a row; `None`: never.
    pub tries: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { min: secs(1), max: secs(8), probe: Some(secs(5)), tries: None }
    }
}

/// What the owner must do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start connecting (or listening).
    Connect,
    /// Close the connection, or stop the attempt. Already counted as lost: `disconnected` need not be called.
    Disconnect,
    /// Send something that the peer answers (an echo request).
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stopped,
    Waiting {
        until: Instant,
    },
    Connecting {
        until: Instant,
    },
    Active {
        since: Instant,
        heard: Instant,
    },
    Probing {
        since: Instant,
        until: Instant,
    },
    /// Must be closed at the next poll, then tried again.
    Closing,
}

/// The machine of one connection. Starts stopped.
#[derive(Clone, Debug)]
pub struct Backoff {
    settings: Settings,
    state: State,
    /// The wait before the last try; zero when none failed.
    wait: Duration,
    failures: u32,
    attempts: u64,
    successes: u64,
    changed: Instant,
}

impl Backoff {
    /// A stopped machine.
    pub fn new(settings: Settings) -> Self {
        let (state, wait, changed) = (State::Stopped, Duration::ZERO, Instant::ZERO);
        Self { settings, state, wait, failures: 0, attempts: 0, successes: 0, changed }
    }

    /// Takes new settings; a running wait or probe is cut to what they allow at the next event.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
        self.wait = self.wait.min(settings.max);
    }

    /// Starts: the first try is due at once. Does nothing unless stopped.
    pub fn enable(&mut self, now: Instant) {
        if self.state == State::Stopped {
            self.wait = Duration::ZERO;
            self.failures = 0;
            self.enter(now, State::Waiting { until: now });
        }
    }

    /// Stops; the owner closes what is open.
    pub fn disable(&mut self, now: Instant) {
        self.enter(now, State::Stopped);
    }

    /// Gives up the present connection or wait and tries again at once.
    pub fn force_reconnect(&mut self, now: Instant) {
        match self.state {
            State::Stopped | State::Closing => {}
            State::Waiting { .. } => self.enter(now, State::Waiting { until: now }),
            State::Connecting { .. } | State::Active { .. } | State::Probing { .. } => {
                self.wait = Duration::ZERO;
                self.enter(now, State::Closing);
            }
        }
    }

    /// The attempt succeeded.
    pub fn connected(&mut self, now: Instant) {
        match self.state {
            State::Connecting { .. } | State::Waiting { .. } => {
                self.successes += 1;
                self.failures = 0;
                self.enter(now, State::Active { since: now, heard: now });
            }
            State::Stopped | State::Closing | State::Active { .. } | State::Probing { .. } => {}
        }
    }

    /// The attempt failed, or the connection is lost.
    pub fn disconnected(&mut self, now: Instant) {
        match self.state {
            State::Stopped | State::Waiting { .. } => {}
            State::Connecting { .. } => self.failed(now, false),
            State::Active { since, .. } | State::Probing { since, .. } => {
                self.failed(now, now.since(since) >= self.settings.max);
            }
            State::Closing => self.enter(now, State::Waiting { until: now }),
        }
    }

    /// Something came from the peer.
    pub fn received(&mut self, now: Instant) {
        match self.state {
            State::Active { since, .. } | State::Probing { since, .. } => {
                self.state = State::Active { since, heard: now };
            }
            State::Stopped | State::Waiting { .. } | State::Connecting { .. } | State::Closing => {}
        }
    }

    /// What to do at `now`. Each action is returned once; call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        match self.state {
            State::Stopped => None,
            State::Waiting { until } => (now >= until).then(|| {
                self.attempts += 1;
                self.enter(now, State::Connecting { until: now + self.wait.max(self.settings.min) });
                Action::Connect
            }),
            State::Connecting { until } => (now >= until).then(|| {
                self.failed(now, false);
                Action::Disconnect
            }),
            State::Active { since, heard } => {
                let probe = self.settings.probe?;
                (now >= heard + probe).then(|| {
                    self.state = State::Probing { since, until: now + probe };
                    Action::Probe
                })
            }
            State::Probing { since, until } => (now >= until).then(|| {
                self.failed(now, now.since(since) >= self.settings.max);
                Action::Disconnect
            }),
            State::Closing => {
                self.enter(now, State::Waiting { until: now });
                Some(Action::Disconnect)
            }
        }
    }

    /// When `poll` will next have something to say; `None`: only after an event.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Stopped => None,
            State::Waiting { until } | State::Connecting { until } | State::Probing { until, .. } => Some(until),
            State::Active { heard, .. } => self.settings.probe.map(|probe| heard + probe),
            State::Closing => Some(Instant::ZERO),
        }
    }

    /// Whether the connection is up.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Active { .. } | State::Probing { .. })
    }

    /// Whether it stopped by itself, out of tries, or by `disable`.
    pub fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// The state in a word, as the `state` of a controller's status column shows it.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            State::Stopped => "VOID",
            State::Waiting { .. } => "BACKOFF",
            State::Connecting { .. } => "CONNECTING",
            State::Active { .. } => "ACTIVE",
            State::Probing { .. } => "IDLE",
            State::Closing => "RECONNECT",
        }
    }

    /// When the state last changed (between active and probing counts as no change).
    pub fn changed(&self) -> Instant {
        self.changed
    }

    /// Tries made, and tries that succeeded.
    pub fn attempts(&self) -> (u64, u64) {
        (self.attempts, self.successes)
    }

    fn enter(&mut self, now: Instant, state: State) {
        self.state = state;
        self.changed = now;
    }

    /// A try failed or a connection ended; `held` says that it had lasted long enough to count as healthy.
    fn failed(&mut self, now: Instant, held: bool) {
        self.failures += 1;
        if self.settings.tries.is_some_and(|most| self.failures >= most) {
            return self.enter(now, State::Stopped);
        }
        let doubled = if held { Duration::ZERO } else { self.wait.saturating_mul(2) };
        self.wait = doubled.max(self.settings.min).min(self.settings.max);
        self.enter(now, State::Waiting { until: now + self.wait });
    }
}
