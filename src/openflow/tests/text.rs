//! Text of flows, groups and files: round trips, what dump-flows prints, and texts that must not bring anything down.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flow::fields::{ALL, FieldId};
use flow::{Flow, Mask, Match};
use openflow::action::*;
use openflow::flow_mod::{Command, FlowFlags, FlowMod};
use openflow::group_mod::{BucketRef, GroupCommand};
use openflow::text::{
    Change, FlowStats, NoNames, PortNames, flow_text, group_text, parse_bundle, parse_flow, parse_flows, parse_group,
};
use openflow::view::Version;
use openflow::{Cookie, GroupId, MeterId, OfPort, Subfield, TableId};
use proptest::prelude::*;
use std::time::Duration;

/// The ports of the recorded switch.
struct Ports;

impl PortNames for Ports {
    fn number(&self, name: &str) -> Option<OfPort> {
        [("p1", 1), ("p-2.x", 2)].iter().find(|(n, _)| *n == name).map(|(_, p)| OfPort(*p))
    }
    fn name(&self, port: OfPort) -> Option<String> {
        [(1, "p1"), (2, "p-2.x")].iter().find(|(p, _)| OfPort(*p) == port).map(|(_, n)| (*n).to_owned())
    }
}

fn flow(text: &str, names: &dyn PortNames) -> FlowMod {
    parse_flow(text, Command::Add, names).unwrap().flow
}

/// Flows given to a stock switch, and what `dump-flows` printed of them.
const DUMPED: [(&str, Version, bool, &str); 7] = [
    (
        "priority=5,ip,nw_dst=10.0.0.0/8,cookie=0x1,idle_timeout=60,hard_timeout=70,importance=3,send_flow_rem,\
         actions=set_field:1->reg0,load:2->reg1,output:1,p-2.x,goto_table:3",
        Version::Of15,
        true,
        "cookie=0x1, duration=0.256s, table=0, n_packets=0, n_bytes=0, idle_timeout=60, hard_timeout=70, send_flow_rem \
         importance=3, idle_age=0, priority=5,ip,nw_dst=10.0.0.0/8 \
         actions=set_field:0x1->reg0,set_field:0x2->reg1,output:1,output:2,goto_table:3",
    ),
    (
        "priority=5,ip,nw_dst=10.0.0.0/8,cookie=0x1,idle_timeout=60,hard_timeout=70,importance=3,send_flow_rem,\
         actions=set_field:1->reg0,load:2->reg1,output:1,p-2.x,goto_table:3",
        Version::Of10,
        false,
        "cookie=0x1, idle_timeout=60, hard_timeout=70, priority=5,ip,nw_dst=10.0.0.0/8 \
         actions=load:0x1->NXM_NX_REG0[],load:0x2->NXM_NX_REG1[],output:1,output:2,resubmit(,3)",
    ),
    (
        "table=3,reset_counts,no_packet_counts,no_byte_counts,check_overlap,priority=2,\
         actions=clear_actions,write_actions(pop_vlan,output:2)",
        Version::Of15,
        true,
        "cookie=0x0, duration=0.256s, table=3, n_packets=0, n_bytes=0, check_overlap reset_counts no_packet_counts \
         no_byte_counts idle_age=0, priority=2 actions=clear_actions,write_actions(pop_vlan,output:2)",
    ),
    (
        "table=3,reset_counts,no_packet_counts,no_byte_counts,check_overlap,priority=2,\
         actions=clear_actions,write_actions(pop_vlan,output:2)",
        Version::Of15,
        false,
        "table=3, check_overlap reset_counts no_packet_counts no_byte_counts priority=2 \
         actions=clear_actions,write_actions(pop_vlan,output:2)",
    ),
    (
        "in_port=p1,dl_vlan=0xffff,actions=resubmit(p1,3),enqueue:p1:3,mod_vlan_vid:3",
        Version::Of15,
        false,
        "in_port=1,vlan_tci=0x0000/0x1fff \
         actions=resubmit(1,3),set_queue:3,output:1,pop_queue,push_vlan:0x8100,set_field:4099->vlan_vid",
    ),
    (
        "in_port=p1,dl_vlan=5,ip,\
         actions=strip_vlan,mod_nw_ecn:1,mod_nw_ttl:3,controller,set_tunnel:5,dec_ttl",
        Version::Of10,
        false,
        "ip,in_port=1,dl_vlan=5 actions=strip_vlan,load:0x1->NXM_NX_IP_ECN[],load:0x3->NXM_NX_IP_TTL[],\
         CONTROLLER:65535,set_tunnel:0x5,dec_ttl",
    ),
    (
        "actions=normal",
        Version::Of10,
        true,
        "cookie=0x0, duration=0.256s, table=0, n_packets=0, n_bytes=0, idle_age=0, actions=NORMAL",
    ),
];

