//! Clients of a server without sockets.

use super::*;
use crate::json::{Framer, parse};

const SCHEMA: &str = r#"{"name":"db","tables":{"t":{"columns":{"n":{"type":"integer"},"s":{"type":{"key":"integer","min":0,"max":"unlimited"}}}}}}"#;

struct Bench {
    server: Server,
    now: Now,
}

impl Bench {
    fn new() -> Bench {
        let mut server = Server::new(Source::default()).unwrap();
        let schema = Schema::from_json(&parse(SCHEMA.as_bytes()).unwrap()).unwrap();
        server.databases.insert(Arc::from("db"), Hosted::memory(Database::new(Arc::new(schema))));
        server.describe("db");
        Bench { server, now: Now::default() }
    }

    fn connect(&mut self) -> SessionId {
        self.server.connect(Peer { name: "test".into(), ..Peer::default() }, self.now)
    }

    fn send(&mut self, id: SessionId, text: &str) {
        self.server.receive(id, text.as_bytes(), self.now);
        self.server.flush(self.now);
    }

    /// What came, a message each, UUIDs made short.
    fn read(&mut self, id: SessionId) -> Vec<String> {
        let mut framer = Framer::default();
        framer.push(&std::mem::take(self.server.output(id).unwrap()));
        std::iter::from_fn(|| framer.next_value().unwrap()).map(|json| json.to_string()).collect()
    }

