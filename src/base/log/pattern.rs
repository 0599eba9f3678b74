//! Patterns: what a line looks like, by the escapes of ovs-appctl(8).

use super::level::Level;
use super::time;
use std::borrow::Cow;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// All that a line can show.
pub(super) struct Line<'a> {
    pub(super) program: &'a str,
    pub(super) host: &'a str,
    pub(super) facility: u8,
    pub(super) level: Level,
    pub(super) module: &'a str,
    pub(super) sequence: u64,
    pub(super) wall: SystemTime,
    pub(super) uptime: Duration,
    pub(super) thread: &'a str,
    pub(super) message: &'a str,
}

/// A parsed pattern, and its text for lists.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    /// `%`, its options, and the letter; `format` is what was in braces.
    Escape {
        letter: char,
        left: bool,
        zero: bool,
        width: usize,
        format: Option<String>,
    },
}

/// Padding beyond this is not worth having, and bounds what a pattern can make of a line.
const MAX_WIDTH: usize = 256;

impl Pattern {
    pub(super) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            if c != '%' {
                plain.push(c);
                continue;
            }
            let left = rest.next_if_eq(&'-').is_some();
            let zero = rest.next_if_eq(&'0').is_some();
            let mut width = 0;
            while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                width = (width * 10 + digit as usize).min(MAX_WIDTH);
                rest.next();
            }
            let Some(letter) = rest.next() else { break };
            let braced = matches!(letter, 'd' | 'D') && rest.next_if_eq(&'{').is_some();
            let format = braced.then(|| rest.by_ref().take_while(|&c| c != '}').collect());
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Escape { letter, left, zero, width, format });
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self { text: text.to_owned(), pieces }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Appends `line` in this pattern.
    pub(super) fn format(&self, line: &Line<'_>, out: &mut String) {
        for piece in &self.pieces {
            let (letter, left, zero, width, format) = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Escape { letter, left, zero, width, format } => {
                    (*letter, *left, *zero, *width, format.as_deref())
                }
            };
            let value = expand(letter, format, line);
            let missing = width.saturating_sub(value.chars().count());
            let fill = if zero { '0' } else { ' ' };
            if !left {
                out.extend(std::iter::repeat_n(fill, missing));
            }
            out.push_str(&value);
            if left {
                out.extend(std::iter::repeat_n(fill, missing));
            }
        }
    }
}

/// The value of one escape.
fn expand<'a>(letter: char, format: Option<&str>, line: &Line<'a>) -> Cow<'a, str> {
    const DATE: &str = "%Y-%m-%d %H:%M:%S";
    match letter {
        'A' => line.program.into(),
        'B' => (u32::from(line.facility) * 8 + u32::from(line.level.severity())).to_string().into(),
        'c' => line.module.into(),
        'd' => time::format(line.wall, format.unwrap_or(DATE), time::Zone::Local).into(),
        'D' => time::format(line.wall, format.unwrap_or(DATE), time::Zone::Utc).into(),
        'E' => line.host.into(),
        'm' => line.message.into(),
        'N' => line.sequence.to_string().into(),
        'n' => "\n".into(),
        'p' => line.level.name().into(),
        'P' => std::process::id().to_string().into(),
        'r' => line.uptime.as_millis().to_string().into(),
        't' => line.thread.into(),
        'T' if line.thread == "main" => "".into(),
        'T' => format!("({})", line.thread).into(),
        '%' => "%".into(),
        other => format!("%{other}").into(),
    }
}

/// Modules whose messages are the program's own words in all their lines, which tools read as they are: keys of packets,
/// bytes of actions in hexadecimal.
pub(super) const OWN_LINES: [&str; 2] = ["dpif", "ofp_actions"];

/// A message as it may appear in a line: continuation lines are indented, so that no text from outside passes for a line of
/// the log; control characters, which terminals obey, are shown as escapes. `own` says that the message has no such text.
pub(super) fn clean(message: &str, own: bool) -> Cow<'_, str> {
    let message = message.trim_end_matches('\n');
    if !message.contains(|c: char| c.is_control() && c != '\t') {
        return message.into();
    }
    let mut clean = String::with_capacity(message.len() + 16);
    for c in message.chars() {
        match c {
            '\n' if own => clean.push(c),
            '\n' => clean.push_str("\n    "),
            '\t' => clean.push(c),
            // writing to a String cannot fail
            c if c.is_control() => drop(write!(clean, "\\x{:02x}", c as u32)),
            c => clean.push(c),
        }
    }
    clean.into()
}
