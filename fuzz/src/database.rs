//! The database's targets: transactions and schemas, each line of the input one of them. What a monitor is told is
//! what there is, and all constraints hold whatever was asked for.

use ovsdb::json::{Framer, parse};
use ovsdb::server::{Now, Peer, Server, SessionId};
use ovsdb::table::{Database, Row};
use ovsdb::{Json, Uuid};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Every base type, references of both kinds, indexes, tables that are roots and others.
const SCHEMA: &str = r#"{"name":"db","version":"1.2.3","tables":{
"root":{"isRoot":true,"columns":{
  "n":{"type":"integer"},"r":{"type":{"key":{"type":"real","minReal":-9.5,"maxReal":1e6},"min":0,"max":3}},
  "b":{"type":"boolean"},"s":{"type":{"key":{"type":"string","minLength":0,"maxLength":9}}},
  "e":{"type":{"key":{"type":"string","enum":["set",["red","green"]]},"min":0,"max":1}},
  "i":{"type":{"key":{"type":"integer","minInteger":-5,"maxInteger":99},"min":0,"max":"unlimited"}},
  "m":{"type":{"key":"string","value":"integer","min":0,"max":"unlimited"}},
  "u":{"type":{"key":"integer","value":{"type":"uuid","refTable":"leaf"},"min":0,"max":"unlimited"}},
  "k":{"type":{"key":{"type":"uuid","refTable":"leaf"},"min":0,"max":"unlimited"}},
  "w":{"type":{"key":{"type":"uuid","refTable":"leaf","refType":"weak"},"min":0,"max":"unlimited"}},
  "x":{"type":"integer","ephemeral":true},"f":{"type":"integer","mutable":false}},"indexes":[["n"],["s","b"]]},
"leaf":{"columns":{"n":{"type":"integer"},"next":{"type":{"key":{"type":"uuid","refTable":"leaf"},"min":0,"max":1}},
  "up":{"type":{"key":{"type":"uuid","refTable":"root","refType":"weak"},"min":0,"max":2}}}},
"few":{"isRoot":true,"maxRows":2,"columns":{"n":{"type":"integer"}}}}}"#;

/// Rows as a monitor tells them.
type Seen = BTreeMap<(usize, Uuid), Arc<Row>>;

/// A server with that schema, somebody who works and somebody who watches.
struct World {
    server: Server,
    now: Now,
    worker: SessionId,
    watcher: SessionId,
    seen: Seen,
}

fn text(members: [(&str, Json); 3]) -> String {
    Json::object(members).to_string()
}

impl World {
    fn new() -> World {
        let schema = ovsdb::data::Schema::from_json(&parse(SCHEMA.as_bytes()).unwrap()).unwrap();
        let mut server = Server::new(ovsdb::uuid::Source::default()).unwrap();
        server.host(Database::new(Arc::new(schema)));
        let now = Now::default();
        let mut connect = |name: &str| server.connect(Peer { name: name.into(), ..Peer::default() }, now);
        let (worker, watcher) = (connect("worker"), connect("watcher"));
        let mut world = World { server, now, worker, watcher, seen: Seen::new() };
        let tables =
            Json::object([("root", Json::Array(vec![])), ("leaf", Json::Array(vec![])), ("few", Json::Array(vec![]))]);
        let tables = tables.as_object().unwrap().keys().map(|name| (name.clone(), Json::object([])));
        let params = Json::Array(vec!["db".into(), Json::Int(0), Json::Object(tables.collect())]);
        world.call(watcher, "monitor_cond", params);
        world
    }

    fn call(&mut self, who: SessionId, method: &str, params: Json) -> Vec<Json> {
        self.now.monotonic += 10;
        let request = text([("id", 1.into()), ("method", method.into()), ("params", params)]);
        self.server.receive(who, request.as_bytes(), self.now);
        self.server.flush(self.now);
        assert!(self.server.closing(who).is_none(), "{request}");
        self.read(who)
    }

    fn read(&mut self, who: SessionId) -> Vec<Json> {
        let mut framer = Framer::default();
        framer.push(&std::mem::take(self.server.output(who).unwrap()));
        let mut messages = Vec::new();
        while let Some(message) = framer.next_value().unwrap() {
            messages.push(message);
        }
        assert!(framer.is_empty(), "half a message");
        messages
    }

    fn db(&self) -> &Database {
        &self.server.database("db").unwrap().db
    }

