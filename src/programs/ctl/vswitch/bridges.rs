//! Bridges, ports, bonds, interfaces.

use super::layout::{Bridge, Bridges, Port, with};
use crate::ctl::database::assign;
use crate::ctl::{Command, Context, Given, Needs, Stop};
use ovsdb::Uuid;
use ovsdb::data::{Atom, Datum};
use std::collections::BTreeSet;

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

pub(super) const COMMANDS: [Command; 18] = [
    command("add-br", (1, 3), "!NEW-BRIDGE ?PARENT ?NEW-VLAN", &["--may-exist"], add_br),
    command("del-br", (1, 1), "!BRIDGE", &["--if-exists"], del_br),
    command("list-br", (0, 0), "", &["--real", "--fake"], list_br),
    command("br-exists", (1, 1), "!BRIDGE", &[], br_exists),
    command("br-to-vlan", (1, 1), "!BRIDGE", &[], br_to_vlan),
    command("br-to-parent", (1, 1), "!BRIDGE", &[], br_to_parent),
    command("br-set-external-id", (2, 3), "!BRIDGE !KEY ?VALUE", &[], br_set_external_id),
    command("br-get-external-id", (1, 2), "!BRIDGE ?KEY", &[], br_get_external_id),
    command("list-ports", (1, 1), "!BRIDGE", &[], list_ports),
    command("add-port", (2, ANY), "!BRIDGE !NEW-PORT *COLUMN?:KEY=VALUE", &["--may-exist"], add_port),
    command(
        "add-bond",
        (4, ANY),
        "!BRIDGE !BOND +IFACE *COLUMN?:KEY=VALUE",
        &["--may-exist", "--fake-iface"],
        add_bond,
    ),
    command("del-port", (1, 2), "?BRIDGE !PORT|IFACE", &["--if-exists", "--with-iface"], del_port),
    command("port-to-br", (1, 1), "!PORT", &[], port_to_br),
    command("add-bond-iface", (2, 2), "!BOND !IFACE", &["--may-exist"], add_bond_iface),
    command("del-bond-iface", (1, 2), "?BOND !IFACE", &["--if-exists"], del_bond_iface),
    command("list-ifaces", (1, 1), "!BRIDGE", &[], list_ifaces),
    command("iface-to-br", (1, 1), "!IFACE", &[], iface_to_br),
    command("emer-reset", (0, 0), "", &[], super::settings::emer_reset),
];

pub(super) fn needs(needs: &mut Needs<'_>, given: &Given) -> Result<(), String> {
    needs.named("Open_vSwitch", &["bridges"]);
    needs.named("Bridge", &["name", "ports"]);
    needs.named("Port", &["name", "interfaces", "fake_bridge", "tag"]);
    needs.named("Interface", &["name"]);
    match given.command.name {
        "br-set-external-id" | "br-get-external-id" => {
            needs.named("Bridge", &["external_ids"]);
            needs.named("Port", &["external_ids"]);
        }
        "emer-reset" => super::settings::needs_reset(needs),
        _ => {}
    }
    Ok(())
}

fn string(text: &str) -> Datum {
    Datum::One(Atom::String(text.into()))
}

fn references(uuids: impl IntoIterator<Item = Uuid>) -> Datum {
    Datum::set(uuids.into_iter().map(Atom::Uuid).collect())
}

/// A new row with a name that nobody else takes meanwhile.
fn named(context: &mut Context<'_>, table: &str, name: &str) -> Result<(usize, Uuid), String> {
    let table = context.state.table(table)?;
    context.state.rely_on_free(table, "name", name);
    let uuid = context.state.insert(table);
    context.state.set_named(table, uuid, "name", string(name))?;
    Ok((table, uuid))
}

fn interface(context: &mut Context<'_>, name: &str, kind: Option<&str>) -> Result<Uuid, String> {
    let (table, uuid) = named(context, "Interface", name)?;
    if let Some(kind) = kind {
        context.state.set_named(table, uuid, "type", string(kind))?;
    }
    context.made.push(name.to_owned());
    Ok(uuid)
}

