//! The database's targets: what clients send, transactions, conditions, schemas, files. What a monitor is told is what there
//! is, and all constraints hold whatever was asked for.

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
        // while there is something to read updates wait, so there may be more when that is gone
        loop {
            framer.push(&std::mem::take(self.server.output(who).unwrap()));
            if !self.server.refill(who) {
                break;
            }
        }
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

/// Conditions on table `root`, a line each, on rows that some of the lines change: what a select finds row by row is what a
/// monitor shows, when it gets the condition and as rows change after that.
pub fn condition(bytes: &[u8]) {
    let mut world = World::new();
    let (worker, watcher) = (world.worker, world.watcher);
    for n in 0..6 {
        let row = format!(
            r#"["db",{{"op":"insert","table":"root","row":{{"n":{n},"s":"s{n}","r":["set",[{n}.5,{}]],"b":{},"i":["set",[{n},{}]],
            "e":["set",[{}]],"m":["map",[["a",{n}],["k{n}",1]]]}}}}]"#,
            n % 2,
            n % 2 == 0,
            n + 1,
            ["", "\"red\"", "\"green\""][n % 3]
        );
        world.call(worker, "transact", parse(row.as_bytes()).unwrap());
    }
    world.check();
    let (mut monitor, mut clauses) = (0, vec![]);
    for line in bytes.split(|&b| b == b'\n').take(40) {
        let Ok(json) = parse(line) else { continue };
        let messages = if json.as_object().is_some() {
            // an operation
            let messages = world.call(worker, "transact", Json::Array(vec!["db".into(), json]));
            assert!(messages.iter().any(|m| m.get("id") == Some(&Json::Int(1))), "no reply");
            world.read(watcher)
        } else {
            let change = Json::object([("root", Json::Array(vec![Json::object([("where", json.clone())])]))]);
            let params = Json::Array(vec![Json::Int(monitor), Json::Int(monitor + 1), change]);
            let messages = world.call(watcher, "monitor_cond_change", params);
            let taken = |m: &Json| m.get("id") == Some(&Json::Int(1)) && m.get("error") == Some(&Json::Null);
            if messages.iter().any(taken) {
                monitor += 1;
                clauses = json.as_array().unwrap_or_default().to_vec();
            }
            messages
        };
        world.watch(messages);
        // any of them is enough; none is no condition
        let mut expected = BTreeMap::new();
        let selects = if clauses.is_empty() { vec![vec![]] } else { clauses.iter().map(|c| vec![c.clone()]).collect() };
        for clause in selects {
            let select =
                Json::object([("op", "select".into()), ("table", "root".into()), ("where", Json::Array(clause))]);
            let reply = world.call(worker, "transact", Json::Array(vec!["db".into(), select]));
            let result = reply[0].get("result").and_then(Json::as_array).unwrap();
            for row in result[0].get("rows").and_then(Json::as_array).unwrap() {
                expected.insert(row.get("_uuid").unwrap().to_string(), ());
            }
        }
        let root = world.db().schema.table("root").unwrap();
        let of_root = world.seen.keys().filter(|(table, _)| *table == root);
        let shown: BTreeMap<_, _> =
            of_root.map(|(_, uuid)| (Json::pair("uuid", uuid.to_string()).to_string(), ())).collect();
        assert_eq!(shown, expected, "{}", Json::Array(clauses));
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

/// What a database client sends, in pieces as the first byte says. The server goes on whatever it is, and what it sends is
/// JSON.
pub fn client(bytes: &[u8]) {
    let Some((&cut, rest)) = bytes.split_first() else { return };
    let mut server = Server::new(ovsdb::uuid::Source::default()).unwrap();
    let mut now = Now::default();
    let id = server.connect(Peer { name: "fuzz".into(), probe: 5000, ..Peer::default() }, now);
    for piece in rest.chunks(usize::from(cut).max(1) * 16) {
        now.monotonic += 100;
        server.receive(id, piece, now);
        server.flush(now);
    }
    let sent = server.output(id).cloned().unwrap_or_default();
    let mut framer = ovsdb::json::Framer::default();
    framer.push(&sent);
    while framer.next_value().unwrap().is_some() {}
    assert!(framer.is_empty());
}

/// A database file, standalone or of a cluster: what is read of it is read again when it is written.
pub fn file(bytes: &[u8]) {
    // a checksum is hard to guess: each line is a record
    let text = String::from_utf8_lossy(bytes);
    let records: String = text.lines().filter(|l| !l.is_empty()).map(ovsdb::file::record_text).collect();
    if let Ok(db) = ovsdb::file::parse_snapshot(records.as_bytes()) {
        let rows = ovsdb::Json::Object(ovsdb::file::rows_json(&db)).to_string();
        let again = ovsdb::file::record_text(&db.schema.to_json().to_string()) + &ovsdb::file::record_text(&rows);
        let again = ovsdb::file::parse_snapshot(again.as_bytes()).unwrap();
        assert_eq!(ovsdb::Json::Object(ovsdb::file::rows_json(&again)).to_string(), rows);
    }
    let _ = ovsdb::file::parse_snapshot(bytes);
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.exists() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder = folder.join(format!("ironbridge-fuzz.{}.{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("db");
    for (magic, tail) in [("JSON", &b""[..]), ("CLUSTER", b""), ("JSON", bytes), ("CLUSTER", bytes)] {
        let mut file = records.replace("OVSDB JSON", &format!("OVSDB {magic}")).into_bytes();
        file.extend_from_slice(&tail[..tail.len().min(100)]);
        std::fs::write(&path, file).unwrap();
        on_disk(&path);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn on_disk(path: &std::path::Path) {
    use ovsdb::file::{cluster, open_to_serve, read_records, read_schema, rows_json};
    let mut uuids = ovsdb::uuid::Source::default();
    let _ = (read_schema(path), read_records(path), cluster::member(path));
    let Ok((db, mut file, _)) = open_to_serve(path, &mut uuids) else { return };
    let rows = rows_json(&db);
    file.compact(&db, "fuzz", 1).unwrap();
    drop(file);
    let (mut again, mut file, _) = open_to_serve(path, &mut uuids).unwrap();
    assert!(file.torn.is_none(), "{:?}", file.torn);
    assert_eq!(again.schema, db.schema);
    assert_eq!(rows_json(&again), rows);
    if file.cluster.is_none() {
        // under its own schema as if that were another one
        let same = ovsdb::file::open(path, ovsdb::file::Mode::ReadOnly, Some(db.schema.clone()), &mut uuids);
        if let Ok((same, _)) = same {
            assert_eq!(rows_json(&same), rows);
        }
    }
    // one more commit: some rows go, some come
    let table = |t: &ovsdb::table::Table| ("table", Json::Str(t.schema.name.clone()));
    let delete =
        again.tables.first().map(|t| Json::object([("op", "delete".into()), table(t), ("where", Json::Array(vec![]))]));
    let insert =
        again.tables.last().map(|t| Json::object([("op", "insert".into()), table(t), ("row", Json::object([]))]));
    let operations: Vec<Json> = delete.into_iter().chain(insert).collect();
    let id = uuids.uuid();
    let mut context = ovsdb::txn::Context {
        read_only: false,
        reserved: false,
        role: None,
        id: None,
        owns: &|_| false,
        elapsed: 0,
        uuids: &mut uuids,
        rows_seen: 0,
    };
    let outcome = ovsdb::txn::execute(&again, &operations, &mut context);
    if let ovsdb::txn::Outcome::Done(_, Some(commit)) = outcome {
        file.append(&again, &commit, 2, id);
        file.log.sync().unwrap();
        again.apply(&commit.changes);
        let rows = rows_json(&again);
        drop(file);
        let (last, file, _) = open_to_serve(path, &mut uuids).unwrap();
        assert!(file.torn.is_none(), "{:?}", file.torn);
        assert_eq!(rows_json(&last), rows);
    }
}
