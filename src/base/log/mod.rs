//! The backend of the `log` crate: lines, levels and destinations as Open vSwitch's `vlog`, see ovs-appctl(8).
//!
//! A message's module is the first part of its target: `log::info!(target: "bridge", …)` or, by default, the crate's
//! name. Each module has a level for each of three destinations, and each destination a pattern. What a message costs is
//! paid by who logs it; nothing here belongs on a packet's way. Logging never panics and never reports errors to the
//! caller: a line that cannot be written is counted.
//!
//! `log::Error`, `Warn` and `Info` are ERR, WARN and INFO; `Debug` and `Trace` are both DBG; [`Logger::emergency`] is EMER.

mod level;
mod output;
mod pattern;
mod spec;
#[cfg(test)]
mod tests;
mod time;

pub use level::{Destination, Level};

use crate::clock::{Clock, Instant};
use level::Levels;
use output::Sinks;
use pattern::Line;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// How a program logs at first.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program's name, for `%A`.
    pub program: String,
    /// Where the time in the lines comes from.
    pub clock: Clock,
    /// Modules that `vlog/list` shows and `vlog/set` takes before their first message.
    pub modules: Vec<String>,
    /// Level of standard error.
    pub console: Level,
    /// Level of the system log.
    pub syslog: Level,
    /// Level of the log file, if one is opened.
    pub file: Level,
    /// The socket of the system log.
    pub syslog_socket: PathBuf,
}

impl Options {
    /// INFO everywhere, to `/dev/log`, no modules yet.
    pub fn new(program: &str, clock: Clock) -> Self {
        let (console, syslog, file) = (Level::Info, Level::Info, Level::Info);
        let (program, modules, syslog_socket) = (program.to_owned(), Vec::new(), PathBuf::from("/dev/log"));
        Self { program, clock, modules, console, syslog, file, syslog_socket }
    }
}

/// The process's log. Its methods are what the `vlog/*` commands do.
pub struct Logger {
    program: String,
    clock: Clock,
    started: Instant,
    sequence: AtomicU64,
    lost: AtomicU64,
    levels: RwLock<Levels>,
    sinks: Mutex<Sinks>,
    /// Whether it is the one behind the `log` macros, whose global maximum it must keep.
    installed: OnceLock<()>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Makes a logger and puts it behind the `log` macros. The first call decides; later ones return what it made.
pub fn init(options: Options) -> &'static Logger {
    let logger = LOGGER.get_or_init(|| Logger::new(options));
    if ::log::set_logger(logger).is_ok() {
        let _ = logger.installed.set(());
        logger.publish_max_level();
    }
    logger
}

/// The logger that `init` made.
pub fn logger() -> Option<&'static Logger> {
    LOGGER.get()
}

impl Logger {
    /// A logger of its own, behind nothing.
    pub fn new(options: Options) -> Self {
        let mut defaults = [Level::Off; Destination::ALL.len()];
        for (level, to) in [
            (options.console, Destination::Console),
            (options.syslog, Destination::Syslog),
            (options.file, Destination::File),
        ] {
            defaults[to as usize] = level;
        }
        let mut levels = Levels::new(defaults);
        options.modules.iter().for_each(|module| levels.declare(module));
        Self {
            program: options.program,
            started: options.clock.now(),
            clock: options.clock,
            sequence: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            levels: RwLock::new(levels),
            sinks: Mutex::new(Sinks::new(options.syslog_socket)),
            installed: OnceLock::new(),
        }
    }

