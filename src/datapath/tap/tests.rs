//! Captures of a worker on dummy ports.

use std::time::Duration;

use dpif::{Action, DropReason, PortNo};
use flow::Match;
use flow::layout::{IN_PORT, NW_SRC};

use super::{Capture, Point, Record, Selection};
use crate::Limits;
use crate::control::CaptureId;
use crate::testkit::{Rig, matching, udp};

fn rig() -> Rig {
    let mut rig = Rig::new(3, Limits::default());
    let of = |port| matching(&[(IN_PORT, port, 0xffff_ffff)]);
    rig.script.add(2, of(1), vec![Action::Output(PortNo(2)), Action::Output(PortNo(3))]);
    rig.script.add(1, of(2), vec![Action::Drop(DropReason::Rule)]);
    rig.steps(2);
    rig
}

/// (time, port, point, length, first bytes) of everything captured.
fn records(capture: &Capture) -> Vec<(u32, Point, u32, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some(chunk) = capture.next() {
        let mut rest = chunk.bytes();
        while !rest.is_empty() {
            let (r, more) = Record::read(rest).unwrap();
            out.push((r.port.0, r.point, r.length, r.bytes.to_vec()));
            rest = more;
        }
        capture.give_back(chunk);
    }
    out
}

fn end(rig: &mut Rig, id: CaptureId) {
    let ticket = rig.control.untap(id);
    rig.wait(ticket);
}

#[test]
fn every_point_sees_its_packets() {
    let mut rig = rig();
    let (id, capture) = rig.control.tap(Selection::at(true, true, true)).unwrap();
    rig.step();
    rig.port(3).limit(5);
    for i in 0..10 {
        rig.port(1).inject(udp(i, 2, 3, 4));
        rig.port(2).inject(udp(i, 2, 3, 4));
    }
    rig.drain();
    end(&mut rig, id);
    let all = records(&capture);
    let count = |port, point| all.iter().filter(|r| (r.0, r.1) == (port, point)).count();
    assert_eq!((count(1, Point::Ingress), count(2, Point::Ingress)), (10, 10));
    assert_eq!((count(2, Point::Egress), count(3, Point::Egress)), (10, 5));
    // the last output has the fate: what port 3 refused
    assert_eq!((count(1, Point::Drop(DropReason::TxFull)), count(2, Point::Drop(DropReason::Rule))), (5, 10));
    assert_eq!((all.len(), capture.counts()), (50, (50, 0)));
    assert!(all.iter().all(|r| r.2 == 60 && r.3.len() == 60));
    // it has ended
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    assert!(capture.next().is_none());
    rig.check_fates();
}

#[test]
fn packets_of_the_loop_in_which_it_begins_have_its_time() {
    let mut rig = rig();
    rig.now += Duration::from_secs(3);
    let (id, capture) = rig.control.tap(Selection::at(true, false, false)).unwrap();
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.step();
    let at = rig.now;
    end(&mut rig, id);
    let chunk = capture.next().unwrap();
    assert_eq!(Record::read(chunk.bytes()).unwrap().0.time, at.as_nanos());
}

#[test]
fn a_selection_by_port_match_and_length() {
    let mut rig = rig();
    let source = matching(&[(NW_SRC, 7, 0xffff_ffff)]);
    let ports = Some(vec![PortNo(3)]);
    let at = Selection::at;
    let (a, first) = rig.control.tap(Selection { ports, ..at(true, true, true) }).unwrap();
    let (b, second) =
        rig.control.tap(Selection { matching: source.clone(), snaplen: 20, ..at(true, false, false) }).unwrap();
    let came = source.with(IN_PORT, 1, 0xffff_ffff);
    let (c, third) = rig.control.tap(Selection { matching: came, ..at(false, true, false) }).unwrap();
    rig.step();
    for i in 0..10 {
        rig.port(1).inject(udp(i, 2, 3, 4));
        rig.port(2).inject(udp(i, 2, 3, 4));
    }
    rig.drain();
    [a, b, c].into_iter().for_each(|id| end(&mut rig, id));
    let first = records(&first);
    assert!(first.len() == 10 && first.iter().all(|r| r.0 == 3 && r.1 == Point::Egress), "{first:?}");
    let second = records(&second);
    assert_eq!(second.iter().map(|r| (r.0, r.2, r.3.len())).collect::<Vec<_>>(), [(1, 60, 20), (2, 60, 20)]);
    assert_eq!(records(&third).iter().map(|r| r.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_reader_that_does_not_read_costs_a_count() {
    let mut rig = rig();
    let (id, capture) = rig.control.tap(Selection::at(true, false, false)).unwrap();
    rig.step();
    let mut fed = 0;
    for _ in 0..200 {
        for i in 0..32 {
            rig.port(1).inject(udp(i, 2, 3, 4));
            fed += 1;
        }
        rig.step();
        // each loop's chunk is old in the next
        rig.now += Duration::from_millis(2);
    }
    rig.drain();
    let (taken, missed) = capture.counts();
    assert_eq!(taken + missed, fed);
    assert!(missed > 4000, "{missed}");
    assert_eq!(rig.control.totals().forwarded, fed);
    // read again, it goes on
    assert_eq!(records(&capture).len() as u64, taken);
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    end(&mut rig, id);
    assert_eq!(records(&capture).len(), 1);
    // nobody left to read: the worker does not care
    let (id, capture) =
        rig.control.tap(Selection { matching: Match::default(), ..Selection::at(true, true, true) }).unwrap();
    drop(capture);
    rig.step();
    rig.port(1).inject(udp(1, 2, 3, 4));
    rig.drain();
    end(&mut rig, id);
    rig.check_fates();
}

#[test]
fn what_is_short_is_captured_unless_a_match_is_asked_for() {
    let mut rig = rig();
    let (a, all) = rig.control.tap(Selection::at(true, false, true)).unwrap();
    let some = matching(&[(NW_SRC, 1, 0xffff_ffff)]);
    let (b, some) = rig.control.tap(Selection { matching: some, ..Selection::at(true, false, true) }).unwrap();
    rig.step();
    rig.port(1).inject(packet::Frame::from_slice(&[1, 2, 3]));
    rig.drain();
    [a, b].into_iter().for_each(|id| end(&mut rig, id));
    let got = records(&all);
    assert_eq!(
        got.iter().map(|r| (r.1, r.2)).collect::<Vec<_>>(),
        [(Point::Ingress, 3), (Point::Drop(DropReason::Runt), 3)]
    );
    assert!(records(&some).is_empty());
}
