//! The destinations: how a line looks there, and how it gets there.

use super::level::Destination;
use super::pattern::{Line, Pattern};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// What precedes a line to the system log: RFC 3164, section 4.1, as the C library writes it.
const SYSLOG_PREFIX: &str = "<%B> %D{%h %e %T} %E %A: ";

/// The facility of programs that run in the background: RFC 5424, table 1.
const DAEMON: u8 = 3;

/// The one that a file's lines name where none is set.
const LOCAL0: u8 = 16;

/// Everything that a line is written to.
pub(super) struct Sinks {
    pub(super) host: String,
    /// What was set.
    pub(super) facility: Option<u8>,
    /// Indexed by `Destination as usize`.
    patterns: [Pattern; Destination::ALL.len()],
    prefix: Pattern,
    path: Option<PathBuf>,
    file: Option<File>,
    socket_path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Sinks {
    pub(super) fn new(socket_path: PathBuf) -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let patterns = Destination::ALL.map(|to| {
            Pattern::parse(match to {
                Destination::Syslog => "ovs|%05N|%c%T|%p|%m",
                Destination::Console => "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
                Destination::File => "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
            })
        });
        Self {
            host: host.unwrap_or_else(|| "unknown".into()),
            facility: None,
            patterns,
            prefix: Pattern::parse(SYSLOG_PREFIX),
            path: None,
            file: None,
            socket_path,
            socket: None,
        }
    }

    pub(super) fn set_pattern(&mut self, to: Option<Destination>, pattern: Pattern) {
        for each in Destination::ALL {
            if to.is_none_or(|to| to == each) {
                self.patterns[each as usize] = pattern.clone();
            }
        }
    }

    pub(super) fn list_pattern(&self) -> String {
        let mut text = format!("{:9}{:<34}format\n{:9}{:<34}------\n", "", "prefix", "", "------");
        for to in Destination::ALL {
            let prefix = if to == Destination::Syslog { self.prefix.text() } else { "none" };
            // writing to a String cannot fail
            let _ = writeln!(
                text,
                "{:<9}{prefix:<34}{}",
                to.name().to_ascii_uppercase(),
                self.patterns[to as usize].text()
            );
        }
        text
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// Appends to `path` from here on; on failure everything stays as it was.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<()> {
        self.file = Some(OpenOptions::new().append(true).create(true).mode(0o640).open(path)?);
        self.path = Some(path.to_owned());
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// `line` as `to` gets it, with its end of line.
    pub(super) fn format(&self, to: Destination, line: &Line<'_>) -> String {
        let mut text = String::with_capacity(128);
        let facility = self.facility.unwrap_or(if to == Destination::File { LOCAL0 } else { DAEMON });
        let line = &Line { facility, ..*line };
        if to == Destination::Syslog {
            self.prefix.format(line, &mut text);
        }
        self.patterns[to as usize].format(line, &mut text);
        if to != Destination::Syslog {
            text.push('\n');
        }
        text
    }

    /// Writes one formatted line in one system call. Having no file, or no system log, is no error.
    pub(super) fn write(&mut self, to: Destination, text: String) -> io::Result<()> {
        match to {
            Destination::Console => io::stderr().lock().write_all(text.as_bytes()),
            Destination::File => self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes())),
            Destination::Syslog => self.send(text.as_bytes()),
        }
    }

    /// Sends to the system log, which may have been restarted since the last line. Never waits.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(datagram) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(e),
                Err(_) => self.socket = None,
            }
        }
        if !self.socket_path.exists() {
            return Ok(());
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.socket_path)?;
        socket.send(datagram)?;
        self.socket = Some(socket);
        Ok(())
    }
}
