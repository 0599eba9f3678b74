//! Walks over all megaflows that management asks for: folding their counters, removing them, reporting them. Some at a
//! time, so that packets wait for none of it; one walk after another, in the order of the commands.
//!
//! A walk covers the places there were when it began, so every megaflow that was there when it was asked for: what is
//! removed meanwhile was folded then, what is new is none of its business.

use std::collections::VecDeque;
use std::sync::Arc;

use base::clock::Instant;
use packet::device::RxQueue;

use super::command::{Answer, Megaflow};
use super::dump::{Best, Order, Wanted};
use super::{Core, Worker};

/// Places visited in one step without packets.
const IDLE: u32 = 256;
/// Between slices of steps with packets, nanoseconds.
const DISTANCE: u64 = 20_000;

/// What is done to each megaflow, and who is told when it is done to all.
pub(super) enum Task {
    /// Fold counters, as the sweep does. Those who ask before it begins share it.
    Collect(Vec<u64>),
    Remove(u64),
    /// Report those that are wanted, or the best of them at the end.
    Report(u64, Arc<Wanted>, Best),
    /// Remove those of a slot whose port is gone, then free the slot and give the queues back.
    Close(u16, u64, Vec<(u32, Box<dyn RxQueue>)>),
    /// Only say that everything before is done.
    Nothing(u64),
}

impl Task {
    /// Places visited in one step with packets: some microseconds.
    fn slice(&self) -> u32 {
        match self {
            Task::Collect(_) => 64,
            Task::Remove(_) | Task::Close(..) => 32,
            Task::Report(_, wanted, _) if best_of(wanted).is_some() => 64,
            Task::Report(..) => 16,
            Task::Nothing(_) => 0,
        }
    }
}

/// The order and number of the best, when they are few: they are reported in one step. More are reported as they come,
/// and whoever asked puts them in order.
fn best_of(wanted: &Wanted) -> Option<(usize, Order)> {
    wanted.best.filter(|(most, _)| *most <= 256)
}

pub(super) struct Walk {
    task: Task,
    at: u32,
    /// Places when it began; None before.
    end: Option<u32>,
}

#[derive(Default)]
pub(super) struct Walks {
    queue: VecDeque<Walk>,
    last: u64,
}

impl Walks {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, task: Task) {
        if let Task::Collect(new) = &task
            && let Some(Walk { task: Task::Collect(tickets), end: None, .. }) = self.queue.back_mut()
        {
            return tickets.extend(new);
        }
        let end = matches!(task, Task::Nothing(_)).then_some(0);
        self.queue.push_back(Walk { task, at: 0, end });
    }
}

impl Worker {
    /// Goes on with the first walk; how many places were visited.
    #[cold]
    pub(super) fn walk(&mut self, now: Instant, idle: bool) -> u32 {
        if !idle && now.as_nanos().saturating_sub(self.walks.last) < DISTANCE {
            return 0;
        }
        self.walks.last = now.as_nanos();
        let places = self.core.flows.slab.places();
        let Some(walk) = self.walks.queue.front_mut() else { return 0 };
        if matches!(walk.task, Task::Report(..)) && !self.outbox.is_empty() {
            // management has not taken yet what was reported before
            return 0;
        }
        let end = *walk.end.get_or_insert(places);
        let from = walk.at;
        let to = from.saturating_add(if idle { IDLE } else { walk.task.slice() }).min(end);
        walk.at = to;
        let mut report = None;
        match &mut walk.task {
            Task::Nothing(_) => {}
            Task::Collect(_) => (from..to).for_each(|index| self.core.visit(index, now)),
            Task::Remove(_) => (from..to).for_each(|index| self.core.flows.remove(index)),
            Task::Close(slot, ..) => (from..to).for_each(|index| self.core.flows.remove_of(index, *slot)),
            Task::Report(ticket, wanted, best) => {
                let mut flows: Vec<Megaflow> = Vec::new();
                for index in (from..to).filter(|i| self.core.is_wanted(*i, wanted)) {
                    match best_of(wanted) {
                        None => flows.extend(self.core.megaflow(self.link.id, index)),
                        Some((most, order)) => best.offer(self.core.score(index, order), index, most),
                    }
                }
                if to == end {
                    // one that went meanwhile is missing, or another is in its place: no harm
                    flows.extend(best.drain().filter_map(|i| self.core.megaflow(self.link.id, i)));
                }
                report = (!flows.is_empty()).then_some((*ticket, flows));
            }
        }
        if let Some((ticket, flows)) = report {
            self.answer(ticket, Answer::Megaflows(flows));
        }
        if to == end
            && let Some(walk) = self.walks.queue.pop_front()
        {
            self.walked(walk.task);
        }
        to - from
    }

    fn walked(&mut self, task: Task) {
        self.link.counters.megaflows.set(self.core.flows.slab.len() as u64);
        match task {
            Task::Collect(tickets) => tickets.into_iter().for_each(|ticket| self.answer(ticket, Answer::Done)),
            Task::Remove(ticket) | Task::Report(ticket, ..) | Task::Nothing(ticket) => {
                self.answer(ticket, Answer::Done)
            }
            Task::Close(slot, ticket, queues) => {
                self.core.closed(slot);
                self.answer(ticket, Answer::Rx(queues));
            }
        }
    }
}

