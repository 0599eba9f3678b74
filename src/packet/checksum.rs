//! The Internet checksum (RFC 1071), its incremental update (RFC 1624 equation 3), pseudo headers, and SCTP's CRC32c
//! (RFC 9260 appendix A).
//!
//! Checksums are numbers as the header field reads in network order: `u16::from_be_bytes`.
#![deny(clippy::indexing_slicing)]

use crate::ip::IpProto;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A sum in the making. Bytes are taken as a stream: slices of odd length join as if they were one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Ones-complement sum of 16-bit words in network order, carries not yet folded.
    acc: u64,
    /// Whether an odd number of bytes was added.
    odd: bool,
}

/// Folds a sum of 16-bit words to one word, adding carries back in.
#[inline]
const fn fold(mut acc: u64) -> u16 {
    acc = (acc & 0xffff_ffff) + (acc >> 32);
    acc = (acc & 0xffff) + (acc >> 16 & 0xffff) + (acc >> 32);
    acc = (acc & 0xffff) + (acc >> 16);
    ((acc & 0xffff) + (acc >> 16)) as u16
}

/// The folded sum of the 16-bit words of `bytes`, in network order; an odd last byte counts as the high one.
#[inline]
fn words(bytes: &[u8]) -> u16 {
    // Words are added as the machine reads them, 32 bits at a time into 64-bit sums (2^32 of them fit, far beyond any
    // packet), and the result is swapped: ones-complement sums don't mind the order (RFC 1071 section 2 (B)).
    let (chunks, rest) = bytes.as_chunks::<32>();
    let mut sums = [0u64; 4];
    for chunk in chunks {
        let (eights, _) = chunk.as_chunks::<8>();
        for (sum, eight) in sums.iter_mut().zip(eights) {
            let x = u64::from_ne_bytes(*eight);
            *sum += (x & 0xffff_ffff) + (x >> 32);
        }
    }
    let mut acc: u64 = sums.iter().sum();
    let (pairs, last) = rest.as_chunks::<2>();
    for pair in pairs {
        acc += u64::from(u16::from_ne_bytes(*pair));
    }
    if let [last] = last {
        acc += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    u16::from_be(fold(acc))
}

impl Sum {
    /// Nothing added yet.
    #[inline]
    pub const fn new() -> Sum {
        Sum { acc: 0, odd: false }
    }

    /// Adds bytes behind those added before.
    #[inline]
    pub fn bytes(mut self, bytes: &[u8]) -> Sum {
        let sum = words(bytes);
        // behind an odd byte every byte is in the other half of its word, which is what swapping the sum does
        self.acc += u64::from(if self.odd { sum.swap_bytes() } else { sum });
        self.odd ^= bytes.len() % 2 == 1;
        self
    }

    /// Adds a word, at an even place.
    #[inline]
    pub const fn word(mut self, word: u16) -> Sum {
        self.acc += word as u64;
        self
    }

    /// The pseudo header of TCP or UDP over IPv4 (RFC 9293 section 3.1): `len` is that of header and payload.
    #[inline]
    pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, proto: IpProto, len: u32) -> Sum {
        Sum::new().bytes(&src.octets()).bytes(&dst.octets()).pseudo_tail(proto, len)
    }

    /// The pseudo header of upper layers over IPv6 (RFC 8200 section 8.1).
    #[inline]
    pub fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, proto: IpProto, len: u32) -> Sum {
        Sum::new().bytes(&src.octets()).bytes(&dst.octets()).pseudo_tail(proto, len)
    }

    /// The pseudo header of either version; addresses of different versions make no sense and sum as they are.
    pub fn pseudo(src: IpAddr, dst: IpAddr, proto: IpProto, len: u32) -> Sum {
        let add = |sum: Sum, address| match address {
            IpAddr::V4(a) => sum.bytes(&Ipv4Addr::octets(&a)),
            IpAddr::V6(a) => sum.bytes(&Ipv6Addr::octets(&a)),
        };
        add(add(Sum::new(), src), dst).pseudo_tail(proto, len)
    }

    #[inline]
    const fn pseudo_tail(self, proto: IpProto, len: u32) -> Sum {
        self.word((len >> 16) as u16).word(len as u16).word(proto.0 as u16)
    }

    /// The sum, folded but not complemented: what a partial checksum holds in its field.
    #[inline]
    pub const fn partial(self) -> u16 {
        fold(self.acc)
    }

    /// The checksum: complement of the sum. Zero over data that includes its own right checksum.
    #[inline]
    pub const fn finish(self) -> u16 {
        !fold(self.acc)
    }

    /// The checksum as UDP writes it: 0 is sent as 0xffff, since 0 says "none" (RFC 768).
    #[inline]
    pub const fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            sum => sum,
        }
    }
}

