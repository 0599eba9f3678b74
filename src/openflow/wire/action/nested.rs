//! Nicira's actions with properties, members or enumerations: controller, multipath, bundle, sample, encap.
#![deny(clippy::indexing_slicing)]

use super::{Cx, field, nx, port16, put_field, range, read_range, subfield, to_port16};
use crate::action::{
    Action, Bundle, BundleAlgorithm, Controller, Encap, EncapProperty, HashFields, Multipath, MultipathAlgorithm,
    PacketInReason, Sample, SampleDirection,
};
use crate::types::{MeterId, OfPort};
use crate::wire::bytes::{Bytes, Put, pad, set_len};
use crate::wire::codes::*;
use crate::wire::error::{Error, Result, refuse};

/// What is on the wire its place in the list.
const HASH_FIELDS: [HashFields; 7] = [
    HashFields::EthSrc,
    HashFields::SymmetricL4,
    HashFields::SymmetricL3L4,
    HashFields::SymmetricL3L4Udp,
    HashFields::NwSrc,
    HashFields::NwDst,
    HashFields::SymmetricL3,
];
const MULTIPATH: [MultipathAlgorithm; 4] = [
    MultipathAlgorithm::ModuloN,
    MultipathAlgorithm::HashThreshold,
    MultipathAlgorithm::Hrw,
    MultipathAlgorithm::IterHash,
];
const BUNDLE: [BundleAlgorithm; 2] = [BundleAlgorithm::ActiveBackup, BundleAlgorithm::Hrw];
const REASONS: [PacketInReason; 6] = [
    PacketInReason::NoMatch,
    PacketInReason::Action,
    PacketInReason::InvalidTtl,
    PacketInReason::ActionSet,
    PacketInReason::Group,
    PacketInReason::PacketOut,
];
const DIRECTIONS: [SampleDirection; 3] = [SampleDirection::Default, SampleDirection::Ingress, SampleDirection::Egress];

fn pick<T: Copy>(table: &[T], n: u16) -> Result<T> {
    table.get(usize::from(n)).copied().ok_or(Error::new(OFPBAC_BAD_ARGUMENT))
}

fn place<T: PartialEq>(table: &[T], value: T) -> u16 {
    table.iter().position(|t| *t == value).unwrap_or(0) as u16
}

/// The reason with this number on the wire.
pub fn reason(n: u8) -> Result<PacketInReason> {
    pick(&REASONS, n.into())
}

/// The number of a reason on the wire.
pub fn reason_number(reason: PacketInReason) -> u8 {
    place(&REASONS, reason) as u8
}

pub(super) fn read_controller(b: &mut Bytes) -> Result<Action> {
    let (max_len, controller_id, why) = (b.u16()?, b.u16()?, b.u8()?);
    b.skip(1)?;
    let c = Controller { max_len, controller_id, reason: reason(why)?, ..Controller::default() };
    Ok(Action::Controller(Box::new(c)))
}

const MAX_LEN: u16 = 0;
const CONTROLLER_ID: u16 = 1;
const REASON: u16 = 2;
const USERDATA: u16 = 3;
const PAUSE: u16 = 4;
const METER_ID: u16 = 5;

pub(super) fn read_controller2(b: &mut Bytes) -> Result<Action> {
    b.zeros(6)?;
    let mut c = Controller::default();
    while !b.is_empty() {
        let mut body = b.all();
        let (kind, mut p) = body.tlv(8).map_err(|_| Error::new(OFPBPC_BAD_LEN))?;
        *b = body;
        match kind {
            MAX_LEN => c.max_len = p.u16()?,
            CONTROLLER_ID => c.controller_id = p.u16()?,
            REASON => c.reason = reason(p.u8()?)?,
            USERDATA => c.userdata = p.take(p.len())?.to_vec(),
            PAUSE => c.pause = true,
            METER_ID => c.meter = Some(MeterId(p.u32()?)),
            _ => return refuse(OFPBPC_BAD_TYPE),
        }
    }
    Ok(Action::Controller(Box::new(c)))
}

/// It fits the older action.
pub(super) fn is_plain(c: &Controller) -> bool {
    c.userdata.is_empty() && !c.pause && c.meter.is_none()
}

