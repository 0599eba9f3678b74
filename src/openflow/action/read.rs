//! Reading a list of actions and instructions; the kinds are read by their families.

use super::{Action, conntrack, control, encap, header, instruction, learn, output, select, set, vlan};
use crate::text::error::{Result, bail};
use crate::text::names::{PortNames, parse_port, port_text};
use crate::text::scan::{Item, Items};
use crate::types::OfPort;
use crate::view::{Version, seen};
use flow::Match;

/// Actions may be nested so deep.
const MAX_DEPTH: u8 = 64;

/// What reading an action needs to know of its surroundings.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub(super) names: &'a dyn PortNames,
    depth: u8,
}

/// Where a list stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Flow,
    WriteActions,
    Clone,
    Ct,
    Bucket,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Flow => "flow",
            Place::WriteActions => "write_actions",
            Place::Clone => "clone",
            Place::Ct => "ct",
            Place::Bucket => "bucket",
        }
    }
}

/// Reads the actions and instructions of a flow: what follows `actions=`.
pub fn parse_actions(text: &str, names: &dyn PortNames) -> Result<Vec<Action>> {
    Reader { names, depth: 0 }.list(Items::new(text), Place::Flow)
}

/// Reads the actions of a group's bucket from the items given.
pub(crate) fn parse_bucket_actions<'a>(
    items: impl Iterator<Item = Item<'a>>,
    names: &dyn PortNames,
) -> Result<Vec<Action>> {
    Reader { names, depth: 0 }.list(items, Place::Bucket)
}

impl Reader<'_> {
    /// Reads the list inside another action.
    pub(super) fn nested(&self, text: &str, place: Place) -> Result<Vec<Action>> {
        if self.depth >= MAX_DEPTH {
            bail!("Action nested too deeply");
        }
        Reader { depth: self.depth + 1, ..*self }.list(Items::new(text), place)
    }

    /// Reads a port that an action called `what` names.
    pub(super) fn port(&self, text: &str, what: &str) -> Result<OfPort> {
        match parse_port(text, self.names) {
            Some(port) => Ok(port),
            None => bail!("{text}: {what} to unknown port"),
        }
    }

    fn list<'a>(&self, items: impl Iterator<Item = Item<'a>>, place: Place) -> Result<Vec<Action>> {
        let (mut actions, mut drop) = (Vec::new(), false);
        for item in items {
            let name = item.key.to_ascii_lowercase();
            match name.as_str() {
                "drop" => drop = true,
                "apply_actions" => bail!("apply_actions is the default instruction"),
                "nat" => bail!("Cannot have NAT action outside of \"ct\" action"),
                _ => match self.one(&name, &item)? {
                    // Writing nothing is no instruction.
                    Action::WriteActions(none) if none.is_empty() => {}
                    action => actions.push(action),
                },
            }
        }
        if drop && !actions.is_empty() {
            bail!("\"drop\" must not be accompanied by any other action or instruction");
        }
        match place {
            Place::Flow => order(&actions)?,
            Place::Ct => conntrack::check_exec(&actions)?,
            _ => {
                for a in &actions {
                    if matches!(a, Action::Meter(_)) {
                        bail!("{} action doesn't support nested action meter", place.name());
                    } else if a.rank() != APPLY {
                        bail!("{} instruction not allowed here", a.name());
                    }
                }
            }
        }
        alone(&actions)?;
        Ok(actions)
    }

    fn one(&self, name: &str, item: &Item) -> Result<Action> {
        let families = [
            output::parse,
            set::parse,
            vlan::parse,
            header::parse,
            control::parse,
            instruction::parse,
            conntrack::parse,
        ];
        let more = [select::parse, learn::parse, encap::parse];
        if let Some(result) = families.iter().chain(&more).find_map(|parse| parse(name, item, self)) {
            return result;
        }
        match parse_port(item.key, self.names) {
            Some(OfPort::CONTROLLER) => Ok(Action::Output { port: OfPort::CONTROLLER, max_len: 0 }),
            Some(port) => Ok(Action::Output { port, max_len: 0 }),
            // A closing parenthesis that closes nothing is what is wrong, not the empty key before it.
            None => bail!("unknown action {}", if item.key.is_empty() { item.whole } else { item.key }),
        }
    }
}

/// [`Action::rank`] of what is no instruction but `apply_actions`.
const APPLY: u8 = 1;

impl Action {
    /// Its place among the instructions (ovs-actions(7), "Instructions").
    pub(super) fn rank(&self) -> u8 {
        match self {
            Action::Meter(_) => 0,
            Action::ClearActions => 2,
            Action::WriteActions(_) => 3,
            Action::WriteMetadata { .. } => 4,
            Action::GotoTable(_) => 6,
            _ => APPLY,
        }
    }
}

fn order(actions: &[Action]) -> Result<()> {
    let name = |a: &Action| if a.rank() == APPLY { "apply_actions" } else { a.name() };
    for pair in actions.windows(2) {
        let [before, after] = pair else { continue };
        if after.rank() < before.rank() {
            let (a, b) = (name(after), name(before));
            bail!("invalid instruction ordering: {a} must appear before {b}, for OpenFlow 1.1+ compatibility");
        } else if after.rank() == before.rank() && after.rank() != APPLY {
            bail!("duplicate {} instruction not allowed, for OpenFlow 1.1+ compatibility", name(after));
        }
    }
    Ok(())
}

/// `conjunction` stands with `note` alone.
fn alone(actions: &[Action]) -> Result<()> {
    if actions.iter().any(|a| matches!(a, Action::Conjunction { .. })) {
        let other = actions.iter().find(|a| !matches!(a, Action::Conjunction { .. } | Action::Note(_)));
        if let Some(a) = other {
            bail!(
                "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as \
                 the \"{}\" action used here)",
                a.name()
            );
        }
    }
    Ok(())
}

/// What printing an action needs to know.
#[derive(Clone, Copy)]
pub struct Printer<'a> {
    pub(super) names: &'a dyn PortNames,
    pub(super) version: Version,
}

impl Printer<'_> {
    pub(super) fn port(&self, port: OfPort) -> String {
        port_text(port, self.names)
    }

    /// A list, `drop` when it is empty.
    pub(super) fn list(&self, actions: &[Action]) -> String {
        if actions.is_empty() {
            return "drop".to_owned();
        }
        actions.iter().map(|a| self.one(a)).collect::<Vec<_>>().join(",")
    }

    fn one(&self, action: &Action) -> String {
        let families = [
            output::format,
            set::format,
            vlan::format,
            header::format,
            control::format,
            instruction::format,
            conntrack::format,
            select::format,
            learn::format,
            encap::format,
        ];
        // A kind without parameters is its name.
        families.iter().find_map(|format| format(action, self)).unwrap_or_else(|| action.name().to_owned())
    }
}

/// The text of a list of actions: what follows `actions=`.
pub fn actions_text(actions: &[Action], names: &dyn PortNames) -> String {
    Printer { names, version: Version::Meant }.list(actions)
}

/// The text of the actions of a flow that matches `matching` to a client of `version`.
pub fn actions_text_in(actions: &[Action], version: Version, matching: &Match, names: &dyn PortNames) -> String {
    Printer { names, version }.list(&seen(actions, version, matching))
}

/// The text of a list as it stands: nothing is translated, and `modern` has the names of OpenFlow 1.1 and later.
pub fn actions_text_raw(actions: &[Action], modern: bool, names: &dyn PortNames) -> String {
    Printer { names, version: if modern { Version::Of15 } else { Version::Meant } }.list(actions)
}
