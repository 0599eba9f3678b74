//! Ports come and go: opened on a thread of [`super::jobs`], entered into the tables, given to workers; taken out of the
//! tables, given back by workers, closed on a thread.
//!
//! A port in between is in [`Switch::moving`] and shown as such. What is asked for meanwhile keeps its order: a removal of
//! a port that is being opened waits for it, an addition that needs the same device waits until it is closed.

use datapath::{Queues, Serve};
use dpif::PortNo;
use openflow::OfPort;
use pipeline::PortConfig;

use super::devices::{self, Device, Opened};
use super::jobs::Place;
use super::queues::pins;
use super::switch::{Failed, PortEntry, Switch, vlan};
use crate::config::{InterfaceType, Port};
use crate::control::Call;

/// A port that is being opened or closed.
pub(super) struct Moving {
    pub(super) bridge: String,
    pub(super) name: String,
    pub(super) kind: InterfaceType,
    pub(super) way: Way,
    /// The line of its device, while it is being added.
    line: String,
    /// Who wants it gone, though it is not there yet, and when its device's turn to be closed is.
    unwanted: Option<(Call, Place)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

impl Way {
    /// For display.
    pub(super) fn words(self) -> &'static str {
        match self {
            Way::In => "being added",
            Way::Out => "being removed",
        }
    }
}

/// An OpenFlow port number in the form that versions before 1.1 have.
pub(super) fn shown_number(number: OfPort) -> u32 {
    if number == OfPort::LOCAL { bridge::desired::LOCAL } else { number.0 }
}

/// What to do when workers have given back a port's queues.
pub(super) type Released = Box<dyn FnOnce(&mut Switch, Queues)>;

impl Switch {
    /// The lowest datapath port number that nobody has.
    pub(super) fn free_number(&self) -> PortNo {
        PortNo((1..).find(|n| self.is_free(PortNo(*n))).unwrap_or(u32::MAX))
    }

    fn is_free(&self, n: PortNo) -> bool {
        self.manager.snapshot().port(n).is_none() && !self.released.contains_key(&n)
    }

    /// The line of a port's device in [`super::jobs`]. In deterministic mode ports in memory stand in one too, so that one that
    /// comes again finds its number free.
    fn line(&self, bridge: &str, port: &Port) -> Option<String> {
        let in_memory = || self.dummy_bridges.contains(bridge).then(|| format!("dummy {}", port.name));
        devices::line(port).or_else(|| in_memory().filter(|_| port.interface_type.is_dummy()))
    }

    /// The number that a port gets in the datapath. Where devices are in memory it is the one in the port's name, so that it is
    /// known beforehand: a bridge's own port is 100 above.
    fn datapath_number(&self, bridge: &str, name: &str) -> PortNo {
        if !self.dummy_bridges.contains(bridge) {
            return self.free_number();
        }
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let above = if name.starts_with("br") { 100 } else { 0 };
        let wanted = digits.parse::<u32>().ok().and_then(|n| n.checked_add(above)).filter(|n| (1..1 << 12).contains(n));
        wanted.map(PortNo).filter(|n| self.is_free(*n)).unwrap_or_else(|| self.free_number())
    }

    fn of_number(&self, bridge: &str, port: &Port) -> Result<OfPort, String> {
        let snapshot = self.manager.snapshot();
        let bridge = snapshot.bridge_named(bridge).ok_or_else(|| format!("no bridge named {bridge}"))?;
        let free = |n: &u32| !bridge.ports.contains_key(&OfPort(*n));
        let wanted = port.ofport_request.map(u32::from).filter(free);
        wanted.or_else(|| (1..65280).find(free)).map(OfPort).ok_or_else(|| "no OpenFlow port number is free".into())
    }

    /// Puts a port into the tables.
    pub(super) fn describe(
        &mut self,
        bridge: &str,
        port: &Port,
        number: Option<OfPort>,
    ) -> Result<(PortNo, OfPort), String> {
        let number = match number {
            Some(n) => n,
            None => self.of_number(bridge, port)?,
        };
        let no = self.datapath_number(bridge, &port.name);
        let mut wanted = match (port.interface_type, port.options.get("peer")) {
            (InterfaceType::Patch, Some(peer)) => PortConfig::patch(&port.name, number, peer),
            _ => PortConfig::device(&port.name, number, no),
        };
        wanted.vlan = vlan(port);
        self.manager.add_port(bridge, wanted).map_err(|e| e.to_string())?;
        Ok((no, number))
    }