impl Core {
    /// A slot without a port and without megaflows may be used again.
    fn closed(&mut self, slot: u16) {
        let at = usize::from(slot);
        if let (Some(p), Some(f)) = (self.flows.ports.get_mut(at), self.out.tx.fates.ports.get_mut(at)) {
            (*p, *f) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use dpif::{Action, PortNo, RuleId};
    use flow::layout::NW_SRC;

    use super::IDLE;
    use crate::Limits;
    use crate::control::{Happened, Megaflow, Ticket};
    use crate::testkit::{Rig, matching, udp};

    const FLOWS: u32 = 120_000;
    /// The most places that a step may visit: a slice of the sweep and one of a walk.
    const MOST: u32 = 256 + IDLE;
    /// The same with packets.
    const MOST_BUSY: u32 = 256 + 64;

    /// A worker with a megaflow for each of `FLOWS` sources, a packet each.
    fn full() -> (Rig, RuleId) {
        let limits = Limits { megaflows: 200_000, translations: u32::MAX, ..Limits::default() };
        let mut rig = Rig::new(2, limits);
        let rule = rig.script.add(0, matching(&[]), vec![Action::Output(PortNo(2))]);
        rig.script.wider.lock().unwrap().exact(NW_SRC);
        rig.steps(2);
        for source in 0..FLOWS {
            rig.port(1).inject(udp(source, 2, 3, 4));
            if source % 32 == 31 {
                rig.step();
                rig.port(2).take_all();
            }
        }
        rig.drain();
        (rig, rule)
    }

    /// Steps, each 20 microseconds after the one before and with `packets` packets, until the ticket is done; what
    /// came with it, how many steps it took and how many packets were sent.
    fn until(rig: &mut Rig, ticket: Ticket, packets: u32) -> (Vec<Megaflow>, u32, u32) {
        let (mut sent, mut source) = (0, 0);
        let mut all = Vec::new();
        for steps in 1..100_000 {
            for _ in 0..packets {
                source = (source + 7919) % FLOWS;
                rig.port(1).inject(udp(source, 2, 3, 4));
            }
            sent += packets;
            rig.now += std::time::Duration::from_micros(20);
            let work = rig.workers[0].step(rig.now);
            rig.port(2).take_all();
            assert!(work.visited <= if packets == 0 { MOST } else { MOST_BUSY }, "step {steps}: {work:?}");
            assert_eq!(work.packets, packets);
            for happened in rig.control.poll() {
                match happened {
                    Happened::Done(t) if t == ticket => return (all, steps, sent),
                    Happened::Megaflows(t, flows) if t == ticket => {
                        all.extend(flows);
                        return (all, steps, sent);
                    }
                    _ => {}
                }
            }
        }
        panic!("never done");
    }

    #[test]
    fn counters_of_120_000_megaflows_are_folded_once_and_a_slice_at_a_time() {
        let (mut rig, rule) = full();
        let ticket = rig.control.collect();
        let (_, steps, mut sent) = until(&mut rig, ticket, 32);
        assert!(steps >= FLOWS / 64, "{steps}");
        let folded = rig.script.packets(rule);
        assert!((u64::from(FLOWS)..=u64::from(FLOWS + sent)).contains(&folded), "{folded}");
        // three who ask at once wait for two passes at most: those who come before it begins share one
        let first = rig.control.collect();
        sent += until(&mut rig, first, 1).2;
        let tickets = [rig.control.collect(), rig.control.collect(), rig.control.collect()];
        let (_, steps, _) = until(&mut rig, tickets[2], 0);
        assert!(steps <= FLOWS / IDLE + 2, "{steps}");
        assert_eq!(rig.script.packets(rule), u64::from(FLOWS + sent));
        rig.drain();
        assert_eq!(rig.script.packets(rule), u64::from(FLOWS + sent));
        rig.check_fates();
    }

    #[test]
    fn a_report_and_a_flush_take_slices_too() {
        let (mut rig, rule) = full();
        let ticket = rig.control.dump(crate::worker::Wanted::default());
        let (flows, ..) = until(&mut rig, ticket, 0);
        assert_eq!(flows.len(), FLOWS as usize);
        assert_eq!(flows.iter().map(|f| f.packets).sum::<u64>(), u64::from(FLOWS));
        let ticket = rig.control.flush();
        let synced = rig.control.sync();
        let (_, steps, sent) = until(&mut rig, ticket, 8);
        assert!(steps >= FLOWS / 32, "{steps}");
        until(&mut rig, synced, 0);
        // what came meanwhile made new ones
        let left = rig.megaflows();
        assert!(left.len() <= sent as usize);
        let counted = rig.script.packets(rule) + left.iter().map(|f| f.packets).sum::<u64>();
        assert!(counted >= u64::from(FLOWS + sent), "{counted}");
        let ticket = rig.control.collect();
        until(&mut rig, ticket, 0);
        assert_eq!(rig.script.packets(rule), u64::from(FLOWS + sent));
    }

    #[test]
    fn a_port_that_goes_leaves_in_slices() {
        let (mut rig, rule) = full();
        assert!(rig.control.remove_port(PortNo(1)));
        let mut steps = 0;
        let queues = 'removed: loop {
            rig.now += std::time::Duration::from_micros(20);
            let work = rig.workers[0].step(rig.now);
            assert!(work.visited <= MOST, "{work:?}");
            steps += 1;
            assert!(steps < 10_000);
            for happened in rig.control.poll() {
                if let Happened::Removed { port: PortNo(1), queues } = happened {
                    break 'removed queues;
                }
            }
        };
        assert!(steps >= FLOWS / IDLE);
        assert_eq!((queues.rx.len(), queues.tx.len()), (1, 1));
        assert_eq!(rig.script.packets(rule), u64::from(FLOWS));
        assert_eq!(rig.megaflows().len(), 0);
        rig.check_fates_of_totals();
        // its number and its slot are free
        rig.ports.clear();
        let port = rig.add_port(1, crate::Serve::Fast);
        port.inject(udp(1, 2, 3, 4));
        rig.drain();
        assert_eq!(rig.megaflows().len(), 1);
    }
}
