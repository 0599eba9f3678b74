//! Rows of the tables that the switch is configured by, as values with fields. A column that an older schema lacks has its
//! default; what is written back goes by names ([`crate::status`]).

use ovsdb::Uuid;
use ovsdb::data::{Atom, AtomKind, Datum, Type};
use ovsdb::table::{Database, Row};
use std::collections::BTreeMap;

/// A map column.
pub type Map = BTreeMap<String, String>;

/// A field's type, and the types of columns that it can be read from.
pub trait Field: Default {
    fn read(datum: &Datum) -> Self;
    fn fits(ty: &Type) -> bool;
}

fn text(atom: &Atom) -> Option<String> {
    match atom {
        Atom::String(s) => Some((**s).to_owned()),
        _ => None,
    }
}

fn integer(atom: &Atom) -> Option<i64> {
    match atom {
        Atom::Integer(n) => Some(*n),
        _ => None,
    }
}

fn is(ty: &Type, kind: AtomKind, min: u32, many: bool) -> bool {
    ty.key.kind == kind && ty.value.is_none() && ty.min == min && (ty.max > 1) == many
}

impl Field for String {
    fn read(datum: &Datum) -> String {
        datum.single().and_then(text).unwrap_or_default()
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::String, 1, false)
    }
}

impl Field for bool {
    fn read(datum: &Datum) -> bool {
        datum.single() == Some(&Atom::Boolean(true))
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::Boolean, 1, false)
    }
}

impl Field for i64 {
    fn read(datum: &Datum) -> i64 {
        datum.single().and_then(integer).unwrap_or_default()
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::Integer, 1, false)
    }
}

impl Field for Option<String> {
    fn read(datum: &Datum) -> Option<String> {
        datum.single().and_then(text)
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::String, 0, false)
    }
}

impl Field for Option<i64> {
    fn read(datum: &Datum) -> Option<i64> {
        datum.single().and_then(integer)
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::Integer, 0, false)
    }
}

impl Field for Option<bool> {
    fn read(datum: &Datum) -> Option<bool> {
        datum.single().map(|atom| *atom == Atom::Boolean(true))
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::Boolean, 0, false)
    }
}

impl Field for Option<Uuid> {
    fn read(datum: &Datum) -> Option<Uuid> {
        datum.single().and_then(Atom::uuid)
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::Uuid, 0, false)
    }
}

impl Field for Vec<String> {
    fn read(datum: &Datum) -> Vec<String> {
        datum.atoms().filter_map(text).collect()
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::String, 0, true)
    }
}

impl Field for Vec<i64> {
    fn read(datum: &Datum) -> Vec<i64> {
        datum.atoms().filter_map(integer).collect()
    }

    fn fits(ty: &Type) -> bool {
        is(ty, AtomKind::Integer, 0, true)
    }
}

impl Field for Vec<Uuid> {
    fn read(datum: &Datum) -> Vec<Uuid> {
        datum.atoms().filter_map(Atom::uuid).collect()
    }

    fn fits(ty: &Type) -> bool {
        ty.key.kind == AtomKind::Uuid && ty.value.is_none() && ty.max > 1
    }
}

impl Field for BTreeMap<i64, Uuid> {
    fn read(datum: &Datum) -> Self {
        datum.pairs().iter().filter_map(|(k, v)| Some((integer(k)?, v.uuid()?))).collect()
    }

    fn fits(ty: &Type) -> bool {
        ty.key.kind == AtomKind::Integer && ty.value.as_ref().is_some_and(|v| v.kind == AtomKind::Uuid)
    }
}

impl Field for Map {
    fn read(datum: &Datum) -> Map {
        datum.pairs().iter().filter_map(|(k, v)| Some((text(k)?, text(v)?))).collect()
    }

    fn fits(ty: &Type) -> bool {
        ty.key.kind == AtomKind::String && ty.value.as_ref().is_some_and(|v| v.kind == AtomKind::String)
    }
}

/// A table's row as a struct: the field, then the column's name.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $table:literal { $($field:ident: $ty:ty = $column:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            pub uuid: Uuid,
            $(pub $field: $ty,)*
        }

        impl $name {
            /// The table's name.
            pub const TABLE: &str = $table;

            /// The columns that are read.
            pub const COLUMNS: &[&str] = &[$($column),*];

            fn read(db: &Database, row: &Row) -> $name {
                let schema = db.table($table).map(|t| &t.schema);
                let column = |name: &str| schema.and_then(|s| s.column(name)).map(|n| &row.columns[n]);
                $name { uuid: row.uuid, $($field: column($column).map(<$ty as Field>::read).unwrap_or_default(),)* }
            }

            /// The row of that name.
            pub fn get(db: &Database, uuid: Uuid) -> Option<$name> {
                db.table($table)?.get(uuid).map(|row| $name::read(db, row))
            }

            /// All rows.
            pub fn all(db: &Database) -> impl Iterator<Item = $name> {
                db.table($table).into_iter().flat_map(|t| t.rows()).map(|row| $name::read(db, row))
            }

            #[cfg(test)]
            fn fits(db: &Database) -> Vec<String> {
                let schema = &db.table($table).unwrap().schema;
                let mut wrong = Vec::new();
                $(
                    let fits = schema.column($column).is_some_and(|n| <$ty as Field>::fits(&schema.columns[n].ty));
                    if !fits {
                        wrong.push(format!("{}.{}", $table, $column));
                    }
                )*
                wrong
            }
        }
    };
}

