//! What kernel interfaces are like, kept from one look to the next: asking the kernel takes a dozen system calls for each
//! interface, and thousands of ports are looked at again and again. What the kernel tells of a change (rtnetlink(7)) has the
//! interface asked anew; where it does not tell, nothing is kept.

use std::cell::RefCell;
use std::collections::HashMap;

use netdev::link::{self, Watch};

use super::devices::Device;
use super::switch::Switch;

/// An interface as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) index: Option<u32>,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: Option<u32>,
    pub(super) admin_up: bool,
    /// It is up and has its carrier.
    running: bool,
}

impl Seen {
    fn look(name: &str) -> Seen {
        Seen {
            index: link::index(name).ok(),
            mac: link::mac(name).ok(),
            mtu: link::mtu(name).ok(),
            admin_up: link::is_up(name).unwrap_or(false),
            running: link::is_running(name).unwrap_or(false),
        }
    }
}

#[derive(Default)]
struct Known {
    seen: HashMap<String, Seen>,
    names: HashMap<u32, String>,
}

/// Interfaces by name.
pub(super) struct Links {
    watch: Option<Watch>,
    known: RefCell<Known>,
}

impl Links {
    /// None is known.
    pub(super) fn new() -> Links {
        let told =
            |e: &netdev::NetdevError| log::warn!(target: "netdev", "the kernel's interfaces are asked each time: {e}");
        Links { watch: Watch::new().inspect_err(told).ok(), known: RefCell::default() }
    }

    /// Takes in what has changed.
    pub(super) fn refresh(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let known = self.known.get_mut();
        match watch.events() {
            Ok(events) => {
                for event in events {
                    known.seen.remove(&event.name);
                    // it may have had another name
                    if let Some(before) = known.names.remove(&event.index) {
                        known.seen.remove(&before);
                    }
                }
            }
            Err(_) => *known = Known::default(),
        }
    }

    /// An interface as it is, as far as [`Links::refresh`] knows.
    pub(super) fn of(&self, name: &str) -> Seen {
        let mut known = self.known.borrow_mut();
        if let Some(seen) = known.seen.get(name) {
            return *seen;
        }
        let seen = Seen::look(name);
        if self.watch.is_some()
            && let Some(index) = seen.index
        {
            known.seen.insert(name.to_owned(), seen);
            known.names.insert(index, name.to_owned());
        }
        seen
    }
}

impl Switch {
    /// What can be said of a device's state, for display.
    pub(super) fn state_of(&self, device: &Device) -> &'static str {
        let Device::Kernel { name, status } = device else { return device.state() };
        match self.links.of(name) {
            Seen { index: None, .. } => "gone",
            _ if status.state() == netdev::State::Gone => "gone",
            Seen { running: true, .. } => "up",
            _ => "down",
        }
    }

    /// A device's address, where it has one.
    pub(super) fn mac_of(&self, device: &Device) -> Option<[u8; 6]> {
        match device {
            Device::Kernel { name, .. } => self.links.of(name).mac,
            Device::Dummy(device) => Some(device.mac()),
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) => Some(port.info().mac),
            _ => None,
        }
    }

    /// A device's MTU in bytes, where it is known.
    pub(super) fn mtu_of(&self, device: &Device) -> Option<u32> {
        match device {
            Device::Kernel { name, .. } => self.links.of(name).mtu,
            Device::Dummy(device) => Some(device.mtu().into()),
            #[cfg(feature = "dpdk")]
            Device::Dpdk(port) => port.config().map(|c| u32::from(c.mtu)),
            #[cfg(feature = "dpdk")]
            Device::Vhost(vhost) => Some(u32::from(vhost.mtu())),
            Device::None => None,
        }
    }

    /// A device's number in the kernel, where it has one.
    pub(super) fn ifindex_of(&self, device: &Device) -> Option<u32> {
        match device {
            Device::Kernel { name, .. } => self.links.of(name).index,
            Device::Dummy(device) => device.ifindex(),
            _ => None,
        }
    }

    /// Whether a device is administratively up.
    pub(super) fn is_admin_up(&self, device: &Device) -> bool {
        match device {
            Device::Kernel { name, .. } => self.links.of(name).admin_up,
            Device::Dummy(device) => device.is_up(),
            _ => true,
        }
    }
}
