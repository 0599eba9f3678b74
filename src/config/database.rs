//! `[database]`: where the switch's configuration is kept, and what settings of the database say of the appliance.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Config, Datapath, Enable, Map};

/// The database of OVSDB that the switch is configured by.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Database {
    /// The file of the embedded server; made, with the bridges of the configuration file, when it is missing.
    pub file: PathBuf,
    /// Another server's remotes, in place of the embedded one.
    pub remotes: Vec<String>,
    /// Of a cluster, whether any member will do.
    pub any_member: bool,
    /// Certificate chain and key, in PEM, by which `ssl:` remotes know this switch.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// Certificates of those who sign the servers' certificates, in PEM.
    pub tls_ca: Option<PathBuf>,
    /// Without anything to poll for when the switch starts, there are no polling workers.
    #[serde(skip)]
    pub polls_when_needed: bool,
}

impl Default for Database {
    fn default() -> Self {
        Database {
            file: PathBuf::from("/var/lib/ironbridge/conf.db"),
            remotes: Vec::new(),
            any_member: false,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            polls_when_needed: false,
        }
    }
}

impl Database {
    /// Whether a text names a server.
    pub fn is_remote(text: &str) -> bool {
        matches!(text.split_once(':'), Some(("unix" | "tcp" | "ssl", rest)) if !rest.is_empty())
    }
}

/// Keys of Open_vSwitch:other_config beside [`Datapath`]'s that are done while running, or when the switch starts.
const KEYS: [&str; 14] = [
    "bundle-idle-timeout",
    "dpdk-extra",
    "dpdk-init",
    "dpdk-lcore-mask",
    "dpdk-socket-mem",
    "flow-limit",
    "max-idle",
    "stats-update-interval",
    "userspace-tso-enable",
    "vhost-iommu-support",
    "vhost-postcopy-support",
    "vhost-sock-dir",
    "vlan-limit",
    // memory is taken when it is needed
    "dpdk-alloc-mem",
];

/// Keys that name means of the stock switch which this one does not need: what they are for is done all the same.
const NEEDLESS: [&str; 11] = [
    "emc-insert-inv-prob",
    "max-revalidator",
    "min-revalidate-pps",
    "n-handler-threads",
    "n-offload-threads",
    "n-revalidator-threads",
    "offload-rebalance",
    "per-port-memory",
    "shared-mempool-config",
    "smc-enable",
    "tx-flush-interval",
];

/// Settings of the running switch that are not [`Datapath`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub datapath: Map,
    pub flow_limit: u32,
    pub max_idle: u32,
    /// Tags of a packet that are looked at, 0 being as many as can be.
    pub vlan_limit: u8,
    /// Milliseconds between two updates of statistics.
    pub stats_interval: u64,
    /// Seconds after which a bundle of OpenFlow is given up that nothing is heard of.
    pub bundle_idle: u64,
    /// Values that cannot be, in words; their keys have no effect.
    pub wrong: Vec<String>,
    /// Numbers out of their range, in words; what is taken instead is what the stock switch takes without a word.
    pub bent: Vec<String>,
}

/// Whether a key of Open_vSwitch:other_config has its effect.
pub fn knows(key: &str) -> bool {
    Datapath::knows(key) || KEYS.contains(&key) || NEEDLESS.contains(&key)
}

impl Config {
    /// What Open_vSwitch:other_config makes of the running switch; this configuration where it says nothing.
    pub fn running(&self, map: &Map) -> Running {
        let mut out = Running {
            datapath: self.other_config.clone(),
            flow_limit: self.limits.flow_limit,
            max_idle: self.limits.max_idle,
            vlan_limit: 1,
            stats_interval: 5000,
            bundle_idle: 10,
            wrong: Vec::new(),
            bent: Vec::new(),
        };
        for (key, value) in map {
            let number = |least: u32| value.parse::<u32>().ok().filter(|n| *n >= least);
            let done = match key.as_str() {
                "flow-limit" => number(1).map(|n| out.flow_limit = n),
                // 500 ms at the least, as the stock switch has it
                "max-idle" => number(500).map(|n| out.max_idle = n),
                "vlan-limit" => number(0).map(|n| out.vlan_limit = u8::try_from(n).unwrap_or(u8::MAX)),
                "bundle-idle-timeout" => number(1).map(|n| out.bundle_idle = n.into()),
                "stats-update-interval" => number(0).map(|n| out.stats_interval = u64::from(n.max(5000))),
                key if Datapath::bends(key, value).is_some() => {
                    let taken = Datapath::bends(key, value).flatten();
                    let words = taken.as_deref().unwrap_or("the default");
                    out.bent.push(format!(
                        "Open_vSwitch: other_config:{key} is \"{value}\", out of range: {words} is taken"
                    ));
                    match taken {
                        Some(taken) => drop(out.datapath.insert(key.to_owned(), taken)),
                        None => drop(out.datapath.remove(key)),
                    }
                    Some(())
                }
                key if Datapath::knows(key) => {
                    let one = Map::from([(key.to_owned(), value.clone())]);
                    Datapath::parse(&one).map(|_| drop(out.datapath.insert(key.to_owned(), value.clone()))).ok()
                }
                _ => Some(()),
            };
            if done.is_none() {
                out.wrong.push(format!("Open_vSwitch: other_config:{key} is \"{value}\", which cannot be"));
            }
        }
        out
    }

