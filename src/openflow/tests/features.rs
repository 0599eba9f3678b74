//! docs/openflow.md is what the tables of this crate say: messages, actions and fields by version.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use flow::fields::{Field, Masking, prereq::Prereq};
use openflow::flow_mod::Command;
use openflow::text::{NoNames, parse_flow};
use openflow::wire::kind::{Kind, Number};
use openflow::wire::{Version, action};
use std::fmt::Write as _;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openflow.md");

const HEAD: &str = "# OpenFlow by version

Messages, actions and fields that Ironbridge reads and writes, in each version of the protocol, with the extensions of Nicira
(NX) and of the ONF. This page is made from the tables of `src/openflow` and `src/flow`: `UPDATE_DOCS=1 cargo test -p openflow
--test features` writes it, and the test fails while it is out of date. What the switch itself does not carry out yet is told in
[conformance.md](conformance.md); it answers such requests with an error.

The versions that a bridge speaks are in its column `protocols`; without it, all of them. `ovs-ofctl -O` says which of them a
command uses.
";

/// An example of each action, in a match where it makes sense.
const ACTIONS: &[(&str, &str)] = &[
    ("output", "actions=output:1"),
    ("output, of a field", "actions=output:NXM_NX_REG0[]"),
    ("output, truncated", "actions=output(port=1,max_len=100)"),
    ("controller", "actions=controller"),
    ("controller, with more than a length", "actions=controller(userdata=01,pause)"),
    ("enqueue", "actions=enqueue:1:2"),
    ("bundle", "actions=bundle(eth_src,0,hrw,ofport,members:1,2)"),
    ("bundle_load", "actions=bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:1,2)"),
    ("group", "actions=group:1"),
    ("strip_vlan, pop_vlan", "dl_vlan=1,actions=strip_vlan"),
    ("push_vlan", "actions=push_vlan:0x8100"),
    ("push_mpls", "actions=push_mpls:0x8847"),
    ("pop_mpls", "mpls,actions=pop_mpls:0x0800"),
    ("encap", "actions=encap(nsh(md_type=1))"),
    ("decap", "actions=decap"),
    ("load", "actions=load:1->NXM_NX_REG0[0..3]"),
    ("set_field", "actions=set_field:00:00:00:00:00:01->eth_src"),
    ("set_field, with a mask", "actions=set_field:1/3->reg0"),
    ("move", "actions=move:NXM_NX_REG0[]->NXM_NX_REG1[]"),
    ("mod_dl_src, mod_dl_dst", "actions=mod_dl_src:00:00:00:00:00:01"),
    ("mod_nw_src, mod_nw_dst", "ip,actions=mod_nw_src:10.0.0.1"),
    ("mod_nw_tos", "ip,actions=mod_nw_tos:8"),
    ("mod_nw_ecn", "ip,actions=mod_nw_ecn:1"),
    ("mod_nw_ttl", "ip,actions=mod_nw_ttl:1"),
    ("mod_tp_src, mod_tp_dst", "tcp,actions=mod_tp_src:1"),
    ("mod_vlan_vid, set_vlan_vid", "dl_vlan=1,actions=mod_vlan_vid:2"),
    ("mod_vlan_pcp, set_vlan_pcp", "dl_vlan=1,actions=mod_vlan_pcp:2"),
    ("set_mpls_label", "mpls,actions=set_mpls_label:1"),
    ("set_mpls_tc", "mpls,actions=set_mpls_tc:1"),
    ("set_mpls_ttl", "mpls,actions=set_mpls_ttl:1"),
    ("dec_ttl", "ip,actions=dec_ttl"),
    ("dec_ttl, with controllers", "ip,actions=dec_ttl(1,2)"),
    ("dec_mpls_ttl", "mpls,actions=dec_mpls_ttl"),
    ("dec_nsh_ttl", "dl_type=0x894f,actions=dec_nsh_ttl"),
    ("set_tunnel, set_tunnel64", "actions=set_tunnel:1"),
    ("set_queue", "actions=set_queue:1"),
    ("pop_queue", "actions=pop_queue"),
    ("delete_field", "actions=delete_field:tun_metadata0"),
    ("push, pop", "actions=push:NXM_NX_REG0[]"),
    ("multipath", "actions=multipath(eth_src,0,modulo_n,2,0,NXM_NX_REG0[])"),
    ("check_pkt_larger", "actions=check_pkt_larger(100)->NXM_NX_REG0[0]"),
    ("resubmit", "actions=resubmit(,1)"),
    ("resubmit, with ct", "ct_state=+trk+est,ip,actions=resubmit(,1,ct)"),
    ("clone", "actions=clone(output:1)"),
    ("learn", "actions=learn(table=1,output:NXM_OF_IN_PORT[])"),
    ("learn, with limit or result_dst", "actions=learn(table=1,limit=2,output:NXM_OF_IN_PORT[])"),
    ("conjunction", "actions=conjunction(1,1/2)"),
    ("fin_timeout", "tcp,actions=fin_timeout(idle_timeout=1)"),
    ("sample", "actions=sample(probability=1)"),
    ("note", "actions=note:00"),
    ("exit", "actions=exit"),
    ("ct", "ip,actions=ct(commit)"),
    ("ct_clear", "actions=ct_clear"),
    ("meter", "actions=meter:1"),
    ("clear_actions", "actions=clear_actions"),
    ("write_actions", "actions=write_actions(output:1)"),
    ("write_metadata", "actions=write_metadata:1"),
    ("goto_table", "actions=goto_table:1"),
];

