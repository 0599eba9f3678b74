//! Tracing: a translation told in the words and the layout of `ovs-appctl ofproto/trace`.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use base::clock::Instant;
use dpif::text::{Actions, Named};
use dpif::{Action as DpAction, DropReason, Effect, Input, PortNo, RecircId, Translation};
use flow::layout as l;
use flow::text::format::{self, format_flow, format_masked, format_match};
use flow::text::value::CT_STATE;
use flow::text::{Names, NoNames};
use flow::{Flow, Mask, Match};
use openflow::action::actions_text_in;
use openflow::flow_mod::DEFAULT_PRIORITY;
use openflow::text::PortNames;
use openflow::view::Version;
use openflow::{Action, OfPort, Subfield};

use crate::manager::Error;
use crate::recirc::{Shared, Taught};
use crate::snapshot::table::{Rule, Table};
use crate::snapshot::{Bridge, Snapshot};
use crate::translate::state::{from16, to16};
use crate::translate::{Kind, Sink, Start, State, run_from};

/// Recirculations that a trace follows.
const MAX_ROUNDS: usize = 16;

/// Ports' names in a bridge, where they are asked for.
struct Ports<'a>(Option<&'a Bridge>);

impl Ports<'_> {
    fn find(&self, port: OfPort) -> Option<String> {
        self.0?.ports.get(&port).map(|p| p.name.to_string())
    }
}

impl Names for Ports<'_> {
    fn port_name(&self, port: u16) -> Option<String> {
        self.find(from16(port))
    }
}

impl PortNames for Ports<'_> {
    fn number(&self, _name: &str) -> Option<OfPort> {
        None
    }

    fn name(&self, port: OfPort) -> Option<String> {
        self.find(port)
    }
}

/// The line for a table and the rule found in it; `names` is the bridge whose ports' names are to be there.
pub(crate) fn rule_line(table: u8, rule: &Arc<Rule>, names: Option<&Bridge>) -> String {
    let mut line = format!("{table:2}. ");
    if !rule.matching.is_any() {
        let _ = write!(line, "{}, ", format_match(&rule.matching, &Ports(names)));
    }
    let _ = write!(line, "priority {}", rule.rank);
    if rule.cookie.0 != 0 {
        let _ = write!(line, ", cookie {:#x}", rule.cookie.0);
    }
    line
}

/// A flow that a packet teaches.
pub(crate) fn taught_text(taught: &Taught, names: Option<&Bridge>) -> String {
    let mut words = vec![format!("table={}", taught.table), format_match(&taught.matching, &Ports(names))];
    words.retain(|word| !word.is_empty());
    if taught.priority != DEFAULT_PRIORITY {
        words.push(format!("priority={}", taught.priority));
    }
    if taught.cookie.0 != 0 {
        words.push(format!("cookie={:#x}", taught.cookie.0));
    }
    let timeouts = [("idle", taught.idle_timeout), ("hard", taught.hard_timeout)];
    words.extend(timeouts.iter().filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name}={n}")));
    if taught.send_flow_rem {
        words.push("send_flow_rem".into());
    }
    let actions = actions_text_in(&taught.actions, Version::Of10, &Match::default(), &Ports(names));
    words.push(format!("actions={actions}"));
    words.join(" ")
}

/// A list of actions as text.
pub(crate) fn actions_text(actions: &[Action], names: Option<&Bridge>) -> String {
    actions_text_in(actions, Version::Of15, &Match::default(), &Ports(names))
}

/// An action on a packet of this IP protocol as text.
pub(crate) fn action_text(action: &Action, proto: u64, names: Option<&Bridge>) -> String {
    let (mut flow, mut mask) = Match::default().expand();
    flow.set(flow::layout::NW_PROTO, proto.into());
    mask.exact(flow::layout::NW_PROTO);
    actions_text_in(std::slice::from_ref(action), Version::Of15, &Match::new(&flow, &mask), &Ports(names))
}

