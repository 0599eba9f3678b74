//! `other_config`: settings of the datapath in the words of table Open_vSwitch of ovs-vswitchd.conf.db(5), as text until
//! here and as values from here on.

use std::collections::BTreeMap;

use datapath::schedule::{Policy, balance};

use super::Map;

/// What `other_config` says, with defaults for what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datapath {
    /// Cores of polling workers (`pmd-cpu-mask`); None: `cpu.workers` says.
    pub cores: Option<Vec<usize>>,
    /// `pmd-rxq-assign`.
    pub policy: Policy,
    /// `pmd-rxq-isolate = "false"`: cores with pinned queues get others too.
    pub shared: bool,
    /// `pmd-auto-lb` and its thresholds.
    pub balance: balance::Settings,
    /// The longest sleep of an idle worker, microseconds (`pmd-maxsleep`).
    pub max_sleep: u32,
}

/// Keys, with what they may be.
const KEYS: &[(&str, &str)] = &[
    ("hw-offload", "\"false\": offload to hardware (rte_flow) is not there yet"),
    ("pmd-auto-lb", "\"true\" or \"false\""),
    ("pmd-auto-lb-improvement-threshold", "0 to 100 percent"),
    ("pmd-auto-lb-load-threshold", "0 to 100 percent"),
    ("pmd-auto-lb-rebal-interval", "0 to 20000 minutes"),
    ("pmd-cpu-mask", "a mask of cores in hexadecimal digits, such as \"0x6\""),
    ("pmd-maxsleep", "0 to 10000 microseconds"),
    ("pmd-perf-metrics", "\"true\" or \"false\""),
    ("pmd-rxq-assign", "\"cycles\", \"group\" or \"roundrobin\""),
    ("pmd-rxq-isolate", "\"true\" or \"false\""),
    ("pmd-sleep-max", "0 to 10000 microseconds"),
];

impl Datapath {
    /// Reads the map.
    ///
    /// # Errors
    /// Key, value and what was expected.
    pub fn parse(map: &Map) -> Result<Datapath, String> {
        let mut out = Datapath::default();
        for (key, value) in map {
            let Some((_, wanted)) = KEYS.iter().find(|(k, _)| k == key) else {
                let known: Vec<&str> = KEYS.iter().map(|(k, _)| *k).collect();
                return Err(format!("unknown key \"{key}\", expected one of {}", known.join(", ")));
            };
            out.set(key, value).ok_or_else(|| format!("{key} is \"{value}\", expected {wanted}"))?;
        }
        Ok(out)
    }

    /// What the stock switch takes in place of a number that is out of range: a value, or the default (`Some(None)`). None
    /// where the number will do, or nothing is taken for it.
    pub fn bends(key: &str, value: &str) -> Option<Option<String>> {
        let n = value.parse::<i64>().ok()?;
        match key {
            "pmd-auto-lb-improvement-threshold" | "pmd-auto-lb-load-threshold" => {
                (!(0..=100).contains(&n)).then_some(None)
            }
            "pmd-auto-lb-rebal-interval" => (!(0..=20_000).contains(&n)).then_some(None),
            "pmd-maxsleep" | "pmd-sleep-max" => (n > 10_000).then(|| Some("10000".to_owned())),
            _ => None,
        }
    }

    /// Whether there is such a key.
    pub fn knows(key: &str) -> bool {
        KEYS.iter().any(|(k, _)| *k == key)
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let flag = || value.parse::<bool>().ok();
        let number = |most: u32| value.parse::<u32>().ok().filter(|n| *n <= most);
        match key {
            // recorded in any case: it costs nothing that could be measured
            "pmd-perf-metrics" => drop(flag()?),
            "hw-offload" => return (value == "false").then_some(()),
            "pmd-auto-lb" => self.balance.enabled = flag()?,
            "pmd-auto-lb-improvement-threshold" => self.balance.improvement = number(100)?,
            "pmd-auto-lb-load-threshold" => self.balance.load = number(100)?,
            // 0 is the default
            "pmd-auto-lb-rebal-interval" => self.balance.interval = number(20_000)?.max(1),
            "pmd-cpu-mask" => self.cores = Some(cores(value)?),
            "pmd-maxsleep" | "pmd-sleep-max" => self.max_sleep = number(10_000)?,
            "pmd-rxq-assign" => self.policy = Policy::named(value)?,
            "pmd-rxq-isolate" => self.shared = !flag()?,
            _ => return None,
        }
        Some(())
    }
}

