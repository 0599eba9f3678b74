//! Text of what tables can do and of their counters: each told as far as it differs from the one before.

use super::group::ACTIONS;
use crate::text::names::PortNames;
use crate::types::TableId;
use crate::wire::Version;
use crate::wire::stats::TableStats;
use crate::wire::table_features::{self, Actions, Command, Fields, Instructions, Matching, TableFeatures};
use crate::wire::table_mod::TableMiss;
use flow::FieldId;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Instructions by their numbers, in the order in which they are told.
const INSTRUCTIONS: [(u8, &str); 6] = [
    (6, "meter"),
    (4, "apply_actions"),
    (5, "clear_actions"),
    (3, "write_actions"),
    (2, "write_metadata"),
    (1, "goto_table"),
];

/// Actions that only OpenFlow 1.1 has, each with the one that it follows.
const ACTIONS11: [(u32, &str, &str); 12] = [
    (1, "set_vlan_vid", "set_field"),
    (2, "set_vlan_pcp", "set_vlan_vid"),
    (3, "mod_dl_src", "push_vlan"),
    (4, "mod_dl_dst", "mod_dl_src"),
    (5, "mod_nw_src", "mod_dl_dst"),
    (6, "mod_nw_dst", "mod_nw_src"),
    (7, "mod_nw_tos", "mod_nw_dst"),
    (8, "mod_nw_ecn", "mod_nw_tos"),
    (9, "mod_tp_src", "mod_nw_ttl"),
    (10, "mod_tp_dst", "mod_tp_src"),
    (13, "set_mpls_label", "dec_ttl"),
    (14, "set_mpls_tc", "set_mpls_label"),
];

fn action_names(kinds: u32) -> Vec<&'static str> {
    let mut all: Vec<(u32, &str)> = ACTIONS.to_vec();
    for (number, name, before) in ACTIONS11 {
        let at = all.iter().position(|(_, n)| *n == before).map_or(all.len(), |at| at + 1);
        all.insert(at, (number, name));
    }
    all.iter().filter(|(n, _)| kinds >> n & 1 != 0).map(|(_, name)| *name).collect()
}

/// The place of a field among those that are told together.
fn place(id: FieldId) -> (usize, u8) {
    match id {
        FieldId::TunErspanVer => (FieldId::TunErspanIdx.index(), 1),
        FieldId::IpDscp => (FieldId::NwTos.index(), 1),
        FieldId::NshTtl => (FieldId::NshC4.index(), 1),
        id => (id.index(), 0),
    }
}

/// Fields by their names, what several begin with said once: `eth_{src,dst} reg0...reg3`.
fn field_names(fields: &Fields) -> String {
    let mut ids: Vec<FieldId> = fields.iter().copied().collect();
    ids.sort_by_key(|id| place(*id));
    let names: Vec<&str> = ids.iter().map(|id| id.row().name).collect();
    grouped(&names, " ")
}

/// A name that ends in a number, as what precedes it and the number.
fn numbered(name: &str) -> Option<(&str, u32)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name.get(stem.len()..)?.parse().ok().map(|n| (stem, n))
}

fn grouped(names: &[&str], between: &str) -> String {
    let mut words = Vec::new();
    let mut rest = names;
    while let Some((&first, tail)) = rest.split_first() {
        // names that count up
        let run = numbered(first).map_or(1, |(stem, from)| {
            let next = |(n, name): (u32, &&str)| numbered(name) == Some((stem, from + n));
            (0..).zip(rest).take_while(|(n, name)| next((*n, name))).count()
        });
        if let Some(last) = rest.get(run - 1).filter(|_| run > 2) {
            words.push(format!("{first}...{last}"));
            rest = rest.get(run..).unwrap_or(&[]);
            continue;
        }
        // names that begin alike
        let prefix = first.split_once('_').map(|(prefix, _)| prefix);
        let inner =
            |name: &&'_ str| name.split_once('_').filter(|(p, _)| Some(*p) == prefix).map(|(_, rest)| rest.len());
        let alike: Vec<&str> =
            rest.iter().map_while(|name| inner(name).and_then(|len| name.get(name.len() - len..))).collect();
        match (prefix, alike.len()) {
            (Some(prefix), 2..) => {
                words.push(format!("{prefix}_{{{}}}", grouped(&alike, ",")));
                rest = rest.get(alike.len()..).unwrap_or(&[]);
            }
            _ => {
                words.push(first.to_owned());
                rest = tail;
            }
        }
    }
    words.join(between)
}

