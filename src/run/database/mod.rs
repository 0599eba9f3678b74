//! The switch as the database's: what rows ask for is carried out, what came of it is written back.
//!
//! A thread ([`link`]) is the database's client and turns rows into what is desired; the embedded server has a thread of its
//! own. Here, in the owner loop, the difference from what was carried out becomes steps ([`bridge::plan`]), which are the
//! operations of the control commands too ([`apply`]); devices are opened and closed elsewhere meanwhile. When nothing is
//! under way any more, that is told as `cur_cfg`, and at intervals what ports count and how their links are ([`facts`]).

mod apply;
mod facts;
mod link;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::clock::Instant;
use bridge::desired::{Desired, Reading};
use programs::server::Embedded;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::switch::Switch;
use crate::config::Bridge;
use link::{Facts, Link, Order, Said};
pub(super) use start::start;

/// How often links are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Where orders come from; nowhere without a database.
pub(super) struct Orders {
    inbox: Option<UnboundedReceiver<Said>>,
    /// Facts that the rows have.
    written: u64,
}

impl Orders {
    /// None ever come.
    pub(super) fn none() -> Orders {
        Orders { inbox: None, written: 0 }
    }

    fn new(inbox: UnboundedReceiver<Said>) -> Orders {
        Orders { inbox: Some(inbox), written: 0 }
    }

    fn take(&mut self, said: Said) -> Option<Order> {
        match said {
            Said::Order(order) => Some(*order),
            Said::Written(n) => {
                self.written = n;
                None
            }
        }
    }

    /// The last of those that are there.
    pub(super) fn now(&mut self) -> Option<Order> {
        let mut last = None;
        while let Some(said) = self.inbox.as_mut().and_then(|inbox| inbox.try_recv().ok()) {
            last = self.take(said).or(last);
        }
        last
    }

    /// The next, or the last of several. None: something else was said.
    pub(super) async fn next(&mut self) -> Option<Order> {
        let next = match self.inbox.as_mut() {
            Some(inbox) => inbox.recv().await,
            None => std::future::pending().await,
        };
        match next {
            Some(said) => {
                let order = self.take(said);
                self.now().or(order)
            }
            // the thread is gone, and says so itself
            None => std::future::pending().await,
        }
    }
}

type Answer = oneshot::Receiver<Result<String, String>>;

/// A port that the database asks for.
#[derive(Default)]
struct PortState {
    /// Why it is not there.
    error: Option<String>,
    /// It is being added.
    adding: Option<Answer>,
    /// Whether its link was up, and how often that changed.
    up: Option<bool>,
    resets: i64,
}

/// The database as the owner loop has it.
pub(super) struct Database {
    /// Ends when this is dropped, after the client.
    link: Link,
    _server: Option<Embedded>,
    /// What was carried out.
    now: Desired,
    /// What is asked for.
    reading: Reading,
    pub(super) unsupported: BTreeSet<String>,
    /// By port name.
    ports: BTreeMap<String, PortState>,
    /// Datapath IDs that the log has, by bridge.
    ids: BTreeMap<String, u64>,
    /// Ports that are being removed.
    removing: Vec<Answer>,
    /// Bridges of the configuration file: their files of flows are loaded once their ports are there.
    files: Vec<Bridge>,
    /// The order that is to be carried out.
    pending: Option<Order>,
    /// The tables' version that has what was asked for, once everything is there.
    version: Option<u64>,
    /// The next_cfg up to which everything is done.
    done: Option<i64>,
    sent: Facts,
    look: Instant,
    statistics: Instant,
    interval: Duration,
    /// Something changed that should be told at once.
    tell: bool,
}