    /// Takes over what Open_vSwitch:other_config says of the start of the switch. Says what of it cannot be.
    pub fn adopt(&mut self, map: &Map) -> Vec<String> {
        let mut wrong = Vec::new();
        let flag = |key: &str| map.get(key).map(|v| v == "true");
        match map.get("dpdk-init").map(String::as_str) {
            Some("true" | "try") => self.dpdk.enable = Enable::Yes,
            Some("false") | None => {}
            Some(other) => wrong.push(format!("dpdk-init is \"{other}\", expected true, false or try")),
        }
        if let Some(text) = map.get("dpdk-socket-mem") {
            match text.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>() {
                Ok(nodes) if nodes.iter().sum::<u32>() != 0 => {
                    self.dpdk.socket_mem = nodes.iter().sum();
                    self.dpdk.socket_mem_nodes = nodes;
                }
                _ => wrong.push(format!("dpdk-socket-mem is \"{text}\", expected megabytes for each memory node")),
            }
        }
        if let Some(text) = map.get("dpdk-lcore-mask") {
            // where the stock switch has what is no polling worker; of several cores the first
            match super::datapath::cores(text).and_then(|cores| cores.first().copied()) {
                Some(core) => self.cpu.management = Some(core),
                None => wrong.push(format!("dpdk-lcore-mask is \"{text}\", expected hexadecimal digits")),
            }
        }
        if let Some(text) = map.get("dpdk-extra") {
            self.dpdk.extra.extend(text.split_whitespace().map(str::to_owned));
        }
        if let Some(folder) = map.get("vhost-sock-dir") {
            self.dpdk.vhost_sock_dir = PathBuf::from(folder.trim_start_matches('/'));
        }
        for (key, target) in [
            ("vhost-iommu-support", &mut self.dpdk.vhost_iommu_support),
            ("vhost-postcopy-support", &mut self.dpdk.vhost_postcopy_support),
            ("userspace-tso-enable", &mut self.dpdk.userspace_tso_enable),
        ] {
            *target = flag(key).unwrap_or(*target);
        }
        let running = self.running(map);
        self.other_config = running.datapath;
        self.limits.flow_limit = running.flow_limit;
        self.limits.max_idle = running.max_idle;
        wrong.into_iter().map(|w| format!("Open_vSwitch: other_config:{w}")).chain(running.wrong).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn settings_of_the_database_go_before_those_of_the_file() {
        let other_config = map(&[("pmd-rxq-assign", "group"), ("pmd-maxsleep", "5")]);
        let config = Config { other_config, ..Config::default() };
        let said = map(&[
            ("pmd-rxq-assign", "cycles"),
            ("pmd-cpu-mask", "0"),
            ("max-idle", "30000"),
            ("flow-limit", "x"),
            ("vlan-limit", "0"),
            ("stats-update-interval", "1"),
            ("n-handler-threads", "3"),
        ]);
        let r = config.running(&said);
        assert_eq!(r.datapath, map(&[("pmd-rxq-assign", "cycles"), ("pmd-maxsleep", "5")]));
        assert_eq!((r.flow_limit, r.max_idle, r.vlan_limit, r.stats_interval), (200_000, 30_000, 0, 5000));
        assert_eq!(r.wrong.len(), 2, "{:?}", r.wrong);
        let without = config.running(&Map::new());
        assert_eq!((without.datapath, without.vlan_limit), (config.other_config, 1));
    }

    #[test]
    fn what_is_said_of_the_start() {
        let mut config = Config::default();
        let wrong = config.adopt(&map(&[
            ("dpdk-init", "true"),
            ("dpdk-socket-mem", "512,256"),
            ("dpdk-extra", "--log-level=7  -v"),
            ("vhost-sock-dir", "/guests"),
            ("userspace-tso-enable", "true"),
            ("pmd-maxsleep", "7"),
            ("max-idle", "600"),
        ]));
        assert_eq!(wrong, Vec::<String>::new());
        let d = &config.dpdk;
        assert_eq!((d.enable, d.socket_mem, &d.socket_mem_nodes[..]), (Enable::Yes, 768, &[512, 256][..]));
        assert_eq!((&d.extra[..], d.userspace_tso_enable), (&["--log-level=7".to_owned(), "-v".to_owned()][..], true));
        assert_eq!(d.vhost_sock_dir, PathBuf::from("guests"));
        assert_eq!((config.other_config["pmd-maxsleep"].as_str(), config.limits.max_idle), ("7", 600));
        let wrong = config.adopt(&map(&[("dpdk-init", "maybe"), ("dpdk-socket-mem", "many")]));
        assert_eq!((wrong.len(), config.dpdk.enable), (2, Enable::Yes));
    }

    #[test]
    fn keys_and_remotes() {
        assert!(knows("pmd-cpu-mask") && knows("max-idle") && knows("smc-enable") && !knows("magic"));
        assert!(Database::is_remote("unix:/run/db.sock") && Database::is_remote("ssl:10.0.0.1:6640"));
        assert!(!Database::is_remote("punix:/run/db.sock") && !Database::is_remote("unix:"));
    }
}
