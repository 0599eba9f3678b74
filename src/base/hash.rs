//! A fast seeded 64-bit hash of machine words, for tables that outsiders can fill.
//!
//! The primitive is the folded multiply: the 128-bit product of two words, its halves xored. The seed is mixed into both
//! operands, so who does not know it cannot choose a factor that makes the product collapse. It is not cryptographic: a
//! hash that leaks to an attacker can be attacked. Good enough bits at both ends: take the bucket from the low bits
//! and a signature from the high ones.

use std::hash::{BuildHasher, Hasher};

/// Odd 64-bit constants with half their bits set: the fractions of the square roots of 2, 3 and 5 (the last bit made 1).
const K: [u64; 3] = [0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b];

/// The 128-bit product's halves, xored.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// What makes this process's hashes its own. Take it from a random source once; a fixed one makes a run repeatable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    a: u64,
    b: u64,
}

impl Seed {
    /// Any number makes a good seed.
    pub const fn new(random: u64) -> Self {
        let a = fold(random ^ K[0], K[1]) ^ random;
        Self { a, b: fold(a ^ K[1], K[2]) ^ K[0] }
    }

    /// The hash of one word.
    #[inline]
    pub const fn one(self, w: u64) -> u64 {
        finish(fold(w ^ self.a, self.b ^ K[0]), self.b)
    }

    /// The hash of two words, order mattering. Not that of the same words in a slice.
    #[inline]
    pub const fn two(self, x: u64, y: u64) -> u64 {
        finish(fold(x ^ self.a, y ^ self.b), self.b)
    }

    /// The hash of `words`; slices of different length differ even when they differ by zero words.
    #[inline]
    pub fn words(self, words: &[u64]) -> u64 {
        let mut state = Stream::new(self);
        let (pairs, rest) = words.as_chunks::<2>();
        for [x, y] in pairs {
            state = state.pair(*x, *y);
        }
        if let [last] = rest {
            state = state.word(*last);
        }
        state.word(words.len() as u64).finish()
    }

    /// The hash of `key` under `mask`, word by word up to the shorter: that of `words` on the anded words.
    #[inline]
    pub fn masked(self, key: &[u64], mask: &[u64]) -> u64 {
        let len = key.len().min(mask.len());
        let mut state = Stream::new(self);
        let (keys, masks) = (key[..len].as_chunks::<2>(), mask[..len].as_chunks::<2>());
        for ([x, y], [m, n]) in keys.0.iter().zip(masks.0) {
            state = state.pair(x & m, y & n);
        }
        if let ([last], [m]) = (keys.1, masks.1) {
            state = state.word(last & m);
        }
        state.word(len as u64).finish()
    }
}

/// The last mixing step, so that every output bit depends on every input bit of the last word.
#[inline]
const fn finish(h: u64, b: u64) -> u64 {
    fold(h ^ K[2], b | 1)
}

/// A hash under construction, for words that come one at a time: `Stream::new(seed).word(x).word(y).finish()`.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    state: u64,
    b: u64,
}

impl Stream {
    /// Nothing hashed yet.
    #[inline]
    pub const fn new(seed: Seed) -> Self {
        Self { state: seed.a, b: seed.b }
    }

    /// With `w` added.
    #[inline]
    #[must_use]
    pub const fn word(self, w: u64) -> Self {
        Self { state: fold(w ^ self.state, self.b ^ K[0]), b: self.b }
    }

    /// With two words added at the cost of one. Not the same hash as adding one after the other.
    #[inline]
    #[must_use]
    pub const fn pair(self, x: u64, y: u64) -> Self {
        // xor of the state after the product keeps it when a factor happens to be zero
        Self { state: fold(x ^ self.state, y ^ self.b) ^ self.state.rotate_left(23), b: self.b }
    }

    /// The hash. A stream has no length in it: add one where words may be missing.
    #[inline]
    pub const fn finish(self) -> u64 {
        finish(self.state, self.b)
    }
}

/// For `HashMap`s with keys of outsiders' choice: `HashMap::with_hasher(seed)`.
impl BuildHasher for Seed {
    type Hasher = MapHasher;
    #[inline]
    fn build_hasher(&self) -> MapHasher {
        MapHasher(Stream::new(*self))
    }
}

/// The `Hasher` of a [`Seed`].
#[derive(Clone, Debug)]
pub struct MapHasher(Stream);

