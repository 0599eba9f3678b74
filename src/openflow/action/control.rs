//! What steers translation: `resubmit`, `clone`, `note`, `exit`, `sample`, `conjunction`, `fin_timeout`,
//! `check_pkt_larger`.

use super::read::Place;
use super::{Action, Printer, Reader, set};
use crate::text::error::{Result, bail};
use crate::text::names::{parse_port, parse_table, table_text};
use crate::text::scan::{Item, Items};
use crate::text::{field, number};
use crate::types::{OfPort, TableId};

/// Looks the packet up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resubmit {
    /// The in_port for that lookup; [`OfPort::IN_PORT`] keeps the present one.
    pub in_port: OfPort,
    /// `None`: the table that this is in.
    pub table: Option<TableId>,
    /// Swaps in the original direction's tuple of the connection for the lookup.
    pub with_ct: bool,
}

/// Which way a sampled packet goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SampleDirection {
    #[default]
    Default,
    Ingress,
    Egress,
}

/// Samples packets to an IPFIX collector set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Of 65535; at least 1.
    pub probability: u16,
    pub collector_set: u32,
    pub obs_domain: u32,
    pub obs_point: u32,
    pub sampling_port: Option<OfPort>,
    pub direction: SampleDirection,
}

/// A note is padded so that its action fills whole 8-byte units: 6 bytes more than a multiple of 8.
const NOTE_UNIT: usize = 8;

pub(super) fn parse(name: &str, item: &Item, cx: &Reader) -> Option<Result<Action>> {
    Some(match name {
        "resubmit" => resubmit(item.value, cx),
        "clone" => cx.nested(item.value, Place::Clone).map(Action::Clone),
        "note" => note(item.value),
        "exit" => Ok(Action::Exit),
        "conjunction" => conjunction(item.value),
        "sample" => sample(item.value, cx),
        "fin_timeout" => fin_timeout(item.value),
        "check_pkt_larger" => check_pkt_larger(item),
        "debug_recirc" => Ok(Action::DebugRecirc),
        "debug_slow" => Ok(Action::DebugSlow),
        _ => return None,
    })
}

fn resubmit(arg: &str, cx: &Reader) -> Result<Action> {
    let mut parts = arg.splitn(3, ',');
    let (port, table, flag) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let in_port = if port.is_empty() { OfPort::IN_PORT } else { cx.port(port, "resubmit")? };
    let table = match (table, parse_table(table, cx.names)) {
        ("", _) => None,
        (_, Some(t)) => Some(t).filter(|t| t.0 != TableId::ALL),
        (t, None) => bail!("{t}: resubmit to unknown table"),
    };
    let with_ct = match flag {
        "" => false,
        "ct" => true,
        flag => bail!("{flag}: unknown parameter"),
    };
    if in_port == OfPort::IN_PORT && table.is_none() {
        bail!("at least one \"in_port\" or \"table\" must be specified on resubmit");
    }
    Ok(Action::Resubmit(Resubmit { in_port, table, with_ct }))
}

fn note(arg: &str) -> Result<Action> {
    let Some(mut bytes) = number::hex_bytes(arg) else {
        bail!("bad hex digit in `note' argument");
    };
    while bytes.len() % NOTE_UNIT != NOTE_UNIT - 2 {
        bytes.push(0);
    }
    Ok(Action::Note(bytes))
}

fn conjunction(arg: &str) -> Result<Action> {
    let numbers = || {
        let (id, of) = arg.split_once(',')?;
        let (k, n) = of.trim_start().split_once('/')?;
        Some((id.trim().parse::<u32>().ok()?, k.trim().parse::<u8>().ok()?, n.trim().parse::<u8>().ok()?))
    };
    let Some((id, k, n_clauses)) = numbers() else {
        bail!("\"conjunction\" syntax is \"conjunction(id,i/n)\"");
    };
    let Some(clause) = k.checked_sub(1) else {
        bail!("clause index must be positive");
    };
    match n_clauses {
        n if k > n => bail!("clause index must be less than or equal to number of clauses"),
        0 | 1 => bail!("conjunction must have at least 2 clauses"),
        65.. => bail!("conjunction must have at most 64 clauses"),
        _ => Ok(Action::Conjunction { id, clause, n_clauses }),
    }
}

