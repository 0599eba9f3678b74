//! What a list of actions must keep to before it gets into a table.

use flow::layout::{DP_HASH, RECIRC_ID, Slot};
use openflow::flow_mod::{Command, FlowMod};
use openflow::{Action, GroupId, MeterId, TableId};

use super::Error;

/// How deep `clone` and `write_actions` may nest.
const MAX_NESTED: usize = 16;

/// Checks the actions of a flow in `table`; `has_group` and `has_meter` say which groups and meters there are.
pub(crate) fn actions(
    list: &[Action],
    table: TableId,
    has_group: impl Fn(GroupId) -> bool,
    has_meter: impl Fn(MeterId) -> bool,
) -> Result<(), Error> {
    let group = |action: &Action| match action {
        Action::Group(id) if !has_group(*id) => Err(Error::BadOutGroup(*id)),
        Action::Meter(id) if !has_meter(*id) => Err(Error::BadMeter(*id)),
        _ => Ok(()),
    };
    each(list, 0, &mut |action| match action {
        Action::GotoTable(to) if to.0 == TableId::ALL => Err(Error::BadTable(*to)),
        Action::GotoTable(to) if *to <= table => Err(Error::GotoBackward(table, *to)),
        Action::Resubmit(r) if r.table == Some(TableId(TableId::ALL)) => Err(Error::BadTable(TableId(TableId::ALL))),
        Action::Resubmit(r) if r.with_ct => Err(Error::UnsupportedAction("resubmit(,,ct)")),
        Action::WriteActions(set) => each(set, 0, &mut |action| group(action).and_then(|()| written(action))),
        action => group(action).and_then(|()| supported(action)),
    })
}

/// Checks that a change is not one of what belongs to the switch: a table, and what recirculated packets have.
///
/// # Errors
/// It is.
pub fn permitted(request: &FlowMod) -> Result<(), Error> {
    if request.table == Some(TableId::INTERNAL) {
        return Err(Error::Internal("table 254"));
    }
    let has = |slot: Slot| request.matching.get(slot);
    let deletes = matches!(request.command, Command::Delete | Command::DeleteStrict);
    if !deletes && (has(RECIRC_ID).0 != 0 || has(DP_HASH).1 != 0) {
        return Err(Error::Internal("what tells recirculated packets apart"));
    }
    Ok(())
}

/// Checks what a group's bucket may have: anything but instructions. What an action set does not execute is kept and
/// shown, and does nothing (ovs-actions(7), "Action Sets").
pub(crate) fn bucket(list: &[Action]) -> Result<(), Error> {
    each(list, 0, &mut bucketed)
}

fn bucketed(action: &Action) -> Result<(), Error> {
    match action {
        Action::GotoTable(_) | Action::WriteActions(_) | Action::ClearActions | Action::WriteMetadata { .. } => {
            Err(Error::BadSetAction("instruction"))
        }
        action => supported(action),
    }
}

/// Checks what `write_actions` may have; which actions an action set executes at all is checked with the match.
fn written(action: &Action) -> Result<(), Error> {
    match action {
        Action::Exit => Err(Error::BadSetAction("exit")),
        Action::StackPush(_) | Action::StackPop(_) => Err(Error::BadSetAction("push or pop")),
        action => bucketed(action),
    }
}

/// Visits all actions, nested ones too.
fn each(list: &[Action], level: usize, visit: &mut impl FnMut(&Action) -> Result<(), Error>) -> Result<(), Error> {
    if level > MAX_NESTED {
        return Err(Error::TooDeep);
    }
    for action in list {
        visit(action)?;
        match action {
            Action::Clone(inside) => each(inside, level + 1, visit)?,
            Action::Ct(ct) => each(&ct.exec, level + 1, visit)?,
            _ => {}
        }
    }
    Ok(())
}

fn supported(action: &Action) -> Result<(), Error> {
    Err(Error::UnsupportedAction(match action {
        Action::DeleteField(_) => "delete_field",
        Action::DecNshTtl => "dec_nsh_ttl",
        Action::Encap(_) => "encap",
        Action::Decap(_) => "decap",
        Action::Ct(ct) if ct.nat.is_some() => "ct(nat)",
        _ => return Ok(()),
    }))
}

/// Does any action, nested ones too, meet `test`?
pub(crate) fn any(list: &[Action], test: &mut impl FnMut(&Action) -> bool) -> bool {
    list.iter().any(|action| {
        test(action)
            || match action {
                Action::Clone(inside) | Action::WriteActions(inside) => any(inside, test),
                _ => false,
            }
    })
}
