//! Before the switch starts: the embedded server and its file, the connection, and what the rows say of the start.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use base::clock::Clock;
use bridge::status;
use ovsdb::client::Transaction;
use ovsdb::table::Database as Tables;
use ovsdb::txn::{Context, Outcome, execute};
use ovsdb::uuid::Source;
use ovsdb::{Json, file};
use programs::server::Embedded;
use programs::tls;
use tokio::sync::mpsc::unbounded_channel;

use super::link::{Link, Start};
use super::{Database, Orders};
use crate::config::{self, Bridge, Config, FailMode, InterfaceType, Map, Port, VlanMode};
use crate::run::switch::own_port;

/// How long a start waits for rows. Another server's may come later: then the switch has what they ask for later.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same in deterministic mode, where nothing has to be there from the start.
const DUMMY_PATIENCE: Duration = Duration::from_secs(3);

/// Managers of the embedded server: rows of table Manager.
const MANAGERS: &str = "db:Open_vSwitch,Open_vSwitch,manager_options";

/// Starts what `config` says of the database, and takes over what the rows say of the switch's start. The configuration's
/// bridges are the database's from now on.
///
/// # Errors
/// What kept it from starting.
pub(in crate::run) fn start(config: &mut Config, clock: &Clock) -> Result<Option<(Database, Orders)>, String> {
    let Some(settings) = config.database.clone() else { return Ok(None) };
    let bridges = std::mem::take(&mut config.bridges);
    let mut remotes = settings.remotes.clone();
    let mut server = None;
    if remotes.is_empty() {
        let path = config.file(&settings.file);
        if !path.exists() {
            create(&path, &bridges, &config.other_config, clock)?;
        }
        let socket = config.switch.run_dir.join("db.sock");
        let at = [format!("punix:{}", socket.display()), MANAGERS.to_owned()];
        server = Some(Embedded::start(&path, &at, &config.switch.run_dir).map_err(|e| format!("database: {e}"))?);
        log::info!(target: "ovsdb_server", "{} is served at unix:{}", path.display(), socket.display());
        remotes.push(format!("unix:{}", socket.display()));
    }
    if let (Some(cert), Some(key), Some(ca)) = (&settings.tls_cert, &settings.tls_key, &settings.tls_ca) {
        let name = |file| config.file(file).display().to_string();
        tls::configure(tls::Settings {
            certificate: name(cert),
            private_key: name(key),
            ca_cert: name(ca),
            ..tls::Settings::default()
        });
    }
    let (orders, inbox) = unbounded_channel();
    let (first, there) = sync_channel(1);
    let start = Start {
        clock: clock.clone(),
        remotes: remotes.clone(),
        leader_only: !settings.any_member,
        initialise: server.is_some(),
        in_memory: config.dummy.is_some(),
        orders,
        first,
    };
    let link = Link::start(start).map_err(|e| format!("the database's client: {e}"))?;
    let mut orders = Orders::new(inbox);
    let patience = if config.dummy.is_some() { DUMMY_PATIENCE } else { PATIENCE };
    let order = match there.recv_timeout(patience) {
        Ok(()) => orders.now(),
        Err(_) => {
            log::info!(target: "bridge", "no rows from {} yet: starting without bridges", remotes.join(", "));
            None
        }
    };
    if let Some(order) = &order {
        for wrong in config.adopt(&order.reading.desired.other_config) {
            log::warn!(target: "bridge", "{wrong}");
        }
        let available = crate::run::cores_of(config);
        let missing = config.worker_cores(&available).into_iter().find(|core| !available.contains(core));
        if let Some(core) = missing.filter(|_| order.reading.desired.other_config.contains_key("pmd-cpu-mask")) {
            log::warn!(target: "bridge", "pmd-cpu-mask has core {core}, which may not be used: the mask has no effect");
            config.other_config.remove("pmd-cpu-mask");
        }
        let mask = order.reading.desired.other_config.contains_key("dpdk-lcore-mask");
        if let Some(core) = config.cpu.management.filter(|core| mask && !available.contains(core)) {
            log::warn!(target: "bridge", "dpdk-lcore-mask has core {core}, which may not be used: the mask has no effect");
            config.cpu.management = None;
        }
        if config.dpdk.enable == config::Enable::Auto && wants_dpdk(order) {
            config.dpdk.enable = config::Enable::Yes;
        }
    }
    let cores = config.other_config.contains_key("pmd-cpu-mask");
    if settings.polls_when_needed && config.dpdk.enable != config::Enable::Yes && !cores {
        config.cpu.workers = config::Workers::Cores(Vec::new());
    }
    Ok(Some((Database::new(server, link, order, bridges), orders)))
}

