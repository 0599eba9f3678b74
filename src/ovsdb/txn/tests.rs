//! Transactions as a client sends them; the wording is the stock server's.

use super::*;
use crate::data::Schema;
use crate::json::parse;

const SCHEMA: &str = r#"{"name":"db","tables":{
  "root":{"columns":{"kids":{"type":{"key":{"type":"uuid","refTable":"kid"},"min":0,"max":"unlimited"}},"name":{"type":"string"}},"isRoot":true,"indexes":[["name"]]},
  "kid":{"columns":{"n":{"type":"integer"},"peer":{"type":{"key":{"type":"uuid","refTable":"kid"},"min":0,"max":"unlimited"}},
    "friend":{"type":{"key":{"type":"uuid","refTable":"kid","refType":"weak"},"min":0,"max":"unlimited"}},
    "best":{"type":{"key":"string","value":{"type":"uuid","refTable":"kid","refType":"weak"},"min":0,"max":"unlimited"}}}},
  "one":{"columns":{"i":{"type":"integer","mutable":false},"x":{"type":{"key":"integer","min":1,"max":2}}},"isRoot":true,"maxRows":1}}}"#;

struct Bench {
    db: Database,
    uuids: Source,
}

impl Bench {
    fn new() -> Bench {
        let schema = Schema::from_json(&parse(SCHEMA.as_bytes()).unwrap()).unwrap();
        Bench { db: Database::new(Arc::new(schema)), uuids: Source::default() }
    }

    /// Runs operations, applies what comes out, and checks that the counts beside the rows are what the rows say.
    fn run(&mut self, operations: &str) -> String {
        let operations = parse(format!("[{operations}]").as_bytes()).unwrap();
        let owns = |name: &str| name == "mine";
        let mut context = Context {
            read_only: false,
            reserved: false,
            role: None,
            id: None,
            owns: &owns,
            elapsed: 0,
            rows_seen: 0,
            uuids: &mut self.uuids,
        };
        match execute(&self.db, operations.as_array().unwrap(), &mut context) {
            Outcome::Done(json, commit) => {
                if let Some(commit) = commit {
                    let before = self.db.clone();
                    self.db.apply(&commit.changes);
                    self.verify();
                    self.db.revert(&commit.changes);
                    self.verify();
                    assert_eq!(rows(&before), rows(&self.db));
                    self.db.apply(&commit.changes);
                }
                json.to_string()
            }
            Outcome::Wait(until) => format!("wait {until:?}"),
        }
    }

    fn verify(&self) {
        let mut again = Database::new(self.db.schema.clone());
        let all = |(table, t): (usize, &crate::table::Table)| {
            t.rows().map(|r| Change { table, uuid: r.uuid, old: None, new: Some(r.clone()) }).collect::<Vec<_>>()
        };
        again.apply(&self.db.tables.iter().enumerate().flat_map(all).collect::<Vec<_>>());
        for (a, b) in again.tables.iter().zip(&self.db.tables) {
            assert_eq!(a.indexes, b.indexes);
            assert_eq!(a.referrers, b.referrers);
            let strong =
                |t: &crate::table::Table| t.rows.iter().map(|(u, s)| (*u, s.strong)).collect::<HashMap<_, _>>();
            assert_eq!(strong(a), strong(b));
        }
    }

