//! Programs of the commonest shape without interpretation: rewrite MAC addresses, TTL and TOS, push a tag, send.
//!
//! What they do to a packet is what the steps do one by one (tested against them). Packets that are not of the expected
//! kind are left as they are, for the steps.
#![deny(clippy::indexing_slicing)]

use dpif::{Action, Set};
use packet::Frame;

use crate::program::Program;
use crate::tx::MAX_PORTS;

/// Ethernet and IPv4 without options: what is touched.
const HEAD: usize = 34;

/// A program in that form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quick {
    pub(crate) port: u32,
    macs: Option<Macs>,
    ip: Option<Ip>,
    /// TPID and tag control information as they lie in the frame.
    tag: Option<[u8; 4]>,
}

/// The first twelve bytes as two numbers in the machine's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Macs {
    first: u64,
    first_mask: u64,
    last: u32,
    last_mask: u32,
}

/// The words of an IPv4 header that hold TOS and TTL; the other bytes have mask 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ip {
    tos: u16,
    tos_mask: u16,
    ttl: u16,
    ttl_mask: u16,
}

impl Macs {
    fn new(src: &[u8; 6], src_mask: &[u8; 6], dst: &[u8; 6], dst_mask: &[u8; 6]) -> Macs {
        let halves = |dst: &[u8; 6], src: &[u8; 6]| {
            let [a, b, c, d, e, f] = *dst;
            let [g, h, i, j, k, l] = *src;
            (u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u32::from_ne_bytes([i, j, k, l]))
        };
        let ((first, last), (first_mask, last_mask)) = (halves(dst, src), halves(dst_mask, src_mask));
        Macs { first: first & first_mask, first_mask, last: last & last_mask, last_mask }
    }
}

impl Quick {
    /// The program in this form, if it is of the shape.
    pub(crate) fn new(program: &Program) -> Option<Quick> {
        let (last, steps) = program.0.split_last()?;
        let Action::Output(port) = last else { return None };
        if port.0 >= MAX_PORTS || steps.is_empty() {
            return None;
        }
        let mut quick = Quick { port: port.0, ..Quick::default() };
        for step in steps {
            match step {
                Action::Set(Set::Eth { src, src_mask, dst, dst_mask }) if quick.macs.is_none() => {
                    quick.macs = Some(Macs::new(src, src_mask, dst, dst_mask));
                }
                Action::Set(Set::Ipv4 { src_mask: 0, dst_mask: 0, tos, tos_mask, ttl, ttl_mask, .. })
                    if quick.ip.is_none() =>
                {
                    let (tos, tos_mask) = (u16::from(tos & tos_mask), u16::from(*tos_mask));
                    let (ttl, ttl_mask) = (u16::from(ttl & ttl_mask) << 8, u16::from(*ttl_mask) << 8);
                    quick.ip = Some(Ip { tos, tos_mask, ttl, ttl_mask });
                }
                Action::PushVlan { tpid, tci } if quick.tag.is_none() => {
                    let ([a, b], [c, d]) = (tpid.to_be_bytes(), (tci & !0x1000).to_be_bytes());
                    quick.tag = Some([a, b, c, d]);
                }
                _ => return None,
            }
        }
        Some(quick)
    }

    /// Rewrites the frame; false when the steps must do it (again: what was done is not done twice by repeating it).
    #[inline(always)]
    pub(crate) fn rewrite(&self, frame: &mut Frame) -> bool {
        let Some(head) = frame.data_mut().first_chunk_mut::<HEAD>() else { return false };
        if let Some(ip) = &self.ip
            && !ip.rewrite(head)
        {
            return false;
        }
        if let Some(macs) = &self.macs
            && let Some((first, rest)) = head.split_first_chunk_mut::<8>()
            && let Some(last) = rest.first_chunk_mut::<4>()
        {
            *first = (u64::from_ne_bytes(*first) & !macs.first_mask | macs.first).to_ne_bytes();
            *last = (u32::from_ne_bytes(*last) & !macs.last_mask | macs.last).to_ne_bytes();
        }
        match self.tag {
            Some(tag) => push(frame, tag),
            None => true,
        }
    }
}