/// Numbers with those that follow each other as ranges.
fn ranges(numbers: &BTreeSet<u8>) -> String {
    let mut all: Vec<(u8, u8)> = Vec::new();
    for n in numbers {
        match all.last_mut() {
            Some((_, last)) if *last + 1 == *n => *last = *n,
            _ => all.push((*n, *n)),
        }
    }
    let text = |(a, b): &(u8, u8)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    all.iter().map(text).collect::<Vec<_>>().join(",")
}

fn actions(out: &mut String, a: &Actions) {
    if a.kinds != 0 {
        let _ = writeln!(out, "        actions: {}", action_names(a.kinds).join(" "));
    }
    if !a.set.is_empty() {
        let _ = writeln!(out, "        supported on Set-Field: {}", field_names(&a.set));
    }
}

/// `before` is what there was of it in the table before.
fn instructions(out: &mut String, what: &str, i: &Instructions, before: Option<&Instructions>) {
    let _ = writeln!(out, "    instructions ({what}):");
    if !i.next.is_empty() {
        let _ = writeln!(out, "      next tables: {}", ranges(&i.next));
    }
    if before.is_some_and(|b| b.kinds == i.kinds) {
        out.push_str("      (same instructions)\n");
    } else if i.kinds != 0 {
        let named = INSTRUCTIONS.iter().filter(|(n, _)| i.kinds >> n & 1 != 0).map(|(_, name)| *name);
        let _ = writeln!(out, "      instructions: {}", named.collect::<Vec<_>>().join(" "));
    }
    let same = |b: &Instructions| b.write == i.write && b.apply == i.apply;
    // as ovs-ofctl has it: where nothing may be set, they are told again
    if before.is_some_and(same) && !i.write.set.is_empty() {
        out.push_str("      (same actions)\n");
    } else if i.write != i.apply {
        out.push_str("      Write-Actions features:\n");
        actions(out, &i.write);
        out.push_str("      Apply-Actions features:\n");
        actions(out, &i.apply);
    } else if i.write != Actions::default() {
        out.push_str("      Write-Actions and Apply-Actions features:\n");
        actions(out, &i.write);
    }
}

/// Are they the same but for a table's going to itself? Each table may go to later ones alone.
fn same_instructions(a: &Instructions, b: &Instructions, table: u8) -> bool {
    let others = |i: &Instructions| i.next.iter().copied().filter(|n| *n != table).collect::<Vec<_>>();
    a.kinds == b.kinds && a.write == b.write && a.apply == b.apply && others(a) == others(b)
}

fn matching(out: &mut String, m: &Matching) {
    out.push_str("    matching:\n");
    let exact: Fields = m.fields.difference(&m.masked).copied().collect();
    let may: Fields = exact.intersection(&m.left_out).copied().collect();
    let must: Fields = exact.difference(&m.left_out).copied().collect();
    for (what, fields) in
        [("arbitrary mask", &m.masked), ("exact match or wildcard", &may), ("must exact match", &must)]
    {
        if !fields.is_empty() {
            let _ = writeln!(out, "      {what}: {}", field_names(fields));
        }
    }
}

fn number(n: u64) -> String {
    if n == 0 { "0".to_owned() } else { format!("{n:#x}") }
}

/// Is all of it the same, but which table it is and what it is called?
fn same_features(a: &TableFeatures, b: &TableFeatures) -> bool {
    let head =
        |t: &TableFeatures| (t.match_metadata, t.write_metadata, t.miss, t.eviction, t.vacancy_events, t.max_entries);
    head(a) == head(b)
        && a.matching == b.matching
        && same_instructions(&a.missing, &b.missing, b.table.0)
        && same_instructions(&a.others, &b.others, b.table.0)
}

fn features(out: &mut String, t: &TableFeatures, before: Option<&TableFeatures>) {
    if t.match_metadata != 0 || t.write_metadata != 0 {
        let (matched, written) = (number(t.match_metadata), number(t.write_metadata));
        let _ = writeln!(out, "    metadata: match={matched} write={written}");
    }
    if let Some(miss) = t.miss {
        let miss = match miss {
            TableMiss::Controller => "controller",
            TableMiss::Continue => "continue",
            TableMiss::Drop => "drop",
        };
        let _ = writeln!(out, "    config={miss}");
    }
    for (what, there) in [("eviction", t.eviction), ("vacancy events", t.vacancy_events)] {
        if let Some(there) = there {
            let _ = writeln!(out, "    {what}: {}supported", if there { "" } else { "not " });
        }
    }
    if t.max_entries != 0 {
        let _ = writeln!(out, "    max_entries={}", t.max_entries);
    }
    let same = |b: &TableFeatures| {
        same_instructions(&b.missing, &t.missing, t.table.0) && same_instructions(&b.others, &t.others, t.table.0)
    };
    if !t.others.is_empty() || !t.missing.is_empty() {
        if before.is_some_and(same) {
            out.push_str("    (same instructions)\n");
        } else if t.missing == t.others {
            instructions(out, "table miss and others", &t.others, before.map(|b| &b.others));
        } else {
            instructions(out, "other than table miss", &t.others, before.map(|b| &b.others));
            instructions(out, "table miss", &t.missing, before.map(|b| &b.missing));
        }
    }
    if t.matching != Matching::default() {
        match before {
            Some(b) if b.matching == t.matching => out.push_str("    (same matching)\n"),
            _ => matching(out, &t.matching),
        }
    }
}

