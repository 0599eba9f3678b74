//! `vtep-ctl`, vtep-ctl(8): the commands of database `hardware_vtep`.

use super::show::Shown;
use super::state::State;
use super::{Command, Context, Given, Needs, RowIds, Stop, Tool, database, show};
use ovsdb::Uuid;
use ovsdb::data::{Atom, Datum};
use std::collections::{BTreeSet, HashSet};
use std::process::ExitCode;

const ANY: usize = usize::MAX;

const fn by(table: &'static str, name: &'static str) -> RowIds {
    RowIds { table, name: Some(name), via: None }
}

const IDS: [RowIds; 7] = [
    RowIds { table: "Global", name: None, via: None },
    by("Logical_Router", "name"),
    by("Logical_Switch", "name"),
    by("Manager", "target"),
    by("Physical_Port", "name"),
    by("Physical_Switch", "name"),
    by("ACL", "acl_name"),
];

const SHOW: [Shown; 5] = [
    Shown { table: "Global", name: None, columns: &["managers", "switches"] },
    Shown { table: "Manager", name: Some("target"), columns: &["is_connected"] },
    Shown {
        table: "Physical_Switch",
        name: Some("name"),
        columns: &["management_ips", "tunnel_ips", "switch_fault_status", "ports"],
    },
    Shown { table: "Physical_Port", name: Some("name"), columns: &["vlan_bindings", "port_fault_status"] },
    Shown { table: "Logical_Switch", name: Some("name"), columns: &[] },
];

const fn command(
    name: &'static str,
    (least, most): (usize, usize),
    options: &'static [&'static str],
    run: fn(&mut Context<'_>, &Given) -> Result<(), Stop>,
) -> Command {
    Command { name, least, most, arguments: "", options, needs, run }
}

const COMMANDS: [Command; 36] = [
    Command { name: "show", least: 0, most: 0, arguments: "", options: &[], needs: show::needs, run: show::run },
    command("get-manager", (0, 0), &[], get_manager),
    command("del-manager", (0, 0), &[], set_manager),
    command("set-manager", (1, ANY), &["--inactivity-probe="], set_manager),
    command("add-ps", (1, 1), &["--may-exist"], add_ps),
    command("del-ps", (1, 1), &["--if-exists"], del_ps),
    command("list-ps", (0, 0), &[], list),
    command("ps-exists", (1, 1), &[], exists),
    command("list-ports", (1, 1), &[], list_ports),
    command("add-port", (2, 2), &["--may-exist"], add_port),
    command("del-port", (2, 2), &["--if-exists"], del_port),
    command("add-ls", (1, 1), &["--may-exist"], add_named),
    command("del-ls", (1, 1), &["--if-exists"], del_ls),
    command("list-ls", (0, 0), &[], list),
    command("ls-exists", (1, 1), &[], exists),
    command("bind-ls", (4, 4), &[], bind),
    command("unbind-ls", (3, 3), &[], unbind),
    command("list-bindings", (2, 2), &[], list_bindings),
    command("set-replication-mode", (2, 2), &[], set_mode),
    command("get-replication-mode", (1, 1), &[], get_mode),
    command("add-lr", (1, 1), &["--may-exist"], add_named),
    command("del-lr", (1, 1), &["--if-exists"], del_named),
    command("list-lr", (0, 0), &[], list),
    command("lr-exists", (1, 1), &[], exists),
    command("add-ucast-local", (3, 4), &[], add_ucast),
    command("del-ucast-local", (2, 2), &[], del_ucast),
    command("add-mcast-local", (3, 4), &[], add_mcast),
    command("del-mcast-local", (3, 4), &[], del_mcast),
    command("clear-local-macs", (1, 1), &[], clear_macs),
    command("list-local-macs", (1, 1), &[], list_macs),
    command("add-ucast-remote", (3, 4), &[], add_ucast),
    command("del-ucast-remote", (2, 2), &[], del_ucast),
    command("add-mcast-remote", (3, 4), &[], add_mcast),
    command("del-mcast-remote", (3, 4), &[], del_mcast),
    command("clear-remote-macs", (1, 1), &[], clear_macs),
    command("list-remote-macs", (1, 1), &[], list_macs),
];

