//! What a column holds: a set or a map, sorted, without duplicates; one value is one kept in place.

use super::atoms::{Atoms, Differences, Iter};
use super::{Atom, Names, Type};
use crate::error::Error;
use crate::json::Json;
use std::cmp::Ordering;
use std::sync::Arc;

/// A set of atoms or a map. Equal contents have one form: no member is `Empty`, one member of a set is `One`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Datum {
    #[default]
    Empty,
    One(Atom),
    Set(Atoms),
    Map(Arc<[(Atom, Atom)]>),
}

impl Datum {
    /// Of atoms in any order; duplicates go.
    pub fn set(mut atoms: Vec<Atom>) -> Datum {
        atoms.sort_unstable();
        atoms.dedup();
        Datum::sorted_set(atoms)
    }

    fn sorted_set(mut atoms: Vec<Atom>) -> Datum {
        match atoms.len() {
            0 => Datum::Empty,
            1 => atoms.pop().map_or(Datum::Empty, Datum::One),
            _ => Datum::Set(Atoms::from_sorted(atoms)),
        }
    }

    fn of_atoms(atoms: Atoms) -> Datum {
        if atoms.len() > 1 {
            Datum::Set(atoms)
        } else {
            atoms.iter().next().map_or(Datum::Empty, |a| Datum::One(a.clone()))
        }
    }

    /// Of pairs in any order; of equal keys the first stays.
    pub fn map(mut pairs: Vec<(Atom, Atom)>) -> Datum {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        Datum::sorted_map(pairs)
    }

    fn sorted_map(pairs: Vec<(Atom, Atom)>) -> Datum {
        if pairs.is_empty() { Datum::Empty } else { Datum::Map(Arc::from(pairs)) }
    }