/// How tables are to be.
pub(super) fn request(tables: &[TableFeatures], version: Version, names: &dyn PortNames) -> String {
    let command = tables.first().filter(|_| version >= Version::Of15).map(|t| match t.command {
        Command::Replace => "replace",
        Command::Modify => "modify",
        Command::Enable => "enable",
        Command::Disable => "disable",
    });
    let command = command.map(|name| format!("\n  command: {name}")).unwrap_or_default();
    command + &Tables::of_features(tables, names)
}

/// Flows, lookups and those that found something.
type Counters = Option<(u32, u64, u64)>;

/// Tables that are told one after the other.
#[derive(Default)]
pub struct Tables {
    /// The one before.
    features: Option<TableFeatures>,
    counters: Counters,
    /// The first and the last of tables in a row that have no name and are like the one before them.
    alike: Option<(u8, u8)>,
    some: bool,
}

impl Tables {
    /// One more table: what it can do, its counters, where there are any.
    fn push(&mut self, out: &mut String, id: TableId, name: &str, t: Option<TableFeatures>, counters: Counters) {
        let id = id.0;
        let same = match (&self.features, &t) {
            (Some(a), Some(b)) => same_features(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let alike = self.some && same && self.counters == counters;
        if alike && name.is_empty() {
            self.alike = Some((self.alike.map_or(id, |(first, _)| first), id));
        } else {
            self.flush(out);
            let named = if name.is_empty() { String::new() } else { format!(" (\"{name}\")") };
            let _ = write!(out, "\n  table {id}{named}:");
            if alike {
                out.push_str(" ditto");
            } else {
                out.push('\n');
                self.full(out, same, t.as_ref(), counters);
            }
        }
        (self.features, self.counters, self.some) = (t, counters, true);
    }

    fn full(&self, out: &mut String, same: bool, t: Option<&TableFeatures>, counters: Counters) {
        if let Some((active, lookups, matched)) = counters {
            let _ = writeln!(out, "    active={active}, lookup={lookups}, matched={matched}");
        }
        match t {
            Some(_) if self.some && same => out.push_str("    (same features)\n"),
            Some(t) => features(out, t, self.features.as_ref()),
            None => {}
        }
    }

    /// Tells of tables that are like the one before them.
    fn flush(&mut self, out: &mut String) {
        match self.alike.take() {
            Some((first, last)) if first == last => {
                let _ = writeln!(out, "\n  table {first}: ditto");
            }
            Some((first, last)) => {
                let _ = writeln!(out, "\n  tables {first}...{last}: ditto");
            }
            None => {}
        }
    }

    /// What tables can do, one after the other; each begins with a line's end.
    pub fn of_features(tables: &[TableFeatures], names: &dyn PortNames) -> String {
        let (mut all, mut out) = (Tables::default(), String::new());
        for t in tables {
            let name = name_of(&t.name, t.table, names);
            all.push(&mut out, t.table, &name, Some(t.clone()), None);
        }
        all.flush(&mut out);
        out
    }

    /// Their counters, and what these say of what they can do.
    pub(super) fn of_stats(tables: &[TableStats], version: Version, names: &dyn PortNames) -> String {
        let (mut all, mut out) = (Tables::default(), String::new());
        for t in tables {
            let features = table_features::of_stats(t, version);
            let name = name_of(&t.name, t.table, names);
            all.push(&mut out, t.table, &name, features, Some((t.active, t.lookups, t.matched)));
        }
        all.flush(&mut out);
        out
    }
}

/// What the table says that it is called, or else what it is known to be.
fn name_of(said: &str, id: TableId, names: &dyn PortNames) -> String {
    match said {
        "" => names.table_name(id).unwrap_or_default(),
        said => said.to_owned(),
    }
}