/// The cores of a mask in hexadecimal digits, lowest first; None for what is none, and for the empty mask.
pub(super) fn cores(mask: &str) -> Option<Vec<usize>> {
    let digits = mask.strip_prefix("0x").or_else(|| mask.strip_prefix("0X")).unwrap_or(mask);
    // 1,024 cores are what the kernel's own masks have
    let digits: Vec<u32> =
        digits.chars().map(|c| c.to_digit(16)).collect::<Option<_>>().filter(|d: &Vec<_>| d.len() <= 256)?;
    let bits =
        digits.iter().rev().enumerate().flat_map(|(i, digit)| (0..4).map(move |bit| (4 * i + bit, digit >> bit & 1)));
    let cores: Vec<usize> = bits.filter(|(_, set)| *set == 1).map(|(core, _)| core).collect();
    (!cores.is_empty()).then_some(cores)
}

/// `pmd-rxq-affinity`: cores by queue, of a list such as `"0:3,1:7"`. The last of two pairs of one queue counts.
///
/// # Errors
/// The pair, and what was expected.
pub fn affinity(text: &str) -> Result<BTreeMap<u32, usize>, String> {
    let pairs = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    let pair = |p: &str| {
        let (queue, core) = p.split_once(':')?;
        Some((queue.trim().parse().ok()?, core.trim().parse().ok()?))
    };
    pairs.map(|p| pair(p).ok_or_else(|| format!("has \"{p}\", expected QUEUE:CORE"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Datapath, String> {
        Datapath::parse(&pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn values() {
        assert_eq!(parse(&[]), Ok(Datapath::default()));
        let d = parse(&[
            ("pmd-cpu-mask", "0x8000000000000000a"),
            ("pmd-rxq-assign", "group"),
            ("pmd-rxq-isolate", "false"),
            ("pmd-auto-lb", "true"),
            ("pmd-auto-lb-load-threshold", "70"),
            ("pmd-auto-lb-rebal-interval", "0"),
            ("pmd-maxsleep", "500"),
            ("hw-offload", "false"),
        ]);
        let balance = balance::Settings { enabled: true, load: 70, ..balance::Settings::default() };
        let wanted =
            Datapath { cores: Some(vec![1, 3, 67]), policy: Policy::Group, shared: true, balance, max_sleep: 500 };
        assert_eq!(d, Ok(wanted));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value) in [
            ("pmd-cpu-mask", "0xg"),
            ("pmd-cpu-mask", "0"),
            ("pmd-rxq-assign", "best"),
            ("pmd-auto-lb-load-threshold", "101"),
            ("pmd-maxsleep", "10001"),
            ("pmd-sleep-max", "-1"),
            ("pmd-auto-lb", "yes"),
            ("hw-offload", "true"),
        ] {
            let error = parse(&[(key, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{key} is \"{value}\", expected ")), "{error}");
        }
        assert!(parse(&[("pmd-cpu", "1")]).unwrap_err().contains("pmd-cpu-mask"));
        assert!(parse(&[("hw-offload", "true")]).unwrap_err().contains("not there yet"));
    }

    #[test]
    fn affinities() {
        assert_eq!(affinity("0:3, 1:7,0:4"), Ok(BTreeMap::from([(0, 4), (1, 7)])));
        assert_eq!(affinity(""), Ok(BTreeMap::new()));
        for bad in ["0", "0:", "a:1", "0:1:2", "1:-1"] {
            assert!(affinity(bad).unwrap_err().contains("QUEUE:CORE"), "{bad}");
        }
    }
}
