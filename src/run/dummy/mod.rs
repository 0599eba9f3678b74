//! Ports of deterministic mode: devices in memory, with a MAC address, captures of what comes and goes, and a socket in
//! place of a cable. [`stream`] is that socket, [`commands`] what control commands do to them, [`time`] stops the clock and
//! lets it go on.

pub(super) mod commands;
mod stream;
pub(super) mod time;

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::clock::{Clock, Instant};
use datapath::Queues;
use datapath::dummy::DummyPort;
use packet::device::{TxCaps, TxQueue};
use packet::{Burst, Frame, pcap};

use crate::config::{InterfaceType, Port};
use stream::Cable;

/// Frames that a port keeps of those that it sent, for who asks for them.
const KEPT: usize = 4096;
/// The MTU that a port has.
pub(super) const MTU: u16 = 1500;

/// A capture file of a port. A packet is written when it comes, so that the file is whole at any time.
struct Capture {
    file: pcap::Writer<File>,
    failed: bool,
}

/// What is known of a port besides the frames in it.
struct Shared {
    name: String,
    clock: Clock,
    mac: [u8; 6],
    mtu: u16,
    up: bool,
    ifindex: Option<u32>,
    /// The memory node that it is said to be on.
    node: Option<u32>,
    captures: Vec<Capture>,
    /// Which of them has what comes and what goes.
    incoming: Option<usize>,
    outgoing: Option<usize>,
    cable: Option<Cable>,
}

impl Shared {
    fn capture(&mut self, which: Option<usize>, bytes: &[u8]) {
        let Some(capture) = which.and_then(|at| self.captures.get_mut(at)).filter(|c| !c.failed) else { return };
        let since = self.clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        if let Err(e) = capture.file.packet(nanos, [bytes]) {
            capture.failed = true;
            log::warn!(target: "netdev", "{}: its capture ends here: {e}", self.name);
        }
    }
}

/// A port in memory. Clones are the same port.
#[derive(Clone)]
pub(super) struct Device {
    /// By receive queue.
    queues: Arc<[DummyPort]>,
    shared: Arc<Mutex<Shared>>,
    has_cable: bool,
    /// Transmit queues, where polling workers serve it.
    polled: Option<usize>,
}

/// Numbers the addresses of ports that are made one after the other.
#[derive(Default)]
pub(super) struct Addresses(AtomicU32);

impl Addresses {
    fn next(&self) -> [u8; 6] {
        let [a, b, c, d] = (0xaa55_0001 + self.0.fetch_add(1, Relaxed)).to_be_bytes();
        [0xaa, 0x55, a, b, c, d]
    }
}

