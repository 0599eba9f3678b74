//! From devargs to a device and back. Read first: rte_dev.h, `rte_dev_probe`; the guide's "Device hotplug".
use super::{Inner, PortError, info, stats};
use crate::{Eal, Errno, logging, vdev};
use std::ffi::{CString, c_char};

/// Finds or plugs in the device that `devargs` names and enters it as in use: its number and name.
pub(super) fn claim(eal: &Eal, devargs: &str) -> Result<(u16, String), PortError> {
    let failed = |reason: String| PortError::Attach { devargs: devargs.to_string(), reason };
    let text = match CString::new(devargs) {
        Ok(text) if !devargs.trim().is_empty() => text,
        _ => return Err(failed("that is no device".into())),
    };
    let mut ports = eal.ports();
    let complaints = logging::Complaints::begin();
    let mut found = find(&text, devargs);
    if found.is_empty() {
        // SAFETY: the EAL is up; a NUL-terminated text, parsed and copied. The lock of `ports` serialises probing.
        let code = unsafe { dpdk_sys::rte_dev_probe(text.as_ptr()) };
        if code < 0 {
            // drivers return -1 for anything, and the parser of devargs -EFAULT; the log knows more
            return Err(failed(match Errno::from_negative(code) {
                errno if errno.number() == libc::EPERM => complaints.explain("the driver refuses it"),
                errno if errno.number() == libc::EFAULT => complaints.explain("no driver knows it"),
                errno => complaints.explain(errno),
            }));
        }
        found = find(&text, devargs);
    }
    // a device may have several ports: the first that nobody has
    let Some(&id) = found.iter().find(|id| !ports.contains_key(id)).or(found.first()) else {
        return Err(failed(complaints.explain("the device is there, but it has no Ethernet port")));
    };
    let name = info::name(id);
    if let Some(by) = ports.get(&id) {
        return Err(PortError::InUse { devargs: devargs.to_string(), name, by: by.clone() });
    }
    stats::watch(id);
    ports.insert(id, devargs.to_string());
    Ok((id, name))
}

/// The ports of the device that `devargs` names, if it is there.
fn find(text: &CString, devargs: &str) -> Vec<u16> {
    if let Some(id) = by_name(vdev::name(devargs)) {
        return vec![id];
    }
    // matching by properties, and PCI addresses in any spelling; for other devargs the parser would only complain
    if !(devargs.starts_with("class=") || devargs.starts_with("bus=") || vdev::name(devargs).contains(':')) {
        return Vec::new();
    }
    let mut ids = Vec::new();
    let mut iterator = dpdk_sys::rte_dev_iterator::default();
    // SAFETY: an empty iterator and a NUL-terminated text that is copied.
    if unsafe { dpdk_sys::rte_eth_iterator_init(&mut iterator, text.as_ptr()) } != 0 {
        return ids;
    }
    loop {
        // SAFETY: initialised above; after the last port it returns RTE_MAX_ETHPORTS and has cleaned itself up.
        let id = unsafe { dpdk_sys::rte_eth_iterator_next(&mut iterator) };
        if u32::from(id) >= dpdk_sys::IB_MAX_ETHPORTS {
            return ids;
        }
        ids.push(id);
    }
}

fn by_name(name: &str) -> Option<u16> {
    let name = CString::new(name).ok()?;
    let mut id = 0;
    // SAFETY: a NUL-terminated text and a place for the number.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) };
    (code == 0).then_some(id)
}

/// Closes the port, unplugs the device when it has no other, and enters it as free.
pub(super) fn release(port: &Inner) -> Result<(), PortError> {
    let mut ports = port.eal.ports();
    let device = info::raw(port.id).device;
    stats::unwatch(port.id);
    let closed = port.call("close", || {
        // SAFETY: the port is stopped, and nobody has queues of it: the last holder is being dropped.
        unsafe { dpdk_sys::rte_eth_dev_close(port.id) }
    });
    ports.remove(&port.id);
    closed?;
    if device.is_null() || all().into_iter().any(|id| info::raw(id).device == device) {
        return Ok(());
    }
    port.call("unplug", || {
        // SAFETY: the device of the port closed above; it has no other port, and plugging is serialised by `ports`.
        unsafe { dpdk_sys::rte_dev_remove(device) }
    })
}

/// Numbers of all ports that DPDK knows.
fn all() -> Vec<u16> {
    let mut ids = Vec::new();
    let mut id = 0;
    loop {
        // SAFETY: takes any number.
        id = unsafe { dpdk_sys::rte_eth_find_next(id) };
        if u32::from(id) >= dpdk_sys::IB_MAX_ETHPORTS {
            return ids;
        }
        ids.push(id);
        id += 1;
    }
}

/// All Ethernet ports that DPDK knows: those in use here, and others it found when it started.
pub fn list(eal: &Eal) -> Vec<super::PortInfo> {
    let ports = eal.ports();
    let describe = |id| super::PortInfo { devargs: ports.get(&id).cloned(), ..info::of(id) };
    all().into_iter().map(describe).collect()
}

/// A C text in an array.
pub(super) fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
