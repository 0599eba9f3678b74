//! Bridges with their ports and interfaces by name. A fake bridge is a port of its parent with `fake_bridge` and a VLAN; the
//! parent's ports of that VLAN are its ports.

use crate::ctl::{Context, Stop};
use ovsdb::Uuid;
use ovsdb::data::{Atom, Datum};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// A bridge.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    /// The real bridge's row.
    pub(super) row: Uuid,
    /// Of a fake one, its parent, VLAN and port.
    pub(super) fake: Option<(String, i64, Uuid)>,
    pub(super) ports: BTreeSet<String>,
}

/// A port of a bridge, other than its own.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) row: Uuid,
    pub(super) bridge: String,
    pub(super) interfaces: BTreeSet<String>,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub struct Bridges {
    pub(super) bridges: BTreeMap<String, Bridge>,
    pub(super) ports: FxHashMap<String, Port>,
    /// With their ports.
    pub(super) interfaces: FxHashMap<String, (Uuid, String)>,
}

impl Bridges {
    fn new(context: &Context<'_>) -> Result<Bridges, String> {
        let state = &context.state;
        let (roots, bridges, ports) = (state.table("Open_vSwitch")?, state.table("Bridge")?, state.table("Port")?);
        let interfaces = state.table("Interface")?;
        let (bridge_name, port_name) = (state.column(bridges, "name")?, state.column(ports, "name")?);
        let (is_fake, tag) = (state.column(ports, "fake_bridge")?, state.column(ports, "tag")?);
        let (of_bridge, of_port) = (state.column(bridges, "ports")?, state.column(ports, "interfaces")?);
        let interface_name = state.column(interfaces, "name")?;
        let mut all = Bridges::default();
        let text = |datum: &Datum| datum.string().unwrap_or_default().to_owned();
        let root = state.rows(roots).next().map(|row| row.uuid);
        for uuid in root.map_or_else(Vec::new, |root| state.references(roots, root, "bridges")) {
            let Some(bridge) = state.get(bridges, uuid) else { continue };
            let name = text(&bridge.columns[bridge_name]);
            let rows: Vec<_> =
                (bridge.columns[of_bridge].atoms()).filter_map(|atom| state.get(ports, atom.uuid()?)).collect();
            let vlan = |row: &ovsdb::table::Row| match row.columns[tag].single() {
                Some(Atom::Integer(vlan)) if (0..=4095).contains(vlan) => Some(*vlan),
                _ => None,
            };
            let fake = |row: &ovsdb::table::Row| {
                vlan(row).filter(|_| row.columns[is_fake].single() == Some(&Atom::Boolean(true)))
            };
            all.bridges.insert(name.clone(), Bridge { row: uuid, fake: None, ports: BTreeSet::new() });
            let mut by_vlan = FxHashMap::default();
            for row in &rows {
                let (Some(vlan), own) = (fake(row), text(&row.columns[port_name])) else { continue };
                by_vlan.insert(vlan, own.clone());
                let fake = Some((name.clone(), vlan, row.uuid));
                all.bridges.insert(own, Bridge { row: uuid, fake, ports: BTreeSet::new() });
            }
            for row in rows {
                let own = text(&row.columns[port_name]);
                if own == name || fake(row).is_some() {
                    continue;
                }
                let bridge = vlan(row).and_then(|vlan| by_vlan.get(&vlan)).unwrap_or(&name).clone();
                let mut names = BTreeSet::new();
                for uuid in row.columns[of_port].atoms().filter_map(Atom::uuid) {
                    let Some(interface) = state.get(interfaces, uuid) else { continue };
                    let interface = text(&interface.columns[interface_name]);
                    all.interfaces.insert(interface.clone(), (uuid, own.clone()));
                    names.insert(interface);
                }
                if let Some(bridge) = all.bridges.get_mut(&bridge) {
                    bridge.ports.insert(own.clone());
                }
                all.ports.insert(own, Port { row: row.uuid, bridge, interfaces: names });
            }
        }
        Ok(all)
    }

    pub(super) fn bridge(&self, name: &str) -> Result<&Bridge, Stop> {
        self.bridges.get(name).ok_or_else(|| Stop::Fatal(format!("no bridge named {name}")))
    }

    pub(super) fn port(&self, name: &str) -> Result<&Port, Stop> {
        self.ports.get(name).ok_or_else(|| Stop::Fatal(format!("no port named {name}")))
    }

    /// The fake bridge of a VLAN.
    pub(super) fn of_vlan(&self, parent: &str, vlan: i64) -> Option<&String> {
        let is = |bridge: &Bridge| bridge.fake.as_ref().is_some_and(|(p, v, _)| p == parent && *v == vlan);
        self.bridges.iter().find(|(_, bridge)| is(bridge)).map(|(name, _)| name)
    }

    /// Whether a name can be a new bridge's, port's or interface's.
    pub(super) fn check_free(&self, name: &str, what: &str) -> Result<(), Stop> {
        let stop = |text: String| Err(Stop::Fatal(format!("{what} because {text}")));
        if self.bridges.contains_key(name) {
            return stop(format!("a bridge named {name} already exists"));
        }
        if let Some(port) = self.ports.get(name) {
            return stop(format!("a port named {name} already exists on bridge {}", port.bridge));
        }
        if let Some(port) = self.interfaces.get(name).and_then(|(_, port)| self.ports.get(port)) {
            return stop(format!("an interface named {name} already exists on bridge {}", port.bridge));
        }
        Ok(())
    }
}

/// The columns of a table that all of this is made of.
pub(in crate::ctl) fn layout_columns(table: &str) -> &'static [&'static str] {
    match table {
        "Open_vSwitch" => &["bridges"],
        "Bridge" => &["name", "ports"],
        "Port" => &["name", "interfaces", "tag", "fake_bridge"],
        "Interface" => &["name"],
        _ => &[],
    }
}

/// Works on what is there. `f` keeps it as it becomes.
pub(super) fn with<T>(
    context: &mut Context<'_>,
    f: impl FnOnce(&mut Context<'_>, &mut Bridges) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let mut bridges = match context.bridges.take() {
        Some(bridges) => bridges,
        None => Bridges::new(context)?,
    };
    let result = f(context, &mut bridges);
    context.bridges = Some(bridges);
    result
}