pub(crate) static TOOL: Tool = Tool {
    program: "vtep-ctl",
    database: "hardware_vtep",
    module: "vtep_ctl",
    commands: &[&COMMANDS, &database::COMMANDS],
    ids: &IDS,
    show: &SHOW,
    root: "Global",
    has_daemon: false,
    usage: USAGE,
    followed: |_, _| Vec::new(),
};

/// Runs `vtep-ctl`.
pub fn main(_: &str, arguments: Vec<String>) -> ExitCode {
    super::main(&TOOL, arguments)
}

fn needs(needs: &mut Needs<'_>, _: &Given) -> Result<(), String> {
    needs.named("Global", &["managers", "switches"]);
    needs.named("Manager", &["target"]);
    needs.named("Physical_Switch", &["name", "ports"]);
    needs.named("Physical_Port", &["name", "vlan_bindings", "vlan_stats"]);
    needs.named("Logical_Switch", &["name", "replication_mode"]);
    needs.named("Logical_Router", &["name"]);
    for table in ["Ucast_Macs_Local", "Ucast_Macs_Remote"] {
        needs.named(table, &["MAC", "logical_switch", "locator"]);
    }
    for table in ["Mcast_Macs_Local", "Mcast_Macs_Remote"] {
        needs.named(table, &["MAC", "logical_switch", "locator_set"]);
    }
    needs.named("Physical_Locator", &["encapsulation_type", "dst_ip"]);
    needs.named("Physical_Locator_Set", &["locators"]);
    Ok(())
}

fn stop<T>(text: String) -> Result<T, Stop> {
    Err(Stop::Fatal(text))
}

fn string(text: &str) -> Datum {
    Datum::One(Atom::String(text.into()))
}

fn one(uuid: Uuid) -> Datum {
    Datum::One(Atom::Uuid(uuid))
}

/// The table that a command such as `add-ls` is about, and what its rows are called.
fn kind(given: &Given) -> (&'static str, &'static str) {
    let name = given.command.name;
    if name.contains("ps") {
        ("Physical_Switch", "physical switch")
    } else if name.contains("lr") {
        ("Logical_Router", "logical router")
    } else {
        ("Logical_Switch", "logical switch")
    }
}

/// The row of that name.
fn find(state: &State<'_>, table: usize, name: &str) -> Option<Uuid> {
    let column = state.table_schema(table).column("name")?;
    state.rows(table).find(|row| row.columns[column].string() == Some(name)).map(|row| row.uuid)
}

fn need(context: &Context<'_>, table: &str, what: &str, name: &str) -> Result<(usize, Uuid), Stop> {
    let table = context.state.table(table)?;
    match find(&context.state, table, name) {
        Some(uuid) => Ok((table, uuid)),
        None => stop(format!("no {what} named {name}")),
    }
}

fn physical(context: &Context<'_>, name: &str) -> Result<(usize, Uuid), Stop> {
    need(context, "Physical_Switch", "physical switch", name)
}

fn logical(context: &Context<'_>, name: &str) -> Result<(usize, Uuid), Stop> {
    need(context, "Logical_Switch", "logical switch", name)
}

/// The text of a column that is one string.
fn text(state: &State<'_>, table: usize, uuid: Uuid, column: &str) -> String {
    let datum = state.get(table, uuid).map(|row| state.datum(table, row, column));
    datum.as_ref().and_then(Datum::string).unwrap_or_default().to_owned()
}

fn root(context: &Context<'_>) -> Result<(usize, Uuid), Stop> {
    let table = context.state.table("Global")?;
    let uuid = context.state.rows(table).next().map(|row| row.uuid);
    uuid.map_or_else(|| stop("the database is empty".into()), |uuid| Ok((table, uuid)))
}

// ---- names ----

fn list(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let table = context.state.table(kind(given).0)?;
    let column = context.state.column(table, "name")?;
    let names = context.state.rows(table).filter_map(|row| row.columns[column].string().map(str::to_owned)).collect();
    context.sorted(names);
    Ok(())
}

fn exists(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let table = context.state.table(kind(given).0)?;
    find(&context.state, table, given.argument(0)).map(|_| ()).ok_or(Stop::Exit(2))
}

