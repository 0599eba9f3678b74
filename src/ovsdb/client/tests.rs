//! Replicas and a server, joined without sockets.

use super::*;
use crate::data::{Atom, Datum};
use crate::json::parse;
use crate::server::{Now, Peer, Server, SessionId};
use crate::table::Row;
use proptest::prelude::*;

const SCHEMA: &str = r#"{"name":"db","tables":{
  "t":{"isRoot":true,"columns":{"n":{"type":"integer"},
    "s":{"type":{"key":"integer","min":0,"max":"unlimited"}},
    "m":{"type":{"key":"string","value":"integer","min":0,"max":"unlimited"}},
    "o":{"type":{"key":"string","min":0,"max":1}}},"indexes":[["n"]]},
  "u":{"isRoot":true,"columns":{"x":{"type":"boolean"}}}}}"#;

fn database(schema: &str) -> Database {
    Database::new(Arc::new(Schema::from_json(&parse(schema.as_bytes()).unwrap()).unwrap()))
}

struct Pair {
    server: Server,
    now: Now,
    replica: Replica,
    session: Option<SessionId>,
}

impl Pair {
    fn new(wanted: Wanted) -> Pair {
        let mut server = Server::new(Source::default()).unwrap();
        server.host(database(SCHEMA));
        Pair { server, now: Now::default(), replica: Replica::new(wanted), session: None }
    }

    fn connect(&mut self) -> Result<(), Error> {
        self.session = Some(self.server.connect(Peer { name: "test".into(), ..Peer::default() }, self.now));
        self.replica.connected();
        self.run()
    }

    fn disconnect(&mut self) {
        self.server.disconnect(self.session.take().unwrap());
        self.replica.disconnected();
    }

    /// Until neither side has anything to say.
    fn run(&mut self) -> Result<(), Error> {
        loop {
            self.server.flush(self.now);
            let Some(session) = self.session else { return Ok(()) };
            let up = std::mem::take(self.replica.output());
            let down = std::mem::take(self.server.output(session).unwrap());
            if up.is_empty() && down.is_empty() {
                return Ok(());
            }
            self.server.receive(session, &up, self.now);
            // in pieces, so that messages come in parts
            for piece in down.chunks(7) {
                self.replica.receive(piece)?;
            }
        }
    }