    fn call(&mut self, id: SessionId, method: &str, params: &str) -> Vec<String> {
        self.send(id, &format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#));
        let mut got = self.read(id);
        if let Some(last) = got.last_mut()
            && let Some(json) = parse(last.as_bytes()).unwrap().as_object()
        {
            let error = &json["error"];
            *last = if *error == Json::Null { json["result"].to_string() } else { format!("error {error}") };
        }
        got
    }

    fn transact(&mut self, id: SessionId, operation: &str) -> Vec<String> {
        self.call(id, "transact", &format!(r#"["db",{operation}]"#))
    }
}

/// Every UUID as U.
fn plain(texts: Vec<String>) -> Vec<String> {
    let short = |text: String| {
        let mut out = String::new();
        let mut at = 0;
        while at < text.len() {
            match text.get(at..at + 36).and_then(Uuid::parse) {
                Some(_) => {
                    out.push('U');
                    at += 36;
                }
                None => {
                    out.push_str(&text[at..at + 1]);
                    at += 1;
                }
            }
        }
        out
    };
    texts.into_iter().map(short).collect()
}

#[test]
fn updates_come_before_the_reply() {
    let mut b = Bench::new();
    let (a, c) = (b.connect(), b.connect());
    assert_eq!(b.call(a, "list_dbs", "[]"), [r#"["_Server","db"]"#]);
    assert_eq!(b.call(a, "monitor", r#"["db","one",{"t":{"columns":["n"]}}]"#), ["{}"]);
    assert_eq!(
        b.call(a, "monitor_cond", r#"["db","two",{"t":[{"columns":["n","s"],"where":[["n",">",5]]}]}]"#),
        ["{}"]
    );
    assert_eq!(
        plain(b.transact(a, r#"{"op":"insert","table":"t","row":{"n":3,"s":["set",[1,2]]}}"#)),
        [r#"{"id":null,"method":"update","params":["one",{"t":{"U":{"new":{"n":3}}}}]}"#, r#"[{"uuid":["uuid","U"]}]"#]
    );
    b.transact(c, r#"{"op":"update","table":"t","where":[],"row":{"n":7}}"#);
    assert_eq!(
        plain(b.read(a)),
        [
            r#"{"id":null,"method":"update","params":["one",{"t":{"U":{"new":{"n":7},"old":{"n":3}}}}]}"#,
            r#"{"id":null,"method":"update2","params":["two",{"t":{"U":{"insert":{"n":7,"s":["set",[1,2]]}}}}]}"#
        ]
    );
    b.transact(c, r#"{"op":"update","table":"t","where":[],"row":{"s":["set",[2,3]]}}"#);
    assert_eq!(
        plain(b.read(a)),
        [r#"{"id":null,"method":"update2","params":["two",{"t":{"U":{"modify":{"s":["set",[1,3]]}}}}]}"#]
    );
    let changed = b.call(a, "monitor_cond_change", r#"["two","new",{"t":[{"where":[["n","==",1]]}]}]"#);
    assert_eq!(
        plain(changed),
        [r#"{"id":null,"method":"update2","params":["new",{"t":{"U":{"delete":null}}}]}"#, "{}"]
    );
    assert_eq!(b.call(a, "monitor_cancel", r#"["new"]"#), ["{}"]);
    assert_eq!(b.call(a, "monitor_cancel", r#"["new"]"#), [r#"error "unknown monitor""#]);
}

#[test]
fn a_client_that_does_not_read_gets_merged_updates() {
    let mut b = Bench::new();
    let (slow, c) = (b.connect(), b.connect());
    b.call(slow, "monitor", r#"["db","m",{"t":{"columns":["n"]}}]"#);
    b.transact(c, r#"{"op":"insert","table":"t","row":{}}"#);
    let first = b.server.output(slow).unwrap().len();
    for _ in 0..1000 {
        b.transact(c, r#"{"op":"mutate","table":"t","where":[],"mutations":[["n","+=",1]]}"#);
    }
    assert_eq!(b.server.output(slow).unwrap().len(), first);
    b.read(slow);
    // whoever took the output off asks for more
    assert!(b.server.refill(slow));
    assert_eq!(
        plain(b.read(slow)),
        [r#"{"id":null,"method":"update","params":["m",{"t":{"U":{"new":{"n":1000},"old":{"n":0}}}}]}"#]
    );
}

#[test]
fn transactions_wait() {
    let mut b = Bench::new();
    let (a, c) = (b.connect(), b.connect());
    let wait = |ms: u32| {
        format!(
            r#"{{"op":"wait","timeout":{ms},"table":"t","where":[],"columns":["n"],"until":"==","rows":[{{"n":8}}]}}"#
        )
    };
    assert!(b.transact(a, &wait(100)).is_empty());
    b.transact(c, r#"{"op":"insert","table":"t","row":{"n":8}}"#);
    assert_eq!(b.read(a), [r#"{"error":null,"id":1,"result":[{}]}"#]);
    b.transact(c, r#"{"op":"delete","table":"t","where":[]}"#);
    assert!(b.transact(a, &wait(100)).is_empty());
    assert_eq!(b.server.deadline(), Some(100));
    b.now.monotonic = 100;
    b.server.flush(b.now);
    assert_eq!(
        b.read(a),
        [r#"{"error":null,"id":1,"result":[{"details":"\"wait\" timed out after 100 ms","error":"timed out"}]}"#]
    );
    assert!(b.transact(a, &wait(1000)).is_empty());
    b.send(a, r#"{"id":null,"method":"cancel","params":[1]}"#);
    assert_eq!(b.read(a), [r#"{"error":"canceled","id":1,"result":null}"#]);
}

#[test]
fn locks() {
    let mut b = Bench::new();
    let (a, c) = (b.connect(), b.connect());
    assert_eq!(b.call(a, "lock", r#"["x"]"#), [r#"{"locked":true}"#]);
    assert_eq!(b.call(c, "lock", r#"["x"]"#), [r#"{"locked":false}"#]);
    assert!(b.call(a, "lock", r#"["x"]"#)[0].starts_with("error"));
    assert_eq!(
        b.transact(c, r#"{"op":"assert","lock":"x"}"#),
        [r#"[{"details":"Asserted lock x not held.","error":"not owner"}]"#]
    );
    b.server.disconnect(a);
    b.server.flush(b.now);
    assert_eq!(b.read(c), [r#"{"id":null,"method":"locked","params":["x"]}"#]);
    assert_eq!(b.transact(c, r#"{"op":"assert","lock":"x"}"#), ["[{}]"]);
    let d = b.connect();
    assert_eq!(b.call(d, "steal", r#"["x"]"#), [r#"{"locked":true}"#]);
    assert_eq!(b.read(c), [r#"{"id":null,"method":"stolen","params":["x"]}"#]);
    assert_eq!(b.call(d, "unlock", r#"["x"]"#), ["{}"]);
    assert_eq!(b.read(c), [r#"{"id":null,"method":"locked","params":["x"]}"#]);
}

#[test]
fn databases_come_and_go() {
    let mut b = Bench::new();
    let (aware, other) = (b.connect(), b.connect());
    b.call(aware, "set_db_change_aware", "[true]");
    b.call(aware, "monitor", r#"["_Server","s",{"Database":{"columns":["name"]}}]"#);
    b.call(aware, "monitor", r#"["db","m",{"t":{}}]"#);
    assert!(b.server.close("db"));
    assert!(!b.server.close("db") && !b.server.close(SERVER_DB));
    b.server.flush(b.now);
    assert_eq!(
        plain(b.read(aware)),
        [
            r#"{"id":null,"method":"monitor_canceled","params":["m"]}"#,
            r#"{"id":null,"method":"update","params":["s",{"Database":{"U":{"old":{"name":"db"}}}}]}"#
        ]
    );
    assert!(b.server.closing(other).is_some() && b.server.closing(aware).is_none());
}

#[test]
fn silent_and_malformed_clients_go() {
    let mut b = Bench::new();
    let a = b.server.connect(Peer { name: "a".into(), probe: 5000, ..Peer::default() }, b.now);
    b.now.monotonic = 5000;
    b.server.flush(b.now);
    assert_eq!(b.read(a), [r#"{"id":"echo","method":"echo","params":[]}"#]);
    b.send(a, r#"{"id":"echo","result":[],"error":null}"#);
    b.now.monotonic = 10_000;
    b.server.flush(b.now);
    assert!(b.server.closing(a).is_none());
    b.now.monotonic = 15_000;
    b.server.flush(b.now);
    assert!(b.server.closing(a).is_some());
    for text in [
        "x",
        "[1]",
        "{}",
        r#"{"method":5,"params":[]}"#,
        r#"{"method":"echo","params":{},"id":1}"#,
        "{\"a\":\"\\u12\"}",
    ] {
        let a = b.connect();
        b.send(a, text);
        assert!(b.server.closing(a).is_some(), "{text}");
    }
}

#[test]
fn converted_online() {
    let mut b = Bench::new();
    let a = b.connect();
    b.call(a, "set_db_change_aware", "[true]");
    b.transact(a, r#"{"op":"insert","table":"t","row":{"n":3,"s":5}}"#);
    let new = r#"{"name":"db","tables":{"t":{"columns":{"n":{"type":"integer"},"x":{"type":"boolean"}}}}}"#;
    assert_eq!(b.call(a, "convert", &format!(r#"["db",{new}]"#)), ["{}"]);
    assert_eq!(
        b.transact(a, r#"{"op":"select","table":"t","where":[],"columns":["n","x"]}"#),
        [r#"[{"rows":[{"n":3,"x":false}]}]"#]
    );
    assert!(b.call(a, "convert", r#"["db",{"name":"other","tables":{}}]"#)[0].contains("does not match database name"));
}

#[test]
fn who_asks_for_little_does_not_wait() {
    let mut b = Bench::new();
    let first = b.connect();
    let rows: Vec<String> = (0..1000)
        .map(|n| format!(r#"{{"op":"insert","table":"t","row":{{"n":{n},"s":["set",[{n},-1,-2,-3]]}}}}"#))
        .collect();
    b.transact(first, &rows.join(","));
    let greedy: Vec<SessionId> = (0..10).map(|_| b.connect()).collect();
    let all = r#"{"id":1,"method":"transact","params":["db",{"op":"select","table":"t","where":[]}]}"#;
    for &id in &greedy {
        b.server.receive(id, all.repeat(6).as_bytes(), b.now);
    }
    // also one that came after them, and again when they have been served for a while
    let little = b.connect();
    let one = r#"{"id":2,"method":"transact","params":["db",{"op":"mutate","table":"t","where":[["_uuid","==",["uuid","550e8400-e29b-41d4-a716-446655440000"]]],"mutations":[["n","+=",1]]}]}"#;
    let mut replies = vec![0; greedy.len()];
    let mut rounds = 0;
    while b.server.can_resume() {
        for id in [little, first] {
            b.send(id, one);
            let mut got = b.read(id);
            if got.is_empty() {
                // somebody else's request was in work
                b.server.flush(b.now);
                got = b.read(id);
            }
            assert_eq!(got, [r#"{"error":null,"id":2,"result":[{"count":0}]}"#], "round {rounds}");
        }
        for (n, &id) in replies.iter_mut().zip(&greedy) {
            *n += b.read(id).len();
        }
        // nobody is far ahead
        let (least, most) = (replies.iter().min().unwrap(), replies.iter().max().unwrap());
        assert!(most - least <= 2, "{replies:?}");
        rounds += 1;
    }
    assert_eq!(replies, [6; 10]);
    assert!(rounds > 3, "{rounds}");
}
