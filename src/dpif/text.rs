//! Datapath actions as text, in the words of ovs-dpctl(8): `push_vlan(vid=10,pcp=0),2,pop_vlan,3`.

use std::fmt::{self, Display, Formatter, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use flow::layout::VLAN_PRESENT;

use crate::PortNo;
use crate::action::{Action, Ct, HashAlgorithm, Ports, Set, Userspace};

/// A list of actions as text; `drop` when nothing comes out.
pub struct Actions<'a>(pub &'a [Action]);

impl Display for Actions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        for (i, action) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            action.fmt(f)?;
        }
        Ok(())
    }
}

/// The same with names in place of ports' numbers.
pub struct Named<'a>(pub &'a [Action], pub &'a dyn Fn(PortNo) -> String);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        for (i, action) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            match action {
                Action::Output(port) => f.write_str(&self.1(*port))?,
                Action::Clone(steps) => write!(f, "clone({})", Named(steps, self.1))?,
                Action::CheckLen { size, more, other } => {
                    let (more, other) = (Named(more, self.1), Named(other, self.1));
                    write!(f, "check_pkt_len(size={size},gt({more}),le({other}))")?;
                }
                other => other.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Output(port) => port.fmt(f),
            Action::PushVlan { tpid, tci } => {
                f.write_str("push_vlan(")?;
                if *tpid != 0x8100 {
                    write!(f, "tpid={tpid:#06x},")?;
                }
                vlan(f, *tci)?;
                f.write_str(if tci & VLAN_PRESENT == 0 { ",cfi=0)" } else { ")" })
            }
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::PushMpls { lse, ethertype } => {
                f.write_str("push_mpls(")?;
                mpls(f, *lse)?;
                write!(f, ",eth_type={ethertype:#x})")
            }
            Action::PopMpls { ethertype } => write!(f, "pop_mpls(eth_type={ethertype:#x})"),
            Action::Set(set) => write!(f, "set({set})"),
            Action::Hash { algorithm: HashAlgorithm::L4, basis } => write!(f, "hash(l4({basis}))"),
            Action::Hash { algorithm: HashAlgorithm::SymmetricL4, basis } => write!(f, "hash(sym_l4({basis}))"),
            Action::Recirc(id) => write!(f, "recirc({:#x})", id.0),
            Action::Ct(ct) => ct.fmt(f),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Clone(steps) => write!(f, "clone({})", Actions(steps)),
            Action::CheckLen { size, more, other } => {
                write!(f, "check_pkt_len(size={size},gt({}),le({}))", Actions(more), Actions(other))
            }
            Action::Meter(meter) => write!(f, "meter({})", meter.number()),
            Action::Trunc(len) => write!(f, "trunc({len})"),
            Action::Userspace(Userspace::Protocol) => f.write_str("userspace(pid=0,slow_path())"),
            Action::Userspace(Userspace::Controller(p)) => {
                let (wait, id, max_len) = (u8::from(p.continuation), p.id, p.max_len);
                let cookie = if p.cookie == 0 { "0".to_owned() } else { format!("{:#x}", p.cookie) };
                write!(f, "userspace(pid=0,controller(reason={},dont_send=0,continuation={wait},", p.reason)?;
                write!(f, "recirc_id={id},rule_cookie={cookie},controller_id={},max_len={max_len}))", p.controller)
            }
            Action::Drop(_) => f.write_str("drop"),
        }
    }
}

fn vlan(f: &mut Formatter<'_>, tci: u16) -> fmt::Result {
    write!(f, "vid={},pcp={}", tci & 0xfff, tci >> 13)
}

fn mpls(f: &mut Formatter<'_>, lse: u32) -> fmt::Result {
    write!(f, "label={},tc={},ttl={},bos={}", lse >> 12, lse >> 9 & 7, lse & 0xff, lse >> 8 & 1)
}

impl Display for Ct {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut inside = List::new(f, "ct");
        if self.commit {
            inside.word(if self.force { "force_commit" } else { "commit" })?;
        }
        if self.zone != 0 {
            inside.item("zone", self.zone)?;
        }
        if let Some((value, mask)) = self.mark {
            inside.item("mark", format_args!("{value:#x}/{mask:#x}"))?;
        }
        if let Some((value, mask)) = self.label {
            inside.item("label", format_args!("{value:#x}/{mask:#x}"))?;
        }
        // ovs-dpctl prints a bare `ct` without parentheses
        if inside.empty { f.write_str("ct") } else { f.write_char(')') }
    }
}

/// `name(a=1,b=2`, opened by the first item.
struct List<'a, 'b> {
    f: &'a mut Formatter<'b>,
    name: &'static str,
    empty: bool,
}

impl<'a, 'b> List<'a, 'b> {
    fn new(f: &'a mut Formatter<'b>, name: &'static str) -> Self {
        List { f, name, empty: true }
    }

