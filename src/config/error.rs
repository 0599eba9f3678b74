//! Configuration errors: each names the file, the line, the key and what was expected.

use std::path::{Path, PathBuf};

use super::check::Problem;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("{}:{line}: {}{message}", file.display(), key.as_ref().map(|k| format!("{k}: ")).unwrap_or_default())]
    Syntax { file: PathBuf, line: usize, key: Option<String>, message: String },
}

impl ConfigError {
    /// From what the TOML reader says.
    pub(super) fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
        let start = error.span().map_or(0, |s| s.start);
        let line = line_of(text, start);
        ConfigError::Syntax {
            file: file.to_path_buf(),
            line,
            key: key_on(text, line),
            message: error.message().trim().replace('\n', "; "),
        }
    }

    /// From a check of values: finds the line by the key's place in the tables.
    pub(super) fn value(file: &Path, text: &str, problem: Problem) -> ConfigError {
        ConfigError::Syntax {
            file: file.to_path_buf(),
            line: find_line(text, &problem),
            key: Some(problem.key),
            message: problem.message,
        }
    }
}

/// The number (from 1) of the line that byte `at` is on.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// The key that line `line` sets, with the table it is in: `cpu.workers`.
fn key_on(text: &str, line: usize) -> Option<String> {
    let mut table = "";
    let mut key = None;
    for (n, l) in text.lines().enumerate().take(line) {
        let l = l.trim();
        key = None;
        if l.starts_with('[') && !l.contains('=') {
            table = l.trim_start_matches('[').split(']').next().unwrap_or("").trim();
            if n + 1 == line {
                return Some(format!("[{table}]"));
            }
        } else if let Some((k, _)) = l.split_once('=').filter(|_| !l.starts_with('#')) {
            key = Some(k.trim());
        }
    }
    key.map(|k| if table.is_empty() { k.to_owned() } else { format!("{table}.{k}") })
}

/// The line on which the `index`-th header of the problem's table has the key, or the header's own line, or 1.
fn find_line(text: &str, problem: &Problem) -> usize {
    let (table, key) = problem.key.rsplit_once('.').unwrap_or(("", &problem.key));
    let (mut seen, mut here, mut fallback) = (0, table.is_empty(), 1);
    for (n, l) in text.lines().enumerate() {
        let l = l.trim();
        if l.starts_with('[') && !l.contains('=') {
            let name = l.trim_start_matches('[').split(']').next().unwrap_or("").trim();
            here = false;
            if name == table {
                here = seen == problem.index;
                seen += 1;
                if here {
                    fallback = n + 1;
                }
            }
        } else if here && l.split_once('=').is_some_and(|(k, _)| k.trim() == key) {
            return n + 1;
        }
    }
    fallback
}
