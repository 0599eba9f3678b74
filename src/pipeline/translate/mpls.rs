//! MPLS labels: push, pop, rewrite, TTL.
//!
//! A push or pop is emitted where it stands, since what is below becomes (un)readable by it. What reads behind a popped
//! last label has the packet recirculated, so that it is parsed again.

use dpif::{Action as DpAction, DropReason};
use flow::fields::Prereq;
use flow::fields::prereq::eth_type;
use flow::layout as l;
use openflow::Action;

use super::walk::Step;
use super::{Sink, Walk};

const LSES: [l::Slot; 3] = [l::MPLS0, l::MPLS1, l::MPLS2];
/// Bottom of stack.
const BOS: u128 = 0x100;
/// Words that hold what is inside an Ethernet frame and its tags: L3, L4, ND, ARP.
const INNER: [usize; 12] = [3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];

/// Does the action look at what is behind a label stack that was popped?
pub(crate) fn needs_parse(action: &Action) -> bool {
    !matches!(
        action,
        Action::Output { .. }
            | Action::OutputTrunc { .. }
            | Action::OutputReg { .. }
            | Action::Enqueue { .. }
            | Action::Controller(_)
            | Action::SetVlanVid { .. }
            | Action::SetVlanPcp { .. }
            | Action::StripVlan
            | Action::PushVlan(_)
            | Action::SetTunnel { .. }
            | Action::SetQueue(_)
            | Action::PopQueue
            | Action::Note(_)
            | Action::Exit
            | Action::StackPush(_)
            | Action::ClearActions
            | Action::WriteActions(_)
            | Action::WriteMetadata { .. }
    )
}

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn set_mpls(&mut self, lse: u32, mask: u32) {
        if self.has(Prereq::Mpls) {
            self.write(l::MPLS0, lse.into(), mask.into());
        }
    }

    pub(crate) fn dec_mpls_ttl(&mut self) -> Step {
        if !self.has(Prereq::Mpls) {
            return Step::Go;
        }
        let ttl = self.look_bits(l::MPLS0, 0xff);
        if ttl > 1 {
            self.st.write(l::MPLS0, ttl - 1, 0xff);
            return Step::Go;
        }
        self.ttl_exceeded("MPLS", &[])
    }

    pub(crate) fn push_mpls(&mut self, ethertype: u16) {
        let lse = if self.has(Prereq::Mpls) {
            let lses = LSES.map(|slot| self.look(slot));
            if lses[2] != 0 {
                self.fail(DropReason::MplsLabels);
                return;
            }
            self.commit();
            self.st.put(l::MPLS2, lses[1]);
            self.st.put(l::MPLS1, lses[0]);
            // label, TC and TTL are copied from the outer entry
            lses[0] & !BOS
        } else {
            let mut lse = BOS | 64;
            if self.has(Prereq::Ip) {
                let label = u128::from(self.has(Prereq::Ipv6)) * 2;
                let dscp = self.look_bits(l::NW_TOS, 0xfc) >> 2;
                let ttl = match self.look(l::NW_TTL) {
                    0 => 64,
                    ttl => ttl,
                };
                lse = label << 12 | (dscp & 7) << 9 | BOS | ttl;
            }
            self.commit();
            self.st.now.zero(&INNER);
            self.st.put(l::TCP_FLAGS, 0);
            lse
        };
        self.st.put(l::MPLS0, lse);
        self.st.put(l::ETH_TYPE, ethertype.into());
        self.done_to_labels(DpAction::PushMpls { lse: lse as u32, ethertype });
    }

    pub(crate) fn pop_mpls(&mut self, ethertype: u16) {
        if !self.has(Prereq::Mpls) {
            return;
        }
        // Below the bottom of the stack there is nothing to look at.
        let bottom = self.look_bits(l::MPLS0, BOS) != 0;
        let below = if bottom { [0; 2] } else { [l::MPLS1, l::MPLS2].map(|slot| self.look(slot)) };
        self.commit();
        self.st.put(l::MPLS0, below[0]);
        self.st.put(l::MPLS1, below[1]);
        self.st.put(l::MPLS2, 0);
        self.st.put(l::ETH_TYPE, ethertype.into());
        let labels = matches!(ethertype, eth_type::MPLS | eth_type::MPLS_MULTICAST);
        self.st.was_mpls = !labels;
        self.done_to_labels(DpAction::PopMpls { ethertype });
    }

    /// Emits a step that changed the label stack; the packet is then as tables see it.
    fn done_to_labels(&mut self, step: DpAction) {
        self.out.actions.push(step);
        self.st.base = self.st.now.clone();
        self.st.epoch += 1;
    }
}