pub(super) fn write_controller(o: &mut Vec<u8>, c: &Controller) {
    o.u16(c.max_len);
    o.u16(c.controller_id);
    o.u8(reason_number(c.reason));
    o.u8(0);
}

/// A property; numbers of 16 bits come with two bytes of padding, which their length counts.
fn property(o: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = o.len();
    o.u16(kind);
    o.u16(0);
    body(o);
    set_len(o, start + 2, start);
    pad(o, start, 8);
}

pub(super) fn write_controller2(o: &mut Vec<u8>, c: &Controller) {
    o.zeros(6);
    if c.max_len != u16::MAX {
        property(o, MAX_LEN, |o| o.u32(u32::from(c.max_len) << 16));
    }
    if c.controller_id != 0 {
        property(o, CONTROLLER_ID, |o| o.u32(u32::from(c.controller_id) << 16));
    }
    if c.reason != PacketInReason::Action {
        property(o, REASON, |o| o.u8(reason_number(c.reason)));
    }
    if !c.userdata.is_empty() {
        property(o, USERDATA, |o| o.bytes(&c.userdata));
    }
    if c.pause {
        property(o, PAUSE, |_| {});
    }
    if let Some(id) = c.meter {
        property(o, METER_ID, |o| o.u32(id.0));
    }
}

