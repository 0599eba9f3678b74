//! Connection methods of ovsdb(7) as sockets: `unix:`, `tcp:`, `ssl:`, and their passive forms.

use crate::replay::socket::{self as recorded, Recorded, RecordedListener};
use crate::setup;
use crate::tls::{self, Tls};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The port that is registered for OVSDB.
const PORT: u16 = 6640;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<Tls>),
    /// One of these whose words are recorded, or come from a recording.
    Recorded(Box<Recorded>),
}

/// A socket that waits for connections. A Unix one goes with its name.
#[derive(Debug)]
pub enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
    Tls(TcpListener),
    Recorded(RecordedListener),
}

/// `PORT[:HOST]` or `HOST[:PORT]`, with IPv6 addresses in brackets.
fn split_host(text: &str) -> (&str, Option<&str>) {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    }
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: bad address"))
}

/// Whether a method waits for connections.
pub fn is_passive(method: &str) -> bool {
    ["punix:", "ptcp:", "pssl:"].iter().any(|p| method.starts_with(p))
}

/// Whether silence of a peer says nothing about it: on the same machine sockets close.
pub fn needs_probe(method: &str) -> bool {
    !method.starts_with("unix:") && !method.starts_with("punix:")
}

/// Where a method of TCP or TLS leads: the host as it was named, and its addresses.
fn resolve(address: &str) -> io::Result<(&str, Vec<SocketAddr>)> {
    let (host, port) = split_host(address);
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| bad(address))?;
    let all: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    if all.is_empty() { Err(bad(address)) } else { Ok((host, all)) }
}

fn connect_tcp(address: &str) -> io::Result<(&str, TcpStream)> {
    let (host, all) = resolve(address)?;
    let mut last = bad(address);
    for to in all {
        match TcpStream::connect(to) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok((host, stream));
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Begins to connect; whether that comes to anything shows when the socket is used.
fn begin_tcp(address: &str) -> io::Result<(&str, TcpStream)> {
    let (host, all) = resolve(address)?;
    let to = all.first().copied().ok_or_else(|| bad(address))?;
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(&SockAddr::from(to)) {
        Err(e) if e.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
        other => other?,
    }
    socket.set_tcp_nodelay(true)?;
    Ok((host, socket.into()))
}

impl Stream {
    /// Connects; blocks for it.
    pub fn connect(method: &str) -> io::Result<Stream> {
        recorded::connect("connect", method, || Stream::make(method))
    }

    fn make(method: &str) -> io::Result<Stream> {
        match method.split_once(':') {
            Some(("unix", path)) => connect_unix(&setup::in_run_dir(path), Path::new(path)).map(Stream::Unix),
            Some(("tcp", address)) => connect_tcp(address).map(|(_, stream)| Stream::Tcp(stream)),
            Some(("ssl", address)) => {
                tls::check()?;
                let (host, socket) = connect_tcp(address)?;
                let mut stream = Tls::client(socket, host)?;
                stream.handshake()?;
                Ok(Stream::Tls(Box::new(stream)))
            }
            _ => Err(io::Error::from_raw_os_error(nix::libc::EAFNOSUPPORT)),
        }
    }

    /// Begins to connect and does not wait: who reads first learns what came of it. It does not block afterwards either.
    pub fn begin(method: &str) -> io::Result<Stream> {
        recorded::connect("begin", method, || Stream::begin_to_make(method))
    }

    fn begin_to_make(method: &str) -> io::Result<Stream> {
        match method.split_once(':') {
            Some(("tcp", address)) => begin_tcp(address).map(|(_, stream)| Stream::Tcp(stream)),
            Some(("ssl", address)) => {
                tls::check()?;
                let (host, socket) = begin_tcp(address)?;
                Tls::client(socket, host).map(|stream| Stream::Tls(Box::new(stream)))
            }
            _ => {
                let stream = Stream::make(method)?;
                stream.set_nonblocking(true)?;
                Ok(stream)
            }
        }
    }

    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Stream::Unix(s) => s.set_nonblocking(on),
            Stream::Tcp(s) => s.set_nonblocking(on),
            Stream::Tls(s) => s.socket.set_nonblocking(on),
            Stream::Recorded(s) => s.set_nonblocking(on),
        }
    }

    /// Whether there is another side by now.
    pub fn is_connected(&self) -> bool {
        match self {
            Stream::Unix(_) => true,
            Stream::Tcp(s) => s.peer_addr().is_ok(),
            Stream::Tls(s) => s.socket.peer_addr().is_ok() && !s.is_handshaking(),
            Stream::Recorded(s) => s.is_connected(),
        }
    }

    /// The name of the other side by its certificate.
    pub fn identity(&self) -> Option<String> {
        match self {
            Stream::Tls(s) => s.identity(),
            Stream::Recorded(s) => s.identity(),
            Stream::Unix(_) | Stream::Tcp(_) => None,
        }
    }

    /// Whether something was read from the socket that nobody has taken.
    pub fn has_buffered(&self) -> bool {
        match self {
            Stream::Tls(s) => s.has_buffered(),
            Stream::Recorded(s) => s.has_buffered(),
            Stream::Unix(_) | Stream::Tcp(_) => false,
        }
    }

    /// Whether something was written that the socket has not taken.
    pub fn wants_to_send(&self) -> bool {
        match self {
            Stream::Tls(s) => s.wants_to_send(),
            Stream::Recorded(s) => s.wants_to_send(),
            Stream::Unix(_) | Stream::Tcp(_) => false,
        }
    }
}

