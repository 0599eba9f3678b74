//! Settings of the EAL and the command line that they become.
use super::{EalError, huge};

/// Whether memory is to be in huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Huge {
    /// When there are enough that this process may use; otherwise ordinary memory, said in a warning.
    #[default]
    Auto,
    /// Or fail.
    Yes,
    /// Never. Physical devices that need physical addresses do not work then.
    No,
}

/// Settings of the EAL. `Default` is: private (`in_memory`), huge pages when there are some, no PCI bus left out.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// Huge pages.
    pub huge: Huge,
    /// Megabytes of memory in all: the limit without huge pages, and how much must be free for [`Huge::Auto`].
    pub memory: u32,
    /// Megabytes to take at the start per memory node, with huge pages. Empty: taken when needed.
    pub socket_mem: Vec<u32>,
    /// CPU of the parked thread, hence not of DPDK's interrupt thread, if there is another. None: the first that the
    /// process may use.
    pub main_cpu: Option<usize>,
    /// Distinguishes processes that are not `in_memory`.
    pub file_prefix: Option<String>,
    /// No files in hugetlbfs or /var/run: nothing to clean up, no mount needed, no secondary processes.
    pub in_memory: bool,
    /// Do not look at the PCI bus when starting.
    pub no_pci: bool,
    /// PCI devices to probe when starting, all others being left alone. Empty: devices are probed when ports are
    /// attached, and the ones that are bound to a driver of DPDK when starting.
    pub allow: Vec<String>,
    /// DPDK's telemetry socket under /var/run/dpdk.
    pub telemetry: bool,
    /// Most verbose lines that DPDK hands to the log.
    pub log_level: log::LevelFilter,
    /// Further arguments, last on the command line.
    pub extra: Vec<String>,
}

impl Default for EalConfig {
    fn default() -> Self {
        EalConfig {
            huge: Huge::Auto,
            memory: 512,
            socket_mem: Vec::new(),
            main_cpu: None,
            file_prefix: None,
            in_memory: true,
            no_pci: false,
            allow: Vec::new(),
            telemetry: false,
            log_level: log::LevelFilter::Info,
            extra: Vec::new(),
        }
    }
}

impl EalConfig {
    /// Refuses what would not be understood, or not as meant.
    pub(super) fn check(&self) -> Result<(), EalError> {
        let wrong =
            |argument: &str, reason: &str| Err(EalError::Argument { argument: argument.into(), reason: reason.into() });
        if self.memory == 0 {
            return wrong("memory", "must be at least 1 MB");
        }
        if self.file_prefix.as_deref().is_some_and(|p| p.is_empty() || p.contains(['/', '%', '\0'])) {
            return wrong("file_prefix", "must be a name without '/' and '%'");
        }
        if self.file_prefix.is_some() && self.in_memory {
            return wrong("file_prefix", "has no use with in_memory");
        }
        if let Some(bad) = self.allow.iter().find(|a| a.is_empty() || a.contains([' ', '\0'])) {
            return wrong("allow", &format!("\"{bad}\" is not a PCI address"));
        }
        if !self.allow.is_empty() && self.no_pci {
            return wrong("allow", "contradicts no_pci");
        }
        if let Some(bad) = self.extra.iter().find(|a| a.contains('\0')) {
            return wrong("extra", &format!("{bad:?} contains a NUL byte"));
        }
        if self.extra.iter().any(|a| a == "--") {
            return wrong("extra", "\"--\" ends DPDK's arguments");
        }
        Ok(())
    }

    /// Decides about huge pages; says so when it is for the worse.
    pub(super) fn use_huge(&self) -> Result<bool, EalError> {
        let wanted = if self.socket_mem.is_empty() { self.memory } else { self.socket_mem.iter().sum() };
        let missing = || huge::missing(u64::from(wanted) << 20);
        match self.huge {
            Huge::No => Ok(false),
            Huge::Yes => match missing() {
                None => Ok(true),
                Some(reason) => Err(EalError::Argument { argument: "huge".into(), reason }),
            },
            Huge::Auto => match missing() {
                None => Ok(true),
                Some(reason) => {
                    log::warn!(
                        target: "dpdk",
                        "{reason}; using {} MB of ordinary memory (--no-huge), which is slower and unfit for most physical devices",
                        self.memory
                    );
                    Ok(false)
                }
            },
        }
    }