/// The checksum of bytes that begin at an even place.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    !words(bytes)
}

/// `checksum` after a word that it covers changed from `old` to `new`. Never turns a right checksum into one of the
/// other form of zero (RFC 1624 section 3).
#[inline]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// The same for two adjacent words at an even place, such as an IPv4 address.
#[inline]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    let (old, new) = (!old as u64, new as u64);
    !fold(!checksum as u64 + (old >> 16) + (old & 0xffff) + (new >> 16) + (new & 0xffff))
}

/// The same for eight adjacent words at an even place, such as an IPv6 address.
#[inline]
pub const fn update_u128(checksum: u16, old: u128, new: u128) -> u16 {
    let old = !old;
    let mut acc = !checksum as u64;
    let mut at = 0;
    while at < 128 {
        acc += (old >> at & 0xffff) as u64 + (new >> at & 0xffff) as u64;
        at += 16;
    }
    !fold(acc)
}

/// CRC32c of slices in order, as SCTP puts it into its header (which is least significant byte first).
pub fn crc32c<'a>(slices: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    slices.into_iter().fold(0, ::crc32c::crc32c_append)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, a word at a time.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            if sum > 0xffff {
                sum = (sum & 0xffff) + 1;
            }
        }
        !(sum as u16)
    }

    /// Bit by bit: reflected polynomial 0x1edc6f41.
    fn naive_crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &b| {
            (0..8).fold(crc ^ u32::from(b), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 })
        })
    }

    #[test]
    fn known_answers() {
        // RFC 1071 section 3
        assert_eq!(of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        // RFC 1624 section 4
        assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
        // RFC 3720 appendix B.4: 32 bytes of zero, and of ones
        assert_eq!(crc32c([&[0; 32][..]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 32][..]]), 0x62a8_ab43);
        assert_eq!(Sum::new().word(0xffff).finish_udp(), 0xffff);
    }

    #[test]
    fn the_longest_packet_does_not_overflow() {
        assert_eq!(of(&[0xff; 65_535]), naive(&[0xff; 65_535]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn sum_as_naive(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            prop_assert_eq!(of(&bytes), naive(&bytes));
            let mut cuts: Vec<_> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let slices: Vec<_> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(slices.iter().fold(Sum::new(), |sum, s| sum.bytes(s)).finish(), naive(&bytes));
            prop_assert_eq!(crc32c(slices), naive_crc(&bytes));
        }

        #[test]
        fn updates_as_computed_anew(mut bytes in prop::collection::vec(any::<u8>(), 16..80), at: prop::sample::Index, new: u128) {
            // a word that never changes keeps the sum from being zero, whose two forms are equal but not identical
            bytes[0] = 1;
            let at = at.index(bytes.len() / 2 - 7) * 2;
            let before = of(&bytes);
            let old = u128::from_be_bytes(bytes[at..at + 16].try_into().unwrap());
            for (width, sum) in [
                (2, update_u16(before, (old >> 112) as u16, (new >> 112) as u16)),
                (4, update_u32(before, (old >> 96) as u32, (new >> 96) as u32)),
                (16, update_u128(before, old, new)),
            ] {
                let mut bytes = bytes.clone();
                bytes[at..at + width].copy_from_slice(&new.to_be_bytes()[..width]);
                // all bytes may have become zero, when at is 0: then RFC 1624's form is 0xffff too
                prop_assert_eq!(sum, of(&bytes), "{} bytes", width);
            }
        }

        #[test]
        fn pseudo_headers_as_written_out(src: [u8; 4], dst: [u8; 4], src6: [u8; 16], dst6: [u8; 16], proto: u8, len: u16) {
            let mut bytes = [&src[..], &dst, &[0, proto]].concat();
            bytes.extend(len.to_be_bytes());
            let sum = Sum::pseudo_v4(src.into(), dst.into(), IpProto(proto), len.into());
            prop_assert_eq!(sum.finish(), naive(&bytes));
            prop_assert_eq!(sum.partial(), !naive(&bytes));
            prop_assert_eq!(Sum::pseudo(IpAddr::from(src), IpAddr::from(dst), IpProto(proto), len.into()), sum);
            let mut bytes = [&src6[..], &dst6].concat();
            bytes.extend(u32::from(len).to_be_bytes());
            bytes.extend([0, 0, 0, proto]);
            let sum = Sum::pseudo_v6(src6.into(), dst6.into(), IpProto(proto), len.into());
            prop_assert_eq!(sum.finish(), naive(&bytes));
            prop_assert_eq!(Sum::pseudo(IpAddr::from(src6), IpAddr::from(dst6), IpProto(proto), len.into()), sum);
        }
    }
}
