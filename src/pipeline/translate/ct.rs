//! Connection tracking as far as translation goes: what is asked of the tracker, and going on afterwards.

use dpif::{Action as DpAction, action};
use flow::layout as l;
use openflow::action::{Ct, CtZone};
use openflow::{Action, FieldId};

use super::{Kind, Sink, Walk};
use crate::recirc::Frame;

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn ct(&mut self, ct: &Ct) {
        let zone = match ct.zone {
            CtZone::Number(n) => n,
            CtZone::Field(field) => self.load(field).unwrap_or(0) as u16,
        };
        let (mut mark, mut label) = (None, None);
        for action in &ct.exec {
            match action {
                Action::SetField(s) if s.field == FieldId::CtMark => mark = merge(mark, s.value, s.mask),
                Action::SetField(s) if s.field == FieldId::CtLabel => label = merge(label, s.value, s.mask),
                Action::Move { src, dst } => {
                    let to = if dst.field == FieldId::CtMark { &mut mark } else { &mut label };
                    let old = *to;
                    let value = self.load(*src).unwrap_or(0);
                    *to = merge(old, value << dst.ofs & dst.mask(), dst.mask());
                }
                _ => {}
            }
        }
        self.commit();
        self.out.actions.push(DpAction::Ct(action::Ct {
            commit: ct.commit,
            force: ct.force,
            zone,
            mark: mark.map(|(v, m)| (v as u32, m as u32)),
            label,
        }));
        self.st.outputs += 1;
        self.st.epoch += 1;
        let bridge = self.sink.names().then_some(self.bridge);
        self.tell(Kind::Action, || crate::trace::actions_text(&ct.exec, bridge));
        if let Some(table) = ct.table {
            self.detail(|| {
                let fork = "A clone of the packet is forked to recirculate.";
                format!("{fork} The forked pipeline will be resumed at table {table}.")
            });
            let frame = Frame { table: table.0, actions: [].into() };
            if let Some(recirc) = self.recirculate(vec![frame]) {
                self.out.actions.push(DpAction::Clone(vec![recirc]));
            }
        }
        self.detail(|| "Sets the packet to an untracked state, and clears all the conntrack fields.".into());
        self.forget_connection();
    }

    pub(crate) fn ct_clear(&mut self) {
        self.commit();
        self.out.actions.push(DpAction::CtClear);
        self.st.epoch += 1;
        self.forget_connection();
    }

    /// The packet is one that no tracker has seen.
    pub(crate) fn forget_connection(&mut self) {
        for slot in [l::CT_STATE, l::CT_ZONE, l::CT_MARK, l::CT_LABEL, l::CT_NW_SRC, l::CT_NW_DST] {
            self.st.put(slot, 0);
        }
        for slot in [l::CT_IPV6_SRC, l::CT_IPV6_DST, l::CT_TP_SRC, l::CT_TP_DST, l::CT_NW_PROTO] {
            self.st.put(slot, 0);
        }
    }
}

fn merge(old: Option<(u128, u128)>, value: u128, mask: u128) -> Option<(u128, u128)> {
    let (v, m) = old.unwrap_or((0, 0));
    Some((v & !mask | value & mask, m | mask))
}
