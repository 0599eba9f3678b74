//! Connection methods as sockets: where controllers connect (`punix:`, `ptcp:`, `pssl:`), and how the switch connects to
//! them (`unix:`, `tcp:`, `ssl:`). Names of hosts are looked up on threads of their own.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use programs::tls;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::transport::{Bell, Peer, Place, start};

/// The port that is registered for OpenFlow.
const PORT: u16 = 6653;
/// Connections to one socket at a time.
const PEERS: usize = 256;
/// Connections that wait to be told of.
const ARRIVALS: usize = 64;
/// Connections that wait in the kernel.
const BACKLOG: u32 = 64;
/// What a peer may take for a handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: bad address"))
}

/// A socket at which controllers and tools connect. Dropping it closes the socket; connections stay.
pub(super) struct Listener {
    arrivals: mpsc::Receiver<Peer>,
    accepting: AbortHandle,
    path: Option<PathBuf>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listener {
    /// Listens at a socket in the file system, in the place of one that is there.
    ///
    /// # Errors
    /// The socket cannot be made there.
    pub(super) fn unix(path: &Path, bell: &Bell) -> io::Result<Listener> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let (door, arrivals) = Door::new(format!("unix:{}", path.display()), bell);
        let accepting = tokio::spawn(async move {
            loop {
                let accepted = listener.accept().await.map(|(stream, _)| stream);
                let Some((stream, place)) = door.admit(accepted).await else { continue };
                let (read, write) = stream.into_split();
                if !door.tell(start(read, write, &door.name, &door.bell, place)).await {
                    return;
                }
            }
        });
        Ok(Listener { arrivals, accepting: accepting.abort_handle(), path: Some(path.to_owned()) })
    }

    /// Listens as a method says: `punix:PATH`, `ptcp:[PORT][:HOST]`, `pssl:[PORT][:HOST]`.
    ///
    /// # Errors
    /// The method is none of these, or the address cannot be listened at.
    pub(super) fn passive(method: &str, dscp: u8, bell: &Bell) -> io::Result<Listener> {
        match method.split_once(':') {
            Some(("punix", path)) => Listener::unix(Path::new(path), bell),
            Some((kind @ ("ptcp" | "pssl"), address)) => Listener::tcp(address, kind == "pssl", dscp, bell),
            _ => Err(bad(method)),
        }
    }

    fn tcp(address: &str, secure: bool, dscp: u8, bell: &Bell) -> io::Result<Listener> {
        if secure {
            tls::server_config()?;
        }
        let (port, host) = address.split_once(':').map_or((address, None), |(port, host)| (port, Some(host)));
        let port: u16 = if port.is_empty() { PORT } else { port.parse().map_err(|_| bad(address))? };
        let host = host.map_or("0.0.0.0", |h| h.trim_start_matches('[').trim_end_matches(']'));
        let ip: IpAddr = host.parse().map_err(|_| bad(address))?;
        let at = SocketAddr::new(ip, port);
        let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        mark(&SockRef::from(&socket), at, dscp);
        socket.bind(at)?;
        let listener = socket.listen(BACKLOG)?;
        log::info!(target: "socket_util", "listening on port {}", listener.local_addr()?.port());
        let kind = if secure { "ssl" } else { "tcp" };
        let (door, arrivals) = Door::new(kind.to_owned(), bell);
        let accepting = tokio::spawn(async move { serve(listener, secure, Arc::new(door)).await });
        Ok(Listener { arrivals, accepting: accepting.abort_handle(), path: None })
    }

    /// Who connected.
    pub(super) fn arrived(&mut self) -> Option<Peer> {
        self.arrivals.try_recv().ok()
    }
}

/// Those who come in by a listener.
struct Door {
    name: String,
    here: Arc<AtomicUsize>,
    arrivals: mpsc::Sender<Peer>,
    bell: Bell,
}

impl Door {
    fn new(name: String, bell: &Bell) -> (Door, mpsc::Receiver<Peer>) {
        let (arrivals, inbox) = mpsc::channel(ARRIVALS);
        (Door { name, here: Arc::default(), arrivals, bell: bell.clone() }, inbox)
    }

    /// A place for who comes, while there is one.
    async fn admit<S>(&self, accepted: io::Result<S>) -> Option<(S, Place)> {
        let name = &self.name;
        match accepted {
            Ok(stream) if self.here.load(Relaxed) < PEERS => {
                self.here.fetch_add(1, Relaxed);
                return Some((stream, Place(Some(self.here.clone()))));
            }
            Ok(_) => log::warn!(target: "rconn", "{name}: more than {PEERS} connections, another one is refused"),
            Err(e) => {
                // out of descriptors, mostly: let those that are open finish
                log::warn!(target: "rconn", "{name}: accept failed: {e}");
                tokio::task::yield_now().await;
            }
        }
        None
    }

    /// Hands a connection over; false when nobody takes it.
    async fn tell(&self, peer: Peer) -> bool {
        let told = self.arrivals.send(peer).await.is_ok();
        self.bell.ring();
        told
    }
}

