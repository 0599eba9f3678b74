//! The switch as its owner loop holds it: tables, ports, threads, and what is under way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use base::clock::{Clock, Instant};
use datapath::control::CaptureId;
use datapath::{Control, Happened, Limits, Order, Queues, Serve, Ticket, WorkerId};
use dpif::PortNo;
use openflow::OfPort;
use pipeline::normal::fdb::Events;
use pipeline::{BridgeConfig, Manager, PortConfig, PriorityTags, Settings, Trunks, VlanConfig};

use super::RunError;
use super::coverage::Coverage;
use super::devices::{Device, Opener};
use super::jobs::Jobs;
use super::links::Links;
use super::long::Longs;
use super::ports::{Moving, Released};
use super::queues::Scheduler;
use super::threads::Thread;
use crate::config::{self, Config, FailMode, InterfaceType, Port, VlanMode};
use crate::control::Call;

/// Rounds of one turn, while workers without threads have something to do.
const ROUNDS: usize = 256;

/// How often that is looked at which wakes nobody: sockets in place of cables, rings of workers without threads.
const CABLES: Duration = Duration::from_millis(10);

/// A port that was asked for.
pub(super) struct PortEntry {
    pub(super) name: String,
    pub(super) bridge: String,
    pub(super) number: OfPort,
    pub(super) kind: InterfaceType,
    pub(super) device: Device,
    /// The line of its device in [`Jobs`].
    pub(super) line: Option<String>,
    /// The type's name for display.
    pub(super) shown: String,
    /// Cores that its receive queues are pinned to.
    pub(super) pins: BTreeMap<u32, usize>,
}

/// A port that is not there: bridge, name, type, and why.
pub(super) type Failed = (String, String, InterfaceType, String);

/// An answer that waits for something.
pub(super) enum Later {
    /// Text that is made when statistics are in.
    Flows { call: Call, tables: Box<pipeline::Snapshot>, bridge: String, filter: pipeline::FlowFilter },
    /// Megaflows.
    Megaflows { call: Call, dump: Box<super::megaflows::Dump> },
    /// Nobody waits but the capture's thread.
    Untapped { id: CaptureId },
    /// Megaflows in an order, as JSON, at most so many.
    MegaflowsJson { call: Call, order: Order, top: Option<usize> },
    /// Everything, as JSON, with so many megaflows.
    Snapshot { call: Call, top: usize },
    /// A plain confirmation.
    Done { call: Call },
    /// Whatever is to be done.
    Then(super::jobs::Then),
}

/// Everything that management owns.
pub(super) struct Switch {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) manager: Manager,
    pub(super) control: Control,
    pub(super) opener: Opener,
    pub(super) links: Links,
    pub(super) ports: BTreeMap<PortNo, PortEntry>,
    /// Ports that could not be opened: (bridge, name, kind, why).
    pub(super) failed: Vec<Failed>,
    pub(super) threads: Vec<Thread>,
    pub(super) started: Instant,
    /// The cycle counter then.
    started_ticks: u64,
    pub(super) scheduler: Scheduler,
    /// Workers made and not started yet, with their cores.
    waiting: Vec<(datapath::Worker, Option<usize>)>,
    /// Time that is to pass, in deterministic mode.
    pub(super) warps: super::dummy::time::Warps,
    /// Workers that management steps have something to do: answers wait.
    restless: bool,
    /// The version of the tables when they ran last.
    stepped: u64,
    /// What datapath bridges are in, where it is not that of real devices.
    pub(super) dummy_bridges: BTreeSet<String>,
    /// Queues of ports that are in the tables; for workers as soon as those are published.
    pub(super) attaching: Vec<(PortNo, Queues, Serve)>,
    /// Calls answered when what they changed is published.
    pub(super) published: Vec<(Call, Result<String, String>)>,
    /// Barriers, with the version that every worker must pass.
    pub(super) barriers: Vec<(u64, Call)>,
    pub(super) tickets: HashMap<Ticket, Later>,
    /// Changes of tables that take more than a turn.
    pub(super) longs: Longs,
    /// Work on devices that is under way.
    pub(super) jobs: Jobs,
    /// Ports on their way in or out, by the number of the move.
    pub(super) moving: BTreeMap<u64, Moving>,
    pub(super) moves: u64,
    /// Ports that workers are asked to give back: what follows when they have.
    pub(super) released: HashMap<PortNo, Released>,
    pub(super) captures: Vec<super::capture::Running>,
    /// What the database asks for, and what it is told; none without one.
    pub(super) database: Option<super::database::Database>,
    pub(super) orders: super::database::Orders,
    /// How often what happened.
    pub(super) coverage: Coverage,
    /// Orders of the database that were carried out, and calls that came.
    pub(super) reconfigured: u64,
    pub(super) calls: u64,
    /// What happened to bridges' addresses until `fdb/stats-clear`.
    pub(super) fdb_cleared: BTreeMap<String, Events>,
    /// other_config:vlan-limit.
    pub(super) vlan_limit: u8,
    /// Connections of controllers and of ovs-ofctl.
    pub(super) openflow: super::openflow::OpenFlow,
    /// The command `exit` was given.
    pub(super) exit: Option<Call>,
}

