//! What a port's queues look like to the datapath: one dynamic call per burst, never per packet.

use crate::burst::Burst;
use std::os::fd::RawFd;

/// A receive queue. One thread polls it at a time, hence `Send` and `&mut self`.
pub trait RxQueue: Send {
    /// Appends frames to `burst` while it has room, and returns how many were appended. Never blocks.
    fn receive(&mut self, burst: &mut Burst) -> usize;

    /// Whether frames are copied by who receives them, on its time; constant while the queue lives.
    fn copies(&self) -> bool {
        false
    }

    /// A descriptor that polls readable when frames wait, for queues that a sleeping thread serves.
    fn fd(&self) -> Option<RawFd> {
        None
    }
}

/// A transmit queue.
pub trait TxQueue: Send {
    /// Hands frames to the device from the front of `burst`, in order, and returns how many it consumed. What is left in
    /// `burst` was not accepted: the caller retries, or drops and counts. Never blocks.
    ///
    /// Frames meet [`capabilities`](Self::capabilities): [`crate::device::TxCaps`] says what the caller must resolve before.
    fn transmit(&mut self, burst: &mut Burst) -> usize;

    /// What the device does by itself; constant while the queue lives.
    fn capabilities(&self) -> TxCaps;

    /// Whether what the last `transmit` left had nobody to go to: a guest's port without a guest.
    fn is_absent(&self) -> bool {
        false
    }

    /// Pushes out what `transmit` may have buffered.
    fn flush(&mut self) {}
}

/// What a transmit queue resolves by itself; the rest is done in software before transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxCaps {
    /// Fills the IPv4 header checksum.
    pub ip_checksum: bool,
    /// Fills TCP checksums (IPv4 and IPv6).
    pub tcp_checksum: bool,
    /// Fills UDP checksums (IPv4 and IPv6).
    pub udp_checksum: bool,
    /// Fills the CRC32c of SCTP.
    pub sctp_checksum: bool,
    /// Segments TCP over IPv4 and IPv6 by the frame's MSS.
    pub tso: bool,
    /// Accepts frames of several segments.
    pub multi_segment: bool,
    /// Longest frame accepted, in bytes from the destination MAC to the end of the payload (no frame check sequence).
    /// Frames that the device segments itself may be longer.
    pub max_frame: u32,
}

impl TxCaps {
    /// Nothing but sending linear frames of the default MTU with one VLAN tag.
    pub const NONE: TxCaps = TxCaps {
        ip_checksum: false,
        tcp_checksum: false,
        udp_checksum: false,
        sctp_checksum: false,
        tso: false,
        multi_segment: false,
        max_frame: 1518,
    };

    /// Everything, as between virtual ports that pass metadata along.
    pub const ALL: TxCaps = TxCaps {
        ip_checksum: true,
        tcp_checksum: true,
        udp_checksum: true,
        sctp_checksum: true,
        tso: true,
        multi_segment: true,
        max_frame: u32::MAX,
    };
}

/// Counters of a port since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes received, without frame check sequences.
    pub rx_bytes: u64,
    /// Bytes sent, without frame check sequences.
    pub tx_bytes: u64,
    /// Good frames that were not received for want of room.
    pub rx_dropped: u64,
    /// Frames that could not be sent for want of room.
    pub tx_dropped: u64,
    /// Damaged frames received.
    pub rx_errors: u64,
    /// Frames whose transmission failed.
    pub tx_errors: u64,
    /// The device's own counters by name, in its order.
    pub extended: Vec<(String, u64)>,
}
