//! One switch for each run folder: its lock, pid file and the place of its control socket.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: another switch (process {pid}) runs with this run folder", path.display())]
    Running { path: PathBuf, pid: String },
}

/// Holds the folder's lock; removes the pid file when dropped.
pub(super) struct Instance {
    folder: PathBuf,
    pid_file: PathBuf,
    /// Open for as long as the lock is to hold.
    _file: File,
}

impl Instance {
    /// Makes the folder when missing, locks it and writes the pid file.
    ///
    /// # Errors
    /// The folder cannot be made or written, or another switch holds it.
    pub(super) fn take(folder: &Path) -> Result<Instance, InstanceError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| InstanceError::Io { path, source }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let pid_file = folder.join("ironbridge.pid");
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false);
        let file = open.open(&pid_file).map_err(io(&pid_file))?;
        // a record lock, because ovs-appctl asks who holds it
        let lock =
            libc::flock { l_type: libc::F_WRLCK as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 };
        match fcntl(&file, FcntlArg::F_SETLK(&lock)) {
            Ok(_) => {}
            Err(nix::Error::EACCES | nix::Error::EAGAIN) => {
                let mut pid = String::new();
                let mut file = file;
                file.read_to_string(&mut pid).map_err(io(&pid_file))?;
                return Err(InstanceError::Running { path: folder.to_path_buf(), pid: pid.trim().to_owned() });
            }
            Err(e) => return Err(InstanceError::Io { path: pid_file, source: e.into() }),
        }
        file.set_len(0).map_err(io(&pid_file))?;
        writeln!(&file, "{}", std::process::id()).map_err(io(&pid_file))?;
        Ok(Instance { folder: folder.to_path_buf(), pid_file, _file: file })
    }

    /// Where `ovs-appctl -t` looks for the control socket.
    pub(super) fn control_socket(&self) -> PathBuf {
        self.folder.join(format!("ironbridge.{}.ctl", std::process::id()))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_free_again() {
        let folder = std::env::temp_dir().join(format!("ironbridge-instance-{}", std::process::id()));
        let first = Instance::take(&folder).unwrap();
        let pid = std::fs::read_to_string(folder.join("ironbridge.pid")).unwrap();
        assert_eq!(pid, format!("{}\n", std::process::id()));
        drop(first);
        assert!(!folder.join("ironbridge.pid").exists());
        drop(Instance::take(&folder).unwrap());
        std::fs::remove_dir(&folder).unwrap();
    }
}