impl Switch {
    /// Tables without bridges, workers not started.
    pub(super) fn new(config: Config, clock: Clock, cores: &[usize]) -> Result<Switch, RunError> {
        let seed = random_seed();
        let (manager, translate) =
            Manager::new(&pipeline::Config { seed }).map_err(RunError::io("starting the pipeline"))?;
        let limits = Limits {
            megaflows: config.limits.flow_limit as usize,
            masks: config.limits.masks as usize,
            max_idle: u64::from(config.limits.max_idle) * 1_000_000,
            park: config.limits.park as usize,
            translations: config.limits.miss_budget,
            ..Limits::default()
        };
        let mut control =
            Control::new(translate, limits, seed.rotate_left(17)).map_err(RunError::io("starting the datapath"))?;
        control.measure(base::clock::ticks);
        control.hold();
        let mut waiting = Vec::new();
        let mut homes = [WorkerId(0); 2];
        // in deterministic mode, ports in memory have a worker that has no thread
        let kinds = std::iter::once("slow").chain(config.dummy.is_some().then_some("main"));
        for (name, home) in kinds.zip(&mut homes) {
            let (id, worker) = control.add_worker(name, false).map_err(RunError::io("making a worker"))?;
            *home = id;
            waiting.push((worker, None));
        }
        for core in cores {
            let (_, worker) =
                control.add_worker(&format!("worker{core}"), true).map_err(RunError::io("making a worker"))?;
            waiting.push((worker, Some(*core)));
        }
        let [slow, main] = homes;
        let home = if config.dummy.is_some() { main } else { slow };
        let opener = Opener::new(&config, slow, home, cores.len(), &clock);
        let (started, started_ticks) = (clock.now(), base::clock::ticks());
        let settings = config::Datapath::parse(&config.other_config).map_err(RunError::Setup)?;
        let nodes = config.dummy.as_ref().map(|d| d.nodes.clone()).unwrap_or_default();
        let scheduler = Scheduler::new(settings, started, nodes);
        let openflow = super::openflow::OpenFlow::new(config.switch.run_dir.clone());
        Ok(Switch {
            config,
            clock,
            manager,
            control,
            opener,
            links: Links::new(),
            ports: BTreeMap::new(),
            failed: Vec::new(),
            threads: Vec::new(),
            started,
            started_ticks,
            scheduler,
            waiting,
            warps: super::dummy::time::Warps::new(),
            restless: false,
            stepped: 0,
            dummy_bridges: BTreeSet::new(),
            attaching: Vec::new(),
            published: Vec::new(),
            barriers: Vec::new(),
            tickets: HashMap::new(),
            longs: Longs::default(),
            jobs: Jobs::new(),
            moving: BTreeMap::new(),
            moves: 0,
            released: HashMap::new(),
            captures: Vec::new(),
            database: None,
            orders: super::database::Orders::none(),
            coverage: Coverage::default(),
            reconfigured: 0,
            calls: 0,
            fdb_cleared: BTreeMap::new(),
            vlan_limit: 1,
            openflow,
            exit: None,
        })
    }

