//! Sockets of OpenFlow connections: who connects to a bridge, whom it connects to, messages cut out of the stream, answers
//! written back.
//!
//! Each connection has a task that reads and one that writes. What is read waits in a short channel until the owner loop
//! takes it; meanwhile nothing more is read, so that a peer that sends more than is done waits in its own socket. What is to
//! be written waits as long as the peer does not read it, in an account that the owner loop looks at before it takes the
//! next request or hands over what nobody asked for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};

use openflow::wire::Frames;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::UNREAD;

/// What is read at once.
const CHUNK: usize = 1 << 16;
/// Batches of messages that wait for the owner loop, of a connection.
const BATCHES: usize = 2;

/// Messages of a connection, each whole, in order.
pub(super) type Batch = Vec<Vec<u8>>;

/// A message on its way out, and whether it is a packet for a controller.
type Out = (Vec<u8>, bool);

/// What waits to be written.
#[derive(Default)]
struct Account {
    octets: AtomicUsize,
    packets: AtomicUsize,
    /// The owner loop waits until there is nothing.
    awaited: AtomicBool,
}

/// Where messages for a peer go.
#[derive(Clone)]
pub(super) struct Sink {
    out: mpsc::UnboundedSender<Out>,
    account: Arc<Account>,
}

impl Sink {
    /// Has a message written.
    pub(super) fn send(&self, message: Vec<u8>) {
        self.put(message, false);
    }

    /// The same for a packet, which counts as one that waits.
    pub(super) fn send_packet(&self, message: Vec<u8>) {
        self.put(message, true);
    }

    fn put(&self, message: Vec<u8>, packet: bool) {
        self.account.octets.fetch_add(message.len(), SeqCst);
        self.account.packets.fetch_add(usize::from(packet), Relaxed);
        // refused when the peer is gone, which the reader tells
        let _ = self.out.send((message, packet));
    }

    /// Octets that the peer has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.account.octets.load(Relaxed)
    }

    /// Whether the peer has taken everything; when it has not, the bell rings as soon as it has.
    pub(super) fn is_drained(&self) -> bool {
        self.account.awaited.store(true, SeqCst);
        self.account.octets.load(SeqCst) == 0
    }

    /// Packets that the peer has not taken yet.
    pub(super) fn packets(&self) -> usize {
        self.account.packets.load(Relaxed)
    }
}

/// A connection as the owner loop has it. Dropping it closes the connection, when what is under way was written.
pub(super) struct Peer {
    /// Who it is, for the log.
    pub(super) name: String,
    batches: mpsc::Receiver<Result<Batch, String>>,
    pub(super) sink: Sink,
    reader: AbortHandle,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Peer {
    /// The next messages that are there; an error when there will be none any more, with the reason.
    pub(super) fn take(&mut self) -> Result<Option<Batch>, String> {
        match self.batches.try_recv() {
            Ok(batch) => batch.map(Some),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err("End of file".into()),
        }
    }

    /// Whether [`Peer::take`] has something.
    pub(super) fn has_more(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Octets that the peer has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.sink.queued()
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

/// A place among those of a kind; there is room for another when it is dropped.
pub(super) struct Place(pub(super) Option<Arc<AtomicUsize>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(here) = &self.0 {
            here.fetch_sub(1, Relaxed);
        }
    }
}

/// Starts the tasks of a connection, which has a place as long as either is there.
pub(super) fn start(
    read: impl AsyncRead + Unpin + Send + 'static,
    write: impl AsyncWrite + Unpin + Send + 'static,
    name: &str,
    bell: &Bell,
    place: Place,
) -> Peer {
    let (batches, inbox) = mpsc::channel(BATCHES);
    let (out, messages) = mpsc::unbounded_channel();
    let account = Arc::new(Account::default());
    // one that never reads what it is sent holds the other
    let place = Arc::new(place);
    let (reader_bell, counted) = (bell.clone(), place.clone());
    let reader = tokio::spawn(async move {
        let _end = End(reader_bell.clone());
        let _counted = counted;
        if let Err(e) = receive(read, &batches, &reader_bell).await {
            let _ = batches.send(Err(ovsdb::error::strerror(&e))).await;
        }
    });
    let (writer_bell, writes) = (bell.clone(), account.clone());
    tokio::spawn(async move {
        let _counted = place;
        transmit(write, messages, writes, writer_bell).await;
    });
    Peer { name: name.to_owned(), batches: inbox, sink: Sink { out, account }, reader: reader.abort_handle() }
}

/// Tells of a stream's end, however it came.
struct End(Bell);

impl Drop for End {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// Reads until the end.
async fn receive(
    mut read: impl AsyncRead + Unpin,
    batches: &mpsc::Sender<Result<Batch, String>>,
    bell: &Bell,
) -> io::Result<()> {
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
            if batches.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
            bell.ring();
        }
    }
}

/// Writes until the peer or the owner loop is gone.
async fn transmit(
    mut write: impl AsyncWrite + Unpin,
    mut messages: mpsc::UnboundedReceiver<Out>,
    account: Arc<Account>,
    bell: Bell,
) {
    let mut out = Vec::new();
    while let Some((message, packet)) = messages.recv().await {
        let mut packets = usize::from(packet);
        out.extend_from_slice(&message);
        while out.len() < CHUNK
            && let Ok((message, packet)) = messages.try_recv()
        {
            packets += usize::from(packet);
            out.extend_from_slice(&message);
        }
        let written = match write.write_all(&out).await {
            Ok(()) => write.flush().await,
            failed => failed,
        };
        let waited = account.octets.fetch_sub(out.len(), SeqCst);
        let drained = waited == out.len() && account.awaited.swap(false, SeqCst);
        account.packets.fetch_sub(packets, Relaxed);
        out.clear();
        // requests wait for it, see `UNREAD`
        if waited >= UNREAD || drained {
            bell.ring();
        }
        if written.is_err() {
            return;
        }
    }
    // what TLS has to say at the end
    let _ = write.shutdown().await;
}
