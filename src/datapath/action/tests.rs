//! Rewrites against the flow: what extraction says of the frame afterwards is the flow with the fields set, and the
//! checksums are right.

use dpif::Set;
use dpif::action::Ports;
use flow::extract::{Metadata, extract_flow};
use flow::layout::*;
use flow::{Flow, Slot};
use packet::Frame;
use packet::checksum::crc32c;
use proptest::prelude::*;

use super::{Done, apply, l2};
use crate::meta::Meta;

fn flow(frame: &Frame) -> Flow {
    extract_flow(frame.data(), 0, &Metadata { vlan_limit: 2, ..Metadata::default() }).unwrap()
}

fn sum(words: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = words.concat();
    let s = bytes.chunks(2).fold(0u32, |s, c| s + (u32::from(c[0]) << 8 | c.get(1).map_or(0, |b| u32::from(*b))));
    let s = (s & 0xffff) + (s >> 16);
    !(((s & 0xffff) + (s >> 16)) as u16)
}

/// Where the IP header is, and whether it is IPv6.
fn ip(data: &[u8]) -> (usize, bool) {
    let mut at = 12;
    while [data[at], data[at + 1]] == [0x81, 0] {
        at += 4;
    }
    (at + 2, [data[at], data[at + 1]] == [0x86, 0xdd])
}

/// The checksums as they have to be: of the IPv4 header and of the transport.
fn sums_are_right(frame: &Frame) -> bool {
    let data = frame.data();
    let (at, v6) = ip(data);
    let (l4, proto, end) = if v6 {
        (at + 40, data[at + 6], at + 40 + usize::from(u16::from_be_bytes([data[at + 4], data[at + 5]])))
    } else {
        (at + 20, data[at + 9], at + usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]])))
    };
    let payload = &data[l4..end];
    let addresses = if v6 { &data[at + 8..at + 40] } else { &data[at + 12..at + 20] };
    let len = (payload.len() as u32).to_be_bytes();
    let header = v6 || sum(&[&data[at..at + 20]]) == 0;
    let transport = match proto {
        132 => {
            let mut copy = payload.to_vec();
            copy[8..12].fill(0);
            crc32c([copy.as_slice()]).to_le_bytes() == payload[8..12]
        }
        1 => sum(&[payload]) == 0,
        17 if !v6 && payload[6..8] == [0, 0] => true,
        17 if payload[6..8] == [0, 0] => false,
        _ => sum(&[addresses, &len, &[0, 0, 0, proto], payload]) == 0,
    };
    header && transport
}

/// A frame with right checksums: tags, IP version, protocol, addresses and payload from `seed`.
fn frame(tags: usize, v6: bool, proto: u8, seed: u64) -> Frame {
    let noise = |n: usize, k: u64| -> Vec<u8> {
        (0..n as u64)
            .map(|i| (seed ^ k).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32 * 7) as u8 | 1)
            .collect()
    };
    let mut l4 = noise(if proto == 6 { 20 } else { 16 }, 3);
    match proto {
        6 => l4[12] = 0x50,
        17 => l4[4..6].copy_from_slice(&30u16.to_be_bytes()),
        58 => l4[..2].copy_from_slice(&[128, 0]),
        _ => {}
    }
    let mut l4: Vec<u8> = l4.into_iter().chain(noise(14, 4)).collect();
    let at = match proto {
        6 => 16,
        17 => 6,
        132 => 8,
        _ => 2,
    };
    l4[at..at + 2].fill(0);
    let addresses = noise(if v6 { 32 } else { 8 }, 5);
    let len = (l4.len() as u32).to_be_bytes();
    let check = match proto {
        132 => {
            l4[8..12].fill(0);
            crc32c([l4.as_slice()]).to_le_bytes().to_vec()
        }
        1 => sum(&[&l4]).to_be_bytes().to_vec(),
        _ => sum(&[&addresses, &len, &[0, 0, 0, proto], &l4]).to_be_bytes().to_vec(),
    };
    l4[at..at + check.len()].copy_from_slice(&check);
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in 0..tags {
        bytes.extend([0x81, 0, 0x20, 5 + tag as u8]);
    }
    if v6 {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, l4.len() as u8, proto, 64]);
    } else {
        let mut header = vec![0x45, 0, 0, 20 + l4.len() as u8, 0, 1, 0x40, 0, 64, proto, 0, 0];
        header.extend(&addresses);
        let s = sum(&[&header]).to_be_bytes();
        header[10..12].copy_from_slice(&s);
        header.truncate(12);
        bytes.extend([8, 0]);
        bytes.extend(header);
    }
    bytes.extend(&addresses);
    bytes.extend(&l4);
    // padding that no checksum covers
    bytes.extend([0xaa; 6]);
    Frame::from_slice(&bytes)
}

