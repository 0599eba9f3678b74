//! Reading matches: `tcp,in_port=1,nw_dst=10.0.0.0/8,reg0[0..3]=5`.
#![deny(clippy::indexing_slicing)]

use super::{Names, NoNames, ParseError, error, number, value};
use crate::fields::tlv::Wide;
use crate::fields::{self, Field, FieldId, Kind, Prereq};
use crate::layout as l;
use crate::matching::Match;
use crate::words::{Flow, Mask};

/// Shorthands for Ethertype and IP protocol (ovs-fields(7), "Matching").
const PROTOCOLS: [(&str, u16, Option<u8>); 17] = [
    ("ip", 0x0800, None),
    ("ipv4", 0x0800, None),
    ("ip4", 0x0800, None),
    ("icmp", 0x0800, Some(1)),
    ("tcp", 0x0800, Some(6)),
    ("udp", 0x0800, Some(17)),
    ("sctp", 0x0800, Some(132)),
    ("ipv6", 0x86dd, None),
    ("ip6", 0x86dd, None),
    ("icmp6", 0x86dd, Some(58)),
    ("tcp6", 0x86dd, Some(6)),
    ("udp6", 0x86dd, Some(17)),
    ("sctp6", 0x86dd, Some(132)),
    ("arp", 0x0806, None),
    ("rarp", 0x8035, None),
    ("mpls", 0x8847, None),
    ("mplsm", 0x8848, None),
];

/// The shorthand that ovs-ofctl prints for an Ethertype and perhaps a protocol.
pub(crate) fn protocol_name(eth_type: u16, proto: Option<u8>) -> Option<&'static str> {
    PROTOCOLS.iter().find(|(_, e, p)| *e == eth_type && *p == proto).map(|(name, ..)| *name)
}

/// Splits text into keys and values: `key`, `key=value`, `key:value` or `key(value)`, separated by commas or blanks,
/// parentheses protecting what is in them.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a str) -> Self {
        Tokens { rest: text }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    fn take(&mut self, n: usize) -> &'a str {
        let (head, tail) = self.rest.split_at_checked(n).unwrap_or((self.rest, ""));
        self.rest = tail;
        head
    }
}

const BLANK: [char; 5] = [',', ' ', '\t', '\r', '\n'];

impl<'a> Iterator for Tokens<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_start_matches(BLANK);
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find([',', ' ', '\t', '\r', '\n', ':', '=', '(']).unwrap_or(self.rest.len());
        let key = self.take(end);
        let open = match self.rest.chars().next() {
            Some('=' | ':') => {
                self.take(1);
                false
            }
            Some('(') => true,
            _ => return Some((key, None)),
        };
        let mut depth = 0usize;
        let mut end = self.rest.len();
        for (i, c) in self.rest.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                c if depth == 0 && BLANK.contains(&c) => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        let value = self.take(end);
        let inner =
            if open { value.strip_prefix('(').and_then(|v| v.strip_suffix(')')).unwrap_or(value) } else { value };
        Some((key, Some(inner)))
    }
}

/// A match and what was left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub matching: Match,
    /// Fields that were given but mean nothing beside the others, such as ip_src without ip.
    pub dropped: Vec<FieldId>,
    /// The match with them, when there are any.
    pub before: Option<Match>,
}

/// A match in the making, field by field.
pub struct MatchBuilder<'a> {
    names: &'a dyn Names,
    flow: Flow,
    mask: Mask,
}

impl<'a> MatchBuilder<'a> {
    /// Begins with a match of everything.
    pub fn new(names: &'a dyn Names) -> Self {
        MatchBuilder { names, flow: Flow::default(), mask: Mask::default() }
    }

    /// Takes one key with its value; `Ok(false)` when the key is none of a match.
    pub fn pair(&mut self, key: &str, text: Option<&str>) -> Result<bool, ParseError> {
        if let Some((_, eth_type, proto)) = PROTOCOLS.iter().find(|(name, ..)| *name == key) {
            self.exact(FieldId::EthType, u128::from(*eth_type));
            if let Some(proto) = proto {
                self.exact(FieldId::NwProto, u128::from(*proto));
            }
            return Ok(true);
        }
        // Ethernet is what every match is about unless it gives a packet type.
        if key == "eth" {
            return Ok(true);
        }
        if key.contains('[') {
            return self.part(key, text.unwrap_or("")).map(|()| true);
        }
        let alias = match key {
            "gtpu_flags" => Some(FieldId::TunGtpuFlags),
            "gtpu_msgtype" => Some(FieldId::TunGtpuMsgtype),
            _ => fields::by_name(key),
        };
        let Some(id) = alias else { return Ok(false) };
        self.field(id.row(), text.unwrap_or("")).map(|()| true)
    }