/// Makes the row that a command names; none when it is there and may be.
fn make(context: &mut Context<'_>, given: &Given) -> Result<Option<(usize, Uuid)>, Stop> {
    let ((table, what), name) = (kind(given), given.argument(0));
    let table = context.state.table(table)?;
    if name.is_empty() {
        return stop(format!("{what} name must not be empty string"));
    }
    if find(&context.state, table, name).is_some() {
        return match given.has("--may-exist") {
            true => Ok(None),
            false => stop(format!("cannot create {what} {name} because it already exists")),
        };
    }
    context.state.rely_on_free(table, "name", name);
    let uuid = context.state.insert(table);
    context.state.set_named(table, uuid, "name", string(name))?;
    Ok(Some((table, uuid)))
}

fn add_named(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    make(context, given).map(|_| ())
}

fn add_ps(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    if let Some((_, uuid)) = make(context, given)? {
        let (table, root) = root(context)?;
        context.state.refer(table, root, "switches", uuid, true)?;
    }
    Ok(())
}

/// The row that a command is to take away; none when it need not be there.
fn doomed(context: &Context<'_>, given: &Given) -> Result<Option<(usize, Uuid)>, Stop> {
    let (table, what) = kind(given);
    match need(context, table, what, given.argument(0)) {
        Err(_) if given.has("--if-exists") => Ok(None),
        other => other.map(Some),
    }
}

fn del_named(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    if let Some((table, uuid)) = doomed(context, given)? {
        context.state.delete(table, uuid);
    }
    Ok(())
}

fn del_ps(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let Some((table, uuid)) = doomed(context, given)? else { return Ok(()) };
    let ports = context.state.table("Physical_Port")?;
    for port in context.state.references(table, uuid, "ports") {
        context.state.delete(ports, port);
    }
    let (roots, root) = root(context)?;
    context.state.refer(roots, root, "switches", uuid, false)?;
    context.state.delete(table, uuid);
    Ok(())
}

fn del_ls(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let Some((table, uuid)) = doomed(context, given)? else { return Ok(()) };
    // nothing may refer to it
    let ports = context.state.table("Physical_Port")?;
    let column = context.state.column(ports, "vlan_bindings")?;
    let bound: Vec<(Uuid, Datum)> = context.state.rows(ports).map(|r| (r.uuid, r.columns[column].clone())).collect();
    for (port, bindings) in bound {
        let vlans = bindings.pairs().iter().filter(|(_, to)| to.uuid() == Some(uuid)).map(|(vlan, _)| vlan.clone());
        let vlans: Vec<Atom> = vlans.collect();
        vlans.into_iter().try_for_each(|vlan| unbind_vlan(context, port, vlan))?;
    }
    for side in ["local", "remote"] {
        clear_side(context, uuid, side)?;
    }
    context.state.delete(table, uuid);
    Ok(())
}

// ---- ports and bindings ----

/// The port of that name on a physical switch.
fn port(context: &Context<'_>, switch: &str, name: &str) -> Result<Option<Uuid>, Stop> {
    let (table, uuid) = physical(context, switch)?;
    let ports = context.state.table("Physical_Port")?;
    let all = context.state.references(table, uuid, "ports").into_iter();
    Ok(all.into_iter().find(|port| text(&context.state, ports, *port, "name") == name))
}

fn need_port(context: &Context<'_>, given: &Given) -> Result<Uuid, Stop> {
    let (switch, name) = (given.argument(0), given.argument(1));
    port(context, switch, name)?.map_or_else(|| stop(format!("no port named {name}")), Ok)
}

fn list_ports(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, uuid) = physical(context, given.argument(0))?;
    let ports = context.state.table("Physical_Port")?;
    let all = context.state.references(table, uuid, "ports");
    let names = all.into_iter().map(|port| text(&context.state, ports, port, "name")).collect();
    context.sorted(names);
    Ok(())
}

fn add_port(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (switch, name) = (given.argument(0), given.argument(1));
    if port(context, switch, name)?.is_some() {
        return match given.has("--may-exist") {
            true => Ok(()),
            false => stop(format!(
                "cannot create a port named {name} on {switch} because a port with that name already exists"
            )),
        };
    }
    let (table, uuid) = physical(context, switch)?;
    let ports = context.state.table("Physical_Port")?;
    let port = context.state.insert(ports);
    context.state.set_named(ports, port, "name", string(name))?;
    context.state.refer(table, uuid, "ports", port, true)?;
    Ok(())
}

