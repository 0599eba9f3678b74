//! Mirrors: which packets of a bridge are copied, and where to (ovs-vswitchd.conf.db(5), table Mirror).

use crate::normal::vlan::Trunks;

/// A mirror. Ports go by their names, so that one may come later than the mirror that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub name: String,
    /// Of what comes in by these ports.
    pub sources: Selected,
    /// Of what goes out by these.
    pub destinations: Selected,
    /// Of these VLANs only.
    pub vlans: Option<Trunks>,
    pub to: MirrorTo,
    /// Bytes of each packet; 0 for all.
    pub snaplen: u16,
}

/// Ports that a mirror looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    All,
    Named(Vec<String>),
}

/// Where copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorTo {
    /// A port, which has no other packets then.
    Port(String),
    /// All ports of a VLAN.
    Vlan(u16),
}

impl Selected {
    pub(crate) fn has(&self, port: &str) -> bool {
        match self {
            Selected::All => true,
            Selected::Named(names) => names.iter().any(|name| name == port),
        }
    }
}
