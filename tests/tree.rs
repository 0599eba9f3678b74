//! The rules of CONTRIBUTING.md that no compiler checks: purpose lines, file lengths, levels, unsafe code, fuzz targets.
//!
//! Each rule is a function from names and text to complaints, so that each is also tested on text that breaks it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines from which on a file is too long.
const TOO_LONG: usize = 800;

/// Generated tables, which may be as long as they are. None yet.
const GENERATED: &[&str] = &[];

/// Where unsafe code is allowed: a file, or a folder when it ends in `/`. docs/architecture.md says the same in words.
const UNSAFE: &[(&str, &str)] = &[
    ("base::rcu", "src/base/rcu/"),
    ("base::clock::ticks", "src/base/clock/ticks.rs"),
    ("base::pages", "src/base/pages.rs"),
    ("base::prefetch", "src/base/prefetch.rs"),
    ("base::log::time", "src/base/log/time.rs"),
    ("packet::frame", "src/packet/frame/"),
    ("packet::burst", "src/packet/burst.rs"),
    ("netdev::sys", "src/netdev/sys.rs"),
    ("dpdk", "src/dpdk/"),
    ("run::threads", "src/run/threads.rs"),
    ("run::owner", "src/run/owner.rs"),
];

/// Tests that need unsafe code.
const UNSAFE_TESTS: &[&str] = &["src/datapath/tests/alloc.rs", "tests/alloc.rs"];

/// Crates whose `lib.rs` forbids unsafe code altogether.
const FORBID: &[&str] =
    &["flow", "dpif", "classifier", "openflow", "datapath", "pipeline", "ovsdb", "programs", "bridge"];

