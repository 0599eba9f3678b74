//! A second way into a subtable: by the bits that its mask shares with the mask of rules that come and go.
//!
//! A new rule concerns the megaflows that agree with it on those bits. Made for a mask when several rules of it were
//! added; kept up to date from then on.

use flow::Match;
use flow::layout::KEY_WORDS;
use rustc_hash::FxHashMap;

use super::slab::{Cold, Slab};
use super::tuple::Subtable;

/// Shapes per subtable, and rules of a shape before it gets an index.
const SHAPES: usize = 2;
const PATIENCE: u32 = 4;

/// Megaflows (index, generation) with the same bits; those that are gone stay for a while.
#[derive(Default)]
struct List {
    items: Vec<(u32, u32)>,
    dead: usize,
}

/// Bits shared by the masks of a subtable and of some rules.
pub(crate) struct Shape {
    words: Box<[(u8, u64)]>,
    rules: u32,
    by_bits: Option<FxHashMap<u64, List>>,
}

impl Shape {
    fn key(words: &[(u8, u64)], value: impl Fn(usize) -> u64) -> u64 {
        words.iter().fold(0, |h: u64, (word, bits)| {
            let product =
                u128::from(h ^ value(usize::from(*word)) & bits ^ 0xa076_1d64_78bd_642f) * 0xe703_7ed1_a0b4_28db;
            product as u64 ^ (product >> 64) as u64
        })
    }

    fn of(&self, cold: &Cold) -> u64 {
        Shape::key(&self.words, |i| cold.key.w.get(i).copied().unwrap_or(0))
    }

    /// A megaflow was added.
    pub(crate) fn add(&mut self, index: u32, slab: &Slab) {
        if let (Some(hot), Some(cold)) = (slab.get(index), slab.cold(index)) {
            let key = self.of(cold);
            if let Some(map) = &mut self.by_bits {
                map.entry(key).or_default().items.push((index, hot.generation));
            }
        }
    }

    /// How many lists, and entries in them.
    #[cfg(test)]
    pub(crate) fn lists(&self) -> (usize, usize) {
        self.by_bits.as_ref().map_or((0, 0), |map| (map.len(), map.values().map(|l| l.items.len()).sum()))
    }

    /// A megaflow is about to go.
    pub(crate) fn remove(&mut self, index: u32, slab: &Slab) {
        let Some(cold) = slab.cold(index) else { return };
        let key = self.of(cold);
        let Some(map) = &mut self.by_bits else { return };
        let Some(list) = map.get_mut(&key) else { return };
        list.dead += 1;
        if list.dead > list.items.len() / 2 {
            list.items.retain(|(i, g)| *i != index && is_live(*i, *g, slab));
            list.dead = 0;
            if list.items.is_empty() {
                map.remove(&key);
            }
        }
    }
}

fn is_live(index: u32, generation: u32, slab: &Slab) -> bool {
    slab.get(index).is_some_and(|hot| hot.live && hot.generation == generation)
}

impl Subtable {
    /// The megaflows that agree with a rule where both look; None when there is no index for it (yet), or they are more
    /// than `most`.
    pub(crate) fn alike(&mut self, rule: &Match, slab: &Slab, most: usize) -> Option<Vec<u32>> {
        let common = |(i, m): (usize, &u64)| (i as u8, m & rule.word(i).mask);
        let words: Box<[(u8, u64)]> = {
            let all = self.mask.w.iter().enumerate().take(KEY_WORDS).skip(1).map(common);
            all.filter(|(_, bits)| *bits != 0).collect()
        };
        if words.is_empty() {
            return None;
        }
        let at = match self.shapes.iter().position(|s| s.words == words) {
            Some(at) => at,
            None => {
                if self.shapes.len() >= SHAPES {
                    // the one that the fewest rules used makes room
                    let least = self.shapes.iter().enumerate().min_by_key(|(_, s)| s.rules).map(|(i, _)| i)?;
                    self.shapes.swap_remove(least);
                }
                self.shapes.push(Shape { words, rules: 0, by_bits: None });
                self.shapes.len() - 1
            }
        };
        let shape = self.shapes.get_mut(at)?;
        shape.rules = shape.rules.saturating_add(1);
        if shape.by_bits.is_none() {
            if shape.rules <= PATIENCE {
                return None;
            }
            shape.by_bits = Some(FxHashMap::default());
            let indexes: Vec<u32> = self.indexes().collect();
            let shape = self.shapes.get_mut(at)?;
            indexes.iter().for_each(|index| shape.add(*index, slab));
        }
        let shape = self.shapes.get(at)?;
        let key = Shape::key(&shape.words, |i| rule.word(i).value);
        let Some(list) = shape.by_bits.as_ref()?.get(&key) else { return Some(Vec::new()) };
        (list.items.len() - list.dead.min(list.items.len()) <= most)
            .then(|| list.items.iter().filter(|(i, g)| is_live(*i, *g, slab)).map(|(i, _)| *i).collect())
    }
}