fn del_port(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let port = match need_port(context, given) {
        Err(_) if given.has("--if-exists") => return Ok(()),
        other => other?,
    };
    let (table, uuid) = physical(context, given.argument(0))?;
    let ports = context.state.table("Physical_Port")?;
    context.state.refer(table, uuid, "ports", port, false)?;
    context.state.delete(ports, port);
    Ok(())
}

fn vlan(text: &str) -> Result<Atom, Stop> {
    match text.parse::<i64>() {
        Ok(vlan) if (0..=4095).contains(&vlan) => Ok(Atom::Integer(vlan)),
        _ => stop(format!("{text}: a VLAN is a number from 0 to 4095")),
    }
}

fn bind(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let vlan = vlan(given.argument(2))?;
    let port = need_port(context, given)?;
    let (_, switch) = logical(context, given.argument(3))?;
    unbind_vlan(context, port, vlan.clone())?;
    let ports = context.state.table("Physical_Port")?;
    let column = context.state.column(ports, "vlan_bindings")?;
    let old = context.state.get(ports, port).map_or(Datum::Empty, |row| row.columns[column].clone());
    context.state.change(ports, port, column, old.union(&Datum::map(vec![(vlan, Atom::Uuid(switch))])));
    Ok(())
}

fn unbind_vlan(context: &mut Context<'_>, port: Uuid, vlan: Atom) -> Result<(), Stop> {
    let ports = context.state.table("Physical_Port")?;
    for name in ["vlan_bindings", "vlan_stats"] {
        let column = context.state.column(ports, name)?;
        let old = context.state.get(ports, port).map_or(Datum::Empty, |row| row.columns[column].clone());
        if old.contains_key(&vlan) {
            context.state.change(ports, port, column, old.subtract(&Datum::One(vlan.clone())));
        }
    }
    Ok(())
}

fn unbind(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let vlan = vlan(given.argument(2))?;
    let port = need_port(context, given)?;
    unbind_vlan(context, port, vlan)
}

fn list_bindings(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let port = need_port(context, given)?;
    let (ports, switches) = (context.state.table("Physical_Port")?, context.state.table("Logical_Switch")?);
    let bindings = context.state.get(ports, port).map(|row| context.state.datum(ports, row, "vlan_bindings"));
    let mut lines = Vec::new();
    for (vlan, to) in bindings.as_ref().map_or(&[][..], Datum::pairs) {
        if let (Atom::Integer(vlan), Some(uuid)) = (vlan, to.uuid()) {
            lines.push(format!("{vlan:04} {}", text(&context.state, switches, uuid, "name")));
        }
    }
    context.sorted(lines);
    Ok(())
}

fn set_mode(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let mode = given.argument(1);
    if !matches!(mode, "service_node" | "source_node") {
        return stop("replication mode must be 'service_node' or 'source_node'".into());
    }
    let (table, uuid) = logical(context, given.argument(0))?;
    context.state.set_named(table, uuid, "replication_mode", string(mode))?;
    Ok(())
}

fn get_mode(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (table, uuid) = logical(context, given.argument(0))?;
    let mode = text(&context.state, table, uuid, "replication_mode");
    context.line(if mode.is_empty() { "(null)" } else { &mode });
    Ok(())
}

// ---- MAC addresses ----

/// `local` or `remote`, as the command says.
fn side(given: &Given) -> &'static str {
    if given.command.name.contains("local") { "local" } else { "remote" }
}

fn table_of(context: &Context<'_>, cast: &str, side: &str) -> Result<usize, Stop> {
    let end = if side == "local" { "Local" } else { "Remote" };
    Ok(context.state.table(&format!("{cast}_Macs_{end}"))?)
}

/// What the arguments behind the MAC address are: encapsulation and address.
fn tunnel(given: &Given) -> (&str, &str) {
    match &given.arguments[2..] {
        [encapsulation, address] => (encapsulation, address),
        other => ("vxlan_over_ipv4", other.first().map_or("", String::as_str)),
    }
}

/// The locator of a tunnel's end, which is made where there is none.
fn locator(context: &mut Context<'_>, (encapsulation, address): (&str, &str)) -> Result<Uuid, Stop> {
    let table = context.state.table("Physical_Locator")?;
    let (kind, ip) = (context.state.column(table, "encapsulation_type")?, context.state.column(table, "dst_ip")?);
    let same = |row: &&ovsdb::table::Row| {
        row.columns[kind].string() == Some(encapsulation) && row.columns[ip].string() == Some(address)
    };
    if let Some(uuid) = context.state.rows(table).find(same).map(|row| row.uuid) {
        return Ok(uuid);
    }
    if encapsulation != "vxlan_over_ipv4" {
        return stop(format!("{encapsulation}: the encapsulation is vxlan_over_ipv4"));
    }
    let uuid = context.state.insert(table);
    context.state.set(table, uuid, kind, string(encapsulation));
    context.state.set(table, uuid, ip, string(address));
    Ok(uuid)
}