/// Numbers alone when printing, names when reading.
struct ReadOnly;

impl PortNames for ReadOnly {
    fn number(&self, name: &str) -> Option<OfPort> {
        Ports.number(name)
    }
    fn name(&self, _: OfPort) -> Option<String> {
        None
    }
}

#[test]
fn flows_as_dump_flows_prints_them() {
    let stats = FlowStats { duration: Duration::from_millis(256), idle_age: Some(0), ..FlowStats::default() };
    for (input, version, with_stats, want) in DUMPED {
        let got = flow_text(&flow(input, &ReadOnly), with_stats.then_some(&stats), version, &ReadOnly);
        assert_eq!(got, want, "{input}");
    }
}

#[test]
fn names_of_ports_are_quoted_where_they_must_be() {
    let f = flow("in_port=p1,actions=output:p1,\"p-2.x\",resubmit(p1,3),output(port=p1,max_len=99)", &Ports);
    let got = flow_text(&f, None, Version::Of15, &Ports);
    assert_eq!(got, "in_port=p1 actions=output:p1,output:\"p-2.x\",resubmit(p1,3),output(port=p1,max_len=99)");
    assert_eq!(flow(&got, &Ports), f);
}

#[test]
fn deletions_say_which_flows() {
    let f = parse_flow("table=3,ip,cookie=5/0xff,out_port=p1,out_group=7", Command::Delete, &Ports).unwrap().flow;
    assert_eq!((f.table, f.cookie, f.cookie_mask), (Some(TableId(3)), Cookie(5), 0xff));
    assert_eq!((f.out_port, f.out_group), (Some(OfPort(1)), Some(GroupId(7))));
    let refused = |text: &str, command| parse_flow(text, command, &NoNames).unwrap_err().to_string();
    assert_eq!(refused("priority=5,ip", Command::Delete), "unknown keyword priority");
    assert!(parse_flow("priority=5,ip", Command::DeleteStrict, &NoNames).is_ok());
    assert_eq!(refused("hard_timeout=5", Command::Delete), "unknown keyword hard_timeout");
    assert_eq!(refused("send_flow_rem", Command::Delete), "field send_flow_rem missing value");
    assert_eq!(
        refused("cookie=5", Command::Delete),
        "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=5/-1)"
    );
    assert_eq!(refused("ip,actions=1", Command::Delete), "unknown keyword actions");
    assert_eq!(refused("out_port=foo", Command::Delete), "foo is not a valid OpenFlow port");
}

#[test]
fn modifications_look_for_one_cookie_and_set_another() {
    let f = parse_flow("cookie=1/-1,cookie=2,actions=normal", Command::Modify, &NoNames).unwrap().flow;
    assert_eq!((f.cookie, f.cookie_mask, f.new_cookie), (Cookie(1), u64::MAX, Some(Cookie(2))));
}

