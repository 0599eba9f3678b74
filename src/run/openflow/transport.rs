//! Sockets of OpenFlow connections: who connects to a bridge, messages cut out of the stream, answers written back.
//!
//! Each connection has a task that reads and one that writes. What is read waits in a short channel until the owner loop
//! takes it; meanwhile nothing more is read, so that a peer that sends more than is done waits in its own socket. What is to
//! be written waits as long as the peer does not read it, in an account that the owner loop looks at before it takes the
//! next request or hands over what nobody asked for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use openflow::wire::Frames;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

/// What is read at once.
const CHUNK: usize = 1 << 16;
/// Batches of messages that wait for the owner loop, of a connection.
const BATCHES: usize = 2;
/// Connections to one socket at a time.
const PEERS: usize = 256;
/// Connections that wait to be told of.
const ARRIVALS: usize = 64;

/// Messages of a connection, each whole, in order.
pub(super) type Batch = Vec<Vec<u8>>;

/// A connection as the owner loop has it. Dropping it closes the connection, when what is under way was written.
pub(super) struct Peer {
    /// Who it is, for the log.
    pub(super) name: String,
    batches: mpsc::Receiver<Batch>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    reader: AbortHandle,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Peer {
    /// The next messages that are there; an error when there will be none any more.
    pub(super) fn take(&mut self) -> Result<Option<Batch>, ()> {
        match self.batches.try_recv() {
            Ok(batch) => Ok(Some(batch)),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(()),
        }
    }

    /// Has a message written.
    pub(super) fn send(&self, message: Vec<u8>) {
        self.queued.fetch_add(message.len(), Relaxed);
        // refused when the peer is gone, which the reader tells
        let _ = self.out.send(message);
    }

    /// Octets that the peer has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }
}

/// Wakes the owner loop when a connection has something.
#[derive(Clone, Default)]
pub(super) struct Bell(Arc<Notify>);

impl Bell {
    pub(super) fn ring(&self) {
        self.0.notify_one();
    }

    pub(super) async fn rung(&self) {
        self.0.notified().await;
    }
}

/// A socket of a bridge at which controllers and tools connect. Dropping it closes the socket; connections stay.
pub(super) struct Listener {
    arrivals: mpsc::Receiver<Peer>,
    accepting: AbortHandle,
    path: PathBuf,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
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
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let (bell, name) = (bell.clone(), format!("unix:{}", path.display()));
        let accepting = tokio::spawn(async move { accept(listener, &name, &sender, &bell).await });
        Ok(Listener { arrivals, accepting: accepting.abort_handle(), path: path.to_owned() })
    }

    /// Who connected.
    pub(super) fn arrived(&mut self) -> Option<Peer> {
        self.arrivals.try_recv().ok()
    }
}

async fn accept(listener: UnixListener, name: &str, arrivals: &mpsc::Sender<Peer>, bell: &Bell) {
    let here = Arc::new(AtomicUsize::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, _)) if here.load(Relaxed) < PEERS => {
                here.fetch_add(1, Relaxed);
                let (read, write) = stream.into_split();
                if arrivals.send(start(read, write, name, bell, Some(here.clone()))).await.is_err() {
                    return;
                }
                bell.ring();
            }
            Ok(_) => log::warn!(target: "rconn", "{name}: more than {PEERS} connections, another one is refused"),
            Err(e) => {
                // out of descriptors, mostly: let those that are open finish
                log::warn!(target: "rconn", "{name}: accept failed: {e}");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Starts the tasks of a connection. `here` counts those of its kind.
pub(super) fn start(
    read: impl AsyncRead + Unpin + Send + 'static,
    write: impl AsyncWrite + Unpin + Send + 'static,
    name: &str,
    bell: &Bell,
    here: Option<Arc<AtomicUsize>>,
) -> Peer {
    let (batches, inbox) = mpsc::channel(BATCHES);
    let (out, messages) = mpsc::unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    // it counts as long as either task is there: one that never reads what it is sent holds the other
    let gone = Arc::new(Gone(here));
    let (own, reader_bell, counted) = (name.to_owned(), bell.clone(), gone.clone());
    let reader = tokio::spawn(async move {
        let _end = End(reader_bell.clone());
        let _counted = counted;
        if let Err(e) = receive(read, &batches, &reader_bell).await {
            log::warn!(target: "rconn", "{own}: {e}");
        }
    });
    let (writer_bell, account) = (bell.clone(), queued.clone());
    tokio::spawn(async move {
        let _counted = gone;
        transmit(write, messages, account, writer_bell).await;
    });
    Peer { name: name.to_owned(), batches: inbox, out, queued, reader: reader.abort_handle() }
}

/// Tells of a stream's end, however it came.
struct End(Bell);

impl Drop for End {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// Makes room for another connection when it is dropped.
struct Gone(Option<Arc<AtomicUsize>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(here) = &self.0 {
            here.fetch_sub(1, Relaxed);
        }
    }
}

/// Reads until the end.
async fn receive(mut read: impl AsyncRead + Unpin, batches: &mpsc::Sender<Batch>, bell: &Bell) -> io::Result<()> {
    let mut frames = Frames::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let bytes = match read.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            // as a process that ended
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(e) => return Err(e),
            Ok(n) => buffer.get(..n).unwrap_or_default(),
        };
        frames.push(bytes);
        let mut batch = Batch::new();
        while let Some(message) = frames.message().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
            batch.push(message.to_vec());
        }
        if !batch.is_empty() {
            if batches.send(batch).await.is_err() {
                return Ok(());
            }
            bell.ring();
        }
    }
}

/// Writes until the peer or the owner loop is gone.
async fn transmit(
    mut write: impl AsyncWrite + Unpin,
    mut messages: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    bell: Bell,
) {
    let mut out = Vec::new();
    while let Some(message) = messages.recv().await {
        out.extend_from_slice(&message);
        while out.len() < CHUNK
            && let Ok(message) = messages.try_recv()
        {
            out.extend_from_slice(&message);
        }
        let written = write.write_all(&out).await;
        queued.fetch_sub(out.len(), Relaxed);
        out.clear();
        bell.ring();
        if written.is_err() {
            return;
        }
    }
    // what TLS has to say at the end
    let _ = write.shutdown().await;
}
