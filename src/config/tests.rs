//! Every error has file, line, key and what was expected; the shipped files are good.

use std::path::Path;

use super::{Config, InterfaceType, is_reachable};

fn error(text: &str) -> String {
    Config::parse(text, Path::new("a.toml")).unwrap_err().to_string()
}

#[test]
fn shipped_files_are_good() {
    for name in ["config/appliance.toml", "config/demo.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        Config::load(&path).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn empty_is_good() {
    assert_eq!(Config::parse("", Path::new("a.toml")).unwrap(), Config::default());
}

#[test]
fn unknown_key_names_line_and_key() {
    let e = error("[cpu]\nworkers = [1]\n\n[switch]\nrun_dir = \"/x\"\n");
    assert!(e.starts_with("a.toml:5: switch.run_dir: unknown field `run_dir`, expected `run-dir`"), "{e}");
}

#[test]
fn wrong_type_names_what_was_expected() {
    let e = error("[limits]\nflow-limit = \"many\"\n");
    assert!(e.starts_with("a.toml:2: limits.flow-limit: invalid type: string \"many\", expected u32"), "{e}");
    let e = error("[cpu]\nworkers = \"some\"\n");
    assert!(e.contains("a.toml:2: cpu.workers:") && e.contains("\"auto\" or a list"), "{e}");
}

#[test]
fn not_toml_names_the_line() {
    let e = error("[cpu]\nworkers = [1\n[switch]\n");
    assert!(e.starts_with("a.toml:"), "{e}");
}

const PORTS: &str = r#"
[[bridge]]
name = "br0"

[[bridge.port]]
name = "a"
type = "dummy"

[[bridge.port]]
name = "b"
type = "dpdk"
options = { dpdk-devargs = "net_null0" }
"#;

#[test]
fn values_are_checked_with_their_line() {
    assert_eq!(error(&format!("{PORTS}tag = 5000\n")), "a.toml:13: bridge.port.tag: is 5000, expected 0 to 4095");
    assert_eq!(
        error(&format!("{PORTS}[[bridge.port]]\nname = \"a\"\ntype = \"tap\"\n")),
        "a.toml:14: bridge.port.name: \"a\" is used before, expected a new name"
    );
    let e = error(&PORTS.replace("dpdk-devargs", "devargs"));
    assert_eq!(e, "a.toml:12: bridge.port.options: unknown key \"devargs\" for type dpdk, expected dpdk-devargs");
    let e = error(&PORTS.replace("type = \"dummy\"", "type = \"patch\"\noptions = { peer = \"zz\" }"));
    assert_eq!(e, "a.toml:8: bridge.port.options: peer \"zz\" is no patch port whose peer is \"a\"");
    let e = error("[[bridge]]\nname = \"br0\"\nother_config = { stp = \"true\" }\n");
    assert!(e.starts_with("a.toml:3: bridge.other_config: unknown key \"stp\""), "{e}");
    let e = error("[cpu]\nworkers = [1, 1]\n");
    assert_eq!(e, "a.toml:2: cpu.workers: core 1 is listed twice, expected different cores");
}

#[test]
fn who_can_reach_it_must_show_something() {
    let e = error("[metrics]\nlisten = \"0.0.0.0:9475\"\n");
    let wanted = "expected metrics.token-file or metrics.tls-client-ca beside it";
    assert_eq!(e, format!("a.toml:2: metrics.listen: is 0.0.0.0:9475, which others can reach, {wanted}"));
    let parse = |more: &str| Config::parse(&format!("[metrics]\nlisten = \"[::]:1\"\n{more}"), Path::new("a.toml"));
    for good in ["enable = false", "token-file = \"t\"", "tls-client-ca = \"a\"\ntls-cert = \"c\"\ntls-key = \"k\""] {
        parse(good).unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    // TLS without asking for the client's certificate hides, and keeps nobody out
    assert!(parse("tls-cert = \"c\"\ntls-key = \"k\"").is_err());
    for (half, key) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert"), ("tls-client-ca", "tls-cert")] {
        let e = error(&format!("[metrics]\n{half} = \"x\"\n"));
        assert!(e.starts_with(&format!("a.toml:2: metrics.{half}: expected metrics.{key}")), "{e}");
    }
}

#[test]
fn loopback_is_ours_alone() {
    for ours in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(!is_reachable(ours.parse().unwrap()), "{ours}");
    }
    for others in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
        assert!(is_reachable(others.parse().unwrap()), "{others}");
    }
}

#[test]
fn topology_is_read() {
    let c = Config::parse(PORTS, Path::new("a.toml")).unwrap();
    assert_eq!(c.bridges[0].ports[1].interface_type, InterfaceType::Dpdk);
    assert!(c.wants_dpdk());
    assert_eq!(c.worker_cores(&[0, 1]), vec![1]);
    assert_eq!(c.worker_cores(&[0]), Vec::<usize>::new());
}

#[test]
fn a_database_by_tls_takes_three_files() {
    let text = |keys: &[&str]| keys.iter().map(|k| format!("{k} = \"x\"\n")).collect::<String>();
    let parse = |keys: &[&str]| Config::parse(&format!("[database]\n{}", text(keys)), Path::new("a.toml"));
    assert!(parse(&["tls-cert", "tls-key", "tls-ca"]).is_ok());
    let e = error("[database]\ntls-cert = \"x\"\ntls-ca = \"x\"\n");
    assert_eq!(e, "a.toml:1: database: has no tls-key, expected it: tls-cert, tls-key and tls-ca go together");
}
