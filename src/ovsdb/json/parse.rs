//! A strict reader of RFC 8259, and the cutter of a byte stream into values. Depth and size are bounded.

use super::{Json, Object};
use memchr::memchr2;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// How deep values may nest.
pub const MAX_DEPTH: usize = 1000;

/// How many values a text may have beyond one for each eight bytes: an empty array takes more memory than text.
const VALUES_MIN: usize = 1 << 22;

/// What is wrong with a text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub line: usize,
    pub column: usize,
    pub byte: usize,
    pub what: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, byte, what } = self;
        write!(f, "line {line}, column {column}, byte {byte}: {what}")
    }
}

impl std::error::Error for ParseError {}

/// Reads one value that is all of `text`.
pub fn parse(text: &[u8]) -> Result<Json, ParseError> {
    let mut reader = Reader::new(text);
    let result = reader.value(0).and_then(|json| reader.end().map(|()| json));
    result.map_err(|what| reader.error(what))
}

/// The members of an object that is all of `text`: name and text of each. Of a member's text only its end is looked for.
///
/// # Errors
/// It is no object; or what `each` says.
pub fn members<'t, E: From<ParseError>>(
    text: &'t [u8],
    mut each: impl FnMut(&str, &'t [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(text);
    let begun = reader.begin_object();
    let mut more = begun.map_err(|what| reader.error(what))?;
    while more {
        let name = reader.name().map_err(|what| reader.error(what))?;
        reader.space();
        let start = reader.at;
        reader.skip().map_err(|what| reader.error(what))?;
        each(&name, &text[start..reader.at])?;
        more = reader.another(b'}').map_err(|what| reader.error(what))?;
    }
    Ok(reader.end().map_err(|what| reader.error(what))?)
}

/// Strings of which a text has many, as members' names, are kept once.
const KNOWN: usize = 32;

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Values that may come.
    values: usize,
    /// Short strings that came, where their length and last byte put them.
    known: [Option<Arc<str>>; KNOWN],
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Reader<'a> {
        Reader { text, at: 0, values: VALUES_MIN + text.len() / 8, known: [const { None }; KNOWN] }
    }

    fn error(&self, what: &'static str) -> ParseError {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.iter().filter(|&&b| b == b'\n').count();
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        ParseError { line, column: before.len() - start, byte: before.len(), what }
    }

    fn end(&mut self) -> Result<(), &'static str> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err("trailing garbage at end of input") }
    }

    /// Past the brace; whether a member follows.
    fn begin_object(&mut self) -> Result<bool, &'static str> {
        self.space();
        if self.peek() != Some(b'{') {
            return Err("syntax error expecting object");
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// A member's name, and the colon.
    fn name(&mut self) -> Result<Cow<'a, str>, &'static str> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err("syntax error parsing object expecting string");
        }
        let name = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err("syntax error parsing object expecting ':'");
        }
        self.at += 1;
        Ok(name)
    }

    /// Past a comma or the end; whether there was a comma.
    fn another(&mut self, close: u8) -> Result<bool, &'static str> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ if close == b'}' => Err("syntax error expecting '}' or ','"),
            _ => Err("syntax error expecting ']' or ','"),
        }
    }

    /// To the end of a value, whatever is in it.
    fn skip(&mut self) -> Result<(), &'static str> {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    (depth, self.at) = (depth + 1, self.at + 1);
                    continue;
                }
                b'}' | b']' if depth > 0 => (depth, self.at) = (depth - 1, self.at + 1),
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let scalar = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                    let n = self.text[self.at..].iter().take_while(|b| scalar(b)).count();
                    if n == 0 {
                        break;
                    }
                    self.at += n;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(if start == self.text.len() { "unexpected end of input" } else { "syntax error parsing value" })
    }

    fn skip_string(&mut self) -> Result<(), &'static str> {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let n = memchr2(b'"', b'\\', rest).ok_or("unexpected end of input in quoted string")?;
            if rest[n] == b'"' {
                self.at += n + 1;
                return Ok(());
            }
            self.at += n + 2;
        }
    }

    /// A string to keep.
    fn keep(&mut self, text: &str) -> Arc<str> {
        let Some(&last) = text.as_bytes().last().filter(|_| text.len() <= 24) else { return Arc::from(text) };
        let slot = &mut self.known[(text.len() * 7 + usize::from(last)) % KNOWN];
        match slot {
            Some(known) if **known == *text => known.clone(),
            _ => slot.insert(Arc::from(text)).clone(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, &'static str> {
        if depth > MAX_DEPTH {
            return Err("input exceeds maximum nesting depth 1000");
        }
        self.values = self.values.checked_sub(1).ok_or("input has too many values")?;
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.string()?;
                Ok(Json::Str(self.keep(&text)))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Json::Bool(true)),
            Some(b'f') => self.word(b"false", Json::Bool(false)),
            Some(b'n') => self.word(b"null", Json::Null),
            Some(_) => Err("syntax error parsing value"),
            None => Err("unexpected end of input"),
        }
    }

    fn word(&mut self, word: &[u8], json: Json) -> Result<Json, &'static str> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(json)
        } else {
            Err("invalid keyword")
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, &'static str> {
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if !self.another(b']')? {
                return Ok(Json::Array(elements));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, &'static str> {
        let mut members = Object::new();
        let mut more = self.begin_object()?;
        while more {
            let name = self.name()?;
            let name = self.keep(&name);
            members.insert(name, self.value(depth + 1)?);
            more = self.another(b'}')?;
        }
        Ok(Json::Object(members))
    }

    fn number(&mut self) -> Result<Json, &'static str> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while let Some(b'0'..=b'9') = reader.peek() {
                reader.at += 1;
            }
            reader.at - from
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        match digits(self) {
            0 => return Err("'-' must be followed by digit"),
            1 => {}
            _ if first == Some(b'0') => return Err("leading zeros not allowed"),
            _ => {}
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            whole = false;
            if digits(self) == 0 {
                return Err("decimal point must be followed by digit");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            whole = false;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err("exponent must contain at least one digit");
            }
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).map_err(|_| "syntax error in number")?;
        if whole && let Ok(i) = text.parse() {
            return Ok(Json::Int(i));
        }
        let r: f64 = text.parse().map_err(|_| "syntax error in number")?;
        if !r.is_finite() {
            return Err("number outside valid range");
        }
        // exact in both types
        if r.fract() == 0.0 && r.abs() < 9.2e18 { Ok(Json::Int(r as i64)) } else { Ok(Json::Real(r)) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, &'static str> {
        self.at += 1;
        let (start, rest) = (self.at, &self.text[self.at..]);
        let Some(n) = memchr2(b'"', b'\\', rest) else {
            self.at = self.text.len();
            self.check_plain(rest)?;
            return Err("unexpected end of input in quoted string");
        };
        self.at += n;
        self.check_plain(&rest[..n])?;
        if rest[n] == b'\\' {
            return self.escaped(start).map(Cow::Owned);
        }
        let text = std::str::from_utf8(&rest[..n]).map_err(|_| "invalid UTF-8 sequence")?;
        self.at += 1;
        Ok(Cow::Borrowed(text))
    }

    /// No control characters; `at` is behind the text, and is set to the first of them.
    fn check_plain(&mut self, text: &[u8]) -> Result<(), &'static str> {
        // all bytes, which the compiler does many at a time
        if !text.iter().fold(false, |bad, &b| bad | (b < 32)) {
            return Ok(());
        }
        self.at -= text.len() - text.iter().position(|&b| b < 32).unwrap_or_default();
        Err("unescaped control character in string")
    }

    /// A string with escapes in it; `at` is at the first.
    fn escaped(&mut self, start: usize) -> Result<String, &'static str> {
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            let byte = self.peek().ok_or("unexpected end of input in quoted string")?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).map_err(|_| "invalid UTF-8 sequence"),
                b'\\' => {
                    let c = match self.peek() {
                        Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode()?,
                        _ => return Err("bad escape"),
                    };
                    self.at += 1;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..32 => return Err("unescaped control character in string"),
                other => bytes.push(other),
            }
        }
    }

    /// `u` and four hexadecimal digits, or two of that; leaves `at` at the last digit.
    fn unicode(&mut self) -> Result<char, &'static str> {
        let unit = self.hex4()?;
        let code = match unit {
            0 => return Err("null bytes not supported in quoted strings"),
            0xd800..0xdc00 => {
                if self.text.get(self.at + 1..self.at + 3) != Some(b"\\u") {
                    return Err("malformed escaped surrogate pair");
                }
                self.at += 2;
                match self.hex4()? {
                    low @ 0xdc00..0xe000 => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err("second half of escaped surrogate pair is not trailing surrogate"),
                }
            }
            other => other,
        };
        char::from_u32(code).ok_or("malformed escaped surrogate pair")
    }

    fn hex4(&mut self) -> Result<u32, &'static str> {
        let digits = self.text.get(self.at + 1..self.at + 5).ok_or("unexpected end of input in quoted string")?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |value, &d| Some(value * 16 + char::from(d).to_digit(16)?))
            .ok_or("malformed \\u escape")
    }
}

