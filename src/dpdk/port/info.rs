//! What a device is and can do.
use super::attach::text;
use packet::device::TxCaps;
use std::ffi::{CStr, c_char};
use std::fmt;

/// A port for display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortInfo {
    /// DPDK's number.
    pub id: u16,
    /// DPDK's name.
    pub name: String,
    /// What it was attached by, when it is in use here.
    pub devargs: Option<String>,
    /// Name of its driver, like `net_ixgbe`.
    pub driver: String,
    /// Memory node it is connected to; None: it does not matter.
    pub node: Option<u32>,
    /// Ethernet address.
    pub mac: [u8; 6],
    /// Longest payload of layer 2 now, bytes.
    pub mtu: u16,
    /// Longest payload that can be set.
    pub max_mtu: u16,
    /// Receive queues in use.
    pub rx_queues: u16,
    /// Receive queues that it has.
    pub max_rx_queues: u16,
    /// Transmit queues in use.
    pub tx_queues: u16,
    /// Transmit queues that it has.
    pub max_tx_queues: u16,
    /// What it can do by itself.
    pub features: Features,
}

/// What a device can do by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Checks IPv4, TCP and UDP checksums on receive.
    pub rx_checksum: bool,
    /// Spreads packets over queues by a hash of addresses and ports.
    pub rss: bool,
    /// Fills IPv4 checksums.
    pub ip_checksum: bool,
    /// Fills TCP checksums.
    pub tcp_checksum: bool,
    /// Fills UDP checksums.
    pub udp_checksum: bool,
    /// Fills SCTP checksums.
    pub sctp_checksum: bool,
    /// Segments TCP.
    pub tso: bool,
    /// Sends frames of several segments.
    pub multi_segment: bool,
    /// Reports link changes by interrupt.
    pub link_interrupt: bool,
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.rx_checksum, "rx-checksum"),
            (self.rss, "rss"),
            (self.ip_checksum, "tx-ip-checksum"),
            (self.tcp_checksum, "tx-tcp-checksum"),
            (self.udp_checksum, "tx-udp-checksum"),
            (self.sctp_checksum, "tx-sctp-checksum"),
            (self.tso, "tso"),
            (self.multi_segment, "multi-segment"),
            (self.link_interrupt, "link-interrupt"),
        ];
        let have: Vec<&str> = names.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(if have.is_empty() { "none".into() } else { have.join(" ") }.as_str())
    }
}

/// State of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub up: bool,
    /// Megabits per second; None: unknown.
    pub speed: Option<u32>,
    /// Both directions at a time.
    pub full_duplex: bool,
    /// Speed was negotiated.
    pub autoneg: bool,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.up {
            return f.write_str("down");
        }
        match self.speed {
            Some(speed) => write!(f, "up, {speed} Mbps")?,
            None => f.write_str("up, speed unknown")?,
        }
        f.write_str(if self.full_duplex { ", full duplex" } else { ", half duplex" })
    }
}

/// The device's own description; all zero for a number that is not in use.
pub(super) fn raw(id: u16) -> dpdk_sys::rte_eth_dev_info {
    let mut info = dpdk_sys::rte_eth_dev_info::default();
    // SAFETY: a place to write to; any number is checked.
    if unsafe { dpdk_sys::rte_eth_dev_info_get(id, &mut info) } != 0 {
        return dpdk_sys::rte_eth_dev_info::default();
    }
    info
}

/// Receive and transmit queues that the device has.
pub(super) fn limits(id: u16) -> (u16, u16) {
    let info = raw(id);
    (info.max_rx_queues, info.max_tx_queues)
}

pub(super) fn name(id: u16) -> String {
    let mut name: [c_char; dpdk_sys::IB_ETH_NAME_MAX_LEN as usize] = [0; _];
    // SAFETY: room for RTE_ETH_NAME_MAX_LEN characters, which is what the function may write; the number is checked.
    if unsafe { dpdk_sys::rte_eth_dev_get_name_by_port(id, name.as_mut_ptr()) } != 0 {
        return format!("port {id}");
    }
    text(&name)
}

