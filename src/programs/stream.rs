//! Connection methods of ovsdb(7) as sockets that do not block: `unix:`, `tcp:`, and their passive forms.

use crate::setup;
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
}

/// A socket that waits for connections. A Unix one goes with its name.
#[derive(Debug)]
pub enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

fn unsupported(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
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

impl Stream {
    /// Connects; blocks for it.
    pub fn connect(method: &str) -> io::Result<Stream> {
        match method.split_once(':') {
            Some(("unix", path)) => connect_unix(&setup::in_run_dir(path), Path::new(path)).map(Stream::Unix),
            Some(("tcp", address)) => {
                let (host, port) = split_host(address);
                let port = port.map_or(Ok(PORT), str::parse).map_err(|_| bad(address))?;
                let mut last = bad(address);
                for to in (host, port).to_socket_addrs()? {
                    match TcpStream::connect(to) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(e) => last = e,
                    }
                }
                Err(last)
            }
            Some(("ssl", _)) => Err(unsupported("SSL connections are not supported yet".into())),
            _ => Err(io::Error::from_raw_os_error(nix::libc::EAFNOSUPPORT)),
        }
    }

    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Stream::Unix(s) => s.set_nonblocking(on),
            Stream::Tcp(s) => s.set_nonblocking(on),
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
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(bytes),
            Stream::Tcp(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(s) => s.as_fd(),
            Stream::Tcp(s) => s.as_fd(),
        }
    }
}

impl Listener {
    pub fn listen(method: &str) -> io::Result<Listener> {
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
            Some(("ptcp", address)) => {
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
                Ok(Listener::Tcp(listener))
            }
            Some(("pssl", _)) => Err(unsupported("SSL connections are not supported yet".into())),
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
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let name = match peer {
                    SocketAddr::V4(peer) => format!("tcp:{}:{}", peer.ip(), peer.port()),
                    SocketAddr::V6(peer) => format!("tcp:[{}]:{}", peer.ip(), peer.port()),
                };
                Ok((Stream::Tcp(stream), name))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(l, _) => l.as_fd(),
            Listener::Tcp(l) => l.as_fd(),
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