/// The row of a MAC address on a logical switch.
fn mac_row(context: &Context<'_>, table: usize, switch: Uuid, mac: &str) -> Result<Option<Uuid>, Stop> {
    let (address, of) = (context.state.column(table, "MAC")?, context.state.column(table, "logical_switch")?);
    let this = |row: &&ovsdb::table::Row| {
        row.columns[address].string() == Some(mac) && row.columns[of].single().and_then(Atom::uuid) == Some(switch)
    };
    Ok(context.state.rows(table).find(this).map(|row| row.uuid))
}

/// The row of a MAC address, made where there is none.
fn make_mac_row(context: &mut Context<'_>, table: usize, switch: Uuid, mac: &str) -> Result<Uuid, Stop> {
    if let Some(uuid) = mac_row(context, table, switch, mac)? {
        return Ok(uuid);
    }
    let uuid = context.state.insert(table);
    context.state.set_named(table, uuid, "MAC", string(mac))?;
    context.state.set_named(table, uuid, "logical_switch", one(switch))?;
    Ok(uuid)
}

fn add_ucast(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (_, switch) = logical(context, given.argument(0))?;
    let locator = locator(context, tunnel(given))?;
    let table = table_of(context, "Ucast", side(given))?;
    let row = make_mac_row(context, table, switch, given.argument(1))?;
    context.state.set_named(table, row, "locator", one(locator))?;
    Ok(())
}

fn del_ucast(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (_, switch) = logical(context, given.argument(0))?;
    let table = table_of(context, "Ucast", side(given))?;
    if let Some(row) = mac_row(context, table, switch, given.argument(1))? {
        context.state.delete(table, row);
    }
    Ok(())
}

/// The locators of a multicast address.
fn locators(context: &Context<'_>, table: usize, row: Uuid) -> Result<Vec<Uuid>, Stop> {
    let sets = context.state.table("Physical_Locator_Set")?;
    let set = context.state.references(table, row, "locator_set");
    Ok(set.first().map_or_else(Vec::new, |set| context.state.references(sets, *set, "locators")))
}

/// A set of locators is not changed, it is another one.
fn set_locators(context: &mut Context<'_>, table: usize, row: Uuid, all: BTreeSet<Uuid>) -> Result<(), Stop> {
    let sets = context.state.table("Physical_Locator_Set")?;
    for old in context.state.references(table, row, "locator_set") {
        if context.state.get(sets, old).is_some() {
            context.state.delete(sets, old);
        }
    }
    let set = context.state.insert(sets);
    let atoms = all.into_iter().map(Atom::Uuid).collect();
    context.state.set_named(sets, set, "locators", Datum::set(atoms))?;
    context.state.set_named(table, row, "locator_set", one(set))?;
    Ok(())
}

fn add_mcast(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (_, switch) = logical(context, given.argument(0))?;
    let locator = locator(context, tunnel(given))?;
    let table = table_of(context, "Mcast", side(given))?;
    let row = make_mac_row(context, table, switch, given.argument(1))?;
    let mut all: BTreeSet<Uuid> = locators(context, table, row)?.into_iter().collect();
    if all.insert(locator) {
        set_locators(context, table, row, all)?;
    }
    Ok(())
}

fn del_mcast(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (_, switch) = logical(context, given.argument(0))?;
    let table = table_of(context, "Mcast", side(given))?;
    let Some(row) = mac_row(context, table, switch, given.argument(1))? else { return Ok(()) };
    let gone = locator(context, tunnel(given))?;
    let mut all: BTreeSet<Uuid> = locators(context, table, row)?.into_iter().collect();
    if !all.remove(&gone) {
        return Ok(());
    }
    if all.is_empty() {
        context.state.delete(table, row);
        return Ok(());
    }
    set_locators(context, table, row, all)
}

