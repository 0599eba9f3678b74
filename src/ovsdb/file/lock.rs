//! The lock file beside a database, `.NAME.~lock~`: one writer at a time, ours or the stock server.

use crate::error::Error;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Where the lock of `path` is, which is no link.
fn lock_path(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.~lock~"))
}

impl Lock {
    /// Takes the lock of the file at `path`, which errors call `name`.
    pub(super) fn take(path: &Path, name: &str) -> Result<Lock, Error> {
        let failed = |e: &std::io::Error| Error::io(format!("{name}: failed to lock lockfile"), e);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(lock_path(path));
        let file = file.map_err(|e| failed(&e))?;
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        // of the open file, not of the process: it conflicts with the stock server's and with our own second one
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)).map_err(|e| failed(&e.into()))?;
        Ok(Lock { _file: file })
    }
}