    fn exact(&mut self, id: FieldId, value: u128) {
        let f = id.row();
        f.set_match(&mut self.flow, &mut self.mask, value, f.full_mask());
    }

    fn field(&mut self, field: &'static Field, text: &str) -> Result<(), ParseError> {
        if field.kind == Kind::TunMetadata {
            let Some(map) = self.names.tlv().and_then(|t| t.of(field.id)) else {
                return error(format!("{}: no tunnel option is mapped to it", field.name));
            };
            let len = usize::from(map.len);
            let text = if text.is_empty() { "0/0" } else { text };
            let (value, mask) = value::wide(field, text, len)?;
            if let (Some(value), Some(mask)) = (Wide::new(&value), Wide::new(&mask)) {
                map.set_match(&mut self.flow, &mut self.mask, &value, &mask);
            }
            return Ok(());
        }
        let (value, bits) = value::parse(field, text, self.names)?;
        if field.id == FieldId::Ipv6Label && value > field.max() {
            return error(format!(
                "{text}: value does not fit into 20 bits of field {} (OFPBMC_BAD_VALUE)",
                field.name
            ));
        }
        // Ethernet is the default, and asking for it is asking for nothing.
        if field.id == FieldId::PacketType && value == 0 {
            field.set_match(&mut self.flow, &mut self.mask, 0, 0);
            return Ok(());
        }
        if !field.set_match(&mut self.flow, &mut self.mask, value, bits) {
            return error(format!("{text}: invalid mask for field {}", field.name));
        }
        Ok(())
    }

    /// `field[start..end]=value` by either kind of name.
    fn part(&mut self, key: &str, text: &str) -> Result<(), ParseError> {
        let part = SubField::parse(key)?;
        let (field, width) = (part.field.row(), part.bits());
        let number =
            number::u128(text, 16).map_err(|_| ParseError(format!("{key}: cannot parse integer value: {text}")))?;
        let ones = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
        if number > ones {
            return error(format!("{key}: value {number:#x} does not fit into {width} bits"));
        }
        if field.kind == Kind::TunMetadata || part.start >= 128 {
            return error(format!("{key}: part of a tunnel option cannot be matched"));
        }
        let (value, bits) = (number << part.start, ones << part.start);
        let (old, old_bits) = field.get_match(&self.flow, &self.mask);
        let (value, bits) = (old & old_bits & !bits | value, old_bits | bits);
        if !field.set_match(&mut self.flow, &mut self.mask, value, bits) {
            return error(format!("{key}: {} cannot be matched in part", field.name));
        }
        Ok(())
    }

    /// The match, without what means nothing in it. Refuses fields whose prerequisites contradict the others.
    pub fn finish(mut self) -> Result<Parsed, ParseError> {
        let whole = Match::new(&self.flow, &self.mask);
        let dropped = normalise(&mut self.flow, &mut self.mask);
        for f in Field::all() {
            let asked = f.kind != Kind::TunMetadata && f.get_match(&self.flow, &self.mask).1 != 0;
            let shared =
                || Field::all().any(|o| o.slot == f.slot && o.id != f.id && o.prereq.ok_match(&self.flow, &self.mask));
            if asked && !f.prereq.ok_match(&self.flow, &self.mask) && !exempt(f) && !shared() {
                return error(format!("{}: prerequisites of the field are not met (OFPBMC_BAD_PREREQ)", f.name));
            }
        }
        let matching = Match::new(&self.flow, &self.mask);
        let before = (!dropped.is_empty()).then_some(whole);
        Ok(Parsed { matching, dropped, before })
    }
}

/// Parts of the TCI are matched in ways that do not ask for a tag.
fn exempt(f: &Field) -> bool {
    matches!(f.kind, Kind::VlanTci | Kind::VlanVid | Kind::VlanPcp | Kind::DlVlan)
}

