//! Frames, bursts, devices and wire formats: checked view and value each; checksums; offload metadata. Level 1.
//!
//! Bottom up: [`frame`] owns one packet (a DPDK mbuf or a heap block of the same layout) and its offload
//! metadata; [`burst`] holds up to 32 of them; [`device`] is what a port's queues implement. [`wire`] says what the
//! formats share, and each format is a module of its own, from [`eth`] up. [`checksum`] sums.
#![warn(missing_docs)]

#[expect(unsafe_code, reason = "slots are uninitialised until filled, by foreign code too")]
pub mod burst;
pub mod device;
#[expect(unsafe_code, reason = "owns raw memory that devices share the layout of")]
pub mod frame;

pub use burst::Burst;
pub use frame::Frame;
pub mod arp;
pub mod build;
pub mod checksum;
pub mod eth;
pub mod fuzz;
pub mod hex;
pub mod icmp;
pub mod icmpv6;
pub mod igmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod locate;
pub mod mpls;
pub mod nsh;
pub mod offload;
pub mod pcap;
pub mod pcapng;
pub mod print;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod virtio;
pub mod vlan;
pub mod wire;
