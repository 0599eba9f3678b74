//! `dpctl/dump-flows` and `dpif/dump-flows`: megaflows as text, in the words of ovs-dpctl(8).

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use base::clock::Instant;
use datapath::Wanted;
use datapath::worker::Megaflow;
use dpif::PortNo;
use dpif::text::{Actions, Named};
use flow::Match;
use flow::layout as l;
use flow::text::odp::format_megaflow;
use ovsdb::Uuid;

use super::dpctl;
use super::snapshot::megaflow_match;
use super::switch::{Later, Switch};
use crate::control::Call;

/// What `type=` may ask for, and whether the megaflows here are of that kind: all are the datapath's own.
const KINDS: [(&str, bool); 7] = [
    ("all", true),
    ("dpdk", false),
    ("non-offloaded", true),
    ("offloaded", false),
    ("ovs", true),
    ("partially-offloaded", false),
    ("tc", false),
];

/// How they are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    /// `-m`: with what identifies them.
    more: bool,
    names: bool,
    /// A line above those of each worker.
    headings: bool,
}

/// Whose are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    /// That without a core.
    Main,
    Core(usize),
}

/// A dump that is asked for.
pub(super) struct Dump {
    style: Style,
    worker: Option<Worker>,
    /// The only one.
    only: Option<Uuid>,
    /// The worker of each number: its core.
    cores: Vec<Option<usize>>,
    /// Names of ports by number.
    ports: Vec<(PortNo, String)>,
}

/// `dpctl/dump-flows [-m] [--names] [DP] [filter=MATCH] [type=TYPE] [pmd=CORE]`.
pub(super) fn dump(switch: &mut Switch, call: Call) {
    ask(switch, call, asked);
}

/// `dpif/dump-flows [-m] [--names | --no-names] BRIDGE`.
pub(super) fn of_bridge(switch: &mut Switch, call: Call) {
    ask(switch, call, asked_of_bridge);
}

/// `dpctl/get-flow [DP] ufid:UFID`: what `dpctl/dump-flows` shows of one that `-m` has named.
pub(super) fn one(switch: &mut Switch, call: Call) {
    ask(switch, call, asked_one);
}

type Asked = Result<Option<(Wanted, Dump)>, String>;

fn ask(switch: &mut Switch, call: Call, asked: fn(&Switch, &[String]) -> Asked) {
    match asked(switch, &call.arguments) {
        Ok(Some((wanted, dump))) => {
            let ticket = switch.control.dump(wanted);
            switch.tickets.insert(ticket, Later::Megaflows { call, dump: Box::new(dump) });
        }
        Ok(None) => call.answer(Ok(String::new())),
        Err(e) => call.answer(Err(dpctl::told(&e))),
    }
}

/// What arguments ask for; None where there cannot be any.
fn asked(switch: &Switch, arguments: &[String]) -> Asked {
    let (style, rest) = style(arguments)?;
    let (mut wanted, mut worker, mut datapath, mut none) = (Wanted::default(), None, None, false);
    for word in rest {
        match word.split_once('=') {
            Some(("filter", text)) => {
                let read = megaflow_match(switch, None, text);
                wanted.matching = read.map_err(|e| format!("Failed to parse filter ({e})"))?;
            }
            Some(("type", kind)) => {
                let found = KINDS.iter().find(|(name, _)| *name == kind);
                let (_, ours) = found.ok_or_else(|| format!("Failed to parse type ({kind}) (Invalid argument)"))?;
                none |= !ours;
            }
            Some(("pmd", "-1")) => worker = Some(Worker::Main),
            Some(("pmd", core)) => {
                let number = core.parse().map_err(|_| format!("pmd: {core}: expected the number of a core, or -1"))?;
                worker = Some(Worker::Core(number));
            }
            Some((key, _)) => return Err(format!("{key}: expected filter, type or pmd")),
            None if datapath.is_none() => datapath = Some(dpctl::named(switch, word)?),
            None => return Err(format!("{word}: one datapath at a time")),
        }
    }
    if let Some(kind) = datapath {
        wanted.in_ports = Some(dpctl::ports_of(switch, kind).map(|(no, _)| no).collect());
    }
    // those of one worker alone have no line above
    let style = Style { headings: worker.is_none(), ..style };
    Ok((!none).then(|| (wanted, Dump { worker, ..Dump::new(switch, style) })))
}

fn asked_one(switch: &Switch, arguments: &[String]) -> Asked {
    let Some((last, datapath)) = arguments.split_last() else { return Err("expected ufid:UFID".into()) };
    let read = last.strip_prefix("ufid:").and_then(Uuid::parse);
    let only = Some(read.ok_or_else(|| format!("{last}: expected ufid:UFID"))?);
    if let Some(name) = datapath.first() {
        dpctl::named(switch, name)?;
    }
    let style = Style::default();
    Ok(Some((Wanted::default(), Dump { only, ..Dump::new(switch, style) })))
}

