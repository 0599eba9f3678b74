//! The walk through tables and action lists.

use std::sync::Arc;

use classifier::Conjunctive;
use dpif::{Action as DpAction, DropReason, Input, PortNo, TableDep, TableKey, Thing, Translation};
use flow::fields::Prereq;
use flow::layout::{self as l, KEY_WORDS, Slot};
use flow::{Mask, matching};
use openflow::action::{PacketInReason, Resubmit};
use openflow::wire::switch::Fragments;
use openflow::{Action, OfPort, TableId};
use smallvec::SmallVec;

use super::state::{By, View};
use super::{Kind, MAX_DEPTH, MAX_LOOKUPS, MAX_NEST, Sink, State};
use crate::recirc::{Frame, Shared};
use crate::snapshot::setup::{LAST_TABLE, Miss};
use crate::snapshot::table::Rule;
use crate::snapshot::{Bridge, Snapshot};

const FRAGMENTS_DROPPED: &str = "Packets are IP fragments and the fragment handling mode is \"drop\".";

/// One translation under way. `snap` and `shared` are not changed but for interning; `st` is the packet; `out` the result.
pub(crate) struct Walk<'a, S> {
    pub(crate) snap: &'a Snapshot,
    pub(crate) shared: &'a Shared,
    pub(crate) input: &'a Input<'a>,
    pub(crate) bridge: &'a Bridge,
    pub(crate) st: &'a mut State,
    pub(crate) out: &'a mut Translation,
    /// Words of the mask before a lookup.
    pub(crate) scratch: SmallVec<[(usize, u64); 16]>,
    pub(crate) sink: S,
}

/// Words that translation wrote, as [`TableDep::rewritten`] has them.
type Rewritten = Box<[(u8, u64, u64)]>;

/// The words of the datapath's key.
const KEY_MAP: u128 = (1 << KEY_WORDS) - 1;

/// How an action list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Done,
    /// Its last step goes to this table: the caller loops instead of nesting.
    Table(u8),
}

/// Where a translation begins.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Where the packet is: at the port that it came by, or where it stopped before it was recirculated.
    Packet,
    /// At a port of a bridge, which need not be there.
    At(u32, OfPort),
    /// In a bridge, with a controller's actions, as if it had come from the port.
    Out(u32, OfPort, &'a [Action]),
}

/// Translates `input` into `out`.
pub(crate) fn run<'a, S: Sink>(
    snap: &'a Snapshot,
    shared: &'a Shared,
    input: &'a Input<'a>,
    st: &'a mut State,
    out: &'a mut Translation,
    sink: S,
) -> S {
    run_from(Start::Packet, snap, shared, input, st, out, sink)
}

