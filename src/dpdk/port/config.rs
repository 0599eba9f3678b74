//! What a port is to be like.
use packet::burst::BURST;

/// Settings of a port. The default is one queue each way and everything that the device does by itself switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive queues. The device may have fewer: [`super::Queues`] says what there is.
    pub rx_queues: u16,
    /// Transmit queues, one per worker as a rule. The device may have fewer.
    pub tx_queues: u16,
    /// Descriptors per receive queue, rounded to what the device can do.
    pub rx_descriptors: u16,
    /// Descriptors per transmit queue, rounded to what the device can do.
    pub tx_descriptors: u16,
    /// Longest payload of layer 2, bytes.
    pub mtu: u16,
    /// Ethernet address; None: the device's own.
    pub mac: Option<[u8; 6]>,
    /// Receive all frames. A switch wants that.
    pub promiscuous: bool,
    /// Spread flows over the receive queues by a hash of addresses and ports, when there are several.
    pub rss: bool,
    /// Learn of link changes by interrupt, where the device has it; otherwise the link is polled.
    pub link_interrupt: bool,
    /// Let the device check checksums on receive, where it can.
    pub rx_checksum: bool,
    /// Let the device make checksums on transmit, where it can.
    pub tx_checksum: bool,
    /// Let the device segment TCP, where it can. Implies `tx_checksum`.
    pub tso: bool,
    /// Let the device send frames of several segments, where it can. Some drivers send faster without.
    pub multi_segment: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        PortConfig {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 2048,
            tx_descriptors: 2048,
            mtu: 1500,
            mac: None,
            promiscuous: true,
            rss: true,
            link_interrupt: true,
            rx_checksum: true,
            tx_checksum: true,
            tso: true,
            multi_segment: true,
        }
    }
}

impl PortConfig {
    /// The setting that makes no sense whatever the device, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, &'static str)> {
        let burst = BURST as u16;
        match self {
            c if c.rx_queues == 0 => Some(("rx_queues", "must be at least 1")),
            c if c.tx_queues == 0 => Some(("tx_queues", "must be at least 1")),
            c if c.rx_descriptors < burst => Some(("rx_descriptors", "must be at least 32")),
            c if c.tx_descriptors < burst => Some(("tx_descriptors", "must be at least 32")),
            c if c.mtu < 68 => Some(("mtu", "must be at least 68 (RFC 791)")),
            c if c.mac.is_some_and(|m| m == [0; 6] || m[0] & 1 != 0) => Some(("mac", "must be a unicast address")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_no_device_can_do() {
        let d = PortConfig::default;
        let wrong = |config: PortConfig| config.wrong().map_or("", |(setting, _)| setting);
        assert_eq!(wrong(d()), "");
        assert_eq!(wrong(PortConfig { rx_queues: 0, ..d() }), "rx_queues");
        assert_eq!(wrong(PortConfig { tx_queues: 0, ..d() }), "tx_queues");
        assert_eq!(wrong(PortConfig { rx_descriptors: 31, ..d() }), "rx_descriptors");
        assert_eq!(wrong(PortConfig { tx_descriptors: 31, ..d() }), "tx_descriptors");
        assert_eq!(wrong(PortConfig { mtu: 67, ..d() }), "mtu");
        assert_eq!(wrong(PortConfig { mac: Some([1, 0, 0, 0, 0, 1]), ..d() }), "mac");
        assert_eq!(wrong(PortConfig { mac: Some([0; 6]), ..d() }), "mac");
        assert_eq!(wrong(PortConfig { mac: Some([2, 0, 0, 0, 0, 1]), ..d() }), "");
    }
}
