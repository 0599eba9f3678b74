//! What people ask: flows, tables, learned addresses, traces.

use std::fmt::Write as _;
use std::sync::Arc;

use base::clock::Instant;
use dpif::{Change, RecircId, Thing};
use flow::{Flow, Match};
use openflow::{OfPort, TableId};

use super::{Error, Manager};
use crate::normal::fdb::{Events, FdbKey};
use crate::snapshot::Bridge;
use crate::snapshot::table::Rule;
use crate::trace::Request;

/// Which flows to list.
#[derive(Clone, Debug, Default)]
pub struct FlowFilter {
    pub table: Option<TableId>,
    /// Only flows within this match.
    pub matching: Match,
    /// (value, mask)
    pub cookie: (u64, u64),
    /// The switch's own too.
    pub hidden: bool,
}

/// Counters of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    pub table: u8,
    pub active: usize,
    /// Distinct masks.
    pub subtables: usize,
    /// Packets that matched rules which are still there.
    pub matched: u64,
    pub missed: u64,
}

impl Bridge {
    /// The flows that `filter` lets through, by table and falling priority.
    pub fn flows(&self, filter: &FlowFilter) -> Vec<(TableId, Arc<Rule>)> {
        let (value, mask) = filter.cookie;
        let mut out = Vec::new();
        for (number, table) in (0..=u8::MAX).zip(&self.tables) {
            let Some(table) = table else { continue };
            if filter.table.is_some_and(|t| t.0 != number) {
                continue;
            }
            let from = out.len();
            let wanted = |r: &&Arc<Rule>| r.cookie.0 & mask == value & mask && (filter.hidden || !r.is_hidden());
            let rules = table.rules.within(&filter.matching).filter(wanted);
            out.extend(rules.map(|r| (TableId(number), r.clone())));
            out[from..].sort_by_key(|(_, r)| (std::cmp::Reverse(r.rank), r.id));
        }
        out
    }

    /// How many flows there are.
    pub fn flow_count(&self) -> usize {
        self.tables.iter().flatten().map(|t| t.rules.len()).sum()
    }
}

impl Manager {
    /// The flows of a bridge that `filter` lets through, by table and falling priority.
    pub fn dump_flows(&self, bridge: &str, filter: &FlowFilter) -> Result<Vec<(TableId, Arc<Rule>)>, Error> {
        let index = self.index_of(bridge)?;
        Ok(self.work.bridge(index).map(|b| b.flows(filter)).unwrap_or_default())
    }

    /// Counters of the tables of a bridge that have ever had a flow.
    pub fn table_stats(&self, bridge: &str) -> Result<Vec<TableStats>, Error> {
        let index = self.index_of(bridge)?;
        let Some(bridge) = self.work.bridge(index) else { return Ok(Vec::new()) };
        let tables = (0..=u8::MAX).zip(&bridge.tables).filter_map(|(n, t)| t.as_ref().map(|t| (n, t)));
        Ok(tables
            .map(|(number, table)| TableStats {
                table: number,
                active: table.rules.len(),
                subtables: table.rules.subtables(),
                matched: table.rules().map(|r| r.stats.get().0).sum(),
                missed: bridge.missed_in(number),
            })
            .collect())
    }

    /// Learned addresses of a port that had to go because the port had too many.
    pub fn fdb_evictions(&self, bridge: &str, port: OfPort) -> u64 {
        let learner = self.index_of(bridge).ok().and_then(|index| self.learners.get(index as usize));
        learner.and_then(|l| l.evictions().get(&port)).copied().unwrap_or(0)
    }

    /// Learned addresses as `ovs-appctl fdb/show` prints them; ages in seconds.
    pub fn fdb_show(&self, bridge: &str, now: Instant) -> Result<String, Error> {
        let index = self.index_of(bridge)?;
        let mut out = String::from(" port  VLAN  MAC                Age\n");
        let Some(bridge) = self.work.bridge(index) else { return Ok(out) };
        let mut entries: Vec<_> = bridge.fdb.iter().collect();
        entries.sort_by_key(|e| (e.used(), e.key));
        for e in entries {
            let port = if e.port == OfPort::LOCAL { "LOCAL".into() } else { e.port.0.to_string() };
            let age = if e.is_static() { "static".into() } else { now.since(e.used()).as_secs().to_string() };
            let _ = writeln!(out, "{port:>5}  {:>4}  {}  {age:>3}", e.key.vlan, crate::trace::mac(e.key.mac));
        }
        Ok(out)
    }

