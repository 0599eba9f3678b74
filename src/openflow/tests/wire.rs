//! Bytes to messages and back: what a stock ovs-ofctl sends, bytes of any kind, every message cut short.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use openflow::wire::codes;
use openflow::wire::{Connection, ErrorCode, Message, Version, Xid, decode, encode, encode_all};
use proptest::prelude::*;

/// What ovs-ofctl 3.1.0 sent for the command that precedes each line, transaction ids set to 0.
const CAPTURES: &str = include_str!("wire.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| b.is_ascii_hexdigit()).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

fn captures() -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<_> = CAPTURES.lines().collect();
    lines.chunks(2).map(|c| (c[0], bytes(c[1]))).collect()
}

/// The stock switch's `ovs-ofctl` has these connections know that the command's upper byte is a table.
const ON: Connection = Connection { table_id: true, tlv: None };

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn what_stock_sends_is_written_as_it_was() {
    let mut wrong = Vec::new();
    for (command, sent) in captures() {
        match decode(&sent, Connection { table_id: sent[0] == 1 && command.contains("table="), tlv: None }) {
            Err(e) => wrong.push(format!("{command}\n  refused: {e}")),
            Ok((version, xid, message)) => match encode(&message, version, xid) {
                Ok(again) if again == sent => {}
                Ok(again) => wrong.push(format!("{command}\n  {}\n  {}", hex(&sent), hex(&again))),
                Err(e) => wrong.push(format!("{command}\n  not written: {e}")),
            },
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Reads, writes and reads again: the values are the same.
fn settles(sent: &[u8]) {
    let Ok((version, xid, message)) = decode(sent, ON) else { return };
    // what one version's extension can say twice over may be too long in its own words
    let Ok(written) = encode_all(&message, version, xid, None) else { return };
    let [written] = written.as_slice() else { return };
    let (.., again) = decode(written, ON).unwrap_or_else(|e| panic!("{e}\n{}\n{message:?}", hex(written)));
    let twice = encode(&again, version, xid).unwrap();
    assert_eq!(hex(&twice), hex(written), "{message:?}");
}

#[test]
fn every_message_cut_short_is_refused_or_another() {
    for (_, sent) in captures() {
        for len in 8..sent.len() {
            let mut cut = sent[..len].to_vec();
            cut[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            settles(&cut);
            // a length that is not the message's own is never taken
            assert!(decode(&sent[..len], ON).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_message_or_an_error(
        version in 1u8..=6, kind in 0u8..40, body in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let len = (8 + body.len()) as u16;
        let mut m = vec![version, kind];
        m.extend(len.to_be_bytes());
        m.extend([0; 4]);
        m.extend(body);
        settles(&m);
    }

    #[test]
    fn a_changed_message_is_a_message_or_an_error(
        n in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut all: Vec<_> = captures().into_iter().map(|(_, sent)| sent).collect();
        all.extend(MORE.lines().filter_map(|l| l.strip_prefix("# ")).map(bytes));
        let mut m = all[n.index(all.len())].clone();
        for (at, byte) in changes {
            let at = at.index(m.len());
            if !(2..4).contains(&at) {
                m[at] = byte;
            }
        }
        settles(&m);
    }
}

#[test]
fn an_error_has_the_numbers_of_its_version() {
    let numbers = |code: ErrorCode, v| code.numbers(v).map(|n| (n.vendor, n.kind, n.code));
    assert_eq!(numbers(codes::OFPBIC_DUP_INST, Version::Of10), None);
    assert_eq!(numbers(codes::OFPBIC_DUP_INST, Version::Of11), Some((codes::NX, 3, 256)));
    assert_eq!(numbers(codes::OFPBIC_DUP_INST, Version::Of13), Some((codes::ONF, 2600, 0)));
    assert_eq!(numbers(codes::OFPBIC_DUP_INST, Version::Of14), Some((0, 3, 9)));
    for code in codes::ALL {
        for v in Version::ALL {
            let Some(n) = code.numbers(v) else { continue };
            let found = ErrorCode::by_numbers(v, n).unwrap();
            // some have the number of a broader one
            assert_eq!(found.numbers(v), Some(n), "{code} {found}");
            let reply = openflow::wire::error_reply(*code, v, &[v.wire(), 14, 0, 8, 1, 2, 3, 4]);
            let (_, xid, message) = decode(&reply, ON).unwrap();
            assert_eq!(xid, Xid(0x0102_0304));
            assert!(matches!(message, Message::Error(e) if e.code == Some(found) && e.data.len() == 8));
        }
    }
}

#[test]
fn long_answers_are_cut_into_messages() {
    use openflow::wire::message::Part;
    use openflow::wire::stats::FlowEntry;
    let entries: Vec<_> = (0..3000).map(|n| FlowEntry { priority: n, ..FlowEntry::default() }).collect();
    for v in Version::ALL {
        let reply = Message::FlowStatsReply { flows: Part::all(entries.clone()), nx: false };
        let all = encode_all(&reply, v, Xid(1), None).unwrap();
        assert!(all.len() > 1);
        let mut got = Vec::new();
        for (i, m) in all.iter().enumerate() {
            let Ok((_, _, Message::FlowStatsReply { flows, .. })) = decode(m, ON) else { panic!() };
            assert_eq!(flows.more, i + 1 < all.len());
            got.extend(flows.entries.iter().map(|e| e.priority));
        }
        assert!(got.into_iter().eq(0..3000));
    }
}

/// What ovs-ofctl 3.1.0 says of what it sent, under the command's own line.
const TOLD: &str = include_str!("told.txt");

#[test]
fn messages_are_told_as_stock_tells_them() {
    let told = openflow::text::message::Teller { names: &openflow::text::NoNames, verbosity: 0, on: ON };
    let captures: std::collections::HashMap<_, _> = captures().into_iter().collect();
    let mut seen = 0;
    for block in TOLD.trim_start_matches("# ").split("\n# ") {
        let (command, text) = block.split_once('\n').unwrap();
        let sent = &captures[format!("# {command}").as_str()];
        assert_eq!(told.tell(sent).text.trim_end(), text.trim_end(), "{command}");
        seen += 1;
    }
    assert!(seen > 150);
}

/// Messages of which ovs-ofctl sends none or few, and what ovs-ofctl 3.1.0 says of them.
const MORE: &str = include_str!("more.txt");

#[test]
fn messages_of_all_kinds_are_told_and_written() {
    let told = openflow::text::message::Teller { names: &openflow::text::NoNames, verbosity: 0, on: ON };
    let mut wrong = Vec::new();
    for block in MORE.trim_start_matches("# ").split("\n# ") {
        let (sent, text) = block.split_once('\n').unwrap();
        let sent = bytes(sent);
        let ours = told.tell(&sent).text;
        if ours.trim_end() != text.trim_end() {
            wrong.push(format!("{}\n{text}\n{ours}", hex(&sent)));
        }
        let again = decode(&sent, ON).and_then(|(version, xid, message)| encode(&message, version, xid));
        if again.as_ref().ok() != Some(&sent) {
            wrong.push(format!("{}\n{:?}", hex(&sent), again.map(|a| hex(&a))));
        }
        for len in 8..sent.len() {
            let mut cut = sent[..len].to_vec();
            cut[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            settles(&cut);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_no_message_is_told_too() {
    let told = openflow::text::message::Teller { names: &openflow::text::NoNames, verbosity: 0, on: ON };
    let text = |hex: &str| told.tell(&bytes(hex)).text;
    assert_eq!(text(""), "OpenFlow message is empty\n");
    assert!(text("aabb").starts_with("OpenFlow packet too short (only 2 bytes):\n00000000  aa bb "));
    assert!(text("0110ccddeeff0011").starts_with("(***truncated to 8 bytes from 52445***)\n"));
    assert!(text("01100009eeff00112233").starts_with("(***only uses 9 bytes out of 10***)\n"));
    assert_eq!(text("0100000800000000"), "OFPT_HELLO (xid=0x0):\n version bitmap: 0x01\n");
}