pub(super) fn read_multipath(b: &mut Bytes) -> Result<Action> {
    let (fields, basis) = (pick(&HASH_FIELDS, b.u16()?)?, b.u16()?);
    b.skip(2)?;
    let (algorithm, links, arg) = (pick(&MULTIPATH, b.u16()?)?, u32::from(b.u16()?) + 1, b.u32()?);
    b.skip(2)?;
    let (ofs, n_bits) = read_range(b)?;
    let id = field(b)?;
    let dst = super::nicira::writable(subfield(id, ofs, n_bits)?)?;
    if n_bits < 16 && links > 1 << n_bits {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    Ok(Action::Multipath(Box::new(Multipath { fields, basis, algorithm, n_links: links, arg, dst })))
}

pub(super) fn write_multipath(o: &mut Vec<u8>, m: &Multipath, cx: Cx) {
    o.u16(place(&HASH_FIELDS, m.fields));
    o.u16(m.basis);
    o.u16(0);
    o.u16(place(&MULTIPATH, m.algorithm));
    o.u16(m.n_links.saturating_sub(1) as u16);
    o.u32(m.arg);
    o.u16(0);
    o.u16(range(m.dst));
    put_field(o, m.dst.field, cx);
}

/// What a bundle's members are: ports, by the code point of in_port.
const MEMBER_PORT: u32 = 2;

pub(super) fn read_bundle(b: &mut Bytes, load: bool) -> Result<Action> {
    let (algorithm, fields, basis) = (pick(&BUNDLE, b.u16()?)?, pick(&HASH_FIELDS, b.u16()?)?, b.u16()?);
    if b.u32()? != MEMBER_PORT {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    let n = b.u16()?;
    let (ofs, n_bits) = read_range(b)?;
    let dst = if load {
        let id = field(b)?;
        Some(super::nicira::writable(subfield(id, ofs, n_bits)?)?)
    } else {
        b.zeros(4)?;
        None
    };
    b.zeros(4)?;
    let members = (0..n).map(|_| port16(b)).collect::<Result<Vec<OfPort>>>()?;
    b.skip(b.len().min(6))?;
    Ok(Action::Bundle(Box::new(Bundle { fields, basis, algorithm, members, dst })))
}

pub(super) fn write_bundle(o: &mut Vec<u8>, b: &Bundle, cx: Cx) {
    o.u16(place(&BUNDLE, b.algorithm));
    o.u16(place(&HASH_FIELDS, b.fields));
    o.u16(b.basis);
    o.u32(MEMBER_PORT);
    o.u16(b.members.len() as u16);
    match b.dst {
        Some(dst) => {
            o.u16(range(dst));
            put_field(o, dst.field, cx);
        }
        None => o.zeros(6),
    }
    o.zeros(4);
    b.members.iter().for_each(|m| o.u16(to_port16(*m)));
}

/// `form` is 0 for the first of the three subtypes, which grew a port and a direction.
pub(super) fn read_sample(b: &mut Bytes, form: u8) -> Result<Action> {
    let (probability, collector_set, obs_domain, obs_point) = (b.u16()?, b.u32()?, b.u32()?, b.u32()?);
    let (mut sampling_port, mut direction) = (None, SampleDirection::Default);
    if form > 0 {
        sampling_port = Some(port16(b)?).filter(|p| *p != OfPort::NONE);
        if form > 1 {
            direction = pick(&DIRECTIONS, b.u8()?.into())?;
            b.zeros(5)?;
        } else {
            b.zeros(6)?;
        }
    }
    if probability == 0 {
        return refuse(OFPBAC_BAD_ARGUMENT);
    }
    Ok(Action::Sample(Box::new(Sample { probability, collector_set, obs_domain, obs_point, sampling_port, direction })))
}

pub(super) fn write_sample(out: &mut Vec<u8>, s: &Sample, [plain, with_port, with_direction]: [u16; 3]) {
    let subtype = match (s.direction, s.sampling_port) {
        (SampleDirection::Default, None) => plain,
        (SampleDirection::Default, Some(_)) => with_port,
        _ => with_direction,
    };
    nx(out, subtype, |o| {
        o.u16(s.probability);
        o.u32(s.collector_set);
        o.u32(s.obs_domain);
        o.u32(s.obs_point);
        if subtype != plain {
            o.u16(to_port16(s.sampling_port.unwrap_or(OfPort::NONE)));
            o.u8(place(&DIRECTIONS, s.direction) as u8);
            o.zeros(5);
        }
    });
}

/// Packet types that can be put in front: Ethernet, NSH, MPLS.
const NSH: u32 = 0x1_894f;
const PACKET_TYPES: [u32; 4] = [0, NSH, 0x1_8847, 0x1_8848];
/// Class of the properties of NSH.
const CLASS_NSH: u16 = 4;
const NSH_MD_TYPE: u8 = 1;
const NSH_TLV: u8 = 2;

pub(super) fn read_encap(b: &mut Bytes) -> Result<Action> {
    b.skip(2)?;
    let packet_type = b.u32()?;
    if !PACKET_TYPES.contains(&packet_type) {
        return refuse(NXBAC_BAD_HEADER_TYPE);
    }
    let mut properties = Vec::new();
    while b.len() >= 4 {
        let (class, kind, len) = (b.u16()?, b.u8()?, usize::from(b.u8()?));
        if class != CLASS_NSH || packet_type != NSH {
            return refuse(NXBAC_UNKNOWN_ED_PROP);
        }
        let body = len.checked_sub(4).ok_or(Error::new(OFPBAC_BAD_LEN))?;
        let mut p = b.sub(body)?;
        b.skip((len.next_multiple_of(8) - len).min(b.len()))?;
        properties.push(match kind {
            NSH_MD_TYPE => match p.u8()? {
                n @ 1..=2 => EncapProperty::NshMdType(n),
                _ => return refuse(NXBAC_BAD_ED_PROP),
            },
            NSH_TLV => {
                let (class, kind, len) = (p.u16()?, p.u8()?, usize::from(p.u8()?));
                EncapProperty::NshTlv { class, kind, data: p.take(len)?.to_vec() }
            }
            _ => return refuse(NXBAC_UNKNOWN_ED_PROP),
        });
    }
    Ok(Action::Encap(Box::new(Encap { packet_type, properties })))
}

pub(super) fn write_encap(o: &mut Vec<u8>, e: &Encap) {
    o.u16(0);
    o.u32(e.packet_type);
    for p in &e.properties {
        o.u16(CLASS_NSH);
        match p {
            EncapProperty::NshMdType(n) => {
                o.bytes(&[NSH_MD_TYPE, 5, *n]);
                o.zeros(3);
            }
            EncapProperty::NshTlv { class, kind, data } => {
                // counted with its padding
                let len = (8 + data.len()).next_multiple_of(8);
                o.bytes(&[NSH_TLV, len as u8]);
                o.u16(*class);
                o.bytes(&[*kind, data.len() as u8]);
                o.bytes(data);
                o.zeros(len - 8 - data.len());
            }
        }
    }
}
