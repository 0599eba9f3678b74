//! What rows ask for: bridges, their ports and settings, whole. What cannot be is named, with the reason, and left out.

use crate::control::{Controller, Tls};
use crate::rows::{self, Map};
use ovsdb::Uuid;
use ovsdb::table::Database;
use std::collections::{BTreeMap, BTreeSet};

/// The OpenFlow number of a bridge's own port.
pub const LOCAL: u32 = 65534;

/// Keys of Port:other_config about VLANs.
pub const VLAN_KEYS: [&str; 2] = ["priority-tags", "qinq-ethtype"];

/// The last number that a port may have.
const LAST: u32 = 65279;

/// A port as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Its row in table Interface; zeros for a bridge's own port that nobody wrote a row for.
    pub uuid: Uuid,
    pub name: String,
    /// `type`, `internal` for a bridge's own port.
    pub kind: String,
    pub options: Map,
    pub other_config: Map,
    /// [`LOCAL`] is the bridge's own.
    pub number: u32,
    pub mac: Option<[u8; 6]>,
    pub mtu_request: Option<i64>,
    pub vlan: Vlan,
}

/// The VLAN columns of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    pub tag: Option<u16>,
    pub trunks: Vec<u16>,
    pub cvlans: Vec<u16>,
    pub mode: Option<String>,
    /// priority-tags and qinq-ethtype, as far as they can be.
    pub other_config: Map,
}

/// A mirror as it is to be; ports by the names of their interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    pub name: String,
    /// Whatever the next two say.
    pub all: bool,
    pub sources: Vec<String>,
    pub destinations: Vec<String>,
    pub vlans: Vec<u16>,
    pub to_port: Option<String>,
    pub to_vlan: Option<u16>,
    pub snaplen: u16,
}

/// A table of flows as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub name: Option<String>,
    pub flow_limit: Option<u32>,
    /// Full, it lets a flow go for a new one.
    pub evicts: bool,
    /// Fields and parts of fields.
    pub groups: Vec<String>,
}

/// A bridge as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    pub uuid: Uuid,
    pub name: String,
    /// The kind of datapath, as it is written.
    pub datapath_type: String,
    pub secure: bool,
    /// other_config:datapath-id.
    pub datapath_id: Option<u64>,
    /// other_config:hwaddr.
    pub hwaddr: Option<[u8; 6]>,
    /// VLANs without learning.
    pub flood_vlans: Vec<u16>,
    pub mirrors: Vec<Mirror>,
    /// By target.
    pub controllers: BTreeMap<String, Controller>,
    /// Versions of OpenFlow by name; empty for all that there are.
    pub protocols: Vec<String>,
    /// By number.
    pub tables: BTreeMap<u8, Table>,
    /// The rest of other_config.
    pub other_config: Map,
    /// By interface name.
    pub ports: BTreeMap<String, Port>,
}

/// An address that goes with a row and stays as long: one of those that nobody else gives out.
pub fn mac_of(uuid: Uuid) -> [u8; 6] {
    let text = uuid.to_string();
    let digits: Vec<u8> = text.bytes().filter_map(|b| char::from(b).to_digit(16)).map(|d| d as u8).collect();
    let mut out = [0; 6];
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2).rev()) {
        *byte = pair.iter().fold(0, |n, d| n << 4 | d);
    }
    out[0] = out[0] & 0xfc | 2;
    out
}

impl Bridge {
    /// The address that it has for want of another.
    pub fn mac(&self) -> [u8; 6] {
        self.hwaddr.unwrap_or_else(|| mac_of(self.uuid))
    }
}

/// Everything that is to be. What the switch has by now is told in the same words, see [`crate::plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Open_vSwitch:other_config.
    pub other_config: Map,
    /// Table SSL, where there is a row.
    pub tls: Option<Tls>,
    pub bridges: BTreeMap<String, Bridge>,
}

/// What was read of the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub desired: Desired,
    /// The row of Open_vSwitch and its next_cfg; none before the database is initialised.
    pub root: Option<(Uuid, i64)>,
    /// Interfaces that cannot be, by row, with why.
    pub refused: BTreeMap<Uuid, String>,
    /// What else is wrong.
    pub warnings: Vec<String>,
    /// What is passed over, as the stock switch does without a word.
    pub notes: Vec<String>,
}

