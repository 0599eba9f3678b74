//! Texts that the stock programs were seen to read and print, and round trips.
use super::parse::parse_match;
use super::*;
use crate::fields::tlv::TlvTable;
use crate::fields::{FieldId, Kind, Masking};
use crate::layout as l;
use crate::matching::Match;
use proptest::prelude::*;

struct Test(TlvTable);

impl Names for Test {
    fn tlv(&self) -> Option<&TlvTable> {
        Some(&self.0)
    }
}

fn names() -> Test {
    let mut table = TlvTable::default();
    for (n, len) in [(0, 4), (1, 4), (3, 4), (5, 4), (63, 20)] {
        table.add(0xffff, n, len, n).unwrap();
    }
    Test(table)
}

/// Every line of the transcript: input, then what ovs-ofctl 3.1 prints for it or its error. A line that begins with `!`
/// is where we differ on purpose (the comment above it has ovs-ofctl's answer): what it loses, takes as an error or
/// reports by the switch's refusal.
#[test]
fn transcript() {
    let names = names();
    let mut bad = Vec::new();
    for line in include_str!("../tests/transcripts/match.txt").lines().filter(|l| !l.starts_with('#')) {
        let line = line.strip_prefix("! ").unwrap_or(line);
        let (input, want) = line.split_once(" => ").unwrap();
        let got = match parse_match(input, &names) {
            Ok(p) => format::format_match(&p.matching, &names),
            Err(e) => format!("error: {e}"),
        };
        if got != want {
            bad.push(format!("{input} => {got}\n  want {want}"));
        }
    }
    assert!(bad.is_empty(), "{} differ:\n{}", bad.len(), bad.join("\n"));
}