async fn serve(listener: TcpListener, secure: bool, door: Arc<Door>) {
    loop {
        let accepted = listener.accept().await;
        let Some(((stream, from), place)) = door.admit(accepted).await else { continue };
        let _ = stream.set_nodelay(true);
        let name = format!("{}:{from}", door.name);
        if !secure {
            let (read, write) = stream.into_split();
            if !door.tell(start(read, write, &name, &door.bell, place)).await {
                return;
            }
            continue;
        }
        // a handshake takes its time, and others are let in meanwhile
        let door = door.clone();
        tokio::spawn(async move {
            match accept_tls(stream, &name, place, &door.bell).await {
                Ok(peer) => drop(door.tell(peer).await),
                Err(e) => log::warn!(target: "stream_ssl", "{name}: {e}"),
            }
        });
    }
}

async fn accept_tls(stream: TcpStream, name: &str, place: Place, bell: &Bell) -> io::Result<Peer> {
    let (config, bootstraps) = tls::server_config()?;
    let stream = within(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await?;
    if let Some(file) = bootstraps {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        return Err(io::Error::other(tls::bootstrap(&file, chain)));
    }
    let (read, write) = tokio::io::split(stream);
    Ok(start(read, write, name, bell, place))
}

/// A connection attempt. Dropping it gives it up.
pub(super) struct Attempt {
    outcome: oneshot::Receiver<io::Result<Peer>>,
    task: AbortHandle,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Attempt {
    /// Begins to connect to a controller: `tcp:HOST[:PORT]`, `ssl:HOST[:PORT]` or `unix:PATH`.
    pub(super) fn begin(method: &str, name: &str, dscp: u8, bell: &Bell) -> Attempt {
        let (sender, outcome) = oneshot::channel();
        let (method, name, bell) = (method.to_owned(), name.to_owned(), bell.clone());
        let task = tokio::spawn(async move {
            let made = connect(&method, &name, dscp, &bell).await;
            let _ = sender.send(made);
            bell.ring();
        });
        Attempt { outcome, task: task.abort_handle() }
    }

    /// What came of it, once it is known.
    pub(super) fn outcome(&mut self) -> Option<io::Result<Peer>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(io::ErrorKind::Interrupted.into())),
        }
    }
}

async fn connect(method: &str, name: &str, dscp: u8, bell: &Bell) -> io::Result<Peer> {
    match method.split_once(':') {
        Some(("unix", path)) => {
            let (read, write) = UnixStream::connect(path).await?.into_split();
            Ok(start(read, write, name, bell, Place(None)))
        }
        Some(("tcp", address)) => {
            let (_, stream) = connect_tcp(address, dscp).await?;
            let (read, write) = stream.into_split();
            Ok(start(read, write, name, bell, Place(None)))
        }
        Some(("ssl", address)) => {
            let (config, bootstraps) = tls::client_config()?;
            let (host, stream) = connect_tcp(address, dscp).await?;
            let server = ServerName::try_from(host).map_err(|_| bad(address))?;
            let stream = TlsConnector::from(config).connect(server, stream).await?;
            if let Some(file) = bootstraps {
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                return Err(io::Error::other(tls::bootstrap(&file, chain)));
            }
            let (read, write) = tokio::io::split(stream);
            Ok(start(read, write, name, bell, Place(None)))
        }
        _ => Err(bad(method)),
    }
}

/// The host and port of `HOST[:PORT]`, with IPv6 addresses in brackets.
fn split(address: &str) -> io::Result<(String, u16)> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| bad(address))?;
    Ok((host.to_owned(), port))
}

/// Where a method of TCP or TLS leads, where that is an address and no name.
pub(super) fn address_of(method: &str) -> Option<SocketAddr> {
    let (kind, address) = method.split_once(':')?;
    let (host, port) = split(address).ok().filter(|_| matches!(kind, "tcp" | "ssl"))?;
    host.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, port))
}

async fn connect_tcp(address: &str, dscp: u8) -> io::Result<(String, TcpStream)> {
    let (host, port) = split(address)?;
    let all = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => look_up(&host, port).await?,
    };
    let mut last = bad(address);
    for to in all {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), None)?;
        mark(&SockRef::from(&socket), to, dscp);
        match TcpSocket::from_std_stream(socket.into()).connect(to).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok((host, stream));
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Addresses of a host; a server that does not answer keeps a thread, and nobody else.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (sender, found) = oneshot::channel();
    let host = host.to_owned();
    std::thread::Builder::new().name("names".to_owned()).spawn(move || {
        let all = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        let _ = sender.send(all);
    })?;
    found.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
}

/// Has packets of a connection carry a DSCP; where that is refused they carry none.
fn mark(socket: &SockRef<'_>, to: SocketAddr, dscp: u8) {
    let class = u32::from(dscp) << 2;
    let done = if to.is_ipv4() { socket.set_tos_v4(class) } else { socket.set_tclass_v6(class) };
    if let Err(e) = done {
        log::debug!(target: "socket_util", "{to}: no DSCP: {e}");
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds what a peer may take; nothing is decided by it but to give up")]
async fn within<T>(limit: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
