//! Every fuzz target by name: a function that takes any bytes and panics when something is wrong.
//!
//! The fuzzer runs them on what it thinks up ([`crate`], `scripts/fuzz`); `tests/corpus.rs` runs them on what it once
//! found, on stable Rust, in every test run. To add one: a row here, a `[[bin]]` with its file, a folder of inputs.

use std::path::Path;

use openflow::flow_mod::Command;
use openflow::text::{NoNames, flow_mod_text, parse_flow};
use openflow::view::Version;
use openflow::wire::{Connection, Frames, Version as Wire, decode, encode, error_reply};
use packet::build::{self, Builder, Layer};
use packet::device::TxCaps;
use packet::eth::MacAddr;
use packet::frame::{L4Sum, Offload, Version as IpVersion};
use packet::offload::{Resolved, resolve};
use packet::{Frame, vlan};

// The root's readers are taken as files: the framing is nobody's API, and all that the root links with need not be built.
#[path = "../../src/config/mod.rs"]
#[allow(unreachable_pub, unused_imports, dead_code, reason = "written for the crate it is part of")]
mod config;
#[path = "../../src/control/frame.rs"]
#[allow(unreachable_pub, dead_code, reason = "written for the module it is part of")]
mod frame;

#[path = "database.rs"]
mod database;

/// A target: its name, which is its corpus folder's, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// What is not a packet format; those are `packet::fuzz::TARGETS`.
const OTHERS: &[Target] = &[
    ("extract", flow::fuzz::extract),
    ("match_text", flow::fuzz::text),
    ("flow_text", flow_text),
    ("action_text", action_text),
    ("openflow", openflow_messages),
    ("offload", offload),
    ("control", control_stream),
    ("config", config_file),
    ("ovsdb", database::client),
    ("ovsdb_condition", database::condition),
    ("ovsdb_file", database::file),
    ("ovsdb_schema", database::schema),
    ("ovsdb_transact", database::transact),
    ("log_spec", log_spec),
];

/// Every target.
pub fn all() -> impl Iterator<Item = Target> {
    packet::fuzz::TARGETS.iter().chain(OTHERS).copied()
}

/// Flows as a user writes them: what is read is printed so that it reads the same.
fn flow_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for command in [Command::Add, Command::DeleteStrict] {
        let Ok(read) = parse_flow(text, command, &NoNames) else { continue };
        for version in [Version::Of10, Version::Of15] {
            let _ = flow_mod_text(&read.flow, version, &NoNames);
        }
    }
}

/// Actions and instructions, each printed again.
fn action_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(actions) = openflow::action::parse_actions(text, &NoNames) else { return };
    let printed = openflow::action::actions_text(&actions, &NoNames);
    match openflow::action::parse_actions(&printed, &NoNames) {
        Ok(again) => assert_eq!(openflow::action::actions_text(&again, &NoNames), printed),
        // the stock program prints a value without any bit so, and does not read it either
        Err(e) => assert!(printed.contains("ANY->"), "{printed}: {e:?}"),
    }
}

/// A stream of OpenFlow messages: each is a value or an error that can be told; a value is written so that it reads the same.
fn openflow_messages(bytes: &[u8]) {
    let mut frames = Frames::new();
    frames.push(bytes);
    while let Ok(Some(message)) = frames.message() {
        for table_id in [false, true] {
            let on = Connection { table_id, tlv: None };
            let (version, xid, value) = match decode(message, on) {
                Ok(read) => read,
                Err(e) => {
                    assert!(error_reply(e.code, Wire::Of13, message).len() >= 12);
                    continue;
                }
            };
            // what one version has no words for is refused
            let Ok(written) = encode(&value, version, xid) else { continue };
            let Ok((_, again, value)) = decode(&written, on) else { panic!("cannot be read: {written:02x?}") };
            assert_eq!(again, xid);
            // what was odd is in order now
            let Ok(twice) = encode(&value, version, xid) else { panic!("cannot be written again: {value:?}") };
            assert_eq!(twice, written);
        }
    }
}

