//! Controllers that rows name: those that the switch connects to and connects to again, and sockets where they come in.
//! While a bridge's own controllers cannot be reached, a standalone bridge learns (ovs-vswitchd.conf.db(5), `fail_mode`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base::backoff::{Action, Backoff, Settings};
use base::clock::Instant;
use bridge::Controller;
use bridge::status;
use openflow::wire::switch::Role;
use openflow::wire::{Message, Version, Versions, Xid};

use super::session::{Kind, Session};
use super::sockets::{Attempt, Listener};
use super::{Connection, OpenFlow};
use crate::run::switch::Switch;

/// The first wait between two tries.
const FIRST: Duration = Duration::from_secs(1);
/// Without probes: how long a bridge waits for its controllers before it learns by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a bridge's rows ask for.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) remotes: BTreeMap<String, Remote>,
    /// Versions that may be spoken.
    pub(super) protocols: Option<Versions>,
    secure: bool,
    /// It learns by itself for want of controllers.
    alone: bool,
    /// other_config:disable-in-band.
    out_of_band: bool,
    /// When a controller was last there, or the first was asked for.
    heard: Option<Instant>,
    /// other_config:dp-desc and dp-sn.
    pub(super) description: Option<String>,
    pub(super) serial: Option<String>,
}

/// One row.
pub(super) struct Remote {
    pub(super) wanted: Controller,
    pub(super) backoff: Backoff,
    link: Link,
    last_error: Option<String>,
    connected: Option<Instant>,
    lost: Option<Instant>,
    /// What was told last, and when.
    told: Option<(status::Controller, Instant)>,
}

enum Link {
    Passive(Option<Listener>),
    Active { attempt: Option<Attempt>, connection: Option<u64> },
}

impl Remote {
    fn new(wanted: Controller, now: Instant) -> Remote {
        let passive = programs::stream::is_passive(&wanted.target);
        let mut backoff = Backoff::new(settings(&wanted));
        backoff.enable(now);
        let link = if passive { Link::Passive(None) } else { Link::Active { attempt: None, connection: None } };
        Remote { wanted, backoff, link, last_error: None, connected: None, lost: None, told: None }
    }

    fn kind(&self) -> Kind {
        if self.wanted.service { Kind::Service } else { Kind::Primary }
    }

    fn failed(&mut self, why: String, now: Instant) {
        self.last_error = Some(why);
        self.backoff.disconnected(now);
    }
}

fn settings(wanted: &Controller) -> Settings {
    let probe = wanted.probe.filter(|_| !programs::stream::is_passive(&wanted.target));
    Settings { min: FIRST.min(wanted.max_backoff), max: wanted.max_backoff, probe, tries: None }
}

/// The versions that a bridge may speak by its row.
fn protocols(names: &[String]) -> Option<Versions> {
    let named = |name: &String| Version::ALL.into_iter().find(|v| v.name() == name);
    (!names.is_empty()).then(|| Versions::of(names.iter().filter_map(named)))
}

/// What a method of sockets in the file system may name: a path in the run folder, and none that leads out of it.
fn admitted(target: &str, folder: &Path) -> Option<String> {
    let Some((kind @ ("unix" | "punix"), path)) = target.split_once(':') else { return Some(target.to_owned()) };
    let path = if path.starts_with('/') { path.into() } else { folder.join(path) };
    let inside = path.starts_with(folder) && !path.components().any(|c| c == std::path::Component::ParentDir);
    inside.then(|| format!("{kind}:{}", path.display()))
}

impl OpenFlow {
    /// Whether a bridge has controllers of its own, which set up its flows.
    pub(in crate::run) fn has_primary(bridge: &bridge::Bridge) -> bool {
        bridge.controllers.values().any(|c| !c.service)
    }

