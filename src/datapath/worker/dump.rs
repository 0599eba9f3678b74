//! Which megaflows a dump reports: all, those that a match overlaps, the best by an order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dpif::PortNo;
use flow::Match;

use super::Core;
use crate::cache::slab::{Cold, Hot};

/// A megaflow without packets for so long, nanoseconds, has no rate.
const IDLE: u64 = 2_000_000_000;

/// What a dump reports.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Megaflows that packets of this match may have; IN_PORT is a datapath port.
    pub matching: Match,
    /// Received on one of these; any when None.
    pub in_ports: Option<Vec<PortNo>>,
    /// The first so many by an order, of each worker.
    pub best: Option<(usize, Order)>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Most packets.
    Packets,
    /// Most bytes.
    Bytes,
    /// Most packets a second of late.
    Rate,
    /// Made first.
    Age,
}

/// The best so far: score and place, worst on top.
#[derive(Default)]
pub(super) struct Best(BinaryHeap<Reverse<(u64, u32)>>);

impl Best {
    pub(super) fn offer(&mut self, score: u64, index: u32, most: usize) {
        self.0.push(Reverse((score, index)));
        if self.0.len() > most {
            self.0.pop();
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = u32> {
        std::mem::take(&mut self.0).into_iter().map(|Reverse((_, index))| index)
    }
}

impl Core {
    pub(super) fn is_wanted(&self, index: u32, wanted: &Wanted) -> bool {
        let Some(hot) = self.flows.slab.get(index).filter(|hot| hot.live) else { return false };
        if let Some(ports) = &wanted.in_ports {
            let of = self.flows.port((hot.line[0] >> 16) as u16);
            if of.is_none_or(|p| !ports.contains(&p.port)) {
                return false;
            }
        }
        if wanted.matching.is_any() {
            return true;
        }
        let Some(cold) = self.flows.slab.cold(index) else { return false };
        wanted.matching.iter().all(|(i, p)| (cold.key.w[i] ^ p.value) & p.mask & cold.mask.w[i] == 0)
    }

    pub(super) fn score(&self, index: u32, order: Order) -> u64 {
        let (Some(hot), Some(cold)) = (self.flows.slab.get(index), self.flows.slab.cold(index)) else { return 0 };
        match order {
            Order::Packets => cold.packets + hot.packets,
            Order::Bytes => cold.bytes + hot.bytes,
            Order::Rate => self.rate(hot, cold).0,
            Order::Age => u64::MAX - cold.created,
        }
    }

    /// Packets and bytes a second of late.
    pub(super) fn rate(&self, hot: &Hot, cold: &Cold) -> (u64, u64) {
        if self.now.as_nanos().saturating_sub(hot.used) > IDLE {
            return (0, 0);
        }
        cold.rate.get(hot)
    }
}
