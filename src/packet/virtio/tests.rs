//! The header's places, and that metadata survives the way through it.

use super::*;
use crate::build::{self, Builder};
use crate::eth::MacAddr;
use crate::vlan::Tci;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn base() -> Builder {
    build::eth(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]))
}

fn v4() -> Builder {
    base().ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))
}

fn v6() -> Builder {
    base().vlan(Tci(7)).ipv6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST)
}

#[test]
fn each_field_is_where_it_belongs() {
    let bytes = [1, 4, 0x42, 0x01, 0xa8, 0x05, 0x22, 0, 0x10, 0, 0x03, 0x02, 99];
    let (value, rest) = Value::parse(&bytes, true).unwrap();
    assert_eq!((value.header.flags, value.header.gso_type), (NEEDS_CSUM, GSO_TCPV6));
    assert_eq!((value.header.hdr_len.get(), value.header.gso_size.get()), (322, 1448));
    assert_eq!((value.header.csum_start.get(), value.header.csum_offset.get()), (34, 16));
    assert_eq!((value.buffers, rest), (Some(0x203), &[99][..]));
    let (short, rest) = Value::parse(&bytes, false).unwrap();
    assert_eq!((short.header, short.buffers, rest.len()), (value.header, None, 3));
    for (value, len) in [(value, 12), (short, 10)] {
        assert_eq!(value.wire_len(), len);
        let mut out = [0xa5; 13];
        assert_eq!(value.emit(&mut out).unwrap().len(), 13 - len);
        assert_eq!(out[..len], bytes[..len]);
        for short in 0..len {
            assert!(Value::parse(&bytes[..short], len == 12).is_err());
            assert_eq!(value.emit(&mut out[..short]).map(|_| ()), Err(Error::NoRoom));
        }
    }
}

fn needs(gso_type: u8, gso_size: u16, start: u16, offset: u16) -> Header {
    Header {
        flags: NEEDS_CSUM,
        gso_type,
        hdr_len: 0.into(),
        gso_size: gso_size.into(),
        csum_start: start.into(),
        csum_offset: offset.into(),
    }
}

#[test]
fn metadata_from_headers() {
    let mut frame = v6().tcp(1, 2).payload(&[0; 3000]).frame().unwrap();
    apply(&mut frame, &needs(GSO_TCPV6 | GSO_ECN, 1440, 58, 16)).unwrap();
    let offload = frame.offload();
    assert_eq!((offload.segment, offload.l4_sum, offload.rx_l4), (Some(1440), L4Sum::Tcp, Checksum::None));
    assert_eq!((offload.l2_len, offload.l3_len, offload.l4_len), (18, 40, 20));
    assert!(!offload.ip_sum);
    let mut frame = v4().udp(1, 2).payload(&[0; 30]).frame().unwrap();
    apply(&mut frame, &needs(GSO_NONE, 0, 34, 6)).unwrap();
    assert_eq!(frame.offload().l4_sum, L4Sum::Udp);
    apply(&mut frame, &Header { flags: DATA_VALID, ..Header::default() }).unwrap();
    assert_eq!(frame.offload().rx_l4, Checksum::Good);
}

#[test]
fn contradictions_are_refused() {
    let tcp = v4().tcp(1, 2).payload(&[0; 3000]);
    let arp = base().arp(1, MacAddr::ZERO, Ipv4Addr::LOCALHOST, MacAddr::ZERO, Ipv4Addr::LOCALHOST);
    for (packet, header, error) in [
        (&tcp, needs(GSO_NONE, 0, 33, 16), Error::Length),
        (&tcp, needs(GSO_NONE, 0, 34, 6), Error::Length),
        (&tcp, needs(GSO_NONE, 0, 0xffff, 0xffff), Error::Length),
        (&tcp, needs(GSO_TCPV6, 1000, 34, 16), Error::Length),
        (&tcp, needs(GSO_TCPV4, 0, 34, 16), Error::Length),
        (&tcp, needs(GSO_UDP, 1000, 34, 16), Error::Unsupported),
        (&tcp, Header { flags: 0, ..needs(GSO_TCPV4, 1000, 34, 16) }, Error::Length),
        (&v4().udp(1, 2), needs(GSO_TCPV4, 1000, 34, 6), Error::Length),
        (&arp, needs(GSO_NONE, 0, 14, 16), Error::Length),
    ] {
        assert_eq!(apply(&mut packet.frame().unwrap(), &header), Err(error), "{header:?}");
    }
}

proptest! {
    #[test]
    fn there_and_back(six: bool, kind in 0..3usize, mss in prop::option::of(1..2000u16), len in 0..3000usize) {
        let packet = if six { v6() } else { v4() };
        let packet = match kind {
            0 => packet.tcp(1, 2),
            1 => packet.udp(1, 2),
            _ => packet.sctp(1, 2),
        };
        let l4_sum = [L4Sum::Tcp, L4Sum::Udp, L4Sum::Sctp][kind];
        let mut frame = packet.payload(&vec![0; len]).frame().unwrap();
        let segment = mss.filter(|_| kind == 0);
        frame.set_offload(Offload { segment, l4_sum, ..Offload::default() });
        let header = header_of(&frame).unwrap();
        let mut again = frame.try_clone().unwrap();
        again.set_offload(Offload::default());
        apply(&mut again, &header).unwrap();
        prop_assert_eq!((again.offload().segment, again.offload().l4_sum), (segment, l4_sum));
        prop_assert_eq!(header_of(&again).unwrap(), header);
    }
}

#[test]
fn what_a_guest_left_out_is_work_for_transmit() {
    let left = |frame: &mut Frame, lro, segment| {
        frame.set_offload(Offload { rx_l4: Checksum::None, lro, segment, ..Offload::default() });
        adopt(frame);
        frame.offload()
    };
    let mut tcp = v6().tcp(1, 2).payload(&[0; 3000]).frame().unwrap();
    let offload = left(&mut tcp, true, Some(1440));
    assert_eq!((offload.segment, offload.l4_sum, offload.lro), (Some(1440), L4Sum::Tcp, false));
    let offload = left(&mut tcp, false, Some(1440));
    assert_eq!((offload.segment, offload.l4_sum), (None, L4Sum::Tcp));
    let mut udp = v4().udp(1, 2).payload(&[0; 30]).frame().unwrap();
    let offload = left(&mut udp, true, Some(1440));
    assert_eq!((offload.segment, offload.l4_sum), (None, L4Sum::Udp));
    // headers that do not bear it out
    let mut other = Frame::from_slice(&[0xff; 60]);
    assert_eq!(left(&mut other, true, Some(9)), Offload::default());
    // nothing left out, nothing changed
    udp.set_offload(Offload { rx_l4: Checksum::Good, ..Offload::default() });
    adopt(&mut udp);
    assert_eq!(udp.offload(), Offload { rx_l4: Checksum::Good, ..Offload::default() });
}
