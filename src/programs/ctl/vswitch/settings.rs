//! Controllers, managers, TLS, Auto-Attach, and the way back to a plain configuration.

use super::layout::with;
use crate::ctl::{Command, Context, Given, Needs, Stop};
use ovsdb::Uuid;
use ovsdb::data::{Atom, Datum};

const ANY: usize = usize::MAX;

const fn command(
    name: &'static str,
    (least, most): (usize, usize),
    arguments: &'static str,
    options: &'static [&'static str],
    run: fn(&mut Context<'_>, &Given) -> Result<(), Stop>,
) -> Command {
    Command { name, least, most, arguments, options, needs, run }
}

pub(super) const COMMANDS: [Command; 15] = [
    command("get-controller", (1, 1), "!BRIDGE", &[], get_controller),
    command("del-controller", (1, 1), "!BRIDGE", &[], set_controller),
    command("set-controller", (1, ANY), "!BRIDGE +TARGET", &["--inactivity-probe="], set_controller),
    command("get-fail-mode", (1, 1), "!BRIDGE", &[], get_fail_mode),
    command("del-fail-mode", (1, 1), "!BRIDGE", &[], set_fail_mode),
    command("set-fail-mode", (2, 2), "!BRIDGE !MODE", &[], set_fail_mode),
    command("get-manager", (0, 0), "", &[], get_manager),
    command("del-manager", (0, 0), "", &[], set_manager),
    command("set-manager", (1, ANY), "+TARGET", &["--inactivity-probe="], set_manager),
    command("get-ssl", (0, 0), "", &[], get_ssl),
    command("del-ssl", (0, 0), "", &[], set_ssl),
    command("set-ssl", (3, 3), "!PRIVATE-KEY !CERTIFICATE !CA-CERT", &["--bootstrap"], set_ssl),
    command("add-aa-mapping", (3, 3), "!BRIDGE !ARG !ARG", &[], set_mapping),
    command("del-aa-mapping", (3, 3), "!BRIDGE !ARG !ARG", &[], set_mapping),
    command("get-aa-mapping", (1, 1), "!BRIDGE", &[], get_mapping),
];

fn needs(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    match given.command.name {
        "get-manager" | "del-manager" | "set-manager" => {
            needs.named("Open_vSwitch", &["manager_options"]);
            needs.named("Manager", &["target"]);
        }
        "get-ssl" | "del-ssl" | "set-ssl" => {
            needs.named("Open_vSwitch", &["ssl"]);
            needs.named("SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]);
        }
        _ => {
            super::bridges::needs(needs, given)?;
            needs.named("Bridge", &["controller", "fail_mode", "auto_attach"]);
            needs.named("Controller", &["target"]);
            needs.named("AutoAttach", &["mappings"]);
        }
    }
    Ok(())
}

fn string(text: &str) -> Datum {
    Datum::One(Atom::String(text.into()))
}

/// The only row of the root's table.
fn root(context: &Context<'_>) -> Result<(usize, Uuid), Stop> {
    let table = context.state.table("Open_vSwitch")?;
    let row = context.state.rows(table).next().map(|row| row.uuid);
    row.map(|uuid| (table, uuid)).ok_or_else(|| Stop::Fatal("the database is empty".into()))
}

/// The real bridge's row behind a name.
fn bridge_row(context: &mut Context<'_>, name: &str) -> Result<(usize, Uuid), Stop> {
    let row = with(context, |_, bridges| Ok(bridges.bridge(name)?.row))?;
    Ok((context.state.table("Bridge")?, row))
}

/// The targets of the rows that a column refers to.
fn targets(context: &Context<'_>, (table, row): (usize, Uuid), column: &str, of: &str) -> Result<Vec<String>, Stop> {
    let other = context.state.table(of)?;
    let name = context.state.column(other, "target")?;
    let rows = context.state.references(table, row, column).into_iter();
    let rows = rows.filter_map(|uuid| context.state.get(other, uuid));
    Ok(rows.filter_map(|row| row.columns[name].string().map(str::to_owned)).collect())
}

/// Replaces the rows that a column refers to by rows with these targets.
pub(in crate::ctl) fn retarget(
    context: &mut Context<'_>,
    (table, row): (usize, Uuid),
    column: &str,
    of: &str,
    targets: &[String],
    probe: Option<&str>,
) -> Result<(), Stop> {
    let probe = match probe {
        None => None,
        Some(text) => {
            let ms = text.parse().map_err(|_| format!("{text}: an inactivity probe is a number of milliseconds"))?;
            Some(Datum::One(Atom::Integer(ms)))
        }
    };
    let other = context.state.table(of)?;
    for old in context.state.references(table, row, column) {
        context.state.delete(other, old);
    }
    let mut rows = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for target in targets.iter().filter(|target| known.insert(target.as_str())) {
        let uuid = context.state.insert(other);
        context.state.set_named(other, uuid, "target", string(target))?;
        if let Some(probe) = &probe {
            context.state.set_named(other, uuid, "inactivity_probe", probe.clone())?;
        }
        rows.push(Atom::Uuid(uuid));
    }
    context.state.set_named(table, row, column, Datum::set(rows))?;
    Ok(())
}

fn get_controller(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let bridge = bridge_row(context, given.argument(0))?;
    let lines = targets(context, bridge, "controller", "Controller")?;
    context.sorted(lines);
    Ok(())
}

fn set_controller(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let bridge = bridge_row(context, given.argument(0))?;
    let probe = given.value("--inactivity-probe");
    retarget(context, bridge, "controller", "Controller", &given.arguments[1..], probe)
}

fn get_fail_mode(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, row) = bridge_row(context, given.argument(0))?;
    let mode = context.state.get(table, row).map(|row| context.state.datum(table, row, "fail_mode"));
    if let Some(mode) = mode.as_ref().and_then(Datum::string) {
        context.line(mode);
    }
    Ok(())
}

