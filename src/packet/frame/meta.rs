//! Per-packet metadata: what a device found out on receive and what is still to be done on transmit, in the bits of
//! DPDK's `ol_flags` and `tx_offload`.
//!
//! A checksum still to be made is said by [`Offload::l4_sum`], a TCP packet still to be cut by [`Offload::segment`].
//! Who receives from a virtual machine or from the kernel sets them; [`crate::offload`] resolves what the egress port
//! can't.

use super::Frame;

/// Bits of `ol_flags`; values of DPDK 22.11's `RTE_MBUF_F_*`, asserted in the `dpdk` crate.
#[expect(missing_docs, reason = "the names are DPDK's, documented in rte_mbuf_core.h")]
pub mod flags {
    pub const RX_VLAN: u64 = 1 << 0;
    pub const RX_RSS_HASH: u64 = 1 << 1;
    pub const RX_L4_CKSUM_BAD: u64 = 1 << 3;
    pub const RX_IP_CKSUM_BAD: u64 = 1 << 4;
    pub const RX_OUTER_IP_CKSUM_BAD: u64 = 1 << 5;
    pub const RX_VLAN_STRIPPED: u64 = 1 << 6;
    pub const RX_IP_CKSUM_GOOD: u64 = 1 << 7;
    pub const RX_L4_CKSUM_GOOD: u64 = 1 << 8;
    pub const RX_QINQ_STRIPPED: u64 = 1 << 15;
    pub const RX_LRO: u64 = 1 << 16;
    pub const RX_QINQ: u64 = 1 << 20;
    pub const RX_IP_CKSUM_MASK: u64 = RX_IP_CKSUM_BAD | RX_IP_CKSUM_GOOD;
    pub const RX_L4_CKSUM_MASK: u64 = RX_L4_CKSUM_BAD | RX_L4_CKSUM_GOOD;
    pub const TX_OUTER_UDP_CKSUM: u64 = 1 << 41;
    pub const TX_TUNNEL_SHIFT: u32 = 45;
    pub const TX_TUNNEL_MASK: u64 = 0xf << TX_TUNNEL_SHIFT;
    pub const TX_TCP_SEG: u64 = 1 << 50;
    pub const TX_TCP_CKSUM: u64 = 1 << 52;
    pub const TX_SCTP_CKSUM: u64 = 2 << 52;
    pub const TX_UDP_CKSUM: u64 = 3 << 52;
    pub const TX_L4_MASK: u64 = 3 << 52;
    pub const TX_IP_CKSUM: u64 = 1 << 54;
    pub const TX_IPV4: u64 = 1 << 55;
    pub const TX_IPV6: u64 = 1 << 56;
    pub const TX_OUTER_IP_CKSUM: u64 = 1 << 58;
    pub const TX_OUTER_IPV4: u64 = 1 << 59;
    pub const TX_OUTER_IPV6: u64 = 1 << 60;
    pub const EXTERNAL: u64 = 1 << 61;
    pub const INDIRECT: u64 = 1 << 62;

    /// Bits that say how the buffer is held, not what is in it: never set or cleared here.
    pub const BUFFER: u64 = EXTERNAL | INDIRECT;
    /// Bits that ask for work on transmit.
    pub const TX_WORK: u64 = TX_TCP_SEG | TX_L4_MASK | TX_IP_CKSUM | TX_OUTER_IP_CKSUM | TX_OUTER_UDP_CKSUM;
    /// All transmit bits of [`super::Offload`].
    pub const TX: u64 = TX_WORK | TX_TUNNEL_MASK | TX_IPV4 | TX_IPV6 | TX_OUTER_IPV4 | TX_OUTER_IPV6;
    /// All bits of [`super::Offload`].
    pub const OFFLOAD: u64 =
        TX | RX_IP_CKSUM_MASK | RX_L4_CKSUM_MASK | RX_VLAN | RX_VLAN_STRIPPED | RX_QINQ | RX_QINQ_STRIPPED | RX_LRO;
}

/// What a device says of a received checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing.
    #[default]
    Unknown,
    /// It is wrong.
    Bad,
    /// It is right.
    Good,
    /// It is not right in the data, but the data is intact (a local sender left it out).
    None,
}

/// The layer 4 checksum still to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4Sum {
    /// None.
    #[default]
    None,
    /// TCP's.
    Tcp,
    /// SCTP's CRC32c.
    Sctp,
    /// UDP's.
    Udp,
}

