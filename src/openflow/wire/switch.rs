//! The switch as a whole: features, configuration, roles, and what a connection asks of its messages (OpenFlow 1.3,
//! sections 7.3.1, 7.3.2 and 7.3.9; ovs-ofctl(8) for Nicira's).
#![deny(clippy::indexing_slicing)]

use super::bytes::{Bytes, Put};
use super::codes::*;
use super::error::{Error, Result, refuse};
use super::packet::PacketInFormat;
use super::port::{PortDesc, desc_len, read_desc, write_desc};
use super::version::Version;

/// What a switch can do, by OpenFlow 1.3's bits; that of OpenFlow 1.0 whose bit means something else later has one of
/// its own.
pub mod capability {
    pub const FLOW_STATS: u32 = 1 << 0;
    pub const TABLE_STATS: u32 = 1 << 1;
    pub const PORT_STATS: u32 = 1 << 2;
    /// OpenFlow 1.1 and later.
    pub const GROUP_STATS: u32 = 1 << 3;
    pub const IP_REASM: u32 = 1 << 5;
    pub const QUEUE_STATS: u32 = 1 << 6;
    /// OpenFlow 1.0 to 1.1.
    pub const ARP_MATCH_IP: u32 = 1 << 7;
    /// OpenFlow 1.2 and later.
    pub const PORT_BLOCKED: u32 = 1 << 8;
    /// OpenFlow 1.4 and later.
    pub const BUNDLES: u32 = 1 << 9;
    pub const FLOW_MONITORING: u32 = 1 << 10;
    /// OpenFlow 1.0's, whose bit is [`GROUP_STATS`]' later.
    pub const STP: u32 = 1 << 31;

    const COMMON: u32 = FLOW_STATS | TABLE_STATS | PORT_STATS | IP_REASM | QUEUE_STATS;

    /// The bits that a version has.
    pub(super) fn of(version: super::Version) -> u32 {
        use super::Version as V;
        match version {
            V::Of10 => COMMON | ARP_MATCH_IP | STP,
            V::Of11 => COMMON | ARP_MATCH_IP | GROUP_STATS,
            V::Of12 | V::Of13 => COMMON | GROUP_STATS | PORT_BLOCKED,
            _ => COMMON | GROUP_STATS | PORT_BLOCKED | BUNDLES | FLOW_MONITORING,
        }
    }
}

const STP10: u32 = 1 << 3;

/// What a switch is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub datapath_id: u64,
    /// Packets that it can hold.
    pub n_buffers: u32,
    pub n_tables: u8,
    /// OpenFlow 1.3 and later.
    pub auxiliary_id: u8,
    /// Bits of [`capability`].
    pub capabilities: u32,
    /// OpenFlow 1.0's actions, a bit for each by its number.
    pub actions: u32,
    /// Before OpenFlow 1.3.
    pub ports: Vec<PortDesc>,
}

pub fn read_features(b: &mut Bytes, version: Version) -> Result<Features> {
    let mut f = Features { datapath_id: b.u64()?, n_buffers: b.u32()?, n_tables: b.u8()?, ..Features::default() };
    let aux = b.u8()?;
    f.auxiliary_id = if version >= Version::Of13 { aux } else { 0 };
    b.skip(2)?;
    let raw = b.u32()?;
    f.capabilities = raw & capability::of(version);
    if version == Version::Of10 && raw & STP10 != 0 {
        f.capabilities |= capability::STP;
    }
    let actions = b.u32()?;
    f.actions = if version == Version::Of10 { actions } else { 0 };
    if version < Version::Of13 {
        let (len, each) = (b.len(), desc_len(version));
        f.ports = read_ports(b, version).map_err(|e| match len % each {
            0 => e,
            _ => e.and("ofp_msgs", wrong_length("OFPT_FEATURES_REPLY", FEATURES_LEN + len, FEATURES_LEN, each)),
        })?;
    }
    Ok(f)
}

/// Bytes of an answer about features before its ports, the header's among them.
const FEATURES_LEN: usize = 32;

