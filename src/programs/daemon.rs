//! Programs in the background. Rather than to fork, a program starts itself again with the same arguments; the one in front
//! waits until the other says on its standard input, a socket, that it is ready. So there is never a copy of a process with
//! half of its threads.
//!
//! With `--monitor` there is a third between them, which starts the program again when a signal of a programming error
//! ends it.

use crate::options::{Known, Parsed, Takes, option};
use crate::setup;
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// Options of programs that go to the background.
pub const OPTIONS: [Known; 7] = [
    option("detach", '\0', Takes::Nothing),
    option("no-chdir", '\0', Takes::Nothing),
    option("pidfile", '\0', Takes::Maybe),
    option("overwrite-pidfile", '\0', Takes::Nothing),
    option("monitor", '\0', Takes::Nothing),
    option("no-self-confinement", '\0', Takes::Nothing),
    option("user", '\0', Takes::Value),
];

/// What a program that was started again is.
const ROLE: &str = "IRONBRIDGE_DAEMON";
/// Where it keeps what it was told at run time, over a new start.
const STATE: &str = "IRONBRIDGE_DAEMON_STATE";

/// What is kept in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// Standard output and standard error, which others read.
    Output,
    /// Standard output alone.
    Results,
}

/// A program in the background, or not.
#[derive(Debug)]
pub struct Daemon {
    /// Who waits for it.
    waits: bool,
    chdir: bool,
    /// Goes with it.
    _pidfile: Option<PidFile>,
}

/// A file with the number of the process, which goes with it.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _locked: File,
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where the program keeps what it was told at run time; only under `--monitor`.
pub fn state_file() -> Option<PathBuf> {
    std::env::var_os(STATE).map(PathBuf::from)
}

/// Makes a command forget that this is a program in the background.
pub fn forget(command: &mut Command) -> &mut Command {
    command.env_remove(ROLE).env_remove(STATE)
}

fn again(program: &str, role: &str, state: Option<&Path>) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    let mut arguments = std::env::args_os();
    command.arg0(arguments.next().unwrap_or_else(|| program.into())).args(arguments);
    command.env(ROLE, role).stdin(Stdio::from(OwnedFd::from(theirs)));
    if let Some(state) = state {
        command.env(STATE, state);
    }
    Ok((command.spawn()?, ours))
}

/// Waits until the other program is ready. Its exit status when it ends before.
fn wait_ready(child: &mut Child, mut from: UnixStream) -> std::io::Result<Option<std::process::ExitStatus>> {
    let mut byte = [0];
    match from.read(&mut byte) {
        Ok(1) => Ok(None),
        _ => child.wait().map(Some),
    }
}

fn tell_ready() {
    let _ = nix::unistd::write(std::io::stdin().as_fd(), b".");
}

fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    }
}

/// Begins as the options say. `Err` is what this process ends with: it was the one in front, or the monitor.
pub fn start(program: &str, parsed: &Parsed) -> Result<Daemon, ExitCode> {
    let failed = |what: &str, e: &dyn std::fmt::Display| setup::fatal(program, format!("{what}: {e}"));
    let role = std::env::var(ROLE).ok();
    let (detach, monitor) = (parsed.has("detach"), parsed.has("monitor"));
    match role.as_deref() {
        None if detach || monitor => {
            let (mut child, from) =
                again(program, if monitor { "monitor" } else { "daemon" }, None).map_err(|e| failed("fork", &e))?;
            if !detach {
                // a monitor in front: it is one with the program
                return Err(child.wait().map_or(ExitCode::FAILURE, exit_code));
            }
            return Err(match wait_ready(&mut child, from) {
                Ok(None) => ExitCode::SUCCESS,
                Ok(Some(status)) => exit_code(status),
                Err(e) => failed("fork", &e),
            });
        }
        Some("monitor") => return Err(watch(program, parsed)),
        _ => {}
    }
    let waits = role.is_some();
    if waits && detach {
        let _ = nix::unistd::setsid();
    }
    let pidfile = match parsed.options.iter().rev().find(|(name, _)| *name == "pidfile") {
        None => None,
        Some((_, path)) => {
            let path = path.clone().unwrap_or_else(|| format!("{program}.pid"));
            let path = setup::in_run_dir(&path);
            Some(PidFile::make(path, parsed.has("overwrite-pidfile")).map_err(|text| setup::fatal(program, text))?)
        }
    };
    Ok(Daemon { waits, chdir: detach && !parsed.has("no-chdir"), _pidfile: pidfile })
}