/// Takes out of a match what means nothing in it, as ovs-ofctl does: fields of protocols that it does not ask for.
pub fn normalise(flow: &mut Flow, mask: &mut Mask) -> Vec<FieldId> {
    let conditional = |f: &&Field| match f.prereq {
        Prereq::None | Prereq::Vlan | Prereq::Ct | Prereq::CtIpv4 | Prereq::CtIpv6 => false,
        Prereq::Ethernet => f.id != FieldId::EthType,
        _ => true,
    };
    // Later fragments have no ports; asking for both is an error, not nothing.
    let mut whole = flow.clone();
    whole.set(l::NW_FRAG, 0);
    let (mut keep, mut all) = (Mask::default(), Mask::default());
    for f in Field::all().filter(conditional) {
        all.exact(f.slot);
        if f.prereq.ok_match(&whole, mask) {
            keep.exact(f.slot);
        }
    }
    if mask.get64(l::CT_NW_PROTO) == 0 {
        all.exact(l::CT_TP_SRC);
        all.exact(l::CT_TP_DST);
    }
    let mut dropped = Vec::new();
    if all.w.iter().zip(&keep.w).zip(&mask.w).all(|((a, k), m)| a & !k & m == 0) {
        return dropped;
    }
    for f in Field::all().filter(|f| f.kind != Kind::TunMetadata) {
        let gone = {
            let mut one = Mask::default();
            one.exact(f.slot);
            one.w.iter().zip(&all.w).zip(&keep.w).zip(&mask.w).any(|(((o, a), k), m)| o & a & !k & m != 0)
        };
        if gone && !dropped.iter().any(|d: &FieldId| d.row().slot == f.slot) {
            dropped.push(f.id);
        }
    }
    for (((v, m), a), k) in flow.w.iter_mut().zip(&mut mask.w).zip(&all.w).zip(&keep.w) {
        *v &= !(a & !k);
        *m &= !(a & !k);
    }
    dropped
}

/// A run of bits of a field, `NXM_NX_REG0[0..15]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubField {
    pub field: FieldId,
    /// First and last bit, 0 being the least significant.
    pub start: u16,
    pub end: u16,
}

impl SubField {
    /// How many bits.
    pub fn bits(&self) -> u16 {
        self.end - self.start + 1
    }

    /// Reads `field[]`, `field[bit]` or `field[start..end]`, the field by its name or its NXM or OXM name.
    pub fn parse(text: &str) -> Result<SubField, ParseError> {
        let syntax = || ParseError(format!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]"));
        let (name, rest) =
            text.split_once('[').ok_or_else(|| ParseError(format!("{text}: missing [ looking for field name")))?;
        let id = fields::by_nxm_name(name)
            .or_else(|| fields::by_name(name))
            .ok_or_else(|| ParseError(format!("{text}: unknown field `{name}'")))?;
        let width = part_width(id.row());
        let range = rest.strip_suffix(']').ok_or_else(syntax)?;
        let bit = |t: &str| t.parse::<u16>().map_err(|_| syntax());
        let (start, end) = match range.split_once("..") {
            None if range.is_empty() => (0, width - 1),
            None => (bit(range)?, bit(range)?),
            Some((start, end)) => (bit(start)?, bit(end)?),
        };
        if start > end {
            return error(format!("{text}: starting bit {start} is after ending bit {end}"));
        }
        for (which, n) in [("starting", start), ("ending", end)] {
            if n >= width {
                return error(format!("{text}: {which} bit {n} is not valid because field is only {width} bits wide"));
            }
        }
        Ok(SubField { field: id, start, end })
    }
}

/// Bits that a sub-field may be cut from.
fn part_width(f: &Field) -> u16 {
    match f.kind {
        Kind::VlanVid => 12,
        _ => f.bits,
    }
}

impl std::fmt::Display for SubField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let row = self.field.row();
        f.write_str(row.nxm_name().unwrap_or(row.name))?;
        if self.start == 0 && self.end + 1 == part_width(row) {
            f.write_str("[]")
        } else if self.start == self.end {
            write!(f, "[{}]", self.start)
        } else {
            write!(f, "[{}..{}]", self.start, self.end)
        }
    }
}

/// Reads a whole match.
pub fn parse_match(text: &str, names: &dyn Names) -> Result<Parsed, ParseError> {
    let mut builder = MatchBuilder::new(names);
    for (key, value) in Tokens::new(text) {
        if !builder.pair(key, value)? {
            return match value {
                None => error(format!("field {key} missing value")),
                Some(_) => error(format!("unknown keyword {key}")),
            };
        }
    }
    builder.finish()
}

impl std::str::FromStr for Match {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Match, ParseError> {
        parse_match(text, &NoNames).map(|p| p.matching)
    }
}