fn add_br(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let name = given.argument(0);
    let parent = match given.arguments.len() {
        1 => None,
        3 => match given.argument(2).parse::<i64>() {
            Ok(vlan) if (0..=4095).contains(&vlan) => Some((given.argument(1), vlan)),
            _ => return Err(Stop::Fatal("add-br: vlan must be between 0 and 4095".into())),
        },
        _ => return Err(Stop::Fatal("'add-br' command takes exactly 1 or 3 arguments".into())),
    };
    if name.is_empty() {
        return Err(Stop::Fatal("bridge name must not be empty string".into()));
    }
    with(context, |context, bridges| {
        if given.has("--may-exist")
            && let Some(there) = bridges.bridges.get(name)
        {
            let what = match (parent, &there.fake) {
                (None, Some((_, vlan, _))) => format!("{name} is a VLAN bridge for VLAN {vlan}"),
                (Some(_), None) => format!("{name} is not a VLAN bridge"),
                (Some((wanted, _)), Some((parent, _, _))) if wanted != parent => {
                    format!("{name} has the wrong parent {parent}")
                }
                (Some((_, wanted)), Some((_, vlan, _))) if wanted != *vlan => {
                    format!("{name} is a VLAN bridge for the wrong VLAN {vlan}")
                }
                _ => return Ok(()),
            };
            return Err(Stop::Fatal(format!("\"{}\" but {what}", given.text())));
        }
        bridges.check_free(name, &format!("cannot create a bridge named {name}"))?;
        let Some((parent, vlan)) = parent else {
            let of_bridge = interface(context, name, Some("internal"))?;
            let (ports, port) = named(context, "Port", name)?;
            context.state.set_named(ports, port, "interfaces", references([of_bridge]))?;
            let (table, bridge) = named(context, "Bridge", name)?;
            context.state.set_named(table, bridge, "ports", references([port]))?;
            let roots = context.state.table("Open_vSwitch")?;
            let root = context.state.rows(roots).next().map(|row| row.uuid);
            if let Some(root) = root {
                context.state.refer(roots, root, "bridges", bridge, true)?;
            }
            bridges.bridges.insert(name.into(), Bridge { row: bridge, fake: None, ports: BTreeSet::new() });
            return Ok(());
        };
        let Some(there) = bridges.bridges.get(parent) else {
            return Err(Stop::Fatal(format!("parent bridge {parent} does not exist")));
        };
        if there.fake.is_some() {
            return Err(Stop::Fatal("cannot create bridge with fake bridge as parent".into()));
        }
        if let Some(other) = bridges.of_vlan(parent, vlan) {
            return Err(Stop::Fatal(format!("bridge {parent} already has a child VLAN bridge {other} on VLAN {vlan}")));
        }
        let row = there.row;
        let of_bridge = interface(context, name, Some("internal"))?;
        let (ports, port) = named(context, "Port", name)?;
        context.state.set_named(ports, port, "interfaces", references([of_bridge]))?;
        context.state.set_named(ports, port, "fake_bridge", Datum::One(Atom::Boolean(true)))?;
        context.state.set_named(ports, port, "tag", Datum::One(Atom::Integer(vlan)))?;
        let table = context.state.table("Bridge")?;
        context.state.refer(table, row, "ports", port, true)?;
        // ports that are there may be on its VLAN
        *bridges = Bridges::default();
        context.bridges = None;
        with(context, |_, fresh| {
            std::mem::swap(bridges, fresh);
            Ok(())
        })
    })
}

/// Takes a port with its interfaces away.
fn drop_port(context: &mut Context<'_>, bridge: Uuid, port: Uuid) -> Result<(), Stop> {
    let (bridges, ports) = (context.state.table("Bridge")?, context.state.table("Port")?);
    let interfaces = context.state.table("Interface")?;
    for interface in context.state.references(ports, port, "interfaces") {
        context.state.delete(interfaces, interface);
    }
    context.state.refer(bridges, bridge, "ports", port, false)?;
    context.state.delete(ports, port);
    Ok(())
}

fn forget_port(bridges: &mut Bridges, name: &str) {
    let Some(port) = bridges.ports.remove(name) else { return };
    for interface in &port.interfaces {
        bridges.interfaces.remove(interface);
    }
    if let Some(bridge) = bridges.bridges.get_mut(&port.bridge) {
        bridge.ports.remove(name);
    }
}