/// What is said of a message of `len` bytes that has `head` and then entries of `each`.
fn wrong_length(name: &str, len: usize, head: usize, each: usize) -> String {
    format!(
        "received {name} with incorrect length {len} (must be exactly {head} bytes or longer by an integer multiple \
         of {each} bytes)"
    )
}

/// Ports to the end of `b`.
pub fn read_ports(b: &mut Bytes, version: Version) -> Result<Vec<PortDesc>> {
    let mut ports = Vec::new();
    while b.len() >= desc_len(version) {
        ports.push(read_desc(b, version)?);
    }
    b.end()?;
    Ok(ports)
}

pub fn write_features(out: &mut Vec<u8>, f: &Features, version: Version) {
    out.u64(f.datapath_id);
    out.u32(f.n_buffers);
    out.u8(f.n_tables);
    out.u8(if version >= Version::Of13 { f.auxiliary_id } else { 0 });
    out.zeros(2);
    let mut bits = f.capabilities & capability::of(version) & !capability::STP;
    if version == Version::Of10 && f.capabilities & capability::STP != 0 {
        bits |= STP10;
    }
    out.u32(bits);
    out.u32(if version == Version::Of10 { f.actions } else { 0 });
    if version < Version::Of13 {
        f.ports.iter().for_each(|p| write_desc(out, p, version));
    }
}

/// What becomes of IP fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fragments {
    #[default]
    Normal,
    Drop,
    Reassemble,
    /// Nicira's: fragments can be told in a match.
    NxMatch,
}

const FRAGMENTS: [Fragments; 4] = [Fragments::Normal, Fragments::Drop, Fragments::Reassemble, Fragments::NxMatch];
/// Packets whose hop count ran out go to the controller; before OpenFlow 1.3.
const INVALID_TTL: u16 = 1 << 2;

/// A switch's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchConfig {
    pub fragments: Fragments,
    /// `None` where a version does not say.
    pub invalid_ttl_to_controller: Option<bool>,
    /// Bytes of a packet that no flow asked for that a controller gets.
    pub miss_send_len: u16,
}

pub fn read_config(b: &mut Bytes, version: Version) -> Result<SwitchConfig> {
    let (flags, miss_send_len) = (b.u16()?, b.u16()?);
    let known = if version < Version::Of13 && version > Version::Of10 { 3 | INVALID_TTL } else { 3 };
    if flags & !known != 0 && !(version == Version::Of10 && flags & !(3 | INVALID_TTL) == 0) {
        return refuse(OFPSCFC_BAD_FLAGS);
    }
    let fragments = FRAGMENTS.get(usize::from(flags & 3)).copied().ok_or(Error::new(OFPSCFC_BAD_FLAGS))?;
    let invalid_ttl_to_controller = (version < Version::Of13).then_some(flags & INVALID_TTL != 0);
    Ok(SwitchConfig { fragments, invalid_ttl_to_controller, miss_send_len })
}

pub fn write_config(out: &mut Vec<u8>, c: SwitchConfig, version: Version) {
    let fragments = FRAGMENTS.iter().position(|f| *f == c.fragments).unwrap_or(0) as u16;
    let ttl = c.invalid_ttl_to_controller == Some(true) && version < Version::Of13;
    out.u16(fragments | if ttl { INVALID_TTL } else { 0 });
    out.u16(c.miss_send_len);
}

/// A controller's role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// A question alone; Nicira's requests have none.
    NoChange,
    #[default]
    Equal,
    Primary,
    Secondary,
}

/// A role that is asked for or given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleRequest {
    pub role: Role,
    /// Guards against a primary that was deposed.
    pub generation: Option<u64>,
}

const ROLES: [Role; 4] = [Role::NoChange, Role::Equal, Role::Primary, Role::Secondary];
/// "There is no generation."
const NO_GENERATION: u64 = u64::MAX;