/// As [`run`], from a place of one's choice.
pub(crate) fn run_from<'a, S: Sink>(
    start: Start<'a>,
    snap: &'a Snapshot,
    shared: &'a Shared,
    input: &'a Input<'a>,
    st: &'a mut State,
    out: &'a mut Translation,
    sink: S,
) -> S {
    clear(out);
    st.start(input.flow);
    always_exact(input, &mut out.mask);
    let place = if let Start::At(bridge, port) | Start::Out(bridge, port, _) = start {
        Ok((bridge, Some(port), None))
    } else if input.flow.get64(l::RECIRC_ID) == 0 {
        let dp_port = PortNo(input.flow.get64(l::IN_PORT) as u32);
        out.deps.things.push(Thing::Port(dp_port));
        snap.port(dp_port).map(|p| (p.bridge, Some(p.port), None)).ok_or(DropReason::NoBridge)
    } else {
        let id = dpif::RecircId(input.flow.get64(l::RECIRC_ID) as u32);
        shared.frozen(id).map(|f| (f.bridge, None, Some(f))).ok_or(DropReason::Recirculation)
    };
    let found = place.and_then(|(b, port, frozen)| {
        let gone = if port.is_some() { DropReason::NoBridge } else { DropReason::Recirculation };
        snap.bridge(b).map(|bridge| (bridge, port, frozen)).ok_or(gone)
    });
    let (bridge, port, frozen) = match found {
        Ok(found) => found,
        Err(reason) => {
            out.drop = Some(reason);
            out.actions.push(DpAction::Drop(reason));
            return sink;
        }
    };
    let Some(frozen) = frozen else {
        let mut walk = Walk { snap, shared, input, bridge, st, out, scratch: SmallVec::new(), sink };
        match (port, start) {
            (Some(port), Start::Out(_, _, actions)) => walk.packet_out(port, actions),
            (Some(port), _) => walk.enter(port),
            (None, _) => {}
        }
        walk.finish();
        return walk.sink;
    };
    let (snap, bridge) = match &frozen.tables {
        Some(tables) => (&*tables.0, tables.0.bridge(frozen.bridge).unwrap_or(bridge)),
        None => (snap, bridge),
    };
    let mut walk = Walk { snap, shared, input, bridge, st, out, scratch: SmallVec::new(), sink };
    walk.resume(&frozen);
    walk.finish();
    // nobody else's packet may go there
    walk.out.cacheable &= frozen.tables.is_none();
    walk.sink
}

fn clear(out: &mut Translation) {
    out.actions.clear();
    out.mask.w.fill(0);
    out.deps.tables.clear();
    out.deps.things.clear();
    out.effects.clear();
    out.stats.clear();
    out.drop = None;
    out.cacheable = true;
}

/// What every megaflow has exact.
fn always_exact(input: &Input<'_>, mask: &mut Mask) {
    for slot in [l::RECIRC_ID, l::IN_PORT, l::PACKET_TYPE, l::ETH_TYPE] {
        mask.exact(slot);
    }
    if Prereq::Ip.ok(input.flow) {
        mask.exact(l::NW_FRAG);
    }
}

impl<'a, S: Sink> Walk<'a, S> {
    /// Adds a line to the story.
    #[inline]
    pub(crate) fn tell(&mut self, kind: Kind, line: impl FnOnce() -> String) {
        self.sink.tell(kind, line);
    }

    /// Adds what came of the last line.
    #[inline]
    pub(crate) fn detail(&mut self, line: impl FnOnce() -> String) {
        self.sink.tell(Kind::Detail, line);
    }

    /// Adds what did not work.
    #[inline]
    pub(crate) fn warn(&mut self, line: impl FnOnce() -> String) {
        self.sink.tell(Kind::Warning, line);
    }

    pub(crate) fn tell_bridge(&mut self) {
        let name = &self.bridge.name;
        self.sink.tell(Kind::Bridge, || format!("bridge(\"{name}\")\n{}", "-".repeat(name.len() + 10)));
    }

    /// Remembers why nothing is sent; the first reason counts.
    pub(crate) fn reason(&mut self, reason: DropReason) {
        self.out.drop.get_or_insert(reason);
    }

    /// Ends the whole translation: nothing of the packet is sent.
    pub(crate) fn fail(&mut self, reason: DropReason) {
        let why = match reason {
            DropReason::Depth => "over max translation depth 64",
            DropReason::Resubmits => "over 4096 resubmit actions",
            DropReason::StackTooDeep => "resubmits yielded over 64 kB of stack",
            _ => reason.describe().trim_end_matches('.'),
        };
        // the last line of a trace says that of labels
        if reason != DropReason::MplsLabels {
            self.tell(Kind::Error, || why.to_owned());
        }
        self.out.drop = Some(reason);
        self.out.actions.clear();
        self.st.outputs = 0;
        self.st.exit = true;
        self.st.freezing = None;
    }

    /// Whether the packet's TTL ran out and controllers are all that hears of it: it is dropped all the same.
    fn only_told(&self) -> bool {
        self.out.drop == Some(DropReason::TtlExceeded) && self.out.actions.iter().all(|a| tells(a) || !sends(a))
    }