    fn word(&mut self, word: &str) -> fmt::Result {
        if self.empty {
            self.f.write_str(self.name)?;
            self.f.write_char('(')?;
        } else {
            self.f.write_char(',')?;
        }
        self.empty = false;
        self.f.write_str(word)
    }

    fn item(&mut self, key: &str, value: impl Display) -> fmt::Result {
        self.word(key)?;
        write!(self.f, "={value}")
    }

    /// `key=value` or `key=value/mask`; nothing when the mask is 0.
    fn masked<V: Display + PartialEq>(&mut self, key: &str, value: V, mask: V, none: V, all: V) -> fmt::Result {
        if mask == none {
            Ok(())
        } else if mask == all {
            self.item(key, value)
        } else {
            self.item(key, format_args!("{value}/{mask}"))
        }
    }

    fn mac(&mut self, key: &str, value: &[u8; 6], mask: &[u8; 6]) -> fmt::Result {
        self.masked(key, Mac(*value), Mac(*mask), Mac([0; 6]), Mac([0xff; 6]))
    }

    fn ip(&mut self, key: &str, value: u32, mask: u32) -> fmt::Result {
        self.masked(key, Ipv4Addr::from(value), Ipv4Addr::from(mask), Ipv4Addr::from(0), Ipv4Addr::from(u32::MAX))
    }

    fn ip6(&mut self, key: &str, value: u128, mask: u128) -> fmt::Result {
        self.masked(key, Ipv6Addr::from(value), Ipv6Addr::from(mask), Ipv6Addr::from(0), Ipv6Addr::from(u128::MAX))
    }

    fn hex(&mut self, key: &str, value: u32, mask: u32, all: u32) -> fmt::Result {
        self.masked(key, Hex(value), Hex(mask), Hex(0), Hex(all))
    }

    /// Decimal, with a mask in hexadecimal.
    fn number(&mut self, key: &str, value: u32, mask: u32, all: u32) -> fmt::Result {
        match mask {
            0 => Ok(()),
            _ if mask == all => self.item(key, value),
            _ => self.item(key, format_args!("{value}/{mask:#x}")),
        }
    }

    fn ports(&mut self, p: &Ports) -> fmt::Result {
        self.number("src", p.src.into(), p.src_mask.into(), 0xffff)?;
        self.number("dst", p.dst.into(), p.dst_mask.into(), 0xffff)
    }
}

#[derive(PartialEq)]
struct Mac([u8; 6]);

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[derive(PartialEq)]
struct Hex(u32);

impl Display for Hex {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // as C's %#x, which has no prefix for 0
        if self.0 == 0 { f.write_char('0') } else { write!(f, "{:#x}", self.0) }
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Set::Eth { src, src_mask, dst, dst_mask } => {
                let mut l = List::new(f, "eth");
                l.mac("src", src, src_mask)?;
                l.mac("dst", dst, dst_mask)?;
            }
            Set::Vlan { tci, mask } => {
                let mut l = List::new(f, "vlan");
                l.number("vid", u32::from(tci & 0xfff), u32::from(mask & 0xfff), 0xfff)?;
                l.number("pcp", u32::from(tci >> 13), u32::from(mask >> 13), 7)?;
            }
            Set::Mpls { lse, mask } => {
                let mut l = List::new(f, "mpls");
                l.number("label", lse >> 12, mask >> 12, 0xfffff)?;
                l.number("tc", lse >> 9 & 7, mask >> 9 & 7, 7)?;
                l.number("ttl", lse & 0xff, mask & 0xff, 0xff)?;
                l.number("bos", lse >> 8 & 1, mask >> 8 & 1, 1)?;
            }
            Set::Ipv4 { src, src_mask, dst, dst_mask, tos, tos_mask, ttl, ttl_mask } => {
                let mut l = List::new(f, "ipv4");
                l.ip("src", *src, *src_mask)?;
                l.ip("dst", *dst, *dst_mask)?;
                l.hex("tos", u32::from(*tos), u32::from(*tos_mask), 0xff)?;
                l.number("ttl", u32::from(*ttl), u32::from(*ttl_mask), 0xff)?;
            }
            Set::Ipv6 { src, src_mask, dst, dst_mask, label, label_mask, tclass, tclass_mask, hlimit, hlimit_mask } => {
                let mut l = List::new(f, "ipv6");
                l.ip6("src", *src, *src_mask)?;
                l.ip6("dst", *dst, *dst_mask)?;
                l.hex("label", *label, *label_mask, 0xfffff)?;
                l.hex("tclass", u32::from(*tclass), u32::from(*tclass_mask), 0xff)?;
                l.number("hlimit", u32::from(*hlimit), u32::from(*hlimit_mask), 0xff)?;
            }
            Set::Tcp(p) => List::new(f, "tcp").ports(p)?,
            Set::Udp(p) => List::new(f, "udp").ports(p)?,
            Set::Sctp(p) => List::new(f, "sctp").ports(p)?,
            Set::Icmp { kind, kind_mask, code, code_mask } => {
                let mut l = List::new(f, "icmp");
                l.number("type", u32::from(*kind), u32::from(*kind_mask), 0xff)?;
                l.number("code", u32::from(*code), u32::from(*code_mask), 0xff)?;
            }
            Set::Arp { op, op_mask, spa, spa_mask, tpa, tpa_mask, sha, sha_mask, tha, tha_mask } => {
                let mut l = List::new(f, "arp");
                l.ip("sip", *spa, *spa_mask)?;
                l.ip("tip", *tpa, *tpa_mask)?;
                l.number("op", u32::from(*op), u32::from(*op_mask), 0xffff)?;
                l.mac("sha", sha, sha_mask)?;
                l.mac("tha", tha, tha_mask)?;
            }
            Set::Nd { target, target_mask, sll, sll_mask, tll, tll_mask } => {
                let mut l = List::new(f, "nd");
                l.ip6("target", *target, *target_mask)?;
                l.mac("sll", sll, sll_mask)?;
                l.mac("tll", tll, tll_mask)?;
            }
            Set::Nsh { flags, flags_mask, ttl, ttl_mask, path, path_mask, context, context_mask } => {
                let mut l = List::new(f, "nsh");
                l.number("flags", u32::from(*flags), u32::from(*flags_mask), 0xff)?;
                l.number("ttl", u32::from(*ttl), u32::from(*ttl_mask), 0xff)?;
                l.hex("spi", path >> 8, path_mask >> 8, 0xff_ffff)?;
                l.number("si", path & 0xff, path_mask & 0xff, 0xff)?;
                for ((key, value), mask) in ["c1", "c2", "c3", "c4"].iter().zip(context).zip(context_mask) {
                    l.hex(key, *value, *mask, u32::MAX)?;
                }
            }
            Set::PktMark { value, mask } => return metadata(f, "skb_mark", *value, *mask),
            Set::SkbPriority { value, mask } => return metadata(f, "skb_priority", *value, *mask),
        }
        f.write_char(')')
    }
}

