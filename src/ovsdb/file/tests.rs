//! Files: what is written is read, what is torn is cut off, links and locks are respected.

use super::*;
use crate::json::parse;
use crate::txn::{Context, Outcome, execute};
use std::path::PathBuf;

const SCHEMA: &str = r#"{"name":"db","tables":{"t":{"columns":{"e":{"type":"integer","ephemeral":true},"m":{"type":{"key":"string","value":"integer","min":0,"max":"unlimited"}},"n":{"type":"integer"},"s":{"type":{"key":"integer","min":0,"max":"unlimited"}}}}}}"#;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ovsdb-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn transact(db: &mut Database, file: &mut DatabaseFile, uuids: &mut Source, operations: &str) {
    let operations = parse(format!("[{operations}]").as_bytes()).unwrap();
    let owns = |_: &str| false;
    let mut context = Context {
        read_only: false,
        reserved: false,
        role: None,
        id: None,
        owns: &owns,
        elapsed: 0,
        uuids,
        rows_seen: 0,
    };
    let outcome = execute(db, operations.as_array().unwrap(), &mut context);
    let Outcome::Done(json, Some(commit)) = outcome else { panic!("{outcome:?}") };
    assert!(!json.to_string().contains("error"), "{json}");
    file.append(db, &commit, 1234, Uuid::ZERO);
    file.log.write().unwrap();
    db.apply(&commit.changes);
}

fn content(db: &Database) -> String {
    Json::Object(rows_json(db)).to_string()
}

#[test]
fn what_is_written_is_read() {
    let folder = Folder::new("roundtrip");
    let path = folder.0.join("db");
    let mut uuids = Source::default();
    create(&path, &parse(SCHEMA.as_bytes()).unwrap()).unwrap();
    let (mut db, mut file) = open(&path, Mode::ReadWrite, None, &mut uuids).unwrap();
    assert!(
        open(&path, Mode::ReadWrite, None, &mut uuids).unwrap_err().to_string().contains("failed to lock lockfile")
    );
    for operations in [
        r#"{"op":"insert","table":"t","row":{"n":1,"s":["set",[1,2]],"m":["map",[["a",1],["b",2]]]}},{"op":"comment","comment":"one\ntwo"}"#,
        r#"{"op":"insert","table":"t","row":{}}"#,
        r#"{"op":"mutate","table":"t","where":[],"mutations":[["n","+=",5],["s","insert",["set",[2,7]]],["m","delete",["set",["a"]]],["m","insert",["map",[["c",3]]]]]}"#,
        r#"{"op":"update","table":"t","where":[["n","==",5]],"row":{"e":9}}"#,
        r#"{"op":"delete","table":"t","where":[["n","==",5]]}"#,
    ] {
        transact(&mut db, &mut file, &mut uuids, operations);
        let (again, other) = open(&path, Mode::ReadOnly, None, &mut uuids).unwrap();
        assert_eq!(other.torn, None);
        assert_eq!(content(&again), content(&db));
    }
    let before = file.log.offset();
    file.compact(&db, "smaller", 5).unwrap();
    assert!(file.log.offset() < before);
    transact(&mut db, &mut file, &mut uuids, r#"{"op":"insert","table":"t","row":{"n":77}}"#);
    drop(file);
    let (again, _) = open(&path, Mode::ReadWrite, None, &mut uuids).unwrap();
    assert_eq!(content(&again), content(&db));
}

#[test]
fn any_tear_loses_the_last_record_alone() {
    let folder = Folder::new("torn");
    let (path, cut) = (folder.0.join("db"), folder.0.join("cut"));
    let mut uuids = Source::default();
    create(&path, &parse(SCHEMA.as_bytes()).unwrap()).unwrap();
    let (mut db, mut file) = open(&path, Mode::ReadWrite, None, &mut uuids).unwrap();
    transact(&mut db, &mut file, &mut uuids, r#"{"op":"insert","table":"t","row":{"n":1}}"#);
    let (first, good) = (content(&db), file.log.offset() as usize);
    transact(&mut db, &mut file, &mut uuids, r#"{"op":"insert","table":"t","row":{"n":2}}"#);
    let bytes = std::fs::read(&path).unwrap();
    for n in good + 1..bytes.len() {
        std::fs::write(&cut, &bytes[..n]).unwrap();
        let (mut again, mut torn) = open(&cut, Mode::ReadWrite, None, &mut uuids).unwrap();
        assert!(torn.torn.is_some(), "{n}");
        assert_eq!(content(&again), first);
        transact(&mut again, &mut torn, &mut uuids, r#"{"op":"insert","table":"t","row":{"n":3}}"#);
        drop(torn);
        let (whole, file) = open(&cut, Mode::ReadOnly, None, &mut uuids).unwrap();
        assert_eq!((content(&whole), file.torn), (content(&again), None));
    }
    for n in good..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[n] ^= 1;
        std::fs::write(&cut, &flipped).unwrap();
        // a digit of the hash in another case is the same hash
        let (again, _) = open(&cut, Mode::ReadOnly, None, &mut uuids).unwrap();
        assert_eq!(content(&again), first, "{n}");
    }
}

#[test]
fn links_lead_to_the_file() {
    let folder = Folder::new("links");
    std::fs::create_dir(folder.0.join("real")).unwrap();
    let link = folder.0.join("db");
    std::os::unix::fs::symlink("real/db", &link).unwrap();
    create(&link, &parse(SCHEMA.as_bytes()).unwrap()).unwrap();
    let mut uuids = Source::default();
    let (db, mut file) = open(&link, Mode::ReadWrite, None, &mut uuids).unwrap();
    file.compact(&db, "", 0).unwrap();
    assert!(link.is_symlink() && folder.0.join("real/db").is_file() && folder.0.join("real/.db.~lock~").is_file());
    assert!(create(&link, &Json::Null).unwrap_err().to_string().contains("(Resource temporarily unavailable)"));
    drop(file);
    assert!(create(&link, &Json::Null).unwrap_err().to_string().ends_with("create failed (File exists)"));
}

#[test]
fn converted_as_far_as_known() {
    let folder = Folder::new("convert");
    let path = folder.0.join("db");
    let mut uuids = Source::default();
    create(&path, &parse(SCHEMA.as_bytes()).unwrap()).unwrap();
    let (mut db, mut file) = open(&path, Mode::ReadWrite, None, &mut uuids).unwrap();
    transact(&mut db, &mut file, &mut uuids, r#"{"op":"insert","table":"t","row":{"n":7,"s":["set",[1,2]]}}"#);
    let to = |text: &str| Arc::new(Schema::from_json(&parse(text.as_bytes()).unwrap()).unwrap());
    let new = to(
        r#"{"name":"db","tables":{"t":{"columns":{"n":{"type":"integer"},"x":{"type":"string"}}},"u":{"columns":{"y":{"type":"real"}}}}}"#,
    );
    let (converted, _) = open(&path, Mode::ReadOnly, Some(new), &mut uuids).unwrap();
    assert!(content(&converted).ends_with("{\"n\":7}}}"));
    let narrow = to(r#"{"name":"db","tables":{"t":{"columns":{"s":{"type":"integer"}}}}}"#);
    assert!(open(&path, Mode::ReadOnly, Some(narrow), &mut uuids).is_err());
}