fn wants_dpdk(order: &super::link::Order) -> bool {
    let ports = order.reading.desired.bridges.values().flat_map(|b| b.ports.values());
    ports.into_iter().any(|p| p.kind.starts_with("dpdk"))
}

/// Makes a database with the bridges of a configuration file.
fn create(path: &Path, bridges: &[Bridge], other_config: &Map, clock: &Clock) -> Result<(), String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let schema = bridge::schema::schema().map_err(|e| fail(&e))?;
    let mut db = Tables::new(Arc::new(schema));
    let mut uuids = Source::default();
    let seed = seed(bridges, other_config);
    let mut context = Context {
        read_only: false,
        reserved: false,
        role: None,
        id: None,
        owns: &|_| false,
        elapsed: 0,
        rows_seen: 0,
        uuids: &mut uuids,
    };
    match execute(&db, seed.operations(), &mut context) {
        Outcome::Done(_, Some(commit)) => db.apply(&commit.changes),
        Outcome::Done(results, None) => return Err(fail(&format!("the bridges of the configuration: {results}"))),
        Outcome::Wait(_) => return Err(fail(&"the bridges of the configuration wait")),
    }
    let since = clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let date = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    // under another name until it is whole
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    file::write_new(&new, &db, "made by ironbridge of its configuration file", date).map_err(|e| fail(&e))?;
    std::fs::rename(&new, path).map_err(|e| fail(&e))?;
    if let (Some(folder), Some(name)) = (new.parent(), new.file_name()) {
        let _ = std::fs::remove_file(folder.join(format!(".{}.~lock~", name.to_string_lossy())));
    }
    let n = bridges.len();
    log::info!(target: "bridge", "{}: made, with {n} bridges of the configuration file", path.display());
    Ok(())
}

fn text_map<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Json {
    Json::pair("map", pairs.map(|(k, v)| Json::pair(k.as_str(), v.as_str())).collect::<Vec<_>>())
}

fn named(names: Vec<String>) -> Json {
    Json::pair("set", names.iter().map(|n| Transaction::named(n)).collect::<Vec<_>>())
}

/// The rows that a configuration file's bridges and settings are.
fn seed(bridges: &[Bridge], other_config: &Map) -> Transaction {
    let mut t = Transaction::new();
    let mut names = Vec::new();
    for (b, bridge) in bridges.iter().enumerate() {
        let mut ports = vec![port_rows(&mut t, &format!("b{b}"), &own_port(&bridge.name))];
        for (p, port) in bridge.ports.iter().enumerate() {
            ports.push(port_rows(&mut t, &format!("b{b}p{p}"), port));
        }
        let fail_mode = match bridge.fail_mode {
            FailMode::Standalone => "standalone",
            FailMode::Secure => "secure",
        };
        let cells = [
            ("name", Json::from(bridge.name.as_str())),
            ("datapath_type", "netdev".into()),
            ("fail_mode", fail_mode.into()),
            ("other_config", text_map(bridge.other_config.iter())),
            ("ports", named(ports)),
        ];
        let name = format!("b{b}");
        t.insert("Bridge", &name, &cells);
        names.push(name);
    }
    let cells = [("bridges", named(names)), ("other_config", text_map(other_config.iter()))];
    t.insert("Open_vSwitch", "ovs", &cells);
    t.comment("ironbridge: the configuration file's bridges");
    t
}

