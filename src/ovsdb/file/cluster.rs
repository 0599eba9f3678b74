//! The clustered format of ovsdb(5), for clusters of one: what a snapshot leaves behind is in the first record, entries with
//! their terms and numbers follow. Files of larger clusters are read by tools; to be served they need the stock server, which
//! speaks with the others.

use super::log::{Log, Mode};
use super::{History, record, rows_json};
use crate::data::Schema;
use crate::error::Error;
use crate::json::{Json, Object};
use crate::table::Database;
use crate::uuid::{Source, Uuid};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Entries whose changes are kept when a file is read, for clients that come again.
const HISTORY: usize = 100;

/// Who wrote a file.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub server: Uuid,
    /// Not known before a cluster was joined, unless it was named.
    pub cluster: Option<Uuid>,
    pub address: String,
    /// The file is to join a cluster and has no data yet.
    pub joining: bool,
    /// Who else is in it, by server.
    servers: Object,
    election_timer: Option<i64>,
}

/// Where a cluster of one is.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub member: Member,
    term: i64,
    /// Of the last entry.
    pub index: i64,
    /// The name of the last entry.
    pub entry: Uuid,
}

fn bad(name: &str, text: &str) -> Error {
    Error::new("syntax error", format!("{name}: clustered database: {text}"))
}

fn uuid(json: Option<&Json>) -> Option<Uuid> {
    json.and_then(Json::as_str).and_then(Uuid::parse)
}

fn int(json: &Json, name: &str) -> Option<i64> {
    json.get(name).and_then(Json::as_int)
}

impl Member {
    fn from_json(file: &str, json: &Json) -> Result<Member, Error> {
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let need = |name: &str| text(name).ok_or_else(|| bad(file, &format!("no {name} in the first record")));
        let joining = json.get("remote_addresses").is_some();
        Ok(Member {
            name: need("name")?,
            server: uuid(json.get("server_id")).ok_or_else(|| bad(file, "no server_id in the first record"))?,
            cluster: uuid(json.get("cluster_id")),
            address: need("local_address")?,
            joining,
            servers: json.get("prev_servers").and_then(Json::as_object).cloned().unwrap_or_default(),
            election_timer: int(json, "prev_election_timer"),
        })
    }

    /// Whether it is the only member.
    fn is_alone(&self) -> bool {
        let own = self.server.to_string();
        self.servers.len() == 1 && self.servers.contains_key(own.as_str())
    }
}

fn open(path: &Path, mode: Mode) -> Result<Log, Error> {
    let log = Log::open(path, mode)?;
    if log.magic() != "CLUSTER" {
        return Err(Error::new("ovsdb error", format!("{}: not a clustered database", path.display())));
    }
    Ok(log)
}

fn first(log: &mut Log) -> Result<Json, Error> {
    match log.read()? {
        Some(json) => Ok(json),
        None => Err(bad(log.name(), "there is no record in it")),
    }
}

/// Who wrote the file at `path`.
pub fn member(path: &Path) -> Result<Member, Error> {
    let mut log = open(path, Mode::ReadOnly)?;
    let json = first(&mut log)?;
    Member::from_json(log.name(), &json)
}

/// Makes a new file of a cluster of one with these contents. `address` is where others would reach it.
pub fn create(
    path: &Path,
    db: &Database,
    address: &str,
    election_timer: Option<i64>,
    uuids: &mut Source,
) -> Result<(), Error> {
    let server = uuids.uuid();
    let member = Member {
        name: db.schema.name.to_string(),
        server,
        cluster: Some(uuids.uuid()),
        address: address.to_owned(),
        joining: false,
        servers: Object::from([(Arc::from(server.to_string()), Json::from(address))]),
        election_timer,
    };
    let cluster = Cluster { member, term: 1, index: 1, entry: uuids.uuid() };
    let mut log = Log::create(path, "CLUSTER")?;
    log.append(&cluster.snapshot(db, rows_json(db)).to_string())?;
    log.sync()
}

/// Makes a new file that is to join a cluster, for the stock server.
pub fn join(
    path: &Path,
    name: &str,
    address: &str,
    remotes: &[String],
    cluster: Option<Uuid>,
    uuids: &mut Source,
) -> Result<(), Error> {
    let mut json = Object::from([
        (Arc::from("name"), Json::from(name)),
        (Arc::from("server_id"), Json::from(uuids.uuid().to_string())),
        (Arc::from("local_address"), Json::from(address)),
        (Arc::from("remote_addresses"), Json::Array(remotes.iter().map(|r| Json::from(r.as_str())).collect())),
    ]);
    if let Some(cluster) = cluster {
        json.insert(Arc::from("cluster_id"), Json::from(cluster.to_string()));
    }
    let mut log = Log::create(path, "CLUSTER")?;
    log.append(&Json::Object(json).to_string())?;
    log.sync()
}

/// What a file comes to.
pub struct Loaded {
    pub db: Database,
    pub cluster: Cluster,
    pub history: History,
    pub log: Log,
    pub torn: Option<Error>,
}

