//! Hashes of flows: of a masked key for the caches, of addresses and ports for select groups, bonds and tunnels.
//!
//! None is meant to withstand an attacker who knows the seed; the caches compare after they hash, and their size is
//! bounded. The multiplier is an odd number without structure (the fraction of the golden ratio); a product's halves
//! are folded together, so that every input bit reaches the whole result.
#![deny(clippy::indexing_slicing)]

use crate::fields::prereq::{eth_type, ip_proto};
use crate::fields::{FieldId, Kind};
use crate::layout as l;
use crate::words::{Flow, Key, Mask};

const K: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0xabc9_8388_fb8f_ac03, 0x8b72_8f61_4f33_1e4b];

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let p = u128::from(a) * u128::from(b);
    (p >> 64) as u64 ^ p as u64
}

/// Hashes tier 0 under a mask: four multiplications that do not wait for each other, no branches. The tier bitmap in the
/// last word counts only where `mask` says so (it must not).
#[inline]
pub fn hash_masked(base: &[u64; 8], mask: &[u64; 8], seed: u64) -> u64 {
    let w = |i: usize, k: u64| match (base.get(i), mask.get(i)) {
        (Some(b), Some(m)) => b & m ^ k,
        _ => k,
    };
    // Each factor has a constant of its own, so that no common value of a word makes it 0.
    let a = fold(w(0, K[0] ^ seed), w(1, K[1]));
    let b = fold(w(2, K[2]), w(3, K[3] ^ seed));
    let c = fold(w(4, K[1] ^ seed), w(5, K[0]));
    let d = fold(w(6, K[3]), w(7, K[2] ^ seed));
    fold(a ^ b.rotate_left(17), c.rotate_left(31) ^ d ^ K[0])
}

/// Goes on from `hash` with the words of a further tier.
#[inline]
pub fn hash_tier(hash: u64, tier: &[u64; 8], mask: &[u64; 8]) -> u64 {
    hash_masked(tier, mask, hash)
}

/// Hashes a key under a mask: tier 0, and of the others those where the mask has bits. Keys that agree under the mask
/// have the same hash whether a tier is zero or not there.
pub fn hash_key(key: &Key, mask: &Mask, seed: u64) -> u64 {
    let tiers = mask.w.as_chunks::<{ l::TIER_WORDS }>().0.iter().take(l::KEY_TIERS);
    let mut hash = seed;
    for (n, m) in tiers.enumerate() {
        if n == 0 {
            let mut m = *m;
            m[l::TIERS_WORD] &= !l::TIERS_BITS;
            hash = hash_masked(key.base(), &m, seed);
        } else if *m != [0; l::TIER_WORDS] {
            let mut words = [0; l::TIER_WORDS];
            for (i, w) in words.iter_mut().enumerate() {
                *w = key.word(n * l::TIER_WORDS + i);
            }
            hash = hash_tier(hash, &words, m);
        }
    }
    hash
}

/// What a hash of a packet's end points looks at, and what a translation that used it must therefore make exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashFields {
    /// Source MAC address (and VLAN where `vlan`): a bond in balance-slb mode.
    EthSrc {
        vlan: bool,
    },
    /// The same for both directions: MACs, VLAN, Ethertype, IP addresses, protocol and, for TCP and SCTP, ports: those of
    /// UDP differ by direction where it carries tunnels (ovs-actions(7), "multipath").
    SymmetricL4,
    /// Addresses of IP, the same for both directions. Nothing beside IP.
    SymmetricL3,
    /// Addresses and protocol of IP, and ports of TCP and SCTP, the same for both directions; of UDP too where `udp`.
    /// Nothing beside IP.
    SymmetricL3L4 {
        udp: bool,
    },
    /// Addresses, protocol and ports, direction kept.
    FiveTuple,
    /// Source or destination IP address alone.
    IpSrc,
    IpDst,
}

struct Sum(u64);