/// Rows of a port and its interface; the name of the former.
fn port_rows(t: &mut Transaction, name: &str, port: &Port) -> String {
    let kind = match port.interface_type {
        InterfaceType::Afpacket => "system",
        InterfaceType::Tap => "internal",
        other => other.name(),
    };
    let (of_port, of_interface): (Vec<_>, Vec<_>) =
        port.other_config.iter().partition(|(key, _)| bridge::desired::VLAN_KEYS.contains(&key.as_str()));
    let mut options = port.options.clone();
    for (key, value) in [("n_rxq", port.n_rxq), ("n_rxq_desc", port.n_rxq_desc), ("n_txq_desc", port.n_txq_desc)] {
        options.extend(value.map(|n| (key.to_owned(), n.to_string())));
    }
    let mut cells = vec![
        ("name", Json::from(port.name.as_str())),
        ("type", kind.into()),
        ("options", text_map(options.iter())),
        ("other_config", text_map(of_interface.into_iter())),
    ];
    cells.extend(port.ofport_request.map(|n| ("ofport_request", Json::Int(n.into()))));
    cells.extend(port.mtu_request.map(|n| ("mtu_request", Json::Int(n.into()))));
    let interface = format!("i_{name}");
    t.insert("Interface", &interface, &cells);
    let vlans = |all: &[u16]| Json::pair("set", all.iter().map(|v| Json::Int((*v).into())).collect::<Vec<_>>());
    let mut cells = vec![
        ("name", Json::from(port.name.as_str())),
        ("interfaces", Transaction::named(&interface)),
        ("trunks", vlans(&port.trunks)),
        ("cvlans", vlans(&port.cvlans)),
        ("other_config", text_map(of_port.into_iter())),
    ];
    cells.extend(port.tag.map(|tag| ("tag", Json::Int(tag.into()))));
    cells.extend(port.vlan_mode.map(|mode| {
        let mode = match mode {
            VlanMode::Access => "access",
            VlanMode::Trunk => "trunk",
            VlanMode::NativeTagged => "native-tagged",
            VlanMode::NativeUntagged => "native-untagged",
            VlanMode::Dot1qTunnel => "dot1q-tunnel",
        };
        ("vlan_mode", mode.into())
    }));
    let row = format!("p_{name}");
    t.insert("Port", &row, &cells);
    row
}

/// What a switch says of itself that never changes.
pub(super) fn constants(dpdk: String, initialized: bool) -> status::Switch {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        value.map(|v| v.trim_matches('"').to_owned()).unwrap_or_else(|| "unknown".into())
    };
    let mut iface_types = vec!["dummy", "internal", "patch", "system", "tap"];
    if cfg!(feature = "dpdk") {
        iface_types.extend(["dpdk", "dpdkvhostuser", "dpdkvhostuserclient"]);
    }
    status::Switch {
        ovs_version: programs::setup::OVS_VERSION.into(),
        dpdk_version: dpdk,
        dpdk_initialized: initialized,
        system_type: field("ID"),
        system_version: field("VERSION_ID"),
        datapath_types: vec!["netdev", "system"],
        iface_types,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_has_the_bridges_of_the_file() {
        let folder = std::env::temp_dir().join(format!("ironbridge-seed-{}", std::process::id()));
        let path = folder.join("state/conf.db");
        let config = Config::parse(crate::cli::DEMO, Path::new("demo.toml")).unwrap();
        let mut bridges = config.bridges;
        bridges[0].ports[0].tag = Some(5);
        bridges[0].ports[0].n_rxq = Some(2);
        let settings = Map::from([("pmd-maxsleep".to_owned(), "5".to_owned())]);
        create(&path, &bridges, &settings, &Clock::real()).unwrap();
        let (db, _) = file::open(&path, file::Mode::ReadOnly, None, &mut Source::default()).unwrap();
        let reading = bridge::desired::read(&db, &bridge::Desired::default());
        assert_eq!(reading.warnings, Vec::<String>::new());
        assert_eq!(reading.desired.other_config, settings);
        let made = &reading.desired.bridges["ib-demo"];
        let ports: Vec<(&str, &str, u32)> =
            made.ports.values().map(|p| (p.name.as_str(), p.kind.as_str(), p.number)).collect();
        assert_eq!(ports, [("ib-a", "system", 1), ("ib-b", "system", 2), ("ib-demo", "internal", 65534)]);
        assert_eq!((made.secure, made.ports["ib-a"].vlan.tag), (false, Some(5)));
        assert_eq!(made.ports["ib-a"].options["n_rxq"], "2");
        let left: Vec<_> = std::fs::read_dir(folder.join("state")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["conf.db"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
