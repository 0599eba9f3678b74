//! Connections: accepted on a thread of their own, bounded in number, size and time, in TLS where it is asked for.
//!
//! The thread shares nothing with forwarding and hands questions to the owner loop by a channel, so a client that floods,
//! dawdles or sends rubbish costs this thread and its connection, nothing else.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::settings::Settings;
use crate::config::is_reachable;
use crate::control::Call;

/// Connections at once; more wait in the kernel.
const CONNECTIONS: usize = 64;
/// Of these from one address; more are closed. A browser takes six.
const OF_ONE_ADDRESS: usize = 24;
/// Connections that wait in the kernel.
const BACKLOG: i32 = 128;
/// For the TLS handshake, and for each request's header (so also the longest pause between two requests).
const HEADER: Duration = Duration::from_secs(5);
/// The longest that a connection lives; what a client reads slowly is cut then.
const LIFE: Duration = Duration::from_secs(120);
/// For the request that is being answered when the connection's time is over.
const GRACE: Duration = Duration::from_secs(2);
/// Octets of a request's header.
const HEADER_SIZE: usize = 16 * 1024;
const HEADER_LINES: usize = 64;

/// `future`'s output, or none when it takes longer than `limit`.
#[expect(clippy::disallowed_methods, reason = "bounds what a client may take; nothing is decided by it but to give up")]
pub(super) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

/// The running server; stops when dropped.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and serves on a new thread until dropped. The thread keeps off `workers`, the cores that forward.
    ///
    /// # Errors
    /// The address cannot be listened at, or the thread not made.
    pub fn start(settings: Settings, calls: mpsc::Sender<Call>, workers: &[usize]) -> io::Result<Server> {
        let listener = listen(settings.listen)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (scheme, listen) = (if settings.tls.is_some() { "https" } else { "http" }, listener.local_addr()?);
        log::info!(target: "http", "page at {scheme}://{listen}/, metrics at {scheme}://{listen}/metrics");
        if is_reachable(listen) && settings.tls.is_none() {
            log::warn!(target: "http", "{listen}: the token can be read on its way (metrics.tls-cert makes it HTTPS)");
        }
        let router = super::router(&settings, calls);
        let (stop, stopped) = oneshot::channel();
        let workers = workers.to_vec();
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            if let Err(e) = keep_off(&workers) {
                log::warn!(target: "http", "may take time of workers' cores: {e}");
            }
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, router, settings.tls.map(TlsAcceptor::from)) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Server { stop: Some(stop), thread: Some(thread) })
    }
}

/// Listens without waiting for the address to be there: a switch may start before the network that it makes possible.
fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes `cores` from those that this thread may use, unless there are no others.
fn keep_off(cores: &[usize]) -> nix::Result<()> {
    let me = Pid::from_raw(0);
    let mut set = sched_getaffinity(me)?;
    for core in cores {
        set.unset(*core)?;
    }
    if (0..CpuSet::count()).any(|c| set.is_set(c) == Ok(true)) { sched_setaffinity(me, &set) } else { Ok(()) }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            log::error!(target: "http", "ended by a panic");
        }
    }
}

/// Open connections by address.
type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection's place among all and among its address's.
struct Place {
    counts: Counts,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// None when the address has all that it may have.
    fn take(counts: &Counts, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut open = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let n = open.entry(address).or_default();
        if *n >= OF_ONE_ADDRESS {
            return None;
        }
        *n += 1;
        drop(open);
        Some(Place { counts: counts.clone(), address, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = open.get_mut(&self.address) {
            *n -= 1;
            if *n == 0 {
                open.remove(&self.address);
            }
        }
    }
}

async fn accept(listener: TcpListener, router: Router, tls: Option<TlsAcceptor>) {
    let (free, counts) = (Arc::new(Semaphore::new(CONNECTIONS)), Counts::default());
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(place) = Place::take(&counts, from.ip().to_canonical(), permit) else { continue };
                tokio::spawn(connection(stream, tls.clone(), router.clone(), place));
            }
            Err(e) => {
                // out of descriptors, mostly: those that are open end in their time
                log::debug!(target: "http", "accept failed: {e}");
                within(Duration::from_millis(50), std::future::pending::<()>()).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, place: Place) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, router).await,
        Some(tls) => match within(HEADER, tls.accept(stream)).await {
            Some(Ok(stream)) => serve(stream, router).await,
            Some(Err(e)) => log::debug!(target: "http", "{}: TLS: {e}", place.address),
            None => log::debug!(target: "http", "{}: TLS: no handshake in {HEADER:?}", place.address),
        },
    }
    drop(place);
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(HEADER_SIZE)
        .max_headers(HEADER_LINES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // what a client did wrong it was told, or it is gone
    if within(LIFE, connection.as_mut()).await.is_none() {
        connection.as_mut().graceful_shutdown();
        within(GRACE, connection).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_come_later() {
        // of documentation (RFC 5737, RFC 3849): nobody has them
        for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            let address = address.parse().unwrap();
            assert!(std::net::TcpListener::bind(address).is_err(), "{address}");
            match listen(address) {
                Ok(listener) => assert_eq!(listener.local_addr().unwrap().ip(), address.ip()),
                // a machine without IPv6
                Err(e) => assert!(address.is_ipv6() && e.raw_os_error() == Some(libc::EAFNOSUPPORT), "{address}: {e}"),
            }
        }
        let taken = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(listen(taken.local_addr().unwrap()).is_err());
    }

    #[test]
    fn an_address_has_its_share() {
        let (free, counts) = (Arc::new(Semaphore::new(CONNECTIONS)), Counts::default());
        let take = |from: [u8; 4]| Place::take(&counts, from.into(), free.clone().try_acquire_owned().unwrap());
        let mut held: Vec<Place> = (0..OF_ONE_ADDRESS).map(|_| take([192, 0, 2, 1]).unwrap()).collect();
        assert!(take([192, 0, 2, 1]).is_none());
        assert!(take([192, 0, 2, 2]).is_some());
        held.pop();
        held.push(take([192, 0, 2, 1]).unwrap());
        drop(held);
        assert!(counts.lock().unwrap().is_empty());
        assert_eq!(free.available_permits(), CONNECTIONS);
    }
}