/// Which fuzz target reaches a file that decodes bytes or text from outside: the first row whose path is a prefix counts.
/// No target: the second column is empty and the third says why none is needed.
const DECODERS: &[(&str, &str, &str)] = &[
    ("src/packet/arp.rs", "arp", ""),
    ("src/packet/build/", "offload", ""),
    ("src/packet/checksum.rs", "tcp", ""),
    ("src/packet/eth.rs", "eth", ""),
    ("src/packet/hex.rs", "hex", ""),
    ("src/packet/icmp.rs", "icmp", ""),
    ("src/packet/icmpv6/", "nd", ""),
    ("src/packet/igmp.rs", "igmp", ""),
    ("src/packet/ipv4.rs", "ipv4", ""),
    ("src/packet/ipv6/ext.rs", "ipv6_ext", ""),
    ("src/packet/ipv6/", "ipv6", ""),
    ("src/packet/locate.rs", "frame", ""),
    ("src/packet/mpls.rs", "mpls", ""),
    ("src/packet/nsh.rs", "nsh", ""),
    ("src/packet/offload/", "offload", ""),
    ("src/packet/pcap.rs", "pcap", ""),
    ("src/packet/print.rs", "frame", ""),
    ("src/packet/sctp.rs", "sctp", ""),
    ("src/packet/tcp.rs", "tcp", ""),
    ("src/packet/udp.rs", "udp", ""),
    ("src/packet/pcapng.rs", "", "writes alone"),
    ("src/packet/virtio", "virtio", ""),
    ("src/packet/vlan.rs", "vlan", ""),
    ("src/packet/wire.rs", "eth", ""),
    ("src/flow/fuzz.rs", "", "is the fuzz target"),
    ("src/flow/extract/", "extract", ""),
    ("src/flow/text/", "match_text", ""),
    ("src/flow/fields/", "match_text", ""),
    ("src/flow/hash.rs", "", "takes a key, which has a fixed size"),
    ("src/openflow/text/", "flow_text", ""),
    ("src/openflow/action/", "action_text", ""),
    ("src/openflow/wire/", "openflow", ""),
    ("src/programs/ofctl/", "openflow", ""),
    ("src/base/log/", "log_spec", ""),
    ("src/control/", "control", ""),
    ("src/config/", "config", ""),
    ("src/ovsdb/file/", "ovsdb_file", ""),
    ("src/ovsdb/data/", "ovsdb_file", ""),
    ("src/ovsdb/", "ovsdb", ""),
    ("src/programs/", "", "reads command lines; the rest goes to the readers of ovsdb"),
    ("src/run/", "", "hands its arguments to the readers above"),
    ("src/bridge/", "", "reads rows, which are typed, and the schema that is built in"),
    ("src/netdev/link.rs", "", "reads what the kernel sends; its own tests cut messages short"),
    ("src/dpdk/", "", "reads names and numbers that DPDK gives"),
    ("src/dpif/", "", "prints"),
    ("src/flow/compose.rs", "", "makes packets of flows"),
    ("src/datapath/", "", "works on frames that were parsed"),
    ("src/pipeline/", "", "works on flows that were parsed"),
    ("src/classifier/", "", "works on flows that were parsed"),
];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Every file below the folders that hold the project's own files, as path from the top and text.
fn sources(ending: &str) -> BTreeMap<String, String> {
    fn walk(folder: &Path, ending: &str, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() {
                if !matches!(name.as_str(), "target" | "corpus" | "artifacts" | ".git") {
                    walk(&entry, ending, out);
                }
            } else if name.ends_with(ending) {
                let path = entry.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
                out.insert(path, fs::read_to_string(&entry).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    for folder in ["src", "dpdk-sys", "tests", "benches", "fuzz"] {
        if top().join(folder).is_dir() {
            walk(&top().join(folder), ending, &mut out);
        }
    }
    out.extend(["build.rs"].iter().filter(|f| f.ends_with(ending)).map(|f| ((*f).to_owned(), read(f))));
    out
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// A file opens with what it is for, and is short enough to read.
fn shape(path: &str, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let first = text.lines().next().unwrap_or("");
    if first.strip_prefix("//! ").is_none_or(|purpose| purpose.trim().len() < 12) {
        out.push(format!("{path}: the first line must say what the file is for: `//! ...`"));
    }
    let lines = text.lines().count();
    if lines >= TOO_LONG && !GENERATED.contains(&path) {
        out.push(format!("{path}: {lines} lines, must be fewer than {TOO_LONG}: split it by noun"));
    }
    out
}

#[test]
fn files_have_a_purpose_and_an_end() {
    let files = sources(".rs");
    assert!(files.len() > 100, "only {} files found", files.len());
    none(files.iter().flat_map(|(path, text)| shape(path, text)).collect());
}

#[test]
fn shape_is_checked() {
    assert!(shape("a.rs", "//! Counts sheep.\nfn main() {}\n").is_empty());
    assert_eq!(shape("a.rs", "fn main() {}\n").len(), 1);
    assert_eq!(shape("a.rs", "//! \n").len(), 1);
    assert_eq!(shape("a.rs", &format!("//! Counts sheep.\n{}", "\n".repeat(TOO_LONG - 1))).len(), 1);
    assert!(shape("a.rs", &format!("//! Counts sheep.\n{}", "\n".repeat(TOO_LONG - 2))).is_empty());
}

/// The levels of docs/architecture.md's table, by crate. `root` is the program.
fn levels(page: &str) -> BTreeMap<String, u32> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let level = cells.next()?.parse().ok()?;
            Some((cells.next()?.trim_matches('`').to_owned(), level))
        })
        .collect()
}

/// The workspace crates that a manifest depends on, in any section.
fn edges(manifest: &toml::Table, members: &BTreeSet<String>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut collect = |table: &toml::Table| {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names = table.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            out.extend(names.filter(|n| members.contains(*n)).cloned());
        }
    };
    collect(manifest);
    for target in manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values) {
        target.as_table().into_iter().for_each(&mut collect);
    }
    out
}