    /// Whether there is a bridge for the port and its name is free.
    fn admit(&self, bridge: &str, port: &Port) -> Result<(), String> {
        if self.manager.snapshot().bridge_named(bridge).is_none() {
            return Err(format!("no bridge named {bridge}"));
        }
        if self.ports.values().any(|p| p.name == port.name) {
            return Err(format!("a port named {} exists", port.name));
        }
        if self.coming(&port.name).is_some() {
            return Err(format!("a port named {} is being added", port.name));
        }
        Ok(())
    }

    /// The move of a port that is being added and is to stay.
    fn coming(&self, name: &str) -> Option<u64> {
        let mut moving = self.moving.iter();
        moving.find(|(_, m)| m.way == Way::In && m.name == name && m.unwanted.is_none()).map(|(id, _)| *id)
    }

    /// Opens a port here and now, for when nothing else waits; [`attach`](Self::attach) follows.
    pub(super) fn add_now(&mut self, bridge: &str, port: &Port, number: Option<OfPort>) -> Result<(), String> {
        self.admit(bridge, port)?;
        let opened = self.opener.open(port)?;
        self.enter(bridge, port, number, opened)
    }

    /// Adds a port; `call` is answered when it is there, or is not to be had.
    pub(super) fn add_port(&mut self, bridge: &str, port: Port, call: Call) {
        self.add_port_as(bridge, port, None, call);
    }

    /// The same, under a number that is not the port's to ask for.
    pub(super) fn add_port_as(&mut self, bridge: &str, port: Port, number: Option<OfPort>, call: Call) {
        if let Err(e) = self.admit(bridge, &port) {
            return call.answer(Err(e));
        }
        let Some(line) = self.line(bridge, &port) else {
            let result = self.opener.open(&port).and_then(|opened| self.take_in(bridge, &port, number, opened));
            return self.published.push((call, result.map(|()| String::new())));
        };
        let (bridge, opener, wanted) = (bridge.to_owned(), self.opener.clone(), port.clone());
        let id = self.moves(&bridge, &port.name, port.interface_type, Way::In, &line);
        self.jobs.run(
            &line,
            move || opener.open(&wanted),
            move |switch, opened| switch.opened(id, &bridge, &port, number, opened.and_then(|o| o), call),
        );
    }

    fn moves(&mut self, bridge: &str, name: &str, kind: InterfaceType, way: Way, line: &str) -> u64 {
        self.moves += 1;
        let moving = Moving { bridge: bridge.into(), name: name.into(), kind, way, line: line.into(), unwanted: None };
        self.moving.insert(self.moves, moving);
        self.moves
    }

    fn opened(
        &mut self,
        id: u64,
        bridge: &str,
        port: &Port,
        number: Option<OfPort>,
        opened: Result<Opened, String>,
        call: Call,
    ) {
        let unwanted = self.moving.remove(&id).and_then(|m| m.unwanted);
        let result = opened.and_then(|opened| self.take_in(bridge, port, number, opened));
        self.published.push((call, result.map(|()| String::new())));
        if let Some((call, place)) = unwanted {
            self.del_port_at(&port.name, call, Some(place));
        }
    }

    /// Enters an open port and gives it to workers.
    fn take_in(&mut self, bridge: &str, port: &Port, number: Option<OfPort>, opened: Opened) -> Result<(), String> {
        self.enter(bridge, port, number, opened)?;
        self.attach().into_iter().find(|f| f.1 == port.name).map_or(Ok(()), |(.., e)| Err(e))
    }

    /// Puts an open port into the tables; [`attach`](Self::attach) follows. It is closed when they refuse it.
    fn enter(&mut self, bridge: &str, port: &Port, number: Option<OfPort>, opened: Opened) -> Result<(), String> {
        let Opened { device, queues, serve } = opened;
        // once more: what was asked later may have been done sooner
        let described = self.admit(bridge, port).and_then(|()| self.describe(bridge, port, number));
        let (no, number) = match described {
            Ok(numbers) => numbers,
            Err(e) => {
                self.close(bridge, port, device, queues);
                return Err(e);
            }
        };
        if port.interface_type != InterfaceType::Patch {
            self.attaching.push((no, queues, serve));
        }
        log::info!(target: "bridge", "bridge {bridge}: added interface {} on port {}", port.name, shown_number(number));
        let entry = PortEntry {
            name: port.name.clone(),
            bridge: bridge.to_owned(),
            number,
            kind: port.interface_type,
            shown: port.shown.clone().unwrap_or_else(|| port.interface_type.name().to_owned()),
            device,
            line: self.line(bridge, port),
            pins: pins(port),
        };
        // a patch has no datapath port; it is kept under its free number all the same
        let key = if port.interface_type == InterfaceType::Patch { self.patch_key() } else { no };
        // before controllers hear of the port
        let up = self.state_of(&entry.device) == "up";
        if let Err(e) = self.manager.set_link(bridge, &port.name, up) {
            log::error!(target: "bridge", "{bridge}: {e}");
        }
        self.ports.insert(key, entry);
        Ok(())
    }

