//! What every program has: folders of the environment, log options, version, fatal errors.

use crate::options::{Known, Parsed, Takes, option};
use base::clock::Clock;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The release whose behaviour the programs have.
pub const OVS_VERSION: &str = "3.1.0";

/// Options of logging and of every program.
pub const COMMON: [Known; 6] = [
    option("verbose", 'v', Takes::Maybe),
    option("log-file", '\0', Takes::Maybe),
    option("syslog-method", '\0', Takes::Value),
    option("syslog-target", '\0', Takes::Value),
    option("help", 'h', Takes::Nothing),
    option("version", 'V', Takes::Nothing),
];

fn folder(variable: &str, otherwise: &str) -> PathBuf {
    std::env::var_os(variable).filter(|v| !v.is_empty()).map_or_else(|| PathBuf::from(otherwise), PathBuf::from)
}

/// Sockets and pid files.
pub fn run_dir() -> PathBuf {
    folder("OVS_RUNDIR", "/var/run/openvswitch")
}

/// Log files.
pub fn log_dir() -> PathBuf {
    folder("OVS_LOGDIR", "/var/log/openvswitch")
}

/// Databases.
pub fn db_dir() -> PathBuf {
    match std::env::var_os("OVS_DBDIR").filter(|v| !v.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => folder("OVS_SYSCONFDIR", "/etc").join("openvswitch"),
    }
}

/// Schemas.
pub fn data_dir() -> PathBuf {
    folder("OVS_PKGDATADIR", "/usr/share/openvswitch")
}

/// The default database.
pub fn default_db() -> PathBuf {
    db_dir().join("conf.db")
}

/// The default schema.
pub fn default_schema() -> PathBuf {
    data_dir().join("vswitch.ovsschema")
}

/// A path as a program takes it from its user: where it is relative, under the folder of sockets.
pub fn in_run_dir(path: &str) -> PathBuf {
    if path.starts_with('/') { PathBuf::from(path) } else { run_dir().join(path) }
}

/// The same, for a socket that may be in the working folder.
pub fn absolute(path: &Path) -> PathBuf {
    if path.is_absolute() {
        return path.to_path_buf();
    }
    std::env::current_dir().map_or_else(|_| path.to_path_buf(), |dir| dir.join(path))
}

/// Starts the log as the options say, with `console` as the level of standard error where they don't.
pub fn start_log(program: &str, parsed: &Parsed, console: base::log::Level, modules: &[&str]) -> Result<(), String> {
    let mut options = base::log::Options::new(program, Clock::real());
    options.console = console;
    options.modules = modules.iter().map(|&m| m.to_owned()).collect();
    let logger = base::log::init(options);
    for (name, value) in &parsed.options {
        match *name {
            "verbose" => logger.set(value.as_deref().unwrap_or("dbg"))?,
            "log-file" => {
                let file = match value {
                    Some(path) => PathBuf::from(path),
                    None => log_dir().join(format!("{program}.log")),
                };
                logger.open_file(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Prints a fatal error in the form `program: text`.
pub fn fatal(program: &str, text: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{program}: {text}");
    ExitCode::FAILURE
}

/// Prints to standard output; a reader that went away is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// `--version`.
pub fn version(program: &str) -> String {
    format!("{program} (Open vSwitch) {OVS_VERSION}\nIronbridge {}\n", env!("CARGO_PKG_VERSION"))
}

/// Milliseconds since 1970.
pub fn wall_ms() -> i64 {
    let since = Clock::real().wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time in UTC, `YYYY-MM-DD HH:MM:SS.mmm`.
pub fn date(ms: i64) -> String {
    let (days, within) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Howard Hinnant's civil-from-days, with years from March
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (within / 1000, within % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        assert_eq!(super::date(0), "1970-01-01 00:00:00.000");
        assert_eq!(super::date(951_782_399_999), "2000-02-28 23:59:59.999");
        assert_eq!(super::date(951_782_400_000), "2000-02-29 00:00:00.000");
        assert_eq!(super::date(1_795_352_931_728), "2026-11-22 13:08:51.728");
    }
}
