//! Whole workers on dummy ports and a scripted pipeline: caches against none, changes, limits, accounting.

use dpif::action::PacketIn;
use dpif::{Action, DropReason, PortNo};
use flow::Match;
use flow::layout::{IN_PORT, NW_DST, NW_SRC, TP_DST};

use crate::Limits;
use crate::testkit::{Rig, matching, udp};

const SEVEN: PacketIn = PacketIn { id: 7, reason: 0, continuation: false, cookie: 0, controller: 0, max_len: 0 };

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
}

fn forward(rig: &Rig, to: u32) {
    rig.script.add(0, Match::default(), vec![Action::Output(PortNo(to))]);
}

fn dropped(rig: &Rig, reason: DropReason) -> u64 {
    rig.control.totals().dropped(reason)
}

#[test]
fn over_the_budget_packets_wait_and_then_go() {
    let limits = Limits { translations: 2, park: 10, ..Limits::default() };
    let mut rig = Rig::new(2, limits);
    rig.script.add(0, matching(&[(NW_SRC, 0, 0)]), vec![Action::Output(PortNo(2))]);
    rig.script.wider.lock().unwrap().exact(NW_SRC);
    rig.steps(2);
    for i in 0..32 {
        rig.port(1).inject(udp(i, 2, 3, 4));
    }
    rig.step();
    // two translated, ten wait, the others found no place
    assert_eq!(dropped(&rig, DropReason::Budget), 20);
    let figures = rig.control.port_figures(PortNo(1)).unwrap();
    assert_eq!((figures.fates.parked, figures.fates.forwarded), (10, 2));
    rig.check_fates();
    rig.drain();
    assert_eq!(rig.port(2).take_all().len(), 12);
    rig.check_fates();
}

#[test]
fn parked_packets_of_one_flow_cost_one_translation() {
    let limits = Limits { translations: 1, ..Limits::default() };
    let mut rig = Rig::new(2, limits);
    rig.script.add(0, Match::default(), vec![Action::Output(PortNo(2))]);
    rig.script.wider.lock().unwrap().exact(NW_SRC);
    rig.steps(2);
    for i in 0..32 {
        rig.port(1).inject(udp(i % 2, 2, 3, 4));
    }
    rig.drain();
    assert_eq!(rig.port(2).take_all().len(), 32);
    assert_eq!(rig.control.workers().next().unwrap().2.translations.get(), 2);
    rig.check_fates();
}

#[test]
fn a_full_device_drops_what_it_refuses() {
    let mut rig = Rig::new(2, Limits::default());
    forward(&rig, 2);
    rig.steps(2);
    rig.port(2).limit(5);
    (0..20).for_each(|i| rig.port(1).inject(udp(i, 2, 3, 4)));
    rig.drain();
    assert_eq!((rig.port(2).take_all().len(), dropped(&rig, DropReason::TxFull)), (5, 15));
    let figures = rig.control.port_figures(PortNo(2)).unwrap();
    assert_eq!((figures.tx_packets, figures.tx_bytes, figures.tx_dropped), (5, 300, 15));
    rig.check_fates();
}

#[test]
fn outputs_but_the_last_are_copies_and_have_no_fate() {
    let mut rig = Rig::new(4, Limits::default());
    let to = |n| Action::Output(PortNo(n));
    let clone = Action::Clone(vec![Action::PushVlan { tpid: 0x8100, tci: 0x1005 }, to(4)]);
    rig.script.add(0, Match::default(), vec![to(2), clone, to(99), to(3)]);
    rig.steps(2);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert_eq!(rig.port(2).take_all()[0].len(), 60);
    assert_eq!(rig.port(3).take_all()[0].len(), 60);
    assert_eq!(rig.port(4).take_all()[0].data()[12..16], [0x81, 0, 0, 5]);
    let t = rig.control.totals();
    assert_eq!((t.received, t.forwarded, t.drops()), (1, 1, 0));
    rig.check_fates();
}