/// Six bytes in hexadecimal digits with colons between them.
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut out {
        let part = parts.next().filter(|p| (1..=2).contains(&p.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// An address that a device may have: not zero, not of a group.
fn station(text: &str) -> Option<[u8; 6]> {
    mac(text).filter(|m| *m != [0; 6] && m[0] & 1 == 0)
}

/// `datapath-id`: 16 hexadecimal digits, or any number of them after 0x. All zeros are none: the bridge has its own.
///
/// # Errors
/// It is something else.
fn datapath_id(text: &str) -> Result<Option<u64>, ()> {
    let digits = match text.strip_prefix("0x") {
        Some(rest) => Some(rest).filter(|rest| (1..=16).contains(&rest.len())),
        None => Some(text).filter(|text| text.len() == 16),
    };
    let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(())?;
    u64::from_str_radix(digits, 16).map(|id| Some(id).filter(|id| *id != 0)).map_err(drop)
}

fn vlans(ids: &[i64]) -> Vec<u16> {
    ids.iter().filter_map(|id| u16::try_from(*id).ok()).collect()
}

/// A bridge's tables, those that have a row.
fn tables(db: &Database, row: &rows::Bridge) -> BTreeMap<u8, Table> {
    let one = |(number, uuid): (&i64, &Uuid)| {
        let table = rows::FlowTable::get(db, *uuid)?;
        let table = Table {
            name: table.name,
            flow_limit: table.flow_limit.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            evicts: table.overflow_policy.as_deref() == Some("evict"),
            groups: table.groups,
        };
        Some((u8::try_from(*number).ok()?, table))
    };
    row.flow_tables.iter().filter_map(one).collect()
}

/// Reads all rows. `now` is what the switch has: ports keep their numbers.
pub fn read(db: &Database, now: &Desired) -> Reading {
    let mut out = Reading::default();
    let Some(root) = rows::OpenVSwitch::all(db).next() else { return out };
    out.root = Some((root.uuid, root.next_cfg));
    out.desired.other_config = root.other_config;
    out.desired.tls = root.ssl.and_then(|uuid| rows::Ssl::get(db, uuid)).map(Tls::from);
    let mut rows: Vec<rows::Bridge> = root.bridges.iter().filter_map(|uuid| rows::Bridge::get(db, *uuid)).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    // sockets and files are named after bridges
    let (rows, unsafe_rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|b| !b.name.contains('/'));
    out.warnings.extend(unsafe_rows.iter().map(|b| format!("ignoring bridge with invalid name \"{}\"", b.name)));
    // an interface's name is a device's: the first bridge that has it keeps it
    let mut names: BTreeSet<String> = rows.iter().map(|b| b.name.clone()).collect();
    for row in rows {
        let bridge = out.bridge(db, row, now, &mut names);
        out.desired.bridges.insert(bridge.name.clone(), bridge);
    }
    out
}

impl Reading {
    fn bridge(&mut self, db: &Database, row: rows::Bridge, now: &Desired, names: &mut BTreeSet<String>) -> Bridge {
        let controllers = self.controllers(db, &row);
        let mirrors = self.mirrors(db, &row);
        let tables = tables(db, &row);
        let mut other_config = row.other_config;
        let notes = &mut self.notes;
        let mut warn = |text: String| self.warnings.push(format!("bridge {}: {text}", row.name));
        if !matches!(row.datapath_type.as_str(), "" | "netdev" | "system" | "dummy") {
            warn(format!("datapath_type {:?}: taken as \"netdev\", the only one that there is", row.datapath_type));
        }
        let mut take = |key: &str| other_config.remove(key);
        let id = take("datapath-id").and_then(|text| {
            datapath_id(&text).unwrap_or_else(|()| {
                let expected = "is no datapath ID, expected 16 hexadecimal digits";
                notes.push(format!("bridge {}: other_config:datapath-id {text:?} {expected}", row.name));
                None
            })
        });
        let hwaddr = take("hwaddr").and_then(|text| {
            let address = station(&text);
            if address.is_none() {
                warn(format!("other_config:hwaddr {text:?} is no address of a station"));
            }
            address
        });
        let mut bridge = Bridge {
            uuid: row.uuid,
            controllers,
            tables,
            protocols: row.protocols,
            datapath_type: row.datapath_type,
            secure: row.fail_mode.as_deref() == Some("secure"),
            datapath_id: id,
            hwaddr,
            flood_vlans: vlans(&row.flood_vlans),
            mirrors,
            other_config,
            ports: BTreeMap::new(),
            name: row.name,
        };
        let mut ports: Vec<rows::Port> = row.ports.iter().filter_map(|uuid| rows::Port::get(db, *uuid)).collect();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        let mut wanted = Vec::new();
        for port in ports {
            let several = port.interfaces.len() > 1;
            for interface in port.interfaces.iter().filter_map(|uuid| rows::Interface::get(db, *uuid)) {
                let own = interface.name == bridge.name;
                if several {
                    self.refused.insert(interface.uuid, format!("port {}: bonds are not supported yet", port.name));
                } else if !own && !names.insert(interface.name.clone()) {
                    let text = format!("{}: another bridge or port has the name", interface.name);
                    self.refused.insert(interface.uuid, text);
                } else {
                    wanted.push(self.port(&port, interface, own));
                }
            }
        }
        if !wanted.iter().any(|u| u.port.number == LOCAL) {
            let (name, kind) = (bridge.name.clone(), "internal".to_owned());
            let port = Port { name, kind, number: LOCAL, ..Port::default() };
            wanted.push(Unnumbered { port, request: None, had: None });
        }
        let have = now.bridges.get(&bridge.name);
        bridge.ports = number(wanted, have);
        bridge
    }

    /// A bridge's mirrors, by name.
    fn mirrors(&mut self, db: &Database, row: &rows::Bridge) -> Vec<Mirror> {
        let names = |uuid: &Uuid| {
            let interfaces = rows::Port::get(db, *uuid).map(|port| port.interfaces).unwrap_or_default();
            interfaces.into_iter().filter_map(|uuid| rows::Interface::get(db, uuid)).map(|i| i.name)
        };
        let mut out = Vec::new();
        for mirror in row.mirrors.iter().filter_map(|uuid| rows::Mirror::get(db, *uuid)) {
            let to_port = mirror.output_port.as_ref().and_then(|uuid| names(uuid).next());
            let to_vlan = mirror.output_vlan.and_then(|vlan| u16::try_from(vlan).ok());
            if to_port.is_none() && to_vlan.is_none() {
                self.warnings
                    .push(format!("bridge {}: mirror {} does not specify output; ignoring", row.name, mirror.name));
                continue;
            }
            out.push(Mirror {
                all: mirror.select_all,
                sources: mirror.select_src_port.iter().flat_map(names).collect(),
                destinations: mirror.select_dst_port.iter().flat_map(names).collect(),
                vlans: vlans(&mirror.select_vlan),
                to_port,
                to_vlan,
                // the longest there is cuts nothing off
                snaplen: mirror.snaplen.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != u16::MAX).unwrap_or(0),
                name: mirror.name,
            });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// Keys of Port:other_config about VLANs; one with another value than there are is said to be wrong.
    fn vlan_settings(&mut self, port: &rows::Port) -> Map {
        let mut out = Map::new();
        for (key, value) in port.other_config.iter().filter(|(k, _)| VLAN_KEYS.contains(&k.as_str())) {
            match (key.as_str(), value.as_str()) {
                ("priority-tags", "never" | "if-nonzero" | "always") | ("qinq-ethtype", "802.1ad" | "802.1q") => {
                    out.insert(key.clone(), value.clone());
                }
                _ => self.warnings.push(format!("port {}: other_config:{key} cannot be {value:?}", port.name)),
            }
        }
        out
    }

    fn port(&mut self, port: &rows::Port, row: rows::Interface, own: bool) -> Unnumbered {
        let address = row.mac.and_then(|text| {
            let address = station(&text);
            if address.is_none() {
                self.warnings.push(format!("interface {}: mac {text:?} is no address of a station", row.name));
            }
            address
        });
        let positive = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=LAST).contains(n));
        let (request, had) = (positive(row.ofport_request), positive(row.ofport));
        let port = Port {
            uuid: row.uuid,
            name: row.name,
            kind: if own { "internal".into() } else { row.kind },
            options: row.options,
            other_config: row.other_config,
            number: if own { LOCAL } else { 0 },
            mac: address,
            mtu_request: row.mtu_request,
            vlan: Vlan {
                tag: port.tag.and_then(|t| u16::try_from(t).ok()),
                trunks: vlans(&port.trunks),
                cvlans: vlans(&port.cvlans),
                mode: port.vlan_mode.clone(),
                other_config: self.vlan_settings(port),
            },
        };
        Unnumbered { port, request, had }
    }
}

/// A port without a number, unless it is the bridge's own.
struct Unnumbered {
    port: Port,
    /// What it asks for.
    request: Option<u32>,
    /// What it had before the switch started.
    had: Option<u32>,
}

/// Gives numbers: who asks for one gets it (the first by name, where several do), then a port keeps the one that it has or,
/// after a start of the switch, had; then the next after the highest that was not asked for, so that a removed port's flows
/// don't meet another port soon.
fn number(ports: Vec<Unnumbered>, now: Option<&Bridge>) -> BTreeMap<String, Port> {
    type Pass = fn(&Unnumbered, Option<&Bridge>) -> Option<u32>;
    let passes: [Pass; 4] = [
        |u, _| Some(u.port.number).filter(|n| *n != 0),
        |u, _| u.request,
        |u, now| now.and_then(|b| b.ports.get(&u.port.name)).map(|p| p.number).filter(|n| *n != LOCAL),
        |u, _| u.had,
    ];
    let asked: BTreeSet<u32> = ports.iter().filter_map(|u| u.request).chain([LOCAL]).collect();
    let mut taken = BTreeSet::new();
    let mut out = BTreeMap::new();
    let mut rest = ports;
    for pass in passes {
        for mut entry in std::mem::take(&mut rest) {
            match pass(&entry, now).filter(|n| taken.insert(*n)) {
                Some(n) => {
                    entry.port.number = n;
                    out.insert(entry.port.name.clone(), entry.port);
                }
                None => rest.push(entry),
            }
        }
    }
    let used = now.into_iter().flat_map(|b| b.ports.values()).map(|p| p.number);
    let mut last = used.chain(taken.iter().copied()).filter(|n| !asked.contains(n)).max().unwrap_or(0);
    for Unnumbered { mut port, .. } in rest {
        let free = (last + 1..=LAST).chain(1..=last).find(|n| !taken.contains(n));
        let Some(n) = free else { continue };
        taken.insert(n);
        last = n;
        port.number = n;
        out.insert(port.name.clone(), port);
    }
    out
}
