//! A set of two atoms or more, in pieces that its versions share: one more member of ten thousand costs a piece and the list of
//! pieces, and two versions are compared where their pieces differ.

use super::Atom;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Members of a new piece; one with twice as many is cut in halves.
const PIECE: usize = 64;

/// Sorted atoms without duplicates.
#[derive(Clone)]
pub struct Atoms(Arc<Pieces>);

#[derive(Clone, Default)]
struct Pieces {
    len: usize,
    /// None is empty.
    pieces: Vec<Arc<[Atom]>>,
}

impl Pieces {
    /// The piece where an atom is or would be, and where in it.
    fn find(&self, atom: &Atom) -> (usize, Result<usize, usize>) {
        let piece = self.pieces.partition_point(|piece| piece.last().is_some_and(|last| last < atom));
        match self.pieces.get(piece) {
            Some(members) => (piece, members.binary_search(atom)),
            // behind all: at the end of the last piece
            None => (piece.saturating_sub(1), Err(self.pieces.last().map_or(0, |last| last.len()))),
        }
    }

    fn insert(&mut self, atom: &Atom) {
        let (piece, Err(at)) = self.find(atom) else { return };
        self.len += 1;
        let Some(old) = self.pieces.get_mut(piece) else {
            self.pieces.push(Arc::from([atom.clone()]));
            return;
        };
        let new: Arc<[Atom]> = old[..at].iter().chain(std::iter::once(atom)).chain(&old[at..]).cloned().collect();
        if new.len() > 2 * PIECE {
            let (left, right) = new.split_at(PIECE);
            *old = Arc::from(left);
            self.pieces.insert(piece + 1, Arc::from(right));
        } else {
            *old = new;
        }
    }

    fn remove(&mut self, atom: &Atom) {
        let (piece, Ok(at)) = self.find(atom) else { return };
        self.len -= 1;
        let old = &mut self.pieces[piece];
        if old.len() == 1 {
            self.pieces.remove(piece);
        } else {
            *old = old[..at].iter().chain(&old[at + 1..]).cloned().collect();
        }
    }

    /// Whether there are so many small pieces that they should be joined.
    fn is_scattered(&self) -> bool {
        self.pieces.len() > 4 + self.len / (PIECE / 4)
    }
}

impl Atoms {
    /// Of atoms that are sorted and differ.
    pub(super) fn from_sorted(atoms: Vec<Atom>) -> Atoms {
        let len = atoms.len();
        if len <= 2 * PIECE {
            let pieces = if len == 0 { Vec::new() } else { vec![Arc::from(atoms)] };
            return Atoms(Arc::new(Pieces { len, pieces }));
        }
        let pieces = atoms.chunks(PIECE).map(Arc::from).collect();
        Atoms(Arc::new(Pieces { len, pieces }))
    }

    pub fn len(&self) -> usize {
        self.0.len
    }

    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter { pieces: &self.0.pieces, current: &[] }
    }

    pub fn contains(&self, atom: &Atom) -> bool {
        self.0.find(atom).1.is_ok()
    }

    /// Another version: each atom of the list is there afterwards or not, as `wanted` says of it and of whether it was there.
    pub(super) fn edit<'a>(&self, list: impl Iterator<Item = &'a Atom>, wanted: impl Fn(bool) -> bool) -> Atoms {
        let mut pieces = Pieces::clone(&self.0);
        for atom in list {
            let was = pieces.find(atom).1.is_ok();
            match (was, wanted(was)) {
                (false, true) => pieces.insert(atom),
                (true, false) => pieces.remove(atom),
                _ => {}
            }
        }
        if pieces.is_scattered() {
            return Atoms::from_sorted(pieces.pieces.iter().flat_map(|piece| piece.iter()).cloned().collect());
        }
        Atoms(Arc::new(pieces))
    }

    /// Members of one alone, in order: `Less` with those of `self`, `Greater` with those of `other`.
    pub(super) fn differences<'a>(&'a self, other: &'a Atoms) -> Differences<'a> {
        Differences { left: self.iter(), right: other.iter() }
    }
}

/// Members in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    pieces: &'a [Arc<[Atom]>],
    /// What is left of the piece before them.
    current: &'a [Atom],
}

