//! The server inside another program: a thread that serves one file, without signals or options. It has a control socket and
//! a pid file of its own, so that `ovs-appctl -t ovsdb-server` finds it in the folder of the program.

use super::events::Events;
use super::remotes::{self, Remotes};
use super::replication::Replication;
use super::{PROGRAM, Program, commands};
use crate::daemon::PidFile;
use crate::tls::Settings;
use crate::unixctl::Control;
use ovsdb::server::Server;
use ovsdb::uuid::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

/// A server that runs. Dropping it ends it, after what it has promised.
#[derive(Debug)]
pub struct Embedded {
    /// Closed to end the thread.
    leash: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Serves the database in `file` at `remotes` (such as `punix:/run/db.sock`, `db:DB,TABLE,COLUMN`) on a thread called
    /// `db`, with a control socket and a pid file in `folder`. Where these cannot be had that is logged.
    ///
    /// # Errors
    /// The file, a remote or a thread cannot be had, in words.
    pub fn start(file: &Path, remotes: &[String], folder: &Path) -> Result<Embedded, String> {
        let (leash, end) = UnixStream::pair().map_err(|e| format!("socket pair: {e}"))?;
        let (file, remotes, folder) = (file.to_path_buf(), remotes.to_vec(), folder.to_path_buf());
        let (started, outcome) = sync_channel(1);
        let serve = move || {
            let mut program = match Program::embedded(&file, &remotes, end) {
                Ok(program) => program,
                Err(e) => return drop(started.send(Err(e))),
            };
            // goes with the thread
            let _pidfile = program.offer_control(&folder);
            if started.send(Ok(())).is_err() {
                return;
            }
            while program.exit.is_none() {
                if let Err(e) = program.round() {
                    log::error!(target: "ovsdb_server", "{}: no longer served: {e}", file.display());
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("db".into()).spawn(serve).map_err(|e| format!("thread: {e}"))?;
        let embedded = Embedded { leash: Some(leash), thread: Some(thread) };
        let gone = || "the thread ended".to_owned();
        outcome.recv().map_err(|_| gone())?.map(|()| embedded)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.leash = None;
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            log::error!(target: "ovsdb_server", "ended by a panic");
        }
    }
}

/// What its rows say, as the stock start scripts have it.
fn tls() -> Settings {
    let column = |name: &str| format!("db:Open_vSwitch,SSL,{name}");
    Settings {
        private_key: column("private_key"),
        certificate: column("certificate"),
        ca_cert: column("ca_cert"),
        bootstrap: true,
        ..Settings::default()
    }
}

impl Program {
    fn embedded(file: &Path, remotes: &[String], leash: UnixStream) -> Result<Program, String> {
        let io = |e: io::Error| format!("epoll: {e}");
        let mut program = Program {
            server: Server::new(Source::default()).map_err(|e| e.to_string())?,
            remotes: Remotes::default(),
            events: Events::on_a_leash(leash).map_err(io)?,
            files: BTreeSet::new(),
            run: None,
            embedded: true,
            exit: None,
            started: base::clock::Clock::real(),
            replication: Replication::default(),
            relays: BTreeMap::new(),
            tls: tls(),
        };
        program.open_file(file)?;
        for remote in remotes {
            remotes::check(&program.server, remote)?;
            program.remotes.add(remote);
        }
        program.update_remotes(true)?;
        Ok(program)
    }

    /// A control socket where ovs-appctl looks for one, and the pid file by which it finds it. Another server that has its
    /// own there keeps them.
    fn offer_control(&mut self, folder: &Path) -> Option<PidFile> {
        let offer = || {
            let pidfile = PidFile::make(folder.join(format!("{PROGRAM}.pid")), false)?;
            let socket = folder.join(format!("{PROGRAM}.{}.ctl", std::process::id()));
            let control = Control::listen(PROGRAM, Some(&socket.to_string_lossy()), &commands::COMMANDS);
            Ok((pidfile, control.map_err(|e| format!("{}: {e}", socket.display()))?))
        };
        let offered = offer().and_then(|(pidfile, control)| {
            if let Some(control) = control {
                self.events.control(control).map_err(|e| format!("epoll: {e}"))?;
            }
            Ok(pidfile)
        });
        offered.inspect_err(|e: &String| log::warn!(target: "ovsdb_server", "no control socket: {e}")).ok()
    }
}