fn del_br(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let name = given.argument(0);
    with(context, |context, bridges| {
        if given.has("--if-exists") && !bridges.bridges.contains_key(name) {
            return Ok(());
        }
        let bridge = bridges.bridge(name)?.clone();
        if let Some((_, _, own)) = &bridge.fake {
            for port in bridge.ports.iter().filter_map(|port| bridges.ports.get(port)).map(|port| port.row) {
                drop_port(context, bridge.row, port)?;
            }
            drop_port(context, bridge.row, *own)?;
        } else {
            let table = context.state.table("Bridge")?;
            for port in context.state.references(table, bridge.row, "ports") {
                drop_port(context, bridge.row, port)?;
            }
            let roots = context.state.table("Open_vSwitch")?;
            let root = context.state.rows(roots).next().map(|row| row.uuid);
            if let Some(root) = root {
                context.state.refer(roots, root, "bridges", bridge.row, false)?;
            }
            context.state.delete(table, bridge.row);
        }
        bridge.ports.iter().for_each(|port| forget_port(bridges, port));
        let gone = |other: &Bridge| bridge.fake.is_none() && other.row == bridge.row;
        let children: Vec<String> = (bridges.bridges.iter())
            .filter(|(other, b)| *other == name || gone(b))
            .flat_map(|(_, b)| b.ports.iter().cloned())
            .collect();
        children.iter().for_each(|port| forget_port(bridges, port));
        bridges.bridges.retain(|other, b| other != name && !gone(b));
        Ok(())
    })
}

fn list_br(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let (real, fake) = (given.has("--real"), given.has("--fake"));
        let wanted = |b: &Bridge| if b.fake.is_some() { fake || !real } else { real || !fake };
        let names = bridges.bridges.iter().filter(|(_, b)| wanted(b)).map(|(name, _)| name.clone());
        context.sorted(names.collect());
        Ok(())
    })
}

fn br_exists(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |_, bridges| match bridges.bridges.contains_key(given.argument(0)) {
        true => Ok(()),
        false => Err(Stop::Exit(2)),
    })
}

fn br_to_vlan(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let vlan = bridges.bridge(given.argument(0))?.fake.as_ref().map_or(0, |(_, vlan, _)| *vlan);
        context.line(&vlan.to_string());
        Ok(())
    })
}

fn br_to_parent(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let name = given.argument(0);
        let parent = bridges.bridge(name)?.fake.as_ref().map_or(name, |(parent, _, _)| parent);
        context.line(parent);
        Ok(())
    })
}

/// Where a bridge's external ids are: table, row, what their keys begin with.
fn ids_of(context: &Context<'_>, bridge: &Bridge) -> Result<(usize, Uuid, &'static str), String> {
    Ok(match &bridge.fake {
        None => (context.state.table("Bridge")?, bridge.row, ""),
        Some((_, _, port)) => (context.state.table("Port")?, *port, "fake-bridge-"),
    })
}

fn br_set_external_id(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let bridge = bridges.bridge(given.argument(0))?;
        let (table, row, prefix) = ids_of(context, bridge)?;
        let key = Atom::String(format!("{prefix}{}", given.argument(1)).into());
        let column = context.state.column(table, "external_ids")?;
        let old = context.state.get(table, row).map_or(Datum::Empty, |r| r.columns[column].clone());
        let mut new = old.subtract(&Datum::One(key.clone()));
        if let Some(value) = given.arguments.get(2) {
            new = new.union(&Datum::map(vec![(key, Atom::String(value.as_str().into()))]));
        }
        context.state.change(table, row, column, new);
        Ok(())
    })
}

fn br_get_external_id(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let bridge = bridges.bridge(given.argument(0))?;
        let (table, row, prefix) = ids_of(context, bridge)?;
        let column = context.state.column(table, "external_ids")?;
        let ids = context.state.get(table, row).map_or(Datum::Empty, |r| r.columns[column].clone());
        let text = |atom: &Atom| match atom {
            Atom::String(text) => text.to_string(),
            other => other.to_json().to_string(),
        };
        if let Some(key) = given.arguments.get(1) {
            if let Some(value) = ids.value(&Atom::String(format!("{prefix}{key}").into())) {
                context.line(&text(value));
            }
            return Ok(());
        }
        let pairs = ids
            .pairs()
            .iter()
            .filter_map(|(key, value)| text(key).strip_prefix(prefix).map(|key| format!("{key}={}", text(value))));
        context.sorted(pairs.collect());
        Ok(())
    })
}

