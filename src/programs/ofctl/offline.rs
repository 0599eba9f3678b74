//! Commands that need no switch.

use super::bytes::{differences, parse};
use super::link::{log, tell};
use super::{Call, Done};
use crate::setup::print;
use openflow::text::NoNames;
use openflow::text::message::actions_text;
use openflow::text::scan::Items;
use openflow::wire::action::{Cx, Place, read_list, write_list};
use openflow::wire::bytes::Bytes;
use openflow::wire::text::hex_dump;
use openflow::wire::{Error, ErrorCode, Message, Version, Versions, Xid, encode, error_reply, instruction};
use openflow::{Action, TableId};
use std::io::Read;

pub(super) fn ofp_print(call: &Call) -> Done {
    let (hex, rest) = call.arguments.split_first().ok_or("a message is missing")?;
    let verbosity = match rest.first() {
        Some(text) => text.parse().map_err(|_| format!("{text}: not a verbosity"))?,
        None => call.verbosity,
    };
    let read;
    let hex = match hex.as_str() {
        "-" => {
            read = String::from_utf8(contents("-")?).map_err(|e| e.to_string())?;
            read.as_str()
        }
        hex => hex,
    };
    print(&tell(&parse(hex)?, verbosity));
    Ok(())
}

/// Reads a file, or standard input for `-`.
pub(super) fn contents(path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = match path {
        "-" => std::io::stdin().lock().read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)),
    };
    result.map(|_| bytes).map_err(|e| format!("{path}: {e}"))
}

pub(super) fn ofp_parse(call: &Call) -> Done {
    let path = call.arguments.first().ok_or("a file is missing")?;
    let bytes = contents(path)?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let len = rest.get(2..4).and_then(|n| n.first_chunk()).map(|n| usize::from(u16::from_be_bytes(*n)));
        let Some(len) = len.filter(|_| rest.len() >= 8) else {
            return Err(format!("{path}: {} bytes at offset {at} are no message", rest.len()));
        };
        let Some((message, tail)) = rest.split_at_checked(len).filter(|_| len >= 8) else {
            return Err(format!("{path}: message of {len} bytes at offset {at} ends behind the file"));
        };
        print(&tell(message, call.verbosity));
        rest = tail;
    }
    Ok(())
}

/// Lines of standard input that have something.
fn lines() -> Result<Vec<String>, String> {
    let text = String::from_utf8(contents("-")?).map_err(|e| e.to_string())?;
    Ok(text.lines().map(|l| l.split('#').next().unwrap_or("").trim().to_owned()).filter(|l| !l.is_empty()).collect())
}

fn version(call: &Call) -> Result<Version, String> {
    let name = call.arguments.first().map_or("", String::as_str);
    Version::by_name(name).ok_or_else(|| format!("{name}: not a version of OpenFlow"))
}

/// Reads each line with `read`, prints it, and where it would be written otherwise.
fn parse_lines(
    call: &Call,
    what: &str,
    read: impl Fn(&[u8], Option<TableId>, Cx) -> Result<Vec<Action>, Error>,
    write: impl Fn(&mut Vec<u8>, &[Action], Cx),
) -> Done {
    let version = version(call)?;
    let cx = Cx::new(version, None);
    for line in lines()? {
        // a table may stand before the bytes
        let (table, hex) = match line.split_once(',') {
            Some((table, hex)) => (table.trim().parse().ok().map(TableId), hex),
            None => (None, line.as_str()),
        };
        let bytes = parse(hex)?;
        match read(&bytes, table, cx) {
            Err(e) => {
                log(&e.log);
                print(&format!("bad {version} {what}: {}\n\n", e.code));
            }
            Ok(actions) => {
                let mut written = Vec::new();
                write(&mut written, &actions, cx);
                let text = actions_text(&actions, version, &NoNames);
                print(&format!("actions={text}\n{}\n", differences(&bytes, &written)));
            }
        }
    }
    Ok(())
}

pub(super) fn parse_actions(call: &Call) -> Done {
    let read = |bytes: &[u8], _: Option<TableId>, cx: Cx| read_list(Bytes::new(bytes), Place::Plain, cx);
    parse_lines(call, "actions", read, |out, actions, cx| write_list(out, actions, &Default::default(), cx))
}

pub(super) fn parse_instructions(call: &Call) -> Done {
    let read = |bytes: &[u8], table: Option<TableId>, cx: Cx| {
        let actions = instruction::read(Bytes::new(bytes), cx)?;
        match actions.last() {
            Some(Action::GotoTable(to)) if table.is_some_and(|t| *to <= t) => {
                Err(Error::new(openflow::wire::codes::OFPBIC_BAD_TABLE_ID))
            }
            _ => Ok(actions),
        }
    };
    parse_lines(call, "instructions", read, |out, actions, cx| {
        instruction::write(out, actions, &Default::default(), cx)
    })
}

fn code(name: &str) -> Result<ErrorCode, String> {
    ErrorCode::by_name(name).ok_or_else(|| format!("unknown error \"{name}\""))
}

pub(super) fn print_error(call: &Call) -> Done {
    let code = code(call.arguments.first().map_or("", String::as_str))?;
    for version in Version::ALL {
        if let Some(n) = code.numbers(version) {
            let vendor = if n.vendor == 0 { "0".to_owned() } else { format!("{:#x}", n.vendor) };
            let name = version.short().trim_start_matches("OF");
            print(&format!("OpenFlow {name}: vendor {vendor}, type {}, code {}\n", n.kind, n.code));
        }
    }
    Ok(())
}

/// A dump whose lines end with a byte.
pub(super) fn plain_dump(bytes: &[u8]) -> String {
    hex_dump(bytes, false).replace("-\n", "\n")
}

pub(super) fn encode_error_reply(call: &Call) -> Done {
    let [name, hex] = call.arguments else { return Err("an error and a message are needed".to_owned()) };
    let (code, request) = (code(name)?, parse(hex)?);
    let version = request.first().and_then(|v| Version::from_wire(*v)).ok_or("not a message of a known version")?;
    if code.numbers(version).is_none() {
        let name = version.short().trim_start_matches("OF");
        log::error!(target: "ofp_errors", "cannot encode {code} for OpenFlow {name}");
    }
    print(&plain_dump(&error_reply(code, version, &request)));
    Ok(())
}

pub(super) fn encode_hello(call: &Call) -> Done {
    let text = call.arguments.first().map_or("", String::as_str);
    let bits = openflow::text::number::whole(text).and_then(|n| u32::try_from(n).ok());
    let versions = Versions(bits.ok_or_else(|| format!("{text}: not a bitmap"))?);
    let version = versions.latest().ok_or_else(|| format!("{text}: no version of OpenFlow"))?;
    let hello = encode(&Message::Hello(versions), version, Xid(1)).map_err(|e| e.to_string())?;
    print(&plain_dump(&hello));
    print(&tell(&hello, call.verbosity));
    Ok(())
}

pub(super) fn parse_key_value(call: &Call) -> Done {
    for text in call.arguments {
        let items = Items::new(text).map(|i| {
            if i.value.is_empty() && i.whole == i.key { i.key.to_owned() } else { format!("{}={}", i.key, i.value) }
        });
        print(&format!("{}\n", items.collect::<Vec<_>>().join(", ")));
    }
    Ok(())
}
