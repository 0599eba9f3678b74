//! From what is to what is to be: steps. A pure difference of two [`Desired`] values; once its steps are applied there is
//! none any more.

use crate::control::Tls;
use crate::desired::{Bridge, Desired, Port, Vlan};
use crate::rows::Map;

/// A step. Steps of one plan are carried out in order; what takes its time at a device need not be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    DelPort {
        bridge: String,
        name: String,
    },
    /// Its ports are gone by now.
    DelBridge {
        name: String,
    },
    /// Without its ports, which follow.
    AddBridge(Bridge),
    /// Other settings than ports: from this to that.
    SetBridge {
        from: Box<Bridge>,
        to: Box<Bridge>,
    },
    SetVlan {
        bridge: String,
        name: String,
        vlan: Vlan,
    },
    SetMac {
        bridge: String,
        name: String,
        mac: Option<[u8; 6]>,
    },
    /// Interface:other_config and mtu_request, where the port stays.
    SetPort {
        bridge: String,
        port: Port,
    },
    AddPort {
        bridge: String,
        port: Port,
    },
    /// Open_vSwitch:other_config.
    Settings(Map),
    /// Table SSL.
    Tls(Option<Tls>),
}

/// Whether a port must go and come again to be another: the rest can be changed while it is there.
fn must_reopen(from: &Port, to: &Port) -> bool {
    let Port { uuid: _, name: _, kind, options, other_config: _, number, mac: _, mtu_request, vlan: _ } = from;
    let mtu = *mtu_request != to.mtu_request && !is_kernel(kind);
    *kind != to.kind || *options != to.options || *number != to.number || mtu
}

/// Whether a port of this type has an MTU that can be changed at any time: a kernel's interface (it has addresses that it
/// should keep), or a port in memory.
fn is_kernel(kind: &str) -> bool {
    matches!(kind, "" | "system" | "internal" | "tap" | "dummy" | "dummy-pmd")
}

/// A bridge's settings alone.
fn bare(bridge: &Bridge) -> Bridge {
    Bridge { ports: Default::default(), ..bridge.clone() }
}

/// The bridge of the same name in `other`; one in another datapath is another bridge.
fn stays<'a>(bridge: &Bridge, other: &'a Desired) -> Option<&'a Bridge> {
    other.bridges.get(&bridge.name).filter(|b| b.datapath_type == bridge.datapath_type)
}

/// The steps from `now` to `wanted`.
pub fn plan(now: &Desired, wanted: &Desired) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, bridge) in &now.bridges {
        let next = stays(bridge, wanted);
        for (port_name, port) in &bridge.ports {
            let stays = next.and_then(|b| b.ports.get(port_name)).is_some_and(|p| !must_reopen(port, p));
            if !stays {
                steps.push(Step::DelPort { bridge: name.clone(), name: port_name.clone() });
            }
        }
    }
    let gone = now.bridges.values().filter(|bridge| stays(bridge, wanted).is_none());
    steps.extend(gone.map(|bridge| Step::DelBridge { name: bridge.name.clone() }));
    if now.other_config != wanted.other_config {
        steps.push(Step::Settings(wanted.other_config.clone()));
    }
    if now.tls != wanted.tls {
        steps.push(Step::Tls(wanted.tls.clone()));
    }
    for bridge in wanted.bridges.values() {
        match stays(bridge, now) {
            None => steps.push(Step::AddBridge(bare(bridge))),
            Some(from) if bare(from) != bare(bridge) => {
                steps.push(Step::SetBridge { from: Box::new(bare(from)), to: Box::new(bare(bridge)) });
            }
            Some(_) => {}
        }
    }
    for (name, bridge) in &wanted.bridges {
        let have = stays(bridge, now);
        let mut ports: Vec<&Port> = bridge.ports.values().collect();
        // the bridge's own first, then in order of numbers
        ports.sort_by_key(|p| (p.number != crate::desired::LOCAL, p.number));
        for port in ports {
            let from = have.and_then(|b| b.ports.get(&port.name)).filter(|from| !must_reopen(from, port));
            let Some(from) = from else {
                steps.push(Step::AddPort { bridge: name.clone(), port: port.clone() });
                continue;
            };
            let (bridge, name) = (name.clone(), port.name.clone());
            if from.vlan != port.vlan {
                steps.push(Step::SetVlan { bridge: bridge.clone(), name: name.clone(), vlan: port.vlan.clone() });
            }
            if from.mac != port.mac {
                steps.push(Step::SetMac { bridge: bridge.clone(), name, mac: port.mac });
            }
            let same = |p: &Port| (p.uuid, p.mtu_request, p.other_config.clone());
            if same(from) != same(port) {
                steps.push(Step::SetPort { bridge, port: port.clone() });
            }
        }
    }
    steps
}

impl Desired {
    /// Takes note that a step was carried out.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::DelPort { bridge, name } => {
                if let Some(bridge) = self.bridges.get_mut(bridge) {
                    bridge.ports.remove(name);
                }
            }
            Step::DelBridge { name } => drop(self.bridges.remove(name)),
            Step::AddBridge(bridge) => drop(self.bridges.insert(bridge.name.clone(), bridge.clone())),
            Step::SetBridge { to, .. } => {
                if let Some(bridge) = self.bridges.get_mut(&to.name) {
                    *bridge = Bridge { ports: std::mem::take(&mut bridge.ports), ..Bridge::clone(to) };
                }
            }
            Step::SetVlan { bridge, name, vlan } => {
                self.port_mut(bridge, name).into_iter().for_each(|p| p.vlan = vlan.clone());
            }
            Step::SetMac { bridge, name, mac } => {
                self.port_mut(bridge, name).into_iter().for_each(|p| p.mac = *mac);
            }
            Step::SetPort { bridge, port } | Step::AddPort { bridge, port } => {
                if let Some(bridge) = self.bridges.get_mut(bridge) {
                    bridge.ports.insert(port.name.clone(), port.clone());
                }
            }
            Step::Settings(map) => self.other_config = map.clone(),
            Step::Tls(tls) => self.tls.clone_from(tls),
        }
    }

    fn port_mut(&mut self, bridge: &str, name: &str) -> Option<&mut Port> {
        self.bridges.get_mut(bridge)?.ports.get_mut(name)
    }
}
