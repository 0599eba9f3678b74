//! Counters, link state and events of a port.
use super::Link;
use super::attach::text;
use packet::device::PortStats;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// RTE_MAX_ETHPORTS, the numbers that ports can have.
const PORTS: usize = dpdk_sys::IB_MAX_ETHPORTS as usize;

// Static, so that an event that arrives while a port goes has somewhere to go.
static LINK_CHANGES: [AtomicU64; PORTS] = [const { AtomicU64::new(0) }; PORTS];
static REMOVED: [AtomicBool; PORTS] = [const { AtomicBool::new(false) }; PORTS];

const EVENTS: [u32; 2] = [dpdk_sys::IB_EVENT_INTR_LSC, dpdk_sys::IB_EVENT_INTR_RMV];

/// Called on DPDK's interrupt thread.
extern "C" fn event(port: u16, event: u32, _argument: *mut c_void, _result: *mut c_void) -> c_int {
    let port = usize::from(port);
    if event == dpdk_sys::IB_EVENT_INTR_RMV
        && let Some(removed) = REMOVED.get(port)
    {
        removed.store(true, Ordering::Release);
    }
    if let Some(changes) = LINK_CHANGES.get(port) {
        changes.fetch_add(1, Ordering::Release);
    }
    0
}

/// Starts counting events.
pub(super) fn watch(id: u16) {
    if let Some(removed) = REMOVED.get(usize::from(id)) {
        removed.store(false, Ordering::Release);
    }
    for kind in EVENTS {
        // SAFETY: a function that never goes away, without argument; the number is checked.
        unsafe { dpdk_sys::rte_eth_dev_callback_register(id, kind, Some(event), std::ptr::null_mut()) };
    }
}

pub(super) fn unwatch(id: u16) {
    for kind in EVENTS {
        // SAFETY: as registered; one that is not there is an error that changes nothing.
        unsafe { dpdk_sys::rte_eth_dev_callback_unregister(id, kind, Some(event), std::ptr::null_mut()) };
    }
}

pub(super) fn link_changes(id: u16) -> u64 {
    LINK_CHANGES.get(usize::from(id)).map_or(0, |c| c.load(Ordering::Acquire))
}

pub(super) fn is_removed(id: u16) -> bool {
    REMOVED.get(usize::from(id)).is_some_and(|r| r.load(Ordering::Acquire))
}

pub(super) fn link(id: u16) -> Link {
    let mut link = dpdk_sys::ib_link::default();
    // SAFETY: a place to write to; the number is checked.
    let code = unsafe { dpdk_sys::ib_link_get(id, &mut link) };
    if code < 0 {
        return Link::default();
    }
    // RTE_ETH_SPEED_NUM_NONE and RTE_ETH_SPEED_NUM_UNKNOWN
    let speed = (link.speed_mbps != 0 && link.speed_mbps != u32::MAX).then_some(link.speed_mbps);
    Link { up: link.up != 0, speed, full_duplex: link.full_duplex != 0, autoneg: link.autoneg != 0 }
}

pub(super) fn read(id: u16) -> PortStats {
    let mut stats = dpdk_sys::rte_eth_stats::default();
    // SAFETY: a place to write to; the number is checked.
    unsafe { dpdk_sys::rte_eth_stats_get(id, &mut stats) };
    PortStats {
        rx_packets: stats.ipackets,
        tx_packets: stats.opackets,
        rx_bytes: stats.ibytes,
        tx_bytes: stats.obytes,
        rx_dropped: stats.imissed.saturating_add(stats.rx_nombuf),
        tx_dropped: 0,
        rx_errors: stats.ierrors,
        tx_errors: stats.oerrors,
        extended: Vec::new(),
    }
}

/// The device's own counters. Names are asked for once per start: they change with the queues only.
pub(super) fn extended(id: u16, names: &mut Vec<String>) -> Vec<(String, u64)> {
    if names.is_empty() {
        *names = extended_names(id);
    }
    let mut values = vec![dpdk_sys::rte_eth_xstat::default(); names.len()];
    let room = u32::try_from(values.len()).unwrap_or(0);
    // SAFETY: room for as many values as stated; the number is checked.
    let count = unsafe { dpdk_sys::rte_eth_xstats_get(id, values.as_mut_ptr(), room) };
    // more than there is room for: the set changed, so ask again the next time
    let Some(count) = usize::try_from(count).ok().filter(|&count| count <= values.len()) else {
        names.clear();
        return Vec::new();
    };
    let named = |stat: &dpdk_sys::rte_eth_xstat| Some((names.get(usize::try_from(stat.id).ok()?)?.clone(), stat.value));
    values.iter().take(count).filter_map(named).collect()
}

fn extended_names(id: u16) -> Vec<String> {
    // SAFETY: no room, so only the number of names is returned.
    let count = unsafe { dpdk_sys::rte_eth_xstats_get_names(id, std::ptr::null_mut(), 0) };
    let Ok(room) = u32::try_from(count) else { return Vec::new() };
    let mut names = vec![dpdk_sys::rte_eth_xstat_name::default(); room as usize];
    // SAFETY: room for as many names as stated; the number is checked.
    let count = unsafe { dpdk_sys::rte_eth_xstats_get_names(id, names.as_mut_ptr(), room) };
    match usize::try_from(count) {
        Ok(count) if count <= names.len() => names.iter().take(count).map(|n| text(&n.name)).collect(),
        _ => Vec::new(),
    }
}