/// Version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The metadata as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// The (inner) IPv4 header checksum on receive.
    pub rx_ip: Checksum,
    /// The (inner) layer 4 checksum on receive.
    pub rx_l4: Checksum,
    /// Tag control information of a tag that the device stripped. With `outer_vlan`, that of the inner tag.
    pub vlan: Option<u16>,
    /// Tag control information of the outer of two stripped tags.
    pub outer_vlan: Option<u16>,
    /// Several packets merged by the device.
    pub lro: bool,
    /// The IPv4 header checksum is still to be made.
    pub ip_sum: bool,
    /// The layer 4 checksum is still to be made. What its field holds until then doesn't matter:
    /// [`crate::offload::resolve`] writes it, as the checksum or as the sum of the pseudo header for the device.
    pub l4_sum: L4Sum,
    /// IP version of the packet to transmit; devices want it with `ip_sum`, `l4_sum` or `segment`.
    pub version: Option<Version>,
    /// TCP payload is still to be cut into segments of so many bytes (never 0).
    pub segment: Option<u16>,
    /// Kind of tunnel, `RTE_MBUF_F_TX_TUNNEL_*` shifted down (1 VXLAN, 2 GRE, 4 Geneve …); 0 without.
    pub tunnel: u8,
    /// IP version of the outer header.
    pub outer_version: Option<Version>,
    /// The outer IPv4 header checksum is still to be made.
    pub outer_ip_sum: bool,
    /// The outer UDP checksum is still to be made.
    pub outer_udp_sum: bool,
    /// Bytes of the layer 2 headers (with a tunnel: from the outer IP header's end to the inner one's start); 7 bits.
    pub l2_len: u8,
    /// Bytes of the (inner) IP header with extensions; 9 bits.
    pub l3_len: u16,
    /// Bytes of the (inner) TCP header; for segmentation.
    pub l4_len: u8,
    /// Bytes of the outer layer 2 headers; 7 bits.
    pub outer_l2_len: u8,
    /// Bytes of the outer IP header; 9 bits.
    pub outer_l3_len: u16,
}

impl Offload {
    fn from_bits(bits: u64, tx: u64, vlan: u16, outer_vlan: u16) -> Offload {
        let has = |flag| bits & flag != 0;
        let sum = |bad, good| match (has(bad), has(good)) {
            (false, false) => Checksum::Unknown,
            (true, false) => Checksum::Bad,
            (false, true) => Checksum::Good,
            (true, true) => Checksum::None,
        };
        let version = |v4, v6| match (has(v4), has(v6)) {
            (true, _) => Some(Version::V4),
            (false, true) => Some(Version::V6),
            (false, false) => None,
        };
        let segsz = (tx >> 24) as u16;
        Offload {
            rx_ip: sum(flags::RX_IP_CKSUM_BAD, flags::RX_IP_CKSUM_GOOD),
            rx_l4: sum(flags::RX_L4_CKSUM_BAD, flags::RX_L4_CKSUM_GOOD),
            vlan: has(flags::RX_VLAN_STRIPPED).then_some(vlan),
            outer_vlan: (has(flags::RX_QINQ_STRIPPED)).then_some(outer_vlan),
            lro: has(flags::RX_LRO),
            ip_sum: has(flags::TX_IP_CKSUM),
            l4_sum: match bits & flags::TX_L4_MASK {
                flags::TX_TCP_CKSUM => L4Sum::Tcp,
                flags::TX_SCTP_CKSUM => L4Sum::Sctp,
                flags::TX_UDP_CKSUM => L4Sum::Udp,
                _ => L4Sum::None,
            },
            version: version(flags::TX_IPV4, flags::TX_IPV6),
            segment: (has(flags::TX_TCP_SEG) && segsz != 0).then_some(segsz),
            tunnel: ((bits & flags::TX_TUNNEL_MASK) >> flags::TX_TUNNEL_SHIFT) as u8,
            outer_version: version(flags::TX_OUTER_IPV4, flags::TX_OUTER_IPV6),
            outer_ip_sum: has(flags::TX_OUTER_IP_CKSUM),
            outer_udp_sum: has(flags::TX_OUTER_UDP_CKSUM),
            l2_len: (tx & 0x7f) as u8,
            l3_len: (tx >> 7 & 0x1ff) as u16,
            l4_len: (tx >> 16) as u8,
            outer_l3_len: (tx >> 40 & 0x1ff) as u16,
            outer_l2_len: (tx >> 49 & 0x7f) as u8,
        }
    }

