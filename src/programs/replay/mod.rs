//! `--record` and `--replay`: what a program is told by the outside, in order, in a file; and the same program again with that
//! file in place of the outside.
//!
//! The programs are one thread each, and what they do follows from what they are told: which descriptors have something,
//! what a socket reads and how much it takes, the time, signals, random numbers. Each such question goes through [`ask`].
//! While recording, the answer is written down before it is used, so that a crash leaves what led to it. In a replay the
//! answer is the next in the file: no socket is made, nobody is waited for. A question that is not the one recorded ends
//! the replay ([`over`]): the program, its options or its database file are not those of the recording.

mod entry;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
pub(crate) mod wait;

use crate::options::{Known, Parsed, Takes, option};
use crate::setup;
use entry::{Entry, Reading};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Options of programs that can be recorded.
pub(crate) const OPTIONS: [Known; 2] = [option("record", '\0', Takes::Maybe), option("replay", '\0', Takes::Maybe)];

/// Of the process; while it is empty, which it is nearly always, everything goes to the outside.
static JOURNAL: OnceLock<Mutex<Journal>> = OnceLock::new();

/// How a replay ended: at the end of the recording, or why before.
type End = Result<(), String>;

/// A recording that is made or followed.
struct Journal {
    side: Side,
    /// Sockets so far; they have numbers in the order in which they were made.
    sockets: u64,
}

enum Side {
    Recording {
        file: File,
        path: String,
        /// It could not be written; nothing more is.
        failed: bool,
    },
    Replaying {
        entries: Reading,
        /// What the last question about the time was answered.
        time: (u64, i64),
        end: Option<End>,
    },
}

/// Begins to record or to replay, if the options say so. To be called before the program asks anything.
///
/// # Errors
/// Both are wanted, or one and something that does not go with it, or the file cannot be had.
pub(crate) fn start(program: &str, parsed: &Parsed, unfit: &[&str]) -> Result<(), String> {
    let (record, replay) = (parsed.has("record"), parsed.has("replay"));
    let name = match (record, replay) {
        (false, false) => return Ok(()),
        (true, true) => return Err("--record and --replay exclude each other".into()),
        (true, false) => "record",
        (false, true) => "replay",
    };
    if let Some(other) = unfit.iter().find(|other| parsed.has(other)) {
        return Err(format!("--{name} and --{other} do not go together"));
    }
    let folder = parsed.value(name).map_or_else(setup::run_dir, setup::in_run_dir);
    let path = folder.join(format!("{program}.replay"));
    let side = if record { Side::record(&path, program)? } else { Side::replay(&path, program)? };
    JOURNAL.get_or_init(|| Mutex::new(Journal { side, sockets: 0 }));
    Ok(())
}

fn journal() -> Option<MutexGuard<'static, Journal>> {
    JOURNAL.get().map(|journal| journal.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether what happens comes from a recording.
pub(crate) fn is_replay() -> bool {
    journal().is_some_and(|journal| matches!(journal.side, Side::Replaying { .. }))
}

/// Whether what happens is recorded or comes from a recording.
pub(crate) fn is_on() -> bool {
    JOURNAL.get().is_some()
}

/// In a replay: whether the recording is over, and how.
pub(crate) fn over() -> Option<End> {
    match &journal()?.side {
        Side::Replaying { end, .. } => end.clone(),
        Side::Recording { .. } => None,
    }
}

/// Why a program failed: `text`, unless that only follows from a replay that came to its end before.
pub(crate) fn cause(text: String) -> String {
    over().and_then(Result::err).unwrap_or(text)
}

/// A number for a socket.
fn next_socket() -> u64 {
    journal().map_or(0, |mut journal| {
        journal.sockets += 1;
        journal.sockets
    })
}

/// Asks the outside, which is `live`, about `subject`, and records what it says; or says what is recorded.
///
/// # Errors
/// What `live` failed with, now or then; or the recording is over.
fn ask(kind: &'static str, subject: u64, live: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let Some(mut journal) = journal() else { return live() };
    match &mut journal.side {
        Side::Replaying { entries, end, .. } => next(entries, end, kind, subject),
        Side::Recording { .. } => {
            // it may ask something itself
            drop(journal);
            let answer = live();
            if let Some(mut journal) = self::journal() {
                journal.record(&Entry::new(kind, subject, &answer));
            }
            answer
        }
    }
}

/// The next recorded answer, if it is one to this question.
fn next(entries: &mut Reading, end: &mut Option<End>, kind: &str, subject: u64) -> io::Result<Vec<u8>> {
    if end.is_none() {
        match entries.next() {
            Ok(Some(entry)) if entry.kind == kind && entry.subject == subject => return entry.answer(),
            Ok(Some(Entry { kind: found, subject: of, .. })) => {
                let text = format!("the program asks for {kind} {subject} where {found} {of} was recorded");
                *end = Some(Err(format!("{}: {text}", entries.place())));
            }
            Ok(None) => *end = Some(Ok(())),
            Err(text) => *end = Some(Err(text)),
        }
    }
    Err(io::Error::new(ErrorKind::UnexpectedEof, "the recording is over"))
}

impl Side {
    fn record(path: &Path, program: &str) -> Result<Side, String> {
        let failed = |e: io::Error| format!("{}: {}", path.display(), ovsdb::error::strerror(&e));
        let mut file = File::create(path).map_err(failed)?;
        file.write_all(entry::heading(program).as_bytes()).map_err(failed)?;
        Ok(Side::Recording { file, path: path.display().to_string(), failed: false })
    }

    fn replay(path: &Path, program: &str) -> Result<Side, String> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| format!("{name}: {}", ovsdb::error::strerror(&e)))?;
        Ok(Side::Replaying { entries: Reading::new(Box::new(file), name, program)?, time: (0, 0), end: None })
    }
}

impl Journal {
    fn record(&mut self, entry: &Entry) {
        let Side::Recording { file, path, failed } = &mut self.side else { return };
        if *failed {
            return;
        }
        if let Err(e) = file.write_all(&entry.bytes()) {
            *failed = true;
            log::error!(target: "replay", "{path}: {}: nothing more is recorded", ovsdb::error::strerror(&e));
        }
    }
}

/// The time: `live`, or as it was.
pub(crate) fn time(live: impl FnOnce() -> (u64, i64)) -> (u64, i64) {
    if !is_on() {
        return live();
    }
    let bytes = ask("time", 0, || {
        let (monotonic, wall) = live();
        Ok(format!("{monotonic} {wall}").into_bytes())
    });
    let read = |text: &str| {
        let (monotonic, wall) = text.split_once(' ')?;
        Some((monotonic.parse().ok()?, wall.parse().ok()?))
    };
    let found = bytes.ok().and_then(|bytes| read(std::str::from_utf8(&bytes).ok()?));
    // after the end it stands still
    match journal().as_deref_mut() {
        Some(Journal { side: Side::Replaying { time, .. }, .. }) => {
            *time = found.unwrap_or(*time);
            *time
        }
        _ => found.unwrap_or_default(),
    }
}

/// Milliseconds since 1970: now, or as it was.
pub(crate) fn wall_ms() -> i64 {
    time(|| (0, setup::wall_ms())).1
}

/// What random numbers begin with.
pub(crate) fn seed(live: [u64; 4]) -> [u64; 4] {
    let bytes = ask("seed", 0, || Ok(live.map(u64::to_le_bytes).concat()));
    let mut seed = live;
    for (word, bytes) in seed.iter_mut().zip(bytes.unwrap_or_default().as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    seed
}