    pub fn len(&self) -> usize {
        match self {
            Datum::Empty => 0,
            Datum::One(_) => 1,
            Datum::Set(atoms) => atoms.len(),
            Datum::Map(pairs) => pairs.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The atoms of a set, or none.
    pub fn atoms(&self) -> Iter<'_> {
        match self {
            Datum::One(atom) => Iter::of(std::slice::from_ref(atom)),
            Datum::Set(atoms) => atoms.iter(),
            _ => Iter::of(&[]),
        }
    }

    /// Atoms of one of two sets alone, in order: `Less` with those of `self`, `Greater` with those of `other`.
    pub(crate) fn differences<'a>(&'a self, other: &'a Datum) -> Differences<'a> {
        Differences::new(self.atoms(), other.atoms())
    }

    /// The pairs of a map, or none.
    pub fn pairs(&self) -> &[(Atom, Atom)] {
        match self {
            Datum::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// A set's atoms or a map's keys.
    pub fn keys(&self) -> impl Iterator<Item = &Atom> {
        self.atoms().chain(self.pairs().iter().map(|(key, _)| key))
    }

    /// The only atom of a set of one.
    pub fn single(&self) -> Option<&Atom> {
        match self {
            Datum::One(atom) => Some(atom),
            _ => None,
        }
    }

    /// The string of a set of one.
    pub fn string(&self) -> Option<&str> {
        match self {
            Datum::One(Atom::String(s)) => Some(s),
            _ => None,
        }
    }

    pub fn contains_key(&self, key: &Atom) -> bool {
        match self {
            Datum::Empty => false,
            Datum::One(atom) => atom == key,
            Datum::Set(atoms) => atoms.contains(key),
            Datum::Map(pairs) => pairs.binary_search_by(|(k, _)| k.cmp(key)).is_ok(),
        }
    }

    /// The value of a key in a map.
    pub fn value(&self, key: &Atom) -> Option<&Atom> {
        let pairs = self.pairs();
        pairs.binary_search_by(|(k, _)| k.cmp(key)).ok().map(|at| &pairs[at].1)
    }

    /// Reads a datum of type `ty` and checks its constraints.
    pub fn from_json(ty: &Type, json: &Json, names: &mut dyn Names) -> Result<Datum, Error> {
        let datum = Datum::read(ty, json, names)?;
        datum.check_atoms(ty)?;
        Ok(datum)
    }

    fn read(ty: &Type, json: &Json, names: &mut dyn Names) -> Result<Datum, Error> {
        let class = if ty.is_map() { "map" } else { "set" };
        let elements = match json.as_array() {
            Some([Json::Str(tag), Json::Array(elements)]) if &**tag == class => Some(elements),
            _ => None,
        };
        let Some(elements) = elements else {
            // a bare atom is a set of one
            return match ty.value {
                None => Atom::from_json(ty.key.kind, json, names).map(Datum::One),
                Some(_) => Err(Error::syntax(json, "expected [\"map\", <array>]")),
            };
        };
        let n = elements.len();
        if n < ty.min as usize || n > ty.max as usize {
            let how_many = match (ty.min, ty.max) {
                (1, 1) => "exactly one member".to_owned(),
                (min, u32::MAX) => format!("{min} or more members"),
                (min, max) => format!("{min} to {max} members"),
            };
            return Err(Error::syntax(json, format!("{class} must have {how_many} but {n} are present")));
        }
        match &ty.value {
            None => {
                let kind = ty.key.kind;
                let atoms: Result<Vec<Atom>, Error> =
                    elements.iter().map(|e| Atom::from_json(kind, e, names)).collect();
                let datum = Datum::set(atoms?);
                if datum.len() < n {
                    return Err(Error::new("ovsdb error", "set contains duplicate"));
                }
                Ok(datum)
            }
            Some(value) => {
                let mut pairs = Vec::with_capacity(n);
                for element in elements {
                    let Some([k, v]) = element.as_array() else {
                        return Err(Error::syntax(element, "expected 2-element array"));
                    };
                    let key = Atom::from_json(ty.key.kind, k, names)?;
                    pairs.push((key, Atom::from_json(value.kind, v, names)?));
                }
                let datum = Datum::map(pairs);
                if datum.len() < n {
                    return Err(Error::new("ovsdb error", "map contains duplicate key"));
                }
                Ok(datum)
            }
        }
    }

    /// Whether every atom is allowed.
    pub fn check_atoms(&self, ty: &Type) -> Result<(), Error> {
        self.keys().try_for_each(|key| ty.key.check(key))?;
        match &ty.value {
            Some(value) => self.pairs().iter().try_for_each(|(_, v)| value.check(v)),
            None => Ok(()),
        }
    }

    /// Whether it has as many members as `ty` allows.
    pub fn check_size(&self, ty: &Type) -> Result<(), Error> {
        let n = self.len();
        if n < ty.min as usize || n > ty.max as usize {
            return Err(Error::constraint(format!("Attempted to store {n} elements in {}.", ty.english())));
        }
        Ok(())
    }

    pub fn to_json(&self) -> Json {
        match self {
            Datum::Empty => Json::pair("set", Vec::new()),
            Datum::One(atom) => atom.to_json(),
            Datum::Set(atoms) => Json::pair("set", atoms.iter().map(Atom::to_json).collect::<Vec<_>>()),
            Datum::Map(pairs) => {
                let pairs: Vec<Json> = pairs.iter().map(|(k, v)| Json::pair(k.to_json(), v.to_json())).collect();
                Json::pair("map", pairs)
            }
        }
    }

    /// The same where an empty map is told from an empty set.
    pub fn to_json_as(&self, ty: &Type) -> Json {
        match self {
            Datum::Empty if ty.is_map() => Json::pair("map", Vec::new()),
            other => other.to_json(),
        }
    }

    /// Appends the text of [`Datum::to_json_as`].
    pub(crate) fn write_as(&self, ty: &Type, out: &mut String) {
        match self {
            Datum::Empty if ty.is_map() => out.push_str("[\"map\",[]]"),
            Datum::Empty => out.push_str("[\"set\",[]]"),
            Datum::One(atom) => atom.write_to(out),
            Datum::Set(atoms) => {
                out.push_str("[\"set\",[");
                for (at, atom) in atoms.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    atom.write_to(out);
                }
                out.push_str("]]");
            }
            Datum::Map(pairs) => {
                out.push_str("[\"map\",[");
                for (at, (key, value)) in pairs.iter().enumerate() {
                    out.push_str(if at > 0 { ",[" } else { "[" });
                    key.write_to(out);
                    out.push(',');
                    value.write_to(out);
                    out.push(']');
                }
                out.push_str("]]");
            }
        }
    }

    /// All members of both; of a key in both maps the own value stays.
    pub fn union(&self, other: &Datum) -> Datum {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        if let (Datum::Set(atoms), true) = (self, self.is_much_more_than(other)) {
            return Datum::of_atoms(atoms.edit(other.atoms(), |_| true));
        }
        if matches!(self, Datum::Map(_)) {
            return Datum::sorted_map(merge(
                self.pairs().iter(),
                other.pairs().iter(),
                |a, b| a.0.cmp(&b.0),
                |s| match s {
                    Side::Left(a) | Side::Both(a, _) => Some(a),
                    Side::Right(b) => Some(b),
                },
            ));
        }
        Datum::sorted_set(merge(self.atoms(), other.atoms(), Atom::cmp, |s| match s {
            Side::Left(a) | Side::Both(a, _) | Side::Right(a) => Some(a),
        }))
    }

    /// The members of `self` that `other` has not. For maps: pairs that are in `other` go or, when `other` is a set, pairs
    /// whose keys are in it.
    pub fn subtract(&self, other: &Datum) -> Datum {
        match self {
            Datum::Empty => Datum::Empty,
            Datum::Map(pairs) => {
                let gone = |(k, v): &(Atom, Atom)| match other {
                    Datum::Map(_) => other.value(k) == Some(v),
                    _ => other.contains_key(k),
                };
                Datum::sorted_map(pairs.iter().filter(|&pair| !gone(pair)).cloned().collect())
            }
            Datum::Set(atoms) if self.is_much_more_than(other) => Datum::of_atoms(atoms.edit(other.keys(), |_| false)),
            _ => Datum::sorted_set(self.atoms().filter(|&a| !other.contains_key(a)).cloned().collect()),
        }
    }

    /// Whether `self` has every member of `other`.
    pub fn includes(&self, other: &Datum) -> bool {
        match other {
            Datum::Map(pairs) => pairs.iter().all(|(k, v)| self.value(k) == Some(v)),
            _ => other.atoms().all(|atom| self.contains_key(atom)),
        }
    }

    /// Whether `self` has no member of `other`.
    pub fn excludes(&self, other: &Datum) -> bool {
        match other {
            Datum::Map(pairs) => pairs.iter().all(|(k, v)| self.value(k) != Some(v)),
            _ => other.atoms().all(|atom| !self.contains_key(atom)),
        }
    }

    /// What update2 sends for a column that was `self` and is `new` (ovsdb-server(7), 4.1.14).
    pub fn diff(&self, new: &Datum, ty: &Type) -> Datum {
        if !ty.is_map() && ty.max == 1 {
            return new.clone();
        }
        if ty.is_map() {
            return Datum::sorted_map(merge(
                self.pairs().iter(),
                new.pairs().iter(),
                |a, b| a.0.cmp(&b.0),
                |s| match s {
                    Side::Left(pair) | Side::Right(pair) => Some(pair),
                    Side::Both(old, new) => (old.1 != new.1).then_some(new),
                },
            ));
        }
        Datum::sorted_set(self.differences(new).map(|(_, atom)| atom.clone()).collect())
    }

    /// The inverse of [`Datum::diff`]: what the column becomes.
    pub fn apply_diff(&self, diff: &Datum, ty: &Type) -> Datum {
        if !ty.is_map() && ty.max == 1 {
            return diff.clone();
        }
        if ty.is_map() {
            return Datum::sorted_map(merge(
                self.pairs().iter(),
                diff.pairs().iter(),
                |a, b| a.0.cmp(&b.0),
                |s| match s {
                    Side::Left(pair) | Side::Right(pair) => Some(pair),
                    // a pair that comes again is one that went
                    Side::Both(old, new) => (old.1 != new.1).then_some(new),
                },
            ));
        }
        if let (Datum::Set(atoms), true) = (self, self.is_much_more_than(diff)) {
            return Datum::of_atoms(atoms.edit(diff.atoms(), |was| !was));
        }
        self.diff(diff, ty)
    }

    /// Whether a change by `other` is better made at its members than by a walk over all.
    fn is_much_more_than(&self, other: &Datum) -> bool {
        self.len() > 8 * other.len()
    }

    /// A rough figure of the atoms in it.
    pub fn atom_count(&self) -> usize {
        self.len() + self.pairs().len()
    }
}

/// The middles of two lists, without what both begin and end with.
pub(crate) fn changed<'a, T: PartialEq>(old: &'a [T], new: &'a [T]) -> (&'a [T], &'a [T]) {
    let before = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[before..], &new[before..]);
    let after = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    (&old[..old.len() - after], &new[..new.len() - after])
}

enum Side<'a, T> {
    Left(&'a T),
    Right(&'a T),
    Both(&'a T, &'a T),
}

/// Walks two sorted lists together and keeps what `pick` returns.
fn merge<'a, T: Clone + 'a>(
    left: impl Iterator<Item = &'a T>,
    right: impl Iterator<Item = &'a T>,
    order: impl Fn(&T, &T) -> Ordering,
    pick: impl Fn(Side<'a, T>) -> Option<&'a T>,
) -> Vec<T> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    let mut out = Vec::new();
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return out,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => order(a, b),
        };
        let before = if order.is_le() { left.next() } else { None };
        let after = if order.is_ge() { right.next() } else { None };
        let side = match (before, after) {
            (Some(a), Some(b)) => Side::Both(a, b),
            (Some(a), None) => Side::Left(a),
            (None, Some(b)) => Side::Right(b),
            (None, None) => return out,
        };
        out.extend(pick(side).cloned());
    }
}
