//! The commonest packets' keys without detours: untagged, whole IPv4 without options, TCP or UDP, nothing but bytes.
//!
//! What it says is what [`flow::extract`] says at full depth, in a third of the instructions: no layers, no metadata, the
//! words stay in registers. Everything else is extraction's.
#![deny(clippy::indexing_slicing)]

use packet::Frame;

use crate::cache::hash::Base;

/// Ethernet, IPv4 and a TCP header: what is read at fixed distances.
const HEAD: usize = 54;
const TCP: u64 = 6;
const UDP: u64 = 17;

#[inline(always)]
fn be64(head: &[u8; HEAD], at: usize) -> u64 {
    head.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_be_bytes(*b))
}

/// What is read of such a packet: version to fragment offset; TTL to source; destination and ports.
struct Head {
    a: u64,
    b: u64,
    c: u64,
}

#[inline(always)]
fn head(frame: &Frame) -> Option<(&[u8; HEAD], Head)> {
    let head = frame.data().first_chunk::<HEAD>()?;
    let (a, b, c) = (be64(head, 14), be64(head, 22), be64(head, 30));
    let proto = b >> 48 & 0xff;
    let len = a >> 32 & 0xffff;
    let ip = head.get(12..14).is_some_and(|t| t == [8, 0]);
    let kind = a & 0xff00_0000_0000_3fff == 0x4500_0000_0000_0000 && ip && (proto == TCP || proto == UDP);
    // a TCP header is as long as it says
    let words = be64(head, 40) >> 12 & 15;
    let (whole, need) = if proto == TCP { (words >= 5, 20 + 4 * words) } else { (true, 28) };
    (kind && whole && len >= need && len + 14 <= frame.len() as u64).then_some((head, Head { a, b, c }))
}

impl Head {
    /// Words 3 and 4 of the first tier: addresses; ports, protocol, TOS, TTL.
    #[inline(always)]
    fn words(&self) -> (u64, u64) {
        let Head { a, b, c } = *self;
        (b << 32 | c >> 32, c << 32 | (b >> 48 & 0xff) << 24 | (a >> 48 & 0xff) << 16 | b >> 56 << 8)
    }
}

/// The first tier of a packet of that kind, `id` in word 0 and no other tier; None for other packets.
#[inline(always)]
pub(super) fn plain(frame: &Frame, id: u64) -> Option<Base> {
    let (bytes, head) = head(frame)?;
    let (dst, src) = (be64(bytes, 0), be64(bytes, 6));
    let (w3, w4) = head.words();
    // data offset and flags are the last two bytes of these eight
    let flags = if w4 >> 24 & 0xff == TCP { be64(bytes, 40) & 0x0fff } else { 0 };
    Some([id, dst & !0xffff | 0x0800, src & !0xffff, w3, w4, flags, 0, 0])
}

/// Words 3 and 4 of it alone.
#[inline(always)]
pub(super) fn plain_words(frame: &Frame) -> Option<(u64, u64)> {
    head(frame).map(|(_, head)| head.words())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Key;
    use flow::extract::{Layers, Metadata, extract};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn it_says_what_extraction_says(
            bytes in prop::collection::vec(any::<u8>(), 0..90),
            edits in prop::collection::vec((0..9usize, any::<u8>()), 0..3),
            tcp in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if bytes.len() >= 24 {
                let (len, tos) = ((bytes.len() - 14) as u8, bytes[15]);
                bytes[12..18].copy_from_slice(&[8, 0, 0x45, tos, 0, len]);
                bytes[20..22].copy_from_slice(&[0x40, 0]);
                bytes[23] = if tcp { 6 } else { 17 };
                for (at, value) in edits {
                    bytes[[12, 13, 14, 16, 17, 17, 20, 21, 23][at]] = value;
                }
            }
            let frame = Frame::from_slice(&bytes);
            if let Some(base) = plain(&frame, 7) {
                let (mut key, mut layers) = (Key::default(), Layers::default());
                extract(&bytes, Default::default(), 7, &Metadata::default(), &mut key, &mut layers).unwrap();
                prop_assert_eq!(key.base(), &base);
                prop_assert_eq!(key.tiers(), 0);
                prop_assert_eq!(plain_words(&frame), Some((base[3], base[4])));
            } else {
                prop_assert_eq!(plain_words(&frame), None);
            }
        }
    }

    #[test]
    fn it_takes_the_common_packets() {
        let udp = crate::testkit::udp(0x0a00_0001, 0x0a00_0002, 3, 4);
        assert!(plain(&udp, 1).is_some_and(|b| b[3] == 0x0a00_0001_0a00_0002 && b[4] == 0x0003_0004_1100_4000));
        let mut tcp = crate::testkit::udp(1, 2, 3, 4);
        tcp.data_mut()[23] = 6;
        tcp.data_mut()[46..48].copy_from_slice(&[0x50, 0x12]);
        assert!(plain(&tcp, 1).is_some_and(|b| b[5] == 0x12));
    }
}
