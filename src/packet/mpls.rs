//! MPLS label stacks (RFC 3032 section 2.1).
#![deny(clippy::indexing_slicing)]

use crate::wire::{Error, Wire, put};
use zerocopy::FromBytes;
use zerocopy::network_endian::U32;

/// A label stack entry: label (20 bits), traffic class (3), bottom of stack (1), TTL (8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry(pub u32);

impl Entry {
    /// From its parts; of `label` the low 20 bits count, of `tc` the low three.
    pub const fn new(label: u32, tc: u8, bottom: bool, ttl: u8) -> Entry {
        Entry((label & 0xf_ffff) << 12 | ((tc & 7) as u32) << 9 | (bottom as u32) << 8 | ttl as u32)
    }

    /// The label.
    #[inline]
    pub const fn label(self) -> u32 {
        self.0 >> 12
    }

    /// Traffic class (RFC 5462).
    #[inline]
    pub const fn tc(self) -> u8 {
        (self.0 >> 9 & 7) as u8
    }

    /// Whether it is the last.
    #[inline]
    pub const fn is_bottom(self) -> bool {
        self.0 & 0x100 != 0
    }

    /// Time to live.
    #[inline]
    pub const fn ttl(self) -> u8 {
        self.0 as u8
    }
}

/// A label stack down to its bottom, and payload.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    stack: &'a [U32],
    /// What follows the bottom.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Looks for the bottom of the stack; truncated when there is none.
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (words, _) = bytes.as_chunks::<4>();
        let bottom = words.iter().position(|word| Entry(u32::from_be_bytes(*word)).is_bottom());
        let count = bottom.ok_or(Error::Truncated)? + 1;
        let (stack, payload) = <[U32]>::ref_from_prefix_with_elems(bytes, count).map_err(|_| Error::Truncated)?;
        Ok(View { stack, payload })
    }

    /// The entries, outermost first; at least one.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry> + 'a {
        self.stack.iter().map(|word| Entry(word.get()))
    }
}

/// A label stack as a value: the bottom bit is set on the last entry alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The entries, outermost first; at least one.
    pub stack: Vec<Entry>,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(bytes)?;
        Ok((Value { stack: view.entries().collect() }, view.payload))
    }

    fn wire_len(&self) -> usize {
        self.stack.len() * 4
    }

    /// Sets the bottom bit as its place demands, whatever the entry says.
    fn emit<'a>(&self, mut out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let last = self.stack.len().checked_sub(1).ok_or(Error::Unrepresentable)?;
        for (i, entry) in self.stack.iter().enumerate() {
            let bottom = u32::from(i == last) << 8;
            out = put(out, &U32::new(entry.0 & !0x100 | bottom))?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = [0x12, 0x34, 0x5a, 64, 0, 0, 0x11, 1, 9];
        let view = View::parse(&bytes).unwrap();
        let seen: Vec<_> = view.entries().collect();
        assert_eq!((seen[0].label(), seen[0].tc(), seen[0].is_bottom(), seen[0].ttl()), (0x12345, 5, false, 64));
        assert_eq!(seen[1], Entry::new(1, 0, true, 1));
        assert_eq!(view.payload, [9]);
    }

    #[test]
    fn no_stack_is_no_value() {
        assert_eq!(Value::default().to_bytes(), Err(Error::Unrepresentable));
        assert_eq!(View::parse(&[0; 64]).map(|_| ()), Err(Error::Truncated), "no bottom");
    }

    proptest! {
        #[test]
        fn round_trip(stack in prop::collection::vec((0..1u32 << 20, 0..8u8, any::<u8>()), 1..6), payload: Vec<u8>) {
            let last = stack.len() - 1;
            let stack = stack.iter().enumerate().map(|(i, &(label, tc, ttl))| Entry::new(label, tc, i == last, ttl));
            check(&Value { stack: stack.collect() }, &payload);
        }
    }
}