impl Sum {
    fn add(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word ^ K[0], K[1]) ^ K[2];
    }

    fn add_wide(&mut self, value: u128) {
        self.add((value >> 64) as u64);
        self.add(value as u64);
    }
}

/// The two IP addresses of a flow; 0 when it is not IP.
fn addresses(flow: &Flow) -> (u128, u128) {
    match flow.get64(l::ETH_TYPE) as u16 {
        eth_type::IPV4 => (flow.get(l::NW_SRC), flow.get(l::NW_DST)),
        eth_type::IPV6 => (flow.get(l::IPV6_SRC), flow.get(l::IPV6_DST)),
        _ => (0, 0),
    }
}

fn has_ports(flow: &Flow, udp: bool) -> bool {
    let proto = flow.get64(l::NW_PROTO) as u8;
    is_ip(flow) && (matches!(proto, ip_proto::TCP | ip_proto::SCTP) || udp && proto == ip_proto::UDP)
}

fn is_ip(flow: &Flow) -> bool {
    matches!(flow.get64(l::ETH_TYPE) as u16, eth_type::IPV4 | eth_type::IPV6)
}

/// Hashes what `fields` says of `flow`; spread over the whole 32 bits.
pub fn hash_fields(flow: &Flow, fields: HashFields, seed: u32) -> u32 {
    let mut s = Sum(u64::from(seed) ^ K[3]);
    let (src, dst) = addresses(flow);
    let ports = |s: &mut Sum, both_ways: bool, udp: bool| {
        if has_ports(flow, udp) {
            let (a, b) = (flow.get64(l::TP_SRC), flow.get64(l::TP_DST));
            s.add(if both_ways { a ^ b } else { a << 16 | b });
        }
    };
    match fields {
        HashFields::EthSrc { vlan } => {
            s.add(flow.get64(l::ETH_SRC) << 16 | if vlan { flow.get64(l::VLAN_TCI) & 0xfff } else { 0 });
        }
        HashFields::SymmetricL4 => {
            s.add(flow.get64(l::ETH_SRC) ^ flow.get64(l::ETH_DST));
            s.add(flow.get64(l::VLAN_TCI) & 0xfff | flow.get64(l::ETH_TYPE) << 16);
            if is_ip(flow) {
                s.add_wide(src ^ dst);
                s.add(flow.get64(l::NW_PROTO));
                ports(&mut s, true, false);
            }
        }
        HashFields::SymmetricL3 => {
            if is_ip(flow) {
                s.add(flow.get64(l::ETH_TYPE));
                s.add_wide(src ^ dst);
            }
        }
        HashFields::SymmetricL3L4 { udp } => {
            if is_ip(flow) {
                s.add(flow.get64(l::ETH_TYPE));
                s.add_wide(src ^ dst);
                s.add(flow.get64(l::NW_PROTO));
                ports(&mut s, true, udp);
            }
        }
        HashFields::FiveTuple => {
            if is_ip(flow) {
                s.add_wide(src);
                s.add_wide(dst);
                s.add(flow.get64(l::NW_PROTO));
                ports(&mut s, false, true);
            }
        }
        HashFields::IpSrc => s.add_wide(src),
        HashFields::IpDst => s.add_wide(dst),
    }
    finish(&s)
}

/// Hashes the values of a list of fields (`selection_method=hash`, ovs-ofctl(8)), each under its mask, those alone whose
/// prerequisites the flow meets.
pub fn hash_field_list(flow: &Flow, fields: &[(FieldId, u128)], seed: u32) -> u32 {
    let mut s = Sum(u64::from(seed) ^ K[3]);
    for (id, bits) in fields {
        let f = id.row();
        if f.kind != Kind::TunMetadata && f.prereqs_ok(flow) {
            s.add(id.index() as u64);
            s.add_wide(f.get(flow) & bits);
        }
    }
    finish(&s)
}

fn finish(s: &Sum) -> u32 {
    (fold(s.0, K[0]) >> 32) as u32
}

