//! What the switch says of itself in rows: columns that differ from what is there already, and no others.

use std::collections::BTreeMap;

use ovsdb::client::Transaction;
use ovsdb::data::{Atom, Datum};
use ovsdb::table::{Database, Row};
use ovsdb::{Json, Uuid};
use std::sync::Arc;

/// Of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// None while it is on its way.
    pub ofport: Option<i64>,
    pub mac_in_use: Option<[u8; 6]>,
    pub ifindex: Option<i64>,
    pub admin_up: Option<bool>,
    pub link_up: Option<bool>,
    pub link_resets: Option<i64>,
    /// Bits per second.
    pub link_speed: Option<i64>,
    pub full_duplex: Option<bool>,
    pub mtu: Option<i64>,
    pub error: Option<String>,
    pub status: BTreeMap<String, String>,
    /// None leaves them as they are.
    pub statistics: Option<BTreeMap<&'static str, i64>>,
}

/// Of a controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Controller {
    pub connected: bool,
    pub role: Option<&'static str>,
    pub status: BTreeMap<String, String>,
}

/// Of the switch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switch {
    pub ovs_version: String,
    pub dpdk_version: String,
    pub dpdk_initialized: bool,
    pub system_type: String,
    pub system_version: String,
    pub datapath_types: Vec<&'static str>,
    pub iface_types: Vec<&'static str>,
}

/// Text of an address.
pub fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn string(text: &str) -> Datum {
    Datum::One(Atom::String(Arc::from(text)))
}

fn optional(text: Option<&str>) -> Datum {
    text.map_or(Datum::Empty, string)
}

fn integer(n: Option<i64>) -> Datum {
    n.map_or(Datum::Empty, |n| Datum::One(Atom::Integer(n)))
}

fn strings<'a>(all: impl IntoIterator<Item = &'a str>) -> Datum {
    Datum::set(all.into_iter().map(|s| Atom::String(Arc::from(s))).collect())
}

fn texts(map: &BTreeMap<String, String>) -> Datum {
    let atom = |text: &str| Atom::String(Arc::from(text));
    Datum::map(map.iter().map(|(key, value)| (atom(key), atom(value))).collect())
}

fn up_or_down(up: Option<bool>) -> Datum {
    optional(up.map(|up| if up { "up" } else { "down" }))
}

fn row<'d>(db: &'d Database, table: &str, uuid: Uuid) -> Option<&'d Row> {
    db.table(table)?.get(uuid).map(|row| &**row)
}

/// Says how an interface is.
pub fn interface(t: &mut Transaction, db: &Database, uuid: Uuid, is: &Interface) {
    let Some(row) = row(db, "Interface", uuid) else { return };
    let mut cells = vec![
        ("mac_in_use", optional(is.mac_in_use.map(mac_text).as_deref())),
        ("ifindex", integer(is.ifindex)),
        ("admin_state", up_or_down(is.admin_up)),
        ("link_state", up_or_down(is.link_up)),
        ("link_resets", integer(is.link_resets)),
        ("link_speed", integer(is.link_speed)),
        ("duplex", optional(is.full_duplex.map(|full| if full { "full" } else { "half" }))),
        ("mtu", integer(is.mtu)),
        ("error", optional(is.error.as_deref())),
        ("status", texts(&is.status)),
    ];
    // while it is on its way it keeps the number that it had
    if is.ofport.is_some() {
        cells.push(("ofport", integer(is.ofport)));
    }
    if let Some(statistics) = &is.statistics {
        let pairs = statistics.iter().map(|(k, n)| (Atom::String(Arc::from(*k)), Atom::Integer(*n)));
        cells.push(("statistics", Datum::map(pairs.collect())));
    }
    t.set(db, "Interface", row, &cells);
}

/// Says how a bridge is.
pub fn bridge(t: &mut Transaction, db: &Database, uuid: Uuid, datapath_id: u64) {
    let Some(row) = row(db, "Bridge", uuid) else { return };
    let cells = [("datapath_id", string(&format!("{datapath_id:016x}"))), ("datapath_version", string("<built-in>"))];
    t.set(db, "Bridge", row, &cells);
}

/// Says how the connection to a controller is.
pub fn controller(t: &mut Transaction, db: &Database, uuid: Uuid, is: &Controller) {
    let Some(row) = row(db, "Controller", uuid) else { return };
    let cells = [
        ("is_connected", Datum::One(Atom::Boolean(is.connected))),
        ("role", optional(is.role)),
        ("status", texts(&is.status)),
    ];
    t.set(db, "Controller", row, &cells);
}

/// Says what the switch is and, where everything up to a `next_cfg` is done, that.
pub fn switch(t: &mut Transaction, db: &Database, uuid: Uuid, is: &Switch, cur_cfg: Option<i64>) {
    let Some(row) = row(db, "Open_vSwitch", uuid) else { return };
    let mut cells = vec![
        ("ovs_version", string(&is.ovs_version)),
        ("dpdk_version", string(&is.dpdk_version)),
        ("dpdk_initialized", Datum::One(Atom::Boolean(is.dpdk_initialized))),
        ("db_version", optional(Some(db.schema.version.as_str()).filter(|v| !v.is_empty()))),
        ("system_type", string(&is.system_type)),
        ("system_version", string(&is.system_version)),
        ("datapath_types", strings(is.datapath_types.iter().copied())),
        ("iface_types", strings(is.iface_types.iter().copied())),
    ];
    if cur_cfg.is_some() {
        cells.push(("cur_cfg", integer(cur_cfg)));
    }
    t.set(db, "Open_vSwitch", row, &cells);
}

/// Writes the row of Open_vSwitch into a database that has none.
pub fn initialise(t: &mut Transaction) {
    t.insert("Open_vSwitch", "ovs", &[("next_cfg", Json::Int(0))]);
}
