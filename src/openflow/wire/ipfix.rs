//! Counters of IPFIX (ovs-ofctl(8), "dump-ipfix-bridge" and "dump-ipfix-flow").
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::error::Result;

/// What an exporter counted: a bridge's, or that of flows that sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpfixStats {
    pub flows: u64,
    pub current_flows: u64,
    pub packets: u64,
    pub ipv4_packets: u64,
    pub ipv6_packets: u64,
    pub error_packets: u64,
    pub ipv4_errors: u64,
    pub ipv6_errors: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    /// Of flows' samples alone.
    pub collector_set: u32,
}

impl IpfixStats {
    fn counters(&mut self) -> [&mut u64; 10] {
        [
            &mut self.flows,
            &mut self.current_flows,
            &mut self.packets,
            &mut self.ipv4_packets,
            &mut self.ipv6_packets,
            &mut self.error_packets,
            &mut self.ipv4_errors,
            &mut self.ipv6_errors,
            &mut self.tx_packets,
            &mut self.tx_errors,
        ]
    }
}

pub fn read(b: &mut Bytes) -> Result<IpfixStats> {
    let mut s = IpfixStats::default();
    for n in s.counters() {
        *n = b.u64()?;
    }
    s.collector_set = b.u32()?;
    b.skip(4).map(|()| s)
}

pub fn write(out: &mut Vec<u8>, s: &IpfixStats) {
    let mut s = *s;
    s.counters().iter().for_each(|n| out.u64(**n));
    out.u32(s.collector_set);
    out.u32(0);
}
