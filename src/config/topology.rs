//! Bridges, ports and interfaces as the file describes them, in OVSDB's words (ovs-vswitchd.conf.db(5)).

use std::path::PathBuf;

use serde::Deserialize;

use super::Map;

/// A row of table Bridge with its ports.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    pub name: String,
    /// What an empty table 0 means: "standalone" floods and learns (NORMAL), "secure" drops.
    #[serde(default)]
    pub fail_mode: FailMode,
    /// mac-aging-time (seconds), mac-table-size, forward-bpdu.
    #[serde(default)]
    pub other_config: Map,
    /// Whether the bridge's own port (LOCAL) becomes a tap device of the bridge's name.
    #[serde(default = "yes")]
    pub local: bool,
    /// A file of flows in ovs-ofctl's syntax, loaded when the bridge is made.
    pub flows: Option<PathBuf>,
    /// A file of groups in ovs-ofctl's syntax, loaded before the flows.
    pub groups: Option<PathBuf>,
    #[serde(rename = "port", default)]
    pub ports: Vec<Port>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum FailMode {
    #[default]
    Standalone,
    Secure,
}

/// A row of table Port with its one interface.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Port {
    pub name: String,
    /// Access VLAN, or the native VLAN of a trunk port (0 to 4095).
    pub tag: Option<u16>,
    /// VLANs that a trunk port carries; all when left out.
    #[serde(default)]
    pub trunks: Vec<u16>,
    pub vlan_mode: Option<VlanMode>,
    /// VLANs of customers that a dot1q-tunnel port takes; all when left out.
    #[serde(default)]
    pub cvlans: Vec<u16>,
    #[serde(rename = "type")]
    pub interface_type: InterfaceType,
    /// What the type needs: dpdk-devargs, peer, ...
    #[serde(default)]
    pub options: Map,
    /// pmd-rxq-affinity, priority-tags, qinq-ethtype.
    #[serde(default)]
    pub other_config: Map,
    /// OpenFlow port number (1 to 65279); the lowest free one when left out.
    pub ofport_request: Option<u16>,
    pub mtu_request: Option<u16>,
    /// Receive queues.
    pub n_rxq: Option<u16>,
    /// Descriptors for each receive queue.
    pub n_rxq_desc: Option<u16>,
    /// Descriptors for each transmit queue.
    pub n_txq_desc: Option<u16>,
    /// The type's name for display, where it is another than that of what is behind the port.
    #[serde(skip)]
    pub shown: Option<String>,
    /// A tap device is left down, for others to bring up.
    #[serde(skip)]
    pub left_down: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum VlanMode {
    Access,
    Trunk,
    NativeTagged,
    NativeUntagged,
    Dot1qTunnel,
}

/// What is behind a port.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceType {
    /// A DPDK device by `options:dpdk-devargs`: a PCI address or a virtual device.
    Dpdk,
    /// A virtual machine's card by vhost-user; the switch connects to `options:vhost-server-path`.
    Dpdkvhostuserclient,
    /// The same; the switch listens, at a socket of the port's name.
    Dpdkvhostuser,
    /// An existing kernel interface, by AF_PACKET.
    #[serde(alias = "system")]
    Afpacket,
    /// A tap device that the switch makes.
    #[serde(alias = "internal")]
    Tap,
    /// One end of a pair that joins two bridges; `options:peer` names the other.
    Patch,
    /// A port of tests: frames are put in and taken out by control commands.
    Dummy,
    /// The same as a port that a bridge makes, in deterministic mode.
    #[serde(skip_deserializing)]
    DummyInternal,
    /// The same with receive queues for polling workers, in deterministic mode.
    #[serde(skip_deserializing)]
    DummyPmd,
}

impl InterfaceType {
    /// Whether it needs DPDK.
    pub fn is_dpdk(self) -> bool {
        matches!(self, InterfaceType::Dpdk | InterfaceType::Dpdkvhostuserclient | InterfaceType::Dpdkvhostuser)
    }

    /// Whether frames come and go by control commands.
    pub fn is_dummy(self) -> bool {
        matches!(self, InterfaceType::Dummy | InterfaceType::DummyInternal | InterfaceType::DummyPmd)
    }

    /// The word in configuration and display.
    pub fn name(self) -> &'static str {
        match self {
            InterfaceType::Dpdk => "dpdk",
            InterfaceType::Dpdkvhostuserclient => "dpdkvhostuserclient",
            InterfaceType::Dpdkvhostuser => "dpdkvhostuser",
            InterfaceType::Afpacket => "afpacket",
            InterfaceType::Tap => "tap",
            InterfaceType::Patch => "patch",
            InterfaceType::Dummy => "dummy",
            InterfaceType::DummyInternal => "dummy-internal",
            InterfaceType::DummyPmd => "dummy-pmd",
        }
    }
}
