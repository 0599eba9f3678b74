//! The thread that is the database's client: keeps a connection to one of the remotes, reads rows into what is desired, and
//! writes what the switch says of itself into rows. The owner loop gets and gives values.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::time::Duration;

use base::backoff::{Action, Backoff, Settings};
use base::clock::{Clock, Instant};
use bridge::desired::{Desired, Reading, read};
use bridge::{rows, status, unsupported};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ovsdb::Uuid;
use ovsdb::client::{Changes, Outcome, Replica, Transaction, Wanted};
use ovsdb::table::{Change, Database, Row};
use programs::stream::Stream;
use tokio::sync::mpsc::UnboundedSender;

/// What the database asks for.
#[derive(Debug, Default)]
pub(in crate::run) struct Order {
    pub(super) reading: Reading,
    /// What is set and not done yet.
    pub(super) unsupported: BTreeSet<String>,
}

/// What the thread says.
#[derive(Debug)]
pub(in crate::run) enum Said {
    Order(Box<Order>),
    /// The rows have so many of the facts that were handed over, as far as they can have them.
    Written(u64),
}

/// What the switch says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) interfaces: BTreeMap<Uuid, Arc<status::Interface>>,
    /// Datapath IDs.
    pub(super) bridges: BTreeMap<Uuid, u64>,
    pub(super) controllers: BTreeMap<Uuid, status::Controller>,
    pub(super) switch: status::Switch,
    /// The next_cfg up to which everything is done.
    pub(super) done: Option<i64>,
}

/// How the thread is started.
pub(super) struct Start {
    pub(super) clock: Clock,
    pub(super) remotes: Vec<String>,
    pub(super) leader_only: bool,
    /// A database without a row of Open_vSwitch gets one.
    pub(super) initialise: bool,
    /// Ports of any type may be in memory.
    pub(super) in_memory: bool,
    pub(super) orders: UnboundedSender<Said>,
    /// Told when the first order is there.
    pub(super) first: SyncSender<()>,
}

/// The owner loop's end. Dropping it ends the thread.
pub(super) struct Link {
    facts: Sender<Facts>,
    /// How many were handed over.
    pub(super) said: u64,
    wake: UnixStream,
}

impl Link {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses sockets or threads.
    pub(super) fn start(start: Start) -> io::Result<Link> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (facts, inbox) = channel();
        let wanted = Wanted {
            database: bridge::schema::DATABASE.to_owned(),
            tables: ["Open_vSwitch", "Bridge", "Port", "Interface", "Controller", "Flow_Table", "Mirror", "SSL"]
                .map(str::to_owned)
                .to_vec(),
            leader_only: start.leader_only,
            // what the stock switch takes, so that there is one of them for a database
            lock: Some("ovs_vswitchd".to_owned()),
        };
        let client = Client {
            replica: Replica::new(wanted),
            backoff: Backoff::new(Settings::default()),
            stream: None,
            remote: 0,
            inbox,
            woken,
            last: Desired::default(),
            told: BTreeSet::new(),
            facts: None,
            current: HashMap::new(),
            heard: 0,
            written: 0,
            busy: false,
            waits: false,
            fresh: true,
            start,
        };
        // without a name of its own for the log, which the stock switch's messages of a database don't have
        std::thread::Builder::new().spawn(move || {
            let _ = nix::sys::prctl::set_name(c"db client");
            client.serve();
        })?;
        Ok(Link { facts, said: 0, wake })
    }

    /// Hands over what the switch says of itself.
    pub(super) fn say(&mut self, facts: Facts) {
        // fails only when the thread is gone
        let _ = self.facts.send(facts);
        self.said += 1;
        self.wake();
    }

    /// Has the thread look what there is to do.
    pub(super) fn wake(&self) {
        // a full socket wakes as well
        let _ = (&self.wake).write(&[0]);
    }
}

