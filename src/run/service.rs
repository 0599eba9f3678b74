//! What a service manager is told (sd_notify(3)): that ports are up, that the owner loop turns, that it stops. Without one,
//! nothing.

use std::time::Duration;

use base::clock::Instant;
use sd_notify::NotifyState;

/// The notifications of one run.
pub(super) struct Service {
    /// How often the loop says that it turns: twice as often as it must.
    every: Option<Duration>,
    due: Instant,
}

impl Service {
    /// Everything that the configuration asks for is there, but for the ports that could not be opened.
    pub(super) fn ready(now: Instant, ports: usize, failed: usize) -> Service {
        let missing = if failed == 0 { String::new() } else { format!(", {failed} could not be opened") };
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("{ports} ports{missing}"))]);
        Service { every: sd_notify::watchdog_enabled().map(|limit| limit / 2), due: now }
    }

    /// The loop turns.
    pub(super) fn turn(&mut self, now: Instant) {
        if let Some(every) = self.every
            && now >= self.due
        {
            self.due = now + every;
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The end is near and wanted.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

/// A manager that cannot be told sees to that itself.
fn tell(what: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(what) {
        log::warn!(target: "switch", "the service manager cannot be told: {e}");
    }
}