table!(
    /// The one row of table Open_vSwitch.
    OpenVSwitch, "Open_vSwitch" {
        bridges: Vec<Uuid> = "bridges",
        other_config: Map = "other_config",
        external_ids: Map = "external_ids",
        next_cfg: i64 = "next_cfg",
        cur_cfg: i64 = "cur_cfg",
        ssl: Option<Uuid> = "ssl",
    }
);

table!(
    /// A row of table Bridge.
    Bridge, "Bridge" {
        name: String = "name",
        datapath_type: String = "datapath_type",
        fail_mode: Option<String> = "fail_mode",
        ports: Vec<Uuid> = "ports",
        flood_vlans: Vec<i64> = "flood_vlans",
        mirrors: Vec<Uuid> = "mirrors",
        controllers: Vec<Uuid> = "controller",
        protocols: Vec<String> = "protocols",
        flow_tables: BTreeMap<i64, Uuid> = "flow_tables",
        other_config: Map = "other_config",
    }
);

table!(
    /// A row of table Flow_Table.
    FlowTable, "Flow_Table" {
        name: Option<String> = "name",
        flow_limit: Option<i64> = "flow_limit",
        overflow_policy: Option<String> = "overflow_policy",
        groups: Vec<String> = "groups",
    }
);

table!(
    /// A row of table Port.
    Port, "Port" {
        name: String = "name",
        interfaces: Vec<Uuid> = "interfaces",
        tag: Option<i64> = "tag",
        trunks: Vec<i64> = "trunks",
        vlan_mode: Option<String> = "vlan_mode",
        cvlans: Vec<i64> = "cvlans",
        other_config: Map = "other_config",
    }
);

table!(
    /// A row of table Mirror.
    Mirror, "Mirror" {
        name: String = "name",
        select_all: bool = "select_all",
        select_src_port: Vec<Uuid> = "select_src_port",
        select_dst_port: Vec<Uuid> = "select_dst_port",
        select_vlan: Vec<i64> = "select_vlan",
        output_port: Option<Uuid> = "output_port",
        output_vlan: Option<i64> = "output_vlan",
        snaplen: Option<i64> = "snaplen",
    }
);

table!(
    /// A row of table Interface.
    Interface, "Interface" {
        name: String = "name",
        kind: String = "type",
        options: Map = "options",
        other_config: Map = "other_config",
        mac: Option<String> = "mac",
        ofport: Option<i64> = "ofport",
        ofport_request: Option<i64> = "ofport_request",
        mtu_request: Option<i64> = "mtu_request",
    }
);

table!(
    /// A row of table Controller.
    Controller, "Controller" {
        target: String = "target",
        kind: Option<String> = "type",
        connection_mode: Option<String> = "connection_mode",
        max_backoff: Option<i64> = "max_backoff",
        inactivity_probe: Option<i64> = "inactivity_probe",
        enable_async_messages: Option<bool> = "enable_async_messages",
        queue_size: Option<i64> = "controller_queue_size",
        rate_limit: Option<i64> = "controller_rate_limit",
        burst_limit: Option<i64> = "controller_burst_limit",
        other_config: Map = "other_config",
    }
);

table!(
    /// A row of table SSL.
    Ssl, "SSL" {
        private_key: String = "private_key",
        certificate: String = "certificate",
        ca_cert: String = "ca_cert",
        bootstrap_ca_cert: bool = "bootstrap_ca_cert",
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn fields_fit_their_columns() {
        let db = Database::new(Arc::new(crate::schema::schema().unwrap()));
        let mut wrong = [OpenVSwitch::fits(&db), Bridge::fits(&db), Port::fits(&db), Interface::fits(&db)].concat();
        wrong.extend([Controller::fits(&db), Ssl::fits(&db), Mirror::fits(&db), FlowTable::fits(&db)].concat());
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn what_a_schema_lacks_is_default() {
        let text = r#"{"name":"Open_vSwitch","tables":{"Interface":{"columns":{"name":{"type":"string"}}}}}"#;
        let schema = ovsdb::data::Schema::from_json(&ovsdb::json::parse(text.as_bytes()).unwrap()).unwrap();
        let mut db = Database::new(Arc::new(schema));
        let uuid = Uuid::new(1, 2);
        let mut row = Row::new(&db.tables[0].schema, uuid);
        row.columns[0] = Datum::One(Atom::String(Arc::from("p1")));
        db.apply(&[ovsdb::table::Change { table: 0, uuid, old: None, new: Some(Arc::new(row)) }]);
        let wanted = Interface { uuid, name: "p1".into(), ..Interface::default() };
        assert_eq!(Interface::get(&db, uuid), Some(wanted));
        assert_eq!(Interface::all(&db).count(), 1);
        assert_eq!(OpenVSwitch::all(&db).count(), 0);
    }
}
