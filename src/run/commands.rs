//! What the control socket can ask: one row for each command, with its arguments and what it does.
//!
//! Names are OVS's where OVS has the command (ovs-vswitchd(8), ovs-appctl(8)); `ofctl/*` does what ovs-ofctl(8) does with
//! the same arguments.

use base::log::logger;
use datapath::worker::Megaflow;
use datapath::{Order, Wanted};
use flow::text::parse::parse_match;
use openflow::flow_mod::Command as Verb;
use openflow::group_mod::GroupCommand;
use openflow::text::parse_flow;
use openflow::view::Version;
use openflow::{FlowMod, TableId};
use pipeline::FlowFilter;

use super::dpctl;
use super::dummy::{commands as dummy, time};
use super::fdb;
use super::long;
use super::names::{FlowNames, Names};
use super::ports::Way;
use super::snapshot;
use super::switch::{Later, Switch};
use super::{capture, coverage};
use super::{megaflows, pmd, report, tracing};
use crate::config::{Bridge, FailMode, Port};
use crate::control::Call;

type Answer = Result<String, String>;

/// How a command answers.
enum Run {
    /// At once.
    Now(fn(&mut Switch, &[String]) -> Answer),
    /// When what it changed is published.
    Published(fn(&mut Switch, &[String]) -> Answer),
    /// By itself, later.
    Later(fn(&mut Switch, Call)),
}

struct Row {
    name: &'static str,
    usage: &'static str,
    least: usize,
    most: usize,
    run: Run,
}

const fn row(name: &'static str, usage: &'static str, least: usize, most: usize, run: Run) -> Row {
    Row { name, usage, least, most, run }
}

const MANY: usize = usize::MAX;

const NO_PERF_LOG: &str = "suspicious iterations are not logged: pmd-perf-show and /metrics have histograms of all";

const NO_RATE_LIMIT: &str =
    "messages have no limits that could be lifted: what can come too often is counted, or said once";

/// What a database says, where there is one: what these make would be gone, or wrong, at its next change.
const TOPOLOGY: [&str; 5] = ["bridge/add", "bridge/del", "other-config/set", "port/add", "port/del"];

