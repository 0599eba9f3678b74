//! Datapath actions for the difference between the packet as it is and the flow as tables see it.
//!
//! A bit is rewritten when it was written and may differ. Where the packet had been rewritten and the flow was rolled
//! back since (a group's bucket, a port's VLAN), the packet's own value is put back, which makes it part of the mask.

use dpif::action::Ports;
use dpif::{Action as DpAction, Set};
use flow::fields::prereq::{eth_type, ip_proto};
use flow::layout::{self as l, Slot};

use super::{Sink, Walk};

/// The value that some bits are to have, and which bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rewrite {
    value: u128,
    mask: u128,
}

impl Rewrite {
    fn mac(self) -> ([u8; 6], [u8; 6]) {
        let bytes = |v: u128| {
            let [_, _, a, b, c, d, e, f] = (v as u64).to_be_bytes();
            [a, b, c, d, e, f]
        };
        (bytes(self.value), bytes(self.mask))
    }

    fn u32(self) -> (u32, u32) {
        (self.value as u32, self.mask as u32)
    }

    fn u16(self) -> (u16, u16) {
        (self.value as u16, self.mask as u16)
    }

    fn u8(self) -> (u8, u8) {
        (self.value as u8, self.mask as u8)
    }
}

/// A map of the words in which there is something that can be rewritten.
const HEADERS: u128 = {
    let (words, mut map, mut i) = ([1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 29, 30, 31], 0, 0);
    while i < words.len() {
        map |= 1 << words[i];
        i += 1;
    }
    map
};

/// The parts of the outer tag, which are rewritten each by itself.
const VID: Slot = Slot::new(l::VLAN_TCI.word as usize, 0, 12);
const PCP: Slot = Slot::new(l::VLAN_TCI.word as usize, 13, 3);