pub fn read_role(b: &mut Bytes) -> Result<RoleRequest> {
    let n = b.u32()?;
    b.skip(4)?;
    let role = usize::try_from(n).ok().and_then(|n| ROLES.get(n)).copied().ok_or(Error::new(OFPRRFC_BAD_ROLE))?;
    let generation = b.u64()?;
    // what Open vSwitch takes for "none"
    let generation = (role != Role::NoChange && generation != NO_GENERATION).then_some(generation);
    Ok(RoleRequest { role, generation })
}

/// Nicira's roles have other numbers: equal, primary, secondary from 0.
pub fn read_nx_role(b: &mut Bytes) -> Result<RoleRequest> {
    let n = b.u32()?;
    let role = usize::try_from(n).ok().and_then(|n| ROLES.get(n.checked_add(1)?)).copied();
    Ok(RoleRequest { role: role.ok_or(Error::new(OFPRRFC_BAD_ROLE))?, generation: None })
}

fn role_number(role: Role) -> u32 {
    ROLES.iter().position(|r| *r == role).unwrap_or(0) as u32
}

pub fn write_role(out: &mut Vec<u8>, r: RoleRequest) {
    out.u32(role_number(r.role));
    out.u32(0);
    out.u64(r.generation.unwrap_or(NO_GENERATION));
}

pub fn write_nx_role(out: &mut Vec<u8>, r: RoleRequest) {
    out.u32(role_number(r.role).saturating_sub(1));
}

/// Why a role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleReason {
    PrimaryRequest,
    Config,
    Experimenter,
}

/// A controller's role changed without its asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    pub role: Role,
    pub reason: RoleReason,
    pub generation: Option<u64>,
}

pub fn read_role_status(b: &mut Bytes) -> Result<RoleStatus> {
    let n = b.u32()?;
    let role = usize::try_from(n).ok().and_then(|n| ROLES.get(n)).copied();
    let role = role.filter(|r| *r != Role::NoChange).ok_or(Error::new(OFPRRFC_BAD_ROLE))?;
    let reason = match b.u8()? {
        0 => RoleReason::PrimaryRequest,
        1 => RoleReason::Config,
        2 => RoleReason::Experimenter,
        _ => return refuse(NXBRC_BAD_REASON),
    };
    b.skip(3)?;
    let generation = b.u64()?;
    b.skip(b.len())?;
    Ok(RoleStatus { role, reason, generation: (generation != NO_GENERATION).then_some(generation) })
}

pub fn write_role_status(out: &mut Vec<u8>, s: RoleStatus) {
    out.u32(role_number(s.role));
    out.u8(match s.reason {
        RoleReason::PrimaryRequest => 0,
        RoleReason::Config => 1,
        RoleReason::Experimenter => 2,
    });
    out.zeros(3);
    out.u64(s.generation.unwrap_or(NO_GENERATION));
}

/// The form of flow-mods and statistics on an OpenFlow 1.0 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowFormat {
    Standard,
    Nxm,
}

pub fn read_flow_format(b: &mut Bytes) -> Result<FlowFormat> {
    match b.u32()? {
        0 => Ok(FlowFormat::Standard),
        2 => Ok(FlowFormat::Nxm),
        _ => refuse(OFPBRC_EPERM),
    }
}

pub fn write_flow_format(out: &mut Vec<u8>, f: FlowFormat) {
    out.u32(if f == FlowFormat::Nxm { 2 } else { 0 });
}

pub fn read_packet_in_format(b: &mut Bytes) -> Result<PacketInFormat> {
    match b.u32()? {
        0 => Ok(PacketInFormat::Standard),
        1 => Ok(PacketInFormat::Nxt),
        2 => Ok(PacketInFormat::Nxt2),
        _ => refuse(OFPBRC_EPERM),
    }
}

pub fn write_packet_in_format(out: &mut Vec<u8>, f: PacketInFormat) {
    out.u32(match f {
        PacketInFormat::Standard => 0,
        PacketInFormat::Nxt => 1,
        PacketInFormat::Nxt2 => 2,
    });
}
