//! Rows as clients write them, through to steps.

use crate::desired::{LOCAL, read};
use crate::{Desired, Step, plan, status, unsupported};
use ovsdb::Json;
use ovsdb::client::Transaction;
use ovsdb::json::parse;
use ovsdb::table::Database;
use ovsdb::txn::{Context, Outcome, execute};
use ovsdb::uuid::Source;
use proptest::prelude::*;
use std::sync::Arc;

struct Db {
    db: Database,
    uuids: Source,
}

impl Db {
    fn new() -> Db {
        let schema = crate::schema::schema().unwrap();
        let mut db = Db { db: Database::new(Arc::new(schema)), uuids: Source::default() };
        let mut t = Transaction::new();
        status::initialise(&mut t);
        db.run(t.operations());
        db
    }

    fn run(&mut self, operations: &[Json]) {
        let mut context = Context {
            read_only: false,
            reserved: false,
            role: None,
            id: None,
            owns: &|_| false,
            elapsed: 0,
            rows_seen: 0,
            uuids: &mut self.uuids,
        };
        match execute(&self.db, operations, &mut context) {
            Outcome::Done(_, Some(commit)) => self.db.apply(&commit.changes),
            other => panic!("{other:?}"),
        }
    }

    fn operations(&mut self, text: &str) {
        let json = parse(format!("[{text}]").as_bytes()).unwrap();
        self.run(json.as_array().unwrap());
    }