/// What a field has become.
pub(crate) fn value_text(of: Subfield, flow: &Flow) -> String {
    let mut value = String::new();
    if of.is_whole() {
        let row = of.field.row();
        format::value(&mut value, row, row.get(flow), row.full_mask(), &NoNames);
    } else {
        let bits = of.get(flow);
        let _ = if bits == 0 { write!(value, "0") } else { write!(value, "{bits:#x}") };
    }
    format!("{} is now {value}", openflow::text::field::text(of))
}

/// An address of 48 bits as text.
pub(crate) fn mac(mac: u64) -> String {
    let [_, _, a, b, c, d, e, f] = mac.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// The key of a packet that is as `base` and comes back as `id`, `made` being the last step before: a hash that was asked
/// for is taken to be 1, a connection to be new.
pub(crate) fn recirculated(base: &Flow, received: &Flow, made: Option<&DpAction>, id: RecircId) -> Flow {
    let mut key = base.clone();
    key.set(l::IN_PORT, received.get(l::IN_PORT));
    key.set(l::RECIRC_ID, id.0.into());
    match made {
        Some(DpAction::Hash { .. }) => key.set(l::DP_HASH, 1),
        Some(DpAction::Ct(ct)) => {
            key.set(l::CT_STATE, 0x21);
            key.set(l::CT_ZONE, ct.zone.into());
        }
        _ => {}
    }
    key
}

/// Collects the lines, and what goes round.
#[derive(Default)]
pub(crate) struct Story {
    /// (depth, kind, text)
    lines: Vec<(usize, Kind, String)>,
    depth: usize,
    rounds: Vec<(RecircId, Flow)>,
    names: bool,
    /// Nothing that the packet does to tables is done.
    idle: bool,
    /// With what kept other rules from matching.
    why: bool,
}

/// What kept rules from matching, with the names of the bridge's ports.
pub(crate) fn why(table: &Table, flow: &Flow, found: Option<&Arc<Rule>>, bridge: &Bridge) -> Vec<String> {
    crate::explain::why(table, flow, found, &Ports(Some(bridge)))
}

impl Sink for Story {
    fn why(&mut self, lines: impl FnOnce() -> Vec<String>) {
        if self.why {
            let depth = self.depth + 1;
            self.lines.extend(lines().into_iter().map(|line| (depth, Kind::Why, line)));
        }
    }

    fn tell(&mut self, kind: Kind, line: impl FnOnce() -> String) {
        self.lines.push((self.depth, kind, line()));
    }

    fn down(&mut self) {
        self.depth += 1;
    }

    fn names(&self) -> bool {
        self.names
    }

    fn is_idle(&self) -> bool {
        self.idle
    }

    fn up(&mut self, levels: usize) {
        self.depth = self.depth.saturating_sub(levels);
    }

    fn recirculated(&mut self, id: RecircId, key: impl FnOnce() -> Flow) {
        // how it goes on after anything but a look of the tracker is another trace's story
        let key = key();
        if key.get64(l::CT_STATE) != 0 {
            self.rounds.push((id, key));
        }
    }
}

impl Story {
    /// Why the translation failed, if it did.
    fn failure(&self, drop: Option<DropReason>) -> Option<&str> {
        let drop = drop?;
        if drop == DropReason::MplsLabels {
            return Some("Too many MPLS labels");
        }
        let (.., told) = self.lines.iter().rev().find(|(_, kind, _)| *kind == Kind::Error)?;
        Some(match drop {
            DropReason::Resubmits => "Too many resubmits",
            DropReason::Depth => "Recursion too deep",
            DropReason::StackTooDeep => "Stack too deep",
            DropReason::Recirculation => "No recirculation context",
            _ => told,
        })
    }

    /// Writes the lines from `at` on that are `depth` deep or deeper; returns where it stopped. What ends a list of lines
    /// opens no further level, so that a chain of tables does not creep to the right.
    fn print(&self, out: &mut String, mut at: usize, depth: usize, level: usize) -> usize {
        while let Some((d, kind, text)) = self.lines.get(at) {
            if *d < depth {
                break;
            }
            let rest = self.lines.get(at + 1..).unwrap_or_default();
            let last = rest.iter().find(|(e, ..)| e <= d).is_none_or(|(e, ..)| e < d);
            let leaf = !matches!(kind, Kind::Bridge | Kind::Table);
            let open = usize::from(!last || leaf);
            if *kind == Kind::Bridge {
                out.push('\n');
            }
            let _ = write!(out, "{:1$}", "", 4 * (level + open));
            let _ = match kind {
                Kind::Why => writeln!(out, " ({text})"),
                Kind::Detail => writeln!(out, " -> {text}"),
                Kind::Warning => writeln!(out, " >> {text}"),
                Kind::Error => writeln!(out, " >>>> {text} <<<<"),
                Kind::Bridge => {
                    let indent = " ".repeat(4 * (level + open));
                    writeln!(out, "{}", text.replace('\n', &format!("\n{indent}")))
                }
                _ => writeln!(out, "{text}"),
            };
            at = self.print(out, at + 1, d + 1, level + 2 * open);
        }
        at
    }
}

/// What is traced.
#[derive(Clone, Default)]
pub struct Request<'a> {
    /// As tables see it: IN_PORT is a port of OpenFlow's.
    pub flow: Flow,
    pub frame: Option<&'a [u8]>,
    /// A controller's, with which it sends the packet.
    pub actions: Option<&'a [Action]>,
    /// What the connections' states are after each look of the tracker.
    pub ct_next: &'a [u32],
    /// With ports' names.
    pub names: bool,
    /// What the packet does to tables is done.
    pub acts: bool,
    /// With why rules did not match, and the end in plain words.
    pub why: bool,
}