fn row(out: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn heading(out: &mut String, title: &str, words: &str, first: &[&str]) {
    let versions = Version::ALL.map(|v| format!("1.{}", v.wire() - 1));
    let _ = write!(out, "\n## {title}\n\n{words}\n\n");
    row(out, first.iter().map(|c| (*c).to_owned()).chain(versions));
    row(out, (0..first.len() + Version::ALL.len()).map(|_| "---".to_owned()));
}

fn number(number: Number) -> String {
    match number {
        Number::T(n) => n.to_string(),
        Number::X(who, n) => format!("{} {n}", experimenter(who)),
        Number::Req(n) | Number::Rep(n) => format!("part {n}"),
        Number::XReq(who, n) | Number::XRep(who, n) => format!("part {} {n}", experimenter(who)),
    }
}

fn experimenter(who: u32) -> &'static str {
    if who == openflow::wire::codes::NX { "NX" } else { "ONF" }
}

/// How an action is said in a version: by one of its own, an instruction, or an extension's.
fn said(text: &str, version: Version) -> String {
    let flow = parse_flow(text, Command::Add, &NoNames).expect(text);
    if !flow.formats.versions().has(version) {
        return "–".into();
    }
    let instruction = ["clear_actions", "write_actions", "write_metadata", "goto_table", "meter"];
    if version == Version::Of10 && ["clear_actions", "write_actions"].iter().any(|name| text.contains(name)) {
        return "–".into();
    }
    if instruction.iter().any(|name| text.contains(name)) {
        return if version == Version::Of10 { "NX" } else { "yes" }.into();
    }
    let mut bytes = Vec::new();
    action::write_list(&mut bytes, &flow.flow.actions, &flow.flow.matching, action::Cx::new(version, None));
    let experimenter = bytes.first_chunk() == Some(&[0xff, 0xff]);
    let who = bytes.get(4..8).map(|b| b == openflow::wire::codes::NX.to_be_bytes());
    match (experimenter, who) {
        (true, Some(true)) => "NX",
        (true, _) => "ONF",
        (false, _) => "yes",
    }
    .into()
}

fn needs(prereq: Prereq) -> String {
    match prereq {
        Prereq::None => String::new(),
        other => format!("{other:?}"),
    }
}

fn page() -> String {
    let mut out = HEAD.to_owned();
    heading(&mut out, "Messages", "By type; \"part\" is a multipart's type.", &["message"]);
    for kind in Kind::all() {
        let cells = Version::ALL.map(|v| kind.number(v).map_or("–".into(), number));
        row(&mut out, [format!("`{}`", kind.name())].into_iter().chain(cells));
    }
    let words = "\"yes\": an action or instruction of the version's own; NX, ONF: an extension's; –: the version cannot say it. What a \
                 version lacks is told in its own words where it has some: `dump-flows` of OpenFlow 1.0 shows a `set_field` as `load`.";
    heading(&mut out, "Actions", words, &["action"]);
    for (name, text) in ACTIONS {
        row(&mut out, [(*name).to_owned()].into_iter().chain(Version::ALL.map(|v| said(text, v))));
    }
    out += "\n## Fields\n\n";
    row(&mut out, ["field", "bytes", "mask", "needs", "may be set", "code points (first version)"].map(str::to_owned));
    row(&mut out, (0..6).map(|_| "---".to_owned()));
    for f in Field::all() {
        let name = f.alias.map_or(format!("`{}`", f.name), |alias| format!("`{}`, `{alias}`", f.name));
        let mask = if f.masking == Masking::Exact { "no" } else { "any bits" };
        let points = f.oxm.iter().map(|o| match o.since {
            0x01 => o.name.to_owned(),
            since => format!("{} (1.{})", o.name, since - 1),
        });
        let set = if f.writable { "yes" } else { "no" };
        let cells = [f.bytes.to_string(), mask.into(), needs(f.prereq), set.into()];
        let points = points.collect::<Vec<_>>().join(", ");
        row(&mut out, [name].into_iter().chain(cells).chain([points]));
    }
    out
}

#[test]
fn the_page_is_up_to_date() {
    let wanted = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = there.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    assert!(there == wanted, "docs/openflow.md is out of date, UPDATE_DOCS=1 writes it: {differs:?}");
}
