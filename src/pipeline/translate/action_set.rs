//! The action set: what `write_actions` collects, executed at the end of the pipeline; a group's bucket is one too.
//!
//! Read first: ovs-actions(7), "Action Sets", for the order and for which of several actions of a kind counts.

use openflow::action::PacketInReason;
use openflow::{Action, OfPort};

use super::state::By;
use super::{Kind, Sink, Walk};
use flow::layout as l;

/// Where an action stands in the order of execution; None for what is not of the kinds of which the last written one
/// alone counts.
fn rank(action: &Action) -> Option<usize> {
    Some(match action {
        Action::StripVlan => 0,
        Action::PopMpls(_) => 1,
        Action::Decap(_) => 2,
        Action::Encap(_) => 3,
        Action::PushMpls(_) => 4,
        Action::PushVlan(_) => 5,
        Action::DecTtl(_) => 6,
        Action::DecMplsTtl => 7,
        Action::DecNshTtl => 8,
        _ => return None,
    })
}

/// What an action set executes in the order in which it was written.
fn changes(action: &Action) -> bool {
    matches!(
        action,
        Action::SetField(_)
            | Action::Move { .. }
            | Action::SetTunnel { .. }
            | Action::SetVlanVid { .. }
            | Action::SetVlanPcp { .. }
            | Action::SetMplsLabel(_)
            | Action::SetMplsTc(_)
            | Action::SetMplsTtl(_)
            | Action::CtClear
    )
}

/// Number of ranks.
const RANKS: usize = 9;

impl<S: Sink> Walk<'_, S> {
    pub(crate) fn write_actions(&mut self, list: &[Action]) {
        for action in list {
            if let Action::Output { port, .. } = action
                && !self.st.action_set.iter().any(|a| matches!(a, Action::Group(_)))
            {
                self.st.put(l::ACTSET_OUTPUT, u128::from(port.0));
            }
            if let Action::Group(_) = action {
                self.st.put(l::ACTSET_OUTPUT, u128::from(OfPort::UNSET.0));
            }
            self.st.action_set.push(action.clone());
        }
        let set = &self.st.action_set;
        let bridge = self.sink.names().then_some(self.bridge);
        self.sink.tell(Kind::Detail, || format!("action set is: {}", crate::trace::actions_text(&order(set), bridge)));
    }

    pub(crate) fn run_action_set(&mut self) {
        if self.st.action_set.is_empty() {
            return;
        }
        let set = std::mem::take(&mut self.st.action_set);
        self.tell(Kind::Table, || "--. Executing action set:".into());
        self.sink.down();
        self.st.by = By { reason: PacketInReason::ActionSet, cookie: self.st.by.cookie, ..By::default() };
        self.as_action_set(&set);
        self.sink.up(1);
    }

    /// Runs `list` as the action set that writing it would make.
    pub(crate) fn as_action_set(&mut self, list: &[Action]) {
        let ordered = order(list);
        self.actions(&ordered);
    }
}

/// The steps of an action set in order of execution.
pub(crate) fn order(list: &[Action]) -> Vec<Action> {
    let mut once: [Option<&Action>; RANKS] = [None; RANKS];
    let mut queue = None;
    // of those that send, a group counts most, then output, then resubmit and ct
    let (mut group, mut output, mut last) = (None, None, None);
    let mut sets = Vec::new();
    for action in list {
        match action {
            Action::Group(_) => group = Some(action),
            Action::Output { .. } | Action::Controller(_) => output = Some(action),
            Action::Resubmit(_) | Action::Ct(_) => last = Some(action),
            Action::SetQueue(_) | Action::Enqueue { .. } => queue = Some(action),
            _ => match rank(action) {
                Some(i) => once[i] = Some(action),
                None if changes(action) => sets.push(action),
                // a bucket may have it; no action set executes it
                None => {}
            },
        }
    }
    let sends = group.or(output).or(last);
    once.into_iter().flatten().chain(sets).chain(queue).chain(sends).cloned().collect()
}