#[test]
fn files_have_comments_and_commands() {
    let text =
        "# all\n\n ip,actions=drop # this one\nadd\ttcp actions=1\nmodify_strict priority=4,ip,actions=2\ndelete ip\n";
    let flows = parse_flows(text, &NoNames).unwrap();
    let commands: Vec<_> = flows.iter().map(|f| f.flow.command).collect();
    assert_eq!(commands, [Command::Add, Command::Add, Command::ModifyStrict, Command::Delete]);
    let bad = parse_flows("ip,actions=drop\n\nfoo,actions=drop\n", &NoNames).unwrap_err();
    assert_eq!(bad.to_string(), "3: field foo missing value");
}

#[test]
fn bundles_mix_flows_and_groups() {
    let text = "flow add ip,actions=group:1\ngroup group_id=1,type=all,bucket=1\n\
                group insert_bucket group_id=1,command_bucket_id=last,bucket=2\ngroup delete\nflow delete ip";
    let changes = parse_bundle(text, &NoNames).unwrap();
    let groups: Vec<_> = changes.iter().filter_map(|c| if let Change::Group(g) = c { Some(g) } else { None }).collect();
    assert_eq!((changes.len(), groups.len()), (5, 3));
    assert_eq!(groups[1].command_bucket, Some(BucketRef::Last));
    assert_eq!((groups[2].command, groups[2].id), (GroupCommand::Delete, GroupId::ALL));
    let bad = parse_bundle("flow ip,actions=1\nfoo bar", &NoNames).unwrap_err();
    assert_eq!(bad.to_string(), "2: Unsupported bundle message type: foo");
}

#[test]
fn nesting_is_bounded() {
    let deep = |n: usize| format!("{}1{}", "clone(".repeat(n), ")".repeat(n));
    assert!(parse_actions(&deep(20), &NoNames).is_ok());
    assert!(parse_actions(&deep(100_000), &NoNames).is_err());
}

fn writable() -> impl Strategy<Value = FieldId> {
    let fields: Vec<_> = ALL
        .iter()
        .copied()
        .filter(|f| {
            let row = f.row();
            // What has no place, or writes more than its own bits, has no plain round trip,
            // and in_port_oxm cannot have every value.
            row.writable
                && *f != FieldId::InPortOxm
                && f.tun_metadata_index().is_none()
                && row.full_mask() == row.max()
                && row.bits >= 2
        })
        .collect();
    prop::sample::select(fields)
}

fn subfield() -> impl Strategy<Value = Subfield> {
    writable().prop_flat_map(|field| {
        let bits = Subfield::whole(field).n_bits;
        (0..bits).prop_flat_map(move |ofs| (Just(ofs), 1..=bits - ofs)).prop_map(move |(ofs, n_bits)| Subfield {
            field,
            ofs,
            n_bits,
        })
    })
}

fn register() -> impl Strategy<Value = Subfield> {
    (0usize..32, 0u16..32).prop_map(|(n, ofs)| Subfield { field: FieldId::reg(n).unwrap(), ofs, n_bits: 32 - ofs })
}

fn port() -> impl Strategy<Value = OfPort> {
    prop_oneof![
        (0u32..0xff00).prop_map(OfPort),
        prop::sample::select(vec![OfPort::LOCAL, OfPort::IN_PORT, OfPort::NORMAL, OfPort::FLOOD, OfPort::ALL])
    ]
}

fn set() -> impl Strategy<Value = Action> {
    (subfield(), any::<u128>(), any::<bool>()).prop_map(|(sf, value, load)| {
        let mask = sf.mask();
        let ports = matches!(sf.field, FieldId::InPort | FieldId::InPortOxm);
        let exact = sf.field.row().masking == flow::fields::Masking::Exact;
        // set_field tells a value that its field can have, whole when it cannot be masked.
        let load = load || ports || exact || sf.field.row().format == flow::fields::Format::TunnelFlags;
        let style = if load { SetStyle::Load } else { SetStyle::SetField };
        Action::SetField(SetField { field: sf.field, value: value & mask, mask, style })
    })
}