/// Translates and tells, recirculations included. The effects that a packet would have had come too.
pub(crate) fn trace(
    snap: &Snapshot,
    shared: &Shared,
    bridge: u32,
    request: &Request<'_>,
    now: Instant,
) -> Result<(String, Vec<Effect>), Error> {
    let mut effects = Vec::new();
    let found = snap.bridge(bridge).ok_or(Error::NoSuchBridge(bridge.to_string()))?;
    let ports = Ports(request.names.then_some(found));
    let mut text = format!("Flow: {}\n", format_flow(&request.flow, &ports));
    let mut key = request.flow.clone();
    let port = from16(key.get64(l::IN_PORT) as u16);
    let device = found.ports.get(&port).and_then(|p| p.device());
    if let Some(device) = device {
        key.set(l::IN_PORT, u128::from(device.0));
    }
    let mut start = match request.actions {
        Some(actions) => Start::Out(bridge, port, actions),
        None if device.is_none() && key.get64(l::RECIRC_ID) == 0 => Start::At(bridge, port),
        None => Start::Packet,
    };
    let device_name = |no: PortNo| {
        let at = snap.port(no).and_then(|at| Some(snap.bridge(at.bridge)?.ports.get(&at.port)?.name.to_string()));
        at.unwrap_or_else(|| no.to_string())
    };
    let mut states = request.ct_next.iter();
    let mut state = Box::<State>::default();
    let mut rounds = VecDeque::from([key]);
    for round in 0..MAX_ROUNDS {
        let Some(mut key) = rounds.pop_front() else { break };
        if round > 0 {
            let rule = "=".repeat(79);
            let id = key.get64(l::RECIRC_ID);
            let next = match (key.get64(l::CT_STATE), states.as_slice()) {
                (0, _) => String::new(),
                (_, []) => " - resume conntrack with default ct_state=trk|new (use --ct-next to customize)".into(),
                (_, [next, ..]) => {
                    states.next();
                    key.set(l::CT_STATE, u128::from(*next));
                    let names = CT_STATE.iter().filter(|(_, bit)| next & bit != 0).map(|(name, _)| *name);
                    format!(" - resume conntrack with ct_state={}", names.collect::<Vec<_>>().join("|"))
                }
            };
            let shown = format_flow(&with_port(&key, port), &ports);
            let _ = writeln!(text, "\n{rule}\nrecirc({id:#x}){next}\n{rule}\n\nFlow: {shown}");
        }
        let mut out = Translation::default();
        let step = Input { flow: &key, frame: request.frame, now };
        let sink = Story { names: request.names, idle: !request.acts, why: request.why, ..Story::default() };
        let story = run_from(start, snap, shared, &step, &mut state, &mut out, sink);
        start = Start::Packet;
        story.print(&mut text, 0, 0, 0);
        let (before, mut after) = (with_port(&key, port), state.now.flow.clone());
        after.set(l::ACTSET_OUTPUT, 0);
        let same =
            before.w[..l::KEY_WORDS] == after.w[..l::KEY_WORDS] && after.w[l::KEY_WORDS..].iter().all(|w| *w == 0);
        let changed = if same { "unchanged".into() } else { format_flow(&after, &ports) };
        let _ = writeln!(text, "\nFinal flow: {changed}");
        let _ = writeln!(text, "Megaflow: {}", megaflow(&with_port(&key, port), &out.mask, &ports));
        let _ = match (story.failure(out.drop), request.names) {
            (Some(why), _) => write!(text, "Translation failed ({why}), packet is dropped."),
            (None, true) => write!(text, "Datapath actions: {}", Named(&out.actions, &device_name)),
            (None, false) => write!(text, "Datapath actions: {}", Actions(&out.actions)),
        };
        if request.why {
            let _ = write!(text, "\n{}", outcome(&out, &device_name));
        }
        effects.append(&mut out.effects);
        rounds.extend(story.rounds.into_iter().map(|(_, key)| key));
        if !rounds.is_empty() {
            text.push('\n');
        }
    }
    Ok((text, effects))
}