/// Makes exact in `mask` what [`hash_fields`] looked at.
pub fn mask_hash_fields(flow: &Flow, mask: &mut Mask, fields: HashFields) {
    let mut exact = |slots: &[l::Slot]| slots.iter().for_each(|s| mask.exact(*s));
    let (src, dst) = match flow.get64(l::ETH_TYPE) as u16 {
        eth_type::IPV4 => (Some(l::NW_SRC), Some(l::NW_DST)),
        eth_type::IPV6 => (Some(l::IPV6_SRC), Some(l::IPV6_DST)),
        _ => (None, None),
    };
    // which ports: of TCP and SCTP, or of UDP too
    let end_points = |exact: &mut dyn FnMut(&[l::Slot]), udp: bool| {
        exact(&[l::ETH_TYPE]);
        if let (Some(src), Some(dst)) = (src, dst) {
            exact(&[src, dst, l::NW_PROTO, l::NW_FRAG]);
            if has_ports(flow, udp) {
                exact(&[l::TP_SRC, l::TP_DST]);
            }
        }
    };
    match fields {
        HashFields::EthSrc { vlan } => {
            exact(&[l::ETH_SRC]);
            if vlan {
                exact(&[l::VLAN_TCI]);
            }
        }
        HashFields::SymmetricL4 => {
            exact(&[l::ETH_SRC, l::ETH_DST, l::VLAN_TCI]);
            end_points(&mut exact, false);
        }
        HashFields::SymmetricL3 => {
            exact(&[l::ETH_TYPE]);
            src.into_iter().chain(dst).for_each(|slot| exact(&[slot]));
        }
        HashFields::SymmetricL3L4 { udp } => end_points(&mut exact, udp),
        HashFields::FiveTuple => end_points(&mut exact, true),
        HashFields::IpSrc | HashFields::IpDst => {
            exact(&[l::ETH_TYPE]);
            if let Some(slot) = if fields == HashFields::IpSrc { src } else { dst } {
                exact(&[slot]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts per bucket stay within a third of the mean, by low and by high bits.
    fn assert_spread(hashes: impl Iterator<Item = u64>) {
        let (mut low, mut high, mut n) = ([0u32; 64], [0u32; 64], 0);
        for h in hashes {
            low[(h & 63) as usize] += 1;
            high[(h >> 58) as usize] += 1;
            n += 1;
        }
        let mean = n / 64;
        for b in low.iter().chain(&high) {
            assert!(b.abs_diff(mean) < mean / 3, "{b} of {mean}");
        }
    }

    fn tcp(i: u64) -> Flow {
        let mut f = Flow::default();
        f.set(l::ETH_TYPE, 0x800);
        f.set(l::NW_PROTO, 6);
        f.set(l::NW_SRC, u128::from(0x0a00_0000 + (i & 0xff)));
        f.set(l::NW_DST, u128::from(0x0a01_0000 + (i >> 8 & 0xff)));
        f.set(l::TP_SRC, u128::from(i >> 3 & 0xffff));
        f.set(l::TP_DST, 80);
        f
    }

    #[test]
    fn counting_in_any_word_spreads() {
        let all = [u64::MAX; 8];
        for word in 0..8 {
            for shift in [0, 8, 16, 32, 48] {
                let one = |i: u64| {
                    let mut base = [0; 8];
                    base[word] = i << shift;
                    hash_masked(&base, &all, 7)
                };
                assert_spread((0..16384).map(one));
            }
        }
        assert_spread((0..16384).map(|i| hash_key(&Key::from(&tcp(i)), &Mask { w: [u64::MAX; l::WORDS] }, 0)));
        assert_spread((0..16384).map(|i| {
            u64::from(hash_fields(&tcp(i), HashFields::FiveTuple, 1)) << 32
                | u64::from(hash_fields(&tcp(i), HashFields::FiveTuple, 1))
        }));
    }

    #[test]
    fn no_collisions_of_near_keys() {
        let mut seen = std::collections::HashSet::new();
        for i in 0..8 * 64 {
            for j in 0..i {
                let mut base = [0u64; 8];
                base[i / 64] ^= 1 << (i % 64);
                base[j / 64] ^= 1 << (j % 64);
                assert!(seen.insert(hash_masked(&base, &[u64::MAX; 8], 3)), "{i} {j}");
            }
        }
    }

    #[test]
    fn masked_bits_do_not_count() {
        let (mut a, mut mask) = (tcp(1), Mask::default());
        mask.exact(l::NW_DST);
        mask.exact(l::IPV6_DST);
        let h = hash_key(&Key::from(&a), &mask, 5);
        a.set(l::NW_SRC, 99);
        a.set(l::IPV6_SRC, 99);
        assert_eq!(hash_key(&Key::from(&a), &mask, 5), h);
        a.set(l::IPV6_DST, 1);
        assert_ne!(hash_key(&Key::from(&a), &mask, 5), h);
    }

    #[test]
    fn both_directions_hash_alike() {
        let a = tcp(77);
        let mut b = a.clone();
        for (x, y) in [(l::NW_SRC, l::NW_DST), (l::TP_SRC, l::TP_DST), (l::ETH_SRC, l::ETH_DST)] {
            b.set(x, a.get(y));
            b.set(y, a.get(x));
        }
        for f in [HashFields::SymmetricL4, HashFields::SymmetricL3, HashFields::SymmetricL3L4 { udp: true }] {
            assert_eq!(hash_fields(&a, f, 0), hash_fields(&b, f, 0));
            assert_ne!(hash_fields(&a, f, 0), hash_fields(&a, f, 1));
        }
        assert_ne!(hash_fields(&a, HashFields::FiveTuple, 0), hash_fields(&b, HashFields::FiveTuple, 0));
    }

    #[test]
    fn mask_covers_what_was_hashed() {
        let kinds = [
            HashFields::SymmetricL4,
            HashFields::SymmetricL3,
            HashFields::SymmetricL3L4 { udp: false },
            HashFields::SymmetricL3L4 { udp: true },
            HashFields::FiveTuple,
            HashFields::IpSrc,
            HashFields::EthSrc { vlan: true },
        ];
        for (f, proto) in kinds.into_iter().flat_map(|f| [(f, 6), (f, 17)]) {
            let mut a = tcp(5);
            a.set(l::NW_PROTO, proto);
            let mut mask = Mask::default();
            mask_hash_fields(&a, &mut mask, f);
            for i in 0..l::WORDS {
                for bit in 0..64 {
                    let mut b = a.clone();
                    b.w[i] ^= 1 << bit;
                    if b.w[i] & mask.w[i] == a.w[i] & mask.w[i] {
                        assert_eq!(hash_fields(&b, f, 0), hash_fields(&a, f, 0), "{f:?} word {i} bit {bit}");
                    }
                }
            }
        }
    }

    #[test]
    fn ports_of_udp_count_where_they_are_asked_for() {
        let mut a = tcp(5);
        a.set(l::NW_PROTO, 17);
        let mut b = a.clone();
        b.set(l::TP_SRC, 999);
        for (f, differs) in [
            (HashFields::SymmetricL4, false),
            (HashFields::SymmetricL3L4 { udp: false }, false),
            (HashFields::SymmetricL3L4 { udp: true }, true),
            (HashFields::FiveTuple, true),
        ] {
            assert_eq!(hash_fields(&a, f, 0) != hash_fields(&b, f, 0), differs, "{f:?}");
        }
    }

    #[test]
    fn field_lists_look_at_their_fields() {
        let mut a = tcp(5);
        let list = [(FieldId::IpSrc, 0xff), (FieldId::TcpSrc, 0xffff), (FieldId::UdpSrc, 0xffff)];
        let h = hash_field_list(&a, &list, 0);
        a.set(l::NW_SRC, a.get(l::NW_SRC) ^ 0x100);
        a.set(l::NW_DST, 0);
        assert_eq!(hash_field_list(&a, &list, 0), h);
        a.set(l::TP_SRC, 9);
        assert_ne!(hash_field_list(&a, &list, 0), h);
    }
}