struct Client {
    start: Start,
    replica: Replica,
    backoff: Backoff,
    stream: Option<Stream>,
    /// The remote in use, or that is tried next.
    remote: usize,
    inbox: Receiver<Facts>,
    woken: UnixStream,
    /// What was asked of the switch last.
    last: Desired,
    /// Warnings and what is unsupported, as far as the log has them.
    told: BTreeSet<String>,
    facts: Option<Facts>,
    /// Rows that say what is told of their interfaces: with a thousand ports, most do.
    current: HashMap<Uuid, (Arc<Row>, Arc<status::Interface>)>,
    /// Facts that were handed over, and of these the last that the rows have.
    heard: u64,
    written: u64,
    /// A transaction is under way.
    busy: bool,
    /// Another switch has the lock.
    waits: bool,
    /// Nothing was read of this connection.
    fresh: bool,
}

/// Columns that are kept and that the switch writes.
const OWN: [&str; 13] = [
    "cur_cfg",
    "datapath_types",
    "datapath_version",
    "datapaths",
    "db_version",
    "dpdk_initialized",
    "dpdk_version",
    "error",
    "iface_types",
    "ofport",
    "ovs_version",
    "system_type",
    "system_version",
];

/// Whether a change is one of what somebody asks for.
fn matters(db: &Database, change: &Change) -> bool {
    let schema = &db.tables[change.table].schema;
    if change.old.is_none() || change.new.is_none() {
        return true;
    }
    change.columns().any(|c| schema.columns[c].persistent && !OWN.contains(&&*schema.columns[c].name))
}

impl Client {
    fn serve(mut self) {
        let now = self.start.clock.now();
        self.backoff.enable(now);
        loop {
            let now = self.start.clock.now();
            while let Some(action) = self.backoff.poll(now) {
                match action {
                    Action::Connect => self.connect(),
                    Action::Disconnect => self.lose("no answer in time", now),
                    Action::Probe => self.replica.probe(),
                }
            }
            while let Ok(facts) = self.inbox.try_recv() {
                self.facts = Some(facts);
                self.heard += 1;
            }
            self.work();
            // without a connection there are no rows to wait for
            if !self.busy && self.written != self.heard {
                self.written = self.heard;
                let _ = self.start.orders.send(Said::Written(self.heard));
            }
            self.write(now);
            if !self.wait(now) {
                return;
            }
        }
    }

    fn name(&self) -> &str {
        self.start.remotes.get(self.remote).map_or("", String::as_str)
    }

    fn connect(&mut self) {
        let connected = Stream::connect(self.name()).and_then(|s| s.set_nonblocking(true).map(|()| s));
        // a try may have taken its time
        let now = self.start.clock.now();
        match connected {
            Ok(stream) => {
                log::info!(target: "reconnect", "{}: connected", self.name());
                self.backoff.connected(now);
                self.stream = Some(stream);
                self.replica.connected();
                self.fresh = true;
            }
            Err(e) => self.lose(&format!("connection attempt failed ({})", ovsdb::error::strerror(&e)), now),
        }
    }

    /// The connection is gone, or of no use; the next remote's turn.
    fn lose(&mut self, why: &str, now: Instant) {
        log::info!(target: "reconnect", "{}: {why}", self.name());
        self.stream = None;
        self.replica.disconnected();
        self.busy = false;
        self.waits = false;
        self.backoff.disconnected(now);
        self.remote = (self.remote + 1) % self.start.remotes.len().max(1);
    }

