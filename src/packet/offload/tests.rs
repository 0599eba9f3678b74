//! Resolution against a reassembler and against a device that does the work the slow way.

use super::*;
use crate::build::{self, Builder};
use crate::eth::MacAddr;
use crate::ip::IpProto;
use crate::tcp::Flags;
use crate::wire::Wire;
use crate::{eth, ipv6, sctp, tcp, udp};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const HARDWARE: TxCaps = TxCaps { tso: false, max_frame: 9018, ..TxCaps::ALL };

/// What a device does with the metadata, by virtio's rule: sum what is there, field included.
fn device(frame: &Frame) -> Vec<u8> {
    let (mut bytes, offload) = (frame.to_vec(), frame.offload());
    if offload.l4_sum == L4Sum::None {
        return bytes;
    }
    let at = usize::from(offload.l2_len) + usize::from(offload.l3_len);
    let found = crate::locate::layers_of(&bytes, bytes.len()).unwrap();
    assert_eq!((at, Some(found.version)), (found.l4_at, offload.version), "metadata says where layer 4 is");
    match offload.l4_sum {
        L4Sum::Sctp => sctp::fill_checksum(&mut bytes[at..found.end]).unwrap(),
        sum => {
            let place = at + if sum == L4Sum::Tcp { 16 } else { 6 };
            let checksum = Sum::new().bytes(&bytes[at..found.end]);
            let checksum = if sum == L4Sum::Udp { checksum.finish_udp() } else { checksum.finish() };
            bytes[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
        }
    }
    bytes
}

/// A frame in as many segments as there are cuts and one.
fn chained(bytes: &[u8], cuts: &[prop::sample::Index]) -> Frame {
    let mut cuts: Vec<_> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut pieces = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]);
    // the first segment has room for headers, as those of pools and of the kernel have
    let mut frame = Frame::with_headroom(pieces.next().unwrap(), 600);
    for piece in pieces {
        frame.try_chain(Frame::with_headroom(piece, 0)).unwrap();
    }
    frame
}

/// Ethernet and IP of either version, with tags, options and extension headers.
fn network(tags: u8, v6: bool, extras: bool) -> Builder {
    let mut packet = build::eth(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    for tag in 0..tags {
        packet = if tag == 0 { packet.qinq(vlan::Tci(5)) } else { packet.vlan(vlan::Tci(6)) };
    }
    if v6 {
        packet = packet.ipv6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
        if extras {
            packet = packet
                .ext(ipv6::ext::Value::HopByHop(IpProto(0), vec![1, 4, 0, 0, 0, 0]))
                .ext(ipv6::ext::Value::Destination(IpProto(0), vec![1; 14]));
        }
        packet
    } else {
        packet.ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)).change(|layer| {
            if let build::Layer::Ipv4(v) = layer {
                v.ident = 0xfffe;
                v.options = if extras { vec![1; 8] } else { vec![] };
            }
        })
    }
}

fn transport(packet: Builder, kind: L4Sum, payload: &[u8]) -> Builder {
    match kind {
        L4Sum::Udp => packet.udp(1000, 2000),
        L4Sum::Sctp => packet.sctp(1000, 2000),
        _ => packet.tcp(1000, 2000),
    }
    .payload(payload)
}