fn list_ports(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let names = bridges.bridge(given.argument(0))?.ports.iter().cloned().collect();
        context.sorted(names);
        Ok(())
    })
}

fn new_port(context: &mut Context<'_>, given: &Given, interfaces: &[String], settings: &[String]) -> Result<(), Stop> {
    let (bridge, name) = (given.argument(0), given.argument(1));
    if name.is_empty() {
        return Err(Stop::Fatal("port name must not be empty string".into()));
    }
    if interfaces.iter().any(String::is_empty) {
        return Err(Stop::Fatal("interface name must not be empty string".into()));
    }
    with(context, |context, bridges| {
        if given.has("--may-exist")
            && let Some(port) = bridges.ports.get(name)
        {
            let wanted: BTreeSet<String> = interfaces.iter().cloned().collect();
            let what = if port.bridge != bridge {
                format!("{name} is actually attached to bridge {}", port.bridge)
            } else if port.interfaces != wanted {
                let have: Vec<&str> = port.interfaces.iter().map(String::as_str).collect();
                format!("{name} actually has interface(s) {}", have.join(", "))
            } else {
                return Ok(());
            };
            return Err(Stop::Fatal(format!("\"{}\" but {what}", given.text())));
        }
        bridges.check_free(name, &format!("cannot create a port named {name}"))?;
        for interface in interfaces {
            bridges.check_free(interface, &format!("cannot create an interface named {interface}"))?;
        }
        let there = bridges.bridge(bridge)?;
        let (row, vlan) = (there.row, there.fake.as_ref().map(|(_, vlan, _)| *vlan));
        let mut rows = Vec::new();
        for name in interfaces {
            rows.push((name.clone(), interface(context, name, None)?));
        }
        let (table, port) = named(context, "Port", name)?;
        context.state.set_named(table, port, "interfaces", references(rows.iter().map(|(_, uuid)| *uuid)))?;
        if given.has("--fake-iface") {
            context.state.set_named(table, port, "bond_fake_iface", Datum::One(Atom::Boolean(true)))?;
        }
        if let Some(vlan) = vlan {
            context.state.set_named(table, port, "tag", Datum::One(Atom::Integer(vlan)))?;
        }
        for setting in settings {
            assign(context, table, port, setting)?;
        }
        let table = context.state.table("Bridge")?;
        context.state.refer(table, row, "ports", port, true)?;
        let fakes = bridges.bridges.values().any(|bridge| bridge.fake.is_some());
        if settings.is_empty() || (!fakes && settings.iter().all(|setting| setting.starts_with("tag="))) {
            let names = rows.iter().map(|(name, _)| name.clone()).collect();
            bridges.interfaces.extend(rows.into_iter().map(|(own, uuid)| (own, (uuid, name.to_owned()))));
            bridges.ports.insert(name.into(), Port { row: port, bridge: bridge.into(), interfaces: names });
            if let Some(bridge) = bridges.bridges.get_mut(bridge) {
                bridge.ports.insert(name.into());
            }
            return Ok(());
        }
        // a tag may put it on another bridge
        context.bridges = None;
        with(context, |_, fresh| {
            std::mem::swap(bridges, fresh);
            Ok(())
        })
    })
}

fn add_port(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    new_port(context, given, &[given.argument(1).to_owned()], &given.arguments[2..])
}

fn add_bond(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let rest = &given.arguments[2..];
    let settings = rest.iter().rev().take_while(|word| word.contains('=')).count();
    let (interfaces, settings) = rest.split_at(rest.len() - settings);
    if interfaces.len() < 2 {
        return Err(Stop::Fatal("add-bond requires at least 2 interfaces".into()));
    }
    new_port(context, given, interfaces, settings)
}

