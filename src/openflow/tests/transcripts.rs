//! What the stock ovs-ofctl printed, against what we print (see transcripts/record).

use openflow::flow_mod::Command;
use openflow::group_mod::GroupCommand;
use openflow::text::{NoNames, flow_mod_text, group_text, parse_flow, parse_group};
use openflow::view::Version;

/// An entry of a transcript: what went in, what came out of the stock tool, and of ours where that differs on purpose.
struct Entry<'a> {
    input: &'a str,
    stock: &'a str,
    ours: Option<&'a str>,
}

fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        if let Some(input) = line.strip_prefix("> ") {
            entries.push(Entry { input, stock: "", ours: None });
        } else if let Some(last) = entries.last_mut() {
            match line.as_bytes().first() {
                Some(b'=' | b'!') => last.stock = line,
                Some(b'+' | b'-') => last.ours = Some(line),
                _ => {}
            }
        }
    }
    entries
}

fn our_group(input: &str) -> String {
    match parse_group(input, GroupCommand::Add, &NoNames) {
        Err(e) => format!("! {e}"),
        Ok(g) => format!("= ADD {}", group_text(&g, Version::Of15, &NoNames)),
    }
}

fn ours(input: &str, version: Version) -> String {
    match parse_flow(input, Command::Add, &NoNames) {
        Err(e) => format!("! {e}"),
        Ok(f) if version == Version::Of15 && !f.consistent => "! no usable protocol".to_owned(),
        Ok(f) => format!("= {}", flow_mod_text(&f.flow, version, &NoNames)),
    }
}

/// Errors that have a code agree when the code does; we say more.
fn agree(got: &str, want: &str) -> bool {
    let code = |s: &str| s.starts_with('!').then(|| s.rsplit_once('(').map(|(_, c)| c.to_owned())).flatten();
    got == want
        || match (code(got), code(want)) {
            (Some(g), Some(w)) => g == w && w.starts_with("OFP"),
            _ => want.contains("cannot set CT fields") && got.contains("cannot set CT fields"),
        }
}

fn run(name: &str, text: &str) {
    let version = if text.starts_with("# ovs-ofctl -O OpenFlow15") { Version::Of15 } else { Version::Of10 };
    let (mut wrong, mut total) = (Vec::new(), 0);
    for e in entries(text) {
        let want = match e.ours {
            Some(ours) => ours.replacen('+', "=", 1).replacen('-', "!", usize::from(ours.starts_with('-'))),
            None => e.stock.to_owned(),
        };
        total += 1;
        let groups = text.lines().next().is_some_and(|l| l.ends_with("parse-group"));
        let got = if groups { our_group(e.input) } else { ours(e.input, version) };
        if !agree(&got, &want) {
            wrong.push(format!("> {}\n  want {want}\n  got  {got}", e.input));
        }
    }
    assert!(total > 20, "{name}: hardly any entries");
    assert!(wrong.is_empty(), "{name}: {} of {total} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn actions_in_openflow_15() {
    run("actions-of15", include_str!("transcripts/actions-of15.txt"));
}

#[test]
fn actions_in_openflow_10() {
    run("actions-of10", include_str!("transcripts/actions-of10.txt"));
}

#[test]
fn flows_in_openflow_15() {
    run("flows-of15", include_str!("transcripts/flows-of15.txt"));
}

#[test]
fn flows_in_openflow_10() {
    run("flows-of10", include_str!("transcripts/flows-of10.txt"));
}

#[test]
fn groups_in_openflow_15() {
    run("groups-of15", include_str!("transcripts/groups-of15.txt"));
}