/// A well-formed frame of which the first bytes choose the shape, cut into TCP segments and summed in software: whatever
/// the shape, no payload is lost and no segment is too long.
fn offload(bytes: &[u8]) {
    let [shape, mss, cut, max, payload @ ..] = bytes else { return };
    let bit = |n: u8| shape >> n & 1 != 0;
    let mut packet = build::eth(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    if bit(0) {
        packet = packet.qinq(vlan::Tci(5));
    }
    if bit(1) {
        packet = packet.vlan(vlan::Tci(6));
    }
    let v6 = bit(2);
    packet = if v6 {
        packet.ipv6([0xfd00, 0, 0, 0, 0, 0, 0, 1].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 2].into())
    } else {
        packet.ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into()).change(|layer| {
            if let Layer::Ipv4(v) = layer {
                v.options = if bit(3) { vec![1; 8] } else { vec![] };
            }
        })
    };
    let l4_sum = match shape >> 4 & 3 {
        0 => L4Sum::Udp,
        1 => L4Sum::Sctp,
        _ => L4Sum::Tcp,
    };
    let payload = payload.repeat(if bit(6) { 40 } else { 1 });
    let whole = transport(packet, l4_sum).payload(&payload);
    let Ok(wire) = whole.bytes() else { return };
    let (first, rest) = wire.split_at((usize::from(*cut) * 2).min(wire.len()));
    let mut frame = Frame::with_headroom(first, 128);
    if !rest.is_empty() && frame.try_chain(Frame::with_headroom(rest, 0)).is_err() {
        return;
    }
    let segment = (l4_sum == L4Sum::Tcp && bit(7)).then_some(u16::from(*mss) * 8 + 8);
    let version = Some(if v6 { IpVersion::V6 } else { IpVersion::V4 });
    let (l2_len, l3_len) = (14 + 4 * (u16::from(bit(0)) + u16::from(bit(1))), lengths(v6, bit(3)));
    frame.set_offload(Offload {
        ip_sum: !v6,
        l4_sum,
        segment,
        version,
        l2_len: l2_len.try_into().unwrap_or(0),
        l3_len,
        ..Offload::default()
    });
    let max_frame = 600 + u32::from(*max) * 32;
    let caps = TxCaps { max_frame, multi_segment: bit(5), ..TxCaps::NONE };
    match resolve(frame, &caps) {
        Ok(Resolved::Frame(frame)) => assert_eq!(frame.len(), wire.len(), "a frame that is not cut keeps its length"),
        Ok(Resolved::Segments(segments)) => {
            let (mut carried, mut header) = (0, None);
            for frame in segments.flatten() {
                let bytes = frame.to_vec();
                assert!(bytes.len() <= max_frame as usize, "a segment is too long");
                let here = *header.get_or_insert(wire.len() - payload.len());
                carried += bytes.len().checked_sub(here).expect("a segment without its headers");
            }
            assert_eq!(carried, payload.len(), "payload was lost or doubled");
        }
        Err(_) => {}
    }
}

fn lengths(v6: bool, options: bool) -> u16 {
    match (v6, options) {
        (true, _) => 40,
        (false, true) => 28,
        (false, false) => 20,
    }
}

fn transport(packet: Builder, kind: L4Sum) -> Builder {
    match kind {
        L4Sum::Udp => packet.udp(1000, 2000),
        L4Sum::Sctp => packet.sctp(1000, 2000),
        _ => packet.tcp(1000, 2000),
    }
}

/// What a control connection sends. The first byte says how it arrives in pieces, which must make no difference.
fn control_stream(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else { return };
    let requests = |piece: usize| {
        let (mut framer, mut out) = (frame::Framer::default(), Vec::new());
        for part in stream.chunks(piece) {
            framer.buffer().extend_from_slice(part);
            loop {
                match framer.next() {
                    Ok(Some(request)) => out.push((request.method.clone(), request.arguments())),
                    Ok(None) => break,
                    Err(_) => return (out, true),
                }
            }
        }
        (out, false)
    };
    assert_eq!(requests(stream.len().max(1)), requests(usize::from(*piece) + 1), "pieces change what is read");
}

/// A configuration: whatever it says, an error has a line that is in the file.
fn config_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(e) = config::Config::parse(text, Path::new("fuzz.toml")) {
        let said = e.to_string();
        let line: usize = said.split(':').nth(1).and_then(|n| n.parse().ok()).expect("an error without a line");
        assert!(line >= 1 && line <= text.lines().count() + 1, "{said}");
    }
}

/// What `vlog/set` takes: levels, patterns, facilities.
fn log_spec(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut options = base::log::Options::new("fuzz", base::clock::Clock::real());
    options.modules = vec!["bridge".into()];
    options.console = base::log::Level::Off;
    options.syslog = base::log::Level::Off;
    let logger = base::log::Logger::new(options);
    if logger.set(text).is_ok() {
        let _ = (logger.list(), logger.list_pattern());
    }
}
