//! VLAN tags: customer (IEEE 802.1Q clause 9.6, TPID 0x8100) and service (802.1ad, 0x88a8), stacked to any depth.
#![deny(clippy::indexing_slicing)]

use crate::Frame;
use crate::eth::{EtherType, MacAddr};
use crate::wire::{Error, Wire, put, split, split_mut};
use std::fmt;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a tag: TPID and TCI in front of the ethertype or, seen from behind the TPID, TCI and ethertype.
pub const TAG_LEN: usize = 4;

/// A VLAN identifier as it is on the wire: 12 bits, 0 (priority tag) and 4095 included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan(u16);

impl Vlan {
    /// No VLAN: a priority tag.
    pub const NONE: Vlan = Vlan(0);

    /// None above 4095.
    pub const fn new(vid: u16) -> Option<Vlan> {
        if vid < 4096 { Some(Vlan(vid)) } else { None }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tag control information: priority (3 bits), drop eligible (1), VLAN (12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tci(pub u16);

impl Tci {
    /// From its parts; of `pcp` the low three bits count.
    pub const fn new(vlan: Vlan, pcp: u8, dei: bool) -> Tci {
        Tci(vlan.0 | ((pcp & 7) as u16) << 13 | (dei as u16) << 12)
    }

    /// The VLAN.
    #[inline]
    pub const fn vlan(self) -> Vlan {
        Vlan(self.0 & 0xfff)
    }

    /// Priority, 0 to 7.
    #[inline]
    pub const fn pcp(self) -> u8 {
        (self.0 >> 13) as u8
    }

    /// Drop eligible indicator (canonical format indicator before 802.1Q-2011).
    #[inline]
    pub const fn dei(self) -> bool {
        self.0 & 0x1000 != 0
    }
}

/// A tag as it lies behind its TPID.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Tag control information.
    pub tci: U16,
    /// Ethertype of what follows, or the next tag's TPID.
    pub ethertype: U16,
}

/// A tag behind its TPID, and payload.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The tag.
    pub header: &'a Header,
    /// What follows.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Reads a tag from behind its TPID.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, payload) = split::<Header>(bytes)?;
        Ok(View { header, payload })
    }

    /// Tag control information.
    #[inline]
    pub fn tci(&self) -> Tci {
        Tci(self.header.tci.get())
    }

    /// Ethertype of what follows, or the next tag's TPID.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(self.header.ethertype.get())
    }
}

/// A tag as a value, as it lies behind its TPID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Tag control information.
    pub tci: Tci,
    /// Ethertype of what follows.
    pub ethertype: EtherType,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let view = View::parse(bytes)?;
        Ok((Value { tci: view.tci(), ethertype: view.ethertype() }, view.payload))
    }

    fn wire_len(&self) -> usize {
        TAG_LEN
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        put(out, &Header { tci: self.tci.0.into(), ethertype: self.ethertype.0.into() })
    }
}

/// The tags of a frame, outermost first.
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    tpid: EtherType,
    rest: &'a [u8],
}

/// Walks the tags that follow `ethertype`, the frame's type field, at the start of `payload`.
pub fn tags(ethertype: EtherType, payload: &[u8]) -> Tags<'_> {
    Tags { tpid: ethertype, rest: payload }
}

impl<'a> Tags<'a> {
    /// The ethertype and payload behind the tags walked so far.
    pub fn rest(&self) -> (EtherType, &'a [u8]) {
        (self.tpid, self.rest)
    }
}

impl Iterator for Tags<'_> {
    type Item = (EtherType, Tci);

    fn next(&mut self) -> Option<(EtherType, Tci)> {
        if !self.tpid.is_vlan() {
            return None;
        }
        let tag = View::parse(self.rest).ok()?;
        let tpid = std::mem::replace(&mut self.tpid, tag.ethertype());
        self.rest = tag.payload;
        Some((tpid, tag.tci()))
    }
}