/// An edge goes to a lower level. `dpdk-sys` is `dpdk`'s alone.
fn level_ok(name: &str, edges: &BTreeSet<String>, levels: &BTreeMap<String, u32>) -> Vec<String> {
    if name == "dpdk-sys" {
        return edges.iter().map(|e| format!("dpdk-sys depends on {e}: it must stand alone")).collect();
    }
    let Some(level) = levels.get(name) else {
        return vec![format!("{name} is not in the table of docs/architecture.md")];
    };
    let mut out = Vec::new();
    for edge in edges {
        match levels.get(edge) {
            None if edge == "dpdk-sys" && name == "dpdk" => {}
            Some(lower) if lower < level => {}
            Some(other) => out.push(format!("{name} (level {level}) depends on {edge} (level {other})")),
            None => out.push(format!("{name} depends on {edge}, which is not in the table")),
        }
    }
    out
}

#[test]
fn manifests_keep_to_the_levels() {
    let levels = levels(&read("docs/architecture.md"));
    let root: toml::Table = read("Cargo.toml").parse().unwrap();
    let folders: Vec<&str> =
        root["workspace"]["members"].as_array().unwrap().iter().filter_map(|m| m.as_str()).collect();
    let manifests: Vec<(String, toml::Table)> = folders
        .iter()
        .map(|folder| {
            let table: toml::Table = read(&format!("{folder}/Cargo.toml")).parse().unwrap();
            let name = table["package"]["name"].as_str().unwrap();
            (if *folder == "." { "root" } else { name }.to_owned(), table)
        })
        .collect();
    let members: BTreeSet<String> = manifests.iter().map(|(name, _)| name.clone()).collect();
    let mut complaints = Vec::new();
    for (name, table) in &manifests {
        complaints.extend(level_ok(name, &edges(table, &members), &levels));
        if table.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool) != Some(true)
            && name != "dpdk-sys"
        {
            complaints.push(format!("{name}: the manifest lacks `[lints] workspace = true`"));
        }
    }
    let missing = levels.keys().filter(|n| !members.contains(*n));
    complaints
        .extend(missing.map(|n| format!("{n} is in docs/architecture.md's table but no member of the workspace")));
    if levels.get("datapath") != levels.get("pipeline") {
        complaints.push("datapath and pipeline must be on one level: neither may use the other".into());
    }
    none(complaints);
}

#[test]
fn levels_are_checked() {
    let levels = levels(
        "| level | crate | owns |\n|---|---|---|\n| 0 | `base` | x |\n| 4 | `datapath` | x |\n| 4 | `pipeline` | x |\n",
    );
    assert_eq!(levels.len(), 3);
    let members = ["base", "datapath", "pipeline", "dpdk-sys"].map(str::to_owned).into();
    let of = |text: &str| edges(&text.parse().unwrap(), &members);
    assert!(level_ok("datapath", &of("[dependencies]\nbase.workspace = true\nlog = \"1\""), &levels).is_empty());
    for wrong in [
        "[dependencies]\npipeline.workspace = true",
        "[dev-dependencies]\npipeline.workspace = true",
        "[target.'cfg(loom)'.dependencies]\npipeline.workspace = true",
        "[dependencies]\ndpdk-sys.workspace = true",
    ] {
        assert_eq!(level_ok("datapath", &of(wrong), &levels).len(), 1, "{wrong}");
    }
    assert_eq!(level_ok("base", &of("[dependencies]\ndatapath = {}"), &levels).len(), 1);
    assert_eq!(level_ok("other", &BTreeSet::new(), &levels).len(), 1);
}

/// Whether a line has unsafe code, leaving comments, strings and lint names aside.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or("").split('"').step_by(2).collect::<String>();
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word == "unsafe")
}

