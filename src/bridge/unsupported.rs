//! What rows have set and the switch does not do yet, a line each: `TABLE NAME: COLUMN`, of maps `COLUMN:KEY`.

use ovsdb::data::{Atom, Datum};
use ovsdb::table::{Database, Row, Table};
use std::collections::BTreeSet;

/// Columns that are done, or that are for others: what people note, what the switch writes.
const DONE: [(&str, &[&str]); 7] = [
    (
        "Open_vSwitch",
        &[
            "bridges",
            "cur_cfg",
            "datapath_types",
            "datapaths",
            "db_version",
            "dpdk_initialized",
            "dpdk_version",
            "external_ids",
            "iface_types",
            "manager_options",
            "next_cfg",
            "other_config",
            "ovs_version",
            "ssl",
            "statistics",
            "system_type",
            "system_version",
        ],
    ),
    (
        "Bridge",
        &[
            "controller",
            "datapath_id",
            "datapath_type",
            "datapath_version",
            "external_ids",
            "fail_mode",
            "flood_vlans",
            "flow_tables",
            "mirrors",
            "name",
            "other_config",
            "ports",
            "protocols",
            "rstp_status",
            "status",
        ],
    ),
    ("Flow_Table", &["external_ids", "flow_limit", "groups", "name", "overflow_policy"]),
    (
        "Controller",
        &[
            "connection_mode",
            "controller_burst_limit",
            "controller_queue_size",
            "controller_rate_limit",
            "enable_async_messages",
            "external_ids",
            "inactivity_probe",
            "is_connected",
            "max_backoff",
            "other_config",
            "role",
            "status",
            "target",
            "type",
        ],
    ),
    (
        "Mirror",
        &[
            "external_ids",
            "name",
            "output_port",
            "output_vlan",
            "select_all",
            "select_dst_port",
            "select_src_port",
            "select_vlan",
            "snaplen",
            "statistics",
        ],
    ),
    (
        "Port",
        &[
            "bond_active_slave",
            "cvlans",
            "external_ids",
            "fake_bridge",
            "interfaces",
            "name",
            "other_config",
            "rstp_statistics",
            "rstp_status",
            "statistics",
            "status",
            "tag",
            "trunks",
            "vlan_mode",
        ],
    ),
    (
        "Interface",
        &[
            "admin_state",
            "bfd_status",
            "cfm_fault",
            "cfm_fault_status",
            "cfm_flap_count",
            "cfm_health",
            "cfm_remote_mpids",
            "cfm_remote_opstate",
            "duplex",
            "error",
            "external_ids",
            "ifindex",
            "lacp_current",
            "link_resets",
            "link_speed",
            "link_state",
            "mac",
            "mac_in_use",
            "mtu",
            "mtu_request",
            "name",
            "ofport",
            "ofport_request",
            "options",
            "other_config",
            "statistics",
            "status",
            "type",
        ],
    ),
];

/// Keys of other_config that are done or change nothing that could be seen; those of Open_vSwitch the caller knows.
const KEYS: [(&str, &[&str]); 4] = [
    (
        "Bridge",
        &[
            "controller-queue-size",
            "datapath-id",
            "disable-in-band",
            "dp-desc",
            "dp-sn",
            "forward-bpdu",
            "hwaddr",
            "mac-aging-time",
            "mac-table-size",
        ],
    ),
    ("Controller", &["dscp"]),
    ("Port", &crate::desired::VLAN_KEYS),
    ("Interface", &["pmd-rxq-affinity"]),
];

/// Options of ports in memory, of every type that they have.
pub const DUMMY: [&str; 7] = ["pcap", "rxq_pcap", "tx_pcap", "stream", "pstream", "ifindex", "numa_id"];

/// Keys of Interface:options that are done, by type; those of other types are said to be wrong by the type's column error.
const OPTIONS: [(&str, &[&str]); 4] = [
    // links are looked at twice a second, whatever their interrupts
    ("dpdk", &["dpdk-devargs", "dpdk-lsc-interrupt", "n_rxq", "n_rxq_desc", "n_txq_desc"]),
    ("dpdkvhostuser", &["n_rxq", "tx-retries-max"]),
    ("dpdkvhostuserclient", &["n_rxq", "tx-retries-max", "vhost-server-path"]),
    ("patch", &["peer"]),
];

fn name_of(table: &Table, row: &Row) -> String {
    let column = table.schema.column("name").or_else(|| table.schema.column("target"));
    let name = column.and_then(|n| row.columns[n].string());
    name.map_or_else(|| table.schema.name.to_string(), |name| format!("{} {name}", table.schema.name))
}

/// The lines. `settings` are the keys of Open_vSwitch:other_config that are done. `in_memory` are ports of any type.
pub fn unsupported(db: &Database, settings: &dyn Fn(&str) -> bool, in_memory: bool) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (name, done) in DONE {
        let Some(table) = db.table(name) else { continue };
        let keys = KEYS.iter().find(|(t, _)| *t == name).map(|(_, keys)| *keys);
        // most columns need no look at their thousands of rows
        let columns = || table.schema.columns.iter().enumerate();
        let undone: Vec<_> = columns().filter(|(_, c)| !done.contains(&&*c.name)).collect();
        let maps: Vec<_> = columns().filter(|(_, c)| matches!(&*c.name, "options" | "other_config")).collect();
        for row in table.rows() {
            for (n, column) in &undone {
                if !column.ty.is_default(&row.columns[*n]) {
                    out.insert(format!("{}: {}", name_of(table, row), column.name));
                }
            }
            for (n, column) in &maps {
                let datum = &row.columns[*n];
                if name == "Interface" && &*column.name == "options" {
                    let kind = table.schema.column("type").and_then(|n| row.columns[n].string()).unwrap_or_default();
                    let known = OPTIONS.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, keys)| keys);
                    let in_memory = in_memory || matches!(kind, "dummy" | "dummy-internal" | "dummy-pmd");
                    let is_known = |key: &&str| {
                        known.contains(key)
                            || in_memory && DUMMY.contains(key)
                            || kind == "dummy-pmd" && *key == "n_rxq"
                    };
                    for key in keys_of(datum).filter(|key| !is_known(key)) {
                        out.insert(format!("{}: options:{key}", name_of(table, row)));
                    }
                }
                if &*column.name != "other_config" {
                    continue;
                }
                let known = |key: &str| keys.map_or_else(|| settings(key), |keys| keys.contains(&key));
                for key in keys_of(datum).filter(|key| !known(key)) {
                    out.insert(format!("{}: other_config:{key}", name_of(table, row)));
                }
            }
        }
    }
    out
}

fn keys_of(datum: &Datum) -> impl Iterator<Item = &str> {
    datum.keys().filter_map(|atom| match atom {
        Atom::String(s) => Some(&**s),
        _ => None,
    })
}