fn set_fail_mode(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, row) = bridge_row(context, given.argument(0))?;
    let mode = match given.arguments.get(1).map(String::as_str) {
        None => Datum::Empty,
        Some(mode @ ("standalone" | "secure")) => string(mode),
        Some(_) => return Err(Stop::Fatal("fail-mode must be \"standalone\" or \"secure\"".into())),
    };
    context.state.set_named(table, row, "fail_mode", mode)?;
    Ok(())
}

fn get_manager(context: &mut Context<'_>, _: &Given) -> Result<(), Stop> {
    let root = root(context)?;
    let lines = targets(context, root, "manager_options", "Manager")?;
    context.sorted(lines);
    Ok(())
}

fn set_manager(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let root = root(context)?;
    let probe = given.value("--inactivity-probe");
    retarget(context, root, "manager_options", "Manager", &given.arguments, probe)
}

fn get_ssl(context: &mut Context<'_>, _: &Given) -> Result<(), Stop> {
    let (table, row) = root(context)?;
    let other = context.state.table("SSL")?;
    for uuid in context.state.references(table, row, "ssl") {
        let Some(row) = context.state.get(other, uuid) else { continue };
        let text = |name: &str| context.state.datum(other, row, name).string().unwrap_or_default().to_owned();
        let bootstrap = context.state.datum(other, row, "bootstrap_ca_cert") == Datum::One(Atom::Boolean(true));
        let lines = [
            format!("Private key: {}", text("private_key")),
            format!("Certificate: {}", text("certificate")),
            format!("CA Certificate: {}", text("ca_cert")),
            format!("Bootstrap: {bootstrap}"),
        ];
        lines.iter().for_each(|line| context.line(line));
    }
    Ok(())
}

fn set_ssl(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, row) = root(context)?;
    let other = context.state.table("SSL")?;
    for old in context.state.references(table, row, "ssl") {
        context.state.delete(other, old);
    }
    let mut new = Datum::Empty;
    if let [key, certificate, authority] = &given.arguments[..] {
        let uuid = context.state.insert(other);
        for (name, value) in [("private_key", key), ("certificate", certificate), ("ca_cert", authority)] {
            context.state.set_named(other, uuid, name, string(value))?;
        }
        let bootstrap = Datum::One(Atom::Boolean(given.has("--bootstrap")));
        context.state.set_named(other, uuid, "bootstrap_ca_cert", bootstrap)?;
        new = Datum::One(Atom::Uuid(uuid));
    }
    context.state.set_named(table, row, "ssl", new)?;
    Ok(())
}