impl<S: Sink> Walk<'_, S> {
    /// Emits what makes the packet what tables see.
    pub(crate) fn commit(&mut self) {
        let (now, base) = (&self.st.now, &self.st.base);
        if (now.touched | base.touched) & HEADERS == 0 && base.tags.is_none() {
            return;
        }
        self.commit_eth();
        match self.st.now.flow.get64(l::ETH_TYPE) as u16 {
            eth_type::IPV4 => self.commit_ipv4(),
            eth_type::IPV6 => self.commit_ipv6(),
            eth_type::ARP | eth_type::RARP => self.commit_arp(),
            eth_type::MPLS | eth_type::MPLS_MULTICAST => self.commit_mpls(),
            eth_type::NSH => self.commit_nsh(),
            _ => {}
        }
        if !self.commit_tags() {
            let [vid, pcp] = [VID, PCP].map(|slot| self.rewrite(slot));
            if pcp.mask | vid.mask != 0 {
                self.retag();
            }
        }
        let (value, mask) = self.rewrite(l::SKB_PRIORITY).u32();
        self.emit(mask != 0, || Set::SkbPriority { value, mask });
        let (value, mask) = self.rewrite(l::PKT_MARK).u32();
        self.emit(mask != 0, || Set::PktMark { value, mask });
    }

    fn emit(&mut self, needed: bool, set: impl FnOnce() -> Set) {
        if needed {
            self.out.actions.push(DpAction::Set(set()));
        }
    }

    /// What of `slot` has to be rewritten; the packet is taken to have it then.
    fn rewrite(&mut self, slot: Slot) -> Rewrite {
        let (now, base) = (&self.st.now, &mut self.st.base);
        let (written, was) = (now.written.get(slot), base.written.get(slot));
        if written | was == 0 {
            return Rewrite { value: 0, mask: 0 };
        }
        let back = was & !written;
        let exact = self.out.mask.get(slot) | back;
        self.out.mask.set(slot, exact);
        let (value, old) = (now.flow.get(slot), base.flow.get(slot));
        let differs = ((value ^ old) | (written ^ was) & !exact) & (written | was) != 0;
        // A field is rewritten in all bits that are known: whole fields are cheaper to set, and to read.
        let mask = if differs { written | exact } else { 0 };
        base.flow.set(slot, value);
        base.written.set(slot, written);
        base.touched |= now.touched;
        Rewrite { value: value & mask, mask }
    }

    fn commit_eth(&mut self) {
        let ((src, src_mask), (dst, dst_mask)) = (self.rewrite(l::ETH_SRC).mac(), self.rewrite(l::ETH_DST).mac());
        self.emit([src_mask, dst_mask] != [[0; 6]; 2], || Set::Eth { src, src_mask, dst, dst_mask });
    }

    fn commit_ipv4(&mut self) {
        let ((src, src_mask), (dst, dst_mask)) = (self.rewrite(l::NW_SRC).u32(), self.rewrite(l::NW_DST).u32());
        let ((tos, tos_mask), (ttl, ttl_mask)) = (self.rewrite(l::NW_TOS).u8(), self.rewrite(l::NW_TTL).u8());
        let any = src_mask | dst_mask != 0 || tos_mask | ttl_mask != 0;
        self.emit(any, || Set::Ipv4 { src, src_mask, dst, dst_mask, tos, tos_mask, ttl, ttl_mask });
        self.commit_transport(ip_proto::ICMP);
    }

    fn commit_ipv6(&mut self) {
        let (src, dst) = (self.rewrite(l::IPV6_SRC), self.rewrite(l::IPV6_DST));
        let (label, label_mask) = self.rewrite(l::IPV6_LABEL).u32();
        let ((tclass, tclass_mask), (hlimit, hlimit_mask)) =
            (self.rewrite(l::NW_TOS).u8(), self.rewrite(l::NW_TTL).u8());
        let any = src.mask | dst.mask != 0 || label_mask != 0 || tclass_mask | hlimit_mask != 0;
        self.emit(any, || Set::Ipv6 {
            src: src.value,
            src_mask: src.mask,
            dst: dst.value,
            dst_mask: dst.mask,
            label,
            label_mask,
            tclass,
            tclass_mask,
            hlimit,
            hlimit_mask,
        });
        self.commit_transport(ip_proto::ICMPV6);
        let target = self.rewrite(l::ND_TARGET);
        let ((sll, sll_mask), (tll, tll_mask)) = (self.rewrite(l::ARP_SHA).mac(), self.rewrite(l::ARP_THA).mac());
        let any = target.mask != 0 || [sll_mask, tll_mask] != [[0; 6]; 2];
        self.emit(any, || Set::Nd { target: target.value, target_mask: target.mask, sll, sll_mask, tll, tll_mask });
    }

    fn commit_transport(&mut self, icmp: u8) {
        let ((src, src_mask), (dst, dst_mask)) = (self.rewrite(l::TP_SRC).u16(), self.rewrite(l::TP_DST).u16());
        if src_mask | dst_mask == 0 {
            return;
        }
        let ports = Ports { src, src_mask, dst, dst_mask };
        // Writing a port asked for the protocol, so it is exact.
        match self.st.now.flow.get64(l::NW_PROTO) as u8 {
            ip_proto::TCP => self.emit(true, || Set::Tcp(ports)),
            ip_proto::UDP => self.emit(true, || Set::Udp(ports)),
            ip_proto::SCTP => self.emit(true, || Set::Sctp(ports)),
            proto if proto == icmp => self.emit(true, || Set::Icmp {
                kind: src as u8,
                kind_mask: src_mask as u8,
                code: dst as u8,
                code_mask: dst_mask as u8,
            }),
            _ => {}
        }
    }

    fn commit_arp(&mut self) {
        // A key has the opcodes below 256; what is set is all 16 bits.
        let (op, op_mask) = match self.rewrite(l::NW_PROTO).u16() {
            (op, 0xff) => (op, 0xffff),
            part => part,
        };
        let ((spa, spa_mask), (tpa, tpa_mask)) = (self.rewrite(l::NW_SRC).u32(), self.rewrite(l::NW_DST).u32());
        let ((sha, sha_mask), (tha, tha_mask)) = (self.rewrite(l::ARP_SHA).mac(), self.rewrite(l::ARP_THA).mac());
        let any = op_mask != 0 || spa_mask | tpa_mask != 0 || [sha_mask, tha_mask] != [[0; 6]; 2];
        self.emit(any, || Set::Arp { op, op_mask, spa, spa_mask, tpa, tpa_mask, sha, sha_mask, tha, tha_mask });
    }

    fn commit_mpls(&mut self) {
        let (lse, mask) = self.rewrite(l::MPLS0).u32();
        if let Some(DpAction::PushMpls { lse: pushed, .. }) = self.out.actions.last_mut() {
            *pushed = *pushed & !mask | lse;
            return;
        }
        self.emit(mask != 0, || Set::Mpls { lse, mask });
    }

    fn commit_nsh(&mut self) {
        let ((flags, flags_mask), (ttl, ttl_mask)) = (self.rewrite(l::NSH_FLAGS).u8(), self.rewrite(l::NSH_TTL).u8());
        // service path identifier and index are one word on the wire
        let ((spi, spi_mask), (si, si_mask)) = (self.rewrite(l::NSH_SPI).u32(), self.rewrite(l::NSH_SI).u32());
        let c = [l::NSH_C1, l::NSH_C2, l::NSH_C3, l::NSH_C4].map(|slot| self.rewrite(slot).u32());
        let (path, path_mask) = (spi << 8 | si, spi_mask << 8 | si_mask);
        let (context, context_mask) = (c.map(|x| x.0), c.map(|x| x.1));
        let any = flags_mask | ttl_mask != 0 || path_mask != 0 || context_mask != [0; 4];
        self.emit(any, || Set::Nsh { flags, flags_mask, ttl, ttl_mask, path, path_mask, context, context_mask });
    }
}