/// Reads a file. Entries that none of the cluster's majority may have seen are taken as they are.
pub fn load(path: &Path, mode: Mode, uuids: &mut Source) -> Result<Loaded, Error> {
    let mut log = open(path, mode)?;
    let head = first(&mut log)?;
    let name = log.name().to_owned();
    let mut member = Member::from_json(&name, &head)?;
    if member.joining {
        let text =
            format!("{name}: it is to join a cluster, which takes the stock server; this one serves clusters of one");
        return Err(Error::new("ovsdb error", text));
    }
    let mut term = int(&head, "prev_term").unwrap_or(1);
    let mut index = int(&head, "prev_index").unwrap_or(0);
    let mut entry = uuid(head.get("prev_eid")).unwrap_or(Uuid::ZERO);
    // the log may take entries back
    let mut entries: BTreeMap<i64, (Uuid, Json)> = BTreeMap::new();
    let mut torn = None;
    loop {
        let before = log.offset();
        match log.read() {
            Ok(None) => break,
            Ok(Some(json)) => {
                term = term.max(int(&json, "term").unwrap_or(term));
                if let Some(at) = int(&json, "index") {
                    entries.split_off(&at);
                    index = at;
                    if let (Some(id), Some(data)) = (uuid(json.get("eid")), json.get("data")) {
                        entries.insert(at, (id, data.clone()));
                    }
                    if let Some(servers) = json.get("servers").and_then(Json::as_object) {
                        member.servers = servers.clone();
                    }
                    member.election_timer = int(&json, "election_timer").or(member.election_timer);
                }
            }
            Err(error) => {
                log.rewind(before);
                torn = Some(error);
                break;
            }
        }
    }
    if mode != Mode::ReadOnly && !member.is_alone() {
        let n = member.servers.len();
        let text = format!("{name}: a cluster of {n} servers takes the stock server; this one serves clusters of one");
        return Err(Error::new("ovsdb error", text));
    }
    let nothing = || bad(&name, "there is no schema in the first record");
    let mut history = History::default();
    let mut db = replaced(head.get("prev_data"), uuids)?.ok_or_else(nothing)?;
    let keep_from = entries.len().saturating_sub(HISTORY);
    if keep_from == 0 {
        history.push_back((entry, Vec::new()));
    }
    for (at, (id, data)) in entries.into_values().enumerate() {
        if let Some(new) = replaced(Some(&data), uuids)? {
            db = new;
            history.clear();
        } else if let Some([_, changes]) = data.as_array()
            && *changes != Json::Null
        {
            let changes = record::changes(&db, changes, uuids)?;
            db.apply(&changes);
            if at + 1 >= keep_from {
                history.push_back((id, changes));
            }
        }
        entry = id;
    }
    Ok(Loaded { db, cluster: Cluster { member, term, index, entry }, history, log, torn })
}

/// The database that `[<schema>, <rows>]` is; none where the schema is null, and rows are changes.
fn replaced(data: Option<&Json>, uuids: &mut Source) -> Result<Option<Database>, Error> {
    let Some([schema, rows]) = data.and_then(Json::as_array) else { return Ok(None) };
    if *schema == Json::Null {
        return Ok(None);
    }
    let mut db = Database::new(Arc::new(Schema::from_json(schema)?));
    if *rows != Json::Null {
        let changes = record::changes(&db, rows, uuids)?;
        db.apply(&changes);
    }
    Ok(Some(db))
}

impl Cluster {
    /// The first record of a file that has `rows` and nothing else.
    pub(super) fn snapshot(&self, db: &Database, rows: Object) -> Json {
        let Member { name, server, cluster, address, servers, election_timer, .. } = &self.member;
        let mut json = Object::from([
            (Arc::from("name"), Json::from(name.as_str())),
            (Arc::from("server_id"), Json::from(server.to_string())),
            (Arc::from("cluster_id"), Json::from(cluster.unwrap_or(Uuid::ZERO).to_string())),
            (Arc::from("local_address"), Json::from(address.as_str())),
            (Arc::from("prev_term"), Json::Int(self.term)),
            (Arc::from("prev_index"), Json::Int(self.index)),
            (Arc::from("prev_eid"), Json::from(self.entry.to_string())),
            (Arc::from("prev_servers"), Json::Object(servers.clone())),
            (Arc::from("prev_data"), Json::Array(vec![db.schema.to_json(), Json::Object(rows)])),
        ]);
        if let Some(timer) = election_timer {
            json.insert(Arc::from("prev_election_timer"), Json::Int(*timer));
        }
        Json::Object(json)
    }

    /// The vote that keeps this server the leader.
    pub(super) fn vote(&self) -> Json {
        Json::object([("term", Json::Int(self.term)), ("vote", Json::from(self.member.server.to_string()))])
    }

    /// The records that begin a new term, with this server as the leader.
    pub(super) fn begin_term(&mut self) -> [Json; 4] {
        self.term += 1;
        self.index += 1;
        let server = || Json::from(self.member.server.to_string());
        [
            Json::object([("term", Json::Int(self.term))]),
            self.vote(),
            Json::object([("term", Json::Int(self.term)), ("leader", server())]),
            Json::object([("term", Json::Int(self.term)), ("index", Json::Int(self.index))]),
        ]
    }

    /// The next entry: changes, or all there is under a new schema.
    pub(super) fn entry(&self, id: Uuid, schema: Json, data: Json) -> Json {
        Json::object([
            ("term", Json::Int(self.term)),
            ("index", Json::Int(self.index + 1)),
            ("eid", Json::from(id.to_string())),
            ("data", Json::Array(vec![schema, data])),
        ])
    }

    /// That the last entry stays: nobody else is asked.
    pub(super) fn committed(&self) -> Json {
        Json::object([("commit_index", Json::Int(self.index))])
    }

    pub fn term(&self) -> i64 {
        self.term
    }
}