/// The start of a tagged frame.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Tagged {
    dst: MacAddr,
    src: MacAddr,
    tpid: U16,
    tci: U16,
}

/// Puts a tag behind the addresses of a frame. False, and nothing changed, when there is no room or no addresses.
#[inline]
pub fn push(frame: &mut Frame, tpid: EtherType, tci: Tci) -> bool {
    if frame.seg_len() < 12 || frame.prepend(TAG_LEN).is_none() {
        return false;
    }
    let data = frame.data_mut();
    data.copy_within(TAG_LEN..TAG_LEN + 12, 0);
    if let Ok((header, _)) = split_mut::<Tagged>(data) {
        header.tpid = tpid.0.into();
        header.tci = tci.0.into();
    }
    true
}

/// Takes the outermost tag off. None, and nothing changed, when there is none in the first segment.
#[inline]
pub fn pop(frame: &mut Frame) -> Option<(EtherType, Tci)> {
    let (header, _) = split::<Tagged>(frame.data()).ok()?;
    let (tpid, tci) = (EtherType(header.tpid.get()), Tci(header.tci.get()));
    if !tpid.is_vlan() {
        return None;
    }
    frame.data_mut().copy_within(0..12, TAG_LEN);
    frame.pull(TAG_LEN).then_some((tpid, tci))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    #[test]
    fn each_field_is_where_it_belongs() {
        let bytes = [0xb1, 0x23, 0x08, 0x06, 7];
        let view = View::parse(&bytes).unwrap();
        assert_eq!(view.tci().pcp(), 5);
        assert!(view.tci().dei());
        assert_eq!(view.tci().vlan(), Vlan::new(0x123).unwrap());
        assert_eq!(view.ethertype(), EtherType::ARP);
        assert_eq!(view.payload, [7]);
        assert_eq!(Tci::new(Vlan::new(0x123).unwrap(), 5, true), view.tci());
        assert_eq!(Vlan::new(4096), None);
    }

    #[test]
    fn tags_stack() {
        let bytes = [0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0, 5, 5, 5, 5];
        let mut walk = tags(EtherType::QINQ, &bytes);
        let seen: Vec<_> = walk.by_ref().map(|(tpid, tci)| (tpid, tci.0)).collect();
        assert_eq!(seen, [(EtherType::QINQ, 1), (EtherType::VLAN, 2), (EtherType::VLAN, 3)]);
        assert_eq!(walk.rest(), (EtherType::IPV4, &[5u8, 5, 5, 5][..]));
        let mut short = tags(EtherType::VLAN, &bytes[..6]);
        assert_eq!(short.by_ref().count(), 1);
        assert_eq!(short.rest().0, EtherType::VLAN);
    }

    #[test]
    fn push_and_pop() {
        let bytes: Vec<u8> = (0..20).collect();
        let mut frame = Frame::from_slice(&bytes);
        assert_eq!(pop(&mut frame), None);
        assert!(push(&mut frame, EtherType::VLAN, Tci(0x2064)));
        assert!(push(&mut frame, EtherType::QINQ, Tci(7)));
        let mut want = bytes.clone();
        want.splice(12..12, [0x88, 0xa8, 0, 7, 0x81, 0, 0x20, 0x64]);
        assert_eq!(frame.to_vec(), want);
        assert_eq!(pop(&mut frame), Some((EtherType::QINQ, Tci(7))));
        assert_eq!(pop(&mut frame), Some((EtherType::VLAN, Tci(0x2064))));
        assert_eq!(frame.to_vec(), bytes);
        assert!(!push(&mut Frame::from_slice(&bytes[..11]), EtherType::VLAN, Tci(1)));
    }

    proptest! {
        #[test]
        fn round_trip(tci: u16, ethertype: u16, payload: Vec<u8>) {
            check(&Value { tci: Tci(tci), ethertype: EtherType(ethertype) }, &payload);
            let tci = Tci(tci);
            prop_assert_eq!(Tci::new(tci.vlan(), tci.pcp(), tci.dei()), tci);
        }
    }
}
