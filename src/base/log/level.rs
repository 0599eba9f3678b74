//! Levels, destinations, and which module logs how much to where.

use std::collections::BTreeMap;
use std::fmt::Write;

/// How severe a message is, and as a setting: the least severe that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// As a setting: nothing passes.
    Off,
    /// The program cannot go on.
    Emer,
    /// Something failed.
    Err,
    /// Something looks wrong.
    Warn,
    /// Something happened.
    Info,
    /// For developers.
    Dbg,
}

impl Level {
    /// All, least talkative first.
    pub const ALL: [Self; 6] = [Self::Off, Self::Emer, Self::Err, Self::Warn, Self::Info, Self::Dbg];

    /// As written in lines and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Emer => "EMER",
            Self::Err => "ERR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Dbg => "DBG",
        }
    }

    /// By name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// Severity of RFC 5424, section 6.2.1; what is ordinary is a notice, as in the stock programs.
    pub(super) const fn severity(self) -> u8 {
        match self {
            Self::Off | Self::Emer => 1,
            Self::Err => 3,
            Self::Warn => 4,
            Self::Info => 5,
            Self::Dbg => 7,
        }
    }

    /// The setting of the `log` crate that lets it through.
    pub(super) const fn filter(self) -> log::LevelFilter {
        match self {
            Self::Off | Self::Emer => log::LevelFilter::Off,
            Self::Err => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Dbg => log::LevelFilter::Trace,
        }
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Error => Self::Err,
            log::Level::Warn => Self::Warn,
            log::Level::Info => Self::Info,
            log::Level::Debug | log::Level::Trace => Self::Dbg,
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Destination {
    /// The system log's socket.
    Syslog,
    /// Standard error.
    Console,
    /// The log file.
    File,
}

impl Destination {
    /// All, in the order in which patterns are listed.
    pub const ALL: [Self; 3] = [Self::Syslog, Self::Console, Self::File];

    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::Console => "console",
            Self::File => "file",
        }
    }

    /// By name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|to| to.name().eq_ignore_ascii_case(name))
    }
}

/// A level per destination, indexed by `Destination as usize`.
pub(super) type PerDestination = [Level; Destination::ALL.len()];

/// The levels of every module.
#[derive(Debug)]
pub(super) struct Levels {
    /// Of modules not heard of yet.
    defaults: PerDestination,
    modules: BTreeMap<String, PerDestination>,
}

impl Levels {
    pub(super) fn new(defaults: PerDestination) -> Self {
        Self { defaults, modules: BTreeMap::from([("vlog".to_owned(), defaults)]) }
    }

    pub(super) fn declare(&mut self, module: &str) {
        if !self.knows(module) {
            self.modules.insert(module.to_owned(), self.defaults);
        }
    }

    pub(super) fn knows(&self, module: &str) -> bool {
        self.modules.contains_key(module)
    }

    pub(super) fn of(&self, module: &str) -> PerDestination {
        self.modules.get(module).copied().unwrap_or(self.defaults)
    }

    /// Sets one module or all, one destination or all. Names of modules in any case.
    pub(super) fn set(&mut self, module: Option<&str>, destination: Option<Destination>, level: Level) {
        let apply = |levels: &mut PerDestination| match destination {
            Some(to) => levels[to as usize] = level,
            None => levels.fill(level),
        };
        match module {
            None => {
                apply(&mut self.defaults);
                self.modules.values_mut().for_each(apply);
            }
            Some(name) => {
                let same = self.modules.iter_mut().filter(|(known, _)| known.eq_ignore_ascii_case(name));
                same.for_each(|(_, levels)| apply(levels));
            }
        }
    }

    /// The most talkative setting of all.
    pub(super) fn highest(&self) -> Level {
        let all = self.modules.values().chain([&self.defaults]).flatten();
        all.copied().max().unwrap_or(Level::Off)
    }

    pub(super) fn list(&self) -> String {
        let mut text = String::from("                 console    syslog    file\n");
        text.push_str("                 -------    ------    ------\n");
        for (module, levels) in &self.modules {
            let [console, syslog, file] =
                [Destination::Console, Destination::Syslog, Destination::File].map(|to| levels[to as usize].name());
            // writing to a String cannot fail
            let _ = writeln!(text, "{module:<16}  {console:>4}       {syslog:>4}       {file:>4}");
        }
        text
    }
}