    /// Takes over what the watcher is told.
    fn watch(&mut self, messages: Vec<Json>) {
        for message in messages {
            if message.get("method").and_then(Json::as_str) != Some("update2") {
                continue;
            }
            let updates = &message.get("params").and_then(Json::as_array).unwrap()[1];
            for (table, rows) in updates.as_object().unwrap() {
                let number = self.db().schema.table(table).unwrap();
                let schema = self.db().tables[number].schema.clone();
                for (uuid, update) in rows.as_object().unwrap() {
                    let key = (number, Uuid::parse(uuid).unwrap());
                    let (kind, cells) = update.as_object().unwrap().iter().next().unwrap();
                    let old = self.seen.get(&key);
                    assert_eq!(&**kind == "insert", old.is_none(), "{message}");
                    if &**kind == "delete" {
                        self.seen.remove(&key);
                        continue;
                    }
                    let mut cells = cells.as_object().unwrap().clone();
                    cells.remove("_version");
                    let row = ovsdb::file::changed_row(&schema, old, key.1, &Json::Object(cells), true).unwrap();
                    self.seen.insert(key, Arc::new(row));
                }
            }
        }
    }

    /// What was told is what is there, and everything there may be.
    fn check(&mut self) {
        let messages = self.read(self.watcher);
        self.watch(messages);
        let db = self.db();
        assert_eq!(db.tables.iter().map(|t| t.len()).sum::<usize>(), self.seen.len());
        for (number, table) in db.tables.iter().enumerate() {
            assert!(table.len() <= table.schema.max_rows as usize);
            let mut keys = HashSet::new();
            for row in table.rows() {
                assert_eq!(self.seen[&(number, row.uuid)].columns, row.columns);
                for (at, index) in table.schema.indexes.iter().enumerate() {
                    let key: Vec<_> = index.iter().map(|&c| row.columns[c].clone()).collect();
                    assert!(keys.insert((at, key)), "two rows with one key");
                }
                for (column, datum) in table.schema.columns.iter().zip(&row.columns) {
                    datum.check_atoms(&column.ty).unwrap();
                    datum.check_size(&column.ty).unwrap();
                    let values =
                        column.ty.value.as_ref().map(|value| (value, datum.pairs().iter().map(|(_, v)| v).collect()));
                    for (base, atoms) in [(&column.ty.key, datum.keys().collect::<Vec<_>>())].into_iter().chain(values)
                    {
                        let Some(to) = &base.reference else { continue };
                        let target = db.table(&to.table).unwrap();
                        for uuid in atoms.into_iter().filter_map(|atom| atom.uuid()) {
                            assert!(target.get(uuid).is_some(), "a reference to nothing");
                        }
                    }
                }
            }
        }
    }
}

/// Transactions: each line is the operations of one, or one operation.
pub fn transact(bytes: &[u8]) {
    let mut world = World::new();
    for line in bytes.split(|&b| b == b'\n').take(40) {
        let Ok(json) = parse(line) else { continue };
        let mut params = vec![Json::from("db")];
        match json {
            Json::Array(operations) => params.extend(operations),
            one => params.push(one),
        }
        let worker = world.worker;
        world.call(worker, "transact", Json::Array(params));
        world.check();
    }
}

/// A schema: what is read is written so that it reads the same, and a database of it works.
pub fn schema(bytes: &[u8]) {
    let Ok(json) = parse(bytes) else { return };
    let Ok(schema) = ovsdb::data::Schema::from_json(&json) else { return };
    let again = ovsdb::data::Schema::from_json(&parse(schema.to_json().to_string().as_bytes()).unwrap()).unwrap();
    assert_eq!(again, schema);
    if &*schema.name == ovsdb::server::SERVER_DB {
        return;
    }
    let mut server = Server::new(ovsdb::uuid::Source::default()).unwrap();
    let (name, tables) = (schema.name.clone(), schema.tables.clone());
    server.host(Database::new(Arc::new(schema)));
    let id = server.connect(Peer::default(), Now::default());
    for table in &tables {
        for column in &table.columns {
            let _ = column.ty.english();
        }
        let insert = Json::object([
            ("op", "insert".into()),
            ("table", Json::Str(table.name.clone())),
            ("row", Json::object([])),
        ]);
        let params = Json::Array(vec![Json::Str(name.clone()), insert]);
        let request = text([("id", 1.into()), ("method", "transact".into()), ("params", params)]);
        server.receive(id, request.as_bytes(), Now::default());
    }
    server.flush(Now::default());
    assert!(server.closing(id).is_none());
}
