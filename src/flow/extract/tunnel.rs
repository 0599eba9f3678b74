//! What comes with a packet beside its bytes: recirculation, conntrack, marks, the tunnel it came in by.
#![deny(clippy::indexing_slicing)]

use crate::layout as l;
use crate::words::{Flow, Key};

/// What most packets have; a worker keeps one per port and burst. What few have is behind [`Metadata::more`].
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    pub recirc_id: u32,
    pub pkt_mark: u32,
    /// Name space (16 bits) and type, 0 being Ethernet; 0x1_0800 is a packet that starts with its IPv4 header.
    pub packet_type: u32,
    /// Bits of ovs-fields(7), "ct_state".
    pub ct_state: u32,
    pub ct_zone: u16,
    /// How many VLAN tags to parse: 1 or 2, or 0 for as many as there is room for (`other_config:vlan-limit`).
    pub vlan_limit: u8,
    pub more: Option<&'a More>,
}

impl Default for Metadata<'_> {
    fn default() -> Self {
        Metadata { recirc_id: 0, pkt_mark: 0, packet_type: 0, ct_state: 0, ct_zone: 0, vlan_limit: 1, more: None }
    }
}

/// The metadata that packets rarely have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    pub dp_hash: u32,
    pub skb_priority: u32,
    pub ct_mark: u32,
    pub ct_label: u128,
    pub ct_tuple: Option<CtTuple>,
    pub tunnel: Option<Tunnel>,
}

/// The original direction's tuple of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtTuple {
    pub src: std::net::IpAddr,
    pub dst: std::net::IpAddr,
    pub proto: u8,
    /// Ports, or ICMP type and code.
    pub tp_src: u16,
    pub tp_dst: u16,
}

/// The outer header that a tunnel port took off. IPv4 addresses are 0 where IPv6 ones are used and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    pub id: u64,
    pub src: u32,
    pub dst: u32,
    pub ipv6_src: u128,
    pub ipv6_dst: u128,
    /// Bit 0: OAM (ovs-fields(7), "tun_flags"); above it bits of the datapath's own ([`TUN_DF`], [`TUN_CSUM`],
    /// [`TUN_KEY`]).
    pub flags: u16,
    pub tos: u8,
    pub ttl: u8,
    pub tp_src: u16,
    pub tp_dst: u16,
    pub gbp_id: u16,
    pub gbp_flags: u8,
    pub erspan_ver: u8,
    pub erspan_dir: u8,
    pub erspan_hwid: u8,
    pub erspan_idx: u32,
    pub gtpu_flags: u8,
    pub gtpu_msgtype: u8,
    /// Bit n: tun_metadata n is there.
    pub options_map: u64,
    /// Option bodies, placed as [`crate::fields::tlv::TlvTable`] says.
    pub options: [u64; 32],
}

/// TUN_FLAGS: operations, administration and maintenance.
pub const TUN_OAM: u16 = 1 << 0;
/// TUN_FLAGS: "don't fragment" on the outer header.
pub const TUN_DF: u16 = 1 << 1;
/// TUN_FLAGS: the outer header has a checksum.
pub const TUN_CSUM: u16 = 1 << 2;
/// TUN_FLAGS: the outer header has a key.
pub const TUN_KEY: u16 = 1 << 3;

fn wide(words: &mut [u64; 8], at: usize, value: u128) {
    let pair = [(value >> 64) as u64, value as u64];
    for (to, from) in words.iter_mut().skip(at).zip(pair) {
        *to = from;
    }
}