impl<'a> Iter<'a> {
    /// A set of one, or of none.
    pub(super) fn of(atoms: &'a [Atom]) -> Iter<'a> {
        Iter { pieces: &[], current: atoms }
    }

    fn peek(&mut self) -> Option<&'a Atom> {
        if self.current.is_empty()
            && let Some((first, rest)) = self.pieces.split_first()
        {
            (self.current, self.pieces) = (first, rest);
        }
        self.current.first()
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Atom;

    fn next(&mut self) -> Option<&'a Atom> {
        let atom = self.peek()?;
        self.current = &self.current[1..];
        Some(atom)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.current.len(), None)
    }
}

/// Walks two sets; pieces that they share are passed over.
#[derive(Debug)]
pub(crate) struct Differences<'a> {
    left: Iter<'a>,
    right: Iter<'a>,
}

impl<'a> Differences<'a> {
    pub(super) fn new(left: Iter<'a>, right: Iter<'a>) -> Differences<'a> {
        Differences { left, right }
    }
}

impl<'a> Iterator for Differences<'a> {
    type Item = (Ordering, &'a Atom);

    fn next(&mut self) -> Option<(Ordering, &'a Atom)> {
        let Differences { left, right } = self;
        loop {
            while left.current.is_empty()
                && right.current.is_empty()
                && let (Some((a, rest_a)), Some((b, rest_b))) = (left.pieces.split_first(), right.pieces.split_first())
                && Arc::ptr_eq(a, b)
            {
                (left.pieces, right.pieces) = (rest_a, rest_b);
            }
            let order = match (left.peek(), right.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            let atom = match order {
                Ordering::Less => left.next(),
                Ordering::Greater => right.next(),
                Ordering::Equal => {
                    left.next();
                    right.next();
                    continue;
                }
            };
            return atom.map(|atom| (order, atom));
        }
    }
}

impl PartialEq for Atoms {
    fn eq(&self, other: &Atoms) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.len() == other.len() && self.differences(other).next().is_none())
    }
}

impl Eq for Atoms {}

impl PartialOrd for Atoms {
    fn partial_cmp(&self, other: &Atoms) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atoms {
    fn cmp(&self, other: &Atoms) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl Hash for Atoms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|atom| atom.hash(state));
    }
}

impl fmt::Debug for Atoms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(numbers: &BTreeSet<i64>) -> Atoms {
        Atoms::from_sorted(numbers.iter().map(|&n| Atom::Integer(n)).collect())
    }

    fn numbers(atoms: &Atoms) -> BTreeSet<i64> {
        atoms.iter().map(|a| if let Atom::Integer(n) = a { *n } else { panic!("{a:?}") }).collect()
    }

    /// Versions by random edits against a set of the standard library: members, equality and differences.
    #[test]
    fn as_a_plain_set() {
        let mut state = 7u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut plain = BTreeSet::new();
        let mut atoms = set(&plain);
        for round in 0..3000 {
            let (before, plain_before) = (atoms.clone(), plain.clone());
            // it grows, then shrinks to little
            let insert = if round < 1500 { random(10) < 8 } else { random(10) < 2 };
            let list: Vec<Atom> = (0..=random(3)).map(|_| Atom::Integer(random(1500) as i64)).collect();
            atoms = atoms.edit(list.iter(), |_| insert);
            for atom in &list {
                let Atom::Integer(n) = atom else { unreachable!() };
                if insert {
                    plain.insert(*n)
                } else {
                    plain.remove(n)
                };
            }
            assert_eq!((numbers(&atoms), atoms.len()), (plain.clone(), plain.len()));
            assert!(list.iter().all(|atom| atoms.contains(atom) == insert));
            assert_eq!(atoms == before, plain == plain_before);
            assert_eq!(atoms, set(&plain), "however it is cut");
            let found: Vec<_> = before.differences(&atoms).map(|(order, atom)| (order, atom.clone())).collect();
            let all: BTreeSet<_> = plain_before.symmetric_difference(&plain).copied().collect();
            assert_eq!(found.len(), all.len());
            for (order, atom) in found {
                let Atom::Integer(n) = atom else { unreachable!() };
                assert_eq!(
                    (order == Ordering::Less, order == Ordering::Greater),
                    (plain_before.contains(&n), plain.contains(&n))
                );
            }
            assert!(!atoms.0.is_scattered() && atoms.0.pieces.iter().all(|p| !p.is_empty() && p.len() <= 2 * PIECE));
        }
    }
}
