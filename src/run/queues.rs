//! Puts the plans of [`datapath::schedule`] into effect: samples what queues cost, places them on workers, adds and
//! retires workers, and says in the log why, in ovs-vswitchd's words.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use base::clock::Instant;
use datapath::figures::WorkerFigures;
use datapath::schedule::history::{History, INTERVAL, KEPT};
use datapath::schedule::{Core, Note, Plan, Queue, balance, plan};
use datapath::{Control, Serve, WorkerId};
use dpif::PortNo;

use super::switch::Switch;
use crate::config::{Datapath, Map, affinity};

/// What is known of queues and workers for the next plan.
#[derive(Default)]
pub(super) struct Scheduler {
    pub(super) settings: Datapath,
    /// Microseconds that workers may sleep; they read it with each loop.
    pub(super) max_sleep: Arc<AtomicU32>,
    /// Cycles by queue.
    pub(super) queues: BTreeMap<(PortNo, u32), History<1>>,
    /// Busy and idle cycles by worker.
    pub(super) workers: BTreeMap<WorkerId, History<2>>,
    /// What workers had counted when somebody cleared their figures, and when that was.
    pub(super) cleared: HashMap<WorkerId, (WorkerFigures, Instant)>,
    /// Memory nodes by core.
    nodes: HashMap<usize, u32>,
    next: Instant,
    /// Settings that the log has.
    announced: Option<Datapath>,
    /// Balancing found that there is nothing it could do, and nothing changed since.
    idle: bool,
    /// When balancing was last considered.
    considered: Instant,
    /// The plan in effect, and its cores.
    plan: Plan,
    cores: Vec<(WorkerId, Core)>,
}

impl Scheduler {
    /// `nodes` are memory nodes by core where the machine is made up.
    pub(super) fn new(settings: Datapath, now: Instant, nodes: Vec<u32>) -> Scheduler {
        let max_sleep = Arc::new(AtomicU32::new(settings.max_sleep));
        let next = now + Duration::from_secs(INTERVAL);
        let nodes = (0..).zip(nodes).collect();
        Scheduler { settings, max_sleep, nodes, next, considered: now, ..Scheduler::default() }
    }

    /// When the next sample is due.
    pub(super) fn deadline(&self) -> Instant {
        self.next
    }

    /// The memory node of a core.
    pub(super) fn node(&mut self, core: usize) -> u32 {
        *self.nodes.entry(core).or_insert_with(|| node_of(core))
    }

    /// Whether pinned queues keep a worker from getting others.
    pub(super) fn is_isolated(&self, worker: WorkerId) -> bool {
        let at = self.cores.iter().position(|(id, _)| *id == worker);
        at.and_then(|at| self.plan.isolated.get(at)) == Some(&true)
    }

    /// Takes the counters of all queues and workers.
    fn sample(&mut self, control: &Control) {
        self.queues.retain(|(port, _), _| control.ports().any(|(no, _)| no == *port));
        for queue in control.rx_queues() {
            self.queues.entry((queue.port, queue.number)).or_default().sample([queue.counters.cycles.get()]);
        }
        for (id, _, c) in control.workers() {
            self.workers.entry(id).or_default().sample([c.busy_cycles.get(), c.idle_cycles.get()]);
        }
    }
}

/// The memory node of a core, 0 where the machine does not say.
fn node_of(core: usize) -> u32 {
    let folder = std::fs::read_dir(format!("/sys/devices/system/cpu/cpu{core}"));
    let names = folder.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|n| n.to_str()?.strip_prefix("node")?.parse().ok()).next().unwrap_or(0)
}

impl Switch {
    /// Polling workers with their cores, by core.
    fn cores(&mut self) -> Vec<(WorkerId, Core)> {
        let named: Vec<(WorkerId, usize)> = self
            .control
            .fast()
            .filter_map(|(id, name)| Some((id, self.threads.iter().find(|t| t.name == name)?.core?)))
            .collect();
        let mut cores: Vec<(WorkerId, Core)> =
            named.into_iter().map(|(id, number)| (id, Core { number, node: self.scheduler.node(number) })).collect();
        cores.sort_by_key(|(_, core)| core.number);
        cores
    }

