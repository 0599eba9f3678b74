//! What transmission costs, and whose packets it was for: measured while receive queues compete for a worker's time, so
//! that who sends to a dear port (a guest, whose packets are copied) pays for it, and not who receives from one.
//!
//! A guest sends because packets are sent to it: it forwards or answers. Were each to pay its own, the one that is a little
//! dearer would hold up the other, and with packets given to a guest that cannot get rid of its own, the guest drops them.
//! So for as many packets as went both ways in a round, those who sent and the guest pay alike, as long as that moves no
//! more than copying a packet takes: who has many at work, or long frames, pays for that alone.

use crate::fate::COPY;
use dpif::PortNo;

/// A round's measure. Off it costs a test for each burst sent.
pub(crate) struct Sending {
    on: bool,
    ticks: fn() -> u64,
    /// Ticks of all bursts sent since [`taken`](Self::taken).
    taken: u64,
    /// By slot of the in_port.
    slots: Vec<Share>,
    /// Ports whose packets are copied when they are received, with their slots.
    guests: Vec<(PortNo, u16)>,
    visits: Vec<Visit>,
}

/// Packets sent to a guest.
#[derive(Clone, Copy)]
struct Visit {
    /// Slot of the in_port.
    from: u16,
    to: PortNo,
    packets: u64,
    ticks: u64,
}

/// One in_port's part.
#[derive(Clone, Copy, Default)]
struct Share {
    /// Ticks of sending.
    ticks: u64,
    /// Packets received by its queues in this round, and the ticks that they took up to sending.
    packets: u64,
    own: u64,
    /// Of these, for receiving, where packets are copied.
    copying: u64,
    /// Ticks that others pay for it; negative what it pays for others.
    paid: i64,
}

impl Share {
    /// What a packet of its cost.
    fn each(&self) -> u64 {
        (self.own + self.ticks) / self.packets.max(1)
    }
}

impl Sending {
    pub(crate) fn new(ticks: fn() -> u64) -> Sending {
        Sending { on: false, ticks, taken: 0, slots: Vec::new(), guests: Vec::new(), visits: Vec::new() }
    }

    /// A round begins, of `slots` in_ports, of which `guests` copy when they receive.
    #[inline(always)]
    pub(crate) fn begin(&mut self, on: bool, slots: usize, guests: impl Iterator<Item = (PortNo, u16)>) {
        self.on = on;
        if on {
            self.taken = 0;
            self.slots.clear();
            self.slots.resize(slots, Share::default());
            self.visits.clear();
            self.guests.clear();
            for guest in guests {
                if !self.guests.contains(&guest) {
                    self.guests.push(guest);
                }
            }
        }
    }

    /// Before a burst is sent.
    #[inline(always)]
    pub(crate) fn start(&self) -> u64 {
        if self.on { (self.ticks)() } else { 0 }
    }

    /// After it: packets of these slots to `port`, of which it took `sent`.
    #[inline(always)]
    pub(crate) fn end(&mut self, start: u64, from: &[u16], port: PortNo, sent: usize) {
        if self.on {
            self.charge(start, from, port, sent);
        }
    }

    #[inline(never)]
    fn charge(&mut self, start: u64, from: &[u16], port: PortNo, sent: usize) {
        let took = (self.ticks)().saturating_sub(start);
        self.taken += took;
        let all = from.len().max(1) as u64;
        let guest = self.guests.iter().any(|guest| guest.0 == port);
        let mut at = 0;
        for run in from.chunk_by(|a, b| a == b) {
            let slot = run.first().map_or(u16::MAX, |slot| slot & !COPY);
            if let Some(share) = self.slots.get_mut(usize::from(slot)) {
                let ticks = took * run.len() as u64 / all;
                share.ticks += ticks;
                if guest {
                    let packets = run.len().min(sent.saturating_sub(at)) as u64;
                    self.visits.push(Visit { from: slot, to: port, packets, ticks });
                }
            }
            at += run.len();
        }
    }

