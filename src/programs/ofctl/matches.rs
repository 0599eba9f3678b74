//! Matches as lists of NXM and OXM entries, read as a switch reads them and written as one writes them.

use openflow::text::oxm::{entries_text, parse_entries};
use openflow::wire::Version;
use openflow::wire::bytes::Bytes;
use openflow::wire::oxm::{Strictness, read_fields, write_fields, write_match};

use super::link::log;
use super::offline::{contents, plain_dump};
use super::{Call, Done};
use crate::setup::print;

/// Each line of standard input through the reader and the writer; `version` of None is NXM.
fn lines(call: &Call, version: Option<Version>) -> Done {
    let strict = if call.parsed.has("strict") { Strictness::Strict } else { Strictness::Loose };
    let text = String::from_utf8(contents("-")?).map_err(|e| e.to_string())?;
    for (n, line) in text.lines().enumerate() {
        // what has no entry stays as it is
        let entries = line.split('#').next().unwrap_or("").trim();
        if entries.is_empty() {
            print(&format!("{line}\n"));
            continue;
        }
        let bytes = parse_entries(entries).map_err(|e| format!("line {}: {e}", n + 1))?;
        match read_fields(Bytes::new(&bytes), strict, None) {
            Err(e) => {
                log(&e.log);
                print(&format!("nx_pull_match() returned error {}\n", e.code));
            }
            Ok(fields) => {
                let (mut written, mut whole) = (Vec::new(), Vec::new());
                write_fields(&mut written, &fields.matching, fields.cookie, version, None);
                print(&format!("{}\n", entries_text(&written)));
                match version {
                    Some(version) => write_match(&mut whole, &fields.matching, version, None),
                    None => whole = written,
                }
                if call.verbosity > 0 {
                    print(&plain_dump(&whole));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn parse_nxm(call: &Call) -> Done {
    lines(call, None)
}

pub(super) fn parse_oxm(call: &Call) -> Done {
    let name = call.argument(0);
    match Version::by_name(name).filter(|v| *v >= Version::Of12) {
        Some(version) => lines(call, Some(version)),
        None => Err(format!("{name}: not a version of OpenFlow that has OXM")),
    }
}