impl Device {
    /// The device behind `port` and its queues, with transmit queues for so many workers.
    ///
    /// # Errors
    /// What of its options cannot be.
    pub(super) fn open(
        port: &Port,
        addresses: &Addresses,
        clock: &Clock,
        workers: usize,
    ) -> Result<(Device, Queues), String> {
        let bad = |key: &str, value: &str| format!("{}: options:{key} is \"{value}\", expected a number", port.name);
        let number = |key: &str| port.options.get(key).map(|v| v.parse::<u32>().map_err(|_| bad(key, v))).transpose();
        let mut shared = Shared {
            name: port.name.clone(),
            clock: clock.clone(),
            mac: addresses.next(),
            mtu: port.mtu_request.unwrap_or(MTU),
            up: true,
            ifindex: number("ifindex")?,
            node: Some(number("numa_id")?.unwrap_or(0)),
            captures: Vec::new(),
            incoming: None,
            outgoing: None,
            cable: Cable::new(port).map_err(|e| format!("{}: {e}", port.name))?,
        };
        for (key, comes, goes) in [("pcap", true, true), ("rxq_pcap", true, false), ("tx_pcap", false, true)] {
            let Some(path) = port.options.get(key) else { continue };
            let file = File::create(path).and_then(pcap::Writer::new);
            let file = file.map_err(|e| format!("{}: options:{key}: {path}: {e}", port.name))?;
            let at = shared.captures.len();
            shared.captures.push(Capture { file, failed: false });
            shared.incoming = if comes { Some(at) } else { shared.incoming };
            shared.outgoing = if goes { Some(at) } else { shared.outgoing };
        }
        let has_cable = shared.cable.is_some();
        let watched = shared.outgoing.is_some() || has_cable;
        let polled = port.interface_type == InterfaceType::DummyPmd;
        let n = usize::from(port.n_rxq.unwrap_or(1)).max(1);
        let device = Device {
            queues: (0..n).map(|_| DummyPort::new()).collect(),
            shared: Arc::new(Mutex::new(shared)),
            has_cable,
            polled: polled.then_some(workers),
        };
        let mut queues = Queues::default();
        for end in device.queues.iter() {
            queues.rx.push(end.queues().0);
        }
        if let Some(first) = device.queues.first() {
            first.keep(KEPT);
            for _ in 0..workers.max(1) {
                let inner = first.queues().1;
                queues.tx.push(if watched { Box::new(Watched { device: device.clone(), inner }) } else { inner });
            }
        }
        Ok((device, queues))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The switch will receive this packet by a receive queue. False when there is no such queue.
    pub(super) fn inject(&self, queue: usize, bytes: &[u8]) -> bool {
        let Some(end) = self.queues.get(queue) else { return false };
        let mut shared = self.lock();
        let which = shared.incoming;
        shared.capture(which, bytes);
        drop(shared);
        end.inject(Frame::from_slice(bytes));
        true
    }

    /// The frames that the switch sent since the last time, the last of them when there were many.
    pub(super) fn take_all(&self) -> Vec<Frame> {
        self.queues.first().map(DummyPort::take_all).unwrap_or_default()
    }

    pub(super) fn mac(&self) -> [u8; 6] {
        self.lock().mac
    }

    pub(super) fn set_mac(&self, mac: [u8; 6]) {
        self.lock().mac = mac;
    }

    pub(super) fn mtu(&self) -> u16 {
        self.lock().mtu
    }

    pub(super) fn set_mtu(&self, mtu: u16) {
        self.lock().mtu = mtu;
    }

    pub(super) fn is_up(&self) -> bool {
        self.lock().up
    }

    pub(super) fn set_up(&self, up: bool) {
        self.lock().up = up;
    }

    pub(super) fn ifindex(&self) -> Option<u32> {
        self.lock().ifindex
    }

    pub(super) fn node(&self) -> Option<u32> {
        self.lock().node
    }

    /// Receive queues.
    pub(super) fn rx_queues(&self) -> usize {
        self.queues.len()
    }

    /// Transmit queues of a port that polling workers serve.
    pub(super) fn polled(&self) -> Option<usize> {
        self.polled
    }

    /// Whether it has a cable that [`turn`](Self::turn) looks at.
    pub(super) fn has_cable(&self) -> bool {
        self.has_cable
    }

    /// Whether it has a cable, and whether there is somebody at its other end.
    pub(super) fn cable(&self) -> Option<bool> {
        self.lock().cable.as_ref().map(Cable::is_connected)
    }

    /// Takes in what came by its cable; whether anything happened there.
    pub(super) fn turn(&self, now: Instant) -> bool {
        let mut shared = self.lock();
        let Some(mut cable) = shared.cable.take() else { return false };
        let name = shared.name.clone();
        drop(shared);
        let mut frames = Vec::new();
        let moved = cable.turn(&name, now, &mut frames);
        self.lock().cable = Some(cable);
        for bytes in &frames {
            self.inject(0, bytes);
        }
        moved || !frames.is_empty()
    }
}

/// A transmit queue whose frames somebody sees besides the port's own list.
struct Watched {
    device: Device,
    inner: Box<dyn TxQueue>,
}

impl TxQueue for Watched {
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        let mut shared = self.device.lock();
        let which = shared.outgoing;
        for frame in burst.iter() {
            let bytes = frame.to_vec();
            shared.capture(which, &bytes);
            if let Some(cable) = &mut shared.cable {
                cable.send(&bytes);
            }
        }
        drop(shared);
        self.inner.transmit(burst)
    }

    /// What is seen outside is whole.
    fn capabilities(&self) -> TxCaps {
        TxCaps { multi_segment: true, max_frame: u32::MAX, ..TxCaps::NONE }
    }
}

/// What an error of the system says, as the stock programs put it.
fn strerror(e: &io::Error) -> String {
    ovsdb::error::strerror(e)
}

#[cfg(test)]
mod tests;
