//! `learn` and `fin_timeout`: what packets do to flows. Translation says it as effects; the manager carries them out, so the
//! flow is in force as soon as the next version is published.

use dpif::{Effect, TableKey};
use flow::fields::Prereq;
use flow::layout as l;
use flow::{Flow, Mask, Match};
use openflow::action::{Learn, LearnSource, LearnSpec, LearnTarget, SetField, SetStyle};
use openflow::{Action, OfPort, Subfield};

use super::state::from16;
use super::{Sink, Walk};
use crate::recirc::Taught;

/// TCP's FIN and RST.
const ENDS: u128 = 0x5;

impl<S: Sink> Walk<'_, S> {
    /// ovs-actions(7), "learn".
    pub(crate) fn learn(&mut self, learn: &Learn) {
        if self.sink.is_idle() {
            return self.warn(|| "suppressing side effects, so learn action ignored".into());
        }
        let (mut flow, mut mask) = (Flow::default(), Mask::default());
        let mut actions = Vec::new();
        if learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0 {
            actions.push(Action::FinTimeout { idle: learn.fin_idle_timeout, hard: learn.fin_hard_timeout });
        }
        for LearnSpec { source, target } in &learn.specs {
            let value = match source {
                LearnSource::Value(value) => *value,
                // a field that the packet lacks reads as 0
                LearnSource::Field(from) => self.load(*from).unwrap_or(0),
            };
            match target {
                LearnTarget::Match(to) => ask(&mut flow, &mut mask, *to, value),
                LearnTarget::Load(to) => actions.push(Action::SetField(SetField {
                    field: to.field,
                    value: value.checked_shl(to.ofs.into()).unwrap_or(0) & to.mask(),
                    mask: to.mask(),
                    style: SetStyle::Load,
                })),
                // ovs-actions(7): a 16-bit port number, as in OpenFlow 1.0
                LearnTarget::Output => {
                    let port = u16::try_from(value).map_or(OfPort::NONE, from16);
                    actions.push(Action::Output { port, max_len: 0 });
                }
            }
        }
        let taught = Taught {
            bridge: self.bridge.index,
            table: learn.table.0,
            matching: Match::new(&flow, &mask),
            priority: learn.priority,
            cookie: learn.cookie,
            idle_timeout: learn.idle_timeout,
            hard_timeout: learn.hard_timeout,
            send_flow_rem: learn.send_flow_rem,
            limit: learn.limit.map_or(0, |l| l.flows),
            actions: actions.into(),
        };
        let learned = self.bridge.table(taught.table).is_none_or(|t| taught.fits(t));
        let bridge = self.sink.names().then_some(self.bridge);
        self.detail(|| crate::trace::taught_text(&taught, bridge));
        if let Some(result) = learn.limit.and_then(|l| l.result) {
            self.store_subfield(result, learned.into());
            self.tell_value(result);
            // more may be learned, or go, without a change of a flow that this depends on
            self.out.cacheable = false;
        }
        match learned {
            true => match self.shared.taught(taught, self.input.now) {
                Some((id, stats)) => {
                    self.out.stats.push(stats);
                    self.out.effects.push(Effect::Flow { id });
                }
                None => self.out.cacheable = false,
            },
            // the next packet may find room again
            false => {
                self.detail(|| "Limit exceeded, learn failed".into());
                self.out.cacheable = false;
            }
        }
    }

    /// ovs-actions(7), "fin_timeout": of the flow that has the action.
    pub(crate) fn fin_timeout(&mut self, idle: u16, hard: u16) {
        if !self.has(Prereq::Tcp) || self.look_bits(l::TCP_FLAGS, ENDS) == 0 {
            return;
        }
        if let Some(rule) = self.st.by.rule {
            let table = TableKey { bridge: self.bridge.index, table: self.st.table };
            self.out.effects.push(Effect::Ends { table, rule, idle, hard });
        }
    }
}

/// Has a match ask for `value` in the bits of a subfield, beside what it asks for already.
fn ask(flow: &mut Flow, mask: &mut Mask, to: Subfield, value: u128) {
    let row = to.field.row();
    let value = value.checked_shl(to.ofs.into()).unwrap_or(0) & to.mask();
    let (had, bits) = row.get_match(flow, mask);
    let all = bits | to.mask();
    if !row.set_match(flow, mask, had & bits & !to.mask() | value, all) {
        // a field that is matched as a whole or not at all
        row.set_match(flow, mask, value, row.full_mask());
    }
}