#[test]
fn what_management_does_not_take_is_dropped_by_name_unless_it_went_elsewhere() {
    use dpif::action::Userspace;
    use std::sync::atomic::Ordering;
    let mut rig = Rig::new(2, Limits::default());
    rig.script.refuse.store(true, Ordering::Relaxed);
    let tell = Action::Userspace(Userspace::Controller(SEVEN));
    rig.script.add(1, matching(&[(NW_DST, 1, 0xffff_ffff)]), vec![tell.clone()]);
    rig.script.add(1, matching(&[(NW_DST, 2, 0xffff_ffff)]), vec![Action::Output(PortNo(2)), tell.clone()]);
    rig.steps(2);
    (1..=2).for_each(|dst| rig.port(1).inject(udp(1, dst, 3, 4)));
    rig.drain();
    let t = rig.control.totals();
    assert_eq!((dropped(&rig, DropReason::NoController), t.forwarded, t.consumed), (1, 1, 0));
    assert_eq!(rig.port(2).take_all().len(), 1);
    rig.check_fates();
    // a reason to drop is the packet's fate, told to management or not
    let told = crate::program::Program::new(std::slice::from_ref(&tell), Some(DropReason::TtlExceeded));
    assert_eq!(told.0, vec![tell, Action::Drop(DropReason::TtlExceeded)]);
}

#[test]
fn copies_to_management_are_consumed_when_nothing_else_is_done() {
    use dpif::action::Userspace;
    let mut rig = Rig::new(2, Limits::default());
    let id =
        rig.script.add(0, Match::default(), vec![Action::Trunc(20), Action::Userspace(Userspace::Controller(SEVEN))]);
    rig.steps(2);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert_eq!(rig.control.totals().consumed, 2);
    {
        let upcalls = rig.script.upcalls.lock().unwrap();
        let (what, flow, bytes) = &upcalls[1];
        assert_eq!((*what, bytes.len(), upcalls.len()), (Userspace::Controller(SEVEN), 20, 2));
        assert_eq!((flow.get(IN_PORT), flow.get(TP_DST)), (1, 4));
    }
    let ticket = rig.control.collect();
    rig.wait(ticket);
    assert_eq!(rig.script.packets(id), 2);
    rig.check_fates();
}

#[test]
fn recirculation_looks_up_again_and_is_bounded() {
    use dpif::RecircId;
    use flow::layout::{RECIRC_ID, VLAN_TCI};
    let mut rig = Rig::new(3, Limits::default());
    let s = rig.script.clone();
    let push = Action::PushVlan { tpid: 0x8100, tci: 0x1007 };
    s.add(9, matching(&[(RECIRC_ID, 5, 0xffff_ffff), (VLAN_TCI, 0x1007, 0xffff)]), vec![Action::Output(PortNo(2))]);
    s.add(8, matching(&[(RECIRC_ID, 6, 0xffff_ffff)]), vec![Action::Recirc(RecircId(6))]);
    s.add(7, matching(&[(TP_DST, 80, 0xffff)]), vec![push, Action::Recirc(RecircId(5))]);
    s.add(6, Match::default(), vec![Action::Recirc(RecircId(6))]);
    rig.steps(2);
    for _ in 0..3 {
        rig.port(1).inject(udp(1, 2, 3, 80));
        rig.port(1).inject(udp(1, 2, 3, 81));
    }
    rig.drain();
    assert_eq!(rig.port(2).take_all().len(), 3);
    assert_eq!(dropped(&rig, DropReason::Recirculation), 3);
    let flows = rig.megaflows();
    assert_eq!(flows.iter().map(|f| f.packets).sum::<u64>(), 3 * 2 + 3 * 7);
    rig.check_fates();
}

#[test]
fn a_panic_costs_the_packets_in_hand_and_nothing_else() {
    let mut rig = Rig::new(2, Limits::default());
    forward(&rig, 2);
    rig.steps(2);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    rig.script.everything();
    rig.script.panic.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.step();
    (0..10).for_each(|i| rig.port(1).inject(udp(i, 2, 3, 4)));
    rig.drain();
    (0..10).for_each(|i| rig.port(1).inject(udp(i, 2, 3, 4)));
    rig.drain();
    assert_eq!((rig.port(2).take_all().len(), dropped(&rig, DropReason::Internal)), (11, 10));
    assert_eq!(rig.control.workers().next().unwrap().2.panics.get(), 1);
    rig.check_fates();
}

