//! Types, values and their algebra against naive models.

use super::*;
use crate::json::{Json, parse};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn json(text: &str) -> Json {
    parse(text.as_bytes()).unwrap()
}

fn ty(text: &str) -> Type {
    Type::from_json(&json(text)).unwrap()
}

fn read(of: &str, value: &str) -> Result<String, String> {
    let of = ty(of);
    let text = |d: Datum| {
        let mut text = String::new();
        d.write_as(&of, &mut text);
        assert_eq!(d.to_json_as(&of).to_string(), text);
        text
    };
    Datum::from_json(&of, &json(value), &mut ()).map(text).map_err(|e| e.to_string())
}

#[test]
fn types_are_written_as_read() {
    for text in [
        r#""integer""#,
        r#"{"key":"boolean","min":0}"#,
        r#"{"key":"string","max":"unlimited","min":0,"value":"integer"}"#,
        r#"{"key":{"enum":["set",["a","b"]],"type":"string"}}"#,
        r#"{"key":{"maxInteger":7,"minInteger":-5,"type":"integer"},"max":3}"#,
        r#"{"key":{"maxReal":1.5,"minReal":0,"type":"real"}}"#,
        r#"{"key":{"maxLength":5,"minLength":1,"type":"string"}}"#,
        r#"{"key":{"refTable":"t","refType":"weak","type":"uuid"},"max":"unlimited","min":0}"#,
    ] {
        assert_eq!(ty(text).to_json().to_string(), text);
    }
    for text in [
        r#""void""#,
        r#"{}"#,
        r#"{"key":"real","min":5,"max":3}"#,
        r#"{"key":"real","max":-1}"#,
        r#"{"key":"real","max":0}"#,
        r#"{"key":"uuid","min":10,"max":"unlimited"}"#,
        r#"{"key":{"type":"integer","minInteger":5,"maxInteger":3}}"#,
        r#"{"key":{"type":"string","maxLength":-1}}"#,
        r#"{"key":{"type":"uuid","refTable":"a-b"}}"#,
        r#"{"key":"string","other":1}"#,
    ] {
        assert!(Type::from_json(&json(text)).is_err(), "{text}");
    }
}