fn clear_side(context: &mut Context<'_>, switch: Uuid, side: &str) -> Result<(), Stop> {
    for cast in ["Ucast", "Mcast"] {
        let table = table_of(context, cast, side)?;
        let of = context.state.column(table, "logical_switch")?;
        let here = |row: &&ovsdb::table::Row| row.columns[of].single().and_then(Atom::uuid) == Some(switch);
        let rows: HashSet<Uuid> = context.state.rows(table).filter(here).map(|row| row.uuid).collect();
        rows.into_iter().for_each(|row| context.state.delete(table, row));
    }
    Ok(())
}

fn clear_macs(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (_, switch) = logical(context, given.argument(0))?;
    clear_side(context, switch, side(given))
}

fn list_macs(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (_, switch) = logical(context, given.argument(0))?;
    let side = side(given);
    let ends = context.state.table("Physical_Locator")?;
    for cast in ["Ucast", "Mcast"] {
        let table = table_of(context, cast, side)?;
        let of = context.state.column(table, "logical_switch")?;
        let mut lines = Vec::new();
        for row in context.state.rows(table) {
            if row.columns[of].single().and_then(Atom::uuid) != Some(switch) {
                continue;
            }
            let mac = text(&context.state, table, row.uuid, "MAC");
            let all = match cast {
                "Ucast" => context.state.references(table, row.uuid, "locator"),
                _ => locators(context, table, row.uuid)?,
            };
            for end in all {
                let (kind, ip) =
                    (text(&context.state, ends, end, "encapsulation_type"), text(&context.state, ends, end, "dst_ip"));
                lines.push(format!("  {mac} -> {kind}/{ip}"));
            }
        }
        context.line(&format!("{}-mac-{side}", cast.to_lowercase()));
        context.sorted(lines);
        context.line("");
    }
    Ok(())
}

// ---- managers ----

fn get_manager(context: &mut Context<'_>, _: &Given) -> Result<(), Stop> {
    let (table, root) = root(context)?;
    let managers = context.state.table("Manager")?;
    let all = context.state.references(table, root, "managers");
    let lines = all.into_iter().map(|uuid| text(&context.state, managers, uuid, "target")).collect();
    context.sorted(lines);
    Ok(())
}

fn set_manager(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let root = root(context)?;
    let probe = given.value("--inactivity-probe");
    super::vswitch::retarget(context, root, "managers", "Manager", &given.arguments, probe)
}

const USAGE: &str = "vtep-ctl: VTEP configuration utility
usage: vtep-ctl [OPTIONS] COMMAND [ARG...]

VTEP commands:
  show                        print overview of database contents

Manager commands:
  get-manager, del-manager, [--inactivity-probe=MSECS] set-manager TARGET...

Physical Switch commands:
  add-ps PS                   create a new physical switch named PS
  del-ps PS                   delete PS and all of its ports
  list-ps                     print the names of all the physical switches
  ps-exists PS                exit 2 if PS does not exist
  list-ports PS, add-port PS PORT, del-port PS PORT

Logical Switch and Logical Router commands:
  add-ls LS, del-ls LS, list-ls, ls-exists LS
  bind-ls PS PORT VLAN LS     bind LS to VLAN on PORT
  unbind-ls PS PORT VLAN      unbind logical switch on VLAN from PORT
  list-bindings PS PORT       list bindings for PORT on PS
  set-replication-mode LS MODE, get-replication-mode LS
  add-lr LR, del-lr LR, list-lr, lr-exists LR

MAC binding commands (local or remote):
  add-ucast-local LS MAC [ENCAP] IP, del-ucast-local LS MAC
  add-mcast-local LS MAC [ENCAP] IP, del-mcast-local LS MAC [ENCAP] IP
  clear-local-macs LS, list-local-macs LS

Database commands:
  list, find, get, set, add, remove, clear, create, destroy, wait-until, comment

Options:
  --db=DATABASE               connect to DATABASE
  -t, --timeout=SECS          wait at most SECS seconds
  --dry-run                   do not commit changes to database
  --oneline                   print exactly one line of output per command
  -f, --format=FORMAT, -d, --data=FORMAT, --no-headings, --pretty, --bare
  -v[SPEC], --verbose[=SPEC], --log-file[=FILE], --no-syslog
  -p, --private-key=FILE, -c, --certificate=FILE, -C, --ca-cert=FILE
  -h, --help                  display this help message
  -V, --version               display version information
";
