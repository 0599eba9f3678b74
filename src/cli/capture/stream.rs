//! The socket of a capture: records in, in order of time out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use base::clock::{Clock, Instant};
use datapath::tap::{Point, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Packets of different workers are put in order when they come within this time of each other.
const ORDER: Duration = Duration::from_millis(20);
/// The longest chunk that a switch sends.
const CHUNK_MAX: usize = 1 << 20;

/// A packet, with a number that keeps those of the same time in order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packet {
    pub(super) time: u64,
    number: u64,
    pub(super) port: u32,
    /// 0 received, 1 sent, 2 dropped.
    kind: u8,
    reason: u8,
    pub(super) length: u32,
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    pub(super) fn point(&self) -> Point {
        match self.kind {
            0 => Point::Ingress,
            1 => Point::Egress,
            _ => Point::Drop(
                dpif::DropReason::ALL.get(usize::from(self.reason)).copied().unwrap_or(dpif::DropReason::Internal),
            ),
        }
    }
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Packets,
    /// Nothing for a while.
    Quiet,
    /// The capture's end, in the switch's words.
    Ended(String),
    /// The switch hung up without a word.
    Gone,
}

pub(super) struct Stream {
    socket: UnixStream,
    signals: SignalFd,
    clock: Clock,
    /// When to stop.
    deadline: Option<Instant>,
    stopping: bool,
    buffer: Vec<u8>,
    waiting: BinaryHeap<Reverse<Packet>>,
    newest: u64,
    number: u64,
}

impl Stream {
    pub(super) fn new(socket: UnixStream, seconds: Option<Duration>) -> io::Result<Stream> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK)?;
        let clock = Clock::real();
        let deadline = seconds.map(|s| clock.now() + s);
        Ok(Stream {
            socket,
            signals,
            clock,
            deadline,
            stopping: false,
            buffer: Vec::new(),
            waiting: BinaryHeap::new(),
            newest: 0,
            number: 0,
        })
    }

    /// Asks the switch to end the capture; what it has copied still comes.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Waits for packets, a moment at most.
    ///
    /// # Errors
    /// The socket fails or brings what is no capture; a second signal.
    pub(super) fn next(&mut self) -> io::Result<Event> {
        if self.deadline.is_some_and(|d| self.clock.now() >= d) && !self.stopping {
            self.stop();
        }
        let mut wait =
            [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wait, PollTimeout::try_from(ORDER).unwrap_or(PollTimeout::ZERO)) {
            Ok(0) => return Ok(Event::Quiet),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let [readable, signal] = wait.map(|fd| fd.any().unwrap_or(false));
        if signal && self.signals.read_signal()?.is_some() {
            if self.stopping {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
            }
            self.stop();
        }
        if !readable {
            return Ok(Event::Quiet);
        }
        let mut room = [0; 1 << 16];
        let n = self.socket.read(&mut room)?;
        if n == 0 {
            return Ok(Event::Gone);
        }
        self.buffer.extend_from_slice(room.get(..n).unwrap_or_default());
        self.take_chunks()
    }

    /// Takes in the chunks that are whole.
    fn take_chunks(&mut self) -> io::Result<Event> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no capture comes from it");
        let mut rest = self.buffer.as_slice();
        let mut ended = None;
        while let Some((length, body)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            if length == 0 {
                let Some((length, text)) = body.split_first_chunk::<4>() else { break };
                let Some(text) = text.get(..u32::from_le_bytes(*length) as usize) else { break };
                ended = Some(String::from_utf8_lossy(text).into_owned());
                break;
            }
            if length > CHUNK_MAX {
                return Err(wrong());
            }
            let Some((chunk, after)) = body.split_at_checked(length) else { break };
            rest = after;
            let mut records = chunk;
            while !records.is_empty() {
                let (record, more) = Record::read(records).ok_or_else(wrong)?;
                records = more;
                let (kind, reason) = match record.point {
                    Point::Ingress => (0, 0),
                    Point::Egress => (1, 0),
                    Point::Drop(reason) => (2, reason as u8),
                };
                self.newest = self.newest.max(record.time);
                self.number += 1;
                self.waiting.push(Reverse(Packet {
                    time: record.time,
                    number: self.number,
                    port: record.port.0,
                    kind,
                    reason,
                    length: record.length,
                    bytes: record.bytes.to_vec(),
                }));
            }
        }
        let used = self.buffer.len() - rest.len();
        self.buffer.drain(..used);
        Ok(ended.map_or(Event::Packets, Event::Ended))
    }

    /// The next packet in order; while `more` may come, only when none can come before it.
    pub(super) fn ready(&mut self, more: bool) -> Option<Packet> {
        let Reverse(first) = self.waiting.peek()?;
        let safe = self.newest.saturating_sub(ORDER.as_nanos() as u64);
        if more && first.time > safe {
            return None;
        }
        self.waiting.pop().map(|Reverse(packet)| packet)
    }
}