fn set(frame: &mut Frame, set: &Set) -> Done {
    apply(set, frame, &mut Meta::default())
}

fn put(flow: &mut Flow, slot: Slot, value: u128, mask: u128) {
    flow.set(slot, flow.get(slot) & !mask | value & mask);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn addresses_and_ports(
        (tags, v6, kind, seed) in (0..3usize, any::<bool>(), 0..4usize, any::<u64>()),
        (src, src_mask, dst, dst_mask) in (any::<u128>(), any::<u128>(), any::<u128>(), any::<u128>()),
        (tos, tos_mask, ttl, ttl_mask) in (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()),
        (sport, sport_mask, dport, dport_mask) in (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>()),
        mac in any::<([u8; 6], [u8; 6], [u8; 6], [u8; 6])>(),
    ) {
        let proto = [6, 17, 132, if v6 { 58 } else { 1 }][kind];
        let mut f = frame(tags, v6, proto, seed);
        prop_assert!(sums_are_right(&f));
        let mut want = flow(&f);
        let number = |m: [u8; 6]| m.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
        let (a, am, b, bm) = mac;
        set(&mut f, &Set::Eth { src: a, src_mask: am, dst: b, dst_mask: bm }).unwrap();
        put(&mut want, ETH_SRC, number(a), number(am));
        put(&mut want, ETH_DST, number(b), number(bm));
        if v6 {
            let (label, label_mask) = (src as u32 & 0xf_ffff, dst_mask as u32 & 0xf_ffff);
            let s = Set::Ipv6 {
                src, src_mask, dst, dst_mask, label, label_mask,
                tclass: tos, tclass_mask: tos_mask, hlimit: ttl, hlimit_mask: ttl_mask,
            };
            set(&mut f, &s).unwrap();
            put(&mut want, IPV6_SRC, src, src_mask);
            put(&mut want, IPV6_DST, dst, dst_mask);
            put(&mut want, IPV6_LABEL, u128::from(label), u128::from(label_mask));
        } else {
            let (src, src_mask, dst, dst_mask) = (src as u32, src_mask as u32, dst as u32, dst_mask as u32);
            set(&mut f, &Set::Ipv4 { src, src_mask, dst, dst_mask, tos, tos_mask, ttl, ttl_mask }).unwrap();
            put(&mut want, NW_SRC, src.into(), src_mask.into());
            put(&mut want, NW_DST, dst.into(), dst_mask.into());
        }
        put(&mut want, NW_TOS, tos.into(), tos_mask.into());
        put(&mut want, NW_TTL, ttl.into(), ttl_mask.into());
        let ports = Ports { src: sport, src_mask: sport_mask, dst: dport, dst_mask: dport_mask };
        let all = [Set::Tcp(ports), Set::Udp(ports), Set::Sctp(ports)];
        if let Some(own) = all.get(kind) {
            set(&mut f, own).unwrap();
            put(&mut want, TP_SRC, sport.into(), sport_mask.into());
            put(&mut want, TP_DST, dport.into(), dport_mask.into());
        } else {
            let (kind, code) = (sport as u8, 0);
            set(&mut f, &Set::Icmp { kind, kind_mask: if v6 { 0 } else { 255 }, code, code_mask: 0 }).unwrap();
            if !v6 {
                put(&mut want, TP_SRC, kind.into(), 255);
            }
        }
        for other in all.iter().enumerate().filter(|(i, _)| *i != kind).map(|(_, s)| s) {
            prop_assert!(set(&mut f, other).is_err());
        }
        prop_assert_eq!(flow(&f), want);
        prop_assert!(sums_are_right(&f));
        prop_assert!(f.data().ends_with(&[0xaa; 6]));
    }

    #[test]
    fn tags_come_and_go(tags in 0..3usize, tci in any::<u16>(), mask in any::<u16>(), seed in any::<u64>()) {
        let mut f = frame(tags, false, 17, seed);
        let before = f.to_vec();
        l2::push_vlan(&mut f, 0x88a8, tci | 0x1000).unwrap();
        let mut want = before[..12].to_vec();
        want.extend([0x88, 0xa8]);
        want.extend((tci & !0x1000).to_be_bytes());
        want.extend(&before[12..]);
        prop_assert_eq!(f.to_vec(), want);
        // a tag that came with the DEI bit
        f.data_mut()[14] |= 0x10;
        l2::set_vlan(&mut f, !tci, mask).unwrap();
        let now = u16::from_be_bytes([f.data()[14], f.data()[15]]);
        prop_assert_eq!(now, (tci & !mask | !tci & mask) & !0x1000);
        l2::pop_vlan(&mut f).unwrap();
        prop_assert_eq!(f.to_vec(), before.clone());
        // labels go between tags and what they carry
        l2::push_mpls(&mut f, 0x0001_21ff, 0x8847, 2).unwrap();
        prop_assert_eq!(flow(&f).get(MPLS0), 0x0001_21ff);
        l2::set_mpls(&mut f, 0xffff_ffff, 0x0000_0e00).unwrap();
        prop_assert_eq!(flow(&f).get(MPLS0), 0x0001_2fff);
        l2::pop_mpls(&mut f, 0x0800).unwrap();
        prop_assert_eq!(f.to_vec(), before);
    }

    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        kind in prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806, 0x8847, 0x894f, 0x8100]),
        proto in prop::sample::select(vec![0u8, 1, 6, 17, 43, 44, 51, 58, 60, 132]),
    ) {
        let mut bytes = bytes;
        if bytes.len() > 24 {
            bytes[12..14].copy_from_slice(&kind.to_be_bytes());
            bytes[14] = if kind == 0x0800 { 0x45 } else { 0x60 };
            bytes[if kind == 0x0800 { 23 } else { 20 }] = proto;
        }
        let all = u128::MAX;
        let ports = Ports { src: 1, src_mask: 0xffff, dst: 2, dst_mask: 0xffff };
        let sets = [
            Set::Eth { src: [1; 6], src_mask: [255; 6], dst: [2; 6], dst_mask: [255; 6] },
            Set::Vlan { tci: 1, mask: 0xffff },
            Set::Mpls { lse: 1, mask: u32::MAX },
            Set::Ipv4 { src: 1, src_mask: !0, dst: 2, dst_mask: !0, tos: 3, tos_mask: !0, ttl: 4, ttl_mask: !0 },
            Set::Ipv6 {
                src: 1, src_mask: all, dst: 2, dst_mask: all, label: 3, label_mask: !0, tclass: 4, tclass_mask: !0,
                hlimit: 5, hlimit_mask: !0,
            },
            Set::Tcp(ports),
            Set::Udp(ports),
            Set::Sctp(ports),
            Set::Icmp { kind: 1, kind_mask: !0, code: 2, code_mask: !0 },
            Set::Arp {
                op: 1, op_mask: !0, spa: 2, spa_mask: !0, tpa: 3, tpa_mask: !0, sha: [4; 6], sha_mask: [255; 6],
                tha: [5; 6], tha_mask: [255; 6],
            },
            Set::Nd { target: 1, target_mask: all, sll: [2; 6], sll_mask: [255; 6], tll: [3; 6], tll_mask: [255; 6] },
            Set::Nsh {
                flags: 1, flags_mask: !0, ttl: 2, ttl_mask: !0, path: 3, path_mask: !0, context: [4; 4],
                context_mask: [!0; 4],
            },
        ];
        for s in &sets {
            let mut f = Frame::from_slice(&bytes);
            let _ = set(&mut f, s);
            prop_assert_eq!(f.len(), bytes.len());
        }
        let mut f = Frame::from_slice(&bytes);
        let _ = l2::pop_vlan(&mut f);
        let _ = l2::push_mpls(&mut f, 1, 0x8847, 1);
        let _ = l2::push_vlan(&mut f, 0x8100, 0x1001);
        let _ = l2::pop_mpls(&mut f, 0x0800);
    }
}
