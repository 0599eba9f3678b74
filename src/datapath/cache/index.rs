//! From what megaflows depended on to the megaflows, per in_port: rules they matched, tables they asked, other things.

use std::collections::HashMap;

use dpif::{Deps, RuleId, TableKey, Thing};
use flow::layout::KEY_WORDS;
use rustc_hash::FxHashMap;

use super::slab::Slab;

/// Megaflows (index, generation). Entries of megaflows that are gone stay until there are too many.
#[derive(Default)]
struct List {
    items: Vec<(u32, u32)>,
    dead: usize,
}

impl List {
    fn live<'a>(&'a self, slab: &'a Slab) -> impl Iterator<Item = u32> + 'a {
        let live = |i: &u32, g: &u32| slab.get(*i).is_some_and(|hot| hot.live && hot.generation == *g);
        self.items.iter().filter(move |(i, g)| live(i, g)).map(|(i, _)| *i)
    }
}

/// The index. Rules and tables are named by us, so their hash needs no secret; MAC addresses come from packets.
#[derive(Default)]
pub(crate) struct DepIndex {
    rules: FxHashMap<RuleId, List>,
    things: HashMap<Thing, List>,
    tables: FxHashMap<TableKey, usize>,
}

/// Things under which a dependency is found: an FDB entry also by its bridge.
fn names(thing: &Thing) -> impl Iterator<Item = Thing> {
    let all = match thing {
        Thing::Fdb { bridge, .. } => Some(Thing::FdbAll { bridge: *bridge }),
        _ => None,
    };
    std::iter::once(*thing).chain(all)
}

impl DepIndex {
    pub(crate) fn add(&mut self, deps: &Deps, index: u32, generation: u32) {
        for d in &deps.tables {
            *self.tables.entry(d.table).or_default() += 1;
            if let Some(rule) = d.rule {
                self.rules.entry(rule).or_default().items.push((index, generation));
            }
        }
        for name in deps.things.iter().flat_map(names) {
            self.things.entry(name).or_default().items.push((index, generation));
        }
    }

    /// To be called after the megaflow left the slab.
    pub(crate) fn remove(&mut self, deps: &Deps, slab: &Slab) {
        for d in &deps.tables {
            if let Some(n) = self.tables.get_mut(&d.table) {
                *n -= 1;
                if *n == 0 {
                    self.tables.remove(&d.table);
                }
            }
            if let Some(rule) = d.rule
                && self.rules.get_mut(&rule).is_some_and(|list| bury(list, slab))
            {
                self.rules.remove(&rule);
            }
        }
        for name in deps.things.iter().flat_map(names) {
            if self.things.get_mut(&name).is_some_and(|list| bury(list, slab)) {
                self.things.remove(&name);
            }
        }
    }

    /// Whether any megaflow asked this table.
    pub(crate) fn asked(&self, table: &TableKey) -> bool {
        self.tables.contains_key(table)
    }

    /// The megaflows that matched the rule; None when they are more than `most`.
    pub(crate) fn of_rule(&self, rule: RuleId, slab: &Slab, most: usize) -> Option<Vec<u32>> {
        collect(self.rules.get(&rule), slab, most)
    }

    /// The megaflows that looked at the thing; None when they are more than `most`.
    pub(crate) fn of_thing(&self, thing: &Thing, slab: &Slab, most: usize) -> Option<Vec<u32>> {
        collect(self.things.get(thing), slab, most)
    }
}

fn collect(list: Option<&List>, slab: &Slab, most: usize) -> Option<Vec<u32>> {
    let Some(list) = list else { return Some(Vec::new()) };
    (list.items.len() - list.dead.min(list.items.len()) <= most).then(|| list.live(slab).collect())
}

/// One entry of the list is of no use any more; true when none is.
fn bury(list: &mut List, slab: &Slab) -> bool {
    list.dead += 1;
    if list.dead > list.items.len() / 2 {
        list.items.retain(|(i, g)| slab.get(*i).is_some_and(|hot| hot.live && hot.generation == *g));
        list.dead = 0;
    }
    list.items.is_empty()
}

/// Whether some lookup was made with key fields that translation had written: then the megaflow's key does not say what
/// that table saw. The input port's number is rewritten always and does not count.
pub(crate) fn rewrites(deps: &Deps) -> bool {
    deps.tables.iter().any(|d| d.rewritten.iter().any(|(word, ..)| (1..KEY_WORDS).contains(&usize::from(*word))))
}
