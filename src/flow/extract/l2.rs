//! Ethernet II, 802.2 with SNAP, VLAN tags (IEEE 802.3, 802.1Q).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Cursor, be16, mac};
use crate::fields::prereq::eth_type;

/// Ethertypes start here; smaller numbers are the length of an 802.3 frame.
const FIRST_ETHERTYPE: u16 = 0x0600;

/// Parses MAC addresses, up to two tags and the Ethertype behind them; `None` when the frame is a runt.
///
/// `vlan_limit` as `other_config:vlan-limit` of ovs-vswitchd.conf.db(5): 0 is as many as there is room for.
pub(super) fn ethernet<const D: u8>(c: &mut Cursor<'_>, vlan_limit: u8, w: &mut [u64; 8]) -> Option<u16> {
    c.peek::<14>()?;
    let (dst, src) = (c.pull::<6>()?, c.pull::<6>()?);
    if D >= super::L2 {
        w[1] |= mac(dst) << 16;
        w[2] |= mac(src) << 16;
    }
    let limit = if vlan_limit == 0 { 2 } else { vlan_limit.min(2) };
    for n in 0..limit {
        // A tag counts when the type behind it is there too.
        let Some(&[t0, t1, c0, c1, _, _]) = c.peek::<6>() else { break };
        let (tpid, tci) = (be16([t0, t1]), be16([c0, c1]) | 0x1000);
        if tpid != eth_type::VLAN && tpid != eth_type::QINQ {
            break;
        }
        c.pull::<4>()?;
        if n == 0 {
            w[2] |= u64::from(tci);
            w[5] |= u64::from(tpid) << 48;
        } else {
            w[5] |= u64::from(tpid) << 32 | u64::from(tci) << 16;
        }
    }
    Some(ethertype(c))
}

/// The Ethertype here, or the one in an LLC/SNAP header, or [`eth_type::NONE`].
fn ethertype(c: &mut Cursor<'_>) -> u16 {
    let Some(&kind) = c.pull::<2>() else { return eth_type::NONE };
    let kind = be16(kind);
    if kind >= FIRST_ETHERTYPE {
        return kind;
    }
    // SNAP: LLC addresses 0xaa, unnumbered information, organisation 0 (RFC 1042).
    match c.peek::<8>() {
        Some(&[0xaa, 0xaa, 3, 0, 0, 0, k0, k1]) if be16([k0, k1]) >= FIRST_ETHERTYPE => {
            c.pull::<8>();
            be16([k0, k1])
        }
        _ => eth_type::NONE,
    }
}
