//! Whole workers on dummy ports and a scripted pipeline: caches against none, changes, limits, accounting.

use dpif::{Action, DropReason, PortNo};
use flow::Match;
use flow::layout::{IN_PORT, NW_DST, NW_SRC, TP_DST};

use crate::Limits;
use crate::testkit::{Rig, matching, udp};

#[test]
fn one_rule_forwards_everything_and_translates_once() {
    let mut rig = Rig::new(2, Limits::default());
    rig.script.add(1, matching(&[(IN_PORT, 1, 0xffff_ffff)]), vec![Action::Output(PortNo(2))]);
    rig.steps(2);
    for i in 0..1000 {
        rig.port(1).inject(udp(i, 2, i as u16, 4));
    }
    rig.drain();
    assert_eq!(rig.port(2).take_all().len(), 1000);
    assert_eq!(rig.control.totals().forwarded, 1000);
    let w = &rig.control.workers().next().unwrap().2;
    assert_eq!((w.translations.get(), w.hit_simple.get()), (1, 999 - 31));
    rig.check_fates();
    let flows = rig.megaflows();
    assert_eq!((flows.len(), flows[0].packets, flows[0].bytes), (1, 1000, 60_000));
}

#[test]
fn a_miss_is_dropped_with_its_reason() {
    let mut rig = Rig::new(2, Limits::default());
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert_eq!(rig.control.totals().dropped(DropReason::TableMiss), 1);
    rig.check_fates();
}

#[test]
fn flows_of_different_rules_are_told_apart() {
    let mut rig = Rig::new(4, Limits::default());
    let s = rig.script.clone();
    s.add(3, matching(&[(NW_DST, 0x0a00_0000, 0xff00_0000)]), vec![Action::Output(PortNo(2))]);
    s.add(2, matching(&[(TP_DST, 80, 0xffff)]), vec![Action::Output(PortNo(3))]);
    s.add(1, Match::default(), vec![Action::Output(PortNo(4))]);
    rig.steps(2);
    for i in 0..300u32 {
        rig.port(1).inject(udp(i, 0x0a00_0001, 1, 80));
        rig.port(1).inject(udp(i, 0x0b00_0001, 1, 80));
        rig.port(1).inject(udp(i, 0x0b00_0001, 1, 81));
    }
    rig.drain();
    for no in 2..=4 {
        assert_eq!(rig.port(no).take_all().len(), 300, "port {no}");
    }
    rig.check_fates();
    assert_eq!(rig.control.workers().next().unwrap().2.translations.get(), 3);
    let _ = NW_SRC;
}