impl More {
    /// Adds it to a key that [`Key::start`] began.
    #[cold]
    pub(super) fn store(&self, key: &mut Key) {
        if self.dp_hash != 0 || self.skb_priority != 0 || self.ct_mark != 0 || self.ct_label != 0 {
            let t = key.tier_mut(2);
            t[3] |= u64::from(self.dp_hash);
            t[4] |= u64::from(self.skb_priority) << 32 | u64::from(self.ct_mark);
            wide(t, 5, self.ct_label);
        }
        if let Some(c) = &self.ct_tuple {
            match (c.src, c.dst) {
                (std::net::IpAddr::V4(src), std::net::IpAddr::V4(dst)) => {
                    key.tier_mut(2)[7] = u64::from(src.to_bits()) << 32 | u64::from(dst.to_bits());
                }
                (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => {
                    let t = key.tier_mut(3);
                    wide(t, 0, src.to_bits());
                    wide(t, 2, dst.to_bits());
                }
                _ => {}
            }
            key.tier_mut(3)[4] = u64::from(c.tp_src) << 48 | u64::from(c.tp_dst) << 32 | u64::from(c.proto) << 24;
        }
        if let Some(tunnel) = &self.tunnel {
            tunnel.store(key);
        }
    }
}

impl Tunnel {
    fn store(&self, key: &mut Key) {
        let t = key.tier_mut(4);
        t[0] = self.id;
        t[1] = u64::from(self.src) << 32 | u64::from(self.dst);
        wide(t, 2, self.ipv6_src);
        wide(t, 4, self.ipv6_dst);
        t[6] = u64::from(self.flags) << 48
            | u64::from(self.tos) << 40
            | u64::from(self.ttl) << 32
            | u64::from(self.tp_src) << 16
            | u64::from(self.tp_dst);
        t[7] = u64::from(self.gbp_id) << 48
            | u64::from(self.gbp_flags) << 40
            | u64::from(self.erspan_ver) << 32
            | u64::from(self.erspan_dir) << 24
            | u64::from(self.erspan_hwid) << 16
            | u64::from(self.gtpu_flags) << 8
            | u64::from(self.gtpu_msgtype);
        if self.erspan_idx != 0 || self.options_map != 0 {
            let t = key.tier_mut(5);
            t[0] = u64::from(self.erspan_idx) << 32;
            t[1] = self.options_map;
        }
        if self.options_map != 0 {
            for (tier, words) in self.options.as_chunks::<{ l::TIER_WORDS }>().0.iter().enumerate() {
                if *words != [0; l::TIER_WORDS] {
                    *key.tier_mut(l::TUN_METADATA_WORD / l::TIER_WORDS + tier) = *words;
                }
            }
        }
    }

    /// The tunnel fields of `flow`.
    pub fn of(flow: &Flow) -> Tunnel {
        let get = |slot| flow.get64(slot);
        let mut options = [0; 32];
        for (to, from) in options.iter_mut().zip(flow.w.iter().skip(l::TUN_METADATA_WORD)) {
            *to = *from;
        }
        Tunnel {
            id: get(l::TUN_ID),
            src: get(l::TUN_SRC) as u32,
            dst: get(l::TUN_DST) as u32,
            ipv6_src: flow.get(l::TUN_IPV6_SRC),
            ipv6_dst: flow.get(l::TUN_IPV6_DST),
            flags: get(l::TUN_FLAGS) as u16,
            tos: get(l::TUN_TOS) as u8,
            ttl: get(l::TUN_TTL) as u8,
            tp_src: get(l::TUN_TP_SRC) as u16,
            tp_dst: get(l::TUN_TP_DST) as u16,
            gbp_id: get(l::TUN_GBP_ID) as u16,
            gbp_flags: get(l::TUN_GBP_FLAGS) as u8,
            erspan_ver: get(l::TUN_ERSPAN_VER) as u8,
            erspan_dir: get(l::TUN_ERSPAN_DIR) as u8,
            erspan_hwid: get(l::TUN_ERSPAN_HWID) as u8,
            erspan_idx: get(l::TUN_ERSPAN_IDX) as u32,
            gtpu_flags: get(l::TUN_GTPU_FLAGS) as u8,
            gtpu_msgtype: get(l::TUN_GTPU_MSGTYPE) as u8,
            options_map: get(l::TUN_METADATA_MAP),
            options,
        }
    }
}
