//! The loop: which sockets have something, what is due when.

use super::remotes::Options;
use super::sources::{Source, Sources};
use super::upstream::{LinkId, Retry};
use super::{End, Program};
use crate::replay;
use crate::replay::wait::{Poller, Signals};
use crate::stream::{Listener, Stream, is_passive};
use crate::unixctl::Control;
use nix::sys::epoll::{EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use ovsdb::server::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

/// Signals that end it. A fault of its own is not among those that can wait, so what comes of SIGSEGV here was sent.
const SIGNALS: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGSEGV];

/// How much is read from a socket in one round.
const ROUND: usize = 1 << 18;

/// How long nobody is let in after somebody could not be.
const PAUSE: u64 = 100;

/// A method that is tried again and again: by which the server connects to a client, or at which it cannot listen yet.
#[derive(Default)]
struct Attempts {
    /// When to try again.
    at: u64,
    backoff: u64,
}

impl Attempts {
    /// Another begins.
    fn count(&mut self, now: Now) {
        self.backoff = (self.backoff * 2).clamp(1000, 8000);
        self.at = now.monotonic + self.backoff;
    }
}

/// All descriptors.
pub(super) struct Events {
    pub(super) poller: Poller,
    pub(super) sources: Sources,
    /// Sessions whose sockets said something this round.
    touched: BTreeSet<u64>,
    next: u64,
    methods: BTreeMap<String, Options>,
    active: BTreeMap<String, Attempts>,
    /// Methods at which it cannot listen yet.
    unheard: BTreeMap<String, Attempts>,
    /// Of the databases when the methods were looked at.
    serial: Option<u64>,
    unnamed: u64,
    /// What is read from a socket at once.
    buffer: Box<[u8]>,
    /// When to let clients in again.
    paused: Option<u64>,
    /// When to try servers again that this one follows.
    pub(super) retries: BTreeMap<LinkId, Retry>,
}

/// Ends this process by a signal.
pub(crate) fn die_by(signal: Signal) {
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::all()), None);
    // the run time's own handler may take the first
    let _ = nix::sys::signal::raise(signal);
    let _ = nix::sys::signal::raise(signal);
}

/// Starts a program that has the signals which this one takes in its loop.
pub(super) fn unblocked(command: &mut Command) -> io::Result<Child> {
    let mut mask = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), Some(&mut mask))?;
    let child = command.spawn();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    child
}

impl Events {
    pub(super) fn new() -> io::Result<Events> {
        Events::of(Source::Signals(Signals::new(SIGNALS.into_iter().chain([Signal::SIGCHLD]))?))
    }

    /// Events that end when the other side of a socket closes, and leave signals alone.
    pub(super) fn on_a_leash(leash: UnixStream) -> io::Result<Events> {
        Events::of(Source::Leash(leash))
    }

    fn of(first: Source) -> io::Result<Events> {
        let mut events = Events {
            poller: Poller::new()?,
            sources: Sources::default(),
            touched: BTreeSet::new(),
            next: 0,
            methods: BTreeMap::new(),
            active: BTreeMap::new(),
            unheard: BTreeMap::new(),
            serial: None,
            unnamed: 0,
            buffer: vec![0; 65536].into(),
            paused: None,
            retries: BTreeMap::new(),
        };
        events.add(first)?;
        Ok(events)
    }

    /// Nobody is let in for a while: without descriptors it would be tried for ever.
    fn pause(&mut self, now: Now) {
        self.paused = Some(now.monotonic + PAUSE);
        self.listen(EpollFlags::empty());
    }

    fn listen_again(&mut self, now: Now) {
        if self.paused.is_some_and(|at| at <= now.monotonic) {
            self.paused = None;
            self.listen(EpollFlags::EPOLLIN);
        }
    }

    fn listen(&self, flags: EpollFlags) {
        for (token, source) in self.sources.iter() {
            if let Source::Listener { listener, .. } = source {
                self.poller.modify(listener, token, flags);
            }
        }
    }

    pub(super) fn control(&mut self, control: Control) -> io::Result<()> {
        self.add(Source::Control(control)).map(|_| ())
    }

