//! Changes that take more than a turn: bundles and changes of many flows, one at a time, a slice in each turn. Meanwhile what
//! changes flows or groups waits, of every connection and of the control socket; the rest goes on.

use std::time::Duration;

use openflow::FlowMod;
use openflow::wire::message::{Bundle as Which, BundleCommand};
use openflow::wire::port::PortMod;
use openflow::wire::{Message, Xid, codes::OFPBFC_MSG_FAILED};
use pipeline::BundleItem;

use super::connection::Wait;
use super::handle::{self, refused, told};
use super::session::Bundle as Filled;
use super::{packets, watch};
use crate::run::bundles::{Bundle, Failed, Progress};
use crate::run::long;
use crate::run::switch::Switch;

/// What a turn gives.
const SLICE: Duration = Duration::from_millis(2);

/// What is under way.
pub(super) struct Work {
    /// The connection that asked for it, which waits.
    id: u64,
    /// None while flows are chosen elsewhere.
    bundle: Option<Bundle>,
    what: What,
}

enum What {
    /// A commit, with the messages that errors are about, and its own.
    Commit { messages: Vec<Vec<u8>>, commit: Vec<u8>, which: Which, xid: Xid, ports: Vec<(Vec<u8>, PortMod)> },
    /// One flow-mod, as it came.
    Change(Vec<u8>),
}

impl Work {
    pub(super) fn is_ready(&self) -> bool {
        self.bundle.is_some()
    }
}

/// Begins to commit a bundle. Nothing else may be under way.
pub(super) fn commit(switch: &mut Switch, id: u64, xid: Xid, which: Which, filled: Filled, bytes: &[u8]) {
    let ports = filled.ports;
    let Some(bridge) = switch.openflow.connection(id).map(|c| c.bridge.clone()) else { return };
    for (message, port) in &ports {
        if let Err(e) = handle::port_of(switch, &bridge, port) {
            refused(switch, id, &e, message);
            return refused(switch, id, &openflow::wire::Error::new(OFPBFC_MSG_FAILED), bytes);
        }
    }
    let (messages, items): (Vec<Vec<u8>>, Vec<BundleItem>) = filled.items.into_iter().unzip();
    begin(
        switch,
        id,
        (items, messages.iter().map(|m| xid_of(m)).collect()),
        What::Commit { messages, commit: bytes.to_vec(), which, xid, ports },
    );
}

/// Begins a change of many flows.
pub(super) fn change(switch: &mut Switch, id: u64, flow: FlowMod, bytes: &[u8]) {
    begin(switch, id, (vec![BundleItem::Flow(flow)], vec![xid_of(bytes)]), What::Change(bytes.to_vec()));
}

/// The transaction of a message.
fn xid_of(message: &[u8]) -> u32 {
    message.get(4..8).and_then(|x| x.first_chunk()).map_or(0, |x| u32::from_be_bytes(*x))
}

fn begin(switch: &mut Switch, id: u64, (items, transactions): (Vec<BundleItem>, Vec<u32>), what: What) {
    let Some(connection) = switch.openflow.connection(id) else { return };
    connection.wait = Some(Wait::Answer);
    let bridge = connection.bridge.clone();
    match Bundle::new(&switch.manager, &bridge, items) {
        Ok(bundle) => {
            let bundle = Some(bundle.of(id, transactions));
            switch.openflow.work = Some(Work { id, bundle, what });
        }
        Err(e) => end(switch, id, what, Err((None, e))),
    }
}

/// A slice of it.
pub(super) fn turn(switch: &mut Switch) {
    let until = switch.clock.now() + SLICE;
    loop {
        let now = switch.clock.now();
        if now >= until {
            return;
        }
        let Some(Work { bundle, .. }) = &mut switch.openflow.work else { return };
        let Some(running) = bundle else { return };
        let progress = running.step(&mut switch.manager, now);
        match progress {
            Ok(Progress::More) => continue,
            Ok(Progress::Chooses) => {
                if let Some(bundle) = bundle.take() {
                    choose(switch, bundle);
                }
                return;
            }
            _ => {}
        }
        let Some(Work { id, bundle, what }) = switch.openflow.work.take() else { return };
        let result = match (progress, bundle) {
            (Ok(_), Some(bundle)) => bundle.commit(&mut switch.manager),
            (Ok(_), None) => Ok(()),
            (Err(e), rest) => {
                // as much may be freed as was made: not here
                switch.jobs.aside(move || drop(rest), |_, _| {});
                Err(e)
            }
        };
        return end(switch, id, what, result);
    }
}

/// Has flows that a change is about chosen on another thread.
fn choose(switch: &mut Switch, mut chooses: Bundle) {
    let Some(choice) = chooses.choice() else { return };
    switch.jobs.aside(choice, move |switch, chosen| {
        let Some(mut work) = switch.openflow.work.take() else { return };
        let now = switch.clock.now();
        match chosen {
            Ok(chosen) => match chooses.chosen(&mut switch.manager, chosen, now) {
                Ok(()) => {
                    work.bundle = Some(chooses);
                    switch.openflow.work = Some(work);
                }
                Err(e) => end(switch, work.id, work.what, Err(e)),
            },
            Err(e) => {
                log::error!(target: "ofproto", "flows could not be chosen: {e}");
                end(switch, work.id, work.what, Err((None, pipeline::Error::States)));
            }
        }
    });
}

/// Tells what came of it, and lets others go on.
fn end(switch: &mut Switch, id: u64, what: What, result: Result<(), Failed>) {
    if let Some(connection) = switch.openflow.connection(id) {
        connection.wait = None;
    }
    watch::flush(switch);
    packets::committed(switch);
    match (what, result) {
        (What::Change(_), Ok(())) => {}
        (What::Change(bytes), Err((_, e))) => refused(switch, id, &told(&e), &bytes),
        (What::Commit { which, xid, ports, .. }, Ok(())) => {
            let bridge = switch.openflow.connection(id).map(|c| c.bridge.clone()).unwrap_or_default();
            for (message, port) in &ports {
                // it was there when the commit began
                if let Err(e) = handle::port_mod(switch, &bridge, port) {
                    refused(switch, id, &e, message);
                }
            }
            if let Some(connection) = switch.openflow.connection(id) {
                let command = BundleCommand::CommitReply;
                let bundle = Which { flags: 0, ..which };
                connection.send(&Message::BundleControl { bundle, command }, xid);
            }
        }
        (What::Commit { messages, commit, .. }, Err((at, e))) => {
            // the change that failed, then the commit
            let e = told(&e);
            if let Some(message) = at.and_then(|at| messages.get(at)) {
                refused(switch, id, &e, message);
            }
            refused(switch, id, &openflow::wire::Error::new(OFPBFC_MSG_FAILED), &commit);
        }
    }
    long::wake(switch);
}