    fn to_bits(self) -> (u64, u64) {
        let sum = |sum, bad, good| match sum {
            Checksum::Unknown => 0,
            Checksum::Bad => bad,
            Checksum::Good => good,
            Checksum::None => bad | good,
        };
        let version = |version, v4, v6| match version {
            None => 0,
            Some(Version::V4) => v4,
            Some(Version::V6) => v6,
        };
        let flag = |on, flag| if on { flag } else { 0 };
        let bits = sum(self.rx_ip, flags::RX_IP_CKSUM_BAD, flags::RX_IP_CKSUM_GOOD)
            | sum(self.rx_l4, flags::RX_L4_CKSUM_BAD, flags::RX_L4_CKSUM_GOOD)
            | flag(self.vlan.is_some(), flags::RX_VLAN | flags::RX_VLAN_STRIPPED)
            | flag(self.outer_vlan.is_some(), flags::RX_QINQ | flags::RX_QINQ_STRIPPED)
            | flag(self.lro, flags::RX_LRO)
            | flag(self.ip_sum, flags::TX_IP_CKSUM)
            | match self.l4_sum {
                L4Sum::None => 0,
                L4Sum::Tcp => flags::TX_TCP_CKSUM,
                L4Sum::Sctp => flags::TX_SCTP_CKSUM,
                L4Sum::Udp => flags::TX_UDP_CKSUM,
            }
            | version(self.version, flags::TX_IPV4, flags::TX_IPV6)
            | flag(self.segment.is_some(), flags::TX_TCP_SEG)
            | (u64::from(self.tunnel & 0xf) << flags::TX_TUNNEL_SHIFT)
            | version(self.outer_version, flags::TX_OUTER_IPV4, flags::TX_OUTER_IPV6)
            | flag(self.outer_ip_sum, flags::TX_OUTER_IP_CKSUM)
            | flag(self.outer_udp_sum, flags::TX_OUTER_UDP_CKSUM);
        let tx = u64::from(self.l2_len & 0x7f)
            | u64::from(self.l3_len & 0x1ff) << 7
            | u64::from(self.l4_len) << 16
            | u64::from(self.segment.unwrap_or(0)) << 24
            | u64::from(self.outer_l3_len & 0x1ff) << 40
            | u64::from(self.outer_l2_len & 0x7f) << 49;
        (bits, tx)
    }
}

impl Frame {
    /// All metadata bits, for tests of several at once; see [`flags`].
    #[inline]
    pub fn ol_flags(&self) -> u64 {
        self.raw().ol_flags
    }

    /// Whether something is still to be done to the packet: checksums, segmentation.
    #[inline]
    pub fn has_tx_work(&self) -> bool {
        self.raw().ol_flags & flags::TX_WORK != 0
    }

    /// The metadata.
    pub fn offload(&self) -> Offload {
        let raw = self.raw();
        Offload::from_bits(raw.ol_flags, raw.tx_offload, raw.vlan_tci, raw.vlan_tci_outer)
    }

    /// Sets the metadata; flags that [`Offload`] doesn't hold stay.
    pub fn set_offload(&mut self, offload: Offload) {
        let (bits, tx) = offload.to_bits();
        let raw = self.raw_mut();
        raw.ol_flags = (raw.ol_flags & !flags::OFFLOAD) | bits;
        raw.tx_offload = tx;
        raw.vlan_tci = offload.vlan.unwrap_or(0);
        raw.vlan_tci_outer = offload.outer_vlan.unwrap_or(0);
    }

    /// Nothing is to be done to the packet any more.
    #[inline]
    pub fn clear_tx(&mut self) {
        let raw = self.raw_mut();
        raw.ol_flags &= !flags::TX;
        raw.tx_offload = 0;
    }

    /// Forgets all metadata but the port: the frame is as if written by us.
    #[inline]
    pub fn clear_offload(&mut self) {
        let raw = self.raw_mut();
        raw.ol_flags &= flags::BUFFER;
        raw.tx_offload = 0;
        raw.packet_type = 0;
    }

    /// The device's hash of the packet's addresses and ports.
    #[inline]
    pub fn rss_hash(&self) -> Option<u32> {
        let raw = self.raw();
        (raw.ol_flags & flags::RX_RSS_HASH != 0).then_some(raw.hash[0])
    }

    /// Sets or clears the hash.
    #[inline]
    pub fn set_rss_hash(&mut self, hash: Option<u32>) {
        let raw = self.raw_mut();
        raw.ol_flags &= !flags::RX_RSS_HASH;
        if let Some(hash) = hash {
            raw.hash[0] = hash;
            raw.ol_flags |= flags::RX_RSS_HASH;
        }
    }

    /// The receiving port, as the device layer counts; `u16::MAX` in new frames.
    #[inline]
    pub fn port(&self) -> u16 {
        self.raw().port
    }

    /// Sets the receiving port.
    #[inline]
    pub fn set_port(&mut self, port: u16) {
        self.raw_mut().port = port;
    }
}
