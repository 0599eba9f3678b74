//! JSON: what is read is written, what is malformed is refused.

use super::*;
use proptest::prelude::*;

fn round(text: &str) -> String {
    parse(text.as_bytes()).unwrap().to_string()
}

#[test]
fn numbers() {
    for (text, want) in [
        ("0", "0"),
        ("-0", "0"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("9223372036854775807", "9223372036854775807"),
        ("0.1", "0.1"),
        ("1.5e-7", "1.5e-07"),
        ("1e300", "1e+300"),
        ("9223372036854775808", "9.2233720368547758e+18"),
        ("0.30000000000000004", "0.30000000000000004"),
    ] {
        assert_eq!(round(text), want);
    }
    for text in ["01", "-", "1.", "1e", "1e999", "+1", ".5", "0x1"] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn strings() {
    assert_eq!(round(r#""a\u00e9\ud83d\ude00\n\/\"""#), "\"aé😀\\n/\\\"\"");
    assert_eq!(round("\"\\u0001\u{7f}\""), "\"\\u0001\u{7f}\"");
    for text in
        ["\"", "\"\\u0000\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\x\"", "\"\n\"", "\"\\u12\"", "\"\\udc00\""]
    {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(b"\"\xff\"").is_err());
}

#[test]
fn structure() {
    assert_eq!(round(r#" { "b" : [ ] , "a" : { } , "b" : [ 1 , null , true ] } "#), r#"{"a":{},"b":[1,null,true]}"#);
    for text in [
        "",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{1:2}",
        "[1]x",
        "nul",
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(&[b'['; 100_000]).is_err());
}

#[test]
fn indented_for_people() {
    let json = parse(br#"{"b":[1,[]],"a":{},"c":{"d":null}}"#).unwrap();
    assert_eq!(json.pretty(), "{\n  \"a\": {},\n  \"b\": [\n    1,\n    []],\n  \"c\": {\n    \"d\": null}}");
}

#[test]
fn frames_in_pieces() {
    let stream = br#"{"a":"}\"]"}[1,{}] {"b":2}"#;
    let mut framer = Framer::default();
    let mut got = Vec::new();
    for &byte in stream {
        framer.push(&[byte]);
        while let Some(json) = framer.next_value().unwrap() {
            got.push(json.to_string());
        }
    }
    assert_eq!(got, [r#"{"a":"}\"]"}"#, "[1,{}]", r#"{"b":2}"#]);
    framer.push(b"x");
    assert!(framer.next_value().is_err());
    let mut framer = Framer::default();
    framer.push(&[b'['; 5000]);
    assert!(framer.next_value().is_err());
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Int),
        any::<f64>().prop_filter("finite and not whole", |r| r.is_finite() && r.fract() != 0.0).prop_map(Json::Real),
        "[^\0]*".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
            proptest::collection::btree_map("[^\0]*".prop_map(Arc::from), inner, 0..8).prop_map(Json::Object),
        ]
    })
}

proptest! {
    #[test]
    fn written_is_read(json in any_json()) {
        prop_assert_eq!(parse(json.to_string().as_bytes()), Ok(json.clone()));
        prop_assert_eq!(parse(json.pretty().as_bytes()), Ok(json));
    }

    #[test]
    fn members_are_those_of_the_whole(json in any_json(), pretty: bool) {
        let text = if pretty { json.pretty() } else { json.to_string() };
        let mut found = Object::new();
        let done = members(text.as_bytes(), |name, value| {
            found.insert(Arc::from(name), parse(value)?);
            Ok::<_, ParseError>(())
        });
        match json {
            Json::Object(wanted) => {
                prop_assert_eq!(done, Ok(()));
                prop_assert_eq!(found, wanted);
                for n in 0..text.len() {
                    prop_assert!(!text.is_char_boundary(n) || members(&text.as_bytes()[..n], |_, _| Ok::<_, ParseError>(())).is_err());
                }
            }
            _ => prop_assert!(done.is_err()),
        }
    }

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = members(&bytes, |_, value| parse(value).map(drop));
        let mut framer = Framer::default();
        framer.push(&bytes);
        while let Ok(Some(_)) = framer.next_value() {}
    }
}