    /// Takes over what a bridge's rows ask for.
    pub(in crate::run) fn configure(&mut self, bridge: &bridge::Bridge, now: Instant) {
        let folder = self.folder.clone();
        let wishes = self.wishes.entry(bridge.name.clone()).or_default();
        wishes.secure = bridge.secure;
        wishes.out_of_band = bridge.other_config.get("disable-in-band").is_some_and(|v| v == "true");
        self.in_band.changed = true;
        wishes.description = bridge.other_config.get("dp-desc").cloned();
        wishes.serial = bridge.other_config.get("dp-sn").cloned();
        let protocols = protocols(&bridge.protocols);
        let others = protocols != wishes.protocols;
        wishes.protocols = protocols;
        let kept = |target: &String, remote: &mut Remote| {
            let same = |c: &&Controller| {
                (c.service, c.dscp, c.uuid) == (remote.wanted.service, remote.wanted.dscp, remote.wanted.uuid)
            };
            bridge.controllers.get(target).filter(same).is_some()
        };
        let before: Vec<String> = wishes.remotes.keys().cloned().collect();
        wishes.remotes.retain(kept);
        let left: Vec<String> = before.into_iter().filter(|target| !wishes.remotes.contains_key(target)).collect();
        for (target, wanted) in &bridge.controllers {
            if let Some(remote) = wishes.remotes.get_mut(target) {
                remote.wanted = wanted.clone();
                remote.backoff.configure(settings(wanted));
                continue;
            }
            if admitted(target, &folder).is_none() {
                let (name, folder) = (&bridge.name, folder.display());
                log::warn!(target: "bridge", "bridge {name}: Not adding Unix domain socket controller \"{target}\" due to \
                    possibility for remote exploit.  Instead, specify socket in permitted directory \"{folder}\" or \
                    connect to \"unix:{folder}/{name}.mgmt\" (which is always available without special configuration).");
                continue;
            }
            wishes.remotes.insert(target.clone(), Remote::new(wanted.clone(), now));
        }
        if !OpenFlow::has_primary(bridge) {
            wishes.heard = None;
        }
        self.connections.retain(|_, c| {
            let gone = c.remote.as_ref().is_some_and(|target| left.contains(target));
            // other versions: a connection that speaks one that may not be spoken any more begins anew
            let wrong = others && c.session.version.is_some_and(|v| protocols.is_some_and(|p| !p.has(v)));
            *c.bridge != *bridge.name || !gone && !wrong
        });
        for (target, remote) in &wishes.remotes {
            for c in self.connections.values_mut().filter(|c| c.remote.as_ref() == Some(target)) {
                c.take_limits(&remote.wanted);
            }
        }
    }

    /// Forgets a bridge.
    pub(in crate::run) fn forget(&mut self, bridge: &str) {
        self.wishes.remove(bridge);
    }

    /// Gives up connections to controllers and connects again; `None` is all bridges.
    pub(in crate::run) fn reconnect(&mut self, bridge: Option<&str>, now: Instant) {
        let all = self.wishes.iter_mut().filter(|(name, _)| bridge.is_none_or(|b| b == **name));
        for remote in all.flat_map(|(_, wishes)| wishes.remotes.values_mut()) {
            if matches!(remote.link, Link::Active { .. }) {
                remote.backoff.force_reconnect(now);
            }
        }
    }

    /// When something is due: tries, probes, packets that wait for their time.
    pub(in crate::run) fn deadline(&self) -> Option<Instant> {
        let wishes = self.wishes.values();
        let remotes = wishes.clone().flat_map(|w| w.remotes.values()).filter_map(|r| r.backoff.deadline());
        let alone = wishes.filter_map(Wishes::alone_at);
        let connections = self.connections.values().filter_map(|c| c.deadline(self.bundle_idle));
        remotes.chain(alone).chain(connections).min()
    }
}

impl Wishes {
    /// Addresses of controllers that are reached through the bridge itself.
    pub(super) fn in_band(&self) -> impl Iterator<Item = SocketAddr> {
        let remotes = self.remotes.values().filter(|r| r.wanted.in_band && !r.wanted.service && !self.out_of_band);
        remotes.filter_map(|r| super::sockets::address_of(&r.wanted.target))
    }

    /// Whether the bridge learns by itself for want of controllers.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// How long controllers may be silent.
    fn patience(&self) -> Duration {
        let primary = self.remotes.values().filter(|r| !r.wanted.service);
        primary.filter_map(|r| r.wanted.probe).max().map_or(PATIENCE, |probe| probe * 3)
    }

    /// When the bridge begins to learn by itself, if nothing else happens.
    fn alone_at(&self) -> Option<Instant> {
        let waits = !self.alone && !self.secure;
        self.heard.filter(|_| waits).map(|heard| heard + self.patience())
    }
}