    /// Is nothing done but count?
    fn only_metered(&self) -> bool {
        self.out.actions.iter().all(|a| matches!(a, DpAction::Meter(_)) || !sends(a))
    }

    pub(crate) fn failed(&self) -> bool {
        self.st.exit && self.st.outputs == 0 && self.out.actions.is_empty() && self.out.drop.is_some_and(is_error)
    }

    /// The value of `slot`, on which the result depends from now on.
    pub(crate) fn look(&mut self, slot: Slot) -> u128 {
        self.look_bits(slot, u128::MAX)
    }

    /// The bits `bits` of `slot`.
    pub(crate) fn look_bits(&mut self, slot: Slot, bits: u128) -> u128 {
        let mut bits = bits;
        if slot.width < 128 {
            bits &= (1 << slot.width) - 1;
        }
        let read = bits & !self.st.now.written.get(slot);
        if usize::from(slot.word) < KEY_WORDS && read != 0 {
            let old = self.out.mask.get(slot);
            self.out.mask.set(slot, old | read);
        }
        self.st.now.flow.get(slot) & bits
    }

    /// Does the packet meet `prereq`? The result depends on that from now on.
    pub(crate) fn has(&mut self, prereq: Prereq) -> bool {
        if prereq != Prereq::None {
            let mut looked = Mask::default();
            prereq.add_mask(&mut looked);
            self.looked(&looked);
        }
        prereq.ok(&self.st.now.flow)
    }

    /// The result depends on these bits.
    pub(crate) fn looked(&mut self, bits: &Mask) {
        let all = self.out.mask.w.iter_mut().zip(&bits.w).zip(&self.st.now.written.w);
        for ((exact, looked), written) in all {
            *exact |= looked & !written;
        }
    }

    /// A packet comes in on `port` of this bridge.
    pub(crate) fn enter(&mut self, port: OfPort) {
        let bridge = self.bridge;
        self.st.set_in_port(port);
        self.st.clear_registers();
        self.st.first = None;
        self.tell_bridge();
        self.sink.down();
        match bridge.ports.get(&port) {
            Some(p) if !p.receives() => {
                self.warn(|| "port is configured not to receive".into());
                self.reason(DropReason::Rule);
            }
            found => {
                if let Some(p) = found {
                    self.mirror_in(p);
                }
                let levels = self.tables(0, false, None);
                // The action set is the first flow's, and told of as part of the first table.
                self.st.by.cookie = self.st.first.unwrap_or(0);
                self.sink.up(levels - 1);
                self.end_of_pipeline();
                self.sink.up(1);
            }
        }
        self.sink.up(1);
    }

    /// A controller sends a packet, with what is to be done with it.
    fn packet_out(&mut self, port: OfPort, actions: &[Action]) {
        self.st.set_in_port(port);
        self.st.clear_registers();
        self.st.by.reason = PacketInReason::PacketOut;
        self.tell_bridge();
        self.sink.down();
        if let Next::Table(table) = self.actions(actions) {
            self.table(table, false);
        }
        self.end_of_pipeline();
        self.sink.up(1);
    }

    /// Runs the action set, once the tables are done with the packet.
    pub(crate) fn end_of_pipeline(&mut self) {
        if self.failed() || self.st.freezing.is_some() {
            return;
        }
        self.run_action_set();
    }

    /// Looks the packet up in `table` and in what that leads to.
    pub(crate) fn table(&mut self, table: u8, resubmitted: bool) {
        let levels = self.tables(table, resubmitted, None);
        self.sink.up(levels);
    }

