//! Instructions: `meter`, `clear_actions`, `write_actions`, `write_metadata`, `goto_table`.

use super::read::Place;
use super::{Action, Printer, Reader};
use crate::text::error::{Result, bail};
use crate::text::names::{parse_table, table_text};
use crate::text::number;
use crate::text::scan::Item;
use crate::types::MeterId;

pub(super) fn parse(name: &str, item: &Item, cx: &Reader) -> Option<Result<Action>> {
    let arg = item.value;
    Some(match name {
        "meter" => number::u32_plain(arg).map(|n| Action::Meter(MeterId(n))),
        "clear_actions" => Ok(Action::ClearActions),
        "write_actions" => cx.nested(arg, Place::WriteActions).map(Action::WriteActions),
        "write_metadata" => write_metadata(arg),
        "goto_table" => goto_table(arg, cx),
        _ => return None,
    })
}

fn write_metadata(arg: &str) -> Result<Action> {
    let (value, mask) = match arg.split_once('/') {
        Some((value, mask)) => (value, number::u64_plain(mask)?),
        None => (arg, u64::MAX),
    };
    Ok(Action::WriteMetadata { value: number::u64_plain(value)?, mask })
}

fn goto_table(arg: &str, cx: &Reader) -> Result<Action> {
    match parse_table(arg, cx.names) {
        Some(table) => Ok(Action::GotoTable(table)),
        None => bail!("unknown table \"{arg}\""),
    }
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    Some(match action {
        Action::Meter(id) => format!("meter:{}", id.0),
        Action::WriteActions(actions) => format!("write_actions({})", p.list(actions)),
        Action::WriteMetadata { value, mask: u64::MAX } => format!("write_metadata:{value:#x}"),
        Action::WriteMetadata { value, mask } => format!("write_metadata:{value:#x}/{mask:#x}"),
        Action::GotoTable(table) => format!("goto_table:{}", table_text(*table, p.names)),
        _ => return None,
    })
}