impl Database {
    fn new(server: Option<Embedded>, link: Link, order: Option<Order>, files: Vec<Bridge>) -> Database {
        Database {
            link,
            _server: server,
            now: Desired::default(),
            reading: Reading::default(),
            unsupported: BTreeSet::new(),
            ports: BTreeMap::new(),
            ids: BTreeMap::new(),
            removing: Vec::new(),
            files,
            pending: order,
            version: None,
            done: None,
            sent: Facts::default(),
            look: Instant::ZERO,
            statistics: Instant::ZERO,
            interval: Duration::from_millis(5000),
            tell: true,
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        let waits = self.version.is_some() && self.done.is_none();
        if waits { now + Duration::from_millis(1) } else { self.look }
    }

    /// Nothing is under way.
    fn is_settled(&self) -> bool {
        self.removing.is_empty() && self.ports.values().all(|p| p.adding.is_none())
    }

    /// Time passed that nobody else's clock shows.
    pub(super) fn time_passed(&self) {
        self.link.wake();
    }

    /// The datapath ID of a bridge that was carried out.
    pub(super) fn datapath_id_of(&self, bridge: &str) -> Option<u64> {
        self.ids.get(bridge).copied()
    }

    /// Something changed that should be told at once.
    pub(super) fn tell_now(&mut self) {
        self.tell = true;
    }

    /// A port that was there is gone from the datapath by somebody else's wish: the next order has it come again.
    pub(super) fn lost(&mut self, name: &str) {
        if let Some(state) = self.ports.get_mut(name) {
            state.error = Some("deleted from the datapath".into());
            self.tell = true;
        }
    }

    /// The first order is carried out.
    pub(super) fn is_ready(&self) -> bool {
        self.done.is_some()
    }
}

impl Switch {
    /// Whether everything that the database asks for is there, and it is told all there is to tell.
    pub(super) fn database_is_quiet(&self) -> bool {
        let Some(database) = &self.database else { return true };
        let done = database.reading.root.is_none_or(|(_, cfg)| database.done == Some(cfg));
        let idle = database.pending.is_none() && database.is_settled() && !database.tell;
        done && idle && self.orders.written >= database.link.said
    }

    /// Takes an order; [`Switch::follow`] carries it out.
    pub(super) fn take_order(&mut self, order: Order) {
        if let Some(database) = &mut self.database {
            database.pending = Some(order);
        }
    }

    /// What there is to do for the database.
    pub(super) fn follow(&mut self, now: Instant) {
        // it is taken out while its steps change the switch
        let Some(mut database) = self.database.take() else { return };
        database.answers();
        if now >= database.look && database.pending.is_none() {
            database.retry();
        }
        if let Some(order) = database.pending.take() {
            self.carry_out(&mut database, order);
            database.tell = true;
        }
        if database.is_settled()
            && self.workers_are_settled()
            && let Some((_, cfg)) = database.reading.root
            && database.done != Some(cfg)
        {
            let version = match database.version {
                Some(version) => version,
                None => {
                    self.settled(&mut database);
                    *database.version.insert(self.manager.publish())
                }
            };
            // no packet obeys what was before
            if self.manager.passed(version) {
                database.done = Some(cfg);
                database.tell = true;
            }
        }
        // while an order is carried out there is little to tell, and many ports to tell it of
        let under_way = database.reading.root.is_some_and(|(_, cfg)| database.done != Some(cfg));
        if database.tell && !under_way || now >= database.look {
            database.tell = false;
            database.look = now + LOOK;
            self.report(&mut database, now);
        }
        self.database = Some(database);
    }
}

impl Database {
    /// Takes in what came of ports that were added and removed.
    fn answers(&mut self) {
        use oneshot::error::TryRecvError;
        for (name, port) in &mut self.ports {
            let Some(answer) = &mut port.adding else { continue };
            let outcome = match answer.try_recv() {
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Closed) => Err("the switch gave no answer".to_owned()),
                Ok(outcome) => outcome,
            };
            port.adding = None;
            self.tell = true;
            let error = outcome.err();
            if let Some(e) = error.as_ref().filter(|e| port.error.as_ref() != Some(*e)) {
                log::warn!(target: "bridge", "could not add interface {name}: {e}");
            }
            port.error = error;
        }
        let before = self.removing.len();
        self.removing.retain_mut(|answer| answer.try_recv() == Err(TryRecvError::Empty));
        self.tell |= before != self.removing.len();
    }

    /// Kernel interfaces that were missing may have come: they are tried again.
    fn retry(&mut self) {
        let missing = |name: &String| {
            let failed = self.ports.get(name).is_some_and(|p| p.error.is_some() && p.adding.is_none());
            failed && netdev::link::index(name).is_ok()
        };
        let mut come = false;
        for bridge in self.now.bridges.values_mut() {
            let before = bridge.ports.len();
            bridge.ports.retain(|name, port| !(matches!(port.kind.as_str(), "" | "system") && missing(name)));
            come |= bridge.ports.len() != before;
        }
        if come {
            let (reading, unsupported) = (self.reading.clone(), self.unsupported.clone());
            self.pending = Some(Order { reading, unsupported });
        }
    }
}