    /// Another client's transaction.
    fn other(&mut self, operations: &str) -> String {
        let id = self.server.connect(Peer::default(), self.now);
        let text = format!(r#"{{"id":1,"method":"transact","params":["db",{operations}]}}"#);
        self.server.receive(id, text.as_bytes(), self.now);
        self.server.flush(self.now);
        let answer = String::from_utf8(std::mem::take(self.server.output(id).unwrap())).unwrap();
        self.server.disconnect(id);
        answer
    }

    fn same(&self) -> bool {
        let theirs = &self.server.database("db").unwrap().db;
        let ours = self.replica.database().unwrap();
        let rows = |db: &Database| {
            let mut rows: Vec<(usize, Uuid, Box<[Datum]>)> = Vec::new();
            for (number, table) in db.tables.iter().enumerate() {
                rows.extend(table.rows().map(|r| (number, r.uuid, r.columns.clone())));
            }
            rows.sort_by_key(|r| (r.0, r.1));
            rows
        };
        rows(theirs) == rows(ours)
    }

    fn row(&self, n: i64) -> Arc<Row> {
        let table = self.replica.database().unwrap().table("t").unwrap();
        let column = table.schema.column("n").unwrap();
        let wanted = Datum::One(Atom::Integer(n));
        table.rows().find(|r| r.columns[column] == wanted).unwrap().clone()
    }
}

fn wanted() -> Wanted {
    Wanted { database: "db".into(), ..Wanted::default() }
}

#[test]
fn rows_follow_and_changes_are_told() {
    let mut p = Pair::new(wanted());
    p.other(r#"{"op":"insert","table":"t","row":{"n":1,"s":["set",[1,2]]}}"#);
    p.connect().unwrap();
    assert!(p.replica.is_following() && p.replica.has_lock() && p.same());
    let changes = p.replica.take_changes();
    assert!(changes.reset && changes.rows.is_empty());
    p.other(r#"{"op":"update","table":"t","where":[],"row":{"s":["set",[2,3]],"o":"x","m":["map",[["a",1]]]}}"#);
    p.run().unwrap();
    let changes = p.replica.take_changes();
    assert_eq!((changes.reset, changes.rows.len(), changes.rows[0].columns().count()), (false, 1, 3));
    assert!(p.same());
    p.other(r#"{"op":"update","table":"t","where":[],"row":{"o":["set",[]],"m":["map",[["a",2]]]}}"#);
    p.run().unwrap();
    assert!(p.same());
    p.other(r#"{"op":"delete","table":"t","where":[]}"#);
    p.run().unwrap();
    assert!(p.same() && p.replica.take_changes().rows.last().unwrap().new.is_none());
}

#[test]
fn what_changed_while_there_was_no_connection_is_told() {
    let mut p = Pair::new(wanted());
    for n in 1..=3 {
        p.other(&format!(r#"{{"op":"insert","table":"t","row":{{"n":{n}}}}}"#));
    }
    p.connect().unwrap();
    p.replica.take_changes();
    p.disconnect();
    assert!(!p.replica.is_following() && p.replica.database().is_some());
    p.other(r#"{"op":"delete","table":"t","where":[["n","==",1]]}"#);
    p.other(r#"{"op":"update","table":"t","where":[["n","==",2]],"row":{"n":7}}"#);
    p.other(r#"{"op":"insert","table":"u","row":{"x":true}}"#);
    p.connect().unwrap();
    let changes = p.replica.take_changes();
    assert_eq!((changes.reset, changes.rows.len()), (false, 3));
    assert!(p.same());
}

#[test]
fn conflicts_are_found() {
    let mut p = Pair::new(wanted());
    p.other(r#"{"op":"insert","table":"t","row":{"n":1}}"#);
    p.connect().unwrap();
    let raise = |p: &mut Pair, row: &Row| {
        let mut t = Transaction::new();
        let db = p.replica.database().unwrap();
        t.verify(db, "t", row, &["n", "s"]);
        t.set(db, "t", row, &[("n", Datum::One(Atom::Integer(9))), ("s", Datum::Empty)]);
        t.comment("as planned");
        assert!(!t.is_empty());
        p.replica.transact(t)
    };
    let row = p.row(1);
    p.other(r#"{"op":"update","table":"t","where":[],"row":{"s":5}}"#);
    let first = raise(&mut p, &row);
    p.run().unwrap();
    assert_eq!(p.replica.take_outcomes(), [(first, Outcome::Conflict)]);
    let row = p.row(1);
    raise(&mut p, &row);
    p.run().unwrap();
    assert!(matches!(p.replica.take_outcomes()[..], [(_, Outcome::Committed(_))]));
    assert!(p.same());
    let row = p.row(9);
    assert!(row.columns.contains(&Datum::One(Atom::Integer(9))));
    // the same values again are no change
    let mut t = Transaction::new();
    t.set(p.replica.database().unwrap(), "t", &row, &[("n", Datum::One(Atom::Integer(9)))]);
    assert!(t.is_empty());
}

#[test]
fn refused_and_lost() {
    let mut p = Pair::new(wanted());
    let early = p.replica.transact(Transaction::new());
    assert_eq!(p.replica.take_outcomes(), [(early, Outcome::Unknown)]);
    p.connect().unwrap();
    let mut t = Transaction::new();
    t.insert("t", "one", &[("n", Json::Int(1))]);
    t.insert("t", "two", &[("n", Json::Int(1))]);
    let ticket = p.replica.transact(t.clone());
    p.run().unwrap();
    let outcome = p.replica.take_outcomes();
    assert!(
        matches!(&outcome[..], [(t, Outcome::Refused(why))] if *t == ticket && why.starts_with("constraint violation"))
    );
    let ticket = p.replica.transact(t);
    p.disconnect();
    assert_eq!(p.replica.take_outcomes(), [(ticket, Outcome::Unknown)]);
}

#[test]
fn a_converted_database_is_fetched_anew() {
    let mut p = Pair::new(wanted());
    p.other(r#"{"op":"insert","table":"t","row":{"n":1}}"#);
    p.connect().unwrap();
    p.replica.take_changes();
    let id = p.server.connect(Peer::default(), p.now);
    let schema = SCHEMA.replace(r#""n":{"type":"integer"}"#, r#""n":{"type":"integer"},"new":{"type":"boolean"}"#);
    p.server.receive(id, format!(r#"{{"id":1,"method":"convert","params":["db",{schema}]}}"#).as_bytes(), p.now);
    p.run().unwrap();
    assert!(p.replica.take_changes().reset && p.replica.is_following() && p.same());
    assert!(p.replica.database().unwrap().table("t").unwrap().schema.column("new").is_some());
}

#[test]
fn servers_that_are_not_fit() {
    let mut p = Pair::new(Wanted { database: "none".into(), ..Wanted::default() });
    let error = p.connect().unwrap_err();
    assert!(error.to_string().starts_with("unfit server: no schema of none"), "{error}");
    let says = |text: &str, leader_only: bool| {
        let mut r = Replica::new(Wanted { leader_only, ..wanted() });
        r.connected();
        r.receive(text.as_bytes())
    };
    let row = |more: &str| {
        format!(r#"{{"id":2,"error":null,"result":{{"Database":{{"x":{{"initial":{{"name":"db"{more}}}}}}}}}}}"#)
    };
    assert!(says(&row(r#","model":"clustered","connected":true"#), false).is_ok());
    assert!(says(&row(r#","model":"clustered","connected":true"#), true).is_err());
    assert!(says(&row(r#","model":"clustered","connected":true,"leader":true"#), true).is_ok());
    assert!(says(&row(r#","model":"clustered""#), false).is_err());
    assert!(says(&row(r#","model":"standalone""#), true).is_ok());
    let lost = r#"{"id":null,"method":"update2","params":["_Server",{"Database":{"x":{"modify":{"leader":false}}}}]}"#;
    assert!(says(lost, true).is_err() && says(lost, false).is_ok());
    assert!(says("[]", false).is_err() && says("{,}", false).is_err());
}

#[test]
fn the_lock_goes_round() {
    let mut p = Pair::new(Wanted { lock: Some("switch".into()), ..wanted() });
    p.connect().unwrap();
    assert!(p.replica.has_lock());
    let thief = p.server.connect(Peer::default(), p.now);
    p.server.receive(thief, br#"{"id":1,"method":"steal","params":["switch"]}"#, p.now);
    p.run().unwrap();
    assert!(!p.replica.has_lock() && p.replica.waits_for_lock());
    p.server.disconnect(thief);
    p.run().unwrap();
    assert!(p.replica.has_lock());
    p.disconnect();
    assert!(!p.replica.has_lock());
}

#[test]
fn older_servers_and_echoes() {
    let mut r = Replica::new(wanted());
    r.connected();
    let sent = |r: &mut Replica| String::from_utf8(std::mem::take(r.output())).unwrap();
    sent(&mut r);
    r.receive(br#"{"id":2,"error":{"error":"unknown database"},"result":null}"#).unwrap();
    assert!(sent(&mut r).contains("get_schema"));
    r.receive(format!(r#"{{"id":3,"error":null,"result":{SCHEMA}}}"#).as_bytes()).unwrap();
    for (id, method, next) in [(4, "monitor_cond_since", "monitor_cond"), (5, "monitor_cond", "monitor")] {
        assert!(sent(&mut r).contains(&format!("\"{method}\"")));
        r.receive(format!(r#"{{"id":{id},"error":"unknown method","result":null}}"#).as_bytes()).unwrap();
        assert!(!r.is_following(), "{next}");
    }
    assert!(sent(&mut r).contains("\"monitor\""));
    let row = "550e8400-e29b-41d4-a716-446655440000";
    r.receive(format!(r#"{{"id":6,"error":null,"result":{{"t":{{"{row}":{{"new":{{"n":4}}}}}}}}}}"#).as_bytes())
        .unwrap();
    assert!(r.is_following());
    r.receive(br#"{"id":"x","method":"echo","params":[1]}"#).unwrap();
    assert_eq!(sent(&mut r), r#"{"error":null,"id":"x","result":[1]}"#);
    let update = format!(r#"{{"id":null,"method":"update","params":["db",{{"t":{{"{row}":{{"old":{{"n":4}}}}}}}}]}}"#);
    r.receive(update.as_bytes()).unwrap();
    assert!(r.database().unwrap().table("t").unwrap().is_empty());
}

/// What another client does.
fn operation() -> impl Strategy<Value = String> {
    let set = proptest::collection::vec(0..5i64, 0..4).prop_map(|mut v| {
        v.sort_unstable();
        v.dedup();
        format!(r#"["set",{v:?}]"#)
    });
    let map = proptest::collection::btree_map(0..4i64, 0..3i64, 0..4).prop_map(|m| {
        format!(r#"["map",[{}]]"#, m.iter().map(|(k, v)| format!(r#"["{k}",{v}]"#)).collect::<Vec<_>>().join(","))
    });
    (0..4, 0..6i64, set, map, prop_oneof![Just(r#"["set",[]]"#), Just("\"a\""), Just("\"b\"")]).prop_map(
        |(kind, n, s, m, o)| match kind {
            0 => format!(r#"{{"op":"insert","table":"t","row":{{"n":{n},"s":{s},"m":{m},"o":{o}}}}}"#),
            1 => format!(r#"{{"op":"update","table":"t","where":[["n","==",{n}]],"row":{{"s":{s},"m":{m},"o":{o}}}}}"#),
            2 => format!(r#"{{"op":"delete","table":"t","where":[["n","==",{n}]]}}"#),
            _ => format!(r#"{{"op":"insert","table":"u","row":{{"x":{}}}}}"#, n % 2 == 0),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever others do, and however the connection comes and goes, the rows are the server's.
    #[test]
    fn a_replica_is_a_replica(steps in proptest::collection::vec((operation(), 0..4u8), 1..40)) {
        let mut p = Pair::new(wanted());
        p.connect().unwrap();
        for (operation, what) in steps {
            p.other(&operation);
            match what {
                0 => {
                    p.disconnect();
                    p.connect().unwrap();
                }
                // several changes at once
                1 => {}
                _ => p.run().unwrap(),
            }
        }
        p.run().unwrap();
        prop_assert!(p.same());
    }
}