fn asked_of_bridge(switch: &Switch, arguments: &[String]) -> Asked {
    let (style, rest) = style(arguments)?;
    let [name] = rest[..] else { return Err("expected the name of one bridge".into()) };
    let found = switch.manager.snapshot().bridge_named(name).ok_or("no such bridge")?;
    let ports = found.ports.values().filter_map(|p| p.device()).collect();
    let wanted = Wanted { in_ports: Some(ports), ..Wanted::default() };
    Ok(Some((wanted, Dump::new(switch, style))))
}

/// Options and the words that are none.
fn style(arguments: &[String]) -> Result<(Style, Vec<&str>), String> {
    let (mut style, mut names, mut rest) = (Style::default(), None, Vec::new());
    for word in arguments {
        match word.as_str() {
            "-m" | "--more" => style.more = true,
            "--names" => names = Some(true),
            "--no-names" => names = Some(false),
            option if option.starts_with('-') => return Err(format!("{option}: expected -m, --names or --no-names")),
            word => rest.push(word),
        }
    }
    style.names = names.unwrap_or(style.more);
    Ok((style, rest))
}

impl Dump {
    fn new(switch: &Switch, style: Style) -> Dump {
        let core = |name: &str| switch.threads.iter().find(|t| t.name == name).and_then(|t| t.core);
        let cores = switch.control.workers().map(|(_, name, _)| core(name)).collect();
        let ports =
            if style.names { switch.ports.iter().map(|(no, p)| (*no, p.name.clone())).collect() } else { Vec::new() };
        Dump { style, worker: None, only: None, cores, ports }
    }

    fn name(&self, port: PortNo) -> String {
        let found = self.ports.binary_search_by_key(&port, |(no, _)| *no);
        found.ok().and_then(|at| self.ports.get(at)).map_or_else(|| port.to_string(), |(_, name)| name.clone())
    }

    /// The text: by worker, oldest first.
    pub(super) fn text(&self, mut flows: Vec<Megaflow>, now: Instant) -> String {
        let core = |f: &Megaflow| self.cores.get(f.worker).copied().flatten();
        let of = |f: &Megaflow| core(f).map_or(Worker::Main, Worker::Core);
        flows.retain(|f| self.worker.is_none_or(|wanted| wanted == of(f)));
        flows.retain(|f| self.only.is_none_or(|wanted| wanted == ufid(&f.matching)));
        // the one without a core first
        flows.sort_by_key(|f| (core(f), f.created, f.in_port));
        let (mut out, mut last) = (String::new(), None);
        for f in flows {
            let worker = Some(of(&f));
            if self.style.headings && last != worker {
                let _ = match worker {
                    Some(Worker::Core(core)) => writeln!(out, "flow-dump from pmd on cpu core: {core}"),
                    _ => writeln!(out, "flow-dump from the main thread:"),
                };
            }
            last = worker;
            self.line(&mut out, &f, now);
        }
        out
    }

    fn line(&self, out: &mut String, f: &Megaflow, now: Instant) {
        // as stock counts: the packets that found it, without the one that it was made for
        let (packets, bytes) = (f.packets.saturating_sub(1), f.bytes.saturating_sub(f.first));
        let used = if packets == 0 {
            "never".to_owned()
        } else {
            let idle = now.as_nanos().saturating_sub(f.used.as_nanos());
            format!("{}.{:03}s", idle / 1_000_000_000, idle / 1_000_000 % 1000)
        };
        if self.style.more {
            let _ = write!(out, "ufid:{}, ", ufid(&f.matching));
        }
        let (mut flow, mask) = f.matching.expand();
        for (word, value) in &f.whole {
            // the port is the datapath's, which only the match has
            let slot = flow.w.get_mut(usize::from(*word));
            slot.into_iter().for_each(|w| *w |= value & !mask.w.get(usize::from(*word)).copied().unwrap_or(u64::MAX));
        }
        let mut key = format_megaflow(&flow, &mask);
        if self.style.names {
            let number = flow.get64(l::IN_PORT);
            key = key.replacen(&format!("in_port({number})"), &format!("in_port({})", self.name(f.in_port)), 1);
        }
        let _ = write!(out, "{key}, packets:{packets}, bytes:{bytes}, used:{used}, ");
        if self.style.more {
            out.push_str("dp:ovs, ");
        }
        let _ = if self.style.names {
            writeln!(out, "actions:{}", Named(&f.actions, &|port| self.name(port)))
        } else {
            writeln!(out, "actions:{}", Actions(&f.actions))
        };
    }
}

/// A number that is a megaflow's as long as its key and mask are the same, in the form of a UUID.
fn ufid(matching: &Match) -> Uuid {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, matching).hash(&mut hasher);
        hasher.finish()
    };
    Uuid::new(half(0), half(1))
}