    /// Starts DPDK if it is needed, then threads, bridges and ports.
    pub(super) fn start(&mut self) -> Result<(), RunError> {
        self.opener.start(&self.config.dpdk, self.config.wants_dpdk()).map_err(RunError::Setup)?;
        for (worker, core) in std::mem::take(&mut self.waiting) {
            self.start_worker(worker, core).map_err(RunError::io("starting a worker thread"))?;
        }
        for bridge in self.config.bridges.clone() {
            self.add_bridge(&bridge)?;
            if bridge.local {
                self.add_local(&bridge.name);
            }
            for port in &bridge.ports {
                if let Err(e) = self.add_now(&bridge.name, port, None) {
                    self.no_port((bridge.name.clone(), port.name.clone(), port.interface_type, e));
                }
            }
            self.load(&bridge)?;
        }
        self.announce();
        for failed in self.attach() {
            self.no_port(failed);
        }
        Ok(())
    }

    /// Gives a worker its thread. In deterministic mode that is management's own, but for the one of the kernel's interfaces.
    pub(super) fn start_worker(&mut self, worker: datapath::Worker, core: Option<usize>) -> std::io::Result<()> {
        let slow = core.is_none() && self.threads.is_empty();
        let thread = if self.config.dummy.is_some() && !slow {
            Thread::stepped(worker, core)
        } else {
            let sleep = self.scheduler.max_sleep.clone();
            Thread::start(worker, self.clock.clone(), core, sleep, self.opener.enter())?
        };
        self.threads.push(thread);
        Ok(())
    }

    /// Says, and keeps for display, why a port of the configuration is not there.
    fn no_port(&mut self, failed: Failed) {
        log::error!(target: "bridge", "bridge {}: no port {}: {}", failed.0, failed.1, failed.3);
        self.failed.push(failed);
    }

    /// The configuration's bridges and ports in the tables alone: nothing is opened.
    pub(super) fn describe_all(&mut self) -> Result<(), RunError> {
        for bridge in self.config.bridges.clone() {
            self.add_bridge(&bridge)?;
            if bridge.local {
                let no = self.free_number();
                let config = PortConfig::device(&bridge.name, OfPort::LOCAL, no);
                self.manager.add_port(&bridge.name, config).map_err(|e| RunError::Setup(e.to_string()))?;
            }
            for port in &bridge.ports {
                self.describe(&bridge.name, port, None).map_err(RunError::Setup)?;
            }
            self.load(&bridge)?;
        }
        self.manager.publish();
        Ok(())
    }

    pub(super) fn add_bridge(&mut self, bridge: &config::Bridge) -> Result<(), RunError> {
        let wanted = BridgeConfig {
            name: bridge.name.clone(),
            datapath_id: 0,
            standalone: bridge.fail_mode == FailMode::Standalone && bridge.flows.is_none(),
            settings: bridge_settings(&bridge.other_config),
        };
        let now = self.clock.now();
        self.manager.add_bridge(&wanted, now).map(drop).map_err(|e| RunError::Setup(e.to_string()))
    }

    /// Loads a bridge's files of groups and flows.
    pub(super) fn load(&mut self, bridge: &config::Bridge) -> Result<(), RunError> {
        for (file, groups) in [(&bridge.groups, true), (&bridge.flows, false)] {
            let Some(file) = file else { continue };
            let file = self.config.file(file);
            let text = std::fs::read_to_string(&file).map_err(RunError::io(file.display().to_string()))?;
            let loaded = if groups {
                super::commands::add_groups(self, &bridge.name, &text)
            } else {
                super::commands::add_flows(self, &bridge.name, &text)
            };
            loaded.map_err(|e| RunError::Setup(format!("{}:{e}", file.display())))?;
        }
        Ok(())
    }

