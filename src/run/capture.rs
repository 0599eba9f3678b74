//! Captures under way: each has a thread that hands the workers' copies to one client over a socket of its own in the run
//! folder, until the client goes or stops reading.
//!
//! What goes over the socket: chunks of [`datapath::tap::record`]s, each behind its length (4 bytes, little endian); at the end
//! length 0, and behind its own length a JSON object with what was captured and missed. The client ends a capture by
//! closing its sending half, and then gets what was copied until then.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use base::ring::Waker;
use datapath::control::CaptureId;
use datapath::tap::{Capture, MOST, SNAPLEN, Selection};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde_json::json;

use super::snapshot::megaflow_match;
use super::switch::{Later, Switch};

/// A client comes, and goes on reading, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// At exit a client has so long to take what is left.
const FAREWELL: Duration = Duration::from_secs(1);

/// A capture and its thread.
pub(super) struct Running {
    id: CaptureId,
    path: PathBuf,
    shared: Arc<Shared>,
    /// Wakes the thread.
    reader: Arc<Waker>,
    /// Workers are asked to end it.
    ending: bool,
    thread: JoinHandle<()>,
    /// Hung up when the thread ends.
    alive: Receiver<()>,
}

#[derive(Default)]
struct Shared {
    /// The thread has no use for more.
    enough: AtomicBool,
    /// Workers copy no more, and have handed everything over.
    complete: AtomicBool,
    client: Mutex<Option<UnixStream>>,
}

/// Starts a capture of what words like `ports=p1,p2`, `points=ingress,drops`, `match=tcp`, `snaplen=64` say. The answer says
/// where the client finds it.
///
/// # Errors
/// The word and what was expected; too many captures; the socket cannot be made.
pub(super) fn start(switch: &mut Switch, words: &[String]) -> Result<String, String> {
    let selection = selection(switch, words)?;
    turn(switch);
    if switch.captures.len() >= MOST {
        return Err(format!("{MOST} captures run already"));
    }
    let (id, capture) = switch.control.tap(selection).map_err(|e| e.to_string())?;
    let name = format!("ironbridge.{}.capture.{}", std::process::id(), id.0);
    let path = switch.config.switch.run_dir.join(name);
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(e) => {
            let ticket = switch.control.untap(id);
            switch.tickets.insert(ticket, Later::Untapped { id });
            return Err(format!("{}: {e}", path.display()));
        }
    };
    let shared = Arc::new(Shared::default());
    let reader = capture.waker().clone();
    let (hold, alive) = channel();
    let ender = Ender { shared: shared.clone(), owner: switch.control.waker().clone(), _hold: hold };
    let socket = path.clone();
    let spawned = std::thread::Builder::new().name(format!("capture{}", id.0)).spawn(move || {
        if let Err(e) = serve(&listener, &socket, &capture, &ender) {
            log::info!(target: "switch", "capture {}: {e}", socket.display());
        }
    });
    let thread = match spawned {
        Ok(thread) => thread,
        Err(e) => {
            let _ = std::fs::remove_file(&path);
            let ticket = switch.control.untap(id);
            switch.tickets.insert(ticket, Later::Untapped { id });
            return Err(format!("capture thread: {e}"));
        }
    };
    // from the switch's clock to UTC
    let wall = switch.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let offset = i128::try_from(wall).unwrap_or_default() - i128::from(switch.clock.now().as_nanos());
    let ports: Vec<_> = switch.ports.iter().map(|(no, p)| (no.0, p.name.clone())).collect();
    let answer = json!({"socket": path, "offset": offset as i64, "ports": ports});
    switch.captures.push(Running { id, path, shared, reader, ending: false, thread, alive });
    Ok(answer.to_string())
}

fn selection(switch: &Switch, words: &[String]) -> Result<Selection, String> {
    let mut selection = Selection::at(true, true, false);
    let (mut bridge, mut text) = (None, "");
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word}: expected key=value"))?;
        match key {
            "bridge" => bridge = Some(value),
            "match" => text = value,
            "snaplen" => {
                let n = value.parse::<u32>().ok().filter(|n| (1..=SNAPLEN).contains(n));
                selection.snaplen = n.ok_or_else(|| format!("{word}: expected 1 to {SNAPLEN}"))?;
            }
            "points" => {
                (selection.ingress, selection.egress, selection.drops) = (false, false, false);
                for point in value.split(',') {
                    match point {
                        "ingress" => selection.ingress = true,
                        "egress" => selection.egress = true,
                        "drops" => selection.drops = true,
                        _ => return Err(format!("{word}: {point}: expected ingress, egress or drops")),
                    }
                }
            }
            "ports" => {
                let number = |name: &str| {
                    let found = switch.ports.iter().find(|(_, p)| p.name == name);
                    let (no, port) = found.ok_or_else(|| format!("no port named {name}"))?;
                    match port.kind {
                        crate::config::InterfaceType::Patch => Err(format!("{name}: no packet stops at a patch")),
                        _ => Ok(*no),
                    }
                };
                selection.ports = Some(value.split(',').map(number).collect::<Result<_, _>>()?);
            }
            _ => return Err(format!("{word}: expected ports, points, bridge, match or snaplen")),
        }
    }
    if let Some(name) = bridge {
        let tables = switch.manager.snapshot();
        let found = tables.bridge_named(name).ok_or_else(|| format!("no bridge named {name}"))?;
        let all = found.ports.values().filter_map(|p| p.device()).collect();
        selection.ports.get_or_insert(all);
    }
    selection.matching = megaflow_match(switch, bridge, text)?;
    Ok(selection)
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Ends captures whose thread has enough, and forgets those that are over.
pub(super) fn turn(switch: &mut Switch) {
    for running in &mut switch.captures {
        if running.shared.enough.load(Relaxed) && !running.ending {
            running.ending = true;
            let ticket = switch.control.untap(running.id);
            switch.tickets.insert(ticket, Later::Untapped { id: running.id });
        }
    }
    let over = |r: &Running| r.shared.complete.load(Relaxed) && r.thread.is_finished();
    for running in switch.captures.extract_if(.., |r| over(r)) {
        running.join();
    }
}