impl Hasher for MapHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        // at most seven bytes, and their number on top
        let tail = rest.iter().fold(rest.len() as u64, |tail, byte| tail << 8 | u64::from(*byte));
        self.write_u64(tail);
    }
    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }
    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.0 = self.0.word(n);
    }
    #[inline]
    fn write_u128(&mut self, n: u128) {
        self.0 = self.0.word(n as u64).word((n >> 64) as u64);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// For each form of the hash: flipping an input bit flips every output bit with a chance near one half.
    fn avalanche(words: usize, hash: impl Fn(&[u64]) -> u64) {
        const SAMPLES: u64 = 800;
        let mut worst = 0.0f64;
        for bit in 0..words * 64 {
            let mut flips = [0u32; 64];
            for sample in 0..SAMPLES {
                // near-zero inputs are the hard ones: headers are mostly zero bits
                let mut w: Vec<u64> = (0..words as u64).map(|i| (sample * 7 + i) & 0xffff).collect();
                let h = hash(&w);
                w[bit / 64] ^= 1 << (bit % 64);
                let d = h ^ hash(&w);
                for (out, n) in flips.iter_mut().enumerate() {
                    *n += (d >> out & 1) as u32;
                }
            }
            for n in flips {
                worst = worst.max((f64::from(n) / SAMPLES as f64 - 0.5).abs());
            }
        }
        // 0.5 / sqrt(800) = 0.018 is one standard deviation; over 20,000 cells, six are not seen by chance
        assert!(worst < 0.11, "bias {worst}");
    }

    #[test]
    fn every_input_bit_reaches_every_output_bit() {
        for seed in [0, 1, 0xdead_beef] {
            let s = Seed::new(seed);
            avalanche(1, |w| s.one(w[0]));
            avalanche(2, |w| s.two(w[0], w[1]));
            avalanche(1, |w| s.words(w));
            avalanche(2, |w| s.words(w));
            avalanche(5, |w| s.words(w));
        }
    }

    /// Chi-square of bucket loads, from the low bits and from the high bits, over keys as flows have them.
    #[test]
    fn buckets_fill_evenly() {
        const BUCKETS: usize = 1024;
        const KEYS: u64 = 1 << 16;
        let s = Seed::new(7);
        let forms: [&dyn Fn(u64) -> u64; 5] = [
            &|i| s.one(i),
            &|i| s.one(i << 48),
            &|i| s.two(i & 0xff, i >> 8 << 40),
            &|i| s.words(&[0, i << 32, 0, 0, 6]),
            &|i| s.words(&[0x0a00_0000 + (i & 0xff), (i >> 8) << 16, 0]),
        ];
        for (n, form) in forms.iter().enumerate() {
            for shift in [0, 54] {
                let mut load = [0u32; BUCKETS];
                for i in 0..KEYS {
                    load[(form(i) >> shift) as usize % BUCKETS] += 1;
                }
                let mean = KEYS as f64 / BUCKETS as f64;
                let chi: f64 = load.iter().map(|&l| (f64::from(l) - mean).powi(2) / mean).sum();
                // 1023 degrees of freedom: standard deviation 45
                assert!((chi - 1023.0).abs() < 6.0 * 45.0, "form {n} shift {shift}: chi-square {chi}");
            }
        }
    }

    #[test]
    fn no_collisions_among_a_million_flows() {
        let s = Seed::new(3);
        let mut seen = HashSet::new();
        for i in 0..1_000_000u64 {
            assert!(seen.insert(s.words(&[1, 0x0800, i & 0xfff, i >> 12 << 20, 17])), "flow {i}");
        }
    }

    proptest! {
        #[test]
        fn masked_is_words_of_the_masked(key in proptest::collection::vec(any::<u64>(), 0..9),
                                         mask in proptest::collection::vec(any::<u64>(), 0..9), seed: u64) {
            let s = Seed::new(seed);
            let both: Vec<u64> = key.iter().zip(&mask).map(|(k, m)| k & m).collect();
            prop_assert_eq!(s.masked(&key, &mask), s.words(&both));
        }

        #[test]
        fn seed_length_and_order_matter(words in proptest::collection::vec(any::<u64>(), 1..9), seed: u64) {
            let s = Seed::new(seed);
            prop_assert_eq!(s.words(&words), s.words(&words));
            prop_assert_ne!(s.words(&words), Seed::new(seed ^ 1).words(&words));
            let mut longer = words.clone();
            longer.push(0);
            prop_assert_ne!(s.words(&words), s.words(&longer));
            if words[0] != words[words.len() - 1] {
                let mut back = words.clone();
                back.reverse();
                prop_assert_ne!(s.words(&words), s.words(&back));
            }
        }
    }

    #[test]
    fn maps_take_a_seed() {
        let mut m = HashMap::with_hasher(Seed::new(5));
        for name in ["", "a", "br0", "br-int", "br-int\0", "a-longer-name"] {
            m.insert(name.to_owned(), name.len());
        }
        assert_eq!((m.len(), m.get("br-int"), m.get("nope")), (6, Some(&6), None));
    }
}