    /// Puts an address there for good, as `ovs-appctl fdb/add` does. Returns the port that it was on before, and whether it
    /// was static there.
    pub fn fdb_add(
        &mut self,
        bridge: &str,
        port: OfPort,
        vlan: u16,
        mac: u64,
    ) -> Result<Option<(OfPort, bool)>, Error> {
        let index = self.index_of(bridge)?;
        let key = FdbKey { vlan, mac };
        let before = self.work.bridge(index).and_then(|b| b.fdb.get(key)).map(|e| (e.port, e.is_static()));
        self.learn(index, key, port, Instant::MAX);
        Ok(before)
    }

    /// Takes a static address away; whether there was one.
    pub fn fdb_del(&mut self, bridge: &str, vlan: u16, mac: u64) -> Result<bool, Error> {
        let index = self.index_of(bridge)?;
        let key = FdbKey { vlan, mac };
        let found = self.work.bridge(index).and_then(|b| b.fdb.get(key));
        if !found.is_some_and(|e| e.is_static()) {
            return Ok(false);
        }
        let Some(learner) = self.learners.get_mut(index as usize) else { return Ok(false) };
        let Some(bridge) = self.work.bridges.get_mut(index as usize).and_then(Option::as_mut) else { return Ok(false) };
        learner.remove(&mut Arc::make_mut(bridge).fdb, key);
        self.changes.push(Change::Thing(Thing::Fdb { bridge: index, vlan, mac }));
        Ok(true)
    }

    /// What happened to the addresses of a bridge since it was made.
    pub fn fdb_events(&self, bridge: &str) -> Result<Events, Error> {
        let index = self.index_of(bridge)?;
        Ok(self.learners.get(index as usize).map(|l| *l.events()).unwrap_or_default())
    }

    /// What happened to the addresses of all bridges, those that are gone included.
    pub fn fdb_all_events(&self) -> Events {
        self.learners.iter().fold(self.gone, |sum, learner| sum.plus(learner.events()))
    }

    /// Forgets all learned addresses of a bridge, not static ones; returns how many there were.
    pub fn fdb_flush(&mut self, bridge: &str) -> Result<usize, Error> {
        let index = self.index_of(bridge)?;
        Ok(self.flush_port(index, None))
    }

    /// Tells how a packet with the key `flow` (IN_PORT being an OpenFlow port of `bridge`) is treated by the tables as
    /// they will be in the next version. Nothing is learned or counted.
    pub fn trace(&self, bridge: &str, flow: &Flow, frame: Option<&[u8]>, now: Instant) -> Result<String, Error> {
        self.trace_request(bridge, &Request { flow: flow.clone(), frame, ..Request::default() }, now)
    }

    /// The same with all that can be asked for.
    ///
    /// # Errors
    /// No such bridge, or actions that are not supported.
    pub fn trace_request(&self, bridge: &str, request: &Request<'_>, now: Instant) -> Result<String, Error> {
        let index = self.index_of(bridge)?;
        if let Some(actions) = request.actions {
            self.check_actions(index, actions, TableId(0))?;
        }
        crate::trace::trace(&self.work, &self.shared, index, request, now).map(|(text, _)| text)
    }

    /// The bridge and port of a packet that was recirculated with this number.
    pub fn recirculated(&self, id: RecircId) -> Option<(u32, OfPort)> {
        self.shared.frozen(id).map(|f| (f.bridge, f.in_port))
    }

    /// The same, as if the packet had come: what it teaches is learned.
    ///
    /// # Errors
    /// No such bridge.
    pub fn trace_packet(&mut self, bridge: &str, request: &Request<'_>, now: Instant) -> Result<String, Error> {
        let index = self.index_of(bridge)?;
        let request = Request { acts: true, ..request.clone() };
        let (text, effects) = crate::trace::trace(&self.work, &self.shared, index, &request, now)?;
        for effect in effects {
            self.carry_out(effect, now);
        }
        Ok(text)
    }
}