/// Cuts a byte stream into objects and arrays. Each byte is looked at once, however the stream is cut.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    used: usize,
    /// Bytes behind `used` that were looked at, and what is open there.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Framer {
    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
            self.bytes.shrink_to(1 << 20);
        } else if self.used > 1 << 16 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that are kept.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next value; None when its end has not come yet.
    ///
    /// # Errors
    /// What follows is neither an object nor an array, or is malformed. Nothing sensible can come after it.
    pub fn next_value(&mut self) -> Result<Option<Json>, ParseError> {
        self.next_text()?.map(parse).transpose()
    }

    /// The same as text, of which only the end was looked for.
    ///
    /// # Errors
    /// What follows is neither an object nor an array.
    pub fn next_text(&mut self) -> Result<Option<&[u8]>, ParseError> {
        let end = self.find_end().map_err(|what| ParseError { line: 0, column: self.seen, byte: self.seen, what })?;
        if !end {
            return Ok(None);
        }
        let (from, until) = (self.used, self.used + self.seen);
        (self.used, self.seen) = (until, 0);
        Ok(Some(&self.bytes[from..until]))
    }

    fn find_end(&mut self) -> Result<bool, &'static str> {
        let bytes = &self.bytes[self.used..];
        while let Some(&byte) = bytes.get(self.seen) {
            if self.in_string {
                if self.escaped {
                    (self.escaped, self.seen) = (false, self.seen + 1);
                    continue;
                }
                let Some(n) = memchr2(b'"', b'\\', &bytes[self.seen..]) else {
                    self.seen = bytes.len();
                    break;
                };
                self.seen += n + 1;
                let quote = bytes[self.seen - 1] == b'"';
                (self.in_string, self.escaped) = (!quote, !quote);
                continue;
            }
            self.seen += 1;
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'"' if self.depth > 0 => self.in_string = true,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(true);
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.depth == 0 => return Err("syntax error at beginning of input"),
                _ => {}
            }
            if self.depth > MAX_DEPTH {
                return Err("input exceeds maximum nesting depth 1000");
            }
        }
        Ok(false)
    }
}