fn sample(arg: &str, cx: &Reader) -> Result<Action> {
    let mut s = Sample {
        probability: 0,
        collector_set: 0,
        obs_domain: 0,
        obs_point: 0,
        sampling_port: None,
        direction: SampleDirection::Default,
    };
    for part in Items::new(arg) {
        match part.key {
            "probability" => {
                s.probability = number::u16_named(part.value, "probability")?;
                if s.probability == 0 {
                    bail!("invalid probability value \"{}\"", part.value);
                }
            }
            "collector_set_id" => s.collector_set = number::u32_plain(part.value)?,
            "obs_domain_id" => s.obs_domain = number::u32_plain(part.value)?,
            "obs_point_id" => s.obs_point = number::u32_plain(part.value)?,
            "sampling_port" => match parse_port(part.value, cx.names) {
                Some(port) => s.sampling_port = Some(port),
                None => bail!("{}: unknown port", part.value),
            },
            "ingress" => s.direction = SampleDirection::Ingress,
            "egress" => s.direction = SampleDirection::Egress,
            key => bail!("invalid key \"{key}\" in \"sample\" argument"),
        }
    }
    if s.probability == 0 {
        bail!("non-zero \"probability\" must be specified on sample");
    }
    Ok(Action::Sample(Box::new(s)))
}

fn fin_timeout(arg: &str) -> Result<Action> {
    let (mut idle, mut hard) = (0, 0);
    for part in Items::new(arg) {
        match part.key {
            "idle_timeout" => idle = number::u16_named(part.value, "idle_timeout")?,
            "hard_timeout" => hard = number::u16_named(part.value, "hard_timeout")?,
            key => bail!("invalid key '{key}' in 'fin_timeout' argument"),
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}

fn check_pkt_larger(item: &Item) -> Result<Action> {
    let (len, dst) = set::arrow(item)?;
    let dst = field::parse(dst)?;
    if dst.n_bits != 1 {
        bail!("Only 1-bit destination field is allowed");
    }
    Ok(Action::CheckPktLarger { len: number::u16_named(len, "packet length")?, dst })
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    Some(match action {
        Action::Resubmit(r) => resubmit_text(r, p),
        Action::Clone(actions) => format!("clone({})", p.list(actions)),
        Action::Note(bytes) => format!("note:{}", number::bytes_text(bytes)),
        Action::Conjunction { id, clause, n_clauses } => {
            format!("conjunction({id},{}/{n_clauses})", u16::from(*clause) + 1)
        }
        Action::Sample(s) => sample_text(s, p),
        Action::FinTimeout { idle, hard } => {
            let part = |name: &str, n: u16| (n != 0).then(|| format!("{name}={n}"));
            let parts = [part("idle_timeout", *idle), part("hard_timeout", *hard)];
            format!("fin_timeout({})", parts.into_iter().flatten().collect::<Vec<_>>().join(","))
        }
        Action::CheckPktLarger { len, dst } => format!("check_pkt_larger({len})->{}", field::text(*dst)),
        _ => return None,
    })
}

fn resubmit_text(r: &Resubmit, p: &Printer) -> String {
    if let (None, false) = (r.table, r.with_ct) {
        return format!("resubmit:{}", p.port(r.in_port));
    }
    let port = if r.in_port == OfPort::IN_PORT { String::new() } else { p.port(r.in_port) };
    let table = r.table.map_or_else(String::new, |t| table_text(t, p.names));
    format!("resubmit({port},{table}{})", if r.with_ct { ",ct" } else { "" })
}

fn sample_text(s: &Sample, p: &Printer) -> String {
    let mut text = format!(
        "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
        s.probability, s.collector_set, s.obs_domain, s.obs_point
    );
    if let Some(port) = s.sampling_port {
        text += &format!(",sampling_port={}", p.port(port));
    }
    text += match s.direction {
        SampleDirection::Default => ")",
        SampleDirection::Ingress => ",ingress)",
        SampleDirection::Egress => ",egress)",
    };
    text
}
