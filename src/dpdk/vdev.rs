//! Devargs of DPDK's virtual Ethernet devices, for benches and tests: "NAME,key=value,…", the name unique in the
//! process.
use std::path::Path;

/// Generates zero-filled frames without end when polled, and swallows what is sent.
pub fn null(number: u32) -> String {
    format!("net_null{number}")
}

/// Swallows what is sent, and receives nothing: a sink that does not slow a forwarding loop by generating frames.
pub fn sink(number: u32) -> String {
    format!("net_null{number},no-rx=1")
}

/// Receives what is sent: a ring of 1,024 frames per queue.
pub fn ring(number: u32) -> String {
    format!("net_ring{number}")
}

/// Plays a capture file, once; swallows what is sent. The path must not hold a comma.
pub fn pcap(number: u32, file: &Path) -> String {
    format!("net_pcap{number},rx_pcap={}", file.display())
}

/// Plays a capture file without end, from memory: it must be shorter than the driver's ring. The path must not hold a
/// comma.
pub fn endless_pcap(number: u32, file: &Path) -> String {
    format!("net_pcap{number},rx_pcap={},infinite_rx=1", file.display())
}

/// The device's name in devargs: what is before the first comma.
pub fn name(devargs: &str) -> &str {
    devargs.split(',').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name("net_pcap0,rx_pcap=/x,infinite_rx=1"), "net_pcap0");
        assert_eq!(name("0000:03:00.0"), "0000:03:00.0");
        assert_eq!(endless_pcap(0, Path::new("/x")), "net_pcap0,rx_pcap=/x,infinite_rx=1");
    }
}