    pub(super) fn add(&mut self, source: Source) -> io::Result<u64> {
        self.next += 1;
        let fd = match &source {
            Source::Signals(signals) => signals.fd(),
            Source::Leash(leash) => Some(leash.as_fd()),
            Source::Listener { listener, .. } => Some(listener.as_fd()),
            Source::Session { stream, .. } | Source::Upstream { stream, .. } => Some(stream.as_fd()),
            Source::Control(control) => Some(control.as_fd()),
            Source::Caller(caller) => Some(caller.as_fd()),
        };
        self.poller.add(fd, self.next)?;
        self.sources.insert(self.next, source);
        Ok(self.next)
    }
}

impl Program {
    pub(super) fn now(&self) -> Now {
        let (monotonic, wall) = replay::time(|| (self.started.now().as_millis(), crate::setup::wall_ms()));
        Now { monotonic, wall }
    }

    /// Waits for something and does it.
    pub(super) fn round(&mut self) -> Result<(), String> {
        self.round_until(None)
    }

    /// The same, at most until then.
    pub(super) fn round_until(&mut self, latest: Option<u64>) -> Result<(), String> {
        let now = self.now();
        let reconnect =
            self.events.active.iter().filter(|(m, _)| self.events.sources.connections(m) == 0).map(|(_, a)| a.at);
        let listen = self.events.unheard.values().map(|attempts| attempts.at);
        let due = reconnect.chain(listen).chain(self.server.deadline()).chain(self.links_deadline()).chain(latest);
        let due = due.chain(self.events.paused).chain(self.server.can_resume().then_some(0)).min();
        let timeout = match due {
            None => EpollTimeout::NONE,
            Some(at) => {
                let ms = at.saturating_sub(now.monotonic).min(60_000);
                EpollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX))
            }
        };
        let waited = self.events.poller.wait(timeout);
        if let Some(end) = replay::over() {
            self.exit = Some(End::Code(0));
            return end;
        }
        let ready = waited.map_err(|e| format!("epoll: {e}"))?;
        let now = self.now();
        self.events.listen_again(now);
        for token in ready {
            self.input(token, now);
        }
        self.server.flush(now);
        self.update_remotes(false)?;
        self.listen_late(now);
        self.connect_active(now);
        self.keep_links(now);
        self.server.finish(now);
        self.report_status(now);
        self.run_commands(now);
        // what commands changed is told as well
        self.server.finish(now);
        self.output();
        Ok(())
    }

    fn input(&mut self, token: u64, now: Now) {
        let Some(source) = self.events.sources.get_mut(token) else { return };
        match source {
            Source::Signals(signals) => {
                while let Some(signal) = signals.next() {
                    match signal {
                        Signal::SIGCHLD => {
                            if let Some(Ok(Some(status))) = self.run.as_mut().map(Child::try_wait) {
                                self.exit = Some(End::Code(u8::from(!status.success())));
                            }
                        }
                        signal => self.exit = Some(End::Signal(signal)),
                    }
                }
            }
            Source::Leash(_) => self.exit = Some(End::Code(0)),
            Source::Listener { method, listener } => {
                let mut accepted = Vec::new();
                let failed = loop {
                    match listener.accept(&mut self.events.unnamed) {
                        Ok(pair) => accepted.push((method.clone(), pair)),
                        Err(e) => break e,
                    }
                };
                if failed.kind() != ErrorKind::WouldBlock {
                    let text = ovsdb::error::strerror(&failed);
                    log::warn!(target: "ovsdb_jsonrpc_server", "{method}: accept failed: {text}");
                    self.events.pause(now);
                }
                for (method, (stream, name)) in accepted {
                    self.begin(method, stream, name, now);
                }
            }
            Source::Session { id, stream, method, deaf, .. } => {
                self.events.touched.insert(token);
                let (id, buffer, mut total) = (*id, &mut self.events.buffer, 0);
                while !*deaf && total < ROUND || stream.has_buffered() {
                    match stream.read(buffer) {
                        Ok(0) => return self.end(token),
                        Ok(n) => {
                            if total == 0 {
                                if let Some(active) = self.events.active.get_mut(method) {
                                    *active = Attempts::default();
                                }
                                if let Some(name) = stream.identity()
                                    && let Some(peer) = self.server.peer_mut(id)
                                {
                                    peer.id = Some(name);
                                }
                            }
                            total += n;
                            self.server.receive(id, &buffer[..n], now);
                        }
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(_) => return self.end(token),
                    }
                }
            }
            Source::Upstream { .. } => self.link_input(token, now),
            Source::Control(control) => {
                let mut callers = Vec::new();
                while let Ok(caller) = control.accept() {
                    callers.push(caller);
                }
                for caller in callers {
                    let _ = self.events.add(Source::Caller(caller));
                }
            }
            Source::Caller(_) => {
                let Some(Source::Caller(mut caller)) = self.events.sources.remove(token) else { return };
                let control = self.events.sources.iter().find_map(|(_, s)| match s {
                    Source::Control(control) => Some(control),
                    _ => None,
                });
                if let Some(control) = control {
                    control.receive(&mut caller);
                }
                self.events.sources.insert(token, Source::Caller(caller));
            }
        }
    }

    fn begin(&mut self, method: String, stream: Stream, name: String, now: Now) {
        let options = self.events.methods.get(&method).cloned().unwrap_or_default();
        let id = self.server.connect(options.peer(name, &method), now);
        if let Err(e) = self.events.add(Source::Session { id, method, stream, writing: false, deaf: false }) {
            log::warn!(target: "ovsdb_jsonrpc_server", "epoll: {e}");
            self.server.disconnect(id);
        }
    }

    fn end(&mut self, token: u64) {
        if let Some(Source::Session { id, method, .. }) = self.events.sources.remove(token) {
            self.server.disconnect(id);
            // what gave no sign of life was no connection
            if let Some(active) = self.events.active.get_mut(&method).filter(|active| active.backoff == 0) {
                active.at = 0;
            }
        }
    }

    fn run_commands(&mut self, now: Now) {
        for token in self.events.sources.callers() {
            let Some(Source::Caller(mut caller)) = self.events.sources.remove(token) else { continue };
            while let Some(call) = caller.next_call() {
                let result = self.command(call.command, &call.arguments, now);
                caller.answer(call, result);
            }
            caller.send();
            if !caller.is_done() || caller.wants_to_send() {
                self.events.sources.insert(token, Source::Caller(caller));
            }
        }
    }

    /// Sends what sessions have to say, and closes what is to be closed.
    fn output(&mut self) {
        let mut ended = Vec::new();
        let Events { poller, sources, touched, .. } = &mut self.events;
        touched.extend(self.server.take_ready().filter_map(|id| sources.session(id)));
        for token in std::mem::take(touched) {
            let Some(Source::Session { id, stream, writing, method, deaf }) = sources.get_mut(token) else { continue };
            let mut broken = false;
            while let Some(output) = self.server.output(*id) {
                let mut sent = 0;
                while sent < output.len() {
                    match stream.write(&output[sent..]) {
                        Ok(n) => sent += n,
                        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(_) => {
                            broken = true;
                            break;
                        }
                    }
                }
                output.drain(..sent);
                // what was held back for a client that did not read may go now
                if broken || !output.is_empty() || !self.server.refill(*id) {
                    break;
                }
            }
            let left = self.server.output(*id).map_or(0, |output| output.len());
            let (waits, full) = (left > 0 || stream.wants_to_send(), self.server.is_held(*id));
            if let Some(why) = self.server.closing(*id) {
                log::info!(target: "ovsdb_jsonrpc_server", "{method}: disconnecting ({why})");
                broken = true;
            }
            if broken {
                ended.push(token);
            } else if (waits, full) != (*writing, *deaf) {
                (*writing, *deaf) = (waits, full);
                let mut flags = EpollFlags::empty();
                flags.set(EpollFlags::EPOLLIN, !full);
                flags.set(EpollFlags::EPOLLOUT, waits);
                poller.modify(stream, token, flags);
            }
        }
        for token in ended {
            self.end(token);
        }
    }

    /// Sockets follow what remotes say. Where it is `fresh`, all that are configured are to be had.
    pub(super) fn update_remotes(&mut self, fresh: bool) -> Result<(), String> {
        let names: Vec<_> = self.server.database_names().cloned().collect();
        let serial = names.iter().filter_map(|n| self.server.database(n)).map(|h| h.serial + 1).sum();
        if self.events.serial == Some(serial) {
            return Ok(());
        }
        self.events.serial = Some(serial);
        self.configure_tls();
        let wanted = self.remotes.resolve(&self.server);
        let stale: Vec<u64> = self
            .events
            .sources
            .iter()
            .filter(|(_, source)| match source {
                Source::Listener { method, .. } | Source::Session { method, .. } => !wanted.contains_key(method),
                _ => false,
            })
            .map(|(token, _)| token)
            .collect();
        for token in stale {
            if matches!(self.events.sources.get(token), Some(Source::Listener { .. })) {
                self.events.sources.remove(token);
            } else {
                self.end(token);
            }
        }
        self.events.active.retain(|method, _| wanted.contains_key(method));
        self.events.unheard.retain(|method, _| wanted.contains_key(method));
        for (method, options) in &wanted {
            let known = self.events.methods.get(method).map(|known| known != options);
            if known == Some(true) {
                self.change_peers(method, options);
            }
            if known.is_some() {
                continue;
            }
            if !is_passive(method) {
                self.events.active.insert(method.clone(), Attempts::default());
                continue;
            }
            match Listener::listen(method) {
                Ok(listener) => {
                    let source = Source::Listener { method: method.clone(), listener };
                    self.events.add(source).map_err(|e| format!("{method}: {e}"))?;
                }
                Err(e) => {
                    let text = format!("{method}: listen failed: {}", ovsdb::error::strerror(&e));
                    log::error!(target: "ovsdb_jsonrpc_server", "{text}");
                    let from_row = options.row.is_some() || !self.remotes.configured().any(|r| r == method);
                    if fresh && !from_row {
                        return Err(text);
                    }
                    self.events.unheard.insert(method.clone(), Attempts::default());
                }
            }
        }
        self.events.methods = wanted;
        Ok(())
    }

    /// Looks at the methods again, whatever the databases say.
    pub(super) fn refresh_remotes(&mut self) -> Result<(), String> {
        self.events.serial = None;
        self.update_remotes(false)
    }

    fn change_peers(&mut self, wanted: &str, options: &Options) {
        for (_, source) in self.events.sources.iter() {
            let Source::Session { id, method, .. } = source else { continue };
            if method == wanted
                && let Some(peer) = self.server.peer_mut(*id)
            {
                *peer = ovsdb::server::Peer { id: peer.id.take(), ..options.peer(peer.name.clone(), method) };
            }
        }
    }

    /// Listens where it could not before.
    fn listen_late(&mut self, now: Now) {
        let due = self.events.unheard.iter().filter(|(_, attempts)| attempts.at <= now.monotonic);
        for method in due.map(|(method, _)| method.clone()).collect::<Vec<_>>() {
            if let Ok(listener) = Listener::listen(&method) {
                self.events.unheard.remove(&method);
                if let Err(e) = self.events.add(Source::Listener { method, listener }) {
                    log::warn!(target: "ovsdb_jsonrpc_server", "epoll: {e}");
                }
            } else if let Some(attempts) = self.events.unheard.get_mut(&method) {
                attempts.count(now);
            }
        }
    }

    fn connect_active(&mut self, now: Now) {
        let events = &self.events;
        let due = events.active.iter().filter(|(m, a)| a.at <= now.monotonic && events.sources.connections(m) == 0);
        for method in due.map(|(m, _)| m.clone()).collect::<Vec<_>>() {
            let begun = Stream::begin(&method);
            let Some(active) = self.events.active.get_mut(&method) else { continue };
            active.count(now);
            match begun {
                Ok(stream) => {
                    log::info!(target: "reconnect", "{method}: connecting...");
                    self.begin(method.clone(), stream, method, now);
                }
                Err(e) => {
                    log::info!(target: "reconnect", "{method}: connection attempt failed ({})", ovsdb::error::strerror(&e));
                }
            }
        }
    }

    /// Rows that name methods say whether anybody is connected that way.
    pub(super) fn report_status(&mut self, now: Now) {
        use ovsdb::data::{Atom, Datum};
        let rows = self
            .events
            .methods
            .iter()
            .filter_map(|(m, o)| Some((o.row.clone()?, self.events.sources.made_connections(m))));
        for ((database, table, uuid), n) in rows.collect::<Vec<_>>() {
            let connected = Datum::One(Atom::Boolean(n > 0));
            self.server.report(&database, table, uuid, &[("is_connected", connected)], now);
        }
    }

    /// Says what is left to say before the end.
    pub(super) fn finish(&mut self) {
        for source in self.events.sources.take() {
            if let Source::Caller(caller) = source {
                caller.finish();
            }
        }
    }
}