/// Looks after the rows' connections: who is to be tried, who has come, who has gone.
pub(super) fn turn(switch: &mut Switch, now: Instant) {
    let openflow = &mut switch.openflow;
    let mut came = Vec::new();
    for (bridge, wishes) in &mut openflow.wishes {
        for (target, remote) in &mut wishes.remotes {
            let name = format!("{bridge}<->{target}");
            actions(remote, &name, &openflow.folder, &openflow.bell, &mut openflow.connections, now);
            let kind = remote.kind();
            match &mut remote.link {
                Link::Passive(listener) => {
                    while let Some(mut peer) = listener.as_mut().and_then(Listener::arrived) {
                        peer.name = format!("{bridge}<->{}", peer.name);
                        came.push((bridge.clone(), target.clone(), peer, remote.wanted.clone(), kind));
                    }
                }
                Link::Active { attempt, connection } => match attempt.as_mut().and_then(Attempt::outcome) {
                    None => {}
                    Some(Ok(peer)) => {
                        *attempt = None;
                        openflow.numbers += 1;
                        *connection = Some(openflow.numbers);
                        let mut made = Connection::new(peer, bridge, Session::new(kind, wishes.protocols), now);
                        made.remote = Some(target.clone());
                        made.take_limits(&remote.wanted);
                        if let Some(doors) = openflow.doors.get(bridge) {
                            made.show_to(&doors.onlookers);
                        }
                        made.greet();
                        openflow.connections.insert(openflow.numbers, made);
                    }
                    Some(Err(e)) => {
                        *attempt = None;
                        let why = ovsdb::error::strerror(&e);
                        log::warn!(target: "rconn", "{name}: connection failed ({why})");
                        remote.failed(why, now);
                    }
                },
            }
        }
    }
    for (bridge, target, peer, wanted, kind) in came {
        let protocols = openflow.wishes.get(&bridge).and_then(|w| w.protocols);
        openflow.numbers += 1;
        let mut made = Connection::new(peer, &bridge, Session::new(kind, protocols), now);
        made.remote = Some(target);
        made.take_limits(&wanted);
        made.probe = wanted.probe;
        if let Some(doors) = openflow.doors.get(&bridge) {
            made.show_to(&doors.onlookers);
        }
        made.greet();
        openflow.connections.insert(openflow.numbers, made);
    }
}

fn actions(
    remote: &mut Remote,
    name: &str,
    folder: &Path,
    bell: &super::transport::Bell,
    connections: &mut BTreeMap<u64, Connection>,
    now: Instant,
) {
    while let Some(action) = remote.backoff.poll(now) {
        match (action, &mut remote.link) {
            (Action::Connect, Link::Passive(listener)) => {
                let method = admitted(&remote.wanted.target, folder).unwrap_or_default();
                match Listener::passive(&method, remote.wanted.dscp, bell) {
                    Ok(made) => {
                        *listener = Some(made);
                        remote.backoff.connected(now);
                    }
                    Err(e) => {
                        let why = ovsdb::error::strerror(&e);
                        if remote.last_error.as_ref() != Some(&why) {
                            log::error!(target: "connmgr", "failed to listen on {}: {why}", remote.wanted.target);
                        }
                        remote.failed(why, now);
                    }
                }
            }
            (Action::Connect, Link::Active { attempt, .. }) => {
                log::info!(target: "rconn", "{name}: connecting...");
                let method = admitted(&remote.wanted.target, folder).unwrap_or_default();
                *attempt = Some(Attempt::begin(&method, name, remote.wanted.dscp, bell));
            }
            (Action::Disconnect, Link::Active { attempt, connection }) => {
                let was = connection.take().and_then(|id| connections.remove(&id));
                if attempt.take().is_some() || was.as_ref().is_some_and(|c| c.session.version.is_none()) {
                    log::info!(target: "rconn", "{name}: connection timed out");
                    remote.last_error = Some("Connection timed out".into());
                } else if was.is_some() {
                    log::error!(target: "rconn", "{name}: no response to inactivity probe, disconnecting");
                }
                remote.lost = Some(now);
            }
            (Action::Probe, Link::Active { connection, .. }) => {
                if let Some(connection) = connection.and_then(|id| connections.get(&id)) {
                    connection.send(&Message::EchoRequest(Vec::new()), Xid(0));
                }
            }
            (Action::Disconnect | Action::Probe, Link::Passive(_)) => {}
        }
    }
}

