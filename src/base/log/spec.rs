//! The argument of `vlog/set`: what to change, or what is wrong with it.

use super::level::{Destination, Level};
use super::pattern::Pattern;

/// What a specification asks for.
#[derive(Debug)]
pub(super) enum Change {
    /// A level; `None` is every module, every destination.
    Level { module: Option<String>, destination: Option<Destination>, level: Level },
    /// A destination's pattern, or that of all.
    Pattern { destination: Option<Destination>, pattern: Pattern },
    /// The facility of the system log, by its number.
    Facility(u8),
}

/// Facilities of RFC 5424, table 1, by the names of ovs-appctl(8); the place is the number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Parses `spec`; `known` says whether a word is a module.
pub(super) fn parse(spec: &str, known: impl Fn(&str) -> bool) -> Result<Change, String> {
    if let Some(rest) = strip_word(spec, "PATTERN:") {
        return pattern(rest);
    }
    if let Some(name) = strip_word(spec, "FACILITY:") {
        let number = FACILITIES.iter().position(|f| f.eq_ignore_ascii_case(name));
        return number
            .and_then(|n| u8::try_from(n).ok())
            .map(Change::Facility)
            .ok_or_else(|| "invalid facility".into());
    }
    let (mut module, mut destination, mut level) = (None, None, None);
    for word in spec.split([' ', ',', ':', '\t', '\n']).filter(|word| !word.is_empty()) {
        if let Some(to) = Destination::parse(word) {
            once(&mut destination, to, "destinations")?;
        } else if let Some(l) = Level::parse(word) {
            once(&mut level, l, "levels")?;
        } else if word.eq_ignore_ascii_case("any") {
        } else if known(word) || known(&word.to_ascii_lowercase()) {
            once(&mut module, word.to_owned(), "modules")?;
        } else {
            return Err(format!("no destination, level, or module \"{word}\""));
        }
    }
    Ok(Change::Level { module, destination, level: level.unwrap_or(Level::Dbg) })
}

/// What follows `word`, which may be in any case.
fn strip_word<'a>(spec: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = spec.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("cannot specify multiple {what}")),
    }
}

fn pattern(rest: &str) -> Result<Change, String> {
    let (name, pattern) = rest.split_once(':').unwrap_or((rest, ""));
    if name.is_empty() {
        return Err("missing destination".into());
    }
    let destination = match name {
        any if any.eq_ignore_ascii_case("any") => None,
        name => Some(Destination::parse(name).ok_or_else(|| format!("unknown destination \"{name}\""))?),
    };
    Ok(Change::Pattern { destination, pattern: Pattern::parse(pattern) })
}
