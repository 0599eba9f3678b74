//! A tap device as a port: the kernel's side is an ordinary interface, ours a descriptor (linux/if_tun.h). It lives as
//! long as its queues.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::sys::uio;
use packet::Burst;
use packet::device::{RxQueue, TxCaps, TxQueue};
use packet::virtio::SHORT_LEN;

use crate::afpacket::{frame, header, kernel_caps};
use crate::state::{State, Status};
use crate::{FRAME_MAX, NetdevError, link, sys};

/// An open tap device.
pub struct Port {
    pub rx: Receiver,
    pub tx: Sender,
    pub status: Status,
}

/// Makes the tap device `name` in this network namespace, and brings it up where it is to be `up`.
///
/// # Errors
/// It is not permitted, or the name is in use by another kind of interface.
pub fn create(name: &str, up: bool) -> Result<Port, NetdevError> {
    let fd = sys::tap(name).map_err(|e| NetdevError::new(name, "making a tap device", "CAP_NET_ADMIN", e))?;
    let fd = Arc::new(fd);
    if up {
        link::set_up(name, true)?;
    }
    let status = Status::default();
    let rx = Receiver { fd: fd.clone(), status: status.clone(), buffer: vec![0; SHORT_LEN + FRAME_MAX] };
    Ok(Port { rx, tx: Sender { fd, status: status.clone() }, status })
}

/// The receiving half: what the kernel's side sends.
pub struct Receiver {
    fd: Arc<OwnedFd>,
    status: Status,
    buffer: Vec<u8>,
}

impl RxQueue for Receiver {
    fn receive(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        while burst.len() < packet::burst::BURST {
            match uio::readv(self.fd.as_fd(), &mut [IoSliceMut::new(&mut self.buffer)]) {
                Ok(n) => match self.buffer.get(..n).and_then(|bytes| frame(bytes, None)) {
                    Some(frame) => {
                        // there is room: the loop's condition
                        let _ = burst.push(frame);
                    }
                    None => self.status.rx_malformed(),
                },
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => break,
                Err(e) => {
                    failed(&self.status, e);
                    self.status.rx_error();
                    break;
                }
            }
        }
        burst.len() - before
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.fd.as_raw_fd())
    }
}

/// The sending half: what the kernel's side receives.
pub struct Sender {
    fd: Arc<OwnedFd>,
    status: Status,
}

impl TxQueue for Sender {
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        let total = burst.len();
        while let Some(frame) = burst.as_slice().first() {
            let (head, ok) = header(frame);
            if !ok {
                self.status.tx_unrepresentable();
            }
            let parts: Vec<IoSlice<'_>> =
                std::iter::once(IoSlice::new(&head)).chain(frame.segments().map(IoSlice::new)).collect();
            match uio::writev(self.fd.as_fd(), &parts) {
                Ok(_) => {}
                Err(e) if matches!(std::io::Error::from(e).kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    break;
                }
                Err(nix::Error::ENOBUFS) => break,
                // EIO: the kernel's side is down; nobody there to receive it
                Err(e) => {
                    failed(&self.status, e);
                    self.status.tx_error();
                }
            }
            burst.drain_front(1);
        }
        total - burst.len()
    }

    fn capabilities(&self) -> TxCaps {
        kernel_caps()
    }
}

#[cold]
fn failed(status: &Status, error: nix::Error) {
    match error {
        nix::Error::EBADFD | nix::Error::ENODEV => status.set(State::Gone),
        nix::Error::EIO => status.set(State::Down),
        _ => {}
    }
}