/// All commands, by name.
static COMMANDS: &[Row] = &[
    row("bridge/add", "name [standalone|secure]", 1, 2, Run::Published(bridge_add)),
    row("bridge/del", "name", 1, 1, Run::Later(bridge_del)),
    row("bridge/dump-flows", "bridge", 1, 1, Run::Later(dump_flows)),
    row("bridge/reconnect", "[bridge]", 0, 1, Run::Now(reconnect)),
    row("coverage/read-counter", "COUNTER", 1, 1, Run::Now(coverage::read)),
    row("coverage/show", "", 0, 0, Run::Now(coverage::show)),
    row("demo/report", "", 0, 0, Run::Now(|s, _| Ok(report::fates(s)))),
    row("dpctl/dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, MANY, Run::Later(megaflows::dump)),
    row("dpctl/get-flow", "[dp] ufid", 1, 2, Run::Later(megaflows::one)),
    row("dpif-netdev/pmd-perf-log-set", "", 0, MANY, Run::Now(|_, _| Err(NO_PERF_LOG.into()))),
    row("dpif-netdev/pmd-perf-show", "[-nh] [-pmd core] [dp]", 0, MANY, Run::Now(pmd::perf)),
    row("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, Run::Now(pmd::rebalance)),
    row("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, Run::Now(pmd::rxqs)),
    row("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, Run::Now(pmd::clear)),
    row("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, Run::Now(pmd::stats)),
    row("dpctl/del-if", "dp iface...", 2, MANY, Run::Later(dpctl::del_if)),
    row("dpctl/del-flows", "[dp]", 0, 1, Run::Later(del_megaflows)),
    row("dpctl/dump-dps", "", 0, 0, Run::Now(|s, _| Ok(dpctl::datapaths(s)))),
    row("dpctl/show", "[dp...]", 0, MANY, Run::Now(dpctl::show)),
    row("dpif/dump-dps", "", 0, 0, Run::Now(|s, _| Ok(dpctl::bridges(s)))),
    row("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 4, Run::Later(megaflows::of_bridge)),
    row("dpif/show", "", 0, 0, Run::Now(|s, _| Ok(dpctl::dpif_show(s)))),
    row("exit", "[--cleanup]", 0, 1, Run::Later(|s, call| s.exit = Some(call))),
    row("explain", "port packet", 2, 2, Run::Published(tracing::explain)),
    row("fdb/add", "bridge port vlan mac", 4, 4, Run::Published(fdb::add)),
    row("fdb/del", "bridge vlan mac", 3, 3, Run::Published(fdb::del)),
    row("fdb/flush", "[bridge]", 0, 1, Run::Published(fdb::flush)),
    row("fdb/show", "bridge", 1, 1, Run::Now(fdb::show)),
    row("fdb/stats-clear", "[bridge]", 0, 1, Run::Now(fdb::clear)),
    row("fdb/stats-show", "bridge", 1, 1, Run::Now(fdb::stats)),
    row(
        "ironbridge/capture",
        "[ports=a,b] [bridge=name] [points=ingress,egress,drops] [match=...] [snaplen=n]",
        0,
        5,
        Run::Now(capture::start),
    ),
    row(
        "ironbridge/flows",
        "[bridge=name] [match=...] [sort=packets|bytes|rate|age] [top=n]",
        0,
        4,
        Run::Later(flows_json),
    ),
    row("ironbridge/snapshot", "[hottest]", 0, 1, Run::Later(snapshot)),
    row("ironbridge/unsupported", "", 0, 0, Run::Now(|s, _| unsupported(s))),
    row("list-commands", "", 0, 0, Run::Now(|_, _| Ok(list()))),
    row("memory/show", "", 0, 0, Run::Now(coverage::memory)),
    row("metrics/show", "", 0, 0, Run::Now(|s, _| report::metrics(s))),
    row("netdev-dummy/conn-state", "[netdev]", 0, 1, Run::Now(dummy::conn_state)),
    row("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, Run::Now(dummy::address)),
    row("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, Run::Now(dummy::address)),
    row(
        "netdev-dummy/receive",
        "name [--qid queue_id] packet|flow [--len packet_len]",
        2,
        MANY,
        Run::Published(dummy::receive),
    ),
    row("netdev-dummy/sent", "name", 1, 1, Run::Now(dummy::sent)),
    row("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, Run::Now(dummy::set_admin_state)),
    row("ofctl/add-flow", "bridge flow", 2, 2, Run::Published(|s, a| flow_mod(s, a, Verb::Add))),
    row("ofctl/add-flows", "bridge lines", 2, 2, Run::Published(|s, a| add_flows(s, arg(a, 0), arg(a, 1)))),
    row("ofctl/add-group", "bridge group", 2, 2, Run::Published(|s, a| add_groups(s, arg(a, 0), arg(a, 1)))),
    row("ofctl/barrier", "", 0, 1, Run::Later(barrier)),
    row("ofctl/bundle", "bridge lines", 2, 2, Run::Published(|s, a| bundle(s, arg(a, 0), arg(a, 1)))),
    row("ofctl/del-flows", "bridge [--strict] [match]", 1, 3, Run::Published(del_flows)),
    row("ofctl/del-groups", "bridge [group_id=id]", 1, 2, Run::Published(del_groups)),
    row("ofctl/dump-flows", "bridge [match]", 1, 2, Run::Later(dump_flows)),
    row("ofctl/dump-groups", "bridge", 1, 1, Run::Now(dump_groups)),
    row(
        "ofctl/dump-ports",
        "[bridge]",
        0,
        1,
        Run::Now(|s, a| Ok(report::port_stats(s, a.first().map(String::as_str)))),
    ),
    row("ofctl/mod-flows", "bridge flow", 2, 2, Run::Published(|s, a| flow_mod(s, a, Verb::Modify))),
    row("ofproto/list", "", 0, 0, Run::Now(|s, _| Ok(bridges(s)))),
    row(
        "ofproto/trace",
        "{[dp_name] odp_flow | bridge br_flow} [OPTIONS] [-generate|packet]",
        1,
        MANY,
        Run::Published(tracing::trace),
    ),
    row(
        "ofproto/trace-packet-out",
        "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS] [-generate|packet] actions",
        2,
        MANY,
        Run::Published(tracing::packet_out),
    ),
    row("other-config/set", "key=value...", 1, MANY, Run::Now(set_other_config)),
    row("port/add", "bridge name type [key=value...]", 3, MANY, Run::Later(port_add)),
    row("port/del", "name", 1, 1, Run::Later(port_del)),
    row("qos/show", "interface", 1, 1, Run::Now(|s, a| qos(s, a, "QoS not configured on"))),
    row("qos/show-types", "interface", 1, 1, Run::Now(|s, a| qos(s, a, "No QoS types supported for interface:"))),
    row("revalidator/purge", "", 0, 0, Run::Later(purge)),
    row("revalidator/wait", "", 0, 0, Run::Later(collect)),
    row("time/stop", "", 0, 0, Run::Now(time::stop)),
    row("time/warp", "[large_msecs] msecs", 1, 2, Run::Later(time::warp)),
    row("upcall/disable-megaflows", "", 0, 0, Run::Later(|s, call| exact(s, call, true))),
    row("upcall/enable-megaflows", "", 0, 0, Run::Later(|s, call| exact(s, call, false))),
    row("upcall/set-flow-limit", "flow-limit-number", 1, 1, Run::Now(set_flow_limit)),
    row("upcall/show", "", 0, 0, Run::Now(coverage::upcalls)),
    row("version", "", 0, 0, Run::Now(version)),
    row("vhost/show", "[port]", 0, 1, Run::Now(vhost_show)),
    row("vlog/close", "", 0, 0, Run::Now(|_, _| log_do(|l| l.close()))),
    row("vlog/disable-rate-limit", "[module]...", 0, MANY, Run::Now(|_, _| Err(NO_RATE_LIMIT.into()))),
    row("vlog/enable-rate-limit", "[module]...", 0, MANY, Run::Now(|_, _| Err(NO_RATE_LIMIT.into()))),
    row("vlog/list", "", 0, 0, Run::Now(|_, _| Ok(logger().map_or_else(String::new, |l| l.list())))),
    row("vlog/list-pattern", "", 0, 0, Run::Now(|_, _| Ok(logger().map_or_else(String::new, |l| l.list_pattern())))),
    row("vlog/reopen", "", 0, 0, Run::Now(vlog_reopen)),
    row("vlog/set", "{spec | PATTERN:destination:pattern}", 1, MANY, Run::Now(vlog_set)),
    row("worker/show", "", 0, 0, Run::Now(|s, _| Ok(report::workers(s)))),
];

/// Executes a call; its answer may come later.
pub(super) fn execute(switch: &mut Switch, call: Call) {
    switch.calls += 1;
    let elsewhere = switch.openflow.has_bundle();
    let Some(call) = switch.longs.admit(switch.manager.snapshot(), call, elsewhere) else { return };
    let Some(row) = COMMANDS.iter().find(|r| r.name == call.method) else {
        let known = "(use \"list-commands\" to see a list of valid commands)";
        let text = format!("\"{}\" is not a valid command {known}", call.method);
        return call.answer(Err(text));
    };
    if switch.database.is_some() && TOPOLOGY.contains(&row.name) {
        let text = format!("{}: the switch is configured by its database: use ovs-vsctl", row.name);
        return call.answer(Err(text));
    }
    let n = call.arguments.len();
    if n < row.least {
        let text = format!("\"{}\" command requires at least {} arguments", row.name, row.least);
        return call.answer(Err(text));
    }
    if n > row.most {
        let text = format!("\"{}\" command takes at most {} arguments", row.name, row.most);
        return call.answer(Err(text));
    }
    if long::is_long(switch.manager.snapshot(), &call) {
        return long::begin(switch, call);
    }
    match row.run {
        Run::Now(run) => {
            let result = run(switch, &call.arguments);
            call.answer(result);
        }
        Run::Published(run) => {
            let result = run(switch, &call.arguments);
            switch.published.push((call, result));
        }
        Run::Later(run) => run(switch, call),
    }
}

/// Answers what waited for workers.
pub(super) fn finish(switch: &mut Switch, later: Later, megaflows: Vec<Megaflow>) {
    match later {
        Later::Done { call } => call.answer(Ok(String::new())),
        Later::Then(then) => then(switch),
        Later::Megaflows { call, dump } => {
            let now = switch.clock.now();
            switch.jobs.aside(move || call.answer(Ok(dump.text(megaflows, now))), |_, _| {});
        }
        Later::Untapped { id } => capture::untapped(switch, id),
        Later::MegaflowsJson { call, order, top } => {
            let mut flows = snapshot::megaflows(switch, megaflows, Some(order));
            flows.truncate(top.unwrap_or(usize::MAX));
            call.answer(to_json(&flows));
        }
        Later::Snapshot { call, top } => {
            let mut shown = snapshot::snapshot(switch, megaflows);
            shown.hottest.truncate(top);
            call.answer(to_json(&shown));
        }
        Later::Flows { call, tables, bridge, filter } => {
            let now = switch.clock.now();
            switch.jobs.aside(move || call.answer(Ok(report::flows(&tables, &bridge, &filter, now))), |_, _| {});
        }
    }
}

fn arg(arguments: &[String], n: usize) -> &str {
    arguments.get(n).map_or("", String::as_str)
}

fn list() -> String {
    let mut out = String::from("The available commands are:\n");
    for r in COMMANDS {
        out.push_str(&format!("  {:<27} {}\n", r.name, r.usage));
    }
    out
}

fn version(switch: &mut Switch, _: &[String]) -> Answer {
    let dpdk = switch.opener.dpdk_version();
    Ok(format!("ironbridge {}\n{dpdk}\n", env!("CARGO_PKG_VERSION")))
}

/// What the database has set and the switch does not do yet.
fn unsupported(switch: &mut Switch) -> Answer {
    let database = switch.database.as_ref().ok_or("the switch is not configured by a database")?;
    Ok(database.unsupported.iter().map(|line| format!("{line}\n")).collect())
}

fn log_do(run: impl FnOnce(&base::log::Logger)) -> Answer {
    if let Some(logger) = logger() {
        run(logger);
    }
    Ok(String::new())
}

fn vlog_set(_: &mut Switch, arguments: &[String]) -> Answer {
    let logger = logger().ok_or("there is no log")?;
    for spec in arguments {
        logger.set(spec)?;
    }
    Ok(String::new())
}

fn vlog_reopen(_: &mut Switch, _: &[String]) -> Answer {
    logger().ok_or("there is no log")?.reopen().map(|()| String::new()).map_err(|e| e.to_string())
}

fn bridges(switch: &mut Switch) -> String {
    switch.manager.snapshot().bridges.iter().flatten().map(|b| format!("{}\n", b.name)).collect()
}

fn bridge_add(switch: &mut Switch, arguments: &[String]) -> Answer {
    let fail_mode = match arguments.get(1).map(String::as_str) {
        None | Some("standalone") => FailMode::Standalone,
        Some("secure") => FailMode::Secure,
        Some(other) => return Err(format!("{other}: expected standalone or secure")),
    };
    let bridge = Bridge {
        name: arg(arguments, 0).to_owned(),
        fail_mode,
        other_config: Default::default(),
        local: false,
        flows: None,
        groups: None,
        ports: Vec::new(),
    };
    switch.add_bridge(&bridge).map(|()| String::new()).map_err(|e| e.to_string())
}

fn bridge_del(switch: &mut Switch, call: Call) {
    let name = arg(&call.arguments, 0);
    if let Some(port) = switch.ports.values().find(|p| p.bridge == name) {
        let text = format!("bridge {name} still has port {}", port.name);
        return call.answer(Err(text));
    }
    if let Some(port) = switch.moving.values().find(|m| m.way == Way::In && m.bridge == name) {
        let text = format!("bridge {name}: port {} is being added", port.name);
        return call.answer(Err(text));
    }
    switch.fdb_cleared.remove(name);
    let result = switch.manager.del_bridge(name).map(|()| String::new()).map_err(|e| e.to_string());
    switch.published.push((call, result));
}

fn port_add(switch: &mut Switch, call: Call) {
    let bridge = arg(&call.arguments, 0).to_owned();
    match port_of(&call.arguments) {
        Ok(port) => switch.add_port(&bridge, port, call),
        Err(e) => call.answer(Err(e)),
    }
}

fn port_of(arguments: &[String]) -> Result<Port, String> {
    let mut table = toml::Table::new();
    table.insert("name".into(), arg(arguments, 1).into());
    table.insert("type".into(), arg(arguments, 2).into());
    let (mut options, mut other_config) = (toml::Table::new(), toml::Table::new());
    for pair in arguments.iter().skip(3) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair}: expected key=value"))?;
        if let Some(option) = key.strip_prefix("options:") {
            options.insert(option.into(), value.into());
        } else if let Some(option) = key.strip_prefix("other_config:") {
            other_config.insert(option.into(), value.into());
        } else if key == "trunks" {
            let list: Result<Vec<toml::Value>, _> =
                value.split(',').map(|v| v.parse::<i64>().map(Into::into)).collect();
            table.insert(key.into(), toml::Value::Array(list.map_err(|_| format!("{pair}: expected VLANs"))?));
        } else {
            let value = value.parse::<i64>().map_or_else(|_| toml::Value::from(value), toml::Value::from);
            table.insert(key.into(), value);
        }
    }
    table.insert("options".into(), options.into());
    table.insert("other_config".into(), other_config.into());
    let port: Port = table.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
    crate::config::check_port(&port)?;
    Ok(port)
}

fn port_del(switch: &mut Switch, call: Call) {
    let name = arg(&call.arguments, 0).to_owned();
    switch.del_port(&name, call);
}

/// `other-config/set KEY=VALUE...`: an empty value takes the key away.
fn set_other_config(switch: &mut Switch, arguments: &[String]) -> Answer {
    let mut map = switch.config.other_config.clone();
    for pair in arguments {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair}: expected key=value"))?;
        match value {
            "" => drop(map.remove(key)),
            value => drop(map.insert(key.to_owned(), value.to_owned())),
        }
    }
    switch.set_other_config(map).map(|()| String::new())
}

/// `vhost/show [PORT]`: what is known of the virtual machines behind ports.
fn vhost_show(switch: &mut Switch, arguments: &[String]) -> Answer {
    let wanted = arguments.first();
    if let Some(name) = wanted {
        let entry = switch.ports.values().find(|p| p.name == *name).ok_or_else(|| format!("no port named {name}"))?;
        let text = entry.device.describe_vhost().ok_or_else(|| format!("{name}: no vhost-user port"))?;
        return Ok(format!("{name}:\n{text}"));
    }
    let all = switch.ports.values().filter_map(|p| Some((&p.name, p.device.describe_vhost()?)));
    Ok(all.map(|(name, text)| format!("{name}:\n{text}")).collect())
}

/// `bridge/reconnect [BRIDGE]`: its connections to controllers.
fn reconnect(switch: &mut Switch, arguments: &[String]) -> Answer {
    match arguments.first() {
        Some(name) if switch.manager.snapshot().bridge_named(name).is_none() => Err("Unknown bridge".into()),
        bridge => {
            let now = switch.clock.now();
            switch.openflow.reconnect(bridge.map(String::as_str), now);
            Ok(String::new())
        }
    }
}

/// `qos/*` of a port: none has any yet.
fn qos(switch: &mut Switch, arguments: &[String], none: &str) -> Answer {
    let name = arg(arguments, 0);
    match switch.ports.values().any(|p| p.name == name) {
        true => Ok(format!("{none} {name}\n")),
        false => Err("no such interface".into()),
    }
}

/// `upcall/set-flow-limit N`: until other_config:flow-limit changes.
fn set_flow_limit(switch: &mut Switch, arguments: &[String]) -> Answer {
    let text = arg(arguments, 0);
    let megaflows = text.parse().ok().filter(|n| *n != 0).ok_or_else(|| format!("{text}: expected a number from 1"))?;
    let limits = switch.control.limits();
    switch.control.set_limits(datapath::Limits { megaflows, ..limits });
    Ok(format!("set flow_limit to {megaflows}\n"))
}

/// The port names of a bridge.
fn names_of<'a>(switch: &'a Switch, bridge: &'a str) -> Result<Names<'a>, String> {
    let snapshot = switch.manager.snapshot();
    snapshot.bridge_named(bridge).ok_or_else(|| format!("no bridge named {bridge}"))?;
    Ok(Names { snapshot, bridge })
}

fn parse_mod(switch: &Switch, bridge: &str, text: &str, verb: Verb) -> Result<FlowMod, String> {
    let names = names_of(switch, bridge)?;
    parse_flow(text, verb, &names).map(|parsed| parsed.flow).map_err(|e| e.to_string())
}

fn apply(switch: &mut Switch, bridge: &str, flow: &FlowMod) -> Answer {
    let now = switch.clock.now();
    switch.manager.flow_mod(bridge, flow, now).map(|_| String::new()).map_err(|e| e.to_string())
}

fn flow_mod(switch: &mut Switch, arguments: &[String], verb: Verb) -> Answer {
    let bridge = arg(arguments, 0);
    let flow = parse_mod(switch, bridge, arg(arguments, 1), verb)?;
    apply(switch, bridge, &flow)
}

/// Which flows `[--strict] [match]` removes.
///
/// # Errors
/// What cannot be read, or that there is no such bridge.
pub(super) fn deletion(switch: &Switch, bridge: &str, rest: &[String]) -> Result<FlowMod, String> {
    let rest = rest.join(" ");
    let (verb, text) = match rest.trim().strip_prefix("--strict") {
        Some(text) => (Verb::DeleteStrict, text.trim()),
        None => (Verb::Delete, rest.trim()),
    };
    parse_mod(switch, bridge, text, verb)
}

/// What a flow makes of those that match.
///
/// # Errors
/// What cannot be read, or that there is no such bridge.
pub(super) fn modification(switch: &Switch, bridge: &str, rest: &[String]) -> Result<FlowMod, String> {
    parse_mod(switch, bridge, arg(rest, 0), Verb::Modify)
}

fn del_flows(switch: &mut Switch, arguments: &[String]) -> Answer {
    let (bridge, rest) = arguments.split_first().ok_or("no bridge named")?;
    let flow = deletion(switch, bridge, rest)?;
    apply(switch, bridge, &flow)
}

/// Applies a file of flows line by line; nothing of it when a line cannot be read.
///
/// # Errors
/// `LINE: what is wrong`, or what the tables refuse.
pub(super) fn add_flows(switch: &mut Switch, bridge: &str, text: &str) -> Answer {
    let flows = long::parse_flows(text, &names_of(switch, bridge)?)?;
    let now = switch.clock.now();
    for (n, parsed) in flows.iter().enumerate() {
        let done = switch.manager.flow_mod(bridge, &parsed.flow, now);
        done.map_err(|e| format!(" flow {}: {e}", n + 1))?;
    }
    Ok(String::new())
}

/// All lines or none. Lines are flows, or begin with `flow` or `group`.
fn bundle(switch: &mut Switch, bridge: &str, text: &str) -> Answer {
    let items = long::parse_bundle(text, &names_of(switch, bridge)?)?;
    let now = switch.clock.now();
    let done = switch.manager.bundle(bridge, &items, now);
    done.map(|_| String::new()).map_err(|(i, e)| format!("change {}: {e}", i + 1))
}

/// Applies a file of groups line by line.
///
/// # Errors
/// `LINE: what is wrong`, or what the tables refuse.
pub(super) fn add_groups(switch: &mut Switch, bridge: &str, text: &str) -> Answer {
    let names = names_of(switch, bridge)?;
    let groups = openflow::text::parse_groups(text, &names).map_err(|e| e.to_string())?;
    let now = switch.clock.now();
    for group in &groups {
        let done = switch.manager.group_mod(bridge, group, now);
        done.map_err(|e| format!(" group {}: {e}", group.id))?;
    }
    Ok(String::new())
}

fn del_groups(switch: &mut Switch, arguments: &[String]) -> Answer {
    let bridge = arg(arguments, 0);
    let text = arguments.get(1).map_or("group_id=all", String::as_str);
    let names = names_of(switch, bridge)?;
    let group = openflow::text::parse_group(text, GroupCommand::Delete, &names).map_err(|e| e.to_string())?;
    let now = switch.clock.now();
    switch.manager.group_mod(bridge, &group, now).map(|_| String::new()).map_err(|e| e.to_string())
}

fn dump_groups(switch: &mut Switch, arguments: &[String]) -> Answer {
    let bridge = arg(arguments, 0);
    let names = names_of(switch, bridge)?;
    let groups = names.snapshot.bridge_named(bridge).map(|b| b.groups.clone()).unwrap_or_default();
    let text = |g: &pipeline::Group| openflow::text::group_text(&g.as_made(), Version::Of15, &names) + "\n";
    Ok(groups.values().map(|g| text(g)).collect())
}

fn barrier(switch: &mut Switch, call: Call) {
    let version = switch.manager.publish();
    switch.barriers.push((version, call));
}

/// Statistics first: workers fold what their megaflows counted, then the text is made.
fn dump_flows(switch: &mut Switch, call: Call) {
    let bridge = arg(&call.arguments, 0).to_owned();
    let mut filter = FlowFilter { hidden: call.method == "bridge/dump-flows", ..FlowFilter::default() };
    if let Some(text) = call.arguments.get(1).cloned() {
        let (table, rest) = match text.strip_prefix("table=") {
            Some(t) => {
                let (number, rest) = t.split_once(',').unwrap_or((t, ""));
                match number.parse::<u8>() {
                    Ok(n) => (Some(TableId(n)), rest),
                    Err(_) => return call.answer(Err(format!("{text}: table: expected 0 to 254"))),
                }
            }
            None => (None, text.as_str()),
        };
        filter.table = table;
        match parse_match(rest, &FlowNames(&Names { snapshot: switch.manager.snapshot(), bridge: &bridge })) {
            Ok(parsed) => filter.matching = parsed.matching,
            Err(e) => return call.answer(Err(e.to_string())),
        }
    }
    if switch.manager.snapshot().bridge_named(&bridge).is_none() {
        return call.answer(Err(format!("no bridge named {bridge}")));
    }
    // the tables of now: changes that come while workers count are not in them
    let tables = Box::new(switch.manager.snapshot().clone());
    let ticket = switch.control.collect();
    switch.tickets.insert(ticket, Later::Flows { call, tables, bridge, filter });
}

/// Megaflows as JSON.
fn flows_json(switch: &mut Switch, call: Call) {
    match snapshot::wanted(switch, &call.arguments) {
        Ok((wanted, order)) => {
            let top = wanted.best.map(|b| b.0);
            let ticket = switch.control.dump(wanted);
            switch.tickets.insert(ticket, Later::MegaflowsJson { call, order, top });
        }
        Err(e) => call.answer(Err(e)),
    }
}

/// The switch as JSON, with so many of the hottest megaflows.
fn snapshot(switch: &mut Switch, call: Call) {
    let Ok(hottest) = call.arguments.first().map_or(Ok(10), |n| n.parse::<usize>()) else {
        return call.answer(Err("hottest: expected a number".into()));
    };
    let top = hottest.min(1000);
    if top == 0 {
        let json = to_json(&snapshot::snapshot(switch, Vec::new()));
        return call.answer(json);
    }
    let ticket = switch.control.dump(Wanted { best: Some((top, Order::Rate)), ..Wanted::default() });
    switch.tickets.insert(ticket, Later::Snapshot { call, top });
}

fn to_json(value: &impl serde::Serialize) -> Answer {
    serde_json::to_string(value).map_err(|e| e.to_string())
}

/// `revalidator/wait`: everything that was asked of workers is done, and what megaflows counted is with their rules.
fn collect(switch: &mut Switch, call: Call) {
    let ticket = switch.control.collect();
    switch.tickets.insert(ticket, Later::Done { call });
}

/// `dpctl/del-flows [DP]`: all megaflows; those that packets still need are made again.
fn del_megaflows(switch: &mut Switch, call: Call) {
    match call.arguments.first().map_or(Ok(""), |name| dpctl::named(switch, name)) {
        Ok(_) => purge(switch, call),
        Err(e) => call.answer(Err(dpctl::told(&e))),
    }
}

/// `upcall/disable-megaflows`, `upcall/enable-megaflows`: from now on, and of all megaflows.
fn exact(switch: &mut Switch, call: Call, exact: bool) {
    switch.manager.set_exact(exact);
    let ticket = switch.control.flush();
    let told = if exact { "megaflows disabled\n" } else { "megaflows enabled\n" };
    let then = Box::new(move |_: &mut Switch| call.answer(Ok(told.to_owned())));
    switch.tickets.insert(ticket, Later::Then(then));
}

fn purge(switch: &mut Switch, call: Call) {
    let ticket = switch.control.flush();
    switch.tickets.insert(ticket, Later::Done { call });
}