    /// The bridge's own port as a tap device; without the permission the bridge runs without.
    fn add_local(&mut self, bridge: &str) {
        let port = own_port(bridge);
        if let Err(e) = self.add_now(bridge, &port, Some(OfPort::LOCAL)) {
            log::warn!(target: "bridge", "{bridge}: no LOCAL port: {e}");
        }
    }

    /// Takes in what workers reported and what packets taught. Where management steps workers, it goes on until nothing
    /// happens any more; answers wait for that.
    pub(super) fn turn(&mut self, now: Instant) {
        for _ in 0..ROUNDS {
            self.restless = self.step_workers(now);
            self.round(now);
            if !self.restless {
                break;
            }
        }
        self.pass_time();
    }

    /// Runs workers that have no thread, and the cables of ports in memory; whether anything happened.
    fn step_workers(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for entry in self.ports.values() {
            match &entry.device {
                Device::Dummy(device) if device.has_cable() => moved |= device.turn(now),
                _ => {}
            }
        }
        let version = self.manager.snapshot().version;
        let mut stepped = false;
        for thread in &mut self.threads {
            let Some(work) = thread.step(now) else { continue };
            moved |= !work.is_idle();
            stepped = true;
        }
        // all that they read is what there is by now
        moved || stepped && (self.manager.is_dirty() || std::mem::replace(&mut self.stepped, version) != version)
    }

    fn round(&mut self, now: Instant) {
        self.look_at_links(now);
        self.manager.process(now);
        self.schedule(now);
        self.sample(now);
        let mut gone = false;
        for happened in self.control.poll() {
            match happened {
                Happened::Retired(worker) => self.retired(worker),
                Happened::Removed { port, queues } => {
                    gone = true;
                    if let Some(next) = self.released.remove(&port) {
                        next(self, queues);
                    }
                }
                Happened::Done(ticket) => {
                    if let Some(later) = self.tickets.remove(&ticket) {
                        super::commands::finish(self, later, Vec::new());
                    }
                }
                Happened::Megaflows(ticket, flows) => {
                    if let Some(later) = self.tickets.remove(&ticket) {
                        super::commands::finish(self, later, flows);
                    }
                }
            }
        }
        if gone {
            self.assign();
        }
        super::capture::turn(self);
        super::long::turn(self);
        super::openflow::turn(self);
        if self.manager.is_dirty() {
            self.manager.publish();
        }
        self.answer_published();
        for (version, call) in std::mem::take(&mut self.barriers) {
            if self.manager.passed(version) {
                call.answer(Ok(String::new()));
            } else {
                self.barriers.push((version, call));
            }
        }
        self.manager.reclaim();
        self.follow(now);
        if self.manager.is_dirty() {
            self.manager.publish();
        }
        self.answer_published();
    }

    fn answer_published(&mut self) {
        if self.restless {
            return;
        }
        for (call, result) in self.published.drain(..) {
            call.answer(result);
        }
    }

