//! Tables whose changes are logged row by row, for who looks for what happens to them.

use super::Now;
use crate::data::{TableSchema, text};
use crate::table::{Change, Row};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most lines in one second; what is more is counted.
const MOST: u32 = 20;

/// Which tables, and how much was logged lately.
#[derive(Debug, Default)]
pub(super) struct Tlog {
    tables: BTreeSet<(Arc<str>, Arc<str>)>,
    second: u64,
    lines: u32,
    left_out: u64,
}

impl Tlog {
    pub(super) fn set(&mut self, database: &str, table: &str, on: bool) {
        let key = (Arc::from(database), Arc::from(table));
        if on {
            self.tables.insert(key);
        } else {
            self.tables.remove(&key);
        }
    }

    pub(super) fn has(&self, database: &str, table: &str) -> bool {
        !self.tables.is_empty() && self.tables.contains(&(Arc::from(database), Arc::from(table)))
    }

    /// Logs those changes of a database that are of such tables.
    pub(super) fn note(&mut self, database: &str, tables: &[Arc<TableSchema>], changes: &[Change], now: Now) {
        if self.tables.is_empty() {
            return;
        }
        for Change { table, old, new, .. } in changes {
            let Some(schema) = tables.get(*table).filter(|schema| self.has(database, &schema.name)) else { continue };
            let (what, row) = match (old, new) {
                (None, Some(new)) => ("inserted", new),
                (Some(_), Some(new)) => ("updated", new),
                (Some(old), None) => ("deleted", old),
                (None, None) => continue,
            };
            if self.may_log(now) {
                log::info!(target: "transaction", "table:{},op:{what},{}", schema.name, columns(schema, row));
            }
        }
    }

    fn may_log(&mut self, now: Now) -> bool {
        let second = now.monotonic / 1000;
        if second != self.second {
            if self.left_out > 0 {
                log::info!(target: "transaction", "{} more rows changed", self.left_out);
            }
            (self.second, self.lines, self.left_out) = (second, 0, 0);
        }
        if self.lines < MOST {
            self.lines += 1;
            return true;
        }
        self.left_out += 1;
        false
    }
}

fn columns(schema: &TableSchema, row: &Row) -> String {
    let own = schema.columns.iter().zip(&row.columns);
    let own = own.map(|(column, datum)| format!(",{}:{}", column.name, text::datum_as(datum, &column.ty)));
    format!("_uuid:{},_version:{}{}", row.uuid, row.version, own.collect::<String>())
}