    /// A bridge with its own port, and ports: (name, type, columns of Interface, columns of Port).
    fn bridge(&mut self, name: &str, columns: &str, ports: &[(&str, &str, &str, &str)]) {
        let own = [(name, "internal", "", "")];
        let mut text = String::new();
        let mut names = Vec::new();
        for (n, (port, kind, interface, more)) in own.iter().chain(ports).enumerate() {
            text += &format!(
                r#"{{"op":"insert","table":"Interface","uuid-name":"i{n}","row":{{"name":"{port}","type":"{kind}"{interface}}}}},"#
            );
            text += &format!(
                r#"{{"op":"insert","table":"Port","uuid-name":"p{n}","row":{{"name":"{port}","interfaces":["named-uuid","i{n}"]{more}}}}},"#
            );
            names.push(format!(r#"["named-uuid","p{n}"]"#));
        }
        let ports = names.join(",");
        text += &format!(
            r#"{{"op":"insert","table":"Bridge","uuid-name":"b","row":{{"name":"{name}","ports":["set",[{ports}]]{columns}}}}},"#
        );
        text += r#"{"op":"mutate","table":"Open_vSwitch","where":[],"mutations":[["bridges","insert",["named-uuid","b"]]]}"#;
        self.operations(&text);
    }

    fn update(&mut self, table: &str, name: &str, row: &str) {
        self.operations(&format!(
            r#"{{"op":"update","table":"{table}","where":[["name","==","{name}"]],"row":{row}}}"#
        ));
    }
}

/// Carries out what there is to do; the steps in words.
fn follow(db: &Db, now: &mut Desired) -> Vec<String> {
    let steps = plan(now, &read(&db.db, now).desired);
    steps.iter().for_each(|step| now.apply(step));
    assert_eq!(plan(now, &read(&db.db, now).desired), []);
    let words = |step: &Step| match step {
        Step::DelPort { bridge, name } => format!("-{bridge}/{name}"),
        Step::DelBridge { name } => format!("-{name}"),
        Step::AddBridge(b) => format!("+{}", b.name),
        Step::SetBridge { to, .. } => format!("={}", to.name),
        Step::SetVlan { name, .. } => format!("{name} vlan"),
        Step::SetMac { name, .. } => format!("{name} mac"),
        Step::SetPort { port, .. } => format!("{} set", port.name),
        Step::AddPort { bridge, port } => format!("+{bridge}/{} {}", port.name, port.number),
        Step::Settings(map) => format!("settings {}", map.len()),
        Step::Tls(tls) => format!("tls {}", tls.as_ref().map_or("", |t| &t.certificate)),
    };
    steps.iter().map(words).collect()
}

#[test]
fn a_bridge_comes_changes_and_goes() {
    let (mut db, mut now) = (Db::new(), Desired::default());
    assert_eq!(follow(&db, &mut now), Vec::<String>::new());
    let ports = [("p2", "dummy", "", ""), ("p1", "dummy", "", r#","tag":9"#)];
    db.bridge("br0", r#","fail_mode":"secure""#, &ports);
    assert_eq!(follow(&db, &mut now), ["+br0", "+br0/br0 65534", "+br0/p1 1", "+br0/p2 2"]);
    let bridge = &now.bridges["br0"];
    assert!(bridge.secure && bridge.ports["p1"].vlan.tag == Some(9) && bridge.ports["br0"].kind == "internal");
    db.update("Port", "p1", r#"{"tag":10}"#);
    db.update("Bridge", "br0", r#"{"fail_mode":["set",[]]}"#);
    assert_eq!(follow(&db, &mut now), ["=br0", "p1 vlan"]);
    db.update("Interface", "p1", r#"{"options":["map",[["n_rxq","2"]]]}"#);
    assert_eq!(follow(&db, &mut now), ["-br0/p1", "+br0/p1 1"]);
    db.update("Interface", "p1", r#"{"mac":"02:00:00:00:00:01","other_config":["map",[["pmd-rxq-affinity","0:1"]]]}"#);
    assert_eq!(follow(&db, &mut now), ["p1 mac", "p1 set"]);
    db.operations(r#"{"op":"update","table":"Open_vSwitch","where":[],"row":{"bridges":["set",[]],"other_config":["map",[["max-idle","5"]]]}}"#);
    assert_eq!(follow(&db, &mut now), ["-br0/br0", "-br0/p1", "-br0/p2", "-br0", "settings 1"]);
}

#[test]
fn numbers_stay() {
    let (mut db, mut now) = (Db::new(), Desired::default());
    let ports = [
        ("a", "dummy", "", ""),
        ("b", "dummy", r#","ofport":7"#, ""),
        ("c", "dummy", r#","ofport_request":7"#, ""),
        ("d", "dummy", r#","ofport":3"#, ""),
        ("e", "dummy", r#","ofport":-1"#, ""),
    ];
    db.bridge("br0", "", &ports);
    // c asks, d had; b had what c asks for: the next after the highest that nobody asked for
    assert_eq!(
        follow(&db, &mut now),
        ["+br0", "+br0/br0 65534", "+br0/d 3", "+br0/a 4", "+br0/b 5", "+br0/e 6", "+br0/c 7"]
    );
    // who asks goes before who has
    db.update("Interface", "a", r#"{"ofport_request":3}"#);
    assert_eq!(follow(&db, &mut now), ["-br0/a", "-br0/d", "+br0/a 3", "+br0/d 8"]);
    db.update("Interface", "a", r#"{"ofport_request":["set",[]]}"#);
    assert_eq!(follow(&db, &mut now), Vec::<String>::new());
    // a new start: as the rows have it
    db.update("Interface", "d", r#"{"ofport":12}"#);
    db.update("Interface", "a", r#"{"ofport":3}"#);
    let mut again = Desired::default();
    let steps = follow(&db, &mut again);
    assert!(steps.contains(&"+br0/a 3".into()) && steps.contains(&"+br0/d 12".into()), "{steps:?}");
}

#[test]
fn what_cannot_be_is_named() {
    let mut db = Db::new();
    db.bridge(
        "br0",
        r#","datapath_type":"strange","other_config":["map",[["datapath-id","12"],["hwaddr","01:00:00:00:00:00"]]]"#,
        &[
            ("p1", "dummy", r#","mac":"x""#, r#","vlan_mode":"dot1q-tunnel","tag":9,"cvlans":["set",[1,2]],"other_config":["map",[["qinq-ethtype","802.1q"],["priority-tags","odd"]]]"#),
            ("p3", "dummy", r#","mac":"ff:ff:ff:ff:ff:ff""#, ""),
        ],
    );
    let two = r#"{"op":"insert","table":"Interface","uuid-name":"x","row":{"name":"x"}},{"op":"insert","table":"Interface","uuid-name":"y","row":{"name":"y"}},
        {"op":"insert","table":"Port","uuid-name":"bond","row":{"name":"bond","interfaces":["set",[["named-uuid","x"],["named-uuid","y"]]],"bond_mode":"active-backup"}},
        {"op":"mutate","table":"Bridge","where":[],"mutations":[["ports","insert",["named-uuid","bond"]]]}"#;
    db.operations(two);
    db.operations(r#"{"op":"update","table":"Bridge","where":[],"row":{"stp_enable":true}},{"op":"update","table":"Open_vSwitch","where":[],"row":{"other_config":["map",[["max-idle","1"],["magic","1"]]]}}"#);
    let reading = read(&db.db, &Desired::default());
    let mut refused: Vec<&str> = reading.refused.values().map(String::as_str).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["port bond: bonds are not supported yet", "port bond: bonds are not supported yet",]);
    let ports = &reading.desired.bridges["br0"].ports;
    assert_eq!(ports.keys().collect::<Vec<_>>(), ["br0", "p1", "p3"]);
    let vlan = &ports["p1"].vlan;
    assert_eq!((vlan.tag, vlan.cvlans.as_slice(), vlan.mode.as_deref()), (Some(9), &[1, 2][..], Some("dot1q-tunnel")));
    assert_eq!(vlan.other_config.iter().collect::<Vec<_>>(), [(&"qinq-ethtype".to_owned(), &"802.1q".to_owned())]);
    assert_eq!((reading.warnings.len(), reading.notes.len()), (5, 1), "{:?} {:?}", reading.warnings, reading.notes);
    let unsupported = unsupported::unsupported(&db.db, &|key| key == "max-idle", false);
    let wanted = ["Bridge br0: stp_enable", "Open_vSwitch: other_config:magic", "Port bond: bond_mode"];
    assert_eq!(unsupported.iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn controllers_have_the_documented_defaults() {
    let mut db = Db::new();
    db.bridge("br0", r#","protocols":["set",["OpenFlow10","OpenFlow13"]]"#, &[]);
    let targets = [
        ("tcp:10.0.0.1:6653", r#","max_backoff":1000,"inactivity_probe":0,"controller_rate_limit":1000"#),
        ("ptcp:6653", r#","other_config":["map",[["dscp","0"]]],"controller_queue_size":7"#),
        ("ssl:10.0.0.2", r#","type":"service","connection_mode":"out-of-band","enable_async_messages":false"#),
        ("udp:10.0.0.2", ""),
        ("tcp:10.0.0.3", r#","other_config":["map",[["dscp","64"]]]"#),
    ];
    for (n, (target, more)) in targets.iter().enumerate() {
        db.operations(&format!(
            r#"{{"op":"insert","table":"Controller","uuid-name":"c{n}","row":{{"target":"{target}"{more}}}}},
            {{"op":"mutate","table":"Bridge","where":[],"mutations":[["controller","insert",["named-uuid","c{n}"]]]}}"#
        ));
    }
    db.operations(
        r#"{"op":"insert","table":"SSL","uuid-name":"s","row":{"private_key":"k","certificate":"c","ca_cert":"a"}},
        {"op":"update","table":"Open_vSwitch","where":[],"row":{"ssl":["named-uuid","s"]}}"#,
    );
    let mut now = Desired::default();
    assert_eq!(follow(&db, &mut now)[0], "tls c");
    let reading = read(&db.db, &now);
    assert_eq!(reading.warnings.len(), 2, "{:?}", reading.warnings);
    let bridge = &now.bridges["br0"];
    assert_eq!(bridge.protocols, ["OpenFlow10", "OpenFlow13"]);
    let controllers = &bridge.controllers;
    assert_eq!(controllers.len(), 4);
    let millis = |name: &str| {
        let c = &controllers[name];
        (c.max_backoff.as_millis(), c.probe.map(|p| p.as_millis()))
    };
    assert_eq!(millis("tcp:10.0.0.1:6653"), (1000, None));
    assert_eq!(millis("ptcp:6653"), (8000, Some(60_000)));
    assert_eq!(millis("tcp:10.0.0.3"), (8000, Some(5000)));
    let of = |name: &str| {
        let c = &controllers[name];
        (c.service, c.in_band, c.async_messages, c.queue, c.dscp)
    };
    assert_eq!(of("tcp:10.0.0.1:6653"), (false, true, true, 100, 48));
    assert_eq!(of("ptcp:6653"), (true, false, true, 7, 0));
    assert_eq!(of("ssl:10.0.0.2"), (true, false, false, 100, 48));
    assert_eq!(of("tcp:10.0.0.3"), (false, true, true, 100, 48));
    let rates: Vec<_> = controllers.values().filter_map(|c| c.rate).collect();
    assert_eq!(rates, [(1000, 250)]);
    assert!(unsupported::unsupported(&db.db, &|_| true, false).is_empty());
}

#[test]
fn addresses_and_identifiers() {
    let mut db = Db::new();
    db.bridge(
        "br0",
        r#","other_config":["map",[["datapath-id","00000000000000ab"],["hwaddr","02:00:00:00:00:5"],["mac-aging-time","60"]]]"#,
        &[],
    );
    let bridge = read(&db.db, &Desired::default()).desired.bridges.remove("br0").unwrap();
    assert_eq!((bridge.datapath_id, bridge.hwaddr), (Some(0xab), Some([2, 0, 0, 0, 0, 5])));
    assert_eq!(bridge.other_config.keys().collect::<Vec<_>>(), ["mac-aging-time"]);
    for bad in ["", "0", "0x", "zz00000000000000", "+000000000000001", "0x11112222333344445"] {
        db.update("Bridge", "br0", &format!(r#"{{"other_config":["map",[["datapath-id","{bad}"]]]}}"#));
        let reading = read(&db.db, &Desired::default());
        assert_eq!((reading.warnings.len(), reading.notes.len()), (0, 1), "{bad}");
    }
    // says that there is none, as the stock switch takes it
    for none in ["0x0", "0000000000000000"] {
        db.update("Bridge", "br0", &format!(r#"{{"other_config":["map",[["datapath-id","{none}"]]]}}"#));
        let reading = read(&db.db, &Desired::default());
        assert_eq!((reading.warnings.len(), reading.desired.bridges["br0"].datapath_id), (0, None), "{none}");
    }
}

#[test]
fn status_is_written_where_it_differs() {
    let mut db = Db::new();
    db.bridge("br0", "", &[("p1", "dummy", "", "")]);
    let reading = read(&db.db, &Desired::default());
    let port = &reading.desired.bridges["br0"].ports["p1"];
    let mut is = status::Interface {
        ofport: Some(1),
        mac_in_use: Some([2, 0, 0, 0, 0, 1]),
        link_up: Some(true),
        statistics: Some([("rx_packets", 5)].into()),
        ..status::Interface::default()
    };
    let mut say = |is: &status::Interface| {
        let mut t = Transaction::new();
        status::interface(&mut t, &db.db, port.uuid, is);
        let n = t.operations().len();
        db.run(t.operations());
        n
    };
    assert_eq!((say(&is), say(&is)), (1, 0));
    is.statistics = None;
    is.ofport = None;
    assert_eq!(say(&is), 0);
    is.error = Some("no".into());
    assert_eq!((say(&is), say(&is)), (1, 0));
    assert_eq!(crate::rows::Interface::get(&db.db, port.uuid).unwrap().ofport, Some(1));
    let (root, _) = reading.root.unwrap();
    let mut t = Transaction::new();
    status::switch(&mut t, &db.db, root, &status::Switch::default(), Some(4));
    db.run(t.operations());
    assert_eq!(crate::rows::OpenVSwitch::all(&db.db).next().unwrap().cur_cfg, 4);
}

/// Some ports of some bridges.
fn some() -> impl Strategy<Value = Vec<(u8, u8, u8, Option<u8>)>> {
    proptest::collection::vec((0..3u8, 0..6u8, 0..2u8, proptest::option::of(1..8u8)), 0..12)
}

fn build(ports: &[(u8, u8, u8, Option<u8>)]) -> Db {
    let mut db = Db::new();
    for bridge in 0..3 {
        let mut seen = std::collections::BTreeSet::new();
        let own: Vec<(String, &str, String)> = ports
            .iter()
            .filter(|(b, p, ..)| *b == bridge && p % 3 == bridge && seen.insert(*p))
            .map(|(_, p, kind, request)| {
                let request = request.map_or(String::new(), |n| format!(r#","ofport_request":{n}"#));
                (format!("p{p}"), if *kind == 0 { "dummy" } else { "tap" }, request)
            })
            .collect();
        if !own.is_empty() {
            let rows: Vec<_> = own.iter().map(|(n, k, r)| (n.as_str(), *k, r.as_str(), "")).collect();
            db.bridge(&format!("br{bridge}"), "", &rows);
        }
    }
    db
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From anything to anything: the plan arrives, and numbers are given once.
    #[test]
    fn a_plan_arrives(a in some(), b in some()) {
        let mut now = Desired::default();
        follow(&build(&a), &mut now);
        let wanted = read(&build(&b).db, &now).desired;
        for step in plan(&now, &wanted) {
            // a port goes before its bridge does, and comes after it has come
            match &step {
                Step::DelBridge { name } => prop_assert!(now.bridges[name].ports.is_empty()),
                Step::AddPort { bridge, .. } => prop_assert!(now.bridges.contains_key(bridge)),
                _ => {}
            }
            now.apply(&step);
        }
        prop_assert_eq!(&now, &wanted);
        for bridge in wanted.bridges.values() {
            let numbers: std::collections::BTreeSet<u32> = bridge.ports.values().map(|p| p.number).collect();
            prop_assert_eq!(numbers.len(), bridge.ports.len());
            prop_assert!(numbers.contains(&LOCAL));
        }
    }
}

#[test]
fn a_bridge_whose_name_could_be_a_path_is_ignored() {
    let mut db = Db::new();
    db.bridge("b/c", "", &[]);
    db.bridge("a", "", &[]);
    let reading = read(&db.db, &Desired::default());
    assert_eq!(reading.desired.bridges.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(reading.warnings, ["ignoring bridge with invalid name \"b/c\""]);
    assert!(reading.refused.is_empty());
}
