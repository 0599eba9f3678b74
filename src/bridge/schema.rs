//! The schema of database `Open_vSwitch`: tables, columns, types and constraints of ovs-vswitchd.conf.db(5), in
//! `vswitch.ovsschema` beside this file.

use ovsdb::data::Schema;
use ovsdb::{Error, json};

/// The file.
pub const TEXT: &str = include_str!("vswitch.ovsschema");

/// The database's name.
pub const DATABASE: &str = "Open_vSwitch";

/// Reads it.
///
/// # Errors
/// The built-in schema is wrong.
pub fn schema() -> Result<Schema, Error> {
    let json = json::parse(TEXT.as_bytes()).map_err(|e| Error::new("internal error", e.to_string()))?;
    Schema::from_json(&json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// What one schema says, a line for each thing that it can say.
    fn lines(schema: &Schema) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        for table in &schema.tables {
            let name = &table.name;
            let indexes: Vec<Vec<&str>> =
                table.indexes.iter().map(|index| index.iter().map(|&c| &*table.columns[c].name).collect()).collect();
            out.insert(format!("{name}: root {}, rows {}, {}", table.is_root, table.max_rows, table.mutable));
            out.insert(format!("{name}: indexes {indexes:?}"));
            for c in &table.columns {
                let ty = c.ty.to_json();
                out.insert(format!("{name}.{}: {ty}, mutable {}, persistent {}", c.name, c.mutable, c.persistent));
            }
        }
        out
    }

    fn read(path: &Path) -> Option<Schema> {
        let text = std::fs::read(path).ok()?;
        Some(Schema::from_json(&json::parse(&text).unwrap()).unwrap())
    }

    /// Columns that Open vSwitch 3.1 (schema 8.3.1) has not, or has otherwise.
    const SINCE_3_1: [&str; 7] = [
        "CT_Zone.limit",
        "Datapath.ct_zone_default_limit",
        "Flow_Sample_Collector_Set.local_group_id",
        "Flow_Table.prefixes",
        "IPFIX.stats_interval",
        "IPFIX.template_interval",
        "Mirror.filter",
    ];

    #[test]
    fn it_is_whole() {
        let own = schema().unwrap();
        assert_eq!((&*own.name, own.version.as_str(), own.tables.len()), (DATABASE, "8.8.0", 19));
        assert_eq!(own.tables.iter().map(|t| t.columns.len()).sum::<usize>(), 190);
        assert_eq!(own.tables.iter().filter(|t| t.is_root).count(), 4);
    }

    /// Against the newest public schema, where a copy lies beside the checkout.
    #[test]
    fn it_is_the_newest() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vswitch-4.0.ovsschema");
        let Some(newest) = read(&path) else { return };
        let own = schema().unwrap();
        assert_eq!(own.version, newest.version);
        assert_eq!(lines(&own).symmetric_difference(&lines(&newest)).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    /// Against that of an installed Open vSwitch, which may be older: what is in it is here, and what is here alone came
    /// later.
    #[test]
    fn it_has_what_an_installed_one_has() {
        let Some(installed) = read(Path::new("/usr/share/openvswitch/vswitch.ovsschema")) else { return };
        let own = schema().unwrap();
        let (ours, theirs) = (lines(&own), lines(&installed));
        let unlike: Vec<&String> = ours.symmetric_difference(&theirs).collect();
        if installed.version == own.version {
            assert_eq!(unlike, Vec::<&String>::new());
        }
        let column = |line: &String| line.split(':').next().unwrap_or_default().to_owned();
        let known: BTreeSet<String> = ours.iter().map(column).collect();
        let missing: Vec<&String> = theirs.iter().filter(|line| !known.contains(&column(line))).collect();
        assert_eq!(missing, Vec::<&String>::new());
        let other: Vec<&&String> = unlike.iter().filter(|l| !SINCE_3_1.contains(&column(l).as_str())).collect();
        assert!(installed.version != "8.3.1" || other.is_empty(), "{other:?}");
    }
}
