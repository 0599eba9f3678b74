//! Order within a flow, when packets wait for translation: whatever waits, however little is translated in a step.

use dpif::{Action, PortNo, RecircId};
use flow::layout::{NW_SRC, RECIRC_ID, TP_DST};
use flow::{Mask, Match};
use packet::Frame;
use proptest::prelude::*;

use crate::Limits;
use crate::testkit::{Rig, matching, udp};

/// The `number`-th packet of a flow.
fn packet(flow: u32, dst: u16, number: u16) -> Frame {
    udp(flow, 2, number, dst)
}

/// Flow and number of each packet that port 2 sent, in order.
fn sent(rig: &Rig) -> Vec<(u32, u16)> {
    let read = |f: Frame| {
        let d = f.data();
        (u32::from_be_bytes([d[26], d[27], d[28], d[29]]), u16::from_be_bytes([d[34], d[35]]))
    };
    rig.port(2).take_all().into_iter().map(read).collect()
}

#[test]
fn a_flow_that_waits_behind_others_is_not_overtaken_by_its_own() {
    let mut rig = Rig::new(2, Limits { translations: 1, ..Limits::default() });
    rig.script.add(0, Match::default(), vec![Action::Output(PortNo(2))]);
    rig.script.wider.lock().unwrap().exact(NW_SRC);
    rig.steps(2);
    // the budget is 9's; 1 waits, 8 between its packets
    for (flow, number) in [(9, 0), (1, 0), (8, 0), (1, 1)] {
        rig.port(1).inject(packet(flow, 4, number));
    }
    rig.step();
    // 1 is translated, 8 is not, and here 1 goes on
    rig.port(1).inject(packet(1, 4, 2));
    rig.step();
    rig.drain();
    assert_eq!(sent(&rig), [(9, 0), (1, 0), (1, 1), (1, 2), (8, 0)]);
    assert_eq!(rig.control.workers().next().unwrap().2.translations.get(), 3);
    rig.check_fates();
}

#[derive(Clone, Debug)]
enum Op {
    Step,
    /// A burst of packets: flow and destination port.
    Packets(Vec<(u32, u16)>),
    Budget(u32),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Step),
        4 => prop::collection::vec((0..12u32, 0..4u16), 1..40).prop_map(Op::Packets),
        1 => (1..6u32).prop_map(Op::Budget),
        1 => Just(Op::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn flows_keep_their_order(ops in prop::collection::vec(op(), 1..40), park in 4..64usize, wide in any::<bool>()) {
        let mut rig = Rig::new(2, Limits { translations: 1, park, ..Limits::default() });
        let out = || vec![Action::Output(PortNo(2))];
        // some are looked up twice, and the second time by more than the first
        rig.script.add(3, matching(&[(RECIRC_ID, 5, 0xffff_ffff)]), out());
        rig.script.add(2, matching(&[(TP_DST, 1, 0xffff)]), vec![Action::Recirc(RecircId(5))]);
        rig.script.add(1, Match::default(), out());
        let mut mask = Mask::default();
        mask.set(NW_SRC, if wide { 0xffff_fffc } else { 0xffff_ffff });
        *rig.script.wider.lock().unwrap() = mask;
        rig.steps(2);
        let mut number = 0;
        for op in ops {
            match op {
                Op::Step => {
                    rig.step();
                }
                Op::Packets(packets) => {
                    for (flow, dst) in packets {
                        number += 1;
                        rig.port(1).inject(packet(flow << 8 | u32::from(dst), dst, number));
                    }
                    rig.step();
                }
                Op::Budget(translations) => {
                    rig.control.set_limits(Limits { translations, park, ..Limits::default() });
                }
                Op::Flush => rig.script.everything(),
            }
        }
        rig.drain();
        rig.check_fates();
        let mut last = std::collections::HashMap::new();
        for (flow, number) in sent(&rig) {
            let before = last.insert(flow, number).unwrap_or(0);
            prop_assert!(before < number, "flow {flow:x}: {number} after {before}");
        }
    }
}
