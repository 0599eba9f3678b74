//! Names of rows: RFC 4122 text, and a source of new ones.

use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A UUID. In two halves, so that it needs no more than a word's alignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid {
    high: u64,
    low: u64,
}

impl Uuid {
    /// All zeros: the default of a reference.
    pub const ZERO: Uuid = Uuid { high: 0, low: 0 };

    pub const fn new(high: u64, low: u64) -> Uuid {
        Uuid { high, low }
    }

    /// Whether it is all zeros.
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }

    /// Appends its text.
    pub fn write_to(self, out: &mut String) {
        out.push_str(std::str::from_utf8(&self.text()).unwrap_or_default());
    }

    /// Written for every row that is told or kept: by hand it takes a tenth of the time.
    fn text(self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let mut rest = u128::from(self.high) << 64 | u128::from(self.low);
        for (at, byte) in text.iter_mut().enumerate().rev() {
            if !matches!(at, 8 | 13 | 18 | 23) {
                *byte = b"0123456789abcdef"[rest as usize & 15];
                rest >>= 4;
            }
        }
        text
    }

    /// Reads the form with four hyphens; digits in any case.
    pub fn parse(text: &str) -> Option<Uuid> {
        let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
        if [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
            return None;
        }
        // digits are looked up, and whether all of them were some is asked once
        let mut bad = 0;
        let mut half = |groups: [std::ops::Range<usize>; 3]| {
            let digits = groups.into_iter().flat_map(|group| &bytes[group]);
            digits.fold(0, |value: u64, &byte| {
                let digit = DIGITS[usize::from(byte)];
                bad |= digit;
                value << 4 | u64::from(digit & 15)
            })
        };
        let (high, low) = (half([0..8, 9..13, 14..18]), half([19..23, 24..36, 36..36]));
        (bad < 16).then_some(Uuid { high, low })
    }
}

/// What a byte is as a hexadecimal digit; 16 if it is none.
const DIGITS: [u8; 256] = {
    let mut table = [16; 256];
    let mut n = 0;
    while n < 16 {
        table[b"0123456789abcdef"[n] as usize] = n as u8;
        table[b"0123456789ABCDEF"[n] as usize] = n as u8;
        n += 1;
    }
    table
};

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// Where new UUIDs come from: a keyed hash of a counter, with keys of the operating system's random source.
#[derive(Clone, Debug)]
pub struct Source {
    high: SipHasher13,
    low: SipHasher13,
    next: u64,
}

impl Default for Source {
    fn default() -> Self {
        Source::new(Source::seed())
    }
}

fn hash_one(hasher: SipHasher13, n: u64) -> u64 {
    let mut hasher = hasher;
    hasher.write_u64(n);
    hasher.finish()
}

impl Source {
    /// The UUIDs that follow from these numbers.
    pub fn new([a, b, c, d]: [u64; 4]) -> Source {
        Source { high: SipHasher13::new_with_keys(a, b), low: SipHasher13::new_with_keys(c, d), next: 0 }
    }

    /// Random numbers to begin with.
    pub fn seed() -> [u64; 4] {
        let random = RandomState::new();
        [0u64, 1, 2, 3].map(|n| random.hash_one(n))
    }

    /// A source with keys of its own, to hand out beside this one.
    pub fn fork(&mut self) -> Source {
        let uuid = self.uuid();
        Source { high: self.high, low: self.low, next: uuid.low ^ uuid.high }
    }

    /// A random UUID, version 4 of RFC 4122.
    pub fn uuid(&mut self) -> Uuid {
        self.next += 1;
        let high = hash_one(self.high, self.next) & !0xf000 | 0x4000;
        let low = hash_one(self.low, self.next) & !(3 << 62) | 2 << 62;
        Uuid { high, low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let text = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(Uuid::parse(text).unwrap().to_string(), text);
        assert_eq!(Uuid::parse(&text.to_uppercase()).unwrap().to_string(), text);
        assert_eq!(Uuid::ZERO.to_string(), "00000000-0000-0000-0000-000000000000");
        for n in 0..text.len() {
            assert_eq!(Uuid::parse(&text[..n]), None);
        }
        for bad in [text.replace('-', "0"), text.replace('5', "g"), format!("{text}0"), text.replace('-', "é")] {
            assert_eq!(Uuid::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn new_ones_differ() {
        let mut source = Source::default();
        let many: std::collections::HashSet<Uuid> = (0..10_000).map(|_| source.uuid()).collect();
        assert_eq!(many.len(), 10_000);
        assert_eq!(Source::new([1, 2, 3, 4]).uuid().to_string(), "64ebfde3-6038-435f-90b1-0525aa5e7773");
        assert_ne!(Source::default().uuid(), Source::default().uuid());
        let one = source.uuid().to_string();
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]));
    }
}