#[test]
fn ports_go_while_packets_come() {
    let mut rig = Rig::with_workers(3, 2, Limits::default());
    forward(&rig, 3);
    rig.steps(2);
    let offer = |rig: &Rig| {
        for i in 0..100 {
            rig.port(1).inject(udp(i, 2, 3, 4));
            rig.port(2).inject(udp(i, 2, 3, 4));
        }
    };
    offer(&rig);
    rig.step();
    assert!(rig.control.remove_port(PortNo(3)));
    assert!(!rig.control.remove_port(PortNo(3)), "once");
    let mut removed = None;
    for _ in 0..10 {
        for happened in rig.step() {
            if let crate::control::Happened::Removed { port, queues } = happened {
                removed = Some((port, queues.rx.len(), queues.tx.len()));
            }
        }
    }
    assert_eq!(removed, Some((PortNo(3), 1, 1)));
    rig.check_fates();
    assert!(dropped(&rig, DropReason::NoSuchPort) > 0);
    // the number is free again; flows that output to it work at once
    rig.add_port(3, crate::control::Serve::Fast);
    rig.step();
    offer(&rig);
    rig.drain();
    assert_eq!(rig.ports[3].take_all().len(), 200);
    rig.check_fates();
    assert!(rig.control.remove_port(PortNo(1)));
    rig.steps(5);
    rig.check_fates_of_totals();
}

#[test]
fn slow_ports_are_reached_by_ring() {
    use crate::control::{Serve, WorkerId};
    let mut rig = Rig::with_workers(1, 1, Limits::default());
    let (slow, worker) = rig.control.add_worker("slow", false).unwrap();
    rig.workers.push(worker);
    assert_eq!(slow, WorkerId(1));
    rig.add_port(2, Serve::Only(slow));
    forward(&rig, 2);
    rig.steps(3);
    for i in 0..500 {
        rig.port(1).inject(udp(i, 2, 3, 4));
    }
    rig.drain();
    assert_eq!(rig.port(2).take_all().len(), 500);
    let figures = rig.control.port_figures(PortNo(2)).unwrap();
    assert_eq!((figures.tx_packets, figures.tx_dropped), (500, 0));
    // the way back: the slow worker reaches fast ports by ring
    rig.script.add(5, matching(&[(IN_PORT, 2, 0xffff_ffff)]), vec![Action::Output(PortNo(1))]);
    rig.steps(2);
    rig.port(2).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert_eq!(rig.port(1).take_all().len(), 1);
    rig.check_fates();
    assert!(rig.control.remove_port(PortNo(2)));
    rig.steps(5);
    assert_eq!(rig.control.ports().count(), 1);
}

#[test]
fn masks_are_capped_and_recycled() {
    let limits = Limits { masks: 4, max_idle: 1_000_000, ..Limits::default() };
    let mut rig = Rig::new(2, limits);
    forward(&rig, 2);
    rig.steps(2);
    for bits in 0..27u32 {
        rig.script.wider.lock().unwrap().set(NW_SRC, u128::from(u32::MAX << bits));
        rig.port(1).inject(udp(bits << 27, 2, 3, 4));
        rig.drain();
    }
    assert_eq!((rig.port(2).take_all().len(), rig.megaflows().len()), (27, 27));
    rig.now += std::time::Duration::from_micros(900);
    rig.step();
    let w = rig.control.workers().next().unwrap().2;
    assert!(w.masks_capped.get() > 0);
    assert!(w.masks.get() <= 5, "{}", w.masks.get());
    rig.check_fates();
    for _ in 0..10 {
        rig.now += std::time::Duration::from_secs(1);
        rig.step();
    }
    let w = rig.control.workers().next().unwrap().2;
    assert_eq!((w.megaflows.get(), w.masks.get()), (0, 0));
}