/// What becomes of the packet, in a sentence or two.
fn outcome(out: &Translation, name: &dyn Fn(PortNo) -> String) -> String {
    let mut sent: Vec<String> = Vec::new();
    let (mut round, mut told) = (false, false);
    each(&out.actions, &mut |action| match action {
        DpAction::Output(port) => sent.push(name(*port)),
        DpAction::Recirc(_) => round = true,
        DpAction::Userspace(_) => told = true,
        _ => {}
    });
    let mut said = Vec::new();
    if !sent.is_empty() {
        said.push(format!("It is sent to {}.", sent.join(", ")));
    }
    if told {
        said.push("A controller is told of it.".to_owned());
    }
    if round {
        said.push("It comes back and goes on below.".to_owned());
    }
    if said.is_empty() {
        let reason = out.drop.unwrap_or(DropReason::Rule);
        said.push(format!("It is dropped ({}): {}", reason.name(), reason.describe()));
    }
    said.join(" ")
}

/// Visits all steps, those in copies and branches too.
fn each(steps: &[DpAction], visit: &mut impl FnMut(&DpAction)) {
    for step in steps {
        visit(step);
        match step {
            DpAction::Clone(inner) => each(inner, visit),
            DpAction::CheckLen { more, other, .. } => [more, other].into_iter().for_each(|list| each(list, visit)),
            _ => {}
        }
    }
}

fn with_port(key: &Flow, port: OfPort) -> Flow {
    let mut flow = key.clone();
    flow.set(l::IN_PORT, to16(port).into());
    flow
}

/// A megaflow's match, the way that flows of the datapath are printed.
fn megaflow(key: &Flow, mask: &Mask, ports: &Ports<'_>) -> String {
    let mut flow = Flow::default();
    flow.w.iter_mut().zip(key.w).zip(mask.w).for_each(|((f, k), m)| *f = k & m);
    format_masked(&flow, mask, ports)
}