/// A path without folder is in the working folder when it is there, as the stock programs have it.
fn connect_unix(in_run_dir: &Path, given: &Path) -> io::Result<UnixStream> {
    if given.is_absolute() {
        return UnixStream::connect(given);
    }
    match UnixStream::connect(in_run_dir) {
        Err(_) if given.exists() => UnixStream::connect(given),
        other => other,
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.read(into),
            Stream::Tcp(s) => s.read(into),
            Stream::Tls(s) => s.read(into),
            Stream::Recorded(s) => s.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(bytes),
            Stream::Tcp(s) => s.write(bytes),
            Stream::Tls(s) => s.write(bytes),
            Stream::Recorded(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tls(s) => s.flush(),
            Stream::Recorded(s) => s.flush(),
            Stream::Unix(_) | Stream::Tcp(_) => Ok(()),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(s) => s.as_fd(),
            Stream::Tcp(s) => s.as_fd(),
            Stream::Tls(s) => s.socket.as_fd(),
            Stream::Recorded(s) => s.as_fd(),
        }
    }
}

fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok((stream, peer))
}

impl Listener {
    pub fn listen(method: &str) -> io::Result<Listener> {
        recorded::listen(method, || Listener::make(method))
    }

    fn make(method: &str) -> io::Result<Listener> {
        match method.split_once(':') {
            Some(("punix", path)) => {
                let path = setup::absolute(&setup::in_run_dir(path));
                if let Err(e) = std::fs::remove_file(&path)
                    && e.kind() != io::ErrorKind::NotFound
                {
                    return Err(e);
                }
                let listener = UnixListener::bind(&path)?;
                listener.set_nonblocking(true)?;
                Ok(Listener::Unix(listener, path))
            }
            Some((kind @ ("ptcp" | "pssl"), address)) => {
                if kind == "pssl" {
                    tls::check()?;
                }
                let (port, host) = match address.split_once(':') {
                    Some((port, host)) => (port, Some(host)),
                    None => (address, None),
                };
                let port: u16 = if port.is_empty() { PORT } else { port.parse().map_err(|_| bad(address))? };
                let host = host.map_or("0.0.0.0", |h| split_host(h).0);
                let ip: IpAddr = host.parse().map_err(|_| bad(address))?;
                let listener = TcpListener::bind(SocketAddr::new(ip, port))?;
                listener.set_nonblocking(true)?;
                log::info!(target: "socket_util", "{method}: listening on port {}", listener.local_addr()?.port());
                Ok(if kind == "pssl" { Listener::Tls(listener) } else { Listener::Tcp(listener) })
            }
            _ => Err(io::Error::from_raw_os_error(nix::libc::EAFNOSUPPORT)),
        }
    }

    /// A connection that waits, with its peer's name.
    pub fn accept(&self, unnamed: &mut u64) -> io::Result<(Stream, String)> {
        match self {
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                *unnamed += 1;
                Ok((Stream::Unix(stream), format!("unix#{unnamed}")))
            }
            Listener::Tcp(listener) => {
                let (stream, peer) = accept_tcp(listener)?;
                Ok((Stream::Tcp(stream), format!("tcp:{peer}")))
            }
            Listener::Tls(listener) => {
                let (stream, peer) = accept_tcp(listener)?;
                Ok((Stream::Tls(Box::new(Tls::server(stream)?)), format!("ssl:{peer}")))
            }
            Listener::Recorded(listener) => listener.accept(unnamed),
        }
    }

    /// Its name, of a Unix one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Listener::Unix(_, path) => Some(path),
            Listener::Tcp(_) | Listener::Tls(_) => None,
            Listener::Recorded(listener) => listener.path(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(l, _) => l.as_fd(),
            Listener::Tcp(l) | Listener::Tls(l) => l.as_fd(),
            Listener::Recorded(l) => l.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// `METHOD,METHOD…`: a comma begins a method when what follows has a kind.
pub fn split_methods(text: &str) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    for part in text.split(',') {
        let begins = ["unix:", "tcp:", "ssl:"].iter().any(|kind| part.starts_with(kind));
        match methods.last_mut() {
            Some(last) if !begins => {
                last.push(',');
                last.push_str(part);
            }
            _ => methods.push(part.to_owned()),
        }
    }
    methods
}

#[cfg(test)]
mod tests {
    #[test]
    fn several_methods() {
        assert_eq!(super::split_methods("tcp:1.2.3.4:5,unix:a,b,tcp:h"), ["tcp:1.2.3.4:5", "unix:a,b", "tcp:h"]);
    }
}
