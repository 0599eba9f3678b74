//! Why a rule and no other: what `ironbridge explain` says of a lookup, in plain words.

use std::cmp::Reverse;
use std::sync::Arc;

use flow::fields::{Field, FieldId, Kind};
use flow::text::Names;
use flow::text::format::{format_match, value};
use flow::{Flow, Mask};

use crate::snapshot::table::{Rule, Table};

/// Rules of a table that are compared with a packet; of larger tables, the first so many.
const COMPARED: usize = 20_000;
/// Rules that are named, those which are closest to the packet first.
const NAMED: usize = 5;

/// What keeps `flow` from a rule of higher priority than the one that was `found`, and which rule would have been next.
pub(crate) fn why(table: &Table, flow: &Flow, found: Option<&Arc<Rule>>, names: &dyn Names) -> Vec<String> {
    let total = table.rules.len();
    let rules: Vec<&Arc<Rule>> = table.rules.iter().take(COMPARED).collect();
    let mut missed: Vec<(Vec<String>, &Arc<Rule>)> = rules
        .iter()
        .filter(|rule| found.is_none_or(|found| rule.rank > found.rank))
        .filter(|rule| !rule.matching.matches(flow))
        .map(|rule| (differences(rule, flow, names), *rule))
        .collect();
    missed.sort_by_key(|(differences, rule)| (differences.len(), Reverse(rule.rank)));
    let named = missed.iter().take(NAMED);
    let mut lines: Vec<String> = named
        .map(|(differences, rule)| format!("not \"{}\": {}", rule_text(rule, names), differences.join(", ")))
        .collect();
    if missed.len() > NAMED {
        lines.push(format!("nor {} more of higher priority, which fit less", missed.len() - NAMED));
    }
    let lower = |rule: &&&Arc<Rule>| found.is_some_and(|found| rule.rank < found.rank);
    if let Some(next) = rules.iter().filter(lower).filter(|r| r.matching.matches(flow)).max_by_key(|r| r.rank) {
        lines.push(format!("without it, \"{}\" would have matched", rule_text(next, names)));
    }
    if total > COMPARED {
        lines.push(format!("{COMPARED} of the table's {total} rules were compared"));
    }
    lines
}

fn rule_text(rule: &Rule, names: &dyn Names) -> String {
    match format_match(&rule.matching, names) {
        matching if matching.is_empty() => format!("priority {}", rule.rank),
        matching => format!("{matching}, priority {}", rule.rank),
    }
}

/// What `rule` asks for and the packet is not, a field each. A packet of another protocol has none of its fields.
fn differences(rule: &Rule, flow: &Flow, names: &dyn Names) -> Vec<String> {
    let (wanted, mask) = rule.matching.expand();
    let mut told = Mask::default();
    let (mut protocols, mut others) = (Vec::new(), Vec::new());
    for f in Field::all().filter(|f| f.kind != Kind::TunMetadata && f.prereq.ok_match(&wanted, &mask)) {
        let (want, bits) = f.get_match(&wanted, &mask);
        let have = f.get(flow) & bits;
        let new = mask.get(f.slot) & !told.get(f.slot);
        if bits == 0 || want & bits == have || new == 0 {
            continue;
        }
        told.set(f.slot, told.get(f.slot) | mask.get(f.slot));
        let text = |number: u128| {
            let mut out = String::new();
            value(&mut out, f, number, bits, names);
            out
        };
        let line = match f.prereq.ok(flow) {
            true => format!("{} is {}, not {}", f.name, text(have), text(want & bits)),
            false => format!("the packet has no {}", f.name),
        };
        match f.id {
            FieldId::EthType | FieldId::NwProto => protocols.push(line),
            _ => others.push(line),
        }
    }
    if protocols.is_empty() { others } else { protocols }
}