/// Takes in which connections have ended and who has said something.
pub(super) fn follow(openflow: &mut OpenFlow, now: Instant) {
    for (bridge, wishes) in &mut openflow.wishes {
        for (target, remote) in &mut wishes.remotes {
            let Link::Active { connection, .. } = &mut remote.link else { continue };
            let Some(id) = *connection else { continue };
            match openflow.connections.get_mut(&id) {
                Some(c) if !c.over => {
                    let up = c.session.version.is_some();
                    if up && !remote.backoff.is_connected() {
                        log::info!(target: "rconn", "{bridge}<->{target}: connected");
                        remote.backoff.connected(now);
                        remote.connected = Some(now);
                    }
                    if std::mem::take(&mut c.spoke) || c.is_busy() {
                        remote.backoff.received(now);
                    }
                    if up && !remote.wanted.service {
                        let heard = if remote.wanted.probe.is_none() { now } else { c.heard };
                        wishes.heard = wishes.heard.max(Some(heard));
                    }
                }
                gone => {
                    *connection = None;
                    let why = gone.map(|c| std::mem::take(&mut c.why)).unwrap_or_default();
                    if remote.backoff.is_connected() {
                        let said = if why == "End of file" { "connection closed by peer" } else { &why };
                        log::info!(target: "rconn", "{bridge}<->{target}: {said}");
                        remote.lost = Some(now);
                    } else {
                        log::warn!(target: "rconn", "{bridge}<->{target}: connection failed ({why})");
                    }
                    remote.failed(why, now);
                }
            }
        }
        if wishes.heard.is_none() && wishes.remotes.values().any(|r| !r.wanted.service) {
            wishes.heard = Some(now);
        }
    }
}

/// Has bridges learn by themselves whose controllers are silent, and stop it when one is there.
pub(super) fn fail_modes(switch: &mut Switch, now: Instant) {
    let mut changed = Vec::new();
    for (bridge, wishes) in &mut switch.openflow.wishes {
        let due = wishes.alone_at().is_some_and(|at| at <= now);
        let there = wishes.remotes.values().any(|r| !r.wanted.service && r.backoff.is_connected());
        let alone = !wishes.secure && wishes.heard.is_some() && !there && (wishes.alone || due);
        if alone != wishes.alone {
            wishes.alone = alone;
            changed.push((bridge.clone(), alone, wishes.patience().as_secs()));
        }
    }
    for (bridge, alone, seconds) in changed {
        switch.openflow.in_band.changed = true;
        if alone {
            log::warn!(target: "fail_open", "Could not connect to controller (or switch failed controller's post-connection \
                admission control policy) for {seconds} seconds, failing open");
            switch.flush_flows(&bridge);
        } else {
            log::warn!(target: "fail_open", "No longer in fail-open mode");
        }
    }
}

impl OpenFlow {
    /// What rows are told of their connections. Times alone are told anew only where `with_times`.
    pub(in crate::run) fn controllers(
        &mut self,
        now: Instant,
        with_times: bool,
    ) -> Vec<(ovsdb::Uuid, status::Controller)> {
        let mut out = Vec::new();
        for (bridge, wishes) in &mut self.wishes {
            for (target, remote) in &mut wishes.remotes {
                let own = |c: &&Connection| c.remote.as_ref() == Some(target) && c.bridge == *bridge;
                let mut there = self.connections.values().filter(own).filter(|c| c.session.version.is_some());
                let first = there.next();
                let mut is = status::Controller { connected: first.is_some(), ..status::Controller::default() };
                is.role = first.map(|c| match c.session.role {
                    Role::Primary => "master",
                    Role::Secondary => "slave",
                    Role::Equal | Role::NoChange => "other",
                });
                if let Some(c) = first {
                    c.limits_shown(&mut is.status);
                }
                if matches!(remote.link, Link::Active { .. }) {
                    let mut say = |key: &str, value: String| drop(is.status.insert(key.to_owned(), value));
                    remote.last_error.iter().for_each(|e| say("last_error", e.clone()));
                    say("state", remote.backoff.state_name().to_owned());
                    let since = |at: Instant| now.since(at).as_secs().to_string();
                    remote.connected.into_iter().for_each(|at| say("sec_since_connect", since(at)));
                    remote.lost.into_iter().for_each(|at| say("sec_since_disconnect", since(at)));
                }
                let same = |told: &status::Controller| {
                    let timeless = |s: &status::Controller| {
                        let keys = s
                            .status
                            .iter()
                            .filter(|(key, _)| !key.starts_with("sec_since") && !key.starts_with("packet-in"));
                        keys.map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
                    };
                    (told.connected, told.role) == (is.connected, is.role) && timeless(told) == timeless(&is)
                };
                match &remote.told {
                    Some((told, _)) if !with_times && same(told) => is = told.clone(),
                    _ => remote.told = Some((is.clone(), now)),
                }
                out.push((remote.wanted.uuid, is));
            }
        }
        out
    }
}