#[test]
fn effects_are_applied_at_once_and_again_for_live_flows() {
    use dpif::Effect;
    let mut rig = Rig::new(2, Limits::default());
    let learn = Effect::Learn { bridge: 0, vlan: 0, mac: 1, port: 1, gratuitous: false };
    rig.script.add_with(0, Match::default(), vec![Action::Output(PortNo(2))], vec![learn]);
    rig.script.refuse.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.steps(2);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    // refused: forwarded, not cached
    assert_eq!((rig.megaflows().len(), rig.port(2).take_all().len()), (0, 1));
    rig.script.refuse.store(false, std::sync::atomic::Ordering::Relaxed);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert_eq!((rig.megaflows().len(), rig.script.effects.lock().unwrap().len()), (1, 1));
    rig.now += std::time::Duration::from_millis(500);
    rig.step();
    // replayed when the sweep folded the packet; not again without packets
    assert_eq!(rig.script.effects.lock().unwrap().len(), 2);
    rig.now += std::time::Duration::from_millis(500);
    rig.step();
    assert_eq!(rig.script.effects.lock().unwrap().len(), 2);
}

#[test]
fn an_added_rule_touches_only_the_flows_it_may_match() {
    let tuple = |n: u128| {
        use flow::layout::{ETH_TYPE, NW_PROTO};
        let all = 0xffff_ffff;
        matching(&[
            (ETH_TYPE, 0x800, 0xffff),
            (NW_PROTO, 17, 255),
            (NW_SRC, n, all),
            (NW_DST, 2, all),
            (TP_DST, 4, 0xffff),
        ])
    };
    let mut rig = Rig::new(3, Limits::default());
    for n in 0..100 {
        rig.script.add(5, tuple(n), vec![Action::Output(PortNo(2))]);
    }
    rig.steps(2);
    let offer = |rig: &Rig| (0..100).for_each(|n| rig.port(1).inject(udp(n, 2, 3, 4)));
    offer(&rig);
    rig.drain();
    let before = rig.control.workers().next().unwrap().2.translations.get();
    assert_eq!(before, 100);
    // unrelated rules of the same shape and removals: nothing is translated again
    for n in 200..300 {
        let id = rig.script.add(6, tuple(n), vec![Action::Output(PortNo(3))]);
        rig.step();
        offer(&rig);
        rig.drain();
        rig.script.remove(id);
    }
    assert_eq!(rig.control.workers().next().unwrap().2.translations.get(), before);
    // one that matters
    rig.script.add(7, tuple(50), vec![Action::Output(PortNo(3))]);
    rig.step();
    offer(&rig);
    rig.drain();
    assert_eq!(rig.port(3).take_all().len(), 1);
    assert_eq!(rig.control.workers().next().unwrap().2.translations.get(), before + 1);
    assert_eq!(rig.control.workers().next().unwrap().2.stale.get(), 1);
}

#[test]
fn bytes_sent_are_counted_once_in_bursts_of_known_and_new_flows() {
    let mut rig = Rig::new(3, Limits::default());
    rig.script.add(2, matching(&[(TP_DST, 80, 0xffff)]), vec![Action::Output(PortNo(2))]);
    rig.script.add(1, matching(&[(TP_DST, 81, 0xffff)]), vec![Action::Output(PortNo(2))]);
    rig.script.add(1, matching(&[(TP_DST, 82, 0xffff)]), vec![Action::Output(PortNo(3))]);
    rig.steps(2);
    rig.port(1).inject(udp(1, 2, 1, 80));
    rig.drain();
    // one burst: known and sent, new and sent, new and sent elsewhere, unknown for good
    for dst in [80, 81, 80, 82, 83, 80, 83] {
        rig.port(1).inject(udp(1, 2, 1, dst));
    }
    rig.drain();
    for (no, packets) in [(2, 5), (3, 1)] {
        let sent: usize = rig.port(no).take_all().iter().map(|f| f.len()).sum();
        let figures = rig.control.port_figures(PortNo(no)).unwrap();
        assert_eq!((figures.tx_packets, figures.tx_bytes), (packets, sent as u64), "port {no}");
    }
    rig.check_fates();
}
