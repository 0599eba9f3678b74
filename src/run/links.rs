//! What kernel interfaces are like, kept from one look to the next: asking the kernel takes a dozen system calls for each
//! interface, and thousands of ports are looked at again and again. What the kernel tells of a change (rtnetlink(7)) has the
//! interface asked anew; where it does not tell, nothing is kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use base::clock::Instant;
use netdev::link::{self, Watch};

use super::devices::Device;
use super::switch::Switch;

/// How often links are looked at of which nobody tells.
const LOOK: Duration = Duration::from_millis(500);

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
    /// When all ports' links are looked at next.
    look: Instant,
}

impl Links {
    /// None is known.
    pub(super) fn new() -> Links {
        let told =
            |e: &netdev::NetdevError| log::warn!(target: "netdev", "the kernel's interfaces are asked each time: {e}");
        Links { watch: Watch::new().inspect_err(told).ok(), known: RefCell::default(), look: Instant::ZERO }
    }

    /// Takes in what has changed. Whether something has.
    pub(super) fn refresh(&mut self) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        let known = self.known.get_mut();
        match watch.events() {
            Ok(events) => {
                let any = !events.is_empty();
                for event in events {
                    known.seen.remove(&event.name);
                    // it may have had another name
                    if let Some(before) = known.names.remove(&event.index) {
                        known.seen.remove(&before);
                    }
                }
                any
            }
            Err(_) => {
                *known = Known::default();
                true
            }
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
    /// Looks at the links of all ports when the kernel told of a change, else at intervals: what watches them must know.
    pub(super) fn look_at_links(&mut self, now: Instant) {
        if self.links.refresh() || now >= self.links.look {
            self.follow_links(now);
        }
    }

    /// Has the tables know which ports have link.
    pub(super) fn follow_links(&mut self, now: Instant) {
        self.links.look = now + LOOK;
        for entry in self.ports.values() {
            let up = self.state_of(&entry.device) == "up";
            // an entry whose port is not in the tables any more is on its way out
            if let Ok(true) = self.manager.set_link(&entry.bridge, &entry.name, up)
                && let Some(database) = &mut self.database
            {
                database.tell_now();
            }
        }
    }

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

    /// Brings a port's device up or down, where that is the switch's to do.
    pub(super) fn set_admin_up(&mut self, port: &str, up: bool) {
        let Some(entry) = self.ports.values().find(|p| p.name == port) else { return };
        match &entry.device {
            Device::Kernel { name, .. } => {
                if let Err(e) = link::set_up(name, up) {
                    log::warn!(target: "netdev", "{e}");
                }
            }
            Device::Dummy(device) => device.set_up(up),
            _ => {}
        }
        self.follow_links(self.clock.now());
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
