//! Whose turn it is: a worker's receive queues share its time, not its bursts.
//!
//! A burst of new flows costs a hundred times a burst of known ones, so turns by bursts would give nearly all of the time
//! to whoever sends new flows. Each queue has a clock of its own that runs while its packets are worked on. One that is
//! ahead of another that waits is passed over, until that one has caught up or has nothing left; what comes meanwhile
//! stays in its device's ring, and is that device's to drop. A queue that was empty gains nothing by it. Alone, or beside
//! queues that keep up, a queue is never passed over: no time is lost. Time in translations counts more than other time:
//! it is what a storm of new flows is made of, and what it takes from others' caches shows in no clock. What transmission
//! costs is charged to the queues whose packets were sent (`sending`).

use packet::burst::BURST;

/// How far a queue may be ahead, ticks: about 10 microseconds of a common core, so that turns do not get shorter than a
/// burst of known flows.
const SLACK: u64 = 1 << 15;
/// What a tick of translation counts: where queues compete, known flows have three quarters of the time.
const MISSING: u64 = 3;
/// A queue that gave so many packets has probably more.
const WAITS: usize = BURST - BURST / 4;

/// A queue's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// Ticks that its packets took, and what it was set forward by while it was empty.
    spent: u64,
    /// Ticks of packets of its that were worked on outside its turn; counted with the next.
    owed: u64,
    waits: bool,
}

impl Turn {
    /// That of a queue that comes to others.
    pub(super) fn beside<'a>(others: impl Iterator<Item = &'a Turn>) -> Turn {
        Turn { spent: others.map(|turn| turn.spent).max().unwrap_or(0), ..Turn::default() }
    }

    /// Its packets took `ticks` outside its turn, of which `missing` went by in translations.
    pub(super) fn owe(&mut self, ticks: u64, missing: u64) {
        self.owed += ticks + missing * (MISSING - 1);
    }

    /// It owes `ticks` more; where negative, others pay so many of those that it owes or has spent.
    pub(super) fn settle(&mut self, ticks: i64) {
        let Ok(more) = u64::try_from(ticks) else {
            let less = ticks.unsigned_abs();
            let owed = self.owed.min(less);
            self.owed -= owed;
            self.spent = self.spent.saturating_sub(less - owed);
            return;
        };
        self.owed += more;
    }

    /// What to sort queues by after a round: who is furthest behind goes first, so that none ahead of it goes twice
    /// before it is asked whether it has something.
    #[inline(always)]
    pub(super) fn place(&self) -> u64 {
        self.spent
    }
}

/// One turn of each queue.
pub(super) struct Round {
    /// The clock of the queue that waits and is furthest behind; `u64::MAX` where none waits.
    least: u64,
    /// None waited when it began: all clocks start anew.
    fresh: bool,
    /// Several waited when it began.
    shared: bool,
}