    /// Makes `modules` known before their first message.
    pub fn declare<'a>(&self, modules: impl IntoIterator<Item = &'a str>) {
        let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        modules.into_iter().for_each(|module| levels.declare(module));
    }

    /// `vlog/set SPEC`. The error is for the user, worded as in Open vSwitch.
    pub fn set(&self, spec: &str) -> Result<(), String> {
        let change = {
            let levels = self.levels.read().unwrap_or_else(PoisonError::into_inner);
            spec::parse(spec, |module| levels.knows(module))?
        };
        match change {
            spec::Change::Level { module, destination, level } => {
                let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
                levels.set(module.as_deref(), destination, level);
            }
            spec::Change::Pattern { destination, pattern } => self.sinks().set_pattern(destination, pattern),
            spec::Change::Facility(facility) => self.sinks().facility = Some(facility),
        }
        self.publish_max_level();
        Ok(())
    }

    /// `vlog/list`.
    pub fn list(&self) -> String {
        self.levels.read().unwrap_or_else(PoisonError::into_inner).list()
    }

    /// `vlog/list-pattern`.
    pub fn list_pattern(&self) -> String {
        self.sinks().list_pattern()
    }

    /// Opens `path` for appending and logs to it from here on, as `--log-file` does. Any other file is closed.
    pub fn open_file(&self, path: &Path) -> io::Result<()> {
        self.sinks().open(path)?;
        self.write("vlog", Level::Info, format_args!("opened log file {}", path.display()));
        Ok(())
    }

    /// `vlog/reopen`: closes the file and opens it by its name, after rotation. Nothing without a file.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(path) = self.sinks().path() else { return Ok(()) };
        self.write("vlog", Level::Info, format_args!("closing log file"));
        self.sinks().close();
        self.open_file(&path)
    }

    /// `vlog/close`: closes the file; its name is kept for `reopen`.
    pub fn close(&self) {
        self.sinks().close();
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Logs at EMER, which the `log` crate does not know.
    pub fn emergency(&self, module: &str, message: fmt::Arguments<'_>) {
        self.write(module, Level::Emer, message);
    }

    /// Whether a message of `level` from `module` goes anywhere.
    pub fn wants(&self, module: &str, level: Level) -> bool {
        let levels = self.levels.read().unwrap_or_else(PoisonError::into_inner);
        levels.of(module).iter().any(|&most| level <= most)
    }

    /// Writes a message to every destination that wants it.
    fn write(&self, module: &str, level: Level, message: fmt::Arguments<'_>) {
        let known = {
            let levels = self.levels.read().unwrap_or_else(PoisonError::into_inner);
            levels.knows(module).then(|| levels.of(module))
        };
        let most = known.unwrap_or_else(|| {
            let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
            levels.declare(module);
            levels.of(module)
        });
        if most.iter().all(|&most| level > most) {
            return;
        }
        // Before any lock: formatting runs the caller's code, which may log.
        let message = message.to_string();
        let message = pattern::clean(&message, pattern::OWN_LINES.contains(&module));
        let thread = std::thread::current();
        let mut sinks = self.sinks();
        let line = Line {
            program: &self.program,
            host: &sinks.host,
            facility: 0,
            level,
            module,
            // under the lock, so that a destination's lines are in order
            sequence: self.sequence.fetch_add(1, Relaxed) + 1,
            wall: self.clock.wall(),
            uptime: self.clock.now().since(self.started),
            thread: thread.name().unwrap_or("main"),
            message: &message,
        };
        let texts = Destination::ALL.map(|to| (level <= most[to as usize]).then(|| sinks.format(to, &line)));
        for (to, text) in Destination::ALL.into_iter().zip(texts) {
            if let Some(text) = text
                && sinks.write(to, text).is_err()
            {
                self.lost.fetch_add(1, Relaxed);
            }
        }
    }

    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the macros what nobody wants, so that they don't ask.
    fn publish_max_level(&self) {
        if self.installed.get().is_some() {
            let levels = self.levels.read().unwrap_or_else(PoisonError::into_inner);
            ::log::set_max_level(levels.highest().filter());
        }
    }
}

/// The module of a target: `datapath` of `datapath::worker`.
fn module_of(target: &str) -> &str {
    target.split_once("::").map_or(target, |(module, _)| module)
}

impl ::log::Log for Logger {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        self.wants(module_of(metadata.target()), metadata.level().into())
    }

    fn log(&self, record: &::log::Record<'_>) {
        self.write(module_of(record.target()), record.level().into(), *record.args());
    }

    fn flush(&self) {}
}
