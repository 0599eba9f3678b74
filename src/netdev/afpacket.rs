//! An existing kernel interface as a port, by a packet socket (packet(7)).
//!
//! What the kernel took out or left out is restored: a stripped VLAN tag goes back into the frame, partial checksums and
//! large TCP segments become offload metadata. What a frame's metadata still wants done is told to the kernel.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use packet::device::{RxQueue, TxCaps, TxQueue};
use packet::virtio::{self, SHORT_LEN};
use packet::{Burst, Frame};

use crate::state::{State, Status};
use crate::sys::{self, Batch};
use crate::{FRAME_MAX, NetdevError, link};

const CAPABILITY: &str = "CAP_NET_RAW";

/// An open interface: both queues, and what can be seen of them.
pub struct Port {
    pub rx: Receiver,
    pub tx: Sender,
    pub status: Status,
}

/// Opens the interface `name` of this network namespace and makes it promiscuous.
///
/// # Errors
/// There is no such interface, it is not permitted, or the kernel refuses.
pub fn open(name: &str) -> Result<Port, NetdevError> {
    let index = link::index(name)?;
    let socket =
        sys::packet_socket(index).map_err(|e| NetdevError::new(name, "opening a packet socket", CAPABILITY, e))?;
    let status = Status::default();
    if !link::is_up(name)? {
        status.set(State::Down);
    }
    let shared = Arc::new(Shared { socket, name: name.to_owned(), index, status: status.clone() });
    Ok(Port { rx: Receiver { shared: shared.clone(), batch: Batch::new() }, tx: Sender::new(shared), status })
}

struct Shared {
    socket: OwnedFd,
    name: String,
    index: u32,
    status: Status,
}

impl Shared {
    /// Says what a failed call means for the interface.
    #[cold]
    fn failed(&self, error: &std::io::Error) {
        let gone = link::index(&self.name).ok() != Some(self.index);
        let state = if gone { State::Gone } else { State::Down };
        if matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV)) {
            if self.status.state() != state {
                log::warn!(target: "netdev", "{}: {}", self.name, if gone { "interface is gone" } else { "interface is down" });
            }
            self.status.set(state);
        }
    }
}

/// The receiving half.
pub struct Receiver {
    shared: Arc<Shared>,
    batch: Batch,
}

impl Receiver {
    /// Frames that the kernel dropped since the last call because this queue was not read in time.
    pub fn kernel_drops(&self) -> u64 {
        sys::packet_statistics(self.shared.socket.as_fd()).map_or(0, |(_, drops)| u64::from(drops))
    }
}

impl RxQueue for Receiver {
    fn receive(&mut self, burst: &mut Burst) -> usize {
        let room = packet::burst::BURST - burst.len();
        if room == 0 {
            return 0;
        }
        let status = &self.shared.status;
        match self.batch.receive(self.shared.socket.as_fd(), room) {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return 0,
            Err(e) => {
                status.rx_error();
                self.shared.failed(&e);
                return 0;
            }
        }
        let before = burst.len();
        for message in self.batch.messages() {
            if message.truncated {
                status.rx_truncated();
                continue;
            }
            match frame(message.bytes, message.tag) {
                Some(frame) => {
                    // there is room for as many as were asked for
                    let _ = burst.push(frame);
                }
                None => status.rx_malformed(),
            }
        }
        if burst.len() > before && status.state() != State::Up {
            status.set(State::Up);
        }
        burst.len() - before
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.shared.socket.as_raw_fd())
    }
}

/// A frame of what the kernel handed over: virtio header and bytes, with the tag put back. None when the header
/// contradicts the frame.
pub(crate) fn frame(bytes: &[u8], tag: Option<(u16, u16)>) -> Option<Frame> {
    let (header, data) = virtio::Value::parse(bytes, false).ok()?;
    let mut header = header.header;
    let mut frame = match tag {
        None => Frame::from_slice(data),
        Some((tpid, tci)) => {
            let (macs, rest) = data.split_at_checked(12)?;
            let mut tagged = Frame::with_headroom(rest, packet::frame::HEADROOM);
            let room = tagged.prepend(16)?;
            let (front, back) = room.split_at_mut_checked(12)?;
            front.copy_from_slice(macs);
            back.copy_from_slice(&[tpid.to_be_bytes(), tci.to_be_bytes()].concat());
            if header.flags & virtio::NEEDS_CSUM != 0 {
                header.csum_start = (header.csum_start.get() + 4).into();
                header.hdr_len = (header.hdr_len.get().saturating_add(4)).into();
            }
            tagged
        }
    };
    match virtio::apply(&mut frame, &header) {
        Ok(()) => Some(frame),
        // A checksum of a protocol that we cannot finish ourselves may still be passed on as it is.
        Err(_) if header.gso_type == virtio::GSO_NONE => Some(frame),
        Err(_) => None,
    }
}

/// The sending half.
pub struct Sender {
    shared: Arc<Shared>,
    headers: Vec<[u8; SHORT_LEN]>,
}

impl Sender {
    fn new(shared: Arc<Shared>) -> Sender {
        Sender { shared, headers: Vec::with_capacity(sys::BATCH) }
    }
}

/// The virtio header for a frame's metadata, as bytes; all zero with `false` when none can say it.
pub(crate) fn header(frame: &Frame) -> ([u8; SHORT_LEN], bool) {
    let mut bytes = [0; SHORT_LEN];
    let Ok(header) = virtio::header_of(frame) else { return (bytes, false) };
    let ok = virtio::Value { header, buffers: None }.emit(&mut bytes).is_ok();
    (bytes, ok)
}

impl TxQueue for Sender {
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        let total = burst.len();
        let status = self.shared.status.clone();
        while !burst.is_empty() {
            self.headers.clear();
            for frame in burst.iter() {
                let (bytes, ok) = header(frame);
                if !ok {
                    status.tx_unrepresentable();
                }
                self.headers.push(bytes);
            }
            let frames = self.headers.iter().zip(burst.iter()).map(|(h, f)| (h, f.segments()));
            match sys::send(self.shared.socket.as_fd(), frames) {
                Ok(n) => burst.drain_front(n.max(1)),
                Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR)) => break,
                Err(e) => {
                    // The first frame is what the kernel refuses; the others may still go.
                    status.tx_error();
                    self.shared.failed(&e);
                    burst.drain_front(1);
                }
            }
        }
        total - burst.len()
    }

    fn capabilities(&self) -> TxCaps {
        kernel_caps()
    }
}

/// What the kernel does for us: everything but SCTP's checksum, whatever the device behind the interface can.
pub(crate) fn kernel_caps() -> TxCaps {
    TxCaps {
        ip_checksum: false,
        tcp_checksum: true,
        udp_checksum: true,
        sctp_checksum: false,
        tso: true,
        multi_segment: true,
        max_frame: FRAME_MAX as u32,
    }
}