fn leaf() -> impl Strategy<Value = Action> {
    let data = prop::collection::vec(any::<u8>(), 1..20);
    prop_oneof![
        4 => set(),
        2 => port().prop_map(|port| Action::Output { port, max_len: 0 }),
        1 => any::<u16>().prop_map(|max_len| Action::Output { port: OfPort::CONTROLLER, max_len }),
        1 => subfield().prop_map(|src| Action::OutputReg { src, max_len: u16::MAX }),
        1 => (0u32..0xff00, 14u32..).prop_map(|(p, max_len)| Action::OutputTrunc { port: OfPort(p), max_len }),
        1 => (0u32..0xff00, any::<u32>()).prop_map(|(p, queue)| Action::Enqueue { port: OfPort(p), queue }),
        1 => (any::<u16>(), any::<u16>(), data, any::<bool>(), any::<u32>()).prop_map(|(max_len, id, userdata, pause, m)| {
            let reason = PacketInReason::InvalidTtl;
            let meter = (m % 2 == 0).then_some(MeterId(m));
            Action::Controller(Box::new(Controller { max_len, controller_id: id, reason, userdata, pause, meter }))
        }),
        1 => any::<u32>().prop_map(|n| Action::Group(GroupId(n))),
        1 => register().prop_map(Action::StackPush),
        1 => subfield().prop_map(Action::StackPop),
        1 => (register(), register()).prop_map(|(a, b)| {
            let n_bits = a.n_bits.min(b.n_bits);
            Action::Move { src: Subfield { n_bits, ..a }, dst: Subfield { n_bits, ..b } }
        }),
        1 => (0u16..4096, any::<bool>()).prop_map(|(vid, push)| Action::SetVlanVid { vid, push }),
        1 => (0u8..8, any::<bool>()).prop_map(|(pcp, push)| Action::SetVlanPcp { pcp, push }),
        1 => Just(Action::StripVlan),
        1 => Just(Action::PushVlan(0x88a8)),
        1 => Just(Action::PushMpls(0x8847)),
        1 => any::<u16>().prop_map(Action::PopMpls),
        1 => (0u32..1 << 20).prop_map(Action::SetMplsLabel),
        1 => prop::collection::vec(any::<u16>(), 0..4).prop_map(Action::DecTtl),
        1 => any::<u64>().prop_map(|id| Action::SetTunnel { id, wide: id > u64::from(u32::MAX) }),
        1 => any::<u32>().prop_map(Action::SetQueue),
        1 => (port(), 0u8..255, any::<bool>()).prop_map(|(in_port, t, with_ct)| {
            Action::Resubmit(Resubmit { in_port, table: Some(TableId(t)), with_ct })
        }),
        1 => any::<u8>().prop_map(|b| Action::Note(vec![b; 14])),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(idle, hard)| Action::FinTimeout { idle, hard }),
        1 => Just(Action::CtClear),
        1 => Just(Action::Exit),
        1 => (ct(), any::<bool>()).prop_map(|(ct, _)| ct),
    ]
}