impl Round {
    /// Of queues with these clocks.
    #[inline(always)]
    pub(super) fn new<'a>(turns: impl Iterator<Item = &'a Turn>) -> Round {
        let mut round = Round::alone();
        for turn in turns.filter(|turn| turn.waits) {
            round.least = round.least.min(turn.spent);
            round.shared = !round.fresh;
            round.fresh = false;
        }
        round
    }

    /// Of a queue alone, or none: nothing to share.
    #[inline(always)]
    pub(super) fn alone() -> Round {
        Round { least: u64::MAX, fresh: true, shared: false }
    }

    /// Whether a queue may go.
    #[inline(always)]
    pub(super) fn is_due(&self, turn: &Turn) -> bool {
        self.fresh || turn.spent <= self.least.saturating_add(SLACK)
    }

    /// The queue gave `packets` that took `ticks`, of which `missing` went by in translations.
    #[inline(always)]
    pub(super) fn took(&mut self, turn: &mut Turn, packets: usize, ticks: u64, missing: u64) {
        let ticks = ticks + missing * (MISSING - 1) + std::mem::take(&mut turn.owed);
        turn.waits = packets >= WAITS;
        turn.spent = if self.fresh { ticks } else { turn.spent.saturating_add(ticks) };
        if turn.waits {
            self.least = self.least.min(turn.spent);
        } else if !self.fresh {
            turn.spent = turn.spent.max(self.least);
        }
    }

    /// Whether what queues cost decides on who goes next.
    #[inline(always)]
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether queues should be sorted for the next one.
    #[inline(always)]
    pub(super) fn is_contended(&self) -> bool {
        self.least != u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Queue {
        turn: Turn,
        /// Packets per 1,000 ticks that come, and ticks that each takes.
        rate: u64,
        cost: u64,
        ring: u64,
        came: u64,
        time: u64,
        lost: u64,
    }

    const RING: u64 = 2048;

    /// Runs steps until `until`; returns ticks in which all queues were passed over or empty.
    fn run(queues: &mut [Queue], until: u64) -> u64 {
        let (mut now, mut idle) = (0, 0);
        while now < until {
            let mut round = Round::new(queues.iter().map(|q| &q.turn));
            let start = now;
            for q in queues.iter_mut() {
                if !round.is_due(&q.turn) {
                    continue;
                }
                let come = now * q.rate / 1000 - q.came;
                q.came += come;
                let room = RING - q.ring;
                q.lost += come.saturating_sub(room);
                q.ring += come.min(room);
                let n = q.ring.min(BURST as u64);
                q.ring -= n;
                let ticks = n * q.cost;
                q.time += ticks;
                now += ticks;
                round.took(&mut q.turn, n as usize, ticks, 0);
            }
            if round.is_contended() {
                queues.sort_by_key(|q| q.turn.place());
            }
            if now == start {
                now += 100;
                idle += 100;
            }
        }
        idle
    }

    fn queue(rate: u64, cost: u64) -> Queue {
        Queue { turn: Turn::default(), rate, cost, ring: 0, came: 0, time: 0, lost: 0 }
    }

    #[test]
    fn one_that_needs_less_than_its_share_loses_nothing_to_one_that_wants_everything() {
        // 9 packets per 1,000 ticks at 50 ticks each: 45 % of the time
        let mut queues = [queue(9, 50), queue(1000, 5000)];
        run(&mut queues, 100_000_000);
        let [victim, other] = if queues[0].rate == 9 { [0, 1] } else { [1, 0] }.map(|i| &queues[i]);
        assert_eq!(victim.lost, 0);
        assert!(other.time > 50_000_000, "{}", other.time);
    }

    #[test]
    fn long_silence_earns_nothing() {
        let mut queues = [queue(9, 50), queue(0, 5000), queue(0, 50)];
        run(&mut queues, 100_000_000);
        // now all want everything; two of them were silent
        for q in &mut queues {
            (q.rate, q.came, q.time) = (1000, 0, 0);
        }
        run(&mut queues, 3_000_000);
        assert!(queues.iter().all(|q| q.time.abs_diff(1_000_000) < 250_000));
    }

    #[test]
    fn one_that_comes_gets_its_share_and_no_more() {
        let mut queues = vec![queue(1000, 50), queue(1000, 5000)];
        run(&mut queues, 10_000_000);
        let turn = Turn::beside(queues.iter().map(|q| &q.turn));
        queues.push(Queue { turn, ..queue(1000, 50) });
        queues.iter_mut().for_each(|q| (q.came, q.time) = (0, 0));
        run(&mut queues, 3_000_000);
        assert!(queues.iter().all(|q| q.time.abs_diff(1_000_000) < 250_000));
    }

    #[test]
    fn what_waited_is_counted_with_the_next_turn() {
        let (mut first, mut second) =
            (Turn { waits: true, ..Turn::default() }, Turn { waits: true, ..Turn::default() });
        first.owe(SLACK, SLACK / 2);
        let mut round = Round::new([first, second].iter());
        round.took(&mut first, BURST, 10, 0);
        round.took(&mut second, BURST, 10, 0);
        assert_eq!((first.place(), second.place()), (2 * SLACK + 10, 10));
        let mut round = Round::new([first, second].iter());
        assert!(!round.is_due(&first) && round.is_due(&second));
        round.took(&mut second, BURST, SLACK, 0);
        assert!(Round::new([first, second].iter()).is_due(&first), "counted once");
    }

    #[test]
    fn what_others_pay_is_not_counted() {
        let mut turn = Turn { spent: 100, ..Turn::default() };
        turn.settle(30);
        assert_eq!((turn.owed, turn.spent), (30, 100));
        turn.settle(-50);
        assert_eq!((turn.owed, turn.spent), (0, 80));
        turn.settle(i64::MIN);
        assert_eq!((turn.owed, turn.spent), (0, 0));
    }

    #[test]
    fn alone_it_is_never_passed_over() {
        let mut queues = [queue(1000, 5000), queue(0, 1)];
        assert_eq!(run(&mut queues, 10_000_000), 100);
    }

    proptest! {
        #[test]
        fn who_always_waits_gets_the_same_time(costs in prop::collection::vec(20..5000u64, 2..6)) {
            let mut queues: Vec<_> = costs.iter().map(|cost| queue(1000, *cost)).collect();
            let until = 200_000_000;
            run(&mut queues, until);
            let share = until / costs.len() as u64;
            for q in &queues {
                prop_assert!(q.time.abs_diff(share) < share / 20, "{} of {share}", q.time);
            }
        }

        #[test]
        fn no_time_is_lost_and_small_needs_are_met(
            many in prop::collection::vec((1..40u64, 20..3000u64), 2..6),
        ) {
            let mut queues: Vec<_> = many.iter().map(|(rate, cost)| queue(*rate, *cost)).collect();
            let until = 100_000_000;
            let idle = run(&mut queues, until);
            let needs: Vec<u64> = many.iter().map(|(rate, cost)| rate * cost).collect();
            // needs are thousandths of the time
            if needs.iter().sum::<u64>() > 1100 {
                prop_assert!(idle < until / 100, "{idle} idle");
            }
            let bursts: u64 = many.iter().map(|(_, cost)| cost * BURST as u64).sum();
            for q in &queues {
                let need = q.rate * q.cost;
                // what comes while each of the others has one burst must find room, whatever the order
                let meanwhile = (bursts - q.cost * BURST as u64) * q.rate / 1000;
                if need * many.len() as u64 <= 900 && meanwhile <= RING - 2 * BURST as u64 - RING / 8 {
                    prop_assert!(q.lost * 50 <= q.came, "{} of {} lost, needs {need}", q.lost, q.came);
                }
            }
        }
    }
}
