//! `learn`: adds a flow made from the packet at hand.

use super::{Action, Printer, Reader, set};
use crate::subfield::Subfield;
use crate::text::ParseError;
use crate::text::error::{Result, bail};
use crate::text::names::{parse_table, table_text};
use crate::text::scan::{Item, Items};
use crate::text::{field, number, value};
use crate::types::{Cookie, TableId};

/// The flow to add or refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learn {
    pub table: TableId,
    pub priority: u16,
    pub cookie: Cookie,
    /// Seconds; 0 is none.
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub fin_idle_timeout: u16,
    pub fin_hard_timeout: u16,
    pub send_flow_rem: bool,
    /// The learned flows go when the flow with this action goes.
    pub delete_learned: bool,
    pub limit: Option<LearnLimit>,
    pub specs: Vec<LearnSpec>,
}

/// At most this many learned flows with this cookie in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnLimit {
    /// Not 0.
    pub flows: u32,
    /// Gets 1 when the flow was learned, 0 when the limit kept it out.
    pub result: Option<Subfield>,
}

/// One piece of the learned flow's match or actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    pub source: LearnSource,
    pub target: LearnTarget,
}

/// Where the value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnSource {
    Field(Subfield),
    /// Its width is the target's.
    Value(u128),
}

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnTarget {
    Match(Subfield),
    Load(Subfield),
    /// `output`; the source has the port.
    Output,
}

/// The priority of a learned flow that does not say one.
const DEFAULT_PRIORITY: u16 = 0x8000;

pub(super) fn parse(name: &str, item: &Item, cx: &Reader) -> Option<Result<Action>> {
    (name == "learn").then(|| learn(item.value, cx))
}

fn learn(arg: &str, cx: &Reader) -> Result<Action> {
    let mut l = Learn {
        table: TableId(1),
        priority: DEFAULT_PRIORITY,
        cookie: Cookie(0),
        idle_timeout: 0,
        hard_timeout: 0,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        send_flow_rem: false,
        delete_learned: false,
        limit: None,
        specs: Vec::new(),
    };
    let (mut limit, mut result) = (0, None);
    for part in Items::new(arg) {
        let number = |what: &str| number::u16_named(part.value, what);
        match part.key {
            "table" => match parse_table(part.value, cx.names) {
                Some(TableId(TableId::ALL)) => bail!("{arg}: table id 255 not valid for `learn' action"),
                Some(table) => l.table = table,
                None => bail!("unknown table \"{}\"", part.value),
            },
            "priority" => l.priority = number("priority")?,
            "idle_timeout" => l.idle_timeout = number("idle_timeout")?,
            "hard_timeout" => l.hard_timeout = number("hard_timeout")?,
            "fin_idle_timeout" => l.fin_idle_timeout = number("fin_idle_timeout")?,
            "fin_hard_timeout" => l.fin_hard_timeout = number("fin_hard_timeout")?,
            "cookie" => l.cookie = Cookie(number::u64_plain(part.value)?),
            "send_flow_rem" => l.send_flow_rem = true,
            "delete_learned" => l.delete_learned = true,
            "limit" => limit = number::u32_plain(part.value)?,
            "result_dst" => {
                let dst = field::parse(part.value)?;
                if dst.n_bits != 1 {
                    bail!("result_dst in 'learn' action must be a single bit");
                }
                result = Some(dst);
            }
            _ => l.specs.push(spec(&part, arg, cx)?),
        }
    }
    l.limit = (limit != 0).then_some(LearnLimit { flows: limit, result });
    Ok(Action::Learn(Box::new(l)))
}

fn spec(part: &Item, whole: &str, cx: &Reader) -> Result<LearnSpec> {
    match part.key {
        "load" => {
            let Some((src, dst)) = part.arrow() else {
                bail!("load: missing `->' in `{}'", part.value);
            };
            if src.starts_with(|c: char| c.is_ascii_digit()) {
                let dst = field::parse(dst)?;
                let literal = set::literal(src, dst, part.value)?;
                return Ok(LearnSpec { source: LearnSource::Value(literal), target: LearnTarget::Load(dst) });
            }
            match set::parse_move(part.value)? {
                Action::Move { src, dst } => {
                    Ok(LearnSpec { source: LearnSource::Field(src), target: LearnTarget::Load(dst) })
                }
                other => bail!("load: unexpected {}", other.name()),
            }
        }
        "output" => {
            let src = field::parse(part.value)?;
            Ok(LearnSpec { source: LearnSource::Field(src), target: LearnTarget::Output })
        }
        key => {
            let Ok(dst) = field::parse(key) else {
                bail!("{whole}: unknown keyword {key}");
            };
            let source = match part.value {
                "" => LearnSource::Field(dst),
                value => match_source(value, key, dst, whole, cx)?,
            };
            Ok(LearnSpec { source, target: LearnTarget::Match(dst) })
        }
    }
}