fn number(text: &str, what: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text}: {what} is a number"))
}

fn set_mapping(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, row) = bridge_row(context, given.argument(0))?;
    let (isid, vlan) = (number(given.argument(1), "an I-SID")?, number(given.argument(2), "a VLAN")?);
    let other = context.state.table("AutoAttach")?;
    let column = context.state.column(other, "mappings")?;
    let add = given.command.name == "add-aa-mapping";
    let uuid = match context.state.references(table, row, "auto_attach").first() {
        Some(uuid) => *uuid,
        None if add => {
            let uuid = context.state.insert(other);
            context.state.set_named(table, row, "auto_attach", Datum::One(Atom::Uuid(uuid)))?;
            uuid
        }
        None => return Ok(()),
    };
    let pair = Datum::map(vec![(Atom::Integer(isid), Atom::Integer(vlan))]);
    let old = context.state.get(other, uuid).map_or(Datum::Empty, |row| row.columns[column].clone());
    let new = match add {
        true => old.subtract(&Datum::One(Atom::Integer(isid))).union(&pair),
        false => old.subtract(&pair),
    };
    context.state.change(other, uuid, column, new);
    Ok(())
}

fn get_mapping(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, row) = bridge_row(context, given.argument(0))?;
    let other = context.state.table("AutoAttach")?;
    let column = context.state.column(other, "mappings")?;
    for uuid in context.state.references(table, row, "auto_attach") {
        let mappings = context.state.get(other, uuid).map_or(Datum::Empty, |row| row.columns[column].clone());
        for (isid, vlan) in mappings.pairs() {
            context.line(&format!("{} {}", isid.to_json(), vlan.to_json()));
        }
    }
    Ok(())
}

/// Columns that a reset empties, by table.
const RESET: [(&str, &[&str]); 5] = [
    ("Open_vSwitch", &["manager_options", "ssl", "other_config"]),
    ("Bridge", &["controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans", "other_config"]),
    ("Port", &["other_config"]),
    ("Interface", &["ingress_policing_rate", "ingress_policing_burst"]),
    ("Mirror", &[]),
];

pub(super) fn needs_reset(needs: &mut Needs<'_>) {
    RESET.iter().for_each(|(table, columns)| needs.named(table, columns));
    for table in ["NetFlow", "sFlow", "IPFIX", "Controller", "Manager", "SSL"] {
        needs.named(table, &[]);
    }
}

pub(super) fn emer_reset(context: &mut Context<'_>, _: &Given) -> Result<(), Stop> {
    for (name, columns) in RESET {
        let Some(table) = context.state.schema().table(name) else { continue };
        let schema = context.state.table_schema(table);
        let rows: Vec<Uuid> = context.state.rows(table).map(|row| row.uuid).collect();
        for column in columns.iter().filter_map(|column| schema.column(column)) {
            for &row in &rows {
                let mut datum = schema.columns[column].ty.default_datum();
                if name == "Bridge" && &*schema.columns[column].name == "other_config" {
                    // the address that the bridge is known by stays
                    let key = Atom::String("hwaddr".into());
                    let old = context.state.get(table, row).and_then(|r| r.columns[column].value(&key).cloned());
                    datum = old.map_or(Datum::Empty, |value| Datum::map(vec![(key, value)]));
                }
                context.state.set(table, row, column, datum);
            }
        }
    }
    for name in ["Mirror", "NetFlow", "sFlow", "IPFIX", "Controller", "Manager", "SSL"] {
        let Some(table) = context.state.schema().table(name) else { continue };
        let rows: Vec<Uuid> = context.state.rows(table).map(|row| row.uuid).collect();
        rows.into_iter().for_each(|row| context.state.delete(table, row));
    }
    context.bridges = None;
    Ok(())
}