    /// A key above all datapath ports.
    fn patch_key(&self) -> PortNo {
        let last = self.ports.keys().next_back().map_or(0, |k| k.0);
        PortNo(last.max(1 << 24) + 1)
    }

    /// Gives the queues of new ports to workers, with the tables that know those ports: their first packets find rules.
    /// Returns the ports that no worker took, which are gone again.
    pub(super) fn attach(&mut self) -> Vec<Failed> {
        self.manager.publish();
        let mut failed = Vec::new();
        let attaching: Vec<(PortNo, Queues, Serve)> = std::mem::take(&mut self.attaching);
        for (no, queues, serve) in attaching {
            let Err((e, queues)) = self.control.add_port(no, queues, serve) else { continue };
            let Some(entry) = self.ports.remove(&no) else { continue };
            if let Err(e) = self.manager.del_port(&entry.bridge, &entry.name) {
                log::error!(target: "bridge", "{}: {e}", entry.bridge);
            }
            let why = format!("{}: {e}", entry.name);
            failed.push((entry.bridge.clone(), entry.name.clone(), entry.kind, why));
            let place = entry.line.as_deref().map(|line| self.jobs.reserve(line));
            self.close_at(place, entry, queues, None);
        }
        self.assign();
        failed
    }

    /// Takes a port out; `call` is answered when its device is closed.
    pub(super) fn del_port(&mut self, name: &str, call: Call) {
        let Some(id) = self.coming(name) else { return self.del_port_at(name, call, None) };
        // ports that move have devices with a line; what is asked for later comes after this port's closing
        let Some(line) = self.moving.get(&id).map(|m| m.line.clone()) else { return };
        let place = self.jobs.reserve(&line);
        if let Some(moving) = self.moving.get_mut(&id) {
            moving.unwanted = Some((call, place));
        }
    }

    /// The same for a port that is there, when its device's turn to be closed is at `place` already.
    fn del_port_at(&mut self, name: &str, call: Call, place: Option<Place>) {
        let found = self.ports.iter().find(|(_, p)| p.name == name).map(|(no, p)| (*no, p.bridge.clone()));
        let deleted = found
            .ok_or_else(|| format!("no port named {name}"))
            .and_then(|(no, bridge)| self.manager.del_port(&bridge, name).map(|_| no).map_err(|e| e.to_string()));
        let no = match deleted {
            Ok(no) => no,
            Err(e) => {
                if let Some(place) = place {
                    self.jobs.fill(place, || (), |_, _| {});
                }
                return call.answer(Err(e));
            }
        };
        let Some(entry) = self.ports.remove(&no) else { return };
        log::info!(target: "bridge", "bridge {}: deleted interface {name} on port {}", entry.bridge, shown_number(entry.number));
        let place = place.or_else(|| entry.line.as_deref().map(|line| self.jobs.reserve(line)));
        if self.control.remove_port(no) {
            let id = self.moves(&entry.bridge, name, entry.kind, Way::Out, "");
            let released: Released = Box::new(move |switch, queues| {
                switch.moving.remove(&id);
                switch.close_at(place, entry, queues, Some(call));
            });
            self.released.insert(no, released);
        } else {
            self.close_at(place, entry, Queues::default(), Some(call));
        }
    }

    /// Closes what never got into the tables.
    fn close(&mut self, bridge: &str, port: &Port, device: Device, queues: Queues) {
        let (name, bridge, kind, line) =
            (port.name.clone(), bridge.to_owned(), port.interface_type, self.line(bridge, port));
        let place = line.as_deref().map(|line| self.jobs.reserve(line));
        let shown = kind.name().to_owned();
        let entry = PortEntry { name, bridge, number: OfPort::NONE, kind, shown, device, line, pins: pins(port) };
        self.close_at(place, entry, queues, None);
    }

    /// Closes what no worker has; `call` is answered then.
    fn close_at(&mut self, place: Option<Place>, entry: PortEntry, queues: Queues, call: Option<Call>) {
        let Some(place) = place else {
            self.opener.close(entry.device, queues);
            return self.published.extend(call.map(|call| (call, Ok(String::new()))));
        };
        let id = self.moves(&entry.bridge, &entry.name, entry.kind, Way::Out, "");
        let (opener, device) = (self.opener.clone(), entry.device);
        self.jobs.fill(
            place,
            move || opener.close(device, queues),
            move |switch, closed| {
                switch.moving.remove(&id);
                if let Some(call) = call {
                    call.answer(closed.map(|()| String::new()));
                }
            },
        );
    }
}
