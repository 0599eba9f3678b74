//! DPDK's log, line by line into the crate `log` (target `dpdk`), and the last complaints for error texts.
//!
//! DPDK returns numbers and logs the reasons; [`Complaints`] lets an operation quote what was logged meanwhile.
use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// How many complaints are kept for quoting.
const KEPT: usize = 16;

struct State {
    /// A line whose end has not come yet. Bounded by `LINE_MAX`.
    partial: String,
    /// With the thread that logged it.
    recent: VecDeque<(ThreadId, String)>,
    /// Complaints ever seen.
    seen: u64,
}

const LINE_MAX: usize = 4096;

static STATE: Mutex<State> = Mutex::new(State { partial: String::new(), recent: VecDeque::new(), seen: 0 });

/// Takes what DPDK wrote at a level of its own (1 emergency to 8 debug).
fn take(level: c_int, text: &str) {
    let level = match level {
        ..=4 => log::Level::Error,
        5 => log::Level::Warn,
        6 | 7 => log::Level::Info,
        _ => log::Level::Debug,
    };
    let mut lines = Vec::new();
    {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in text.split_inclusive('\n') {
            state.partial.push_str(piece);
            if !piece.ends_with('\n') && state.partial.len() < LINE_MAX {
                continue;
            }
            let line = std::mem::take(&mut state.partial).trim_end().to_string();
            if line.is_empty() {
                continue;
            }
            if level <= log::Level::Warn {
                state.seen += 1;
                if state.recent.len() == KEPT {
                    state.recent.pop_front();
                }
                state.recent.push_back((thread::current().id(), line.clone()));
            }
            lines.push(line);
        }
    }
    // outside the lock: the backend is somebody else's code
    for line in lines {
        log::log!(target: "dpdk", level, "{line}");
    }
}

/// Quotes what DPDK complained about since it was made.
pub(crate) struct Complaints {
    since: u64,
    /// Only what this thread did is meant: devices are started side by side.
    thread: Option<ThreadId>,
}

impl Complaints {
    /// About what the calling thread is about to do.
    pub(crate) fn begin() -> Complaints {
        Complaints { thread: Some(thread::current().id()), ..Complaints::begin_anywhere() }
    }

    /// Whichever thread it is that does it.
    pub(crate) fn begin_anywhere() -> Complaints {
        Complaints { since: STATE.lock().unwrap_or_else(PoisonError::into_inner).seen, thread: None }
    }

    /// `reason`, followed by the complaints (at most three, the first ones: they are nearest to the cause).
    pub(crate) fn explain(&self, reason: impl std::fmt::Display) -> String {
        let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let new = usize::try_from(state.seen - self.since).unwrap_or(usize::MAX).min(state.recent.len());
        let mine = |thread: &ThreadId| self.thread.is_none_or(|t| t == *thread);
        let recent = state.recent.iter().skip(state.recent.len() - new).filter(|(thread, _)| mine(thread));
        let quoted: Vec<&str> = recent.take(3).map(|(_, line)| line.trim()).collect();
        if quoted.is_empty() { reason.to_string() } else { format!("{reason} (DPDK: {})", quoted.join("; ")) }
    }
}

#[expect(unsafe_code, reason = "a function that DPDK calls")]
mod stream {
    use std::ffi::{c_char, c_int};
    use std::panic::catch_unwind;

    extern "C" fn sink(level: c_int, text: *const c_char, length: usize) {
        if text.is_null() {
            return;
        }
        // SAFETY: stdio hands over `length` bytes of its buffer, which stay until this returns.
        let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
        // the log backend may panic; that must not unwind into C
        let _ = catch_unwind(|| super::take(level, &String::from_utf8_lossy(bytes)));
    }

    /// Points DPDK's log at [`sink`], with the level that the log backend wants.
    pub(crate) fn open(level: u32) -> bool {
        // SAFETY: may be called at any time; `sink` is a function that never goes away.
        let opened = unsafe { dpdk_sys::ib_log_open(Some(sink)) } == 0;
        // SAFETY: stores a number.
        unsafe { dpdk_sys::rte_log_set_global_level(level) };
        opened
    }
}
pub(crate) use stream::open;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_quoted_whole_lines_only() {
        let complaints = Complaints::begin();
        take(7, "EAL: fine\n");
        take(4, "EAL: Cannot do ");
        take(4, "this\nEAL: nor that\n");
        take(5, "EAL: unfinished");
        assert_eq!(complaints.explain("No such device"), "No such device (DPDK: EAL: Cannot do this; EAL: nor that)");
        take(5, "\n");
        let later = Complaints::begin();
        assert_eq!(later.explain("x"), "x");
        let anybodys = Complaints::begin_anywhere();
        thread::spawn(|| take(4, "of another device\n")).join().unwrap();
        assert_eq!(later.explain("x"), "x");
        assert_eq!(anybodys.explain("x"), "x (DPDK: of another device)");
        for i in 0..2 * KEPT {
            take(4, &format!("line {i}\n"));
        }
        assert_eq!(later.explain("x"), "x (DPDK: line 16; line 17; line 18)");
    }
}