fn unsafe_ok(path: &str, text: &str) -> Vec<String> {
    let allowed = UNSAFE_TESTS.contains(&path)
        || UNSAFE.iter().any(|(_, place)| path == *place || place.ends_with('/') && path.starts_with(place));
    let lines = text.lines().enumerate().filter(|(_, l)| is_unsafe(l));
    lines.filter(|_| !allowed).map(|(n, _)| format!("{path}:{}: unsafe code is not allowed here", n + 1)).collect()
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    let files = sources(".rs");
    let mut complaints: Vec<String> = files.iter().flat_map(|(path, text)| unsafe_ok(path, text)).collect();
    for name in FORBID {
        if !files[&format!("src/{name}/lib.rs")].contains("#![forbid(unsafe_code)]") {
            complaints.push(format!("src/{name}/lib.rs: must have #![forbid(unsafe_code)]"));
        }
    }
    let page = read("docs/architecture.md");
    let section = page.split("## Unsafe code").nth(1).unwrap_or("");
    for (module, place) in UNSAFE {
        if !files.iter().any(|(path, text)| path.starts_with(place) && text.lines().any(is_unsafe)) {
            complaints.push(format!("{module}: has no unsafe code (any more): take it out of the list"));
        }
        if !section.contains(&format!("`{module}`")) {
            complaints.push(format!("docs/architecture.md, \"Unsafe code\": `{module}` is missing"));
        }
    }
    none(complaints);
}

#[test]
fn unsafe_is_seen() {
    assert_eq!(unsafe_ok("src/flow/hash.rs", "fn a() {}\nlet x = unsafe { y() };").len(), 1);
    assert_eq!(unsafe_ok("src/flow/hash.rs", "unsafe impl Send for X {}").len(), 1);
    assert!(unsafe_ok("src/base/pages.rs", "unsafe { y() }").is_empty());
    assert!(unsafe_ok("src/flow/hash.rs", "#![forbid(unsafe_code)] // unsafe\nlog(\"unsafe {\")").is_empty());
}

/// Whether a file reads bytes or text that somebody else wrote: it says so by the lint, or has a reader's name.
fn decodes(text: &str) -> bool {
    ["deny(clippy::indexing_slicing)", "impl Wire for", "FromStr for", "fn parse"]
        .iter()
        .any(|mark| text.contains(mark))
}

fn decoder_ok(path: &str, targets: &BTreeSet<String>) -> Option<String> {
    match DECODERS.iter().find(|(place, ..)| path.starts_with(place)) {
        None => Some(format!("{path}: decodes; add it to DECODERS with a fuzz target")),
        Some((_, "", reason)) => reason.is_empty().then(|| format!("{path}: without target or reason in DECODERS")),
        Some((_, target, _)) => (!targets.contains(*target)).then(|| format!("{path}: no fuzz target `{target}`")),
    }
}

#[test]
fn every_decoder_is_fuzzed() {
    let manifest: toml::Table = read("fuzz/Cargo.toml").parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter().filter_map(|b| b["name"].as_str());
    let targets: BTreeSet<String> = bins.filter(|b| *b != "planted").map(str::to_owned).collect();
    let mut complaints = Vec::new();
    for (path, text) in sources(".rs") {
        let test = path.contains("/tests") || path.contains("/benches/") || !path.starts_with("src/");
        if !test && decodes(&text) {
            complaints.extend(decoder_ok(&path, &targets));
        }
    }
    for target in &targets {
        let saved = fs::read_dir(top().join("fuzz/corpus").join(target)).map_or(0, Iterator::count);
        if saved == 0 {
            complaints.push(format!("fuzz/corpus/{target}: no saved inputs"));
        }
    }
    for (place, ..) in DECODERS {
        if !sources(".rs").keys().any(|path| path.starts_with(place)) {
            complaints.push(format!("{place}: is in DECODERS but not in the tree"));
        }
    }
    none(complaints);
}

#[test]
fn decoders_are_checked() {
    let targets = ["arp".to_owned()].into();
    assert!(decodes("impl Wire for Value {") && !decodes("fn main() {}"));
    assert_eq!(decoder_ok("src/packet/arp.rs", &targets), None);
    assert!(decoder_ok("src/packet/tcp.rs", &targets).is_some(), "its target is gone");
    assert!(decoder_ok("src/packet/new.rs", &targets).is_some(), "it is not listed");
}
