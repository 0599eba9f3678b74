//! What all threads read: an immutable value per published version, sharing whatever did not change.
//!
//! [`Snapshot`] holds bridges by index; a [`Bridge`] its ports, tables ([`table`]), groups ([`group`]), meters ([`meter`]) and MAC table
//! ([`crate::normal::fdb`]). Copying a snapshot copies pointers; the manager edits its own through `Arc::make_mut`.

pub mod group;
pub mod log;
pub mod meter;
pub mod mirror;
pub mod port;
pub mod setup;
pub mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dpif::{FlowStats, PortNo};
use openflow::wire::switch::Fragments;
use openflow::{GroupId, MeterId, OfPort};

use crate::normal::fdb::Fdb;
use crate::normal::vlan::Trunks;
use group::Group;
use log::Log;
use meter::Metered;
use port::Port;
use setup::{Miss, Setup};
use table::{Rule, Table};

/// One version of everything.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub version: u64,
    /// By index; an index is never used again for another bridge.
    pub bridges: Vec<Option<Arc<Bridge>>>,
    /// By datapath port.
    pub ports: Arc<Vec<Option<PortRef>>>,
    pub log: Log,
    /// How many VLAN tags keys have: 1 or 2, or 0 for as many as there is room for.
    pub vlan_limit: u8,
}

/// Where a datapath port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRef {
    pub bridge: u32,
    pub port: OfPort,
}

/// One bridge.
#[derive(Clone)]
pub struct Bridge {
    pub index: u32,
    pub name: Arc<str>,
    pub datapath_id: u64,
    pub ports: Arc<BTreeMap<OfPort, Arc<Port>>>,
    /// By table number; as long as the highest used number needs.
    pub tables: Vec<Option<Arc<Table>>>,
    pub groups: Arc<BTreeMap<GroupId, Arc<Group>>>,
    pub meters: Arc<BTreeMap<MeterId, Metered>>,
    pub fdb: Fdb,
    pub settings: Settings,
    /// Packets that match nothing go to controllers: one that listens speaks OpenFlow 1.2 or older.
    pub misses_told: bool,
    /// What becomes of IP fragments (ovs-ofctl(8), "set-frags").
    pub fragments: Fragments,
    /// How tables are set, those that are in some way.
    pub setups: Arc<BTreeMap<u8, Setup>>,
    /// Lookups that found nothing, by table.
    pub missed: Arc<[Arc<FlowStats>]>,
}

/// Settings of a bridge (ovs-vswitchd.conf.db(5), table Bridge).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// other_config:mac-aging-time.
    pub mac_aging: Duration,
    /// other_config:mac-table-size.
    pub mac_table_size: usize,
    /// Most MAC addresses learned on one port; 0 leaves it to the table's size.
    pub mac_quota: usize,
    /// other_config:forward-bpdu.
    pub forward_bpdu: bool,
    /// Drop what comes in with the bridge's own address as source: a loop.
    pub drop_own_source: bool,
    /// flood_vlans: what is in one of these goes to all its ports, and nothing is learned of it.
    pub flood_vlans: Option<Trunks>,
    /// The first [`MAX_MIRRORS`] count.
    pub mirrors: Arc<[mirror::Mirror]>,
}

/// Mirrors that a bridge may have (ovs-vswitchd.conf.db(5), Bridge, mirrors).
pub const MAX_MIRRORS: usize = 32;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mac_aging: Duration::from_secs(300),
            mac_table_size: 8192,
            mac_quota: 0,
            forward_bpdu: false,
            drop_own_source: false,
            flood_vlans: None,
            mirrors: Arc::default(),
        }
    }
}

impl Snapshot {
    /// The bridge with this index.
    pub fn bridge(&self, index: u32) -> Option<&Arc<Bridge>> {
        self.bridges.get(index as usize)?.as_ref()
    }

    /// The bridge called `name`.
    pub fn bridge_named(&self, name: &str) -> Option<&Arc<Bridge>> {
        self.bridges.iter().flatten().find(|b| &*b.name == name)
    }

    /// Where datapath port `port` is.
    pub fn port(&self, port: PortNo) -> Option<PortRef> {
        *self.ports.get(port.0 as usize)?
    }
}

impl Bridge {
    /// Table `n`, if it has ever had a rule.
    pub fn table(&self, n: u8) -> Option<&Arc<Table>> {
        self.tables.get(usize::from(n))?.as_ref()
    }

    /// How table `n` is set.
    pub fn setup(&self, n: u8) -> Setup {
        self.setups.get(&n).cloned().unwrap_or_default()
    }

    /// What becomes of packets that match nothing in table `n`.
    pub fn miss(&self, n: u8) -> Miss {
        self.setups.get(&n).map_or(Miss::ByVersion, |setup| setup.miss)
    }

    /// Packets that matched nothing in table `n`.
    pub fn missed_in(&self, n: u8) -> u64 {
        self.missed.get(usize::from(n)).map_or(0, |missed| missed.get().0)
    }

    pub(crate) fn setup_mut(&mut self, n: u8) -> &mut Setup {
        Arc::make_mut(&mut self.setups).entry(n).or_default()
    }

    /// All rules, by table.
    pub fn rules(&self) -> impl Iterator<Item = (u8, &Arc<Rule>)> {
        (0..=u8::MAX).zip(&self.tables).flat_map(|(n, t)| t.iter().flat_map(move |t| t.rules().map(move |r| (n, r))))
    }

    /// All ports, LOCAL before the others, as the stock switch floods.
    pub fn local_first(&self) -> impl Iterator<Item = &Arc<Port>> {
        let others = self.ports.values().filter(|p| p.number != OfPort::LOCAL);
        self.ports.get(&OfPort::LOCAL).into_iter().chain(others)
    }

    /// The port called `name`.
    pub fn port_named(&self, name: &str) -> Option<&Arc<Port>> {
        self.ports.values().find(|p| &*p.name == name)
    }
}
