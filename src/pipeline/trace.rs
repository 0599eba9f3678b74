//! Tracing: a translation told in the words of `ofproto/trace`.

use std::fmt::Write as _;
use std::sync::Arc;

use dpif::text::Actions;
use dpif::{Input, Translation};
use flow::layout as l;
use openflow::Action;

use crate::manager::Error;
use crate::recirc::Shared;
use crate::snapshot::Snapshot;
use crate::snapshot::table::Rule;
use crate::translate::state::from16;
use crate::translate::{Sink, State, run};

/// The line for a table and the rule found in it.
pub(crate) fn rule_line(table: u8, rule: &Arc<Rule>) -> String {
    format!("{table:2}. priority {}", rule.priority)
}

/// One action as text.
pub(crate) fn action_text(action: &Action) -> String {
    format!("{action:?}")
}

/// An address of 48 bits as text.
pub(crate) fn mac(mac: u64) -> String {
    let [_, _, a, b, c, d, e, f] = mac.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// Collects lines.
pub(crate) struct Story(pub(crate) String);

impl Sink for Story {
    fn note(&mut self, depth: usize, line: impl FnOnce() -> String) {
        let _ = writeln!(self.0, "{}{}", " ".repeat(4 * depth.min(40)), line());
    }
}

/// Translates and tells.
pub(crate) fn trace(snap: &Snapshot, shared: &Shared, bridge: u32, input: &Input<'_>) -> Result<String, Error> {
    let mut out = Translation::default();
    let mut state = Box::<State>::default();
    let mut key = input.flow.clone();
    let port = from16(key.get64(l::IN_PORT) as u16);
    let device = snap.bridge(bridge).and_then(|b| b.ports.get(&port)).and_then(|p| p.device());
    if let Some(device) = device {
        key.set(l::IN_PORT, u128::from(device.0));
    }
    let input = Input { flow: &key, ..*input };
    let story = run(snap, shared, &input, &mut state, &mut out, Story(String::new()));
    let mut text = story.0;
    let _ = writeln!(text, "\nDatapath actions: {}", Actions(&out.actions));
    Ok(text)
}