    /// When something is due although nothing happens.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        if self.restless || self.warps.are_due() {
            return now;
        }
        let soon = !self.barriers.is_empty() || self.openflow.waits();
        let next = now + Duration::from_millis(if soon { 1 } else { 500 });
        // what comes to workers without threads by others' hands does not wake this loop
        let looks = self.ports.values().any(|p| match &p.device {
            Device::Dummy(device) => device.has_cable(),
            Device::Kernel { .. } => self.config.dummy.is_some(),
            _ => false,
        });
        let next = if looks { next.min(now + CABLES) } else { next };
        let next = next.min(self.scheduler.deadline()).min(self.coverage.deadline(now));
        let next = self.openflow.deadline().map_or(next, |d| d.max(now + Duration::from_millis(1)).min(next));
        let next = self.database.as_ref().map_or(next, |d| d.deadline(now).min(next));
        self.manager.deadline().map_or(next, |d| d.max(now + Duration::from_millis(1)).min(next))
    }

    /// Ticks of the cycle counter in a second, as measured since the start.
    pub(super) fn hertz(&self) -> f64 {
        let nanos = self.clock.now().as_nanos().saturating_sub(self.started.as_nanos());
        base::clock::ticks().saturating_sub(self.started_ticks) as f64 * 1e9 / nanos.max(1) as f64
    }

    /// How loudly the end is told: one that another switch kept from doing anything has nothing to end.
    pub(super) fn end_level(&self) -> log::Level {
        let idle = self.database.as_ref().is_some_and(|d| !d.is_ready());
        if idle { log::Level::Debug } else { log::Level::Info }
    }

    /// Takes everything down in order: ports, then threads, then devices.
    pub(super) fn stop(&mut self) {
        for thread in std::mem::take(&mut self.threads) {
            thread.stop();
        }
        super::capture::stop(self);
        // Workers are gone, and with them the queues that they had; devices may be closed.
        self.jobs.stop();
        self.released.clear();
        for (_, entry) in std::mem::take(&mut self.ports) {
            self.opener.close(entry.device, Queues::default());
        }
    }
}

/// A bridge's own port.
pub(super) fn own_port(bridge: &str) -> Port {
    Port {
        name: bridge.to_owned(),
        tag: None,
        trunks: Vec::new(),
        vlan_mode: None,
        cvlans: Vec::new(),
        interface_type: InterfaceType::Tap,
        options: Default::default(),
        other_config: Default::default(),
        ofport_request: None,
        mtu_request: None,
        n_rxq: None,
        n_rxq_desc: None,
        n_txq_desc: None,
        shown: None,
        left_down: false,
    }
}

/// What a bridge's `other_config` says, which was checked when it was read.
pub(super) fn bridge_settings(map: &config::Map) -> Settings {
    let number = |key: &str| map.get(key).and_then(|v| v.parse::<u32>().ok());
    let defaults = Settings::default();
    Settings {
        mac_aging: number("mac-aging-time").map_or(defaults.mac_aging, |s| Duration::from_secs(u64::from(s))),
        mac_table_size: number("mac-table-size").map_or(defaults.mac_table_size, |n| n as usize),
        forward_bpdu: map.get("forward-bpdu").is_some_and(|v| v == "true"),
        ..defaults
    }
}

pub(super) fn vlan(port: &Port) -> VlanConfig {
    let access = matches!(port.vlan_mode, None | Some(VlanMode::Access));
    let is = |key: &str, value: &str| port.other_config.get(key).is_some_and(|v| v == value);
    let priority_tags = match () {
        () if is("priority-tags", "always") => PriorityTags::Always,
        () if is("priority-tags", "if-nonzero") => PriorityTags::IfNonzero,
        () => PriorityTags::Never,
    };
    let mode = match (port.vlan_mode, port.tag) {
        (_, Some(tag)) if access => pipeline::VlanMode::Access(tag),
        (Some(VlanMode::NativeTagged), Some(tag)) => pipeline::VlanMode::NativeTagged(tag),
        (Some(VlanMode::NativeUntagged), Some(tag)) => pipeline::VlanMode::NativeUntagged(tag),
        (Some(VlanMode::Dot1qTunnel), tag) => pipeline::VlanMode::Dot1qTunnel {
            vlan: tag.unwrap_or(0),
            customers: Trunks::new(&port.cvlans),
            tpid: if is("qinq-ethtype", "802.1q") { 0x8100 } else { 0x88a8 },
        },
        _ => pipeline::VlanMode::Trunk,
    };
    VlanConfig { mode, priority_tags, ..VlanConfig::trunk(&port.trunks) }
}

/// From the kernel, so that nobody outside can make hashes collide.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