    /// As [`Walk::table`], the first lookup as if the packet had come from `from`, which actions do not see
    /// (ovs-actions(7), "resubmit"). Returns how many levels down the story is then.
    fn tables(&mut self, table: u8, resubmitted: bool, mut from: Option<OfPort>) -> usize {
        let mut levels = 0;
        let saved = (self.st.table, self.st.by);
        let mut next = Next::Table(table);
        let mut quiet = resubmitted;
        while let Next::Table(table) = next {
            self.st.table = table;
            let found = match from.take() {
                Some(port) => {
                    let in_port = self.st.in_port();
                    self.st.set_in_port(port);
                    let found = self.lookup(table, quiet);
                    self.st.set_in_port(in_port);
                    found
                }
                None => self.lookup(table, quiet),
            };
            levels += 1;
            self.sink.down();
            next = match found {
                Some(rule) => self.rule(rule),
                None if self.drops_fragments() => {
                    self.tell(Kind::Action, || "drop".into());
                    self.reason(DropReason::Fragment);
                    Next::Done
                }
                None => {
                    // A miss after a resubmit does nothing; one in the pipeline proper is told of, or drops.
                    match quiet {
                        true => self.tell(Kind::Action, || "drop".into()),
                        false => self.missed(),
                    }
                    Next::Done
                }
            };
            quiet = false;
        }
        (self.st.table, self.st.by) = saved;
        levels
    }

    /// Is the packet a fragment of those that are dropped before the tables?
    fn drops_fragments(&self) -> bool {
        self.bridge.fragments == Fragments::Drop && self.st.now.flow.get64(l::NW_FRAG) != 0
    }

    fn missed(&mut self) {
        let bridge = self.bridge;
        self.out.deps.things.push(Thing::Bridge(bridge.index));
        let port = bridge.ports.get(&self.st.in_port());
        let told = match bridge.miss(self.st.table) {
            Miss::ByVersion => bridge.misses_told,
            // what goes on to the next table comes to controllers at the last
            Miss::Controller | Miss::Continue => true,
            Miss::Drop => false,
        };
        if told && !port.is_some_and(|p| p.flags.no_packet_in) {
            self.tell(Kind::Action, || "CONTROLLER:65535".into());
            // of no flow's; what misses has cookie 0
            self.st.by.cookie = 0;
            return self.packet_in(0, u16::MAX, PacketInReason::NoMatch, &[], None);
        }
        self.tell(Kind::Action, || "drop".into());
        self.reason(DropReason::TableMiss);
    }

    fn rule(&mut self, rule: &'a Arc<Rule>) -> Next {
        let actions: &'a [Action] = &rule.actions;
        if actions.is_empty() {
            self.tell(Kind::Action, || "drop".into());
            self.reason(DropReason::Rule);
        }
        self.st.first.get_or_insert(rule.cookie.0);
        self.st.by = By {
            reason: PacketInReason::Action,
            cookie: rule.cookie.0,
            table_miss: rule.rank == 0 && rule.matching.is_any(),
            rule: Some(rule.id),
        };
        self.st.nest += 1;
        let next = self.actions(actions);
        self.st.nest -= 1;
        next
    }

