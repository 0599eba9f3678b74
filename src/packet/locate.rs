//! Where a frame's layers are: what checksum and segmentation offload need to know. Tags, LLC aside, MPLS aside.
//!
//! Reads the first segment only; the headers of a chained frame are made linear before.
#![deny(clippy::indexing_slicing)]

use crate::Frame;
use crate::checksum::Sum;
use crate::eth::{self, EtherType};
use crate::frame::{L4Sum, Offload, Version};
use crate::ip::{FragmentKind, IpProto};
use crate::wire::split;
use crate::{ipv4, ipv6, tcp, vlan};
use std::net::IpAddr;

/// Layer 4 of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4 {
    /// TCP with so many bytes of header.
    Tcp {
        /// Bytes of the header with options.
        header: u8,
    },
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMPv6, whose checksum covers the pseudo header too.
    Icmpv6,
    /// Another, or a fragment, whose layer 4 can't be summed.
    Other,
}

/// Where the layers of an IP packet are, bytes from the frame's start. Headers up to layer 4's are in the first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The IP header.
    pub l3_at: usize,
    /// The layer 4 header.
    pub l4_at: usize,
    /// End of the packet by the IP header's length; what follows is padding. At most the frame's length, except where
    /// the IP length is 0 (packets to be segmented that are longer than 16 bits say): then the frame's length.
    pub end: usize,
    /// Version of IP.
    pub version: Version,
    /// Layer 4.
    pub l4: L4,
    /// Protocol number of layer 4.
    pub proto: IpProto,
    /// Addresses as the pseudo header has them.
    pub src: IpAddr,
    /// See `src`; with a routing header that has segments left, the final destination.
    pub dst: IpAddr,
}

impl Layers {
    /// Bytes of the layer 4 header.
    pub fn l4_len(&self) -> usize {
        match self.l4 {
            L4::Tcp { header } => header.into(),
            L4::Udp | L4::Icmpv6 => 8,
            L4::Sctp => 12,
            L4::Other => 0,
        }
    }

    /// The pseudo header for layer 4 with payload of `len` bytes.
    pub fn pseudo(&self, len: usize) -> Sum {
        Sum::pseudo(self.src, self.dst, self.proto, len as u32)
    }

    /// Puts lengths and versions into metadata, as devices that resolve it want them.
    pub fn describe(&self, offload: &mut Offload) {
        offload.version = Some(self.version);
        offload.l2_len = self.l3_at.min(0x7f) as u8;
        offload.l3_len = (self.l4_at - self.l3_at).min(0x1ff) as u16;
        offload.l4_len = self.l4_len() as u8;
        if offload.segment.is_some() {
            offload.l4_sum = L4Sum::Tcp;
            offload.ip_sum = self.version == Version::V4;
        }
    }
}

/// Finds the layers of a frame; None where there is no well-formed IP packet with whole headers in the first segment.
pub fn layers(frame: &Frame) -> Option<Layers> {
    layers_of(frame.data(), frame.len())
}

/// The same for bytes that are the beginning of a frame of `len` bytes.
pub fn layers_of(data: &[u8], len: usize) -> Option<Layers> {
    let view = eth::View::parse(data).ok()?;
    let mut tags = vlan::tags(view.ethertype(), view.payload);
    tags.by_ref().for_each(drop);
    let (ethertype, bytes) = tags.rest();
    let l3_at = data.len() - bytes.len();
    match ethertype {
        EtherType::IPV4 => v4(bytes, l3_at, len),
        EtherType::IPV6 => v6(bytes, l3_at, len),
        _ => None,
    }
}

fn v4(bytes: &[u8], l3_at: usize, len: usize) -> Option<Layers> {
    let (header, _) = split::<ipv4::Header>(bytes).ok()?;
    let header_len = header.header_len();
    let total = match usize::from(header.total_len.get()) {
        0 => len.checked_sub(l3_at)?,
        total => total,
    };
    if header.version_ihl >> 4 != 4 || header_len < ipv4::HEADER_LEN || total < header_len || l3_at + total > len {
        return None;
    }
    let whole = ipv4::Fragment(header.fragment.get()).kind() == FragmentKind::No;
    let proto = IpProto(header.proto);
    let rest = bytes.get(header_len..)?;
    Some(Layers {
        l3_at,
        l4_at: l3_at + header_len,
        end: l3_at + total,
        version: Version::V4,
        l4: l4(proto, rest, whole, total - header_len)?,
        proto,
        src: IpAddr::from(header.src),
        dst: IpAddr::from(header.dst),
    })
}

fn v6(bytes: &[u8], l3_at: usize, len: usize) -> Option<Layers> {
    let (header, rest) = split::<ipv6::Header>(bytes).ok()?;
    let available = len.checked_sub(l3_at + ipv6::HEADER_LEN)?;
    let payload = match usize::from(header.payload_len.get()) {
        0 => available,
        payload => payload,
    };
    if header.version_class_label.get() >> 28 != 6 || payload > available {
        return None;
    }
    // the first segment may hold padding behind a short packet, or less than the packet
    let rest = rest.get(..payload).unwrap_or(rest);
    let walk = ipv6::ext::walk(IpProto(header.next), rest).ok()?;
    let dst = match walk.final_dst_at {
        Some(at) => <[u8; 16]>::try_from(rest.get(at..at + 16)?).ok()?,
        None => header.dst,
    };
    Some(Layers {
        l3_at,
        l4_at: l3_at + ipv6::HEADER_LEN + walk.len,
        end: l3_at + ipv6::HEADER_LEN + payload,
        version: Version::V6,
        l4: l4(walk.proto, walk.payload, walk.kind() == FragmentKind::No, payload - walk.len)?,
        proto: walk.proto,
        src: IpAddr::from(header.src),
        dst: IpAddr::from(dst),
    })
}

/// Layer 4 at the start of `bytes`, of which `len` belong to the packet; None where its header is cut short.
fn l4(proto: IpProto, bytes: &[u8], whole: bool, len: usize) -> Option<L4> {
    if !whole {
        return Some(L4::Other);
    }
    let (kind, header) = match proto {
        IpProto::TCP => {
            let (header, _) = split::<tcp::Header>(bytes).ok()?;
            let header = header.header_len();
            if header < tcp::HEADER_LEN {
                return None;
            }
            (L4::Tcp { header: header as u8 }, header)
        }
        IpProto::UDP => (L4::Udp, 8),
        IpProto::SCTP => (L4::Sctp, 12),
        IpProto::ICMPV6 => (L4::Icmpv6, 8),
        _ => return Some(L4::Other),
    };
    (header <= len && header <= bytes.len()).then_some(kind)
}