fn del_port(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let must = !given.has("--if-exists");
    let (bridge, target) = match &given.arguments[..] {
        [bridge, target] => (Some(bridge.as_str()), target.as_str()),
        other => (None, other.first().map_or("", String::as_str)),
    };
    with(context, |context, bridges| {
        let mut found = bridges.ports.contains_key(target).then(|| target.to_owned());
        if given.has("--with-iface") {
            found = found.or_else(|| bridges.interfaces.get(target).map(|(_, port)| port.clone()));
            if found.is_none() && must {
                return Err(Stop::Fatal(format!("no port or interface named {target}")));
            }
        }
        if let Some(name) = bridge {
            bridges.bridge(name)?;
        }
        let Some(name) = found else {
            if must && bridges.bridges.contains_key(target) {
                return Err(Stop::Fatal(format!(
                    "cannot delete port {target} because it is the local port for bridge {target} (deleting this port requires deleting the entire bridge)"
                )));
            }
            return if must { bridges.port(target).map(|_| ()) } else { Ok(()) };
        };
        let port = bridges.port(&name)?.clone();
        if let Some(wanted) = bridge.filter(|wanted| *wanted != port.bridge) {
            let parent = |of: &str| bridges.bridges.get(of).and_then(|b| b.fake.as_ref()).map(|(p, _, _)| p.clone());
            let text = format!("bridge {wanted} does not have a port {target}");
            return Err(Stop::Fatal(if parent(&port.bridge).as_deref() == Some(wanted) {
                format!("{text} (although its child bridge {} does)", port.bridge)
            } else if parent(wanted).as_ref() == Some(&port.bridge) {
                format!("{text} (although its parent bridge {} does)", port.bridge)
            } else {
                text
            }));
        }
        let row = bridges.bridge(&port.bridge)?.row;
        drop_port(context, row, port.row)?;
        forget_port(bridges, &name);
        Ok(())
    })
}

fn port_to_br(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let bridge = bridges.port(given.argument(0))?.bridge.clone();
        context.line(&bridge);
        Ok(())
    })
}

fn add_bond_iface(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (bond, name) = (given.argument(0), given.argument(1));
    if name.is_empty() {
        return Err(Stop::Fatal("interface name must not be empty string".into()));
    }
    with(context, |context, bridges| {
        let row = bridges.port(bond)?.row;
        if given.has("--may-exist")
            && let Some((_, port)) = bridges.interfaces.get(name)
        {
            if port == bond {
                return Ok(());
            }
            return Err(Stop::Fatal(format!("\"{}\" but {name} is actually attached to port {port}", given.text())));
        }
        bridges.check_free(name, &format!("cannot create an interface named {name}"))?;
        let uuid = interface(context, name, None)?;
        let table = context.state.table("Port")?;
        context.state.refer(table, row, "interfaces", uuid, true)?;
        bridges.interfaces.insert(name.into(), (uuid, bond.into()));
        if let Some(port) = bridges.ports.get_mut(bond) {
            port.interfaces.insert(name.into());
        }
        Ok(())
    })
}

fn del_bond_iface(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let (bond, name) = match &given.arguments[..] {
        [bond, name] => (Some(bond.as_str()), name.as_str()),
        other => (None, other.first().map_or("", String::as_str)),
    };
    with(context, |context, bridges| {
        let Some((uuid, port)) = bridges.interfaces.get(name).cloned() else {
            return match given.has("--if-exists") {
                true => Ok(()),
                false => Err(Stop::Fatal(format!("no interface named {name}"))),
            };
        };
        if let Some(bond) = bond {
            bridges.port(bond)?;
            if bond != port {
                return Err(Stop::Fatal(format!("port {bond} does not have an interface {name}")));
            }
        }
        if bridges.port(&port)?.interfaces.len() == 1 {
            return Err(Stop::Fatal(format!("cannot delete last interface from port {port}")));
        }
        let (ports, interfaces) = (context.state.table("Port")?, context.state.table("Interface")?);
        context.state.refer(ports, bridges.port(&port)?.row, "interfaces", uuid, false)?;
        context.state.delete(interfaces, uuid);
        bridges.interfaces.remove(name);
        if let Some(port) = bridges.ports.get_mut(&port) {
            port.interfaces.remove(name);
        }
        Ok(())
    })
}

fn list_ifaces(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let ports = bridges.bridge(given.argument(0))?.ports.iter().filter_map(|port| bridges.ports.get(port));
        let names = ports.flat_map(|port| port.interfaces.iter().cloned()).collect();
        context.sorted(names);
        Ok(())
    })
}

fn iface_to_br(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    with(context, |context, bridges| {
        let name = given.argument(0);
        let found = bridges.interfaces.get(name).and_then(|(_, port)| bridges.ports.get(port));
        let Some(port) = found else { return Err(Stop::Fatal(format!("no interface named {name}"))) };
        context.line(&port.bridge);
        Ok(())
    })
}