fn one(resolved: Result<Resolved, Failure>) -> Frame {
    match resolved {
        Ok(Resolved::Frame(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

fn many(resolved: Result<Resolved, Failure>) -> Vec<Frame> {
    match resolved {
        Ok(Resolved::Segments(segments)) => {
            let promised = segments.remaining();
            let frames: Vec<_> = segments.map(Result::unwrap).collect();
            assert_eq!(frames.len(), promised);
            frames
        }
        other => panic!("{other:?}"),
    }
}

struct Parsed {
    ident: u16,
    header: Vec<u8>,
    tcp: tcp::Value,
    payload: Vec<u8>,
}

/// Reads a TCP packet with its own parsers and checks both checksums.
fn read(bytes: &[u8]) -> Parsed {
    let (ethertype, ip) = {
        let view = eth::View::parse(bytes).unwrap();
        view.inner()
    };
    let (pseudo, segment, ident, len) = if ethertype == EtherType::IPV4 {
        let view = ipv4::View::parse(ip).unwrap();
        assert!(view.checksum_ok(), "IPv4 header checksum");
        let len = view.payload.len() as u32;
        assert_eq!(view.header.header_len() + len as usize, ip.len(), "no padding");
        (Sum::pseudo_v4(view.src(), view.dst(), IpProto::TCP, len), view.payload, view.header.ident.get(), len)
    } else {
        let view = ipv6::View::parse(ip).unwrap();
        assert_eq!(view.payload.len() + 40, ip.len(), "no padding");
        let walk = view.extensions().unwrap();
        let len = walk.payload.len() as u32;
        (Sum::pseudo_v6(view.src(), view.dst(), IpProto::TCP, len), walk.payload, 0, len)
    };
    assert!(tcp::View::parse(segment).unwrap().checksum_ok(pseudo), "TCP checksum");
    let (tcp, payload) = tcp::Value::parse(segment).unwrap();
    let header = bytes[..bytes.len() - len as usize].to_vec();
    Parsed { ident, header, tcp, payload: payload.to_vec() }
}

#[test]
fn frames_without_work_pass() {
    let bytes = transport(network(0, false, false), L4Sum::Udp, &[1; 20]).bytes().unwrap();
    let frame = Frame::from_slice(&bytes);
    assert!(ready(&frame, &TxCaps::NONE));
    assert_eq!(one(resolve(frame, &TxCaps::NONE)).to_vec(), bytes);
    let long = Frame::from_slice(&[0; 1519]);
    assert!(!ready(&long, &TxCaps::NONE));
    assert_eq!(resolve(long, &TxCaps::NONE).err(), Some(Failure::TooLong));
    let mut chain = Frame::from_slice(&bytes[..50]);
    chain.try_chain(Frame::from_slice(&bytes[50..])).unwrap();
    assert!(!ready(&chain, &TxCaps::NONE) && ready(&chain, &HARDWARE));
    let linear = one(resolve(chain, &TxCaps::NONE));
    assert!(linear.is_linear() && linear.to_vec() == bytes);
}

#[test]
fn frames_whose_sum_the_device_makes_pass_as_they_are() {
    let passes_with = |offload: Offload, caps: &TxCaps| {
        let mut frame = transport(network(0, false, false), L4Sum::Tcp, &[1; 200]).frame().unwrap();
        frame.set_offload(offload);
        passes(&frame, caps)
    };
    let sum = |l4_sum| Offload { l4_sum, ..Offload::default() };
    let cannot = TxCaps { tcp_checksum: false, ..HARDWARE };
    assert!(passes_with(sum(L4Sum::Tcp), &HARDWARE) && !passes_with(sum(L4Sum::Tcp), &cannot));
    assert!(passes_with(sum(L4Sum::Udp), &cannot) && passes_with(sum(L4Sum::None), &TxCaps::NONE));
    // what is rare is looked at closely
    assert!(!passes_with(sum(L4Sum::Sctp), &TxCaps::ALL));
    assert!(!passes_with(Offload { segment: Some(100), ..sum(L4Sum::Tcp) }, &TxCaps::ALL));
    assert!(!passes_with(Offload { ip_sum: true, ..sum(L4Sum::Tcp) }, &TxCaps::ALL));
    assert!(!passes_with(sum(L4Sum::Tcp), &TxCaps { max_frame: 200, ..HARDWARE }));
}

#[test]
fn what_the_headers_contradict_is_malformed() {
    let ask = |packet: &Builder, offload: Offload| {
        let mut frame = packet.frame().unwrap();
        frame.set_offload(offload);
        resolve(frame, &TxCaps::NONE).err()
    };
    let sum = |l4_sum| Offload { l4_sum, ..Offload::default() };
    let packet = transport(network(1, false, false), L4Sum::Tcp, &[0; 100]);
    assert_eq!(ask(&packet, sum(L4Sum::Udp)), Some(Failure::Malformed));
    assert_eq!(ask(&packet, sum(L4Sum::Sctp)), Some(Failure::Malformed));
    assert_eq!(ask(&packet, sum(L4Sum::Tcp)), None);
    let fragment = packet.clone().fragment(ipv4::Fragment::new(0, true, false));
    assert_eq!(ask(&fragment, sum(L4Sum::Tcp)), Some(Failure::Malformed));
    let segment = |mss| Offload { segment: Some(mss), l4_sum: L4Sum::Tcp, ..Offload::default() };
    let udp = transport(network(0, true, false), L4Sum::Udp, &[0; 100]);
    assert_eq!(ask(&udp, segment(50)), Some(Failure::Malformed));
    assert_eq!(ask(&udp, Offload { outer_udp_sum: true, ..Offload::default() }), Some(Failure::Unsupported));
    let long = transport(network(0, true, false), L4Sum::Tcp, &[0; 2000]);
    assert_eq!(ask(&long, segment(1)), Some(Failure::TooMany));
    assert_eq!(ask(&long, segment(1500)), Some(Failure::TooLong));
    assert_eq!(ask(&packet, segment(1500)), None, "one segment is no segmentation");
}

#[test]
fn devices_that_segment_get_the_whole() {
    let packet = transport(network(1, false, true), L4Sum::Tcp, &[7; 9000]).without_sums();
    let mut frame = packet.frame().unwrap();
    frame.set_offload(Offload { segment: Some(1448), l4_sum: L4Sum::Tcp, ..Offload::default() });
    let caps = TxCaps { max_frame: 1518, ip_checksum: false, ..TxCaps::ALL };
    let out = one(resolve(frame, &caps));
    let offload = out.offload();
    assert_eq!((offload.segment, offload.l4_sum, offload.version), (Some(1448), L4Sum::Tcp, Some(Version::V4)));
    assert_eq!((offload.l2_len, offload.l3_len, offload.l4_len), (18, 28, 20));
    assert!(ipv4::View::parse(&out.data()[18..]).unwrap().checksum_ok());
    read(&device(&out));
}

#[test]
fn stripped_tags_go_back() {
    let bytes = transport(network(2, false, false), L4Sum::Udp, &[3; 9]).bytes().unwrap();
    let mut bare = bytes.clone();
    bare.drain(12..20);
    let mut frame = Frame::from_slice(&bare);
    frame.set_offload(Offload { vlan: Some(6), outer_vlan: Some(5), ..Offload::default() });
    restore_vlan(&mut frame, EtherType::VLAN).unwrap();
    assert_eq!(frame.to_vec(), bytes);
    assert_eq!(frame.offload(), Offload::default());
    restore_vlan(&mut frame, EtherType::VLAN).unwrap();
    assert_eq!(frame.to_vec(), bytes, "once only");
    let mut tight = Frame::with_headroom(&bare, 0);
    while tight.append(1).is_some() {}
    tight.set_offload(Offload { vlan: Some(6), ..Offload::default() });
    assert_eq!(restore_vlan(&mut tight, EtherType::VLAN), Err(Failure::NoBuffer));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// A packet whose sums were left out is, once resolved, the packet built with right sums.
    #[test]
    fn sums_as_built(
        tags in 0..3u8, v6: bool, extras: bool, kind in 0..3usize, payload in prop::collection::vec(any::<u8>(), 0..600),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4), hardware: bool, pad in 0..20usize,
    ) {
        let kind = [L4Sum::Tcp, L4Sum::Udp, L4Sum::Sctp][kind];
        let packet = transport(network(tags, v6, extras), kind, &payload);
        let mut want = packet.bytes().unwrap();
        want.resize(want.len() + pad, 0xee);
        let mut bytes = packet.without_sums().bytes().unwrap();
        if !v6 {
            let ip = 14 + 4 * usize::from(tags);
            bytes[ip + 10] ^= 0x55;
        }
        bytes.resize(bytes.len() + pad, 0xee);
        let mut frame = chained(&bytes, &cuts);
        frame.set_offload(Offload { l4_sum: kind, ip_sum: true, ..Offload::default() });
        let caps = if hardware { HARDWARE } else { TxCaps::NONE };
        let out = one(resolve(frame, &caps));
        prop_assert_eq!(out.has_tx_work(), hardware);
        prop_assert_eq!(device(&out), want);
        // and again: what is resolved stays
        let out = one(resolve(out, &TxCaps::NONE));
        prop_assert!(!out.has_tx_work() && out.is_linear());
    }

    /// Segments, put together again, are the packet; each is right by itself.
    #[test]
    fn segments_reassemble(
        tags in 0..3u8, v6: bool, extras: bool, payload in prop::collection::vec(any::<u8>(), 1..4000), mss in 4..1400u16,
        flags in 0..0x200u16, seq: u32, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4), hardware: bool,
        options: bool,
    ) {
        let packet = transport(network(tags, v6, extras), L4Sum::Tcp, &payload).change(|layer| {
            if let build::Layer::Tcp(v) = layer {
                v.flags = Flags(flags);
                v.seq = seq;
                v.options = if options { vec![1; 12] } else { vec![] };
            }
        });
        let whole = read(&packet.bytes().unwrap());
        let mut frame = chained(&packet.without_sums().bytes().unwrap(), &cuts);
        frame.set_port(9);
        frame.set_offload(Offload { l4_sum: L4Sum::Tcp, segment: Some(mss), vlan: Some(3), ..Offload::default() });
        let caps = if hardware { HARDWARE } else { TxCaps::NONE };
        let resolved = resolve(frame, &caps);
        if payload.len() <= usize::from(mss) {
            let out = one(resolved);
            let parsed = read(&device(&out));
            prop_assert_eq!((parsed.tcp, parsed.payload), (whole.tcp, payload));
            return Ok(());
        }
        let frames = many(resolved);
        let mut got = vec![];
        for (i, frame) in frames.iter().enumerate() {
            let (first, last) = (i == 0, i + 1 == frames.len());
            prop_assert_eq!((frame.port(), frame.offload().vlan), (9, Some(3)), "metadata is kept");
            prop_assert_eq!(frame.has_tx_work(), hardware);
            prop_assert!(ready(frame, &caps) || hardware);
            let parsed = read(&device(frame));
            prop_assert_eq!(parsed.tcp.seq, seq.wrapping_add(got.len() as u32));
            prop_assert_eq!(parsed.ident, if v6 { 0 } else { 0xfffeu16.wrapping_add(i as u16) });
            let mut want = Flags(flags);
            if !first {
                want = want.without(Flags::CWR);
            }
            if !last {
                want = want.without(Flags::FIN).without(Flags::PSH);
            }
            prop_assert_eq!(parsed.tcp.flags, want);
            prop_assert_eq!(parsed.payload.len() == usize::from(mss) || last, true);
            let same = tcp::Value { seq, flags: Flags(flags), ..parsed.tcp };
            prop_assert_eq!(&same, &whole.tcp, "all else is the original's");
            prop_assert_eq!(&parsed.header[..12], &whole.header[..12]);
            prop_assert_eq!(parsed.header.len(), whole.header.len());
            got.extend(parsed.payload);
        }
        prop_assert_eq!(got, payload);
    }

    /// UDP whose sum comes to zero is sent with ones.
    #[test]
    fn udp_sums_are_never_zero(payload: [u8; 4]) {
        let packet = network(0, false, false).udp(1, 2);
        // two bytes that bring the sum to zero: the checksum with zeros in their place
        let bytes = packet.clone().payload(&[&payload[..], &[0, 0]].concat()).bytes().unwrap();
        let fix = [bytes[40], bytes[41]];
        let payload = [&payload[..], &fix].concat();
        let mut frame = packet.payload(&payload).without_sums().frame().unwrap();
        frame.set_offload(Offload { l4_sum: L4Sum::Udp, ..Offload::default() });
        let out = one(resolve(frame, &TxCaps::NONE)).to_vec();
        prop_assert_eq!(&out[40..42], &[0xff, 0xff]);
        let ip = ipv4::View::parse(&out[14..]).unwrap();
        let pseudo = Sum::pseudo_v4(ip.src(), ip.dst(), IpProto::UDP, ip.payload.len() as u32);
        prop_assert!(udp::View::parse(ip.payload).unwrap().checksum_ok(pseudo));
    }
}
