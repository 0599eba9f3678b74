//! What displays are given: who sends to whom, the best megaflows.

use std::time::Duration;

use dpif::{Action, PortNo};
use flow::Match;
use flow::layout::{IN_PORT, NW_DST, NW_SRC};

use crate::testkit::{Rig, matching, udp};
use crate::{Limits, Order, Serve, Wanted};

fn output(port: u32) -> Action {
    Action::Output(PortNo(port))
}

#[test]
fn the_matrix_has_copies_and_not_what_was_refused() {
    let mut rig = Rig::new(4, Limits::default());
    let s = rig.script.clone();
    s.add(2, matching(&[(IN_PORT, 1, 0xffff_ffff)]), vec![output(2), output(3), output(4)]);
    s.add(1, matching(&[(IN_PORT, 2, 0xffff_ffff)]), vec![output(3)]);
    rig.steps(2);
    rig.port(4).limit(5);
    for i in 0..20 {
        rig.port(1).inject(udp(i, 2, 3, 4));
        rig.port(2).inject(udp(i, 2, 3, 4));
    }
    rig.drain();
    let want = [((1, 2), 20), ((1, 3), 20), ((1, 4), 5), ((2, 3), 20)];
    let got: Vec<_> = rig.control.matrix().into_iter().map(|((a, b), n)| ((a.0, b.0), n)).collect();
    assert_eq!(got, want);
    assert_eq!(rig.control.port_figures(PortNo(3)).unwrap().tx_packets, 40);
    rig.check_fates();
}

#[test]
fn a_port_number_that_comes_again_counts_from_nothing() {
    let mut rig = Rig::new(2, Limits::default());
    rig.script.add(0, Match::default(), vec![output(2)]);
    rig.steps(2);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert!(rig.control.remove_port(PortNo(2)));
    rig.steps(10);
    assert_eq!(rig.control.matrix().len(), 0);
    rig.add_port(2, Serve::Fast);
    rig.steps(2);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert_eq!(rig.control.matrix()[&(PortNo(1), PortNo(2))], 1);
}

#[test]
fn a_dump_gives_the_best_of_those_that_match() {
    let mut rig = Rig::new(3, Limits::default());
    rig.script.add(0, Match::default(), vec![output(3)]);
    rig.script.wider.lock().unwrap().exact(NW_SRC);
    rig.steps(2);
    // source n has n packets, those of port 2 four times as many
    for n in 1..=50u32 {
        (0..n).for_each(|_| rig.port(1).inject(udp(n, 2, 3, 4)));
        (0..4 * n).for_each(|_| rig.port(2).inject(udp(n, 2, 3, 4)));
    }
    rig.drain();
    assert_eq!(rig.megaflows().len(), 100);
    let mut ask = |wanted: Wanted| {
        let ticket = rig.control.dump(wanted);
        let mut packets: Vec<u64> = rig.wait(ticket).iter().map(|f| f.packets).collect();
        packets.sort_unstable();
        packets
    };
    let best = Some((3, Order::Packets));
    assert_eq!(ask(Wanted { best, ..Wanted::default() }), [192, 196, 200]);
    assert_eq!(ask(Wanted { best, in_ports: Some(vec![PortNo(1)]), ..Wanted::default() }), [48, 49, 50]);
    let of = |slot, value| matching(&[(slot, value, 0xffff_ffff)]);
    assert_eq!(ask(Wanted { matching: of(NW_SRC, 7), ..Wanted::default() }), [7, 28]);
    assert_eq!(ask(Wanted { matching: of(IN_PORT, 2), best, in_ports: None }), [192, 196, 200]);
    // megaflows do not look at the destination: all of them may have such packets
    assert_eq!(ask(Wanted { matching: of(NW_DST, 9), ..Wanted::default() }).len(), 100);
}

#[test]
fn rates_are_of_late() {
    let mut rig = Rig::new(2, Limits::default());
    rig.script.add(0, Match::default(), vec![output(2)]);
    rig.steps(2);
    // 10,000 packets a second for two seconds
    for _ in 0..2000 {
        (0..10).for_each(|i| rig.port(1).inject(udp(i, 2, 3, 4)));
        rig.now += Duration::from_micros(999);
        rig.step();
    }
    let rate = rig.megaflows()[0].rate;
    assert!((9_000..=11_000).contains(&rate.0), "{rate:?}");
    assert!((540_000..=660_000).contains(&rate.1), "{rate:?}");
    rig.now += Duration::from_secs(3);
    rig.step();
    assert_eq!(rig.megaflows()[0].rate, (0, 0));
}
