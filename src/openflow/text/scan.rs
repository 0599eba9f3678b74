//! Cutting a list into items: `key`, `key=value`, `key:value`, `key(value)`, separated by commas or white space.

/// One item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub key: &'a str,
    /// What follows the key's `:` or `=`, or stands in its parentheses; empty when there is nothing.
    pub value: &'a str,
    /// What follows the closing parenthesis, beginning with `->`.
    pub tail: &'a str,
    /// The key and all that belongs to it.
    pub whole: &'a str,
}

impl<'a> Item<'a> {
    /// An item made of a key and a value.
    pub fn new(key: &'a str, value: &'a str) -> Item<'a> {
        Item { key, value, tail: "", whole: key }
    }

    /// Where a value goes: what precedes and what follows `->`, written inside the value or after its parentheses.
    pub fn arrow(&self) -> Option<(&'a str, &'a str)> {
        match self.tail.strip_prefix("->") {
            Some(dst) => Some((self.value, dst)),
            None => self.value.split_once("->"),
        }
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

/// The items of a list.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a str,
}

impl<'a> Items<'a> {
    pub fn new(text: &'a str) -> Items<'a> {
        Items { rest: text }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a str {
        self.rest
    }
}

/// Where a quoted string that `text` begins with ends (behind the quote); `None` when it does not end.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// Where an unparenthesised value ends: at the first separator outside parentheses and quotes.
fn value_end(text: &str) -> usize {
    let mut depth = 0usize;
    let mut skip_to = 0;
    for (i, c) in text.char_indices() {
        match c {
            _ if i < skip_to => {}
            '"' => skip_to = text.get(i..).and_then(quoted_end).map_or(0, |n| i + n),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 && is_separator(c) => return i,
            _ => {}
        }
    }
    text.len()
}

/// Where the parenthesis that was opened just before `text` closes, or the end.
fn close(text: &str) -> usize {
    let mut depth = 1usize;
    let mut skip_to = 0;
    for (i, c) in text.char_indices() {
        match c {
            _ if i < skip_to => {}
            '"' => skip_to = text.get(i..).and_then(quoted_end).map_or(0, |n| i + n),
            '(' => depth += 1,
            ')' if depth == 1 => return i,
            ')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let text = self.rest.trim_start_matches(is_separator);
        if text.is_empty() {
            self.rest = text;
            return None;
        }
        let quoted = if text.starts_with('"') { quoted_end(text) } else { None };
        let end_key = quoted.unwrap_or_else(|| {
            text.find(|c: char| is_separator(c) || matches!(c, ':' | '=' | '(')).unwrap_or(text.len())
        });
        let (key, after) = text.split_at(end_key);
        let (value, tail, rest) = match after.as_bytes().first() {
            Some(b':' | b'=') => {
                let body = after.get(1..).unwrap_or("");
                let (value, rest) = body.split_at(value_end(body));
                (value, "", rest)
            }
            Some(b'(') => {
                let body = after.get(1..).unwrap_or("");
                let (value, rest) = body.split_at(close(body));
                let rest = rest.strip_prefix(')').unwrap_or(rest);
                let (tail, rest) = rest.split_at(if rest.starts_with("->") { value_end(rest) } else { 0 });
                (value, tail, rest)
            }
            _ => ("", "", after),
        };
        let whole = text.get(..text.len() - rest.len()).unwrap_or(key);
        // A key of nothing, as in ")" or ":1", is read as a character so that reading goes on.
        self.rest = rest;
        Some(Item { key, value, tail, whole })
    }
}