    /// Queues that polling workers serve, with what they cost in the last minute.
    fn rx_queues(&self) -> Vec<((PortNo, u32), Queue, Option<WorkerId>)> {
        let fast: Vec<PortNo> =
            self.control.ports().filter(|(_, serve)| *serve == Serve::Fast).map(|(no, _)| no).collect();
        let queues = self.control.rx_queues().filter(|q| fast.contains(&q.port));
        let view = |q: datapath::QueueView<'_>| {
            let entry = self.ports.get(&q.port);
            let at = (q.port, q.number);
            let cycles = self.scheduler.queues.get(&at).and_then(|h| h.sum(KEPT)).map_or(0, |[cycles]| cycles);
            let pin = entry.and_then(|e| e.pins.get(&q.number)).copied();
            (at, Queue { node: entry.and_then(|e| e.device.node()), pin, cycles }, q.worker)
        };
        queues.map(view).collect()
    }

    /// Assigns all receive queues anew.
    pub(super) fn assign(&mut self) {
        self.assign_telling(false);
    }

    /// The same; where `anyway`, it is told also when it changes nothing.
    fn assign_telling(&mut self, anyway: bool) {
        self.scheduler.idle = false;
        let cores = self.cores();
        let queues = self.rx_queues();
        if cores.is_empty() || queues.is_empty() {
            self.scheduler.cores = cores;
            self.scheduler.plan = Plan { isolated: vec![false; self.scheduler.cores.len()], ..Plan::default() };
            return;
        }
        let (core_list, queue_list) = lists(&cores, &queues);
        let policy = self.scheduler.settings.policy;
        let plan = plan(&core_list, &queue_list, policy, self.isolates());
        let changes = plan
            .places
            .iter()
            .zip(&queues)
            .any(|(place, (.., now))| place.and_then(|at| cores.get(at)).map(|(id, _)| *id) != *now);
        if anyway || changes || plan.isolated != self.scheduler.plan.isolated {
            self.tell(&plan, &core_list, &queues);
        }
        for (place, ((port, number), ..)) in plan.places.iter().zip(&queues) {
            let worker = place.and_then(|at| cores.get(at)).map(|(id, _)| *id);
            self.control.place(*port, *number, worker);
        }
        self.scheduler.plan = plan;
        self.scheduler.cores = cores;
    }

    fn isolates(&self) -> bool {
        !self.scheduler.settings.shared || self.scheduler.settings.policy != datapath::schedule::Policy::Group
    }

    fn tell(&self, plan: &Plan, cores: &[Core], queues: &[((PortNo, u32), Queue, Option<WorkerId>)]) {
        let policy = self.scheduler.settings.policy;
        let mut assigning = false;
        for note in &plan.notes {
            let (Note::Pinned(i, _)
            | Note::NoCore(i, _)
            | Note::OtherNode(i, _)
            | Note::Unpolled(i)
            | Note::Assigned(i, _)) = *note;
            let Some(((port, number), queue, _)) = queues.get(i) else { continue };
            let name = self.ports.get(port).map_or("?", |p| p.name.as_str());
            let cycles = match policy {
                datapath::schedule::Policy::RoundRobin => String::new(),
                _ => format!(" (measured processing cycles {})", queue.cycles),
            };
            if !assigning && !matches!(note, Note::Pinned(..) | Note::NoCore(..)) {
                assigning = true;
                let policy = policy.name();
                log::info!(target: "dpif_netdev", "Performing pmd to rx queue assignment using {policy} algorithm.");
            }
            let core = |at: usize| cores.get(at).copied().unwrap_or(Core { number: 0, node: 0 });
            match *note {
                Note::Pinned(_, at) => {
                    let Core { number: core, node } = core(at);
                    log::info!(target: "dpif_netdev", "Core {core:2} on numa node {node} is pinned with port '{name}' rx queue {number}{cycles}");
                }
                Note::NoCore(_, core) => {
                    log::warn!(target: "dpif_netdev", "Core {core:2} cannot be pinned with port '{name}' rx queue {number}. Use pmd-cpu-mask to enable a pmd on core {core}. An alternative core will be assigned.")
                }
                Note::OtherNode(_, node) => {
                    let own = queue.node.unwrap_or(0);
                    log::info!(target: "dpif_netdev", "There's no available (non-isolated) pmd thread on numa node {own}. Port '{name}' rx queue {number} will be assigned to a pmd on numa node {node}. This may lead to reduced performance.");
                }
                Note::Unpolled(_) => {
                    log::warn!(target: "dpif_netdev", "No non-isolated pmd on any numa available for port '{name}' rx queue {number}{cycles}. This rx queue will not be polled.")
                }
                Note::Assigned(_, at) => {
                    let Core { number: core, node } = core(at);
                    log::info!(target: "dpif_netdev", "Core {core:2} on numa node {node} assigned port '{name}' rx queue {number}{cycles}.");
                }
            }
        }
    }

    /// What is due at intervals: samples, and balancing.
    pub(super) fn schedule(&mut self, now: Instant) {
        if now < self.scheduler.next {
            return;
        }
        self.scheduler.next = now + Duration::from_secs(INTERVAL);
        self.scheduler.sample(&self.control);
        self.balance(now);
    }

    /// Balances queues where a core is overloaded and a new plan is worth it.
    fn balance(&mut self, now: Instant) {
        let settings = self.scheduler.settings.balance;
        let pause = Duration::from_secs(60 * u64::from(settings.interval));
        let policy = self.scheduler.settings.policy;
        if !settings.enabled || now < self.scheduler.considered + pause {
            return;
        }
        let (mut overloaded, mut whole) = (false, 0);
        for ((id, _), isolated) in self.scheduler.cores.iter().zip(&self.scheduler.plan.isolated) {
            let Some(history) = self.scheduler.workers.get(id).filter(|_| !isolated) else { continue };
            let intervals = history.intervals().map(|[busy, idle]| (busy, busy + idle));
            overloaded |= balance::is_overloaded(intervals, settings.load);
            whole = whole.max(history.sum(KEPT).map_or(0, |[busy, idle]| busy + idle));
        }
        if !overloaded {
            return;
        }
        self.scheduler.considered = now;
        let nothing = "PMD auto load balance nothing to do";
        if std::mem::replace(&mut self.scheduler.idle, true) {
            return log::debug!(target: "dpif_netdev", "{nothing}, no configuration changes since last check.");
        }
        if policy == datapath::schedule::Policy::RoundRobin {
            let why = "pmd-rxq-assign=roundrobin assignment type configured";
            return log::debug!(target: "dpif_netdev", "{nothing}, {why}.");
        }
        if !balance::is_possible(&self.scheduler.plan, policy) {
            return log::debug!(target: "dpif_netdev", "{nothing}, not enough non-isolated PMDs or RxQs.");
        }
        self.scheduler.idle = false;
        log::debug!(target: "dpif_netdev", "PMD auto load balance performing dry run.");
        let queues = self.rx_queues();
        let (cores, list) = lists(&self.scheduler.cores, &queues);
        if balance::is_across_nodes(&cores, &list, &self.scheduler.plan) {
            let why = "detected cross-numa polling with multiple numa nodes. Unable to accurately estimate";
            return log::debug!(target: "dpif_netdev", "PMD auto load balance {why}.");
        }
        let run = balance::dry_run(&cores, &list, &self.scheduler.plan, policy, self.isolates(), whole);
        let balance::DryRun { current, estimate, improvement } = run;
        log::info!(
            target: "dpif_netdev",
            "PMD auto load balance dry run: variance of loads {current}, estimated {estimate}, improvement {improvement}%, \
             threshold {}%.", settings.improvement
        );
        log::debug!(target: "dpif_netdev", "PMD auto load balance: Variance improvement {improvement}%.");
        if improvement >= u64::from(settings.improvement) {
            log::info!(target: "dpif_netdev", "PMD auto load balance: queues are assigned anew.");
            self.assign();
        }
    }

    /// Changes `other_config` while running.
    ///
    /// # Errors
    /// What is wrong with it; then nothing changed.
    pub(super) fn set_other_config(&mut self, map: Map) -> Result<(), String> {
        let settings = Datapath::parse(&map)?;
        let before = self.scheduler.settings.clone();
        let mut config = self.config.clone();
        config.other_config = map;
        let available = super::cores_of(&config);
        let cores = config.worker_cores(&available);
        if let Some(missing) = cores.iter().find(|core| !available.contains(core)) {
            return Err(format!("core {missing} is not among the cores that may be used: {available:?}"));
        }
        self.set_workers(&cores)?;
        self.config = config;
        if settings.policy != before.policy {
            let policy = settings.policy.name();
            log::info!(target: "dpif_netdev", "Rxq to PMD assignment mode changed to: '{policy}'.");
        }
        self.scheduler.max_sleep.store(settings.max_sleep, Relaxed);
        self.scheduler.settings = settings;
        self.announce();
        self.assign_telling(self.scheduler.settings.policy != before.policy);
        Ok(())
    }

    /// Says what the settings are, when there is a bridge and each time that they are others, and what does not fit together.
    pub(super) fn announce(&mut self) {
        if self.manager.snapshot().bridges.iter().flatten().next().is_none() {
            return;
        }
        let said = self.scheduler.announced.replace(self.scheduler.settings.clone());
        let s = &self.scheduler.settings;
        let is_new = |of: fn(&Datapath) -> u32| said.as_ref().map(of) != Some(of(s));
        if s.shared && self.isolates() && is_new(|s| u32::from(s.shared)) {
            log::warn!(target: "dpif_netdev", "pmd-rxq-isolate can only be set false when using pmd-rxq-assign=group");
        }
        let b = s.balance;
        if is_new(|s| s.balance.interval) {
            log::info!(target: "dpif_netdev", "PMD auto load balance interval set to {} mins", b.interval);
        }
        if is_new(|s| s.balance.improvement) {
            log::info!(target: "dpif_netdev", "PMD auto load balance improvement threshold set to {}%", b.improvement);
        }
        if is_new(|s| s.balance.load) {
            log::info!(target: "dpif_netdev", "PMD auto load balance load threshold set to {}%", b.load);
        }
        if is_new(|s| u32::from(s.balance.enabled)) {
            let is = if b.enabled { "enabled" } else { "disabled" };
            log::info!(target: "dpif_netdev", "PMD auto load balance is {is}.");
        }
        if is_new(|s| s.max_sleep) {
            let are = if s.max_sleep == 0 { "disabled" } else { "enabled" };
            log::info!(target: "dpif_netdev", "PMD max sleep request is {} usecs.", s.max_sleep);
            log::info!(target: "dpif_netdev", "PMD load based sleeps are {are}.");
        }
    }

    /// Has workers on exactly these cores: new ones start at once, others go when their queues are elsewhere.
    fn set_workers(&mut self, cores: &[usize]) -> Result<(), String> {
        let now: Vec<(WorkerId, usize)> = self.cores().into_iter().map(|(id, core)| (id, core.number)).collect();
        if now.is_empty() != cores.is_empty() && self.config.dummy.is_none() {
            return Err(
                "polling workers cannot be had while running where there were none, nor all be taken away".into()
            );
        }
        let added: Vec<usize> = cores.iter().copied().filter(|c| now.iter().all(|(_, have)| have != c)).collect();
        for core in &added {
            let name = format!("worker{core}");
            if self.threads.iter().any(|t| t.name == name) {
                return Err(format!("the worker of core {core} is still on its way out; ask again"));
            }
        }
        for core in added {
            let (_, worker) = self.control.add_worker(&format!("worker{core}"), true).map_err(|e| e.to_string())?;
            self.start_worker(worker, Some(core)).map_err(|e| format!("starting a worker thread: {e}"))?;
            let node = self.scheduler.node(core);
            log::info!(target: "dpif_netdev", "PMD thread on numa_id: {node}, core id: {core:2} created.");
        }
        for (id, _) in now.iter().filter(|(_, core)| !cores.contains(core)) {
            self.control.retire(*id);
        }
        self.opener.set_fast(cores.len());
        if now.iter().map(|(_, core)| *core).ne(cores.iter().copied()) {
            let mut by_node = BTreeMap::<u32, usize>::new();
            for core in cores {
                *by_node.entry(self.scheduler.node(*core)).or_default() += 1;
            }
            for (node, n) in by_node {
                log::info!(target: "dpif_netdev", "There are {n} pmd threads on numa node {node}");
            }
        }
        self.assign();
        Ok(())
    }

    /// Whether no polling worker is on its way out.
    pub(super) fn workers_are_settled(&self) -> bool {
        let stays = |name: &str| self.control.fast().any(|(_, fast)| fast == name);
        self.threads.iter().filter(|t| t.core.is_some()).all(|t| stays(&t.name))
    }

    /// Has polling workers in deterministic mode: unless somebody chose cores, one for each memory node.
    ///
    /// # Errors
    /// They cannot be had.
    pub(super) fn poll_something(&mut self) -> Result<(), String> {
        if self.control.fast().next().is_some() {
            return Ok(());
        }
        let mut firsts = BTreeMap::new();
        for core in super::cores_of(&self.config) {
            firsts.entry(self.scheduler.node(core)).or_insert(core);
        }
        let mut cores: Vec<usize> = firsts.into_values().collect();
        cores.sort_unstable();
        self.config.cpu.workers = crate::config::Workers::Cores(cores.clone());
        self.set_workers(&cores)
    }

    /// The thread of a worker that retired ends.
    pub(super) fn retired(&mut self, id: WorkerId) {
        let Some(name) = self.control.workers().find(|w| w.0 == id).map(|(_, name, _)| name.to_owned()) else { return };
        let Some(at) = self.threads.iter().position(|t| t.name == name) else { return };
        let thread = self.threads.remove(at);
        let core = thread.core.unwrap_or(0);
        thread.stop();
        let node = self.scheduler.node(core);
        log::info!(target: "dpif_netdev", "PMD thread on numa_id: {node}, core id: {core:2} destroyed.");
    }
}

fn lists(cores: &[(WorkerId, Core)], queues: &[((PortNo, u32), Queue, Option<WorkerId>)]) -> (Vec<Core>, Vec<Queue>) {
    (cores.iter().map(|(_, core)| *core).collect(), queues.iter().map(|(_, queue, _)| *queue).collect())
}

/// The pins of a port's `other_config`, which was checked when it was read.
pub(super) fn pins(port: &crate::config::Port) -> BTreeMap<u32, usize> {
    port.other_config.get("pmd-rxq-affinity").and_then(|text| affinity(text).ok()).unwrap_or_default()
}
