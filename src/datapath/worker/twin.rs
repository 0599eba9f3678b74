//! Random rules, changes and packets: what a worker with caches sends is what the rules say, at every version.

use dpif::{Action, PortNo, RuleId};
use flow::extract::{Metadata, extract_flow};
use flow::layout::{ETH_DST, ETH_TYPE, IPV6_DST, NW_DST, NW_FRAG, NW_PROTO, NW_SRC, TP_DST, TP_SRC, VLAN_TCI};
use flow::{Mask, Match};
use packet::Frame;
use proptest::prelude::*;

use crate::Limits;
use crate::testkit::{Rig, matching, udp, winner};

/// A change between two rounds of packets.
#[derive(Clone, Debug)]
enum Op {
    Add {
        priority: i32,
        matching: Match,
        to: u32,
    },
    Remove(usize),
    Modify(usize, u32),
    Everything,
    Forget,
    Flush,
    /// Time passes, milliseconds.
    Pass(u64),
    /// A round of packets.
    Packets(Vec<Packet>),
}

#[derive(Clone, Debug)]
struct Packet {
    src: u32,
    dst: u32,
    port: u16,
    shape: u8,
}

impl Packet {
    fn frame(&self) -> Frame {
        let mut frame = udp(0x0a00_0000 | self.src, 0x0a00_0000 | self.dst, 1, self.port);
        let data = frame.data_mut();
        match self.shape {
            // a later fragment, a first one
            1 => data[20..22].copy_from_slice(&[0x20, 0x10]),
            2 => data[20..22].copy_from_slice(&[0x20, 0]),
            // a fragment whose header is malformed: no fragment bits in the key
            3 => data[14..22].copy_from_slice(&[0x4f, 0, 0, 46, 0, 0, 0x20, 0x10]),
            // ARP, an unknown type, 802.3
            4 => data[12..14].copy_from_slice(&[8, 6]),
            5 => data[12..14].copy_from_slice(&[0x99, 0x99]),
            6 => data[12..14].copy_from_slice(&[0, 46]),
            7 => data[12..14].copy_from_slice(&[0x86, 0xdd]),
            // a tagged frame, a runt, other addresses
            8 => {
                let tag = [0x81, 0, 0, self.port as u8 & 1];
                let rest = data.to_vec();
                let mut bytes = rest[..12].to_vec();
                bytes.extend(tag);
                bytes.extend(&rest[12..]);
                return Frame::from_slice(&bytes);
            }
            9 => return Frame::from_slice(&data[..10]),
            10 => data[0] = 6,
            // IPv6 with a UDP payload
            11 => {
                let mut bytes = data[..12].to_vec();
                bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64]);
                bytes.extend([0; 15]);
                bytes.push(self.src as u8);
                bytes.extend([0; 15]);
                bytes.push(self.dst as u8);
                bytes.extend([0, 1, 0, self.port as u8, 0, 8, 0, 0]);
                return Frame::from_slice(&bytes);
            }
            _ => {}
        }
        frame
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    (0..4u32, 0..4u32, 0..3u16, 0..24u8).prop_map(|(src, dst, port, shape)| Packet { src, dst, port, shape })
}