/// `name(0x1)` or `name(0x1/0xff)`.
fn metadata(f: &mut Formatter<'_>, name: &str, value: u32, mask: u32) -> fmt::Result {
    match (value, mask) {
        (0, u32::MAX) => write!(f, "{name}(0)"),
        (_, u32::MAX) => write!(f, "{name}({value:#x})"),
        (0, _) => write!(f, "{name}(0/{mask:#x})"),
        _ => write!(f, "{name}({value:#x}/{mask:#x})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DropReason, PortNo, RecircId};

    #[test]
    fn actions_read_as_in_ovs_dpctl() {
        let ttl = Set::Ipv4 {
            src: 0,
            src_mask: 0,
            dst: 0x0a000001,
            dst_mask: u32::MAX,
            tos: 0,
            tos_mask: 0,
            ttl: 63,
            ttl_mask: 255,
        };
        let eth = Set::Eth { src: [0; 6], src_mask: [0; 6], dst: [2, 0, 0, 0, 0, 1], dst_mask: [255; 6] };
        let cases = [
            (vec![], "drop"),
            (vec![Action::Drop(DropReason::Rule)], "drop"),
            (vec![Action::Output(PortNo(1)), Action::Output(PortNo(2))], "1,2"),
            (
                vec![
                    Action::PushVlan { tpid: 0x8100, tci: 0x700a | VLAN_PRESENT },
                    Action::Output(PortNo(2)),
                    Action::PopVlan,
                ],
                "push_vlan(vid=10,pcp=3),2,pop_vlan",
            ),
            (
                vec![Action::Set(ttl), Action::Set(eth)],
                "set(ipv4(dst=10.0.0.1,ttl=63)),set(eth(dst=02:00:00:00:00:01))",
            ),
            (vec![Action::Set(Set::Vlan { tci: 5, mask: 0xfff })], "set(vlan(vid=5))"),
            (
                vec![Action::Set(Set::Udp(Ports { src: 0, src_mask: 0, dst: 0x10, dst_mask: 0xf0 }))],
                "set(udp(dst=16/0xf0))",
            ),
            (vec![Action::Ct(Ct::default()), Action::Recirc(RecircId(1))], "ct,recirc(0x1)"),
            (vec![Action::Ct(Ct { commit: true, zone: 5, ..Ct::default() })], "ct(commit,zone=5)"),
            (vec![Action::Clone(vec![Action::Trunc(64), Action::Output(PortNo(3))])], "clone(trunc(64),3)"),
            (
                vec![Action::CheckLen { size: 200, more: vec![Action::Output(PortNo(3))], other: vec![] }],
                "check_pkt_len(size=200,gt(3),le(drop))",
            ),
            (
                vec![Action::PushMpls { lse: 0x0000_a140, ethertype: 0x8847 }],
                "push_mpls(label=10,tc=0,ttl=64,bos=1,eth_type=0x8847)",
            ),
        ];
        for (actions, text) in cases {
            assert_eq!(Actions(&actions).to_string(), text);
        }
    }
}
