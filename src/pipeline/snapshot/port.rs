//! Ports of a bridge: what OpenFlow and NORMAL need to know of them.

use std::sync::Arc;

use dpif::PortNo;
use openflow::OfPort;

use crate::normal::vlan::VlanConfig;

/// A port as the caller of the manager describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    pub name: String,
    /// The OpenFlow number, [`OfPort::LOCAL`] for the bridge's own port.
    pub number: OfPort,
    pub kind: PortKind,
    /// Ethernet address, 48 bits.
    pub mac: u64,
    pub vlan: VlanConfig,
    pub flags: PortFlags,
    /// Has link: what groups and bundles that watch it go by. Packets are sent without it all the same.
    pub up: bool,
}

impl PortConfig {
    /// A port with a datapath port behind it, up, trunking everything.
    pub fn device(name: &str, number: OfPort, port: PortNo) -> PortConfig {
        PortConfig::new(name, number, PortKind::Device(port))
    }

    /// One end of a patch; `peer` is the other end's name.
    pub fn patch(name: &str, number: OfPort, peer: &str) -> PortConfig {
        PortConfig::new(name, number, PortKind::Patch { peer: peer.into() })
    }

    fn new(name: &str, number: OfPort, kind: PortKind) -> PortConfig {
        PortConfig {
            name: name.into(),
            number,
            kind,
            mac: 0,
            vlan: VlanConfig::default(),
            flags: PortFlags::default(),
            up: true,
        }
    }
}

/// What is behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A port of the datapath.
    Device(PortNo),
    /// A link to the port called `peer`, here or in another bridge.
    Patch { peer: String },
}

/// A port's configuration bits (OpenFlow `ofp_port_config`; `ovs-ofctl mod-port`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortFlags {
    /// Administratively down: neither receives nor sends.
    pub down: bool,
    /// Told and kept; OpenFlow 1.0 alone has it.
    pub no_stp: bool,
    pub no_receive: bool,
    pub no_flood: bool,
    pub no_forward: bool,
    pub no_packet_in: bool,
}

/// A port of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub number: OfPort,
    pub name: Arc<str>,
    pub kind: PortKind,
    pub mac: u64,
    pub vlan: VlanConfig,
    pub flags: PortFlags,
    pub up: bool,
    /// Where a patch leads, once its peer exists and points back.
    pub peer: Option<PatchPeer>,
}

/// The other end of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPeer {
    pub bridge: u32,
    pub port: OfPort,
}

impl Port {
    pub(crate) fn from_config(config: PortConfig) -> Port {
        let PortConfig { name, number, kind, mac, vlan, flags, up } = config;
        Port { number, name: name.into(), kind, mac, vlan, flags, up, peer: None }
    }

    /// Its datapath port, if it has one.
    pub fn device(&self) -> Option<PortNo> {
        match self.kind {
            PortKind::Device(port) => Some(port),
            PortKind::Patch { .. } => None,
        }
    }

    /// Can a packet leave here?
    pub fn sends(&self) -> bool {
        !self.flags.down && !self.flags.no_forward
    }

    /// Does what watches it count on it?
    pub fn is_live(&self) -> bool {
        self.up && !self.flags.down
    }

    /// Are packets from here looked at?
    pub fn receives(&self) -> bool {
        !self.flags.down && !self.flags.no_receive
    }

    /// Does a flood reach it?
    pub fn floods(&self) -> bool {
        self.sends() && !self.flags.no_flood
    }
}