/// What a field is to match: another field of the same width, else a literal.
fn match_source(text: &str, key: &str, dst: Subfield, whole: &str, cx: &Reader) -> Result<LearnSource> {
    let not_field = match field::parse(text) {
        Ok(src) if src.n_bits == dst.n_bits => return Ok(LearnSource::Field(src)),
        Ok(src) => bail!("{whole}: bit widths of {key} ({}) and {text} ({}) differ", src.n_bits, dst.n_bits),
        Err(e) => e,
    };
    let row = dst.field.row();
    let literal = if !dst.is_whole() {
        set::literal(text, dst, whole)
    } else {
        match value::parse(text, row, cx.names) {
            Ok((_, mask)) if mask != row.full_mask() => bail!(
                "{whole}: {key} value {text} cannot be parsed as a subfield ({not_field}) or an immediate value \
                 ({text}: wildcards not allowed here)"
            ),
            Ok((value, _)) => Ok(value),
            Err(e) => Err(e),
        }
    };
    match literal {
        Ok(value) => Ok(LearnSource::Value(value)),
        Err(e) => {
            let (note, e) = e.parts();
            let refused = ParseError::new(format!(
                "{whole}: {key} value {text} cannot be parsed as a subfield ({not_field}) or an immediate value ({e})"
            ));
            Err(note.map_or(refused.clone(), |(module, note)| refused.noted(module, note.to_owned())))
        }
    }
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    match action {
        Action::Learn(l) => Some(learn_text(l, p)),
        _ => None,
    }
}

fn learn_text(l: &Learn, p: &Printer) -> String {
    let mut parts = vec![format!("table={}", table_text(l.table, p.names))];
    let timeouts = [
        ("idle_timeout", l.idle_timeout),
        ("hard_timeout", l.hard_timeout),
        ("fin_idle_timeout", l.fin_idle_timeout),
        ("fin_hard_timeout", l.fin_hard_timeout),
    ];
    parts.extend(timeouts.iter().filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name}={n}")));
    if l.priority != DEFAULT_PRIORITY {
        parts.push(format!("priority={}", l.priority));
    }
    if l.send_flow_rem {
        parts.push("send_flow_rem".to_owned());
    }
    if l.delete_learned {
        parts.push("delete_learned".to_owned());
    }
    if l.cookie.0 != 0 {
        parts.push(format!("cookie={}", l.cookie));
    }
    if let Some(limit) = l.limit {
        parts.push(format!("limit={}", limit.flows));
        parts.extend(limit.result.map(|dst| format!("result_dst={}", field::text(dst))));
    }
    parts.extend(l.specs.iter().map(|s| spec_text(s, p)));
    format!("learn({})", parts.join(","))
}

fn spec_text(s: &LearnSpec, p: &Printer) -> String {
    match (s.source, s.target) {
        (LearnSource::Field(src), LearnTarget::Match(dst)) if src == dst => field::text(dst),
        (LearnSource::Field(src), LearnTarget::Match(dst)) => format!("{}={}", field::text(dst), field::text(src)),
        (LearnSource::Value(v), LearnTarget::Match(dst)) if dst.is_whole() => {
            let row = dst.field.row();
            format!("{}={}", row.name, value::text(v, row.full_mask(), row, p.names))
        }
        (LearnSource::Value(v), LearnTarget::Match(dst)) => format!("{}={}", field::text(dst), number::hex(v)),
        (LearnSource::Field(src), LearnTarget::Load(dst)) => format!("load:{}->{}", field::text(src), field::text(dst)),
        (LearnSource::Value(v), LearnTarget::Load(dst)) => format!("load:{}->{}", number::hex(v), field::text(dst)),
        (LearnSource::Field(src), LearnTarget::Output) => format!("output:{}", field::text(src)),
        (LearnSource::Value(v), LearnTarget::Output) => format!("output:{v}"),
    }
}