impl Ip {
    #[inline(always)]
    fn rewrite(&self, head: &mut [u8; HEAD]) -> bool {
        let [.., t0, t1, first, tos, _, _, _, _, _, _, ttl, proto, sum0, sum1, _, _, _, _, _, _, _, _] = head;
        if [*t0, *t1, *first] != [8, 0, 0x45] {
            return false;
        }
        let (a, b) = (u16::from_be_bytes([*first, *tos]), u16::from_be_bytes([*ttl, *proto]));
        let (c, d) = (a & !self.tos_mask | self.tos, b & !self.ttl_mask | self.ttl);
        [*first, *tos] = c.to_be_bytes();
        [*ttl, *proto] = d.to_be_bytes();
        // RFC 1624: HC' = ~(~HC + ~m + m')
        let sum = u16::from_be_bytes([*sum0, *sum1]);
        let mut s = u32::from(!sum) + u32::from(!a) + u32::from(c) + u32::from(!b) + u32::from(d);
        s = (s & 0xffff) + (s >> 16);
        s = (s & 0xffff) + (s >> 16);
        [*sum0, *sum1] = (!(s as u16)).to_be_bytes();
        true
    }
}

/// Puts a tag behind the addresses.
#[inline(always)]
fn push(frame: &mut Frame, tag: [u8; 4]) -> bool {
    if frame.prepend(4).is_none() {
        return false;
    }
    let Some(head) = frame.data_mut().first_chunk_mut::<16>() else { return false };
    head.copy_within(4..16, 0);
    if let Some(place) = head.last_chunk_mut::<4>() {
        *place = tag;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::rewritten;
    use dpif::PortNo;
    use proptest::prelude::*;

    fn step() -> impl Strategy<Value = Action> {
        let mac = any::<[u8; 6]>();
        prop_oneof![
            (mac, mac, mac, mac).prop_map(|(src, src_mask, dst, dst_mask)| Action::Set(Set::Eth {
                src,
                src_mask,
                dst,
                dst_mask
            })),
            any::<[u8; 4]>().prop_map(|[tos, tos_mask, ttl, ttl_mask]| Action::Set(Set::Ipv4 {
                src: 0,
                src_mask: 0,
                dst: 0,
                dst_mask: 0,
                tos,
                tos_mask,
                ttl,
                ttl_mask
            })),
            any::<u16>().prop_map(|tci| Action::PushVlan { tpid: 0x8100, tci: tci | 0x1000 }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

        #[test]
        fn it_does_what_the_steps_do(
            steps in prop::collection::vec(step(), 1..4),
            bytes in prop::collection::vec(any::<u8>(), 14..80),
            kind in 0..4u8,
        ) {
            let mut bytes = bytes;
            if kind != 0 && bytes.len() >= 34 {
                bytes[12..15].copy_from_slice(&[8, 0, if kind == 1 { 0x46 } else { 0x45 }]);
            }
            let mut all = steps;
            all.push(Action::Output(PortNo(9)));
            let program = Program(all);
            if let Some(quick) = Quick::new(&program) {
                let mut frame = Frame::from_slice(&bytes);
                let done = quick.rewrite(&mut frame);
                prop_assert_eq!(quick.port, 9);
                let sent = rewritten(&program, Frame::from_slice(&bytes));
                if done {
                    prop_assert_eq!(Some(frame.to_vec()), sent);
                } else {
                    // repeating the steps on what is left gives the same
                    prop_assert_eq!(rewritten(&program, frame), sent);
                }
            }
        }
    }

    #[test]
    fn other_shapes_are_not_taken() {
        let eth = Action::Set(Set::Eth { src: [0; 6], src_mask: [0; 6], dst: [1; 6], dst_mask: [255; 6] });
        let out = Action::Output(PortNo(1));
        for steps in [
            vec![out.clone()],
            vec![eth.clone(), out.clone(), out.clone()],
            vec![Action::PopVlan, out.clone()],
            vec![eth.clone(), eth.clone(), out.clone()],
            vec![eth.clone(), Action::Drop(dpif::DropReason::Rule)],
        ] {
            assert_eq!(Quick::new(&Program(steps)), None);
        }
        assert!(Quick::new(&Program(vec![eth, out])).is_some());
    }
}
