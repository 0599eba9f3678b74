//! Matches on the wire, read as a switch reads them and written as one writes them: lists of NXM and OXM entries, the
//! fixed forms of OpenFlow 1.0 and 1.1.

use openflow::text::flow::notes;
use openflow::text::oxm::{entries_text, parse_entries};
use openflow::wire::Version;
use openflow::wire::bytes::Bytes;
use openflow::wire::oxm::{Strictness, read_fields, write_fields, write_match};
use openflow::wire::{match10, match11};
use openflow::{Match, VLAN_TCI};

use super::bytes::{differences, parse};
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

/// Bytes that were read, and which of their bits may become anything.
type Loose = (Vec<u8>, Vec<u8>);

/// Bytes of lines of standard input; digits that are `x` are 0 and may become anything.
fn hex_lines() -> Result<Vec<Loose>, String> {
    let text = String::from_utf8(contents("-")?).map_err(|e| e.to_string())?;
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty());
    lines
        .map(|line| {
            let bytes = parse(&line.replace('x', "0"))?;
            let digit = |c: char| if c == 'x' || c.is_ascii_whitespace() { c } else { '0' };
            let any = line.chars().map(digit).collect::<String>().replace('x', "f");
            Ok((bytes, parse(&any)?))
        })
        .collect()
}

/// Where `written` is not what was read, but for bits that may be anything.
fn changed(bytes: &[u8], any: &[u8], written: &[u8], before: &str) -> String {
    let plain: Vec<u8> = written.iter().zip(any).map(|(w, any)| w & !any).collect();
    differences(bytes, &plain).lines().map(|line| format!("{before}{line}\n")).collect()
}

fn expect(bytes: &[u8], len: usize) -> Done {
    match bytes.len() {
        n if n == len => Ok(()),
        n => Err(format!("Input is {n} bytes, expected {len}")),
    }
}

pub(super) fn parse_match10(_: &Call) -> Done {
    for (bytes, any) in hex_lines()? {
        expect(&bytes, match10::LEN)?;
        let written = |matching: &Match| {
            let mut out = Vec::new();
            match10::write(&mut out, matching);
            out
        };
        let whole = match10::read_all(&mut Bytes::new(&bytes)).map_err(|e| e.to_string())?;
        print(&format!("{whole}\n{}", changed(&bytes, &any, &written(&whole), "")));
        let normal = match10::normal(&whole);
        if normal != whole {
            super::flows::tell_notes(&notes(&whole.to_string(), &normal));
            let plain: Vec<u8> = written(&whole).iter().zip(&any).map(|(w, any)| w & !any).collect();
            print(&changed(&plain, &any, &written(&normal), "normal: "));
        }
        print("\n");
    }
    Ok(())
}

pub(super) fn parse_match11(_: &Call) -> Done {
    for (bytes, any) in hex_lines()? {
        expect(&bytes, match11::LEN.into())?;
        match match11::read(&mut Bytes::new(&bytes)) {
            Err(e) => {
                log(&e.log);
                print(&format!("bad ofp11_match: {}\n\n", e.code));
            }
            Ok(matching) => {
                let mut written = Vec::new();
                match11::write(&mut written, &matching);
                print(&format!("{matching}\n{}\n", changed(&bytes, &any, &written, "")));
            }
        }
    }
    Ok(())
}

/// The tag's control information that a match asks for, and in which bits.
fn tag(matching: &Match) -> (u16, u16) {
    let (value, bits) = matching.get(VLAN_TCI);
    (value as u16, bits as u16)
}

/// How a tag looks in each form of matches, and what is left of it there.
pub(super) fn check_vlan(call: &Call) -> Done {
    let number = |at: usize| {
        let text = call.argument(at);
        let digits = text.trim_start_matches("0x");
        u16::from_str_radix(digits, 16).map_err(|_| format!("{text}: up to four hexadecimal digits are expected"))
    };
    let (value, bits) = (number(0)?, number(1)?);
    let matching = Match::default().with(VLAN_TCI, (value & bits).into(), bits.into());
    let (tci, mask) = tag(&matching);
    print(&format!("{matching} -> {tci:04x}/{mask:04x}\n"));

    let failed = |e: openflow::wire::Error| e.to_string();
    for (name, version) in [("NXM", None), ("OXM", Some(Version::Of12))] {
        let mut out = Vec::new();
        write_fields(&mut out, &matching, None, version, None);
        let back = read_fields(Bytes::new(&out), Strictness::Strict, None).map_err(failed)?.matching;
        let (tci, mask) = tag(&back);
        let left = match version {
            None => format!("{tci:04x}/{mask:04x}"),
            Some(_) if mask & 0xe000 == 0 => format!("{:04x}/{:04x},--", tci & 0x1fff, mask & 0x1fff),
            Some(_) => format!("{:04x}/{:04x},{:02x}", tci & 0x1fff, mask & 0x1fff, tci >> 13),
        };
        print(&format!("{name}: {} -> {left}\n", entries_text(&out)));
    }

    // where each form has wildcards, VID and priority, and the bits of wildcards
    let forms: [(&str, bool, usize, usize, [u32; 2]); 2] =
        [("OF1.0", true, 0, 18, [1 << 1, 1 << 20]), ("OF1.1", false, 8, 36, [1 << 1, 1 << 2])];
    for (name, old, wild, vid, [no_vid, no_pcp]) in forms {
        let mut out = Vec::new();
        let back = if old {
            match10::write(&mut out, &matching);
            match10::read(&mut Bytes::new(&out)).map_err(failed)?
        } else {
            match11::write(&mut out, &matching);
            match11::read(&mut Bytes::new(&out)).map_err(failed)?
        };
        let at = |from: usize, n: usize| out.iter().skip(from).take(n).fold(0u32, |all, b| all << 8 | u32::from(*b));
        let (wild, vid, pcp, (tci, mask)) = (at(wild, 4), at(vid, 2), at(vid + 2, 1), tag(&back));
        let (no_vid, no_pcp) = (u8::from(wild & no_vid != 0), u8::from(wild & no_pcp != 0));
        print(&format!("{name}: {vid:04x}/{no_vid},{pcp:02x}/{no_pcp} -> {tci:04x}/{mask:04x}\n"));
    }
    Ok(())
}
