//! Registration of sockets, and what rte_vhost calls: connections, guests that start and stop, rings that go on and off.
//!
//! Callbacks come on vhost's threads, and on the thread that registers or unregisters. A panic must not unwind into C.
use super::ahead::Memory;
use super::fault;
use super::state::State;
use super::{Side, VhostConfig, VhostError};
use crate::logging::Complaints;
use dpdk_sys::rte_vhost_device_ops;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ports by socket, and by the number of their connection.
#[derive(Default)]
struct Known {
    sockets: Vec<Arc<State>>,
    connections: HashMap<c_int, Arc<State>>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// Held while a socket is started: the first one starts vhost's thread, and rte_vhost does not see to it that two that are
/// first at a time start one. With two of them, both read the same messages.
static STARTS: Mutex<()> = Mutex::new(());

fn known() -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The table of functions, which rte_vhost keeps a pointer to.
struct Ops(rte_vhost_device_ops);

// SAFETY: constants; pointers that are reserved are null and nobody's.
unsafe impl Sync for Ops {}

/// No functions. Releases of DPDK differ in what is reserved behind those below.
// SAFETY: functions are options and the rest pointers, for which zeros are None and null.
const NONE: rte_vhost_device_ops = unsafe { std::mem::zeroed() };

static OPS: Ops = Ops(rte_vhost_device_ops {
    new_device: Some(new_device),
    destroy_device: Some(destroy_device),
    vring_state_changed: Some(vring_state_changed),
    new_connection: Some(new_connection),
    destroy_connection: Some(destroy_connection),
    ..NONE
});

/// Feature bits that are not offered: what the switch does not do, and segmentation where it is off.
fn masked(tso: bool) -> u64 {
    let bit = |n: u32| 1u64 << n;
    let never = bit(dpdk_sys::IB_VIRTIO_NET_F_GUEST_ECN)
        | bit(dpdk_sys::IB_VIRTIO_NET_F_GUEST_UFO)
        | bit(dpdk_sys::IB_VIRTIO_NET_F_HOST_ECN)
        | bit(dpdk_sys::IB_VIRTIO_NET_F_HOST_UFO);
    let segmentation = bit(dpdk_sys::IB_VIRTIO_NET_F_GUEST_TSO4)
        | bit(dpdk_sys::IB_VIRTIO_NET_F_GUEST_TSO6)
        | bit(dpdk_sys::IB_VIRTIO_NET_F_HOST_TSO4)
        | bit(dpdk_sys::IB_VIRTIO_NET_F_HOST_TSO6);
    if tso { never } else { never | segmentation }
}

/// Registers the socket and starts to listen or connect.
pub(super) fn register(state: &Arc<State>, path: &CString, config: &VhostConfig) -> Result<(), VhostError> {
    let mut flags = dpdk_sys::IB_VHOST_COMPLIANT_OL_FLAGS;
    for (on, flag) in [
        (config.side == Side::Client, dpdk_sys::IB_VHOST_CLIENT),
        (config.iommu, dpdk_sys::IB_VHOST_IOMMU),
        (config.postcopy, dpdk_sys::IB_VHOST_POSTCOPY),
    ] {
        if on {
            flags |= flag;
        }
    }
    let complaints = Complaints::begin();
    let check = |what, code: c_int| match code {
        0 => Ok(()),
        _ => {
            let reason = complaints.explain("the vhost library refuses it");
            Err(VhostError::Refused { path: config.path.clone(), what, reason })
        }
    };
    // SAFETY: the EAL is up: the caller has a holder of it. The path is NUL-terminated and copied.
    check("register", unsafe { dpdk_sys::rte_vhost_driver_register(path.as_ptr(), flags) })?;
    known().get_or_insert_default().sockets.push(state.clone());
    let start = || {
        // SAFETY: a NUL-terminated text; any bits may be masked.
        let code = unsafe { dpdk_sys::rte_vhost_driver_disable_features(path.as_ptr(), masked(config.tso)) };
        check("choose features", code)?;
        // SAFETY: a NUL-terminated text; the functions never go away.
        let code = unsafe { dpdk_sys::rte_vhost_driver_callback_register(path.as_ptr(), &raw const OPS.0) };
        check("register callbacks", code)?;
        let _alone = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a NUL-terminated text.
        check("start", unsafe { dpdk_sys::rte_vhost_driver_start(path.as_ptr()) })
    };
    start().inspect_err(|_| unregister(state, path))
}

/// Ends the connection and takes the socket out. Waits for callbacks under way.
pub(super) fn unregister(state: &Arc<State>, path: &CString) {
    // SAFETY: a NUL-terminated text; the EAL is up, as the port is one of its holders.
    if unsafe { dpdk_sys::rte_vhost_driver_unregister(path.as_ptr()) } != 0 {
        log::warn!(target: "dpdk", "{}: the vhost library does not know it", state.path.display());
    }
    if let Some(known) = known().as_mut() {
        known.sockets.retain(|other| !Arc::ptr_eq(other, state));
        known.connections.retain(|_, other| !Arc::ptr_eq(other, state));
    }
    // should a callback have failed: nobody uses the guest's memory any more
    state.close();
}

/// The socket of a connection.
fn socket_of(vid: c_int) -> Option<Arc<State>> {
    let mut name = [0 as c_char; 256];
    // SAFETY: writes at most so many bytes there, NUL-terminated; takes any number.
    if unsafe { dpdk_sys::rte_vhost_get_ifname(vid, name.as_mut_ptr(), name.len()) } != 0 {
        return None;
    }
    name[255] = 0;
    // SAFETY: terminated above.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    known().as_ref()?.sockets.iter().find(|state| state.path == path).cloned()
}

fn of(vid: c_int) -> Option<Arc<State>> {
    known().as_ref()?.connections.get(&vid).cloned()
}

/// Runs a callback; without the port, or after a panic, the answer is `otherwise`.
fn call<T>(otherwise: T, run: impl FnOnce() -> Option<T>) -> T {
    catch_unwind(AssertUnwindSafe(run)).ok().flatten().unwrap_or(otherwise)
}

extern "C" fn new_connection(vid: c_int) -> c_int {
    call(-1, || {
        let state = socket_of(vid)?;
        fault::on_vhosts_thread();
        super::peer::limit(&state.path);
        if !state.connect(vid) {
            log::warn!(target: "dpdk", "{}: has a connection already, another one is refused", state.path.display());
            return None;
        }
        log::info!(target: "dpdk", "{}: connected", state.path.display());
        known().get_or_insert_default().connections.insert(vid, state);
        Some(0)
    })
}

extern "C" fn destroy_connection(vid: c_int) {
    call((), || {
        let state = known().as_mut()?.connections.remove(&vid)?;
        state.disconnect(vid);
        log::info!(target: "dpdk", "{}: disconnected", state.path.display());
        Some(())
    });
}

extern "C" fn new_device(vid: c_int) -> c_int {
    call(-1, || {
        let state = of(vid)?;
        let mut features = 0;
        // SAFETY: a place for the bits; takes any number.
        if unsafe { dpdk_sys::rte_vhost_get_negotiated_features(vid, &mut features) } != 0 {
            return None;
        }
        // SAFETY: takes any number.
        let rings = unsafe { dpdk_sys::rte_vhost_get_vring_num(vid) };
        // SAFETY: takes any number.
        let node = unsafe { dpdk_sys::rte_vhost_get_numa_node(vid) };
        let memory = if state.has_memory_at_once() { Memory::of(vid, features) } else { None };
        state.open(vid, features, rings, u32::try_from(node).ok(), memory.as_ref());
        log::info!(
            target: "dpdk",
            "{}: guest {vid} is up, {} ring pairs, features {features:#x}",
            state.path.display(),
            state.pairs()
        );
        Some(0)
    })
}

extern "C" fn destroy_device(vid: c_int) {
    call((), || {
        let state = of(vid)?;
        state.close();
        log::info!(target: "dpdk", "{}: guest {vid} is down", state.path.display());
        Some(())
    });
}

extern "C" fn vring_state_changed(vid: c_int, ring: u16, enable: c_int) -> c_int {
    call(-1, || {
        of(vid)?.enable(ring, enable != 0);
        Some(0)
    })
}