/// Starts the program, and again when a programming error ends it.
fn watch(program: &str, parsed: &Parsed) -> ExitCode {
    if parsed.has("detach") {
        let _ = nix::unistd::setsid();
    }
    let state = std::env::temp_dir().join(format!("{program}.{}.state", std::process::id()));
    let mut told = false;
    let code = loop {
        let (mut child, from) = match again(program, "daemon", Some(&state)) {
            Ok(started) => started,
            Err(e) => break setup::fatal(program, format!("fork: {e}")),
        };
        match wait_ready(&mut child, from) {
            Ok(None) if !told => {
                told = true;
                tell_ready();
                if parsed.has("detach") {
                    let _ = to_null(Keep::Nothing);
                }
            }
            Ok(Some(status)) if !told => break exit_code(status),
            _ => {}
        }
        let Ok(status) = child.wait() else { break ExitCode::FAILURE };
        const ERRORS: [i32; 9] = [
            libc::SIGABRT,
            libc::SIGALRM,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGPIPE,
            libc::SIGSEGV,
            libc::SIGXCPU,
            libc::SIGXFSZ,
        ];
        match status.signal() {
            Some(signal) if ERRORS.contains(&signal) => {
                log::error!(target: "daemon_unix", "pid {} died, killed by signal {signal}, restarting", child.id());
            }
            _ => break exit_code(status),
        }
    };
    let _ = std::fs::remove_file(&state);
    code
}

/// Standard files that are not kept lead nowhere.
fn to_null(keep: Keep) -> std::io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    if keep == Keep::Nothing {
        nix::unistd::dup2_stdout(&null)?;
    }
    if keep != Keep::Output {
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}

impl Daemon {
    /// Says that the program is ready: whoever started it goes on.
    pub fn ready(&mut self, keep: Keep) {
        if !std::mem::take(&mut self.waits) {
            return;
        }
        tell_ready();
        if self.chdir {
            let _ = std::env::set_current_dir("/");
        }
        let _ = to_null(keep);
    }
}

impl PidFile {
    /// Makes it; where another process has it, `overwrite` takes it over.
    pub(crate) fn make(path: PathBuf, overwrite: bool) -> Result<PidFile, String> {
        let name = path.display().to_string();
        let temporary = PathBuf::from(format!("{name}.tmp"));
        let failed = |path: &Path, what: &str, e: &std::io::Error| {
            format!("{}: {what} failed ({})", path.display(), ovsdb::error::strerror(e))
        };
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        if !overwrite && let Ok(old) = OpenOptions::new().read(true).write(true).open(&path) {
            let taken = nix::fcntl::fcntl(&old, nix::fcntl::FcntlArg::F_SETLK(&whole)).is_err();
            if taken {
                let pid = std::fs::read_to_string(&path).unwrap_or_default();
                return Err(format!("{name}: already running as pid {}, aborting", pid.trim()));
            }
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&temporary);
        let mut file = file.map_err(|e| failed(&temporary, "create", &e))?;
        // of the process: whoever asks for the lock learns by whom it is held
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETLK(&whole))
            .map_err(|e| failed(&temporary, "lock", &e.into()))?;
        writeln!(file, "{}", std::process::id()).map_err(|e| failed(&temporary, "write", &e))?;
        std::fs::rename(&temporary, &path).map_err(|e| failed(&temporary, "rename", &e))?;
        Ok(PidFile { path: setup::absolute(&path), _locked: file })
    }
}