fn ct() -> impl Strategy<Value = Action> {
    let range = prop_oneof![
        Just(NatRange::default()),
        (any::<u32>(), any::<u32>(), 1u16.., 1u16..).prop_map(|(a, b, p, q)| NatRange {
            addrs: Some((std::net::Ipv4Addr::from(a.min(b)).into(), std::net::Ipv4Addr::from(a.max(b)).into())),
            ports: Some((p.min(q), p.max(q))),
        }),
        (any::<u128>(), any::<u128>(), any::<bool>(), 1u16..).prop_map(|(a, b, ports, p)| NatRange {
            addrs: Some((std::net::Ipv6Addr::from(a.min(b)).into(), std::net::Ipv6Addr::from(a.max(b)).into())),
            ports: ports.then_some((p, p)),
        }),
    ];
    let nat = prop::option::of((range, any::<bool>(), 0..3).prop_map(|(range, persistent, port)| Nat {
        kind: NatKind::Source,
        range,
        persistent,
        hash: port == 1,
        random: port == 2,
    }));
    (any::<bool>(), any::<u16>(), prop::option::of(0u8..255), nat, any::<u32>()).prop_map(
        |(force, zone, table, nat, mark)| {
            let set = SetField {
                field: FieldId::CtMark,
                value: mark.into(),
                mask: u32::MAX.into(),
                style: SetStyle::SetField,
            };
            Action::Ct(Box::new(Ct {
                commit: true,
                force,
                zone: CtZone::Number(zone),
                table: table.map(TableId),
                alg: [0, 21, 69][mark as usize % 3],
                nat,
                exec: vec![Action::SetField(set)],
            }))
        },
    )
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let some = leaf().prop_recursive(2, 12, 4, |inner| prop::collection::vec(inner, 1..4).prop_map(Action::Clone));
    let last = prop::option::of((0u8..255).prop_map(|t| Action::GotoTable(TableId(t))));
    let metadata = prop::option::of((any::<u64>(), any::<u64>()));
    (prop::collection::vec(some, 0..8), prop::collection::vec(leaf(), 0..4), metadata, last).prop_map(
        |(mut list, set, metadata, last)| {
            list.extend((!set.is_empty()).then_some(Action::WriteActions(set)));
            list.extend(metadata.map(|(value, mask)| Action::WriteMetadata { value, mask }));
            list.extend(last);
            list
        },
    )
}