pub(super) fn mac(id: u16) -> [u8; 6] {
    let mut address = dpdk_sys::rte_ether_addr::default();
    // SAFETY: a place to write to; the number is checked.
    unsafe { dpdk_sys::rte_eth_macaddr_get(id, &mut address) };
    address.addr_bytes
}

pub(super) fn mtu(id: u16) -> u16 {
    let mut mtu = 0;
    // SAFETY: a place to write to; the number is checked.
    unsafe { dpdk_sys::rte_eth_dev_get_mtu(id, &mut mtu) };
    mtu
}

pub(super) fn of(id: u16) -> PortInfo {
    let info = raw(id);
    let driver = if info.driver_name.is_null() {
        String::new()
    } else {
        // SAFETY: the driver's name, a constant of the driver.
        unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned()
    };
    // SAFETY: takes any number.
    let node = unsafe { dpdk_sys::rte_eth_dev_socket_id(id) };
    PortInfo {
        id,
        name: name(id),
        devargs: None,
        driver,
        node: u32::try_from(node).ok(),
        mac: mac(id),
        mtu: mtu(id),
        max_mtu: info.max_mtu,
        rx_queues: info.nb_rx_queues,
        max_rx_queues: info.max_rx_queues,
        tx_queues: info.nb_tx_queues,
        max_tx_queues: info.max_tx_queues,
        features: features(&info),
    }
}

pub(super) fn features(info: &dpdk_sys::rte_eth_dev_info) -> Features {
    let rx = |bits| info.rx_offload_capa & bits == bits;
    let tx = |bits| info.tx_offload_capa & bits == bits;
    // SAFETY: null, or a constant of the driver.
    let flags = unsafe { info.dev_flags.as_ref() }.copied().unwrap_or(0);
    Features {
        rx_checksum: rx(RX_CHECKSUMS),
        rss: info.flow_type_rss_offloads & RSS != 0,
        ip_checksum: tx(dpdk_sys::IB_TX_OFFLOAD_IPV4_CKSUM),
        tcp_checksum: tx(dpdk_sys::IB_TX_OFFLOAD_TCP_CKSUM),
        udp_checksum: tx(dpdk_sys::IB_TX_OFFLOAD_UDP_CKSUM),
        sctp_checksum: tx(dpdk_sys::IB_TX_OFFLOAD_SCTP_CKSUM),
        tso: tx(dpdk_sys::IB_TX_OFFLOAD_TCP_TSO | dpdk_sys::IB_TX_OFFLOAD_TCP_CKSUM),
        multi_segment: tx(dpdk_sys::IB_TX_OFFLOAD_MULTI_SEGS),
        link_interrupt: flags & dpdk_sys::IB_DEV_INTR_LSC != 0,
    }
}

/// Receive checksums that are asked for together.
pub(super) const RX_CHECKSUMS: u64 =
    dpdk_sys::IB_RX_OFFLOAD_IPV4_CKSUM | dpdk_sys::IB_RX_OFFLOAD_TCP_CKSUM | dpdk_sys::IB_RX_OFFLOAD_UDP_CKSUM;
/// Packet kinds whose addresses and ports are hashed.
pub(super) const RSS: u64 = dpdk_sys::IB_RSS_IP | dpdk_sys::IB_RSS_TCP | dpdk_sys::IB_RSS_UDP | dpdk_sys::IB_RSS_SCTP;

/// What a transmit queue promises with these offloads switched on.
pub(super) fn tx_caps(offloads: u64, max_frame: u32) -> TxCaps {
    let has = |bits| offloads & bits == bits;
    TxCaps {
        ip_checksum: has(dpdk_sys::IB_TX_OFFLOAD_IPV4_CKSUM),
        tcp_checksum: has(dpdk_sys::IB_TX_OFFLOAD_TCP_CKSUM),
        udp_checksum: has(dpdk_sys::IB_TX_OFFLOAD_UDP_CKSUM),
        sctp_checksum: has(dpdk_sys::IB_TX_OFFLOAD_SCTP_CKSUM),
        tso: has(dpdk_sys::IB_TX_OFFLOAD_TCP_TSO),
        multi_segment: has(dpdk_sys::IB_TX_OFFLOAD_MULTI_SEGS),
        max_frame,
    }
}