    /// The command line, program name first.
    pub(super) fn arguments(&self, huge: bool) -> Vec<String> {
        let mut argv = vec!["ironbridge".to_string()];
        let own_lcores = |a: &String| a.starts_with("-l") || a.starts_with("-c") || a.starts_with("--lcores");
        if !self.extra.iter().any(own_lcores) {
            // one lcore: for each further one DPDK would make a thread of its own
            argv.push(format!("--lcores=0@{}", self.main_cpu.unwrap_or_else(first_cpu)));
        }
        if self.in_memory {
            // what --in-memory means where there are no huge pages; 22.11 refuses it together with --no-huge
            argv.push(if huge { "--in-memory" } else { "--no-shconf" }.into());
        } else if let Some(prefix) = &self.file_prefix {
            argv.push(format!("--file-prefix={prefix}"));
        }
        if huge {
            if !self.socket_mem.is_empty() {
                let list: Vec<String> = self.socket_mem.iter().map(u32::to_string).collect();
                argv.push(format!("--socket-mem={}", list.join(",")));
            }
        } else {
            argv.push("--no-huge".into());
            argv.push("-m".into());
            argv.push(self.memory.to_string());
        }
        if self.no_pci {
            argv.push("--no-pci".into());
        }
        argv.extend(self.allow.iter().map(|address| format!("--allow={address}")));
        if !self.telemetry {
            argv.push("--no-telemetry".into());
        }
        argv.extend(self.extra.iter().cloned());
        argv
    }

    /// In DPDK's numbers.
    pub(super) fn dpdk_log_level(&self) -> u32 {
        match self.log_level {
            log::LevelFilter::Off => 1,
            log::LevelFilter::Error => dpdk_sys::IB_LOG_ERR,
            log::LevelFilter::Warn => dpdk_sys::IB_LOG_WARNING,
            log::LevelFilter::Info => dpdk_sys::IB_LOG_INFO,
            log::LevelFilter::Debug | log::LevelFilter::Trace => dpdk_sys::IB_LOG_DEBUG,
        }
    }
}

/// The first CPU that the process may use (proc(5), `Cpus_allowed_list`).
fn first_cpu() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(|list| list.trim().split(['-', ',']).next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line() {
        let config = EalConfig { main_cpu: Some(3), no_pci: true, memory: 64, ..EalConfig::default() };
        assert_eq!(
            config.arguments(false)[1..].join(" "),
            "--lcores=0@3 --no-shconf --no-huge -m 64 --no-pci --no-telemetry"
        );
        let config = EalConfig {
            socket_mem: vec![1024, 0],
            in_memory: false,
            file_prefix: Some("ib".into()),
            allow: vec!["0000:03:00.0".into()],
            telemetry: true,
            extra: vec!["-l".into(), "1".into()],
            ..EalConfig::default()
        };
        assert_eq!(
            config.arguments(true)[1..].join(" "),
            "--file-prefix=ib --socket-mem=1024,0 --allow=0000:03:00.0 -l 1"
        );
    }

    #[test]
    fn refusals_name_the_setting() {
        let refused = |config: EalConfig| config.check().map_err(|e| e.to_string()).err().unwrap_or_default();
        let base = EalConfig::default;
        assert_eq!(refused(EalConfig { memory: 0, ..base() }), "DPDK setting memory: must be at least 1 MB");
        assert!(refused(EalConfig { file_prefix: Some("a/b".into()), ..base() }).contains("file_prefix"));
        assert!(refused(EalConfig { file_prefix: Some("a".into()), ..base() }).contains("in_memory"));
        assert!(refused(EalConfig { allow: vec![String::new()], ..base() }).contains("allow"));
        assert!(refused(EalConfig { allow: vec!["1:0.0".into()], no_pci: true, ..base() }).contains("no_pci"));
        assert!(refused(EalConfig { extra: vec!["a\0b".into()], ..base() }).contains("NUL"));
        assert!(refused(EalConfig { extra: vec!["--".into()], ..base() }).contains("extra"));
        assert_eq!(refused(base()), "");
    }

    #[test]
    fn first_cpu_is_one_of_ours() {
        assert!(first_cpu() < 4096);
    }
}