/// Random matches: a protocol with its prerequisites, then fields that may go with it, values and masks at random.
fn matches() -> impl Strategy<Value = Match> {
    let protocols = [
        "",
        "ip",
        "tcp",
        "udp",
        "sctp",
        "icmp",
        "ipv6",
        "tcp6",
        "udp6",
        "icmp6",
        "arp",
        "rarp",
        "mpls",
        "mplsm",
        "dl_type=0x894f",
        "dl_type=0x88cc",
        "icmp6,icmp_type=135,icmp_code=0",
        "icmp6,icmp_type=136,icmp_code=0",
        "ip,ct_state=+new",
        "ipv6,ct_state=+est,ct_nw_proto=6",
        "packet_type=(1,0x800)",
        "vlan_tci=0x1000/0x1000",
    ];
    let pick = (0..crate::fields::FIELDS, any::<u128>(), any::<u128>(), 0u8..4, 0u32..128);
    (prop::sample::select(protocols.to_vec()), prop::collection::vec(pick, 0..12)).prop_map(|(protocol, picks)| {
        let (mut flow, mut mask) = parse_match(protocol, &NoNames).unwrap().matching.expand();
        for (index, value, bits, how, prefix) in picks {
            let f = FieldId::from_index(index).unwrap().row();
            // Those that a protocol gives are given; ports and packet types have their own rules.
            let fixed = matches!(
                f.id,
                FieldId::EthType
                    | FieldId::NwProto
                    | FieldId::PacketType
                    | FieldId::CtState
                    | FieldId::IcmpType
                    | FieldId::IcmpCode
                    | FieldId::Icmpv6Type
                    | FieldId::Icmpv6Code
            );
            // A fragment of which only some bits are asked for has names for some combinations alone.
            let odd = f.kind == Kind::TunMetadata || f.id == FieldId::IpFrag || f.id == FieldId::CtNwProto;
            // Ports of a tracked connection need its protocol.
            let portless = matches!(f.id, FieldId::CtTpSrc | FieldId::CtTpDst) && mask.get64(l::CT_NW_PROTO) == 0;
            if fixed || odd || portless || !f.prereq.ok_match(&flow, &mask) {
                continue;
            }
            let full = f.full_mask();
            let bits = match how {
                0 if f.masking == Masking::Bitwise => bits & full,
                1 if f.masking == Masking::Bitwise => (u128::MAX << prefix) & full,
                _ => full,
            };
            let value = if f.kind == Kind::WidePort { value & 0xfeff } else { value & f.max() };
            assert!(f.set_match(&mut flow, &mut mask, value, bits), "{}", f.name);
        }
        Match::new(&flow, &mask)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_back(m in matches()) {
        let text = m.to_string();
        let back = parse_match(&text, &NoNames);
        prop_assert_eq!(back.as_ref().map(|p| &p.matching), Ok(&m), "{}", text);
        prop_assert!(back.unwrap().dropped.is_empty(), "{}", text);
    }

    #[test]
    fn values_are_read_back(index in 0..crate::fields::FIELDS, value: u128, bits: u128, exact: bool) {
        let f = FieldId::from_index(index).unwrap().row();
        if f.kind != Kind::TunMetadata && f.id != FieldId::IpFrag {
            let bits = if exact || f.masking == Masking::Exact { f.full_mask() } else { bits & f.full_mask() };
            let value = if f.kind == Kind::WidePort { value & 0x7fff } else { value & bits & f.max() };
            let mut text = String::new();
            format::value(&mut text, f, value, bits, &NoNames);
            if bits != 0 {
                prop_assert_eq!(value::parse(f, &text, &NoNames), Ok((value, bits)), "{} {}", f.name, text);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9_=/,:.()\\[\\]+-]{0,40}", field in 0..crate::fields::FIELDS, any in ".{0,20}") {
        let _ = parse_match(&text, &NoNames);
        let _ = parse_match(&any, &NoNames);
        let name = FieldId::from_index(field).unwrap().row().name;
        let _ = parse_match(&format!("{name}={any}"), &names());
        let _ = parse_match(&format!("{name}{text}"), &names());
        let _ = parse::SubField::parse(&text);
    }
}

#[test]
fn a_vid_without_its_tag_keeps_its_mask() {
    let f = FieldId::VlanVid.row();
    for (bits, wanted) in [(0x1fff, "0"), (0xfff, "0x0/0xfff")] {
        let mut text = String::new();
        format::value(&mut text, f, 0, bits, &NoNames);
        assert_eq!((text.as_str(), value::parse(f, &text, &NoNames)), (wanted, Ok((0, bits))));
    }
}

#[test]
fn megaflows() {
    // As ofproto/trace prints them: recirculation id and packet type are always exact.
    let show = |text: &str| {
        let (flow, mut mask) = parse_match(text, &NoNames).unwrap().matching.expand();
        mask.exact(l::RECIRC_ID);
        mask.exact(l::PACKET_TYPE);
        format::format_masked(&flow, &mask, &NoNames)
    };
    let same = |text: &str| assert_eq!(show(text), format!("recirc_id=0,eth,{text}"));
    same("tcp,in_port=1,nw_dst=10.0.0.0/8,nw_frag=no,tp_dst=80");
    same("in_port=1,dl_vlan=5,dl_type=0x1234");
    same("arp,in_port=2,arp_spa=1.2.3.4");
    same("mpls,in_port=1,mpls_label=4");
    assert_eq!(show("ct_state=-trk,ip,nw_frag=no"), "recirc_id=0,ct_state=-trk,eth,ip,nw_frag=no");
    assert_eq!(
        show("ip,in_port=1,tun_id=3,tun_src=1.1.1.1,nw_dst=0.0.0.0/5,nw_frag=no"),
        "recirc_id=0,eth,ip,tun_id=0x3,tun_src=1.1.1.1,in_port=1,nw_dst=0.0.0.0/5,nw_frag=no"
    );
}

#[test]
fn what_means_nothing_is_named() {
    let dropped = |text: &str| parse_match(text, &NoNames).unwrap().dropped;
    assert_eq!(dropped("nw_src=1.2.3.4,tp_src=5"), [FieldId::IpSrc, FieldId::TcpSrc]);
    assert_eq!(dropped("tcp,nw_src=1.2.3.4,tp_src=5"), []);
    assert_eq!(dropped("udp,arp_sha=00:00:00:00:00:01"), [FieldId::ArpSha]);
}

#[test]
fn ports_have_names() {
    struct Ports;
    impl Names for Ports {
        fn port(&self, name: &str) -> Option<u16> {
            ["eth0", "a b", "LOCAL1", "7up"].iter().position(|n| *n == name).map(|n| n as u16 + 1)
        }
        fn port_name(&self, port: u16) -> Option<String> {
            ["eth0", "a b", "LOCAL1", "7up"].get(usize::from(port).checked_sub(1)?).map(|n| (*n).to_owned())
        }
    }
    for (port, text) in [(1, "eth0"), (2, "\"a b\""), (3, "LOCAL1"), (4, "\"7up\""), (9, "9"), (0xfffe, "LOCAL")] {
        assert_eq!(format_port(port, &Ports), text);
        assert_eq!(parse_port(text, &Ports), Some(port));
    }
    assert_eq!(parse_port("eth9", &Ports), None);
    assert_eq!(parse_port("4294967294", &Ports), Some(0xfffe));
    assert_eq!(parse_match("in_port=eth0", &Ports).unwrap().matching.get(l::IN_PORT), (1, 0xffff));
}

#[test]
fn tokens() {
    let all: Vec<_> = parse::Tokens::new(" a,b=1 c(2,3),d:4,e=(5,6),,f=").collect();
    let some = Some;
    assert_eq!(
        all,
        [("a", None), ("b", some("1")), ("c", some("2,3")), ("d", some("4")), ("e", some("(5,6)")), ("f", some(""))]
    );
}

#[test]
fn sub_fields() {
    for text in ["NXM_NX_REG0[]", "NXM_NX_REG0[0..15]", "OXM_OF_METADATA[7]", "NXM_OF_ETH_DST[]", "OXM_OF_PKT_REG0[]"] {
        assert_eq!(parse::SubField::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(parse::SubField::parse("reg1[0..31]").unwrap().to_string(), "NXM_NX_REG1[]");
    assert_eq!(parse::SubField::parse("vlan_vid[]").unwrap().to_string(), "OXM_OF_VLAN_VID[]");
}