fn rule_match() -> impl Strategy<Value = Match> {
    let src = (0..4u128, prop_oneof![Just(0u128), Just(2), Just(3), Just(0xffff_ffff)]);
    let dst = (0..4u128, prop_oneof![Just(0u128), Just(1), Just(0xffff_ffff)]);
    let port = (0..3u128, prop_oneof![2 => Just(0u128), 1 => Just(0xffff)]);
    let kind =
        prop_oneof![4 => Just(0u8), 1 => Just(1), 1 => Just(2), 1 => Just(3), 1 => Just(4), 1 => Just(5), 1 => Just(6)];
    (src, dst, port, kind).prop_map(|((src, sm), (dst, dm), (port, pm), kind)| {
        let mut fields = vec![(NW_SRC, 0x0a00_0000 | src, sm), (NW_DST, 0x0a00_0000 | dst, dm), (TP_DST, port, pm)];
        match kind {
            1 => fields = vec![(ETH_TYPE, 0x0800, 0xffff)],
            2 => fields = vec![(VLAN_TCI, 0x1000, 0x1001)],
            3 => fields = vec![(NW_FRAG, 1, 1)],
            4 => fields = vec![(IPV6_DST, dst, 3)],
            5 => {
                fields = vec![
                    (ETH_TYPE, 0x0800, 0xffff),
                    (NW_PROTO, 17, 255),
                    (NW_SRC, 0x0a00_0000 | src, 0xffff_ffff),
                    (NW_DST, 0x0a00_0000 | dst, 0xffff_ffff),
                    (TP_SRC, 1, 0xffff),
                    (TP_DST, port, 0xffff),
                ];
            }
            6 => fields = vec![(ETH_DST, 0x0600_0000_0002, 0xffff_ffff_ffff)],
            _ => {}
        }
        matching(&fields)
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..4i32, rule_match(), 2..5u32).prop_map(|(priority, matching, to)| Op::Add { priority, matching, to }),
        3 => (0..8usize).prop_map(Op::Remove),
        2 => (0..8usize, 2..5u32).prop_map(|(i, to)| Op::Modify(i, to)),
        1 => Just(Op::Everything),
        1 => Just(Op::Forget),
        1 => Just(Op::Flush),
        1 => (1..3000u64).prop_map(Op::Pass),
        10 => prop::collection::vec(packet(), 1..60).prop_map(Op::Packets),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let megaflows = prop_oneof![Just(200_000usize), Just(3), Just(1)];
    let masks = prop_oneof![Just(64usize), Just(1), Just(2), Just(4)];
    let idle = prop_oneof![Just(10_000_000_000u64), Just(1_000_000)];
    (megaflows, masks, idle, 1..40u32, any::<u8>()).prop_map(|(megaflows, masks, max_idle, translations, off)| Limits {
        megaflows,
        masks,
        max_idle,
        translations,
        park: 512,
        caches: off % 8 != 0,
    })
}

fn out(to: u32) -> Vec<Action> {
    vec![Action::Output(PortNo(to))]
}

fn check(ops: &[Op], limits: Limits, wider: Mask) {
    let mut rig = Rig::new(4, limits);
    *rig.script.wider.lock().unwrap() = wider;
    let mut ids: Vec<RuleId> = Vec::new();
    let mut forwarded = 0;
    for op in ops {
        match op {
            Op::Add { priority, matching, to } => ids.push(rig.script.add(*priority, matching.clone(), out(*to))),
            Op::Remove(i) if *i < ids.len() => rig.script.remove(ids.remove(*i)),
            Op::Modify(i, to) if *i < ids.len() => rig.script.modify(ids[*i], out(*to)),
            Op::Everything => rig.script.everything(),
            Op::Forget => rig.script.forget(),
            Op::Flush => {
                rig.control.flush();
            }
            Op::Pass(ms) => {
                rig.now += std::time::Duration::from_millis(*ms);
                rig.step();
            }
            Op::Packets(packets) => {
                // the version is taken at the end of a step: from the next on, no packet may obey an older rule
                rig.step();
                let rules = rig.script.rules();
                let mut want: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 5];
                for p in packets {
                    let frame = p.frame();
                    if let Ok(flow) = extract_flow(frame.data(), 1, &Metadata::default())
                        && let Some(rule) = winner(&rules, &flow)
                        && let [Action::Output(to)] = rule.actions.as_slice()
                    {
                        want[to.0 as usize].push(frame.to_vec());
                        forwarded += 1;
                    }
                    rig.port(1).inject(frame);
                }
                rig.drain();
                rig.check_fates();
                for no in 2..=4 {
                    let mut got: Vec<Vec<u8>> = rig.port(no).take_all().iter().map(Frame::to_vec).collect();
                    // packets of different flows may change places when some had to wait
                    got.sort();
                    want[no as usize].sort();
                    assert_eq!(got, want[no as usize], "port {no}, rules {rules:?}");
                }
            }
            _ => {}
        }
    }
    let ticket = rig.control.collect();
    rig.wait(ticket);
    let counted: u64 = rig.script.counted();
    assert_eq!(counted, forwarded, "packets counted by rules");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn caches_obey_the_rules_of_the_version(
        ops in prop::collection::vec(op(), 1..40),
        limits in limits(),
        wide in prop::collection::vec((1..16usize, any::<u64>()), 0..3),
    ) {
        let mut wider = Mask::default();
        for (word, bits) in wide {
            wider.w[word] |= bits & bits.rotate_left(17);
        }
        check(&ops, limits, wider);
    }

    /// Many rules of one shape that looks at less than the megaflows do: the index by shared bits is made and used.
    #[test]
    fn rules_of_one_shape_come_and_go(
        ops in prop::collection::vec(
            prop_oneof![
                4 => (0..4i32, 0..4u128, 2..5u32).prop_map(|(priority, dst, to)| Op::Add {
                    priority,
                    matching: matching(&[(NW_DST, 0x0a00_0000 | dst, 0xffff_ffff)]),
                    to,
                }),
                3 => (0..8usize).prop_map(Op::Remove),
                4 => prop::collection::vec(packet(), 1..60).prop_map(Op::Packets),
            ],
            20..80,
        ),
        megaflows in prop_oneof![Just(200_000usize), Just(5)],
    ) {
        let mut wider = Mask::default();
        [NW_SRC, NW_DST, TP_DST].iter().for_each(|slot| wider.exact(*slot));
        check(&ops, Limits { megaflows, ..Limits::default() }, wider);
    }
}
