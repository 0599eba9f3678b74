//! Sockets of a recording: one that is there and whose every word is written down, or one that is not there and says what was.

use super::{ask, is_on, next_socket};
use crate::stream::{Listener, Stream};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A socket, or in a replay a file that stands for one where a descriptor is wanted.
#[derive(Debug)]
enum Socket<T> {
    Live(T),
    Nowhere(File),
}

/// A connection.
#[derive(Debug)]
pub struct Recorded {
    number: u64,
    socket: Socket<Stream>,
    kind: Kind,
}

/// A socket that waits for connections.
#[derive(Debug)]
pub struct RecordedListener {
    number: u64,
    socket: Socket<Box<Listener>>,
    kind: Kind,
}

/// What there may be to ask about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unix,
    Tcp,
    Tls,
}

impl Kind {
    fn of(method: &str) -> Kind {
        match method.trim_start_matches('p').split_once(':') {
            Some(("tcp", _)) => Kind::Tcp,
            Some(("ssl", _)) => Kind::Tls,
            _ => Kind::Unix,
        }
    }
}

impl<T> Socket<T> {
    fn new(made: Option<T>) -> io::Result<Socket<T>> {
        made.map_or_else(|| File::open("/dev/null").map(Socket::Nowhere), |socket| Ok(Socket::Live(socket)))
    }

    fn live(&self) -> Option<&T> {
        match self {
            Socket::Live(socket) => Some(socket),
            Socket::Nowhere(_) => None,
        }
    }

    fn live_mut(&mut self) -> io::Result<&mut T> {
        match self {
            Socket::Live(socket) => Ok(socket),
            Socket::Nowhere(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<T: AsFd> AsFd for Socket<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Live(socket) => socket.as_fd(),
            Socket::Nowhere(file) => file.as_fd(),
        }
    }
}

/// A connection by a method: as `live` makes it, or as it was.
pub(crate) fn connect(
    what: &'static str,
    method: &str,
    live: impl FnOnce() -> io::Result<Stream>,
) -> io::Result<Stream> {
    if !is_on() {
        return live();
    }
    let mut made = None;
    ask(what, 0, || {
        made = Some(live()?);
        Ok(Vec::new())
    })?;
    let (socket, kind) = (Socket::new(made)?, Kind::of(method));
    Ok(Stream::Recorded(Box::new(Recorded { number: next_socket(), socket, kind })))
}

/// A listening socket: as `live` makes it, or as it was.
pub(crate) fn listen(method: &str, live: impl FnOnce() -> io::Result<Listener>) -> io::Result<Listener> {
    if !is_on() {
        return live();
    }
    let mut made = None;
    ask("listen", 0, || {
        made = Some(Box::new(live()?));
        Ok(Vec::new())
    })?;
    let (socket, kind) = (Socket::new(made)?, Kind::of(method));
    Ok(Listener::Recorded(RecordedListener { number: next_socket(), socket, kind }))
}

impl RecordedListener {
    pub(crate) fn accept(&self, unnamed: &mut u64) -> io::Result<(Stream, String)> {
        let mut made = None;
        let name = ask("accept", self.number, || {
            let listener = self.socket.live().ok_or(io::ErrorKind::NotConnected)?;
            let (stream, name) = listener.accept(unnamed)?;
            made = Some(stream);
            Ok(name.into_bytes())
        })?;
        let recorded = Recorded { number: next_socket(), socket: Socket::new(made)?, kind: self.kind };
        Ok((Stream::Recorded(Box::new(recorded)), String::from_utf8_lossy(&name).into_owned()))
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.socket.live().and_then(|listener| listener.path())
    }
}

impl Recorded {
    fn ask(&self, kind: &'static str, live: impl FnOnce(&Stream) -> Vec<u8>) -> Option<Vec<u8>> {
        ask(kind, self.number, || Ok(self.socket.live().map(live).unwrap_or_default())).ok()
    }

    fn ask_whether(&self, kind: &'static str, live: impl FnOnce(&Stream) -> bool) -> bool {
        self.ask(kind, |stream| vec![b'0' + u8::from(live(stream))]).is_some_and(|answer| answer == b"1")
    }

    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.socket.live().map_or(Ok(()), |stream| stream.set_nonblocking(on))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.kind == Kind::Unix || self.ask_whether("connected", Stream::is_connected)
    }

    pub(crate) fn identity(&self) -> Option<String> {
        if self.kind != Kind::Tls {
            return None;
        }
        let name =
            self.ask("identity", |stream| stream.identity().map_or(Vec::new(), |n| format!("={n}").into_bytes()));
        String::from_utf8(name?).ok()?.strip_prefix('=').map(str::to_owned)
    }

    pub(crate) fn has_buffered(&self) -> bool {
        self.kind == Kind::Tls && self.ask_whether("buffered", Stream::has_buffered)
    }

    pub(crate) fn wants_to_send(&self) -> bool {
        self.kind == Kind::Tls && self.ask_whether("unsent", Stream::wants_to_send)
    }
}

impl Read for Recorded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let socket = &mut self.socket;
        let bytes = ask("read", self.number, || {
            let n = socket.live_mut()?.read(into)?;
            Ok(into[..n].to_vec())
        })?;
        let n = bytes.len().min(into.len());
        into[..n].copy_from_slice(&bytes[..n]);
        Ok(n)
    }
}

impl Write for Recorded {
    /// What a socket took is recorded as `all`, or as a number: the same answers may be shorter or longer in a later version.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = &mut self.socket;
        let took = ask("write", self.number, || {
            let n = socket.live_mut()?.write(bytes)?;
            Ok(if n == bytes.len() { b"all".to_vec() } else { n.to_string().into_bytes() })
        })?;
        if took == b"all" {
            return Ok(bytes.len());
        }
        let n: Option<usize> = std::str::from_utf8(&took).ok().and_then(|text| text.parse().ok());
        Ok(n.unwrap_or_default().min(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        let socket = &mut self.socket;
        ask("flush", self.number, || socket.live_mut()?.flush().map(|()| Vec::new())).map(|_| ())
    }
}

impl AsFd for Recorded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for RecordedListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
