//! Bounds how long the other end of a connection can hold vhost's thread, which serves all ports.
//!
//! rte_vhost reads a message's head when the socket is readable and then waits for the rest of it, without end; answers
//! it writes the same way. A peer that sends half a message would so stop connections, starts and ends of every guest. A
//! socket with time limits makes that an error instead, on which rte_vhost hangs up.
use nix::sys::socket::{UnixAddr, getpeername, getsockname, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

/// How long a peer may take for the rest of a message. Peers send one at once, so that it is there whole.
const REST_MILLISECONDS: i64 = 200;
/// How long an answer may wait for room in the socket: rte_vhost goes on to the next message when it cannot be sent, of
/// which there may be hundreds. Peers wait for each answer, so that there is room.
const ANSWER_MILLISECONDS: i64 = 1;

/// Sets limits on all connections at `path`. They are found among the process's descriptors: rte_vhost does not tell
/// which are its own.
pub(super) fn limit(path: &Path) {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return };
    for entry in folder.flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse::<RawFd>() else { continue };
        // SAFETY: open a moment ago. Should it have been closed since, the calls below fail; should its number be in use
        // again, for a socket at the same path, a limit on that is what is wanted.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let raw = fd.as_raw_fd();
        let at_path = |address: nix::Result<UnixAddr>| address.is_ok_and(|a| a.path() == Some(path));
        // ours by its own name when the switch listens, by the peer's when it connects; the one that listens has no peer
        let connected = getpeername::<UnixAddr>(raw).is_ok();
        if !connected || !(at_path(getpeername(raw)) || at_path(getsockname(raw))) {
            continue;
        }
        let set = setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::milliseconds(REST_MILLISECONDS))
            .and_then(|()| setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(ANSWER_MILLISECONDS)));
        if let Err(e) = set {
            log::warn!(target: "dpdk", "{}: a peer may stall other guests: {e}", path.display());
        }
    }
}