    /// Ticks of sending since this was last asked: they are no queue's own.
    #[inline(always)]
    pub(crate) fn taken(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// A queue of `slot` gave packets, which took `own` ticks up to sending; `copying` of these for receiving them.
    #[inline(always)]
    pub(crate) fn received(&mut self, slot: u16, packets: u64, own: u64, copying: u64) {
        if self.on
            && let Some(share) = self.slots.get_mut(usize::from(slot))
        {
            share.packets += packets;
            share.own += own;
            share.copying += copying;
        }
    }

    /// The round's end: guests and those who sent to them pay alike.
    pub(crate) fn settle(&mut self) {
        for (port, slot) in &self.guests {
            let visits = || self.visits.iter().filter(|visit| visit.to == *port && visit.packets != 0);
            let all: u64 = visits().map(|visit| visit.packets).sum();
            let guest = self.slots.get(usize::from(*slot)).copied().unwrap_or_default();
            if guest.packets == 0 {
                continue;
            }
            let mut moved = 0;
            for visit in visits() {
                let Some(sender) = self.slots.get_mut(usize::from(visit.from)) else { continue };
                if sender.packets == 0 {
                    continue;
                }
                let pairs = visit.packets * guest.packets.min(all) / all;
                let most = (guest.copying / guest.packets).min(visit.ticks / visit.packets) as i64;
                let each = (guest.each() as i64 - sender.each() as i64) / 2;
                let ticks = each.clamp(-most, most) * pairs as i64;
                sender.paid -= ticks;
                moved += ticks;
            }
            if let Some(guest) = self.slots.get_mut(usize::from(*slot)) {
                guest.paid += moved;
            }
        }
    }

    /// What a queue of `slot` that gave `packets` in this round pays, or what others pay for it.
    pub(crate) fn due(&self, slot: u16, packets: u64) -> i64 {
        let share = self.slots.get(usize::from(slot)).copied().unwrap_or_default();
        let due = share.ticks as i64 - share.paid;
        if packets == share.packets { due } else { due * packets as i64 / share.packets.max(1) as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fate::ELSEWHERE;
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
    }

    /// A clock that goes on by 1,000 with each look.
    fn ticks() -> u64 {
        NOW.set(NOW.get() + 1000);
        NOW.get()
    }

    fn send(s: &mut Sending, from: &[u16], port: u32, sent: usize) {
        let start = s.start();
        s.end(start, from, PortNo(port), sent);
    }

    fn begun(guests: &[(u32, u16)]) -> Sending {
        let mut s = Sending::new(ticks);
        s.begin(true, 3, guests.iter().map(|(port, slot)| (PortNo(*port), *slot)));
        s
    }

    #[test]
    fn who_received_the_packets_pays() {
        let mut s = begun(&[]);
        s.received(0, 30, 0, 0);
        s.received(0, 10, 0, 0);
        s.received(2, 8, 0, 0);
        send(&mut s, &[0; 20], 7, 20);
        // copies count; what other workers received is nobody's here
        send(&mut s, &[2, 2 | COPY, 0, 0, ELSEWHERE, 2, 0, 0], 7, 8);
        s.settle();
        assert_eq!((s.taken(), s.taken()), (2000, 0));
        assert_eq!((s.due(0, 30), s.due(0, 10)), (1125, 375));
        assert_eq!((s.due(2, 8), s.due(1, 5), s.due(9, 5)), (375, 0, 0));
        // a round without competition measures nothing
        s.begin(false, 3, std::iter::empty());
        let before = NOW.get();
        send(&mut s, &[0; 5], 7, 5);
        assert_eq!((NOW.get(), s.taken()), (before, 0));
    }

    /// Port 7 is a guest's and has slot 1, from which `back` packets came. Slot 0 sent it 25, at 40 ticks each.
    fn both_ways(back: u64, theirs: u64, copying: u64, own: u64) -> (i64, i64) {
        let mut s = begun(&[(7, 1), (7, 1)]);
        s.received(1, back, back * theirs, back * copying);
        s.received(0, 25, 25 * own, 0);
        send(&mut s, &[0; 25], 7, 25);
        send(&mut s, &[ELSEWHERE; 9], 7, 9);
        s.settle();
        (s.due(1, back), s.due(0, 25))
    }

    #[test]
    fn a_guest_and_who_sends_to_it_pay_alike() {
        // each of the guest's cost 100, of the sender's 20 and 40 to send
        assert_eq!(both_ways(25, 100, 70, 20), (25 * -20, 25 * (40 + 20)));
        // the other way round
        assert_eq!(both_ways(25, 100, 70, 90), (25 * 15, 25 * (40 - 15)));
        // as many packets as went both ways
        assert_eq!(both_ways(10, 100, 70, 20), (10 * -20, 25 * 40 + 10 * 20));
        assert_eq!(both_ways(50, 100, 70, 20), (25 * -20, 25 * (40 + 20)));
        // no more than copying took, of theirs or of ours: a storm is paid for by who makes it
        assert_eq!(both_ways(25, 100_000, 15, 20), (25 * -15, 25 * (40 + 15)));
        assert_eq!(both_ways(25, 100_000, 5000, 20), (25 * -40, 25 * (40 + 40)));
        assert_eq!(both_ways(25, 100, 70, 100_000), (25 * 40, 0));
        assert_eq!(both_ways(0, 0, 0, 20), (0, 25 * 40));
    }

    #[test]
    fn what_a_guest_did_not_take_is_no_packet_to_it() {
        let mut s = begun(&[(7, 1)]);
        s.received(1, 20, 20 * 90, 20 * 70);
        s.received(0, 10, 0, 0);
        s.received(2, 10, 0, 0);
        // of 20 packets at 50 ticks the first 15 got there
        send(&mut s, &[[0; 10], [2; 10]].concat(), 7, 15);
        s.settle();
        assert_eq!((s.due(0, 10), s.due(2, 10)), (500 + 10 * 20, 500 + 5 * 20));
        assert_eq!((s.due(1, 5), s.due(1, 15)), (-5 * 15, -15 * 15));
    }
}
