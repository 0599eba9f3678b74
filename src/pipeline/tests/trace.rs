//! Traces against those of the stock switch: same story, same datapath actions, a megaflow that is no narrower.
//!
//! `transcripts/trace.txt` holds tables (`flow`, `group`), packets (`#### trace`) and what `ovs-appctl ofproto/trace` of
//! Open vSwitch 3.1 said. Where our actions differ on purpose, a line `#### ours` before it says what we say and why.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use base::clock::Instant;
use dpif::PortNo;
use flow::Mask;
use flow::layout as l;
use flow::text::NoNames;
use flow::text::parse::parse_match;
use openflow::OfPort;
use openflow::text::{NoNames as NoPorts, parse_flows, parse_groups};
use pipeline::{BridgeConfig, Config, Manager, PortConfig};

const NOW: Instant = Instant::from_millis(1000);

fn manager() -> Manager {
    let (mut m, _) = Manager::new(&Config::default()).unwrap();
    m.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, NOW).unwrap();
    m.add_port("br0", PortConfig::device("br0", OfPort::LOCAL, PortNo(100))).unwrap();
    for i in 1..5 {
        m.add_port("br0", PortConfig::device(&format!("p{i}"), OfPort(i), PortNo(i))).unwrap();
    }
    m
}

/// The numbers of recirculations and of what goes to controllers are nobody's business.
fn anonymous(line: &str) -> String {
    let mut out = line.to_owned();
    for (key, ends) in [("recirc(0x", ")"), ("recirc_id=0x", ",;"), ("continuation=0,recirc_id=", ",")] {
        let Some(at) = out.find(key).map(|i| i + key.len()) else { continue };
        let end = out[at..].find(|c| ends.contains(c)).map_or(out.len(), |i| at + i);
        out.replace_range(at..end, "N");
    }
    out
}

fn split<'a>(text: &'a str, key: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    text.lines().partition(|line| line.starts_with(key))
}

/// The mask that the text of a megaflow says.
fn mask_of(megaflow: &str) -> Mask {
    let (_, text) = megaflow.split_once(": ").unwrap();
    // the inner tag has no name that can be read
    let text = text
        .split(',')
        .filter(|part| !part.starts_with("vlan_tci1") && !part.starts_with("mpls_lse"))
        .collect::<Vec<_>>()
        .join(",");
    parse_match(&text, &NoNames).unwrap_or_else(|e| panic!("{text}: {e}")).matching.mask()
}

#[test]
fn as_the_stock_switch() {
    let text = include_str!("transcripts/trace.txt");
    let (mut failures, mut checked) = (String::new(), 0);
    let mut m = manager();
    let mut ours = None;
    for part in text.split("#### ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap();
        if head == "tables" {
            m = manager();
            // groups first: flows that send to them are refused without
            let (groups, flows): (Vec<_>, Vec<_>) = body.lines().partition(|line| line.starts_with("group "));
            for line in groups.into_iter().chain(flows) {
                let (kind, rest) = line.split_once(' ').unwrap();
                if kind == "group" {
                    for g in parse_groups(rest, &NoPorts).unwrap() {
                        m.group_mod("br0", &g, NOW).unwrap();
                    }
                } else {
                    for f in parse_flows(rest, &NoPorts).unwrap() {
                        m.flow_mod("br0", &f.flow, NOW).unwrap();
                    }
                }
            }
            continue;
        }
        if let Some(actions) = head.strip_prefix("ours ") {
            ours = Some(format!("Datapath actions: {actions}"));
            continue;
        }
        let packet = head.strip_prefix("trace ").unwrap();
        let parsed = parse_match(packet, &NoNames).unwrap();
        let flow = parsed.matching.expand().0;
        let got = m.trace("br0", &flow, None, NOW).unwrap();
        checked += 1;
        let (stock_mega, stock) = split(body.trim_end(), "Megaflow:");
        let (mega, story) = split(&got, "Megaflow:");
        let mut want: Vec<String> = stock.iter().map(|s| anonymous(s)).collect();
        let story: Vec<String> = story.iter().map(|s| anonymous(s)).collect();
        if let (Some(ours), Some(last)) = (ours.take(), want.last_mut()) {
            *last = ours;
        }
        if story != want {
            failures += &format!("--- {packet}\nwant:\n{}\ngot:\n{got}\n", want.join("\n"));
        }
        for (a, b) in mega.iter().zip(&stock_mega) {
            let (a_mask, b_mask) = (mask_of(a), mask_of(b));
            let narrower = (0..l::KEY_WORDS).filter(|i| a_mask.w[*i] & !b_mask.w[*i] != 0);
            for i in narrower {
                // Stock leaves the tag out of the text when its whole VID is wildcarded, though it looks at it.
                if i != usize::from(l::VLAN_TCI.word) || a_mask.w[i] & !b_mask.w[i] & !l::VLAN_TCI.bits() != 0 {
                    failures += &format!("--- {packet}\n{a}\nis narrower in word {i} than\n{b}\n");
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(checked > 30, "{checked} traces");
}
