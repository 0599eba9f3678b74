//! `capture`: packets as they are received, sent or dropped, into a pcapng file or as lines of text.
//!
//! The switch copies ([`datapath::tap`]) and streams; everything else is done here: putting the workers' packets in order of
//! time, counting, writing.

mod output;
mod stream;

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::control::client;
use output::Output;
use stream::{Event, Stream};

/// What was asked for.
pub(super) struct Wish {
    pub(super) socket: PathBuf,
    /// For the switch: `ports=…` and the like.
    pub(super) words: Vec<String>,
    pub(super) snaplen: u32,
    /// "-" is standard output.
    pub(super) write: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) count: Option<u64>,
    pub(super) seconds: Option<Duration>,
}

/// How the switch answered.
#[derive(Deserialize)]
pub(super) struct Started {
    socket: PathBuf,
    /// What to add to the switch's time for nanoseconds since 1970 (UTC).
    pub(super) offset: i64,
    /// Names of datapath ports.
    pub(super) ports: Vec<(u32, String)>,
}

/// What the switch says at the end.
#[derive(Deserialize)]
struct Ended {
    missed: u64,
}

/// Captures until the count or the time is reached, a signal comes, or nobody reads on.
///
/// # Errors
/// The switch refuses, or the file cannot be written.
pub(super) fn run(wish: &Wish) -> Result<(), String> {
    let answer = client::call(&wish.socket, "ironbridge/capture", &wish.words).map_err(|e| e.to_string())?;
    let started: Started = serde_json::from_str(&answer).map_err(|e| format!("the switch's answer: {e}"))?;
    let at = |e: io::Error| format!("{}: {e}", started.socket.display());
    let stream = UnixStream::connect(&started.socket).map_err(at)?;
    let mut stream = Stream::new(stream, wish.seconds).map_err(at)?;
    let mut output = match Output::open(wish, &started) {
        Ok(output) => output,
        Err(Broken::Reader) => return Ok(()),
        Err(Broken::Other(e)) => return Err(e),
    };
    if wish.write.is_some() {
        let _ = writeln!(io::stderr(), "capturing; Ctrl-C ends it");
    }
    let missed = match turns(wish, &mut stream, &mut output) {
        Ok(ended) => ended.map(|e| e.missed),
        // a reader that went away has seen enough
        Err(Broken::Reader) => return Ok(()),
        Err(Broken::Other(e)) => return Err(e),
    };
    match output.end(missed) {
        Err(Broken::Other(e)) => return Err(e),
        Err(Broken::Reader) => return Ok(()),
        Ok(()) => {}
    }
    let captured = output.written();
    let said = match (wish.json, missed) {
        (true, _) => serde_json::json!({"captured": captured, "missed": missed}).to_string(),
        (false, Some(missed)) => format!("{captured} packets captured, {missed} missed for want of room"),
        (false, None) => format!("{captured} packets captured; the switch went away"),
    };
    let _ = writeln!(io::stderr(), "{said}");
    Ok(())
}

/// Why nothing more can be written.
enum Broken {
    /// Whoever read went away.
    Reader,
    Other(String),
}

impl From<io::Error> for Broken {
    fn from(e: io::Error) -> Broken {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Broken::Reader,
            _ => Broken::Other(e.to_string()),
        }
    }
}

fn turns(wish: &Wish, stream: &mut Stream, output: &mut Output) -> Result<Option<Ended>, Broken> {
    loop {
        let event = stream.next().map_err(|e| Broken::Other(format!("the capture's socket: {e}")))?;
        while let Some(packet) = stream.ready(matches!(event, Event::Packets)) {
            if wish.count.is_some_and(|most| output.written() >= most) {
                continue;
            }
            output.packet(&packet)?;
        }
        output.flush()?;
        match event {
            Event::Packets | Event::Quiet => {}
            Event::Ended(text) => return Ok(serde_json::from_str(&text).ok()),
            Event::Gone => return Ok(None),
        }
        if wish.count.is_some_and(|most| output.written() >= most) {
            stream.stop();
        }
    }
}
