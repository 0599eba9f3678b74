//! Entry points for fuzzing: one per format, each taking any bytes, and one for all that can be done with a frame.
//!
//! None may panic, whatever the bytes. What is parsed is written again and must read the same: for formats whose
//! emission is exact up to checksums and reserved bits.

use crate::checksum::Sum;
use crate::device::TxCaps;
use crate::eth::EtherType;
use crate::frame::{L4Sum, Offload, Version};
use crate::offload::{Resolved, resolve, restore_vlan};
use crate::wire::Wire;
use crate::{
    Frame, arp, eth, hex, icmp, icmpv6, igmp, ip::IpProto, ipv4, ipv6, locate, mpls, nsh, pcap, print, sctp, tcp, udp,
    virtio, vlan,
};

/// A target: its name, which is the corpus folder's, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("eth", |b| {
        again::<eth::Value>(b);
        let _ = eth::View::parse(b).map(|view| view.inner());
    }),
    ("vlan", |b| {
        again::<vlan::Value>(b);
        vlan::tags(EtherType::VLAN, b).for_each(drop);
    }),
    ("mpls", again::<mpls::Value>),
    ("arp", again::<arp::Value>),
    ("ipv4", |b| {
        again::<ipv4::Value>(b);
        if let Ok(view) = ipv4::View::parse(b) {
            view.options().for_each(drop);
            view.checksum_ok();
        }
        let _ = ipv4::fill_checksum(&mut b.to_vec());
    }),
    ("ipv6", |b| {
        again::<ipv6::Value>(b);
        let _ = ipv6::View::parse(b).map(|view| view.extensions().map(|_| ()));
    }),
    ("ipv6_ext", |b| {
        if let [proto, rest @ ..] = b {
            let _ = ipv6::ext::walk(IpProto(*proto), rest);
            let _ =
                ipv6::ext::Value::parse(IpProto(*proto), rest).map(|(v, _)| v.emit(&mut vec![0; v.wire_len()]).is_ok());
        }
    }),
    ("tcp", |b| {
        again::<tcp::Value>(b);
        if let Ok(view) = tcp::View::parse(b) {
            view.options().for_each(drop);
            view.checksum_ok(Sum::new());
        }
        let _ = tcp::fill_checksum(&mut b.to_vec(), Sum::new());
    }),
    ("udp", |b| {
        again::<udp::Value>(b);
        let _ = udp::View::parse(b).map(|view| view.checksum_ok(Sum::new()));
    }),
    ("sctp", |b| {
        again::<sctp::Value>(b);
        let _ = sctp::View::parse(b).map(|view| (view.checksum_ok(), view.chunks().count()));
    }),
    ("icmp", |b| {
        again::<icmp::Value>(b);
        let _ = icmp::View::parse(b).map(|view| (view.is_error(), view.checksum_ok(Sum::new())));
    }),
    ("nd", |b| {
        again::<icmpv6::nd::Value>(b);
        icmpv6::nd::options(b).for_each(drop);
    }),
    ("igmp", |b| {
        again::<igmp::Value>(b);
        let _ = igmp::View::parse(b).map(|view| (view.checksum_ok(), view.records().count()));
    }),
    ("nsh", |b| {
        again::<nsh::Value>(b);
        let _ = nsh::View::parse(b).map(|view| (view.context(), view.tlvs().count()));
    }),
    ("virtio", |b| {
        for long in [false, true] {
            if let Ok((value, rest)) = virtio::Value::parse(b, long) {
                let mut frame = Frame::from_slice(rest);
                if virtio::apply(&mut frame, &value.header).is_ok() {
                    let _ = virtio::header_of(&frame);
                    egress(frame);
                }
            }
        }
    }),
    ("frame", frame),
    ("pcap", |b| {
        if let Ok(reader) = pcap::Reader::new(b) {
            reader.for_each(drop);
        }
    }),
    ("hex", |b| {
        let _ = hex::parse(&String::from_utf8_lossy(b));
    }),
];

/// Parses, writes and parses again.
fn again<V: Wire + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok((value, _)) = V::parse(bytes)
        && let Ok(mut out) = value.to_bytes()
    {
        // room for the payload that the value states
        out.resize(bytes.len().max(out.len()), 0);
        let read = V::parse(&out);
        assert_eq!(read.map(|(value, _)| value), Ok(value));
    }
}

/// Everything that is done with a received frame; the first two bytes choose metadata and segments.
fn frame(bytes: &[u8]) {
    let [choice, cut, rest @ ..] = bytes else { return };
    let _ = print::Summary(rest).to_string();
    let _ = locate::layers_of(rest, rest.len());
    let (first, second) = rest.split_at(usize::from(*cut).min(rest.len()));
    let mut frame = Frame::from_slice(first);
    if choice & 1 != 0 {
        let _ = frame.try_chain(Frame::with_headroom(second, 0));
    }
    let l4_sum = match choice >> 1 & 3 {
        0 => L4Sum::None,
        1 => L4Sum::Tcp,
        2 => L4Sum::Udp,
        _ => L4Sum::Sctp,
    };
    let segment = (choice & 8 != 0).then_some(u16::from(*cut) + 1);
    let version = Some(Version::V4);
    let vlan = (choice & 16 != 0).then_some(7);
    frame.set_offload(Offload { ip_sum: true, l4_sum, segment, version, vlan, ..Offload::default() });
    let _ = restore_vlan(&mut frame, EtherType::VLAN);
    vlan::pop(&mut frame);
    let _ = virtio::header_of(&frame);
    egress(frame);
}

fn egress(frame: Frame) {
    for caps in [TxCaps::NONE, TxCaps::ALL, TxCaps { multi_segment: true, max_frame: 9000, ..TxCaps::NONE }] {
        let Some(copy) = frame.try_clone() else { return };
        // padding behind the datagram is not carried along
        let end = locate::layers_of(&copy.to_vec(), copy.len()).map_or(0, |found| found.end);
        match resolve(copy, &caps) {
            Ok(Resolved::Frame(frame)) => assert!(frame.len() <= caps.max_frame as usize || frame.has_tx_work()),
            Ok(Resolved::Segments(segments)) => {
                let (mut sum, mut whole) = (0, true);
                for made in segments {
                    let len = made.as_ref().map_or(0, Frame::len);
                    assert!(len <= caps.max_frame as usize);
                    whole &= made.is_ok();
                    sum += len;
                }
                assert!(!whole || sum >= end, "payload was lost");
            }
            Err(_) => {}
        }
    }
}