/// Workers have handed over everything of a capture.
pub(super) fn untapped(switch: &mut Switch, id: CaptureId) {
    if let Some(running) = switch.captures.iter().find(|r| r.id == id) {
        running.complete();
    }
}

/// The switch stops, workers have stopped.
pub(super) fn stop(switch: &mut Switch) {
    for running in std::mem::take(&mut switch.captures) {
        running.complete();
        if matches!(running.alive.recv_timeout(FAREWELL), Err(RecvTimeoutError::Timeout))
            && let Some(client) = &*running.shared.client.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
        running.join();
    }
}

impl Running {
    fn complete(&self) {
        self.shared.complete.store(true, Relaxed);
        self.reader.wake();
    }

    fn join(self) {
        let _ = std::fs::remove_file(&self.path);
        if self.thread.join().is_err() {
            log::error!(target: "switch", "capture {}: ended by a panic", self.path.display());
        }
    }
}

/// However the thread ends, the owner loop hears of it.
struct Ender {
    shared: Arc<Shared>,
    owner: Arc<Waker>,
    _hold: std::sync::mpsc::Sender<()>,
}

impl Ender {
    fn enough(&self) {
        self.shared.enough.store(true, Relaxed);
        self.owner.wake();
    }
}

impl Drop for Ender {
    fn drop(&mut self) {
        self.enough();
    }
}

/// Waits for one client and gives it everything.
fn serve(listener: &UnixListener, path: &Path, capture: &Capture, ender: &Ender) -> io::Result<()> {
    let client = accept(listener, ender)?;
    // nobody else is meant
    let _ = std::fs::remove_file(path);
    let mut client = client;
    client.set_write_timeout(Some(PATIENCE))?;
    *ender.shared.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.try_clone()?);
    let mut asked = false;
    loop {
        let complete = ender.shared.complete.load(Relaxed);
        while let Some(chunk) = capture.next() {
            let length = u32::try_from(chunk.bytes().len()).unwrap_or(0);
            client.write_all(&length.to_le_bytes())?;
            client.write_all(chunk.bytes())?;
            capture.give_back(chunk);
        }
        if complete {
            break;
        }
        if capture.prepare_sleep() {
            let mut wait = vec![PollFd::new(capture.waker().as_fd(), PollFlags::POLLIN)];
            if !asked {
                wait.push(PollFd::new(client.as_fd(), PollFlags::POLLIN));
            }
            let done = poll(&mut wait, PollTimeout::from(500_u16));
            let heard = wait.get(1).is_some_and(|fd| fd.any().unwrap_or(false));
            capture.waker().awake();
            match done {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
            // whatever a client says, closing is all that it can mean
            if heard && client.read(&mut [0; 64])? == 0 {
                asked = true;
                ender.enough();
            }
        }
    }
    let (captured, missed) = capture.counts();
    let last = json!({"captured": captured, "missed": missed}).to_string();
    client.write_all(&0_u32.to_le_bytes())?;
    client.write_all(&u32::try_from(last.len()).unwrap_or(0).to_le_bytes())?;
    client.write_all(last.as_bytes())
}

fn accept(listener: &UnixListener, ender: &Ender) -> io::Result<UnixStream> {
    let step = Duration::from_millis(250);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        let mut wait = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wait, PollTimeout::try_from(step).unwrap_or(PollTimeout::ZERO)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        match listener.accept() {
            Ok((stream, _)) => {
                let peer = getsockopt(&stream, PeerCredentials)?;
                if peer.uid() != 0 && peer.uid() != nix::unistd::geteuid().as_raw() {
                    log::warn!(target: "switch", "capture: user {} turned away", peer.uid());
                    continue;
                }
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if ender.shared.complete.load(Relaxed) {
            break;
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no client came"))
}
