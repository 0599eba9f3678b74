//! Cumulative counters that one thread writes and any thread reads.
//!
//! The owner adds with a relaxed load and a relaxed store: a plain `add` to memory, no lock prefix. Readers load relaxed: a
//! counter never goes back, a reader may be a moment behind, and nothing is implied about the order of two counters
//! or of other memory. Two writers lose counts, but nothing worse. Differences of two readings are right even across the
//! wrap at 2^64.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count of something, written by its owner alone. Not padded: counters of one owner belong together, and the group
/// in a [`CachePadded`](crate::CachePadded).
#[derive(Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`, modulo 2^64. The owner's thread only.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// The count, from any thread.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets it, for gauges. The owner's thread only.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// An enum whose variants number the elements of a [`Counters`]; made by [`counters!`](crate::counters).
pub trait Key: Copy + 'static {
    /// Every variant, in order of `index`.
    const ALL: &'static [Self];

    /// The variant's place in `ALL`.
    fn index(self) -> usize;
    /// A name for output and metrics: lower case with underscores.
    fn name(self) -> &'static str;
    /// One line that says what is counted.
    fn help(self) -> &'static str;
}

/// A counter for every variant of `K`. `N` is `K::COUNT`; any other number does not compile.
pub struct Counters<K, const N: usize>([Counter; N], PhantomData<K>);

impl<K: Key, const N: usize> Counters<K, N> {
    /// All at zero.
    pub const fn new() -> Self {
        const { assert!(N == K::ALL.len(), "N is the number of variants") };
        Self([const { Counter::new() }; N], PhantomData)
    }

    /// The counter of `key`.
    #[inline]
    pub fn at(&self, key: K) -> &Counter {
        &self.0[key.index()]
    }

    /// Adds `n` to the counter of `key`. The owner's thread only.
    #[inline]
    pub fn add(&self, key: K, n: u64) {
        self.at(key).add(n);
    }

    /// The count of `key`, from any thread.
    #[inline]
    pub fn get(&self, key: K) -> u64 {
        self.at(key).get()
    }

    /// Every key with its count.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> + '_ {
        K::ALL.iter().map(|&key| (key, self.get(key)))
    }

    /// The sum of all.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, c| sum.wrapping_add(c.get()))
    }
}

impl<K: Key, const N: usize> Default for Counters<K, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Key, const N: usize> fmt::Debug for Counters<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(k, n)| (k.name(), n))).finish()
    }
}

/// Declares an enum of counters, a row each: variant, name, and what it counts.
///
/// ```
/// base::counters! {
///     /// Why a packet was not forwarded.
///     pub enum Drop {
///         NoFlow = "no_flow": "no flow matched",
///         NoPort = "no_port": "the output port is gone",
///     }
/// }
/// use base::counter::Counters;
/// let drops: Counters<Drop, { Drop::COUNT }> = Counters::new();
/// drops.add(Drop::NoPort, 2);
/// assert_eq!(drops.get(Drop::NoPort), 2);
/// ```
#[macro_export]
macro_rules! counters {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variant:ident = $text:literal : $help:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        $vis enum $name { $(#[doc = $help] $variant),+ }

        impl $name {
            /// How many there are.
            $vis const COUNT: usize = [$($name::$variant),+].len();
        }

        impl $crate::counter::Key for $name {
            const ALL: &'static [Self] = &[$($name::$variant),+];
            #[inline]
            fn index(self) -> usize {
                self as usize
            }
            fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
            fn help(self) -> &'static str {
                match self { $($name::$variant => $help),+ }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::counters! {
        /// For the test.
        enum Fruit {
            Apple = "apple": "apples eaten",
            Pear = "pear": "pears eaten",
            Plum = "plum": "plums eaten",
        }
    }

    #[test]
    fn rows_become_keys_in_order() {
        assert_eq!((Fruit::COUNT, Fruit::ALL), (3, &[Fruit::Apple, Fruit::Pear, Fruit::Plum][..]));
        for (i, k) in Fruit::ALL.iter().enumerate() {
            assert_eq!(k.index(), i);
        }
        assert_eq!((Fruit::Pear.name(), Fruit::Plum.help()), ("pear", "plums eaten"));
    }

    #[test]
    fn counts_go_to_their_own_key_and_wrap() {
        let c: Counters<Fruit, { Fruit::COUNT }> = Counters::new();
        c.add(Fruit::Pear, 5);
        c.at(Fruit::Plum).inc();
        assert_eq!(c.iter().collect::<Vec<_>>(), [(Fruit::Apple, 0), (Fruit::Pear, 5), (Fruit::Plum, 1)]);
        assert_eq!((c.total(), format!("{c:?}").as_str()), (6, r#"{"apple": 0, "pear": 5, "plum": 1}"#));
        let w = Counter::new();
        w.set(u64::MAX);
        w.add(3);
        assert_eq!(w.get(), 2);
    }

    #[test]
    fn a_reader_never_sees_it_go_back() {
        const MOST: u64 = if cfg!(miri) { 1000 } else { 100_000 };
        let c = Counter::new();
        std::thread::scope(|s| {
            s.spawn(|| (0..MOST).for_each(|_| c.inc()));
            let mut last = 0;
            while last < MOST {
                let now = c.get();
                assert!(now >= last);
                last = now;
            }
        });
    }
}