/// Matches on registers, metadata and addresses: the match's own text is tested where it is.
fn matching() -> impl Strategy<Value = Match> {
    (any::<[u32; 4]>(), any::<u64>(), any::<u32>(), 0u32..=32).prop_map(|(regs, metadata, ip, n)| {
        let (mut flow, mut mask) = (Flow::default(), Mask::default());
        let mut set = |f: FieldId, v: u128, m: u128| assert!(f.row().set_match(&mut flow, &mut mask, v & m, m));
        set(FieldId::EthType, 0x800, 0xffff);
        set(FieldId::Reg0, regs[0].into(), regs[1].into());
        set(FieldId::Reg7, regs[2].into(), regs[3].into());
        set(FieldId::Metadata, metadata.into(), u64::MAX.into());
        let bits = u32::MAX.checked_shl(32 - n).unwrap_or(0);
        set(FieldId::IpDst, ip.into(), bits.into());
        Match::new(&flow, &mask)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn actions_read_what_they_print(list in actions()) {
        let text = actions_text(&list, &NoNames);
        let read = parse_actions(&text, &NoNames);
        prop_assert_eq!(read.as_ref(), Ok(&list), "{}", text);
    }

    #[test]
    fn views_read_back_and_are_stable(list in actions(), m in matching()) {
        for version in [Version::Of10, Version::Of15] {
            // In OpenFlow 1.0's words goto_table is an action that may not follow an instruction.
            let mut list = list.clone();
            list.retain(|a| version != Version::Of10 || !matches!(a, Action::WriteMetadata { .. }));
            let text = actions_text_in(&list, version, &m, &NoNames);
            let read = match parse_actions(&text, &NoNames) {
                Ok(read) => read,
                // A load of a part of such a field is told as a set_field that cannot be read, as in the stock tool.
                Err(e) => {
                    prop_assert!(e.message().contains("invalid mask for field"), "{}: {}", e, text);
                    continue;
                }
            };
            // Seen again by the same client, nothing changes.
            prop_assert_eq!(actions_text_in(&read, version, &m, &NoNames), text);
        }
    }

    #[test]
    fn flows_read_what_they_print(
        m in matching(), priority: u16, cookie: u64, idle: u16, hard: u16, importance: u16, flag: bool, table in 0u8..255,
        stats: bool, packets: u64,
    ) {
        let flags = FlowFlags { send_flow_rem: flag, no_byte_counts: !flag, ..FlowFlags::default() };
        let f = FlowMod {
            table: Some(TableId(table)), priority, new_cookie: Some(Cookie(cookie)), idle_timeout: idle,
            hard_timeout: hard, importance, flags, matching: m, actions: vec![Action::Output { port: OfPort(3), max_len: 0 }],
            ..FlowMod::default()
        };
        let stats = stats.then_some(FlowStats { n_packets: packets, n_bytes: packets, ..FlowStats::default() });
        let text = flow_text(&f, stats.as_ref(), Version::Meant, &NoNames);
        let mut read = parse_flow(&text, Command::Add, &NoNames).unwrap().flow;
        // Zeros need not be told.
        read.table = read.table.or(Some(TableId(0)));
        read.new_cookie = read.new_cookie.or(Some(Cookie(0)));
        prop_assert_eq!(read, f, "{}", text);
    }

    #[test]
    fn groups_read_what_they_print(
        weights in prop::collection::vec((any::<u16>(), prop::option::of(0u32..0xff00), leaf()), 0..5),
        hash: bool, param: u64,
    ) {
        let mut text = String::from("group_id=5,type=select");
        if hash {
            text += &format!(",selection_method=hash,selection_method_param={param},fields(eth_dst,ip_src=255.255.0.0)");
        }
        for (weight, port, action) in &weights {
            text += &format!(",bucket=weight:{weight}");
            text += &port.map_or_else(String::new, |p| format!(",watch_port:{p}"));
            text += &format!(",{}", actions_text(std::slice::from_ref(action), &NoNames));
        }
        let g = parse_group(&text, GroupCommand::Add, &NoNames).unwrap();
        prop_assert_eq!(g.buckets.len(), weights.len());
        let printed = group_text(&g, Version::Meant, &NoNames);
        prop_assert_eq!(parse_group(&printed, GroupCommand::Add, &NoNames).unwrap(), g, "{}", printed);
    }

    #[test]
    fn no_text_brings_it_down(text in "\\PC{0,60}") {
        read_all(&text);
    }

    /// Pieces of the grammar put together at random get further than noise does.
    #[test]
    fn no_mixture_brings_it_down(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..14)) {
        read_all(&words.concat());
    }
}

const WORDS: [&str; 74] = [
    "actions=",
    "output",
    "output:",
    "set_field:",
    "load:",
    "move:",
    "->",
    "reg0",
    "[",
    "]",
    "..",
    "0",
    "5",
    "127",
    "128",
    "65535",
    "4294967295",
    "0xffffffffffffffffffffffffffffffff",
    "99999999999999999999999999999999999999999",
    "-1",
    "/",
    ",",
    "(",
    ")",
    "=",
    ":",
    " ",
    "\"",
    "\\",
    "é",
    "ct(",
    "nat(",
    "src=",
    "1.2.3.4",
    "::1",
    "[::1]",
    "-",
    "exec(",
    "learn(",
    "clone(",
    "write_actions(",
    "resubmit(",
    "note:",
    "controller(",
    "userdata=",
    "conjunction(",
    "1/2",
    "bundle(",
    "members:",
    "eth_src",
    "multipath(",
    "hrw",
    "tun_metadata0",
    "xxreg0",
    "NXM_OF_IN_PORT[]",
    "vlan_vid",
    "ip,",
    "tcp6,",
    "priority=",
    "cookie=",
    "table=",
    "bucket=",
    "group_id=",
    "type=all,",
    "type=select,",
    "weight:",
    "fields(",
    "encap(nsh(",
    "tlv(",
    "decap(packet_type(",
    "check_pkt_larger(",
    "dec_ttl(",
    "enqueue:",
    "00:11:22:33:44:55",
];

fn read_all(text: &str) {
    let _ = parse_actions(text, &Ports).map(|a| actions_text(&a, &Ports));
    for command in [Command::Add, Command::Modify, Command::Delete] {
        let _ = parse_flow(text, command, &Ports).map(|f| flow_text(&f.flow, None, Version::Of10, &Ports));
    }
    for command in [GroupCommand::Add, GroupCommand::Delete, GroupCommand::InsertBuckets] {
        let _ = parse_group(text, command, &Ports).map(|g| group_text(&g, Version::Of15, &Ports));
    }
    let _ = parse_bundle(text, &Ports);
}