#[test]
fn values_and_what_is_wrong_with_them() {
    assert_eq!(read(r#"{"key":"integer","max":5}"#, r#"["set",[3,1]]"#).unwrap(), r#"["set",[1,3]]"#);
    assert_eq!(read(r#"{"key":"integer","max":5}"#, "3").unwrap(), "3");
    assert_eq!(read(r#"{"key":"real","max":5}"#, r#"["set",[0.5,-0.0]]"#).unwrap(), r#"["set",[0,0.5]]"#);
    let map = r#"{"key":"string","value":"integer","min":0,"max":2}"#;
    assert_eq!(read(map, r#"["map",[["b",2],["a",1]]]"#).unwrap(), r#"["map",[["a",1],["b",2]]]"#);
    assert_eq!(read(map, r#"["map",[]]"#).unwrap(), r#"["map",[]]"#);
    for (of, text, want) in [
        (r#""integer""#, "0.5", r#"syntax "0.5": syntax error: expected integer"#),
        (
            r#""integer""#,
            r#"["set",[]]"#,
            r#"syntax "["set",[]]": syntax error: set must have exactly one member but 0 are present"#,
        ),
        (r#"{"key":"integer","max":3}"#, r#"["set",[1,1]]"#, "ovsdb error: set contains duplicate"),
        (r#"{"key":"real","max":5}"#, r#"["set",[0.0,-0.0]]"#, "ovsdb error: set contains duplicate"),
        (map, r#"["map",[["a",1],["a",2]]]"#, "ovsdb error: map contains duplicate key"),
        (map, "1", r#"syntax "1": syntax error: expected ["map", <array>]"#),
        (
            r#"{"key":{"type":"integer","enum":["set",[1,6,8]]}}"#,
            "2",
            "constraint violation: 2 is not one of the allowed values ([1, 6, 8])",
        ),
        (
            r#"{"key":{"type":"integer","minInteger":5}}"#,
            "4",
            "constraint violation: 4 is less than minimum allowed value 5",
        ),
        (
            r#"{"key":{"type":"real","maxReal":-1}}"#,
            "0",
            "constraint violation: 0 is greater than maximum allowed value -1",
        ),
        (
            r#"{"key":{"type":"integer","minInteger":-10,"maxInteger":10}}"#,
            "11",
            "constraint violation: 11 is not in the valid range -10 to 10 (inclusive)",
        ),
        (
            r#"{"key":{"type":"string","minLength":2}}"#,
            "\"𝄞\"",
            "constraint violation: \"𝄞\" length 1 is less than minimum allowed length 2",
        ),
        (
            r#""uuid""#,
            r#"["named-uuid","x"]"#,
            r#"syntax "["named-uuid","x"]": syntax error: expected ["uuid", <string>]"#,
        ),
    ] {
        assert_eq!(read(of, text).unwrap_err(), want);
    }
}

#[test]
fn english() {
    for (text, want) in [
        (r#""integer""#, "integer"),
        (r#"{"key":"integer","min":1,"max":2}"#, "set of 1 to 2 integers"),
        (r#"{"key":"boolean","min":0}"#, "set of up to 1 booleans"),
    ] {
        assert_eq!(ty(text).english(), want);
    }
}

#[test]
fn texts() {
    let of = ty(r#"{"key":"string","value":"integer","min":0,"max":"unlimited"}"#);
    let datum = Datum::from_json(&of, &json(r#"["map",[["a",1],["b b",2],["true",3]]]"#), &mut ()).unwrap();
    assert_eq!(text::datum(&datum, true), r#"{a=1, "b b"=2, "true"=3}"#);
    assert_eq!(text::bare(&datum), "a=1 b b=2 true=3");
}

#[test]
fn schemas_are_written_as_read() {
    let text = r#"{"cksum":"1 2","name":"db","tables":{"a":{"columns":{"n":{"type":"integer"},"r":{"type":{"key":{"refTable":"b","type":"uuid"},"min":0}}},"indexes":[["n"]],"isRoot":true,"maxRows":3},"b":{"columns":{"e":{"ephemeral":true,"type":"string"},"m":{"mutable":false,"type":"real"}}}},"version":"1.2.3"}"#;
    assert_eq!(Schema::from_json(&json(text)).unwrap().to_json().to_string(), text);
    for text in [
        r#"{"name":"db","tables":{"a":{"columns":{}}}}"#,
        r#"{"name":"db","tables":{"a":{"columns":{"_x":{"type":"integer"}}}}}"#,
        r#"{"name":"db","tables":{"a":{"columns":{"r":{"type":{"key":{"type":"uuid","refTable":"q"}}}}}}}"#,
        r#"{"name":"db","tables":{"a":{"columns":{"n":{"type":"integer"}},"indexes":[["n","n"]]}}}"#,
        r#"{"name":"db","tables":{"a":{"columns":{"n":{"type":"integer"}},"indexes":[["q"]]}}}"#,
        r#"{"name":"db","tables":{"a":{"columns":{"n":{"type":"integer","ephemeral":true}},"indexes":[["n"]]}}}"#,
        r#"{"name":"db","tables":{"a":{"columns":{"n":{"type":"integer"}},"maxRows":0}}}"#,
        r#"{"name":"db","tables":{},"version":"xxx"}"#,
        r#"{"tables":{}}"#,
        r#"[]"#,
    ] {
        assert!(Schema::from_json(&json(text)).is_err(), "{text}");
    }
}

fn set(atoms: &BTreeSet<i64>) -> Datum {
    Datum::set(atoms.iter().rev().map(|&i| Atom::Integer(i)).collect())
}

fn map(pairs: &BTreeMap<i64, i64>) -> Datum {
    Datum::map(pairs.iter().rev().map(|(&k, &v)| (Atom::Integer(k), Atom::Integer(v))).collect())
}

proptest! {
    #[test]
    fn sets_as_sets(a in proptest::collection::btree_set(0i64..12, 0..9), b in proptest::collection::btree_set(0i64..12, 0..9)) {
        let of = ty(r#"{"key":"integer","min":0,"max":"unlimited"}"#);
        let (x, y) = (set(&a), set(&b));
        prop_assert_eq!(x.union(&y), set(&a.union(&b).copied().collect()));
        prop_assert_eq!(x.subtract(&y), set(&a.difference(&b).copied().collect()));
        prop_assert_eq!(x.includes(&y), a.is_superset(&b));
        prop_assert_eq!(x.excludes(&y), a.is_disjoint(&b));
        prop_assert_eq!(x.diff(&y, &of), set(&a.symmetric_difference(&b).copied().collect()));
        prop_assert_eq!(x.apply_diff(&x.diff(&y, &of), &of), y);
    }

    #[test]
    fn maps_as_maps(a in proptest::collection::btree_map(0i64..9, 0i64..3, 0..9), b in proptest::collection::btree_map(0i64..9, 0i64..3, 0..9)) {
        let of = ty(r#"{"key":"integer","value":"integer","min":0,"max":"unlimited"}"#);
        let (x, y) = (map(&a), map(&b));
        let union: BTreeMap<i64, i64> = b.iter().chain(&a).map(|(&k, &v)| (k, v)).collect();
        prop_assert_eq!(x.union(&y), map(&union));
        let left: BTreeMap<i64, i64> = a.iter().filter(|&(k, v)| b.get(k) != Some(v)).map(|(&k, &v)| (k, v)).collect();
        prop_assert_eq!(x.subtract(&y), map(&left));
        prop_assert_eq!(x.includes(&y), b.iter().all(|(k, v)| a.get(k) == Some(v)));
        prop_assert_eq!(x.apply_diff(&x.diff(&y, &of), &of), y);
    }
}
