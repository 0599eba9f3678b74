//! Text of tables' configuration.

use crate::text::names::{PortNames, table_text};
use crate::wire::Version;
use crate::wire::table_mod::{TableDesc, TableMiss, TableMod, TableReason, eviction};
use std::fmt::Write;

fn on(flag: bool) -> &'static str {
    if flag { "on" } else { "off" }
}

pub(super) fn modify(m: &TableMod, version: Version, names: &dyn PortNames) -> String {
    let mut out = match m.table {
        Some(t) => format!(" table_id={}", table_text(t, names)),
        None => " table_id: ALL_TABLES".to_owned(),
    };
    match m.miss {
        Some(TableMiss::Controller) => out.push_str(", flow_miss_config=controller"),
        Some(TableMiss::Continue) => out.push_str(", flow_miss_config=continue"),
        Some(TableMiss::Drop) => out.push_str(", flow_miss_config=drop"),
        None => {}
    }
    if version >= Version::Of14 {
        // flags that only a switch says are no way to say it
        let eviction = if m.eviction_flags.is_some() { "***error***" } else { on(m.eviction == Some(true)) };
        let _ = write!(out, ", eviction={eviction}, vacancy={}", on(m.vacancy_events == Some(true)));
        if m.vacancy_events == Some(true) {
            let v = m.vacancy.unwrap_or_default();
            let _ = write!(out, " vacancy:{},{}", v.down, v.up);
        }
    }
    out
}

fn eviction_flags(flags: Option<u32>) -> String {
    let Some(flags) = flags else { return "(default)".to_owned() };
    let known = [(eviction::OTHER, "OTHER"), (eviction::IMPORTANCE, "IMPORTANCE"), (eviction::LIFETIME, "LIFETIME")];
    let mut named: Vec<_> =
        known.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
    let others = flags & !known.iter().fold(0, |all, (bit, _)| all | bit);
    if others != 0 {
        named.push(format!("{others:#x}"));
    }
    if named.is_empty() { "0".to_owned() } else { named.join("|") }
}

fn description(t: &TableDesc, names: &dyn PortNames) -> String {
    let mut out = format!(
        "\n  table {}:\n   eviction={} eviction_flags={}\n   vacancy={}",
        table_text(t.table, names),
        on(t.eviction),
        eviction_flags(t.eviction_flags),
        on(t.vacancy_events)
    );
    if t.vacancy_events {
        let v = t.vacancy.unwrap_or_default();
        let _ = write!(out, " vacancy_down={}% vacancy_up={}% vacancy={}%", v.down, v.up, v.now);
    }
    out + "\n"
}

pub(super) fn descriptions(out: &mut String, tables: &[TableDesc], names: &dyn PortNames) {
    tables.iter().for_each(|t| out.push_str(&description(t, names)));
}

pub(super) fn status(out: &mut String, reason: TableReason, t: &TableDesc, names: &dyn PortNames) {
    let reason = if reason == TableReason::VacancyDown { "VACANCY_DOWN" } else { "VACANCY_UP" };
    let _ = write!(out, " reason={reason}\ntable_desc:-{}", description(t, names));
}