    fn lookup(&mut self, number: u8, quiet: bool) -> Option<&'a Arc<Rule>> {
        // one of the fields that every megaflow has
        let fragment = self.st.now.flow.get64(l::NW_FRAG) as u8;
        if fragment == 0 {
            return self.find(number, quiet);
        }
        self.out.deps.things.push(Thing::Bridge(self.bridge.index));
        match self.bridge.fragments {
            Fragments::Drop => {
                self.tell(Kind::Table, || format!("{number:2}. {FRAGMENTS_DROPPED}"));
                None
            }
            Fragments::Normal if fragment & l::FRAG_LATER == 0 => {
                let before = self.st.now.hide_ports();
                let from = self.out.deps.tables.len();
                let found = self.find(number, quiet);
                // the mask has what was looked at, as in OVS; rules that come later are compared with zeros
                self.st.now.own_up();
                let word = l::TP_SRC.word;
                let ports = self.rewritten().iter().find(|(w, ..)| *w == word).copied();
                for looked in self.out.deps.tables.iter_mut().skip(from) {
                    let others = looked.rewritten.iter().filter(|(w, ..)| *w != word).copied();
                    looked.rewritten = others.chain(ports).collect();
                }
                self.st.now.back(before);
                found
            }
            _ => self.find(number, quiet),
        }
    }

    /// The flow of a table that the packet matches. Where the table says so and nobody resubmitted the packet to it
    /// (`quiet`), what matches nothing goes on to the next; only the last of them is told of.
    fn find(&mut self, number: u8, quiet: bool) -> Option<&'a Arc<Rule>> {
        let mut number = number;
        loop {
            self.st.lookups += 1;
            if self.st.lookups > MAX_LOOKUPS {
                self.fail(DropReason::Resubmits);
                return None;
            }
            let rule = self.look_in(number);
            let bridge = self.bridge;
            if rule.is_none() && !quiet && number < LAST_TABLE && bridge.miss(number) == Miss::Continue {
                self.out.deps.things.push(Thing::Bridge(bridge.index));
                number += 1;
                self.st.table = number;
                continue;
            }
            let named = self.sink.names().then_some(bridge);
            match rule {
                Some(rule) => self.tell(Kind::Table, || crate::trace::rule_line(number, rule, named)),
                None => self.tell(Kind::Table, || format!("{number:2}. No match.")),
            }
            if let Some(table) = bridge.table(number) {
                let flow = &self.st.now.flow;
                self.sink.why(|| crate::trace::why(table, flow, rule, bridge));
            }
            return rule;
        }
    }

    /// Looks the packet up in one table.
    fn look_in(&mut self, number: u8) -> Option<&'a Arc<Rule>> {
        let bridge = self.bridge;
        let table = bridge.table(number);
        let View { flow, written, touched, .. } = &self.st.now;
        // The classifier marks what it looks at in the result's mask; what translation wrote is taken out again.
        let mask = &mut self.out.mask;
        self.scratch.clear();
        self.scratch.extend(matching::bits(touched & KEY_MAP).map(|i| (i, mask.w[i])));
        let mut together = None;
        let rule = match table {
            Some(t) if t.rules.is_conjunctive() => together.insert(t.rules.lookup_conjunctive(flow, mask)).rule,
            table => table.and_then(|t| t.rules.lookup(flow, mask)),
        };
        for (i, before) in self.scratch.drain(..) {
            mask.w[i] = before | mask.w[i] & !written.w[i];
        }
        let key = TableKey { bridge: bridge.index, table: number };
        let rewritten = self.rewritten();
        match together {
            Some(found) => self.depends_on_all(key, &found, rewritten),
            None => self.depends_on(key, rule, rule.map_or(-1, |r| r.rank), rewritten),
        }
        let missed = || bridge.missed.get(usize::from(number));
        self.out.stats.extend(rule.map(|r| &r.stats).or_else(missed).cloned());
        rule
    }

    fn depends_on(&mut self, table: TableKey, rule: Option<&Arc<Rule>>, priority: i32, rewritten: Rewritten) {
        self.out.deps.tables.push(TableDep { table, rule: rule.map(|r| r.id), priority, rewritten });
    }

    /// The result depends on a conjunctive match: on each clause, on rules that outrank it, and on what is found with the
    /// condition's id.
    fn depends_on_all(&mut self, table: TableKey, found: &Conjunctive<'_, Rule>, rewritten: Rewritten) {
        for clause in &found.clauses {
            self.depends_on(table, Some(clause), i32::MAX, Rewritten::default());
        }
        let word = usize::from(l::CONJ_ID.word);
        let written = self.st.now.flow.w[word];
        for (id, rule) in &found.tried {
            let mut with = rewritten.to_vec();
            with.retain(|(w, ..)| usize::from(*w) != word);
            with.push((word as u8, u64::MAX, written & !l::CONJ_ID.bits() | u64::from(*id) << l::CONJ_ID.shift));
            self.depends_on(table, *rule, rule.map_or(-1, |r| r.rank), with.into());
        }
        self.depends_on(table, found.rule, found.priority, rewritten);
    }

    /// What translation has written so far, for [`TableDep`].
    fn rewritten(&self) -> Rewritten {
        let View { flow, written, touched, .. } = &self.st.now;
        let tells = |i: &usize| if *i < KEY_WORDS { written.w[*i] != 0 } else { flow.w[*i] != 0 };
        let words = matching::bits(*touched).filter(tells);
        words.map(|i| (i as u8, written.w[i], flow.w[i] & written.w[i])).collect()
    }

    /// Runs a list. What is left of it when the packet is frozen goes with it.
    pub(crate) fn actions(&mut self, list: &[Action]) -> Next {
        for (i, action) in list.iter().enumerate() {
            if self.st.exit {
                self.leave_behind(&list[i..]);
                return Next::Done;
            }
            if self.st.was_mpls && super::mpls::needs_parse(action) {
                self.freeze();
                self.leave_behind(&list[i..]);
                return Next::Done;
            }
            if let Action::CheckPktLarger { len, dst } = action {
                let bridge = self.sink.names().then_some(self.bridge);
                self.tell(Kind::Action, || crate::trace::action_text(action, 0, bridge));
                self.by_length(*len, *dst, &list[i + 1..]);
                return Next::Done;
            }
            let next = self.action(action);
            if next != Step::Go {
                return match next {
                    Step::Table(t) => Next::Table(t),
                    _ => Next::Done,
                };
            }
        }
        Next::Done
    }

    /// Keeps the rest of a list for after the recirculation.
    fn leave_behind(&mut self, rest: &[Action]) {
        let table = self.st.table;
        if let Some(frames) = &mut self.st.freezing
            && !rest.is_empty()
        {
            frames.push(Frame { table, actions: rest.into() });
        }
    }

    fn action(&mut self, action: &Action) -> Step {
        let (bridge, proto) = (self.sink.names().then_some(self.bridge), self.st.now.flow.get64(l::NW_PROTO));
        self.tell(Kind::Action, || crate::trace::action_text(action, proto, bridge));
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len),
            Action::OutputReg { src, max_len } => self.output_register(*src, *max_len),
            Action::OutputTrunc { port, max_len } => self.output_truncated(*port, *max_len),
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue),
            Action::Controller(c) => self.controller(c),
            Action::Meter(id) => self.meter(*id),
            Action::Group(id) => self.group(*id),
            Action::SetField(set) => self.set_field(set),
            Action::Move { src, dst } => self.copy(*src, *dst),
            Action::StackPush(src) => self.push(*src),
            Action::StackPop(dst) => self.pop(*dst),
            // a queue's number is its priority in this datapath
            Action::SetQueue(queue) => self.write(l::SKB_PRIORITY, u128::from(*queue), u128::MAX),
            Action::PopQueue => self.unset_queue(),
            Action::SetTunnel { id, .. } => self.st.put(l::TUN_ID, u128::from(*id)),
            Action::SetVlanVid { vid, push } => self.set_vlan(*vid, 0x0fff, *push),
            Action::SetVlanPcp { pcp, push } => self.set_vlan(u16::from(*pcp) << 13, 0xe000, *push),
            Action::StripVlan => self.pop_vlan(),
            Action::PushVlan(tpid) => self.push_vlan(*tpid, 0),
            Action::PushMpls(kind) => self.push_mpls(*kind),
            Action::PopMpls(kind) => self.pop_mpls(*kind),
            Action::SetMplsLabel(label) => self.set_mpls(label << 12, 0xffff_f000),
            Action::SetMplsTc(tc) => self.set_mpls(u32::from(*tc) << 9, 0xe00),
            Action::SetMplsTtl(ttl) => self.set_mpls(u32::from(*ttl), 0xff),
            Action::DecMplsTtl => return self.dec_mpls_ttl(),
            Action::DecTtl(controllers) => return self.dec_ttl(controllers),
            Action::Resubmit(resubmit) => return self.resubmit(resubmit),
            // the copy has an action set of its own, which is executed on it (ovs-actions(7), "clone")
            // an exit in it is one of the packet's
            Action::Clone(list) => {
                self.st.exit = self.isolated(|w| {
                    w.actions(list);
                    w.end_of_pipeline();
                });
            }
            Action::Exit => {
                self.st.exit = true;
                return Step::Stop;
            }
            Action::Ct(ct) => self.ct(ct),
            Action::CtClear => self.ct_clear(),
            Action::DebugRecirc => self.freeze(),
            Action::ClearActions => self.st.action_set.clear(),
            Action::WriteActions(list) => self.write_actions(list),
            Action::WriteMetadata { value, mask } => {
                self.st.write(l::METADATA, u128::from(*value), u128::from(*mask));
            }
            Action::GotoTable(table) => return Step::Table(table.0),
            // What these do is nothing to the packet.
            Action::Note(_) | Action::DebugSlow => {}
            // a part of a match, which a packet cannot find
            Action::Conjunction { .. } => {}
            // nobody collects samples: tables that would say who are not supported
            Action::Sample(_) => {}
            Action::Learn(learn) => self.learn(learn),
            Action::FinTimeout { idle, hard } => self.fin_timeout(*idle, *hard),
            Action::Multipath(multipath) => self.multipath(multipath),
            Action::Bundle(bundle) => self.bundle(bundle),
            // Refused when a flow is added (see `manager::check`).
            Action::DeleteField(_)
            | Action::DecNshTtl
            | Action::Encap(_)
            | Action::Decap(_)
            | Action::CheckPktLarger { .. } => self.fail(DropReason::Unsupported),
        }
        Step::Go
    }

    fn resubmit(&mut self, resubmit: &Resubmit) -> Step {
        let table = resubmit.table.unwrap_or(TableId(self.st.table)).0;
        let own = resubmit.in_port == OfPort::IN_PORT || resubmit.in_port == self.st.in_port();
        let deepens = table <= self.st.table;
        if deepens && self.st.depth >= MAX_DEPTH || self.st.nest >= MAX_NEST {
            self.fail(DropReason::Depth);
            return Step::Stop;
        }
        self.st.depth += u32::from(deepens);
        self.st.nest += 1;
        let levels = self.tables(table, true, (!own).then_some(resubmit.in_port));
        self.sink.up(levels);
        self.st.nest -= 1;
        self.st.depth -= u32::from(deepens);
        Step::Go
    }

    /// Runs `inside` so that what it does to the packet, the stack and the action set does not show afterwards. Returns
    /// whether it came to an exit, or failed.
    pub(crate) fn isolated(&mut self, inside: impl FnOnce(&mut Self)) -> bool {
        if self.st.nest >= MAX_NEST {
            self.fail(DropReason::Depth);
            return true;
        }
        let now = self.st.now.clone();
        let (stack, stack_bytes) = (self.st.stack.clone(), self.st.stack_bytes);
        let action_set = self.st.action_set.clone();
        let (was_mpls, table, epoch, bridge) = (self.st.was_mpls, self.st.table, self.st.epoch, self.bridge);
        let by = self.st.by;
        let (emitted, base) = (self.out.actions.len(), self.st.base.clone());
        self.st.nest += 1;
        inside(self);
        let frozen = self.st.freezing.is_some();
        if frozen {
            self.finish_freezing();
        }
        self.st.nest -= 1;
        if self.failed() {
            return true;
        }
        self.bridge = bridge;
        let exited = std::mem::take(&mut self.st.exit) && !frozen;
        self.st.now = now;
        (self.st.stack, self.st.stack_bytes, self.st.action_set) = (stack, stack_bytes, action_set);
        (self.st.was_mpls, self.st.table, self.st.by) = (was_mpls, table, by);
        if self.st.epoch != epoch {
            // No rewrite brings the packet back, so all of it happens to a copy.
            let steps = self.out.actions.split_off(emitted);
            self.out.actions.push(DpAction::Clone(steps));
            self.st.base = base;
            self.st.epoch = epoch;
        }
        exited
    }

    /// The rest of a list, once as if the packet had more than `len` bytes and once as if it had not: the datapath knows
    /// (ovs-actions(7), "check_pkt_larger").
    fn by_length(&mut self, len: u16, dst: openflow::Subfield, rest: &[Action]) {
        if self.st.nest >= MAX_NEST {
            return self.fail(DropReason::Depth);
        }
        self.commit();
        let (before, base, epoch) = (self.out.actions.len(), self.st.base.clone(), self.st.epoch);
        let mut branch = |larger: bool| {
            self.isolated(|w| {
                w.store_subfield(dst, larger.into());
                if let Next::Table(table) = w.actions(rest) {
                    w.table(table, false);
                }
            });
            (self.st.base, self.st.epoch) = (base.clone(), epoch);
            let mut steps = self.out.actions.split_off(before.min(self.out.actions.len()));
            steps.truncate(steps.iter().rposition(sends).map_or(0, |i| i + 1));
            // a copy that nothing follows need not be one
            while let Some(DpAction::Clone(_)) = steps.last() {
                let Some(DpAction::Clone(inner)) = steps.pop() else { break };
                steps.extend(inner);
            }
            steps
        };
        let (more, other) = (branch(true), branch(false));
        if !self.failed() {
            self.out.actions.push(DpAction::CheckLen { size: len, more, other });
        }
    }

    /// Last touches: freezing, a drop's reason, nothing in the mask that the key does not have.
    fn finish(&mut self) {
        if self.st.freezing.is_some() {
            self.finish_freezing();
        }
        self.out.mask.w[KEY_WORDS..].fill(0);
        let last = self.out.actions.iter().rposition(sends).map_or(0, |i| i + 1);
        self.out.actions.truncate(last);
        // A copy that nothing follows need not be one.
        while let Some(DpAction::Clone(_)) = self.out.actions.last() {
            let Some(DpAction::Clone(steps)) = self.out.actions.pop() else { break };
            self.out.actions.extend(steps);
        }
        if self.only_metered() {
            let reason = *self.out.drop.get_or_insert(DropReason::Rule);
            if self.out.actions.is_empty() {
                self.out.actions.push(DpAction::Drop(reason));
            }
        } else if !self.only_told() {
            self.out.drop = None;
        }
        self.out.deps.things.sort_unstable();
        self.out.deps.things.dedup();
    }
}

/// What an action leaves to its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Go,
    /// The rest of the list does not run.
    Stop,
    Table(u8),
}

/// Does the step give management a copy, if a meter allows it?
fn tells(action: &DpAction) -> bool {
    match action {
        DpAction::Userspace(_) | DpAction::Meter(_) => true,
        DpAction::Clone(steps) => steps.iter().all(tells),
        _ => false,
    }
}

/// Does the step send the packet, hand it on or count it?
fn sends(action: &DpAction) -> bool {
    match action {
        DpAction::Output(_) | DpAction::Recirc(_) | DpAction::Userspace(_) | DpAction::Ct(_) | DpAction::Meter(_) => {
            true
        }
        DpAction::Clone(steps) => steps.iter().any(sends),
        // which of two nothings is said as well
        DpAction::CheckLen { .. } => true,
        _ => false,
    }
}

/// Reasons that void a translation as a whole.
fn is_error(reason: DropReason) -> bool {
    use DropReason::{Depth, MplsLabels, Recirculation, Resubmits, StackTooDeep, Translation, Unsupported};
    matches!(reason, Depth | Resubmits | StackTooDeep | MplsLabels | Unsupported | Translation | Recirculation)
}