    fn kids(&mut self) -> String {
        self.run(r#"{"op":"select","table":"kid","where":[],"columns":["n"],"sort":["n"]}"#)
    }
}

fn rows(db: &Database) -> Vec<HashMap<Uuid, Arc<Row>>> {
    db.tables.iter().map(|t| t.rows().map(|r| (r.uuid, r.clone())).collect()).collect()
}

fn details(reply: &str) -> String {
    let json = parse(reply.as_bytes()).unwrap();
    let errors = json.as_array().unwrap().iter().filter_map(|r| r.get("details"));
    errors.filter_map(Json::as_str).collect::<Vec<_>>().join("|")
}

#[test]
fn rows_that_nothing_refers_to_go() {
    let mut b = Bench::new();
    b.run(r#"{"op":"insert","table":"kid","row":{"n":1}}"#);
    assert_eq!(b.kids(), r#"[{"rows":[]}]"#);
    b.run(
        r#"{"op":"insert","table":"root","row":{"name":"r","kids":["named-uuid","a"]}},
           {"op":"insert","table":"kid","uuid-name":"a","row":{"n":1,"peer":["named-uuid","b"]}},
           {"op":"insert","table":"kid","uuid-name":"b","row":{"n":2}},
           {"op":"insert","table":"kid","uuid-name":"c","row":{"n":3,"peer":["named-uuid","c"]}}"#,
    );
    assert_eq!(b.kids(), r#"[{"rows":[{"n":1},{"n":2}]}]"#);
    let text = details(&b.run(r#"{"op":"delete","table":"kid","where":[["n","==",2]]}"#));
    assert!(
        text.starts_with("cannot delete kid row") && text.ends_with("because of 1 remaining reference(s)"),
        "{text}"
    );
    b.run(r#"{"op":"update","table":"root","where":[],"row":{"kids":["set",[]]}}"#);
    assert_eq!(b.kids(), r#"[{"rows":[]}]"#);
}

#[test]
fn weak_references_are_pruned() {
    let mut b = Bench::new();
    b.run(
        r#"{"op":"insert","table":"root","row":{"kids":["set",[["named-uuid","a"],["named-uuid","b"]]]}},
           {"op":"insert","table":"kid","uuid-name":"a","row":{"n":1,"friend":["set",[["named-uuid","b"],["uuid","0e767b36-6822-4044-8307-d58467e04669"]]],"best":["map",[["x",["named-uuid","b"]],["y",["named-uuid","a"]]]]}},
           {"op":"insert","table":"kid","uuid-name":"b","row":{"n":2}}"#,
    );
    let friend = |b: &mut Bench| {
        let a =
            b.db.table("kid")
                .unwrap()
                .rows()
                .find(|r| r.columns[2].single() == Some(&crate::data::Atom::Integer(1)))
                .cloned();
        let a = a.unwrap();
        (a.columns[1].len(), a.columns[0].len())
    };
    assert_eq!(friend(&mut b), (1, 2));
    b.run(
        r#"{"op":"mutate","table":"root","where":[],"mutations":[["kids","delete",["set",[]]]]},
           {"op":"select","table":"root","where":[]}"#,
    );
    let two =
        b.db.table("kid")
            .unwrap()
            .rows()
            .find(|r| r.columns[2].single() == Some(&crate::data::Atom::Integer(2)))
            .unwrap()
            .uuid;
    b.run(&format!(r#"{{"op":"mutate","table":"root","where":[],"mutations":[["kids","delete",["uuid","{two}"]]]}}"#));
    assert_eq!(b.kids(), r#"[{"rows":[{"n":1}]}]"#);
    assert_eq!(friend(&mut b), (0, 1));
}

#[test]
fn errors_leave_nothing() {
    let mut b = Bench::new();
    for (operations, want) in [
        (r#"{"op":"foo"}"#, "Parsing ovsdb operation 1 of 1 failed: No operation \"foo\""),
        (r#"{"op":5}"#, "Parsing ovsdb operation 1 of 1 failed: Type mismatch for member 'op'."),
        ("3", "Parsing ovsdb operation 1 of 1 failed: Object expected."),
        (r#"{"op":"select","table":"zz","where":[]}"#, "Parsing ovsdb operation 1 of 1 failed: No table named zz."),
        (r#"{"op":"select","table":"kid","where":[["q","==",1]]}"#, "No column q in table kid."),
        (r#"{"op":"select","table":"kid","where":[["n","~",1]]}"#, "No function named ~."),
        (r#"{"op":"select","table":"kid","where":[["n",1]]}"#, "Parse error in condition."),
        (
            r#"{"op":"select","table":"kid","where":[["friend","<",["set",[]]]]}"#,
            "Type mismatch: \"<\" operator may not be applied to column friend of type set of uuids.",
        ),
        (
            r#"{"op":"delete","table":"kid","where":[],"x":1}"#,
            "Parsing ovsdb operation 1 of 1 failed: Member 'x' is present but not allowed here.",
        ),
        (r#"{"op":"insert","table":"one","row":{"x":["set",[]]}}"#, "set must have 1 to 2 members but 0 are present"),
        (
            r#"{"op":"insert","table":"one","row":{}},{"op":"insert","table":"one","row":{}}"#,
            "transaction causes \"one\" table to contain 2 rows, greater than the schema-defined limit of 1 row(s)",
        ),
        (
            r#"{"op":"insert","table":"one","row":{}},{"op":"update","table":"one","where":[],"row":{"i":0}}"#,
            "Cannot update immutable column i in table one.",
        ),
        (
            r#"{"op":"insert","table":"one","row":{}},{"op":"mutate","table":"one","where":[],"mutations":[["x","/=",0]]},{"op":"abort"}"#,
            "Division by zero.",
        ),
        (
            r#"{"op":"insert","table":"one","row":{}},{"op":"mutate","table":"one","where":[],"mutations":[["x","delete",0]]}"#,
            "Attempted to store 0 elements in set of 1 to 2 integers.",
        ),
        (
            r#"{"op":"insert","table":"one","uuid-name":"x","row":{}},{"op":"insert","table":"kid","uuid-name":"x","row":{}}"#,
            "This \"uuid-name\" appeared on an earlier \"insert\" operation.",
        ),
        (r#"{"op":"assert","lock":"mine"},{"op":"assert","lock":"x"}"#, "Asserted lock x not held."),
        (r#"{"op":"abort"}"#, "aborted by request"),
        (
            r#"{"op":"wait","timeout":0,"table":"kid","where":[],"columns":["n"],"until":"==","rows":[{"n":8}]}"#,
            "\"where\" clause test failed",
        ),
    ] {
        assert_eq!(details(&b.run(operations)), want);
        assert!(b.db.tables.iter().all(|t| t.is_empty()));
    }
    let missing = b.run(r#"{"op":"insert","table":"root","row":{"kids":["named-uuid","nobody"]}}"#);
    assert!(details(&missing).contains("references nonexistent row"), "{missing}");
    let wait = r#"{"op":"wait","timeout":7,"table":"kid","where":[],"columns":["n"],"until":"==","rows":[{"n":8}]}"#;
    assert_eq!(b.run(wait), "wait Some(7)");
}

#[test]
fn indexes() {
    let mut b = Bench::new();
    let insert = |name: &str| format!(r#"{{"op":"insert","table":"root","row":{{"name":"{name}"}}}}"#);
    b.run(&insert("a"));
    let text = details(&b.run(&insert("a")));
    assert!(
        text.contains("existed in the database before this transaction and was not modified by the transaction"),
        "{text}"
    );
    let text = details(&b.run(&[insert("b"), insert("b")].join(",")));
    assert!(text.contains("identical values (b) for index on column \"name\""), "{text}");
    b.run(&insert("b"));
    let swapped = b.run(
        r#"{"op":"update","table":"root","where":[["name","==","a"]],"row":{"name":"c"}},
           {"op":"update","table":"root","where":[["name","==","b"]],"row":{"name":"a"}},
           {"op":"update","table":"root","where":[["name","==","c"]],"row":{"name":"b"}}"#,
    );
    assert_eq!(swapped, r#"[{"count":1},{"count":1},{"count":1}]"#);
    let select = b.run(r#"{"op":"select","table":"root","where":[["name","==","a"]],"columns":["name"]}"#);
    assert_eq!(select, r#"[{"rows":[{"name":"a"}]}]"#);
}
