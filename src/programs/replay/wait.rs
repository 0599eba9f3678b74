//! What a program waits for: descriptors, signals. In a replay nothing is waited for.

use super::{ask, is_replay};
use nix::poll::{PollFd, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Numbers as they are recorded.
fn text<T: ToString>(numbers: impl Iterator<Item = T>) -> Vec<u8> {
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(" ").into_bytes()
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    String::from_utf8_lossy(bytes).split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Waits for any of the descriptors. Which have something.
pub(crate) fn poll(fds: &mut [PollFd<'_>], timeout: PollTimeout) -> Vec<bool> {
    let ready = ask("poll", 0, || {
        // when a signal interrupts it there is nothing
        let _ = nix::poll::poll(fds, timeout);
        let found = fds.iter().enumerate().filter(|(_, fd)| fd.any() == Some(true));
        Ok(text(found.map(|(at, _)| at)))
    });
    let ready = numbers(&ready.unwrap_or_default());
    (0..fds.len() as u64).map(|at| ready.contains(&at)).collect()
}

/// Many descriptors, each by a number.
#[derive(Debug)]
pub(crate) struct Poller(Option<Epoll>);

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        if is_replay() {
            return Ok(Poller(None));
        }
        Ok(Poller(Some(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)))
    }

    /// Takes a descriptor to wait for, if there is one.
    pub(crate) fn add(&self, fd: Option<BorrowedFd<'_>>, number: u64) -> io::Result<()> {
        let live = || {
            if let (Some(epoll), Some(fd)) = (&self.0, fd) {
                epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
            }
            Ok(Vec::new())
        };
        ask("add", number, live).map(|_| ())
    }

    /// Waits for something else of it.
    pub(crate) fn modify(&self, fd: impl AsFd, number: u64, flags: EpollFlags) {
        if let Some(epoll) = &self.0 {
            let _ = epoll.modify(fd, &mut EpollEvent::new(flags, number));
        }
    }

    /// The numbers of those that have something; none when the time is over.
    pub(crate) fn wait(&self, timeout: EpollTimeout) -> io::Result<Vec<u64>> {
        let ready = ask("ready", 0, || {
            let mut events = [EpollEvent::empty(); 256];
            let n = match self.0.as_ref().map_or(Ok(0), |epoll| epoll.wait(&mut events, timeout)) {
                Err(nix::errno::Errno::EINTR) => 0,
                other => other?,
            };
            Ok(text(events[..n].iter().map(EpollEvent::data)))
        })?;
        Ok(numbers(&ready))
    }
}

/// Signals that a program takes when it comes to it.
#[derive(Debug)]
pub(crate) struct Signals(Option<SignalFd>);

impl Signals {
    /// From now on these signals wait. In a replay they do what they do by default.
    pub(crate) fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        if is_replay() {
            return Ok(Signals(None));
        }
        let mut mask = SigSet::empty();
        signals.into_iter().for_each(|signal| mask.add(signal));
        mask.thread_block()?;
        Ok(Signals(Some(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)))
    }

    /// One that came.
    pub(crate) fn next(&self) -> Option<Signal> {
        let number = ask("signal", 0, || {
            let came = self.0.as_ref().and_then(|signals| signals.read_signal().ok().flatten());
            Ok(text(came.iter().map(|info| info.ssi_signo)))
        });
        let number = numbers(&number.ok()?).first().copied()?;
        i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok())
    }

    /// None in a replay.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}
