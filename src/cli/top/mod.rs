//! `top`: rates by port and queue, load by core, the hottest megaflows, drops by reason, who sends to whom; on a terminal
//! ([`screen`]) or as text and JSON for whoever has none.

mod frame;
mod screen;

use std::path::PathBuf;
use std::time::Duration;

use super::table::Table;
use crate::control::client;
use crate::view::Snapshot;
pub(super) use frame::{Frame, Sort};

/// What `top` was asked for.
pub(super) struct Wish {
    pub(super) socket: PathBuf,
    pub(super) interval: Duration,
    /// So many frames as text, without a terminal.
    pub(super) batch: Option<u64>,
    pub(super) json: bool,
    pub(super) sort: Sort,
    pub(super) flows: usize,
}

impl Wish {
    fn look(&self) -> Result<Snapshot, String> {
        let text =
            client::call(&self.socket, "ironbridge/snapshot", &[self.flows.to_string()]).map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| format!("the switch's answer: {e}"))
    }
}

/// Shows frames until told to stop, or as many as asked for.
///
/// # Errors
/// The switch cannot be asked, or the terminal cannot be used.
pub(super) fn run(wish: &Wish) -> Result<(), String> {
    match wish.batch {
        Some(frames) => text(wish, frames),
        None => screen::run(wish),
    }
}

fn text(wish: &Wish, frames: u64) -> Result<(), String> {
    let mut before = wish.look()?;
    for n in 0..frames {
        pause(wish.interval);
        let after = wish.look()?;
        let frame = Frame::between(&before, &after, wish.sort);
        let text = if wish.json {
            serde_json::to_string(&frame).map_err(|e| e.to_string())? + "\n"
        } else {
            let tables: Vec<String> = frame.tables().iter().map(Table::text).collect();
            let gap = if n == 0 { "" } else { "\n" };
            format!("{gap}{}\n\n{}", frame.headline(), tables.join("\n"))
        };
        if !super::print(&text) {
            return Ok(());
        }
        before = after;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a program of its own that shows figures at a distance in time")]
fn pause(d: Duration) {
    std::thread::sleep(d);
}