    /// Waits until there is something to do. False when the switch has gone.
    fn wait(&mut self, now: Instant) -> bool {
        let due = self.backoff.deadline().map_or(Duration::from_secs(60), |at| at.since(now));
        let ms = u16::try_from(due.as_millis() + 1).unwrap_or(u16::MAX);
        let writes = !self.replica.output().is_empty() || self.stream.as_ref().is_some_and(Stream::wants_to_send);
        let flags = if writes { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut wanted = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        wanted.extend(self.stream.as_ref().map(|s| PollFd::new(s.as_fd(), flags)));
        // interrupted or not: the loop looks for itself
        let _ = poll(&mut wanted, PollTimeout::from(ms));
        let mut bytes = [0; 512];
        loop {
            match self.woken.read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.read();
        true
    }

    fn read(&mut self) {
        let now = self.start.clock.now();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let Some(stream) = &mut self.stream else { return };
            let n = match stream.read(&mut buffer) {
                Ok(0) => return self.lose("connection closed by peer", now),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return self.lose(&ovsdb::error::strerror(&e), now),
            };
            self.backoff.received(now);
            if let Err(e) = self.replica.receive(&buffer[..n]) {
                return self.lose(&e.to_string(), now);
            }
        }
    }

    fn write(&mut self, now: Instant) {
        let Some(stream) = &mut self.stream else { return };
        let mut sent = 0;
        let output = self.replica.output();
        while sent < output.len() {
            match stream.write(&output[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return self.lose(&ovsdb::error::strerror(&e), now),
            }
        }
        output.drain(..sent);
        // what TLS has taken and the socket has not
        match stream.flush() {
            Err(e) if e.kind() != ErrorKind::WouldBlock => self.lose(&ovsdb::error::strerror(&e), now),
            _ => {}
        }
    }

    /// Reads what changed, writes what differs.
    fn work(&mut self) {
        for (_, outcome) in self.replica.take_outcomes() {
            self.busy = false;
            if let Outcome::Refused(why) = outcome {
                log::warn!(target: "ovsdb_idl", "the database refuses status: {why}");
                // not the same again
                self.facts = None;
            }
        }
        if !self.replica.is_following() {
            return;
        }
        let waits = self.replica.waits_for_lock();
        if waits && !self.waits {
            let pid = std::process::id();
            let text = "another ovs-vswitchd process is running, disabling this process";
            log::error!(target: "bridge", "{text} (pid {pid}) until it goes away");
            // there will be no rows for some time
            let _ = self.start.first.try_send(());
        }
        self.waits = waits;
        if !self.replica.has_lock() {
            self.replica.take_changes();
            self.fresh = true;
            return;
        }
        self.order();
        self.report();
    }

    fn order(&mut self) {
        let Changes { reset, rows } = self.replica.take_changes();
        let Some(db) = self.replica.database() else { return };
        let fresh = std::mem::take(&mut self.fresh);
        if !reset && !fresh && !rows.iter().any(|c| matters(db, c)) {
            return;
        }
        let reading = read(db, &self.last);
        if reading.root.is_none() && self.start.initialise {
            if !self.busy {
                let mut t = Transaction::new();
                status::initialise(&mut t);
                self.replica.transact(t);
                self.busy = true;
            }
            return;
        }
        let unsupported = unsupported::unsupported(db, &crate::config::knows, self.start.in_memory);
        let mut said = BTreeSet::new();
        for warning in &reading.warnings {
            if !self.told.contains(warning) {
                log::warn!(target: "bridge", "{warning}");
            }
            said.insert(warning.clone());
        }
        for line in &unsupported {
            if !self.told.contains(line) {
                log::warn!(target: "bridge", "{line} is set and not supported yet");
            }
            said.insert(line.clone());
        }
        for note in &reading.notes {
            if !self.told.contains(note) {
                log::info!(target: "bridge", "{note}");
            }
            said.insert(note.clone());
        }
        self.told = said;
        self.last = reading.desired.clone();
        if self.start.orders.send(Said::Order(Box::new(Order { reading, unsupported }))).is_ok() {
            let _ = self.start.first.try_send(());
        }
    }

    /// Sends what of the facts is not in the rows.
    fn report(&mut self) {
        let (Some(facts), Some(db)) = (&self.facts, self.replica.database()) else { return };
        if self.busy {
            return;
        }
        let mut t = Transaction::new();
        let interfaces = db.table("Interface");
        self.current.retain(|uuid, _| facts.interfaces.contains_key(uuid));
        for (uuid, is) in &facts.interfaces {
            let Some(row) = interfaces.and_then(|table| table.get(*uuid)) else { continue };
            if self.current.get(uuid).is_some_and(|(r, i)| Arc::ptr_eq(r, row) && Arc::ptr_eq(i, is)) {
                continue;
            }
            let before = t.changes();
            status::interface(&mut t, db, *uuid, is);
            if t.changes() == before {
                self.current.insert(*uuid, (row.clone(), is.clone()));
            }
        }
        for (uuid, id) in &facts.bridges {
            status::bridge(&mut t, db, *uuid, *id);
        }
        for (uuid, is) in &facts.controllers {
            status::controller(&mut t, db, *uuid, is);
        }
        if let Some(root) = rows::OpenVSwitch::all(db).next() {
            status::switch(&mut t, db, root.uuid, &facts.switch, facts.done);
        }
        if !t.is_empty() {
            self.replica.transact(t);
            self.busy = true;
        }
    }
}
