//! Starts DPDK's environment abstraction layer once per process, and ends it.
//!
//! `rte_eal_init` pins the thread that calls it to one CPU, and `rte_eal_cleanup` wants the same thread. So both run on
//! a thread of their own, which is parked in between.

mod config;
#[expect(unsafe_code, reason = "tries to map a huge page")]
mod huge;

pub use config::{EalConfig, Huge};
pub use huge::{HugePages, free_pages};

use crate::logging;
use crate::pool::Graveyard;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

/// Why DPDK did not start.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    /// It was started before in this process, perhaps ended since.
    #[error("DPDK was started before in this process, which can be done once only")]
    Started,
    /// A setting makes no argument.
    #[error("DPDK setting {argument}: {reason}")]
    Argument {
        /// The setting, as in [`EalConfig`].
        argument: String,
        /// What is wrong with it.
        reason: String,
    },
    /// DPDK refused.
    #[error("DPDK did not start with arguments \"{arguments}\": {reason}")]
    Init {
        /// The command line that was given to DPDK.
        arguments: String,
        /// Its error, and what it logged.
        reason: String,
    },
    /// The thread for DPDK could not be made.
    #[error("cannot start the thread for DPDK: {0}")]
    Thread(#[from] std::io::Error),
}

static STARTED: AtomicBool = AtomicBool::new(false);

/// Holds DPDK up. Clones hold it too; when the last goes, DPDK is shut down.
#[derive(Clone)]
pub struct Eal(Arc<Inner>);

struct Inner {
    huge: bool,
    arguments: String,
    /// Says how to end; the parked thread waits for it.
    end: mpsc::Sender<End>,
    thread: Mutex<Option<JoinHandle<()>>>,
    graveyard: Graveyard,
    /// Ports in use by number, with the devargs they were attached by.
    ports: Mutex<BTreeMap<u16, String>>,
}

enum End {
    CleanUp,
    /// Frames are still about: leave the memory that they are in to the end of the process.
    LeaveMemory,
}

impl Eal {
    /// Starts DPDK. Once per process, whatever comes of it: DPDK cannot start twice.
    pub fn start(config: &EalConfig) -> Result<Eal, EalError> {
        config.check()?;
        let huge = config.use_huge()?;
        let argv = config.arguments(huge);
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::Started);
        }
        let arguments = argv[1..].join(" ");
        log::info!(target: "dpdk", "{} starts with {arguments}", crate::version());
        logging::open(config.dpdk_log_level());
        let complaints = logging::Complaints::begin_anywhere();

        let (end, ended) = mpsc::channel();
        let (report, reported) = mpsc::channel();
        let level = config.dpdk_log_level();
        let thread = std::thread::Builder::new().name("dpdk-eal".into()).spawn(move || {
            let result = init::init(argv);
            // newer releases choose their own stream while they start
            logging::open(level);
            let up = result.is_ok();
            let _ = report.send(result);
            if up && matches!(ended.recv(), Ok(End::CleanUp)) {
                init::cleanup();
            }
        })?;
        match reported.recv() {
            Ok(Ok(())) => {}
            Ok(Err(errno)) => return Err(EalError::Init { arguments, reason: complaints.explain(errno) }),
            Err(_) => return Err(EalError::Init { arguments, reason: complaints.explain("its thread died") }),
        }
        crate::mbuf::register();
        Ok(Eal(Arc::new(Inner {
            huge,
            arguments,
            end,
            thread: Mutex::new(Some(thread)),
            graveyard: Graveyard::default(),
            ports: Mutex::default(),
        })))
    }

    /// Whether memory is in huge pages.
    pub fn has_huge_pages(&self) -> bool {
        self.0.huge
    }

    /// The command line given to DPDK.
    pub fn arguments(&self) -> &str {
        &self.0.arguments
    }

    /// Frees pools that were let go and whose frames are back by now. Done by itself when ports and pools come and go.
    pub fn sweep(&self) {
        self.0.graveyard.sweep();
    }

    /// Pools that were let go but still have frames out.
    pub fn lingering_pools(&self) -> usize {
        self.0.graveyard.len()
    }

    pub(crate) fn graveyard(&self) -> &Graveyard {
        &self.0.graveyard
    }

    /// Also the lock for attaching and detaching, which DPDK wants one at a time.
    pub(crate) fn ports(&self) -> MutexGuard<'_, BTreeMap<u16, String>> {
        self.0.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Eal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eal").field("arguments", &self.0.arguments).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // a pool is freed on the second look; see `Graveyard::sweep`
        self.graveyard.sweep();
        self.graveyard.sweep();
        let end = match self.graveyard.len() {
            0 => End::CleanUp,
            left => {
                log::warn!(target: "dpdk", "{left} pools still have frames out; their memory stays until the process ends");
                End::LeaveMemory
            }
        };
        let _ = self.end.send(end);
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            log::error!(target: "dpdk", "the thread for DPDK died");
        }
    }
}

#[expect(unsafe_code, reason = "starts and ends DPDK")]
mod init {
    use crate::Errno;
    use std::ffi::{CStr, CString, c_char, c_int};
    use std::path::Path;

    /// Arguments are free of NUL bytes: `EalConfig::check` refuses them.
    pub(super) fn init(argv: Vec<String>) -> Result<(), Errno> {
        // DPDK keeps pointers into its command line and may reorder it, so it gets to keep it.
        let mut pointers: Vec<*mut c_char> =
            argv.into_iter().filter_map(|text| CString::new(text).ok()).map(CString::into_raw).collect();
        let count = pointers.len() as c_int;
        pointers.push(std::ptr::null_mut());
        let pointers = pointers.leak();
        // SAFETY: `count` pointers to NUL-terminated texts and a null, all leaked; `Eal::start` calls this once per
        // process.
        let code = unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) };
        if code < 0 { Err(Errno::last()) } else { Ok(()) }
    }

    pub(super) fn cleanup() {
        // SAFETY: the EAL is up; a NUL-terminated text that stays while it is.
        let folder = unsafe { CStr::from_ptr(dpdk_sys::rte_eal_get_runtime_dir()) }.to_string_lossy().into_owned();
        // SAFETY: on the thread that started the EAL, after the last holder of it has gone, and with every pool freed.
        let code = unsafe { dpdk_sys::rte_eal_cleanup() };
        if code != 0 {
            log::warn!(target: "dpdk", "clean-up failed: {}", Errno::from_negative(code));
        }
        // DPDK leaves its folders behind. Only empty ones can be removed so: nobody else's, and not those of a crash.
        let folder = Path::new(&folder);
        for folder in [Some(folder), folder.parent()].into_iter().flatten() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
